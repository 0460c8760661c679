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
    walk(case.view.siblings.without(&parent.key).rev())
}

/// Failures in a row among these, once one of them has ended as it is given.
#[must_use]
pub fn failures_in_a_row(siblings: &Siblings, ended: &RemediationRequest) -> usize {
    let mut siblings = siblings.clone();
    siblings.remove(ended);
    siblings.insert(std::sync::Arc::new(ended.clone()));
    walk(siblings.oldest_first().rev()).count
}

fn walk<'a>(newest_first: impl Iterator<Item = &'a RemediationRequest>) -> Failures<'a> {
    let mut failures = Failures::default();
    for request in newest_first {
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

#[cfg(test)]
mod tests {
    use super::super::super::testing::*;
    use super::*;

    #[test]
    fn as_many_failures_as_the_threshold_hold_the_signal() {
        let failures = |n: i64| view().siblings((1..=n).map(|i| failure().created(-700 + i).ended(-60 + i)));
        assert_eq!(failures(2).says(ask), "pass");
        assert_eq!(failures(3).says(ask), "rr-3 until +3543");
        assert_eq!(failures(4).hold(ask).because, Because::ConsecutiveFailures { count: 4, threshold: 3 });
        assert_eq!(view().says(ask), "pass");
    }

    #[test]
    fn numbers_are_the_operators() {
        let policy = |checks: &mut Checks| {
            checks.consecutive_failures.threshold = 1.try_into().unwrap();
            checks.consecutive_failures.cooldown = crate::api::duration::GoDuration::seconds(100);
        };
        assert_eq!(view().policy(policy).siblings([failure().ended(-40)]).says(ask), "rr-1 until +60");
    }

    #[test]
    fn the_cooldown_runs_from_the_end_of_the_newest_and_ends_on_the_second() {
        let newest_ended =
            |offset| view().siblings([failure(), failure(), failure().created(-500).ended(offset)]).says(ask);
        assert_eq!(newest_ended(-3599), "rr-3 until +1");
        assert_eq!(newest_ended(-3600), "pass");
        assert_eq!(newest_ended(-3601), "pass");
    }

    #[test]
    fn without_an_end_the_creation_counts_and_without_both_nothing_holds() {
        assert_eq!(view().siblings([failure(), failure(), failure().created(-500)]).says(ask), "rr-3 until +3100");
        assert_eq!(
            view().siblings([failure().timeless(), failure().timeless(), failure().timeless()]).says(ask),
            "pass"
        );
    }

    #[test]
    fn newest_is_by_creation_then_by_name_not_by_end() {
        let siblings = [
            failure().created(-300).ended(-10),
            failure().created(-200).ended(-90),
            failure().created(-400).ended(-20),
        ];
        assert_eq!(view().siblings(siblings).says(ask), "rr-2 until +3510");
        assert_eq!(
            view().siblings([failure().named("b"), failure().named("c"), failure().named("a")]).says(ask),
            "c until +3000"
        );
    }

    #[test]
    fn what_routing_ended_is_no_failure() {
        for phase in ["Deduplicated", "Blocked"] {
            let siblings = [failure(), failure(), failure().failed_in(phase).created(-1)];
            assert_eq!(view().siblings(siblings).says(ask), "pass", "{phase}");
        }
        let siblings = [failure(), failure(), failure().failed_in("WorkflowExecution").created(-100)];
        assert_eq!(view().siblings(siblings).says(ask), "rr-3 until +3500");
    }

    #[test]
    fn an_inconclusive_end_is_a_failure_and_any_other_completion_stops_the_count() {
        let between = |outcome: &str| {
            let completed = request(RequestPhase::Completed).outcome(outcome).created(-450);
            view()
                .siblings([failure().created(-500), completed, failure().created(-400), failure().created(-300)])
                .says(ask)
        };
        assert_eq!(between("Inconclusive"), "rr-4 until +3300");
        for outcome in ["Remediated", "NoActionRequired", "ManualReviewRequired", "VerificationTimedOut", "DryRun", ""]
        {
            assert_eq!(between(outcome), "pass", "{outcome}");
        }
        let newest = request(RequestPhase::Completed).outcome("Inconclusive").created(-100);
        assert_eq!(view().siblings([failure(), failure(), newest]).says(ask), "rr-3 until +3500");
    }

    #[test]
    fn everything_else_is_passed_over() {
        for phase in [
            RequestPhase::TimedOut,
            RequestPhase::Skipped,
            RequestPhase::Cancelled,
            RequestPhase::Blocked,
            RequestPhase::Executing,
            RequestPhase::Unset,
        ] {
            let siblings = [failure(), failure(), request(phase).created(-450), failure().created(-400)];
            assert_eq!(view().siblings(siblings).says(ask), "rr-4 until +3200", "{phase:?}");
            assert_eq!(view().siblings([failure(), failure(), request(phase)]).says(ask), "pass", "{phase:?}");
        }
    }

    #[test]
    fn newer_siblings_count_and_the_parent_does_not() {
        let parent = failure().created(-900);
        assert_eq!(view().parent(parent.clone()).siblings([failure(), failure()]).says(ask), "pass");
        assert_eq!(
            view().parent(parent).siblings([failure(), failure(), failure().created(-1)]).says(ask),
            "rr-3 until +3599"
        );
    }

    #[test]
    fn one_that_ends_counts_among_the_others_at_its_place() {
        let ended = |scene: Scene, request: Rr| failures_in_a_row(&scene.frozen().siblings, &request.0);
        let runs = request(RequestPhase::Executing).named("own").created(-100);
        let own = failure().named("own").created(-100);
        assert_eq!(ended(view(), own.clone()), 1);
        assert_eq!(ended(view().siblings([failure(), failure(), runs.clone()]), own.clone()), 3);
        assert_eq!(ended(view().siblings([failure(), failure(), own.clone()]), own.clone()), 3, "and once");
        let success = request(RequestPhase::Completed).created(-200);
        assert_eq!(ended(view().siblings([failure(), success, runs]), own), 1);
    }

    #[test]
    fn without_a_parent_there_are_no_siblings() {
        assert_eq!(view().without_parent().siblings([failure(), failure(), failure()]).says(ask), "skipped");
    }
}
