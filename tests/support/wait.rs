//! Waiting for a condition.

use std::fmt::Display;
use std::future::Future;
use std::panic::Location;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(25);

/// Asks until the answer is `Ok`; panics after `timeout` with what was awaited and the last `Err`.
#[track_caller]
pub fn eventually<T, E, F, Fut>(what: &str, timeout: Duration, probe: F) -> impl Future<Output = T>
where
    E: Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let caller = Location::caller();
    async move {
        match try_eventually(what, timeout, probe).await {
            Ok(value) => value,
            Err(error) => panic!("{error} (at {caller})"),
        }
    }
}

/// [`eventually`] that returns the failure.
pub async fn try_eventually<T, E, F, Fut>(what: &str, timeout: Duration, mut probe: F) -> Result<T, String>
where
    E: Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let end = Instant::now() + timeout;
    let mut last = String::from("nothing: the first question got no answer");
    loop {
        match tokio::time::timeout(end.saturating_duration_since(Instant::now()), probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => {}
        }
        if Instant::now() >= end {
            return Err(format!("{what}: not within {timeout:?}; last seen: {last}"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
