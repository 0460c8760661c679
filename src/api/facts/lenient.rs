//! Members whose odd forms mean "not set", and the parts that both kinds share.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{ObjectKey, ReadError, Timestamp, missing, said};

/// A JSON object and nothing else: a derived struct would also take a list, as its members in their order.
#[derive(Debug, Default)]
pub(crate) struct Mapping<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Mapping<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MappingVisitor(std::marker::PhantomData))
    }
}

struct MappingVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MappingVisitor<T> {
    type Value = Mapping<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Mapping)
    }
}

/// A time; whatever is none is not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time(pub Option<Timestamp>);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimeVisitor).map(Time)
    }
}

struct TimeVisitor;

impl<'de> Visitor<'de> for TimeVisitor {
    type Value = Option<Timestamp>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(rfc3339(text))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// RFC 3339 has a date, a time and an offset; jiff reads more forms than that.
pub(super) fn rfc3339(text: &str) -> Option<Timestamp> {
    let at = |place| text.as_bytes().get(place).copied();
    let dated =
        at(4) == Some(b'-') && at(7) == Some(b'-') && matches!(at(10), Some(b'T' | b't' | b' ')) && text.len() >= 20;
    dated.then(|| text.parse().ok().or_else(|| past_all_time(text))).flatten()
}

/// The last hours of the year 9999, which people write for "never", are past what jiff can say: as late as can be.
fn past_all_time(text: &str) -> Option<Timestamp> {
    let a_year_before = format!("9998{}", text.strip_prefix("9999")?);
    a_year_before.parse::<Timestamp>().ok().map(|_| Timestamp::MAX)
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    name: Option<Box<str>>,
    namespace: Option<Box<str>>,
    uid: Option<Box<str>>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<IgnoredAny>,
    #[serde(default)]
    annotations: Option<Mapping<Wish>>,
}

/// What annotations say of a clearance.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Wish {
    #[serde(rename = "lockkeeper.kubernaut.ai/clear")]
    pub clear: Option<Box<str>>,
    #[serde(rename = "lockkeeper.kubernaut.ai/cleared-by")]
    pub cleared_by: Option<Box<str>>,
}

/// The metadata of a stored object.
pub(super) struct Identity {
    pub key: ObjectKey,
    pub uid: Box<str>,
    pub created: Option<Timestamp>,
    pub deleting: bool,
}

impl Meta {
    /// Somebody with a name asks for a clearance.
    pub fn asks_to_clear(&self) -> bool {
        let wish = self.annotations.as_ref().map(|Mapping(wish)| wish);
        wish.is_some_and(|wish| wish.clear.is_some() && wish.cleared_by.is_some())
    }

    pub fn identity(self) -> Result<Identity, ReadError> {
        Ok(Identity {
            key: ObjectKey {
                namespace: said(self.namespace).unwrap_or_else(|| DEFAULT_NAMESPACE.into()),
                name: said(self.name).ok_or_else(|| missing("metadata.name"))?,
            },
            uid: self.uid.unwrap_or_default(),
            created: self.creation_timestamp.and_then(|time| time.0),
            deleting: self.deletion_timestamp.is_some(),
        })
    }
}

/// A manifest without a namespace is created there by kubectl; what an API server stores always has one.
const DEFAULT_NAMESPACE: &str = "default";

/// A reference whose name alone matters.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Named {
    name: Option<Box<str>>,
}

impl Named {
    pub fn is_set(&self) -> bool {
        self.name.as_ref().is_some_and(|name| !name.is_empty())
    }

    pub fn name(self) -> Option<Box<str>> {
        said(self.name)
    }
}

#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Reference {
    pub namespace: Option<Box<str>>,
    pub name: Option<Box<str>>,
    pub uid: Option<Box<str>>,
}

/// `spec.target` of v1beta1.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct TargetParts {
    #[serde(rename = "clusterID")]
    pub cluster_id: Option<Box<str>>,
    namespace: Option<Box<str>>,
    kind: Option<Box<str>>,
    name: Option<Box<str>>,
}

impl TargetParts {
    /// As `spec.targetResource` writes it; None: it has no part at all.
    pub fn written(&self) -> Option<Box<str>> {
        let part = |part: &Option<Box<str>>| part.as_deref().unwrap_or_default().to_owned();
        (self.kind.is_some() || self.name.is_some() || self.namespace.is_some()).then(|| {
            let namespace = said(self.namespace.clone()).map(String::from);
            let parts: Vec<String> = namespace.into_iter().chain([part(&self.kind), part(&self.name)]).collect();
            parts.join("/").into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_time_is_not_set() {
        for json in [
            "null",
            "3",
            "-1",
            "1.5",
            "true",
            "[1,[2]]",
            "{\"a\":{}}",
            "\"\"",
            "\"soon\"",
            "\"2026-13-01T00:00:00Z\"",
            "\"2026-01-05\"",
            "\"2026-01-05T10:04:00\"",
            "\"999999-01-01T00:00:00Z\"",
            "\"20260105T100400Z\"",
            "\"ü\"",
            "\"2026-01-0üT10:04:00Z\"",
        ] {
            assert_eq!(serde_json::from_str::<Time>(json).unwrap(), Time(None), "{json}");
        }
    }

    #[test]
    fn the_end_of_the_year_9999_is_as_late_as_can_be() {
        let at = |json| serde_json::from_str::<Time>(json).unwrap().0;
        for json in ["\"9999-12-31T23:59:59Z\"", "\"9999-12-30T23:59:59.5-09:00\""] {
            assert_eq!(at(json), Some(Timestamp::MAX), "{json}");
        }
        for json in ["\"9999-12-32T00:00:00Z\"", "\"9999-12-31T24:00:00Z\"", "\"9999-12-31T23:59:59\""] {
            assert_eq!(at(json), None, "{json}");
        }
        assert_eq!(at("\"9999-01-01T00:00:00Z\"").unwrap().to_string(), "9999-01-01T00:00:00Z");
    }

    #[test]
    fn every_form_of_rfc_3339_is_a_time() {
        let at = |json| serde_json::from_str::<Time>(json).unwrap().0.unwrap().to_string();
        for json in [
            "\"2026-01-05T10:04:00Z\"",
            "\"2026-01-05t10:04:00z\"",
            "\"2026-01-05T12:04:00+02:00\"",
            "\"2026-01-05 10:04:00Z\"",
        ] {
            assert_eq!(at(json), "2026-01-05T10:04:00Z", "{json}");
        }
        assert_eq!(at("\"2026-01-05T10:04:00.25Z\""), "2026-01-05T10:04:00.25Z");
        assert_eq!(at("\"2016-12-31T23:59:60Z\""), "2016-12-31T23:59:59Z");
    }
}
