//! What a review asks of the gate. The webhook and `lockkeeper review` understand by the same text.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::review::{Operation, Review};
use super::spec::{self, NoSpec};
use crate::api::facts::{Candidate, Cause, NotACandidate};
use crate::convert::{self, Version};
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

/// Whether something may be parked in it.
fn parks(object: &RawValue) -> bool {
    object.get().contains(convert::LEGACY) || object.get().contains("\"parked\"")
}

/// What it says in a version. What it parks comes true there: a target's cluster, say, that its own version has no member for.
fn read_in(version: Version, object: &RawValue) -> Cow<'_, RawValue> {
    let told = || RawValue::from_string(convert::told(object.get(), version).ok()?.json).ok();
    told().map_or(Cow::Borrowed(object), Cow::Owned)
}

/// What a write changes. A status has writes of its own, and this is none of them: where it changes, an annotation does it.
fn update(old: &RawValue, new: &RawValue) -> Result<Option<Change>, NoSpec> {
    if spec::changed(old, new)? {
        return Ok(Some(Change::Spec));
    }
    if !parks(old) && !parks(new) {
        return Ok(None);
    }
    let status_written = spec::status_changed(old, new);
    for version in [Version::V1beta1, Version::V1alpha1] {
        let (old, new) = (read_in(version, old), read_in(version, new));
        if spec::changed(&old, &new)? {
            return Ok(Some(Change::Spec));
        }
        if !status_written && spec::status_changed(&old, &new) {
            return Ok(Some(Change::ParkedStatus));
        }
    }
    Ok(None)
}

fn create(object: &RawValue, namespace: Option<&str>, name: Option<&str>) -> Result<Question, Fault> {
    // It is judged by what is seen of it, so nothing else may be stored.
    if parks(object) && convert::told(object.get(), Version::V1beta1).is_ok_and(|told| told.adds_to_spec) {
        return Ok(Question::Change(Some(Change::ParkedSpec)));
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
