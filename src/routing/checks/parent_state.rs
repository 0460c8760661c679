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

#[cfg(test)]
mod tests {
    use super::super::super::testing::*;
    use super::*;
    use crate::api::facts::RequestPhase;

    fn reason(scene: &Scene) -> Reason {
        scene.hold(ask).reason
    }

    #[test]
    fn a_living_parent_passes_in_any_phase_that_is_not_the_last() {
        for phase in [
            RequestPhase::Unset,
            RequestPhase::Analyzing,
            RequestPhase::AwaitingApproval,
            RequestPhase::Executing,
            RequestPhase::Blocked,
            RequestPhase::Other,
        ] {
            assert_eq!(view().parent(request(phase)).says(ask), "pass", "{phase:?}");
        }
    }

    #[test]
    fn an_absent_or_unreadable_parent_holds() {
        let missing = view().without_parent();
        assert_eq!((missing.says(ask), reason(&missing)), ("parent for ever".into(), Reason::ParentMissing));
        let unreadable = view().parent_is(Parent::Unreadable);
        assert_eq!((unreadable.says(ask), reason(&unreadable)), ("parent for ever".into(), Reason::ParentUnreadable));
    }

    #[test]
    fn another_object_under_the_parents_name_holds_where_a_uid_was_given() {
        let asking =
            |uid: Option<&str>| view().question(|question| question.parent.as_mut().unwrap().uid = uid.map(Into::into));
        assert_eq!(asking(None).says(ask), "pass");
        assert_eq!(asking(Some("u")).says(ask), "pass");
        let hold = asking(Some("U")).hold(ask);
        assert_eq!(hold.because, Because::ParentMismatch { wanted: "U".into(), found: "u".into() });
    }

    #[test]
    fn a_parent_that_goes_or_has_ended_holds() {
        assert_eq!(reason(&view().parent(request(RequestPhase::Analyzing).deleting())), Reason::ParentDeleting);
        for phase in [
            RequestPhase::Completed,
            RequestPhase::Failed,
            RequestPhase::TimedOut,
            RequestPhase::Skipped,
            RequestPhase::Cancelled,
        ] {
            let hold = view().parent(request(phase)).hold(ask);
            assert_eq!(hold.because, Because::ParentTerminal { phase: phase.as_str() });
        }
    }

    #[test]
    fn the_first_fault_in_order_is_told() {
        let gone_and_ended = request(RequestPhase::Completed).deleting();
        assert_eq!(reason(&view().parent(gone_and_ended.clone())), Reason::ParentDeleting);
        let another = view().parent(gone_and_ended).question(|question| {
            question.parent.as_mut().unwrap().uid = Some("other".into());
        });
        assert_eq!(reason(&another), Reason::ParentMismatch);
    }

    #[test]
    fn a_question_about_a_target_alone_has_no_parent_to_ask() {
        assert_eq!(view().question(|question| question.parent = None).says(ask), "skipped");
        assert_eq!(view().parent_is(Parent::NotAsked).says(ask), "skipped");
    }
}
