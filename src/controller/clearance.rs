//! What a person asked for by annotation becomes `status.blockClearance`, in their name: `status::granted` says what, this writes
//! it. It runs wherever there is a cluster, whoever executes.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::time::Instant;

use super::executor::{Event, StatusChange};
use super::objects::{Failed, Objects};
use super::queue::Queue;
use super::retry::Retries;
use crate::api::facts::{ObjectKey, Record};
use crate::cluster::{Changed, Index};
use crate::status;

/// Everything is looked at again so often, in case a word of it was lost.
const RESYNC: Duration = Duration::from_secs(600);

/// The loop.
pub struct Clearance {
    pub client: Client,
    pub identity: String,
    pub index: Arc<Index>,
}

impl Clearance {
    /// Until it is dropped.
    pub async fn run(&self) {
        let queue = Queue::default();
        let mut changes = self.index.changes();
        let asked =
            |key: &ObjectKey| self.index.execution(key).is_some_and(|known| known.asks_to_clear && !known.cleared);
        let listening = async {
            let mut resync = tokio::time::interval(RESYNC);
            loop {
                tokio::select! {
                    changed = changes.recv() => match changed {
                        Some(Changed::Execution(key, _)) if asked(&key) => queue.add_now(key),
                        Some(_) => {}
                        None => std::future::pending().await,
                    },
                    _ = resync.tick() => self.index.execution_keys().into_iter().filter(asked).for_each(|key| queue.add_now(key)),
                }
            }
        };
        tokio::join!(listening, self.work(&queue));
    }

    async fn work(&self, queue: &Queue) {
        let retries = Retries::default();
        let objects = Objects::of("clearance", self.client.clone(), &self.identity);
        loop {
            let key = queue.next().await;
            match visit(&objects, &key).await {
                Ok(()) => retries.forget(&key),
                Err(error) => {
                    let wait = retries.after(&key, &error);
                    if error.code() != 409 {
                        tracing::warn!(execution = %key, %error, "a clearance was not written; trying again");
                    }
                    queue.add(key.clone(), Instant::now() + wait);
                }
            }
            queue.done(&key);
        }
    }
}

async fn visit(objects: &Objects, key: &ObjectKey) -> Result<(), Failed> {
    let Some(stored) = objects.execution(key).await? else { return Ok(()) };
    let record = match Record::from_json(&stored.hub.to_string()) {
        Ok(record) => record,
        Err(error) => {
            tracing::warn!(execution = %key, %error, "left alone: it cannot be read");
            return Ok(());
        }
    };
    let Some(clearance) = status::granted(&record, Timestamp::now()) else { return Ok(()) };
    let author = record.cleared_by.unwrap_or_default();
    let event = Event::normal("Cleared", &format!("cleared by {author}: its target may be acted on again"));
    let change = StatusChange { members: vec![("blockClearance", Some(clearance))], event: None };
    match objects.write_status(key, &stored, &change).await {
        Ok(Some(written)) => {
            tracing::info!(execution = %key, "cleared, as its annotation asks");
            objects.tell(&written, &event).await;
            Ok(())
        }
        Ok(None) => Ok(()),
        // It was asked for by rules that are not those of now; what would change that is another write.
        Err(error @ Failed::Refused { code: 403 | 422, .. }) => {
            tracing::warn!(execution = %key, %error, "the clearance that its annotation asks for is refused; annotate it anew");
            let note = format!("the clearance that was asked for is refused: {error}");
            objects.tell(&stored, &Event::warning("ClearanceRefused", &note)).await;
            Ok(())
        }
        Err(error) => Err(error),
    }
}
