//! Visits of one execution, on an API server that answers as a test says.

use std::collections::HashSet;

use hyper::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::api::facts::WorkflowExecution;
use crate::api::tekton::{Job, PipelineRun, Pod, TaskRun};
use crate::controller::testing::{Call, put, refusal, server};

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

/// What came of a visit.
struct Visited {
    rests: Result<Option<Timestamp>, String>,
    /// What was written of the execution's status.
    written: Vec<Value>,
    /// What was asked for but for the execution, and events.
    asked: Vec<String>,
    /// The reasons of the events.
    events: Vec<String>,
    /// Whether another one may start on the target now.
    leaves_the_target: bool,
}

/// A visit where the API server answers so for what is not the execution.
async fn visit(
    index: &Arc<Index>,
    stored: Value,
    answer: impl Fn(&Call) -> Option<(u16, Value)> + Send + Sync + 'static,
) -> Visited {
    let (written, asked) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let events = Arc::new(Mutex::new(Vec::new()));
    let (patched, calls, told, stored) = (written.clone(), asked.clone(), events.clone(), Mutex::new(stored));
    let client = server(move |call| {
        if !call.path.contains("/workflowexecutions/") {
            if call.path.ends_with("/events") {
                told.lock().push(call.body["reason"].as_str().unwrap().to_owned());
            } else if call.is_of_objects() {
                calls.lock().push(format!("{} {}", call.method, call.path));
            }
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
    let key = |name: &str| ObjectKey { namespace: "payments".into(), name: name.into() };
    let rests = hands.visit(&key("we")).await.map_err(|error| error.to_string());
    let target = Target::parse("Node/w", None).unwrap();
    let leaves_the_target = hands.starting.takes(target.identity(), &key("another"), |_| true);
    let (written, asked, events) = (written.lock().clone(), asked.lock().clone(), events.lock().clone());
    Visited { rests, written, asked, events, leaves_the_target }
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
    let visited = visit(&index, execution("Running"), unserved).await;
    assert_eq!((visited.rests, visited.written), (behind, vec![]));
    index.absent::<Job>();
    let Visited { rests, written, .. } = visit(&index, execution("Running"), unserved).await;
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
        let Visited { rests, written, .. } = visit(&index(), execution("Pending"), answer).await;
        let expected: &[&str] = if gives_up { &["Failed"] } else { &[] };
        assert_eq!(phases(&written), expected, "{there:?} {rests:?}");
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
    let answer =
        |call: &Call| (call.method == Method::DELETE).then(|| (200, json!({"kind": "Status", "status": "Success"})));
    let mut waiting = execution("Pending");
    waiting["spec"]["workflowRef"]["executionEngine"] = json!("tekton");
    let Visited { rests, written, asked, .. } = visit(&index, waiting, answer).await;
    assert!(rests.is_ok_and(|until| until.is_some()));
    assert_eq!(asked, [format!("DELETE /apis/tekton.dev/v1/namespaces/runs/pipelineruns/{place}")]);
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
    // What stands there is not in its way here.
    let standing = |call: &Call| match call.method {
        Method::GET if call.path == job("before") => Some((200, run("we-9", "u-9", "r-9", &json!({"active": 1})))),
        _ => making(call),
    };
    let Visited { rests, written, asked, .. } = visit(&index, claimed_for("before", "Pending"), standing).await;
    assert!(rests.is_ok());
    let looked = format!("GET {}", job("before"));
    assert_eq!(asked, [looked.as_str(), "POST /apis/batch/v1/namespaces/runs/jobs"]);
    assert_eq!(phases(&written).last(), Some(&"Running"));
}

/// Everybody who may write an execution may write that.
#[tokio::test]
async fn a_run_that_is_followed_is_not_lost_for_an_annotation() {
    let index = index();
    put::<Job>(&index, &run("we", "u", "r-1", &json!({"active": 1})));
    let Visited { rests, written, .. } = visit(&index, claimed_for("elsewhere", "Running"), |_| None).await;
    assert!(rests.is_ok());
    assert_eq!(phases(&written), [""], "its progress, and no end");
}

/// The path of the Job in this namespace.
fn job(namespace: &str) -> String {
    format!("/apis/batch/v1/namespaces/{namespace}/jobs/{}", crate::controller::executor::run_name("Node/w"))
}

/// The Job under the name of the target's, for an execution of this name and uid.
fn run(execution: &str, of: &str, uid: &str, status: &Value) -> Value {
    json!({
        "metadata": {"namespace": "runs", "name": crate::controller::executor::run_name("Node/w"), "uid": uid,
            "creationTimestamp": "2026-01-05T10:00:01Z",
            "labels": {"kubernaut.ai/workflow-execution": execution, "kubernaut.ai/source-namespace": "payments"},
            "annotations": {"lockkeeper.kubernaut.ai/execution-uid": of}},
        "status": status,
    })
}

fn over() -> Value {
    json!({"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-05T10:00:05Z"}]})
}

/// What is made is made as it is asked for.
fn making(call: &Call) -> Option<(u16, Value)> {
    (call.method == Method::POST && call.path.ends_with("/jobs")).then(|| (201, call.body.clone()))
}

/// An index that knows its request, and where nothing else speaks against it.
fn free() -> Arc<Index> {
    let index = index();
    put::<RemediationRequest>(&index, &analyzing());
    index
}

/// A crash between the create and the word of it, or a cache that is behind.
#[tokio::test]
async fn a_run_that_is_there_already_is_its_own_or_in_its_way() {
    let there = |of: &'static str| {
        move |call: &Call| match call.method {
            Method::POST if call.path.ends_with("/jobs") => Some(refusal(409, "AlreadyExists", "it is there")),
            Method::GET if call.path.contains("/jobs/") => Some((200, run(of, "", "r-1", &json!({"active": 1})))),
            _ => None,
        }
    };
    let calls = ["POST /apis/batch/v1/namespaces/runs/jobs".to_owned(), format!("GET {}", job("runs"))];
    let adopted = visit(&free(), execution("Pending"), there("we")).await;
    assert_eq!((adopted.asked, phases(&adopted.written)[0]), (calls.to_vec(), "Running"));
    let duplicate = visit(&free(), execution("Pending"), there("we-9")).await;
    assert_eq!(
        (duplicate.asked, duplicate.written[0]["failureReason"].as_str()),
        (calls.to_vec(), Some("Deduplicated"))
    );
}

#[tokio::test]
async fn who_does_not_start_leaves_the_target_to_others() {
    let refused = |code: u16, reason: &'static str| {
        move |call: &Call| {
            (call.method == Method::POST && call.path.ends_with("/jobs")).then(|| refusal(code, reason, "no"))
        }
    };
    for (code, reason, leaves) in [(422, "Invalid", true), (500, "InternalError", false)] {
        let visited = visit(&free(), execution("Pending"), refused(code, reason)).await;
        assert_eq!((visited.leaves_the_target, visited.rests.is_ok()), (leaves, leaves), "{code}");
    }
    // The index has not heard of it.
    assert!(!visit(&free(), execution("Pending"), making).await.leaves_the_target);
    // The name of its run was taken meanwhile, by one that is being deleted: it waits.
    let mut going = run("we-9", "u-9", "r-9", &json!({"active": 1}));
    going["metadata"]["deletionTimestamp"] = json!("2026-01-05T10:00:05Z");
    let taken = move |call: &Call| match call.method {
        Method::POST if call.path.ends_with("/jobs") => Some(refusal(409, "AlreadyExists", "it is there")),
        Method::GET if call.path.contains("/jobs/") => Some((200, going.clone())),
        _ => None,
    };
    assert!(visit(&free(), execution("Pending"), taken).await.leaves_the_target);
}

#[tokio::test]
async fn what_is_deleted_is_deleted_once() {
    let index = free();
    put::<Job>(&index, &run("we", "u", "r-1", &json!({"active": 1})));
    let mut deleted = execution("Running");
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-05T10:01:00Z");
    // It stays until its Pods are gone, and the stream tells that later.
    let staying = |call: &Call| {
        let mut left = run("we", "u", "r-1", &json!({"active": 1}));
        left["metadata"]["deletionTimestamp"] = json!("2026-01-05T10:01:01Z");
        (call.method == Method::DELETE).then_some((200, left))
    };
    let visited = visit(&index, deleted, staying).await;
    assert_eq!((visited.asked, visited.rests), (vec![format!("DELETE {}", job("runs"))], Ok(None)));
    assert_eq!(visited.events, ["RunDeleting"], "who waits for it can read why");
}

/// It is not itself what has to be told first.
#[tokio::test]
async fn an_earlier_run_of_its_own_name_that_ended_makes_way() {
    let index = free();
    put::<WorkflowExecution>(&index, &execution("Pending"));
    put::<Job>(&index, &run("we", "u-0", "r-0", &over()));
    // Some answer with what was there.
    let gone = |call: &Call| match call.method {
        Method::DELETE => Some((200, run("we", "u-0", "r-0", &over()))),
        _ => making(call),
    };
    let visited = visit(&index, execution("Pending"), gone).await;
    let calls = [format!("DELETE {}", job("runs")), "POST /apis/batch/v1/namespaces/runs/jobs".to_owned()];
    assert_eq!((visited.asked, phases(&visited.written)[0]), (calls.to_vec(), "Running"));
}

/// Begun anew it could run twice.
#[tokio::test]
async fn where_it_may_have_been_begun_and_nobody_may_look_it_waits_and_says_so() {
    let forbidden = |call: &Call| {
        let message = "jobs.batch \"x\" is forbidden: User \"u\" cannot get resource \"jobs\"";
        (call.path == job("before")).then(|| refusal(403, "Forbidden", message))
    };
    let Visited { rests, written, asked, .. } = visit(&free(), claimed_for("before", "Pending"), forbidden).await;
    assert!(rests.is_ok_and(|until| until.is_some()), "until it may");
    let told = &written[0]["conditions"][0];
    assert_eq!((&told["reason"], asked.iter().any(|call| call.starts_with("POST"))), (&json!("RunsUnreadable"), false));
    assert!(told["message"].as_str().unwrap().contains("in namespace before is not known"), "{told}");
    // What is no name of a namespace is no place.
    let odd = visit(&free(), claimed_for("no name", "Pending"), making).await;
    assert_eq!(odd.asked, ["POST /apis/batch/v1/namespaces/runs/jobs"]);
}

#[tokio::test]
async fn a_run_that_was_followed_and_went_is_told_whatever_an_annotation_says() {
    let index = free();
    put::<WorkflowExecution>(&index, &execution("Running"));
    put::<Job>(&index, &run("we", "u", "r-1", &over()));
    index.listed::<Job>(&HashSet::new());
    let visited = visit(&index, claimed_for("elsewhere", "Running"), |_| None).await;
    assert_eq!(phases(&visited.written)[0], "Completed");
}
