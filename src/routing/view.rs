//! All that one decision may know, cut out of the index and frozen.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use crate::api::facts::{ObjectKey, RemediationRequest, Timestamp, WorkflowExecution};
use crate::api::tekton::Engine;

/// What is known about one question. Cheap to make: four shared pointers.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub parent: Parent,
    pub siblings: Arc<Siblings>,
    pub history: Arc<History>,
    pub runs: Arc<Runs>,
    /// How long ago the quietest input was last proved alive.
    pub age: Duration,
}

/// The RemediationRequest that the candidate names.
#[derive(Clone, Debug, Default)]
pub enum Parent {
    /// The question names none.
    #[default]
    NotAsked,
    Missing,
    /// It is stored, but not in a form we can read.
    Unreadable,
    Found(Arc<RemediationRequest>),
}

impl Parent {
    pub(super) fn found(&self) -> Option<&RemediationRequest> {
        match self {
            Self::Found(parent) => Some(parent),
            _ => None,
        }
    }
}

/// The requests of one signal and target namespace, the parent among them, in order of age.
#[derive(Clone, Debug, Default)]
pub struct Siblings(Vec<Arc<RemediationRequest>>);

impl Siblings {
    pub fn insert(&mut self, request: Arc<RemediationRequest>) {
        let at = self.0.partition_point(|other| by_age(other, &request).is_lt());
        self.0.insert(at, request);
    }

    pub fn remove(&mut self, request: &RemediationRequest) {
        if let Ok(at) = self.0.binary_search_by(|other| by_age(other, request)) {
            self.0.remove(at);
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn oldest_first(&self) -> impl DoubleEndedIterator<Item = &RemediationRequest> {
        self.0.iter().map(AsRef::as_ref)
    }

    pub(super) fn without(&self, key: &ObjectKey) -> impl DoubleEndedIterator<Item = &RemediationRequest> {
        self.oldest_first().filter(move |request| request.key != *key)
    }
}

/// Creation, then name: two siblings are always in one namespace.
pub(super) fn by_age(a: &RemediationRequest, b: &RemediationRequest) -> Ordering {
    a.created.cmp(&b.created).then_with(|| a.key.cmp(&b.key))
}

/// The WorkflowExecutions on one target, in any namespace.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Oldest first.
    active: Vec<Arc<WorkflowExecution>>,
    /// Oldest end first.
    ended: Vec<Arc<WorkflowExecution>>,
}

impl History {
    pub fn insert(&mut self, execution: Arc<WorkflowExecution>) {
        let (lane, order) = self.lane(&execution);
        let at = lane.partition_point(|other| order(other, &execution).is_lt());
        lane.insert(at, execution);
    }

    pub fn remove(&mut self, execution: &WorkflowExecution) {
        let (lane, order) = self.lane(execution);
        if let Ok(at) = lane.binary_search_by(|other| order(other, execution)) {
            lane.remove(at);
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.active.is_empty() && self.ended.is_empty()
    }

    pub fn active_oldest_first(&self) -> impl Iterator<Item = &WorkflowExecution> {
        self.active.iter().map(AsRef::as_ref)
    }

    /// An execution of this name is known here, whatever its phase.
    pub(super) fn knows(&self, key: &ObjectKey) -> bool {
        self.active.iter().chain(&self.ended).any(|execution| execution.key == *key)
    }

    pub(super) fn ended_newest_first(&self) -> impl Iterator<Item = &WorkflowExecution> {
        self.ended.iter().rev().map(AsRef::as_ref)
    }

    fn lane(&mut self, execution: &WorkflowExecution) -> (&mut Vec<Arc<WorkflowExecution>>, Order) {
        if execution.active() { (&mut self.active, by_creation) } else { (&mut self.ended, by_end) }
    }
}

/// The PipelineRun or Job that carries an execution out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub engine: Engine,
    pub key: ObjectKey,
    pub execution: ObjectKey,
    pub created: Option<Timestamp>,
    /// It has not ended.
    pub goes_on: bool,
}

/// The runs on one target that are there, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Runs(Vec<Run>);

impl Runs {
    pub fn insert(&mut self, run: Run) {
        let at = self.0.partition_point(|other| older((other.created, &other.key), (run.created, &run.key)).is_lt());
        self.0.insert(at, run);
    }

    pub fn remove(&mut self, engine: Engine, key: &ObjectKey) {
        self.0.retain(|run| run.engine != engine || run.key != *key);
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn oldest_first(&self) -> impl Iterator<Item = &Run> {
        self.0.iter()
    }

    /// The runs of this execution.
    pub(super) fn of(&self, execution: &ObjectKey) -> impl Iterator<Item = &Run> {
        self.0.iter().filter(move |run| run.execution == *execution)
    }
}

type Order = fn(&WorkflowExecution, &WorkflowExecution) -> Ordering;

/// Creation, then namespace/name.
pub(super) fn by_creation(a: &WorkflowExecution, b: &WorkflowExecution) -> Ordering {
    older((a.created, &a.key), (b.created, &b.key))
}

/// The order of terminal executions on a target: end, then creation, then namespace/name.
fn by_end(a: &WorkflowExecution, b: &WorkflowExecution) -> Ordering {
    a.ended().cmp(&b.ended()).then_with(|| by_creation(a, b))
}

pub(super) fn older(a: (Option<Timestamp>, &ObjectKey), b: (Option<Timestamp>, &ObjectKey)) -> Ordering {
    a.cmp(&b)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::api::facts::RequestPhase;

    fn names<'a>(keys: impl Iterator<Item = &'a ObjectKey>) -> Vec<&'a str> {
        keys.map(|key| &*key.name).collect()
    }

    #[test]
    fn siblings_are_in_order_of_age_and_go_as_they_came() {
        let rr = |name: &str, created| Arc::new(request(RequestPhase::Failed).named(name).created(created).0);
        let (old, twin, young) = (rr("b", -20), rr("a", -10), rr("b2", -10));
        let mut siblings = Siblings::default();
        assert!(siblings.is_empty());
        [&young, &old, &twin].into_iter().for_each(|request| siblings.insert(request.clone()));
        assert_eq!(names(siblings.oldest_first().map(|rr| &rr.key)), ["b", "a", "b2"]);
        siblings.remove(&twin);
        siblings.remove(&twin);
        assert_eq!(names(siblings.oldest_first().map(|rr| &rr.key)), ["b", "b2"]);
        siblings.remove(&old);
        assert!(!siblings.is_empty());
        siblings.remove(&young);
        assert!(siblings.is_empty());
    }

    #[test]
    fn executions_are_in_two_lanes_and_go_as_they_came() {
        let (active, ended) = (Arc::new(pending().named("active").0), Arc::new(completed().named("ended").0));
        for (first, last) in [(&active, &ended), (&ended, &active)] {
            let mut history = History::default();
            assert!(history.is_empty());
            history.insert(active.clone());
            history.insert(ended.clone());
            assert_eq!(names(history.active_oldest_first().map(|wfe| &wfe.key)), ["active"]);
            assert_eq!(names(history.ended_newest_first().map(|wfe| &wfe.key)), ["ended"]);
            history.remove(first);
            history.remove(first);
            assert!(!history.is_empty());
            history.remove(last);
            assert!(history.is_empty());
        }
    }
}
