//! One object in another version: `v1alpha1`, in any of the shapes that were stored under that name, and `v1beta1`, the hub.
//!
//! In: the text of an object, the version it is wanted in. Out: its text in that version.
//! Never: adds a default that it does not take away again, reads a clock, looks anything up; loses a member or a number's form.
//! Fails: only where it is not told what the object is ([`Unconvertible`]). What the other version cannot say is parked.

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

mod node;
mod park;
mod shape;
mod table;
mod target;
#[cfg(test)]
mod tests;

pub use park::LEGACY;
pub use table::{KINDS, Kind, Row, Shape};

use node::Node;
use park::Parked;
use shape::{Side, carry};

/// A version of `kubernaut.ai` that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0:?} is none of kubernaut.ai/v1alpha1, kubernaut.ai/v1beta1")]
    ApiVersion(String),
    #[error("{0:?} is none of RemediationRequest, WorkflowExecution")]
    Kind(String),
}

/// An object in another version, and what was parked for the way home.
#[derive(Clone, Debug)]
pub struct Converted {
    pub json: Vec<u8>,
    /// JSON Pointers of what the other version cannot say.
    pub parked: Vec<String>,
}

/// Turns an object into another version of itself.
///
/// # Errors
/// What it is cannot be told.
pub fn convert(text: &str, to: Version) -> Result<Converted, Unconvertible> {
    let mut object = Node::json(text);
    let (version, kind) = identify(&mut object)?;
    if version == to {
        return Ok(Converted { json: text.trim().as_bytes().to_vec(), parked: Vec::new() });
    }
    let parked = park::take(&mut object, to);
    let from = side(version, shape_of(&mut object, kind));
    let there = side(to, parked.as_ref().map(|parked| parked.shape).unwrap_or_default());
    let mut other = object.clone();
    park::strip(&mut other);
    carry(&mut other, kind, from, there);
    if let Some(parked) = &parked {
        unpark(&mut other, parked, &object, &|object| carry(object, kind, there, from));
    }
    let mut home = other.clone();
    park::strip(&mut home);
    carry(&mut home, kind, there, from);
    if parked.is_some() {
        park::as_stripped(&mut home);
        park::as_stripped(&mut object);
    }
    let shape = match from {
        Side::V1alpha1(shape) => shape,
        Side::Hub => Shape::default(),
    };
    let mut patch = park::difference(&mut home, &mut object);
    if !patch.is_empty() || shape != Shape::default() {
        park::as_stripped(&mut home);
        patch = park::difference(&mut home, &mut object);
    }
    let told = patch.iter().map(park::Operation::pointer).collect();
    other.put("apiVersion", Node::string(&format!("{GROUP}/{}", to.as_str())));
    if !patch.is_empty() || shape != Shape::default() {
        park::put(&mut other, Parked { home: version, shape, patch });
    }
    let mut json = Vec::with_capacity(text.len() + 256);
    other.write(&mut json);
    Ok(Converted { json, parked: told })
}

fn identify(object: &mut Node<'_>) -> Result<(Version, &'static Kind), Unconvertible> {
    if !object.is_object() {
        return Err(Unconvertible::NoObject);
    }
    let mut said = |member| {
        let text = object.get(member).and_then(|said| said.text().map(std::borrow::Cow::into_owned));
        text.ok_or(Unconvertible::Missing(member))
    };
    let (version, kind) = (said("apiVersion")?, said("kind")?);
    let version = Version::from_api_version(&version)?;
    let known = KINDS.into_iter().find(|known| known.name == kind);
    Ok((version, known.ok_or_else(|| Unconvertible::Kind(kind.chars().take(100).collect()))?))
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

/// Takes back what was parked, as far as it changes nothing that the version it comes from says: what is stale or forged does
/// not pass.
fn unpark<'a>(object: &mut Node<'a>, parked: &Parked, source: &Node<'a>, back: &dyn Fn(&mut Node<'a>)) {
    let said = |object: &Node<'a>| {
        let mut said = object.clone();
        back(&mut said);
        said
    };
    let visible = said(object);
    // It says no more and nothing else there, unless it is what stands there already.
    let harmless = |candidate: &Node<'a>| {
        let changes = park::difference(&mut visible.clone(), &mut said(candidate));
        changes.iter().all(|change| change.holds(&mut source.clone()))
    };
    let patch: Vec<_> = parked.patch.iter().filter(|operation| operation.is_ours_to_say()).collect();
    let mut all = object.clone();
    patch.iter().for_each(|operation| operation.apply(&mut all));
    if harmless(&all) {
        *object = all;
    } else {
        for operation in patch {
            let mut candidate = object.clone();
            operation.apply(&mut candidate);
            if harmless(&candidate) {
                *object = candidate;
            }
        }
    }
    park::restore_metadata(object, &parked.patch);
}
