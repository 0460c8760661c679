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
    /// Given whenever Tekton looks at the run, and it looks up anew what the run refers to: before anything could start, or
    /// with tasks at work. A run that refers to no child had none.
    Anew,
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

macro_rules! rows {
    ($(($reason:literal, $since:literal, $class:expr, $start:expr),)*) => {
        [$(Row { reason: $reason, since: $since, class: $class, start: $start }),*]
    };
}

use Class::{Cancelled, Contract, Embedded, Ignored, Is, Steps, Tasks, Timeout};
use Start::{Anew, Certain, Never, Open};

/// Reasons of a PipelineRun's condition `Succeeded`.
pub(super) const PIPELINE_RUN: [Row; 40] = rows![
    ("Failed", "0.1", Tasks, Open),
    ("PipelineRunTimeout", "0.1", Timeout, Open),
    ("PipelineRunTimeoutRunningFinally", "1.13", Timeout, Open),
    ("PipelineRunCouldntTimeOut", "0.40", Timeout, Open),
    ("Cancelled", "0.14", Cancelled, Open),
    ("PipelineRunCancelled", "0.1", Cancelled, Open),
    ("CancelledRunningFinally", "0.25", Cancelled, Open),
    ("StoppedRunningFinally", "0.25", Cancelled, Open),
    ("PipelineRunStopping", "0.25", Cancelled, Open),
    ("PipelineRunCouldntCancel", "0.13", Cancelled, Open),
    ("PipelineRunPending", "0.21", Embedded(Unknown), Never),
    ("ResolvingPipelineRef", "0.35", Is(Unknown), Never),
    ("ResolvingTaskRef", "0.35", Is(Unknown), Never),
    ("CouldntGetPipeline", "0.1", Embedded(ConfigurationError), Never),
    ("CouldntGetTask", "0.1", Embedded(ConfigurationError), Anew),
    ("CouldntGetPipelineResult", "0.55", Is(TaskFailed), Certain),
    ("PipelineValidationFailed", "0.1", Contract, Open),
    ("ParameterMissing", "0.14", Is(ConfigurationError), Never),
    ("ParameterTypeMismatch", "0.6", Is(ConfigurationError), Never),
    ("ObjectParameterMissKeys", "0.38", Is(ConfigurationError), Never),
    ("ParamArrayIndexingInvalid", "0.46", Is(ConfigurationError), Never),
    ("InvalidParamValue", "0.54", Is(ConfigurationError), Open),
    ("PipelineInvalidGraph", "0.2", Is(ConfigurationError), Never),
    ("InvalidWorkspaceBindings", "0.10", Is(ConfigurationError), Never),
    ("InvalidTaskRunSpecs", "0.51", Is(ConfigurationError), Never),
    ("RequiredWorkspaceMarkedOptional", "0.21", Is(ConfigurationError), Never),
    ("InvalidPipelineResultReference", "0.56", Is(ConfigurationError), Never),
    ("InvalidTaskResultReference", "0.18", Contract, Open),
    ("InvalidMatrixParameterTypes", "0.52", Is(ConfigurationError), Open),
    ("CELEvaluationFailed", "0.53", Is(ConfigurationError), Open),
    ("ResourceVerificationFailed", "0.42", Is(ConfigurationError), Anew),
    ("CreateRunFailed", "0.47", Embedded(ConfigurationError), Open),
    ("CouldntCreateWorkspacePVC", "0.12", Embedded(ConfigurationError), Never),
    ("CouldntCreateAffinityAssistantStatefulSet", "0.13", Embedded(Unknown), Never),
    ("CouldntCreateOrUpdateAffinityAssistantStatefulSet", "0.51", Embedded(Unknown), Never),
    ("ReasonCouldntCreateOrUpdateAffinityAssistantStatefulSet", "0.51", Embedded(Unknown), Never),
    ("InvalidPipelineResourceBindings", "0.6", Is(ConfigurationError), Never),
    ("CouldntGetResource", "0.1", Is(ConfigurationError), Anew),
    ("CouldntGetCondition", "0.6", Is(ConfigurationError), Anew),
    ("ConditionCheckFailed", "0.6", Is(TaskFailed), Open),
];

/// Reasons of a TaskRun's condition `Succeeded`.
pub(super) const TASK_RUN: [Row; 38] = rows![
    ("Failed", "0.1", Steps, Open),
    ("StepFailed", "1.12", Steps, Open),
    ("StepOOM", "1.12", Is(OomKilled), Certain),
    ("SidecarOOM", "1.12", Is(OomKilled), Open),
    ("SidecarFailed", "1.12", Is(TaskFailed), Open),
    ("InitContainerOOM", "1.12", Is(OomKilled), Open),
    ("InitContainerFailed", "1.12", Steps, Open),
    ("PodEvicted", "1.12", Is(ResourceExhausted), Open),
    ("FailureIgnored", "0.55", Ignored, Open),
    // The task was skipped, as its condition wants it; what checked the condition may have run.
    ("ConditionCheckFailed", "0.6", Ignored, Open),
    ("TaskRunTimeout", "0.1", Timeout, Open),
    ("TaskRunCancelled", "0.1", Cancelled, Open),
    ("TaskRunImagePullFailed", "0.37", Is(ImagePullBackOff), Open),
    ("PullImageFailed", "0.36", Is(ImagePullBackOff), Open),
    ("CreateContainerConfigError", "0.10", Embedded(ConfigurationError), Open),
    ("PodCreationFailed", "0.12", Embedded(Unknown), Open),
    ("CouldntGetTask", "0.1", Embedded(ConfigurationError), Open),
    ("PodAdmissionFailed", "0.47", Embedded(Forbidden), Open),
    ("ExceededResourceQuota", "0.4", Is(ResourceExhausted), Open),
    ("ExceededNodeResources", "0.4", Is(ResourceExhausted), Open),
    ("TaskRunValidationFailed", "0.1", Contract, Open),
    ("TaskRunResolutionFailed", "0.1", Embedded(ConfigurationError), Open),
    ("TaskValidationFailed", "0.51", Is(ConfigurationError), Open),
    ("ResourceVerificationFailed", "0.42", Is(ConfigurationError), Open),
    ("InvalidParamValue", "0.54", Is(ConfigurationError), Open),
    ("CouldntCreateWorkspacePVC", "0.12", Embedded(ConfigurationError), Open),
    ("CouldntGetStepAction", "0.54", Embedded(ConfigurationError), Open),
    ("TaskRunResultLargerThanAllowedLimit", "0.43", Is(TaskFailed), Certain),
    ("TaskRunStopSidecarFailed", "0.43", Is(Unknown), Certain),
    ("Pending", "0.1", Steps, Open),
    ("TaskRunPending", "1.11", Steps, Open),
    ("Started", "0.5", Steps, Open),
    ("Running", "0.1", Steps, Open),
    ("ToBeRetried", "0.44", Steps, Open),
    ("ResolvingTaskRef", "0.35", Is(Unknown), Open),
    ("ResolvingStepActionRef", "0.54", Is(Unknown), Open),
    ("Succeeded", "0.1", Ignored, Certain),
    ("Completed", "0.1", Ignored, Certain),
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
