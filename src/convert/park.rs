//! What the other version cannot say: a patch that makes the object what it was, kept in an annotation until it comes home. It is
//! taken back only where it changes nothing that the version it comes from says.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::node::{Members, Names, Node, set};
use super::patch::{DEPTH_MAX, Operation, WrittenOperation, apply, missing, operations};
use super::table::Shape;
use super::{Landing, Version};

/// The annotation.
pub const LEGACY: &str = "lockkeeper.kubernaut.ai/legacy";
/// As the API server allows for all annotations of an object, names and values.
const ANNOTATIONS_MAX_BYTES: usize = 262_144;
/// Where there is no room in the annotations, what belongs to the spec stays in the spec, and so the status.
const OVERFLOW: [Overflow; 2] = [
    Overflow { group: "spec", legacy: "spec.legacy", parked: "spec.legacy.parked" },
    Overflow { group: "status", legacy: "status.legacy", parked: "status.legacy.parked" },
];

struct Overflow {
    group: &'static str,
    legacy: &'static str,
    parked: &'static str,
}

impl Overflow {
    /// A status is written by another than who may write a spec, and must not be a way to one.
    fn takes(&self, operation: &Operation<'_>) -> bool {
        let belongs = operation.root() == self.group && operation.path.len() > 1;
        belongs || self.group == "spec" && is_annotation(operation)
    }
}

/// It says that an annotation of our name stood there, which was not ours.
fn is_annotation(operation: &Operation<'_>) -> bool {
    matches!(&operation.path[..], [metadata, annotations, name] if metadata == "metadata" && annotations == "annotations" && name == LEGACY)
}

/// What an object left behind when it left this version.
#[derive(Clone, Debug)]
pub(super) struct Parked<'a> {
    pub home: Version,
    pub shape: Shape,
    pub patch: Vec<Operation<'a>>,
}

/// Whose it is: as it stands in the annotation, or before what it is the mark of where even the annotation has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    home: Version,
    shape: Shape,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    home: &'a str,
    shape: Option<&'a str>,
    #[serde(borrow, default)]
    patch: Option<Vec<WrittenOperation<'a>>>,
}

impl Mark {
    /// None: no version has such a shape.
    fn read(home: &str, shape: Option<&str>) -> Option<Self> {
        let (home, shape) = (Version::from_text(home)?, shape.map(Shape::from_text));
        let shape = match (home, shape) {
            (_, None) => Shape::default(),
            (Version::V1alpha1, Some(shape)) => shape?,
            (Version::V1beta1, Some(_)) => return None,
        };
        Some(Self { home, shape })
    }

    fn is_for(self, landing: Landing) -> bool {
        match landing {
            Landing::Served(version) => self == Self { home: version, shape: Shape::default() },
            Landing::Home(version) => self.home == version,
        }
    }

    fn members(self) -> Members<'static> {
        let home = (Cow::Borrowed("home"), Node::string(self.home.as_str()));
        let shape = (Cow::Borrowed("shape"), Node::string(self.shape.as_str()));
        if self.shape == Shape::default() { vec![home] } else { vec![home, shape] }
    }
}

impl<'a> Parked<'a> {
    /// None: it is none of ours.
    fn read(text: &'a str) -> Option<Self> {
        let Written { home, shape, patch } = serde_json::from_str(text).ok()?;
        let Mark { home, shape } = Mark::read(home, shape)?;
        Some(Self { home, shape, patch: operations(patch?)? })
    }

    fn mark(&self) -> Mark {
        Mark { home: self.home, shape: self.shape }
    }

    fn write(&self) -> String {
        let mut members = self.mark().members();
        members.push((Cow::Borrowed("patch"), Node::List(self.patch.iter().map(Operation::node).collect())));
        Node::Object(members).to_string()
    }
}

/// What a list says that is kept outside the annotation, and whose it is if it says so itself.
fn kept(text: &str) -> Option<(Option<Mark>, Vec<Operation<'_>>)> {
    let mut items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    let first = items.first().and_then(|first| serde_json::from_str::<Written<'_>>(first.get()).ok());
    let mark = first.filter(|first| first.patch.is_none()).and_then(|first| Mark::read(first.home, first.shape));
    if mark.is_some() {
        items.remove(0);
    }
    let written: Result<_, _> = items.into_iter().map(|item| serde_json::from_str(item.get())).collect();
    Some((mark, operations(written.ok()?)?))
}

/// Whether `said` says nothing else than `visible`, but for what `source` says too.
pub(super) fn is_harmless(visible: &mut Node<'_>, said: &mut Node<'_>, source: &mut Node<'_>) -> bool {
    harmless(visible, said, Some(source), DEPTH_MAX)
}

fn harmless(visible: &mut Node<'_>, said: &mut Node<'_>, source: Option<&mut Node<'_>>, depth: usize) -> bool {
    if said.same(visible) {
        return true;
    }
    // All that it does not say is not there to agree with.
    let Some(source) = source else { return false };
    if said.same(source) {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else { return false };
    if let (Some(visible), Some(said), Some(source)) = (visible.open(), said.open(), source.open()) {
        let (of_visible, of_said, of_source) = (Names::default(), Names::default(), Names::default());
        return visible.iter().enumerate().all(|(place, (name, _))| {
            of_said.find(said, name, place).is_some() || of_source.find(source, name, place).is_none()
        }) && said.iter_mut().enumerate().all(|(place, (name, said))| {
            let at = of_source.find(source, name, place);
            let source = at.and_then(|at| source.get_mut(at)).map(|(_, source)| source);
            match of_visible.find(visible, name, place).and_then(|at| visible.get_mut(at)) {
                Some((_, visible)) => harmless(visible, said, source, depth),
                None => source.is_some_and(|source| said.same(source)),
            }
        });
    }
    if let (Some(visible), Some(said), Some(source)) = (visible.items(), said.items(), source.items())
        && let Some(more) = missing(visible, said)
    {
        return more.into_iter().all(|(index, mut more)| source.get_mut(index).is_some_and(|source| more.same(source)));
    }
    false
}

/// What stands in the annotation.
pub(super) fn annotation(object: &mut Node<'_>) -> Option<String> {
    annotation_of(object)?.text().map(Cow::into_owned)
}

fn annotation_of<'n, 'a>(object: &'n mut Node<'a>) -> Option<&'n mut Node<'a>> {
    object.get("metadata")?.get("annotations")?.get(LEGACY)
}

/// Takes what was parked for this version out of an object that comes from another, whose annotation this is.
pub(super) fn take<'a>(object: &mut Node<'a>, annotation: Option<&'a str>, landing: Landing) -> Option<Parked<'a>> {
    let mut parked = match annotation {
        Some(text) => Some(Parked::read(text).filter(|parked| parked.mark().is_for(landing))?),
        None => None,
    };
    let mut lists = Vec::new();
    for place in OVERFLOW {
        let Some(Node::Text(Cow::Borrowed(text))) = object.at(place.parked) else { continue };
        let Some((mark, operations)) = kept(text) else { continue };
        match (&mut parked, mark.filter(|mark| mark.is_for(landing))) {
            (Some(parked), found) if annotation.is_none() == (found == Some(parked.mark())) => {}
            (none @ None, Some(Mark { home, shape })) => *none = Some(Parked { home, shape, patch: Vec::new() }),
            _ => continue,
        }
        object.take(place.parked);
        // What was made for it goes with it.
        if object.at(place.legacy).is_some_and(Node::is_empty_object) {
            object.take(place.legacy);
        }
        lists.extend(operations.into_iter().filter(|operation| place.takes(operation)));
    }
    // What the annotation says of a member goes before what a list says of it.
    if let Some(parked) = &mut parked {
        lists.append(&mut parked.patch);
        parked.patch = lists;
    }
    if annotation.is_some() {
        strip(object);
    }
    parked
}

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

/// Where an annotation of our name stood that was not ours, it is said by its own place.
pub(super) fn as_annotated(object: &mut Node<'_>, wanted: &mut Node<'_>) {
    let Some(metadata) = object.get("metadata") else { return };
    if annotation_of(wanted).is_some() && metadata.get("annotations").is_none() {
        metadata.put("annotations", Node::empty());
    }
}

/// Puts the annotation on.
pub(super) fn put<'a>(object: &mut Node<'a>, mut parked: Parked<'a>) {
    if !object.get("metadata").is_some_and(Node::is_object) {
        object.put("metadata", Node::empty());
    }
    let room = ANNOTATIONS_MAX_BYTES.saturating_sub(of_others(object) + LEGACY.len());
    let mut lists = OVERFLOW
        .into_iter()
        .filter(|place| object.get(place.group).is_some_and(Node::is_object))
        .map(|place| (place, Vec::new()))
        .collect::<Vec<_>>();
    let mut text = parked.write();
    if text.len() > room {
        let movable = |operation: &Operation<'_>| lists.iter().any(|(place, _)| place.takes(operation));
        let goes = elsewhere(&parked.patch, text.len() - room, &movable);
        for (operation, goes) in std::mem::take(&mut parked.patch).into_iter().zip(goes) {
            match lists.iter_mut().find(|(place, _)| goes && place.takes(&operation)) {
                Some((_, list)) => list.push(operation.node()),
                None => parked.patch.push(operation),
            }
        }
        text = parked.write();
    }
    // Where not even an empty patch has room, the lists say themselves whose they are.
    let marked = text.len() > room && parked.patch.is_empty() && !lists.is_empty();
    if marked {
        let empty = lists.iter().all(|(_, list)| list.is_empty());
        for (at, (_, list)) in lists.iter_mut().enumerate() {
            if !list.is_empty() || (empty && at == 0) {
                list.insert(0, Node::Object(parked.mark().members()));
            }
        }
    } else if let Some(metadata) = object.get("metadata") {
        if !metadata.get("annotations").is_some_and(Node::is_object) {
            metadata.put("annotations", Node::empty());
        }
        if let Some(annotations) = metadata.get("annotations").and_then(Node::open) {
            set(annotations, LEGACY, Node::string(&text));
        }
    }
    for (place, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        object.put(place.parked, Node::List(list));
    }
}

/// Bytes of the annotations that are not ours.
fn of_others(object: &mut Node<'_>) -> usize {
    let annotations = object.get("metadata").and_then(|metadata| metadata.get("annotations")?.open());
    let others = annotations.into_iter().flatten().filter(|(name, _)| name != LEGACY);
    others.map(|(name, value)| name.len() + value.text().map_or(0, |text| text.len())).sum()
}

/// The operations that stay elsewhere so that there are so many bytes less: those that take the most, no more than needed.
/// Items of one list go together, since each one's place counts on those before it.
fn elsewhere(patch: &[Operation<'_>], bytes: usize, movable: &dyn Fn(&Operation<'_>) -> bool) -> Vec<bool> {
    let mut units: Vec<(usize, std::ops::Range<usize>)> = Vec::new();
    for (at, operation) in patch.iter().enumerate().filter(|(_, operation)| movable(operation)) {
        let size = operation.node().to_string().len() + 1;
        let last = at.checked_sub(1).and_then(|before| patch.get(before));
        match units.last_mut() {
            Some((total, range)) if range.end == at && last.is_some_and(|last| operation.is_beside(last)) => {
                *total += size;
                range.end = at + 1;
            }
            _ => units.push((size, at..at + 1)),
        }
    }
    units.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    let mut goes = vec![false; patch.len()];
    let mut less = 0;
    for (size, range) in units {
        if less >= bytes {
            break;
        }
        less += size;
        goes.iter_mut().skip(range.start).take(range.len()).for_each(|goes| *goes = true);
    }
    goes
}

/// Whether there were annotations, or metadata at all, before ours was put there; no more of them is the annotation's to say.
pub(super) fn restore_metadata<'a>(object: &mut Node<'a>, patch: &[Operation<'a>]) {
    let others = of_others(object);
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
            // The API server takes strings, and no more of them than these.
            (["metadata", "annotations", LEGACY], Some(value)) => {
                value.text().is_some_and(|text| others + LEGACY.len() + text.len() <= ANNOTATIONS_MAX_BYTES)
            }
            _ => false,
        };
        if !fits {
            continue;
        }
        if path.len() == 3 && object.at("metadata").is_some_and(|metadata| metadata.get("annotations").is_none()) {
            object.put("metadata.annotations", Node::empty());
        }
        apply(&[operation], object);
    }
}
