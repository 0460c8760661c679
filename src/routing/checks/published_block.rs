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
    let text = crate::line::one_line(&block.reason, 63);
    Reason::Published(match text.trim() {
        "" => "Blocked".into(),
        said => said.into(),
    })
}

fn culprit(parent: &RemediationRequest, block: &Block) -> Culprit {
    let beside_parent = |name: &str| parent.key.beside(name);
    match (&block.blocking_workflow_execution, &block.duplicate_of) {
        (Some(name), _) => Culprit { kind: Kind::WorkflowExecution, key: beside_parent(name) },
        (None, Some(name)) => Culprit::request(&beside_parent(name)),
        (None, None) => Culprit::request(&parent.key),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::*;
    use super::*;

    fn blocked(reason: &str, until: Option<i64>) -> Block {
        Block { reason: reason.into(), until: until.map(at), ..Block::default() }
    }

    fn parent(block: Block) -> Scene {
        view().parent(request(RequestPhase::Blocked).saying(block))
    }

    #[test]
    fn a_block_with_an_end_holds_until_then() {
        for (until, says) in [(60, "parent until +60"), (1, "parent until +1"), (0, "pass"), (-1, "pass")] {
            for reason in ["ConsecutiveFailures", "ResourceBusy", "DuplicateInProgress", "on site", ""] {
                assert_eq!(parent(blocked(reason, Some(until))).says(ask), says, "{reason} {until}");
            }
        }
    }

    #[test]
    fn a_block_without_an_end_holds_for_ever_but_for_what_live_checks_decide() {
        for reason in ["IneffectiveChain", "manual", ""] {
            assert_eq!(parent(blocked(reason, None)).says(ask), "parent for ever", "{reason}");
        }
        for reason in ["ResourceBusy", "DuplicateInProgress"] {
            assert_eq!(parent(blocked(reason, None)).says(ask), "pass", "{reason}");
        }
        assert_eq!(
            view().parent(request(RequestPhase::Blocked)).says(ask),
            "parent for ever",
            "blocked, and says nothing"
        );
    }

    #[test]
    fn leftovers_of_a_block_mean_nothing() {
        for phase in [RequestPhase::Analyzing, RequestPhase::Failed, RequestPhase::Unset] {
            let leftover = request(phase).saying(blocked("ConsecutiveFailures", Some(60)));
            assert_eq!(view().parent(leftover).says(ask), "pass", "{phase:?}");
        }
    }

    #[test]
    fn it_names_what_the_parent_names_in_the_parents_namespace() {
        let block = Block {
            blocking_workflow_execution: Some("we-9".into()),
            duplicate_of: Some("rr-9".into()),
            ..blocked("x", None)
        };
        let by = |block: Block| parent(block).hold(ask).by.unwrap();
        assert_eq!(by(block.clone()), Culprit { kind: Kind::WorkflowExecution, key: key("payments", "we-9") });
        let duplicate = Block { blocking_workflow_execution: None, ..block };
        assert_eq!(by(duplicate), Culprit { kind: Kind::RemediationRequest, key: key("payments", "rr-9") });
        assert_eq!(by(blocked("x", None)), Culprit { kind: Kind::RemediationRequest, key: key("payments", "parent") });
    }

    #[test]
    fn the_reason_is_the_parents_own_made_fit_to_print() {
        let reason = |text: &str| parent(blocked(text, None)).hold(ask).reason.as_str().to_owned();
        assert_eq!(reason("IneffectiveChain"), "IneffectiveChain");
        assert_eq!(reason(""), "Blocked");
        assert_eq!(reason(" \n\u{200b}"), "Blocked", "nothing that can be seen");
        assert_eq!(reason("on\nsite\u{1b}[31m"), "on site [31m");
        assert_eq!(reason(&"x".repeat(99)).chars().count(), 63);
    }

    #[test]
    fn without_a_parent_there_is_no_block() {
        assert_eq!(view().without_parent().says(ask), "skipped");
    }
}
