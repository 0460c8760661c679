//! Why it waits is said once, and then it is looked at again: when the time comes, or when no word of a change would.

use super::ends::leaving;
use super::*;

/// What is known beside the run.
#[derive(Clone, Copy, Default)]
struct Known {
    other_ended: Option<bool>,
    leftovers: bool,
    unreadable: Option<Input>,
}

/// When it is looked at again, once it was said why it waits.
fn again(run: Run<'_>, known: Known) -> String {
    let Known { other_ended, leftovers, unreadable } = known;
    let step = |execution: Value| {
        let row = Row { execution, hold: None, run, memory: NOTHING };
        row.but(|seen| Seen { other_ended, leftovers, unreadable, ..seen })
    };
    let mut waiting = json!({"status": {}});
    let Step::Write(change) = step(waiting.clone()) else { return "nothing is said".to_owned() };
    for (name, value) in change.members {
        waiting["status"][name] = value.unwrap_or_default();
    }
    told(&step(waiting))
}

#[test]
fn what_is_in_the_way_is_looked_at_again_where_no_change_of_it_is_heard() {
    let theirs = |status: &Value| run_of("we-9", "u-9", status);
    for (run, other_ended, heard, unheard) in [
        (leaving(&theirs(&going())), None, "rest", "rest until 10"),
        (run_of("", "", &going()), None, "rest", "rest until 10"),
        (run_of("we-1", "u-0", &going()), None, "rest", "rest until 10"),
        (theirs(&ended("True", -10)), None, "rest until 50", "rest until 50"),
        (theirs(&ended("True", -600)), Some(false), "rest until 10", "rest until 10"),
    ] {
        let known = Known { other_ended, ..Known::default() };
        assert_eq!(again(Run::There(&run), known), heard, "{run:?}");
        let blind = Known { unreadable: Some(Input::TaskRuns), ..known };
        assert_eq!(again(Run::There(&run), blind), unheard, "{run:?}");
    }
}

#[test]
fn where_nothing_is_in_its_place_it_is_looked_at_again_by_the_clock() {
    assert_eq!(again(ABSENT, Known { leftovers: true, ..Known::default() }), "rest until 10");
    assert_eq!(again(ABSENT, Known { unreadable: Some(Input::Pods), ..Known::default() }), "rest until 10");
}

/// A cooldown that a person means for ever.
#[test]
fn a_cooldown_past_all_time_is_no_cooldown_of_none() {
    let rules = Rules { cooldown: Duration::from_secs(80_000_000 * 3600), ..RULES() };
    let end = Timestamp::MAX.as_second() - now().as_second();
    let verdict = verdict(None);
    let step = |commission: &Commission, run: &Carrier| {
        told(&plan(&seen(commission, &verdict, Run::There(run), &NOTHING), &rules, now()))
    };
    let own = run_of("we-1", "u-1", &ended("True", -70));
    let over = execution(json!({"status": {"phase": "Completed", "completionTime": stamp(-70)}}));
    assert_eq!(step(&over, &own), format!("rest until {end}"));
    assert_eq!(step(&execution(json!({})), &run_of("we-9", "u-9", &ended("True", -70))), "write Pending Held");
}
