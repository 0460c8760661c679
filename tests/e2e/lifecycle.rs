//! Before the first list, with the watch cut, after a gap: what is not known is never guessed.

use serde_json::{Value, json};

use crate::stage::{self, World, in_seconds, wfe};
use crate::support::{self, ACTION, Options, eventually};

/// A staleness that a test can wait for.
const IMPATIENT: &str = "staleness: {max: 3s}";

#[tokio::test]
async fn before_the_first_lists_nothing_is_admitted() {
    let Some(server) = support::own_bench_or_skip(Options::default().user(stage::GATE, &[])).await else { return };
    server.apply_crds(&stage::crds()).await.unwrap();
    // Without the right to list, the gate is up and knows nothing.
    let gate = stage::start_gate(&server, "").await;
    let candidate = wfe("default", "we", "rr", "default/Deployment/api");
    let (code, answer) = gate.review("CREATE", &candidate);
    assert_eq!(
        (code, &answer["response"]["uid"], &answer["response"]["allowed"]),
        (503, &json!("u-1"), &json!(false)),
        "{answer}"
    );
    let (code, body) = gate.get("/readyz");
    assert_eq!(code, 503);
    assert!(body.contains("[-] remediationrequests: not listed yet"), "{body}");
    assert!(body.contains("[+] listener: up"), "{body}");
    assert_eq!(gate.get("/livez").0, 200);
    // What needs no inputs is answered.
    assert_eq!(gate.review("UPDATE", &candidate).0, 200);
    assert_eq!(gate.review("DELETE", &candidate).0, 200);
    let said = "cannot follow this input";
    eventually("the trouble is said once for each input", ACTION, || async {
        let log = gate.process.log_text();
        if log.matches(said).count() == 2 && log.contains("forbidden") { Ok(()) } else { Err(log) }
    })
    .await;
    stage::allow_reading(&server).await;
    gate.ready().await;
    let (code, answer) = gate.review("CREATE", &candidate);
    assert_eq!(
        (code, &answer["response"]["status"]["details"]["causes"][0]["reason"]),
        (200, &json!("ParentMissing")),
        "{answer}"
    );
}

#[tokio::test]
async fn a_cut_watch_grows_old_and_says_so() {
    let Some(stage) = stage::own(IMPATIENT).await else { return };
    let world = World::new(&stage.server, "cut").await;
    world.request("rr", "s", json!({"overallPhase": "Analyzing"})).await;
    let candidate = wfe(&world.namespace, "we", "rr", &world.target("api"));
    let verdict = |reason: Value| {
        let (gate, candidate) = (&stage.gate, &candidate);
        move || {
            let (code, answer) = gate.review("CREATE", candidate);
            let found = answer["response"]["status"]["details"]["causes"][0]["reason"].clone();
            let outcome = if code == 200 && found == reason { Ok(()) } else { Err(answer.to_string()) };
            async move { outcome }
        }
    };
    eventually("the candidate is admitted", ACTION, verdict(Value::Null)).await;
    stage.server.apiserver().signal("STOP").unwrap();
    eventually("what is known is too old", ACTION, verdict(json!("StaleState"))).await;
    let (code, body) = stage.gate.get("/readyz");
    assert_eq!(code, 503);
    assert!(body.contains("[-] workflowexecutions: silent for ") && body.contains("staleness.max is 3s"), "{body}");
    assert_eq!(stage.gate.get("/livez").0, 200, "the process is not to blame");
    stage.server.apiserver().signal("CONT").unwrap();
    eventually("the stream is back", support::ACTION * 3, verdict(Value::Null)).await;
    stage.gate.ready().await;
}

#[tokio::test]
async fn what_went_during_a_gap_is_noticed() {
    let Some(stage) = stage::own("").await else { return };
    let world = World::new(&stage.server, "gap").await;
    world.request("first", "a", json!({"overallPhase": "Analyzing"})).await;
    world.request("second", "b", json!({"overallPhase": "Analyzing"})).await;
    world.execution("busy", "first", &world.target("api"), json!({"phase": "Running"})).await;
    let candidate = wfe(&world.namespace, "we", "second", &world.target("api"));
    world.refused(&candidate, "ResourceBusy").await;
    // The gate is stopped, the object goes, the API server forgets its watches: only a new list or watch can tell.
    stage.gate.process.signal("STOP").unwrap();
    stage
        .server
        .kubectl(support::ADMIN, &["delete", "validatingwebhookconfiguration", "lockkeeper"], None)
        .await
        .expect_success();
    stage
        .server
        .kubectl(support::ADMIN, &["delete", "wfe", "busy", "-n", &world.namespace], None)
        .await
        .expect_success();
    stage.server.apiserver().restart().unwrap();
    stage.server.wait_ready().await.unwrap();
    stage.gate.process.signal("CONT").unwrap();
    eventually("the deletion is noticed", support::ACTION * 3, || async {
        let (_, answer) = stage.gate.review("CREATE", &candidate);
        if answer["response"]["allowed"] == true { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn it_ends_when_told_to() {
    let Some(stage) = stage::own("").await else { return };
    stage.gate.process.signal("TERM").unwrap();
    let code = eventually("it ended", ACTION, || async { stage.gate.process.exit_code().ok_or("still there") }).await;
    assert_eq!(code, 0, "{}", stage.gate.process.log_tail(20));
}

#[tokio::test]
async fn metrics_tell_decisions_and_inputs() {
    let Some(stage) = stage::own("").await else { return };
    let world = World::new(&stage.server, "metrics").await;
    world.request("rr", "s", json!({"overallPhase": "Analyzing", "nextAllowedExecution": in_seconds(600)})).await;
    world.refused(&wfe(&world.namespace, "we", "rr", &world.target("api")), "ExponentialBackoff").await;
    let (code, metrics) = stage.gate.get("/metrics");
    assert_eq!(code, 200);
    for line in [
        r#"lockkeeper_admission_requests_total{webhook="gate",operation="CREATE",decision="deny",reason="ExponentialBackoff",dry_run="true"}"#,
        r#"lockkeeper_state_objects{kind="remediationrequests"} 1"#,
        r#"lockkeeper_state_objects{kind="workflowexecutions"} 0"#,
        r#"lockkeeper_state_last_event_timestamp_seconds{kind="remediationrequests"}"#,
        r#"lockkeeper_cert_not_after_seconds{role="serving"}"#,
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    for private in [&world.namespace, "system:masters", "admin"] {
        assert!(!metrics.contains(private), "{private} is in the metrics");
    }
}
