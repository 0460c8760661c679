use super::*;

/// Holds a target whose last workflow did something and failed, until a person clears it (BR-WE-013).
pub(super) fn ask(case: &Case<'_>) -> Outcome {
    let culprit = case.ended().take_while(|wfe| !wfe.completed()).find(|wfe| wfe.ran() && !wfe.cleared);
    Outcome::of(culprit.map(|wfe| Hold {
        reason: Reason::PreviousExecutionFailed,
        because: Because::PreviousExecutionFailed,
        by: Some(Culprit::execution(wfe)),
        end: End::WhenCleared,
    }))
}
