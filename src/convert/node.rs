//! A JSON value that is opened only where somebody looks into it; the rest stays the text that it came as, so that numbers
//! keep their form and depth costs nothing.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

#[derive(Clone, Debug)]
pub(super) enum Node<'a> {
    /// JSON, not looked into.
    Text(Cow<'a, str>),
    Object(Members<'a>),
    List(Vec<Node<'a>>),
}

/// The members of an object, in their order.
pub(super) type Members<'a> = Vec<(Cow<'a, str>, Node<'a>)>;

impl<'a> Node<'a> {
    /// A text that is JSON.
    pub fn json(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    pub fn string(text: &str) -> Node<'static> {
        Node::Text(Cow::Owned(quoted(text)))
    }

    pub fn empty() -> Self {
        Self::Object(Vec::new())
    }

    /// The members, if it is an object.
    pub fn open(&mut self) -> Option<&mut Members<'a>> {
        if let Self::Text(text) = self
            && text.starts_with('{')
        {
            work::done(|| text.len());
            let members = match text {
                Cow::Borrowed(text) => serde_json::from_str::<Opened<'a>>(text).ok()?.0,
                Cow::Owned(text) => owned(serde_json::from_str::<Opened<'_>>(text).ok()?.0),
            };
            *self = Self::Object(members);
        }
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The items, if it is a list.
    pub fn items(&mut self) -> Option<&mut Vec<Self>> {
        if let Self::Text(text) = self
            && text.starts_with('[')
        {
            work::done(|| text.len());
            let items = match text {
                Cow::Borrowed(text) => serde_json::from_str::<Items<'a>>(text).ok()?.0,
                Cow::Owned(text) => {
                    serde_json::from_str::<Items<'_>>(text).ok()?.0.into_iter().map(Node::into_owned).collect()
                }
            };
            *self = Self::List(items);
        }
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// What it says, if it is a string.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        let Self::Text(text) = self else { return None };
        serde_json::from_str::<Text<'_>>(text).ok().map(|text| text.0)
    }

    /// A list of objects that are plainly of a type of their own; false: one has to look.
    pub fn names_each_once(&self) -> bool {
        #[derive(Deserialize)]
        struct Typed<'a> {
            #[serde(borrow, rename = "type")]
            kind: Option<&'a RawValue>,
        }
        let Self::Text(text) = self else { return false };
        let Ok(items) = serde_json::from_str::<Vec<Typed<'_>>>(text) else { return false };
        let mut seen = HashSet::with_capacity(items.len());
        items.iter().filter_map(|item| item.kind).all(|kind| !kind.get().contains('\\') && seen.insert(kind.get()))
    }

    /// About as long as it is written.
    pub fn weight(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Object(members) => members.iter().map(|(name, value)| name.len() + 4 + value.weight()).sum(),
            Self::List(items) => items.iter().map(|item| 1 + item.weight()).sum(),
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Text(text) if text == "null")
    }

    pub fn is_object(&mut self) -> bool {
        self.open().is_some()
    }

    pub fn is_empty_object(&mut self) -> bool {
        self.open().is_some_and(|members| members.is_empty())
    }

    /// The last member of this name counts, as with every decoder of the API server.
    pub fn get(&mut self, name: &str) -> Option<&mut Self> {
        let members = self.open()?;
        work::done(|| members.len());
        members.iter_mut().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The member of this name, or the item in this place.
    pub fn step(&mut self, token: &str) -> Option<&mut Self> {
        match token.parse::<usize>() {
            Ok(index) if self.items().is_some() => self.items()?.get_mut(index),
            _ => self.get(token),
        }
    }

    pub fn at(&mut self, path: &str) -> Option<&mut Self> {
        path.split('.').try_fold(self, |node, name| node.get(name))
    }

    /// Takes a member out.
    pub fn take(&mut self, path: &str) -> Option<Self> {
        let (parent, name) = split(path);
        let members = match parent {
            Some(parent) => self.at(parent)?.open()?,
            None => self.open()?,
        };
        if !members.iter().any(|(key, _)| key == name) {
            return None;
        }
        let mut taken = None;
        members.retain_mut(|(key, value)| {
            let keep = key != name;
            if !keep {
                taken = Some(std::mem::replace(value, Self::List(Vec::new())));
            }
            keep
        });
        taken
    }

    /// Puts a member in, with the objects on the way to it. False: what stands on the way is none.
    pub fn put(&mut self, path: &'static str, value: Self) -> bool {
        let (parent, name) = split(path);
        let place = match parent {
            Some(parent) => self.reach(parent),
            None => self.open(),
        };
        let Some(members) = place else { return false };
        set(members, name, value);
        true
    }

    /// Puts a member into an object; into anything else nothing.
    pub fn set(&mut self, name: &str, value: Self) {
        let Some(members) = self.open() else { return };
        match members.iter_mut().rev().find(|(key, _)| key == name) {
            Some((_, place)) => *place = value,
            None => members.push((Cow::Owned(name.to_owned()), value)),
        }
    }

    fn reach(&mut self, path: &'static str) -> Option<&mut Members<'a>> {
        path.split('.').try_fold(self.open()?, |members, name| {
            if !members.iter().any(|(key, _)| key == name) {
                members.push((Cow::Borrowed(name), Self::empty()));
            }
            members.iter_mut().rev().find(|(key, _)| key == name)?.1.open()
        })
    }

    /// The same value, as far as a reader of JSON can tell; numbers by their text, and so what lies deeper than anything of ours:
    /// whoever nests deeper must not take our stack.
    pub fn same(&mut self, other: &mut Node<'_>) -> bool {
        self.same_within(other, 64)
    }

    fn same_within(&mut self, other: &mut Node<'_>, depth: usize) -> bool {
        if let (Self::Text(a), Node::Text(b)) = (&*self, &*other)
            && (a == b || depth == 0)
        {
            return a == b;
        }
        let Some(below) = depth.checked_sub(1) else { return self.to_string() == other.to_string() };
        if let (Some(a), Some(b)) = (self.open(), other.open()) {
            let names = Names::default();
            return a.len() == b.len()
                && a.iter_mut().enumerate().all(|(place, (name, value))| {
                    let other = names.find(b, name, place).and_then(|at| b.get_mut(at));
                    other.is_some_and(|(_, other)| value.same_within(other, below))
                });
        }
        if let (Some(a), Some(b)) = (self.items(), other.items()) {
            return a.len() == b.len() && a.iter_mut().zip(b).all(|(a, b)| a.same_within(b, below));
        }
        match (self.text(), other.text()) {
            (Some(a), Some(b)) => a == b,
            _ => false,
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Object(members) => {
                out.push(b'{');
                for (place, (name, value)) in members.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    // Into memory, and a string is always JSON.
                    let _ = serde_json::to_writer(&mut *out, &**name);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
            Self::List(items) => {
                out.push(b'[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
        }
    }

    /// JSON of about so many bytes.
    pub fn written(&self, about: usize) -> String {
        let mut out = Vec::with_capacity(about);
        self.write(&mut out);
        // All of it was text.
        String::from_utf8(out).unwrap_or_default()
    }

    pub fn into_owned(self) -> Node<'static> {
        match self {
            Self::Text(text) => Node::Text(Cow::Owned(text.into_owned())),
            Self::Object(members) => Node::Object(owned(members)),
            Self::List(items) => Node::List(items.into_iter().map(Node::into_owned).collect()),
        }
    }
}

/// JSON, as it is written.
impl fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        self.write(&mut out);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

/// Counts what is read and looked through, for the tests of how it grows.
pub(super) mod work {
    #[cfg(test)]
    thread_local!(static DONE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });

    #[cfg(test)]
    pub fn done(amount: impl FnOnce() -> usize) {
        DONE.set(DONE.get() + amount());
    }

    #[cfg(not(test))]
    pub fn done(_: impl FnOnce() -> usize) {}

    /// Since it was last asked.
    #[cfg(test)]
    pub fn take() -> usize {
        DONE.take()
    }
}

/// Finds members of one object by name: one of a hundred thousand members must not take the square of that.
#[derive(Default)]
pub(super) struct Names(OnceCell<HashMap<String, usize>>);

impl Names {
    /// So few are looked through.
    const FEW: usize = 32;

    /// The first of this name; most stand where the same one stands in the other object.
    pub fn find(&self, members: &Members<'_>, name: &str, likely: usize) -> Option<usize> {
        if members.get(likely).is_some_and(|(other, _)| other == name) {
            return Some(likely);
        }
        if members.len() <= Self::FEW {
            return members.iter().position(|(other, _)| other == name);
        }
        let names = || members.iter().enumerate().rev().map(|(place, (name, _))| (name.to_string(), place)).collect();
        self.0.get_or_init(names).get(name).copied()
    }
}

fn quoted(text: &str) -> String {
    // A string is always JSON.
    serde_json::to_string(text).unwrap_or_default()
}

pub(super) fn set<'a>(members: &mut Members<'a>, name: &'static str, value: Node<'a>) {
    match members.iter_mut().rev().find(|(key, _)| key == name) {
        Some((_, place)) => *place = value,
        None => members.push((Cow::Borrowed(name), value)),
    }
}

fn split(path: &str) -> (Option<&str>, &str) {
    path.rsplit_once('.').map_or((None, path), |(parent, name)| (Some(parent), name))
}

fn owned(members: Members<'_>) -> Members<'static> {
    members.into_iter().map(|(name, value)| (Cow::Owned(name.into_owned()), value.into_owned())).collect()
}

struct Opened<'a>(Members<'a>);

impl<'de> Deserialize<'de> for Opened<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Opened<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Opened<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    members.push((name, Node::json(value.get())));
                }
                Ok(Opened(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

struct Items<'a>(Vec<Node<'a>>);

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element::<&'de RawValue>()? {
                    items.push(Node::json(item.get()));
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// A string that is borrowed where it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Str;
        impl<'de> Visitor<'de> for Str {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Str)
    }
}
