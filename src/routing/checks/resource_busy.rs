use super::super::request::Stored;
use super::super::view::older;
use super::*;
use crate::api::facts::ExecutionPhase;

/// One workflow on a target at a time (BR-WE-009).
pub(super) fn ask(case: &Case<'_>) -> Outcome {
    let hold =
        case.view.history.active_oldest_first().find(|execution| in_the_way(execution, case)).map(|execution| Hold {
            reason: Reason::ResourceBusy,
            because: Because::ResourceBusy,
            by: Some(Culprit::execution(execution)),
            end: End::WhenGone,
        });
    Outcome::of(hold)
}

/// A candidate that is stored waits only for what runs or came before it, else two pending ones would hold each other for ever.
fn in_the_way(execution: &WorkflowExecution, case: &Case<'_>) -> bool {
    match (&case.request.key, case.request.stored) {
        (Some(own), _) if *own == execution.key => false,
        (Some(own), Some(Stored { created })) => {
            execution.phase == ExecutionPhase::Running
                || execution.has_run
                || older((execution.created, &execution.key), (created, own)).is_lt()
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::*;
    use super::*;

    #[test]
    fn whatever_has_not_ended_holds_the_target() {
        for phase in [ExecutionPhase::Unset, ExecutionPhase::Pending, ExecutionPhase::Running, ExecutionPhase::Other] {
            assert_eq!(view().history([execution(phase)]).says(ask), "we-1 until gone", "{phase:?}");
        }
        assert_eq!(view().history([completed(), failed(Ran), failed(Unclassified)]).says(ask), "pass");
        assert_eq!(view().says(ask), "pass");
    }

    #[test]
    fn the_oldest_is_named_in_any_namespace() {
        let history = [running().created(-10), pending().created(-30).in_namespace("other"), running().created(-20)];
        assert_eq!(view().history(history).says(ask), "we-2 until gone");
        let tie = [pending().named("b"), pending().named("a"), pending().named("c").in_namespace("a")];
        assert_eq!(view().history(tie).says(ask), "c until gone", "namespace before name");
        assert_eq!(view().history([pending(), pending().timeless()]).says(ask), "we-2 until gone");
    }

    #[test]
    fn the_candidate_itself_is_never_in_its_own_way() {
        assert_eq!(view().history([running().named("we-new")]).says(ask), "pass");
        assert_eq!(view().stored(0).history([running().named("we-new")]).says(ask), "pass");
        assert_eq!(view().history([running().named("we-new").in_namespace("other")]).says(ask), "we-new until gone");
    }

    #[test]
    fn a_name_still_to_be_generated_matches_nothing() {
        let nameless = view().question(|question| question.key = None);
        assert_eq!(nameless.clone().history([pending().named("we-new")]).says(ask), "we-new until gone");
        assert_eq!(nameless.stored(-9999).history([pending()]).says(ask), "we-1 until gone");
    }

    #[test]
    fn a_stored_candidate_waits_only_for_what_runs_or_came_before_it() {
        let stored = || view().stored(-100);
        for (other, says) in [
            (pending().created(-101), "we-1 until gone"),
            (pending().created(-99), "pass"),
            (running().created(-99), "we-1 until gone"),
            (pending().created(-99).with_a_run(), "we-1 until gone"),
            (execution(ExecutionPhase::Unset).created(-99), "pass"),
            (execution(ExecutionPhase::Other).created(-99), "pass"),
            (pending().created(-100).named("we-m"), "we-m until gone"),
            (pending().created(-100).named("we-z"), "pass"),
            (pending().created(-100).named("we-z").in_namespace("aaa"), "we-z until gone"),
            (pending().created(-100).named("we-a").in_namespace("zzz"), "pass"),
        ] {
            assert_eq!(stored().history([other.clone()]).says(ask), says, "{other:?}");
        }
        let younger_runs = [pending().created(-50), running().created(-40)];
        assert_eq!(stored().history(younger_runs).says(ask), "we-2 until gone");
    }

    #[test]
    fn of_two_stored_pending_ones_exactly_one_may_go() {
        for (a, b) in [(-20, -10), (-10, -20), (-10, -10)] {
            let goes = |name: &str, own: i64, other: Wfe| {
                let scene = view().stored(own).question(|question| question.key = Some(key("payments", name)));
                scene.history([other]).says(ask) == "pass"
            };
            let a_goes = goes("a", a, pending().named("b").created(b));
            let b_goes = goes("b", b, pending().named("a").created(a));
            assert!(a_goes != b_goes, "{a} {b}");
        }
    }
}
