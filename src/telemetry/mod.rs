//! What the outside sees of decisions: one log line for each, metrics, probes.
//!
//! In: verdicts and faults as values. Out: tracing events, Prometheus text, HTTP probes.
//! Never: reached through a global; told an object's body, a group or an extra of the caller.
//! Fails: not at all; what cannot be written is dropped.

mod admin;
mod decisions;
mod log;
mod metrics;

pub use admin::{Admin, Condition, router as admin_router};
pub use log::{LogFormat, init as init_log};
pub use metrics::{CertificateRow, InFlight, StateRow};

use std::time::{Duration, Instant};

use crate::api::facts::ObjectKey;
use crate::fault::Fault;
use crate::routing::{Hold, Mode, Verdict};

use decisions::DecisionLog;
use metrics::Metrics;

/// One answered review.
pub struct Decision<'a> {
    pub id: String,
    pub operation: &'static str,
    pub dry_run: bool,
    pub object: Option<ObjectKey>,
    pub user: &'a str,
    pub verdict: &'a Verdict,
    /// The hold to tell of and its mode, also where it was not enforced.
    pub told: Option<(&'a Hold, Mode)>,
    pub state_age: Option<Duration>,
    pub took: Duration,
}

/// The metrics and the decision log of one server.
pub struct Telemetry {
    metrics: Metrics,
    decisions: DecisionLog,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { metrics: Metrics::new(), decisions: DecisionLog::default() }
    }
}

impl Telemetry {
    /// Counts and logs an answer. A dry run is counted as one and leaves nothing behind in the log.
    pub fn decided(&self, decision: &Decision<'_>) {
        self.metrics.decided(decision);
        if !decision.dry_run {
            self.decisions.take(decision, Instant::now());
        }
    }

    /// Counts and logs a request that got no verdict.
    pub fn not_judged(&self, fault: &Fault, operation: &'static str, took: Duration) {
        self.metrics.not_judged(fault, operation, took);
        self.decisions.fault(fault, Instant::now());
    }

    /// Counts one request as in flight until the guard is dropped.
    pub fn in_flight(&self) -> InFlight {
        self.metrics.in_flight()
    }

    /// Says what was repeated and has gone quiet. To be called now and then.
    pub fn sweep(&self) {
        self.decisions.sweep(Instant::now());
    }

    /// Says all that was repeated, at the end.
    pub fn flush(&self) {
        self.decisions.flush();
    }

    /// Prometheus text, with the state of the inputs and certificates as they are now.
    #[must_use]
    pub fn scrape(&self, inputs: &[StateRow], certificates: &[CertificateRow]) -> String {
        self.metrics.encode(inputs, certificates)
    }
}
