use super::*;

/// Refuses a candidate whose RemediationRequest is not there, is another one, is going or is done.
pub(super) fn ask(case: &Case<'_>) -> Outcome {
    let Some(reference) = &case.request.parent else { return Outcome::Skipped };
    let (reason, because) = match &case.view.parent {
        Parent::NotAsked => return Outcome::Skipped,
        Parent::Missing => (Reason::ParentMissing, Because::ParentMissing),
        Parent::Unreadable => (Reason::ParentUnreadable, Because::ParentUnreadable),
        Parent::Found(parent) => match fault(reference.uid.as_deref(), parent) {
            Some(fault) => fault,
            None => return Outcome::Pass,
        },
    };
    Outcome::Hit(Hold { reason, because, by: Some(Culprit::request(&reference.key())), end: End::Never })
}

fn fault(wanted: Option<&str>, parent: &RemediationRequest) -> Option<(Reason, Because)> {
    match wanted {
        Some(wanted) if *wanted != *parent.uid => {
            let because = Because::ParentMismatch { wanted: wanted.into(), found: parent.uid.clone() };
            Some((Reason::ParentMismatch, because))
        }
        _ if parent.deleting => Some((Reason::ParentDeleting, Because::ParentDeleting)),
        _ if parent.phase.terminal() => {
            Some((Reason::ParentTerminal, Because::ParentTerminal { phase: parent.phase.as_str() }))
        }
        _ => None,
    }
}
