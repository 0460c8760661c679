//! How a loop lives: what is due is visited, the visit is counted, and where it came to nothing the object is due again.

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::failed::Failed;
use super::queue::Queue;
use super::retry::Retries;
use crate::api::facts::ObjectKey;
use crate::telemetry::Telemetry;

/// The visits of one loop.
pub struct Visits<'l> {
    pub queue: &'l Queue,
    pub retries: &'l Retries,
    pub telemetry: &'l Telemetry,
    /// The loop, as metrics name it.
    pub of: &'static str,
    /// What the log says of one that failed.
    pub failed: &'static str,
}

impl Visits<'_> {
    /// One object after the other, until it is dropped. A visit tells when to look again.
    pub async fn make<F>(&self, visit: impl Fn(ObjectKey) -> F)
    where
        F: Future<Output = Result<Option<Timestamp>, Failed>>,
    {
        loop {
            let key = self.queue.next().await;
            let began = Instant::now();
            let visited = visit(key.clone()).await;
            let outcome = visited.as_ref().map_or_else(Failed::outcome, |_| "settled");
            self.telemetry.reconciled(self.of, outcome, began.elapsed());
            if let Some(at) = self.again(&key, visited) {
                self.queue.add(key.clone(), at);
            }
            self.queue.done(&key);
        }
    }

    fn again(&self, key: &ObjectKey, visited: Result<Option<Timestamp>, Failed>) -> Option<Instant> {
        let error = match visited {
            Ok(until) => {
                self.retries.forget(key);
                let left = |at: Timestamp| at.duration_since(Timestamp::now()).try_into().unwrap_or_default();
                return until.map(|at| Instant::now() + left(at));
            }
            Err(Failed::LeftAlone(why)) => {
                self.retries.forget(key);
                tracing::warn!(object = %key, "left alone: {why}");
                return None;
            }
            Err(error) => error,
        };
        // Somebody else wrote first: nobody need know.
        if error.code() != 409 {
            tracing::warn!(object = %key, %error, "{}{}; trying again", self.failed, error.advice());
        }
        Some(Instant::now() + self.retries.after(key, &error))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parking_lot::Mutex;

    use super::*;

    fn refused(code: u16) -> Failed {
        Failed::Refused { code, reason: String::new(), message: String::new() }
    }

    /// The seconds after which one object was visited, where its visits end so, within the day; and what is counted.
    async fn visited(ends: Vec<Result<Option<i64>, Failed>>) -> (Vec<u64>, String) {
        let (queue, retries, telemetry) = (Queue::default(), Retries::default(), Telemetry::default());
        let visits =
            Visits { queue: &queue, retries: &retries, telemetry: &telemetry, of: "executor", failed: "failed" };
        queue.add_now(ObjectKey { namespace: "payments".into(), name: "we-1".into() });
        let (ends, began, times) = (Mutex::new(ends.into_iter()), Instant::now(), Mutex::default());
        let making = visits.make(|_| {
            Mutex::<Vec<u64>>::lock(&times).push(began.elapsed().as_secs());
            let end = ends.lock().next().unwrap_or(Ok(None));
            let later = |seconds| Timestamp::from_second(Timestamp::now().as_second() + seconds).unwrap();
            std::future::ready(end.map(|seconds| seconds.map(later)))
        });
        let _ = tokio::time::timeout(Duration::from_secs(86_400), making).await;
        (times.into_inner(), telemetry.scrape(&[], &[]))
    }

    fn counted(told: &str) -> Vec<&str> {
        told.lines().filter_map(|line| line.strip_prefix("lockkeeper_reconcile_total")).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_rests_is_visited_when_its_time_comes() {
        let (times, told) = visited(vec![Ok(Some(3600)), Ok(Some(-5)), Ok(None)]).await;
        assert_eq!(times.len(), 3);
        assert!((3598..=3601).contains(&times[1]) && times[2] == times[1], "{times:?}");
        assert_eq!(counted(&told), [r#"{loop="executor",outcome="settled"} 3"#]);
        assert!(told.contains(r#"lockkeeper_reconcile_duration_seconds_count{loop="executor"} 3"#), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_rests_past_all_time_rests() {
        let far = Timestamp::MAX.as_second() - Timestamp::now().as_second() - 1;
        assert_eq!(visited(vec![Ok(Some(far))]).await.0, [0]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_is_visited_again_until_it_does_not() {
        let away = || Err(Failed::Away(String::new()));
        let (times, told) =
            visited(vec![away(), Err(refused(500)), Err(Failed::Behind(String::new())), Ok(None)]).await;
        assert_eq!(times, [0, 0, 1, 3]);
        let mut counted = counted(&told);
        counted.sort_unstable();
        assert_eq!(counted, [r#"{loop="executor",outcome="retried"} 3"#, r#"{loop="executor",outcome="settled"} 1"#]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_slower_looks_again_at_once() {
        let (times, told) = visited(vec![Err(refused(409)), Ok(None)]).await;
        assert_eq!(times, [0, 0]);
        assert!(told.contains(r#"{loop="executor",outcome="conflict"} 1"#), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_one_that_did_not_fail_it_is_tried_again_soon() {
        let (queue, retries, telemetry) = (Queue::default(), Retries::default(), Telemetry::default());
        let visits =
            Visits { queue: &queue, retries: &retries, telemetry: &telemetry, of: "executor", failed: "failed" };
        let key = ObjectKey { namespace: "payments".into(), name: "we-1".into() };
        let away = || visits.again(&key, Err(Failed::Away(String::new()))).unwrap() - Instant::now();
        let first = away();
        assert!(away() > first);
        visits.again(&key, Ok(None));
        assert_eq!(away(), first);
        assert!(away() > first);
        visits.again(&key, Err(Failed::LeftAlone(String::new())));
        assert_eq!(away(), first);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_can_read_is_left_alone() {
        let (times, told) = visited(vec![Err(Failed::LeftAlone("it cannot be read".to_owned()))]).await;
        assert_eq!(times, [0]);
        assert_eq!(counted(&told), [r#"{loop="executor",outcome="left_alone"} 1"#]);
    }
}
