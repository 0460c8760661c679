//! Rows of data, shared with the tests of the whole command: what Tekton, the kubelet or the API server recorded, and what became of it.

#[path = "../../tests/support/cases.rs"]
mod cases;

use serde_json::Value;

use super::*;
use crate::api::tekton::{PipelineRun, TaskRun};
use cases::Case;

fn classify(case: &Case) -> Classification {
    let run = PipelineRun::from_json(&case.run.to_string()).unwrap();
    let tasks: Vec<_> = case.tasks.iter().map(|task| TaskRun::from_json(&task.to_string()).unwrap()).collect();
    of_run(&run, &tasks, false).expect("it failed")
}

#[test]
fn every_line_of_tektons_reasons_gets_its_class_and_its_flag() {
    let wrong: Vec<_> = cases::own().iter().filter_map(|case| fault(case, &classify(case))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn fault(case: &Case, found: &Classification) -> Option<String> {
    let well = case.reasons[0] == found.reason.as_str() && found.ran == case.ran;
    let same = |(member, expected): (&String, &Value)| {
        let got = match member.as_str() {
            "task" => found.task.as_ref().map(|task| Value::from(&*task.name)),
            "index" => found.task.as_ref().map(|task| Value::from(task.index)),
            "step" => found.step.as_deref().map(Value::from),
            _ => found.exit_code.map(Value::from),
        };
        got.as_ref() == Some(expected)
    };
    (!well || !case.fixed.iter().all(same))
        .then(|| format!("{}: {:?} ran {}: {found:?}", case.name, case.reasons, case.ran))
}
