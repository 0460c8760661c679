//! Every branch of a plan: a row is what is stored, what stands under the run's name, and the one step that follows.

mod ends;

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::failure::Reason as Why;
use crate::routing::{self, Because, History, Parent, Policy, Request, Runs, Siblings, View};

/// So many seconds from now, which is 2026-01-05T10:00:00Z.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_607_200 + seconds).unwrap()
}

fn now() -> Timestamp {
    at(0)
}

fn stamp(seconds: i64) -> Value {
    json!(at(seconds).strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

const RULES: fn() -> Rules = || Rules { namespace: "runs".into(), cooldown: Duration::from_secs(60) };

/// An execution of the hub's form, claimed, created 100 seconds ago; the patch changes what a row is about.
fn execution(patch: Value) -> Commission {
    let mut object = json!({
        "metadata": {"namespace": "payments", "name": "we-1", "uid": "u-1", "creationTimestamp": stamp(-100), "finalizers": [FINALIZER]},
        "spec": {
            "remediationRequestRef": {"name": "rr-1"}, "target": {"namespace": "payments", "kind": "Deployment", "name": "api"},
            "workflowRef": {"workflowId": "restart", "executionBundle": "registry/restart:1"},
        },
        "status": {},
    });
    merge(&mut object, patch);
    Commission::from_json(&object.to_string()).unwrap()
}

/// A null takes the member away.
fn merge(object: &mut Value, patch: Value) {
    match (object, patch) {
        (Value::Object(members), Value::Object(patch)) => {
            for (name, value) in patch {
                if value.is_null() {
                    members.remove(&name);
                } else {
                    merge(members.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        (object, patch) => *object = patch,
    }
}

fn phase(phase: &str) -> Value {
    json!({"status": {"phase": phase, "startTime": stamp(-90), "execution": {"ref": {"name": "wfe-x"}}}})
}

/// A run of this execution and uid; an empty uid is not said, an empty execution neither.
fn run_of(execution: &str, uid: &str, status: &Value) -> Carrier {
    carrier(Engine::Tekton, execution, uid, status)
}

fn carrier(engine: Engine, execution: &str, uid: &str, status: &Value) -> Carrier {
    created_at(engine, execution, uid, Some(-95), status)
}

fn created_at(engine: Engine, execution: &str, uid: &str, created: Option<i64>, status: &Value) -> Carrier {
    let mut annotations = json!({});
    if !uid.is_empty() {
        annotations["lockkeeper.kubernaut.ai/execution-uid"] = json!(uid);
    }
    let labels = match execution {
        "" => json!({}),
        name => json!({"kubernaut.ai/workflow-execution": name, "kubernaut.ai/source-namespace": "payments"}),
    };
    let run = json!({
        "metadata": {"namespace": "runs", "name": "wfe-x", "uid": "r-1", "creationTimestamp": created.map(stamp), "labels": labels,
            "annotations": annotations},
        "status": status,
    });
    Carrier::from_json(engine, &run.to_string()).unwrap()
}

fn going() -> Value {
    json!({"conditions": [{"type": "Succeeded", "status": "Unknown", "reason": "Running", "message": "m"}], "startTime": stamp(-90)})
}

fn ended(status: &str, seconds: i64) -> Value {
    json!({"conditions": [{"type": "Succeeded", "status": status, "reason": "Done", "message": "m"}],
        "startTime": stamp(-90), "completionTime": stamp(seconds)})
}

fn verdict(hold: Option<(Reason, End)>) -> Verdict {
    let request = Request {
        key: None,
        stored: None,
        parent: None,
        target: Target::parse("payments/Deployment/api", None).unwrap(),
        workflow_id: None,
        parameter_names: Vec::new(),
    };
    let (siblings, history, runs) = (Arc::<Siblings>::default(), Arc::<History>::default(), Arc::<Runs>::default());
    let view = View { parent: Parent::NotAsked, siblings, history, runs, age: Duration::ZERO };
    let mut verdict = routing::decide(&request, &view, &Policy::default(), now());
    verdict.hold = hold.map(|(reason, end)| Hold { reason, because: Because::ResourceBusy, by: None, end });
    verdict
}

/// A step in a few words.
fn told(step: &Step) -> String {
    let seconds = |at: Timestamp| at.as_second() - now().as_second();
    match step {
        Step::Rest(None) => "rest".to_owned(),
        Step::Rest(Some(until)) => format!("rest until {}", seconds(*until)),
        Step::Claim => "claim".to_owned(),
        Step::Release => "release".to_owned(),
        Step::Look => "look".to_owned(),
        Step::Create(Engine::Tekton, run) => format!("create {}", run["metadata"]["name"].as_str().unwrap()),
        Step::Create(Engine::Job, run) => format!("create job {}", run["metadata"]["name"].as_str().unwrap()),
        Step::Delete { run, uid, .. } => format!("delete {} {uid}", run.name),
        Step::Write(change) => {
            let member = |name: &str| {
                let found = change.members.iter().find(|(member, _)| *member == name);
                found.and_then(|(_, value)| value.as_ref()?.as_str()).unwrap_or_default().to_owned()
            };
            let event = change.event.as_ref().map_or("", |event| event.reason);
            let words = [member("phase"), member("failureReason"), member("deduplicatedBy"), event.to_owned()];
            let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
            format!("write {}", words.join(" "))
        }
    }
}

/// What stands under the name of the run: not known, known to be nothing, a run.
type Under<'a> = Option<Result<&'a Carrier, ()>>;

/// What a row is about: the stored object, the verdict, what stands under the name, the account.
struct Row<'a> {
    execution: Value,
    hold: Option<(Reason, End)>,
    run: Under<'a>,
    account: Account,
}

impl Row<'_> {
    fn step(self) -> Step {
        let commission = execution(self.execution);
        let verdict = verdict(self.hold);
        let run = match self.run {
            None => Run::Unseen,
            Some(Err(())) => Run::Absent,
            Some(Ok(run)) => Run::There(run),
        };
        let seen = Seen {
            commission: &commission,
            verdict: Some(&verdict),
            run,
            beside: None,
            leftovers: false,
            other_open: false,
            account: &self.account,
        };
        plan(&seen, &RULES(), now())
    }
}

const ABSENT: Under<'static> = Some(Err(()));
const UNSEEN: Under<'static> = None;

fn check(rows: Vec<(Value, Under<'_>, Account, &str)>) {
    for (execution, run, account, expected) in rows {
        let row = format!("{execution} {run:?} {account:?}");
        assert_eq!(told(&Row { execution, hold: None, run, account }.step()), expected, "{row}");
    }
}

#[test]
fn what_waits_and_nothing_holds() {
    let ours = run_of("we-1", "u-1", &going());
    let upstreams = run_of("we-1", "", &going());
    let (nobodys, theirs) = (run_of("", "", &going()), run_of("we-9", "u-9", &going()));
    let (kept, stale) = (run_of("we-9", "u-9", &ended("True", -10)), run_of("we-9", "", &ended("False", -60)));
    let timeless =
        run_of("we-9", "", &json!({"conditions": [{"type": "Succeeded", "status": "True", "reason": "Succeeded"}]}));
    let (before, before_ended) = (run_of("we-1", "u-0", &going()), run_of("we-1", "u-0", &ended("True", -80)));
    let unclaimed = || json!({"metadata": {"finalizers": ["other"]}});
    let name = format!("create {}", run::name("payments/Deployment/api"));
    check(vec![
        (unclaimed(), UNSEEN, Account::Unknown, "claim"),
        (unclaimed(), Some(Ok(&ours)), Account::Unknown, "claim"),
        (json!({}), UNSEEN, Account::Unknown, &name),
        (json!({"spec": {"workflowRef": {"executionEngine": "tekton"}}}), UNSEEN, Account::Unknown, &name),
        (json!({"status": {"phase": "Pending"}}), ABSENT, Account::Unknown, &name),
        (json!({}), Some(Ok(&ours)), Account::Unknown, "write Running ExecutionCreated"),
        (json!({}), Some(Ok(&upstreams)), Account::Unknown, "write Running ExecutionCreated"),
        (json!({}), Some(Ok(&nobodys)), Account::Unknown, "write Pending Held"),
        (json!({}), Some(Ok(&theirs)), Account::Unknown, "write Failed Deduplicated we-9 WorkflowFailed"),
        (json!({}), Some(Ok(&kept)), Account::Unknown, "write Pending Held"),
        (json!({}), Some(Ok(&stale)), Account::Unknown, "delete wfe-x r-1"),
        (json!({}), Some(Ok(&timeless)), Account::Unknown, "delete wfe-x r-1"),
        // Of an earlier execution of this very name: no duplicate of itself.
        (json!({}), Some(Ok(&before)), Account::Unknown, "write Pending Held"),
        (json!({}), Some(Ok(&before_ended)), Account::Unknown, "delete wfe-x r-1"),
        (json!({"status": {"phase": "Other"}}), UNSEEN, Account::Unknown, "rest"),
    ]);
}

/// Its loop was away when the run ended: the run is all that tells of it.
#[test]
fn a_run_that_ended_is_kept_until_its_own_execution_was_told() {
    let (stale, verdict) = (run_of("we-9", "u-9", &ended("True", -600)), verdict(None));
    for (other_open, status, expected) in [
        (true, json!({}), "write Pending Held"),
        (
            true,
            json!({"phase": "Pending", "conditions": [{"type": "Admitted", "status": "False", "reason": "TargetLocked"}]}),
            "rest until 10",
        ),
        (false, json!({}), "delete wfe-x r-1"),
    ] {
        let commission = execution(json!({"status": status}));
        let run = Run::There(&stale);
        let seen = Seen {
            commission: &commission,
            verdict: Some(&verdict),
            run,
            beside: None,
            leftovers: false,
            other_open,
            account: &Account::Unknown,
        };
        assert_eq!(told(&plan(&seen, &RULES(), now())), expected, "{other_open} {status}");
    }
}

#[test]
fn what_is_said_already_is_not_said_again() {
    let said = |reason: &str| json!({"status": {"phase": "Pending", "conditions": [{"type": "Admitted", "status": "False", "reason": reason}]}});
    let kept = run_of("we-9", "u-9", &ended("True", -10));
    let nobodys = run_of("", "", &going());
    check(vec![
        (said("TargetLocked"), Some(Ok(&kept)), Account::Unknown, "rest until 50"),
        (said("TargetLocked"), Some(Ok(&nobodys)), Account::Unknown, "rest"),
        (said("ResourceBusy"), Some(Ok(&nobodys)), Account::Unknown, "write Pending Held"),
    ]);
}

#[test]
fn what_can_never_run_ends_and_says_why_unless_its_run_is_there() {
    let ours = run_of("we-1", "u-1", &going());
    let spec = |spec: Value| json!({"spec": spec});
    let wrong = "write Failed ConfigurationError WorkflowFailed";
    let engine = "write Failed UnsupportedEngine WorkflowFailed";
    let late = || spec(json!({"deadline": stamp(-1)}));
    check(vec![
        (spec(json!({"workflowRef": {"executionBundle": null}})), ABSENT, Account::Unknown, wrong),
        (spec(json!({"workflowRef": {"executionBundle": ""}})), ABSENT, Account::Unknown, wrong),
        (spec(json!({"target": null})), UNSEEN, Account::Unknown, wrong),
        (spec(json!({"target": {"name": ""}})), ABSENT, Account::Unknown, wrong),
        (spec(json!({"target": {"name": "a/b"}})), ABSENT, Account::Unknown, wrong),
        (spec(json!({"target": {"clusterID": "west"}})), ABSENT, Account::Unknown, wrong),
        (spec(json!({"workflowRef": {"executionEngine": "ansible"}})), UNSEEN, Account::Unknown, "look"),
        (spec(json!({"workflowRef": {"executionEngine": "ansible"}})), ABSENT, Account::Unknown, engine),
        (late(), ABSENT, Account::Unknown, "write Failed DeadlineExceeded WorkflowFailed"),
        // A crash after the create: its run is there, or may be.
        (late(), UNSEEN, Account::Unknown, "look"),
        (late(), Some(Ok(&ours)), Account::Unknown, "write Running ExecutionCreated"),
    ]);
    for unfit in [
        late(),
        spec(json!({"target": {"clusterID": "west"}})),
        spec(json!({"workflowRef": {"executionEngine": "ansible"}})),
    ] {
        let row = Row { execution: unfit, hold: None, run: ABSENT, account: Account::Unknown };
        let Step::Write(change) = row.step() else { unreachable!("a write") };
        let failure = member(&change, "failure");
        assert_eq!(failure["wasExecutionFailure"], false, "nothing ran: {failure}");
    }
    let mut unclaimed = late();
    merge(&mut unclaimed, json!({"metadata": {"finalizers": []}}));
    check(vec![(unclaimed, UNSEEN, Account::Unknown, "write Failed DeadlineExceeded WorkflowFailed")]);
}

#[test]
fn a_hold_is_waited_for_or_ends_the_execution() {
    let young = || json!({"metadata": {"creationTimestamp": stamp(-5)}});
    let ahead = || json!({"metadata": {"creationTimestamp": stamp(500)}});
    let rows: Vec<(Value, Reason, End, &str, &str)> = vec![
        (json!({}), Reason::ResourceBusy, End::WhenGone, "write Pending Held", "rest"),
        (json!({}), Reason::RecentlyRemediated, End::At(at(30)), "write Pending Held", "rest until 30"),
        (json!({}), Reason::PreviousExecutionFailed, End::WhenCleared, "write Pending Held", "rest"),
        (json!({}), Reason::StaleState, End::WhenGone, "write Pending Held", "rest until 10"),
        (json!({}), Reason::ParentMissing, End::Never, "write Failed NotRun", ""),
        (json!({}), Reason::ParentMismatch, End::Never, "write Failed NotRun", ""),
        (json!({}), Reason::ParentTerminal, End::Never, "write Failed NotRun", ""),
        (young(), Reason::ParentDeleting, End::Never, "write Failed NotRun", ""),
        (json!({}), Reason::ParentTerminal, End::WhenGone, "write Pending Held", "rest"),
        // The stream of parents may be behind the one of executions.
        (young(), Reason::ParentMissing, End::Never, "write Pending Held", "rest until 10"),
        // A clock that goes wrong makes nobody wait for long.
        (ahead(), Reason::ParentMismatch, End::Never, "write Pending Held", "rest until 15"),
    ];
    for (execution, reason, end, first, then) in rows {
        let step = |execution: Value| {
            told(&Row { execution, hold: Some((reason.clone(), end)), run: ABSENT, account: Account::Unknown }.step())
        };
        assert_eq!(step(execution.clone()), first, "{reason:?}");
        if !then.is_empty() {
            let mut said = execution;
            let condition = json!([{"type": "Admitted", "status": "False", "reason": reason.as_str()}]);
            merge(&mut said, json!({"status": {"phase": "Pending", "conditions": condition}}));
            assert_eq!(step(said), then, "{reason:?}");
        }
    }
    // It may have been begun, and nobody knows yet; and nothing waits for longer than it may.
    let never = Row {
        execution: json!({}),
        hold: Some((Reason::ParentTerminal, End::Never)),
        run: UNSEEN,
        account: Account::Unknown,
    };
    assert_eq!(told(&never.step()), "look");
    let condition = json!([{"type": "Admitted", "status": "False", "reason": "ResourceBusy"}]);
    let short = json!({"spec": {"deadline": stamp(5)}, "status": {"phase": "Pending", "conditions": condition}});
    let busy = Row {
        execution: short,
        hold: Some((Reason::ResourceBusy, End::WhenGone)),
        run: ABSENT,
        account: Account::Unknown,
    };
    assert_eq!(told(&busy.step()), "rest until 5");
    // What was begun before goes on, whatever holds now.
    let ours = run_of("we-1", "u-1", &going());
    let hold = Some((Reason::ResourceBusy, End::WhenGone));
    let begun = Row { execution: json!({}), hold, run: Some(Ok(&ours)), account: Account::Unknown };
    assert_eq!(told(&begun.step()), "write Running ExecutionCreated");
}

#[test]
fn without_a_verdict_nothing_begins() {
    let commission = execution(json!({}));
    let seen = Seen {
        commission: &commission,
        verdict: None,
        run: Run::Unseen,
        beside: None,
        leftovers: false,
        other_open: false,
        account: &Account::Unknown,
    };
    assert_eq!(plan(&seen, &RULES(), now()), Step::Rest(None));
}

#[test]
fn what_runs_is_followed_to_its_end() {
    let (ours, theirs) = (run_of("we-1", "u-1", &going()), run_of("we-9", "u-9", &going()));
    let well = run_of("we-1", "u-1", &ended("True", -5));
    let failed = || Account::Failed(failure::of_condition("Failed", "m", true));
    let gone = |ran| Account::Gone { ran };
    let goes_on = || Account::GoesOn { ran: None };
    let running = || phase("Running");
    let mut unclaimed = running();
    merge(&mut unclaimed, json!({"metadata": {"finalizers": []}}));
    let lost = "write Failed Unknown WorkflowFailed";
    check(vec![
        (unclaimed, Some(Ok(&ours)), goes_on(), "claim"),
        (running(), Some(Ok(&ours)), goes_on(), "write "),
        (running(), Some(Ok(&ours)), Account::Unknown, "rest"),
        (running(), Some(Ok(&well)), Account::Succeeded, "write Completed WorkflowCompleted"),
        (running(), Some(Ok(&well)), failed(), lost),
        (running(), ABSENT, failed(), lost),
        (running(), UNSEEN, Account::Unknown, "look"),
        (running(), UNSEEN, gone(true), "look"),
        (running(), ABSENT, gone(true), lost),
        (running(), ABSENT, gone(false), lost),
        (running(), ABSENT, Account::Unknown, lost),
        (running(), Some(Ok(&theirs)), gone(false), lost),
        (running(), Some(Ok(&theirs)), Account::Unknown, lost),
    ]);
}

#[test]
fn a_run_that_went_is_judged_by_what_was_seen_of_it() {
    for (account, ran) in
        [(Account::Gone { ran: false }, false), (Account::Gone { ran: true }, true), (Account::Unknown, true)]
    {
        let Step::Write(change) = (Row { execution: phase("Running"), hold: None, run: ABSENT, account }).step() else {
            unreachable!("a write");
        };
        let failure = member(&change, "failure");
        assert_eq!(
            (&failure["reason"], failure["wasExecutionFailure"].as_bool().unwrap_or(false)),
            (&json!("Unknown"), ran),
            "{failure}"
        );
    }
}

#[test]
fn what_ended_goes_after_its_time_and_takes_its_own_run_along() {
    let (ours, theirs) = (run_of("we-1", "u-1", &ended("True", -70)), run_of("we-9", "u-9", &ended("True", -70)));
    let (goes_on, before) = (run_of("we-1", "u-1", &going()), run_of("we-1", "u-0", &ended("True", -70)));
    let over = |phase: &str, seconds: i64| json!({"status": {"phase": phase, "completionTime": stamp(seconds)}});
    let deleting = |phase: &str| json!({"metadata": {"deletionTimestamp": stamp(-1)}, "status": {"phase": phase}});
    let unclaimed = |mut object: Value| {
        merge(&mut object, json!({"metadata": {"finalizers": []}}));
        object
    };
    let unknown = || Account::Unknown;
    check(vec![
        (over("Completed", -10), Some(Ok(&ours)), unknown(), "rest until 50"),
        (over("Failed", -60), Some(Ok(&ours)), unknown(), "delete wfe-x r-1"),
        (over("Completed", -61), UNSEEN, unknown(), "look"),
        (over("Completed", -61), ABSENT, unknown(), "release"),
        (over("Completed", -61), Some(Ok(&theirs)), unknown(), "release"),
        (over("Completed", -61), Some(Ok(&before)), unknown(), "release"),
        (json!({"status": {"phase": "Completed"}}), Some(Ok(&ours)), unknown(), "delete wfe-x r-1"),
        (unclaimed(over("Completed", -61)), Some(Ok(&ours)), unknown(), "rest"),
        // Whoever wrote its end, its run goes on: it is not cut short, but by a deletion.
        (over("Failed", -61), Some(Ok(&goes_on)), unknown(), "rest"),
        (deleting("Failed"), Some(Ok(&goes_on)), unknown(), "delete wfe-x r-1"),
        (deleting("Running"), Some(Ok(&goes_on)), unknown(), "delete wfe-x r-1"),
        (deleting(""), UNSEEN, unknown(), "look"),
        (deleting("Pending"), ABSENT, unknown(), "release"),
        (deleting("Pending"), Some(Ok(&theirs)), unknown(), "release"),
        (unclaimed(deleting("Running")), UNSEEN, unknown(), "rest"),
    ]);
}

#[test]
fn of_two_executions_of_one_name_the_uid_tells_and_else_the_creation() {
    let commission = execution(json!({}));
    let run = |execution: &str, uid: &str, created: Option<i64>| {
        created_at(Engine::Tekton, execution, uid, created, &going())
    };
    for (run, ours) in [
        (run("we-1", "u-1", Some(-500)), true),
        (run("we-1", "u-0", Some(-1)), false),
        (run("we-2", "u-1", Some(-1)), false),
        (run("we-1", "", Some(-100)), true),
        (run("we-1", "", Some(-99)), true),
        // Servers of one cluster stamp by clocks that differ.
        (run("we-1", "", Some(-105)), true),
        (run("we-1", "", Some(-200)), false),
        // In doubt it is ours, as the index has it.
        (run("we-1", "", None), true),
    ] {
        assert_eq!(is_ours(&run, &commission), ours, "{run:?}");
    }
    assert!(!is_ours(&run("", "u-1", Some(-1)), &commission), "it does not say whose it is");
}

#[test]
fn a_refusal_is_classified_and_what_is_not_installed_is_waited_for() {
    for (code, message, expected) in [
        (403, "pipelineruns is forbidden: exceeded quota: team", Why::ResourceExhausted),
        (403, "User \"u\" cannot create resource \"pipelineruns\"", Why::Forbidden),
        (422, "spec.params: Invalid value", Why::ConfigurationError),
        (400, "admission webhook \"w\" denied the request: no", Why::Forbidden),
    ] {
        let Step::Write(change) = refused(&execution(json!({})), code, "", message, now()) else {
            unreachable!("a write");
        };
        assert_eq!(member(&change, "failureReason"), expected.as_str(), "{message}");
        assert!(!member(&change, "failure")["wasExecutionFailure"].as_bool().unwrap_or(false), "{message}");
        let created = member(&change, "conditions");
        assert_eq!((&created[0]["type"], &created[0]["status"]), (&json!("ExecutionCreated"), &json!("False")));
    }
    let missing = |execution: &Commission| refused(execution, 404, "NotFound", "no such resource", now());
    assert_eq!(told(&missing(&execution(json!({})))), "write Pending Held");
    let said = json!({"status": {"conditions": [{"type": "Admitted", "status": "False", "reason": "TektonMissing"}]}});
    assert_eq!(told(&missing(&execution(said))), "rest until 10");
}

fn member(change: &StatusChange, name: &str) -> Value {
    let found = change.members.iter().find(|(member, _)| *member == name);
    found.and_then(|(_, value)| value.clone()).unwrap_or_default()
}

fn written(commission: &Commission, run: &Carrier, account: &Account) -> Option<StatusChange> {
    let verdict = verdict(None);
    let run = Run::There(run);
    let seen =
        Seen { commission, verdict: Some(&verdict), run, beside: None, leftovers: false, other_open: false, account };
    match plan(&seen, &RULES(), now()) {
        Step::Write(change) => Some(*change),
        _ => None,
    }
}

#[test]
fn progress_is_written_once_and_again_when_it_changes() {
    let run = run_of("we-1", "u-1", &going());
    let goes_on = || Account::GoesOn { ran: None };
    let mut stored = phase("Running");
    let first = written(&execution(stored.clone()), &run, &goes_on()).unwrap();
    let told = member(&first, "execution");
    assert_eq!(
        told,
        json!({"ref": {"name": "wfe-x"}, "status": "Unknown", "reason": "Running", "message": "m", "completedTasks": 0, "totalTasks": 0})
    );
    assert!(first.event.is_none());
    merge(&mut stored, json!({"status": {"execution": told, "conditions": member(&first, "conditions")}}));
    assert_eq!(written(&execution(stored.clone()), &run, &goes_on()), None);
    let mut further = going();
    further["conditions"][0]["message"] = json!("Tasks Completed: 1");
    let run = run_of("we-1", "u-1", &further);
    let second = written(&execution(stored), &run, &goes_on()).unwrap();
    assert_eq!(member(&second, "conditions")[0]["message"], "Tasks Completed: 1");
}

#[test]
fn conditions_of_others_stay_and_a_time_changes_only_with_its_status() {
    let other = json!({"type": "AuditRecorded", "status": "True", "reason": "r", "message": "m", "lastTransitionTime": stamp(-50)});
    let running = json!({"type": "ExecutionRunning", "status": "True", "reason": "ExecutionStarted", "message": "old", "lastTransitionTime": stamp(-80)});
    let mut stored = phase("Running");
    merge(&mut stored, json!({"status": {"conditions": [other, running]}}));
    let run = run_of("we-1", "u-1", &going());
    let conditions =
        member(&written(&execution(stored.clone()), &run, &Account::GoesOn { ran: None }).unwrap(), "conditions");
    assert_eq!(conditions[0], other);
    assert_eq!((&conditions[1]["message"], &conditions[1]["lastTransitionTime"]), (&json!("m"), &stamp(-80)));
    let well = run_of("we-1", "u-1", &ended("True", -5));
    let change = written(&execution(stored), &well, &Account::Succeeded).unwrap();
    let conditions = member(&change, "conditions");
    assert_eq!((&conditions[1]["status"], &conditions[1]["lastTransitionTime"]), (&json!("False"), &stamp(0)));
    assert_eq!((&conditions[2]["type"], &conditions[2]["status"]), (&json!("ExecutionComplete"), &json!("True")));
    // From the run, not from the clock.
    assert_eq!((member(&change, "completionTime"), member(&change, "duration")), (stamp(-5), json!("1m25s")));
}

/// What a Job's row is about.
fn job(status: &Value) -> Carrier {
    carrier(Engine::Job, "we-1", "u-1", status)
}

fn over(kind: &str, reason: &str, seconds: i64) -> Value {
    json!([{"type": kind, "status": "True", "reason": reason, "message": "m", "lastTransitionTime": stamp(seconds)}])
}

#[test]
fn a_job_goes_the_way_of_a_pipeline_run() {
    let engine = |phase: &str| {
        let execution = json!({"ref": {"name": "wfe-x"}});
        json!({"spec": {"workflowRef": {"executionEngine": "job"}},
            "status": {"phase": phase, "startTime": stamp(-90), "completionTime": null, "execution": execution}})
    };
    let name = format!("create job {}", run::name("payments/Deployment/api"));
    let going = job(&json!({"startTime": stamp(-90), "active": 1}));
    let well = job(&json!({"startTime": stamp(-90), "succeeded": 1, "conditions": over("Complete", "", -5)}));
    let failed =
        job(&json!({"startTime": stamp(-90), "failed": 1, "conditions": over("Failed", "BackoffLimitExceeded", -5)}));
    let found = || Account::Failed(failure::of_condition("Failed", "m", true));
    check(vec![
        (engine("Pending"), ABSENT, Account::Unknown, &name),
        (engine("Pending"), Some(Ok(&going)), Account::Unknown, "write Running ExecutionCreated"),
        (engine("Running"), Some(Ok(&going)), Account::GoesOn { ran: None }, "write "),
        (engine("Running"), Some(Ok(&well)), Account::Succeeded, "write Completed WorkflowCompleted"),
        (engine("Running"), Some(Ok(&failed)), found(), "write Failed Unknown WorkflowFailed"),
        (engine("Completed"), Some(Ok(&well)), Account::Unknown, "delete wfe-x r-1"),
    ]);
}

#[test]
fn a_job_is_one_task_and_its_pods_are_its_tries() {
    let pod = |name: &str| {
        let pod = json!({"metadata": {"namespace": "runs", "name": name}, "status": {"phase": "Failed"}});
        Arc::new(crate::api::tekton::Pod::from_json(&pod.to_string()).unwrap())
    };
    let Carrier::Job(going, _) = job(&json!({"startTime": stamp(-90), "active": 1})) else { unreachable!("a Job") };
    let run = Carrier::Job(going, vec![pod("a"), pod("b")]);
    let change = written(&execution(phase("Running")), &run, &Account::GoesOn { ran: None }).unwrap();
    assert_eq!(
        member(&change, "execution"),
        json!({"ref": {"name": "wfe-x"}, "status": "Unknown", "reason": "Running", "completedTasks": 0, "totalTasks": 1, "retryCount": 1})
    );
    let well = job(&json!({"succeeded": 1, "conditions": over("Complete", "", -5)}));
    let change = written(&execution(phase("Running")), &well, &Account::Succeeded).unwrap();
    let told = member(&change, "execution");
    assert_eq!((&told["status"], &told["completedTasks"], &told["totalTasks"]), (&json!("True"), &json!(1), &json!(1)));
    assert_eq!(member(&change, "completionTime"), stamp(-5));
}

#[test]
fn a_missing_namespace_is_waited_for() {
    let commission = execution(json!({"spec": {"workflowRef": {"executionEngine": "job"}}}));
    let Step::Write(change) = refused(&commission, 404, "NotFound", "namespaces \"runs\" not found", now()) else {
        unreachable!("a write");
    };
    assert_eq!(member(&change, "conditions")[0]["reason"], "NamespaceMissing");
    assert_eq!(
        member(&change, "conditions")[0]["message"],
        "Jobs cannot be created yet: namespaces \"runs\" not found"
    );
}

#[test]
fn a_target_is_locked_for_both_engines() {
    let step = |beside: &Carrier, run: Run<'_>| {
        let (commission, verdict) = (execution(json!({})), verdict(None));
        let account = &Account::Unknown;
        let seen = Seen {
            commission: &commission,
            verdict: Some(&verdict),
            run,
            beside: Some(beside),
            leftovers: false,
            other_open: false,
            account,
        };
        told(&plan(&seen, &RULES(), now()))
    };
    let job_of = |execution: &str, status: &Value| carrier(Engine::Job, execution, "u-9", status);
    let kept = json!({"conditions": over("Complete", "", -10)});
    let stale = json!({"conditions": over("Complete", "", -70)});
    assert_eq!(
        step(&job_of("we-9", &json!({"active": 1})), Run::Absent),
        "write Failed Deduplicated we-9 WorkflowFailed"
    );
    assert_eq!(step(&job_of("we-9", &kept), Run::Unseen), "write Pending Held");
    assert_eq!(step(&job_of("we-9", &stale), Run::Absent), "delete wfe-x r-1");
    assert_eq!(step(&job_of("", &kept), Run::Absent), "write Pending Held");
    // What says that it is this execution's was made by nobody of us.
    let forged = carrier(Engine::Job, "we-1", "u-1", &kept);
    assert_eq!(step(&forged, Run::Absent), format!("create {}", run::name("payments/Deployment/api")));
    let ours = run_of("we-1", "u-1", &going());
    assert_eq!(step(&job_of("we-9", &kept), Run::There(&ours)), "write Running ExecutionCreated");
}

/// Tekton takes a task by its name for the next run's.
#[test]
fn what_an_earlier_run_left_behind_is_waited_for() {
    let step = |status: Value, leftovers: bool| {
        let (commission, verdict) = (execution(json!({"status": status})), verdict(None));
        let (run, account) = (Run::Absent, &Account::Unknown);
        let seen = Seen {
            commission: &commission,
            verdict: Some(&verdict),
            run,
            beside: None,
            leftovers,
            other_open: false,
            account,
        };
        told(&plan(&seen, &RULES(), now()))
    };
    let said = json!([{"type": "Admitted", "status": "False", "reason": "TargetLocked"}]);
    assert_eq!(step(json!({}), true), "write Pending Held");
    assert_eq!(step(json!({"phase": "Pending", "conditions": said}), true), "rest until 1");
    assert_eq!(step(json!({}), false), format!("create {}", run::name("payments/Deployment/api")));
}
