//! What the mutating webhook changes: the members that it means to, and nothing else.

use serde_json::{Map, Value, json};

use super::details::{self, Judged, Source};
use super::{Rules, Write, clearance, whole_seconds};
use crate::api::duration::GoDuration;
use crate::api::facts::{Record, Timestamp};
use crate::failure::{Account, Classification, Reason, Subject};
use crate::line::one_line;

/// As the schema of a condition has it: our patch must not make a write one that is refused.
const CONDITION_MESSAGE_MAX_CHARS: usize = 32_768;

/// One member of the object and what it becomes; None: it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub path: Vec<String>,
    pub value: Option<Value>,
}

/// What a write says when it leaves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Amendment {
    pub changes: Vec<Change>,
    pub warnings: Vec<String>,
    pub classified: Option<Classified>,
}

/// What was classified, for metrics and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classified {
    /// What was sent; None: nothing, or nothing that is known.
    pub from: Option<Reason>,
    pub to: Reason,
    pub ran: bool,
    pub source: Source,
}

/// Works out what the write should say. The same write, amended, needs no amendment.
#[must_use]
pub fn amend(write: &Write<'_>, rules: &Rules) -> Amendment {
    let mut amendment = Amendment::default();
    if &*write.new.phase == super::FAILED
        && let Some(judged) = details::judge(write, rules.classification)
    {
        classify(write, &judged, &mut amendment);
    }
    if clearance::asked_for(write) && !clearance::signed(write) {
        for (member, value) in
            [("clearedBy", clearance::author(write).to_owned()), ("clearedAt", whole_seconds(write.now))]
        {
            if write.new.clearance_text(member) != Some(&value) {
                amendment.set(&["blockClearance", member], json!(value));
            }
        }
    }
    amendment
}

/// Puts the name of its writer on a clearance that is asked for by annotation.
#[must_use]
pub fn attribute(write: &Write<'_>) -> Amendment {
    let mut amendment = Amendment::default();
    if clearance::wished(write) && !write.user.is_empty() && write.new.cleared_by.as_deref() != Some(write.user) {
        let path = ["metadata", "annotations", clearance::CLEARED_BY].map(str::to_owned).to_vec();
        amendment.changes.push(Change { path, value: Some(json!(write.user)) });
    }
    amendment
}

/// The failure details of a status that has none yet, every member that the schema asks for.
#[must_use]
pub fn details(new: &Record, found: &Classification, now: Timestamp) -> Map<String, Value> {
    let (old, account) = (Record::default(), Account::Unknown);
    let write = Write { old: &old, new, user: "", account: &account, now };
    complete(&write, found, members(&write, found))
}

impl Amendment {
    fn set(&mut self, members: &[&str], value: Value) {
        self.change(members, Some(value));
    }

    fn unset(&mut self, members: &[&str]) {
        self.change(members, None);
    }

    fn change(&mut self, members: &[&str], value: Option<Value>) {
        let path = std::iter::once("status").chain(members.iter().copied()).map(str::to_owned).collect();
        self.changes.push(Change { path, value });
    }
}

fn classify(write: &Write<'_>, judged: &Judged, amendment: &mut Amendment) {
    let found = &judged.found;
    let from = details::theirs(write);
    amendment.warnings.extend(warning(write, found, from));
    amendment.classified = Some(Classified { from, to: found.reason, ran: found.ran, source: judged.source });
    let wanted = members(write, found);
    match &write.new.failure {
        None => amendment.set(&[write.new.failure_member], Value::Object(complete(write, found, wanted))),
        Some(theirs) => {
            for (member, value) in wanted {
                if theirs.get(member) != Some(&value) && !(value == json!(false) && theirs.get(member).is_none()) {
                    amendment.set(&[write.new.failure_member, member], value);
                }
            }
            if matches!(write.account, Account::Failed(_)) && from != Some(found.reason) {
                unsay(write, theirs, found, amendment);
            }
        }
    }
    follow(write, found, from, amendment);
}

/// The members that the classification knows.
fn members(write: &Write<'_>, found: &Classification) -> Vec<(&'static str, Value)> {
    let new = write.new;
    let mut members = vec![("reason", json!(found.reason.as_str())), ("wasExecutionFailure", json!(found.ran))];
    if !found.message.is_empty() {
        members.push(("message", json!(found.message)));
    }
    if let Some(task) = &found.task {
        members.push(("failedTaskIndex", json!(task.index)));
        members.push(("failedTaskName", json!(task.name)));
    }
    if let Some(step) = &found.step {
        members.push(("failedStepName", json!(step)));
    }
    if let Some(code) = found.exit_code {
        members.push(("exitCode", json!(code)));
    }
    if let Some(at) = found.failed_at {
        members.push(("failedAt", json!(whole_seconds(at))));
        if let Some(started) = new.started {
            members.push(("executionTimeBeforeFailure", json!(between(started, at))));
        }
    }
    let subject = Subject { workflow: new.workflow_id.as_deref(), target: new.target.as_deref() };
    members.push(("naturalLanguageSummary", json!(found.summary(subject))));
    members
}

/// The run's record names another failure: the place of the one that was sent is not its place.
fn unsay(write: &Write<'_>, theirs: &Map<String, Value>, found: &Classification, amendment: &mut Amendment) {
    for (member, known) in [("failedStepName", found.step.is_some()), ("exitCode", found.exit_code.is_some())] {
        if !known && theirs.contains_key(member) {
            amendment.unset(&[write.new.failure_member, member]);
        }
    }
    if found.task.is_none() {
        for (member, none) in no_task() {
            if theirs.get(member) != Some(&none) {
                amendment.set(&[write.new.failure_member, member], none);
            }
        }
    }
}

/// As upstream writes a task that is not known.
fn no_task() -> [(&'static str, Value); 2] {
    [("failedTaskIndex", json!(0)), ("failedTaskName", json!(""))]
}

/// What the schema asks for beside, where no details were sent.
fn complete(write: &Write<'_>, found: &Classification, wanted: Vec<(&'static str, Value)>) -> Map<String, Value> {
    let at = found.failed_at.or(write.new.completed).unwrap_or(write.now);
    let took = write.new.started.map_or_else(|| "0s".to_owned(), |started| between(started, at));
    let asked = [
        ("message", json!("no message was recorded")),
        ("failedAt", json!(whole_seconds(at))),
        ("executionTimeBeforeFailure", json!(took)),
    ];
    no_task().into_iter().chain(asked).chain(wanted).map(|(member, value)| (member.to_owned(), value)).collect()
}

/// Nothing in the status goes on saying the old thing; nothing is added that was not there.
fn follow(write: &Write<'_>, found: &Classification, from: Option<Reason>, amendment: &mut Amendment) {
    let new = write.new;
    if from == Some(found.reason) && new.failure_text("message") == Some(&found.message) {
        return;
    }
    let message: String = found.message.chars().take(CONDITION_MESSAGE_MAX_CHARS).collect();
    for (index, condition) in new.conditions.iter().enumerate() {
        let otherwise = match &*condition.kind {
            "ExecutionComplete" => "ExecutionFailed",
            "TektonPipelineComplete" => "PipelineFailed",
            _ => continue,
        };
        let reason = match found.reason {
            Reason::TaskFailed | Reason::DeadlineExceeded | Reason::OomKilled => found.reason.as_str(),
            _ => otherwise,
        };
        let index = index.to_string();
        if &*condition.reason != reason {
            amendment.set(&["conditions", &index, "reason"], json!(reason));
        }
        if !message.is_empty() && *condition.message != *message {
            amendment.set(&["conditions", &index, "message"], json!(message));
        }
    }
    if new.failure_reason.as_deref().is_some_and(|said| said != found.reason.as_str()) && from != Some(found.reason) {
        amendment.set(&["failureReason"], json!(found.reason.as_str()));
    }
}

/// "classification corrected: Unknown → OOMKilled (TaskRun x, step y)".
fn warning(write: &Write<'_>, found: &Classification, from: Option<Reason>) -> Option<String> {
    let because = found.because();
    let ran = |ran| if ran { "ran" } else { "nothing ran" };
    let text = match from {
        None if write.new.failure.is_none() => {
            format!("classification added: {}, {} ({because})", found.reason, ran(found.ran))
        }
        Some(from) if from == found.reason && write.new.ran() == found.ran => return None,
        Some(from) if from == found.reason => {
            format!("classification corrected: {from}: {} → {} ({because})", ran(write.new.ran()), ran(found.ran))
        }
        from => {
            let from = from.map_or("none", Reason::as_str);
            format!("classification corrected: {from} → {} ({because})", found.reason)
        }
    };
    Some(one_line(&text, 200))
}

/// A Go duration of whole seconds; nothing fails before it began.
fn between(started: Timestamp, ended: Timestamp) -> String {
    let seconds = u64::try_from(ended.as_second() - started.as_second()).unwrap_or(0);
    GoDuration::seconds(seconds).as_stored()
}
