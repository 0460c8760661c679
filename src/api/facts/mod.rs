//! The tolerant reader. Kubernaut shipped three shapes under one version name; each is read as it is stored, flat or in
//! groups, and becomes one understood value: the facts that routing asks for, not the object.
//!
//! Null is absent. A time that cannot be understood is not set. Another JSON type where a member is relied on makes the
//! object unreadable, and says which member.

mod candidate;
mod commission;
mod execution;
mod lenient;
mod record;
mod request;
mod target;

pub use candidate::{Candidate, Cause, NotACandidate};
pub use commission::{Commission, Progress};
pub use execution::{ExecutionPhase, Failure, WorkflowExecution};
pub(crate) use lenient::{Mapping, Time};
pub use record::{Record, RunSummary, StatusCondition};
pub use request::{Block, RemediationRequest, RequestPhase};
pub(crate) use target::is_dns_label;
pub use target::{Target, TargetError, TargetId};

pub use k8s_openapi::jiff::Timestamp;

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Servers of one cluster stamp creations by clocks that differ, by no more than this.
pub const CLOCKS: Duration = Duration::from_secs(10);

/// namespace/name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    pub namespace: Box<str>,
    pub name: Box<str>,
}

impl ObjectKey {
    /// An object can have this name: a reference may say anything, and a slash in it would ask for another path.
    #[must_use]
    pub fn can_be(&self) -> bool {
        let part = |part: &str| {
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            !part.is_empty() && part.chars().all(legal) && !part.starts_with('-') && !part.ends_with('-')
        };
        self.name.len() <= 253 && self.name.split('.').all(part) && is_dns_label(&self.namespace)
    }

    /// Another of this name in the same namespace.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        Self { namespace: self.namespace.clone(), name: name.into() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The RemediationRequest that a WorkflowExecution names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentRef {
    /// The execution's own, where the reference gives none.
    pub namespace: Box<str>,
    pub name: Box<str>,
    pub uid: Option<Box<str>>,
}

impl ParentRef {
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        ObjectKey { namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

/// Why a stored object cannot be read: the member and what was expected of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct ReadError {
    pub path: String,
    pub problem: String,
}

/// A time in any form of RFC 3339.
#[must_use]
pub fn time(text: &str) -> Option<Timestamp> {
    lenient::rfc3339(text)
}

/// A time as it is told. What is as late as can be stands for the end of the year 9999, which people write for "never".
#[must_use]
pub fn told(at: Timestamp) -> String {
    if at == Timestamp::MAX { "9999-12-31T23:59:59Z".to_owned() } else { at.to_string() }
}

/// Decodes the members that a type names and skips the rest, at any depth.
fn read<T: DeserializeOwned>(json: &str) -> Result<T, ReadError> {
    serde_json::from_str(json).map_err(|error| {
        let (path, error) = locate::<T>(json, error);
        ReadError { path, problem: plainly(&error) }
    })
}

/// The path of the member that does not decode. Decodes again: keeping track of paths costs as much as decoding, and
/// what decodes needs none.
pub(crate) fn locate<'de, T: Deserialize<'de>>(
    json: &'de str,
    error: serde_json::Error,
) -> (String, serde_json::Error) {
    match serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_str(json)) {
        Err(located) => (located.path().to_string(), located.into_inner()),
        // Only what follows the value is wrong.
        Ok(_) => (".".to_owned(), error),
    }
}

/// Fit for a terminal, and bounded.
fn printable(text: &str, max: usize) -> String {
    let mut line: String = text
        .chars()
        .take(max)
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect();
    if text.chars().nth(max).is_some() {
        line.push('…');
    }
    line
}

/// How a decoder says that a member stands there twice.
pub(crate) const TWICE: &str = "duplicate field";

/// What a decoder says, without what it found: that may be anybody's secret, and ends up in a log.
pub(crate) fn plainly(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(said, _)| said);
    let told = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|kind| text.strip_prefix(kind)?.rsplit_once(", expected "));
    let Some((found, expected)) = told else { return text.to_owned() };
    let found = found.split(['"', '`']).next().unwrap_or_default().trim();
    let expected = if expected.starts_with("struct ") { "an object" } else { expected };
    format!("expected {expected}, found {found}")
}

/// A missing member that the facts rest on.
pub(crate) fn missing(path: &str) -> ReadError {
    ReadError { path: path.to_owned(), problem: "missing or empty".to_owned() }
}

/// A string that says something.
fn said(text: Option<Box<str>>) -> Option<Box<str>> {
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_does_not_tell_what_it_found() {
        let told = |json| WorkflowExecution::from_json(json).unwrap_err().to_string();
        assert_eq!(
            told(r#"{"metadata":{"name":"w"},"spec":"secret, expected words"}"#),
            "spec: expected an object, found string"
        );
        assert_eq!(
            told(r#"{"metadata":{"name":"w"},"status":{"phase":7}}"#),
            "status.phase: expected a string, found integer"
        );
        assert_eq!(told(r#"{"metadata":{"name":["x"]}}"#), "metadata.name: expected a string, found sequence");
        assert_eq!(told(r#"{"metadata":{}}"#), "metadata.name: missing or empty");
        assert_eq!(told("{}"), ".: missing field `metadata`");
        assert_eq!(told(r#"{"metadata":{"name":"w"}} x"#), ".: trailing characters");
    }

    #[test]
    fn what_no_object_can_be_called_is_asked_for_nowhere() {
        let can_be =
            |namespace: &str, name: &str| ObjectKey { namespace: namespace.into(), name: name.into() }.can_be();
        for name in ["rr", "rr-1.a", "0", &"x".repeat(253)] {
            assert!(can_be("payments", name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a..b", "-a", "a-", "A", "a?b", "a%2fb", "a b", "ä", &"x".repeat(254)] {
            assert!(!can_be("payments", name), "{name}");
        }
        assert!(!can_be("", "rr") && !can_be("a.b", "rr") && !can_be("a/b", "rr"));
    }
}
