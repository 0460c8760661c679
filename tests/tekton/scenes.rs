//! The scenes.

use serde_json::{Value, json};

use crate::scene::{Act, Scene};
use crate::stage::Place;
use crate::support::pods::Play;
use Act::{Cancel, Pod, Retry, TaskTimeOut, TimeOut, Unresolved, Until};

pub fn all() -> Vec<Scene> {
    [steps(), pods(), ends(), retries(), refusals(), specs()].into_iter().flatten().collect()
}

/// What a step's own end leaves.
fn steps() -> Vec<Scene> {
    let user_words = json!([
        {"key": "note", "value": "OOMKilled: pods is forbidden: exceeded quota: ImagePullBackOff: timeout", "type": 1},
    ]);
    vec![
        Scene::new("success", pipeline(&[task("a", &["a"])]), [Pod("a", Play::success())]).stores(
            "Succeeded",
            &[("a", "Succeeded")],
            "Tasks Completed: 1 (Failed: 0, Cancelled 0), Skipped: 0",
        ),
        Scene::new("exit", pipeline(&[task("a", &["a"])]), [Pod("a", Play::exit(1))])
            .stores("Failed", &[("a", "StepFailed")], r#""step-a" exited with code 1: Error"#)
            .means("TaskFailed", true),
        Scene::new("exit-of-second", pipeline(&[task("a", &["a", "b", "c"])]), [Pod("a", Play::exit(3).at(1))])
            .stores("Failed", &[("a", "StepFailed")], r#""step-b" exited with code 3: Error"#)
            .means("TaskFailed", true),
        Scene::new("user-words", pipeline(&[noting("a")]), [Pod("a", Play::exit(1).saying(&user_words))])
            .stores("Failed", &[("a", "StepFailed")], r#""step-a" exited with code 1: Error"#)
            .means("TaskFailed", true),
        Scene::new("oom", pipeline(&[task("a", &["a"])]), [Pod("a", Play::oom())])
            .stores("Failed", &[("a", "StepOOM")], r#""step-a" exited with code 137: OOMKilled"#)
            .means("OOMKilled", true),
        Scene::new("oom-of-second", pipeline(&[task("a", &["a", "b", "c"])]), [Pod("a", Play::oom().at(1))])
            .stores("Failed", &[("a", "StepOOM")], r#""step-b" exited with code 137: OOMKilled"#)
            .means("OOMKilled", true),
        Scene::new("unstartable", pipeline(&[task("a", &["a"])]), [Pod("a", Play::unstartable())])
            .stores("Failed", &[("a", "StepFailed")], r#""step-a" exited with code 128: StartError"#)
            .means("ConfigurationError", false),
    ]
}

/// What a node or a kubelet does to a pod.
fn pods() -> Vec<Scene> {
    let rejected =
        Play::rejected("OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu, requested: 4000");
    vec![
        Scene::new("unpullable", pipeline(&[task("a", &["a"])]), [Pod("a", Play::unpullable())])
            .stores("Failed", &[("a", "TaskRunImagePullFailed")], "failed to pull the image")
            .means("ImagePullBackOff", false),
        Scene::new(
            "unpullable-later",
            pipeline(&[task("a", &["a"]), after("b", "a")]),
            [Pod("a", Play::success()), Pod("b", Play::unpullable())],
        )
        .stores("Failed", &[("a", "Succeeded"), ("b", "TaskRunImagePullFailed")], "failed to pull the image")
        .means("ImagePullBackOff", true),
        Scene::new("misconfigured", pipeline(&[task("a", &["a"])]), [Pod("a", Play::misconfigured())])
            .stores("Failed", &[("a", "CreateContainerConfigError")], "Failed to create pod due to config error")
            .means("ConfigurationError", false),
        Scene::new("evicted", pipeline(&[task("a", &["a"])]), [Pod("a", Play::evicted())])
            .stores("Failed", &[("a", "PodEvicted")], "The node was low on resource: memory.")
            .means("ResourceExhausted", true),
        Scene::new("rejected", pipeline(&[task("a", &["a"])]), [Pod("a", rejected)])
            .stores("Failed", &[("a", "Failed")], "Pod was rejected: Node didn't have enough resource: cpu")
            .means("ResourceExhausted", false),
        Scene::new(
            "unschedulable",
            pipeline(&[task("a", &["a"])]),
            [Pod("a", Play::unschedulable()), Until("a", "ExceededNodeResources"), TaskTimeOut("a")],
        )
        .stores("Failed", &[("a", "TaskRunTimeout")], "Previous status: [ExceededNodeResources]")
        .means("ResourceExhausted", false),
    ]
}

/// Runs that someone or the clock ends.
fn ends() -> Vec<Scene> {
    let cancelled = [("a", "TaskRunCancelled")];
    vec![
        Scene::new("timeout-running", pipeline(&[task("a", &["a"])]), [Pod("a", Play::running()), TimeOut])
            .stores("PipelineRunTimeout", &cancelled, r#"failed to finish within "1s""#)
            .means("DeadlineExceeded", true),
        Scene::new("timeout-untouched", pipeline(&[task("a", &["a"])]), [Pod("a", Play::untouched()), TimeOut])
            .stores("PipelineRunTimeout", &cancelled, "as the PipelineRun it belongs to has timed out.")
            .means("DeadlineExceeded", false),
        Scene::new("cancel-running", pipeline(&[task("a", &["a"])]), [Pod("a", Play::running()), Cancel])
            .stores("Cancelled", &cancelled, r#"TaskRun "cancel-running-a" was cancelled"#)
            .means("Unknown", true),
        Scene::new("cancel-untouched", pipeline(&[task("a", &["a"])]), [Pod("a", Play::untouched()), Cancel])
            .stores("Cancelled", &cancelled, r#"PipelineRun "cancel-untouched" was cancelled"#)
            .means("Unknown", false),
    ]
}

fn retries() -> Vec<Scene> {
    vec![
        Scene::new("retry-exits", pipeline(&[retried("a")]), [Pod("a", Play::exit(1)), Retry("a", Play::exit(2))])
            .stores("Failed", &[("a", "StepFailed")], r#""step-a" exited with code 2: Error"#)
            .means("TaskFailed", true),
        Scene::new("retry-succeeds", pipeline(&[retried("a")]), [Pod("a", Play::exit(1)), Retry("a", Play::success())])
            .stores("Succeeded", &[("a", "Succeeded")], "Tasks Completed: 1 (Failed: 0"),
        Scene::new(
            "retry-unpullable",
            pipeline(&[retried("a")]),
            [Pod("a", Play::exit(1)), Retry("a", Play::unpullable())],
        )
        .stores("Failed", &[("a", "TaskRunImagePullFailed")], "failed to pull the image")
        .means("ImagePullBackOff", true),
    ]
}

/// Pods that the API server refuses.
fn refusals() -> Vec<Scene> {
    vec![
        Scene::new("no-rights", pipeline(&[task("a", &["a"])]), [])
            .place(Place::NoRights)
            .stores("Failed", &[("a", "PodCreationFailed")], r#"cannot create resource "pods""#)
            .means("Forbidden", false),
        Scene::new("no-quota", pipeline(&[task("a", &["a"])]), [Until("a", "ExceededResourceQuota"), TimeOut])
            .place(Place::NoQuota)
            .stores("PipelineRunTimeout", &[("a", "TaskRunCancelled")], "Previous status: [ExceededResourceQuota]")
            .means("ResourceExhausted", false),
        Scene::new("restricted", pipeline(&[task("a", &["a"])]), [])
            .place(Place::Restricted)
            .stores("Failed", &[("a", "PodAdmissionFailed")], "violates PodSecurity")
            .means("Forbidden", false),
    ]
}

/// Runs that cannot begin.
fn specs() -> Vec<Scene> {
    let mut wants_param = task("a", &["a"]);
    wants_param["taskSpec"]["params"] = json!([{"name": "target"}]);
    let mut wants_workspace = task("a", &["a"]);
    wants_workspace["taskSpec"]["workspaces"] = json!([{"name": "source"}]);
    let mut missing = pipeline(&[task("a", &["a"])]);
    missing["pipelineSpec"]["params"] = json!([{"name": "target", "type": "string"}]);
    let bundle = json!({"resolver": "bundles", "params": [{"name": "bundle", "value": "registry.example/team/fix:1"}]});
    vec![
        Scene::new("param-of-task", pipeline(&[wants_param]), [])
            .stores("PipelineValidationFailed", &[], "missing values for these params")
            .means("ConfigurationError", false),
        Scene::new("param-of-run", missing, [])
            .stores("ParameterMissing", &[], "missing parameters: [target]")
            .means("ConfigurationError", false),
        Scene::new("workspace", pipeline(&[wants_workspace]), [])
            .stores("Failed", &[("a", "TaskRunValidationFailed")], "source")
            .means("ConfigurationError", false),
        Scene::new("no-task", pipeline(&[json!({"name": "a", "taskRef": {"name": "gone"}})]), [])
            .stores("CouldntGetTask", &[], r#"Couldn't retrieve Task "gone""#)
            .means("ConfigurationError", false),
        Scene::new("unresolved", json!({"pipelineRef": bundle}), [Unresolved])
            .stores("CouldntGetPipeline", &[], "cannot retrieve the oci image")
            .means("ConfigurationError", false),
    ]
}

fn pipeline(tasks: &[Value]) -> Value {
    json!({"pipelineSpec": {"tasks": tasks}})
}

/// Each step has a command, else Tekton asks the image's registry for one.
fn task(name: &str, steps: &[&str]) -> Value {
    let steps: Vec<Value> = steps
        .iter()
        .map(|step| json!({"name": step, "image": "registry.example/tool:1", "command": ["run"]}))
        .collect();
    json!({"name": name, "taskSpec": {"steps": steps}})
}

fn after(name: &str, first: &str) -> Value {
    let mut task = task(name, &[name]);
    task["runAfter"] = json!([first]);
    task
}

fn retried(name: &str) -> Value {
    let mut task = task(name, &[name]);
    task["retries"] = json!(1);
    task
}

/// A task with a result.
fn noting(name: &str) -> Value {
    let mut task = task(name, &[name]);
    task["taskSpec"]["results"] = json!([{"name": "note", "type": "string"}]);
    task
}
