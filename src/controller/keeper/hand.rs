//! Takes the steps that the plan says, one execution after the other: a count sees the one that was written before it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use super::plan::{Counts, End, Request, Seen, Step, abandoned, plan, settled};
use crate::api::facts::{
    ExecutionPhase, ObjectKey, ReadError, RemediationRequest, RequestPhase, TargetId, WorkflowExecution,
};
use crate::cluster::{Changed, Index};
use crate::controller::change::StatusChange;
use crate::controller::complaints::Complaints;
use crate::controller::failed::Failed;
use crate::controller::objects::Objects;
use crate::controller::queue::Queue;
use crate::controller::retry::Retries;
use crate::controller::stored::Stored;
use crate::controller::visits::Visits;
use crate::routing::{self, Policy};
use crate::telemetry::Telemetry;

/// Everything is looked at again so often, in case a word of it was lost.
const RESYNC: Duration = Duration::from_secs(600);
/// What could not be looked at is looked at again so soon.
const SOON: Duration = Duration::from_secs(5);
/// What was written is awaited in the index so often and so long; what comes later is counted later.
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
        Hand {
            keeper: self,
            objects,
            begun: Mutex::default(),
            unheard: Unheard::default(),
            retries: Retries::default(),
            complaints: Complaints::default(),
        }
        .run()
        .await;
    }
}

/// The keeper at work on a cluster.
struct Hand<'k> {
    keeper: &'k Keeper,
    objects: Objects,
    /// Executions that have begun, and of which the last was not told yet, and their requests: when one is deleted, nothing else
    /// tells whose it was.
    begun: Mutex<HashMap<ObjectKey, ObjectKey>>,
    unheard: Unheard,
    retries: Retries,
    complaints: Complaints,
}

/// Requests whose end was written, and the index has not heard of it yet: without them their signal is not counted. By their
/// names: the signal, and when it was written.
#[derive(Default)]
struct Unheard(Mutex<HashMap<ObjectKey, (Box<str>, Instant)>>);

impl Unheard {
    fn add(&self, request: ObjectKey, signal: &str) {
        self.0.lock().insert(request, (signal.into(), Instant::now()));
    }

    /// One of this signal that is still to be heard of. Where the index is as fresh as it has to be for a count, all that was
    /// written longer ago was heard of, whatever became of it since.
    fn behind(&self, signal: &str, fresh: Duration, heard: impl Fn(&ObjectKey) -> bool) -> Option<ObjectKey> {
        let mut all = self.0.lock();
        all.retain(|request, (_, written)| !heard(request) && written.elapsed() <= fresh);
        let behind = all.iter().find(|(_, (of, _))| **of == *signal);
        behind.map(|(request, _)| request.clone())
    }
}

impl Hand<'_> {
    async fn run(&self) {
        let queue = Queue::default();
        let mut changes = self.keeper.index.changes();
        let all = || self.keeper.index.execution_keys().into_iter().for_each(|key| queue.add_now(key));
        let missing = async {
            loop {
                let again = if self.find_abandoned(&queue).await { RESYNC } else { SOON };
                tokio::time::sleep(again).await;
            }
        };
        let listening = async {
            let mut resync = tokio::time::interval(RESYNC);
            loop {
                tokio::select! {
                    changed = changes.recv() => match changed {
                        Some(Changed::Execution(key, _)) => queue.add_now(key),
                        // It may be told now what it could not be told before.
                        Some(Changed::Request(key)) => {
                            self.keeper.index.executions_of(&key).into_iter().for_each(|key| queue.add_now(key));
                        }
                        Some(Changed::Run { .. }) => {}
                        None => std::future::pending().await,
                    },
                    _ = resync.tick() => all(),
                }
            }
        };
        tokio::join!(listening, missing, self.work(&queue));
    }

    async fn work(&self, queue: &Queue) {
        let (retries, telemetry) = (&self.retries, &*self.keeper.telemetry);
        let visits = Visits { queue, retries, telemetry, of: "routing_keeper", failed: "its request was not told" };
        visits.make(async |key| self.visit(&key).await.map(|()| None)).await;
    }

    /// What the index knows saves two calls where there is nothing to say; what is said rests on what is stored.
    async fn visit(&self, key: &ObjectKey) -> Result<(), Failed> {
        let index = &self.keeper.index;
        let Some(known) = index.execution(key) else {
            self.complaints.forget(key);
            return self.gone(key).await;
        };
        let before = self.begun.lock().get(key).cloned();
        if before.is_some_and(|before| before != known.parent.key()) {
            self.gone(key).await?;
        }
        let told = settled(&known, index.request(&known.parent.key()).as_deref());
        if known.phase == ExecutionPhase::Running || known.has_ended() && !told {
            self.begun.lock().insert(key.clone(), known.parent.key());
        } else {
            self.begun.lock().remove(key);
        }
        if told {
            return Ok(());
        }
        let Some(stored) = self.objects.execution(key).await? else { return self.gone(key).await };
        let visited = self.tell(key, &stored).await;
        if let Some(event) = self.complaints.hear(key, stored.uid(), &visited, &self.retries) {
            self.objects.tell(&stored, &event).await;
        }
        visited
    }

    /// Says on its request what has become of an execution.
    async fn tell(&self, key: &ObjectKey, stored: &Stored) -> Result<(), Failed> {
        let index = &self.keeper.index;
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
                started: text("/status/startTime").parse().ok(),
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
            seen.counts = Some(self.count(&execution, &facts)?);
            step = plan(&seen, &policy, now);
        }
        let Step::Write(change) = step else { return Ok(()) };
        let written = self.objects.write_leaves(&parent, &request, &change).await?;
        self.told(&facts, &written, &change).await;
        Ok(())
    }

    /// Requests whose execution went while nobody led. False: one could not be looked at.
    async fn find_abandoned(&self, queue: &Queue) -> bool {
        let mut looked_at_all = true;
        while self.keeper.index.age().is_err() {
            tokio::time::sleep(LOOK * 10).await;
        }
        for parent in self.keeper.index.executing() {
            let request = match self.objects.request(&parent).await {
                Ok(Some(request)) => request,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(request = %parent, %error, "whether its execution is there is not known{}; looking again", error.advice());
                    looked_at_all = false;
                    continue;
                }
            };
            let Ok(facts) = RemediationRequest::from_json(&request.hub.to_string()) else { continue };
            let shown = Request { facts: &facts, hub: &request.hub };
            let Some(execution) = shown.execution().map(|name| parent.beside(name)) else { continue };
            // One of that name may be another request's.
            if self.keeper.index.execution(&execution).is_none_or(|known| known.parent.key() != parent) {
                self.begun.lock().insert(execution.clone(), parent);
                queue.add_now(execution);
            }
        }
        looked_at_all
    }

    /// It was deleted; where it had begun, its request waits for an end that does not come, or was not told.
    async fn gone(&self, key: &ObjectKey) -> Result<(), Failed> {
        let index = &self.keeper.index;
        let last = index.execution(key).or_else(|| index.left(key)).filter(|last| last.has_ended());
        let begun = self.begun.lock().get(key).cloned();
        let Some(parent) = begun.or_else(|| Some(last.as_ref()?.parent.key())) else { return Ok(()) };
        let last = last.filter(|last| last.parent.key() == parent);
        if last.as_ref().is_some_and(|last| settled(last, index.request(&parent).as_deref())) {
            self.begun.lock().remove(key);
            return Ok(());
        }
        let there = self.objects.execution(key).await?;
        // One that cannot be read is there, and nobody knows whose it is.
        let another = |stored: Stored| {
            let read = WorkflowExecution::from_json(&stored.hub.to_string());
            read.is_ok_and(|another| another.parent.key() != parent)
        };
        if there.is_none_or(another)
            && let Some(request) = self.objects.request(&parent).await?
        {
            let facts = readable(&parent, RemediationRequest::from_json(&request.hub.to_string()))?;
            let failures = self.failures(&facts, None)?.0;
            let shown = Request { facts: &facts, hub: &request.hub };
            let told = last.and_then(|last| self.of_left(shown, &last, failures));
            if let Some(change) = told.or_else(|| abandoned(shown, key, failures, Timestamp::now())) {
                let written = self.objects.write_leaves(&parent, &request, &change).await?;
                self.told(&facts, &written, &change).await;
            }
        }
        self.begun.lock().remove(key);
        Ok(())
    }

    /// What a request says whose execution ended and went before anybody looked, unless it is on another one. One that is not there
    /// holds nothing.
    fn of_left(&self, request: Request<'_>, left: &WorkflowExecution, failures: usize) -> Option<StatusChange> {
        if request.execution().is_some_and(|name| name != &*left.key.name) {
            return None;
        }
        let uid = request.execution_uid().unwrap_or_default();
        let seen = Seen {
            execution: left,
            end: End { uid, started: None, reason: "", message: "" },
            request: Some(request),
            other: None,
            counts: Some(Counts { failures, starts: 0 }),
        };
        match plan(&seen, &self.keeper.policy.load(), Timestamp::now()) {
            Step::Write(change) => Some(*change),
            Step::Rest | Step::Count => None,
        }
    }

    /// Of what the index knows, where that is complete and fresh.
    fn count(&self, execution: &WorkflowExecution, request: &RemediationRequest) -> Result<Counts, Failed> {
        let (failures, history) = self.failures(request, execution.target.as_ref())?;
        let starts = match &execution.target {
            Some(_) => routing::failed_starts(&history, &execution.key)
                .ok_or_else(|| Failed::Behind("the end of this execution".to_owned()))?,
            None => 0,
        };
        Ok(Counts { failures, starts })
    }

    /// Failures of the signal in a row, this request's among them, and the history of the target.
    fn failures(
        &self,
        request: &RemediationRequest,
        target: Option<&TargetId>,
    ) -> Result<(usize, Arc<routing::History>), Failed> {
        let fresh = self.keeper.policy.load().staleness.max.get();
        if let Some(request) = self.unheard.behind(&request.fingerprint, fresh, |request| self.heard(request)) {
            return Err(Failed::Behind(format!("that {request} ended, which was written a moment ago")));
        }
        let soon = std::time::Instant::now() + Duration::from_secs(1);
        let (siblings, history, age) = self
            .keeper
            .index
            .neighbours(&request.key, target, soon)
            .map_err(|error| Failed::Behind(error.to_string()))?;
        if age > fresh {
            return Err(Failed::Behind(format!("an input was silent for {age:?}")));
        }
        let mut ended = request.clone();
        ended.phase = RequestPhase::Failed;
        (ended.failure_phase, ended.outcome) = (Some("WorkflowExecution".into()), None);
        Ok((routing::failures_in_a_row(&siblings, &ended), history))
    }

    /// Says it to people, and waits until the index has heard it, so that the next count does.
    async fn told(&self, request: &RemediationRequest, written: &Stored, change: &StatusChange) {
        let key = &request.key;
        if let Some(event) = &change.event {
            tracing::info!(request = %key, event = event.reason, note = event.note, "status written");
            self.objects.tell(written, event).await;
        }
        if written.hub.pointer("/status/completedAt").is_none_or(Value::is_null) {
            return;
        }
        self.unheard.add(key.clone(), &request.fingerprint);
        let end = Instant::now() + HEARD_WITHIN;
        while !self.heard(key) && Instant::now() < end {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The index knows that it ended; of one that it does not know it may still have to hear.
    fn heard(&self, request: &ObjectKey) -> bool {
        self.keeper.index.request(request).is_some_and(|request| request.phase.terminal())
    }
}

fn readable<T>(key: &ObjectKey, read: Result<T, ReadError>) -> Result<T, Failed> {
    read.map_err(|error| Failed::LeftAlone(format!("{key} cannot be read: {error}")))
}

#[cfg(test)]
mod tests;
