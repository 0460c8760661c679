//! How the cluster is followed, against a scripted API: what the real API server does once a year, brought about at once.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Response};
use futures::future::BoxFuture;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use lockkeeper::api::facts::{ObjectKey, WorkflowExecution};
use lockkeeper::cluster::{Index, Pace, follow};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

/// What the API was asked, and when.
type Asked = Arc<Mutex<Vec<(Instant, String)>>>;

/// Past so many requests the API is silent, so that a loop without a pause ends in a count and not in a hang.
const ENOUGH: usize = 500;

/// Follows WorkflowExecutions for so long (of a clock that only waiting moves), with the default pace.
async fn followed(
    span: Duration,
    answer: impl Fn(usize, &str) -> BoxFuture<'static, String> + Send + Sync + 'static,
) -> (Arc<Index>, Vec<(Duration, String)>) {
    let (asked, index) = (Asked::default(), Arc::new(Index::default()));
    let (_set, staleness) = tokio::sync::watch::channel(Duration::from_secs(30));
    let began = Instant::now();
    let client = scripted(&asked, answer);
    let _ = timeout(span, follow::<WorkflowExecution>(client, index.clone(), Pace::within(staleness))).await;
    let asked = asked.lock().iter().map(|(at, what)| (at.duration_since(began), what.clone())).collect();
    (index, asked)
}

fn scripted(
    asked: &Asked,
    answer: impl Fn(usize, &str) -> BoxFuture<'static, String> + Send + Sync + 'static,
) -> Client {
    let (asked, answer) = (asked.clone(), Arc::new(answer));
    let service = tower::service_fn(move |request: Request<Body>| {
        // What is served is a question of its own; here it is v1alpha1 alone.
        let is_look = request.uri().path().ends_with("/kubernaut.ai/v1beta1");
        let what = request.uri().query().unwrap_or_default().to_owned();
        let number = if is_look {
            0
        } else {
            let mut asked = asked.lock();
            asked.push((Instant::now(), what.clone()));
            asked.len()
        };
        let answer = answer.clone();
        async move {
            if is_look {
                return Ok(Response::builder().status(404).body(Body::empty()).unwrap());
            }
            if number > ENOUGH {
                std::future::pending::<()>().await;
            }
            let body = answer(number, &what).await;
            Ok::<Response<Body>, std::convert::Infallible>(Response::new(Body::from(body.into_bytes())))
        }
    });
    Client::new(service, "default")
}

fn now(text: &str) -> BoxFuture<'static, String> {
    let text = text.to_owned();
    Box::pin(async move { text })
}

fn never() -> BoxFuture<'static, String> {
    Box::pin(std::future::pending())
}

fn is_watch(query: &str) -> bool {
    query.contains("watch=")
}

fn count(asked: &[(Duration, String)], kind: fn(&str) -> bool) -> usize {
    asked.iter().filter(|(_, query)| kind(query)).count()
}

const NONE: &str = r#"{"metadata":{"resourceVersion":"10"},"items":[]}"#;
const ONE: &str = r#"{"metadata":{"resourceVersion":"10"},"items":[{"metadata":{"namespace":"ns","name":"we","resourceVersion":"9","uid":"u"},
    "spec":{"remediationRequestRef":{"name":"rr"},"targetResource":"ns/Pod/x","workflowRef":{"workflowId":"w"}}}]}"#;
const ERROR: &str = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","message":"etcd event received with PrevKv=nil","code":500}}
"#;
const EXPIRED: &str = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too old resource version","reason":"Expired","code":410}}
"#;

#[tokio::test(start_paused = true)]
async fn watches_that_end_at_once_are_not_reopened_at_once() {
    let (_, asked) = followed(Duration::from_secs(20), |_, query| now(if is_watch(query) { "" } else { NONE })).await;
    let watches = count(&asked, is_watch);
    assert!((3..=12).contains(&watches), "{watches} watches in 20 s");
    assert_eq!(count(&asked, |query| !is_watch(query)), 1, "what is known stays known");
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_stream_lists_anew() {
    // The watch cannot go on from there: taken up at the same version it would end the same way for ever, and look alive.
    let (index, asked) = followed(Duration::from_secs(20), |number, query| match (number, is_watch(query)) {
        (1, _) => now(ONE),
        (_, true) if number == 2 => now(ERROR),
        (_, true) => never(),
        (_, false) => now(NONE),
    })
    .await;
    assert_eq!(count(&asked, |query| !is_watch(query)), 2, "{asked:?}");
    let key = ObjectKey { namespace: "ns".into(), name: "we".into() };
    assert!(index.execution(&key).is_none(), "the new list does not hold it any more");
}

#[tokio::test(start_paused = true)]
async fn lists_that_lead_nowhere_come_ever_slower() {
    for broken in [ERROR, EXPIRED] {
        let answer = move |_, query: &str| now(if is_watch(query) { broken } else { NONE });
        let (_, asked) = followed(Duration::from_secs(20), answer).await;
        let lists = count(&asked, |query| !is_watch(query));
        assert!((3..=12).contains(&lists), "{lists} lists in 20 s: {broken}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_expired_version_is_listed_anew_at_once() {
    let answer = |number, query: &str| match (number, is_watch(query)) {
        (2, true) => now(EXPIRED),
        (_, true) => never(),
        (_, false) => now(NONE),
    };
    let (_, asked) = followed(Duration::from_secs(1), answer).await;
    assert_eq!(count(&asked, |query| !is_watch(query)), 2, "{asked:?}");
    assert!(asked[2].0 < Duration::from_millis(50), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn an_open_that_hangs_is_given_up_before_state_is_stale() {
    // A connection that is half dead: the request goes out and nothing ever comes back.
    let answer = |_, query: &str| if is_watch(query) { never() } else { now(NONE) };
    let (_, asked) = followed(Duration::from_secs(29), answer).await;
    assert!(count(&asked, is_watch) >= 2, "tried once within staleness.max: {asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shorter_staleness_ends_the_long_watch_that_is_open() {
    let (asked, index) = (Asked::default(), Arc::new(Index::default()));
    let (set, staleness) = tokio::sync::watch::channel(Duration::from_secs(300));
    let client = scripted(&asked, |_, query| if is_watch(query) { never() } else { now(NONE) });
    let following = follow::<WorkflowExecution>(client, index, Pace::within(staleness));
    let told = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        set.send(Duration::from_secs(6)).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    tokio::select! { () = following => {}, () = told => {} }
    let watches: Vec<String> =
        asked.lock().iter().map(|(_, query)| query.clone()).filter(|query| is_watch(query)).collect();
    assert_eq!(watches.len(), 2, "{watches:?}");
    assert!(watches[0].contains("timeoutSeconds=100"), "{watches:?}");
    assert!(watches[1].contains("timeoutSeconds=2"), "{watches:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_heard_last_is_where_the_next_watch_begins() {
    let events = concat!(
        r#"{"type":"MODIFIED","object":{"metadata":{"namespace":"ns","name":"we","resourceVersion":"17","uid":"u"},"spec":{}}}"#,
        "\n",
        r#"{"type":"BOOKMARK","object":{"kind":"WorkflowExecution","apiVersion":"kubernaut.ai/v1alpha1","metadata":{"resourceVersion":"25"}}}"#,
        "\n"
    );
    let answer = move |number, query: &str| match (number, is_watch(query)) {
        (2, true) => now(events),
        (_, true) => never(),
        (_, false) => now(NONE),
    };
    let (index, asked) = followed(Duration::from_secs(2), answer).await;
    assert!(asked[1].1.contains("resourceVersion=10") && asked[2].1.contains("resourceVersion=25"), "{asked:?}");
    let heard = index.health().into_iter().find(|health| health.objects == 1).unwrap();
    assert!(heard.listed && heard.last_event.is_some_and(|at| at <= Timestamp::now()));
}

/// The CRD changes under a stream: the next watch is of the version that is best by then. A look that fails changes nothing.
#[tokio::test(start_paused = true)]
async fn the_hub_is_followed_where_it_is_served() {
    let asked = Arc::new(Mutex::new(Vec::<String>::new()));
    let seen = asked.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let path = request.uri().path().to_owned();
        let mut asked = seen.lock();
        let looks = asked.iter().filter(|path| path.ends_with("/v1beta1")).count();
        asked.push(path.clone());
        let answer = match (path.ends_with("/v1beta1"), looks) {
            (true, 0) => Some((404, String::new())),
            (true, 2) => Some((503, String::new())),
            (true, _) => {
                let kind = r#"{"name":"workflowexecutions","singularName":"","namespaced":true,"kind":"WorkflowExecution","verbs":["list"]}"#;
                let list = format!(r#"{{"kind":"APIResourceList","groupVersion":"kubernaut.ai/v1beta1","resources":[{kind}]}}"#);
                Some((200, list))
            }
            // Four looks are enough.
            (false, 4) => None,
            (false, _) if is_watch(request.uri().query().unwrap_or_default()) => {
                Some((200, r#"{"type":"BOOKMARK","object":{"kind":"WorkflowExecution","apiVersion":"kubernaut.ai/v1alpha1","metadata":{"resourceVersion":"11","annotations":{}}}}"#.to_owned()))
            }
            (false, _) => Some((200, NONE.to_owned())),
        };
        async move {
            let Some((code, body)) = answer else { return std::future::pending().await };
            let response = Response::builder().status(code).body(Body::from(body.into_bytes())).unwrap();
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let (_set, staleness) = tokio::sync::watch::channel(Duration::from_secs(30));
    let client = Client::new(service, "default");
    let following = follow::<WorkflowExecution>(client, Arc::new(Index::default()), Pace::within(staleness));
    let _ = timeout(Duration::from_secs(5), following).await;
    let (look, before, after) = (
        "/apis/kubernaut.ai/v1beta1",
        "/apis/kubernaut.ai/v1alpha1/workflowexecutions",
        "/apis/kubernaut.ai/v1beta1/workflowexecutions",
    );
    // A list and a watch, then both of the other version, then that one's watch alone.
    assert_eq!(asked.lock()[..9], [look, before, before, look, after, after, look, after, look]);
}
