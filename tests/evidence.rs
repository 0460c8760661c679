//! What must hold of every classification: evidence that is taken away never unsays a start, words that a workflow's
//! author wrote never decide, and nothing that is stored keeps it from answering.
//!
//! What cannot hold, and is left out below:
//! - A TaskRun that the run does not refer to and nobody hands in, a retry that `retriesStatus` no longer has, a status
//!   that is gone whole: what is left is the full record of a run in which it never was.
//! - One step out of a list whose others did not start: Tekton writes all or none, so nobody misses it. (Where it ran, the
//!   others had started too, but for one whose image could not be pulled.)
//! - The imageID of a step that was ended by Tekton and whose start is that of its TaskRun: it is the one member in which
//!   that record differs from a waiting step's.
//! - The podName together with the steps, or with the states that they do not have: no Pod was made.
//! - What Tekton kept below a timeout, and the sidecars, where no step ran: most tasks have none.
//! - The condition of a task that had not ended, where the run counts its tasks and each step waits for what is not there.

#[path = "support/cases.rs"]
#[allow(dead_code, reason = "what a row expects beyond the flag is asked where the rows are")]
mod cases;

use proptest::prelude::*;
use serde_json::{Value, json};

use cases::Case;
use lockkeeper::api::tekton::{Job, PipelineRun, Pod, TaskRun};
use lockkeeper::failure::{self, Classification};

fn classify(case: &Case) -> Option<Classification> {
    let run = PipelineRun::from_json(&case.run.to_string())?;
    let tasks: Vec<_> = case.tasks.iter().filter_map(|task| TaskRun::from_json(&task.to_string())).collect();
    failure::of_run(&run, &tasks, false)
}

fn answer(case: &Case) -> (&'static str, bool) {
    let found = classify(case).expect("it failed");
    (found.reason.as_str(), found.ran)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

// Generated failures.

/// What a controller says of a task, and how its steps may then stand.
const TOLD: [(&str, &str, &[&str]); 14] = [
    ("Succeeded", "All Steps have completed executing", &["ended Completed 0 image"]),
    ("StepFailed", "\"step-a\" exited with code 1: Error", &["ended Error 1 image", "ended Error 1 image =Skipped"]),
    ("StepOOM", "\"step-a\" exited with code 137: OOMKilled", &["ended OOMKilled 137 image", "running image"]),
    ("StepFailed", "\"step-a\" exited with code 128: StartError", &["ended StartError 128 image epoch"]),
    (
        "StepFailed",
        "\"step-a\" exited with code 137: ContainerStatusUnknown",
        &["ended ContainerStatusUnknown 137 never"],
    ),
    (
        "TaskRunTimeout",
        "TaskRun \"t\" failed to finish within \"1m\"",
        &[
            "ended TaskRunTimeout 1 image",
            "ended TaskRunTimeout 1 +0",
            "ended TaskRunTimeout 1 image +0",
            "waiting ErrImagePull",
        ],
    ),
    (
        "TaskRunCancelled",
        "TaskRun \"t\" was cancelled. ",
        &["ended TaskRunCancelled 1 image", "ended TaskRunCancelled 1 never", "none"],
    ),
    (
        "TaskRunImagePullFailed",
        "the step \"a\" in TaskRun \"t\" failed to pull the image \"\".",
        &["ended TaskRunImagePullFailed 1 +0", "ended TaskRunImagePullFailed 1 image"],
    ),
    (
        "CreateContainerConfigError",
        "Failed to create pod due to config error",
        &["waiting CreateContainerConfigError", "running image"],
    ),
    ("PodEvicted", "The node was low on resource: memory. ", &["ended Error 137 image", "waiting ContainerCreating"]),
    (
        "SidecarFailed",
        "\"sidecar-x\" exited with code 1: Error",
        &["ended Completed 0 image", "waiting PodInitializing"],
    ),
    (
        "InitContainerFailed",
        "init container failed, \"prepare\" exited with code 1: Error",
        &["waiting PodInitializing"],
    ),
    ("Failed", "Pod was rejected: Node didn't have enough resource: cpu", &["none"]),
    ("FailureIgnored", "\"step-a\" exited with code 3: Error", &["ended Error 3 image"]),
];

const RUNS: [(&str, &str); 6] = [
    ("Failed", "Tasks Completed: 2 (Failed: 1, Cancelled 0), Skipped: 0"),
    ("PipelineRunTimeout", "PipelineRun \"r\" failed to finish within \"1h0m0s\""),
    ("Cancelled", "PipelineRun \"r\" was cancelled"),
    ("PipelineValidationFailed", "Tasks Completed: 1 (Failed: 0, Cancelled 0), Skipped: 0, Failed Validation: 1"),
    (
        "CreateRunFailed",
        "failed to create TaskRun \"t\": TaskRun.tekton.dev \"t\" is invalid: spec.params: Required value",
    ),
    ("CouldntGetPipelineResult", "Failed to get PipelineResult from TaskRun Results"),
];

fn attempt() -> impl Strategy<Value = Value> {
    (prop::sample::select(TOLD.to_vec()), prop::collection::vec(any::<prop::sample::Index>(), 1..4)).prop_map(
        |((reason, message, states), chosen)| {
            let names = ["a", "b", "c"];
            let steps = chosen.iter().zip(names).map(|(at, name)| format!("{name} {}", at.get(states)));
            json!({"is": [reason, message], "steps": steps.collect::<Vec<_>>()})
        },
    )
}

fn task() -> impl Strategy<Value = Value> {
    (attempt(), prop::collection::vec(attempt(), 0..2)).prop_map(|(mut last, earlier)| {
        last["earlier"] = json!(earlier);
        last
    })
}

fn generated() -> impl Strategy<Value = Case> {
    let refers = prop::sample::subsequence(vec!["TaskRun gone", "CustomRun c"], 0..2);
    (prop::sample::select(RUNS.to_vec()), prop::collection::vec(task(), 0..4), refers, any::<bool>()).prop_map(
        |((reason, message), mut tasks, refers, inside)| {
            for (at, task) in tasks.iter_mut().enumerate() {
                task["name"] = json!(format!("t{at}"));
            }
            let inside = inside && refers.is_empty();
            let row = json!({"run": [reason, message], "tasks": tasks, "refers": refers, "inside": inside});
            Case::of(&row)
        },
    )
}

fn any_case() -> impl Strategy<Value = Case> {
    prop_oneof![generated(), prop::sample::select(cases::own())]
}

// Evidence is taken away.

/// A piece of evidence: a member of the run's record (`task` none), of a TaskRun's, or a whole TaskRun (no `at`).
#[derive(Clone, Debug)]
struct Piece {
    task: Option<usize>,
    at: Option<String>,
    /// Of the pieces of one group only one is taken.
    group: String,
}

fn pieces(case: &Case) -> Vec<Piece> {
    let mut pieces = vec![piece(None, "/status/startTime"), piece(None, "/status/skippedTasks")];
    for (i, task) in case.tasks.iter().enumerate() {
        pieces.push(Piece { task: Some(i), at: None, group: format!("{i}") });
        pieces.extend(of_status(Some(i), "/status", &task["status"]));
    }
    for (name, task) in case.run["status"]["taskRuns"].as_object().into_iter().flatten() {
        pieces.extend(of_status(None, &format!("/status/taskRuns/{name}/status"), &task["status"]));
    }
    pieces
}

fn piece(task: Option<usize>, at: impl Into<String>) -> Piece {
    let at = at.into();
    Piece { task, group: format!("{task:?}{at}"), at: Some(at) }
}

fn of_status(task: Option<usize>, at: &str, status: &Value) -> Vec<Piece> {
    let mut pieces = of_attempt(task, at, status);
    for (i, earlier) in status["retriesStatus"].as_array().into_iter().flatten().enumerate() {
        pieces.extend(of_attempt(task, &format!("{at}/retriesStatus/{i}"), earlier));
    }
    pieces
}

fn of_attempt(task: Option<usize>, at: &str, attempt: &Value) -> Vec<Piece> {
    let grouped =
        |member: &str| Piece { group: format!("{task:?}{at} pod or steps"), ..piece(task, format!("{at}/{member}")) };
    let steps = attempt["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    // Where no step has a state, the podName is all there is.
    let told = |step: &Value| ["waiting", "running", "terminated"].iter().any(|it| !step[*it].is_null());
    let mut pieces = if !steps.iter().any(told) { Vec::new() } else { vec![grouped("steps"), grouped("podName")] };
    pieces
        .extend(["startTime", "completionTime", "conditions", "sidecars"].map(|it| piece(task, format!("{at}/{it}"))));
    for (i, step) in steps.iter().enumerate() {
        let of_step = |member: &str| Piece {
            group: format!("{task:?}{at} step {i}"),
            ..piece(task, format!("{at}/steps/{i}/{member}"))
        };
        if !looks_like_waiting(step) {
            pieces.push(of_step("imageID"));
        }
        if step["imageID"].is_string() {
            pieces.push(of_step("terminated/startedAt"));
        }
        pieces.push(of_step("terminationReason"));
    }
    pieces
}

/// But for its imageID it is the record of a step that waited.
fn looks_like_waiting(step: &Value) -> bool {
    let end = &step["terminated"];
    let kubelets = ["Error", "OOMKilled", "Completed", "ContainerStatusUnknown", "StartError", "ContainerCannotRun"];
    let by_tekton = end["reason"].is_string() && !kubelets.contains(&text(&end["reason"]));
    let never = [Value::Null, json!(cases::at(0)), json!("1970-01-01T00:00:00Z")].contains(&end["startedAt"]);
    by_tekton && never && end["exitCode"] == 1
}

fn without(case: &Case, pieces: &[Piece]) -> Case {
    let mut case = case.clone();
    for piece in pieces {
        let object = piece.task.map_or(&mut case.run, |task| &mut case.tasks[task]);
        let Some(at) = &piece.at else { continue };
        let (parent, member) = at.rsplit_once('/').unwrap();
        if let Some(Value::Object(parent)) = object.pointer_mut(parent) {
            parent.remove(member);
        }
    }
    let gone: Vec<_> = pieces.iter().filter(|piece| piece.at.is_none()).filter_map(|piece| piece.task).collect();
    let mut at = 0;
    case.tasks.retain(|_| {
        at += 1;
        !gone.contains(&(at - 1))
    });
    case
}

#[test]
fn no_single_piece_of_evidence_that_is_gone_unsays_a_start() {
    for case in cases::own().iter().filter(|case| case.ran) {
        for piece in pieces(case) {
            let less = without(case, std::slice::from_ref(&piece));
            assert!(answer(&less).1, "{}: without {piece:?}", case.name);
        }
    }
}

/// A reason and a message, said anew.
type Anew = fn(&str, &str) -> (String, String);

/// What the same failure looks like in another release of Tekton.
const RELEASES: [Anew; 4] = [
    // Before 1.12 there is one reason for what happens in a Pod.
    |reason, message| {
        let one = ["StepFailed", "StepOOM", "SidecarFailed", "SidecarOOM", "InitContainerFailed", "InitContainerOOM"];
        let reason = if one.contains(&reason) || reason == "PodEvicted" { "Failed" } else { reason };
        (reason.to_owned(), message.to_owned())
    },
    // Before 1.1 the message ends with the code.
    |reason, message| {
        let end = message.find(" exited with code ").and_then(|at| Some(at + message[at..].find(": ")?));
        (reason.to_owned(), message[..end.unwrap_or(message.len())].to_owned())
    },
    // Before 0.45 the message names the image.
    |reason, message| {
        let long = message.starts_with('"') && message.contains(" exited with code ") && !message.contains("(image:");
        let more = if long { " (image: \"docker.io/x\"); for logs run: kubectl -n n logs p -c step-a\n" } else { "" };
        let (head, _) = message.split_once(": ").unwrap_or((message, ""));
        (reason.to_owned(), format!("{}{more}", if long { head } else { message }))
    },
    // Names of their time; below a timeout nothing was kept.
    |reason, message| {
        let reason = match reason {
            "PodCreationFailed" | "PodAdmissionFailed" => "CouldntGetTask",
            "Cancelled" => "PipelineRunCancelled",
            "FailureIgnored" => "Failed",
            reason => reason,
        };
        (reason.to_owned(), message.split("\nPrevious status: ").next().unwrap().to_owned())
    },
];

/// Each condition of it, said anew.
fn told_anew(case: &Case, anew: impl Fn(&str, &str) -> (String, String)) -> Case {
    fn visit(value: &mut Value, anew: &dyn Fn(&str, &str) -> (String, String)) {
        match value {
            Value::Object(members) if members.get("type") == Some(&json!("Succeeded")) => {
                let (reason, message) = anew(text(&members["reason"]), text(&members["message"]));
                members["reason"] = json!(reason);
                members["message"] = json!(message);
            }
            Value::Object(members) => members.values_mut().for_each(|value| visit(value, anew)),
            Value::Array(items) => items.iter_mut().for_each(|value| visit(value, anew)),
            _ => {}
        }
    }
    let mut case = case.clone();
    visit(&mut case.run, &anew);
    case.tasks.iter_mut().for_each(|task| visit(task, &anew));
    case
}

#[test]
fn another_release_of_tekton_unsays_no_start() {
    for case in cases::own().iter().filter(|case| case.ran) {
        for (at, release) in RELEASES.iter().enumerate() {
            assert!(answer(&told_anew(case, release)).1, "{}: release {at}", case.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn evidence_that_is_taken_away_piece_by_piece_unsays_no_start(
        case in any_case(),
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        release in prop::option::of(prop::sample::select(RELEASES.to_vec())),
    ) {
        let all = pieces(&case);
        let mut less: Vec<Piece> = Vec::new();
        for at in &chosen {
            let piece = at.get(&all);
            if !less.iter().any(|taken| taken.group == piece.group) {
                less.push(piece.clone());
            }
        }
        let ran = answer(&case).1;
        let told = release.map_or_else(|| case.clone(), |release| told_anew(&case, release));
        prop_assert!(!ran || answer(&without(&told, &less)).1, "{case:#?}\nwithout {less:#?}");
    }
}

#[test]
fn a_jobs_pods_that_are_gone_or_half_told_unsay_no_start() {
    let pod =
        |status: &str| format!(r#"{{"metadata": {{"name": "p", "labels": {{"job-name": "j"}}}}, "status": {status}}}"#);
    let main = |state: &str| {
        let state = format!(r#"{{"name": "main", "imageID": "i", "restartCount": 1, {state}}}"#);
        pod(&format!(r#"{{"phase": "Failed", "startTime": "2026-01-05T10:00:00Z", "containerStatuses": [{state}]}}"#))
    };
    let ran = [
        main(r#""state": {"terminated": {"reason": "Error", "exitCode": 1, "startedAt": "2026-01-05T10:00:00Z"}}"#),
        main(r#""state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}"#),
        main(r#""state": {"terminated": {"reason": "Completed", "exitCode": 0}}"#),
        main(r#""state": {"terminated": {"reason": "ContainerStatusUnknown", "exitCode": 137}}"#),
        main(r#""state": {"running": {}}"#),
        main(
            r#""state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"reason": "Error", "exitCode": 1}}"#,
        ),
    ];
    let members = [
        ("/status", "containerStatuses"),
        ("/status", "phase"),
        ("/status", "startTime"),
        ("/status/containerStatuses/0", "imageID"),
        ("/status/containerStatuses/0", "lastState"),
        ("/status/containerStatuses/0", "restartCount"),
        ("/status/containerStatuses/0/state/terminated", "startedAt"),
    ];
    for reason in ["BackoffLimitExceeded", "DeadlineExceeded", "PodFailurePolicy", ""] {
        let condition = json!({"type": "Failed", "status": "True", "reason": reason, "message": "m"});
        let job = json!({"metadata": {"name": "j"}, "status": {"failed": 1, "conditions": [condition]}});
        let job = Job::from_json(&job.to_string()).unwrap();
        let told = |pods: &[Value]| {
            let pods: Vec<_> = pods.iter().map(|pod| Pod::from_json(&pod.to_string()).unwrap()).collect();
            failure::of_job(&job, &pods, false).unwrap().ran
        };
        assert!(told(&[]), "{reason}: without its Pod");
        for pod in &ran {
            let whole: Value = serde_json::from_str(pod).unwrap();
            assert!(told(std::slice::from_ref(&whole)), "{reason}: {pod}");
            for (parent, member) in members {
                let mut less = whole.clone();
                if let Some(Value::Object(parent)) = less.pointer_mut(parent) {
                    parent.remove(member);
                }
                assert!(told(&[less]), "{reason}: without {member}: {pod}");
            }
        }
    }
}

// Words that a workflow's author wrote.

const WORDS: [&str; 20] = [
    "OOMKilled",
    "oom",
    "timeout",
    "deadline exceeded",
    "forbidden",
    "is forbidden: exceeded quota: ",
    "quota",
    "invalid",
    "configuration",
    "ImagePullBackOff",
    "image pull",
    "permission denied",
    "context deadline exceeded",
    "dial tcp 10.0.0.1: i/o timeout",
    "failed calling webhook \"x\"",
    "exited with code 137: OOMKilled",
    "\"step-a\" exited with code 137: OOMKilled",
    "\nPrevious status: [StepOOM] \"step-a\" exited with code 137: OOMKilled",
    "admission webhook \"x\" denied the request: violates PodSecurity",
    "container init was OOM-killed",
];

/// As a name has to be.
fn slug(word: &str) -> String {
    let slug: String = word.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("x-{}-x", slug.trim_matches('-'))
}

/// As Go quotes it.
fn quoted(word: &str) -> String {
    json!(word).to_string()
}

type Place = fn(&mut Case, &str);

/// Every place that a workflow's author, or whoever cancels a run, can write to.
const PLACES: [(&str, Place); 10] = [
    ("names of tasks", names_of_tasks),
    ("names and images of steps", names_of_steps),
    ("what a step wrote at its end", |case, word| {
        each_container(case, |container| {
            if let Some(end) = container.get_mut("terminated").filter(|end| !never_started(end)) {
                end["message"] = json!(word);
            }
        });
    }),
    ("labels, annotations and specs", |case, word| {
        for object in std::iter::once(&mut case.run).chain(&mut case.tasks) {
            object["metadata"]["labels"]["app"] = json!(slug(word));
            object["metadata"]["annotations"] = json!({"note": word});
            let params = json!([{"name": slug(word), "value": word}]);
            object["spec"] =
                json!({"params": params, "statusMessage": word, "taskSpec": {"steps": [{"script": word}]}});
        }
    }),
    ("results", |case, word| {
        each_status(case, |status| {
            let results = json!([{"name": slug(word), "value": word}]);
            for member in ["taskResults", "results", "pipelineResults"] {
                status[member] = results.clone();
            }
            status["taskSpec"] = json!({"description": word, "steps": [{"name": slug(word), "script": word}]});
        });
    }),
    ("conditions of other types", |case, word| {
        each_status(case, |status| {
            let other = json!({"type": word, "status": "False", "reason": word, "message": word});
            if let Some(conditions) = status["conditions"].as_array_mut() {
                conditions.insert(0, other.clone());
                conditions.push(other);
            }
        });
    }),
    ("the word of whoever cancelled a task", |case, word| {
        *case = told_anew(case, |reason, message| {
            let own = message.contains("as the PipelineRun it belongs to");
            let by_hand = reason == "TaskRunCancelled" && !own;
            let said = message.split_once("was cancelled").filter(|_| by_hand);
            (reason.into(), said.map_or(message.into(), |(head, _)| format!("{head}was cancelled. {word}")))
        });
    }),
    ("values that an error quotes", |case, word| {
        *case = told_anew(case, |reason, message| {
            let message = ["Invalid value: \"", "User \""].iter().fold(message.to_owned(), |message, before| {
                let Some((head, rest)) = message.split_once(*before) else { return message };
                let (_, tail) = rest.split_once('"').unwrap();
                format!("{head}{}{}{tail}", before.trim_end_matches('"'), quoted(word))
            });
            (reason.into(), message)
        });
    }),
    ("values that a validation repeats", |case, word| {
        *case = told_anew(case, |reason, message| {
            let said = message.split_once(" value: ").filter(|_| reason == "InvalidParamValue");
            let anew = said.map(|(head, _)| format!("{head} value: {word} is not in the enum list"));
            (reason.into(), anew.unwrap_or_else(|| message.into()))
        });
    }),
    ("what a policy's author says of a denial", |case, word| {
        *case = told_anew(case, |reason, message| {
            let said = ["denied the request: ", "denied request: "].iter().find(|by| message.contains(**by));
            let said = said.filter(|_| !message.contains(".tekton.dev\" denied"));
            let anew = said.map(|by| format!("{}{by}{word}", message.split(*by).next().unwrap()));
            (reason.into(), anew.unwrap_or_else(|| message.into()))
        });
    }),
];

fn never_started(end: &Value) -> bool {
    matches!(text(&end["reason"]), "StartError" | "ContainerCannotRun")
}

fn each_status(case: &mut Case, mut change: impl FnMut(&mut Value)) {
    change(&mut case.run["status"]);
    let inside = case.run["status"]["taskRuns"].as_object_mut();
    let inside = inside.into_iter().flat_map(|all| all.values_mut()).map(|task| &mut task["status"]);
    for status in case.tasks.iter_mut().map(|task| &mut task["status"]).chain(inside) {
        change(status);
        status["retriesStatus"].as_array_mut().into_iter().flatten().for_each(&mut change);
    }
}

fn each_container(case: &mut Case, mut change: impl FnMut(&mut Value)) {
    each_status(case, |status| {
        for member in ["steps", "sidecars"] {
            status.get_mut(member).and_then(Value::as_array_mut).into_iter().flatten().for_each(&mut change);
        }
    });
}

fn names_of_tasks(case: &mut Case, word: &str) {
    let anew = |name: &str| format!("{}-{name}", slug(word));
    for task in &mut case.tasks {
        task["metadata"]["name"] = json!(anew(text(&task["metadata"]["name"])));
        let label = &mut task["metadata"]["labels"]["tekton.dev/pipelineTask"];
        *label = if label.is_null() { Value::Null } else { json!(anew(text(label))) };
    }
    let status = &mut case.run["status"];
    for child in status["childReferences"].as_array_mut().into_iter().flatten() {
        child["name"] = json!(anew(text(&child["name"])));
        child["pipelineTaskName"] = json!(anew(text(&child["pipelineTaskName"])));
    }
    for task in status["pipelineSpec"]["tasks"].as_array_mut().into_iter().flatten() {
        task["name"] = json!(anew(text(&task["name"])));
    }
    for skipped in status["skippedTasks"].as_array_mut().into_iter().flatten() {
        skipped["name"] = json!(anew(text(&skipped["name"])));
    }
    if let Some(inside) = status["taskRuns"].as_object_mut() {
        *inside = std::mem::take(inside).into_iter().map(|(name, task)| (anew(&name), task)).collect();
    }
    *case = told_anew(case, |reason, message| {
        let after = ["TaskRun \"", "task run pod \"", "PipelineRun \"", "Couldn't retrieve Task \""];
        let message =
            after.iter().fold(message.to_owned(), |message, it| message.replace(it, &format!("{it}{}-", slug(word))));
        (reason.into(), message)
    });
}

fn names_of_steps(case: &mut Case, word: &str) {
    let slug = slug(word);
    each_container(case, |container| {
        container["name"] = json!(format!("{slug}-{}", text(&container["name"])));
        container["image"] = json!(word);
        if container["imageID"].is_string() {
            container["imageID"] = json!(format!("registry/{slug}@sha256:1"));
        }
    });
    *case = told_anew(case, |reason, message| {
        let before =
            ["\"step-", "\"build-step-", "\"sidecar-", "step \"", "-c step-", "(image: \"", "pulling image \\\""];
        let message = before.iter().fold(message.to_owned(), |message, it| {
            let build = *it == "step \"" && message.starts_with("build step");
            if build { message } else { message.replace(it, &format!("{it}{slug}-")) }
        });
        (reason.into(), message)
    });
}

#[test]
fn words_of_an_author_decide_nothing_wherever_they_stand() {
    for case in cases::own() {
        let before = answer(&case);
        for word in WORDS {
            let mut all = case.clone();
            PLACES.iter().for_each(|(_, place)| place(&mut all, word));
            if answer(&all) == before {
                continue;
            }
            for (name, place) in PLACES {
                let mut one = case.clone();
                place(&mut one, word);
                assert_eq!(answer(&one), before, "{}: {word:?} in {name}: {one:#?}", case.name);
            }
            assert_eq!(answer(&all), before, "{}: {word:?} everywhere: {all:#?}", case.name);
        }
    }
}

// Whatever is stored.

/// Of another form than anything that Tekton writes.
fn odd() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(true),
        json!(-7),
        json!(1e300),
        json!([]),
        json!([[]]),
        json!([null, 3]),
        json!("x"),
        json!("\u{0}"),
        json!("137"),
    ])
}

fn paths(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            paths(value, &format!("{at}/{}", name.replace('/', "~1")), into);
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, value)| paths(value, &format!("{at}/{i}"), into)),
        _ => {}
    }
}

/// Members of a step that tell of its start; and the lists around them.
fn tells_of_a_start(at: &str) -> bool {
    let last = at.rsplit('/').find(|part| part.parse::<usize>().is_err()).unwrap_or_default();
    let known =
        ["steps", "terminated", "running", "waiting", "imageID", "retriesStatus", "conditions", "podName", "status"];
    let more = ["startedAt", "exitCode", "childReferences", "taskRuns", "runs"];
    known.contains(&last) || more.contains(&last)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_member_that_became_unreadable_unsays_no_start(
        case in any_case(),
        at in any::<prop::sample::Index>(),
        odd in odd().prop_filter("a text has the form of a text", |odd| !odd.is_string()),
    ) {
        let before = answer(&case).1;
        let mut places = Vec::new();
        for (i, object) in std::iter::once(&case.run).chain(&case.tasks).enumerate() {
            let mut all = Vec::new();
            paths(&object["status"], "/status", &mut all);
            // The run's own end is what makes it a failure.
            let told = |at: &String| tells_of_a_start(at) && (i > 0 || !matches!(&**at, "/status" | "/status/conditions/0"));
            // An empty list is a form that a list has.
            let lists = |at: &String| odd != json!([]) || object.pointer(at).is_some_and(|value| !value.is_array());
            places.extend(all.into_iter().filter(told).filter(lists).map(|at| (i, at)));
        }
        prop_assume!(!places.is_empty());
        let (i, place) = at.get(&places);
        let mut changed = case.clone();
        let object = if *i == 0 { &mut changed.run } else { &mut changed.tasks[i - 1] };
        *object.pointer_mut(place).unwrap() = odd;
        let after = classify(&changed).is_none_or(|found| found.ran);
        prop_assert!(!before || after, "{place} of {i} in {changed:#?}");
    }

    #[test]
    fn nothing_that_is_stored_keeps_it_from_answering(
        case in any_case(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), odd()), 1..6),
    ) {
        let mut changed = case.clone();
        for (object, at, odd) in changes {
            let count = changed.tasks.len() + 1;
            let object = match object.index(count) {
                0 => &mut changed.run,
                i => &mut changed.tasks[i - 1],
            };
            let mut all = Vec::new();
            paths(object, "", &mut all);
            *object.pointer_mut(at.get::<String>(&all)).unwrap() = odd;
        }
        if let Some(found) = classify(&changed) {
            prop_assert!(!found.evidence.is_empty());
            prop_assert!(!found.summary(failure::Subject::default()).is_empty());
        }
    }
}
