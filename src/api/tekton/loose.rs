//! Members of which any form must be borne.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::value::RawValue;

use crate::api::facts::{Mapping, ObjectKey, Time, Timestamp};

/// A member of the expected form; one of another form is not set.
#[derive(Clone, Debug)]
pub(super) struct Loose<T>(pub Option<T>);

impl<T> Default for Loose<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Loose<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(raw.get()).ok()))
    }
}

/// Where it matters that something stood there: absent, an object of the expected form, or something else.
#[derive(Debug, Default)]
pub(super) enum Member<T> {
    #[default]
    Absent,
    Read(T),
    Unreadable,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Member<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(match raw.get() {
            "null" => Self::Absent,
            json => object(json).map_or(Self::Unreadable, Self::Read),
        })
    }
}

/// Whether something stands there, in whatever form; null and an empty text are nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Present(pub bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(!matches!(raw.get(), "null" | "\"\"")))
    }
}

/// A time whose mere presence tells something: one that cannot be read is later than all others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SomeTime(pub Option<Timestamp>);

impl<'de> Deserialize<'de> for SomeTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        if matches!(raw.get(), "null" | "\"\"") {
            return Ok(Self(None));
        }
        let read = serde_json::from_str::<Time>(raw.get()).ok().and_then(|time| time.0);
        Ok(Self(Some(read.unwrap_or(Timestamp::MAX))))
    }
}

impl<T> Member<T> {
    pub fn is_present(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}

/// A list of objects; an element of another form is None. What is no list is one such element.
#[derive(Debug)]
pub(super) struct Objects<T>(pub Vec<Option<T>>);

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Objects<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_json(<&RawValue>::deserialize(deserializer)?.get()))
    }
}

impl<T: DeserializeOwned> Objects<T> {
    pub fn from_json(json: &str) -> Self {
        if json == "null" {
            return Self::default();
        }
        let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(json) else { return Self(vec![None]) };
        Self(elements.into_iter().map(|element| object(element.get())).collect())
    }

    /// How many there are, in whatever form.
    pub fn count(&self) -> Count {
        Count(i64::try_from(self.0.len()).unwrap_or(i64::MAX))
    }

    pub fn readable(self) -> impl Iterator<Item = T> {
        self.0.into_iter().flatten()
    }
}

/// How often or how many. What cannot be read is some.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count(pub i64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(match raw.get() {
            "null" => 0,
            json => serde_json::from_str(json).unwrap_or(1).max(0),
        }))
    }
}

/// A stored object: its metadata, and the status that a controller writes.
#[derive(Deserialize)]
#[serde(bound = "S: DeserializeOwned")]
pub(super) struct Stored<S> {
    #[serde(default)]
    metadata: Loose<Meta>,
    #[serde(default)]
    status: Member<S>,
}

impl<S: DeserializeOwned> Stored<S> {
    /// None: it is no object, or has no metadata. Of an object in which a member stands twice only the name is believed.
    pub fn read(json: &str) -> Option<(Meta, Member<S>)> {
        if let Some(stored) = object::<Self>(json) {
            return Some((stored.metadata.0?, stored.status));
        }
        let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(json).ok()?;
        Some((object(members.get("metadata")?.get())?, Member::Unreadable))
    }
}

/// An object of this form.
pub(super) fn object<T: DeserializeOwned>(json: &str) -> Option<T> {
    serde_json::from_str::<Mapping<T>>(json).ok().map(|mapping| mapping.0)
}

pub(super) fn text(member: Loose<Box<str>>) -> Box<str> {
    member.0.unwrap_or_default()
}

pub(super) fn time(member: &Loose<Time>) -> Option<Timestamp> {
    member.0.as_ref().and_then(|time| time.0)
}

/// A string that says something.
pub(super) fn said(member: Loose<Box<str>>) -> Option<Box<str>> {
    member.0.filter(|text| !text.is_empty())
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    #[serde(default)]
    name: Loose<Box<str>>,
    #[serde(default)]
    namespace: Loose<Box<str>>,
    #[serde(default)]
    uid: Loose<Box<str>>,
    #[serde(default)]
    creation_timestamp: Loose<Time>,
    #[serde(default)]
    deletion_timestamp: Present,
    #[serde(default)]
    labels: Words,
    #[serde(default)]
    annotations: Words,
    #[serde(default)]
    owner_references: Objects<OwnerReference>,
}

type Words = Loose<BTreeMap<Box<str>, Loose<Box<str>>>>;

#[derive(Clone, Deserialize)]
struct OwnerReference {
    #[serde(default)]
    kind: Loose<Box<str>>,
    #[serde(default)]
    name: Loose<Box<str>>,
}

impl Meta {
    /// None: it has no name.
    pub fn key(&self) -> Option<ObjectKey> {
        let name = said(self.name.clone())?;
        Some(ObjectKey { namespace: said(self.namespace.clone()).unwrap_or_else(|| "default".into()), name })
    }

    pub fn uid(&self) -> Box<str> {
        text(self.uid.clone())
    }

    pub fn created(&self) -> Option<Timestamp> {
        time(&self.creation_timestamp)
    }

    /// Somebody deleted it, and something is awaited before it goes.
    pub fn deleting(&self) -> bool {
        self.deletion_timestamp.0
    }

    pub fn label(&self, key: &str) -> Option<Box<str>> {
        word(&self.labels, key)
    }

    pub fn annotation(&self, key: &str) -> Option<Box<str>> {
        word(&self.annotations, key)
    }

    /// The name of the owner of this kind.
    pub fn owned_by(&self, kind: &str) -> Option<Box<str>> {
        let owner = self.owner_references.0.iter().flatten().find(|owner| owner.kind.0.as_deref() == Some(kind))?;
        said(owner.name.clone())
    }
}

fn word(words: &Words, key: &str) -> Option<Box<str>> {
    said(words.0.as_ref()?.get(key)?.clone())
}
