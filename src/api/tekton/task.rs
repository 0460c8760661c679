//! A stored TaskRun.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::container::{Container, StoredContainer, containers};
use super::loose::{Loose, Member, Objects, Present, Stored, text, time};
use super::{Condition, Found, StoredCondition, condition};
use crate::api::facts::{ObjectKey, Time, Timestamp};

/// One TaskRun: the attempt that stands in its status, and those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRun {
    pub key: ObjectKey,
    pub uid: Box<str>,
    /// The PipelineRun that it belongs to, by label or owner.
    pub pipeline_run: Option<Box<str>>,
    /// Of several PipelineRuns of that name, one after the other, which; older releases do not say.
    pub pipeline_run_uid: Option<Box<str>>,
    /// Its name in the pipeline.
    pub pipeline_task: Option<Box<str>>,
    pub created: Option<Timestamp>,
    pub last: Attempt,
    /// `status.retriesStatus`, and what ran before them all: the checks of the task's conditions (up to 0.37).
    pub earlier: Vec<Attempt>,
}

/// One attempt at a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// `Succeeded`.
    pub condition: Condition,
    /// A Pod object was made for it.
    pub has_pod: bool,
    pub started: Option<Timestamp>,
    pub completed: Option<Timestamp>,
    pub steps: Vec<Container>,
    pub sidecars: Vec<Container>,
    /// It checked a condition of the task, before any attempt at it.
    pub is_check: bool,
}

impl TaskRun {
    /// Reads a stored TaskRun; None if it has no name.
    #[must_use]
    pub fn from_json(json: &str) -> Option<Self> {
        let (meta, status) = Stored::read(json)?;
        let (last, earlier) = attempts(status);
        Some(Self {
            key: meta.key()?,
            uid: meta.uid(),
            pipeline_run: meta.label("tekton.dev/pipelineRun").or_else(|| meta.owned_by("PipelineRun")),
            pipeline_run_uid: meta.label("tekton.dev/pipelineRunUID"),
            pipeline_task: meta.label("tekton.dev/pipelineTask"),
            created: meta.created(),
            last,
            earlier,
        })
    }

    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.last.condition.succeeded()
    }

    #[must_use]
    pub fn ended(&self) -> bool {
        self.last.condition.succeeded() || self.last.condition.failed()
    }

    /// A status that v1beta1 kept inside of the PipelineRun, and what ran for the conditions of the task.
    pub(super) fn embedded(
        key: ObjectKey,
        pipeline_task: Option<Box<str>>,
        status: Member<StoredStatus>,
        checks: Vec<Attempt>,
    ) -> Self {
        let (last, mut earlier) = attempts(status);
        earlier.extend(checks);
        Self {
            key,
            uid: Box::default(),
            pipeline_run: None,
            pipeline_run_uid: None,
            pipeline_task,
            created: None,
            last,
            earlier,
        }
    }

    /// The PipelineRun that it says it belongs to.
    #[must_use]
    pub fn run_key(&self) -> Option<ObjectKey> {
        Some(self.key.beside(self.pipeline_run.as_ref()?))
    }

    /// Every attempt, the last one first.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        std::iter::once(&self.last).chain(&self.earlier)
    }
}

fn attempts(status: Member<StoredStatus>) -> (Attempt, Vec<Attempt>) {
    match status {
        Member::Absent => Default::default(),
        Member::Unreadable => (Attempt::unreadable(), Vec::new()),
        Member::Read(status) => status.read(),
    }
}

impl Attempt {
    /// What it was is unknown.
    pub(super) fn unreadable() -> Self {
        Self { steps: vec![Container::unreadable()], ..Self::default() }
    }
}

/// One entry of `conditionChecks`: a Pod of its own, with an image of the workflow's.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct StoredCheck {
    condition_name: Loose<Box<str>>,
    status: Member<StoredCheckStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StoredCheckStatus {
    conditions: Objects<StoredCondition>,
    pod_name: Present,
    check: Member<StoredContainer>,
}

impl StoredCheck {
    pub fn read(self) -> Attempt {
        let status = match self.status {
            Member::Absent => return Attempt { is_check: true, ..Attempt::default() },
            Member::Unreadable => return Attempt::unreadable(),
            Member::Read(status) => status,
        };
        let mut steps = match status.check {
            Member::Absent => Vec::new(),
            Member::Read(check) => containers(Objects(vec![Some(check)])),
            Member::Unreadable => vec![Container::unreadable()],
        };
        let name = text(self.condition_name);
        steps.iter_mut().for_each(|step| step.name.clone_from(&name));
        let condition = condition(status.conditions, "Succeeded").said().unwrap_or_default();
        Attempt { condition, has_pod: status.pod_name.0, steps, is_check: true, ..Attempt::default() }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct StoredStatus {
    conditions: Objects<StoredCondition>,
    pod_name: Present,
    start_time: Loose<Time>,
    completion_time: Loose<Time>,
    steps: Objects<StoredContainer>,
    sidecars: Objects<StoredContainer>,
    /// Text: an earlier attempt has none of its own, and whatever claims otherwise costs no stack.
    retries_status: Option<Box<RawValue>>,
}

impl StoredStatus {
    fn read(mut self) -> (Attempt, Vec<Attempt>) {
        let earlier = self.retries_status.take();
        let earlier = earlier.map(|list| Objects::<Self>::from_json(list.get())).unwrap_or_default();
        let read = |one: Option<Self>| one.map_or_else(Attempt::unreadable, Self::attempt);
        (self.attempt(), earlier.0.into_iter().map(read).collect())
    }

    fn attempt(self) -> Attempt {
        let condition = condition(self.conditions, "Succeeded");
        let mut steps = containers(self.steps);
        if matches!(condition, Found::Unreadable) {
            // Whatever its outcome was, a step may have been at work for it.
            steps.push(Container::unreadable());
        }
        Attempt {
            is_check: false,
            condition: condition.said().unwrap_or_default(),
            has_pod: self.pod_name.0,
            started: time(&self.start_time),
            completed: time(&self.completion_time),
            steps,
            sidecars: containers(self.sidecars),
        }
    }
}
