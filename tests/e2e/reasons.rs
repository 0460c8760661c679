//! Each reason that objects can bring about, brought about once at a real API server.

use serde_json::{Value, json};

use crate::stage::{self, FAILED_BEFORE, FAILED_RUNNING, World, completed, in_seconds, wfe};
use crate::status::scene::{WORDS, clearance};
use crate::support::ADMIN;

fn analyzing() -> Value {
    json!({"overallPhase": "Analyzing"})
}

/// The stage's own fingerprint of a new world for each reason.
async fn world(reason: &str) -> Option<World<'static>> {
    let stage = stage::shared().await?;
    Some(World::new(&stage.server, reason).await)
}

impl World<'_> {
    fn candidate(&self, parent: &str) -> Value {
        wfe(&self.namespace, "candidate", parent, &self.target("api"))
    }

    async fn refuses(&self, candidate: &Value, expected: &str) {
        let told = self.refused(candidate, expected).await;
        assert!(told.stderr.contains("; see: lockkeeper explain ") || expected.starts_with("Malformed"), "{told}");
    }
}

#[tokio::test]
async fn parent_missing() {
    let Some(world) = world("missing").await else { return };
    world.refuses(&world.candidate("nobody"), "ParentMissing: its RemediationRequest does not exist").await;
}

#[tokio::test]
async fn parent_mismatch() {
    let Some(world) = world("mismatch").await else { return };
    world.request("rr", "s", analyzing()).await;
    let mut candidate = world.candidate("rr");
    candidate["spec"]["remediationRequestRef"]["uid"] = json!("11111111-2222-3333-4444-555555555555");
    world.refuses(&candidate, "ParentMismatch: its RemediationRequest has uid ").await;
}

#[tokio::test]
async fn parent_deleting() {
    let Some(world) = world("deleting").await else { return };
    world.request("rr", "s", analyzing()).await;
    let finalizer = |value: &'static str| ["patch", "rr", "rr", "--type=merge", "-p", value, "-n"];
    let kubectl = async |args: &[&str]| {
        let args: Vec<&str> = args.iter().copied().chain([world.namespace.as_str()]).collect();
        world.server.kubectl(ADMIN, &args, None).await.expect_success()
    };
    kubectl(&finalizer(r#"{"metadata":{"finalizers":["test/hold"]}}"#)).await;
    kubectl(&["delete", "rr", "rr", "--wait=false", "-n"]).await;
    world.refuses(&world.candidate("rr"), "ParentDeleting: its RemediationRequest is being deleted").await;
    kubectl(&finalizer(r#"{"metadata":{"finalizers":null}}"#)).await;
    world.refuses(&world.candidate("rr"), "ParentMissing").await;
}

#[tokio::test]
async fn parent_terminal() {
    let Some(world) = world("terminal").await else { return };
    for phase in ["Completed", "Failed", "TimedOut", "Skipped", "Cancelled"] {
        let name = phase.to_lowercase();
        world.request(&name, &name, json!({"overallPhase": phase})).await;
        world
            .refuses(&world.candidate(&name), &format!("ParentTerminal: its RemediationRequest has ended ({phase})"))
            .await;
    }
}

#[tokio::test]
async fn published_block_with_and_without_an_end() {
    let Some(world) = world("published").await else { return };
    let until = in_seconds(600);
    world
        .request(
            "until",
            "a",
            json!({"overallPhase": "Blocked", "blockReason": "UnmanagedResource", "blockedUntil": until}),
        )
        .await;
    world
        .refuses(
            &world.candidate("until"),
            &format!("UnmanagedResource: its RemediationRequest is Blocked; until {until} ("),
        )
        .await;
    world.request("never", "b", json!({"overallPhase": "Blocked"})).await;
    world
        .refuses(&world.candidate("never"), "Blocked: its RemediationRequest is Blocked until somebody unblocks it")
        .await;
    // A block that ran out holds nothing, and the two live reasons are decided live.
    world
        .request(
            "over",
            "c",
            json!({"overallPhase": "Blocked", "blockReason": "RecentlyRemediated", "blockedUntil": in_seconds(-1)}),
        )
        .await;
    world.admitted(&wfe(&world.namespace, "over", "over", &world.target("over"))).await;
    world.request("busy", "d", json!({"overallPhase": "Blocked", "blockReason": "ResourceBusy"})).await;
    world.admitted(&wfe(&world.namespace, "busy", "busy", &world.target("busy"))).await;
}

#[tokio::test]
async fn consecutive_failures() {
    let Some(world) = world("consecutive").await else { return };
    let ended = in_seconds(-60);
    for name in ["old-1", "old-2", "old-3"] {
        world.request(name, "s", json!({"overallPhase": "Failed", "completedAt": ended})).await;
    }
    world.request("rr", "s", analyzing()).await;
    world
        .refuses(
            &world.candidate("rr"),
            "ConsecutiveFailures: 3 consecutive failures for this signal, 3 hold it; until ",
        )
        .await;
}

#[tokio::test]
async fn duplicate_in_progress() {
    let Some(world) = world("duplicate").await else { return };
    world.request("a-first", "s", json!({"overallPhase": "Executing"})).await;
    world.request("b-second", "s", analyzing()).await;
    world
        .refuses(
            &world.candidate("b-second"),
            "DuplicateInProgress: an older request for the same signal is still in progress",
        )
        .await;
}

#[tokio::test]
async fn resource_busy_across_namespaces_and_spellings() {
    let Some(world) = world("busy").await else { return };
    world.request("first", "a", analyzing()).await;
    world.request("second", "b", analyzing()).await;
    world.execution("runs", "first", &world.target("api"), json!({"phase": "Running"})).await;
    let mut candidate = world.candidate("second");
    candidate["spec"]["targetResource"] = json!(format!("{}/deployment/api", world.namespace));
    let held_by = format!(
        "ResourceBusy: another workflow is active on this target; held by WorkflowExecution {}/runs",
        world.namespace
    );
    world.refuses(&candidate, &held_by).await;
    world.write_status("WorkflowExecution", "runs", completed(&in_seconds(-3600))).await;
    world.admitted(&candidate).await;
}

#[tokio::test]
async fn previous_execution_failed_until_a_person_clears_it() {
    let Some(world) = world("previous").await else { return };
    world.request("first", "a", analyzing()).await;
    world.request("second", "b", analyzing()).await;
    world.execution("broke", "first", &world.target("api"), FAILED_RUNNING(&in_seconds(-10))).await;
    world
        .refuses(&world.candidate("second"), "PreviousExecutionFailed: a workflow acted on this target and failed")
        .await;
    let clearance = json!({"blockClearance": clearance(WORDS)});
    world.write_status("WorkflowExecution", "broke", clearance).await;
    world.admitted(&world.candidate("second")).await;
}

#[tokio::test]
async fn recently_remediated_holds_the_same_workflow_only() {
    let Some(world) = world("recent").await else { return };
    world.request("first", "a", analyzing()).await;
    world.request("second", "b", analyzing()).await;
    world.execution("done", "first", &world.target("api"), completed(&in_seconds(-10))).await;
    world.refuses(&world.candidate("second"), "RecentlyRemediated: the workflow succeeded on this target at ").await;
    let mut other = world.candidate("second");
    other["spec"]["workflowRef"]["workflowId"] = json!("another");
    world.admitted(&other).await;
}

#[tokio::test]
async fn backoff_computed_from_failures_then_retries_exhausted() {
    let Some(world) = world("computed").await else { return };
    world.request("rr", "s", analyzing()).await;
    world.execution("try-1", "rr", &world.target("api"), FAILED_BEFORE(&in_seconds(-1))).await;
    world.refuses(&world.candidate("rr"), "ExponentialBackoff: 1 failure before anything ran; until ").await;
    // Older attempts let the next one through; five of them exhaust the retries.
    world.write_status("WorkflowExecution", "try-1", FAILED_BEFORE(&in_seconds(-7200))).await;
    for number in 2..=5 {
        world
            .execution(&format!("try-{number}"), "rr", &world.target("api"), FAILED_BEFORE(&in_seconds(-7200 + number)))
            .await;
    }
    world
        .refuses(&world.candidate("rr"), "ExhaustedRetries: 5 failures before anything ran, 5 exhaust the retries")
        .await;
}
