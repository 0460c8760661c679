//! Objects out of the schema of a CRD: a pure function of a seed. Most of what it makes the schema would take; some of it only
//! somebody would write who does not know the schema, or knows another one.

use lockkeeper::convert::LEGACY;
use serde_json::{Map, Value, json};

use crate::versions::{ANNOTATIONS_MAX_BYTES, annotated, prune};

/// A version of a kind, and what objects of it are made of.
pub struct Generator {
    api_version: String,
    kind: String,
    schema: Value,
    /// Values of closed lists of any version.
    values: Vec<Value>,
}

impl Generator {
    /// `others` are the schemas whose values may turn up here.
    pub fn new(api_version: &str, kind: &str, schema: Value, others: &[&Value]) -> Self {
        let mut values = Vec::new();
        others.iter().for_each(|schema| collect(schema, &mut values));
        values.sort_by_key(ToString::to_string);
        values.dedup();
        Self { api_version: api_version.into(), kind: kind.into(), schema, values }
    }

    pub fn object(&self, seed: u64) -> Value {
        let mut dice = Dice(seed);
        let density = *dice.of(&[15, 50, 90]);
        let mut object = Map::new();
        for (name, schema) in self.schema["properties"].as_object().into_iter().flatten() {
            if matches!(&**name, "spec" | "status") && dice.percent(85) {
                object.insert(name.clone(), self.value(name, schema, density, &mut dice));
            }
        }
        if dice.percent(90) {
            object.insert("metadata".into(), metadata(&mut dice));
        }
        if let Some(metadata) = object.get_mut("metadata").filter(|metadata| metadata["name"].is_string()) {
            annotate(metadata, &self.api_version, &mut dice);
        }
        if dice.percent(3) {
            object.insert("odd".into(), any(&mut dice, 0));
        }
        object.insert("apiVersion".into(), json!(self.api_version));
        object.insert("kind".into(), json!(self.kind));
        Value::Object(object)
    }

    /// The same as the API server keeps it.
    pub fn pruned(&self, seed: u64) -> Value {
        let mut object = self.object(seed);
        prune(&mut object, &self.schema);
        object
    }

    fn value(&self, name: &str, schema: &Value, density: u64, dice: &mut Dice) -> Value {
        match dice.below(100) {
            0..3 => return Value::Null,
            3 => return any(dice, 0),
            _ => {}
        }
        if let Some(values) = schema["enum"].as_array() {
            let known = dice.percent(70);
            return dice.of(if known { values } else { &self.values }).clone();
        }
        match schema["type"].as_str() {
            Some("boolean") => json!(dice.percent(50)),
            Some("integer") => integer(dice),
            Some("number") => number(dice),
            Some("array") => {
                let count = dice.below(4);
                (0..count).map(|_| self.value(name, &schema["items"], density, dice)).collect()
            }
            Some("object") => Value::Object(self.members(schema, density, dice)),
            // An integer or a string.
            None if dice.percent(50) => integer(dice),
            _ => text(name, schema["format"].as_str().unwrap_or_default(), dice),
        }
    }

    fn members(&self, schema: &Value, density: u64, dice: &mut Dice) -> Map<String, Value> {
        let mut members = Map::new();
        if dice.percent(4) {
            return members;
        }
        let required = schema["required"].as_array();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let asked = required.is_some_and(|required| required.iter().any(|asked| asked == name));
            if dice.percent(if asked { 95 } else { density }) {
                members.insert(name.clone(), self.value(name, schema, density, dice));
            }
        }
        if schema["additionalProperties"].is_object() {
            for _ in 0..dice.below(4) {
                let name = *dice.of(&NAMES);
                members.insert(name.into(), self.value(name, &schema["additionalProperties"], density, dice));
            }
        }
        let unknown = if schema["x-kubernetes-preserve-unknown-fields"] == true { 80 } else { 2 };
        while dice.percent(unknown) && members.len() < 40 {
            let name = name(dice);
            members.insert(name.into(), any(dice, 0));
        }
        members
    }
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let place = self.below(choices.len() as u64);
        &choices[usize::try_from(place).expect("a place in a list is small")]
    }
}

fn collect(schema: &Value, values: &mut Vec<Value>) {
    match schema {
        Value::Object(members) => {
            values.extend(members.get("enum").and_then(Value::as_array).into_iter().flatten().cloned());
            members.values().for_each(|member| collect(member, values));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, values)),
        _ => {}
    }
}

const NAMES: [&str; 9] = ["A", "B", "zeta", "", "é", "a/b", "a.b", "a~0~1b", "\u{1F600}\"\\"];
/// Members of this or that shape, and of the conversion itself.
const OF_OTHERS: [&str; 22] = [
    "parked",
    "isStorm",
    "timeoutConfig",
    "consecutiveFailures",
    "recoveryAttempts",
    "nextAllowedExecution",
    "executionEngine",
    "containerImage",
    "executionBundle",
    "pipelineRunRef",
    "executionRef",
    "executionStatus",
    "failureDetails",
    "failure",
    "execution",
    "routing",
    "routingStatus",
    "completion",
    "targetResource",
    "target",
    "deadline",
    "executionConfig",
];
const TEXTS: [&str; 9] = [
    "",
    "text",
    "Unknown",
    "restart",
    "é\u{301}\u{1F600}",
    "\"\\/\n\t\u{1}\u{7f}",
    "null",
    "{\"a\":1}",
    "\u{2028}\u{feff}",
];
const TARGETS: [&str; 12] = [
    "payments/Deployment/api",
    "payments/statefulSet/db",
    "Node/w-1",
    "a/b/c/d",
    "x",
    "",
    "/",
    "//",
    "/Deployment/api",
    "n/K/",
    "n//x",
    "é/\u{1F600}/\"",
];
const TIMES: [&str; 9] = [
    "2026-01-05T10:00:00Z",
    "2026-01-05T10:30:00Z",
    "2026-01-05T09:59:59Z",
    "2026-01-05T10:00:00.5Z",
    "2026-01-05T12:00:00+02:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "2026-02-30T00:00:00Z",
    "soon",
];
const DURATIONS: [&str; 10] = ["30m", "30m0s", "1h30m0s", "0s", "1.5s", "-5m", "90s", "2562047h47m16s", "1d", ""];

fn text(name: &str, format: &str, dice: &mut Dice) -> Value {
    let choices: &[&str] = match (name, format) {
        ("targetResource", _) => &TARGETS,
        ("timeout" | "duration" | "executionTimeBeforeFailure", _) | (_, "duration") => &DURATIONS,
        // Few, so that two of one type meet.
        ("type", _) => &["Ready", "TektonPipelineComplete", "\u{1F600}"],
        ("kind", _) => &["Deployment", "node", "a/b", ""],
        (_, "date-time") => &TIMES,
        _ => &TEXTS,
    };
    match dice.below(200) {
        0 => json!("long \u{1F600} ".repeat(200)),
        1..10 => json!(dice.of(&TEXTS)),
        _ => json!(dice.of(choices)),
    }
}

fn integer(dice: &mut Dice) -> Value {
    json!(dice.of(&[0, 1, -1, 3, i64::from(i32::MAX), 1 << 53, (1 << 53) + 1, i64::MAX, i64::MIN]))
}

fn number(dice: &mut Dice) -> Value {
    dice.of(&[json!(0.97), json!(1), json!(0.0), json!(-0.5), json!(1e-300), json!(f64::MAX), json!(u64::MAX)]).clone()
}

fn name(dice: &mut Dice) -> &'static str {
    let names: &[&str] = if dice.percent(50) { &NAMES } else { &OF_OTHERS };
    dice.of::<&str>(names)
}

/// Anything at all.
fn any(dice: &mut Dice, depth: u64) -> Value {
    match dice.below(if depth < 3 { 9 } else { 7 }) {
        0 => Value::Null,
        1 => json!({}),
        2 => json!([]),
        3 => json!(dice.percent(50)),
        4 => integer(dice),
        5 => number(dice),
        6 if dice.percent(50) => json!(dice.of(&TEXTS)),
        6 => json!(dice.of(&TARGETS)),
        7 => (0..dice.below(4)).map(|_| any(dice, depth + 1)).collect(),
        _ => {
            let count = dice.below(4);
            Value::Object((0..count).map(|_| (name(dice).into(), any(dice, depth + 1))).collect())
        }
    }
}

/// As the API server leaves it, or as a partial object has it.
fn metadata(dice: &mut Dice) -> Value {
    match dice.below(20) {
        0 => return Value::Null,
        1 => return json!({}),
        2 => return json!({"managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {".": {}}}}]}),
        _ => {}
    }
    let mut metadata = json!({"name": "n", "namespace": "payments", "generation": i64::MAX, "uid": "u"});
    if dice.percent(80) {
        metadata["creationTimestamp"] = json!(dice.of(&TIMES));
    }
    match dice.below(6) {
        0 => metadata["annotations"] = Value::Null,
        1 => metadata["annotations"] = json!({}),
        2 => metadata["annotations"] = json!({"a/b": "c", "é": "\u{1F600}"}),
        _ => {}
    }
    if dice.percent(20) {
        metadata["labels"] = json!({"app": "x"});
    }
    metadata
}

/// Annotations that somebody wrote who knows ours: for nobody's way home, or so long that nothing else has room.
fn annotate(metadata: &mut Value, api_version: &str, dice: &mut Dice) {
    let said = annotated(metadata);
    let mut annotations = |name: &str, text: String| {
        if !metadata["annotations"].is_object() {
            metadata["annotations"] = json!({});
        }
        metadata["annotations"][name] = json!(text);
    };
    let (_, version) = api_version.split_once('/').unwrap_or_default();
    let patch =
        json!([{"op": "add", "path": "/spec/parameters", "value": {"a\"": "b"}}, {"op": "remove", "path": "/status"}]);
    match dice.below(24) {
        0 => annotations(LEGACY, json!({"home": version, "patch": patch}).to_string()),
        1 => annotations(LEGACY, json!({"home": "v1alpha1", "shape": "1.5.7", "patch": patch}).to_string()),
        2 => annotations(LEGACY, json!({"home": "v1alpha1", "shape": "2026-08", "patch": []}).to_string()),
        3 => annotations(LEGACY, "garbage".into()),
        _ => {}
    }
    if dice.percent(1) {
        let left = usize::try_from(dice.below(400)).unwrap();
        annotations("filler", "x".repeat(ANNOTATIONS_MAX_BYTES - "filler".len() - said - 400 - left));
    }
}
