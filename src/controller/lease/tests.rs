//! client-go's rules of a lease, on an API server that holds one and a clock that goes by itself.

use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Answers {
    #[default]
    Well,
    /// With a 500.
    Badly,
    Never,
    /// It is done, and nobody hears that.
    Unheard,
    /// It is done, and that is heard four seconds later.
    Late,
}

/// One Lease, what was written to it, and who led; times are seconds since the test began.
struct World {
    began: Instant,
    lease: Mutex<Option<Value>>,
    version: Mutex<u64>,
    answers: Mutex<Answers>,
    writes: Mutex<Vec<(u64, Value)>>,
    /// From when to when our work was done; None: it goes on.
    led: Mutex<Vec<(u64, Option<u64>)>>,
}

impl World {
    fn new(lease: Option<Value>) -> Arc<Self> {
        let world = Self {
            began: Instant::now(),
            lease: Mutex::default(),
            version: Mutex::default(),
            answers: Mutex::default(),
            writes: Mutex::default(),
            led: Mutex::default(),
        };
        if let Some(spec) = lease {
            world.put(&spec);
        }
        Arc::new(world)
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_secs()
    }

    /// As another writes it.
    fn put(&self, spec: &Value) -> Value {
        let mut version = self.version.lock();
        *version += 1;
        let metadata = json!({"name": "lockkeeper", "namespace": "gate", "resourceVersion": version.to_string()});
        let lease =
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec});
        *self.lease.lock() = Some(lease.clone());
        lease
    }

    fn spec(&self) -> Value {
        self.lease.lock().as_ref().unwrap()["spec"].clone()
    }

    fn answer(&self, method: &Method, body: &Value) -> (u16, Value) {
        let status = |code: u16, reason: &str| {
            (code, json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason}))
        };
        let stored = self.lease.lock().clone();
        match (method, stored) {
            _ if *self.answers.lock() == Answers::Badly => status(500, "InternalError"),
            (&Method::GET, Some(lease)) => (200, lease),
            (&Method::GET | &Method::PUT, None) => status(404, "NotFound"),
            (&Method::POST, Some(_)) => status(409, "AlreadyExists"),
            (_, Some(lease)) if lease["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] => {
                status(409, "Conflict")
            }
            _ => {
                self.writes.lock().push((self.now(), body["spec"].clone()));
                (200, self.put(&body["spec"]))
            }
        }
    }

    fn client(self: &Arc<Self>) -> Client {
        let world = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let world = world.clone();
            async move {
                let (parts, body) = request.into_parts();
                let bytes = body.collect().await.unwrap().to_bytes();
                if *world.answers.lock() == Answers::Never {
                    std::future::pending::<()>().await;
                }
                let unheard = *world.answers.lock() == Answers::Unheard && parts.method == Method::PUT;
                let (code, told) = world.answer(&parts.method, &serde_json::from_slice(&bytes).unwrap_or_default());
                if unheard {
                    std::future::pending::<()>().await;
                }
                if *world.answers.lock() == Answers::Late && parts.method == Method::PUT {
                    seconds(4).await;
                }
                let answer = Response::builder().status(code).body(Body::from(told.to_string().into_bytes()));
                Ok::<_, std::convert::Infallible>(answer.unwrap())
            }
        });
        Client::new(service, "gate")
    }

    /// A candidate that is called `us`, until it is told to stop.
    fn stand(self: &Arc<Self>) -> (CancellationToken, tokio::task::JoinHandle<()>) {
        let candidate = Candidate {
            leases: Api::default_namespaced(self.client()),
            lease: "lockkeeper".to_owned(),
            identity: "us".to_owned(),
            timing: Timing::default(),
        };
        let (stop, world) = (CancellationToken::new(), self.clone());
        let leading = tokio::spawn(candidate.lead(stop.clone(), move || {
            let world = world.clone();
            async move {
                let _work = Work::begin(world);
                std::future::pending::<()>().await;
            }
        }));
        (stop, leading)
    }
}

struct Work(Arc<World>);

impl Work {
    fn begin(world: Arc<World>) -> Self {
        let now = world.now();
        world.led.lock().push((now, None));
        Self(world)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let now = self.0.now();
        if let Some((_, end)) = self.0.led.lock().last_mut() {
            *end = Some(now);
        }
    }
}

async fn seconds(count: u64) {
    sleep(Duration::from_secs(count)).await;
}

/// Held by another, renewed at this second of a minute, long ago or not yet.
fn theirs(renewed: &str, duration: i32) -> Value {
    json!({"holderIdentity": "them", "leaseDurationSeconds": duration, "acquireTime": "2026-01-05T10:00:00.000000Z",
           "renewTime": renewed, "leaseTransitions": 3})
}

const LONG_AGO: &str = "2001-01-05T10:00:00.000000Z";
const NOT_YET: &str = "2126-01-05T10:00:00.000000Z";

#[tokio::test(start_paused = true)]
async fn what_nobody_holds_is_taken_at_once() {
    let empty = json!({"holderIdentity": "", "leaseDurationSeconds": 1, "leaseTransitions": 3});
    for lease in [None, Some(empty), Some(Value::Null), Some(json!({})), Some(json!({"leaseDurationSeconds": 3600}))] {
        let world = World::new(lease.clone());
        let _candidate = world.stand();
        seconds(1).await;
        assert_eq!(*world.led.lock(), [(0, None)], "{lease:?}");
        let spec = world.spec();
        assert_eq!((&spec["holderIdentity"], &spec["leaseDurationSeconds"]), (&json!("us"), &json!(15)), "{lease:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rivals_is_taken_when_we_saw_no_change_of_it_for_as_long_as_it_says_whatever_time_stands_in_it() {
    for renewed in [LONG_AGO, NOT_YET] {
        for (duration, taken) in [(15, 16), (60, 60), (1, 2)] {
            let world = World::new(Some(theirs(renewed, duration)));
            let _candidate = world.stand();
            seconds(61).await;
            assert_eq!(*world.led.lock(), [(taken, None)], "{renewed}, {duration}");
            assert_eq!(world.writes.lock()[0].1["leaseTransitions"], 4);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rival_that_does_not_say_how_long_has_it_for_no_time() {
    for duration in [json!(null), json!(0), json!(-5)] {
        let mut lease = theirs(NOT_YET, 15);
        lease["leaseDurationSeconds"] = duration.clone();
        let world = World::new(Some(lease));
        let _candidate = world.stand();
        seconds(1).await;
        assert_eq!(*world.led.lock(), [(0, None)], "{duration}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rival_that_renews_keeps_it_and_its_last_renewal_counts() {
    let world = World::new(Some(theirs(LONG_AGO, 15)));
    let _candidate = world.stand();
    for minute in 10..20 {
        seconds(10).await;
        world.put(&theirs(&format!("2001-01-05T10:{minute}:00.000000Z"), 15));
    }
    assert_eq!(*world.led.lock(), []);
    // Seen at 100 or at 102: whichever was first asked, then.
    seconds(14).await;
    assert_eq!(*world.led.lock(), []);
    seconds(5).await;
    assert_eq!(world.led.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_leads_renews_and_stays_who_it_was() {
    let world = World::new(Some(theirs(LONG_AGO, 1)));
    let _candidate = world.stand();
    seconds(121).await;
    assert_eq!(*world.led.lock(), [(2, None)]);
    let writes = world.writes.lock().clone();
    let at: Vec<_> = writes.iter().map(|(at, _)| *at).collect();
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] == 2), "{at:?}");
    for (_, spec) in &writes {
        assert_eq!((&spec["leaseTransitions"], &spec["acquireTime"]), (&json!(4), &writes[0].1["acquireTime"]));
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_renew_stands_down_before_the_lease_runs_out() {
    for answers in [Answers::Badly, Answers::Never] {
        let world = World::new(None);
        let _candidate = world.stand();
        seconds(21).await;
        *world.answers.lock() = answers;
        let renewed = world.writes.lock().last().unwrap().0;
        seconds(40).await;
        let led = world.led.lock().clone();
        assert_eq!(led, [(0, Some(renewed + 10))], "{answers:?}: a rival may lead from {} on", renewed + 15);
        // It is still ours: nobody else took it.
        *world.answers.lock() = Answers::Well;
        seconds(15).await;
        assert_eq!(world.led.lock().len(), 2, "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whose_lease_another_wrote_stands_down_at_once_and_waits_its_turn() {
    let world = World::new(None);
    let _candidate = world.stand();
    seconds(21).await;
    world.put(&theirs(LONG_AGO, 15));
    seconds(2).await;
    assert_eq!(*world.led.lock(), [(0, Some(22))]);
    seconds(30).await;
    assert_eq!(world.led.lock().len(), 2);
    assert!(world.led.lock()[1].0 >= 22 + 15, "{:?}", world.led.lock());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_deleted_is_made_anew() {
    let world = World::new(None);
    let _candidate = world.stand();
    seconds(21).await;
    *world.lease.lock() = None;
    seconds(20).await;
    assert_eq!(*world.led.lock(), [(0, None)]);
    assert_eq!(world.spec()["holderIdentity"], "us");
}

#[tokio::test(start_paused = true)]
async fn who_is_told_to_stop_gives_it_back_after_its_work() {
    let world = World::new(None);
    let (stop, leading) = world.stand();
    seconds(21).await;
    stop.cancel();
    leading.await.unwrap();
    assert_eq!(*world.led.lock(), [(0, Some(21))]);
    let spec = world.spec();
    assert_eq!((&spec["holderIdentity"], &spec["leaseDurationSeconds"]), (&json!(""), &json!(1)));
}

#[tokio::test(start_paused = true)]
async fn who_is_told_to_stop_does_not_wait_for_an_answer_nor_give_back_what_is_not_its_own() {
    let world = World::new(None);
    let (stop, leading) = world.stand();
    seconds(21).await;
    *world.answers.lock() = Answers::Never;
    stop.cancel();
    leading.await.unwrap();
    assert!(world.now() <= 23);

    let world = World::new(Some(theirs(LONG_AGO, 15)));
    let (stop, leading) = world.stand();
    seconds(5).await;
    stop.cancel();
    leading.await.unwrap();
    assert_eq!((world.spec(), world.writes.lock().len()), (theirs(LONG_AGO, 15), 0));
}

#[tokio::test(start_paused = true)]
async fn who_is_told_to_stop_in_the_middle_of_a_renewal_gives_back_what_that_made() {
    let world = World::new(None);
    let (stop, leading) = world.stand();
    seconds(21).await;
    let renewed = world.writes.lock().len();
    *world.answers.lock() = Answers::Unheard;
    seconds(3).await;
    assert_eq!(world.writes.lock().len(), renewed + 1, "a renewal is under way");
    *world.answers.lock() = Answers::Well;
    stop.cancel();
    leading.await.unwrap();
    assert_eq!(world.spec()["holderIdentity"], "");
    // So it does where the write was to make it the leader.
    let world = World::new(Some(json!({"holderIdentity": ""})));
    *world.answers.lock() = Answers::Unheard;
    let (stop, leading) = world.stand();
    seconds(1).await;
    assert_eq!((world.spec()["holderIdentity"].clone(), world.led.lock().len()), (json!("us"), 0));
    *world.answers.lock() = Answers::Well;
    stop.cancel();
    leading.await.unwrap();
    assert_eq!(world.spec()["holderIdentity"], "");
    // What another has taken meanwhile is that one's.
    let world = World::new(None);
    let (stop, leading) = world.stand();
    seconds(21).await;
    world.put(&theirs(LONG_AGO, 15));
    stop.cancel();
    leading.await.unwrap();
    assert_eq!(world.spec(), theirs(LONG_AGO, 15));
}

/// For its rival that time counts from the write.
#[tokio::test(start_paused = true)]
async fn a_renewal_counts_from_when_it_was_asked_for() {
    let world = World::new(None);
    let _candidate = world.stand();
    seconds(1).await;
    *world.answers.lock() = Answers::Late;
    seconds(4).await;
    // Written in the second second, heard in the sixth; no later one is.
    seconds(2).await;
    *world.answers.lock() = Answers::Never;
    seconds(30).await;
    assert_eq!(*world.led.lock(), [(0, Some(12))]);
}
