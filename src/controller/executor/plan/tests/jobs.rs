//! Jobs, on the same plan.

use super::*;

#[test]
fn a_job_goes_the_way_of_a_pipeline_run() {
    let engine = |phase: &str| {
        let execution = json!({"ref": {"name": "wfe-x"}});
        json!({"spec": {"workflowRef": {"executionEngine": "job"}},
            "status": {"phase": phase, "startTime": stamp(-90), "completionTime": null, "execution": execution}})
    };
    let name = format!("create job {}", run::name("payments/Deployment/api"));
    let going = job(&json!({"startTime": stamp(-90), "active": 1}));
    let well = job(&json!({"startTime": stamp(-90), "succeeded": 1, "conditions": over("Complete", "", -5)}));
    let failed =
        job(&json!({"startTime": stamp(-90), "failed": 1, "conditions": over("Failed", "BackoffLimitExceeded", -5)}));
    check(vec![
        (engine("Pending"), ABSENT, NOTHING, &name),
        (engine("Pending"), Run::There(&going), NOTHING, "write Running ExecutionCreated"),
        (engine("Running"), Run::There(&going), NOTHING, "write "),
        (engine("Running"), Run::There(&well), NOTHING, "write Completed WorkflowCompleted"),
        (engine("Running"), Run::There(&failed), NOTHING, "write Failed TaskFailed WorkflowFailed"),
        (engine("Completed"), Run::There(&well), NOTHING, "delete wfe-x r-1"),
    ]);
}

#[test]
fn a_job_is_one_task_and_its_pods_are_its_tries() {
    let pod = |name: &str| {
        let pod = json!({"metadata": {"namespace": "runs", "name": name}, "status": {"phase": "Failed"}});
        Arc::new(crate::api::tekton::Pod::from_json(&pod.to_string()).unwrap())
    };
    let Carrier::Job(going, _) = job(&json!({"startTime": stamp(-90), "active": 1})) else { unreachable!("a Job") };
    let run = Carrier::Job(going, vec![pod("a"), pod("b")]);
    let change = written(&execution(phase("Running")), &run).unwrap();
    assert_eq!(
        member(&change, "execution"),
        json!({"ref": {"name": "wfe-x"}, "status": "Unknown", "reason": "Running", "completedTasks": 0, "totalTasks": 1, "retryCount": 1})
    );
    let well = job(&json!({"succeeded": 1, "conditions": over("Complete", "", -5)}));
    let change = written(&execution(phase("Running")), &well).unwrap();
    let told = member(&change, "execution");
    assert_eq!((&told["status"], &told["completedTasks"], &told["totalTasks"]), (&json!("True"), &json!(1), &json!(1)));
    assert_eq!(member(&change, "completionTime"), stamp(-5));
}

#[test]
fn a_target_is_locked_for_both_engines() {
    let step = |beside: &Carrier, run: Run<'_>| {
        let beside = Some(beside);
        let (commission, verdict) = (execution(json!({})), verdict(None));
        told(&plan(&Seen { beside, ..seen(&commission, &verdict, run, &NOTHING) }, &RULES(), now()))
    };
    let job_of = |execution: &str, status: &Value| carrier(Engine::Job, execution, "u-9", status);
    let kept = json!({"conditions": over("Complete", "", -10)});
    let stale = json!({"conditions": over("Complete", "", -70)});
    assert_eq!(step(&job_of("we-9", &json!({"active": 1})), ABSENT), "write Failed Deduplicated we-9 WorkflowFailed");
    assert_eq!(step(&job_of("we-9", &kept), UNSEEN), "write Pending Held");
    assert_eq!(step(&job_of("we-9", &stale), ABSENT), "delete wfe-x r-1");
    assert_eq!(step(&job_of("", &kept), ABSENT), "write Pending Held");
    // What says that it is this execution's was made by nobody of us.
    let forged = carrier(Engine::Job, "we-1", "u-1", &kept);
    assert_eq!(step(&forged, ABSENT), format!("create {}", run::name("payments/Deployment/api")));
    let ours = run_of("we-1", "u-1", &going());
    assert_eq!(step(&job_of("we-9", &kept), Run::There(&ours)), "write Running ExecutionCreated");
}
