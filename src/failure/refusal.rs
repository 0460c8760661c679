//! A run that the API server refused to create.

use super::Reason::{Forbidden, ResourceExhausted, *};
use super::evidence::{Source, Weight};
use super::{Classification, text, words};

/// Judges the API server's answer to the creation of a run. A refusal leaves nothing there that could run; where no
/// answer came, the run may have been stored all the same.
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
    let says = source.says(weight, format!("refused the run: {code} {reason}: {}", words::quote(message)));
    // 502 and 504 are a gateway's, or the API server's own word that it gave up waiting.
    let lost = class == Unknown && (matches!(code, 502 | 504) || reason == "Timeout" || text::answer_lost(message));
    let doubt = lost.then(|| source.says(Weight::Doubt, "did not say whether it stored the run"));
    Classification::of_whole(class, lost, message, std::iter::once(says).chain(doubt).collect())
}
