//! Which object is looked at when. One is in one pair of hands at a time; of many reasons to look, the first counts.

use std::collections::{BTreeSet, HashMap, HashSet};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::api::facts::ObjectKey;

#[derive(Default)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    by_time: BTreeSet<(Instant, ObjectKey)>,
    times: HashMap<ObjectKey, Instant>,
    in_hand: HashSet<ObjectKey>,
}

impl Queue {
    /// To be looked at then, or sooner where that was wished before.
    pub fn add(&self, key: ObjectKey, at: Instant) {
        {
            let mut waiting = self.waiting.lock();
            if let Some(before) = waiting.times.get(&key).copied() {
                if before <= at {
                    return;
                }
                waiting.by_time.remove(&(before, key.clone()));
            }
            waiting.by_time.insert((at, key.clone()));
            waiting.times.insert(key, at);
        }
        self.changed.notify_one();
    }

    pub fn add_now(&self, key: ObjectKey) {
        self.add(key, Instant::now());
    }

    /// The next one whose time has come and that is in nobody's hand.
    pub async fn next(&self) -> ObjectKey {
        loop {
            let changed = self.changed.notified();
            let due = match self.take() {
                Ok(key) => {
                    // There may be more than one.
                    self.changed.notify_one();
                    return key;
                }
                Err(due) => due,
            };
            match due {
                Some(due) => tokio::select! { () = changed => {}, () = sleep_until(due) => {} },
                None => changed.await,
            }
        }
    }

    /// None: nothing waits.
    fn take(&self) -> Result<ObjectKey, Option<Instant>> {
        let mut waiting = self.waiting.lock();
        let free = waiting.by_time.iter().find(|(_, key)| !waiting.in_hand.contains(key)).cloned();
        match free {
            Some((due, key)) if due <= Instant::now() => {
                waiting.by_time.remove(&(due, key.clone()));
                waiting.times.remove(&key);
                waiting.in_hand.insert(key.clone());
                Ok(key)
            }
            Some((due, _)) => Err(Some(due)),
            None => Err(None),
        }
    }

    /// Out of hand.
    pub fn done(&self, key: &ObjectKey) {
        self.waiting.lock().in_hand.remove(key);
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey { namespace: "n".into(), name: name.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_first_comes_first_and_once() {
        let queue = Queue::default();
        let now = Instant::now();
        queue.add(key("late"), now + Duration::from_secs(60));
        queue.add(key("soon"), now + Duration::from_secs(30));
        queue.add(key("soon"), now + Duration::from_secs(90));
        queue.add(key("late"), now + Duration::from_secs(10));
        assert_eq!(queue.next().await, key("late"));
        assert_eq!(Instant::now() - now, Duration::from_secs(10));
        assert_eq!(queue.next().await, key("soon"));
        assert_eq!(Instant::now() - now, Duration::from_secs(30));
        let nothing = tokio::time::timeout(Duration::from_secs(3600), queue.next()).await;
        assert!(nothing.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_hand_waits_until_it_is_out_of_it() {
        let queue = Queue::default();
        queue.add_now(key("a"));
        assert_eq!(queue.next().await, key("a"));
        queue.add_now(key("a"));
        queue.add_now(key("b"));
        assert_eq!(queue.next().await, key("b"));
        assert!(tokio::time::timeout(Duration::from_secs(60), queue.next()).await.is_err());
        let waits = async { tokio::time::timeout(Duration::from_secs(3600), queue.next()).await };
        let out = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            queue.done(&key("a"));
        };
        assert_eq!(tokio::join!(waits, out).0, Ok(key("a")), "who waits is told");
    }
}
