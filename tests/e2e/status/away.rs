//! With lockkeeper killed: what upstream must be able to write is written, and a failure waits for its name.

use std::net::TcpListener;

use serde_json::{Value, json};

use super::scene::{self, AMENDER, GUARD, Tekton, WORDS, clearance, failed, reason_and_flag};
use crate::stage::{World, completed, in_seconds};
use crate::support::{ALICE, eventually};

/// As upstream's executor tries again: a restart takes seconds.
const PATIENT: std::time::Duration = std::time::Duration::from_secs(30);

/// An address that is free now and still will be at the restart: connections of others leave from the first loopback address.
fn address() -> String {
    let listener = TcpListener::bind("127.0.0.2:0").or_else(|_| TcpListener::bind("127.0.0.1:0"));
    listener.unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_killed_lockkeeper_holds_up_failures_and_clearances_alone() {
    let Some(stage) = scene::own("", &address()).await else { return };
    let world = World::new(&stage.server, "away").await;
    let tekton = Tekton::beside(&stage.server).await;
    for name in ["begins", "fails"] {
        world.pending(name).await;
    }
    for name in ["goes-on", "completes"] {
        world.running(name).await;
    }
    world.failed("failed").await;
    stage.gate.process.signal("KILL").unwrap();
    stage.gate.process.stop();

    // Every transition of upstream's executor but those to Failed, by the whole object.
    let we = world.we().await;
    let put = async |name: &str, members: Value| {
        we.put(name, |status| {
            if status.is_null() {
                *status = json!({});
            }
            status.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        })
        .await
    };
    let created = json!([{"type": "ExecutionCreated", "status": "True", "reason": "ExecutionCreated", "message": "m",
                          "lastTransitionTime": in_seconds(0)}]);
    put("begins", json!({"phase": "Pending"})).await.unwrap();
    put("begins", scene::running("wfe-1")).await.unwrap();
    put("begins", json!({"conditions": created.clone()})).await.unwrap();
    put("begins", json!({})).await.unwrap();
    put("fails", scene::running(&world.run_of("fails"))).await.unwrap();
    put("goes-on", json!({"executionStatus": {"status": "Unknown", "reason": "Running", "completedTasks": 1}}))
        .await
        .unwrap();
    put("completes", completed(&in_seconds(0))).await.unwrap();
    // Of what has ended, what says nothing anew.
    for name in ["failed", "completes"] {
        put(name, json!({"conditions": created, "observedGeneration": 1})).await.unwrap();
    }

    let calls = |webhook: &str| format!("failed calling webhook \"{webhook}\"");
    let sent = failed("TaskFailed", true);
    let told = put("fails", sent.clone()).await.unwrap_err();
    assert!(told.code == 500 && told.message.contains(&calls(AMENDER)), "{told:?}");
    assert_eq!(world.status("fails").await["phase"], "Running");
    let told =
        world.writer(ALICE).await.write("failed", &json!({"blockClearance": clearance(WORDS)})).await.unwrap_err();
    assert!(told.code == 500 && told.message.contains(&calls(AMENDER)), "{told:?}");
    let told = put("completes", json!({"phase": "Running"})).await.unwrap_err();
    assert!(told.code == 500 && told.message.contains(&calls(GUARD)), "{told:?}");

    // What happens meanwhile is known before the first answer.
    tekton.kill(&world, "fails").await;
    stage.gate.process.restart().unwrap();
    let stored = eventually("the failure goes through", PATIENT, || async {
        put("fails", sent.clone()).await.map_err(|told| told.message)
    })
    .await;
    assert_eq!(reason_and_flag(&stored), ("OOMKilled", true));
    let told = put("completes", json!({"phase": "Running"})).await.unwrap_err();
    assert_eq!(told.reason, "PhaseTerminal");
}
