//! A run that the API server refused to create.

use super::Reason::{Forbidden, ResourceExhausted, *};
use super::evidence::{Source, Weight};
use super::{Classification, text, words};

/// Judges the API server's answer to the creation of a run. A refusal that is known as such leaves nothing there that
/// could run. Of anything else nobody knows whether the run was stored all the same.
#[must_use]
pub fn of_refusal(code: u16, reason: &str, message: &str) -> Classification {
    let source = Source::nameless("API server");
    let embedded = text::api_error(message);
    let class = match (embedded, code, reason) {
        (Some(class), ..) => class,
        (None, 401 | 403, _) | (None, _, "Forbidden" | "Unauthorized") => Forbidden,
        (None, 429, _) | (None, _, "TooManyRequests") => Unknown,
        (None, 507, _) => ResourceExhausted,
        (None, 400 | 404 | 413 | 415 | 422, _) | (None, _, "Invalid" | "BadRequest" | "NotFound") => ConfigurationError,
        _ => Unknown,
    };
    let weight = if embedded.is_some() { Weight::Embedded } else { Weight::Run };
    let refused = refuses(code, reason, message);
    let status = [(code > 0).then(|| code.to_string()), said(reason)];
    let status = status.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let told = [said(&status), said(&words::quote(message))].into_iter().flatten().collect::<Vec<_>>().join(": ");
    let says = match (refused, &*told) {
        (true, told) => format!("refused the run: {told}"),
        (false, "") => "answered nothing".to_owned(),
        (false, told) => format!("answered: {told}"),
    };
    let doubt = (!refused).then(|| source.says(Weight::Doubt, "did not say that it stored no run"));
    let evidence = std::iter::once(source.says(weight, says)).chain(doubt).collect();
    // What cannot be told from a run that is there has no cause that is known.
    let class = if refused { class } else { Unknown };
    Classification::of_whole(class, !refused, message, evidence)
}

fn said(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Whether nothing was stored, by the answer's words, else by its status. Another's 5xx, a timeout and an error of the
/// connection do not say; where a run of that name exists, there is one.
fn refuses(code: u16, reason: &str, message: &str) -> bool {
    match (text::refusal(message), code, reason) {
        (Some(refused), ..) => refused,
        (None, _, "AlreadyExists" | "Timeout" | "ServerTimeout") => false,
        (None, 409, reason) => reason == "Conflict",
        (None, 400 | 401 | 403..=406 | 410 | 413 | 415 | 422 | 429 | 507, _) => true,
        (None, code, reason) => code == 0 && REFUSALS.contains(&reason),
    }
}

/// Reasons of the API server that it gives before it stores anything.
const REFUSALS: [&str; 11] = [
    "BadRequest",
    "Unauthorized",
    "Forbidden",
    "NotFound",
    "MethodNotAllowed",
    "NotAcceptable",
    "Expired",
    "RequestEntityTooLarge",
    "UnsupportedMediaType",
    "Invalid",
    "TooManyRequests",
];
