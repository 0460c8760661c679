//! Reviews captured from a running Kubernaut at a real API server, answered as their folder's README says.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::http::Request;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use lockkeeper::api::facts::{RemediationRequest, WorkflowExecution};
use lockkeeper::cluster::{Index, Seen, Tracked};
use lockkeeper::config::Settings;
use lockkeeper::webhook::{Gate, router};
use serde_json::{Value, json};
use tower::ServiceExt;

/// The captured bodies for the main resource, in the order of their names; none, with a word, where the folder is absent.
fn captured(beginning: &str) -> Vec<(String, Value)> {
    let shared = std::env::var_os("LOCKKEEPER_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let folder = shared.join("data/reviews");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        let _ = writeln!(std::io::stderr().lock(), "skipped: no captured reviews at {}", folder.display());
        return Vec::new();
    };
    let mut reviews: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(beginning))
        .map(|path| {
            let review: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            (path.file_name().unwrap().to_string_lossy().into_owned(), review)
        })
        .filter(|(_, review)| {
            review["request"]["resource"]["resource"] == "workflowexecutions"
                && review["request"]["subResource"].is_null()
        })
        .collect();
    reviews.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!reviews.is_empty(), "no {beginning}* in {}", folder.display());
    reviews
}

/// A gate over this world.
fn gate(requests: &[Value], executions: &[Value]) -> axum::Router {
    fn fill<T: Tracked>(index: &Index, objects: &[Value]) {
        let mut present = HashSet::new();
        for object in objects {
            let facts = T::read(&object.to_string()).unwrap();
            let key = facts.key().clone();
            present.insert(key.clone());
            index.put(Seen { key, facts: Ok(facts) });
        }
        index.listed::<T>(&present);
    }
    let index = Arc::new(Index::default());
    fill::<RemediationRequest>(&index, requests);
    fill::<WorkflowExecution>(&index, executions);
    let settings = Settings::default();
    let policy = Arc::new(ArcSwap::from_pointee(settings.policy()));
    router(&Arc::new(Gate { index, policy, rules: Arc::default(), telemetry: Arc::default() }), &settings.limits)
}

/// The answer, after checking what every answer has.
async fn answer(gate: axum::Router, review: &Value) -> Value {
    let request = Request::post("/validate/workflowexecutions?timeout=5s").header("content-type", "application/json");
    let response = gate.oneshot(request.body(Body::from(review.to_string())).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let answer: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((&answer["apiVersion"], &answer["response"]["uid"]), (&review["apiVersion"], &review["request"]["uid"]));
    answer["response"].clone()
}

/// The parent that the captured candidate names, as RO had it then.
fn parent(review: &Value) -> Value {
    let reference = &review["request"]["object"]["spec"]["remediationRequestRef"];
    json!({"metadata": {"name": reference["name"], "namespace": reference["namespace"], "uid": reference["uid"]},
           "spec": {"signalFingerprint": "aa"}, "status": {"overallPhase": "Analyzing"}})
}

/// The same workflow on the same target, completed ten seconds ago.
fn completed_just_now(review: &Value) -> Value {
    let mut object = review["request"]["object"].clone();
    let ended = Timestamp::now() - SignedDuration::from_secs(10);
    object["metadata"]["name"] = json!("the-one-before");
    object["metadata"]["namespace"] = review["request"]["namespace"].clone();
    object["status"] = json!({"phase": "Completed", "completionTime": ended.to_string()});
    object
}

#[tokio::test]
async fn every_captured_create_is_judged_by_its_state() {
    for (name, review) in captured("wfe-create-") {
        let allowed = answer(gate(&[parent(&review)], &[]), &review).await;
        assert_eq!(allowed["allowed"], true, "{name}: {allowed}");

        let missing = answer(gate(&[], &[]), &review).await;
        assert_eq!(missing["status"]["details"]["causes"][0]["reason"], "ParentMissing", "{name}: {missing}");
        let generated = review["request"].get("name").is_none();
        assert_eq!(missing["status"]["details"].get("name").is_none(), generated, "{name}: {missing}");

        let recent = answer(gate(&[parent(&review)], &[completed_just_now(&review)]), &review).await;
        assert_eq!(recent["status"]["details"]["causes"][0]["reason"], "RecentlyRemediated", "{name}: {recent}");
    }
}

#[tokio::test]
async fn every_captured_finalizer_and_deletion_passes() {
    for (name, review) in captured("wfe-finalizer-").into_iter().chain(captured("wfe-delete-")) {
        let passed = answer(gate(&[], &[]), &review).await;
        assert_eq!(passed["allowed"], true, "{name}: {passed}");
    }
}
