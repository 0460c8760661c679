//! Tekton's PipelineRuns and TaskRuns (v1 and v1beta1), and Kubernetes Jobs with their Pods: the members that tell what
//! became of a run.
//!
//! Reading them never fails: a member of another form than Tekton writes is not set, a container of another form is
//! [`State::Unreadable`]. What cannot be read is weaker evidence, never an error.

mod carrier;
mod container;
mod job;
mod loose;
mod origin;
mod run;
mod task;

pub use carrier::{Carrier, Engine};
pub use container::{Container, State, Terminated};
pub use job::{Job, Pod};
pub use origin::{EXECUTION, EXECUTION_LABEL, EXECUTION_UID, NAMESPACE_LABEL, Origin, Owner, TARGET};
pub use run::{Child, PipelineRun};
pub use task::{Attempt, TaskRun};

use serde::Deserialize;

use super::facts::{Time, Timestamp};
use loose::{Loose, Objects, text, time};

/// One entry of `status.conditions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    pub status: Status,
    pub reason: Box<str>,
    pub message: Box<str>,
    pub changed: Option<Timestamp>,
}

/// `True`, `False`, `Unknown`; anything else counts as the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    True,
    False,
    #[default]
    Unknown,
}

impl Condition {
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status == Status::True
    }

    #[must_use]
    pub fn failed(&self) -> bool {
        self.status == Status::False
    }

    /// Neither reason nor message.
    #[must_use]
    pub fn says_nothing(&self) -> bool {
        self.reason.is_empty() && self.message.is_empty()
    }
}

impl Status {
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        match text {
            "True" => Self::True,
            "False" => Self::False,
            _ => Self::Unknown,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredCondition {
    #[serde(rename = "type", default)]
    kind: Loose<Box<str>>,
    #[serde(default)]
    status: Loose<Box<str>>,
    #[serde(default)]
    reason: Loose<Box<str>>,
    #[serde(default)]
    message: Loose<Box<str>>,
    #[serde(default)]
    last_transition_time: Loose<Time>,
}

impl StoredCondition {
    fn is(&self, kind: &str) -> bool {
        self.kind.0.as_deref() == Some(kind)
    }

    fn read(self) -> Condition {
        Condition {
            status: self.status.0.as_deref().map_or(Status::Unknown, Status::from_text),
            reason: text(self.reason),
            message: text(self.message),
            changed: time(&self.last_transition_time),
        }
    }
}

/// The condition of this type.
enum Found {
    Said(Condition),
    Silent,
    /// One that nobody here can read may have been it.
    Unreadable,
}

impl Found {
    fn said(self) -> Option<Condition> {
        match self {
            Self::Said(condition) => Some(condition),
            Self::Silent | Self::Unreadable => None,
        }
    }
}

fn condition(all: Objects<StoredCondition>, kind: &str) -> Found {
    let mut odd = false;
    for condition in all.0 {
        match condition {
            Some(condition) if condition.is(kind) => return Found::Said(condition.read()),
            Some(condition) => odd |= condition.kind.0.is_none(),
            None => odd = true,
        }
    }
    if odd { Found::Unreadable } else { Found::Silent }
}

#[cfg(test)]
mod tests;
