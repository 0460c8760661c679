//! Tekton's and the kubelet's reasons, as data: release, class, and what they say of a start.

use super::Reason::{self, *};

/// What a reason says of the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Is(Reason),
    /// An error of the API server stands in the message; without one that is known, this.
    Embedded(Reason),
    /// A contract was broken: by the specification where nothing had run, else by the workflow.
    Contract,
    /// The tasks tell.
    Tasks,
    /// The steps tell.
    Steps,
    /// Out of time; what it was waiting for may say more.
    Timeout,
    /// Somebody ended it.
    Cancelled,
    /// A failure that the pipeline passes over.
    Ignored,
}

/// What a reason alone says of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Given only before anything of the run could start.
    Never,
    /// Given only after something had started.
    Certain,
    /// Says nothing of it.
    Open,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub reason: &'static str,
    /// The first release of Tekton that gives it.
    #[allow(dead_code, reason = "read by people, and by the tests that look the table through")]
    pub since: &'static str,
    pub class: Class,
    pub start: Start,
}

const fn row(reason: &'static str, since: &'static str, class: Class, start: Start) -> Row {
    Row { reason, since, class, start }
}

use Class::{Cancelled, Contract, Embedded, Ignored, Is, Steps, Tasks, Timeout};
use Start::{Certain, Never, Open};

/// Reasons of a PipelineRun's condition `Succeeded`.
pub(super) const PIPELINE_RUN: [Row; 40] = [
    row("Failed", "0.1", Tasks, Open),
    row("PipelineRunTimeout", "0.1", Timeout, Open),
    row("PipelineRunTimeoutRunningFinally", "1.13", Timeout, Open),
    row("PipelineRunCouldntTimeOut", "0.40", Timeout, Open),
    row("Cancelled", "0.14", Cancelled, Open),
    row("PipelineRunCancelled", "0.1", Cancelled, Open),
    row("CancelledRunningFinally", "0.25", Cancelled, Open),
    row("StoppedRunningFinally", "0.25", Cancelled, Open),
    row("PipelineRunStopping", "0.25", Cancelled, Open),
    row("PipelineRunCouldntCancel", "0.13", Cancelled, Open),
    row("PipelineRunPending", "0.21", Embedded(Unknown), Never),
    row("ResolvingPipelineRef", "0.35", Is(Unknown), Never),
    row("ResolvingTaskRef", "0.35", Is(Unknown), Never),
    row("CouldntGetPipeline", "0.1", Embedded(ConfigurationError), Never),
    row("CouldntGetTask", "0.1", Embedded(ConfigurationError), Never),
    row("CouldntGetPipelineResult", "0.55", Is(TaskFailed), Certain),
    row("PipelineValidationFailed", "0.1", Contract, Open),
    row("ParameterMissing", "0.14", Is(ConfigurationError), Never),
    row("ParameterTypeMismatch", "0.6", Is(ConfigurationError), Never),
    row("ObjectParameterMissKeys", "0.38", Is(ConfigurationError), Never),
    row("ParamArrayIndexingInvalid", "0.46", Is(ConfigurationError), Never),
    row("InvalidParamValue", "0.54", Is(ConfigurationError), Open),
    row("PipelineInvalidGraph", "0.2", Is(ConfigurationError), Never),
    row("InvalidWorkspaceBindings", "0.10", Is(ConfigurationError), Never),
    row("InvalidTaskRunSpecs", "0.51", Is(ConfigurationError), Never),
    row("RequiredWorkspaceMarkedOptional", "0.21", Is(ConfigurationError), Never),
    row("InvalidPipelineResultReference", "0.56", Is(ConfigurationError), Never),
    row("InvalidTaskResultReference", "0.18", Contract, Open),
    row("InvalidMatrixParameterTypes", "0.52", Is(ConfigurationError), Open),
    row("CELEvaluationFailed", "0.53", Is(ConfigurationError), Open),
    row("ResourceVerificationFailed", "0.42", Is(ConfigurationError), Never),
    row("CreateRunFailed", "0.47", Embedded(ConfigurationError), Open),
    row("CouldntCreateWorkspacePVC", "0.12", Embedded(ConfigurationError), Never),
    row("CouldntCreateAffinityAssistantStatefulSet", "0.13", Embedded(Unknown), Never),
    row("CouldntCreateOrUpdateAffinityAssistantStatefulSet", "0.51", Embedded(Unknown), Never),
    row("ReasonCouldntCreateOrUpdateAffinityAssistantStatefulSet", "0.51", Embedded(Unknown), Never),
    row("InvalidPipelineResourceBindings", "0.6", Is(ConfigurationError), Never),
    row("CouldntGetResource", "0.1", Is(ConfigurationError), Never),
    row("CouldntGetCondition", "0.6", Is(ConfigurationError), Never),
    row("ConditionCheckFailed", "0.6", Is(TaskFailed), Open),
];

/// Reasons of a TaskRun's condition `Succeeded`.
pub(super) const TASK_RUN: [Row; 37] = [
    row("Failed", "0.1", Steps, Open),
    row("StepFailed", "1.12", Steps, Open),
    row("StepOOM", "1.12", Is(OomKilled), Certain),
    row("SidecarOOM", "1.12", Is(OomKilled), Open),
    row("SidecarFailed", "1.12", Is(TaskFailed), Open),
    row("InitContainerOOM", "1.12", Is(OomKilled), Open),
    row("InitContainerFailed", "1.12", Steps, Open),
    row("PodEvicted", "1.12", Is(ResourceExhausted), Open),
    row("FailureIgnored", "0.55", Ignored, Open),
    row("TaskRunTimeout", "0.1", Timeout, Open),
    row("TaskRunCancelled", "0.1", Cancelled, Open),
    row("TaskRunImagePullFailed", "0.37", Is(ImagePullBackOff), Open),
    row("PullImageFailed", "0.36", Is(ImagePullBackOff), Open),
    row("CreateContainerConfigError", "0.10", Embedded(ConfigurationError), Open),
    row("PodCreationFailed", "0.12", Embedded(Unknown), Open),
    row("CouldntGetTask", "0.1", Embedded(ConfigurationError), Open),
    row("PodAdmissionFailed", "0.47", Embedded(Forbidden), Open),
    row("ExceededResourceQuota", "0.4", Is(ResourceExhausted), Open),
    row("ExceededNodeResources", "0.4", Is(ResourceExhausted), Open),
    row("TaskRunValidationFailed", "0.1", Contract, Open),
    row("TaskRunResolutionFailed", "0.1", Embedded(ConfigurationError), Open),
    row("TaskValidationFailed", "0.51", Is(ConfigurationError), Open),
    row("ResourceVerificationFailed", "0.42", Is(ConfigurationError), Open),
    row("InvalidParamValue", "0.54", Is(ConfigurationError), Open),
    row("CouldntCreateWorkspacePVC", "0.12", Embedded(ConfigurationError), Open),
    row("CouldntGetStepAction", "0.54", Embedded(ConfigurationError), Open),
    row("TaskRunResultLargerThanAllowedLimit", "0.43", Is(TaskFailed), Certain),
    row("TaskRunStopSidecarFailed", "0.43", Is(Unknown), Certain),
    row("Pending", "0.1", Steps, Open),
    row("TaskRunPending", "1.11", Steps, Open),
    row("Started", "0.5", Steps, Open),
    row("Running", "0.1", Steps, Open),
    row("ToBeRetried", "0.44", Steps, Open),
    row("ResolvingTaskRef", "0.35", Is(Unknown), Open),
    row("ResolvingStepActionRef", "0.54", Is(Unknown), Open),
    row("Succeeded", "0.1", Ignored, Certain),
    row("Completed", "0.1", Ignored, Certain),
];

pub(super) fn pipeline_run(reason: &str) -> Option<&'static Row> {
    PIPELINE_RUN.iter().find(|row| row.reason == reason)
}

pub(super) fn task_run(reason: &str) -> Option<&'static Row> {
    TASK_RUN.iter().find(|row| row.reason == reason)
}

/// Reasons of the runtime for a container whose process never was.
pub(super) const NEVER_STARTED: [&str; 3] = ["StartError", "ContainerCannotRun", "RunContainerError"];
/// The kubelet lost the container: it was running, or it waited in a Pod that was ended.
pub(super) const LOST: &str = "ContainerStatusUnknown";
/// The kubelet waits before it starts again what had started and ended.
pub(super) const CRASHED: &str = "CrashLoopBackOff";

/// What the kubelet waits for before a container can be.
pub(super) fn waiting(reason: &str) -> Option<Reason> {
    const WAITING: [(&str, Reason); 10] = [
        ("ErrImagePull", ImagePullBackOff),
        ("ImagePullBackOff", ImagePullBackOff),
        ("InvalidImageName", ImagePullBackOff),
        ("ErrImageNeverPull", ImagePullBackOff),
        ("ImageInspectError", ImagePullBackOff),
        ("RegistryUnavailable", ImagePullBackOff),
        ("SignatureValidationFailed", ImagePullBackOff),
        ("CreateContainerConfigError", ConfigurationError),
        ("CreateContainerError", ConfigurationError),
        ("RunContainerError", ConfigurationError),
    ];
    WAITING.iter().find(|(known, _)| *known == reason).map(|(_, class)| *class)
}

/// What follows `is forbidden: `, by its beginning. An HTTP 403 is a wrapper, not a class; what is not here is a right
/// that is missing, or a policy.
pub(super) const FORBIDDEN: [(&str, Reason); 12] = [
    ("exceeded quota", ResourceExhausted),
    ("insufficient quota to match these scopes", ResourceExhausted),
    ("failed quota", ConfigurationError),
    ("error looking up service account", ConfigurationError),
    ("service account ", ConfigurationError),
    ("no API token found for service account", ConfigurationError),
    ("no PriorityClass with name ", ConfigurationError),
    ("the integer value of priority ", ConfigurationError),
    ("pod rejected: RuntimeClass ", ConfigurationError),
    ("pod node label selector conflicts ", ConfigurationError),
    ("status unknown for quota", Unknown),
    ("not yet ready to handle request", Unknown),
];

/// Words of a registry, or on the way to one, where Tekton looks an image's entrypoint up.
pub(super) const REGISTRY: [&str; 16] = [
    "image",
    "registry",
    "manifest",
    "MANIFEST_UNKNOWN",
    "NAME_UNKNOWN",
    "UNAUTHORIZED",
    "DENIED",
    "TOOMANYREQUESTS",
    "unexpected status code",
    "unsupported status code",
    "no such host",
    "dial tcp ",
    "x509: ",
    "TLS handshake",
    "GET ",
    "Get \"",
];

/// The kubelet's words of a whole Pod, as Tekton passes them on: how they begin, their class, and whether the Pod was
/// turned away at the node's door.
pub(super) const POD: [(&str, Reason, bool); 22] = [
    ("Pod was rejected: Node didn't have enough", ResourceExhausted, true),
    ("Pod was rejected: Allocate failed", ResourceExhausted, true),
    ("Pod was rejected: The node had condition: [DiskPressure", ResourceExhausted, true),
    ("Pod was rejected: The node had condition: [MemoryPressure", ResourceExhausted, true),
    ("Pod was rejected: The node had condition: [PIDPressure", ResourceExhausted, true),
    ("Pod was rejected: The node was low on resource", ResourceExhausted, true),
    ("Pod was rejected: ", Unknown, true),
    ("Pod Node didn't have enough resource", ResourceExhausted, true),
    ("Pod Allocate failed", ResourceExhausted, true),
    ("Pod The node had condition: [", ResourceExhausted, true),
    ("Pod The node was low on resource", ResourceExhausted, true),
    ("Pod Predicate ", Unknown, true),
    ("Predicate ", Unknown, true),
    ("Node didn't have enough resource", ResourceExhausted, true),
    ("Allocate failed due to", ResourceExhausted, true),
    ("The node was low on resource", ResourceExhausted, false),
    ("The node had condition: [", ResourceExhausted, false),
    ("Usage of EmptyDir volume", ResourceExhausted, false),
    ("Pod ephemeral local storage usage exceeds", ResourceExhausted, false),
    ("Preempted in order to admit critical pod", ResourceExhausted, false),
    ("Pod was active on the node longer than the specified deadline", DeadlineExceeded, false),
    ("Pod was terminated in response to imminent node shutdown", Unknown, false),
];
