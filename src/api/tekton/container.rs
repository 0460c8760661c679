//! A step, a sidecar, or a container of a Pod: Tekton and the kubelet spell their states alike.

use serde::Deserialize;

use super::loose::{Count, Loose, Member, Objects, Present, SomeTime, text, time};
use crate::api::facts::{Time, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub name: Box<str>,
    pub state: State,
    /// The kubelet named the image: the container was created from it.
    pub has_image: bool,
    /// How it ended before the kubelet started it again. Of a Pod only: Tekton's are never started again.
    pub before: Option<Terminated>,
    /// The kubelet started it again, or that cannot be read.
    pub restarted: bool,
    /// What Tekton's entrypoint said of the end: Completed, Error, Continued, Skipped, TimeoutExceeded …
    pub termination: Box<str>,
}

/// A container's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing is known of it yet.
    #[default]
    None,
    Waiting {
        reason: Box<str>,
        message: Box<str>,
    },
    Running,
    Terminated(Terminated),
    /// Something stands there that nobody here can read.
    Unreadable,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terminated {
    pub reason: Box<str>,
    pub exit_code: Option<i32>,
    pub started: Option<Timestamp>,
    pub finished: Option<Timestamp>,
    /// The runtime's own words where nothing ever started; elsewhere whatever the workflow wrote.
    pub message: Box<str>,
}

impl Container {
    /// What it was is unknown.
    pub(super) fn unreadable() -> Self {
        Self {
            name: Box::default(),
            state: State::Unreadable,
            has_image: false,
            before: None,
            restarted: false,
            termination: Box::default(),
        }
    }

    #[must_use]
    pub fn terminated(&self) -> Option<&Terminated> {
        match &self.state {
            State::Terminated(end) => Some(end),
            _ => None,
        }
    }

    /// How it ended, or how it ended before it was started again.
    #[must_use]
    pub fn end(&self) -> Option<&Terminated> {
        self.terminated().or(self.before.as_ref())
    }
}

pub(super) fn containers(stored: Objects<StoredContainer>) -> Vec<Container> {
    let read = |one: Option<StoredContainer>| one.map_or_else(Container::unreadable, StoredContainer::read);
    stored.0.into_iter().map(read).collect()
}

/// A TaskRun has the state's members in the step itself, a Pod in `state`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoredContainer {
    #[serde(default)]
    name: Loose<Box<str>>,
    #[serde(default, rename = "imageID")]
    image_id: Present,
    #[serde(default)]
    termination_reason: Loose<Box<str>>,
    #[serde(default)]
    state: Member<States>,
    #[serde(default)]
    last_state: Member<States>,
    #[serde(default)]
    restart_count: Count,
    #[serde(default)]
    waiting: Member<StoredWaiting>,
    #[serde(default)]
    running: Member<Ignored>,
    #[serde(default)]
    terminated: Member<StoredTerminated>,
}

#[derive(Debug, Default, Deserialize)]
struct States {
    #[serde(default)]
    waiting: Member<StoredWaiting>,
    #[serde(default)]
    running: Member<Ignored>,
    #[serde(default)]
    terminated: Member<StoredTerminated>,
}

#[derive(Debug, Deserialize)]
struct Ignored {}

#[derive(Debug, Deserialize)]
struct StoredWaiting {
    #[serde(default)]
    reason: Loose<Box<str>>,
    #[serde(default)]
    message: Loose<Box<str>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredTerminated {
    #[serde(default)]
    reason: Loose<Box<str>>,
    #[serde(default)]
    exit_code: Loose<i32>,
    #[serde(default)]
    started_at: SomeTime,
    #[serde(default)]
    finished_at: Loose<Time>,
    #[serde(default)]
    message: Loose<Box<str>>,
}

impl StoredContainer {
    fn read(self) -> Container {
        let own = States { waiting: self.waiting, running: self.running, terminated: self.terminated };
        let state = match own.read() {
            State::None => self.state.read(),
            state => state,
        };
        let before = match self.last_state.read() {
            State::Terminated(end) => Some(end),
            State::None => None,
            // It was something before, and that is not known.
            _ => Some(Terminated { reason: UNREADABLE.into(), ..Terminated::default() }),
        };
        Container {
            name: text(self.name),
            state,
            has_image: self.image_id.0,
            before,
            restarted: self.restart_count.0 > 0,
            termination: text(self.termination_reason),
        }
    }
}

/// Stands for a reason that nobody here can read.
const UNREADABLE: &str = "(unreadable)";

impl Member<States> {
    fn read(self) -> State {
        match self {
            Self::Absent => State::None,
            Self::Read(states) => states.read(),
            Self::Unreadable => State::Unreadable,
        }
    }
}

impl States {
    /// Where two stand side by side, the one that proves more.
    fn read(self) -> State {
        match (self.terminated, self.running, self.waiting) {
            (Member::Read(end), ..) => State::Terminated(Terminated {
                reason: text(end.reason),
                exit_code: end.exit_code.0,
                started: end.started_at.0,
                finished: time(&end.finished_at),
                message: text(end.message),
            }),
            (Member::Unreadable, ..) => State::Unreadable,
            (_, running, _) if running.is_present() => State::Running,
            (_, _, Member::Read(waiting)) => {
                State::Waiting { reason: text(waiting.reason), message: text(waiting.message) }
            }
            (_, _, Member::Unreadable) => State::Unreadable,
            _ => State::None,
        }
    }
}
