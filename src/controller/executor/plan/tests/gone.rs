//! Runs that went, and runs of which no change is heard.

use super::*;

/// The flag of what a row says, where it says that it failed.
fn ran(row: Row<'_>) -> bool {
    let Step::Write(change) = row.step() else { unreachable!("a write") };
    let failure = member(&change, "failure");
    assert_eq!((&failure["reason"], member(&change, "phase")), (&json!("Unknown"), json!("Failed")), "{failure}");
    failure["wasExecutionFailure"].as_bool().unwrap_or(false)
}

#[test]
fn a_run_that_went_is_judged_by_what_was_seen_of_it() {
    for (memory, expected) in [(gone(false), false), (gone(true), true), (NOTHING, true)] {
        assert_eq!(ran(Row { execution: phase("Running"), hold: None, run: ABSENT, memory }), expected);
    }
    // It had ended, and its record is known.
    let last = |status: &str| Memory { last: Some(run_of("we-1", "u-1", &ended(status, -5))), ..gone(true) };
    for status in [phase("Running"), json!({})] {
        let row = Row { execution: status, hold: None, run: ABSENT, memory: last("True") };
        let Step::Write(change) = row.step() else { unreachable!("a write") };
        assert_eq!((member(&change, "phase"), member(&change, "completionTime")), (json!("Completed"), stamp(-5)));
    }
    let row = Row { execution: phase("Running"), hold: None, run: ABSENT, memory: last("False") };
    let Step::Write(change) = row.step() else { unreachable!("a write") };
    assert_eq!((&member(&change, "failure")["message"], member(&change, "completionTime")), (&json!("m"), stamp(-5)));
}

#[test]
fn how_it_went_comes_with_the_stream() {
    let (ours, theirs) = (run_of("we-1", "u-1", &going()), run_of("we-9", "u-9", &going()));
    let step = |status, run| told(&Row { execution: status, hold: None, run: Run::Went(run), memory: NOTHING }.step());
    assert_eq!(step(phase("Running"), &ours), "rest until 1");
    assert_eq!(step(json!({}), &ours), "rest until 1", "it was begun, and is not begun again");
    assert_eq!(step(phase("Running"), &theirs), "write Failed Unknown WorkflowFailed");
    assert_eq!(step(json!({"metadata": {"deletionTimestamp": stamp(-1)}}), &ours), "release");
    assert_eq!(step(json!({}), &theirs), format!("create {}", run::name("payments/Deployment/api")));
}

/// Whatever speaks for it now: it was begun, and nobody knows how far it came.
#[test]
fn what_was_begun_and_went_is_not_begun_again() {
    let late = json!({"spec": {"deadline": stamp(-1)}});
    let unclaimed = json!({"metadata": {"finalizers": []}});
    let theirs = run_of("we-9", "u-9", &going());
    for execution in [json!({}), json!({"status": {"phase": "Pending"}}), late, unclaimed] {
        for run in [ABSENT, Run::There(&theirs)] {
            for expected in [true, false] {
                let row = Row { execution: execution.clone(), hold: None, run, memory: gone(expected) };
                assert_eq!(ran(row), expected, "{execution} {run:?}");
            }
        }
        let row = Row { execution, hold: None, run: UNSEEN, memory: gone(true) };
        assert_eq!(told(&row.step()), "look");
    }
    // It is there again, or was never gone.
    let ours = run_of("we-1", "u-1", &going());
    check(vec![(json!({}), Run::There(&ours), gone(true), "write Running ExecutionCreated")]);
}

/// Another setting came, and its kinds are followed in the new place.
#[test]
fn what_was_begun_elsewhere_is_asked_for_until_it_ended() {
    let (ours, over) = (run_of("we-1", "u-1", &going()), run_of("we-1", "u-1", &ended("True", -1)));
    let mut begun = phase("Running");
    let first = written(&execution(begun.clone()), &ours).unwrap();
    let told = (member(&first, "execution"), member(&first, "conditions"));
    merge(&mut begun, json!({"status": {"execution": told.0, "conditions": told.1}}));
    let in_ = |namespace: &str| {
        let mut begun = begun.clone();
        merge(&mut begun, json!({"metadata": {"annotations": {"lockkeeper.kubernaut.ai/run-namespace": namespace}}}));
        begun
    };
    check(vec![
        (in_("runs"), Run::There(&ours), NOTHING, "rest"),
        (in_("before"), UNSEEN, NOTHING, "look"),
        (in_("before"), Run::There(&ours), NOTHING, "rest until 10"),
        (in_("before"), Run::There(&over), NOTHING, "write Completed WorkflowCompleted"),
    ]);
    // What waits was not begun, and begins where runs are followed now; there may be a run of it nevertheless.
    let waits = |phase: &str| json!({"metadata": {"annotations": {"lockkeeper.kubernaut.ai/run-namespace": "before"}}, "status": {"phase": phase}});
    let theirs = run_of("we-9", "u-9", &going());
    check(vec![
        (waits("Pending"), UNSEEN, NOTHING, "look"),
        (waits(""), ABSENT, NOTHING, "claim"),
        (waits("Pending"), Run::There(&theirs), NOTHING, "claim"),
        (waits("Pending"), Run::There(&ours), NOTHING, "write Running ExecutionCreated"),
        (waits("Pending"), ABSENT, gone(true), "write Failed Unknown WorkflowFailed"),
    ]);
    // Of its tasks nothing will be told.
    let mut failed = ended("False", -1);
    failed["childReferences"] = json!([{"kind": "TaskRun", "name": "wfe-x-a", "pipelineTaskName": "a"}]);
    let failed = run_of("we-1", "u-1", &failed);
    for (namespace, expected) in [("before", "write Failed Unknown WorkflowFailed"), ("runs", "rest until 1")] {
        let step = knowing(in_(namespace), Run::There(&failed), |seen| Seen { ended_for: None, ..seen });
        assert_eq!(step, expected, "{namespace}");
    }
}

#[test]
fn what_may_not_be_read_is_not_begun_and_is_asked_for_where_it_was() {
    let blind = |status, run| knowing(status, run, |seen| Seen { unreadable: Some(Input::TaskRuns), ..seen });
    let mut running = phase("Running");
    let (ours, over) = (run_of("we-1", "u-1", &going()), run_of("we-1", "u-1", &ended("False", 0)));
    assert_eq!(blind(json!({}), ABSENT), "write Pending Held");
    let message = "its run could not be followed, since taskruns in namespace runs may not be read: grant lockkeeper list and watch on them";
    assert_eq!(blind(json!({"status": said("RunsUnreadable", message)}), ABSENT), "rest until 10");
    let first = written(&execution(running.clone()), &ours).unwrap();
    let told = (member(&first, "execution"), member(&first, "conditions"));
    merge(&mut running, json!({"status": {"execution": told.0, "conditions": told.1}}));
    assert_eq!(blind(running.clone(), Run::There(&ours)), "rest until 10");
    let over =
        knowing(running, Run::There(&over), |seen| Seen { unreadable: Some(Input::TaskRuns), ended_for: None, ..seen });
    assert_eq!(over, "write Failed Unknown WorkflowFailed", "its tasks will not be told");
}

/// Its record may not show that any more.
#[test]
fn what_was_seen_at_work_counts_when_it_fails() {
    let failed = run_of(
        "we-1",
        "u-1",
        &json!({"conditions": [{"type": "Succeeded", "status": "False", "reason": "CouldntGetTask", "message": "m",
        "lastTransitionTime": stamp(-5)}]}),
    );
    for seen_at_work in [true, false] {
        let memory = Memory { ran: seen_at_work, ..NOTHING };
        let row = Row { execution: phase("Running"), hold: None, run: Run::There(&failed), memory };
        let Step::Write(change) = row.step() else { unreachable!("a write") };
        let ran = member(&change, "failure")["wasExecutionFailure"].as_bool().unwrap_or(false);
        assert_eq!(ran, seen_at_work);
    }
}

/// Labels and annotations are everybody's to take away.
#[test]
fn a_run_that_no_longer_says_whose_it_is_is_known_by_the_status_that_names_it() {
    let stripped = |created: i64, status: &Value| created_at(Engine::Tekton, "", "", Some(created), status);
    let well = ended("True", -5);
    check(vec![
        (phase("Running"), Run::There(&stripped(-95, &well)), NOTHING, "write Completed WorkflowCompleted"),
        (phase("Running"), Run::There(&stripped(-95, &going())), NOTHING, "write "),
        (phase("Running"), Run::There(&stripped(-95, &well)), gone(true), "write Failed Unknown WorkflowFailed"),
        // It stood there before.
        (phase("Running"), Run::There(&stripped(-500, &going())), NOTHING, "write Failed Unknown WorkflowFailed"),
        (json!({}), Run::There(&stripped(-95, &going())), NOTHING, "write Pending Held"),
    ]);
}
