//! Killed between any two calls, and on either side of each: one run, and the right status.

use kube::api::ListParams;
use serde_json::{Value, json};

use super::proxy::{Call, Fault, Proxy};
use super::{CONFIG, Tekton, allow_executing, condition};
use crate::runs::install_tekton;
use crate::stage::{self, GATE, Gate, World, in_seconds};
use crate::support::{self, ADMIN, ApiServer, Options, eventually};

/// Lives of one execution follow one upon the other on a machine that may be busy.
const LIFE: std::time::Duration = std::time::Duration::from_secs(60);

struct Bench {
    gate: Gate,
    proxy: Proxy,
    tekton: Tekton,
    server: ApiServer,
}

async fn bench() -> Option<Bench> {
    let server = support::own_bench_or_skip(Options::default().user(GATE, &[])).await?;
    server.apply_crds(&stage::crds()).await.unwrap();
    install_tekton(&server, "v1").await;
    allow_executing(&server).await;
    let proxy = Proxy::start(&server).await;
    let gate = stage::start_gate_with(&server, &CONFIG.replace("2s", "1s"), &proxy.kubeconfig).await;
    gate.ready().await;
    let tekton = Tekton::of(&server).await;
    Some(Bench { gate, proxy, tekton, server })
}

impl Bench {
    /// SIGKILL, and a new life at once: the dead one's lease runs out in a test of its own.
    async fn kill(&self) {
        self.gate.process.stop();
        self.server
            .kubectl(ADMIN, &["delete", "lease", "lockkeeper", "-n", "default", "--ignore-not-found"], None)
            .await
            .expect_success();
        self.proxy.arm(None);
        self.gate.process.restart().unwrap();
    }

    /// The life of one execution from its creation until its run is gone and nothing keeps it; what it cost, and whether the
    /// fault was met.
    async fn live(&self, world: &World<'_>, name: &str, fault: Option<Fault>) -> (Vec<Call>, bool) {
        let target = world.target(name);
        let run = lockkeeper::controller::executor::run_name(&target);
        world.request(name, name, json!({"overallPhase": "Analyzing"})).await;
        self.proxy.calls();
        self.proxy.arm(fault);
        world.execution(name, name, &target, Value::Null).await;
        let (api, mut met, mut uids) = (world.api("WorkflowExecution"), false, std::collections::BTreeSet::new());
        let ended = in_seconds(0);
        let life = async {
            loop {
                if self.proxy.tripped() {
                    self.kill().await;
                    met = true;
                }
                let object = api.get(name).await.unwrap();
                let there = self.tekton.0.get_opt(&run).await.unwrap();
                uids.extend(there.as_ref().and_then(|run| run.metadata.uid.clone()));
                let phase = object.data["status"]["phase"].as_str().unwrap_or_default().to_owned();
                let kept = object.metadata.finalizers.is_some_and(|finalizers| !finalizers.is_empty());
                match (&*phase, there) {
                    ("Running", Some(run)) if run.data["status"].is_null() => {
                        let status = json!({"startTime": in_seconds(-9), "completionTime": ended, "conditions": condition("True", "Succeeded", "done")});
                        self.tekton.say(&target, status).await;
                    }
                    ("Completed", None) if !kept => return object.data["status"].clone(),
                    ("Failed", _) => panic!("{fault:?}: {}", object.data["status"]),
                    _ => {}
                }
                tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            }
        };
        let Ok(status) = tokio::time::timeout(LIFE, life).await else {
            panic!(
                "{name}, {fault:?}: no end within {LIFE:?}\n{:#?}\n{}",
                self.proxy.calls(),
                self.gate.process.log_tail(15)
            )
        };
        assert_eq!(status["completionTime"], json!(ended), "{fault:?}");
        let calls = self.proxy.calls();
        let created = calls
            .iter()
            .filter(|call| call.method == "POST" && call.path.ends_with("/pipelineruns") && call.code == 201);
        assert_eq!((created.count(), uids.len()), (1, 1), "{fault:?}: {calls:#?}");
        (calls, met)
    }
}

#[tokio::test]
async fn killed_at_every_step_there_is_one_run_and_the_right_status() {
    let Some(bench) = bench().await else { return };
    let world = World::new(&bench.server, "crash").await;
    let (calls, _) = bench.live(&world, "unharmed", None).await;
    let told: Vec<_> = calls.iter().map(|call| format!("{} {} {}", call.method, call.path, call.code)).collect();
    support::visible(&format!("an execution took {} calls:\n{}", calls.len(), told.join("\n")));
    assert!(calls.len() <= 24, "a hot loop");

    let mut kills = 0;
    for number in 0..calls.len() {
        for (side, fault) in [("before", Fault::Before(number)), ("after", Fault::After(number))] {
            kills += usize::from(bench.live(&world, &format!("{side}-{number}"), Some(fault)).await.1);
        }
    }
    support::visible(&format!("killed {kills} times"));
    assert!(kills >= calls.len(), "{kills} kills");
    let left = bench.tekton.0.list(&ListParams::default()).await.unwrap().items.len();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn what_rests_asks_nothing() {
    let Some(bench) = bench().await else { return };
    let world = World::new(&bench.server, "rests").await;
    let target = world.target("api");
    world.request("rr", "s", json!({"overallPhase": "Analyzing"})).await;
    world.execution("we", "rr", &target, Value::Null).await;
    bench.tekton.run_on(&target).await;
    bench
        .tekton
        .say(&target, json!({"startTime": in_seconds(-9), "conditions": condition("Unknown", "Running", "m")}))
        .await;
    let api = world.api("WorkflowExecution");
    eventually("it is said that it runs", LIFE, || async {
        let object = api.get("we").await.unwrap();
        let told = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        if told.iter().any(|one| one["type"] == "ExecutionRunning") {
            Ok(())
        } else {
            Err(object.data["status"].to_string())
        }
    })
    .await;
    // Its own writes come back once.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    bench.proxy.calls();
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let asked = bench.proxy.calls();
    assert!(asked.is_empty(), "{asked:#?}");
}
