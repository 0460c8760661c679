//! The next step of one execution: a function of what is stored, what is known of its run, the gate's verdict and the time. Each
//! step is one API call; whatever happens before, between or after them, the next plan starts from what is there.

use std::time::Duration;

use serde_json::Value;

use super::{run, run_name};
use crate::api::facts::{Commission, ObjectKey, Target, Timestamp};
use crate::api::tekton::{Carrier, Engine, Owner};
use crate::cluster::{Input, Memory};
use crate::controller::change::StatusChange;
use crate::failure::{self, Account, Classification};
use crate::routing::{End, Hold, Reason, Verdict};
use crate::status::whole_seconds;

/// It keeps an execution there until its run is gone.
pub const FINALIZER: &str = "lockkeeper.kubernaut.ai/run";

/// All that a plan may know.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    pub commission: &'a Commission,
    /// Asked while it is pending; None: nothing was listed yet.
    pub verdict: Option<&'a Verdict>,
    /// The verdict holds it for the same reason where its request is as the API server has it; None: that was not asked for.
    pub confirmed: Option<bool>,
    /// What stands under the name of its run.
    pub run: Run<'a>,
    /// That is looked for where no runs are followed.
    pub elsewhere: bool,
    /// For how long it is known that this ended.
    pub ended_for: Option<Duration>,
    /// Where this is another execution's, and that is there: it said how it ended.
    pub other_ended: Option<bool>,
    /// What is remembered of its own runs that had that name.
    pub memory: &'a Memory,
    /// What the other engine has under that name: a target is locked for both.
    pub beside: Option<&'a Carrier>,
    /// Parts of an earlier run of that name are still there.
    pub leftovers: bool,
    /// A kind that its engine needs, and that may not be read.
    pub unreadable: Option<Input>,
}

/// The object under the name that a target's run has.
#[derive(Clone, Copy, Debug)]
pub enum Run<'a> {
    /// The index knows of none, which may be behind.
    Unseen,
    /// The API server said so.
    Absent,
    /// The API server said so, and the index has not heard it: as it was known last.
    Went(&'a Carrier),
    There(&'a Carrier),
}

/// What the executor was told.
#[derive(Clone, Debug)]
pub struct Rules {
    pub namespace: Box<str>,
    /// A run stays for so long after its end: a person may look at it, and nothing else starts on its target.
    pub cooldown: Duration,
}

/// One API call, or none.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Until something changes; or this time comes.
    Rest(Option<Timestamp>),
    /// Puts the finalizer on, and says where its run will be.
    Claim,
    /// Takes it away.
    Release,
    /// Asks the API server what stands under the run's name.
    Look,
    /// Asks the API server for its request: the index may be behind, and what is given up is not taken up again.
    Confirm,
    Create(Engine, Value),
    /// Deletes the run of this uid, and no other of its name.
    Delete {
        engine: Engine,
        run: ObjectKey,
        uid: Box<str>,
        /// It stays until its parts are gone: what may still be at work holds the target.
        foreground: bool,
    },
    Write(Box<StatusChange>),
}

#[must_use]
pub fn plan(seen: &Seen<'_>, rules: &Rules, now: Timestamp) -> Step {
    let commission = seen.commission;
    match &*commission.progress.phase {
        // How its run ended is told first: with the two of them goes all that tells it.
        _ if commission.deleting && !commission.has_ended() && has_an_end(seen) => follow(seen, now),
        _ if commission.deleting => leave(seen, now),
        "" | "Pending" => begin(seen, rules, now),
        "Running" => follow(seen, now),
        _ if commission.has_ended() => rest(seen, rules, now),
        _ => Step::Rest(None),
    }
}

/// Its run ended, or had when it went, and that is known.
fn has_an_end(seen: &Seen<'_>) -> bool {
    claimed(seen.commission)
        && match seen.run {
            Run::There(run) if is_own(run, seen.commission) => run.ended(),
            Run::Absent | Run::There(_) => seen.memory.last.is_some(),
            Run::Unseen | Run::Went(_) => false,
        }
}

/// Of one that nobody here carries out a run may still be there, from the time of another executor: a PipelineRun.
pub(super) fn engine_of(commission: &Commission) -> Engine {
    Engine::named(commission.engine.as_deref()).unwrap_or(Engine::Tekton)
}

fn claimed(commission: &Commission) -> bool {
    commission.finalizers.iter().any(|finalizer| &**finalizer == FINALIZER)
}

/// Why it can never run, whoever waits for whatever.
fn unfit(commission: &Commission, now: Timestamp) -> Option<Classification> {
    let wrong = |message: &str| Some(failure::of_spec(message));
    let bundle = commission.bundle.as_deref().unwrap_or_default();
    if bundle.trim().is_empty() {
        return wrong(
            "spec.workflowRef.executionBundle is missing: it names the OCI bundle that holds the pipeline, or the image of a Job",
        );
    }
    if bundle.contains(char::is_whitespace) {
        return wrong("spec.workflowRef.executionBundle has white space in it, which no reference to an image has");
    }
    match commission.target.as_deref().map(|target| Target::parse(target, None)) {
        None => return wrong("spec.target is missing: expected ns/kind/name or kind/name"),
        Some(Err(error)) => return wrong(&format!("spec.target: {error}")),
        Some(Ok(_)) => {}
    }
    if !commission.cluster.is_empty() {
        return wrong(&format!(
            "the target is in cluster {}: a run is named after its target alone, so this executor serves its own cluster only",
            commission.cluster
        ));
    }
    if Engine::named(commission.engine.as_deref()).is_none() {
        return Some(failure::of_engine(commission.engine.as_deref().unwrap_or_default()));
    }
    let late = commission.deadline.is_some_and(|deadline| deadline <= now);
    late.then(failure::of_late)
}

/// The execution, as far as a run can be told to be its own.
pub(super) fn owner(commission: &Commission) -> Owner<'_> {
    let uid = Some(&*commission.uid).filter(|uid| !uid.is_empty());
    Owner { key: &commission.key, uid, created: commission.created }
}

/// The run says so; or it says nothing any more, and the status names it.
pub(super) fn is_own(run: &Carrier, commission: &Commission) -> bool {
    let owner = owner(commission);
    let named = || commission.progress.run.as_deref() == Some(&*run.key().name);
    let silent = || run.origin().execution.is_none() && owner.may_have_made(run.created());
    run.is_of(owner) || named() && silent()
}

/// What is there under the name of a run; where the execution's own engine has none, the other one's.
pub(super) fn standing<'a>(run: Run<'a>, beside: Option<&'a Carrier>) -> Option<&'a Carrier> {
    if let Run::There(run) = run { Some(run) } else { beside }
}

fn begin(seen: &Seen<'_>, rules: &Rules, now: Timestamp) -> Step {
    let commission = seen.commission;
    // A run of ours that is there was begun before: what speaks against it now does not undo that.
    let begun = match seen.run {
        Run::There(run) if is_own(run, commission) => Some(run),
        _ => None,
    };
    // So was one that went, and one that goes while we look: it is not done again.
    let goes = matches!(seen.run, Run::Went(run) if is_own(run, commission));
    if goes || begun.is_none() && seen.memory.gone {
        return went(seen, now);
    }
    if begun.is_none()
        && let Some(found) = unfit(commission, now)
    {
        // One that is claimed may have a run that the index does not know yet.
        if claimed(commission) && commission.target.is_some() && matches!(seen.run, Run::Unseen) {
            return Step::Look;
        }
        return write(StatusChange::failed(commission, &Account::Failed(found), None, now));
    }
    if !claimed(commission) {
        return Step::Claim;
    }
    if let Some(run) = begun {
        return write(StatusChange::running(commission, run, now));
    }
    // Claimed for where another setting has runs, or whoever wrote that: what was not begun there begins here.
    if seen.elsewhere {
        return if matches!(seen.run, Run::Unseen) { Step::Look } else { Step::Claim };
    }
    let soon = now.checked_add(SOON).ok();
    let (Some(target), Some(verdict)) = (commission.target.as_deref(), seen.verdict) else { return Step::Rest(soon) };
    if let Some(hold) = &verdict.hold {
        return held(seen, hold, now);
    }
    let beside = seen.beside.filter(|run| !is_own(run, commission));
    if let Some(run) = standing(seen.run, beside) {
        return in_the_way(seen, run, rules, now);
    }
    let (engine, namespace) = (engine_of(commission), &rules.namespace);
    if let Some(input) = seen.unreadable {
        let message = format!(
            "its run could not be followed, since {input} in namespace {namespace} may not be read: grant lockkeeper list and watch on them"
        );
        return waits(commission, "RunsUnreadable", &message, now.checked_add(AGAIN).ok(), now);
    }
    if seen.leftovers {
        let name = run_name(target);
        let message = format!(
            "parts of the run before it are still there (TaskRuns of label tekton.dev/pipelineRun={name}, or Pods of label job-name={name}); it starts when they are gone"
        );
        return waits(commission, LOCKED, &message, now.checked_add(AGAIN).ok(), now);
    }
    Step::Create(engine, run::carrier(engine, commission, target, namespace, now))
}

/// The gate would let it run, and another's run has the name of its own.
fn in_the_way(seen: &Seen<'_>, run: &Carrier, rules: &Rules, now: Timestamp) -> Step {
    let commission = seen.commission;
    if run.deleting() {
        let message =
            format!("{run} is being deleted; when it is gone, and with it all that is at work, this execution starts");
        return waits(commission, LOCKED, &message, unheard(seen, now), now);
    }
    match &run.origin().execution {
        None => {
            let message =
                format!("{run} is on this target and does not say whose it is; delete it, and this execution starts");
            waits(commission, LOCKED, &message, unheard(seen, now), now)
        }
        // It cannot be told as the duplicate of itself.
        Some(other) if !run.ended() && *other == commission.key => {
            let message = format!("{run} of an earlier execution of this name still goes on");
            waits(commission, LOCKED, &message, unheard(seen, now), now)
        }
        Some(other) if !run.ended() => write(StatusChange::duplicate(commission, other, run, now)),
        Some(_) => {
            let free = free_after(run.completed(), rules, now);
            if free > now {
                let until = whole_seconds(free);
                let message = format!("the run of the last workflow on this target ({run}) is kept until {until}");
                return waits(commission, LOCKED, &message, Some(free), now);
            }
            // Its record is all that tells how the other one ended.
            if seen.other_ended == Some(false) {
                let message = format!("the run on this target ({run}) ended, and its execution was not told yet");
                return waits(commission, LOCKED, &message, now.checked_add(AGAIN).ok(), now);
            }
            delete(run, false)
        }
    }
}

/// When the target of a run that ended then is free: past all time where the cooldown is longer than that.
fn free_after(ended: Option<Timestamp>, rules: &Rules, now: Timestamp) -> Timestamp {
    ended.map_or(now, |at| at.checked_add(rules.cooldown).unwrap_or(Timestamp::MAX))
}

/// Why an execution waits that the gate would let run: another's run has its name.
const LOCKED: &str = "TargetLocked";

/// Of so young an execution it is not said that its parent is missing: who makes both may make it first.
const YOUNG: Duration = Duration::from_secs(15);
/// What a stream tells in a moment is looked at again so soon.
const SOON: Duration = Duration::from_secs(1);
/// What no change announces is looked at again so often.
const AGAIN: Duration = Duration::from_secs(10);

fn held(seen: &Seen<'_>, hold: &Hold, now: Timestamp) -> Step {
    let commission = seen.commission;
    let message = hold.standing();
    let reason = hold.reason.as_str();
    let after = |at: Timestamp, time| at.checked_add(time).unwrap_or(now);
    let seen_of_parent = match hold.reason {
        Reason::ParentMissing | Reason::ParentMismatch => {
            commission.created.map_or(now, |created| after(created, YOUNG)).min(after(now, YOUNG))
        }
        Reason::ParentDeleting | Reason::ParentTerminal => now,
        // That the streams are alive again is no change of any object.
        Reason::StaleState => return waits(commission, reason, &message, Some(after(now, AGAIN)), now),
        _ => return waits(commission, reason, &message, hold.until(), now),
    };
    match (hold.end, seen.confirmed) {
        (End::Never, _) if seen_of_parent > now => waits(commission, reason, &message, Some(seen_of_parent), now),
        // One that is claimed may have a run that the index does not know yet.
        (End::Never, _) if matches!(seen.run, Run::Unseen) => Step::Look,
        (End::Never, None) => Step::Confirm,
        (End::Never, Some(true)) => write(StatusChange::given_up(commission, reason, &message, now)),
        // When it hears of the request, it is looked at again.
        (End::Never, Some(false)) => Step::Rest(now.checked_add(AGAIN).ok()),
        _ => waits(commission, reason, &message, hold.until(), now),
    }
}

/// Said once, and again where it is something else.
fn waits(commission: &Commission, reason: &str, message: &str, until: Option<Timestamp>, now: Timestamp) -> Step {
    let held = commission.progress.conditions.iter().find(|condition| {
        condition["type"] == "Admitted" && condition["status"] == "False" && condition["reason"] == reason
    });
    // No hold lasts longer than it may wait.
    let until = until.into_iter().chain(commission.deadline.filter(|deadline| *deadline > now)).min();
    match held {
        Some(held) if held["message"] == message => Step::Rest(until),
        // Another one is in the way for the same reason: that is no event.
        Some(_) => write(StatusChange { event: None, ..StatusChange::held(commission, reason, message, now) }),
        None => write(StatusChange::held(commission, reason, message, now)),
    }
}

fn follow(seen: &Seen<'_>, now: Timestamp) -> Step {
    let commission = seen.commission;
    // Another executor may have begun it.
    if !claimed(commission) {
        return Step::Claim;
    }
    let run = match seen.run {
        Run::Unseen => return Step::Look,
        // Where its own went, one that says nothing came after it.
        Run::There(run) if run.origin().execution.is_none() && seen.memory.gone => return went(seen, now),
        Run::There(run) if is_own(run, commission) => run,
        _ => return went(seen, now),
    };
    let account = Account::of_carrier(run, seen.memory.ran);
    let unheard = unheard(seen, now);
    if unheard.is_none()
        && let Some(until) = parts_may_be_told(&account, run, seen.ended_for, now)
    {
        return Step::Rest(Some(until));
    }
    match end_of(commission, &account, run, now) {
        Some(change) => write(change),
        None => StatusChange::progress(commission, run, now).map_or(Step::Rest(unheard), write),
    }
}

/// Of what may not be read no change is heard, nor of what was begun where it is no longer followed: when it is to be asked for.
fn unheard(seen: &Seen<'_>, now: Timestamp) -> Option<Timestamp> {
    let again = now.checked_add(AGAIN).ok();
    again.filter(|_| seen.elsewhere || seen.unreadable.is_some())
}

/// None: it goes on.
fn end_of(commission: &Commission, account: &Account, run: &Carrier, now: Timestamp) -> Option<StatusChange> {
    match account {
        Account::Failed(_) => Some(StatusChange::failed(commission, account, Some(run), now)),
        Account::Succeeded => Some(StatusChange::completed(commission, run, now)),
        _ => None,
    }
}

/// The run of this execution is no longer there: what was seen of it tells how it ended.
fn went(seen: &Seen<'_>, now: Timestamp) -> Step {
    let (commission, memory) = (seen.commission, seen.memory);
    match seen.run {
        Run::Unseen => return Step::Look,
        // In a moment the stream says how it went.
        Run::Went(run) if is_own(run, commission) => return Step::Rest(now.checked_add(SOON).ok()),
        _ => {}
    }
    let last = memory.last.as_ref();
    let told = last.and_then(|run| end_of(commission, &Account::of_carrier(run, memory.ran), run, now));
    let ran = memory.ran || !memory.gone;
    let lost = || StatusChange::failed(commission, &Account::Failed(failure::of_gone(ran)), None, now);
    write(told.unwrap_or_else(lost))
}

/// So long after a run is known to have ended the ends of its parts are waited for.
const PARTS: Duration = Duration::from_secs(5);

/// Tekton ends a run that is out of time, or cancelled, before its tasks, and runs and parts come by streams of their own: which
/// part failed and whether anything ran is known with theirs, and what is written of an end stands. None: nothing more will be
/// told, or nothing that counts.
fn parts_may_be_told(
    account: &Account,
    run: &Carrier,
    ended_for: Option<Duration>,
    now: Timestamp,
) -> Option<Timestamp> {
    let open = match account {
        Account::Failed(_) => run.has_open_parts() || run.has_unknown_parts(),
        Account::Succeeded => run.has_open_parts(),
        _ => false,
    };
    if !open {
        return None;
    }
    // One that was only asked for is heard of in a moment, and its parts with it.
    let left = ended_for.map_or(Some(SOON), |known| PARTS.checked_sub(known).filter(|left| !left.is_zero()))?;
    now.checked_add(left).ok()
}

/// Ended: its run goes when its time is over, and then nothing keeps it.
fn rest(seen: &Seen<'_>, rules: &Rules, now: Timestamp) -> Step {
    let commission = seen.commission;
    if !claimed(commission) {
        return Step::Rest(None);
    }
    let free = free_after(commission.progress.completed, rules, now);
    if free > now {
        return Step::Rest(Some(free));
    }
    match seen.run {
        // Somebody said that it ended, and it goes on: cleaning up cuts nothing short.
        Run::There(run) if !run.ended() && is_own(run, commission) => Step::Rest(None),
        _ => leave(seen, now),
    }
}

fn leave(seen: &Seen<'_>, now: Timestamp) -> Step {
    let commission = seen.commission;
    if !claimed(commission) {
        return Step::Rest(None);
    }
    match seen.run {
        Run::Unseen => Step::Look,
        // Until then something of it may be at work.
        Run::There(run) if is_own(run, commission) && run.deleting() => Step::Rest(unheard(seen, now)),
        Run::There(run) if is_own(run, commission) => delete(run, commission.deleting),
        Run::Absent | Run::Went(_) | Run::There(_) => Step::Release,
    }
}

/// Whether it was begun where it was claimed for may not be asked: begun anew, it could run twice.
#[must_use]
pub fn may_not_look(commission: &Commission, place: &ObjectKey, now: Timestamp) -> Step {
    let message = format!(
        "whether its run was begun in namespace {} is not known, since {}s may not be read there: grant lockkeeper get on them, or, where there is none, take the annotation lockkeeper.kubernaut.ai/run-namespace away",
        place.namespace,
        engine_of(commission).kind(),
    );
    waits(commission, "RunsUnreadable", &message, now.checked_add(AGAIN).ok(), now)
}

/// A refusal of the run that no waiting changes, or not ours: it is said to a person, who may change that and ask anew.
#[must_use]
pub fn is_final(code: u16) -> bool {
    matches!(code, 400 | 403 | 404 | 413 | 415 | 422)
}

/// The API server refused the run.
#[must_use]
pub fn refused(commission: &Commission, code: u16, reason: &str, message: &str, now: Timestamp) -> Step {
    // Nothing of the kind, of which no Status tells, or no such namespace: a person makes it, and then it starts.
    if code == 404 {
        let (missing, advice) = match (engine_of(commission), reason) {
            (Engine::Tekton, "") => ("TektonMissing", "install Tekton Pipelines, which serves tekton.dev/v1"),
            _ => ("NamespaceMissing", "create the namespace"),
        };
        let kind = engine_of(commission).kind();
        let message = format!("{kind}s cannot be created yet ({message}): {advice}, and this execution starts");
        return waits(commission, missing, &message, now.checked_add(AGAIN).ok(), now);
    }
    if code == 403 && message.contains("is being terminated") {
        let message =
            format!("its run cannot be created ({message}): once the namespace is there anew, this execution starts");
        return waits(commission, "NamespaceTerminating", &message, now.checked_add(AGAIN).ok(), now);
    }
    let found = failure::of_refusal(code, reason, message);
    write(StatusChange::failed(commission, &Account::Failed(found), None, now))
}

/// `in_haste`: it may have ended a moment ago, and Tekton ends a TaskRun before its Pod.
fn delete(run: &Carrier, in_haste: bool) -> Step {
    // A Job ends after its Pods, known or not.
    let unknown = run.engine() == Engine::Tekton && run.has_unknown_parts();
    let foreground = in_haste || run.has_open_parts() || unknown;
    Step::Delete { engine: run.engine(), run: run.key().clone(), uid: run.uid().into(), foreground }
}

fn write(change: StatusChange) -> Step {
    Step::Write(Box::new(change))
}

#[cfg(test)]
mod tests;
