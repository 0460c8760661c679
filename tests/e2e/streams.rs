//! Between us and the API server: a gate that is not ready, a wire that is cut, a history that was forgotten, a reload.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::stage::{self, GATE, World, wfe};
use crate::support::{self, ACTION, ADMIN, ApiServer, AuditEvent, Options, eventually};

/// Longer than the API server waits for a webhook.
const PATIENT: Duration = Duration::from_secs(30);

/// An API server with our CRDs and nothing else.
async fn bare() -> Option<ApiServer> {
    let server = support::own_bench_or_skip(Options::default().user(GATE, &[])).await?;
    server.apply_crds(&stage::crds()).await.unwrap();
    Some(server)
}

#[tokio::test]
async fn while_the_gate_knows_nothing_creates_fail_or_wait_and_are_never_admitted() {
    let Some(server) = bare().await else { return };
    let world = World::new(&server, "waits").await;
    world.request("rr", "s", json!({"overallPhase": "Analyzing"})).await;
    let gate = stage::start_gate(&server, "").await;
    stage::write_registration(&server, &gate, 2).await;
    let candidate = wfe(&world.namespace, "we", "rr", &world.target("api"));
    // Nothing holds this candidate, and yet it is not admitted by a gate that cannot know that.
    let failed = eventually("the create fails at the webhook", PATIENT, || async {
        let output = world.create(&candidate, &["--dry-run=server"]).await;
        if output.stderr.contains("failed calling webhook") { Ok(output) } else { Err(output.to_string()) }
    })
    .await;
    assert!(failed.stderr.contains("context deadline exceeded"), "503 is asked again until the deadline: {failed}");

    // A create that comes meanwhile waits for the first lists, and gets a verdict instead of an error.
    stage::write_registration(&server, &gate, 20).await;
    let kubectl = world.create(&candidate, &["--request-timeout=25s"]);
    let granted = async {
        eventually("the gate was asked and was not ready", PATIENT, || async {
            let (_, metrics) = gate.get("/metrics");
            let shed =
                metrics.lines().find(|line| line.starts_with("lockkeeper_admission_shed_total{why=\"not_ready\"}"));
            let times: u64 = shed.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0);
            if times >= 3 { Ok(()) } else { Err(metrics) }
        })
        .await;
        stage::allow_reading(&server).await;
    };
    let (created, ()) = tokio::join!(kubectl, granted);
    created.expect_success();
    gate.ready().await;
}

/// A wire to the API server that can be cut: what goes over it then hangs for ever, and no side is told.
struct Wire {
    port: u16,
    generation: watch::Sender<Generation>,
}

/// Connections of an older generation are dead, and so are all while it is cut.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Generation {
    number: u32,
    cut: bool,
}

impl Wire {
    async fn to(server: &ApiServer) -> Self {
        let upstream = server.url().trim_start_matches("https://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (generation, seen) = watch::channel(Generation { number: 0, cut: false });
        tokio::spawn(async move {
            let upstream = Arc::new(upstream);
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, upstream.clone(), seen.clone()));
            }
        });
        Self { port, generation }
    }

    fn cut(&self) {
        self.generation.send_modify(|generation| *generation = Generation { number: generation.number + 1, cut: true });
    }

    /// New connections work again; those of before stay dead.
    fn mend(&self) {
        self.generation.send_modify(|generation| generation.cut = false);
    }

    /// The user's kubeconfig, by way of this wire.
    fn kubeconfig(&self, server: &ApiServer) -> std::path::PathBuf {
        let text = std::fs::read_to_string(&server.user(GATE).kubeconfig).unwrap();
        let text = text.replace(server.url(), &format!("https://127.0.0.1:{}", self.port));
        let path = server.folder().join("wire.kubeconfig");
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// Carries one connection until its generation is over, then holds both ends open and silent.
async fn carry(mut near: TcpStream, upstream: Arc<String>, mut seen: watch::Receiver<Generation>) {
    let mine = *seen.borrow_and_update();
    if !mine.cut {
        let Ok(mut far) = TcpStream::connect(upstream.as_str()).await else { return };
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
            _ = seen.wait_for(|now| now.number != mine.number) => {}
        }
        // Dead for both sides, and neither is told; until the test is over.
        let _far = far;
        std::future::pending::<()>().await;
    }
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_wire_that_goes_dead_is_left_for_a_new_one() {
    let Some(server) = bare().await else { return };
    stage::allow_reading(&server).await;
    let wire = Wire::to(&server).await;
    let gate = stage::start_gate_with(&server, "staleness: {max: 6s}", &wire.kubeconfig(&server)).await;
    gate.ready().await;
    let world = World::new(&server, "wire").await;
    world.request("rr", "s", json!({"overallPhase": "Analyzing"})).await;
    let candidate = wfe(&world.namespace, "we", "rr", &world.target("api"));
    let reason = |expected: &'static str| {
        let (gate, candidate) = (&gate, &candidate);
        move || {
            let (code, answer) = gate.review("CREATE", candidate);
            let found = answer["response"]["status"]["details"]["causes"][0]["reason"].as_str().unwrap_or("none");
            let outcome = if code == 200 && found == expected { Ok(()) } else { Err(answer.to_string()) };
            async move { outcome }
        }
    };
    eventually("the candidate is admitted", ACTION, reason("none")).await;

    // The streams go dead and new connections work: nobody notices but the watch, and verdicts go on.
    wire.cut();
    wire.mend();
    world.request_status("rr", json!({"overallPhase": "Failed"})).await;
    eventually("what happened behind the dead wire is known", ACTION, reason("ParentTerminal")).await;

    // Nothing works, new connections hang as well: what is known grows old, and says which.
    wire.cut();
    eventually("what is known is too old", PATIENT, reason("StaleState")).await;
    // Each input has an age of its own, and readiness says which is old.
    eventually("both inputs are called silent", PATIENT, || async {
        let (code, body) = gate.get("/readyz");
        let silent = ["remediationrequests", "workflowexecutions"]
            .iter()
            .all(|input| body.contains(&format!("[-] {input}: silent for ")));
        if code == 503 && silent { Ok(()) } else { Err(body) }
    })
    .await;
    assert_eq!(gate.get("/livez").0, 200);
    // The opens that hang on dead connections are given up long before a page would be.
    wire.mend();
    eventually("the stream is back", ACTION, reason("ParentTerminal")).await;
    gate.ready().await;
    let log = gate.process.log_text();
    assert!(log.matches("cannot follow this input").count() <= 6, "each trouble is said once: {log}");
    eventually("the end of the trouble is said", ACTION, || async {
        let log = gate.process.log_text();
        if log.contains("following this input again") { Ok(()) } else { Err(log) }
    })
    .await;
}

/// What lockkeeper asked the API server for so far.
fn reads(server: &ApiServer, verb: &str) -> Vec<AuditEvent> {
    let events = server.audit_events().unwrap();
    events.into_iter().filter(|event| event.user == GATE && event.verb == verb && event.code == 200).collect()
}

#[tokio::test]
async fn a_history_that_was_forgotten_is_listed_anew() {
    let Some(server) = bare().await else { return };
    stage::allow_reading(&server).await;
    let gate = stage::start_gate(&server, "").await;
    gate.ready().await;
    let world = World::new(&server, "forgotten").await;
    world.request("first", "a", json!({"overallPhase": "Analyzing"})).await;
    world.request("second", "b", json!({"overallPhase": "Analyzing"})).await;
    world.execution("busy", "first", &world.target("api"), json!({"phase": "Running"})).await;
    let candidate = wfe(&world.namespace, "we", "second", &world.target("api"));
    let reason = |expected: &'static str| {
        let (gate, candidate) = (&gate, &candidate);
        move || {
            let (_, answer) = gate.review("CREATE", candidate);
            let found = answer["response"]["status"]["details"]["causes"][0]["reason"].as_str().unwrap_or("none");
            let outcome = if found == expected { Ok(()) } else { Err(answer.to_string()) };
            async move { outcome }
        }
    };
    eventually("the target is busy", ACTION, reason("ResourceBusy")).await;
    let before = reads(&server, "list").len();
    assert_eq!(before, 2, "one list for each input");

    // While the gate sleeps the object goes; then the API server starts anew and etcd drops the history.
    gate.process.signal("STOP").unwrap();
    server.kubectl(ADMIN, &["delete", "wfe", "busy", "-n", &world.namespace], None).await.expect_success();
    server.compact().await.unwrap();
    server.apiserver().restart().unwrap();
    server.wait_ready().await.unwrap();
    gate.process.signal("CONT").unwrap();
    eventually("the deletion is noticed", PATIENT, reason("none")).await;
    eventually("by a new list", ACTION, || async {
        let lists = reads(&server, "list");
        let anew = lists.iter().skip(before).any(|event| event.resource == "workflowexecutions");
        if anew { Ok(()) } else { Err(format!("{} lists", lists.len())) }
    })
    .await;
}

#[tokio::test]
async fn a_shorter_staleness_is_followed_without_a_restart() {
    let Some(server) = bare().await else { return };
    stage::allow_reading(&server).await;
    let gate = stage::start_gate(&server, "staleness: {max: 5m}").await;
    gate.ready().await;
    let watches = |seconds: &'static str, inputs: usize| {
        let server = &server;
        move || {
            let events = server.audit_events().unwrap();
            let asked: std::collections::BTreeSet<_> = events
                .iter()
                .filter(|event| event.user == GATE && event.uri.contains(&format!("timeoutSeconds={seconds}&")))
                .map(|event| event.resource.clone())
                .collect();
            let outcome = if asked.len() == inputs { Ok(()) } else { Err(format!("{asked:?}")) };
            async move { outcome }
        }
    };
    // A quiet cluster: with the watches of before, this staleness would be over before any of them said a word.
    std::fs::write(&gate.config, "staleness: {max: 3s}").unwrap();
    eventually("both inputs are watched at the new pace", ACTION, watches("1", 2)).await;
    gate.ready().await;

    std::fs::write(&gate.config, "staleness: {max: soon}").unwrap();
    eventually("the broken configuration is not taken", ACTION, || async {
        let log = gate.process.log_text();
        if log.contains("the last good one stands") { Ok(()) } else { Err(log) }
    })
    .await;
    gate.ready().await;
}
