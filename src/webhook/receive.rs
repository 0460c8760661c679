//! What stands around every handler: the body is read to its end, within its size and its time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Response, header};
use axum::middleware::Next;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout_at;

use super::gate::{Gate, Webhook};
use crate::api::duration::GoDuration;
use crate::config::Limits;
use crate::fault::Fault;

/// When the answer must be out.
#[derive(Clone, Copy)]
pub(super) struct Deadline(pub Instant);

/// Without a `?timeout=`, and at most.
const PATIENCE: Duration = Duration::from_secs(10);
/// Kept back for the way home.
const MARGIN: Duration = Duration::from_millis(250);
/// The unit in which bodies in flight are counted.
const BLOCK: usize = 1024;

/// What all requests share.
pub(super) struct Intake {
    gate: Arc<Gate>,
    body_max: usize,
    in_flight: Semaphore,
}

impl Intake {
    pub fn new(gate: Arc<Gate>, limits: &Limits) -> Self {
        let blocks = (limits.in_flight_bytes / BLOCK).clamp(1, Semaphore::MAX_PERMITS);
        Self { gate, body_max: limits.admission_body_bytes, in_flight: Semaphore::new(blocks) }
    }

    /// Room for the body: as long as it says, or as long as it may be. Others are answered in a millisecond, so it is worth
    /// waiting for; a request that cannot be read in time is shed unread.
    async fn room(&self, length: Option<usize>, deadline: Instant) -> Result<SemaphorePermit<'_>, Fault> {
        let blocks = u32::try_from(length.unwrap_or(self.body_max).div_ceil(BLOCK)).unwrap_or(u32::MAX);
        match timeout_at(deadline.into(), self.in_flight.acquire_many(blocks)).await {
            Ok(Ok(room)) => Ok(room),
            _ => Err(Fault::Shed),
        }
    }

    async fn body(&self, body: Body, deadline: Instant, started: Instant) -> Result<Bytes, Fault> {
        let whole = Limited::new(body, self.body_max).collect();
        match timeout_at(deadline.into(), whole).await {
            Err(_) => Err(Fault::SlowBody { within: deadline - started }),
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Fault::TooLarge { limit: self.body_max }),
            Ok(Err(_)) => Err(Fault::BrokenBody),
        }
    }
}

/// Reads the body, then lets the router answer; what is too large or too slow never gets there.
pub(super) async fn receive(State(intake): State<Arc<Intake>>, request: Request, next: Next) -> Response<Body> {
    let started = Instant::now();
    let deadline = started + time_to_answer(request.uri().query().unwrap_or_default());
    let webhook = Webhook::at(request.uri().path());
    let in_flight = intake.gate.telemetry.in_flight();
    let taken = take_body(&intake, request, deadline, started).await;
    let response = match taken {
        Ok((request, _room)) => next.run(request).await,
        Err(fault) => intake.gate.refuse(webhook, &fault, None, started),
    };
    drop(in_flight);
    response
}

async fn take_body(
    intake: &Intake,
    request: Request,
    deadline: Instant,
    started: Instant,
) -> Result<(Request, SemaphorePermit<'_>), Fault> {
    let length = content_length(&request);
    if length.is_some_and(|length| length > intake.body_max) {
        return Err(Fault::TooLarge { limit: intake.body_max });
    }
    let room = intake.room(length, deadline).await?;
    let (mut parts, body) = request.into_parts();
    let body = intake.body(body, deadline, started).await?;
    parts.extensions.insert(Deadline(deadline));
    Ok((Request::from_parts(parts, body.into()), room))
}

fn content_length(request: &Request) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The caller's `?timeout=` less the way home; other parameters are nobody's business.
fn time_to_answer(query: &str) -> Duration {
    let asked = query.split('&').find_map(|pair| pair.strip_prefix("timeout=")?.parse::<GoDuration>().ok());
    let patience = asked.map_or(PATIENCE, |asked| asked.get().min(PATIENCE));
    patience.saturating_sub(MARGIN.min(patience / 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_due_before_the_caller_leaves() {
        for (query, millis) in [
            ("", 9750),
            ("timeout=5s", 4750),
            ("timeout=1s", 750),
            ("timeout=100ms", 75),
            ("a=b&timeout=2s&timeout=9s", 1750),
            ("timeout=1h", 9750),
            ("timeout=", 9750),
            ("timeout=-3s", 9750),
            ("timeoutx=1s", 9750),
        ] {
            assert_eq!(time_to_answer(query), Duration::from_millis(millis), "{query}");
        }
    }
}
