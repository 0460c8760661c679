//! Who talks to the API server: tokens, kubeconfig files, clients, rights.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;

use super::apiserver::ApiServer;
use super::wait::try_eventually;
use super::{ACTION, FIELD_MANAGER, unique};

pub const ADMIN: &str = "admin";
pub const ALICE: &str = "alice";
pub const BOB: &str = "bob";
pub const MALLORY: &str = "mallory";
pub const REMEDIATION_CONTROLLER: &str = "system:serviceaccount:kubernaut-system:remediationorchestrator-controller";
pub const WORKFLOW_CONTROLLER: &str = "system:serviceaccount:kubernaut-system:workflowexecution-controller";
pub const GARBAGE_COLLECTOR: &str = "system:serviceaccount:kube-system:generic-garbage-collector";

/// A user the API server knows by token, in the groups given and in `system:authenticated`.
#[derive(Clone, Debug)]
pub struct User {
    pub name: String,
    pub groups: Vec<String>,
    pub token: String,
    pub kubeconfig: PathBuf,
}

/// The names and groups of the users of a server started without a wish.
pub fn default_users() -> Vec<(String, Vec<String>)> {
    let accounts =
        |namespace: &str| vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")];
    vec![
        (ADMIN.into(), vec!["system:masters".into()]),
        (ALICE.into(), vec![]),
        (BOB.into(), vec![]),
        (MALLORY.into(), vec![]),
        (REMEDIATION_CONTROLLER.into(), accounts("kubernaut-system")),
        (WORKFLOW_CONTROLLER.into(), accounts("kubernaut-system")),
        (GARBAGE_COLLECTOR.into(), accounts("kube-system")),
    ]
}

/// Gives each user a token and a kubeconfig file, and writes the server's `tokens.csv`.
pub(super) fn enroll(folder: &Path, url: &str, users: &[(String, Vec<String>)]) -> Result<Vec<User>> {
    let mut csv = String::new();
    let mut enrolled = Vec::new();
    for (name, groups) in users {
        let token = unique();
        csv.push_str(&format!("{token},{name},{name},\"{}\"\n", groups.join(",")));
        let kubeconfig = write_kubeconfig(folder, url, name, &token, "default")?;
        enrolled.push(User { name: name.clone(), groups: groups.clone(), token, kubeconfig });
    }
    fs::write(folder.join("tokens.csv"), csv)?;
    Ok(enrolled)
}

fn write_kubeconfig(folder: &Path, url: &str, name: &str, token: &str, namespace: &str) -> Result<PathBuf> {
    let path = folder.join(format!("{}.kubeconfig", name.replace([':', '/'], "-")));
    let text = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": {"server": url, "certificate-authority": folder.join("ca.crt")}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": name, "namespace": namespace}}],
        "current-context": "bench",
    });
    fs::write(&path, serde_json::to_vec_pretty(&text)?)?;
    Ok(path)
}

/// A client of its own for a kubeconfig file. It belongs to the runtime it is made in: do not keep it across tests.
pub async fn client_of(kubeconfig: &Path) -> Result<Client> {
    let mut config =
        Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig)?, &KubeConfigOptions::default()).await?;
    // A proxy in the environment is not for loopback.
    config.proxy_url = None;
    Ok(Client::try_from(config)?)
}

impl ApiServer {
    /// Panics on a user the server was not started with.
    pub fn user(&self, name: &str) -> &User {
        let known = || self.users().iter().map(|user| user.name.as_str()).collect::<Vec<_>>();
        self.users()
            .iter()
            .find(|user| user.name == name)
            .unwrap_or_else(|| panic!("the server was started without user {name}, it knows {:?}", known()))
    }

    /// A new client for a user; see [`client_of`].
    pub async fn client(&self, user: &str) -> Client {
        client_of(&self.user(user).kubeconfig).await.expect("a kubeconfig of the bench is good")
    }

    /// Binds a ClusterRole to a user in all namespaces and returns once it is in effect. On a shared server this
    /// reaches into other tests: use [`Self::grant_in`] or a server of your own.
    pub async fn grant(&self, user: &str, cluster_role: &str) -> Result<()> {
        let name = format!("bench:{user}:{cluster_role}");
        let binding = ClusterRoleBinding {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            role_ref: role_ref(cluster_role),
            subjects: Some(vec![subject(user)]),
        };
        let api = Api::<ClusterRoleBinding>::all(self.client(ADMIN).await);
        api.patch(&name, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(&binding)).await?;
        self.granted(user, cluster_role, None).await
    }

    /// Binds a ClusterRole to a user in one namespace and returns once it is in effect.
    pub async fn grant_in(&self, namespace: &str, user: &str, cluster_role: &str) -> Result<()> {
        let name = format!("bench:{user}:{cluster_role}");
        let binding = RoleBinding {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            role_ref: role_ref(cluster_role),
            subjects: Some(vec![subject(user)]),
        };
        let api = Api::<RoleBinding>::namespaced(self.client(ADMIN).await, namespace);
        api.patch(&name, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(&binding)).await?;
        self.granted(user, cluster_role, Some(namespace)).await
    }

    /// Makes or replaces a ClusterRole.
    pub async fn cluster_role(&self, name: &str, rules: Vec<PolicyRule>) -> Result<()> {
        let role = ClusterRole {
            metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() },
            rules: Some(rules),
            aggregation_rule: None,
        };
        let api = Api::<ClusterRole>::all(self.client(ADMIN).await);
        api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&role)).await?;
        Ok(())
    }

    /// Waits until the authorizer, which hears of roles through a watch, allows what each rule of the role names first.
    async fn granted(&self, user: &str, cluster_role: &str, namespace: Option<&str>) -> Result<()> {
        let client = self.client(ADMIN).await;
        let rules = Api::<ClusterRole>::all(client.clone()).get(cluster_role).await?.rules.unwrap_or_default();
        if rules.is_empty() {
            // Nothing here fills the aggregated roles view, edit and admin: that is the controller manager's work.
            bail!("ClusterRole {cluster_role} has no rules on this bench");
        }
        let api = Api::<SubjectAccessReview>::all(client);
        for rule in rules.iter().filter(|rule| rule.resources.is_some()) {
            let review = access_review(self.user(user), rule, namespace);
            try_eventually(&format!("{user} gets {cluster_role}"), ACTION, || async {
                let answer = api.create(&PostParams::default(), &review).await.map_err(|error| error.to_string())?;
                let status = answer.status.unwrap_or_default();
                if status.allowed { Ok(()) } else { Err(format!("refused: {}", status.reason.unwrap_or_default())) }
            })
            .await
            .map_err(anyhow::Error::msg)?;
        }
        Ok(())
    }

    /// Nothing makes service accounts here, not even `default`: the controller manager would.
    pub async fn create_service_account(&self, namespace: &str, name: &str) -> Result<()> {
        let account = ServiceAccount {
            metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() },
            ..ServiceAccount::default()
        };
        let api = Api::<ServiceAccount>::namespaced(self.client(ADMIN).await, namespace);
        api.patch(name, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(&account)).await?;
        Ok(())
    }

    /// A real token of a service account that exists, from the TokenRequest API; good for an hour.
    pub async fn service_account_token(&self, namespace: &str, name: &str) -> Result<String> {
        let request = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
        let api = Api::<ServiceAccount>::namespaced(self.client(ADMIN).await, namespace);
        let answer = api.create_token_request(name, &PostParams::default(), &request).await?;
        Ok(answer.status.context("the TokenRequest came back without a token")?.token)
    }

    /// A kubeconfig file with a token, in the server's folder.
    pub fn kubeconfig_for_token(&self, token: &str, namespace: &str) -> Result<PathBuf> {
        write_kubeconfig(self.folder(), self.url(), &format!("token-{}", unique()), token, namespace)
    }
}

fn role_ref(cluster_role: &str) -> RoleRef {
    RoleRef { api_group: "rbac.authorization.k8s.io".into(), kind: "ClusterRole".into(), name: cluster_role.into() }
}

fn subject(user: &str) -> Subject {
    let api_group = Some("rbac.authorization.k8s.io".into());
    Subject { api_group, kind: "User".into(), name: user.into(), namespace: None }
}

fn access_review(user: &User, rule: &PolicyRule, namespace: Option<&str>) -> SubjectAccessReview {
    let first = |list: &Option<Vec<String>>| list.as_ref().and_then(|list| list.first().cloned());
    let resource = first(&rule.resources).unwrap_or_default();
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource.to_owned(), Some(subresource.to_owned())),
        None => (resource, None),
    };
    let attributes = ResourceAttributes {
        group: first(&rule.api_groups),
        resource: Some(resource),
        subresource,
        verb: rule.verbs.first().cloned(),
        name: first(&rule.resource_names),
        namespace: namespace.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: Some(user.name.clone()),
        groups: Some(user.groups.clone()),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    SubjectAccessReview { spec, ..SubjectAccessReview::default() }
}
