use super::*;
use crate::api::facts::RequestPhase;

/// Holds a signal whose last requests failed in a row (BR-ORCH-042).
pub(super) fn ask(case: &Case<'_>) -> Outcome {
    let Some(parent) = case.parent() else { return Outcome::Skipped };
    let rule = &case.policy.checks.consecutive_failures;
    let failures = counted(case, parent);
    let threshold = rule.threshold.get();
    let hold = failures.newest.filter(|_| failures.count >= threshold as usize).and_then(|newest| {
        let end = later(newest.completed_at.or(newest.created)?, rule.cooldown);
        (case.now < end).then(|| Hold {
            reason: Reason::ConsecutiveFailures,
            because: Because::ConsecutiveFailures { count: failures.count, threshold },
            by: Some(Culprit::request(&newest.key)),
            end: End::At(end),
        })
    });
    Outcome::of(hold)
}

#[derive(Default)]
pub(in super::super) struct Failures<'a> {
    pub count: usize,
    pub newest: Option<&'a RemediationRequest>,
}

/// The failures since the last success, newest first; what neither failed nor succeeded is passed over.
pub(in super::super) fn counted<'a>(case: &'a Case<'_>, parent: &RemediationRequest) -> Failures<'a> {
    let mut failures = Failures::default();
    for request in case.view.siblings.without(&parent.key).rev() {
        match weight(request) {
            Weight::Failure => {
                failures.count += 1;
                failures.newest = failures.newest.or(Some(request));
            }
            Weight::Success => break,
            Weight::Nothing => {}
        }
    }
    failures
}

enum Weight {
    Failure,
    Success,
    Nothing,
}

fn weight(request: &RemediationRequest) -> Weight {
    match request.phase {
        RequestPhase::Failed if never_tried(request) => Weight::Nothing,
        RequestPhase::Failed => Weight::Failure,
        RequestPhase::Completed if request.outcome.as_deref() == Some("Inconclusive") => Weight::Failure,
        RequestPhase::Completed => Weight::Success,
        _ => Weight::Nothing,
    }
}

/// Ended by RO's own routing, not by a workflow.
fn never_tried(request: &RemediationRequest) -> bool {
    matches!(request.failure_phase.as_deref(), Some("Deduplicated" | "Blocked"))
}
