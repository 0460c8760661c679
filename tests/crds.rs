//! The CRDs that we ship: fresh in the chart, readable, and of the shape that Kubernaut shipped in December 2025.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use lockkeeper::api::crds;
use serde_json::Value;

#[test]
fn the_charts_copy_is_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/lockkeeper/files/crds");
    for (name, yaml) in crds::yaml_files() {
        let stored = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert!(stored == yaml, "charts/lockkeeper/files/crds/{name} is stale: run `make generated`");
    }
}

#[test]
fn the_stream_is_the_files() {
    let files: String = crds::yaml_files().into_iter().map(|(_, yaml)| format!("---\n{yaml}")).collect();
    assert_eq!(crds::yaml_stream(), files);
    assert_eq!(crds::yaml_stream(), crds::yaml_stream());
}

#[test]
fn yaml_says_what_the_types_say() {
    for ((_, yaml), crd) in crds::yaml_files().iter().zip(crds::all()) {
        let read: Value = serde_saphyr::from_str(yaml).unwrap();
        let patterns = |tree: &Value| {
            let mut found = Vec::new();
            walk(tree, &mut |_, node| found.extend(node.get("pattern").cloned()));
            found
        };
        assert_eq!(patterns(&read), patterns(&serde_json::to_value(&crd).unwrap()));
    }
}

#[test]
fn every_member_can_be_explained() {
    for (name, yaml) in crds::yaml_files() {
        let properties = properties(&serde_saphyr::from_str(&yaml).unwrap());
        let silent: Vec<_> = properties
            .iter()
            .filter(|(path, node)| {
                node.get("description").is_none() && !path.ends_with("[]") && path.starts_with(['s', '.'])
            })
            .filter(|(path, _)| !path.is_empty())
            .map(|(path, _)| path)
            .collect();
        assert_eq!(silent, Vec::<&String>::new(), "{name}");
    }
}

/// What we say otherwise than upstream, and why.
fn differs_on_purpose(member: &str) -> bool {
    // The words are our own; children are compared by their own paths.
    matches!(member, "description" | "properties" | "items")
}

#[test]
fn the_schema_is_that_of_december_2025() {
    let Some(folder) = upstream("kubernaut-2025-12") else { return };
    for (name, yaml) in crds::yaml_files() {
        let ours = properties(&serde_saphyr::from_str(&yaml).unwrap());
        let theirs =
            properties(&serde_saphyr::from_str(&std::fs::read_to_string(folder.join(&name)).unwrap()).unwrap());
        let common = |path: &str| ["apiVersion", "kind", "metadata"].contains(&path);
        let mut differences = Vec::new();
        for path in ours.keys().chain(theirs.keys()).filter(|path| !common(path)) {
            match (ours.get(path), theirs.get(path)) {
                (Some(our), Some(their)) => differences.extend(compare(path, our, their)),
                (None, _) => differences.push(format!("{path}: only theirs")),
                (_, None) => differences.push(format!("{path}: only ours")),
            }
        }
        assert_eq!(differences, Vec::<String>::new(), "{name}");
    }
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

/// Every node of the schema by its path.
fn properties(crd: &Value) -> BTreeMap<String, Value> {
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
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

fn walk(node: &Value, visit: &mut impl FnMut(&str, &Value)) {
    match node {
        Value::Object(members) => {
            visit("", node);
            members.values().for_each(|child| walk(child, visit));
        }
        Value::Array(items) => items.iter().for_each(|child| walk(child, visit)),
        _ => {}
    }
}

/// A folder of CRDs as Kubernaut ships them, where it is present.
fn upstream(folder: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("LOCKKEEPER_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let folder = shared.join("upstream").join(folder);
    if !folder.exists() {
        let _ = writeln!(std::io::stderr().lock(), "skipped: no upstream CRDs at {}", folder.display());
        return None;
    }
    Some(folder)
}
