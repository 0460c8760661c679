//! Which version is spoken, on an API server that begins and ceases to serve one.

use super::*;
use crate::controller::testing::{Call, refusal, server};

#[derive(Default)]
struct World {
    serves_hub: Mutex<bool>,
    /// Which versions there are it cannot say.
    broken: Mutex<bool>,
    /// Of runs it knows nothing.
    unserved: Mutex<bool>,
    /// But of Tekton's in a version before the one that is made.
    old_tekton: Mutex<Option<&'static str>>,
    asked: Mutex<Vec<String>>,
}

impl World {
    fn objects(self: &Arc<Self>) -> Objects {
        let world = self.clone();
        Objects::of("test", server(move |call| world.answer(call)), "us")
    }

    fn answer(&self, call: &Call) -> Option<(u16, Value)> {
        self.asked.lock().push(call.path.clone());
        if *self.broken.lock() && !call.is_of_objects() {
            return Some(refusal(500, "InternalError", "m"));
        }
        if let Some(kind) = self.old_tekton.lock().filter(|_| call.path == OLDER_TEKTON) {
            return Some((200, json!({"kind": "APIResourceList", "resources": [{"name": kind}]})));
        }
        let of_runs = call.path.contains("/jobs/") || call.path.contains("tekton.dev");
        let unknown = of_runs && *self.unserved.lock();
        let unserved = unknown || call.path.contains("kubernaut.ai/v1beta1") && !*self.serves_hub.lock();
        unserved.then(|| (404, json!("404 page not found")))
    }

    /// What was asked for since: which versions there are, or an object in one of them.
    fn asked(&self) -> Vec<&'static str> {
        let asked = std::mem::take(&mut *self.asked.lock());
        let told = |path: &String| match (path.contains("/namespaces/"), path.contains("v1beta1")) {
            (false, _) => "versions",
            (true, true) => "v1beta1",
            (true, false) => "v1alpha1",
        };
        asked.iter().map(told).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn the_better_version_is_looked_for_once_a_minute_and_kept_until_it_is_served_no_more() {
    let world = Arc::new(World::default());
    let (objects, key) = (world.objects(), ObjectKey { namespace: "n".into(), name: "we".into() });
    let get = async || objects.execution(&key).await.map(|found| found.is_some()).map_err(|error| error.to_string());
    let pass = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
    assert_eq!((get().await, world.asked()), (Ok(false), vec!["versions", "v1alpha1"]));
    *world.serves_hub.lock() = true;
    pass(59).await;
    assert_eq!((get().await, world.asked()), (Ok(false), vec!["v1alpha1"]));
    pass(1).await;
    assert_eq!((get().await, world.asked()), (Ok(false), vec!["versions", "v1beta1"]));
    pass(3600).await;
    assert_eq!((get().await, world.asked()), (Ok(false), vec!["v1beta1"]));
    *world.serves_hub.lock() = false;
    assert_eq!(get().await, Err("not known yet: v1beta1 is not served any more".to_owned()));
    assert_eq!(world.asked(), ["v1beta1"]);
    assert_eq!((get().await, world.asked()), (Ok(false), vec!["versions", "v1alpha1"]));
    // Nobody knows whether there is a better one, and there is no worse one.
    *world.broken.lock() = true;
    pass(60).await;
    assert_eq!((get().await, world.asked()), (Ok(false), vec!["versions", "v1alpha1"]));
    assert_eq!((get().await, world.asked()), (Ok(false), vec!["v1alpha1"]), "it is not asked each time");
}

#[tokio::test(start_paused = true)]
async fn before_it_is_known_which_versions_are_served_nothing_is_asked_for() {
    let world = Arc::new(World::default());
    *world.broken.lock() = true;
    let (objects, key) = (world.objects(), ObjectKey { namespace: "n".into(), name: "we".into() });
    let told = objects.execution(&key).await.map(drop).unwrap_err().to_string();
    assert!(told.starts_with("no answer: which versions are served: "), "{told}");
    assert_eq!(world.asked(), ["versions"]);
    *world.broken.lock() = false;
    assert!(objects.execution(&key).await.unwrap().is_none());
}

#[tokio::test]
async fn a_kind_that_is_not_served_is_another_answer_than_a_run_that_is_not_there() {
    let world = Arc::new(World::default());
    let (objects, key) = (world.objects(), ObjectKey { namespace: "n".into(), name: "wfe-x".into() });
    assert!(objects.run(Engine::Job, &key).await.unwrap().is_none());
    *world.unserved.lock() = true;
    for engine in [Engine::Job, Engine::Tekton] {
        assert_eq!(objects.run(engine, &key).await.unwrap_err().to_string(), "404 : 404 page not found");
    }
    // Every Tekton serves others of its kinds in that version.
    *world.old_tekton.lock() = Some("customruns");
    assert!(objects.run(Engine::Tekton, &key).await.is_err());
    *world.old_tekton.lock() = Some("pipelineruns");
    assert!(objects.run(Engine::Tekton, &key).await.unwrap().is_none(), "what is made here it does not serve");
    assert!(objects.run(Engine::Job, &key).await.is_err());
}

/// Whoever wrote meanwhile is not written over, and no other run of that name is deleted.
#[tokio::test]
async fn a_write_says_what_it_rests_on() {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let (sent, key) = (bodies.clone(), ObjectKey { namespace: "n".into(), name: "we".into() });
    let object = json!({"apiVersion": "kubernaut.ai/v1beta1", "kind": "WorkflowExecution",
        "metadata": {"namespace": "n", "name": "we", "uid": "u", "resourceVersion": "7"}, "spec": {}});
    let client = server(move |call| {
        sent.lock().push(call.body.clone());
        call.path.contains("/workflowexecutions/").then(|| (200, object.clone()))
    });
    let objects = Objects::of("test", client, "us");
    let stored = objects.execution(&key).await.unwrap().unwrap();
    bodies.lock().clear();
    objects.write_finalizers(&key, &stored, &["f".into()], Some("runs")).await.unwrap();
    assert!(
        objects.delete_run(Engine::Job, &key, "r-1", false).await.unwrap().is_none(),
        "one that is gone is deleted"
    );
    let bodies = bodies.lock();
    assert_eq!(bodies[0]["metadata"]["resourceVersion"], "7");
    assert_eq!(bodies[1]["preconditions"], json!({"uid": "r-1"}));
}

#[tokio::test]
async fn what_no_object_can_be_called_is_not_there() {
    let world = Arc::new(World::default());
    let objects = world.objects();
    for name in ["", "..", "rr/status"] {
        let key = ObjectKey { namespace: "n".into(), name: name.into() };
        assert!(objects.request(&key).await.unwrap().is_none(), "{name}");
    }
    assert_eq!(world.asked(), Vec::<&str>::new());
}
