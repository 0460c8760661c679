//! A run and its parts are told one by one, and Tekton ends a run that is out of time, or cancelled, before its tasks.

use super::*;
use crate::api::tekton::{PipelineRun, Pod, TaskRun};

/// A run that ended so many seconds from now, with these children.
fn run(status: &str, reason: &str, seconds: i64, children: &[&str]) -> Arc<PipelineRun> {
    let mut record = ended(status, seconds);
    record["conditions"][0]["reason"] = json!(reason);
    let child = |name: &&str| json!({"kind": "TaskRun", "name": format!("wfe-x-{name}"), "pipelineTaskName": name});
    record["childReferences"] = children.iter().map(child).collect();
    let Carrier::Pipeline(run, _) = run_of("we-1", "u-1", &record) else { unreachable!("a PipelineRun") };
    run
}

fn task(name: &str, status: &str, reason: &str) -> Arc<TaskRun> {
    let condition = json!({"type": "Succeeded", "status": status, "reason": reason, "message": "m"});
    let task = json!({
        "metadata": {"namespace": "runs", "name": format!("wfe-x-{name}"), "labels": {"tekton.dev/pipelineRun": "wfe-x"}},
        "status": {"conditions": [condition]},
    });
    Arc::new(TaskRun::from_json(&task.to_string()).unwrap())
}

fn step(run: &Carrier) -> String {
    let account = match run {
        Carrier::Pipeline(run, tasks) => Account::of(run, tasks.iter().map(AsRef::as_ref), false),
        Carrier::Job(job, pods) => Account::of_job(job, pods.iter().map(AsRef::as_ref), false),
    };
    told(&Row { execution: phase("Running"), hold: None, run: Some(Ok(run)), account }.step())
}

#[test]
fn tasks_are_waited_for_once_their_run_ended_but_not_for_long() {
    let timeout = |seconds| run("False", "PipelineRunTimeout", seconds, &["a"]);
    let well = |seconds| run("True", "Succeeded", seconds, &["a"]);
    let [goes_on, cancelled, done] = [("Unknown", "Pending"), ("False", "TaskRunCancelled"), ("True", "Succeeded")]
        .map(|(status, reason)| task("a", status, reason));
    let late = "write Failed DeadlineExceeded WorkflowFailed";
    let completed = "write Completed WorkflowCompleted";
    for (run, tasks, expected) in [
        (timeout(-1), vec![&goes_on], "rest until 4"),
        // Referred to, and not heard of yet.
        (timeout(-1), vec![], "rest until 4"),
        (timeout(-1), vec![&cancelled], late),
        (timeout(-5), vec![&goes_on], late),
        (timeout(-5), vec![], late),
        // By a clock that is far ahead of ours nobody waits.
        (timeout(60), vec![&goes_on], late),
        (well(-1), vec![&goes_on], "rest until 4"),
        (well(-1), vec![&done], completed),
        (well(-5), vec![&goes_on], completed),
        // Nothing that it could say changes that it went well.
        (well(-1), vec![], completed),
    ] {
        let run = Carrier::Pipeline(run, tasks.into_iter().cloned().collect());
        assert_eq!(step(&run), expected, "{run:?}");
    }
    // It does not say when it ended.
    let mut silent = timeout(-1);
    Arc::make_mut(&mut silent).completed = None;
    assert_eq!(step(&Carrier::Pipeline(silent, vec![goes_on.clone()])), late);
}

#[test]
fn of_all_tasks_that_are_still_to_come_are_some() {
    let pipeline = json!({"tasks": [{"name": "a"}, {"name": "b"}], "finally": [{"name": "c"}]});
    let child = |name: &str, task: &str| json!({"kind": "TaskRun", "name": name, "pipelineTaskName": task});
    for (pipeline, children, expected) in [
        (json!(null), vec![], 0),
        (pipeline.clone(), vec![], 3),
        (pipeline.clone(), vec![child("wfe-x-a", "a")], 3),
        // A task of a matrix is many.
        (pipeline.clone(), vec![child("wfe-x-a-0", "a"), child("wfe-x-a-1", "a")], 4),
        (pipeline, ["a", "b", "c"].map(|name| child(name, name)).to_vec(), 3),
        (json!(null), vec![child("wfe-x-a", "a")], 1),
    ] {
        let mut record = going();
        (record["pipelineSpec"], record["childReferences"]) = (pipeline, json!(children));
        let run = run_of("we-1", "u-1", &record);
        let change = written(&execution(phase("Running")), &run, &Account::GoesOn { ran: None }).unwrap();
        assert_eq!(member(&change, "execution")["totalTasks"], expected, "{record}");
    }
}

/// Why it failed may come a moment after that it did.
#[test]
fn pods_are_waited_for_once_their_job_failed_but_not_for_long() {
    let of = |kind: &str, counts: &str, seconds: i64, phases: &[&str]| {
        let mut status = json!({"startTime": stamp(-90), "conditions": over(kind, "BackoffLimitExceeded", seconds)});
        status[counts] = json!(1);
        let Carrier::Job(job, _) = job(&status) else { unreachable!("a Job") };
        let pod = |phase: &&str| {
            let pod = json!({"metadata": {"namespace": "runs", "name": "p"}, "status": {"phase": phase}});
            Arc::new(Pod::from_json(&pod.to_string()).unwrap())
        };
        Carrier::Job(job, phases.iter().map(pod).collect())
    };
    let written = "write Failed TaskFailed WorkflowFailed";
    for (run, expected) in [
        (of("Failed", "failed", 0, &[]), "rest until 5"),
        (of("Failed", "failed", -1, &["Running"]), "rest until 4"),
        (of("Failed", "failed", 0, &["Failed"]), written),
        (of("Failed", "failed", -5, &[]), written),
        (of("Failed", "failed", 60, &[]), written),
        (of("Complete", "succeeded", -1, &["Running"]), "rest until 4"),
        (of("Complete", "succeeded", -1, &[]), "write Completed WorkflowCompleted"),
    ] {
        assert_eq!(step(&run), expected, "{run:?}");
    }
}
