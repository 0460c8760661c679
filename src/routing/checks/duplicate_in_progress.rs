use super::super::view::by_age;
use super::*;

/// Of several requests for one signal the oldest goes first; the others wait for its end.
pub(super) fn ask(case: &Case<'_>) -> Outcome {
    let Some(parent) = case.parent() else { return Outcome::Skipped };
    let elder = case.view.siblings.without(&parent.key).find(|request| !request.phase.terminal());
    let hold = elder.filter(|elder| by_age(elder, parent).is_lt()).map(|elder| Hold {
        reason: Reason::DuplicateInProgress,
        because: Because::DuplicateInProgress,
        by: Some(Culprit::request(&elder.key)),
        end: End::WhenGone,
    });
    Outcome::of(hold)
}
