//! One object in another version: `v1alpha1`, in any of the shapes that were stored under that name, and `v1beta1`, the hub.
//!
//! In: the text of an object, the version it is wanted in. Out: its text in that version.
//! Never: adds a default that it does not take away again, reads a clock, looks anything up; loses a member or a number's form.
//! Fails: only where it is not told what the object is ([`Unconvertible`]). What the other version cannot say is parked.

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod aside;
mod node;
mod park;
mod patch;
mod shape;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod trip;

pub use park::LEGACY;
pub use table::{KINDS, Kind, Otherwise, Row, Shape, Values};
pub use trip::{Trip, comes_home, there_and_back};

use std::collections::BTreeSet;

use node::Node;
use park::Parked;
use patch::Operation;
use shape::{Side, carry};

use crate::line::one_line;

/// A version of `kubernaut.ai` that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    V1alpha1,
    V1beta1,
}

impl Version {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1alpha1 => "v1alpha1",
            Self::V1beta1 => "v1beta1",
        }
    }

    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::V1alpha1 => Self::V1beta1,
            Self::V1beta1 => Self::V1alpha1,
        }
    }

    /// `v1alpha1` or `v1beta1`.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::V1alpha1, Self::V1beta1].into_iter().find(|version| version.as_str() == text)
    }

    /// `kubernaut.ai/v1alpha1` or `kubernaut.ai/v1beta1`.
    ///
    /// # Errors
    /// Names what was found instead.
    pub fn from_api_version(text: &str) -> Result<Self, Unconvertible> {
        let other = || Unconvertible::ApiVersion(text.chars().take(100).collect());
        text.strip_prefix(GROUP).and_then(|rest| Self::from_text(rest.strip_prefix('/')?)).ok_or_else(other)
    }
}

const GROUP: &str = "kubernaut.ai";

/// Why an object has no other version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unconvertible {
    #[error("expected a JSON object")]
    NoObject,
    #[error("apiVersion is missing or no string, expected kubernaut.ai/v1alpha1 or kubernaut.ai/v1beta1")]
    NoApiVersion,
    #[error("apiVersion {0:?} is none of kubernaut.ai/v1alpha1, kubernaut.ai/v1beta1")]
    ApiVersion(String),
    #[error("kind is missing or no string, expected RemediationRequest or WorkflowExecution")]
    NoKind(Version),
    #[error("kind {1:?} is none of RemediationRequest, WorkflowExecution")]
    Kind(Version, String),
}

impl Unconvertible {
    /// The version that it says it is in.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        match self {
            Self::NoKind(version) | Self::Kind(version, _) => Some(*version),
            _ => None,
        }
    }
}

/// An object in another version, and what was parked for the way home.
#[derive(Clone, Debug)]
pub struct Converted {
    pub kind: &'static str,
    pub from: Version,
    /// Of a `v1alpha1` object that was turned into the hub: which of the shapes of that name it has. One that says too little
    /// to be told has the first.
    pub shape: Option<Shape>,
    pub json: Vec<u8>,
    /// JSON Pointers of what the other version cannot say.
    pub parked: Vec<String>,
}

/// What an object is turned into.
#[derive(Clone, Copy, Debug)]
enum Landing {
    /// What a cluster serves: `v1alpha1` is December 2025's, and the API server prunes by that.
    Served(Version),
    /// Whatever it was when it left this version.
    Home(Version),
}

impl Landing {
    fn version(self) -> Version {
        match self {
            Self::Served(version) | Self::Home(version) => version,
        }
    }
}

/// Turns an object into another version of itself, as a cluster serves it.
///
/// # Errors
/// What it is cannot be told.
pub fn convert(text: &str, to: Version) -> Result<Converted, Unconvertible> {
    land(text, Landing::Served(to))
}

/// The same for a file: what came from another shape of `v1alpha1` is in that shape again.
///
/// # Errors
/// What it is cannot be told.
pub fn bring_home(text: &str, to: Version) -> Result<Converted, Unconvertible> {
    land(text, Landing::Home(to))
}

/// What an object says in another version, with all that it parks for that.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub json: String,
    /// What it parks says something of the spec that is not seen of it here.
    pub adds_to_spec: bool,
    /// Operations on the status that it parks, each as it is written.
    pub of_status: BTreeSet<String>,
}

/// Whether something may be parked in an object: nearly always told without a look into it.
#[must_use]
pub fn parks(text: &str) -> bool {
    text.contains(LEGACY) || text.contains("\"parked\"")
}

/// What an object says in another version, to be judged by: it is not on its way there, and nothing is parked anew.
///
/// # Errors
/// What it is cannot be told.
pub fn told(text: &str, version: Version) -> Result<Told, Unconvertible> {
    let mut object = Node::json(text);
    let (from, kind) = identify(&mut object)?;
    if from == version {
        return Ok(Told { json: text.to_owned(), ..Told::default() });
    }
    let annotation = park::annotation(&mut object);
    let mut turned = turn(&mut object, from, kind, annotation.as_deref(), Landing::Served(version));
    let parked = turned.parked.iter().flat_map(|parked| &parked.patch);
    let of_status =
        parked.filter(|operation| operation.root() == "status").map(|operation| operation.node().to_string()).collect();
    Ok(Told { json: turned.written(version, text.len()), adds_to_spec: turned.adds_to_spec, of_status })
}

/// Whether an object that went away to a version came home: what it says is what it was. What it had parked for that version and
/// was stale, or forged, is nothing that it says.
fn is_home(home: &str, object: &str, away: Version) -> bool {
    if same(home, object) {
        return true;
    }
    let read = |text| park::annotation(&mut Node::json(text));
    let (then, now) = (read(object), read(home));
    let (mut home, mut was) = (Node::json(home.trim()), Node::json(object.trim()));
    let had = park::take(&mut was, then.as_deref(), Landing::Home(away)).is_some();
    park::take(&mut home, now.as_deref(), Landing::Home(away));
    park::as_stripped(&mut was);
    park::as_stripped(&mut home);
    had && home.same(&mut was)
}

/// Whether two texts are the same object: the order of members is nothing, numbers are their text.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    Node::json(one.trim()).same(&mut Node::json(other.trim()))
}

fn land(text: &str, landing: Landing) -> Result<Converted, Unconvertible> {
    let to = landing.version();
    let mut object = Node::json(text);
    let (version, kind) = identify(&mut object)?;
    if version == to {
        let json = text.trim().as_bytes().to_vec();
        return Ok(Converted { kind: kind.name, from: version, shape: None, json, parked: Vec::new() });
    }
    let annotation = park::annotation(&mut object);
    let mut turned = turn(&mut object, version, kind, annotation.as_deref(), landing);
    let Turned { other, from, there, parked, .. } = &mut turned;
    let mut home = other.clone();
    park::strip(&mut home);
    carry(&mut home, kind, *there, *from);
    if parked.is_some() {
        park::as_stripped(&mut home);
        park::as_stripped(&mut object);
    }
    let told_shape = match *from {
        Side::V1alpha1(shape) => Some(shape),
        Side::Hub => None,
    };
    let shape = told_shape.unwrap_or_default();
    // The API server takes no answer without metadata.
    let bare = !object.get("metadata").is_some_and(Node::is_object);
    let mut told = Vec::new();
    if bare || shape != Shape::default() || !home.same(&mut object) {
        park::as_stripped(&mut home);
        park::as_annotated(&mut home, &mut object);
        let patch = patch::difference(&mut home, &mut object);
        told.extend(patch.iter().map(Operation::pointer));
        park::put(other, Parked { home: version, shape, patch });
    }
    let json = turned.written(to, text.len());
    Ok(Converted { kind: kind.name, from: version, shape: told_shape, json: json.into_bytes(), parked: told })
}

/// An object that was turned, but for what is parked of it.
struct Turned<'a> {
    other: Node<'a>,
    from: Side,
    there: Side,
    parked: Option<Parked<'a>>,
    aside: aside::Aside<'a>,
    adds_to_spec: bool,
}

impl Turned<'_> {
    fn written(&mut self, version: Version, about: usize) -> String {
        self.other.put("apiVersion", Node::string(&format!("{GROUP}/{}", version.as_str())));
        aside::put_back(&mut self.other, std::mem::take(&mut self.aside));
        self.other.written(about + 256)
    }
}

/// Turns what is seen of an object, and takes back what was parked for the version that it is turned into.
fn turn<'a>(
    object: &mut Node<'a>,
    version: Version,
    kind: &Kind,
    annotation: Option<&'a str>,
    landing: Landing,
) -> Turned<'a> {
    let parked = park::take(object, annotation, landing);
    let aside = aside::take(object, kind);
    let from = side(version, shape_of(object, kind));
    let there = side(landing.version(), parked.as_ref().map(|parked| parked.shape).unwrap_or_default());
    // Opened once, for all the copies that are made of it.
    for group in ["metadata", "spec", "status"] {
        object.get(group).map(Node::open);
    }
    let mut other = object.clone();
    park::strip(&mut other);
    carry(&mut other, kind, from, there);
    let mut adds_to_spec = false;
    if let Some(parked) = &parked {
        let mut seen = other.get("spec").cloned();
        // A member of a later shape would make another object of it for whoever reads it next.
        let fits = |object: &mut Node<'a>| match there {
            Side::V1alpha1(shape) => shape_of(object, kind) <= shape,
            Side::Hub => true,
        };
        let back = |object: &mut Node<'a>| carry(object, kind, there, from);
        unpark(&mut other, parked, object, &Homeward { back: &back, fits: &fits });
        adds_to_spec = match (&mut seen, other.get("spec")) {
            (Some(seen), Some(spec)) => !spec.same(seen),
            (seen, spec) => seen.is_some() != spec.is_some(),
        };
    }
    Turned { other, from, there, parked, aside, adds_to_spec }
}

fn said(object: &mut Node<'_>, path: &str) -> Option<String> {
    object.at(path)?.text().map(std::borrow::Cow::into_owned)
}

/// What an object calls itself, as far as it does: `WorkflowExecution payments/we`.
#[must_use]
pub fn called(text: &str) -> String {
    let mut object = Node::json(text);
    let kind = said(&mut object, "kind").unwrap_or_else(|| "an object".to_owned());
    let name = said(&mut object, "metadata.name").unwrap_or_else(|| "without a name".to_owned());
    let namespace = said(&mut object, "metadata.namespace").map(|namespace| namespace + "/").unwrap_or_default();
    one_line(&format!("{kind} {namespace}{name}"), 400)
}

fn identify(object: &mut Node<'_>) -> Result<(Version, &'static Kind), Unconvertible> {
    if !object.is_object() {
        return Err(Unconvertible::NoObject);
    }
    let version = said(object, "apiVersion").ok_or(Unconvertible::NoApiVersion)?;
    let version = Version::from_api_version(&version)?;
    let kind = said(object, "kind").ok_or(Unconvertible::NoKind(version))?;
    let known = KINDS.into_iter().find(|known| known.name == kind);
    Ok((version, known.ok_or_else(|| Unconvertible::Kind(version, kind.chars().take(100).collect()))?))
}

/// The shape of a `v1alpha1` object, by the members that only one has. In doubt it is ours: whatever it is, it comes home.
fn shape_of(object: &mut Node<'_>, kind: &Kind) -> Shape {
    let marked = |shape: &Shape| shape.of(kind.marks).iter().any(|mark| object.at(mark).is_some());
    Shape::ALL.into_iter().rev().find(marked).unwrap_or_default()
}

fn side(version: Version, shape: Shape) -> Side {
    match version {
        Version::V1alpha1 => Side::V1alpha1(shape),
        Version::V1beta1 => Side::Hub,
    }
}

/// One that is stale is found in a dozen tries. Past this most are forged, and the time of a list is not theirs.
const TRIES: usize = 200;
/// Bytes that are tried in all: where there are many to a part of an object, there are fewer tries.
const TRIED: usize = 2 << 20;
/// So many there are of any.
const TRIES_MIN: usize = 6;

/// Takes back what was parked, as far as it changes nothing that the version it comes from says: what is stale or forged does
/// not pass.
fn unpark<'a>(object: &mut Node<'a>, parked: &Parked<'a>, source: &mut Node<'a>, way: &Homeward<'a, '_>) {
    let patch = patch::in_order(&parked.patch);
    if !patch.is_empty() && !way.take_back(&patch, object, source, 1) {
        // What is said of a spec says nothing of the status, and what that costs is not what the other weighs.
        for some in patch.chunk_by(|one, other| one.root() == other.root()) {
            let Some(root) = some.first().map(|operation| operation.root()) else { continue };
            if !matches!(root, "spec" | "status") {
                way.take_back(some, object, source, TRIES);
                continue;
            }
            let mut part = part_of(object, root);
            way.take_back(some, &mut part, source, TRIES);
            match part.take(root) {
                Some(value) => object.set(root, value),
                None => drop(object.take(root)),
            }
        }
    }
    park::restore_metadata(object, &parked.patch);
}

/// A part of an object, and when that was created.
fn part_of<'a>(object: &mut Node<'a>, root: &str) -> Node<'a> {
    let mut part = Node::empty();
    if let Some(created) = object.at("metadata.creationTimestamp").cloned() {
        part.put("metadata.creationTimestamp", created);
    }
    if let Some(value) = object.get(root).cloned() {
        part.set(root, value);
    }
    part
}

/// How it is seen whether what is taken back changes what is said.
struct Homeward<'a, 'w> {
    /// What it becomes where it came from.
    back: &'w dyn Fn(&mut Node<'a>),
    /// It is what it should become.
    fits: &'w dyn Fn(&mut Node<'a>) -> bool,
}

impl<'a> Homeward<'a, '_> {
    fn said(&self, object: &Node<'a>) -> Node<'a> {
        node::work::done(|| object.weight());
        let mut said = object.clone();
        (self.back)(&mut said);
        said
    }

    /// All at once, and where that says too much by halves, down to the one that does. Whether it was all at once.
    fn take_back(&self, patch: &[&Operation<'a>], object: &mut Node<'a>, source: &mut Node<'a>, tries: usize) -> bool {
        let mut visible = self.said(object);
        let weight: usize = object.weight() + patch.iter().map(|operation| operation.weight()).sum::<usize>();
        let mut left = vec![patch];
        for tried in 0..(TRIED / weight.max(1)).clamp(TRIES_MIN, TRIES).min(tries) {
            let Some(some) = left.pop() else { break };
            let mut candidate = object.clone();
            patch::apply(some, &mut candidate);
            if (self.fits)(&mut candidate) && park::is_harmless(&mut visible, &mut self.said(&candidate), source) {
                *object = candidate;
                if tried == 0 {
                    return true;
                }
            } else if some.len() > 1 {
                let (first, second) = some.split_at(some.len() / 2);
                left.extend([second, first]);
            }
        }
        false
    }
}
