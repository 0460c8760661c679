//! Where a command that asks one question gets its facts: a folder, or the cluster that kubectl would ask.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use k8s_openapi::jiff::Timestamp;
use kube::config::KubeconfigError;
use kube::{Client, Config};

use super::output::Format;
use crate::api::facts::{RemediationRequest, WorkflowExecution};
use crate::api::tekton::{Job, PipelineRun, Pod, TaskRun};
use crate::cluster::{Folder, Index, Tracked, list_once, list_where_served};
use crate::config::Settings;
use crate::routing::Policy;

/// What every question takes: the state, the rules, the time, and the form of the answer.
#[derive(Args)]
pub(super) struct Asking {
    /// Take the state from a folder of manifests instead of a cluster
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Judge as of this time instead of now
    #[arg(long, value_name = "RFC3339", value_parser = parse_at)]
    at: Option<Timestamp>,
    /// Configuration file (YAML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Form of the output
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Format,
}

impl Asking {
    pub fn policy(&self) -> anyhow::Result<Policy> {
        Ok(self.settings()?.policy())
    }

    fn settings(&self) -> anyhow::Result<Settings> {
        Ok(Settings::load(self.config.as_deref(), crate::config::environment())?)
    }

    pub fn now(&self) -> Timestamp {
        self.at.unwrap_or_else(Timestamp::now)
    }

    /// The state, read once.
    pub fn index(&self) -> anyhow::Result<Arc<Index>> {
        load(self.state.as_deref(), &self.settings()?)
    }
}

fn load(folder: Option<&Path>, settings: &Settings) -> anyhow::Result<Arc<Index>> {
    let executions = &settings.execution.namespace;
    let index = Arc::new(Index::with_executions_in(executions));
    match folder {
        Some(folder) => {
            Folder::open(folder, &index)?;
        }
        None => super::runtime()?.block_on(async {
            let client = client("; name a folder with --state instead").await?;
            list_once::<RemediationRequest>(&client, &index).await.context("cannot list remediationrequests")?;
            list_once::<WorkflowExecution>(&client, &index).await.context("cannot list workflowexecutions")?;
            list_runs::<PipelineRun>(&client, &index, executions).await;
            list_runs::<TaskRun>(&client, &index, executions).await;
            // As the gate follows them.
            if settings.loops.executor {
                list_runs::<Job>(&client, &index, executions).await;
                list_runs::<Pod>(&client, &index, executions).await;
            }
            anyhow::Ok(())
        })?,
    }
    Ok(index)
}

/// Without them the answer is that of a gate that does not see runs, and says so.
async fn list_runs<T: Tracked>(client: &Client, index: &Index, namespace: &str) {
    if let Err(error) = list_where_served::<T>(client, index, namespace).await {
        let warning = format!("warning: {} in namespace {namespace} are not known here: {error}\n", T::INPUT);
        super::output::aside(&warning);
    }
}

/// The cluster as kubectl finds it: KUBECONFIG, ~/.kube/config, in-cluster.
/// `instead`: what else could be named.
pub(super) async fn client(instead: &str) -> anyhow::Result<Client> {
    let mut config = Config::infer().await.map_err(|error| {
        if let Some(problem) = broken(&error) {
            return anyhow::anyhow!("the kubeconfig {} {problem}{instead}", kubeconfig());
        }
        let said = error.to_string();
        let said = said.rsplit("failed to read kubeconfig from ").next().unwrap_or_default();
        let said = said.replace(['\'', '"'], "");
        let said = if said.contains('(') && said.ends_with("))") {
            said.trim_end_matches("))").to_owned() + ")"
        } else {
            said
        };
        anyhow::anyhow!("no cluster found by KUBECONFIG, ~/.kube/config or in-cluster{instead}: {said}")
    })?;
    // Our own loops decide when to try again, and say so.
    config.default_retry = false;
    Client::try_from(config).context("the cluster's client cannot be made")
}

/// What is wrong with a kubeconfig that is there; None: there is none.
fn broken(error: &kube::config::InferConfigError) -> Option<String> {
    let cause = std::error::Error::source(error)?.downcast_ref::<KubeconfigError>()?;
    Some(match cause {
        KubeconfigError::FindPath => return None,
        KubeconfigError::ReadConfig(error, _) if error.kind() == std::io::ErrorKind::NotFound => return None,
        KubeconfigError::ReadConfig(error, _) => format!("cannot be read: {error}"),
        KubeconfigError::Parse(error) => format!("is no kubeconfig: {}", crate::manifest::yaml_problem(error)),
        KubeconfigError::CurrentContextNotSet => "names no current-context; see kubectl config use-context".to_owned(),
        other => format!("cannot be used: {}", crate::line::one_line(&other.to_string(), 300)),
    })
}

/// The files that kubectl would read.
fn kubeconfig() -> String {
    let named = std::env::var("KUBECONFIG").ok().filter(|files| !files.is_empty());
    crate::line::one_line(&named.unwrap_or_else(|| "~/.kube/config".to_owned()), 400)
}

/// Reads `--at`.
fn parse_at(text: &str) -> Result<Timestamp, String> {
    crate::api::facts::time(text).ok_or_else(|| "expected an RFC 3339 time such as 2026-01-05T10:04:00Z".to_owned())
}
