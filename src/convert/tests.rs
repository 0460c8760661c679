use serde_json::{Value, json};

use super::*;

fn over(object: &Value, to: Version) -> Value {
    serde_json::from_slice(&convert(&object.to_string(), to).unwrap().json).unwrap()
}

fn there_and_back(object: &Value) -> (Value, Value) {
    let version = Version::from_api_version(object["apiVersion"].as_str().unwrap()).unwrap();
    let other = if version == Version::V1alpha1 { Version::V1beta1 } else { Version::V1alpha1 };
    let there = over(object, other);
    (there.clone(), over(&there, version))
}

fn december() -> Value {
    json!({"apiVersion": "kubernaut.ai/v1alpha1", "kind": "WorkflowExecution",
        "metadata": {"name": "we", "creationTimestamp": "2026-01-05T10:00:00Z", "annotations": {"a": "b"}},
        "spec": {"remediationRequestRef": {"name": "rr"}, "targetResource": "payments/Deployment/api",
            "workflowRef": {"workflowId": "restart", "version": "1", "containerImage": "r/i", "containerDigest": "sha256:1"},
            "executionConfig": {"timeout": "30m", "serviceAccountName": "sa"}, "parameters": {"A": "1"}},
        "status": {"phase": "Failed", "pipelineRunRef": {"name": "wfe-1"}, "consecutiveFailures": 2,
            "pipelineRunStatus": {"status": "False", "reason": "Failed", "message": "m", "totalTasks": 9_007_199_254_740_993_i64},
            "failureDetails": {"reason": "TaskFailed", "message": "m", "executionTimeBeforeFailure": "1m"}}})
}

#[test]
fn december_becomes_the_hub_and_comes_home() {
    let (there, home) = there_and_back(&december());
    assert_eq!(home, december());
    assert_eq!(there["spec"]["target"], json!({"namespace": "payments", "kind": "Deployment", "name": "api"}));
    assert_eq!(there["spec"]["deadline"], "2026-01-05T10:30:00Z");
    assert_eq!(
        there["spec"]["workflowRef"],
        json!({"workflowId": "restart", "version": "1", "executionBundle": "r/i",
        "executionBundleDigest": "sha256:1", "serviceAccountName": "sa", "workflowName": "restart", "actionType": "Unknown"})
    );
    assert_eq!(there["status"]["execution"]["ref"], json!({"name": "wfe-1"}));
    assert_eq!(there["status"]["failure"]["reason"], "TaskFailed");
    assert_eq!(there["status"]["legacy"], json!({"consecutiveFailures": 2}));
    assert!(there["spec"].get("executionConfig").is_none() && there["status"].get("failureDetails").is_none());
    assert_eq!(there["metadata"]["annotations"]["a"], "b");
}

/// What has no room in the annotation comes home too: unknown members, and items of a list in their order.
#[test]
fn what_has_no_room_in_the_annotation_comes_home() {
    for ((members, conditions), bare) in
        [(9_000, 0), (0, 12_000), (9_000, 12_000)].into_iter().flat_map(|many| [(many, true), (many, false)])
    {
        let mut object = december();
        for i in 0..members {
            object["status"]["pipelineRunStatus"][format!("m{i}")] = json!(i);
        }
        if bare {
            // Nothing else of it has its place in the hub's legacy.
            object["status"].as_object_mut().unwrap().remove("consecutiveFailures");
        }
        let kind = |i: usize| format!("T{}", i % 7);
        object["status"]["conditions"] = (0..conditions).map(|i| json!({"type": kind(i), "n": i})).collect();
        let (there, home) = there_and_back(&object);
        let legacy = there["metadata"]["annotations"][LEGACY].as_str().unwrap();
        assert!(legacy.len() < 262_144, "{} bytes", legacy.len());
        assert!(there["status"]["legacy"]["parked"].is_array(), "{members} members, {conditions} conditions");
        assert!(home == object, "{members} members, {conditions} conditions");
    }
}

/// Whoever may write an object must not have us work more than its length, whatever stands in it and in its annotation.
#[test]
fn four_times_the_object_is_four_times_the_work() {
    fn many(bytes: usize, one: impl Fn(usize) -> String) -> String {
        let all: Vec<_> = (0..bytes / one(1_000).len()).map(one).collect();
        all.join(",")
    }
    let members = |bytes| many(bytes, |i| format!(r#""m{i}":0"#));
    let types = |bytes| many(bytes, |i| format!(r#"{{"type":"T{i}"}}"#));
    let add = |path: &str, value: &str| format!(r#"{{"op":"add","path":"{path}","value":{value}}}"#);
    let nest = |depth: usize| format!("{}0{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let objects = |bytes| {
        let of = |spec: String, status: String| {
            format!(
                r#"{{"apiVersion":"kubernaut.ai/v1alpha1","kind":"WorkflowExecution","spec":{{"targetResource":"K/n"{spec}}},"status":{{{status}}}}}"#
            )
        };
        [
            of(format!(",{}", members(bytes)), members(bytes)),
            of(String::new(), format!(r#""pipelineRunStatus":{{{}}}"#, members(bytes))),
            of(String::new(), many(bytes, |i| format!(r#""pipelineRunStatus":{{"m{i}":0}}"#))),
            of(String::new(), format!(r#""conditions":[{}]"#, types(bytes))),
            of(String::new(), format!(r#""conditions":[{}]"#, many(bytes, |_| r#"{"type":"A"}"#.into()))),
            of(format!(r#","executionConfig":{}"#, nest(bytes / 6)), String::new()),
        ]
    };
    let forged = |bytes| {
        let of = |patch: String, spec: String| {
            format!(
                r#"{{"apiVersion":"kubernaut.ai/v1beta1","kind":"WorkflowExecution","metadata":{{"annotations":{{"{LEGACY}":"{{\"home\":\"v1alpha1\",\"patch\":[]}}"}}}},
                    "spec":{{"target":{{"kind":"K","name":"n"}}{spec}}},"status":{{"legacy":{{"parked":[{patch}]}},"conditions":[{}]}}}}"#,
                types(bytes)
            )
        };
        [
            of(many(bytes, |i| add("/spec/targetResource", &format!("\"a/B/{i}\""))), String::new()),
            of(many(bytes, |i| add(&format!("/spec/m{i}"), "0")), format!(",{}", members(bytes))),
            of(many(bytes, |i| add(&format!("/spec/m{i}"), "1")), format!(",{}", members(bytes))),
            of(many(bytes, |i| add(&format!("/status/conditions/{i}"), r#"{"type":"A"}"#)), String::new()),
            of(many(bytes, |i| format!(r#"{{"op":"remove","path":"/status/conditions/{i}"}}"#)), String::new()),
            of(
                many(bytes, |i| add(&format!("/spec/p/m{i}/x"), "0")),
                format!(r#","p":{{{}}}"#, many(bytes, |i| format!(r#""m{i}":{{}}"#))),
            ),
            of(many(bytes, |i| add(&format!("/spec/m{i}"), &nest(60))), String::new()),
            of(add("/spec/parameters", &nest(bytes / 6)), format!(r#","parameters":{}"#, nest(bytes / 6))),
        ]
    };
    let work = |text: &String, to| {
        node::work::take();
        convert(text, to).unwrap();
        node::work::take()
    };
    let small = 20_000;
    for (to, few, many) in [
        (Version::V1beta1, &objects(small)[..], &objects(4 * small)[..]),
        (Version::V1alpha1, &forged(small), &forged(4 * small)),
    ] {
        for (number, (few, many)) in few.iter().zip(many).enumerate() {
            let (less, more) = (work(few, to), work(many, to));
            assert!(
                more < 6 * less,
                "object {number} to {}: {less} for {}, {more} for {}",
                to.as_str(),
                few.len(),
                many.len()
            );
        }
    }
}
