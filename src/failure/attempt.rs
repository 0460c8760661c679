//! What one attempt at a task failed of.

use super::Reason::{self, *};
use super::evidence::{Evidence, Source, Weight};
use super::started::{self, Started};
use super::table::{self, Class};
use super::text;
use crate::api::facts::Timestamp;
use crate::api::tekton::{Attempt, Container, State, TaskRun, Terminated};

/// How the attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It failed by itself.
    Failed,
    /// It was ended since the run was out of time.
    OutOfTime,
    /// It was ended by somebody, or as a consequence of another.
    Cancelled,
    /// It has not ended.
    Pending,
}

#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub standing: Standing,
    pub reason: Reason,
    pub step: Option<Box<str>>,
    pub exit_code: Option<i32>,
    pub message: Box<str>,
    pub evidence: Evidence,
}

/// What the last attempt at a task failed of. None: it went well, or its failure is passed over.
pub(super) fn of_task(task: &TaskRun, source: &Source) -> Option<Finding> {
    // A retry does not clear the steps: until its Pod has some, those of the attempt before stand there.
    let ended = task.last.steps.iter().any(|step| step.terminated().is_some());
    let left_over = ended && task.earlier.iter().any(|attempt| attempt.steps == task.last.steps);
    look(&task.last, task.created, left_over, source)
}

/// The same of one attempt. `left_over`: its steps may be another's.
pub(super) fn look(attempt: &Attempt, created: Option<Timestamp>, left_over: bool, source: &Source) -> Option<Finding> {
    let condition = &attempt.condition;
    let row = table::task_run(&condition.reason);
    if condition.succeeded() || row.is_some_and(|row| row.class == Class::Ignored) {
        return None;
    }
    let class = row.map_or(Class::Steps, |row| row.class);
    let stepless = (left_over && class != Class::Steps).then(|| Attempt { steps: Vec::new(), ..attempt.clone() });
    let scene = Scene { attempt: stepless.as_ref().unwrap_or(attempt), created, source };
    let (standing, (reason, evidence)) = match class {
        Class::Cancelled if text::cancelled_by_timeout(&condition.message) => {
            (Standing::OutOfTime, scene.out_of_time())
        }
        Class::Cancelled => (Standing::Cancelled, scene.by_reason(Unknown)),
        Class::Timeout => (Standing::Failed, scene.out_of_time()),
        _ if condition.failed() => (Standing::Failed, scene.failed(class)),
        _ => (Standing::Pending, scene.failed(class)),
    };
    // What Tekton ended while another step waited did not fail; where all was to end, it is what there was to wait for.
    let stopped = matches!(class, Class::Cancelled | Class::Timeout);
    let aside = |step: &&Container| step.terminated().is_some_and(started::by_tekton);
    let step = scene.failing_step().filter(|step| stopped || !aside(step));
    let said = text::exit(&condition.message);
    Some(Finding {
        standing,
        reason,
        exit_code: step.and_then(|step| step.terminated()?.exit_code).or(said.map(|exit| exit.code)),
        step: step.map(|step| step.name.clone()).or_else(|| scene.step_in_message().map(Into::into)),
        message: condition.message.clone(),
        evidence,
    })
}

struct Scene<'a> {
    attempt: &'a Attempt,
    created: Option<Timestamp>,
    source: &'a Source,
}

impl Scene<'_> {
    fn message(&self) -> &str {
        &self.attempt.condition.message
    }

    fn by_reason(&self, reason: Reason) -> (Reason, Evidence) {
        let given = &self.attempt.condition.reason;
        let says = if given.is_empty() { "no reason".to_owned() } else { format!("reason {given}") };
        (reason, self.source.says(Weight::TaskRun, says))
    }

    fn by_message(&self, reason: Reason, weight: Weight) -> (Reason, Evidence) {
        (reason, self.source.says(weight, super::words::quote(self.message())))
    }

    fn by_container(&self, role: &'static str, container: &Container, reason: Reason) -> (Reason, Evidence) {
        (reason, self.source.container(role, container).says(Weight::Kubelet, started::state(container)))
    }

    fn failed(&self, class: Class) -> (Reason, Evidence) {
        let evicted = &*self.attempt.condition.reason == "PodEvicted";
        if evicted || matches!(text::pod(self.message()), Some((ResourceExhausted, _))) {
            return self.by_message(ResourceExhausted, Weight::TaskRun);
        }
        if let Some(found) = self.killed_step() {
            return found;
        }
        match class {
            Class::Is(TaskFailed) => {
                let failed =
                    || self.refused_sidecar().or_else(|| self.never_at_work()).or_else(|| self.failed_sidecar());
                failed().unwrap_or_else(|| self.by_reason(TaskFailed))
            }
            Class::Is(reason) => self.by_reason(reason),
            Class::Embedded(otherwise) => self.embedded(otherwise),
            Class::Contract if self.steps_ran() => self.by_reason(TaskFailed),
            Class::Contract => self.by_reason(ConfigurationError),
            _ => self.by_steps(),
        }
    }

    /// Out of time; what it was waiting for says more than the clock.
    fn out_of_time(&self) -> (Reason, Evidence) {
        let kubelet = || self.killed_step().or_else(|| self.waiting());
        let (_, previous) = text::previous(self.message());
        let before = previous.and_then(|(reason, told)| Some((class_before(reason, told)?, told)));
        match before {
            Some((reason, told)) => (reason, self.source.says(Weight::Message, super::words::quote(told))),
            None => kubelet().unwrap_or_else(|| self.by_reason(DeadlineExceeded)),
        }
    }

    fn embedded(&self, otherwise: Reason) -> (Reason, Evidence) {
        // A container that the kubelet could not make: its own words stand inside of Tekton's, or in the step's state.
        if let Some((_, told)) = self.message().split_once("The pod errored with the message: \"") {
            let class = if text::hiccup(told) { Unknown } else { ConfigurationError };
            return self.by_message(class, Weight::Embedded);
        }
        if let Some(waits) = self.attempt.steps.iter().find(|step| hiccup(step)) {
            return self.by_container("step", waits, Unknown);
        }
        match text::api_error(self.message()) {
            Some(reason) => self.by_message(reason, Weight::Embedded),
            // What the kubelet waits for is told in its own words.
            None => {
                let waits = self.waiting().filter(|(reason, _)| *reason == otherwise);
                waits.unwrap_or_else(|| self.by_reason(otherwise))
            }
        }
    }

    /// Reasons Failed and StepFailed say nothing: the steps do, then the message.
    fn by_steps(&self) -> (Reason, Evidence) {
        if let Some(found) = self.step_out_of_time().or_else(|| self.refused_step()) {
            return found;
        }
        let exit = text::exit(self.message());
        if self.message() == "OOMKilled" || exit.is_some_and(|exit| exit.class() == OomKilled) {
            return self.by_message(OomKilled, Weight::Message);
        }
        if let Some((reason, _)) = text::pod(self.message()) {
            return self.by_message(reason, Weight::Message);
        }
        if let Some(found) = self.never_at_work() {
            return found;
        }
        if let Some(step) = self.failing_step() {
            let lost = step.terminated().is_some_and(|end| &*end.reason == table::LOST);
            return self.by_container("step", step, if lost { Unknown } else { TaskFailed });
        }
        if exit.is_some() {
            return self.by_message(TaskFailed, Weight::Message);
        }
        if text::no_room(self.message()) {
            return self.by_message(ResourceExhausted, Weight::Message);
        }
        self.waiting().unwrap_or_else(|| self.by_reason(Unknown))
    }

    /// A container that was never at work, or got lost, in the words of the message.
    fn never_at_work(&self) -> Option<(Reason, Evidence)> {
        let class = text::exit(self.message())?.class();
        matches!(class, Unknown | ConfigurationError).then(|| self.by_message(class, Weight::Message))
    }

    /// A step or sidecar that the kernel killed for its memory.
    fn killed_step(&self) -> Option<(Reason, Evidence)> {
        let killed = |container: &&Container| {
            !passed_over(container) && container.terminated().is_some_and(|end| &*end.reason == "OOMKilled")
        };
        let step = self.attempt.steps.iter().find(killed).map(|step| self.by_container("step", step, OomKilled));
        let sidecar = || {
            let told = text::exit(self.message()).is_none_or(|exit| exit.container.starts_with("sidecar-"));
            let killed = self.attempt.sidecars.iter().find(killed).filter(|_| told)?;
            Some(self.by_container("sidecar", killed, OomKilled))
        };
        step.or_else(sidecar)
    }

    fn step_out_of_time(&self) -> Option<(Reason, Evidence)> {
        let step = self.attempt.steps.iter().find(|step| &*step.termination == "TimeoutExceeded");
        let attested = step.map(|step| {
            let says = "ended by its timeout (TimeoutExceeded)";
            (DeadlineExceeded, self.source.container("step", step).says(Weight::TaskRun, says))
        });
        attested
            .or_else(|| text::step_timeout(self.message()).map(|_| self.by_message(DeadlineExceeded, Weight::Message)))
    }

    /// The runtime could not start it.
    fn refused_step(&self) -> Option<(Reason, Evidence)> {
        let step = self.attempt.steps.iter().find(|step| refused(step).is_some())?;
        Some(self.by_container("step", step, refused(step)?))
    }

    fn refused_sidecar(&self) -> Option<(Reason, Evidence)> {
        let sidecar = self.attempt.sidecars.iter().find(|sidecar| refused(sidecar).is_some())?;
        Some(self.by_container("sidecar", sidecar, refused(sidecar)?))
    }

    /// The sidecar that the message names, or else one that ended badly.
    fn failed_sidecar(&self) -> Option<(Reason, Evidence)> {
        let bad = |sidecar: &&Container| sidecar.terminated().is_some_and(|end| end.exit_code != Some(0));
        let named = text::exit(self.message()).and_then(|exit| exit.container.strip_prefix("sidecar-"));
        let is = |sidecar: &&Container| named == Some(sidecar.name.trim_start_matches("sidecar-"));
        let all = || self.attempt.sidecars.iter().filter(bad);
        let failed = all().find(is).or_else(|| all().next())?;
        Some(self.by_container("sidecar", failed, TaskFailed))
    }

    fn waiting(&self) -> Option<(Reason, Evidence)> {
        let waits = |container: &Container| match &container.state {
            State::Waiting { reason, .. } => table::waiting(reason),
            _ => None,
        };
        let of = |role, all: &[Container]| {
            all.iter().find_map(|container| Some(self.by_container(role, container, waits(container)?)))
        };
        of("step", &self.attempt.steps).or_else(|| of("sidecar", &self.attempt.sidecars))
    }

    fn steps_ran(&self) -> bool {
        started::attempt(self.attempt, self.created, self.source).is_some()
    }

    /// The one whose end is the failure; those after it end with it and are none of their own.
    fn failing_step(&self) -> Option<&Container> {
        let named = self.step_in_message();
        let failed = |step: &&Container| {
            let bad = |end: &Terminated| end.exit_code != Some(0) || &*end.reason == "OOMKilled";
            let ran = started::container(step, self.created) != Started::No || refused(step).is_some();
            ran && !passed_over(step) && step.terminated().is_some_and(bad)
        };
        let steps = &self.attempt.steps;
        let is = |step: &&Container| named == Some(step.name.trim_start_matches("step-"));
        steps.iter().filter(failed).find(is).or_else(|| steps.iter().find(failed))
    }

    fn step_in_message(&self) -> Option<&str> {
        let name = match text::exit(self.message()) {
            Some(exit) => exit.container,
            None => text::step_timeout(self.message())?,
        };
        name.strip_prefix("build-step-").or_else(|| name.strip_prefix("step-"))
    }
}

/// Tekton's entrypoint says that its end is no failure of its own. Where a child of it was killed for its memory, it
/// knows nothing of that.
fn passed_over(container: &Container) -> bool {
    let killed = container.terminated().is_some_and(|end| &*end.reason == "OOMKilled");
    match &*container.termination {
        "Skipped" | "Continued" => true,
        "Completed" => !killed,
        _ => false,
    }
}

fn hiccup(container: &Container) -> bool {
    matches!(&container.state, State::Waiting { message, .. } if text::hiccup(message))
}

/// What the runtime refused to start, and its class.
fn refused(container: &Container) -> Option<Reason> {
    let end = container.terminated().filter(|end| table::NEVER_STARTED.contains(&&*end.reason))?;
    let killed = end.message.contains("container init was OOM-killed");
    Some(if killed { OomKilled } else { ConfigurationError })
}

/// The class of a status that was preserved below a timeout; none where the timeout itself says as much.
fn class_before(reason: &str, told: &str) -> Option<Reason> {
    match table::task_run(reason)?.class {
        Class::Is(Unknown) => None,
        Class::Is(class) => Some(class),
        Class::Embedded(otherwise) => {
            Some(text::api_error(told).unwrap_or(otherwise)).filter(|class| *class != Unknown)
        }
        Class::Steps => text::no_room(told).then_some(ResourceExhausted),
        _ => None,
    }
}
