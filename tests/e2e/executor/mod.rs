//! lockkeeper's own executor on a real API server: an admitted execution becomes a run, and the end of the run its status. The
//! test plays Tekton's controller.

mod crash;
mod crowd;
mod jobs;
mod leader;
mod life;
mod owners;
mod proxy;
mod race;
mod rights;
mod shapes;
mod unfit;

use std::time::{Duration, Instant};

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::runs::{RUNS, install_tekton};
use crate::stage::{self, GATE, Stage, World, in_seconds, wfe};
use crate::support::{self, ACTION, ApiServer, Options, eventually};

const CONFIG: &str = "loops: {executor: true}\nexecution: {cooldown: 2s}\nchecks: {recentlyRemediated: {mode: off}}\n";

async fn allow_executing(server: &ApiServer) {
    stage::allow_reading(server).await;
    allow(server, |_| true).await;
    server.grant(GATE, "executor").await.unwrap();
}

/// Of the rights that the executor needs those that are wanted; a rule is told by its first resource.
async fn allow(server: &ApiServer, wanted: impl Fn(&str) -> bool) {
    let mut rules = json!([
        {"apiGroups": ["kubernaut.ai"], "resources": ["workflowexecutions"], "verbs": ["patch"]},
        {"apiGroups": ["kubernaut.ai"], "resources": ["workflowexecutions/status"], "verbs": ["patch"]},
        {"apiGroups": ["tekton.dev"], "resources": ["pipelineruns"], "verbs": ["get", "list", "watch", "create", "delete"]},
        {"apiGroups": ["tekton.dev"], "resources": ["taskruns"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list", "watch", "create", "delete"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
    ]);
    rules.as_array_mut().unwrap().retain(|rule| wanted(rule["resources"][0].as_str().unwrap()));
    server.cluster_role("executor", serde_json::from_value(rules).unwrap()).await.unwrap();
}

/// Without a registration nobody asks the gate: what is created is judged by the executor alone.
async fn own(registered: bool) -> Option<Stage> {
    let server = support::own_bench_or_skip(Options::default().user(GATE, &[])).await?;
    server.apply_crds(&stage::crds()).await.unwrap();
    install_tekton(&server, "v1").await;
    allow_executing(&server).await;
    let gate = stage::start_gate(&server, CONFIG).await;
    gate.ready().await;
    if registered {
        stage::register(&server, &gate, wfe).await;
    }
    Some(Stage { server, gate })
}

/// The runs, as Tekton's controller sees them.
struct Tekton(Api<DynamicObject>);

impl Tekton {
    async fn of(server: &ApiServer) -> Self {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", "PipelineRun"));
        Self(Api::namespaced_with(server.client(support::ADMIN).await, RUNS, &resource))
    }

    /// The run of a target, once it is there.
    async fn run_on(&self, target: &str) -> DynamicObject {
        self.run_on_within(target, ACTION).await
    }

    async fn run_on_within(&self, target: &str, time: Duration) -> DynamicObject {
        let name = lockkeeper::controller::executor::run_name(target);
        eventually("the run is there", time, || async { self.0.get(&name).await }).await
    }

    async fn say(&self, target: &str, status: Value) {
        let name = lockkeeper::controller::executor::run_name(target);
        self.0.patch_status(&name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await.unwrap();
    }
}

fn condition(status: &str, reason: &str, message: &str) -> Value {
    json!([{"type": "Succeeded", "status": status, "reason": reason, "message": message}])
}

async fn ends(stage: &Stage, world: &World<'_>, name: &str, phase: &str) -> DynamicObject {
    ends_within(stage, world, name, phase, ACTION).await
}

async fn ends_within(stage: &Stage, world: &World<'_>, name: &str, phase: &str, time: Duration) -> DynamicObject {
    let api = world.api("WorkflowExecution");
    eventually("it ended", time, || async {
        let object = api.get(name).await.unwrap();
        if object.data["status"]["phase"] == phase {
            Ok(object)
        } else {
            Err(format!("{}\n{}", object.data["status"], stage.gate.process.log_tail(12)))
        }
    })
    .await
}

#[tokio::test]
async fn the_eight_rows_of_the_seed_by_the_loop_alone() {
    let Some(stage) = own(true).await else { return };
    let world = World::new(&stage.server, "seed").await;
    let tekton = Tekton::of(&stage.server).await;
    let rows = [
        ("TaskRunFailed", "task failed with exit code 1", true, "TaskFailed", true),
        ("TaskRunFailed", "task failed: OOMKilled", true, "OOMKilled", true),
        ("PipelineRunTimeout", "PipelineRun exceeded timeout of 10 minutes", true, "DeadlineExceeded", true),
        ("TaskRunFailed", "task failed: pods is forbidden: User cannot create resource", true, "Forbidden", true),
        ("TaskRunCreationFailed", "exceeded quota: compute resources", false, "ResourceExhausted", false),
        (
            "TaskRunValidationFailed",
            "invalid configuration: missing required parameter",
            false,
            "ConfigurationError",
            false,
        ),
        ("TaskRunImagePullFailed", "Failed to pull image: image pull backoff", false, "ImagePullBackOff", false),
        ("PipelineRunFailed", "unexpected error occurred", false, "Unknown", false),
    ];
    let began = Instant::now();
    for (number, (reason, message, started, expected, ran)) in rows.into_iter().enumerate() {
        let (name, target) = (format!("we-{number}"), world.target(&format!("app-{number}")));
        world.request(&format!("rr-{number}"), &format!("s-{number}"), json!({"overallPhase": "Analyzing"})).await;
        world.admitted(&wfe(&world.namespace, &name, &format!("rr-{number}"), &target)).await;
        let run = tekton.run_on(&target).await;
        let labels = run.metadata.labels.as_ref().unwrap();
        assert_eq!(
            (labels["kubernaut.ai/workflow-execution"].as_str(), labels["kubernaut.ai/source-namespace"].as_str()),
            (name.as_str(), world.namespace.as_str())
        );
        ends(&stage, &world, &name, "Running").await;
        let mut status = json!({"conditions": condition("False", reason, message)});
        if started {
            status["startTime"] = json!(in_seconds(-60));
        }
        tekton.say(&target, status).await;
        let object = ends(&stage, &world, &name, "Failed").await;
        let details = &object.data["status"]["failureDetails"];
        assert_eq!(details["reason"], expected, "{details}");
        assert_eq!(details["wasExecutionFailure"].as_bool().unwrap_or(false), ran, "{details}");
        assert_eq!(details["message"], message);
    }
    support::visible(&format!("the seed's eight rows took {:?}", began.elapsed()));
    // Once its time is over a run goes, and its execution with it when that is deleted.
    eventually("the runs are gone", ACTION, || async {
        let left = tekton.0.list(&kube::api::ListParams::default()).await.unwrap().items.len();
        if left == 0 { Ok(()) } else { Err(format!("{left} left\n{}", stage.gate.process.log_tail(12))) }
    })
    .await;
    let api = world.api("WorkflowExecution");
    eventually("nothing keeps it", ACTION, || async {
        let finalizers = api.get("we-0").await.unwrap().metadata.finalizers.unwrap_or_default();
        if finalizers.is_empty() { Ok(()) } else { Err(format!("{finalizers:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_hold_that_began_after_the_admission_stops_it_and_its_end_starts_it() {
    let Some(stage) = own(false).await else { return };
    let world = World::new(&stage.server, "held").await;
    let tekton = Tekton::of(&stage.server).await;
    let target = world.target("api");
    world.request("first", "a", json!({"overallPhase": "Analyzing"})).await;
    world.execution("first", "first", &target, Value::Null).await;
    tekton.run_on(&target).await;
    // As if the webhook had been away: it is there, and another one runs on its target.
    world.request("second", "b", json!({"overallPhase": "Analyzing"})).await;
    world.execution("second", "second", &target, Value::Null).await;
    let api = world.api("WorkflowExecution");
    let waits = eventually("it waits", ACTION, || async {
        let object = api.get("second").await.unwrap();
        let told = object.data["status"]["conditions"][0].clone();
        if told["type"] == "Admitted" {
            Ok(told)
        } else {
            Err(format!("{}\n{}", object.data["status"], stage.gate.process.log_tail(9)))
        }
    })
    .await;
    assert_eq!((&waits["status"], &waits["reason"]), (&json!("False"), &json!("ResourceBusy")), "{waits}");
    let status = json!({"startTime": in_seconds(-9), "completionTime": in_seconds(0), "conditions": condition("True", "Succeeded", "Tasks Completed: 1")});
    tekton.say(&target, status).await;
    ends(&stage, &world, "first", "Completed").await;
    ends(&stage, &world, "second", "Running").await;
    let run = tekton.run_on(&target).await;
    assert_eq!(run.metadata.labels.unwrap()["kubernaut.ai/workflow-execution"], "second");
}
