//! What every test here begins with: an API server, lockkeeper beside it, its registration, and a world to write.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::{self, ACTION, ADMIN, ApiServer, Launch, Options, Output, Process, eventually, visible};

/// The user that lockkeeper is here: it may read what it watches, and nothing else.
pub const GATE: &str = "lockkeeper";
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/lockkeeper");
/// The name of the webhook, as refusals and audit keys give it.
pub const WEBHOOK: &str = "gate.lockkeeper.kubernaut.ai";

/// An API server with lockkeeper beside it.
pub struct Stage {
    /// First, so that it ends before the API server that it watches.
    pub gate: Gate,
    pub server: ApiServer,
}

/// A running lockkeeper.
pub struct Gate {
    pub process: Process,
    pub https: String,
    pub admin: String,
    pub ca: PathBuf,
    /// Its configuration file, for reloads.
    pub config: PathBuf,
}

/// The stage that all tests share that neither stop nor starve anything.
pub async fn shared() -> Option<&'static Stage> {
    static SHARED: OnceCell<Option<Stage>> = OnceCell::const_new();
    SHARED.get_or_init(|| async { own("").await }).await.as_ref()
}

/// A stage of one's own, registered and ready, with this configuration.
pub async fn own(config: &str) -> Option<Stage> {
    let server = support::own_bench_or_skip(Options::default().user(GATE, &[])).await?;
    server.apply_crds(&crds()).await.unwrap();
    allow_reading(&server).await;
    let gate = start_gate(&server, config).await;
    gate.ready().await;
    register(&server, &gate, wfe).await;
    Some(Stage { server, gate })
}

/// The binary under test: the one that was built with the tests, or LOCKKEEPER_BIN, for measuring what users run.
pub fn binary() -> PathBuf {
    std::env::var_os("LOCKKEEPER_BIN").map_or_else(|| env!("CARGO_BIN_EXE_lockkeeper").into(), PathBuf::from)
}

/// Our own CRDs, out of the binary under test.
pub fn crds() -> String {
    let output = std::process::Command::new(binary()).arg("crds").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub async fn allow_reading(server: &ApiServer) {
    let rule = json!({
        "apiGroups": ["kubernaut.ai"], "resources": ["remediationrequests", "workflowexecutions"], "verbs": ["get", "list", "watch"],
    });
    server.cluster_role(GATE, vec![serde_json::from_value(rule).unwrap()]).await.unwrap();
    server.grant(GATE, GATE).await.unwrap();
}

/// Starts lockkeeper on free ports with a pair of its own; it need not be ready.
pub async fn start_gate(server: &ApiServer, config: &str) -> Gate {
    start_gate_with(server, config, &server.user(GATE).kubeconfig).await
}

pub async fn start_gate_with(server: &ApiServer, config: &str, kubeconfig: &Path) -> Gate {
    start_gate_at(server, config, kubeconfig, "127.0.0.1:0").await
}

/// Starts lockkeeper at an address that it has again after a restart.
pub async fn start_gate_at(server: &ApiServer, config: &str, kubeconfig: &Path, listen: &str) -> Gate {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = server.folder().join(format!("gate-{number}"));
    let text = |path: &Path| path.display().to_string();
    let binary = binary();
    let (host, _) = listen.rsplit_once(':').unwrap();
    let certs = ["certs", "--dir", &text(&folder), "--host", host, "--host", "localhost"];
    server.run(&binary, kubeconfig, &certs, None).await.expect_success();
    let config_file = folder.join("config.yaml");
    std::fs::write(&config_file, config).unwrap();
    let launch = Launch::new(format!("lockkeeper-{number}"), &binary)
        .args([
            "serve",
            "--listen",
            listen,
            "--admin-listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--tls-mode",
            "files",
        ])
        .args([
            "--config",
            &text(&config_file),
            "--tls-cert",
            &text(&folder.join("tls.crt")),
            "--tls-key",
            &text(&folder.join("tls.key")),
        ])
        .env("KUBECONFIG", text(kubeconfig));
    let process = server.launch_beside(launch).unwrap();
    let (https, admin) = eventually("lockkeeper says where it serves", ACTION, || async { addresses(&process) }).await;
    Gate { process, https, admin, ca: folder.join("ca.crt"), config: config_file }
}

/// Where it serves HTTPS, and where its admin port is.
pub fn addresses(process: &Process) -> Result<(String, String), String> {
    let log = process.log_text();
    let line = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| line["message"] == "serving");
    let line = line.ok_or(log)?;
    Ok((format!("https://{}", line["https"].as_str().unwrap()), format!("http://{}", line["admin"].as_str().unwrap())))
}

/// What the API server is told: what the chart tells it.
pub async fn register(server: &ApiServer, gate: &Gate, candidate: Candidate) {
    write_registration(server, gate, 5).await;
    // In force once a create that nothing allows is refused by us.
    eventually("the registration is in force", ACTION, || async {
        let probe = candidate("default", "probe", "no-such-request", "default/Pod/probe").to_string();
        let output = server.kubectl(ADMIN, &["create", "--dry-run=server", "-f", "-"], Some(&probe)).await;
        if output.stderr.contains("ParentMissing") { Ok(()) } else { Err(output.to_string()) }
    })
    .await;
}

/// Writes the registration as the chart renders it, without waiting until it is in force.
pub async fn write_registration(server: &ApiServer, gate: &Gate, timeout_seconds: u32) {
    let timeout = format!("webhook.timeoutSeconds={timeout_seconds}");
    let registration = render(server, gate, "webhook.yaml", &timeout).await;
    server.kubectl(ADMIN, &["apply", "-f", "-"], Some(&registration)).await.expect_success();
}

/// The CRDs with both versions, converted by this lockkeeper, as the chart renders them.
pub async fn crds_of_both(server: &ApiServer, gate: &Gate) -> String {
    render(server, gate, "crds.yaml", "crds.conversion=true").await
}

/// One of the chart's templates, for a lockkeeper beside the API server.
async fn render(server: &ApiServer, gate: &Gate, template: &str, set: &str) -> String {
    let file = format!("templates/{template}");
    let set = [set.to_owned(), format!("webhook.url={}", gate.https), "tls.existingSecret=not-read".to_owned()];
    let ca = format!("tls.caBundle={}", gate.ca.display());
    let mut template = vec!["template", "lockkeeper", CHART, "--show-only", &file, "--set-file", &ca];
    template.extend(set.iter().flat_map(|set| ["--set", set]));
    server.helm(ADMIN, &template, None).await.expect_success().stdout
}

impl Gate {
    pub async fn ready(&self) {
        eventually("lockkeeper is ready", ACTION, || async {
            let (code, body) = self.get("/readyz");
            if code == 200 { Ok(()) } else { Err(format!("{code}: {body}\n{}", self.process.log_tail(20))) }
        })
        .await;
    }

    /// GET on the admin port.
    pub fn get(&self, path: &str) -> (u16, String) {
        curl(&[&format!("{}{path}", self.admin)])
    }

    /// Sends a review straight to the webhook.
    pub fn review(&self, operation: &str, object: &Value) -> (u16, Value) {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {"uid": "u-1", "operation": operation, "namespace": object["metadata"]["namespace"], "object": object,
                        "oldObject": if operation == "CREATE" { Value::Null } else { object.clone() },
                        "resource": {"group": "kubernaut.ai", "version": "v1alpha1", "resource": "workflowexecutions"}},
        });
        let url = format!("{}/validate/workflowexecutions?timeout=5s", self.https);
        let ca = self.ca.display().to_string();
        let (code, body) =
            curl(&["--cacert", &ca, "-H", "Content-Type: application/json", "--data", &review.to_string(), &url]);
        (code, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }
}

pub fn curl(args: &[&str]) -> (u16, String) {
    let output = std::process::Command::new("curl")
        .args(["-sS", "--max-time", "8", "-w", "\n%{http_code}"])
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, code) = text.rsplit_once('\n').unwrap_or(("", "0"));
    (
        code.parse().unwrap_or(0),
        if body.is_empty() { String::from_utf8_lossy(&output.stderr).into_owned() } else { body.to_owned() },
    )
}

/// A candidate as one dialect writes it: namespace, name, parent, target.
pub type Candidate = fn(&str, &str, &str, &str) -> Value;

/// One namespace of a stage, and the objects in it.
pub struct World<'a> {
    pub server: &'a ApiServer,
    pub namespace: String,
    client: kube::Client,
}

impl<'a> World<'a> {
    pub async fn new(server: &'a ApiServer, prefix: &str) -> Self {
        let namespace = server.fresh_namespace(prefix).await.unwrap();
        Self { server, namespace, client: server.client(ADMIN).await }
    }

    /// A target that nobody else has.
    pub fn target(&self, name: &str) -> String {
        format!("{}/Deployment/{name}", self.namespace)
    }

    /// Creates a RemediationRequest of this signal, then writes its status.
    pub async fn request(&self, name: &str, signal: &str, status: Value) -> DynamicObject {
        let api = self.api("RemediationRequest");
        let object: DynamicObject = serde_json::from_value(rr(&self.namespace, name, signal)).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
        self.request_status(name, status).await
    }

    pub async fn request_status(&self, name: &str, status: Value) -> DynamicObject {
        self.write_status("RemediationRequest", name, status).await
    }

    /// Creates a WorkflowExecution through the gate, waiting for the index to know its parent; then writes its status.
    pub async fn execution(&self, name: &str, parent: &str, target: &str, status: Value) {
        let api = self.api("WorkflowExecution");
        let object: DynamicObject = serde_json::from_value(wfe(&self.namespace, name, parent, target)).unwrap();
        eventually("the execution is admitted", ACTION, || async {
            api.create(&PostParams::default(), &object).await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        if !status.is_null() {
            self.write_status("WorkflowExecution", name, status).await;
        }
    }

    pub async fn write_status(&self, kind: &str, name: &str, status: Value) -> DynamicObject {
        let patch = json!({"status": status});
        self.api(kind).patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap()
    }

    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        self.api_in("v1alpha1", kind)
    }

    pub fn api_in(&self, version: &str, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("kubernaut.ai", version, kind));
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// kubectl create of one object, as the administrator.
    pub async fn create(&self, object: &Value, extra: &[&str]) -> Output {
        let args: Vec<&str> = ["create", "-f", "-"].into_iter().chain(extra.iter().copied()).collect();
        self.server.kubectl(ADMIN, &args, Some(&object.to_string())).await
    }

    /// Waits until a dry run of the create is refused with this text; how kubectl said it.
    pub async fn refused(&self, object: &Value, text: &str) -> Output {
        eventually("the create is refused", ACTION, || async {
            let output = self.create(object, &["--dry-run=server"]).await;
            if output.stderr.contains(text) { Ok(output) } else { Err(output.to_string()) }
        })
        .await
    }

    /// Waits until the create is admitted.
    pub async fn admitted(&self, object: &Value) {
        eventually("the create is admitted", ACTION, || async {
            let output = self.create(object, &[]).await;
            if output.success() { Ok(()) } else { Err(output.to_string()) }
        })
        .await;
    }
}

/// A RemediationRequest that every dialect's schema takes.
pub fn rr(namespace: &str, name: &str, signal: &str) -> Value {
    json!({
        "apiVersion": "kubernaut.ai/v1alpha1", "kind": "RemediationRequest", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "signalFingerprint": fingerprint(namespace, signal), "signalName": signal, "severity": "warning", "signalType": "alert",
            "targetType": "kubernetes", "targetResource": {"namespace": namespace, "kind": "Deployment", "name": "api"},
            "firingTime": "2026-01-05T10:00:00Z", "receivedTime": "2026-01-05T10:00:00Z",
        },
    })
}

/// A WorkflowExecution in the December 2025 shape.
pub fn wfe(namespace: &str, name: &str, parent: &str, target: &str) -> Value {
    json!({
        "apiVersion": "kubernaut.ai/v1alpha1", "kind": "WorkflowExecution", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "remediationRequestRef": {"name": parent}, "targetResource": target,
            "workflowRef": {"workflowId": "restart", "version": "1.0.0", "containerImage": "registry/restart:1"},
        },
    })
}

fn fingerprint(namespace: &str, signal: &str) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (namespace, signal).hash(&mut hasher);
    format!("{:064x}", hasher.finish())
}

/// A time so many seconds from now, as Kubernetes writes it.
pub fn in_seconds(seconds: i64) -> String {
    let time = Timestamp::now() + SignedDuration::from_secs(seconds);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A folder beside the checkout that others fill; without it a test is skipped with a word.
pub fn shared_folder(part: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("LOCKKEEPER_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let folder = shared.join(part);
    if !folder.exists() {
        visible(&format!("skipped: nothing at {}", folder.display()));
        return None;
    }
    Some(folder)
}

pub const FAILED_BEFORE: fn(&str) -> Value = |ended| failed(ended, false);
pub const FAILED_RUNNING: fn(&str) -> Value = |ended| failed(ended, true);

fn failed(ended: &str, ran: bool) -> Value {
    json!({"phase": "Failed", "completionTime": ended, "failureDetails": {
        "reason": "TaskFailed", "message": "m", "failedTaskIndex": 0, "failedTaskName": "", "failedAt": ended,
        "executionTimeBeforeFailure": "1s", "naturalLanguageSummary": "s", "wasExecutionFailure": ran,
    }})
}

pub fn completed(ended: &str) -> Value {
    json!({"phase": "Completed", "completionTime": ended})
}

/// Long enough for a window of three seconds to pass.
pub const WINDOW: Duration = Duration::from_secs(15);
