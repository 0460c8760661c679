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
    let parent = case.view.parent.found().filter(|_| passed(findings, Check::ConsecutiveFailures))?;
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
    let count = passed(findings, Check::ExhaustedRetries).then(|| checks::retries_counted(case).count)?;
    (count > 0 && count + 1 == max as usize).then_some(Warning::LastAttempt { count, max })
}

fn unclassified(case: &Case<'_>) -> Option<Warning> {
    let mut silent = case
        .view
        .history
        .ended_newest_first()
        .take_while(|wfe| !wfe.completed() && !wfe.cleared)
        .filter(|wfe| wfe.failure.is_none() && !case.request.is(&wfe.key));
    let newest = silent.next()?.key.clone();
    Some(Warning::Unclassified { newest, count: 1 + silent.count() })
}

fn far_future(case: &Case<'_>, findings: &[Finding]) -> Option<Warning> {
    let horizon = case.now.checked_add(FAR).ok()?;
    let until = findings.iter().filter_map(Finding::hit).filter_map(Hold::until).max()?;
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

fn passed(findings: &[Finding], check: Check) -> bool {
    findings.iter().any(|finding| finding.check == check && finding.outcome == Outcome::Pass)
}
