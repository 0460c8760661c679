//! Rows: what Tekton and the kubelet recorded, and what it means. One for each line of what Tekton can say.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::tekton::{Job, PipelineRun, Pod, TaskRun};

const CREATED: &str = "2026-01-05T10:00:00Z";
const LATER: &str = "2026-01-05T10:00:30Z";
const COUNTS: &str = "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0";
const OUT_OF_TIME: &str =
    "TaskRun \"t\" was cancelled. TaskRun cancelled as the PipelineRun it belongs to has timed out.";

/// A run and what it refers to, as it is stored.
#[derive(Clone, Debug)]
struct Stored {
    run: Value,
    tasks: Vec<Value>,
}

fn run(reason: &str, message: &str) -> Stored {
    let mut status = json!({"startTime": CREATED, "completionTime": "2026-01-05T10:10:00Z"});
    if !reason.is_empty() || !message.is_empty() {
        status["conditions"] = json!([{"type": "Succeeded", "status": "False", "reason": reason, "message": message}]);
    }
    Stored { run: json!({"metadata": {"name": "r", "namespace": "w"}, "status": status}), tasks: Vec::new() }
}

/// The usual case: reason Failed, and one task tells why.
fn of(task: Task) -> Stored {
    run("Failed", COUNTS).with(task)
}

impl Stored {
    fn with(mut self, task: Task) -> Self {
        let Value::String(name) = &task.0["metadata"]["name"] else { unreachable!() };
        let kind = json!({"kind": "TaskRun", "name": name, "pipelineTaskName": name});
        self.refer(kind);
        self.tasks.push(task.0);
        self
    }

    fn refer(&mut self, child: Value) {
        let status = &mut self.run["status"];
        if status["childReferences"].is_null() {
            status["childReferences"] = json!([]);
        }
        status["childReferences"].as_array_mut().unwrap().push(child);
    }

    fn referring(mut self, kind: &str, name: &str) -> Self {
        self.refer(json!({"kind": kind, "name": name}));
        self
    }

    fn status(mut self, member: &str, value: Value) -> Self {
        self.run["status"][member] = value;
        self
    }

    fn classified(&self) -> Classification {
        let run = PipelineRun::from_json(&self.run.to_string()).unwrap();
        let tasks: Vec<_> = self.tasks.iter().map(|task| TaskRun::from_json(&task.to_string()).unwrap()).collect();
        of_run(&run, &tasks, false).unwrap()
    }

    fn says(&self) -> (Reason, bool) {
        let found = self.classified();
        assert!(!found.evidence.is_empty(), "{self:?}");
        (found.reason, found.ran)
    }
}

/// A TaskRun, as it is stored.
#[derive(Clone, Debug)]
struct Task(Value);

fn task(reason: &str, message: &str) -> Task {
    let succeeded = if matches!(reason, "Succeeded" | "Completed") { "True" } else { "False" };
    let mut status = json!({"startTime": CREATED});
    if !reason.is_empty() || !message.is_empty() {
        status["conditions"] =
            json!([{"type": "Succeeded", "status": succeeded, "reason": reason, "message": message}]);
    }
    Task(
        json!({"metadata": {"name": "t", "namespace": "w", "creationTimestamp": CREATED, "labels": {"tekton.dev/pipelineRun": "r"}}, "status": status}),
    )
}

fn succeeded() -> Task {
    task("Succeeded", "All Steps have completed executing").named("before").step(ended("Completed", 0))
}

impl Task {
    fn named(mut self, name: &str) -> Self {
        self.0["metadata"]["name"] = json!(name);
        self
    }

    fn pod(mut self) -> Self {
        self.0["status"]["podName"] = json!("p");
        self
    }

    fn add(mut self, list: &str, name: &str, mut container: Value) -> Self {
        container["name"] = json!(name);
        let status = &mut self.0["status"];
        if status[list].is_null() {
            status[list] = json!([]);
        }
        status[list].as_array_mut().unwrap().push(container);
        self.pod()
    }

    fn step(self, state: Value) -> Self {
        self.add("steps", "a", state)
    }

    fn another(self, state: Value) -> Self {
        self.add("steps", "b", state)
    }

    fn sidecar(self, state: Value) -> Self {
        self.add("sidecars", "s", state)
    }

    fn after(mut self, attempt: &Task) -> Self {
        self.0["status"]["retriesStatus"] = json!([attempt.0["status"]]);
        self
    }

    fn going_on(mut self) -> Self {
        self.0["status"]["conditions"][0]["status"] = json!("Unknown");
        self
    }
}

fn ended(reason: &str, code: i32) -> Value {
    json!({"imageID": "i@sha256:1", "terminated": {"reason": reason, "exitCode": code, "startedAt": LATER}})
}

/// A step that was waiting, as Tekton rewrites it.
fn rewritten(reason: &str) -> Value {
    json!({"terminated": {"reason": reason, "exitCode": 1, "startedAt": CREATED}})
}

/// A step that was running, as Tekton rewrites it.
fn killed(reason: &str) -> Value {
    json!({"imageID": "i@sha256:1", "terminated": {"reason": reason, "exitCode": 1, "startedAt": LATER}})
}

fn waiting(reason: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": "m"}})
}

fn running() -> Value {
    json!({"imageID": "i@sha256:1", "running": {"startedAt": LATER}})
}

fn with(mut state: Value, member: &str, value: &str) -> Value {
    state[member] = json!(value);
    state
}

use Reason::*;

/// Every row: what is stored, and what it means.
fn rows() -> Vec<(&'static str, Stored, Reason, bool)> {
    let exit = "\"step-a\" exited with code 1: Error";
    let pull = "the step \"a\" in TaskRun \"t\" failed to pull the image \"\". The pod errored with the message: \"Back-off pulling image \"x\".\"";
    let create = |error: &str| {
        task("PodCreationFailed", &format!("failed to create task run pod \"t\": {error}. Maybe invalid TaskSpec"))
    };
    let quota = "pods \"t-pod\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1";
    let late = |previous: &str| {
        task(
            "TaskRunTimeout",
            &format!("TaskRun \"t\" failed to finish within \"1h0m0s\"\nPrevious status: {previous}"),
        )
    };
    let timed_out = || run("PipelineRunTimeout", "PipelineRun \"r\" failed to finish within \"1h0m0s\"");
    vec![
        // What the kubelet attests of steps.
        ("exit 1", of(task("StepFailed", exit).step(ended("Error", 1))), TaskFailed, true),
        ("exit 1 by the message alone", of(task("Failed", "\"step-a\" exited with code 1 (image: \"i\"); for logs run: kubectl").pod()), TaskFailed, true),
        ("a build step of old", of(task("Failed", "build step \"build-step-a\" exited with code 1 (image: \"i\")").step(ended("Error", 1))), TaskFailed, true),
        ("OOM", of(task("StepOOM", "\"step-a\" exited with code 137: OOMKilled").step(ended("OOMKilled", 137)).another(running())), OomKilled, true),
        ("OOM before 1.12", of(task("Failed", "\"step-a\" exited with code 137").step(ended("OOMKilled", 137)).another(with(ended("Error", 1), "terminationReason", "Skipped"))), OomKilled, true),
        ("OOM that left exit code 0", of(task("StepOOM", "OOMKilled").step(ended("OOMKilled", 0))), OomKilled, true),
        ("OOM by the reason alone", of(task("StepOOM", "").pod()), OomKilled, true),
        ("OOM by the message alone", of(task("Failed", "\"step-a\" exited with code 255: OOMKilled").pod()), OomKilled, true),
        ("a sidecar's OOM", of(task("SidecarOOM", "\"sidecar-s\" exited with code 137: OOMKilled").step(ended("Completed", 0)).sidecar(ended("OOMKilled", 137))), OomKilled, true),
        ("a sidecar's OOM of old", of(task("Failed", "\"sidecar-s\" exited with code 137: OOMKilled").step(ended("Completed", 0)).sidecar(ended("OOMKilled", 137))), OomKilled, true),
        ("137 is no OOM", of(task("Failed", "\"step-a\" exited with code 137: Error").step(ended("Error", 137))), TaskFailed, true),
        ("an OOM that was passed over", of(task("StepFailed", "\"step-b\" exited with code 5: Error").step(with(ended("OOMKilled", 137), "terminationReason", "Continued")).another(ended("Error", 5))), TaskFailed, true),
        ("a step that could not be started", of(task("StepFailed", "\"step-a\" exited with code 128: StartError").step(ended("StartError", 128))), ConfigurationError, false),
        ("the same by the message alone", of(task("StepFailed", "\"step-a\" exited with code 128: StartError")), ConfigurationError, false),
        ("old words against the record", of(task("Failed", "\"step-a\" exited with code 127 (image: \"i\")").step(ended("ContainerCannotRun", 127))), ConfigurationError, false),
        ("a container's init that was killed", of(task("Failed", "\"step-a\" exited with code 128").step(json!({"imageID": "i", "terminated": {"reason": "StartError", "exitCode": 128, "message": "… container init was OOM-killed (memory limit too low?)"}}))), OomKilled, false),
        ("a container that was lost", of(task("StepFailed", "\"step-a\" exited with code 137: ContainerStatusUnknown").step(json!({"terminated": {"reason": "ContainerStatusUnknown", "exitCode": 137}}))), Unknown, true),
        ("a step out of time", of(task("StepFailed", "\"step-a\" exited because the step exceeded the specified timeout limit").step(with(ended("Error", 1), "terminationReason", "TimeoutExceeded"))), DeadlineExceeded, true),
        ("a step out of time of old", of(task("Failed", "\"step-a\" exited because the step exceeded the specified timeout limit; for logs run: x").pod()), DeadlineExceeded, true),
        ("a sidecar's failure", of(task("SidecarFailed", "\"sidecar-s\" exited with code 1: Error").step(ended("Completed", 0)).sidecar(ended("Error", 1))), TaskFailed, true),
        ("a sidecar that could not be started", of(task("SidecarFailed", "\"sidecar-s\" exited with code 128: StartError").step(waiting("PodInitializing")).sidecar(ended("StartError", 128))), ConfigurationError, false),
        ("a native sidecar's failure", of(task("InitContainerFailed", "init container failed, \"sidecar-s\" exited with code 1: Error").pod()), TaskFailed, true),
        ("Tekton's own init container", of(task("InitContainerFailed", "init container failed, \"prepare\" exited with code 1: Error").step(waiting("PodInitializing"))), Unknown, false),
        ("the same without steps", of(task("Failed", "init container failed, \"prepare\" exited with code 137").pod()), Unknown, false),
        ("its OOM", of(task("InitContainerOOM", "init container failed, \"place-scripts\" exited with code 137: OOMKilled").step(waiting("PodInitializing"))), OomKilled, false),
        // What the kubelet says of the whole Pod.
        ("evicted", of(task("PodEvicted", "The node was low on resource: memory. Container step-a was using 1Gi").step(ended("Error", 137))), ResourceExhausted, true),
        ("evicted, nothing left but the words", of(task("PodEvicted", "The node was low on resource: memory. Threshold quantity: 100Mi. Container step-a was using 1900Mi, request is 0").pod()), ResourceExhausted, true),
        ("evicted before it started", of(task("PodEvicted", "The node was low on resource: ephemeral-storage. ").step(json!({}))), ResourceExhausted, false),
        ("an eviction outranks an OOM", of(task("PodEvicted", "Usage of EmptyDir volume \"x\" exceeds the limit \"1Gi\".").step(ended("OOMKilled", 137))), ResourceExhausted, true),
        ("a container's storage", of(task("Failed", "Container step-a exceeded its local ephemeral storage limit \"1Gi\".").pod()), ResourceExhausted, true),
        ("turned away for want of resources", of(task("Failed", "Pod was rejected: Node didn't have enough resource: cpu, requested: 4000").pod()), ResourceExhausted, false),
        ("turned away under pressure", of(task("PodEvicted", "Pod was rejected: The node had condition: [DiskPressure]. ").step(json!({}))), ResourceExhausted, false),
        ("turned away for another reason", of(task("Failed", "Pod was rejected: Predicate NodeAffinity failed").pod()), Unknown, false),
        ("a Pod's own deadline", of(task("Failed", "Pod was active on the node longer than the specified deadline").step(running())), DeadlineExceeded, true),
        ("a node that shuts down", of(task("Failed", "Pod was terminated in response to imminent node shutdown.").step(waiting("PodInitializing"))), Unknown, false),
        ("collected", of(task("Failed", "build failed for unspecified reasons.").step(running())), Unknown, true),
        ("a Pod, and nothing else", of(task("Failed", "boom").pod()), Unknown, true),
        // Images and configuration.
        ("image pull", of(task("TaskRunImagePullFailed", pull).step(rewritten("TaskRunImagePullFailed"))), ImagePullBackOff, false),
        ("image pull after another task", run("Failed", COUNTS).with(succeeded()).with(task("TaskRunImagePullFailed", pull).step(rewritten("TaskRunImagePullFailed"))), ImagePullBackOff, true),
        ("image pull after an attempt that ran", of(task("TaskRunImagePullFailed", pull).step(rewritten("TaskRunImagePullFailed")).after(&task("Failed", exit).step(ended("Error", 1)))), ImagePullBackOff, true),
        ("waiting for an image, no condition", of(task("", "").step(waiting("ErrImagePull"))), ImagePullBackOff, false),
        ("waiting for a sidecar's image", of(task("TaskRunTimeout", "TaskRun \"t\" failed to finish within \"1h\"").step(waiting("PodInitializing")).sidecar(waiting("ImagePullBackOff"))), ImagePullBackOff, false),
        ("a missing secret", of(task("CreateContainerConfigError", "Failed to create pod due to config error").step(waiting("CreateContainerConfigError"))), ConfigurationError, false),
        ("a container the kubelet could not make", of(task("PodCreationFailed", "the step \"a\" in TaskRun \"t\" failed to start. The pod errored with the message: \"context deadline exceeded.\"").step(rewritten("PodCreationFailed"))), Unknown, false),
        ("the same for a bad mount", of(task("PodCreationFailed", "the step \"a\" in TaskRun \"t\" failed to start. The pod errored with the message: \"invalid mount\"").step(rewritten("PodCreationFailed"))), ConfigurationError, false),
        // Pods that were never made.
        ("quota", of(create(quota)), ResourceExhausted, false),
        ("a quota that asks for limits", of(create("pods \"t-pod\" is forbidden: failed quota: q: must specify limits.cpu")), ConfigurationError, false),
        ("a LimitRange", of(create("pods \"t-pod\" is forbidden: [maximum memory usage per Pod is 8Gi, but limit is 17Gi]")), ConfigurationError, false),
        ("a missing account", of(create("pods \"t-pod\" is forbidden: error looking up service account w/x: serviceaccount \"x\" not found")), ConfigurationError, false),
        ("RBAC", of(create("pods is forbidden: User \"system:serviceaccount:w:c\" cannot create resource \"pods\"")), Forbidden, false),
        ("PodSecurity", of(task("PodAdmissionFailed", "pods \"t-pod\" is forbidden: violates PodSecurity \"restricted:latest\": x")), Forbidden, false),
        ("PodSecurity before 0.47", of(task("CouldntGetTask", "failed to create task run pod \"t\": pods \"t-pod\" is forbidden: violates PodSecurity \"restricted:latest\": x. Maybe invalid TaskSpec")), Forbidden, false),
        ("a policy's webhook", of(create("admission webhook \"validate.kyverno.svc-fail\" denied the request: exceeded quota: of patience, is forbidden: exceeded quota")), Forbidden, false),
        ("a webhook that is away", of(create("Internal error occurred: failed calling webhook \"x\": Post \"https://x\": dial tcp: refused")), Unknown, false),
        ("an invalid Pod", of(create("Pod \"t-pod\" is invalid: spec.activeDeadlineSeconds: Invalid value: 0")), ConfigurationError, false),
        ("a registry", of(create("translating TaskSpec to Pod: error getting image manifest: MANIFEST_UNKNOWN: x")), ImagePullBackOff, false),
        ("an account, while translating", of(create("translating TaskSpec to Pod: serviceaccounts \"x\" not found")), ConfigurationError, false),
        ("etcd", of(create("etcdserver: request timed out")), Unknown, false),
        ("an error nobody knows", of(create("this is a fatal error")), Unknown, false),
        ("a task that does not exist", of(task("TaskRunResolutionFailed", "tasks.tekton.dev \"x\" not found")), ConfigurationError, false),
        ("a task that may not be read", of(task("TaskRunResolutionFailed", "tasks.tekton.dev \"x\" is forbidden: User \"u\" cannot get resource")), Forbidden, false),
        ("a wrong parameter", of(task("TaskRunValidationFailed", "invalid input params for task x: missing values")), ConfigurationError, false),
        ("results that are not what was declared", of(task("TaskRunValidationFailed", "Provided results don't match declared results").step(ended("Completed", 0))), TaskFailed, true),
        ("results that are too large", of(task("TaskRunResultLargerThanAllowedLimit", "x").pod()), TaskFailed, true),
        ("a sidecar that could not be stopped", of(task("TaskRunStopSidecarFailed", "pods \"x\" is forbidden: User \"u\" cannot update").step(ended("Completed", 0))), Unknown, true),
        // Out of time, and ended by somebody.
        ("out of time at work", of(task("TaskRunTimeout", "TaskRun \"t\" failed to finish within \"1h\"").step(killed("TaskRunTimeout"))), DeadlineExceeded, true),
        ("out of time while waiting", of(task("TaskRunTimeout", "TaskRun \"t\" failed to finish within \"1h\"").step(rewritten("TaskRunTimeout"))), DeadlineExceeded, false),
        ("the same, with null for a start", of(task("TaskRunTimeout", "x").step(json!({"terminated": {"reason": "TaskRunTimeout", "exitCode": 1, "startedAt": null}}))), DeadlineExceeded, false),
        ("no image named, but a start of its own", of(task("TaskRunTimeout", "x").step(json!({"terminated": {"reason": "TaskRunTimeout", "exitCode": 1, "startedAt": LATER}}))), DeadlineExceeded, true),
        ("out of time after a pull that failed", of(late("[PullImageFailed] build step \"step-a\" is pending").step(rewritten("TaskRunTimeout"))), ImagePullBackOff, false),
        ("out of time under a quota", timed_out().with(task("TaskRunCancelled", &format!("{OUT_OF_TIME}\nPrevious status: [ExceededResourceQuota] TaskRun Pod exceeded available resources: {quota}"))), ResourceExhausted, false),
        ("out of time unscheduled", of(late("[Pending] pod status \"PodScheduled\":\"False\"; message: \"0/3 nodes are available: 3 Insufficient cpu.\"")), ResourceExhausted, false),
        ("out of time, badly placed", of(late("[Pending] pod status \"PodScheduled\":\"False\"; message: \"0/3 nodes are available: 3 node(s) had taints.\"")), DeadlineExceeded, false),
        ("out of time after a policy", of(late("[PodCreationFailed] failed to create task run pod \"t\": pods \"t-pod\" is forbidden: violates PodSecurity \"x\". Maybe invalid TaskSpec")), Forbidden, false),
        ("out of time, and before that nothing is known", of(late("[ResolvingTaskRef] x")), DeadlineExceeded, false),
        ("out of time after a start", of(late("[StepFailed] \"step-a\" exited with code 1: Error")), DeadlineExceeded, true),
        ("the run out of time at work", timed_out().with(task("TaskRunCancelled", OUT_OF_TIME).step(killed("TaskRunCancelled"))), DeadlineExceeded, true),
        ("the run's tasks out of time", run("PipelineRunTimeout", "PipelineRun \"r\" failed due to tasks failed to finish within \"10m\"").with(task("TaskRunCancelled", OUT_OF_TIME).step(killed("TaskRunCancelled"))), DeadlineExceeded, true),
        ("the run's tasks out of time before 1.2", of(task("TaskRunCancelled", OUT_OF_TIME).step(killed("TaskRunCancelled"))), DeadlineExceeded, true),
        ("the run out of time, killed for memory", timed_out().with(task("StepOOM", "x").step(ended("OOMKilled", 137))), OomKilled, true),
        ("the run out of time after a failure that was passed over", timed_out().with(task("StepFailed", exit).step(ended("Error", 1))), DeadlineExceeded, true),
        ("the run out of time under a quota that goes on", timed_out().with(task("ExceededResourceQuota", quota).going_on()), ResourceExhausted, false),
        ("the run out of time, nothing ever began", timed_out(), DeadlineExceeded, false),
        ("the run out of time, what it refers to is gone", timed_out().referring("TaskRun", "t"), DeadlineExceeded, true),
        ("cancelled at work", run("Cancelled", "PipelineRun \"r\" was cancelled").with(task("TaskRunCancelled", "TaskRun \"t\" was cancelled. x").step(killed("TaskRunCancelled"))), Unknown, true),
        ("cancelled while waiting", run("Cancelled", "PipelineRun \"r\" was cancelled").with(task("TaskRunCancelled", "TaskRun \"t\" was cancelled. x").step(rewritten("TaskRunCancelled"))), Unknown, false),
        ("cancelled before anything", run("PipelineRunCancelled", "PipelineRun \"r\" was cancelled"), Unknown, false),
        ("cancelled, and a task had failed", run("Cancelled", "x").with(task("StepOOM", "x").step(ended("OOMKilled", 137)).named("u")).with(task("TaskRunCancelled", "x").step(killed("TaskRunCancelled"))), OomKilled, true),
        ("a task cancelled by somebody", run("Cancelled", "Tasks Completed: 1 (Failed: 0, Cancelled 1), Skipped: 0").with(task("TaskRunCancelled", "TaskRun \"t\" was cancelled. y").step(killed("TaskRunCancelled"))), Unknown, true),
        ("failed, and the only task known was cancelled", of(task("TaskRunCancelled", "TaskRun \"t\" was cancelled. y").step(killed("TaskRunCancelled"))), Unknown, true),
        // What is passed over.
        ("a failure that Tekton passed over", run("Failed", "Tasks Completed: 2 (Failed: 2 (Ignored: 1), Cancelled 0), Skipped: 0").with(task("FailureIgnored", "x").named("i").step(ended("OOMKilled", 137))).with(task("StepFailed", exit).step(ended("Error", 1))), TaskFailed, true),
        ("a pull failure that the pipeline passes over", run("Failed", COUNTS).with(task("TaskRunImagePullFailed", pull).named("i").step(rewritten("TaskRunImagePullFailed"))).with(task("StepFailed", exit).step(ended("Error", 1))).status("pipelineSpec", json!({"tasks": [{"name": "i", "onError": "continue"}, {"name": "t"}]})), TaskFailed, true),
        // The run's own condition.
        ("a pipeline that does not exist", run("CouldntGetPipeline", "Error retrieving pipeline for pipelinerun w/r: pipelines.tekton.dev \"x\" not found"), ConfigurationError, false),
        ("a pipeline that may not be read", run("CouldntGetPipeline", "Error retrieving pipeline for pipelinerun w/r: pipelines.tekton.dev \"x\" is forbidden: User \"u\" cannot get resource"), Forbidden, false),
        ("a namespace that may not be used", run("CouldntGetTask", "error requesting remote resource: access to specified namespace w is not allowed"), Forbidden, false),
        ("a missing parameter", run("ParameterMissing", "[User error] x is forbidden"), ConfigurationError, false),
        ("invalid before it began", run("PipelineValidationFailed", "invalid input params"), ConfigurationError, false),
        ("invalid in the middle", run("PipelineValidationFailed", "Tasks Completed: 1 (Failed: 0, Cancelled 0), Skipped: 0, Failed Validation: 1").with(succeeded()), TaskFailed, true),
        ("a result that could not be read", run("CouldntGetPipelineResult", "x"), TaskFailed, true),
        ("a refused task run", run("CreateRunFailed", "taskruns.tekton.dev \"t\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: x").with(succeeded()), Forbidden, true),
        ("a PVC over quota", run("CouldntCreateWorkspacePVC", "Failed to create PVC for PipelineRun w/r correctly: persistentvolumeclaims \"x\" is forbidden: exceeded quota: q, requested: y"), ResourceExhausted, false),
        ("a StatefulSet that may not be made", run("ReasonCouldntCreateOrUpdateAffinityAssistantStatefulSet", "Failed to create StatefulSet for PipelineRun w/r correctly: statefulsets.apps is forbidden: User \"u\" cannot create"), Forbidden, false),
        ("skipped for want of time", run("Failed", "Tasks Completed: 1 (Failed: 0, Cancelled 0), Skipped: 1").with(succeeded()).status("skippedTasks", json!([{"name": "x", "reason": "PipelineRun timeout has been reached"}])), DeadlineExceeded, true),
        ("counted, and nothing else is known", run("Failed", COUNTS), TaskFailed, true),
        ("counted, none done", run("Failed", "Tasks Completed: 0 (Failed: 0, Cancelled 0), Skipped: 2"), Unknown, false),
        ("counted, what it refers to is gone", run("Failed", COUNTS).referring("TaskRun", "t"), TaskFailed, true),
        ("a custom task", run("Failed", COUNTS).referring("CustomRun", "c"), Unknown, true),
        ("an old run's words", run("Failed", "TaskRun t has failed (\"step-a\" exited with code 1 (image: \"i\"))"), TaskFailed, true),
        ("an old run's words of a timeout", run("Failed", "TaskRun t has failed (TaskRun \"t\" failed to finish within \"20s\")"), DeadlineExceeded, true),
        ("a run that ended without a word", run("", ""), Unknown, false),
        ("no word, and a child that nobody can read", run("", "").referring("TaskRun", "t"), Unknown, true),
        ("what v1beta1 keeps inside", run("Failed", COUNTS).status("taskRuns", json!({"t": {"pipelineTaskName": "t", "status": task("Failed", "x").step(ended("OOMKilled", 137)).0["status"]}})), OomKilled, true),
        ("what v1beta1 keeps inside and cannot be read", run("Failed", COUNTS).status("taskRuns", json!({"t": 7})), TaskFailed, true),
        ("a custom run that v1beta1 keeps inside", run("Failed", COUNTS).status("runs", json!({"c": {}})), Unknown, true),
        ("a step in a form that nobody knows", of(task("TaskRunTimeout", "x").step(json!({"terminated": 7}))), DeadlineExceeded, true),
    ]
}

#[test]
fn every_row() {
    let mut wrong = Vec::new();
    for (what, stored, reason, ran) in rows() {
        let found = stored.says();
        if found != (reason, ran) {
            wrong.push(format!("{what}: expected {reason} {ran}, found {found:?}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_reason_of_the_tables_is_told_once_and_has_a_release() {
    for table in [&table::PIPELINE_RUN[..], &table::TASK_RUN[..]] {
        let mut reasons: Vec<_> = table.iter().map(|row| row.reason).collect();
        reasons.sort_unstable();
        assert!(reasons.windows(2).all(|pair| pair[0] != pair[1]), "{reasons:?}");
        assert!(table.iter().all(|row| row.since.split('.').all(|part| part.parse::<u32>().is_ok())));
    }
}

#[test]
fn a_run_that_went_well_or_goes_on_has_not_failed() {
    let mut stored = of(succeeded());
    for (status, ended) in [("True", true), ("Unknown", false)] {
        stored.run["status"]["conditions"][0]["status"] = json!(status);
        let run = PipelineRun::from_json(&stored.run.to_string()).unwrap();
        assert_eq!((of_run(&run, [], false), run.ended()), (None, ended));
        let account = Account::of(&run, [], false);
        assert_eq!(matches!(account, Account::Succeeded), ended);
    }
    stored.run["status"] = json!({"startTime": CREATED});
    assert_eq!(of_run(&PipelineRun::from_json(&stored.run.to_string()).unwrap(), [], false), None);
}

#[test]
fn it_says_which_task_which_step_and_when() {
    let mut failed = task("StepFailed", "\"step-b\" exited with code 3: Error")
        .step(ended("Completed", 0))
        .another(ended("Error", 3));
    failed.0["status"]["completionTime"] = json!("2026-01-05T10:05:00Z");
    let found = run("Failed", COUNTS).referring("CustomRun", "c").with(succeeded()).with(failed).classified();
    assert_eq!(found.task, Some(FailedTask { index: 1, name: "t".into() }));
    assert_eq!((found.step.as_deref(), found.exit_code), (Some("b"), Some(3)));
    assert_eq!(&*found.message, "\"step-b\" exited with code 3: Error");
    assert_eq!(found.failed_at.unwrap().to_string(), "2026-01-05T10:05:00Z");
    let without = run("CouldntGetTask", "x").classified();
    assert_eq!((without.task, without.step, without.exit_code), (None, None, None));
    assert_eq!(without.failed_at.unwrap().to_string(), "2026-01-05T10:10:00Z");
}

#[test]
fn of_two_failures_the_first_one_is_the_cause() {
    let at = |mut task: Task, time: &str| {
        task.0["status"]["completionTime"] = json!(time);
        task
    };
    let late = at(task("StepFailed", "x").named("late").step(ended("Error", 1)), "2026-01-05T10:09:00Z");
    let early = at(task("StepOOM", "x").named("early").step(ended("OOMKilled", 137)), "2026-01-05T10:03:00Z");
    let found = run("Failed", COUNTS).with(late).with(early).classified();
    assert_eq!((found.reason, &*found.task.unwrap().name), (OomKilled, "early"));
}

#[test]
fn what_was_seen_at_work_stays_seen() {
    let stored = of(task("TaskRunImagePullFailed", "x").step(rewritten("TaskRunImagePullFailed")));
    let run = PipelineRun::from_json(&stored.run.to_string()).unwrap();
    let tasks = [TaskRun::from_json(&stored.tasks[0].to_string()).unwrap()];
    let found = of_run(&run, &tasks, true).unwrap();
    assert_eq!((found.reason, found.ran), (ImagePullBackOff, true));
    assert_eq!(found.evidence[1].weight, Weight::Kubelet);
}

#[test]
fn condition_only_in_the_seeds_words() {
    for (reason, message, started, expected, ran) in [
        ("TaskRunFailed", "task failed with exit code 1", true, TaskFailed, true),
        ("TaskRunFailed", "task failed: OOMKilled", true, OomKilled, true),
        ("PipelineRunTimeout", "PipelineRun exceeded timeout of 10 minutes", true, DeadlineExceeded, true),
        ("TaskRunFailed", "task failed: pods is forbidden: User cannot create resource", true, Forbidden, true),
        ("TaskRunCreationFailed", "exceeded quota: compute resources", false, ResourceExhausted, false),
        (
            "TaskRunValidationFailed",
            "invalid configuration: missing required parameter",
            false,
            ConfigurationError,
            false,
        ),
        ("TaskRunImagePullFailed", "Failed to pull image: image pull back off", false, ImagePullBackOff, false),
        ("PipelineRunFailed", "unexpected error occurred", false, Unknown, false),
        ("Odd", "no room in the mushroom", true, Unknown, false),
        ("Odd", "an image pull backoff", true, ImagePullBackOff, false),
        ("StepOOM", "", true, OomKilled, true),
        ("Cancelled", "x", true, Unknown, false),
        ("", "", true, Unknown, false),
    ] {
        let found = of_condition(reason, message, started);
        assert_eq!((found.reason, found.ran), (expected, ran), "{reason} {message}");
    }
}

#[test]
fn a_run_that_the_api_server_refused() {
    for (code, reason, message, expected) in [
        (
            403,
            "Forbidden",
            "pipelineruns.tekton.dev \"r\" is forbidden: exceeded quota: q, requested: x",
            ResourceExhausted,
        ),
        (403, "Forbidden", "pipelineruns.tekton.dev is forbidden: User \"u\" cannot create resource", Forbidden),
        (403, "Forbidden", "admission webhook \"x\" denied the request: no", Forbidden),
        (403, "Forbidden", "no", Forbidden),
        (422, "Invalid", "PipelineRun.tekton.dev \"r\" is invalid: spec: x", ConfigurationError),
        (
            400,
            "BadRequest",
            "admission webhook \"webhook.pipeline.tekton.dev\" denied the request: validation failed: missing field(s): x",
            Forbidden,
        ),
        (404, "NotFound", "namespaces \"w\" not found", ConfigurationError),
        (404, "NotFound", "the server could not find the requested resource", ConfigurationError),
        (409, "Conflict", "x", Unknown),
        (429, "TooManyRequests", "storage is (re)initializing", Unknown),
        (500, "InternalError", "Internal error occurred: failed calling webhook \"x\"", Unknown),
        (504, "Timeout", "Timeout: request did not complete within requested timeout", Unknown),
        (507, "", "x", ResourceExhausted),
    ] {
        let found = of_refusal(code, reason, message);
        assert_eq!((found.reason, found.ran), (expected, false), "{code} {message}");
    }
}

fn job(reason: &str, counters: &Value, pods: &[Value]) -> Option<(Reason, bool)> {
    let mut status = counters.clone();
    status["conditions"] = json!([{"type": "Failed", "status": "True", "reason": reason, "message": "m"}]);
    let job =
        Job::from_json(&json!({"metadata": {"name": "j", "namespace": "w"}, "status": status}).to_string()).unwrap();
    let pods: Vec<_> = pods.iter().enumerate().map(|(i, status)| {
        let object = json!({"metadata": {"name": format!("p{i}"), "namespace": "w", "labels": {"job-name": "j"}}, "status": status});
        Pod::from_json(&object.to_string()).unwrap()
    }).collect();
    let found = of_job(&job, &pods, false)?;
    Some((found.reason, found.ran))
}

#[test]
fn kubernetes_jobs() {
    let container = |state: Value| json!({"phase": "Failed", "containerStatuses": [{"name": "workflow", "imageID": "i", "state": state}]});
    let none = json!({});
    let one = json!({"failed": 1});
    let exit = |reason: &str, code: i32| container(json!({"terminated": {"reason": reason, "exitCode": code}}));
    let backoff = "BackoffLimitExceeded";
    for (reason, counters, pods, expected) in [
        (backoff, &one, vec![exit("Error", 1)], (TaskFailed, true)),
        (backoff, &one, vec![exit("OOMKilled", 137)], (OomKilled, true)),
        (backoff, &one, vec![exit("StartError", 128)], (ConfigurationError, false)),
        (backoff, &one, vec![exit("ContainerStatusUnknown", 137)], (Unknown, true)),
        (backoff, &one, vec![], (TaskFailed, true)),
        (backoff, &none, vec![], (TaskFailed, true)),
        (backoff, &json!({"failed": 2}), vec![exit("StartError", 128)], (ConfigurationError, true)),
        (
            backoff,
            &one,
            vec![json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."})],
            (ResourceExhausted, true),
        ),
        (
            backoff,
            &one,
            vec![
                json!({"phase": "Failed", "reason": "OutOfcpu", "message": "Pod was rejected: Node didn't have enough resource: cpu"}),
            ],
            (ResourceExhausted, false),
        ),
        ("PodFailurePolicy", &one, vec![exit("Error", 42)], (TaskFailed, true)),
        ("DeadlineExceeded", &none, vec![], (DeadlineExceeded, false)),
        ("DeadlineExceeded", &one, vec![exit("Error", 143)], (DeadlineExceeded, true)),
        (
            "DeadlineExceeded",
            &json!({"active": 1}),
            vec![
                json!({"phase": "Pending", "containerStatuses": [{"name": "w", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}),
            ],
            (ImagePullBackOff, false),
        ),
        (
            "DeadlineExceeded",
            &json!({"active": 1}),
            vec![
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available: 3 Insufficient cpu."}]}),
            ],
            (ResourceExhausted, false),
        ),
        (
            "DeadlineExceeded",
            &json!({"active": 1}),
            vec![
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": "node(s) had taints"}]}),
            ],
            (ConfigurationError, false),
        ),
        ("Odd", &none, vec![json!({"phase": 7})], (Unknown, true)),
        ("Odd", &one, vec![json!("odd")], (Unknown, true)),
    ] {
        assert_eq!(job(reason, counters, &pods), Some(expected), "{reason} {counters} {pods:?}");
    }
    let goes_on = Job::from_json(r#"{"metadata":{"name":"j"},"status":{"active":1}}"#).unwrap();
    assert_eq!(of_job(&goes_on, [], false), None);
}

#[test]
fn a_summary_says_what_on_what_why_and_what_to_do_for_every_reason() {
    let mut found = of(task("StepFailed", "\"step-a\" exited with code 1: Error").step(ended("Error", 1))).classified();
    for reason in Reason::ALL {
        found.reason = reason;
        let text = found.summary(Subject { workflow: Some("restart"), target: Some("payments/Deployment/api") });
        assert!(text.starts_with("Workflow restart on payments/Deployment/api failed in task t, step a: "), "{text}");
        assert!(text.contains(&format!("({reason}) (exit code 1).")), "{text}");
        assert!(text.contains("Evidence: TaskRun w/t step a: terminated Error, exit 1"), "{text}");
        assert!(text.contains("Something ran, or may have") && text.contains("Recommendation: "), "{text}");
        assert_eq!(Reason::from_text(reason.as_str()), Some(reason));
    }
    let bare = Classification {
        task: None,
        step: None,
        exit_code: None,
        message: "".into(),
        ran: false,
        evidence: vec![],
        ..found
    };
    assert!(
        bare.summary(Subject::default())
            .starts_with("The workflow failed: another execution had the target (Deduplicated).\nNothing ran.\n")
    );
    assert_eq!(bare.because(), "no evidence");
}

// ---------------------------------------------------------------------------------------------- properties

static ROWS: std::sync::LazyLock<Vec<(&'static str, Stored, Reason, bool)>> = std::sync::LazyLock::new(rows);

/// Takes one piece of evidence away, if this one is there.
fn take_away(stored: &mut Stored, piece: usize, at: usize) {
    let pick = |len: usize| if len == 0 { None } else { Some(at % len) };
    let states = |status: &mut Value, edit: &mut dyn FnMut(&mut Value)| {
        if let Some(steps) = status.get_mut("steps").and_then(Value::as_array_mut) {
            steps.iter_mut().for_each(edit);
        }
    };
    let Some(index) = pick(stored.tasks.len()) else {
        return drop(stored.run["status"].as_object_mut().and_then(|status| status.remove("startTime")));
    };
    let status = &mut stored.tasks[index]["status"];
    match piece {
        // The TaskRun cannot be read; the run still refers to it.
        0 => drop(stored.tasks.remove(index)),
        1 => drop(status.as_object_mut().unwrap().remove("steps")),
        2 => states(status, &mut |step| drop(step.as_object_mut().unwrap().remove("imageID"))),
        3 => drop(status.as_object_mut().unwrap().remove("startTime")),
        4 => states(status, &mut |step| {
            // An older release names no reason of an end, and later ones do.
            drop(step.as_object_mut().unwrap().remove("terminationReason"));
        }),
        5 => drop(stored.run["status"].as_object_mut().unwrap().remove("startTime")),
        6 => {
            // Releases before 1.12 say Failed for all of these.
            let Some(condition) = status.get_mut("conditions").and_then(|all| all.get_mut(0)) else { return };
            if matches!(
                condition["reason"].as_str(),
                Some("StepFailed" | "StepOOM" | "SidecarOOM" | "SidecarFailed" | "PodEvicted")
            ) {
                condition["reason"] = json!("Failed");
            }
        }
        7 => {
            // Releases before 1.1 did not say what the kubelet said.
            let Some(condition) = status.get_mut("conditions").and_then(|all| all.get_mut(0)) else { return };
            let told = condition["message"].as_str().and_then(|text| text.rsplit_once(": "));
            if let Some((before, _)) = told.filter(|(before, _)| before.contains(" exited with code ")) {
                condition["message"] = json!(before);
            }
        }
        8 => drop(status.as_object_mut().unwrap().remove("sidecars")),
        _ => drop(status.as_object_mut().unwrap().remove("completionTime")),
    }
}

/// Words that mean something where a controller writes them.
const TRIGGERS: [&str; 14] = [
    "OOMKilled",
    "timeout",
    "deadline exceeded",
    "is forbidden: exceeded quota: q",
    "violates PodSecurity",
    "denied the request",
    "\"step-a\" exited with code 137: OOMKilled",
    "\nPrevious status: [StepOOM] x",
    "Back-off pulling image",
    "invalid configuration",
    "Tasks Completed: 0 (Failed: 0, Cancelled 0)",
    "Container step-a was using 1Gi",
    "Pod was rejected: Node didn't have enough resource",
    "etcdserver: request timed out",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Less evidence never makes "it ran" into "nothing ran".
    #[test]
    fn evidence_that_is_taken_away_never_says_that_nothing_ran(
        row in 0..ROWS.len(),
        pieces in prop::collection::vec((0usize..10, 0usize..4), 1..6),
    ) {
        let (what, mut stored, _, ran) = ROWS[row].clone();
        for (piece, at) in pieces {
            take_away(&mut stored, piece, at);
            if ran {
                prop_assert!(stored.classified().ran, "{what}: {stored:?}");
            }
        }
    }

    /// A workflow's author writes names, messages and results; none of them decides.
    #[test]
    fn words_of_users_never_decide(row in 0..ROWS.len(), trigger in 0..TRIGGERS.len(), place in 0usize..6) {
        let (what, mut stored, reason, ran) = ROWS[row].clone();
        let words = TRIGGERS[trigger];
        let started = |step: &Value| step.get("imageID").is_some() && step["terminated"]["reason"] != "StartError";
        for task in &mut stored.tasks {
            let status = &mut task["status"];
            let cancelled = status["conditions"][0]["reason"] == "TaskRunCancelled" && status["conditions"][0]["message"].as_str().is_some_and(|text| !text.contains("timed out"));
            match place {
                // What a step wrote before it ended.
                0 => for step in status["steps"].as_array_mut().into_iter().flatten().filter(|step| started(step) && step.get("terminated").is_some()) {
                    step["terminated"]["message"] = json!(words);
                },
                1 => status["taskResults"] = json!([{"name": words, "value": words}]),
                2 => status["conditions"].as_array_mut().into_iter().flatten().for_each(|_| ()),
                3 => task["metadata"]["annotations"] = json!({words: words}),
                // spec.statusMessage
                4 if cancelled => status["conditions"][0]["message"] = json!(format!("TaskRun \"t\" was cancelled. {words}")),
                _ => task["spec"] = json!({"params": [{"name": words, "value": words}], "statusMessage": words}),
            }
        }
        if place == 2 {
            let other = json!({"type": "Other", "status": "False", "reason": words, "message": words});
            stored.run["status"]["conditions"].as_array_mut().into_iter().for_each(|all| all.insert(0, other.clone()));
        }
        prop_assert_eq!(stored.says(), (reason, ran), "{}", what);
    }

    /// What stands between quotation marks in an error is a name or a value.
    #[test]
    fn quoted_values_never_decide(trigger in 0..TRIGGERS.len()) {
        let value = serde_json::to_string(TRIGGERS[trigger]).unwrap();
        for (error, reason) in [
            (format!("Pod \"t-pod\" is invalid: spec.containers[0].env[0].name: Invalid value: {value}: must not be so"), ConfigurationError),
            (format!("pods {value} is forbidden: violates PodSecurity {value}: x"), Forbidden),
            (format!("pods {value} is forbidden: exceeded quota: q, requested: pods=1"), ResourceExhausted),
        ] {
            let message = format!("failed to create task run pod \"t\": {error}. Maybe invalid TaskSpec");
            prop_assert_eq!(of(task("PodCreationFailed", &message)).says(), (reason, false), "{}", message);
        }
    }

    /// Whatever stands there, reading never fails, and odd members never take a start back.
    #[test]
    fn odd_members_are_weaker_evidence(row in 0..ROWS.len(), member in 0usize..6, odd in 0usize..7) {
        let odd = [json!(null), json!(7), json!("x"), json!([]), json!({}), json!([[]]), json!(true)][odd].clone();
        let (what, mut stored, _, ran) = ROWS[row].clone();
        for task in &mut stored.tasks {
            let status = &mut task["status"];
            match member {
                0 => status["podName"] = odd.clone(),
                1 => status["startTime"] = odd.clone(),
                2 => status["completionTime"] = odd.clone(),
                3 => status["sidecars"] = odd.clone(),
                4 if !odd.is_null() && odd != json!([]) => status["steps"] = odd.clone(),
                _ => task["metadata"]["labels"] = odd.clone(),
            }
        }
        if ran && !(member == 0 && what.contains("Pod")) {
            prop_assert!(stored.classified().ran || member == 0, "{what}: {stored:?}");
        }
        stored.classified();
    }
}
