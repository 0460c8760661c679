use super::*;

/// The failures before anything ran, in a row.
#[derive(Default)]
pub(in super::super) struct Retries<'a> {
    pub count: usize,
    pub newest: Option<&'a WorkflowExecution>,
}

/// Walks back from the newest end to the last success or clearance; what ran, and what says nothing, is passed over.
pub(in super::super) fn counted<'a>(case: &'a Case<'_>) -> Retries<'a> {
    let mut retries = Retries::default();
    for execution in case.ended().take_while(|wfe| !wfe.completed() && !wfe.cleared) {
        if failed_before_it_ran(execution) {
            retries.count += 1;
            retries.newest = retries.newest.or(Some(execution));
        }
    }
    retries
}

fn failed_before_it_ran(execution: &WorkflowExecution) -> bool {
    execution.failure.as_ref().is_some_and(|failure| !failure.was_execution_failure && !failure.deduplicated)
}
