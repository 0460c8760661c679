//! What a review asks of the gate. The webhook and `lockkeeper review` understand by the same text.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::review::{Operation, Review};
use super::spec::{self, NoSpec};
use crate::api::facts::{Candidate, Cause, NotACandidate};
use crate::convert::{self, Version};
use crate::fault::Fault;
use crate::routing::Request;

/// The question in a review.
#[derive(Debug)]
pub enum Question {
    /// May this be created?
    Create(Request),
    /// A candidate that makes no sense.
    Malformed(Vec<Cause>),
    /// May it be changed so?
    Update { spec_changed: bool },
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
            (Operation::Update, Some(new), Some(old)) => match spec::changed(&as_stored(old), &as_stored(new)) {
                Ok(spec_changed) => Ok(Question::Update { spec_changed }),
                Err(NoSpec::NoObject) => Ok(no_object()),
                Err(NoSpec::Twice(problem)) => {
                    Err(Fault::NotAReview { problem: format!("request.object.spec: {problem}") })
                }
            },
            _ => Ok(Question::Nothing(None)),
        }
    }
}

/// With what is parked in it, which is stored as well: a target's cluster, say, that its version has no member for.
fn as_stored(object: &RawValue) -> Cow<'_, RawValue> {
    let parks = object.get().contains(convert::LEGACY);
    let hub = || {
        let converted = convert::convert(object.get(), Version::V1beta1).ok()?;
        RawValue::from_string(String::from_utf8(converted.json).ok()?).ok()
    };
    parks.then(hub).flatten().map_or(Cow::Borrowed(object), Cow::Owned)
}

fn create(object: &RawValue, namespace: Option<&str>, name: Option<&str>) -> Result<Question, Fault> {
    match Candidate::from_json(as_stored(object).get(), namespace) {
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
