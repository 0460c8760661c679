//! A named person's word that a hold may go: who may give it, and what it must say.

use serde_json::{Value, json};

use super::guard::{Reason, Refusal};
use super::{FAILED, Rules, Write, whole_seconds};
use crate::api::facts::{Record, Timestamp};
use crate::line::one_line;

/// Asks for a clearance: the reason.
pub const CLEAR: &str = "lockkeeper.kubernaut.ai/clear";
/// Who asks, as the API server authenticated them.
pub(super) const CLEARED_BY: &str = "lockkeeper.kubernaut.ai/cleared-by";
const BY_ANNOTATION: &str = "Annotation";
/// The ways of clearing that the CRD knows.
const METHODS: [&str; 3] = [BY_ANNOTATION, "APIEndpoint", "StatusField"];
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

/// Whose word it is: that of who writes it, or, where it repeats what an annotation asks for, of who was seen to ask.
pub(super) fn author<'a>(write: &Write<'a>) -> &'a str {
    let Write { old, new, .. } = *write;
    let repeats = new.clearance_text("clearMethod") == Some(BY_ANNOTATION)
        && new.clearance_text("clearReason") == old.clear.as_deref()
        && new.clearance_text("clearedBy") == old.cleared_by.as_deref();
    old.cleared_by.as_deref().filter(|_| repeats && old.clear.is_some()).unwrap_or(write.user)
}

/// It is signed by its author, now: by us, a moment ago, if the API server asks again.
pub(super) fn signed(write: &Write<'_>) -> bool {
    write.new.clearance_text("clearedBy") == Some(author(write)) && signed_now(write.new, write.now)
}

/// An annotation asks for a clearance, which it did not before, or for another reason.
pub(super) fn wished(write: &Write<'_>) -> bool {
    write.new.clear.is_some() && write.new.clear != write.old.clear
}

/// Why a write of the object itself, not of its status, may not ask for a clearance so. None: it does not, or may.
#[must_use]
pub fn unwelcome(write: &Write<'_>, rules: &Rules) -> Option<Refusal> {
    let Write { old, new, user, .. } = *write;
    let wished = wished(write);
    let own = new.cleared_by.as_deref() == Some(user);
    if new.cleared_by != old.cleared_by && !(wished && own) {
        let told = "only lockkeeper writes it, with the name of who asks for a clearance; leave it as it was read";
        return Some(Refusal::new(Reason::AnnotationReserved, &annotation(CLEARED_BY), told.to_owned()));
    }
    if !wished {
        return None;
    }
    let field = annotation(CLEAR);
    if attributed(old) {
        let by = one_line(old.clearance_text("clearedBy").unwrap_or_default(), 100);
        let told = format!("this execution was cleared already, by {by}; it holds nothing any more");
        return Some(Refusal::new(Reason::ClearanceInvalid, &field, told));
    }
    if let Some(refusal) = forbidden(write, user, rules, [&field, &field], new.clear.as_deref().unwrap_or_default()) {
        return Some(refusal);
    }
    (!own).then(|| {
        let told = "it left without your name; is clearance.lockkeeper.kubernaut.ai registered, and does a webhook after it change annotations?";
        Refusal::new(Reason::ClearanceInvalid, &annotation(CLEARED_BY), told.to_owned())
    })
}

fn annotation(name: &str) -> String {
    format!("metadata.annotations[{name}]")
}

/// The clearance that annotations ask for, if it would lift something.
#[must_use]
pub fn granted(record: &Record, now: Timestamp) -> Option<Value> {
    let (reason, author) = (record.clear.as_deref()?, record.cleared_by.as_deref()?);
    let lifts = &*record.phase == FAILED && holds(record) && record.clearance.is_none();
    lifts.then(|| {
        json!({"clearedBy": author, "clearedAt": whole_seconds(now), "clearReason": reason, "clearMethod": BY_ANNOTATION})
    })
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
    let Write { old, new, .. } = *write;
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
    let (whole, why) = (CLEARANCE, format!("{CLEARANCE}.clearReason"));
    let reason = new.clearance_text("clearReason").unwrap_or_default();
    if let Some(refusal) = forbidden(write, author(write), rules, [whole, &why], reason) {
        return Some(refusal);
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

/// Why this execution cannot be cleared now, by them, for that reason; the members that say so and why.
fn forbidden(write: &Write<'_>, author: &str, rules: &Rules, [whole, why]: [&str; 2], reason: &str) -> Option<Refusal> {
    let Write { old, new, .. } = *write;
    let invalid = |field: &str, told: String| Some(Refusal::new(Reason::ClearanceInvalid, field, told));
    let unfit = |told: &str| Some(Refusal::new(Reason::ClearanceForbidden, whole, told.to_owned()));
    // One that comes with the failure itself would lift a hold that nobody has looked at.
    if &*new.phase != FAILED || &*old.phase != FAILED {
        let phase = if old.phase.is_empty() { "not begun" } else { &old.phase };
        return invalid(whole, format!("only a Failed execution holds its target; this one is {phase}"));
    }
    if !holds(new) {
        let told = "this execution holds nothing: it has no failureDetails, or was Deduplicated";
        return invalid(whole, told.to_owned());
    }
    if author.is_empty() {
        return unfit("the request names no user, and a clearance is a person's word");
    }
    if !rules.clearance.may_clear(author) {
        return unfit(if author.starts_with("system:serviceaccount:") {
            "a service account may not clear (clearance.serviceAccounts); a person has to look first"
        } else {
            "this user is a part of Kubernetes; a person has to look first"
        });
    }
    let (words, wanted) = (words(reason), rules.clearance.min_reason_words);
    if words < wanted {
        return invalid(why, format!("expected at least {wanted} words that say why, found {words}"));
    }
    if reason.len() > REASON_MAX_BYTES {
        return invalid(why, format!("expected at most {REASON_MAX_BYTES} bytes, found {}", reason.len()));
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
