//! What a decision is asked about.

use super::verdict::Subject;
use crate::api::facts::{Candidate, ObjectKey, ParentRef, Target, Timestamp};

/// A candidate, or what is known of one: `explain --target` asks without a parent and without a workflow.
#[derive(Clone, Debug)]
pub struct Request {
    /// The candidate's own namespace/name, which never counts against itself; none for a generated name.
    pub key: Option<ObjectKey>,
    /// Set where the candidate is stored already (the re-gate, `explain`): when it was created.
    pub stored: Option<Stored>,
    pub parent: Option<ParentRef>,
    pub target: Target,
    /// None: whatever the workflow.
    pub workflow_id: Option<Box<str>>,
    pub parameter_names: Vec<Box<str>>,
}

/// The age of a candidate that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    pub created: Option<Timestamp>,
}

impl Request {
    /// A candidate that somebody wants to create.
    #[must_use]
    pub fn create(candidate: Candidate) -> Self {
        Self {
            key: candidate.key(),
            stored: None,
            parent: Some(candidate.parent),
            target: candidate.target,
            workflow_id: Some(candidate.workflow_id),
            parameter_names: candidate.parameter_names,
        }
    }

    /// Whatever holds a target: no candidate, no parent.
    #[must_use]
    pub fn target(target: Target) -> Self {
        Self { key: None, stored: None, parent: None, target, workflow_id: None, parameter_names: Vec::new() }
    }

    pub(super) fn subject(&self) -> Subject {
        Subject {
            parent: self.parent.as_ref().map(ParentRef::key),
            target: Some(self.target.as_written().into()),
            cluster: self.target.cluster().into(),
        }
    }

    pub(super) fn is(&self, key: &ObjectKey) -> bool {
        self.key.as_ref() == Some(key)
    }
}
