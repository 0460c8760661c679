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

/// What follows where it is known for so many seconds that it ended.
fn step(run: &Carrier, known: Option<u64>) -> String {
    let ended_for = known.map(Duration::from_secs);
    knowing(phase("Running"), Run::There(run), |seen| Seen { ended_for, ..seen })
}

#[test]
fn tasks_are_waited_for_once_their_run_ended_but_not_for_long() {
    // Whatever the clock says by which it is told when it ended.
    for seconds in [-600, -1, 60] {
        let timeout = || run("False", "PipelineRunTimeout", seconds, &["a"]);
        let well = || run("True", "Succeeded", seconds, &["a"]);
        let [goes_on, cancelled, done] = [("Unknown", "Pending"), ("False", "TaskRunCancelled"), ("True", "Succeeded")]
            .map(|(status, reason)| task("a", status, reason));
        let late = "write Failed DeadlineExceeded WorkflowFailed";
        let completed = "write Completed WorkflowCompleted";
        for (run, tasks, known, expected) in [
            (timeout(), vec![&goes_on], Some(0), "rest until 5"),
            (timeout(), vec![&goes_on], Some(4), "rest until 1"),
            // Referred to, and not heard of yet.
            (timeout(), vec![], Some(1), "rest until 4"),
            // It was asked for, and not heard of itself.
            (timeout(), vec![], None, "rest until 1"),
            (timeout(), vec![&cancelled], Some(0), late),
            (timeout(), vec![&goes_on], Some(5), late),
            (timeout(), vec![], Some(5), late),
            (well(), vec![&goes_on], Some(1), "rest until 4"),
            (well(), vec![&done], Some(0), completed),
            (well(), vec![&goes_on], Some(5), completed),
            // Nothing that it could say changes that it went well.
            (well(), vec![], Some(0), completed),
        ] {
            let run = Carrier::Pipeline(run, tasks.into_iter().cloned().collect());
            assert_eq!(step(&run, known), expected, "{known:?} {run:?}");
        }
    }
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
        let change = written(&execution(phase("Running")), &run).unwrap();
        assert_eq!(member(&change, "execution")["totalTasks"], expected, "{record}");
    }
}

/// Why it failed may come a moment after that it did.
#[test]
fn pods_are_waited_for_once_their_job_failed_but_not_for_long() {
    let of = |kind: &str, counts: &str, phases: &[&str]| {
        let mut status = json!({"startTime": stamp(-90), "conditions": over(kind, "BackoffLimitExceeded", -60)});
        status[counts] = json!(1);
        let Carrier::Job(job, _) = job(&status) else { unreachable!("a Job") };
        let pod = |phase: &&str| {
            let pod = json!({"metadata": {"namespace": "runs", "name": "p"}, "status": {"phase": phase}});
            Arc::new(Pod::from_json(&pod.to_string()).unwrap())
        };
        Carrier::Job(job, phases.iter().map(pod).collect())
    };
    let written = "write Failed TaskFailed WorkflowFailed";
    for (run, known, expected) in [
        (of("Failed", "failed", &[]), 0, "rest until 5"),
        (of("Failed", "failed", &["Running"]), 1, "rest until 4"),
        (of("Failed", "failed", &["Failed"]), 0, written),
        (of("Failed", "failed", &[]), 5, written),
        (of("Complete", "succeeded", &["Running"]), 1, "rest until 4"),
        (of("Complete", "succeeded", &[]), 0, "write Completed WorkflowCompleted"),
    ] {
        assert_eq!(step(&run, Some(known)), expected, "{run:?}");
    }
}

/// Somebody deleted it, and it is still there.
pub(super) fn leaving(run: &Carrier) -> Carrier {
    match run.clone() {
        Carrier::Pipeline(mut run, tasks) => {
            Arc::make_mut(&mut run).deleting = true;
            Carrier::Pipeline(run, tasks)
        }
        Carrier::Job(mut job, pods) => {
            Arc::make_mut(&mut job).deleting = true;
            Carrier::Job(job, pods)
        }
    }
}

#[test]
fn what_may_be_at_work_goes_before_its_run_does() {
    let goes_on = task("a", "Unknown", "Running");
    let done = task("a", "True", "Succeeded");
    let over = |task: &Arc<TaskRun>| Carrier::Pipeline(run("False", "Cancelled", -70, &["a"]), vec![task.clone()]);
    let working = job(&json!({"active": 1}));
    let deleted_in = |phase: &str| json!({"metadata": {"deletionTimestamp": stamp(-1)}, "status": {"phase": phase}});
    let (deleted, told) = (|| deleted_in("Running"), || deleted_in("Failed"));
    let rested = || json!({"status": {"phase": "Failed", "completionTime": stamp(-70)}});
    let unknown = Carrier::Pipeline(run("False", "Cancelled", -70, &["a"]), Vec::new());
    check(vec![
        (deleted(), Run::There(&run_of("we-1", "u-1", &going())), NOTHING, "delete wfe-x r-1 and wait"),
        (told(), Run::There(&over(&goes_on)), NOTHING, "delete wfe-x r-1 and wait"),
        // Tekton ends a TaskRun before its Pod.
        (told(), Run::There(&over(&done)), NOTHING, "delete wfe-x r-1 and wait"),
        (told(), Run::There(&unknown), NOTHING, "delete wfe-x r-1 and wait"),
        (rested(), Run::There(&unknown), NOTHING, "delete wfe-x r-1 and wait"),
        (rested(), Run::There(&over(&done)), NOTHING, "delete wfe-x r-1"),
        (deleted(), Run::There(&working), NOTHING, "delete wfe-x r-1 and wait"),
        (deleted(), Run::There(&leaving(&working)), NOTHING, "rest"),
        (deleted(), Run::There(&leaving(&run_of("we-9", "u-9", &going()))), NOTHING, "release"),
    ]);
    let unheard =
        knowing(deleted(), Run::There(&leaving(&working)), |seen| Seen { unreadable: Some(Input::Pods), ..seen });
    assert_eq!(unheard, "rest until 10");
}

#[test]
fn what_is_being_deleted_is_in_the_way_until_it_is_gone_and_nobody_is_a_duplicate_of_it() {
    let message = "PipelineRun runs/wfe-x is being deleted; when it is gone, and with it all that is at work, this execution starts";
    for (of, status) in [("we-9", going()), ("we-9", ended("True", -600)), ("we-1", going()), ("", going())] {
        let run = leaving(&run_of(of, "u-9", &status));
        let waits = || json!({"status": said("TargetLocked", message)});
        check(vec![
            (json!({}), Run::There(&run), NOTHING, "write Pending Held"),
            (waits(), Run::There(&run), NOTHING, "rest"),
        ]);
        let (commission, verdict) = (execution(waits()), verdict(None));
        let beside = Seen { beside: Some(&run), ..seen(&commission, &verdict, ABSENT, &NOTHING) };
        assert_eq!(told(&plan(&beside, &RULES(), now())), "rest");
    }
}

/// Once both are gone nobody could say it.
#[test]
fn how_it_ended_is_told_before_it_goes() {
    let deleted = |phase: &str| json!({"metadata": {"deletionTimestamp": stamp(-1)}, "status": {"phase": phase}});
    let well = run_of("we-1", "u-1", &ended("True", -5));
    let theirs = run_of("we-9", "u-9", &ended("True", -5));
    let last = || Memory { last: Some(well.clone()), ..gone(true) };
    let completed = "write Completed WorkflowCompleted";
    for phase in ["", "Pending", "Running"] {
        check(vec![
            (deleted(phase), Run::There(&well), NOTHING, completed),
            (deleted(phase), Run::There(&leaving(&well)), NOTHING, completed),
            (deleted(phase), ABSENT, last(), completed),
            (deleted(phase), Run::There(&theirs), last(), completed),
            (deleted(phase), UNSEEN, last(), "look"),
            (deleted(phase), ABSENT, gone(true), "release"),
            (deleted(phase), Run::There(&theirs), NOTHING, "release"),
        ]);
    }
    let task = Carrier::Pipeline(run("False", "Cancelled", -5, &["a"]), vec![task("a", "Unknown", "Running")]);
    let soon = knowing(deleted("Running"), Run::There(&task), |seen| Seen { ended_for: Some(Duration::ZERO), ..seen });
    assert_eq!(soon, "rest until 5", "its task ends in a moment");
    let mut unclaimed = deleted("Running");
    merge(&mut unclaimed, json!({"metadata": {"finalizers": []}}));
    check(vec![
        (deleted("Completed"), Run::There(&well), NOTHING, "delete wfe-x r-1 and wait"),
        (unclaimed, Run::There(&well), NOTHING, "rest"),
    ]);
}
