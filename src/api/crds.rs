//! The CustomResourceDefinitions that we ship, made of the Rust types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use super::v1alpha1::{RemediationRequest, WorkflowExecution};

/// By these labels a CRD in a cluster is known to be ours.
const LABELS: [(&str, &str); 2] = [("app.kubernetes.io/component", "crd"), ("app.kubernetes.io/name", "lockkeeper")];

/// Every CRD.
pub fn all() -> Vec<CustomResourceDefinition> {
    [RemediationRequest::crd(), WorkflowExecution::crd()].map(labelled).into()
}

/// Every CRD with the name of its file.
pub fn yaml_files() -> Vec<(String, String)> {
    all().iter().map(|crd| (format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural), yaml(crd))).collect()
}

/// Every CRD in one YAML stream.
pub fn yaml_stream() -> String {
    yaml_files().into_iter().map(|(_, yaml)| format!("---\n{yaml}")).collect()
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
        }
        Value::Array(items) => items.iter_mut().for_each(as_upstream_writes),
        _ => {}
    }
}
