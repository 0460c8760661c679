//! A pass over what is stored, against a scripted API: busy, away, refusing, expired, late.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Response};
use kube::Client;
use kube::client::Body;
use lockkeeper::convert::Version;
use lockkeeper::migrate::{Definition, Moved, Pass, Server, Trouble};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Code, Retry-After, body.
type Answer = (u16, Option<u32>, String);

#[derive(Default)]
struct Script {
    /// Method, name of the object or query of the list, when.
    asked: Mutex<Vec<(String, String, Instant)>>,
}

impl Script {
    fn times(&self, what: &str) -> Vec<Instant> {
        self.asked.lock().iter().filter(|(_, asked, _)| asked == what).map(|(.., at)| *at).collect()
    }
}

#[tokio::test]
async fn a_check_names_what_would_not_come_home_and_counts_what_parks() {
    let object = |version: &str, name: &str, spec: Value| {
        json!({"apiVersion": format!("kubernaut.ai/{version}"), "kind": "WorkflowExecution", "metadata": {"name": name, "namespace": "ns"},
            "spec": spec})
    };
    let items = json!([
        object("v1alpha1", "plain", json!({"targetResource": "ns/Pod/x"})),
        object("v1alpha1", "parks", json!({"targetResource": "no target at all"})),
        object("v9", "other", json!({})),
    ]);
    let page = json!({"metadata": {}, "items": items}).to_string();
    let service = tower::service_fn(move |_: Request<Body>| {
        let page = page.clone();
        async move { Ok::<_, std::convert::Infallible>(Response::new(Body::from(page.into_bytes()))) }
    });
    let server = Server::new(Client::new(service, "default"), CancellationToken::new());
    let pass = Pass { server: &server, plural: "workflowexecutions", version: Version::V1alpha1 };
    let checked = pass.check(&mut |_| ()).await.unwrap();
    assert_eq!((checked.objects, checked.parking), (3, 1));
    let strays: Vec<_> = checked.strays.iter().map(|stray| format!("{}: {}", stray.object, stray.why)).collect();
    assert_eq!(
        strays,
        [
            "WorkflowExecution ns/other: apiVersion \"kubernaut.ai/v9\" is none of kubernaut.ai/v1alpha1, kubernaut.ai/v1beta1"
        ]
    );
}

/// The outcome of a pass over workflowexecutions in v1beta1; `answer` is given the method, what is asked, and how often it was.
async fn pass(
    since: Option<u64>,
    answer: impl Fn(&str, &str, usize) -> Answer + Send + Sync + 'static,
) -> (Result<(), Trouble>, Moved, Arc<Script>) {
    let stop = CancellationToken::new();
    stopped_pass(since, &stop, answer).await
}

async fn stopped_pass(
    since: Option<u64>,
    stop: &CancellationToken,
    answer: impl Fn(&str, &str, usize) -> Answer + Send + Sync + 'static,
) -> (Result<(), Trouble>, Moved, Arc<Script>) {
    let (client, script) = scripted(answer);
    let server = Server::new(client, stop.clone());
    let mut moved = Moved::default();
    let pass = Pass { server: &server, plural: "workflowexecutions", version: Version::V1beta1 };
    let ended = pass.rewrite(since, &mut moved, &mut |_| ()).await;
    (ended, moved, script)
}

fn scripted(answer: impl Fn(&str, &str, usize) -> Answer + Send + Sync + 'static) -> (Client, Arc<Script>) {
    let script = Arc::new(Script::default());
    let (told, answer) = (script.clone(), Arc::new(answer));
    let service = tower::service_fn(move |request: Request<Body>| {
        let method = request.method().to_string();
        let path = request.uri().path();
        let query = request.uri().query().unwrap_or_default();
        let parts: Vec<_> = path.split('/').collect();
        let what = match query.contains("dryRun=All") {
            _ if method == "GET" => query.to_owned(),
            true => format!("trial of {} in {}", parts.last().unwrap(), parts[3]),
            false => (*parts.last().unwrap()).to_owned(),
        };
        let before = told.times(&what).len();
        told.asked.lock().push((method.clone(), what.clone(), Instant::now()));
        let (code, retry_after, body) = answer(&method, &what, before);
        async move {
            let mut response = Response::builder().status(code);
            if let Some(seconds) = retry_after {
                response = response.header("Retry-After", seconds);
            }
            Ok::<_, std::convert::Infallible>(response.body(Body::from(body.into_bytes())).unwrap())
        }
    });
    (Client::new(service, "default"), script)
}

fn list(names: &[&str], token: &str) -> Answer {
    let items = names.iter().map(|name| json!({"metadata": {"name": name, "namespace": "ns", "resourceVersion": "5"}}));
    (200, None, json!({"metadata": {"continue": token}, "items": items.collect::<Value>()}).to_string())
}

fn stored(version: &str) -> Answer {
    (200, None, json!({"metadata": {"name": "x", "resourceVersion": version}}).to_string())
}

fn status(code: u16, message: &str) -> Answer {
    (code, None, json!({"kind": "Status", "status": "Failure", "message": message, "code": code}).to_string())
}

fn counts(moved: &Moved) -> [usize; 4] {
    [moved.moved, moved.there, moved.gone, moved.left]
}

const WHOLE: &str = "limit=500";

#[tokio::test(start_paused = true)]
async fn each_object_has_its_outcome() {
    let (ended, moved, _) = pass(None, |method, what, _| match (method, what) {
        ("GET", _) => list(&["moves", "there", "gone", "held"], ""),
        (_, "moves") => stored("9"),
        (_, "there") => stored("5"),
        (_, "gone") => status(404, "not found"),
        _ => status(403, "admission webhook \"theirs\" denied the request: no"),
    })
    .await;
    ended.unwrap();
    assert_eq!(counts(&moved), [1, 1, 1, 1]);
    assert_eq!(moved.named[0].object, "workflowexecutions ns/held");
    assert!(moved.named[0].why.contains("admission webhook \"theirs\" denied"), "{:?}", moved.named);
}

/// Go writes an empty list of metadata as null. What has no items at all is no list: read as an empty one, it would have
/// storedVersions trimmed.
#[tokio::test(start_paused = true)]
async fn an_empty_list_is_null_and_no_list_is_an_error() {
    for items in ["null", "[]"] {
        let (ended, moved, _) =
            pass(None, move |_, _, _| (200, None, format!(r#"{{"metadata": {{}}, "items": {items}}}"#))).await;
        ended.unwrap();
        assert_eq!(moved.seen(), 0);
    }
    let (ended, ..) = pass(None, |_, _, _| (200, None, r#"{"metadata": {}}"#.into())).await;
    assert!(ended.unwrap_err().to_string().contains("missing field `items`"));
}

#[tokio::test(start_paused = true)]
async fn who_is_busy_is_asked_again_no_sooner_than_it_says() {
    let (ended, moved, script) = pass(None, |method, what, before| match (method, what, before) {
        ("GET", _, 0) => (429, None, "Too many requests, please try again later.".into()),
        ("GET", ..) => list(&["busy", "conflict"], ""),
        (_, "busy", 0) => (429, Some(20), "Too many requests".into()),
        (_, "busy", 1) => status(500, "failed calling webhook"),
        (_, "conflict", 0) => status(409, "the object has been modified"),
        _ => stored("9"),
    })
    .await;
    ended.unwrap();
    assert_eq!(counts(&moved), [2, 0, 0, 0]);
    let busy = script.times("busy");
    assert!(busy[1] - busy[0] >= Duration::from_secs(20), "{busy:?}");
    assert!(busy[2] - busy[1] < Duration::from_secs(5), "{busy:?}");
}

#[tokio::test(start_paused = true)]
async fn who_stays_away_ends_the_pass_with_what_it_said() {
    let began = Instant::now();
    let (ended, moved, _) = pass(None, |method, what, _| match (method, what) {
        ("GET", _) => list(&["a", "b"], ""),
        (_, "a") => stored("9"),
        _ => status(503, "the server is shutting down"),
    })
    .await;
    let said = ended.unwrap_err().to_string();
    assert_eq!(said, "no usable answer from the API server after 8 tries: the server is shutting down (503)");
    assert_eq!(counts(&moved), [1, 0, 0, 0]);
    assert!(began.elapsed() < Duration::from_secs(60));
}

/// What the command says on standard error of an API server that never answers.
async fn silence(tries: impl Fn(&Server) -> Server) -> (Trouble, Vec<String>) {
    let (client, _) = scripted(|_, _, _| (503, None, "connection refused".into()));
    let said = Arc::new(Mutex::new(Vec::new()));
    let hear = said.clone();
    let server = Server::new(client, CancellationToken::new()).telling(move |line| hear.lock().push(line.to_owned()));
    let trouble = tries(&server).definition("workflowexecutions.kubernaut.ai").await.unwrap_err();
    let said = said.lock().clone();
    (trouble, said)
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_told_why() {
    let (trouble, said) = silence(Server::clone).await;
    assert_eq!(trouble.to_string(), "no usable answer from the API server after 8 tries: connection refused (503)");
    let line = "no usable answer from the API server yet, waiting: connection refused (503)";
    assert!((2..=3).contains(&said.len()) && said.iter().all(|said| said == line), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_begun_it_gives_up_soon() {
    let began = Instant::now();
    let (trouble, said) = silence(Server::hasty).await;
    assert_eq!(trouble.to_string(), "no usable answer from the API server after 5 tries: connection refused (503)");
    assert_eq!(said.len(), 1);
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// A webhook whose packets are lost lets the API server wait half a minute before each answer.
#[tokio::test(start_paused = true)]
async fn slow_failures_are_told_at_once_and_not_waited_for_again_and_again() {
    let service = tower::service_fn(|_: Request<Body>| async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        let (code, _, body) = status(500, "conversion webhook failed: deadline exceeded");
        Ok::<_, std::convert::Infallible>(Response::builder().status(code).body(Body::from(body.into_bytes())).unwrap())
    });
    let (began, said) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
    let hear = said.clone();
    let server = Server::new(Client::new(service, "default"), CancellationToken::new())
        .telling(move |_| hear.lock().push(began.elapsed().as_secs()));
    let trouble = server.hasty().definition("x").await.unwrap_err().to_string();
    assert!(
        trouble.starts_with("no usable answer from the API server after 1 try: conversion webhook failed"),
        "{trouble}"
    );
    assert_eq!((began.elapsed().as_secs(), said.lock().as_slice()), (30, &[10][..]));
}

async fn tried(
    answer: impl Fn(&str, &str, usize) -> Answer + Send + Sync + 'static,
) -> (Result<Option<String>, Trouble>, Arc<Script>) {
    let (client, script) = scripted(answer);
    let server = Server::new(client, CancellationToken::new()).hasty();
    let pass = Pass { server: &server, plural: "workflowexecutions", version: Version::V1beta1 };
    (pass.try_one(&[Version::V1beta1, Version::V1alpha1]).await, script)
}

const FIRST: &str = "limit=1";

/// Read and written in both versions, without being stored, an object is converted whatever it is stored in.
#[tokio::test(start_paused = true)]
async fn one_object_is_tried_in_both_versions() {
    let (tried_with, script) = tried(|_, what, _| if what == FIRST { list(&["a"], "more") } else { stored("5") }).await;
    assert_eq!(tried_with.unwrap().as_deref(), Some("workflowexecutions ns/a"));
    let asked: Vec<_> = script.asked.lock().iter().map(|(_, what, _)| what.clone()).collect();
    assert_eq!(asked, [FIRST, "trial of a in v1beta1", "trial of a in v1alpha1"]);

    let (none, script) = tried(|_, _, _| list(&[], "")).await;
    assert_eq!((none.unwrap(), script.asked.lock().len()), (None, 1));
}

#[tokio::test(start_paused = true)]
async fn a_trial_says_who_does_not_convert() {
    let nobody = "conversion webhook for kubernaut.ai/v1alpha1, Kind=WorkflowExecution failed: Post \"https://x/convert\": refused";
    let expected = format!(
        "workflowexecutions.kubernaut.ai: a trial conversion failed and nothing was written: {nobody} (500); \
         start lockkeeper, or see its log and the address in the CRD's spec.conversion"
    );
    for fails in [FIRST, "trial of a in v1beta1", "trial of a in v1alpha1"] {
        let (failed, _) = tried(move |_, what, _| match what {
            _ if what == fails => status(500, nobody),
            FIRST => list(&["a"], ""),
            _ => stored("5"),
        })
        .await;
        assert_eq!(failed.unwrap_err().to_string(), expected, "{fails}");
    }
}

/// Who refuses an object has read it; one that is gone says nothing, and another is tried.
#[tokio::test(start_paused = true)]
async fn a_trial_is_about_the_conversion_alone() {
    let (held, _) = tried(|_, what, _| match what {
        FIRST => list(&["held"], ""),
        _ => status(403, "admission webhook \"theirs\" denied the request: no"),
    })
    .await;
    assert_eq!(held.unwrap().as_deref(), Some("workflowexecutions ns/held"));

    let (other, _) = tried(|_, what, before| match what {
        FIRST => list(&[if before == 0 { "gone" } else { "there" }], ""),
        "trial of gone in v1alpha1" => status(404, "not found"),
        _ => stored("5"),
    })
    .await;
    assert_eq!(other.unwrap().as_deref(), Some("workflowexecutions ns/there"));

    let (never, _) = tried(|_, what, _| if what == FIRST { list(&["a"], "") } else { status(404, "not found") }).await;
    assert_eq!(never.unwrap_err().to_string(), "the API server refused (404): not found");
    let (forbidden, _) = tried(|_, what, _| match what {
        FIRST => list(&["a"], ""),
        _ => status(403, "workflowexecutions.kubernaut.ai is forbidden: User \"x\" cannot patch"),
    })
    .await;
    assert!(forbidden.unwrap_err().to_string().starts_with("you may not patch workflowexecutions.kubernaut.ai: "));
    let (away, _) = tried(|_, _, _| status(503, "the server is shutting down")).await;
    assert!(away.unwrap_err().to_string().starts_with("no usable answer from the API server after 5 tries: "));
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_is_named() {
    let refused =
        |verb: &str| status(403, &format!("workflowexecutions.kubernaut.ai is forbidden: User \"x\" cannot {verb}"));
    let (ended, ..) = pass(None, move |_, _, _| refused("list")).await;
    assert!(ended.unwrap_err().to_string().starts_with("you may not list workflowexecutions.kubernaut.ai: "));
    let (ended, moved, _) =
        pass(None, move |method, _, _| if method == "GET" { list(&["a"], "") } else { refused("patch") }).await;
    assert!(ended.unwrap_err().to_string().starts_with("you may not patch workflowexecutions.kubernaut.ai: "));
    assert_eq!(moved.seen(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_expired_goes_on_with_the_token_that_comes_with_it() {
    let (ended, moved, script) = pass(None, |method, what, _| match (method, what) {
        ("GET", WHOLE) => list(&["a"], "first+="),
        ("GET", "limit=500&continue=first%2B%3D") => (
            410,
            None,
            json!({"kind": "Status", "code": 410, "message": "expired", "metadata": {"continue": "second"}})
                .to_string(),
        ),
        ("GET", "limit=500&continue=second") => list(&["b"], ""),
        _ => stored("9"),
    })
    .await;
    ended.unwrap();
    assert_eq!((counts(&moved), script.times(WHOLE).len()), ([2, 0, 0, 0], 1));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_expired_without_a_token_begins_anew() {
    let (ended, moved, script) = pass(None, |method, what, before| match (method, what, before) {
        ("GET", WHOLE, _) => list(&["a"], "first"),
        ("GET", _, 0) => status(410, "expired"),
        ("GET", ..) => list(&["b"], ""),
        (_, "a", 1) => stored("5"),
        _ => stored("9"),
    })
    .await;
    ended.unwrap();
    assert_eq!((counts(&moved), script.times(WHOLE).len()), ([2, 1, 0, 0], 2));
}

/// Trimmed after a pass that nobody heard, v1beta1 would be what nothing is stored in.
#[tokio::test(start_paused = true)]
async fn an_object_that_does_not_change_tells_that_the_crd_was_not_heard_of() {
    let script = |late: usize| {
        move |method: &str, _: &str, before: usize| match method {
            "GET" => list(&["old"], ""),
            _ if before < late => stored("5"),
            _ => stored("9"),
        }
    };
    let (ended, moved, _) = pass(Some(7), script(3)).await;
    ended.unwrap();
    assert_eq!(counts(&moved), [1, 0, 0, 0]);
    let (ended, moved, _) = pass(Some(7), script(1000)).await;
    assert!(matches!(ended, Err(Trouble::Unnoticed(_))), "{ended:?}");
    assert_eq!(moved.seen(), 0);
    // Written after the change, it is there already.
    let (ended, moved, _) = pass(Some(5), script(1000)).await;
    ended.unwrap();
    assert_eq!(counts(&moved), [0, 1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_wish_to_stop_is_heard_while_it_waits_and_between_objects() {
    let names: Vec<String> = (0..100).map(|number| format!("we-{number}")).collect();
    let stop = CancellationToken::new();
    let wish = stop.clone();
    let (ended, moved, _) = stopped_pass(None, &stop, move |method, what, _| {
        if method == "GET" {
            return list(&names.iter().map(String::as_str).collect::<Vec<_>>(), "more");
        }
        if what == "we-20" {
            wish.cancel();
        }
        stored("9")
    })
    .await;
    assert!(matches!(ended, Err(Trouble::Interrupted)), "{ended:?}");
    assert!((20..=40).contains(&moved.seen()), "{moved:?}");
}

/// Whoever changes the CRD in the middle of a pass may have had objects stored in another version: nothing is trimmed then.
#[tokio::test(start_paused = true)]
async fn a_crd_that_changed_under_the_pass_is_not_trimmed() {
    let crd = |storage: &str, generation: i64| {
        let versions =
            ["v1alpha1", "v1beta1"].map(|name| json!({"name": name, "served": true, "storage": name == storage}));
        json!({"metadata": {"name": "workflowexecutions.kubernaut.ai", "resourceVersion": "9", "generation": generation},
            "spec": {"versions": versions}, "status": {"storedVersions": ["v1alpha1", "v1beta1"]}})
    };
    for (storage, generation, trimmed) in [("v1beta1", 4, true), ("v1alpha1", 5, false), ("v1beta1", 6, false)] {
        let now = crd(storage, generation).to_string();
        let (client, script) = scripted(move |_, _, _| (200, None, now.clone()));
        let server = Server::new(client, CancellationToken::new());
        let written: Definition = serde_json::from_value(crd("v1beta1", 4)).unwrap();
        let ended = server.trim(&written, Version::V1beta1).await;
        let patches = script.asked.lock().iter().filter(|(method, ..)| method == "PATCH").count();
        assert_eq!((ended.is_ok(), patches), (trimmed, usize::from(trimmed)), "{storage} {generation}: {ended:?}");
        assert!(trimmed || matches!(ended, Err(Trouble::Changed(_))), "{ended:?}");
    }
}
