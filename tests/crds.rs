//! The CRDs that we ship: fresh in the chart, readable, `v1alpha1` of the shape that Kubernaut shipped in December 2025,
//! `v1beta1` of that of August 2026 under the names of the hub.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, ServiceReference, WebhookClientConfig,
};
use lockkeeper::api::crds;
use lockkeeper::convert::{KINDS, Kind};
use serde_json::{Value, json};

/// Both versions, as the chart has them: it fills in who converts.
fn both() -> Vec<CustomResourceDefinition> {
    let service = ServiceReference {
        namespace: "namespace".into(),
        name: "service".into(),
        path: Some("/convert".into()),
        port: Some(443),
    };
    crds::all(&WebhookClientConfig { service: Some(service), ..Default::default() })
}

fn forms() -> [(&'static str, Vec<CustomResourceDefinition>); 2] {
    [("crds", crds::v1alpha1()), ("crds-conversion", both())]
}

/// A version of a kind, as the YAML says it.
fn schema(form: &[CustomResourceDefinition], kind: &str, version: &str) -> Value {
    let files = crds::yaml_files(form).into_iter().map(|(_, yaml)| serde_saphyr::from_str::<Value>(&yaml).unwrap());
    let crd = files.into_iter().find(|crd| crd["spec"]["names"]["kind"] == kind).unwrap();
    let versions = crd["spec"]["versions"].as_array().unwrap();
    versions.iter().find(|served| served["name"] == version).unwrap()["schema"]["openAPIV3Schema"].clone()
}

#[test]
fn the_charts_copies_are_fresh() {
    for (folder, form) in forms() {
        for (name, yaml) in crds::yaml_files(&form) {
            let file = format!("charts/lockkeeper/files/{folder}/{name}");
            let stored = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file)).unwrap_or_default();
            assert!(stored == yaml, "{file} is stale: run `make generated`");
        }
    }
}

#[test]
fn the_stream_is_the_files() {
    for (_, form) in forms() {
        let files: String = crds::yaml_files(&form).into_iter().map(|(_, yaml)| format!("---\n{yaml}")).collect();
        assert_eq!(crds::yaml_stream(&form), files);
    }
}

#[test]
fn yaml_says_what_the_types_say() {
    for (_, form) in forms() {
        for ((_, yaml), crd) in crds::yaml_files(&form).iter().zip(&form) {
            let read: Value = serde_saphyr::from_str(yaml).unwrap();
            let patterns = |tree: &Value| {
                let mut found = Vec::new();
                walk(tree, &mut |node| found.extend(node.get("pattern").cloned()));
                found
            };
            assert_eq!(patterns(&read), patterns(&serde_json::to_value(crd).unwrap()));
        }
    }
}

#[test]
fn every_member_can_be_explained() {
    for kind in KINDS {
        for version in ["v1alpha1", "v1beta1"] {
            let silent: Vec<_> = properties(&schema(&both(), kind.name, version))
                .into_iter()
                .filter(|(path, node)| node.get("description").is_none() && !path.ends_with("[]"))
                .filter(|(path, _)| path.starts_with('s') && *path != "status" || path.is_empty())
                .map(|(path, _)| path)
                .collect();
            assert_eq!(silent, Vec::<String>::new(), "{} {version}", kind.name);
        }
    }
}

#[test]
fn both_versions_are_served_and_the_hub_is_stored() {
    for (_, yaml) in crds::yaml_files(&both()) {
        let crd: Value = serde_saphyr::from_str(&yaml).unwrap();
        let said = |member: &str| -> Vec<Value> {
            crd["spec"]["versions"].as_array().unwrap().iter().map(|version| version[member].clone()).collect()
        };
        assert_eq!(said("name"), ["v1beta1", "v1alpha1"]);
        assert_eq!(said("served"), [true, true]);
        assert_eq!(said("storage"), [true, false]);
        assert_eq!(said("subresources"), [json!({"status": {}}), json!({"status": {}})]);
        assert_eq!(crd["spec"]["names"]["categories"], json!(["kubernaut"]));
        let short = if crd["spec"]["names"]["kind"] == "WorkflowExecution" { "wfe" } else { "rr" };
        assert_eq!(crd["spec"]["names"]["shortNames"], json!([short]));
        assert_eq!(crd["spec"]["conversion"]["strategy"], "Webhook");
        assert_eq!(crd["spec"]["conversion"]["webhook"]["conversionReviewVersions"], json!(["v1"]));
    }
}

#[test]
fn the_spec_of_the_hub_never_changes() {
    let rules = json!([{"message": "spec is immutable", "rule": "self == oldSelf"}]);
    for kind in KINDS {
        assert_eq!(schema(&both(), kind.name, "v1beta1")["properties"]["spec"]["x-kubernetes-validations"], rules);
        assert!(schema(&both(), kind.name, "v1alpha1")["properties"]["spec"].get("x-kubernetes-validations").is_none());
    }
}

/// What we say otherwise than upstream, and why.
fn differs_on_purpose(member: &str) -> bool {
    // The words are our own; children are compared by their own paths.
    matches!(member, "description" | "properties" | "items")
}

#[test]
fn v1alpha1_is_that_of_december_2025() {
    let Some(theirs) = upstream("kubernaut-2025-12") else { return };
    for (_, form) in forms() {
        for kind in KINDS {
            let ours = properties(&schema(&form, kind.name, "v1alpha1"));
            let theirs = properties(&theirs(kind.name));
            let mut differences = Vec::new();
            for path in ours.keys().chain(theirs.keys()).filter(|path| !common(path) && !is_overflow(path)) {
                match (ours.get(path), theirs.get(path)) {
                    (Some(our), Some(their)) => differences.extend(compare(path, our, their)),
                    (None, _) => differences.push(format!("{path}: only theirs")),
                    (_, None) => differences.push(format!("{path}: only ours")),
                }
            }
            assert_eq!(differences, Vec::<String>::new(), "{}", kind.name);
        }
    }
}

/// What `v1alpha1` has beside the members of December 2025.
fn is_overflow(path: &str) -> bool {
    ["spec.legacy", "status.legacy"].iter().any(|place| below(path, place).is_some())
}

/// What every kind of Kubernetes has.
fn common(path: &str) -> bool {
    ["apiVersion", "kind", "metadata"].contains(&path)
}

fn compare(path: &str, our: &Value, their: &Value) -> Vec<String> {
    let keys = |node: &Value| node.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mut all: Vec<_> = keys(our).into_iter().chain(keys(their)).collect();
    all.sort();
    all.dedup();
    all.into_iter()
        .filter(|key| !differs_on_purpose(key))
        // An explicit width of an integer; upstream's Go int has none. Both take what the other takes.
        .filter(|key| !(key == "format" && our[key] == "int64" && their[key].is_null()))
        .filter(|key| sorted(&our[key]) != sorted(&their[key]))
        // Our root has no `required` list beside spec, which upstream leaves optional.
        .filter(|key| !(path.is_empty() && key == "required"))
        .map(|key| format!("{path}: {key}: {} here, {} there", our[&key], their[&key]))
        .collect()
}

/// Lists whose order means nothing, and numbers whose form means nothing.
fn sorted(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let mut items: Vec<_> = items.iter().map(ToString::to_string).collect();
            items.sort();
            items.join(",")
        }
        Value::Number(number) => format!("{}", number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}

/// Every node of a schema by its path.
fn properties(schema: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    collect(schema, String::new(), &mut found);
    found
}

fn collect(node: &Value, path: String, found: &mut BTreeMap<String, Value>) {
    for (name, child) in node["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        collect(child, path, found);
    }
    if node["items"].is_object() {
        collect(&node["items"], format!("{path}[]"), found);
    }
    found.insert(path, node.clone());
}

fn walk(node: &Value, visit: &mut impl FnMut(&Value)) {
    match node {
        Value::Object(members) => {
            visit(node);
            members.values().for_each(|child| walk(child, visit));
        }
        Value::Array(items) => items.iter().for_each(|child| walk(child, visit)),
        _ => {}
    }
}

/// The schema of a kind as Kubernaut shipped it, where it is present.
fn upstream(folder: &str) -> Option<impl Fn(&str) -> Value> {
    let shared = std::env::var_os("LOCKKEEPER_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let folder = shared.join("upstream").join(folder);
    if !folder.exists() {
        let _ = writeln!(std::io::stderr().lock(), "skipped: no upstream CRDs at {}", folder.display());
        return None;
    }
    Some(move |kind: &str| {
        let file = folder.join(format!("kubernaut.ai_{}s.yaml", kind.to_lowercase()));
        let crd: Value = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    })
}

// The hub.

/// Where the hub has a member that the shape of `v1alpha1` at this place of the table has, if it has it elsewhere.
fn in_the_hub(kind: &Kind, shape: usize, path: &str) -> Option<String> {
    let target = |rest: &str| format!("spec.target{rest}");
    match path {
        "spec.targetResource" if kind.name == "WorkflowExecution" => return Some(target("")),
        "spec.clusterID" if kind.name == "WorkflowExecution" => return Some(target(".clusterID")),
        // What is left of a group whose members have their own rows.
        "status.executionStatus" => return Some("status.execution".into()),
        "status.routingStatus" => return Some("status.routing".into()),
        "status.completionStatus" => return Some("status.completion".into()),
        _ => {}
    }
    let rows = kind.rows.iter().filter_map(|row| Some((row.hub, below(path, row.v1alpha1[shape]?)?)));
    rows.max_by_key(|(_, rest)| std::cmp::Reverse(rest.len())).map(|(hub, rest)| format!("{hub}{rest}"))
}

/// What follows on a place in the path of something in it.
fn below<'a>(path: &'a str, place: &str) -> Option<&'a str> {
    path.strip_prefix(place).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Members of the hub that August 2026 has not.
const OF_THE_HUB: [&str; 5] =
    ["spec.legacy", "status.legacy", "spec.target.kind", "spec.target.name", "spec.target.namespace"];

fn of_the_hub(path: &str) -> bool {
    OF_THE_HUB.iter().any(|place| below(path, place).is_some())
}

#[test]
fn the_hub_has_what_august_2026_has_and_no_more() {
    let Some(theirs) = upstream("kubernaut-2026-08") else { return };
    for kind in KINDS {
        let ours = properties(&schema(&both(), kind.name, "v1beta1"));
        let mut rest: BTreeSet<_> = ours.keys().filter(|path| !common(path)).cloned().collect();
        let mut differences = Vec::new();
        for (path, their) in properties(&theirs(kind.name)).iter().filter(|(path, _)| !common(path)) {
            let place = in_the_hub(kind, 2, path).unwrap_or_else(|| path.clone());
            let Some(our) = ours.get(&place) else {
                differences.push(format!("{place} is missing, {path} upstream"));
                continue;
            };
            rest.remove(&place);
            // One string there, an object here.
            if place == "spec.target" {
                continue;
            }
            // Free JSON is an object here, as every engine has it.
            let ours_alone = place == "spec.workflowRef.engineConfig";
            // An allOf of the same list twice.
            let values =
                |node: &Value| sorted(if node["allOf"].is_null() { &node["enum"] } else { &node["allOf"][0]["enum"] });
            if !ours_alone && our["type"] != their["type"] || values(our) != values(their) {
                differences.push(format!("{place}: {our} here, {their} there"));
            }
            let same =
                ["pattern", "nullable", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-map-type", "minLength"];
            for key in same.into_iter().filter(|key| our[key] != their[key]) {
                // A target has no slash, names of objects have the form that Kubernetes gives them.
                if key != "pattern" || !their[key].is_null() {
                    differences.push(format!("{place}: {key}: {} here, {} there", our[key], their[key]));
                }
            }
            let at_most = |node: &Value| node["maxLength"].as_u64().unwrap_or(u64::MAX);
            if at_most(our) > at_most(their) {
                differences.push(format!("{place}: longer than upstream"));
            }
        }
        let rest: Vec<_> = rest.into_iter().filter(|path| !of_the_hub(path)).collect();
        assert_eq!((differences, rest), (Vec::<String>::new(), Vec::<String>::new()), "{}", kind.name);
    }
}

#[test]
fn the_table_and_the_schemas_name_the_same_members() {
    for kind in KINDS {
        let hub = properties(&schema(&both(), kind.name, "v1beta1"));
        let december = properties(&schema(&both(), kind.name, "v1alpha1"));
        let mut strays = Vec::new();
        for row in kind.rows {
            let there = row.v1alpha1[0].is_none_or(|place| december.contains_key(place));
            if !hub.contains_key(row.hub) || !there {
                strays.push(format!("{row:?}"));
            }
        }
        for path in hub.keys().filter(|path| !common(path) && !of_the_hub(path)) {
            let told = kind.rows.iter().any(|row| below(path, row.hub).is_some() || below(row.hub, path).is_some());
            if !told && !december.contains_key(path) && !path.starts_with("spec.target") {
                strays.push(format!("{path} of the hub is in no row and not in v1alpha1"));
            }
        }
        for path in december.keys().filter(|path| !common(path) && !is_overflow(path)) {
            let place = in_the_hub(kind, 0, path).unwrap_or_else(|| path.clone());
            // Groups whose members go elsewhere, and the timeout, which becomes the deadline.
            let gone = ["spec.executionConfig", "spec.executionConfig.timeout", "status.pipelineRunStatus"];
            if !hub.contains_key(&place) && !gone.contains(&&**path) {
                strays.push(format!("{path} of v1alpha1 has no place in the hub"));
            }
        }
        assert_eq!(strays, Vec::<String>::new(), "{}", kind.name);
    }
}

#[test]
fn the_hub_is_structural() {
    for kind in KINDS {
        let schema = schema(&both(), kind.name, "v1beta1");
        for (path, node) in properties(&schema) {
            let typed = node["type"].is_string() || node["x-kubernetes-int-or-string"] == true;
            assert!(typed, "{path} has no type");
            // A default would make an object another one on its way.
            for key in ["default", "$ref", "anyOf", "oneOf", "allOf", "not"] {
                assert!(node.get(key).is_none(), "{path} has {key}");
            }
            assert_eq!(node.get("nullable").is_some(), path.ends_with("declaredParameterNames"), "{path}");
            assert!(!(node["properties"].is_object() && node["additionalProperties"].is_object()), "{path}");
            for key in node["x-kubernetes-list-map-keys"].as_array().into_iter().flatten() {
                assert!(node["items"]["required"].as_array().unwrap().contains(key), "{path} lacks its key");
            }
            for name in node["required"].as_array().into_iter().flatten() {
                assert!(node["properties"].get(name.as_str().unwrap()).is_some(), "{path} requires {name}");
            }
        }
    }
}

/// What is free in the hub by its nature; an object that has much of it has no room in `v1alpha1`.
const FREE: [&str; 3] = ["spec.legacy", "spec.workflowRef.engineConfig", "status.legacy"];

#[test]
fn what_v1alpha1_cannot_say_fits_into_an_annotation() {
    let mut free = BTreeSet::new();
    for kind in KINDS {
        let hub = properties(&schema(&both(), kind.name, "v1beta1"));
        let december = properties(&schema(&both(), kind.name, "v1alpha1"));
        let mut parked = BTreeMap::new();
        for (path, node) in hub.iter().filter(|(path, _)| !common(path) && !path.is_empty()) {
            if node["x-kubernetes-preserve-unknown-fields"] == true {
                free.insert(path.clone());
                continue;
            }
            let counted = path.match_indices(['.', '[']).any(|(end, _)| parked.contains_key(&path[..end]));
            let parts = node["properties"].is_object() && has_a_place(kind, &december, path);
            if counted || parts || has_a_place(kind, &december, path) && says_no_more(kind, node, &december, path) {
                continue;
            }
            let size = size(node).unwrap_or_else(|what| panic!("{path} has no place in v1alpha1 and no bound: {what}"));
            parked.insert(path.clone(), size + path.len() + OPERATION);
        }
        let sum: usize = parked.values().sum();
        assert!(sum > 10_000, "{}: {parked:?}", kind.name);
        assert!(sum <= 128 * 1024, "{}: {sum} bytes: {parked:#?}", kind.name);
    }
    assert_eq!(free.into_iter().collect::<Vec<_>>(), FREE);
}

/// `{"op":"add","path":"/","value":},`
const OPERATION: usize = 40;

/// Whether `v1alpha1` has this member, or a part of it.
fn has_a_place(kind: &Kind, december: &BTreeMap<String, Value>, path: &str) -> bool {
    if kind.name == "WorkflowExecution" && path.starts_with("spec.target") {
        return path != "spec.target.clusterID";
    }
    match december_place(kind, path) {
        Some(place) => place.is_some(),
        None => {
            december.contains_key(path)
                || kind.rows.iter().any(|row| below(row.hub, path).is_some() && row.v1alpha1[0].is_some())
        }
    }
}

/// Where the table has it; None: no row is about it.
fn december_place(kind: &Kind, path: &str) -> Option<Option<String>> {
    let row = kind.rows.iter().find(|row| below(path, row.hub).is_some())?;
    Some(row.v1alpha1[0].map(|place| format!("{place}{}", &path[row.hub.len()..])))
}

/// Whether `v1alpha1` takes each of its values.
fn says_no_more(kind: &Kind, node: &Value, december: &BTreeMap<String, Value>, path: &str) -> bool {
    let place = december_place(kind, path).flatten().unwrap_or_else(|| path.to_owned());
    let Some(there) = december.get(&place).and_then(|there| there["enum"].as_array()) else { return true };
    node["enum"].as_array().is_some_and(|values| values.iter().all(|value| there.contains(value)))
}

/// The most bytes that a value takes as JSON.
fn size(node: &Value) -> Result<usize, String> {
    let bound = |key: &str| {
        node[key].as_u64().and_then(|bound| usize::try_from(bound).ok()).ok_or(format!("no {key} in {node}"))
    };
    if let Some(values) = node["enum"].as_array() {
        return Ok(values.iter().map(|value| value.to_string().len()).max().unwrap_or_default());
    }
    match node["type"].as_str() {
        Some("boolean") => Ok("false".len()),
        Some("integer") => Ok(i64::MIN.to_string().len()),
        Some("number") => Ok(f64::MIN_POSITIVE.to_string().len()),
        Some("array") => Ok(bound("maxItems")? * (size(&node["items"])? + 1) + 2),
        Some("object") if node["additionalProperties"].is_object() => {
            let rule = node["x-kubernetes-validations"][0]["rule"].as_str().unwrap_or_default();
            let key = rule.strip_prefix("self.all(name, name.size() <= ").and_then(|rule| rule.strip_suffix(')'));
            let key = key.and_then(|key| key.parse::<usize>().ok()).ok_or(format!("no bound of names in {node}"))?;
            Ok(bound("maxProperties")? * (key * ESCAPED + 4 + size(&node["additionalProperties"])?) + 2)
        }
        Some("object") if node["properties"].is_object() => {
            let members = node["properties"].as_object().unwrap().iter();
            members
                .map(|(name, member)| Ok(name.len() + 4 + size(member)?))
                .sum::<Result<usize, String>>()
                .map(|sum| sum + 2)
        }
        _ => {
            let each = if node["pattern"].as_str().is_some_and(plain) { 1 } else { ESCAPED };
            Ok(bound("maxLength")? * each + 2)
        }
    }
}

/// A control character is six bytes as JSON, any other at most four.
const ESCAPED: usize = 6;

/// Whether what matches has only the characters that the pattern names, none of which JSON escapes.
fn plain(pattern: &str) -> bool {
    let whole = pattern.starts_with('^') && pattern.ends_with('$');
    let unescaped = pattern.replace(r"\.", "").replace(r"\+", "");
    whole && pattern.is_ascii() && !unescaped.contains(['.', '\\', '"']) && !unescaped.contains("[^")
}
