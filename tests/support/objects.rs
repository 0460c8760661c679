//! What tests put into the API server before they begin.

use std::time::Duration;

use anyhow::{Context, Error, Result, bail};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, DynamicObject, ListParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};

use super::apiserver::ApiServer;
use super::users::ADMIN;
use super::wait::try_eventually;
use super::{ACTION, FIELD_MANAGER, unique};

const ESTABLISHED: Duration = Duration::from_secs(30);

impl ApiServer {
    /// A namespace no other test has: state is never shared, a server may be.
    pub async fn fresh_namespace(&self, prefix: &str) -> Result<String> {
        let name = format!("{prefix}-{}", &unique()[..8]);
        let namespace = Namespace {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        Api::<Namespace>::all(self.client(ADMIN).await).create(&PostParams::default(), &namespace).await?;
        Ok(name)
    }

    /// Applies the CRDs of a YAML text with kubectl and returns their names once each served version can be listed:
    /// `Established` comes earlier, lists may answer 404 or 429 (storage is initializing) for a while after it.
    pub async fn apply_crds(&self, yaml: &str) -> Result<Vec<String>> {
        let manager = format!("--field-manager={FIELD_MANAGER}");
        let args = ["apply", "--server-side", "--force-conflicts", &manager, "-o", "name", "-f", "-"];
        let applied = self.kubectl(ADMIN, &args, Some(yaml)).await;
        if !applied.success() {
            bail!("{applied}");
        }
        let client = self.client(ADMIN).await;
        let mut names = Vec::new();
        for line in applied.stdout.lines() {
            let name = line.strip_prefix("customresourcedefinition.apiextensions.k8s.io/");
            let name = name.with_context(|| format!("{line} is no CRD"))?;
            let what = format!("CRD {name} can be listed");
            try_eventually(&what, ESTABLISHED, || listable(&client, name)).await.map_err(Error::msg)?;
            names.push(name.to_owned());
        }
        Ok(names)
    }
}

async fn listable(client: &Client, name: &str) -> Result<(), String> {
    let told = |error: kube::Error| error.to_string();
    let crd = Api::<CustomResourceDefinition>::all(client.clone()).get(name).await.map_err(told)?;
    let conditions = crd.status.and_then(|status| status.conditions).unwrap_or_default();
    if !conditions.iter().any(|condition| condition.type_ == "Established" && condition.status == "True") {
        return Err(format!("not Established: {conditions:?}"));
    }
    for version in crd.spec.versions.iter().filter(|version| version.served) {
        let kind = GroupVersionKind::gvk(&crd.spec.group, &version.name, &crd.spec.names.kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, &crd.spec.names.plural);
        let list = Api::<DynamicObject>::all_with(client.clone(), &resource);
        let one = ListParams::default().limit(1);
        match tokio::time::timeout(ACTION, list.list(&one)).await {
            Ok(answer) => answer.map_err(|error| format!("list of {}: {error}", version.name))?,
            Err(_) => return Err(format!("list of {}: no answer", version.name)),
        };
    }
    Ok(())
}
