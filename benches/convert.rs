//! One object in another version, each kind in each direction, at two sizes; then five thousand objects of 10 kB in one call
//! through the router: time, and the most memory that it took beside the body itself.
//!
//! `cargo bench --bench convert`; under `cargo test` each runs once, with few objects. Linux: reads and resets /proc/self/status.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::http::Request;
use criterion::Criterion;
use http_body_util::BodyExt;
use lockkeeper::config::Settings;
use lockkeeper::convert::{Version, convert};
use lockkeeper::webhook::{Gate, router};
use serde_json::{Value, json};
use tower::ServiceExt;

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // First, in a process that has freed nothing yet: memory that stays resident would hide what is taken anew.
    for (objects, bytes) in if measured { [(5_000, 10_000), (1, 2_000)] } else { [(50, 10_000), (1, 2_000)] } {
        runtime.block_on(call(objects, bytes, if measured { 5 } else { 1 }));
    }
    let mut criterion = Criterion::default().configure_from_args();
    for (kind, object) in [("WorkflowExecution", workflow as fn(usize) -> Value), ("RemediationRequest", request)] {
        for (size, bytes) in [("2 kB", 2_000), ("10 kB", 10_000)] {
            let old = object(bytes).to_string();
            let hub = String::from_utf8(convert(&old, Version::V1beta1).unwrap().json).unwrap();
            for (text, to) in [(&old, Version::V1beta1), (&hub, Version::V1alpha1)] {
                criterion.bench_function(&format!("convert/{kind}/{size}/to {}", to.as_str()), |bencher| {
                    bencher.iter(|| convert(black_box(text), to).unwrap());
                });
            }
        }
    }
    criterion.final_summary();
}

/// The same call a few times, on a router of its own. The body is made while it is sent and the answer dropped while it is read,
/// so that what grows is the server's.
async fn call(objects: usize, bytes: usize, times: usize) {
    let gate = Gate { index: Arc::default(), policy: Arc::default(), rules: Arc::default(), telemetry: Arc::default() };
    let app = router(&Arc::new(gate), &Settings::default().limits);
    let head = r#"{"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","request":{"uid":"u","desiredAPIVersion":"kubernaut.ai/v1beta1","objects":["#;
    let pair = [workflow(bytes).to_string(), request(bytes).to_string()];
    let part = move |i: usize| match i {
        0 => head.to_owned() + &pair[0],
        i if i < objects => format!(",{}", pair[i % 2]),
        _ => "]}}".to_owned(),
    };
    let length: usize = (0..=objects).map(|i| part(i).len()).sum();
    for _ in 0..times {
        let before = resident();
        reset_peak();
        let started = Instant::now();
        let part = part.clone();
        let frames = futures::stream::iter((0..=objects).map(move |i| Ok::<_, std::convert::Infallible>(part(i))));
        let asked = Request::post("/convert").header("content-type", "application/json");
        let asked = asked.header("content-length", length).body(Body::from_stream(frames)).unwrap();
        let answer = app.clone().oneshot(asked).await.unwrap();
        assert_eq!(answer.status(), 200);
        let (mut answer, mut sent) = (answer.into_body(), 0);
        while let Some(frame) = answer.frame().await {
            sent += frame.unwrap().data_ref().map_or(0, Bytes::len);
        }
        let (took, more) = (started.elapsed(), peak().saturating_sub(before));
        println!(
            "{objects} objects, {length} bytes there, {sent} back: {took:.1?}, {:.1?} an object; memory at most {:.2} of the body",
            took / u32::try_from(objects).unwrap(),
            more as f64 / length as f64,
        );
    }
}

/// As December 2025 stores it, filled up with parameters.
fn workflow(bytes: usize) -> Value {
    let mut object = json!({"apiVersion": "kubernaut.ai/v1alpha1", "kind": "WorkflowExecution", "metadata": metadata("we"),
        "spec": {"remediationRequestRef": {"apiVersion": "kubernaut.ai/v1alpha1", "kind": "RemediationRequest", "name": "rr-1", "namespace": "kubernaut-system"},
            "targetResource": "payments/Deployment/api", "confidence": 0.92, "rationale": "restarting helps",
            "workflowRef": {"workflowId": "restart-deployment", "version": "1.2.0", "containerImage": "registry/restart:1.2.0", "containerDigest": "sha256:0123"},
            "executionConfig": {"timeout": "30m", "serviceAccountName": "runner"}},
        "status": {"phase": "Failed", "startTime": "2026-01-05T10:00:00Z", "completionTime": "2026-01-05T10:05:00Z", "duration": "5m0s",
            "pipelineRunRef": {"name": "wfe-1"}, "pipelineRunStatus": {"status": "False", "reason": "Failed", "message": "m", "completedTasks": 1, "totalTasks": 2},
            "failureDetails": {"failedTaskIndex": 1, "failedTaskName": "apply", "reason": "TaskFailed", "message": "exit 1", "failedAt": "2026-01-05T10:05:00Z",
                "executionTimeBeforeFailure": "5m0s", "naturalLanguageSummary": "it failed", "wasExecutionFailure": true},
            "conditions": conditions()}});
    fill(&mut object, "/spec", "parameters", bytes);
    object
}

fn request(bytes: usize) -> Value {
    let mut object = json!({"apiVersion": "kubernaut.ai/v1alpha1", "kind": "RemediationRequest", "metadata": metadata("rr"),
        "spec": {"signalFingerprint": "0123456789abcdef", "signalName": "HighMemory", "severity": "critical", "signalType": "prometheus-alert",
            "targetType": "kubernetes", "targetResource": {"kind": "Deployment", "name": "api", "namespace": "payments"},
            "firingTime": "2026-01-05T10:00:00Z", "receivedTime": "2026-01-05T10:00:01Z", "deduplication": {"firstSeen": "2026-01-05T10:00:00Z"}},
        "status": {"overallPhase": "Failed", "startTime": "2026-01-05T10:00:00Z", "failureReason": "it failed", "failurePhase": "WorkflowExecution",
            "consecutiveFailureCount": 2, "nextAllowedExecution": "2026-01-05T10:10:00Z", "workflowExecutionRef": {"name": "we", "namespace": "kubernaut-system"},
            "conditions": conditions()}});
    fill(&mut object, "/spec", "signalLabels", bytes);
    object
}

fn metadata(name: &str) -> Value {
    json!({"name": name, "namespace": "kubernaut-system", "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "creationTimestamp": "2026-01-05T10:00:00Z",
        "resourceVersion": "1234", "generation": 1, "labels": {"kubernaut.ai/workflow-execution": name},
        "managedFields": [{"manager": "controller", "operation": "Update", "apiVersion": "kubernaut.ai/v1alpha1", "time": "2026-01-05T10:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {".": {}, "f:targetResource": {}, "f:workflowRef": {".": {}, "f:version": {}}}}}]})
}

fn conditions() -> Value {
    let one = |kind: &str| json!({"type": kind, "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "2026-01-05T10:05:00Z"});
    json!([one("A"), one("B"), one("C")])
}

/// Short strings, as parameters and labels are.
fn fill(object: &mut Value, parent: &str, name: &str, bytes: usize) {
    let (mut members, mut left) = (serde_json::Map::new(), bytes.saturating_sub(object.to_string().len()));
    while left > 90 {
        members.insert(
            format!("PARAMETER_{:04}", members.len()),
            Value::from("a value of the usual length, nothing odd in it; forty"),
        );
        left -= 73;
    }
    object.pointer_mut(parent).unwrap()[name] = Value::Object(members);
}

fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or_default() * 4096
}

/// The kernel counts the peak from here.
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<usize>().ok()).unwrap_or_default() * 1024
}
