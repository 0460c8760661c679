//! A named person's word that a hold may go: who may give it, and what it must say.

use super::guard::{Reason, Refusal};
use super::{FAILED, Rules, Write, whole_seconds};
use crate::api::facts::{Record, Timestamp};

/// The ways of clearing that the CRD knows.
const METHODS: [&str; 3] = ["Annotation", "APIEndpoint", "StatusField"];
const REASON_MAX_BYTES: usize = 1024;
/// As long as one write can take on its way through admission, and the second that its time is cut to.
const ON_THE_WAY_SECONDS: i64 = 35;

/// The old clearance has a name: it is frozen.
pub(super) fn attributed(old: &Record) -> bool {
    old.clearance_text("clearedBy").is_some_and(|name| !name.is_empty())
}

/// The write brings a clearance, or changes one that nobody signed.
pub(super) fn asked_for(write: &Write<'_>) -> bool {
    !attributed(write.old) && write.new.clearance.is_some() && write.new.clearance != write.old.clearance
}

/// It is signed by its writer, now: by us, a moment ago, if the API server asks again.
pub(super) fn signed(write: &Write<'_>) -> bool {
    write.new.clearance_text("clearedBy") == Some(write.user) && signed_now(write.new, write.now)
}

/// In the form in which Go clients write it back.
fn signed_now(new: &Record, now: Timestamp) -> bool {
    let Some(text) = new.clearance_text("clearedAt") else { return false };
    let near = |at: Timestamp| (now.as_second() - at.as_second()).abs() <= ON_THE_WAY_SECONDS;
    text.parse().is_ok_and(|at| near(at) && text == whole_seconds(at))
}

/// The same clearance, whatever the form of its time.
fn same(old: &Record, new: &Record) -> bool {
    let timeless = |record: &Record| {
        let mut members = record.clearance.clone()?;
        let at = members.remove("clearedAt");
        let instant = at.as_ref().and_then(|at| at.as_str()?.parse::<Timestamp>().ok());
        Some((members, instant.ok_or(at)))
    };
    timeless(old) == timeless(new)
}

/// Why this clearance does not pass.
pub(super) fn refuse(write: &Write<'_>, rules: &Rules) -> Option<Refusal> {
    let Write { old, new, user, .. } = *write;
    if attributed(old) {
        let frozen = "a clearance that carries a name is a record; it is neither changed nor removed";
        return (!same(old, new)).then(|| Refusal::new(Reason::ClearanceFrozen, CLEARANCE, frozen.to_owned()));
    }
    if !asked_for(write) {
        return None;
    }
    let invalid = |member: &str, told: String| {
        Some(Refusal::new(Reason::ClearanceInvalid, &format!("{CLEARANCE}{member}"), told))
    };
    // One that comes with the failure itself would lift a hold that nobody has looked at.
    if &*new.phase != FAILED || &*old.phase != FAILED {
        let phase = if old.phase.is_empty() { "not begun" } else { &old.phase };
        return invalid("", format!("only a Failed execution holds its target; this one is {phase}"));
    }
    if !holds(new) {
        return invalid("", "this execution holds nothing: it has no failureDetails, or was Deduplicated".to_owned());
    }
    if user.is_empty() {
        let told = "the request names no user, and a clearance is a person's word".to_owned();
        return Some(Refusal::new(Reason::ClearanceForbidden, CLEARANCE, told));
    }
    if !rules.clearance.may_clear(user) {
        let told = if user.starts_with("system:serviceaccount:") {
            "a service account may not clear (clearance.serviceAccounts); a person has to look first"
        } else {
            "this user is a part of Kubernetes; a person has to look first"
        };
        return Some(Refusal::new(Reason::ClearanceForbidden, CLEARANCE, told.to_owned()));
    }
    let reason = new.clearance_text("clearReason").unwrap_or_default();
    let (words, wanted) = (words(reason), rules.clearance.min_reason_words);
    if words < wanted {
        return invalid(".clearReason", format!("expected at least {wanted} words that say why, found {words}"));
    }
    if reason.len() > REASON_MAX_BYTES {
        return invalid(".clearReason", format!("expected at most {REASON_MAX_BYTES} bytes, found {}", reason.len()));
    }
    if !new.clearance_text("clearMethod").is_some_and(|method| METHODS.contains(&method)) {
        return invalid(".clearMethod", format!("expected one of {}", METHODS.join(", ")));
    }
    if !signed(write) {
        let told =
            "clearedBy and clearedAt are the writer and the time of the request; leave them to lockkeeper".to_owned();
        return invalid(".clearedBy", told);
    }
    None
}

/// What has a letter or a digit in it.
fn words(reason: &str) -> usize {
    reason.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).count()
}

/// A failure that check 8 or 9 can rest on.
fn holds(new: &Record) -> bool {
    new.failure.is_some() && new.failure_text("reason") != Some("Deduplicated")
}

pub(super) const CLEARANCE: &str = "status.blockClearance";
