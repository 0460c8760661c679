//! Runs and their parts, of whichever engine: which execution a run carries out, on which target it acts, and what was seen of it.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::index::{Changed, Map, Parting, Table, Tracked, World};
use crate::api::facts::{ObjectKey, Target, TargetId};
use crate::api::tekton::{Engine, Origin};
use crate::failure::{Account, Evidence, Weight};
use crate::routing;

/// Servers of one cluster stamp creations by clocks that differ: only what is older by more belongs to an earlier
/// execution of the same name. In doubt a run is ours.
const CLOCKS: Duration = Duration::from_secs(10);
/// Executions that are not in the index and whose runs went: so many are remembered, the latest ones.
const ORPHANS: usize = 1024;
/// Of so many parts of one run that went the last state is kept.
const DEPARTED: usize = 8;

/// A kind whose objects carry executions out.
pub(super) trait Carries: Tracked {
    type Part: Tracked;
    const ENGINE: Engine;

    fn uid(&self) -> &str;
    fn origin(&self) -> &Origin;
    fn created(&self) -> Option<Timestamp>;
    fn goes_on(&self) -> bool;
    /// It says that it began.
    fn began(&self) -> bool;
    fn account(&self, parts: &[Arc<Self::Part>], seen: bool) -> Account;
    fn may_have_run(&self, parts: &[Arc<Self::Part>]) -> Option<Evidence>;
    /// Names of parts that it refers to.
    fn refers_to(&self) -> impl Iterator<Item = &str>;
    /// Of no part of it nothing is known.
    fn all_known(&self, parts: &[Arc<Self::Part>]) -> bool;
    /// What counts of a part that goes, as long as its run is there: where its controller takes parts away, what it said last.
    fn departed(part: &Self::Part) -> Option<Self::Part>;
    /// The part may be of another run that had this one's name before.
    fn owns(&self, part: &Self::Part) -> bool;
    /// The run that a part says it belongs to.
    fn run_of(part: &Self::Part) -> Option<ObjectKey>;

    fn of(world: &World) -> &Runs<Self>;
    fn of_mut(world: &mut World) -> &mut Runs<Self>;
}

/// The runs of one kind.
pub(super) struct Runs<K: Carries> {
    pub runs: Table<K>,
    pub parts: Table<K::Part>,
    by_execution: Map<ObjectKey, Vec<Arc<K>>>,
    by_run: Map<ObjectKey, Vec<Arc<K::Part>>>,
    departed: Map<ObjectKey, Vec<Arc<K::Part>>>,
    traces: Map<ObjectKey, Traces>,
    orphans: VecDeque<ObjectKey>,
}

impl<K: Carries> Default for Runs<K> {
    fn default() -> Self {
        Self {
            runs: Table::default(),
            parts: Table::default(),
            by_execution: Map::default(),
            by_run: Map::default(),
            departed: Map::default(),
            traces: Map::default(),
            orphans: VecDeque::default(),
        }
    }
}

type WithParts<K> = (Arc<K>, Vec<Arc<<K as Carries>::Part>>);

/// Which runs act on which target.
#[derive(Default)]
pub(super) struct Places {
    by_target: Map<TargetId, Arc<routing::Runs>>,
    /// Where each run was put, since its execution may be another one by the time it goes.
    of: Map<(Engine, ObjectKey), TargetId>,
}

impl Places {
    pub fn on(&self, target: &TargetId) -> Arc<routing::Runs> {
        self.by_target.get(target).cloned().unwrap_or_default()
    }

    fn put(&mut self, run: routing::Run, target: TargetId) {
        self.of.insert((run.engine, run.key.clone()), target.clone());
        Arc::make_mut(self.by_target.entry(target).or_default()).insert(run);
    }

    fn lift(&mut self, engine: Engine, run: &ObjectKey) {
        let Some(target) = self.of.remove(&(engine, run.clone())) else { return };
        if let Some(runs) = self.by_target.get_mut(&target) {
            Arc::make_mut(runs).remove(engine, run);
            if runs.is_empty() {
                self.by_target.remove(&target);
            }
        }
    }
}

/// What was seen of the runs of one execution and may stand in no record any more. A run is known here by its creation;
/// of several the latest is kept, so that the order in which they were seen does not matter.
#[derive(Clone, Debug, Default)]
struct Traces {
    /// A step of it was seen at work.
    at_work: Option<Timestamp>,
    /// The uid of one that failed when every part of it was known and none had run: parts that go first take nothing back.
    idle: Option<Box<str>>,
    gone: Option<Timestamp>,
    /// Of those that are gone, the one that ran, or may have.
    gone_having_run: Option<Timestamp>,
}

impl Traces {
    fn is_empty(&self) -> bool {
        self.at_work.or(self.gone).is_none() && self.idle.is_none()
    }

    /// One of this time or later ran, or may have.
    fn ran_since(&self, oldest: Timestamp) -> bool {
        self.at_work.max(self.gone_having_run).is_some_and(|at| at >= oldest)
    }
}

/// The oldest creation that a run of an execution of this age may have.
fn oldest(created: Option<Timestamp>) -> Timestamp {
    created.and_then(|created| created.checked_sub(CLOCKS).ok()).unwrap_or(Timestamp::MIN)
}

impl<K: Carries> Runs<K> {
    /// What is known of the run of this execution. `named` are the places where its status says that a run may be; they count
    /// only where no run says itself that it is its own, since the status is what its writer makes of it. `elsewhere`: a run
    /// of it that is of another kind did something.
    fn account(
        &self,
        execution: &ObjectKey,
        created: Option<Timestamp>,
        named: &[ObjectKey],
        elsewhere: bool,
    ) -> Account {
        let oldest = oldest(created);
        let of_now = |at: Timestamp| at >= oldest;
        let unclaimed = |run: &Arc<K>| run.origin().execution.is_none();
        let named = named.iter().filter_map(|key| self.runs.get(key)).filter(unclaimed);
        let own = self.own(execution, oldest);
        let traces = self.traces.get(execution).cloned().unwrap_or_default();
        // Of several runs of its own one is told, and what any of them did counts.
        let another_ran = own.len() > 1 && own.iter().any(|run| self.may_have_run(run).is_some());
        let run = telling(own.into_iter()).or_else(|| telling(named.filter(|run| of_now(born(&**run)))));
        let ran = elsewhere || another_ran || traces.ran_since(oldest);
        match run {
            Some(run) => self.told(&run, ran),
            None if traces.ran_since(oldest) || traces.gone.is_some_and(of_now) => Account::Gone { ran },
            None => Account::Unknown,
        }
    }

    /// A run of this execution did something, or may have.
    fn did_something(&self, execution: &ObjectKey, created: Option<Timestamp>) -> bool {
        let oldest = oldest(created);
        self.traces.get(execution).is_some_and(|traces| traces.ran_since(oldest))
            || self.own(execution, oldest).iter().any(|run| self.may_have_run(run).is_some())
    }

    fn own(&self, execution: &ObjectKey, oldest: Timestamp) -> Vec<Arc<K>> {
        let all = self.by_execution.get(execution).into_iter().flatten();
        all.filter(|run| born(&***run) >= oldest).cloned().collect()
    }

    fn may_have_run(&self, run: &K) -> Option<Evidence> {
        run.may_have_run(&self.parts_of(run))
    }

    /// The run of this name, with its parts.
    pub fn with_parts(&self, key: &ObjectKey) -> Option<WithParts<K>> {
        let run = self.runs.get(key)?;
        let parts = self.parts_of(&run);
        Some((run, parts))
    }

    /// Parts that say they are of a run of this name, and are not of the one that is there.
    pub fn left_behind(&self, key: &ObjectKey) -> impl Iterator<Item = &Arc<K::Part>> {
        let run = self.runs.get(key);
        let parts = self.by_run.get(key).into_iter().flatten();
        parts.filter(move |part| run.as_ref().is_none_or(|run| !run.owns(part)))
    }

    /// The execution left: nobody will ask for what was seen of its runs.
    pub fn forget_traces(&mut self, execution: &ObjectKey) {
        self.traces.remove(execution);
    }

    /// Runs can no longer be seen: what was seen is kept for executions that can.
    pub fn drop_orphans(&mut self, holds: impl Fn(&ObjectKey) -> bool) {
        self.orphans.clear();
        self.traces.retain(|execution, _| holds(execution));
    }

    fn told(&self, run: &K, seen: bool) -> Account {
        run.account(&self.parts_of(run), seen)
    }

    /// Those that say so themselves, and those that the run refers to.
    fn parts_of(&self, run: &K) -> Vec<Arc<K::Part>> {
        let mut parts = self.by_run.get(run.key()).cloned().unwrap_or_default();
        parts.extend(self.departed.get(run.key()).into_iter().flatten().cloned());
        parts.retain(|part| run.owns(part));
        let known: HashSet<Box<str>> = parts.iter().map(|part| part.key().name.clone()).collect();
        let referred = run.refers_to().filter(|name| !known.contains(*name));
        // One that says it belongs to another run is that one's.
        let own = |part: &Arc<K::Part>| K::run_of(part).is_none_or(|of| of == *run.key());
        parts.extend(referred.filter_map(|name| self.parts.get(&run.key().beside(name)).filter(own)));
        parts
    }

    /// Remembers what a later record may not show any more: a Pod or a task that is made again leaves no trace.
    fn note(&mut self, run: &K) {
        let Some(execution) = &run.origin().execution else { return };
        let mut traces = self.traces.get(execution).cloned().unwrap_or_default();
        if traces.at_work.is_some_and(|at| at >= born(run)) {
            return;
        }
        let parts = self.parts_of(run);
        if run.may_have_run(&parts).is_some_and(|evidence| evidence.weight < Weight::Doubt) {
            traces.at_work = traces.at_work.max(Some(born(run)));
        } else if run.all_known(&parts) {
            let idle = matches!(self.told(run, false), Account::Failed(failed) if !failed.ran);
            traces.idle = (idle && !run.uid().is_empty()).then(|| run.uid().into());
        }
        if traces.is_empty() {
            self.traces.remove(execution);
        } else {
            self.traces.insert(execution.clone(), traces);
        }
    }

    fn parts_with(&mut self, run: &K, parting: Parting, adopted: bool) {
        self.take_leave(run, parting, adopted);
        self.departed.remove(run.key());
    }

    fn take_leave(&mut self, run: &K, parting: Parting, adopted: bool) {
        let Some(execution) = &run.origin().execution else { return };
        let ran = self.ran_until_it_went(run, parting);
        let traces = self.traces.entry(execution.clone()).or_default();
        let born = Some(born(run));
        traces.gone = traces.gone.max(born);
        if ran && traces.idle.as_deref() != Some(run.uid()) {
            traces.gone_having_run = traces.gone_having_run.max(born);
        }
        if !adopted {
            self.orphans.push_back(execution.clone());
        }
    }

    /// False only where it provably never started.
    fn ran_until_it_went(&self, run: &K, parting: Parting) -> bool {
        match self.told(run, false) {
            Account::Failed(failed) => failed.ran,
            Account::GoesOn { ran: None } => {
                run.began() || !self.parts_of(run).is_empty() || parting == Parting::Unseen
            }
            _ => true,
        }
    }
}

impl World {
    /// What is known of the run of this execution, of whichever kind it is.
    pub(super) fn account(&self, execution: &ObjectKey, created: Option<Timestamp>, named: &[ObjectKey]) -> Account {
        let (pipelines, jobs) = (&self.pipelines, &self.jobs);
        let elsewhere = (jobs.did_something(execution, created), pipelines.did_something(execution, created));
        let told = |named: &[ObjectKey]| {
            either(
                pipelines.account(execution, created, named, elsewhere.0),
                jobs.account(execution, created, named, elsewhere.1),
            )
        };
        match told(&[]) {
            Account::Unknown | Account::Gone { .. } => told(named),
            account => account,
        }
    }

    /// The execution with this name came, went or changed: its runs act where it says.
    pub(super) fn place_runs_of(&mut self, execution: &ObjectKey) {
        let pipelines = self.pipelines.by_execution.get(execution).cloned().unwrap_or_default();
        let jobs = self.jobs.by_execution.get(execution).cloned().unwrap_or_default();
        pipelines.iter().for_each(|run| self.place(&**run));
        jobs.iter().for_each(|run| self.place(&**run));
    }

    /// Puts a run on the target of its execution, else on the one that it was made for.
    fn place<K: Carries>(&mut self, run: &K) {
        self.places.lift(K::ENGINE, run.key());
        let target = self.target_of(run);
        let Some((execution, target)) = run.origin().execution.as_ref().zip(target) else { return };
        let (key, execution) = (run.key().clone(), execution.clone());
        let run = routing::Run { engine: K::ENGINE, key, execution, created: run.created(), goes_on: run.goes_on() };
        self.places.put(run, target);
    }

    fn target_of<K: Carries>(&self, run: &K) -> Option<TargetId> {
        let execution = run.origin().execution.as_ref().and_then(|key| self.executions.get(key));
        let by_execution = execution.and_then(|execution| execution.target.clone());
        by_execution.or_else(|| Some(Target::parse(run.origin().target.as_deref()?, None).ok()?.identity().clone()))
    }

    fn run_parts<K: Carries>(&mut self, run: &K, parting: Parting) {
        let adopted = run.origin().execution.as_ref().is_some_and(|key| self.executions.holds(key));
        K::of_mut(self).parts_with(run, parting, adopted);
        while K::of(self).orphans.len() > ORPHANS {
            let Some(oldest) = K::of_mut(self).orphans.pop_front() else { break };
            if !self.executions.holds(&oldest) && !K::of(self).by_execution.contains_key(&oldest) {
                K::of_mut(self).forget_traces(&oldest);
            }
        }
    }

    pub(super) fn run_change<K: Carries>(&self, run: &K) -> Changed {
        Changed::Run { run: run.key().clone(), execution: run.origin().execution.clone(), target: self.target_of(run) }
    }

    pub(super) fn link_run<K: Carries>(&mut self, run: &Arc<K>) {
        if let Some(execution) = &run.origin().execution {
            K::of_mut(self).by_execution.entry(execution.clone()).or_default().push(run.clone());
        }
        self.place(&**run);
        K::of_mut(self).note(run);
    }

    pub(super) fn unlink_run<K: Carries>(&mut self, run: &K) {
        self.places.lift(K::ENGINE, run.key());
        let Some(execution) = &run.origin().execution else { return };
        remove_from(&mut K::of_mut(self).by_execution, execution, run.key());
    }

    /// A run is about to take the place of another one of its name.
    pub(super) fn replace_run<K: Carries>(&mut self, run: &K) {
        if let Some(before) = K::of(self).runs.get(run.key()).filter(|before| before.uid() != run.uid()) {
            self.run_parts(&*before, Parting::Unseen);
        }
    }

    pub(super) fn lose_run<K: Carries>(&mut self, key: &ObjectKey, parting: Parting) {
        if let Some(run) = K::of(self).runs.get(key) {
            self.run_parts(&*run, parting);
        }
    }

    /// Nobody gets a target by a part.
    pub(super) fn part_change<K: Carries>(&self, part: &K::Part) -> Option<Changed> {
        let run = K::of(self).runs.get(&K::run_of(part)?)?;
        Some(Changed::Execution(run.origin().execution.clone()?, None))
    }

    pub(super) fn link_part<K: Carries>(&mut self, part: &Arc<K::Part>) {
        let runs = K::of_mut(self);
        let Some(key) = K::run_of(part) else { return };
        runs.by_run.entry(key.clone()).or_default().push(part.clone());
        if let Some(run) = runs.runs.get(&key) {
            runs.note(&run);
        }
    }

    /// A part is about to go for good; its last state is known.
    pub(super) fn part_departs<K: Carries>(&mut self, key: &ObjectKey) {
        let runs = K::of_mut(self);
        let Some(part) = runs.parts.get(key).as_deref().and_then(K::departed) else { return };
        if let Some(run) = K::run_of(&part).filter(|run| runs.runs.holds(run)) {
            let departed = runs.departed.entry(run).or_default();
            departed.push(Arc::new(part));
            // One that is made again and again: the latest tell.
            if departed.len() > DEPARTED {
                departed.remove(0);
            }
        }
    }

    pub(super) fn unlink_part<K: Carries>(&mut self, part: &K::Part) {
        let Some(run) = K::run_of(part) else { return };
        remove_from(&mut K::of_mut(self).by_run, &run, part.key());
    }
}

/// An execution has its runs of one kind; where somebody made it others beside, what goes on says most, then what is there.
fn either(one: Account, other: Account) -> Account {
    let rank = |account: &Account| match account {
        Account::GoesOn { .. } => 3,
        Account::Failed(_) | Account::Succeeded => 2,
        Account::Gone { .. } => 1,
        Account::Unknown => 0,
    };
    if rank(&other) > rank(&one) { other } else { one }
}

/// One that goes on says most; else the last one does.
fn telling<K: Carries>(runs: impl Iterator<Item = Arc<K>>) -> Option<Arc<K>> {
    runs.max_by(|a, b| {
        let rank = |run: &K| (run.goes_on(), born(run));
        rank(a).cmp(&rank(b)).then_with(|| a.key().cmp(b.key()))
    })
}

/// Creation; a run that does not say when counts as new.
fn born<K: Carries>(run: &K) -> Timestamp {
    run.created().unwrap_or(Timestamp::MAX)
}

fn remove_from<T: Tracked>(lists: &mut Map<ObjectKey, Vec<Arc<T>>>, list: &ObjectKey, key: &ObjectKey) {
    if let Some(members) = lists.get_mut(list) {
        members.retain(|member| member.key() != key);
        if members.is_empty() {
            lists.remove(list);
        }
    }
}
