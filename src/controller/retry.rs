//! After a call that failed: later and later.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::failed::Failed;
use crate::api::facts::ObjectKey;

const FIRST: Duration = Duration::from_millis(250);
const LAST: Duration = Duration::from_secs(30);

/// Visits of an object that failed, since one that did not.
#[derive(Default)]
pub struct Retries(Mutex<HashMap<ObjectKey, u32>>);

impl Retries {
    /// How long to wait before the next.
    pub fn after(&self, key: &ObjectKey, error: &Failed) -> Duration {
        let mut failures = self.0.lock();
        let count = failures.entry(key.clone()).or_default();
        *count = count.saturating_add(1);
        // Somebody else wrote it first: what is there now is looked at.
        let first = if error.code() == 409 { FIRST / 10 } else { FIRST };
        (first * 2_u32.pow((*count).min(8))).min(LAST)
    }

    /// Visits that failed, one after the other.
    pub fn failures(&self, key: &ObjectKey) -> u32 {
        self.0.lock().get(key).copied().unwrap_or_default()
    }

    pub fn forget(&self, key: &ObjectKey) {
        self.0.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_the_one_before_up_to_half_a_minute() {
        let (retries, key) = (Retries::default(), ObjectKey { namespace: "n".into(), name: "a".into() });
        let waits = |error: &Failed| (0..10).map(|_| retries.after(&key, error).as_millis()).collect::<Vec<_>>();
        let away = Failed::Away(String::new());
        assert_eq!(waits(&away), [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000]);
        retries.forget(&key);
        // Somebody else wrote it first.
        let conflict = Failed::Refused { code: 409, reason: String::new(), message: String::new() };
        assert_eq!(waits(&conflict), [50, 100, 200, 400, 800, 1600, 3200, 6400, 6400, 6400]);
        let other = ObjectKey { namespace: "n".into(), name: "b".into() };
        assert_eq!(retries.after(&other, &away).as_millis(), 500);
    }
}
