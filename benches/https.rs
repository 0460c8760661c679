//! Reviews per second over HTTPS, beside a bare axum and rustls echo of the same bytes in the same run.
//!
//! Both servers and all clients share this process and its processors, so the ratio is the figure, not the rate.
//! `cargo bench --bench https`; under `cargo test` one short round only shows that it works.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::post;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lockkeeper::api::facts::RemediationRequest;
use lockkeeper::cluster::{Index, Seen, Tracked};
use lockkeeper::config::Settings;
use lockkeeper::tls::{self, Listener, Pair, TlsVersion};
use lockkeeper::webhook::{Gate, router};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

const CONNECTIONS: usize = 8;
const ROUNDS: usize = 7;

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let (rounds, round) = if measured { (ROUNDS, Duration::from_secs(3)) } else { (1, Duration::from_millis(50)) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(compare(rounds, round));
}

async fn compare(rounds: usize, round: Duration) {
    let folder = tempfile::tempdir().unwrap();
    let issued = tls::issue(folder.path(), &["localhost".to_owned()]).unwrap();
    let pair = Pair::load(&issued.certificate, &issued.key).unwrap();
    let config = pair.server_config(TlsVersion::Tls13).unwrap();
    let gate = start_gate(config.clone()).await;
    let echo = start_echo(config).await;
    let connector = connector(&issued.ca);
    let body = review();
    let mut ratios = Vec::new();
    for number in 0..=rounds {
        let echoed = load(echo, &connector, &body, round).await;
        let judged = load(gate, &connector, &body, round).await;
        // The first round warms both.
        if number > 0 || rounds == 1 {
            println!("round {number}: echo {echoed:.0}/s, gate {judged:.0}/s, ratio {:.2}", judged / echoed);
            ratios.push(judged / echoed);
        }
    }
    ratios.sort_by(f64::total_cmp);
    println!("{} bytes a review, {CONNECTIONS} connections: median ratio {:.2}", body.len(), ratios[ratios.len() / 2]);
}

async fn start_gate(tls: Arc<rustls::ServerConfig>) -> SocketAddr {
    let index = Arc::new(Index::default());
    let facts = RemediationRequest::read(PARENT);
    index.put(Seen { key: facts.as_ref().unwrap().key.clone(), facts });
    index.listed::<RemediationRequest>(&[RemediationRequest::read(PARENT).unwrap().key].into());
    index.listed::<lockkeeper::api::facts::WorkflowExecution>(&[].into());
    let settings = Settings::default();
    let gate = Gate {
        index,
        policy: Arc::new(arc_swap::ArcSwap::from_pointee(settings.policy())),
        rules: Arc::default(),
        telemetry: Arc::default(),
    };
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let listener = Listener { socket, tls, connections: 64 };
    tokio::spawn(tls::serve(listener, router(&Arc::new(gate), &settings.limits), CancellationToken::new()));
    address
}

/// As little as a server can be: TLS, axum, the same bytes back.
async fn start_echo(tls: Arc<rustls::ServerConfig>) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let app = Router::new().route("/validate/workflowexecutions", post(|body: Bytes| async { body }));
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(tls);
        loop {
            let (stream, _) = socket.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (acceptor, app) = (acceptor.clone(), app.clone());
            tokio::spawn(async move {
                let stream = TokioIo::new(acceptor.accept(stream).await.unwrap());
                let service = hyper_util::service::TowerToHyperService::new(app);
                let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                    .http1_only()
                    .serve_connection(stream, service)
                    .await;
            });
        }
    });
    address
}

fn connector(ca: &std::path::Path) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// Answers a second, all connections together.
async fn load(server: SocketAddr, connector: &TlsConnector, body: &Bytes, round: Duration) -> f64 {
    let started = Instant::now();
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (connector, body) = (connector.clone(), body.clone());
            tokio::spawn(async move {
                let mut sender = connect(server, &connector).await;
                let mut answers = 0_u32;
                while started.elapsed() < round {
                    answer(&mut sender, body.clone()).await;
                    answers += 1;
                }
                answers
            })
        })
        .collect();
    let mut answers = 0;
    for worker in workers {
        answers += worker.await.unwrap();
    }
    f64::from(answers) / started.elapsed().as_secs_f64()
}

async fn connect(server: SocketAddr, connector: &TlsConnector) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(server).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn answer(sender: &mut SendRequest<Full<Bytes>>, body: Bytes) {
    sender.ready().await.unwrap();
    let request = hyper::Request::post("/validate/workflowexecutions?timeout=5s")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(body))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let _: Bytes = Body::new(response.into_body()).collect().await.unwrap().to_bytes();
}

const PARENT: &str = r#"{"metadata":{"name":"rr-1","namespace":"payments","uid":"u-1","creationTimestamp":"2026-01-05T10:00:00Z"},
"spec":{"signalFingerprint":"aa","targetResource":{"namespace":"payments","kind":"Deployment","name":"api"}},
"status":{"overallPhase":"Analyzing","nextAllowedExecution":"2126-01-05T10:00:00Z"}}"#;

/// A dry run of a refused create, of the size that RO sends: refusals are the costlier answers, and a dry run leaves
/// the log alone.
fn review() -> Bytes {
    let rationale = "x".repeat(2000);
    Bytes::from(format!(
        r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{"uid":"0a1b","kind":{{"group":"kubernaut.ai","version":"v1alpha1","kind":"WorkflowExecution"}},
"resource":{{"group":"kubernaut.ai","version":"v1alpha1","resource":"workflowexecutions"}},"name":"we-rr-1","namespace":"payments","operation":"CREATE","dryRun":true,
"userInfo":{{"username":"system:serviceaccount:kubernaut-system:remediationorchestrator-controller","groups":["system:authenticated"]}},
"object":{{"apiVersion":"kubernaut.ai/v1alpha1","kind":"WorkflowExecution","metadata":{{"name":"we-rr-1","namespace":"payments"}},
"spec":{{"remediationRequestRef":{{"name":"rr-1"}},"targetResource":"payments/Deployment/api","parameters":{{"REPLICAS":"3"}},"rationale":"{rationale}",
"workflowRef":{{"workflowId":"restart","version":"1.0.0","executionBundle":"registry/restart@sha256:11"}}}}}},"oldObject":null,"options":null}}}}"#
    ))
}
