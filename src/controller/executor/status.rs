//! What the executor says on a status: members of the hub's form, conditions by the rules of meta/v1, and a word for people.

use serde_json::{Map, Value, json};

use crate::api::duration::GoDuration;
use crate::api::facts::{Commission, ObjectKey, Record, Timestamp};
use crate::api::tekton::{Carrier, Status};
use crate::controller::change::{Event, StatusChange, time};
use crate::failure::{Account, Classification, Reason};
use crate::status::details;

/// As the schema of a condition has it.
const MESSAGE_MAX_CHARS: usize = 32_768;
impl StatusChange {
    pub(super) fn held(commission: &Commission, reason: &str, message: &str, now: Timestamp) -> Self {
        let mut conditions = Conditions::of(commission, now);
        conditions.say("Admitted", false, reason, message);
        Self {
            members: vec![("phase", Some(json!("Pending"))), conditions.member()],
            event: Some(Event::warning("Held", message)),
        }
    }

    /// It can never run, and that is nobody's failure: no details, so that it holds nothing.
    pub(super) fn given_up(commission: &Commission, reason: &str, message: &str, now: Timestamp) -> Self {
        let message = &format!("{message}; this execution is not run any more: create a new one");
        let mut conditions = Conditions::of(commission, now);
        conditions.say("Admitted", false, reason, message);
        conditions.say("ExecutionComplete", true, reason, message);
        Self {
            members: vec![("phase", Some(json!("Failed"))), ("completionTime", Some(time(now))), conditions.member()],
            event: Some(Event::warning("NotRun", message)),
        }
    }

    pub(super) fn running(commission: &Commission, run: &Carrier, now: Timestamp) -> Self {
        let message = format!("{run} carries it out");
        let mut conditions = Conditions::of(commission, now);
        conditions.say("Admitted", true, "Admitted", "nothing holds it");
        conditions.say("ExecutionCreated", true, "ExecutionCreated", &message);
        let started = run.created().unwrap_or(now);
        Self {
            members: vec![
                ("phase", Some(json!("Running"))),
                ("startTime", Some(time(started))),
                told(run),
                conditions.member(),
            ],
            event: Some(Event::normal("ExecutionCreated", &message)),
        }
    }

    /// None: nothing that is told has changed.
    pub(super) fn progress(commission: &Commission, run: &Carrier, now: Timestamp) -> Option<Self> {
        let mut told = execution(run);
        let mut conditions = Conditions::of(commission, now);
        // A Job that is suspended has no start any more, and something to say.
        let said = Some(run.condition().message).filter(|message| !message.is_empty());
        let at_work = || run.started().map(|_| format!("{run} is at work").into());
        if let Some(message) = said.or_else(at_work) {
            conditions.say("ExecutionRunning", true, "ExecutionStarted", &message);
        }
        let same = commission.progress.execution == Value::Object(told.clone());
        if same && conditions.are(&commission.progress.conditions) {
            return None;
        }
        told.insert("ref".into(), json!({"name": run.key().name}));
        Some(Self { members: vec![("execution", Some(Value::Object(told))), conditions.member()], event: None })
    }

    pub(super) fn completed(commission: &Commission, run: &Carrier, now: Timestamp) -> Self {
        let ended = run.completed().unwrap_or(now);
        let said = run.condition().message;
        let message = &*if said.is_empty() { format!("{run} went well").into() } else { said };
        let mut conditions = Conditions::of(commission, now);
        conditions.say("ExecutionRunning", false, "ExecutionSucceeded", message);
        conditions.say("ExecutionComplete", true, "ExecutionSucceeded", message);
        let mut members = vec![("phase", Some(json!("Completed"))), ("completionTime", Some(time(ended)))];
        members.extend(duration(commission, ended));
        members.push(told(run));
        members.push(conditions.member());
        Self { members, event: Some(Event::normal("WorkflowCompleted", message)) }
    }

    pub(super) fn failed(commission: &Commission, account: &Account, run: Option<&Carrier>, now: Timestamp) -> Self {
        let Account::Failed(found) = account else { return Self::default() };
        let ended = run.and_then(Carrier::completed).or(found.failed_at).unwrap_or(now);
        let mut conditions = Conditions::of(commission, now);
        let reason = match found.reason {
            Reason::TaskFailed | Reason::DeadlineExceeded | Reason::OomKilled => found.reason.as_str(),
            _ => "ExecutionFailed",
        };
        if commission.progress.run.is_none() && run.is_none() {
            conditions.say("ExecutionCreated", false, "ExecutionCreationFailed", &found.message);
        } else {
            conditions.say("ExecutionRunning", false, reason, &found.message);
        }
        conditions.say("ExecutionComplete", true, reason, &found.message);
        let failure = details(&record(commission, ended), found, now);
        let mut members = vec![
            ("phase", Some(json!("Failed"))),
            ("completionTime", Some(time(ended))),
            ("failureReason", Some(json!(found.reason.as_str()))),
            ("failure", Some(Value::Object(failure))),
        ];
        members.extend(duration(commission, ended));
        members.extend(run.map(told));
        members.push(conditions.member());
        Self { members, event: Some(Event::warning("WorkflowFailed", &note(found))) }
    }

    pub(super) fn duplicate(commission: &Commission, other: &ObjectKey, run: &Carrier, now: Timestamp) -> Self {
        let message = format!("WorkflowExecution {other} has a run on this target ({run}); this one was never started");
        let found = Classification::duplicate(&message);
        let mut change = Self::failed(commission, &Account::Failed(found), None, now);
        change.members.push(("deduplicatedBy", Some(json!(other.name))));
        change
    }
}

fn note(found: &Classification) -> String {
    let ran = if found.ran { "something ran, or may have" } else { "nothing ran" };
    format!("{}, {ran}: {}", found.reason, found.message)
}

/// As the details of a failure are made of it.
fn record(commission: &Commission, ended: Timestamp) -> Record {
    Record {
        created: commission.created,
        workflow_id: Some(commission.workflow_id.clone()).filter(|id| !id.is_empty()),
        target: commission.target.clone(),
        started: commission.progress.started,
        completed: Some(ended),
        ..Record::default()
    }
}

fn duration(commission: &Commission, ended: Timestamp) -> Option<(&'static str, Option<Value>)> {
    let seconds = u64::try_from(ended.as_second() - commission.progress.started?.as_second()).unwrap_or(0);
    Some(("duration", Some(json!(GoDuration::seconds(seconds).as_stored()))))
}

fn told(run: &Carrier) -> (&'static str, Option<Value>) {
    let mut members = execution(run);
    members.insert("ref".into(), json!({"name": run.key().name}));
    ("execution", Some(Value::Object(members)))
}

/// `status.execution` without its reference.
fn execution(run: &Carrier) -> Map<String, Value> {
    let condition = run.condition();
    let status = match condition.status {
        Status::True => "True",
        Status::False => "False",
        Status::Unknown => "Unknown",
    };
    let mut members = Map::new();
    members.insert("status".into(), json!(status));
    for (name, text) in [("reason", &condition.reason), ("message", &condition.message)] {
        if !text.is_empty() {
            members.insert(name.into(), json!(text));
        }
    }
    let (done, all) = run.tasks();
    members.insert("completedTasks".into(), json!(done));
    members.insert("totalTasks".into(), json!(all));
    if let Some(retries) = run.retries().filter(|retries| *retries > 0) {
        members.insert("retryCount".into(), json!(retries));
    }
    members
}

/// `status.conditions` as they will stand: those of others stay, and a time changes only with its status.
struct Conditions {
    all: Vec<Value>,
    now: Timestamp,
}

impl Conditions {
    fn of(commission: &Commission, now: Timestamp) -> Self {
        Self { all: commission.progress.conditions.clone(), now }
    }

    fn say(&mut self, kind: &str, status: bool, reason: &str, message: &str) {
        let status = if status { "True" } else { "False" };
        let message: String = message.chars().take(MESSAGE_MAX_CHARS).collect();
        let before = self.all.iter_mut().find(|condition| condition["type"] == kind);
        let since =
            before.as_ref().filter(|before| before["status"] == status).map(|before| &before["lastTransitionTime"]);
        let since = since.filter(|since| since.is_string()).cloned().unwrap_or_else(|| time(self.now));
        let said =
            json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since});
        match before {
            Some(before) => *before = said,
            None => self.all.push(said),
        }
    }

    fn are(&self, before: &[Value]) -> bool {
        self.all == before
    }

    fn member(self) -> (&'static str, Option<Value>) {
        ("conditions", Some(Value::Array(self.all)))
    }
}
