//! `lockkeeper convert`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::output::{self, counted};
use super::preflight::Preflight;
use super::what::{What, what};
use super::{Ended, yaml};
use crate::convert::{KINDS, Unconvertible, Version, bring_home, called, comes_home};
use crate::line::one_line;
use crate::manifest::{self, Document};

#[derive(Args)]
#[command(after_help = "Examples:
  lockkeeper convert workflow.yaml --to v1beta1
  kubectl get workflowexecutions.v1alpha1.kubernaut.ai -A -o json | lockkeeper convert - --to v1beta1 -o json
  lockkeeper convert --check
  lockkeeper convert --check backup/*.yaml -o json

FILE may be YAML or JSON, many documents or Lists, or a folder of such files; - is standard input. What the other version
cannot say is parked in the annotation lockkeeper.kubernaut.ai/legacy and taken back on the way home. Objects of other kinds
pass as they are. It prints all or nothing. --check goes there and back with every object and says what would be parked;
without FILE it reads a whole cluster, found as kubectl finds it. It writes nothing.
Exit code: 0 all converted; 1 an object would not come home as it was, or --check found one that cannot be converted; 2
something could not be read or, without --check, not be converted.")]
pub(super) struct Convert {
    /// Files with WorkflowExecutions and RemediationRequests, or folders of them; - for standard input
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
        let (mut text, mut faults, mut passed, mut strays) = (String::new(), Faults::default(), Passed::default(), 0);
        for document in self.documents(&mut faults) {
            let json = match what(&document) {
                What::Other => {
                    passed.0.push(document.kind);
                    Ok(Some(document.json.clone()))
                }
                What::Mistaken(problem) => Err(problem),
                What::Ours => there(&whole(&document), to).map_err(|error| error.to_string()),
            };
            if let Ok(Some(_)) = json
                && to == Version::V1beta1
                && counts_from_nothing(&document.json)
            {
                let name = called(&document.json);
                let told = format!(
                    "{}: {name}: spec.executionConfig.timeout counts from a creation that the object does not say, so v1beta1 says no deadline: add spec.deadline before you apply it",
                    document.place
                );
                output::tell(&one_line(&told, 2000));
            }
            match (json, self.output) {
                (Ok(Some(json)), Some(Form::Json)) => text += &(yaml::compact(&json) + "\n"),
                (Ok(Some(json)), _) if text.is_empty() => text = yaml::from_json(&json),
                (Ok(Some(json)), _) => text += &format!("---\n{}", yaml::from_json(&json)),
                (Ok(None), _) => {
                    strays += 1;
                    let name = called(&document.json);
                    let told = format!("{}: {name} would not come home from {} as it was", document.place, to.as_str());
                    output::tell(&one_line(&told, 2000));
                }
                (Err(problem), _) => faults.add(format!("{}: {problem}", document.place)),
            }
        }
        faults.conclude()?;
        if strays > 0 {
            output::tell(&format!("nothing is printed, since {} would lose something", counted(strays, "object")));
            return Ok(Ended::No);
        }
        if text.is_empty() {
            output::tell("0 objects: nothing to convert");
        }
        passed.tell("passed through unchanged");
        output::print(&text)?;
        Ok(Ended::Well)
    }

    fn documents(&self, faults: &mut Faults) -> Vec<Document> {
        let mut documents = Vec::new();
        for read in manifest::read_named(&self.files) {
            match read {
                Ok(found) => documents.extend(found),
                Err(error) => faults.add(error.to_string()),
            }
        }
        documents
    }

    fn check(&self) -> anyhow::Result<Ended> {
        let mut found = Preflight::new(self.output == Some(Form::Json));
        let (mut faults, mut passed) = (Faults::default(), Passed::default());
        if self.files.is_empty() {
            super::runtime()?.block_on(found.check_cluster())?;
        }
        for document in self.documents(&mut faults) {
            let place = document.place.to_string();
            match what(&document) {
                What::Other => passed.0.push(document.kind),
                What::Mistaken(problem) => found.refuse(&place, &document.json, problem)?,
                What::Ours => found.take(Some(&place), &whole(&document))?,
            }
        }
        if faults.0.is_empty() || !found.is_empty() {
            found.sum_up()?;
        }
        if let Some(advice) = found.advice().filter(|_| self.files.is_empty()) {
            output::tell(&advice);
        }
        passed.tell("not looked at");
        faults.conclude()?;
        Ok(if found.is_clear() { Ended::Well } else { Ended::No })
    }
}

/// It has a timeout and, as manifests are, no time of creation.
fn counts_from_nothing(object: &str) -> bool {
    let object: serde_json::Value = serde_json::from_str(object).unwrap_or_default();
    let said = |pointer| object.pointer(pointer).is_some_and(|value| !value.is_null());
    said("/spec/executionConfig/timeout") && !said("/metadata/creationTimestamp")
}

/// The object in the other version; None: it would not come home as it was.
fn there(object: &str, to: Version) -> Result<Option<String>, Unconvertible> {
    let there = bring_home(object, to)?;
    let home = there.from == to || comes_home(object, &there)?;
    Ok(home.then(|| String::from_utf8_lossy(&there.json).into_owned()))
}

/// The kinds of what is not ours.
#[derive(Default)]
struct Passed(Vec<String>);

impl Passed {
    /// "3 objects of other kinds (Deployment, PipelineRun) …".
    fn tell(mut self, how: &str) {
        let count = self.0.len();
        if count == 0 {
            return;
        }
        self.0.sort();
        self.0.dedup();
        let kinds = if self.0.len() == 1 { "another kind" } else { "other kinds" };
        let named = self.0.iter().map(|kind| if kind.is_empty() { "none named" } else { kind });
        let named = one_line(&named.collect::<Vec<_>>().join(", "), 200);
        let ours = KINDS.map(|kind| kind.name).join(" and ");
        let count = counted(count, "object");
        output::tell(&format!("{count} of {kinds} ({named}) {how}; only {ours} of kubernaut.ai are converted"));
    }
}

/// An item of a typed list may leave its kind to the list.
fn whole(document: &Document) -> String {
    let named = |text: &str| {
        matches!(bring_home(text, Version::V1beta1), Err(Unconvertible::NoApiVersion | Unconvertible::NoKind(_)))
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
