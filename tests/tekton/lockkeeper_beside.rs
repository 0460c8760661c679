//! lockkeeper itself beside Tekton, as the chart's profile `standalone` has it: its rights, its CRDs in both versions with their
//! conversion, its registration, and both loops.

use std::path::PathBuf;

use crate::gate::{self, CHART, Gate};
use crate::support::{ADMIN, ApiServer};

const RELEASE_NAMESPACE: &str = "gate";

pub struct Lockkeeper<'s> {
    pub gate: Gate,
    pub server: &'s ApiServer,
    /// The namespace of the runs.
    pub runs: String,
}

impl<'s> Lockkeeper<'s> {
    pub async fn start(server: &'s ApiServer) -> Self {
        let runs = server.tekton_namespace("runs").await.unwrap_or_else(|error| panic!("{error:#}"));
        let kubeconfig = rights(server, &runs).await;
        let config = format!(
            "loops: {{executor: true, routingKeeper: true}}\nexecution: {{namespace: {runs}, cooldown: 20s}}\nchecks: {{exponentialBackoff: {{source: published}}, recentlyRemediated: {{mode: off}}}}\n"
        );
        let gate = gate::start_gate_with(server, &config, &kubeconfig).await;
        // The API server converts by the process that needs them.
        let crds = gate::crds_of_both(server, &gate).await;
        server.apply_crds(&crds).await.unwrap_or_else(|error| panic!("{error:#}"));
        gate.ready().await;
        gate::register(server, &gate, gate::wfe).await;
        Self { gate, server, runs }
    }
}

/// The chart's own, given to the service account that lockkeeper is here.
async fn rights(server: &ApiServer, runs: &str) -> PathBuf {
    let values = format!("profile=standalone,config.execution.namespace={runs},webhook.url=https://127.0.0.1:9");
    let template = ["template", "lockkeeper", CHART, "--namespace", RELEASE_NAMESPACE];
    let template = [&template[..], &["--show-only", "templates/rbac.yaml", "--set", &values]].concat();
    let rendered = server.helm(ADMIN, &template, None).await.expect_success().stdout;
    server.kubectl(ADMIN, &["create", "namespace", RELEASE_NAMESPACE], None).await.expect_success();
    server.kubectl(ADMIN, &["apply", "-f", "-"], Some(&rendered)).await.expect_success();
    let token = server.service_account_token(RELEASE_NAMESPACE, "lockkeeper").await;
    let token = token.unwrap_or_else(|error| panic!("{error:#}"));
    server.kubeconfig_for_token(&token, RELEASE_NAMESPACE).unwrap_or_else(|error| panic!("{error:#}"))
}
