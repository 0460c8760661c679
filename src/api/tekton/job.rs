//! A stored Kubernetes Job and the Pods of it.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::container::{Container, StoredContainer, containers};
use super::loose::{Count, Loose, Member, Objects, Stored, text, time};
use super::{Condition, Origin, StoredCondition, condition};
use crate::api::facts::{ObjectKey, Time, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub key: ObjectKey,
    pub uid: Box<str>,
    pub origin: Origin,
    /// `Failed`, if it says so.
    pub failed: Option<Condition>,
    /// `Complete`.
    pub complete: bool,
    /// `Complete` or `Failed`, and not only on the way there: none of its Pods is at work any more.
    pub ended: bool,
    pub created: Option<Timestamp>,
    /// Somebody deleted it; it stays until its Pods are gone, or whatever a finalizer waits for.
    pub deleting: bool,
    pub started: Option<Timestamp>,
    /// When it completed or failed.
    pub completed: Option<Timestamp>,
    /// Pods that failed, succeeded, end now and are not counted yet, or are there now: zero only where nothing was ever
    /// made.
    pub pods: i64,
    /// It was told to wait, now or before: then its Pods are deleted, and none of the counts tells of them any more.
    pub was_suspended: bool,
    /// It waits now.
    pub suspended: bool,
}

/// A Pod of a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub key: ObjectKey,
    /// The Job that it belongs to, by label or owner.
    pub job: Option<Box<str>>,
    /// Of several Jobs of that name, one after the other, which.
    pub job_uid: Option<Box<str>>,
    pub created: Option<Timestamp>,
    /// It has not begun: no container of it was started.
    pub pending: bool,
    /// `Succeeded` or `Failed`.
    pub ended: bool,
    /// The kubelet's own words of the whole Pod: Evicted, DeadlineExceeded …
    pub reason: Box<str>,
    pub message: Box<str>,
    /// `PodScheduled`.
    pub scheduled: Option<Condition>,
    pub containers: Vec<Container>,
    pub init_containers: Vec<Container>,
}

impl Job {
    /// Reads a stored Job; None if it has no name.
    #[must_use]
    pub fn from_json(json: &str) -> Option<Self> {
        let (meta, status) = Stored::read(json)?;
        let status = match status {
            Member::Read(status) => status,
            Member::Absent => JobStatus::default(),
            // Whatever it says, it had begun to say something.
            Member::Unreadable => JobStatus { active: Count(1), ..JobStatus::default() },
        };
        let uncounted = match status.uncounted_terminated_pods {
            Member::Absent => [Count(0); 2],
            Member::Read(pods) => [pods.succeeded, pods.failed].map(|pods| pods.count()),
            Member::Unreadable => [Count(1); 2],
        };
        let counted = [status.active, status.terminating, status.succeeded, status.failed];
        let pods = counted.iter().chain(&uncounted).map(|count| count.0).fold(0, i64::saturating_add);
        let mut conditions: Vec<_> = status.conditions.readable().collect();
        let mut take = |kind: &str| {
            let at = conditions.iter().position(|condition| condition.is(kind))?;
            Some(conditions.swap_remove(at).read())
        };
        let suspended = take("Suspended");
        let holds = Condition::succeeded;
        let (failed, complete) = (take("Failed").filter(holds), take("Complete").filter(holds));
        let end = complete.as_ref().or(failed.as_ref());
        Some(Self {
            key: meta.key()?,
            uid: meta.uid(),
            origin: Origin::of(&meta),
            ended: end.is_some(),
            created: meta.created(),
            deleting: meta.deleting(),
            started: time(&status.start_time),
            completed: time(&status.completion_time).or(end.and_then(|end| end.changed)),
            complete: complete.is_some(),
            // FailureTarget says the same while its last pods still end.
            failed: failed.or_else(|| take("FailureTarget").filter(holds)),
            pods,
            was_suspended: suspended.is_some(),
            suspended: suspended.is_some_and(|suspended| suspended.succeeded()),
        })
    }

    /// These are all the Pods that it counts; one that was told twice is one.
    pub fn knows_all<'a>(&self, pods: impl IntoIterator<Item = &'a Pod>) -> bool {
        let known: BTreeSet<_> = pods.into_iter().map(|pod| &pod.key).collect();
        self.pods <= i64::try_from(known.len()).unwrap_or(i64::MAX)
    }
}

impl Pod {
    /// Reads a stored Pod; None if it has no name.
    #[must_use]
    pub fn from_json(json: &str) -> Option<Self> {
        let (meta, status) = Stored::read(json)?;
        let (status, readable) = match status {
            Member::Read(status) => (status, true),
            Member::Absent => (PodStatus::default(), true),
            Member::Unreadable => (PodStatus::default(), false),
        };
        let mut own = containers(status.container_statuses);
        if !readable {
            own.push(Container::unreadable());
        }
        let by_label = || meta.label("batch.kubernetes.io/job-name").or_else(|| meta.label("job-name"));
        let phase = |wanted: &[&str]| status.phase.as_ref().is_none_or(|phase| wanted.contains(&phase.get()));
        Some(Self {
            key: meta.key()?,
            job: by_label().or_else(|| meta.owned_by("Job")),
            job_uid: meta.label("batch.kubernetes.io/controller-uid").or_else(|| meta.label("controller-uid")),
            created: meta.created(),
            pending: readable && phase(&["null", "\"\"", "\"Pending\""]),
            ended: status.phase.is_some() && phase(&["\"Succeeded\"", "\"Failed\""]),
            reason: text(status.reason),
            message: text(status.message),
            scheduled: condition(status.conditions, "PodScheduled").said(),
            containers: own,
            init_containers: containers(status.init_container_statuses),
        })
    }

    /// The Job that it says it belongs to.
    #[must_use]
    pub fn run_key(&self) -> Option<ObjectKey> {
        Some(self.key.beside(self.job.as_ref()?))
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JobStatus {
    conditions: Objects<StoredCondition>,
    start_time: Loose<Time>,
    completion_time: Loose<Time>,
    active: Count,
    /// Since Kubernetes 1.28: to be deleted, and not failed yet.
    terminating: Count,
    succeeded: Count,
    failed: Count,
    /// Ended, and on their way into the two above.
    uncounted_terminated_pods: Member<Uncounted>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Uncounted {
    succeeded: Objects<()>,
    failed: Objects<()>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    phase: Option<Box<RawValue>>,
    reason: Loose<Box<str>>,
    message: Loose<Box<str>>,
    conditions: Objects<StoredCondition>,
    container_statuses: Objects<StoredContainer>,
    init_container_statuses: Objects<StoredContainer>,
}
