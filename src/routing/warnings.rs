//! What a caller should know although it does not decide: nearly held, odd, or held in a mode that only warns.

use std::time::Duration;

use super::policy::{Mode, StaleAction};
use super::verdict::{Finding, Hold, Outcome};
use super::{Case, Check, checks};
use crate::api::duration::GoDuration;
use crate::api::facts::{ObjectKey, Timestamp};

/// One warning, with its numbers; `Display` in `words` makes the sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A check in mode warn hit.
    WouldHold(Hold),
    /// One more failure holds the signal.
    SignalNearlyHeld { count: usize, threshold: u32, cooldown: GoDuration },
    /// One more failure before anything runs holds the target.
    LastAttempt { count: usize, max: u32 },
    /// A failed execution that says nothing about its failure holds nothing.
    Unclassified { newest: ObjectKey, count: usize },
    /// A hold that ends in the far future is believed, but somebody's clock may be wrong.
    FarFuture { until: Timestamp },
    /// Judged on knowledge older than it should be.
    Stale { age: Duration, max: Duration },
    /// Parameter keys that upstream's contract does not expect.
    ParameterKeys { first: Vec<Box<str>>, count: usize },
}

/// RO publishes up to a day ahead (NoActionRequired); twice that is nobody's plan.
const FAR: Duration = Duration::from_secs(48 * 3600);

/// Parameter keys named in one warning; the rest is counted.
const NAMED_KEYS: usize = 3;

pub(super) fn collect(case: &Case<'_>, findings: &[Finding]) -> Vec<Warning> {
    let would_hold =
        findings.iter().filter(|f| f.mode == Mode::Warn).filter_map(Finding::hit).cloned().map(Warning::WouldHold);
    would_hold
        .chain(signal_nearly_held(case, findings))
        .chain(last_attempt(case, findings))
        .chain(unclassified(case))
        .chain(far_future(case, findings))
        .chain(stale(case))
        .chain(parameter_keys(case))
        .collect()
}

fn signal_nearly_held(case: &Case<'_>, findings: &[Finding]) -> Option<Warning> {
    let rule = &case.policy.checks.consecutive_failures;
    let parent = case.view.parent.found().filter(|_| nearly(findings, Check::ConsecutiveFailures))?;
    let count = checks::consecutive_failures_counted(case, parent).count;
    let threshold = rule.threshold.get();
    (count > 0 && count + 1 >= threshold as usize).then_some(Warning::SignalNearlyHeld {
        count,
        threshold,
        cooldown: rule.cooldown,
    })
}

fn last_attempt(case: &Case<'_>, findings: &[Finding]) -> Option<Warning> {
    let max = case.policy.checks.exhausted_retries.max.get();
    let count = nearly(findings, Check::ExhaustedRetries).then(|| checks::retries_counted(case).count)?;
    (count > 0 && count + 1 == max as usize).then_some(Warning::LastAttempt { count, max })
}

fn unclassified(case: &Case<'_>) -> Option<Warning> {
    let unsettled = case.ended().take_while(|wfe| !wfe.completed() && !wfe.cleared);
    let mut silent = unsettled.filter(|wfe| wfe.failure.is_none());
    let newest = silent.next()?.key.clone();
    Some(Warning::Unclassified { newest, count: 1 + silent.count() })
}

fn far_future(case: &Case<'_>, findings: &[Finding]) -> Option<Warning> {
    let horizon = case.now.checked_add(FAR).ok()?;
    let told = findings.iter().filter(|finding| finding.mode != Mode::Audit);
    let until = told.filter_map(Finding::hit).filter_map(Hold::until).max()?;
    (until > horizon).then_some(Warning::FarFuture { until })
}

fn stale(case: &Case<'_>) -> Option<Warning> {
    let rule = &case.policy.staleness;
    let (age, max) = (case.view.age, rule.max.get());
    (age > max && rule.action == StaleAction::Warn).then_some(Warning::Stale { age, max })
}

fn parameter_keys(case: &Case<'_>) -> Option<Warning> {
    let odd: Vec<_> = case.request.parameter_names.iter().filter(|name| !upper_snake(name)).collect();
    let first = odd.iter().take(NAMED_KEYS).map(|name| (*name).clone()).collect();
    (!odd.is_empty()).then_some(Warning::ParameterKeys { first, count: odd.len() })
}

fn upper_snake(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// It passed now, and its hit would hold.
fn nearly(findings: &[Finding], check: Check) -> bool {
    let enforced = |finding: &Finding| finding.mode == Mode::Enforce && finding.outcome == Outcome::Pass;
    findings.iter().any(|finding| finding.check == check && enforced(finding))
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::api::facts::{Block, RequestPhase};

    fn retries(n: i64) -> Scene {
        view().history((0..n).map(|i| failed(BeforeItRan).ended(-9000 - i)))
    }

    #[test]
    fn the_last_failure_before_a_signal_is_held_is_announced() {
        assert!(view().siblings([failure()]).warnings().is_empty());
        let expected = "2 of 3 failures for this signal; the next one holds it for 1h";
        assert_eq!(view().siblings([failure(), failure()]).warnings(), [expected]);
        assert!(view().siblings([failure(), failure(), failure()]).warnings().is_empty(), "held: the verdict says it");
        let over = view().siblings([0, 1, 2].map(|i| failure().created(-9000 + i)));
        let expected = "3 of 3 failures for this signal; the next one holds it for 1h";
        assert_eq!(over.warnings(), [expected], "the hold has ended, the failures have not");
        let at_once = |checks: &mut Checks| checks.consecutive_failures.threshold = 1.try_into().unwrap();
        assert!(view().policy(at_once).warnings().is_empty(), "the first failure is nobody's next one");
    }

    #[test]
    fn the_last_allowed_attempt_says_so() {
        assert!(retries(3).warnings().is_empty());
        let expected = "4 of 5 failures before anything ran; the next one holds this target until a person clears it";
        assert_eq!(retries(4).warnings(), [expected]);
        assert!(retries(5).warnings().is_empty());
        let at_once = |checks: &mut Checks| checks.exhausted_retries.max = 1.try_into().unwrap();
        assert!(view().policy(at_once).warnings().is_empty());
    }

    #[test]
    fn what_is_not_enforced_announces_nothing() {
        for mode in [Mode::Warn, Mode::Audit, Mode::Off] {
            let policy = |checks: &mut Checks| {
                checks.set(Check::ConsecutiveFailures, mode);
                checks.set(Check::ExhaustedRetries, mode);
            };
            assert!(retries(4).siblings([failure(), failure()]).policy(policy).warnings().is_empty(), "{mode:?}");
        }
    }

    #[test]
    fn a_failure_that_says_nothing_of_itself_earns_a_warning() {
        let one = view().history([failed(Unclassified).ended(-60)]).warnings();
        assert_eq!(one, ["unclassified: payments/we-1 failed without failureDetails and holds nothing"]);
        let two = view().history([failed(Unclassified).ended(-60), failed(Unclassified).ended(-30)]).warnings();
        let expected =
            "unclassified: 2 executions failed without failureDetails and hold nothing, the newest is payments/we-2";
        assert_eq!(two, [expected]);
    }

    #[test]
    fn what_is_settled_is_not_warned_about() {
        for settled in [completed().ended(-500), failed(Ran).ended(-500).cleared()] {
            assert!(view().history([failed(Unclassified).ended(-600), settled]).warnings().is_empty());
        }
        assert!(view().history([failed(Deduplicated), failed(Ran)]).warnings().is_empty());
    }

    #[test]
    fn the_candidate_itself_settles_nothing_and_is_not_warned_about() {
        let history = |own: Wfe| [failed(Unclassified).ended(-60), own.named("we-new").ended(-30)];
        assert_eq!(view().history(history(completed())).warnings().len(), 1);
        let own_is_silent = view().history(history(failed(Unclassified))).warnings();
        assert_eq!(own_is_silent, ["unclassified: payments/we-1 failed without failureDetails and holds nothing"]);
    }

    #[test]
    fn a_time_far_in_the_future_is_believed_and_warned_about() {
        let blocked = |until| {
            let block = Block { reason: "ConsecutiveFailures".into(), until: Some(at(until)), ..Block::default() };
            view().parent(request(RequestPhase::Blocked).saying(block))
        };
        let two_days = 48 * 3600;
        assert!(blocked(two_days).warnings().is_empty());
        let far = blocked(two_days + 1);
        assert_eq!(short(far.decide().hold.as_ref().unwrap()), "parent until +172801");
        let expected = "held until 2026-01-07T10:00:01Z, unusually far ahead; check the clock that wrote it";
        assert_eq!(far.warnings(), [expected]);
        let both = far.parent(request(RequestPhase::Analyzing).next_allowed(two_days * 2)).warnings();
        assert_eq!(both, ["held until 2026-01-09T10:00:00Z, unusually far ahead; check the clock that wrote it"]);
    }

    #[test]
    fn a_hit_that_is_only_audited_says_nothing_to_the_caller() {
        let far = view().parent(request(RequestPhase::Analyzing).next_allowed(999_999));
        let mode = |mode| far.clone().policy(|checks| checks.set(Check::ExponentialBackoff, mode)).warnings();
        assert!(mode(Mode::Audit).is_empty());
        let warns = mode(Mode::Warn);
        assert_eq!(warns.len(), 2);
        assert!(warns[0].starts_with("ExponentialBackoff: ") && warns[0].ends_with("(not enforced)"), "{warns:?}");
        assert!(warns[1].starts_with("held until "));
    }

    #[test]
    fn the_end_of_time_is_no_panic() {
        let until = Block { reason: "x".into(), until: Some(Timestamp::MAX), ..Block::default() };
        let scene = view().parent(request(RequestPhase::Blocked).saying(until));
        let late = super::super::decide(&scene.question, &scene.frozen(), &scene.policy, Timestamp::MIN);
        assert!(late.message().is_some() && !late.warning_lines().is_empty());
        let never = super::super::decide(&scene.question, &scene.frozen(), &scene.policy, Timestamp::MAX);
        assert!(never.admitted() && never.warnings.is_empty());
    }

    #[test]
    fn parameter_keys_are_upper_snake_case() {
        let warned = |keys: &[&str]| {
            let names = keys.iter().map(|key| (*key).into()).collect();
            view().question(|question| question.parameter_names = names).warnings()
        };
        assert!(warned(&["A", "POD_NAME", "RETRIES_2", "A__"]).is_empty());
        for odd in ["", "_A", "2A", "podName", "POD-NAME", "POD NAME", "Ü"] {
            assert_eq!(warned(&["GOOD", odd]), [format!("parameter keys are not UPPER_SNAKE_CASE: {odd}")]);
        }
        let expected = "parameter keys are not UPPER_SNAKE_CASE: a, b, c and 2 more";
        assert_eq!(warned(&["a", "b", "c", "d", "e"]), [expected]);
        assert_eq!(warned(&["a", "b", "c"]), ["parameter keys are not UPPER_SNAKE_CASE: a, b, c"]);
    }

    #[test]
    fn warnings_have_an_order() {
        let scene = retries(4)
            .siblings([failure(), failure()])
            .question(|question| question.parameter_names = vec!["odd".into()])
            .policy(|checks| checks.set(Check::ParentState, Mode::Warn));
        let scene = scene.parent(request(RequestPhase::Completed).created(0));
        let starts: Vec<_> = scene.warnings().iter().map(|line| line.chars().take(6).collect::<String>()).collect();
        assert_eq!(starts, ["Parent", "2 of 3", "4 of 5", "parame"]);
    }
}
