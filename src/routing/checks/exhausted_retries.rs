use super::*;

/// Enough attempts failed before anything ran: trying again will not help, a person must look (DD-WE-004).
pub(super) fn ask(case: &Case<'_>) -> Outcome {
    let max = case.policy.checks.exhausted_retries.max.get();
    let retries = retries_counted(case);
    let hold = retries.newest.filter(|_| retries.count >= max as usize).map(|newest| Hold {
        reason: Reason::ExhaustedRetries,
        because: Because::ExhaustedRetries { count: retries.count, max },
        by: Some(Culprit::execution(&newest.key)),
        end: End::WhenCleared,
    });
    Outcome::of(hold)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::*;
    use super::*;

    fn failures(n: i64) -> Vec<Wfe> {
        (1..=n).map(|i| failed(BeforeItRan).ended(-1000 + i)).collect()
    }

    #[test]
    fn as_many_failures_as_allowed_hold_until_a_person_clears_the_newest() {
        assert_eq!(view().history(failures(4)).says(ask), "pass");
        assert_eq!(view().history(failures(5)).says(ask), "we-5 until cleared");
        assert_eq!(view().history(failures(6)).says(ask), "we-6 until cleared");
        assert_eq!(view().says(ask), "pass");
    }

    #[test]
    fn the_number_is_the_operators() {
        let max = |n: u32| move |checks: &mut Checks| checks.exhausted_retries.max = n.try_into().unwrap();
        assert_eq!(view().policy(max(1)).history(failures(1)).says(ask), "we-1 until cleared");
        assert_eq!(view().policy(max(6)).history(failures(5)).says(ask), "pass");
        let hold = view().policy(max(2)).history(failures(3)).hold(ask);
        assert_eq!(hold.because, Because::ExhaustedRetries { count: 3, max: 2 });
    }

    #[test]
    fn it_needs_no_parent() {
        assert_eq!(view().without_parent().history(failures(5)).says(ask), "we-5 until cleared");
    }
}
