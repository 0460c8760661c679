//! Many executions at once, several to each target: each ends as its run did, and no target ever has two that run.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::api::{Api, DynamicObject, WatchEvent, WatchParams};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::proxy::{Call, Proxy};
use super::{CONFIG, Tekton, allow_executing, condition};
use crate::runs::install_tekton;
use crate::stage::{self, GATE, World, in_seconds};
use crate::support::{self, Options};

/// So many, unless the environment says otherwise: LOCKKEEPER_CROWD=2000 for the whole of it.
const CROWD: usize = 60;
const TO_A_TARGET: usize = 4;
/// Every so many a run fails.
const FAILS: usize = 7;
/// Writers side by side.
const WRITERS: usize = 16;
/// One finalizer, one run and its end, three statuses and three events, four looks, and what those cost that wait their turn.
const CALLS_MAX: usize = 40;

fn crowd() -> usize {
    std::env::var("LOCKKEEPER_CROWD").ok().map_or(CROWD, |text| text.parse().expect("LOCKKEEPER_CROWD is a number"))
}

fn number(name: &str) -> usize {
    name.rsplit('-').next().unwrap().parse().unwrap()
}

fn expected(name: &str) -> (&'static str, &'static str) {
    if number(name).is_multiple_of(FAILS) { ("Failed", "TaskFailed") } else { ("Completed", "") }
}

/// Every event of a kind, from its first object on.
async fn every(api: Api<DynamicObject>, mut told: impl FnMut(bool, DynamicObject)) {
    let mut version = "0".to_owned();
    loop {
        let mut events = api.watch(&WatchParams::default(), &version).await.unwrap().boxed();
        while let Some(event) = events.next().await {
            let (there, object) = match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => (true, object),
                Ok(WatchEvent::Deleted(object)) => (false, object),
                Ok(WatchEvent::Bookmark(_)) => continue,
                Ok(WatchEvent::Error(error)) => panic!("{error:?}"),
                Err(_) => break,
            };
            version = object.metadata.resource_version.clone().unwrap();
            told(there, object);
        }
    }
}

/// Plays Tekton: what begins ends at once. Uids of the runs by their executions.
async fn play(api: Api<DynamicObject>, seen: watch::Sender<HashMap<String, BTreeSet<String>>>) {
    every(api.clone(), |there, run| {
        let owner = run.metadata.labels.as_ref().unwrap()["kubernaut.ai/workflow-execution"].clone();
        let uid = run.metadata.uid.clone().unwrap();
        seen.send_modify(|all| {
            all.entry(owner.clone()).or_default().insert(uid);
        });
        if !there || !run.data["status"].is_null() {
            return;
        }
        let (api, name) = (api.clone(), run.metadata.name.unwrap());
        tokio::spawn(async move {
            let (status, reason, message) = match expected(&owner).0 {
                "Failed" => ("False", "TaskRunFailed", "task failed with exit code 1"),
                _ => ("True", "Succeeded", "Tasks Completed: 1 (Failed: 0, Cancelled 0), Skipped: 0"),
            };
            let status = json!({"startTime": in_seconds(-9), "completionTime": in_seconds(0), "conditions": condition(status, reason, message)});
            let patch = kube::api::Patch::Merge(json!({"status": status}));
            api.patch_status(&name, &kube::api::PatchParams::default(), &patch).await.unwrap();
        });
    })
    .await;
}

/// Phase and reason of each execution as the API server told them, in its order; and those that ran beside another.
#[derive(Clone, Default)]
struct Told {
    all: BTreeMap<String, (String, String)>,
    running: HashMap<String, BTreeSet<String>>,
    beside: Vec<String>,
}

impl Told {
    fn learn(&mut self, object: &DynamicObject) {
        let name = object.metadata.name.clone().unwrap();
        let text = |path: &str| object.data.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let phase = text("/status/phase");
        let on_target = self.running.entry(text("/spec/targetResource")).or_default();
        if phase == "Running" {
            on_target.insert(name.clone());
        } else {
            on_target.remove(&name);
        }
        if on_target.len() > 1 {
            self.beside.push(format!("{on_target:?}"));
        }
        self.all.insert(name, (phase, text("/status/failureDetails/reason")));
    }

    fn open(&self) -> usize {
        self.all.values().filter(|(phase, _)| !matches!(&**phase, "Completed" | "Failed")).count()
    }
}

#[tokio::test]
async fn a_crowd_ends_as_its_runs_did_and_no_target_has_two() {
    let Some(server) = support::own_bench_or_skip(Options::default().user(GATE, &[])).await else { return };
    server.apply_crds(&stage::crds()).await.unwrap();
    install_tekton(&server, "v1").await;
    allow_executing(&server).await;
    let proxy = Proxy::start(&server).await;
    let off = ["recentlyRemediated", "previousExecutionFailed", "exhaustedRetries", "exponentialBackoff"];
    let checks = off.map(|check| format!("{check}: {{mode: off}}")).join(", ");
    let config = CONFIG.replace("recentlyRemediated: {mode: off}", &checks).replace("2s", "1s");
    let gate = stage::start_gate_with(&server, &config, &proxy.kubeconfig).await;
    gate.ready().await;
    let world = World::new(&server, "crowd").await;
    let tekton = Tekton::of(&server).await;
    let (runs, seen_runs) = watch::channel(HashMap::new());
    let player = tokio::spawn(play(tekton.0.clone(), runs));
    let (told, mut seen) = watch::channel(Told::default());
    let watcher = tokio::spawn(every(world.api("WorkflowExecution"), move |there, object| {
        if there {
            told.send_modify(|told| told.learn(&object));
        }
    }));

    let size = crowd();
    let names: Vec<_> = (1..=size).map(|number| format!("we-{number}")).collect();
    let requests =
        futures::stream::iter(&names).map(|name| world.request(name, name, json!({"overallPhase": "Analyzing"})));
    requests.buffer_unordered(WRITERS).for_each(|_| async {}).await;
    proxy.calls();
    let began = Instant::now();
    let targets = size.div_ceil(TO_A_TARGET);
    let created = futures::stream::iter(&names).map(|name| {
        let target = world.target(&format!("t-{}", number(name) % targets));
        let (world, name) = (&world, name.clone());
        async move { world.execution(&name, &name, &target, Value::Null).await }
    });
    created.buffer_unordered(WRITERS).for_each(|()| async {}).await;
    let stored = began.elapsed();
    let patience = Duration::from_secs(60) + Duration::from_millis(150) * u32::try_from(size).unwrap();
    let ended = seen.wait_for(|told| told.all.len() == size && told.open() == 0);
    let in_time = tokio::time::timeout(patience, ended).await.is_ok();
    assert!(in_time, "{} of {size} open\n{}", seen.borrow().open(), gate.process.log_tail(12));
    let took = began.elapsed();
    let told = seen.borrow().clone();
    assert!(told.beside.is_empty(), "{:?}", told.beside);
    for (name, (phase, reason)) in &told.all {
        assert_eq!((&**phase, &**reason), expected(name), "{name}");
    }
    let each: HashMap<_, _> = seen_runs.borrow().clone();
    assert!(each.len() == size && each.values().all(|uids| uids.len() == 1), "one run for each execution");

    let calls = proxy.calls();
    support::visible(&format!(
        "{size} executions on {targets} targets, stored in {stored:?}, all ended after {took:?}; {:.1} calls for each:\n{}",
        calls.len() as f64 / size as f64,
        by_kind(&calls, size)
    ));
    assert!(calls.len() <= size * CALLS_MAX, "a hot loop");
    player.abort();
    watcher.abort();
}

/// How often each kind of call was made, and how it was answered.
fn by_kind(calls: &[Call], size: usize) -> String {
    let mut kinds = BTreeMap::<String, usize>::new();
    for call in calls {
        let what = ["pipelineruns", "events", "status", "workflowexecutions"];
        let what = what.iter().find(|what| call.path.split('/').any(|part| part == **what)).unwrap();
        *kinds.entry(format!("{} {what} {}", call.method, call.code)).or_default() += 1;
    }
    let line = |(kind, count): (&String, &usize)| format!("  {:.2} {kind}", *count as f64 / size as f64);
    kinds.iter().map(line).collect::<Vec<_>>().join("\n")
}
