//! What went wrong in a workflow, and did anything run?
//!
//! In: what Tekton, the kubelet and the API server recorded of one run. Out: a [`Classification`]: a reason out of the
//! CRD's closed list, whether a step may have acted on the cluster, and the evidence for both.
//! Never: reads a clock, waits, logs, asks the API server; believes words that a workflow's author wrote.
//! Fails: not at all. Odd input is weaker evidence, and in doubt something ran.

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod account;
mod attempt;
mod condition;
mod evidence;
mod job;
mod reason;
mod refusal;
mod run;
mod started;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod words;

pub use account::{Account, evidence_of_start};
pub use condition::{of_condition, of_engine, of_gone, of_late, of_nothing, of_spec};
pub use evidence::{Evidence, Source, Weight};
pub use job::{job_may_have_run, of_job};
pub use reason::Reason;
pub use refusal::of_refusal;
pub use run::{may_have_run, of_run};
pub use words::Subject;

use crate::api::facts::Timestamp;

/// What went wrong, and whether anything ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classification {
    pub reason: Reason,
    /// A step of the workflow may have acted on the cluster: it provably started, or that cannot be excluded.
    pub ran: bool,
    /// None: no task is known to be the one that failed.
    pub task: Option<FailedTask>,
    pub step: Option<Box<str>>,
    /// Of the step that failed.
    pub exit_code: Option<i32>,
    /// The most specific text that a controller wrote.
    pub message: Box<str>,
    pub failed_at: Option<Timestamp>,
    /// What reason and flag rest on, the decisive piece first.
    pub evidence: Vec<Evidence>,
}

impl Classification {
    /// It rests on what cannot be excluded, and on nobody's word.
    #[must_use]
    pub fn in_doubt(&self) -> bool {
        self.ran && self.evidence.iter().any(|evidence| evidence.weight == Weight::Doubt)
    }

    /// The same evidence for no more than that something ran.
    #[must_use]
    pub fn only_that_it_ran(self, reason: Reason, message: &str) -> Self {
        Self::of_whole(reason, true, message, self.evidence)
    }

    /// It never was an attempt: another execution had the target.
    #[must_use]
    pub fn duplicate(message: &str) -> Self {
        let said = Source::nameless("target").says(Weight::Run, message);
        Self::of_whole(Reason::Deduplicated, false, message, vec![said])
    }

    /// Of which no task, step or end is known.
    fn of_whole(reason: Reason, ran: bool, message: &str, evidence: Vec<Evidence>) -> Self {
        let (task, step, exit_code, failed_at) = (None, None, None, None);
        Self { reason, ran, task, step, exit_code, message: message.into(), failed_at, evidence }
    }
}

/// The task that failed first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedTask {
    /// Among the TaskRuns, in the order of `childReferences`.
    pub index: usize,
    /// The TaskRun's own name.
    pub name: Box<str>,
}
