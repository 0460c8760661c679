//! What this executor can never run: it is said with what to do, and nothing is made for it. And an example that it can.

use std::time::Duration;

use kube::api::ListParams;
use serde_json::{Value, json};

use super::{CONFIG, Tekton, allow_executing};
use crate::conversion::{HUB, hub_wfe};
use crate::runs::install_tekton;
use crate::stage::{self, GATE, Stage, World};
use crate::support::{self, ACTION, ADMIN, Options, eventually};

/// Both versions, stored as v1beta1: the older one has no place for a cluster.
pub async fn own() -> Option<Stage> {
    let server = support::own_bench_or_skip(Options::default().user(GATE, &[])).await?;
    install_tekton(&server, "v1").await;
    allow_executing(&server).await;
    let gate = stage::start_gate(&server, CONFIG).await;
    server.apply_crds(&stage::crds_of_both(&server, &gate).await).await.unwrap();
    gate.ready().await;
    Some(Stage { gate, server })
}

/// A name, what makes the spec unfit, the reason, what the message says.
type Row = (&'static str, fn(&mut Value), &'static str, &'static [&'static str]);

#[tokio::test]
async fn another_engine_and_another_cluster() {
    let Some(stage) = own().await else { return };
    let world = World::new(&stage.server, "unfit").await;
    let tekton = Tekton::of(&stage.server).await;
    let rows: [Row; 2] = [
        (
            "engine",
            |spec| spec["workflowRef"]["executionEngine"] = json!("ansible"),
            "UnsupportedEngine",
            &["executionEngine \"ansible\"", "is not carried out here"],
        ),
        (
            "cluster",
            |spec| spec["target"]["clusterID"] = json!("east"),
            "ConfigurationError",
            &["the target is in cluster east", "this executor serves its own cluster only"],
        ),
    ];
    for (name, unfit, reason, words) in rows {
        world.request(name, name, json!({"overallPhase": "Analyzing"})).await;
        let mut object = hub_wfe(&world.namespace, name, name, &world.target(name));
        unfit(&mut object["spec"]);
        world.admitted(&object).await;
        let api = world.api_in(HUB, "WorkflowExecution");
        let failed = eventually("it is refused", ACTION, || async {
            let object = api.get(name).await.unwrap();
            let ended = object.data["status"]["phase"] == "Failed";
            if ended { Ok(object) } else { Err(format!("{object:?}\n{}", stage.gate.process.log_tail(9))) }
        })
        .await;
        let status = &failed.data["status"];
        let (failure, message) = (&status["failure"], status["failure"]["message"].as_str().unwrap_or_default());
        assert_eq!((&status["failureReason"], &failure["reason"]), (&json!(reason), &json!(reason)), "{status}");
        assert!(!failure["wasExecutionFailure"].as_bool().unwrap_or_default(), "{status}");
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        assert!(status["completionTime"].is_string() && status["execution"]["ref"].is_null(), "{status}");
        // Nothing keeps it, since nothing was made for it.
        assert_eq!(failed.metadata.finalizers.unwrap_or_default(), Vec::<String>::new());
    }
    let runs = tekton.0.list(&ListParams::default()).await.unwrap().items;
    assert!(runs.is_empty(), "{runs:?}");
}

#[tokio::test]
async fn what_its_request_ends_is_not_run_and_holds_nothing() {
    let Some(stage) = own().await else { return };
    let world = World::new(&stage.server, "notrun").await;
    let tekton = Tekton::of(&stage.server).await;
    let api = world.api_in(HUB, "WorkflowExecution");
    world.request("over", "over", json!({"overallPhase": "Completed"})).await;
    // The second one's is not there, and does not come.
    for (name, reason) in [("over", "ParentTerminal"), ("missing", "ParentMissing")] {
        world.admitted(&hub_wfe(&world.namespace, name, name, &world.target("api"))).await;
        let ended = eventually("it is given up", Duration::from_secs(60), || async {
            let object = api.get(name).await.unwrap();
            let ended = object.data["status"]["phase"] == "Failed";
            if ended { Ok(object) } else { Err(format!("{object:?}\n{}", stage.gate.process.log_tail(9))) }
        })
        .await;
        let status = &ended.data["status"];
        let told = &status["conditions"][0];
        assert_eq!(
            (&told["type"], &told["status"], &told["reason"]),
            (&json!("Admitted"), &json!("False"), &json!(reason))
        );
        assert_eq!(
            (&status["conditions"][1]["type"], &status["conditions"][1]["status"]),
            (&json!("ExecutionComplete"), &json!("True"))
        );
        assert!(told["message"].as_str().unwrap().ends_with("create a new one"), "{told}");
        assert!(status["failure"].is_null() && status["failureReason"].is_null(), "{status}");
        eventually("an event says so", ACTION, || async {
            let output = stage
                .server
                .kubectl(ADMIN, &["describe", "workflowexecutions", name, "-n", &world.namespace], None)
                .await;
            if output.stdout.contains("NotRun") { Ok(()) } else { Err(output.to_string()) }
        })
        .await;
    }
    let runs = tekton.0.list(&ListParams::default()).await.unwrap().items;
    assert!(runs.is_empty(), "{runs:?}");
    world.request("alive", "alive", json!({"overallPhase": "Analyzing"})).await;
    world.admitted(&hub_wfe(&world.namespace, "alive", "alive", &world.target("api"))).await;
    tekton.run_on(&world.target("api")).await;
}

/// `docs/execution.md`, "Try it".
#[tokio::test]
async fn the_example_is_taken_and_carried_out() {
    let Some(stage) = own().await else { return };
    let world = World::new(&stage.server, "example").await;
    for file in ["request", "execution"] {
        let file = format!("{}/examples/execution/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
        stage.server.kubectl(ADMIN, &["apply", "-n", &world.namespace, "-f", &file], None).await.expect_success();
    }
    let api = world.api_in(HUB, "WorkflowExecution");
    eventually("a Job carries it out", ACTION, || async {
        let object = api.get("we-api").await.unwrap();
        let runs = object.data["status"]["phase"] == "Running";
        if runs { Ok(()) } else { Err(format!("{object:?}\n{}", stage.gate.process.log_tail(9))) }
    })
    .await;
}
