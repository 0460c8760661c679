//! Kubernaut shipped three shapes under one version name. Each story, told in each of them, is read as the same facts.

use std::io::Write;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use lockkeeper::api::facts::{Candidate, Cause, ExecutionPhase, NotACandidate, RemediationRequest, WorkflowExecution};

fn request(status: &Value) -> RemediationRequest {
    let object = json!({
        "metadata": {"name": "rr", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-05T10:00:00Z"},
        "spec": {"signalFingerprint": "f", "targetResource": {"kind": "Pod", "name": "p", "namespace": "n"}},
        "status": status,
    });
    RemediationRequest::from_json(&object.to_string()).unwrap()
}

fn merged(a: &Value, b: &Value) -> Value {
    let members = |value: &Value| value.as_object().unwrap().clone();
    members(a).into_iter().chain(members(b)).collect::<serde_json::Map<_, _>>().into()
}

/// An optional member: absent, null, empty, or one of a few values.
fn member(values: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let value = (0..values.len()).prop_map(move |i| json!(values[i]));
    prop_oneof![1 => Just(Value::Null), 1 => Just(json!("")), 3 => value]
}

const TIMES: &[&str] = &["2026-01-05T10:04:00Z", "2026-01-05T12:04:00+02:00", "soon", "9999-12-31T23:59:59Z"];

prop_compose! {
    fn routing()(
        reason in member(&["ResourceBusy", "IneffectiveChain", "on site"]),
        until in member(TIMES),
        busy in member(&["we-1"]),
        duplicate in member(&["rr-1"]),
        next in member(TIMES),
    ) -> Value {
        json!({
            "blockReason": reason, "blockedUntil": until, "blockingWorkflowExecution": busy, "duplicateOf": duplicate,
            "nextAllowedExecution": next, "blockMessage": "m", "consecutiveFailureCount": 2, "duplicateRefs": ["a"],
        })
    }
}

prop_compose! {
    fn completion()(
        phase in member(&["Blocked", "Deduplicated", "WorkflowExecution"]),
        outcome in member(&["Remediated", "Inconclusive"]),
    ) -> Value {
        json!({"failurePhase": phase, "outcome": outcome, "requiresManualReview": true})
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_is_read_alike_flat_and_in_groups(
        routing in routing(),
        completion in completion(),
        phase in member(&["Blocked", "Failed", "Completed", "Dreaming"]),
        ended in member(TIMES),
    ) {
        let common = json!({"overallPhase": phase, "completedAt": ended});
        let flat = request(&merged(&common, &merged(&routing, &completion)));
        let groups = json!({"routingStatus": routing, "completionStatus": completion});
        prop_assert_eq!(request(&merged(&common, &groups)), flat);
    }

    #[test]
    fn where_both_are_present_the_group_wins(
        grouped in routing(),
        flat in routing(),
        grouped_end in completion(),
        flat_end in completion(),
    ) {
        let both = request(&merged(
            &merged(&flat, &flat_end),
            &json!({"routingStatus": grouped, "completionStatus": grouped_end}),
        ));
        let said = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty() && text != "soon");
        let winner = |group: &Value, flat: &Value| {
            let members = group.as_object().unwrap().iter();
            members.map(|(k, v)| (k.clone(), if said(v) { v } else { &flat[k] }.clone())).collect::<serde_json::Map<_, _>>()
        };
        let expected = merged(&winner(&grouped, &flat).into(), &winner(&grouped_end, &flat_end).into());
        prop_assert_eq!(both, request(&expected));
    }

    #[test]
    fn an_execution_is_read_alike_in_all_three_shapes(
        phase in member(&["Pending", "Running", "Completed", "Failed", "Dreaming"]),
        ended in member(TIMES),
        run in member(&["run-1"]),
        reason in member(&["Deduplicated", "OOMKilled"]),
        ran in prop_oneof![Just(Value::Null), Just(json!(true)), Just(json!(false))],
        clearer in member(&["alice"]),
    ) {
        let common = json!({
            "phase": phase,
            "completionTime": ended,
            "failureDetails": {"reason": reason, "wasExecutionFailure": ran, "failedTaskIndex": 0},
            "blockClearance": {"clearedBy": clearer, "clearReason": "r"},
        });
        let december = json!({"pipelineRunRef": {"name": run}, "pipelineRunStatus": {"status": "True"}, "consecutiveFailures": 1});
        let spring = json!({"executionRef": {"name": run}, "executionStatus": {"status": "True"}});
        let august = merged(&spring, &json!({"observedGeneration": 3, "deduplicatedBy": "x", "conditions": []}));
        let read = |spec: Value, status: &Value| {
            let object = json!({
                "metadata": {"name": "we", "namespace": "n"},
                "spec": merged(&json!({"targetResource": "n/Pod/p", "remediationRequestRef": {"name": "rr"}}), &spec),
                "status": merged(&common, status),
            });
            WorkflowExecution::from_json(&object.to_string()).unwrap()
        };
        let facts = read(json!({"workflowRef": {"workflowId": "w", "containerImage": "i"}, "executionConfig": {"timeout": "30m"}}), &december);
        let bundle = json!({"workflowId": "w", "executionBundle": "i", "workflowName": "x"});
        prop_assert_eq!(&read(json!({"workflowRef": bundle}), &spring), &facts);
        prop_assert_eq!(&read(json!({"workflowRef": bundle, "timesOutAt": "2026-01-05T10:30:00Z"}), &august), &facts);
        prop_assert_eq!(facts.has_run, run == "run-1");
        prop_assert_eq!(facts.cleared, clearer == "alice");
    }

    #[test]
    fn a_candidate_is_read_alike_in_all_three_shapes(cluster in member(&["eu-1"]), uid in member(&["u"])) {
        let parent = json!({"apiVersion": "kubernaut.ai/v1alpha1", "kind": "RemediationRequest", "name": "rr", "uid": uid});
        let common = json!({"remediationRequestRef": parent, "targetResource": "n/Pod/p", "clusterID": cluster, "parameters": {"A": "1"}});
        let read = |spec: Value| {
            let object = json!({"metadata": {"name": "we"}, "spec": merged(&common, &spec)});
            Candidate::from_json(&object.to_string(), Some("n")).unwrap()
        };
        let december = json!({
            "workflowRef": {"workflowId": "w", "version": "1", "containerImage": "i", "containerDigest": "d"},
            "executionConfig": {"timeout": "30m", "serviceAccountName": "sa"},
        });
        let workflow = json!({
            "workflowId": "w", "version": "1", "executionBundle": "i", "executionBundleDigest": "d", "workflowName": "x",
            "actionType": "y", "executionEngine": "tekton", "engineConfig": {"a": [1]}, "serviceAccountName": "sa",
            "dependencies": {"secrets": [{"name": "s"}], "configMaps": [{"name": "c"}]},
            "resources": {"limits": {"cpu": "1"}}, "declaredParameterNames": null,
        });
        let august = json!({"workflowRef": workflow, "timesOutAt": "2026-01-05T10:30:00Z", "confidence": 0.5, "rationale": "r"});
        prop_assert_eq!(read(december), read(json!({"workflowRef": {"workflowId": "w", "executionBundle": "i"}})));
        prop_assert_eq!(read(august.clone()), read(json!({"workflowRef": {"workflowId": "w", "executionBundle": "i"}})));
    }
}

/// Any JSON, much of it under the names that the readers look for.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "metadata",
        "spec",
        "status",
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "signalFingerprint",
        "targetResource",
        "clusterID",
        "kind",
        "overallPhase",
        "routingStatus",
        "completionStatus",
        "blockReason",
        "blockedUntil",
        "nextAllowedExecution",
        "outcome",
        "workflowSelection",
        "remediationTarget",
        "remediationRequestRef",
        "workflowRef",
        "workflowId",
        "executionBundle",
        "parameters",
        "dependencies",
        "secrets",
        "phase",
        "completionTime",
        "failureDetails",
        "wasExecutionFailure",
        "blockClearance",
        "clearedBy",
        "executionRef",
        "declaredParameterNames",
        "resources",
        "engineConfig",
        "confidence",
        "apiVersion",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec!["", "Failed", "n/Pod/p", "2026-01-05T10:04:00Z", "kubernaut.ai/v1alpha1"])
            .prop_map(Value::from),
    ];
    let key = prop_oneof![4 => name.prop_map(str::to_owned), 1 => any::<String>()];
    leaf.prop_recursive(6, 96, 8, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            4 => prop::collection::btree_map(key.clone(), inner, 0..8).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Reads it in every way; what matters is that it returns.
fn read_all(json: &str) {
    let _ = RemediationRequest::from_json(json).map_err(|error| error.to_string());
    let _ = WorkflowExecution::from_json(json).map_err(|error| error.to_string());
    let _ = Candidate::from_json(json, Some("n")).map_err(|error| error.to_string());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_json_makes_a_reader_panic(value in any_json(), spec in any_json(), status in any_json()) {
        read_all(&value.to_string());
        let object = json!({"metadata": {"name": "x", "namespace": "n"}, "spec": spec, "status": status});
        read_all(&object.to_string());
        prop_assert!(true);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..400) {
        read_all(&String::from_utf8_lossy(&bytes));
        let whole = good().to_string();
        let cut = (0..=cut.min(whole.len())).rev().find(|at| whole.is_char_boundary(*at)).unwrap();
        read_all(&whole[..cut]);
        let spliced = format!("{}{}{}", &whole[..cut], String::from_utf8_lossy(&bytes), &whole[cut..]);
        read_all(&spliced);
    }
}

fn good() -> Value {
    json!({
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": {"name": "we", "namespace": "n"},
        "spec": {
            "remediationRequestRef": {"name": "rr"},
            "workflowRef": {"workflowId": "w", "executionBundle": "i"},
            "targetResource": "n/Pod/p",
        },
    })
}

fn candidate(json: &str) -> Result<Candidate, NotACandidate> {
    Candidate::from_json(json, Some("request-ns"))
}

fn causes(json: &str) -> Vec<Cause> {
    match candidate(json) {
        Err(NotACandidate::Malformed(causes)) => causes,
        other => panic!("{other:?}"),
    }
}

fn with(pointer: &str, value: Value) -> String {
    let mut object = good();
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    let mut at = &mut object;
    for part in parent.split('/').skip(1) {
        at = &mut at[part];
    }
    at[member] = value;
    object.to_string()
}

#[test]
fn a_wrong_type_names_its_exact_member() {
    for (pointer, value, field) in [
        ("/metadata", json!(3), "metadata"),
        ("/metadata/name", json!(3), "metadata.name"),
        ("/spec", json!("x"), "spec"),
        ("/spec/targetResource", json!({}), "spec.targetResource"),
        ("/spec/clusterID", json!(1), "spec.clusterID"),
        ("/spec/confidence", json!("high"), "spec.confidence"),
        ("/spec/rationale", json!(1), "spec.rationale"),
        ("/spec/timesOutAt", json!(1), "spec.timesOutAt"),
        ("/spec/parameters", json!([]), "spec.parameters"),
        ("/spec/parameters", json!({"OK": "x", "TIMEOUT": 30}), "spec.parameters.TIMEOUT"),
        ("/spec/parameters", json!({"DRY": true}), "spec.parameters.DRY"),
        ("/spec/parameters", json!({"NONE": null}), "spec.parameters.NONE"),
        ("/spec/executionConfig", json!({"timeout": 30}), "spec.executionConfig.timeout"),
        ("/spec/remediationRequestRef", json!([]), "spec.remediationRequestRef"),
        ("/spec/remediationRequestRef/uid", json!(7), "spec.remediationRequestRef.uid"),
        ("/spec/workflowRef/workflowId", json!(7), "spec.workflowRef.workflowId"),
        ("/spec/workflowRef/containerImage", json!(7), "spec.workflowRef.containerImage"),
        (
            "/spec/workflowRef/dependencies",
            json!({"secrets": [{"name": 1}]}),
            "spec.workflowRef.dependencies.secrets[0].name",
        ),
        (
            "/spec/workflowRef/dependencies",
            json!({"configMaps": [{"name": "a"}, {"name": []}]}),
            "spec.workflowRef.dependencies.configMaps[1].name",
        ),
        ("/spec/workflowRef/dependencies", json!({"secrets": {}}), "spec.workflowRef.dependencies.secrets"),
        ("/spec/workflowRef/declaredParameterNames", json!({"A": "yes"}), "spec.workflowRef.declaredParameterNames.A"),
        ("/spec/workflowRef/resources", json!([]), "spec.workflowRef.resources"),
    ] {
        let causes = causes(&with(pointer, value.clone()));
        assert_eq!((causes.len(), causes[0].field.as_str()), (1, field), "{pointer} {value}");
        assert!(!causes[0].message.contains(" at line "), "{}", causes[0].message);
    }
    assert_eq!(causes("3")[0].field, "object");
}

#[test]
fn all_faults_of_form_are_told_at_once() {
    let empty = causes("{}");
    let fields: Vec<_> = empty.iter().map(|cause| cause.field.as_str()).collect();
    let [parent, bundle, workflow, target] = [
        "spec.remediationRequestRef.name",
        "spec.workflowRef.executionBundle",
        "spec.workflowRef.workflowId",
        "spec.targetResource",
    ];
    assert_eq!(fields, [parent, bundle, workflow, target]);
    let other = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": []}});
    let fields: Vec<_> = causes(&other.to_string()).into_iter().map(|cause| cause.field).collect();
    assert_eq!(fields, ["apiVersion", "kind", parent, bundle, workflow, target]);
    let empties = json!({"spec": {
        "remediationRequestRef": {"name": ""}, "targetResource": "",
        "workflowRef": {"workflowId": "", "executionBundle": "", "containerImage": ""},
    }});
    assert_eq!(causes(&empties.to_string()), empty);
    for cause in empty {
        assert!(cause.message.contains("expected"), "{cause}");
    }
}

#[test]
fn what_cannot_be_relied_on_at_all_is_bad_syntax() {
    let whole = good().to_string();
    let twice = |member: &str, again: &str| whole.replacen(member, &format!("{again},{member}"), 1);
    for json in [
        String::new(),
        "{".into(),
        format!("{whole} {{}}"),
        whole.replace("\"w\"", "NaN"),
        twice("\"targetResource\"", "\"targetResource\":\"n/Pod/q\""),
        twice("\"workflowRef\"", "\"workflowRef\":{}"),
        twice("\"name\":\"rr\"", "\"name\":\"r2\""),
        twice("\"spec\"", "\"spec\":null"),
        with("/spec/parameters", json!({"A": "1"})).replace("\"A\":\"1\"", "\"A\":\"1\",\"A\":\"2\""),
    ] {
        assert!(matches!(candidate(&json), Err(NotACandidate::Syntax(_))), "{json}: {:?}", candidate(&json));
    }
}

#[test]
fn depth_in_members_that_nobody_reads_is_no_fault() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(9_999), close.repeat(9_999));
        for pointer in [
            "/spec/workflowRef/engineConfig",
            "/spec/workflowRef/resources",
            "/status",
            "/metadata/managedFields",
            "/x",
        ] {
            let value = if pointer.ends_with("resources") { json!({"limits": "DEEP"}) } else { json!("DEEP") };
            let json = with(pointer, value).replace("\"DEEP\"", &deep);
            assert!(candidate(&json).is_ok(), "{pointer}");
            if pointer != "/status" {
                assert!(WorkflowExecution::from_json(&json).is_ok(), "{pointer}");
            }
        }
        for member in ["creationTimestamp", "deletionTimestamp"] {
            let json = with(&format!("/metadata/{member}"), json!("DEEP")).replace("\"DEEP\"", &deep);
            assert!(WorkflowExecution::from_json(&json).is_ok(), "{member}");
            assert!(RemediationRequest::from_json(&json.replace("\"n/Pod/p\"", "{}")).is_ok(), "{member}");
        }
    }
}

#[test]
fn null_is_absent_and_the_requests_namespace_counts_where_the_object_gives_none() {
    let nulls =
        with("/spec/parameters", Value::Null).replace("\"i\"", "\"i\",\"containerImage\":null,\"dependencies\":null");
    assert!(candidate(&nulls).unwrap().parameter_names.is_empty());
    for absent in [Value::Null, json!("")] {
        let read = candidate(&with("/metadata/namespace", absent)).unwrap();
        assert_eq!((&*read.namespace, &*read.parent.namespace), ("request-ns", "request-ns"));
    }
    let read = candidate(&with("/spec/remediationRequestRef/namespace", json!("other"))).unwrap();
    assert_eq!((&*read.namespace, &*read.parent.namespace), ("n", "other"));
    let nameless = candidate(&with("/metadata/name", json!(""))).unwrap();
    assert_eq!((nameless.name.clone(), nameless.key()), (None, None));
    assert_eq!(candidate(&good().to_string()).unwrap().key().unwrap().to_string(), "n/we");
}

#[test]
fn parameter_names_come_in_one_order() {
    let read = candidate(&with("/spec/parameters", json!({"b": "1", "A": "2", "a": ""}))).unwrap();
    assert_eq!(read.parameter_names.iter().map(|name| &**name).collect::<Vec<_>>(), ["A", "a", "b"]);
}

#[test]
fn what_an_object_brings_into_a_cause_is_printable_and_bounded() {
    let hostile = "\u{1b}[31m\n".repeat(500);
    for json in [
        with("/spec/targetResource", json!(hostile)),
        with("/spec/parameters", json!({hostile.clone(): 1})),
        with("/kind", json!(hostile)),
        with("/apiVersion", json!(hostile)),
        with("/spec/confidence", json!(hostile)),
    ] {
        for cause in causes(&json) {
            assert!(!cause.to_string().chars().any(char::is_control), "{cause}");
            assert!(cause.to_string().chars().count() < 3000, "{cause}");
        }
    }
}

#[test]
fn a_stored_object_that_cannot_be_read_names_the_member() {
    for (json, path) in [
        (json!({"metadata": {}}), "metadata.name"),
        (json!({"metadata": {"name": ""}}), "metadata.name"),
        (json!({"metadata": {"name": "x"}, "spec": {"clusterID": 3}}), "spec.clusterID"),
        (json!({"metadata": {"name": "x"}, "status": []}), "status"),
    ] {
        assert_eq!(RemediationRequest::from_json(&json.to_string()).unwrap_err().path, path);
        assert_eq!(WorkflowExecution::from_json(&json.to_string()).unwrap_err().path, path);
    }
    let rr = json!({"metadata": {"name": "x"}, "status": {"routingStatus": {"blockReason": 3}}});
    assert_eq!(RemediationRequest::from_json(&rr.to_string()).unwrap_err().path, "status.routingStatus.blockReason");
    let wfe = json!({"metadata": {"name": "x"}, "status": {"failureDetails": {"wasExecutionFailure": "yes"}}});
    let path = WorkflowExecution::from_json(&wfe.to_string()).unwrap_err().path;
    assert_eq!(path, "status.failureDetails.wasExecutionFailure");
    assert!(WorkflowExecution::from_json("{\"metadata\":{\"name\":\"x\"}} 1").is_err(), "something after the object");
}

#[test]
fn every_phase_has_its_name_and_an_unknown_one_is_active() {
    for (text, phase) in [
        ("", ExecutionPhase::Unset),
        ("Pending", ExecutionPhase::Pending),
        ("Running", ExecutionPhase::Running),
        ("Completed", ExecutionPhase::Completed),
        ("Failed", ExecutionPhase::Failed),
        ("running", ExecutionPhase::Other),
    ] {
        let wfe = json!({"metadata": {"name": "x"}, "status": {"phase": text}});
        let wfe = WorkflowExecution::from_json(&wfe.to_string()).unwrap();
        assert_eq!(wfe.phase, phase);
        assert_eq!(wfe.active(), !matches!(phase, ExecutionPhase::Completed | ExecutionPhase::Failed));
        assert_eq!((wfe.target, wfe.created), (None, None));
    }
}

#[test]
fn what_a_request_acts_on_is_the_chosen_target_else_the_signals() {
    let target = |status: Value| request(&status).own_target().map(|target| target.as_written().to_owned());
    let chosen =
        |kind: &str, name: &str| json!({"workflowSelection": {"remediationTarget": {"kind": kind, "name": name}}});
    assert_eq!(target(json!({})).unwrap(), "n/Pod/p");
    assert_eq!(target(chosen("Node", "w")).unwrap(), "Node/w");
    assert_eq!(target(chosen("", "w")).unwrap(), "n/Pod/p");
    assert_eq!(target(chosen("Node", "")).unwrap(), "n/Pod/p");
    assert_eq!(request(&json!({})).target_namespace(), "n");
    let nothing = json!({"metadata": {"name": "x"}});
    assert!(RemediationRequest::from_json(&nothing.to_string()).unwrap().own_target().is_err());
}

#[test]
fn captured_objects_are_read() {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let reviews = std::env::var_os("LOCKKEEPER_SHARED").map_or_else(beside, PathBuf::from).join("data/reviews");
    let Ok(files) = std::fs::read_dir(&reviews) else {
        writeln!(std::io::stderr().lock(), "skipped: no captured reviews at {}", reviews.display()).unwrap();
        return;
    };
    let mut read = 0;
    for path in files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|ext| ext == "json"))
    {
        let review: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for object in
            ["object", "oldObject"].map(|member| &review["request"][member]).into_iter().filter(|o| o.is_object())
        {
            let json = object.to_string();
            read += 1;
            if name.starts_with("rr-") {
                let rr = RemediationRequest::from_json(&json).unwrap();
                let status = &object["status"];
                assert_eq!(rr.phase.as_str(), status["overallPhase"].as_str().unwrap_or_default(), "{name}");
                let next = status["routingStatus"]["nextAllowedExecution"]
                    .as_str()
                    .or(status["nextAllowedExecution"].as_str());
                assert_eq!(rr.next_allowed.map(|time| time.to_string()).as_deref(), next, "{name}");
                let reason = status["routingStatus"]["blockReason"].as_str().or(status["blockReason"].as_str());
                assert_eq!(rr.block.as_ref().map(|block| &*block.reason), reason, "{name}");
                assert_eq!(rr.fingerprint.len(), 64, "{name}");
            } else if name.contains("generate-name") {
                assert_eq!(Candidate::from_json(&json, Some("n")).unwrap().key(), None, "{name}");
            } else {
                let candidate = Candidate::from_json(&json, None).unwrap();
                let wfe = WorkflowExecution::from_json(&json).unwrap();
                assert_eq!(wfe.target.as_ref(), Some(candidate.target.identity()), "{name}");
                assert_eq!((&wfe.parent, &wfe.workflow_id), (&candidate.parent, &candidate.workflow_id), "{name}");
                assert_eq!(wfe.failure.is_some(), object["status"]["failureDetails"].is_object(), "{name}");
            }
        }
    }
    assert!(read > 0, "nothing in {}", reviews.display());
}
