//! The CustomResourceDefinitions that we ship, made of the Rust types.
//!
//! There are two forms of each: with `v1alpha1` alone, and with `v1beta1` stored beside it. The second needs somebody who
//! converts, since the two have different shapes: without one the API server would hand out objects of one shape under the
//! name of the other.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinition, WebhookClientConfig, WebhookConversion,
};
use kube::CustomResourceExt;
use kube::core::crd::merge_crds;
use serde_json::Value;

use super::{v1alpha1, v1beta1};

/// By these labels a CRD in a cluster is known to be ours.
const LABELS: [(&str, &str); 2] = [("app.kubernetes.io/component", "crd"), OURS];

/// The one of them that nobody else's CRD has.
pub const OURS: (&str, &str) = ("app.kubernetes.io/name", "lockkeeper");

/// The path at which objects are converted.
pub const CONVERT_PATH: &str = "/convert";

/// The version that is stored where both are served.
const STORED: &str = "v1beta1";

/// Every CRD with `v1alpha1` alone.
pub fn v1alpha1() -> Vec<CustomResourceDefinition> {
    [v1alpha1::RemediationRequest::crd(), v1alpha1::WorkflowExecution::crd()].map(labelled).into()
}

/// Every CRD with both versions, `v1beta1` stored, and this webhook to convert between them.
pub fn all(client: &WebhookClientConfig) -> Vec<CustomResourceDefinition> {
    let pairs = [
        [v1beta1::RemediationRequest::crd(), v1alpha1::RemediationRequest::crd()],
        [v1beta1::WorkflowExecution::crd(), v1alpha1::WorkflowExecution::crd()],
    ];
    pairs.map(|versions| converted(labelled(merged(versions.into())), client)).into()
}

/// Each of them with the name of its file.
pub fn yaml_files(crds: &[CustomResourceDefinition]) -> Vec<(String, String)> {
    crds.iter().map(|crd| (format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural), yaml(crd))).collect()
}

/// All of them in one YAML stream.
pub fn yaml_stream(crds: &[CustomResourceDefinition]) -> String {
    yaml_files(crds).into_iter().map(|(_, yaml)| format!("---\n{yaml}")).collect()
}

fn merged(versions: Vec<CustomResourceDefinition>) -> CustomResourceDefinition {
    merge_crds(versions, STORED).expect("our own versions of one kind agree on its names")
}

fn converted(mut crd: CustomResourceDefinition, client: &WebhookClientConfig) -> CustomResourceDefinition {
    crd.spec.conversion = Some(CustomResourceConversion {
        strategy: "Webhook".into(),
        webhook: Some(WebhookConversion {
            client_config: Some(client.clone()),
            conversion_review_versions: vec!["v1".into()],
        }),
    });
    crd
}

fn labelled(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    crd.metadata.labels = Some(LABELS.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    crd
}

fn yaml(crd: &CustomResourceDefinition) -> String {
    let mut tree = serde_json::to_value(crd).expect("a CRD of our own types is a JSON tree");
    as_upstream_writes(&mut tree);
    serde_saphyr::to_string(&tree).expect("a JSON tree is YAML")
}

/// The one member that says something by null: its parameters are not filtered.
const NULL_SAYS_SOMETHING: &str = "declaredParameterNames";

/// An optional member is one that may be left out; null is none of its values, so the API server drops it, as with
/// upstream's CRDs.
fn as_upstream_writes(tree: &mut Value) {
    match tree {
        Value::Object(members) => {
            members.retain(|name, value| !(name == "nullable" && value.is_boolean()));
            members.retain(|name, value| !(name == "format" && value == "double"));
            members.retain(|name, value| !(name == "title" && value.is_string()));
            if let Some(Value::Array(values)) = members.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            members.values_mut().for_each(as_upstream_writes);
            if let Some(Value::Object(schema)) = members.get_mut(NULL_SAYS_SOMETHING) {
                schema.insert("nullable".into(), true.into());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(as_upstream_writes),
        _ => {}
    }
}
