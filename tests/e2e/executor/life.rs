//! What can become of an execution and of its run: ended, cancelled, timed out, deleted by somebody, refused, in the way.

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::{CONFIG, Tekton, allow_executing, condition, ends, ends_within, own};
use crate::runs::{RUNS, install_tekton};
use crate::stage::{self, GATE, Stage, World, in_seconds};
use crate::support::{self, ACTION, ADMIN, Options, eventually};

/// After what is not there yet it is asked again every ten seconds; after a crash of others' making later and later.
const LATER: std::time::Duration = std::time::Duration::from_secs(45);

async fn started(stage: &Stage, world: &World<'_>, tekton: &Tekton, name: &str) -> String {
    let target = world.target(name);
    world.request(name, name, json!({"overallPhase": "Analyzing"})).await;
    world.execution(name, name, &target, Value::Null).await;
    tekton.run_on(&target).await;
    ends(stage, world, name, "Running").await;
    target
}

async fn task_at_work(world: &World<'_>, target: &str) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", "TaskRun"));
    let api: Api<DynamicObject> = Api::namespaced_with(world.server.client(ADMIN).await, RUNS, &resource);
    let run = lockkeeper::controller::executor::run_name(target);
    let name = format!("{run}-patch");
    let labels = json!({"tekton.dev/pipelineRun": run, "tekton.dev/pipelineTask": "patch"});
    let task = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": name, "namespace": RUNS, "labels": labels}});
    api.create(&PostParams::default(), &serde_json::from_value(task).unwrap()).await.unwrap();
    let steps = json!([{"name": "s", "container": "step-s", "running": {"startedAt": in_seconds(-3)}}]);
    let status = json!({"status": {"startTime": in_seconds(-5), "podName": "p", "steps": steps, "conditions": condition("Unknown", "Running", "")}});
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
}

/// What a failed execution says: reason, whether anything ran.
fn failure(object: &DynamicObject) -> (String, bool) {
    let details = &object.data["status"]["failureDetails"];
    (
        details["reason"].as_str().unwrap_or_default().to_owned(),
        details["wasExecutionFailure"].as_bool().unwrap_or(false),
    )
}

/// Waits until a condition of an execution has this reason.
async fn waits_for(stage: &Stage, world: &World<'_>, name: &str, reason: &str) -> Value {
    let api = world.api("WorkflowExecution");
    eventually(&format!("{name} waits: {reason}"), ACTION, || async {
        let object = api.get(name).await.unwrap();
        let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.into_iter().find(|one| one["type"] == "Admitted" && one["reason"] == reason);
        found.ok_or_else(|| format!("{}\n{}", object.data["status"], stage.gate.process.log_tail(9)))
    })
    .await
}

async fn gone(world: &World<'_>, name: &str) {
    let api = world.api("WorkflowExecution");
    eventually(&format!("{name} is gone"), ACTION, || async {
        api.get_opt(name).await.unwrap().map_or(Ok(()), |object| Err(format!("{:?}", object.metadata)))
    })
    .await;
}

/// The run was deleted in the foreground: it stays while a part of it is there.
async fn leaves(stage: &Stage, tekton: &Tekton, target: &str) {
    eventually("the run is being deleted", ACTION, || async {
        let metadata = tekton.run_on(target).await.metadata;
        let waits = metadata.finalizers.is_some_and(|all| all == ["foregroundDeletion"]);
        if metadata.deletion_timestamp.is_some() && waits { Ok(()) } else { Err(stage.gate.process.log_tail(9)) }
    })
    .await;
}

/// As Kubernetes' garbage collector does once the parts of a run are gone.
async fn collect(tekton: &Tekton, target: &str) {
    let name = lockkeeper::controller::executor::run_name(target);
    let nobody = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    tekton.0.patch(&name, &PatchParams::default(), &nobody).await.unwrap();
}

#[tokio::test]
async fn what_becomes_of_the_run_becomes_of_its_execution() {
    let Some(stage) = own(false).await else { return };
    let world = World::new(&stage.server, "ends").await;
    let tekton = Tekton::of(&stage.server).await;
    let ended = in_seconds(-1);
    let over = |status: &str, reason: &str, message: &str| json!({"startTime": in_seconds(-61), "completionTime": ended, "conditions": condition(status, reason, message)});

    // Its progress is told while it runs, and its end when it ends.
    let target = started(&stage, &world, &tekton, "well").await;
    task_at_work(&world, &target).await;
    let children = json!([{"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": format!("{}-patch", lockkeeper::controller::executor::run_name(&target)), "pipelineTaskName": "patch"}]);
    let words = "Tasks Completed: 0 (Failed: 0, Cancelled 0), Incomplete: 1, Skipped: 0";
    tekton.say(&target, json!({"startTime": in_seconds(-5), "childReferences": children, "conditions": condition("Unknown", "Running", words)})).await;
    let api = world.api("WorkflowExecution");
    eventually("its progress is told", ACTION, || async {
        let status = api.get("well").await.unwrap().data["status"].clone();
        if status["executionStatus"]["totalTasks"] == 1 || status["pipelineRunStatus"]["totalTasks"] == 1 {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .await;
    tekton.say(&target, over("True", "Succeeded", "Tasks Completed: 1")).await;
    let object = ends(&stage, &world, "well", "Completed").await;
    assert_eq!(object.data["status"]["completionTime"], json!(ended));

    for (name, reason, message, expected) in [
        ("cancelled", "Cancelled", "PipelineRun \"x\" was cancelled", ("Unknown", true)),
        (
            "late",
            "PipelineRunTimeout",
            "PipelineRun \"x\" failed to finish within \"1m0s\"",
            ("DeadlineExceeded", true),
        ),
    ] {
        let target = started(&stage, &world, &tekton, name).await;
        task_at_work(&world, &target).await;
        tekton.say(&target, over("False", reason, message)).await;
        let object = ends(&stage, &world, name, "Failed").await;
        assert_eq!(failure(&object), (expected.0.to_owned(), expected.1), "{}", object.data["status"]);
        assert_eq!(object.data["status"]["completionTime"], json!(ended));
    }

    // Deleted by somebody, before a step ran and after.
    for (name, ran) in [("taken-early", false), ("taken-late", true)] {
        let target = started(&stage, &world, &tekton, name).await;
        if ran {
            task_at_work(&world, &target).await;
            tekton
                .say(&target, json!({"startTime": in_seconds(-5), "conditions": condition("Unknown", "Running", "")}))
                .await;
            waits_until_running(&world, name).await;
        }
        let run = lockkeeper::controller::executor::run_name(&target);
        tekton.0.delete(&run, &DeleteParams::default()).await.unwrap();
        let object = ends(&stage, &world, name, "Failed").await;
        assert_eq!(failure(&object), ("Unknown".to_owned(), ran), "{}", object.data["status"]);
    }
}

async fn waits_until_running(world: &World<'_>, name: &str) {
    let api = world.api("WorkflowExecution");
    eventually("it is said that it runs", ACTION, || async {
        let status = api.get(name).await.unwrap().data["status"].clone();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        if conditions.iter().any(|one| one["type"] == "ExecutionRunning") { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_created_waits_for_tekton_and_is_refused_by_a_quota() {
    let Some(server) = support::own_bench_or_skip(Options::default().user(GATE, &[])).await else { return };
    server.apply_crds(&stage::crds()).await.unwrap();
    allow_executing(&server).await;
    let gate = stage::start_gate(&server, CONFIG).await;
    gate.ready().await;
    let stage = Stage { server, gate };
    let world = World::new(&stage.server, "refused").await;
    let target = world.target("api");
    world.request("rr", "s", json!({"overallPhase": "Analyzing"})).await;
    world.execution("early", "rr", &target, Value::Null).await;
    let told = waits_for(&stage, &world, "early", "TektonMissing").await;
    assert!(told["message"].as_str().unwrap().contains("install Tekton Pipelines"), "{told}");
    install_tekton(&stage.server, "v1").await;
    let tekton = Tekton::of(&stage.server).await;
    tekton.run_on_within(&target, LATER).await;
    ends(&stage, &world, "early", "Running").await;

    let quotas: Api<k8s_openapi::api::core::v1::ResourceQuota> =
        Api::namespaced(stage.server.client(ADMIN).await, RUNS);
    let hard = json!({"count/pipelineruns.tekton.dev": "1"});
    let quota = json!({"metadata": {"name": "team"}, "spec": {"hard": hard}});
    quotas.create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
    // No controller counts here.
    let status = json!({"status": {"hard": hard, "used": hard}});
    quotas.patch_status("team", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    let probe =
        json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": "probe", "namespace": RUNS}});
    eventually("the quota is in force", ACTION, || async {
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        match tekton.0.create(&dry_run, &serde_json::from_value(probe.clone()).unwrap()).await {
            Err(error) if error.to_string().contains("exceeded quota") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    world.request("other", "t", json!({"overallPhase": "Analyzing"})).await;
    world.execution("refused", "other", &world.target("other"), Value::Null).await;
    let object = ends(&stage, &world, "refused", "Failed").await;
    assert_eq!(failure(&object), ("ResourceExhausted".to_owned(), false), "{}", object.data["status"]);
}

#[tokio::test]
async fn names_and_who_has_them() {
    let Some(stage) = own(false).await else { return };
    let world = World::new(&stage.server, "names").await;
    let tekton = Tekton::of(&stage.server).await;
    let api = world.api("WorkflowExecution");

    // Three hundred characters, and what no label holds.
    let rest = 300 - world.namespace.len() - "/Deployment/".len() - "A_x.:".len();
    let mut long = format!("{}/Deployment/A_x.:", world.namespace);
    long.push_str(&"Z".repeat(rest.min(248)));
    let kind = format!("K{}", "d".repeat(10 + 300 - long.len() - 1));
    let long = long.replace("Deployment", &kind);
    assert_eq!(long.len(), 300);
    world.request("long", "long", json!({"overallPhase": "Analyzing"})).await;
    world.execution("long", "long", &long, Value::Null).await;
    let run = tekton.run_on(&long).await;
    assert_eq!(run.metadata.annotations.unwrap()["kubernaut.ai/target-resource"], long);
    ends(&stage, &world, "long", "Running").await;

    // Deleted while it runs, it takes its run along; created anew under its name, it gets its own.
    let target = started(&stage, &world, &tekton, "again").await;
    task_at_work(&world, &target).await;
    let first = tekton.run_on(&target).await.metadata.uid.unwrap();
    api.delete("again", &DeleteParams::default()).await.unwrap();
    leaves(&stage, &tekton, &target).await;
    // Until what is at work is gone nothing else begins there.
    world.request("next", "next", json!({"overallPhase": "Analyzing"})).await;
    world.execution("next", "next", &target, Value::Null).await;
    waits_for(&stage, &world, "next", "ResourceBusy").await;
    assert_eq!(tekton.run_on(&target).await.metadata.uid.as_ref(), Some(&first));
    assert!(api.get_opt("again").await.unwrap().is_some(), "it stays as long as its run does");
    collect(&tekton, &target).await;
    gone(&world, "again").await;
    ends(&stage, &world, "next", "Running").await;
    api.delete("next", &DeleteParams::default()).await.unwrap();
    leaves(&stage, &tekton, &target).await;
    collect(&tekton, &target).await;
    gone(&world, "next").await;
    world.execution("again", "again", &target, Value::Null).await;
    ends(&stage, &world, "again", "Running").await;
    let second = tekton.run_on(&target).await;
    assert_ne!(second.metadata.uid.unwrap(), first);

    // Somebody's run that does not say whose it is: it is said, and waited for.
    let target = world.target("nobodys");
    let name = lockkeeper::controller::executor::run_name(&target);
    let run = |labels: Value| json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": name, "namespace": RUNS, "labels": labels}});
    tekton.0.create(&PostParams::default(), &serde_json::from_value(run(json!({}))).unwrap()).await.unwrap();
    world.request("nobodys", "nobodys", json!({"overallPhase": "Analyzing"})).await;
    world.execution("nobodys", "nobodys", &target, Value::Null).await;
    let told = waits_for(&stage, &world, "nobodys", "TargetLocked").await;
    assert!(told["message"].as_str().unwrap().contains("does not say whose it is"), "{told}");
    tekton.0.delete(&name, &DeleteParams::default()).await.unwrap();
    ends(&stage, &world, "nobodys", "Running").await;
}

#[tokio::test]
async fn where_the_gate_does_not_ask_the_name_of_the_run_is_the_lock() {
    let Some(server) = support::own_bench_or_skip(Options::default().user(GATE, &[])).await else { return };
    server.apply_crds(&stage::crds()).await.unwrap();
    install_tekton(&server, "v1").await;
    allow_executing(&server).await;
    let checks = "resourceBusy: {mode: off}, recentlyRemediated: {mode: off}, previousExecutionFailed: {mode: off}";
    let config = CONFIG.replace("recentlyRemediated: {mode: off}", checks).replace("2s", "4s");
    let gate = stage::start_gate(&server, &config).await;
    gate.ready().await;
    let stage = Stage { server, gate };
    let world = World::new(&stage.server, "lock").await;
    let tekton = Tekton::of(&stage.server).await;
    let target = started(&stage, &world, &tekton, "first").await;
    world.request("second", "b", json!({"overallPhase": "Analyzing"})).await;
    world.execution("second", "second", &target, Value::Null).await;
    let object = ends(&stage, &world, "second", "Failed").await;
    // December's shape has no other place for who has it.
    let status = &object.data["status"];
    let message = status["failureDetails"]["message"].as_str().unwrap();
    assert!(status["failureReason"] == "Deduplicated" && message.contains("/first has a run"), "{status}");
    assert!(!failure(&object).1, "{status}");

    // It ended: its run is kept for a while, and then it is in nobody's way.
    tekton.say(&target, json!({"startTime": in_seconds(-9), "completionTime": in_seconds(0), "conditions": condition("True", "Succeeded", "m")})).await;
    ends(&stage, &world, "first", "Completed").await;
    world.request("third", "c", json!({"overallPhase": "Analyzing"})).await;
    world.execution("third", "third", &target, Value::Null).await;
    waits_for(&stage, &world, "third", "TargetLocked").await;
    ends(&stage, &world, "third", "Running").await;
    let labels = tekton.run_on(&target).await.metadata.labels.unwrap();
    assert_eq!(labels["kubernaut.ai/workflow-execution"], "third");

    // Upstream's run of an execution that is long gone.
    let target = world.target("stale");
    let name = lockkeeper::controller::executor::run_name(&target);
    let labels =
        json!({"kubernaut.ai/workflow-execution": "long-gone", "kubernaut.ai/source-namespace": world.namespace});
    let run = json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": name, "namespace": RUNS, "labels": labels}});
    let stale = tekton.0.create(&PostParams::default(), &serde_json::from_value(run).unwrap()).await.unwrap();
    tekton.say(&target, json!({"startTime": in_seconds(-90), "completionTime": in_seconds(-60), "conditions": condition("False", "Failed", "m")})).await;
    world.request("stale", "d", json!({"overallPhase": "Analyzing"})).await;
    world.execution("stale", "stale", &target, Value::Null).await;
    ends(&stage, &world, "stale", "Running").await;
    assert_ne!(tekton.run_on(&target).await.metadata.uid, stale.metadata.uid);
}

/// Another setting of `execution.namespace` between two lives of the process.
#[tokio::test]
async fn what_was_begun_in_one_namespace_ends_there() {
    let Some(stage) = own(false).await else { return };
    let world = World::new(&stage.server, "moves").await;
    let tekton = Tekton::of(&stage.server).await;
    let target = started(&stage, &world, &tekton, "we").await;
    stage.gate.process.stop();
    let elsewhere = stage.server.fresh_namespace("elsewhere").await.unwrap();
    let config = CONFIG.replace("execution: {", &format!("execution: {{namespace: {elsewhere}, "));
    std::fs::write(&stage.gate.config, config).unwrap();
    stage.gate.process.restart().unwrap();
    tekton.say(&target, json!({"startTime": in_seconds(-9), "completionTime": in_seconds(0), "conditions": condition("True", "Succeeded", "m")})).await;
    ends_within(&stage, &world, "we", "Completed", LATER).await;
    eventually("its run is gone and nothing keeps it", LATER, || async {
        let left = tekton.0.list(&kube::api::ListParams::default()).await.unwrap().items.len();
        let kept = world.api("WorkflowExecution").get("we").await.unwrap().metadata.finalizers.unwrap_or_default();
        if left == 0 && kept.is_empty() { Ok(()) } else { Err(format!("{left} {kept:?}")) }
    })
    .await;
    // What is new is begun in the new place.
    world.request("next", "next", json!({"overallPhase": "Analyzing"})).await;
    world.execution("next", "next", &world.target("next"), Value::Null).await;
    ends_within(&stage, &world, "next", "Running", LATER).await;
    assert_eq!(tekton.0.list(&kube::api::ListParams::default()).await.unwrap().items.len(), 0);
}
