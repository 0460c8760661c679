//! Beside Kubernaut's own executor (`loops.executor: false`, as the chart has it): whatever is written in its three shapes, what
//! the API server hears of us is the Lease, and the clearance that a person asked for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::chart::{RELEASE_NAMESPACE, run_as_the_chart_says};
use crate::dialects::{AUGUST_2026, DECEMBER_2025, Dialect, RELEASE_1_5_7, crds_of};
use crate::runs;
use crate::stage::{CHART, World, in_seconds};
use crate::status::dialects::written;
use crate::status::scene::{Tekton, WORDS, condition};
use crate::support::{self, ACTION, ADMIN, ALICE, ApiServer, AuditEvent, Options, WORKFLOW_CONTROLLER, eventually};

const US: &str = "system:serviceaccount:gate:lockkeeper";

#[tokio::test]
async fn december_2025() {
    nothing_of_ours_but_a_clearance(&DECEMBER_2025).await;
}

#[tokio::test]
async fn release_1_5_7() {
    nothing_of_ours_but_a_clearance(&RELEASE_1_5_7).await;
}

#[tokio::test]
async fn august_2026() {
    nothing_of_ours_but_a_clearance(&AUGUST_2026).await;
}

async fn nothing_of_ours_but_a_clearance(dialect: &Dialect) {
    let Some(crds) = crds_of(dialect) else { return };
    let Some(server) = support::own_bench_or_skip(Options::default()).await else { return };
    server.apply_crds(&crds).await.unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let values = format!("webhook.url=https://127.0.0.1:{port},crds.install=false");
    let install =
        ["install", "lockkeeper", CHART, "--namespace", RELEASE_NAMESPACE, "--create-namespace", "--no-hooks"];
    server.helm(ADMIN, &[&install[..], &["--set", &values]].concat(), None).await.expect_success();
    runs::install_tekton(&server, "v1").await;
    let _ours = run_as_the_chart_says(&server, port).await;

    // Upstream's executor and Tekton at work: every phase, every end.
    let world = World::new(&server, "beside").await;
    written(&world, dialect).await;
    let tekton = Tekton::beside(&server).await;
    let succeeded = json!({"startTime": in_seconds(-9), "completionTime": in_seconds(0), "conditions": [condition("True", "Succeeded", "m")]});
    tekton.run(&world, "succeeds", succeeded).await;
    tekton.prune(&world, "killed").await;
    for (request, phase) in [("rr-succeeds", "Executing"), ("rr-succeeds", "Completed"), ("rr-killed", "Failed")] {
        world.request_status(request, json!({"overallPhase": phase})).await;
    }
    server.kubectl(ADMIN, &["delete", "wfe", "gave-up", "-n", &world.namespace], None).await.expect_success();
    let told = phases_written(&server, &world);
    assert!(["Pending", "Running", "Completed", "Failed"].iter().all(|phase| told.contains(*phase)), "{told:?}");

    let clear = format!("lockkeeper.kubernaut.ai/clear={WORDS}");
    let annotate = ["annotate", "wfe", "killed", "-n", &world.namespace, &clear];
    server.kubectl(ALICE, &annotate, None).await.expect_success();
    let writes = eventually("the clearance is written and told of", ACTION, || async {
        let writes = writes_of(&server, US);
        if writes.iter().any(|event| event.resource == "events") { Ok(writes) } else { Err(tally(&writes)) }
    })
    .await;
    let others: Vec<_> = writes.iter().filter(|event| event.resource != "leases").cloned().collect();
    assert_eq!(tally(&others), "1 create events, 1 patch workflowexecutions/status", "{others:#?}");
    let cleared = others.iter().find(|event| event.subresource == "status").unwrap();
    let status = cleared.request_object.as_ref().unwrap()["status"].as_object().unwrap();
    assert_eq!(
        (&*cleared.name, cleared.code, status.keys().map(String::as_str).collect::<Vec<_>>()),
        ("killed", 200, vec!["blockClearance"])
    );
    assert_eq!(world.status("killed").await["blockClearance"]["clearedBy"], ALICE);
}

/// What a user asked the API server to change, dry runs and what was refused among it.
fn writes_of(server: &ApiServer, user: &str) -> Vec<AuditEvent> {
    let events = server.audit_events().unwrap().into_iter();
    events.filter(|event| event.user == user && !matches!(&*event.verb, "get" | "list" | "watch")).collect()
}

fn tally(events: &[AuditEvent]) -> String {
    let mut kinds = BTreeMap::<String, usize>::new();
    for event in events {
        let below = if event.subresource.is_empty() { "" } else { "/" };
        *kinds.entry(format!("{} {}{below}{}", event.verb, event.resource, event.subresource)).or_default() += 1;
    }
    kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
}

/// By upstream's executor.
fn phases_written(server: &ApiServer, world: &World<'_>) -> BTreeSet<String> {
    let writes = writes_of(server, WORKFLOW_CONTROLLER).into_iter();
    let writes = writes.filter(|event| event.namespace == world.namespace && event.code == 200);
    let phase = |event: AuditEvent| event.request_object?["status"]["phase"].as_str().map(str::to_owned);
    writes.filter_map(phase).collect()
}
