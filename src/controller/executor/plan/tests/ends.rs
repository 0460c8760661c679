//! A run and its tasks are told one by one, and Tekton ends a run that is out of time, or cancelled, before its tasks.

use super::*;

/// A run that ended so many seconds from now, with these children.
fn run(status: &str, reason: &str, seconds: i64, children: &[&str]) -> PipelineRun {
    let mut record = ended(status, seconds);
    record["conditions"][0]["reason"] = json!(reason);
    let child = |name: &&str| json!({"kind": "TaskRun", "name": format!("wfe-x-{name}"), "pipelineTaskName": name});
    record["childReferences"] = children.iter().map(child).collect();
    run_of("we-1", "u-1", &record)
}

fn task(name: &str, status: &str, reason: &str) -> TaskRun {
    let condition = json!({"type": "Succeeded", "status": status, "reason": reason, "message": "m"});
    let task = json!({
        "metadata": {"namespace": "runs", "name": format!("wfe-x-{name}"), "labels": {"tekton.dev/pipelineRun": "wfe-x"}},
        "status": {"conditions": [condition]},
    });
    TaskRun::from_json(&task.to_string()).unwrap()
}

fn step(run: &PipelineRun, tasks: &[&TaskRun]) -> Step {
    let commission = execution(phase("Running"));
    let account = Account::of(run, tasks.iter().copied(), false);
    let run = Run::There { run, tasks };
    plan(&Seen { commission: &commission, verdict: None, run, other_open: false, account: &account }, &RULES(), now())
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
        (timeout(-1), vec![&goes_on], "rest until 9"),
        // Referred to, and not heard of yet.
        (timeout(-1), vec![], "rest until 9"),
        (timeout(-1), vec![&cancelled], late),
        (timeout(-10), vec![&goes_on], late),
        (timeout(-10), vec![], late),
        // By a clock that is far ahead of ours nobody waits.
        (timeout(60), vec![&goes_on], late),
        (well(-1), vec![&goes_on], "rest until 9"),
        (well(-1), vec![&done], completed),
        (well(-10), vec![&goes_on], completed),
    ] {
        assert_eq!(told(&step(&run, &tasks)), expected, "{run:?} {tasks:?}");
    }
    // It does not say when it ended.
    let mut silent = timeout(-1);
    silent.completed = None;
    assert_eq!(told(&step(&silent, &[&goes_on])), late);
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
