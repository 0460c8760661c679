//! What each of Kubernaut's three shapes stored is understood, and what nobody can read stops nothing.

use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::runs;
use crate::stage::{self, GATE, World, in_seconds};
use crate::status;
use crate::support::{self, ACTION, ADMIN, ApiServer, Options, eventually};

/// An API server with these CRDs, and lockkeeper ready beside it, registered.
async fn stage_with(crds: &str, candidate: stage::Candidate) -> Option<stage::Stage> {
    let server: ApiServer = support::own_bench_or_skip(Options::default().user(GATE, &[])).await?;
    server.apply_crds(crds).await.unwrap();
    stage::allow_reading(&server).await;
    runs::install_tekton(&server, "v1").await;
    runs::allow_reading_runs(&server).await;
    let gate = stage::start_gate(&server, "").await;
    gate.ready().await;
    stage::register(&server, &gate, candidate).await;
    Some(stage::Stage { server, gate })
}

async fn upstream_stage(dialect: &Dialect) -> Option<stage::Stage> {
    stage_with(&crds_of(dialect)?, dialect.candidate).await
}

/// The CRDs of a release.
pub fn crds_of(dialect: &Dialect) -> Option<String> {
    let folder = stage::shared_folder(&format!("upstream/{}", dialect.name))?;
    let crds = ["remediationrequests", "workflowexecutions"]
        .map(|kind| std::fs::read_to_string(folder.join(format!("kubernaut.ai_{kind}.yaml"))).unwrap());
    Some(crds.join("\n---\n"))
}

/// The shape of one release.
pub struct Dialect {
    pub name: &'static str,
    /// A candidate as this release writes it.
    pub candidate: stage::Candidate,
    /// Routing fields on the status of a request.
    routing: fn(&Value) -> Value,
    /// How an execution says that something runs it.
    pub run: &'static str,
    /// And what became of that.
    pub said: &'static str,
    /// Its conditions of a run that was made and of one that ended.
    pub conditions: [&'static str; 2],
    /// It knows executions that found their target taken.
    pub duplicates: bool,
}

fn flat(routing: &Value) -> Value {
    routing.clone()
}

fn grouped(routing: &Value) -> Value {
    json!({"overallPhase": routing["overallPhase"], "routingStatus": {
        "blockReason": routing["blockReason"], "blockedUntil": routing["blockedUntil"],
        "nextAllowedExecution": routing["nextAllowedExecution"],
    }})
}

fn bundle(namespace: &str, name: &str, parent: &str, target: &str) -> Value {
    let mut object = stage::wfe(namespace, name, parent, target);
    object["spec"]["workflowRef"] =
        json!({"workflowId": "restart", "version": "1.0.0", "executionBundle": "registry/restart:1"});
    object
}

fn snapshot(namespace: &str, name: &str, parent: &str, target: &str) -> Value {
    let mut object = bundle(namespace, name, parent, target);
    object["spec"]["workflowRef"]["workflowName"] = json!("restart");
    object["spec"]["workflowRef"]["actionType"] = json!("RestartDeployment");
    object["spec"]["workflowRef"]["executionEngine"] = json!("tekton");
    object["spec"]["timesOutAt"] = json!(in_seconds(600));
    object
}

pub const DECEMBER_2025: Dialect = Dialect {
    name: "kubernaut-2025-12",
    candidate: stage::wfe,
    routing: flat,
    run: "pipelineRunRef",
    said: "pipelineRunStatus",
    conditions: ["TektonPipelineCreated", "TektonPipelineComplete"],
    duplicates: false,
};

pub const RELEASE_1_5_7: Dialect = Dialect {
    name: "kubernaut-1.5.7",
    candidate: bundle,
    routing: flat,
    run: "executionRef",
    said: "executionStatus",
    conditions: ["ExecutionCreated", "ExecutionComplete"],
    duplicates: true,
};

pub const AUGUST_2026: Dialect = Dialect {
    name: "kubernaut-2026-08",
    candidate: snapshot,
    routing: grouped,
    run: "executionRef",
    said: "executionStatus",
    conditions: ["ExecutionCreated", "ExecutionComplete"],
    duplicates: true,
};

#[tokio::test]
async fn december_2025() {
    understood(&DECEMBER_2025).await;
}

#[tokio::test]
async fn release_1_5_7() {
    understood(&RELEASE_1_5_7).await;
}

#[tokio::test]
async fn august_2026() {
    understood(&AUGUST_2026).await;
}

async fn understood(dialect: &Dialect) {
    let Some(stage) = upstream_stage(dialect).await else { return };
    let world = World::new(&stage.server, "dialect").await;
    let candidate = |name: &str, parent: &str, target: &str| {
        (dialect.candidate)(&world.namespace, name, parent, &world.target(target))
    };

    let until = in_seconds(600);
    let blocked = json!({"overallPhase": "Blocked", "blockReason": "RecentlyRemediated", "blockedUntil": until});
    world.request("blocked", "a", (dialect.routing)(&blocked)).await;
    let told = world.refused(&candidate("we", "blocked", "one"), "RecentlyRemediated").await;
    assert!(told.stderr.contains(&format!("its RemediationRequest is Blocked; until {until}")), "{told}");

    let waiting = json!({"overallPhase": "Analyzing", "nextAllowedExecution": until});
    world.request("waiting", "b", (dialect.routing)(&waiting)).await;
    world
        .refused(
            &candidate("we", "waiting", "two"),
            &format!("ExponentialBackoff: the next execution for this signal is not allowed yet; until {until}"),
        )
        .await;

    // A stored execution: its target, its run, its end.
    world.request("first", "c", json!({"overallPhase": "Analyzing"})).await;
    world.request("second", "d", json!({"overallPhase": "Analyzing"})).await;
    world.admitted(&candidate("runs", "first", "three")).await;
    world.write_status("WorkflowExecution", "runs", json!({"phase": "Running", dialect.run: {"name": "wfe-1"}})).await;
    world.refused(&candidate("we", "second", "three"), "ResourceBusy").await;
    world.write_status("WorkflowExecution", "runs", stage::FAILED_RUNNING(&in_seconds(-5))).await;
    world.refused(&candidate("we", "second", "three"), "PreviousExecutionFailed").await;

    status::dialects::written(&World::new(&stage.server, "written").await, dialect).await;
    checked(&stage.server, dialect).await;
}

/// What stands in this cluster comes home from v1beta1, and whoever would move there is told what was found.
async fn checked(server: &ApiServer, dialect: &Dialect) {
    let lockkeeper = async |args: &[&str], stdin: Option<&str>| {
        server.run(&stage::binary(), &server.user(ADMIN).kubeconfig, args, stdin).await.expect_success()
    };
    let shape = dialect.name.strip_prefix("kubernaut-").unwrap();
    let told = lockkeeper(&["convert", "--check"], None).await;
    assert!(told.stdout.contains(&format!("\nWorkflowExecution, v1alpha1 as of {shape}: ")), "{told}");
    assert!(told.stdout.contains(", 0 not identical, 0 not converted\n"), "{told}");
    let warned = told.stderr.contains("leave Kubernaut's own CRDs in place (chart: crds.install=false)");
    assert_eq!(warned, shape != "2025-12", "{told}");

    let get = ["get", "workflowexecutions,remediationrequests", "-A", "-o", "json"];
    let stored = server.kubectl(ADMIN, &get, None).await;
    let there = lockkeeper(&["convert", "-", "--to", "v1beta1", "-o", "json"], Some(&stored.stdout)).await;
    assert!(there.stdout.lines().all(|line| line.contains("\"kubernaut.ai/v1beta1\"")), "{there}");
    let home = lockkeeper(&["convert", "-", "--to", "v1alpha1", "-o", "json"], Some(&there.stdout)).await;
    let list: Value = serde_json::from_str(&stored.stdout).unwrap();
    let objects: Vec<Value> = home.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(objects.len() > 10 && Value::from(objects) == list["items"], "{home}");
}

/// Both kinds without a schema: whatever somebody stored.
fn anything_goes() -> String {
    [("remediationrequests", "RemediationRequest", "rr"), ("workflowexecutions", "WorkflowExecution", "wfe")]
        .map(|(plural, kind, short)| {
            json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("{plural}.kubernaut.ai")},
                "spec": {"group": "kubernaut.ai", "scope": "Namespaced", "names": {"plural": plural, "kind": kind, "shortNames": [short]},
                         "versions": [{"name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
                                       "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
            })
            .to_string()
        })
        .join("\n---\n")
}

#[tokio::test]
async fn one_that_cannot_be_read_stops_nothing() {
    let Some(stage) = stage_with(&anything_goes(), stage::wfe).await else { return };
    let world = World::new(&stage.server, "odd").await;
    let odd = json!({"apiVersion": "kubernaut.ai/v1alpha1", "kind": "RemediationRequest",
                     "metadata": {"name": "odd", "namespace": world.namespace}, "spec": "words"});
    let odd: DynamicObject = serde_json::from_value(odd).unwrap();
    world.api("RemediationRequest").create(&PostParams::default(), &odd).await.unwrap();
    world.request("fine", "s", json!({"overallPhase": "Analyzing"})).await;

    world.refused(&stage::wfe(&world.namespace, "a", "odd", &world.target("one")), "ParentUnreadable").await;
    world.admitted(&stage::wfe(&world.namespace, "b", "fine", &world.target("two"))).await;

    // A new lockkeeper meets it in its first list.
    let second = stage::start_gate(&stage.server, "").await;
    second.ready().await;
    let (_, body) = second.get("/readyz");
    assert!(body.contains("[+] remediationrequests: 1 objects, 1 unreadable"), "{body}");
    let log = eventually("it is said once", ACTION, || async {
        let log = second.process.log_text();
        if log.matches("this object cannot be read").count() == 1 { Ok(log) } else { Err(log) }
    })
    .await;
    assert!(
        log.contains(&format!("{}/odd", world.namespace)) && log.contains("spec: expected an object, found string"),
        "{log}"
    );
    assert!(!log.contains("words"), "the object's content is in the log: {log}");
    stage.server.kubectl(ADMIN, &["delete", "rr", "odd", "-n", &world.namespace], None).await.expect_success();
    world.refused(&stage::wfe(&world.namespace, "a", "odd", &world.target("one")), "ParentMissing").await;
}
