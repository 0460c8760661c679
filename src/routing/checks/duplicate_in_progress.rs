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

#[cfg(test)]
mod tests {
    use super::super::super::testing::*;
    use super::*;
    use crate::api::facts::RequestPhase;

    #[test]
    fn an_older_sibling_that_has_not_ended_goes_first() {
        for phase in [
            RequestPhase::Unset,
            RequestPhase::Pending,
            RequestPhase::Processing,
            RequestPhase::Analyzing,
            RequestPhase::AwaitingApproval,
            RequestPhase::Executing,
            RequestPhase::Verifying,
            RequestPhase::Blocked,
            RequestPhase::Other,
        ] {
            assert_eq!(view().siblings([request(phase)]).says(ask), "rr-1 until gone", "{phase:?}");
        }
    }

    #[test]
    fn an_ended_sibling_is_no_duplicate() {
        for phase in [
            RequestPhase::Completed,
            RequestPhase::Failed,
            RequestPhase::TimedOut,
            RequestPhase::Skipped,
            RequestPhase::Cancelled,
        ] {
            assert_eq!(view().siblings([request(phase)]).says(ask), "pass", "{phase:?}");
        }
    }

    #[test]
    fn age_is_creation_then_name() {
        let active = || request(RequestPhase::Executing);
        assert_eq!(view().siblings([active().created(1)]).says(ask), "pass");
        assert_eq!(view().siblings([active().created(-1)]).says(ask), "rr-1 until gone");
        assert_eq!(view().siblings([active().created(0).named("a")]).says(ask), "a until gone");
        assert_eq!(view().siblings([active().created(0).named("z")]).says(ask), "pass");
        assert_eq!(view().siblings([active().timeless()]).says(ask), "rr-1 until gone");
    }

    #[test]
    fn all_are_looked_at_and_the_oldest_is_named() {
        let active = || request(RequestPhase::Executing);
        let siblings = [
            active().created(10),
            active().created(-10),
            request(RequestPhase::Failed).created(-90),
            active().created(-30),
        ];
        assert_eq!(view().siblings(siblings).says(ask), "rr-4 until gone");
    }

    #[test]
    fn without_a_parent_there_are_no_siblings() {
        assert_eq!(view().without_parent().siblings([request(RequestPhase::Executing)]).says(ask), "skipped");
    }
}
