//! Conversion: whatever an object is, it comes home as it was, and what was parked changes nothing that is said.

#[path = "support/generate.rs"]
mod generate;
#[path = "support/versions.rs"]
mod versions;

use std::sync::LazyLock;

use generate::Generator;
use lockkeeper::api::facts::{Record, RemediationRequest, WorkflowExecution};
use lockkeeper::convert::{KINDS, Kind, LEGACY, Version, bring_home, convert};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use serde_json::{Value, json};
use versions::{ANNOTATIONS_MAX_BYTES, V1ALPHA1, V1BETA1, annotated, comes_home, other, over, prune, schemas};

/// The places of each kind, in the order of [`KINDS`].
static PLACES: LazyLock<[Vec<&'static str>; 2]> = LazyLock::new(|| KINDS.map(places));

/// Every place that some shape has a word for, and some that none has.
fn places(kind: &Kind) -> Vec<&'static str> {
    let common = [
        "spec",
        "status",
        "spec.targetResource",
        "spec.clusterID",
        "spec.target",
        "spec.target.kind",
        "spec.target.name",
        "spec.target.namespace",
        "spec.target.clusterID",
        "spec.target.odd",
        "spec.executionConfig.timeout",
        "spec.executionConfig.odd",
        "spec.workflowRef.workflowId",
        "spec.workflowRef",
        "spec.legacy.odd",
        "spec.severity",
        "status.overallPhase",
        "status.phase",
        "status.failureDetails.reason",
        "status.failureDetails.wasExecutionFailure",
        "status.failure.reason",
        "status.failure.executionTimeBeforeFailure",
        "status.failureDetails.executionTimeBeforeFailure",
        "status.execution",
        "status.pipelineRunStatus",
        "status.pipelineRunStatus.odd",
        "status.executionStatus.odd",
        "status.conditions",
        "status.routing",
        "status.routingStatus",
        "status.routingStatus.odd",
        "status.completion.odd",
        "odd",
        "spec.odd",
        "status.odd.odd",
        "metadata.annotations",
        "metadata.creationTimestamp",
        "metadata.labels",
        "metadata",
    ];
    let rows = kind.rows.iter().flat_map(|row| row.v1alpha1.into_iter().flatten().chain([row.hub]));
    common.into_iter().chain(rows).collect()
}

fn put(object: &mut Value, path: &str, value: Value) {
    let (parents, last) = path.rsplit_once('.').map_or((None, path), |(parents, last)| (Some(parents), last));
    let mut place = object;
    for name in parents.into_iter().flat_map(|parents| parents.split('.')) {
        if !place.is_object() {
            return;
        }
        place = &mut place[name];
        if place.is_null() {
            *place = json!({});
        }
    }
    if place.is_object() {
        place[last] = value;
    }
}

fn values() -> impl Strategy<Value = Value> {
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "R", "message": "m"});
    prop_oneof![
        Just(json!(null)),
        Just(json!({})),
        Just(json!([])),
        Just(json!("")),
        Just(json!("é\u{1F600}\"\\/\n")),
        Just(json!(9_223_372_036_854_775_807_i64)),
        Just(json!(-1)),
        Just(json!(true)),
        Just(json!({"odd": [1, {"deep": null}], "name": "n"})),
        Just(json!([condition("A", "True"), condition("B", "True"), condition("A", "False"), condition("B", "True")])),
        Just(json!([{"odd": 1}, {"odd": 1}, null, {"type": "A"}, {"type": "A"}])),
        Just(json!({"Z": "1", "a": ""})),
        prop::sample::select(vec![
            "payments/Deployment/api",
            "Node/w",
            "a/b/c/d",
            "x",
            "//",
            "/Deployment/api",
            "n/K/",
            "30m",
            "30m0s",
            "1h30m0s",
            "1.5s",
            "-5m",
            "2026-01-05T10:00:00Z",
            "2026-01-05T10:00:00.5Z",
            "2026-01-05T12:00:00+02:00",
            "2026-01-05T09:00:00Z",
            "Unknown",
            "Deduplicated",
            "UnsupportedEngine",
            "OOMKilled",
            "RaceConditionError",
            "Verifying",
            "Failed",
            "critical",
            "high",
            "ResourceBusy",
            "IneffectiveChain",
            "Inconclusive",
            "tekton",
            "ansible",
            "airflow",
            "0s",
            "restart",
        ])
        .prop_map(|text| json!(text)),
    ]
}

fn legacy() -> impl Strategy<Value = Value> {
    let forged = |home: &str, patch: Value| json!({"home": home, "patch": patch}).to_string();
    let patch = json!([
        {"op": "add", "path": "/spec/target/clusterID", "value": "c"}, {"op": "add", "path": "/status/failure/reason", "value": "Deduplicated"},
        {"op": "add", "path": "/spec/targetResource", "value": "a/B/c"}, {"op": "remove", "path": "/status"},
        {"op": "add", "path": "/metadata/name", "value": "x"}, {"op": "add", "path": "/metadata", "value": null},
        {"op": "add", "path": "/status/conditions/0", "value": {"type": "A"}}, {"op": "add", "path": "/status/conditions/9", "value": 1},
        {"op": "add", "path": format!("/metadata/annotations/{}", LEGACY.replace('/', "~1")), "value": 5},
        {"op": "add", "path": "/kind", "value": "X"}, {"op": "add", "path": "/metadata/annotations", "value": {}}
    ]);
    prop::sample::select(vec![
        json!(null),
        json!(null),
        json!(null),
        json!("garbage"),
        json!("{}"),
        json!(forged("v1alpha1", json!([]))),
        json!(forged("v1beta1", json!([]))),
        json!(forged("v1alpha1", patch.clone())),
        json!(forged("v1beta1", patch.clone())),
        json!(json!({"home": "v1alpha1", "shape": "1.5.7", "patch": patch}).to_string()),
        json!(json!({"home": "v1alpha1", "shape": "2026-08", "patch": []}).to_string()),
        json!(json!({"home": "v1beta1", "shape": "2025-12", "patch": patch}).to_string()),
    ])
}

prop_compose! {
    fn object(kinds: &'static [&'static Kind])(
        kind in prop::sample::select(kinds.to_vec()),
        version in prop::sample::select(vec![V1ALPHA1, V1BETA1]),
        typical in any::<bool>(),
        chosen in prop::collection::vec((any::<prop::sample::Index>(), values()), 0..14),
        legacy in legacy(),
    ) -> Value {
        let mut object = json!({"apiVersion": version, "kind": kind.name});
        if typical {
            put(&mut object, "metadata.name", json!("n"));
            put(&mut object, "metadata.creationTimestamp", json!("2026-01-05T09:30:00Z"));
            if kind.name == "WorkflowExecution" {
                put(&mut object, "spec.targetResource", json!("payments/Deployment/api"));
                put(&mut object, "spec.workflowRef.workflowId", json!("restart"));
            }
        }
        let places = &PLACES[KINDS.iter().position(|known| known.name == kind.name).unwrap_or_default()];
        for (at, value) in chosen {
            let place = *at.get(&places[..]);
            // The API server sees to it that metadata is what it should be, but for null.
            if place == "metadata" && !(value.is_null() || value == json!({})) || place == "metadata.annotations" && !(value.is_null() || value.is_object()) {
                continue;
            }
            put(&mut object, place, value);
        }
        if !legacy.is_null() && object["metadata"]["annotations"].as_object().is_none_or(serde_json::Map::is_empty) {
            put(&mut object, "metadata.annotations", json!({}));
            put(&mut object, "metadata.annotations.x", json!("y"));
            if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
                annotations.insert(LEGACY.to_owned(), legacy);
            }
        }
        object
    }
}

fn without_legacy(mut object: Value) -> Value {
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LEGACY);
    }
    object
}

proptest! {
    #![proptest_config(Config { cases: 10_000, rng_seed: RngSeed::Fixed(6), failure_persistence: None, ..Config::default() })]

    /// C-12: there and back it is as it was, and once more there it is what it was there; and what an annotation says of the other
    /// version changes nothing of what is said here.
    #[test]
    fn whatever_it_is_it_comes_home(object in object(&KINDS)) {
        let (home, away) = other(&object);
        let annotation = object["metadata"]["annotations"][LEGACY].as_str().unwrap_or_default();
        let claims = annotation.contains(&format!("\"home\":\"{}\"", away.as_str())) && !annotation.contains("shape");
        let there = over(&object, away);
        let back: Value = serde_json::from_slice(&bring_home(&there.to_string(), home).unwrap().json).unwrap();
        prop_assert_eq!(over(&back, away), there.clone());
        prop_assert_eq!(over(&over(&there, home), away), there.clone());
        for name in ["apiVersion", "kind"] {
            prop_assert!(there[name].is_string());
        }
        // The API server takes no other.
        let annotation = &there["metadata"]["annotations"][LEGACY];
        prop_assert!(annotation.is_null() || annotation.is_string(), "{}", there["metadata"]);
        if object["metadata"].is_object() {
            prop_assert_eq!(of_the_api_server(&there), of_the_api_server(&object));
        }
        if !claims {
            prop_assert_eq!(&back, &object, "by way of {}", there);
        }
        // What is parked for the other version is judged there; what does not hold is dropped.
        prop_assert_eq!(without_legacy(back), without_legacy(object));
    }
}

/// What routing asks of an object is the same, whichever version it is stored in.
#[test]
fn the_gate_reads_the_hub_as_it_reads_what_became_it() {
    let mut seen = 0;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/state");
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for document in text.split("\n---\n") {
            let object: Value = serde_saphyr::from_str(document).unwrap();
            if !object["apiVersion"].as_str().is_some_and(|version| version.starts_with("kubernaut.ai/")) {
                continue;
            }
            let hub = over(&object, Version::V1beta1);
            seen += 1;
            match object["kind"].as_str() {
                Some("WorkflowExecution") => {
                    let read = |object: &Value| WorkflowExecution::from_json(&object.to_string()).unwrap();
                    assert_eq!(read(&hub), read(&object), "{hub}");
                    let record = |object: &Value| Record::from_json(&object.to_string()).unwrap();
                    let (mut was, is) = (record(&object), record(&hub));
                    was.failure_member = is.failure_member;
                    assert_eq!(is, was, "{hub}");
                }
                Some("RemediationRequest") => {
                    let read = |object: &Value| RemediationRequest::from_json(&object.to_string());
                    assert_eq!(read(&hub), read(&object), "{hub}");
                }
                _ => seen -= 1,
            }
        }
    }
    assert!(seen > 5, "{seen}");
}

/// Metadata but for the annotations.
fn of_the_api_server(object: &Value) -> Value {
    let mut metadata = object["metadata"].clone();
    if let Some(members) = metadata.as_object_mut() {
        members.remove("annotations");
    }
    metadata
}

/// C-12, C-14: ten thousand objects of what a schema says, and of what it does not, go away and come home to the byte; and every second one
/// does so by way of an API server, which keeps of each version what its schema names.
fn ten_thousand_come_home(kind: &str, version: &str) {
    let schemas = schemas(kind);
    let others: Vec<_> = schemas.iter().map(|(_, schema)| schema).collect();
    let schema = |wanted: &str| &schemas.iter().find(|(name, _)| name == wanted).unwrap().1;
    let generator = Generator::new(&format!("kubernaut.ai/{version}"), kind, schema(version).clone(), &others);
    for seed in 0..10_000 {
        let served = seed % 2 == 0;
        let object = if served { generator.pruned(seed) } else { generator.object(seed) };
        let (home, away) = other(&object);
        // Canonical: members in the order of their names.
        let text = object.to_string();
        let mut there = convert(&text, away).unwrap().json;
        let bytes = annotated(&serde_json::from_slice::<Value>(&there).unwrap()["metadata"]);
        assert!(bytes <= ANNOTATIONS_MAX_BYTES || !served, "seed {seed}: {bytes} bytes of annotations");
        if served {
            let mut kept: Value = serde_json::from_slice(&there).unwrap();
            prune(&mut kept, schema(away.as_str()));
            there = kept.to_string().into_bytes();
        }
        let there = String::from_utf8(there).unwrap();
        // What an API server keeps is of the shape that it serves; a file may be of another one.
        let homeward = if served { convert } else { bring_home };
        let mut back: Value = serde_json::from_slice(&homeward(&there, home).unwrap().json).unwrap();
        if served {
            prune(&mut back, schema(home.as_str()));
        }
        let back = back.to_string();
        assert!(back == text, "seed {seed}:\n{text}\nwent by way of\n{there}\nand came home as\n{back}");
    }
}

/// Something of this schema: everything that it has a name for.
fn whole(name: &str, schema: &Value) -> Value {
    if let Some(values) = schema["enum"].as_array() {
        return values[0].clone();
    }
    let text = match (name, schema["format"].as_str()) {
        ("targetResource", _) => "payments/Deployment/api",
        ("timeout" | "executionTimeBeforeFailure", _) => "30m0s",
        (_, Some("date-time")) => "2026-01-05T10:00:00Z",
        _ => "text",
    };
    match schema["type"].as_str() {
        Some("object") => {
            let named = schema["properties"].as_object().into_iter().flatten();
            let free = Some(("k", &schema["additionalProperties"])).filter(|(_, schema)| schema.is_object());
            let members = named.map(|(name, schema)| (&**name, schema)).chain(free);
            members.map(|(name, schema)| (name.to_owned(), whole(name, schema))).collect()
        }
        Some("array") => json!([whole(name, &schema["items"])]),
        Some("integer") => json!(7),
        Some("number") => json!(0.5),
        Some("boolean") => json!(true),
        _ => json!(text),
    }
}

/// JSON Pointers of all members below, the first item of a list for all.
fn members_of(value: &Value, at: &str, found: &mut Vec<String>) {
    let below: Vec<_> = match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().take(1).map(|item| ("0".to_owned(), item)).collect(),
        _ => Vec::new(),
    };
    for (name, value) in below {
        let at = format!("{at}/{name}");
        if !value.is_null() {
            found.push(at.clone());
        }
        members_of(value, &at, found);
    }
}

/// The object with all but this member and what it stands in taken away.
fn alone(value: &Value, place: &[&str]) -> Value {
    let Some((first, rest)) = place.split_first() else { return value.clone() };
    match value {
        Value::Object(members) => json!({*first: alone(&members[*first], rest)}),
        Value::Array(items) => json!([alone(&items[0], rest)]),
        _ => value.clone(),
    }
}

/// C-15: of every member of both schemas, beside all others and by itself.
#[test]
fn c_15_null_absent_and_empty_stay_apart_in_every_member() {
    let mut seen = std::collections::BTreeSet::new();
    for kind in KINDS {
        let schemas = schemas(kind.name);
        let schema = |version: Version| &schemas.iter().find(|(name, _)| name == version.as_str()).unwrap().1;
        for version in [Version::V1alpha1, Version::V1beta1] {
            let metadata = json!({"name": "n", "creationTimestamp": "2026-01-05T09:30:00Z"});
            let begun = json!({"apiVersion": format!("kubernaut.ai/{}", version.as_str()), "kind": kind.name, "metadata": metadata});
            let mut full = begun.clone();
            for group in ["spec", "status"] {
                full[group] = whole(group, &schema(version)["properties"][group]);
            }
            comes_home(&full, &schema, &format!("all of {} {}", kind.name, version.as_str()));
            let mut places = Vec::new();
            for group in ["spec", "status"] {
                places.push(format!("/{group}"));
                members_of(&full[group], &format!("/{group}"), &mut places);
            }
            for place in places {
                let path: Vec<_> = place.split('/').skip(1).collect();
                let mut bare = begun.clone();
                bare[path[0]] = alone(&full[path[0]], &path[1..]);
                let empty = match full.pointer(&place).unwrap() {
                    Value::Object(_) => json!({}),
                    Value::Array(_) => json!([]),
                    Value::String(_) => json!(""),
                    Value::Bool(_) => json!(false),
                    _ => json!(0),
                };
                for beside in [&full, &bare] {
                    for value in [None, Some(Value::Null), Some(empty.clone())] {
                        let mut object = beside.clone();
                        let (parent, last) = place.rsplit_once('/').unwrap();
                        match object.pointer_mut(parent).unwrap() {
                            Value::Object(members) => {
                                members.remove(last);
                                members.extend(value.clone().map(|value| (last.to_owned(), value)));
                            }
                            Value::Array(items) => *items = value.clone().into_iter().collect(),
                            _ => unreachable!("{place}"),
                        }
                        comes_home(&object, &schema, &format!("{place} is {value:?}"));
                        seen.insert((kind.name, version.as_str(), place.clone()));
                    }
                }
            }
        }
    }
    assert!(seen.len() > 300, "{} members", seen.len());
}

/// What a status write makes stale takes nothing of the spec with it, however much of that is parked.
#[test]
fn a_stale_status_costs_no_spec() {
    for bytes in [1_000, 250_000, 700_000, 1_300_000] {
        let config = json!({"playbookPath": "x.yml", "vars": "v".repeat(bytes)});
        let dependencies: Vec<_> = (0..30).map(|i| json!({"name": format!("s-{i}")})).collect();
        let object = json!({"apiVersion": V1BETA1, "kind": "WorkflowExecution", "metadata": {"name": "we"},
            "spec": {"target": {"clusterID": "eu", "kind": "Node", "name": "w"}, "workflowRef": {"workflowId": "x", "workflowName": "y",
                "actionType": "z", "engineConfig": config, "dependencies": {"secrets": dependencies}}},
            "status": {"phase": "Failed", "deduplicatedBy": "other", "observedGeneration": 1, "workflowName": "y", "ephemeralCredentialIDs": [1],
                "execution": {"status": "False", "retryCount": 3}, "failure": {"reason": "Deduplicated", "message": "m"}}});
        let mut there = over(&object, Version::V1alpha1);
        there["status"]["failureDetails"]["reason"] = json!("OOMKilled");
        there["status"].as_object_mut().unwrap().remove("pipelineRunStatus");
        let back = over(&there, Version::V1beta1);
        assert!(back["spec"] == object["spec"], "{bytes}: {}", &back["spec"].to_string()[..200]);
        assert_eq!(back["status"]["failure"]["reason"], "OOMKilled");
        if bytes < 250_000 {
            assert_eq!(back["status"]["deduplicatedBy"], "other", "{bytes}");
        }
    }
}

/// A new object has no status, in no version, whatever its annotation says.
#[test]
fn an_annotation_brings_no_status_along() {
    for patch in [json!({"deduplicatedBy": "we-1"}), json!({"phase": "Failed"}), json!({})] {
        let patch = json!({"home": "v1beta1", "patch": [{"op": "add", "path": "/status", "value": patch}]});
        let object = json!({"apiVersion": V1ALPHA1, "kind": "WorkflowExecution", "spec": {"targetResource": "Node/w"},
            "metadata": {"name": "we", "annotations": {LEGACY: patch.to_string()}}});
        assert_eq!(over(&object, Version::V1beta1).get("status"), None);
    }
}

/// C-07: annotations stay within what the API server takes. The one member of the hub that v1alpha1 cannot say and no schema can bound.
#[test]
fn settings_of_an_engine_that_no_annotation_has_room_for_come_home_by_way_of_an_api_server() {
    let settings = |bytes: usize| json!({"extraVars": {"x": "é".repeat(bytes / 2)}, "inventoryName": "edge"});
    for bytes in [100_000, 262_000, 300_000, 1_300_000] {
        let object = json!({"apiVersion": V1BETA1, "kind": "WorkflowExecution", "metadata": {"name": "we"}, "spec": {
            "target": {"kind": "Node", "name": "w"}, "workflowRef": {"workflowId": "x", "engineConfig": settings(bytes)}}});
        let mut there = over(&object, Version::V1alpha1);
        let whole = there.clone();
        let schemas = schemas("WorkflowExecution");
        prune(&mut there, &schemas.iter().find(|(name, _)| name == "v1alpha1").unwrap().1);
        assert!(there == whole, "v1alpha1 has no place for {bytes} bytes");
        let annotation = there["metadata"]["annotations"][LEGACY].as_str().unwrap();
        assert!(annotation.len() + LEGACY.len() <= 262_144, "{bytes}");
        assert_eq!(there["spec"].get("legacy").is_some(), bytes > 200_000, "{bytes}");
        assert!(over(&there, Version::V1beta1) == object, "{bytes} bytes did not come home");
    }
}

#[test]
fn executions_of_v1alpha1_come_home() {
    ten_thousand_come_home("WorkflowExecution", "v1alpha1");
}

#[test]
fn executions_of_v1beta1_come_home() {
    ten_thousand_come_home("WorkflowExecution", "v1beta1");
}

#[test]
fn requests_of_v1alpha1_come_home() {
    ten_thousand_come_home("RemediationRequest", "v1alpha1");
}

#[test]
fn requests_of_v1beta1_come_home() {
    ten_thousand_come_home("RemediationRequest", "v1beta1");
}
