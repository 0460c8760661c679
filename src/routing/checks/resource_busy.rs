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
