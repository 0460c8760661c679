//! The admin port: probes and metrics, in plain HTTP, with nothing secret on it.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// One thing that must be so before a part of us is ready.
#[derive(Clone, Debug)]
pub struct Condition {
    pub name: &'static str,
    pub ok: bool,
    /// What is so, or what is missing.
    pub says: String,
}

/// What the admin port asks the rest of the house.
pub struct Admin {
    /// Of the gate.
    pub conditions: Box<dyn Fn() -> Vec<Condition> + Send + Sync>,
    /// Of conversion, which needs none of the inputs.
    pub conversion: Box<dyn Fn() -> Vec<Condition> + Send + Sync>,
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
}

/// Prometheus 3 takes nothing without the exact type.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `/livez`, `/readyz`, `/convertz`, `/metrics`.
pub fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(|State(admin): State<Arc<Admin>>| async move { probe(&(admin.conditions)()) }))
        .route("/convertz", get(|State(admin): State<Arc<Admin>>| async move { probe(&(admin.conversion)()) }))
        .route("/metrics", get(metrics))
        .fallback(|| async {
            (StatusCode::NOT_FOUND, "no such path; this port has /livez, /readyz, /convertz and /metrics\n")
        })
        .with_state(admin)
}

fn probe(conditions: &[Condition]) -> Response {
    let ready = conditions.iter().all(|condition| condition.ok);
    let mut body = String::new();
    for Condition { name, ok, says } in conditions {
        // Writing into a String cannot fail.
        let _ = writeln!(body, "[{}] {name}: {says}", if *ok { '+' } else { '-' });
    }
    body.push_str(if ready { "ready\n" } else { "not ready\n" });
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, body).into_response()
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    ([(header::CONTENT_TYPE, OPENMETRICS)], (admin.metrics)()).into_response()
}
