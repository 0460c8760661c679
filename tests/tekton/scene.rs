//! A run, what becomes of its pods, and what is to be stored then.

use std::time::Duration;

use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::stage::{Place, Stage};
use crate::support::pods::{Play, Player};
use crate::support::tekton::{answer, done, no_such_bundle, succeeded};
use crate::support::try_eventually;

/// All scenes run at once on a machine that may be busy; one alone takes seconds.
const STORED: Duration = Duration::from_secs(90);

/// One run in a namespace of its own.
pub struct Scene {
    pub name: &'static str,
    place: Place,
    spec: Value,
    acts: Vec<Act>,
    run_reason: &'static str,
    /// By pipeline task.
    task_reasons: Vec<(&'static str, &'static str)>,
    /// A part of a condition's message.
    message: &'static str,
    /// The reason, and whether anything ran; none for a run that did not fail.
    pub meaning: Option<(&'static str, bool)>,
}

/// What happens to a run, in order.
pub enum Act {
    /// The pod of a pipeline task.
    Pod(&'static str, Play),
    /// The pod of its first retry.
    Retry(&'static str, Play),
    /// Waits until the TaskRun of a pipeline task has this reason.
    Until(&'static str, &'static str),
    /// The run's time is up. Set only now, so that no busy machine is too late for what came before.
    TimeOut,
    /// The same of one task.
    TaskTimeOut(&'static str),
    Cancel,
    /// The resolver answers that there is no such thing.
    Unresolved,
}

/// The run and its TaskRuns as they are in the API server at the end.
#[derive(Clone, Debug)]
pub struct Stored {
    pub run: Value,
    pub tasks: Vec<Value>,
}

impl Scene {
    pub fn new(name: &'static str, spec: Value, acts: impl IntoIterator<Item = Act>) -> Self {
        let acts = acts.into_iter().collect();
        let (place, run_reason, task_reasons, message, meaning) = (Place::Open, "", Vec::new(), "", None);
        Self { name, place, spec, acts, run_reason, task_reasons, message, meaning }
    }

    pub fn place(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// The reasons of the run and of the TaskRun of each pipeline task that got one, and a part of what one of them says.
    pub fn stores(mut self, run: &'static str, tasks: &[(&'static str, &'static str)], message: &'static str) -> Self {
        (self.run_reason, self.task_reasons, self.message) = (run, tasks.to_vec(), message);
        self
    }

    pub fn means(mut self, reason: &'static str, ran: bool) -> Self {
        self.meaning = Some((reason, ran));
        self
    }

    /// Plays it to its end.
    pub async fn play(&self, stage: &Stage) -> Result<Stored, String> {
        let (client, namespace) = stage.place(self.name, self.place).await?;
        let play = Playing::new(&client, &namespace, self.name);
        play.create(&self.spec).await?;
        for act in &self.acts {
            play.act(act).await?;
        }
        play.stored().await
    }

    /// What is stored otherwise than the scene names.
    pub fn compare(&self, stored: &Stored) -> Result<(), String> {
        let reason = |run: &Value| succeeded(run)["reason"].as_str().unwrap_or_default().to_owned();
        let tasks: Vec<(String, String)> =
            stored.tasks.iter().map(|task| (pipeline_task(task), reason(task))).collect();
        let expected: Vec<(String, String)> =
            self.task_reasons.iter().map(|(task, reason)| ((*task).into(), (*reason).into())).collect();
        let all = std::iter::once(&stored.run).chain(&stored.tasks);
        let messages: Vec<&str> = all.filter_map(|run| succeeded(run)["message"].as_str()).collect();
        let said = messages.iter().any(|message| message.contains(self.message));
        if reason(&stored.run) == self.run_reason && tasks == expected && said {
            return Ok(());
        }
        let run = reason(&stored.run);
        let text = serde_json::to_string_pretty(&stored.list()).unwrap_or_default();
        Err(format!(
            "stored {run} {tasks:?} {messages:?}\nexpected {} {expected:?} {:?}\n{text}",
            self.run_reason, self.message
        ))
    }
}

impl Stored {
    /// As `kubectl get -o json` gives them.
    pub fn list(&self) -> Value {
        let items: Vec<&Value> = std::iter::once(&self.run).chain(&self.tasks).collect();
        json!({"apiVersion": "v1", "kind": "List", "items": items})
    }
}

/// A scene's run while it is played.
struct Playing {
    name: &'static str,
    player: Player,
    runs: Api<DynamicObject>,
    tasks: Api<DynamicObject>,
    requests: Api<DynamicObject>,
}

impl Playing {
    fn new(client: &Client, namespace: &str, name: &'static str) -> Self {
        let api = |group: &str, version: &str, kind: &str| {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            Api::namespaced_with(client.clone(), namespace, &resource)
        };
        Self {
            name,
            runs: api("tekton.dev", "v1", "PipelineRun"),
            tasks: api("tekton.dev", "v1", "TaskRun"),
            requests: api("resolution.tekton.dev", "v1beta1", "ResolutionRequest"),
            player: Player::new(client.clone(), namespace),
        }
    }

    async fn create(&self, spec: &Value) -> Result<(), String> {
        let run = json!({
            "apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": self.name}, "spec": spec,
        });
        let run = serde_json::from_value(run).map_err(|error| error.to_string())?;
        self.runs.create(&PostParams::default(), &run).await.map(drop).map_err(|error| error.to_string())
    }

    async fn act(&self, act: &Act) -> Result<(), String> {
        match act {
            Act::Pod(task, play) => self.player.play(&format!("{}-{task}-pod", self.name), play).await,
            Act::Retry(task, play) => self.player.play(&format!("{}-{task}-pod-retry1", self.name), play).await,
            Act::Until(task, reason) => self.until(&format!("{}-{task}", self.name), reason).await,
            Act::TimeOut => patch(&self.runs, self.name, json!({"timeouts": {"pipeline": "1s"}})).await,
            Act::TaskTimeOut(task) => {
                patch(&self.tasks, &format!("{}-{task}", self.name), json!({"timeout": "1s"})).await
            }
            Act::Cancel => patch(&self.runs, self.name, json!({"status": "Cancelled"})).await,
            Act::Unresolved => answer(&self.requests, self.name, no_such_bundle()).await,
        }
    }

    async fn until(&self, task: &str, reason: &str) -> Result<(), String> {
        try_eventually(&format!("TaskRun {task} is {reason}"), STORED, || async {
            let found = self.tasks.get(task).await.map_err(|error| error.to_string())?;
            let condition = succeeded(&found.data).clone();
            if condition["reason"] == reason { Ok(()) } else { Err(condition.to_string()) }
        })
        .await
    }

    /// Waits for the end of the run and of its TaskRuns: after a timeout the run ends first.
    async fn stored(&self) -> Result<Stored, String> {
        try_eventually(&format!("{} ends", self.name), STORED, || async {
            let run = self.runs.get(self.name).await.map_err(|error| error.to_string())?;
            let mine = ListParams::default().labels(&format!("tekton.dev/pipelineRun={}", self.name));
            let tasks = self.tasks.list(&mine).await.map_err(|error| error.to_string())?;
            let run = plain(run);
            let mut tasks: Vec<Value> = tasks.items.into_iter().map(plain).collect();
            tasks.sort_by_key(pipeline_task);
            match std::iter::once(&run).chain(&tasks).find(|run| !done(run)) {
                Some(going) => Err(format!("{}: {}", going["metadata"]["name"], succeeded(going))),
                None => Ok(Stored { run, tasks }),
            }
        })
        .await
    }
}

async fn patch(api: &Api<DynamicObject>, name: &str, spec: Value) -> Result<(), String> {
    let patched = api.patch(name, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await;
    patched.map(drop).map_err(|error| format!("patch of {name}: {error}"))
}

fn plain(mut object: DynamicObject) -> Value {
    object.metadata.managed_fields = None;
    serde_json::to_value(object).unwrap_or_default()
}

fn pipeline_task(task: &Value) -> String {
    task["metadata"]["labels"]["tekton.dev/pipelineTask"].as_str().unwrap_or_default().to_owned()
}
