//! Standard output: aligned text for people, one JSON object a line for machines.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::routing::{Finding, Hold, Outcome, Verdict};

/// The form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    #[default]
    Text,
    Json,
}

/// Writes text to standard output. A reader that has seen enough is no error, and changes nothing of the exit code.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A line for whoever called, on standard error.
pub(super) fn tell(line: &str) {
    aside(&format!("lockkeeper: {line}\n"));
}

/// Writes text to standard error. That nobody reads it is no reason to end otherwise, least of all by a panic.
pub(super) fn aside(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// "1 object", "2 objects".
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Colour, on a terminal that wants it.
#[derive(Clone, Copy)]
pub(super) struct Paint(bool);

impl Paint {
    pub fn stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self(wanted && std::io::stdout().is_terminal())
    }

    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    pub fn odd(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// One line of `-o json`, keys in the order of the contract.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<&'a str>,
    pub object: &'a str,
    allowed: bool,
    reason: Option<&'a str>,
    code: u16,
    until: Option<String>,
    retry_after_seconds: Option<u64>,
    blocked_by: Option<By<'a>>,
    message: String,
    warnings: Vec<String>,
    checks: Vec<CheckLine>,
}

#[derive(Serialize)]
struct By<'a> {
    kind: &'static str,
    namespace: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct CheckLine {
    check: &'static str,
    outcome: &'static str,
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

impl<'a> Line<'a> {
    pub fn new(file: Option<&'a str>, object: &'a str, verdict: &'a Verdict) -> Self {
        let hold = verdict.hold.as_ref();
        Self {
            file,
            object,
            allowed: verdict.admitted(),
            reason: hold.map(|hold| hold.reason.as_str()),
            code: verdict.code(),
            until: verdict.until().map(crate::api::facts::told),
            retry_after_seconds: verdict.retry_after_seconds(),
            blocked_by: hold.and_then(|hold| hold.by.as_ref()).map(|by| By {
                kind: by.kind.as_str(),
                namespace: &by.key.namespace,
                name: &by.key.name,
            }),
            message: verdict.message().unwrap_or_else(|| "allowed".to_owned()),
            warnings: verdict.warning_lines(),
            checks: verdict.findings.iter().map(CheckLine::new).collect(),
        }
    }

    pub fn to_json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

impl CheckLine {
    fn new(finding: &Finding) -> Self {
        Self {
            check: finding.check.as_str(),
            outcome: finding.outcome.as_str(),
            mode: finding.mode.as_str(),
            until: finding.hit().and_then(Hold::until).map(crate::api::facts::told),
        }
    }
}

/// The checks as an aligned table, a hit with what it rests on.
pub(super) fn table(verdict: &Verdict, paint: Paint) -> String {
    let name_width = verdict.findings.iter().map(|finding| finding.check.as_str().len()).max().unwrap_or(0);
    verdict.findings.iter().map(|finding| format!("  {}\n", row(finding, verdict, name_width, paint))).collect()
}

fn row(finding: &Finding, verdict: &Verdict, width: usize, paint: Paint) -> String {
    let outcome = format!("{:<7}", finding.outcome.as_str());
    let outcome = match finding.outcome {
        Outcome::Pass => paint.good(&outcome),
        Outcome::Hit(_) => paint.bad(&outcome),
        Outcome::Skipped | Outcome::Off => paint.faint(&outcome),
    };
    let told = finding.hit().map(|hold| hold.told(verdict.at)).unwrap_or_default();
    format!("{:<width$}  {outcome}  {:<7}  {told}", finding.check.as_str(), finding.mode.as_str()).trim_end().to_owned()
}
