//! Did anything run? Nobody is told "no" where that cannot be excluded.

use super::evidence::{Evidence, Source, Weight};
use super::table::{self, Class, Start};
use super::text;
use crate::api::facts::Timestamp;
use crate::api::tekton::{Attempt, Condition, Container, State, TaskRun, Terminated};

/// What one container's state says of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Started {
    Yes,
    Doubt,
    No,
}

/// The strongest evidence that something of this task ran, in whichever attempt.
pub(super) fn task(task: &TaskRun) -> Option<Evidence> {
    let source = Source::of("TaskRun", &task.key);
    let found = task.attempts().filter_map(|attempt| self::attempt(attempt, task.created, &source));
    found.min_by_key(|found| found.weight).or_else(|| unended(task, &source))
}

/// What comes before another attempt ended: where its end is not told, neither is what it did.
fn unended(task: &TaskRun, source: &Source) -> Option<Evidence> {
    let told = |attempt: &Attempt| attempt.condition.succeeded() || attempt.condition.failed();
    let unended = task.earlier.iter().any(|attempt| !attempt.is_check && !told(attempt));
    unended.then(|| source.says(Weight::Doubt, "had an attempt before, and its end is not told"))
}

/// The same of one attempt.
pub(super) fn attempt(attempt: &Attempt, created: Option<Timestamp>, source: &Source) -> Option<Evidence> {
    let seen = |wanted| attempt.steps.iter().find(|step| container(step, created) == wanted);
    if let Some(step) = seen(Started::Yes) {
        return Some(source.container("step", step).says(Weight::Kubelet, format!("started ({})", state(step))));
    }
    let condition = &attempt.condition;
    if condition.succeeded() || table::task_run(&condition.reason).is_some_and(|row| row.start == Start::Certain) {
        return Some(source.says(Weight::TaskRun, format!("reason {}, given only after a start", condition.reason)));
    }
    if let Some((step, weight)) = told(attempt, created) {
        return Some(source.says(weight, tells_of(&step, weight)));
    }
    let doubt = |step: &Container, role| {
        let says = format!("may have started ({})", state(step));
        source.container(role, step).says(Weight::Doubt, says)
    };
    if let Some(step) = seen(Started::Doubt) {
        return Some(doubt(step, "step"));
    }
    // The image of a sidecar is the workflow's as well, and nobody says what it does.
    if let Some(sidecar) = attempt.sidecars.iter().find(|sidecar| container(sidecar, created) != Started::No) {
        return Some(doubt(sidecar, "sidecar"));
    }
    // Tekton calls it Running while the Pod runs: one of its containers does, or did.
    if at_work_by_reason(attempt) {
        return Some(source.says(Weight::Doubt, "reason Running, given while its Pod runs"));
    }
    let known = |step: &Container| step.state != State::None;
    let silent = attempt.has_pod && !attempt.steps.iter().any(known) && !turned_away(attempt);
    silent.then(|| source.says(Weight::Doubt, "had a Pod, and nothing is known of its steps"))
}

fn at_work_by_reason(attempt: &Attempt) -> bool {
    let condition = &attempt.condition;
    let before = kept(condition).is_some_and(|(reason, _)| reason == "Running");
    before || &*condition.reason == "Running"
}

/// Whether a container started, now or before the kubelet started it again.
pub(super) fn container(container: &Container, created: Option<Timestamp>) -> Started {
    match (now(container, created), &container.before) {
        // It was started again, and how it ended before is gone.
        (Started::No, None) if container.restarted => Started::Doubt,
        (Started::Yes, _) | (_, None) => now(container, created),
        (_, Some(end)) if table::NEVER_STARTED.contains(&&*end.reason) => now(container, created),
        // The kubelet starts nothing a second time that it had not started.
        _ => Started::Yes,
    }
}

/// A container started if it runs, or ended with an image and not by the runtime's refusal. Tekton rewrites what was
/// waiting as terminated with exit code 1, its own reason, no image, and the TaskRun's creation (or nothing) as its start.
fn now(container: &Container, created: Option<Timestamp>) -> Started {
    match &container.state {
        State::Running => Started::Yes,
        State::Unreadable => Started::Doubt,
        State::Waiting { reason, .. } if &**reason == table::CRASHED => Started::Doubt,
        // It was made, and what became of it is not told.
        State::None if container.has_image => Started::Doubt,
        State::None | State::Waiting { .. } => Started::No,
        State::Terminated(end) if table::NEVER_STARTED.contains(&&*end.reason) => Started::No,
        State::Terminated(end) if &*end.reason == table::LOST => Started::Doubt,
        State::Terminated(_) if container.has_image => Started::Yes,
        State::Terminated(end) if rewritten(end, created) => Started::No,
        State::Terminated(_) => Started::Doubt,
    }
}

fn rewritten(end: &Terminated, created: Option<Timestamp>) -> bool {
    let never = end.started.is_none_or(|at| at == Timestamp::UNIX_EPOCH || Some(at) == created);
    by_tekton(end) && never
}

/// Tekton's own word for the end of a container that it ended, or that never was.
pub(super) fn by_tekton(end: &Terminated) -> bool {
    table::task_run(&end.reason).is_some() && end.exit_code == Some(1)
}

/// The container that the controller's words tell of, and how much they say; nobody is believed against the record of
/// that container.
fn told(attempt: &Attempt, created: Option<Timestamp>) -> Option<(String, Weight)> {
    let condition = &attempt.condition;
    let (head, _) = text::previous(&condition.message);
    if &*condition.reason == "TaskRunValidationFailed" && text::checks_results(head) {
        return Some(("its steps".to_owned(), Weight::Message));
    }
    let texts = [Some(head), kept(condition).map(|(_, told)| told)];
    let refuted = |name: &str| {
        let bare = name.trim_start_matches("build-");
        let is = |role: &str, one: &Container| bare.trim_start_matches(role) == one.name.trim_start_matches(role);
        let of = |role, all: &[Container]| {
            // A record without an end is an older one than the sentence that tells of it.
            let denies =
                |one: &Container| matches!(one.state, State::Terminated(_)) && container(one, created) == Started::No;
            bare.starts_with(role) && all.iter().any(|one| is(role, one) && denies(one))
        };
        of("step-", &attempt.steps) || of("sidecar-", &attempt.sidecars)
    };
    texts.into_iter().flatten().find_map(at_work).filter(|(name, _)| !refuted(name))
}

/// The status that Tekton kept below a timeout. It keeps one there and nowhere else; what others put there is theirs.
fn kept(condition: &Condition) -> Option<(&str, &str)> {
    let trusted = match table::task_run(&condition.reason).map(|row| row.class) {
        Some(Class::Timeout) => true,
        Some(Class::Cancelled) => text::cancelled_with_its_run(&condition.message),
        _ => false,
    };
    text::previous(&condition.message).1.filter(|_| trusted)
}

/// What one of the controller's sentences tells of at work, a step or the Pod, and how much that says: a container that
/// got lost may have waited, and a sidecar is no step.
pub(super) fn at_work(message: &str) -> Option<(String, Weight)> {
    if let Some(exit) = text::exit(message) {
        let refused = exit.reason.is_some_and(|reason| table::NEVER_STARTED.contains(&reason));
        let step = exit.container.starts_with("step-") || exit.container.starts_with("build-step-");
        let own = step && !exit.init || exit.container.starts_with("sidecar-");
        let sure = step && exit.reason != Some(table::LOST);
        let weight = if sure { Weight::Message } else { Weight::Doubt };
        return (own && !refused).then(|| (exit.container.to_owned(), weight));
    }
    let used = || text::tells_of_use(message).then(|| "its Pod".to_owned());
    let told = text::step_timeout(message).map(str::to_owned).or_else(used)?;
    Some((told, Weight::Message))
}

/// What a message says that tells of this.
pub(super) fn tells_of(what: &str, weight: Weight) -> String {
    let how = if weight == Weight::Doubt { ", which may have been" } else { "" };
    format!("its message tells of {what}{how} at work")
}

/// The Pod never got as far as its steps: no node took it, one refused it, or one of Tekton's own init containers failed.
fn turned_away(attempt: &Attempt) -> bool {
    let condition = &attempt.condition;
    let message = &condition.message;
    // A bare Pending: the kubelet had not said a word of the Pod.
    let waited = |(reason, told): (&str, &str)| {
        reason == "ExceededNodeResources" || text::unplaced(told) || reason == "Pending" && told.trim_end() == "Pending"
    };
    text::pod(message).is_some_and(|(_, away)| away)
        || text::exit(message).is_some_and(|exit| exit.prepares())
        || &*condition.reason == "ExceededNodeResources"
        || kept(condition).is_some_and(waited)
}

/// A container's state in a few words.
pub(super) fn state(container: &Container) -> String {
    let now = match &container.state {
        State::None => "no state".to_owned(),
        State::Running => "running".to_owned(),
        State::Waiting { reason, message } => format!("waiting {reason}{}", told_by(message)),
        State::Terminated(end) => ended(end),
        State::Unreadable => "in a form that cannot be read".to_owned(),
    };
    match &container.before {
        Some(end) => format!("{now}, before that {}", ended(end)),
        None => now,
    }
}

fn ended(end: &Terminated) -> String {
    let reason = if end.reason.is_empty() { "" } else { " " };
    let code = end.exit_code.map(|code| format!(", exit {code}")).unwrap_or_default();
    // Where nothing ever started, the message is the runtime's own; elsewhere the workflow wrote it.
    let own = table::NEVER_STARTED.contains(&&*end.reason);
    let told = if own { told_by(&end.message) } else { String::new() };
    format!("terminated{reason}{}{code}{told}", end.reason)
}

/// What the kubelet or the runtime says of it.
fn told_by(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {}", super::words::quote(message)) }
}
