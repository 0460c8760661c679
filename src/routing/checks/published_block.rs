use super::*;
use crate::api::facts::{Block, RequestPhase};

/// Believes the parent where it says that it is blocked. Block fields of a request that is not Blocked are leftovers.
pub(super) fn ask(case: &Case<'_>) -> Outcome {
    let Some(parent) = case.parent() else { return Outcome::Skipped };
    if parent.phase != RequestPhase::Blocked {
        return Outcome::Pass;
    }
    let nothing_said = Block::default();
    let block = parent.block.as_deref().unwrap_or(&nothing_said);
    let end = match block.until {
        Some(until) if until > case.now => End::At(until),
        Some(_) => return Outcome::Pass,
        None if decided_live(&block.reason) => return Outcome::Pass,
        None => End::Never,
    };
    Outcome::Hit(Hold { reason: reason(block), because: Because::Published, by: Some(culprit(parent, block)), end })
}

/// Without an end, these two say what the live checks know better.
fn decided_live(reason: &str) -> bool {
    matches!(reason, "ResourceBusy" | "DuplicateInProgress")
}

fn reason(block: &Block) -> Reason {
    let text = super::super::one_line(&block.reason, 63);
    Reason::Published(if text.is_empty() { "Blocked".into() } else { text.into() })
}

fn culprit(parent: &RemediationRequest, block: &Block) -> Culprit {
    let beside_parent = |name: &str| ObjectKey { namespace: parent.key.namespace.clone(), name: name.into() };
    match (&block.blocking_workflow_execution, &block.duplicate_of) {
        (Some(name), _) => Culprit { kind: Kind::WorkflowExecution, key: beside_parent(name) },
        (None, Some(name)) => Culprit::request(&beside_parent(name)),
        (None, None) => Culprit::request(&parent.key),
    }
}
