//! A WorkflowExecution as a status write shows it: what the status says, and which members say it.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::lenient::{Mapping, Named, TargetParts, Time, Wish};
use super::{ReadError, TWICE, Timestamp, printable, read, said};

/// One side of a status write.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    pub uid: Option<Box<str>>,
    pub created: Option<Timestamp>,
    /// The annotation that asks for a clearance: why.
    pub clear: Option<Box<str>>,
    /// The annotation that says who asks.
    pub cleared_by: Option<Box<str>>,
    pub workflow_id: Option<Box<str>>,
    /// As it is written.
    pub target: Option<Box<str>>,
    pub phase: Box<str>,
    pub started: Option<Timestamp>,
    pub completed: Option<Timestamp>,
    /// What this version calls the details of a failure.
    pub failure_member: &'static str,
    /// The details of a failure, every member of it.
    pub failure: Option<Map<String, Value>>,
    /// `blockClearance`, every member of it.
    pub clearance: Option<Map<String, Value>>,
    pub deduplicated_by: Option<Box<str>>,
    /// The deprecated `failureReason`.
    pub failure_reason: Option<Box<str>>,
    /// The PipelineRun or Job that carries it out.
    pub run_name: Option<Box<str>>,
    pub run: Option<RunSummary>,
    pub conditions: Vec<StatusCondition>,
}

/// What the status says of its run's condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunSummary {
    pub failed: bool,
    pub reason: Box<str>,
    pub message: Box<str>,
}

/// One entry of `status.conditions`, in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusCondition {
    pub kind: Box<str>,
    pub reason: Box<str>,
    pub message: Box<str>,
}

impl Record {
    /// Reads an object of a status write, in any of the three shapes.
    ///
    /// # Errors
    /// Names the member that could not be read.
    pub fn from_json(json: &str) -> Result<Self, ReadError> {
        let Mapping(object): Mapping<Object> = read(json)?;
        let spec = object.spec.unwrap_or_default().0;
        let status = object.status.unwrap_or_default().0;
        let hub = object.api_version.is_some_and(|version| version.ends_with("/v1beta1"));
        let Mapping(execution) = status.execution.unwrap_or_default();
        let told = [status.execution_status, status.pipeline_run_status].into_iter().flatten().map(|Mapping(run)| run);
        let run = told.chain(execution.run).next();
        let Mapping(metadata) = object.metadata.unwrap_or_default();
        let Mapping(wish) = metadata.annotations.unwrap_or_default();
        Ok(Self {
            uid: said(metadata.uid),
            created: metadata.creation_timestamp.and_then(|time| time.0),
            clear: wish.clear,
            cleared_by: wish.cleared_by,
            workflow_id: said(spec.workflow_ref.unwrap_or_default().0.workflow_id),
            target: said(spec.target_resource).or_else(|| spec.target?.0.written()),
            phase: status.phase.unwrap_or_default(),
            started: status.start_time.and_then(|time| time.0),
            completed: status.completion_time.and_then(|time| time.0),
            failure_member: if hub { "failure" } else { "failureDetails" },
            failure: status.failure_details.or(status.failure).map(|members| members.0),
            clearance: status.block_clearance.map(|members| members.0),
            deduplicated_by: said(status.deduplicated_by),
            failure_reason: status.failure_reason,
            run_name: [status.execution_ref, status.pipeline_run_ref, execution.r#ref]
                .into_iter()
                .flatten()
                .find_map(|Mapping(run)| run.name()),
            run: run.map(|run| RunSummary {
                failed: run.status.as_deref() == Some("False"),
                reason: run.reason.unwrap_or_default(),
                message: run.message.unwrap_or_default(),
            }),
            conditions: status
                .conditions
                .unwrap_or_default()
                .into_iter()
                .map(|Mapping(condition)| condition)
                .map(Condition::read)
                .collect(),
        })
    }

    /// A string member of `failureDetails`.
    #[must_use]
    pub fn failure_text(&self, member: &str) -> Option<&str> {
        self.failure.as_ref()?.get(member)?.as_str()
    }

    /// `failureDetails.wasExecutionFailure`; false is omitted when it is stored.
    #[must_use]
    pub fn ran(&self) -> bool {
        let flag = self.failure.as_ref().and_then(|details| details.get("wasExecutionFailure"));
        flag.and_then(Value::as_bool).unwrap_or(false)
    }

    /// A string member of `blockClearance`.
    #[must_use]
    pub fn clearance_text(&self, member: &str) -> Option<&str> {
        self.clearance.as_ref()?.get(member)?.as_str()
    }
}

/// Every member of an object, none of them twice. What is nested deeper than can be compared stands there as its text.
struct Members(Map<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor).map(Self)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, text)) = map.next_entry::<String, Box<RawValue>>()? {
            if members.contains_key(&name) {
                return Err(serde::de::Error::custom(format_args!("{TWICE} `{}`", printable(&name, 80))));
            }
            let value = serde_json::from_str(text.get()).unwrap_or_else(|_| Value::String(text.get().to_owned()));
            members.insert(name, value);
        }
        Ok(members)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    api_version: Option<Box<str>>,
    metadata: Option<Mapping<Meta>>,
    spec: Option<Mapping<Spec>>,
    status: Option<Mapping<Status>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    uid: Option<Box<str>>,
    creation_timestamp: Option<Time>,
    annotations: Option<Mapping<Wish>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    workflow_ref: Option<Mapping<Workflow>>,
    target_resource: Option<Box<str>>,
    /// v1beta1.
    target: Option<Mapping<TargetParts>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Workflow {
    workflow_id: Option<Box<str>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    phase: Option<Box<str>>,
    start_time: Option<Time>,
    completion_time: Option<Time>,
    failure_details: Option<Members>,
    block_clearance: Option<Members>,
    deduplicated_by: Option<Box<str>>,
    failure_reason: Option<Box<str>>,
    /// Since 1.5.7.
    execution_ref: Option<Mapping<Named>>,
    execution_status: Option<Mapping<Run>>,
    /// Dec 2025.
    pipeline_run_ref: Option<Mapping<Named>>,
    pipeline_run_status: Option<Mapping<Run>>,
    conditions: Option<Vec<Mapping<Condition>>>,
    /// v1beta1.
    execution: Option<Mapping<Execution>>,
    failure: Option<Members>,
}

/// The run and what it says, in one.
#[derive(Default)]
struct Execution {
    r#ref: Option<Mapping<Named>>,
    run: Option<Run>,
}

impl<'de> Deserialize<'de> for Execution {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            r#ref: Option<Mapping<Named>>,
            status: Option<Box<str>>,
            reason: Option<Box<str>>,
            message: Option<Box<str>>,
        }
        let Wire { r#ref, status, reason, message } = Wire::deserialize(deserializer)?;
        let run = (status.is_some() || reason.is_some()).then_some(Run { status, reason, message });
        Ok(Self { r#ref, run })
    }
}

#[derive(Deserialize)]
struct Run {
    status: Option<Box<str>>,
    reason: Option<Box<str>>,
    message: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: Option<Box<str>>,
    reason: Option<Box<str>>,
    message: Option<Box<str>>,
}

impl Condition {
    fn read(self) -> StatusCondition {
        StatusCondition {
            kind: self.kind.unwrap_or_default(),
            reason: self.reason.unwrap_or_default(),
            message: self.message.unwrap_or_default(),
        }
    }
}
