//! Where statuses are written: Tekton's kinds beside ours, and people and accounts who may write.

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind, Status};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::runs::{self, RUNS};
use crate::stage::{self, Candidate, GATE, Stage, World, in_seconds, wfe};
use crate::support::{self, ACTION, ADMIN, ALICE, ApiServer, BOB, MALLORY, Options, WORKFLOW_CONTROLLER, eventually};

pub const AMENDER: &str = "status.lockkeeper.kubernaut.ai";
pub const GUARD: &str = "guard.lockkeeper.kubernaut.ai";
/// Ten words and more.
pub const WORDS: &str = "checked the deployment by hand, its configuration is right again, ticket OPS-1234";

/// The stage that all tests here share that stop nothing.
pub async fn shared() -> Option<&'static Stage> {
    static SHARED: OnceCell<Option<Stage>> = OnceCell::const_new();
    SHARED.get_or_init(|| async { own("", "127.0.0.1:0").await }).await.as_ref()
}

/// A stage of one's own with this configuration, whose lockkeeper listens here, also after a restart.
pub async fn own(config: &str, listen: &str) -> Option<Stage> {
    let server = support::own_bench_or_skip(Options::default().user(GATE, &[])).await?;
    server.apply_crds(&stage::crds()).await.unwrap();
    stage::allow_reading(&server).await;
    runs::install_tekton(&server, "v1").await;
    runs::allow_reading_runs(&server).await;
    allow_writing(&server).await;
    let gate = stage::start_gate_at(&server, config, &server.user(GATE).kubeconfig, listen).await;
    gate.ready().await;
    stage::register(&server, &gate, wfe).await;
    in_force(&World::new(&server, "probe").await, wfe).await;
    Some(Stage { server, gate })
}

/// People and the executor may write every status.
pub async fn allow_writing(server: &ApiServer) {
    let rules = json!([
        {"apiGroups": ["kubernaut.ai"], "resources": ["workflowexecutions"], "verbs": ["get", "list", "patch"]},
        {"apiGroups": ["kubernaut.ai"], "resources": ["workflowexecutions/status"], "verbs": ["patch", "update", "get"]},
    ]);
    server.cluster_role("status-writer", serde_json::from_value(rules).unwrap()).await.unwrap();
    for user in [ALICE, BOB, MALLORY, WORKFLOW_CONTROLLER] {
        server.grant(user, "status-writer").await.unwrap();
    }
}

/// The gate's registration is in force before this; the two others become so by watches of their own.
pub async fn in_force(world: &World<'_>, candidate: Candidate) {
    create(world, candidate, "probe").await;
    let admin = world.writer(ADMIN).await;
    eventually("the amender is asked", ACTION, || async {
        let written = admin
            .try_out("probe", &json!({"phase": "Failed", "startTime": in_seconds(0)}))
            .await
            .map_err(|told| told.message)?;
        if written["failureDetails"].is_object() { Ok(()) } else { Err(written.to_string()) }
    })
    .await;
    eventually("the guard is asked", ACTION, || async {
        match admin.try_out("probe", &json!({"blockClearance": clearance(WORDS)})).await {
            Err(told) if told.message.contains("ClearanceInvalid") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

pub fn clearance(words: &str) -> Value {
    json!({"clearMethod": "StatusField", "clearReason": words})
}

/// As upstream's executor begins.
pub fn running(run: &str) -> Value {
    json!({"phase": "Running", "startTime": in_seconds(-60), "executionRef": {"name": run}})
}

/// As upstream's executor ends: what its rule made of it.
pub fn failed(reason: &str, ran: bool) -> Value {
    let now = in_seconds(0);
    json!({"phase": "Failed", "completionTime": now, "failureDetails": {
        "failedTaskIndex": 0, "failedTaskName": "", "reason": reason, "message": "m", "failedAt": now,
        "executionTimeBeforeFailure": "1m0s", "naturalLanguageSummary": "s", "wasExecutionFailure": ran,
    }})
}

/// What a WorkflowExecution's status says of its failure.
pub fn reason_and_flag(status: &Value) -> (&str, bool) {
    let details = &status["failureDetails"];
    (details["reason"].as_str().unwrap_or("none"), details["wasExecutionFailure"] == true)
}

/// An execution with a request and a target of its own, of which nothing was said yet.
pub async fn create(world: &World<'_>, candidate: Candidate, name: &str) {
    let parent = format!("rr-{name}");
    world.request(&parent, name, json!({"overallPhase": "Analyzing"})).await;
    world.admitted(&candidate(&world.namespace, name, &parent, &world.target(name))).await;
}

impl World<'_> {
    /// An execution with a request and a target of its own, Running.
    pub async fn running(&self, name: &str) {
        self.pending(name).await;
        self.we().await.write(name, &running(&self.run_of(name))).await.unwrap();
    }

    /// The same, and nothing was said of it yet.
    pub async fn pending(&self, name: &str) {
        create(self, wfe, name).await;
    }

    /// One that failed at work.
    pub async fn failed(&self, name: &str) {
        self.running(name).await;
        self.we().await.write(name, &failed("TaskFailed", true)).await.unwrap();
    }

    pub async fn status(&self, name: &str) -> Value {
        status_of(&self.api("WorkflowExecution").get(name).await.unwrap())
    }

    /// Upstream's executor.
    pub async fn we(&self) -> Writer {
        self.writer(WORKFLOW_CONTROLLER).await
    }

    pub async fn writer(&self, user: &str) -> Writer {
        self.writer_with(&self.server.user(user).kubeconfig).await
    }

    pub async fn writer_with(&self, kubeconfig: &std::path::Path) -> Writer {
        let client = support::client_of(kubeconfig).await.unwrap();
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("kubernaut.ai", "v1alpha1", "WorkflowExecution"));
        Writer(Api::namespaced_with(client, &self.namespace, &kind))
    }

    /// kubectl patch of a status, as this user.
    pub async fn kubectl_patch(&self, user: &str, name: &str, status: &Value, more: &[&str]) -> support::Output {
        let patch = json!({"status": status}).to_string();
        let mut args = vec!["patch", "wfe", name, "-n", &self.namespace, "--subresource=status", "--type=merge"];
        args.extend(["-p", &patch]);
        args.extend(more);
        self.server.kubectl(user, &args, None).await
    }

    pub fn run_of(&self, execution: &str) -> String {
        format!("wfe-{}-{execution}", self.namespace)
    }

    /// Waits until a Failed write without a word would leave with this message.
    pub async fn known(&self, execution: &str, message: &str) -> Value {
        let we = self.we().await;
        eventually("the run's end is known", ACTION, || async {
            let asked = json!({"phase": "Failed", "failureDetails": null});
            let written = we.try_out(execution, &asked).await.map_err(|told| told.message)?;
            if written["failureDetails"]["message"] == message { Ok(written) } else { Err(written.to_string()) }
        })
        .await
    }
}

fn status_of(object: &DynamicObject) -> Value {
    object.data["status"].clone()
}

/// A user who writes statuses.
pub struct Writer(Api<DynamicObject>);

/// What the API server said instead.
#[derive(Debug)]
pub struct Told {
    pub code: u16,
    pub reason: String,
    pub field: String,
    pub message: String,
}

impl Writer {
    /// A merge patch of the status; what was stored.
    pub async fn write(&self, name: &str, status: &Value) -> Result<Value, Told> {
        self.patch(name, &Patch::Merge(json!({"status": status})), false).await
    }

    /// The same, and nothing is stored.
    pub async fn try_out(&self, name: &str, status: &Value) -> Result<Value, Told> {
        self.patch(name, &Patch::Merge(json!({"status": status})), true).await
    }

    /// A server-side apply of the whole status that is the writer's own.
    pub async fn apply(&self, name: &str, status: Value) -> Result<Value, Told> {
        let object = json!({"apiVersion": "kubernaut.ai/v1alpha1", "kind": "WorkflowExecution", "status": status});
        let written = self.0.patch_status(name, &PatchParams::apply("by-hand"), &Patch::Apply(object)).await;
        written.map(|object| status_of(&object)).map_err(told)
    }

    /// A JSON Patch.
    pub async fn operate(&self, name: &str, operations: &Value) -> Result<Value, Told> {
        let request = axum::http::Request::patch(format!("{}/{name}/status", self.0.resource_url()))
            .header("content-type", "application/json-patch+json")
            .body(operations.to_string().into_bytes());
        let written = self.0.clone().into_client().request::<DynamicObject>(request.unwrap()).await;
        written.map(|object| status_of(&object)).map_err(told)
    }

    /// As upstream's controllers write: the whole object, with this made of its status.
    pub async fn put(&self, name: &str, status: impl FnOnce(&mut Value)) -> Result<Value, Told> {
        let mut object = self.0.get(name).await.unwrap();
        status(&mut object.data["status"]);
        self.0
            .replace_status(name, &PostParams::default(), &object)
            .await
            .map(|object| status_of(&object))
            .map_err(told)
    }

    async fn patch<P: serde::Serialize + std::fmt::Debug>(
        &self,
        name: &str,
        patch: &Patch<P>,
        dry_run: bool,
    ) -> Result<Value, Told> {
        let params = PatchParams { dry_run, ..PatchParams::default() };
        self.0.patch_status(name, &params, patch).await.map(|object| status_of(&object)).map_err(told)
    }

    /// A write that must be refused: the word for it, and the member.
    pub async fn refused(&self, name: &str, status: &Value) -> (String, String) {
        let told = self.write(name, status).await.expect_err("refused");
        (told.reason, told.field)
    }
}

fn told(error: kube::Error) -> Told {
    let kube::Error::Api(status) = error else { panic!("{error}") };
    let Status { code, message, details, .. } = *status;
    let cause = details.and_then(|details| details.causes.into_iter().next());
    let (reason, field) = cause.map(|cause| (cause.reason, cause.field)).unwrap_or_default();
    Told { code, reason, field, message }
}

/// Tekton's part, played: its objects as it would have written them.
pub struct Tekton {
    runs: Api<DynamicObject>,
    tasks: Api<DynamicObject>,
}

impl Tekton {
    pub async fn beside(server: &ApiServer) -> Self {
        let client = server.client(ADMIN).await;
        let api = |kind| {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", kind));
            Api::namespaced_with(client.clone(), RUNS, &resource)
        };
        Self { runs: api("PipelineRun"), tasks: api("TaskRun") }
    }

    /// The run of an execution, with the labels that upstream gives it.
    pub async fn run(&self, world: &World<'_>, execution: &str, status: Value) {
        let labels =
            json!({"kubernaut.ai/workflow-execution": execution, "kubernaut.ai/source-namespace": world.namespace});
        write(&self.runs, "PipelineRun", &world.run_of(execution), &labels, status).await;
    }

    /// A task of that run.
    pub async fn task(&self, world: &World<'_>, execution: &str, name: &str, status: Value) {
        let labels = json!({"tekton.dev/pipelineRun": world.run_of(execution), "tekton.dev/pipelineTask": name});
        write(&self.tasks, "TaskRun", &world.task_of(execution, name), &labels, status).await;
    }

    /// The run of an execution whose only step was killed for its memory, which the run's own message does not tell.
    pub async fn killed(&self, world: &World<'_>, execution: &str) {
        self.kill(world, execution).await;
        world.known(execution, KILLED).await;
    }

    /// Its task goes, as a pruner lets it go, and the run stays.
    pub async fn prune(&self, world: &World<'_>, execution: &str) {
        self.tasks.delete(&world.task_of(execution, "patch"), &DeleteParams::default()).await.unwrap();
    }

    /// The same, and nobody need know of it yet.
    pub async fn kill(&self, world: &World<'_>, execution: &str) {
        let task = json!({
            "podName": "p", "startTime": in_seconds(-50), "completionTime": in_seconds(-10),
            "conditions": [condition("False", "Failed", KILLED)],
            "steps": [{"name": "apply", "container": "step-apply", "imageID": "sha256:1",
                       "terminated": {"reason": "OOMKilled", "exitCode": 137, "startedAt": in_seconds(-49), "finishedAt": in_seconds(-10)}}],
        });
        self.task(world, execution, "patch", task).await;
        let child = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": world.task_of(execution, "patch"), "pipelineTaskName": "patch"});
        let run = json!({
            "startTime": in_seconds(-55), "completionTime": in_seconds(-9), "childReferences": [child],
            "conditions": [condition("False", "Failed", COUNTED)],
        });
        self.run(world, execution, run).await;
    }
}

pub const KILLED: &str = "\"step-apply\" exited with code 137: OOMKilled";
pub const COUNTED: &str = "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 1";

impl World<'_> {
    pub fn task_of(&self, execution: &str, task: &str) -> String {
        format!("{}-{task}", self.run_of(execution))
    }
}

pub fn condition(status: &str, reason: &str, message: &str) -> Value {
    json!({"type": "Succeeded", "status": status, "reason": reason, "message": message, "lastTransitionTime": in_seconds(-9)})
}

async fn write(api: &Api<DynamicObject>, kind: &str, name: &str, labels: &Value, status: Value) {
    let object = json!({"apiVersion": "tekton.dev/v1", "kind": kind, "metadata": {"name": name, "namespace": RUNS, "labels": labels}});
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    let patch = json!({"status": status});
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}
