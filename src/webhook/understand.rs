//! What a review asks of the gate. The webhook and `lockkeeper review` understand by the same text.

use serde_json::value::RawValue;

use super::review::{Operation, Review};
use super::spec::{self, NoSpec};
use crate::api::facts::{Candidate, Cause, NotACandidate};
use crate::convert::{self, Told, Version};
use crate::fault::Fault;
use crate::routing::{Change, Request};

/// The question in a review.
#[derive(Debug)]
pub enum Question {
    /// May this be created?
    Create(Request),
    /// A candidate that makes no sense.
    Malformed(Vec<Cause>),
    /// May it be changed so, or begin so?
    Change(Option<Change>),
    /// Nothing that the gate judges; the text is a warning to the caller.
    Nothing(Option<String>),
}

impl Review<'_> {
    /// Reads the object as far as the gate's question needs.
    ///
    /// # Errors
    /// Where the object itself is bad JSON: then the whole body is.
    pub fn understand(&self) -> Result<Question, Fault> {
        if let Some(what) = self.foreign("") {
            let warning = format!("lockkeeper judges workflowexecutions.kubernaut.ai only; {what} passed unjudged");
            return Ok(Question::Nothing(Some(warning)));
        }
        match (self.operation, self.object, self.old_object) {
            (Operation::Create, Some(object), _) => create(object, self.namespace.as_deref(), self.name.as_deref()),
            (Operation::Create, None, _) => Ok(no_object()),
            (Operation::Update, Some(new), Some(old)) => match update(old, new) {
                Ok(change) => Ok(Question::Change(change)),
                Err(NoSpec::NoObject) => Ok(no_object()),
                Err(NoSpec::Twice(problem)) => {
                    Err(Fault::NotAReview { problem: format!("request.object.spec: {problem}") })
                }
            },
            _ => Ok(Question::Nothing(None)),
        }
    }
}

/// What it says in a version. What it parks comes true there: a target's cluster, say, that its own version has no member for.
fn told_in(version: Version, object: &RawValue) -> Told {
    let itself = || Told { json: object.get().to_owned(), ..Told::default() };
    convert::told(object.get(), version).unwrap_or_else(|_| itself())
}

/// What a write changes. A status has writes of its own, and this is none of them: where it changes, an annotation does it.
fn update(old: &RawValue, new: &RawValue) -> Result<Option<Change>, NoSpec> {
    if spec::changed(old, new)? {
        return Ok(Some(Change::Spec));
    }
    if !convert::parks(old.get()) && !convert::parks(new.get()) {
        return Ok(None);
    }
    let status_written = spec::status_changed(old, new);
    for version in [Version::V1beta1, Version::V1alpha1] {
        let (was, is) = (told_in(version, old), told_in(version, new));
        // What does not come true yet may do so with the status that comes next.
        let waits = !is.of_status.is_subset(&was.of_status);
        let raw = |text| RawValue::from_string(text).map_err(|_| NoSpec::NoObject);
        let (was, is) = (raw(was.json)?, raw(is.json)?);
        if spec::changed(&was, &is)? {
            return Ok(Some(Change::Spec));
        }
        if !status_written && (waits || spec::status_changed(&was, &is)) {
            return Ok(Some(Change::ParkedStatus));
        }
    }
    Ok(None)
}

fn create(object: &RawValue, namespace: Option<&str>, name: Option<&str>) -> Result<Question, Fault> {
    // It is judged by what is seen of it, so nothing else may be stored, nor wait for a status to come true with.
    if convert::parks(object.get())
        && let Ok(told) = convert::told(object.get(), Version::V1beta1)
    {
        if told.adds_to_spec {
            return Ok(Question::Change(Some(Change::ParkedSpec)));
        }
        if !told.of_status.is_empty() {
            return Ok(Question::Change(Some(Change::ParkedStatus)));
        }
    }
    match Candidate::from_json(object.get(), namespace) {
        Ok(mut candidate) => {
            // The request names what the object leaves to it.
            candidate.name = candidate.name.or_else(|| name.filter(|name| !name.is_empty()).map(Into::into));
            Ok(Question::Create(Request::create(candidate)))
        }
        Err(NotACandidate::Malformed(causes)) => Ok(Question::Malformed(causes)),
        Err(NotACandidate::Syntax(problem)) => Err(Fault::NotAReview { problem: format!("request.object: {problem}") }),
    }
}

fn no_object() -> Question {
    let message = "expected a WorkflowExecution; send the object that is to be created or changed".to_owned();
    Question::Malformed(vec![Cause { field: "object".to_owned(), message }])
}
