//! `lockkeeper convert`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::preflight::Preflight;
use super::{Ended, output, yaml};
use crate::convert::{KINDS, Unconvertible, Version, convert};
use crate::line::one_line;
use crate::manifest::{self, Document};

#[derive(Args)]
#[command(after_help = "Examples:
  lockkeeper convert workflow.yaml --to v1beta1
  kubectl get workflowexecutions.v1alpha1.kubernaut.ai -A -o json | lockkeeper convert - --to v1beta1 -o json
  lockkeeper convert --check
  lockkeeper convert --check backup/*.yaml -o json

FILE may be YAML or JSON, many documents or Lists; - is standard input. What the other version cannot say is parked in the
annotation lockkeeper.kubernaut.ai/legacy and taken back on the way home. --check goes there and back with every object and
prints what would be parked; without FILE it reads a whole cluster, found as kubectl finds it. It writes nothing.
Exit code: 0 all converted, 1 --check found an object that does not come home, 2 something could not be read.")]
pub(super) struct Convert {
    /// Files with WorkflowExecutions and RemediationRequests; - for standard input
    #[arg(value_name = "FILE", required_unless_present = "check")]
    files: Vec<PathBuf>,
    /// Version to convert to
    #[arg(long, value_enum, value_name = "VERSION", required_unless_present = "check", conflicts_with = "check")]
    to: Option<To>,
    /// Go there and back with every object, of the cluster without FILE, and say what would be parked
    #[arg(long)]
    check: bool,
    /// Form of the output: yaml, or one JSON object a line; --check prints text where it is not json
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Form>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Yaml,
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum To {
    #[value(name = "v1alpha1")]
    V1alpha1,
    #[value(name = "v1beta1")]
    V1beta1,
}

impl From<To> for Version {
    fn from(to: To) -> Self {
        match to {
            To::V1alpha1 => Self::V1alpha1,
            To::V1beta1 => Self::V1beta1,
        }
    }
}

impl Convert {
    pub fn run(self) -> anyhow::Result<Ended> {
        match self.to {
            Some(to) => self.convert(to.into()),
            None => self.check(),
        }
    }

    /// All, or nothing: half of a stream is no stream to apply. What is of another kind goes through as it is.
    fn convert(&self, to: Version) -> anyhow::Result<Ended> {
        let (mut text, mut faults, mut foreign) = (String::new(), Faults::default(), Vec::new());
        for document in self.documents(&mut faults) {
            let json = if is_foreign(&document) {
                foreign.push(document.kind);
                document.json
            } else {
                match convert(&whole(&document), to) {
                    Ok(converted) => String::from_utf8_lossy(&converted.json).into_owned(),
                    Err(error) => {
                        faults.add(format!("{}: {error}", document.place));
                        continue;
                    }
                }
            };
            match self.output {
                Some(Form::Json) => text += &(yaml::compact(&json) + "\n"),
                _ if text.is_empty() => text = yaml::from_json(&json),
                _ => text += &format!("---\n{}", yaml::from_json(&json)),
            }
        }
        faults.conclude()?;
        if let Some(told) = told_foreign(foreign) {
            let ours = KINDS.map(|kind| kind.name).join(" and ");
            output::tell(&format!("{told} as they are: {ours} are converted"));
        }
        output::print(&text)?;
        Ok(Ended::Well)
    }

    fn documents(&self, faults: &mut Faults) -> Vec<Document> {
        let mut documents = Vec::new();
        for file in &self.files {
            match manifest::read_some(file) {
                Ok(found) => documents.extend(found),
                Err(error) => faults.add(error.to_string()),
            }
        }
        documents
    }

    fn check(&self) -> anyhow::Result<Ended> {
        let mut found = Preflight::new(self.output == Some(Form::Json));
        let mut faults = Faults::default();
        if self.files.is_empty() {
            super::runtime()?.block_on(found.check_cluster())?;
        }
        let mut foreign = Vec::new();
        for document in self.documents(&mut faults) {
            if is_foreign(&document) {
                foreign.push(document.kind);
            } else {
                found.take(Some(&document.place.to_string()), &whole(&document))?;
            }
        }
        if self.files.is_empty() || !found.is_empty() {
            found.sum_up()?;
        }
        if let Some(advice) = found.advice().filter(|_| self.files.is_empty()) {
            output::tell(&advice);
        }
        if let Some(told) = told_foreign(foreign) {
            output::tell(&told);
        }
        faults.conclude()?;
        Ok(if found.is_clear() { Ended::Well } else { Ended::No })
    }
}

/// It says that it is something else.
fn is_foreign(document: &Document) -> bool {
    let known = |kind: &str| kind.is_empty() || KINDS.iter().any(|known| known.name == kind);
    !document.api_version.is_empty() && document.group() != "kubernaut.ai" || !known(&document.kind)
}

/// "3 objects of other kinds passed: Deployment, PipelineRun".
fn told_foreign(mut kinds: Vec<String>) -> Option<String> {
    let count = kinds.len();
    kinds.sort();
    kinds.dedup();
    let named = one_line(&kinds.join(", "), 200);
    (count > 0).then(|| format!("{count} objects of other kinds ({named}) passed"))
}

/// An item of a typed list may leave its kind to the list.
fn whole(document: &Document) -> String {
    let named = |text: &str| {
        matches!(convert(text, Version::V1beta1), Err(Unconvertible::NoApiVersion | Unconvertible::NoKind(_)))
    };
    if document.kind.is_empty() || document.api_version.is_empty() || !named(&document.json) {
        return document.json.clone();
    }
    let [version, kind] = [&document.api_version, &document.kind].map(|text| serde_json::Value::from(&**text));
    let rest = document.json.trim_start().trim_start_matches('{').trim_start();
    let comma = if rest.starts_with('}') { "" } else { "," };
    format!("{{\"apiVersion\":{version},\"kind\":{kind}{comma}{rest}")
}

/// What could not be read, a line each; the last one ends the command.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, fault: String) {
        self.0.push(fault);
    }

    fn conclude(mut self) -> anyhow::Result<()> {
        let Some(last) = self.0.pop() else { return Ok(()) };
        for fault in self.0 {
            output::tell(&one_line(&fault, 2000));
        }
        anyhow::bail!(last)
    }
}
