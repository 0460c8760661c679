//! Bytes of resident memory that one tracked request and one tracked execution take, the index around them included.
//!
//! `cargo bench --bench memory`; under `cargo test` a few objects only show that it works. Linux: reads /proc/self/statm.

use lockkeeper::cluster::Index;

mod support;
use support::Shape;

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let signals = if measured { 100_000 } else { 100 };
    for per_signal in [1, 5] {
        let shape = Shape { signals, requests: per_signal, executions: per_signal };
        let (requests, executions) = fill(shape);
        println!(
            "{per_signal} to a signal and target: {requests} bytes a RemediationRequest, {executions} bytes a WorkflowExecution"
        );
    }
}

fn fill(shape: Shape) -> (usize, usize) {
    let index = Index::default();
    let before = resident();
    shape.fill_requests(&index);
    let between = resident();
    shape.fill_executions(&index);
    let after = resident();
    let each = |from: usize, to: usize, count: usize| to.saturating_sub(from) / (shape.signals * count);
    let bytes = (each(before, between, shape.requests), each(between, after, shape.executions));
    // It lives on: freed memory that stays resident would be counted for the next.
    std::mem::forget(index);
    bytes
}

fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or_default() * 4096
}
