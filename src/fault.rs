//! Whose fault it is that a request gets no verdict, and what helps.
//!
//! In: what went wrong. Out: HTTP status, a metric label out of a closed set, one line for the caller.
//! Never: logs, sleeps. A verdict is never a fault: that is HTTP 200.
//! Fails: not at all; every fault has its status, its label and its text.

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::time::Duration;

/// Why a request was not judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    // The caller's: the same request will never do.
    #[error("no such path; lockkeeper answers POST {known}")]
    NoSuchPath { known: String },
    #[error("send a review by POST")]
    NotPost,
    #[error("expected Content-Type: application/json")]
    NotJson,
    #[error("expected a body without Content-Encoding")]
    Encoded,
    #[error("the body is larger than {limit} bytes ({key})")]
    TooLarge { limit: usize, key: &'static str },
    #[error("not an AdmissionReview: {problem}")]
    NotAReview { problem: String },
    #[error("not a ConversionReview: {problem}")]
    NotAConversion { problem: String },
    #[error("the body did not arrive within {within:?}")]
    SlowBody { within: Duration },
    #[error("the body broke off")]
    BrokenBody,

    // The world's: the same request may do in a moment.
    #[error("{problem}")]
    NotReady { problem: String },
    #[error("too many bodies in flight ({key}); ask again")]
    Shed { key: &'static str },
    #[error("the objects were not converted in time; ask for fewer at a time, or again")]
    OutOfTime,

    // Ours.
    #[error("lockkeeper failed on this request and lives on; its log has the place")]
    Panicked,
}

impl Fault {
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::NotAReview { .. } | Self::NotAConversion { .. } | Self::BrokenBody => 400,
            Self::NoSuchPath { .. } => 404,
            Self::NotPost => 405,
            Self::SlowBody { .. } => 408,
            Self::TooLarge { .. } => 413,
            Self::NotJson | Self::Encoded => 415,
            Self::Panicked => 500,
            Self::NotReady { .. } | Self::Shed { .. } | Self::OutOfTime => 503,
        }
    }

    /// For metrics and logs.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoSuchPath { .. } => "no_such_path",
            Self::NotPost => "not_post",
            Self::NotJson => "not_json",
            Self::Encoded => "encoded",
            Self::TooLarge { .. } => "too_large",
            Self::NotAReview { .. } | Self::NotAConversion { .. } => "not_a_review",
            Self::SlowBody { .. } => "slow_body",
            Self::BrokenBody => "broken_body",
            Self::NotReady { .. } => "not_ready",
            Self::Shed { .. } => "shed",
            Self::OutOfTime => "out_of_time",
            Self::Panicked => "panic",
        }
    }

    /// Whether asking again within a second may help.
    #[must_use]
    pub fn retry(&self) -> bool {
        matches!(self, Self::NotReady { .. } | Self::Shed { .. } | Self::OutOfTime)
    }

    /// Whether the rest of the request is left unread, so that the connection must end.
    #[must_use]
    pub fn closes(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::SlowBody { .. } | Self::BrokenBody | Self::Shed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_in_a_second_is_asked_again() {
        assert!(Fault::NotReady { problem: "remediationrequests not listed yet".into() }.retry());
        assert!(Fault::Shed { key: "k" }.retry());
        assert!(!Fault::Panicked.retry());
        assert!(!Fault::NotJson.retry());
    }
}
