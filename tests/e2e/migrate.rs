//! Storage moved from one version to the other on a real API server, and etcd asked what it holds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::chart::{RELEASE_NAMESPACE, object, run_as_the_chart_says};
use crate::conversion::{HUB, KINDS, OLD, hub_wfe, lists, status, store, stored, try_lists};
use crate::stage::{self, CHART, GATE, World};
use crate::support::{self, ACTION, ADMIN, ALICE, ApiServer, Launch, Options, Output, Process, eventually};

const LOCKKEEPER: &str = env!("CARGO_BIN_EXE_lockkeeper");
/// A page's objects, each with a conversion behind it, on a loaded machine.
const LONG: Duration = Duration::from_secs(120);

/// Of thousands of objects.
const HOURS: Duration = Duration::from_secs(3600);

/// A cluster on which the chart is a release, its server outside.
struct Release {
    server: ApiServer,
    port: u16,
}

impl Release {
    /// With v1alpha1 alone; nobody answers.
    async fn installed() -> Option<Self> {
        let server = support::own_bench_or_skip(Options::default()).await?;
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let release = Self { server, port };
        let url = format!("webhook.url=https://127.0.0.1:{port}");
        let values = ["--create-namespace", "--set", &url, "--set", "webhook.failurePolicy=Ignore"];
        release.helm("install", &[&values[..], &["--set", "crds.conversion=false"]].concat()).await.expect_success();
        let crds =
            ["wait", "--for=condition=Established", "--timeout=20s", "crd", "-l", "app.kubernetes.io/name=lockkeeper"];
        release.server.kubectl(ADMIN, &crds, None).await.expect_success();
        Some(release)
    }

    async fn helm(&self, verb: &str, more: &[&str]) -> Output {
        let args = [&[verb, "lockkeeper", CHART, "--namespace", RELEASE_NAMESPACE, "--no-hooks"], more].concat();
        self.server.helm(ADMIN, &args, None).await
    }

    async fn upgraded(&self, conversion: bool) {
        let conversion = format!("crds.conversion={conversion}");
        self.helm("upgrade", &["--reuse-values", "--set", &conversion]).await.expect_success();
    }

    async fn migrate(&self, more: &[&str]) -> Output {
        migrate(&self.server, ADMIN, more).await
    }

    /// A migration in the background, caught when so many objects are in this version.
    async fn migrate_until(&self, version: &str, count: usize) -> Process {
        let launch = Launch::new(format!("migrate-{count}"), LOCKKEEPER)
            .args(["migrate", "--to", version])
            .env("KUBECONFIG", self.server.user(ADMIN).kubeconfig.display().to_string());
        let process = self.server.launch_beside(launch).unwrap();
        let began = Instant::now();
        while self.in_etcd().await.get(&api_version(version)).copied().unwrap_or_default() < count {
            assert!(process.exit_code().is_none() && began.elapsed() < LONG, "{}", process.log_text());
        }
        process
    }

    /// A migration to its end, however long that takes, and what it said.
    async fn migrate_to_the_end(&self, args: &[&str]) -> (String, Duration) {
        let launch = Launch::new(format!("migrate{}", args.concat()), LOCKKEEPER)
            .args([&["migrate"], args].concat())
            .env("KUBECONFIG", self.server.user(ADMIN).kubeconfig.display().to_string());
        let began = Instant::now();
        let process = self.server.launch_beside(launch).unwrap();
        let code = eventually("the migration ends", HOURS, || async { process.exit_code().ok_or("it runs") }).await;
        assert_eq!(code, 0, "{}", process.log_text());
        (process.log_text(), began.elapsed())
    }

    /// How many objects etcd holds of each apiVersion.
    async fn in_etcd(&self) -> BTreeMap<String, usize> {
        in_etcd(&self.server).await
    }

    async fn crds(&self) -> [Value; 2] {
        crds(&self.server).await
    }
}

async fn migrate(server: &ApiServer, user: &str, more: &[&str]) -> Output {
    let args: Vec<&str> = ["migrate"].into_iter().chain(more.iter().copied()).collect();
    server.run(LOCKKEEPER.as_ref(), &server.user(user).kubeconfig, &args, None).await
}

fn api_version(version: &str) -> String {
    format!("kubernaut.ai/{version}")
}

async fn in_etcd(server: &ApiServer) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for kind in KINDS {
        for (_, value) in server.in_etcd(&format!("kubernaut.ai/{}s", kind.to_lowercase())).await.unwrap() {
            *found.entry(value["apiVersion"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    found
}

async fn crds(server: &ApiServer) -> [Value; 2] {
    let crd = async |kind: &str| object(server, &["crd", &format!("{}s.kubernaut.ai", kind.to_lowercase())]).await;
    [crd(KINDS[0]).await, crd(KINDS[1]).await]
}

fn sum(said: &str, member: &str) -> usize {
    let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| usize::try_from(line[member].as_u64().unwrap()).unwrap()).sum()
}

/// Everything that a reader of v1alpha1 sees, but for what every write changes.
async fn as_read(world: &World<'_>) -> Vec<(Option<String>, Option<BTreeMap<String, String>>, Value)> {
    let mut objects: Vec<_> = lists(world, OLD).await.into_iter().flatten().collect();
    objects.sort_by_key(|object| object.metadata.uid.clone());
    objects.into_iter().map(|object| (object.metadata.uid, object.metadata.annotations, object.data)).collect()
}

/// C-20: both versions are served until nothing is stored in the old one, and only then is it trimmed.
#[tokio::test]
async fn storage_moves_is_interrupted_and_comes_back() {
    let Some(release) = Release::installed().await else { return };
    let world = World::new(&release.server, "moved").await;
    let count = stored();
    store(&world, count).await;
    let before = as_read(&world).await;
    let early = release.migrate(&[]).await.expect_failure();
    assert!(early.stderr.contains("does not serve v1beta1: serve it first (helm upgrade"), "{early}");

    let _process = run_as_the_chart_says(&release.server, release.port).await;
    release.upgraded(true).await;
    eventually("v1beta1 is served", LONG, || async { try_lists(&world, HUB).await }).await;
    for crd in release.crds().await {
        assert_eq!(crd["status"]["storedVersions"], json!([OLD, HUB]));
    }

    // A dry run writes nothing.
    let crds = release.crds().await;
    let dry = release.migrate(&["--dry-run"]).await.expect_success();
    let half = count / 2;
    assert!(
        dry.stdout.contains(&format!(
            "storedVersions v1alpha1, v1beta1, stores v1beta1; would write {half} objects once, set status.storedVersions to v1beta1"
        )),
        "{dry}"
    );
    assert!(dry.stdout.ends_with("nothing was written; the same command without --dry-run does it\n"), "{dry}");
    assert_eq!(release.in_etcd().await, BTreeMap::from([(api_version(OLD), count)]));
    assert_eq!(release.crds().await, crds);

    // Killed, then interrupted, then to its end.
    release.migrate_until(HUB, 20).await.stop();
    let moved = release.in_etcd().await;
    assert!(moved[&api_version(OLD)] > 0, "it was too fast to be killed midway: {moved:?}");
    let process = release.migrate_until(HUB, moved[&api_version(HUB)] + 100).await;
    process.signal("TERM").unwrap();
    let code = eventually("it ends", ACTION, || async { process.exit_code().ok_or("it runs") }).await;
    let log = process.log_text();
    assert!(code == 1 && log.contains("interrupted: the same command goes on where this one stopped"), "{code} {log}");
    let moved = release.in_etcd().await;
    for crd in release.crds().await {
        assert_eq!(crd["status"]["storedVersions"], json!([OLD, HUB]), "trimmed while {moved:?}");
    }
    let (ended, took) = release.migrate_to_the_end(&["-o", "json"]).await;
    assert_eq!(
        (sum(&ended, "moved"), sum(&ended, "alreadyThere")),
        (moved[&api_version(OLD)], moved[&api_version(HUB)])
    );
    assert_eq!(release.in_etcd().await, BTreeMap::from([(api_version(HUB), count)]));
    for crd in release.crds().await {
        assert_eq!(crd["status"]["storedVersions"], json!([HUB]));
    }
    assert_eq!(as_read(&world).await, before, "what v1alpha1 reads changed by moving");
    support::visible(&format!("{count} objects, {} of them moved: {took:?}", moved[&api_version(OLD)]));
    let again = release.migrate(&[]).await.expect_success();
    assert!(again.stdout.starts_with("nothing to do: v1beta1 alone is stored"), "{again}");

    // A pass that finds everything moved writes nothing.
    for crd in crds {
        let name = crd["metadata"]["name"].as_str().unwrap();
        let both = json!({"status": {"storedVersions": [OLD, HUB]}}).to_string();
        let patch = ["patch", "crd", name, "--subresource=status", "--type=merge", "-p", &both];
        release.server.kubectl(ADMIN, &patch, None).await.expect_success();
    }
    let versions = async || {
        let all = lists(&world, HUB).await.into_iter().flatten();
        all.map(|object| object.metadata.resource_version.unwrap()).collect::<Vec<_>>()
    };
    let stand = versions().await;
    let (ended, took) = release.migrate_to_the_end(&["--to", HUB, "-o", "json"]).await;
    assert_eq!((sum(&ended, "moved"), sum(&ended, "alreadyThere")), (0, count));
    assert_eq!(versions().await, stand);
    support::visible(&format!("{count} objects, all there already: {took:?}"));

    // What only the hub can say goes the way back, too.
    let (hub, hub_status) =
        (world.api_in(HUB, "WorkflowExecution"), json!({"status": status(HUB, "WorkflowExecution")}));
    world.request("rr-rich", "rich", json!({"overallPhase": "Analyzing"})).await;
    let mut rich = hub_wfe(&world.namespace, "rich", "rr-rich", &world.target("rich"));
    rich["spec"]["target"]["clusterID"] = json!("west");
    rich["spec"]["deadline"] = json!("2027-01-05T10:00:00Z");
    let rich: DynamicObject = serde_json::from_value(rich).unwrap();
    let all = count + 2;
    eventually("the gate knows the parent", ACTION, || async { hub.create(&PostParams::default(), &rich).await }).await;
    let rich = hub.patch_status("rich", &PatchParams::default(), &Patch::Merge(hub_status)).await.unwrap();
    let before = as_read(&world).await;
    let (back, took) = release.migrate_to_the_end(&["--to", OLD]).await;
    support::visible(&format!("{all} objects back: {took:?}"));
    assert!(back.contains("done: v1alpha1 alone is stored; helm upgrade --set crds.conversion=false"), "{back}");
    assert_eq!(release.in_etcd().await, BTreeMap::from([(api_version(OLD), all)]));

    release.upgraded(false).await;
    for crd in release.crds().await {
        assert_eq!(crd["status"]["storedVersions"], json!([OLD]));
        assert_eq!(crd["spec"]["versions"].as_array().unwrap().len(), 1);
        assert_eq!(crd["spec"]["conversion"]["strategy"], "None");
    }
    eventually("v1beta1 is gone", LONG, || async {
        match try_lists(&world, HUB).await {
            Err(_) => Ok(()),
            Ok(_) => Err("it is served"),
        }
    })
    .await;
    assert_eq!(as_read(&world).await, before, "what v1alpha1 reads changed by the way back");
    let written = world.request_status("remediationrequest-00000", json!({"message": "written on the way"})).await;
    assert_eq!(written.data["status"]["message"], "written on the way");

    release.upgraded(true).await;
    eventually("v1beta1 is served again", LONG, || async { try_lists(&world, HUB).await }).await;
    let again = hub.get("rich").await.unwrap();
    assert_eq!((again.data, again.metadata.annotations), (rich.data, rich.metadata.annotations));
}

#[tokio::test]
async fn it_says_what_is_missing() {
    let Some(server) = support::own_bench_or_skip(Options::default().user(GATE, &[])).await else { return };
    let none = migrate(&server, ADMIN, &[]).await.expect_failure();
    let install = "install the chart, or: lockkeeper crds | kubectl apply --server-side -f -";
    assert_eq!(
        none.stderr,
        format!("lockkeeper: remediationrequests.kubernaut.ai is not in this cluster: {install}\n")
    );
    let none = migrate(&server, ADMIN, &["--alone"]).await.expect_success();
    let missing =
        |kind: &str| format!("{kind}s.kubernaut.ai is not in this cluster and stores nothing; to have it, {install}\n");
    let end = "nothing to do: neither CRD is in this cluster; lockkeeper can be uninstalled\n";
    assert_eq!(none.stdout, missing("remediationrequest") + &missing("workflowexecution") + end);

    let nowhere = server.folder().join("nowhere.yaml");
    let cluster = json!({"name": "c", "cluster": {"server": "https://127.0.0.1:1"}});
    let context = json!({"name": "c", "context": {"cluster": "c", "user": "c"}});
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [cluster], "contexts": [context],
                        "users": [{"name": "c", "user": {}}]});
    std::fs::write(&nowhere, config.to_string()).unwrap();
    let away = server.run(LOCKKEEPER.as_ref(), &nowhere, &["migrate", "--dry-run"], None).await.expect_failure();
    let lines: Vec<_> = away.stderr.lines().collect();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.contains("Connection refused")), "{away}");
    assert!(lines[0].starts_with("lockkeeper: no usable answer from the API server yet, waiting: "), "{away}");
    assert!(lines[1].starts_with("lockkeeper: no usable answer from the API server after 5 tries: "), "{away}");

    let foreign = stage::crds().replace("app.kubernetes.io/name: lockkeeper", "app.kubernetes.io/name: kubernaut");
    server.apply_crds(&foreign).await.unwrap();
    let refused = migrate(&server, ADMIN, &["--to", OLD]).await.expect_failure();
    assert!(refused.stderr.contains("is not lockkeeper's"), "{refused}");

    let gate = stage::start_gate(&server, "").await;
    server.apply_crds(&stage::crds_of_both(&server, &gate).await).await.unwrap();
    let refused = migrate(&server, ALICE, &[]).await.expect_failure();
    assert_eq!(
        refused.stderr,
        "lockkeeper: you may not get customresourcedefinitions.apiextensions.k8s.io/remediationrequests.kubernaut.ai: \
         docs/migration.md has the ClusterRole that migrate needs\n"
    );
}

/// A kind without objects has a list all the same, and its storedVersions too.
#[tokio::test]
async fn kinds_without_objects_move_too() {
    let Some(server) = support::own_bench_or_skip(Options::default().user(GATE, &[])).await else { return };
    server.apply_crds(&stage::crds()).await.unwrap();
    let gate = stage::start_gate(&server, "").await;
    server.apply_crds(&stage::crds_of_both(&server, &gate).await).await.unwrap();
    let world = World::new(&server, "empty").await;
    eventually("v1beta1 is served", LONG, || async { try_lists(&world, HUB).await }).await;
    let there_and_back = async |objects: usize| {
        for to in [HUB, OLD] {
            let dry = migrate(&server, ADMIN, &["--to", to, "--dry-run"]).await.expect_success();
            assert!(
                objects == 0 || dry.stdout.contains("would") && dry.stdout.contains("write 1 object once"),
                "{dry}"
            );
            migrate(&server, ADMIN, &["--to", to]).await.expect_success();
            for crd in crds(&server).await {
                assert_eq!(crd["status"]["storedVersions"], json!([to]));
            }
            let stored = in_etcd(&server).await;
            assert_eq!(stored.get(&api_version(to)).copied().unwrap_or_default(), objects, "{stored:?}");
        }
    };
    there_and_back(0).await;
    world.request("alone", "alone", json!({"overallPhase": "Analyzing"})).await;
    there_and_back(1).await;
    world.api("RemediationRequest").delete("alone", &DeleteParams::default()).await.unwrap();
    world.admitted(&stage::wfe(&world.namespace, "alone", "alone", &world.target("alone"))).await;
    there_and_back(1).await;
}

/// The conversion is tried before a CRD is written: with nobody there, only what has no objects moves.
#[tokio::test]
async fn nothing_is_written_while_nobody_converts() {
    let Some(server) = support::own_bench_or_skip(Options::default().user(GATE, &[])).await else { return };
    server.apply_crds(&stage::crds()).await.unwrap();
    let world = World::new(&server, "unconverted").await;
    let gate = stage::start_gate_at(&server, "", &server.user(GATE).kubeconfig, &free_address()).await;
    world.request("stored", "stored", json!({"overallPhase": "Analyzing"})).await;
    server.apply_crds(&stage::crds_of_both(&server, &gate).await).await.unwrap();
    eventually("v1beta1 is served", LONG, || async { try_lists(&world, HUB).await }).await;

    // Also while the API server remembers what was converted.
    gate.process.stop();
    let before = crds(&server).await;
    for args in [&["--dry-run"][..], &[], &["--to", OLD, "--dry-run"], &["--to", OLD], &["--to", OLD, "--alone"]] {
        let failed = migrate(&server, ADMIN, args).await.expect_failure();
        let lines: Vec<_> = failed.stderr.lines().collect();
        let last = lines.last().copied().unwrap_or_default();
        assert_eq!(failed.status, Some(2), "{failed}");
        assert!(
            last.starts_with(
                "lockkeeper: remediationrequests.kubernaut.ai: a trial conversion failed and nothing was written: "
            ) && last.contains("conversion webhook for kubernaut.ai/v1")
                && last.contains("start lockkeeper, or see its log"),
            "{failed}"
        );
        assert_eq!(crds(&server).await, before, "{args:?}");
    }
    gate.process.restart().unwrap();
    let dry = eventually("somebody converts again", ACTION, || async {
        let dry = migrate(&server, ADMIN, &["--dry-run"]).await;
        if dry.success() { Ok(dry) } else { Err(dry.to_string()) }
    })
    .await;
    assert!(dry.stdout.contains("remediationrequests.kubernaut.ai: a trial conversion of one object works\n"), "{dry}");
    assert!(dry.stdout.contains("workflowexecutions.kubernaut.ai: no objects, nothing to convert\n"), "{dry}");

    world.api("RemediationRequest").delete("stored", &DeleteParams::default()).await.unwrap();
    gate.process.stop();
    migrate(&server, ADMIN, &["--to", OLD, "--alone"]).await.expect_success();
}

fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// `helm uninstall` with its hook; this test is the kubelet that runs the Job.
#[tokio::test]
async fn an_uninstall_leaves_crds_that_nobody_need_convert() {
    let Some(release) = Release::installed().await else { return };
    let world = World::new(&release.server, "left").await;
    store(&world, 20).await;
    let process = run_as_the_chart_says(&release.server, release.port).await;
    release.upgraded(true).await;
    eventually("v1beta1 is served", LONG, || async { try_lists(&world, HUB).await }).await;
    let before = as_read(&world).await;

    let uninstall = ["uninstall", "lockkeeper", "--namespace", RELEASE_NAMESPACE, "--timeout", "120s"];
    let (gone, ()) = tokio::join!(release.server.helm(ADMIN, &uninstall, None), run_job(&release.server));
    gone.expect_success();
    process.stop();

    let left = ["get", "clusterrole,clusterrolebinding,serviceaccount,job", "-A", "-o", "name"];
    let left = release.server.kubectl(ADMIN, &left, None).await.expect_success();
    assert!(!left.stdout.contains("lockkeeper"), "{left}");
    assert_eq!(release.in_etcd().await, BTreeMap::from([(api_version(OLD), 20)]));
    for crd in release.crds().await {
        assert_eq!(crd["spec"]["conversion"], json!({"strategy": "None"}));
        assert_eq!(crd["status"]["storedVersions"], json!([OLD]));
        let served = crd["spec"]["versions"].as_array().unwrap().iter().filter(|version| version["served"] == true);
        assert_eq!(served.map(|version| &version["name"]).collect::<Vec<_>>(), [OLD]);
    }
    eventually("read without a server", LONG, || async {
        let now = as_read(&world).await;
        if now == before { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    world.request("new", "new", json!({"overallPhase": "Analyzing"})).await;

    // Whoever installs again has both versions, whoever does not can be rid of it all.
    let url = format!("webhook.url=https://127.0.0.1:{}", release.port);
    release.helm("install", &["--set", &url, "--set", "webhook.failurePolicy=Ignore"]).await.expect_success();
    let _process = run_as_the_chart_says(&release.server, release.port).await;
    eventually("v1beta1 is served again", LONG, || async { try_lists(&world, HUB).await }).await;
    migrate(&release.server, ADMIN, &["--alone"]).await.expect_success();
    assert_eq!(release.in_etcd().await, BTreeMap::from([(api_version(HUB), 21)]));
    let refused = release.migrate(&["--to", OLD]).await.expect_failure();
    assert!(refused.stderr.contains("does not serve v1alpha1"), "{refused}");
    let names =
        ["delete", "crd", "workflowexecutions.kubernaut.ai", "remediationrequests.kubernaut.ai", "--timeout=120s"];
    release.server.kubectl(ADMIN, &names, None).await.expect_success();
}

/// What a kubelet and the Job's controller would do: the container's command with the pod's token, then the Job's end.
async fn run_job(server: &ApiServer) {
    let get = ["get", "job", "lockkeeper-uninstall", "-n", RELEASE_NAMESPACE, "-o", "json"];
    let job = eventually("the hook makes its Job", LONG, || async {
        let output = server.kubectl(ADMIN, &get, None).await;
        if output.success() { Ok(output.stdout) } else { Err(output.to_string()) }
    })
    .await;
    let job: Value = serde_json::from_str(&job).unwrap();
    let pod = &job["spec"]["template"]["spec"];
    let args: Vec<_> =
        pod["containers"][0]["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    let account = pod["serviceAccountName"].as_str().unwrap();
    let token = server.service_account_token(RELEASE_NAMESPACE, account).await.unwrap();
    let kubeconfig = server.kubeconfig_for_token(&token, "default").unwrap();
    let ran = server.run(LOCKKEEPER.as_ref(), &kubeconfig, &args, None).await.expect_success();
    assert!(ran.stdout.contains("nobody need convert; lockkeeper can be uninstalled"), "{ran}");
    let now = stage::in_seconds(0);
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
    let status = json!({"status": {"startTime": now, "completionTime": now, "succeeded": 1,
        "conditions": [condition("SuccessCriteriaMet"), condition("Complete")]}});
    let patch =
        ["patch", "job", "lockkeeper-uninstall", "-n", RELEASE_NAMESPACE, "--subresource=status", "--type=merge", "-p"];
    server.kubectl(ADMIN, &[&patch[..], &[&status.to_string()]].concat(), None).await.expect_success();
}
