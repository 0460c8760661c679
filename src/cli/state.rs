//! Where a command that asks one question gets its facts: a folder, or the cluster that kubectl would ask.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use k8s_openapi::jiff::Timestamp;
use kube::{Client, Config};

use crate::api::facts::{RemediationRequest, WorkflowExecution};
use crate::cluster::{Folder, Index, list_once};

/// Fills an index once.
pub(super) fn load(folder: Option<&Path>) -> anyhow::Result<Arc<Index>> {
    let index = Arc::new(Index::default());
    match folder {
        Some(folder) => {
            Folder::open(folder, &index)?;
        }
        None => super::runtime()?.block_on(async {
            let client = client().await?;
            list_once::<RemediationRequest>(&client, &index).await.context("cannot list remediationrequests")?;
            list_once::<WorkflowExecution>(&client, &index).await.context("cannot list workflowexecutions")?;
            anyhow::Ok(())
        })?,
    }
    Ok(index)
}

/// The cluster as kubectl finds it: KUBECONFIG, ~/.kube/config, in-cluster.
pub(super) async fn client() -> anyhow::Result<Client> {
    let mut config = Config::infer()
        .await
        .context("no cluster found by KUBECONFIG, ~/.kube/config or in-cluster; name a folder with --state instead")?;
    // Our own loops decide when to try again, and say so.
    config.default_retry = false;
    Client::try_from(config).context("the cluster's client cannot be made")
}

/// `--at`, as a clock.
pub(super) fn clock(at: Option<Timestamp>) -> Timestamp {
    at.unwrap_or_else(Timestamp::now)
}

/// Reads `--at`.
pub(super) fn parse_at(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "expected an RFC 3339 time such as 2026-01-05T10:04:00Z".to_owned())
}
