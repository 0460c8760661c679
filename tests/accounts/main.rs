//! What the index knows of an execution's run, told by records that come, change and go.

mod jobs;
mod owners;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use lockkeeper::api::facts::{ObjectKey, ReadError, RemediationRequest, Target, WorkflowExecution};
use lockkeeper::api::tekton::{Engine, Job, Owner, PipelineRun, Pod, TaskRun};
use lockkeeper::cluster::{Index, Input, Seen, Tracked};
use lockkeeper::failure::{Account, Reason, Weight};
use lockkeeper::routing::{self, Policy, Request};

const RUNS: &str = "kubernaut-workflows";

fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { namespace: namespace.into(), name: name.into() }
}

/// So many seconds after ten.
fn at(offset: i64) -> Timestamp {
    Timestamp::from_second(1_767_607_200 + offset).unwrap()
}

fn index() -> Index {
    let index = Index::with_executions_in(RUNS);
    index.listed::<RemediationRequest>(&HashSet::new());
    index.listed::<WorkflowExecution>(&HashSet::new());
    index.listed::<PipelineRun>(&HashSet::new());
    index.listed::<TaskRun>(&HashSet::new());
    index
}

fn seen<T: Tracked>(object: &Value) -> Seen<T> {
    let facts = T::read(&object.to_string()).unwrap();
    Seen { key: facts.key().clone(), facts: Ok(facts) }
}

fn put<T: Tracked>(index: &Index, object: &Value) {
    index.put(seen::<T>(object));
}

/// The news of its deletion tells nothing more of it.
fn remove<T: Tracked>(index: &Index, key: ObjectKey) {
    let silent = ReadError { path: ".".to_owned(), problem: "nothing is told".to_owned() };
    index.removed::<T>(Seen { key, facts: Err(silent) });
}

/// The run `wfe-1` of `payments/we`, created at ten.
fn run(status: &Value) -> Value {
    json!({
        "metadata": {
            "namespace": RUNS, "name": "wfe-1", "uid": "r1", "creationTimestamp": at(0).to_string(),
            "labels": {"kubernaut.ai/workflow-execution": "we", "kubernaut.ai/source-namespace": "payments"},
        },
        "status": status,
    })
}

fn going_on() -> Value {
    json!({
        "startTime": at(1).to_string(),
        "conditions": [{"type": "Succeeded", "status": "Unknown", "reason": "Running", "message": "m"}],
        "childReferences": [{"kind": "TaskRun", "name": "wfe-1-a", "pipelineTaskName": "a"}],
    })
}

fn failed() -> Value {
    let mut status = going_on();
    let message = "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0";
    status["conditions"] = json!([{"type": "Succeeded", "status": "False", "reason": "Failed", "message": message}]);
    status["completionTime"] = json!(at(60).to_string());
    status
}

fn task(step: &Value, condition: &Value) -> Value {
    json!({
        "metadata": {
            "namespace": RUNS, "name": "wfe-1-a", "uid": "t1", "creationTimestamp": at(2).to_string(),
            "labels": {"tekton.dev/pipelineRun": "wfe-1", "tekton.dev/pipelineTask": "a"},
        },
        "status": {"podName": "wfe-1-a-pod", "conditions": [condition], "steps": [step]},
    })
}

fn pending() -> Value {
    let condition = json!({"type": "Succeeded", "status": "Unknown", "reason": "Pending", "message": "m"});
    task(&json!({"name": "s", "waiting": {"reason": "PodInitializing"}}), &condition)
}

fn at_work() -> Value {
    let condition = json!({"type": "Succeeded", "status": "Unknown", "reason": "Running", "message": "m"});
    task(&json!({"name": "s", "running": {"startedAt": at(5).to_string()}}), &condition)
}

fn never_pulled() -> Value {
    let message =
        r#"The step "s" in TaskRun "wfe-1-a" failed to pull the image "x". The pod errored with the message: "m.""#;
    let condition =
        json!({"type": "Succeeded", "status": "False", "reason": "TaskRunImagePullFailed", "message": message});
    let mut task =
        task(&json!({"name": "s", "terminated": {"exitCode": 1, "reason": "TaskRunImagePullFailed"}}), &condition);
    task["status"]["completionTime"] = json!(at(59).to_string());
    task
}

fn account_of(index: &Index, created: i64, run_name: Option<&str>) -> Account {
    let deadline = Instant::now() + Duration::from_secs(10);
    let we = key("payments", "we");
    index.account(Owner { key: &we, uid: None, created: Some(at(created)) }, run_name, deadline).unwrap()
}

fn account(index: &Index) -> Account {
    account_of(index, -1, None)
}

fn ran(account: &Account) -> Option<bool> {
    match account {
        Account::Unknown => None,
        Account::GoesOn { ran } => Some(ran.as_ref().is_some_and(|ran| ran.weight < Weight::Doubt)),
        Account::Succeeded => Some(true),
        Account::Failed(failed) => Some(failed.ran),
        Account::Gone { ran } => Some(*ran),
    }
}

#[test]
fn a_run_is_told_by_its_own_record_and_that_of_its_tasks() {
    let index = index();
    assert_eq!(account(&index), Account::Unknown);
    put::<PipelineRun>(&index, &run(&going_on()));
    let Account::GoesOn { ran: Some(doubt) } = account(&index) else { panic!() };
    assert_eq!(doubt.weight, Weight::Doubt, "a child that is referred to and not known");
    put::<TaskRun>(&index, &pending());
    assert_eq!(account(&index), Account::GoesOn { ran: None });
    put::<TaskRun>(&index, &at_work());
    assert_eq!(ran(&account(&index)), Some(true));
    put::<PipelineRun>(
        &index,
        &run(&json!({"conditions": [{"type": "Succeeded", "status": "True", "reason": "Succeeded"}]})),
    );
    assert_eq!(account(&index), Account::Succeeded);
}

#[test]
fn a_run_that_never_began_says_so() {
    let index = index();
    put::<TaskRun>(&index, &never_pulled());
    put::<PipelineRun>(&index, &run(&failed()));
    let Account::Failed(failed) = account(&index) else { panic!() };
    assert_eq!((failed.reason, failed.ran), (Reason::ImagePullBackOff, false));
}

/// Runs and tasks come by two streams.
#[test]
fn a_task_whose_end_is_not_known_yet_may_have_run() {
    let index = index();
    put::<TaskRun>(&index, &pending());
    put::<PipelineRun>(&index, &run(&failed()));
    let Account::Failed(early) = account(&index) else { panic!() };
    assert!(early.ran && early.evidence.last().unwrap().weight == Weight::Doubt, "{early:?}");
    put::<TaskRun>(&index, &never_pulled());
    assert_eq!(ran(&account(&index)), Some(false), "its end is known now");
}

#[test]
fn what_was_seen_at_work_counts_also_where_no_record_shows_it_any_more() {
    let index = index();
    put::<PipelineRun>(&index, &run(&going_on()));
    put::<TaskRun>(&index, &at_work());
    // The Pod was made again, and the image cannot be pulled any more.
    put::<TaskRun>(&index, &never_pulled());
    put::<PipelineRun>(&index, &run(&failed()));
    let Account::Failed(failed) = account(&index) else { panic!() };
    assert_eq!((failed.reason, failed.ran), (Reason::ImagePullBackOff, true));
    // So it does when the run is made again under the same name, and after it is gone.
    let mut again = run(&Value::Null);
    again["metadata"]["uid"] = json!("r2");
    remove::<TaskRun>(&index, key(RUNS, "wfe-1-a"));
    put::<PipelineRun>(&index, &again);
    remove::<PipelineRun>(&index, key(RUNS, "wfe-1"));
    assert_eq!(account(&index), Account::Gone { ran: true });
}

#[test]
fn a_run_that_went_ran_unless_it_provably_never_started() {
    let rows = [
        ("seen to its end", Some(never_pulled()), failed(), false),
        ("its tasks had gone before", None, failed(), true),
        ("it had not begun", None, Value::Null, false),
        ("it had a start", None, json!({"startTime": at(1).to_string()}), true),
        ("it had children", Some(pending()), going_on(), true),
    ];
    for (what, task, status, expected) in rows {
        let index = index();
        if let Some(task) = task {
            put::<TaskRun>(&index, &task);
        }
        index.removed::<PipelineRun>(seen(&run(&status)));
        assert_eq!(account(&index), Account::Gone { ran: expected }, "{what}");
    }
}

#[test]
fn a_run_that_vanished_between_two_lists_may_have_run() {
    let index = index();
    put::<PipelineRun>(&index, &run(&Value::Null));
    index.listed::<PipelineRun>(&HashSet::new());
    assert_eq!(account(&index), Account::Gone { ran: true });
}

#[test]
fn a_run_in_the_place_of_another_does_not_hide_that_one() {
    let index = index();
    put::<PipelineRun>(&index, &run(&Value::Null));
    let mut second = run(&Value::Null);
    second["metadata"]["uid"] = json!("r2");
    put::<PipelineRun>(&index, &second);
    assert_eq!(account(&index), Account::GoesOn { ran: None });
    index.removed::<PipelineRun>(seen(&second));
    assert_eq!(account(&index), Account::Gone { ran: true }, "what became of the first nobody saw");
}

#[test]
fn tasks_that_go_before_a_run_that_is_over_take_nothing_back() {
    let index = index();
    put::<TaskRun>(&index, &never_pulled());
    put::<PipelineRun>(&index, &run(&failed()));
    remove::<TaskRun>(&index, key(RUNS, "wfe-1-a"));
    index.removed::<PipelineRun>(seen(&run(&failed())));
    assert_eq!(account(&index), Account::Gone { ran: false });
}

#[test]
fn a_later_doubt_takes_back_that_nothing_ran() {
    let index = index();
    put::<TaskRun>(&index, &never_pulled());
    put::<PipelineRun>(&index, &run(&failed()));
    let mut lost = never_pulled();
    lost["status"]["steps"][0]["terminated"]["reason"] = json!("ContainerStatusUnknown");
    put::<TaskRun>(&index, &lost);
    remove::<PipelineRun>(&index, key(RUNS, "wfe-1"));
    assert_eq!(account(&index), Account::Gone { ran: true });
}

#[test]
fn a_run_that_belongs_to_another_is_not_ours() {
    let index = index();
    let mut other = run(&going_on());
    other["metadata"]["labels"]["kubernaut.ai/workflow-execution"] = json!("other");
    put::<PipelineRun>(&index, &other);
    assert_eq!(account_of(&index, -1, Some("wfe-1")), Account::Unknown);
    let older = run(&going_on());
    put::<PipelineRun>(&index, &older);
    assert!(matches!(account_of(&index, 5, None), Account::GoesOn { .. }), "clocks differ a little");
    assert_eq!(account_of(&index, 60, None), Account::Unknown, "of an earlier execution of this name");
    put::<TaskRun>(&index, &at_work());
    remove::<PipelineRun>(&index, key(RUNS, "wfe-1"));
    assert_eq!(account_of(&index, 5, None), Account::Gone { ran: true });
    assert_eq!(account_of(&index, 60, None), Account::Unknown);
}

#[test]
fn a_run_without_labels_is_found_by_the_name_that_the_status_gives() {
    for namespace in [RUNS, "payments"] {
        let index = index();
        let mut bare = run(&going_on());
        bare["metadata"]["labels"] = Value::Null;
        bare["metadata"]["namespace"] = json!(namespace);
        put::<PipelineRun>(&index, &bare);
        assert!(matches!(account_of(&index, -1, Some("wfe-1")), Account::GoesOn { .. }), "{namespace}");
        assert_eq!(account(&index), Account::Unknown);
    }
}

#[test]
fn what_any_of_its_runs_did_counts() {
    let index = index();
    put::<PipelineRun>(&index, &run(&failed()));
    let mut first = run(&failed());
    first["metadata"]["name"] = json!("wfe-0");
    first["metadata"]["creationTimestamp"] = json!(at(-5).to_string());
    first["status"]["childReferences"] = json!([{"kind": "CustomRun", "name": "c"}]);
    put::<TaskRun>(&index, &never_pulled());
    assert_eq!(ran(&account(&index)), Some(false));
    put::<PipelineRun>(&index, &first);
    assert_eq!(ran(&account(&index)), Some(true));
}

#[test]
fn a_task_that_says_it_belongs_to_another_run_is_that_ones() {
    let index = index();
    put::<PipelineRun>(&index, &run(&failed()));
    let mut stray = never_pulled();
    stray["metadata"]["labels"]["tekton.dev/pipelineRun"] = json!("another");
    put::<TaskRun>(&index, &stray);
    assert_eq!(ran(&account(&index)), Some(true), "its own task is not known");
    put::<TaskRun>(&index, &never_pulled());
    assert_eq!(ran(&account(&index)), Some(false));
}

#[test]
fn that_one_run_was_idle_says_nothing_of_another() {
    let index = index();
    put::<TaskRun>(&index, &never_pulled());
    put::<PipelineRun>(&index, &run(&failed()));
    let mut second = run(&failed());
    second["metadata"]["uid"] = json!("another");
    second["status"]["childReferences"] = json!([{"kind": "CustomRun", "name": "c"}]);
    put::<PipelineRun>(&index, &second);
    remove::<PipelineRun>(&index, key(RUNS, "wfe-1"));
    assert_eq!(account(&index), Account::Gone { ran: true });
}

#[test]
fn a_run_that_the_status_names_is_no_match_for_the_executions_own() {
    let index = index();
    put::<PipelineRun>(&index, &run(&failed()));
    put::<TaskRun>(&index, &at_work());
    let own = account(&index);
    let mut stray = run(&going_on());
    stray["metadata"]["name"] = json!("stray");
    stray["metadata"]["labels"] = Value::Null;
    stray["metadata"]["creationTimestamp"] = json!(at(30).to_string());
    put::<PipelineRun>(&index, &stray);
    assert_eq!(account_of(&index, -1, Some("stray")), own);
}

#[test]
fn of_two_runs_the_one_that_goes_on_is_told_and_all_that_ran_counts() {
    let index = index();
    put::<PipelineRun>(&index, &run(&going_on()));
    put::<TaskRun>(&index, &at_work());
    let mut second = run(&failed());
    second["metadata"]["name"] = json!("wfe-2");
    second["metadata"]["creationTimestamp"] = json!(at(30).to_string());
    second["status"]["childReferences"] = json!([]);
    put::<PipelineRun>(&index, &second);
    assert!(matches!(account(&index), Account::GoesOn { .. }));
    remove::<PipelineRun>(&index, key(RUNS, "wfe-1"));
    assert_eq!(ran(&account(&index)), Some(true), "the first one ran");
}

#[test]
fn the_memory_ends_with_the_execution() {
    let execution = json!({"metadata": {"namespace": "payments", "name": "we"}, "spec": {"targetResource": "Node/w"}});
    let index = index();
    put::<WorkflowExecution>(&index, &execution);
    put::<PipelineRun>(&index, &run(&going_on()));
    remove::<PipelineRun>(&index, key(RUNS, "wfe-1"));
    put::<WorkflowExecution>(&index, &execution);
    assert_eq!(account(&index), Account::Gone { ran: true }, "a change of the execution ends nothing");
    remove::<WorkflowExecution>(&index, key("payments", "we"));
    assert_eq!(account(&index), Account::Unknown);
}

#[test]
fn of_executions_that_were_never_seen_the_latest_are_remembered() {
    let index = index();
    let execution = |i: usize| key("payments", &format!("we-{i}"));
    for i in 0..1500 {
        let mut one = run(&going_on());
        one["metadata"]["labels"]["kubernaut.ai/workflow-execution"] = json!(execution(i).name);
        put::<PipelineRun>(&index, &one);
        remove::<PipelineRun>(&index, key(RUNS, "wfe-1"));
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    let known = |i: usize| {
        let owner = Owner { key: &execution(i), uid: None, created: None };
        index.account(owner, None, deadline).unwrap() != Account::Unknown
    };
    assert_eq!((0..1500).filter(|i| known(*i)).count(), 1024);
    assert!(known(1499) && !known(0));
}

#[test]
fn nothing_is_told_before_runs_that_are_looked_for_were_listed() {
    let index = Index::with_executions_in(RUNS);
    let ask = || {
        let owner = Owner { key: &key("payments", "we"), uid: None, created: None };
        index.account(owner, None, Instant::now() + Duration::from_secs(10))
    };
    assert_eq!(ask().unwrap(), Account::Unknown, "nobody looks for them");
    index.expect(Input::TaskRuns);
    assert_eq!(ask().unwrap_err().to_string(), "taskruns not listed yet; the gate answers once it is");
    index.listed::<TaskRun>(&HashSet::new());
    assert_eq!(ask().unwrap(), Account::Unknown);
    for (input, listed) in
        [(Input::Jobs, Index::listed::<Job> as fn(&Index, &HashSet<ObjectKey>)), (Input::Pods, Index::listed::<Pod>)]
    {
        index.expect(input);
        assert_eq!(ask().unwrap_err().to_string(), format!("{input} not listed yet; the gate answers once it is"));
        listed(&index, &HashSet::new());
        assert!(ask().is_ok());
    }
}

#[test]
fn where_runs_may_not_be_read_any_more_none_is_known_and_what_was_seen_still_counts() {
    let index = index();
    put::<WorkflowExecution>(&index, &json!({"metadata": {"namespace": "payments", "name": "we"}, "spec": {}}));
    put::<PipelineRun>(&index, &run(&going_on()));
    put::<TaskRun>(&index, &at_work());
    index.denied::<PipelineRun>();
    index.denied::<TaskRun>();
    assert_eq!(account(&index), Account::Gone { ran: true });
    put::<TaskRun>(&index, &never_pulled());
    put::<PipelineRun>(&index, &run(&failed()));
    assert_eq!(ran(&account(&index)), Some(true));
}

#[test]
fn a_kind_that_is_no_longer_served_is_gone() {
    let index = index();
    put::<PipelineRun>(&index, &run(&going_on()));
    index.absent::<PipelineRun>();
    index.absent::<TaskRun>();
    assert_eq!(account(&index), Account::Gone { ran: true });
    assert_eq!(index.health().len(), 2);
    assert!(index.age().is_ok(), "what is absent is not waited for");
}

/// Who holds this target, where somebody does.
fn holder(index: &Index, target: &str, cluster: Option<&str>) -> Option<String> {
    let question = Request::target(Target::parse(target, cluster).unwrap());
    let view = index.view(&question, Instant::now() + Duration::from_secs(10)).unwrap();
    let verdict = routing::decide(&question, &view, &Policy::default(), at(0));
    verdict.hold.filter(|hold| hold.reason == routing::Reason::ResourceBusy)?.by.map(|by| by.key.to_string())
}

#[test]
fn a_run_is_on_the_target_of_its_execution_else_on_the_one_that_it_was_made_for() {
    let index = index();
    let mut made = run(&going_on());
    made["metadata"]["annotations"] = json!({"kubernaut.ai/target-resource": "Node/made-for"});
    put::<PipelineRun>(&index, &made);
    let held = |target| holder(&index, target, None);
    assert_eq!(held("node/made-for").as_deref(), Some("payments/we"), "whose execution is not known");
    let execution = |target: &str, phase: &str| {
        json!({"metadata": {"namespace": "payments", "name": "we"}, "spec": {"targetResource": target, "clusterID": "eu"},
               "status": {"phase": phase, "failureDetails": {"wasExecutionFailure": false}}})
    };
    put::<WorkflowExecution>(&index, &execution("Node/stored", "Failed"));
    assert_eq!((held("Node/made-for"), held("Node/stored")), (None, None));
    assert_eq!(holder(&index, "Node/stored", Some("eu")).as_deref(), Some("payments/we"));
    put::<WorkflowExecution>(&index, &execution("no target at all", "Failed"));
    assert_eq!(held("Node/made-for").as_deref(), Some("payments/we"));
    remove::<WorkflowExecution>(&index, key("payments", "we"));
    assert_eq!(held("Node/made-for").as_deref(), Some("payments/we"), "deleted, and its run was not");
    put::<PipelineRun>(&index, &{
        let mut over = made.clone();
        over["status"] = failed();
        over
    });
    assert_eq!(held("Node/made-for"), None);
    made["metadata"]["labels"] = Value::Null;
    put::<PipelineRun>(&index, &made);
    assert_eq!(held("Node/made-for"), None, "a run that carries out no execution is nobody's business here");
}

#[test]
fn a_task_of_the_run_before_says_nothing_of_this_one() {
    let index = index();
    put::<PipelineRun>(&index, &run(&going_on()));
    let mut before = at_work();
    before["metadata"]["name"] = json!("wfe-1-b");
    before["metadata"]["labels"]["tekton.dev/pipelineRunUID"] = json!("r0");
    put::<TaskRun>(&index, &before);
    put::<TaskRun>(&index, &pending());
    assert_eq!(account(&index), Account::GoesOn { ran: None });
    before["metadata"]["labels"]["tekton.dev/pipelineRunUID"] = json!("r1");
    put::<TaskRun>(&index, &before);
    assert_eq!(ran(&account(&index)), Some(true));
}
