//! The kinds that carry executions out, and what their parts are: PipelineRuns with TaskRuns, Jobs with Pods.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::index::{Changed, Parting, Table, Tracked, World};
use super::inputs::Input;
use super::runs::{Carries, Runs};
use crate::api::facts::{ObjectKey, ReadError, missing};
use crate::api::tekton::{Engine, Job, Origin, PipelineRun, Pod, TaskRun};
use crate::failure::{self, Account, Evidence};

impl Carries for PipelineRun {
    type Part = TaskRun;
    const ENGINE: Engine = Engine::Tekton;

    fn uid(&self) -> &str {
        &self.uid
    }

    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn created(&self) -> Option<Timestamp> {
        self.created
    }

    fn goes_on(&self) -> bool {
        !self.ended() && self.completed.is_none()
    }

    fn began(&self) -> bool {
        self.started.is_some() || !self.children.is_empty()
    }

    fn account(&self, tasks: &[Arc<TaskRun>], seen: bool) -> Account {
        Account::of(self, tasks.iter().map(AsRef::as_ref), seen)
    }

    fn may_have_run(&self, tasks: &[Arc<TaskRun>]) -> Option<Evidence> {
        failure::may_have_run(self, tasks.iter().map(AsRef::as_ref))
    }

    fn refers_to(&self) -> impl Iterator<Item = &str> {
        self.children.iter().filter(|child| child.is_task_run).map(|child| &*child.name)
    }

    fn all_known(&self, tasks: &[Arc<TaskRun>]) -> bool {
        self.children.iter().all(|child| tasks.iter().any(|task| task.key.name == child.name))
    }

    fn departed(_: &TaskRun) -> Option<TaskRun> {
        None
    }

    fn owns(&self, task: &TaskRun) -> bool {
        self.uid.is_empty() || task.pipeline_run_uid.as_ref().is_none_or(|uid| *uid == self.uid)
    }

    fn run_of(part: &TaskRun) -> Option<ObjectKey> {
        part.run_key()
    }

    fn of(world: &World) -> &Runs<Self> {
        &world.pipelines
    }

    fn of_mut(world: &mut World) -> &mut Runs<Self> {
        &mut world.pipelines
    }
}

impl Carries for Job {
    type Part = Pod;
    const ENGINE: Engine = Engine::Job;

    fn uid(&self) -> &str {
        &self.uid
    }

    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn created(&self) -> Option<Timestamp> {
        self.created
    }

    fn goes_on(&self) -> bool {
        !self.ended
    }

    /// Its controller says when it began before any Pod is there: a Pod tells.
    fn began(&self) -> bool {
        self.pods > 0
    }

    fn account(&self, pods: &[Arc<Pod>], seen: bool) -> Account {
        Account::of_job(self, pods.iter().map(AsRef::as_ref), seen)
    }

    fn may_have_run(&self, pods: &[Arc<Pod>]) -> Option<Evidence> {
        failure::job_may_have_run(self, pods.iter().map(AsRef::as_ref))
    }

    fn refers_to(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    fn all_known(&self, pods: &[Arc<Pod>]) -> bool {
        i64::try_from(pods.len()).is_ok_and(|known| known >= self.pods)
    }

    /// It is at work no longer, whatever it said.
    fn departed(pod: &Pod) -> Option<Pod> {
        Some(Pod { ended: true, ..pod.clone() })
    }

    fn owns(&self, pod: &Pod) -> bool {
        self.uid.is_empty() || pod.job_uid.as_ref().is_none_or(|uid| *uid == self.uid)
    }

    fn run_of(part: &Pod) -> Option<ObjectKey> {
        part.run_key()
    }

    fn of(world: &World) -> &Runs<Self> {
        &world.jobs
    }

    fn of_mut(world: &mut World) -> &mut Runs<Self> {
        &mut world.jobs
    }
}

impl Tracked for PipelineRun {
    const INPUT: Input = Input::PipelineRuns;

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn read(json: &str) -> Result<Self, ReadError> {
        Self::from_json(json).ok_or_else(|| missing("metadata.name"))
    }

    fn table(world: &mut World) -> &mut Table<Self> {
        &mut world.pipelines.runs
    }

    fn changed(&self, world: &World) -> Option<Changed> {
        Some(world.run_change(self))
    }

    fn link(self: &Arc<Self>, world: &mut World) {
        world.link_run(self);
    }

    fn unlink(&self, world: &mut World) {
        world.unlink_run(self);
    }

    fn replaces(&self, world: &mut World) {
        world.replace_run(self);
    }

    fn leaves(world: &mut World, key: &ObjectKey, parting: Parting) {
        world.lose_run::<Self>(key, parting);
    }
}

impl Tracked for Job {
    const INPUT: Input = Input::Jobs;

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn read(json: &str) -> Result<Self, ReadError> {
        Self::from_json(json).ok_or_else(|| missing("metadata.name"))
    }

    fn table(world: &mut World) -> &mut Table<Self> {
        &mut world.jobs.runs
    }

    fn changed(&self, world: &World) -> Option<Changed> {
        Some(world.run_change(self))
    }

    fn link(self: &Arc<Self>, world: &mut World) {
        world.link_run(self);
    }

    fn unlink(&self, world: &mut World) {
        world.unlink_run(self);
    }

    fn replaces(&self, world: &mut World) {
        world.replace_run(self);
    }

    fn leaves(world: &mut World, key: &ObjectKey, parting: Parting) {
        world.lose_run::<Self>(key, parting);
    }
}

impl Tracked for TaskRun {
    const INPUT: Input = Input::TaskRuns;

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn read(json: &str) -> Result<Self, ReadError> {
        Self::from_json(json).ok_or_else(|| missing("metadata.name"))
    }

    fn table(world: &mut World) -> &mut Table<Self> {
        &mut world.pipelines.parts
    }

    fn changed(&self, world: &World) -> Option<Changed> {
        world.part_change::<PipelineRun>(self)
    }

    fn link(self: &Arc<Self>, world: &mut World) {
        world.link_part::<PipelineRun>(self);
    }

    fn unlink(&self, world: &mut World) {
        world.unlink_part::<PipelineRun>(self);
    }
}

impl Tracked for Pod {
    const INPUT: Input = Input::Pods;

    fn key(&self) -> &ObjectKey {
        &self.key
    }

    fn read(json: &str) -> Result<Self, ReadError> {
        Self::from_json(json).ok_or_else(|| missing("metadata.name"))
    }

    fn table(world: &mut World) -> &mut Table<Self> {
        &mut world.jobs.parts
    }

    fn changed(&self, world: &World) -> Option<Changed> {
        world.part_change::<Job>(self)
    }

    fn link(self: &Arc<Self>, world: &mut World) {
        world.link_part::<Job>(self);
    }

    fn unlink(&self, world: &mut World) {
        world.unlink_part::<Job>(self);
    }

    fn leaves(world: &mut World, key: &ObjectKey, parting: Parting) {
        if parting == Parting::Seen {
            world.part_departs::<Job>(key);
        }
    }
}
