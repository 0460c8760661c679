//! Which member of one shape is which member of the hub: as data, and docs/conversion.md is made of it.

/// A shape that was stored as `v1alpha1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// December 2025: what our `v1alpha1` is.
    #[default]
    December2025,
    /// Kubernaut 1.5.7.
    V1_5_7,
    August2026,
}

impl Shape {
    pub const ALL: [Self; 3] = [Self::December2025, Self::V1_5_7, Self::August2026];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::December2025 => "2025-12",
            Self::V1_5_7 => "1.5.7",
            Self::August2026 => "2026-08",
        }
    }

    /// What belongs to this shape, of one for each in the order of [`Shape::ALL`].
    pub(super) fn of<T: Copy>(self, [december, v1_5_7, august]: [T; 3]) -> T {
        match self {
            Self::December2025 => december,
            Self::V1_5_7 => v1_5_7,
            Self::August2026 => august,
        }
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.as_str() == text)
    }
}

/// One member of the hub, and where each shape of `v1alpha1` has it. What stands in none of the rows has the same place
/// in all of them.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub hub: &'static str,
    /// In the order of [`Shape::ALL`]; None: there is no such member.
    pub v1alpha1: [Option<&'static str>; 3],
}

impl Row {
    /// Its place in a shape.
    #[must_use]
    pub fn of(&self, shape: Shape) -> Option<&'static str> {
        shape.of(self.v1alpha1)
    }
}

/// A kind, and what its shapes call things.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    pub rows: &'static [Row],
    /// Objects that one shape has and not every other: what is left of them does not belong anywhere else.
    pub(super) hub_groups: &'static [&'static str],
    pub(super) groups: [&'static [&'static str]; 3],
    /// Members by which a shape is known; the first shape that has one of them, the latest first.
    pub(super) marks: [&'static [&'static str]; 3],
    /// Members whose values the hub, or December 2025, counts up.
    pub hub_values: &'static [Values],
    pub december_values: &'static [Values],
}

/// A member with a closed list of values.
#[derive(Clone, Copy, Debug)]
pub struct Values {
    pub path: &'static str,
    pub known: &'static [&'static str],
    pub otherwise: Otherwise,
}

/// What stands for a value that is not in the list; the value itself is parked.
#[derive(Clone, Copy, Debug)]
pub enum Otherwise {
    /// Nothing: the member is optional.
    Absent,
    /// This value.
    Is(&'static str),
    /// The value beside it, else the last, if there is one.
    Near(&'static [(&'static str, &'static str)], Option<&'static str>),
}

/// The same in December 2025, in 1.5.7 and in August 2026.
const fn row(hub: &'static str, december: &'static str, v1_5_7: &'static str, august: &'static str) -> Row {
    const fn some(path: &'static str) -> Option<&'static str> {
        if path.is_empty() { None } else { Some(path) }
    }
    Row { hub, v1alpha1: [some(december), some(v1_5_7), some(august)] }
}

const REASONS_OF_DECEMBER: [&str; 8] = [
    "OOMKilled",
    "DeadlineExceeded",
    "Forbidden",
    "ResourceExhausted",
    "ConfigurationError",
    "ImagePullBackOff",
    "TaskFailed",
    "Unknown",
];
const REASONS: [&str; 10] = [
    "OOMKilled",
    "DeadlineExceeded",
    "Forbidden",
    "ResourceExhausted",
    "ConfigurationError",
    "ImagePullBackOff",
    "TaskFailed",
    "UnsupportedEngine",
    "Unknown",
    "Deduplicated",
];

pub static WORKFLOW_EXECUTION: Kind = Kind {
    name: "WorkflowExecution",
    rows: &[
        row(
            "spec.workflowRef.executionBundle",
            "spec.workflowRef.containerImage",
            "spec.workflowRef.executionBundle",
            "spec.workflowRef.executionBundle",
        ),
        row(
            "spec.workflowRef.executionBundleDigest",
            "spec.workflowRef.containerDigest",
            "spec.workflowRef.executionBundleDigest",
            "spec.workflowRef.executionBundleDigest",
        ),
        row(
            "spec.workflowRef.serviceAccountName",
            "spec.executionConfig.serviceAccountName",
            "",
            "spec.workflowRef.serviceAccountName",
        ),
        row("spec.workflowRef.workflowName", "", "", "spec.workflowRef.workflowName"),
        row("spec.workflowRef.actionType", "", "", "spec.workflowRef.actionType"),
        row("spec.workflowRef.executionEngine", "", "", "spec.workflowRef.executionEngine"),
        row("spec.workflowRef.engineConfig", "", "spec.workflowRef.engineConfig", "spec.workflowRef.engineConfig"),
        row("spec.workflowRef.dependencies", "", "", "spec.workflowRef.dependencies"),
        row("spec.workflowRef.resources", "", "", "spec.workflowRef.resources"),
        row("spec.workflowRef.declaredParameterNames", "", "", "spec.workflowRef.declaredParameterNames"),
        row("spec.deadline", "", "", "spec.timesOutAt"),
        row("status.execution.ref", "status.pipelineRunRef", "status.executionRef", "status.executionRef"),
        row(
            "status.execution.status",
            "status.pipelineRunStatus.status",
            "status.executionStatus.status",
            "status.executionStatus.status",
        ),
        row(
            "status.execution.reason",
            "status.pipelineRunStatus.reason",
            "status.executionStatus.reason",
            "status.executionStatus.reason",
        ),
        row(
            "status.execution.message",
            "status.pipelineRunStatus.message",
            "status.executionStatus.message",
            "status.executionStatus.message",
        ),
        row(
            "status.execution.completedTasks",
            "status.pipelineRunStatus.completedTasks",
            "status.executionStatus.completedTasks",
            "status.executionStatus.completedTasks",
        ),
        row(
            "status.execution.totalTasks",
            "status.pipelineRunStatus.totalTasks",
            "status.executionStatus.totalTasks",
            "status.executionStatus.totalTasks",
        ),
        row("status.execution.retryCount", "", "", "status.executionStatus.retryCount"),
        row("status.failure", "status.failureDetails", "status.failureDetails", "status.failureDetails"),
        row("status.observedGeneration", "", "status.observedGeneration", "status.observedGeneration"),
        row("status.ephemeralCredentialIDs", "", "status.ephemeralCredentialIDs", "status.ephemeralCredentialIDs"),
        row("status.deduplicatedBy", "", "status.deduplicatedBy", "status.deduplicatedBy"),
        row("status.workflowName", "", "", "status.workflowName"),
        row("status.legacy.consecutiveFailures", "status.consecutiveFailures", "", ""),
        row("status.legacy.nextAllowedExecution", "status.nextAllowedExecution", "", ""),
        row("status.legacy.executionEngine", "", "status.executionEngine", ""),
        row("status.legacy.serviceAccountName", "", "status.serviceAccountName", ""),
    ],
    hub_groups: &["spec.target", "spec.legacy", "status.execution", "status.legacy"],
    groups: [
        &["spec.executionConfig", "status.pipelineRunStatus"],
        &["spec.executionConfig", "status.executionStatus"],
        &["status.executionStatus"],
    ],
    marks: [
        &[],
        &[
            "spec.workflowRef.executionBundle",
            "spec.workflowRef.executionBundleDigest",
            "spec.workflowRef.engineConfig",
            "status.executionRef",
            "status.executionStatus",
            "status.executionEngine",
            "status.serviceAccountName",
            "status.observedGeneration",
            "status.deduplicatedBy",
            "status.ephemeralCredentialIDs",
        ],
        &[
            "spec.clusterID",
            "spec.timesOutAt",
            "spec.workflowRef.workflowName",
            "spec.workflowRef.actionType",
            "spec.workflowRef.executionEngine",
            "spec.workflowRef.serviceAccountName",
            "spec.workflowRef.dependencies",
            "spec.workflowRef.resources",
            "spec.workflowRef.declaredParameterNames",
            "status.workflowName",
        ],
    ],
    hub_values: &[
        Values { path: "status.failure.reason", known: &REASONS, otherwise: Otherwise::Is("Unknown") },
        Values {
            path: "spec.workflowRef.executionEngine",
            known: &["tekton", "job", "ansible"],
            otherwise: Otherwise::Absent,
        },
    ],
    december_values: &[Values {
        path: "status.failureDetails.reason",
        known: &REASONS_OF_DECEMBER,
        otherwise: Otherwise::Is("Unknown"),
    }],
};

const PHASES: [&str; 12] = [
    "Pending",
    "Processing",
    "Analyzing",
    "AwaitingApproval",
    "Executing",
    "Verifying",
    "Blocked",
    "Completed",
    "Failed",
    "TimedOut",
    "Skipped",
    "Cancelled",
];
const PHASES_OF_DECEMBER: [&str; 11] = [
    "Pending",
    "Processing",
    "Analyzing",
    "AwaitingApproval",
    "Executing",
    "Blocked",
    "Completed",
    "Failed",
    "TimedOut",
    "Skipped",
    "Cancelled",
];

pub static REMEDIATION_REQUEST: Kind = Kind {
    name: "RemediationRequest",
    rows: &[
        row("spec.clusterID", "", "", "spec.clusterID"),
        row("spec.targetResource.apiVersion", "", "spec.targetResource.apiVersion", "spec.targetResource.apiVersion"),
        row("spec.legacy.affectedResources", "spec.affectedResources", "", ""),
        row("spec.legacy.deduplication", "spec.deduplication", "", ""),
        row("spec.legacy.isStorm", "spec.isStorm", "", ""),
        row("spec.legacy.stormAlertCount", "spec.stormAlertCount", "", ""),
        row("spec.legacy.stormType", "spec.stormType", "", ""),
        row("spec.legacy.stormWindow", "spec.stormWindow", "", ""),
        row("spec.legacy.timeoutConfig", "spec.timeoutConfig", "", ""),
        row(
            "status.routing.blockMessage",
            "status.blockMessage",
            "status.blockMessage",
            "status.routingStatus.blockMessage",
        ),
        row(
            "status.routing.blockReason",
            "status.blockReason",
            "status.blockReason",
            "status.routingStatus.blockReason",
        ),
        row(
            "status.routing.blockedUntil",
            "status.blockedUntil",
            "status.blockedUntil",
            "status.routingStatus.blockedUntil",
        ),
        row(
            "status.routing.blockingWorkflowExecution",
            "status.blockingWorkflowExecution",
            "status.blockingWorkflowExecution",
            "status.routingStatus.blockingWorkflowExecution",
        ),
        row(
            "status.routing.consecutiveFailureCount",
            "status.consecutiveFailureCount",
            "status.consecutiveFailureCount",
            "status.routingStatus.consecutiveFailureCount",
        ),
        row("status.routing.deduplicatedByWE", "", "status.deduplicatedByWE", "status.routingStatus.deduplicatedByWE"),
        row(
            "status.routing.duplicateCount",
            "status.duplicateCount",
            "status.duplicateCount",
            "status.routingStatus.duplicateCount",
        ),
        row(
            "status.routing.duplicateOf",
            "status.duplicateOf",
            "status.duplicateOf",
            "status.routingStatus.duplicateOf",
        ),
        row(
            "status.routing.duplicateRefs",
            "status.duplicateRefs",
            "status.duplicateRefs",
            "status.routingStatus.duplicateRefs",
        ),
        row(
            "status.routing.nextAllowedExecution",
            "status.nextAllowedExecution",
            "status.nextAllowedExecution",
            "status.routingStatus.nextAllowedExecution",
        ),
        row(
            "status.routing.skipMessage",
            "status.skipMessage",
            "status.skipMessage",
            "status.routingStatus.skipMessage",
        ),
        row("status.routing.skipReason", "status.skipReason", "status.skipReason", "status.routingStatus.skipReason"),
        row(
            "status.completion.approvalNotificationSent",
            "status.approvalNotificationSent",
            "status.approvalNotificationSent",
            "status.completionStatus.approvalNotificationSent",
        ),
        row(
            "status.completion.failurePhase",
            "status.failurePhase",
            "status.failurePhase",
            "status.completionStatus.failurePhase",
        ),
        row(
            "status.completion.failureReason",
            "status.failureReason",
            "status.failureReason",
            "status.completionStatus.failureReason",
        ),
        row(
            "status.completion.notificationRequestRefs",
            "status.notificationRequestRefs",
            "status.notificationRequestRefs",
            "status.completionStatus.notificationRequestRefs",
        ),
        row(
            "status.completion.notificationStatus",
            "status.notificationStatus",
            "status.notificationStatus",
            "status.completionStatus.notificationStatus",
        ),
        row("status.completion.outcome", "status.outcome", "status.outcome", "status.completionStatus.outcome"),
        row(
            "status.completion.requiresManualReview",
            "status.requiresManualReview",
            "status.requiresManualReview",
            "status.completionStatus.requiresManualReview",
        ),
        row(
            "status.completion.timeoutPhase",
            "status.timeoutPhase",
            "status.timeoutPhase",
            "status.completionStatus.timeoutPhase",
        ),
        row(
            "status.completion.timeoutTime",
            "status.timeoutTime",
            "status.timeoutTime",
            "status.completionStatus.timeoutTime",
        ),
        row(
            "status.phaseProgress.aiAnalysisRef",
            "status.aiAnalysisRef",
            "status.aiAnalysisRef",
            "status.phaseProgress.aiAnalysisRef",
        ),
        row(
            "status.phaseProgress.analyzingStartTime",
            "status.analyzingStartTime",
            "status.analyzingStartTime",
            "status.phaseProgress.analyzingStartTime",
        ),
        row(
            "status.phaseProgress.currentProcessingRef",
            "status.currentProcessingRef",
            "status.currentProcessingRef",
            "status.phaseProgress.currentProcessingRef",
        ),
        row(
            "status.phaseProgress.effectivenessAssessmentRef",
            "",
            "status.effectivenessAssessmentRef",
            "status.phaseProgress.effectivenessAssessmentRef",
        ),
        row(
            "status.phaseProgress.executingStartTime",
            "status.executingStartTime",
            "status.executingStartTime",
            "status.phaseProgress.executingStartTime",
        ),
        row(
            "status.phaseProgress.processingStartTime",
            "status.processingStartTime",
            "status.processingStartTime",
            "status.phaseProgress.processingStartTime",
        ),
        row(
            "status.phaseProgress.remediationProcessingRef",
            "status.remediationProcessingRef",
            "status.remediationProcessingRef",
            "status.phaseProgress.remediationProcessingRef",
        ),
        row(
            "status.phaseProgress.signalProcessingRef",
            "status.signalProcessingRef",
            "status.signalProcessingRef",
            "status.phaseProgress.signalProcessingRef",
        ),
        row(
            "status.phaseProgress.verificationDeadline",
            "",
            "status.verificationDeadline",
            "status.phaseProgress.verificationDeadline",
        ),
        row(
            "status.phaseProgress.workflowExecutionRef",
            "status.workflowExecutionRef",
            "status.workflowExecutionRef",
            "status.phaseProgress.workflowExecutionRef",
        ),
        row("status.workflowSelection.confidence", "", "status.confidence", "status.workflowSelection.confidence"),
        row(
            "status.workflowSelection.executionRef",
            "",
            "status.executionRef",
            "status.workflowSelection.executionRef",
        ),
        row(
            "status.workflowSelection.remediationTarget",
            "",
            "status.remediationTarget",
            "status.workflowSelection.remediationTarget",
        ),
        row(
            "status.workflowSelection.selectedWorkflowRef",
            "",
            "status.selectedWorkflowRef",
            "status.workflowSelection.selectedWorkflowRef",
        ),
        row(
            "status.workflowSelection.signalTargetDisplay",
            "",
            "status.signalTargetDisplay",
            "status.workflowSelection.signalTargetDisplay",
        ),
        row(
            "status.workflowSelection.targetDisplay",
            "",
            "status.targetDisplay",
            "status.workflowSelection.targetDisplay",
        ),
        row(
            "status.workflowSelection.workflowDisplayName",
            "",
            "status.workflowDisplayName",
            "status.workflowSelection.workflowDisplayName",
        ),
        row("status.operatorAudit.lastModifiedAt", "", "status.lastModifiedAt", "status.operatorAudit.lastModifiedAt"),
        row("status.operatorAudit.lastModifiedBy", "", "status.lastModifiedBy", "status.operatorAudit.lastModifiedBy"),
        row(
            "status.operatorAudit.preRemediationSpecHash",
            "",
            "status.preRemediationSpecHash",
            "status.operatorAudit.preRemediationSpecHash",
        ),
        row("status.observedGeneration", "", "status.observedGeneration", "status.observedGeneration"),
        row("status.timeoutConfig", "", "status.timeoutConfig", "status.timeoutConfig"),
        row("status.legacy.recoveryAttempts", "status.recoveryAttempts", "", ""),
    ],
    hub_groups: &[
        "spec.legacy",
        "status.routing",
        "status.completion",
        "status.phaseProgress",
        "status.workflowSelection",
        "status.operatorAudit",
        "status.legacy",
    ],
    groups: [
        &[],
        &[],
        &[
            "status.routingStatus",
            "status.completionStatus",
            "status.phaseProgress",
            "status.workflowSelection",
            "status.operatorAudit",
        ],
    ],
    marks: [
        &[],
        &[
            "spec.targetResource.apiVersion",
            "status.observedGeneration",
            "status.timeoutConfig",
            "status.deduplicatedByWE",
            "status.effectivenessAssessmentRef",
            "status.verificationDeadline",
            "status.selectedWorkflowRef",
            "status.executionRef",
            "status.remediationTarget",
            "status.targetDisplay",
            "status.workflowDisplayName",
            "status.signalTargetDisplay",
            "status.confidence",
            "status.preRemediationSpecHash",
            "status.lastModifiedBy",
            "status.lastModifiedAt",
        ],
        &[
            "spec.clusterID",
            "status.routingStatus",
            "status.completionStatus",
            "status.phaseProgress",
            "status.workflowSelection",
            "status.operatorAudit",
        ],
    ],
    hub_values: &[
        Values { path: "status.overallPhase", known: &PHASES, otherwise: Otherwise::Absent },
        Values {
            path: "status.routing.blockReason",
            known: &[
                "ConsecutiveFailures",
                "DuplicateInProgress",
                "ResourceBusy",
                "RecentlyRemediated",
                "ExponentialBackoff",
                "UnmanagedResource",
                "IneffectiveChain",
            ],
            otherwise: Otherwise::Absent,
        },
        Values {
            path: "status.routing.skipReason",
            known: &["RecentlyRemediated", "ResourceBusy", "ExhaustedRetries", "PreviousExecutionFailed"],
            otherwise: Otherwise::Absent,
        },
        Values {
            path: "status.completion.failurePhase",
            known: &[
                "Configuration",
                "SignalProcessing",
                "AIAnalysis",
                "Approval",
                "WorkflowExecution",
                "Blocked",
                "Deduplicated",
            ],
            otherwise: Otherwise::Absent,
        },
        Values {
            path: "status.completion.outcome",
            known: &[
                "Remediated",
                "NoActionRequired",
                "ManualReviewRequired",
                "VerificationTimedOut",
                "Inconclusive",
                "DryRun",
            ],
            otherwise: Otherwise::Absent,
        },
        Values { path: "status.completion.timeoutPhase", known: &PHASES, otherwise: Otherwise::Absent },
    ],
    december_values: &[
        Values {
            path: "status.overallPhase",
            known: &PHASES_OF_DECEMBER,
            otherwise: Otherwise::Near(&[("Verifying", "Executing")], None),
        },
        Values {
            path: "status.outcome",
            known: &["Remediated", "NoActionRequired", "ManualReviewRequired"],
            otherwise: Otherwise::Absent,
        },
        Values {
            path: "spec.severity",
            known: &["critical", "warning", "info"],
            otherwise: Otherwise::Near(
                &[("high", "critical"), ("medium", "warning"), ("low", "info")],
                Some("warning"),
            ),
        },
    ],
};

pub static KINDS: [&Kind; 2] = [&REMEDIATION_REQUEST, &WORKFLOW_EXECUTION];
