//! One run of a workflow on a target.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Condition, ObjectReference, Overflow};

/// What is to be run, on what, and for which request.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "kubernaut.ai",
    version = "v1alpha1",
    kind = "WorkflowExecution",
    plural = "workflowexecutions",
    namespaced,
    status = "WorkflowExecutionStatus",
    shortname = "wfe",
    doc = "One run of a remediation workflow on a target, carried out as a Tekton PipelineRun.",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"WorkflowID","type":"string","jsonPath":".spec.workflowRef.workflowId"}"#,
    printcolumn = r#"{"name":"Target","type":"string","jsonPath":".spec.targetResource"}"#,
    printcolumn = r#"{"name":"Duration","type":"string","jsonPath":".status.duration"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowExecutionSpec {
    /// How sure the analysis was, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// How it is to be run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_config: Option<ExecutionConfig>,
    /// What the other version says and this one does not, where the annotation has no room for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legacy: Option<Overflow>,
    /// Parameters of the workflow; keys in UPPER_SNAKE_CASE, values as strings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<BTreeMap<String, String>>,
    /// Why this workflow was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rationale: Option<String>,
    /// The RemediationRequest that this serves; the gate judges by its state.
    pub remediation_request_ref: ObjectReference,
    /// What the workflow acts on: ns/kind/name, or kind/name for what has no namespace.
    pub target_resource: String,
    /// The workflow.
    pub workflow_ref: WorkflowRef,
}

/// How an execution is run.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecutionConfig {
    /// Service account of the run's pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// The longest it may take, as a Go duration such as 30m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// A workflow of the catalogue.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowRef {
    /// Digest of the bundle, for the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_digest: Option<String>,
    /// OCI reference of the bundle that holds the pipeline.
    pub container_image: String,
    /// Version of the workflow.
    pub version: String,
    /// Id of the workflow in the catalogue.
    pub workflow_id: String,
}

/// What became of the run.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkflowExecutionStatus {
    /// A person's word that the hold of this failed execution may go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_clearance: Option<BlockClearance>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Aspects of the state.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Deprecated; routing counts for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_failures: Option<i32>,
    /// How long it took, as a Go duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// What went wrong, and whether anything ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_details: Option<FailureDetails>,
    /// Deprecated; see failureDetails.reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// What the other version says and this one does not, where the annotation has no room for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legacy: Option<Overflow>,
    /// Deprecated; routing publishes on the RemediationRequest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_allowed_execution: Option<Time>,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The PipelineRun that carries it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline_run_ref: Option<LocalReference>,
    /// What the PipelineRun says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline_run_status: Option<PipelineRunStatus>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum Phase {
    Pending,
    Running,
    Completed,
    Failed,
}

/// An object in the namespace of the executions.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct LocalReference {
    /// Name of the object.
    #[schemars(default)]
    pub name: String,
}

/// What the run says of itself.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineRunStatus {
    /// Tasks that are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_tasks: Option<i64>,
    /// Message of its condition Succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Reason of its condition Succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Status of its condition Succeeded.
    pub status: String,
    /// Tasks in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_tasks: Option<i64>,
}

/// A clearance: a named person's word that a hold may go.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlockClearance {
    /// How it came.
    pub clear_method: ClearMethod,
    /// Why the target is safe again.
    pub clear_reason: String,
    /// When it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared_at: Option<Time>,
    /// Who gave it.
    pub cleared_by: String,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum ClearMethod {
    Annotation,
    #[serde(rename = "APIEndpoint")]
    ApiEndpoint,
    StatusField,
}

/// What went wrong, and whether anything ran.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureDetails {
    /// How long it ran before it failed, as a Go duration.
    pub execution_time_before_failure: String,
    /// Exit code of the step that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When it failed.
    pub failed_at: Time,
    /// Step that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_step_name: Option<String>,
    /// Place of the task that failed, counted from 0.
    pub failed_task_index: i64,
    /// TaskRun that failed.
    pub failed_task_name: String,
    /// What the controller said of it.
    pub message: String,
    /// The failure in sentences, with what to do next.
    pub natural_language_summary: String,
    /// The class of the failure.
    pub reason: FailureReason,
    /// True where a step may have acted on the cluster: then trying again is not safe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was_execution_failure: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum FailureReason {
    #[serde(rename = "OOMKilled")]
    OomKilled,
    DeadlineExceeded,
    Forbidden,
    ResourceExhausted,
    ConfigurationError,
    ImagePullBackOff,
    TaskFailed,
    Unknown,
}
