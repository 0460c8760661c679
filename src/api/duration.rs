//! Durations as Go writes them: `90s`, `5m`, `1h30m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::fmt::friendly::{Spacing, SpanPrinter};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration of the configuration or of a message; never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(Duration);

impl GoDuration {
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    #[must_use]
    pub const fn minutes(minutes: u64) -> Self {
        Self(Duration::from_secs(minutes.saturating_mul(60)))
    }

    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// As Go itself writes whole seconds into an object: zero units stay, so that a Go client stores the same text again.
    #[must_use]
    pub fn as_stored(self) -> String {
        let seconds = self.get().as_secs();
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        match (hours, minutes) {
            (0, 0) => format!("{seconds}s"),
            (0, _) => format!("{minutes}m{seconds}s"),
            _ => format!("{hours}h{minutes}m{seconds}s"),
        }
    }
}

impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

/// What is wrong with a duration, for the person who wrote it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected a duration such as 90s, 5m or 1h30m, found {found:?}")]
pub struct NotADuration {
    found: String,
}

impl FromStr for GoDuration {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        let wrong = || NotADuration { found: text.chars().take(40).collect() };
        // jiff reads more (ISO 8601, "2 hours", signs); Go's characters leave the form that Go reads.
        let looks_go = text.chars().all(|c| c.is_ascii_digit() || ".hmsunµ".contains(c));
        let parsed: SignedDuration = looks_go.then(|| text.parse().ok()).flatten().ok_or_else(wrong)?;
        Duration::try_from(parsed).map(Self).map_err(|_| wrong())
    }
}

/// Whole seconds, without units that are zero: `1m27s`, `1h`, `0s`.
impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = Duration::from_secs(self.0.as_secs());
        let printer = SpanPrinter::new().spacing(Spacing::None);
        f.write_str(&printer.unsigned_duration_to_string(&whole))
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(DurationVisitor)
    }
}

struct DurationVisitor;

impl serde::de::Visitor<'_> for DurationVisitor {
    type Value = GoDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as 90s, 5m or 1h30m")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<GoDuration, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("1h30m", 5400), ("1h", 3600), ("0s", 0), ("1500ms", 1)] {
            assert_eq!(text.parse::<GoDuration>().unwrap().get().as_secs(), seconds, "{text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in ["", "90", "5 m", "PT5M", "-5m", "5 minutes", "1d", "m5", "5x", "5m -1s", "\u{0}"] {
            let error = text.parse::<GoDuration>().unwrap_err().to_string();
            assert!(error.contains("90s, 5m or 1h30m"), "{text}: {error}");
        }
    }

    #[test]
    fn is_stored_as_go_stores_it() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (60, "1m0s"), (3600, "1h0m0s"), (90_061, "25h1m1s")] {
            assert_eq!(GoDuration::seconds(seconds).as_stored(), text);
        }
    }

    #[test]
    fn prints_whole_seconds_without_zero_units() {
        for (seconds, text) in [(0, "0s"), (87, "1m27s"), (3600, "1h"), (3605, "1h5s"), (90_000, "25h")] {
            assert_eq!(GoDuration::seconds(seconds).to_string(), text);
        }
    }
}
