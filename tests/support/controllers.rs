//! Kubernetes' own controllers of Jobs and of what nobody owns any more, beside an API server. No kubelet runs here: what
//! becomes of a pod is played.

use anyhow::Result;

use super::apiserver::{ApiServer, Options, free_ports};
use super::process::{Launch, Process};

/// Who they are; the API server itself gives that user rights, and they are not enough for all of them under one name.
const USER: &str = "system:kube-controller-manager";

/// The running controllers. They end when this is dropped and with the test process.
#[derive(Debug)]
pub struct Controllers {
    _process: Process,
}

impl Options {
    /// The server knows the controllers: [`Controllers::start`] needs that.
    pub fn controllers(self) -> Self {
        self.user(USER, &[])
    }
}

impl Controllers {
    /// What they do shows when they are at work. They are to be dropped before the server.
    pub async fn start(server: &ApiServer) -> Result<Self> {
        server.grant(USER, "cluster-admin").await?;
        let [port] = free_ports()?;
        let kubeconfig = server.user(USER).kubeconfig.display().to_string();
        let launch = Launch::new("kube-controller-manager", &server.assets().kube_controller_manager).args([
            format!("--kubeconfig={kubeconfig}"),
            "--controllers=job-controller,garbage-collector-controller".to_owned(),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!("--cert-dir={}", server.folder().join("controllers").display()),
            "--kube-api-qps=100".to_owned(),
            "--kube-api-burst=200".to_owned(),
        ]);
        Ok(Self { _process: server.launch_beside(launch)? })
    }
}
