//! Why an execution failed: the CRD's closed list.

use std::fmt;

/// `status.failureDetails.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    OomKilled,
    DeadlineExceeded,
    Forbidden,
    ResourceExhausted,
    ConfigurationError,
    ImagePullBackOff,
    TaskFailed,
    Unknown,
    /// The executor's own, never classified.
    UnsupportedEngine,
    /// The executor's own, never classified.
    Deduplicated,
}

impl Reason {
    pub const ALL: [Self; 10] = [
        Self::OomKilled,
        Self::DeadlineExceeded,
        Self::Forbidden,
        Self::ResourceExhausted,
        Self::ConfigurationError,
        Self::ImagePullBackOff,
        Self::TaskFailed,
        Self::Unknown,
        Self::UnsupportedEngine,
        Self::Deduplicated,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OomKilled => "OOMKilled",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::Forbidden => "Forbidden",
            Self::ResourceExhausted => "ResourceExhausted",
            Self::ConfigurationError => "ConfigurationError",
            Self::ImagePullBackOff => "ImagePullBackOff",
            Self::TaskFailed => "TaskFailed",
            Self::Unknown => "Unknown",
            Self::UnsupportedEngine => "UnsupportedEngine",
            Self::Deduplicated => "Deduplicated",
        }
    }

    /// None: a word that the CRD does not have.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// Set by the executor, which knows; nothing that Tekton records says more.
    #[must_use]
    pub fn executors_own(self) -> bool {
        matches!(self, Self::UnsupportedEngine | Self::Deduplicated)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
