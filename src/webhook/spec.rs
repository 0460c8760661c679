//! Whether an UPDATE changes the spec.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Says whether the two objects have different specs. White space and the order of members do not count.
///
/// # Errors
/// Where one of them is no object.
pub(super) fn changed(old: &RawValue, new: &RawValue) -> Result<bool, serde_json::Error> {
    let (old, new): (Spec<'_>, Spec<'_>) = (serde_json::from_str(old.get())?, serde_json::from_str(new.get())?);
    Ok(match (old.spec, new.spec) {
        (None, None) => false,
        (Some(old), Some(new)) => old.get() != new.get() && !same_value(old, new),
        _ => true,
    })
}

#[derive(Deserialize)]
struct Spec<'a> {
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
}

/// Compares as values. What is nested deeper than a parser follows was written by the API server in one fixed form: there
/// a different text is a different spec.
fn same_value(old: &RawValue, new: &RawValue) -> bool {
    let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get());
    matches!((value(old), value(new)), (Ok(old), Ok(new)) if old == new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(old: &str, new: &str) -> bool {
        let raw = |text: &str| RawValue::from_string(format!("{{\"metadata\":{{}},\"spec\":{text}}}")).unwrap();
        changed(&raw(old), &raw(new)).unwrap()
    }

    #[test]
    fn order_and_white_space_are_no_change() {
        assert!(!differ(r#"{"a":1,"b":[2]}"#, r#"{ "b":[2], "a":1 }"#));
        assert!(!differ("null", "null"));
    }

    #[test]
    fn any_member_is_a_change() {
        assert!(differ(r#"{"a":1}"#, r#"{"a":2}"#));
        assert!(differ(r#"{"a":null}"#, "{}"));
        assert!(differ(r#"{"a":9007199254740993}"#, r#"{"a":9007199254740992}"#));
        assert!(differ("null", "{}"));
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = "[".repeat(50_000) + &"]".repeat(50_000);
        assert!(!differ(&deep, &deep));
        assert!(differ(&deep, &format!("[{deep}]")));
    }

    #[test]
    fn what_is_no_object_is_no_update() {
        let text = RawValue::from_string("\"x\"".into()).unwrap();
        assert!(changed(&text, &text).is_err());
    }
}
