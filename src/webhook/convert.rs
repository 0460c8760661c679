//! Objects in another version: `POST /convert`. Needs no input, so it answers before anything is listed and while we end.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Extension;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use super::answer;
use super::conversion::{Answer, ConversionReview, Convert, OutOfTime, Outcome};
use super::gate::plain_json;
use super::receive::{Deadline, Room};
use crate::convert::Version;
use crate::fault::Fault;
use crate::telemetry::{ConvertedRow, Telemetry};

pub(super) const PATH: &str = "/convert";

/// A body up to this is converted where it was read: it takes about as long as a verdict does, and the way to another thread
/// and back would take as long again. It is what today's API server sends, one object a call.
const SMALL: usize = 64 * 1024;

/// What conversions share.
pub(super) struct Converter {
    telemetry: Arc<Telemetry>,
    convert: Convert,
    /// Batches at one time. They run on threads of their own, where seconds of work hold up no other answer, and one processor
    /// is left to these.
    batches: Arc<Semaphore>,
}

impl Converter {
    pub fn new(telemetry: Arc<Telemetry>, convert: Convert) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { telemetry, convert, batches: Arc::new(Semaphore::new(processors.saturating_sub(1).max(1))) }
    }

    /// A fault before there is a review.
    pub fn refuse(&self, fault: &Fault) -> Response<Body> {
        self.telemetry.not_converted(fault);
        answer::fault(fault, None)
    }

    /// From bytes to bytes, on this thread.
    fn work(&self, body: &[u8], deadline: Instant, room: Room) -> Response<Body> {
        let started = Instant::now();
        let review = match ConversionReview::decode(body) {
            Ok(review) => review,
            Err(error) => return self.refuse(&Fault::NotAConversion { problem: error.to_string() }),
        };
        let late = || Instant::now() >= deadline;
        // A panic is a fault of this one request, and its uid is still known here.
        let fault = match catch_unwind(AssertUnwindSafe(|| review.answer(self.convert, &late))) {
            Ok(Ok(answer)) => return self.tell(answer, started, room),
            Ok(Err(OutOfTime)) => Fault::OutOfTime,
            Err(_) => Fault::Panicked,
        };
        self.telemetry.not_converted(&fault);
        let failure = review.failure(fault.to_string(), Vec::new());
        let code = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = respond(code, failure, room);
        answer::told_by_headers(&fault, &mut response);
        response
    }

    fn tell(&self, answer: Answer, started: Instant, room: Room) -> Response<Body> {
        let rows: Vec<_> = answer.outcomes.iter().map(row).collect();
        self.telemetry.converted(&rows, answer.failed.as_deref(), started.elapsed());
        respond(StatusCode::OK, answer, room)
    }
}

fn row(&(Outcome { from, to, result }, count): &(Outcome, u64)) -> ConvertedRow {
    let told = |version: Option<Version>| version.map_or("other", Version::as_str);
    ConvertedRow { from: told(from), to: told(to), result, count }
}

/// One POST.
pub(super) async fn answer(
    State(converter): State<Arc<Converter>>,
    Extension(Deadline(deadline)): Extension<Deadline>,
    Extension(room): Extension<Room>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    if let Err(fault) = plain_json(&headers) {
        return converter.refuse(&fault);
    }
    if body.len() <= SMALL {
        return converter.work(&body, deadline, room);
    }
    let Ok(Ok(turn)) = timeout_at(deadline.into(), converter.batches.clone().acquire_owned()).await else {
        return converter.refuse(&Fault::OutOfTime);
    };
    let working = converter.clone();
    let worked = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        working.work(&body, deadline, room)
    });
    worked.await.unwrap_or_else(|_| converter.refuse(&Fault::Panicked))
}

fn respond(code: StatusCode, answer: Answer, room: Room) -> Response<Body> {
    let pieces: VecDeque<_> = answer.pieces.into_vecs().map(Bytes::from).collect();
    let left = pieces.iter().map(|piece| piece.len() as u64).sum();
    answer::respond(code, "application/json", Body::new(Sent { pieces, left, _room: room }))
}

/// A body that goes piece by piece, each one freed when it has left. It is as long as the one that it answers, so it holds
/// that one's room.
struct Sent {
    pieces: VecDeque<Bytes>,
    left: u64,
    _room: Room,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Known, so that the answer says its length.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::receive::Room;

    /// L-10: as in the gate.
    #[tokio::test]
    async fn l_10_a_panic_is_a_fault_of_one_request() {
        let telemetry = Arc::new(Telemetry::default());
        let converter = Converter::new(telemetry.clone(), |_, _| panic!("injected"));
        let body = br#"{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","request":{"uid":"u-1",
            "desiredAPIVersion":"kubernaut.ai/v1beta1","objects":[{}]}}"#;
        let soon = Instant::now() + std::time::Duration::from_secs(5);
        let response = converter.work(body, soon, Room::none());
        assert_eq!(response.status(), 500);
        let answer = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(
            (&answer["response"]["uid"], &answer["response"]["result"]["status"]),
            (&"u-1".into(), &"Failed".into())
        );
        assert!(telemetry.scrape(&[], &[]).contains("lockkeeper_conversion_faults_total{why=\"panic\"} 1"));
        let response = Converter::new(telemetry, crate::convert::convert).work(body, soon, Room::none());
        assert_eq!(response.status(), 200);
    }

    #[tokio::test]
    async fn past_the_deadline_nothing_more_is_converted() {
        let converter = Converter::new(Arc::default(), |_, _| panic!("too late for this"));
        let body = br#"{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","request":{"uid":"u-1",
            "desiredAPIVersion":"kubernaut.ai/v1beta1","objects":[{}]}}"#;
        let response = converter.work(body, Instant::now(), Room::none());
        assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    }
}
