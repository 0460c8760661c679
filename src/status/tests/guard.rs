//! What is refused.

use super::*;

#[test]
fn an_end_is_an_end() {
    for (old, new) in [
        ("Failed", "Running"),
        ("Failed", "Pending"),
        ("Failed", "Completed"),
        ("Failed", ""),
        ("Completed", "Failed"),
        ("Completed", "Running"),
    ] {
        let row = write(json!({"phase": old}), json!({"phase": new}));
        assert_eq!(row.refused(), Some((Reason::PhaseTerminal, "status.phase".to_owned())), "{old} → {new}");
    }
    // What upstream's executor writes.
    for (old, new) in [
        ("", "Running"),
        ("", "Pending"),
        ("", "Failed"),
        ("Pending", "Failed"),
        ("Pending", "Running"),
        ("Running", "Running"),
        ("Running", "Completed"),
        ("Running", "Failed"),
        ("Failed", "Failed"),
        ("Completed", "Completed"),
    ] {
        assert_eq!(write(json!({"phase": old}), json!({"phase": new})).refused(), None, "{old} → {new}");
    }
}

#[test]
fn no_failure_that_did_something_becomes_older_than_a_success() {
    let moved = Some((Reason::PhaseTerminal, "status.completionTime".to_owned()));
    let at = |status: Value, at: &str| with(status, "completionTime", json!(at));
    let (noon, later, earlier) = ("2026-01-05T12:00:00Z", "2026-01-05T12:00:01Z", "2026-01-05T11:59:59Z");
    let ran = || failed("TaskFailed", true);
    for other in [later, earlier, "soon"] {
        assert_eq!(write(at(ran(), noon), at(ran(), other)).refused(), moved, "{other}");
    }
    assert_eq!(write(at(ran(), noon), without(ran(), "completionTime")).refused(), moved);
    assert_eq!(write(at(ran(), noon), at(ran(), "2026-01-05T14:00:00+02:00")).refused(), None, "the same time");
    assert_eq!(write(without(ran(), "completionTime"), at(ran(), noon)).refused(), None, "RO ends one without a time");
    let completed = || json!({"phase": "Completed"});
    assert_eq!(write(at(completed(), noon), at(completed(), later)).refused(), moved);
    // What only waits for its time may be set right.
    assert_eq!(write(at(completed(), noon), at(completed(), earlier)).refused(), None);
    let idle = || failed("ImagePullBackOff", false);
    assert_eq!(write(at(idle(), noon), at(idle(), earlier)).refused(), None);
}

#[test]
fn a_recorded_failure_stands() {
    let refused = |old: Value, new: Value, account: Account| write(old, new).knowing(account).refused();
    let immutable = |member: &str| Some((Reason::FailureImmutable, format!("status.failureDetails{member}")));
    let ran = || failed("TaskFailed", true);
    assert_eq!(refused(ran(), failed("ConfigurationError", true), Account::Unknown), immutable(".reason"));
    assert_eq!(refused(ran(), failed("Unknown", true), Account::Unknown), immutable(".reason"));
    assert_eq!(refused(ran(), failed("TaskFailed", false), Account::Unknown), immutable(".wasExecutionFailure"));
    assert_eq!(refused(ran(), without(ran(), "failureDetails"), Account::Unknown), immutable(""));
    let nameless = with(ran(), "failureDetails", json!({"wasExecutionFailure": true}));
    assert_eq!(refused(ran(), nameless, Account::Unknown), immutable(".reason"));
    let vague = with(ran(), "failureDetails", json!({"reason": "", "wasExecutionFailure": true}));
    assert_eq!(refused(failed("Unknown", true), vague, Account::Unknown), immutable(".reason"));
    // What may be learnt afterwards.
    assert_eq!(refused(failed("Unknown", false), failed("TaskFailed", true), Account::Unknown), None);
    assert_eq!(refused(failed("Unknown", true), failed("Forbidden", true), Account::Unknown), None);
    assert_eq!(refused(without(ran(), "failureDetails"), failed("Unknown", false), Account::Unknown), None);
    // That it never had the target is known when it ends, or it is not so.
    for old in [failed("Unknown", true), failed("Unknown", false), without(ran(), "failureDetails")] {
        for own in ["Deduplicated", "UnsupportedEngine"] {
            assert_eq!(refused(old.clone(), failed(own, true), Account::Unknown), immutable(".reason"));
        }
    }
    let disowned = |old: Value| with(old, "failureReason", json!("Deduplicated"));
    let of_reason = Some((Reason::FailureImmutable, "status.failureReason".to_owned()));
    assert_eq!(refused(ran(), disowned(ran()), Account::Unknown), of_reason);
    assert_eq!(refused(failed("Unknown", false), disowned(failed("Unknown", false)), killed()), of_reason);
    assert_eq!(refused(disowned(ran()), disowned(ran()), Account::Unknown), None);
    assert_eq!(refused(running(), disowned(failed("Unknown", false)), Account::Unknown), None);
    assert_eq!(refused(ran(), with(ran(), "conditions", json!([{"type": "AuditRecorded"}])), Account::Unknown), None);
    // What the run's own record attests.
    assert_eq!(refused(ran(), failed("OOMKilled", true), killed()), None);
    assert_eq!(refused(ran(), failed("ImagePullBackOff", false), not_pulled()), None);
    assert_eq!(refused(ran(), failed("Forbidden", true), killed()), immutable(".reason"));
    assert_eq!(
        refused(ran(), failed("TaskFailed", false), Account::Gone { ran: false }),
        immutable(".wasExecutionFailure")
    );
}

#[test]
fn what_another_webhook_takes_back_after_the_amender_is_refused() {
    let bent = Some((Reason::FailureImmutable, "status.failureDetails.wasExecutionFailure".to_owned()));
    let refused = |new: Value, account, mode| write(running(), new).knowing(account).classification(mode).refused();
    for account in [killed(), Account::GoesOn { ran: None }, Account::Gone { ran: true }, Account::Succeeded] {
        for new in [failed("OOMKilled", false), failed("Deduplicated", true), json!({"phase": "Failed"})] {
            assert_eq!(refused(new.clone(), account.clone(), Mode::Correct), bent, "{new} {account:?}");
            assert_eq!(refused(new, account.clone(), Mode::Off), None);
        }
        assert_eq!(refused(failed("TaskFailed", true), account.clone(), Mode::Correct), None, "the flag is what holds");
        assert_eq!(refused(failed("TaskFailed", false), account, Mode::Fill), None, "as the operator decided");
    }
    for account in [Account::Unknown, not_pulled(), Account::Gone { ran: false }] {
        assert_eq!(refused(failed("TaskFailed", false), account, Mode::Correct), None);
    }
    assert_eq!(refused(failed("Unknown", false), Account::Unknown, Mode::Correct), None, "nobody attests it");
}

#[test]
fn who_had_the_target_stands() {
    let by = |name: &str| with(failed("Deduplicated", false), "deduplicatedBy", json!(name));
    let refused = Some((Reason::DeduplicationImmutable, "status.deduplicatedBy".to_owned()));
    assert_eq!(write(by("we-0"), by("we-9")).refused(), refused);
    assert_eq!(write(by("we-0"), failed("Deduplicated", false)).refused(), refused);
    assert_eq!(write(by("we-0"), by("we-0")).refused(), None);
    assert_eq!(write(json!({"phase": "Pending"}), by("we-0")).refused(), None);
}

fn cleared(clearance: Value) -> Value {
    with(failed("TaskFailed", true), "blockClearance", clearance)
}

#[test]
fn a_clearance_is_signed_by_the_writer_and_the_clock() {
    for sent in [
        clearance(),
        with(clearance(), "clearedBy", json!("somebody-else")),
        with(clearance(), "clearedAt", json!("2020-01-01T00:00:00Z")),
    ] {
        let stored = write(failed("TaskFailed", true), cleared(sent)).stored();
        assert_eq!(stored["blockClearance"]["clearedBy"], "alice");
        assert_eq!(stored["blockClearance"]["clearedAt"], NOW);
        assert_eq!(stored["blockClearance"]["clearReason"], REASON);
    }
    // What is right already is left as it is.
    let dated = with(with(clearance(), "clearedBy", json!("alice")), "clearedAt", json!("2020-01-01T00:00:00Z"));
    let changes = write(failed("TaskFailed", true), cleared(dated)).amended().changes;
    assert_eq!(
        changes.iter().map(|change| change.path.join("/")).collect::<Vec<_>>(),
        ["status/blockClearance/clearedAt"]
    );
    // One that nobody signed yet is signed when it is changed.
    let unsigned = with(clearance(), "clearedBy", json!(""));
    let better = with(unsigned.clone(), "clearMethod", json!("APIEndpoint"));
    assert_eq!(write(cleared(unsigned), cleared(better)).stored()["blockClearance"]["clearedBy"], "alice");
}

#[test]
fn without_the_signature_the_guard_refuses() {
    let invalid = Some((Reason::ClearanceInvalid, "status.blockClearance.clearedBy".to_owned()));
    for (name, at) in [
        ("somebody-else", NOW),
        ("alice", "2026-01-05T09:00:00Z"),
        ("alice", "2026-01-05T09:59:00Z"),
        ("alice", "2026-01-05T10:01:00Z"),
        ("alice", "2026-01-05T12:00:00+02:00"),
        ("alice", "2026-01-05T10:00:00.5Z"),
        ("alice", "soon"),
        ("", NOW),
    ] {
        let sent = with(with(clearance(), "clearedBy", json!(name)), "clearedAt", json!(at));
        assert_eq!(write(failed("TaskFailed", true), cleared(sent)).refused(), invalid, "{name} {at}");
    }
}

#[test]
fn what_a_clearance_needs() {
    let refused = |new: Value| write(failed("TaskFailed", true), new).refused();
    let invalid = |member: &str| Some((Reason::ClearanceInvalid, format!("status.blockClearance{member}")));
    let say = |reason: &str| cleared(with(signed(), "clearReason", json!(reason)));
    assert_eq!(refused(cleared(signed())), None);
    assert_eq!(refused(say("one two three four five six seven eight nine")), invalid(".clearReason"));
    assert_eq!(refused(say("   \t ")), invalid(".clearReason"));
    assert_eq!(refused(say(". . . . . . . . . .")), invalid(".clearReason"));
    assert_eq!(refused(say(&"word ".repeat(300))), invalid(".clearReason"));
    assert_eq!(refused(cleared(with(signed(), "clearMethod", json!("Email")))), invalid(".clearMethod"));
    assert_eq!(refused(cleared(without(signed(), "clearMethod"))), invalid(".clearMethod"));
    for phase in ["Running", "Completed", "Pending", ""] {
        let status = json!({"phase": phase});
        let row = write(status.clone(), with(status, "blockClearance", signed()));
        assert_eq!(row.refused(), invalid(""), "{phase}");
    }
    let holds_nothing = with(failed("Deduplicated", false), "blockClearance", signed());
    assert_eq!(write(failed("Deduplicated", false), holds_nothing).refused(), invalid(""));
    let unclassified = json!({"phase": "Failed", "blockClearance": signed()});
    assert_eq!(write(json!({"phase": "Failed"}), unclassified).refused(), invalid(""));
}

#[test]
fn a_clearance_does_not_come_with_the_failure_that_it_lifts() {
    let row = write(running(), cleared(signed()));
    assert_eq!(row.refused(), Some((Reason::ClearanceInvalid, "status.blockClearance".to_owned())));
}

#[test]
fn service_accounts_do_not_clear_unless_they_are_named() {
    let account = "system:serviceaccount:ops:healer";
    let sent = cleared(with(signed(), "clearedBy", json!(account)));
    let mut row = write(failed("TaskFailed", true), sent).by(account);
    let forbidden = Some((Reason::ClearanceForbidden, "status.blockClearance".to_owned()));
    assert_eq!(row.refused(), forbidden);
    row.rules.clearance.service_accounts = "other/healer  ops/healer".to_owned();
    assert_eq!(row.refused(), None);
    assert_eq!(
        write(failed("TaskFailed", true), cleared(with(signed(), "clearedBy", json!("")))).by("").refused(),
        forbidden
    );
}

#[test]
fn whoever_kubernetes_itself_names_is_no_person() {
    for (user, may) in [
        ("system:admin", true),
        ("kubernetes-admin", true),
        ("systems@example.com", true),
        ("system:anonymous", false),
        ("system:node:worker-1", false),
        ("system:kube-controller-manager", false),
    ] {
        let row = write(failed("TaskFailed", true), cleared(with(signed(), "clearedBy", json!(user)))).by(user);
        let forbidden = (Reason::ClearanceForbidden, "status.blockClearance".to_owned());
        assert_eq!(row.refused(), (!may).then_some(forbidden), "{user}");
    }
}

#[test]
fn a_signed_clearance_is_frozen() {
    let frozen = Some((Reason::ClearanceFrozen, "status.blockClearance".to_owned()));
    let old = || cleared(with(signed(), "clearedAt", json!("2026-01-05T09:30:00Z")));
    for new in [
        failed("TaskFailed", true),
        with(old(), "blockClearance", json!(null)),
        cleared(signed()),
        cleared(with(old()["blockClearance"].clone(), "clearedBy", json!("mallory"))),
        cleared(with(old()["blockClearance"].clone(), "clearReason", json!("short"))),
        cleared(with(old()["blockClearance"].clone(), "note", json!("more"))),
    ] {
        assert_eq!(write(old(), new.clone()).refused(), frozen, "{new}");
        assert_eq!(write(old(), new).amended(), Amendment::default(), "it is not signed anew");
    }
    assert_eq!(write(old(), with(old(), "conditions", json!([]))).refused(), None);
    // One that was signed before its form was ours, as a Go client writes it back.
    let other_form = with(old()["blockClearance"].clone(), "clearedAt", json!("2026-01-05T11:30:00+02:00"));
    assert_eq!(write(with(old(), "blockClearance", other_form), old()).refused(), None);
}

#[test]
fn a_refusal_is_one_line_that_says_what_to_do() {
    let row = write(json!({"phase": "Failed"}), json!({"phase": "Run\nning"}));
    let refusal = row.ask(|write| guard(write, &row.rules)).unwrap();
    assert_eq!(
        refusal.message(),
        "PhaseTerminal: status.phase: Failed is an end; it does not become Run ning. Create a new WorkflowExecution instead"
    );
}
