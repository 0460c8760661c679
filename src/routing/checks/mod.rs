//! The checks, one file each, and the order in which they are asked.

mod consecutive_failures;
mod duplicate_in_progress;
mod executor_cooldown;
mod exhausted_retries;
mod exponential_backoff;
mod parent_state;
mod previous_execution_failed;
mod published_block;
mod recently_remediated;
mod resource_busy;
mod retries;

pub(super) use consecutive_failures::counted as consecutive_failures_counted;
pub(super) use retries::counted as retries_counted;

pub use consecutive_failures::failures_in_a_row;
pub use retries::failed_starts;

use super::policy::{Mode, Policy, StaleAction};
use super::reason::Reason;
use super::verdict::{Because, Check, Culprit, End, Finding, Hold, Kind, Outcome};
use super::view::{History, Siblings};
use super::{Case, Parent};
use crate::api::facts::{ObjectKey, RemediationRequest, Timestamp, WorkflowExecution};

/// The order of the checks; the first hit in mode enforce is the verdict.
const CHECKS: [(Check, Ask); 10] = [
    (Check::ParentState, parent_state::ask),
    (Check::PublishedBlock, published_block::ask),
    (Check::ConsecutiveFailures, consecutive_failures::ask),
    (Check::DuplicateInProgress, duplicate_in_progress::ask),
    (Check::ResourceBusy, resource_busy::ask),
    (Check::PreviousExecutionFailed, previous_execution_failed::ask),
    (Check::ExhaustedRetries, exhausted_retries::ask),
    (Check::RecentlyRemediated, recently_remediated::ask),
    (Check::ExponentialBackoff, exponential_backoff::ask),
    (Check::ExecutorCooldown, executor_cooldown::ask),
];

type Ask = fn(&Case<'_>) -> Outcome;

/// Asks every check that is not off. A request that got here is well formed.
pub(super) fn ask_all(case: &Case<'_>) -> Vec<Finding> {
    findings(Outcome::Pass, case.policy, |ask| ask(case))
}

/// Where Malformed hits, the others have nothing to go by.
pub(super) fn skipped_after_malformed(policy: &Policy, hold: Hold) -> Vec<Finding> {
    findings(Outcome::Hit(hold), policy, |_| Outcome::Skipped)
}

pub(super) fn all_skipped(policy: &Policy) -> Vec<Finding> {
    findings(Outcome::Skipped, policy, |_| Outcome::Skipped)
}

fn findings(malformed: Outcome, policy: &Policy, outcome: impl Fn(Ask) -> Outcome) -> Vec<Finding> {
    let first = Finding { check: Check::Malformed, mode: Mode::Enforce, outcome: malformed };
    let rest = CHECKS.iter().map(|(check, ask)| {
        let mode = policy.mode(*check);
        let outcome = if mode == Mode::Off { Outcome::Off } else { outcome(*ask) };
        Finding { check: *check, mode, outcome }
    });
    std::iter::once(first).chain(rest).collect()
}

/// Knowledge that is too old refuses by itself, whatever it says.
pub(super) fn stale_state(case: &Case<'_>) -> Option<Hold> {
    let (age, max) = (case.view.age, case.policy.staleness.max.get());
    (age > max && case.policy.staleness.action == StaleAction::Deny).then_some(Hold {
        reason: Reason::StaleState,
        because: Because::StaleState { age, max },
        by: None,
        end: End::WhenGone,
    })
}

impl Case<'_> {
    /// The parent, where it is there and readable.
    fn parent(&self) -> Option<&RemediationRequest> {
        self.view.parent.found()
    }

    /// The ended executions on the target, newest first, without the candidate itself.
    pub(super) fn ended(&self) -> impl Iterator<Item = &WorkflowExecution> {
        self.view.history.ended_newest_first().filter(|execution| !self.request.is(&execution.key))
    }
}

impl Outcome {
    fn of(hold: Option<Hold>) -> Self {
        hold.map_or(Self::Pass, Self::Hit)
    }
}

impl Culprit {
    fn request(key: &ObjectKey) -> Self {
        Self { kind: Kind::RemediationRequest, key: key.clone() }
    }

    fn execution(key: &ObjectKey) -> Self {
        Self { kind: Kind::WorkflowExecution, key: key.clone() }
    }
}

/// Later by a configured time; the end of representable time where that is nearer.
fn later(time: Timestamp, by: crate::api::duration::GoDuration) -> Timestamp {
    time.checked_add(by.get()).unwrap_or(Timestamp::MAX)
}
