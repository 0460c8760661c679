//! What an execution failure holds, a person's clearance lifts, and the audit log says who and why.

use serde_json::{Value, json};

use super::scene::{self, AMENDER, GUARD, Tekton, WORDS, clearance, failed, reason_and_flag};
use crate::stage::{World, wfe};
use crate::support::{ACTION, ALICE, AuditEvent, WORKFLOW_CONTROLLER, eventually};

#[tokio::test]
async fn a_hold_is_lifted_by_a_person_and_the_audit_log_has_both() {
    let Some(stage) = scene::shared().await else { return };
    let world = World::new(&stage.server, "hold").await;
    let tekton = Tekton::beside(&stage.server).await;
    world.running("broke").await;
    tekton.killed(&world, "broke").await;
    // Upstream would let the next one run: it says that nothing had.
    world.we().await.write("broke", &failed("ConfigurationError", false)).await.unwrap();
    world.request("rr", "next", json!({"overallPhase": "Analyzing"})).await;
    let next = wfe(&world.namespace, "next", "rr", &world.target("broke"));
    let told = world.refused(&next, "PreviousExecutionFailed").await;
    assert!(told.stderr.contains(&format!("held by WorkflowExecution {}/broke;", world.namespace)), "{told}");

    let mut sent = clearance(WORDS);
    sent["clearedBy"] = json!("somebody-else");
    world.kubectl_patch(ALICE, "broke", &json!({"blockClearance": sent}), &[]).await.expect_success();
    world.admitted(&next).await;

    let events = eventually("both writes are in the audit log", ACTION, || async {
        let events = stage.server.audit_events().map_err(|error| error.to_string())?;
        let by = |user: &str, status: &str| {
            let found = events.iter().filter(|event| event.namespace == world.namespace && event.name == "broke");
            found
                .filter(|event| event.user == user && event.subresource == "status" && event.code == 200)
                .filter(|event| !event.uri.contains("dryRun"))
                .find(|event| event.request_object.as_ref().is_some_and(|object| !object["status"][status].is_null()))
                .cloned()
        };
        by(WORKFLOW_CONTROLLER, "failureDetails").zip(by(ALICE, "blockClearance")).ok_or_else(|| "not yet".to_owned())
    })
    .await;
    let (failing, clearing) = events;
    assert_eq!(failing.annotations[&format!("{AMENDER}/reason")], "OOMKilled");
    assert_eq!(patched(&failing, "/status/failureDetails/reason"), Some(json!("OOMKilled")));
    assert_eq!(patched(&failing, "/status/failureDetails/wasExecutionFailure"), Some(json!(true)));

    assert_eq!(clearing.annotations[&format!("{GUARD}/reason")], WORDS);
    assert_eq!(clearing.annotations[&format!("{GUARD}/decision")], "allow");
    assert_eq!(clearing.annotations[&format!("{GUARD}/decision-id")].len(), 36);
    assert_eq!(patched(&clearing, "/status/blockClearance/clearedBy"), Some(json!(ALICE)));
}

/// What our amendment put at this place, out of the API server's own record of the patch.
fn patched(event: &AuditEvent, path: &str) -> Option<Value> {
    let patches = event.annotations.iter().filter(|(key, _)| key.starts_with("patch.webhook.admission.k8s.io/"));
    let patches = patches.map(|(_, record)| serde_json::from_str::<Value>(record).unwrap());
    let mut ours = patches.filter(|record| record["webhook"] == AMENDER);
    let operations = ours.next()?["patch"].clone();
    operations
        .as_array()?
        .iter()
        .find(|operation| operation["path"] == path)
        .map(|operation| operation["value"].clone())
}

#[tokio::test]
async fn a_dry_run_gets_the_same_answer_and_leaves_nothing() {
    let Some(stage) = scene::shared().await else { return };
    let world = World::new(&stage.server, "dry").await;
    let tekton = Tekton::beside(&stage.server).await;
    world.running("we").await;
    tekton.killed(&world, "we").await;
    // No other test here corrects this to that.
    let sent = failed("ResourceExhausted", false);
    let counter = r#"lockkeeper_classification_corrected_total{from="ResourceExhausted",to="OOMKilled"}"#;
    let counted = || {
        let (_, metrics) = stage.gate.get("/metrics");
        metrics.lines().find_map(|line| line.strip_prefix(counter)?.trim().parse::<u64>().ok())
    };
    let before = world.status("we").await;
    let dry = world
        .kubectl_patch(WORKFLOW_CONTROLLER, "we", &sent, &["--dry-run=server", "-o", "json"])
        .await
        .expect_success();
    assert_eq!(world.status("we").await, before);
    assert_eq!(counted(), None);
    let about = format!("\"object\":\"{}/we\"", world.namespace);
    let told = || {
        let log = stage.gate.process.log_text();
        log.lines().filter(|line| line.contains(&about) && line.contains("\"classified\"")).count()
    };
    assert_eq!(told(), 0);

    let real = world.kubectl_patch(WORKFLOW_CONTROLLER, "we", &sent, &["-o", "json"]).await.expect_success();
    assert_eq!(real.stderr, dry.stderr);
    let status = |output: &str| serde_json::from_str::<Value>(output).unwrap()["status"].clone();
    assert_eq!(status(&real.stdout), status(&dry.stdout));
    assert_eq!(reason_and_flag(&status(&real.stdout)), ("OOMKilled", true));
    assert_eq!(counted(), Some(1));
    eventually("it is told in the log, once", ACTION, || async {
        let times = told();
        if times == 1 { Ok(()) } else { Err(times) }
    })
    .await;

    // A refusal is the same for a dry run too.
    let bent = json!({"phase": "Pending"});
    let dry = world.kubectl_patch(WORKFLOW_CONTROLLER, "we", &bent, &["--dry-run=server"]).await.expect_failure();
    let real = world.kubectl_patch(WORKFLOW_CONTROLLER, "we", &bent, &[]).await.expect_failure();
    assert_eq!(dry.stderr, real.stderr);
}
