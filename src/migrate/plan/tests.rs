use super::*;

const UP: Aim = Aim { to: Version::V1beta1, remains: Remains::Both };
const DOWN: Aim = Aim { to: Version::V1alpha1, remains: Remains::Both };
const UP_ALONE: Aim = Aim { to: Version::V1beta1, remains: Remains::Alone };
const DOWN_ALONE: Aim = Aim { to: Version::V1alpha1, remains: Remains::Alone };

/// As the chart leaves it after an upgrade from v1alpha1 alone.
fn upgraded() -> Value {
    json!({
        "metadata": {"name": "workflowexecutions.kubernaut.ai", "resourceVersion": "7", "labels": {"app.kubernetes.io/name": "lockkeeper"},
            "managedFields": [{"manager": "helm"}]},
        "spec": {"conversion": {"strategy": "Webhook"}, "versions": [
            {"name": "v1beta1", "served": true, "storage": true}, {"name": "v1alpha1", "served": true, "storage": false}]},
        "status": {"storedVersions": ["v1alpha1", "v1beta1"]},
    })
}

fn with(changes: &[(&str, Value)]) -> Definition {
    let mut crd = upgraded();
    for (path, value) in changes {
        *crd.pointer_mut(path).unwrap() = value.clone();
    }
    serde_json::from_value(crd).unwrap()
}

fn apply(crd: &mut Value, patch: Value) {
    let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
    json_patch::patch(crd, &patch).unwrap();
}

#[test]
fn a_state_asks_for_its_steps() {
    use Step::{Retire, Rewrite, Store, Trim};
    let old_stored = [("/spec/versions/0/storage", json!(false)), ("/spec/versions/1/storage", json!(true))];
    let stored = |versions: Value| ("/status/storedVersions", versions);
    let old_only = [
        ("/spec/versions", json!([{"name": "v1alpha1", "served": true, "storage": true}])),
        ("/spec/conversion", Value::Null),
        stored(json!(["v1alpha1"])),
    ];
    let foreign = ("/metadata/labels", json!({}));
    let served_alone = [
        ("/spec/versions/1/served", json!(false)),
        ("/spec/conversion/strategy", json!("None")),
        stored(json!(["v1beta1"])),
    ];
    for (case, definition, aim, steps) in [
        ("after the upgrade", with(&[]), UP, vec![Rewrite, Trim]),
        ("not ours by name, and it converts", with(std::slice::from_ref(&foreign)), UP, vec![Rewrite, Trim]),
        ("done", with(&[stored(json!(["v1beta1"]))]), UP, vec![]),
        ("the way back", with(&[]), DOWN, vec![Store, Rewrite, Trim]),
        (
            "the way back from a cluster that never had v1alpha1",
            with(&[stored(json!(["v1beta1"]))]),
            DOWN,
            vec![Store, Rewrite, Trim],
        ),
        ("the way back, stopped midway", with(&old_stored), DOWN, vec![Rewrite, Trim]),
        ("the way back, done", with(&[&old_stored[..], &[stored(json!(["v1alpha1"]))]].concat()), DOWN, vec![]),
        ("the way back, regretted", with(&old_stored), UP, vec![Store, Rewrite, Trim]),
        ("v1alpha1 alone", with(&old_only), DOWN, vec![]),
        ("leaving", with(&[]), UP_ALONE, vec![Rewrite, Trim, Retire]),
        ("leaving, the other way", with(&[]), DOWN_ALONE, vec![Store, Rewrite, Trim, Retire]),
        ("leaving, moved before", with(&[stored(json!(["v1beta1"]))]), UP_ALONE, vec![Retire]),
        ("left", with(&served_alone), UP_ALONE, vec![]),
        ("leaving v1alpha1 alone", with(&old_only), DOWN_ALONE, vec![]),
        ("leaving Kubernaut's", with(&[&old_only[..], &[foreign]].concat()), DOWN_ALONE, vec![]),
    ] {
        assert_eq!(plan(&definition, aim), Ok(steps), "{case}");
    }
}

#[test]
fn a_refusal_says_what_to_do_first() {
    let old_only = ("/spec/versions", json!([{"name": "v1alpha1", "served": true, "storage": true}]));
    let foreign = ("/metadata/labels", json!({"app.kubernetes.io/name": "kubernaut"}));
    let nobody = ("/spec/conversion/strategy", json!("None"));
    for (changes, aim, said) in [
        (vec![old_only.clone()], UP, "does not serve v1beta1: serve it first (helm upgrade --set crds.conversion=true"),
        (vec![old_only.clone(), foreign.clone()], DOWN, "is not lockkeeper's"),
        (vec![foreign, nobody.clone()], UP, "is not lockkeeper's"),
        (vec![("/spec/versions/1/served", json!(false))], DOWN, "does not serve v1alpha1"),
        (vec![nobody], UP, "its conversion strategy is None"),
        (
            vec![("/status/storedVersions", json!(["v1", "v1beta1"]))],
            UP,
            "stored as v1, which lockkeeper does not convert",
        ),
    ] {
        let refused = plan(&with(&changes), aim).unwrap_err().to_string();
        assert!(refused.starts_with("workflowexecutions.kubernaut.ai ") && refused.contains(said), "{refused}");
        assert_eq!(refused.lines().count(), 1);
    }
    let mut going = with(&[]);
    going.metadata.deletion_timestamp = Some("2026-01-05T10:00:00Z".into());
    assert!(matches!(plan(&going, UP), Err(Refusal::Deleting(_))));
}

#[test]
fn a_patch_leads_to_a_state_that_asks_for_no_more() {
    for aim in [UP, DOWN, UP_ALONE, DOWN_ALONE] {
        let mut crd = upgraded();
        for step in plan(&with(&[]), aim).unwrap() {
            let definition: Definition = serde_json::from_value(crd.clone()).unwrap();
            apply(&mut crd, patch(&definition, step, aim.to));
        }
        let reached: Definition = serde_json::from_value(crd).unwrap();
        assert_eq!(plan(&reached, aim), Ok(Vec::new()), "{aim:?}");
        assert_eq!(reached.storage(), aim.to.as_str());
        assert_eq!(reached.spec.versions.len(), 2, "a version that is served no longer can be served again");
    }
}

#[test]
fn a_patch_is_of_the_state_that_was_read() {
    for step in [Step::Store, Step::Trim, Step::Retire] {
        let operations = patch(&with(&[]), step, Version::V1alpha1);
        assert_eq!(operations[0], json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}));
    }
    let mut retired = upgraded();
    apply(&mut retired, patch(&with(&[]), Step::Retire, Version::V1beta1));
    assert_eq!(retired["spec"]["conversion"], json!({"strategy": "None"}), "a webhook beside None is refused");
}

#[test]
fn whoever_installed_the_crd_has_it_back() {
    assert_eq!(disown(&with(&[])), None);
    let both = json!([{"manager": "helm"}, {"manager": FIELD_MANAGER}]);
    let patch = disown(&with(&[("/metadata/managedFields", both)])).unwrap();
    assert_eq!(patch[1], json!({"op": "replace", "path": "/metadata/managedFields", "value": [{"manager": "helm"}]}));
    // An empty list would take everybody's names away.
    assert_eq!(disown(&with(&[("/metadata/managedFields", json!([{"manager": FIELD_MANAGER}]))])), None);
}
