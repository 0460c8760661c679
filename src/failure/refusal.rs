//! A run that the API server refused to create.

use super::Reason::{Forbidden, ResourceExhausted, *};
use super::evidence::{Source, Weight};
use super::{Classification, text, words};

/// Judges the API server's answer to the creation of a run: nothing ran, since nothing is there.
#[must_use]
pub fn of_refusal(code: u16, reason: &str, message: &str) -> Classification {
    let source = Source::nameless("API server");
    let class = match (text::api_error(message), code, reason) {
        (Some(class), ..) => class,
        (None, 401 | 403, _) | (None, _, "Forbidden" | "Unauthorized") => Forbidden,
        (None, 429, _) | (None, _, "TooManyRequests") => Unknown,
        (None, 507, _) => ResourceExhausted,
        (None, 400 | 404 | 413 | 415 | 422, _) | (None, _, "Invalid" | "BadRequest" | "NotFound") => ConfigurationError,
        _ => Unknown,
    };
    let weight = if text::api_error(message).is_some() { Weight::Embedded } else { Weight::Run };
    let says = source.says(weight, format!("refused the run: {code} {reason}: {}", words::quote(message)));
    Classification::of_whole(class, false, message, vec![says])
}
