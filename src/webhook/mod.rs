//! Bytes ⇄ decisions.
//!
//! In: AdmissionReviews and ConversionReviews over HTTP. Out: the same with an answer; HTTP 200 for each, whatever it says.
//! Never: lists from the API server while answering; judges what is not ours.
//! Fails: a request that cannot be judged gets a [`Fault`], with its uid where that is known.

mod answer;
mod conversion;
mod convert;
mod gate;
mod receive;
mod review;
mod spec;
mod status;
mod understand;

pub use gate::Gate;
use gate::Webhook;
pub use review::{Operation, Review, ReviewError};
pub use understand::Question;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::Response;
use axum::middleware::from_fn_with_state;
use axum::routing::post;

use crate::config::Limits;
use crate::fault::Fault;
use receive::Intake;

/// The HTTPS side: every path, with limits and deadlines around them.
pub fn router(gate: &Arc<Gate>, limits: &Limits) -> Router {
    let known = Webhook::ALL.map(Webhook::path).into_iter().chain([convert::PATH]).collect::<Vec<_>>().join(", ");
    let paths = Webhook::ALL.into_iter().fold(Router::new(), |router, webhook| {
        router.route(webhook.path(), post(gate::answer).with_state((gate.clone(), webhook)))
    });
    paths
        .fallback(move || async move { answer::fault(&Fault::NoSuchPath { known }, None) })
        .method_not_allowed_fallback(not_post)
        .layer(from_fn_with_state(Arc::new(Intake::of_reviews(gate.clone(), limits)), receive::receive))
        .merge(conversions(gate, limits))
        .layer(DefaultBodyLimit::disable())
}

/// Behind an intake of its own.
fn conversions(gate: &Gate, limits: &Limits) -> Router {
    let converter = Arc::new(convert::Converter::new(gate.telemetry.clone(), crate::convert::convert));
    let intake = Arc::new(Intake::of_conversions(converter.clone(), limits));
    Router::new()
        .route(convert::PATH, post(convert::answer).fallback(not_post).with_state(converter))
        .layer(from_fn_with_state(intake, receive::receive))
}

async fn not_post() -> Response<Body> {
    answer::fault(&Fault::NotPost, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::facts::{RemediationRequest, WorkflowExecution};
    use crate::cluster::Index;
    use crate::config::Settings;
    use axum::http::Request;
    use tower::ServiceExt;

    const CREATE: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","operation":"CREATE",
        "namespace":"n","object":{"metadata":{"name":"w"},"spec":{"remediationRequestRef":{"name":"r"},"targetResource":"Node/x",
        "workflowRef":{"workflowId":"i","containerImage":"c"}}}}}"#;

    /// T-06: with the state occupied, the answer is out before the caller leaves; it carries the uid (A-01).
    #[tokio::test(flavor = "multi_thread")]
    async fn t_06_an_answer_comes_before_the_deadline_although_the_state_is_busy() {
        let index = Arc::new(Index::default());
        index.listed::<RemediationRequest>(&[].into());
        index.listed::<WorkflowExecution>(&[].into());
        let settings = Settings::default();
        let policy = Arc::new(arc_swap::ArcSwap::from_pointee(settings.policy()));
        let app = router(
            &Arc::new(Gate { index: index.clone(), policy, rules: Arc::default(), telemetry: Arc::default() }),
            &settings.limits,
        );
        let occupied = index.occupy();
        let request =
            Request::post("/validate/workflowexecutions?timeout=1s").header("content-type", "application/json");
        let answering = tokio::spawn(app.oneshot(request.body(Body::from(CREATE)).unwrap()));
        let response =
            tokio::time::timeout(std::time::Duration::from_secs(1), answering).await.unwrap().unwrap().unwrap();
        drop(occupied);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&answer["response"]["uid"], &answer["response"]["allowed"]), (&"u-1".into(), &false.into()));
    }
}
