//! A JSON Patch (RFC 6902) of members: what makes one object another, found and done in time that grows as the objects do.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::node::{Members, Names, Node};

/// No difference that a conversion makes lies deeper.
pub(super) const DEPTH_MAX: usize = 12;

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenOperation<'a> {
    op: &'a str,
    path: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "given")]
    value: Option<&'a RawValue>,
}

/// Null is a value.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

pub(super) fn operations(written: Vec<WrittenOperation<'_>>) -> Option<Vec<Operation<'_>>> {
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
    pub fn node(&self) -> Node<'a> {
        let op = if self.value.is_some() { "add" } else { "remove" };
        let mut members =
            vec![(Cow::Borrowed("op"), Node::string(op)), (Cow::Borrowed("path"), Node::string(&self.pointer()))];
        members.extend(self.value.clone().map(|value| (Cow::Borrowed("value"), value)));
        Node::Object(members)
    }

    /// Items in the order of their places, members in that of their names.
    fn place(&self) -> Vec<(Option<usize>, String)> {
        self.path.iter().map(|token| (token.parse().ok(), token.clone())).collect()
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
    pub fn is_beside(&self, other: &Self) -> bool {
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

/// What makes `base` what `wanted` is.
pub(super) fn difference<'a>(base: &mut Node<'_>, wanted: &mut Node<'a>) -> Vec<Operation<'a>> {
    let mut found = Vec::new();
    differ(base, wanted, &mut Vec::new(), &mut found);
    // The same in whatever order the members of an object stand: what is parked of it is the same text then.
    found.sort_by_cached_key(Operation::place);
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
pub(super) fn missing<'a>(before: &mut [Node<'_>], after: &mut [Node<'a>]) -> Option<Vec<(usize, Node<'a>)>> {
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
