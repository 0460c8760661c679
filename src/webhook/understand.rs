//! What a review asks of the gate. The webhook and `lockkeeper review` understand by the same text.

use serde_json::value::RawValue;

use super::review::{Operation, Review};
use super::spec;
use crate::api::facts::{Candidate, Cause, NotACandidate};
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
            (Operation::Create, Some(object), _) => create(object, self.namespace.as_deref()),
            (Operation::Create, None, _) => Ok(no_object()),
            (Operation::Update, Some(new), Some(old)) => {
                Ok(spec::changed(old, new)
                    .map_or_else(|_| no_object(), |spec_changed| Question::Update { spec_changed }))
            }
            _ => Ok(Question::Nothing(None)),
        }
    }
}

fn create(object: &RawValue, namespace: Option<&str>) -> Result<Question, Fault> {
    match Candidate::from_json(object.get(), namespace) {
        Ok(candidate) => Ok(Question::Create(Request::create(candidate))),
        Err(NotACandidate::Malformed(causes)) => Ok(Question::Malformed(causes)),
        Err(NotACandidate::Syntax(problem)) => Err(Fault::NotAReview { problem: format!("request.object: {problem}") }),
    }
}

fn no_object() -> Question {
    let message = "expected a WorkflowExecution; send the object that is to be created or changed".to_owned();
    Question::Malformed(vec![Cause { field: "object".to_owned(), message }])
}
