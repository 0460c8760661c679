//! Whatever bytes are stored as a run and its children: they are read, judged and put into words, and nothing panics.
//! One object to a line: the first is the run, the others are what belongs to it.

#![no_main]
#![allow(dead_code, unused_imports, reason = "of the rooms only what reads and judges failures is asked")]

use libfuzzer_sys::fuzz_target;

use api::tekton::{Job, PipelineRun, Pod, TaskRun};
use failure::{Account, Classification, Subject};

/// The rooms themselves, by their files: the whole crate, instrumented, takes half an hour to build.
#[path = "../../src/api"]
mod api {
    pub mod facts;
    pub mod tekton;
}
#[path = "../../src/failure/mod.rs"]
mod failure;
#[path = "../../src/line.rs"]
mod line;

fuzz_target!(|text: &str| {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    if let Some(run) = PipelineRun::from_json(first) {
        let tasks: Vec<_> = rest.lines().filter_map(TaskRun::from_json).collect();
        told(failure::of_run(&run, &tasks, false));
        let may = failure::may_have_run(&run, &tasks).is_some();
        // One answer, however it is asked for.
        match Account::of(&run, &tasks, false) {
            Account::Failed(found) => assert!(found.ran || !may),
            Account::GoesOn { ran } => assert_eq!(ran.is_some(), may),
            _ => {}
        }
    }
    if let Some(job) = Job::from_json(first) {
        let pods: Vec<_> = rest.lines().filter_map(Pod::from_json).collect();
        told(failure::of_job(&job, &pods, false));
    }
    told(Some(failure::of_condition(first, rest, true)));
    told(Some(failure::of_refusal(403, first, rest)));
});

fn told(found: Option<Classification>) {
    let Some(found) = found else { return };
    assert!(!found.evidence.is_empty());
    assert!(!found.summary(Subject::default()).is_empty() && !found.told().is_empty());
}
