//! What carries an execution out, whichever engine it asks for.

use std::fmt;
use std::sync::Arc;

use super::{Child, Condition, Job, Origin, Owner, PipelineRun, Pod, Status, TaskRun};
use crate::api::facts::{ObjectKey, Timestamp};

/// `spec.workflowRef.executionEngine`, as far as it is carried out here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    Tekton,
    Job,
}

impl Engine {
    /// By its name; Tekton where none is said. None: nobody here has it.
    #[must_use]
    pub fn named(name: Option<&str>) -> Option<Self> {
        match name {
            None | Some("" | "tekton") => Some(Self::Tekton),
            Some("job") => Some(Self::Job),
            Some(_) => None,
        }
    }

    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Tekton => Self::Job,
            Self::Job => Self::Tekton,
        }
    }

    /// The kind of its runs.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Tekton => "PipelineRun",
            Self::Job => "Job",
        }
    }
}

/// A run and what is known of its parts.
#[derive(Clone, Debug)]
pub enum Carrier {
    Pipeline(Arc<PipelineRun>, Vec<Arc<TaskRun>>),
    Job(Arc<Job>, Vec<Arc<Pod>>),
}

impl Carrier {
    /// Reads a stored run, of whose parts nothing is known; None if it has no name.
    #[must_use]
    pub fn from_json(engine: Engine, json: &str) -> Option<Self> {
        Some(match engine {
            Engine::Tekton => Self::Pipeline(Arc::new(PipelineRun::from_json(json)?), Vec::new()),
            Engine::Job => Self::Job(Arc::new(Job::from_json(json)?), Vec::new()),
        })
    }

    #[must_use]
    pub fn engine(&self) -> Engine {
        match self {
            Self::Pipeline(..) => Engine::Tekton,
            Self::Job(..) => Engine::Job,
        }
    }

    #[must_use]
    pub fn key(&self) -> &ObjectKey {
        match self {
            Self::Pipeline(run, _) => &run.key,
            Self::Job(job, _) => &job.key,
        }
    }

    #[must_use]
    pub fn uid(&self) -> &str {
        match self {
            Self::Pipeline(run, _) => &run.uid,
            Self::Job(job, _) => &job.uid,
        }
    }

    #[must_use]
    pub fn origin(&self) -> &Origin {
        match self {
            Self::Pipeline(run, _) => &run.origin,
            Self::Job(job, _) => &job.origin,
        }
    }

    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        match self {
            Self::Pipeline(run, _) => run.created,
            Self::Job(job, _) => job.created,
        }
    }

    /// Somebody deleted it, and it is still there.
    #[must_use]
    pub fn deleting(&self) -> bool {
        match self {
            Self::Pipeline(run, _) => run.deleting,
            Self::Job(job, _) => job.deleting,
        }
    }

    #[must_use]
    pub fn started(&self) -> Option<Timestamp> {
        match self {
            Self::Pipeline(run, _) => run.started,
            Self::Job(job, _) => job.started,
        }
    }

    #[must_use]
    pub fn completed(&self) -> Option<Timestamp> {
        match self {
            Self::Pipeline(run, _) => run.completed,
            Self::Job(job, _) => job.completed,
        }
    }

    /// It ended, well or not.
    #[must_use]
    pub fn ended(&self) -> bool {
        match self {
            Self::Pipeline(run, _) => run.ended(),
            Self::Job(job, _) => job.ended,
        }
    }

    /// It carries this execution out.
    #[must_use]
    pub fn is_of(&self, owner: Owner<'_>) -> bool {
        self.origin().is_of(owner, self.created())
    }

    /// It may still do something.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        !self.ended() && (self.engine() == Engine::Job || self.completed().is_none())
    }

    /// It says that it began. A Job's controller says when before any Pod is there: a Pod tells.
    #[must_use]
    pub fn began(&self) -> bool {
        match self {
            Self::Pipeline(run, _) => run.started.is_some() || !run.children.is_empty(),
            Self::Job(job, _) => job.pods > 0 || job.was_suspended,
        }
    }

    /// What it says of itself, in the form of Tekton's condition `Succeeded`.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match self {
            Self::Pipeline(run, _) => run.condition.clone().unwrap_or_default(),
            Self::Job(job, _) => match &job.failed {
                Some(failed) => {
                    Condition { status: if job.ended { Status::False } else { Status::Unknown }, ..failed.clone() }
                }
                None if job.complete => {
                    Condition { status: Status::True, reason: "Completed".into(), ..Condition::default() }
                }
                None if job.suspended => Condition {
                    reason: "Suspended".into(),
                    message:
                        "somebody suspended it: nothing of it is at work, and no deadline runs, until it is resumed"
                            .into(),
                    ..Condition::default()
                },
                None => Condition { reason: if job.pods > 0 { "Running" } else { "" }.into(), ..Condition::default() },
            },
        }
    }

    /// Tasks that are done, and tasks in all; a Job is one.
    #[must_use]
    pub fn tasks(&self) -> (usize, usize) {
        match self {
            Self::Pipeline(run, tasks) => {
                (tasks.iter().filter(|task| task.succeeded()).count(), run.children.len() + run.to_come)
            }
            Self::Job(job, _) => (usize::from(job.complete), 1),
        }
    }

    /// Pods of a Job that were made in place of others.
    #[must_use]
    pub fn retries(&self) -> Option<usize> {
        match self {
            Self::Pipeline(..) => None,
            Self::Job(_, pods) => Some(pods.len().saturating_sub(1)),
        }
    }

    /// A part of it is known that is an object of its own.
    #[must_use]
    pub fn has_parts(&self) -> bool {
        match self {
            Self::Pipeline(_, tasks) => !tasks.is_empty(),
            Self::Job(_, pods) => !pods.is_empty(),
        }
    }

    /// A part of it is known that has not ended.
    #[must_use]
    pub fn has_open_parts(&self) -> bool {
        match self {
            Self::Pipeline(run, tasks) => known(run, tasks).any(|task| !task.ended()),
            Self::Job(_, pods) => pods.iter().any(|pod| !pod.ended),
        }
    }

    /// It refers to a part of which nothing is known.
    #[must_use]
    pub fn has_unknown_parts(&self) -> bool {
        match self {
            Self::Pipeline(run, tasks) => {
                let unheard =
                    |child: &Child| child.is_task_run && known(run, tasks).all(|task| task.key.name != child.name);
                run.children.iter().any(unheard)
            }
            Self::Job(job, pods) => !job.knows_all(pods.iter().map(AsRef::as_ref)),
        }
    }
}

fn known<'a>(run: &'a PipelineRun, tasks: &'a [Arc<TaskRun>]) -> impl Iterator<Item = &'a TaskRun> {
    tasks.iter().map(AsRef::as_ref).chain(&run.embedded)
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.engine().kind(), self.key())
    }
}
