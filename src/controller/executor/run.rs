//! The PipelineRun that carries an execution out: upstream's name, labels and parameters, so that either executor knows the
//! other's runs.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use crate::api::duration::GoDuration;
use crate::api::facts::{Commission, Timestamp};
use crate::api::tekton::{EXECUTION, EXECUTION_LABEL, EXECUTION_UID, NAMESPACE_LABEL, TARGET};

/// The longest value of a label.
const LABEL_MAX: usize = 63;

/// `wfe-` and the first 16 hex digits of the target's SHA-256: one name for each target, so that the API server lets one
/// run at a time be there.
pub fn name(target: &str) -> String {
    format!("wfe-{}", hash(target))
}

fn hash(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A legal value of a label that says this, or stands for it.
fn label(text: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let end = |c: char| c.is_ascii_alphanumeric();
    if text.len() <= LABEL_MAX && text.chars().all(legal) && text.starts_with(end) && text.ends_with(end) {
        return text.to_owned();
    }
    let plain: String = text.chars().map(|c| if legal(c) { c } else { '_' }).take(LABEL_MAX - 17).collect();
    let plain = plain.trim_start_matches(|c| !end(c));
    format!("{plain}{}{}", if plain.is_empty() { "" } else { "-" }, hash(text))
}

/// What is created. Two executions that ask for the same get the same.
pub fn pipeline_run(commission: &Commission, target: &str, namespace: &str, now: Timestamp) -> Value {
    let key = &commission.key;
    let mut template = json!({"podTemplate": {"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}}});
    let mut spec = json!({
        "pipelineRef": {"resolver": "bundles", "params": [
            {"name": "bundle", "value": commission.bundle}, {"name": "name", "value": "workflow"}, {"name": "kind", "value": "pipeline"},
        ]},
        "params": parameters(commission, target),
    });
    if let (Some(account), Some(members)) = (&commission.service_account, template.as_object_mut()) {
        members.insert("serviceAccountName".into(), json!(account));
    }
    if let Some(members) = spec.as_object_mut() {
        members.insert("taskRunTemplate".into(), template);
        if let Some(deadline) = commission.deadline {
            let left = u64::try_from(deadline.as_second() - now.as_second()).unwrap_or(0).max(1);
            members.insert("timeouts".into(), json!({"pipeline": GoDuration::seconds(left).as_stored()}));
        }
        let workspaces = workspaces(commission);
        if !workspaces.is_empty() {
            members.insert("workspaces".into(), Value::Array(workspaces));
        }
    }
    json!({
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
        "metadata": {
            "name": name(target), "namespace": namespace,
            "labels": {
                EXECUTION_LABEL: label(&key.name), NAMESPACE_LABEL: label(&key.namespace),
                "kubernaut.ai/workflow-id": label(&commission.workflow_id), TARGET: label(&target.replace('/', "__")),
            },
            "annotations": {TARGET: target, EXECUTION: key.to_string(), EXECUTION_UID: commission.uid},
        },
        "spec": spec,
    })
}

/// In the order of their names.
fn parameters(commission: &Commission, target: &str) -> Vec<Value> {
    let wanted = |name: &str| commission.declared.as_ref().is_none_or(|declared| declared.contains(name));
    let given = commission.parameters.iter().filter(|(name, _)| wanted(name) && &***name != TARGET_RESOURCE);
    let given = given.map(|(name, value)| json!({"name": name, "value": value}));
    given.chain([json!({"name": TARGET_RESOURCE, "value": target})]).collect()
}

/// The parameter that every workflow gets.
const TARGET_RESOURCE: &str = "TARGET_RESOURCE";

fn workspaces(commission: &Commission) -> Vec<Value> {
    let bound = |prefix: &str, name: &str, source: &str, member: &str| {
        let mut workspace = Map::new();
        workspace.insert("name".into(), json!(format!("{prefix}-{name}")));
        workspace.insert(source.into(), json!({member: name}));
        Value::Object(workspace)
    };
    let secrets = commission.secrets.iter().map(|name| bound("secret", name, "secret", "secretName"));
    let maps = commission.config_maps.iter().map(|name| bound("configmap", name, "configMap", "name"));
    secrets.chain(maps).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_after_its_target_as_upstream_names_it() {
        for (target, expected) in [
            ("default/deployment/my-app", "wfe-c00449355dfb987a"),
            ("production/deployment/payment-api", "wfe-fbb8266ac354e9c2"),
            ("node/worker-1", "wfe-c4367b7a6a9dedfc"),
            ("default/pod/nginx-12345", "wfe-ebb1d99fca3dbd2f"),
        ] {
            assert_eq!(name(target), expected);
        }
    }

    #[test]
    fn a_label_is_legal_whatever_it_stands_for() {
        assert_eq!(label("we-rr-1"), "we-rr-1");
        for text in ["", "-", "x".repeat(300).as_str(), "a/b", "ends-", &format!("{}.", "y".repeat(62)), "ü", "__x"] {
            let label = label(text);
            let end = |c: char| c.is_ascii_alphanumeric();
            assert!(label.len() <= LABEL_MAX && label.starts_with(end) && label.ends_with(end), "{text}: {label}");
            assert!(label.chars().all(|c| end(c) || matches!(c, '-' | '_' | '.')), "{label}");
        }
        assert_ne!(label(&"x".repeat(300)), label(&"x".repeat(301)));
    }
}
