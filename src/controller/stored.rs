//! An object as it is stored: seen in the hub's form, and what is said of its status is written in the form that it is stored in,
//! whichever of the three that is.

use serde_json::{Map, Value, json};

use super::change::StatusChange;
use super::failed::Failed;
use crate::convert::{KINDS, Shape, Version, bring_home, convert};

pub(super) const EXECUTIONS: &str = "workflowexecutions";
pub(super) const REQUESTS: &str = "remediationrequests";

/// An object as it stands there.
#[derive(Clone, Debug)]
pub struct Stored {
    pub(super) version: Version,
    /// Of `v1alpha1`, as far as the object tells.
    shape: Option<Shape>,
    pub(super) object: Value,
    /// The same in the hub's form.
    pub hub: Value,
}

impl Stored {
    pub(super) fn read(text: &str) -> Result<Self, Failed> {
        let odd = |error: serde_json::Error| Failed::Odd(error.to_string());
        let object = serde_json::from_str(text).map_err(odd)?;
        let converted = convert(text, Version::V1beta1)
            .map_err(|error| Failed::LeftAlone(format!("it cannot be converted: {error}")))?;
        let hub = serde_json::from_slice(&converted.json).map_err(odd)?;
        Ok(Self { version: converted.from, shape: converted.shape, object, hub })
    }

    pub fn uid(&self) -> &str {
        member(&self.object, "/metadata/uid").as_str().unwrap_or_default()
    }

    pub fn resource_version(&self) -> &str {
        member(&self.object, "/metadata/resourceVersion").as_str().unwrap_or_default()
    }

    pub(super) fn plural(&self) -> &'static str {
        if *member(&self.object, "/kind") == "RemediationRequest" { REQUESTS } else { EXECUTIONS }
    }

    /// Patches that say the same, each in a shape that this object may be stored in, the likeliest first. Members are paths in
    /// the hub's status. An object may say too little to tell its shape, and where its schema has another one, a member that is
    /// written in the wrong one is dropped: so each is to be written strictly, until one is taken. None: it says so already.
    pub(super) fn leaf_patches(&self, change: &StatusChange) -> Option<Vec<Value>> {
        if self.version == Version::V1beta1 {
            return self.leaf_patch(change, Some).map(|patch| vec![patch]);
        }
        let rows = KINDS
            .into_iter()
            .find(|kind| *member(&self.object, "/kind") == kind.name)
            .map_or(&[][..], |kind| kind.rows);
        let told = self.shape.unwrap_or_default();
        let shapes = std::iter::once(told).chain(Shape::ALL.into_iter().rev().filter(|shape| *shape != told));
        let in_shape = |shape: Shape| {
            self.leaf_patch(change, |path| {
                let row = rows.iter().find(|row| row.hub.strip_prefix("status.") == Some(path));
                row.map_or(Some(path), |row| row.of(shape)?.strip_prefix("status."))
            })
        };
        let mut patches: Vec<Value> = Vec::new();
        for patch in shapes.map(in_shape) {
            let patch = patch?;
            if !patches.contains(&patch) {
                patches.push(patch);
            }
        }
        Some(patches)
    }

    fn leaf_patch<'p>(&self, change: &StatusChange, place: impl Fn(&'p str) -> Option<&'p str>) -> Option<Value> {
        let mut status = Map::new();
        for (path, value) in &change.members {
            let Some(path) = place(path) else { continue };
            let value = value.clone().unwrap_or_default();
            let before = member(&self.object, &format!("/status/{}", path.replace('.', "/")));
            if *before == value {
                continue;
            }
            match path.split_once('.') {
                Some((group, leaf)) => {
                    if let Some(group) = status.entry(group).or_insert_with(|| json!({})).as_object_mut() {
                        group.insert(leaf.to_owned(), value);
                    }
                }
                None => drop(status.insert(path.to_owned(), value)),
            }
        }
        let version = member(&self.object, "/metadata/resourceVersion");
        (!status.is_empty()).then(|| json!({"metadata": {"resourceVersion": version}, "status": status}))
    }

    /// A merge patch that makes the status say this, and nothing else; it is refused where the object has changed meanwhile.
    pub(super) fn status_patch(&self, change: &StatusChange) -> Result<Option<Value>, Failed> {
        let mut hub = self.hub.clone();
        let mut status = member(&hub, "/status").as_object().cloned().unwrap_or_default();
        for (name, value) in &change.members {
            match value {
                Some(value) => drop(status.insert((*name).to_owned(), value.clone())),
                None => drop(status.remove(*name)),
            }
        }
        if let Some(members) = hub.as_object_mut() {
            members.insert("status".to_owned(), Value::Object(status));
        }
        // Not in the shape that we would serve: the cluster may be Kubernaut's own, whose schema has only its own members.
        let there = bring_home(&hub.to_string(), self.version).map_err(|error| Failed::Odd(error.to_string()))?;
        let there: Value = serde_json::from_slice(&there.json).map_err(|error| Failed::Odd(error.to_string()))?;
        let before = self.object.get("status").filter(|status| status.is_object());
        let nothing = json!({});
        Ok(merge_patch(before.unwrap_or(&nothing), member(&there, "/status")).map(|status| {
            json!({"metadata": {"resourceVersion": member(&self.object, "/metadata/resourceVersion")}, "status": status})
        }))
    }
}

/// Null, where there is none.
pub(super) fn member<'v>(object: &'v Value, pointer: &str) -> &'v Value {
    object.pointer(pointer).unwrap_or(&Value::Null)
}

/// RFC 7396; None: they are the same.
fn merge_patch(before: &Value, after: &Value) -> Option<Value> {
    let (Some(old), Some(new)) = (before.as_object(), after.as_object()) else {
        return (before != after).then(|| after.clone());
    };
    let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let nothing = Value::Null;
    let changed = new.iter().filter_map(|(name, value)| {
        let before = old.get(name).unwrap_or(&nothing);
        // In place of what is no object, an object is written whole.
        let patch =
            if before.is_object() { merge_patch(before, value) } else { (before != value).then(|| value.clone()) };
        Some((name.clone(), patch?))
    });
    let patch: Map<String, Value> = gone.chain(changed).collect();
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored(version: &str, kind: &str, status: &Value) -> Stored {
        let object = json!({
            "apiVersion": format!("kubernaut.ai/{version}"), "kind": kind,
            "metadata": {"namespace": "payments", "name": "x", "resourceVersion": "7"}, "spec": {}, "status": status,
        });
        Stored::read(&object.to_string()).unwrap()
    }

    fn change(members: &[(&'static str, Option<Value>)]) -> StatusChange {
        StatusChange { members: members.to_vec(), event: None }
    }

    fn patches(version: &str, status: &Value, change: &StatusChange) -> Option<Vec<Value>> {
        let patches = stored(version, "RemediationRequest", status).leaf_patches(change)?;
        for patch in &patches {
            assert_eq!(patch["metadata"], json!({"resourceVersion": "7"}), "refused where it has changed meanwhile");
        }
        Some(patches.into_iter().map(|mut patch| patch["status"].take()).collect())
    }

    #[test]
    fn what_cannot_be_converted_is_left_alone_and_what_is_no_answer_is_asked_for_again() {
        let read = |text: &str| Stored::read(text).map(drop).unwrap_err().outcome();
        assert_eq!(
            read(r#"{"apiVersion": "kubernaut.ai/v1beta1", "kind": "WorkflowExecution", "metadata""#),
            "retried"
        );
        assert_eq!(
            read(r#"{"apiVersion": "kubernaut.ai/v9", "kind": "WorkflowExecution", "metadata": {}}"#),
            "left_alone"
        );
    }

    #[test]
    fn of_leaves_those_are_written_that_change() {
        let counts = json!({"overallPhase": "Failed", "routing": {"consecutiveFailureCount": 1, "blockReason": "DuplicateInProgress"}});
        let says = |count: i32| {
            change(&[
                ("overallPhase", Some(json!("Failed"))),
                ("routing.consecutiveFailureCount", Some(json!(count))),
                ("routing.nextAllowedExecution", None),
                ("routing.blockReason", None),
            ])
        };
        let routing = json!({"routing": {"consecutiveFailureCount": 2, "blockReason": null}});
        assert_eq!(patches("v1beta1", &counts, &says(2)), Some(vec![routing]));
        assert_eq!(patches("v1beta1", &counts, &change(&[("overallPhase", Some(json!("Failed")))])), None);
    }

    #[test]
    fn leaves_go_where_the_shape_has_them_and_where_nothing_tells_it_each_is_tried_once() {
        let counts = change(&[("routing.consecutiveFailureCount", Some(json!(1)))]);
        let (flat, grouped) =
            (json!({"consecutiveFailureCount": 1}), json!({"routingStatus": {"consecutiveFailureCount": 1}}));
        let routed = json!({"routingStatus": {"nextAllowedExecution": "2026-01-05T10:00:00Z"}});
        assert_eq!(patches("v1alpha1", &routed, &counts), Some(vec![grouped.clone(), flat.clone()]));
        let blocked = json!({"nextAllowedExecution": "2026-01-05T10:00:00Z"});
        assert_eq!(patches("v1alpha1", &blocked, &counts), Some(vec![flat.clone(), grouped.clone()]));
        let mut untold = patches("v1alpha1", &json!({}), &counts).unwrap();
        untold.sort_by_key(Value::to_string);
        assert_eq!(untold, [flat, grouped]);
    }

    #[test]
    fn of_a_status_that_is_written_which_changes_in_the_form_that_is_stored() {
        let running = json!({"phase": "Running", "pipelineRunRef": {"name": "wfe-x"}});
        let execution = |status: &Value| stored("v1alpha1", "WorkflowExecution", status);
        let failed = change(&[("phase", Some(json!("Failed"))), ("failureReason", Some(json!("TaskFailed")))]);
        let patch = execution(&running).status_patch(&failed).unwrap().unwrap();
        let expected =
            json!({"metadata": {"resourceVersion": "7"}, "status": {"phase": "Failed", "failureReason": "TaskFailed"}});
        assert_eq!(patch, expected);
        let said = json!({"phase": "Failed", "failureReason": "TaskFailed"});
        assert_eq!(execution(&said).status_patch(&failed).unwrap(), None);
        let gone = change(&[("failureReason", None)]);
        assert_eq!(execution(&said).status_patch(&gone).unwrap().unwrap()["status"], json!({"failureReason": null}));
    }

    /// A null in an object that is stored is no member: the API server keeps none.
    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (0..3).prop_map(Value::from),
            "[ab]?".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..4).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_merge_patch_makes_the_one_the_other(before in json(), after in json()) {
            let patch = merge_patch(&before, &after);
            prop_assert_eq!(patch.is_none(), before == after);
            let mut patched = before;
            if let Some(patch) = patch {
                json_patch::merge(&mut patched, &patch);
            }
            prop_assert_eq!(patched, after);
        }
    }
}
