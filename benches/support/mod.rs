//! A cluster's worth of routing state: requests and executions as they are stored, named as Kubernaut names them.

use std::collections::HashSet;

use lockkeeper::api::facts::{ObjectKey, ParentRef, RemediationRequest, Target, WorkflowExecution};
use lockkeeper::cluster::{Index, Seen, Tracked};
use lockkeeper::routing::Request;
use serde_json::{Value, json};

/// Requests of one signal, and executions on one target.
#[derive(Clone, Copy)]
pub struct Shape {
    pub signals: usize,
    pub requests: usize,
    pub executions: usize,
}

impl Shape {
    pub fn fill_requests(self, index: &Index) {
        index.listed::<RemediationRequest>(&HashSet::new());
        for i in 0..self.signals * self.requests {
            put::<RemediationRequest>(index, &request(i / self.requests, i % self.requests));
        }
    }

    pub fn fill_executions(self, index: &Index) {
        index.listed::<WorkflowExecution>(&HashSet::new());
        for i in 0..self.signals * self.executions {
            put::<WorkflowExecution>(index, &execution(i / self.executions, i % self.executions));
        }
    }

    /// A question that all of them are free to ask: the oldest request of the signal, a workflow that nobody ran.
    pub fn question(self, signal: usize) -> Request {
        let signal = signal % self.signals;
        Request {
            key: Some(key(&format!("we-{}-new", rr(signal, 0)))),
            parent: Some(ParentRef { namespace: NAMESPACE.into(), name: rr(signal, 0).into(), uid: None }),
            workflow_id: Some("6f1c0b9e-3f64-4b5e-9a55-0f6b8a1d2c3e".into()),
            ..Request::target(Target::parse(&target(signal), None).unwrap())
        }
    }
}

const NAMESPACE: &str = "kubernaut-system";

fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: NAMESPACE.into(), name: name.into() }
}

fn rr(signal: usize, number: usize) -> String {
    format!("rr-{signal:012x}-{number:08x}")
}

fn target(signal: usize) -> String {
    format!("team-{:04}/Deployment/service-{signal:07}", signal % 1000)
}

fn put<T: Tracked>(index: &Index, object: &Value) {
    let facts = T::read(&object.to_string()).unwrap();
    index.put(Seen { key: facts.key().clone(), facts: Ok(facts) });
}

fn time(second: usize) -> String {
    format!(
        "2026-01-0{}T{:02}:{:02}:{:02}Z",
        1 + second / 86_400 % 4,
        second / 3600 % 24,
        second / 60 % 60,
        second % 60
    )
}

/// The oldest is in Analyzing; the later ones ended in turn well and badly.
fn request(signal: usize, number: usize) -> Value {
    let phase = if number == 0 { "Analyzing" } else { ["Completed", "Failed"][number % 2] };
    json!({
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "RemediationRequest",
        "metadata": {
            "name": rr(signal, number),
            "namespace": NAMESPACE,
            "uid": format!("{signal:08x}-0000-4000-8000-{number:012x}"),
            "creationTimestamp": time(number * 600),
        },
        "spec": {
            "signalFingerprint": format!("{signal:064x}"),
            "targetResource": {
                "namespace": format!("team-{:04}", signal % 1000), "kind": "Deployment", "name": format!("service-{signal:07}"),
            },
        },
        "status": {
            "overallPhase": phase,
            "completedAt": time(number * 600 + 300),
            "routingStatus": {"nextAllowedExecution": time(number * 600 + 360), "consecutiveFailureCount": 1},
            "completionStatus": {"outcome": "Remediated"},
        },
    })
}

/// All ended long ago, in turn well and before anything ran.
fn execution(signal: usize, number: usize) -> Value {
    let failed = json!({"reason": "ImagePullBackOff", "wasExecutionFailure": false});
    let phase = ["Completed", "Failed"][number % 2];
    json!({
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": {
            "name": format!("we-{}", rr(signal, number)), "namespace": NAMESPACE, "creationTimestamp": time(number * 600 + 60),
        },
        "spec": {
            "remediationRequestRef": {"name": rr(signal, number), "uid": format!("{signal:08x}-0000-4000-8000-{number:012x}")},
            "workflowRef": {"workflowId": "0b7d8c4e-52f1-4f0e-8d6a-2f4f1f1a9b10", "executionBundle": "registry.example/w@sha256:0"},
            "targetResource": target(signal),
        },
        "status": {
            "phase": phase,
            "completionTime": time(number * 600 + 240),
            "failureDetails": if number % 2 == 1 { failed } else { Value::Null },
            "executionRef": {"name": "wfe-0123456789abcdef"},
        },
    })
}
