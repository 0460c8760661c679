//! Tekton beside the gate: its kinds come late, its runs outlive their executions, and the executor rests.

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::stage::{self, FAILED_BEFORE, GATE, Gate, World, in_seconds, wfe};
use crate::support::{self, ACTION, ADMIN, ApiServer, Options, eventually};

pub const RUNS: &str = "kubernaut-workflows";

/// Tekton's kinds as the API server needs them: any form, with a status of their own.
fn tekton_crds(version: &str) -> String {
    let crd = |kind: &str| {
        let (singular, plural) = (kind.to_lowercase(), format!("{}s", kind.to_lowercase()));
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.tekton.dev")},
            "spec": {
                "group": "tekton.dev", "scope": "Namespaced",
                "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": singular},
                "versions": [{
                    "name": version, "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                }],
            },
        })
    };
    ["PipelineRun", "TaskRun"].map(|kind| format!("---\n{}\n", crd(kind))).concat()
}

pub async fn install_tekton(server: &ApiServer, version: &str) {
    server.apply_crds(&tekton_crds(version)).await.unwrap();
    server.kubectl(ADMIN, &["create", "namespace", RUNS], None).await.expect_success();
}

pub async fn allow_reading_runs(server: &ApiServer) {
    let rule = json!({"apiGroups": ["tekton.dev"], "resources": ["pipelineruns", "taskruns"], "verbs": ["get", "list", "watch"]});
    server.cluster_role("runs-reader", vec![serde_json::from_value(rule).unwrap()]).await.unwrap();
    server.grant_in(RUNS, GATE, "runs-reader").await.unwrap();
}

/// The runs of one API version, as their executor writes them.
struct Runs(Api<DynamicObject>);

impl Runs {
    async fn of(server: &ApiServer, version: &str) -> Self {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", version, "PipelineRun"));
        Self(Api::namespaced_with(server.client(ADMIN).await, RUNS, &resource))
    }

    /// The run of an execution, at work.
    async fn start(&self, world: &World<'_>, name: &str, execution: &str, target: &str) {
        let resource = self.0.resource_url();
        let version = resource.split('/').nth(3).unwrap();
        let run = json!({
            "apiVersion": format!("tekton.dev/{version}"), "kind": "PipelineRun",
            "metadata": {
                "name": name, "namespace": RUNS, "annotations": {"kubernaut.ai/target-resource": target},
                "labels": {"kubernaut.ai/workflow-execution": execution, "kubernaut.ai/source-namespace": world.namespace},
            },
        });
        self.0.create(&PostParams::default(), &serde_json::from_value(run).unwrap()).await.unwrap();
        self.say(name, "Unknown", "Running").await;
    }

    async fn say(&self, name: &str, status: &str, reason: &str) {
        let condition = json!({"type": "Succeeded", "status": status, "reason": reason, "message": "m"});
        let patch = json!({"status": {"startTime": in_seconds(-5), "conditions": [condition]}});
        self.0.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }
}

/// What upstream writes when it loses sight of a run that goes on.
fn given_up() -> Value {
    let mut status = FAILED_BEFORE(&in_seconds(0));
    status["failureDetails"]["reason"] = json!("Unknown");
    status["failureDetails"]["message"] = json!("PipelineRun was deleted externally");
    status
}

async fn readyz_says(gate: &Gate, code: u16, line: &str) {
    eventually("readiness says it", ACTION, || async {
        let told = gate.get("/readyz");
        if told.0 == code && told.1.contains(line) {
            Ok(())
        } else {
            Err(format!("{told:?}\n{}", gate.process.log_tail(9)))
        }
    })
    .await;
}

#[tokio::test]
async fn a_run_that_outlives_its_execution_holds_the_target_also_where_tekton_came_late() {
    let Some(stage) = stage::own("checks: {exponentialBackoff: {mode: off}}").await else { return };
    let (server, gate) = (&stage.server, &stage.gate);
    let (code, before) = gate.get("/readyz");
    assert!(code == 200 && !before.contains("pipelineruns"), "{before}");
    assert!(!gate.get("/metrics").1.contains("pipelineruns"));

    // It comes, and we may not read it: said, and no reason to close the gate.
    install_tekton(server, "v1").await;
    readyz_says(gate, 200, "[+] pipelineruns: WARNING: may not be read and is not followed").await;
    allow_reading_runs(server).await;
    readyz_says(gate, 200, "[+] pipelineruns: 0 objects, 0 unreadable").await;
    readyz_says(gate, 200, "[+] taskruns: 0 objects, 0 unreadable").await;
    assert!(gate.get("/metrics").1.contains(r#"lockkeeper_state_objects{kind="pipelineruns"} 0"#));
    let log = gate.process.log_text();
    let told = "grant list and watch on pipelineruns (apiGroup tekton.dev) in namespace kubernaut-workflows";
    assert_eq!(log.matches(told).count(), 1, "{log}");

    let world = World::new(server, "outlives").await;
    let runs = Runs::of(server, "v1").await;
    let target = world.target("api");
    world.request("first", "a", json!({"overallPhase": "Executing"})).await;
    world.request("second", "b", json!({"overallPhase": "Analyzing"})).await;
    world.execution("given-up", "first", &target, json!({"phase": "Running"})).await;
    runs.start(&world, "wfe-1", "given-up", &target).await;
    world.write_status("WorkflowExecution", "given-up", given_up()).await;
    let next = wfe(&world.namespace, "next", "second", &target);
    let words = "ResourceBusy: a run on this target still goes on, though its workflow has ended or is gone; held by WorkflowExecution";
    world.refused(&next, &format!("{words} {}/given-up;", world.namespace)).await;

    // Whoever asks from outside is told the same, and what could not be read where it could not.
    let explain = ["explain", "--target", &target];
    let binary = &stage::binary();
    let told = server.run(binary, &server.user(GATE).kubeconfig, &explain, None).await;
    assert!(told.status == Some(1) && told.stdout.contains(words) && told.stderr.is_empty(), "{told}");

    // Deleted, it is still the one that is named; the run's end is the end.
    world.api("WorkflowExecution").delete("given-up", &DeleteParams::default()).await.unwrap();
    world.refused(&next, words).await;
    runs.say("wfe-1", "False", "Failed").await;
    world.admitted(&next).await;
}

#[tokio::test]
async fn tekton_that_was_there_before_is_known_before_the_first_verdict() {
    let Some(server) = support::own_bench_or_skip(Options::default().user(GATE, &[])).await else { return };
    server.apply_crds(&stage::crds()).await.unwrap();
    stage::allow_reading(&server).await;
    // An old release serves v1beta1 alone.
    install_tekton(&server, "v1beta1").await;
    allow_reading_runs(&server).await;
    let world = World::new(&server, "before").await;
    let target = world.target("api");
    world.request("rr", "s", json!({"overallPhase": "Analyzing"})).await;
    Runs::of(&server, "v1beta1").await.start(&world, "wfe-1", "long-gone", &target).await;
    let gate = stage::start_gate(&server, "").await;
    gate.ready().await;
    let (_, answer) = gate.review("CREATE", &wfe(&world.namespace, "we", "rr", &target));
    let cause = &answer["response"]["status"]["details"]["causes"][0];
    assert_eq!(cause["reason"], "ResourceBusy", "{answer}");
}

#[tokio::test]
async fn without_the_right_to_read_runs_a_question_is_answered_with_a_warning() {
    let Some(server) = support::own_bench_or_skip(Options::default().user(GATE, &[])).await else { return };
    server.apply_crds(&stage::crds()).await.unwrap();
    stage::allow_reading(&server).await;
    install_tekton(&server, "v1").await;
    let binary = &stage::binary();
    let told = server.run(binary, &server.user(GATE).kubeconfig, &["explain", "--target", "Node/w"], None).await;
    assert_eq!(told.status, Some(0), "{told}");
    let warning = "warning: pipelineruns in namespace kubernaut-workflows are not known here: pipelineruns.tekton.dev is forbidden";
    assert!(told.stderr.contains(warning), "{told}");
}

#[tokio::test]
async fn while_the_executor_rests_a_create_is_refused_until_it_does_not() {
    let config = "checks: {executorCooldown: {mode: enforce, cooldown: 4s}, recentlyRemediated: {mode: off}}";
    let Some(stage) = stage::own(config).await else { return };
    let world = World::new(&stage.server, "rests").await;
    let target = world.target("api");
    world.request("first", "a", json!({"overallPhase": "Executing"})).await;
    world.request("second", "b", json!({"overallPhase": "Analyzing"})).await;
    world.execution("done", "first", &target, json!({"phase": "Running"})).await;
    let ended = in_seconds(0);
    world.write_status("WorkflowExecution", "done", stage::completed(&ended)).await;
    let next = wfe(&world.namespace, "next", "second", &target);
    let words = format!("ExecutorCooldown: a workflow ended on this target at {ended}, and the executor rests");
    let told = world.refused(&next, &words).await;
    assert!(told.stderr.contains(&format!("held by WorkflowExecution {}/done;", world.namespace)), "{told}");
    world.admitted(&next).await;
}
