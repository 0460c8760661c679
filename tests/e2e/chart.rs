//! The chart on a real API server: what it registers is obeyed, what it made is kept, what it leaves is clean.

use std::path::Path;

use serde_json::{Value, json};

use crate::runs;
use crate::stage::{self, CHART, World, in_seconds, wfe};
use crate::status::scene::{self, Tekton};
use crate::support::{
    self, ACTION, ADMIN, ALICE, ApiServer, BOB, Launch, MALLORY, Options, Output, Process, eventually,
};

pub const RELEASE_NAMESPACE: &str = "gate";

#[tokio::test]
async fn installed_upgraded_obeyed_and_gone() {
    let Some(server) = support::own_bench_or_skip(Options::default()).await else { return };
    // The port is ours from here on: the registration must name it before the server behind it can run.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("webhook.url=https://127.0.0.1:{port}");
    let install = [
        "install",
        "lockkeeper",
        CHART,
        "--namespace",
        RELEASE_NAMESPACE,
        "--create-namespace",
        "--no-hooks",
        "--set",
        &url,
        "--set",
        "config.staleness.max=45s",
        // With a conversion the CRDs that stay need their server; here it goes.
        "--set",
        "crds.conversion=false",
    ];
    let installed = server.helm(ADMIN, &install, None).await.expect_success();
    assert!(installed.stdout.contains("failurePolicy Fail: while it does not answer"), "{installed}");
    let crds = server.kubectl(
        ADMIN,
        &["wait", "--for=condition=Established", "--timeout=20s", "crd", "-l", "app.kubernetes.io/name=lockkeeper"],
        None,
    );
    assert_eq!(crds.await.expect_success().stdout.lines().count(), 2);

    runs::install_tekton(&server, "v1").await;
    let process = run_as_the_chart_says(&server, port).await;
    let world = World::new(&server, "chart").await;
    world.request("held", "a", json!({"overallPhase": "Analyzing", "nextAllowedExecution": in_seconds(600)})).await;
    world.request("free", "b", json!({"overallPhase": "Analyzing"})).await;
    world.refused(&wfe(&world.namespace, "no", "held", &world.target("one")), "ExponentialBackoff").await;
    world.admitted(&wfe(&world.namespace, "yes", "free", &world.target("two"))).await;

    // A failure is classified and a forged name replaced, by what the chart registered and may read.
    scene::allow_writing(&server).await;
    scene::in_force(&World::new(&server, "probe").await, wfe).await;
    world.running("fails").await;
    Tekton::beside(&server).await.killed(&world, "fails").await;
    let stored = world.we().await.write("fails", &scene::failed("Unknown", false)).await.unwrap();
    assert_eq!(scene::reason_and_flag(&stored), ("OOMKilled", true));
    a_person_clears_by_annotation(&server, &world, "fails").await;
    assert_eq!(
        registered(&server).await,
        ["mutating", "validating"].map(|kind| format!("{kind}webhookconfiguration/lockkeeper"))
    );

    // An upgrade keeps the pair; the registration goes on trusting it.
    let before = secret(&server).await;
    let upgrade = [
        "upgrade",
        "lockkeeper",
        CHART,
        "--namespace",
        RELEASE_NAMESPACE,
        "--no-hooks",
        "--reuse-values",
        "--set",
        "webhook.timeoutSeconds=3",
    ];
    server.helm(ADMIN, &upgrade, None).await.expect_success();
    assert_eq!(secret(&server).await["data"], before["data"], "the pair was made anew");
    let registration = object(&server, &["validatingwebhookconfiguration", "lockkeeper"]).await;
    let webhook = &registration["webhooks"][0];
    assert_eq!(
        (&webhook["timeoutSeconds"], &webhook["clientConfig"]["caBundle"]),
        (&json!(3), &before["data"]["ca.crt"])
    );
    world.refused(&wfe(&world.namespace, "no", "held", &world.target("one")), "ExponentialBackoff").await;

    // Gone is gone: also with the server behind it away, every create works, and the objects stayed.
    process.stop();
    server
        .helm(ADMIN, &["uninstall", "lockkeeper", "--namespace", RELEASE_NAMESPACE, "--no-hooks"], None)
        .await
        .expect_success();
    assert_eq!(registered(&server).await, Vec::<String>::new());
    world.admitted(&wfe(&world.namespace, "no", "held", &world.target("one"))).await;
    world.running("unnamed").await;
    let stored = world.we().await.write("unnamed", &json!({"phase": "Failed"})).await.unwrap();
    assert!(stored["failureDetails"].is_null(), "{stored}");
    let left =
        server.kubectl(ADMIN, &["get", "wfe", "-n", &world.namespace, "-o", "name"], None).await.expect_success();
    assert_eq!(left.stdout.lines().count(), 4, "{left}");
}

/// With the rights that the chart grants; in the name of who was seen to ask, and of nobody else.
async fn a_person_clears_by_annotation(server: &ApiServer, world: &World<'_>, failed: &str) {
    let annotate = async |user: &str, name: &str, annotations: &[&str]| {
        let args = ["annotate", "--overwrite", "wfe", name, "-n", &world.namespace];
        server.kubectl(user, &[&args[..], annotations].concat(), None).await
    };
    let clear = format!("lockkeeper.kubernaut.ai/clear={}", scene::WORDS);
    let forged = format!("lockkeeper.kubernaut.ai/cleared-by={ALICE}");
    let api = world.api("WorkflowExecution");
    // Of both webhooks the API server hears by watches of its own.
    eventually("a wish is judged", ACTION, || async {
        let told = annotate(ALICE, "yes", &[&clear, "--dry-run=server"]).await;
        if told.stderr.contains("only a Failed execution holds its target") { Ok(()) } else { Err(told.to_string()) }
    })
    .await;
    for (name, annotations, why) in [
        ("yes", &[&*clear][..], "ClearanceInvalid"),
        (failed, &["lockkeeper.kubernaut.ai/clear=because I say so"], "expected at least 10 words"),
        (failed, &[&*forged], "AnnotationReserved"),
    ] {
        let told = annotate(MALLORY, name, annotations).await.expect_failure();
        assert!(told.stderr.contains(why), "{told}");
    }
    let held = world.api("WorkflowExecution").get(failed).await.unwrap();
    assert!(held.data["status"]["blockClearance"].is_null(), "{held:?}");

    // Whoever's name stands beside it, it is signed by who asks.
    annotate(BOB, failed, &[&clear, &forged]).await.expect_success();
    let cleared = eventually("the clearance is written", ACTION, || async {
        let object = api.get(failed).await.unwrap();
        let clearance = object.data["status"]["blockClearance"].clone();
        if clearance.is_object() { Ok(clearance) } else { Err(format!("{:?}", object.metadata.annotations)) }
    })
    .await;
    assert_eq!(
        (&cleared["clearedBy"], &cleared["clearMethod"], &cleared["clearReason"]),
        (&json!(BOB), &json!("Annotation"), &json!(scene::WORDS))
    );
    let described = ["describe", "wfe", failed, "-n", &world.namespace];
    eventually("kubectl describe tells of it", ACTION, || async {
        let told = server.kubectl(ADMIN, &described, None).await.expect_success();
        if told.stdout.contains(&format!("cleared by {BOB}")) { Ok(()) } else { Err(told.to_string()) }
    })
    .await;
    let again = annotate(ALICE, failed, &[&format!("{clear} once more")]).await.expect_failure();
    assert!(again.stderr.contains("was cleared already, by bob"), "{again}");
}

#[tokio::test]
async fn crds_of_others_are_never_replaced() {
    let Some(server) = support::own_bench_or_skip(Options::default()).await else { return };
    let foreign = stage::crds().replace("app.kubernetes.io/name: lockkeeper", "app.kubernetes.io/name: kubernaut");
    server.apply_crds(&foreign).await.unwrap();
    let install =
        ["install", "lockkeeper", CHART, "--namespace", RELEASE_NAMESPACE, "--create-namespace", "--no-hooks"];
    let refused = server.helm(ADMIN, &install, None).await.expect_failure();
    assert!(
        refused.stderr.contains("is not lockkeeper's") && refused.stderr.contains("crds.install=false"),
        "{refused}"
    );
    let aside = [&install[..], &["--set", "crds.install=false"]].concat();
    server.helm(ADMIN, &aside, None).await.expect_success();
}

/// Whoever applied the CRDs and Helm both write all versions as one list.
const CONFLICT: &str = "conflict with \"kubectl\": .spec.versions";

#[tokio::test]
async fn crds_that_were_applied_are_taken_over() {
    let Some(server) = applied_by_hand().await else { return };
    let values = ["--set", "webhook.url=https://127.0.0.1:9", "--create-namespace"];
    let refused = helm(&server, "install", &values).await.expect_failure();
    assert!(refused.stderr.contains("invalid ownership metadata"), "{refused}");
    let refused = helm(&server, "install", &[&values[..], &["--take-ownership"]].concat()).await.expect_failure();
    assert!(refused.stderr.contains(CONFLICT), "{refused}");

    // What failed is a release by now.
    let taking = [&values[..], &["--take-ownership", "--force-conflicts"]].concat();
    let refused = helm(&server, "install", &taking).await.expect_failure();
    assert!(refused.stderr.contains("cannot reuse a name that is still in use"), "{refused}");
    helm(&server, "upgrade", &[&taking[..], &["--install"]].concat()).await.expect_success();

    // From then on they are Helm's.
    let other = ["--reuse-values", "--set", "webhook.url=https://127.0.0.1:10"];
    helm(&server, "upgrade", &other).await.expect_success();
    let crd = object(&server, &["crd", "workflowexecutions.kubernaut.ai"]).await;
    assert_eq!(crd["spec"]["conversion"]["webhook"]["clientConfig"]["url"], "https://127.0.0.1:10/convert");
    assert_eq!(crd["spec"]["versions"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn crds_that_were_applied_as_the_chart_has_them_conflict_when_they_change() {
    let Some(server) = applied_by_hand().await else { return };
    let alone = ["--set", "webhook.url=https://127.0.0.1:9,crds.conversion=false"];
    let taking = [&alone[..], &["--create-namespace", "--take-ownership"]].concat();
    helm(&server, "install", &taking).await.expect_success();
    let both = ["--reuse-values", "--set", "crds.conversion=true"];
    let refused = helm(&server, "upgrade", &both).await.expect_failure();
    assert!(refused.stderr.contains(CONFLICT), "{refused}");
    helm(&server, "upgrade", &[&both[..], &["--force-conflicts"]].concat()).await.expect_success();
}

/// `lockkeeper crds | kubectl apply --server-side -f -`
async fn applied_by_hand() -> Option<ApiServer> {
    let server = support::own_bench_or_skip(Options::default()).await?;
    server.kubectl(ADMIN, &["apply", "--server-side", "-f", "-"], Some(&stage::crds())).await.expect_success();
    Some(server)
}

async fn helm(server: &ApiServer, verb: &str, more: &[&str]) -> Output {
    let release = [verb, "lockkeeper", CHART, "--namespace", RELEASE_NAMESPACE, "--no-hooks"];
    server.helm(ADMIN, &[&release[..], more].concat(), None).await
}

/// The binary on this host, with the arguments, configuration, pair and service account that the chart gives a pod.
pub async fn run_as_the_chart_says(server: &ApiServer, port: u16) -> Process {
    let folder = server.folder().join("as-the-chart-says");
    std::fs::create_dir_all(&folder).unwrap();
    let deployment = object(server, &["deployment", "lockkeeper", "-n", RELEASE_NAMESPACE]).await;
    let pod = &deployment["spec"]["template"]["spec"];
    let config = object(server, &["configmap", "lockkeeper", "-n", RELEASE_NAMESPACE]).await;
    std::fs::write(folder.join("config.yaml"), config["data"]["config.yaml"].as_str().unwrap()).unwrap();
    let pair = secret(server).await;
    for name in ["tls.crt", "tls.key"] {
        let bytes: k8s_openapi::ByteString = serde_json::from_value(pair["data"][name].clone()).unwrap();
        std::fs::write(folder.join(name), bytes.0).unwrap();
    }
    let token =
        server.service_account_token(RELEASE_NAMESPACE, pod["serviceAccountName"].as_str().unwrap()).await.unwrap();
    let kubeconfig = server.kubeconfig_for_token(&token, RELEASE_NAMESPACE).unwrap();
    let args = pod["containers"][0]["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|arg| on_this_host(arg.as_str().unwrap(), &folder, port));
    let launch =
        Launch::new("lockkeeper-chart", stage::binary()).args(args).env("KUBECONFIG", kubeconfig.display().to_string());
    let process = server.launch_beside(launch).unwrap();
    eventually("lockkeeper serves", ACTION, || async {
        let log = process.log_text();
        if log.contains("\"serving\"") { Ok(()) } else { Err(log) }
    })
    .await;
    process
}

/// A pod's path or port, as it is here.
fn on_this_host(arg: &str, folder: &Path, port: u16) -> String {
    let here = folder.display();
    arg.replace("/etc/lockkeeper/config/", &format!("{here}/"))
        .replace("/etc/lockkeeper/tls/", &format!("{here}/"))
        .replace("0.0.0.0:9443", &format!("127.0.0.1:{port}"))
        .replace("0.0.0.0:8080", "127.0.0.1:0")
}

/// Every webhook configuration that there is.
async fn registered(server: &ApiServer) -> Vec<String> {
    let kinds = "mutatingwebhookconfigurations,validatingwebhookconfigurations";
    let listed = server.kubectl(ADMIN, &["get", kinds, "-o", "name"], None).await.expect_success();
    listed.stdout.lines().map(|name| name.replace(".admissionregistration.k8s.io", "")).collect()
}

async fn secret(server: &ApiServer) -> Value {
    object(server, &["secret", "lockkeeper-tls", "-n", RELEASE_NAMESPACE]).await
}

pub async fn object(server: &ApiServer, which: &[&str]) -> Value {
    let args: Vec<&str> = ["get", "-o", "json"].into_iter().chain(which.iter().copied()).collect();
    serde_json::from_str(&server.kubectl(ADMIN, &args, None).await.expect_success().stdout).unwrap()
}
