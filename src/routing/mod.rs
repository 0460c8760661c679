//! When may a workflow run?
//!
//! In: a [`Request`] (the candidate), a [`View`] (all that one decision may know), a [`Policy`] and the time.
//! Out: a [`Verdict`]: every check's finding in order, and the hold that decides, if one does.
//! Never: reads a clock, takes a lock, waits, logs, asks the API server.
//! Fails: not at all. What could not be understood never gets here; see `api::facts::Candidate`.

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod backoff;
mod checks;
mod policy;
mod reason;
mod request;
#[cfg(test)]
mod testing;
mod verdict;
mod view;
mod warnings;
mod words;

pub use backoff::Backoff;
pub use policy::{BackoffSource, Checks, Mode, Policy, StaleAction, Staleness};
pub use reason::Reason;
pub use request::Request;
pub use request::Stored;
pub use verdict::{Because, Check, Culprit, End, Finding, Hold, Kind, Outcome, Verdict};
pub use view::{History, Parent, Siblings, View};
pub use warnings::Warning;
pub use words::one_line;

use crate::api::facts::{Cause, Timestamp};

/// Judges one candidate. The same input gives the same verdict, whatever the order in which objects were seen.
#[must_use]
pub fn decide(request: &Request, view: &View, policy: &Policy, now: Timestamp) -> Verdict {
    let case = Case { request, view, policy, now };
    let findings = checks::ask_all(&case);
    let hold = checks::stale_state(&case).or_else(|| first_enforced(&findings));
    let warnings = warnings::collect(&case, &findings);
    Verdict { at: now, subject: request.subject(), hold, findings, warnings }
}

/// The verdict on an object that could not be understood: held by its own faults, and nothing else was asked.
#[must_use]
pub fn malformed(causes: Vec<Cause>, policy: &Policy, now: Timestamp) -> Verdict {
    let hold = Hold { reason: Reason::Malformed, because: Because::Malformed(causes), by: None, end: End::Never };
    let findings = checks::skipped_after_malformed(policy, hold.clone());
    Verdict { at: now, subject: verdict::Subject::default(), hold: Some(hold), findings, warnings: Vec::new() }
}

/// The verdict on an UPDATE: a spec may not change once it was admitted; all else is free.
#[must_use]
pub fn update(spec_changed: bool, policy: &Policy, now: Timestamp) -> Verdict {
    let change = Hold { reason: Reason::SpecImmutable, because: Because::SpecChanged, by: None, end: End::Never };
    Verdict { hold: spec_changed.then_some(change), ..unasked(policy, now) }
}

/// The verdict where there is nothing to ask: admitted.
#[must_use]
pub fn unasked(policy: &Policy, now: Timestamp) -> Verdict {
    let subject = verdict::Subject::default();
    Verdict { at: now, subject, hold: None, findings: checks::all_skipped(policy), warnings: Vec::new() }
}

fn first_enforced(findings: &[Finding]) -> Option<Hold> {
    findings.iter().filter(|finding| finding.mode == Mode::Enforce).find_map(Finding::hit).cloned()
}

/// One decision's four inputs, as the checks see them.
struct Case<'a> {
    request: &'a Request,
    view: &'a View,
    policy: &'a Policy,
    now: Timestamp,
}
