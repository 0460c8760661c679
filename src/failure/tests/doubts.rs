//! What a record leaves open, and what it does not.

use super::*;

const COUNTED: &str = "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0";

fn run(condition: &str, more: &str) -> PipelineRun {
    let (reason, message) = condition.split_once(": ").unwrap();
    let condition = serde_json::json!({"type": "Succeeded", "status": "False", "reason": reason, "message": message});
    let json = format!(r#"{{"metadata": {{"name": "r"}}, "status": {{"conditions": [{condition}]{more}}}}}"#);
    PipelineRun::from_json(&json).unwrap()
}

fn task(status: &str, reason: &str, message: &str, more: &str) -> TaskRun {
    let condition = serde_json::json!({"type": "Succeeded", "status": status, "reason": reason, "message": message});
    let json = format!(
        r#"{{"metadata": {{"name": "t", "creationTimestamp": "2026-01-05T10:00:00Z"}}, "status": {{"conditions": [{condition}]{more}}}}}"#
    );
    TaskRun::from_json(&json).unwrap()
}

fn judge(tasks: &[&TaskRun]) -> Classification {
    of_run(&run(&format!("Failed: {COUNTED}"), ""), tasks.iter().copied(), false).unwrap()
}

/// YES, MAYBE or no.
fn ran(found: &Classification) -> &str {
    let (_, line) = found.told().into_iter().find(|(label, _)| *label == "ran").unwrap();
    ["YES", "MAYBE", "no"].into_iter().find(|answer| line.starts_with(answer)).unwrap()
}

const LATE: &str = "TaskRun \"t\" failed to finish within \"1h0m0s\"";
const NOT_ALL: &str = "Not all Steps in the Task have finished executing";
const REWRITTEN: &str = r#", "podName": "p", "steps": [{"name": "a", "terminated": {"reason": "TaskRunTimeout", "exitCode": 1, "startedAt": "2026-01-05T10:00:00Z"}}]"#;

#[test]
fn what_ran_until_time_was_up_may_have_been_a_step() {
    let kept = |reason: &str| format!("{LATE}\nPrevious status: [{reason}] {NOT_ALL}");
    for more in ["", r#", "podName": "p""#, REWRITTEN] {
        assert_eq!(ran(&judge(&[&task("False", "TaskRunTimeout", &kept("Running"), more)])), "MAYBE", "{more}");
    }
    assert_eq!(ran(&judge(&[&task("False", "TaskRunTimeout", &kept("Pending"), REWRITTEN)])), "no");
    // What somebody says who cancels it is not kept by Tekton.
    let by_hand = format!("TaskRun \"t\" was cancelled. x\nPrevious status: [Running] {NOT_ALL}");
    assert_eq!(ran(&judge(&[&task("False", "TaskRunCancelled", &by_hand, "")])), "no");
    let by_the_run = format!(
        "TaskRun \"t\" was cancelled. TaskRun cancelled as the PipelineRun it belongs to has timed out.\nPrevious status: [Running] {NOT_ALL}"
    );
    assert_eq!(ran(&judge(&[&task("False", "TaskRunCancelled", &by_the_run, "")])), "MAYBE");
}

/// As the real controller stores a Pod of which no kubelet had said a word.
#[test]
fn a_pod_that_was_pending_when_its_run_ended_did_nothing() {
    let cancelled = |how: &str, kept: &str| {
        let by = "TaskRun \"t\" was cancelled. TaskRun cancelled as the PipelineRun it belongs to has";
        let steps = r#", "podName": "p", "steps": [{"name": "a", "container": "step-a"}]"#;
        let message = format!("{by} {how}.\nPrevious status: [{kept}");
        ran(&judge(&[&task("False", "TaskRunCancelled", &message, steps)])).to_owned()
    };
    for how in ["timed out", "been cancelled"] {
        assert_eq!(cancelled(how, "Pending] Pending"), "no", "{how}");
        assert_eq!(cancelled(how, "Running] Not all Steps"), "MAYBE", "{how}");
        assert_eq!(cancelled(how, "Pending] pod status"), "MAYBE", "{how}");
    }
    // Whoever cancels a task by itself may write what he likes.
    assert_eq!(cancelled("been cancelled. Trust me", "Pending] Pending"), "MAYBE");
}

#[test]
fn a_sidecar_that_ran_may_have_acted() {
    let pull = "the step \"a\" in TaskRun \"t\" failed to pull the image \"\".";
    let sidecar = |state: &str| {
        let step = REWRITTEN.replace("TaskRunTimeout", "TaskRunImagePullFailed");
        let more = format!(r#"{step}, "sidecars": [{{"name": "s", "container": "sidecar-s", {state}}}]"#);
        judge(&[&task("False", "TaskRunImagePullFailed", pull, &more)])
    };
    let ended = r#""imageID": "i", "terminated": {"reason": "Completed", "exitCode": 0}"#;
    let refused = r#""imageID": "i", "terminated": {"reason": "StartError", "exitCode": 128}"#;
    let waits = r#""waiting": {"reason": "PodInitializing"}"#;
    let rows = [(ended, "MAYBE"), (r#""running": {}"#, "MAYBE"), (refused, "no"), (waits, "no")];
    for (state, answer) in rows {
        assert_eq!(ran(&sidecar(state)), answer, "{state}");
    }
    let told = &sidecar(ended).evidence[1];
    assert_eq!(
        format!("{}: {}", told.from, told.says),
        "TaskRun default/t sidecar s: may have started (terminated Completed, exit 0)"
    );
    let waiting = r#", "podName": "p", "steps": [{"name": "a", "waiting": {"reason": "PodInitializing"}}]"#;
    let told =
        |message: &str, more: &str| judge(&[&task("False", "SidecarFailed", message, &format!("{waiting}{more}"))]);
    assert_eq!(ran(&told("\"sidecar-s\" exited with code 1: Error", "")), "MAYBE");
    assert_eq!(ran(&told("\"sidecar-s\" exited with code 128: StartError", "")), "no");
    // Nobody is believed against the record.
    let never = r#", "sidecars": [{"name": "s", "terminated": {"reason": "StartError", "exitCode": 128}}]"#;
    assert_eq!(ran(&told("\"sidecar-s\" exited with code 1: Error", never)), "no");
}

#[test]
fn a_node_that_is_lost_leaves_it_open() {
    let lost = |more: &str| {
        judge(&[&task("False", "StepFailed", "\"step-a\" exited with code 137: ContainerStatusUnknown", more)])
    };
    let step = r#", "steps": [{"name": "a", "terminated": {"reason": "ContainerStatusUnknown", "exitCode": 137}}]"#;
    assert_eq!([ran(&lost("")), ran(&lost(step))], ["MAYBE", "MAYBE"]);
    let told =
        of_condition("Failed", "TaskRun t has failed (\"step-a\" exited with code 137: ContainerStatusUnknown)", true);
    assert_eq!(ran(&told), "MAYBE");
}

#[test]
fn of_copies_of_one_task_the_one_that_says_most_is_believed() {
    let ended = task("False", "Failed", "\"step-a\" exited with code 1", "");
    let stale = task("Unknown", "Pending", "Pending", "");
    let never = task("False", "TaskRunImagePullFailed", "x", "");
    for copies in [[&ended, &stale], [&stale, &ended], [&ended, &never], [&never, &ended]] {
        assert_eq!(ran(&judge(&copies)), "YES");
    }
    for copies in [[&never, &stale], [&stale, &never]] {
        let found = judge(&copies);
        assert_eq!((found.reason, ran(&found)), (Reason::ImagePullBackOff, "no"));
    }
}

#[test]
fn a_task_that_quota_holds_back_is_none_that_goes_on_but_for_who_hears_of_it_later() {
    let quota = "TaskRun Pod exceeded available resources: pods \"p\" is forbidden: exceeded quota: q";
    let held = task("Unknown", "ExceededResourceQuota", quota, "");
    let late = run("PipelineRunTimeout: PipelineRun \"r\" failed to finish within \"1h0m0s\"", "");
    assert!(!of_run(&late, [&held], false).unwrap().ran);
    let Account::Failed(found) = Account::of(&late, [&held], false) else { panic!("it failed") };
    assert!(found.ran && found.in_doubt(), "{found:?}");
    let with_pod = task("Unknown", "ExceededResourceQuota", quota, r#", "podName": "p""#);
    assert!(of_run(&late, [&with_pod], false).unwrap().ran);
}

#[test]
fn the_checks_of_a_condition_are_pods_of_the_workflow() {
    let check = |check: &str| {
        let more = format!(
            r#", "taskRuns": {{"t": {{"pipelineTaskName": "a", "conditionChecks": {check},
                "status": {{"conditions": [{{"type": "Succeeded", "status": "False", "reason": "ConditionCheckFailed", "message": "x"}}]}}}}}}"#
        );
        of_run(&run("ConditionCheckFailed: x", &more), [], false).unwrap()
    };
    let state = |state: &str| {
        check(&format!(r#"{{"c": {{"conditionName": "n", "status": {{"podName": "p", "check": {state}}}}}}}"#))
    };
    let ended = state(r#"{"terminated": {"exitCode": 1, "reason": "Error"}}"#);
    assert_eq!((ran(&ended), ended.reason), ("MAYBE", Reason::TaskFailed));
    assert_eq!(ended.evidence.last().unwrap().from.to_string(), "TaskRun default/t step n");
    assert_eq!(ran(&state(r#"{"running": {}}"#)), "YES");
    assert_eq!(ran(&state(r#"{"waiting": {"reason": "ErrImagePull"}}"#)), "no");
    for odd in [
        r#"{"c": {"status": {"podName": "p"}}}"#,
        r#"{"c": {"status": {"podName": "p", "check": 7}}}"#,
        r#"{"c": {"status": 7}}"#,
        r#"{"c": 7}"#,
        "7",
    ] {
        assert_eq!(ran(&check(odd)), "MAYBE", "{odd}");
    }
    for none in ["{}", "null", r#"{"c": {}}"#] {
        assert_eq!(ran(&check(none)), "no", "{none}");
    }
}

#[test]
fn a_container_that_was_started_again_has_run_whatever_became_of_its_last_state() {
    let count = |count: &str, state: &str| {
        let one = format!(r#"{{"name": "main", "restartCount": {count}, "state": {state}}}"#);
        of(&job("DeadlineExceeded", "", r#", "failed": 1"#), &[statuses(&one)]).unwrap()
    };
    let waits = r#"{"waiting": {"reason": "ContainerCreating"}}"#;
    for (restarts, state, ran) in [
        ("3", waits, true),
        ("\"many\"", waits, true),
        ("3", r#"{"terminated": {"reason": "StartError", "exitCode": 128}}"#, true),
        ("0", waits, false),
        ("null", waits, false),
    ] {
        assert_eq!(count(restarts, state).ran, ran, "{restarts} {state}");
    }
}

#[test]
fn a_job_counts_the_pods_that_end_now() {
    let late = |counts: &str, pods: &[String]| of(&job("DeadlineExceeded", "", counts), pods).unwrap().ran;
    for counts in [
        r#", "terminating": 1"#,
        r#", "uncountedTerminatedPods": {"failed": ["u"]}"#,
        r#", "uncountedTerminatedPods": {"succeeded": ["u"]}"#,
        r#", "uncountedTerminatedPods": {"failed": 7}"#,
        r#", "uncountedTerminatedPods": 7"#,
    ] {
        assert!(late(counts, &[]), "{counts}");
    }
    for counts in [r#", "terminating": 0, "active": 0"#, r#", "uncountedTerminatedPods": {}"#] {
        assert!(!late(counts, &[]), "{counts}");
    }
    // A Pod that was told twice is one.
    let refused = ended("StartError", 128);
    assert!(!late(r#", "failed": 1"#, std::slice::from_ref(&refused)));
    assert!(late(r#", "failed": 2"#, &[refused.clone(), refused]));
}

#[test]
fn a_task_without_a_condition_is_over_where_it_is_counted_and_its_steps_wait_for_what_is_not_there() {
    let task = |steps: &str| {
        TaskRun::from_json(&format!(
            r#"{{"metadata": {{"name": "t"}}, "status": {{"podName": "p", "steps": {steps}}}}}"#
        ))
        .unwrap()
    };
    let waits = task(r#"[{"name": "a", "waiting": {"reason": "ErrImagePull"}}]"#);
    assert_eq!(ran(&judge(&[&waits])), "no");
    let uncounted = run("Cancelled: PipelineRun \"r\" was cancelled", "");
    assert_eq!(ran(&of_run(&uncounted, [&waits], false).unwrap()), "MAYBE");
    assert_eq!(ran(&judge(&[&task(r#"[{"name": "a", "waiting": {"reason": "PodInitializing"}}]"#)])), "MAYBE");
    assert_eq!(ran(&judge(&[&task("[]")])), "MAYBE");
}

// What is said of it.

/// The lines with this label.
fn lines(found: &Classification, wanted: &str) -> Vec<String> {
    found.told().into_iter().filter(|(label, _)| *label == wanted).map(|(_, line)| line).collect()
}

#[test]
fn what_kept_a_container_from_being_is_said_in_the_kubelets_words() {
    let step = r#", "steps": [{"name": "a", "waiting": {"reason": "CreateContainerConfigError", "message": "secret \"x\" not found"}}]"#;
    let found =
        judge(&[&task("False", "CreateContainerConfigError", "Failed to create pod due to config error", step)]);
    let why = r#"TaskRun default/t step a: waiting CreateContainerConfigError: secret "x" not found [kubelet]"#;
    assert_eq!((found.reason, lines(&found, "why")), (Reason::ConfigurationError, vec![why.to_owned()]));
    let end = |reason: &str| {
        let step = format!(
            r#", "steps": [{{"name": "a", "imageID": "i", "terminated": {{"reason": "{reason}", "exitCode": 128, "message": "exec: foo: not found"}}}}]"#
        );
        let message = format!("\"step-a\" exited with code 128: {reason}");
        lines(&judge(&[&task("False", "StepFailed", &message, &step)]), "why")
    };
    let why = "TaskRun default/t step a: terminated StartError, exit 128: exec: foo: not found [kubelet]";
    assert_eq!(end("StartError"), [why]);
    assert!(!end("Error").concat().contains("foo"), "what the workflow wrote is no evidence");
}

#[test]
fn a_sidecar_that_failed_is_named_and_advised_upon() {
    let of = |reason: &str, end: &str, code: i32| {
        let more = format!(
            r#", "podName": "p", "steps": [{{"name": "a"}}], "sidecars": [{{"name": "o", "imageID": "i", "terminated": {{"reason": "Error", "exitCode": 1}}}},
                {{"name": "s", "imageID": "i", "terminated": {{"reason": "{end}", "exitCode": {code}}}}}]"#
        );
        let found = judge(&[&task("False", reason, &format!("\"sidecar-s\" exited with code {code}: {end}"), &more)]);
        (lines(&found, "where").concat(), lines(&found, "do").concat(), found)
    };
    let (place, advice, found) = of("SidecarOOM", "OOMKilled", 137);
    assert_eq!(place, "task t, sidecar s, exit code 137");
    assert!(advice.contains("limit of the sidecar"), "{advice}");
    assert!(found.summary(Subject::default()).contains("failed in task t, sidecar s: "));
    assert_eq!(found.step, None, "the CRD has a place for a step alone");
    let (place, advice, _) = of("SidecarFailed", "Error", 1);
    assert_eq!(place, "task t, sidecar s, exit code 1");
    assert!(advice.starts_with("read the log of the sidecar; "), "{advice}");
}

#[test]
fn nothing_is_said_to_be_changed_where_nothing_ran() {
    let found = of_condition("Failed", "Tasks Completed: 0 (Failed: 0, Cancelled 0), Skipped: 2", true);
    let found = Classification { reason: Reason::TaskFailed, ..found };
    assert!(!found.ran && !lines(&found, "do").concat().contains("changed"));
}

#[test]
fn names_and_reasons_of_others_stay_on_their_line() {
    let step = r#", "steps": [{"name": "a\u001b[0m\nran     no", "imageID": "i",
        "terminated": {"reason": "Er\u001b[31mror\nNothing ran.", "exitCode": 2}}]"#;
    let found = judge(&[&task("False", "Failed\n\u{1b}x", "\u{1b}[2Jevil\nran     no", step)]);
    let summary = found.summary(Subject::default());
    assert_eq!(summary.lines().filter(|line| line.starts_with("ran") || line.starts_with("Nothing ran")).count(), 0);
    let told: Vec<_> = found.told().into_iter().map(|(_, line)| line).chain([found.because()]).collect();
    let said = found.evidence.iter().map(|evidence| evidence.says.clone());
    for line in told.into_iter().chain(said).chain(summary.lines().map(str::to_owned)) {
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

/// Another attempt followed, so it ended.
#[test]
fn an_attempt_before_whose_end_is_not_told_may_have_run() {
    let steps = r#""podName": "p", "steps": [{"name": "a", "waiting": {"reason": "PodInitializing"}}]"#;
    let refused =
        r#", "podName": "p", "steps": [{"name": "a", "terminated": {"reason": "StartError", "exitCode": 128}}]"#;
    for (condition, told) in [
        (
            r#""conditions": [{"type": "Succeeded", "status": "False", "reason": "InitContainerFailed", "message": "init container failed, \"prepare\" exited with code 1: Error"}],"#,
            "no",
        ),
        (
            r#""conditions": [{"type": "Succeeded", "status": "Unknown", "reason": "Pending", "message": "Pending"}],"#,
            "MAYBE",
        ),
        ("", "MAYBE"),
    ] {
        let more = format!(r#"{refused}, "retriesStatus": [{{{condition} {steps}}}]"#);
        let task = task("False", "StepFailed", "\"step-a\" exited with code 128: StartError", &more);
        assert_eq!(ran(&judge(&[&task])), told, "{condition}");
    }
    let more = format!(r#"{refused}, "retriesStatus": [{{}}]"#);
    let task = task("False", "StepFailed", "\"step-a\" exited with code 128: StartError", &more);
    assert_eq!(ran(&judge(&[&task])), "MAYBE", "nothing is told of it");
}
