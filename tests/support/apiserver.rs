//! A kube-apiserver with its etcd, on loopback, with a folder of its own.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow};
use axum::http::Request;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use super::assets::Assets;
use super::process::{Folder, Launch, Process};
use super::users::{ADMIN, User, client_of, default_users, enroll};
use super::wait::try_eventually;
use super::{ACTION, audit};

/// A loaded machine may need it; an idle one takes four seconds.
const READY: Duration = Duration::from_secs(60);
/// Another program can take a port between its choice and its use.
pub(super) const TRIES: u32 = 5;

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names and groups. The server learns of users only when it starts.
    pub users: Vec<(String, Vec<String>)>,
    /// Flags after ours.
    pub apiserver_args: Vec<String>,
    /// For tests that kill etcd: it writes to disk for real.
    pub fsync: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { users: default_users(), apiserver_args: Vec::new(), fsync: false }
    }
}

impl Options {
    pub fn user(mut self, name: &str, groups: &[&str]) -> Self {
        self.users.push((name.into(), groups.iter().map(|group| (*group).into()).collect()));
        self
    }

    pub fn apiserver_arg(mut self, arg: &str) -> Self {
        self.apiserver_args.push(arg.into());
        self
    }

    pub fn fsync(mut self) -> Self {
        self.fsync = true;
        self
    }
}

/// Both processes end and the folder goes when this is dropped, and also when the test process ends without dropping it.
/// A test that fails while it holds this leaves the logs under `target/` and says where.
#[derive(Debug)]
pub struct ApiServer {
    // Fields drop in this order: the server before its store, both before their folder.
    apiserver: Process,
    etcd: Process,
    folder: Folder,
    assets: &'static Assets,
    url: String,
    etcd_url: String,
    users: Vec<User>,
}

impl ApiServer {
    pub async fn start() -> Result<Self> {
        Self::start_with(Options::default()).await
    }

    /// Returns when the server is ready and its own namespaces are there.
    pub async fn start_with(options: Options) -> Result<Self> {
        let assets = tokio::task::spawn_blocking(Assets::find).await?.map_err(Error::msg)?;
        let mut tries = 1;
        loop {
            let server = Self::launch(assets, &options)?;
            match server.ready().await {
                Ok(()) => return Ok(server),
                Err(_) if tries < TRIES && server.lost_a_port() => tries += 1,
                Err(error) => {
                    let kept = server.folder.keep_logs()?;
                    let logs = [&server.etcd, &server.apiserver].map(|process| process.log_tail(15));
                    let text =
                        format!("etcd:\n{}\nkube-apiserver:\n{}\nall logs: {}", logs[0], logs[1], kept.display());
                    return Err(error.context(text).context("the test bench's API server did not start"));
                }
            }
        }
    }

    fn launch(assets: &'static Assets, options: &Options) -> Result<Self> {
        let folder = Folder::new()?;
        let [client_port, peer_port, port] = free_ports()?;
        let url = format!("https://127.0.0.1:{port}");
        write_keys(folder.path())?;
        fs::write(folder.path().join("audit-policy.yaml"), audit::POLICY)?;
        let users = enroll(folder.path(), &url, &options.users)?;
        let etcd = etcd(folder.path(), assets, client_port, peer_port, options.fsync)?;
        let apiserver = apiserver(folder.path(), assets, client_port, port, &options.apiserver_args)?;
        let etcd_url = format!("http://127.0.0.1:{client_port}");
        Ok(Self { apiserver, etcd, folder, assets, url, etcd_url, users })
    }

    async fn ready(&self) -> Result<()> {
        let client = client_of(&self.user(ADMIN).kubeconfig).await?;
        let probe = || async {
            for (name, process) in [("etcd", &self.etcd), ("kube-apiserver", &self.apiserver)] {
                if let Some(code) = process.exit_code() {
                    return Ok(Err(anyhow!("{name} ended with {code}")));
                }
            }
            let request = Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
            client.request_text(request).await.map_err(|error| format!("/readyz: {error}"))?;
            let namespaces = Api::<Namespace>::all(client.clone());
            for name in ["default", "kube-system"] {
                namespaces.get(name).await.map_err(|error| format!("namespace {name}: {error}"))?;
            }
            Ok::<_, String>(Ok(()))
        };
        try_eventually("kube-apiserver is ready", READY, probe).await.map_err(Error::msg)?
    }

    fn lost_a_port(&self) -> bool {
        [&self.etcd, &self.apiserver]
            .iter()
            .any(|process| process.exit_code().is_some() && process.log_text().contains("address already in use"))
    }

    /// `https://127.0.0.1:<port>`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server's folder: kubeconfig files, `ca.crt`, logs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn users(&self) -> &[User] {
        &self.users
    }

    pub fn assets(&self) -> &Assets {
        self.assets
    }

    /// For drills that stop, pause or kill it; start with [`Options::fsync`] for the last.
    pub fn etcd(&self) -> &Process {
        &self.etcd
    }

    /// Drops etcd's history up to now: what is watched from before cannot be taken up again.
    pub async fn compact(&self) -> Result<()> {
        // A range over one key that is not there tells the revision.
        let now = self.ask_etcd("range", &json!({"key": base64("-")})).await?;
        let revision = now["header"]["revision"].as_str().context("etcd tells no revision")?;
        self.ask_etcd("compaction", &json!({"revision": revision, "physical": true})).await.map(drop)
    }

    /// What etcd holds of a resource such as `kubernaut.ai/workflowexecutions`, as it is written there: key and value.
    pub async fn in_etcd(&self, resource: &str) -> Result<Vec<(String, serde_json::Value)>> {
        let prefix = format!("/registry/{resource}/");
        let end = format!("/registry/{resource}0");
        let answer = self.ask_etcd("range", &json!({"key": base64(&prefix), "range_end": base64(&end)})).await?;
        let held = answer["kvs"].as_array().cloned().unwrap_or_default();
        let bytes = |value: &serde_json::Value| Ok::<_, Error>(serde_json::from_value::<ByteString>(value.clone())?.0);
        held.iter()
            .map(|pair| {
                Ok((String::from_utf8(bytes(&pair["key"])?)?, serde_json::from_slice(&bytes(&pair["value"])?)?))
            })
            .collect()
    }

    async fn ask_etcd(&self, path: &str, body: &serde_json::Value) -> Result<serde_json::Value> {
        let url = format!("{}/v3/kv/{path}", self.etcd_url);
        let body = body.to_string();
        let args = ["-sS", "--fail-with-body", "--noproxy", "*", "--max-time", "30", "--data", &body, &url];
        let output = tokio::process::Command::new("curl").args(args).output().await.context("run curl")?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            return Err(anyhow!("etcd {path}: {told}{}", String::from_utf8_lossy(&output.stderr)));
        }
        Ok(serde_json::from_str(&told)?)
    }

    pub fn apiserver(&self) -> &Process {
        &self.apiserver
    }

    /// Starts another program that ends with the test process and whose log is kept when a test fails.
    pub fn launch_beside(&self, launch: Launch) -> Result<Process> {
        Process::start(self.folder(), launch)
    }

    /// For waiting until the server answers again after a drill.
    pub async fn wait_ready(&self) -> Result<()> {
        self.ready().await
    }

    /// Copies all logs to a folder under `target/` that stays: for failures that are told after the server's end.
    pub fn keep_logs(&self) -> Result<PathBuf> {
        self.folder.keep_logs()
    }

    /// For the `Drop` of what borrows a shared server.
    pub(super) fn keep_logs_of_failure(&self) {
        self.folder.keep_logs_of_failure();
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.keep_logs_of_failure();
    }
}

fn base64(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}

pub(super) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are held before any is given back, else one could come twice.
    let mut held = Vec::with_capacity(N);
    for _ in 0..N {
        held.push(TcpListener::bind("127.0.0.1:0").context("find a free port")?);
    }
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

fn write_keys(folder: &Path) -> Result<()> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::<String>::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(folder.join("ca.crt"), ca.self_signed(&ca_key)?.pem())?;
    let key = KeyPair::generate()?;
    let names = ["127.0.0.1", "localhost", "kubernetes.default.svc"].map(String::from);
    let leaf = CertificateParams::new(names)?.signed_by(&key, &Issuer::from_params(&ca, &ca_key))?;
    fs::write(folder.join("tls.crt"), leaf.pem())?;
    fs::write(folder.join("tls.key"), key.serialize_pem())?;
    let accounts = KeyPair::generate()?;
    fs::write(folder.join("sa.key"), accounts.serialize_pem())?;
    fs::write(folder.join("sa.pub"), accounts.public_key_pem())?;
    Ok(())
}

fn etcd(folder: &Path, assets: &Assets, client_port: u16, peer_port: u16, fsync: bool) -> Result<Process> {
    let data = folder.join("etcd");
    let (client, peer) = (format!("http://127.0.0.1:{client_port}"), format!("http://127.0.0.1:{peer_port}"));
    let mut launch = Launch::new("etcd", &assets.etcd).args([
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--log-level=warn".into(),
    ]);
    if !fsync {
        launch = launch.args(["--unsafe-no-fsync"]);
    }
    Process::start(folder, launch)
}

fn apiserver(folder: &Path, assets: &Assets, etcd_port: u16, port: u16, more: &[String]) -> Result<Process> {
    let file = |name: &str| folder.join(name).display().to_string();
    let launch = Launch::new("kube-apiserver", &assets.kube_apiserver)
        .args([
            format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
            format!("--secure-port={port}"),
            "--bind-address=127.0.0.1".into(),
            "--advertise-address=127.0.0.1".into(),
            format!("--cert-dir={}", file("certs")),
            format!("--tls-cert-file={}", file("tls.crt")),
            format!("--tls-private-key-file={}", file("tls.key")),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-key-file={}", file("sa.pub")),
            format!("--service-account-signing-key-file={}", file("sa.key")),
            "--authorization-mode=RBAC".into(),
            format!("--token-auth-file={}", file("tokens.csv")),
            // Pods need no token volume then; nothing runs them here anyway.
            "--disable-admission-plugins=ServiceAccount".into(),
            "--service-cluster-ip-range=10.0.0.0/24".into(),
            format!("--audit-policy-file={}", file("audit-policy.yaml")),
            format!("--audit-log-path={}", file("audit.log")),
        ])
        .args(more.iter().cloned());
    Process::start(folder, launch)
}
