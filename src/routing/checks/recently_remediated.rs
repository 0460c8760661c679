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
            by: Some(Culprit::execution(wfe)),
            end: End::At(later(completed, cooldown)),
        });
    Outcome::of(hold)
}

fn same_workflow(execution: &WorkflowExecution, case: &Case<'_>) -> bool {
    case.request.workflow_id.as_ref().is_none_or(|id| *id == execution.workflow_id)
}
