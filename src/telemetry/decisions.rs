//! The decision log: each decision is one line, and the same refusal again is a count.
//!
//! RO asks again every 5 seconds for up to an hour: 700 lines would bury the one that matters.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Decision;
use crate::fault::Fault;
use crate::routing::Mode;

/// A refusal that was not repeated for so long is over. A saturated RO comes back every 18 seconds.
const QUIET: Duration = Duration::from_secs(60);
/// Refusals remembered at one time; the longest quiet one makes room.
const REMEMBERED: usize = 4096;

#[derive(Default)]
pub(super) struct DecisionLog {
    repeated: Mutex<HashMap<Told, Repeats>>,
}

/// What makes two lines the same line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Told {
    Refusal { object: String, reason: String, by: String },
    Fault(&'static str),
}

struct Repeats {
    more: u64,
    first: Instant,
    last: Instant,
}

impl DecisionLog {
    pub fn take(&self, decision: &Decision<'_>, now: Instant) {
        let Some((hold, mode)) = decision.told.filter(|_| !decision.verdict.admitted()) else {
            return self.admitted(decision);
        };
        let by = hold.by.as_ref().map(|by| format!("{} {}", by.kind, by.key)).unwrap_or_default();
        let told = Told::Refusal { object: object(decision), reason: hold.reason.as_str().to_owned(), by };
        if self.is_repeat(&told, now) {
            return;
        }
        let message = decision.verdict.message().unwrap_or_default();
        tracing::info!(
            decision = "deny",
            operation = decision.operation,
            object = object(decision),
            user = crate::routing::one_line(decision.user, 200),
            reason = hold.reason.as_str(),
            mode = mode.as_str(),
            decision_id = decision.id,
            state_age_ms = decision.state_age.map(millis),
            "{message}"
        );
    }

    pub fn fault(&self, fault: &Fault, now: Instant) {
        if !self.is_repeat(&Told::Fault(fault.label()), now) {
            tracing::warn!(decision = "error", status = fault.status(), reason = fault.label(), "{fault}");
        }
    }

    fn admitted(&self, decision: &Decision<'_>) {
        self.over(&object(decision));
        // UPDATE and DELETE pass by the thousand; only what was decided is worth a line.
        if decision.operation != "CREATE" {
            return;
        }
        let (reason, mode) = decision.told.map_or(("", Mode::Enforce), |(hold, mode)| (hold.reason.as_str(), mode));
        tracing::info!(
            decision = "allow",
            operation = decision.operation,
            object = object(decision),
            user = crate::routing::one_line(decision.user, 200),
            reason,
            mode = mode.as_str(),
            decision_id = decision.id,
            state_age_ms = decision.state_age.map(millis),
            "admitted"
        );
    }

    /// Counts it, if it was told before.
    fn is_repeat(&self, told: &Told, now: Instant) -> bool {
        let mut repeated = self.repeated.lock();
        if let Some(repeats) = repeated.get_mut(told) {
            repeats.more += 1;
            repeats.last = now;
            return true;
        }
        if repeated.len() >= REMEMBERED {
            let quietest = repeated.iter().min_by_key(|(_, repeats)| repeats.last).map(|(told, _)| told.clone());
            if let Some((told, repeats)) = quietest.and_then(|told| repeated.remove_entry(&told)) {
                say(&told, &repeats);
            }
        }
        repeated.insert(told.clone(), Repeats { more: 0, first: now, last: now });
        false
    }

    /// The object was admitted: its refusals are over.
    fn over(&self, admitted: &str) {
        self.drain(|told, _| matches!(told, Told::Refusal { object, .. } if object == admitted));
    }

    pub fn sweep(&self, now: Instant) {
        self.drain(|_, repeats| now.duration_since(repeats.last) >= QUIET);
    }

    pub fn flush(&self) {
        self.drain(|_, _| true);
    }

    fn drain(&self, mut done: impl FnMut(&Told, &Repeats) -> bool) {
        let mut repeated = self.repeated.lock();
        repeated.retain(|told, repeats| {
            let done = done(told, repeats);
            if done {
                say(told, repeats);
            }
            !done
        });
    }
}

fn say(told: &Told, repeats: &Repeats) {
    if repeats.more == 0 {
        return;
    }
    let over = crate::api::duration::GoDuration::from(repeats.last.duration_since(repeats.first));
    match told {
        Told::Refusal { object, reason, by } => {
            tracing::info!(decision = "deny", object, reason, by, times = repeats.more, %over, "the same refusal again");
        }
        Told::Fault(label) => {
            tracing::warn!(decision = "error", reason = label, times = repeats.more, %over, "the same fault again");
        }
    }
}

fn object(decision: &Decision<'_>) -> String {
    decision
        .object
        .as_ref()
        .map_or_else(|| "(no name yet)".to_owned(), |key| crate::routing::one_line(&key.to_string(), 320))
}

fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}
