//! Did anything run? Nobody is told "no" where that cannot be excluded.

use super::evidence::{Evidence, Source, Weight};
use super::table::{self, Class, Start};
use super::text;
use crate::api::facts::Timestamp;
use crate::api::tekton::{Attempt, Container, State, TaskRun, Terminated};

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
    task.attempts().filter_map(|attempt| self::attempt(attempt, task.created, &source)).min_by_key(|found| found.weight)
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
    if let Some(step) = told(attempt, created) {
        return Some(source.says(Weight::Message, format!("its message tells of {step} at work")));
    }
    if let Some(step) = seen(Started::Doubt) {
        let says = format!("may have started ({})", state(step));
        return Some(source.container("step", step).says(Weight::Doubt, says));
    }
    let silent = attempt.has_pod && attempt.steps.is_empty() && !turned_away(&condition.message);
    silent.then(|| source.says(Weight::Doubt, "had a Pod, and nothing is known of its steps"))
}

/// Whether a container started, now or before the kubelet started it again.
pub(super) fn container(container: &Container, created: Option<Timestamp>) -> Started {
    match (now(container, created), &container.before) {
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
        State::None | State::Waiting { .. } => Started::No,
        State::Terminated(end) if table::NEVER_STARTED.contains(&&*end.reason) => Started::No,
        State::Terminated(end) if &*end.reason == table::LOST => Started::Doubt,
        State::Terminated(_) if container.has_image => Started::Yes,
        State::Terminated(end) if rewritten(end, created) => Started::No,
        State::Terminated(_) => Started::Doubt,
    }
}

fn rewritten(end: &Terminated, created: Option<Timestamp>) -> bool {
    let by_tekton = table::task_run(&end.reason).is_some();
    let never = end.started.is_none_or(|at| at == Timestamp::UNIX_EPOCH || Some(at) == created);
    by_tekton && never && end.exit_code == Some(1)
}

/// The container that the controller's words tell of at work; nobody is believed against the record of that container.
fn told(attempt: &Attempt, created: Option<Timestamp>) -> Option<String> {
    let (head, previous) = text::previous(&attempt.condition.message);
    // Tekton keeps a status below a timeout and nowhere else; what others put there is theirs.
    let trusted = match table::task_run(&attempt.condition.reason).map(|row| row.class) {
        Some(Class::Timeout) => true,
        Some(Class::Cancelled) => text::cancelled_by_timeout(&attempt.condition.message),
        _ => false,
    };
    let texts = [Some(head), previous.filter(|_| trusted).map(|(_, told)| told)];
    let refuted = |name: &str| {
        let bare = name.trim_start_matches("build-").trim_start_matches("step-");
        attempt
            .steps
            .iter()
            .any(|step| step.name.trim_start_matches("step-") == bare && container(step, created) == Started::No)
    };
    texts.into_iter().flatten().find_map(at_work).filter(|name| !refuted(name))
}

/// The step, or the Pod, that one of the controller's sentences tells of at work.
pub(super) fn at_work(message: &str) -> Option<String> {
    if let Some(exit) = text::exit(message) {
        let refused = exit.reason.is_some_and(|reason| table::NEVER_STARTED.contains(&reason));
        let step = exit.container.starts_with("step-") || exit.container.starts_with("build-step-");
        return (step && !exit.init && !refused).then(|| exit.container.to_owned());
    }
    let used = || text::tells_of_use(message).then(|| "its Pod".to_owned());
    text::step_timeout(message).map(str::to_owned).or_else(used)
}

/// The Pod never got as far as its steps: a node refused it, or one of Tekton's own init containers failed.
fn turned_away(message: &str) -> bool {
    let refused = text::pod(message).is_some_and(|(_, away)| away);
    refused || text::exit(message).is_some_and(|exit| exit.prepares())
}

/// A container's state in a few words.
pub(super) fn state(container: &Container) -> String {
    let now = match &container.state {
        State::None => "no state".to_owned(),
        State::Running => "running".to_owned(),
        State::Waiting { reason, .. } => format!("waiting {reason}"),
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
    format!("terminated{reason}{}{code}", end.reason)
}
