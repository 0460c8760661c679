//! Stands between lockkeeper and the API server: counts what is asked, withholds an answer so that the process can be killed
//! there, and cuts the connection.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use futures::StreamExt;
use http_body_util::BodyExt;
use kube::Client;
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::stage::GATE;
use crate::support::ApiServer;

/// Where an answer is withheld: of so many calls of one kind the one of this number. Two loops go side by side, so that the
/// number of a call among all says little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub side: Side,
    /// As [`kind`] has it.
    pub kind: String,
    pub number: usize,
}

/// Before the API server is asked, or after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Before,
    After,
}

/// What a call does, whichever object it is about: `PATCH workflowexecutions/status`.
pub fn kind(method: &str, path: &str) -> String {
    let path = path.split('/').skip_while(|part| *part != "namespaces").skip(2);
    let path: Vec<_> = path.enumerate().filter(|(at, _)| *at != 1).map(|(_, part)| part).collect();
    format!("{method} {}", path.join("/"))
}

/// Of one of the executor's own calls: its method, its path, and how it was answered.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub body: String,
    /// 0: it was not answered.
    pub code: u16,
}

pub struct Proxy {
    pub kubeconfig: PathBuf,
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    calls: Mutex<Vec<Call>>,
    fault: Mutex<Option<Fault>>,
    /// By kind.
    asked: Mutex<HashMap<String, usize>>,
    tripped: AtomicBool,
    tripped_by: Mutex<Option<String>>,
    cut: watch::Sender<bool>,
    held_up: watch::Sender<bool>,
    waiting: AtomicUsize,
}

impl Proxy {
    /// Passes on what it is asked as the gate's user.
    pub async fn start(server: &ApiServer) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let kubeconfig = server.folder().join(format!("proxy-{}.kubeconfig", address.port()));
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        std::fs::write(&kubeconfig, text.to_string()).unwrap();
        let inner = Arc::new(Inner {
            client: server.client(GATE).await,
            calls: Mutex::default(),
            fault: Mutex::default(),
            asked: Mutex::default(),
            tripped: AtomicBool::new(false),
            tripped_by: Mutex::default(),
            cut: watch::Sender::new(false),
            held_up: watch::Sender::new(false),
            waiting: AtomicUsize::new(0),
        });
        let app = Router::new().fallback(pass).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(socket, app).await });
        Self { kubeconfig, inner }
    }

    /// From the next call on, which is number 0 of its kind.
    pub fn arm(&self, fault: Option<Fault>) {
        self.inner.asked.lock().clear();
        *self.inner.fault.lock() = fault;
        self.inner.tripped.store(false, Ordering::SeqCst);
    }

    /// An answer is being withheld.
    pub fn tripped(&self) -> bool {
        self.inner.tripped.load(Ordering::SeqCst)
    }

    /// The kind of the call whose answer was withheld last, since this was asked last.
    pub fn tripped_by(&self) -> Option<String> {
        self.inner.tripped_by.lock().take()
    }

    /// What was asked since this was asked last.
    pub fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.inner.calls.lock())
    }

    /// New runs are on their way and do not arrive; or they do.
    pub fn hold_up_runs(&self, held_up: bool) {
        self.inner.held_up.send_replace(held_up);
    }

    /// So many runs are on their way.
    pub fn held_up(&self) -> usize {
        self.inner.waiting.load(Ordering::SeqCst)
    }

    /// Nothing passes any more, in either direction; or again.
    pub fn cut(&self, cut: bool) {
        self.inner.cut.send_replace(cut);
    }
}

/// Not what is listed and watched, not the lease: one object, or a new one.
fn is_step(request: &Request) -> bool {
    let path = request.uri().path();
    let kinds = ["workflowexecutions", "remediationrequests", "pipelineruns", "jobs", "events"];
    let last = path.rsplit('/').next().unwrap_or_default();
    path.contains("/namespaces/")
        && kinds.iter().any(|kind| path.contains(&format!("/{kind}")))
        && (request.method() != "GET" || !kinds.contains(&last))
}

fn makes_a_run(request: &Request) -> bool {
    let path = request.uri().path();
    request.method() == "POST" && (path.ends_with("/pipelineruns") || path.ends_with("/jobs"))
}

async fn pass(State(proxy): State<Arc<Inner>>, request: Request) -> Response {
    let mut cut = proxy.cut.subscribe();
    if *cut.borrow_and_update() {
        return std::future::pending().await;
    }
    if makes_a_run(&request) {
        let mut held_up = proxy.held_up.subscribe();
        proxy.waiting.fetch_add(1, Ordering::SeqCst);
        let _ = held_up.wait_for(|held_up| !held_up).await;
        proxy.waiting.fetch_sub(1, Ordering::SeqCst);
    }
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let kind = kind(&method, &path);
    let number = is_step(&request).then(|| {
        let mut asked = proxy.asked.lock();
        let asked = asked.entry(kind.clone()).or_default();
        *asked += 1;
        *asked - 1
    });
    let fault = proxy.fault.lock().clone();
    let withheld = |side: Side| {
        let met = |fault: &Fault| fault.side == side && fault.kind == kind && number == Some(fault.number);
        let met = fault.as_ref().is_some_and(met);
        if met {
            *proxy.tripped_by.lock() = Some(kind.clone());
            proxy.tripped.store(true, Ordering::SeqCst);
        }
        met
    };
    if withheld(Side::Before) {
        return std::future::pending().await;
    }
    let (mut parts, body) = request.into_parts();
    for header in ["host", "connection", "accept-encoding"] {
        parts.headers.remove(header);
    }
    let body = body.collect().await.unwrap().to_bytes();
    let asked = axum::http::Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    // What was sent arrives, and is counted, also where the asker is gone by then.
    let (inner, body) = (proxy.clone(), String::from_utf8_lossy(&body).into_owned());
    let call = Call { method: method.clone(), path: path.clone(), body, code: 0 };
    let passed = tokio::spawn(async move {
        let answer = inner.client.send(asked).await.unwrap();
        if number.is_some() {
            inner.calls.lock().push(Call { code: answer.status().as_u16(), ..call });
        }
        answer
    });
    let answer = passed.await.unwrap();
    if withheld(Side::After) {
        return std::future::pending().await;
    }
    if *cut.borrow() {
        return std::future::pending().await;
    }
    let (mut parts, body) = answer.into_parts();
    for header in ["transfer-encoding", "connection", "content-length"] {
        parts.headers.remove(header);
    }
    // A stream that is cut says nothing more and has no end, as where packets are lost.
    let stopped = proxy.cut.subscribe();
    let silent = async move { while !*cut.borrow() && cut.changed().await.is_ok() {} };
    let end = futures::stream::once(async move {
        if *stopped.borrow() {
            std::future::pending::<()>().await;
        }
    });
    let stream = body.into_data_stream().take_until(Box::pin(silent)).map(Some).chain(end.map(|()| None));
    let stream = stream.filter_map(std::future::ready);
    Response::from_parts(parts, Body::from_stream(stream))
}
