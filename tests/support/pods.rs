//! A kubelet's part, played: what it would write into the status of a pod that Tekton made, and nothing else.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Binding, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::wait::try_eventually;

/// Two hundred runs at once took Tekton minutes.
const POD: Duration = Duration::from_secs(60);
const STARTED: &str = "%Y-%m-%dT%H:%M:%SZ";

/// What one container is told to be in.
#[derive(Clone, Debug)]
pub enum State {
    Waiting {
        reason: &'static str,
        message: &'static str,
    },
    Running,
    /// The message is what the step left in its termination file: Tekton expects results in it, as JSON.
    Ended {
        code: i32,
        reason: &'static str,
        message: String,
    },
}

/// What becomes of a pod, as data: `Play::exit(1)`, `Play::oom().at(1)`.
#[derive(Clone, Debug)]
pub struct Play {
    /// Members of the pod's status beside the containers; null leaves the pod untouched.
    status: Value,
    /// How the steps before, at and after the one it is about are; none of a pod that got no container.
    states: Option<[State; 3]>,
    at: usize,
    /// The first step's command had begun, so Tekton must have let it begin.
    begun: bool,
}

/// Plays the pods of one namespace.
#[derive(Clone)]
pub struct Player {
    pods: Api<Pod>,
}

impl Play {
    /// The pod is there and no kubelet ever speaks of it.
    pub fn untouched() -> Self {
        Self { status: Value::Null, states: None, at: 0, begun: false }
    }

    /// No node takes the pod.
    pub fn unschedulable() -> Self {
        let message = "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available.";
        let condition =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
        Self { status: json!({"phase": "Pending", "conditions": [condition]}), ..Self::untouched() }
    }

    /// All containers run, and Tekton has let the first step begin.
    pub fn running() -> Self {
        let states = [State::Running, State::Running, State::Running];
        Self { status: phase("Running"), states: Some(states), at: 0, begun: true }
    }

    pub fn success() -> Self {
        let completed = || ended(0, "Completed", "");
        let states = [completed(), completed(), completed()];
        Self { status: phase("Succeeded"), states: Some(states), ..Self::running() }
    }

    /// The step ends with this code, those after it are skipped.
    pub fn exit(code: i32) -> Self {
        let skipped = r#"[{"key":"Reason","value":"Skipped","type":3}]"#;
        let states = [ended(0, "Completed", ""), ended(code, "Error", ""), ended(1, "Error", skipped)];
        Self { status: phase("Failed"), states: Some(states), ..Self::running() }
    }

    /// The step is killed for its memory; the others have not heard of it yet.
    pub fn oom() -> Self {
        let states = [ended(0, "Completed", ""), ended(137, "OOMKilled", ""), State::Running];
        Self { states: Some(states), ..Self::running() }
    }

    /// The kubelet ends the pod for its node's sake, and all that ran in it.
    pub fn evicted() -> Self {
        let message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 60Mi. \
                       Container step-a was using 900Mi, request is 64Mi, has larger consumption of memory. ";
        let status = json!({"phase": "Failed", "reason": "Evicted", "message": message});
        Self { status, states: Some(["", "", ""].map(|_| ended(137, "Error", ""))), ..Self::running() }
    }

    /// The kubelet refuses the pod before any container exists.
    pub fn rejected(reason: &'static str, message: &'static str) -> Self {
        Self { status: json!({"phase": "Failed", "reason": reason, "message": message}), ..Self::untouched() }
    }

    pub fn unpullable() -> Self {
        Self::waiting("ImagePullBackOff", r#"Back-off pulling image "registry.example/tool:gone": not found"#)
    }

    pub fn misconfigured() -> Self {
        Self::waiting("CreateContainerConfigError", r#"secret "credentials" not found"#)
    }

    /// The runtime cannot start the step's process. Its words are no JSON, unlike all that Tekton writes there.
    pub fn unstartable() -> Self {
        let message = r#"failed to create containerd task: exec: "/no/such": no such file or directory"#;
        let states = [State::Running, ended(128, "StartError", message), State::Running];
        Self { status: phase("Failed"), states: Some(states), at: 0, begun: false }
    }

    fn waiting(reason: &'static str, message: &'static str) -> Self {
        let states = [State::Running, State::Waiting { reason, message }, State::Running];
        Self { status: phase("Pending"), states: Some(states), at: 0, begun: false }
    }

    /// It is this step, counted from 0, that it happens to.
    pub fn at(mut self, step: usize) -> Self {
        self.at = step;
        self
    }

    /// The step leaves this in its termination file.
    pub fn saying(mut self, results: &Value) -> Self {
        if let Some([_, State::Ended { message, .. }, _]) = &mut self.states {
            *message = results.to_string();
        }
        self
    }

    fn state(&self, step: usize) -> Option<&State> {
        let [before, here, after] = self.states.as_ref()?;
        Some(match step.cmp(&self.at) {
            std::cmp::Ordering::Less => before,
            std::cmp::Ordering::Equal => here,
            std::cmp::Ordering::Greater => after,
        })
    }
}

impl Player {
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { pods: Api::namespaced(client, namespace) }
    }

    /// Waits for the pod and plays. Tekton names it `<taskrun>-pod`, after a retry `<taskrun>-pod-retry1`.
    pub async fn play(&self, pod: &str, play: &Play) -> Result<(), String> {
        let mut seen = self.await_pod(pod).await?;
        if play.begun && !begun(&seen) {
            seen = self.begin(&seen).await?;
        }
        self.write(&seen, play).await
    }

    /// A node takes it: from now on it goes only when that node's kubelet says so.
    pub async fn place(&self, pod: &str) -> Result<(), String> {
        let binding =
            json!({"metadata": {"name": pod}, "target": {"apiVersion": "v1", "kind": "Node", "name": "node"}});
        let binding: Binding = serde_json::from_value(binding).map_err(|error| error.to_string())?;
        let params = PostParams::default();
        let bound: Result<Value, _> = self.pods.create_subresource("binding", pod, &params, &binding).await;
        bound.map(drop).map_err(|error| format!("binding of pod {pod}: {error}"))
    }

    /// The kubelet ends a pod that was deleted.
    pub async fn stop(&self, pod: &str) -> Result<(), String> {
        try_eventually(&format!("pod {pod} is deleted"), POD, || async {
            let pod = self.pods.get(pod).await.map_err(|error| error.to_string())?;
            pod.metadata.deletion_timestamp.map(drop).ok_or("it is not".to_owned())
        })
        .await?;
        let gone = self.pods.delete(pod, &DeleteParams::default().grace_period(0)).await;
        gone.map(drop).map_err(|error| error.to_string())
    }

    async fn await_pod(&self, name: &str) -> Result<Pod, String> {
        try_eventually(&format!("Tekton makes pod {name}"), POD, || async {
            let pod = self.pods.get(name).await.map_err(|error| error.to_string())?;
            if pod.metadata.deletion_timestamp.is_some() { Err("it is being deleted".to_owned()) } else { Ok(pod) }
        })
        .await
    }

    /// All containers start; returns when Tekton has told the first step to begin.
    async fn begin(&self, pod: &Pod) -> Result<Pod, String> {
        pass_the_second_of(pod).await;
        self.write(pod, &Play::running()).await?;
        let name = name(pod);
        try_eventually(&format!("Tekton lets pod {name} begin"), POD, || async {
            let pod = self.pods.get(name).await.map_err(|error| error.to_string())?;
            if begun(&pod) { Ok(pod) } else { Err("no tekton.dev/ready".to_owned()) }
        })
        .await
    }

    async fn write(&self, pod: &Pod, play: &Play) -> Result<(), String> {
        if play.status.is_null() {
            return Ok(());
        }
        let mut status = play.status.clone();
        if play.states.is_some() {
            status["containerStatuses"] = container_statuses(pod, play);
        }
        let patch = Patch::Merge(json!({"status": status}));
        let written = self.pods.patch_status(name(pod), &PatchParams::default(), &patch).await;
        written.map(drop).map_err(|error| format!("status of pod {}: {error}", name(pod)))
    }
}

fn phase(phase: &str) -> Value {
    json!({"phase": phase, "conditions": [{"type": "PodScheduled", "status": "True"}]})
}

fn ended(code: i32, reason: &'static str, message: &str) -> State {
    State::Ended { code, reason, message: message.to_owned() }
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

fn begun(pod: &Pod) -> bool {
    pod.metadata
        .annotations
        .as_ref()
        .is_some_and(|all| all.get("tekton.dev/ready").is_some_and(|value| value == "READY"))
}

/// On a node nothing starts in the second in which its TaskRun was made; a record that says so means something else.
async fn pass_the_second_of(pod: &Pod) {
    let made = pod.metadata.creation_timestamp.as_ref().map_or_else(Timestamp::now, |time| time.0);
    let left = (made + SignedDuration::from_secs(1)).duration_since(Timestamp::now());
    tokio::time::sleep(left.try_into().unwrap_or_default()).await;
}

/// In the order of the pod's containers: steps as the play says, sidecars beside them for as long as a step is left.
fn container_statuses(pod: &Pod, play: &Play) -> Value {
    let mut steps = 0;
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let statuses = containers.filter_map(|container| {
        let state = if container.name.starts_with("step-") {
            steps += 1;
            play.state(steps - 1)?
        } else {
            &State::Running
        };
        Some(container_status(&container.name, state, &started(pod, &container.name)))
    });
    statuses.collect()
}

/// When a container started: as its status has it, else now.
fn started(pod: &Pod, container: &str) -> String {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let running =
        statuses.filter(|status| status.name == container).find_map(|status| status.state.as_ref()?.running.clone());
    let time = running.and_then(|running| running.started_at).map_or_else(Timestamp::now, |time| time.0);
    time.strftime(STARTED).to_string()
}

fn container_status(name: &str, state: &State, started: &str) -> Value {
    let now = Timestamp::now().strftime(STARTED).to_string();
    let (state, image) = match state {
        // The runtime knows no image of a container that it never made.
        State::Waiting { reason, message } => (json!({"waiting": {"reason": reason, "message": message}}), ""),
        State::Running => (json!({"running": {"startedAt": started}}), "registry.example/tool@sha256:1"),
        State::Ended { code, reason, message } => {
            let started = if *reason == "StartError" { "1970-01-01T00:00:00Z" } else { started };
            let mut end = json!({"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": now});
            if !message.is_empty() {
                end["message"] = json!(message);
            }
            (json!({"terminated": end}), "registry.example/tool@sha256:1")
        }
    };
    let ready = state.get("running").is_some();
    json!({
        "name": name, "image": "registry.example/tool:1", "imageID": image, "ready": ready, "restartCount": 0,
        "state": state,
    })
}
