//! JSON text as YAML: members in their order, numbers as they are written.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What lies deeper stays JSON, which is YAML too.
const DEPTH: usize = 40;

/// A document, with a line break at its end.
pub(super) fn from_json(json: &str) -> String {
    let mut out = String::new();
    put(json.trim(), 0, &mut out);
    out.trim_start_matches('\n').trim_start_matches(' ').to_owned() + "\n"
}

/// Without white space between tokens: one line.
pub(super) fn compact(json: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let keep = |c: &char| {
        let blank = !quoted && matches!(c, ' ' | '\t' | '\n' | '\r');
        if escaped {
            escaped = false;
        } else if quoted && *c == '\\' {
            escaped = true;
        } else if *c == '"' {
            quoted = !quoted;
        }
        !blank
    };
    json.chars().filter(keep).collect()
}

/// Behind `name:` or `-`: on the same line where it is a scalar or empty, else on lines of its own.
fn put(json: &str, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match json.as_bytes().first() {
        Some(b'{') if depth < DEPTH => match serde_json::from_str::<Members<'_>>(json) {
            Ok(Members(members)) if !members.is_empty() => {
                for (name, value) in members {
                    out.push_str(&format!("\n{indent}{}:", scalar(&name)));
                    put(value.get(), depth + 1, out);
                }
            }
            Ok(_) => out.push_str(" {}"),
            Err(_) => as_it_is(json, out),
        },
        Some(b'[') if depth < DEPTH => match serde_json::from_str::<Vec<&RawValue>>(json) {
            Ok(items) if !items.is_empty() => {
                for item in items {
                    let mut text = String::new();
                    put(item.get(), depth + 1, &mut text);
                    // The first member of an object stands beside its dash.
                    out.push_str(&format!("\n{indent}- {}", text.trim_start_matches(['\n', ' '])));
                }
            }
            Ok(_) => out.push_str(" []"),
            Err(_) => as_it_is(json, out),
        },
        Some(b'"') => match serde_json::from_str::<String>(json) {
            Ok(text) => {
                out.push(' ');
                out.push_str(&scalar(&text));
            }
            Err(_) => as_it_is(json, out),
        },
        _ => as_it_is(json, out),
    }
}

/// JSON is YAML too, and what cannot be read here is not ours to drop.
fn as_it_is(json: &str, out: &mut String) {
    out.push(' ');
    out.push_str(&compact(json));
}

/// Plain where no reader of YAML could take it for anything but this text, else in quotes.
fn scalar(text: &str) -> String {
    let mut bytes = text.bytes();
    let plain = bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'/')
        && bytes.all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b'/' | b'@'))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word));
    if plain {
        return text.to_owned();
    }
    let mut quoted = serde_json::Value::from(text).to_string();
    // What YAML reads as a line break or does not take at all.
    for c in ['\u{7f}', '\u{85}', '\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}'] {
        if quoted.contains(c) {
            quoted = quoted.replace(c, &format!("\\u{:04x}", u32::from(c)));
        }
    }
    quoted
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn it_reads_like_kubectl() {
        let json = r#"{"kind":"A","l1":[1.10,9007199254740993],"e":{},"l":[],"o":[{"b":"x: y","a":null},[["d"]]],"s":"no","t":"2026-01-05T10:00:00Z","m":"a\nb","":true}"#;
        let yaml = "kind: A\nl1:\n  - 1.10\n  - 9007199254740993\ne: {}\nl: []\no:\n  - b: \"x: y\"\n    a: null\n  - - - d\ns: \"no\"\nt: \"2026-01-05T10:00:00Z\"\nm: \"a\\nb\"\n\"\": true\n";
        assert_eq!(from_json(json), yaml);
        assert_eq!(compact("{ \"a b\\\" \" :\n[1 , \"\\\\\" ] }"), r#"{"a b\" ":[1,"\\"]}"#);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<Option<bool>>().prop_map(|value| json!(value)),
            any::<i64>().prop_map(|value| json!(value)),
            any::<String>().prop_map(Value::from),
            "[a-z0-9:#&*!|>'%@`~.{}, \\-]{0,6}".prop_map(Value::from),
            Just(json!("\u{85}\u{2028}\u{feff}\u{1F600}")),
        ];
        leaf.prop_recursive(4, 30, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z~:0-9 ]{0,5}", inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_it_says_it_is_read_as_that(value in value()) {
            let object = json!({"kind": "A", "v": value});
            let yaml = from_json(&object.to_string());
            let read = crate::manifest::parse(&"f".into(), &yaml).unwrap_or_else(|error| panic!("{error}: {yaml}"));
            prop_assert_eq!(serde_json::from_str::<Value>(&read[0].json).unwrap(), object.clone(), "{}", yaml);
            prop_assert_eq!(compact(&yaml_free(&object)), object.to_string());
        }
    }

    fn yaml_free(value: &Value) -> String {
        serde_json::to_string_pretty(value).unwrap()
    }
}
