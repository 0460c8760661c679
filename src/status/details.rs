//! The failure details that a write should carry, and where they come from.

use super::{Mode, RUNNING, Write};
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
    if mode == Mode::Off {
        return None;
    }
    let theirs = theirs(write);
    let Judged { mut found, source } = look(write, theirs)?;
    let told = match theirs {
        None | Some(Reason::Unknown) => None,
        // A run of its own that did something is what no execution has that never had the target.
        Some(own) if own.executors_own() => {
            let contradicted = mode == Mode::Correct && source == Source::Run && found.ran && write.turns_failed();
            return contradicted.then_some(Judged { found, source });
        }
        Some(told) => Some(told),
    };
    if let Some(told) = told {
        let attested = source == Source::Run || found.ran && !found.in_doubt();
        if mode != Mode::Correct || !attested {
            return None;
        }
        // A status that tells of a start says that it ran, and no more against the one who writes it.
        if source == Source::Status {
            found = found.only_that_it_ran(told, message(write));
        }
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

fn message<'a>(write: &Write<'a>) -> &'a str {
    write.new.failure_text("message").unwrap_or_default()
}

fn look(write: &Write<'_>, theirs: Option<Reason>) -> Option<Judged> {
    // What the executor says of itself names no failure of a run.
    let reason = theirs.filter(|reason| !reason.executors_own()).unwrap_or(Reason::Unknown);
    if let Some(found) = write.account.against_failed(reason, message(write)) {
        return Some(Judged { found, source: Source::Run });
    }
    // Once terminal, a status is no evidence about itself.
    if !write.turns_failed() {
        return None;
    }
    Some(Judged { found: write.account.settles(from_status(write)?), source: Source::Status })
}

fn from_status(write: &Write<'_>) -> Option<Classification> {
    let Write { old, new, .. } = *write;
    if let Some(run) = new.run.as_ref().filter(|run| run.failed) {
        return Some(failure::of_condition(&run.reason, &run.message, new.started.is_some()));
    }
    // There is a run, or was before this write, and nobody says what became of it.
    let has_run =
        &*old.phase == RUNNING || [old, new].iter().any(|side| side.run_name.is_some() || side.started.is_some());
    if has_run {
        let said = new.failure_text("message").or(new.failure_reason.as_deref());
        return Some(failure::of_nothing(said.unwrap_or_default()));
    }
    refused_creation(message(write)).map(|error| failure::of_refusal(0, "", error))
}

/// What upstream's executor writes where the API server refused the run.
fn refused_creation(message: &str) -> Option<&str> {
    let (engine, error) = message.strip_prefix("Failed to create ")?.split_once(" execution resource: ")?;
    (!engine.contains(' ')).then_some(error)
}
