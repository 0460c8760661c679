//! What is known of the run that carries an execution out, whatever became of it.

use super::evidence::{Evidence, Source, Weight};
use super::{Classification, Reason, job_may_have_run, may_have_run, of_job, of_run, run};
use crate::api::tekton::{Carrier, Job, PipelineRun, Pod, TaskRun};

/// The state of a run, told by its own record and by what a watcher remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Account {
    /// Nothing is known of a run.
    #[default]
    Unknown,
    /// It has not ended. What shows that a step of it ran, or may have.
    GoesOn {
        ran: Option<Evidence>,
    },
    /// It ended well.
    Succeeded,
    Failed(Classification),
    /// It was seen and is no longer there, or no longer to be seen.
    Gone {
        /// It was seen at work, or that could not be excluded when it was seen last.
        ran: bool,
    },
}

impl Account {
    /// The account of a run that is there. `seen`: a step of it was seen at work, whatever its record says now.
    #[must_use]
    pub fn of<'a>(run: &'a PipelineRun, tasks: impl IntoIterator<Item = &'a TaskRun>, seen: bool) -> Self {
        let tasks: Vec<_> = tasks.into_iter().collect();
        match of_run(run, tasks.iter().copied(), seen) {
            Some(found) => Self::Failed(unless_a_task_goes_on(found, &tasks)),
            None if run.ended() => Self::Succeeded,
            None => Self::GoesOn { ran: may_have_run(run, tasks) },
        }
    }

    /// The account of a Job that is there; one that is about to fail still has Pods at work.
    #[must_use]
    pub fn of_job<'a>(job: &Job, pods: impl IntoIterator<Item = &'a Pod>, seen: bool) -> Self {
        let pods: Vec<_> = pods.into_iter().collect();
        if !job.ended {
            return Self::GoesOn { ran: job_may_have_run(job, pods) };
        }
        of_job(job, pods, seen).map_or(Self::Succeeded, Self::Failed)
    }

    /// The same, whichever engine it is of.
    #[must_use]
    pub fn of_carrier(carrier: &Carrier, seen: bool) -> Self {
        match carrier {
            Carrier::Pipeline(run, tasks) => Self::of(run, tasks.iter().map(AsRef::as_ref), seen),
            Carrier::Job(job, pods) => Self::of_job(job, pods.iter().map(AsRef::as_ref), seen),
        }
    }

    /// What comes next may say otherwise: the run has not ended as far as is known, or its flag rests on doubt.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        match self {
            Self::GoesOn { .. } => true,
            Self::Failed(found) => found.in_doubt(),
            _ => false,
        }
    }

    /// What a status tells by itself, held against this account: where it is known that nothing ran, there is no doubt.
    #[must_use]
    pub fn settles(&self, mut found: Classification) -> Classification {
        if *self == (Self::Gone { ran: false }) && found.in_doubt() {
            found.ran = false;
            found.evidence.retain(|evidence| evidence.weight != Weight::Doubt);
            found.evidence.push(Source::nameless("its run").says(Weight::Run, "went before anything of it ran"));
        }
        found
    }

    /// What a status has to say that calls the execution Failed, with this reason and message, while the account is this.
    /// None: nothing is known that it could be held against.
    #[must_use]
    pub fn against_failed(&self, reason: Reason, message: &str) -> Option<Classification> {
        let ran = |message: &str, says: &str| {
            let says = Source::nameless("its run").says(Weight::Run, says);
            Some(Classification::of_whole(reason, true, message, vec![says]))
        };
        match self {
            Self::Failed(found) => Some(found.clone()),
            Self::GoesOn { .. } => {
                let told = message.strip_suffix(GOES_ON).unwrap_or(message).trim_end_matches("; ");
                let said = [told, GOES_ON].into_iter().filter(|words| !words.is_empty());
                ran(&said.collect::<Vec<_>>().join("; "), "it goes on")
            }
            Self::Succeeded => ran(message, "it ended well"),
            Self::Gone { ran: true } => {
                ran(message, "it was seen at work, or that could not be excluded, when it was seen last")
            }
            Self::Gone { ran: false } | Self::Unknown => None,
        }
    }
}

/// What shows that a step of it ran, or may have, whether it ended or not.
#[must_use]
pub fn evidence_of_start(carrier: &Carrier) -> Option<Evidence> {
    match carrier {
        Carrier::Pipeline(run, tasks) => may_have_run(run, tasks.iter().map(AsRef::as_ref)),
        Carrier::Job(job, pods) => job_may_have_run(job, pods.iter().map(AsRef::as_ref)),
    }
}

/// Runs and tasks are told one by one, so that a task may be further than is known, also where quota refused its Pod.
fn unless_a_task_goes_on(mut found: Classification, tasks: &[&TaskRun]) -> Classification {
    if let Some(task) = tasks.iter().find(|task| !task.ended()).filter(|_| !found.ran) {
        found.ran = true;
        found.evidence.push(run::not_ended(task));
    }
    found
}

/// What the message says of a run that outlives its execution.
const GOES_ON: &str = "its run goes on";
