//! How Tekton's kinds are looked for and followed, against a scripted API.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{Request, Response};
use kube::Client;
use kube::client::Body;
use lockkeeper::api::facts::{ObjectKey, RemediationRequest, WorkflowExecution};
use lockkeeper::api::tekton::{Engine, Job, Owner, PipelineRun, Pod};
use lockkeeper::cluster::{Footing, Index, Input, Pace, Tracked, follow_where_served, list_where_served};
use parking_lot::Mutex;
use serde_json::json;

/// What the API serves now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Served {
    v1: bool,
    v1beta1: bool,
    /// Reading is refused.
    forbidden: bool,
    broken: bool,
}

const NOTHING: Served = Served { v1: false, v1beta1: false, forbidden: false, broken: false };
const V1: Served = Served { v1: true, ..NOTHING };

struct Api {
    served: Mutex<Served>,
    asked: Mutex<Vec<String>>,
}

impl Api {
    fn now(&self, served: Served) {
        *self.served.lock() = served;
    }

    fn asked(&self, part: &str) -> usize {
        self.asked.lock().iter().filter(|path| path.contains(part)).count()
    }

    /// Status and body; None: a watch that is silent.
    fn answer(&self, path: &str) -> Option<(u16, String)> {
        let served = *self.served.lock();
        let refusal = |code: u16| {
            let status =
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "m", "code": code});
            Some((code, status.to_string()))
        };
        let version = if path.contains("/v1beta1") { served.v1beta1 } else { served.v1 };
        if !version {
            return Some((404, "404 page not found".to_owned()));
        }
        if !path.contains("/namespaces/") {
            let resource =
                |name: &str| json!({"name": name, "singularName": "", "namespaced": true, "kind": "K", "verbs": []});
            let list = json!({"kind": "APIResourceList", "groupVersion": "tekton.dev/v1",
                "resources": [resource("pipelineruns"), resource("pipelineruns/status")]});
            return Some((200, list.to_string()));
        }
        match served {
            Served { forbidden: true, .. } => refusal(403),
            Served { broken: true, .. } => refusal(500),
            _ if path.contains("watch=") => None,
            _ => {
                let run = json!({"metadata": {"namespace": "work", "name": "run", "uid": "u"}});
                Some((200, json!({"metadata": {"resourceVersion": "9"}, "items": [run]}).to_string()))
            }
        }
    }
}

fn scripted(served: Served) -> (Client, Arc<Api>) {
    let api = Arc::new(Api { served: Mutex::new(served), asked: Mutex::default() });
    let script = api.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let path = request.uri().to_string();
        script.asked.lock().push(path.clone());
        let script = script.clone();
        async move {
            let answer = loop {
                let answer = script.answer(&path);
                match answer {
                    Some(answer) => break answer,
                    // A watch ends when what it watches is no longer served, or no longer ours.
                    None if path.contains("watch=") => {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        if *script.served.lock() != V1 {
                            break (200, String::new());
                        }
                    }
                    None => std::future::pending().await,
                }
            };
            let response = Response::builder().status(answer.0).body(Body::from(answer.1.into_bytes())).unwrap();
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    (Client::new(service, "default"), api)
}

/// A world in which Kubernaut's own kinds are listed, and PipelineRuns are followed while the story is told.
async fn while_followed(served: Served, story: impl AsyncFnOnce(&Index, &Api)) {
    while_all_of::<PipelineRun>(served, story).await;
}

async fn while_all_of<T: Tracked>(served: Served, story: impl AsyncFnOnce(&Index, &Api)) {
    let (client, api) = scripted(served);
    let index = Arc::new(Index::with_executions_in("work"));
    index.listed::<RemediationRequest>(&Default::default());
    index.listed::<WorkflowExecution>(&Default::default());
    let (_set, staleness) = tokio::sync::watch::channel(Duration::from_secs(600));
    let following = follow_where_served::<T>(client, index.clone(), Pace::within(staleness), "work");
    let waits = format!("{} not listed yet; the gate answers once it is", T::INPUT);
    assert_eq!(index.age().unwrap_err().to_string(), waits);
    tokio::select! { () = following => unreachable!(), () = story(&index, &api) => {} }
}

/// A clock that only waiting moves.
async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// What PipelineRuns are to the gate, and how many it knows; None: nothing.
fn standing(index: &Index) -> Option<(Footing, usize)> {
    let health = index.health().into_iter().find(|health| health.input == Input::PipelineRuns)?;
    Some((health.footing, health.objects))
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_there_is_listed_before_the_first_verdict() {
    while_followed(V1, async |index, api| {
        pass(1).await;
        assert_eq!(standing(index), Some((Footing::Counts, 1)));
        assert!(index.age().is_ok() && index.serves(Engine::Tekton));
        assert!(api.asked("/apis/tekton.dev/v1/namespaces/work/pipelineruns?") >= 2, "a list and a watch");
        assert_eq!(api.asked("limit=100"), 1);
        pass(60).await;
        assert_eq!(api.asked("v1beta1"), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_there_is_nothing_until_it_comes() {
    while_followed(NOTHING, async |index, api| {
        pass(1).await;
        assert_eq!((standing(index), index.age().is_ok()), (None, true));
        assert!(!index.serves(Engine::Tekton));
        pass(60).await;
        assert!((20..=30).contains(&api.asked("")), "two small questions every five seconds");
        // It comes, and cannot be listed yet: the gate goes on as before.
        api.now(Served { broken: true, ..V1 });
        pass(10).await;
        assert_eq!((standing(index), index.age().is_ok()), (None, true));
        api.now(V1);
        pass(10).await;
        assert_eq!(standing(index), Some((Footing::Counts, 1)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_old_release_is_read_in_its_own_version() {
    while_followed(Served { v1beta1: true, ..NOTHING }, async |index, api| {
        pass(1).await;
        assert_eq!(standing(index), Some((Footing::Counts, 1)));
        assert!(api.asked("/apis/tekton.dev/v1beta1/namespaces/work/pipelineruns?") > 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_read_it_the_gate_does_without_until_it_is_granted() {
    while_followed(Served { forbidden: true, ..V1 }, async |index, api| {
        pass(1).await;
        assert_eq!((standing(index), index.age().is_ok()), (Some((Footing::Denied, 0)), true));
        assert_eq!(
            (index.unreadable(Engine::Tekton), index.unreadable(Engine::Job)),
            (Some(Input::PipelineRuns), None)
        );
        api.now(V1);
        pass(6).await;
        assert_eq!(standing(index), Some((Footing::Counts, 1)));
        // Taken away again: what was known is no longer, and holds nothing.
        api.now(Served { forbidden: true, ..V1 });
        pass(6).await;
        assert_eq!((standing(index), index.age().is_ok()), (Some((Footing::Denied, 0)), true));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_input_that_is_served_and_cannot_be_listed_is_waited_for() {
    while_followed(Served { broken: true, ..V1 }, async |index, api| {
        pass(60).await;
        assert!(index.age().is_err());
        api.now(V1);
        pass(6).await;
        assert!(index.age().is_ok());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_there_is_believed_gone_at_the_second_look() {
    while_followed(V1, async |index, api| {
        pass(5).await;
        api.now(NOTHING);
        pass(2).await;
        assert_eq!(
            standing(index),
            Some((Footing::Counts, 1)),
            "an API server that starts serves nothing for a moment"
        );
        api.now(V1);
        pass(20).await;
        assert_eq!(standing(index), Some((Footing::Counts, 1)));
        api.now(NOTHING);
        pass(20).await;
        assert_eq!(standing(index), None);
        let deadline = Instant::now() + Duration::from_secs(10);
        let key = ObjectKey { namespace: "n".into(), name: "we".into() };
        let owner = Owner { key: &key, uid: None, created: None };
        assert_eq!(index.account(owner, Some("run"), deadline).unwrap(), lockkeeper::failure::Account::Unknown);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_question_lists_once_where_it_can() {
    for (served, expected) in [(V1, Ok(Some(1))), (NOTHING, Ok(None)), (Served { forbidden: true, ..V1 }, Err("m"))] {
        let (client, _) = scripted(served);
        let index = Index::default();
        let outcome =
            list_where_served::<PipelineRun>(&client, &index, "work").await.map_err(|error| error.to_string());
        let outcome = outcome.map(|()| standing(&index).map(|(_, objects)| objects));
        assert_eq!(outcome, expected.map_err(str::to_owned), "{served:?}");
    }
}

/// A cluster has many Pods, and few of them are of Jobs.
#[tokio::test(start_paused = true)]
async fn of_pods_those_of_jobs_are_followed_and_of_jobs_all() {
    while_all_of::<Pod>(V1, async |index, api| {
        pass(1).await;
        assert!(index.age().is_ok());
        let (all, of_jobs) = (api.asked("/api/v1/namespaces/work/pods?"), api.asked("labelSelector=job-name"));
        assert!(all >= 2 && of_jobs == all, "a list and a watch");
    })
    .await;
    while_all_of::<Job>(V1, async |index, api| {
        pass(1).await;
        assert!(index.age().is_ok());
        assert!(api.asked("/apis/batch/v1/namespaces/work/jobs?") >= 2 && api.asked("labelSelector") == 0);
    })
    .await;
    while_all_of::<Job>(Served { forbidden: true, ..V1 }, async |index, _| {
        pass(1).await;
        assert_eq!((index.unreadable(Engine::Job), index.unreadable(Engine::Tekton)), (Some(Input::Jobs), None));
    })
    .await;
}
