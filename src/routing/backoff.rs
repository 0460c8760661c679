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

    /// The same, spread by up to a tenth, so that what failed together is not tried again together; from base to max all the same.
    #[must_use]
    pub fn spread(&self, n: usize, jitter: Jitter) -> Duration {
        let nominal = self.after(n);
        if nominal.is_zero() {
            return nominal;
        }
        let tenth = nominal / 10;
        let shift = tenth.as_nanos().saturating_mul(2 * u128::from(jitter.0)) / u128::from(u16::MAX);
        let shift = u64::try_from(shift).map_or(Duration::MAX, Duration::from_nanos);
        (nominal - tenth).saturating_add(shift).max(self.base.get()).min(self.max.get())
    }
}

/// A share of the spread: 0 is the shortest wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jitter(pub u16);

impl Jitter {
    /// The same for the same text, always: what is computed twice is the same.
    #[must_use]
    pub fn of(text: &str) -> Self {
        // FNV-1a, folded.
        let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let [a, b, c, d] = hash.to_be_bytes();
        Self(u16::from_be_bytes([a ^ c, b ^ d]))
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
    fn is_spread_by_a_tenth_and_stays_from_base_to_max() {
        let spread = |n| [0, u16::MAX].map(|jitter| Backoff::default().spread(n, Jitter(jitter)).as_secs());
        let expected = [[0, 0], [60, 66], [108, 132], [216, 264], [432, 528], [540, 600], [540, 600]];
        assert_eq!([0, 1, 2, 3, 4, 5, 6].map(spread), expected);
    }

    #[test]
    fn jitter_is_the_same_for_the_same_and_spread_over_others() {
        assert_eq!(Jitter::of("a-uid"), Jitter::of("a-uid"));
        let mut shares: Vec<_> = (0..1000).map(|n| Jitter::of(&format!("uid-{n}")).0).collect();
        shares.sort_unstable();
        let quarter = u16::MAX / 4;
        for part in 0..4 {
            let within = shares.iter().filter(|share| **share / (quarter + 1) == part).count();
            assert!((150..350).contains(&within), "{within} in quarter {part}");
        }
    }

    #[test]
    fn never_overflows() {
        let long = Backoff {
            base: GoDuration::minutes(u64::MAX / 60),
            max: GoDuration::minutes(u64::MAX / 60),
            ..Backoff::default()
        };
        assert_eq!(long.after(usize::MAX), long.max.get());
        assert_eq!(long.spread(usize::MAX, Jitter(u16::MAX)), long.max.get());
        assert_eq!(Backoff::default().after(64).as_secs(), 600);
    }
}
