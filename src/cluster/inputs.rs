//! Whether each input was listed once, and how long ago its stream was last proved alive.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

/// What the index is fed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    RemediationRequests,
    WorkflowExecutions,
}

impl Input {
    pub const ALL: [Self; 2] = [Self::RemediationRequests, Self::WorkflowExecutions];

    /// The resource name, as in RBAC rules, probes and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RemediationRequests => "remediationrequests",
            Self::WorkflowExecutions => "workflowexecutions",
        }
    }
}

impl std::fmt::Display for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One input, as probes and metrics see it.
#[derive(Clone, Debug)]
pub struct Health {
    pub input: Input,
    pub listed: bool,
    /// None: never proved alive.
    pub age: Option<Duration>,
    pub last_event: Option<Timestamp>,
    pub objects: usize,
    pub unreadable: usize,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pulse {
    pub listed: bool,
    pub alive: Option<Instant>,
    pub last_event: Option<Timestamp>,
}

/// The pulse of every input.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pulses {
    requests: Pulse,
    executions: Pulse,
}

impl Pulses {
    pub fn of(&self, input: Input) -> Pulse {
        match input {
            Input::RemediationRequests => self.requests,
            Input::WorkflowExecutions => self.executions,
        }
    }

    pub fn of_mut(&mut self, input: Input) -> &mut Pulse {
        match input {
            Input::RemediationRequests => &mut self.requests,
            Input::WorkflowExecutions => &mut self.executions,
        }
    }
}

impl Pulse {
    pub fn age(&self) -> Option<Duration> {
        self.alive.map(|alive| alive.elapsed())
    }
}
