//! The configuration: defaults, then the file, then the environment; flags override what they name.
//!
//! In: a YAML file and `LOCKKEEPER__…` variables. Out: [`Settings`]. Never: guesses; an unknown key is an error.
//! Fails: one line that names the file or variable, the key, and what was expected.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::duration::GoDuration;
use crate::api::facts::is_dns_label;
use crate::routing::{Policy, Staleness};
use crate::status::Rules;

/// Everything that can be set in the file. Every key has a default, shown in docs/configuration.md.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// How each check acts, and its numbers.
    pub checks: crate::routing::Checks,
    /// How old knowledge may be.
    pub staleness: Staleness,
    /// What becomes of the failure details that are written.
    pub classification: crate::status::Mode,
    /// Who may lift a hold, and how.
    pub clearance: crate::status::Clearance,
    /// Where workflows run. Fixed at start.
    pub execution: Execution,
    /// What the elected leader does beside the gate. Fixed at start.
    pub loops: Loops,
    /// What one caller may take.
    pub limits: Limits,
}

/// The executor's side.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Execution {
    /// The namespace of the PipelineRuns, as the executor is told itself.
    pub namespace: String,
    /// How long our own executor keeps a run after its end, and its target with it.
    pub cooldown: GoDuration,
}

/// Loops of one replica, the elected leader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Loops {
    /// Carry admitted WorkflowExecutions out, as PipelineRuns.
    pub executor: bool,
    /// Keep what their ends mean for routing on their RemediationRequests.
    pub routing_keeper: bool,
}

impl Default for Execution {
    fn default() -> Self {
        Self { namespace: "kubernaut-workflows".to_owned(), cooldown: GoDuration::seconds(300) }
    }
}

/// Bounds on what callers send. Fixed at start; a reload does not change them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// The largest AdmissionReview, in bytes. No object that etcd takes makes a larger one than the default.
    pub admission_body_bytes: usize,
    /// All bodies that are held at one time, in bytes; past it a request is shed with 503.
    pub in_flight_bytes: usize,
    /// The largest ConversionReview, in bytes.
    pub conversion_body_bytes: usize,
    /// The same of conversions, apart: neither they nor reviews take the other's room.
    pub conversion_in_flight_bytes: usize,
    /// Open connections; past it a new one waits in the backlog of the listener.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            admission_body_bytes: 8 * 1024 * 1024,
            in_flight_bytes: 128 * 1024 * 1024,
            conversion_body_bytes: 128 * 1024 * 1024,
            conversion_in_flight_bytes: 128 * 1024 * 1024,
            connections: 1024,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: cannot be read: {error}", file.display())]
    Unreadable { file: PathBuf, error: std::io::Error },
    #[error("{}: not YAML: {problem}", file.display())]
    Yaml { file: PathBuf, problem: String },
    #[error("{origin}: {key}: {problem}")]
    Key { origin: String, key: String, problem: String },
}

/// Environment variables that set a key begin with this.
const PREFIX: &str = "LOCKKEEPER__";
/// Below this a watch could not prove itself alive in time.
const SHORTEST_STALENESS: GoDuration = GoDuration::seconds(3);

/// The variables of the process that are ours. Others are nobody's business, whatever bytes they hold.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    let ours = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        let name = name.to_str().filter(|name| name.starts_with(PREFIX))?.to_owned();
        Some((name, value.to_string_lossy().into_owned()))
    };
    std::env::vars_os().filter_map(ours)
}

/// Of two letters and a blank, as many go into the longest reason.
const MOST_WORDS: usize = 300;

impl Settings {
    /// Reads the file, if one is named, and lays the environment over it.
    ///
    /// # Errors
    /// Where the file cannot be read, or a key or value is not known.
    pub fn load(file: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let (origin, mut tree) = match file {
            Some(file) => (file.display().to_string(), read(file)?),
            None => ("defaults".to_owned(), Value::Object(serde_json::Map::new())),
        };
        let mut settings = decode(&origin, &tree)?;
        let mut variables: Vec<_> = environment.filter(|(name, _)| name.starts_with(PREFIX)).collect();
        variables.sort();
        for (name, value) in &variables {
            lay_over(&mut tree, name, value)?;
            settings = decode(name, &tree)?;
        }
        let names: Vec<_> = variables.iter().map(|(name, _)| name.as_str()).collect();
        let with = if names.is_empty() { origin } else { format!("{origin} with {}", names.join(", ")) };
        settings.check(&with)?;
        Ok(settings)
    }

    /// What decisions need of it.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy { checks: self.checks.clone(), staleness: self.staleness.clone() }
    }

    /// What status writes are held to.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules { classification: self.classification, clearance: self.clearance.clone() }
    }

    fn check(&self, origin: &str) -> Result<(), ConfigError> {
        let wrong = |key: &str, problem: String| {
            Err(ConfigError::Key { origin: origin.to_owned(), key: key.to_owned(), problem })
        };
        let backoff = &self.checks.exponential_backoff;
        if self.staleness.max < SHORTEST_STALENESS {
            return wrong(
                "staleness.max",
                format!("expected at least {SHORTEST_STALENESS}, found {}", self.staleness.max),
            );
        }
        if backoff.base > backoff.max {
            return wrong(
                "checks.exponentialBackoff.base",
                format!("expected at most max ({}), found {}", backoff.max, backoff.base),
            );
        }
        if !(1..=MOST_WORDS).contains(&self.clearance.min_reason_words) {
            return wrong(
                "clearance.minReasonWords",
                format!(
                    "expected 1 to {MOST_WORDS} (a reason has at most 1 kB), found {}",
                    self.clearance.min_reason_words
                ),
            );
        }
        if let Some(named) = self.clearance.no_account() {
            return wrong(
                "clearance.serviceAccounts",
                format!("expected namespace/name, several separated by blanks, found {named:?}"),
            );
        }
        if !is_dns_label(&self.execution.namespace) {
            return wrong("execution.namespace", format!("expected a namespace, found {:?}", self.execution.namespace));
        }
        let limits = &self.limits;
        for (key, bytes) in [
            ("limits.admissionBodyBytes", limits.admission_body_bytes),
            ("limits.conversionBodyBytes", limits.conversion_body_bytes),
        ] {
            if bytes < 1024 {
                return wrong(key, format!("expected at least 1024, found {bytes}"));
            }
        }
        if limits.in_flight_bytes < limits.admission_body_bytes {
            return wrong("limits.inFlightBytes", "expected at least limits.admissionBodyBytes".to_owned());
        }
        if limits.conversion_in_flight_bytes < limits.conversion_body_bytes {
            return wrong("limits.conversionInFlightBytes", "expected at least limits.conversionBodyBytes".to_owned());
        }
        if self.limits.connections == 0 {
            return wrong("limits.connections", "expected at least 1, found 0".to_owned());
        }
        Ok(())
    }
}

fn read(file: &Path) -> Result<Value, ConfigError> {
    let text =
        std::fs::read_to_string(file).map_err(|error| ConfigError::Unreadable { file: file.to_owned(), error })?;
    let tree: Value = serde_saphyr::from_str_with_options(&text, yaml_1_2())
        .map_err(|error| ConfigError::Yaml { file: file.to_owned(), problem: crate::manifest::yaml_problem(&error) })?;
    Ok(if tree.is_null() { Value::Object(serde_json::Map::new()) } else { tree })
}

/// `off` is a mode here, not a boolean of YAML 1.1.
fn yaml_1_2() -> serde_saphyr::Options {
    serde_saphyr::options! { strict_booleans: true }
}

fn decode(origin: &str, tree: &Value) -> Result<Settings, ConfigError> {
    if let Some(key) = list_in(tree) {
        let problem = "expected a mapping or a value, found a list".to_owned();
        return Err(ConfigError::Key { origin: origin.to_owned(), key, problem });
    }
    let mut tree = tree.clone();
    let known = serde_json::to_value(Settings::default()).unwrap_or_default();
    drop_empty(&mut tree, &known);
    serde_path_to_error::deserialize(tree).map_err(|error| {
        let key = error.path().to_string();
        ConfigError::Key { origin: origin.to_owned(), key, problem: plainly(&error.into_inner().to_string()) }
    })
}

/// A key with nothing behind it says nothing: what it would set is the default.
fn drop_empty(tree: &mut Value, known: &Value) {
    let (Value::Object(members), Value::Object(known)) = (tree, known) else { return };
    members.retain(|key, value| !(value.is_null() && known.contains_key(key)));
    for (key, value) in members {
        drop_empty(value, known.get(key).unwrap_or(&Value::Null));
    }
}

/// What is expected, in the words of YAML.
fn plainly(problem: &str) -> String {
    let Some((found, expected)) = problem.split_once(", expected ") else { return problem.to_owned() };
    let expected = match expected {
        text if text.starts_with("struct ") => "a mapping",
        "a nonzero u32" => "a whole number, at least 1",
        "usize" | "u32" | "u64" => "a whole number",
        "string or map" => "a word",
        other => other,
    };
    format!("{found}, expected {expected}")
}

/// The key of the first list: no key takes one, and a decoder would read it as the members of a mapping in their order.
fn list_in(tree: &Value) -> Option<String> {
    match tree {
        Value::Array(_) => Some(".".to_owned()),
        Value::Object(members) => members.iter().find_map(|(key, value)| {
            let below = list_in(value)?;
            Some(if below == "." { key.clone() } else { format!("{key}.{below}") })
        }),
        _ => None,
    }
}

/// Sets one key from a variable: `LOCKKEEPER__STALENESS__MAX=60s` is `staleness.max: 60s`.
fn lay_over(tree: &mut Value, name: &str, value: &str) -> Result<(), ConfigError> {
    let wrong = |problem: String| ConfigError::Key { origin: "environment".to_owned(), key: name.to_owned(), problem };
    let mut known = serde_json::to_value(Settings::default()).map_err(|error| wrong(error.to_string()))?;
    let mut place = tree;
    for part in name.trim_start_matches(PREFIX).split("__") {
        let Value::Object(keys) = known else { return Err(wrong("no such key in the configuration".to_owned())) };
        let (key, below) = keys
            .into_iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(&part.replace('_', "")))
            .ok_or_else(|| wrong(format!("no such key in the configuration: {part}")))?;
        known = below;
        if !place.is_object() {
            *place = Value::Object(serde_json::Map::new());
        }
        place = place.as_object_mut().expect("made an object just above").entry(key).or_insert(Value::Null);
    }
    if known.is_object() {
        return Err(wrong("this is a section; name the key in it with two underscores".to_owned()));
    }
    *place = serde_saphyr::from_str_with_options(value, yaml_1_2()).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{Mode, StaleAction};

    fn load(yaml: &str, environment: &[(&str, &str)]) -> Result<Settings, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), yaml).unwrap();
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Settings::load(Some(file.path()), environment)
            .map_err(|error| error.to_string().replace(&file.path().display().to_string(), "FILE"))
    }

    #[test]
    fn who_may_clear_and_with_how_many_words() {
        assert!(load("clearance: {minReasonWords: 1, serviceAccounts: 'ops/healer  kube-system/a.b-c'}", &[]).is_ok());
        for odd in ["a", "a:b", "a/b,c/d", "system:serviceaccount:a:b", "a/", "/b", "a/b/c"] {
            let told = load(&format!("clearance: {{serviceAccounts: 'ops/healer {odd}'}}"), &[]).unwrap_err();
            let expected =
                "FILE: clearance.serviceAccounts: expected namespace/name, several separated by blanks, found ";
            assert_eq!(told, format!("{expected}{odd:?}"));
        }
        for odd in [0, 301] {
            let told = load(&format!("clearance: {{minReasonWords: {odd}}}"), &[]).unwrap_err();
            assert!(told.starts_with("FILE: clearance.minReasonWords: expected 1 to 300"), "{told}");
        }
    }

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(load("", &[]).unwrap(), Settings::default());
        assert_eq!(load("checks:\n  parentState: {}\n", &[]).unwrap(), Settings::default());
    }

    #[test]
    fn off_is_a_mode_and_no_boolean() {
        assert_eq!(load("checks: {resourceBusy: {mode: off}}", &[]).unwrap().checks.resource_busy.mode, Mode::Off);
        let set = load("", &[("LOCKKEEPER__CHECKS__RESOURCE_BUSY__MODE", "off")]).unwrap();
        assert_eq!(set.checks.resource_busy.mode, Mode::Off);
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let yaml = "staleness: {max: 60s, action: warn}\nchecks: {consecutiveFailures: {threshold: 2, mode: audit}}\n";
        let variables = [
            ("LOCKKEEPER__STALENESS__MAX", "90s"),
            ("LOCKKEEPER__CHECKS__CONSECUTIVE_FAILURES__THRESHOLD", "7"),
            ("OTHER", "x"),
        ];
        let settings = load(yaml, &variables).unwrap();
        assert_eq!(settings.staleness.max, GoDuration::seconds(90));
        assert_eq!(settings.staleness.action, StaleAction::Warn);
        assert_eq!(settings.checks.consecutive_failures.threshold.get(), 7);
        assert_eq!(settings.checks.consecutive_failures.mode, Mode::Audit);
        assert_eq!(
            load("", &[("LOCKKEEPER__LIMITS__ADMISSIONBODYBYTES", "4096")]).unwrap().limits.admission_body_bytes,
            4096
        );
    }

    #[test]
    fn a_fault_names_its_key() {
        let rows = [
            (
                "override: {enabled: true}",
                "FILE: override: unknown field `override`, expected one of `checks`, `staleness`, `classification`, `clearance`, `execution`, `loops`, `limits`",
            ),
            ("checks: {unmanagedResource: {mode: enforce}}", "FILE: checks.unmanagedResource: unknown field"),
            ("execution: {namespace: Work}", "FILE: execution.namespace: expected a namespace, found \"Work\""),
            ("loops: {registration: true}", "FILE: loops.registration: unknown field"),
            ("checks: {resourceBusy: {mode: maybe}}", "FILE: checks.resourceBusy.mode: unknown variant `maybe`"),
            (
                "staleness: {max: soon}",
                "FILE: staleness.max: expected a duration such as 90s, 5m or 1h30m, found \"soon\"",
            ),
            (
                "staleness: {max: 30}",
                "FILE: staleness.max: invalid type: integer `30`, expected a duration such as 90s, 5m or 1h30m",
            ),
            ("staleness: {max: 1s}", "FILE: staleness.max: expected at least 3s, found 1s"),
            ("checks: {consecutiveFailures: {threshold: 0}}", "FILE: checks.consecutiveFailures.threshold: "),
            (
                "checks: {exponentialBackoff: {base: 1h}}",
                "FILE: checks.exponentialBackoff.base: expected at most max (10m), found 1h",
            ),
            ("limits: {admissionBodyBytes: 12}", "FILE: limits.admissionBodyBytes: expected at least 1024"),
            ("limits: {conversionBodyBytes: 12}", "FILE: limits.conversionBodyBytes: expected at least 1024"),
            (
                "limits: {conversionInFlightBytes: 2048}",
                "FILE: limits.conversionInFlightBytes: expected at least limits.conversionBodyBytes",
            ),
            ("limits: {connections: 0}", "FILE: limits.connections: expected at least 1"),
            ("[]", "FILE: .: expected a mapping or a value, found a list"),
            ("checks: [{mode: off}]", "FILE: checks: expected a mapping or a value, found a list"),
            ("checks: {parentState: [off]}", "FILE: checks.parentState: expected a mapping or a value, found a list"),
            ("a: [", "FILE: not YAML: line "),
        ];
        for (yaml, expected) in rows {
            let problem = load(yaml, &[]).unwrap_err();
            assert!(problem.starts_with(expected), "{yaml}: {problem}");
            assert_eq!(problem.lines().count(), 1, "{problem}");
        }
    }

    #[test]
    fn what_is_just_enough_is_taken_and_an_empty_section_is_the_default() {
        for yaml in [
            "staleness: {max: 3s}",
            "checks: {exponentialBackoff: {base: 10m}}",
            "limits: {inFlightBytes: 8388608}",
            "limits: {admissionBodyBytes: 1024}",
        ] {
            assert!(load(yaml, &[]).is_ok(), "{yaml}");
        }
        assert_eq!(load("checks:\nstaleness: {max: }", &[]).unwrap(), Settings::default());
        assert!(load("nope:", &[]).is_err());
    }

    #[test]
    fn a_fault_in_the_environment_names_the_variable() {
        for (name, value, expected) in [
            ("LOCKKEEPER__NOPE", "1", "environment: LOCKKEEPER__NOPE: no such key"),
            ("LOCKKEEPER__STALENESS", "1", "environment: LOCKKEEPER__STALENESS: this is a section"),
            ("LOCKKEEPER__STALENESS__MAX__DEEPER", "1", "environment: LOCKKEEPER__STALENESS__MAX__DEEPER: no such key"),
            (
                "LOCKKEEPER__STALENESS__MAX",
                "1s",
                "FILE with LOCKKEEPER__STALENESS__MAX: staleness.max: expected at least 3s",
            ),
            ("LOCKKEEPER__STALENESS__MAX", "soon", "LOCKKEEPER__STALENESS__MAX: staleness.max: expected a duration"),
        ] {
            let problem = load("", &[(name, value)]).unwrap_err();
            assert!(problem.starts_with(expected), "{problem}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let problem = Settings::load(Some(Path::new("/no/such.yaml")), std::iter::empty()).unwrap_err().to_string();
        assert!(problem.starts_with("/no/such.yaml: cannot be read"), "{problem}");
    }
}
