//! The way of one review, and the gate: may this WorkflowExecution be created, changed, deleted?

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, header};
use futures::FutureExt;
use k8s_openapi::jiff::Timestamp;

use super::answer::{self, Answer};
use super::receive::Deadline;
use super::review::{Operation, Review};
use super::understand::Question;
use crate::api::facts::ReadError;
use crate::cluster::{Index, Unavailable};
use crate::fault::Fault;
use crate::routing::{self, Policy, Verdict};
use crate::status::{Amendment, Refusal, Rules};
use crate::telemetry::{Decision, Telemetry, Told};

/// What reviews are judged by.
pub struct Gate {
    pub index: Arc<Index>,
    pub policy: Arc<ArcSwap<Policy>>,
    pub rules: Arc<ArcSwap<Rules>>,
    pub telemetry: Arc<Telemetry>,
}

/// The webhooks by name, as metrics and the log tell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Webhook {
    /// May this WorkflowExecution be created, changed, deleted?
    Gate,
    /// Whose word is a clearance that an annotation asks for?
    Attribution,
    /// What does its status say when it leaves?
    Amender,
    /// May its status be written so?
    Guard,
}

impl Webhook {
    pub const ALL: [Self; 4] = [Self::Gate, Self::Attribution, Self::Amender, Self::Guard];

    pub fn path(self) -> &'static str {
        match self {
            Self::Gate => "/validate/workflowexecutions",
            Self::Attribution => "/mutate/workflowexecutions",
            Self::Amender => "/mutate/workflowexecutions-status",
            Self::Guard => "/validate/workflowexecutions-status",
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Attribution => "attribution",
            Self::Amender => "amender",
            Self::Guard => "guard",
        }
    }

    /// For what never gets as far as a handler.
    pub fn at(path: &str) -> &'static str {
        Self::ALL.into_iter().find(|webhook| webhook.path() == path).map_or("none", Self::as_str)
    }
}

/// What one of ours says of a review, for the caller, the log and the metrics.
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack, for one call")]
pub(super) enum Judgement {
    Verdict { verdict: Verdict, age: Option<Duration>, warning: Option<String> },
    Amended(Amendment),
    Guarded { refusal: Option<Refusal>, clearing: Option<String> },
    Unreadable(ReadError),
    Unasked(Option<String>),
}

/// One POST, whichever webhook it is for.
pub(super) async fn answer(
    State((gate, webhook)): State<(Arc<Gate>, Webhook)>,
    Extension(deadline): Extension<Deadline>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let started = Instant::now();
    if let Err(fault) = plain_json(&headers) {
        return gate.refuse(webhook.as_str(), &fault, None, started);
    }
    let review = match Review::decode(&body) {
        Ok(review) => review,
        Err(error) => {
            let fault = Fault::NotAReview { problem: error.to_string() };
            return gate.refuse(webhook.as_str(), &fault, None, started);
        }
    };
    let judging = async {
        match webhook {
            Webhook::Gate => gate.judge(&review, deadline.0),
            Webhook::Attribution => gate.attribute(&review),
            Webhook::Amender => gate.amend(&review, deadline.0).await,
            Webhook::Guard => gate.guard(&review, deadline.0),
        }
    };
    gate.answer(webhook, &review, started, judging).await
}

impl Gate {
    /// Understands the review, cuts its view, decides.
    fn judge(&self, review: &Review<'_>, deadline: Instant) -> Result<Judgement, Fault> {
        if review.operation == Operation::Create {
            self.index.age().map_err(not_ready)?;
        }
        if let Some(refusal) = self.unwelcome(review) {
            return Ok(Judgement::Guarded { refusal: Some(refusal), clearing: None });
        }
        let (policy, now) = (self.policy.load(), Timestamp::now());
        let without_view = |verdict, warning| Ok(Judgement::Verdict { verdict, age: None, warning });
        match review.understand()? {
            Question::Create(request) => {
                let view = self.index.view(&request, deadline).map_err(not_ready)?;
                let verdict = routing::decide(&request, &view, &policy, now);
                Ok(Judgement::Verdict { verdict, age: Some(view.age), warning: None })
            }
            Question::Malformed(causes) => without_view(routing::malformed(causes, &policy, now), None),
            Question::Change(change) => without_view(routing::change(change, &policy, now), None),
            Question::Nothing(warning) => without_view(routing::unasked(&policy, now), warning),
        }
    }

    /// A panic on the way is a fault of this one request, and its uid is still known here.
    async fn answer(
        &self,
        webhook: Webhook,
        review: &Review<'_>,
        started: Instant,
        judging: impl Future<Output = Result<Judgement, Fault>>,
    ) -> Response<Body> {
        let answering = async { judging.await.map(|judgement| self.tell(webhook, review, &judgement, started)) };
        let answered = AssertUnwindSafe(answering).catch_unwind().await;
        match answered.unwrap_or(Err(Fault::Panicked)) {
            Ok(response) => response,
            Err(fault) => self.refuse(webhook.as_str(), &fault, Some(review), started),
        }
    }

    fn tell(&self, webhook: Webhook, review: &Review<'_>, judgement: &Judgement, started: Instant) -> Response<Body> {
        let (answer, told, state_age, classified) = match judgement {
            Judgement::Verdict { verdict, age, warning } => {
                (Answer::verdict(review, verdict, *age, warning.clone()), Told::of(verdict), *age, None)
            }
            Judgement::Amended(amendment) => (Answer::amended(review, amendment), None, None, amendment.classified),
            Judgement::Guarded { refusal, clearing } => {
                let answer = Answer::guarded(review, refusal.as_ref(), clearing.as_deref());
                (answer, refusal.as_ref().map(Told::guarded), None, None)
            }
            Judgement::Unreadable(error) => (Answer::unreadable(review, error), Some(Told::malformed()), None, None),
            Judgement::Unasked(warning) => (Answer::unasked(review, warning.clone()), None, None, None),
        };
        let decision = Decision {
            webhook: webhook.as_str(),
            id: answer::decision_id(review),
            operation: review.operation.as_str(),
            dry_run: review.dry_run,
            object: review.key(),
            user: &review.username,
            admitted: answer.allowed(),
            told,
            message: answer.message(),
            state_age,
            took: started.elapsed(),
        };
        self.telemetry.decided(&decision);
        if let Some(classified) = classified {
            self.telemetry.classified(&decision, &classified);
        }
        drop(decision);
        answer.respond(review)
    }

    pub(super) fn refuse(
        &self,
        webhook: &'static str,
        fault: &Fault,
        review: Option<&Review<'_>>,
        started: Instant,
    ) -> Response<Body> {
        let operation = review.map_or("OTHER", |review| review.operation.as_str());
        self.telemetry.not_judged(webhook, fault, operation, started.elapsed());
        answer::fault(fault, review)
    }
}

/// What the world lacks for an answer.
pub(super) fn not_ready(why: Unavailable) -> Fault {
    Fault::NotReady { problem: why.to_string() }
}

/// What the headers say that the body is.
pub(super) fn plain_json(headers: &HeaderMap) -> Result<(), Fault> {
    if !is_json(headers) {
        return Err(Fault::NotJson);
    }
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(Fault::Encoded),
        _ => Ok(()),
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
        for webhook in Webhook::ALL {
            let gate = Gate {
                index: Arc::default(),
                policy: Arc::default(),
                rules: Arc::default(),
                telemetry: Arc::default(),
            };
            let body = br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","operation":"DELETE"}}"#;
            let review = Review::decode(body).unwrap();
            let response = gate.answer(webhook, &review, Instant::now(), async { panic!("injected") }).await;
            assert_eq!(response.status(), 500);
            let answer = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
            let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
            assert_eq!((&answer["response"]["uid"], &answer["response"]["allowed"]), (&"u-1".into(), &false.into()));
            let counted = format!(
                "webhook=\"{}\",operation=\"DELETE\",decision=\"error\",reason=\"panic\",dry_run=\"\"}} 1",
                webhook.as_str()
            );
            assert!(gate.telemetry.scrape(&[], &[]).contains(&counted));
            let judging = async { gate.judge(&review, Instant::now()) };
            let response = gate.answer(webhook, &review, Instant::now(), judging).await;
            assert_eq!(response.status(), 200);
        }
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
