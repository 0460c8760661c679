use super::*;

/// Enough attempts failed before anything ran: trying again will not help, a person must look (DD-WE-004).
pub(super) fn ask(case: &Case<'_>) -> Outcome {
    let max = case.policy.checks.exhausted_retries.max.get();
    let retries = retries_counted(case);
    let hold = retries.newest.filter(|_| retries.count >= max as usize).map(|newest| Hold {
        reason: Reason::ExhaustedRetries,
        because: Because::ExhaustedRetries { count: retries.count, max },
        by: Some(Culprit::execution(newest)),
        end: End::WhenCleared,
    });
    Outcome::of(hold)
}
