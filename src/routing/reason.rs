//! Why a workflow may not run now: the closed list of the contract, as far as it is built.

use std::fmt;

/// The word a machine reads in `details.causes[0].reason`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    Malformed,
    ParentMissing,
    ParentUnreadable,
    ParentMismatch,
    ParentDeleting,
    ParentTerminal,
    /// The parent is Blocked and says why in its own words.
    Published(Box<str>),
    ConsecutiveFailures,
    DuplicateInProgress,
    ResourceBusy,
    PreviousExecutionFailed,
    ExhaustedRetries,
    RecentlyRemediated,
    ExponentialBackoff,
    ExecutorCooldown,
    StaleState,
    SpecImmutable,
    AnnotationReserved,
}

impl Reason {
    /// The reason as callers read it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Published(text) => text,
            closed => closed.label(),
        }
    }

    /// The reason as a metric label: out of a closed set, so a published word that nobody knows is `Blocked`.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Malformed => "Malformed",
            Self::ParentMissing => "ParentMissing",
            Self::ParentUnreadable => "ParentUnreadable",
            Self::ParentMismatch => "ParentMismatch",
            Self::ParentDeleting => "ParentDeleting",
            Self::ParentTerminal => "ParentTerminal",
            Self::Published(text) => known_block(text),
            Self::ConsecutiveFailures => "ConsecutiveFailures",
            Self::DuplicateInProgress => "DuplicateInProgress",
            Self::ResourceBusy => "ResourceBusy",
            Self::PreviousExecutionFailed => "PreviousExecutionFailed",
            Self::ExhaustedRetries => "ExhaustedRetries",
            Self::RecentlyRemediated => "RecentlyRemediated",
            Self::ExponentialBackoff => "ExponentialBackoff",
            Self::ExecutorCooldown => "ExecutorCooldown",
            Self::StaleState => "StaleState",
            Self::SpecImmutable => "SpecImmutable",
            Self::AnnotationReserved => "AnnotationReserved",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The block reasons that RO is known to publish.
const PUBLISHED: [&str; 9] = [
    "ConsecutiveFailures",
    "DuplicateInProgress",
    "ResourceBusy",
    "RecentlyRemediated",
    "ExponentialBackoff",
    "UnmanagedResource",
    "IneffectiveChain",
    "PreviousExecutionFailed",
    "ExhaustedRetries",
];

fn known_block(text: &str) -> &'static str {
    PUBLISHED.into_iter().find(|known| *known == text).unwrap_or("Blocked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_word_is_told_but_labelled_only_if_known() {
        let known = Reason::Published("IneffectiveChain".into());
        let free = Reason::Published("vendor on site".into());
        assert_eq!((known.as_str(), known.label()), ("IneffectiveChain", "IneffectiveChain"));
        assert_eq!((free.as_str(), free.label()), ("vendor on site", "Blocked"));
    }

    #[test]
    fn every_closed_reason_is_its_own_label() {
        for reason in [
            Reason::Malformed,
            Reason::ParentMissing,
            Reason::ParentUnreadable,
            Reason::ParentMismatch,
            Reason::ParentDeleting,
            Reason::ParentTerminal,
            Reason::ConsecutiveFailures,
            Reason::DuplicateInProgress,
            Reason::ResourceBusy,
            Reason::PreviousExecutionFailed,
            Reason::ExhaustedRetries,
            Reason::RecentlyRemediated,
            Reason::ExponentialBackoff,
            Reason::ExecutorCooldown,
            Reason::StaleState,
            Reason::SpecImmutable,
            Reason::AnnotationReserved,
        ] {
            assert_eq!((reason.to_string(), reason.label()), (format!("{reason:?}"), reason.as_str()));
        }
    }
}
