//! Whether each input was listed once, and how long ago its stream was last proved alive.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

/// What the index is fed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    RemediationRequests,
    WorkflowExecutions,
    PipelineRuns,
    TaskRuns,
    Jobs,
    Pods,
}

impl Input {
    pub const ALL: [Self; 6] = [
        Self::RemediationRequests,
        Self::WorkflowExecutions,
        Self::PipelineRuns,
        Self::TaskRuns,
        Self::Jobs,
        Self::Pods,
    ];

    /// The resource name, as in RBAC rules, probes and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RemediationRequests => "remediationrequests",
            Self::WorkflowExecutions => "workflowexecutions",
            Self::PipelineRuns => "pipelineruns",
            Self::TaskRuns => "taskruns",
            Self::Jobs => "jobs",
            Self::Pods => "pods",
        }
    }
}

impl std::fmt::Display for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an input is to a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footing {
    /// No verdict before it was listed, and none on its silence.
    Counts,
    /// Nobody serves it here.
    Absent,
    /// It is served, and we may not read it.
    Denied,
}

/// One input, as probes and metrics see it.
#[derive(Clone, Debug)]
pub struct Health {
    pub input: Input,
    pub footing: Footing,
    pub listed: bool,
    /// None: never proved alive.
    pub age: Option<Duration>,
    pub last_event: Option<Timestamp>,
    pub objects: usize,
    pub unreadable: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Pulse {
    pub footing: Footing,
    pub listed: bool,
    pub alive: Option<Instant>,
    pub last_event: Option<Timestamp>,
}

/// The pulse of every input. Kubernaut's objects are what the gate is for; runs count once somebody looks for them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pulses([Pulse; Input::ALL.len()]);

impl Default for Pulses {
    fn default() -> Self {
        let of = |input| Pulse {
            footing: match input {
                Input::RemediationRequests | Input::WorkflowExecutions => Footing::Counts,
                _ => Footing::Absent,
            },
            listed: false,
            alive: None,
            last_event: None,
        };
        Self(Input::ALL.map(of))
    }
}

impl Pulses {
    pub fn of(&mut self, input: Input) -> &mut Pulse {
        let [requests, executions, runs, tasks, jobs, pods] = &mut self.0;
        match input {
            Input::RemediationRequests => requests,
            Input::WorkflowExecutions => executions,
            Input::PipelineRuns => runs,
            Input::TaskRuns => tasks,
            Input::Jobs => jobs,
            Input::Pods => pods,
        }
    }
}

impl Pulse {
    pub fn age(&self) -> Option<Duration> {
        self.alive.map(|alive| alive.elapsed())
    }

    pub fn counts(&self) -> bool {
        self.footing == Footing::Counts
    }

    /// It is followed no longer.
    pub fn leave(&mut self, footing: Footing) {
        *self = Self { footing, listed: false, alive: None, last_event: None };
    }
}
