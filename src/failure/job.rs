//! What a Kubernetes Job failed of: its Pods tell, and where they do not, its condition.

use super::Reason::{self, *};
use super::evidence::{Evidence, Source, Weight};
use super::started::{self, Started};
use super::table;
use super::{Classification, text, words};
use crate::api::tekton::{Condition, Container, Job, Pod, State};

/// Classifies a Job that failed. None: it completed, or it goes on.
#[must_use]
pub fn of_job<'a>(job: &Job, pods: impl IntoIterator<Item = &'a Pod>, seen: bool) -> Option<Classification> {
    let condition = job.failed.as_ref().filter(|_| !job.complete)?;
    let mut pods: Vec<_> = pods.into_iter().collect();
    // The newest attempt is the one that used the last try up.
    pods.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.key.cmp(&b.key)));
    let source = Source::of("Job", &job.key);
    let found = pods.iter().find_map(|pod| look(pod));
    let (reason, evidence) = judge(condition, found.as_ref(), &source);
    let attested = ran(job, &pods, seen, &source);
    let container = found.as_ref().and_then(|found| found.container);
    let end = container.and_then(Container::end);
    Some(Classification {
        reason,
        ran: attested.is_some(),
        task: None,
        step: container.map(|container| container.name.clone()),
        exit_code: end.and_then(|end| end.exit_code),
        message: condition.message.clone(),
        failed_at: end.and_then(|end| end.finished).or(condition.changed),
        evidence: std::iter::once(evidence).chain(attested).collect(),
    })
}

struct Found<'a> {
    reason: Reason,
    evidence: Evidence,
    container: Option<&'a Container>,
}

/// What one Pod failed of.
fn look(pod: &Pod) -> Option<Found<'_>> {
    let source = Source::of("Pod", &pod.key);
    let of_pod = |reason, says: String| Found { reason, evidence: source.says(Weight::Kubelet, says), container: None };
    if let Some(reason) = of_whole_pod(pod) {
        return Some(of_pod(reason, words::quote(&format!("{} {}", pod.reason, pod.message))));
    }
    let by = |(role, container): (&'static str, _), reason| Found {
        reason,
        evidence: source.container(role, container).says(Weight::Kubelet, started::state(container)),
        container: Some(container),
    };
    let ended = |wanted: fn(&Container) -> Option<Reason>| containers(pod).find_map(|at| Some(by(at, wanted(at.1)?)));
    ended(killed).or_else(|| ended(refused)).or_else(|| ended(failed)).or_else(|| ended(waits)).or_else(|| {
        let unplaced = pod.scheduled.as_ref().filter(|scheduled| scheduled.failed())?;
        let reason = if unplaced.message.contains("Insufficient ") { ResourceExhausted } else { ConfigurationError };
        Some(of_pod(reason, words::quote(&format!("PodScheduled False: {}", unplaced.message))))
    })
}

fn containers(pod: &Pod) -> impl Iterator<Item = (&'static str, &Container)> {
    let own = pod.containers.iter().map(|container| ("container", container));
    own.chain(pod.init_containers.iter().map(|container| ("init container", container)))
}

fn of_whole_pod(pod: &Pod) -> Option<Reason> {
    match &*pod.reason {
        "Evicted" | "OutOfcpu" | "OutOfmemory" | "OutOfpods" | "Preempting" => Some(ResourceExhausted),
        "DeadlineExceeded" => Some(DeadlineExceeded),
        _ => text::pod(&pod.message).map(|(reason, _)| reason).filter(|reason| *reason != Unknown),
    }
}

fn killed(container: &Container) -> Option<Reason> {
    (&*container.end()?.reason == "OOMKilled").then_some(OomKilled)
}

fn refused(container: &Container) -> Option<Reason> {
    table::NEVER_STARTED.contains(&&*container.end()?.reason).then_some(ConfigurationError)
}

fn failed(container: &Container) -> Option<Reason> {
    let end = container.end().filter(|end| end.exit_code != Some(0))?;
    Some(if &*end.reason == table::LOST { Unknown } else { TaskFailed })
}

fn waits(container: &Container) -> Option<Reason> {
    match &container.state {
        State::Waiting { reason, .. } => table::waiting(reason),
        _ => None,
    }
}

fn judge(condition: &Condition, found: Option<&Found<'_>>, source: &Source) -> (Reason, Evidence) {
    let by_reason = |class| (class, source.says(Weight::Run, format!("reason {}", condition.reason)));
    let by_pod = found.map(|found| (found.reason, found.evidence.clone()));
    match &*condition.reason {
        // What kept it from working says more than the clock; that it worked until then does not.
        "DeadlineExceeded" => by_pod
            .filter(|(reason, _)| !matches!(reason, TaskFailed | Unknown))
            .unwrap_or_else(|| by_reason(DeadlineExceeded)),
        "BackoffLimitExceeded" | "PodFailurePolicy" | "FailedIndexes" | "MaxFailedIndexesExceeded" => {
            by_pod.unwrap_or_else(|| by_reason(TaskFailed))
        }
        _ => by_pod.unwrap_or_else(|| match text::api_error(&condition.message) {
            Some(class) => (class, source.says(Weight::Embedded, words::quote(&condition.message))),
            None => by_reason(Unknown),
        }),
    }
}

fn ran(job: &Job, pods: &[&Pod], seen: bool, source: &Source) -> Option<Evidence> {
    began(job, pods, seen, source).or_else(|| {
        // It used its tries up, so there were some, whatever its counters say.
        let tried = &*job.failed.as_ref()?.reason != "DeadlineExceeded" && pods.is_empty();
        tried.then(|| unknown_pods(source))
    })
}

/// Whether a container of the Job provably started, or may have, whether the Job ended or not.
#[must_use]
pub fn job_may_have_run<'a>(job: &Job, pods: impl IntoIterator<Item = &'a Pod>) -> Option<Evidence> {
    let pods: Vec<_> = pods.into_iter().collect();
    began(job, &pods, false, &Source::of("Job", &job.key))
}

fn began(job: &Job, pods: &[&Pod], seen: bool, source: &Source) -> Option<Evidence> {
    let at = |wanted| {
        pods.iter().find_map(|pod| {
            // Those before the first container are the workflow's as well: here nobody but its author put them there.
            let (role, container) =
                containers(pod).find(|(_, container)| started::container(container, None) == wanted)?;
            let source = Source::of("Pod", &pod.key).container(role, container);
            Some((source, started::state(container)))
        })
    };
    if let Some((source, state)) = at(Started::Yes) {
        return Some(source.says(Weight::Kubelet, format!("started ({state})")));
    }
    if seen {
        return Some(source.says(Weight::Kubelet, "was seen at work before its record changed"));
    }
    if let Some((source, state)) = at(Started::Doubt) {
        return Some(source.says(Weight::Doubt, format!("may have started ({state})")));
    }
    let silent = |pod: &&&Pod| {
        pod.containers.is_empty() && !pod.pending && !text::pod(&pod.message).is_some_and(|(_, away)| away)
    };
    if let Some(pod) = pods.iter().find(silent) {
        return Some(Source::of("Pod", &pod.key).says(Weight::Doubt, "had begun, and nothing is known of it"));
    }
    if job.was_suspended {
        return Some(source.says(Weight::Doubt, "was suspended: Pods that it had before left no trace"));
    }
    (!job.knows_all(pods.iter().copied())).then(|| unknown_pods(source))
}

fn unknown_pods(source: &Source) -> Evidence {
    source.says(Weight::Doubt, "had Pods of which nothing is known")
}
