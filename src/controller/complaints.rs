//! What people are told, on the object itself, of visits that come to nothing: once, until one does not.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::change::Event;
use super::failed::Failed;
use super::retry::Retries;
use crate::api::facts::ObjectKey;

/// So often something may fail before it is worth a word: an API server that restarts is none.
const PATIENCE: u32 = 3;

/// Objects of which it was told, and which of their name they were.
#[derive(Default)]
pub struct Complaints(Mutex<HashMap<ObjectKey, String>>);

impl Complaints {
    /// How a visit ended. What is to be said of it, once it has failed so often; a right that is missing is missing at once.
    pub fn hear<T>(&self, key: &ObjectKey, uid: &str, visited: &Result<T, Failed>, retries: &Retries) -> Option<Event> {
        let error = match visited {
            Ok(_) => {
                self.forget(key);
                return None;
            }
            Err(error) => error,
        };
        let worth = match error {
            error if error.lacks_a_right() => true,
            Failed::Refused { code: 409, .. } | Failed::Behind(_) | Failed::LeftAlone(_) => false,
            Failed::Refused { .. } | Failed::Away(_) | Failed::Odd(_) => retries.failures(key) + 1 >= PATIENCE,
        };
        let mut told = self.0.lock();
        if !worth || told.get(key).is_some_and(|known| known == uid) {
            return None;
        }
        told.insert(key.clone(), uid.to_owned());
        let note = format!("{error}{}; it is tried again, later and later", error.advice());
        Some(Event::warning("Retrying", &note))
    }

    /// The object is gone, or all is well.
    pub fn forget(&self, key: &ObjectKey) {
        self.0.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16) -> Result<(), Failed> {
        let (reason, message) = ("Forbidden".to_owned(), "we-1 is forbidden: User \"u\" cannot patch".to_owned());
        Err(Failed::Refused { code, reason, message })
    }

    fn key() -> ObjectKey {
        ObjectKey { namespace: "payments".into(), name: "we-1".into() }
    }

    #[test]
    fn a_right_that_is_missing_is_said_once_and_what_to_grant() {
        let (complaints, retries) = (Complaints::default(), Retries::default());
        let hear =
            |visited: &Result<(), Failed>| complaints.hear(&key(), "u-1", visited, &retries).map(|event| event.note);
        let note = "403 Forbidden: we-1 is forbidden: User \"u\" cannot patch; grant lockkeeper that right, as its chart's profile does; it is tried again, later and later";
        assert_eq!(hear(&refused(403)).as_deref(), Some(note));
        assert_eq!(hear(&refused(403)), None);
        assert_eq!(hear(&Ok(())), None);
        assert_eq!(hear(&refused(403)).as_deref(), Some(note), "it was granted, and taken again");
        assert!(complaints.hear(&key(), "u-2", &refused(403), &retries).is_some(), "another one of its name");
    }

    #[test]
    fn what_fails_again_and_again_is_said_and_what_passes_is_not() {
        for (error, third) in [(|| refused(500), true), (|| refused(409), false)] as [(fn() -> _, bool); 2] {
            let (complaints, retries) = (Complaints::default(), Retries::default());
            let said: Vec<_> = (0..4)
                .map(|_| {
                    let said = complaints.hear(&key(), "u-1", &error(), &retries).is_some();
                    retries.after(&key(), &error().unwrap_err());
                    said
                })
                .collect();
            assert_eq!(said, [false, false, third, false]);
        }
        let behind = Err::<(), _>(Failed::Behind(String::new()));
        assert!(complaints_after_many(&behind).is_none());
    }

    fn complaints_after_many(visited: &Result<(), Failed>) -> Option<Event> {
        let retries = Retries::default();
        for _ in 0..9 {
            retries.after(&key(), &Failed::Away(String::new()));
        }
        Complaints::default().hear(&key(), "u-1", visited, &retries)
    }
}
