//! Rows: who writes what over what, while this is known of the run, and what becomes of it.

mod amend;
mod guard;
mod wish;

use serde_json::{Value, json};

use super::*;
use crate::api::tekton::{PipelineRun, TaskRun};
use crate::failure::Reason as Why;

const NOW: &str = "2026-01-05T10:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn record(status: &Value) -> Record {
    let object = json!({
        "metadata": {"name": "we-1", "namespace": "payments", "creationTimestamp": "2026-01-05T09:50:00Z"},
        "spec": {"targetResource": "payments/Deployment/api", "workflowRef": {"workflowId": "restart"}},
        "status": status,
    });
    Record::from_json(&object.to_string()).unwrap()
}

/// A write of `new` over `old`.
struct Scene {
    old: Value,
    new: Value,
    user: &'static str,
    account: Account,
    rules: Rules,
}

fn write(old: Value, new: Value) -> Scene {
    Scene { old, new, user: "alice", account: Account::Unknown, rules: Rules::default() }
}

impl Scene {
    fn by(self, user: &'static str) -> Self {
        Self { user, ..self }
    }

    fn knowing(self, account: Account) -> Self {
        Self { account, ..self }
    }

    fn classification(mut self, mode: Mode) -> Self {
        self.rules.classification = mode;
        self
    }

    fn ask<T>(&self, question: impl FnOnce(&Write<'_>) -> T) -> T {
        let (old, new) = (record(&self.old), record(&self.new));
        question(&Write { old: &old, new: &new, user: self.user, account: &self.account, now: now() })
    }

    fn amended(&self) -> Amendment {
        self.ask(|write| amend(write, &self.rules))
    }

    /// What is refused, and of which member.
    fn refused(&self) -> Option<(Reason, String)> {
        self.ask(|write| guard(write, &self.rules)).map(|refusal| (refusal.reason, refusal.field))
    }

    /// The status as it leaves. Amending it once more changes nothing, and the guard lets it pass.
    fn stored(mut self) -> Value {
        let changes = self.amended().changes;
        apply(&mut self.new, changes);
        assert_eq!(self.amended().changes, [], "twice");
        assert_eq!(self.refused(), None);
        self.new
    }
}

fn apply(status: &mut Value, changes: Vec<Change>) {
    for Change { path, value } in changes {
        let (last, parents) = path[1..].split_last().unwrap();
        let parent = parents.iter().fold(&mut *status, |place, member| match place {
            Value::Array(list) => &mut list[member.parse::<usize>().unwrap()],
            place => &mut place[member.as_str()],
        });
        match value {
            Some(value) => parent[last.as_str()] = value,
            None => assert!(parent.as_object_mut().unwrap().remove(last).is_some(), "what is not there cannot go"),
        }
    }
}

fn running() -> Value {
    json!({"phase": "Running", "startTime": "2026-01-05T09:51:00Z", "executionRef": {"name": "wfe-1"}})
}

fn failed(reason: &str, ran: bool) -> Value {
    json!({"phase": "Failed", "startTime": "2026-01-05T09:51:00Z", "completionTime": "2026-01-05T09:59:00Z",
        "executionRef": {"name": "wfe-1"}, "failureDetails": details(reason, ran)})
}

fn details(reason: &str, ran: bool) -> Value {
    json!({"reason": reason, "wasExecutionFailure": ran, "message": "m", "failedTaskIndex": 0, "failedTaskName": "",
        "failedAt": "2026-01-05T09:59:00Z", "executionTimeBeforeFailure": "8m0s", "naturalLanguageSummary": "s"})
}

fn with(mut status: Value, member: &str, value: Value) -> Value {
    status[member] = value;
    status
}

fn without(mut status: Value, member: &str) -> Value {
    status.as_object_mut().unwrap().remove(member);
    status
}

fn told_by_its_run(reason: &str, message: &str) -> Value {
    let run = json!({"status": "False", "reason": reason, "message": message});
    with(without(failed("Unknown", false), "failureDetails"), "executionStatus", run)
}

fn run(condition: &Value, children: &[&str]) -> PipelineRun {
    let children: Vec<_> = children.iter().map(|name| json!({"kind": "TaskRun", "name": name})).collect();
    let object = json!({"metadata": {"name": "wfe-1", "namespace": "w"}, "status": {"conditions": [condition],
        "childReferences": children, "completionTime": "2026-01-05T09:58:30Z"}});
    PipelineRun::from_json(&object.to_string()).unwrap()
}

/// A run whose step was killed for its memory.
fn killed() -> Account {
    let condition = json!({"type": "Succeeded", "status": "False", "reason": "Failed",
        "message": "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 1"});
    let task = json!({"metadata": {"name": "t-1", "namespace": "w"}, "status": {"podName": "p", "completionTime": "2026-01-05T09:58:00Z",
        "conditions": [{"type": "Succeeded", "status": "False", "reason": "StepOOM", "message": "\"step-patch\" exited with code 137: OOMKilled"}],
        "steps": [{"name": "patch", "imageID": "i", "terminated": {"reason": "OOMKilled", "exitCode": 137}}]}});
    let task = TaskRun::from_json(&task.to_string()).unwrap();
    Account::of(&run(&condition, &["t-1"]), [&task], false)
}

/// The same run, after its tasks were pruned: its own words are a count.
fn pruned() -> Account {
    let condition = json!({"type": "Succeeded", "status": "False", "reason": "Failed",
        "message": "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 1"});
    Account::of(&run(&condition, &["t-1"]), [], false)
}

/// A run that could not even pull its image.
fn not_pulled() -> Account {
    let condition = json!({"type": "Succeeded", "status": "False", "reason": "Failed",
        "message": "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0"});
    let task = json!({"metadata": {"name": "t-1", "namespace": "w"}, "status": {"podName": "p",
        "conditions": [{"type": "Succeeded", "status": "False", "reason": "TaskRunImagePullFailed", "message": "the step \"a\" in TaskRun \"t-1\" failed to pull the image \"\". The pod errored with the message: \"Back-off pulling image \"x\".\""}],
        "steps": [{"name": "a", "terminated": {"reason": "TaskRunImagePullFailed", "exitCode": 1}}]}});
    let task = TaskRun::from_json(&task.to_string()).unwrap();
    Account::of(&run(&condition, &["t-1"]), [&task], false)
}

fn reason_and_flag(status: &Value) -> (&str, bool) {
    let details = &status["failureDetails"];
    (details["reason"].as_str().unwrap_or("none"), details["wasExecutionFailure"].as_bool().unwrap_or(false))
}

const REASON: &str = "checked the deployment by hand, its configuration is right again, OPS-1234";

fn clearance() -> Value {
    json!({"clearReason": REASON, "clearMethod": "StatusField"})
}

fn signed() -> Value {
    with(with(clearance(), "clearedBy", json!("alice")), "clearedAt", json!(NOW))
}
