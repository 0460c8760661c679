//! The API server's contract, check by check (the IDs are those of the design's reference), on the router without a socket.
//! What only a socket can tell is in `tests/curl.sh` and `src/tls/listener.rs`; what only an API server can tell, in `tests/e2e`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request};
use futures::StreamExt;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use lockkeeper::api::facts::{RemediationRequest, WorkflowExecution};
use lockkeeper::cluster::{Index, Seen, Tracked};
use lockkeeper::config::Settings;
use lockkeeper::webhook::{Gate, router};
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt;

struct House {
    index: Arc<Index>,
    app: Router,
}

/// A gate whose inputs are listed: a free request, a held one, and one whose block is in hostile words.
fn house() -> House {
    house_with(&Settings::default())
}

fn house_with(settings: &Settings) -> House {
    let house = unlisted(settings);
    let status = |name: &str, status: Value| {
        let request = json!({"metadata": {"name": name, "namespace": "payments", "uid": "u"}, "spec": {"signalFingerprint": name}, "status": status});
        put::<RemediationRequest>(&house.index, &request)
    };
    let present = HashSet::from([
        status("free", json!({"overallPhase": "Analyzing"})),
        status("held", json!({"overallPhase": "Blocked", "blockReason": "IneffectiveChain"})),
        status("until", json!({"overallPhase": "Analyzing", "nextAllowedExecution": in_seconds(3600)})),
        status("hostile", json!({"overallPhase": "Blocked", "blockReason": "a\nb\u{1b}[31m\u{85}\"\\<script>"})),
    ]);
    house.index.listed::<RemediationRequest>(&present);
    house.index.listed::<WorkflowExecution>(&HashSet::new());
    house
}

fn unlisted(settings: &Settings) -> House {
    let index = Arc::new(Index::default());
    let policy = Arc::new(ArcSwap::from_pointee(settings.policy()));
    let gate = Gate { index: index.clone(), policy, rules: Arc::default(), telemetry: Arc::default() };
    House { index, app: router(&Arc::new(gate), &settings.limits) }
}

fn put<T: Tracked>(index: &Index, object: &Value) -> lockkeeper::api::facts::ObjectKey {
    let facts = T::read(&object.to_string()).unwrap();
    let key = facts.key().clone();
    index.put(Seen { key: key.clone(), facts: Ok(facts) });
    key
}

fn in_seconds(seconds: i64) -> String {
    (Timestamp::now() + SignedDuration::from_secs(seconds)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

struct Answer {
    code: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn response(&self) -> Value {
        self.json()["response"].clone()
    }

    fn allowed(&self) -> bool {
        self.response()["allowed"].as_bool().unwrap()
    }

    fn reason(&self) -> String {
        self.response()["status"]["details"]["causes"][0]["reason"].as_str().unwrap_or_default().to_owned()
    }
}

impl House {
    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap();
        Answer { code: parts.status.as_u16(), headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn post(&self, body: impl Into<Body>) -> Answer {
        let request =
            Request::post("/validate/workflowexecutions?timeout=5s").header("content-type", "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    async fn review(&self, review: &Value) -> Answer {
        self.post(review.to_string()).await
    }
}

fn candidate(parent: &str) -> Value {
    json!({"apiVersion": "kubernaut.ai/v1alpha1", "kind": "WorkflowExecution", "metadata": {"name": "we", "namespace": "payments"},
           "spec": {"remediationRequestRef": {"name": parent}, "targetResource": "payments/Deployment/api",
                    "workflowRef": {"workflowId": "restart", "version": "1", "containerImage": "r/restart:1"}}})
}

#[allow(clippy::needless_pass_by_value, reason = "a test says what it sends")]
fn review(operation: &str, object: Value, old: Value) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": operation, "name": "we", "namespace": "payments",
        "kind": {"group": "kubernaut.ai", "version": "v1alpha1", "kind": "WorkflowExecution"},
        "resource": {"group": "kubernaut.ai", "version": "v1alpha1", "resource": "workflowexecutions"},
        "userInfo": {"username": "alice"}, "object": object, "oldObject": old, "dryRun": false, "options": null}})
}

fn create(parent: &str) -> Value {
    review("CREATE", candidate(parent), Value::Null)
}

fn with(mut review: Value, member: &str, value: Value) -> Value {
    review["request"][member] = value;
    review
}

#[tokio::test]
async fn t_04_t_05_json_with_parameters_in_and_json_out() {
    let house = house();
    for (content_type, code) in
        [("application/json", 200), ("application/json;charset=utf-8", 200), ("text/json", 415), ("", 415)]
    {
        let request = Request::post("/validate/workflowexecutions").header("content-type", content_type);
        let answer = house.send(request.body(Body::from(create("free").to_string())).unwrap()).await;
        assert_eq!(answer.code, code, "{content_type}");
        assert_eq!(
            answer.headers["content-type"],
            if code == 200 { "application/json" } else { "text/plain; charset=utf-8" }
        );
    }
}

#[tokio::test]
async fn t_06_unknown_query_parameters_are_nobodys_business() {
    let house = house();
    for query in ["", "?timeout=1s", "?timeout=soon", "?a=b&timeout=30s&c", "?timeout="] {
        let request =
            Request::post(format!("/validate/workflowexecutions{query}")).header("content-type", "application/json");
        assert_eq!(
            house.send(request.body(Body::from(create("free").to_string())).unwrap()).await.code,
            200,
            "{query}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn t_06_t_09_a_body_that_never_ends_is_answered_in_time() {
    let house = house();
    let slow =
        futures::stream::once(async { Ok::<_, std::io::Error>(Bytes::from("{")) }).chain(futures::stream::pending());
    let request = Request::post("/validate/workflowexecutions?timeout=1s").header("content-type", "application/json");
    let started = tokio::time::Instant::now();
    let answer = house.send(request.body(Body::from_stream(slow)).unwrap()).await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!((answer.code, answer.headers["connection"].to_str().unwrap()), (408, "close"));
}

#[tokio::test]
async fn t_07_the_largest_review_that_can_be_stored_is_judged_and_no_larger_one_is_read() {
    let house = house();
    let large = |bytes: usize| {
        let mut object = candidate("free");
        object["spec"]["rationale"] = json!("x".repeat(bytes / 2));
        review("UPDATE", object.clone(), object)
    };
    assert_eq!(house.review(&large(6_900_000)).await.code, 200);
    let answer = house.review(&large(9_000_000)).await;
    assert_eq!((answer.code, answer.headers["connection"].to_str().unwrap()), (413, "close"));
    // Its length alone is enough: not a byte of the body is asked for.
    let unread = Body::from_stream(futures::stream::once(async { panic!("read") as Result<Bytes, std::io::Error> }));
    let request = Request::post("/validate/workflowexecutions")
        .header("content-type", "application/json")
        .header("content-length", 100_000_000);
    assert_eq!(house.send(request.body(unread).unwrap()).await.code, 413);
}

#[tokio::test(start_paused = true)]
async fn bodies_in_flight_are_bounded_and_room_is_worth_waiting_for() {
    let mut settings = Settings::default();
    settings.limits.in_flight_bytes = settings.limits.admission_body_bytes;
    let house = house_with(&settings);
    // A body of unknown length takes all the room there is, until its sender gives it up.
    let (sender, receiver) = futures::channel::mpsc::unbounded::<Result<Bytes, std::io::Error>>();
    let request = Request::post("/validate/workflowexecutions?timeout=9s").header("content-type", "application/json");
    let holding = tokio::spawn(house.app.clone().oneshot(request.body(Body::from_stream(receiver)).unwrap()));
    tokio::task::yield_now().await;
    let shed = house.review(&create("free")).await;
    assert_eq!((shed.code, shed.headers["retry-after"].to_str().unwrap()), (503, "1"), "{}", shed.text);
    assert!(shed.text.contains("limits.inFlightBytes"), "{}", shed.text);
    drop(sender);
    assert_eq!(holding.await.unwrap().unwrap().status(), 400);
    assert_eq!(house.review(&create("free")).await.code, 200);
}

#[tokio::test]
async fn t_11_other_methods_and_paths() {
    let house = house();
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let request = Request::builder().method(method).uri("/validate/workflowexecutions");
        let answer = house.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!((answer.code, answer.headers["allow"].to_str().unwrap()), (405, "POST"), "{method}");
        assert!(!answer.text.contains("AdmissionReview") || answer.text.starts_with("send an"), "{}", answer.text);
    }
    for path in ["/", "/convert/", "/mutate/workflowexecutions/", "/validate/workflowexecutions/", "/metrics"] {
        let answer = house.send(Request::post(path).body(Body::from("{}")).unwrap()).await;
        assert_eq!(answer.code, 404, "{path}");
        assert!(answer.text.contains("/validate/workflowexecutions"), "{}", answer.text);
    }
}

#[tokio::test]
async fn t_12_what_breaks_parsers_is_a_400_or_judged() {
    let house = house();
    let text = create("free").to_string();
    for (what, body) in [
        ("NaN", text.replace("\"dryRun\":false", "\"dryRun\":NaN").into_bytes()),
        ("NaN in the object", text.replace("\"version\":\"1\"", "\"version\":NaN").into_bytes()),
        ("a member twice", text.replace("\"dryRun\":false", "\"dryRun\":false,\"uid\":\"x\"").into_bytes()),
        (
            "a member of the object twice",
            text.replace("\"version\":\"1\"", "\"version\":\"1\",\"workflowId\":\"x\"").into_bytes(),
        ),
        (
            "a parameter twice",
            text.replace("\"targetResource\"", "\"parameters\":{\"A\":\"1\",\"A\":\"2\"},\"targetResource\"")
                .into_bytes(),
        ),
        (
            "bad UTF-8 in a member nobody reads",
            [text.as_bytes(), b""].concat().iter().map(|b| if *b == b'l' { 0xff } else { *b }).collect(),
        ),
        ("half of it", text.as_bytes()[..text.len() / 2].to_vec()),
        ("more behind it", [text.as_bytes(), b"{}"].concat()),
        ("a half surrogate", text.replace("\"restart\"", "\"\\ud800\"").into_bytes()),
        ("nothing", Vec::new()),
    ] {
        let answer = house.post(body).await;
        assert_eq!(answer.code, 400, "{what}: {}", answer.text);
    }
    // As deep as the API server sends, in members that nobody reads; and numbers beyond every type.
    let deep = format!("{}{}", "[".repeat(9_999), "]".repeat(9_999));
    let deep = text.replace(
        "\"version\":\"1\"",
        &format!("\"version\":\"1\",\"engineConfig\":{deep},\"resources\":{{\"a\":{deep}}}"),
    );
    let deep = deep.replace("\"options\":null", "\"options\":{\"n\":1e999999,\"i\":123456789012345678901234567890}");
    let answer = house.post(deep).await;
    assert_eq!((answer.code, answer.allowed()), (200, true), "{}", answer.text);
}

#[tokio::test]
async fn t_12_a_list_is_no_object() {
    let house = house();
    let envelope = json!(["admission.k8s.io/v1", "AdmissionReview", create("free")["request"]]);
    assert_eq!(house.review(&envelope).await.code, 400);
    let parent = json!(["payments", "free", null, null, null, null, null]);
    let workflow =
        json!(["restart", "r/restart:1", null, "1", null, null, null, null, null, null, null, null, null, null]);
    let spec = json!([{"name": "free"}, workflow, "payments/Deployment/api", null, null, null, null, null, null]);
    let object = json!(["kubernaut.ai/v1alpha1", "WorkflowExecution", {"name": "we"}, candidate("free")["spec"]]);
    let with_spec = |member: &str, value: Value| {
        let mut object = candidate("free");
        object["spec"][member] = value;
        object
    };
    let mut listed = candidate("free");
    listed["spec"] = spec;
    for object in [object, listed, with_spec("remediationRequestRef", parent), with_spec("workflowRef", workflow)] {
        let answer = house.review(&review("CREATE", object.clone(), Value::Null)).await;
        assert_eq!(answer.reason(), "Malformed", "{object}: {}", answer.text);
    }
}

#[tokio::test]
async fn t_13_integers_beyond_a_float_are_told_apart() {
    let house = house();
    let object = |number: &str| {
        let text = candidate("free")
            .to_string()
            .replace("\"version\":\"1\"", &format!("\"version\":\"1\",\"engineConfig\":{{\"n\":{number}}}"));
        serde_json::value::RawValue::from_string(text).unwrap().to_string()
    };
    let body = |old: &str, new: &str| {
        review("UPDATE", json!("NEW"), json!("OLD"))
            .to_string()
            .replace("\"NEW\"", &object(new))
            .replace("\"OLD\"", &object(old))
    };
    assert!(house.post(body("9007199254740993", "9007199254740993")).await.allowed());
    assert_eq!(house.post(body("9007199254740992", "9007199254740993")).await.reason(), "SpecImmutable");
}

#[tokio::test]
async fn a_02_both_versions_are_answered_in_kind_and_no_other() {
    let house = house();
    for version in ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"] {
        let mut review = create("held");
        review["apiVersion"] = json!(version);
        let answer = house.review(&review).await.json();
        assert_eq!((&answer["apiVersion"], &answer["kind"]), (&json!(version), &json!("AdmissionReview")));
    }
    let mut review = create("held");
    review["apiVersion"] = json!("admission.k8s.io/v2");
    let answer = house.review(&review).await;
    assert_eq!(answer.code, 400);
    assert!(answer.text.contains("admission.k8s.io/v2"), "{}", answer.text);
}

#[tokio::test]
async fn a_03_a_06_a_16_an_answer_has_no_request_no_patch_and_a_status_only_when_refused() {
    let house = house();
    for parent in ["free", "held", "nobody"] {
        let answer = house.review(&create(parent)).await.json();
        assert!(answer.get("request").is_none());
        let response = answer["response"].as_object().unwrap();
        assert!(!response.contains_key("patch") && !response.contains_key("patchType"));
        assert_eq!(response.contains_key("status"), response["allowed"] == false, "{parent}");
    }
}

#[tokio::test]
async fn a_04_every_verdict_is_200() {
    let house = house();
    for parent in ["free", "held", "until", "nobody", ""] {
        assert_eq!(house.review(&create(parent)).await.code, 200, "{parent}");
    }
}

#[tokio::test]
async fn a_05_no_request_or_uid_is_a_400_in_one_line() {
    let house = house();
    for body in [
        json!({}),
        json!({"request": null}),
        json!({"request": {}}),
        json!({"request": {"uid": ""}}),
        json!([]),
        json!("x"),
    ] {
        let mut body = body;
        if body.is_object() {
            body["apiVersion"] = json!("admission.k8s.io/v1");
            body["kind"] = json!("AdmissionReview");
        }
        let answer = house.review(&body).await;
        assert_eq!((answer.code, answer.text.lines().count()), (400, 1), "{body}");
        assert!(answer.text.starts_with("not an AdmissionReview: "), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_07_to_a_12_a_refusal_is_a_status_that_clients_understand() {
    let house = house();
    let status = house.review(&create("until")).await.response()["status"].clone();
    assert_eq!(
        (&status["status"], &status["code"], &status["reason"]),
        (&json!("Failure"), &json!(403), &json!("Forbidden"))
    );
    let details = &status["details"];
    assert_eq!(
        (&details["group"], &details["kind"], &details["name"]),
        (&json!("kubernaut.ai"), &json!("WorkflowExecution"), &json!("we"))
    );
    let seconds = details["retryAfterSeconds"].as_i64().unwrap();
    assert!((3590..=3600).contains(&seconds), "{seconds}");
    assert_eq!(details["causes"].as_array().unwrap().len(), 1);
    // Without an end there is nothing to wait for.
    let status = house.review(&create("held")).await.response()["status"].clone();
    assert!(status["details"].get("retryAfterSeconds").is_none());
    // 422 is for what makes no sense; each cause makes sense alone.
    let mut odd = candidate("");
    odd["spec"]["targetResource"] = json!("x");
    let status = house.review(&review("CREATE", odd, Value::Null)).await.response()["status"].clone();
    assert_eq!((&status["code"], &status["reason"]), (&json!(422), &json!("Invalid")));
    for cause in status["details"]["causes"].as_array().unwrap() {
        assert!(
            cause["field"].as_str().unwrap().starts_with("spec.")
                && cause["message"].as_str().unwrap().contains("expected"),
            "{cause}"
        );
    }
    // No verdict ever makes client-go try again by itself.
    for parent in ["held", "until", "hostile", "nobody", ""] {
        let code = house.review(&create(parent)).await.response()["status"]["code"].as_u64().unwrap();
        assert!(code == 403 || code == 422, "{parent}: {code}");
    }
}

#[tokio::test]
async fn a_13_a_40_words_are_one_clean_line() {
    let house = house();
    let mut hostile = create("hostile");
    hostile["request"]["object"]["spec"]["clusterID"] = json!("a\nb\u{7}'; rm -rf / #\u{202e}");
    hostile["request"]["object"]["spec"]["parameters"] = json!({"a\nb": "1", "\u{1b}[2J": "2"});
    let response = house.review(&hostile).await.response();
    let message = response["status"]["message"].as_str().unwrap();
    let lines =
        [message].into_iter().chain(response["warnings"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()));
    for line in lines.chain(response["auditAnnotations"].as_object().unwrap().values().map(|v| v.as_str().unwrap())) {
        assert!(!line.chars().any(char::is_control) && !line.contains('\u{202e}'), "{line:?}");
        assert!(line.len() < 1024, "{line}");
    }
    assert!(
        message.contains("see: lockkeeper explain payments/hostile --target payments/Deployment/api --cluster 'a b "),
        "{message}"
    );
}

#[tokio::test]
async fn a_14_warnings_come_with_either_verdict() {
    let house = house();
    for parent in ["free", "held"] {
        let mut review = create(parent);
        review["request"]["object"]["spec"]["parameters"] = json!({"lower": "1"});
        let response = house.review(&review).await.response();
        assert_eq!(response["warnings"][0], "parameter keys are not UPPER_SNAKE_CASE: lower", "{parent}");
        assert!(!response["warnings"][0].as_str().unwrap().starts_with("Warning"));
    }
}

#[tokio::test]
async fn a_15_annotations_have_bare_keys_and_bounded_strings() {
    let house = house();
    let long = with(create("held"), "uid", json!("u".repeat(5_000)));
    for review in [create("free"), create("held"), create("hostile"), long] {
        let response = house.review(&review).await.response();
        for (key, value) in response["auditAnnotations"].as_object().unwrap() {
            assert!(key.len() <= 63 && key.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{key}");
            assert!(value.as_str().unwrap().len() <= 1024, "{value}");
        }
    }
}

#[tokio::test]
async fn a_25_null_objects_where_the_operation_has_none() {
    let house = house();
    assert!(house.review(&review("DELETE", Value::Null, candidate("held"))).await.allowed());
    assert!(house.review(&review("UPDATE", candidate("held"), candidate("held"))).await.allowed());
    // A deletecollection: no name but in the old object.
    let mut collection = review("DELETE", Value::Null, candidate("held"));
    collection["request"].as_object_mut().unwrap().remove("name");
    assert!(house.review(&collection).await.allowed());
    // Neither object: a creation of nothing is refused, all else passes; the same for operations that nobody knows.
    for (operation, allowed) in
        [("CREATE", false), ("UPDATE", true), ("DELETE", true), ("CONNECT", true), ("EXPLODE", true)]
    {
        let answer = house.review(&review(operation, Value::Null, Value::Null)).await;
        assert_eq!((answer.code, answer.allowed()), (200, allowed), "{operation}");
    }
    assert_eq!(house.review(&review("CREATE", Value::Null, Value::Null)).await.response()["status"]["code"], 422);
}

#[tokio::test]
async fn a_26_a_name_that_is_yet_to_be_made_is_none() {
    let house = house();
    let mut review = create("held");
    review["request"].as_object_mut().unwrap().remove("name");
    review["request"]["object"]["metadata"] = json!({"generateName": "we-"});
    let answer = house.review(&review).await;
    assert_eq!(answer.reason(), "IneffectiveChain");
    assert!(answer.response()["status"]["details"].get("name").is_none());
}

#[tokio::test]
async fn a_27_a_28_subresources_pass_and_versions_are_judged_alike() {
    let house = house();
    for sub_resource in ["status", "scale"] {
        assert!(
            house.review(&with(create("held"), "subResource", json!(sub_resource))).await.allowed(),
            "{sub_resource}"
        );
    }
    let mut other = create("held");
    other["request"]["requestKind"] = json!({"group": "kubernaut.ai", "version": "v1", "kind": "WorkflowExecution"});
    other["request"]["resource"]["version"] = json!("v1beta1");
    other["request"]["object"]["apiVersion"] = json!("kubernaut.ai/v1beta1");
    assert_eq!(house.review(&other).await.reason(), "IneffectiveChain");
    let foreign = with(create("held"), "resource", json!({"group": "", "version": "v1", "resource": "pods"}));
    let answer = house.review(&foreign).await;
    assert!(answer.allowed() && answer.response()["warnings"][0].as_str().unwrap().contains("pods passed unjudged"));
}

#[tokio::test]
async fn a_29_a_30_a_dry_run_gets_the_same_answer_and_leaves_nothing() {
    let house = house();
    let before = format!(
        "{:?}",
        house.index.health().iter().map(|health| (health.objects, health.last_event)).collect::<Vec<_>>()
    );
    for form in [json!(true), json!(false), json!(null)] {
        assert_eq!(
            house.review(&with(create("held"), "dryRun", form.clone())).await.reason(),
            "IneffectiveChain",
            "{form}"
        );
        assert!(house.review(&with(create("free"), "dryRun", form)).await.allowed());
    }
    let mut without = create("held");
    without["request"].as_object_mut().unwrap().remove("dryRun");
    assert_eq!(house.review(&without).await.reason(), "IneffectiveChain");
    assert_eq!(
        before,
        format!(
            "{:?}",
            house.index.health().iter().map(|health| (health.objects, health.last_event)).collect::<Vec<_>>()
        )
    );
}

#[tokio::test]
async fn a_33_a_34_a_35_what_is_not_read_is_free_and_never_told() {
    let house = house();
    let mut review = create("held");
    review["future"] = json!({"a": [1]});
    review["request"]["alsoFuture"] = json!(7);
    review["request"]["userInfo"] =
        json!({"username": "alice", "extra": {"Token-Like": ["s3cr3t-assertion"]}, "groups": ["g3h31m"]});
    for options in [json!(null), json!({"kind": "UpdateOptions", "fieldManager": "x"}), json!("odd"), json!([])] {
        let answer = house.review(&with(review.clone(), "options", options)).await;
        assert_eq!(answer.reason(), "IneffectiveChain");
        assert!(
            !answer.text.contains("s3cr3t") && !answer.text.contains("g3h31m") && !answer.text.contains("r/restart:1"),
            "{}",
            answer.text
        );
    }
    review["request"]["userInfo"] = Value::Null;
    assert_eq!(house.review(&review).await.reason(), "IneffectiveChain");
}

/// What is parked for the hub is stored there: no annotation moves a target to another cluster.
#[tokio::test]
async fn what_an_annotation_parks_is_spec_as_well() {
    let forged = |cluster: &str| {
        let patch = json!([{"op": "add", "path": "/spec/target/clusterID", "value": cluster}]);
        json!({"home": "v1beta1", "patch": patch}).to_string()
    };
    let annotated = |text: Option<String>| {
        let mut object = candidate("held");
        object["metadata"]["annotations"] = json!({"lockkeeper.kubernaut.ai/legacy": text});
        object
    };
    let house = house();
    for (old, new, allowed) in [
        (annotated(None), annotated(Some(forged("eu"))), false),
        (annotated(Some(forged("eu"))), annotated(Some(forged("us"))), false),
        (annotated(Some(forged("eu"))), annotated(None), false),
        (annotated(Some(forged("eu"))), annotated(Some(forged("eu"))), true),
        (annotated(Some("garbage".to_owned())), annotated(None), true),
        (candidate("held"), annotated(Some("garbage".to_owned())), true),
        (annotated(Some("garbage".to_owned())), candidate("held"), true),
        (candidate("held"), annotated(Some(forged("eu"))), false),
    ] {
        let answer = house.review(&review("UPDATE", new.clone(), old)).await;
        assert_eq!(answer.allowed(), allowed, "{new}");
    }
}

/// What begins is judged by what is seen of it: nothing else of a spec is stored. v1beta1 says openly what v1alpha1 cannot.
#[tokio::test]
async fn what_begins_says_no_more_of_its_spec_than_is_seen() {
    let begun = |version: &str, home: &str, patch: Value| {
        let mut object = candidate("free");
        object["apiVersion"] = json!(format!("kubernaut.ai/{version}"));
        if version == "v1beta1" {
            object["spec"].as_object_mut().unwrap().remove("targetResource");
            object["spec"]["target"] = json!({"namespace": "payments", "kind": "Deployment", "name": "api"});
        }
        object["metadata"]["annotations"] =
            json!({"lockkeeper.kubernaut.ai/legacy": json!({"home": home, "patch": patch}).to_string()});
        object
    };
    let add = |path: &str, value: Value| json!([{"op": "add", "path": path, "value": value}]);
    let listed = |mark: Value| {
        let mut object = begun("v1alpha1", "v1beta1", json!([]));
        if !mark.is_null() {
            object["metadata"].as_object_mut().unwrap().remove("annotations");
        }
        let list = [mark, add("/spec/target/clusterID", json!("eu"))[0].take()];
        let list: Vec<_> = list.into_iter().filter(|item| !item.is_null()).collect();
        object["spec"]["legacy"] = json!({"parked": list});
        object
    };
    let house = house();
    for (object, reason) in [
        (begun("v1alpha1", "v1beta1", add("/spec/target/clusterID", json!("eu"))), "AnnotationReserved"),
        (begun("v1alpha1", "v1beta1", add("/spec/workflowRef/executionEngine", json!("job"))), "AnnotationReserved"),
        (begun("v1alpha1", "v1beta1", add("/spec/deadline", json!("2026-01-05T10:00:00Z"))), "AnnotationReserved"),
        (listed(Value::Null), "AnnotationReserved"),
        (listed(json!({"home": "v1beta1"})), "AnnotationReserved"),
        // What does not hold, is for another version or of another shape is taken back by nobody.
        (begun("v1alpha1", "v1beta1", add("/spec/target/name", json!("other"))), ""),
        (begun("v1alpha1", "v1alpha1", add("/spec/target/clusterID", json!("eu"))), ""),
        (begun("v1alpha1", "v1beta1", add("/status/deduplicatedBy", json!("we"))), "AnnotationReserved"),
        (begun("v1alpha1", "v1beta1", add("/status/execution/retryCount", json!(99))), "AnnotationReserved"),
        (listed(json!({"home": "v1beta1", "shape": "2025-12"})), ""),
        (listed(json!({"home": "v1alpha1"})), ""),
        (begun("v1alpha1", "v1beta1", json!([])), ""),
        // What `lockkeeper convert` makes of a manifest.
        (begun("v1beta1", "v1alpha1", add("/spec/executionConfig", json!({"timeout": "soon"}))), ""),
    ] {
        let answer = house.review(&review("CREATE", object.clone(), Value::Null)).await;
        assert_eq!(if answer.allowed() { "".to_owned() } else { answer.reason().to_owned() }, reason, "{object}");
    }
}

#[tokio::test]
async fn a_cause_names_the_member_of_the_version_that_was_sent() {
    let mut hub = candidate("until");
    hub["apiVersion"] = json!("kubernaut.ai/v1beta1");
    hub["spec"].as_object_mut().unwrap().remove("targetResource");
    hub["spec"]["target"] = json!({"namespace": "payments", "kind": "Deployment", "name": "api"});
    let house = house();
    for (version, object, field) in
        [("v1beta1", hub, "spec.target"), ("v1alpha1", candidate("until"), "spec.targetResource")]
    {
        let mut asked = review("CREATE", object, Value::Null);
        asked["request"]["resource"]["version"] = json!(version);
        let answer = house.review(&asked).await;
        assert_eq!(answer.response()["status"]["details"]["causes"][0]["field"], field, "{}", answer.text);
    }
}

/// Metadata is written by more people than a status is: it must not be a way to one.
#[tokio::test]
async fn an_annotation_says_nothing_of_a_status_that_no_status_write_said() {
    let annotated = |version: &str, home: &str, patch: Value, status: Value| {
        let mut object = candidate("held");
        object["apiVersion"] = json!(format!("kubernaut.ai/{version}"));
        object["metadata"]["annotations"] =
            json!({"lockkeeper.kubernaut.ai/legacy": json!({"home": home, "patch": patch}).to_string()});
        object["status"] = status;
        object
    };
    let add = |path: &str, value: Value| json!([{"op": "add", "path": path, "value": value}]);
    let original = add("/status/deduplicatedBy", json!("we-1"));
    let disowned = add("/status/deduplicatedBy", json!("another"));
    let failed = json!({"phase": "Failed"});
    // v1beta1 has one condition of a type; another one is parked for v1alpha1.
    let twice = |status: &str| add("/status/conditions/1", json!({"type": "A", "status": status}));
    let once = json!({"conditions": [{"type": "A", "status": "True"}]});
    let house = house();
    for (old, new, reason) in [
        (
            annotated("v1alpha1", "v1beta1", json!([]), failed.clone()),
            annotated("v1alpha1", "v1beta1", original.clone(), failed.clone()),
            "AnnotationReserved",
        ),
        (
            annotated("v1alpha1", "v1beta1", original.clone(), failed.clone()),
            annotated("v1alpha1", "v1beta1", json!([]), failed.clone()),
            "AnnotationReserved",
        ),
        (
            annotated("v1alpha1", "v1beta1", original.clone(), failed.clone()),
            annotated("v1alpha1", "v1beta1", disowned, failed.clone()),
            "AnnotationReserved",
        ),
        (
            annotated("v1beta1", "v1alpha1", twice("False"), once.clone()),
            annotated("v1beta1", "v1alpha1", twice("True"), once),
            "AnnotationReserved",
        ),
        (
            annotated("v1alpha1", "v1beta1", original.clone(), failed.clone()),
            annotated("v1alpha1", "v1beta1", original.clone(), failed.clone()),
            "",
        ),
        // What waits for a status to come true with is refused before there is one; what goes is not.
        (
            annotated("v1alpha1", "v1beta1", json!([]), Value::Null),
            annotated("v1alpha1", "v1beta1", original.clone(), Value::Null),
            "AnnotationReserved",
        ),
        (
            annotated("v1alpha1", "v1beta1", original.clone(), Value::Null),
            annotated("v1alpha1", "v1beta1", json!([]), Value::Null),
            "",
        ),
        // A status that is written is the guard's, not the gate's.
        (
            annotated("v1alpha1", "v1beta1", original.clone(), failed),
            annotated("v1alpha1", "v1beta1", original, json!({"phase": "Completed"})),
            "",
        ),
    ] {
        let answer = house.review(&review("UPDATE", new.clone(), old)).await;
        assert_eq!(if answer.allowed() { "".to_owned() } else { answer.reason().to_owned() }, reason, "{new}");
    }
}

#[tokio::test]
async fn a_36_an_update_of_nothing_that_counts_passes() {
    let house = house();
    let old = candidate("nobody");
    for (member, value) in [
        ("finalizers", json!(["a/b"])),
        ("managedFields", json!([{"manager": "x"}])),
        ("deletionTimestamp", json!("2026-01-05T10:00:00Z")),
        ("labels", json!({"a": "b"})),
    ] {
        let mut new = old.clone();
        new["metadata"][member] = value;
        assert!(house.review(&review("UPDATE", new.clone(), old.clone())).await.allowed(), "{member}");
        assert!(house.review(&review("UPDATE", old.clone(), new)).await.allowed(), "{member} removed");
    }
    assert!(house.review(&review("UPDATE", old.clone(), old.clone())).await.allowed());
    // An object that would be malformed today is no reason to refuse its update.
    let stale = json!({"metadata": {"name": "we"}, "spec": {"targetResource": 7}});
    assert!(house.review(&review("UPDATE", stale.clone(), stale)).await.allowed());
}

#[tokio::test]
async fn a_39_the_same_review_gets_the_same_bytes_a_thousand_times() {
    let house = house();
    let mut odd = candidate("");
    odd["spec"]["parameters"] = json!({"b": "1", "a": "2", "c": "3", "d": "4"});
    odd["spec"]["targetResource"] = json!("x");
    let body = review("CREATE", odd, Value::Null).to_string();
    let first = house.post(body.clone()).await.text;
    for _ in 0..1_000 {
        assert_eq!(house.post(body.clone()).await.text, first);
    }
}

#[tokio::test]
async fn l_01_before_the_lists_a_create_waits_and_the_rest_goes_on() {
    let house = unlisted(&Settings::default());
    let not_ready = |answer: &Answer| {
        assert_eq!((answer.code, answer.headers["retry-after"].to_str().unwrap()), (503, "1"));
        assert_eq!(answer.response()["uid"], create("free")["request"]["uid"]);
        assert!(!answer.allowed());
    };
    not_ready(&house.review(&create("free")).await);
    house.index.listed::<RemediationRequest>(&HashSet::new());
    not_ready(&house.review(&create("free")).await);
    assert!(house.review(&review("UPDATE", candidate("x"), candidate("x"))).await.allowed());
    assert!(house.review(&review("DELETE", Value::Null, candidate("x"))).await.allowed());
    house.index.listed::<WorkflowExecution>(&HashSet::new());
    assert_eq!(house.review(&create("free")).await.reason(), "ParentMissing");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// whatever is done to the object, the answer carries the uid, and nothing panics.
    #[test]
    fn a_01_every_answer_to_a_review_carries_its_uid(uid in "[ -~]{1,40}", junk in "\\PC{0,60}", place in 0_usize..5, operation in "CREATE|UPDATE|DELETE|X") {
        let mut review = review(&operation, candidate("held"), candidate("held"));
        review["request"]["uid"] = json!(uid);
        match place {
            0 => review["request"]["object"] = json!(junk),
            1 => review["request"]["object"]["spec"] = json!([junk]),
            2 => review["request"]["object"]["spec"]["parameters"] = json!({junk: 1}),
            3 => review["request"]["object"]["metadata"] = json!({"name": [junk]}),
            _ => review["request"]["oldObject"] = json!({"spec": junk}),
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(house().review(&review));
        prop_assert_eq!(answer.code, 200, "{}", answer.text);
        prop_assert_eq!(&answer.response()["uid"], &json!(uid));
    }

    /// T-12: no bytes at all bring the server down.
    #[test]
    fn t_12_arbitrary_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(house().post(bytes));
        prop_assert_eq!(answer.code, 400);
    }
}
