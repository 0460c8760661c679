//! What must hold whatever happens: the index forgets how it came to know, and a decision depends on what is known alone.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use lockkeeper::api::facts::{ObjectKey, ParentRef, ReadError, RemediationRequest, Target, WorkflowExecution};
use lockkeeper::api::tekton::{Owner, PipelineRun, TaskRun};
use lockkeeper::cluster::{Index, Seen, Tracked};
use lockkeeper::failure::Account;
use lockkeeper::routing::{self, Mode, Policy, Request, Stored, View};

const NAMES: usize = 4;
const TARGETS: [&str; 2] = ["n/Deployment/api", "Node/w"];

/// What happens to one input.
#[derive(Clone, Debug)]
enum Event {
    Put(usize, Value),
    Unreadable(usize),
    Deleted(usize),
    /// Deleted while the watch was away; only a list can tell.
    Vanished(usize),
    Listed,
}

fn at(offset: i64) -> Timestamp {
    Timestamp::from_second(1_767_607_200 + offset).unwrap()
}

fn key(i: usize) -> ObjectKey {
    ObjectKey { namespace: if i.is_multiple_of(2) { "n" } else { "m" }.into(), name: format!("x-{}", i / 2).into() }
}

fn maybe_time() -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), (-400i64..400).prop_map(|s| json!(at(s / 100 * 100).to_string()))]
}

prop_compose! {
    fn execution()(
        target in prop::sample::select(vec!["n/Deployment/api", "n/deployment/api", "Node/w", "not a target"]),
        workflow in prop::sample::select(vec!["restart", "scale"]),
        phase in prop::sample::select(vec!["", "Pending", "Running", "Completed", "Failed", "Failed", "Failed"]),
        created in maybe_time(),
        ended in maybe_time(),
        details in prop::sample::select(vec![
            json!(null),
            json!({"wasExecutionFailure": true}),
            json!({"wasExecutionFailure": false}),
            json!({"reason": "Deduplicated"}),
        ]),
        cleared in prop::sample::select(vec![json!(null), json!({"clearedBy": "alice"})]),
    ) -> Value {
        json!({
            "metadata": {"creationTimestamp": created},
            "spec": {"targetResource": target, "workflowRef": {"workflowId": workflow}},
            "status": {"phase": phase, "completionTime": ended, "failureDetails": details, "blockClearance": cleared},
        })
    }
}

prop_compose! {
    fn request()(
        fingerprint in prop::sample::select(vec!["f", "g"]),
        namespace in prop::sample::select(vec!["n", "m"]),
        phase in prop::sample::select(vec!["", "Analyzing", "Blocked", "Completed", "Failed", "Failed", "TimedOut"]),
        created in maybe_time(),
        ended in maybe_time(),
        next in maybe_time(),
        outcome in prop::sample::select(vec!["", "Inconclusive"]),
    ) -> Value {
        json!({
            "metadata": {"creationTimestamp": created, "uid": "u"},
            "spec": {"signalFingerprint": fingerprint, "targetResource": {"namespace": namespace}},
            "status": {"overallPhase": phase, "completedAt": ended, "nextAllowedExecution": next, "outcome": outcome},
        })
    }
}

prop_compose! {
    fn run()(
        execution in 0..NAMES,
        labelled in prop::sample::select(vec![true, true, true, false]),
        target in prop::sample::select(vec![json!("n/Deployment/api"), json!("Node/w"), json!("odd"), json!(null)]),
        condition in prop::sample::select(vec![json!([]), condition("Unknown"), condition("True"), condition("False")]),
        created in maybe_time(),
        uid in prop::sample::select(vec!["r1", "r2"]),
    ) -> Value {
        let of = key(execution);
        let labels = json!({"kubernaut.ai/workflow-execution": of.name, "kubernaut.ai/source-namespace": of.namespace});
        json!({
            "metadata": {
                "creationTimestamp": created, "uid": uid, "labels": if labelled { labels } else { json!(null) },
                "annotations": {"kubernaut.ai/target-resource": target},
            },
            "status": {"conditions": condition, "childReferences": [{"kind": "TaskRun", "name": "x-0"}]},
        })
    }
}

fn condition(status: &str) -> Value {
    json!([{"type": "Succeeded", "status": status, "reason": "Failed", "message": "Tasks Completed: 1 (Failed: 1, Cancelled 0)"}])
}

prop_compose! {
    fn task()(
        of in prop::sample::select(vec![json!("x-0"), json!("x-1"), json!(null)]),
        step in prop::sample::select(vec![
            json!({"name": "s", "running": {}}),
            json!({"name": "s", "waiting": {"reason": "ImagePullBackOff"}}),
            json!({"name": "s", "terminated": {"reason": "Error", "exitCode": 1}, "imageID": "i"}),
        ]),
        condition in prop::sample::select(vec![json!([]), condition("Unknown"), condition("True"), condition("False")]),
    ) -> Value {
        json!({
            "metadata": {"labels": {"tekton.dev/pipelineRun": of}},
            "status": {"podName": "p", "conditions": condition, "steps": [step]},
        })
    }
}

fn events(object: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        8 => (0..2 * NAMES, object).prop_map(|(i, object)| Event::Put(i, object)),
        1 => (0..2 * NAMES).prop_map(Event::Unreadable),
        2 => (0..2 * NAMES).prop_map(Event::Deleted),
        2 => (0..2 * NAMES).prop_map(Event::Vanished),
        1 => Just(Event::Listed),
    ];
    prop::collection::vec(event, 0..40)
}

/// What is really there: an object, or one that nobody can read.
type World = BTreeMap<usize, Option<Value>>;

fn seen<T: Tracked>(i: usize, object: Option<&Value>) -> Seen<T> {
    let unreadable = || ReadError { path: "spec".into(), problem: "odd".into() };
    let facts = object.ok_or_else(unreadable).and_then(|object| {
        let mut object = object.clone();
        (object["metadata"]["namespace"], object["metadata"]["name"]) = (json!(key(i).namespace), json!(key(i).name));
        T::read(&object.to_string())
    });
    Seen { key: key(i), facts }
}

fn list<T: Tracked>(index: &Index, world: &World, order: impl Iterator<Item = usize>) {
    for i in order {
        index.put(seen::<T>(i, world[&i].as_ref()));
    }
    index.listed::<T>(&world.keys().map(|i| key(*i)).collect::<HashSet<_>>());
}

/// Lets the events happen and ends with a list, as a watch that was away does.
fn live<T: Tracked>(index: &Index, events: &[Event], twice: bool) -> World {
    live_on::<T>(index, World::new(), events, twice)
}

fn live_on<T: Tracked>(index: &Index, mut world: World, events: &[Event], twice: bool) -> World {
    for event in events {
        for _ in 0..=usize::from(twice) {
            match event {
                Event::Put(i, object) => {
                    world.insert(*i, Some(object.clone()));
                    index.put(seen::<T>(*i, Some(object)));
                }
                Event::Unreadable(i) => {
                    world.insert(*i, None);
                    index.put(seen::<T>(*i, None));
                }
                Event::Deleted(i) => {
                    world.remove(i);
                    index.removed(seen::<T>(*i, None));
                }
                Event::Vanished(i) => {
                    world.remove(i);
                }
                Event::Listed => list::<T>(index, &world, world.keys().copied().collect::<Vec<_>>().into_iter().rev()),
            }
        }
    }
    list::<T>(index, &world, world.keys().copied());
    world
}

fn fresh(requests: &World, executions: &World) -> Index {
    let index = Index::default();
    list::<RemediationRequest>(&index, requests, requests.keys().copied());
    list::<WorkflowExecution>(&index, executions, executions.keys().copied());
    index
}

fn questions() -> impl Iterator<Item = Request> {
    let parents = (0..2 * NAMES).map(|i| Some(key(i))).chain([None]);
    parents.flat_map(|parent| {
        TARGETS.map(|target| Request {
            parent: parent.clone().map(|key| ParentRef { namespace: key.namespace, name: key.name, uid: None }),
            key: Some(key(0)),
            stored: Some(Stored { created: Some(at(0)) }),
            workflow_id: Some("restart".into()),
            ..Request::target(Target::parse(target, None).unwrap())
        })
    })
}

fn view(index: &Index, question: &Request) -> View {
    let view = index.view(question, Instant::now() + Duration::from_secs(10)).unwrap();
    View { age: Duration::ZERO, ..view }
}

fn ran(account: &Account) -> bool {
    match account {
        Account::Unknown => false,
        Account::GoesOn { ran } => ran.is_some(),
        Account::Succeeded => true,
        Account::Failed(failed) => failed.ran,
        Account::Gone { ran } => *ran,
    }
}

/// All that anybody can read of a decision.
fn told(question: &Request, view: &View) -> String {
    let mut policy = Policy::default();
    policy.checks.executor_cooldown.mode = Mode::Enforce;
    let verdict = routing::decide(question, view, &policy, at(0));
    format!("{verdict:?}{:?}{:?}", verdict.message(), verdict.warning_lines())
}

fn counts(index: &Index) -> Vec<(usize, usize)> {
    index.health().iter().map(|health| (health.objects, health.unreadable)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_forgets_how_it_came_to_know(
        requests in events(request()),
        executions in events(execution()),
        twice in any::<bool>(),
    ) {
        let index = Index::default();
        let requests = live::<RemediationRequest>(&index, &requests, twice);
        let executions = live::<WorkflowExecution>(&index, &executions, twice);
        let fresh = fresh(&requests, &executions);
        prop_assert_eq!(counts(&index), counts(&fresh));
        for question in questions() {
            let (lived, listed) = (view(&index, &question), view(&fresh, &question));
            prop_assert_eq!(format!("{lived:?}"), format!("{listed:?}"));
            prop_assert_eq!(told(&question, &lived), told(&question, &listed));
        }
    }

    #[test]
    fn runs_are_where_their_executions_are_however_that_came_about(
        before in events(execution()),
        runs in events(run()),
        tasks in events(task()),
        after in events(execution()),
        twice in any::<bool>(),
    ) {
        let index = Index::default();
        let requests = live::<RemediationRequest>(&index, &[], twice);
        let executions = live::<WorkflowExecution>(&index, &before, twice);
        let tasks = live::<TaskRun>(&index, &tasks, twice);
        let runs = live::<PipelineRun>(&index, &runs, twice);
        let executions = live_on::<WorkflowExecution>(&index, executions, &after, twice);
        let fresh = fresh(&requests, &executions);
        list::<PipelineRun>(&fresh, &runs, runs.keys().rev().copied());
        list::<TaskRun>(&fresh, &tasks, tasks.keys().copied());
        prop_assert_eq!(counts(&index), counts(&fresh));
        for question in questions() {
            let (lived, listed) = (view(&index, &question), view(&fresh, &question));
            prop_assert_eq!(format!("{lived:?}"), format!("{listed:?}"));
            prop_assert_eq!(told(&question, &lived), told(&question, &listed));
        }
        // What was seen on the way only adds to what the records say.
        for execution in (0..2 * NAMES).map(key) {
            let owner = Owner { key: &execution, uid: None, created: None };
            let soon = Instant::now() + Duration::from_secs(10);
            let account = |index: &Index| index.account(owner, Some("x-0"), soon).unwrap();
            let (lived, listed) = (account(&index), account(&fresh));
            prop_assert!(ran(&lived) || !ran(&listed), "{lived:?} {listed:?}");
            let same = std::mem::discriminant(&lived) == std::mem::discriminant(&listed);
            prop_assert!(same || matches!((&lived, &listed), (Account::Gone { .. }, Account::Unknown)), "{lived:?} {listed:?}");
        }
    }

    #[test]
    fn the_order_in_which_objects_were_seen_does_not_matter(
        requests in prop::collection::vec(request(), 2 * NAMES),
        executions in prop::collection::vec(execution(), 2 * NAMES),
        order in Just((0..2 * NAMES).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let world = |objects: Vec<Value>| objects.into_iter().map(Some).enumerate().collect::<World>();
        let (requests, executions) = (world(requests), world(executions));
        let in_order = fresh(&requests, &executions);
        let shuffled = Index::default();
        list::<WorkflowExecution>(&shuffled, &executions, order.iter().copied());
        list::<RemediationRequest>(&shuffled, &requests, order.iter().copied());
        for question in questions() {
            prop_assert_eq!(told(&question, &view(&shuffled, &question)), told(&question, &view(&in_order, &question)));
        }
    }

    #[test]
    fn a_view_is_frozen(executions in events(execution()), later in events(execution())) {
        let index = Index::default();
        list::<RemediationRequest>(&index, &World::new(), [].into_iter());
        live::<WorkflowExecution>(&index, &executions, false);
        let question = questions().last().unwrap();
        let taken = view(&index, &question);
        let before = format!("{taken:?}");
        live::<WorkflowExecution>(&index, &later, false);
        prop_assert_eq!(format!("{taken:?}"), before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn the_same_question_a_thousand_times_is_answered_in_the_same_bytes(
        requests in prop::collection::vec(request(), 2 * NAMES),
        executions in prop::collection::vec(execution(), 2 * NAMES),
    ) {
        let world = |objects: Vec<Value>| objects.into_iter().map(Some).enumerate().collect::<World>();
        let index = fresh(&world(requests), &world(executions));
        let question = questions().next().unwrap();
        let view = view(&index, &question);
        let first = told(&question, &view);
        for _ in 0..1000 {
            prop_assert_eq!(told(&question, &view), first.as_str());
        }
    }
}

#[test]
fn there_is_no_view_before_both_inputs_were_listed() {
    let index = Index::default();
    let question = questions().next().unwrap();
    let ask = |index: &Index| {
        index.view(&question, Instant::now() + Duration::from_secs(10)).map_err(|error| error.to_string())
    };
    let waiting = |input: &str| format!("{input} not listed yet; the gate answers once it is");
    assert_eq!(ask(&index).unwrap_err(), waiting("remediationrequests"));
    index.listed::<RemediationRequest>(&HashSet::new());
    assert_eq!(ask(&index).unwrap_err(), waiting("workflowexecutions"));
    index.listed::<WorkflowExecution>(&HashSet::new());
    assert!(ask(&index).is_ok());
}

#[test]
fn an_object_stored_under_another_name_than_its_own_is_known_once() {
    let index = fresh(&World::new(), &World::new());
    let wfe = json!({"metadata": {"name": "x"}, "spec": {"targetResource": "Node/w"}}).to_string();
    for _ in 0..2 {
        let facts = WorkflowExecution::from_json(&wfe);
        index.put(Seen { key: key(0), facts });
    }
    assert_eq!(counts(&index), [(0, 0), (1, 0)]);
    let own = ObjectKey { namespace: "default".into(), name: "x".into() };
    index.removed(Seen { key: own, facts: WorkflowExecution::from_json(&wfe) });
    let question = Request::target(Target::parse("Node/w", None).unwrap());
    assert!(routing::decide(&question, &view(&index, &question), &Policy::default(), at(0)).admitted());
}
