//! What a status may not say any more, once it said something else.

use super::{COMPLETED, FAILED, Rules, Write, clearance, details};
use crate::api::facts::Record;
use crate::failure::{self, Account};
use crate::line::one_line;

/// The word a machine reads in `details.causes[0].reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    PhaseTerminal,
    FailureImmutable,
    DeduplicationImmutable,
    ClearanceInvalid,
    ClearanceForbidden,
    ClearanceFrozen,
    AnnotationReserved,
}

impl Reason {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PhaseTerminal => "PhaseTerminal",
            Self::FailureImmutable => "FailureImmutable",
            Self::DeduplicationImmutable => "DeduplicationImmutable",
            Self::ClearanceInvalid => "ClearanceInvalid",
            Self::ClearanceForbidden => "ClearanceForbidden",
            Self::ClearanceFrozen => "ClearanceFrozen",
            Self::AnnotationReserved => "AnnotationReserved",
        }
    }
}

/// Why a write does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// The member that the refusal is about.
    pub field: String,
    /// What is wrong with it; makes sense alone.
    pub told: String,
}

impl Refusal {
    pub(super) fn new(reason: Reason, field: &str, told: String) -> Self {
        Self { reason, field: field.to_owned(), told }
    }

    /// The refusal as one line.
    #[must_use]
    pub fn message(&self) -> String {
        one_line(&format!("{}: {}: {}", self.reason.as_str(), self.field, self.told), 900)
    }
}

/// Judges one write of a status. None: it passes.
#[must_use]
pub fn guard(write: &Write<'_>, rules: &Rules) -> Option<Refusal> {
    phase(write)
        .or_else(|| failure(write))
        .or_else(|| end(write))
        .or_else(|| bent(write, rules))
        .or_else(|| clearance::refuse(write, rules))
        .or_else(|| deduplication(write))
}

/// The reason of the clearance that a write brings, for the audit log.
#[must_use]
pub fn clearing<'a>(write: &Write<'a>) -> Option<&'a str> {
    clearance::asked_for(write).then(|| write.new.clearance_text("clearReason")).flatten()
}

/// What ended last decides whether a failure that did something holds its target: neither does that failure become an older
/// one, nor a success a later one.
fn end(write: &Write<'_>) -> Option<Refusal> {
    let (old, new) = (write.old, write.new);
    let moved = match &*old.phase {
        FAILED => old.ran() && old.completed.is_some() && old.completed != new.completed,
        COMPLETED => old.completed.is_some() && new.completed > old.completed,
        _ => false,
    };
    moved.then(|| {
        let told = "when it ended is recorded, and decides what holds the target; that stands".to_owned();
        Refusal::new(Reason::PhaseTerminal, "status.completionTime", told)
    })
}

fn phase(write: &Write<'_>) -> Option<Refusal> {
    let (old, new) = (&*write.old.phase, &*write.new.phase);
    let left = matches!(old, FAILED | COMPLETED) && old != new;
    left.then(|| {
        let new = if new.is_empty() { "none" } else { new };
        let told = format!(
            "{old} is an end; it does not become {}. Create a new WorkflowExecution instead",
            one_line(new, 40)
        );
        Refusal::new(Reason::PhaseTerminal, "status.phase", told)
    })
}

/// Once terminal: a reason that is missing or Unknown may become one, false may become true, and what the run's own record
/// attests passes always.
fn failure(write: &Write<'_>) -> Option<Refusal> {
    let Write { old, new, account, .. } = *write;
    if !matches!(&*old.phase, FAILED | COMPLETED) {
        return None;
    }
    let immutable = |member: &str, told: String| {
        Some(Refusal::new(Reason::FailureImmutable, &format!("status.{}{member}", new.failure_member), told))
    };
    let attested = match account {
        Account::Failed(found) => Some(found),
        _ => None,
    };
    let open = |reason: Option<&str>| reason.is_none_or(|text| matches!(text, "" | "Unknown"));
    let (was, is) = (old.failure_text("reason"), new.failure_text("reason"));
    if old.failure.is_some() && new.failure.is_none() {
        return immutable("", "the record of a failure is not dropped".to_owned());
    }
    // A run that lost its tasks contradicts nothing that was recorded.
    // Not to know is nothing that a record attests.
    let knows = |found: &&failure::Classification| found.task.is_some() && found.reason != failure::Reason::Unknown;
    let ours = attested.filter(knows).is_some_and(|found| is == Some(found.reason.as_str()));
    let gone = is.is_none_or(str::is_empty) && was.is_some_and(|text| !text.is_empty());
    // They say that the execution never had the target, and are known when it ends.
    let disowns = is.and_then(failure::Reason::from_text).is_some_and(failure::Reason::executors_own);
    if was != is && (!open(was) || gone || disowns) && !ours {
        let told = format!(
            "{} was recorded and does not become {}",
            one_line(was.filter(|text| !text.is_empty()).unwrap_or("no reason"), 40),
            one_line(is.filter(|text| !text.is_empty()).unwrap_or("none"), 40)
        );
        return immutable(".reason", told);
    }
    // Where the details have no such reason, this says it in their place.
    let never_had_it = |record: &Record| record.failure_reason.as_deref() == Some("Deduplicated");
    if never_had_it(new) && !never_had_it(old) {
        let told = "that another execution had the target is recorded when it ends, or it is not so".to_owned();
        return Some(Refusal::new(Reason::FailureImmutable, "status.failureReason", told));
    }
    let never_ran = attested.is_some_and(|found: &failure::Classification| !found.ran);
    if old.ran() && !new.ran() && !never_ran {
        let told = "something ran, or may have; that does not become untrue. A person can clear the hold (status.blockClearance)";
        return immutable(".wasExecutionFailure", told.to_owned());
    }
    None
}

/// The write turns Failed and leaves the amender saying what happened: what takes a "ran" back is a webhook after it.
fn bent(write: &Write<'_>, rules: &Rules) -> Option<Refusal> {
    let judged = details::judge(write, rules.classification).filter(|_| write.turns_failed())?;
    // What nobody attests is the amender's to doubt, and not a reason to stop the executor.
    let found = (judged.source == details::Source::Run).then_some(judged.found)?;
    let disowned = details::theirs(write).is_some_and(failure::Reason::executors_own);
    (found.ran && (disowned || !write.new.ran())).then(|| {
        let told = format!(
            "something ran, or may have ({}), and this says that nothing did. Send it again; if it is refused again, look for a \
             mutating webhook that changes it after lockkeeper",
            one_line(&found.because(), 200)
        );
        let member = format!("status.{}.wasExecutionFailure", write.new.failure_member);
        Refusal::new(Reason::FailureImmutable, &member, told)
    })
}

fn deduplication(write: &Write<'_>) -> Option<Refusal> {
    let (old, new) = (&write.old.deduplicated_by, &write.new.deduplicated_by);
    (old.is_some() && old != new).then(|| {
        let told = "once it is known which execution had the target, that stands".to_owned();
        Refusal::new(Reason::DeduplicationImmutable, "status.deduplicatedBy", told)
    })
}
