//! A ConversionReview and its answer, without HTTP. The objects stay in the body until their turn comes, one by one, and are
//! written into the answer as they are converted: input, tree and output are never all there at once.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::review::{ReviewError, opened};
use crate::api::facts::Mapping;
use crate::convert::{Converted, Unconvertible, Version, called};
use crate::line::one_line;

/// One ConversionReview request.
#[derive(Debug)]
pub struct ConversionReview<'a> {
    api_version: Cow<'a, str>,
    uid: Cow<'a, str>,
    desired: Cow<'a, str>,
    /// A list, not looked into.
    objects: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow)]
    api_version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    request: Option<Mapping<WireRequest<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireRequest<'a> {
    #[serde(borrow)]
    uid: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "desiredAPIVersion")]
    desired: Option<Cow<'a, str>>,
    #[serde(borrow)]
    objects: Option<&'a RawValue>,
}

/// How one object is turned into another version.
pub type Convert = fn(&str, Version) -> Result<Converted, Unconvertible>;

/// What became of an object, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// None: a version that we do not know.
    pub from: Option<Version>,
    pub to: Option<Version>,
    pub result: &'static str,
}

/// An answer in pieces, and what it tells of.
#[derive(Debug, Default)]
pub struct Answer {
    pub pieces: Pieces,
    /// Objects by what became of them.
    pub outcomes: Vec<(Outcome, u64)>,
    /// Why the result is Failed.
    pub failed: Option<String>,
}

/// The caller has no time left.
#[derive(Debug, PartialEq, Eq)]
pub struct OutOfTime;

impl<'a> ConversionReview<'a> {
    /// Takes the envelope off.
    ///
    /// # Errors
    /// Where it is not valid UTF-8 and JSON throughout, or not a review of a version that we know, or carries no uid.
    pub fn decode(body: &'a [u8]) -> Result<Self, ReviewError> {
        let Wire { api_version, kind, request } = opened(body)?;
        if kind.as_deref() != Some("ConversionReview") {
            return Err(ReviewError::unexpected("kind", kind.as_deref().unwrap_or("none"), "ConversionReview"));
        }
        let api_version = api_version.ok_or_else(|| ReviewError::missing("apiVersion"))?;
        if !matches!(&*api_version, "apiextensions.k8s.io/v1" | "apiextensions.k8s.io/v1beta1") {
            let expected = "apiextensions.k8s.io/v1 or v1beta1";
            return Err(ReviewError::unexpected("apiVersion", &api_version, expected));
        }
        let Mapping(request) = request.ok_or_else(|| ReviewError::missing("request"))?;
        let uid = request.uid.filter(|uid| !uid.is_empty()).ok_or_else(|| ReviewError::missing("request.uid"))?;
        let objects = match request.objects {
            None => "[]",
            Some(list) if list.get().starts_with('[') => list.get(),
            Some(_) => return Err(ReviewError::unexpected("request.objects", "no list", "a list of objects")),
        };
        Ok(Self { api_version, uid, desired: request.desired.unwrap_or_default(), objects })
    }

    /// Converts the objects in their order. The first that cannot be told what it is makes the whole result Failed.
    ///
    /// # Errors
    /// Where `late` says so before all are done.
    pub fn answer(&self, convert: Convert, late: &dyn Fn() -> bool) -> Result<Answer, OutOfTime> {
        let Ok(to) = Version::from_api_version(&self.desired) else {
            let known = "kubernaut.ai/v1alpha1, kubernaut.ai/v1beta1";
            let found = one_line(&self.desired, 100);
            let problem = format!("desiredAPIVersion {found:?} is none of {known}");
            return Ok(self.failure(problem, Vec::new()));
        };
        let mut work = Work {
            to,
            convert,
            late,
            answer: Answer::default(),
            // The usual call has one object, and its answer is about as long.
            done: 0,
            late_at: false,
        };
        work.answer.pieces = Pieces::of(self.objects.len() + 512);
        self.head(&mut work.answer.pieces);
        let mut list = serde_json::Deserializer::from_str(self.objects);
        // It is valid JSON, so what stops the walk is one of ours.
        let walked = list.deserialize_seq(&mut work);
        if work.late_at {
            return Err(OutOfTime);
        }
        let Work { mut answer, done, .. } = work;
        if let Some(problem) = answer.failed.take() {
            return Ok(self.failure(problem, answer.outcomes));
        }
        if let Err(error) = walked {
            return Ok(self.failure(format!("objects[{done}]: {error}"), answer.outcomes));
        }
        answer.pieces.write(br#"],"result":{"status":"Success"}}}"#);
        Ok(answer)
    }

    /// Up to the first object.
    fn head(&self, pieces: &mut Pieces) {
        let head = serde_json::json!(self.api_version).to_string();
        let uid = serde_json::json!(self.uid).to_string();
        let kind = r#","kind":"ConversionReview","response":{"uid":"#;
        for part in [r#"{"apiVersion":"#, &head, kind, &uid, r#","convertedObjects":["#] {
            pieces.write(part.as_bytes());
        }
    }

    /// No object, and why.
    #[must_use]
    pub fn failure(&self, problem: String, outcomes: Vec<(Outcome, u64)>) -> Answer {
        #[derive(Serialize)]
        struct Result_<'a> {
            status: &'static str,
            message: &'a str,
        }
        let mut pieces = Pieces::of(problem.len() + 512);
        self.head(&mut pieces);
        pieces.write(br#"],"result":"#);
        let result = serde_json::to_vec(&Result_ { status: "Failed", message: &problem });
        pieces.write(&result.unwrap_or_else(|_| br#"{"status":"Failed"}"#.to_vec()));
        pieces.write(b"}}");
        Answer { pieces, outcomes, failed: Some(problem) }
    }
}

/// One walk through the objects.
struct Work<'w> {
    to: Version,
    convert: Convert,
    late: &'w dyn Fn() -> bool,
    answer: Answer,
    done: usize,
    late_at: bool,
}

impl Work<'_> {
    /// False: no further.
    fn take(&mut self, object: &str) -> bool {
        if (self.late)() {
            self.late_at = true;
            return false;
        }
        let to = Some(self.to);
        match (self.convert)(object, self.to) {
            Ok(Converted { from, json, parked, .. }) => {
                let result = match () {
                    () if from == self.to => "unchanged",
                    () if parked.is_empty() => "converted",
                    () => "parked",
                };
                self.count(Outcome { from: Some(from), to, result });
                if self.done > 0 {
                    self.answer.pieces.write(b",");
                }
                self.answer.pieces.take(json);
                self.done += 1;
                true
            }
            Err(error) => {
                self.count(Outcome { from: error.version(), to, result: "failed" });
                self.answer.failed = Some(format!("objects[{}] ({}): {error}", self.done, called(object)));
                false
            }
        }
    }

    fn count(&mut self, outcome: Outcome) {
        match self.answer.outcomes.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, count)) => *count += 1,
            None => self.answer.outcomes.push((outcome, 1)),
        }
    }
}

impl<'de> Visitor<'de> for &mut Work<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(object) = list.next_element::<&'de RawValue>()? {
            if !self.take(object.get()) {
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// Bytes in pieces: one buffer that grows would be there twice each time it does.
#[derive(Debug, Default)]
pub struct Pieces {
    done: Vec<Vec<u8>>,
    open: Vec<u8>,
}

/// Long enough that pieces are few, short enough that a half-filled one is little.
const PIECE: usize = 256 * 1024;

impl Pieces {
    /// Of about so many bytes.
    fn of(expected: usize) -> Self {
        Self { done: Vec::new(), open: Vec::with_capacity(expected.min(PIECE)) }
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.open.len() + bytes.len() > self.open.capacity() && !self.open.is_empty() {
            self.done.push(std::mem::replace(&mut self.open, Vec::with_capacity(PIECE)));
        }
        self.open.extend_from_slice(bytes);
    }

    /// What is long is a piece of its own.
    fn take(&mut self, bytes: Vec<u8>) {
        if bytes.len() < PIECE {
            return self.write(&bytes);
        }
        self.done.push(std::mem::take(&mut self.open));
        self.done.push(bytes);
    }

    /// In their order, none empty.
    pub fn into_vecs(self) -> impl Iterator<Item = Vec<u8>> {
        self.done.into_iter().chain([self.open]).filter(|piece| !piece.is_empty())
    }
}
