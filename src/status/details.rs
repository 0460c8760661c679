//! The failure details that a write should carry, and where they come from.

use super::{Mode, Write};
use crate::failure::{self, Account, Classification, Reason};

/// What our classifier says of the failure that a write tells of.
pub(super) struct Judged {
    pub found: Classification,
    pub source: Source,
}

/// Where a classification comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The run's own record.
    Run,
    /// The status that is being written.
    Status,
}

impl Source {
    /// For metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Status => "status",
        }
    }
}

/// The reason that the write gives. None: none that the CRD knows.
pub(super) fn theirs(write: &Write<'_>) -> Option<Reason> {
    Reason::from_text(write.new.failure_text("reason")?)
}

/// The details as they should be; None: what is sent stands.
pub(super) fn judge(write: &Write<'_>, mode: Mode) -> Option<Judged> {
    let theirs = theirs(write);
    if mode == Mode::Off || theirs.is_some_and(Reason::executors_own) {
        return None;
    }
    let told = theirs.filter(|reason| *reason != Reason::Unknown);
    let Judged { mut found, source } = look(write, theirs.unwrap_or(Reason::Unknown))?;
    let attested = source == Source::Run;
    if told.is_some() && !(mode == Mode::Correct && attested) {
        return None;
    }
    // Not to know is no contradiction, and neither is a run that lost its tasks.
    if found.reason == Reason::Unknown || found.task.is_none() && recorded(write) == theirs {
        found.reason = told.unwrap_or(found.reason);
    }
    // Only the run's own record takes a "ran" back.
    let may_lower = mode == Mode::Correct && matches!(write.account, Account::Failed(_));
    found.ran |= write.new.ran() && !may_lower;
    let same = write.new.failure.is_some() && theirs == Some(found.reason) && write.new.ran() == found.ran;
    (!same || goes_on_unsaid(write, &found)).then_some(Judged { found, source })
}

/// The reason that the status gave already when it had failed.
fn recorded(write: &Write<'_>) -> Option<Reason> {
    write.old.failure_text("reason").filter(|_| !write.turns_failed()).and_then(Reason::from_text)
}

/// The run goes on, and the message does not say so yet.
fn goes_on_unsaid(write: &Write<'_>, found: &Classification) -> bool {
    matches!(write.account, Account::GoesOn { .. }) && write.new.failure_text("message") != Some(&found.message)
}

fn look(write: &Write<'_>, theirs: Reason) -> Option<Judged> {
    let message = write.new.failure_text("message").unwrap_or_default();
    if let Some(found) = write.account.against_failed(theirs, message) {
        return Some(Judged { found, source: Source::Run });
    }
    // Once terminal, a status is no evidence about itself.
    if !write.turns_failed() {
        return None;
    }
    Some(Judged { found: from_status(write, message)?, source: Source::Status })
}

fn from_status(write: &Write<'_>, message: &str) -> Option<Classification> {
    let new = write.new;
    if let Some(run) = new.run.as_ref().filter(|run| run.failed) {
        return Some(failure::of_condition(&run.reason, &run.message, new.started.is_some()));
    }
    if let Some(error) = refused_creation(message) {
        return Some(failure::of_refusal(0, "", error));
    }
    // There is a run, and nobody says what became of it.
    let has_run = new.run_name.is_some() || new.started.is_some();
    (new.failure.is_none() && has_run).then(|| failure::of_nothing(new.failure_reason.as_deref().unwrap_or_default()))
}

/// What upstream's executor writes where the API server refused the run.
fn refused_creation(message: &str) -> Option<&str> {
    let (engine, error) = message.strip_prefix("Failed to create ")?.split_once(" execution resource: ")?;
    (!engine.contains(' ')).then_some(error)
}
