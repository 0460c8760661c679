//! A stored PipelineRun.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::loose::{Loose, Member, Objects, Stored, said, time};
use super::task::{Attempt, StoredCheck, StoredStatus, TaskRun};
use super::{Condition, Found, Origin, StoredCondition, condition};
use crate::api::facts::{ObjectKey, Time, Timestamp};

/// One PipelineRun, as far as its end and its children are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineRun {
    pub key: ObjectKey,
    pub uid: Box<str>,
    pub origin: Origin,
    pub created: Option<Timestamp>,
    /// Somebody deleted it; it stays until its parts are gone, or whatever a finalizer waits for.
    pub deleting: bool,
    /// `Succeeded`; none: nothing was said yet.
    pub condition: Option<Condition>,
    pub started: Option<Timestamp>,
    /// Where it ended and does not say when, since its condition says so.
    pub completed: Option<Timestamp>,
    /// `childReferences` in their order; in v1beta1 also the names of the statuses that it keeps inside.
    pub children: Vec<Child>,
    /// Tasks of the pipeline to which no child belongs: they come later, or are skipped.
    pub to_come: usize,
    /// `skippedTasks[].reason`.
    pub skipped: Vec<Box<str>>,
    /// Tasks of the pipeline whose failure is passed over (`onError: continue`).
    pub ignored: Vec<Box<str>>,
    /// TaskRuns that v1beta1 keeps inside of the PipelineRun.
    pub embedded: Vec<TaskRun>,
}

/// A child that the run refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    pub name: Box<str>,
    /// A TaskRun; else a CustomRun, or something that nobody here can read.
    pub is_task_run: bool,
    pub pipeline_task: Option<Box<str>>,
}

impl PipelineRun {
    /// Reads a stored PipelineRun; None if it has no name.
    #[must_use]
    pub fn from_json(json: &str) -> Option<Self> {
        let (meta, status) = Stored::read(json)?;
        let key = meta.key()?;
        let (status, readable) = match status {
            Member::Absent => (StoredRun::default(), true),
            Member::Read(status) => (status, true),
            Member::Unreadable => (StoredRun::default(), false),
        };
        let mut children: Vec<Child> = status.child_references.0.into_iter().map(Child::read).collect();
        let (inside, tasks_readable) = members(status.task_runs);
        let (customs, customs_readable) = members(status.runs);
        let condition = condition(status.conditions, "Succeeded");
        let told = !matches!(condition, Found::Unreadable);
        if !(readable && told && tasks_readable && customs_readable) {
            children.push(Child::unknown());
        }
        let embedded = embedded(&key.namespace, inside);
        let named: BTreeSet<Box<str>> = children.iter().map(|child| child.name.clone()).collect();
        for task in embedded.iter().filter(|task| !named.contains(&task.key.name)) {
            let pipeline_task = task.pipeline_task.clone();
            children.push(Child { name: task.key.name.clone(), is_task_run: true, pipeline_task });
        }
        for name in customs.into_keys().filter(|name| !named.contains(name)) {
            children.push(Child { name, is_task_run: false, pipeline_task: None });
        }
        let pipeline = status.pipeline_spec.0.unwrap_or_default();
        let planned: Vec<_> = [pipeline.tasks, pipeline.finally].into_iter().flat_map(Objects::readable).collect();
        let begun: BTreeSet<&str> = children.iter().filter_map(|child| child.pipeline_task.as_deref()).collect();
        let begins = |task: &&StoredPipelineTask| task.name.0.as_deref().is_some_and(|name| !begun.contains(name));
        let to_come = planned.iter().filter(begins).count();
        let condition = condition.said().filter(|condition| !condition.says_nothing());
        let end = condition.as_ref().filter(|condition| condition.succeeded() || condition.failed());
        Some(Self {
            uid: meta.uid(),
            origin: Origin::of(&meta),
            created: meta.created(),
            deleting: meta.deleting(),
            started: time(&status.start_time),
            completed: time(&status.completion_time).or(end.and_then(|end| end.changed)),
            condition,
            children,
            to_come,
            skipped: status.skipped_tasks.readable().filter_map(|task| said(task.reason)).collect(),
            ignored: planned
                .into_iter()
                .filter(|task| task.on_error.0.as_deref() == Some("continue"))
                .filter_map(|task| said(task.name))
                .collect(),
            embedded,
            key,
        })
    }

    /// It ended, well or not.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.condition.as_ref().is_some_and(|condition| condition.succeeded() || condition.failed())
    }

    #[must_use]
    pub fn failed(&self) -> bool {
        self.condition.as_ref().is_some_and(Condition::failed)
    }
}

impl Child {
    fn read(stored: Option<StoredChild>) -> Self {
        let Some(stored) = stored else { return Self::unknown() };
        Self {
            // Absent in no release; a reference that does not say is looked for among the TaskRuns.
            is_task_run: said(stored.kind).is_none_or(|kind| &*kind == "TaskRun"),
            name: said(stored.name).unwrap_or_default(),
            pipeline_task: said(stored.pipeline_task_name),
        }
    }

    fn unknown() -> Self {
        Self { name: Box::default(), is_task_run: false, pipeline_task: None }
    }
}

type Named<T> = BTreeMap<Box<str>, T>;

/// The members, and whether they could be read.
fn members<T>(stored: Member<Named<T>>) -> (Named<T>, bool) {
    match stored {
        Member::Absent => (Named::new(), true),
        Member::Read(members) => (members, true),
        Member::Unreadable => (Named::new(), false),
    }
}

fn embedded(namespace: &str, stored: Named<Member<StoredTask>>) -> Vec<TaskRun> {
    let read = |(name, task): (Box<str>, Member<StoredTask>)| {
        let key = ObjectKey { namespace: namespace.into(), name };
        match task {
            Member::Read(task) => {
                let (checks, readable) = members(task.condition_checks);
                let read = |check: Member<StoredCheck>| match check {
                    Member::Read(check) => check.read(),
                    _ => Attempt::unreadable(),
                };
                let unread = (!readable).then(Attempt::unreadable);
                let checks = checks.into_values().map(read).chain(unread).collect();
                TaskRun::embedded(key, said(task.pipeline_task_name), task.status, checks)
            }
            _ => TaskRun::embedded(key, None, Member::Unreadable, Vec::new()),
        }
    };
    stored.into_iter().map(read).collect()
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StoredRun {
    conditions: Objects<StoredCondition>,
    start_time: Loose<Time>,
    completion_time: Loose<Time>,
    child_references: Objects<StoredChild>,
    skipped_tasks: Objects<StoredSkip>,
    pipeline_spec: Loose<StoredPipeline>,
    /// v1beta1 before 0.45.
    task_runs: Member<Named<Member<StoredTask>>>,
    runs: Member<Named<Loose<()>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredChild {
    #[serde(default)]
    kind: Loose<Box<str>>,
    #[serde(default)]
    name: Loose<Box<str>>,
    #[serde(default)]
    pipeline_task_name: Loose<Box<str>>,
}

#[derive(Deserialize)]
struct StoredSkip {
    #[serde(default)]
    reason: Loose<Box<str>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StoredPipeline {
    tasks: Objects<StoredPipelineTask>,
    finally: Objects<StoredPipelineTask>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredPipelineTask {
    #[serde(default)]
    name: Loose<Box<str>>,
    #[serde(default)]
    on_error: Loose<Box<str>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StoredTask {
    pipeline_task_name: Loose<Box<str>>,
    status: Member<StoredStatus>,
    condition_checks: Member<Named<Member<StoredCheck>>>,
}
