//! A verdict, an amendment, or a fault, as HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation};
use k8s_openapi::ByteString;
use serde::Serialize;

use super::review::Review;
use crate::api::facts::ReadError;
use crate::convert::Version;
use crate::fault::Fault;
use crate::line::one_line;
use crate::routing::{Because, Hold, Reason, Verdict};
use crate::status::{Amendment, Change, Refusal};

/// The values of audit annotations are not bounded by the API server.
const ANNOTATION_MAX_CHARS: usize = 256;
/// A cause tells more than an annotation; many causes still fit in a response.
const CAUSE_MAX_CHARS: usize = 500;
const CAUSES_MAX: usize = 64;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    api_version: &'a str,
    kind: &'static str,
    response: Response_<'a>,
}

/// A patch and its type: both, or neither, as in every answer of a validating webhook.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response_<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<ByteString>,
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
    message: String,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    code: u16,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    group: &'static str,
    kind: &'static str,
    causes: Vec<StatusCause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<i32>,
}

#[derive(Serialize)]
struct StatusCause {
    reason: String,
    message: String,
    field: String,
}

/// What a review is answered, before it becomes bytes.
#[derive(Default)]
pub(super) struct Answer {
    status: Option<Status>,
    warnings: Vec<String>,
    annotations: BTreeMap<&'static str, String>,
    patch: Vec<Change>,
}

impl Answer {
    /// The gate's: an admission or a refusal.
    pub fn verdict(review: &Review<'_>, verdict: &Verdict, age: Option<Duration>, warning: Option<String>) -> Self {
        Self {
            status: refusal(review, verdict),
            warnings: verdict.warning_lines().into_iter().chain(warning).collect(),
            annotations: annotations(review, verdict, age),
            patch: Vec::new(),
        }
    }

    /// The guard's: the write passes, with the reason of a clearance for the audit log, or it does not.
    pub fn guarded(review: &Review<'_>, refusal: Option<&Refusal>, clearing: Option<&str>) -> Self {
        let mut annotations = BTreeMap::from([
            ("decision", if refusal.is_none() { "allow" } else { "deny" }.to_owned()),
            ("decision-id", decision_id(review)),
        ]);
        let Some(refusal) = refusal else {
            annotations.extend(clearing.map(|why| ("reason", one_line(why, ANNOTATION_MAX_CHARS))));
            return Self { annotations, ..Self::default() };
        };
        annotations.insert("reason", refusal.reason.as_str().to_owned());
        let message = one_line(&refusal.told, CAUSE_MAX_CHARS);
        let cause = StatusCause { reason: refusal.reason.as_str().to_owned(), message, field: refusal.field.clone() };
        Self { status: Some(denial(review, 403, refusal.message(), vec![cause], None)), annotations, ..Self::default() }
    }

    /// The object cannot be read: 422 with the member.
    pub fn unreadable(review: &Review<'_>, error: &ReadError) -> Self {
        let (field, message) = (one_line(&error.path, ANNOTATION_MAX_CHARS), one_line(&error.problem, CAUSE_MAX_CHARS));
        let told = format!("{}: {field}: {message}", Reason::Malformed);
        let cause = StatusCause { reason: Reason::Malformed.as_str().to_owned(), message, field };
        let annotations = BTreeMap::from([
            ("decision", "deny".to_owned()),
            ("decision-id", decision_id(review)),
            ("reason", Reason::Malformed.as_str().to_owned()),
        ]);
        Self { status: Some(denial(review, 422, told, vec![cause], None)), annotations, ..Self::default() }
    }

    /// The amender's: it never refuses.
    pub fn amended(review: &Review<'_>, amendment: &Amendment) -> Self {
        let mut annotations = BTreeMap::from([("decision-id", decision_id(review))]);
        if let Some(classified) = amendment.classified {
            annotations.insert("reason", classified.to.as_str().to_owned());
        }
        Self { status: None, warnings: amendment.warnings.clone(), annotations, patch: amendment.changes.clone() }
    }

    /// Nothing of ours: it passes, with a word to the caller.
    pub fn unasked(review: &Review<'_>, warning: Option<String>) -> Self {
        let annotations = BTreeMap::from([("decision", "allow".to_owned()), ("decision-id", decision_id(review))]);
        Self { warnings: warning.into_iter().collect(), annotations, ..Self::default() }
    }

    pub fn allowed(&self) -> bool {
        self.status.is_none()
    }

    /// Of a refusal.
    pub fn message(&self) -> &str {
        self.status.as_ref().map_or("", |status| &status.message)
    }

    /// HTTP 200, whatever it says.
    pub fn respond(self, review: &Review<'_>) -> Response<Body> {
        let patched = !self.patch.is_empty();
        let patch = match patched.then(|| json_patch(self.patch)).transpose() {
            Ok(patch) => patch,
            Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        };
        json(
            StatusCode::OK,
            &Envelope {
                api_version: &review.api_version,
                kind: "AdmissionReview",
                response: Response_ {
                    uid: &review.uid,
                    allowed: self.status.is_none(),
                    status: self.status,
                    warnings: self.warnings,
                    audit_annotations: self.annotations,
                    patch_type: patched.then_some("JSONPatch"),
                    patch,
                },
            },
        )
    }
}

/// Standard, padded base64 of an RFC 6902 array. `add` replaces a member that is there and makes one that is not.
fn json_patch(changes: Vec<Change>) -> serde_json::Result<ByteString> {
    let operations = changes.into_iter().map(|change| {
        let path = PointerBuf::from_tokens(change.path);
        match change.value {
            Some(value) => PatchOperation::Add(AddOperation { path, value }),
            None => PatchOperation::Remove(RemoveOperation { path }),
        }
    });
    serde_json::to_vec(&Patch(operations.collect())).map(ByteString)
}

/// No verdict: the status says whose fault it is. With the review known the body carries its uid, else it is one line.
pub(super) fn fault(fault: &Fault, review: Option<&Review<'_>>) -> Response<Body> {
    let code = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match review {
        Some(review) => json(
            code,
            &Envelope {
                api_version: &review.api_version,
                kind: "AdmissionReview",
                response: Response_ {
                    uid: &review.uid,
                    allowed: false,
                    status: Some(Status {
                        status: "Failure",
                        message: one_line(&fault.to_string(), 500),
                        reason: status_reason(fault.status()),
                        details: None,
                        code: fault.status(),
                    }),
                    warnings: Vec::new(),
                    audit_annotations: BTreeMap::new(),
                    patch_type: None,
                    patch: None,
                },
            },
        ),
        None => text(code, format!("{}\n", one_line(&fault.to_string(), 500))),
    };
    told_by_headers(fault, &mut response);
    response
}

/// What a caller's machinery reads of a fault.
pub(super) fn told_by_headers(fault: &Fault, response: &mut Response<Body>) {
    let headers = response.headers_mut();
    if fault.retry() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if fault.closes() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if *fault == Fault::NotPost {
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
}

fn status_reason(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        403 => "Forbidden",
        422 => "Invalid",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    }
}

fn refusal(review: &Review<'_>, verdict: &Verdict) -> Option<Status> {
    let hold = verdict.hold.as_ref()?;
    // The API takes an int32 and turns it into the header Retry-After.
    let retry = verdict.retry_after_seconds().map(|seconds| i32::try_from(seconds).unwrap_or(i32::MAX));
    Some(denial(review, verdict.code(), verdict.message().unwrap_or_default(), causes(review, hold), retry))
}

fn denial(review: &Review<'_>, code: u16, message: String, causes: Vec<StatusCause>, retry: Option<i32>) -> Status {
    Status {
        status: "Failure",
        message,
        reason: status_reason(code),
        details: Some(Details {
            name: review.name().map(|name| one_line(&name, ANNOTATION_MAX_CHARS)),
            group: "kubernaut.ai",
            kind: "WorkflowExecution",
            causes,
            retry_after_seconds: retry,
        }),
        code,
    }
}

/// A hold is one cause; a malformed object has one for each field, since kubectl prints nothing else of a 422.
fn causes(review: &Review<'_>, hold: &Hold) -> Vec<StatusCause> {
    match &hold.because {
        Because::Malformed(causes) => causes
            .iter()
            .take(CAUSES_MAX)
            .map(|cause| StatusCause {
                reason: Reason::Malformed.as_str().to_owned(),
                message: cause.message.clone(),
                field: cause.field.clone(),
            })
            .collect(),
        _ => vec![StatusCause {
            reason: hold.reason.as_str().to_owned(),
            message: hold.what(),
            field: member(review, hold.field()).to_owned(),
        }],
    }
}

/// A member of `v1alpha1` in the version of the review.
fn member<'f>(review: &Review<'_>, field: &'f str) -> &'f str {
    match (review.version(), field) {
        (Some(Version::V1beta1), "spec.targetResource") => "spec.target",
        _ => field,
    }
}

fn annotations(review: &Review<'_>, verdict: &Verdict, age: Option<Duration>) -> BTreeMap<&'static str, String> {
    let mut annotations = BTreeMap::from([
        ("decision", if verdict.admitted() { "allow" } else { "deny" }.to_owned()),
        ("decision-id", decision_id(review)),
    ]);
    if let Some((hold, mode)) = verdict.told() {
        annotations.insert("reason", one_line(hold.reason.as_str(), ANNOTATION_MAX_CHARS));
        annotations.insert("mode", mode.as_str().to_owned());
    }
    if let Some(age) = age {
        annotations.insert("state-age-ms", age.as_millis().to_string());
    }
    annotations
}

/// Joins the API server's audit event to our log line. The uid of the review: the same review gives the same answer.
pub(super) fn decision_id(review: &Review<'_>) -> String {
    one_line(&review.uid, 64)
}

fn json(code: StatusCode, body: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(body) {
        Ok(bytes) => respond(code, "application/json", bytes.into()),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn text(code: StatusCode, line: String) -> Response<Body> {
    respond(code, "text/plain; charset=utf-8", line.into())
}

pub(super) fn respond(code: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
