//! `lockkeeper review`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use k8s_openapi::jiff::Timestamp;

use super::output::{Format, Line, Paint};
use super::state::Asking;
use super::{Ended, output};
use crate::api::facts::{Candidate, NotACandidate};
use crate::cluster::Index;
use crate::manifest::{self, Document, ManifestError};
use crate::routing::{self, Policy, Request, Verdict, View};
use crate::webhook::{Question, Review as AdmissionReview};

#[derive(Args)]
#[command(after_help = "Examples:
  lockkeeper review examples/reviews/allowed.json --state examples/state --at 2026-01-05T10:02:33Z
  lockkeeper review examples/reviews/*.json --state examples/state --at 2026-01-05T10:02:33Z
  kubectl get wfe -A -o yaml | lockkeeper review - -o json

FILE may be YAML or JSON, many documents, Lists, WorkflowExecutions or whole AdmissionReviews, or a folder of such files;
- is standard input.
A WorkflowExecution is judged as one that is to be created now, also if it is stored already.
Exit code: 0 all allowed, 1 one or more refused, 2 something could not be read as a candidate.")]
pub(super) struct Review {
    /// Files to judge, or folders of them; - for standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    asking: Asking,
}

/// A lock nobody else holds.
const PATIENCE: Duration = Duration::from_secs(10);

impl Review {
    pub fn run(self) -> anyhow::Result<Ended> {
        let bench = Bench { policy: self.asking.policy()?, index: self.asking.index()?, now: self.asking.now() };
        let mut rows = Vec::new();
        let mut faults = Vec::new();
        for read in manifest::read_named(&self.files) {
            bench.judge_file(read, &mut rows, &mut faults);
        }
        output::print(&render(&rows, self.asking.output)?)?;
        tell_warnings(&rows, self.asking.output);
        conclude(&rows, &faults)
    }
}

/// One candidate and what became of it.
struct Row {
    file: Arc<str>,
    object: String,
    verdict: Verdict,
    warning: Option<String>,
}

/// The state, the rules and the time that all candidates of one call are judged by.
struct Bench {
    index: Arc<Index>,
    policy: Policy,
    now: Timestamp,
}

impl Bench {
    fn judge_file(&self, read: Result<Vec<Document>, ManifestError>, rows: &mut Vec<Row>, faults: &mut Vec<String>) {
        let documents = match read {
            Ok(documents) => documents,
            Err(error) => return faults.push(error.to_string()),
        };
        for document in documents {
            match self.judge(&document) {
                Ok(row) => rows.push(row),
                Err(problem) => faults.push(format!("{}: {problem}", document.place)),
            }
        }
    }

    fn judge(&self, document: &Document) -> Result<Row, String> {
        let row =
            // The names are anybody's: one candidate is one line, whatever they hold.
            |object: String, (verdict, warning)| Row {
                file: crate::line::one_line(&document.place.file, 4096).into(),
                object: crate::line::one_line(&object, 400),
                verdict,
                warning,
            };
        match document.kind.as_str() {
            "AdmissionReview" => {
                let review = AdmissionReview::decode(document.json.as_bytes()).map_err(|error| error.to_string())?;
                let question = review.understand().map_err(|fault| fault.to_string())?;
                let object =
                    review.key().map(|key| key.to_string()).unwrap_or_else(|| unnamed(review.namespace.as_deref()));
                Ok(row(object, self.answer(question)?))
            }
            "WorkflowExecution" => {
                let question = match Candidate::from_json(&document.json, Some(DEFAULT_NAMESPACE)) {
                    Ok(candidate) => Question::Create(Request::create(candidate)),
                    Err(NotACandidate::Malformed(causes)) => Question::Malformed(causes),
                    Err(NotACandidate::Syntax(problem)) => return Err(problem),
                };
                Ok(row(name_of(&document.json), self.answer(question)?))
            }
            "" => Err("kind is missing; expected a WorkflowExecution or an AdmissionReview".to_owned()),
            kind => Err(format!(
                "kind is {}; expected a WorkflowExecution or an AdmissionReview",
                crate::line::one_line(kind, 80)
            )),
        }
    }

    fn answer(&self, question: Question) -> Result<(Verdict, Option<String>), String> {
        let plain = |verdict| Ok((verdict, None));
        match question {
            Question::Create(request) => {
                let view = self.index.view(&request, Instant::now() + PATIENCE).map_err(|why| why.to_string())?;
                // What was read for this one question is as old as the question.
                let view = View { age: Duration::ZERO, ..view };
                plain(routing::decide(&request, &view, &self.policy, self.now))
            }
            Question::Malformed(causes) => plain(routing::malformed(causes, &self.policy, self.now)),
            Question::Change(change) => plain(routing::change(change, &self.policy, self.now)),
            Question::Nothing(warning) => Ok((routing::unasked(&self.policy, self.now), warning)),
        }
    }
}

/// Where kubectl would create a manifest that names none.
const DEFAULT_NAMESPACE: &str = "default";

fn unnamed(namespace: Option<&str>) -> String {
    format!("{}/", crate::line::one_line(namespace.unwrap_or_default(), 63))
}

fn name_of(json: &str) -> String {
    let metadata = serde_json::from_str::<serde_json::Value>(json)
        .ok()
        .and_then(|mut object| Some(object.get_mut("metadata")?.take()));
    let member = |name: &str| {
        metadata.as_ref().and_then(|meta| meta.get(name)?.as_str().map(|text| crate::line::one_line(text, 253)))
    };
    format!(
        "{}/{}",
        member("namespace").unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
        member("name").unwrap_or_default()
    )
}

fn render(rows: &[Row], format: Format) -> anyhow::Result<String> {
    match format {
        Format::Json => {
            rows.iter().map(|row| Line::new(Some(&row.file), &row.object, &row.verdict).to_json()).collect()
        }
        Format::Text => Ok(text(rows, Paint::stdout())),
    }
}

fn text(rows: &[Row], paint: Paint) -> String {
    let width = |of: fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let (file_width, object_width) = (width(|row| row.file.chars().count()), width(|row| row.object.chars().count()));
    let line = |row: &Row| {
        let verdict = match row.verdict.message() {
            None => paint.good("allowed"),
            Some(message) => format!("{}  {message}", paint.bad("refused")),
        };
        format!("{:<file_width$}  {:<object_width$}  {verdict}\n", row.file, row.object)
    };
    rows.iter().map(line).collect()
}

/// As kubectl does: warnings go to standard error. In JSON they are in the line.
fn tell_warnings(rows: &[Row], format: Format) {
    for row in rows.iter().filter(|_| format == Format::Text) {
        for warning in row.verdict.warning_lines().into_iter().chain(row.warning.clone()) {
            output::aside(&format!("Warning: {}: {}: {warning}\n", row.file, row.object));
        }
    }
}

fn conclude(rows: &[Row], faults: &[String]) -> anyhow::Result<Ended> {
    if let Some((last, others)) = faults.split_last() {
        for fault in others {
            output::tell(&crate::line::one_line(fault, 2000));
        }
        anyhow::bail!("{last}");
    }
    Ok(if rows.iter().all(|row| row.verdict.admitted()) { Ended::Well } else { Ended::No })
}
