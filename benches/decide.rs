//! One decision, the view cut out of the index included, at growing sizes of the index and of one target's history.
//!
//! `cargo bench --bench decide`; under `cargo test` the small sizes run once.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;
use k8s_openapi::jiff::Timestamp;
use lockkeeper::cluster::Index;
use lockkeeper::routing::{self, Policy};

mod support;
use support::Shape;

/// Questions asked in turn, so that no processor cache holds the answer.
const QUESTIONS: usize = 4096;

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let mut criterion = Criterion::default().configure_from_args();
    let sizes: &[usize] = if measured { &[1_000, 100_000, 1_000_000] } else { &[1_000] };
    for &objects in sizes {
        let shape = Shape { signals: objects / 10, requests: 5, executions: 5 };
        ask(&mut criterion, "objects in the index", objects, shape);
    }
    let histories: &[usize] = if measured { &[1, 100, 10_000] } else { &[1, 100] };
    for &executions in histories {
        let shape = Shape { signals: 1, requests: 1, executions };
        ask(&mut criterion, "executions on the target", executions, shape);
    }
    criterion.final_summary();
}

fn ask(criterion: &mut Criterion, of: &str, count: usize, shape: Shape) {
    let index = Index::default();
    shape.fill_requests(&index);
    shape.fill_executions(&index);
    // Strides over the whole index; 7919 is prime.
    let questions: Vec<_> = (0..QUESTIONS).map(|i| shape.question(i * 7919)).collect();
    let (policy, now) = (Policy::default(), Timestamp::from_second(1_767_700_000).unwrap());
    let deadline = Instant::now() + Duration::from_secs(3600);
    let mut turn = 0;
    criterion.bench_function(&format!("decide/{of}/{count}"), |bencher| {
        bencher.iter(|| {
            turn = (turn + 1) % QUESTIONS;
            let question = &questions[turn];
            let view = index.view(question, deadline).unwrap();
            let verdict = routing::decide(black_box(question), &view, &policy, now);
            assert!(view.age > policy.staleness.max.get() || verdict.admitted(), "{verdict:?}");
            verdict
        });
    });
}
