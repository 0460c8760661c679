//! After a call that failed: later and later.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::objects::Failed;
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

    pub fn forget(&self, key: &ObjectKey) {
        self.0.lock().remove(key);
    }
}
