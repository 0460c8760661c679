//! What a document is to `lockkeeper convert`: ours, another kind, or a slip of the pen that must not pass as one.

use crate::convert::KINDS;
use crate::line::one_line;
use crate::manifest::Document;

pub(super) enum What {
    Ours,
    /// It says that it is something else.
    Other,
    /// It says so, and means one of ours.
    Mistaken(String),
}

const GROUP: &str = "kubernaut.ai";

pub(super) fn what(document: &Document) -> What {
    let kind = &*document.kind;
    let of_group = document.group() == GROUP;
    let of_none = document.api_version.is_empty();
    if kind.is_empty() {
        return if of_group || of_none { What::Ours } else { What::Other };
    }
    if KINDS.iter().any(|known| known.name == kind) {
        return if of_group || of_none { What::Ours } else { What::Mistaken(of_another_group(document)) };
    }
    match meant(kind).filter(|_| of_group || of_none) {
        Some(name) => {
            What::Mistaken(format!("kind {:?} is not known in {GROUP}; did you mean {name}?", one_line(kind, 100)))
        }
        None => What::Other,
    }
}

fn of_another_group(document: &Document) -> String {
    let found = one_line(&document.api_version, 100);
    format!("apiVersion {found:?} of a {}, expected {GROUP}/v1alpha1 or {GROUP}/v1beta1", document.kind)
}

/// The kind of ours that somebody mistyped.
fn meant(kind: &str) -> Option<&'static str> {
    KINDS.iter().map(|known| known.name).find(|name| kind.len() < 40 && distance(kind, name) <= 3)
}

/// So many letters to add, drop or change.
fn distance(one: &str, other: &str) -> usize {
    strsim::levenshtein(&one.to_lowercase(), &other.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(api_version: &str, kind: &str) -> String {
        let text = serde_json::json!({"apiVersion": api_version, "kind": kind}).to_string();
        match what(&crate::manifest::parse(&"f".into(), &text).unwrap()[0]) {
            What::Ours => "ours".to_owned(),
            What::Other => "other".to_owned(),
            What::Mistaken(problem) => problem,
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_no_other_kind() {
        for (api_version, kind, expected) in [
            ("kubernaut.ai/v1alpha1", "WorkflowExecution", "ours"),
            ("kubernaut.ai/v7", "WorkflowExecution", "ours"),
            ("", "WorkflowExecution", "ours"),
            ("kubernaut.ai/v1alpha1", "", "ours"),
            ("apps/v1", "Deployment", "other"),
            ("", "Deployment", "other"),
            ("kubernaut.ai/v1alpha1", "RemediationWorkflow", "other"),
            ("kubernaut.ai/v1alpha1", "WorkflowExecutoin", "did you mean WorkflowExecution?"),
            ("kubernaut.ai/v1alpha1", "workflowexecution", "did you mean WorkflowExecution?"),
            ("", "RemediationRequests", "did you mean RemediationRequest?"),
            ("kubernaut.ai/v1alpha1", "SignalProcessing", "other"),
            (
                "kubernaut.io/v1alpha1",
                "WorkflowExecution",
                "apiVersion \"kubernaut.io/v1alpha1\" of a WorkflowExecution, expected kubernaut.ai/v1alpha1 or",
            ),
            ("v1alpha1", "RemediationRequest", "apiVersion \"v1alpha1\" of a RemediationRequest, expected"),
        ] {
            let found = told(api_version, kind);
            assert!(found == expected || found.len() > 5 && found.contains(expected), "{api_version} {kind}: {found}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
