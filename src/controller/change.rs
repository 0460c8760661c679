//! What a loop writes on an object, and what it says of that to people.

use serde_json::{Value, json};

use crate::api::facts::Timestamp;
use crate::line::one_line;
use crate::status::whole_seconds;

/// As the API server takes of an event.
const NOTE_MAX_CHARS: usize = 1000;

/// Members of a status and what they become; None: they go. What is not named stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusChange {
    pub members: Vec<(&'static str, Option<Value>)>,
    pub event: Option<Event>,
}

/// A Kubernetes event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub warning: bool,
    pub reason: &'static str,
    pub note: String,
}

impl Event {
    pub fn normal(reason: &'static str, note: &str) -> Self {
        Self { warning: false, reason, note: one_line(note, NOTE_MAX_CHARS) }
    }

    pub fn warning(reason: &'static str, note: &str) -> Self {
        Self { warning: true, ..Self::normal(reason, note) }
    }
}

/// As a status says it.
pub fn time(at: Timestamp) -> Value {
    json!(whole_seconds(at))
}
