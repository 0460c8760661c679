//! The decision log: each decision is one line, and the same refusal again is a count.
//!
//! RO asks again every 5 seconds for up to an hour: 700 lines would bury the one that matters.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Decision;
use crate::failure::Reason;
use crate::fault::Fault;
use crate::status::Classified;

/// A refusal that was not repeated for so long is over. A saturated RO comes back every 18 seconds.
const QUIET: Duration = Duration::from_secs(60);
/// Refusals remembered at one time; the longest quiet one makes room.
const REMEMBERED: usize = 4096;

#[derive(Default)]
pub(super) struct DecisionLog {
    repeated: Mutex<HashMap<Told, Repeats>>,
}

/// What makes two lines the same line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Told {
    Refusal {
        object: String,
        reason: String,
        by: String,
    },
    Fault(&'static str),
    /// Objects that have no other version: asked for again with every list.
    Unconverted(String),
}

struct Repeats {
    more: u64,
    first: Instant,
    last: Instant,
}

impl DecisionLog {
    pub fn take(&self, decision: &Decision<'_>, now: Instant) {
        let Some(why) = decision.told.as_ref().filter(|_| !decision.admitted) else {
            return self.admitted(decision);
        };
        let by = why.by.map(|by| format!("{} {}", by.kind, by.key)).unwrap_or_default();
        let told = Told::Refusal { object: object(decision), reason: why.reason.clone().into_owned(), by };
        if self.is_repeat(&told, now) {
            return;
        }
        tracing::info!(
            decision = "deny",
            operation = decision.operation,
            object = object(decision),
            user = crate::line::one_line(decision.user, 200),
            reason = &*why.reason,
            mode = why.mode,
            decision_id = decision.id,
            state_age_ms = decision.state_age.map(millis),
            "{}",
            decision.message
        );
    }

    pub fn fault(&self, fault: &Fault, now: Instant) {
        if !self.is_repeat(&Told::Fault(fault.label()), now) {
            tracing::warn!(decision = "error", status = fault.status(), reason = fault.label(), "{fault}");
        }
    }

    pub fn unconverted(&self, problem: &str, now: Instant) {
        if !self.is_repeat(&Told::Unconverted(problem.to_owned()), now) {
            tracing::warn!(conversion = "failed", "{problem}");
        }
    }

    fn admitted(&self, decision: &Decision<'_>) {
        if decision.webhook != "gate" {
            return;
        }
        self.over(&object(decision));
        // UPDATE and DELETE pass by the thousand; only what was decided is worth a line.
        if decision.operation != "CREATE" {
            return;
        }
        let (reason, mode) = decision.told.as_ref().map_or(("", "enforce"), |told| (&*told.reason, told.mode));
        tracing::info!(
            decision = "allow",
            operation = decision.operation,
            object = object(decision),
            user = crate::line::one_line(decision.user, 200),
            reason,
            mode,
            decision_id = decision.id,
            state_age_ms = decision.state_age.map(millis),
            "admitted"
        );
    }

    /// Counts it, if it was told before.
    fn is_repeat(&self, told: &Told, now: Instant) -> bool {
        let mut repeated = self.repeated.lock();
        if let Some(repeats) = repeated.get_mut(told) {
            repeats.more += 1;
            repeats.last = now;
            return true;
        }
        if repeated.len() >= REMEMBERED {
            let quietest = repeated.iter().min_by_key(|(_, repeats)| repeats.last).map(|(told, _)| told.clone());
            if let Some((told, repeats)) = quietest.and_then(|told| repeated.remove_entry(&told)) {
                say(&told, &repeats);
            }
        }
        repeated.insert(told.clone(), Repeats { more: 0, first: now, last: now });
        false
    }

    /// The object was admitted: its refusals are over.
    fn over(&self, admitted: &str) {
        self.drain(|told, _| matches!(told, Told::Refusal { object, .. } if object == admitted));
    }

    pub fn sweep(&self, now: Instant) {
        self.drain(|_, repeats| now.duration_since(repeats.last) >= QUIET);
    }

    pub fn flush(&self) {
        self.drain(|_, _| true);
    }

    fn drain(&self, mut done: impl FnMut(&Told, &Repeats) -> bool) {
        let mut repeated = self.repeated.lock();
        repeated.retain(|told, repeats| {
            let done = done(told, repeats);
            if done {
                say(told, repeats);
            }
            !done
        });
    }
}

/// Failure details that leave other than they came are told of, one line each.
pub(super) fn classified(decision: &Decision<'_>, classified: &Classified) {
    let from = classified.from.map_or("", Reason::as_str);
    tracing::info!(
        object = object(decision),
        user = crate::line::one_line(decision.user, 200),
        from,
        reason = classified.to.as_str(),
        was_execution_failure = classified.ran,
        source = classified.source.as_str(),
        decision_id = decision.id,
        "classified"
    );
}

fn say(told: &Told, repeats: &Repeats) {
    if repeats.more == 0 {
        return;
    }
    let over = crate::api::duration::GoDuration::from(repeats.last.duration_since(repeats.first));
    match told {
        Told::Refusal { object, reason, by } => {
            tracing::info!(decision = "deny", object, reason, by, times = repeats.more, %over, "the same refusal again");
        }
        Told::Fault(label) => {
            tracing::warn!(decision = "error", reason = label, times = repeats.more, %over, "the same fault again");
        }
        Told::Unconverted(problem) => {
            tracing::warn!(conversion = "failed", problem, times = repeats.more, %over, "not converted again");
        }
    }
}

fn object(decision: &Decision<'_>) -> String {
    decision
        .object
        .as_ref()
        .map_or_else(|| "(no name yet)".to_owned(), |key| crate::line::one_line(&key.to_string(), 320))
}

fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use serde_json::Value;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::api::facts::{ObjectKey, ParentRef, Target, Timestamp};
    use crate::routing::{Mode, Parent, Policy, Request, Verdict, View, decide, unasked};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// What the log says while something is done, line by line.
    fn told(what: impl FnOnce(&DecisionLog)) -> Vec<Value> {
        let lines = Lines::default();
        let format = tracing_subscriber::fmt().json().flatten_event(true).with_writer(lines.clone());
        tracing::subscriber::with_default(format.finish(), || what(&DecisionLog::default()));
        let bytes = lines.0.lock();
        bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    fn messages(lines: &[Value]) -> Vec<&str> {
        lines.iter().map(|line| line["message"].as_str().unwrap()).collect()
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey { namespace: "payments".into(), name: name.into() }
    }

    /// Held by a parent of this name that is not there.
    fn held_by(parent: &str) -> Verdict {
        let parent = ParentRef { namespace: "payments".into(), name: parent.into(), uid: None };
        let target = Target::parse("payments/Deployment/api", None).unwrap();
        let request = Request { parent: Some(parent), ..Request::target(target) };
        let view = View { parent: Parent::Missing, ..View::default() };
        decide(&request, &view, &Policy::default(), Timestamp::UNIX_EPOCH)
    }

    fn free() -> Verdict {
        unasked(&Policy::default(), Timestamp::UNIX_EPOCH)
    }

    fn decision<'a>(object: Option<&str>, verdict: &'a Verdict) -> Decision<'a> {
        Decision {
            webhook: "gate",
            id: "id-1".to_owned(),
            operation: "CREATE",
            dry_run: false,
            object: object.map(key),
            user: "alice\nadmin",
            admitted: verdict.admitted(),
            told: crate::telemetry::Told::of(verdict),
            message: verdict.message().unwrap_or_default().leak(),
            state_age: Some(Duration::from_millis(1500)),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn a_refusal_is_one_line_with_all_it_takes_to_find_it_again() {
        let lines = told(|log| log.take(&decision(Some("we-1"), &held_by("rr-1")), Instant::now()));
        let line = &lines[0];
        assert!(line["message"].as_str().unwrap().starts_with("ParentMissing: "));
        for (member, value) in [
            ("decision", "deny"),
            ("operation", "CREATE"),
            ("object", "payments/we-1"),
            ("user", "alice admin"),
            ("reason", "ParentMissing"),
            ("mode", "enforce"),
            ("decision_id", "id-1"),
        ] {
            assert_eq!(line[member], value, "{member}");
        }
        assert_eq!((&line["state_age_ms"], lines.len()), (&Value::from(1500), 1));
    }

    #[test]
    fn the_same_refusal_700_times_is_one_line_and_a_later_count() {
        let (verdict, start) = (held_by("rr-1"), Instant::now());
        let lines = told(|log| {
            for i in 0..700 {
                log.take(&decision(Some("we-1"), &verdict), start + Duration::from_secs(5 * i));
                log.sweep(start + Duration::from_secs(5 * i));
            }
            log.sweep(start + Duration::from_secs(5 * 699 + 59));
            log.sweep(start + Duration::from_secs(5 * 699 + 60));
            log.sweep(start + Duration::from_secs(5 * 699 + 600));
        });
        assert_eq!(messages(&lines)[1..], ["the same refusal again"]);
        let count = &lines[1];
        assert_eq!((&count["times"], &count["over"]), (&Value::from(699), &Value::from("58m15s")));
        assert_eq!((&count["object"], &count["reason"]), (&"payments/we-1".into(), &"ParentMissing".into()));
        assert_eq!(count["by"], "RemediationRequest payments/rr-1");
    }

    #[test]
    fn a_refusal_that_was_not_repeated_has_no_count() {
        let verdict = held_by("rr-1");
        let lines = told(|log| {
            log.take(&decision(Some("we-1"), &verdict), Instant::now());
            log.flush();
            log.flush();
        });
        assert_eq!(lines.len(), 1);
    }

    #[test]
    fn another_object_reason_or_culprit_is_another_line() {
        let (first, second) = (held_by("rr-1"), held_by("rr-2"));
        let immutable =
            crate::routing::change(Some(crate::routing::Change::Spec), &Policy::default(), Timestamp::UNIX_EPOCH);
        let lines = told(|log| {
            for (object, verdict) in [("we-1", &first), ("we-2", &first), ("we-1", &second), ("we-1", &immutable)] {
                for _ in 0..3 {
                    log.take(&decision(Some(object), verdict), Instant::now());
                }
            }
            log.flush();
        });
        assert_eq!(lines.len(), 8);
        assert!(lines[4..].iter().all(|line| line["times"] == 2), "{lines:?}");
    }

    #[test]
    fn an_admission_ends_the_refusals_of_its_object_alone() {
        let (verdict, free) = (held_by("rr-1"), free());
        let lines = told(|log| {
            for object in ["we-1", "we-2", "we-1", "we-2"] {
                log.take(&decision(Some(object), &verdict), Instant::now());
            }
            log.take(&decision(Some("we-1"), &free), Instant::now());
            log.take(&decision(Some("we-1"), &verdict), Instant::now());
        });
        let (held, again) = (messages(&lines)[0].to_owned(), "the same refusal again");
        assert_eq!(messages(&lines), [&held, &held, again, "admitted", &held]);
        assert_eq!(lines[2]["object"], "payments/we-1");
        assert_eq!((&lines[3]["decision"], &lines[3]["reason"]), (&"allow".into(), &"".into()));
    }

    #[test]
    fn an_admission_in_spite_of_a_hit_says_which_and_in_which_mode() {
        let mut policy = Policy::default();
        policy.checks.parent_state.mode = Mode::Audit;
        let target = Target::parse("payments/Deployment/api", None).unwrap();
        let parent = ParentRef { namespace: "payments".into(), name: "rr-1".into(), uid: None };
        let request = Request { parent: Some(parent), ..Request::target(target) };
        let view = View { parent: Parent::Missing, ..View::default() };
        let verdict = decide(&request, &view, &policy, Timestamp::UNIX_EPOCH);
        let lines = told(|log| log.take(&decision(None, &verdict), Instant::now()));
        assert_eq!((&lines[0]["reason"], &lines[0]["mode"]), (&"ParentMissing".into(), &"audit".into()));
        assert_eq!(lines[0]["object"], "(no name yet)");
    }

    #[test]
    fn an_update_that_passes_is_no_line() {
        let free = free();
        let lines =
            told(|log| log.take(&Decision { operation: "UPDATE", ..decision(Some("we-1"), &free) }, Instant::now()));
        assert_eq!(lines, Vec::<Value>::new());
    }

    #[test]
    fn faults_are_said_once_for_each_kind_and_counted() {
        let not_ready = Fault::NotReady { problem: "remediationrequests not listed yet".into() };
        let lines = told(|log| {
            for fault in [&not_ready, &Fault::Shed { key: "k" }, &not_ready, &not_ready] {
                log.fault(fault, Instant::now());
            }
            log.flush();
        });
        let shed = Fault::Shed { key: "k" }.to_string();
        assert_eq!(messages(&lines), ["remediationrequests not listed yet", &shed, "the same fault again"]);
        assert_eq!(
            (&lines[0]["status"], &lines[2]["reason"], &lines[2]["times"]),
            (&503.into(), &"not_ready".into(), &2.into())
        );
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_quietest_makes_room() {
        let (verdict, start) = (held_by("rr-1"), Instant::now());
        let name = |i: usize| format!("we-{i}");
        let log = DecisionLog::default();
        let take =
            |i: usize, second: u64| log.take(&decision(Some(&name(i)), &verdict), start + Duration::from_secs(second));
        (0..REMEMBERED).for_each(|i| take(i, 1));
        take(7, 2);
        (REMEMBERED..2 * REMEMBERED - 1).for_each(|i| take(i, 3));
        assert_eq!(log.repeated.lock().len(), REMEMBERED);
        let still = |i: usize| {
            log.repeated
                .lock()
                .keys()
                .any(|told| matches!(told, Told::Refusal { object, .. } if *object == format!("payments/we-{i}")))
        };
        assert_eq!((still(0), still(7), still(2 * REMEMBERED - 2)), (false, true, true));
    }

    #[test]
    fn what_made_room_is_counted_too() {
        let (verdict, start) = (held_by("rr-1"), Instant::now());
        let lines = told(|log| {
            let take = |i: usize| {
                log.take(&decision(Some(&format!("we-{i}")), &verdict), start + Duration::from_secs(i as u64));
            };
            take(0);
            (0..=REMEMBERED).for_each(take);
        });
        let counts: Vec<_> = lines.iter().filter(|line| line["times"] == 1).collect();
        assert_eq!(counts.len(), 1);
        assert_eq!(counts[0]["object"], "payments/we-0");
    }
}
