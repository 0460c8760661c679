//! Both versions on a real API server: what one writes the other reads, whoever stored it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use lockkeeper::convert::{Version, convert};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::chart::{RELEASE_NAMESPACE, object, run_as_the_chart_says};
use crate::stage::{self, CHART, GATE, Stage, World, in_seconds};
use crate::status::scene;
use crate::support::{self, ACTION, ADMIN, Options, eventually};

pub const OLD: &str = "v1alpha1";
pub const HUB: &str = "v1beta1";
pub const KINDS: [&str; 2] = ["RemediationRequest", "WorkflowExecution"];
/// A watch of lockkeeper's lasts ten seconds here; it looks for versions before each.
const NEXT_LOOK: Duration = Duration::from_secs(40);

async fn shared() -> Option<&'static Stage> {
    static SHARED: OnceCell<Option<Stage>> = OnceCell::const_new();
    SHARED.get_or_init(own).await.as_ref()
}

async fn own() -> Option<Stage> {
    let server = support::own_bench_or_skip(Options::default().user(GATE, &[])).await?;
    let gate = stage::start_gate(&server, "").await;
    server.apply_crds(&stage::crds_of_both(&server, &gate).await).await.unwrap();
    stage::allow_reading(&server).await;
    gate.ready().await;
    stage::register(&server, &gate, stage::wfe).await;
    scene::in_force(&World::new(&server, "probe").await, stage::wfe).await;
    Some(Stage { server, gate })
}

/// A WorkflowExecution as v1beta1 has it; the target is namespace/kind/name.
pub fn hub_wfe(namespace: &str, name: &str, parent: &str, target: &str) -> Value {
    let mut object = stage::wfe(namespace, name, parent, target);
    let parts: Vec<&str> = target.split('/').collect();
    object["apiVersion"] = json!("kubernaut.ai/v1beta1");
    object["spec"] = json!({
        "remediationRequestRef": {"name": parent}, "target": {"namespace": parts[0], "kind": parts[1], "name": parts[2]},
        "workflowRef": {"workflowId": "restart", "workflowName": "restart", "actionType": "RestartDeployment", "version": "1.0.0",
                        "executionBundle": "registry/restart:1"},
    });
    object
}

fn candidate(version: &str) -> stage::Candidate {
    if version == HUB { hub_wfe } else { stage::wfe }
}

fn written(world: &World<'_>, version: &str, kind: &str, name: &str) -> Value {
    if kind == "WorkflowExecution" {
        return candidate(version)(&world.namespace, name, &format!("rr-{name}"), &world.target(name));
    }
    let mut object = stage::rr(&world.namespace, name, name);
    object["apiVersion"] = json!(format!("kubernaut.ai/{version}"));
    object
}

/// A status with a member that the other version has in another place.
pub fn status(version: &str, kind: &str) -> Value {
    let until = "2026-01-05T12:00:00Z";
    match (kind, version) {
        ("WorkflowExecution", HUB) => json!({"phase": "Running", "execution": {"ref": {"name": "wfe-1"}}}),
        ("WorkflowExecution", _) => json!({"phase": "Running", "pipelineRunRef": {"name": "wfe-1"}}),
        (_, HUB) => json!({"overallPhase": "Analyzing", "routing": {"nextAllowedExecution": until}}),
        _ => json!({"overallPhase": "Analyzing", "nextAllowedExecution": until}),
    }
}

#[track_caller]
fn is_whole(world: &World<'_>, version: &str, object: &DynamicObject) {
    let types = object.types.as_ref().unwrap();
    assert_eq!(types.api_version, format!("kubernaut.ai/{version}"));
    let (name, spec) = (object.metadata.name.as_deref().unwrap(), &object.data["spec"]);
    match (types.kind.as_str(), version) {
        ("WorkflowExecution", HUB) => {
            assert_eq!(spec["target"], json!({"namespace": world.namespace, "kind": "Deployment", "name": name}));
            assert_eq!(spec["workflowRef"]["executionBundle"], "registry/restart:1");
        }
        ("WorkflowExecution", _) => {
            assert_eq!(spec["targetResource"], world.target(name));
            assert_eq!(spec["workflowRef"]["containerImage"], "registry/restart:1");
        }
        _ => assert_eq!(spec["signalName"], name),
    }
}

#[tokio::test]
async fn each_version_reads_and_writes_what_the_other_wrote() {
    let Some(stage) = shared().await else { return };
    let world = World::new(&stage.server, "both").await;
    for (writes, reads) in [(OLD, HUB), (HUB, OLD)] {
        for kind in KINDS {
            let name = format!("{}-{writes}", kind.to_lowercase());
            if kind == "WorkflowExecution" {
                world.request(&format!("rr-{name}"), &name, json!({"overallPhase": "Analyzing"})).await;
            }
            let (here, there) = (world.api_in(writes, kind), world.api_in(reads, kind));
            let from = there.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
            world.admitted(&written(&world, writes, kind, &name)).await;

            is_whole(&world, reads, &there.get(&name).await.unwrap());
            let label = json!({"metadata": {"labels": {"patched-in": reads}}});
            there.patch(&name, &PatchParams::default(), &Patch::Merge(label)).await.unwrap();
            applied(&there, &name, reads, kind).await;
            let listed = there.list(&ListParams::default()).await.unwrap();
            is_whole(
                &world,
                reads,
                listed.items.iter().find(|item| item.metadata.name.as_ref() == Some(&name)).unwrap(),
            );

            let object = here.get(&name).await.unwrap();
            is_whole(&world, writes, &object);
            assert_eq!(object.metadata.labels.as_ref().unwrap()["patched-in"], reads);
            assert_eq!(object.metadata.annotations.as_ref().unwrap()["applied-in"], reads);
            assert_eq!(object.data["status"], status(writes, kind), "{kind} {reads} → {writes}");
            assert_eq!(object.metadata.generation, Some(1), "a status write changed a spec");
            watched(&world, &there, &name, reads, &from).await;
        }
    }
}

/// Server-side apply of an annotation, then of a status.
async fn applied(api: &Api<DynamicObject>, name: &str, version: &str, kind: &str) {
    let by = PatchParams::apply("by-hand");
    let head = json!({"apiVersion": format!("kubernaut.ai/{version}"), "kind": kind});
    let mut noted = head.clone();
    noted["metadata"] = json!({"annotations": {"applied-in": version}});
    api.patch(name, &by, &Patch::Apply(noted)).await.unwrap();
    let mut stands = head;
    stands["status"] = status(version, kind);
    let stored = api.patch_status(name, &by, &Patch::Apply(stands)).await.unwrap();
    assert_eq!(stored.data["status"], status(version, kind));
}

/// The watch tells the creation, the patch, the apply and the status, each in its version.
async fn watched(world: &World<'_>, api: &Api<DynamicObject>, name: &str, version: &str, from: &str) {
    let params = WatchParams::default().fields(&format!("metadata.name={name}"));
    let events = api.watch(&params, from).await.unwrap();
    let told = tokio::time::timeout(ACTION, events.take(4).try_collect::<Vec<_>>()).await.unwrap().unwrap();
    for (number, event) in told.iter().enumerate() {
        match (number, event) {
            (0, WatchEvent::Added(object)) | (1..=3, WatchEvent::Modified(object)) => is_whole(world, version, object),
            _ => panic!("{number}: {event:?}"),
        }
    }
}

/// As people keep manifests: one that went through `lockkeeper convert` is applied over the one that it was, and the other way
/// around, by kubectl's own patch and by the server's.
#[tokio::test]
async fn kubectl_applies_in_one_version_what_it_applied_in_the_other() {
    let Some(stage) = shared().await else { return };
    let world = World::new(&stage.server, "applied").await;
    for (way, first) in
        [("--server-side=false", OLD), ("--server-side", OLD), ("--server-side=false", HUB), ("--server-side", HUB)]
    {
        for kind in KINDS {
            let name = format!("{}-{first}{}", kind.to_lowercase(), way.len());
            if kind == "WorkflowExecution" {
                world.request(&format!("rr-{name}"), &name, json!({"overallPhase": "Analyzing"})).await;
            }
            let old = written(&world, OLD, kind, &name);
            let hub = convert(&old.to_string(), Version::V1beta1).unwrap().json;
            let hub: Value = serde_json::from_slice(&hub).unwrap();
            let second = if first == OLD { HUB } else { OLD };
            for (turn, version) in [first, second, first, first, second].into_iter().enumerate() {
                let mut manifest = if version == OLD { old.clone() } else { hub.clone() };
                manifest["metadata"]["labels"] = json!({"turn": turn.to_string()});
                let applied =
                    stage.server.kubectl(ADMIN, &["apply", way, "-f", "-"], Some(&manifest.to_string())).await;
                assert!(applied.success(), "{kind} {first} first, now {version}: {applied}");
                for reads in [OLD, HUB] {
                    let object = world.api_in(reads, kind).get(&name).await.unwrap();
                    is_whole(&world, reads, &object);
                    assert_eq!(object.metadata.labels.as_ref().unwrap()["turn"], turn.to_string());
                    assert_eq!(object.metadata.generation, Some(1), "{kind} {version} {way}: a spec changed");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_status_is_written_through_either_version_and_the_spec_stands() {
    let Some(stage) = shared().await else { return };
    let world = World::new(&stage.server, "either").await;
    let [old, hub] = [OLD, HUB].map(|version| world.api_in(version, "WorkflowExecution"));
    for version in [OLD, HUB] {
        let name = format!("we-{version}");
        scene::create(&world, candidate(version), &name).await;
        // As upstream's controllers write: the whole object.
        for (api, status) in [(&old, status(OLD, "WorkflowExecution")), (&hub, status(HUB, "WorkflowExecution"))] {
            let mut object = api.get(&name).await.unwrap();
            object.data["status"] = status;
            api.replace_status(&name, &PostParams::default(), &object).await.unwrap();
        }
        let tasks = json!({"status": {"execution": {"completedTasks": 1, "totalTasks": 2}}});
        hub.patch_status(&name, &PatchParams::default(), &Patch::Merge(tasks)).await.unwrap();
        let ended = json!({"status": {"phase": "Completed", "completionTime": in_seconds(0)}});
        old.patch_status(&name, &PatchParams::default(), &Patch::Merge(ended)).await.unwrap();
        let object = hub.get(&name).await.unwrap();
        assert_eq!((&object.data["status"]["phase"], object.metadata.generation), (&json!("Completed"), Some(1)));
        assert_eq!(
            object.data["status"]["execution"],
            json!({"ref": {"name": "wfe-1"}, "completedTasks": 1, "totalTasks": 2}),
            "a write in v1alpha1 took away what that version cannot say"
        );
        // v1alpha1's schema has no rule for it, so there the gate says it.
        for (api, spec, words) in [
            (&old, json!({"targetResource": "x/Pod/y"}), "SpecImmutable"),
            (&hub, json!({"target": {"name": "y"}}), "spec is immutable"),
        ] {
            let patch = Patch::Merge(json!({"spec": spec}));
            let told = api.patch(&name, &PatchParams::default(), &patch).await.unwrap_err();
            assert!(told.to_string().contains(words), "{told}");
        }
    }
}

/// v1alpha1 cannot say them and no annotation has room for them; the API server prunes both versions by their schemas.
#[tokio::test]
async fn an_engines_large_settings_outlive_a_status_write_in_v1alpha1() {
    let Some(stage) = shared().await else { return };
    let world = World::new(&stage.server, "large").await;
    let candidate = |namespace: &str, name: &str, parent: &str, target: &str| {
        let mut object = hub_wfe(namespace, name, parent, target);
        object["spec"]["workflowRef"]["executionEngine"] = json!("ansible");
        object["spec"]["workflowRef"]["engineConfig"] = json!({"playbookPath": "x.yml", "vars": "v".repeat(300_000)});
        object
    };
    scene::create(&world, candidate, "we").await;
    let [old, hub] = [OLD, HUB].map(|version| world.api_in(version, "WorkflowExecution"));
    let before = hub.get("we").await.unwrap();
    let mut object = old.get("we").await.unwrap();
    object.data["status"] = status(OLD, "WorkflowExecution");
    old.replace_status("we", &PostParams::default(), &object).await.unwrap();
    let label = Patch::Merge(json!({"metadata": {"labels": {"patched-in": OLD}}}));
    old.patch("we", &PatchParams::default(), &label).await.unwrap();
    let after = hub.get("we").await.unwrap();
    assert!(after.data["spec"] == before.data["spec"], "settings were lost");
    assert_eq!((&after.data["status"], after.metadata.generation), (&status(HUB, "WorkflowExecution"), Some(1)));
}

/// By metadata alone nobody says what only a spec or a status may.
#[tokio::test]
async fn a_forged_annotation_is_refused_where_it_would_say_something() {
    let Some(stage) = shared().await else { return };
    let world = World::new(&stage.server, "forged").await;
    scene::create(&world, stage::wfe, "we").await;
    let [old, hub] = [OLD, HUB].map(|version| world.api_in(version, "WorkflowExecution"));
    let running = Patch::Merge(json!({"status": status(OLD, "WorkflowExecution")}));
    old.patch_status("we", &PatchParams::default(), &running).await.unwrap();
    let before = hub.get("we").await.unwrap();
    for (path, value, reason) in [
        ("/spec/target/clusterID", json!("elsewhere"), "SpecImmutable"),
        ("/status/deduplicatedBy", json!("another"), "AnnotationReserved"),
    ] {
        let text = json!({"home": HUB, "patch": [{"op": "add", "path": path, "value": value}]}).to_string();
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"lockkeeper.kubernaut.ai/legacy": text}}}));
        let told = old.patch("we", &PatchParams::default(), &patch).await.unwrap_err().to_string();
        assert!(told.contains(reason), "{told}");
    }
    assert_eq!(hub.get("we").await.unwrap().data, before.data);
}

/// A spec that nobody sees is not stored.
#[tokio::test]
async fn a_creation_says_no_more_than_is_seen() {
    let Some(stage) = shared().await else { return };
    let world = World::new(&stage.server, "begins").await;
    world.request("free", "a", json!({"overallPhase": "Analyzing"})).await;
    let mut forged = stage::wfe(&world.namespace, "we", "free", &world.target("free"));
    let patch = json!([{"op": "add", "path": "/spec/target/clusterID", "value": "elsewhere"}]);
    let text = json!({"home": HUB, "patch": patch}).to_string();
    forged["metadata"]["annotations"] = json!({"lockkeeper.kubernaut.ai/legacy": text});
    world.refused(&forged, "AnnotationReserved").await;
}

/// What came from another shape, and what others have filled the annotations of, is read and written in v1alpha1 like all else.
#[tokio::test]
async fn strange_objects_outlive_a_status_write_in_v1alpha1() {
    let Some(stage) = shared().await else { return };
    let world = World::new(&stage.server, "strange").await;
    let legacy = |text: String| json!({"lockkeeper.kubernaut.ai/legacy": text});
    let shaped = json!({"home": "v1alpha1", "shape": "1.5.7", "patch": []}).to_string();
    let strange = [
        ("shaped", legacy(shaped)),
        ("quoted", legacy("\"".repeat(200_000))),
        ("full", json!({"filler": "x".repeat(262_144 - 6)})),
        ("nearly", json!({"filler": "x".repeat(262_144 - 6 - 70)})),
    ];
    let [old, hub] = [OLD, HUB].map(|version| world.api_in(version, "WorkflowExecution"));
    for (name, annotations) in &strange {
        world.request(&format!("rr-{name}"), name, json!({"overallPhase": "Analyzing"})).await;
        let mut object = hub_wfe(&world.namespace, name, &format!("rr-{name}"), &world.target(name));
        object["spec"]["workflowRef"]["executionEngine"] = json!("job");
        object["metadata"]["annotations"] = annotations.clone();
        world.admitted(&object).await;
    }
    assert_eq!(old.list(&ListParams::default()).await.unwrap().items.len(), strange.len());
    for (name, _) in strange {
        let before = hub.get(name).await.unwrap();
        let mut object = old.get(name).await.unwrap();
        assert_eq!(
            object.data["spec"]["workflowRef"]["containerImage"],
            before.data["spec"]["workflowRef"]["executionBundle"]
        );
        object.data["status"] = status(OLD, "WorkflowExecution");
        old.replace_status(name, &PostParams::default(), &object).await.unwrap();
        let label = Patch::Merge(json!({"metadata": {"labels": {"patched-in": OLD}}}));
        old.patch(name, &PatchParams::default(), &label).await.unwrap();
        let after = hub.get(name).await.unwrap();
        assert!(after.data["spec"] == before.data["spec"], "{name}: {}", after.data["spec"]);
        assert_eq!(after.data["status"], status(HUB, "WorkflowExecution"), "{name}");
        assert_eq!(after.metadata.annotations, before.metadata.annotations, "{name}");
    }
}

#[tokio::test]
async fn the_gate_the_amender_and_the_guard_know_both_versions() {
    let Some(stage) = shared().await else { return };
    let world = World::new(&stage.server, "judged").await;
    world.request("held", "a", json!({"overallPhase": "Analyzing", "nextAllowedExecution": in_seconds(600)})).await;
    for (version, details) in [(OLD, "failureDetails"), (HUB, "failure")] {
        let candidate = candidate(version);
        world.refused(&candidate(&world.namespace, "no", "held", &world.target("held")), "ExponentialBackoff").await;

        let name = format!("fails-{version}");
        scene::create(&world, candidate, &name).await;
        let api = world.api_in(version, "WorkflowExecution");
        let write = async |status: Value| {
            api.patch_status(&name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await
        };
        let stored = write(json!({"phase": "Failed", "startTime": in_seconds(0)})).await.unwrap();
        assert_eq!(stored.data["status"][details]["wasExecutionFailure"], true, "{stored:?}");
        let other = world.api_in(if version == OLD { HUB } else { OLD }, "WorkflowExecution");
        let there = other.get(&name).await.unwrap().data["status"].take();
        let there = if version == OLD { &there["failure"] } else { &there["failureDetails"] };
        assert_eq!(there["reason"], stored.data["status"][details]["reason"]);

        let told = write(json!({details: null})).await.unwrap_err().to_string();
        assert!(told.contains("FailureImmutable"), "{told}");
        let told = write(json!({details: {"wasExecutionFailure": false}})).await.unwrap_err().to_string();
        assert!(told.contains("FailureImmutable"), "{told}");
        // What one version has no word for is not unsaid through it either.
        if version == OLD {
            let operation = json!({"op": "add", "path": "/status/failure/reason", "value": "Deduplicated"});
            let told = write(json!({"legacy": {"parked": [{"home": HUB}, operation]}})).await.unwrap_err().to_string();
            assert!(told.contains("FailureImmutable"), "{told}");
        }
        let signed = write(json!({"blockClearance": scene::clearance(scene::WORDS)})).await.unwrap();
        assert!(signed.data["status"]["blockClearance"]["clearedBy"].is_string(), "{signed:?}");
    }
}

#[tokio::test]
async fn kubectl_explains_and_shows_both() {
    let Some(stage) = shared().await else { return };
    let world = World::new(&stage.server, "shown").await;
    scene::create(&world, hub_wfe, "we").await;
    let kubectl = async |args: &[&str]| {
        eventually("kubectl knows it", ACTION, || async {
            let output = stage.server.kubectl(ADMIN, args, None).await;
            if output.success() { Ok(output.stdout) } else { Err(output.to_string()) }
        })
        .await
    };
    for (version, field, words) in [
        (HUB, "wfe.spec.target", "What the workflow acts on"),
        (OLD, "wfe.spec.targetResource", "<string>"),
        (HUB, "rr.status.routing", "<Object>"),
        (OLD, "rr.status.nextAllowedExecution", "<string>"),
    ] {
        let said = kubectl(&["explain", field, &format!("--api-version=kubernaut.ai/{version}")]).await;
        assert!(said.contains(words) && said.contains(&format!("VERSION:    {version}")), "{said}");
    }
    for (resource, head, cell) in [
        ("workflowexecutions.v1beta1.kubernaut.ai", "TARGET-KIND", "Deployment"),
        ("workflowexecutions.v1alpha1.kubernaut.ai", "TARGET", "shown-"),
        ("remediationrequests.v1beta1.kubernaut.ai", "SIGNAL-KIND", "Deployment"),
        ("remediationrequests.v1alpha1.kubernaut.ai", "NEXTALLOWED", "rr-we"),
    ] {
        let said = kubectl(&["get", resource, "-o", "wide", "-n", &world.namespace]).await;
        assert!(said.contains(head) && said.contains(cell), "{said}");
    }
}

/// C-19: nothing may be listed, so the gate is not ready; what is asked to be converted is.
#[tokio::test]
async fn objects_are_converted_while_the_gate_is_not_ready() {
    let Some(server) = support::own_bench_or_skip(Options::default().user(GATE, &[])).await else { return };
    let gate = stage::start_gate(&server, "").await;
    server.apply_crds(&stage::crds_of_both(&server, &gate).await).await.unwrap();
    let world = World::new(&server, "early").await;
    for (version, other) in [(OLD, HUB), (HUB, OLD)] {
        for kind in KINDS {
            let object: DynamicObject = serde_json::from_value(written(&world, version, kind, version)).unwrap();
            world.api_in(version, kind).create(&PostParams::default(), &object).await.unwrap();
            is_whole(&world, other, &world.api_in(other, kind).get(version).await.unwrap());
        }
    }
    assert_eq!((gate.get("/readyz").0, gate.get("/convertz").0), (503, 200));

    // What it lists first goes through its own conversion.
    stage::allow_reading(&server).await;
    gate.ready().await;
    let (_, body) = gate.get("/readyz");
    assert!(body.contains("workflowexecutions: 2 objects, 0 unreadable"), "{body}");
}

/// Objects that are stored before the CRD changes: 500, or LOCKKEEPER_STORED, for measuring by hand.
pub fn stored() -> usize {
    std::env::var("LOCKKEEPER_STORED").map_or(500, |count| count.parse().unwrap())
}

/// The chart with v1alpha1 alone, and nobody there to answer; the port at which somebody will be.
async fn install_v1alpha1_alone(server: &support::ApiServer) -> u16 {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("webhook.url=https://127.0.0.1:{port}");
    let values = ["--set", &url, "--set", "crds.conversion=false", "--set", "webhook.failurePolicy=Ignore"];
    let install = [&["install", "--create-namespace"], &RELEASE[..], &values].concat();
    server.helm(ADMIN, &install, None).await.expect_success();
    let crds =
        ["wait", "--for=condition=Established", "--timeout=20s", "crd", "-l", "app.kubernetes.io/name=lockkeeper"];
    server.kubectl(ADMIN, &crds, None).await.expect_success();
    port
}

const RELEASE: [&str; 5] = ["lockkeeper", CHART, "--namespace", RELEASE_NAMESPACE, "--no-hooks"];

async fn upgrade(server: &support::ApiServer, value: &str) -> support::Output {
    let args = [&["upgrade"], &RELEASE[..], &["--reuse-values", "--set", value]].concat();
    server.helm(ADMIN, &args, None).await
}

/// Its first list is of the hub, of objects that are stored otherwise: nobody but itself could convert them.
#[tokio::test]
async fn a_gate_that_starts_after_the_upgrade_becomes_ready_by_its_own_conversion() {
    let Some(server) = support::own_bench_or_skip(Options::default()).await else { return };
    let port = install_v1alpha1_alone(&server).await;
    let world = World::new(&server, "alone").await;
    store(&world, 20).await;
    let before = lists(&world, OLD).await;
    upgrade(&server, "crds.conversion=true").await.expect_success();
    eventually("v1beta1 is served and nobody converts", NEXT_LOOK, || async {
        // The API server says 429, again and again, while its watch cache cannot be filled.
        match tokio::time::timeout(Duration::from_secs(2), try_lists(&world, HUB)).await {
            Err(_) => Ok(()),
            Ok(Err(kube::Error::Api(status))) if status.code != 404 => Ok(()),
            Ok(other) => Err(format!("{other:?}")),
        }
    })
    .await;
    let process = run_as_the_chart_says(&server, port).await;
    let (_, admin) = stage::addresses(&process).unwrap();
    eventually("it is ready", NEXT_LOOK, || async {
        let (code, body) = stage::curl(&[&format!("{admin}/readyz")]);
        let listed = body.contains("workflowexecutions: 10 objects, 0 unreadable");
        if code == 200 && listed { Ok(()) } else { Err(format!("{code} {body}\n{}", process.log_tail(9))) }
    })
    .await;
    assert!(process.log_text().contains("/apis/kubernaut.ai/v1beta1/workflowexecutions"), "it read another version");
    assert_eq!(lists(&world, OLD).await, before);
    lists(&world, HUB).await.iter().flatten().for_each(|object| is_whole(&world, HUB, object));
}

#[tokio::test]
async fn what_was_stored_under_v1alpha1_alone_reads_in_both() {
    let Some(server) = support::own_bench_or_skip(Options::default()).await else { return };
    let port = install_v1alpha1_alone(&server).await;
    let world = World::new(&server, "upgraded").await;
    let count = stored();
    store(&world, count).await;
    let before = lists(&world, OLD).await;
    assert_eq!(before.iter().map(Vec::len).sum::<usize>(), count);
    let odd = World::new(&server, "odd").await;
    let hostile = hostile(&odd).await;

    let process = run_as_the_chart_says(&server, port).await;
    upgrade(&server, "crds.conversion=true").await.expect_success();
    let before_it = Spent::on_conversions(&server, &process).await;
    let (hub, took) = cold_lists(&world).await;
    let spent = Spent::on_conversions(&server, &process).await.since(&before_it);
    support::visible(&format!(
        "{count} objects: a cold LIST through the version that is not stored took {took:?}; {spent}"
    ));
    assert_eq!(lists(&world, OLD).await, before, "the upgrade alone changed what was stored");
    for (old, hub) in before.iter().zip(&hub) {
        assert_eq!(old.len(), hub.len());
        for (old, hub) in old.iter().zip(hub) {
            is_whole(&world, HUB, hub);
            assert_eq!(old.metadata.uid, hub.metadata.uid);
            assert_eq!(hub.data["status"]["legacy"], Value::Null, "{hub:?}");
        }
    }
    // C-09: it is one object among others, parked, and the list reads.
    let [requests, executions] = lists(&odd, HUB).await;
    assert_eq!((requests.len(), executions.len()), (2, 3));
    let there = executions.iter().find(|object| object.metadata.name.as_deref() == Some("hostile")).unwrap();
    let legacy = &there.metadata.annotations.as_ref().unwrap()["lockkeeper.kubernaut.ai/legacy"];
    assert!(legacy.contains("/spec/targetResource") && !legacy.contains("forged"), "{legacy}");
    assert_eq!(there.data["status"]["conditions"].as_array().unwrap().len(), 2, "a map by type");
    let mut home = lists(&odd, OLD).await;
    let [_, executions] = &mut home;
    let home = executions.iter_mut().find(|object| object.metadata.name.as_deref() == Some("hostile")).unwrap();
    assert_eq!((&home.data, &home.metadata.annotations), (&hostile.data, &hostile.metadata.annotations));
    eventually("the gate reads the hub", NEXT_LOOK, || async {
        let log = process.log_text();
        let moved = |kind: &str| log.contains(&format!("/apis/kubernaut.ai/v1beta1/{kind}\""));
        if moved("workflowexecutions") && moved("remediationrequests") { Ok(()) } else { Err(log) }
    })
    .await;

    // Each write moves an object; in v1alpha1 it says what it said.
    for kind in KINDS {
        let api = world.api_in(HUB, kind);
        let label = Patch::Merge(json!({"metadata": {"labels": {"moved": "yes"}}}));
        stream::iter(names(count, kind))
            .map(|name| {
                let (api, label) = (api.clone(), &label);
                async move { api.patch(&name, &PatchParams::default(), label).await.map(drop) }
            })
            .buffer_unordered(8)
            .try_collect::<()>()
            .await
            .unwrap();
    }
    for (before, after) in before.iter().zip(lists(&world, OLD).await) {
        for (before, after) in before.iter().zip(after) {
            assert_eq!(before.data, after.data);
            assert_eq!(after.metadata.annotations, before.metadata.annotations);
            assert_eq!(after.metadata.labels.unwrap()["moved"], "yes");
        }
    }
    // Now v1alpha1 alone would be the end of them.
    let refused = upgrade(&server, "crds.conversion=false").await.expect_failure();
    assert!(refused.stderr.contains("are stored as v1beta1"), "{refused}");
    let crd = object(&server, &["crd", "workflowexecutions.kubernaut.ai"]).await;
    assert_eq!(crd["status"]["storedVersions"], json!([OLD, HUB]));
}

/// What a schema of v1alpha1 lets in and the hub cannot say, as large as the API server takes it, between four decent objects;
/// with an annotation that claims what was never parked.
async fn hostile(world: &World<'_>) -> DynamicObject {
    store(world, 4).await;
    let mut object = written(world, OLD, "WorkflowExecution", "hostile");
    let forged = json!({"home": HUB, "patch": [{"op": "add", "path": "/spec/target", "value": {"kind": "forged"}}]});
    object["metadata"]["annotations"] =
        json!({"lockkeeper.kubernaut.ai/legacy": forged.to_string(), "note": "\"".repeat(250_000)});
    object["spec"]["targetResource"] = json!("a/b/c/d/e");
    object["spec"]["executionConfig"] = json!({"timeout": "2562047h47m16.854775807s"});
    let many: serde_json::Map<_, _> = (0..3_000).map(|i| (format!("P{i}"), json!("\u{1F600}\\"))).collect();
    object["spec"]["parameters"] = Value::Object(many);
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let api = world.api_in(OLD, "WorkflowExecution");
    api.create(&PostParams::default(), &object).await.unwrap();
    let condition = |kind: &str, message: String| json!({"type": kind, "status": "True", "reason": "R", "message": message, "lastTransitionTime": "2026-01-05T10:00:00Z"});
    let conditions: Vec<_> = (0..2_000).map(|i| condition(["A", "B"][i % 2], i.to_string())).collect();
    let status = Patch::Merge(json!({"status": {"phase": "Failed", "conditions": conditions}}));
    api.patch_status("hostile", &PatchParams::default(), &status).await.unwrap()
}

/// What conversions took, by our own count and by the API server's.
struct Spent {
    ours: (f64, f64),
    theirs: (f64, f64),
}

impl Spent {
    async fn on_conversions(server: &support::ApiServer, process: &support::Process) -> Self {
        let (_, admin) = stage::addresses(process).unwrap();
        let (_, ours) = stage::curl(&[&format!("{admin}/metrics")]);
        let theirs = server.kubectl(ADMIN, &["get", "--raw", "/metrics"], None).await.expect_success().stdout;
        Self {
            ours: histogram(&ours, "lockkeeper_conversion_duration_seconds"),
            theirs: histogram(&theirs, "apiserver_crd_conversion_webhook_duration_seconds"),
        }
    }

    fn since(self, before: &Self) -> Self {
        let less = |now: (f64, f64), before: (f64, f64)| (now.0 - before.0, now.1 - before.1);
        Self { ours: less(self.ours, before.ours), theirs: less(self.theirs, before.theirs) }
    }
}

impl std::fmt::Display for Spent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (who, (seconds, calls)) in [("ours", self.ours), ("as the API server sees it", self.theirs)] {
            write!(f, "{who}: {calls} calls, {seconds:.3} s, {:.0} µs a call; ", seconds * 1e6 / calls.max(1.0))?;
        }
        Ok(())
    }
}

/// Sum and count over all labels.
fn histogram(text: &str, name: &str) -> (f64, f64) {
    let total = |suffix: &str| {
        let series = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(suffix));
        series.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    (total("_sum"), total("_count"))
}

fn names(count: usize, kind: &str) -> Vec<String> {
    (0..count / KINDS.len()).map(|number| format!("{}-{number:05}", kind.to_lowercase())).collect()
}

pub async fn store(world: &World<'_>, count: usize) {
    for kind in KINDS {
        let api = world.api_in(OLD, kind);
        stream::iter(names(count, kind))
            .map(|name| {
                let api = api.clone();
                let object: DynamicObject = serde_json::from_value(written(world, OLD, kind, &name)).unwrap();
                async move {
                    api.create(&PostParams::default(), &object).await?;
                    let patch = Patch::Merge(json!({"status": status(OLD, kind)}));
                    api.patch_status(&name, &PatchParams::default(), &patch).await.map(drop)
                }
            })
            .buffer_unordered(8)
            .try_collect::<()>()
            .await
            .unwrap();
    }
}

/// Everything of both kinds, by name.
pub async fn try_lists(world: &World<'_>, version: &str) -> kube::Result<[Vec<DynamicObject>; 2]> {
    let mut lists = [Vec::new(), Vec::new()];
    for (kind, list) in KINDS.into_iter().zip(&mut lists) {
        *list = world.api_in(version, kind).list(&ListParams::default()).await?.items;
    }
    Ok(lists)
}

pub async fn lists(world: &World<'_>, version: &str) -> [Vec<DynamicObject>; 2] {
    try_lists(world, version).await.unwrap()
}

/// The hub's lists, and the time from the first answer that is not 404: then the API server knows the version and converts
/// what is stored, one object a call. It may say 429 until its watch cache is filled.
async fn cold_lists(world: &World<'_>) -> ([Vec<DynamicObject>; 2], Duration) {
    let began = Cell::new(None::<Instant>);
    let lists = eventually("v1beta1 is served", Duration::from_secs(120), || async {
        let asked = Instant::now();
        let answer = try_lists(world, HUB).await;
        if !matches!(&answer, Err(kube::Error::Api(status)) if status.code == 404) {
            began.set(began.get().or(Some(asked)));
        }
        answer
    });
    (lists.await, began.get().unwrap().elapsed())
}
