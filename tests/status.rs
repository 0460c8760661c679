//! The API server's contract for the status webhooks, check by check (the IDs are those of the design's reference), on the router
//! without a socket. What only an API server can tell is in `tests/e2e/status`.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use lockkeeper::api::facts::{RemediationRequest, WorkflowExecution};
use lockkeeper::api::tekton::{PipelineRun, TaskRun};
use lockkeeper::cluster::{Index, Input, Seen, Tracked};
use lockkeeper::config::Settings;
use lockkeeper::webhook::{Gate, router};
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt;

const AMENDER: &str = "/mutate/workflowexecutions-status";
const GUARD: &str = "/validate/workflowexecutions-status";
const UID: &str = "705ab4f5-6393-11e8-b7cc-42010a800002";
const WORDS: &str = "checked the deployment by hand, its configuration is right again, ticket OPS-1234";

struct House {
    index: Arc<Index>,
    app: Router,
}

/// A house that knows of nothing and is ready.
fn house() -> House {
    let house = unlisted();
    house.index.listed::<RemediationRequest>(&HashSet::new());
    house.index.listed::<WorkflowExecution>(&HashSet::new());
    house
}

fn unlisted() -> House {
    let index = Arc::new(Index::with_executions_in("runs"));
    let settings = Settings::default();
    let policy = Arc::new(ArcSwap::from_pointee(settings.policy()));
    let gate = Gate { index: index.clone(), policy, rules: Arc::default(), telemetry: Arc::default() };
    House { index, app: router(&Arc::new(gate), &settings.limits) }
}

/// One that knows the run of `payments/we`, whose step `step` was killed.
fn knowing_of(step: &str) -> House {
    let house = house();
    let task = json!({"metadata": {"name": "t-1", "namespace": "runs", "labels": {"tekton.dev/pipelineRun": "wfe-1"}}, "status": {
        "podName": "p", "completionTime": "2026-01-05T09:58:00Z",
        "conditions": [{"type": "Succeeded", "status": "False", "reason": "Failed", "message": "\"step-x\" exited with code 137: OOMKilled"}],
        "steps": [{"name": step, "imageID": "i", "terminated": {"reason": "OOMKilled", "exitCode": 137}}]}});
    let run = json!({"metadata": {"name": "wfe-1", "namespace": "runs",
            "labels": {"kubernaut.ai/workflow-execution": "we", "kubernaut.ai/source-namespace": "payments"}},
        "status": {"completionTime": "2026-01-05T09:58:30Z", "childReferences": [{"kind": "TaskRun", "name": "t-1"}],
            "conditions": [{"type": "Succeeded", "status": "False", "reason": "Failed", "message": "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0"}]}});
    put::<TaskRun>(&house.index, &task);
    put::<PipelineRun>(&house.index, &run);
    house
}

fn put<T: Tracked>(index: &Index, object: &Value) {
    let facts = T::read(&object.to_string()).unwrap();
    let key = facts.key().clone();
    index.put(Seen { key: key.clone(), facts: Ok(facts) });
    index.listed::<T>(&HashSet::from([key]));
}

struct Answer {
    code: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn response(&self) -> &Value {
        &self.body["response"]
    }

    fn allowed(&self) -> bool {
        self.response()["allowed"].as_bool().unwrap()
    }

    fn cause(&self) -> (&str, &str) {
        let cause = &self.response()["status"]["details"]["causes"][0];
        (cause["reason"].as_str().unwrap_or_default(), cause["field"].as_str().unwrap_or_default())
    }

    fn warnings(&self) -> Vec<&str> {
        let warnings = self.response()["warnings"].as_array();
        warnings.into_iter().flatten().map(|warning| warning.as_str().unwrap()).collect()
    }

    /// The operations, after what every answer of the amender has: A-17, A-18, A-19, A-21.
    fn operations(&self) -> Vec<Value> {
        let response = self.response();
        let Some(patch) = response.get("patch") else {
            assert!(response.get("patchType").is_none(), "{response}");
            return Vec::new();
        };
        assert_eq!(response["patchType"], "JSONPatch");
        let text = patch.as_str().unwrap();
        assert!(text.len().is_multiple_of(4) && !text.contains(['-', '_', '\n']), "{text}");
        // Decodes standard, padded base64 and nothing else.
        let bytes = serde_json::from_value::<k8s_openapi::ByteString>(patch.clone()).unwrap().0;
        let operations: Vec<Value> = serde_json::from_slice(&bytes).unwrap();
        assert!(!operations.is_empty(), "an empty patch is none");
        for operation in &operations {
            assert!(["add", "remove"].contains(&operation["op"].as_str().unwrap()), "{operation}");
            assert!(operation["path"].as_str().unwrap().starts_with("/status/"), "{operation}");
        }
        operations
    }

    /// The object as it leaves: an operation whose parent is not there would be an error here, as it is in the API server.
    fn applied_to(&self, object: &Value) -> Value {
        let mut object = object.clone();
        let patch: json_patch::Patch = serde_json::from_value(self.operations().into()).unwrap();
        json_patch::patch(&mut object, &patch).unwrap();
        object
    }
}

impl House {
    async fn post(&self, path: &str, body: String) -> Answer {
        let request = Request::post(format!("{path}?timeout=5s")).header("content-type", "application/json");
        let response = self.app.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{error}: {bytes:?}"));
        Answer { code: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn amend(&self, review: &Value) -> Answer {
        let answer = self.post(AMENDER, review.to_string()).await;
        assert_eq!((answer.code, answer.allowed()), (200, true), "{}", answer.body);
        assert_eq!(answer.response()["uid"], UID);
        answer
    }

    async fn guard(&self, review: &Value) -> Answer {
        let answer = self.post(GUARD, review.to_string()).await;
        assert_eq!((answer.code, &answer.response()["uid"]), (200, &json!(UID)), "{}", answer.body);
        // A-16: it is no mutating one.
        assert!(answer.response().get("patch").is_none() && answer.response().get("patchType").is_none());
        answer
    }
}

fn wfe(status: &Value) -> Value {
    json!({"apiVersion": "kubernaut.ai/v1alpha1", "kind": "WorkflowExecution",
        "metadata": {"name": "we", "namespace": "payments", "creationTimestamp": "2026-01-05T09:50:00Z"},
        "spec": {"targetResource": "payments/Deployment/api", "workflowRef": {"workflowId": "restart"}}, "status": status})
}

/// A write of `new` over `old`, two statuses, by alice.
#[allow(clippy::needless_pass_by_value, reason = "a test says what it sends")]
fn write(old: Value, new: Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": UID, "operation": "UPDATE", "name": "we", "namespace": "payments", "subResource": "status",
        "kind": {"group": "kubernaut.ai", "version": "v1alpha1", "kind": "WorkflowExecution"},
        "resource": {"group": "kubernaut.ai", "version": "v1alpha1", "resource": "workflowexecutions"},
        "userInfo": {"username": "alice"}, "object": wfe(&new), "oldObject": wfe(&old), "dryRun": false}})
}

fn with(mut review: Value, member: &str, value: Value) -> Value {
    review["request"][member] = value;
    review
}

fn running() -> Value {
    json!({"phase": "Running", "startTime": "2026-01-05T09:51:00Z", "executionRef": {"name": "wfe-1"}})
}

fn failed(reason: &str, ran: bool) -> Value {
    json!({"phase": "Failed", "startTime": "2026-01-05T09:51:00Z", "completionTime": "2026-01-05T09:59:00Z", "failureDetails": {
        "reason": reason, "wasExecutionFailure": ran, "message": "m", "failedTaskIndex": 0, "failedTaskName": "",
        "failedAt": "2026-01-05T09:59:00Z", "executionTimeBeforeFailure": "8m0s", "naturalLanguageSummary": "s"}})
}

fn clearing(clearance: Value) -> Value {
    let mut status = failed("TaskFailed", true);
    status["blockClearance"] = clearance;
    status
}

fn unsigned() -> Value {
    json!({"clearMethod": "StatusField", "clearReason": WORDS})
}

/// Writes that are amended, in all the forms in which that is done.
fn amended() -> Vec<Value> {
    let odd = json!({"phase": "Failed", "failureDetails": {"reason": "Unknown"}, "failureReason": "Unknown",
        "conditions": [{"type": "Ready"}, {"type": "ExecutionComplete", "reason": "ExecutionFailed", "message": "x"}]});
    vec![
        write(running(), failed("Unknown", false)),
        write(running(), json!({"phase": "Failed"})),
        write(running(), json!({"phase": "Failed", "failureDetails": null})),
        write(running(), json!({"phase": "Failed", "failureDetails": {}})),
        write(Value::Null, odd),
        write(failed("TaskFailed", true), clearing(unsigned())),
        write(failed("TaskFailed", true), clearing(json!({}))),
    ]
}

#[tokio::test]
async fn a_17_to_a_21_a_patch_is_one_that_the_api_server_takes() {
    let house = knowing_of("patch");
    for review in amended() {
        let answer = house.amend(&review).await;
        assert!(!answer.operations().is_empty(), "{review}");
        let object = answer.applied_to(&review["request"]["object"]);
        assert_eq!(object["metadata"], review["request"]["object"]["metadata"]);
        assert_eq!(object["spec"], review["request"]["object"]["spec"]);
    }
    let stored = house.amend(&amended()[0]).await.applied_to(&amended()[0]["request"]["object"]);
    assert_eq!(stored["status"]["failureDetails"]["reason"], "OOMKilled");
}

#[tokio::test]
async fn a_18_the_padding_is_right_whatever_the_length() {
    for step in ["a", "ab", "abc", "ä→\u{10ffff}", "~?>~?>", "\u{3fffe}\u{ff}\u{fe}"] {
        let answer = knowing_of(step).amend(&write(running(), failed("Unknown", false))).await;
        let told = answer
            .operations()
            .into_iter()
            .find(|operation| operation["path"] == "/status/failureDetails/failedStepName");
        assert_eq!(told.unwrap()["value"], step);
    }
}

#[tokio::test]
async fn a_21_nothing_but_an_update_is_patched() {
    let house = knowing_of("patch");
    for review in amended() {
        for other in [
            with(review.clone(), "operation", json!("CREATE")),
            with(review.clone(), "operation", json!("DELETE")),
            with(review.clone(), "operation", json!("CONNECT")),
            with(review.clone(), "operation", json!("ANNEAL")),
            with(review.clone(), "object", Value::Null),
            with(review.clone(), "oldObject", Value::Null),
        ] {
            assert_eq!(house.amend(&other).await.operations(), Vec::<Value>::new(), "{other}");
            assert!(house.guard(&other).await.allowed(), "{other}");
        }
    }
}

#[tokio::test]
async fn a_22_what_is_right_or_not_ours_gets_no_patch() {
    let house = knowing_of("patch");
    let signed = json!({"clearMethod": "StatusField", "clearReason": WORDS, "clearedBy": "bob", "clearedAt": "2026-01-05T09:59:30Z"});
    for review in [
        write(running(), running()),
        write(Value::Null, running()),
        write(running(), json!({"phase": "Completed"})),
        write(Value::Null, Value::Null),
        write(failed("OOMKilled", true), failed("OOMKilled", true)),
        write(clearing(signed.clone()), clearing(signed.clone())),
        write(clearing(signed.clone()), clearing(json!(null))),
        write(running(), failed("Deduplicated", false)),
    ] {
        // The run of another execution says nothing here.
        let review = with(review, "name", json!("another"));
        assert_eq!(house.amend(&review).await.operations(), Vec::<Value>::new(), "{review}");
    }
}

#[tokio::test]
async fn a_23_what_left_is_amended_no_more() {
    let house = knowing_of("patch");
    for review in amended() {
        let stored = house.amend(&review).await.applied_to(&review["request"]["object"]);
        let again = house.amend(&with(review, "object", stored)).await;
        assert_eq!((again.operations(), again.warnings()), (Vec::new(), Vec::new()));
    }
}

#[tokio::test]
async fn a_24_the_guard_judges_what_is_left_in_the_end() {
    let house = knowing_of("patch");
    let review = write(failed("TaskFailed", true), clearing(unsigned()));
    assert_eq!(house.guard(&review).await.cause(), ("ClearanceInvalid", "status.blockClearance.clearedBy"));
    let signed = house.amend(&review).await.applied_to(&review["request"]["object"]);
    let told = house.guard(&with(review.clone(), "object", signed.clone())).await;
    assert!(told.allowed(), "{}", told.body);
    assert_eq!(told.response()["auditAnnotations"]["reason"], WORDS);
    let mut bent = signed;
    bent["status"]["blockClearance"]["clearedBy"] = json!("mallory");
    assert_eq!(
        house.guard(&with(review, "object", bent)).await.cause(),
        ("ClearanceInvalid", "status.blockClearance.clearedBy")
    );
}

#[tokio::test]
async fn a_01_a_30_a_39_the_same_write_gets_the_same_answer() {
    let house = knowing_of("patch");
    let review = write(running(), failed("Unknown", false));
    let first = house.amend(&review).await.body;
    for _ in 0..100 {
        assert_eq!(house.amend(&review).await.body, first);
    }
    assert_eq!(house.amend(&with(review, "dryRun", json!(true))).await.body, first);
    let refused = write(failed("TaskFailed", true), running());
    let told = house.guard(&refused).await.body;
    assert_eq!(told, house.guard(&with(refused, "dryRun", json!(true))).await.body);
}

#[tokio::test]
async fn a_13_a_15_a_40_words_are_clean_lines_and_bounded() {
    let house = knowing_of("a\nb\u{1b}[31m\u{85}");
    let answer = house.amend(&write(running(), failed("Unknown", false))).await;
    let clean = |text: &str| text.chars().count() <= 256 && !text.contains(char::is_control);
    assert_eq!(answer.warnings().len(), 1);
    assert!(answer.warnings().into_iter().all(clean), "{:?}", answer.warnings());

    let mut told = unsigned();
    told["clearReason"] = json!(format!("{}\n\u{1b}", "word ".repeat(180)));
    told["clearedBy"] = json!("alice");
    let review = write(failed("TaskFailed", true), clearing(told));
    let signed = house.amend(&review).await.applied_to(&review["request"]["object"]);
    let told = house.guard(&with(review, "object", signed)).await;
    assert!(told.allowed() && clean(told.response()["auditAnnotations"]["reason"].as_str().unwrap()), "{}", told.body);

    let hostile = json!({"phase": format!("Run\nning\u{1b}{}", "x".repeat(5000))});
    let told = house.guard(&write(failed("TaskFailed", true), hostile)).await;
    let message = told.response()["status"]["message"].as_str().unwrap();
    assert!(message.len() < 1024 && !message.contains(char::is_control), "{message}");
}

#[tokio::test]
async fn a_27_what_is_about_something_else_passes_with_a_word() {
    let house = knowing_of("patch");
    let review = write(running(), failed("Unknown", false));
    let resource = |group: &str, resource: &str| json!({"group": group, "version": "v1", "resource": resource});
    for (foreign, what) in [
        (with(review.clone(), "subResource", Value::Null), "workflowexecutions.kubernaut.ai"),
        (with(review.clone(), "subResource", json!("scale")), "workflowexecutions/scale.kubernaut.ai"),
        (
            with(review.clone(), "resource", resource("kubernaut.ai", "remediationrequests")),
            "remediationrequests/status.kubernaut.ai",
        ),
        (with(review.clone(), "resource", resource("", "pods")), "pods/status"),
    ] {
        let expected =
            [format!("lockkeeper judges workflowexecutions/status.kubernaut.ai here; {what} passed unjudged")];
        let amended = house.amend(&foreign).await;
        assert_eq!((amended.operations(), amended.warnings()), (vec![], expected.iter().map(|line| &**line).collect()));
        let guarded = house.guard(&foreign).await;
        assert!(guarded.allowed() && guarded.warnings() == expected, "{}", guarded.body);
    }
}

#[tokio::test]
async fn the_run_that_stood_there_before_is_the_one_that_is_asked() {
    let house = house();
    let run = |name: &str, reason: &str| {
        json!({"metadata": {"name": name, "namespace": "runs"}, "status": {
            "conditions": [{"type": "Succeeded", "status": "False", "reason": reason, "message": "m"}]}})
    };
    put::<TaskRun>(&house.index, &json!({"metadata": {"name": "t", "namespace": "runs"}}));
    let runs = [run("mine", "CouldntGetPipelineResult"), run("stray", "ParameterMissing")];
    let runs = runs.map(|run| PipelineRun::read(&run.to_string()).unwrap());
    let keys = runs.iter().map(|run| run.key.clone()).collect();
    for run in runs {
        house.index.put(Seen { key: run.key.clone(), facts: Ok(run) });
    }
    house.index.listed::<PipelineRun>(&keys);
    let status = |phase: &str, run: &str| json!({"phase": phase, "pipelineRunRef": {"name": run}});
    for (old, new) in [(status("Running", "mine"), "stray"), (json!({"phase": "Running"}), "mine")] {
        let answer = house.amend(&write(old, status("Failed", new))).await;
        let stored = answer.applied_to(&wfe(&status("Failed", new)));
        let details = &stored["status"]["failureDetails"];
        assert_eq!((&details["reason"], &details["wasExecutionFailure"]), (&json!("TaskFailed"), &json!(true)));
    }
    // Once it has failed, a name is no evidence.
    let recorded = |run: &str, reason: &str, ran: bool| {
        let mut status = status("Failed", run);
        status["failureDetails"] = json!({"reason": reason, "wasExecutionFailure": ran, "message": "m"});
        status
    };
    let lowered = write(recorded("stray", "TaskFailed", true), recorded("stray", "ConfigurationError", false));
    assert_eq!(house.guard(&lowered).await.cause().0, "FailureImmutable");
    assert_eq!(house.amend(&lowered).await.operations(), Vec::<Value>::new());
}

/// v1alpha1 can only park what it has no word for: that is said there all the same, and is unsaid as little.
#[tokio::test]
async fn what_a_version_can_only_park_is_guarded() {
    let house = house();
    let details = json!({"reason": "Unknown", "wasExecutionFailure": true, "message": "m"});
    let failed = |parked: Value| {
        let mut status =
            json!({"phase": "Failed", "completionTime": "2026-01-05T09:59:00Z", "failureDetails": details});
        if !parked.is_null() {
            status["legacy"] = json!({"parked": [{"home": "v1beta1"}, parked]});
        }
        status
    };
    let add = |member: &str, value: &str| json!({"op": "add", "path": format!("/status/{member}"), "value": value});
    let of_v1alpha1 = |old: Value, new: Value| {
        let mut review = write(old, new);
        for side in ["object", "oldObject"] {
            review["request"][side]["apiVersion"] = json!("kubernaut.ai/v1alpha1");
            review["request"][side]["kind"] = json!("WorkflowExecution");
        }
        review
    };
    for (old, new, reason) in [
        (Value::Null, add("failure/reason", "Deduplicated"), "FailureImmutable"),
        (add("deduplicatedBy", "we-1"), add("deduplicatedBy", "we-2"), "DeduplicationImmutable"),
        (add("deduplicatedBy", "we-1"), Value::Null, "DeduplicationImmutable"),
        (add("deduplicatedBy", "we-1"), add("deduplicatedBy", "we-1"), ""),
        (Value::Null, add("workflowName", "restart"), ""),
    ] {
        let answer = house.guard(&of_v1alpha1(failed(old), failed(new.clone()))).await;
        let told = answer.body["response"]["status"]["details"]["causes"][0]["reason"].as_str().unwrap_or_default();
        assert_eq!(told, reason, "{new}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_member_that_is_said_twice_has_no_meaning() {
    let sent = |status: &str| write(json!({"phase": "Running"}), json!("HERE")).to_string().replace("\"HERE\"", status);
    for status in [
        r#"{"phase": "Running", "phase": "Failed"}"#,
        r#"{"phase": "Failed", "failureDetails": {"wasExecutionFailure": true, "wasExecutionFailure": false}}"#,
        r#"{"phase": "Failed", "blockClearance": {"clearedBy": "alice", "clearedBy": "bob"}}"#,
    ] {
        for path in [AMENDER, GUARD] {
            let answer = house().post(path, sent(status)).await;
            let told = answer.response()["status"]["message"].as_str().unwrap_or_default().to_owned();
            assert_eq!((answer.code, &answer.response()["uid"]), (400, &json!(UID)), "{status}");
            assert!(told.contains("duplicate field"), "{told}");
        }
    }
}

#[tokio::test]
async fn depth_where_nobody_looks_is_judged() {
    let deep = format!("{}1{}", "[".repeat(9_000), "]".repeat(9_000));
    for status in [
        format!(r#"{{"phase": "Failed", "odd": {deep}}}"#),
        format!(
            r#"{{"phase": "Failed", "failureDetails": {{"reason": "OOMKilled", "wasExecutionFailure": true, "odd": {deep}}}}}"#
        ),
    ] {
        let review = write(json!({"phase": "Running"}), json!("HERE")).to_string().replace("\"HERE\"", &status);
        for path in [AMENDER, GUARD] {
            let answer = knowing_of("a").post(path, review.clone()).await;
            assert_eq!((answer.code, &answer.response()["uid"]), (200, &json!(UID)), "{}", answer.body);
            assert_ne!(answer.response()["status"]["code"], 422, "{}", answer.body);
        }
    }
}

#[tokio::test]
async fn a_member_that_cannot_be_read_is_named() {
    let house = knowing_of("patch");
    let odd = |side: &str, pointer: &str, value: Value| {
        let mut review = write(failed("TaskFailed", true), failed("TaskFailed", true));
        *review["request"][side].pointer_mut(pointer).unwrap() = value;
        review
    };
    for (review, field) in [
        (odd("object", "/status/phase", json!(7)), "object.status.phase"),
        (odd("oldObject", "/status/phase", json!(["Failed"])), "oldObject.status.phase"),
        (odd("object", "/status/failureDetails", json!("x")), "object.status.failureDetails"),
        (odd("oldObject", "/status/failureDetails", json!([])), "oldObject.status.failureDetails"),
        (odd("object", "/status", json!([{"phase": "Failed"}])), "object.status"),
        (with(odd("object", "/status/phase", json!("x")), "object", json!("x")), "object"),
    ] {
        for path in [AMENDER, GUARD] {
            let answer = house.post(path, review.to_string()).await;
            assert_eq!((answer.code, &answer.response()["uid"]), (200, &json!(UID)), "{path} {field}");
            let status = &answer.response()["status"];
            assert_eq!(
                (&status["code"], &status["reason"]),
                (&json!(422), &json!("Invalid")),
                "{path} {field}: {status}"
            );
            let cause = answer.cause();
            assert!(cause.0 == "Malformed" && cause.1.starts_with(field), "{path} {field}: {cause:?}");
            assert!(answer.response().get("patch").is_none());
        }
    }
}

#[tokio::test]
async fn while_runs_are_looked_for_a_failure_waits_and_the_rest_goes_on() {
    let house = unlisted();
    house.index.expect(Input::PipelineRuns);
    house.index.expect(Input::TaskRuns);
    for path in [AMENDER, GUARD] {
        let waits = house.post(path, write(running(), failed("Unknown", false)).to_string()).await;
        assert_eq!((waits.code, waits.headers["retry-after"].to_str().unwrap()), (503, "1"), "{path}");
        assert_eq!((&waits.response()["uid"], waits.allowed()), (&json!(UID), false), "{path}");
        let passes = house.post(path, write(Value::Null, running()).to_string()).await;
        assert_eq!((passes.code, passes.allowed()), (200, true), "{path}: Kubernaut's own inputs are not asked for");
    }
    house.index.absent::<PipelineRun>();
    house.index.absent::<TaskRun>();
    assert_eq!(house.post(AMENDER, write(running(), failed("Unknown", false)).to_string()).await.code, 200);
}

/// What may stand in a member that nobody here reads.
fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "null",
        "true",
        "1",
        "1.0",
        "1e0",
        "-0.0",
        "9007199254740993",
        "-9223372036854775808",
        "18446744073709551615",
        "0.1",
        "\"\"",
        "\"é\\u0000\"",
        "[]",
        "[1.0,null,{\"a\":null}]",
        "{}",
        "{\"b\":{\"~/\":1e0,\"a\":1}}",
    ])
}

/// An object's text: these members and some that nobody knows, in any order.
fn object_text(known: Vec<(&'static str, BoxedStrategy<String>)>) -> BoxedStrategy<String> {
    let (names, texts): (Vec<_>, Vec<_>) = known.into_iter().unzip();
    (texts, prop::collection::vec(("[a-z~/ .]{0,5}", token()), 0..4))
        .prop_flat_map(move |(texts, unknown)| {
            let known = names.iter().zip(texts).filter(|(_, text)| !text.is_empty());
            let known = known.map(|(name, text)| format!("{}:{text}", json!(name)));
            let unknown =
                unknown.iter().enumerate().map(|(i, (name, text))| format!("{}:{text}", json!(format!("x{i}{name}"))));
            Just(known.chain(unknown).collect::<Vec<_>>()).prop_shuffle()
        })
        .prop_map(|members| format!("{{{}}}", members.join(",")))
        .boxed()
}

fn one_of(texts: &[&'static str]) -> BoxedStrategy<String> {
    prop::sample::select(texts.to_vec()).prop_map(str::to_owned).boxed()
}

fn failed_text() -> BoxedStrategy<String> {
    let details = object_text(vec![
        ("reason", one_of(&["\"Unknown\"", "\"TaskFailed\"", "\"OOMKilled\"", "\"\"", "null", ""])),
        ("wasExecutionFailure", one_of(&["true", "false", "null", ""])),
        ("message", one_of(&["\"m\"", "\"\"", ""])),
        ("failedTaskIndex", one_of(&["0", "0.0", "0e0", "3", ""])),
        ("failedAt", one_of(&["\"2026-01-05T09:59:00Z\"", "\"2026-01-05T10:59:00.25+01:00\"", "null"])),
        ("exitCode", one_of(&["1", "137.0", "137", "null", ""])),
    ]);
    let condition = object_text(vec![
        ("type", one_of(&["\"ExecutionComplete\"", "\"TektonPipelineComplete\"", "\"Ready\""])),
        ("reason", one_of(&["\"ExecutionFailed\"", "\"OOMKilled\"", "null", ""])),
        ("message", one_of(&["\"x\"", "null", ""])),
        ("observedGeneration", one_of(&["1", "1.0", "1e0"])),
    ]);
    let conditions = prop::collection::vec(condition, 0..3).prop_map(|list| format!("[{}]", list.join(",")));
    let clearance = object_text(vec![
        ("clearMethod", one_of(&["\"StatusField\""])),
        ("clearReason", Just(json!(WORDS).to_string()).boxed()),
        ("clearedBy", one_of(&["\"alice\"", "\"bob\"", "null", ""])),
        ("clearedAt", one_of(&["\"2020-01-01T00:00:00Z\"", "null", ""])),
    ]);
    object_text(vec![
        ("phase", one_of(&["\"Failed\""])),
        ("startTime", one_of(&["\"2026-01-05T09:51:00Z\"", "null", ""])),
        ("failureDetails", prop_oneof![4 => details, 1 => one_of(&["null", ""])].boxed()),
        ("conditions", prop_oneof![3 => conditions, 1 => one_of(&["null", ""])].boxed()),
        ("failureReason", one_of(&["\"Unknown\"", "null", ""])),
        ("blockClearance", prop_oneof![1 => clearance, 2 => one_of(&["null", ""])].boxed()),
    ])
}

/// The members that an amendment may touch.
fn ours(path: &str) -> bool {
    let parts: Vec<_> = path.trim_start_matches("/status/").split('/').collect();
    match *parts {
        ["failureReason" | "failureDetails"] => true,
        ["failureDetails", member] => [
            "reason",
            "wasExecutionFailure",
            "message",
            "failedTaskIndex",
            "failedTaskName",
            "failedStepName",
            "exitCode",
            "failedAt",
            "executionTimeBeforeFailure",
            "naturalLanguageSummary",
        ]
        .contains(&member),
        ["blockClearance", member] => ["clearedBy", "clearedAt"].contains(&member),
        ["conditions", index, member] => index.parse::<usize>().is_ok() && ["reason", "message"].contains(&member),
        _ => false,
    }
}

/// Undoes one operation, so that what is left must be what was sent.
fn undo(object: &mut Value, path: &str, sent: &Value) {
    let (parent, member) = path.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match sent.pointer(path) {
        Some(before) => parent.insert(member.to_owned(), before.clone()),
        None => parent.remove(member),
    };
}

fn review_text(old: &str, new: &str) -> String {
    let object = |status: &str| {
        format!(
            r#"{{"metadata":{{"name":"we","namespace":"payments","generation":1.0}},"spec":{{"x":9007199254740993}},"status":{status}}}"#
        )
    };
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"{UID}","operation":"UPDATE","name":"we","namespace":"payments",
        "subResource":"status","userInfo":{{"username":"alice"}},"object":{},"oldObject":{}}}}}"#,
        object(new),
        object(old)
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_22_a_23_nothing_but_what_is_meant_is_touched_and_only_once(status in failed_text(), known in any::<bool>()) {
        let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let house = if known { knowing_of("patch") } else { house() };
        let old = r#"{"phase":"Running","executionRef":{"name":"wfe-1"}}"#;
        let body = review_text(old, &status);
        let review: Value = serde_json::from_str(&body).unwrap();
        let sent = review["request"]["object"].clone();
        let answer = rt.block_on(house.post(AMENDER, body));
        prop_assert!(answer.code == 200 && answer.allowed(), "{}", answer.body);
        let stored = answer.applied_to(&sent);
        let mut left = stored.clone();
        for operation in answer.operations() {
            let path = operation["path"].as_str().unwrap().to_owned();
            prop_assert!(ours(&path), "{}", path);
            prop_assert!(sent.pointer(&path) != Some(&operation["value"]), "it was so already: {operation}");
            undo(&mut left, &path, &sent);
        }
        prop_assert_eq!(left.to_string(), sent.to_string());

        let again = with(review, "object", stored);
        let told = rt.block_on(house.post(AMENDER, again.to_string()));
        prop_assert_eq!(told.operations(), Vec::<Value>::new());
        let guarded = rt.block_on(house.post(GUARD, again.to_string()));
        // A clearance does not come with the failure that it lifts.
        let clears = again["request"]["object"]["status"]["blockClearance"].is_object();
        prop_assert!(guarded.allowed() != clears, "{}", guarded.body);
    }

    #[test]
    fn a_22_a_write_that_ends_nothing_is_left_as_it_is(
        phase in one_of(&["\"Running\"", "\"Pending\"", "\"Completed\"", "null", "\"\""]),
        old in failed_text(),
        members in object_text(vec![("startTime", one_of(&["\"2026-01-05T09:51:00Z\"", "null", ""]))]),
    ) {
        let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let new = members.replacen('{', &format!("{{\"phase\":{phase}{}", if members == "{}" { "" } else { "," }), 1);
        let answer = rt.block_on(knowing_of("patch").post(AMENDER, review_text(&old, &new)));
        prop_assert!(answer.allowed(), "{}", answer.body);
        prop_assert_eq!(answer.operations(), Vec::<Value>::new());
    }

    /// A-01: whatever is wrong with the rest.
    #[test]
    fn a_01_every_answer_carries_its_uid(uid in "[ -~]{1,40}", status in token(), old in token(), guard in any::<bool>(), listed in any::<bool>()) {
        let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let house = if listed { house() } else { unlisted() };
        if !listed {
            house.index.expect(Input::TaskRuns);
        }
        let body = review_text(old, status).replace(&format!("\"{UID}\""), &json!(uid).to_string());
        let answer = rt.block_on(house.post(if guard { GUARD } else { AMENDER }, body));
        prop_assert_eq!(&answer.response()["uid"], &json!(uid));
        prop_assert!([200, 503].contains(&answer.code));
    }
}
