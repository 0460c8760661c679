//! The forgery table: who writes what over what, and what becomes of it.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::scene::{self, GUARD, WORDS, clearance, failed, reason_and_flag, running};
use crate::stage::{World, completed, in_seconds};
use crate::support::{ADMIN, ALICE, BOB, MALLORY, WORKFLOW_CONTROLLER};

async fn world(prefix: &str) -> Option<World<'static>> {
    let stage = scene::shared().await?;
    Some(World::new(&stage.server, prefix).await)
}

fn refusal(reason: &str, member: &str) -> (String, String) {
    (reason.to_owned(), format!("status.{member}"))
}

fn with(mut value: Value, member: &str, new: Value) -> Value {
    value[member] = new;
    value
}

#[tokio::test]
async fn a_clearance_carries_the_name_of_its_writer_whatever_was_sent() {
    let Some(world) = world("signed").await else { return };
    let forged = with(clearance(WORDS), "clearedBy", json!("alice"));
    for (name, user, sent) in [
        ("nameless", ALICE, clearance(WORDS)),
        ("borrowed", MALLORY, forged.clone()),
        ("dated", BOB, with(forged.clone(), "clearedAt", json!("2020-01-01T00:00:00Z"))),
        ("mastered", ADMIN, forged),
    ] {
        world.failed(name).await;
        let before = Timestamp::now().as_second();
        world.writer(user).await.write(name, &json!({"blockClearance": sent})).await.unwrap();
        let stored = world.status(name).await["blockClearance"].clone();
        assert_eq!((&stored["clearedBy"], &stored["clearReason"]), (&json!(user), &json!(WORDS)), "{name}");
        let at = stored["clearedAt"].as_str().unwrap().parse::<Timestamp>().unwrap().as_second();
        assert!((before..=Timestamp::now().as_second()).contains(&at), "{stored}");
    }
}

#[tokio::test]
async fn a_signed_clearance_is_neither_edited_nor_removed_nor_moved() {
    let Some(world) = world("frozen").await else { return };
    world.failed("we").await;
    world.writer(ALICE).await.write("we", &json!({"blockClearance": clearance(WORDS)})).await.unwrap();
    let signed = world.status("we").await;

    let frozen = refusal("ClearanceFrozen", "blockClearance");
    for user in [ALICE, MALLORY, ADMIN, WORKFLOW_CONTROLLER] {
        let writer = world.writer(user).await;
        for edit in [
            json!({"clearReason": "short"}),
            json!({"clearReason": format!("{WORDS} and more")}),
            json!({"clearedBy": user, "clearedAt": in_seconds(60)}),
            json!({"clearedAt": "2020-01-01T00:00:00Z"}),
            json!({"clearMethod": "APIEndpoint"}),
            json!(null),
        ] {
            assert_eq!(writer.refused("we", &json!({"blockClearance": edit})).await, frozen, "{user}: {edit}");
        }
        for operation in [
            json!({"op": "remove", "path": "/status/blockClearance"}),
            json!({"op": "move", "from": "/status/blockClearance", "path": "/status/cleared"}),
            json!({"op": "replace", "path": "/status/blockClearance/clearedBy", "value": "somebody"}),
        ] {
            let told = writer.operate("we", &json!([operation])).await.expect_err("refused");
            assert_eq!((told.reason, told.field), frozen, "{user}: {operation}");
        }
        let told = writer.put("we", |status| drop(status.as_object_mut().unwrap().remove("blockClearance"))).await;
        assert_eq!(told.unwrap_err().reason, "ClearanceFrozen", "{user}");
    }
    // Whoever carries it along may write.
    let told = world.we().await.put("we", |status| status["observedGeneration"] = json!(1)).await.unwrap();
    assert_eq!(told["blockClearance"], signed["blockClearance"]);

    // Copied to another execution, it carries the copier's name.
    world.failed("other").await;
    let copied = json!({"blockClearance": signed["blockClearance"]});
    let stored = world.writer(MALLORY).await.write("other", &copied).await.unwrap();
    assert_eq!(stored["blockClearance"]["clearedBy"], MALLORY);
}

#[tokio::test]
async fn server_side_apply_and_impersonation_are_signed_alike() {
    let Some(world) = world("applied").await else { return };
    world.failed("applied").await;
    let alice = world.writer(ALICE).await;
    // Applied twice, as a pipeline does, it is signed once.
    let ask = json!({"blockClearance": clearance(WORDS)});
    let signed = alice.apply("applied", ask.clone()).await.unwrap()["blockClearance"].clone();
    assert_eq!(signed["clearedBy"], ALICE);
    assert_eq!(alice.apply("applied", ask).await.unwrap()["blockClearance"], signed);
    // Applied without it, what is the applier's own would go.
    let told = alice.apply("applied", json!({"phase": "Failed"})).await.unwrap_err();
    assert_eq!((told.reason, told.field), refusal("ClearanceFrozen", "blockClearance"));

    world.failed("impersonated").await;
    let ask = json!({"blockClearance": with(clearance(WORDS), "clearedBy", json!(MALLORY))});
    world.kubectl_patch(ADMIN, "impersonated", &ask, &["--as", BOB]).await.expect_success();
    assert_eq!(world.status("impersonated").await["blockClearance"]["clearedBy"], BOB);
}

#[tokio::test]
async fn only_a_failure_that_holds_can_be_cleared() {
    let Some(world) = world("holds").await else { return };
    let alice = world.writer(ALICE).await;
    let ask = json!({"blockClearance": with(clearance(WORDS), "clearedBy", json!(ALICE))});
    let invalid = refusal("ClearanceInvalid", "blockClearance");

    world.pending("pending").await;
    assert_eq!(alice.refused("pending", &ask).await, invalid, "nothing was said yet");
    world.we().await.write("pending", &json!({"phase": "Pending"})).await.unwrap();
    assert_eq!(alice.refused("pending", &ask).await, invalid);
    world.running("running").await;
    assert_eq!(alice.refused("running", &ask).await, invalid);
    world.running("completed").await;
    world.we().await.write("completed", &completed(&in_seconds(0))).await.unwrap();
    assert_eq!(alice.refused("completed", &ask).await, invalid);
    // One that ended before it had a run, and says nothing of how.
    world.pending("wordless").await;
    world.we().await.write("wordless", &json!({"phase": "Failed"})).await.unwrap();
    assert_eq!(alice.refused("wordless", &ask).await, invalid);
}

#[tokio::test]
async fn a_clearance_is_a_persons_word_and_ten_of_them() {
    let Some(world) = world("words").await else { return };
    world.failed("we").await;
    let ask = |words: &str| json!({"blockClearance": clearance(words)});
    let nine = "one two three four five six seven eight nine";
    let alice = world.writer(ALICE).await;
    assert_eq!(alice.refused("we", &ask(nine)).await, refusal("ClearanceInvalid", "blockClearance.clearReason"));
    let endless = "word ".repeat(300);
    assert_eq!(alice.refused("we", &ask(&endless)).await, refusal("ClearanceInvalid", "blockClearance.clearReason"));

    let forbidden = refusal("ClearanceForbidden", "blockClearance");
    assert_eq!(world.we().await.refused("we", &ask(WORDS)).await, forbidden);
    // An account with a token of its own, in somebody else's name.
    let server = world.server;
    server.create_service_account(&world.namespace, "healer").await.unwrap();
    let token = server.service_account_token(&world.namespace, "healer").await.unwrap();
    let account = format!("system:serviceaccount:{}:healer", world.namespace);
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "healer", "namespace": world.namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "status-writer"},
        "subjects": [{"kind": "ServiceAccount", "name": "healer", "namespace": world.namespace}],
    });
    server.kubectl(ADMIN, &["apply", "-f", "-"], Some(&binding.to_string())).await.expect_success();
    let healer = world.writer_with(&server.kubeconfig_for_token(&token, "default").unwrap()).await;
    let borrowed = json!({"blockClearance": with(clearance(WORDS), "clearedBy", json!(ALICE))});
    let told = crate::support::eventually("the account may write", crate::support::ACTION, || async {
        let told = healer.write("we", &borrowed).await.expect_err("refused");
        if told.reason.is_empty() { Err(told.message) } else { Ok(told) }
    })
    .await;
    assert_eq!((told.reason, told.field), forbidden, "{account}");
    assert!(world.status("we").await["blockClearance"].is_null());
}

#[tokio::test]
async fn a_recorded_failure_is_not_talked_away() {
    let Some(world) = world("recorded").await else { return };
    world.failed("we").await;
    let before = world.api("WorkflowExecution").get("we").await.unwrap();
    for user in [MALLORY, WORKFLOW_CONTROLLER, ADMIN] {
        let writer = world.writer(user).await;
        for (sent, expected) in [
            (
                json!({"failureDetails": {"reason": "ConfigurationError"}}),
                refusal("FailureImmutable", "failureDetails.reason"),
            ),
            (json!({"failureDetails": {"reason": "Unknown"}}), refusal("FailureImmutable", "failureDetails.reason")),
            (
                json!({"failureDetails": {"wasExecutionFailure": false}}),
                refusal("FailureImmutable", "failureDetails.wasExecutionFailure"),
            ),
            (
                json!({"failureDetails": {"wasExecutionFailure": null}}),
                refusal("FailureImmutable", "failureDetails.wasExecutionFailure"),
            ),
            (failed("ImagePullBackOff", false), refusal("FailureImmutable", "failureDetails.reason")),
            (json!({"failureDetails": null}), refusal("FailureImmutable", "failureDetails")),
            (json!({"phase": "Pending"}), refusal("PhaseTerminal", "phase")),
            (running("wfe-x"), refusal("PhaseTerminal", "phase")),
            (json!({"phase": "Completed"}), refusal("PhaseTerminal", "phase")),
            (json!({"phase": null}), refusal("PhaseTerminal", "phase")),
        ] {
            assert_eq!(writer.refused("we", &sent).await, expected, "{user}: {sent}");
        }
    }
    let after = world.api("WorkflowExecution").get("we").await.unwrap();
    assert_eq!(after.metadata.resource_version, before.metadata.resource_version);

    // Who fails it does not take the signs of its run away first.
    world.running("disowned").await;
    let spoiled = json!({"phase": "Failed", "startTime": null, "executionRef": null});
    let stored = world.writer(MALLORY).await.write("disowned", &spoiled).await.unwrap();
    assert_eq!(reason_and_flag(&stored), ("Unknown", true));

    // What may be learnt afterwards.
    world.running("vague").await;
    world.we().await.write("vague", &failed("Unknown", false)).await.unwrap();
    let learnt = json!({"failureDetails": {"reason": "Forbidden", "wasExecutionFailure": true}});
    let stored = world.writer(BOB).await.write("vague", &learnt).await.unwrap();
    assert_eq!(reason_and_flag(&stored), ("Forbidden", true));
}

#[tokio::test]
async fn a_refusal_reads_well_for_people_and_for_machines() {
    let Some(world) = world("reads").await else { return };
    world.failed("we").await;
    let told = world.kubectl_patch(MALLORY, "we", &json!({"phase": "Pending"}), &[]).await.expect_failure();
    assert_eq!(
        told.stderr,
        format!(
            "Error from server (Forbidden): admission webhook \"{GUARD}\" denied the request: PhaseTerminal: status.phase: \
             Failed is an end; it does not become Pending. Create a new WorkflowExecution instead\n"
        )
    );

    let patch = kube::api::Patch::Merge(json!({"status": {"failureDetails": {"wasExecutionFailure": false}}}));
    let error = world.api("WorkflowExecution").patch_status("we", &Default::default(), &patch).await.unwrap_err();
    let kube::Error::Api(status) = error else { panic!("{error}") };
    let details = status.details.clone().unwrap();
    assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
    assert_eq!(
        (details.group.as_str(), details.kind.as_str(), details.name.as_str()),
        ("kubernaut.ai", "WorkflowExecution", "we")
    );
    assert_eq!((details.causes.len(), details.retry_after_seconds), (1, 0));
    let cause = &details.causes[0];
    assert_eq!(
        (cause.reason.as_str(), cause.field.as_str()),
        ("FailureImmutable", "status.failureDetails.wasExecutionFailure")
    );
    assert_eq!(
        cause.message,
        "something ran, or may have; that does not become untrue. A person can clear the hold (status.blockClearance)"
    );
}
