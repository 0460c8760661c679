use serde_json::{Value, json};

use super::*;
use crate::api::facts::{ObjectKey, RemediationRequest, Timestamp, WorkflowExecution, time};
use crate::controller::change::StatusChange;
use crate::routing::{Mode, Policy};

const NOW: &str = "2026-01-05T10:00:00Z";
const ENDED: &str = "2026-01-05T09:59:00Z";

fn at(text: &str) -> Timestamp {
    time(text).unwrap()
}

/// An execution, its request and what is counted.
struct Scene {
    execution: Value,
    request: Option<Value>,
    other: Option<Value>,
    counts: Option<Counts>,
    policy: Policy,
    uid: &'static str,
}

/// An execution of this status, in its request that is being analyzed.
#[allow(clippy::needless_pass_by_value)]
fn scene(status: Value) -> Scene {
    Scene {
        execution: json!({
            "apiVersion": "kubernaut.ai/v1beta1", "kind": "WorkflowExecution",
            "metadata": {"namespace": "payments", "name": "we-1", "uid": "w", "creationTimestamp": "2026-01-05T09:50:00Z"},
            "spec": {"remediationRequestRef": {"name": "rr-1", "uid": "r"},
                     "target": {"namespace": "payments", "kind": "Deployment", "name": "api"},
                     "workflowRef": {"workflowId": "restart"}},
            "status": status,
        }),
        request: Some(json!({
            "apiVersion": "kubernaut.ai/v1beta1", "kind": "RemediationRequest",
            "metadata": {"namespace": "payments", "name": "rr-1", "uid": "r", "creationTimestamp": "2026-01-05T09:50:00Z"},
            "status": {"overallPhase": "Analyzing"},
        })),
        other: None,
        counts: None,
        policy: Policy::default(),
        uid: "w",
    }
}

fn failed(ran: bool) -> Value {
    json!({"phase": "Failed", "completionTime": ENDED,
           "failure": {"reason": "TaskFailed", "message": "exit code 1", "wasExecutionFailure": ran}})
}

impl Scene {
    fn counted(mut self, failures: usize, starts: usize) -> Self {
        self.counts = Some(Counts { failures, starts });
        self
    }

    fn request(mut self, status: Value) -> Self {
        self.request.as_mut().unwrap()["status"] = status;
        self
    }

    fn step(&self) -> Step {
        let execution = WorkflowExecution::from_json(&self.execution.to_string()).unwrap();
        let other = self.other.as_ref().map(|other| WorkflowExecution::from_json(&other.to_string()).unwrap());
        let facts = self.request.as_ref().map(|hub| RemediationRequest::from_json(&hub.to_string()).unwrap());
        let request = facts.as_ref().zip(self.request.as_ref()).map(|(facts, hub)| Request { facts, hub });
        let text = |path: &str| self.execution.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let end = End {
            uid: self.uid,
            started: time(text("/status/startTime")),
            reason: text("/status/failure/reason"),
            message: text("/status/failure/message"),
        };
        let seen = Seen { execution: &execution, end, request, other: other.as_ref(), counts: self.counts };
        plan(&seen, &self.policy, at(NOW))
    }

    fn change(&self) -> StatusChange {
        match self.step() {
            Step::Write(change) => *change,
            step => panic!("{step:?}"),
        }
    }

    /// What is written of these members: null goes, and what is absent stays as it is.
    fn says(&self) -> Value {
        let members =
            self.change().members.into_iter().map(|(path, value)| (path.to_owned(), value.unwrap_or_default()));
        Value::Object(members.collect())
    }

    fn note(&self) -> String {
        self.change().event.unwrap().note
    }
}

/// Seconds from the end to the next allowed execution.
fn wait(scene: &Scene) -> Option<i64> {
    let next = scene.says()["routing.nextAllowedExecution"].as_str().map(at)?;
    Some(next.as_second() - at(ENDED).as_second())
}

fn reference() -> Value {
    json!({"apiVersion": "kubernaut.ai/v1alpha1", "kind": "WorkflowExecution", "name": "we-1", "namespace": "payments", "uid": "w"})
}

#[test]
fn one_that_runs_is_referred_to_and_one_that_waits_is_not() {
    for phase in ["", "Pending"] {
        assert_eq!(scene(json!({"phase": phase})).step(), Step::Rest, "{phase}");
    }
    let runs = scene(json!({"phase": "Running"}));
    let expected = json!({"overallPhase": "Executing", "phaseProgress.executingStartTime": NOW,
                          "phaseProgress.workflowExecutionRef": reference()});
    assert_eq!(runs.says(), expected);
    assert_eq!(runs.note(), "WorkflowExecution payments/we-1 runs");
    let since = scene(json!({"phase": "Running", "startTime": ENDED})).says();
    assert_eq!(since["phaseProgress.executingStartTime"], ENDED, "whenever that is told");
    for phase in ["Executing", "Verifying", "Blocked", "Completed", "Failed", "TimedOut", "Skipped", "Cancelled"] {
        let runs = scene(json!({"phase": "Running"})).request(json!({"overallPhase": phase}));
        assert_eq!(runs.step(), Step::Rest, "{phase}");
    }
}

#[test]
fn a_success_ends_it_and_takes_back_what_failures_left() {
    let done = scene(json!({"phase": "Completed", "completionTime": ENDED})).request(json!({
        "overallPhase": "Executing", "phaseProgress": {"workflowExecutionRef": {"name": "we-1"}},
        "routing": {"consecutiveFailureCount": 2, "nextAllowedExecution": NOW},
    }));
    let expected = json!({"overallPhase": "Completed", "completedAt": ENDED, "completion.outcome": "Remediated",
                          "routing.consecutiveFailureCount": 0, "routing.nextAllowedExecution": null});
    assert_eq!(done.says(), expected);
}

#[test]
fn failures_before_anything_ran_wait_longer_each_time() {
    let failed_starts = |starts| scene(failed(false)).counted(1, starts);
    let expected = json!({
        "overallPhase": "Failed", "completedAt": ENDED, "completion.failurePhase": "WorkflowExecution",
        "completion.failureReason": "WorkflowExecution payments/we-1 failed before anything ran: TaskFailed: exit code 1",
        "routing.consecutiveFailureCount": 1, "phaseProgress.workflowExecutionRef": reference(),
    });
    let mut says = failed_starts(1).says();
    let next = says.as_object_mut().unwrap().remove("routing.nextAllowedExecution").unwrap();
    assert_eq!(says, expected);
    let note = failed_starts(1).note();
    assert!(
        note.ends_with(&format!("; 1 failure for this signal; not tried again before {}", next.as_str().unwrap())),
        "{note}"
    );
    for (starts, least, most) in
        [(1, 60, 66), (2, 108, 132), (3, 216, 264), (4, 432, 528), (5, 540, 600), (9, 540, 600)]
    {
        for uid in ["w", "x", "y", "9b2f", ""] {
            let scene = Scene { uid, ..failed_starts(starts) };
            let waits = wait(&scene).unwrap();
            assert!((least..=most).contains(&waits), "{starts}: {waits}");
            assert_eq!(wait(&scene), Some(waits), "computed again after a crash it is the same");
        }
    }
}

#[test]
fn a_failure_of_what_ran_counts_and_sets_no_time() {
    let ran = scene(failed(true)).counted(2, 0);
    assert_eq!((wait(&ran), &ran.says()["routing.consecutiveFailureCount"]), (None, &json!(2)));
    assert!(
        ran.note().ends_with("failed while it ran: TaskFailed: exit code 1; 2 failures in a row for this signal"),
        "{}",
        ran.note()
    );
}

#[test]
fn from_the_threshold_on_the_count_holds_and_the_time_stays() {
    assert!(wait(&scene(failed(false)).counted(2, 2)).is_some());
    let third = scene(failed(false)).counted(3, 3);
    assert_eq!((wait(&third), &third.says()["routing.consecutiveFailureCount"]), (None, &json!(3)));
    assert!(
        third.note().ends_with("; 3 failures in a row for this signal; 3 or more hold it for 1h"),
        "{}",
        third.note()
    );
    let mut off = scene(failed(false)).counted(3, 3);
    off.policy.checks.consecutive_failures.mode = Mode::Off;
    assert!(wait(&off).is_some(), "where nothing else holds, the time does");
}

#[test]
fn a_cleared_failure_counts_and_sets_no_time() {
    let mut status = failed(false);
    status["blockClearance"] = json!({"clearedBy": "alice", "clearReason": "quota raised"});
    let cleared = scene(status).counted(1, 0);
    assert_eq!((wait(&cleared), &cleared.says()["routing.consecutiveFailureCount"]), (None, &json!(1)));
}

#[test]
fn a_duplicate_was_no_attempt_and_counts_nothing() {
    let duplicate = json!({"phase": "Failed", "completionTime": ENDED,
                           "failure": {"reason": "Deduplicated", "message": "we-0 has the target"}});
    let says = scene(duplicate).says();
    assert_eq!((&says["overallPhase"], &says["completion.failurePhase"]), (&json!("Failed"), &json!("Deduplicated")));
    assert_eq!(says.as_object().unwrap().keys().filter(|name| name.starts_with("routing.")).count(), 0, "{says}");
}

#[test]
fn without_details_it_counts_and_sets_no_time() {
    let silent = scene(json!({"phase": "Failed"})).counted(1, 0);
    let says = silent.says();
    assert_eq!((wait(&silent), &says["routing.consecutiveFailureCount"]), (None, &json!(1)));
    assert_eq!(says["completedAt"], NOW, "it does not say when it ended");
    assert_eq!(says["completion.failureReason"], "WorkflowExecution payments/we-1 failed and does not say why");
}

#[test]
fn failures_are_counted_before_one_is_written() {
    assert_eq!(scene(failed(false)).step(), Step::Count);
}

#[test]
fn what_has_ended_is_left_alone() {
    for phase in ["Completed", "Failed", "TimedOut", "Skipped", "Cancelled", "Verifying"] {
        for end in [failed(false), failed(true), json!({"phase": "Completed"})] {
            let scene = scene(end).request(json!({"overallPhase": phase})).counted(1, 1);
            assert_eq!(scene.step(), Step::Rest, "{phase}");
        }
    }
}

#[test]
fn only_its_own_request_is_told() {
    let mut missing = scene(failed(false)).counted(1, 1);
    missing.request = None;
    assert_eq!(missing.step(), Step::Rest);
    let mut namesake = scene(failed(false)).counted(1, 1);
    namesake.request.as_mut().unwrap()["metadata"]["uid"] = json!("another");
    assert_eq!(namesake.step(), Step::Rest);
    let mut deleting = scene(failed(false)).counted(1, 1);
    deleting.request.as_mut().unwrap()["metadata"]["deletionTimestamp"] = json!(NOW);
    assert_eq!(deleting.step(), Step::Rest);
}

#[test]
fn a_request_that_names_another_execution_is_that_ones() {
    let named = json!({"overallPhase": "Executing", "phaseProgress": {"workflowExecutionRef": {"name": "we-0"}}});
    let mut second = scene(failed(false)).request(named).counted(1, 1);
    second.other = Some(scene(json!({"phase": "Running"})).execution);
    assert_eq!(second.step(), Step::Rest);
    second.other = None;
    assert_eq!(second.says()["phaseProgress.workflowExecutionRef"], reference(), "the other one is gone");
}

#[test]
fn one_that_ends_out_of_a_block_carries_none() {
    let blocked = json!({"overallPhase": "Blocked", "routing": {"blockReason": "ResourceBusy", "blockMessage": "m", "blockedUntil": NOW}});
    let says = scene(failed(true)).request(blocked).counted(1, 0).says();
    for name in ["blockReason", "blockMessage", "blockedUntil"] {
        assert_eq!(says.get(format!("routing.{name}")), Some(&Value::Null), "{name}");
    }
    let says = scene(failed(true)).counted(1, 0).says();
    assert!(says.get("routing.blockReason").is_none(), "{says}");
}

#[test]
fn what_is_settled_needs_no_look() {
    let settled_in = |execution: &str, phase: Option<&str>| {
        let scene = scene(json!({"phase": execution})).request(json!({"overallPhase": phase}));
        let execution = WorkflowExecution::from_json(&scene.execution.to_string()).unwrap();
        let request = RemediationRequest::from_json(&scene.request.unwrap().to_string()).unwrap();
        settled(&execution, phase.map(|_| &request))
    };
    assert!(settled_in("Pending", None) && settled_in("", Some("Analyzing")) && settled_in("Odd", None));
    assert!(settled_in("Running", Some("Executing")) && settled_in("Failed", Some("Failed")));
    assert!(!settled_in("Running", None) && !settled_in("Failed", Some("Executing")));
    assert!(!settled_in("Completed", Some("Blocked")) && !settled_in("Running", Some("")));
}

#[test]
fn a_request_whose_execution_was_deleted_before_it_ended_ends() {
    let key = |name: &str| ObjectKey { namespace: "payments".into(), name: name.into() };
    let told_of = |deleted: Value, phase: &str, execution: &str| {
        let mut hub = scene(failed(true)).request.unwrap();
        hub["metadata"]["deletionTimestamp"] = deleted;
        hub["status"] = json!({"overallPhase": phase, "phaseProgress": {"workflowExecutionRef": {"name": execution}}});
        let facts = RemediationRequest::from_json(&hub.to_string()).unwrap();
        plan::abandoned(Request { facts: &facts, hub: &hub }, &key("we-1"), 2, at(NOW))
    };
    let told = |phase: &str, execution: &str| told_of(Value::Null, phase, execution);
    let change = told("Executing", "we-1").unwrap();
    let member =
        |name: &str| change.members.iter().find(|(path, _)| *path == name).and_then(|(_, value)| value.clone());
    assert_eq!(member("overallPhase"), Some(json!("Failed")));
    assert_eq!(member("completion.failurePhase"), Some(json!("WorkflowExecution")));
    assert_eq!(member("routing.consecutiveFailureCount"), Some(json!(2)));
    assert!(change.event.as_ref().unwrap().note.contains("payments/we-1 was deleted before it ended"));
    assert_eq!(told("Executing", "we-2"), None, "it is on another one");
    assert_eq!(told("Completed", "we-1"), None);
    assert_eq!(told("Verifying", "we-1"), None);
    assert_eq!(told_of(json!(ENDED), "Executing", "we-1"), None, "it goes itself");
}

#[test]
fn one_that_was_made_anew_under_its_name_is_referred_to_anew() {
    let refers = |uid: Value| {
        let mut named = reference();
        named["uid"] = uid;
        let request = json!({"overallPhase": "Executing", "phaseProgress": {"workflowExecutionRef": named}});
        let ended = scene(json!({"phase": "Completed", "completionTime": ENDED})).request(request);
        ended.says().get("phaseProgress.workflowExecutionRef").cloned()
    };
    assert_eq!(refers(json!("w-before")), Some(reference()));
    assert_eq!((refers(json!("w")), refers(json!("")), refers(Value::Null)), (None, None, None));
}

#[test]
fn what_a_person_cleared_is_not_waited_for() {
    let mut cleared = failed(false);
    cleared["blockClearance"] =
        json!({"clearedBy": "admin", "clearReason": "looked", "clearedAt": ENDED, "clearMethod": "StatusField"});
    assert_eq!(wait(&scene(cleared).counted(1, 1)), None);
    assert!(wait(&scene(failed(false)).counted(1, 1)).is_some());
}

#[test]
fn a_request_that_came_after_the_execution_is_not_its_own() {
    // The uid tells, where it is said; else the creations, as far as clocks can.
    let named = || json!({"name": "rr-1"});
    let of = |uid: &str| json!({"name": "rr-1", "uid": uid});
    for (reference, created, own) in [
        (named(), "2026-01-05T09:49:59Z", true),
        (named(), "2026-01-05T09:50:10Z", true),
        (named(), "2026-01-05T09:50:11Z", false),
        (of("r"), "2026-01-05T09:50:11Z", true),
        (of("r-before"), "2026-01-05T09:49:59Z", false),
    ] {
        for status in
            [json!({"phase": "Running"}), json!({"phase": "Completed", "completionTime": ENDED}), failed(false)]
        {
            let mut told = scene(status).counted(1, 1);
            told.execution["spec"]["remediationRequestRef"] = reference.clone();
            told.request.as_mut().unwrap()["metadata"]["creationTimestamp"] = json!(created);
            assert_eq!(told.step() != Step::Rest, own, "{reference} {created}");
        }
    }
}
