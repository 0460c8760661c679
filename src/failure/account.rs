//! What is known of the run that carries an execution out, whatever became of it.

use super::evidence::Evidence;
use super::{Classification, may_have_run, of_run};
use crate::api::tekton::{PipelineRun, TaskRun};

/// The state of a run, told by its own record and by what a watcher remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Account {
    /// Nothing is known of a run.
    #[default]
    Unknown,
    /// It has not ended. What shows that a step of it ran, or may have.
    GoesOn {
        ran: Option<Evidence>,
    },
    /// It ended well.
    Succeeded,
    Failed(Classification),
    /// It was seen and is no longer there.
    Gone {
        /// It was seen at work, or that could not be excluded when it was seen last.
        ran: bool,
    },
}

impl Account {
    /// The account of a run that is there. `seen`: a step of it was seen at work, whatever its record says now.
    #[must_use]
    pub fn of<'a>(run: &'a PipelineRun, tasks: impl IntoIterator<Item = &'a TaskRun>, seen: bool) -> Self {
        let tasks: Vec<_> = tasks.into_iter().collect();
        match of_run(run, tasks.iter().copied(), seen) {
            Some(classification) => Self::Failed(classification),
            None if run.ended() => Self::Succeeded,
            None => Self::GoesOn { ran: may_have_run(run, tasks) },
        }
    }
}
