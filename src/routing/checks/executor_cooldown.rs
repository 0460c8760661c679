use std::time::Duration;

use super::*;

/// Times are stored in whole seconds, and the executor lets a finished run go up to a second after its own cooldown.
const SLACK: Duration = Duration::from_secs(2);

/// Kubernaut's executor holds what comes within its own cooldown as Pending, and then ends it Deduplicated without running
/// it: better refused, and tried again.
pub(super) fn ask(case: &Case<'_>) -> Outcome {
    let hold = case.ended().next().and_then(|last| rests(last, case).or_else(|| is_left(last, case)));
    Outcome::of(hold)
}

fn rests(last: &WorkflowExecution, case: &Case<'_>) -> Option<Hold> {
    let ended = last.ended()?;
    let until = later(ended, case.policy.checks.executor_cooldown.cooldown);
    let until = until.checked_add(SLACK).unwrap_or(Timestamp::MAX);
    (until > case.now).then(|| hold(last, Because::ExecutorRests { ended }, End::At(until)))
}

/// Nobody knows when it goes: its executor is late, or away.
fn is_left(last: &WorkflowExecution, case: &Case<'_>) -> Option<Hold> {
    let left = case.view.runs.of(&last.key).any(|run| !run.goes_on);
    left.then(|| hold(last, Because::RunIsLeft, End::WhenGone))
}

fn hold(last: &WorkflowExecution, because: Because, end: End) -> Hold {
    Hold { reason: Reason::ExecutorCooldown, because, by: Some(Culprit::execution(&last.key)), end }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::*;
    use super::*;

    #[test]
    fn the_executor_rests_after_whatever_ended_last() {
        for (ended, says) in
            [(0, "we-1 until +62"), (-30, "we-1 until +32"), (-61, "we-1 until +1"), (-62, "pass"), (-63, "pass")]
        {
            for last in [completed(), failed(Ran), failed(BeforeItRan), failed(Deduplicated), failed(Unclassified)] {
                assert_eq!(view().history([last.ended(ended)]).says(ask), says, "ended {ended}");
            }
        }
    }

    #[test]
    fn only_the_one_that_ended_last_counts() {
        let history = [completed().ended(-90), failed(Ran).ended(-20), completed().ended(-40)];
        assert_eq!(view().history(history).says(ask), "we-2 until +42");
        let elder_is_left =
            view().history([completed().ended(-90), completed().ended(-70)]).runs([run_of("we-1").over()]);
        assert_eq!(elder_is_left.says(ask), "pass");
        assert_eq!(view().history([running()]).says(ask), "pass", "nothing has ended");
        assert_eq!(view().says(ask), "pass");
    }

    #[test]
    fn without_an_end_the_creation_counts() {
        assert_eq!(view().history([completed().created(-10)]).says(ask), "we-1 until +52");
        assert_eq!(view().history([completed().timeless()]).says(ask), "pass");
        assert_eq!(view().history([completed().timeless()]).runs([run_of("we-1").over()]).says(ask), "we-1 until gone");
    }

    #[test]
    fn its_finished_run_holds_as_long_as_it_is_there() {
        let scene = |ended| view().history([failed(Ran).ended(ended)]).runs([run_of("we-1").over()]);
        assert_eq!(scene(-10).says(ask), "we-1 until +52", "the time is the better answer");
        assert_eq!(scene(-62).says(ask), "we-1 until gone");
        assert_eq!(scene(-62).runs([run_of("we-1")]).says(ask), "pass", "what goes on is for ResourceBusy");
        assert_eq!(scene(-62).runs([run_of("we-2").over()]).says(ask), "pass", "the run of another");
    }

    #[test]
    fn the_candidate_itself_does_not_count() {
        let own = view().history([completed().ended(-10).named("we-new")]).runs([run_of("we-new").over()]);
        assert_eq!(own.says(ask), "pass");
    }

    #[test]
    fn it_is_off_until_somebody_turns_it_on() {
        let scene = view().history([failed(Ran).cleared().ended(-10)]);
        let found = |scene: &Scene| scene.decide().findings.last().map(|finding| finding.outcome.as_str());
        assert_eq!(found(&scene), Some("off"));
        for (mode, admitted) in [(Mode::Enforce, false), (Mode::Warn, true), (Mode::Audit, true)] {
            let scene = scene.clone().policy(|checks| checks.set(Check::ExecutorCooldown, mode));
            assert_eq!((found(&scene), scene.decide().admitted()), (Some("hit"), admitted), "{mode:?}");
        }
    }

    #[test]
    fn a_cooldown_past_all_time_ends_with_time() {
        let for_ever = |checks: &mut Checks| {
            checks.executor_cooldown.cooldown = crate::api::duration::GoDuration::seconds(u64::MAX);
        };
        assert_eq!(view().policy(for_ever).history([completed()]).hold(ask).end, End::At(Timestamp::MAX));
    }
}
