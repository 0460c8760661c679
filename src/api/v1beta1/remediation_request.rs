//! One remediation of one signal, as the RemediationOrchestrator drives it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::v1alpha1;
use super::{
    API_VERSION_MAX, Condition, DIGEST_MAX, DURATION_MAX, IMAGE_MAX, LABEL_MAX, NAME_MAX, NotificationStatus,
    ObjectReference, SignalDeduplication, StatusDeduplication, TIME_MAX, TargetType,
};

/// The signal, and what it is about. It never changes.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "kubernaut.ai",
    version = "v1beta1",
    kind = "RemediationRequest",
    plural = "remediationrequests",
    namespaced,
    status = "RemediationRequestStatus",
    shortname = "rr",
    category = "kubernaut",
    doc = "One remediation of one signal: routing publishes on its status when a workflow may run.",
    selectable = ".spec.signalFingerprint",
    selectable = ".spec.signalType",
    selectable = ".spec.severity",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.overallPhase"}"#,
    printcolumn = r#"{"name":"Signal","type":"string","jsonPath":".spec.signalName"}"#,
    printcolumn = r#"{"name":"Target","type":"string","jsonPath":".status.workflowSelection.targetDisplay"}"#,
    printcolumn = r#"{"name":"Workflow","type":"string","jsonPath":".status.workflowSelection.workflowDisplayName"}"#,
    printcolumn = r#"{"name":"Outcome","type":"string","jsonPath":".status.completion.outcome"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.routing.blockReason"}"#,
    printcolumn = r#"{"name":"NextAllowed","type":"string","jsonPath":".status.routing.nextAllowedExecution","priority":1}"#,
    printcolumn = r#"{"name":"Cluster","type":"string","jsonPath":".spec.clusterID","priority":1}"#,
    printcolumn = r#"{"name":"Signal-NS","type":"string","jsonPath":".spec.targetResource.namespace","priority":1}"#,
    printcolumn = r#"{"name":"Signal-Kind","type":"string","jsonPath":".spec.targetResource.kind","priority":1}"#,
    printcolumn = r#"{"name":"Signal-Target","type":"string","jsonPath":".spec.targetResource.name","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{"message": "spec is immutable", "rule": "self == oldSelf"}]))]
pub struct RemediationRequestSpec {
    /// The cluster that the signal came from; the cluster of this object where it is left out or empty.
    #[serde(rename = "clusterID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_MAX))]
    pub cluster_id: Option<String>,
    /// When the signal first fired.
    pub firing_time: Time,
    /// Members of earlier shapes that have no other place here; lockkeeper's conversion writes and reads them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legacy: Option<LegacySpec>,
    /// The signal as it arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_payload: Option<String>,
    /// What the source adds in its own form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_data: Option<String>,
    /// When the signal was taken in.
    pub received_time: Time,
    /// How bad it is, in the words of its source, such as critical, high or P0.
    #[schemars(length(min = 1, max = 50))]
    pub severity: String,
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
    /// Kind of the signal, such as alert.
    pub signal_type: String,
    /// What the signal is about.
    pub target_resource: ResourceIdentifier,
    /// The system that the target lives in.
    pub target_type: TargetType,
}

/// What December 2025 said of a signal. Each has the type that it had, so that nothing gets in that could not go back.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct LegacySpec {
    /// Other resources that the signal touches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub affected_resources: Vec<String>,
    /// How often the signal was seen, as its source counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deduplication: Option<SignalDeduplication>,
    /// Whether it is part of a storm of signals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_storm: Option<bool>,
    /// Signals in the storm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storm_alert_count: Option<i64>,
    /// Kind of the storm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storm_type: Option<String>,
    /// Window in which the storm was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storm_window: Option<String>,
    /// How long each phase may take, as it was asked for with the signal; see status.timeoutConfig.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_config: Option<v1alpha1::TimeoutConfig>,
}

/// What December 2025 said of a remediation.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct LegacyStatus {
    /// Times it was tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_attempts: Option<i64>,
}

/// A resource by kind and name.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceIdentifier {
    /// API version of the resource, where its kind alone is not enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = API_VERSION_MAX))]
    pub api_version: Option<String>,
    /// Kind of the resource.
    #[schemars(length(max = LABEL_MAX))]
    pub kind: String,
    /// Name of the resource.
    #[schemars(length(max = NAME_MAX))]
    pub name: String,
    /// Namespace of the resource, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = LABEL_MAX))]
    pub namespace: Option<String>,
}

/// How long each phase may take, as Go durations.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TimeoutConfig {
    /// The analysis.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = DURATION_MAX), extend("format" = "duration"))]
    pub analyzing: Option<String>,
    /// The execution.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = DURATION_MAX), extend("format" = "duration"))]
    pub executing: Option<String>,
    /// All of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = DURATION_MAX), extend("format" = "duration"))]
    pub global: Option<String>,
    /// The processing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = DURATION_MAX), extend("format" = "duration"))]
    pub processing: Option<String>,
}

/// What routing publishes and where the remediation stands.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RemediationRequestStatus {
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// How it ended, and who was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion: Option<Completion>,
    /// Aspects of the state, one of each type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// How often the signal was seen since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deduplication: Option<StatusDeduplication>,
    /// Members of earlier shapes that have no other place here; lockkeeper's conversion writes and reads them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legacy: Option<LegacyStatus>,
    /// The state in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The generation that the status was made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What operators changed by hand, and what the target was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_audit: Option<OperatorAudit>,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overall_phase: Option<OverallPhase>,
    /// The objects that carry out each phase, and when each began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase_progress: Option<PhaseProgress>,
    /// When it may be deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_expiry_time: Option<Time>,
    /// Whether and when a workflow may run: what the gate goes by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing: Option<Routing>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// How long each phase may take; operators may change it on the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_config: Option<TimeoutConfig>,
    /// The workflow that the analysis chose, and what for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_selection: Option<WorkflowSelection>,
}

/// How it ended, and who was told.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Completion {
    /// Whether the approver was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_notification_sent: Option<bool>,
    /// The step in which it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_phase: Option<FailurePhase>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// Notifications that were sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notification_request_refs: Vec<ObjectReference>,
    /// How the notifications fared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_status: Option<NotificationStatus>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Whether a person must look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires_manual_review: Option<bool>,
    /// The phase that took too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_phase: Option<OverallPhase>,
    /// When it had taken too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_time: Option<Time>,
}

/// What operators changed by hand, and what the target was before.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OperatorAudit {
    /// When it was last changed by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = TIME_MAX))]
    pub last_modified_at: Option<Time>,
    /// Who last changed it by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub last_modified_by: Option<String>,
    /// Hash of the target's spec before the workflow ran; set once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = DIGEST_MAX),
        extend("x-kubernetes-validations" = [
            {"message": "preRemediationSpecHash is immutable once set", "rule": "oldSelf == '' || self == oldSelf"}
        ])
    )]
    pub pre_remediation_spec_hash: Option<String>,
}

/// The objects that carry out each phase, and when each began.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PhaseProgress {
    /// The AIAnalysis of this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ai_analysis_ref: Option<ObjectReference>,
    /// When the analysis began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analyzing_start_time: Option<Time>,
    /// Deprecated; see signalProcessingRef.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_processing_ref: Option<ObjectReference>,
    /// The EffectivenessAssessment of this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effectiveness_assessment_ref: Option<ObjectReference>,
    /// When the execution began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executing_start_time: Option<Time>,
    /// When the processing began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processing_start_time: Option<Time>,
    /// Deprecated; see signalProcessingRef.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remediation_processing_ref: Option<ObjectReference>,
    /// The SignalProcessing of this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_processing_ref: Option<ObjectReference>,
    /// Until when the effect is watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = TIME_MAX))]
    pub verification_deadline: Option<Time>,
    /// The WorkflowExecution of this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_execution_ref: Option<ObjectReference>,
}

/// Whether and when a workflow may run.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Routing {
    /// The block in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_message: Option<String>,
    /// Why it is Blocked; means something only then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_reason: Option<BlockReason>,
    /// Until when it is Blocked; left out where only an event or a person ends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_until: Option<Time>,
    /// The WorkflowExecution that is in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocking_workflow_execution: Option<String>,
    /// Failures in a row for this signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_failure_count: Option<i32>,
    /// The WorkflowExecution whose outcome becomes that of this request.
    #[serde(rename = "deduplicatedByWE", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_MAX))]
    pub deduplicated_by_we: Option<String>,
    /// Requests that were found to be duplicates of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate_count: Option<i64>,
    /// The request that this one is a duplicate of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<String>,
    /// Names of the duplicates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub duplicate_refs: Vec<String>,
    /// Before this time no workflow may run for this signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_allowed_execution: Option<Time>,
    /// The skip in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_message: Option<String>,
    /// Why it was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<SkipReason>,
}

/// The workflow that the analysis chose, and what for.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkflowSelection {
    /// How sure the analysis was, as it is shown, such as 0.97.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub confidence: Option<String>,
    /// The WorkflowExecution that was made of it, for the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_ref: Option<ObjectReference>,
    /// What the workflow acts on; it may be another than what the signal is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remediation_target: Option<ResourceIdentifier>,
    /// The workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected_workflow_ref: Option<SelectedWorkflow>,
    /// What the signal is about, as it is shown: Kind/Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = API_VERSION_MAX))]
    pub signal_target_display: Option<String>,
    /// What the workflow acts on, as it is shown: Kind/Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = API_VERSION_MAX))]
    pub target_display: Option<String>,
    /// The workflow, as it is shown: its action and its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub workflow_display_name: Option<String>,
}

/// A workflow of the catalogue.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelectedWorkflow {
    /// OCI reference of the bundle that holds the workflow.
    #[schemars(length(max = IMAGE_MAX))]
    pub execution_bundle: String,
    /// Digest of the bundle, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = DIGEST_MAX))]
    pub execution_bundle_digest: Option<String>,
    /// Version of the workflow.
    #[schemars(length(max = NAME_MAX))]
    pub version: String,
    /// Id of the workflow in the catalogue.
    #[schemars(length(max = NAME_MAX))]
    pub workflow_id: String,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum BlockReason {
    ConsecutiveFailures,
    DuplicateInProgress,
    ResourceBusy,
    RecentlyRemediated,
    ExponentialBackoff,
    UnmanagedResource,
    IneffectiveChain,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum SkipReason {
    RecentlyRemediated,
    ResourceBusy,
    ExhaustedRetries,
    PreviousExecutionFailed,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum FailurePhase {
    Configuration,
    SignalProcessing,
    #[serde(rename = "AIAnalysis")]
    AiAnalysis,
    Approval,
    WorkflowExecution,
    Blocked,
    Deduplicated,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum Outcome {
    Remediated,
    NoActionRequired,
    ManualReviewRequired,
    VerificationTimedOut,
    Inconclusive,
    DryRun,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum OverallPhase {
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
}
