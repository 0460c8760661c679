//! One classification of a run that failed with its last task, at growing numbers of tasks: from what is stored, JSON text
//! and all, and from what was read of it already, as the index has it.
//!
//! `cargo bench --bench classify`; under `cargo test` each size runs once.

use std::hint::black_box;

use criterion::Criterion;
use lockkeeper::api::tekton::{PipelineRun, TaskRun};
use lockkeeper::failure;
use serde_json::json;

const STEPS: usize = 3;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for count in [1, 5, 50] {
        let (run, tasks) = stored(count);
        let read =
            || (PipelineRun::from_json(&run).unwrap(), tasks.iter().map(|task| TaskRun::from_json(task).unwrap()));
        criterion.bench_function(&format!("classify/from JSON/{count}"), |bencher| {
            bencher.iter(|| {
                let (run, tasks) = black_box(&read)();
                let tasks: Vec<_> = tasks.collect();
                failure::of_run(&run, &tasks, false).unwrap()
            });
        });
        let (run, tasks) = read();
        let tasks: Vec<_> = tasks.collect();
        criterion.bench_function(&format!("classify/from facts/{count}"), |bencher| {
            bencher.iter(|| failure::of_run(black_box(&run), &tasks, false).unwrap());
        });
        let found = failure::of_run(&run, &tasks, false).unwrap();
        assert_eq!((found.reason, found.ran), (failure::Reason::OomKilled, true));
    }
    criterion.final_summary();
}

/// As Tekton stores it: three steps to a task, the results that they wrote, the last one out of memory.
fn stored(count: usize) -> (String, Vec<String>) {
    let name = |i: usize| format!("restart-deployment-run-7f9c4-task-{i}");
    let children = (0..count).map(|i| json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": name(i), "pipelineTaskName": format!("task-{i}")}));
    let message = format!("Tasks Completed: {count} (Failed: 1, Cancelled 0), Skipped: 0");
    let run = json!({
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
        "metadata": {"name": "restart-deployment-run-7f9c4", "namespace": "kubernaut-workflows", "creationTimestamp": "2026-01-05T10:00:00Z"},
        "status": {
            "startTime": "2026-01-05T10:00:00Z", "completionTime": "2026-01-05T10:05:00Z",
            "conditions": [condition("Failed", &message)], "childReferences": children.collect::<Vec<_>>(),
        },
    });
    (run.to_string(), (0..count).map(|i| task(&name(i), i + 1 == count)).collect())
}

fn condition(reason: &str, message: &str) -> serde_json::Value {
    let status = if reason == "Succeeded" { "True" } else { "False" };
    json!({"type": "Succeeded", "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-05T10:05:00Z"})
}

fn task(name: &str, killed: bool) -> String {
    let step = |i: usize| {
        let (reason, code) = if killed && i + 1 == STEPS { ("OOMKilled", 137) } else { ("Completed", 0) };
        json!({
            "name": format!("step-{i}"), "container": format!("step-step-{i}"), "imageID": "docker.io/library/busybox@sha256:0123456789abcdef",
            "terminated": {
                "reason": reason, "exitCode": code, "startedAt": "2026-01-05T10:00:30Z", "finishedAt": "2026-01-05T10:04:59Z",
                "message": "[{\"key\":\"StartedAt\",\"value\":\"2026-01-05T10:00:31.000Z\",\"type\":3}]",
            },
        })
    };
    let (reason, message) = match killed {
        true => ("StepOOM", "\"step-step-2\" exited with code 137: OOMKilled"),
        false => ("Succeeded", "All Steps have completed executing"),
    };
    let object = json!({
        "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "metadata": {
            "name": name, "namespace": "kubernaut-workflows", "creationTimestamp": "2026-01-05T10:00:01Z",
            "labels": {"tekton.dev/pipelineRun": "restart-deployment-run-7f9c4", "tekton.dev/pipelineTask": "task"},
        },
        "status": {
            "podName": format!("{name}-pod"), "startTime": "2026-01-05T10:00:01Z", "completionTime": "2026-01-05T10:05:00Z",
            "conditions": [condition(reason, message)], "steps": (0..STEPS).map(step).collect::<Vec<_>>(),
        },
    });
    object.to_string()
}
