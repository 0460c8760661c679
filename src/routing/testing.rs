//! Builders for the tests of this room. Times are seconds from `now`; a test states only what matters to it.

use std::sync::Arc;

use serde_json::json;

pub use super::{BackoffSource, Checks};

use super::*;
use crate::api::facts::{
    Block, Candidate, ExecutionPhase, Failure, ObjectKey, ParentRef, RemediationRequest, RequestPhase, Target,
    WorkflowExecution,
};
use crate::api::tekton::Engine;

/// So many seconds from `now`, which is 2026-01-05T10:00:00Z.
pub fn at(offset: i64) -> Timestamp {
    Timestamp::from_second(1_767_607_200 + offset).unwrap()
}

pub fn now() -> Timestamp {
    at(0)
}

/// How an execution failed.
pub use How::*;

#[derive(Clone, Copy, Debug)]
pub enum How {
    Ran,
    BeforeItRan,
    Unclassified,
    Deduplicated,
}

#[derive(Clone, Debug)]
pub struct Wfe(pub WorkflowExecution);

/// An execution in some phase; unless it is told, the history names it we-1, we-2, … in the order of the test.
pub fn execution(phase: ExecutionPhase) -> Wfe {
    let object = json!({
        "metadata": {"namespace": "payments", "name": "unnamed", "creationTimestamp": "2026-01-05T09:00:00Z"},
        "spec": {"workflowRef": {"workflowId": "restart"}, "targetResource": "payments/Deployment/api"},
    });
    let mut facts = WorkflowExecution::from_json(&object.to_string()).unwrap();
    facts.key.name = "".into();
    facts.phase = phase;
    Wfe(facts)
}

pub fn completed() -> Wfe {
    execution(ExecutionPhase::Completed)
}

pub fn pending() -> Wfe {
    execution(ExecutionPhase::Pending)
}

pub fn running() -> Wfe {
    execution(ExecutionPhase::Running)
}

pub fn failed(how: How) -> Wfe {
    let mut failed = execution(ExecutionPhase::Failed);
    failed.0.failure = match how {
        Ran => Some(Failure { was_execution_failure: true, deduplicated: false }),
        BeforeItRan => Some(Failure::default()),
        Deduplicated => Some(Failure { was_execution_failure: false, deduplicated: true }),
        Unclassified => None,
    };
    failed
}

impl Wfe {
    pub fn named(mut self, name: &str) -> Self {
        self.0.key.name = name.into();
        self
    }

    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.0.key.namespace = namespace.into();
        self
    }

    pub fn created(mut self, offset: i64) -> Self {
        self.0.created = Some(at(offset));
        self
    }

    pub fn ended(mut self, offset: i64) -> Self {
        self.0.completed_at = Some(at(offset));
        self
    }

    pub fn timeless(mut self) -> Self {
        (self.0.created, self.0.completed_at) = (None, None);
        self
    }

    pub fn of(mut self, workflow: &str) -> Self {
        self.0.workflow_id = workflow.into();
        self
    }

    pub fn cleared(mut self) -> Self {
        self.0.cleared = true;
        self
    }

    pub fn with_a_run(mut self) -> Self {
        self.0.has_run = true;
        self
    }
}

/// The run of `payments/<execution>`, which goes on.
pub fn run_of(execution: &str) -> Run {
    let key = key("kubernaut-workflows", &format!("run-of-{execution}"));
    Run {
        engine: Engine::Tekton,
        key,
        execution: self::key("payments", execution),
        created: Some(at(-600)),
        goes_on: true,
    }
}

impl Run {
    pub fn created(mut self, offset: i64) -> Self {
        self.created = Some(at(offset));
        self
    }

    pub fn over(mut self) -> Self {
        self.goes_on = false;
        self
    }
}

#[derive(Clone, Debug)]
pub struct Rr(pub RemediationRequest);

/// A request in some phase, ten minutes old; siblings are named rr-1, rr-2, … in the order of the test.
pub fn request(phase: RequestPhase) -> Rr {
    let object = json!({
        "metadata": {"namespace": "payments", "name": "unnamed", "uid": "u", "creationTimestamp": "2026-01-05T09:50:00Z"},
        "spec": {"signalFingerprint": "f", "targetResource": {"namespace": "payments", "kind": "Pod", "name": "api-1"}},
    });
    let mut facts = RemediationRequest::from_json(&object.to_string()).unwrap();
    facts.key.name = "".into();
    facts.phase = phase;
    Rr(facts)
}

/// A request that failed by its workflow.
pub fn failure() -> Rr {
    request(RequestPhase::Failed)
}

impl Rr {
    pub fn named(mut self, name: &str) -> Self {
        self.0.key.name = name.into();
        self
    }

    pub fn created(mut self, offset: i64) -> Self {
        self.0.created = Some(at(offset));
        self
    }

    pub fn ended(mut self, offset: i64) -> Self {
        self.0.completed_at = Some(at(offset));
        self
    }

    pub fn timeless(mut self) -> Self {
        (self.0.created, self.0.completed_at) = (None, None);
        self
    }

    pub fn next_allowed(mut self, offset: i64) -> Self {
        self.0.next_allowed = Some(at(offset));
        self
    }

    pub fn failed_in(mut self, phase: &str) -> Self {
        self.0.failure_phase = Some(phase.into());
        self
    }

    pub fn outcome(mut self, outcome: &str) -> Self {
        self.0.outcome = Some(outcome.into());
        self
    }

    pub fn saying(mut self, block: Block) -> Self {
        self.0.block = Some(Box::new(block));
        self
    }

    pub fn deleting(mut self) -> Self {
        self.0.deleting = true;
        self
    }
}

/// One question and all that is known about it: the candidate `payments/we-new` restarts `payments/Deployment/api` for
/// `payments/parent`, which is in Analyzing and was created just now; there are no siblings and no history.
#[derive(Clone)]
pub struct Scene {
    pub question: Request,
    pub parent: Parent,
    siblings: Vec<Rr>,
    history: Vec<Wfe>,
    runs: Vec<Run>,
    age: std::time::Duration,
    pub policy: Policy,
}

pub fn view() -> Scene {
    let parent = ParentRef { namespace: "payments".into(), name: "parent".into(), uid: Some("u".into()) };
    let candidate = Candidate {
        namespace: "payments".into(),
        name: Some("we-new".into()),
        parent,
        target: Target::parse("payments/Deployment/api", None).unwrap(),
        workflow_id: "restart".into(),
        parameter_names: Vec::new(),
    };
    Scene {
        question: Request::create(candidate),
        parent: Parent::Missing,
        siblings: Vec::new(),
        history: Vec::new(),
        runs: Vec::new(),
        age: std::time::Duration::ZERO,
        policy: Policy::default(),
    }
    .parent(request(RequestPhase::Analyzing))
}

impl Scene {
    pub fn parent(mut self, parent: Rr) -> Self {
        let created = if parent.0.created == Some(at(-600)) { parent.created(0) } else { parent };
        self.parent = Parent::Found(Arc::new(created.named("parent").0));
        self
    }

    pub fn without_parent(self) -> Self {
        self.parent_is(Parent::Missing)
    }

    pub fn parent_is(mut self, parent: Parent) -> Self {
        self.parent = parent;
        self
    }

    pub fn siblings(mut self, siblings: impl IntoIterator<Item = Rr>) -> Self {
        let named =
            |(i, rr): (usize, Rr)| if rr.0.key.name.is_empty() { rr.named(&format!("rr-{}", i + 1)) } else { rr };
        self.siblings = siblings.into_iter().enumerate().map(named).collect();
        self
    }

    pub fn history(mut self, history: impl IntoIterator<Item = Wfe>) -> Self {
        let named =
            |(i, we): (usize, Wfe)| if we.0.key.name.is_empty() { we.named(&format!("we-{}", i + 1)) } else { we };
        self.history = history.into_iter().enumerate().map(named).collect();
        self
    }

    pub fn runs(mut self, runs: impl IntoIterator<Item = Run>) -> Self {
        self.runs = runs.into_iter().collect();
        self
    }

    /// The quietest input was last heard of so many milliseconds ago.
    pub fn aged(mut self, millis: u64) -> Self {
        self.age = std::time::Duration::from_millis(millis);
        self
    }

    pub fn policy(mut self, change: impl FnOnce(&mut Checks)) -> Self {
        change(&mut self.policy.checks);
        self
    }

    pub fn question(mut self, change: impl FnOnce(&mut Request)) -> Self {
        change(&mut self.question);
        self
    }

    /// The candidate is in the cluster already.
    pub fn stored(self, created: i64) -> Self {
        self.question(|question| question.stored = Some(Stored { created: Some(at(created)) }))
    }

    pub fn frozen(&self) -> View {
        let (mut siblings, mut history) = (Siblings::default(), History::default());
        self.siblings.iter().for_each(|rr| siblings.insert(Arc::new(rr.0.clone())));
        if let Parent::Found(parent) = &self.parent {
            siblings.insert(parent.clone());
        }
        self.history.iter().for_each(|wfe| history.insert(Arc::new(wfe.0.clone())));
        let mut runs = Runs::default();
        self.runs.iter().for_each(|run| runs.insert(run.clone()));
        View {
            parent: self.parent.clone(),
            siblings: siblings.into(),
            history: history.into(),
            runs: runs.into(),
            age: self.age,
        }
    }

    pub fn decide(&self) -> Verdict {
        decide(&self.question, &self.frozen(), &self.policy, now())
    }

    /// One check's outcome in short: `pass`, `skipped`, `we-1 until +60`, `we-1 until cleared`.
    pub fn says(&self, ask: fn(&Case<'_>) -> Outcome) -> String {
        let outcome = ask(&Case { request: &self.question, view: &self.frozen(), policy: &self.policy, now: now() });
        match &outcome {
            Outcome::Hit(hold) => short(hold),
            other => other.as_str().to_owned(),
        }
    }

    /// The hold of one check, whole.
    pub fn hold(&self, ask: fn(&Case<'_>) -> Outcome) -> Hold {
        match ask(&Case { request: &self.question, view: &self.frozen(), policy: &self.policy, now: now() }) {
            Outcome::Hit(hold) => hold,
            other => panic!("no hold: {}", other.as_str()),
        }
    }

    pub fn warnings(&self) -> Vec<String> {
        self.decide().warning_lines()
    }
}

pub fn short(hold: &Hold) -> String {
    let by = hold.by.as_ref().map_or("nobody", |by| &by.key.name);
    match hold.end {
        End::At(time) => format!("{by} until {:+}", time.as_second() - now().as_second()),
        End::WhenCleared => format!("{by} until cleared"),
        End::WhenGone => format!("{by} until gone"),
        End::Never => format!("{by} for ever"),
    }
}

pub fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { namespace: namespace.into(), name: name.into() }
}

impl Checks {
    pub fn set(&mut self, check: Check, mode: Mode) {
        let slot = match check {
            Check::Malformed => return,
            Check::ParentState => &mut self.parent_state.mode,
            Check::PublishedBlock => &mut self.published_block.mode,
            Check::ConsecutiveFailures => &mut self.consecutive_failures.mode,
            Check::DuplicateInProgress => &mut self.duplicate_in_progress.mode,
            Check::ResourceBusy => &mut self.resource_busy.mode,
            Check::PreviousExecutionFailed => &mut self.previous_execution_failed.mode,
            Check::ExhaustedRetries => &mut self.exhausted_retries.mode,
            Check::RecentlyRemediated => &mut self.recently_remediated.mode,
            Check::ExponentialBackoff => &mut self.exponential_backoff.mode,
            Check::ExecutorCooldown => &mut self.executor_cooldown.mode,
        };
        *slot = mode;
    }
}

/// The checks that a mode can be set for, in the order of the rule book.
pub const SET: [Check; 10] = [
    Check::ParentState,
    Check::PublishedBlock,
    Check::ConsecutiveFailures,
    Check::DuplicateInProgress,
    Check::ResourceBusy,
    Check::PreviousExecutionFailed,
    Check::ExhaustedRetries,
    Check::RecentlyRemediated,
    Check::ExponentialBackoff,
    Check::ExecutorCooldown,
];

/// Every check has something against this one.
pub fn held_by_everything() -> Scene {
    let block = Block { reason: "IneffectiveChain".into(), until: Some(at(60)), ..Block::default() };
    let retries = (0..5).map(|i| failed(BeforeItRan).ended(-10 - i).named(&format!("retry-{i}")));
    let others =
        [running().named("busy"), failed(Ran).ended(-20).named("culprit"), completed().ended(-100).named("success")];
    view()
        .parent(request(RequestPhase::Blocked).deleting().saying(block))
        .siblings([failure(), failure(), failure(), request(RequestPhase::Executing).named("elder")])
        .history(retries.chain(others))
        .policy(|checks| checks.set(Check::ExecutorCooldown, Mode::Enforce))
}
