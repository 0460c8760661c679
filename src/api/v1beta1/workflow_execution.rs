//! One run of a workflow on a target.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{
    BlockClearance, Condition, DNS_LABEL, DNS_SUBDOMAIN, Free, LABEL_MAX, NAME_MAX, NO_SLASH, ObjectReference, Phase,
    TIME_MAX,
};

/// What is to be run, on what, and for which request. It never changes.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "kubernaut.ai",
    version = "v1beta1",
    kind = "WorkflowExecution",
    plural = "workflowexecutions",
    namespaced,
    status = "WorkflowExecutionStatus",
    shortname = "wfe",
    category = "kubernaut",
    doc = "One run of a remediation workflow on a target, carried out as a Tekton PipelineRun, a Job or an AWX job.",
    selectable = ".spec.remediationRequestRef.name",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Workflow","type":"string","jsonPath":".spec.workflowRef.workflowName"}"#,
    printcolumn = r#"{"name":"WorkflowID","type":"string","jsonPath":".spec.workflowRef.workflowId","priority":1}"#,
    printcolumn = r#"{"name":"Cluster","type":"string","jsonPath":".spec.target.clusterID","priority":1}"#,
    printcolumn = r#"{"name":"Target-NS","type":"string","jsonPath":".spec.target.namespace"}"#,
    printcolumn = r#"{"name":"Target-Kind","type":"string","jsonPath":".spec.target.kind"}"#,
    printcolumn = r#"{"name":"Target","type":"string","jsonPath":".spec.target.name"}"#,
    printcolumn = r#"{"name":"Duration","type":"string","jsonPath":".status.duration"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.failure.reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{"message": "spec is immutable", "rule": "self == oldSelf"}]))]
pub struct WorkflowExecutionSpec {
    /// How sure the analysis was, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// When the run must have ended; the executor's own limit where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxLength" = TIME_MAX))]
    pub deadline: Option<Time>,
    /// Members of earlier shapes that have no other place here; lockkeeper's conversion writes and reads them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legacy: Option<Free>,
    /// Parameters of the workflow; keys in UPPER_SNAKE_CASE, values as strings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<BTreeMap<String, String>>,
    /// Why this workflow was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rationale: Option<String>,
    /// The RemediationRequest that this serves; the gate judges by its state.
    pub remediation_request_ref: ObjectReference,
    /// What the workflow acts on; no two workflows act on one target at a time.
    pub target: Target,
    /// The workflow, as the catalogue had it when it was chosen.
    pub workflow_ref: WorkflowRef,
}

/// What a workflow acts on.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
pub struct Target {
    /// The cluster that it lives in; the cluster of this object where it is left out or empty.
    #[serde(rename = "clusterID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_MAX))]
    pub cluster_id: Option<String>,
    /// Kind of the target, such as Deployment; its casing is kept.
    #[schemars(length(max = LABEL_MAX), regex(pattern = NO_SLASH))]
    pub kind: String,
    /// Name of the target.
    #[schemars(length(max = NAME_MAX), regex(pattern = NO_SLASH))]
    pub name: String,
    /// Namespace of the target; left out for what has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = LABEL_MAX), regex(pattern = NO_SLASH))]
    pub namespace: Option<String>,
}

/// A workflow of the catalogue.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowRef {
    /// What the workflow does, in the catalogue's words, such as RestartPod; Unknown where an earlier shape did not say.
    #[schemars(length(max = NAME_MAX))]
    pub action_type: String,
    /// Names of the parameters that the workflow declares. Others are taken out of spec.parameters before it runs: all of them
    /// if this is empty, none if it is null or left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend(
        "maxProperties" = 64,
        "x-kubernetes-validations" = [{"message": "a name of a parameter has at most 100 characters", "rule": "self.all(name, name.size() <= 100)"}]
    ))]
    pub declared_parameter_names: Option<BTreeMap<String, bool>>,
    /// What must be there in the namespace of the runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<Dependencies>,
    /// Settings of the engine in its own words; ansible has playbookPath, jobTemplateName and inventoryName.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64))]
    pub engine_config: Option<Free>,
    /// OCI reference of the bundle that holds the workflow.
    pub execution_bundle: String,
    /// Digest of the bundle, for the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_bundle_digest: Option<String>,
    /// What carries the workflow out; tekton where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_engine: Option<ExecutionEngine>,
    /// CPU and memory of the Job's container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Service account of the run's pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Version of the workflow.
    pub version: String,
    /// Id of the workflow in the catalogue.
    pub workflow_id: String,
    /// Name of the workflow for people; its id where an earlier shape did not say.
    #[schemars(length(max = NAME_MAX))]
    pub workflow_name: String,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ExecutionEngine {
    Tekton,
    Job,
    Ansible,
}

/// What must be there in the namespace of the runs.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Dependencies {
    /// ConfigMaps that the workflow reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub config_maps: Vec<Dependency>,
    /// Secrets that the workflow reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub secrets: Vec<Dependency>,
}

/// A Secret or a ConfigMap.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
pub struct Dependency {
    /// Name of the object.
    #[schemars(length(max = NAME_MAX), regex(pattern = DNS_SUBDOMAIN))]
    pub name: String,
}

/// CPU, memory and devices, as for a container of a pod.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Resources {
    /// Claims of the pod that the container uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub claims: Vec<ResourceClaim>,
    /// The most that it may use, by resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "quantities")]
    pub limits: Option<BTreeMap<String, IntOrString>>,
    /// What is kept free for it, by resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "quantities")]
    pub requests: Option<BTreeMap<String, IntOrString>>,
}

/// A claim of the pod.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
pub struct ResourceClaim {
    /// Name of the claim in the pod.
    #[schemars(length(max = LABEL_MAX), regex(pattern = DNS_LABEL))]
    pub name: String,
    /// Request of the claim; all of them where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_MAX))]
    pub request: Option<String>,
}

fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {
            "x-kubernetes-int-or-string": true,
            "maxLength": 32,
            "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
        },
        "x-kubernetes-validations": [
            {"message": "a name of a resource has at most 100 characters", "rule": "self.all(name, name.size() <= 100)"}
        ],
    })
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
    /// Aspects of the state, one of each type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The WorkflowExecution whose run is in the way; with failure.reason Deduplicated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_MAX))]
    pub deduplicated_by: Option<String>,
    /// How long it took, as a Go duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// AWX credentials that were made for this run and go with it.
    #[serde(rename = "ephemeralCredentialIDs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub ephemeral_credential_ids: Vec<i64>,
    /// The run itself, as it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution: Option<Execution>,
    /// What went wrong, and whether anything ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Deprecated; see failure.reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// Members of earlier shapes that have no other place here; lockkeeper's conversion writes and reads them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legacy: Option<LegacyStatus>,
    /// The generation that the status was made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// Deprecated; see spec.workflowRef.workflowName.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_MAX))]
    pub workflow_name: Option<String>,
}

/// What earlier shapes said of a run. Each has the type that it had, so that nothing gets in that could not go back.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct LegacyStatus {
    /// Failures in a row, as the executor counted in December 2025.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_failures: Option<i32>,
    /// What carried the run out, as Kubernaut 1.5.7 recorded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_MAX))]
    pub execution_engine: Option<String>,
    /// Before this time no workflow might run, as the executor said in December 2025.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_allowed_execution: Option<Time>,
    /// Service account of the run's pods, as Kubernaut 1.5.7 recorded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_MAX))]
    pub service_account_name: Option<String>,
}

/// A PipelineRun, a Job or an AWX job, as it stands.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Execution {
    /// Tasks that are done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_tasks: Option<i64>,
    /// Message of its condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Reason of its condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The object that carries it out.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<Run>,
    /// Pods of the Job that failed and were made again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_count: Option<i32>,
    /// Status of its condition: True, False or Unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Tasks in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_tasks: Option<i64>,
}

/// An object in the namespace of the runs.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct Run {
    /// Name of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What went wrong, and whether anything ran.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// How long it ran before it failed, as a Go duration; left out where it never began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_time_before_failure: Option<String>,
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
    UnsupportedEngine,
    Unknown,
    Deduplicated,
}
