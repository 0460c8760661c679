//! What a write of a WorkflowExecution's status may say, and what it says when it leaves.
//!
//! In: both sides of the write, who writes, what is known of its run, the rules and the time. Out: an [`Amendment`] (what
//! the mutating webhook changes) or a [`Refusal`] (what the guard refuses).
//! Never: reads a clock, waits, logs; takes a terminal status as evidence about itself.
//! Fails: not at all. What could not be read never gets here; see `api::facts::Record`.

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod amend;
mod clearance;
mod details;
mod guard;
mod rules;
#[cfg(test)]
mod tests;

pub use amend::{Amendment, Change, Classified, amend, attribute, details};
pub use clearance::{CLEAR, granted, unwelcome};
pub use details::Source;
pub use guard::{Reason, Refusal, clearing, guard};
pub use rules::{Clearance, Mode, Rules};

use crate::api::facts::{Record, Timestamp};
use crate::failure::Account;

/// One write of a status.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    pub old: &'a Record,
    pub new: &'a Record,
    /// The person or service account that the API server authenticated.
    pub user: &'a str,
    /// What is known of the run that carries the execution out.
    pub account: &'a Account,
    pub now: Timestamp,
}

impl Write<'_> {
    fn turns_failed(&self) -> bool {
        turns_failed(self.old, self.new)
    }
}

/// As Kubernetes writes a time.
#[must_use]
pub fn whole_seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

const FAILED: &str = "Failed";
const COMPLETED: &str = "Completed";
/// Upstream's executor writes it when the run is there.
const RUNNING: &str = "Running";

/// The write that ends the execution as Failed.
#[must_use]
pub fn turns_failed(old: &Record, new: &Record) -> bool {
    &*new.phase == FAILED && &*old.phase != FAILED
}

/// The write turns Failed and says of the run itself that it has failed.
#[must_use]
pub fn tells_of_an_ended_run(old: &Record, new: &Record) -> bool {
    turns_failed(old, new) && new.run.as_ref().is_some_and(|run| run.failed)
}

/// Whether the account of the run can matter to what is said of this write.
#[must_use]
pub fn needs_account(old: &Record, new: &Record) -> bool {
    &*new.phase == FAILED || &*old.phase == FAILED
}
