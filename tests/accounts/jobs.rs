//! Jobs and their Pods, alone and beside PipelineRuns.

use super::*;

/// The Job `wfe-1` of `payments/we`, created at ten.
fn job(status: &Value) -> Value {
    let mut job = run(status);
    job["metadata"]["annotations"] = json!({"kubernaut.ai/target-resource": "Node/w"});
    job
}

fn job_failed(counts: &Value) -> Value {
    let mut status = counts.clone();
    let condition = json!({"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "m", "lastTransitionTime": at(60).to_string()});
    status["conditions"] = json!([condition]);
    status
}

fn pod(name: &str, status: &Value) -> Value {
    json!({"metadata": {"namespace": RUNS, "name": name, "creationTimestamp": at(2).to_string(), "labels": {"job-name": "wfe-1"}}, "status": status})
}

fn unplaced() -> Value {
    let message = "0/3 nodes are available: 3 Insufficient cpu.";
    json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]})
}

fn container(state: &Value) -> Value {
    json!({"phase": "Running", "containerStatuses": [{"name": "workflow", "imageID": "i", "state": state}]})
}

#[test]
fn a_job_is_told_by_its_own_record_and_that_of_its_pods() {
    let index = index();
    put::<Job>(&index, &job(&json!({"active": 1})));
    let Account::GoesOn { ran: Some(doubt) } = account(&index) else { panic!() };
    assert_eq!(doubt.weight, Weight::Doubt, "a Pod that is counted and not known");
    put::<Pod>(&index, &pod("p", &unplaced()));
    assert_eq!(account(&index), Account::GoesOn { ran: None });
    put::<Pod>(&index, &pod("p", &container(&json!({"running": {"startedAt": at(5).to_string()}}))));
    assert_eq!(ran(&account(&index)), Some(true));
    let ended = json!({"terminated": {"exitCode": 3, "reason": "Error", "startedAt": at(5).to_string()}});
    put::<Pod>(&index, &pod("p", &container(&ended)));
    let failing = json!({"failed": 1, "conditions": [{"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded"}]});
    put::<Job>(&index, &job(&failing));
    assert!(matches!(account(&index), Account::GoesOn { ran: Some(_) }), "Pods of it may still be at work");
    put::<Job>(&index, &job(&job_failed(&json!({"failed": 1}))));
    let Account::Failed(failed) = account(&index) else { panic!() };
    assert_eq!(
        (failed.reason, failed.ran, failed.step.as_deref(), failed.exit_code),
        (Reason::DeadlineExceeded, true, Some("workflow"), Some(3))
    );
    put::<Job>(&index, &job(&json!({"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]})));
    assert_eq!(account(&index), Account::Succeeded);
}

/// Its controller deletes the Pods of a Job that is late, and says then that it failed.
#[test]
fn what_the_pods_of_a_job_said_last_counts_as_long_as_it_is_there() {
    let late = || job(&job_failed(&json!({"failed": 1})));
    let index = index();
    put::<Job>(&index, &job(&json!({"active": 1})));
    index.removed::<Pod>(seen(&pod("p", &unplaced())));
    put::<Job>(&index, &late());
    let Account::Failed(failed) = account(&index) else { panic!() };
    assert_eq!((failed.reason, failed.ran), (Reason::ResourceExhausted, false), "it never was on a node");
    let known = index.run(Engine::Job, &key(RUNS, "wfe-1")).unwrap();
    assert!(!known.has_open_parts() && !known.has_unknown_parts(), "nothing more will be told of it");
    // One that vanished between two lists may have been.
    put::<Pod>(&index, &pod("q", &unplaced()));
    put::<Job>(&index, &job(&job_failed(&json!({"failed": 2}))));
    assert_eq!(ran(&account(&index)), Some(false));
    index.listed::<Pod>(&HashSet::new());
    assert_eq!(ran(&account(&index)), Some(true));
    // Another Job of this name has nothing of it.
    let mut again = late();
    again["metadata"]["uid"] = json!("r2");
    put::<Job>(&index, &again);
    let Account::Failed(failed) = account(&index) else { panic!() };
    assert_eq!((failed.reason, failed.ran), (Reason::DeadlineExceeded, true));
}

#[test]
fn a_job_that_went_ran_unless_it_provably_never_started() {
    for (what, told, status, expected) in [
        ("no Pod was made", None, json!({"startTime": at(1).to_string()}), false),
        ("a Pod was made, and nothing is known of it", None, json!({"active": 1}), true),
        ("its Pod was at work", Some(container(&json!({"running": {}}))), json!({"active": 1}), true),
    ] {
        let index = index();
        if let Some(told) = told {
            put::<Pod>(&index, &pod("p", &told));
        }
        index.removed::<Job>(seen(&job(&status)));
        assert_eq!(account(&index), Account::Gone { ran: expected }, "{what}");
    }
}

/// Both have the name that the target gives them.
#[test]
fn a_job_and_a_pipeline_run_of_one_name_are_two() {
    let index = index();
    put::<Job>(&index, &job(&json!({"active": 1})));
    let mut other = run(&failed());
    other["metadata"]["labels"]["kubernaut.ai/workflow-execution"] = json!("other");
    other["metadata"]["annotations"] = json!({"kubernaut.ai/target-resource": "Node/w"});
    put::<PipelineRun>(&index, &other);
    assert_eq!(holder(&index, "Node/w", None).as_deref(), Some("payments/we"));
    remove::<PipelineRun>(&index, key(RUNS, "wfe-1"));
    assert_eq!(holder(&index, "Node/w", None).as_deref(), Some("payments/we"), "the Job goes on");
    assert!(matches!(account(&index), Account::GoesOn { .. }));
    // Somebody made both for one execution: what either did counts.
    put::<Pod>(&index, &pod("p", &container(&json!({"running": {}}))));
    put::<PipelineRun>(&index, &run(&failed()));
    put::<TaskRun>(&index, &never_pulled());
    assert!(matches!(account(&index), Account::GoesOn { .. }), "what goes on is told");
    remove::<Job>(&index, key(RUNS, "wfe-1"));
    assert_eq!(ran(&account(&index)), Some(true));
    assert_eq!(holder(&index, "Node/w", None), None);
}

/// A Job has the name of its target, and its Pods may outlive it for a while.
#[test]
fn a_pod_of_the_job_before_says_nothing_of_this_one() {
    let index = index();
    put::<Job>(&index, &job(&json!({"active": 1})));
    let of = |name: &str, uid: &str, status: &Value| {
        let mut pod = pod(name, status);
        pod["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] = json!(uid);
        pod
    };
    put::<Pod>(&index, &of("before", "r0", &container(&json!({"terminated": {"exitCode": 0, "reason": "Completed"}}))));
    let Account::GoesOn { ran: Some(doubt) } = account(&index) else { panic!() };
    assert_eq!(doubt.weight, Weight::Doubt, "its own Pod is not known");
    put::<Pod>(&index, &of("own", "r1", &unplaced()));
    assert_eq!(account(&index), Account::GoesOn { ran: None });
    put::<Pod>(&index, &of("own", "r1", &container(&json!({"running": {}}))));
    assert_eq!(ran(&account(&index)), Some(true));
}

#[test]
fn what_a_run_left_behind_is_in_the_way_as_long_as_it_is_there() {
    let (index, place) = (index(), key(RUNS, "wfe-1"));
    let left_beside = |standing: &[&str]| {
        [Engine::Tekton, Engine::Job].map(|engine| index.has_leftovers(engine, &place, standing)).into()
    };
    let left = || -> (bool, bool) { left_beside(&["r1"]) };
    put::<TaskRun>(&index, &at_work());
    assert_eq!(left(), (false, false), "it does not say which run it is of");
    let of_before = |mut task: Value| {
        task["metadata"]["labels"]["tekton.dev/pipelineRunUID"] = json!("r0");
        task
    };
    put::<TaskRun>(&index, &of_before(at_work()));
    assert_eq!(left(), (true, true));
    put::<PipelineRun>(&index, &run(&going_on()));
    assert_eq!(left(), (true, true), "of the one before");
    put::<TaskRun>(&index, &of_before(never_pulled()));
    assert_eq!(left(), (true, false), "it is at work no longer, and Tekton would take it");
    remove::<TaskRun>(&index, key(RUNS, "wfe-1-a"));
    assert_eq!(left(), (false, false));
    let mut old = pod("p", &container(&json!({"running": {}})));
    old["metadata"]["labels"]["controller-uid"] = json!("r0");
    put::<Pod>(&index, &old);
    assert_eq!(left(), (true, true));
    old["status"]["phase"] = json!("Failed");
    put::<Pod>(&index, &old);
    assert_eq!(left(), (false, false), "it is at work no longer");
    // What is of the run that is there is none; once the API server said that it went, it is, whatever the streams have told.
    let mut own = never_pulled();
    own["metadata"]["labels"]["tekton.dev/pipelineRunUID"] = json!("r1");
    put::<TaskRun>(&index, &own);
    assert_eq!((left(), left_beside(&[])), ((false, false), (true, false)));
}

#[test]
fn that_nothing_of_a_job_ran_stays_known_when_its_pods_go_first() {
    let over = || job(&job_failed(&json!({"failed": 1})));
    let (index, place) = (index(), key(RUNS, "wfe-1"));
    put::<Pod>(&index, &pod("p", &unplaced()));
    put::<Job>(&index, &over());
    index.listed::<Pod>(&HashSet::new());
    // Told again, as each bookmark that was missed does.
    put::<Job>(&index, &over());
    remove::<Job>(&index, place);
    assert_eq!(account(&index), Account::Gone { ran: false });
}

#[test]
fn a_job_that_was_suspended_may_have_had_pods_that_none_of_its_counts_tells_of() {
    let index = index();
    let suspended = |status: &str| json!({"type": "Suspended", "status": status});
    put::<Job>(&index, &job(&json!({"conditions": [suspended("True")]})));
    let Account::GoesOn { ran: Some(doubt) } = account(&index) else { panic!() };
    assert_eq!(doubt.weight, Weight::Doubt);
    let mut late = job_failed(&json!({}));
    late["conditions"].as_array_mut().unwrap().push(suspended("False"));
    put::<Job>(&index, &job(&late));
    assert_eq!(ran(&account(&index)), Some(true));
    index.removed::<Job>(seen(&job(&json!({"conditions": [suspended("True")]}))));
    assert_eq!(account(&index), Account::Gone { ran: true });
}

/// A Pod that is made again and again.
#[test]
fn of_the_pods_that_went_the_latest_tell() {
    let index = index();
    put::<Job>(&index, &job(&json!({"active": 1})));
    for number in 0..20 {
        index.removed::<Pod>(seen(&pod(&format!("p{number}"), &unplaced())));
    }
    assert_eq!(index.run(Engine::Job, &key(RUNS, "wfe-1")).unwrap().retries(), Some(7), "eight are kept");
}

#[test]
fn a_job_is_on_the_target_of_its_execution_also_where_that_comes_later() {
    let index = index();
    put::<Job>(&index, &job(&json!({"active": 1})));
    assert_eq!(holder(&index, "Node/w", None).as_deref(), Some("payments/we"));
    let execution = json!({"metadata": {"namespace": "payments", "name": "we"}, "spec": {"targetResource": "Node/other"}, "status": {"phase": "Failed"}});
    put::<WorkflowExecution>(&index, &execution);
    assert_eq!(
        (holder(&index, "Node/w", None), holder(&index, "Node/other", None).as_deref()),
        (None, Some("payments/we"))
    );
}

#[test]
fn what_is_remembered_of_a_job_ends_with_its_execution_or_with_the_right_to_see_it() {
    let execution = json!({"metadata": {"namespace": "payments", "name": "we"}, "spec": {"targetResource": "Node/w"}});
    let index = index();
    let works = || {
        put::<Job>(&index, &job(&json!({"active": 1})));
        put::<Pod>(&index, &pod("p", &container(&json!({"running": {}}))));
    };
    put::<WorkflowExecution>(&index, &execution);
    works();
    remove::<Job>(&index, key(RUNS, "wfe-1"));
    assert_eq!(account(&index), Account::Gone { ran: true });
    remove::<WorkflowExecution>(&index, key("payments", "we"));
    assert_eq!(account(&index), Account::Unknown);
    // Of executions that were never seen nothing is kept, of one that is there all is.
    works();
    index.denied::<Job>();
    assert_eq!(account(&index), Account::Unknown);
    put::<WorkflowExecution>(&index, &execution);
    works();
    index.denied::<Job>();
    assert_eq!(account(&index), Account::Gone { ran: true });
}
