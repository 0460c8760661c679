//! A clearance that is asked for by annotation.

use super::*;

const WISH: &str = "checked the deployment by hand, its configuration is right again, OPS-1234";
const ASKED: &str = "metadata.annotations[lockkeeper.kubernaut.ai/clear]";
const SIGNED: &str = "metadata.annotations[lockkeeper.kubernaut.ai/cleared-by]";

/// With these two annotations; empty: it is not there.
fn wishing(status: &Value, clear: &str, by: &str) -> Record {
    let named = |text: &str| (!text.is_empty()).then(|| text.into());
    Record { clear: named(clear), cleared_by: named(by), ..record(status) }
}

fn asked<T>(old: &Record, new: &Record, user: &str, question: impl FnOnce(&Write<'_>) -> T) -> T {
    question(&Write { old, new, user, account: &Account::Unknown, now: now() })
}

#[test]
fn the_name_of_who_asks_is_put_on_it() {
    let failed = failed("TaskFailed", true);
    let stamped = |old: (&str, &str), new: (&str, &str), user: &str| {
        let (old, new) = (wishing(&failed, old.0, old.1), wishing(&failed, new.0, new.1));
        asked(&old, &new, user, attribute).changes
    };
    let path = ["metadata", "annotations", "lockkeeper.kubernaut.ai/cleared-by"].map(str::to_owned).to_vec();
    let name = |name: &str| vec![Change { path: path.clone(), value: Some(json!(name)) }];
    assert_eq!(stamped(("", ""), (WISH, ""), "alice"), name("alice"));
    assert_eq!(stamped(("", ""), (WISH, "mallory"), "alice"), name("alice"));
    assert_eq!(stamped((WISH, "alice"), ("another reason", "alice"), "bob"), name("bob"));
    for (old, new, user) in [
        (("", ""), ("", ""), "alice"),
        (("", ""), (WISH, "alice"), "alice"),
        ((WISH, "alice"), (WISH, "alice"), "bob"),
        ((WISH, "alice"), ("", "alice"), "bob"),
        (("", ""), ("", "mallory"), "mallory"),
        (("", ""), (WISH, ""), ""),
    ] {
        assert_eq!(stamped(old, new, user), [], "{old:?} {new:?} {user}");
    }
}

#[test]
fn a_wish_is_refused_where_its_writer_can_read_why() {
    let rules = Rules::default();
    let refused = |old: &Record, new: &Record, user: &str| {
        asked(old, new, user, |write| unwelcome(write, &rules)).map(|refusal| (refusal.reason, refusal.field))
    };
    let failed = failed("TaskFailed", true);
    let plain = wishing(&failed, "", "");
    let invalid = |field: &str| Some((Reason::ClearanceInvalid, field.to_owned()));
    let forbidden = Some((Reason::ClearanceForbidden, ASKED.to_owned()));
    let reserved = Some((Reason::AnnotationReserved, SIGNED.to_owned()));
    assert_eq!(refused(&plain, &wishing(&failed, WISH, "alice"), "alice"), None);
    assert_eq!(refused(&plain, &wishing(&failed, "too few words", "alice"), "alice"), invalid(ASKED));
    assert_eq!(refused(&plain, &wishing(&failed, &"word ".repeat(300), "alice"), "alice"), invalid(ASKED));
    let account = "system:serviceaccount:ops:healer";
    assert_eq!(refused(&plain, &wishing(&failed, WISH, account), account), forbidden);
    for status in [running(), json!({"phase": "Completed"}), json!({}), super::failed("Deduplicated", false)] {
        let (old, new) = (wishing(&status, "", ""), wishing(&status, WISH, "alice"));
        assert_eq!(refused(&old, &new, "alice"), invalid(ASKED), "{status}");
    }
    // What is created was nothing before.
    assert_eq!(refused(&Record::default(), &wishing(&json!({}), WISH, "alice"), "alice"), invalid(ASKED));
    assert_eq!(refused(&Record::default(), &wishing(&json!({}), "", "alice"), "alice"), reserved);
    // Whose name it is nobody says but the API server.
    assert_eq!(refused(&plain, &wishing(&failed, WISH, "mallory"), "alice"), reserved);
    assert_eq!(refused(&plain, &wishing(&failed, "", "alice"), "alice"), reserved);
    assert_eq!(refused(&plain, &wishing(&failed, WISH, ""), "alice"), invalid(SIGNED));
    let asks = wishing(&failed, WISH, "alice");
    assert_eq!(refused(&asks, &wishing(&failed, WISH, ""), "bob"), reserved);
    assert_eq!(refused(&asks, &wishing(&failed, WISH, "bob"), "bob"), reserved);
    assert_eq!(refused(&asks, &wishing(&failed, &format!("{WISH}, and again"), "bob"), "bob"), None);
    // Others' writes go on, and so does who changes their mind.
    assert_eq!(refused(&asks, &asks.clone(), "bob"), None);
    assert_eq!(refused(&asks, &wishing(&failed, "", "alice"), "alice"), None);
    // One that a person signed already.
    let signed = with(failed, "blockClearance", json!({"clearedBy": "carol", "clearReason": WISH}));
    assert_eq!(refused(&wishing(&signed, "", ""), &wishing(&signed, WISH, "alice"), "alice"), invalid(ASKED));
}

/// What the loop writes passes in the name of who asked, whoever the loop is.
#[test]
fn what_an_annotation_asks_for_is_granted_in_that_name() {
    let loops = "system:serviceaccount:kubernaut-system:lockkeeper";
    let failed = failed("TaskFailed", true);
    let old = wishing(&failed, WISH, "alice");
    let granted = granted(&old, now()).unwrap();
    let expected = json!({"clearedBy": "alice", "clearedAt": NOW, "clearReason": WISH, "clearMethod": "Annotation"});
    assert_eq!(granted, expected);
    let rules = Rules::default();
    let told = |clearance: Value| {
        let new = wishing(&with(failed.clone(), "blockClearance", clearance), WISH, "alice");
        let changes = asked(&old, &new, loops, |write| amend(write, &rules)).changes;
        (changes.len(), asked(&old, &new, loops, |write| guard(write, &rules)).map(|refusal| refusal.reason))
    };
    assert_eq!(told(granted.clone()), (0, None));
    // Another's name, other words or another way are the writer's own, and a service account may not.
    for (member, value) in [
        ("clearedBy", "bob"),
        ("clearReason", "some other words that nobody has asked for in any way"),
        ("clearMethod", "StatusField"),
    ] {
        let (changes, refused) = told(with(granted.clone(), member, json!(value)));
        assert_eq!((changes, refused), (1, Some(Reason::ClearanceForbidden)), "{member}");
    }
    let (changes, _) = told(with(granted, "clearedAt", json!("2020-01-01T00:00:00Z")));
    assert_eq!(changes, 1, "its time is ours to say");
}

#[test]
fn nothing_is_granted_that_lifts_nothing() {
    let failed = failed("TaskFailed", true);
    for (status, clear, by) in [
        (failed.clone(), "", "alice"),
        (failed.clone(), WISH, ""),
        (running(), WISH, "alice"),
        (super::failed("Deduplicated", false), WISH, "alice"),
        (json!({"phase": "Failed"}), WISH, "alice"),
        (with(failed, "blockClearance", json!({"clearedBy": "carol"})), WISH, "alice"),
    ] {
        assert_eq!(granted(&wishing(&status, clear, by), now()), None, "{status}");
    }
}
