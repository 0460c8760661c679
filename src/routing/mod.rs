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

pub use backoff::{Backoff, Jitter};
pub use checks::{failed_starts, failures_in_a_row};
pub use policy::{BackoffSource, Checks, Mode, Policy, StaleAction, Staleness};
pub use reason::Reason;
pub use request::Request;
pub use request::Stored;
pub use verdict::{Because, Check, Culprit, End, Finding, Hold, Kind, Outcome, Verdict};
pub use view::{History, Parent, Run, Runs, Siblings, View};
pub use warnings::Warning;

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

/// What no write of an object itself may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Spec,
    /// What an annotation parks would say of the spec, in the other version, what is not seen of it.
    ParkedSpec,
    /// What an annotation parks would change the status, which has writes of its own.
    ParkedStatus,
}

/// The verdict on what a write changes: what was admitted stays; all else is free.
#[must_use]
pub fn change(change: Option<Change>, policy: &Policy, now: Timestamp) -> Verdict {
    let hold = |change| {
        let (reason, because) = match change {
            Change::Spec => (Reason::SpecImmutable, Because::SpecChanged),
            Change::ParkedSpec => (Reason::AnnotationReserved, Because::ParkedSpec),
            Change::ParkedStatus => (Reason::AnnotationReserved, Because::ParkedStatus),
        };
        Hold { reason, because, by: None, end: End::Never }
    };
    Verdict { hold: change.map(hold), ..unasked(policy, now) }
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

#[cfg(test)]
mod tests {
    use super::testing::*;
    use super::*;

    fn reason(verdict: &Verdict) -> Option<&str> {
        verdict.hold.as_ref().map(|hold| hold.reason.as_str())
    }

    fn outcomes(verdict: &Verdict) -> Vec<&'static str> {
        verdict.findings.iter().map(|finding| finding.outcome.as_str()).collect()
    }

    /// The same of every check but the one that is off until somebody turns it on.
    fn each(outcome: &'static str) -> [&'static str; 11] {
        let mut outcomes = [outcome; 11];
        outcomes[10] = "off";
        outcomes
    }

    #[test]
    fn nothing_against_it_admits_it() {
        let verdict = view().decide();
        assert!(verdict.admitted() && verdict.warnings.is_empty() && verdict.told().is_none());
        assert_eq!((verdict.code(), verdict.message(), verdict.until()), (200, None, None));
        assert_eq!(outcomes(&verdict), each("pass"));
    }

    #[test]
    fn checks_are_told_in_the_order_of_the_rule_book_also_after_the_first_hit() {
        let verdict = held_by_everything().decide();
        let told: Vec<_> = verdict.findings.iter().map(|finding| finding.check).collect();
        assert_eq!(told[0], Check::Malformed);
        assert_eq!(told[1..], SET);
        assert_eq!(outcomes(&verdict)[0], "pass");
        assert_eq!(outcomes(&verdict)[1..], ["hit"; 10]);
    }

    #[test]
    fn the_first_enforced_hit_is_the_verdict() {
        let reasons = [
            "ParentDeleting",
            "IneffectiveChain",
            "ConsecutiveFailures",
            "DuplicateInProgress",
            "ResourceBusy",
            "PreviousExecutionFailed",
            "ExhaustedRetries",
            "RecentlyRemediated",
            "ExponentialBackoff",
            "ExecutorCooldown",
        ];
        for passed_over in [Mode::Warn, Mode::Audit, Mode::Off] {
            let mut scene = held_by_everything();
            for (check, expected) in SET.into_iter().zip(reasons) {
                assert_eq!(reason(&scene.decide()), Some(expected), "{passed_over:?}");
                scene.policy.checks.set(check, passed_over);
            }
            assert!(scene.decide().admitted(), "{passed_over:?}");
        }
    }

    #[test]
    fn a_hit_in_warn_is_a_warning_in_audit_a_finding_and_off_is_not_asked() {
        let busy = |mode| {
            let scene = view().history([running()]).policy(|checks| checks.set(Check::ResourceBusy, mode));
            let verdict = scene.decide();
            let told = verdict.told().map(|(hold, mode)| (hold.reason.to_string(), mode));
            (verdict.admitted(), verdict.warnings.len(), outcomes(&verdict)[5], told)
        };
        let told = |mode| Some(("ResourceBusy".to_owned(), mode));
        assert_eq!(busy(Mode::Enforce), (false, 0, "hit", told(Mode::Enforce)));
        assert_eq!(busy(Mode::Warn), (true, 1, "hit", told(Mode::Warn)));
        assert_eq!(busy(Mode::Audit), (true, 0, "hit", told(Mode::Audit)));
        assert_eq!(busy(Mode::Off), (true, 0, "off", None));
    }

    #[test]
    fn what_decided_is_told_before_what_only_would_have() {
        let scene = held_by_everything().policy(|checks| checks.set(Check::ParentState, Mode::Warn));
        let verdict = scene.decide();
        let (hold, mode) = verdict.told().unwrap();
        assert_eq!((hold.reason.as_str(), mode), ("IneffectiveChain", Mode::Enforce));
        assert_eq!(verdict.code(), 403);
    }

    #[test]
    fn where_the_parent_is_missing_what_needs_it_is_skipped() {
        let verdict = view().without_parent().history([failed(Ran)]).decide();
        assert_eq!(reason(&verdict), Some("ParentMissing"));
        let expected = ["pass", "hit", "skipped", "skipped", "skipped", "pass", "hit", "pass", "pass", "pass", "off"];
        assert_eq!(outcomes(&verdict), expected);
    }

    #[test]
    fn knowledge_that_is_too_old_refuses_or_warns() {
        assert!(view().aged(30_000).decide().admitted());
        let stale = view().aged(30_001);
        let verdict = stale.decide();
        assert_eq!((reason(&verdict), verdict.code(), verdict.until()), (Some("StaleState"), 403, None));
        assert_eq!(outcomes(&verdict), each("pass"), "what is known is told all the same");

        let mut warns = stale;
        warns.policy.staleness.action = StaleAction::Warn;
        let expected = "judged on routing state 30s old, staleness.max is 30s";
        assert!(warns.decide().admitted());
        assert_eq!(warns.warnings(), [expected]);
        assert!(view().aged(30_000).warnings().is_empty());
    }

    #[test]
    fn stale_knowledge_is_the_reason_whatever_it_says() {
        let scene = held_by_everything().aged(31_000);
        assert_eq!(reason(&scene.decide()), Some("StaleState"));
    }

    #[test]
    fn after_malformed_nothing_else_is_asked() {
        let cause = |field: &str| Cause { field: field.into(), message: "wrong".into() };
        let mut policy = Policy::default();
        policy.checks.set(Check::ResourceBusy, Mode::Off);
        let verdict = malformed(vec![cause("spec.a"), cause("spec.b")], &policy, now());
        assert_eq!((reason(&verdict), verdict.code()), (Some("Malformed"), 422));
        let mut expected = each("skipped");
        (expected[0], expected[5]) = ("hit", "off");
        assert_eq!(outcomes(&verdict), expected);
        assert_eq!(verdict.message().unwrap(), "Malformed: spec.a: wrong; spec.b: wrong");
    }

    #[test]
    fn what_makes_no_sense_is_refused_whatever_the_operator_says() {
        let mut policy = Policy::default();
        policy.checks.set(Check::Malformed, Mode::Off);
        assert_eq!(policy.mode(Check::Malformed), Mode::Enforce);
    }

    #[test]
    fn a_spec_may_not_change_and_all_else_may() {
        let policy = Policy::default();
        let changed = change(Some(Change::Spec), &policy, now());
        assert_eq!((reason(&changed), changed.code()), (Some("SpecImmutable"), 403));
        assert!(
            changed.message().unwrap().starts_with("SpecImmutable: the spec of a WorkflowExecution cannot change;")
        );
        let parked = change(Some(Change::ParkedStatus), &policy, now());
        assert_eq!((reason(&parked), parked.code()), (Some("AnnotationReserved"), 403));
        let parked = change(Some(Change::ParkedSpec), &policy, now());
        assert_eq!((reason(&parked), parked.code()), (Some("AnnotationReserved"), 403));
        assert!(change(None, &policy, now()).admitted());
        let unasked = unasked(&policy, now());
        assert!(unasked.admitted() && unasked.told().is_none());
        assert_eq!(outcomes(&unasked), each("skipped"));
    }

    #[test]
    fn a_question_about_a_target_alone_asks_what_holds_the_target() {
        let target = crate::api::facts::Target::parse("payments/Deployment/api", None).unwrap();
        let scene = held_by_everything().parent_is(Parent::NotAsked).question(|question| {
            *question = Request::target(target);
        });
        let verdict = scene.decide();
        let expected = ["pass", "skipped", "skipped", "skipped", "skipped", "hit", "hit", "hit", "hit", "hit", "hit"];
        assert_eq!(outcomes(&verdict), expected);
        assert!(
            verdict.message().unwrap().ends_with("held by WorkflowExecution payments/busy"),
            "no command without a parent"
        );
    }
}
