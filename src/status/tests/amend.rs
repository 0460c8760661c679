//! What leaves.

use super::*;

#[test]
fn the_seeds_rows_by_the_status_alone() {
    for (reason, message, started, expected, ran) in [
        ("TaskRunFailed", "task failed with exit code 1", true, "TaskFailed", true),
        ("TaskRunFailed", "task failed: OOMKilled", true, "OOMKilled", true),
        ("PipelineRunTimeout", "PipelineRun exceeded timeout of 10 minutes", true, "DeadlineExceeded", true),
        ("TaskRunFailed", "task failed: pods is forbidden: User cannot create resource", true, "Forbidden", true),
        ("TaskRunCreationFailed", "exceeded quota: compute resources", false, "ResourceExhausted", false),
        (
            "TaskRunValidationFailed",
            "invalid configuration: missing required parameter",
            false,
            "ConfigurationError",
            false,
        ),
        ("TaskRunImagePullFailed", "Failed to pull image: image pull backoff", false, "ImagePullBackOff", false),
        ("PipelineRunFailed", "unexpected error occurred", false, "Unknown", false),
    ] {
        let mut new = told_by_its_run(reason, message);
        if !started {
            new = without(new, "startTime");
        }
        let stored = write(running(), new).stored();
        assert_eq!(reason_and_flag(&stored), (expected, ran), "{message}");
        assert_eq!(stored["failureDetails"]["message"], message);
        let took = if started { "8m0s" } else { "0s" };
        assert_eq!(stored["failureDetails"]["executionTimeBeforeFailure"], took);
    }
}

#[test]
fn what_the_run_attests_replaces_what_was_sent_and_nothing_goes_on_saying_the_old_thing() {
    let conditions = json!([{"type": "Ready", "reason": "NotReady", "message": "x"},
        {"type": "ExecutionComplete", "reason": "ExecutionFailed", "message": "unexpected error occurred"}]);
    let new = with(with(failed("Unknown", false), "conditions", conditions), "failureReason", json!("Unknown"));
    let scene = write(running(), new).knowing(killed());
    assert_eq!(scene.amended().warnings, ["classification corrected: Unknown → OOMKilled (TaskRun w/t-1 step patch)"]);
    let stored = scene.stored();
    let details = &stored["failureDetails"];
    assert_eq!(reason_and_flag(&stored), ("OOMKilled", true));
    for (member, value) in [
        ("failedTaskName", json!("t-1")),
        ("failedStepName", json!("patch")),
        ("exitCode", json!(137)),
        ("failedAt", json!("2026-01-05T09:58:00Z")),
        ("executionTimeBeforeFailure", json!("7m0s")),
        ("message", json!("\"step-patch\" exited with code 137: OOMKilled")),
    ] {
        assert_eq!(details[member], value, "{member}");
    }
    let summary = details["naturalLanguageSummary"].as_str().unwrap();
    assert!(
        summary.starts_with("Workflow restart on payments/Deployment/api failed in task t-1, step patch:"),
        "{summary}"
    );
    assert_eq!(stored["conditions"][0], json!({"type": "Ready", "reason": "NotReady", "message": "x"}));
    assert_eq!(stored["conditions"][1]["reason"], "OOMKilled");
    assert_eq!(stored["conditions"][1]["message"], details["message"]);
    assert_eq!(stored["failureReason"], "OOMKilled");
}

#[test]
fn a_message_is_cut_where_the_schema_wants_it_short() {
    let message = "ä".repeat(40_000);
    let condition = json!({"type": "Succeeded", "status": "False", "reason": "CouldntGetTask", "message": message});
    let new = with(
        failed("Unknown", false),
        "conditions",
        json!([{"type": "ExecutionComplete", "reason": "ExecutionFailed", "message": "x"}]),
    );
    let stored = write(running(), new).knowing(Account::of(&run(&condition, &[]), [], false)).stored();
    assert_eq!(stored["conditions"][0]["message"].as_str().unwrap().chars().count(), 32_768);
    assert_eq!(stored["failureDetails"]["message"], message);
}

#[test]
fn the_condition_of_december_follows_too() {
    let conditions = json!([{"type": "TektonPipelineComplete", "reason": "TaskFailed", "message": "x"}]);
    let stored =
        write(running(), with(failed("TaskFailed", true), "conditions", conditions)).knowing(not_pulled()).stored();
    assert_eq!(reason_and_flag(&stored), ("ImagePullBackOff", false), "attested: nothing ran");
    assert_eq!(stored["conditions"][0]["reason"], "PipelineFailed");
    assert!(stored.get("failureReason").is_none(), "nothing is added");
}

#[test]
fn what_is_right_already_is_left_alone() {
    for (new, account) in [
        (failed("OOMKilled", true), killed()),
        (failed("OOMKilled", true), Account::Unknown),
        (failed("TaskFailed", true), Account::Unknown),
        (without(without(failed("Unknown", false), "startTime"), "executionRef"), Account::Unknown),
        (failed("Unknown", true), Account::Unknown),
        (failed("Deduplicated", false), not_pulled()),
        (failed("Deduplicated", false), Account::Unknown),
        (failed("UnsupportedEngine", false), Account::Unknown),
        (failed("Unknown", true), Account::Gone { ran: true }),
        (failed("TaskFailed", false), Account::Gone { ran: false }),
        (json!({"phase": "Failed"}), Account::Unknown),
        (json!({"phase": "Completed"}), killed()),
        (running(), killed()),
    ] {
        let amendment = write(json!({"phase": "Pending"}), new.clone()).knowing(account).amended();
        assert_eq!(amendment, Amendment::default(), "{new}");
    }
}

#[test]
fn of_a_run_that_nobody_knows_it_cannot_be_excluded_that_it_ran() {
    let external = || {
        with(
            failed("Unknown", false),
            "failureDetails",
            with(details("Unknown", false), "message", json!("PipelineRun was deleted externally")),
        )
    };
    let stored = write(running(), external()).stored();
    assert_eq!(reason_and_flag(&stored), ("Unknown", true));
    assert_eq!(stored["failureDetails"]["message"], "PipelineRun was deleted externally");
    // Who fails it does not take the signs of a run away first.
    let bare = json!({"phase": "Failed"});
    for old in
        [running(), without(running(), "startTime"), without(running(), "executionRef"), json!({"phase": "Running"})]
    {
        assert_eq!(reason_and_flag(&write(old, bare.clone()).stored()), ("Unknown", true));
    }
    // It was followed from its beginning to its end, and never began.
    for new in [external(), bare] {
        assert!(!reason_and_flag(&write(running(), new).knowing(Account::Gone { ran: false }).stored()).1);
    }
    // There never was one.
    assert_eq!(write(json!({"phase": "Pending"}), json!({"phase": "Failed"})).amended(), Amendment::default());
}

#[test]
fn a_status_that_tells_of_a_start_raises_the_flag_and_touches_no_reason() {
    let told = |reason: &str, message: &str, sent: &str| {
        let run = json!({"status": "False", "reason": reason, "message": message});
        write(running(), with(failed(sent, false), "executionStatus", run))
    };
    let step = "TaskRun r-t has failed (\"step-a\" exited with code 1)";
    let scene = told("Failed", step, "ConfigurationError");
    assert_eq!(scene.amended().classified.unwrap().source, Source::Status);
    let stored = scene.stored();
    assert_eq!(reason_and_flag(&stored), ("ConfigurationError", true));
    assert_eq!(stored["failureDetails"]["message"], "m");
    let fills = told("Failed", step, "ConfigurationError").classification(Mode::Fill);
    assert_eq!(fills.amended(), Amendment::default());
    // A count is a doubt, and its writer may have seen the tasks.
    let counted = told("Failed", "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0", "ImagePullBackOff");
    assert_eq!(counted.amended(), Amendment::default());
}

#[test]
fn nobody_is_a_duplicate_whose_own_run_did_something() {
    for reason in ["Deduplicated", "UnsupportedEngine"] {
        for ran in [false, true] {
            let said = |account, mode| {
                let scene = write(running(), failed(reason, ran)).knowing(account).classification(mode);
                let stored = scene.stored();
                let (reason, ran) = reason_and_flag(&stored);
                (reason.to_owned(), ran)
            };
            assert_eq!(said(killed(), Mode::Correct), ("OOMKilled".to_owned(), true));
            assert_eq!(said(Account::GoesOn { ran: None }, Mode::Correct), ("Unknown".to_owned(), true));
            assert_eq!(said(Account::Gone { ran: true }, Mode::Correct), ("Unknown".to_owned(), true));
            assert_eq!(said(killed(), Mode::Fill), (reason.to_owned(), ran));
            assert_eq!(said(not_pulled(), Mode::Correct), (reason.to_owned(), ran));
            // Once it has ended so, it is too late.
            let scene = write(failed(reason, ran), failed(reason, ran)).knowing(killed());
            assert_eq!(scene.amended(), Amendment::default());
        }
    }
}

#[test]
fn the_place_of_another_failure_does_not_stay() {
    let sent = || {
        let at = with(with(details("TaskFailed", true), "failedStepName", json!("patch")), "exitCode", json!(7));
        with(
            failed("TaskFailed", true),
            "failureDetails",
            with(with(at, "failedTaskName", json!("t-9")), "failedTaskIndex", json!(4)),
        )
    };
    // No step failed where the Pod waited for an image.
    let stored = write(running(), sent()).knowing(not_pulled()).stored();
    let details = &stored["failureDetails"];
    assert_eq!((&details["reason"], &details["failedTaskName"]), (&json!("ImagePullBackOff"), &json!("t-1")));
    assert_eq!((details.get("failedStepName"), details.get("exitCode")), (None, None));
    // Of a run that never had a task there is none.
    let condition = json!({"type": "Succeeded", "status": "False", "reason": "CouldntGetTask", "message": "m"});
    let stored = write(running(), sent()).knowing(Account::of(&run(&condition, &[]), [], false)).stored();
    let details = &stored["failureDetails"];
    assert_eq!(
        (&details["reason"], &details["failedTaskName"], &details["failedTaskIndex"]),
        (&json!("ConfigurationError"), &json!(""), &json!(0))
    );
    assert_eq!((details.get("failedStepName"), details.get("exitCode")), (None, None));
    // What its writer saw of the same failure stays.
    let stored = write(running(), sent()).knowing(pruned()).stored();
    assert_eq!(stored["failureDetails"]["exitCode"], 7);
}

#[test]
fn modes_fill_correct_off() {
    let by = |mode, new: Value| {
        let stored = write(running(), new).knowing(killed()).classification(mode).stored();
        let (reason, ran) = reason_and_flag(&stored);
        (reason.to_owned(), ran)
    };
    let said = |reason: &str, ran| (reason.to_owned(), ran);
    let missing = || without(failed("Unknown", false), "failureDetails");
    assert_eq!(by(Mode::Fill, missing()), said("OOMKilled", true));
    assert_eq!(by(Mode::Fill, failed("Unknown", false)), said("OOMKilled", true));
    assert_eq!(by(Mode::Fill, failed("TaskFailed", false)), said("TaskFailed", false));
    assert_eq!(by(Mode::Correct, failed("TaskFailed", false)), said("OOMKilled", true));
    assert_eq!(by(Mode::Off, failed("Unknown", false)), said("Unknown", false));
    assert_eq!(by(Mode::Off, missing()), said("none", false));
}

#[test]
fn only_the_runs_own_record_takes_a_ran_back() {
    let lowered = |account, mode| {
        let scene = write(running(), failed("Unknown", true)).knowing(account).classification(mode);
        reason_and_flag(&scene.stored()).1
    };
    assert!(!lowered(not_pulled(), Mode::Correct));
    assert!(lowered(not_pulled(), Mode::Fill), "to fill is not to contradict");
    assert!(lowered(Account::Gone { ran: false }, Mode::Correct));
    let run = json!({"status": "False", "reason": "CouldntGetTask", "message": "not found"});
    let told = with(failed("Unknown", true), "executionStatus", run);
    assert_eq!(reason_and_flag(&write(running(), told).stored()), ("ConfigurationError", true));
}

#[test]
fn a_run_that_goes_on_ran() {
    let external = json!({"reason": "Unknown", "message": "PipelineRun was deleted externally", "failedTaskIndex": 0,
        "failedTaskName": "", "failedAt": NOW, "naturalLanguageSummary": "s"});
    let new = with(failed("Unknown", false), "failureDetails", external);
    let stored = write(running(), new).knowing(Account::GoesOn { ran: None }).stored();
    assert_eq!(reason_and_flag(&stored), ("Unknown", true));
    assert_eq!(stored["failureDetails"]["message"], "PipelineRun was deleted externally; its run goes on");
    // RO ends an execution without a word.
    let cascade = without(failed("Unknown", false), "failureDetails");
    let stored = write(running(), cascade.clone()).knowing(Account::GoesOn { ran: None }).stored();
    assert_eq!(stored["failureDetails"]["message"], "its run goes on");
    assert_eq!(
        reason_and_flag(&write(running(), cascade.clone()).knowing(Account::GoesOn { ran: None }).stored()),
        ("Unknown", true)
    );
    assert_eq!(
        reason_and_flag(&write(running(), cascade).stored()),
        ("Unknown", true),
        "there was a run: in doubt it ran"
    );
}

#[test]
fn a_refused_creation_is_classified() {
    let refused = json!({"reason": "Unknown", "failedTaskIndex": 0, "failedTaskName": "", "failedAt": NOW, "naturalLanguageSummary": "s",
        "message": "Failed to create tekton execution resource: pipelineruns.tekton.dev \"wfe-1\" is forbidden: exceeded quota: runs, requested: count/pipelineruns=1"});
    let stored =
        write(json!({"phase": "Pending"}), json!({"phase": "Failed", "failureDetails": refused.clone()})).stored();
    assert_eq!(reason_and_flag(&stored), ("ResourceExhausted", false));
    // Where there is a run its creation was not refused.
    let stored = write(running(), with(failed("Unknown", false), "failureDetails", refused)).stored();
    assert_eq!(reason_and_flag(&stored), ("Unknown", true));
}

#[test]
fn what_a_status_attests_is_no_doubt_of_a_run_that_is_gone() {
    let told = told_by_its_run("Failed", "TaskRun r-t has failed (\"step-a\" exited with code 1)");
    let stored = write(running(), told).knowing(Account::Gone { ran: false }).stored();
    assert!(reason_and_flag(&stored).1);
}

#[test]
fn once_terminal_a_status_is_no_evidence_about_itself() {
    let told = with(
        failed("Unknown", false),
        "executionStatus",
        json!({"status": "False", "reason": "TaskRunFailed", "message": "task failed: OOMKilled"}),
    );
    assert_eq!(write(failed("Unknown", false), told.clone()).amended(), Amendment::default());
    let stored = write(failed("Unknown", false), told).knowing(killed()).stored();
    assert_eq!(reason_and_flag(&stored), ("OOMKilled", true), "the run's own record is");
}

#[test]
fn a_run_that_lost_its_tasks_contradicts_nothing_that_was_recorded() {
    let recorded = || failed("OOMKilled", true);
    let cleared = with(recorded(), "blockClearance", signed());
    assert_eq!(write(recorded(), cleared).knowing(pruned()).amended(), Amendment::default());
    let immutable = Some((Reason::FailureImmutable, "status.failureDetails.reason".to_owned()));
    assert_eq!(write(recorded(), failed("TaskFailed", true)).knowing(pruned()).refused(), immutable);
    // In the write that turns Failed, and where nothing was recorded, its words are better than none.
    let stored = write(running(), failed("ConfigurationError", false)).knowing(pruned()).stored();
    assert_eq!(reason_and_flag(&stored), ("TaskFailed", true));
    let stored = write(failed("Unknown", false), failed("Unknown", false)).knowing(pruned()).stored();
    assert_eq!(reason_and_flag(&stored), ("TaskFailed", true));
    let stored = write(failed("Forbidden", false), failed("Forbidden", false)).knowing(pruned()).stored();
    assert_eq!(reason_and_flag(&stored), ("Forbidden", true), "that something ran is no matter of the reason");
}

#[test]
fn what_is_classified_is_counted() {
    let classified = write(running(), failed("TaskFailed", true)).knowing(killed()).amended().classified.unwrap();
    let expected = Classified { from: Some(Why::TaskFailed), to: Why::OomKilled, ran: true, source: Source::Run };
    assert_eq!(classified, expected);
}
