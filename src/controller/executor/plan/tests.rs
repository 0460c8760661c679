//! Every branch of a plan: a row is what is stored, what stands under the run's name, and the one step that follows.

mod ends;
mod gone;
mod jobs;
mod waits;

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::failure::Reason as Why;
use crate::routing::{self, Because, History, Parent, Policy, Request, Runs, Siblings, View};

/// So many seconds from now, which is 2026-01-05T10:00:00Z.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_607_200 + seconds).unwrap()
}

fn now() -> Timestamp {
    at(0)
}

fn stamp(seconds: i64) -> Value {
    json!(at(seconds).strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

const RULES: fn() -> Rules = || Rules { namespace: "runs".into(), cooldown: Duration::from_secs(60) };

/// An execution of the hub's form, claimed, created 100 seconds ago; the patch changes what a row is about.
fn execution(patch: Value) -> Commission {
    let mut object = json!({
        "metadata": {"namespace": "payments", "name": "we-1", "uid": "u-1", "creationTimestamp": stamp(-100), "finalizers": [FINALIZER]},
        "spec": {
            "remediationRequestRef": {"name": "rr-1"}, "target": {"namespace": "payments", "kind": "Deployment", "name": "api"},
            "workflowRef": {"workflowId": "restart", "executionBundle": "registry/restart:1"},
        },
        "status": {},
    });
    merge(&mut object, patch);
    Commission::from_json(&object.to_string()).unwrap()
}

/// A null takes the member away.
fn merge(object: &mut Value, patch: Value) {
    match (object, patch) {
        (Value::Object(members), Value::Object(patch)) => {
            for (name, value) in patch {
                if value.is_null() {
                    members.remove(&name);
                } else {
                    merge(members.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        (object, patch) => *object = patch,
    }
}

fn phase(phase: &str) -> Value {
    json!({"status": {"phase": phase, "startTime": stamp(-90), "execution": {"ref": {"name": "wfe-x"}}}})
}

/// A run of this execution and uid; an empty uid is not said, an empty execution neither.
fn run_of(execution: &str, uid: &str, status: &Value) -> Carrier {
    carrier(Engine::Tekton, execution, uid, status)
}

fn carrier(engine: Engine, execution: &str, uid: &str, status: &Value) -> Carrier {
    created_at(engine, execution, uid, Some(-95), status)
}

fn created_at(engine: Engine, execution: &str, uid: &str, created: Option<i64>, status: &Value) -> Carrier {
    let mut annotations = json!({});
    if !uid.is_empty() {
        annotations["lockkeeper.kubernaut.ai/execution-uid"] = json!(uid);
    }
    let labels = match execution {
        "" => json!({}),
        name => json!({"kubernaut.ai/workflow-execution": name, "kubernaut.ai/source-namespace": "payments"}),
    };
    let run = json!({
        "metadata": {"namespace": "runs", "name": "wfe-x", "uid": "r-1", "creationTimestamp": created.map(stamp), "labels": labels,
            "annotations": annotations},
        "status": status,
    });
    Carrier::from_json(engine, &run.to_string()).unwrap()
}

fn going() -> Value {
    json!({"conditions": [{"type": "Succeeded", "status": "Unknown", "reason": "Running", "message": "m"}], "startTime": stamp(-90)})
}

fn ended(status: &str, seconds: i64) -> Value {
    json!({"conditions": [{"type": "Succeeded", "status": status, "reason": "Done", "message": "m"}],
        "startTime": stamp(-90), "completionTime": stamp(seconds)})
}

fn verdict(hold: Option<(Reason, End)>) -> Verdict {
    let request = Request {
        key: None,
        stored: None,
        parent: None,
        target: Target::parse("payments/Deployment/api", None).unwrap(),
        workflow_id: None,
        parameter_names: Vec::new(),
    };
    let (siblings, history, runs) = (Arc::<Siblings>::default(), Arc::<History>::default(), Arc::<Runs>::default());
    let view = View { parent: Parent::NotAsked, siblings, history, runs, age: Duration::ZERO };
    let mut verdict = routing::decide(&request, &view, &Policy::default(), now());
    verdict.hold = hold.map(|(reason, end)| Hold { reason, because: Because::ResourceBusy, by: None, end });
    verdict
}

/// A step in a few words.
fn told(step: &Step) -> String {
    let seconds = |at: Timestamp| at.as_second() - now().as_second();
    match step {
        Step::Rest(None) => "rest".to_owned(),
        Step::Rest(Some(until)) => format!("rest until {}", seconds(*until)),
        Step::Claim => "claim".to_owned(),
        Step::Release => "release".to_owned(),
        Step::Look => "look".to_owned(),
        Step::Confirm => "confirm".to_owned(),
        Step::Create(Engine::Tekton, run) => format!("create {}", run["metadata"]["name"].as_str().unwrap()),
        Step::Create(Engine::Job, run) => format!("create job {}", run["metadata"]["name"].as_str().unwrap()),
        Step::Delete { run, uid, foreground: false, .. } => format!("delete {} {uid}", run.name),
        Step::Delete { run, uid, foreground: true, .. } => format!("delete {} {uid} and wait", run.name),
        Step::Write(change) => {
            let member = |name: &str| {
                let found = change.members.iter().find(|(member, _)| *member == name);
                found.and_then(|(_, value)| value.as_ref()?.as_str()).unwrap_or_default().to_owned()
            };
            let event = change.event.as_ref().map_or("", |event| event.reason);
            let words = [member("phase"), member("failureReason"), member("deduplicatedBy"), event.to_owned()];
            let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
            format!("write {}", words.join(" "))
        }
    }
}

/// What is remembered of runs of its own: nothing; that one went, and that it ran or not.
const NOTHING: Memory = Memory { ran: false, gone: false, last: None };

fn gone(ran: bool) -> Memory {
    Memory { ran, gone: true, last: None }
}

/// What a row is about: the stored object, the verdict, what stands under the name, what is remembered.
struct Row<'a> {
    execution: Value,
    hold: Option<(Reason, End)>,
    run: Run<'a>,
    memory: Memory,
}

impl Row<'_> {
    fn step(self) -> Step {
        self.but(|seen| seen)
    }

    /// Where something else is known, too.
    fn but(self, known: impl for<'s> FnOnce(Seen<'s>) -> Seen<'s>) -> Step {
        let (commission, verdict) = (execution(self.execution), verdict(self.hold));
        plan(&known(seen(&commission, &verdict, self.run, &self.memory)), &RULES(), now())
    }
}

/// Nothing else is known.
fn seen<'s>(commission: &'s Commission, verdict: &'s Verdict, run: Run<'s>, memory: &'s Memory) -> Seen<'s> {
    let (ended_for, beside) = (Some(Duration::from_secs(60)), None);
    let (other_ended, leftovers, unreadable) = (None, false, None);
    let (verdict, confirmed) = (Some(verdict), Some(true));
    let elsewhere = commission.run_namespace.as_ref().is_some_and(|namespace| **namespace != *"runs");
    Seen {
        commission,
        verdict,
        confirmed,
        run,
        elsewhere,
        ended_for,
        other_ended,
        memory,
        beside,
        leftovers,
        unreadable,
    }
}

/// The plan where so much is known beside the run.
fn knowing(execution: Value, run: Run<'_>, known: impl for<'s> FnOnce(Seen<'s>) -> Seen<'s>) -> String {
    told(&Row { execution, hold: None, run, memory: NOTHING }.but(known))
}

const ABSENT: Run<'static> = Run::Absent;
const UNSEEN: Run<'static> = Run::Unseen;

fn check(rows: Vec<(Value, Run<'_>, Memory, &str)>) {
    for (execution, run, memory, expected) in rows {
        let row = format!("{execution} {run:?} {memory:?}");
        assert_eq!(told(&Row { execution, hold: None, run, memory }.step()), expected, "{row}");
    }
}

#[test]
fn what_waits_and_nothing_holds() {
    let ours = run_of("we-1", "u-1", &going());
    let upstreams = run_of("we-1", "", &going());
    let (nobodys, theirs) = (run_of("", "", &going()), run_of("we-9", "u-9", &going()));
    let (kept, stale) = (run_of("we-9", "u-9", &ended("True", -10)), run_of("we-9", "", &ended("False", -60)));
    let timeless =
        run_of("we-9", "", &json!({"conditions": [{"type": "Succeeded", "status": "True", "reason": "Succeeded"}]}));
    let (before, before_ended) = (run_of("we-1", "u-0", &going()), run_of("we-1", "u-0", &ended("True", -80)));
    let unclaimed = || json!({"metadata": {"finalizers": ["other"]}});
    let name = format!("create {}", run::name("payments/Deployment/api"));
    check(vec![
        (unclaimed(), UNSEEN, NOTHING, "claim"),
        (unclaimed(), Run::There(&ours), NOTHING, "claim"),
        (json!({}), UNSEEN, NOTHING, &name),
        (json!({"spec": {"workflowRef": {"executionEngine": "tekton"}}}), UNSEEN, NOTHING, &name),
        (json!({"status": {"phase": "Pending"}}), ABSENT, NOTHING, &name),
        (json!({}), Run::There(&ours), NOTHING, "write Running ExecutionCreated"),
        (json!({}), Run::There(&upstreams), NOTHING, "write Running ExecutionCreated"),
        (json!({}), Run::There(&nobodys), NOTHING, "write Pending Held"),
        (json!({}), Run::There(&theirs), NOTHING, "write Failed Deduplicated we-9 WorkflowFailed"),
        (json!({}), Run::There(&kept), NOTHING, "write Pending Held"),
        (json!({}), Run::There(&stale), NOTHING, "delete wfe-x r-1"),
        (json!({}), Run::There(&timeless), NOTHING, "delete wfe-x r-1"),
        // Of an earlier execution of this very name: no duplicate of itself.
        (json!({}), Run::There(&before), NOTHING, "write Pending Held"),
        (json!({}), Run::There(&before_ended), NOTHING, "delete wfe-x r-1"),
        (json!({"status": {"phase": "Other"}}), UNSEEN, NOTHING, "rest"),
    ]);
}

/// Its loop was away when the run ended: the run is all that tells of it.
#[test]
fn a_run_that_ended_is_kept_until_its_own_execution_was_told() {
    let stale = run_of("we-9", "u-9", &ended("True", -600));
    let waits = "the run on this target (PipelineRun runs/wfe-x) ended, and its execution was not told yet";
    for (other_ended, status, expected) in [
        (Some(false), json!({}), "write Pending Held"),
        (Some(false), said("TargetLocked", waits), "rest until 10"),
        (Some(true), json!({}), "delete wfe-x r-1"),
        // Nobody is there that could be told.
        (None, json!({}), "delete wfe-x r-1"),
    ] {
        let step = knowing(json!({"status": status}), Run::There(&stale), |seen| Seen { other_ended, ..seen });
        assert_eq!(step, expected, "{other_ended:?} {status}");
    }
}

/// The status of one that waits, and says why.
fn said(reason: &str, message: &str) -> Value {
    let condition = json!({"type": "Admitted", "status": "False", "reason": reason, "message": message});
    json!({"phase": "Pending", "conditions": [condition]})
}

#[test]
fn what_is_said_already_is_not_said_again() {
    let status = |reason, message| json!({"status": said(reason, message)});
    let kept = run_of("we-9", "u-9", &ended("True", -10));
    let nobodys = run_of("", "", &going());
    let is_kept =
        "the run of the last workflow on this target (PipelineRun runs/wfe-x) is kept until 2026-01-05T10:00:50Z";
    let whose =
        "PipelineRun runs/wfe-x is on this target and does not say whose it is; delete it, and this execution starts";
    check(vec![
        (status("TargetLocked", is_kept), Run::There(&kept), NOTHING, "rest until 50"),
        (status("TargetLocked", whose), Run::There(&nobodys), NOTHING, "rest"),
        (status("ResourceBusy", whose), Run::There(&nobodys), NOTHING, "write Pending Held"),
        // The one before is gone, and this one came.
        (status("TargetLocked", is_kept), Run::There(&nobodys), NOTHING, "write Pending"),
    ]);
}

#[test]
fn what_can_never_run_ends_and_says_why_unless_its_run_is_there() {
    let ours = run_of("we-1", "u-1", &going());
    let spec = |spec: Value| json!({"spec": spec});
    let wrong = "write Failed ConfigurationError WorkflowFailed";
    let engine = "write Failed UnsupportedEngine WorkflowFailed";
    let late = || spec(json!({"deadline": stamp(-1)}));
    check(vec![
        (spec(json!({"workflowRef": {"executionBundle": null}})), ABSENT, NOTHING, wrong),
        (spec(json!({"workflowRef": {"executionBundle": ""}})), ABSENT, NOTHING, wrong),
        (spec(json!({"workflowRef": {"executionBundle": " "}})), ABSENT, NOTHING, wrong),
        (spec(json!({"workflowRef": {"executionBundle": "registry/restart:1 "}})), ABSENT, NOTHING, wrong),
        (spec(json!({"target": null})), UNSEEN, NOTHING, wrong),
        (spec(json!({"target": {"name": ""}})), ABSENT, NOTHING, wrong),
        (spec(json!({"target": {"name": "a/b"}})), ABSENT, NOTHING, wrong),
        (spec(json!({"target": {"clusterID": "west"}})), ABSENT, NOTHING, wrong),
        (spec(json!({"workflowRef": {"executionEngine": "ansible"}})), UNSEEN, NOTHING, "look"),
        (spec(json!({"workflowRef": {"executionEngine": "ansible"}})), ABSENT, NOTHING, engine),
        (late(), ABSENT, NOTHING, "write Failed DeadlineExceeded WorkflowFailed"),
        // A crash after the create: its run is there, or may be.
        (late(), UNSEEN, NOTHING, "look"),
        (late(), Run::There(&ours), NOTHING, "write Running ExecutionCreated"),
    ]);
    for unfit in [
        late(),
        spec(json!({"target": {"clusterID": "west"}})),
        spec(json!({"workflowRef": {"executionEngine": "ansible"}})),
    ] {
        let row = Row { execution: unfit, hold: None, run: ABSENT, memory: NOTHING };
        let Step::Write(change) = row.step() else { unreachable!("a write") };
        let failure = member(&change, "failure");
        assert_eq!(failure["wasExecutionFailure"], false, "nothing ran: {failure}");
    }
    check(vec![(spec(json!({"deadline": stamp(0)})), ABSENT, NOTHING, "write Failed DeadlineExceeded WorkflowFailed")]);
    let mut unclaimed = late();
    merge(&mut unclaimed, json!({"metadata": {"finalizers": []}}));
    check(vec![(unclaimed, UNSEEN, NOTHING, "write Failed DeadlineExceeded WorkflowFailed")]);
}

#[test]
fn a_hold_is_waited_for_or_ends_the_execution() {
    let young = || json!({"metadata": {"creationTimestamp": stamp(-5)}});
    let ahead = || json!({"metadata": {"creationTimestamp": stamp(500)}});
    let rows: Vec<(Value, Reason, End, &str, &str)> = vec![
        (json!({}), Reason::ResourceBusy, End::WhenGone, "write Pending Held", "rest"),
        (json!({}), Reason::RecentlyRemediated, End::At(at(30)), "write Pending Held", "rest until 30"),
        (json!({}), Reason::PreviousExecutionFailed, End::WhenCleared, "write Pending Held", "rest"),
        (json!({}), Reason::StaleState, End::WhenGone, "write Pending Held", "rest until 10"),
        (json!({}), Reason::ParentMissing, End::Never, "write Failed NotRun", ""),
        (json!({}), Reason::ParentMismatch, End::Never, "write Failed NotRun", ""),
        (json!({}), Reason::ParentTerminal, End::Never, "write Failed NotRun", ""),
        (young(), Reason::ParentDeleting, End::Never, "write Failed NotRun", ""),
        (json!({}), Reason::ParentTerminal, End::WhenGone, "write Pending Held", "rest"),
        // Who makes both may make it first.
        (young(), Reason::ParentMissing, End::Never, "write Pending Held", "rest until 10"),
        // A clock that goes wrong makes nobody wait for long.
        (ahead(), Reason::ParentMismatch, End::Never, "write Pending Held", "rest until 15"),
    ];
    for (execution, reason, end, first, then) in rows {
        let step = |execution: Value| {
            told(&Row { execution, hold: Some((reason.clone(), end)), run: ABSENT, memory: NOTHING }.step())
        };
        assert_eq!(step(execution.clone()), first, "{reason:?}");
        if !then.is_empty() {
            let mut waiting = execution;
            let hold = Hold { reason: reason.clone(), because: Because::ResourceBusy, by: None, end };
            merge(&mut waiting, json!({"status": said(reason.as_str(), &hold.standing())}));
            assert_eq!(step(waiting), then, "{reason:?}");
        }
    }
    // It may have been begun, and nobody knows yet; and the stream of requests may be behind.
    let never =
        |run| Row { execution: json!({}), hold: Some((Reason::ParentTerminal, End::Never)), run, memory: NOTHING };
    assert_eq!(told(&never(UNSEEN).step()), "look");
    assert_eq!(told(&never(ABSENT).but(|seen| Seen { confirmed: None, ..seen })), "confirm");
    assert_eq!(told(&never(ABSENT).but(|seen| Seen { confirmed: Some(false), ..seen })), "rest until 10");
    // Nothing waits for longer than it may.
    let busy = "ResourceBusy: another workflow is active on this target";
    let short = json!({"spec": {"deadline": stamp(5)}, "status": said("ResourceBusy", busy)});
    let busy =
        Row { execution: short, hold: Some((Reason::ResourceBusy, End::WhenGone)), run: ABSENT, memory: NOTHING };
    assert_eq!(told(&busy.step()), "rest until 5");
    // What was begun before goes on, whatever holds now.
    let ours = run_of("we-1", "u-1", &going());
    let hold = Some((Reason::ResourceBusy, End::WhenGone));
    let begun = Row { execution: json!({}), hold, run: Run::There(&ours), memory: NOTHING };
    assert_eq!(told(&begun.step()), "write Running ExecutionCreated");
}

#[test]
fn without_a_verdict_nothing_begins() {
    let commission = execution(json!({}));
    let asked = verdict(None);
    let seen = Seen { verdict: None, ..seen(&commission, &asked, Run::Unseen, &NOTHING) };
    assert_eq!(told(&plan(&seen, &RULES(), now())), "rest until 1");
}

#[test]
fn what_runs_is_followed_to_its_end() {
    let (ours, theirs) = (run_of("we-1", "u-1", &going()), run_of("we-9", "u-9", &going()));
    let well = run_of("we-1", "u-1", &ended("True", -5));
    let failed = run_of("we-1", "u-1", &ended("False", -5));
    let running = || phase("Running");
    let mut unclaimed = running();
    merge(&mut unclaimed, json!({"metadata": {"finalizers": []}}));
    let lost = "write Failed Unknown WorkflowFailed";
    check(vec![
        (unclaimed, Run::There(&ours), NOTHING, "claim"),
        (running(), Run::There(&ours), NOTHING, "write "),
        (running(), Run::There(&well), NOTHING, "write Completed WorkflowCompleted"),
        (running(), Run::There(&failed), NOTHING, lost),
        (running(), UNSEEN, NOTHING, "look"),
        (running(), UNSEEN, gone(true), "look"),
        (running(), ABSENT, gone(true), lost),
        (running(), ABSENT, gone(false), lost),
        (running(), ABSENT, NOTHING, lost),
        (running(), Run::There(&theirs), gone(false), lost),
        (running(), Run::There(&theirs), NOTHING, lost),
    ]);
}

#[test]
fn what_ended_goes_after_its_time_and_takes_its_own_run_along() {
    let (ours, theirs) = (run_of("we-1", "u-1", &ended("True", -70)), run_of("we-9", "u-9", &ended("True", -70)));
    let (goes_on, before) = (run_of("we-1", "u-1", &going()), run_of("we-1", "u-0", &ended("True", -70)));
    let next = run_of("we-9", "u-9", &going());
    let over = |phase: &str, seconds: i64| json!({"status": {"phase": phase, "completionTime": stamp(seconds)}});
    let deleting = |phase: &str| json!({"metadata": {"deletionTimestamp": stamp(-1)}, "status": {"phase": phase}});
    let unclaimed = |mut object: Value| {
        merge(&mut object, json!({"metadata": {"finalizers": []}}));
        object
    };
    let unknown = || NOTHING;
    check(vec![
        (over("Completed", -10), Run::There(&ours), unknown(), "rest until 50"),
        (over("Failed", -60), Run::There(&ours), unknown(), "delete wfe-x r-1"),
        (over("Completed", -61), UNSEEN, unknown(), "look"),
        (over("Completed", -61), ABSENT, unknown(), "release"),
        (over("Completed", -61), Run::There(&theirs), unknown(), "release"),
        (over("Completed", -61), Run::There(&before), unknown(), "release"),
        (over("Completed", -61), Run::There(&next), unknown(), "release"),
        (json!({"status": {"phase": "Completed"}}), Run::There(&ours), unknown(), "delete wfe-x r-1"),
        (unclaimed(over("Completed", -61)), Run::There(&ours), unknown(), "rest"),
        // Whoever wrote its end, its run goes on: it is not cut short, but by a deletion.
        (over("Failed", -61), Run::There(&goes_on), unknown(), "rest"),
        (deleting("Failed"), Run::There(&goes_on), unknown(), "delete wfe-x r-1 and wait"),
        (deleting("Running"), Run::There(&goes_on), unknown(), "delete wfe-x r-1 and wait"),
        (deleting(""), UNSEEN, unknown(), "look"),
        (deleting("Pending"), ABSENT, unknown(), "release"),
        (deleting("Pending"), Run::There(&theirs), unknown(), "release"),
        (unclaimed(deleting("Running")), UNSEEN, unknown(), "rest"),
    ]);
}

#[test]
fn a_refusal_is_classified_and_what_is_not_installed_is_waited_for() {
    for (code, message, expected) in [
        (403, "pipelineruns is forbidden: exceeded quota: team", Why::ResourceExhausted),
        (403, "User \"u\" cannot create resource \"pipelineruns\"", Why::Forbidden),
        (422, "spec.params: Invalid value", Why::ConfigurationError),
        (400, "admission webhook \"w\" denied the request: no", Why::Forbidden),
    ] {
        let Step::Write(change) = refused(&execution(json!({})), code, "", message, now()) else {
            unreachable!("a write");
        };
        assert_eq!(member(&change, "failureReason"), expected.as_str(), "{message}");
        assert!(!member(&change, "failure")["wasExecutionFailure"].as_bool().unwrap_or(false), "{message}");
        let created = member(&change, "conditions");
        assert_eq!((&created[0]["type"], &created[0]["status"]), (&json!("ExecutionCreated"), &json!("False")));
    }
    let missing = |execution: &Commission| refused(execution, 404, "", "404 page not found", now());
    assert_eq!(told(&missing(&execution(json!({})))), "write Pending Held");
    let message = "PipelineRuns cannot be created yet (404 page not found): install Tekton Pipelines, which serves tekton.dev/v1, and this execution starts";
    assert_eq!(told(&missing(&execution(json!({"status": said("TektonMissing", message)})))), "rest until 10");
}

fn member(change: &StatusChange, name: &str) -> Value {
    let found = change.members.iter().find(|(member, _)| *member == name);
    found.and_then(|(_, value)| value.clone()).unwrap_or_default()
}

fn written(commission: &Commission, run: &Carrier) -> Option<StatusChange> {
    let verdict = verdict(None);
    match plan(&seen(commission, &verdict, Run::There(run), &NOTHING), &RULES(), now()) {
        Step::Write(change) => Some(*change),
        _ => None,
    }
}

#[test]
fn progress_is_written_once_and_again_when_it_changes() {
    let run = run_of("we-1", "u-1", &going());
    let mut stored = phase("Running");
    let first = written(&execution(stored.clone()), &run).unwrap();
    let told = member(&first, "execution");
    assert_eq!(
        told,
        json!({"ref": {"name": "wfe-x"}, "status": "Unknown", "reason": "Running", "message": "m", "completedTasks": 0, "totalTasks": 0})
    );
    assert!(first.event.is_none());
    merge(&mut stored, json!({"status": {"execution": told, "conditions": member(&first, "conditions")}}));
    assert_eq!(written(&execution(stored.clone()), &run), None);
    let mut further = going();
    further["conditions"][0]["message"] = json!("Tasks Completed: 1");
    let run = run_of("we-1", "u-1", &further);
    let second = written(&execution(stored), &run).unwrap();
    assert_eq!(member(&second, "conditions")[0]["message"], "Tasks Completed: 1");
}

#[test]
fn conditions_of_others_stay_and_a_time_changes_only_with_its_status() {
    let other = json!({"type": "AuditRecorded", "status": "True", "reason": "r", "message": "m", "lastTransitionTime": stamp(-50)});
    let running = json!({"type": "ExecutionRunning", "status": "True", "reason": "ExecutionStarted", "message": "old", "lastTransitionTime": stamp(-80)});
    let mut stored = phase("Running");
    merge(&mut stored, json!({"status": {"conditions": [other, running]}}));
    let run = run_of("we-1", "u-1", &going());
    let conditions = member(&written(&execution(stored.clone()), &run).unwrap(), "conditions");
    assert_eq!(conditions[0], other);
    assert_eq!((&conditions[1]["message"], &conditions[1]["lastTransitionTime"]), (&json!("m"), &stamp(-80)));
    let well = run_of("we-1", "u-1", &ended("True", -5));
    let change = written(&execution(stored), &well).unwrap();
    let conditions = member(&change, "conditions");
    assert_eq!((&conditions[1]["status"], &conditions[1]["lastTransitionTime"]), (&json!("False"), &stamp(0)));
    assert_eq!((&conditions[2]["type"], &conditions[2]["status"]), (&json!("ExecutionComplete"), &json!("True")));
    // From the run, not from the clock.
    assert_eq!((member(&change, "completionTime"), member(&change, "duration")), (stamp(-5), json!("1m25s")));
}

/// What a Job's row is about.
fn job(status: &Value) -> Carrier {
    carrier(Engine::Job, "we-1", "u-1", status)
}

fn over(kind: &str, reason: &str, seconds: i64) -> Value {
    json!([{"type": kind, "status": "True", "reason": reason, "message": "m", "lastTransitionTime": stamp(seconds)}])
}

#[test]
fn a_missing_namespace_is_waited_for() {
    for (engine, kind) in [("job", "Job"), ("tekton", "PipelineRun")] {
        let commission = execution(json!({"spec": {"workflowRef": {"executionEngine": engine}}}));
        let Step::Write(change) = refused(&commission, 404, "NotFound", "namespaces \"runs\" not found", now()) else {
            unreachable!("a write");
        };
        let told = &member(&change, "conditions")[0];
        let message = format!(
            "{kind}s cannot be created yet (namespaces \"runs\" not found): create the namespace, and this execution starts"
        );
        assert_eq!((&told["reason"], &told["message"]), (&json!("NamespaceMissing"), &json!(message)));
    }
}

/// Tekton takes a task by its name for the next run's.
#[test]
fn what_an_earlier_run_left_behind_is_waited_for() {
    let step = |status: Value, leftovers| knowing(json!({"status": status}), ABSENT, |seen| Seen { leftovers, ..seen });
    let name = crate::controller::executor::run_name("payments/Deployment/api");
    let waits = format!(
        "parts of the run before it are still there (TaskRuns of label tekton.dev/pipelineRun={name}, or Pods of label job-name={name}); it starts when they are gone"
    );
    assert_eq!(step(json!({}), true), "write Pending Held");
    assert_eq!(step(said("TargetLocked", &waits), true), "rest until 10");
    assert_eq!(step(json!({}), false), format!("create {}", run::name("payments/Deployment/api")));
}

#[test]
fn a_namespace_that_is_being_deleted_is_waited_for() {
    let message = "pipelineruns.tekton.dev \"wfe-x\" is forbidden: unable to create new content in namespace runs because it is being terminated";
    let Step::Write(change) = refused(&execution(json!({})), 403, "Forbidden", message, now()) else {
        unreachable!("a write")
    };
    assert_eq!(
        (member(&change, "phase"), &member(&change, "conditions")[0]["reason"]),
        (json!("Pending"), &json!("NamespaceTerminating"))
    );
}

#[test]
fn what_waiting_changes_is_tried_again_and_the_rest_is_said() {
    for code in [400, 403, 404, 413, 415, 422] {
        assert!(is_final(code), "{code}");
    }
    for code in [0, 401, 409, 410, 429, 500, 503, 504] {
        assert!(!is_final(code), "{code}");
    }
}
