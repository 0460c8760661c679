//! The project's own failures, one to a line of `tests/data/classification.jsonl`, made into what Tekton would have
//! stored. Shared by the tests of the pure room and those of the crate; JSON in, JSON out.
//!
//! A row: `at` the line of Tekton's reasons that it shows, `run` reason and message, `tasks` with their attempts,
//! `refers` and `before` more children, `inside` v1beta1's statuses within the run; then what is expected. A container is
//! `NAME STATE [flags]`: `none`, `running`, `waiting REASON` or `ended REASON CODE`; `image` it has an imageID, `=X` its
//! terminationReason, `+N` started N seconds after its TaskRun was made, `never`, `epoch`.

use serde_json::{Map, Value, json};

const MADE: i64 = 0;

/// One failure and what is expected of it.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub reasons: Vec<String>,
    pub ran: bool,
    /// What else the row fixes: `task`, `index`, `step`, `exit`.
    pub fixed: Map<String, Value>,
    pub run: Value,
    pub tasks: Vec<Value>,
}

pub fn own() -> Vec<Case> {
    let rows = include_str!("../data/classification.jsonl");
    rows.lines().map(|line| Case::of(&serde_json::from_str(line).expect(line))).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub fn at(seconds: i64) -> String {
    let (sign, rest) = (seconds < 0, seconds.rem_euclid(3600));
    format!("2026-01-05T{}:{:02}:{:02}Z", if sign { "09" } else { "10" }, rest / 60, rest % 60)
}

impl Case {
    pub fn of(row: &Value) -> Self {
        let inside = row["inside"] == true;
        let tasks: Vec<_> = list(&row["tasks"]).iter().map(task).collect();
        let mut fixed = row.as_object().unwrap().clone();
        fixed.retain(|member, _| matches!(member.as_str(), "task" | "index" | "step" | "exit"));
        Self {
            name: format!("{}: {}", text(&row["at"]), text(&row["case"])),
            reasons: [&row["expect"]].into_iter().chain(list(&row["accept"])).map(|it| text(it).to_owned()).collect(),
            ran: row["ran"] == true,
            fixed,
            run: run(row, &tasks, inside),
            tasks: if inside { Vec::new() } else { tasks },
        }
    }
}

fn run(row: &Value, tasks: &[Value], inside: bool) -> Value {
    let mut status = json!({"completionTime": at(600)});
    if let Some(condition) = condition(&row["run"]) {
        status["conditions"] = json!([condition]);
    }
    if row["start"] != false {
        status["startTime"] = json!(at(MADE));
    }
    let referred = |one: &Value| {
        let (kind, name) = text(one).split_once(' ').unwrap();
        json!({"apiVersion": "tekton.dev/v1", "kind": kind, "name": name, "pipelineTaskName": name})
    };
    let own = tasks.iter().zip(list(&row["tasks"])).map(|(task, row)| {
        let name = if row["task"].is_string() { &row["task"] } else { &row["name"] };
        json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": task["metadata"]["name"], "pipelineTaskName": name})
    });
    let before = list(&row["before"]).iter().map(referred);
    let children: Vec<_> = before.chain(own).chain(list(&row["refers"]).iter().map(referred)).collect();
    if inside {
        let by_name = |task: &Value| {
            let name = text(&task["metadata"]["name"]).to_owned();
            let status = json!({"pipelineTaskName": name, "status": task["status"]});
            (name, status)
        };
        status["taskRuns"] = tasks.iter().map(by_name).collect::<Map<_, _>>().into();
    } else if !children.is_empty() {
        status["childReferences"] = children.into();
    }
    for name in list(&row["runs"]) {
        status["runs"][text(name)] = json!({"pipelineTaskName": name});
    }
    let skipped = list(&row["skipped"]).iter().map(|reason| json!({"name": "s", "reason": reason}));
    status["skippedTasks"] = skipped.collect();
    let ignored = list(&row["ignored"]).iter().map(|name| json!({"name": name, "onError": "continue"}));
    status["pipelineSpec"] = json!({"tasks": ignored.collect::<Vec<_>>()});
    json!({
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
        "metadata": {"name": "r", "namespace": "n", "creationTimestamp": at(MADE)},
        "status": status,
    })
}

fn condition(is: &Value) -> Option<Value> {
    let said = |at: usize| is.get(at).map(text).unwrap_or_default();
    let (reason, message) = (said(0), said(1));
    is.get(0)?;
    let status = match (said(2), reason) {
        ("", "Succeeded" | "Completed") => "True",
        ("", _) => "False",
        (status, _) => status,
    };
    let changed = at(600);
    Some(
        json!({"type": "Succeeded", "status": status, "reason": reason, "message": message, "lastTransitionTime": changed}),
    )
}

fn task(row: &Value) -> Value {
    let mut status = attempt(row);
    if row["earlier"].is_array() {
        status["retriesStatus"] = list(&row["earlier"]).iter().map(attempt).collect();
    }
    let mut labels = json!({"tekton.dev/pipelineRun": "r"});
    if row["unlabelled"] != true {
        labels["tekton.dev/pipelineTask"] =
            if row["task"].is_string() { row["task"].clone() } else { row["name"].clone() };
    }
    json!({
        "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "metadata": {"name": row["name"], "namespace": "n", "creationTimestamp": at(MADE), "labels": labels},
        "status": status,
    })
}

fn attempt(row: &Value) -> Value {
    let mut status = json!({
        "conditions": condition(&row["is"]).map(|condition| vec![condition]),
        "completionTime": at(row["end"].as_i64().unwrap_or(300)),
        "steps": list(&row["steps"]).iter().map(container).collect::<Vec<_>>(),
        "sidecars": list(&row["sidecars"]).iter().map(container).collect::<Vec<_>>(),
    });
    if row["start"] != false {
        status["startTime"] = json!(at(MADE));
    }
    if row["pod"].as_bool().unwrap_or(row["steps"].is_array()) {
        status["podName"] = json!("p");
    }
    status
}

fn container(row: &Value) -> Value {
    let shape = if row.is_string() { row } else { &row["is"] };
    let mut words = text(shape).split(' ');
    let name = words.next().unwrap();
    let mut container = json!({"name": name, "container": format!("step-{name}")});
    let (state, mut inner) = match words.next() {
        Some("waiting") => ("waiting", json!({"reason": words.next(), "message": row["message"]})),
        Some("running") => ("running", json!({"startedAt": at(30)})),
        Some("ended") => {
            let reason = words.next().filter(|reason| *reason != "-");
            let code: i64 = words.next().unwrap().parse().unwrap();
            let message = &row["message"];
            ("terminated", json!({"reason": reason, "exitCode": code, "message": message, "finishedAt": at(300)}))
        }
        _ => ("provenance", json!({})),
    };
    let mut started = Some(at(30));
    for word in words {
        match (word, word.split_at(1)) {
            ("image", _) => container["imageID"] = json!("docker.io/x@sha256:1"),
            ("never", _) => started = None,
            ("epoch", _) => started = Some("1970-01-01T00:00:00Z".to_owned()),
            (_, ("=", reason)) => container["terminationReason"] = json!(reason),
            (_, ("+", offset)) => started = Some(at(MADE + offset.parse::<i64>().unwrap())),
            _ => panic!("what is {word}?"),
        }
    }
    if state == "terminated" {
        inner["startedAt"] = json!(started);
    }
    container[state] = inner;
    container
}
