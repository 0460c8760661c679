//! What a request is told when its execution goes, on an API server that answers as a test says.

use std::collections::HashSet;

use hyper::Method;
use serde_json::json;

use super::*;
use crate::api::duration::GoDuration;
use crate::controller::testing::{put, refusal, server};

const ENDED: &str = "2026-01-05T10:01:00Z";

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "payments".into(), name: name.into() }
}

fn object(kind: &str, name: &str, spec: &Value, status: &Value) -> Value {
    json!({"apiVersion": "kubernaut.ai/v1beta1", "kind": kind, "spec": spec, "status": status,
        "metadata": {"namespace": "payments", "name": name, "uid": "u", "resourceVersion": "1", "creationTimestamp": "2026-01-05T10:00:00Z"}})
}

/// The execution `we` of the request that this refers to.
fn of(reference: &Value, status: &Value) -> Value {
    let spec = json!({"remediationRequestRef": reference, "target": {"kind": "Node", "name": "w"}});
    object("WorkflowExecution", "we", &spec, status)
}

fn own(status: &Value) -> Value {
    of(&json!({"name": "rr"}), status)
}

fn running() -> Value {
    json!({"phase": "Running"})
}

fn hand(keeper: &Keeper, client: Client) -> Hand<'_> {
    Hand {
        keeper,
        objects: Objects::of("routing-keeper", client, "us"),
        begun: Mutex::default(),
        unheard: Unheard::default(),
        retries: Retries::default(),
        complaints: Complaints::default(),
    }
}

/// What the request `rr`, which is Executing by `we`, is told when this happens and the API server has that execution.
async fn told(there: Option<Value>, happens: impl AsyncFnOnce(&Hand<'_>)) -> Vec<Value> {
    told_of("we", 0, &Arc::new(Mutex::new(there)), happens).await
}

/// Where it is Executing by this one, and so many writes fail.
async fn told_of(
    execution: &str,
    failing: usize,
    there: &Arc<Mutex<Option<Value>>>,
    happens: impl AsyncFnOnce(&Hand<'_>),
) -> Vec<Value> {
    let fails = Mutex::new(failing);
    let reference =
        json!({"phaseProgress": {"workflowExecutionRef": {"name": execution}}, "overallPhase": "Executing"});
    let spec = json!({"signalFingerprint": "s", "target": {"kind": "Node", "name": "w"}});
    let request = object("RemediationRequest", "rr", &spec, &reference);
    let index = Arc::new(Index::default());
    index.listed::<RemediationRequest>(&HashSet::new());
    index.listed::<WorkflowExecution>(&HashSet::new());
    put::<RemediationRequest>(&index, &request);
    let written = Arc::new(Mutex::new(Vec::new()));
    let (patched, heard, there) = (written.clone(), index.clone(), there.clone());
    let client = server(move |call| match (&call.method, call.path.contains("/remediationrequests/")) {
        (&Method::PATCH, true) if *fails.lock() > 0 => {
            *fails.lock() -= 1;
            Some(refusal(500, "InternalError", "m"))
        }
        (&Method::PATCH, true) => {
            patched.lock().push(call.body["status"].clone());
            let mut ended = request.clone();
            json_patch::merge(&mut ended["status"], &call.body["status"]);
            put::<RemediationRequest>(&heard, &ended);
            Some((200, ended))
        }
        (&Method::GET, true) => Some((200, request.clone())),
        (&Method::GET, false) => there.lock().clone().filter(|_| call.is_of_objects()).map(|there| (200, there)),
        _ => None,
    });
    let (telemetry, policy) = (Arc::default(), Arc::default());
    let keeper = Keeper { client: client.clone(), identity: "us".to_owned(), index, policy, telemetry };
    let hand = hand(&keeper, client);
    happens(&hand).await;
    std::mem::take(&mut *written.lock())
}

/// It runs, and that is known.
async fn runs(hand: &Hand<'_>) {
    put::<WorkflowExecution>(&hand.keeper.index, &own(&running()));
    hand.visit(&key("we")).await.unwrap();
}

/// It leaves the index in this state, and is looked at twice.
async fn leaves(hand: &Hand<'_>, last: &Value) {
    put::<WorkflowExecution>(&hand.keeper.index, &own(last));
    hand.keeper.index.listed::<WorkflowExecution>(&HashSet::new());
    hand.visit(&key("we")).await.unwrap();
    hand.visit(&key("we")).await.unwrap();
}

/// Once, that it failed, since its execution went before it ended.
fn is_given_up(told: &[Value]) {
    let [status] = told else { panic!("{told:?}") };
    let counted = (&status["overallPhase"], &status["routing"]["consecutiveFailureCount"]);
    assert_eq!(counted, (&json!("Failed"), &json!(1)));
    assert!(status["completion"]["failureReason"].as_str().unwrap().contains("was deleted before it ended"));
}

#[tokio::test]
async fn a_request_is_given_up_where_no_execution_of_its_own_is_left() {
    let left = async |there| {
        told(there, async |hand| {
            runs(hand).await;
            leaves(hand, &running()).await;
        })
        .await
    };
    let anothers = of(&json!({"name": "rr-9"}), &running());
    for there in [None, Some(anothers)] {
        is_given_up(&left(there).await);
    }
    // The index is behind, or cannot read it.
    for reference in [json!({"name": "rr"}), json!(7)] {
        assert_eq!(left(Some(of(&reference, &running()))).await, Vec::<Value>::new());
    }
}

#[tokio::test]
async fn another_requests_execution_of_that_name_is_none_of_its_own() {
    let anothers = of(&json!({"name": "rr-9"}), &running());
    let remade = told(Some(anothers.clone()), async |hand| {
        runs(hand).await;
        put::<WorkflowExecution>(&hand.keeper.index, &anothers);
        hand.visit(&key("we")).await.unwrap();
    });
    is_given_up(&remade.await);
    // It went while nobody led.
    for (known, given_up) in [(Some(anothers.clone()), true), (Some(own(&running())), false), (None, true)] {
        let told = told(known.clone(), async |hand| {
            known.iter().for_each(|known| put::<WorkflowExecution>(&hand.keeper.index, known));
            let queue = Queue::default();
            assert!(hand.find_abandoned(&queue).await);
            assert_eq!(hand.begun.lock().contains_key(&key("we")), given_up, "{known:?}");
            hand.visit(&key("we")).await.unwrap();
        });
        let told = told.await;
        if given_up { is_given_up(&told) } else { assert_eq!(told, Vec::<Value>::new()) }
    }
}

#[tokio::test]
async fn how_an_execution_ended_is_told_where_it_went_before_anybody_looked() {
    let left = async |last: Value| {
        told(None, async |hand| {
            runs(hand).await;
            leaves(hand, &last).await;
        })
        .await
    };
    let told = left(json!({"phase": "Completed", "completionTime": ENDED})).await;
    let [status] = &told[..] else { panic!("{told:?}") };
    assert_eq!(
        (&status["overallPhase"], &status["completion"]["outcome"]),
        (&json!("Completed"), &json!("Remediated"))
    );
    assert_eq!(status["completedAt"], ENDED);
    let failure = json!({"reason": "TaskFailed", "message": "m", "wasExecutionFailure": true});
    let told = left(json!({"phase": "Failed", "completionTime": ENDED, "failure": failure})).await;
    let [status] = &told[..] else { panic!("{told:?}") };
    let reason = "WorkflowExecution payments/we failed while it ran, and was deleted before its reason was read";
    assert_eq!((&status["overallPhase"], &status["completion"]["failureReason"]), (&json!("Failed"), &json!(reason)));
    assert_eq!(status["phaseProgress"], Value::Null, "what it refers to stands");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_counted_before_what_was_written_is_heard_of() {
    let (unheard, fresh) = (Unheard::default(), Duration::from_secs(15));
    let nothing = |_: &ObjectKey| false;
    assert_eq!(unheard.behind("s", fresh, nothing), None);
    unheard.add(key("rr-1"), "s");
    unheard.add(key("rr-2"), "s");
    assert_eq!(unheard.behind("s", fresh, |request| *request == key("rr-1")), Some(key("rr-2")));
    assert_eq!(unheard.behind("s", fresh, nothing), Some(key("rr-2")), "what was heard of once is known");
    assert_eq!(unheard.behind("another", fresh, nothing), None, "it counts nothing of that");
    tokio::time::advance(fresh + Duration::from_millis(1)).await;
    assert_eq!(unheard.behind("s", fresh, nothing), None, "the index is no older than that, or nothing is counted");
}

#[tokio::test]
async fn an_end_is_told_once_and_of_who_it_is() {
    let completed = json!({"phase": "Completed", "completionTime": ENDED});
    // The request is on another one by now.
    let nothing = Arc::default();
    let of_another = told_of("we-9", 0, &nothing, async |hand| {
        runs(hand).await;
        leaves(hand, &completed).await;
    });
    assert_eq!(of_another.await, Vec::<Value>::new());
    // The first write fails, and then it is deleted.
    let there = Arc::new(Mutex::new(Some(own(&completed))));
    let late = told_of("we", 1, &there, async |hand| {
        put::<WorkflowExecution>(&hand.keeper.index, &own(&completed));
        assert!(hand.visit(&key("we")).await.is_err());
        *there.lock() = None;
        hand.keeper.index.listed::<WorkflowExecution>(&HashSet::new());
        hand.visit(&key("we")).await.unwrap();
    });
    let late = late.await;
    assert_eq!((late.len(), &late[0]["overallPhase"]), (1, &json!("Completed")));
    // It ended and went between two looks; and the index has not heard that it went.
    let unseen = told(None, async |hand| leaves(hand, &completed).await).await;
    let unheard = told(None, async |hand| {
        put::<WorkflowExecution>(&hand.keeper.index, &own(&completed));
        hand.visit(&key("we")).await.unwrap();
        hand.visit(&key("we")).await.unwrap();
    });
    for told in [unseen, unheard.await] {
        assert_eq!((told.len(), &told[0]["overallPhase"]), (1, &json!("Completed")), "{told:?}");
    }
    let index = Index::default();
    for (last, known) in [(&completed, true), (&running(), false), (&completed, true)] {
        put::<WorkflowExecution>(&index, &own(last));
        index.listed::<WorkflowExecution>(&HashSet::new());
        assert_eq!(index.left(&key("we")).is_some(), known, "one of that name that left later counts");
    }
}

/// Two requests of one signal; each execution failed while it ran.
async fn both_failed(index: &Arc<Index>, policy: Policy, hears: bool) -> [Result<(), String>; 2] {
    let names = [("rr", "we"), ("rr-2", "we-2")];
    let failure = json!({"reason": "TaskFailed", "message": "m", "wasExecutionFailure": true});
    let failed = move |rr: &str, we: &str| {
        let spec = json!({"remediationRequestRef": {"name": rr}, "target": {"kind": "Node", "name": we}});
        object("WorkflowExecution", we, &spec, &json!({"phase": "Failed", "completionTime": ENDED, "failure": failure}))
    };
    let request = move |rr: &str, phase: &str| {
        let spec = json!({"signalFingerprint": "s", "target": {"kind": "Node", "name": "w"}});
        object("RemediationRequest", rr, &spec, &json!({"overallPhase": phase}))
    };
    index.listed::<RemediationRequest>(&HashSet::new());
    index.listed::<WorkflowExecution>(&HashSet::new());
    for (rr, we) in names {
        put::<RemediationRequest>(index, &request(rr, "Executing"));
        put::<WorkflowExecution>(index, &failed(rr, we));
    }
    let heard = index.clone();
    let client = server(move |call| {
        let of = |name: &str| call.path.split('/').any(|part| part == name);
        let (rr, we) = names.into_iter().find(|(rr, we)| of(rr) || of(we))?;
        if call.path.contains("/workflowexecutions/") {
            return Some((200, failed(rr, we)));
        }
        let mut stored = request(rr, "Executing");
        if call.method == Method::PATCH {
            json_patch::merge(&mut stored["status"], &call.body["status"]);
            if hears {
                put::<RemediationRequest>(&heard, &stored);
            }
        }
        Some((200, stored))
    });
    let (telemetry, policy) = (Arc::default(), Arc::new(ArcSwap::from_pointee(policy)));
    let keeper = Keeper { client: client.clone(), identity: "us".to_owned(), index: index.clone(), policy, telemetry };
    let hand = hand(&keeper, client);
    let mut visited = Vec::new();
    for (_, we) in names {
        visited.push(hand.visit(&key(we)).await.map_err(|error| error.to_string()));
    }
    visited.try_into().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_next_of_a_signal_is_counted_when_the_one_before_is_heard_of_and_by_fresh_streams() {
    let heard = both_failed(&Arc::default(), Policy::default(), true).await;
    assert_eq!(heard, [Ok(()), Ok(())]);
    let unheard = both_failed(&Arc::default(), Policy::default(), false).await;
    let behind = "not known yet: that payments/rr ended, which was written a moment ago".to_owned();
    assert_eq!(unheard, [Ok(()), Err(behind)]);
    let mut policy = Policy::default();
    policy.staleness.max = GoDuration::seconds(0);
    let [silent, _] = both_failed(&Arc::default(), policy, true).await;
    assert!(silent.unwrap_err().starts_with("not known yet: an input was silent for "));
}
