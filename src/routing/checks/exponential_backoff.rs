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
    Some(hold(Because::BackoffComputed { count: retries.count }, Culprit::execution(&newest.key), until))
}

fn hold(because: Because, by: Culprit, until: Timestamp) -> Hold {
    Hold { reason: Reason::ExponentialBackoff, because, by: Some(by), end: End::At(until) }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::*;
    use super::*;
    use crate::api::facts::RequestPhase;

    fn from(source: BackoffSource) -> impl FnOnce(&mut Checks) {
        move |checks| checks.exponential_backoff.source = source
    }

    fn parent() -> Rr {
        request(RequestPhase::Analyzing)
    }

    #[test]
    fn failures_before_anything_ran_wait_longer_each_time() {
        for (n, until) in [(1, 50), (2, 110), (3, 230), (4, 470), (5, 590), (6, 590)] {
            let history = (0..n).map(|i| failed(BeforeItRan).ended(-10 - i).named(&format!("we-{i}")));
            assert_eq!(view().history(history).says(ask), format!("we-0 until +{until}"), "{n}");
        }
        assert_eq!(view().says(ask), "pass");
    }

    #[test]
    fn an_end_that_is_now_is_over() {
        for (ended, says) in [(-59, "we-1 until +1"), (-60, "pass"), (-61, "pass")] {
            assert_eq!(view().history([failed(BeforeItRan).ended(ended)]).says(ask), says, "computed {ended}");
        }
        for (offset, says) in [(1, "parent until +1"), (0, "pass"), (-1, "pass")] {
            assert_eq!(view().parent(parent().next_allowed(offset)).says(ask), says, "published {offset}");
        }
    }

    #[test]
    fn the_wait_runs_from_the_newest_counted_failure() {
        let history = [failed(BeforeItRan).ended(-20), failed(Ran).ended(-5), failed(Unclassified).ended(-4)];
        assert_eq!(view().history(history).says(ask), "we-1 until +40");
        assert_eq!(view().history([failed(BeforeItRan).created(-20)]).says(ask), "we-1 until +40");
        assert_eq!(view().history([failed(BeforeItRan).timeless()]).says(ask), "pass");
    }

    #[test]
    fn the_latest_published_time_of_parent_and_siblings_counts() {
        let siblings = [failure().next_allowed(30), request(RequestPhase::Completed).next_allowed(86_400), failure()];
        assert_eq!(view().siblings(siblings.clone()).says(ask), "rr-2 until +86400");
        assert_eq!(view().parent(parent().next_allowed(90_000)).siblings(siblings).says(ask), "parent until +90000");
        let equal = view().parent(parent().next_allowed(30)).siblings([failure().next_allowed(30)]);
        assert_eq!(equal.says(ask), "parent until +30");
        let equal = view().siblings([failure().next_allowed(30), failure().next_allowed(30)]);
        assert_eq!(equal.says(ask), "rr-1 until +30");
    }

    #[test]
    fn the_later_of_published_and_computed_holds() {
        let both =
            |published| view().parent(parent().next_allowed(published)).history([failed(BeforeItRan).ended(-10)]);
        assert_eq!(both(49).says(ask), "we-1 until +50");
        assert_eq!(both(50).hold(ask).because, Because::BackoffPublished);
        assert_eq!(both(51).says(ask), "parent until +51");
        assert_eq!(both(-9).says(ask), "we-1 until +50");
        assert_eq!(both(49).hold(ask).because, Because::BackoffComputed { count: 1 });
    }

    #[test]
    fn the_operator_says_whose_word_counts() {
        let scene = || view().parent(parent().next_allowed(40)).history([failed(BeforeItRan).ended(-10)]);
        assert_eq!(scene().policy(from(BackoffSource::Published)).says(ask), "parent until +40");
        assert_eq!(scene().policy(from(BackoffSource::Computed)).says(ask), "we-1 until +50");
        let sooner = view().parent(parent().next_allowed(90)).history([failed(BeforeItRan).ended(-10)]);
        assert_eq!(sooner.policy(from(BackoffSource::Computed)).says(ask), "we-1 until +50");
    }

    #[test]
    fn without_a_parent_only_the_computed_wait_is_known() {
        let scene = || {
            view().without_parent().siblings([failure().next_allowed(500)]).history([failed(BeforeItRan).ended(-10)])
        };
        assert_eq!(scene().says(ask), "we-1 until +50");
        assert_eq!(scene().policy(from(BackoffSource::Computed)).says(ask), "we-1 until +50");
        assert_eq!(scene().policy(from(BackoffSource::Published)).says(ask), "skipped");
        assert_eq!(view().without_parent().says(ask), "pass");
    }
}
