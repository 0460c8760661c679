//! The gate: may this WorkflowExecution be created, changed, deleted?

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, header};
use k8s_openapi::jiff::Timestamp;

use super::answer;
use super::receive::Deadline;
use super::review::{Operation, Review};
use super::understand::Question;
use crate::cluster::{Index, Unavailable};
use crate::fault::Fault;
use crate::routing::{self, Policy, Verdict};
use crate::telemetry::{Decision, Telemetry};

/// What the gate judges by.
pub struct Gate {
    pub index: Arc<Index>,
    pub policy: Arc<ArcSwap<Policy>>,
    pub telemetry: Arc<Telemetry>,
}

/// A verdict and what else its answer says.
pub(super) struct Judgement {
    verdict: Verdict,
    age: Option<Duration>,
    warning: Option<String>,
}

/// `POST /validate/workflowexecutions`.
pub(super) async fn validate(
    State(gate): State<Arc<Gate>>,
    Extension(deadline): Extension<Deadline>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let started = Instant::now();
    if !is_json(&headers) {
        return gate.refuse(&Fault::NotJson, None, started);
    }
    let review = match Review::decode(&body) {
        Ok(review) => review,
        Err(error) => return gate.refuse(&Fault::NotAReview { problem: error.to_string() }, None, started),
    };
    gate.answer(&review, started, || gate.judge(&review, deadline.0))
}

impl Gate {
    /// Understands the review, cuts its view, decides.
    fn judge(&self, review: &Review<'_>, deadline: Instant) -> Result<Judgement, Fault> {
        let not_ready = |why: Unavailable| Fault::NotReady { problem: why.to_string() };
        if review.operation == Operation::Create {
            self.index.age().map_err(not_ready)?;
        }
        let (policy, now) = (self.policy.load(), Timestamp::now());
        let without_view = |verdict, warning| Ok(Judgement { verdict, age: None, warning });
        match review.understand()? {
            Question::Create(request) => {
                let view = self.index.view(&request, deadline).map_err(not_ready)?;
                let verdict = routing::decide(&request, &view, &policy, now);
                Ok(Judgement { verdict, age: Some(view.age), warning: None })
            }
            Question::Malformed(causes) => without_view(routing::malformed(causes, &policy, now), None),
            Question::Update { spec_changed } => without_view(routing::update(spec_changed, &policy, now), None),
            Question::Nothing(warning) => without_view(routing::unasked(&policy, now), warning),
        }
    }

    /// A panic on the way is a fault of this one request, and its uid is still known here.
    fn answer(
        &self,
        review: &Review<'_>,
        started: Instant,
        judge: impl FnOnce() -> Result<Judgement, Fault>,
    ) -> Response<Body> {
        let answered =
            catch_unwind(AssertUnwindSafe(|| judge().map(|judgement| self.tell(review, judgement, started))));
        match answered.unwrap_or(Err(Fault::Panicked)) {
            Ok(response) => response,
            Err(fault) => self.refuse(&fault, Some(review), started),
        }
    }

    fn tell(&self, review: &Review<'_>, judgement: Judgement, started: Instant) -> Response<Body> {
        let Judgement { verdict, age, warning } = judgement;
        let response = answer::verdict(review, &verdict, age, warning);
        self.telemetry.decided(&Decision {
            id: answer::decision_id(review),
            operation: review.operation.as_str(),
            dry_run: review.dry_run,
            object: review.key(),
            user: &review.username,
            verdict: &verdict,
            told: verdict.told(),
            state_age: age,
            took: started.elapsed(),
        });
        response
    }

    pub(super) fn refuse(&self, fault: &Fault, review: Option<&Review<'_>>, started: Instant) -> Response<Body> {
        self.telemetry.not_judged(fault, review.map_or("OTHER", |review| review.operation.as_str()), started.elapsed());
        answer::fault(fault, review)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// L-10: the answer to the one request carries its uid and is counted; the next one is judged.
    #[tokio::test]
    async fn l_10_a_panic_is_a_fault_of_one_request() {
        let gate = Gate { index: Arc::default(), policy: Arc::default(), telemetry: Arc::default() };
        let body = br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","operation":"DELETE"}}"#;
        let review = Review::decode(body).unwrap();
        let response = gate.answer(&review, Instant::now(), || panic!("injected"));
        assert_eq!(response.status(), 500);
        let answer = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!((&answer["response"]["uid"], &answer["response"]["allowed"]), (&"u-1".into(), &false.into()));
        let counted = r#"decision="error",reason="panic",dry_run=""} 1"#;
        assert!(gate.telemetry.scrape(&[], &[]).contains(counted));
        let response = gate.answer(&review, Instant::now(), || gate.judge(&review, Instant::now()));
        assert_eq!(response.status(), 200);
    }

    #[test]
    fn json_with_parameters_is_json() {
        for (value, json) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("Application/JSON", true),
            ("application/jsonx", false),
            ("text/plain", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(is_json(&headers), json, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
