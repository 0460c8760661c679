//! A stored RemediationRequest.

use serde::Deserialize;

use super::lenient::{Meta, Time};
use super::{ObjectKey, ReadError, Target, TargetError, Timestamp, read, said};

/// What routing asks of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemediationRequest {
    pub key: ObjectKey,
    pub uid: Box<str>,
    pub created: Option<Timestamp>,
    pub deleting: bool,
    pub fingerprint: Box<str>,
    resource: Resource,
    pub phase: RequestPhase,
    /// What it says of a block; meaningful only while it is Blocked.
    pub block: Option<Box<Block>>,
    /// `nextAllowedExecution`.
    pub next_allowed: Option<Timestamp>,
    pub failure_phase: Option<Box<str>>,
    pub outcome: Option<Box<str>>,
    pub completed_at: Option<Timestamp>,
    pub selected_workflow_id: Option<Box<str>>,
}

/// The published block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    pub reason: Box<str>,
    pub until: Option<Timestamp>,
    pub blocking_workflow_execution: Option<Box<str>>,
    pub duplicate_of: Option<Box<str>>,
}

/// What the signal is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Resource {
    /// Of the signal's target: siblings share it.
    signal_namespace: Box<str>,
    /// ns/kind/name of what a workflow would act on: the remediation target where one was chosen, else the signal's.
    path: Box<str>,
    cluster: Box<str>,
}

/// `status.overallPhase`. Unset and unknown ones count as active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestPhase {
    #[default]
    Unset,
    Pending,
    Processing,
    Analyzing,
    AwaitingApproval,
    Executing,
    Verifying,
    Blocked,
    Completed,
    Failed,
    TimedOut,
    Skipped,
    Cancelled,
    Other,
}

impl RemediationRequest {
    /// Reads the stored form, whichever it is.
    ///
    /// # Errors
    /// Names the member that could not be read.
    pub fn from_json(json: &str) -> Result<Self, ReadError> {
        let Stored { metadata, spec, status } = read(json)?;
        let identity = metadata.identity()?;
        let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
        let (grouped, flat) = (status.routing_status.unwrap_or_default(), status.flat_routing);
        let (ended, flat_end) = (status.completion_status.unwrap_or_default(), status.flat_completion);
        let (selection, flat_selection) = (status.workflow_selection.unwrap_or_default(), status.flat_selection);
        let chosen = [selection.remediation_target, flat_selection.remediation_target].into_iter().flatten();
        let workflow = [selection.selected_workflow_ref, flat_selection.selected_workflow_ref].into_iter().flatten();
        let block = Block {
            reason: said(grouped.block_reason).or(flat.block_reason).unwrap_or_default(),
            until: time(grouped.blocked_until).or(time(flat.blocked_until)),
            blocking_workflow_execution: said(grouped.blocking_workflow_execution)
                .or(said(flat.blocking_workflow_execution)),
            duplicate_of: said(grouped.duplicate_of).or(said(flat.duplicate_of)),
        };
        let signal_target = spec.target_resource.unwrap_or_default();
        Ok(Self {
            key: identity.key,
            uid: identity.uid,
            created: identity.created,
            deleting: identity.deleting,
            fingerprint: spec.signal_fingerprint.unwrap_or_default(),
            resource: Resource {
                path: chosen.into_iter().find(ResourceRef::is_whole).as_ref().unwrap_or(&signal_target).path(),
                signal_namespace: signal_target.namespace.unwrap_or_default(),
                cluster: spec.cluster_id.unwrap_or_default(),
            },
            phase: RequestPhase::from_text(status.overall_phase.as_deref().unwrap_or_default()),
            block: (block != Block::default()).then(|| Box::new(block)),
            next_allowed: time(grouped.next_allowed_execution).or(time(flat.next_allowed_execution)),
            failure_phase: said(ended.failure_phase).or(said(flat_end.failure_phase)),
            outcome: said(ended.outcome).or(said(flat_end.outcome)),
            completed_at: time(status.completed_at),
            selected_workflow_id: workflow.into_iter().find_map(|workflow| said(workflow.workflow_id)),
        })
    }

    /// `spec.targetResource.namespace`, empty for what has none.
    #[must_use]
    pub fn target_namespace(&self) -> &str {
        &self.resource.signal_namespace
    }

    /// What a workflow for this request acts on.
    ///
    /// # Errors
    /// Where it names nothing that a workflow could act on.
    pub fn own_target(&self) -> Result<Target, TargetError> {
        Target::parse(&self.resource.path, Some(&self.resource.cluster))
    }
}

/// Set, and a time.
fn time(time: Option<Time>) -> Option<Timestamp> {
    time.and_then(|time| time.0)
}

impl RequestPhase {
    fn from_text(text: &str) -> Self {
        const KNOWN: [RequestPhase; 13] = [
            RequestPhase::Unset,
            RequestPhase::Pending,
            RequestPhase::Processing,
            RequestPhase::Analyzing,
            RequestPhase::AwaitingApproval,
            RequestPhase::Executing,
            RequestPhase::Verifying,
            RequestPhase::Blocked,
            RequestPhase::Completed,
            RequestPhase::Failed,
            RequestPhase::TimedOut,
            RequestPhase::Skipped,
            RequestPhase::Cancelled,
        ];
        KNOWN.into_iter().find(|phase| phase.as_str() == text).unwrap_or(Self::Other)
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unset => "",
            Self::Pending => "Pending",
            Self::Processing => "Processing",
            Self::Analyzing => "Analyzing",
            Self::AwaitingApproval => "AwaitingApproval",
            Self::Executing => "Executing",
            Self::Verifying => "Verifying",
            Self::Blocked => "Blocked",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::TimedOut => "TimedOut",
            Self::Skipped => "Skipped",
            Self::Cancelled => "Cancelled",
            Self::Other => "unknown",
        }
    }

    #[must_use]
    pub fn terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::TimedOut | Self::Skipped | Self::Cancelled)
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
    signal_fingerprint: Option<Box<str>>,
    target_resource: Option<ResourceRef>,
    #[serde(rename = "clusterID")]
    cluster_id: Option<Box<str>>,
}

#[derive(Default, Deserialize)]
struct ResourceRef {
    namespace: Option<Box<str>>,
    kind: Option<Box<str>>,
    name: Option<Box<str>>,
}

impl ResourceRef {
    /// RO takes a chosen target only where it has both.
    fn is_whole(&self) -> bool {
        [&self.kind, &self.name].into_iter().all(|part| part.as_ref().is_some_and(|text| !text.is_empty()))
    }

    fn path(&self) -> Box<str> {
        let part = |text: &Option<Box<str>>| text.clone().unwrap_or_default();
        let namespace = self.namespace.iter().filter(|namespace| !namespace.is_empty()).cloned();
        let parts: Vec<_> = namespace.chain([part(&self.kind), part(&self.name)]).collect();
        parts.join("/").into()
    }
}

/// Written out member by member: flattened structs would buffer every other member of the status.
#[derive(Default)]
struct Status {
    overall_phase: Option<Box<str>>,
    completed_at: Option<Time>,
    /// Since Aug 2026.
    workflow_selection: Option<Selection>,
    routing_status: Option<Routing>,
    completion_status: Option<Completion>,
    /// Until then.
    flat_selection: Selection,
    flat_routing: Routing,
    flat_completion: Completion,
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            overall_phase: Option<Box<str>>,
            completed_at: Option<Time>,
            workflow_selection: Option<Selection>,
            /// Its name in v1beta1 behind it.
            #[serde(alias = "routing")]
            routing_status: Option<Routing>,
            #[serde(alias = "completion")]
            completion_status: Option<Completion>,
            remediation_target: Option<ResourceRef>,
            selected_workflow_ref: Option<Workflow>,
            block_reason: Option<Box<str>>,
            blocked_until: Option<Time>,
            blocking_workflow_execution: Option<Box<str>>,
            duplicate_of: Option<Box<str>>,
            next_allowed_execution: Option<Time>,
            failure_phase: Option<Box<str>>,
            outcome: Option<Box<str>>,
        }
        let wire = Wire::deserialize(deserializer)?;
        Ok(Self {
            overall_phase: wire.overall_phase,
            completed_at: wire.completed_at,
            workflow_selection: wire.workflow_selection,
            routing_status: wire.routing_status,
            completion_status: wire.completion_status,
            flat_selection: Selection {
                remediation_target: wire.remediation_target,
                selected_workflow_ref: wire.selected_workflow_ref,
            },
            flat_routing: Routing {
                block_reason: wire.block_reason,
                blocked_until: wire.blocked_until,
                blocking_workflow_execution: wire.blocking_workflow_execution,
                duplicate_of: wire.duplicate_of,
                next_allowed_execution: wire.next_allowed_execution,
            },
            flat_completion: Completion { failure_phase: wire.failure_phase, outcome: wire.outcome },
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Routing {
    block_reason: Option<Box<str>>,
    blocked_until: Option<Time>,
    blocking_workflow_execution: Option<Box<str>>,
    duplicate_of: Option<Box<str>>,
    next_allowed_execution: Option<Time>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Completion {
    failure_phase: Option<Box<str>>,
    outcome: Option<Box<str>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selection {
    remediation_target: Option<ResourceRef>,
    selected_workflow_ref: Option<Workflow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Workflow {
    workflow_id: Option<Box<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_target_and_workflow_stand_flat_or_in_a_group() {
        let chosen =
            r#""remediationTarget":{"kind":"Node","name":"w1"},"selectedWorkflowRef":{"workflowId":"restart"}"#;
        for status in [chosen.to_owned(), format!(r#""workflowSelection":{{{chosen}}}"#)] {
            let json = format!(
                r#"{{"metadata":{{"name":"r"}},"spec":{{"targetResource":{{"kind":"Pod","name":"p","namespace":"n"}}}},"status":{{{status}}}}}"#
            );
            let request = RemediationRequest::from_json(&json).unwrap();
            assert_eq!(request.own_target().unwrap().as_written(), "Node/w1", "{status}");
            assert_eq!(request.selected_workflow_id.as_deref(), Some("restart"), "{status}");
        }
    }
}
