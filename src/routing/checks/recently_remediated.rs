use super::*;

/// The same workflow on the same target rests after a success (BR-WE-010).
pub(super) fn ask(case: &Case<'_>) -> Outcome {
    let cooldown = case.policy.checks.recently_remediated.cooldown;
    let resting = |time: Timestamp| later(time, cooldown) > case.now;
    let hold = case
        .ended()
        .take_while(|wfe| wfe.ended().is_some_and(resting))
        .filter(|wfe| wfe.completed() && same_workflow(wfe, case))
        .find_map(|wfe| Some((wfe, wfe.completed_at?)))
        .map(|(wfe, completed)| Hold {
            reason: Reason::RecentlyRemediated,
            because: Because::RecentlyRemediated { completed },
            by: Some(Culprit::execution(&wfe.key)),
            end: End::At(later(completed, cooldown)),
        });
    Outcome::of(hold)
}

fn same_workflow(execution: &WorkflowExecution, case: &Case<'_>) -> bool {
    case.request.workflow_id.as_ref().is_none_or(|id| *id == execution.workflow_id)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::*;
    use super::*;

    #[test]
    fn the_same_workflow_rests_on_the_same_target_until_the_cooldown_is_over() {
        for (ended, says) in
            [(0, "we-1 until +300"), (-60, "we-1 until +240"), (-299, "we-1 until +1"), (-300, "pass"), (-301, "pass")]
        {
            assert_eq!(view().history([completed().ended(ended)]).says(ask), says, "ended {ended}");
        }
    }

    #[test]
    fn another_workflow_does_not_wait() {
        assert_eq!(view().history([completed().ended(-10).of("scale")]).says(ask), "pass");
        let both = [completed().ended(-60), completed().ended(-10).of("scale")];
        assert_eq!(view().history(both).says(ask), "we-1 until +240");
    }

    #[test]
    fn a_question_about_no_workflow_in_particular_meets_any() {
        let whatever = view().question(|question| question.workflow_id = None);
        assert_eq!(whatever.history([completed().ended(-10).of("scale")]).says(ask), "we-1 until +290");
    }

    #[test]
    fn the_latest_success_is_named_whatever_failed_since() {
        let history =
            [completed().ended(-90), completed().ended(-60), failed(Ran).ended(-30), failed(BeforeItRan).ended(-20)];
        assert_eq!(view().history(history).says(ask), "we-2 until +240");
    }

    #[test]
    fn a_failure_or_a_success_without_an_end_starts_no_cooldown() {
        assert_eq!(view().history([failed(Ran).ended(-10)]).says(ask), "pass");
        assert_eq!(view().history([completed().created(-10)]).says(ask), "pass");
        assert_eq!(view().history([completed().timeless()]).says(ask), "pass");
        assert_eq!(view().history([completed().created(-10), completed().ended(-60)]).says(ask), "we-2 until +240");
    }

    #[test]
    fn the_candidate_itself_does_not_count() {
        assert_eq!(view().history([completed().ended(-10).named("we-new")]).says(ask), "pass");
    }

    #[test]
    fn a_cooldown_past_all_time_ends_with_time() {
        let for_ever = |checks: &mut Checks| {
            checks.recently_remediated.cooldown = crate::api::duration::GoDuration::seconds(u64::MAX);
        };
        let hold = view().policy(for_ever).history([completed().ended(-10)]).hold(ask);
        assert_eq!(hold.end, End::At(Timestamp::MAX));
    }
}
