//! Prometheus metrics. Labels come from closed sets only.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Decision;
use crate::fault::Fault;
use crate::status::Classified;

/// Fine where an answer should be, coarse where it should not.
const SECONDS: [f64; 18] = [
    0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const AGE_SECONDS: [f64; 10] = [0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0];

/// One input as metrics tell it.
pub struct StateRow {
    pub kind: &'static str,
    pub objects: usize,
    pub unreadable: usize,
    pub last_event: Option<i64>,
}

/// One certificate as metrics tell it.
pub struct CertificateRow {
    pub role: &'static str,
    pub not_after: i64,
}

/// Objects of one conversion that came out alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvertedRow {
    pub from: &'static str,
    pub to: &'static str,
    pub result: &'static str,
    pub count: u64,
}

pub(super) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    duration: Family<DurationLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    shed: Family<WhyLabels, Counter>,
    state_age: Histogram,
    objects: Family<KindLabels, Gauge>,
    unreadable: Family<KindLabels, Gauge>,
    last_event: Family<KindLabels, Gauge>,
    not_after: Family<RoleLabels, Gauge>,
    classification: Family<ClassificationLabels, Counter>,
    corrected: Family<CorrectionLabels, Counter>,
    converted: Family<ConversionLabels, Counter>,
    conversion_duration: Histogram,
    conversion_faults: Family<WhyLabels, Counter>,
    reconciled: Family<ReconcileLabels, Counter>,
    reconcile_duration: Family<LoopLabels, Histogram, fn() -> Histogram>,
    leader: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    r#loop: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoopLabels {
    r#loop: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConversionLabels {
    from: &'static str,
    to: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassificationLabels {
    reason: &'static str,
    was_execution_failure: &'static str,
    source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CorrectionLabels {
    from: &'static str,
    to: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    webhook: &'static str,
    operation: &'static str,
    decision: &'static str,
    reason: &'static str,
    dry_run: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    webhook: &'static str,
    decision: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhyLabels {
    why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabels {
    role: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// One more in a gauge, until it is dropped.
pub struct Raised(Gauge);

impl Raised {
    fn of(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("lockkeeper");
        let metrics = Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            in_flight: Gauge::default(),
            shed: Family::default(),
            state_age: Histogram::new(AGE_SECONDS),
            objects: Family::default(),
            unreadable: Family::default(),
            last_event: Family::default(),
            not_after: Family::default(),
            classification: Family::default(),
            corrected: Family::default(),
            converted: Family::default(),
            conversion_duration: Histogram::new(SECONDS),
            conversion_faults: Family::default(),
            reconciled: Family::default(),
            reconcile_duration: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            leader: Gauge::default(),
            registry: Registry::default(),
        };
        let build = Family::<BuildLabels, Gauge>::default();
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        let r = &mut registry;
        r.register("admission_requests", "AdmissionReviews answered", metrics.requests.clone());
        r.register_with_unit("admission_duration", "Time to answer", Unit::Seconds, metrics.duration.clone());
        r.register("admission_in_flight", "Requests being answered", metrics.in_flight.clone());
        r.register("admission_shed", "Requests refused unread", metrics.shed.clone());
        r.register_with_unit(
            "decision_state_age",
            "Age of the quietest input at a decision",
            Unit::Seconds,
            metrics.state_age.clone(),
        );
        r.register("state_objects", "Objects in the index", metrics.objects.clone());
        r.register(
            "state_unreadable_objects",
            "Objects left out because they cannot be read",
            metrics.unreadable.clone(),
        );
        r.register_with_unit(
            "state_last_event_timestamp",
            "When an input last changed",
            Unit::Seconds,
            metrics.last_event.clone(),
        );
        r.register_with_unit("cert_not_after", "When a certificate ends", Unit::Seconds, metrics.not_after.clone());
        r.register("classification", "Failure details filled in or corrected", metrics.classification.clone());
        r.register("classification_corrected", "Reasons replaced by another", metrics.corrected.clone());
        r.register("conversion_objects", "Objects asked for in a version", metrics.converted.clone());
        r.register_with_unit(
            "conversion_duration",
            "Time to answer a ConversionReview",
            Unit::Seconds,
            metrics.conversion_duration.clone(),
        );
        r.register("conversion_faults", "Requests without a result", metrics.conversion_faults.clone());
        r.register("reconcile", "Visits of an object by a loop", metrics.reconciled.clone());
        r.register_with_unit(
            "reconcile_duration",
            "Time of a visit, with its calls",
            Unit::Seconds,
            metrics.reconcile_duration.clone(),
        );
        r.register("leader", "Whether this replica leads", metrics.leader.clone());
        r.register("build_info", "The build that runs", build);
        Self { registry, ..metrics }
    }

    pub fn decided(&self, decision: &Decision<'_>) {
        let outcome = if decision.admitted { "allow" } else { "deny" };
        let reason = decision.told.as_ref().map_or("", |told| told.label);
        let dry_run = if decision.dry_run { "true" } else { "false" };
        self.count(
            &RequestLabels {
                webhook: decision.webhook,
                operation: decision.operation,
                decision: outcome,
                reason,
                dry_run,
            },
            decision.took,
        );
        if let Some(age) = decision.state_age {
            self.state_age.observe(age.as_secs_f64());
        }
    }

    pub fn classified(&self, classified: &Classified) {
        let Classified { from, to, ran, source } = *classified;
        let was_execution_failure = if ran { "true" } else { "false" };
        let labels = ClassificationLabels { reason: to.as_str(), was_execution_failure, source: source.as_str() };
        self.classification.get_or_create(&labels).inc();
        if let Some(from) = from {
            let labels = CorrectionLabels { from: from.as_str(), to: to.as_str() };
            self.corrected.get_or_create(&labels).inc();
        }
    }

    pub fn converted(&self, objects: &[ConvertedRow], took: Duration) {
        self.conversion_duration.observe(took.as_secs_f64());
        for &ConvertedRow { from, to, result, count } in objects {
            self.converted.get_or_create(&ConversionLabels { from, to, result }).inc_by(count);
        }
    }

    pub fn not_converted(&self, fault: &Fault) {
        self.conversion_faults.get_or_create(&WhyLabels { why: fault.label() }).inc();
    }

    pub fn not_judged(&self, webhook: &'static str, fault: &Fault, operation: &'static str, took: Duration) {
        if fault.retry() {
            self.shed.get_or_create(&WhyLabels { why: fault.label() }).inc();
        }
        self.count(&RequestLabels { webhook, operation, decision: "error", reason: fault.label(), dry_run: "" }, took);
    }

    fn count(&self, labels: &RequestLabels, took: Duration) {
        let RequestLabels { webhook, decision, .. } = *labels;
        self.duration.get_or_create(&DurationLabels { webhook, decision }).observe(took.as_secs_f64());
        self.requests.get_or_create(labels).inc();
    }

    pub fn in_flight(&self) -> Raised {
        Raised::of(&self.in_flight)
    }

    pub fn leading(&self) -> Raised {
        Raised::of(&self.leader)
    }

    pub fn reconciled(&self, r#loop: &'static str, outcome: &'static str, took: Duration) {
        self.reconcile_duration.get_or_create(&LoopLabels { r#loop }).observe(took.as_secs_f64());
        self.reconciled.get_or_create(&ReconcileLabels { r#loop, outcome }).inc();
    }

    pub fn encode(&self, inputs: &[StateRow], certificates: &[CertificateRow]) -> String {
        // An input that went takes its rows with it.
        self.objects.clear();
        self.unreadable.clear();
        self.last_event.clear();
        for row in inputs {
            let labels = KindLabels { kind: row.kind };
            self.objects.get_or_create(&labels).set(gauge(row.objects));
            self.unreadable.get_or_create(&labels).set(gauge(row.unreadable));
            if let Some(at) = row.last_event {
                self.last_event.get_or_create(&labels).set(at);
            }
        }
        for row in certificates {
            self.not_after.get_or_create(&RoleLabels { role: row.role }).set(row.not_after);
        }
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_leads_as_long_as_it_does() {
        let metrics = Metrics::new();
        let leads =
            || metrics.encode(&[], &[]).lines().find_map(|line| line.strip_prefix("lockkeeper_leader ")?.parse().ok());
        assert_eq!(leads(), Some(0));
        let leading = metrics.leading();
        assert_eq!(leads(), Some(1));
        drop(leading);
        assert_eq!(leads(), Some(0));
    }

    #[test]
    fn a_visit_is_counted_by_loop_and_outcome() {
        let metrics = Metrics::new();
        for (r#loop, outcome) in [("executor", "settled"), ("executor", "settled"), ("routing_keeper", "retried")] {
            metrics.reconciled(r#loop, outcome, Duration::from_millis(20));
        }
        let told = metrics.encode(&[], &[]);
        for line in [
            r#"lockkeeper_reconcile_total{loop="executor",outcome="settled"} 2"#,
            r#"lockkeeper_reconcile_total{loop="routing_keeper",outcome="retried"} 1"#,
            r#"lockkeeper_reconcile_duration_seconds_count{loop="executor"} 2"#,
            r#"lockkeeper_reconcile_duration_seconds_bucket{le="0.015",loop="routing_keeper"} 0"#,
            r#"lockkeeper_reconcile_duration_seconds_bucket{le="0.025",loop="routing_keeper"} 1"#,
        ] {
            assert!(told.contains(line), "{line}\n{told}");
        }
    }
}
