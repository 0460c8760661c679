//! Takes the steps that the plan says, one execution after the other: a count sees the one that was written before it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use serde_json::Value;
use tokio::time::Instant;

use super::plan::{Counts, End, Request, Seen, Step, plan, settled};
use crate::api::facts::{ObjectKey, ReadError, RemediationRequest, RequestPhase, WorkflowExecution};
use crate::cluster::{Changed, Index};
use crate::controller::objects::{Failed, Objects, Stored};
use crate::controller::queue::Queue;
use crate::controller::retry::Retries;
use crate::controller::visits::Visits;
use crate::routing::{self, Policy};
use crate::telemetry::Telemetry;

/// Everything is looked at again so often, in case a word of it was lost.
const RESYNC: Duration = Duration::from_secs(600);
/// What was written is awaited in the index so often and so long.
const LOOK: Duration = Duration::from_millis(10);
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// The loop.
pub struct Keeper {
    pub client: Client,
    pub identity: String,
    pub index: Arc<Index>,
    pub policy: Arc<ArcSwap<Policy>>,
    pub telemetry: Arc<Telemetry>,
}

impl Keeper {
    /// Until it is dropped.
    pub async fn run(&self) {
        let objects = Objects::of("routing-keeper", self.client.clone(), &self.identity);
        Hand { keeper: self, objects }.run().await;
    }
}

/// The keeper at work on a cluster.
struct Hand<'k> {
    keeper: &'k Keeper,
    objects: Objects,
}

impl Hand<'_> {
    async fn run(&self) {
        let queue = Queue::default();
        let mut changes = self.keeper.index.changes();
        let all = || self.keeper.index.execution_keys().into_iter().for_each(|key| queue.add_now(key));
        let listening = async {
            let mut resync = tokio::time::interval(RESYNC);
            loop {
                tokio::select! {
                    changed = changes.recv() => match changed {
                        Some(Changed::Execution(key, _)) => queue.add_now(key),
                        Some(Changed::Request(_) | Changed::Run { .. }) => {}
                        None => std::future::pending().await,
                    },
                    _ = resync.tick() => all(),
                }
            }
        };
        tokio::join!(listening, self.work(&queue));
    }

    async fn work(&self, queue: &Queue) {
        let (retries, telemetry) = (&Retries::default(), &*self.keeper.telemetry);
        let visits = Visits { queue, retries, telemetry, of: "routing_keeper", failed: "its request was not told" };
        visits.make(async |key| self.visit(&key).await.map(|()| None)).await;
    }

    /// What the index knows saves two calls where there is nothing to say; what is said rests on what is stored.
    async fn visit(&self, key: &ObjectKey) -> Result<(), Failed> {
        let index = &self.keeper.index;
        let Some(known) = index.execution(key) else { return Ok(()) };
        if settled(&known, index.request(&known.parent.key()).as_deref()) {
            return Ok(());
        }
        let Some(stored) = self.objects.execution(key).await? else { return Ok(()) };
        let execution = readable(key, WorkflowExecution::from_json(&stored.hub.to_string()))?;
        let parent = execution.parent.key();
        let Some(request) = self.objects.request(&parent).await? else { return Ok(()) };
        let facts = readable(&parent, RemediationRequest::from_json(&request.hub.to_string()))?;
        let shown = Request { facts: &facts, hub: &request.hub };
        let other = shown.execution().filter(|name| *name != &*key.name);
        let other = other.and_then(|name| index.execution(&key.beside(name)));
        let text = |path: &str| stored.hub.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let mut seen = Seen {
            execution: &execution,
            end: End {
                uid: text("/metadata/uid"),
                reason: text("/status/failure/reason"),
                message: text("/status/failure/message"),
            },
            request: Some(shown),
            other: other.as_deref(),
            counts: None,
        };
        let policy = self.keeper.policy.load();
        let now = Timestamp::now();
        let mut step = plan(&seen, &policy, now);
        if step == Step::Count {
            seen.counts = Some(self.count(&execution, &facts, &policy)?);
            step = plan(&seen, &policy, now);
        }
        let Step::Write(change) = step else { return Ok(()) };
        let written = self.objects.write_leaves(&parent, &request, &change).await?;
        self.told(&parent, &written, &change).await;
        Ok(())
    }

    /// Of what the index knows, where that is complete and fresh.
    fn count(
        &self,
        execution: &WorkflowExecution,
        request: &RemediationRequest,
        policy: &Policy,
    ) -> Result<Counts, Failed> {
        let behind = |why: &dyn std::fmt::Display| Failed::Behind(why.to_string());
        let (siblings, history, age) = self
            .keeper
            .index
            .neighbours(&request.key, execution.target.as_ref(), std::time::Instant::now() + Duration::from_secs(1))
            .map_err(|error| behind(&error))?;
        if age > policy.staleness.max.get() {
            return Err(behind(&format!("an input was silent for {age:?}")));
        }
        let mut ended = request.clone();
        ended.phase = RequestPhase::Failed;
        (ended.failure_phase, ended.outcome) = (Some("WorkflowExecution".into()), None);
        let starts = match &execution.target {
            Some(_) => {
                routing::failed_starts(&history, &execution.key).ok_or_else(|| behind(&"the end of this execution"))?
            }
            None => 0,
        };
        Ok(Counts { failures: routing::failures_in_a_row(&siblings, &ended), starts })
    }

    /// Says it to people, and waits until the index has heard it, so that the next count does.
    async fn told(&self, key: &ObjectKey, written: &Stored, change: &crate::controller::executor::StatusChange) {
        if let Some(event) = &change.event {
            tracing::info!(request = %key, event = event.reason, note = event.note, "status written");
            self.objects.tell(written, event).await;
        }
        if written.hub.pointer("/status/completedAt").is_none_or(Value::is_null) {
            return;
        }
        let heard = || self.keeper.index.request(key).is_none_or(|request| request.phase.terminal());
        let end = Instant::now() + HEARD_WITHIN;
        while !heard() && Instant::now() < end {
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn readable<T>(key: &ObjectKey, read: Result<T, ReadError>) -> Result<T, Failed> {
    read.map_err(|error| Failed::LeftAlone(format!("{key} cannot be read: {error}")))
}
