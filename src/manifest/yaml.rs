//! A stream of YAML as JSON texts, written as the parser's events come: members in their order, numbers with their digits.
//! The only limits are on what is out of proportion to the text: what aliases stand for, and depth.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span, Tag};
use serde_json::value::RawValue;

use super::scalar::{self, Said, Scalar};

/// As deep as go-yaml goes at most would take a parser of ours too long; no object is a tenth as deep.
const DEPTH_MAX: usize = 1000;
/// Bytes that aliases may stand for, whatever the length of the text, and then for each byte of it.
const ALIASES_FREE: usize = 1 << 20;
const ALIASES_FOR_EACH: usize = 10;
const YAML: &str = "tag:yaml.org,2002:";

/// What is wrong, with line and column in front.
pub(super) struct Problem(pub String);

/// Each document of a stream as JSON; one that says nothing is none.
pub(super) fn documents(text: &str) -> Result<Vec<String>, Problem> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut writer = Writer { aliases_left: ALIASES_FREE + ALIASES_FOR_EACH * text.len(), ..Writer::default() };
    let mut documents = Vec::new();
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| {
            let at = *error.marker();
            let place = format!("line {}, column {}", at.line(), at.col() + 1);
            Problem(match error.kind() {
                ErrorKind::RecursionLimitExceeded => {
                    format!("{place}: more than {DEPTH_MAX} lists and mappings within each other; give JSON")
                }
                _ => format!("not YAML: {place}: {}", first_line(&error.info())),
            })
        })?;
        if matches!(event, Event::DocumentEnd) {
            let json = std::mem::take(&mut writer.out);
            writer.anchors.clear();
            if json != "null" {
                documents.push(json);
            }
            continue;
        }
        writer.take(event).map_err(|problem| told(&span, &problem))?;
    }
    Ok(documents)
}

/// What YAML itself forbids is told as such; the rest is what JSON cannot say, or a limit of ours.
fn told(span: &Span, problem: &str) -> Problem {
    let not_yaml = if problem.ends_with(TWICE) { "not YAML: " } else { "" };
    Problem(format!("{not_yaml}line {}, column {}: {problem}", span.start.line(), span.start.col() + 1))
}

fn first_line(text: &str) -> String {
    crate::line::one_line(text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default(), 200)
}

#[derive(Default)]
struct Writer {
    out: String,
    open: Vec<Frame>,
    /// What each anchor stands for, as JSON.
    anchors: HashMap<usize, Rc<str>>,
    aliases_left: usize,
}

/// A list or an object that has begun.
struct Frame {
    /// Where it begins in the output.
    from: usize,
    anchor: usize,
    members: Option<Members>,
}

#[derive(Default)]
struct Members {
    names: HashSet<String>,
    turn: Turn,
    /// Of `<<`, as JSON: they count where nobody says otherwise.
    merged: Vec<(String, String)>,
}

/// What comes next in an object.
#[derive(Default)]
enum Turn {
    #[default]
    Name,
    Value,
    /// Of `<<`; it begins there in the output.
    Merge(usize),
}

impl Writer {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let said = said(style, tag.as_deref());
                let merges = text == "<<" && matches!(said, Said::Nothing | Said::Tag("merge"));
                let scalar = scalar::resolve(&text, said)?;
                if anchor > 0 {
                    let json = json(&scalar);
                    self.remember(anchor, json.as_ref().into())?;
                }
                self.put_scalar(scalar, merges)
            }
            Event::SequenceStart(_, anchor, _) => self.begin(anchor, None),
            Event::MappingStart(_, anchor, _) => self.begin(anchor, Some(Members::default())),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.put_alias(anchor),
            _ => Ok(()),
        }
    }

    fn put_scalar(&mut self, scalar: Scalar, merges: bool) -> Result<(), String> {
        match self.members() {
            Some(members) if matches!(members.turn, Turn::Name) => self.put_name(scalar, merges),
            _ => {
                self.before_value();
                self.out.push_str(&json(&scalar));
                self.after_value()
            }
        }
    }

    fn put_name(&mut self, scalar: Scalar, merges: bool) -> Result<(), String> {
        let at = self.out.len();
        let Some(members) = self.members() else { return Ok(()) };
        if merges {
            members.turn = Turn::Merge(at);
            return Ok(());
        }
        members.turn = Turn::Value;
        let name = scalar::name(scalar)?;
        let text = quoted(&name);
        if !members.names.insert(name) {
            return Err(format!("the key {} {TWICE}", crate::line::one_line(&text, 80)));
        }
        self.comma();
        self.out.push_str(&text);
        self.out.push(':');
        Ok(())
    }

    fn put_alias(&mut self, anchor: usize) -> Result<(), String> {
        let Some(text) = self.anchors.get(&anchor).cloned() else {
            return Err("an alias (*) stands for something that it is in itself".to_owned());
        };
        self.spend(text.len())?;
        if self.members().is_some_and(|members| matches!(members.turn, Turn::Name)) {
            let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            let scalar = match value {
                serde_json::Value::String(text) => Scalar::Text(text),
                serde_json::Value::Bool(value) => Scalar::Bool(value),
                serde_json::Value::Null => Scalar::Null,
                serde_json::Value::Number(_) if text.contains(['.', 'e']) => Scalar::Float(text.to_string()),
                serde_json::Value::Number(_) => Scalar::Integer(text.to_string()),
                _ => return Err(NO_NAME.to_owned()),
            };
            return self.put_name(scalar, false);
        }
        self.before_value();
        self.out.push_str(&text);
        self.after_value()
    }

    fn begin(&mut self, anchor: usize, members: Option<Members>) -> Result<(), String> {
        if self.members().is_some_and(|members| matches!(members.turn, Turn::Name)) {
            return Err(NO_NAME.to_owned());
        }
        self.before_value();
        let from = self.out.len();
        self.out.push(if members.is_some() { '{' } else { '[' });
        self.open.push(Frame { from, anchor, members });
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let Some(frame) = self.open.pop() else { return Ok(()) };
        if let Some(members) = &frame.members {
            for (name, value) in members.merged.iter().filter(|(name, _)| !members.names.contains(name)) {
                self.comma();
                self.out.push_str(&format!("{}:{value}", quoted(name)));
            }
        }
        self.out.push(if frame.members.is_some() { '}' } else { ']' });
        if frame.anchor > 0 {
            let text = self.out.get(frame.from..).unwrap_or_default().into();
            self.remember(frame.anchor, text)?;
        }
        self.after_value()
    }

    /// In a list its comma; in an object that stands before the name.
    fn before_value(&mut self) {
        if self.open.last().is_some_and(|frame| frame.members.is_none()) {
            self.comma();
        }
    }

    fn after_value(&mut self) -> Result<(), String> {
        let Some(members) = self.members() else { return Ok(()) };
        if let Turn::Merge(from) = std::mem::take(&mut members.turn) {
            let text = self.out.split_off(from);
            self.spend(text.len())?;
            let found = merged(&text)?;
            if let Some(members) = self.members() {
                for (name, value) in found {
                    if !members.merged.iter().any(|(other, _)| *other == name) {
                        members.merged.push((name, value));
                    }
                }
            }
        }
        Ok(())
    }

    fn comma(&mut self) {
        if !self.out.ends_with(['{', '[']) {
            self.out.push(',');
        }
    }

    fn members(&mut self) -> Option<&mut Members> {
        self.open.last_mut()?.members.as_mut()
    }

    fn remember(&mut self, anchor: usize, text: Rc<str>) -> Result<(), String> {
        self.spend(text.len())?;
        self.anchors.insert(anchor, text);
        Ok(())
    }

    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.aliases_left = self.aliases_left.checked_sub(bytes).ok_or(
            "the aliases (*) so far stand for more than ten times the file and 1 MiB; write out what they stand for, or give JSON",
        )?;
        Ok(())
    }
}

const TWICE: &str = "is there twice";
const NO_NAME: &str = "a key is a list or a mapping, expected text";

/// The members of a mapping, or of each mapping of a list, the first of a name in front.
fn merged(json: &str) -> Result<Vec<(String, String)>, String> {
    let wrong = |_| "<< stands before something that is no mapping and no list of mappings".to_owned();
    let mappings: Vec<&RawValue> = if json.starts_with('[') {
        serde_json::from_str(json).map_err(wrong)?
    } else {
        vec![serde_json::from_str(json).map_err(wrong)?]
    };
    let mut found = Vec::new();
    for mapping in mappings {
        let InOrder(members) = serde_json::from_str(mapping.get()).map_err(wrong)?;
        found.extend(members);
    }
    Ok(found)
}

struct InOrder(Vec<(String, String)>);

impl<'de> serde::Deserialize<'de> for InOrder {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> serde::de::Visitor<'de> for Object {
            type Value = InOrder;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<InOrder, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    members.push((name, String::from(Box::<str>::from(value))));
                }
                Ok(InOrder(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

fn said(style: ScalarStyle, tag: Option<&Tag>) -> Said<'static> {
    let named = tag.and_then(|tag| tag.suffix_in_namespace(YAML));
    match named.as_deref() {
        Some("str") => Said::Text,
        Some("null") => Said::Tag("null"),
        Some("bool") => Said::Tag("bool"),
        Some("int") => Said::Tag("int"),
        Some("float") => Said::Tag("float"),
        Some("binary") => Said::Tag("binary"),
        Some("merge") => Said::Tag("merge"),
        _ if tag.is_none() && style == ScalarStyle::Plain => Said::Nothing,
        _ => Said::Text,
    }
}

fn json(scalar: &Scalar) -> Cow<'_, str> {
    match scalar {
        Scalar::Null => "null".into(),
        Scalar::Bool(value) => value.to_string().into(),
        Scalar::Integer(number) | Scalar::Float(number) => number.as_str().into(),
        Scalar::Text(text) => quoted(text).into(),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        documents(text).map(|documents| documents.join(" ")).map_err(|Problem(problem)| problem)
    }

    #[test]
    fn what_an_alias_and_a_merge_stand_for_is_written_out() {
        for (yaml, json) in [
            ("a: &x {c: 1}\nb: *x\n", r#"{"a":{"c":1},"b":{"c":1}}"#),
            ("a: &x 017\n*x : 3\n", r#"{"a":15,"15":3}"#),
            ("<<: {a: 1, b: 2}\nb: 3\n", r#"{"b":3,"a":1}"#),
            ("c: {<<: [{a: 1, b: 2}, {a: 5, c: 6}], d: []}\n", r#"{"c":{"d":[],"a":1,"b":2,"c":6}}"#),
            ("a: &x {b: 1}\nc:\n  <<: *x\n", r#"{"a":{"b":1},"c":{"b":1}}"#),
            ("\"<<\": {a: 1}\n", r#"{"<<":{"a":1}}"#),
            ("a: !!set {b, c}\n", r#"{"a":{"b":null,"c":null}}"#),
            ("a: !mine 017\nb: ! 017\nc: !!str 017\n", r#"{"a":"017","b":"017","c":"017"}"#),
            ("a: |\n  017\nb: >-\n  x\n  y\n", r#"{"a":"017\n","b":"x y"}"#),
            ("a:\nb: [,]\n", ""),
            ("--- 1\n--- {}\n---\n...\n", "1 {}"),
        ] {
            if json.is_empty() {
                assert!(read(yaml).is_err(), "{yaml}");
            } else {
                assert_eq!(read(yaml).as_deref(), Ok(json), "{yaml}");
            }
        }
    }

    #[test]
    fn what_cannot_be_meant_is_told_with_its_place() {
        for (yaml, said) in [
            ("a: 1\na: 2\n", "not YAML: line 2, column 1: the key \"a\" is there twice"),
            ("b: {1: x, \"1\": y}\n", "not YAML: line 1, column 11: the key \"1\" is there twice"),
            ("a: &x [*x]\n", "line 1, column 8: an alias (*) stands for something that it is in itself"),
            ("a: *y\n", "not YAML: line 1, column 4: "),
            ("? [a]\n: 1\n", "line 1, column 3: a key is a list or a mapping, expected text"),
            ("a: {~: 1}\n", "line 1, column 5: a key is null"),
            ("a: .inf\n", "line 1, column 4: .inf is a number that JSON cannot say"),
            ("<<: 3\n", "line 1, column 5: << stands before something that is no mapping"),
            ("a: \"\\ud800\"\n", "not YAML: line 1, column "),
        ] {
            let problem = read(yaml).unwrap_err();
            assert!(problem.starts_with(said), "{yaml}: {problem}");
        }
    }

    #[test]
    fn an_alias_bomb_is_refused_and_honest_aliases_are_not() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = level - 1;
            bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 10].join(", "));
        }
        assert!(read(&bomb).unwrap_err().contains("the aliases (*) so far stand for more than"));
        let nested = (0..900).map(|level| format!("&b{level} [")).collect::<String>() + &"x".repeat(1 << 20);
        let nested = nested + &"]".repeat(900);
        assert!(read(&nested).unwrap_err().contains("the aliases"), "what is remembered counts too");
        let honest = "a: &a {b: 1, c: 2}\nl:\n".to_owned() + &"- *a\n".repeat(20_000);
        assert!(read(&honest).is_ok());
        assert!(
            read(&"[".repeat(2000))
                .unwrap_err()
                .ends_with("more than 1000 lists and mappings within each other; give JSON")
        );
    }
}
