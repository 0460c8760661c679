//! Rows of data: what Tekton, the kubelet or the API server recorded, and what became of it.

#[path = "../../tests/support/cases.rs"]
mod cases;

use serde_json::Value;

use super::*;
use crate::api::tekton::{Job, PipelineRun, Pod, TaskRun};
use cases::Case;

mod doubts;
mod refusals;

fn classify(case: &Case) -> Classification {
    let run = PipelineRun::from_json(&case.run.to_string()).unwrap();
    let tasks: Vec<_> = case.tasks.iter().map(|task| TaskRun::from_json(&task.to_string()).unwrap()).collect();
    of_run(&run, &tasks, false).expect("it failed")
}

#[test]
fn every_line_of_tektons_reasons_gets_its_class_and_its_flag() {
    let wrong: Vec<_> = cases::own().iter().filter_map(|case| fault(case, &classify(case))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn fault(case: &Case, found: &Classification) -> Option<String> {
    let well = case.reasons[0] == found.reason.as_str() && found.ran == case.ran;
    let same = |(member, expected): (&String, &Value)| {
        let got = match member.as_str() {
            "task" => found.task.as_ref().map(|task| Value::from(&*task.name)),
            "index" => found.task.as_ref().map(|task| Value::from(task.index)),
            "step" => found.step.as_deref().map(Value::from),
            _ => found.exit_code.map(Value::from),
        };
        got.unwrap_or_default() == *expected
    };
    (!well || !case.fixed.iter().all(same))
        .then(|| format!("{}: {:?} ran {}: {found:?}", case.name, case.reasons, case.ran))
}

// Jobs.

const DONE: &str = r#"{"type": "Complete", "status": "True"}"#;

fn job(reason: &str, message: &str, counts: &str) -> String {
    let condition = serde_json::json!({
        "type": "Failed", "status": "True", "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-05T10:10:00Z",
    });
    format!(r#"{{"metadata": {{"name": "j", "namespace": "n"}}, "status": {{"conditions": [{condition}]{counts}}}}}"#)
}

fn pod(status: &str) -> String {
    format!(r#"{{"metadata": {{"name": "p", "namespace": "n"}}, "status": {status}}}"#)
}

fn of(job: &str, pods: &[String]) -> Option<Classification> {
    let pods: Vec<_> = pods.iter().map(|pod| Pod::from_json(pod).unwrap()).collect();
    of_job(&Job::from_json(job).unwrap(), &pods, false)
}

fn statuses(of: &str) -> String {
    pod(&format!(r#"{{"phase": "Failed", "containerStatuses": [{of}]}}"#))
}

fn ended(reason: &str, code: i32) -> String {
    statuses(&format!(
        r#"{{"name": "main", "imageID": "i", "state": {{"terminated": {{"reason": "{reason}", "exitCode": {code}, "finishedAt": "2026-01-05T10:09:00Z"}}}}}}"#
    ))
}

#[test]
fn a_job_is_judged_by_its_pods_and_its_condition() {
    let waits = |reason: &str| {
        pod(&format!(
            r#"{{"phase": "Pending", "containerStatuses": [{{"name": "main", "state": {{"waiting": {{"reason": "{reason}"}}}}}}]}}"#
        ))
    };
    let whole = |reason: &str, message: &str| {
        pod(&format!(r#"{{"phase": "Failed", "reason": "{reason}", "message": "{message}"}}"#))
    };
    let unplaced = |message: &str| {
        pod(&format!(
            r#"{{"phase": "Pending", "conditions": [{{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "{message}"}}]}}"#
        ))
    };
    let before = |reason: &str, now: &str| {
        statuses(&format!(
            r#"{{"name": "main", "imageID": "i", "restartCount": 3, "state": {{"waiting": {{"reason": "{now}"}}}},
                "lastState": {{"terminated": {{"reason": "{reason}", "exitCode": 137}}}}}}"#
        ))
    };
    let lost = |member: &str| {
        statuses(&format!(
            r#"{{"name": "main", "state": {{"waiting": {{"reason": "PodInitializing"}}}}, "lastState": {member}}}"#
        ))
    };
    let init = pod(r#"{"phase": "Pending", "initContainerStatuses": [{"name": "prepare", "imageID": "i",
            "state": {"terminated": {"reason": "Error", "exitCode": 4}}}],
            "containerStatuses": [{"name": "main", "state": {"waiting": {"reason": "PodInitializing"}}}]}"#);
    let running = statuses(r#"{"name": "main", "imageID": "i", "state": {"running": {}}}"#);
    let none: &[String] = &[];
    let counted = r#", "failed": 1"#;
    let backoff = |pods: &[String]| {
        of(&job("BackoffLimitExceeded", "Job has reached the specified backoff limit", counted), pods)
    };
    let late = |counts: &str, pods: &[String]| {
        of(&job("DeadlineExceeded", "Job was active longer than specified deadline", counts), pods)
    };
    let rows = [
        ("exit 1", backoff(&[ended("Error", 1)]), Reason::TaskFailed, true),
        ("memory", backoff(&[ended("OOMKilled", 137)]), Reason::OomKilled, true),
        ("lost", backoff(&[ended("ContainerStatusUnknown", 137)]), Reason::Unknown, true),
        ("not started", backoff(&[ended("StartError", 128)]), Reason::ConfigurationError, false),
        ("image", backoff(&[waits("ImagePullBackOff")]), Reason::ImagePullBackOff, false),
        ("no secret", backoff(&[waits("CreateContainerConfigError")]), Reason::ConfigurationError, false),
        (
            "memory, and it waits to be started again",
            backoff(&[before("OOMKilled", "CrashLoopBackOff")]),
            Reason::OomKilled,
            true,
        ),
        (
            "not started, and it waits to be started again",
            backoff(&[before("StartError", "CrashLoopBackOff")]),
            Reason::ConfigurationError,
            true,
        ),
        ("crashed, and not told how", backoff(&[waits("CrashLoopBackOff")]), Reason::TaskFailed, true),
        (
            "it ended before, and what it is now is not told",
            backoff(&[statuses(
                r#"{"name": "main", "imageID": "i", "lastState": {"terminated": {"reason": "Error", "exitCode": 2}}}"#,
            )]),
            Reason::TaskFailed,
            true,
        ),
        ("it was something before", backoff(&[lost("7")]), Reason::TaskFailed, true),
        ("it was nothing before", backoff(&[lost("{}")]), Reason::TaskFailed, false),
        ("init container", backoff(std::slice::from_ref(&init)), Reason::TaskFailed, true),
        (
            "evicted",
            backoff(&[whole("Evicted", "The node was low on resource: memory. ")]),
            Reason::ResourceExhausted,
            true,
        ),
        (
            "turned away",
            backoff(&[whole("OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu")]),
            Reason::ResourceExhausted,
            false,
        ),
        (
            "the Pod's own deadline",
            backoff(&[whole("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")]),
            Reason::DeadlineExceeded,
            true,
        ),
        (
            "preempted",
            backoff(&[whole("", "Preempted in order to admit critical pod")]),
            Reason::ResourceExhausted,
            true,
        ),
        (
            "a node that went down",
            backoff(&[whole("Terminated", "Pod was terminated in response to imminent node shutdown.")]),
            Reason::TaskFailed,
            true,
        ),
        ("no Pod is known", backoff(none), Reason::TaskFailed, true),
        ("no Pod is known or counted", of(&job("BackoffLimitExceeded", "", ""), none), Reason::TaskFailed, true),
        (
            "a Pod that is not known",
            of(&job("BackoffLimitExceeded", "", r#", "failed": 2"#), &[ended("StartError", 128)]),
            Reason::ConfigurationError,
            true,
        ),
        ("a count that cannot be read", late(r#", "failed": "many""#, none), Reason::DeadlineExceeded, true),
        (
            "failure policy",
            of(
                &job(
                    "PodFailurePolicy",
                    "Container main for pod n/p failed with exit code 42 matching FailJob rule at index 0",
                    counted,
                ),
                &[ended("Error", 42)],
            ),
            Reason::TaskFailed,
            true,
        ),
        ("late, at work", late(counted, std::slice::from_ref(&running)), Reason::DeadlineExceeded, true),
        ("late, exit 1", late(counted, &[ended("Error", 1)]), Reason::DeadlineExceeded, true),
        ("late, no image", late(counted, &[waits("ErrImagePull")]), Reason::ImagePullBackOff, false),
        (
            "late, no room",
            late(counted, &[unplaced("0/3 nodes are available: 3 Insufficient cpu.")]),
            Reason::ResourceExhausted,
            false,
        ),
        (
            "late, no such node",
            late(counted, &[unplaced("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.")]),
            Reason::ConfigurationError,
            false,
        ),
        ("late, and no Pod was made", late("", none), Reason::DeadlineExceeded, false),
        ("late, and a Pod had begun", late(counted, &[pod(r#"{"phase": "Running"}"#)]), Reason::DeadlineExceeded, true),
        ("late, and a Pod had not", late(counted, &[pod(r#"{"phase": "Pending"}"#)]), Reason::DeadlineExceeded, false),
        ("late, and a Pod's phase is odd", late(counted, &[pod(r#"{"phase": 3}"#)]), Reason::DeadlineExceeded, true),
        ("late, and a Pod cannot be read", late(counted, &[pod("4")]), Reason::DeadlineExceeded, true),
        ("late, and nothing stands in a Pod", late(counted, &[pod("null")]), Reason::DeadlineExceeded, false),
        ("another reason", of(&job("Unheard", "boom", counted), &[pod("null")]), Reason::Unknown, false),
        (
            "another reason, an error in it",
            of(&job("Unheard", r#"pods "p" is forbidden: exceeded quota: q"#, counted), &[pod("null")]),
            Reason::ResourceExhausted,
            false,
        ),
    ];
    for (what, found, reason, ran) in rows {
        let found = found.unwrap();
        assert_eq!((found.reason, found.ran), (reason, ran), "{what}: {found:?}");
    }
}

#[test]
fn a_job_names_the_container_its_code_and_its_end() {
    let found = of(&job("BackoffLimitExceeded", "limit", r#", "failed": 1"#), &[ended("Error", 4)]).unwrap();
    assert_eq!((found.step.as_deref(), found.exit_code), (Some("main"), Some(4)));
    assert_eq!(found.failed_at, Some("2026-01-05T10:09:00Z".parse().unwrap()));
    assert_eq!(&*found.message, "limit");
}

#[test]
fn the_newest_attempt_of_a_job_tells() {
    let made = |name: &str, at: &str, status: &str| {
        format!(
            r#"{{"metadata": {{"name": "{name}", "creationTimestamp": "2026-01-05T10:{at}:00Z"}}, "status": {status}}}"#
        )
    };
    let of_code = |code: i32| {
        format!(
            r#"{{"phase": "Failed", "containerStatuses": [{{"name": "m", "imageID": "i", "state": {{"terminated": {{"reason": "Error", "exitCode": {code}}}}}}}]}}"#
        )
    };
    let pods = [made("a", "00", &of_code(1)), made("b", "05", &of_code(2))];
    let found = of(&job("BackoffLimitExceeded", "", r#", "failed": 2"#), &pods).unwrap();
    assert_eq!(found.exit_code, Some(2));
}

#[test]
fn a_job_that_is_done_or_goes_on_has_not_failed() {
    assert_eq!(of(&format!(r#"{{"metadata": {{"name": "j"}}, "status": {{"conditions": [{DONE}]}}}}"#), &[]), None);
    assert_eq!(of(r#"{"metadata": {"name": "j"}, "status": {"active": 1}}"#, &[]), None);
    assert_eq!(of(r#"{"metadata": {"name": "j"}, "status": 7}"#, &[]), None);
}

#[test]
fn what_a_watcher_saw_at_work_stays_seen() {
    let job = Job::from_json(&job("DeadlineExceeded", "", "")).unwrap();
    assert!(!of_job(&job, [], false).unwrap().ran);
    let found = of_job(&job, [], true).unwrap();
    assert!(found.ran && found.evidence[1].weight == Weight::Kubelet);
    let run = PipelineRun::from_json(
        r#"{"metadata": {"name": "r"}, "status": {"conditions": [{"type": "Succeeded", "status": "False", "reason": "Cancelled", "message": "PipelineRun \"r\" was cancelled"}]}}"#,
    )
    .unwrap();
    assert!(!of_run(&run, [], false).unwrap().ran);
    assert!(of_run(&run, [], true).unwrap().ran);
}

// A condition that a status repeats.

#[test]
fn a_status_does_not_say_what_children_there_were() {
    let timeout = r#"PipelineRun "r" failed to finish within "1h0m0s""#;
    for (reason, message, ran) in [
        ("PipelineRunTimeout", timeout, true),
        ("Cancelled", r#"PipelineRun "r" was cancelled"#, true),
        ("CreateRunFailed", "x", true),
        // Tasks are looked up, and verified, whenever Tekton looks at the run: one may be gone before its turn comes.
        ("CouldntGetTask", "x", true),
        ("ResourceVerificationFailed", "x", true),
        ("CouldntGetResource", "x", true),
        ("CouldntGetCondition", "x", true),
        ("Failed", "x", true),
        ("Failed", "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0", true),
        // Said before there can be any, or with their number.
        ("CouldntGetPipeline", "x", false),
        ("ParameterMissing", "x", false),
        ("Failed", "Tasks Completed: 0 (Failed: 0, Cancelled 0), Skipped: 2", false),
        ("Cancelled", "Tasks Completed: 0 (Failed: 0, Cancelled 0), Skipped: 2", false),
        // Nobody's words, as fixed.
        ("PipelineRunFailed", "unexpected error occurred", false),
        ("TaskRunImagePullFailed", "Failed to pull image: image pull backoff", false),
    ] {
        for started in [true, false] {
            assert_eq!(of_condition(reason, message, started).ran, ran, "{reason} {message} {started}");
        }
    }
}

#[test]
fn a_run_that_counts_more_tasks_than_are_known_may_have_run() {
    let waiting = r#"{"metadata": {"name": "t"}, "status": {"podName": "p", "conditions": [{"type": "Succeeded", "status": "False", "reason": "TaskRunImagePullFailed", "message": "x"}],
        "steps": [{"name": "a", "terminated": {"reason": "TaskRunImagePullFailed", "exitCode": 1}}]}}"#;
    let task = TaskRun::from_json(waiting).unwrap();
    let found = |completed: usize| {
        let run = format!(
            r#"{{"metadata": {{"name": "r"}}, "status": {{"childReferences": [{{"kind": "TaskRun", "name": "t"}}],
            "conditions": [{{"type": "Succeeded", "status": "False", "reason": "Failed", "message": "Tasks Completed: {completed} (Failed: 1, Cancelled 0), Skipped: 0"}}]}}}}"#
        );
        of_run(&PipelineRun::from_json(&run).unwrap(), [&task], false).unwrap()
    };
    assert_eq!((found(1).reason, found(1).ran), (Reason::ImagePullBackOff, false));
    let more = found(2);
    assert_eq!((more.reason, more.ran), (Reason::ImagePullBackOff, true));
    assert_eq!(more.evidence.last().unwrap().says, "2 tasks completed, and 1 are known");
}

// What is known of a run.

#[test]
fn a_run_goes_on_went_well_or_failed() {
    let run = |status: &str| {
        let json = format!(r#"{{"metadata": {{"name": "r"}}, "status": {status}}}"#);
        PipelineRun::from_json(&json).unwrap()
    };
    let said = |status: &str| {
        run(&format!(r#"{{"conditions": [{{"type": "Succeeded", "status": "{status}", "reason": "Cancelled"}}]}}"#))
    };
    let at_work =
        TaskRun::from_json(r#"{"metadata": {"name": "t"}, "status": {"steps": [{"name": "a", "running": {}}]}}"#)
            .unwrap();
    assert_eq!(Account::default(), Account::Unknown);
    let settled = [Account::Unknown, Account::Succeeded, Account::Gone { ran: true }];
    assert!(settled.iter().all(|account| !account.is_unsettled()) && Account::GoesOn { ran: None }.is_unsettled());
    assert_eq!(Account::of(&said("True"), [], false), Account::Succeeded);
    assert!(matches!(Account::of(&said("False"), [], false), Account::Failed(_)));
    assert_eq!(Account::of(&said("Unknown"), [], false), Account::GoesOn { ran: None });
    assert!(matches!(Account::of(&said("Unknown"), [&at_work], false), Account::GoesOn { ran: Some(_) }));
    assert_eq!(Account::of(&run("null"), [], false), Account::GoesOn { ran: None });
    assert!(matches!(Account::of(&run("[]"), [], false), Account::GoesOn { ran: Some(_) }));
}

// Words.

#[test]
fn every_reason_has_its_words_and_a_recommendation() {
    for reason in Reason::ALL {
        assert_eq!(Reason::from_text(&reason.to_string()), Some(reason));
        let found = Classification { reason, ..of_condition("", "", false) };
        let summary = found.summary(Subject::default());
        assert!(summary.contains(&format!("({reason}).\n")), "{summary}");
        assert!(summary.lines().last().unwrap().starts_with("Recommendation: "), "{summary}");
        assert_eq!(reason.executors_own(), matches!(reason, Reason::UnsupportedEngine | Reason::Deduplicated));
    }
    assert_eq!(Reason::from_text("RaceConditionError"), None);
}

#[test]
fn a_summary_says_what_failed_where_why_and_what_to_do() {
    let case =
        cases::own().into_iter().find(|case| case.name.starts_with("2 StepFailed: a step's own timeout")).unwrap();
    let found = classify(&case);
    let summary = found.summary(Subject { workflow: Some("restart"), target: Some("payments/Deployment/api") });
    let lines = [
        "Workflow restart on payments/Deployment/api failed in task t, step a: it did not finish in time (DeadlineExceeded) (exit code 1).",
        "Message: \"step-a\" exited because the step exceeded the specified timeout limit",
        "Evidence: TaskRun n/t step a: ended by its timeout (TimeoutExceeded)",
        "Evidence: TaskRun n/t step a: started (terminated Error, exit 1)",
        "Something ran, or may have: look at the target before anything runs on it again.",
        "Recommendation: look at what it waited for; then raise the timeout or take a faster variant.",
    ];
    assert_eq!(summary.lines().collect::<Vec<_>>(), lines);
    let late = of_late().summary(Subject::default());
    assert!(
        late.ends_with(
            "Recommendation: look at what it waited for before it could start; then give a new execution more time."
        ),
        "{late}"
    );
    assert_eq!(found.because(), "TaskRun n/t step a");
    assert_eq!(Classification { evidence: Vec::new(), ..found }.because(), "no evidence");
}

#[test]
fn the_weights_of_evidence_stand_in_the_order_of_belief() {
    use Weight::*;
    let all = [Kubelet, TaskRun, Run, Message, Embedded, Doubt];
    assert!(all.is_sorted());
    assert_eq!(all.map(Weight::as_str), ["kubelet", "taskRun", "run", "message", "embedded", "doubt"]);
}

#[test]
fn lines_for_a_terminal_say_nothing_twice() {
    let told = |start: &str| {
        let case = cases::own().into_iter().find(|case| case.name.starts_with(start)).unwrap();
        classify(&case).told()
    };
    let lines = |told: &[(&'static str, String)]| told.iter().map(|(label, _)| *label).collect::<Vec<_>>();
    let step = told("2 StepFailed: a step's own timeout");
    assert_eq!(lines(&step), ["failed", "ran", "where", "why", "why", "said", "do"]);
    assert_eq!(step[1].1, "YES: look at the target before anything runs on it again");
    assert_eq!(step[2].1, "task t, step a, exit code 1");
    assert_eq!(step[3].1, "TaskRun n/t step a: ended by its timeout (TimeoutExceeded) [taskRun]");
    let quoted = told("2 PodAdmissionFailed: PodSecurity");
    assert_eq!(lines(&quoted), ["failed", "ran", "where", "why", "do"]);
    assert_eq!(quoted[1].1, "no: the target is as it was");
    let gone = told("0: a task that is referred to and is gone");
    assert_eq!(lines(&gone), ["failed", "ran", "why", "why", "said", "do"]);
    assert_eq!(gone[1].1, "MAYBE: look at the target before anything runs on it again");
}

#[test]
fn a_message_of_another_shape_is_no_exit() {
    for message in [
        "",
        "step-a exited with code 1",
        "\"step-a\" exited",
        "\"step-a\" exited with code one",
        "\"a\" said \"step-b\" exited with code 1",
        "\"step-a\" exited with code 99999999999",
    ] {
        assert_eq!(text::exit(message), None, "{message}");
    }
    assert_eq!(text::exit("\"step-a\" exited with code -1").unwrap().code, -1);
    assert_eq!(text::counts("Tasks Completed: x (Failed: 1, Cancelled 0)"), None);
    assert_eq!(
        text::counts("Tasks Completed: 1 (Failed: 1, Cancelled 0"),
        text::counts("Tasks Completed: 1 (Failed: 1, Cancelled 0)")
    );
}

// The table.

#[test]
fn no_reason_stands_twice_in_its_table_and_each_release_is_one() {
    for rows in [table::PIPELINE_RUN.as_slice(), table::TASK_RUN.as_slice()] {
        let mut reasons: Vec<_> = rows.iter().map(|row| row.reason).collect();
        reasons.sort_unstable();
        assert!(reasons.windows(2).all(|two| two[0] != two[1]));
        for row in rows {
            let (major, minor) = row.since.split_once('.').unwrap();
            assert!(major.parse::<u8>().is_ok_and(|major| major < 2) && minor.parse::<u8>().is_ok(), "{row:?}");
        }
    }
}

// Two records of one thing.

fn only(run: &str, task: &str) -> Classification {
    of_run(&PipelineRun::from_json(run).unwrap(), [&TaskRun::from_json(task).unwrap()], false).unwrap()
}

const COUNTED: &str = r#""conditions": [{"type": "Succeeded", "status": "False", "reason": "Failed", "message": "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0"}]"#;

#[test]
fn a_step_whose_end_is_not_recorded_denies_no_sentence_that_tells_of_it() {
    let run = format!(
        r#"{{"metadata": {{"name": "r"}}, "status": {{"childReferences": [{{"kind": "TaskRun", "name": "t"}}], {COUNTED}}}}}"#
    );
    let task = |step: &str| {
        format!(
            r#"{{"metadata": {{"name": "t"}}, "status": {{"podName": "p", "steps": [{{"name": "x" {step}}}],
            "conditions": [{{"type": "Succeeded", "status": "False", "reason": "Failed", "message": "\"step-x\" exited with code 1"}}]}}}}"#
        )
    };
    for step in ["", r#", "waiting": {"reason": "PodInitializing"}"#] {
        assert!(only(&run, &task(step)).ran, "{step}");
    }
    let rewritten = r#", "terminated": {"reason": "TaskRunImagePullFailed", "exitCode": 1}"#;
    assert!(!only(&run, &task(rewritten)).ran);
}

#[test]
fn what_an_embedded_record_saw_is_not_lost_to_a_fresh_task_of_its_name() {
    let ended = r#"{"podName": "p", "conditions": [{"type": "Succeeded", "status": "False", "reason": "Failed", "message": "x"}],
        "steps": [{"name": "x", "imageID": "i", "terminated": {"exitCode": 1, "reason": "Error"}}]}"#;
    let run = format!(
        r#"{{"metadata": {{"name": "r"}}, "status": {{"taskRuns": {{"t": {{"pipelineTaskName": "a", "status": {ended}}}}}, {COUNTED}}}}}"#
    );
    let fresh = r#"{"metadata": {"name": "t"}, "status": {"podName": "p2",
        "conditions": [{"type": "Succeeded", "status": "False", "reason": "TaskRunImagePullFailed", "message": "x"}],
        "steps": [{"name": "x", "terminated": {"exitCode": 1, "reason": "TaskRunImagePullFailed"}}]}}"#;
    assert!(only(&run, fresh).ran);
}
