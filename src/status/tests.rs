//! Rows: who writes what over what, while this is known of the run, and what becomes of it.

use serde_json::{Value, json};

use super::*;
use crate::api::tekton::{PipelineRun, TaskRun};
use crate::failure::Reason as Why;

const NOW: &str = "2026-01-05T10:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn record(status: &Value) -> Record {
    let object = json!({
        "metadata": {"name": "we-1", "namespace": "payments", "creationTimestamp": "2026-01-05T09:50:00Z"},
        "spec": {"targetResource": "payments/Deployment/api", "workflowRef": {"workflowId": "restart"}},
        "status": status,
    });
    Record::from_json(&object.to_string()).unwrap()
}

/// A write of `new` over `old`.
struct Scene {
    old: Value,
    new: Value,
    user: &'static str,
    account: Account,
    rules: Rules,
}

fn write(old: Value, new: Value) -> Scene {
    Scene { old, new, user: "alice", account: Account::Unknown, rules: Rules::default() }
}

impl Scene {
    fn by(self, user: &'static str) -> Self {
        Self { user, ..self }
    }

    fn knowing(self, account: Account) -> Self {
        Self { account, ..self }
    }

    fn classification(mut self, mode: Mode) -> Self {
        self.rules.classification = mode;
        self
    }

    fn ask<T>(&self, question: impl FnOnce(&Write<'_>) -> T) -> T {
        let (old, new) = (record(&self.old), record(&self.new));
        question(&Write { old: &old, new: &new, user: self.user, account: &self.account, now: now() })
    }

    fn amended(&self) -> Amendment {
        self.ask(|write| amend(write, &self.rules))
    }

    /// What is refused, and of which member.
    fn refused(&self) -> Option<(Reason, String)> {
        self.ask(|write| guard(write, &self.rules)).map(|refusal| (refusal.reason, refusal.field))
    }

    /// The status as it leaves. Amending it once more changes nothing, and the guard lets it pass.
    fn stored(mut self) -> Value {
        let changes = self.amended().changes;
        apply(&mut self.new, changes);
        assert_eq!(self.amended().changes, [], "twice");
        assert_eq!(self.refused(), None);
        self.new
    }
}

fn apply(status: &mut Value, changes: Vec<Change>) {
    for Change { path, value } in changes {
        let (last, parents) = path[1..].split_last().unwrap();
        let parent = parents.iter().fold(&mut *status, |place, member| match place {
            Value::Array(list) => &mut list[member.parse::<usize>().unwrap()],
            place => &mut place[member.as_str()],
        });
        match value {
            Some(value) => parent[last.as_str()] = value,
            None => assert!(parent.as_object_mut().unwrap().remove(last).is_some(), "what is not there cannot go"),
        }
    }
}

fn running() -> Value {
    json!({"phase": "Running", "startTime": "2026-01-05T09:51:00Z", "executionRef": {"name": "wfe-1"}})
}

fn failed(reason: &str, ran: bool) -> Value {
    json!({"phase": "Failed", "startTime": "2026-01-05T09:51:00Z", "completionTime": "2026-01-05T09:59:00Z",
        "executionRef": {"name": "wfe-1"}, "failureDetails": details(reason, ran)})
}

fn details(reason: &str, ran: bool) -> Value {
    json!({"reason": reason, "wasExecutionFailure": ran, "message": "m", "failedTaskIndex": 0, "failedTaskName": "",
        "failedAt": "2026-01-05T09:59:00Z", "executionTimeBeforeFailure": "8m0s", "naturalLanguageSummary": "s"})
}

fn with(mut status: Value, member: &str, value: Value) -> Value {
    status[member] = value;
    status
}

fn without(mut status: Value, member: &str) -> Value {
    status.as_object_mut().unwrap().remove(member);
    status
}

fn told_by_its_run(reason: &str, message: &str) -> Value {
    let run = json!({"status": "False", "reason": reason, "message": message});
    with(without(failed("Unknown", false), "failureDetails"), "executionStatus", run)
}

fn run(condition: &Value, children: &[&str]) -> PipelineRun {
    let children: Vec<_> = children.iter().map(|name| json!({"kind": "TaskRun", "name": name})).collect();
    let object = json!({"metadata": {"name": "wfe-1", "namespace": "w"}, "status": {"conditions": [condition],
        "childReferences": children, "completionTime": "2026-01-05T09:58:30Z"}});
    PipelineRun::from_json(&object.to_string()).unwrap()
}

/// A run whose step was killed for its memory.
fn killed() -> Account {
    let condition = json!({"type": "Succeeded", "status": "False", "reason": "Failed",
        "message": "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 1"});
    let task = json!({"metadata": {"name": "t-1", "namespace": "w"}, "status": {"podName": "p", "completionTime": "2026-01-05T09:58:00Z",
        "conditions": [{"type": "Succeeded", "status": "False", "reason": "StepOOM", "message": "\"step-patch\" exited with code 137: OOMKilled"}],
        "steps": [{"name": "patch", "imageID": "i", "terminated": {"reason": "OOMKilled", "exitCode": 137}}]}});
    let task = TaskRun::from_json(&task.to_string()).unwrap();
    Account::of(&run(&condition, &["t-1"]), [&task], false)
}

/// The same run, after its tasks were pruned: its own words are a count.
fn pruned() -> Account {
    let condition = json!({"type": "Succeeded", "status": "False", "reason": "Failed",
        "message": "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 1"});
    Account::of(&run(&condition, &["t-1"]), [], false)
}

/// A run that could not even pull its image.
fn not_pulled() -> Account {
    let condition = json!({"type": "Succeeded", "status": "False", "reason": "Failed",
        "message": "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0"});
    let task = json!({"metadata": {"name": "t-1", "namespace": "w"}, "status": {"podName": "p",
        "conditions": [{"type": "Succeeded", "status": "False", "reason": "TaskRunImagePullFailed", "message": "the step \"a\" in TaskRun \"t-1\" failed to pull the image \"\". The pod errored with the message: \"Back-off pulling image \"x\".\""}],
        "steps": [{"name": "a", "terminated": {"reason": "TaskRunImagePullFailed", "exitCode": 1}}]}});
    let task = TaskRun::from_json(&task.to_string()).unwrap();
    Account::of(&run(&condition, &["t-1"]), [&task], false)
}

fn reason_and_flag(status: &Value) -> (&str, bool) {
    let details = &status["failureDetails"];
    (details["reason"].as_str().unwrap_or("none"), details["wasExecutionFailure"].as_bool().unwrap_or(false))
}

#[test]
fn the_seeds_rows_by_the_status_alone() {
    for (reason, message, started, expected, ran) in [
        ("TaskRunFailed", "task failed with exit code 1", true, "TaskFailed", true),
        ("TaskRunFailed", "task failed: OOMKilled", true, "OOMKilled", true),
        ("PipelineRunTimeout", "PipelineRun exceeded timeout of 10 minutes", true, "DeadlineExceeded", true),
        ("TaskRunFailed", "task failed: pods is forbidden: User cannot create resource", true, "Forbidden", true),
        ("TaskRunCreationFailed", "exceeded quota: compute resources", false, "ResourceExhausted", false),
        (
            "TaskRunValidationFailed",
            "invalid configuration: missing required parameter",
            false,
            "ConfigurationError",
            false,
        ),
        ("TaskRunImagePullFailed", "Failed to pull image: image pull backoff", false, "ImagePullBackOff", false),
        ("PipelineRunFailed", "unexpected error occurred", false, "Unknown", false),
    ] {
        let mut new = told_by_its_run(reason, message);
        if !started {
            new = without(new, "startTime");
        }
        let stored = write(running(), new).stored();
        assert_eq!(reason_and_flag(&stored), (expected, ran), "{message}");
        assert_eq!(stored["failureDetails"]["message"], message);
        let took = if started { "8m0s" } else { "0s" };
        assert_eq!(stored["failureDetails"]["executionTimeBeforeFailure"], took);
    }
}

#[test]
fn what_the_run_attests_replaces_what_was_sent_and_nothing_goes_on_saying_the_old_thing() {
    let conditions = json!([{"type": "Ready", "reason": "NotReady", "message": "x"},
        {"type": "ExecutionComplete", "reason": "ExecutionFailed", "message": "unexpected error occurred"}]);
    let new = with(with(failed("Unknown", false), "conditions", conditions), "failureReason", json!("Unknown"));
    let scene = write(running(), new).knowing(killed());
    assert_eq!(scene.amended().warnings, ["classification corrected: Unknown → OOMKilled (TaskRun w/t-1 step patch)"]);
    let stored = scene.stored();
    let details = &stored["failureDetails"];
    assert_eq!(reason_and_flag(&stored), ("OOMKilled", true));
    for (member, value) in [
        ("failedTaskName", json!("t-1")),
        ("failedStepName", json!("patch")),
        ("exitCode", json!(137)),
        ("failedAt", json!("2026-01-05T09:58:00Z")),
        ("executionTimeBeforeFailure", json!("7m0s")),
        ("message", json!("\"step-patch\" exited with code 137: OOMKilled")),
    ] {
        assert_eq!(details[member], value, "{member}");
    }
    let summary = details["naturalLanguageSummary"].as_str().unwrap();
    assert!(
        summary.starts_with("Workflow restart on payments/Deployment/api failed in task t-1, step patch:"),
        "{summary}"
    );
    assert_eq!(stored["conditions"][0], json!({"type": "Ready", "reason": "NotReady", "message": "x"}));
    assert_eq!(stored["conditions"][1]["reason"], "OOMKilled");
    assert_eq!(stored["conditions"][1]["message"], details["message"]);
    assert_eq!(stored["failureReason"], "OOMKilled");
}

#[test]
fn a_message_is_cut_where_the_schema_wants_it_short() {
    let message = "ä".repeat(40_000);
    let condition = json!({"type": "Succeeded", "status": "False", "reason": "CouldntGetTask", "message": message});
    let new = with(
        failed("Unknown", false),
        "conditions",
        json!([{"type": "ExecutionComplete", "reason": "ExecutionFailed", "message": "x"}]),
    );
    let stored = write(running(), new).knowing(Account::of(&run(&condition, &[]), [], false)).stored();
    assert_eq!(stored["conditions"][0]["message"].as_str().unwrap().chars().count(), 32_768);
    assert_eq!(stored["failureDetails"]["message"], message);
}

#[test]
fn the_condition_of_december_follows_too() {
    let conditions = json!([{"type": "TektonPipelineComplete", "reason": "TaskFailed", "message": "x"}]);
    let stored =
        write(running(), with(failed("TaskFailed", true), "conditions", conditions)).knowing(not_pulled()).stored();
    assert_eq!(reason_and_flag(&stored), ("ImagePullBackOff", false), "attested: nothing ran");
    assert_eq!(stored["conditions"][0]["reason"], "PipelineFailed");
    assert!(stored.get("failureReason").is_none(), "nothing is added");
}

#[test]
fn what_is_right_already_is_left_alone() {
    for (new, account) in [
        (failed("OOMKilled", true), killed()),
        (failed("OOMKilled", true), Account::Unknown),
        (failed("TaskFailed", true), Account::Unknown),
        (without(without(failed("Unknown", false), "startTime"), "executionRef"), Account::Unknown),
        (failed("Unknown", true), Account::Unknown),
        (failed("Deduplicated", false), not_pulled()),
        (failed("Deduplicated", false), Account::Unknown),
        (failed("UnsupportedEngine", false), Account::Unknown),
        (failed("Unknown", true), Account::Gone { ran: true }),
        (failed("TaskFailed", false), Account::Gone { ran: false }),
        (json!({"phase": "Failed"}), Account::Unknown),
        (json!({"phase": "Completed"}), killed()),
        (running(), killed()),
    ] {
        let amendment = write(json!({"phase": "Pending"}), new.clone()).knowing(account).amended();
        assert_eq!(amendment, Amendment::default(), "{new}");
    }
}

#[test]
fn of_a_run_that_nobody_knows_it_cannot_be_excluded_that_it_ran() {
    let external = || {
        with(
            failed("Unknown", false),
            "failureDetails",
            with(details("Unknown", false), "message", json!("PipelineRun was deleted externally")),
        )
    };
    let stored = write(running(), external()).stored();
    assert_eq!(reason_and_flag(&stored), ("Unknown", true));
    assert_eq!(stored["failureDetails"]["message"], "PipelineRun was deleted externally");
    // Who fails it does not take the signs of a run away first.
    let bare = json!({"phase": "Failed"});
    for old in
        [running(), without(running(), "startTime"), without(running(), "executionRef"), json!({"phase": "Running"})]
    {
        assert_eq!(reason_and_flag(&write(old, bare.clone()).stored()), ("Unknown", true));
    }
    // It was followed from its beginning to its end, and never began.
    for new in [external(), bare] {
        assert!(!reason_and_flag(&write(running(), new).knowing(Account::Gone { ran: false }).stored()).1);
    }
    // There never was one.
    assert_eq!(write(json!({"phase": "Pending"}), json!({"phase": "Failed"})).amended(), Amendment::default());
}

#[test]
fn a_status_that_tells_of_a_start_raises_the_flag_and_touches_no_reason() {
    let told = |reason: &str, message: &str, sent: &str| {
        let run = json!({"status": "False", "reason": reason, "message": message});
        write(running(), with(failed(sent, false), "executionStatus", run))
    };
    let step = "TaskRun r-t has failed (\"step-a\" exited with code 1)";
    let scene = told("Failed", step, "ConfigurationError");
    assert_eq!(scene.amended().classified.unwrap().source, Source::Status);
    let stored = scene.stored();
    assert_eq!(reason_and_flag(&stored), ("ConfigurationError", true));
    assert_eq!(stored["failureDetails"]["message"], "m");
    let fills = told("Failed", step, "ConfigurationError").classification(Mode::Fill);
    assert_eq!(fills.amended(), Amendment::default());
    // A count is a doubt, and its writer may have seen the tasks.
    let counted = told("Failed", "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0", "ImagePullBackOff");
    assert_eq!(counted.amended(), Amendment::default());
}

#[test]
fn nobody_is_a_duplicate_whose_own_run_did_something() {
    for reason in ["Deduplicated", "UnsupportedEngine"] {
        for ran in [false, true] {
            let said = |account, mode| {
                let scene = write(running(), failed(reason, ran)).knowing(account).classification(mode);
                let stored = scene.stored();
                let (reason, ran) = reason_and_flag(&stored);
                (reason.to_owned(), ran)
            };
            assert_eq!(said(killed(), Mode::Correct), ("OOMKilled".to_owned(), true));
            assert_eq!(said(Account::GoesOn { ran: None }, Mode::Correct), ("Unknown".to_owned(), true));
            assert_eq!(said(Account::Gone { ran: true }, Mode::Correct), ("Unknown".to_owned(), true));
            assert_eq!(said(killed(), Mode::Fill), (reason.to_owned(), ran));
            assert_eq!(said(not_pulled(), Mode::Correct), (reason.to_owned(), ran));
            // Once it has ended so, it is too late.
            let scene = write(failed(reason, ran), failed(reason, ran)).knowing(killed());
            assert_eq!(scene.amended(), Amendment::default());
        }
    }
}

#[test]
fn the_place_of_another_failure_does_not_stay() {
    let sent = || {
        let at = with(with(details("TaskFailed", true), "failedStepName", json!("patch")), "exitCode", json!(7));
        with(
            failed("TaskFailed", true),
            "failureDetails",
            with(with(at, "failedTaskName", json!("t-9")), "failedTaskIndex", json!(4)),
        )
    };
    // No step failed where the Pod waited for an image.
    let stored = write(running(), sent()).knowing(not_pulled()).stored();
    let details = &stored["failureDetails"];
    assert_eq!((&details["reason"], &details["failedTaskName"]), (&json!("ImagePullBackOff"), &json!("t-1")));
    assert_eq!((details.get("failedStepName"), details.get("exitCode")), (None, None));
    // Of a run that never had a task there is none.
    let condition = json!({"type": "Succeeded", "status": "False", "reason": "CouldntGetTask", "message": "m"});
    let stored = write(running(), sent()).knowing(Account::of(&run(&condition, &[]), [], false)).stored();
    let details = &stored["failureDetails"];
    assert_eq!(
        (&details["reason"], &details["failedTaskName"], &details["failedTaskIndex"]),
        (&json!("ConfigurationError"), &json!(""), &json!(0))
    );
    assert_eq!((details.get("failedStepName"), details.get("exitCode")), (None, None));
    // What its writer saw of the same failure stays.
    let stored = write(running(), sent()).knowing(pruned()).stored();
    assert_eq!(stored["failureDetails"]["exitCode"], 7);
}

#[test]
fn modes_fill_correct_off() {
    let by = |mode, new: Value| {
        let stored = write(running(), new).knowing(killed()).classification(mode).stored();
        let (reason, ran) = reason_and_flag(&stored);
        (reason.to_owned(), ran)
    };
    let said = |reason: &str, ran| (reason.to_owned(), ran);
    let missing = || without(failed("Unknown", false), "failureDetails");
    assert_eq!(by(Mode::Fill, missing()), said("OOMKilled", true));
    assert_eq!(by(Mode::Fill, failed("Unknown", false)), said("OOMKilled", true));
    assert_eq!(by(Mode::Fill, failed("TaskFailed", false)), said("TaskFailed", false));
    assert_eq!(by(Mode::Correct, failed("TaskFailed", false)), said("OOMKilled", true));
    assert_eq!(by(Mode::Off, failed("Unknown", false)), said("Unknown", false));
    assert_eq!(by(Mode::Off, missing()), said("none", false));
}

#[test]
fn only_the_runs_own_record_takes_a_ran_back() {
    let lowered = |account, mode| {
        let scene = write(running(), failed("Unknown", true)).knowing(account).classification(mode);
        reason_and_flag(&scene.stored()).1
    };
    assert!(!lowered(not_pulled(), Mode::Correct));
    assert!(lowered(not_pulled(), Mode::Fill), "to fill is not to contradict");
    assert!(lowered(Account::Gone { ran: false }, Mode::Correct));
    let run = json!({"status": "False", "reason": "CouldntGetTask", "message": "not found"});
    let told = with(failed("Unknown", true), "executionStatus", run);
    assert_eq!(reason_and_flag(&write(running(), told).stored()), ("ConfigurationError", true));
}

#[test]
fn a_run_that_goes_on_ran() {
    let external = json!({"reason": "Unknown", "message": "PipelineRun was deleted externally", "failedTaskIndex": 0,
        "failedTaskName": "", "failedAt": NOW, "naturalLanguageSummary": "s"});
    let new = with(failed("Unknown", false), "failureDetails", external);
    let stored = write(running(), new).knowing(Account::GoesOn { ran: None }).stored();
    assert_eq!(reason_and_flag(&stored), ("Unknown", true));
    assert_eq!(stored["failureDetails"]["message"], "PipelineRun was deleted externally; its run goes on");
    // RO ends an execution without a word.
    let cascade = without(failed("Unknown", false), "failureDetails");
    let stored = write(running(), cascade.clone()).knowing(Account::GoesOn { ran: None }).stored();
    assert_eq!(stored["failureDetails"]["message"], "its run goes on");
    assert_eq!(
        reason_and_flag(&write(running(), cascade.clone()).knowing(Account::GoesOn { ran: None }).stored()),
        ("Unknown", true)
    );
    assert_eq!(
        reason_and_flag(&write(running(), cascade).stored()),
        ("Unknown", true),
        "there was a run: in doubt it ran"
    );
}

#[test]
fn a_refused_creation_is_classified() {
    let refused = json!({"reason": "Unknown", "failedTaskIndex": 0, "failedTaskName": "", "failedAt": NOW, "naturalLanguageSummary": "s",
        "message": "Failed to create tekton execution resource: pipelineruns.tekton.dev \"wfe-1\" is forbidden: exceeded quota: runs, requested: count/pipelineruns=1"});
    let stored = write(json!({"phase": "Pending"}), json!({"phase": "Failed", "failureDetails": refused})).stored();
    assert_eq!(reason_and_flag(&stored), ("ResourceExhausted", false));
}

#[test]
fn once_terminal_a_status_is_no_evidence_about_itself() {
    let told = with(
        failed("Unknown", false),
        "executionStatus",
        json!({"status": "False", "reason": "TaskRunFailed", "message": "task failed: OOMKilled"}),
    );
    assert_eq!(write(failed("Unknown", false), told.clone()).amended(), Amendment::default());
    let stored = write(failed("Unknown", false), told).knowing(killed()).stored();
    assert_eq!(reason_and_flag(&stored), ("OOMKilled", true), "the run's own record is");
}

#[test]
fn a_run_that_lost_its_tasks_contradicts_nothing_that_was_recorded() {
    let recorded = || failed("OOMKilled", true);
    let cleared = with(recorded(), "blockClearance", signed());
    assert_eq!(write(recorded(), cleared).knowing(pruned()).amended(), Amendment::default());
    let immutable = Some((Reason::FailureImmutable, "status.failureDetails.reason".to_owned()));
    assert_eq!(write(recorded(), failed("TaskFailed", true)).knowing(pruned()).refused(), immutable);
    // In the write that turns Failed, and where nothing was recorded, its words are better than none.
    let stored = write(running(), failed("ConfigurationError", false)).knowing(pruned()).stored();
    assert_eq!(reason_and_flag(&stored), ("TaskFailed", true));
    let stored = write(failed("Unknown", false), failed("Unknown", false)).knowing(pruned()).stored();
    assert_eq!(reason_and_flag(&stored), ("TaskFailed", true));
    let stored = write(failed("Forbidden", false), failed("Forbidden", false)).knowing(pruned()).stored();
    assert_eq!(reason_and_flag(&stored), ("Forbidden", true), "that something ran is no matter of the reason");
}

#[test]
fn what_is_classified_is_counted() {
    let classified = write(running(), failed("TaskFailed", true)).knowing(killed()).amended().classified.unwrap();
    let expected = Classified { from: Some(Why::TaskFailed), to: Why::OomKilled, ran: true, source: Source::Run };
    assert_eq!(classified, expected);
}

#[test]
fn an_end_is_an_end() {
    for (old, new) in [
        ("Failed", "Running"),
        ("Failed", "Pending"),
        ("Failed", "Completed"),
        ("Failed", ""),
        ("Completed", "Failed"),
        ("Completed", "Running"),
    ] {
        let row = write(json!({"phase": old}), json!({"phase": new}));
        assert_eq!(row.refused(), Some((Reason::PhaseTerminal, "status.phase".to_owned())), "{old} → {new}");
    }
    // What upstream's executor writes.
    for (old, new) in [
        ("", "Running"),
        ("", "Pending"),
        ("", "Failed"),
        ("Pending", "Failed"),
        ("Pending", "Running"),
        ("Running", "Running"),
        ("Running", "Completed"),
        ("Running", "Failed"),
        ("Failed", "Failed"),
        ("Completed", "Completed"),
    ] {
        assert_eq!(write(json!({"phase": old}), json!({"phase": new})).refused(), None, "{old} → {new}");
    }
}

#[test]
fn a_recorded_failure_stands() {
    let refused = |old: Value, new: Value, account: Account| write(old, new).knowing(account).refused();
    let immutable = |member: &str| Some((Reason::FailureImmutable, format!("status.failureDetails{member}")));
    let ran = || failed("TaskFailed", true);
    assert_eq!(refused(ran(), failed("ConfigurationError", true), Account::Unknown), immutable(".reason"));
    assert_eq!(refused(ran(), failed("Unknown", true), Account::Unknown), immutable(".reason"));
    assert_eq!(refused(ran(), failed("TaskFailed", false), Account::Unknown), immutable(".wasExecutionFailure"));
    assert_eq!(refused(ran(), without(ran(), "failureDetails"), Account::Unknown), immutable(""));
    let nameless = with(ran(), "failureDetails", json!({"wasExecutionFailure": true}));
    assert_eq!(refused(ran(), nameless, Account::Unknown), immutable(".reason"));
    let vague = with(ran(), "failureDetails", json!({"reason": "", "wasExecutionFailure": true}));
    assert_eq!(refused(failed("Unknown", true), vague, Account::Unknown), immutable(".reason"));
    // What may be learnt afterwards.
    assert_eq!(refused(failed("Unknown", false), failed("TaskFailed", true), Account::Unknown), None);
    assert_eq!(refused(failed("Unknown", true), failed("Forbidden", true), Account::Unknown), None);
    assert_eq!(refused(without(ran(), "failureDetails"), failed("Unknown", false), Account::Unknown), None);
    // That it never had the target is known when it ends, or it is not so.
    for old in [failed("Unknown", true), failed("Unknown", false), without(ran(), "failureDetails")] {
        for own in ["Deduplicated", "UnsupportedEngine"] {
            assert_eq!(refused(old.clone(), failed(own, true), Account::Unknown), immutable(".reason"));
        }
    }
    assert_eq!(refused(ran(), with(ran(), "conditions", json!([{"type": "AuditRecorded"}])), Account::Unknown), None);
    // What the run's own record attests.
    assert_eq!(refused(ran(), failed("OOMKilled", true), killed()), None);
    assert_eq!(refused(ran(), failed("ImagePullBackOff", false), not_pulled()), None);
    assert_eq!(refused(ran(), failed("Forbidden", true), killed()), immutable(".reason"));
    assert_eq!(
        refused(ran(), failed("TaskFailed", false), Account::Gone { ran: false }),
        immutable(".wasExecutionFailure")
    );
}

#[test]
fn what_another_webhook_takes_back_after_the_amender_is_refused() {
    let bent = Some((Reason::FailureImmutable, "status.failureDetails.wasExecutionFailure".to_owned()));
    let refused = |new: Value, account, mode| write(running(), new).knowing(account).classification(mode).refused();
    for account in [killed(), Account::GoesOn { ran: None }, Account::Gone { ran: true }, Account::Succeeded] {
        for new in [failed("OOMKilled", false), failed("Deduplicated", true), json!({"phase": "Failed"})] {
            assert_eq!(refused(new.clone(), account.clone(), Mode::Correct), bent, "{new} {account:?}");
            assert_eq!(refused(new, account.clone(), Mode::Off), None);
        }
        assert_eq!(refused(failed("TaskFailed", true), account.clone(), Mode::Correct), None, "the flag is what holds");
        assert_eq!(refused(failed("TaskFailed", false), account, Mode::Fill), None, "as the operator decided");
    }
    for account in [Account::Unknown, not_pulled(), Account::Gone { ran: false }] {
        assert_eq!(refused(failed("TaskFailed", false), account, Mode::Correct), None);
    }
    assert_eq!(refused(failed("Unknown", false), Account::Unknown, Mode::Correct), None, "nobody attests it");
}

#[test]
fn who_had_the_target_stands() {
    let by = |name: &str| with(failed("Deduplicated", false), "deduplicatedBy", json!(name));
    let refused = Some((Reason::DeduplicationImmutable, "status.deduplicatedBy".to_owned()));
    assert_eq!(write(by("we-0"), by("we-9")).refused(), refused);
    assert_eq!(write(by("we-0"), failed("Deduplicated", false)).refused(), refused);
    assert_eq!(write(by("we-0"), by("we-0")).refused(), None);
    assert_eq!(write(json!({"phase": "Pending"}), by("we-0")).refused(), None);
}

const REASON: &str = "checked the deployment by hand, its configuration is right again, OPS-1234";

fn clearance() -> Value {
    json!({"clearReason": REASON, "clearMethod": "StatusField"})
}

fn cleared(clearance: Value) -> Value {
    with(failed("TaskFailed", true), "blockClearance", clearance)
}

#[test]
fn a_clearance_is_signed_by_the_writer_and_the_clock() {
    for sent in [
        clearance(),
        with(clearance(), "clearedBy", json!("somebody-else")),
        with(clearance(), "clearedAt", json!("2020-01-01T00:00:00Z")),
    ] {
        let stored = write(failed("TaskFailed", true), cleared(sent)).stored();
        assert_eq!(stored["blockClearance"]["clearedBy"], "alice");
        assert_eq!(stored["blockClearance"]["clearedAt"], NOW);
        assert_eq!(stored["blockClearance"]["clearReason"], REASON);
    }
    // What is right already is left as it is.
    let dated = with(with(clearance(), "clearedBy", json!("alice")), "clearedAt", json!("2020-01-01T00:00:00Z"));
    let changes = write(failed("TaskFailed", true), cleared(dated)).amended().changes;
    assert_eq!(
        changes.iter().map(|change| change.path.join("/")).collect::<Vec<_>>(),
        ["status/blockClearance/clearedAt"]
    );
    // One that nobody signed yet is signed when it is changed.
    let unsigned = with(clearance(), "clearedBy", json!(""));
    let better = with(unsigned.clone(), "clearMethod", json!("APIEndpoint"));
    assert_eq!(write(cleared(unsigned), cleared(better)).stored()["blockClearance"]["clearedBy"], "alice");
}

#[test]
fn without_the_signature_the_guard_refuses() {
    let invalid = Some((Reason::ClearanceInvalid, "status.blockClearance.clearedBy".to_owned()));
    for (name, at) in [("somebody-else", NOW), ("alice", "2026-01-05T09:00:00Z"), ("alice", "soon"), ("", NOW)] {
        let sent = with(with(clearance(), "clearedBy", json!(name)), "clearedAt", json!(at));
        assert_eq!(write(failed("TaskFailed", true), cleared(sent)).refused(), invalid, "{name} {at}");
    }
}

fn signed() -> Value {
    with(with(clearance(), "clearedBy", json!("alice")), "clearedAt", json!(NOW))
}

#[test]
fn what_a_clearance_needs() {
    let refused = |new: Value| write(failed("TaskFailed", true), new).refused();
    let invalid = |member: &str| Some((Reason::ClearanceInvalid, format!("status.blockClearance{member}")));
    let say = |reason: &str| cleared(with(signed(), "clearReason", json!(reason)));
    assert_eq!(refused(cleared(signed())), None);
    assert_eq!(refused(say("one two three four five six seven eight nine")), invalid(".clearReason"));
    assert_eq!(refused(say("   \t ")), invalid(".clearReason"));
    assert_eq!(refused(say(". . . . . . . . . .")), invalid(".clearReason"));
    assert_eq!(refused(say(&"word ".repeat(300))), invalid(".clearReason"));
    assert_eq!(refused(cleared(with(signed(), "clearMethod", json!("Email")))), invalid(".clearMethod"));
    assert_eq!(refused(cleared(without(signed(), "clearMethod"))), invalid(".clearMethod"));
    for phase in ["Running", "Completed", "Pending", ""] {
        let status = json!({"phase": phase});
        let row = write(status.clone(), with(status, "blockClearance", signed()));
        assert_eq!(row.refused(), invalid(""), "{phase}");
    }
    let holds_nothing = with(failed("Deduplicated", false), "blockClearance", signed());
    assert_eq!(write(failed("Deduplicated", false), holds_nothing).refused(), invalid(""));
    let unclassified = json!({"phase": "Failed", "blockClearance": signed()});
    assert_eq!(write(json!({"phase": "Failed"}), unclassified).refused(), invalid(""));
}

#[test]
fn a_clearance_does_not_come_with_the_failure_that_it_lifts() {
    let row = write(running(), cleared(signed()));
    assert_eq!(row.refused(), Some((Reason::ClearanceInvalid, "status.blockClearance".to_owned())));
}

#[test]
fn service_accounts_do_not_clear_unless_they_are_named() {
    let account = "system:serviceaccount:ops:healer";
    let sent = cleared(with(signed(), "clearedBy", json!(account)));
    let mut row = write(failed("TaskFailed", true), sent).by(account);
    let forbidden = Some((Reason::ClearanceForbidden, "status.blockClearance".to_owned()));
    assert_eq!(row.refused(), forbidden);
    row.rules.clearance.service_accounts = "other/healer  ops/healer".to_owned();
    assert_eq!(row.refused(), None);
    assert_eq!(
        write(failed("TaskFailed", true), cleared(with(signed(), "clearedBy", json!("")))).by("").refused(),
        forbidden
    );
}

#[test]
fn whoever_kubernetes_itself_names_is_no_person() {
    for (user, may) in [
        ("system:admin", true),
        ("kubernetes-admin", true),
        ("systems@example.com", true),
        ("system:anonymous", false),
        ("system:node:worker-1", false),
        ("system:kube-controller-manager", false),
    ] {
        let row = write(failed("TaskFailed", true), cleared(with(signed(), "clearedBy", json!(user)))).by(user);
        let forbidden = (Reason::ClearanceForbidden, "status.blockClearance".to_owned());
        assert_eq!(row.refused(), (!may).then_some(forbidden), "{user}");
    }
}

#[test]
fn a_signed_clearance_is_frozen() {
    let frozen = Some((Reason::ClearanceFrozen, "status.blockClearance".to_owned()));
    let old = || cleared(with(signed(), "clearedAt", json!("2026-01-05T09:30:00Z")));
    for new in [
        failed("TaskFailed", true),
        with(old(), "blockClearance", json!(null)),
        cleared(signed()),
        cleared(with(old()["blockClearance"].clone(), "clearedBy", json!("mallory"))),
        cleared(with(old()["blockClearance"].clone(), "clearReason", json!("short"))),
        cleared(with(old()["blockClearance"].clone(), "note", json!("more"))),
    ] {
        assert_eq!(write(old(), new.clone()).refused(), frozen, "{new}");
        assert_eq!(write(old(), new).amended(), Amendment::default(), "it is not signed anew");
    }
    assert_eq!(write(old(), with(old(), "conditions", json!([]))).refused(), None);
}

#[test]
fn a_refusal_is_one_line_that_says_what_to_do() {
    let row = write(json!({"phase": "Failed"}), json!({"phase": "Run\nning"}));
    let refusal = row.ask(|write| guard(write, &row.rules)).unwrap();
    assert_eq!(
        refusal.message(),
        "PhaseTerminal: status.phase: Failed is an end; it does not become Run ning. Create a new WorkflowExecution instead"
    );
}
