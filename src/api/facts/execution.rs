//! A stored WorkflowExecution.

use serde::Deserialize;

use super::lenient::{Meta, Named, Reference, TargetParts, Time};
use super::{ObjectKey, ParentRef, ReadError, Target, TargetId, Timestamp, read, said};

/// What routing asks of an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkflowExecution {
    pub key: ObjectKey,
    pub created: Option<Timestamp>,
    pub parent: ParentRef,
    /// None: it names no target that could be compared.
    pub target: Option<TargetId>,
    pub workflow_id: Box<str>,
    pub phase: ExecutionPhase,
    pub completed_at: Option<Timestamp>,
    /// None: it says nothing of a failure.
    pub failure: Option<Failure>,
    /// A named person lifted the hold that it is.
    pub cleared: bool,
    /// An annotation asks for that, with the name of who asks.
    pub asks_to_clear: bool,
    /// A PipelineRun or Job carries it out.
    pub has_run: bool,
}

/// `status.failureDetails`, as far as routing cares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    pub was_execution_failure: bool,
    /// It never was an attempt: another execution had the target.
    pub deduplicated: bool,
}

/// `status.phase`. An unknown one counts as active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExecutionPhase {
    #[default]
    Unset,
    Pending,
    Running,
    Completed,
    Failed,
    Other,
}

impl WorkflowExecution {
    /// Reads the stored form, whichever it is.
    ///
    /// # Errors
    /// Names the member that could not be read.
    pub fn from_json(json: &str) -> Result<Self, ReadError> {
        let Stored { metadata, spec, status } = read(json)?;
        let asks_to_clear = metadata.asks_to_clear();
        let identity = metadata.identity()?;
        let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
        let reference = spec.remediation_request_ref.unwrap_or_default();
        let workflow = spec.workflow_ref.unwrap_or_default();
        let (parts, flat) = (spec.target.unwrap_or_default(), spec.target_resource);
        let (written, cluster) = (flat.or_else(|| parts.written()), spec.cluster_id.or(parts.cluster_id));
        let target = written.and_then(|text| Target::parse(&text, cluster.as_deref()).ok());
        Ok(Self {
            parent: ParentRef {
                namespace: said(reference.namespace).unwrap_or_else(|| identity.key.namespace.clone()),
                name: reference.name.unwrap_or_default(),
                uid: said(reference.uid),
            },
            key: identity.key,
            created: identity.created,
            target: target.map(|target| target.identity().clone()),
            workflow_id: workflow.workflow_id.unwrap_or_default(),
            phase: ExecutionPhase::from_text(status.phase.as_deref().unwrap_or_default()),
            completed_at: status.completion_time.and_then(|time| time.0),
            failure: status.failure_details.or(status.failure).map(|details| Failure {
                was_execution_failure: details.was_execution_failure.unwrap_or(false),
                // December 2025 has no such reason of its details.
                deduplicated: [details.reason, status.failure_reason]
                    .iter()
                    .any(|reason| reason.as_deref() == Some("Deduplicated")),
            }),
            asks_to_clear,
            cleared: status.block_clearance.and_then(|clearance| said(clearance.cleared_by)).is_some(),
            has_run: [
                status.execution_ref,
                status.pipeline_run_ref,
                status.execution.and_then(|execution| execution.r#ref),
            ]
            .into_iter()
            .flatten()
            .any(|run| run.is_set()),
        })
    }

    /// Neither Completed nor Failed.
    #[must_use]
    pub fn active(&self) -> bool {
        !self.completed() && !self.failed()
    }

    /// It has not begun.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(self.phase, ExecutionPhase::Unset | ExecutionPhase::Pending)
    }

    /// It said how it ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, ExecutionPhase::Completed | ExecutionPhase::Failed)
    }

    #[must_use]
    pub fn completed(&self) -> bool {
        self.phase == ExecutionPhase::Completed
    }

    #[must_use]
    pub fn failed(&self) -> bool {
        self.phase == ExecutionPhase::Failed
    }

    /// It failed, and a step of it may have acted on the cluster.
    #[must_use]
    pub fn ran(&self) -> bool {
        self.failed() && self.failure.is_some_and(|failure| failure.was_execution_failure)
    }

    /// When a terminal one ended, as well as is known.
    #[must_use]
    pub fn ended(&self) -> Option<Timestamp> {
        self.completed_at.or(self.created)
    }
}

impl ExecutionPhase {
    fn from_text(text: &str) -> Self {
        match text {
            "" => Self::Unset,
            "Pending" => Self::Pending,
            "Running" => Self::Running,
            "Completed" => Self::Completed,
            "Failed" => Self::Failed,
            _ => Self::Other,
        }
    }
}

#[derive(Deserialize)]
struct Stored {
    metadata: Meta,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    remediation_request_ref: Option<Reference>,
    workflow_ref: Option<Workflow>,
    target_resource: Option<Box<str>>,
    #[serde(rename = "clusterID")]
    cluster_id: Option<Box<str>>,
    /// v1beta1.
    target: Option<TargetParts>,
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
    completion_time: Option<Time>,
    failure_details: Option<Details>,
    block_clearance: Option<Clearance>,
    /// Since 1.5.7.
    execution_ref: Option<Named>,
    /// Dec 2025.
    pipeline_run_ref: Option<Named>,
    /// v1beta1.
    execution: Option<Execution>,
    failure: Option<Details>,
    failure_reason: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Execution {
    r#ref: Option<Named>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    reason: Option<Box<str>>,
    was_execution_failure: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Clearance {
    cleared_by: Option<Box<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duplicate_is_told_by_the_details_and_where_they_cannot_by_the_reason_beside_them() {
        for (status, expected) in [
            (r#""failureDetails": {"reason": "Deduplicated"}"#, true),
            (r#""failure": {"reason": "Deduplicated"}"#, true),
            (r#""failureDetails": {"reason": "Unknown"}, "failureReason": "Deduplicated""#, true),
            (r#""failureDetails": {"reason": "Unknown"}, "failureReason": "Unknown""#, false),
            (r#""failureDetails": {"reason": "TaskFailed"}"#, false),
        ] {
            let object = format!(
                r#"{{"metadata": {{"namespace": "n", "name": "we"}}, "status": {{"phase": "Failed", {status}}}}}"#
            );
            let facts = WorkflowExecution::from_json(&object).unwrap();
            assert_eq!(facts.failure.map(|failure| failure.deduplicated), Some(expected), "{status}");
        }
    }
}
