//! One remediation of one signal, as the RemediationOrchestrator drives it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, ObjectReference, Overflow};

/// The signal, and what it is about.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "kubernaut.ai",
    version = "v1alpha1",
    kind = "RemediationRequest",
    plural = "remediationrequests",
    namespaced,
    status = "RemediationRequestStatus",
    shortname = "rr",
    doc = "One remediation of one signal: routing publishes on its status when a workflow may run.",
    selectable = ".spec.signalFingerprint",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.overallPhase"}"#,
    printcolumn = r#"{"name":"Signal","type":"string","jsonPath":".spec.signalName"}"#,
    printcolumn = r#"{"name":"Outcome","type":"string","jsonPath":".status.outcome"}"#,
    printcolumn = r#"{"name":"Blocked","type":"string","jsonPath":".status.blockReason"}"#,
    printcolumn = r#"{"name":"NextAllowed","type":"string","jsonPath":".status.nextAllowedExecution","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct RemediationRequestSpec {
    /// Other resources that the signal touches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[serde(default)]
    pub affected_resources: Vec<String>,
    /// How often the signal was seen, as its source counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deduplication: Option<SignalDeduplication>,
    /// When the signal first fired.
    pub firing_time: Time,
    /// Whether it is part of a storm of signals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_storm: Option<bool>,
    /// What the other version says and this one does not, where the annotation has no room for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legacy: Option<Overflow>,
    /// The signal as it arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "byte"))]
    pub original_payload: Option<String>,
    /// What the source adds in its own form.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "byte"))]
    pub provider_data: Option<String>,
    /// When the signal was taken in.
    pub received_time: Time,
    /// How bad it is.
    pub severity: Severity,
    /// Annotations of the signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_annotations: Option<BTreeMap<String, String>>,
    /// What makes two signals the same: 64 hexadecimal digits. Requests that share it, and the namespace of their target, are siblings.
    #[schemars(
        length(max = 64),
        regex(pattern = r"^[a-f0-9]{64}$"),
        extend("x-kubernetes-validations" = [{"message": "signalFingerprint is immutable", "rule": "self == oldSelf"}])
    )]
    pub signal_fingerprint: String,
    /// Labels of the signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_labels: Option<BTreeMap<String, String>>,
    /// Name of the signal, such as that of an alert.
    #[schemars(length(max = 253))]
    pub signal_name: String,
    /// Who sent the signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub signal_source: Option<String>,
    /// Kind of the signal, such as prometheus-alert.
    pub signal_type: String,
    /// Signals in the storm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storm_alert_count: Option<i64>,
    /// Kind of the storm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storm_type: Option<String>,
    /// Window in which the storm was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storm_window: Option<String>,
    /// What the signal is about.
    pub target_resource: ResourceIdentifier,
    /// The system that the target lives in.
    pub target_type: TargetType,
    /// How long each phase may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_config: Option<TimeoutConfig>,
}

/// A resource by kind and name.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
pub struct ResourceIdentifier {
    /// Kind of the resource.
    pub kind: String,
    /// Name of the resource.
    pub name: String,
    /// Namespace of the resource, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// How often a signal was seen, as its source counts.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SignalDeduplication {
    /// Joins what belongs together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// When it was first seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_occurrence: Option<Time>,
    /// Whether it was seen before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_duplicate: Option<bool>,
    /// When it was last seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_occurrence: Option<Time>,
    /// Times it was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurrence_count: Option<i64>,
    /// The request before this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_remediation_request_ref: Option<String>,
}

/// How long each phase may take, as Go durations.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TimeoutConfig {
    /// The analysis.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "duration"))]
    pub analyzing: Option<String>,
    /// The execution.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "duration"))]
    pub executing: Option<String>,
    /// All of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "duration"))]
    pub global: Option<String>,
    /// The processing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "duration"))]
    pub processing: Option<String>,
}

/// What routing publishes and where the remediation stands.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RemediationRequestStatus {
    /// The AIAnalysis of this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ai_analysis_ref: Option<ObjectReference>,
    /// When the analysis began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analyzing_start_time: Option<Time>,
    /// Whether the approver was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_notification_sent: Option<bool>,
    /// The block in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_message: Option<String>,
    /// Why it is Blocked; means something only then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_reason: Option<String>,
    /// Until when it is Blocked; left out where only an event or a person ends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_until: Option<Time>,
    /// The WorkflowExecution that is in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocking_workflow_execution: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// Aspects of the state.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Failures in a row for this signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_failure_count: Option<i32>,
    /// Deprecated; see signalProcessingRef.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_processing_ref: Option<ObjectReference>,
    /// How often the signal was seen since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deduplication: Option<StatusDeduplication>,
    /// Requests that were found to be duplicates of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate_count: Option<i64>,
    /// The request that this one is a duplicate of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<String>,
    /// Names of the duplicates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub duplicate_refs: Vec<String>,
    /// When the execution began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executing_start_time: Option<Time>,
    /// The phase in which it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_phase: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// What the other version says and this one does not, where the annotation has no room for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legacy: Option<Overflow>,
    /// The state in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Before this time no workflow may run for this signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_allowed_execution: Option<Time>,
    /// Notifications that were sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notification_request_refs: Vec<ObjectReference>,
    /// How the notifications fared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_status: Option<NotificationStatus>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overall_phase: Option<OverallPhase>,
    /// When the processing began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processing_start_time: Option<Time>,
    /// Times it was tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_attempts: Option<i64>,
    /// Deprecated; see signalProcessingRef.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remediation_processing_ref: Option<ObjectReference>,
    /// Whether a person must look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires_manual_review: Option<bool>,
    /// When it may be deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_expiry_time: Option<Time>,
    /// The SignalProcessing of this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_processing_ref: Option<ObjectReference>,
    /// The skip in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_message: Option<String>,
    /// Why it was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<String>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// The phase that took too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_phase: Option<String>,
    /// When it had taken too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_time: Option<Time>,
    /// The WorkflowExecution of this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_execution_ref: Option<ObjectReference>,
}

/// How often the signal was seen since the request was made.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusDeduplication {
    /// When it was first seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen_at: Option<Time>,
    /// When it was last seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<Time>,
    /// Times it was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurrence_count: Option<i32>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Severity {
    Critical,
    Warning,
    Info,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum TargetType {
    Kubernetes,
    Aws,
    Azure,
    Gcp,
    Datadog,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum NotificationStatus {
    Pending,
    InProgress,
    Sent,
    Failed,
    Cancelled,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum Outcome {
    Remediated,
    NoActionRequired,
    ManualReviewRequired,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum OverallPhase {
    Pending,
    Processing,
    Analyzing,
    AwaitingApproval,
    Executing,
    Blocked,
    Completed,
    Failed,
    TimedOut,
    Skipped,
    Cancelled,
}
