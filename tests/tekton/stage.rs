//! The API server with Tekton beside it, and the namespaces that scenes play in.

use k8s_openapi::api::core::v1::{Namespace, Pod, ResourceQuota};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::support::controllers::Controllers;
use crate::support::tekton::Tekton;
use crate::support::{self, ACTION, ADMIN, ApiServer, Options, try_eventually};

/// What the namespace allows.
#[derive(Clone, Copy)]
pub enum Place {
    Open,
    /// The controller has no right to make pods.
    NoRights,
    /// A ResourceQuota that is used up.
    NoQuota,
    /// PodSecurity `restricted`.
    Restricted,
}

pub struct Stage {
    // They end before the server that they watch.
    _tekton: Tekton,
    _controllers: Controllers,
    server: ApiServer,
}

impl Stage {
    pub async fn start() -> Option<Self> {
        let server = support::own_bench_or_skip(Options::default().tekton().controllers()).await?;
        let tekton = Tekton::start(&server).await.unwrap_or_else(|error| panic!("{error:#}"));
        // Its garbage collector; what kinds there are it asks when it starts.
        let controllers = Controllers::start(&server).await.unwrap_or_else(|error| panic!("{error:#}"));
        Some(Self { _tekton: tekton, _controllers: controllers, server })
    }

    pub fn server(&self) -> &ApiServer {
        &self.server
    }

    /// Keeps the logs if the scenes did not come to an end.
    pub fn finish(self, well: bool) {
        if !well {
            match self.server.keep_logs() {
                Ok(kept) => eprintln!("logs of the test bench: {}", kept.display()),
                Err(error) => eprintln!("logs of the test bench are lost: {error:#}"),
            }
        }
    }

    /// A client for one scene and the namespace it plays in.
    pub async fn place(&self, name: &str, place: Place) -> Result<(Client, String), String> {
        let namespace = match place {
            Place::NoRights => self.server.tekton_namespace_without_pods(name).await,
            Place::Open | Place::NoQuota | Place::Restricted => self.server.tekton_namespace(name).await,
        };
        let namespace = namespace.map_err(|error| format!("{error:#}"))?;
        let client = self.server.client(ADMIN).await;
        narrow(&client, &namespace, place).await?;
        Ok((client, namespace))
    }
}

async fn narrow(client: &Client, namespace: &str, place: Place) -> Result<(), String> {
    match place {
        Place::Open | Place::NoRights => Ok(()),
        Place::NoQuota => {
            use_up(client, namespace).await.map_err(|error| error.to_string())?;
            refuses(client, namespace, "exceeded quota").await
        }
        Place::Restricted => {
            let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
            let namespaces = Api::<Namespace>::all(client.clone());
            let labelled = namespaces.patch(namespace, &PatchParams::default(), &Patch::Merge(label)).await;
            labelled.map_err(|error| error.to_string())?;
            refuses(client, namespace, "violates PodSecurity").await
        }
    }
}

/// No controller counts here, so the status is written by hand.
async fn use_up(client: &Client, namespace: &str) -> kube::Result<()> {
    let quotas = Api::<ResourceQuota>::namespaced(client.clone(), namespace);
    let quota = json!({"metadata": {"name": "team"}, "spec": {"hard": {"pods": "2"}}});
    let quota = serde_json::from_value(quota).map_err(kube::Error::SerdeError)?;
    quotas.create(&PostParams::default(), &quota).await?;
    let status = json!({"status": {"hard": {"pods": "2"}, "used": {"pods": "2"}}});
    quotas.patch_status("team", &PatchParams::default(), &Patch::Merge(status)).await.map(drop)
}

/// Waits until a pod is refused with these words: what refuses hears of it through a watch.
async fn refuses(client: &Client, namespace: &str, words: &str) -> Result<(), String> {
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let pod = json!({"metadata": {"name": "probe"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let pod = serde_json::from_value(pod).map_err(|error| error.to_string())?;
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    try_eventually(&format!("{namespace}: {words}"), ACTION, || async {
        match pods.create(&dry_run, &pod).await {
            Err(error) if error.to_string().contains(words) => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(_) => Err("a pod is allowed".to_owned()),
        }
    })
    .await
}
