//! Tekton's own Pipelines controller beside an API server: it writes every status, as on a cluster. No kubelet runs here,
//! so the part of that is played: [`super::pods`].

use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::FIELD_MANAGER;
use super::apiserver::{ApiServer, Options, TRIES, free_ports};
use super::process::{Launch, Process};
use super::users::ADMIN;
use super::wait::try_eventually;

/// Who the controller is. It may do all that Tekton's own roles give it, but make pods only where it was allowed to:
/// see [`ApiServer::tekton_namespace`].
pub const TEKTON: &str = "system:serviceaccount:tekton-pipelines:tekton-pipelines-controller";

const SYSTEM: &str = "tekton-pipelines";
const READY: Duration = Duration::from_secs(60);
const PODS: &str = "tekton-pods";
/// Many runs at once on a machine that may be busy.
const RESOLVED: Duration = Duration::from_secs(90);

/// All must exist, all may be empty.
const CONFIG_MAPS: [&str; 7] = [
    "config-defaults",
    "feature-flags",
    "config-observability",
    "config-spire",
    "config-events",
    "config-tracing",
    "config-wait-exponential-backoff",
];

/// Group, version, plural, kind. The first five are watched from the start, the others only looked up.
const KINDS: [(&str, &str, &str, &str); 8] = [
    ("tekton.dev", "v1", "pipelineruns", "PipelineRun"),
    ("tekton.dev", "v1", "taskruns", "TaskRun"),
    ("tekton.dev", "v1beta1", "customruns", "CustomRun"),
    ("tekton.dev", "v1alpha1", "verificationpolicies", "VerificationPolicy"),
    ("resolution.tekton.dev", "v1beta1", "resolutionrequests", "ResolutionRequest"),
    ("tekton.dev", "v1", "pipelines", "Pipeline"),
    ("tekton.dev", "v1", "tasks", "Task"),
    ("tekton.dev", "v1beta1", "stepactions", "StepAction"),
];

/// The running controller. It ends when this is dropped and with the test process.
#[derive(Debug)]
pub struct Tekton {
    process: Process,
}

impl Options {
    /// The server knows Tekton's controller: [`Tekton::start`] needs that.
    pub fn tekton(self) -> Self {
        self.user(TEKTON, &["system:serviceaccounts", "system:serviceaccounts:tekton-pipelines"])
    }
}

impl Tekton {
    /// Puts in what the controller needs and returns when it answers on its port. It is to be dropped before the server.
    pub async fn start(server: &ApiServer) -> Result<Self> {
        server.apply_crds(&crds()).await?;
        settings(server).await?;
        rights(server).await?;
        let mut tries = 1;
        loop {
            let [probes, profiling] = free_ports()?;
            let process = server.launch_beside(launch(server, probes, profiling))?;
            match ready(&process, probes).await {
                Ok(()) => return Ok(Self { process }),
                Err(_) if tries < TRIES && lost_a_port(&process) => tries += 1,
                Err(error) => {
                    return Err(error.context(process.log_tail(15)).context("tekton-controller did not start"));
                }
            }
        }
    }

    pub fn process(&self) -> &Process {
        &self.process
    }
}

impl ApiServer {
    /// A fresh namespace in which Tekton runs what is created: its pods are allowed, and they have a service account.
    pub async fn tekton_namespace(&self, prefix: &str) -> Result<String> {
        let namespace = self.tekton_namespace_without_pods(prefix).await?;
        self.grant_in(&namespace, TEKTON, PODS).await?;
        Ok(namespace)
    }

    /// The same, but Tekton is refused every pod for want of rights.
    pub async fn tekton_namespace_without_pods(&self, prefix: &str) -> Result<String> {
        let namespace = self.fresh_namespace(prefix).await?;
        self.create_service_account(&namespace, "default").await?;
        Ok(namespace)
    }
}

/// Stubs: what a webhook or a schema would refuse is the controller's to judge here.
fn crds() -> String {
    let crd = |(group, version, plural, kind): (&str, &str, &str, &str)| {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"plural": plural, "kind": kind},
                "versions": [{
                    "name": version, "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                }],
            },
        })
    };
    json!({"apiVersion": "v1", "kind": "List", "items": KINDS.map(crd)}).to_string()
}

async fn settings(server: &ApiServer) -> Result<()> {
    let client = server.client(ADMIN).await;
    let metadata = |name: &str| ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
    let apply = PatchParams::apply(FIELD_MANAGER);
    let namespace = Namespace { metadata: metadata(SYSTEM), ..Namespace::default() };
    Api::<Namespace>::all(client.clone()).patch(SYSTEM, &apply, &Patch::Apply(&namespace)).await?;
    let config_maps = Api::<ConfigMap>::namespaced(client, SYSTEM);
    for name in CONFIG_MAPS {
        let empty = ConfigMap { metadata: metadata(name), ..ConfigMap::default() };
        config_maps.patch(name, &apply, &Patch::Apply(&empty)).await?;
    }
    Ok(())
}

async fn rights(server: &ApiServer) -> Result<()> {
    let rule = |groups: &[&str], resources: &[&str], verbs: &[&str]| -> Result<_> {
        Ok(serde_json::from_value(json!({"apiGroups": groups, "resources": resources, "verbs": verbs}))?)
    };
    let rules = vec![
        rule(&["*"], &["*"], &["get", "list", "watch", "update", "patch", "delete"])?,
        rule(&["tekton.dev", "resolution.tekton.dev"], &["*"], &["*"])?,
        rule(&["apps"], &["statefulsets"], &["create"])?,
        rule(&["coordination.k8s.io"], &["leases"], &["create"])?,
        rule(&[""], &["events", "persistentvolumeclaims"], &["create"])?,
    ];
    server.cluster_role(SYSTEM, rules).await?;
    server.cluster_role(PODS, vec![rule(&[""], &["pods"], &["create"])?]).await?;
    server.grant(TEKTON, SYSTEM).await
}

fn launch(server: &ApiServer, probes: u16, profiling: u16) -> Launch {
    let kubeconfig = server.user(TEKTON).kubeconfig.display().to_string();
    // Nothing pulls these images; without a name the controller refuses to start.
    let images = ["entrypoint", "nop", "sidecarlogresults", "workingdirinit", "shell"];
    Launch::new("tekton-controller", &server.assets().tekton_controller)
        .args(["--disable-ha", "--kubeconfig", &kubeconfig, "--kube-api-qps", "100", "--kube-api-burst", "200"])
        .args(images.iter().flat_map(|image| [format!("--{image}-image"), format!("bench/{image}")]))
        .args(["--shell-image-win", "bench/shell-win"])
        .env("SYSTEM_NAMESPACE", SYSTEM)
        .env("PROBES_PORT", probes.to_string())
        .env("PROFILING_PORT", profiling.to_string())
}

async fn ready(process: &Process, port: u16) -> Result<()> {
    let probe = || async {
        if let Some(code) = process.exit_code() {
            return Ok(Err(anyhow!("tekton-controller ended with {code}")));
        }
        match status_line(port).await {
            Ok(line) if line.contains(" 200 ") => Ok(Ok(())),
            Ok(line) => Err(line),
            Err(error) => Err(format!("{error:#}")),
        }
    };
    try_eventually("tekton-controller is ready", READY, probe).await.map_err(Error::msg)?
}

async fn status_line(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET /readiness HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.lines().next().context("an empty answer")?.to_owned())
}

fn lost_a_port(process: &Process) -> bool {
    process.exit_code().is_some() && process.log_text().contains("address already in use")
}

/// Plays a resolver: gives the request that Tekton made for this run a status.
pub async fn answer(requests: &Api<DynamicObject>, run: &str, status: Value) -> std::result::Result<(), String> {
    let owned =
        |request: &DynamicObject| request.metadata.owner_references.iter().flatten().any(|owner| owner.name == run);
    // Tekton's first write to a request, when it comes late, takes an answer away again.
    let first = || async {
        let all = requests.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let begun =
            all.items.into_iter().find(|request| owned(request) && succeeded(&request.data)["status"] == "Unknown");
        begun.and_then(|request| request.metadata.name).ok_or_else(|| "no ResolutionRequest under way".to_owned())
    };
    let name = try_eventually("Tekton asks the resolver", RESOLVED, first).await?;
    let status = Patch::Merge(json!({"status": status}));
    let written = requests.patch_status(&name, &PatchParams::default(), &status).await;
    written.map(drop).map_err(|error| error.to_string())
}

/// A resolver's answer: this object, out of a bundle.
pub fn resolved(object: &Value) -> Value {
    let source = json!({"uri": "registry.example/restart", "digest": {"sha256": "1"}, "entryPoint": "workflow"});
    json!({
        "data": ByteString(object.to_string().into_bytes()), "refSource": source,
        "conditions": [{"type": "Succeeded", "status": "True"}],
    })
}

/// A resolver's answer: there is no such thing.
pub fn no_such_bundle() -> Value {
    let condition = json!({
        "type": "Succeeded", "status": "False", "reason": "ResolutionFailed",
        "message": "error getting \"bundleresolver\" \"team/fix\": cannot retrieve the oci image: 404 Not Found",
    });
    json!({"conditions": [condition]})
}

/// The condition by which a PipelineRun, TaskRun or CustomRun says how it ended; null before Tekton has seen it.
pub fn succeeded(run: &Value) -> &Value {
    let conditions = run["status"]["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|condition| condition["type"] == "Succeeded"));
    found.unwrap_or(&Value::Null)
}

/// Whether it has ended.
pub fn done(run: &Value) -> bool {
    matches!(succeeded(run)["status"].as_str(), Some("True" | "False"))
}
