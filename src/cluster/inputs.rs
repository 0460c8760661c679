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
}

impl Input {
    pub const ALL: [Self; 4] =
        [Self::RemediationRequests, Self::WorkflowExecutions, Self::PipelineRuns, Self::TaskRuns];

    /// The resource name, as in RBAC rules, probes and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RemediationRequests => "remediationrequests",
            Self::WorkflowExecutions => "workflowexecutions",
            Self::PipelineRuns => "pipelineruns",
            Self::TaskRuns => "taskruns",
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

/// The pulse of every input. Kubernaut's objects are what the gate is for; Tekton's count once somebody looks for them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pulses {
    requests: Pulse,
    executions: Pulse,
    runs: Pulse,
    tasks: Pulse,
}

impl Default for Pulses {
    fn default() -> Self {
        let of = |footing| Pulse { footing, listed: false, alive: None, last_event: None };
        let (counts, absent) = (of(Footing::Counts), of(Footing::Absent));
        Self { requests: counts, executions: counts, runs: absent, tasks: absent }
    }
}

impl Pulses {
    pub fn of(&self, input: Input) -> Pulse {
        match input {
            Input::RemediationRequests => self.requests,
            Input::WorkflowExecutions => self.executions,
            Input::PipelineRuns => self.runs,
            Input::TaskRuns => self.tasks,
        }
    }

    pub fn of_mut(&mut self, input: Input) -> &mut Pulse {
        match input {
            Input::RemediationRequests => &mut self.requests,
            Input::WorkflowExecutions => &mut self.executions,
            Input::PipelineRuns => &mut self.runs,
            Input::TaskRuns => &mut self.tasks,
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
