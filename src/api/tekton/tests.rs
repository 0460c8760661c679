//! Whatever is stored, it is read; what cannot be read is weaker evidence.

use serde_json::json;

use super::*;
use crate::api::facts::ObjectKey;

fn run(status: &str) -> PipelineRun {
    PipelineRun::from_json(&format!(r#"{{"metadata": {{"name": "r", "namespace": "n"}}, "status": {status}}}"#))
        .unwrap()
}

fn task(status: &str) -> TaskRun {
    TaskRun::from_json(&format!(r#"{{"metadata": {{"name": "t", "namespace": "n"}}, "status": {status}}}"#)).unwrap()
}

fn step(step: &str) -> Container {
    task(&format!(r#"{{"steps": [{step}]}}"#)).last.steps.remove(0)
}

#[test]
fn what_has_no_name_or_is_no_object_is_none() {
    for json in
        ["", "7", "[]", "{}", r#"{"metadata": {}}"#, r#"{"metadata": {"name": 7}}"#, r#"{"metadata": {"name": ""}}"#]
    {
        assert_eq!(PipelineRun::from_json(json), None, "{json}");
        assert_eq!(TaskRun::from_json(json), None, "{json}");
        assert_eq!(Job::from_json(json), None, "{json}");
        assert_eq!(Pod::from_json(json), None, "{json}");
    }
}

#[test]
fn a_name_without_a_namespace_is_in_default() {
    assert_eq!(PipelineRun::from_json(r#"{"metadata": {"name": "r"}}"#).unwrap().key.to_string(), "default/r");
}

#[test]
fn of_an_object_in_which_a_member_stands_twice_only_the_name_is_believed() {
    let steps = r#"{"steps": [{"name": "a", "running": {}}]}"#;
    let json = format!(r#"{{"metadata": {{"name": "t"}}, "status": {steps}, "status": {{"steps": []}}}}"#);
    assert_eq!(TaskRun::from_json(&json).unwrap().last.steps[0].state, State::Unreadable);
    let json = r#"{"metadata": {"name": "r"}, "status": {}, "status": {}}"#;
    assert!(!PipelineRun::from_json(json).unwrap().children[0].is_task_run);
    let json = r#"{"metadata": {"name": "r"}, "metadata": [], "status": {}}"#;
    assert_eq!(PipelineRun::from_json(json), None);
    assert_eq!(task(r#"{"podName": "p", "podName": "p"}"#).last.steps[0].state, State::Unreadable);
}

#[test]
fn depth_costs_no_stack() {
    const DEPTH: usize = 100_000;
    let deep = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    let objects = format!("{}1{}", "{\"a\":".repeat(DEPTH), "}".repeat(DEPTH));
    for deep in [deep, objects] {
        let read = task(&format!(
            r#"{{"retriesStatus": [{{"retriesStatus": {deep}}}], "x": {deep}, "podName": {deep}, "conditions": [{deep}],
                "steps": [{{"name": {deep}, "terminated": {{"message": {deep}, "startedAt": {deep}}}, "waiting": {deep}}}]}}"#
        ));
        assert_eq!((read.earlier.len(), read.last.has_pod, read.last.steps.len()), (1, true, 2));
        let read = run(&format!(
            r#"{{"taskRuns": {{"t": {deep}}}, "runs": {deep}, "childReferences": {deep}, "pipelineSpec": {{"tasks": {deep}}},
                "skippedTasks": {deep}, "startTime": {deep}, "conditions": {deep}}}"#
        ));
        assert_eq!(read.embedded.len(), 1);
        let json = format!(
            r#"{{"metadata": {{"name": "x", "labels": {deep}}}, "status": {{"containerStatuses": {deep}, "active": {deep}, "phase": {deep}}}}}"#
        );
        assert!(!Pod::from_json(&json).unwrap().pending);
        assert_eq!(Job::from_json(&json).unwrap().pods, 1);
    }
}

#[test]
fn when_a_run_ended_its_condition_tells_where_nothing_else_does() {
    let completed = |status: &str, own: &str| {
        let condition = format!(
            r#"{{"type": "Succeeded", "status": "{status}", "reason": "r", "lastTransitionTime": "2026-01-05T10:00:00Z"}}"#
        );
        run(&format!(r#"{{"conditions": [{condition}], "completionTime": {own}}}"#)).completed
    };
    let at = |text: &str| Some(text.parse().unwrap());
    assert_eq!(completed("False", "null"), at("2026-01-05T10:00:00Z"));
    assert_eq!(completed("True", "null"), at("2026-01-05T10:00:00Z"));
    assert_eq!(completed("True", r#""2026-01-05T09:59:59Z""#), at("2026-01-05T09:59:59Z"));
    assert_eq!(completed("Unknown", "null"), None);
}

#[test]
fn a_very_long_run_is_read_and_judged_in_one_go() {
    const MANY: usize = 10_000;
    let children: Vec<_> = (0..MANY).map(|i| json!({"kind": "TaskRun", "name": format!("t{i}")})).collect();
    let condition = json!({"type": "Succeeded", "status": "False", "reason": "Failed", "message": ""});
    let ended = task(&json!({"conditions": [condition]}).to_string());
    let run = run(&json!({"childReferences": children, "conditions": [condition]}).to_string());
    let tasks: Vec<_> = (0..MANY)
        .map(|i| TaskRun { key: ObjectKey { name: format!("t{i}").into(), ..run.key.clone() }, ..ended.clone() })
        .collect();
    assert!(!crate::failure::of_run(&run, &tasks, false).unwrap().ran);
}

#[test]
fn a_member_of_another_form_is_still_there() {
    assert!(task(r#"{"podName": 7}"#).last.has_pod);
    for none in [r#"{"podName": null}"#, r#"{"podName": ""}"#, "{}"] {
        assert!(!task(none).last.has_pod, "{none}");
    }
    assert!(step(r#"{"imageID": {}}"#).has_image);
    assert!(!step(r#"{"imageID": ""}"#).has_image);
    assert_eq!(step(r#"{"running": 1}"#).state, State::Running);
    for odd in ["7", r#"{"terminated": 7}"#, r#"{"waiting": 7}"#, r#"{"state": 7}"#] {
        assert_eq!(step(odd).state, State::Unreadable, "{odd}");
    }
    let start =
        |json: &str| step(&format!(r#"{{"terminated": {{"startedAt": {json}}}}}"#)).terminated().unwrap().started;
    assert_eq!([start("null"), start("\"\""), start("7")], [None, None, Some(Timestamp::MAX)]);
    assert_eq!(start("\"2026-01-05T10:00:00Z\""), Some("2026-01-05T10:00:00Z".parse().unwrap()));
}

#[test]
fn children_that_cannot_be_read_are_children() {
    for odd in [r#"{"taskRuns": []}"#, r#"{"runs": 7}"#, r#"{"childReferences": {}}"#, r#"{"conditions": 7}"#, "7"] {
        assert_eq!(run(odd).children, [Child { name: "".into(), is_task_run: false, pipeline_task: None }], "{odd}");
    }
    assert_eq!(run("null").children, []);
    assert_eq!(run(r#"{"childReferences": null, "conditions": null, "taskRuns": null}"#).children, []);
    assert_eq!(run(r#"{"taskRuns": {"t": {"status": 7}}}"#).embedded[0].last.steps[0].state, State::Unreadable);
}

#[test]
fn a_child_is_told_once_and_its_pipeline_task_with_it() {
    let run = run(r#"{"childReferences": [{"kind": "TaskRun", "name": "t", "pipelineTaskName": "a"}],
            "taskRuns": {"t": {"pipelineTaskName": "a"}, "u": {"pipelineTaskName": "b"}}, "runs": {"c": {}, "t": {}}}"#);
    let told: Vec<_> = run.children.iter().map(|it| (&*it.name, it.is_task_run, it.pipeline_task.as_deref())).collect();
    assert_eq!(told, [("t", true, Some("a")), ("u", true, Some("b")), ("c", false, None)]);
}

#[test]
fn a_condition_without_a_word_is_none() {
    assert_eq!(run(r#"{"conditions": [{"type": "Succeeded", "status": "False"}]}"#).condition, None);
    let said =
        run(r#"{"conditions": [{"type": "Other"}, {"type": "Succeeded", "status": "True", "reason": "Completed"}]}"#);
    assert!(said.ended() && !said.failed());
}

#[test]
fn a_run_tells_whose_it_is() {
    let json = json!({"metadata": {
        "name": "r", "namespace": "n", "uid": "u",
        "labels": {"kubernaut.ai/workflow-execution": "w", "kubernaut.ai/source-namespace": "m"},
        "annotations": {"kubernaut.ai/target-resource": "payments/Deployment/api"},
    }});
    let run = PipelineRun::from_json(&json.to_string()).unwrap();
    assert_eq!(run.origin.execution.unwrap().to_string(), "m/w");
    assert_eq!((run.origin.target.as_deref(), &*run.uid), (Some("payments/Deployment/api"), "u"));
}

#[test]
fn a_task_and_a_pod_tell_to_whom_they_belong_by_label_or_owner() {
    let owned = |kind: &str| {
        json!({"metadata": {"name": "x", "ownerReferences": [7, {"kind": kind, "name": "o"}]}}).to_string()
    };
    assert_eq!(TaskRun::from_json(&owned("PipelineRun")).unwrap().pipeline_run.as_deref(), Some("o"));
    assert_eq!(Pod::from_json(&owned("Job")).unwrap().job.as_deref(), Some("o"));
    assert_eq!(Pod::from_json(&owned("ReplicaSet")).unwrap().job, None);
    for label in ["batch.kubernetes.io/job-name", "job-name"] {
        let json = json!({"metadata": {"name": "x", "labels": {label: "j"}}}).to_string();
        assert_eq!(Pod::from_json(&json).unwrap().job.as_deref(), Some("j"));
    }
}

#[test]
fn a_job_that_ends_says_so_before_its_last_pod_has() {
    let job = |kind: &str, status: &str| {
        let condition = json!({"type": kind, "status": status, "reason": "BackoffLimitExceeded"});
        Job::from_json(&json!({"metadata": {"name": "j"}, "status": {"conditions": [condition]}}).to_string()).unwrap()
    };
    assert!(job("Failed", "True").failed.is_some());
    assert!(job("FailureTarget", "True").failed.is_some());
    assert!(job("Failed", "False").failed.is_none());
    assert!(job("Complete", "True").complete);
}

#[test]
fn what_a_container_was_before_is_read_of_a_pod() {
    let container =
        |last: &str| step(&format!(r#"{{"name": "m", "state": {{"waiting": {{}}}}, "lastState": {last}}}"#));
    assert_eq!(container("{}").before, None);
    assert_eq!(container(r#"{"terminated": {"exitCode": 3}}"#).end().unwrap().exit_code, Some(3));
    assert_eq!(&*container("7").end().unwrap().reason, "(unreadable)");
}
