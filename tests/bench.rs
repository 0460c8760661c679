//! The test bench itself: it comes up, tells users apart, and leaves nothing behind.

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{ACTION, ADMIN, ALICE, ApiServer, BOB, eventually};

/// Set for the test process that [`a_killed_test_process_leaves_nothing_behind`] starts and kills.
const VICTIM: &str = "LOCKKEEPER_BENCH_VICTIM";

#[tokio::test]
async fn kubectl_works_for_admin_and_is_forbidden_without_rights() {
    let Some(bench) = support::bench_or_skip().await else { return };
    let namespace = bench.fresh_namespace("rights").await.unwrap();
    let get = ["get", "configmaps", "-n", namespace.as_str()];
    bench.kubectl(ADMIN, &get, None).await.expect_success();
    let refused = bench.kubectl(ALICE, &get, None).await.expect_failure();
    assert!(refused.stderr.contains("(Forbidden)"), "{refused}");

    let version = bench.kubectl(ADMIN, &["version", "-o", "json"], None).await.expect_success();
    let version: serde_json::Value = serde_json::from_str(&version.stdout).unwrap();
    let server = version["serverVersion"]["gitVersion"].as_str().unwrap();
    assert!(server.starts_with("v1."), "{server} is not a release");
    assert_eq!(version["serverVersion"]["gitVersion"], version["clientVersion"]["gitVersion"]);
}

#[tokio::test]
async fn a_granted_role_is_in_effect_at_once() {
    let Some(bench) = support::bench_or_skip().await else { return };
    let namespace = bench.fresh_namespace("grant").await.unwrap();
    let rule = serde_json::json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]});
    bench.cluster_role("bench-list", vec![serde_json::from_value(rule).unwrap()]).await.unwrap();
    bench.grant_in(&namespace, BOB, "bench-list").await.unwrap();
    bench.kubectl(BOB, &["get", "configmaps", "-n", &namespace], None).await.expect_success();
    bench.kubectl(BOB, &["get", "configmaps", "-n", "default"], None).await.expect_failure();
    let empty = bench.grant_in(&namespace, BOB, "view").await.unwrap_err();
    assert!(empty.to_string().contains("no rules"), "{empty}");
}

#[tokio::test]
async fn the_audit_log_holds_what_users_do() {
    let Some(bench) = support::bench_or_skip().await else { return };
    let crd = crd("locks", "Lock");
    assert_eq!(bench.apply_crds(&crd).await.unwrap(), ["locks.kubernaut.ai"]);
    let namespace = bench.fresh_namespace("audit").await.unwrap();
    let lock =
        r#"{"apiVersion": "kubernaut.ai/v1", "kind": "Lock", "metadata": {"name": "l"}, "spec": {"by": "rr-1"}}"#;
    bench.kubectl(ADMIN, &["create", "-n", &namespace, "-f", "-"], Some(lock)).await.expect_success();
    let event = eventually("the create is in the audit log", ACTION, || async {
        let events = bench.audit_events().map_err(|error| error.to_string())?;
        let mine = events.iter().find(|event| event.namespace == namespace && event.verb == "create");
        mine.cloned().ok_or_else(|| format!("{} others", events.len()))
    })
    .await;
    assert_eq!((event.user.as_str(), event.group.as_str(), event.resource.as_str()), (ADMIN, "kubernaut.ai", "locks"));
    assert_eq!((event.name.as_str(), event.code, event.stage.as_str()), ("l", 201, "ResponseComplete"));
    assert_eq!(event.request_object.unwrap()["spec"]["by"], "rr-1");
}

#[tokio::test]
async fn a_service_account_gets_a_real_token() {
    let Some(bench) = support::bench_or_skip().await else { return };
    let namespace = bench.fresh_namespace("account").await.unwrap();
    bench.create_service_account(&namespace, "robot").await.unwrap();
    let token = bench.service_account_token(&namespace, "robot").await.unwrap();
    let kubeconfig = bench.kubeconfig_for_token(&token, "default").unwrap();
    let who = bench.run(&bench.assets().kubectl, &kubeconfig, &["auth", "whoami"], None).await.expect_success();
    assert!(who.stdout.contains(&format!("system:serviceaccount:{namespace}:robot")), "{who}");
}

#[tokio::test]
async fn helm_runs() {
    let Some(bench) = support::bench_or_skip().await else { return };
    let version = bench.helm(ADMIN, &["version", "--short"], None).await.expect_success();
    assert!(version.stdout.starts_with("v4."), "{version}");
    bench.helm(ADMIN, &["list", "-A"], None).await.expect_success();
}

#[tokio::test]
async fn etcd_can_be_stopped_and_comes_back_with_what_it_had() {
    let options = support::Options::default().user("carol", &["sre"]).fsync();
    let Some(server) = support::own_bench_or_skip(options).await else { return };
    let namespace = server.fresh_namespace("kept").await.unwrap();
    let before = server.etcd().pid();
    server.etcd().restart().unwrap();
    assert_ne!(server.etcd().pid(), before);
    server.wait_ready().await.unwrap();
    server.kubectl(ADMIN, &["get", "namespace", &namespace], None).await.expect_success();
    let carol = server.kubectl("carol", &["auth", "whoami"], None).await.expect_success();
    assert!(carol.stdout.contains("sre"), "{carol}");

    let folder = server.folder().to_owned();
    let pids = [server.etcd().pid(), server.apiserver().pid()];
    drop(server);
    assert!(!folder.exists(), "{} is left", folder.display());
    assert!(!pids.into_iter().any(alive), "one of {pids:?} is left");
}

#[tokio::test]
async fn a_failing_test_keeps_the_logs() {
    let Some(server) = support::own_bench_or_skip(support::Options::default()).await else { return };
    let folder = server.folder().to_owned();
    let test = std::thread::Builder::new().name("bench::failing".into());
    let failing = test.spawn(move || {
        let _held = server;
        // Not panic!: its message among the output of a test that passes would be taken for a failure.
        std::panic::resume_unwind(Box::new("as a failing test does"));
    });
    failing.unwrap().join().unwrap_err();
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-logs/bench-failing-{}", std::process::id()));
    for log in ["etcd.log", "kube-apiserver.log", "audit.log"] {
        assert!(kept.join(log).is_file(), "{log} was not kept in {}", kept.display());
    }
    assert!(!folder.exists());
    std::fs::remove_dir_all(kept).unwrap();
}

#[tokio::test]
async fn a_killed_test_process_leaves_nothing_behind() {
    let Some(_bench) = support::bench_or_skip().await else { return };
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let line = lines.map_while(Result::ok).find_map(|line| line.split_once("VICTIM ").map(|(_, told)| told.to_owned()));
    let line = line.expect("the victim told its pids");
    let [folder, etcd, apiserver] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
    let pids: [u32; 2] = [etcd.parse().unwrap(), apiserver.parse().unwrap()];
    assert!(pids.into_iter().all(alive) && Path::new(folder).exists(), "{line}");

    // SIGKILL.
    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually("etcd, kube-apiserver and their folder are gone", ACTION, || async {
        let left: Vec<u32> = pids.into_iter().filter(|pid| alive(*pid)).collect();
        if left.is_empty() && !Path::new(folder).exists() { Ok(()) } else { Err(format!("pids {left:?}, {folder}")) }
    })
    .await;
}

/// Not a test: what the test above kills.
#[tokio::test]
async fn victim() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let server = ApiServer::start().await.unwrap();
    println!("VICTIM {} {} {}", server.folder().display(), server.etcd().pid(), server.apiserver().pid());
    // Bounded, should the other side die before it kills.
    tokio::time::sleep(Duration::from_secs(60)).await;
}

fn alive(pid: u32) -> bool {
    let asked = Command::new("kill").args(["-0", &pid.to_string()]).stderr(Stdio::null()).status();
    asked.unwrap().success()
}

fn crd(plural: &str, kind: &str) -> String {
    format!(
        "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.kubernaut.ai}}
spec:
  group: kubernaut.ai
  scope: Namespaced
  names: {{plural: {plural}, kind: {kind}}}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"
    )
}
