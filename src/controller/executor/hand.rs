//! Takes the steps that the plan says: what changed is looked at, one execution in one pair of hands at a time.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use k8s_openapi::jiff::Timestamp;
use kube::Client;

use super::plan::{self, FINALIZER, Rules, Run, Seen, Step};
use super::turns::{Starting, Waiting};
use crate::api::facts::{Commission, ObjectKey, RemediationRequest, Target};
use crate::api::tekton::Carrier;
use crate::cluster::{Changed, Index};
use crate::controller::change::{Event, StatusChange};
use crate::controller::complaints::Complaints;
use crate::controller::failed::Failed;
use crate::controller::objects::Objects;
use crate::controller::queue::Queue;
use crate::controller::retry::Retries;
use crate::controller::stored::Stored;
use crate::controller::visits::Visits;
use crate::routing::{self, Parent, Policy, Request, Verdict};
use crate::telemetry::Telemetry;

/// Executions that are looked at side by side: their calls wait for the API server, not for us.
const HANDS: usize = 16;
/// More steps in one visit than any execution needs.
const STEPS: usize = 8;
/// Until the index is complete it is looked at so often.
const LOOK: Duration = Duration::from_millis(250);
/// Where another one starts on its target, it is looked at again then, if nothing is heard before.
const ANOTHER_STARTS: Duration = Duration::from_secs(1);
/// Whether another policy holds is looked at so often: it may end what is waited for, and is no change of any object.
const POLICY: Duration = Duration::from_secs(1);
/// Everything is looked at again so often, in case a word of it was lost.
const RESYNC: Duration = Duration::from_secs(600);

/// The loop.
pub struct Executor {
    pub client: Client,
    pub identity: String,
    pub index: Arc<Index>,
    pub policy: Arc<ArcSwap<Policy>>,
    pub rules: Rules,
    pub telemetry: Arc<Telemetry>,
}

impl Executor {
    /// Until it is dropped.
    pub async fn run(&self) {
        let objects = Objects::of("executor", self.client.clone(), &self.identity);
        Hands {
            executor: self,
            objects,
            retries: Retries::default(),
            complaints: Complaints::default(),
            waiting: Waiting::default(),
            starting: Starting::default(),
        }
        .run()
        .await;
    }
}

/// The executor at work on a cluster that serves a version.
struct Hands<'e> {
    executor: &'e Executor,
    objects: Objects,
    retries: Retries,
    complaints: Complaints,
    waiting: Waiting,
    starting: Starting,
}

/// An execution while it is in hand.
struct Held {
    stored: Stored,
    /// What the API server says of its run, once it was asked.
    looked: Option<Option<Carrier>>,
    /// Its request as the API server has it, once it was asked.
    parent: Option<Parent>,
    /// The uid of what was deleted beside it, and what is left of that for a while.
    deleted: Option<(Box<str>, Option<Carrier>)>,
    /// It has its target.
    starts: bool,
}

/// Whether another step follows; if not, when to look again.
type Taken = Result<ControlFlow<Option<Timestamp>>, Failed>;

impl Hands<'_> {
    async fn run(&self) {
        let queue = Queue::default();
        let mut changes = self.executor.index.changes();
        self.informed().await;
        let all = || self.executor.index.execution_keys().into_iter().for_each(|key| queue.add_now(key));
        all();
        let listening = async {
            let (mut resync, mut looks) = (tokio::time::interval(RESYNC), tokio::time::interval(POLICY));
            let mut policy = self.executor.policy.load_full();
            loop {
                tokio::select! {
                    changed = changes.recv() => match changed {
                        Some(changed) => self.concerned(&changed).into_iter().for_each(|key| queue.add_now(key)),
                        None => std::future::pending().await,
                    },
                    _ = looks.tick() => {
                        let before = std::mem::replace(&mut policy, self.executor.policy.load_full());
                        if !Arc::ptr_eq(&before, &policy) {
                            all();
                        }
                    }
                    _ = resync.tick() => all(),
                }
            }
        };
        let working = async {
            let mut hands: FuturesUnordered<_> = (0..HANDS).map(|_| self.work(&queue)).collect();
            while hands.next().await.is_some() {}
        };
        tokio::join!(listening, working);
    }

    /// Until every kind that counts was listed: before that an object's arrival tells less than it will.
    async fn informed(&self) {
        while let Err(error) = self.executor.index.age() {
            tracing::debug!(%error, "the executor waits");
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn work(&self, queue: &Queue) {
        let (retries, telemetry) = (&self.retries, &*self.executor.telemetry);
        let visits = Visits { queue, retries, telemetry, of: "executor", failed: "a step was not taken" };
        visits.make(async |key| self.visit(&key).await).await;
    }

    /// Executions to which a change may mean something.
    fn concerned(&self, changed: &Changed) -> Vec<ObjectKey> {
        let mut all = self.executor.index.concerned(changed);
        if let Changed::Run { run, .. } = changed {
            all.extend(self.waiting.on(run));
        }
        all
    }

    /// Step after step until there is nothing to do; when to look again.
    async fn visit(&self, key: &ObjectKey) -> Result<Option<Timestamp>, Failed> {
        let Some(stored) = self.objects.execution(key).await? else {
            self.waiting.set(key, None);
            self.complaints.forget(key);
            return Ok(None);
        };
        let mut held = Held { stored, looked: None, parent: None, deleted: None, starts: false };
        let visited = self.steps(key, &mut held).await;
        if let Some(event) = self.complaints.hear(key, held.stored.uid(), &visited, &self.retries) {
            self.objects.tell(&held.stored, &event).await;
        }
        visited
    }

    async fn steps(&self, key: &ObjectKey, held: &mut Held) -> Result<Option<Timestamp>, Failed> {
        for _ in 0..STEPS {
            let commission = match Commission::from_json(&held.stored.hub.to_string()) {
                Ok(commission) => commission,
                Err(error) => return Err(Failed::LeftAlone(format!("it cannot be read: {error}"))),
            };
            self.waiting.set(key, self.place(&commission).filter(|_| !commission.has_ended()));
            let now = Timestamp::now();
            let step = self.next(&commission, held, now);
            if let ControlFlow::Break(until) = self.take(step, &commission, held, now).await? {
                return Ok(until);
            }
        }
        // A plan that goes round in circles is a fault of ours: it is not followed without an end.
        Err(Failed::Odd(format!("{STEPS} steps brought it to no rest")))
    }

    async fn take(&self, step: Step, commission: &Commission, held: &mut Held, now: Timestamp) -> Taken {
        let key = &commission.key;
        match step {
            Step::Rest(until) => {
                if commission.waits() || commission.deleting {
                    self.starting.leaves(key);
                }
                return Ok(ControlFlow::Break(until));
            }
            Step::Look => match self.look(commission).await {
                Ok(found) => held.looked = Some(found),
                Err(error) => {
                    let forbidden = error.lacks_a_right() && commission.waits();
                    let Some(place) = self.elsewhere(commission).filter(|_| forbidden) else { return Err(error) };
                    let step = plan::may_not_look(commission, &place, now);
                    return Box::pin(self.take(step, commission, held, now)).await;
                }
            },
            Step::Confirm => held.parent = Some(self.parent(commission).await?),
            Step::Claim => {
                let all: Vec<_> = others(commission).chain([FINALIZER.into()]).collect();
                let there = Some(&*self.executor.rules.namespace);
                held.stored = self.objects.write_finalizers(key, &held.stored, &all, there).await?;
                held.looked = None;
            }
            Step::Release => {
                let all: Vec<_> = others(commission).collect();
                match self.objects.write_finalizers(key, &held.stored, &all, None).await {
                    Ok(_) => return Ok(ControlFlow::Break(None)),
                    // With its last finalizer it went.
                    Err(error) if error.code() == 404 => return Ok(ControlFlow::Break(None)),
                    Err(error) => return Err(error),
                }
            }
            Step::Create(..) if !self.may_start(commission) => {
                return Ok(ControlFlow::Break(now.checked_add(ANOTHER_STARTS).ok()));
            }
            // What was decided before it had the target may be decided otherwise now.
            Step::Create(..) if !std::mem::replace(&mut held.starts, true) => {}
            Step::Create(engine, run) => match self.objects.create_run(engine, &run).await {
                Ok(text) => held.looked = Some(Carrier::from_json(engine, &text)),
                Err(error) if error.code() == 409 => held.looked = Some(self.look(commission).await?),
                Err(Failed::Refused { code, reason, message }) if plan::is_final(code) => {
                    self.starting.leaves(key);
                    let step = plan::refused(commission, code, &reason, &message, now);
                    return Box::pin(self.take(step, commission, held, now)).await;
                }
                Err(error) => return Err(error),
            },
            Step::Delete { engine, run, uid, foreground } => {
                let answer = self.objects.delete_run(engine, &run, &uid, foreground).await?;
                let done = answer.is_some();
                let left = answer.and_then(|text| Carrier::from_json(engine, &text)).filter(Carrier::deleting);
                if done {
                    self.deleted(&held.stored, key, &format!("{} {run}", engine.kind()), left.as_ref()).await;
                }
                if engine == plan::engine_of(commission) {
                    held.looked = Some(left);
                } else {
                    held.deleted = Some((uid, left));
                }
            }
            Step::Write(change) => match self.write(key, &held.stored, &change).await? {
                Some(written) => held.stored = written,
                None => return Ok(ControlFlow::Break(None)),
            },
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Who waits for a deletion is told what for.
    async fn deleted(&self, stored: &Stored, key: &ObjectKey, run: &str, left: Option<&Carrier>) {
        if left.is_none() {
            return tracing::info!(execution = %key, run, "a run was deleted");
        }
        let note = format!(
            "{run} is being deleted, and stays until its TaskRuns and Pods are gone, and what others wait for by a finalizer is done; where a Pod does not end, look at it and at its node"
        );
        tracing::info!(execution = %key, note);
        self.objects.tell(stored, &Event::normal("RunDeleting", &note)).await;
    }

    /// None: it changed nothing that is stored, and would not the next time.
    async fn write(&self, key: &ObjectKey, stored: &Stored, change: &StatusChange) -> Result<Option<Stored>, Failed> {
        let Some(written) = self.objects.write_status(key, stored, change).await? else { return Ok(None) };
        if let Some(event) = &change.event {
            tracing::info!(execution = %key, event = event.reason, note = event.note, "status written");
            self.objects.tell(&written, event).await;
        }
        Ok(Some(written))
    }

    fn next(&self, commission: &Commission, held: &Held, now: Timestamp) -> Step {
        let index = &self.executor.index;
        let (engine, place) = (plan::engine_of(commission), self.place(commission));
        let known = |engine| place.as_ref().and_then(|place| index.run(engine, place));
        let (indexed, beside) = (known(engine), known(engine.other()));
        let beside = match &held.deleted {
            Some((uid, left)) if beside.as_ref().is_some_and(|run| run.uid() == &**uid) => left.as_ref(),
            _ => beside.as_ref(),
        };
        let run = match (&held.looked, &indexed) {
            // What was asked for a moment ago; of one and the same run the stream knows more.
            (Some(Some(found)), Some(indexed))
                if found.uid() == indexed.uid() && found.deleting() <= indexed.deleting() =>
            {
                Run::There(indexed)
            }
            (Some(Some(found)), _) => Run::There(found),
            (Some(None), Some(indexed)) => Run::Went(indexed),
            (Some(None), None) => Run::Absent,
            (None, Some(indexed)) => Run::There(indexed),
            (None, None) => Run::Unseen,
        };
        let there = if let Run::There(run) = run { Some(run) } else { None };
        let standing: Vec<&str> = there.into_iter().chain(beside).map(Carrier::uid).collect();
        let verdict = self.verdict(commission, None, now);
        let reason = |verdict: &Verdict| verdict.hold.as_ref().map(|hold| hold.reason.clone());
        let confirmed = held.parent.as_ref().map(|parent| {
            let by_parent = self.verdict(commission, Some(parent), now);
            by_parent.zip(verdict.as_ref()).is_some_and(|(by_parent, verdict)| reason(&by_parent) == reason(verdict))
        });
        let other = plan::standing(run, beside)
            .and_then(|run| run.origin().execution.as_ref())
            .filter(|other| **other != commission.key);
        let memory = place.as_ref().map(|place| index.memory(engine, place, plan::owner(commission)));
        let seen = Seen {
            commission,
            verdict: verdict.as_ref(),
            confirmed,
            run,
            elsewhere: place.as_ref().is_some_and(|place| place.namespace != self.executor.rules.namespace),
            ended_for: there.and_then(|run| index.ended_for(run)),
            other_ended: other.and_then(|other| index.execution(other)).map(|other| other.has_ended()),
            memory: &memory.unwrap_or_default(),
            beside,
            leftovers: place.as_ref().is_some_and(|place| index.has_leftovers(engine, place, &standing)),
            unreadable: index.unreadable(engine),
        };
        plan::plan(&seen, &self.executor.rules, now)
    }

    /// The gate's question, asked again with the later view; or with its request as another source has it.
    fn verdict(&self, commission: &Commission, parent: Option<&Parent>, now: Timestamp) -> Option<Verdict> {
        let target = Target::parse(commission.target.as_deref()?, Some(&commission.cluster)).ok()?;
        let request = Request {
            key: Some(commission.key.clone()),
            stored: Some(routing::Stored { created: commission.created }),
            parent: Some(commission.parent.clone()),
            target,
            workflow_id: Some(commission.workflow_id.clone()),
            parameter_names: Vec::new(),
        };
        let soon = std::time::Instant::now() + Duration::from_secs(1);
        let mut view = self.executor.index.view(&request, soon).ok()?;
        if let Some(parent) = parent {
            view.parent = parent.clone();
        }
        Some(routing::decide(&request, &view, &self.executor.policy.load(), now))
    }

    /// Nobody else starts on its target; from here on it does.
    fn may_start(&self, commission: &Commission) -> bool {
        let target =
            commission.target.as_deref().and_then(|target| Target::parse(target, Some(&commission.cluster)).ok());
        let waits = |key: &ObjectKey| self.executor.index.execution(key).is_some_and(|known| known.waits());
        target.is_none_or(|target| self.starting.takes(target.identity(), &commission.key, waits))
    }

    /// The name of its run, whoever's stands there.
    fn place(&self, commission: &Commission) -> Option<ObjectKey> {
        self.elsewhere(commission).or_else(|| self.run_in(&self.executor.rules.namespace, commission))
    }

    fn run_in(&self, namespace: &str, commission: &Commission) -> Option<ObjectKey> {
        let name = super::run_name(commission.target.as_deref()?).into();
        Some(ObjectKey { namespace: namespace.into(), name })
    }

    /// Where it was claimed for, if that is not where runs are followed: by another setting now it would only seem to be gone. But
    /// it is an annotation that everybody may write: a run of its own that is followed, or was, is its run, whatever that says.
    fn elsewhere(&self, commission: &Commission) -> Option<ObjectKey> {
        let here = self.run_in(&self.executor.rules.namespace, commission)?;
        let there = self.run_in(commission.run_namespace.as_deref()?, commission)?;
        if there == here || !there.can_be() {
            return None;
        }
        let (index, engine) = (&self.executor.index, plan::engine_of(commission));
        let is_here = index.run(engine, &here).is_some_and(|run| plan::is_own(&run, commission));
        let was_here = || index.memory(engine, &here, plan::owner(commission)).gone;
        Some(there).filter(|_| !is_here && !was_here())
    }

    /// Its request.
    async fn parent(&self, commission: &Commission) -> Result<Parent, Failed> {
        let stored = match self.objects.request(&commission.parent.key()).await {
            Err(Failed::LeftAlone(_)) => return Ok(Parent::Unreadable),
            stored => stored?,
        };
        let read = |stored: Stored| RemediationRequest::from_json(&stored.hub.to_string());
        Ok(stored.map_or(Parent::Missing, |stored| {
            read(stored).map_or(Parent::Unreadable, |request| Parent::Found(Arc::new(request)))
        }))
    }

    /// What stands under the name of the run.
    async fn look(&self, commission: &Commission) -> Result<Option<Carrier>, Failed> {
        let (Some(key), engine) = (self.place(commission), plan::engine_of(commission)) else { return Ok(None) };
        match self.objects.run(engine, &key).await {
            Ok(found) => Ok(found.and_then(|text| Carrier::from_json(engine, &text))),
            // An API server that starts may not know yet what it serves: it is believed where the index has come to believe it.
            Err(error) if error.code() == 404 && self.executor.index.serves(engine) => {
                Err(Failed::Behind(format!("{}s are not served at this moment", engine.kind())))
            }
            Err(error) if error.code() == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Its finalizers that are not ours.
fn others(commission: &Commission) -> impl Iterator<Item = Box<str>> + '_ {
    commission.finalizers.iter().filter(|finalizer| &***finalizer != FINALIZER).cloned()
}

#[cfg(test)]
mod tests;
