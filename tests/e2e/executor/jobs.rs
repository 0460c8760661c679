//! An execution that asks for a Kubernetes Job, with Kubernetes' own Job controller: it makes the Pods and writes every status
//! of the Job. The test plays scheduler and kubelet.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Binding, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{CONFIG, Tekton, allow_executing, ends, ends_within};
use crate::conversion::hub_wfe;
use crate::runs::{RUNS, install_tekton};
use crate::stage::{self, GATE, Stage, World, in_seconds};
use crate::support::controllers::Controllers;
use crate::support::{self, ACTION, ADMIN, ApiServer, Options, eventually};

/// The controllers learn first what there is, and look at a Job that is late when they come to it.
const FIRST: std::time::Duration = std::time::Duration::from_secs(60);

/// What is acted on in the namespace of the runs.
struct Jobs {
    jobs: Api<Job>,
    pods: Api<Pod>,
}

impl Jobs {
    async fn of(server: &ApiServer) -> Self {
        let client = server.client(ADMIN).await;
        Self { jobs: Api::namespaced(client.clone(), RUNS), pods: Api::namespaced(client, RUNS) }
    }

    async fn on(&self, target: &str) -> Job {
        let name = lockkeeper::controller::executor::run_name(target);
        eventually("the Job is there", ACTION, || async { self.jobs.get(&name).await }).await
    }

    /// The Pod of the Job of a target, once it is there.
    async fn pod(&self, target: &str) -> Pod {
        let name = lockkeeper::controller::executor::run_name(target);
        let of_job = ListParams::default().labels(&format!("job-name={name}"));
        eventually("its Pod is there", FIRST, || async {
            let pods = self.pods.list(&of_job).await.map_err(|error| error.to_string())?;
            pods.items.into_iter().next().ok_or_else(|| "none".to_owned())
        })
        .await
    }

    async fn placed(&self, target: &str) -> Pod {
        let pod = self.pod(target).await;
        let name = pod.metadata.name.clone().unwrap();
        let binding = json!({"metadata": {"name": name}, "target": {"apiVersion": "v1", "kind": "Node", "name": "n1"}});
        let binding: Binding = serde_json::from_value(binding).unwrap();
        let params = PostParams::default();
        let _: Value = self.pods.create_subresource("binding", &name, &params, &binding).await.unwrap();
        pod
    }

    /// What the kubelet says of the Pod.
    async fn say(&self, pod: &Pod, phase: &str, state: Value) {
        let name = pod.metadata.name.as_deref().unwrap();
        let image = if state.get("waiting").is_some() { "" } else { "registry.example/tool@sha256:1" };
        let container = json!({"name": "workflow", "image": "i", "imageID": image, "ready": false, "restartCount": 0, "state": state});
        let status = json!({"status": {"phase": phase, "containerStatuses": [container]}});
        self.pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    }

    /// The kubelet takes away what was deleted.
    async fn reap(&self, pod: &Pod) {
        let name = pod.metadata.name.as_deref().unwrap();
        eventually("the Pod was deleted by its Job's controller", ACTION, || async {
            let pod = self.pods.get(name).await.map_err(|error| error.to_string())?;
            pod.metadata.deletion_timestamp.map(drop).ok_or_else(|| "not yet".to_owned())
        })
        .await;
        self.pods.delete(name, &DeleteParams::default().grace_period(0)).await.unwrap();
    }
}

fn running() -> Value {
    json!({"running": {"startedAt": in_seconds(-2)}})
}

fn terminated(code: i32, reason: &str) -> Value {
    json!({"terminated": {"exitCode": code, "reason": reason, "startedAt": in_seconds(-2), "finishedAt": in_seconds(0)}})
}

/// The gate, the executor and the controllers; Pods that are not restricted are refused.
async fn set() -> Option<(Controllers, Stage)> {
    let options = Options::default().user(GATE, &[]).controllers();
    let server = support::own_bench_or_skip(options).await?;
    install_tekton(&server, "v1").await;
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    server.kubectl(ADMIN, &["label", "namespace", RUNS, restricted], None).await.expect_success();
    allow_executing(&server).await;
    let gate = stage::start_gate(&server, CONFIG).await;
    server.apply_crds(&stage::crds_of_both(&server, &gate).await).await.unwrap();
    gate.ready().await;
    let controllers = Controllers::start(&server).await.unwrap();
    Some((controllers, Stage { server, gate }))
}

/// An execution of this name on a target of its own, for the engine.
async fn starts(world: &World<'_>, name: &str, change: impl Fn(&mut Value)) -> String {
    let target = world.target(name);
    world.request(name, name, json!({"overallPhase": "Analyzing"})).await;
    let mut object = hub_wfe(&world.namespace, name, name, &target);
    object["spec"]["workflowRef"]["executionEngine"] = json!("job");
    change(&mut object);
    world.admitted(&object).await;
    target
}

/// What is told of a failure: reason, whether anything ran, the container, its exit code.
fn failure(status: &Value) -> (&str, bool, &str, Option<i64>) {
    let details = &status["failureDetails"];
    (
        details["reason"].as_str().unwrap_or_default(),
        details["wasExecutionFailure"].as_bool().unwrap_or(false),
        details["failedStepName"].as_str().unwrap_or_default(),
        details["exitCode"].as_i64(),
    )
}

#[tokio::test]
async fn what_becomes_of_a_job_becomes_of_its_execution() {
    let Some((controllers, stage)) = set().await else { return };
    let world = World::new(&stage.server, "jobs").await;
    let jobs = Jobs::of(&stage.server).await;

    // It carries what the execution says, and succeeds.
    let target =
        starts(&world, "well", |object| object["spec"]["parameters"] = json!({"REPLICAS": "3", "COST": "5$(HOME)"}))
            .await;
    let job = jobs.on(&target).await;
    let labels = job.metadata.labels.as_ref().unwrap();
    assert_eq!(
        (&*labels["kubernaut.ai/workflow-execution"], &*labels["kubernaut.ai/source-namespace"]),
        ("well", &*world.namespace)
    );
    let pod = jobs.placed(&target).await;
    let container = &pod.spec.as_ref().unwrap().containers[0];
    assert_eq!(container.image.as_deref(), Some("registry/restart:1"));
    let env: Vec<_> =
        container.env.iter().flatten().map(|one| (&*one.name, one.value.as_deref().unwrap_or_default())).collect();
    assert_eq!(
        env,
        [("HOME", "/tmp"), ("TMPDIR", "/tmp"), ("COST", "5$$(HOME)"), ("REPLICAS", "3"), ("TARGET_RESOURCE", &*target)]
    );
    ends(&stage, &world, "well", "Running").await;
    jobs.say(&pod, "Running", running()).await;
    jobs.say(&pod, "Succeeded", terminated(0, "Completed")).await;
    let status = ends(&stage, &world, "well", "Completed").await.data["status"].clone();
    let completed = jobs.on(&target).await.status.unwrap().completion_time.unwrap().0;
    assert_eq!(status["completionTime"], json!(completed.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()), "{status}");
    assert_eq!(status["pipelineRunStatus"]["completedTasks"], 1, "{status}");
    // Its time is over: the Job goes, and the Pod with it, and a PipelineRun has the target.
    world.request("next", "next", json!({"overallPhase": "Analyzing"})).await;
    world.admitted(&hub_wfe(&world.namespace, "next", "next", &target)).await;
    let name = pod.metadata.name.clone().unwrap();
    eventually("the Job has taken its Pod along", FIRST, || async {
        let left = jobs.pods.get_opt(&name).await.map_err(|error| error.to_string())?;
        left.map_or(Ok(()), |pod| Err(format!("{:?}", pod.metadata)))
    })
    .await;

    ends(&stage, &world, "next", "Running").await;

    // The program failed, and was killed for its memory: no second Pod comes.
    for (name, code, reason, expected) in [("exits", 3, "Error", "TaskFailed"), ("eats", 137, "OOMKilled", "OOMKilled")]
    {
        let target = starts(&world, name, |_| ()).await;
        let pod = jobs.placed(&target).await;
        jobs.say(&pod, "Running", running()).await;
        jobs.say(&pod, "Failed", terminated(code, reason)).await;
        let status = ends(&stage, &world, name, "Failed").await.data["status"].clone();
        assert_eq!(failure(&status), (expected, true, "workflow", Some(i64::from(code))), "{status}");
        let summary = status["failureDetails"]["naturalLanguageSummary"].as_str().unwrap();
        assert!(summary.contains("Pod "), "{summary}");
    }
    drop(controllers);
}

#[tokio::test]
async fn a_job_that_is_late_ran_only_where_its_pod_did() {
    let Some((controllers, stage)) = set().await else { return };
    let world = World::new(&stage.server, "late").await;
    let jobs = Jobs::of(&stage.server).await;
    let soon = |seconds: i64| move |object: &mut Value| object["spec"]["deadline"] = json!(in_seconds(seconds));

    // No node has room for it.
    let target = starts(&world, "unplaced", soon(5)).await;
    let pod = jobs.pod(&target).await;
    let scheduled = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient cpu."});
    let status = json!({"status": {"conditions": [scheduled]}});
    jobs.pods
        .patch_status(pod.metadata.name.as_deref().unwrap(), &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
    // At work until its time is over.
    let at_work = starts(&world, "at-work", soon(8)).await;
    let working = jobs.placed(&at_work).await;
    jobs.say(&working, "Running", running()).await;

    let status = ends_within(&stage, &world, "unplaced", "Failed", FIRST).await.data["status"].clone();
    assert_eq!(failure(&status), ("ResourceExhausted", false, "", None), "{status}");
    eventually("its Pod is told to end", FIRST, || async {
        let pod = jobs.pods.get(working.metadata.name.as_deref().unwrap()).await.map_err(|error| error.to_string())?;
        pod.metadata.deletion_timestamp.map(drop).ok_or_else(|| "not yet".to_owned())
    })
    .await;
    // Its time is over, and it still works.
    let phase = world.api("WorkflowExecution").get("at-work").await.unwrap().data["status"]["phase"].clone();
    assert_eq!(phase, "Running");
    jobs.say(&working, "Failed", terminated(143, "Error")).await;
    jobs.reap(&working).await;
    let status = ends_within(&stage, &world, "at-work", "Failed", FIRST).await.data["status"].clone();
    let (reason, ran, ..) = failure(&status);
    assert_eq!((reason, ran), ("DeadlineExceeded", true), "{status}");
    drop(controllers);
}

#[tokio::test]
async fn the_name_of_a_job_is_a_lock_and_its_execution_takes_it_along() {
    let Some((controllers, stage)) = set().await else { return };
    let world = World::new(&stage.server, "locks").await;
    let jobs = Jobs::of(&stage.server).await;

    // Somebody deletes the Job: before a Pod was at work, and after.
    for (name, ran) in [("taken-early", false), ("taken-late", true)] {
        let target = starts(&world, name, |_| ()).await;
        let pod = jobs.placed(&target).await;
        ends(&stage, &world, name, "Running").await;
        jobs.say(
            &pod,
            if ran { "Running" } else { "Pending" },
            if ran { running() } else { json!({"waiting": {"reason": "ContainerCreating"}}) },
        )
        .await;
        if ran {
            let api = world.api("WorkflowExecution");
            eventually("its progress is told", ACTION, || async {
                let status = api.get(name).await.unwrap().data["status"].clone();
                if status["pipelineRunStatus"]["reason"] == "Running" { Ok(()) } else { Err(status.to_string()) }
            })
            .await;
        }
        let job = lockkeeper::controller::executor::run_name(&target);
        jobs.jobs.delete(&job, &DeleteParams::background()).await.unwrap();
        let status = ends(&stage, &world, name, "Failed").await.data["status"].clone();
        let (reason, said, ..) = failure(&status);
        assert_eq!((reason, said), ("Unknown", true), "a Pod was on a node: {status}");
    }

    // A PipelineRun goes on where a Job is asked for: one workflow at a time, whatever carries it out.
    let target = world.target("both");
    world.request("both", "both", json!({"overallPhase": "Analyzing"})).await;
    world.admitted(&hub_wfe(&world.namespace, "pipeline", "both", &target)).await;
    Tekton::of(&stage.server).await.run_on(&target).await;
    world.request("other", "other", json!({"overallPhase": "Analyzing"})).await;
    let mut second = hub_wfe(&world.namespace, "second", "other", &target);
    second["spec"]["workflowRef"]["executionEngine"] = json!("job");
    world.admitted(&second).await;
    let api = world.api("WorkflowExecution");
    let held = eventually("the second waits", ACTION, || async {
        let status = api.get("second").await.unwrap().data["status"].clone();
        if status["phase"] == "Pending" { Ok(status) } else { Err(status.to_string()) }
    })
    .await;
    assert_eq!(held["conditions"][0]["reason"], "ResourceBusy", "{held}");

    // Deleted while its Pod is at work, an execution takes its Job along once that has ended, and has its target until then.
    let target = starts(&world, "leaves", |_| ()).await;
    let pod = jobs.placed(&target).await;
    jobs.say(&pod, "Running", running()).await;
    ends(&stage, &world, "leaves", "Running").await;
    api.delete("leaves", &DeleteParams::default()).await.unwrap();
    let job = lockkeeper::controller::executor::run_name(&target);
    let there = || async { jobs.jobs.get_opt(&job).await.map_err(|error| error.to_string()) };
    let first = eventually("the Job is being deleted", ACTION, || async {
        let job = there().await?.ok_or("it is gone")?;
        job.metadata.deletion_timestamp.as_ref().ok_or("it is not")?;
        Ok::<_, String>(job.metadata.uid)
    })
    .await;
    world.request("next", "next", json!({"overallPhase": "Analyzing"})).await;
    let mut next = hub_wfe(&world.namespace, "next", "next", &target);
    next["spec"]["workflowRef"]["executionEngine"] = json!("job");
    world.admitted(&next).await;
    eventually("the next one waits", ACTION, || async {
        let status = api.get("next").await.unwrap().data["status"].clone();
        if status["conditions"][0]["reason"] == "ResourceBusy" { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    assert_eq!(there().await.unwrap().map(|job| job.metadata.uid), Some(first.clone()));
    assert!(api.get_opt("leaves").await.unwrap().is_some(), "it stays as long as its Job does");
    jobs.reap(&pod).await;
    ends(&stage, &world, "next", "Running").await;
    assert_ne!(there().await.unwrap().map(|job| job.metadata.uid), Some(first));
    assert!(api.get_opt("leaves").await.unwrap().is_none());
    drop(controllers);
}
