use super::*;

/// The failures before anything ran, in a row.
#[derive(Default)]
pub(in super::super) struct Retries<'a> {
    pub count: usize,
    pub newest: Option<&'a WorkflowExecution>,
}

/// Walks back from the newest end to the last success or clearance; what ran, and what says nothing, is passed over.
pub(in super::super) fn counted<'a>(case: &'a Case<'_>) -> Retries<'a> {
    walk(case.ended())
}

/// The same back from this one, which is counted; None: it is not known to have ended.
#[must_use]
pub fn failed_starts(history: &History, from: &ObjectKey) -> Option<usize> {
    let mut back = history.ended_newest_first().skip_while(|execution| execution.key != *from).peekable();
    back.peek()?;
    Some(walk(back).count)
}

fn walk<'a>(newest_first: impl Iterator<Item = &'a WorkflowExecution>) -> Retries<'a> {
    let mut retries = Retries::default();
    for execution in newest_first.take_while(|wfe| !wfe.completed() && !wfe.cleared) {
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

#[cfg(test)]
mod tests {
    use super::super::super::testing::*;
    use super::*;

    fn count(history: impl IntoIterator<Item = Wfe>) -> (usize, Option<String>) {
        let scene = view().history(history);
        let frozen = scene.frozen();
        let case = Case { request: &scene.question, view: &frozen, policy: &scene.policy, now: now() };
        let retries = counted(&case);
        (retries.count, retries.newest.map(|wfe| wfe.key.name.to_string()))
    }

    fn some(count: usize, newest: &str) -> (usize, Option<String>) {
        (count, Some(newest.to_owned()))
    }

    #[test]
    fn failures_before_anything_ran_count_back_to_a_success() {
        assert_eq!(count([]), (0, None));
        assert_eq!(count([failed(BeforeItRan).ended(-20), failed(BeforeItRan).ended(-10)]), some(2, "we-2"));
        let success_between = [failed(BeforeItRan).ended(-30), completed().ended(-20), failed(BeforeItRan).ended(-10)];
        assert_eq!(count(success_between), some(1, "we-3"));
        assert_eq!(count([failed(BeforeItRan).ended(-30), completed().ended(-20)]), (0, None));
    }

    #[test]
    fn a_clearance_stops_the_walk_and_its_execution_is_not_counted() {
        for how in [BeforeItRan, Ran, Unclassified, Deduplicated] {
            let cleared_between =
                [failed(BeforeItRan).ended(-30), failed(how).ended(-20).cleared(), failed(BeforeItRan).ended(-10)];
            assert_eq!(count(cleared_between), some(1, "we-3"), "{how:?}");
        }
    }

    #[test]
    fn what_ran_what_was_a_duplicate_and_what_says_nothing_are_passed_over() {
        for how in [Ran, Unclassified, Deduplicated] {
            let passed_over = [
                failed(BeforeItRan).ended(-40),
                failed(how).ended(-30),
                failed(BeforeItRan).ended(-20),
                failed(how).ended(-10),
            ];
            assert_eq!(count(passed_over), some(2, "we-3"), "{how:?}");
        }
    }

    #[test]
    fn without_an_end_the_creation_tells_the_order() {
        let ended_later = completed().created(-900).ended(-20);
        assert_eq!(count([ended_later.clone(), failed(BeforeItRan).created(-30)]), (0, None));
        assert_eq!(count([ended_later, failed(BeforeItRan).created(-10)]), some(1, "we-2"));
        let never = failed(BeforeItRan).timeless();
        assert_eq!(count([never, completed().created(-9000)]), (0, None), "what has no time at all is the oldest");
    }

    #[test]
    fn ties_go_by_creation_then_by_name_and_the_larger_is_newer() {
        let (success, failure) = (completed().ended(-20), failed(BeforeItRan).ended(-20));
        let counts = |success: Wfe, failure: Wfe| count([success, failure]).0;
        assert_eq!(counts(success.clone().created(-50), failure.clone().created(-40)), 1);
        assert_eq!(counts(success.clone().created(-40), failure.clone().created(-50)), 0);
        assert_eq!(counts(success.clone().named("a"), failure.clone().named("b")), 1);
        assert_eq!(counts(success.clone().named("b"), failure.clone().named("a")), 0);
        assert_eq!(
            counts(success.clone().named("b").in_namespace("a"), failure.clone().named("a").in_namespace("b")),
            1
        );
        assert_eq!(counts(success.named("a").in_namespace("b"), failure.named("b").in_namespace("a")), 0);
    }

    #[test]
    fn the_candidate_itself_neither_counts_nor_stops() {
        let own = |wfe: Wfe| wfe.named("we-new").ended(-5);
        assert_eq!(count([failed(BeforeItRan).ended(-10), own(failed(BeforeItRan))]), some(1, "we-1"));
        assert_eq!(count([failed(BeforeItRan).ended(-10), own(completed())]), some(1, "we-1"));
    }

    #[test]
    fn failures_count_back_from_any_of_them() {
        let history =
            [failed(BeforeItRan).ended(-30), failed(BeforeItRan).ended(-20), completed().ended(-10), running()];
        let frozen = view().history(history).frozen();
        let from =
            |name: &str| failed_starts(&frozen.history, &ObjectKey { namespace: "payments".into(), name: name.into() });
        assert_eq!(["we-1", "we-2", "we-3", "we-4", "we-5"].map(from), [Some(1), Some(2), Some(0), None, None]);
    }

    #[test]
    fn what_is_active_does_not_count() {
        assert_eq!(count([pending(), running(), failed(BeforeItRan).ended(-10)]), some(1, "we-3"));
    }
}
