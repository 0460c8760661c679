//! Visits of one execution, on an API server that answers as a test says.

use std::collections::HashSet;

use hyper::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::api::facts::WorkflowExecution;
use crate::api::tekton::{Job, PipelineRun, Pod, TaskRun};
use crate::controller::testing::{Call, put, server};

/// One that asks for a Job, created long ago.
fn execution(phase: &str) -> Value {
    json!({
        "apiVersion": "kubernaut.ai/v1beta1", "kind": "WorkflowExecution",
        "metadata": {"namespace": "payments", "name": "we", "uid": "u", "resourceVersion": "1", "finalizers": [FINALIZER],
            "creationTimestamp": "2026-01-05T10:00:00Z"},
        "spec": {"remediationRequestRef": {"name": "rr"}, "target": {"kind": "Node", "name": "w"},
            "workflowRef": {"workflowId": "restart", "executionBundle": "registry/restart:1", "executionEngine": "job"}},
        "status": {"phase": phase},
    })
}

/// Everything was listed, and nothing was there.
fn index() -> Arc<Index> {
    let index = Arc::new(Index::with_executions_in("runs"));
    index.listed::<RemediationRequest>(&HashSet::new());
    index.listed::<WorkflowExecution>(&HashSet::new());
    index.listed::<Job>(&HashSet::new());
    index.listed::<Pod>(&HashSet::new());
    index
}

/// How a visit ends and what it writes, where the API server answers so for what is not the execution.
async fn visited(
    index: &Arc<Index>,
    stored: Value,
    answer: impl Fn(&Call) -> Option<(u16, Value)> + Send + Sync + 'static,
) -> (Result<Option<Timestamp>, String>, Vec<Value>) {
    let written = Arc::new(Mutex::new(Vec::new()));
    let (patched, stored) = (written.clone(), Mutex::new(stored));
    let client = server(move |call| {
        if !call.path.contains("/workflowexecutions/") {
            return answer(call);
        }
        if call.method == Method::PATCH {
            patched.lock().push(call.body["status"].clone());
            json_patch::merge(&mut stored.lock(), &call.body);
        }
        Some((200, stored.lock().clone()))
    });
    let rules = Rules { namespace: "runs".into(), cooldown: Duration::from_secs(300) };
    let (policy, telemetry, index) = (Arc::default(), Arc::default(), index.clone());
    let executor = Executor { client: client.clone(), identity: "us".to_owned(), index, policy, rules, telemetry };
    let hands = Hands {
        executor: &executor,
        objects: Objects::of("executor", client, "us"),
        retries: Retries::default(),
        complaints: Complaints::default(),
        waiting: Waiting::default(),
        starting: Starting::default(),
    };
    let key = ObjectKey { namespace: "payments".into(), name: "we".into() };
    let visited = hands.visit(&key).await.map_err(|error| error.to_string());
    let written = written.lock().clone();
    (visited, written)
}

fn phases(written: &[Value]) -> Vec<&str> {
    written.iter().map(|status| status["phase"].as_str().unwrap_or_default()).collect()
}

/// An API server that starts may not know yet what it serves.
#[tokio::test]
async fn a_kind_that_is_not_served_at_this_moment_is_no_run_that_went() {
    let index = index();
    let unserved = |call: &Call| call.path.contains("/jobs/").then(|| (404, json!("404 page not found")));
    let behind = Err("not known yet: Jobs are not served at this moment".to_owned());
    assert_eq!(visited(&index, execution("Running"), unserved).await, (behind, vec![]));
    index.absent::<Job>();
    let (rests, written) = visited(&index, execution("Running"), unserved).await;
    assert!(rests.is_ok_and(|until| until.is_some()), "its cooldown passes");
    assert_eq!(phases(&written), ["Failed"], "nobody will serve it");
}

/// The stream of requests may be behind, and what is given up is not taken up again.
#[tokio::test]
async fn an_execution_is_given_up_for_what_the_api_server_says_of_its_request() {
    let request = |phase: &str| {
        json!({"apiVersion": "kubernaut.ai/v1beta1", "kind": "RemediationRequest", "metadata": {"namespace": "payments", "name": "rr", "uid": "r"},
            "spec": {"signalFingerprint": "s"}, "status": {"overallPhase": phase}})
    };
    let mut unreadable = request("Analyzing");
    unreadable["spec"] = json!({"signalFingerprint": 7});
    for (there, gives_up) in [
        (None, true),
        // Another reason than the index has: it is behind, and hears of it.
        (Some(request("Completed")), false),
        (Some(unreadable), false),
        (Some(request("Analyzing")), false),
    ] {
        let found = there.clone();
        let answer = move |call: &Call| {
            found.clone().filter(|_| call.path.contains("/remediationrequests/")).map(|found| (200, found))
        };
        let (visited, written) = visited(&index(), execution("Pending"), answer).await;
        let expected: &[&str] = if gives_up { &["Failed"] } else { &[] };
        assert_eq!(phases(&written), expected, "{there:?} {visited:?}");
    }
}

/// Tekton would take them by their names for the new run's.
#[tokio::test]
async fn beside_the_parts_of_a_run_that_was_deleted_a_moment_ago_nothing_starts() {
    let index = index();
    let place = crate::controller::executor::run_name("Node/w");
    let condition = json!([{"type": "Succeeded", "status": "True", "reason": "Succeeded"}]);
    let run = json!({
        "metadata": {"namespace": "runs", "name": place, "uid": "r-1", "creationTimestamp": "2026-01-05T09:00:00Z",
            "labels": {"kubernaut.ai/workflow-execution": "gone", "kubernaut.ai/source-namespace": "payments"}},
        "status": {"conditions": condition, "completionTime": "2026-01-05T09:01:00Z"},
    });
    let task = json!({
        "metadata": {"namespace": "runs", "name": "t", "uid": "t-1",
            "labels": {"tekton.dev/pipelineRun": place, "tekton.dev/pipelineRunUID": "r-1"}},
        "status": {"conditions": condition},
    });
    put::<PipelineRun>(&index, &run);
    put::<TaskRun>(&index, &task);
    put::<RemediationRequest>(&index, &analyzing());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let calls = asked.clone();
    let answer = move |call: &Call| {
        if call.is_of_objects() && !call.path.ends_with("/events") {
            calls.lock().push(call.method.clone());
        }
        (call.method == Method::DELETE).then(|| (200, json!({"kind": "Status", "status": "Success"})))
    };
    let mut waiting = execution("Pending");
    waiting["spec"]["workflowRef"]["executionEngine"] = json!("tekton");
    let (rests, written) = visited(&index, waiting, answer).await;
    assert!(rests.is_ok_and(|until| until.is_some()));
    assert_eq!(*asked.lock(), [Method::DELETE]);
    let said = written[0]["conditions"][0]["message"].as_str().unwrap();
    assert!(written.len() == 1 && said.starts_with("parts of the run before it are still there"), "{written:?}");
}

fn analyzing() -> Value {
    json!({"metadata": {"namespace": "payments", "name": "rr", "uid": "r"}, "spec": {"signalFingerprint": "s"}, "status": {"overallPhase": "Analyzing"}})
}

fn claimed_for(namespace: &str, phase: &str) -> Value {
    let mut claimed = execution(phase);
    claimed["metadata"]["annotations"] = json!({"lockkeeper.kubernaut.ai/run-namespace": namespace});
    claimed
}

#[tokio::test]
async fn what_was_claimed_for_another_namespace_and_not_begun_begins_where_runs_are_followed() {
    let index = index();
    put::<RemediationRequest>(&index, &analyzing());
    let made = Arc::new(Mutex::new(Vec::new()));
    let runs = made.clone();
    let answer = move |call: &Call| {
        let creates = call.method == Method::POST && call.path.contains("/jobs");
        creates.then(|| {
            runs.lock().push(call.path.clone());
            (201, call.body.clone())
        })
    };
    let (rests, written) = visited(&index, claimed_for("before", "Pending"), answer).await;
    assert!(rests.is_ok());
    assert_eq!(*made.lock(), ["/apis/batch/v1/namespaces/runs/jobs"]);
    assert_eq!(phases(&written).last(), Some(&"Running"));
}

/// Everybody who may write an execution may write that.
#[tokio::test]
async fn a_run_that_is_followed_is_not_lost_for_an_annotation() {
    let index = index();
    let run = json!({
        "metadata": {"namespace": "runs", "name": crate::controller::executor::run_name("Node/w"), "uid": "j-1", "creationTimestamp": "2026-01-05T10:00:01Z",
            "labels": {"kubernaut.ai/workflow-execution": "we", "kubernaut.ai/source-namespace": "payments"}},
        "status": {"active": 1},
    });
    put::<Job>(&index, &run);
    let (rests, written) = visited(&index, claimed_for("elsewhere", "Running"), |_| None).await;
    assert!(rests.is_ok());
    assert_eq!(phases(&written), [""], "its progress, and no end");
}
