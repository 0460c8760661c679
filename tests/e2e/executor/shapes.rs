//! In each of the shapes that executions are stored in: the executor reads it, and what it writes that shape's schema keeps.

use serde_json::{Value, json};

use super::{CONFIG, Tekton, allow_executing, condition, ends};
use crate::conversion::HUB;
use crate::dialects::{AUGUST_2026, DECEMBER_2025, Dialect, RELEASE_1_5_7, crds_of};
use crate::runs::install_tekton;
use crate::stage::{self, GATE, Stage, World, in_seconds};
use crate::support::{self, ADMIN, ApiServer, Options};

/// Its watches look for versions from time to time.
const NEXT_LOOK: std::time::Duration = std::time::Duration::from_secs(40);

/// Where a shape says what.
struct Places {
    run: &'static str,
    said: &'static str,
    duplicates: bool,
}

impl Places {
    fn of(dialect: &Dialect) -> Self {
        Self { run: dialect.run, said: dialect.said, duplicates: dialect.duplicates }
    }
}

/// The gate asks nobody here whether a target is busy: a second execution finds the run.
async fn server() -> Option<(ApiServer, String)> {
    let server = support::own_bench_or_skip(Options::default().user(GATE, &[])).await?;
    install_tekton(&server, "v1").await;
    allow_executing(&server).await;
    let off = "resourceBusy: {mode: off}, recentlyRemediated: {mode: off}";
    Some((server, CONFIG.replace("recentlyRemediated: {mode: off}", off)))
}

async fn create(world: &World<'_>, candidate: stage::Candidate, name: &str, target: &str) {
    world.request(name, name, json!({"overallPhase": "Analyzing"})).await;
    world.admitted(&candidate(&world.namespace, name, name, target)).await;
}

async fn lives(stage: &Stage, candidate: stage::Candidate, places: &Places) {
    let world = World::new(&stage.server, "shape").await;
    let tekton = Tekton::of(&stage.server).await;
    let target = world.target("api");
    create(&world, candidate, "fails", &target).await;
    let run = tekton.run_on(&target).await;
    let bundle = &run.data["spec"]["pipelineRef"]["params"][0];
    assert_eq!(bundle, &json!({"name": "bundle", "value": "registry/restart:1"}));
    let running = ends(stage, &world, "fails", "Running").await.data["status"].clone();
    assert_eq!(running[places.run]["name"], json!(run.metadata.name), "{running}");

    create(&world, candidate, "second", &target).await;
    let second = ends(stage, &world, "second", "Failed").await.data["status"].clone();
    let expected =
        if places.duplicates { (json!("Deduplicated"), json!("fails")) } else { (json!("Unknown"), Value::Null) };
    assert_eq!(
        (&second["failureDetails"]["reason"], &second["deduplicatedBy"]),
        (&expected.0, &expected.1),
        "{second}"
    );

    let message = "task failed: OOMKilled";
    let ended = in_seconds(0);
    tekton.say(&target, json!({"startTime": in_seconds(-60), "completionTime": ended, "conditions": condition("False", "TaskRunFailed", message)})).await;
    let failed = ends(stage, &world, "fails", "Failed").await.data["status"].clone();
    let details = &failed["failureDetails"];
    assert_eq!((&details["reason"], &details["wasExecutionFailure"]), (&json!("OOMKilled"), &json!(true)), "{failed}");
    assert_eq!(
        (&failed["completionTime"], &failed[places.said]["message"]),
        (&json!(ended), &json!(message)),
        "{failed}"
    );
    assert_eq!(failed[places.run]["name"], json!(run.metadata.name), "{failed}");
}

async fn of_kubernaut(dialect: &Dialect) {
    let Some(crds) = crds_of(dialect) else { return };
    let Some((server, config)) = server().await else { return };
    server.apply_crds(&crds).await.unwrap();
    let gate = stage::start_gate(&server, &config).await;
    gate.ready().await;
    lives(&Stage { gate, server }, dialect.candidate, &Places::of(dialect)).await;
}

#[tokio::test]
async fn december_2025() {
    of_kubernaut(&DECEMBER_2025).await;
}

#[tokio::test]
async fn release_1_5_7() {
    of_kubernaut(&RELEASE_1_5_7).await;
}

#[tokio::test]
async fn august_2026() {
    of_kubernaut(&AUGUST_2026).await;
}

/// It leads before there is anything to read, and finds the old version, which is served as well.
#[tokio::test]
async fn both_versions_that_come_later() {
    let Some((server, config)) = server().await else { return };
    let gate = stage::start_gate(&server, &config).await;
    server.apply_crds(&stage::crds_of_both(&server, &gate).await).await.unwrap();
    gate.ready().await;
    lives(&Stage { gate, server }, stage::wfe, &Places::of(&DECEMBER_2025)).await;
}

/// It works in the hub's version, until that is served no longer.
#[tokio::test]
async fn both_versions_and_then_one() {
    let Some((server, config)) = server().await else { return };
    // Two replicas, of which either may lead.
    let converter = stage::start_gate(&server, &config).await;
    server.apply_crds(&stage::crds_of_both(&server, &converter).await).await.unwrap();
    converter.ready().await;
    let gate = stage::start_gate(&server, &config).await;
    gate.ready().await;
    let stage = Stage { gate, server };
    lives(&stage, stage::wfe, &Places::of(&DECEMBER_2025)).await;
    lives(&stage, crate::conversion::hub_wfe, &Places::of(&DECEMBER_2025)).await;

    let world = World::new(&stage.server, "later").await;
    for kind in ["remediationrequests", "workflowexecutions"] {
        let crd = format!("{kind}.kubernaut.ai");
        let get = ["get", "crd", &crd, "-o", "jsonpath={.spec.versions[*].name}"];
        let versions = stage.server.kubectl(ADMIN, &get, None).await.expect_success().stdout;
        let place = versions.split_whitespace().position(|version| version == HUB).unwrap();
        let patch = json!([{"op": "replace", "path": format!("/spec/versions/{place}/served"), "value": false}]);
        let patch = ["patch", "crd", &crd, "--type", "json", "-p", &patch.to_string()];
        stage.server.kubectl(ADMIN, &patch, None).await.expect_success();
    }
    let target = world.target("api");
    create(&world, stage::wfe, "later", &target).await;
    Tekton::of(&stage.server).await.run_on_within(&target, NEXT_LOOK).await;
    ends(&stage, &world, "later", "Running").await;
}
