//! Bytes ⇄ decisions.
//!
//! In: AdmissionReviews over HTTP. Out: verdicts as AdmissionReviews; HTTP 200 for each, whatever it says.
//! Never: lists from the API server while answering; judges what is not ours.
//! Fails: a request that cannot be judged gets a [`Fault`](crate::fault::Fault), with its uid where that is known.

mod answer;
mod gate;
mod receive;
mod review;
mod spec;
mod understand;

pub use gate::Gate;
pub use review::{Operation, Review, ReviewError};
pub use understand::Question;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::post;

use crate::config::Limits;
use crate::fault::Fault;

/// The paths of this server, as an unknown one is told.
const PATHS: &str = "/validate/workflowexecutions";

/// The HTTPS side: every path, with limits and deadlines around them.
pub fn router(gate: Arc<Gate>, limits: &Limits) -> Router {
    let intake = Arc::new(receive::Intake::new(gate.clone(), limits));
    Router::new()
        .route("/validate/workflowexecutions", post(gate::validate))
        .fallback(|| async { answer::fault(&Fault::NoSuchPath { known: PATHS }, None) })
        .method_not_allowed_fallback(|| async { answer::fault(&Fault::NotPost, None) })
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(intake, receive::receive))
        .with_state(gate)
}
