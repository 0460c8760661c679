//! The lives.

use serde_json::{Value, json};

use crate::life::{Act, End, Life};
use crate::support::pods::Play;
use Act::{Anew, Cancel, Next, Pod, Resolved, Told, Unresolved};

pub fn all() -> Vec<Life> {
    vec![
        Life::new(
            "success",
            [Resolved, Told(0, 2), Pod("look", Play::success()), Told(1, 2), Pod("patch", Play::success())],
            End::well(2, 2),
        ),
        Life::new(
            "exit",
            [Resolved, Pod("look", Play::success()), Told(1, 2), Pod("patch", Play::exit(1).at(1))],
            End::failed("TaskFailed", true, 1, 2).at("patch", "apply", 1),
        ),
        Life::new(
            "oom",
            [Resolved, Pod("look", Play::success()), Told(1, 2), Pod("patch", Play::oom().at(1))],
            End::failed("OOMKilled", true, 1, 2).at("patch", "apply", 137),
        ),
        Life::new(
            "unpullable",
            [Resolved, Told(0, 2), Pod("look", Play::unpullable())],
            End::failed("ImagePullBackOff", false, 0, 2).at("look", Value::Null, Value::Null),
        ),
        Life::new(
            "unpullable-later",
            [Resolved, Pod("look", Play::success()), Told(1, 2), Pod("patch", Play::unpullable())],
            End::failed("ImagePullBackOff", true, 1, 2).at("patch", Value::Null, Value::Null),
        ),
        // Long enough for a busy machine to get its first step going.
        Life::new(
            "timeout",
            [Resolved, Pod("look", Play::running()), Told(0, 2)],
            End::failed("DeadlineExceeded", true, 0, 2).at("look", "read", 1),
        )
        .deadline(45),
        Life::new(
            "timeout-untouched",
            [Resolved, Pod("look", Play::untouched())],
            End::failed("DeadlineExceeded", false, 0, 2).at("look", Value::Null, Value::Null),
        )
        .deadline(40),
        Life::new(
            "cancel",
            [Resolved, Pod("look", Play::success()), Pod("patch", Play::running()), Told(1, 2), Cancel],
            End::failed("Unknown", true, 1, 2).at("patch", "drain", 1),
        ),
        Life::new(
            "cancel-untouched",
            [Resolved, Pod("look", Play::untouched()), Told(0, 2), Cancel],
            End::failed("Unknown", false, 0, 2).at("look", Value::Null, Value::Null),
        ),
        Life::new(
            "anew",
            [
                Resolved,
                Pod("look", Play::running()),
                Told(0, 2),
                Anew("look"),
                Resolved,
                Pod("look", Play::success()),
                Told(1, 2),
                Pod("patch", Play::success()),
            ],
            End::well(2, 2),
        ),
        Life::new(
            "next",
            [
                Resolved,
                Pod("look", Play::success()),
                Pod("patch", Play::success()),
                Next,
                Pod("look", Play::success()),
                Told(1, 2),
                Pod("patch", Play::success()),
            ],
            End::well(2, 2),
        ),
        Life::new("unresolved", [Unresolved], End::failed("ConfigurationError", false, 0, 0)),
    ]
}

/// What the bundle holds. A step without a command would have Tekton ask a registry for one.
pub fn pipeline() -> Value {
    let step = |name: &str| {
        json!({"name": name, "image": "registry.example/tool:1", "command": ["run"],
            "args": ["$(params.target)", "$(params.replicas)"]})
    };
    let task = |name: &str, after: &[&str], steps: Vec<Value>| {
        json!({
            "name": name, "runAfter": after,
            "params": [
                {"name": "target", "value": "$(params.TARGET_RESOURCE)"},
                {"name": "replicas", "value": "$(params.REPLICAS)"},
            ],
            "taskSpec": {"params": [{"name": "target"}, {"name": "replicas"}], "steps": steps},
        })
    };
    json!({
        "apiVersion": "tekton.dev/v1", "kind": "Pipeline", "metadata": {"name": "workflow"},
        "spec": {
            "params": [{"name": "TARGET_RESOURCE", "type": "string"}, {"name": "REPLICAS", "type": "string"}],
            "tasks": [task("look", &[], vec![step("read")]), task("patch", &["look"], vec![step("drain"), step("apply")])],
        },
    })
}
