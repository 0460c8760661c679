//! The routing keeper on a real API server: a life of an execution is told on its request, in each of the shapes that requests
//! are stored in, and the gate reads it there.

use kube::api::{DeleteParams, DynamicObject};
use serde_json::{Value, json};

use crate::dialects::{AUGUST_2026, DECEMBER_2025, Dialect, RELEASE_1_5_7, crds_of};
use crate::stage::{self, GATE, Stage, World, in_seconds};
use crate::support::{self, ACTION, ADMIN, ApiServer, Options, eventually};

const CONFIG: &str = "loops: {routingKeeper: true}\nchecks: {exponentialBackoff: {source: published}}\n";

pub async fn allow_keeping(server: &ApiServer) {
    stage::allow_reading(server).await;
    let rules = json!([
        {"apiGroups": ["kubernaut.ai"], "resources": ["remediationrequests/status"], "verbs": ["patch"]},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
    ]);
    server.cluster_role("keeper", serde_json::from_value(rules).unwrap()).await.unwrap();
    server.grant(GATE, "keeper").await.unwrap();
}

async fn own(crds: &str, candidate: stage::Candidate) -> Option<Stage> {
    let server = support::own_bench_or_skip(Options::default().user(GATE, &[])).await?;
    server.apply_crds(crds).await.unwrap();
    allow_keeping(&server).await;
    let gate = stage::start_gate(&server, CONFIG).await;
    gate.ready().await;
    stage::register(&server, &gate, candidate).await;
    Some(Stage { server, gate })
}

/// Where a shape of requests has things.
#[derive(Clone, Copy)]
struct Places {
    routing: &'static str,
    completion: &'static str,
    progress: &'static str,
}

const FLAT: Places = Places { routing: "", completion: "", progress: "" };
const GROUPED: Places =
    Places { routing: "/routingStatus", completion: "/completionStatus", progress: "/phaseProgress" };

async fn request_in(stage: &Stage, world: &World<'_>, name: &str, phase: &str) -> DynamicObject {
    let api = world.api("RemediationRequest");
    eventually("the request is told", ACTION, || async {
        let object = api.get(name).await.unwrap();
        if object.data["status"]["overallPhase"] == phase {
            Ok(object)
        } else {
            Err(format!("{}\n{}", object.data["status"], stage.gate.process.log_tail(9)))
        }
    })
    .await
}

fn member<'o>(object: &'o DynamicObject, group: &str, name: &str) -> &'o Value {
    object.data["status"].pointer(&format!("{group}/{name}")).unwrap_or(&Value::Null)
}

/// A request and its execution, from its admission to its end.
async fn lives(stage: &Stage, candidate: stage::Candidate, places: Places) {
    let world = World::new(&stage.server, "keeper").await;
    let target = world.target("api");
    // Nothing in it tells its shape.
    world.request("first", "s", json!({"overallPhase": "Analyzing"})).await;
    world.admitted(&candidate(&world.namespace, "we-first", "first", &target)).await;
    world.write_status("WorkflowExecution", "we-first", json!({"phase": "Running"})).await;
    let runs = request_in(stage, &world, "first", "Executing").await;
    let reference = member(&runs, places.progress, "workflowExecutionRef");
    assert_eq!((&reference["name"], &reference["kind"]), (&json!("we-first"), &json!("WorkflowExecution")), "{runs:?}");

    let ended = in_seconds(-1);
    world.write_status("WorkflowExecution", "we-first", stage::FAILED_BEFORE(&ended)).await;
    let failed = request_in(stage, &world, "first", "Failed").await;
    assert_eq!(member(&failed, places.completion, "failurePhase"), "WorkflowExecution");
    assert_eq!(member(&failed, "", "completedAt"), &json!(ended));
    assert_eq!(member(&failed, places.routing, "consecutiveFailureCount"), 1, "{failed:?}");
    assert!(member(&failed, places.routing, "blockReason").is_null());
    let next = member(&failed, places.routing, "nextAllowedExecution").as_str().unwrap().to_owned();
    let seconds = |text: &str| text.parse::<k8s_openapi::jiff::Timestamp>().unwrap().as_second();
    assert!((60..=66).contains(&(seconds(&next) - seconds(&ended))), "{ended} to {next}");
    let told = format!("ExponentialBackoff: the next execution for this signal is not allowed yet; until {next}");
    world.request("second", "s", json!({"overallPhase": "Analyzing"})).await;
    world.refused(&candidate(&world.namespace, "we-second", "second", &world.target("other")), &told).await;

    for word in [
        "WorkflowRuns",
        "WorkflowFailed",
        "failed before anything ran",
        "1 failure for this signal; not tried again before",
    ] {
        eventually("kubectl describe says it", ACTION, || async {
            let args = ["describe", "remediationrequests", "first", "-n", &world.namespace];
            let output = stage.server.kubectl(ADMIN, &args, None).await;
            if output.stdout.contains(word) { Ok(()) } else { Err(output.to_string()) }
        })
        .await;
    }

    // Of a block its writer decides; when it is over, the request hears at once what runs for it.
    world.request("fifth", "v", json!({"overallPhase": "Analyzing"})).await;
    world.admitted(&candidate(&world.namespace, "we-fifth", "fifth", &world.target("fifth"))).await;
    world.write_status("RemediationRequest", "fifth", json!({"overallPhase": "Blocked"})).await;
    world.write_status("WorkflowExecution", "we-fifth", json!({"phase": "Running"})).await;
    // By then it was looked at, and nothing was to be said.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    request_in(stage, &world, "fifth", "Blocked").await;
    world.write_status("RemediationRequest", "fifth", json!({"overallPhase": "Analyzing"})).await;
    request_in(stage, &world, "fifth", "Executing").await;

    // Deleted while it ran: nobody will say how it ended.
    world.request("fourth", "u", json!({"overallPhase": "Analyzing"})).await;
    world.admitted(&candidate(&world.namespace, "we-fourth", "fourth", &world.target("fourth"))).await;
    world.write_status("WorkflowExecution", "we-fourth", json!({"phase": "Running"})).await;
    request_in(stage, &world, "fourth", "Executing").await;
    world.api("WorkflowExecution").delete("we-fourth", &DeleteParams::default()).await.unwrap();
    let left = request_in(stage, &world, "fourth", "Failed").await;
    let reason = member(&left, places.completion, "failureReason").as_str().unwrap();
    assert!(reason.contains("was deleted before it ended"), "{reason}");
    assert_eq!(member(&left, places.routing, "consecutiveFailureCount"), 1);

    // A success of another signal.
    world.request("third", "t", json!({"overallPhase": "Analyzing"})).await;
    world.admitted(&candidate(&world.namespace, "we-third", "third", &world.target("third"))).await;
    world.write_status("WorkflowExecution", "we-third", stage::completed(&in_seconds(0))).await;
    let done = request_in(stage, &world, "third", "Completed").await;
    assert_eq!(member(&done, places.completion, "outcome"), "Remediated");
    assert_eq!(member(&done, places.routing, "consecutiveFailureCount"), 0);
    assert!(member(&done, places.routing, "nextAllowedExecution").is_null());
    let log = stage.gate.process.log_text();
    assert!(!log.contains("its request was not told"), "{log}");
}

#[tokio::test]
async fn a_life_is_told_in_our_own_crds() {
    let Some(stage) = own(&stage::crds(), stage::wfe).await else { return };
    lives(&stage, stage::wfe, FLAT).await;
}

async fn told_in(dialect: &Dialect, places: Places) {
    let Some(crds) = crds_of(dialect) else { return };
    let Some(stage) = own(&crds, dialect.candidate).await else { return };
    lives(&stage, dialect.candidate, places).await;
}

#[tokio::test]
async fn a_life_is_told_in_december_2025() {
    told_in(&DECEMBER_2025, FLAT).await;
}

#[tokio::test]
async fn a_life_is_told_in_1_5_7() {
    told_in(&RELEASE_1_5_7, FLAT).await;
}

#[tokio::test]
async fn a_life_is_told_in_august_2026() {
    told_in(&AUGUST_2026, GROUPED).await;
}

/// Killed at any moment between the end of an execution and what its request says of it: it is counted once.
#[tokio::test]
async fn an_end_is_counted_once_whenever_it_is_killed() {
    let Some(stage) = own(&stage::crds(), stage::wfe).await else { return };
    let world = World::new(&stage.server, "killed").await;
    let mut gate = stage.gate;
    for number in 1..=2_u32 {
        let (rr, we) = (format!("rr-{number}"), format!("we-{number}"));
        let target = world.target(&we);
        world.request(&rr, "s", json!({"overallPhase": "Analyzing"})).await;
        stage::register(&stage.server, &gate, stage::wfe).await;
        world.admitted(&stage::wfe(&world.namespace, &we, &rr, &target)).await;
        let ended = in_seconds(-1);
        world.write_status("WorkflowExecution", &we, stage::FAILED_RUNNING(&ended)).await;
        tokio::time::sleep(std::time::Duration::from_millis(u64::from(number) * 4)).await;
        gate.process.signal("KILL").unwrap();
        gate = stage::start_gate(&stage.server, CONFIG).await;
        gate.ready().await;
        let api = world.api("RemediationRequest");
        let told = eventually("its successor tells it", ACTION * 3, || async {
            let object = api.get(&rr).await.unwrap();
            if object.data["status"]["overallPhase"] == "Failed" { Ok(object) } else { Err(gate.process.log_tail(9)) }
        })
        .await;
        assert_eq!(told.data["status"]["consecutiveFailureCount"], number, "{}", told.data["status"]);
        assert_eq!(told.data["status"]["completedAt"], ended);
    }
}

/// Nobody saw it go.
#[tokio::test]
async fn an_execution_that_is_deleted_while_nobody_leads_leaves_its_request_failed() {
    let Some(stage) = own(&stage::crds(), stage::wfe).await else { return };
    let world = World::new(&stage.server, "unled").await;
    for name in ["left", "stays"] {
        world.request(name, name, json!({"overallPhase": "Analyzing"})).await;
        world.admitted(&stage::wfe(&world.namespace, name, name, &world.target(name))).await;
        world.write_status("WorkflowExecution", name, json!({"phase": "Running"})).await;
        request_in(&stage, &world, name, "Executing").await;
    }
    // Who is not registered is not asked about it.
    let all = ["delete", "validatingwebhookconfigurations,mutatingwebhookconfigurations", "--all"];
    stage.server.kubectl(ADMIN, &all, None).await.expect_success();
    stage.gate.process.stop();
    let executions = world.api("WorkflowExecution");
    let now = DeleteParams::default();
    eventually("it is deleted", ACTION, || executions.delete("left", &now)).await;
    stage.gate.process.restart().unwrap();
    let api = world.api("RemediationRequest");
    let left = eventually("its successor tells it", ACTION * 3, || async {
        let object = api.get("left").await.unwrap();
        if object.data["status"]["overallPhase"] == "Failed" { Ok(object) } else { Err(stage.gate.process.log_tail(9)) }
    })
    .await;
    let reason = left.data["status"]["failureReason"].as_str().unwrap();
    assert!(reason.contains("was deleted before it ended"), "{reason}");
    assert_eq!(left.data["status"]["consecutiveFailureCount"], 1);
    assert_eq!(api.get("stays").await.unwrap().data["status"]["overallPhase"], "Executing");
}
