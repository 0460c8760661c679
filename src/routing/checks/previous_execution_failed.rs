use super::*;

/// Holds a target whose last workflow did something and failed, until a person clears it (BR-WE-013).
pub(super) fn ask(case: &Case<'_>) -> Outcome {
    let culprit = case.ended().take_while(|wfe| !wfe.completed()).find(|wfe| wfe.ran() && !wfe.cleared);
    Outcome::of(culprit.map(|wfe| Hold {
        reason: Reason::PreviousExecutionFailed,
        because: Because::PreviousExecutionFailed,
        by: Some(Culprit::execution(&wfe.key)),
        end: End::WhenCleared,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::*;
    use super::*;

    #[test]
    fn what_ran_and_failed_holds_until_a_person_clears_it() {
        assert_eq!(view().history([failed(Ran).ended(-60)]).says(ask), "we-1 until cleared");
        assert_eq!(view().history([failed(Ran).ended(-60).cleared()]).says(ask), "pass");
        assert_eq!(view().says(ask), "pass");
    }

    #[test]
    fn a_success_after_the_failure_lifts_the_hold() {
        assert_eq!(view().history([failed(Ran).ended(-60), completed().ended(-30)]).says(ask), "pass");
        assert_eq!(view().history([failed(Ran).ended(-30), completed().ended(-60)]).says(ask), "we-1 until cleared");
    }

    #[test]
    fn what_failed_before_it_ran_or_does_not_say_holds_nothing() {
        for how in [BeforeItRan, Unclassified, Deduplicated] {
            assert_eq!(view().history([failed(how).ended(-60)]).says(ask), "pass", "{how:?}");
        }
    }

    #[test]
    fn the_newest_uncleared_one_is_named_and_a_clearance_lifts_only_its_own() {
        let two = [failed(Ran).ended(-60), failed(Ran).ended(-30)];
        assert_eq!(view().history(two).says(ask), "we-2 until cleared");
        let newer_cleared = [failed(Ran).ended(-60), failed(Ran).ended(-30).cleared()];
        assert_eq!(view().history(newer_cleared).says(ask), "we-1 until cleared");
    }

    #[test]
    fn an_active_one_and_the_candidate_itself_do_not_count() {
        let mut active = running();
        active.0.failure = failed(Ran).0.failure;
        assert_eq!(view().history([active]).says(ask), "pass");
        assert_eq!(view().history([failed(Ran).ended(-60).named("we-new")]).says(ask), "pass");
        let namesake = failed(Ran).ended(-60).named("we-new").in_namespace("other");
        assert_eq!(view().history([namesake]).says(ask), "we-new until cleared");
    }

    #[test]
    fn it_needs_no_parent() {
        assert_eq!(view().without_parent().history([failed(Ran)]).says(ask), "we-1 until cleared");
    }
}
