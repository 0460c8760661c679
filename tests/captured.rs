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
use lockkeeper::api::tekton::{PipelineRun, TaskRun};
use lockkeeper::cluster::{Index, Seen, Tracked};
use lockkeeper::config::Settings;
use lockkeeper::webhook::{Gate, router};
use serde_json::{Value, json};
use tower::ServiceExt;

const RUNS: &str = "kubernaut-workflows";

/// The captured bodies of one kind, in the order of their names; none, with a word, where the folder is absent.
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
        .collect();
    reviews.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!reviews.is_empty(), "no {beginning}* in {}", folder.display());
    reviews
}

/// A gate over this world.
fn gate(requests: &[Value], executions: &[Value]) -> axum::Router {
    let index = Index::default();
    fill::<RemediationRequest>(&index, requests);
    fill::<WorkflowExecution>(&index, executions);
    over(index)
}

/// A gate that knows these runs and their tasks.
fn knowing(runs: &[Value], tasks: &[Value]) -> axum::Router {
    let index = Index::with_executions_in(RUNS);
    fill::<PipelineRun>(&index, runs);
    fill::<TaskRun>(&index, tasks);
    over(index)
}

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

fn over(index: Index) -> axum::Router {
    let settings = Settings::default();
    let policy = Arc::new(ArcSwap::from_pointee(settings.policy()));
    let gate = Gate { index: Arc::new(index), policy, rules: Arc::default(), telemetry: Arc::default() };
    router(&Arc::new(gate), &settings.limits)
}

/// The answer, after checking what every answer has.
async fn answer(gate: axum::Router, review: &Value) -> Value {
    answer_at("/validate/workflowexecutions", gate, review).await
}

async fn answer_at(path: &str, gate: axum::Router, review: &Value) -> Value {
    let request = Request::post(format!("{path}?timeout=5s")).header("content-type", "application/json");
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

/// What the amender changes, as one object with the paths for its members; what the guard then says of it.
async fn written(gate: axum::Router, review: &Value) -> (Value, Value) {
    let answer = answer_at("/mutate/workflowexecutions-status", gate.clone(), review).await;
    assert_eq!(answer["allowed"], true, "{answer}");
    let mut amended = review.clone();
    let mut changes = json!({});
    if let Some(patch) = answer.get("patch") {
        let patch: k8s_openapi::ByteString = serde_json::from_value(patch.clone()).unwrap();
        for operation in serde_json::from_slice::<Vec<Value>>(&patch.0).unwrap() {
            changes[operation["path"].as_str().unwrap()] = operation["value"].clone();
        }
        let patch: json_patch::Patch = serde_json::from_slice(&patch.0).unwrap();
        json_patch::patch(&mut amended["request"]["object"], &patch).unwrap();
    }
    (changes, answer_at("/validate/workflowexecutions-status", gate, &amended).await)
}

#[tokio::test]
async fn every_captured_status_write_of_the_executor_passes_as_it_is() {
    let mut seen = 0;
    for (name, review) in captured("wfe-status-") {
        let user = review["request"]["userInfo"]["username"].as_str().unwrap();
        if !user.ends_with(":workflowexecution-controller") {
            continue;
        }
        // Not sent to us, or nothing is known that contradicts it.
        let (changes, guarded) = written(knowing(&[], &[]), &review).await;
        assert_eq!((&changes, &guarded["allowed"]), (&json!({}), &json!(true)), "{name}: {guarded}");
        seen += 1;
    }
    assert!([0, 7].contains(&seen), "{seen}");
}

#[tokio::test]
async fn the_killed_step_that_upstream_did_not_see_is_named() {
    for (name, review) in captured("wfe-status-failed-taskfailed") {
        let status = &review["request"]["object"]["status"];
        let (run, task) = (&status["executionRef"]["name"], &status["failureDetails"]["failedTaskName"]);
        let labels = json!({"kubernaut.ai/workflow-execution": review["request"]["name"],
                            "kubernaut.ai/source-namespace": review["request"]["namespace"]});
        let created = &review["request"]["object"]["metadata"]["creationTimestamp"];
        let runs = json!({"metadata": {"name": run, "namespace": RUNS, "creationTimestamp": created, "labels": labels},
            "status": {"childReferences": [{"kind": "TaskRun", "name": task}], "conditions": [
                {"type": "Succeeded", "status": "False", "reason": "Failed", "message": status["executionStatus"]["message"]}]}});
        let tasks = json!({"metadata": {"name": task, "namespace": RUNS, "labels": {"tekton.dev/pipelineRun": run}},
            "status": {"podName": "p", "conditions": [
                {"type": "Succeeded", "status": "False", "reason": "Failed", "message": "\"step-apply\" exited with code 137: OOMKilled"}],
                "steps": [{"name": "apply", "imageID": "i", "terminated": {"reason": "OOMKilled", "exitCode": 137}}]}});
        let (changes, guarded) = written(knowing(&[runs], &[tasks]), &review).await;
        assert_eq!(guarded["allowed"], true, "{name}: {guarded}");
        assert_eq!(changes["/status/failureDetails/reason"], "OOMKilled", "{name}: {changes}");
        assert_eq!(changes["/status/failureDetails/failedStepName"], "apply", "{name}: {changes}");
        // Right already: that it ran, the exit code, the task. The condition follows in its place, the fourth.
        for member in ["wasExecutionFailure", "exitCode", "failedTaskName", "failedTaskIndex"] {
            assert!(changes.get(format!("/status/failureDetails/{member}")).is_none(), "{name}: {changes}");
        }
        assert_eq!(changes["/status/conditions/3/reason"], "OOMKilled", "{name}: {changes}");
    }
}

#[tokio::test]
async fn the_captured_forgeries_are_told_apart() {
    for (name, review) in captured("wfe-status-clearance") {
        let (changes, guarded) = written(knowing(&[], &[]), &review).await;
        assert_eq!(changes["/status/blockClearance/clearedBy"], "alice@example.com", "{name}: {changes}");
        assert_eq!(
            (changes.as_object().unwrap().len(), &guarded["allowed"]),
            (2, &json!(true)),
            "{name}: {changes} {guarded}"
        );
        let alone = answer_at("/validate/workflowexecutions-status", knowing(&[], &[]), &review).await;
        assert_eq!(alone["status"]["details"]["causes"][0]["reason"], "ClearanceInvalid", "{name}: {alone}");
    }
    for (name, review) in captured("wfe-status-failed-to-running") {
        let (changes, guarded) = written(knowing(&[], &[]), &review).await;
        assert_eq!(changes, json!({}), "{name}");
        assert_eq!(guarded["status"]["details"]["causes"][0]["reason"], "PhaseTerminal", "{name}: {guarded}");
    }
}

#[tokio::test]
async fn captured_statuses_of_requests_are_not_ours() {
    for (name, review) in captured("rr-status-") {
        let (changes, guarded) = written(knowing(&[], &[]), &review).await;
        assert_eq!((&changes, &guarded["allowed"]), (&json!({}), &json!(true)), "{name}: {guarded}");
        assert!(guarded["warnings"][0].as_str().unwrap().contains("passed unjudged"), "{name}: {guarded}");
        let object = review["request"]["object"].to_string();
        assert!(<RemediationRequest as Tracked>::read(&object).is_ok(), "{name}");
    }
}
