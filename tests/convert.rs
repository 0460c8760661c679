//! The API server's contract for `/convert`, check by check (the IDs are those of the design's reference), on the router without a
//! socket. What only an API server can tell is in `tests/e2e`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use lockkeeper::config::{Limits, Settings};
use lockkeeper::convert::LEGACY;
use lockkeeper::telemetry::Telemetry;
use lockkeeper::webhook::{Gate, router};
use serde_json::{Value, json};
use tower::ServiceExt;

const UID: &str = "705ab4f5-6393-11e8-b7cc-42010a800002";
const V1ALPHA1: &str = "kubernaut.ai/v1alpha1";
const V1BETA1: &str = "kubernaut.ai/v1beta1";

/// C-19: none of these houses has ever listed anything.
struct House {
    telemetry: Arc<Telemetry>,
    app: Router,
}

fn house() -> House {
    house_with(&Settings::default().limits)
}

fn house_with(limits: &Limits) -> House {
    let telemetry = Arc::new(Telemetry::default());
    let gate =
        Gate { index: Arc::default(), policy: Arc::default(), rules: Arc::default(), telemetry: telemetry.clone() };
    House { telemetry, app: router(&Arc::new(gate), limits) }
}

struct Answer {
    code: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn objects(&self) -> Vec<Value> {
        self.body()["response"]["convertedObjects"].as_array().unwrap().clone()
    }

    /// The message of a failed result, after what every one of them has (C-01, C-02, C-03).
    fn failed(&self) -> String {
        let body = self.body();
        assert_eq!(
            (self.code, &body["kind"], &body["response"]["uid"]),
            (200, &json!("ConversionReview"), &json!(UID))
        );
        assert_eq!(body["response"]["result"]["status"], "Failed", "{body}");
        assert_eq!(body["response"]["convertedObjects"], json!([]));
        let message = body["response"]["result"]["message"].as_str().unwrap().to_owned();
        assert_eq!(message.lines().count(), 1, "{message}");
        message
    }
}

impl House {
    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 256 << 20).await.unwrap();
        Answer { code: parts.status.as_u16(), headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn post(&self, body: impl Into<Body>) -> Answer {
        self.send(Request::post("/convert").header("content-type", "application/json").body(body.into()).unwrap()).await
    }

    /// C-01 to C-07 of every answer that is a success.
    async fn convert(&self, to: &str, objects: &[Value]) -> Vec<Value> {
        let answer = self.post(review(to, objects)).await;
        let body = answer.body();
        assert_eq!(answer.code, 200, "{body}");
        assert_eq!(answer.headers["content-length"], answer.text.len().to_string());
        assert_eq!(body["apiVersion"], "apiextensions.k8s.io/v1");
        assert_eq!(body["kind"], "ConversionReview");
        assert_eq!(body["response"]["uid"], UID);
        assert_eq!(body["response"]["result"], json!({"status": "Success"}));
        let converted = answer.objects();
        assert_eq!(converted.len(), objects.len());
        for (before, after) in objects.iter().zip(&converted) {
            assert_eq!((&after["apiVersion"], &after["kind"]), (&json!(to), &before["kind"]));
            let stays = before["apiVersion"] == to || before["metadata"]["annotations"][LEGACY].is_string();
            assert!(stays || after["metadata"].is_object(), "{after}");
            for (name, value) in before["metadata"].as_object().into_iter().flatten() {
                assert!(name == "annotations" || after["metadata"][name] == *value, "metadata.{name}: {after}");
            }
            for (name, value) in after["metadata"]["annotations"].as_object().into_iter().flatten() {
                assert!(value.is_string(), "{name}");
                assert!(name == LEGACY || before["metadata"]["annotations"][name] == *value, "{name}");
            }
        }
        converted
    }
}

fn review(to: &str, objects: &[Value]) -> String {
    let objects: Vec<_> = objects.iter().map(Value::to_string).collect();
    review_of(to, &objects.join(","))
}

fn review_of(to: &str, objects: &str) -> String {
    format!(
        r#"{{"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","request":{{"uid":"{UID}","desiredAPIVersion":"{to}","objects":[{objects}]}}}}"#
    )
}

fn december(name: &str) -> Value {
    json!({"apiVersion": V1ALPHA1, "kind": "WorkflowExecution",
        "metadata": {"name": name, "namespace": "payments", "uid": format!("u-{name}"), "creationTimestamp": "2026-01-05T10:00:00Z",
            "labels": {"a": "b"}, "annotations": {"c": "d"}, "generation": 3, "finalizers": ["f"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "x"}],
            "managedFields": [{"manager": "m", "apiVersion": V1ALPHA1, "fieldsV1": {"f:spec": {"f:targetResource": {}}}}]},
        "spec": {"remediationRequestRef": {"name": "rr"}, "targetResource": "payments/Deployment/api",
            "workflowRef": {"workflowId": "restart", "containerImage": "r/i"}, "executionConfig": {"timeout": "30m"}},
        "status": {"phase": "Failed", "pipelineRunRef": {"name": "wfe-1"}, "failureDetails": {"reason": "TaskFailed", "message": "m"}}})
}

fn hub(name: &str) -> Value {
    json!({"apiVersion": V1BETA1, "kind": "WorkflowExecution", "metadata": {"name": name, "namespace": "payments", "uid": format!("u-{name}")},
        "spec": {"target": {"namespace": "payments", "kind": "Deployment", "name": "api"}, "deadline": "2026-01-05T10:30:00Z",
            "workflowRef": {"workflowId": "restart", "executionBundle": "r/i", "workflowName": "w", "actionType": "a"}},
        "status": {"phase": "Running", "execution": {"ref": {"name": "wfe-1"}}}})
}

fn request(name: &str, version: &str) -> Value {
    json!({"apiVersion": version, "kind": "RemediationRequest", "metadata": {"name": name, "namespace": "payments", "uid": format!("u-{name}")},
        "spec": {"signalFingerprint": "f", "severity": "critical"}, "status": {"overallPhase": "Analyzing"}})
}

#[tokio::test]
async fn c_01_c_02_the_envelope_is_echoed() {
    for version in ["apiextensions.k8s.io/v1", "apiextensions.k8s.io/v1beta1"] {
        for to in [V1BETA1, "nope"] {
            let body = review(to, &[december("a")]).replace("apiextensions.k8s.io/v1", version);
            let body = house().post(body).await.body();
            assert_eq!(body["apiVersion"], version);
            assert_eq!((&body["kind"], &body["response"]["uid"]), (&json!("ConversionReview"), &json!(UID)));
        }
    }
    let hostile = r#"{"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","request":{"uid":"\"\u0001\ud83d\ude00","desiredAPIVersion":"kubernaut.ai/v1beta1"}}"#;
    let answer = house().post(hostile).await.body();
    assert_eq!(
        answer["response"],
        json!({"uid": "\"\u{1}\u{1F600}", "convertedObjects": [], "result": {"status": "Success"}})
    );
}

#[tokio::test]
async fn c_03_a_failure_is_http_200_with_a_message() {
    let objects = [
        december("a"),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}}),
    ];
    let message = house().post(review(V1BETA1, &objects)).await.failed();
    let expected =
        "objects[1] (Deployment n/d): apiVersion \"apps/v1\" is none of kubernaut.ai/v1alpha1, kubernaut.ai/v1beta1";
    assert_eq!(message, expected);
    for (object, expected) in [
        (json!(7), "objects[0] (an object without a name): expected a JSON object"),
        (
            json!({}),
            "objects[0] (an object without a name): apiVersion is missing or no string, expected kubernaut.ai/v1alpha1 or kubernaut.ai/v1beta1",
        ),
        (
            json!({"apiVersion": V1ALPHA1, "metadata": {"name": "x\ny"}}),
            "objects[0] (an object x y): kind is missing or no string, expected RemediationRequest or WorkflowExecution",
        ),
        (
            json!({"apiVersion": V1ALPHA1, "kind": "AIAnalysis"}),
            "objects[0] (AIAnalysis without a name): kind \"AIAnalysis\" is none of RemediationRequest, WorkflowExecution",
        ),
        (
            json!({"apiVersion": "kubernaut.ai/v1", "kind": "WorkflowExecution"}),
            "objects[0] (WorkflowExecution without a name): apiVersion \"kubernaut.ai/v1\" is none of kubernaut.ai/v1alpha1, kubernaut.ai/v1beta1",
        ),
    ] {
        assert_eq!(house().post(review(V1BETA1, &[object])).await.failed(), expected);
    }
}

#[tokio::test]
async fn c_04_c_08_the_same_order_and_length_whatever_the_sources() {
    let (house, mut objects) = (house(), Vec::new());
    for i in 0..40 {
        let name = format!("o-{}", i * 7 % 40);
        objects.push([december(&name), hub(&name), request(&name, V1ALPHA1), request(&name, V1BETA1)][i % 4].clone());
    }
    objects.push(objects[3].clone());
    objects.push(objects[3].clone());
    for to in [V1ALPHA1, V1BETA1] {
        let converted = house.convert(to, &objects).await;
        let names =
            |objects: &[Value]| objects.iter().map(|object| object["metadata"]["name"].clone()).collect::<Vec<_>>();
        assert_eq!(names(&converted), names(&objects));
        let twice = if objects[40] == objects[41] { [40, 41] } else { [0, 1] };
        assert_eq!(converted[twice[0]], converted[twice[1]]);
        objects.reverse();
    }
    assert_eq!(house.convert(V1BETA1, &[]).await, Vec::<Value>::new());
}

#[tokio::test]
async fn c_05_c_06_c_07_c_16_metadata_and_managed_fields_stay_and_the_status_converts() {
    let there = house().convert(V1BETA1, &[december("a")]).await.remove(0);
    assert_eq!(there["metadata"]["managedFields"], december("a")["metadata"]["managedFields"]);
    assert_eq!(there["status"]["execution"]["ref"], json!({"name": "wfe-1"}));
    assert_eq!(there["status"]["failure"]["reason"], "TaskFailed");
    assert!(there["status"].get("pipelineRunRef").is_none());
    let home = house().convert(V1ALPHA1, &[there]).await.remove(0);
    assert_eq!(home, december("a"));
}

#[tokio::test]
async fn c_10_partial_objects_convert() {
    for kind in ["WorkflowExecution", "RemediationRequest"] {
        for (from, to) in [(V1ALPHA1, V1BETA1), (V1BETA1, V1ALPHA1)] {
            for partial in [
                json!({"apiVersion": from, "kind": kind}),
                json!({"apiVersion": from, "kind": kind, "metadata": null}),
                json!({"apiVersion": from, "kind": kind, "metadata": {}}),
                json!({"apiVersion": from, "kind": kind, "metadata": {"managedFields": [{"manager": "m"}]}}),
                json!({"apiVersion": from, "kind": kind, "metadata": {"name": "n"}, "spec": null, "status": null}),
                json!({"apiVersion": from, "kind": kind, "metadata": {"name": "n"}, "spec": {}, "status": {}}),
                json!({"apiVersion": from, "kind": kind, "metadata": {"name": "n"}, "spec": [], "status": "s"}),
            ] {
                let house = house();
                let there = house.convert(to, std::slice::from_ref(&partial)).await;
                assert_eq!(house.convert(from, &there).await, [partial]);
            }
        }
    }
}

#[tokio::test]
async fn c_11_every_pair_of_versions_the_same_one_too() {
    let house = house();
    for object in [december("a"), hub("a"), request("r", V1ALPHA1), request("r", V1BETA1)] {
        for to in [V1ALPHA1, V1BETA1] {
            let converted = house.convert(to, std::slice::from_ref(&object)).await.remove(0);
            assert_eq!(object["apiVersion"] == to, converted == object, "{object}");
        }
    }
}

#[tokio::test]
async fn c_13_the_same_bytes_give_the_same_bytes() {
    let body = review(V1BETA1, &[december("a"), request("r", V1ALPHA1)]);
    let first = house().post(body.clone()).await.text;
    for _ in 0..3 {
        assert_eq!(house().post(body.clone()).await.text, first);
    }
}

#[tokio::test]
async fn c_15_null_absent_and_empty_stay_apart() {
    let house = house();
    for value in [None, Some(json!(null)), Some(json!({})), Some(json!([])), Some(json!(""))] {
        for (path, from, to) in [
            ("/spec/workflowRef/declaredParameterNames", V1BETA1, V1ALPHA1),
            ("/spec/executionConfig", V1ALPHA1, V1BETA1),
            ("/status/conditions", V1ALPHA1, V1BETA1),
            ("/status/odd", V1ALPHA1, V1BETA1),
        ] {
            let mut object = if from == V1ALPHA1 { december("a") } else { hub("a") };
            let (parent, last) = path.rsplit_once('/').unwrap();
            let members = object.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            members.remove(last);
            members.extend(value.clone().map(|value| (last.to_owned(), value)));
            let there = house.convert(to, std::slice::from_ref(&object)).await;
            assert_eq!(house.convert(from, &there).await, [object], "{path}");
        }
    }
}

#[tokio::test]
async fn c_19_nothing_else_needs_to_work() {
    let house = house();
    assert_eq!(house.convert(V1BETA1, &[december("a")]).await.len(), 1);
    let creation = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"CREATE","object":{}}}"#;
    let asked = Request::post("/validate/workflowexecutions").header("content-type", "application/json");
    assert_eq!(house.send(asked.body(creation.into()).unwrap()).await.code, 503, "the gate is not ready all the while");
}

#[tokio::test]
async fn c_21_an_unknown_desired_version_is_named() {
    for (to, named) in [
        ("", "desiredAPIVersion \"\" is none of"),
        ("v1beta1", "desiredAPIVersion \"v1beta1\" is none of kubernaut.ai/v1alpha1, kubernaut.ai/v1beta1"),
        ("kubernaut.ai/v2", "desiredAPIVersion \"kubernaut.ai/v2\" is none of"),
        ("apps/v1beta1", "desiredAPIVersion \"apps/v1beta1\" is none of"),
    ] {
        let message = house().post(review(to, &[december("a")])).await.failed();
        assert!(message.starts_with(named), "{message}");
    }
    let without = format!(
        r#"{{"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","request":{{"uid":"{UID}","objects":[]}}}}"#
    );
    assert!(house().post(without).await.failed().starts_with("desiredAPIVersion \"\""));
}

#[tokio::test]
async fn what_is_no_conversion_review_is_400_in_one_line() {
    let envelope =
        |rest: &str| format!(r#"{{"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1"{rest}}}"#);
    for (body, said) in [
        (String::new(), "the body is empty"),
        ("{".into(), "EOF while parsing"),
        ("[]".into(), "expected"),
        (
            r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}"#.into(),
            "kind is AdmissionReview, expected ConversionReview",
        ),
        (r#"{"kind":"ConversionReview"}"#.into(), "apiVersion is missing"),
        (
            r#"{"kind":"ConversionReview","apiVersion":"v2"}"#.into(),
            "apiVersion is v2, expected apiextensions.k8s.io/v1",
        ),
        (envelope(""), "request is missing"),
        (envelope(r#","request":{"objects":[]}"#), "request.uid is missing"),
        (envelope(r#","request":{"uid":"a","uid":"a"}"#), "duplicate field `uid`"),
        (envelope(r#","request":{"uid":"a","objects":{}}"#), "request.objects is no list, expected a list of objects"),
        (envelope(r#","request":{"uid":"a","objects":[{]}"#), "request.objects"),
        (envelope(r#","request":{"uid":"a","objects":[NaN]}"#), "request.objects"),
    ] {
        let answer = house().post(body.clone()).await;
        assert_eq!(answer.code, 400, "{body}: {}", answer.text);
        assert!(
            answer.text.starts_with("not a ConversionReview: ") && answer.text.contains(said),
            "{body}: {}",
            answer.text
        );
        assert_eq!(answer.text.lines().count(), 1);
    }
    assert_eq!(house().post(&b"{\"kind\":\"\xff\"}"[..]).await.code, 400);
}

#[tokio::test]
async fn other_methods_types_and_sizes() {
    let limits = Limits { conversion_body_bytes: 2048, ..Settings::default().limits };
    let house = house_with(&limits);
    let asked =
        |method: &str, kind: &str| Request::builder().method(method).uri("/convert").header("content-type", kind);
    let answer = house.send(asked("GET", "application/json").body(Body::empty()).unwrap()).await;
    assert_eq!((answer.code, &answer.headers["allow"]), (405, &"POST".parse().unwrap()));
    assert_eq!(house.send(asked("POST", "text/plain").body("{}".into()).unwrap()).await.code, 415);
    let encoded = asked("POST", "application/json").header("content-encoding", "gzip");
    assert_eq!(house.send(encoded.body("{}".into()).unwrap()).await.code, 415);
    let large = review(V1BETA1, &vec![december("a"); 9]);
    let answer = house.post(large).await;
    assert_eq!((answer.code, &answer.headers["connection"]), (413, &"close".parse().unwrap()));
    assert!(answer.text.contains("2048 bytes (limits.conversionBodyBytes)"), "{}", answer.text);
    let told = house.telemetry.scrape(&[], &[]);
    for why in ["not_json", "encoded", "too_large"] {
        assert!(told.contains(&format!("lockkeeper_conversion_faults_total{{why=\"{why}\"}} 1")), "{told}");
    }
}

/// L-09: a conversion that never ends takes nothing from the gate, and the other way round.
#[tokio::test]
async fn neither_takes_the_room_of_the_other() {
    let settings = Settings::default().limits;
    let limits = Limits { conversion_in_flight_bytes: settings.conversion_body_bytes, connections: 4, ..settings };
    let house = house_with(&limits);
    let hanging = |path: &str, length: usize| {
        let body = Body::from_stream(futures::stream::pending::<Result<axum::body::Bytes, std::convert::Infallible>>());
        let asked = Request::post(path).header("content-type", "application/json").header("content-length", length);
        tokio::spawn(house.app.clone().oneshot(asked.body(body).unwrap()))
    };
    let asked = |path: &str, body: String| {
        Request::post(path).header("content-type", "application/json").body(body.into()).unwrap()
    };
    let deletion =
        r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"DELETE"}}"#;
    let full = hanging("/convert", limits.conversion_in_flight_bytes);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(house.send(asked("/validate/workflowexecutions", deletion.into())).await.code, 200);
    // It waits for room and is shed in time; one more finds no place at all.
    let waits = house.send(asked("/convert?timeout=200ms", review(V1BETA1, &[]))).await;
    assert_eq!((waits.code, &waits.headers["retry-after"]), (503, &"1".parse().unwrap()));
    assert!(waits.text.contains("limits.conversionInFlightBytes"), "{}", waits.text);
    let second = hanging("/convert", 1);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let third = house.send(asked("/convert", review(V1BETA1, &[]))).await;
    assert!(third.code == 503 && third.text.contains("limits.connections"), "{}", third.text);
    full.abort();
    second.abort();
    let _ = (full.await, second.await);
    let full = hanging("/validate/workflowexecutions", limits.admission_body_bytes);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(house.convert(V1BETA1, &[december("a")]).await.len(), 1);
    full.abort();
}

#[tokio::test]
async fn depth_and_numbers_stay_as_they_are_written() {
    let deep = "[".repeat(9_999) + &"]".repeat(9_999);
    let odd = format!(
        r#"{{"apiVersion":"{V1ALPHA1}","kind":"WorkflowExecution","metadata":{{"name":"n"}},"spec":{{"parameters":{{"deep":{deep}}},
            "odd":[9007199254740993,123456789012345678901234567890,1.0,1.10,1e400,-0,1E+2]}},"status":{{"x":{deep}}}}}"#
    );
    let house = house();
    let raw = |answer: &Answer| {
        assert_eq!(answer.code, 200);
        let (_, objects) = answer.text.split_once("\"convertedObjects\":[").unwrap();
        objects.rsplit_once("],\"result\":{\"status\":\"Success\"}").unwrap().0.to_owned()
    };
    let there = raw(&house.post(review_of(V1BETA1, &odd)).await);
    assert!(there.contains("[9007199254740993,123456789012345678901234567890,1.0,1.10,1e400,-0,1E+2]"));
    assert_eq!(there.matches(&deep).count(), 2);
    let home = raw(&house.post(review_of(V1ALPHA1, &there)).await);
    assert!(lockkeeper::convert::same(&home, &odd), "{} {}", home.len(), odd.len());
}

/// C-09: what is hostile is one object, and it is parked.
#[tokio::test]
async fn one_hostile_object_among_a_thousand_is_parked() {
    let mut objects: Vec<_> = (0..1000).map(|i| december(&format!("o-{i}"))).collect();
    objects[500] = json!({"apiVersion": V1ALPHA1, "kind": "WorkflowExecution",
        "metadata": {"name": "h", "annotations": {LEGACY: "{\"home\":\"v1beta1\",\"patch\":[{\"op\":\"add\",\"path\":\"/spec\",\"value\":7}]}"}},
        "spec": {"targetResource": [1], "workflowRef": "x", "executionConfig": null, "target": {"kind": 1}},
        "status": {"phase": {}, "conditions": {"a": 1}, "failureDetails": [], "failure": 3, "execution": "e"}});
    let house = house();
    let there = house.convert(V1BETA1, &objects).await;
    assert!(there[500]["metadata"]["annotations"][LEGACY].is_string());
    let mut home = house.convert(V1ALPHA1, &there).await;
    // What it claimed about the other version did not hold, and is dropped.
    objects[500]["metadata"].as_object_mut().unwrap().remove("annotations");
    home[500]["metadata"].as_object_mut().unwrap().remove("annotations");
    assert_eq!(home, objects);
    let told = house.telemetry.scrape(&[], &[]);
    assert!(
        told.contains("lockkeeper_conversion_objects_total{from=\"v1alpha1\",to=\"v1beta1\",result=\"parked\"}"),
        "{told}"
    );
    assert!(told.contains("lockkeeper_conversion_duration_seconds_count 2"), "{told}");
}

/// C-17, C-18: what it takes in time and memory is measured in `benches/convert.rs`.
#[tokio::test]
async fn five_thousand_objects_of_ten_kilobytes() {
    let objects: Vec<_> = (0..5000)
        .map(|i| {
            let mut object = december(&format!("o-{i}"));
            object["spec"]["parameters"] = json!({"SCRIPT": "x".repeat(9_000)});
            object
        })
        .collect();
    let house = house();
    let there = house.convert(V1BETA1, &objects).await;
    assert_eq!(there[4999]["spec"]["target"], json!({"namespace": "payments", "kind": "Deployment", "name": "api"}));
    assert_eq!(house.convert(V1ALPHA1, &there).await, objects);
}

/// What can be written by whoever may annotate an object must not cost the process its stack, or a list its time.
#[tokio::test]
async fn a_forged_annotation_costs_no_stack() {
    let nest = |leaf: &str| format!("{}{leaf}{}", r#"{"a":"#.repeat(9_000), "}".repeat(9_000));
    let path = "/a".repeat(9_000);
    let many: Vec<_> =
        (0..4_000).map(|i| json!({"op": "add", "path": format!("/spec/target/x{i}"), "value": {"kind": i}})).collect();
    let patches = [
        format!(r#"[{{"op":"add","path":"/spec/parameters","value":{}}}]"#, nest("1")),
        format!(
            r#"[{{"op":"add","path":"/spec/parameters{path}","value":1}},{{"op":"remove","path":"/spec/parameters{path}"}}]"#
        ),
        json!(many).to_string(),
        json!(
            (0..4_000)
                .map(|i| json!({"op": "add", "path": "/spec/targetResource", "value": format!("a/B/{i}")}))
                .collect::<Vec<_>>()
        )
        .to_string(),
    ];
    for patch in patches {
        let annotation = Value::from(format!(r#"{{"home":"v1alpha1","patch":{patch}}}"#));
        let object = format!(
            r#"{{"apiVersion":"{V1BETA1}","kind":"WorkflowExecution","metadata":{{"name":"n","annotations":{{"{LEGACY}":{annotation}}}}},
                "spec":{{"target":{{"kind":"K","name":"n"}},"parameters":{}}}}}"#,
            nest("2")
        );
        let answer = house().post(review_of(V1ALPHA1, &object)).await;
        assert_eq!(answer.code, 200);
        assert!(answer.text.contains("\"targetResource\":\"K/n\""), "{}", &answer.text[..200]);
    }
}

/// What they cost is counted by `four_times_the_object_is_four_times_the_work`.
#[tokio::test]
async fn many_members_and_conditions_come_home() {
    let members: String = (0..60_000).map(|i| format!("\"m{i}\":{i},")).collect::<String>() + "\"z\":0";
    let conditions = vec![r#"{"type":"A"}"#; 20_000].join(",");
    let object = format!(
        r#"{{"apiVersion":"{V1ALPHA1}","kind":"WorkflowExecution","metadata":{{"name":"n"}},"spec":{{"targetResource":"K/n",{members}}},
            "status":{{"conditions":[{conditions}],"pipelineRunStatus":{{{members}}}}}}}"#
    );
    let there = house().post(review_of(V1BETA1, &object)).await;
    let there = there.objects();
    let home = house().convert(V1ALPHA1, &there).await.remove(0);
    assert!(home == serde_json::from_str::<Value>(&object).unwrap(), "it does not come home");
}
