//! What the operator decided: how each check acts, and its numbers. Every field has the default of the contract.

use serde::{Deserialize, Serialize};

use super::Check;
use super::backoff::Backoff;
use crate::api::duration::GoDuration;

/// How a hit of one check acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// A hit refuses.
    #[default]
    Enforce,
    /// A hit is a warning to the caller.
    Warn,
    /// A hit is an audit annotation and a count.
    Audit,
    /// Not asked.
    Off,
}

impl Mode {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Warn => "warn",
            Self::Audit => "audit",
            Self::Off => "off",
        }
    }
}

/// The checks and the freshness of what they are asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub checks: Checks,
    pub staleness: Staleness,
}

/// Section `checks` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Checks {
    pub parent_state: Switch,
    pub published_block: Switch,
    pub consecutive_failures: ConsecutiveFailures,
    pub duplicate_in_progress: Switch,
    pub resource_busy: Switch,
    pub previous_execution_failed: Switch,
    pub exhausted_retries: ExhaustedRetries,
    pub recently_remediated: RecentlyRemediated,
    pub exponential_backoff: Backoff,
    pub executor_cooldown: ExecutorCooldown,
}

impl Policy {
    /// How a hit of this check acts.
    #[must_use]
    pub fn mode(&self, check: Check) -> Mode {
        let checks = &self.checks;
        match check {
            Check::Malformed => Mode::Enforce,
            Check::ParentState => checks.parent_state.mode,
            Check::PublishedBlock => checks.published_block.mode,
            Check::ConsecutiveFailures => checks.consecutive_failures.mode,
            Check::DuplicateInProgress => checks.duplicate_in_progress.mode,
            Check::ResourceBusy => checks.resource_busy.mode,
            Check::PreviousExecutionFailed => checks.previous_execution_failed.mode,
            Check::ExhaustedRetries => checks.exhausted_retries.mode,
            Check::RecentlyRemediated => checks.recently_remediated.mode,
            Check::ExponentialBackoff => checks.exponential_backoff.mode,
            Check::ExecutorCooldown => checks.executor_cooldown.mode,
        }
    }
}

/// A check without numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Switch {
    pub mode: Mode,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ConsecutiveFailures {
    pub mode: Mode,
    /// Failed requests in a row that hold a signal.
    pub threshold: std::num::NonZeroU32,
    /// How long they hold it, from the end of the newest.
    pub cooldown: GoDuration,
}

impl Default for ConsecutiveFailures {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            threshold: const { std::num::NonZeroU32::new(3).unwrap() },
            cooldown: GoDuration::minutes(60),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExhaustedRetries {
    pub mode: Mode,
    /// Failures before anything ran, in a row, that hold a target until a person clears it.
    pub max: std::num::NonZeroU32,
}

impl Default for ExhaustedRetries {
    fn default() -> Self {
        Self { mode: Mode::Enforce, max: const { std::num::NonZeroU32::new(5).unwrap() } }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RecentlyRemediated {
    pub mode: Mode,
    /// How long a success holds the same workflow on the same target.
    pub cooldown: GoDuration,
}

impl Default for RecentlyRemediated {
    fn default() -> Self {
        Self { mode: Mode::Enforce, cooldown: GoDuration::minutes(5) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExecutorCooldown {
    /// Off: a gate without Kubernaut's executor behind it has nobody to wait for.
    pub mode: Mode,
    /// How long the executor rests on a target, as it is told itself.
    pub cooldown: GoDuration,
}

impl Default for ExecutorCooldown {
    fn default() -> Self {
        Self { mode: Mode::Off, cooldown: GoDuration::minutes(1) }
    }
}

/// Whose word on backoff counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum BackoffSource {
    /// `nextAllowedExecution` of the parent and its siblings.
    Published,
    /// The failures on the target.
    Computed,
    /// The later of the two.
    #[default]
    Both,
}

impl BackoffSource {
    pub(super) fn published(self) -> bool {
        self != Self::Computed
    }

    pub(super) fn computed(self) -> bool {
        self != Self::Published
    }
}

/// How old knowledge may be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Staleness {
    /// The oldest input that a decision may rest on.
    pub max: GoDuration,
    /// What happens past it.
    pub action: StaleAction,
}

impl Default for Staleness {
    fn default() -> Self {
        Self { max: GoDuration::seconds(30), action: StaleAction::Deny }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum StaleAction {
    /// Refuse with StaleState.
    #[default]
    Deny,
    /// Judge by what is known and warn.
    Warn,
}
