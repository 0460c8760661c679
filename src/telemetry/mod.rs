//! What the outside sees of decisions: one log line for each, metrics, probes.
//!
//! In: verdicts, faults and visits of the loops as values. Out: tracing events, Prometheus text, HTTP probes.
//! Never: reached through a global; told an object's body, a group or an extra of the caller.
//! Fails: not at all; what cannot be written is dropped.

mod admin;
mod decisions;
mod log;
mod metrics;

pub use admin::{Admin, Condition, router as admin_router};
pub use log::{LogFormat, init as init_log};
pub use metrics::{CertificateRow, ConvertedRow, Raised, StateRow};

use std::borrow::Cow;
use std::time::{Duration, Instant};

use crate::api::facts::ObjectKey;
use crate::fault::Fault;
use crate::routing::{Culprit, Mode, Verdict};
use crate::status::{Classified, Refusal};

use decisions::DecisionLog;
use metrics::Metrics;

/// One answered review.
pub struct Decision<'a> {
    /// Which of ours answered it: `gate`, `guard`, `amender`.
    pub webhook: &'static str,
    pub id: String,
    pub operation: &'static str,
    pub dry_run: bool,
    pub object: Option<ObjectKey>,
    pub user: &'a str,
    pub admitted: bool,
    /// What holds it, or would have.
    pub told: Option<Told<'a>>,
    /// The refusal as the caller reads it.
    pub message: &'a str,
    pub state_age: Option<Duration>,
    pub took: Duration,
}

/// Why a review was refused, or would have been in another mode.
#[derive(Clone)]
pub struct Told<'a> {
    pub reason: Cow<'a, str>,
    /// The reason out of the closed set.
    pub label: &'static str,
    pub mode: &'static str,
    /// Who stands in the way.
    pub by: Option<&'a Culprit>,
}

impl<'a> Told<'a> {
    /// What a verdict tells of, also where it was not enforced.
    #[must_use]
    pub fn of(verdict: &'a Verdict) -> Option<Self> {
        let (hold, mode) = verdict.told()?;
        let (reason, label) = (Cow::Borrowed(hold.reason.as_str()), hold.reason.label());
        Some(Self { reason, label, mode: mode.as_str(), by: hold.by.as_ref() })
    }

    /// An object that makes no sense.
    #[must_use]
    pub fn malformed() -> Self {
        let reason = crate::routing::Reason::Malformed.label();
        Self { reason: reason.into(), label: reason, mode: Mode::Enforce.as_str(), by: None }
    }

    /// What the guard refuses.
    #[must_use]
    pub fn guarded(refusal: &'a Refusal) -> Self {
        let reason = refusal.reason.as_str();
        Self { reason: reason.into(), label: reason, mode: Mode::Enforce.as_str(), by: None }
    }
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

    /// Counts and logs failure details that were filled in or corrected. A dry run leaves nothing behind.
    pub fn classified(&self, decision: &Decision<'_>, classified: &Classified) {
        if !decision.dry_run {
            self.metrics.classified(classified);
            decisions::classified(decision, classified);
        }
    }

    /// Counts and logs a request that got no verdict.
    pub fn not_judged(&self, webhook: &'static str, fault: &Fault, operation: &'static str, took: Duration) {
        self.metrics.not_judged(webhook, fault, operation, took);
        self.decisions.fault(fault, Instant::now());
    }

    /// Counts the objects of one answered conversion, and says why it failed.
    pub fn converted(&self, objects: &[ConvertedRow], failed: Option<&str>, took: Duration) {
        self.metrics.converted(objects, took);
        if let Some(problem) = failed {
            self.decisions.unconverted(problem, Instant::now());
        }
    }

    /// Counts and logs a request for a conversion that got no result.
    pub fn not_converted(&self, fault: &Fault) {
        self.metrics.not_converted(fault);
        self.decisions.fault(fault, Instant::now());
    }

    /// Counts one request as in flight until the guard is dropped.
    pub fn in_flight(&self) -> Raised {
        self.metrics.in_flight()
    }

    /// This replica leads until the guard is dropped.
    #[must_use]
    pub fn leading(&self) -> Raised {
        self.metrics.leading()
    }

    /// Counts a visit of one object by a loop. What failed was logged there, with the object.
    pub fn reconciled(&self, r#loop: &'static str, outcome: &'static str, took: Duration) {
        self.metrics.reconciled(r#loop, outcome, took);
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
