//! Failures that others labelled: Tekton's statuses with what a careful reader says of them, and the rows of upstream's
//! tests. They lie beside the checkout; without them a test is skipped with a word.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use lockkeeper::api::tekton::{PipelineRun, TaskRun};
use lockkeeper::failure::{self, Classification};

const MADE: &str = "2026-01-01T00:00:00Z";
const ENDED: &str = "2026-01-01T00:10:00Z";

/// Row of upstream's tests, what we answer instead, why.
const DIFFERENT: &[(&str, (&str, bool), &str)] = &[
    (
        "ADV-06",
        ("Unknown", false),
        "a run that Tekton cancelled and that refers to no child: nothing was made, so nothing ran",
    ),
    (
        "ADV-12",
        ("DeadlineExceeded", true),
        "free text; in the order that the seed fixes a timeout goes before a task's failure",
    ),
    ("ADV-22", ("TaskFailed", true), "137 alone is a SIGKILL; nobody attests that memory was the cause"),
    (
        "UT-MAP-18",
        ("TaskFailed", true),
        "an exit code is a task's end; upstream looks for 'failed' and calls it Unknown, not run",
    ),
];

#[test]
fn labelled_failures_are_judged_as_their_readers_did() {
    let Some(rows) = shared("data/classification/dev.jsonl") else { return };
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (mut good, mut wrong, mut unsafe_) = (0, Vec::new(), Vec::new());
    for row in &rows {
        let found = classify(&manifests(row));
        let reasons = choices(&row["expect"]["reason"], &row["accept"]);
        let flags = choices(&row["expect"]["was_execution_failure"], &row["accept_was_execution_failure"]);
        let told = format!("{}: {} ran {}", row["id"], found.reason, found.ran);
        if !found.ran && !flags.contains(&json!(false)) {
            unsafe_.push(told);
        } else if flags.contains(&json!(found.ran)) && reasons.contains(&json!(found.reason.as_str())) {
            good += 1;
        } else {
            wrong.push(told);
        }
    }
    assert!(unsafe_.is_empty(), "nothing ran where something did: {unsafe_:?}");
    assert!(good * 100 >= rows.len() * 97, "{good} of {}: {wrong:?}", rows.len());
}

#[test]
fn upstreams_rows_get_upstreams_answers_but_for_the_differences_we_name() {
    let Some(rows) = shared("data/classification/upstream_rows.json") else { return };
    let rows: Vec<Value> = serde_json::from_str(&rows).unwrap();
    // Of the others the executor speaks, which knows, and classifies nothing.
    let mut ours: BTreeMap<_, _> = DIFFERENT.iter().map(|(row, answer, _)| (*row, *answer)).collect();
    let mut faults = Vec::new();
    for row in rows.iter().filter(|row| row["kind"] == "pipelinerun") {
        let found = classify(&upstream(row));
        let got = (found.reason.as_str(), found.ran);
        match ours.remove(text(&row["id"])) {
            Some(expected) if expected == got => {}
            Some(expected) => faults.push(format!("{}: {got:?}, and we said {expected:?}", row["id"])),
            None => faults.extend(differs(row, &found).map(|what| format!("{}: {what}: {got:?}", row["id"]))),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(ours.is_empty(), "a named difference has no row: {ours:?}");
}

/// A better answer counts before upstream's own; of that, what its test asserts. Nobody's "it ran" is unsaid.
fn differs(row: &Value, found: &Classification) -> Option<&'static str> {
    let asserted = |what: &str| row["asserted"].as_array().is_some_and(|all| all.contains(&json!(what)));
    let better = row["better_reason"].is_string();
    let of = |name: &str| if better { &row[format!("better_{name}")] } else { &row[format!("expect_{name}")] };
    let (reason, ran) = (of("reason"), of("was_execution_failure"));
    let code = &row["expect_exit_code"];
    let checks = [
        ("reason", (better || asserted("reason")) && reason != found.reason.as_str()),
        ("flag", (better || asserted("was_execution_failure")) && *ran != found.ran),
        ("nothing ran", *ran == true && !found.ran),
        ("exit code", asserted("exit_code") && !code.is_null() && code.as_i64() != found.exit_code.map(i64::from)),
    ];
    checks.into_iter().find(|(_, differs)| *differs).map(|(what, _)| what)
}

fn choices(first: &Value, more: &Value) -> Vec<Value> {
    let more = more.as_array().cloned().unwrap_or_default();
    std::iter::once(first.clone()).chain(more).collect()
}

fn classify((run, tasks): &(Value, Vec<Value>)) -> Classification {
    let run = PipelineRun::from_json(&run.to_string()).unwrap();
    let tasks: Vec<_> = tasks.iter().map(|task| TaskRun::from_json(&task.to_string()).unwrap()).collect();
    failure::of_run(&run, &tasks, false).expect("it failed")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn conditions(reason: &str, message: &str, status: &str) -> Value {
    if reason.is_empty() && message.is_empty() {
        return json!([]);
    }
    json!([{"type": "Succeeded", "status": status, "reason": reason, "message": message, "lastTransitionTime": ENDED}])
}

/// A labelled row as its README says it is to be read.
fn manifests(row: &Value) -> (Value, Vec<Value>) {
    let (run, tasks) = (&row["pipelinerun"], list(&row["taskruns"]));
    let pipeline_task = |name: &Value| {
        let task = tasks.iter().find(|task| task["name"] == *name);
        task.map_or(name, |task| &task["pipelineTaskName"]).clone()
    };
    let kind = |at: usize| run["childKinds"].get(at).cloned().unwrap_or_else(|| json!("TaskRun"));
    let refer = |(at, name)| json!({"kind": kind(at), "name": name, "pipelineTaskName": pipeline_task(name)});
    let status = json!({
        "conditions": conditions(text(&run["reason"]), text(&run["message"]), "False"),
        "childReferences": list(&run["childReferences"]).iter().enumerate().map(refer).collect::<Vec<_>>(),
        "startTime": (run["startTime"] == true).then_some(MADE),
        "completionTime": ENDED,
        "skippedTasks": run["skippedTasks"],
    });
    let object =
        json!({"metadata": {"name": row["id"], "namespace": "n", "creationTimestamp": MADE}, "status": status});
    (object, tasks.iter().map(|task| task_run(task, &row["id"])).collect())
}

fn task_run(task: &Value, run: &Value) -> Value {
    let made = task["creationTimestamp"].as_str().unwrap_or(MADE);
    let mut status = attempt(task, task, made);
    let earlier = list(&task["retries_detail"]);
    let unknown = if earlier.is_empty() { task["retriesStatus"].as_u64().unwrap_or_default() } else { 0 };
    let unknown = (0..unknown).map(|_| json!({"conditions": conditions("Failed", "", "False")}));
    status["retriesStatus"] = earlier.iter().map(|one| attempt(one, task, made)).chain(unknown).collect();
    let labels = json!({"tekton.dev/pipelineRun": run, "tekton.dev/pipelineTask": task["pipelineTaskName"]});
    let metadata = json!({"name": task["name"], "namespace": "n", "creationTimestamp": made, "labels": labels});
    json!({"metadata": metadata, "status": status})
}

fn attempt(attempt: &Value, task: &Value, made: &str) -> Value {
    let well = matches!(text(&attempt["reason"]), "Succeeded" | "Completed");
    let status = task["conditionStatus"].as_str().unwrap_or(if well { "True" } else { "False" });
    json!({
        "conditions": conditions(text(&attempt["reason"]), text(&attempt["message"]), status),
        "podName": attempt["podName"],
        "steps": attempt["steps"].as_array().map(|steps| steps.iter().map(step).collect::<Vec<_>>()),
        "sidecars": list(&task["sidecars"]).iter().map(step).collect::<Vec<_>>(),
        "startTime": (task["startTime"] == true).then_some(made),
    })
}

fn step(step: &Value) -> Value {
    let name = text(&step["name"]).trim_start_matches("step-").to_owned();
    let running = match &step["running"] {
        Value::Bool(true) => json!({"startedAt": "2026-01-01T00:00:30Z"}),
        Value::Object(running) => json!(running),
        _ => Value::Null,
    };
    json!({
        "name": name, "container": format!("step-{name}"), "imageID": step["imageID"], "running": running,
        "terminated": step["terminated"], "waiting": step["waiting"], "terminationReason": step["terminationReason"],
    })
}

fn upstream(row: &Value) -> (Value, Vec<Value>) {
    let status = json!({
        "conditions": conditions(text(&row["reason"]), text(&row["message"]), "False"),
        "childReferences": row["child_refs"],
        "startTime": (row["has_start_time"] == true).then_some(MADE),
        "completionTime": ENDED,
    });
    let step = |step: &Value| {
        let running = (step["running"] == true).then(|| json!({}));
        let ended = step["terminated_exit_code"].as_i64().map(|code| json!({"exitCode": code}));
        json!({"name": step["name"], "running": running, "terminated": ended})
    };
    let task = |task: &Value| {
        let condition = json!([{"type": "Succeeded", "status": task["succeeded"]}]);
        let steps: Vec<_> = list(&task["steps"]).iter().map(step).collect();
        json!({"metadata": {"name": task["name"], "namespace": "n"}, "status": {"conditions": condition, "steps": steps}})
    };
    let object = json!({"metadata": {"name": "r", "namespace": "n"}, "status": status});
    (object, list(&row["taskrun"]).iter().map(task).collect())
}

fn shared(part: &str) -> Option<String> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let file = std::env::var_os("LOCKKEEPER_SHARED").map_or_else(beside, PathBuf::from).join(part);
    let read = std::fs::read_to_string(&file);
    if read.is_err() {
        // Past the test runner's capture, so that it is seen.
        let word = format!("skipped: nothing at {}\n", file.display());
        std::io::stderr().lock().write_all(word.as_bytes()).unwrap();
    }
    read.ok()
}
