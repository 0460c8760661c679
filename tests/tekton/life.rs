//! An execution and its request, from their creation to what is told of them when lockkeeper carries it out by Tekton.

use std::cell::Cell;
use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use lockkeeper::controller::executor::run_name;
use serde_json::{Value, json};

use crate::gate::{self, in_seconds};
use crate::lives::pipeline;
use crate::lockkeeper_beside::Lockkeeper;
use crate::support::pods::{Play, Player};
use crate::support::tekton::{answer, done, no_such_bundle, resolved};
use crate::support::{ADMIN, try_eventually};

/// All scenes and lives are played at once on a machine that may be busy.
const TOLD: Duration = Duration::from_secs(120);

pub struct Life {
    pub name: &'static str,
    /// Seconds from its creation.
    deadline: Option<i64>,
    acts: Vec<Act>,
    end: End,
}

/// What happens to it, in order.
pub enum Act {
    /// The resolver has the bundle: a pipeline of two tasks, `look` and then `patch`.
    Resolved,
    /// It has not.
    Unresolved,
    Pod(&'static str, Play),
    /// Waits until the execution says that so many tasks are done, of so many.
    Told(u64, u64),
    /// A person cancels the run.
    Cancel,
    /// It ended well, and for another signal another one is made on its target: it waits while the run of the first is kept, and
    /// starts when that has gone, with a bundle of its own.
    Next,
    /// A person deletes the execution and its request while this task of it is at work, and makes them anew at once.
    Anew(&'static str),
}

/// How it ends.
pub struct End {
    /// Tasks that are told as done, and of how many.
    tasks: (u64, u64),
    /// None: well.
    failure: Option<Failure>,
}

struct Failure {
    reason: &'static str,
    ran: bool,
    /// The pipeline task, the step, its exit code.
    place: (&'static str, Value, Value),
}

impl Life {
    pub fn new(name: &'static str, acts: impl IntoIterator<Item = Act>, end: End) -> Self {
        Self { name, deadline: None, acts: acts.into_iter().collect(), end }
    }

    pub fn deadline(mut self, seconds: i64) -> Self {
        self.deadline = Some(seconds);
        self
    }

    /// What is told otherwise than the life names, or does not come.
    pub async fn live(&self, lockkeeper: &Lockkeeper<'_>) -> Result<(), String> {
        let told = |error: String| {
            let log = lockkeeper.gate.process.log_text();
            let namespace = format!("{}-", self.name);
            let own: Vec<&str> = log.lines().filter(|line| line.contains(&namespace)).collect();
            format!("{}: {error}\n{}", self.name, own.join("\n"))
        };
        let living = Living::begin(self, lockkeeper).await.map_err(told)?;
        living.live().await.map_err(told)
    }
}

impl End {
    pub fn well(done: u64, of: u64) -> Self {
        Self { tasks: (done, of), failure: None }
    }

    pub fn failed(reason: &'static str, ran: bool, done: u64, of: u64) -> Self {
        Self { tasks: (done, of), failure: Some(Failure { reason, ran, place: ("", Value::Null, Value::Null) }) }
    }

    /// Where it failed.
    pub fn at(mut self, task: &'static str, step: impl Into<Value>, exit_code: impl Into<Value>) -> Self {
        if let Some(failure) = &mut self.failure {
            failure.place = (task, step.into(), exit_code.into());
        }
        self
    }
}

struct Living<'l> {
    life: &'l Life,
    /// Of the run.
    name: String,
    /// Of the execution and of its request.
    names: Cell<(&'static str, &'static str)>,
    namespace: String,
    executions: Api<DynamicObject>,
    requests: Api<DynamicObject>,
    runs: Api<DynamicObject>,
    resolutions: Api<DynamicObject>,
    events: Api<Event>,
    player: Player,
}

impl<'l> Living<'l> {
    /// A request that is being analysed, and the execution that somebody creates for it.
    async fn begin(life: &'l Life, lockkeeper: &Lockkeeper<'_>) -> Result<Self, String> {
        let server = lockkeeper.server;
        let namespace = server.fresh_namespace(life.name).await.map_err(|error| format!("{error:#}"))?;
        let client = server.client(ADMIN).await;
        let api = |group: &str, version: &str, kind: &str, namespace: &str| {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            Api::namespaced_with(client.clone(), namespace, &resource)
        };
        let target = format!("{namespace}/Deployment/api");
        let living = Self {
            life,
            name: run_name(&target),
            names: Cell::new(("we", "rr")),
            executions: api("kubernaut.ai", "v1beta1", "WorkflowExecution", &namespace),
            requests: api("kubernaut.ai", "v1beta1", "RemediationRequest", &namespace),
            runs: api("tekton.dev", "v1", "PipelineRun", &lockkeeper.runs),
            resolutions: api("resolution.tekton.dev", "v1beta1", "ResolutionRequest", &lockkeeper.runs),
            events: Api::namespaced(client.clone(), &namespace),
            player: Player::new(client.clone(), &lockkeeper.runs),
            namespace,
        };
        living.create().await?;
        Ok(living)
    }

    async fn create(&self) -> Result<(), String> {
        let (_, name) = self.names.get();
        let mut request = gate::rr(&self.namespace, name, &format!("{} {name}", self.life.name));
        request["apiVersion"] = json!("kubernaut.ai/v1beta1");
        let execution = self.execution();
        create(&self.requests, &request).await?;
        let analyzing = Patch::Merge(json!({"status": {"overallPhase": "Analyzing"}}));
        let patched = self.requests.patch_status(name, &PatchParams::default(), &analyzing).await;
        patched.map_err(|error| error.to_string())?;
        // The gate hears of the request by its watch.
        try_eventually("the execution is admitted", TOLD, || create(&self.executions, &execution)).await
    }

    fn execution(&self) -> Value {
        let (name, request) = self.names.get();
        let mut execution = json!({
            "apiVersion": "kubernaut.ai/v1beta1", "kind": "WorkflowExecution",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "remediationRequestRef": {"name": request}, "parameters": {"REPLICAS": "2"},
                "target": {"namespace": self.namespace, "kind": "Deployment", "name": "api"},
                "workflowRef": {"workflowId": "restart", "workflowName": "restart", "actionType": "RestartDeployment",
                    "version": "1.0.0", "executionBundle": "registry.example/restart:1"},
            },
        });
        if let Some(seconds) = self.life.deadline {
            execution["spec"]["deadline"] = json!(in_seconds(seconds));
        }
        execution
    }

    async fn live(&self) -> Result<(), String> {
        for act in &self.life.acts {
            self.act(act).await?;
        }
        let (execution, request) = self.names.get();
        let run = try_eventually("the run ends", TOLD, || async {
            let run = self.runs.get(&self.name).await.map_err(|error| error.to_string())?;
            if done(&run.data) { Ok(run.data) } else { Err(run.data["status"].to_string()) }
        })
        .await?;
        let execution = status(&self.executions, execution, "ends", |status| {
            matches!(status["phase"].as_str(), Some("Completed" | "Failed"))
        })
        .await?;
        // Tekton may write the end of a run twice, and another time with it.
        let later = self.runs.get(&self.name).await.map_err(|error| error.to_string())?.data;
        let ends = [run, later].map(|run| run["status"]["completionTime"].clone());
        self.is_told_of(&execution, &ends)?;
        let request = status(&self.requests, request, "is told", |status| {
            matches!(status["overallPhase"].as_str(), Some("Completed" | "Failed"))
        })
        .await?;
        self.is_routed(&request, &execution)?;
        self.is_in_events().await
    }

    async fn act(&self, act: &Act) -> Result<(), String> {
        match act {
            Act::Resolved => {
                answer(&self.resolutions, &self.name, resolved(&pipeline())).await?;
                self.executes().await
            }
            Act::Unresolved => answer(&self.resolutions, &self.name, no_such_bundle()).await,
            Act::Pod(task, play) => self.player.play(&format!("{}-{task}-pod", self.name), play).await,
            Act::Told(done, of) => {
                let what = format!("{done} of {of} tasks are told");
                let told = status(&self.executions, self.names.get().0, &what, |status| {
                    counted(status) == (json!(done), json!(of)) && status["phase"] == "Running"
                });
                told.await.map(drop)
            }
            Act::Cancel => {
                let cancelled = Patch::Merge(json!({"spec": {"status": "Cancelled"}}));
                let patched = self.runs.patch(&self.name, &PatchParams::default(), &cancelled).await;
                patched.map(drop).map_err(|error| error.to_string())
            }
            Act::Next => self.next().await,
            Act::Anew(task) => self.anew(&format!("{}-{task}-pod", self.name)).await,
        }
    }

    /// What is at work holds the target until it is gone, and then nothing of it is taken for the new run's: Tekton would take a
    /// task by its name.
    async fn anew(&self, pod: &str) -> Result<(), String> {
        self.player.place(pod).await?;
        let delete = async |api: &Api<DynamicObject>, name| {
            api.delete(name, &DeleteParams::default()).await.map(drop).map_err(|error| error.to_string())
        };
        delete(&self.executions, "we").await?;
        let first = try_eventually("the run is being deleted", TOLD, || async {
            let run = self.runs.get(&self.name).await.map_err(|error| error.to_string())?;
            let deleting = run.metadata.deletion_timestamp.is_some();
            if deleting { Ok(run.metadata.uid) } else { Err("it is not".to_owned()) }
        })
        .await?;
        let mut early = self.execution();
        early["metadata"]["name"] = json!("early");
        let refused = create(&self.executions, &early).await.err().unwrap_or_default();
        if !refused.contains("ResourceBusy") {
            return Err(format!("while a step is at work another one is to be refused: {refused}"));
        }
        delete(&self.requests, "rr").await?;
        self.player.stop(pod).await?;
        try_eventually("the execution is gone", TOLD, || async {
            let there = self.executions.get_opt("we").await.map_err(|error| error.to_string())?;
            there.map_or(Ok(()), |there| Err(there.data["status"].to_string()))
        })
        .await?;
        self.create().await?;
        self.another_run(first).await
    }

    async fn another_run(&self, first: Option<String>) -> Result<(), String> {
        try_eventually("another run is there", TOLD, || async {
            let run = self.runs.get(&self.name).await.map_err(|error| error.to_string())?;
            if run.metadata.uid == first { Err("it is the first one".to_owned()) } else { Ok(()) }
        })
        .await
    }

    /// Tekton would take a task of the first run by its name, and say of the second that it succeeded.
    async fn next(&self) -> Result<(), String> {
        status(&self.executions, "we", "ends", |status| status["phase"] == "Completed").await?;
        let first = self.runs.get(&self.name).await.map_err(|error| error.to_string())?.metadata.uid;
        self.names.set(("we-2", "rr-2"));
        self.create().await?;
        let kept = |status: &Value| status["conditions"][0]["reason"] == "TargetLocked";
        status(&self.executions, "we-2", "waits", kept).await?;
        self.another_run(first).await?;
        // Of the same name and content, the first one's may be still there.
        let known = try_eventually("its pipeline is known", TOLD, || async {
            let run = self.runs.get(&self.name).await.map_err(|error| error.to_string())?;
            if run.data["status"]["pipelineSpec"].is_null() { Err(run.data["status"].to_string()) } else { Ok(()) }
        });
        let bundle = resolved(&pipeline());
        tokio::select! { answered = answer(&self.resolutions, &self.name, bundle) => answered, known = known => known }
    }

    /// The request says that it is carried out, and by what.
    async fn executes(&self) -> Result<(), String> {
        let (execution, request) = self.names.get();
        let told = status(&self.requests, request, "executes", |status| status["overallPhase"] == "Executing").await?;
        let reference = &told["phaseProgress"]["workflowExecutionRef"];
        same("what the request refers to", &reference["name"], &json!(execution))?;
        same("what the request is blocked by", &told["routing"]["blockReason"], &Value::Null)
    }

    fn is_told_of(&self, status: &Value, ends: &[Value; 2]) -> Result<(), String> {
        let End { tasks: (done, of), failure } = &self.life.end;
        let (completed, total) = counted(status);
        let details = &status["failure"];
        let told = json!({
            "phase": status["phase"], "run": status["execution"]["ref"]["name"], "tasks": [completed, total],
            "completionTime": status["completionTime"], "failureReason": status["failureReason"],
            "reason": details["reason"], "ran": details["wasExecutionFailure"].as_bool().unwrap_or_default(),
            "task": details["failedTaskName"].as_str().unwrap_or_default(), "step": details["failedStepName"],
            "exitCode": details["exitCode"],
        });
        let mut expected = json!({
            "phase": "Completed", "run": self.name, "tasks": [done, of],
            "completionTime": ends.iter().find(|end| **end == status["completionTime"]).unwrap_or(&ends[0]),
            "failureReason": null, "reason": null, "ran": false, "task": "", "step": null, "exitCode": null,
        });
        if let Some(Failure { reason, ran, place: (task, step, exit_code) }) = failure {
            expected["phase"] = json!("Failed");
            (expected["reason"], expected["failureReason"]) = (json!(reason), json!(reason));
            expected["ran"] = json!(ran);
            expected["task"] = json!(if task.is_empty() { String::new() } else { format!("{}-{task}", self.name) });
            (expected["step"], expected["exitCode"]) = (step.clone(), exit_code.clone());
        }
        same(&format!("the execution, of {details}"), &told, &expected)
    }

    /// What the end means for what comes next of its signal.
    fn is_routed(&self, status: &Value, execution: &Value) -> Result<(), String> {
        let next = seconds_between(&execution["completionTime"], &status["routing"]["nextAllowedExecution"]);
        let told = json!({
            "phase": status["overallPhase"], "outcome": status["completion"]["outcome"],
            "failurePhase": status["completion"]["failurePhase"], "failures": status["routing"]["consecutiveFailureCount"],
            "completedAt": status["completedAt"], "held": next.is_some(),
        });
        let failure = self.life.end.failure.as_ref();
        let expected = json!({
            "phase": execution["phase"], "outcome": if failure.is_none() { json!("Remediated") } else { Value::Null },
            "failurePhase": failure.map(|_| "WorkflowExecution"), "failures": i32::from(failure.is_some()),
            "completedAt": execution["completionTime"],
            // What may have acted is not tried again by itself, after whatever time.
            "held": failure.is_some_and(|failure| !failure.ran),
        });
        same(&format!("the request, of {status}"), &told, &expected)?;
        // The first pause is a minute and a tenth at most.
        let pause = next.is_none_or(|next| (60..=66).contains(&next));
        if pause { Ok(()) } else { Err(format!("not tried again for {next:?} s")) }
    }

    async fn is_in_events(&self) -> Result<(), String> {
        let (execution, request) = match self.life.end.failure {
            None => ("WorkflowCompleted", "Remediated"),
            Some(_) => ("WorkflowFailed", "WorkflowFailed"),
        };
        let mut expected = vec![("WorkflowExecution", "ExecutionCreated"), ("WorkflowExecution", execution)];
        expected.push(("RemediationRequest", request));
        try_eventually("events tell of it", TOLD, || async {
            let all = self.events.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
            let has = |(kind, reason): &(&str, &str)| {
                all.iter().any(|event| {
                    event.involved_object.kind.as_deref() == Some(kind) && event.reason.as_deref() == Some(reason)
                })
            };
            if expected.iter().all(has) { Ok(()) } else { Err(format!("{all:?}")) }
        })
        .await
    }
}

async fn create(api: &Api<DynamicObject>, object: &Value) -> Result<(), String> {
    let object = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    api.create(&PostParams::default(), &object).await.map(drop).map_err(|error| error.to_string())
}

/// Waits until this holds of an object's status.
async fn status(
    api: &Api<DynamicObject>,
    name: &str,
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Result<Value, String> {
    try_eventually(&format!("{name} {what}"), TOLD, || async {
        let status = api.get(name).await.map_err(|error| error.to_string())?.data["status"].take();
        if holds(&status) { Ok(status) } else { Err(status.to_string()) }
    })
    .await
}

fn counted(status: &Value) -> (Value, Value) {
    let execution = &status["execution"];
    (execution["completedTasks"].clone(), execution["totalTasks"].clone())
}

fn seconds_between(from: &Value, to: &Value) -> Option<i64> {
    let second = |time: &Value| Some(time.as_str()?.parse::<Timestamp>().ok()?.as_second());
    Some(second(to)? - second(from)?)
}

fn same(what: &str, told: &Value, expected: &Value) -> Result<(), String> {
    if told == expected { Ok(()) } else { Err(format!("{what}:\n  told     {told}\n  expected {expected}")) }
}
