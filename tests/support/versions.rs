//! Objects in both versions, and by way of an API server that keeps of each what its schema names.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::WebhookClientConfig;
use lockkeeper::api::crds;
use lockkeeper::convert::{Version, convert};
use serde_json::Value;

pub const V1ALPHA1: &str = "kubernaut.ai/v1alpha1";
pub const V1BETA1: &str = "kubernaut.ai/v1beta1";

pub fn over(object: &Value, to: Version) -> Value {
    let text = object.to_string();
    serde_json::from_slice(&convert(&text, to).unwrap_or_else(|error| panic!("{error}: {text}")).json).unwrap()
}

pub fn other(object: &Value) -> (Version, Version) {
    if object["apiVersion"] == V1ALPHA1 {
        (Version::V1alpha1, Version::V1beta1)
    } else {
        (Version::V1beta1, Version::V1alpha1)
    }
}

/// The schemas of both versions of a kind, `v1beta1` first.
pub fn schemas(kind: &str) -> Vec<(String, Value)> {
    let crds = crds::all(&WebhookClientConfig::default());
    let files = crds::yaml_files(&crds).into_iter().map(|(_, yaml)| serde_saphyr::from_str::<Value>(&yaml).unwrap());
    let crd = files.into_iter().find(|crd| crd["spec"]["names"]["kind"] == kind).unwrap();
    let versions = crd["spec"]["versions"].as_array().unwrap().iter();
    let schema = |version: &Value| version["schema"]["openAPIV3Schema"].clone();
    versions.map(|version| (version["name"].as_str().unwrap().to_owned(), schema(version))).collect()
}

/// Away and home, and the same by way of an API server, which keeps of each version what its schema names.
pub fn comes_home<'a>(object: &Value, schema: &dyn Fn(Version) -> &'a Value, what: &str) {
    let (home, away) = other(object);
    for served in [false, true] {
        let mut there = over(object, away);
        assert!(
            annotated(&there["metadata"]) <= annotated(&object["metadata"]).max(ANNOTATIONS_MAX_BYTES),
            "{what}: {} bytes",
            annotated(&there)
        );
        if served {
            prune(&mut there, schema(away));
        }
        let mut back = over(&there, home);
        if served {
            prune(&mut back, schema(home));
        }
        assert!(back == *object, "{what}:\n{object}\nwent by way of\n{there}\nand came home as\n{back}");
    }
}

/// As the API server allows for all annotations of an object.
pub const ANNOTATIONS_MAX_BYTES: usize = 262_144;

/// Bytes of all annotations, as the API server counts them.
pub fn annotated(metadata: &Value) -> usize {
    let annotations = metadata["annotations"].as_object().into_iter().flatten();
    annotations.map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum()
}

/// Takes out of an object of this schema what the API server takes out: members that the schema does not name.
pub fn prune(object: &mut Value, schema: &Value) {
    let Some(members) = object.as_object_mut() else { return };
    members.retain(|name, _| matches!(&**name, "apiVersion" | "kind" | "metadata" | "spec" | "status"));
    for name in ["spec", "status"] {
        members.get_mut(name).into_iter().for_each(|member| prune_below(member, &schema["properties"][name]));
    }
}

fn prune_below(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(members) => {
            let (named, others) = (&schema["properties"], &schema["additionalProperties"]);
            let free = schema["x-kubernetes-preserve-unknown-fields"] == true;
            members.retain(|name, _| free || others.is_object() || named.get(name).is_some());
            for (name, member) in members {
                match named.get(name) {
                    Some(schema) => prune_below(member, schema),
                    None if others.is_object() => prune_below(member, others),
                    None => {}
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| prune_below(item, &schema["items"])),
        _ => {}
    }
}
