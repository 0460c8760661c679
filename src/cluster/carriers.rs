//! The kinds that carry executions out, and what their parts are: PipelineRuns with TaskRuns, Jobs with Pods.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::index::{Changed, Parting, Tracked, World};
use super::inputs::Input;
use super::runs::{Carries, Runs};
use super::table::{Keyed, Table};
use crate::api::facts::{ObjectKey, ReadError, missing};
use crate::api::tekton::{Carrier, Engine, Job, Origin, PipelineRun, Pod, TaskRun};

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

    fn carrier(self: &Arc<Self>, tasks: Vec<Arc<TaskRun>>) -> Carrier {
        Carrier::Pipeline(self.clone(), tasks)
    }

    fn refers_to(&self) -> impl Iterator<Item = &str> {
        self.children.iter().filter(|child| child.is_task_run).map(|child| &*child.name)
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

    fn carrier(self: &Arc<Self>, pods: Vec<Arc<Pod>>) -> Carrier {
        Carrier::Job(self.clone(), pods)
    }

    fn refers_to(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
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

/// Kinds whose objects are runs are followed alike.
macro_rules! followed_as_run {
    ($run:ty, $input:expr, $runs:ident) => {
        impl Keyed for $run {
            fn key(&self) -> &ObjectKey {
                &self.key
            }
        }

        impl Tracked for $run {
            const INPUT: Input = $input;

            fn read(json: &str) -> Result<Self, ReadError> {
                Self::from_json(json).ok_or_else(|| missing("metadata.name"))
            }

            fn table(world: &mut World) -> &mut Table<Self> {
                &mut world.$runs.runs
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
    };
}

/// So are kinds whose objects are parts of runs.
macro_rules! followed_as_part {
    ($part:ty, $input:expr, $run:ty, $runs:ident) => {
        impl Keyed for $part {
            fn key(&self) -> &ObjectKey {
                &self.key
            }
        }

        impl Tracked for $part {
            const INPUT: Input = $input;

            fn read(json: &str) -> Result<Self, ReadError> {
                Self::from_json(json).ok_or_else(|| missing("metadata.name"))
            }

            fn table(world: &mut World) -> &mut Table<Self> {
                &mut world.$runs.parts
            }

            fn changed(&self, world: &World) -> Option<Changed> {
                world.part_change::<$run>(self)
            }

            fn link(self: &Arc<Self>, world: &mut World) {
                world.link_part::<$run>(self);
            }

            fn unlink(&self, world: &mut World) {
                world.unlink_part::<$run>(self);
            }

            fn leaves(world: &mut World, key: &ObjectKey, parting: Parting) {
                if parting == Parting::Seen {
                    world.part_departs::<$run>(key);
                }
            }
        }
    };
}

followed_as_run!(PipelineRun, Input::PipelineRuns, pipelines);
followed_as_run!(Job, Input::Jobs, jobs);
followed_as_part!(TaskRun, Input::TaskRuns, PipelineRun, pipelines);
followed_as_part!(Pod, Input::Pods, Job, jobs);
