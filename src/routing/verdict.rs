//! What `decide` says: all findings in order, admitted or held. Numbers inside; words are made in `words`.

use std::time::Duration;

use super::policy::Mode;
use super::reason::Reason;
use super::warnings::Warning;
use crate::api::facts::{Cause, ObjectKey, Timestamp};

/// The answer to one question, with all it takes to tell it.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The `now` it was given at.
    pub at: Timestamp,
    pub(super) subject: Subject,
    /// What holds the candidate; none: it is admitted.
    pub hold: Option<Hold>,
    /// Every check, in order, also after the first hit.
    pub findings: Vec<Finding>,
    pub warnings: Vec<Warning>,
}

/// What the question was about, for the command that explains it.
#[derive(Clone, Debug, Default)]
pub(super) struct Subject {
    pub parent: Option<ObjectKey>,
    pub target: Option<Box<str>>,
    pub cluster: Box<str>,
}

impl Verdict {
    #[must_use]
    pub fn admitted(&self) -> bool {
        self.hold.is_none()
    }

    /// HTTP code of the answer inside the review: an admission, a hold, or an object that makes no sense.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self.hold.as_ref().map(|hold| &hold.reason) {
            None => 200,
            Some(Reason::Malformed) => 422,
            Some(_) => 403,
        }
    }

    /// The hold that decided, else the first hit that would have, with the mode it acted in.
    #[must_use]
    pub fn told(&self) -> Option<(&Hold, Mode)> {
        let enforced = self.hold.as_ref().map(|hold| (hold, Mode::Enforce));
        enforced.or_else(|| self.findings.iter().find_map(|finding| Some((finding.hit()?, finding.mode))))
    }

    /// When the hold ends, where that is known.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.hold.as_ref().and_then(Hold::until)
    }

    /// Whole seconds to the end, rounded up, at least 1.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.until().map(|until| seconds_until(until, self.at))
    }
}

/// Whole seconds from `now` to `until`, rounded up, at least 1.
pub(super) fn seconds_until(until: Timestamp, now: Timestamp) -> u64 {
    let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    (left.as_secs() + u64::from(left.subsec_nanos() > 0)).max(1)
}

/// One check's answer and how it acts.
#[derive(Clone, Debug)]
pub struct Finding {
    pub check: Check,
    pub mode: Mode,
    pub outcome: Outcome,
}

impl Finding {
    #[must_use]
    pub fn hit(&self) -> Option<&Hold> {
        match &self.outcome {
            Outcome::Hit(hold) => Some(hold),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Pass,
    Hit(Hold),
    /// What it needs to know is not there.
    Skipped,
    Off,
}

impl Outcome {
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Hit(_) => "hit",
            Self::Skipped => "skipped",
            Self::Off => "off",
        }
    }
}

/// The checks by name, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    Malformed,
    ParentState,
    PublishedBlock,
    ConsecutiveFailures,
    DuplicateInProgress,
    ResourceBusy,
    PreviousExecutionFailed,
    ExhaustedRetries,
    RecentlyRemediated,
    ExponentialBackoff,
    ExecutorCooldown,
}

impl Check {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "Malformed",
            Self::ParentState => "ParentState",
            Self::PublishedBlock => "PublishedBlock",
            Self::ConsecutiveFailures => "ConsecutiveFailures",
            Self::DuplicateInProgress => "DuplicateInProgress",
            Self::ResourceBusy => "ResourceBusy",
            Self::PreviousExecutionFailed => "PreviousExecutionFailed",
            Self::ExhaustedRetries => "ExhaustedRetries",
            Self::RecentlyRemediated => "RecentlyRemediated",
            Self::ExponentialBackoff => "ExponentialBackoff",
            Self::ExecutorCooldown => "ExecutorCooldown",
        }
    }
}

/// A reason not to run now: what, who, until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub reason: Reason,
    pub because: Because,
    pub by: Option<Culprit>,
    pub end: End,
}

impl Hold {
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        match self.end {
            End::At(time) => Some(time),
            End::WhenCleared | End::WhenGone | End::Never => None,
        }
    }
}

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    At(Timestamp),
    /// When a person clears it.
    WhenCleared,
    /// When what holds it has ended.
    WhenGone,
    /// Not by waiting.
    Never,
}

/// The object that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Culprit {
    pub kind: Kind,
    pub key: ObjectKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    RemediationRequest,
    WorkflowExecution,
}

impl Kind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RemediationRequest => "RemediationRequest",
            Self::WorkflowExecution => "WorkflowExecution",
        }
    }
}

/// What a hold rests on, with its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    Malformed(Vec<Cause>),
    ParentMissing,
    ParentUnreadable,
    ParentMismatch {
        wanted: Box<str>,
        found: Box<str>,
    },
    ParentDeleting,
    ParentTerminal {
        phase: &'static str,
    },
    Published,
    ConsecutiveFailures {
        count: usize,
        threshold: u32,
    },
    DuplicateInProgress,
    ResourceBusy,
    /// A run on the target goes on, and its execution does not.
    RunGoesOn,
    PreviousExecutionFailed,
    ExhaustedRetries {
        count: usize,
        max: u32,
    },
    RecentlyRemediated {
        completed: Timestamp,
    },
    BackoffPublished,
    BackoffComputed {
        count: usize,
    },
    /// The executor takes nothing on this target yet.
    ExecutorRests {
        ended: Timestamp,
    },
    /// The run of the execution that ended last is in the way of another.
    RunIsLeft,
    StaleState {
        age: Duration,
        max: Duration,
    },
    SpecChanged,
    /// An annotation says of the spec, in the other version, what is not seen of it.
    ParkedSpec,
    /// An annotation says of the status, in the other version, what no status write said.
    ParkedStatus,
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn seconds_are_rounded_up_and_at_least_one() {
        let millis = |ms: u64| seconds_until(now().checked_add(Duration::from_millis(ms)).unwrap(), now());
        for (left, seconds) in
            [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (86_999, 87), (87_000, 87), (87_001, 88)]
        {
            assert_eq!(millis(left), seconds, "{left} ms");
        }
        assert_eq!(seconds_until(at(-5), now()), 1, "over already");
    }

    #[test]
    fn only_a_hold_with_an_end_says_when_to_come_back() {
        let retry_after = |scene: Scene| scene.decide().retry_after_seconds();
        assert_eq!(retry_after(view().history([completed().ended(-213)])), Some(87));
        assert_eq!(retry_after(view().history([failed(Ran).ended(-1)])), None);
        assert_eq!(retry_after(view().history([running()])), None);
        assert_eq!(retry_after(view().without_parent()), None);
        assert_eq!(retry_after(view()), None);
    }

    #[test]
    fn names_are_those_of_the_contract() {
        let scene = held_by_everything();
        for finding in &scene.decide().findings {
            assert_eq!(finding.check.as_str(), format!("{:?}", finding.check));
        }
        for kind in [Kind::RemediationRequest, Kind::WorkflowExecution] {
            assert_eq!(kind.to_string(), format!("{kind:?}"));
        }
        for (mode, text) in
            [(Mode::Enforce, "enforce"), (Mode::Warn, "warn"), (Mode::Audit, "audit"), (Mode::Off, "off")]
        {
            assert_eq!(mode.as_str(), text);
            assert_eq!(serde_json::to_value(mode).unwrap(), text, "as in the configuration");
        }
    }
}
