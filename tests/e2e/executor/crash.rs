//! Killed between any two calls of either loop: one run, the right status, and a request that counts it once.

use std::time::{Duration, Instant};

use kube::Api;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use lockkeeper::api::tekton::Engine;
use lockkeeper::controller::executor::run_name;
use serde_json::{Value, json};

use super::proxy::{Call, Fault, Proxy, Side, kind};
use super::{CONFIG, Tekton, allow_executing, condition};
use crate::conversion::{HUB, hub_wfe};
use crate::keeper::allow_keeping;
use crate::runs::{RUNS, install_tekton};
use crate::stage::{self, GATE, Gate, World, in_seconds};
use crate::support::{self, ACTION, ADMIN, ApiServer, Options, eventually};

/// Lives of one execution follow one upon the other on a machine that may be busy.
const LIFE: Duration = Duration::from_secs(60);

/// Both loops, and no check that would hold what comes after a failure of its signal.
const BOTH: &str = "loops: {executor: true, routingKeeper: true}\nexecution: {cooldown: 1s}\n\
    checks: {recentlyRemediated: {mode: off}, consecutiveFailures: {mode: off}, exponentialBackoff: {mode: off}}\n";

struct Bench {
    gate: Gate,
    proxy: Proxy,
    tekton: Tekton,
    jobs: Api<DynamicObject>,
    server: ApiServer,
}

/// With both versions, stored as v1beta1, so that nothing is converted; the shapes of `v1alpha1` have tests of their own.
async fn bench(config: &str) -> Option<Bench> {
    let server = support::own_bench_or_skip(Options::default().user(GATE, &[])).await?;
    install_tekton(&server, "v1").await;
    allow_executing(&server).await;
    allow_keeping(&server).await;
    let proxy = Proxy::start(&server).await;
    let gate = stage::start_gate_with(&server, config, &proxy.kubeconfig).await;
    server.apply_crds(&stage::crds_of_both(&server, &gate).await).await.unwrap();
    gate.ready().await;
    let tekton = Tekton::of(&server).await;
    let jobs = ApiResource::from_gvk(&GroupVersionKind::gvk("batch", "v1", "Job"));
    let jobs = Api::namespaced_with(server.client(ADMIN).await, RUNS, &jobs);
    Some(Bench { gate, proxy, tekton, jobs, server })
}

/// What becomes of each execution.
#[derive(Clone, Copy, Debug)]
struct Story {
    engine: Engine,
    /// Before anything ran.
    fails: bool,
}

impl Story {
    fn candidate(self, namespace: &str, name: &str, target: &str) -> Value {
        let mut execution = hub_wfe(namespace, name, name, target);
        let engine = if self.engine == Engine::Job { "job" } else { "tekton" };
        execution["spec"]["workflowRef"]["executionEngine"] = json!(engine);
        execution
    }

    /// What its engine's controller writes of its end.
    fn end(self, ended: &str) -> Value {
        let of_job = |kind: &str, reason: &str| json!({"type": kind, "status": "True", "reason": reason, "message": "m", "lastTransitionTime": ended, "lastProbeTime": ended});
        let started = in_seconds(-9);
        match (self.engine, self.fails) {
            (Engine::Tekton, false) => {
                json!({"startTime": started, "completionTime": ended, "conditions": condition("True", "Succeeded", "done")})
            }
            (Engine::Tekton, true) => {
                let message = "Failed to pull image: image pull backoff";
                json!({"completionTime": ended, "conditions": condition("False", "TaskRunImagePullFailed", message)})
            }
            (Engine::Job, false) => json!({"startTime": started, "completionTime": ended, "succeeded": 1,
                "conditions": [of_job("SuccessCriteriaMet", "CompletionsReached"), of_job("Complete", "CompletionsReached")]}),
            (Engine::Job, true) => json!({"startTime": started,
                "conditions": [of_job("FailureTarget", "DeadlineExceeded"), of_job("Failed", "DeadlineExceeded")]}),
        }
    }

    fn reason(self) -> &'static str {
        if self.engine == Engine::Job { "DeadlineExceeded" } else { "ImagePullBackOff" }
    }
}

impl Bench {
    fn runs(&self, story: Story) -> &Api<DynamicObject> {
        if story.engine == Engine::Job { &self.jobs } else { &self.tekton.0 }
    }

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

    /// The life of one execution from its creation until its run is gone, nothing keeps it and its request has ended. `number`
    /// of this signal have ended so.
    async fn live(
        &self,
        world: &World<'_>,
        story: Story,
        name: &str,
        number: usize,
        fault: Option<Fault>,
    ) -> Vec<Call> {
        let target = world.target(name);
        request(world, name, "s").await;
        self.proxy.calls();
        self.proxy.arm(fault.clone());
        let executions = world.api_in(HUB, "WorkflowExecution");
        let candidate = serde_json::from_value(story.candidate(&world.namespace, name, &target)).unwrap();
        executions.create(&PostParams::default(), &candidate).await.unwrap();
        let ended = in_seconds(0);
        let life = self.until_it_rests(world, story, name, &ended);
        let Ok((execution, request, uids)) = tokio::time::timeout(LIFE, life).await else {
            panic!(
                "{name}, {fault:?}: no end within {LIFE:?}\n{:#?}\n{}",
                self.proxy.calls(),
                self.gate.process.log_tail(15)
            )
        };
        assert_eq!(execution["completionTime"], json!(ended), "{fault:?}");
        let (details, routing) = (&execution["failure"], &request["routing"]);
        assert_eq!(request["completedAt"], json!(ended), "{fault:?}");
        if story.fails {
            assert_eq!(
                (&execution["phase"], &details["reason"]),
                (&json!("Failed"), &json!(story.reason())),
                "{fault:?}"
            );
            assert!(!details["wasExecutionFailure"].as_bool().unwrap_or(false), "{fault:?}: {details}");
            assert_eq!(
                (&request["overallPhase"], &routing["consecutiveFailureCount"]),
                (&json!("Failed"), &json!(number)),
                "{fault:?}: counted once, {request}"
            );
            assert!(routing["nextAllowedExecution"].is_string(), "{fault:?}: {request}");
        } else {
            assert_eq!(execution["phase"], "Completed", "{fault:?}");
            let outcome = &request["completion"]["outcome"];
            assert_eq!((&request["overallPhase"], outcome), (&json!("Completed"), &json!("Remediated")), "{fault:?}");
            assert_eq!(routing["consecutiveFailureCount"], 0, "{fault:?}");
        }
        let counts = |call: &&Call| call.code == 200 && call.body.contains("consecutiveFailureCount");
        let mut calls = self.proxy.calls();
        // What is stored may be seen before the proxy has the answer.
        let until = Instant::now() + ACTION;
        while !calls.iter().any(|call| counts(&call)) && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
            calls.extend(self.proxy.calls());
        }
        let count = |method: &str, end: &str, code: u16| {
            let all = calls.iter().filter(|call| call.method == method && call.code == code);
            all.filter(|call| call.path.ends_with(end)).count()
        };
        let runs = if story.engine == Engine::Job { "/jobs" } else { "/pipelineruns" };
        assert_eq!((count("POST", runs, 201), uids), (1, 1), "{fault:?}: {calls:#?}");
        assert_eq!(calls.iter().filter(counts).count(), 1, "{fault:?}: counted once: {calls:#?}");
        calls
    }

    /// The status of the execution and that of its request once both have come to rest, and how many runs there were.
    async fn until_it_rests(&self, world: &World<'_>, story: Story, name: &str, ended: &str) -> (Value, Value, usize) {
        let (executions, requests) = (world.api_in(HUB, "WorkflowExecution"), world.api_in(HUB, "RemediationRequest"));
        let (runs, run) = (self.runs(story), run_name(&world.target(name)));
        let mut uids = std::collections::BTreeSet::new();
        loop {
            if self.proxy.tripped() {
                self.kill().await;
            }
            let object = executions.get(name).await.unwrap();
            let there = runs.get_opt(&run).await.unwrap();
            uids.extend(there.as_ref().and_then(|run| run.metadata.uid.clone()));
            let phase = object.data["status"]["phase"].as_str().unwrap_or_default().to_owned();
            let kept = object.metadata.finalizers.is_some_and(|finalizers| !finalizers.is_empty());
            match (&*phase, there) {
                ("Running", Some(there)) if there.data["status"]["conditions"].is_null() => {
                    let status = Patch::Merge(json!({"status": story.end(ended)}));
                    runs.patch_status(&run, &PatchParams::default(), &status).await.unwrap();
                }
                ("Completed" | "Failed", None) if !kept => {
                    let request = requests.get(name).await.unwrap().data["status"].clone();
                    if matches!(request["overallPhase"].as_str(), Some("Completed" | "Failed")) {
                        return (object.data["status"].clone(), request, uids.len());
                    }
                }
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}

/// A request of this signal that is being analysed.
async fn request(world: &World<'_>, name: &str, signal: &str) {
    let api = world.api_in(HUB, "RemediationRequest");
    let mut request = stage::rr(&world.namespace, name, signal);
    request["apiVersion"] = json!(format!("kubernaut.ai/{HUB}"));
    api.create(&PostParams::default(), &serde_json::from_value(request).unwrap()).await.unwrap();
    let analyzing = Patch::Merge(json!({"status": {"overallPhase": "Analyzing"}}));
    api.patch_status(name, &PatchParams::default(), &analyzing).await.unwrap();
}

/// A kill before a call and one after the call before it leave the same behind: each call is followed by one.
async fn killed_after_every_call(story: Story) {
    let Some(bench) = bench(BOTH).await else { return };
    let world = World::new(&bench.server, "crash").await;
    let unharmed = bench.live(&world, story, "unharmed", 1, None).await;
    let told: Vec<_> = unharmed.iter().map(|call| format!("{} {} {}", call.method, call.path, call.code)).collect();
    support::visible(&format!(
        "{story:?}: an execution and its request took {} calls:\n{}",
        unharmed.len(),
        told.join("\n")
    ));
    assert!(unharmed.len() <= 36, "a hot loop");

    let mut numbers = std::collections::BTreeMap::<String, usize>::new();
    let mut faults = vec![Fault { side: Side::Before, kind: kind(&unharmed[0].method, &unharmed[0].path), number: 0 }];
    for call in &unharmed {
        let kind = kind(&call.method, &call.path);
        let number = numbers.entry(kind.clone()).or_default();
        faults.push(Fault { side: Side::After, kind, number: *number });
        *number += 1;
    }
    let mut killed = std::collections::BTreeSet::new();
    let mut kills = 0;
    for (number, fault) in faults.into_iter().enumerate() {
        bench.live(&world, story, &format!("life-{number}"), number + 2, Some(fault)).await;
        let by = bench.proxy.tripped_by();
        kills += usize::from(by.is_some());
        killed.extend(by);
    }
    support::visible(&format!("{story:?}: killed {kills} times, by {killed:?}"));
    let every: std::collections::BTreeSet<_> = numbers.into_keys().collect();
    assert!(every.is_subset(&killed), "killed at each kind of call: {every:?}");
    // No later life has counted an earlier one again.
    let requests = world.api_in(HUB, "RemediationRequest").list(&ListParams::default()).await.unwrap().items;
    let mut counts: Vec<_> = requests
        .iter()
        .filter_map(|request| request.data["status"]["routing"]["consecutiveFailureCount"].as_u64())
        .collect();
    counts.sort_unstable();
    let expected: Vec<u64> = (1..=requests.len() as u64).map(|number| if story.fails { number } else { 0 }).collect();
    assert_eq!(counts, expected);
    let left = bench.runs(story).list(&ListParams::default()).await.unwrap().items.len();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn killed_after_every_call_a_pipeline_run_that_goes_well_is_one() {
    killed_after_every_call(Story { engine: Engine::Tekton, fails: false }).await;
}

#[tokio::test]
async fn killed_after_every_call_a_pipeline_run_that_fails_is_counted_once() {
    killed_after_every_call(Story { engine: Engine::Tekton, fails: true }).await;
}

#[tokio::test]
async fn killed_after_every_call_a_job_that_goes_well_is_one() {
    killed_after_every_call(Story { engine: Engine::Job, fails: false }).await;
}

#[tokio::test]
async fn killed_after_every_call_a_job_that_fails_is_counted_once() {
    killed_after_every_call(Story { engine: Engine::Job, fails: true }).await;
}

#[tokio::test]
async fn what_rests_asks_nothing() {
    let Some(bench) = bench(CONFIG).await else { return };
    let world = World::new(&bench.server, "rests").await;
    let target = world.target("api");
    request(&world, "we", "s").await;
    let candidate = serde_json::from_value(hub_wfe(&world.namespace, "we", "we", &target)).unwrap();
    world.api_in(HUB, "WorkflowExecution").create(&PostParams::default(), &candidate).await.unwrap();
    bench.tekton.run_on(&target).await;
    bench
        .tekton
        .say(&target, json!({"startTime": in_seconds(-9), "conditions": condition("Unknown", "Running", "m")}))
        .await;
    let api = world.api_in(HUB, "WorkflowExecution");
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
    tokio::time::sleep(Duration::from_secs(2)).await;
    bench.proxy.calls();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let asked = bench.proxy.calls();
    assert!(asked.is_empty(), "{asked:#?}");
}

/// Of the other engine, and long over: the stream says a moment later that it went.
#[tokio::test]
async fn what_is_in_the_way_is_deleted_by_one_call() {
    let Some(bench) = bench(BOTH).await else { return };
    let world = World::new(&bench.server, "beside").await;
    for number in 0..5 {
        let name = format!("we-{number}");
        let target = world.target(&name);
        let run = run_name(&target);
        let labels =
            json!({"kubernaut.ai/workflow-execution": "long-gone", "kubernaut.ai/source-namespace": world.namespace});
        let containers = json!([{"name": "c", "image": "registry/c:1"}]);
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": run, "namespace": RUNS, "labels": labels},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": containers}}},
        });
        bench.jobs.create(&PostParams::default(), &serde_json::from_value(job).unwrap()).await.unwrap();
        let end = Story { engine: Engine::Job, fails: true }.end(&in_seconds(-60));
        bench.jobs.patch_status(&run, &PatchParams::default(), &Patch::Merge(json!({"status": end}))).await.unwrap();
        request(&world, &name, &name).await;
        bench.proxy.calls();
        let story = Story { engine: Engine::Tekton, fails: false };
        let candidate = serde_json::from_value(story.candidate(&world.namespace, &name, &target)).unwrap();
        world.api_in(HUB, "WorkflowExecution").create(&PostParams::default(), &candidate).await.unwrap();
        bench.tekton.run_on_within(&target, LIFE).await;
        let calls = bench.proxy.calls();
        let deleted: Vec<_> = calls.iter().filter(|call| call.method == "DELETE").map(|call| call.code).collect();
        assert_eq!(deleted, [200], "{calls:#?}");
    }
}
