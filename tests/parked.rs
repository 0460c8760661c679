//! What is parked: where it is kept, that nobody says anything by it, and that it is always in the shape that is served.

#[path = "support/versions.rs"]
mod versions;

use std::path::Path;

use lockkeeper::convert::{KINDS, LEGACY, Version, bring_home, convert, there_and_back};
use serde_json::{Value, json};
use versions::{ANNOTATIONS_MAX_BYTES, V1ALPHA1, V1BETA1, annotated, comes_home, other, over, prune, schemas};

const SHAPES: [&str; 3] = ["2025-12", "1.5.7", "2026-08"];

fn golden(kind: &str, end: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/conversion/{kind}.{end}.json"));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn schema_of<'a>(schemas: &'a [(String, Value)]) -> impl Fn(Version) -> &'a Value {
    |version: Version| &schemas.iter().find(|(name, _)| name == version.as_str()).unwrap().1
}

fn annotate(object: &mut Value, text: &str) {
    if !object["metadata"]["annotations"].is_object() {
        object["metadata"]["annotations"] = json!({});
    }
    object["metadata"]["annotations"][LEGACY] = json!(text);
}

/// A cluster serves one shape of v1alpha1, and prunes by it: an object that came from another one is answered in that which is
/// served, loses nothing there, and still goes home from the hub.
#[test]
fn an_object_of_another_shape_is_served_in_the_one_that_is_served() {
    for kind in KINDS {
        let schemas = schemas(kind.name);
        let schema = schema_of(&schemas);
        for shape in SHAPES {
            let original = golden(kind.name, shape);
            let hub = golden(kind.name, &format!("{shape}.v1beta1"));
            let what = format!("{} of {shape}", kind.name);
            let served = over(&hub, Version::V1alpha1);
            let mut kept = served.clone();
            prune(&mut kept, schema(Version::V1alpha1));
            assert!(kept == served, "{what} is pruned:\n{served}");
            comes_home(&hub, &schema, &what);
            let mut written = served;
            written["status"]["consecutiveFailureCount"] = json!(9);
            written["status"]["consecutiveFailures"] = json!(9);
            let after = over(&written, Version::V1beta1);
            assert_eq!(after["spec"], hub["spec"], "{what}: a status write in v1alpha1 cost spec");
            let home: Value = serde_json::from_slice(
                &bring_home(&over(&kept, Version::V1beta1).to_string(), Version::V1alpha1).unwrap().json,
            )
            .unwrap();
            assert_eq!(home, original, "{what} does not go home any more");
        }
    }
}

/// An annotation that names a shape, or says nothing that can be, is an annotation like others.
#[test]
fn whatever_shape_an_annotation_names_nothing_that_is_seen_moves() {
    for kind in KINDS {
        let schemas = schemas(kind.name);
        let schema = schema_of(&schemas);
        let hub = golden(kind.name, "hub");
        let seen = |object: &Value| {
            let mut there = over(object, Version::V1alpha1);
            there.as_object_mut().unwrap().remove("metadata");
            there
        };
        for (home, shape) in ["v1alpha1", "v1beta1"].into_iter().flat_map(|home| SHAPES.map(|shape| (home, shape))) {
            let mut forged = hub.clone();
            annotate(&mut forged, &json!({"home": home, "shape": shape, "patch": []}).to_string());
            assert_eq!(seen(&forged), seen(&hub), "{home} {shape}");
            if shape != "2025-12" {
                comes_home(&forged, &schema, &format!("{home} {shape}"));
            }
            let mut old = over(&hub, Version::V1alpha1);
            annotate(&mut old, &json!({"home": home, "shape": shape, "patch": []}).to_string());
            if (home, shape) != ("v1beta1", "2025-12") {
                comes_home(&old, &schema, &format!("{} {home} {shape}", old["apiVersion"]));
            }
        }
    }
}

/// Objects of an API server have their members in the order of their names, those of a conversion in its own: an object of either
/// comes home, with the same text in its annotation.
#[test]
fn what_is_parked_has_one_order() {
    for kind in KINDS {
        for object in
            [golden(kind.name, "hub"), golden(kind.name, "hub.v1alpha1"), golden(kind.name, "2026-08.v1beta1")]
        {
            let (_, away) = other(&object);
            let mut backwards = String::new();
            reversed(&object, &mut backwards);
            let text = |text: &str, to| String::from_utf8(convert(text, to).unwrap().json).unwrap();
            let annotation =
                |text: &str| serde_json::from_str::<Value>(text).unwrap()["metadata"]["annotations"][LEGACY].clone();
            let there = [&object.to_string(), &backwards].map(|object| text(object, away));
            for object in [&object.to_string(), &backwards, &there[0], &there[1]] {
                assert!(there_and_back(object).unwrap().identical, "{object}");
                let (from, to) = other(&serde_json::from_str(object).unwrap());
                let once = text(&text(object, to), from);
                assert_eq!(annotation(&once), annotation(object));
            }
        }
    }
}

/// The same object with the members of each object the other way round.
fn reversed(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let all: Vec<_> = members
                .iter()
                .rev()
                .map(|(name, value)| {
                    let mut text = String::new();
                    reversed(value, &mut text);
                    format!("{}:{text}", json!(name))
                })
                .collect();
            *out += &format!("{{{}}}", all.join(","));
        }
        Value::Array(items) => {
            let all: Vec<_> = items
                .iter()
                .map(|item| {
                    let mut text = String::new();
                    reversed(item, &mut text);
                    text
                })
                .collect();
            *out += &format!("[{}]", all.join(","));
        }
        other => *out += &other.to_string(),
    }
}

/// What is parked by somebody else's hand is no reason to keep an object where it is: what is seen comes home.
#[test]
fn what_is_forged_or_stale_keeps_nothing_from_coming_home() {
    let mut tried = 0;
    for kind in KINDS {
        let (hub, old) = (golden(kind.name, "hub"), golden(kind.name, "hub.v1alpha1"));
        let places = kind.rows.iter().flat_map(|row| row.v1alpha1.into_iter().flatten().chain([row.hub]));
        let more = ["spec.clusterID", "spec.target.clusterID", "spec.targetResource", "status.legacy.x", "spec.x"];
        let places: std::collections::BTreeSet<_> = places.chain(more).collect();
        for (object, place) in
            [&hub, &old].into_iter().flat_map(|object| places.iter().map(move |place| (object, place)))
        {
            let (home, away) = other(object);
            for (op, value) in
                [("add", json!("EVIL")), ("add", json!({"a": "EVIL"})), ("add", json!(7)), ("remove", Value::Null)]
            {
                let mut operation = json!({"op": op, "path": format!("/{}", place.replace('.', "/"))});
                if op == "add" {
                    operation["value"] = value;
                }
                let mut forged = object.clone();
                annotate(&mut forged, &json!({"home": away.as_str(), "patch": [operation]}).to_string());
                let trip = there_and_back(&forged.to_string()).unwrap();
                assert!(trip.identical, "{forged}");
                let mut back = over(&over(&forged, away), home);
                for object in [&mut back, &mut forged] {
                    object["metadata"]["annotations"] = Value::Null;
                }
                assert_eq!(back, forged, "{operation}");
                tried += 1;
            }
        }
    }
    assert!(tried > 1_000, "{tried}");
}

/// What the API server would not take is no answer: it would make a version of the kind unreadable for everybody.
#[test]
fn no_annotation_makes_another_that_the_api_server_refuses() {
    let path = format!("/metadata/annotations/{}", LEGACY.replace('/', "~1"));
    let values = [json!(5), json!(null), json!(["x"]), json!({"a": "b"}), json!(true), json!("x".repeat(300_000))];
    for kind in KINDS {
        for (object, value) in [golden(kind.name, "hub"), golden(kind.name, "2025-12")]
            .iter()
            .flat_map(|object| values.iter().map(move |value| (object, value)))
        {
            let (_, away) = other(object);
            let operation = json!({"op": "add", "path": path, "value": value});
            let mut said = object.clone();
            annotate(&mut said, &json!({"home": away.as_str(), "patch": [operation]}).to_string());
            let mut listed = object.clone();
            annotate(&mut listed, &json!({"home": away.as_str(), "patch": []}).to_string());
            listed["spec"]["legacy"] = json!({"parked": [operation]});
            let mut marked = object.clone();
            marked["spec"]["legacy"] = json!({"parked": [{"home": away.as_str()}, operation]});
            for forged in [said, listed, marked] {
                let there = over(&forged, away);
                let annotations = there["metadata"]["annotations"].as_object().into_iter().flatten();
                assert!(annotations.into_iter().all(|(_, value)| value.is_string()), "{}", there["metadata"]);
                assert!(annotated(&there["metadata"]) <= ANNOTATIONS_MAX_BYTES);
            }
        }
    }
}

/// Each root is weighed by itself: a write of the status costs nothing else of it, whatever the spec weighs.
#[test]
fn a_stale_member_costs_only_itself_however_large_the_rest_is() {
    for bytes in [1_000, 250_000, 500_000, 1_200_000] {
        let workflow = json!({"workflowId": "x", "workflowName": "y", "actionType": "z", "engineConfig": {"vars": "v".repeat(bytes)}});
        let object = json!({"apiVersion": V1BETA1, "kind": "WorkflowExecution", "metadata": {"name": "we"},
            "spec": {"target": {"clusterID": "eu", "kind": "Node", "name": "w"}, "workflowRef": workflow},
            "status": {"phase": "Failed", "deduplicatedBy": "other", "observedGeneration": 1, "workflowName": "y", "ephemeralCredentialIDs": [1],
                "execution": {"status": "False", "retryCount": 3}, "failure": {"reason": "UnsupportedEngine", "message": "m"}}});
        let mut written = over(&object, Version::V1alpha1);
        written["status"]["failureDetails"]["reason"] = json!("TaskFailed");
        let mut expected = object.clone();
        expected["status"]["failure"]["reason"] = json!("TaskFailed");
        let back = over(&written, Version::V1beta1);
        assert_eq!(back["status"], expected["status"], "{bytes}");
        assert!(back["spec"] == expected["spec"], "{bytes}");
    }
}

/// Who writes a status does not say otherwise what the annotation keeps of it.
#[test]
fn what_the_annotation_says_goes_before_a_list() {
    let object = json!({"apiVersion": V1BETA1, "kind": "WorkflowExecution", "metadata": {"name": "we"},
        "spec": {"target": {"kind": "Node", "name": "w"}, "workflowRef": {"workflowId": "x"}},
        "status": {"phase": "Failed", "deduplicatedBy": "we-1", "failure": {"reason": "Deduplicated", "message": "m"}}});
    for operation in [
        json!({"op": "add", "path": "/status/deduplicatedBy", "value": "another"}),
        json!({"op": "remove", "path": "/status/deduplicatedBy"}),
        json!({"op": "add", "path": "/status/failure/reason", "value": "UnsupportedEngine"}),
    ] {
        let mut written = over(&object, Version::V1alpha1);
        written["status"]["legacy"] = json!({"parked": [operation]});
        assert_eq!(over(&written, Version::V1beta1)["status"], object["status"], "{operation}");
    }
}

/// C-07: whatever others have written there already, all annotations together are what the API server takes.
#[test]
fn c_07_annotations_of_others_leave_room_for_what_is_parked() {
    let parts = json!({"a": "long ".repeat(2_000), "b": vec!["x"; 500]});
    let mut objects = vec![
        json!({"apiVersion": V1BETA1, "kind": "WorkflowExecution", "metadata": {"name": "we"}, "spec": {
            "target": {"clusterID": "eu", "kind": "Node", "name": "w"},
            "workflowRef": {"workflowId": "x", "engineConfig": parts, "executionEngine": "ansible"}},
            "status": {"deduplicatedBy": "we-1", "ephemeralCredentialIDs": [1, 2], "failure": {"reason": "Deduplicated"}}}),
        json!({"apiVersion": V1ALPHA1, "kind": "WorkflowExecution", "metadata": {"name": "we"},
            "spec": {"targetResource": "no target", "executionConfig": {"timeout": "soon"}},
            "status": {"failureDetails": {"reason": "R".repeat(30_000)}, "conditions": vec![json!({"type": "A", "message": "m".repeat(90)}); 300]}}),
        json!({"apiVersion": V1ALPHA1, "kind": "WorkflowExecution", "metadata": {"name": "we"},
            "spec": {"targetResource": "a/B/c", "workflowRef": {"workflowId": "w", "version": "1"}}}),
    ];
    objects.extend(KINDS.iter().flat_map(|kind| SHAPES.map(|shape| golden(kind.name, &format!("{shape}.v1beta1")))));
    objects.extend(KINDS.iter().map(|kind| golden(kind.name, "2025-12")));
    objects.extend(KINDS.iter().map(|kind| golden(kind.name, "hub")));
    for (offset, object) in objects.into_iter().enumerate() {
        let schemas = schemas(object["kind"].as_str().unwrap());
        let schema = schema_of(&schemas);
        let lefts = (offset % 5..100).step_by(5).chain([117, 118, 119, 200, 500, 5_000, 20_000, 200_000]);
        for left in lefts {
            let mut object = object.clone();
            if !object["metadata"]["annotations"].is_object() {
                object["metadata"]["annotations"] = json!({});
            }
            let free = ANNOTATIONS_MAX_BYTES - annotated(&object["metadata"]) - "a/b".len();
            object["metadata"]["annotations"]["a/b"] = json!("x".repeat(free.saturating_sub(left)));
            let there = over(&object, other(&object).1);
            assert_eq!(there["metadata"]["annotations"]["a/b"], object["metadata"]["annotations"]["a/b"]);
            comes_home(&object, &schema, &format!("{left} bytes left"));
        }
    }
}

/// C-07: what stands in the annotation by chance, and would be longer there by what is escaped.
#[test]
fn c_07_an_annotation_that_is_not_ours_is_kept_within_the_limit() {
    for kind in KINDS {
        let schemas = schemas(kind.name);
        let schema = schema_of(&schemas);
        for object in [golden(kind.name, "hub"), golden(kind.name, "2025-12")] {
            for text in ["\"".repeat(130_000), "\u{1}\n".repeat(130_000), "é".repeat(131_000), "{".repeat(262_000)] {
                let mut object = object.clone();
                annotate(&mut object, &text);
                comes_home(&object, &schema, &text[..20]);
            }
            let (home, _) = other(&object);
            for shape in ["1.5.7", "9"] {
                let patch = json!([{"op": "add", "path": "/spec/x", "value": "\"".repeat(60_000)}]);
                let mut object = object.clone();
                annotate(
                    &mut object,
                    &json!({"home": home.other().as_str(), "shape": shape, "patch": patch}).to_string(),
                );
                comes_home(&object, &schema, shape);
            }
        }
    }
}

/// A status is written by another than who may write a spec, and must not be a way to one.
#[test]
fn what_a_status_keeps_says_nothing_of_a_spec() {
    for marked in [false, true] {
        let mut object = json!({"apiVersion": V1ALPHA1, "kind": "WorkflowExecution", "metadata": {"name": "we", "annotations": {"a": "b"}},
            "spec": {"targetResource": "Node/w", "workflowRef": {"workflowId": "w"}}, "status": {"phase": "Running"}});
        let plain = over(&object, Version::V1beta1);
        let add = |path: &str, value: Value| json!({"op": "add", "path": path, "value": value});
        let forged = add(
            "/metadata/annotations/lockkeeper.kubernaut.ai~1legacy",
            json!(
                json!({"home": "v1alpha1", "patch": [add("/spec/executionConfig", json!({"timeout": "x"}))]})
                    .to_string()
            ),
        );
        let mut list = vec![
            add("/spec/target/clusterID", json!("elsewhere")),
            add("/spec/workflowRef/engineConfig", json!({})),
            forged,
        ];
        if marked {
            list.insert(0, json!({"home": "v1beta1"}));
        } else {
            annotate(&mut object, r#"{"home":"v1beta1","patch":[]}"#);
        }
        object["status"]["legacy"] = json!({"parked": list});
        let there = over(&object, Version::V1beta1);
        assert_eq!(there["spec"], plain["spec"], "{there}");
        let again = over(&there, Version::V1alpha1);
        assert_eq!(again["spec"], object["spec"], "{again}");
    }
}
