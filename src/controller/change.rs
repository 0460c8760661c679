//! What a loop writes on an object, and what it says of that to people.

use serde_json::{Value, json};

use crate::api::facts::Timestamp;
use crate::line::one_line_bytes;
use crate::status::whole_seconds;

/// The API server takes 1024 bytes of an event.
const NOTE_MAX_BYTES: usize = 1000;

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
        Self { warning: false, reason, note: one_line_bytes(note, NOTE_MAX_BYTES) }
    }

    pub fn warning(reason: &'static str, note: &str) -> Self {
        Self { warning: true, ..Self::normal(reason, note) }
    }
}

/// As a status says it.
pub fn time(at: Timestamp) -> Value {
    json!(whole_seconds(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_as_long_as_the_api_server_takes_it_whatever_is_written_in_it() {
        for letter in ["x", "ж", "字", "🦀"] {
            let note = Event::normal("r", &letter.repeat(2000)).note;
            assert!(
                note.len() <= NOTE_MAX_BYTES && note.len() > NOTE_MAX_BYTES - 10 && note.ends_with('…'),
                "{letter}: {}",
                note.len()
            );
        }
        assert_eq!(Event::normal("r", "ж").note, "ж");
    }
}
