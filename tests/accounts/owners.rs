//! Whose a run is: of executions of one name, of copies, and of what stood at its place before.

use lockkeeper::cluster::Memory;

use super::*;

/// The execution `payments/we` of this uid, created at ten.
fn owned<T>(uid: &str, ask: impl FnOnce(Owner<'_>) -> T) -> T {
    ask(Owner { key: &key("payments", "we"), uid: Some(uid), created: Some(at(0)) })
}

fn account_of(index: &Index, uid: &str) -> Account {
    owned(uid, |owner| index.account(owner, None, Instant::now() + Duration::from_secs(10))).unwrap()
}

fn memory(index: &Index, engine: Engine, uid: &str) -> (bool, bool) {
    let Memory { ran, gone, .. } = owned(uid, |owner| index.memory(engine, &key(RUNS, "wfe-1"), owner));
    (ran, gone)
}

/// A run that says of which execution it is.
fn made_for(uid: &str, status: &Value) -> Value {
    let mut run = run(status);
    run["metadata"]["annotations"] = json!({"lockkeeper.kubernaut.ai/execution-uid": uid});
    run
}

fn named(mut run: Value, name: &str, uid: &str) -> Value {
    (run["metadata"]["name"], run["metadata"]["uid"]) = (json!(name), json!(uid));
    run
}

#[test]
fn of_executions_of_one_name_the_uid_tells_whatever_the_clocks_say() {
    let index = index();
    let mut early = made_for("u1", &failed());
    early["metadata"]["creationTimestamp"] = json!(at(-3600).to_string());
    put::<TaskRun>(&index, &never_pulled());
    put::<PipelineRun>(&index, &early);
    assert_eq!(ran(&account_of(&index, "u1")), Some(false), "its clock is far behind");
    assert_eq!(account_of(&index, "u2"), Account::Unknown);
    let mut late = made_for("u1", &going_on());
    late["metadata"]["creationTimestamp"] = json!(at(3).to_string());
    put::<PipelineRun>(&index, &late);
    assert_eq!(account_of(&index, "u2"), Account::Unknown, "of the one before, whose name it has");
}

#[test]
fn what_an_execution_did_is_not_told_of_the_next_of_its_name() {
    let index = index();
    put::<PipelineRun>(&index, &made_for("u1", &going_on()));
    put::<TaskRun>(&index, &at_work());
    assert_eq!(memory(&index, Engine::Tekton, "u1"), (true, false));
    remove::<PipelineRun>(&index, key(RUNS, "wfe-1"));
    assert_eq!(memory(&index, Engine::Tekton, "u1"), (true, true));
    assert_eq!(memory(&index, Engine::Tekton, "u2"), (false, false));
    assert_eq!((account_of(&index, "u1"), account_of(&index, "u2")), (Account::Gone { ran: true }, Account::Unknown));
    // Each has its own, also where both were there.
    remove::<TaskRun>(&index, key(RUNS, "wfe-1-a"));
    index.removed::<PipelineRun>(seen(&named(made_for("u2", &Value::Null), "wfe-1", "r2")));
    assert_eq!(memory(&index, Engine::Tekton, "u2"), (false, true));
    assert_eq!(memory(&index, Engine::Tekton, "u1"), (true, true));
}

/// Its place and its engine, since everybody who may create runs may make a copy.
#[test]
fn what_is_remembered_at_one_place_is_of_no_other() {
    let index = index();
    put::<PipelineRun>(&index, &named(made_for("u1", &going_on()), "copy", "r9"));
    let mut task = at_work();
    task["metadata"]["labels"]["tekton.dev/pipelineRun"] = json!("copy");
    put::<TaskRun>(&index, &task);
    remove::<PipelineRun>(&index, key(RUNS, "copy"));
    index.removed::<Job>(seen(&made_for("u1", &json!({"active": 1}))));
    assert_eq!(memory(&index, Engine::Tekton, "u1"), (false, false));
    assert_eq!(memory(&index, Engine::Job, "u1"), (true, true));
    assert_eq!(account_of(&index, "u1"), Account::Gone { ran: true }, "who asks of all is told of all");
}

#[test]
fn how_a_run_ended_is_remembered_until_its_execution_says_so() {
    let last = |index: &Index| {
        let memory = owned("u1", |owner| index.memory(Engine::Tekton, &key(RUNS, "wfe-1"), owner));
        memory.last.map(|last| Account::of_carrier(&last, memory.ran))
    };
    let execution = |phase: &str| json!({"metadata": {"namespace": "payments", "name": "we"}, "spec": {"targetResource": "Node/w"}, "status": {"phase": phase}});
    for (phase, status, expected) in [
        ("Running", failed(), true),
        ("Pending", failed(), true),
        ("Failed", failed(), false),
        ("Completed", failed(), false),
        ("Running", going_on(), false),
    ] {
        let index = index();
        put::<WorkflowExecution>(&index, &execution(phase));
        put::<TaskRun>(&index, &never_pulled());
        put::<PipelineRun>(&index, &made_for("u1", &going_on()));
        index.removed::<PipelineRun>(seen(&made_for("u1", &status)));
        let found = last(&index);
        assert_eq!(found.is_some(), expected, "{phase} {status}");
        if let Some(found) = found {
            let Account::Failed(found) = found else { panic!("{found:?}") };
            assert_eq!((found.reason, found.ran), (Reason::ImagePullBackOff, false));
        }
    }
}

#[test]
fn of_two_that_ended_the_last_one_tells_how() {
    let index = index();
    let well = json!({"conditions": [{"type": "Succeeded", "status": "True", "reason": "Succeeded"}]});
    for (uid, status) in [("r1", failed()), ("r2", well)] {
        index.removed::<PipelineRun>(seen(&named(made_for("u1", &status), "wfe-1", uid)));
    }
    let memory = owned("u1", |owner| index.memory(Engine::Tekton, &key(RUNS, "wfe-1"), owner));
    assert_eq!(memory.last.unwrap().uid(), "r2");
}

#[test]
fn it_is_known_since_when_a_run_has_ended() {
    let index = index();
    let known = || index.run(Engine::Tekton, &key(RUNS, "wfe-1")).and_then(|run| index.ended_for(&run)).is_some();
    put::<PipelineRun>(&index, &run(&going_on()));
    assert!(!known());
    put::<PipelineRun>(&index, &run(&failed()));
    assert!(known());
    let first = index.run(Engine::Tekton, &key(RUNS, "wfe-1")).unwrap();
    let since = |run| index.ended_for(run).unwrap();
    let before = since(&first);
    std::thread::sleep(Duration::from_millis(2));
    put::<PipelineRun>(&index, &run(&failed()));
    assert!(since(&first) > before, "it is told again, and ended once");
    // Another one in its place.
    put::<PipelineRun>(&index, &named(run(&going_on()), "wfe-1", "r2"));
    assert!(!known());
    put::<PipelineRun>(&index, &named(run(&failed()), "wfe-1", "r2"));
    assert!(known() && index.ended_for(&first).is_none());
}

#[test]
fn of_many_runs_of_one_execution_those_that_did_something_are_remembered() {
    let index = index();
    put::<PipelineRun>(&index, &named(made_for("u1", &going_on()), "wfe-1", "r0"));
    put::<TaskRun>(&index, &at_work());
    remove::<PipelineRun>(&index, key(RUNS, "wfe-1"));
    remove::<TaskRun>(&index, key(RUNS, "wfe-1-a"));
    for number in 1..40 {
        index.removed::<PipelineRun>(seen(&named(made_for("u1", &Value::Null), "wfe-1", &format!("r{number}"))));
    }
    assert_eq!(memory(&index, Engine::Tekton, "u1"), (true, true));
}

/// What is remembered of runs whose executions nobody knows is bounded, and takes no room from the others.
#[test]
fn executions_that_are_there_or_have_a_run_are_remembered_whoever_comes_after() {
    let index = index();
    let object = json!({"metadata": {"namespace": "payments", "name": "we"}, "spec": {"targetResource": "Node/w"}});
    let of = |execution: &str, name: &str, uid: &str| {
        let mut run = named(run(&Value::Null), name, uid);
        run["metadata"]["labels"]["kubernaut.ai/workflow-execution"] = json!(execution);
        run
    };
    let went = |execution: &str, place: &str| {
        let execution = key("payments", execution);
        let owner = Owner { key: &execution, uid: None, created: Some(at(0)) };
        index.memory(Engine::Tekton, &key(RUNS, place), owner).gone
    };
    // The run of the first goes before the execution is heard of; the second has another run.
    index.removed::<PipelineRun>(seen(&of("we", "wfe-1", "r1")));
    put::<WorkflowExecution>(&index, &object);
    index.removed::<PipelineRun>(seen(&of("two", "wfe-2", "r2")));
    put::<PipelineRun>(&index, &of("two", "wfe-2", "r3"));
    index.removed::<PipelineRun>(seen(&of("orphan", "wfe-3", "r4")));
    assert_eq!((went("we", "wfe-1"), went("two", "wfe-2"), went("orphan", "wfe-3")), (true, true, true));
    for number in 0..2000 {
        index.removed::<PipelineRun>(seen(&of(&format!("we-{number}"), "wfe-4", &format!("x{number}"))));
    }
    assert_eq!((went("we", "wfe-1"), went("two", "wfe-2"), went("orphan", "wfe-3")), (true, true, false));
    assert!(went("we-1999", "wfe-4"), "the latest ones");
}
