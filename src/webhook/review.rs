//! The envelope, borrowed from the body: what every answer needs, and the object as the text it came as.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::facts::{Mapping, ObjectKey, locate, plainly};
use crate::convert::Version;

/// One AdmissionReview request.
#[derive(Debug)]
pub struct Review<'a> {
    pub api_version: Cow<'a, str>,
    pub uid: Cow<'a, str>,
    pub operation: Operation,
    pub dry_run: bool,
    pub username: Cow<'a, str>,
    pub name: Option<Cow<'a, str>>,
    pub namespace: Option<Cow<'a, str>>,
    pub object: Option<&'a RawValue>,
    pub old_object: Option<&'a RawValue>,
    about: About<'a>,
}

/// The resource that a review is about, as far as it says.
#[derive(Debug)]
struct About<'a> {
    group: Option<Cow<'a, str>>,
    version: Option<Cow<'a, str>>,
    resource: Option<Cow<'a, str>>,
    sub_resource: Option<Cow<'a, str>>,
}

/// What is being done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Other,
}

impl Operation {
    /// For metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Other => "OTHER",
        }
    }
}

/// Why bytes are no AdmissionReview; one line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReviewError(String);

impl ReviewError {
    pub(super) fn missing(what: &str) -> Self {
        Self(format!("{what} is missing"))
    }

    pub(super) fn unexpected(what: &str, found: &str, expected: &str) -> Self {
        Self(format!("{what} is {}, expected {expected}", crate::line::one_line(found, 80)))
    }
}

/// The envelope of a review, whichever it is.
pub(super) fn opened<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ReviewError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| ReviewError(format!("invalid UTF-8 at byte {}", error.valid_up_to())))?;
    if text.trim_ascii().is_empty() {
        return Err(ReviewError("the body is empty".to_owned()));
    }
    let opened: Result<Mapping<T>, _> = serde_json::from_str(text);
    opened.map(|Mapping(envelope)| envelope).map_err(|error| {
        let (path, error) = locate::<Mapping<T>>(text, error);
        let at = if matches!(&*path, "." | "?") { String::new() } else { format!("{path}: ") };
        ReviewError(format!("{at}{} (line {}, column {})", plainly(&error), error.line(), error.column()))
    })
}

impl<'a> Review<'a> {
    /// Takes the envelope off. The object inside is not looked at.
    ///
    /// # Errors
    /// Where it is not valid UTF-8 and JSON throughout, or not a review of a version that we know, or carries no uid.
    pub fn decode(body: &'a [u8]) -> Result<Self, ReviewError> {
        opened::<Wire<'a>>(body)?.into_review()
    }

    /// What it is about, where that is not this sub-resource of a WorkflowExecution; empty for the object itself.
    #[must_use]
    pub fn foreign(&self, sub_resource: &str) -> Option<String> {
        self.about.foreign(sub_resource)
    }

    /// The version that the object is in, as far as the request says.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.about.version.as_deref().and_then(Version::from_text)
    }

    /// The object's name as the request gives it; a deletecollection gives it in the old object only.
    #[must_use]
    pub fn name(&self) -> Option<Cow<'a, str>> {
        let named = |object: &'a RawValue| serde_json::from_str::<Named<'a>>(object.get()).ok()?.metadata.name;
        let given = self.name.clone().filter(|name| !name.is_empty());
        given.or_else(|| self.object.and_then(named)).or_else(|| self.old_object.and_then(named))
    }

    /// namespace/name, where there is a name.
    #[must_use]
    pub fn key(&self) -> Option<ObjectKey> {
        let namespace = self.namespace.as_deref().unwrap_or_default();
        Some(ObjectKey { namespace: namespace.into(), name: self.name()?.into() })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow)]
    api_version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    request: Option<Mapping<WireRequest<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireRequest<'a> {
    #[serde(borrow)]
    uid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    resource: Option<Mapping<WireResource<'a>>>,
    #[serde(borrow)]
    sub_resource: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow)]
    operation: Option<Cow<'a, str>>,
    #[serde(borrow)]
    user_info: Option<Mapping<WireUser<'a>>>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    old_object: Option<&'a RawValue>,
    dry_run: Option<bool>,
}

#[derive(Default, Deserialize)]
struct WireResource<'a> {
    #[serde(borrow)]
    group: Option<Cow<'a, str>>,
    #[serde(borrow)]
    version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    resource: Option<Cow<'a, str>>,
}

/// The name alone: groups and extra may hold assertions, so they are never decoded.
#[derive(Deserialize)]
struct WireUser<'a> {
    #[serde(borrow)]
    username: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    metadata: NamedMeta<'a>,
}

#[derive(Deserialize)]
struct NamedMeta<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

impl<'a> Wire<'a> {
    fn into_review(self) -> Result<Review<'a>, ReviewError> {
        let missing = ReviewError::missing;
        if self.kind.as_deref() != Some("AdmissionReview") {
            return Err(ReviewError::unexpected("kind", self.kind.as_deref().unwrap_or("none"), "AdmissionReview"));
        }
        let api_version = self.api_version.ok_or_else(|| missing("apiVersion"))?;
        if !matches!(&*api_version, "admission.k8s.io/v1" | "admission.k8s.io/v1beta1") {
            return Err(ReviewError::unexpected("apiVersion", &api_version, "admission.k8s.io/v1 or v1beta1"));
        }
        let Mapping(request) = self.request.ok_or_else(|| missing("request"))?;
        let resource = request.resource.unwrap_or_default().0;
        Ok(Review {
            api_version,
            uid: request.uid.filter(|uid| !uid.is_empty()).ok_or_else(|| missing("request.uid"))?,
            operation: match request.operation.as_deref() {
                Some("CREATE") => Operation::Create,
                Some("UPDATE") => Operation::Update,
                Some("DELETE") => Operation::Delete,
                _ => Operation::Other,
            },
            dry_run: request.dry_run.unwrap_or(false),
            username: request.user_info.and_then(|user| user.0.username).unwrap_or_default(),
            name: request.name,
            namespace: request.namespace,
            object: request.object,
            old_object: request.old_object,
            about: About {
                group: resource.group,
                version: resource.version,
                resource: resource.resource,
                sub_resource: request.sub_resource,
            },
        })
    }
}

impl About<'_> {
    /// What it is about, unless that is this sub-resource of a WorkflowExecution. A review that does not say is taken for one
    /// that is ours.
    fn foreign(&self, sub_resource: &str) -> Option<String> {
        let Self { group, resource, .. } = self;
        let sub = self.sub_resource.as_deref().filter(|sub| !sub.is_empty());
        let says_nothing = group.is_none() && resource.is_none() && sub.is_none();
        let ours = group.as_deref().is_none_or(|group| group == "kubernaut.ai")
            && resource.as_deref().is_none_or(|resource| resource == "workflowexecutions")
            && sub.unwrap_or_default() == sub_resource;
        let name = [resource.as_deref(), sub].into_iter().flatten().collect::<Vec<_>>().join("/");
        let parts = [Some(&*name), group.as_deref()].into_iter().flatten().filter(|part| !part.is_empty());
        (!ours && !says_nothing).then(|| crate::line::one_line(&parts.collect::<Vec<_>>().join("."), 160))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(body: &str) -> String {
        Review::decode(body.as_bytes()).unwrap_err().to_string()
    }

    const HEAD: &str = r#""apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview""#;

    #[test]
    fn what_is_no_review_is_told_why() {
        for (body, expected) in [
            ("", "the body is empty"),
            ("{", "EOF while parsing an object (line 1, column 1)"),
            ("[]", "expected"),
            ("{}", "kind is none, expected AdmissionReview"),
            (r#"{"kind":"Pod"}"#, "kind is Pod, expected AdmissionReview"),
            (r#"{"kind":"AdmissionReview"}"#, "apiVersion is missing"),
            (
                r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v9"}"#,
                "apiVersion is admission.k8s.io/v9, expected",
            ),
            (&format!("{{{HEAD}}}"), "request is missing"),
            (&format!("{{{HEAD},\"request\":null}}"), "request is missing"),
            (&format!("{{{HEAD},\"request\":{{}}}}"), "request.uid is missing"),
            (&format!("{{{HEAD},\"request\":{{\"uid\":\"\"}}}}"), "request.uid is missing"),
            (&format!("{{{HEAD},\"request\":{{\"uid\":7}}}}"), "request.uid: expected a"),
            (&format!("{{{HEAD},\"request\":{{\"uid\":\"a\",\"uid\":\"b\"}}}}"), "request: duplicate field `uid`"),
            (&format!("{{{HEAD},\"request\":{{\"uid\":\"a\",\"options\":NaN}}}}"), "request.options: expected value"),
            (&format!("{{{HEAD},\"request\":{{\"uid\":\"a\"}}}} x"), "trailing characters"),
        ] {
            let problem = fault(body);
            assert!(problem.contains(expected), "{body}: {problem}");
            assert_eq!(problem.lines().count(), 1);
        }
        let problem = Review::decode(b"{\"kind\":\"\xff\"}").unwrap_err().to_string();
        assert_eq!(problem, "invalid UTF-8 at byte 9");
    }

    #[test]
    fn four_forms_of_dry_run() {
        for (form, dry_run) in
            [(r#","dryRun":true"#, true), (r#","dryRun":false"#, false), (r#","dryRun":null"#, false), ("", false)]
        {
            let body = format!("{{{HEAD},\"request\":{{\"uid\":\"a\"{form}}}}}");
            assert_eq!(Review::decode(body.as_bytes()).unwrap().dry_run, dry_run);
        }
    }

    #[test]
    fn only_the_main_resource_of_our_kind_is_ours() {
        let foreign = |members: &str| {
            let body = format!("{{{HEAD},\"request\":{{\"uid\":\"a\"{members}}}}}");
            Review::decode(body.as_bytes()).unwrap().foreign("")
        };
        let wfe = r#","resource":{"group":"kubernaut.ai","version":"v1beta1","resource":"workflowexecutions"}"#;
        assert_eq!(foreign(wfe), None);
        assert_eq!(foreign(""), None);
        assert_eq!(foreign(&format!("{wfe},\"subResource\":\"\"")), None);
        assert_eq!(
            foreign(&format!("{wfe},\"subResource\":\"status\"")).unwrap(),
            "workflowexecutions/status.kubernaut.ai"
        );
        assert_eq!(foreign(r#","resource":{"group":"","version":"v1","resource":"pods"}"#).unwrap(), "pods");
    }

    #[test]
    fn depth_in_members_that_are_not_read_costs_no_stack() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let body =
            format!("{{{HEAD},\"request\":{{\"uid\":\"a\",\"object\":{{\"spec\":{deep}}},\"options\":{deep}}}}}");
        assert!(Review::decode(body.as_bytes()).unwrap().object.is_some());
    }

    #[test]
    fn a_collection_is_named_by_its_old_objects() {
        let body = format!(
            "{{{HEAD},\"request\":{{\"uid\":\"a\",\"namespace\":\"n\",\"oldObject\":{{\"metadata\":{{\"name\":\"w\"}}}}}}}}"
        );
        assert_eq!(Review::decode(body.as_bytes()).unwrap().key().unwrap().to_string(), "n/w");
    }
}
