//! What the other version cannot say: a JSON Patch (RFC 6902) that makes the object what it was, kept in an annotation until it
//! comes home. It is taken back only where it changes nothing that the version it comes from says.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Version;
use super::node::{Members, Node, set};
use super::table::Shape;

/// The annotation.
pub const LEGACY: &str = "lockkeeper.kubernaut.ai/legacy";
/// As the API server allows for all annotations of an object, names and values.
const ANNOTATIONS_MAX_BYTES: usize = 262_144;
/// No difference that a conversion makes lies deeper.
const DEPTH_MAX: usize = 12;

/// One operation: a member that has this value, or is not there.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub path: Vec<String>,
    pub value: Option<Node<'static>>,
}

/// What an object left behind when it left this version.
#[derive(Clone, Debug)]
pub(super) struct Parked {
    pub home: Version,
    pub shape: Shape,
    pub patch: Vec<Operation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    home: &'a str,
    shape: Option<&'a str>,
    #[serde(borrow)]
    patch: Vec<WrittenOperation<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenOperation<'a> {
    op: &'a str,
    path: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "given")]
    value: Option<&'a RawValue>,
}

/// Null is a value.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

impl Parked {
    /// None: it is none of ours.
    pub fn read(text: &str) -> Option<Self> {
        let Written { home, shape, patch } = serde_json::from_str(text).ok()?;
        let shape = shape.map_or(Some(Shape::default()), Shape::from_text)?;
        Some(Self { home: Version::from_text(home)?, shape, patch: operations(patch)? })
    }

    fn write(&self) -> String {
        let mut members: Members<'_> = vec![(Cow::Borrowed("home"), Node::string(self.home.as_str()))];
        if self.shape != Shape::default() {
            members.push((Cow::Borrowed("shape"), Node::string(self.shape.as_str())));
        }
        members.push((Cow::Borrowed("patch"), Node::List(self.patch.iter().map(Operation::node).collect())));
        Node::Object(members).to_string()
    }
}

fn operations(written: Vec<WrittenOperation<'_>>) -> Option<Vec<Operation>> {
    let read = |WrittenOperation { op, path, value }: WrittenOperation<'_>| {
        let path =
            path.strip_prefix('/')?.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect();
        let value = value.map(|value| Node::json(value.get()).into_owned());
        (matches!((op, &value), ("add", Some(_)) | ("remove", None))).then_some(Operation { path, value })
    };
    written.into_iter().map(read).collect()
}

impl Operation {
    fn node(&self) -> Node<'static> {
        let op = if self.value.is_some() { "add" } else { "remove" };
        let mut members =
            vec![(Cow::Borrowed("op"), Node::string(op)), (Cow::Borrowed("path"), Node::string(&self.pointer()))];
        members.extend(self.value.clone().map(|value| (Cow::Borrowed("value"), value)));
        Node::Object(members)
    }

    /// RFC 6901.
    pub fn pointer(&self) -> String {
        self.path.iter().flat_map(|token| ["/".to_owned(), token.replace('~', "~0").replace('/', "~1")]).collect()
    }

    fn first(&self) -> &str {
        self.path.first().map_or("", String::as_str)
    }

    /// Names, kinds and the metadata that the API server keeps are not the annotation's to say.
    pub fn is_ours_to_say(&self) -> bool {
        !matches!(self.first(), "apiVersion" | "kind" | "metadata")
    }

    /// The object has this value there already.
    pub fn holds(&self, object: &mut Node<'_>) -> bool {
        let found = self.path.iter().try_fold(object, |node, token| node.step(token));
        match (found, &self.value) {
            (Some(found), Some(value)) => found.same(&mut value.clone()),
            (found, value) => found.is_none() && value.is_none(),
        }
    }

    pub fn apply(&self, object: &mut Node<'_>) {
        let Some((last, parents)) = self.path.split_last() else { return };
        let place = parents.iter().try_fold(object, |node, token| node.step(token));
        let Some(place) = place else { return };
        if let Some(items) = place.items() {
            match (last.parse::<usize>(), &self.value) {
                (Ok(index), Some(value)) if index <= items.len() => items.insert(index, value.clone()),
                (Ok(index), None) if index < items.len() => drop(items.remove(index)),
                _ => {}
            }
        } else if let Some(members) = place.open() {
            match &self.value {
                Some(value) => set(members, last, value.clone()),
                None => members.retain(|(name, _)| name != last),
            }
        }
    }
}

/// What makes `base` what `wanted` is.
pub(super) fn difference(base: &mut Node<'_>, wanted: &mut Node<'_>) -> Vec<Operation> {
    let mut found = Vec::new();
    differ(base, wanted, &mut Vec::new(), &mut found);
    found
}

fn differ(base: &mut Node<'_>, wanted: &mut Node<'_>, path: &mut Vec<String>, found: &mut Vec<Operation>) {
    if base.same(wanted) {
        return;
    }
    let mut say = |path: &[String], value: Option<Node<'static>>| found.push(Operation { path: path.to_vec(), value });
    if path.len() < DEPTH_MAX
        && let (Some(before), Some(after)) = (base.open(), wanted.open())
    {
        for (name, _) in before.iter().filter(|(name, _)| !after.iter().any(|(other, _)| other == name)) {
            path.push(name.to_string());
            say(path, None);
            path.pop();
        }
        for (name, wanted) in after {
            path.push(name.to_string());
            match before.iter_mut().find(|(other, _)| other == name) {
                Some((_, base)) => differ(base, wanted, path, found),
                None => found.push(Operation { path: path.clone(), value: Some(wanted.clone().into_owned()) }),
            }
            path.pop();
        }
        return;
    }
    if let (Some(before), Some(after)) = (base.items(), wanted.items())
        && let Some(missing) = missing(before, after)
    {
        for (index, value) in missing {
            path.push(index.to_string());
            say(path, Some(value));
            path.pop();
        }
        return;
    }
    say(path, Some(wanted.clone().into_owned()));
}

/// The items that are missing from a list, with their places; None: it lacks more than items.
fn missing(before: &mut [Node<'_>], after: &mut [Node<'_>]) -> Option<Vec<(usize, Node<'static>)>> {
    let mut left = before.iter_mut().peekable();
    let mut missing = Vec::new();
    for (index, wanted) in after.iter_mut().enumerate() {
        if left.peek_mut().is_some_and(|base| base.same(wanted)) {
            left.next();
        } else {
            missing.push((index, wanted.clone().into_owned()));
        }
    }
    left.next().is_none().then_some(missing)
}

/// Takes what was parked for this version out of an object that comes from another.
pub(super) fn take(object: &mut Node<'_>, home: Version) -> Option<Parked> {
    let mut parked = object
        .at("metadata")
        .and_then(|metadata| metadata.get("annotations")?.get(LEGACY)?.text().and_then(|text| Parked::read(&text)))
        .filter(|parked| parked.home == home)?;
    strip(object);
    for place in OVERFLOW {
        let more = object.at(place).map(|more| more.to_string());
        let more = more.as_deref().and_then(|more| serde_json::from_str(more).ok()).and_then(operations);
        if let Some(more) = more {
            object.take(place);
            parked.patch.extend(more);
        }
    }
    Some(parked)
}

/// Where there is no room in the annotations, what belongs to the spec stays in the spec, and so the status.
const OVERFLOW: [&str; 2] = ["spec.legacy.parked", "status.legacy.parked"];

/// Takes the annotation away, and what it was put into.
pub(super) fn strip(object: &mut Node<'_>) {
    let Some(metadata) = object.get("metadata") else { return };
    let Some(annotations) = metadata.get("annotations").and_then(Node::open) else { return };
    let before = annotations.len();
    annotations.retain(|(name, _)| name != LEGACY);
    if annotations.is_empty() && before > 0 {
        metadata.take("annotations");
    }
}

/// The metadata as it is when the annotation was there and is taken away.
pub(super) fn as_stripped(object: &mut Node<'_>) {
    if !object.get("metadata").is_some_and(Node::is_object) {
        object.put("metadata", Node::empty());
    }
    strip(object);
    let Some(metadata) = object.get("metadata") else { return };
    if !metadata.get("annotations").is_some_and(|annotations| annotations.is_object() && !annotations.is_empty_object())
    {
        metadata.take("annotations");
    }
}

/// Puts the annotation on.
pub(super) fn put(object: &mut Node<'_>, mut parked: Parked) {
    if !object.get("metadata").is_some_and(Node::is_object) {
        object.put("metadata", Node::empty());
    }
    let Some(metadata) = object.get("metadata") else { return };
    if !metadata.get("annotations").is_some_and(Node::is_object) {
        metadata.put("annotations", Node::empty());
    }
    let others = metadata.get("annotations").and_then(Node::open).map_or(0, |annotations| {
        let others = annotations.iter().filter(|(name, _)| name != LEGACY);
        others.map(|(name, value)| name.len() + value.text().map_or(0, |text| text.len())).sum()
    });
    let room = ANNOTATIONS_MAX_BYTES.saturating_sub(others + LEGACY.len());
    let mut text = parked.write();
    let [mut of_spec, mut of_status] = [Vec::new(), Vec::new()];
    while text.len() > room
        && let Some(largest) = largest(&parked.patch)
    {
        let operation = parked.patch.remove(largest);
        if operation.first() == "status" {
            of_status.push(operation);
        } else {
            of_spec.push(operation);
        }
        text = parked.write();
    }
    if let Some(annotations) = object.get("metadata").and_then(|metadata| metadata.get("annotations")?.open()) {
        set(annotations, LEGACY, Node::string(&text));
    }
    for (place, operations) in
        OVERFLOW.into_iter().zip([of_spec, of_status]).filter(|(_, operations)| !operations.is_empty())
    {
        object.put(place, Node::List(operations.iter().map(Operation::node).collect()));
    }
}

/// The operation that takes the most room and can stay elsewhere.
fn largest(patch: &[Operation]) -> Option<usize> {
    let size = |operation: &Operation| operation.node().to_string().len();
    let movable = |operation: &Operation| matches!(operation.first(), "spec" | "status") && operation.path.len() > 1;
    let movable = patch.iter().enumerate().filter(|(_, operation)| movable(operation));
    movable.max_by_key(|(_, operation)| size(operation)).map(|(at, _)| at)
}

/// Whether there were annotations, or metadata at all, before ours was put there; no more of them is the annotation's to say.
pub(super) fn restore_metadata(object: &mut Node<'_>, patch: &[Operation]) {
    for operation in patch {
        let path: Vec<&str> = operation.path.iter().map(String::as_str).collect();
        let mut value = operation.value.clone();
        let metadata = object.get("metadata");
        let fits = match (&path[..], &mut value) {
            (["metadata"], value) => {
                value.as_ref().is_none_or(Node::is_null) && metadata.is_none_or(Node::is_empty_object)
            }
            (["metadata", "annotations"], Some(value)) => {
                (value.is_null() || value.is_empty_object())
                    && metadata.is_some_and(|metadata| metadata.get("annotations").is_none())
            }
            (["metadata", "annotations", LEGACY], Some(_)) => true,
            _ => false,
        };
        if !fits {
            continue;
        }
        if path.len() == 3 && object.at("metadata").is_some_and(|metadata| metadata.get("annotations").is_none()) {
            object.put("metadata.annotations", Node::empty());
        }
        operation.apply(object);
    }
}
