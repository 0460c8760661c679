//! A failure leaves with its name: what Tekton recorded of the run stands in the status that is stored.

use serde_json::{Value, json};

use super::scene::{self, COUNTED, KILLED, Tekton, WORDS, clearance, condition, failed, reason_and_flag};
use crate::stage::{World, in_seconds};
use crate::support::{ACTION, ALICE, WORKFLOW_CONTROLLER, eventually};

async fn world(prefix: &str) -> Option<(World<'static>, Tekton)> {
    let stage = scene::shared().await?;
    Some((World::new(&stage.server, prefix).await, Tekton::beside(&stage.server).await))
}

struct Row {
    reason: &'static str,
    message: &'static str,
    started: bool,
    stored: (&'static str, bool),
}

const fn row(reason: &'static str, message: &'static str, started: bool, stored: (&'static str, bool)) -> Row {
    Row { reason, message, started, stored }
}

/// The design's eight rows, fixed.
const SEED: [Row; 8] = [
    row("TaskRunFailed", "task failed with exit code 1", true, ("TaskFailed", true)),
    row("TaskRunFailed", "task failed: OOMKilled", true, ("OOMKilled", true)),
    row("PipelineRunTimeout", "PipelineRun exceeded timeout of 10 minutes", true, ("DeadlineExceeded", true)),
    row("TaskRunFailed", "task failed: pods is forbidden: User cannot create resource", true, ("Forbidden", true)),
    row("TaskRunCreationFailed", "exceeded quota: compute resources", false, ("ResourceExhausted", false)),
    row(
        "TaskRunValidationFailed",
        "invalid configuration: missing required parameter",
        false,
        ("ConfigurationError", false),
    ),
    row("TaskRunImagePullFailed", "Failed to pull image: image pull backoff", false, ("ImagePullBackOff", false)),
    row("PipelineRunFailed", "unexpected error occurred", false, ("Unknown", false)),
];

#[tokio::test]
async fn the_eight_seed_rows() {
    let Some((world, tekton)) = world("seed").await else { return };
    let we = world.we().await;
    for (number, row) in (1..).zip(&SEED) {
        for (what, sent) in [
            ("vague", failed("Unknown", false)),
            ("silent", json!({"phase": "Failed", "completionTime": in_seconds(0)})),
        ] {
            let name = format!("{what}-{number}");
            world.running(&name).await;
            let mut status = json!({"conditions": [condition("False", row.reason, row.message)]});
            if row.started {
                status["startTime"] = json!(in_seconds(-50));
            }
            tekton.run(&world, &name, status).await;
            world.known(&name, row.message).await;
            we.write(&name, &sent).await.unwrap();
            let stored = world.status(&name).await;
            assert_eq!(reason_and_flag(&stored), row.stored, "{name}: {stored}");
        }
    }
}

#[tokio::test]
async fn a_killed_step_is_named_though_upstream_saw_a_failed_task() {
    let Some((world, tekton)) = world("killed").await else { return };
    world.running("we").await;
    tekton.killed(&world, "we").await;
    let mut sent = failed("TaskFailed", true);
    sent["failureDetails"]["message"] = json!(COUNTED);
    sent["conditions"] = json!([{"type": "ExecutionComplete", "status": "False", "reason": "TaskFailed", "message": COUNTED,
                                 "lastTransitionTime": in_seconds(0)}]);
    sent["failureReason"] = json!("TaskFailed");
    let told = world.kubectl_patch(WORKFLOW_CONTROLLER, "we", &sent, &[]).await.expect_success();
    let task = world.task_of("we", "patch");
    assert_eq!(
        told.stderr,
        format!(
            "Warning: classification corrected: TaskFailed → OOMKilled (TaskRun kubernaut-workflows/{task} step apply)\n"
        )
    );

    let stored = world.status("we").await;
    assert_eq!(reason_and_flag(&stored), ("OOMKilled", true));
    let details = &stored["failureDetails"];
    for (member, value) in [
        ("failedTaskName", json!(task)),
        ("failedTaskIndex", json!(0)),
        ("failedStepName", json!("apply")),
        ("exitCode", json!(137)),
        ("message", json!(KILLED)),
    ] {
        assert_eq!(details[member], value, "{member}");
    }
    // Nothing in the status goes on saying the old thing.
    let condition = &stored["conditions"][0];
    assert_eq!((&condition["reason"], &condition["message"]), (&json!("OOMKilled"), &json!(KILLED)));
    assert_eq!(stored["failureReason"], "OOMKilled");

    // Written once more as it stands, it is left alone, and so are the writes that follow a failure.
    let same = world.kubectl_patch(WORKFLOW_CONTROLLER, "we", &stored, &[]).await.expect_success();
    assert_eq!(same.stderr, "", "{same}");
    let we = world.we().await;
    let again = we.put("we", |status| status["conditions"][0]["observedGeneration"] = json!(1)).await.unwrap();
    assert_eq!(again["failureDetails"], stored["failureDetails"]);
}

#[tokio::test]
async fn what_the_runs_record_attests_comes_back_by_itself() {
    let Some((world, tekton)) = world("attested").await else { return };
    world.running("we").await;
    tekton.killed(&world, "we").await;
    let we = world.we().await;
    we.write("we", &failed("Unknown", false)).await.unwrap();
    for bent in [
        json!({"failureDetails": null}),
        json!({"failureDetails": {"reason": "ConfigurationError"}}),
        json!({"failureDetails": {"wasExecutionFailure": false}}),
    ] {
        let stored = we.write("we", &bent).await.unwrap();
        assert_eq!(reason_and_flag(&stored), ("OOMKilled", true), "{bent}");
    }
}

#[tokio::test]
async fn what_was_recorded_outlives_the_tasks_that_showed_it() {
    let Some((world, tekton)) = world("pruned").await else { return };
    world.running("we").await;
    tekton.killed(&world, "we").await;
    let we = world.we().await;
    we.write("we", &failed("TaskFailed", true)).await.unwrap();
    let recorded = world.status("we").await["failureDetails"].clone();
    tekton.prune(&world, "we").await;
    eventually("the task is known to be gone", ACTION, || async {
        match we.try_out("we", &json!({"failureDetails": {"reason": "Unknown"}})).await {
            Err(told) if told.reason == "FailureImmutable" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let asked = json!({"blockClearance": clearance(WORDS)});
    let stored = world.writer(ALICE).await.write("we", &asked).await.unwrap();
    assert_eq!(stored["failureDetails"], recorded);
}

#[tokio::test]
async fn one_that_is_given_up_while_its_run_goes_on_says_so() {
    let Some((world, tekton)) = world("goes-on").await else { return };
    world.running("we").await;
    let run = json!({"startTime": in_seconds(-50), "conditions": [condition("Unknown", "Running", "Tasks Completed: 0, Incomplete: 1")]});
    tekton.run(&world, "we", run).await;
    world.known("we", "its run goes on").await;
    let mut sent = failed("Unknown", false);
    sent["failureDetails"]["message"] = json!("PipelineRun was deleted externally");
    let told = world.kubectl_patch(WORKFLOW_CONTROLLER, "we", &sent, &[]).await.expect_success();
    assert_eq!(told.stderr, "Warning: classification corrected: Unknown: nothing ran → ran (its run)\n");
    let stored = world.status("we").await;
    assert_eq!(reason_and_flag(&stored), ("Unknown", true));
    assert_eq!(stored["failureDetails"]["message"], "PipelineRun was deleted externally; its run goes on");

    // Whoever then says that nothing ran is not believed.
    let flipped = world.we().await.write("we", &json!({"failureDetails": {"wasExecutionFailure": false}})).await;
    assert_eq!(reason_and_flag(&flipped.unwrap()), ("Unknown", true));
}

#[tokio::test]
async fn a_refused_creation_of_the_run_is_named_too() {
    let Some((world, _)) = world("refused").await else { return };
    world.pending("we").await;
    let mut sent: Value = failed("Unknown", false);
    sent["failureDetails"]["message"] = json!(
        "Failed to create tekton execution resource: pipelineruns.tekton.dev \"wfe-1\" is forbidden: exceeded quota: runs, \
         requested: count/pipelineruns=1, used: count/pipelineruns=1, limited: count/pipelineruns=1"
    );
    let stored = world.we().await.write("we", &sent).await.unwrap();
    assert_eq!(reason_and_flag(&stored), ("ResourceExhausted", false));
}
