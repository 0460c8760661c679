use super::super::request::Stored;
use super::super::view::{Run, older};
use super::*;
use crate::api::facts::ExecutionPhase;

/// One workflow on a target at a time (BR-WE-009), also where an execution was given up and its run was not.
pub(super) fn ask(case: &Case<'_>) -> Outcome {
    let busy = |because, execution| Hold {
        reason: Reason::ResourceBusy,
        because,
        by: Some(Culprit::execution(execution)),
        end: End::WhenGone,
    };
    let active = case.view.history.active_oldest_first().find(|execution| in_the_way(execution, case));
    let active = active.map(|execution| busy(Because::ResourceBusy, &execution.key));
    let left = || case.view.runs.oldest_first().find(|run| runs_alone(run, case));
    Outcome::of(active.or_else(|| left().map(|run| busy(Because::RunGoesOn, &run.execution))))
}

/// A candidate that is stored waits only for what runs or came before it, else two pending ones would hold each other for ever.
fn in_the_way(execution: &WorkflowExecution, case: &Case<'_>) -> bool {
    match (&case.request.key, case.request.stored) {
        (Some(own), _) if *own == execution.key => false,
        (Some(own), Some(Stored { created })) => {
            execution.phase == ExecutionPhase::Running
                || execution.has_run
                || case.view.runs.of(&execution.key).any(|run| run.goes_on)
                || older((execution.created, &execution.key), (created, own)).is_lt()
        }
        _ => true,
    }
}

/// It goes on, and no active execution speaks for it. The candidate's own name does, where that is stored; else it is the
/// name of one that is gone, and its run is not.
fn runs_alone(run: &Run, case: &Case<'_>) -> bool {
    let history = &case.view.history;
    let own = case.request.is(&run.execution) && (case.request.stored.is_some() || history.knows(&run.execution));
    run.goes_on && !own && !history.active_oldest_first().any(|execution| execution.key == run.execution)
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
    fn a_run_that_goes_on_without_its_execution_holds_the_target() {
        for history in [vec![], vec![failed(BeforeItRan)], vec![failed(Ran)], vec![completed()]] {
            let scene = view().history(history.clone()).runs([run_of("we-1")]);
            assert_eq!(scene.says(ask), "we-1 until gone", "{history:?}");
            assert_eq!(scene.hold(ask).because, Because::RunGoesOn);
            assert_eq!(scene.runs([run_of("we-1").over()]).says(ask), "pass", "{history:?}");
        }
        assert_eq!(view().history([failed(Ran)]).runs([run_of("we-2")]).says(ask), "we-2 until gone");
    }

    #[test]
    fn an_active_execution_speaks_for_its_run() {
        let both = [failed(BeforeItRan).named("given-up"), running().named("active")];
        let scene = view().history(both).runs([run_of("given-up").created(-99), run_of("active").created(-50)]);
        assert_eq!((scene.says(ask), scene.hold(ask).because), ("active until gone".to_owned(), Because::ResourceBusy));
        let young = view().stored(-100).history([pending().created(-99)]);
        assert_eq!(young.clone().runs([run_of("we-1")]).says(ask), "we-1 until gone", "a pending one that has a run");
        assert_eq!(young.runs([run_of("we-1").over()]).says(ask), "pass");
    }

    #[test]
    fn of_several_runs_the_oldest_is_named() {
        let runs = [run_of("b").created(-20), run_of("a").created(-10), run_of("c").created(-30).over()];
        assert_eq!(view().runs(runs).says(ask), "b until gone");
        assert_eq!(view().runs([run_of("b"), run_of("a")]).says(ask), "a until gone", "created at one time");
    }

    #[test]
    fn the_candidates_own_run_is_not_in_its_way() {
        let own = || view().runs([run_of("we-new")]);
        assert_eq!(own().history([running().named("we-new")]).says(ask), "pass");
        assert_eq!(own().history([failed(Ran).named("we-new")]).says(ask), "pass", "AlreadyExists will be the answer");
        assert_eq!(own().stored(0).says(ask), "pass");
        assert_eq!(own().says(ask), "we-new until gone", "one of this name was deleted, its run was not");
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
