//! Whether two texts of an object have different specs, or different statuses.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::facts::{Mapping, TWICE, plainly};

/// Why two objects cannot be compared.
#[derive(Debug)]
pub(super) enum NoSpec {
    /// One of them is no object.
    NoObject,
    /// It says a member twice: nothing in it can be relied on.
    Twice(String),
}

/// Says whether the two objects have different specs. White space and the order of members do not count.
///
/// # Errors
/// Where one of them is no object, or says a member twice.
pub(super) fn changed(old: &RawValue, new: &RawValue) -> Result<bool, NoSpec> {
    let (Mapping(old), Mapping(new)) = (object(old)?, object(new)?);
    match (old.spec, new.spec) {
        (None, None) => Ok(false),
        (Some(old), Some(new)) if old.get() != new.get() => Ok(!same_value(old, new)?),
        (Some(_), Some(_)) => Ok(false),
        _ => Ok(true),
    }
}

/// Says whether the two objects have different statuses. One that says a member twice is another one.
pub(super) fn status_changed(old: &RawValue, new: &RawValue) -> bool {
    match (status(old), status(new)) {
        (Some(old), Some(new)) => old.get() != new.get() && !same_value(old, new).unwrap_or(false),
        (old, new) => old.is_some() != new.is_some(),
    }
}

/// An empty one and none are the same.
fn status(raw: &RawValue) -> Option<&RawValue> {
    let status = object(raw).ok().and_then(|Mapping(members)| members.status)?;
    (!matches!(status.get(), "{}" | "null")).then_some(status)
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

fn object(raw: &RawValue) -> Result<Mapping<Members<'_>>, NoSpec> {
    serde_json::from_str(raw.get()).map_err(|error| twice(&error).unwrap_or(NoSpec::NoObject))
}

/// Compares as values. What is nested deeper than a parser follows was written by the API server in one fixed form: there
/// a different text is a different spec.
fn same_value(old: &RawValue, new: &RawValue) -> Result<bool, NoSpec> {
    let value = |raw: &RawValue| match serde_json::from_str::<Unique>(raw.get()) {
        Ok(Unique(value)) => Ok(Some(value)),
        Err(error) => twice(&error).map_or(Ok(None), Err),
    };
    Ok(matches!((value(old)?, value(new)?), (Some(old), Some(new)) if old == new))
}

fn twice(error: &serde_json::Error) -> Option<NoSpec> {
    let told = plainly(error);
    told.starts_with(TWICE).then_some(NoSpec::Twice(told))
}

/// A value whose objects say no member twice.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(value)) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = serde_json::Map::new();
        while let Some((name, Unique(value))) = map.next_entry::<String, Unique>()? {
            if members.contains_key(&name) {
                let name = crate::line::one_line(&name, 80);
                return Err(serde::de::Error::custom(format_args!("{TWICE} `{name}`")));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(old: &str, new: &str) -> bool {
        let raw = |text: &str| RawValue::from_string(format!("{{\"metadata\":{{}},\"spec\":{text}}}")).unwrap();
        changed(&raw(old), &raw(new)).unwrap()
    }

    #[test]
    fn order_and_white_space_are_no_change() {
        assert!(!differ(r#"{"a":1,"b":[2]}"#, r#"{ "b":[2], "a":1 }"#));
        assert!(!differ("null", "null"));
    }

    #[test]
    fn any_member_is_a_change() {
        assert!(differ(r#"{"a":1}"#, r#"{"a":2}"#));
        assert!(differ(r#"{"a":null}"#, "{}"));
        assert!(differ(r#"{"a":9007199254740993}"#, r#"{"a":9007199254740992}"#));
        assert!(differ("null", "{}"));
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = "[".repeat(50_000) + &"]".repeat(50_000);
        assert!(!differ(&deep, &deep));
        assert!(differ(&deep, &format!("[{deep}]")));
    }

    #[test]
    fn a_member_that_is_said_twice_is_nothing_to_rely_on() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let once = raw(r#"{"spec":{"a":{"b":1}}}"#);
        for twice in [
            r#"{"spec":{"a":{"b":2,"b":1}}}"#,
            r#"{"spec":{"a":1},"spec":{"a":{"b":1}}}"#,
            r#"{"spec":{"a":0,"a":{"b":1}}}"#,
        ] {
            assert!(matches!(changed(&once, &raw(twice)), Err(NoSpec::Twice(_))), "{twice}");
            assert!(matches!(changed(&raw(twice), &once), Err(NoSpec::Twice(_))), "{twice}");
        }
    }

    #[test]
    fn what_is_no_object_is_no_update() {
        let text = RawValue::from_string("\"x\"".into()).unwrap();
        assert!(matches!(changed(&text, &text), Err(NoSpec::NoObject)));
        let list = RawValue::from_string("[{\"a\":1}]".into()).unwrap();
        assert!(matches!(changed(&list, &list), Err(NoSpec::NoObject)), "a list is no object");
    }
}
