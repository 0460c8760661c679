//! The two webhooks on the status: what it says when it leaves, and whether it may be written so.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use serde_json::value::RawValue;

use super::gate::{Gate, Judgement, not_ready};
use super::review::{Operation, Review};
use crate::api::facts::{ReadError, Record, TWICE};
use crate::api::tekton::Owner;
use crate::convert::{self, Version};
use crate::failure::Account;
use crate::fault::Fault;
use crate::status::{self, Refusal, Write};

/// How long an executor may be ahead of our streams.
const AHEAD: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Gate {
    /// An executor that follows its run as we do may write Failed before our streams told us that the run has ended: then a
    /// moment is worth waiting for, since the flag that is written now stands.
    async fn catch_up(&self, review: &Review<'_>, old: &Record, new: &Record, deadline: Instant) {
        if !status::tells_of_an_ended_run(old, new) {
            return;
        }
        let enough = deadline.min(Instant::now() + AHEAD);
        while Instant::now() < enough
            && self.account(review, old, new, deadline).is_ok_and(|account| account.is_unsettled())
        {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Failure details and the name on a clearance.
    pub(super) async fn amend(&self, review: &Review<'_>, deadline: Instant) -> Result<Judgement, Fault> {
        let (old, new) = match written(review) {
            ControlFlow::Continue(sides) => sides,
            ControlFlow::Break(answer) => return answer,
        };
        self.catch_up(review, &old, &new, deadline).await;
        let account = self.needed_account(review, &old, &new, deadline)?;
        let write = Write { old: &old, new: &new, user: &review.username, account: &account, now: Timestamp::now() };
        Ok(Judgement::Amended(status::amend(&write, &self.rules.load())))
    }

    /// What may not be unsaid.
    pub(super) fn guard(&self, review: &Review<'_>, deadline: Instant) -> Result<Judgement, Fault> {
        let (old, new) = match written(review) {
            ControlFlow::Continue(sides) => sides,
            ControlFlow::Break(answer) => return answer,
        };
        let (old, new) = stored(review, old, new);
        let account = self.needed_account(review, &old, &new, deadline)?;
        let write = Write { old: &old, new: &new, user: &review.username, account: &account, now: Timestamp::now() };
        let refusal = status::guard(&write, &self.rules.load());
        Ok(Judgement::Guarded { refusal, clearing: status::clearing(&write).map(str::to_owned) })
    }

    /// The name on a clearance that an annotation asks for.
    pub(super) fn attribute(&self, review: &Review<'_>) -> Result<Judgement, Fault> {
        if let Some(what) = review.foreign("") {
            let warning = format!("lockkeeper judges workflowexecutions.kubernaut.ai here; {what} passed unjudged");
            return Ok(Judgement::Unasked(Some(warning)));
        }
        // What cannot be read is the gate's to refuse.
        let Some((old, new)) = asking(review) else { return Ok(Judgement::Unasked(None)) };
        let account = Account::Unknown;
        let write = Write { old: &old, new: &new, user: &review.username, account: &account, now: Timestamp::now() };
        Ok(Judgement::Amended(status::attribute(&write)))
    }

    /// Why a write of the object itself may not ask for a clearance so.
    pub(super) fn unwelcome(&self, review: &Review<'_>) -> Option<Refusal> {
        let (old, new) = asking(review).filter(|_| review.foreign("").is_none())?;
        let account = Account::Unknown;
        let write = Write { old: &old, new: &new, user: &review.username, account: &account, now: Timestamp::now() };
        status::unwelcome(&write, &self.rules.load())
    }

    fn needed_account(
        &self,
        review: &Review<'_>,
        old: &Record,
        new: &Record,
        deadline: Instant,
    ) -> Result<Account, Fault> {
        if status::needs_account(old, new) { self.account(review, old, new, deadline) } else { Ok(Account::Unknown) }
    }

    /// What the index knows of the run that carries the execution out.
    fn account(&self, review: &Review<'_>, old: &Record, new: &Record, deadline: Instant) -> Result<Account, Fault> {
        let Some(execution) = review.key() else { return Ok(Account::Unknown) };
        // The run that stood there before: a writer does not choose the evidence. Once it has failed, a name is none at all.
        let named = || old.run_name.as_deref().or(new.run_name.as_deref());
        let run = status::turns_failed(old, new).then(named).flatten();
        let owner = Owner { key: &execution, uid: new.uid.as_deref(), created: new.created };
        self.index.account(owner, run, deadline).map_err(not_ready)
    }
}

/// Both sides of a write whose annotations may ask for a clearance; what is created was nothing before. None: they do not.
fn asking(review: &Review<'_>) -> Option<(Record, Record)> {
    let old = match review.operation {
        Operation::Create => None,
        Operation::Update => Some(review.old_object?),
        _ => return None,
    };
    let new = review.object?;
    // Most say nothing of it, and need not be read twice. The name of who asks begins so too.
    let says = |object: &RawValue| object.get().contains(status::CLEAR);
    if !says(new) && !old.is_some_and(says) {
        return None;
    }
    let old = old.map_or(Ok(Record::default()), |old| Record::from_json(old.get())).ok()?;
    Some((old, Record::from_json(new.get()).ok()?))
}

/// Both sides of a status write, or what is said where it is none or cannot be read.
fn written(review: &Review<'_>) -> ControlFlow<Result<Judgement, Fault>, (Record, Record)> {
    if let Some(what) = review.foreign("status") {
        let warning = format!("lockkeeper judges workflowexecutions/status.kubernaut.ai here; {what} passed unjudged");
        return ControlFlow::Break(Ok(Judgement::Unasked(Some(warning))));
    }
    let sides = review.old_object.zip(review.object).filter(|_| review.operation == Operation::Update);
    let Some((old, new)) = sides else { return ControlFlow::Break(Ok(Judgement::Unasked(None))) };
    match (record("oldObject", old), record("object", new)) {
        (Ok(old), Ok(new)) => ControlFlow::Continue((old, new)),
        // What is said twice can be read in two ways.
        (Err(error), _) | (_, Err(error)) if error.problem.starts_with(TWICE) => {
            ControlFlow::Break(Err(Fault::NotAReview { problem: format!("request.{error}") }))
        }
        (Err(error), _) | (_, Err(error)) => ControlFlow::Break(Ok(Judgement::Unreadable(error))),
    }
}

/// The same as v1beta1 says it, with what v1alpha1 can only park: what may not be unsaid is not unsaid there either.
fn stored(review: &Review<'_>, old: Record, new: Record) -> (Record, Record) {
    let Some((before, after)) = review.old_object.zip(review.object) else { return (old, new) };
    if !convert::parks(before.get()) && !convert::parks(after.get()) {
        return (old, new);
    }
    let told = |object: &RawValue, seen: Record| {
        let told = convert::told(object.get(), Version::V1beta1).ok().map(|told| Record::from_json(&told.json));
        let member = seen.failure_member;
        Record { failure_member: member, ..told.and_then(Result::ok).unwrap_or(seen) }
    };
    (told(before, old), told(after, new))
}

fn record(which: &str, object: &RawValue) -> Result<Record, ReadError> {
    Record::from_json(object.get()).map_err(|error| {
        let path = if error.path == "." { which.to_owned() } else { format!("{which}.{}", error.path) };
        ReadError { path, ..error }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use axum::http::Request;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;
    use crate::api::tekton::{PipelineRun, TaskRun};
    use crate::cluster::{Index, Seen, Tracked};
    use crate::webhook::router;

    fn put<T: Tracked>(index: &Index, object: &Value) {
        let facts = T::read(&object.to_string()).unwrap();
        index.put(Seen { key: facts.key().clone(), facts: Ok(facts) });
    }

    fn run(conditions: &Value) -> Value {
        json!({"metadata": {"name": "wfe-1", "namespace": "kubernaut-workflows",
                "labels": {"kubernaut.ai/workflow-execution": "we-1", "kubernaut.ai/source-namespace": "payments"}},
            "status": {"startTime": "2026-01-05T10:00:00Z", "childReferences": [{"kind": "TaskRun", "name": "t"}], "conditions": conditions}})
    }

    fn task(conditions: &Value, step: &Value) -> Value {
        json!({"metadata": {"name": "t", "namespace": "kubernaut-workflows", "labels": {"tekton.dev/pipelineRun": "wfe-1"}},
            "status": {"podName": "p", "conditions": conditions, "steps": [step]}})
    }

    /// The executor saw the end before we did: what our streams tell a moment later is what is written.
    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_ahead_of_our_streams_is_judged_by_what_they_tell_then() {
        let index = Arc::new(Index::default());
        let goes_on = json!([{"type": "Succeeded", "status": "Unknown", "reason": "Running", "message": "x"}]);
        put::<PipelineRun>(&index, &run(&goes_on));
        put::<TaskRun>(&index, &task(&goes_on, &json!({"name": "a"})));
        let failed = json!({"phase": "Failed", "startTime": "2026-01-05T10:00:00Z", "executionRef": {"name": "wfe-1"},
            "executionStatus": {"status": "False", "reason": "Failed", "message": "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0"},
            "failureDetails": {"reason": "TaskFailed", "message": "m", "wasExecutionFailure": true}});
        let object = |status: &Value| json!({"metadata": {"name": "we-1", "namespace": "payments"}, "spec": {}, "status": status});
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", "operation": "UPDATE",
            "subResource": "status", "namespace": "payments", "name": "we-1",
            "object": object(&failed), "oldObject": object(&json!({"phase": "Running", "executionRef": {"name": "wfe-1"}}))}});
        let gate = Arc::new(Gate {
            index: index.clone(),
            policy: Arc::default(),
            rules: Arc::default(),
            telemetry: Arc::default(),
        });
        let app = router(&gate, &crate::config::Limits::default());
        let request = Request::post("/mutate/workflowexecutions-status").header("content-type", "application/json");
        let answering = tokio::spawn(app.oneshot(request.body(Body::from(review.to_string())).unwrap()));
        tokio::time::sleep(LOOK_AGAIN).await;
        let pulling =
            json!([{"type": "Succeeded", "status": "False", "reason": "TaskRunImagePullFailed", "message": "x"}]);
        let waited = json!({"name": "a", "terminated": {"reason": "TaskRunImagePullFailed", "exitCode": 1}});
        put::<PipelineRun>(
            &index,
            &run(&json!([{"type": "Succeeded", "status": "False", "reason": "Failed", "message": "x"}])),
        );
        put::<TaskRun>(&index, &task(&pulling, &waited));
        let response = answering.await.unwrap().unwrap();
        let body = axum::body::to_bytes(response.into_body(), 100_000).await.unwrap();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let warning = answer["response"]["warnings"][0].as_str().unwrap();
        assert!(warning.starts_with("classification corrected: TaskFailed → ImagePullBackOff"), "{answer}");
    }
}
