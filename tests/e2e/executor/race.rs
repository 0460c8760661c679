//! Two executions that come at once for one target: one of them runs.

use std::time::{Duration, SystemTime};

use kube::Api;
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::proxy::Proxy;
use super::{CONFIG, Tekton, allow_executing};
use crate::conversion::{HUB, hub_wfe};
use crate::runs::{RUNS, install_tekton};
use crate::stage::{self, GATE, World};
use crate::support::{self, ACTION, ADMIN, Options, eventually};

/// Both have a run of their own: the target is written otherwise, or the engine is another.
fn pair(world: &World<'_>, number: usize) -> [Value; 2] {
    let target = world.target(&format!("app-{number}"));
    let [mut first, mut second] =
        ["a", "b"].map(|side| format!("{side}-{number}")).map(|name| hub_wfe(&world.namespace, &name, &name, &target));
    if number.is_multiple_of(2) {
        second["spec"]["target"]["kind"] = json!("deployment");
    } else {
        first["spec"]["workflowRef"]["executionEngine"] = json!("job");
    }
    [first, second]
}

/// Executions of one second go in the order of their names: there is to be time in it for both.
async fn the_second_has_begun() {
    loop {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        if now.subsec_millis() < 100 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The run of the one is on its way, and nobody knows of it, when the other comes, which goes first by its name.
#[tokio::test]
async fn of_two_that_come_at_once_for_one_target_one_runs() {
    let Some(server) = support::own_bench_or_skip(Options::default().user(GATE, &[])).await else { return };
    install_tekton(&server, "v1").await;
    allow_executing(&server).await;
    let proxy = Proxy::start(&server).await;
    let gate = stage::start_gate_with(&server, CONFIG, &proxy.kubeconfig).await;
    server.apply_crds(&stage::crds_of_both(&server, &gate).await).await.unwrap();
    gate.ready().await;
    let world = World::new(&server, "race").await;
    let executions = world.api_in(HUB, "WorkflowExecution");
    let create = async |execution: Value| {
        let execution: DynamicObject = serde_json::from_value(execution).unwrap();
        executions.create(&PostParams::default(), &execution).await.unwrap().metadata.creation_timestamp.unwrap().0
    };
    let jobs = ApiResource::from_gvk(&GroupVersionKind::gvk("batch", "v1", "Job"));
    let jobs: Api<DynamicObject> = Api::namespaced_with(server.client(ADMIN).await, RUNS, &jobs);
    let tekton = Tekton::of(&server).await;

    let mut met = 0;
    for number in 0..8 {
        for side in ["a", "b"] {
            world
                .request(&format!("{side}-{number}"), &format!("{side}-{number}"), json!({"overallPhase": "Analyzing"}))
                .await;
        }
        let [first, second] = pair(&world, number);
        proxy.hold_up_runs(true);
        the_second_has_begun().await;
        let earlier = create(second).await;
        eventually("its run is on its way", ACTION, || async {
            if proxy.held_up() == 1 { Ok(()) } else { Err(gate.process.log_tail(9)) }
        })
        .await;
        met += usize::from(create(first).await == earlier);
        let claimed = async |name: String| {
            eventually("the other one was looked at", ACTION, || async {
                let kept = executions.get(&name).await.unwrap().metadata.finalizers.unwrap_or_default();
                if kept.is_empty() { Err(gate.process.log_tail(9)) } else { Ok(()) }
            })
            .await;
        };
        claimed(format!("a-{number}")).await;
        // Time in which it would begin if it did not know.
        tokio::time::sleep(Duration::from_millis(300)).await;
        proxy.hold_up_runs(false);
        let phase = async |name: &str| executions.get(name).await.unwrap().data["status"]["phase"].clone();
        eventually("one runs and one waits", ACTION, || async {
            let (a, b) = (phase(&format!("a-{number}")).await, phase(&format!("b-{number}")).await);
            if (&a, &b) == (&json!("Pending"), &json!("Running")) { Ok(()) } else { Err(format!("{a}, {b}")) }
        })
        .await;
        // None of them ends: all that were ever made are there.
        let mut runs = tekton.0.list(&ListParams::default()).await.unwrap().items;
        runs.extend(jobs.list(&ListParams::default()).await.unwrap().items);
        assert_eq!(runs.len(), number + 1, "one for each target");
    }
    assert!(met >= 1, "no pair came in one second");
}
