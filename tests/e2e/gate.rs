//! The first promise: a create inside a window is refused, told why, and admitted once the window has passed.

use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use serde_json::json;

use crate::stage::{self, WEBHOOK, WINDOW, World, in_seconds, wfe};
use crate::support::{ACTION, ADMIN, eventually};

#[tokio::test]
async fn a_create_inside_a_backoff_window_is_refused_in_full() {
    let Some(stage) = stage::shared().await else { return };
    let world = World::new(&stage.server, "backoff").await;
    let until = in_seconds(3600);
    world.request("rr", "s", json!({"overallPhase": "Analyzing", "nextAllowedExecution": until})).await;
    let target = world.target("api");
    let candidate = wfe(&world.namespace, "we", "rr", &target);

    // What a person sees: reason, time, culprit, command.
    world.refused(&candidate, "ExponentialBackoff").await;
    let told = world.create(&candidate, &[]).await.expect_failure();
    let ns = &world.namespace;
    let begins = format!(
        "Error from server (Forbidden): error when creating \"STDIN\": admission webhook \"{WEBHOOK}\" denied the request: \
         ExponentialBackoff: the next execution for this signal is not allowed yet; until {until} ("
    );
    let ends = format!("); held by RemediationRequest {ns}/rr; see: lockkeeper explain {ns}/rr --target {target}\n");
    assert!(told.stderr.starts_with(&begins) && told.stderr.ends_with(&ends), "{told}");
    assert_eq!(told.stderr.lines().count(), 1, "{told}");

    // What a machine sees.
    let object: DynamicObject = serde_json::from_value(candidate.clone()).unwrap();
    let error = world.api("WorkflowExecution").create(&PostParams::default(), &object).await.unwrap_err();
    let kube::Error::Api(status) = error else { panic!("{error}") };
    let details = status.details.clone().unwrap();
    assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
    assert_eq!(
        (details.group.as_str(), details.kind.as_str(), details.name.as_str()),
        ("kubernaut.ai", "WorkflowExecution", "we")
    );
    assert_eq!((details.causes[0].reason.as_str(), details.causes.len()), ("ExponentialBackoff", 1));
    assert!((3500..=3600).contains(&details.retry_after_seconds), "{details:?}");
    let headers = world.create(&candidate, &["-v=8"]).await.expect_failure();
    assert!(headers.stderr.contains("Retry-After"), "{headers}");

    // The same answer for a dry run, and nothing was stored.
    let dry = world.create(&candidate, &["--dry-run=server"]).await.expect_failure();
    assert!(dry.stderr.starts_with(&begins), "{dry}");
    assert!(world.api("WorkflowExecution").list(&ListParams::default()).await.unwrap().items.is_empty());

    // The command that the refusal names says the same.
    let kubeconfig = &stage.server.user(stage::GATE).kubeconfig;
    let binary = &stage::binary();
    let explain =
        stage.server.run(binary, kubeconfig, &["explain", &format!("{ns}/rr"), "--target", &target], None).await;
    assert_eq!(explain.status, Some(1), "{explain}");
    assert!(explain.stdout.contains("held: ExponentialBackoff"), "{explain}");
}

#[tokio::test]
async fn once_a_window_of_three_seconds_has_passed_the_same_create_is_admitted() {
    let Some(stage) = stage::shared().await else { return };
    let world = World::new(&stage.server, "window").await;
    world.request("rr", "s", json!({"overallPhase": "Analyzing", "nextAllowedExecution": in_seconds(4)})).await;
    let candidate = wfe(&world.namespace, "we", "rr", &world.target("api"));
    world.refused(&candidate, "ExponentialBackoff").await;
    eventually("the window has passed", WINDOW, || async {
        let output = world.create(&candidate, &[]).await;
        if output.success() { Ok(()) } else { Err(output.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn generate_name_and_server_side_apply_are_judged_alike() {
    let Some(stage) = stage::shared().await else { return };
    let world = World::new(&stage.server, "forms").await;
    world.request("held", "a", json!({"overallPhase": "Blocked", "blockReason": "IneffectiveChain"})).await;
    world.request("free", "b", json!({"overallPhase": "Analyzing"})).await;
    let named = |parent: &str, target: &str| {
        let mut object = wfe(&world.namespace, "x", parent, &world.target(target));
        object["metadata"] = json!({"generateName": "we-", "namespace": world.namespace});
        object
    };
    world
        .refused(
            &named("held", "one"),
            "IneffectiveChain: its RemediationRequest is Blocked until somebody unblocks it",
        )
        .await;
    world.admitted(&named("free", "two")).await;
    let listed = world.api("WorkflowExecution").list(&ListParams::default()).await.unwrap();
    assert!(listed.items[0].metadata.name.as_ref().unwrap().starts_with("we-"));

    let apply = ["apply", "--server-side", "-f", "-"];
    let held = wfe(&world.namespace, "applied", "held", &world.target("three")).to_string();
    let refused = stage.server.kubectl(ADMIN, &apply, Some(&held)).await.expect_failure();
    assert!(refused.stderr.contains("IneffectiveChain"), "{refused}");
    let free = wfe(&world.namespace, "applied", "free", &world.target("three")).to_string();
    stage.server.kubectl(ADMIN, &apply, Some(&free)).await.expect_success();
}

#[tokio::test]
async fn status_finalizers_and_deletion_are_never_in_the_way() {
    let Some(stage) = stage::shared().await else { return };
    let world = World::new(&stage.server, "flow").await;
    world.request("rr", "s", json!({"overallPhase": "Analyzing"})).await;
    world.execution("we", "rr", &world.target("api"), json!({"phase": "Running"})).await;
    // From here on nothing could be created any more: the flow of what is there goes on.
    world.request_status("rr", json!({"overallPhase": "Failed"})).await;
    let kubectl = async |args: &[&str]| {
        let args: Vec<&str> = args.iter().copied().chain(["-n", &world.namespace]).collect();
        stage.server.kubectl(ADMIN, &args, None).await
    };
    kubectl(&[
        "patch",
        "wfe",
        "we",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":["kubernaut.ai/hold"],"labels":{"a":"b"}}}"#,
    ])
    .await
    .expect_success();
    world.write_status("WorkflowExecution", "we", stage::FAILED_RUNNING(&in_seconds(0))).await;
    kubectl(&["delete", "wfe", "we", "--wait=false"]).await.expect_success();
    kubectl(&["patch", "wfe", "we", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#])
        .await
        .expect_success();
    eventually("it is gone", ACTION, || async {
        let left = world.api("WorkflowExecution").list(&ListParams::default()).await.unwrap().items.len();
        if left == 0 { Ok(()) } else { Err(format!("{left} left")) }
    })
    .await;

    world.request("rr-2", "t", json!({"overallPhase": "Analyzing"})).await;
    world.execution("we-2", "rr-2", &world.target("web"), json!({"phase": "Running"})).await;
    world.api("WorkflowExecution").delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_spec_that_was_admitted_does_not_change() {
    let Some(stage) = stage::shared().await else { return };
    let world = World::new(&stage.server, "spec").await;
    world.request("rr", "s", json!({"overallPhase": "Analyzing"})).await;
    world.execution("we", "rr", &world.target("api"), json!(null)).await;
    let patch = [
        "patch",
        "wfe",
        "we",
        "--type=merge",
        "-p",
        r#"{"spec":{"targetResource":"other/Deployment/x"}}"#,
        "-n",
        &world.namespace,
    ];
    let refused = stage.server.kubectl(ADMIN, &patch, None).await.expect_failure();
    assert!(
        refused.stderr.contains("SpecImmutable: the spec of a WorkflowExecution cannot change; create a new"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_malformed_candidate_is_told_field_by_field() {
    let Some(stage) = stage::shared().await else { return };
    let world = World::new(&stage.server, "malformed").await;
    let mut candidate = wfe(&world.namespace, "we", "", "payments");
    candidate["spec"]["workflowRef"]["workflowId"] = json!("");
    let told = world.create(&candidate, &[]).await.expect_failure();
    assert!(told.stderr.starts_with("The WorkflowExecution \"we\" is invalid:"), "{told}");
    for field in [
        "* spec.remediationRequestRef.name: expected the name of a RemediationRequest, found none",
        "* spec.workflowRef.workflowId: expected the id of a workflow, found none",
        "* spec.targetResource: found \"payments\": expected ns/kind/name or kind/name",
    ] {
        assert!(told.stderr.contains(field), "{field}: {told}");
    }
}

#[tokio::test]
async fn the_audit_log_has_the_decision_and_kubectl_the_warning() {
    let Some(stage) = stage::shared().await else { return };
    let world = World::new(&stage.server, "audit").await;
    world.request("held", "a", json!({"overallPhase": "Blocked", "blockReason": "IneffectiveChain"})).await;
    world.request("free", "b", json!({"overallPhase": "Analyzing"})).await;
    world.refused(&wfe(&world.namespace, "no", "held", &world.target("one")), "IneffectiveChain").await;
    let mut candidate = wfe(&world.namespace, "yes", "free", &world.target("two"));
    candidate["spec"]["parameters"] = json!({"replicas": "3", "REASON_2": "x"});
    let created = eventually("the create is admitted", ACTION, || async {
        let output = world.create(&candidate, &[]).await;
        if output.success() { Ok(output) } else { Err(output.to_string()) }
    })
    .await;
    assert!(created.stderr.contains("Warning: parameter keys are not UPPER_SNAKE_CASE: replicas"), "{created}");

    let annotation =
        |event: &crate::support::AuditEvent, key: &str| event.annotations.get(&format!("{WEBHOOK}/{key}")).cloned();
    let (denied, allowed) = eventually("both are in the audit log", ACTION, || async {
        let events = stage.server.audit_events().map_err(|error| error.to_string())?;
        let of = |code: u16| {
            events
                .iter()
                .find(|e| {
                    e.namespace == world.namespace
                        && e.resource == "workflowexecutions"
                        && e.verb == "create"
                        && e.code == code
                })
                .cloned()
        };
        of(403).zip(of(201)).ok_or_else(|| format!("{} events", events.len()))
    })
    .await;
    assert_eq!(annotation(&denied, "decision").as_deref(), Some("deny"));
    assert_eq!(annotation(&denied, "reason").as_deref(), Some("IneffectiveChain"));
    assert_eq!(annotation(&denied, "mode").as_deref(), Some("enforce"));
    assert_eq!(annotation(&allowed, "decision").as_deref(), Some("allow"));
    assert_eq!(annotation(&allowed, "reason"), None);
    for event in [&denied, &allowed] {
        assert!(annotation(event, "decision-id").is_some_and(|id| id.len() == 36), "{event:?}");
        assert!(annotation(event, "state-age-ms").unwrap().parse::<u64>().unwrap() < 30_000);
    }
}

#[tokio::test]
async fn what_ro_repeats_is_one_line_and_a_count() {
    let Some(stage) = stage::shared().await else { return };
    let world = World::new(&stage.server, "repeat").await;
    world.request("rr", "s", json!({"overallPhase": "Blocked", "blockReason": "IneffectiveChain"})).await;
    let candidate = wfe(&world.namespace, "we", "rr", &world.target("api"));
    world.refused(&candidate, "IneffectiveChain").await;
    let object: DynamicObject = serde_json::from_value(candidate.clone()).unwrap();
    for _ in 0..50 {
        world.api("WorkflowExecution").create(&PostParams::default(), &object).await.unwrap_err();
    }
    world.request_status("rr", json!({"overallPhase": "Analyzing"})).await;
    world.admitted(&candidate).await;
    let about = format!("{}/we", world.namespace);
    let lines = eventually("the admission is in the log", ACTION, || async {
        let log = stage.gate.process.log_text();
        let lines: Vec<String> = log.lines().filter(|line| line.contains(&about)).map(str::to_owned).collect();
        if lines.iter().any(|line| line.contains("\"allow\"")) { Ok(lines) } else { Err(log) }
    })
    .await;
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].contains("IneffectiveChain: its RemediationRequest is Blocked"), "{}", lines[0]);
    let count: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
    assert!(count["times"].as_u64().unwrap() >= 49, "{count}");
}
