//! What a PipelineRun failed of: its tasks tell, and where they do not, its own condition.

use super::Reason::{self, *};
use super::attempt::{self, Finding, Standing};
use super::evidence::{Evidence, Source, Weight};
use super::table::{self, Class, Start};
use super::{Classification, FailedTask, condition, started, text};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::api::facts::{ObjectKey, Timestamp};
use crate::api::tekton::{Attempt, Condition, Container, PipelineRun, State, TaskRun};

/// Classifies a run that failed. `seen` is what a watcher remembers of steps at work that the record may have lost.
/// None: it went well, or it goes on.
#[must_use]
pub fn of_run<'a>(
    run: &'a PipelineRun,
    tasks: impl IntoIterator<Item = &'a TaskRun>,
    seen: bool,
) -> Option<Classification> {
    // A run that ended without a word has failed too.
    let failed = run.failed() || run.condition.is_none() && run.completed.is_some();
    failed.then(|| Scene::new(run, tasks.into_iter().collect()).classify(seen))
}

/// Whether a step of the run provably started, or may have, whether it ended or not.
#[must_use]
pub fn may_have_run<'a>(run: &'a PipelineRun, tasks: impl IntoIterator<Item = &'a TaskRun>) -> Option<Evidence> {
    Scene::new(run, tasks.into_iter().collect()).children_ran()
}

struct Scene<'a> {
    run: &'a PipelineRun,
    condition: Condition,
    source: Source,
    /// In the order of `childReferences`; those that nothing refers to follow.
    tasks: Vec<&'a TaskRun>,
}

impl<'a> Scene<'a> {
    fn new(run: &'a PipelineRun, given: Vec<&'a TaskRun>) -> Self {
        let given = of_copies(given);
        let mut known: BTreeSet<&str> = given.iter().map(|task| &*task.key.name).collect();
        let inside = run.embedded.iter().filter(|task| known.insert(&task.key.name)).collect();
        let mut tasks = [given, inside].concat();
        // The first of two places of one name counts.
        let place: BTreeMap<&str, usize> =
            run.children.iter().enumerate().rev().map(|(at, child)| (&*child.name, at)).collect();
        tasks.sort_by_key(|task| (place.get(&*task.key.name).copied().unwrap_or(usize::MAX), &task.key));
        let source = Source::of("PipelineRun", &run.key);
        Self { run, condition: run.condition.clone().unwrap_or_default(), source, tasks }
    }

    fn classify(&self, seen: bool) -> Classification {
        let findings = self.findings();
        let root = self.root(&findings);
        let judged = root.as_ref().map(|root| (root.reason, root.found.finding.evidence.clone()));
        let (reason, evidence) = judged.unwrap_or_else(|| self.by_condition());
        let (ran, attested) = self.ran(reason, seen);
        let (task, finding) = root.map(|root| (root.found.task, &root.found.finding)).unzip();
        let told = finding.map(|finding| finding.message.clone()).filter(|message| !message.is_empty());
        Classification {
            reason,
            ran,
            task: task.map(|task| FailedTask { index: self.index(task), name: task.key.name.clone() }),
            step: finding.and_then(|finding| finding.step.clone()),
            exit_code: finding.and_then(|finding| finding.exit_code),
            message: told.unwrap_or_else(|| self.condition.message.clone()),
            failed_at: task.and_then(|task| task.last.completed).or(self.run.completed).or(self.condition.changed),
            evidence: told_once(evidence, attested),
        }
    }

    /// What each task failed of, but for those whose failure the pipeline passes over.
    fn findings(&self) -> Vec<Found<'a>> {
        let look = |task: &&'a TaskRun| {
            let finding = attempt::of_task(task, &Source::of("TaskRun", &task.key))?;
            Some(Found { task, finding })
        };
        self.tasks.iter().filter(|task| !self.passes_over(task)).filter_map(look).collect()
    }

    /// `onError: continue` holds for whatever a task fails of; Tekton says FailureIgnored only where its Pod failed.
    fn passes_over(&self, task: &TaskRun) -> bool {
        let referred = || self.run.children.iter().find(|child| child.name == task.key.name)?.pipeline_task.as_ref();
        let name = task.pipeline_task.as_ref().or_else(referred);
        name.is_some_and(|name| self.run.ignored.contains(name))
    }

    /// The task that the failure goes back to; none where the run's own condition says more.
    fn root<'f>(&self, findings: &'f [Found<'a>]) -> Option<Root<'f>> {
        // Of several the one that ended first; those that are in order stay so.
        let first = |standing: Standing, wanted: fn(&Finding) -> bool| {
            let found = findings.iter().filter(|found| found.finding.standing == standing && wanted(&found.finding));
            let found = found.min_by_key(|found| found.task.last.completed.unwrap_or(Timestamp::MAX))?;
            Some(Root { found, reason: found.finding.reason })
        };
        let any: fn(&Finding) -> bool = |_| true;
        let telling: fn(&Finding) -> bool = |finding| !matches!(finding.reason, Unknown | TaskFailed);
        let failed = || first(Standing::Failed, any);
        let out_of_time = || first(Standing::OutOfTime, any);
        let pending = || first(Standing::Pending, telling);
        match table::pipeline_run(&self.condition.reason).map(|row| row.class) {
            Some(Class::Timeout) => {
                let cause = first(Standing::Failed, telling).or_else(out_of_time).or_else(pending);
                let last = || first(Standing::Pending, any).or_else(|| first(Standing::Cancelled, any)).or_else(failed);
                let late = || Some(Root { reason: DeadlineExceeded, ..last()? });
                cause.or_else(late)
            }
            Some(Class::Cancelled) => {
                let ended = || Some(Root { reason: Unknown, ..first(Standing::Cancelled, any).or_else(out_of_time)? });
                failed().or_else(ended)
            }
            _ => {
                let cancelled = || first(Standing::Cancelled, any).filter(|_| self.nothing_else_failed());
                failed().or_else(out_of_time).or_else(pending).or_else(cancelled)
            }
        }
    }

    /// No task but those that are known can be what failed.
    fn nothing_else_failed(&self) -> bool {
        let counted = text::counts(&self.condition.message);
        counted.is_none_or(|counts| counts.failed <= counts.ignored) || self.unread().next().is_none()
    }

    fn by_condition(&self) -> (Reason, Evidence) {
        let Condition { reason, message, .. } = &self.condition;
        let by_reason = |class| (class, self.source.says(Weight::Run, format!("reason {reason}")));
        match table::pipeline_run(reason).map(|row| row.class) {
            Some(Class::Contract) if !self.run.children.is_empty() || !self.tasks.is_empty() => by_reason(TaskFailed),
            Some(Class::Tasks) => self.by_message(message),
            _ => condition::class(reason, message, &self.source),
        }
    }

    /// Reason Failed, and no task that is known failed.
    fn by_message(&self, message: &str) -> (Reason, Evidence) {
        let skipped = self.run.skipped.iter().find(|reason| reason.ends_with("timeout has been reached"));
        if let Some(reason) = skipped {
            return (DeadlineExceeded, self.source.says(Weight::Run, format!("skipped tasks: {reason}")));
        }
        if let Some(found) = text::task_in_run(message).and_then(|(name, told)| self.by_task_in_message(name, told)) {
            return found;
        }
        let customs = self.run.children.iter().any(|child| !child.is_task_run);
        let unread = self.unread().any(|child| child.is_task_run);
        let (class, evidence) = condition::class("Failed", message, &self.source);
        (if customs && !unread { Unknown } else { class }, evidence)
    }

    fn by_task_in_message(&self, name: &str, told: &str) -> Option<(Reason, Evidence)> {
        let condition = Condition { reason: "Failed".into(), message: told.into(), ..self.condition.clone() };
        let attempt = Attempt { condition, ..Default::default() };
        let source = Source { container: Some(("TaskRun", name.into())), ..self.source.clone() };
        let timeout = told.contains("\" failed to finish within ").then_some(DeadlineExceeded);
        let finding = attempt::look(&attempt, None, false, &source)?;
        Some((timeout.unwrap_or(finding.reason), finding.evidence))
    }

    fn ran(&self, reason: Reason, seen: bool) -> (bool, Option<Evidence>) {
        let found = self.children_ran();
        let doubt = |found: &Option<Evidence>| found.as_ref().is_none_or(|found| found.weight == Weight::Doubt);
        if seen && doubt(&found) {
            return (true, Some(self.source.says(Weight::Kubelet, "was seen at work before its record changed")));
        }
        if let Some(found) = found.or_else(|| self.goes_on()) {
            return (true, Some(found));
        }
        let own = table::pipeline_run(&self.condition.reason).is_some_and(|row| row.start == Start::Certain);
        if own || self.tasks.is_empty() {
            let Condition { reason: given, message, .. } = &self.condition;
            return condition::ran(given, message, self.run.started.is_some(), reason, &self.source);
        }
        (false, None)
    }

    /// The strongest evidence that a step of a child ran, in whichever attempt.
    fn children_ran(&self) -> Option<Evidence> {
        let known = self
            .tasks
            .iter()
            .copied()
            .chain(&self.run.embedded)
            .filter_map(started::task)
            .min_by_key(|found| found.weight);
        known.or_else(|| self.unread_child()).or_else(|| self.uncounted())
    }

    fn unread_child(&self) -> Option<Evidence> {
        let child = self.unread().next()?;
        let kind = if child.is_task_run { "TaskRun" } else { "child" };
        let name = if child.name.is_empty() { "(nameless)" } else { &*child.name };
        Some(self.source.says(Weight::Doubt, format!("{kind} {name} is referred to and cannot be read")))
    }

    /// A task that goes on in a run that has ended: its end is not known yet. Where quota refused its Pod, there is none.
    fn goes_on(&self) -> Option<Evidence> {
        let refused = |task: &TaskRun| &*task.last.condition.reason == "ExceededResourceQuota" && !task.last.has_pod;
        let counted = text::counts(&self.condition.message).is_some();
        let over = |task: &TaskRun| task.ended() || refused(task) || counted && kept_from_work(task);
        self.tasks.iter().find(|task| !over(task)).map(|task| not_ended(task))
    }

    /// The run counts more tasks than are known to have ended.
    fn uncounted(&self) -> Option<Evidence> {
        let known = self.tasks.iter().filter(|task| task.ended() || kept_from_work(task)).count();
        let told = text::counts(&self.condition.message)?.completed;
        let missing = !self.tasks.is_empty() && usize::try_from(told).is_ok_and(|told| told > known);
        missing.then(|| self.source.says(Weight::Doubt, format!("{told} tasks completed, and {known} are known")))
    }

    /// Children that the run refers to and of which nothing is known.
    fn unread(&self) -> impl Iterator<Item = &crate::api::tekton::Child> {
        let known: BTreeSet<&str> = self.tasks.iter().map(|task| &*task.key.name).collect();
        self.run.children.iter().filter(move |child| !child.is_task_run || !known.contains(&*child.name))
    }

    /// Among the TaskRuns that the run refers to.
    fn index(&self, task: &TaskRun) -> usize {
        let mut children = self.run.children.iter().filter(|child| child.is_task_run);
        let among = children.position(|child| child.name == task.key.name);
        among.or_else(|| self.tasks.iter().position(|other| other.key == task.key)).unwrap_or(0)
    }
}

/// It lost its condition, and the kubelet says of each of its steps what kept it from being.
fn kept_from_work(task: &TaskRun) -> bool {
    let kept =
        |step: &Container| matches!(&step.state, State::Waiting { reason, .. } if table::waiting(reason).is_some());
    let Attempt { condition, steps, .. } = &task.last;
    condition.says_nothing() && !steps.is_empty() && steps.iter().all(kept)
}

pub(super) fn not_ended(task: &TaskRun) -> Evidence {
    Source::of("TaskRun", &task.key).says(Weight::Doubt, "has not ended as far as is known, and its run has")
}

/// Of several copies of one task the one that says most: that it ran, then that it ended; else the last.
fn of_copies(given: Vec<&TaskRun>) -> Vec<&TaskRun> {
    let rank = |task: &TaskRun| (started::task(task).map(|found| Reverse(found.weight)), task.ended());
    let mut tasks: BTreeMap<&ObjectKey, &TaskRun> = BTreeMap::new();
    for task in given {
        tasks
            .entry(&task.key)
            .and_modify(|kept| *kept = std::cmp::max_by_key(*kept, task, |task| rank(task)))
            .or_insert(task);
    }
    tasks.into_values().collect()
}

/// A task and what it failed of.
struct Found<'a> {
    task: &'a TaskRun,
    finding: Finding,
}

/// The task that a failure goes back to.
struct Root<'f> {
    found: &'f Found<'f>,
    /// Its own class, or what the run's condition says instead.
    reason: Reason,
}

fn told_once(first: Evidence, second: Option<Evidence>) -> Vec<Evidence> {
    let second = second.filter(|second| second.from != first.from || second.says != first.says);
    std::iter::once(first).chain(second).collect()
}
