use super::*;

/// Waits longer after each failure before anything ran: as RO publishes it, as the failures add up to, or the later.
pub(super) fn ask(case: &Case<'_>) -> Outcome {
    let source = case.policy.checks.exponential_backoff.source;
    if !source.computed() && case.parent().is_none() {
        return Outcome::Skipped;
    }
    let published = case.parent().filter(|_| source.published()).and_then(|parent| published(case, parent));
    let computed = source.computed().then(|| computed(case)).flatten();
    let latest = [published, computed].into_iter().flatten().reduce(|a, b| if b.until() > a.until() { b } else { a });
    Outcome::of(latest.filter(|hold| hold.until() > Some(case.now)))
}

/// The latest `nextAllowedExecution` of the parent and its siblings; of equal ones the parent's.
fn published(case: &Case<'_>, parent: &RemediationRequest) -> Option<Hold> {
    let siblings = case.view.siblings.without(&parent.key);
    let (request, until) = std::iter::once(parent)
        .chain(siblings)
        .filter_map(|request| Some((request, request.next_allowed?)))
        .reduce(|a, b| if b.1 > a.1 { b } else { a })?;
    Some(hold(Because::BackoffPublished, Culprit::request(&request.key), until))
}

fn computed(case: &Case<'_>) -> Option<Hold> {
    let retries = retries_counted(case);
    let newest = retries.newest?;
    let wait = case.policy.checks.exponential_backoff.after(retries.count);
    let until = later(newest.ended()?, wait.into());
    Some(hold(Because::BackoffComputed { count: retries.count }, Culprit::execution(newest), until))
}

fn hold(because: Because, by: Culprit, until: Timestamp) -> Hold {
    Hold { reason: Reason::ExponentialBackoff, because, by: Some(by), end: End::At(until) }
}
