//! What a person asked for by annotation becomes `status.blockClearance`, in their name: `status::granted` says what, this writes
//! it. It runs wherever there is a cluster, whoever executes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use parking_lot::Mutex;

use super::change::{Event, StatusChange};
use super::complaints::Complaints;
use super::failed::Failed;
use super::objects::Objects;
use super::queue::Queue;
use super::retry::Retries;
use super::stored::Stored;
use super::visits::Visits;
use crate::api::facts::{ObjectKey, Record};
use crate::cluster::{Changed, Index};
use crate::status;
use crate::telemetry::Telemetry;

/// Everything is looked at again so often, in case a word of it was lost.
const RESYNC: Duration = Duration::from_secs(600);

/// The loop.
pub struct Clearance {
    pub client: Client,
    pub identity: String,
    pub index: Arc<Index>,
    pub telemetry: Arc<Telemetry>,
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
        let (retries, telemetry) = (&Retries::default(), &*self.telemetry);
        let visits = Visits { queue, retries, telemetry, of: "clearance", failed: "a clearance was not written" };
        let objects = Objects::of("clearance", self.client.clone(), &self.identity);
        let refused = Refused::default();
        let complaints = Complaints::default();
        let clear = async |key: ObjectKey| {
            let Some(stored) = objects.execution(&key).await? else { return Ok(None) };
            let visited = visit(&objects, &refused, &key, &stored).await;
            if let Some(event) = complaints.hear(&key, stored.uid(), &visited, retries) {
                objects.tell(&stored, &event).await;
            }
            visited.map(|()| None)
        };
        visits.make(clear).await;
    }
}

/// Clearances that were refused, by the version of the object that asked: asked for again they are refused again.
type Refused = Mutex<HashMap<ObjectKey, String>>;

async fn visit(objects: &Objects, refused: &Refused, key: &ObjectKey, stored: &Stored) -> Result<(), Failed> {
    if refused.lock().get(key).is_some_and(|version| version == stored.resource_version()) {
        return Ok(());
    }
    let record = Record::from_json(&stored.hub.to_string())
        .map_err(|error| Failed::LeftAlone(format!("it cannot be read: {error}")))?;
    let Some(clearance) = status::granted(&record, Timestamp::now()) else { return Ok(()) };
    let author = record.cleared_by.unwrap_or_default();
    let event = Event::normal("Cleared", &format!("cleared by {author}: its target may be acted on again"));
    let change = StatusChange { members: vec![("blockClearance", Some(clearance))], event: None };
    match objects.write_status(key, stored, &change).await {
        Ok(Some(written)) => {
            tracing::info!(execution = %key, "cleared, as its annotation asks");
            objects.tell(&written, &event).await;
            Ok(())
        }
        Ok(None) => Ok(()),
        // It was asked for by rules that are not those of now; what would change that is another write.
        Err(error @ Failed::Refused { code: 403 | 422, .. }) if !error.lacks_a_right() => {
            let note = format!("the clearance that was asked for is refused: {error}");
            objects.tell(stored, &Event::warning("ClearanceRefused", &note)).await;
            refused.lock().insert(key.clone(), stored.resource_version().to_owned());
            Err(Failed::LeftAlone(format!("{note}; annotate it anew")))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use hyper::Method;
    use serde_json::{Value, json};

    use super::*;
    use crate::controller::testing::{refusal, server};

    /// An execution that failed at work, and whose annotation asks for a clearance.
    fn asks(version: &str) -> Value {
        json!({
            "apiVersion": "kubernaut.ai/v1beta1", "kind": "WorkflowExecution",
            "metadata": {"namespace": "n", "name": "we", "uid": "u", "resourceVersion": version, "annotations": {
                "lockkeeper.kubernaut.ai/clear": "looked", "lockkeeper.kubernaut.ai/cleared-by": "admin"}},
            "spec": {"remediationRequestRef": {"name": "rr"}, "target": {"kind": "Node", "name": "w"}},
            "status": {"phase": "Failed", "failure": {"reason": "TaskFailed", "wasExecutionFailure": true}},
        })
    }

    #[tokio::test]
    async fn what_a_webhook_refuses_is_said_once_for_each_wish_and_a_missing_right_is_tried_again() {
        let denied = "admission webhook \"w\" denied the request: no";
        let right = "we is forbidden: User \"u\" cannot patch resource \"workflowexecutions/status\"";
        for (message, outcomes, said) in
            [(denied, ["left_alone", "settled", "left_alone"], 2), (right, ["retried", "retried", "retried"], 0)]
        {
            let (events, version) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new("1")));
            let (told, now) = (events.clone(), version.clone());
            let client = server(move |call| match call.method {
                Method::POST => {
                    *told.lock() += 1;
                    None
                }
                Method::PATCH => Some(refusal(403, "Forbidden", message)),
                _ => call.is_of_objects().then(|| (200, asks(*now.lock()))),
            });
            let objects = Objects::of("clearance", client, "us");
            let (refused, key) = (Refused::default(), ObjectKey { namespace: "n".into(), name: "we".into() });
            let clear = async || {
                let stored = objects.execution(&key).await.unwrap().unwrap();
                visit(&objects, &refused, &key, &stored).await.map_or_else(|error| error.outcome(), |()| "settled")
            };
            let first = [clear().await, clear().await];
            *version.lock() = "2";
            assert_eq!([first[0], first[1], clear().await], outcomes, "{message}");
            assert_eq!(*events.lock(), said, "{message}");
        }
    }
}
