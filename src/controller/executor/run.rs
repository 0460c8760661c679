//! The PipelineRun or Job that carries an execution out: upstream's name, labels and parameters, so that either executor knows
//! the other's runs.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use crate::api::duration::GoDuration;
use crate::api::facts::{Commission, Timestamp};
use crate::api::tekton::{EXECUTION, EXECUTION_LABEL, EXECUTION_UID, Engine, NAMESPACE_LABEL, TARGET};

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
pub fn carrier(engine: Engine, commission: &Commission, target: &str, namespace: &str, now: Timestamp) -> Value {
    let key = &commission.key;
    let (api_version, spec) = match engine {
        Engine::Tekton => ("tekton.dev/v1", pipeline_run(commission, target, now)),
        Engine::Job => ("batch/v1", job(commission, target, now)),
    };
    let labels = json!({
        EXECUTION_LABEL: label(&key.name), NAMESPACE_LABEL: label(&key.namespace),
        "kubernaut.ai/workflow-id": label(&commission.workflow_id), TARGET: label(&target.replace('/', "__")),
    });
    json!({
        "apiVersion": api_version, "kind": engine.kind(),
        "metadata": {
            "name": name(target), "namespace": namespace, "labels": labels,
            "annotations": {TARGET: target, EXECUTION: key.to_string(), EXECUTION_UID: commission.uid},
        },
        "spec": spec,
    })
}

fn pipeline_run(commission: &Commission, target: &str, now: Timestamp) -> Value {
    let parameters = parameters(commission, target).map(|(name, value)| json!({"name": name, "value": value}));
    let mut template = json!({"podTemplate": {"securityContext": restricted()}});
    insert(&mut template, "serviceAccountName", commission.service_account.as_ref().map(|account| json!(account)));
    let mut spec = json!({
        "pipelineRef": {"resolver": "bundles", "params": [
            {"name": "bundle", "value": commission.bundle}, {"name": "name", "value": "workflow"}, {"name": "kind", "value": "pipeline"},
        ]},
        "params": parameters.collect::<Vec<_>>(),
        "taskRunTemplate": template,
    });
    let left = seconds_left(commission, now);
    insert(&mut spec, "timeouts", left.map(|left| json!({"pipeline": GoDuration::seconds(left).as_stored()})));
    let workspaces = workspaces(commission);
    insert(&mut spec, "workspaces", (!workspaces.is_empty()).then_some(Value::Array(workspaces)));
    spec
}

/// Seconds that a Job has whose execution has no deadline, as upstream has it.
const JOB_SECONDS: u64 = 1800;
/// Where dependencies are mounted, as upstream has it.
const MOUNTS: &str = "/run/kubernaut";

/// One Pod, and no second one in its place: what was half done is not done again by itself.
fn job(commission: &Commission, target: &str, now: Timestamp) -> Value {
    let given: Vec<_> = parameters(commission, target).collect();
    // Where no parameter says otherwise: of one name twice the last would count, and a patch by keys would fail.
    let home = ["HOME", "TMPDIR"].into_iter().filter(|own| given.iter().all(|(name, _)| name != own));
    let home = home.map(|name| json!({"name": name, "value": "/tmp"}));
    // A value stands for itself: a dollar sign in it names no other variable.
    let literal = |value: &str| value.replace('$', "$$");
    let parameters = given.iter().map(|(name, value)| json!({"name": name, "value": literal(value)}));
    let (volumes, mounts): (Vec<_>, Vec<_>) = volumes(commission).into_iter().unzip();
    let mut container = json!({
        "name": "workflow", "image": commission.bundle,
        "env": home.chain(parameters).collect::<Vec<_>>(),
        "volumeMounts": mounts,
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    });
    insert(&mut container, "resources", commission.resources.clone());
    let mut pod = json!({
        "restartPolicy": "Never", "securityContext": restricted(), "volumes": volumes, "containers": [container],
    });
    insert(&mut pod, "serviceAccountName", commission.service_account.as_ref().map(|account| json!(account)));
    let labels =
        json!({EXECUTION_LABEL: label(&commission.key.name), NAMESPACE_LABEL: label(&commission.key.namespace)});
    json!({
        "backoffLimit": 0, "podReplacementPolicy": "Failed",
        "activeDeadlineSeconds": seconds_left(commission, now).unwrap_or(JOB_SECONDS),
        "template": {"metadata": {"labels": labels}, "spec": pod},
    })
}

fn insert(object: &mut Value, member: &str, value: Option<Value>) {
    if let (Some(members), Some(value)) = (object.as_object_mut(), value) {
        members.insert(member.to_owned(), value);
    }
}

/// As the restricted Pod Security Standard asks.
fn restricted() -> Value {
    json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}})
}

/// More than any workflow takes, and what a duration of Go's and a Job's controller can hold: 68 years.
const SECONDS_MAX: u64 = i32::MAX as u64;

/// Until its deadline, and never none.
fn seconds_left(commission: &Commission, now: Timestamp) -> Option<u64> {
    let deadline = commission.deadline?;
    Some(u64::try_from(deadline.as_second() - now.as_second()).unwrap_or(0).clamp(1, SECONDS_MAX))
}

/// In the order of their names, the target last.
fn parameters<'a>(commission: &'a Commission, target: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let wanted = |name: &str| commission.declared.as_ref().is_none_or(|declared| declared.contains(name));
    let given = commission.parameters.iter().map(|(name, value)| (&**name, &**value));
    given.filter(move |(name, _)| wanted(name) && *name != TARGET_RESOURCE).chain([(TARGET_RESOURCE, target)])
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

/// The volumes of a Job's Pod, each with its mount: a place of its own to write to, and the dependencies.
fn volumes(commission: &Commission) -> Vec<(Value, Value)> {
    let scratch = (json!({"name": "tmp", "emptyDir": {}}), json!({"name": "tmp", "mountPath": "/tmp"}));
    let bound = |number: usize, kind: &str, name: &str, source: Value| {
        // The name of a dependency may be longer than that of a volume.
        let volume = format!("{}-{number}", kind.to_lowercase());
        let mut described = json!({"name": volume});
        insert(&mut described, kind, Some(source));
        let folder = if kind == "secret" { "secrets" } else { "configmaps" };
        (described, json!({"name": volume, "mountPath": format!("{MOUNTS}/{folder}/{name}"), "readOnly": true}))
    };
    let secrets = commission.secrets.iter().enumerate();
    let secrets = secrets.map(|(number, name)| bound(number, "secret", name, json!({"secretName": name})));
    let maps = commission.config_maps.iter().enumerate();
    let maps = maps.map(|(number, name)| bound(number, "configMap", name, json!({"name": name})));
    std::iter::once(scratch).chain(secrets).chain(maps).collect()
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

    fn commission(spec: &Value) -> Commission {
        let mut workflow =
            json!({"workflowId": "restart", "executionBundle": "registry/restart:1", "executionEngine": "job"});
        let (mut parameters, mut deadline) = (json!({}), Value::Null);
        for (name, value) in spec.as_object().unwrap() {
            match &**name {
                "parameters" => parameters = value.clone(),
                "deadline" => deadline = value.clone(),
                _ => workflow[name] = value.clone(),
            }
        }
        let object = json!({
            "metadata": {"namespace": "payments", "name": "we-1", "uid": "u-1"},
            "spec": {"remediationRequestRef": {"name": "rr-1"}, "workflowRef": workflow, "parameters": parameters, "deadline": deadline,
                "target": {"namespace": "payments", "kind": "Deployment", "name": "api"}},
        });
        Commission::from_json(&object.to_string()).unwrap()
    }

    fn job_of(spec: &Value) -> Value {
        let now = Timestamp::from_second(1_767_607_200).unwrap();
        carrier(Engine::Job, &commission(spec), "payments/Deployment/api", "runs", now)
    }

    #[test]
    fn a_job_is_one_pod_that_nothing_makes_again() {
        let job = job_of(&json!({}));
        assert_eq!((&job["apiVersion"], &job["kind"]), (&json!("batch/v1"), &json!("Job")));
        assert_eq!(job["metadata"]["name"], name("payments/Deployment/api"));
        let spec = &job["spec"];
        assert_eq!((&spec["backoffLimit"], &spec["podReplacementPolicy"]), (&json!(0), &json!("Failed")));
        assert_eq!(spec["template"]["spec"]["restartPolicy"], "Never");
        assert_eq!(spec["activeDeadlineSeconds"], 1800);
        assert_eq!(job_of(&json!({"deadline": "2026-01-05T10:05:00Z"}))["spec"]["activeDeadlineSeconds"], 300);
        assert_eq!(job_of(&json!({"deadline": "2026-01-05T09:00:00Z"}))["spec"]["activeDeadlineSeconds"], 1);
    }

    #[test]
    fn a_deadline_past_all_time_is_one_that_go_can_hold() {
        let far = json!({"deadline": "9999-01-01T00:00:00Z"});
        assert_eq!(job_of(&far)["spec"]["activeDeadlineSeconds"], i32::MAX);
        let now = Timestamp::from_second(1_767_607_200).unwrap();
        let run = carrier(Engine::Tekton, &commission(&far), "payments/Deployment/api", "runs", now);
        assert_eq!(run["spec"]["timeouts"]["pipeline"], "596523h14m7s");
    }

    #[test]
    fn a_job_says_whose_it_is_as_a_pipeline_run_does() {
        let (job, now) = (job_of(&json!({})), Timestamp::MIN);
        let run = carrier(Engine::Tekton, &commission(&json!({})), "payments/Deployment/api", "runs", now);
        assert_eq!(job["metadata"], run["metadata"]);
        let labels = &job["spec"]["template"]["metadata"]["labels"];
        assert_eq!(
            labels,
            &json!({"kubernaut.ai/workflow-execution": "we-1", "kubernaut.ai/source-namespace": "payments"})
        );
    }

    #[test]
    fn a_jobs_container_gets_the_parameters_as_they_are_written() {
        let job =
            job_of(&json!({"parameters": {"B": "$(HOME) $$x", "A": "1", "HOME": "/h", "TARGET_RESOURCE": "forged"}}));
        let container = &job["spec"]["template"]["spec"]["containers"][0];
        assert_eq!((&container["name"], &container["image"]), (&json!("workflow"), &json!("registry/restart:1")));
        let env: Vec<_> = container["env"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["name"].as_str().unwrap(), one["value"].as_str().unwrap()))
            .collect();
        assert_eq!(
            env,
            [
                ("TMPDIR", "/tmp"),
                ("A", "1"),
                ("B", "$$(HOME) $$$$x"),
                ("HOME", "/h"),
                ("TARGET_RESOURCE", "payments/Deployment/api")
            ]
        );
        let declared = job_of(&json!({"parameters": {"A": "1", "B": "2"}, "declaredParameterNames": {"B": true}}));
        let env = declared["spec"]["template"]["spec"]["containers"][0]["env"].to_string();
        assert!(env.contains("\"B\"") && !env.contains("\"A\""), "{env}");
    }

    #[test]
    fn a_jobs_pod_has_its_account_its_resources_and_its_dependencies() {
        let long = "s".repeat(253);
        let job = job_of(&json!({
            "serviceAccountName": "fixer", "resources": {"limits": {"cpu": "1"}},
            "dependencies": {"secrets": [{"name": long}], "configMaps": [{"name": "settings"}]},
        }));
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(
            (&pod["serviceAccountName"], &pod["securityContext"]["runAsNonRoot"]),
            (&json!("fixer"), &json!(true))
        );
        let container = &pod["containers"][0];
        assert_eq!(container["resources"], json!({"limits": {"cpu": "1"}}));
        assert_eq!(
            container["securityContext"],
            json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}})
        );
        assert_eq!(
            pod["volumes"],
            json!([{"name": "tmp", "emptyDir": {}}, {"name": "secret-0", "secret": {"secretName": long}},
                {"name": "configmap-0", "configMap": {"name": "settings"}}])
        );
        let mounts: Vec<_> =
            container["volumeMounts"].as_array().unwrap().iter().map(|mount| &mount["mountPath"]).collect();
        assert_eq!(mounts, ["/tmp", &format!("/run/kubernaut/secrets/{long}"), "/run/kubernaut/configmaps/settings"]);
    }

    #[test]
    fn a_pipeline_run_has_its_bundle_its_account_its_time_and_its_dependencies() {
        let asked = commission(&json!({
            "serviceAccountName": "fixer", "deadline": "2026-01-05T10:05:00Z", "parameters": {"B": "$(x)", "A": "1"},
            "dependencies": {"secrets": [{"name": "token"}], "configMaps": [{"name": "settings"}]},
        }));
        let now = Timestamp::from_second(1_767_607_200).unwrap();
        let run = carrier(Engine::Tekton, &asked, "payments/Deployment/api", "runs", now);
        assert_eq!((&run["apiVersion"], &run["kind"]), (&json!("tekton.dev/v1"), &json!("PipelineRun")));
        let spec = &run["spec"];
        assert_eq!(spec["pipelineRef"]["params"][0], json!({"name": "bundle", "value": "registry/restart:1"}));
        assert_eq!(
            (&spec["taskRunTemplate"]["serviceAccountName"], &spec["timeouts"]["pipeline"]),
            (&json!("fixer"), &json!("5m0s"))
        );
        let names: Vec<_> =
            spec["params"].as_array().unwrap().iter().map(|one| (&one["name"], &one["value"])).collect();
        let expected = json!([["A", "1"], ["B", "$(x)"], ["TARGET_RESOURCE", "payments/Deployment/api"]]);
        assert_eq!(json!(names), expected);
        assert_eq!(
            spec["workspaces"],
            json!([{"name": "secret-token", "secret": {"secretName": "token"}}, {"name": "configmap-settings", "configMap": {"name": "settings"}}])
        );
    }
}
