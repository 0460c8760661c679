//! Facts by the questions that are asked of them: a parent by its name, siblings by signal, history by target.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::inputs::{Footing, Health, Input, Pulse, Pulses};
use super::places::Places;
use super::runs::Runs;
use super::table::{Keyed, Map, Table};
use super::traces::Memory;
use crate::api::facts::{
    ObjectKey, ParentRef, ReadError, RemediationRequest, RequestPhase, TargetId, WorkflowExecution,
};
use crate::api::tekton::{Carrier, Engine, Job, Owner, PipelineRun, TaskRun};
use crate::failure::Account;
use crate::routing::{History, Parent, Request, Siblings, View};

/// Of so many executions that ended and left, the latest ones, it is known how they ended.
const LEFT: usize = 1024;

/// The index: written by its sources, read by decisions.
#[derive(Default)]
pub struct Index {
    world: RwLock<World>,
    pulses: Mutex<Pulses>,
    /// Where the runs of executions are.
    execution_namespace: Box<str>,
    /// Who is told what changed.
    told: Mutex<Vec<UnboundedSender<Changed>>>,
}

/// What became another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    Request(ObjectKey),
    /// The execution, and the target that it is on; or a task of its run.
    Execution(ObjectKey, Option<TargetId>),
    /// A run, the execution that it carries out, and the target that it is on, as far as they are known.
    Run {
        run: ObjectKey,
        execution: Option<ObjectKey>,
        target: Option<TargetId>,
    },
}

/// Why there is no view now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    #[error("{0} not listed yet; the gate answers once it is")]
    NotListed(Input),
    #[error("routing state is busy; ask again")]
    Busy,
}

/// One object as a source saw it: its name, and its facts if it could be read.
#[derive(Debug)]
pub struct Seen<T> {
    pub key: ObjectKey,
    pub facts: Result<T, ReadError>,
}

impl Index {
    /// An index of a cluster whose executions run in this namespace.
    #[must_use]
    pub fn with_executions_in(namespace: &str) -> Self {
        Self { execution_namespace: namespace.into(), ..Self::default() }
    }

    /// All that a decision on this request may know.
    ///
    /// # Errors
    /// While an input was never listed, or where the index cannot be read before the deadline.
    pub fn view(&self, request: &Request, deadline: Instant) -> Result<View, Unavailable> {
        let age = self.age()?;
        let world = self.world.try_read_until(deadline).ok_or(Unavailable::Busy)?;
        let parent = request.parent.as_ref().map_or(Parent::NotAsked, |reference| world.parent(reference));
        let siblings = world.siblings_of(&parent);
        let history = world.histories.get(request.target.identity()).cloned().unwrap_or_default();
        let runs = world.places.on(request.target.identity());
        Ok(View { parent, siblings, history, runs, age })
    }

    /// The siblings of a request, itself among them, the history of a target, and how old what is known of them is.
    ///
    /// # Errors
    /// While an input was never listed, or where the index cannot be read before the deadline.
    pub fn neighbours(
        &self,
        request: &ObjectKey,
        target: Option<&TargetId>,
        deadline: Instant,
    ) -> Result<(Arc<Siblings>, Arc<History>, Duration), Unavailable> {
        let age = self.age()?;
        let world = self.world.try_read_until(deadline).ok_or(Unavailable::Busy)?;
        let siblings = world.requests.get(request).map(|request| world.siblings_of(&Parent::Found(request)));
        let history = target.and_then(|target| world.histories.get(target)).cloned();
        Ok((siblings.unwrap_or_default(), history.unwrap_or_default(), age))
    }

    /// What is known of the run that carries this execution out, wherever that is. `run_name` is what its status says of a run.
    ///
    /// # Errors
    /// While runs are followed and were not listed yet, or where the index cannot be read before the deadline.
    pub fn account(&self, owner: Owner<'_>, run_name: Option<&str>, deadline: Instant) -> Result<Account, Unavailable> {
        let mut pulses = *self.pulses.lock();
        let unlisted = |input: &Input| pulses.of(*input).counts() && !pulses.of(*input).listed;
        let runs = [Input::PipelineRuns, Input::TaskRuns, Input::Jobs, Input::Pods];
        if let Some(input) = runs.into_iter().find(unlisted) {
            return Err(Unavailable::NotListed(input));
        }
        let world = self.world.try_read_until(deadline).ok_or(Unavailable::Busy)?;
        let named = run_name.into_iter().flat_map(|name| {
            [&self.execution_namespace, &owner.key.namespace]
                .map(|namespace| ObjectKey { namespace: namespace.clone(), name: name.into() })
        });
        Ok(world.account(owner, &named.collect::<Vec<_>>()))
    }

    /// What is remembered of this execution's runs that had this name.
    #[must_use]
    pub fn memory(&self, engine: Engine, run: &ObjectKey, owner: Owner<'_>) -> Memory {
        let world = self.world.read();
        match engine {
            Engine::Tekton => world.pipelines.memory(run, owner),
            Engine::Job => world.jobs.memory(run, owner),
        }
    }

    /// For how long this run is known to have ended.
    #[must_use]
    pub fn ended_for(&self, run: &Carrier) -> Option<Duration> {
        let world = self.world.read();
        match run.engine() {
            Engine::Tekton => world.pipelines.ended_for(run.key(), run.uid()),
            Engine::Job => world.jobs.ended_for(run.key(), run.uid()),
        }
    }

    /// Runs of this engine are served, as far as is known.
    #[must_use]
    pub fn serves(&self, engine: Engine) -> bool {
        let [runs, _] = kinds(engine);
        self.pulses.lock().of(runs).footing != Footing::Absent
    }

    /// Of the kinds of this engine, runs first, one that may not be read.
    #[must_use]
    pub fn unreadable(&self, engine: Engine) -> Option<Input> {
        let mut pulses = *self.pulses.lock();
        kinds(engine).into_iter().find(|input| pulses.of(*input).footing == Footing::Denied)
    }

    /// The request of this name, where it is there and readable.
    #[must_use]
    pub fn request(&self, key: &ObjectKey) -> Option<Arc<RemediationRequest>> {
        self.world.read().requests.get(key)
    }

    /// The execution of this name, where it is there and readable.
    #[must_use]
    pub fn execution(&self, key: &ObjectKey) -> Option<Arc<WorkflowExecution>> {
        self.world.read().executions.get(key)
    }

    /// The last one of this name that left, as it was then, where it had ended.
    #[must_use]
    pub fn left(&self, key: &ObjectKey) -> Option<Arc<WorkflowExecution>> {
        self.world.read().left.iter().find(|execution| execution.key == *key).cloned()
    }

    /// What changes from now on, told to everyone that asked and still listens.
    #[must_use]
    pub fn changes(&self) -> UnboundedReceiver<Changed> {
        let (sender, receiver) = unbounded_channel();
        self.told.lock().push(sender);
        receiver
    }

    fn tell(&self, changed: Option<Changed>) {
        let Some(changed) = changed else { return };
        self.told.lock().retain(|listener| listener.send(changed.clone()).is_ok());
    }

    /// Every execution that is known.
    #[must_use]
    pub fn execution_keys(&self) -> Vec<ObjectKey> {
        self.world.read().executions.keys()
    }

    /// Every execution whose request this is.
    #[must_use]
    pub fn executions_of(&self, request: &ObjectKey) -> Vec<ObjectKey> {
        let world = self.world.read();
        let all = world.executions.all().filter(|execution| execution.parent.key() == *request);
        all.map(|execution| execution.key.clone()).collect()
    }

    /// Parts of an earlier run of this name are still there and in the way of a new one: what may be at work, whatever its
    /// engine; and Tekton takes a task by its name for the next run's. Only those count that say which run they are of. `standing`
    /// are the uids of the runs that are there: the API server may have said of one that it is not, and no stream did yet.
    #[must_use]
    pub fn has_leftovers(&self, engine: Engine, key: &ObjectKey, standing: &[&str]) -> bool {
        let world = self.world.read();
        let taken = |task: &TaskRun| engine == Engine::Tekton || !task.ended();
        world.pipelines.left_behind(key, standing).any(|task| task.pipeline_run_uid.is_some() && taken(task))
            || world.jobs.left_behind(key, standing).any(|pod| pod.job_uid.is_some() && !pod.ended)
    }

    /// Every request that is Executing.
    #[must_use]
    pub fn executing(&self) -> Vec<ObjectKey> {
        let world = self.world.read();
        let all = world.requests.all();
        all.filter(|request| request.phase == RequestPhase::Executing).map(|request| request.key.clone()).collect()
    }

    /// The run of this name, with its parts.
    #[must_use]
    pub fn run(&self, engine: Engine, key: &ObjectKey) -> Option<Carrier> {
        let world = self.world.read();
        match engine {
            Engine::Tekton => world.pipelines.at(key),
            Engine::Job => world.jobs.at(key),
        }
    }

    /// The executions to which a change may mean something: itself, and those that wait and share its target or its signal.
    #[must_use]
    pub fn concerned(&self, changed: &Changed) -> Vec<ObjectKey> {
        let world = self.world.read();
        let (itself, target) = match changed {
            Changed::Execution(key, target) => (Some(key), target),
            Changed::Run { execution, target, .. } => (execution.as_ref(), target),
            Changed::Request(key) => return world.waiting_for(key),
        };
        let others = target.as_ref().map(|target| world.waiting_on(target)).unwrap_or_default();
        itself.cloned().into_iter().chain(others).collect()
    }

    /// Takes an object in, in place of what was known under its name. One that cannot be read is counted and left out.
    pub fn put<T: Tracked>(&self, seen: Seen<T>) {
        let Seen { key, facts } = seen;
        let mut world = self.world.write();
        let was_unreadable = T::table(&mut world).is_unreadable(&key);
        let error = match facts {
            Ok(facts) => {
                let changed = facts.changed(&world);
                world.learn(facts);
                drop(world);
                return self.tell(changed);
            }
            Err(error) => error,
        };
        let changed = T::table(&mut world).get(&key).and_then(|facts| facts.changed(&world));
        world.forget::<T>(&key);
        T::table(&mut world).put_unreadable(key.clone());
        // A decision that waits for the index does not wait for the log.
        drop(world);
        self.tell(changed);
        if !was_unreadable {
            tracing::warn!(input = %T::INPUT, object = %key, %error, "left out: this object cannot be read");
        }
    }

    /// Forgets an object that was deleted; its last state, which came with the news, is taken in first where it can be read.
    pub fn removed<T: Tracked>(&self, last: Seen<T>) {
        let mut world = self.world.write();
        if let Ok(facts) = last.facts {
            world.learn(facts);
        }
        let changed = T::table(&mut world).get(&last.key).and_then(|facts| facts.changed(&world));
        world.lose::<T>(&last.key, Parting::Seen);
        drop(world);
        self.tell(changed);
    }

    /// A list is complete: forgets what it did not hold, and counts the input as listed.
    pub fn listed<T: Tracked>(&self, present: &HashSet<ObjectKey>) {
        {
            let mut world = self.world.write();
            for gone in T::table(&mut world).missing_from(present) {
                let changed = T::table(&mut world).get(&gone).and_then(|facts| facts.changed(&world));
                world.lose::<T>(&gone, Parting::Unseen);
                self.tell(changed);
            }
        }
        let mut pulses = self.pulses.lock();
        let pulse = pulses.of(T::INPUT);
        pulse.footing = Footing::Counts;
        pulse.listed = true;
        pulse.alive = Some(Instant::now());
    }

    /// From here on the input counts, and it was not listed yet.
    pub fn expect(&self, input: Input) {
        self.pulses.lock().of(input).footing = Footing::Counts;
    }

    /// Nobody serves this kind (any more): what there was of it is gone, and the input does not count.
    pub fn absent<T: Tracked>(&self) {
        self.listed::<T>(&HashSet::new());
        self.pulses.lock().of(T::INPUT).leave(Footing::Absent);
    }

    /// We may not read this kind: what there was of it is unknown from now on, and the input does not count.
    pub fn denied<T: Tracked>(&self) {
        {
            let mut world = self.world.write();
            for unknown in T::table(&mut world).missing_from(&HashSet::new()) {
                world.forget::<T>(&unknown);
            }
            let World { pipelines, jobs, executions, .. } = &mut *world;
            pipelines.drop_orphans(|execution| executions.holds(execution));
            jobs.drop_orphans(|execution| executions.holds(execution));
        }
        self.pulses.lock().of(T::INPUT).leave(Footing::Denied);
    }

    /// The input's stream was proved alive: an event, a bookmark, a watch opened anew, a folder scanned.
    pub fn alive(&self, input: Input) {
        self.pulses.lock().of(input).alive = Some(Instant::now());
    }

    /// An event of the input arrived.
    pub fn event(&self, input: Input, at: Timestamp) {
        let mut pulses = self.pulses.lock();
        let pulse = pulses.of(input);
        pulse.alive = Some(Instant::now());
        pulse.last_event = Some(at);
    }

    /// Every input that is there, for probes and metrics.
    #[must_use]
    pub fn health(&self) -> Vec<Health> {
        let mut pulses = *self.pulses.lock();
        let world = self.world.read();
        let there = Input::ALL.map(|input| (input, *pulses.of(input)));
        let there = there.into_iter().filter(|(_, pulse)| pulse.footing != Footing::Absent);
        let health = |(input, pulse): (Input, Pulse)| {
            let (objects, unreadable) = match input {
                Input::RemediationRequests => world.requests.counts(),
                Input::WorkflowExecutions => world.executions.counts(),
                Input::PipelineRuns => world.pipelines.runs.counts(),
                Input::TaskRuns => world.pipelines.parts.counts(),
                Input::Jobs => world.jobs.runs.counts(),
                Input::Pods => world.jobs.parts.counts(),
            };
            Health {
                input,
                footing: pulse.footing,
                listed: pulse.listed,
                age: pulse.age(),
                last_event: pulse.last_event,
                objects,
                unreadable,
            }
        };
        there.map(health).collect()
    }

    /// Keeps every reader out until the guard is dropped.
    #[cfg(test)]
    pub(crate) fn occupy(&self) -> impl Drop + '_ {
        self.world.write()
    }

    /// The age of the quietest input that counts.
    ///
    /// # Errors
    /// While one was never listed.
    pub fn age(&self) -> Result<Duration, Unavailable> {
        let mut pulses = *self.pulses.lock();
        let mut oldest = Duration::ZERO;
        for input in Input::ALL {
            let pulse = pulses.of(input);
            if !pulse.counts() {
                continue;
            }
            let age = pulse.age().filter(|_| pulse.listed).ok_or(Unavailable::NotListed(input))?;
            oldest = oldest.max(age);
        }
        Ok(oldest)
    }
}

/// An engine's runs and the parts of them.
fn kinds(engine: Engine) -> [Input; 2] {
    match engine {
        Engine::Tekton => [Input::PipelineRuns, Input::TaskRuns],
        Engine::Job => [Input::Jobs, Input::Pods],
    }
}

/// How an object went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// Its last state is known.
    Seen,
    /// It was there, and a later list did not hold it: what happened in between is unknown.
    Unseen,
}

#[derive(Default)]
pub struct World {
    requests: Table<RemediationRequest>,
    pub(super) executions: Table<WorkflowExecution>,
    pub(super) pipelines: Runs<PipelineRun>,
    pub(super) jobs: Runs<Job>,
    pub(super) places: Places,
    siblings: Map<Signal, Arc<Siblings>>,
    histories: Map<TargetId, Arc<History>>,
    /// Executions that ended and are not there any more, the latest last.
    left: VecDeque<Arc<WorkflowExecution>>,
}

impl World {
    fn parent(&self, reference: &ParentRef) -> Parent {
        let key = reference.key();
        match self.requests.get(&key) {
            Some(request) => Parent::Found(request),
            None if self.requests.is_unreadable(&key) => Parent::Unreadable,
            None => Parent::Missing,
        }
    }

    /// Executions on this target that have not begun.
    fn waiting_on(&self, target: &TargetId) -> Vec<ObjectKey> {
        let all = self.histories.get(target).into_iter().flat_map(|history| history.active_oldest_first());
        all.filter(|execution| execution.waits()).map(|execution| execution.key.clone()).collect()
    }

    /// Executions that have not begun and whose request this is, or a sibling of it.
    fn waiting_for(&self, request: &ObjectKey) -> Vec<ObjectKey> {
        let signal = |key: &ObjectKey| self.requests.get(key).map(|request| Signal::of(&request));
        let here = signal(request);
        let concerns = |parent: ObjectKey| parent == *request || here.is_some() && signal(&parent) == here;
        let all = self.executions.all();
        let waiting = all.filter(|execution| execution.waits() && concerns(execution.parent.key()));
        waiting.map(|execution| execution.key.clone()).collect()
    }

    fn siblings_of(&self, parent: &Parent) -> Arc<Siblings> {
        let Parent::Found(parent) = parent else { return Arc::default() };
        self.siblings.get(&Signal::of(parent)).cloned().unwrap_or_default()
    }

    fn learn<T: Tracked>(&mut self, facts: T) {
        let facts = Arc::new(facts);
        facts.replaces(self);
        self.forget::<T>(facts.key());
        T::table(self).put(facts.clone());
        facts.link(self);
    }

    fn lose<T: Tracked>(&mut self, key: &ObjectKey, parting: Parting) {
        T::leaves(self, key, parting);
        self.forget::<T>(key);
    }

    fn forget<T: Tracked>(&mut self, key: &ObjectKey) {
        if let Some(facts) = T::table(self).take(key) {
            facts.unlink(self);
        }
    }
}

/// A kind that the index follows.
pub trait Tracked: Keyed + Sized + Send + Sync + 'static {
    const INPUT: Input;

    /// Reads the stored form.
    ///
    /// # Errors
    /// Where the object is in none of the forms that we know.
    fn read(json: &str) -> Result<Self, ReadError>;

    /// What is told when it changes.
    #[doc(hidden)]
    fn changed(&self, world: &World) -> Option<Changed>;

    #[doc(hidden)]
    fn table(world: &mut World) -> &mut Table<Self>;
    #[doc(hidden)]
    fn link(self: &Arc<Self>, world: &mut World);
    #[doc(hidden)]
    fn unlink(&self, world: &mut World);
    /// It is about to take the place of what is known under its name.
    #[doc(hidden)]
    fn replaces(&self, _: &mut World) {}
    /// What is known under this name is about to go for good.
    #[doc(hidden)]
    fn leaves(_: &mut World, _: &ObjectKey, _: Parting) {}
}

impl Keyed for RemediationRequest {
    fn key(&self) -> &ObjectKey {
        &self.key
    }
}

impl Tracked for RemediationRequest {
    const INPUT: Input = Input::RemediationRequests;

    fn changed(&self, _: &World) -> Option<Changed> {
        Some(Changed::Request(self.key.clone()))
    }

    fn read(json: &str) -> Result<Self, ReadError> {
        Self::from_json(json)
    }

    fn table(world: &mut World) -> &mut Table<Self> {
        &mut world.requests
    }

    fn link(self: &Arc<Self>, world: &mut World) {
        Arc::make_mut(world.siblings.entry(Signal::of(self)).or_default()).insert(self.clone());
    }

    fn unlink(&self, world: &mut World) {
        let signal = Signal::of(self);
        if let Some(siblings) = world.siblings.get_mut(&signal) {
            Arc::make_mut(siblings).remove(self);
            if siblings.is_empty() {
                world.siblings.remove(&signal);
            }
        }
    }
}

impl Keyed for WorkflowExecution {
    fn key(&self) -> &ObjectKey {
        &self.key
    }
}

impl Tracked for WorkflowExecution {
    const INPUT: Input = Input::WorkflowExecutions;

    fn changed(&self, _: &World) -> Option<Changed> {
        Some(Changed::Execution(self.key.clone(), self.target.clone()))
    }

    fn read(json: &str) -> Result<Self, ReadError> {
        Self::from_json(json)
    }

    fn table(world: &mut World) -> &mut Table<Self> {
        &mut world.executions
    }

    fn link(self: &Arc<Self>, world: &mut World) {
        if let Some(target) = &self.target {
            Arc::make_mut(world.histories.entry(target.clone()).or_default()).insert(self.clone());
        }
        world.place_runs_of(&self.key);
    }

    fn leaves(world: &mut World, key: &ObjectKey, _: Parting) {
        world.pipelines.forget_traces(key);
        world.jobs.forget_traces(key);
        world.left.retain(|before| before.key != *key);
        world.left.extend(world.executions.get(key).filter(|execution| execution.has_ended()));
        if world.left.len() > LEFT {
            world.left.pop_front();
        }
    }

    fn unlink(&self, world: &mut World) {
        world.place_runs_of(&self.key);
        let Some(target) = &self.target else { return };
        if let Some(history) = world.histories.get_mut(target) {
            Arc::make_mut(history).remove(self);
            if history.is_empty() {
                world.histories.remove(target);
            }
        }
    }
}

/// What siblings share: namespace, fingerprint, the target's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Signal {
    namespace: Box<str>,
    fingerprint: Box<str>,
    target_namespace: Box<str>,
}

impl Signal {
    fn of(request: &RemediationRequest) -> Self {
        Self {
            namespace: request.key.namespace.clone(),
            fingerprint: request.fingerprint.clone(),
            target_namespace: request.target_namespace().into(),
        }
    }
}
