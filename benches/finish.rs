//! How long after the end of its run an execution says so: lockkeeper's executor on a real API server, with the rights that the
//! chart grants. The bench plays Tekton, and hears of the end by a watch, as everybody does.
//!
//! `cargo bench --bench finish`; under `cargo test` a few runs only show that it works. It needs the programs of the test bench:
//! `make envtest` builds them and says their folder, for KUBEBUILDER_ASSETS.

#[allow(dead_code, unused_imports, reason = "the tests use the rest of it")]
#[path = "../tests/e2e/runs.rs"]
mod runs;
#[allow(dead_code, unused_imports, reason = "the tests use the rest of it")]
#[path = "../tests/e2e/stage.rs"]
mod stage;
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::api::{Api, DynamicObject, Patch, PatchParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use stage::{CHART, World, in_seconds};
use support::{ADMIN, ApiServer, Options, eventually};

const RUNS: usize = 200;
/// Where one takes so long, something is broken.
const PATIENCE: Duration = Duration::from_secs(30);
const NAMESPACE: &str = "gate";

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(finish(if measured { RUNS } else { 3 }));
}

async fn finish(count: usize) {
    let Some(server) = support::own_bench_or_skip(Options::default()).await else {
        println!("finish: nothing measured; set KUBEBUILDER_ASSETS to the folder that `make envtest` says last");
        return;
    };
    server.apply_crds(&stage::crds()).await.unwrap();
    runs::install_tekton(&server, "v1").await;
    let kubeconfig = as_the_chart_allows(&server).await;
    let gate = stage::start_gate_with(&server, "loops: {executor: true}", &kubeconfig).await;
    gate.ready().await;
    eventually("it leads", PATIENCE, || async {
        let (_, told) = gate.get("/metrics");
        if told.contains("lockkeeper_leader 1") { Ok(()) } else { Err(gate.process.log_tail(5)) }
    })
    .await;
    let world = World::new(&server, "finish").await;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", "PipelineRun"));
    let runs: Api<DynamicObject> = Api::namespaced_with(server.client(ADMIN).await, runs::RUNS, &resource);
    let mut made = seen(runs.clone(), |_| true);
    let mut ended = seen(world.api("WorkflowExecution"), |object| {
        matches!(object.data["status"]["phase"].as_str(), Some("Completed" | "Failed"))
    });

    let (mut begins, mut ends) = (Vec::new(), Vec::new());
    for number in 0..count {
        let name = format!("we-{number}");
        let target = world.target(&name);
        world.request(&name, &name, json!({"overallPhase": "Analyzing"})).await;
        let created = Instant::now();
        world.execution(&name, &name, &target, Value::Null).await;
        let run = lockkeeper::controller::executor::run_name(&target);
        begins.push(heard(&mut made, &run).await - created);
        let said = Patch::Merge(json!({"status": last_word(number)}));
        let over = Instant::now();
        runs.patch_status(&run, &PatchParams::default(), &said).await.unwrap();
        ends.push(heard(&mut ended, &name).await - over);
    }
    println!("{count} executions, one after the other, each on a target of its own");
    tell("from its creation to its run", begins);
    tell("from the end of its run to its own", ends);
}

/// Every other run fails.
fn last_word(number: usize) -> Value {
    let (status, reason, message) = if number.is_multiple_of(2) {
        ("True", "Succeeded", "Tasks Completed: 1 (Failed: 0, Cancelled 0), Skipped: 0")
    } else {
        ("False", "TaskRunFailed", "task failed with exit code 1")
    };
    let condition = json!({"type": "Succeeded", "status": status, "reason": reason, "message": message});
    json!({"startTime": in_seconds(-9), "completionTime": in_seconds(0), "conditions": [condition]})
}

/// The rights of the chart's profile `standalone`, in its service account.
async fn as_the_chart_allows(server: &ApiServer) -> PathBuf {
    server.kubectl(ADMIN, &["create", "namespace", NAMESPACE], None).await.expect_success();
    let render = ["template", "lockkeeper", CHART, "--namespace", NAMESPACE, "--show-only", "templates/rbac.yaml"];
    let profile = ["--set", "profile=standalone,webhook.url=https://127.0.0.1:9"];
    let rights = server.helm(ADMIN, &[&render[..], &profile].concat(), None).await.expect_success().stdout;
    server.kubectl(ADMIN, &["apply", "-f", "-"], Some(&rights)).await.expect_success();
    let token = server.service_account_token(NAMESPACE, "lockkeeper").await.unwrap();
    server.kubeconfig_for_token(&token, NAMESPACE).unwrap()
}

/// The names of objects that are so, each with the time at which the watch told it.
fn seen(
    api: Api<DynamicObject>,
    so: impl Fn(&DynamicObject) -> bool + Send + 'static,
) -> UnboundedReceiver<(String, Instant)> {
    let (told, heard) = unbounded_channel();
    tokio::spawn(async move {
        let mut version = "0".to_owned();
        loop {
            // At the end the server goes first.
            let Ok(events) = api.watch(&WatchParams::default(), &version).await else { return };
            let mut events = events.boxed();
            while let Some(Ok(event)) = events.next().await {
                let (WatchEvent::Added(object) | WatchEvent::Modified(object)) = event else { continue };
                version = object.metadata.resource_version.clone().unwrap();
                if so(&object) && told.send((object.metadata.name.unwrap(), Instant::now())).is_err() {
                    return;
                }
            }
        }
    });
    heard
}

async fn heard(told: &mut UnboundedReceiver<(String, Instant)>, name: &str) -> Instant {
    let one = async {
        loop {
            let (other, at) = told.recv().await.expect("the watch goes on");
            if other == name {
                return at;
            }
        }
    };
    tokio::time::timeout(PATIENCE, one).await.unwrap_or_else(|_| panic!("nothing of {name} within {PATIENCE:?}"))
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let part = |percent: usize| times[(times.len() * percent).div_ceil(100) - 1].as_secs_f64() * 1e3;
    println!("{what}: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, max {:.1} ms", part(50), part(90), part(99), part(100));
}
