//! Two replicas: one leads, and the other only when that one is dead, or knows that it must not.

use std::time::Duration;

use serde_json::{Value, json};

use super::proxy::Proxy;
use super::{CONFIG, Tekton, allow_executing};
use crate::runs::install_tekton;
use crate::stage::{self, GATE, Gate, World};
use crate::support::{self, ACTION, ApiServer, Options, eventually};

/// The lease's fifteen seconds, and what a busy machine adds.
const LEASE: Duration = Duration::from_secs(40);

const LEADING: &str = "leading";
const STOOD_DOWN: &str = "no longer leading; loops stand still";

/// When it said so last.
fn said(gate: &Gate, message: &str) -> Option<String> {
    let log = gate.process.log_text();
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.rfind(|line| line["message"] == message).map(|line| line["timestamp"].as_str().unwrap().to_owned())
}

async fn says(gate: &Gate, message: &str) -> String {
    eventually(&format!("the log says {message:?}"), LEASE, || async {
        said(gate, message).ok_or_else(|| gate.process.log_tail(9))
    })
    .await
}

/// The first leads through a proxy, the second waits.
async fn pair(server: &ApiServer) -> (Gate, Proxy, Gate) {
    server.apply_crds(&stage::crds()).await.unwrap();
    install_tekton(server, "v1").await;
    allow_executing(server).await;
    let proxy = Proxy::start(server).await;
    let first = stage::start_gate_with(server, CONFIG, &proxy.kubeconfig).await;
    says(&first, LEADING).await;
    let second = stage::start_gate(server, CONFIG).await;
    second.ready().await;
    (first, proxy, second)
}

/// What it counts under this name and labels; 0 where it does not.
fn counted(gate: &Gate, metric: &str) -> u64 {
    let (_, told) = gate.get("/metrics");
    let line = told.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    line.map_or(0, |count| count.parse().unwrap())
}

const LEADER: &str = "lockkeeper_leader";
const SETTLED: &str = r#"lockkeeper_reconcile_total{loop="executor",outcome="settled"}"#;

async fn execute(world: &World<'_>, tekton: &Tekton, name: &str) -> String {
    world.request(name, name, json!({"overallPhase": "Analyzing"})).await;
    world.execution(name, name, &world.target(name), Value::Null).await;
    tekton.run_on_within(&world.target(name), LEASE).await.metadata.uid.unwrap()
}

#[tokio::test]
async fn a_leader_that_is_killed_is_followed_and_nothing_runs_twice() {
    let Some(server) = support::own_bench_or_skip(Options::default().user(GATE, &[])).await else { return };
    let (first, _proxy, second) = pair(&server).await;
    let (world, tekton) = (World::new(&server, "killed").await, Tekton::of(&server).await);
    let uid = execute(&world, &tekton, "begun").await;
    assert_eq!(said(&second, LEADING), None);
    eventually("the visit is counted", ACTION, || async {
        if counted(&first, SETTLED) > 0 { Ok(()) } else { Err(first.get("/metrics").1) }
    })
    .await;
    assert_eq!((counted(&first, LEADER), counted(&second, LEADER), counted(&second, SETTLED)), (1, 0, 0));
    first.process.stop();
    execute(&world, &tekton, "after").await;
    assert!(said(&second, LEADING).is_some());
    assert_eq!(counted(&second, LEADER), 1);
    assert_eq!(tekton.run_on(&world.target("begun")).await.metadata.uid, Some(uid));
}

#[tokio::test]
async fn a_leader_that_is_cut_off_stands_down_before_the_other_leads() {
    let Some(server) = support::own_bench_or_skip(Options::default().user(GATE, &[])).await else { return };
    let (first, proxy, second) = pair(&server).await;
    let (world, tekton) = (World::new(&server, "cut").await, Tekton::of(&server).await);
    let uid = execute(&world, &tekton, "begun").await;
    proxy.cut(true);
    let next = execute(&world, &tekton, "after").await;
    let (down, up) = (said(&first, STOOD_DOWN).expect("it stood down"), said(&second, LEADING).expect("it leads"));
    assert!(down < up, "stood down at {down}, the other led at {up}");
    assert_eq!((counted(&first, LEADER), counted(&second, LEADER)), (0, 1));
    // Back again, it waits its turn.
    proxy.cut(false);
    let third = execute(&world, &tekton, "back").await;
    assert!(uid != next && next != third);
    assert!(said(&first, LEADING).unwrap() < down, "{}", first.process.log_tail(9));
    assert_eq!(tekton.run_on(&world.target("begun")).await.metadata.uid, Some(uid));
}

/// It would lead, and nobody would carry anything out.
#[tokio::test]
async fn a_replica_without_the_loops_of_the_others_does_not_lead_them() {
    let Some(server) = support::own_bench_or_skip(Options::default().user(GATE, &[])).await else { return };
    server.apply_crds(&stage::crds()).await.unwrap();
    install_tekton(&server, "v1").await;
    allow_executing(&server).await;
    let idle = stage::start_gate(&server, "{}").await;
    says(&idle, LEADING).await;
    let working = stage::start_gate(&server, CONFIG).await;
    working.ready().await;
    let (world, tekton) = (World::new(&server, "idle").await, Tekton::of(&server).await);
    execute(&world, &tekton, "we").await;
    assert_eq!((said(&idle, STOOD_DOWN), said(&working, LEADING).is_some()), (None, true));
}
