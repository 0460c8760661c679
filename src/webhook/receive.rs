//! What stands around every handler: the body is read to its end, within its size and its time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Response, header};
use axum::middleware::Next;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::convert::Converter;
use super::gate::{Gate, Webhook};
use crate::api::duration::GoDuration;
use crate::config::Limits;
use crate::fault::Fault;
use crate::telemetry::Raised;

/// When the answer must be out.
#[derive(Clone, Copy)]
pub(super) struct Deadline(pub Instant);

/// Room for one request, free again when nobody holds it.
#[derive(Clone)]
pub(super) struct Room(#[allow(dead_code, reason = "held, never looked at")] Arc<Vec<OwnedSemaphorePermit>>);

impl Room {
    #[cfg(test)]
    pub fn none() -> Self {
        Self(Arc::default())
    }
}

/// Kept back for the way home.
const MARGIN: Duration = Duration::from_millis(250);
/// The unit in which bodies in flight are counted.
const BLOCK: usize = 1024;

/// Whom requests are for.
enum For {
    Reviews(Arc<Gate>),
    Conversions(Arc<Converter>),
}

/// What all requests of one sort share. Reviews and conversions share nothing, so that neither takes the other's room.
pub(super) struct Intake {
    asked: For,
    /// Without a `?timeout=`, and at most.
    patience: Duration,
    body_max: usize,
    body_key: &'static str,
    in_flight: Arc<Semaphore>,
    in_flight_key: &'static str,
    /// Requests that are read, wait or are answered.
    places: Option<Arc<Semaphore>>,
}

impl Intake {
    pub fn of_reviews(gate: Arc<Gate>, limits: &Limits) -> Self {
        Self {
            asked: For::Reviews(gate),
            patience: Duration::from_secs(10),
            body_max: limits.admission_body_bytes,
            body_key: "limits.admissionBodyBytes",
            in_flight: blocks(limits.in_flight_bytes),
            in_flight_key: "limits.inFlightBytes",
            places: None,
        }
    }

    /// The API server waits 30 s for a conversion. Half of the connections stay for reviews, however many conversions wait.
    pub fn of_conversions(converter: Arc<Converter>, limits: &Limits) -> Self {
        Self {
            asked: For::Conversions(converter),
            patience: Duration::from_secs(30),
            body_max: limits.conversion_body_bytes,
            body_key: "limits.conversionBodyBytes",
            in_flight: blocks(limits.conversion_in_flight_bytes),
            in_flight_key: "limits.conversionInFlightBytes",
            places: Some(Arc::new(Semaphore::new(limits.connections.div_ceil(2).min(Semaphore::MAX_PERMITS)))),
        }
    }

    /// Room for the body: as long as it says, or as long as it may be. Others are answered in a millisecond, so it is worth
    /// waiting for; a request that cannot be read in time is shed unread.
    async fn room(&self, length: Option<usize>, deadline: Instant) -> Result<Room, Fault> {
        let place = match &self.places {
            None => None,
            Some(places) => {
                Some(places.clone().try_acquire_owned().map_err(|_| Fault::Shed { key: "limits.connections" })?)
            }
        };
        let blocks = u32::try_from(length.unwrap_or(self.body_max).div_ceil(BLOCK)).unwrap_or(u32::MAX);
        match timeout_at(deadline.into(), self.in_flight.clone().acquire_many_owned(blocks)).await {
            Ok(Ok(room)) => Ok(Room(Arc::new(place.into_iter().chain([room]).collect()))),
            _ => Err(Fault::Shed { key: self.in_flight_key }),
        }
    }

    async fn body(&self, body: Body, deadline: Instant, started: Instant) -> Result<Bytes, Fault> {
        let whole = Limited::new(body, self.body_max).collect();
        match timeout_at(deadline.into(), whole).await {
            Err(_) => Err(Fault::SlowBody { within: deadline - started }),
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(self.too_large()),
            Ok(Err(_)) => Err(Fault::BrokenBody),
        }
    }

    fn too_large(&self) -> Fault {
        Fault::TooLarge { limit: self.body_max, key: self.body_key }
    }

    fn refuse(&self, path: &str, fault: &Fault, started: Instant) -> Response<Body> {
        match &self.asked {
            For::Reviews(gate) => gate.refuse(Webhook::at(path), fault, None, started),
            For::Conversions(converter) => converter.refuse(fault),
        }
    }

    fn in_flight(&self) -> Option<Raised> {
        match &self.asked {
            For::Reviews(gate) => Some(gate.telemetry.in_flight()),
            For::Conversions(_) => None,
        }
    }

    /// The caller's `?timeout=` less the way home; other parameters are nobody's business.
    fn time_to_answer(&self, query: &str) -> Duration {
        let asked = query.split('&').find_map(|pair| pair.strip_prefix("timeout=")?.parse::<GoDuration>().ok());
        let patience = asked.map_or(self.patience, |asked| asked.get().min(self.patience));
        patience.saturating_sub(MARGIN.min(patience / 4))
    }
}

fn blocks(bytes: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new((bytes / BLOCK).clamp(1, Semaphore::MAX_PERMITS)))
}

/// Reads the body, then lets the router answer; what is too large or too slow never gets there.
pub(super) async fn receive(State(intake): State<Arc<Intake>>, request: Request, next: Next) -> Response<Body> {
    let started = Instant::now();
    let deadline = started + intake.time_to_answer(request.uri().query().unwrap_or_default());
    let path = request.uri().path().to_owned();
    let _in_flight = intake.in_flight();
    match take_body(&intake, request, deadline, started).await {
        Ok((request, _room)) => next.run(request).await,
        Err(fault) => intake.refuse(&path, &fault, started),
    }
}

async fn take_body(
    intake: &Intake,
    request: Request,
    deadline: Instant,
    started: Instant,
) -> Result<(Request, Room), Fault> {
    let length = content_length(&request);
    if length.is_some_and(|length| length > intake.body_max) {
        return Err(intake.too_large());
    }
    let room = intake.room(length, deadline).await?;
    let (mut parts, body) = request.into_parts();
    let body = intake.body(body, deadline, started).await?;
    parts.extensions.insert(Deadline(deadline));
    parts.extensions.insert(room.clone());
    Ok((Request::from_parts(parts, body.into()), room))
}

fn content_length(request: &Request) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
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
            let intake = Intake::of_conversions(
                Arc::new(Converter::new(Arc::default(), crate::convert::convert)),
                &Limits::default(),
            );
            let reviews = Intake { patience: Duration::from_secs(10), ..intake };
            assert_eq!(reviews.time_to_answer(query), Duration::from_millis(millis), "{query}");
        }
    }
}
