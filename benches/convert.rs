//! One object in another version, each kind in each direction, at three sizes, with something parked, and as hostile as one that
//! the API server stores can be; before that five thousand objects of 10 kB in one call through the router, and one in a call as
//! today's API server sends them: time, and the most memory that it took beside the body itself.
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
        for (size, bytes) in [("small", 0), ("2 kB", 2_000), ("10 kB", 10_000), ("parked", 2_000)] {
            let mut old = object(bytes);
            match size {
                "small" => drop(old.as_object_mut().unwrap().remove("status")),
                "parked" => park(&mut old),
                _ => {}
            }
            let old = old.to_string();
            let hub = String::from_utf8(convert(&old, Version::V1beta1).unwrap().json).unwrap();
            for (text, to) in [(&old, Version::V1beta1), (&hub, Version::V1alpha1)] {
                criterion.bench_function(&format!("convert/{kind}/{size}/to {}", to.as_str()), |bencher| {
                    bencher.iter(|| convert(black_box(text), to).unwrap());
                });
            }
        }
    }
    let mut group = criterion.benchmark_group("hostile");
    group.sample_size(10);
    for (name, object, to) in hostile(if measured { 1_450_000 } else { 10_000 }) {
        group.bench_function(name, |bencher| bencher.iter(|| convert(black_box(&object), to).unwrap()));
    }
    group.finish();
    criterion.final_summary();
}

/// What the other version cannot say, in several places.
fn park(object: &mut Value) {
    let status = object["status"].as_object_mut().unwrap();
    status.insert("odd".into(), json!({"a": 1}));
    let conditions = status["conditions"].as_array_mut().unwrap();
    conditions.extend(conditions.clone());
    if object["kind"] == "WorkflowExecution" {
        object["spec"]["targetResource"] = json!("a/b/c/d");
        object["status"]["failureDetails"]["reason"] = json!("RaceConditionError");
    } else {
        object["spec"]["severity"] = json!("high");
        object["status"]["overallPhase"] = json!("Nowhere");
    }
}

/// As long as etcd takes them, and made to cost time: `tests/convert.rs` and the unit tests say that none fails.
fn hostile(bytes: usize) -> Vec<(&'static str, String, Version)> {
    fn many(bytes: usize, one: impl Fn(usize) -> String) -> String {
        let all: Vec<_> = (0..bytes / one(10_000).len()).map(one).collect();
        all.join(",")
    }
    let object = |version: &str, annotations: &str, spec: &str, status: &str| {
        format!(
            r#"{{"apiVersion":"kubernaut.ai/{version}","kind":"WorkflowExecution","metadata":{{"name":"n","annotations":{{{annotations}}}}},"spec":{{{spec}}},"status":{{{status}}}}}"#
        )
    };
    let old = |spec: &str, status: &str| {
        object("v1alpha1", "", &format!(r#""targetResource":"K/n","workflowRef":{{"workflowId":"r"}}{spec}"#), status)
    };
    let forged = |patch: &str, spec: &str, status: &str| {
        let said = format!(r#"{{"home":"v1alpha1","patch":[{patch}]}}"#);
        let annotation = format!(r#""lockkeeper.kubernaut.ai/legacy":{}"#, Value::from(said));
        object("v1beta1", &annotation, &format!(r#""target":{{"kind":"K","name":"n"}}{spec}"#), status)
    };
    let add = |path: &str, value: &str| format!(r#"{{"op":"add","path":"{path}","value":{value}}}"#);
    let nest = |depth: usize| format!("{}0{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let members = |bytes| many(bytes, |i| format!(r#""m{i}":0"#));
    let conditions = |bytes| format!(r#""conditions":[{}]"#, many(bytes, |i| format!(r#"{{"type":"T{i}"}}"#)));
    let note = format!(r#""note":"{}""#, "x".repeat(bytes / 6));
    let (patch, rest) = (bytes / 12, bytes * 4 / 5);
    let stale = many(patch, |i| add("/spec/targetResource", &format!("\"a/B/{i}\"")));
    let (there, home) = (Version::V1beta1, Version::V1alpha1);
    vec![
        ("members of the spec", old(&format!(",{}", members(bytes)), ""), there),
        ("members of a group", old("", &format!(r#""pipelineRunStatus":{{{}}}"#, members(bytes))), there),
        ("conditions", old("", &conditions(bytes)), there),
        (
            "conditions of one type",
            old("", &format!(r#""conditions":[{}]"#, many(bytes, |_| r#"{"type":"A"}"#.into()))),
            there,
        ),
        ("depth", old(&format!(r#","executionConfig":{}"#, nest(bytes / 6)), ""), there),
        (
            "no room in the annotations",
            object(
                "v1alpha1",
                &note,
                r#""targetResource":[1],"workflowRef":3"#,
                &format!(r#""failureDetails":[{}]"#, many(rest, |_| "0".into())),
            ),
            there,
        ),
        ("stale patch, members", forged(&stale, &format!(",{}", members(rest)), ""), home),
        ("stale patch, conditions", forged(&stale, "", &conditions(rest)), home),
        ("stale patch, depth", forged(&stale, &format!(r#","parameters":{}"#, nest(rest / 6)), ""), home),
        ("nested patch", forged(&many(patch, |i| add(&format!("/spec/p{i}"), &nest(60))), "", &conditions(rest)), home),
        (
            "overflowing patch",
            forged(
                "",
                "",
                &format!(
                    r#""legacy":{{"parked":[{}]}},{}"#,
                    many(rest / 2, |i| add(&format!("/status/x{i}"), "0")),
                    conditions(rest / 2)
                ),
            ),
            home,
        ),
    ]
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
