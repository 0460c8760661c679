//! docs/alerts.yaml: what it asks for is there when it happens (C-22).

use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::conversion::OLD;
use crate::runs;
use crate::stage::{self, GATE, World, in_seconds};
use crate::status::scene::WORDS;
use crate::support::{self, ACTION, ADMIN, Options, eventually};

/// The selectors in the rules' expressions that begin so: name, and labels with the values that are asked for.
fn selectors(prefix: &str) -> Vec<(String, Vec<String>)> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/alerts.yaml");
    let rules: Value = serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap().clone();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for rule in &rules {
        let mut rest = rule["expr"].as_str().unwrap();
        while let Some(at) = rest.find(prefix) {
            let name: String = rest[at..].chars().take_while(|c| word(*c)).collect();
            rest = &rest[at + name.len()..];
            let labels = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(labels, _)| labels);
            let equal = labels.split(',').filter(|label| label.contains("=\"")).map(str::to_owned).collect();
            found.push((name, equal));
        }
    }
    assert!(!found.is_empty(), "no {prefix}* in {file}");
    found
}

fn has(metrics: &str, (name, labels): &(String, Vec<String>)) -> bool {
    let of = |line: &str| line.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(['{', ' ']));
    metrics.lines().any(|line| of(line) && labels.iter().all(|label| line.contains(label.as_str())))
}

/// Who leads, and what the loops do.
fn of_loops((name, _): &(String, Vec<String>)) -> bool {
    ["lockkeeper_leader", "lockkeeper_reconcile_"].iter().any(|prefix| name.starts_with(prefix))
}

#[tokio::test]
async fn c_22_a_conversion_that_fails_is_seen_by_the_rules() {
    let Some(server) = support::own_bench_or_skip(Options::default().user(GATE, &[])).await else { return };
    let gate = stage::start_gate(&server, "").await;
    server.apply_crds(&stage::crds_of_both(&server, &gate).await).await.unwrap();
    stage::allow_reading(&server).await;
    gate.ready().await;
    let world = World::new(&server, "alerts").await;
    let api = world.api_in(OLD, "RemediationRequest");
    let request: DynamicObject = serde_json::from_value(stage::rr(&world.namespace, "rr", "rr")).unwrap();
    api.create(&PostParams::default(), &request).await.unwrap();
    // What is refused is counted by us, what nobody answers by the API server.
    let review = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview",
        "request": {"uid": "u", "desiredAPIVersion": "kubernaut.ai/v1beta1", "objects": [{"kind": "Other"}]}});
    let (url, ca) = (format!("{}/convert", gate.https), gate.ca.display().to_string());
    for (body, expected) in [(review.to_string(), 200), ("{}".to_owned(), 400)] {
        let json = ["--header", "Content-Type: application/json", "--data", &body];
        assert_eq!(stage::curl(&[&[url.as_str(), "--cacert", &ca], &json[..]].concat()).0, expected);
    }
    let (_, ours) = gate.get("/metrics");
    for selector in selectors("lockkeeper_").iter().filter(|selector| !of_loops(selector)) {
        assert!(has(&ours, selector), "{selector:?}");
    }
    gate.process.signal("TERM").unwrap();
    eventually("it ended", ACTION, || async { gate.process.exit_code().ok_or("still there") }).await;
    let another: DynamicObject = serde_json::from_value(stage::rr(&world.namespace, "another", "another")).unwrap();
    let told = api.create(&PostParams::default(), &another).await.unwrap_err().to_string();
    assert!(told.contains("conversion webhook"), "{told}");
    let theirs = server.kubectl(ADMIN, &["get", "--raw", "/metrics"], None).await.expect_success().stdout;
    for selector in selectors("apiserver_") {
        assert!(has(&theirs, &selector), "{selector:?}");
    }
}

/// Nobody clears anything, whoever may write a status.
const NO_CLEARANCE: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-clearance}
spec:
  matchConstraints:
    resourceRules:
      - {apiGroups: [kubernaut.ai], apiVersions: ["*"], operations: [UPDATE], resources: [workflowexecutions/status]}
  validations:
    - {expression: "!has(object.status.blockClearance)", message: not here}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-clearance}
spec: {policyName: no-clearance, validationActions: [Deny]}
"#;

/// A leader that may start nothing and clear nothing: what it lacks a right for it tries again, what a policy refuses it leaves alone.
#[tokio::test]
async fn a_loop_that_gets_nowhere_is_seen_by_the_rules() {
    let Some(server) = support::own_bench_or_skip(Options::default().user(GATE, &[])).await else { return };
    server.apply_crds(&stage::crds()).await.unwrap();
    stage::allow_reading(&server).await;
    runs::install_tekton(&server, "v1").await;
    runs::allow_reading_runs(&server).await;
    let rules = json!([
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
        {"apiGroups": ["kubernaut.ai"], "resources": ["workflowexecutions/status"], "verbs": ["patch"]},
    ]);
    server.cluster_role("leader", serde_json::from_value(rules).unwrap()).await.unwrap();
    server.grant(GATE, "leader").await.unwrap();
    let gate = stage::start_gate(&server, "loops: {executor: true}").await;
    gate.ready().await;
    let world = World::new(&server, "alerts").await;
    for name in ["waits", "failed"] {
        world.request(name, name, json!({"overallPhase": "Analyzing"})).await;
        world.execution(name, name, &world.target(name), Value::Null).await;
    }
    world.write_status("WorkflowExecution", "failed", stage::FAILED_RUNNING(&in_seconds(0))).await;
    server.kubectl(ADMIN, &["apply", "-f", "-"], Some(NO_CLEARANCE)).await.expect_success();
    let (api, dry) = (world.api("WorkflowExecution"), PatchParams { dry_run: true, ..PatchParams::default() });
    eventually("the policy is in force", ACTION, || async {
        let cleared = Patch::Merge(json!({"status": {"blockClearance": {"clearedBy": "a", "clearReason": "r", "clearMethod": "StatusField", "clearedAt": in_seconds(0)}}}));
        api.patch_status("failed", &dry, &cleared).await.map_or_else(|_| Ok(()), |_| Err("it is not"))
    })
    .await;
    let clear = format!("lockkeeper.kubernaut.ai/clear={WORDS}");
    let annotations =
        ["annotate", "wfe", "failed", "-n", &world.namespace, &clear, "lockkeeper.kubernaut.ai/cleared-by=alice"];
    server.kubectl(ADMIN, &annotations, None).await.expect_success();
    eventually("all of it is counted", ACTION, || async {
        let (_, ours) = gate.get("/metrics");
        let missing: Vec<_> =
            selectors("lockkeeper_").into_iter().filter(of_loops).filter(|one| !has(&ours, one)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}\n{}", gate.process.log_tail(9))) }
    })
    .await;
}
