//! One decision, the view cut out of the index included, at growing sizes of the index and with ever more
//! failures in a row on one target, which are all walked.
//!
//! `cargo bench --bench decide`; under `cargo test` the small sizes run once.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;
use k8s_openapi::jiff::Timestamp;
use lockkeeper::api::duration::GoDuration;
use lockkeeper::api::facts::{ObjectKey, ParentRef, Target};
use lockkeeper::cluster::Index;
use lockkeeper::routing::{self, Policy, Request};

mod support;
use support::{NAMESPACE, Shape, rr, target};

/// Questions asked in turn, so that no processor cache holds the answer.
const QUESTIONS: usize = 4096;

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let mut criterion = Criterion::default().configure_from_args();
    let sizes: &[usize] = if measured { &[1_000, 100_000, 1_000_000] } else { &[1_000] };
    for &objects in sizes {
        let shape = Shape { signals: objects / 10, requests: 5, executions: 5, failing: false };
        ask(&mut criterion, "objects in the index", objects, shape);
    }
    let histories: &[usize] = if measured { &[1, 100, 10_000] } else { &[1, 100] };
    for &executions in histories {
        let shape = Shape { signals: 1, requests: 1, executions, failing: true };
        ask(&mut criterion, "failures on the target", executions, shape);
    }
    criterion.final_summary();
}

fn ask(criterion: &mut Criterion, of: &str, count: usize, shape: Shape) {
    let index = Index::default();
    shape.fill_requests(&index);
    shape.fill_executions(&index);
    // Strides over the whole index; 7919 is prime.
    let questions: Vec<_> = (0..QUESTIONS).map(|i| question(i * 7919 % shape.signals)).collect();
    let now = Timestamp::from_second(1_767_700_000).unwrap();
    let mut policy = Policy::default();
    // Nobody keeps the inputs alive here.
    policy.staleness.max = GoDuration::minutes(600);
    let deadline = Instant::now() + Duration::from_secs(3600);
    let mut turn = 0;
    criterion.bench_function(&format!("decide/{of}/{count}"), |bencher| {
        bencher.iter(|| {
            turn = (turn + 1) % QUESTIONS;
            let question = &questions[turn];
            let view = index.view(question, deadline).unwrap();
            let verdict = routing::decide(black_box(question), &view, &policy, now);
            assert!(verdict.admitted() || shape.failing, "{verdict:?}");
            verdict
        });
    });
}

/// A question that nothing stands against: the oldest request of the signal, a workflow that nobody ran.
fn question(signal: usize) -> Request {
    let key = ObjectKey { namespace: NAMESPACE.into(), name: format!("we-{}-new", rr(signal, 0)).into() };
    Request {
        key: Some(key),
        parent: Some(ParentRef { namespace: NAMESPACE.into(), name: rr(signal, 0).into(), uid: None }),
        workflow_id: Some("6f1c0b9e-3f64-4b5e-9a55-0f6b8a1d2c3e".into()),
        ..Request::target(Target::parse(&target(signal), None).unwrap())
    }
}
