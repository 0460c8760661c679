//! The status webhooks on a real API server, registered as the chart registers them, with distinct users.

use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::runs::{RUNS, allow_reading_runs, install_tekton};
use crate::stage::{self, Gate, Stage, World, in_seconds, wfe};
use crate::support::{ACTION, ADMIN, ALICE, ApiServer, MALLORY, Output, WORKFLOW_CONTROLLER, eventually};

const GUARD: &str = "guard.lockkeeper.kubernaut.ai";
const WHY: &str = "checked the deployment by hand, its configuration is right again, ticket OPS-1234";

async fn shared() -> Option<&'static Stage> {
    static SHARED: OnceCell<Option<Stage>> = OnceCell::const_new();
    SHARED.get_or_init(own).await.as_ref()
}

/// A stage with Tekton's kinds and the chart's registration.
async fn own() -> Option<Stage> {
    let stage = stage::own("checks: {exponentialBackoff: {mode: off}}").await?;
    install_tekton(&stage.server, "v1").await;
    allow_reading_runs(&stage.server).await;
    register_as_the_chart_does(&stage.server, &stage.gate).await;
    eventually("the runs are followed", ACTION, || async {
        let (_, told) = stage.gate.get("/readyz");
        if told.contains("[+] taskruns: 0 objects") { Ok(()) } else { Err(told) }
    })
    .await;
    Some(stage)
}

/// The registration out of the chart, its URL and CA aside.
async fn register_as_the_chart_does(server: &ApiServer, gate: &Gate) {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/lockkeeper");
    let (url, ca) = (format!("webhook.url={}", gate.https), format!("tls.caBundle={}", gate.ca.display()));
    let render = ["template", "shipped", chart, "--show-only", "templates/webhook.yaml", "--set", &url];
    let args = [&render[..], &["--set", "tls.existingSecret=mine", "--set-file", &ca]].concat();
    let rendered = server.helm(ADMIN, &args, None).await.expect_success();
    server.kubectl(ADMIN, &["apply", "-f", "-"], Some(&rendered.stdout)).await.expect_success();
}

/// A namespace in which these users may write statuses.
async fn world<'a>(stage: &'a Stage, prefix: &str) -> World<'a> {
    let world = World::new(&stage.server, prefix).await;
    let rule = json!({"apiGroups": ["kubernaut.ai"], "resources": ["workflowexecutions", "workflowexecutions/status"],
        "verbs": ["get", "list", "create", "update", "patch"]});
    stage.server.cluster_role("status-writer", vec![serde_json::from_value(rule).unwrap()]).await.unwrap();
    for user in [ALICE, MALLORY, WORKFLOW_CONTROLLER] {
        stage.server.grant_in(&world.namespace, user, "status-writer").await.unwrap();
    }
    world
}

/// A user's write of a status, by kubectl.
async fn write(world: &World<'_>, user: &str, name: &str, status: &Value) -> Output {
    let patch = json!({"status": status}).to_string();
    let args = ["patch", "wfe", name, "-n", &world.namespace, "--subresource=status", "--type=merge", "-p", &patch];
    world.server.kubectl(user, &args, None).await
}

async fn stored(world: &World<'_>, name: &str) -> Value {
    serde_json::to_value(world.api("WorkflowExecution").get(name).await.unwrap()).unwrap()["status"].clone()
}

fn details(reason: &str, ran: bool, message: &str) -> Value {
    let mut details = stage::FAILED_BEFORE(&in_seconds(0))["failureDetails"].clone();
    details["reason"] = json!(reason);
    details["wasExecutionFailure"] = json!(ran);
    details["message"] = json!(message);
    details
}

fn failed(reason: &str, ran: bool) -> Value {
    json!({"phase": "Failed", "completionTime": in_seconds(0), "failureDetails": details(reason, ran, "m")})
}

/// An execution on a target of its own, in this status.
async fn execution(world: &World<'_>, name: &str, status: Value) {
    world.request(&format!("rr-{name}"), name, json!({"overallPhase": "Analyzing"})).await;
    world.execution(name, &format!("rr-{name}"), &world.target(name), status).await;
}

#[tokio::test]
async fn the_forgery_table() {
    let Some(stage) = shared().await else { return };
    let world = world(stage, "forgery").await;
    execution(&world, "held", failed("TaskFailed", true)).await;
    for name in ["running", "completed"] {
        let phase = if name == "running" { "Running" } else { "Completed" };
        execution(&world, name, json!({"phase": phase})).await;
    }
    let clear = |reason: &str| json!({"blockClearance": {"clearMethod": "StatusField", "clearReason": reason, "clearedBy": "somebody-else"}});
    for (user, name, status, refusal) in [
        (MALLORY, "held", json!({"phase": "Running"}), "PhaseTerminal: status.phase: Failed is an end"),
        (MALLORY, "held", json!({"phase": "Pending"}), "PhaseTerminal"),
        (
            MALLORY,
            "held",
            json!({"failureDetails": {"reason": "ConfigurationError"}}),
            "FailureImmutable: status.failureDetails.reason",
        ),
        (
            MALLORY,
            "held",
            json!({"failureDetails": {"wasExecutionFailure": false}}),
            "FailureImmutable: status.failureDetails.wasExecutionFailure",
        ),
        (MALLORY, "held", json!({"failureDetails": null}), "FailureImmutable: status.failureDetails"),
        (ALICE, "running", clear(WHY), "ClearanceInvalid: status.blockClearance"),
        (ALICE, "completed", clear(WHY), "ClearanceInvalid: status.blockClearance"),
        (
            ALICE,
            "held",
            clear("one two three four five six seven eight nine"),
            "ClearanceInvalid: status.blockClearance.clearReason",
        ),
        (WORKFLOW_CONTROLLER, "held", clear(WHY), "ClearanceForbidden: status.blockClearance"),
    ] {
        let told = write(&world, user, name, &status).await.expect_failure();
        assert!(
            told.stderr.contains(&format!("admission webhook \"{GUARD}\" denied the request: {refusal}")),
            "{told}"
        );
    }
    // What upstream's executor goes on writing.
    let conditions = json!({"conditions": [{"type": "AuditRecorded", "status": "True", "reason": "AuditSucceeded", "message": "m", "lastTransitionTime": in_seconds(0)}]});
    write(&world, WORKFLOW_CONTROLLER, "held", &conditions).await.expect_success();

    // Whoever is named in what is sent: the name is the sender's, the time the request's.
    let mut forged = clear(WHY);
    forged["blockClearance"]["clearedAt"] = json!("2020-01-01T00:00:00Z");
    write(&world, ALICE, "held", &forged).await.expect_success();
    let clearance = stored(&world, "held").await["blockClearance"].clone();
    assert_eq!((&clearance["clearedBy"], &clearance["clearReason"]), (&json!(ALICE), &json!(WHY)));
    assert!(clearance["clearedAt"].as_str().unwrap() > "2026", "{clearance}");
    for change in [
        json!({"blockClearance": {"clearedBy": MALLORY}}),
        json!({"blockClearance": {"clearReason": "it was somebody else who looked at all of this, not the one who is named"}}),
        json!({"blockClearance": {"clearedAt": in_seconds(60)}}),
        json!({"blockClearance": null}),
    ] {
        let told = write(&world, MALLORY, "held", &change).await.expect_failure();
        assert!(
            told.stderr.contains("ClearanceFrozen: status.blockClearance: a clearance that carries a name"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_hold_is_lifted_by_a_clearance_and_the_audit_log_says_who_and_why() {
    let Some(stage) = shared().await else { return };
    let world = world(stage, "lifted").await;
    execution(&world, "broke", failed("TaskFailed", true)).await;
    world.request("again", "again", json!({"overallPhase": "Analyzing"})).await;
    let next = wfe(&world.namespace, "next", "again", &world.target("broke"));
    world.refused(&next, "PreviousExecutionFailed").await;
    let clear = json!({"blockClearance": {"clearMethod": "StatusField", "clearReason": WHY}});
    write(&world, ALICE, "broke", &clear).await.expect_success();
    world.admitted(&next).await;
    let event = eventually("the clearance is in the audit log", ACTION, || async {
        let events = stage.server.audit_events().map_err(|error| error.to_string())?;
        let of = |event: &&crate::support::AuditEvent| {
            event.namespace == world.namespace
                && event.verb == "patch"
                && event.subresource == "status"
                && event.user == ALICE
                && event.code == 200
        };
        events.iter().find(of).cloned().ok_or_else(|| format!("{} events", events.len()))
    })
    .await;
    assert_eq!(event.annotations.get(&format!("{GUARD}/reason")).map(String::as_str), Some(WHY), "{event:?}");
    assert_eq!(event.annotations.get(&format!("{GUARD}/decision")).map(String::as_str), Some("allow"));
}

/// Tekton's objects, as the controller stores them.
struct Tekton(kube::Client);

impl Tekton {
    async fn put(&self, kind: &str, mut object: Value) {
        let status = object.as_object_mut().unwrap().remove("status").unwrap();
        object["apiVersion"] = json!("tekton.dev/v1");
        object["kind"] = json!(kind);
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", kind));
        let api = Api::<DynamicObject>::namespaced_with(self.0.clone(), RUNS, &resource);
        api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&json!({"status": status}))).await.unwrap();
    }

    /// The run of an execution with this condition.
    async fn run(
        &self,
        world: &World<'_>,
        execution: &str,
        started: bool,
        condition: &Value,
        children: &Value,
    ) -> String {
        let name = format!("{}-{execution}", world.namespace);
        let mut status = json!({"conditions": [condition], "childReferences": children});
        if started {
            status["startTime"] = json!(in_seconds(-30));
        }
        let labels =
            json!({"kubernaut.ai/workflow-execution": execution, "kubernaut.ai/source-namespace": world.namespace});
        self.put(
            "PipelineRun",
            json!({"metadata": {"name": name, "namespace": RUNS, "labels": labels}, "status": status}),
        )
        .await;
        name
    }
}

fn condition(status: &str, reason: &str, message: &str) -> Value {
    json!({"type": "Succeeded", "status": status, "reason": reason, "message": message})
}

/// Upstream's write at the end of a run.
fn ends(run: &str, started: bool, details: Option<Value>) -> Value {
    let mut status = json!({"phase": "Failed", "completionTime": in_seconds(0), "pipelineRunRef": {"name": run}});
    if started {
        status["startTime"] = json!(in_seconds(-30));
    }
    if let Some(details) = details {
        status["failureDetails"] = details;
    }
    status
}

#[tokio::test]
async fn the_eight_rows_of_the_seed() {
    let Some(stage) = shared().await else { return };
    let world = world(stage, "rows").await;
    let tekton = Tekton(stage.server.client(ADMIN).await);
    for (i, (reason, message, started, expected, ran)) in [
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
    ]
    .into_iter()
    .enumerate()
    {
        // Upstream calls it Unknown, or says nothing at all.
        for (name, sent) in
            [(format!("unknown-{i}"), Some(details("Unknown", false, message))), (format!("silent-{i}"), None)]
        {
            execution(&world, &name, json!({"phase": "Running"})).await;
            let run = tekton.run(&world, &name, started, &condition("False", reason, message), &json!([])).await;
            let mut status = ends(&run, started, sent);
            status["pipelineRunStatus"] = json!({"status": "False", "reason": reason, "message": message});
            write(&world, WORKFLOW_CONTROLLER, &name, &status).await.expect_success();
            let stored = stored(&world, &name).await["failureDetails"].clone();
            let flag = stored["wasExecutionFailure"].as_bool().unwrap_or(false);
            assert_eq!((stored["reason"].as_str(), flag), (Some(expected), ran), "{name}: {stored}");
        }
    }
}

#[tokio::test]
async fn what_tekton_recorded_of_a_step_is_what_is_stored() {
    let Some(stage) = shared().await else { return };
    let world = world(stage, "step").await;
    let tekton = Tekton(stage.server.client(ADMIN).await);
    execution(&world, "killed", json!({"phase": "Running"})).await;
    let told = "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0";
    let task = format!("{}-killed-t", world.namespace);
    let child = json!([{"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": task, "pipelineTaskName": "t"}]);
    tekton.put("TaskRun", json!({"metadata": {"name": task, "namespace": RUNS, "labels": {"tekton.dev/pipelineRun": format!("{}-killed", world.namespace)}},
        "status": {"podName": "p", "conditions": [condition("False", "StepOOM", "\"step-patch\" exited with code 137: OOMKilled")],
            "steps": [{"name": "patch", "imageID": "i@sha256:1", "terminated": {"reason": "OOMKilled", "exitCode": 137}}]}})).await;
    let run = tekton.run(&world, "killed", true, &condition("False", "Failed", told), &child).await;
    let mut status = ends(&run, true, Some(details("TaskFailed", true, told)));
    status["pipelineRunStatus"] = json!({"status": "False", "reason": "Failed", "message": told});
    // A dry run is told the same and leaves nothing.
    let counted = || {
        stage
            .gate
            .get("/metrics")
            .1
            .lines()
            .filter(|line| line.contains("classification_total{"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let before = counted();
    let patch = json!({"status": status}).to_string();
    let dry = [
        "patch",
        "wfe",
        "killed",
        "-n",
        &world.namespace,
        "--subresource=status",
        "--type=merge",
        "--dry-run=server",
        "-p",
        &patch,
    ];
    let warning =
        format!("Warning: classification corrected: TaskFailed → OOMKilled (TaskRun {RUNS}/{task} step patch)");
    let told = stage.server.kubectl(WORKFLOW_CONTROLLER, &dry, None).await.expect_success();
    assert!(told.stderr.contains(&warning), "{told}");
    assert_eq!((stored(&world, "killed").await["phase"].as_str(), counted()), (Some("Running"), before));

    let told = write(&world, WORKFLOW_CONTROLLER, "killed", &status).await.expect_success();
    assert!(told.stderr.contains(&warning), "{told}");
    let details = stored(&world, "killed").await["failureDetails"].clone();
    assert_eq!(
        (&details["reason"], &details["failedTaskName"], &details["failedStepName"], &details["exitCode"]),
        (&json!("OOMKilled"), &json!(task), &json!("patch"), &json!(137))
    );
    // What is said of an end that another webhook or person bends afterwards is refused; what the run attests is not.
    write(&world, MALLORY, "killed", &json!({"failureDetails": {"reason": "Forbidden"}})).await.expect_success();
    assert_eq!(stored(&world, "killed").await["failureDetails"]["reason"], "OOMKilled", "corrected again on its way");
}

#[tokio::test]
async fn a_failure_that_is_written_while_its_run_goes_on_ran() {
    let Some(stage) = shared().await else { return };
    let world = world(stage, "goes-on").await;
    let tekton = Tekton(stage.server.client(ADMIN).await);
    execution(&world, "given-up", json!({"phase": "Running"})).await;
    let run = tekton.run(&world, "given-up", true, &condition("Unknown", "Running", "m"), &json!([])).await;
    world.request("again", "again", json!({"overallPhase": "Analyzing"})).await;
    let status = ends(&run, true, Some(details("Unknown", false, "PipelineRun was deleted externally")));
    write(&world, WORKFLOW_CONTROLLER, "given-up", &status).await.expect_success();
    let details = stored(&world, "given-up").await["failureDetails"].clone();
    assert_eq!(details["wasExecutionFailure"], true);
    assert_eq!(details["message"], "PipelineRun was deleted externally; its run goes on");
    world
        .refused(
            &wfe(&world.namespace, "next", "again", &world.target("given-up")),
            "ResourceBusy: a run on this target still goes on",
        )
        .await;
}

#[tokio::test]
async fn with_lockkeeper_away_only_what_concerns_it_waits() {
    let Some(stage) = own().await else { return };
    let world = world(&stage, "away").await;
    execution(&world, "we", json!(null)).await;
    execution(&world, "other", json!({"phase": "Running"})).await;
    let Stage { gate, server } = &stage;
    gate.process.stop();
    let progress = json!({"pipelineRunStatus": {"status": "Unknown", "reason": "Running", "message": "m"}});
    for status in [json!({"phase": "Pending"}), json!({"phase": "Running", "startTime": in_seconds(0)}), progress] {
        write(&world, WORKFLOW_CONTROLLER, "we", &status).await.expect_success();
    }
    write(&world, WORKFLOW_CONTROLLER, "other", &json!({"phase": "Completed", "completionTime": in_seconds(0)}))
        .await
        .expect_success();
    let status = failed("TaskFailed", true);
    let told = write(&world, WORKFLOW_CONTROLLER, "we", &status).await.expect_failure();
    assert!(told.stderr.contains("failed calling webhook \"status.lockkeeper.kubernaut.ai\""), "{told}");
    // Upstream's executor tries again.
    let back = stage::start_gate(server, "").await;
    back.ready().await;
    register_as_the_chart_does(server, &back).await;
    eventually("the write goes through", ACTION, || async {
        let told = write(&world, WORKFLOW_CONTROLLER, "we", &status).await;
        if told.success() { Ok(()) } else { Err(told.to_string()) }
    })
    .await;
}
