//! How long to wait after n failures before anything ran.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::policy::{BackoffSource, Mode};
use crate::api::duration::GoDuration;

/// `min(base × 2^(n−1), max)`, and nothing for n = 0 (DD-WE-004).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Backoff {
    pub mode: Mode,
    /// The wait after the first failure.
    pub base: GoDuration,
    /// The longest wait.
    pub max: GoDuration,
    /// Whose word counts: what RRs publish, what the failures on the target add up to, or the later of both.
    pub source: BackoffSource,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            base: GoDuration::minutes(1),
            max: GoDuration::minutes(10),
            source: BackoffSource::Both,
        }
    }
}

impl Backoff {
    /// The nominal wait after the n-th failure in a row, without jitter.
    #[must_use]
    pub fn after(&self, n: usize) -> Duration {
        let Some(doublings) = n.checked_sub(1) else { return Duration::ZERO };
        let factor = u32::try_from(doublings).ok().and_then(|d| 2_u32.checked_pow(d)).unwrap_or(u32::MAX);
        self.base.get().saturating_mul(factor).min(self.max.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_from_base_to_max() {
        let waits = |n| Backoff::default().after(n).as_secs();
        assert_eq!([0, 1, 2, 3, 4, 5, 6].map(waits), [0, 60, 120, 240, 480, 600, 600]);
    }

    #[test]
    fn never_overflows() {
        let long = Backoff {
            base: GoDuration::minutes(u64::MAX / 60),
            max: GoDuration::minutes(u64::MAX / 60),
            ..Backoff::default()
        };
        assert_eq!(long.after(usize::MAX), long.max.get());
        assert_eq!(Backoff::default().after(64).as_secs(), 600);
    }
}
