//! Rights that are missing: what a person reads of it, and that everything goes on once they are granted.

use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::{Tekton, allow, allow_executing, ends_within, own};
use crate::conversion::hub_wfe;
use crate::stage::{Gate, Stage, World};
use crate::support::{ACTION, ADMIN, eventually};

/// What failed is tried again later and later, and kinds that may not be read are looked for every five seconds.
const LATER: Duration = Duration::from_secs(60);

/// Notes of the events on an execution with this reason.
async fn notes(world: &World<'_>, name: &str, reason: &str) -> Vec<String> {
    let events = Api::<Event>::namespaced(world.server.client(ADMIN).await, &world.namespace);
    let all = events.list(&ListParams::default()).await.unwrap().items;
    let of = all
        .into_iter()
        .filter(|event| event.reason.as_deref() == Some(reason) && event.involved_object.name.as_deref() == Some(name));
    of.filter_map(|event| event.message).collect()
}

async fn waits(stage: &Stage, world: &World<'_>, name: &str) -> Value {
    let api = world.api("WorkflowExecution");
    eventually(&format!("{name} waits"), LATER, || async {
        let status = api.get(name).await.unwrap().data["status"].clone();
        let told = status["conditions"][0].clone();
        if told["status"] == "False" { Ok(told) } else { Err(format!("{status}\n{}", stage.gate.process.log_tail(9))) }
    })
    .await
}

#[tokio::test]
async fn a_right_that_is_missing_is_said_on_the_execution_once() {
    let Some(stage) = own(false).await else { return };
    let world = World::new(&stage.server, "rights").await;
    allow(&stage.server, |resource| resource != "workflowexecutions").await;
    let target = world.target("api");
    world.request("rr", "s", json!({"overallPhase": "Analyzing"})).await;
    world.execution("we", "rr", &target, Value::Null).await;
    let said = eventually("it is said", ACTION, || async {
        let notes = notes(&world, "we", "Retrying").await;
        if notes.is_empty() { Err(stage.gate.process.log_tail(9)) } else { Ok(notes) }
    })
    .await;
    for part in
        ["cannot patch resource \"workflowexecutions\"", "; grant lockkeeper that right, as its chart's profile does; "]
    {
        assert!(said[0].contains(part), "{said:?}");
    }
    eventually("it is tried again", LATER, || async {
        let log = stage.gate.process.log_text();
        if log.matches("a step was not taken; grant lockkeeper").count() >= 3 { Ok(()) } else { Err(log) }
    })
    .await;
    assert_eq!(notes(&world, "we", "Retrying").await.len(), 1);
    allow(&stage.server, |_| true).await;
    ends_within(&stage, &world, "we", "Running", LATER).await;
}

#[tokio::test]
async fn without_the_right_to_read_jobs_none_is_begun_and_pipeline_runs_are() {
    let Some(stage) = super::unfit::own().await else { return };
    let world = World::new(&stage.server, "blind").await;
    allow(&stage.server, |resource| resource != "jobs").await;
    let blind = |gate: &Gate| gate.process.log_text().contains("grant list and watch on jobs");
    eventually("Jobs are not read any more", LATER, || async {
        if blind(&stage.gate) { Ok(()) } else { Err(stage.gate.process.log_tail(9)) }
    })
    .await;
    for (name, engine) in [("job", "job"), ("pipeline", "tekton")] {
        world.request(name, name, json!({"overallPhase": "Analyzing"})).await;
        let mut wfe = hub_wfe(&world.namespace, name, name, &world.target(name));
        wfe["spec"]["workflowRef"]["executionEngine"] = json!(engine);
        world.admitted(&wfe).await;
    }
    ends_within(&stage, &world, "pipeline", "Running", LATER).await;
    Tekton::of(&stage.server).await.run_on(&world.target("pipeline")).await;
    let told = waits(&stage, &world, "job").await;
    assert_eq!(told["reason"], "RunsUnreadable", "{told}");
    allow_executing(&stage.server).await;
    ends_within(&stage, &world, "job", "Running", LATER).await;
}
