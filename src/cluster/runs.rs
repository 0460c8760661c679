//! Tekton's runs and their tasks: which execution a run carries out, on which target it acts, and what was seen of it.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::index::{Changed, Map, Parting, Table, Tracked, World};
use super::inputs::Input;
use crate::api::facts::{ObjectKey, ReadError, Target, TargetId, missing};
use crate::api::tekton::{PipelineRun, TaskRun};
use crate::failure::{self, Account, Weight};
use crate::routing;

/// Servers of one cluster stamp creations by clocks that differ: only what is older by more belongs to an earlier
/// execution of the same name. In doubt a run is ours.
const CLOCKS: Duration = Duration::from_secs(10);
/// Executions that are not in the index and whose runs went: so many are remembered, the latest ones.
const ORPHANS: usize = 1024;

#[derive(Default)]
pub(super) struct Runs {
    pub runs: Table<PipelineRun>,
    pub tasks: Table<TaskRun>,
    by_execution: Map<ObjectKey, Vec<Arc<PipelineRun>>>,
    by_run: Map<ObjectKey, Vec<Arc<TaskRun>>>,
    by_target: Map<TargetId, Arc<routing::Runs>>,
    /// Where each run was put, since its execution may be another one by the time it goes.
    places: Map<ObjectKey, TargetId>,
    traces: Map<ObjectKey, Traces>,
    orphans: VecDeque<ObjectKey>,
}

/// What was seen of the runs of one execution and may stand in no record any more. A run is known here by its creation;
/// of several the latest is kept, so that the order in which they were seen does not matter.
#[derive(Clone, Debug, Default)]
struct Traces {
    /// A step of it was seen at work.
    at_work: Option<Timestamp>,
    /// The uid of one that failed when every child of it was known and none had run: children that go first take nothing back.
    idle: Option<Box<str>>,
    gone: Option<Timestamp>,
    /// Of those that are gone, the one that ran, or may have.
    gone_having_run: Option<Timestamp>,
}

impl Traces {
    fn is_empty(&self) -> bool {
        self.at_work.or(self.gone).is_none() && self.idle.is_none()
    }
}

impl Runs {
    /// What is known of the run of this execution. `named` are the places where its status says that a run may be; they count
    /// only where no run says itself that it is its own, since the status is what its writer makes of it.
    pub fn account(
        &self,
        execution: &ObjectKey,
        created: Option<Timestamp>,
        named: impl Iterator<Item = ObjectKey>,
    ) -> Account {
        let oldest = created.and_then(|created| created.checked_sub(CLOCKS).ok()).unwrap_or(Timestamp::MIN);
        let of_now = |at: Timestamp| at >= oldest;
        let unclaimed = |run: &Arc<PipelineRun>| run.origin.execution.is_none();
        let named = named.filter_map(|key| self.runs.get(&key)).filter(unclaimed);
        let own = self.by_execution.get(execution).into_iter().flatten().cloned();
        let traces = self.traces.get(execution).cloned().unwrap_or_default();
        let own: Vec<_> = own.filter(|run| of_now(born(run))).collect();
        let ran =
            |run: &Arc<PipelineRun>| failure::may_have_run(run, self.tasks_of(run).iter().map(AsRef::as_ref)).is_some();
        // Of several runs of its own one is told, and what any of them did counts.
        let another_ran = own.len() > 1 && own.iter().any(ran);
        let run = telling(own.into_iter()).or_else(|| telling(named.filter(|run| of_now(born(run)))));
        let ran = another_ran || traces.at_work.max(traces.gone_having_run).is_some_and(of_now);
        match run {
            Some(run) => self.told(&run, ran),
            None if ran || traces.gone.is_some_and(of_now) => Account::Gone { ran },
            None => Account::Unknown,
        }
    }

    /// The runs on this target.
    pub fn on(&self, target: &TargetId) -> Arc<routing::Runs> {
        self.by_target.get(target).cloned().unwrap_or_default()
    }

    /// The run of this name, with its tasks.
    pub fn with_tasks(&self, key: &ObjectKey) -> Option<(Arc<PipelineRun>, Vec<Arc<TaskRun>>)> {
        let run = self.runs.get(key)?;
        let tasks = self.tasks_of(&run);
        Some((run, tasks))
    }

    /// The execution left: nobody will ask for what was seen of its runs.
    pub fn forget_traces(&mut self, execution: &ObjectKey) {
        self.traces.remove(execution);
    }

    fn told(&self, run: &PipelineRun, seen: bool) -> Account {
        Account::of(run, self.tasks_of(run).iter().map(AsRef::as_ref), seen)
    }

    /// Those that say so themselves, and those that the run refers to.
    fn tasks_of(&self, run: &PipelineRun) -> Vec<Arc<TaskRun>> {
        let mut tasks = self.by_run.get(&run.key).cloned().unwrap_or_default();
        let known: HashSet<Box<str>> = tasks.iter().map(|task| task.key.name.clone()).collect();
        let referred = run.children.iter().filter(|child| child.is_task_run && !known.contains(&child.name));
        // One that says it belongs to another run is that one's.
        let own = |task: &Arc<TaskRun>| task.pipeline_run.as_ref().is_none_or(|of| *of == run.key.name);
        tasks.extend(referred.filter_map(|child| self.tasks.get(&run.key.beside(&child.name)).filter(own)));
        tasks
    }

    /// Remembers what a later record may not show any more: a Pod or a task that is made again leaves no trace.
    fn note(&mut self, run: &PipelineRun) {
        let Some(execution) = &run.origin.execution else { return };
        let mut traces = self.traces.get(execution).cloned().unwrap_or_default();
        if traces.at_work.is_some_and(|at| at >= born(run)) {
            return;
        }
        let tasks = self.tasks_of(run);
        let evidence = failure::may_have_run(run, tasks.iter().map(AsRef::as_ref));
        if evidence.is_some_and(|evidence| evidence.weight < Weight::Doubt) {
            traces.at_work = traces.at_work.max(Some(born(run)));
        } else if run.children.iter().all(|child| tasks.iter().any(|task| task.key.name == child.name)) {
            let idle = matches!(self.told(run, false), Account::Failed(failed) if !failed.ran);
            traces.idle = (idle && !run.uid.is_empty()).then(|| run.uid.clone());
        }
        if traces.is_empty() {
            self.traces.remove(execution);
        } else {
            self.traces.insert(execution.clone(), traces);
        }
    }

    /// Its task changed.
    fn note_run_of(&mut self, task: &TaskRun) {
        if let Some(run) = task.run_key().and_then(|run| self.runs.get(&run)) {
            self.note(&run);
        }
    }

    fn parts(&mut self, run: &PipelineRun, parting: Parting, adopted: bool) {
        let Some(execution) = &run.origin.execution else { return };
        let ran = self.ran_until_it_went(run, parting);
        let traces = self.traces.entry(execution.clone()).or_default();
        let born = Some(born(run));
        traces.gone = traces.gone.max(born);
        if ran && traces.idle.as_ref() != Some(&run.uid) {
            traces.gone_having_run = traces.gone_having_run.max(born);
        }
        if !adopted {
            self.orphans.push_back(execution.clone());
        }
    }

    /// False only where it provably never started.
    fn ran_until_it_went(&self, run: &PipelineRun, parting: Parting) -> bool {
        match self.told(run, false) {
            Account::Failed(failed) => failed.ran,
            Account::GoesOn { ran: None } => {
                let began = run.started.is_some() || !run.children.is_empty() || !self.tasks_of(run).is_empty();
                began || parting == Parting::Unseen
            }
            _ => true,
        }
    }

    /// Puts a run on the target of its execution, else on the one that it was made for.
    fn place(&mut self, run: &PipelineRun, target: Option<TargetId>) {
        self.lift(&run.key);
        let Some((execution, target)) = run.origin.execution.as_ref().zip(target) else { return };
        let told = routing::Run {
            key: run.key.clone(),
            execution: execution.clone(),
            created: run.created,
            goes_on: goes_on(run),
        };
        Arc::make_mut(self.by_target.entry(target.clone()).or_default()).insert(told);
        self.places.insert(run.key.clone(), target);
    }

    fn lift(&mut self, run: &ObjectKey) {
        let Some(target) = self.places.remove(run) else { return };
        if let Some(runs) = self.by_target.get_mut(&target) {
            Arc::make_mut(runs).remove(run);
            if runs.is_empty() {
                self.by_target.remove(&target);
            }
        }
    }
}

impl World {
    /// The execution with this name came, went or changed: its runs act where it says.
    pub(super) fn place_runs_of(&mut self, execution: &ObjectKey) {
        for run in self.runs.by_execution.get(execution).cloned().unwrap_or_default() {
            self.place_run(&run);
        }
    }

    fn place_run(&mut self, run: &PipelineRun) {
        let execution = run.origin.execution.as_ref().and_then(|key| self.executions.get(key));
        let by_execution = execution.and_then(|execution| execution.target.clone());
        let made_for = || Some(Target::parse(run.origin.target.as_deref()?, None).ok()?.identity().clone());
        self.runs.place(run, by_execution.or_else(made_for));
    }

    fn run_parts(&mut self, run: &PipelineRun, parting: Parting) {
        let adopted = run.origin.execution.as_ref().is_some_and(|key| self.executions.holds(key));
        self.runs.parts(run, parting, adopted);
        while self.runs.orphans.len() > ORPHANS {
            let Some(oldest) = self.runs.orphans.pop_front() else { break };
            self.drop_orphan(&oldest);
        }
    }

    fn drop_orphan(&mut self, execution: &ObjectKey) {
        if !self.executions.holds(execution) && !self.runs.by_execution.contains_key(execution) {
            self.runs.forget_traces(execution);
        }
    }

    /// Runs can no longer be seen: what was seen is kept for executions that can.
    pub(super) fn drop_orphans(&mut self) {
        self.runs.orphans.clear();
        let executions = &self.executions;
        self.runs.traces.retain(|execution, _| executions.holds(execution));
    }
}

/// One that goes on says most; else the last one does.
fn telling(runs: impl Iterator<Item = Arc<PipelineRun>>) -> Option<Arc<PipelineRun>> {
    runs.max_by(|a, b| {
        let rank = |run: &PipelineRun| (goes_on(run), born(run));
        rank(a).cmp(&rank(b)).then_with(|| a.key.cmp(&b.key))
    })
}

/// Creation; a run that does not say when counts as new.
fn born(run: &PipelineRun) -> Timestamp {
    run.created.unwrap_or(Timestamp::MAX)
}

fn goes_on(run: &PipelineRun) -> bool {
    !run.ended() && run.completed.is_none()
}

impl Tracked for PipelineRun {
    const INPUT: Input = Input::PipelineRuns;

    fn changed(&self, world: &World) -> Option<Changed> {
        let execution = self.origin.execution.clone();
        let known = execution.as_ref().and_then(|execution| world.executions.get(execution)?.target.clone());
        let written = || Some(Target::parse(self.origin.target.as_deref()?, None).ok()?.identity().clone());
        Some(Changed::Run { run: self.key.clone(), execution, target: known.or_else(written) })
    }

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn read(json: &str) -> Result<Self, ReadError> {
        Self::from_json(json).ok_or_else(|| missing("metadata.name"))
    }

    fn table(world: &mut World) -> &mut Table<Self> {
        &mut world.runs.runs
    }

    fn link(self: &Arc<Self>, world: &mut World) {
        if let Some(execution) = &self.origin.execution {
            world.runs.by_execution.entry(execution.clone()).or_default().push(self.clone());
        }
        world.place_run(self);
        world.runs.note(self);
    }

    fn unlink(&self, world: &mut World) {
        world.runs.lift(&self.key);
        let Some(execution) = &self.origin.execution else { return };
        remove_from(&mut world.runs.by_execution, execution, &self.key);
    }

    fn replaces(&self, world: &mut World) {
        if let Some(before) = world.runs.runs.get(&self.key).filter(|before| before.uid != self.uid) {
            world.run_parts(&before, Parting::Unseen);
        }
    }

    fn leaves(world: &mut World, key: &ObjectKey, parting: Parting) {
        if let Some(run) = world.runs.runs.get(key) {
            world.run_parts(&run, parting);
        }
    }
}

impl Tracked for TaskRun {
    const INPUT: Input = Input::TaskRuns;

    fn changed(&self, world: &World) -> Option<Changed> {
        let run = world.runs.runs.get(&self.run_key()?)?;
        // Nobody gets a target by it.
        Some(Changed::Execution(run.origin.execution.clone()?, None))
    }

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn read(json: &str) -> Result<Self, ReadError> {
        Self::from_json(json).ok_or_else(|| missing("metadata.name"))
    }

    fn table(world: &mut World) -> &mut Table<Self> {
        &mut world.runs.tasks
    }

    fn link(self: &Arc<Self>, world: &mut World) {
        if let Some(run) = self.run_key() {
            world.runs.by_run.entry(run).or_default().push(self.clone());
        }
        world.runs.note_run_of(self);
    }

    fn unlink(&self, world: &mut World) {
        let Some(run) = self.run_key() else { return };
        remove_from(&mut world.runs.by_run, &run, &self.key);
    }
}

fn remove_from<T: Tracked>(lists: &mut Map<ObjectKey, Vec<Arc<T>>>, list: &ObjectKey, key: &ObjectKey) {
    if let Some(members) = lists.get_mut(list) {
        members.retain(|member| member.key() != key);
        if members.is_empty() {
            lists.remove(list);
        }
    }
}
