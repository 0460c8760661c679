//! What the other version cannot say: a JSON Patch (RFC 6902) that makes the object what it was, kept in an annotation until it
//! comes home. It is taken back only where it changes nothing that the version it comes from says.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Version;
use super::node::{Members, Names, Node, set};
use super::table::Shape;

/// The annotation.
pub const LEGACY: &str = "lockkeeper.kubernaut.ai/legacy";
/// As the API server allows for all annotations of an object, names and values.
const ANNOTATIONS_MAX_BYTES: usize = 262_144;
/// No difference that a conversion makes lies deeper.
const DEPTH_MAX: usize = 12;

/// A list that lacks more items than this is said whole.
const MISSING_MAX: usize = 1_000;
/// Conversions differ in fewer objects and lists than this, and a forged annotation must not have us look for more.
const PARENTS_MAX: usize = 64;

/// One operation: a member that has this value, or is not there.
#[derive(Clone, Debug)]
pub(super) struct Operation<'a> {
    pub path: Vec<String>,
    pub value: Option<Node<'a>>,
}

/// What an object left behind when it left this version.
#[derive(Clone, Debug)]
pub(super) struct Parked<'a> {
    pub home: Version,
    pub shape: Shape,
    pub patch: Vec<Operation<'a>>,
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

impl<'a> Parked<'a> {
    /// None: it is none of ours.
    pub fn read(text: &'a str) -> Option<Self> {
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

fn operations(written: Vec<WrittenOperation<'_>>) -> Option<Vec<Operation<'_>>> {
    fn read(WrittenOperation { op, path, value }: WrittenOperation<'_>) -> Option<Operation<'_>> {
        let tokens = path.strip_prefix('/')?.split('/').map(|token| token.replace("~1", "/").replace("~0", "~"));
        let path: Vec<_> = tokens.collect();
        // No difference goes deeper, and a forged one must not lead us down without end.
        if path.len() > DEPTH_MAX + 1 {
            return None;
        }
        let value = value.map(|value| Node::json(value.get()));
        (matches!((op, &value), ("add", Some(_)) | ("remove", None))).then_some(Operation { path, value })
    }
    written.into_iter().map(read).collect()
}

impl<'a> Operation<'a> {
    fn node(&self) -> Node<'a> {
        let op = if self.value.is_some() { "add" } else { "remove" };
        let mut members =
            vec![(Cow::Borrowed("op"), Node::string(op)), (Cow::Borrowed("path"), Node::string(&self.pointer()))];
        members.extend(self.value.clone().map(|value| (Cow::Borrowed("value"), value)));
        Node::Object(members)
    }

    /// What it is a member or an item of.
    fn parents(&self) -> &[String] {
        self.path.split_last().map_or(&[], |(_, parents)| parents)
    }

    /// About as long as it is written.
    pub fn weight(&self) -> usize {
        self.path.iter().map(|token| token.len() + 8).sum::<usize>() + self.value.as_ref().map_or(0, Node::weight)
    }

    /// Its place, if it is an item of a list, as far as the path tells.
    fn index(&self) -> Option<usize> {
        self.path.last()?.parse().ok()
    }

    /// Both are items of one list, as far as paths tell.
    fn is_beside(&self, other: &Self) -> bool {
        self.index().is_some() && other.index().is_some() && self.parents() == other.parents()
    }

    /// RFC 6901.
    pub fn pointer(&self) -> String {
        self.path.iter().flat_map(|token| ["/".to_owned(), token.replace('~', "~0").replace('/', "~1")]).collect()
    }

    pub fn root(&self) -> &str {
        self.path.first().map_or("", String::as_str)
    }

    /// Names, kinds and the metadata that the API server keeps are not the annotation's to say.
    pub fn is_ours_to_say(&self) -> bool {
        !matches!(self.root(), "apiVersion" | "kind" | "metadata")
    }
}

/// What a patch says of the object itself, parents before what is in them and beside each other what has the same parent.
pub(super) fn in_order<'p, 'a>(patch: &'p [Operation<'a>]) -> Vec<&'p Operation<'a>> {
    let mut ours: Vec<_> = patch.iter().filter(|operation| operation.is_ours_to_say()).collect();
    ours.sort_by(|one, other| one.parents().cmp(other.parents()));
    let end: usize = beside(&ours).take(PARENTS_MAX).map(<[_]>::len).sum();
    ours.truncate(end);
    ours
}

fn beside<'s, 'p, 'a>(patch: &'s [&'p Operation<'a>]) -> impl Iterator<Item = &'s [&'p Operation<'a>]> {
    patch.chunk_by(|one, other| one.parents() == other.parents())
}

/// Does what a patch says, if it is in order. Its length and the object's are added up, not multiplied.
pub(super) fn apply<'a>(patch: &[&Operation<'a>], object: &mut Node<'a>) {
    for beside in beside(patch) {
        let Some(first) = beside.first() else { continue };
        let Some(place) = first.parents().iter().try_fold(&mut *object, |node, token| node.step(token)) else {
            continue;
        };
        if let Some(items) = place.items() {
            *items = with_items(std::mem::take(items), beside);
        } else if let Some(members) = place.open() {
            with_members(members, beside);
        }
    }
}

/// A list with items in places that go upwards; another place is none.
fn with_items<'a>(items: Vec<Node<'a>>, patch: &[&Operation<'a>]) -> Vec<Node<'a>> {
    let mut all = Vec::with_capacity(items.len() + patch.len());
    let mut items = items.into_iter();
    for operation in patch {
        let (Some(index), Some(value)) = (operation.index(), &operation.value) else { continue };
        if index < all.len() || index > all.len() + items.len() {
            continue;
        }
        all.extend(items.by_ref().take(index - all.len()));
        all.push(value.clone());
    }
    all.extend(items);
    all
}

fn with_members<'a>(members: &mut Members<'a>, patch: &[&Operation<'a>]) {
    let mut said = HashMap::new();
    for (place, operation) in patch.iter().enumerate() {
        said.extend(operation.path.last().map(|name| (name.as_str(), (place, &operation.value))));
    }
    members.retain_mut(|(name, value)| match said.get(&**name) {
        None => true,
        Some((_, None)) => false,
        Some((_, Some(other))) => {
            *value = other.clone();
            said.remove(&**name);
            true
        }
    });
    let mut new: Vec<_> =
        said.into_iter().filter_map(|(name, (place, value))| Some((place, name, value.clone()?))).collect();
    new.sort_by_key(|(place, _, _)| *place);
    members.extend(new.into_iter().map(|(_, name, value)| (Cow::Owned(name.to_owned()), value)));
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

/// What makes `base` what `wanted` is.
pub(super) fn difference<'a>(base: &mut Node<'_>, wanted: &mut Node<'a>) -> Vec<Operation<'a>> {
    let mut found = Vec::new();
    differ(base, wanted, &mut Vec::new(), &mut found);
    found
}

fn differ<'a>(base: &mut Node<'_>, wanted: &mut Node<'a>, path: &mut Vec<String>, found: &mut Vec<Operation<'a>>) {
    if base.same(wanted) {
        return;
    }
    let mut say = |path: &[String], value: Option<Node<'a>>| found.push(Operation { path: path.to_vec(), value });
    if path.len() < DEPTH_MAX
        && let (Some(before), Some(after)) = (base.open(), wanted.open())
    {
        let names = Names::default();
        for (place, (name, _)) in before.iter().enumerate() {
            if names.find(after, name, place).is_some() {
                continue;
            }
            path.push(name.to_string());
            say(path, None);
            path.pop();
        }
        let names = Names::default();
        for (place, (name, wanted)) in after.iter_mut().enumerate() {
            path.push(name.to_string());
            match names.find(before, name, place).and_then(|at| before.get_mut(at)) {
                Some((_, base)) => differ(base, wanted, path, found),
                None => found.push(Operation { path: path.clone(), value: Some(wanted.clone()) }),
            }
            path.pop();
        }
        return;
    }
    if let (Some(before), Some(after)) = (base.items(), wanted.items())
        && let Some(missing) = missing(before, after).filter(|missing| missing.len() <= MISSING_MAX)
    {
        for (index, value) in missing {
            path.push(index.to_string());
            say(path, Some(value));
            path.pop();
        }
        return;
    }
    say(path, Some(wanted.clone()));
}

/// The items that are missing from a list, with their places; None: it lacks more than items.
fn missing<'a>(before: &mut [Node<'_>], after: &mut [Node<'a>]) -> Option<Vec<(usize, Node<'a>)>> {
    let mut left = before.iter_mut().peekable();
    let mut missing = Vec::new();
    for (index, wanted) in after.iter_mut().enumerate() {
        if left.peek_mut().is_some_and(|base| base.same(wanted)) {
            left.next();
        } else {
            missing.push((index, wanted.clone()));
        }
    }
    left.next().is_none().then_some(missing)
}

/// What stands in the annotation.
pub(super) fn annotation(object: &mut Node<'_>) -> Option<String> {
    let annotations = object.get("metadata")?.get("annotations")?;
    annotations.get(LEGACY)?.text().map(Cow::into_owned)
}

/// Takes what was parked for this version out of an object that comes from another, whose annotation this is.
pub(super) fn take<'a>(object: &mut Node<'a>, annotation: &'a str, home: Version) -> Option<Parked<'a>> {
    let mut parked = Parked::read(annotation).filter(|parked| parked.home == home)?;
    strip(object);
    for place in OVERFLOW {
        let Some(Node::Text(Cow::Borrowed(more))) = object.at(place) else { continue };
        let Some(more) = serde_json::from_str(more).ok().and_then(operations) else { continue };
        object.take(place);
        // What was made for it goes with it.
        if let Some((group, _)) = place.rsplit_once('.')
            && object.at(group).is_some_and(Node::is_empty_object)
        {
            object.take(group);
        }
        parked.patch.extend(more.into_iter().filter(Operation::is_ours_to_say));
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
pub(super) fn put<'a>(object: &mut Node<'a>, mut parked: Parked<'a>) {
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
    let mut over: [Vec<Operation<'_>>; 2] = [Vec::new(), Vec::new()];
    if text.len() > room {
        let elsewhere = elsewhere(&parked.patch, text.len() - room);
        let mut stays = elsewhere.iter().map(|goes| !goes);
        let (kept, gone) = parked.patch.into_iter().partition(|_| stays.next().unwrap_or(true));
        let gone: Vec<Operation<'_>> = gone;
        let (of_status, of_spec) = gone.into_iter().partition(|operation| operation.root() == "status");
        over = [of_spec, of_status];
        parked.patch = kept;
        text = parked.write();
    }
    if let Some(annotations) = object.get("metadata").and_then(|metadata| metadata.get("annotations")?.open()) {
        set(annotations, LEGACY, Node::string(&text));
    }
    for (place, operations) in OVERFLOW.into_iter().zip(over).filter(|(_, operations)| !operations.is_empty()) {
        object.put(place, Node::List(operations.iter().map(Operation::node).collect()));
    }
}

/// The operations that stay elsewhere so that there are so many bytes less: those that take the most, no more than needed.
/// Items of one list go together, since each one's place counts on those before it.
fn elsewhere(patch: &[Operation<'_>], bytes: usize) -> Vec<bool> {
    let movable = |operation: &Operation<'_>| matches!(operation.root(), "spec" | "status") && operation.path.len() > 1;
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
        apply(&[operation], object);
    }
}
