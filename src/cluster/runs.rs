//! Runs and their parts, of whichever engine: which execution a run carries out, on which target it acts, and what was seen of it.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

use super::index::{Changed, Parting, Tracked, World};
use super::table::{Keyed, Map, Table};
use super::traces::{Memory, Trace, Traces};
use crate::api::facts::{ObjectKey, Target, TargetId};
use crate::api::tekton::{Carrier, Engine, Origin, Owner};
use crate::failure::{self, Account, Evidence, Weight};
use crate::routing;

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
    /// It and its parts, as everybody else knows them.
    fn carrier(self: &Arc<Self>, parts: Vec<Arc<Self::Part>>) -> Carrier;
    /// Names of parts that it refers to.
    fn refers_to(&self) -> impl Iterator<Item = &str>;
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
    /// When each that is there was first seen to have ended.
    ends: Map<ObjectKey, (Box<str>, Instant)>,
    /// By execution.
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
            ends: Map::default(),
            traces: Map::default(),
            orphans: VecDeque::default(),
        }
    }
}

impl<K: Carries> Runs<K> {
    /// What is known of the run of this execution, wherever it is. `named` are the places where its status says that a run may
    /// be; they count only where no run says itself that it is its own, since the status is what its writer makes of it.
    /// `elsewhere`: a run of it that is of another kind did something.
    fn account(&self, owner: Owner<'_>, named: &[ObjectKey], elsewhere: bool) -> Account {
        let unclaimed = |run: &Arc<K>| run.origin().execution.is_none() && owner.may_have_made(run.created());
        let named = named.iter().filter_map(|key| self.runs.get(key)).filter(unclaimed);
        let own = self.own(owner);
        let memory = Memory::of(self.traces_of(owner));
        // Of several runs of its own one is told, and what any of them did counts.
        let another_ran = own.len() > 1 && own.iter().any(|run| self.evidence_of_start(run).is_some());
        let run = self.telling(&own).or_else(|| self.telling(&named.collect::<Vec<_>>()));
        let ran = elsewhere || another_ran || memory.ran;
        match run {
            Some(run) => Account::of_carrier(&run, ran),
            None if memory.gone || memory.ran => Account::Gone { ran },
            None => Account::Unknown,
        }
    }

    /// A run of this execution did something, or may have.
    fn did_something(&self, owner: Owner<'_>) -> bool {
        Memory::of(self.traces_of(owner)).ran || self.own(owner).iter().any(|run| self.evidence_of_start(run).is_some())
    }

    fn own(&self, owner: Owner<'_>) -> Vec<Arc<K>> {
        let all = self.by_execution.get(owner.key).into_iter().flatten();
        all.filter(|run| run.origin().is_of(owner, run.created())).cloned().collect()
    }

    fn traces_of(&self, owner: Owner<'_>) -> impl Iterator<Item = &Trace> {
        self.traces.get(owner.key).into_iter().flat_map(move |traces| traces.of(owner))
    }

    /// One that goes on says most; else the last one does.
    fn telling(&self, runs: &[Arc<K>]) -> Option<Carrier> {
        let rank = |run: &Carrier| (run.goes_on(), run.created().unwrap_or(Timestamp::MAX));
        let runs = runs.iter().map(|run| self.carrier(run));
        runs.max_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.key().cmp(b.key())))
    }

    fn evidence_of_start(&self, run: &Arc<K>) -> Option<Evidence> {
        failure::evidence_of_start(&self.carrier(run))
    }

    fn carrier(&self, run: &Arc<K>) -> Carrier {
        run.carrier(self.parts_of(run))
    }

    /// The run of this name, with its parts.
    pub fn at(&self, key: &ObjectKey) -> Option<Carrier> {
        self.runs.get(key).map(|run| self.carrier(&run))
    }

    /// For how long the run of this name and uid is known to have ended.
    pub fn ended_for(&self, key: &ObjectKey, uid: &str) -> Option<Duration> {
        self.ends.get(key).filter(|(known, _)| **known == *uid).map(|(_, since)| since.elapsed())
    }

    /// What is remembered of this execution's runs that had this name.
    pub fn memory(&self, key: &ObjectKey, owner: Owner<'_>) -> Memory {
        Memory::of(self.traces_of(owner).filter(|trace| trace.run == *key))
    }

    /// Parts that say they are of a run of this name, and are of none of these uids.
    pub fn left_behind(&self, key: &ObjectKey, standing: &[&str]) -> impl Iterator<Item = &Arc<K::Part>> {
        let run = self.runs.get(key).filter(|run| standing.contains(&run.uid()));
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
        self.ends.clear();
        self.traces.retain(|execution, _| holds(execution));
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
    fn note(&mut self, run: &Arc<K>) {
        let carrier = self.carrier(run);
        if carrier.ended() && self.ends.get(run.key()).is_none_or(|(uid, _)| **uid != *run.uid()) {
            self.ends.insert(run.key().clone(), (run.uid().into(), Instant::now()));
        }
        let at_work = failure::evidence_of_start(&carrier).is_some_and(|evidence| evidence.weight < Weight::Doubt);
        let idle = matches!(Account::of_carrier(&carrier, false), Account::Failed(failed) if !failed.ran);
        self.trace(&**run, |trace| {
            trace.at_work |= at_work;
            // Of parts that went nothing is known, and that takes nothing back.
            if !carrier.has_unknown_parts() {
                trace.idle = idle && !trace.uid.is_empty();
            }
        });
    }

    /// Changes what is remembered of a run.
    fn trace(&mut self, run: &K, change: impl FnOnce(&mut Trace)) {
        let Some(execution) = &run.origin().execution else { return };
        let traces = self.traces.entry(execution.clone()).or_default();
        traces.change(Trace::of(run.key(), run.uid(), run.origin(), run.created()), change);
        if traces.is_empty() {
            self.traces.remove(execution);
        }
    }

    fn parts_with(&mut self, run: &Arc<K>, parting: Parting, adopted: bool, open: bool) {
        let ran = self.ran_until_it_went(run, parting);
        let last = Some(self.carrier(run)).filter(|last| open && last.ended());
        self.trace(&**run, |trace| {
            trace.gone = Some(ran && !trace.idle);
            trace.last = last;
        });
        if let Some(execution) = run.origin().execution.clone().filter(|_| !adopted) {
            self.orphans.push_back(execution);
        }
        self.departed.remove(run.key());
        self.ends.remove(run.key());
    }

    /// False only where it provably never started.
    fn ran_until_it_went(&self, run: &Arc<K>, parting: Parting) -> bool {
        let carrier = self.carrier(run);
        match Account::of_carrier(&carrier, false) {
            Account::Failed(failed) => failed.ran,
            Account::GoesOn { ran: None } => carrier.began() || carrier.has_parts() || parting == Parting::Unseen,
            _ => true,
        }
    }
}

impl World {
    /// What is known of the run of this execution, of whichever kind it is.
    pub(super) fn account(&self, owner: Owner<'_>, named: &[ObjectKey]) -> Account {
        let (pipelines, jobs) = (&self.pipelines, &self.jobs);
        let elsewhere = (jobs.did_something(owner), pipelines.did_something(owner));
        let told = |named: &[ObjectKey]| {
            either(pipelines.account(owner, named, elsewhere.0), jobs.account(owner, named, elsewhere.1))
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
        pipelines.iter().for_each(|run| self.place(run));
        jobs.iter().for_each(|run| self.place(run));
    }

    /// Puts a run on the target of its execution, else on the one that it was made for.
    fn place<K: Carries>(&mut self, run: &Arc<K>) {
        self.places.lift(K::ENGINE, run.key());
        let target = self.target_of(&**run);
        let Some((execution, target)) = run.origin().execution.as_ref().zip(target) else { return };
        let (key, execution) = (run.key().clone(), execution.clone());
        let goes_on = run.carrier(Vec::new()).goes_on();
        let run = routing::Run { engine: K::ENGINE, key, execution, created: run.created(), goes_on };
        self.places.put(run, target);
    }

    fn target_of<K: Carries>(&self, run: &K) -> Option<TargetId> {
        let execution = run.origin().execution.as_ref().and_then(|key| self.executions.get(key));
        let by_execution = execution.and_then(|execution| execution.target.clone());
        by_execution.or_else(|| Some(Target::parse(run.origin().target.as_deref()?, None).ok()?.identity().clone()))
    }

    fn run_parts<K: Carries>(&mut self, run: &Arc<K>, parting: Parting) {
        let execution = run.origin().execution.as_ref();
        let adopted = execution.is_some_and(|key| self.executions.holds(key));
        let open = execution.and_then(|key| self.executions.get(key)).is_none_or(|known| !known.has_ended());
        K::of_mut(self).parts_with(run, parting, adopted, open);
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
        self.place(run);
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
            self.run_parts(&before, Parting::Unseen);
        }
    }

    pub(super) fn lose_run<K: Carries>(&mut self, key: &ObjectKey, parting: Parting) {
        if let Some(run) = K::of(self).runs.get(key) {
            self.run_parts(&run, parting);
        }
    }

    /// Nobody gets a target by a part; but it may be all that is left of its run, and somebody wait for its place.
    pub(super) fn part_change<K: Carries>(&self, part: &K::Part) -> Option<Changed> {
        let run = K::run_of(part)?;
        match K::of(self).runs.get(&run) {
            Some(run) => Some(Changed::Execution(run.origin().execution.clone()?, None)),
            None => Some(Changed::Run { run, execution: None, target: None }),
        }
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

fn remove_from<T: Tracked>(lists: &mut Map<ObjectKey, Vec<Arc<T>>>, list: &ObjectKey, key: &ObjectKey) {
    if let Some(members) = lists.get_mut(list) {
        members.retain(|member| member.key() != key);
        if members.is_empty() {
            lists.remove(list);
        }
    }
}
