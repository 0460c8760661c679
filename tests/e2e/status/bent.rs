//! A second mutating webhook, asked before or after ours, that bends what is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::routing::post;
use lockkeeper::tls;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::scene::{self, AMENDER, Tekton, WORDS, clearance, failed, reason_and_flag};
use crate::stage::World;
use crate::support::{ACTION, ADMIN, ALICE, MALLORY, WORKFLOW_CONTROLLER, eventually};

/// Adds these members to every status that it is asked about, in one namespace.
struct Bender {
    calls: Arc<AtomicUsize>,
    _stop: DropGuard,
}

struct Bending {
    calls: Arc<AtomicUsize>,
    patch: Value,
}

/// The name of its configuration decides whether it is asked before ours or after.
const BEFORE: &str = "a-bender";
const AFTER: &str = "z-bender";

impl Bender {
    async fn beside(world: &World<'_>, place: &str, again: &str, path: &str, value: Value) -> Self {
        let folder = world.server.folder().join(format!("bender-{}", world.namespace));
        tls::issue(&folder, &["127.0.0.1".to_owned()]).unwrap();
        let pair = tls::Pair::load(&folder.join("tls.crt"), &folder.join("tls.key")).unwrap();
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/bend", socket.local_addr().unwrap());
        let listener =
            tls::Listener { socket, tls: pair.server_config(tls::TlsVersion::Tls13).unwrap(), connections: 8 };
        let calls = Arc::new(AtomicUsize::new(0));
        let patch = json!([{"op": "add", "path": path, "value": value}]);
        let bending = Arc::new(Bending { calls: calls.clone(), patch });
        let app = axum::Router::new().route("/bend", post(bend).with_state(bending));
        let stop = CancellationToken::new();
        tokio::spawn(tls::serve(listener, app, stop.clone()));

        let bundle = k8s_openapi::ByteString(std::fs::read(folder.join("ca.crt")).unwrap());
        let registration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": format!("{place}-{}", world.namespace)},
            "webhooks": [{
                "name": "bender.example.org", "clientConfig": {"url": url, "caBundle": bundle},
                "rules": [{"apiGroups": ["kubernaut.ai"], "apiVersions": ["v1alpha1"], "operations": ["UPDATE"],
                           "resources": ["workflowexecutions/status"], "scope": "Namespaced"}],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
                "sideEffects": "None", "admissionReviewVersions": ["v1"], "reinvocationPolicy": again,
            }],
        });
        world.server.kubectl(ADMIN, &["apply", "-f", "-"], Some(&registration.to_string())).await.expect_success();
        let bender = Self { calls, _stop: stop.drop_guard() };
        let we = world.we().await;
        eventually("the other webhook is asked", ACTION, || async {
            let asked = we.try_out("we", &json!({})).await;
            if bender.calls.load(Ordering::Relaxed) > 0 { Ok(()) } else { Err(format!("{asked:?}")) }
        })
        .await;
        bender
    }
}

async fn bend(State(bending): State<Arc<Bending>>, body: Bytes) -> ([(header::HeaderName, &'static str); 1], String) {
    bending.calls.fetch_add(1, Ordering::Relaxed);
    let review: Value = serde_json::from_slice(&body).unwrap();
    let mut object = review["request"]["object"].clone();
    let operations: json_patch::Patch = serde_json::from_value(bending.patch.clone()).unwrap();
    // Where there is nothing to bend it lets go.
    let applies = json_patch::patch(&mut object, &operations).is_ok();
    let patch = k8s_openapi::ByteString(bending.patch.to_string().into_bytes());
    let mut response = json!({"uid": review["request"]["uid"], "allowed": true});
    if applies {
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(patch);
    }
    let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    ([(header::CONTENT_TYPE, "application/json")], answer.to_string())
}

/// A world of its own with an execution `we`, whose step was killed.
async fn killed(prefix: &str) -> Option<World<'static>> {
    let stage = scene::shared().await?;
    let world = World::new(&stage.server, prefix).await;
    world.running("we").await;
    Tekton::beside(&stage.server).await.killed(&world, "we").await;
    Some(world)
}

#[tokio::test]
async fn details_that_another_webhook_bends_are_corrected_before_and_after() {
    for place in [BEFORE, AFTER] {
        let Some(world) = killed("bent").await else { return };
        let forged = failed("ConfigurationError", false)["failureDetails"].clone();
        let _bender = Bender::beside(&world, place, "Never", "/status/failureDetails", forged).await;
        let sent = failed("TaskFailed", true);
        let told = world.kubectl_patch(WORKFLOW_CONTROLLER, "we", &sent, &[]).await.expect_success();
        assert!(told.stderr.contains("corrected: ConfigurationError → OOMKilled"), "{place}: {told}");
        assert_eq!(reason_and_flag(&world.status("we").await), ("OOMKilled", true), "{place}");

        // After ours, the API server asked us once more.
        let rounds = eventually("the write is in the audit log", ACTION, || async {
            let events = world.server.audit_events().map_err(|error| error.to_string())?;
            let write = events.into_iter().find(|event| {
                event.namespace == world.namespace
                    && event.user == WORKFLOW_CONTROLLER
                    && event.verb == "patch"
                    && event.code == 200
                    && event.uri.contains("kubectl-patch")
            });
            let annotations = write.ok_or_else(|| "not yet".to_owned())?.annotations;
            let ours = annotations.into_iter().filter(|(key, told)| {
                key.starts_with("mutation.webhook.admission.k8s.io/")
                    && told.contains(AMENDER)
                    && told.contains("\"mutated\":true")
            });
            Ok::<_, String>(ours.count())
        })
        .await;
        assert_eq!(rounds, if place == BEFORE { 1 } else { 2 }, "{place}");
    }
}

#[tokio::test]
async fn a_name_that_another_webhook_puts_on_a_clearance_is_replaced() {
    for place in [BEFORE, AFTER] {
        let Some(stage) = scene::shared().await else { return };
        let world = World::new(&stage.server, "renamed").await;
        world.failed("we").await;
        let _bender = Bender::beside(&world, place, "Never", "/status/blockClearance/clearedBy", json!(MALLORY)).await;
        let asked = json!({"blockClearance": clearance(WORDS)});
        let stored = world.writer(ALICE).await.write("we", &asked).await.unwrap();
        assert_eq!(stored["blockClearance"]["clearedBy"], ALICE, "{place}");
    }
}

#[tokio::test]
async fn what_bends_a_clearance_after_our_last_word_is_refused_by_the_guard() {
    let Some(stage) = scene::shared().await else { return };
    let world = World::new(&stage.server, "last").await;
    world.failed("we").await;
    // It is asked again after we were: whatever we sign, it has the last word.
    let _bender = Bender::beside(&world, AFTER, "IfNeeded", "/status/blockClearance/clearedBy", json!(MALLORY)).await;
    let told = world.writer(ALICE).await.write("we", &json!({"blockClearance": clearance(WORDS)})).await.unwrap_err();
    assert_eq!((&*told.reason, &*told.field), ("ClearanceInvalid", "status.blockClearance.clearedBy"), "{told:?}");
    assert!(world.status("we").await["blockClearance"].is_null());
}

#[tokio::test]
async fn what_takes_a_ran_back_after_our_last_word_is_refused_by_the_guard() {
    let Some(world) = killed("taken").await else { return };
    let forged = failed("ConfigurationError", false)["failureDetails"].clone();
    let _bender = Bender::beside(&world, AFTER, "IfNeeded", "/status/failureDetails", forged).await;
    let told = world.we().await.write("we", &failed("TaskFailed", true)).await.unwrap_err();
    let expected = ("FailureImmutable", "status.failureDetails.wasExecutionFailure");
    assert_eq!((&*told.reason, &*told.field), expected, "{told:?}");
    assert_eq!(world.status("we").await["phase"], "Running");
}

#[tokio::test]
async fn a_clearance_slipped_into_another_write_is_refused() {
    let Some(stage) = scene::shared().await else { return };
    let world = World::new(&stage.server, "slipped").await;
    world.running("we").await;
    let mut forged = clearance(WORDS);
    forged["clearedBy"] = json!(ALICE);
    // A write of progress does not concern our first webhook, and so it is not asked again either.
    let _bender = Bender::beside(&world, AFTER, "Never", "/status/blockClearance", forged).await;
    let told = world.we().await.write("we", &json!({"observedGeneration": 1})).await.unwrap_err();
    assert_eq!((&*told.reason, &*told.field), ("ClearanceInvalid", "status.blockClearance"), "{told:?}");
    // With a failure it does, and a clearance does not come with the failure that it lifts.
    let told = world.we().await.write("we", &failed("TaskFailed", true)).await.unwrap_err();
    assert_eq!((&*told.reason, &*told.field), ("ClearanceInvalid", "status.blockClearance"), "{told:?}");
}
