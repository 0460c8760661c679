//! What a request is to say of its execution: a function of the two as they are stored, of what its siblings add up to and of the
//! policy. All of an end is one change: after a crash it stands or it does not, and what is written once is left alone. Its times
//! are those of the execution; the clock is asked only where that does not tell its own.

use serde_json::{Value, json};

use crate::api::facts::{
    CLOCKS, ExecutionPhase, ObjectKey, RemediationRequest, RequestPhase, Timestamp, WorkflowExecution, told,
};
use crate::controller::change::{Event, StatusChange, time};
use crate::routing::{Jitter, Mode, Policy};

/// All that a plan may know.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    pub execution: &'a WorkflowExecution,
    pub end: End<'a>,
    /// None: it is not there, or cannot be read.
    pub request: Option<Request<'a>>,
    /// Another execution that the request names as its own, where that is there.
    pub other: Option<&'a WorkflowExecution>,
    /// None: nobody has counted yet.
    pub counts: Option<Counts>,
}

/// What an execution says of itself beside its facts.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    pub uid: &'a str,
    pub started: Option<Timestamp>,
    /// Of its failure; both are empty where nobody read them before it went.
    pub reason: &'a str,
    pub message: &'a str,
}

/// A request as it is stored, in the hub's form.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub facts: &'a RemediationRequest,
    pub hub: &'a Value,
}

impl Request<'_> {
    /// The name of the execution that it names as its own.
    #[must_use]
    pub fn execution(&self) -> Option<&str> {
        let name = self.hub.pointer("/status/phaseProgress/workflowExecutionRef/name")?.as_str()?;
        Some(name).filter(|name| !name.is_empty())
    }

    /// The one of that name, where it says which.
    #[must_use]
    pub fn execution_uid(&self) -> Option<&str> {
        let uid = self.hub.pointer("/status/phaseProgress/workflowExecutionRef/uid")?.as_str()?;
        Some(uid).filter(|uid| !uid.is_empty())
    }
}

/// What failures add up to, this one among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Of the signal, in a row.
    pub failures: usize,
    /// On the target and before anything ran, in a row.
    pub starts: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// There is nothing to say, or not yet.
    Rest,
    /// Failures are to be counted first.
    Count,
    Write(Box<StatusChange>),
}

/// Nothing is to be said, as far as these tell: no need to ask the API server.
#[must_use]
pub fn settled(execution: &WorkflowExecution, request: Option<&RemediationRequest>) -> bool {
    let says = |phase: RequestPhase| match execution.phase {
        ExecutionPhase::Completed | ExecutionPhase::Failed => phase.terminal() || phase == RequestPhase::Verifying,
        _ => !may_execute(phase),
    };
    let tells = !matches!(execution.phase, ExecutionPhase::Unset | ExecutionPhase::Pending | ExecutionPhase::Other);
    !tells || request.is_some_and(|request| says(request.phase))
}

/// Before Executing. Of a block its writer decides, and Verifying is for who began it.
fn may_execute(phase: RequestPhase) -> bool {
    use RequestPhase::{Analyzing, AwaitingApproval, Pending, Processing, Unset};
    matches!(phase, Unset | Pending | Processing | Analyzing | AwaitingApproval)
}

#[must_use]
pub fn plan(seen: &Seen<'_>, policy: &Policy, now: Timestamp) -> Step {
    let Some(request) = seen.request else { return Step::Rest };
    let execution = seen.execution;
    if !is_of(execution, request.facts)
        || request.facts.deleting
        || seen.other.is_some()
        || settled(execution, Some(request.facts))
    {
        return Step::Rest;
    }
    let mut change = match execution.phase {
        ExecutionPhase::Completed => remediated(execution, now),
        ExecutionPhase::Failed if duplicate(execution) => deduplicated(seen, now),
        ExecutionPhase::Failed => match seen.counts {
            Some(counts) => failed(seen, counts, policy, now),
            None => return Step::Count,
        },
        _ => executing(seen, now),
    };
    // One of this name that was deleted and made anew is another one.
    let named = (request.execution(), request.execution_uid().unwrap_or(seen.end.uid));
    if named != (Some(&*execution.key.name), seen.end.uid) && !seen.end.uid.is_empty() {
        change.members.push(("phaseProgress.workflowExecutionRef", Some(reference(seen))));
    }
    if request.facts.phase == RequestPhase::Blocked {
        // An ended one carries no block.
        change.members.extend(BLOCK.map(|member| (member, None)));
    }
    Step::Write(Box::new(change))
}

/// The execution is this request's, and not of one that had its name before: the uid tells, where the execution says it; else a
/// request comes before its execution.
fn is_of(execution: &WorkflowExecution, request: &RemediationRequest) -> bool {
    let latest = execution.created.and_then(|created| created.checked_add(CLOCKS).ok());
    let in_time = || latest.zip(request.created).is_none_or(|(latest, request)| request <= latest);
    execution.parent.uid.as_ref().map_or_else(in_time, |uid| *uid == request.uid)
}

/// What a request says whose execution was deleted before it ended; None: it is not on it.
#[must_use]
pub fn abandoned(request: Request<'_>, execution: &ObjectKey, failures: usize, now: Timestamp) -> Option<StatusChange> {
    let on_it = request.facts.phase == RequestPhase::Executing && request.execution() == Some(&*execution.name);
    if !on_it || request.facts.deleting {
        return None;
    }
    let reason = format!(
        "WorkflowExecution {execution} was deleted before it ended; what it did is not known: look at its target"
    );
    let event = Some(Event::warning("WorkflowFailed", &reason));
    let count = i32::try_from(failures).unwrap_or(i32::MAX);
    let members = vec![
        ("overallPhase", Some(json!("Failed"))),
        ("completedAt", Some(time(now))),
        ("completion.failurePhase", Some(json!("WorkflowExecution"))),
        ("completion.failureReason", Some(json!(reason))),
        ("routing.consecutiveFailureCount", Some(json!(count))),
    ];
    Some(StatusChange { members, event })
}

/// What a request says of the block that it is under.
const BLOCK: [&str; 3] = ["routing.blockReason", "routing.blockMessage", "routing.blockedUntil"];

fn duplicate(execution: &WorkflowExecution) -> bool {
    execution.failure.is_some_and(|failure| failure.deduplicated)
}

fn reference(seen: &Seen<'_>) -> Value {
    let key = &seen.execution.key;
    json!({"apiVersion": "kubernaut.ai/v1alpha1", "kind": "WorkflowExecution", "name": key.name, "namespace": key.namespace,
        "uid": seen.end.uid})
}

/// When it ended; by this the request ended too.
fn ended(execution: &WorkflowExecution, now: Timestamp) -> Timestamp {
    execution.completed_at.unwrap_or(now)
}

fn executing(seen: &Seen<'_>, now: Timestamp) -> StatusChange {
    let note = format!("WorkflowExecution {} runs", seen.execution.key);
    StatusChange {
        members: vec![
            ("overallPhase", Some(json!("Executing"))),
            ("phaseProgress.executingStartTime", Some(time(seen.end.started.unwrap_or(now)))),
        ],
        event: Some(Event::normal("WorkflowRuns", &note)),
    }
}

fn remediated(execution: &WorkflowExecution, now: Timestamp) -> StatusChange {
    let note = format!("WorkflowExecution {} succeeded; nothing holds this signal for its failures", execution.key);
    StatusChange {
        members: vec![
            ("overallPhase", Some(json!("Completed"))),
            ("completedAt", Some(time(ended(execution, now)))),
            ("completion.outcome", Some(json!("Remediated"))),
            ("routing.consecutiveFailureCount", Some(json!(0))),
            ("routing.nextAllowedExecution", None),
        ],
        event: Some(Event::normal("Remediated", &note)),
    }
}

fn gave_up(seen: &Seen<'_>, phase: &str, reason: &str, now: Timestamp) -> StatusChange {
    StatusChange {
        members: vec![
            ("overallPhase", Some(json!("Failed"))),
            ("completedAt", Some(time(ended(seen.execution, now)))),
            ("completion.failurePhase", Some(json!(phase))),
            ("completion.failureReason", Some(json!(reason))),
        ],
        event: None,
    }
}

/// It never was an attempt: nothing is counted.
fn deduplicated(seen: &Seen<'_>, now: Timestamp) -> StatusChange {
    let why = if seen.end.message.is_empty() { "another one had its target" } else { seen.end.message };
    let reason = format!("WorkflowExecution {} was not started: {why}", seen.execution.key);
    let event = Some(Event::normal("NotTried", &format!("{reason}; this does not count as a failure")));
    StatusChange { event, ..gave_up(seen, "Deduplicated", &reason, now) }
}

fn failed(seen: &Seen<'_>, counts: Counts, policy: &Policy, now: Timestamp) -> StatusChange {
    let execution = seen.execution;
    let reason = reason(seen);
    let mut change = gave_up(seen, "WorkflowExecution", &reason, now);
    let count = i32::try_from(counts.failures).unwrap_or(i32::MAX);
    change.members.push(("routing.consecutiveFailureCount", Some(json!(count))));
    let rule = &policy.checks.consecutive_failures;
    // From there on the signal is held for longer, and RO leaves the time as it is.
    let held = rule.mode != Mode::Off && counts.failures >= rule.threshold.get() as usize;
    let before_it_ran = execution.failure.is_some_and(|failure| !failure.was_execution_failure) && !execution.cleared;
    let wait = policy.checks.exponential_backoff.spread(counts.starts, Jitter::of(seen.end.uid));
    let next = ended(execution, now).checked_add(wait).unwrap_or(Timestamp::MAX);
    let next = (before_it_ran && !held && !wait.is_zero()).then_some(next);
    if let Some(next) = next {
        change.members.push(("routing.nextAllowedExecution", Some(time(next))));
    }
    let row = match count {
        1 => "1 failure for this signal".to_owned(),
        _ => format!("{count} failures in a row for this signal"),
    };
    let after = match next {
        Some(next) => format!("; not tried again before {}", told(whole(next))),
        None if held => format!("; {} or more hold it for {}", rule.threshold, rule.cooldown),
        None => String::new(),
    };
    change.event = Some(Event::warning("WorkflowFailed", &format!("{reason}; {row}{after}")));
    change
}

/// As it is written.
fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn reason(seen: &Seen<'_>) -> String {
    let (execution, End { reason, message, .. }) = (seen.execution, seen.end);
    let Some(failure) = execution.failure else {
        return format!("WorkflowExecution {} failed and does not say why", execution.key);
    };
    let when = if failure.was_execution_failure { "while it ran" } else { "before anything ran" };
    if reason.is_empty() && message.is_empty() {
        return format!(
            "WorkflowExecution {} failed {when}, and was deleted before its reason was read",
            execution.key
        );
    }
    format!("WorkflowExecution {} failed {when}: {reason}: {message}", execution.key)
}
