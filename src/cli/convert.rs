//! `lockkeeper convert`

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::output::{self, Paint};
use super::{Ended, state, yaml};
use crate::cluster::each_object;
use crate::convert::{KINDS, Unconvertible, Version, called, convert, there_and_back};
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

    /// All, or nothing: half of a stream is no stream to apply.
    fn convert(&self, to: Version) -> anyhow::Result<Ended> {
        let (mut text, mut faults) = (String::new(), Faults::default());
        for document in self.documents(&mut faults) {
            match convert(&whole(&document), to) {
                Ok(converted) => {
                    let json = String::from_utf8_lossy(&converted.json);
                    match self.output {
                        Some(Form::Json) => text += &(yaml::compact(&json) + "\n"),
                        _ if text.is_empty() => text = yaml::from_json(&json),
                        _ => text += &format!("---\n{}", yaml::from_json(&json)),
                    }
                }
                Err(error) => faults.add(format!("{}: {error}", document.place)),
            }
        }
        faults.conclude()?;
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
        let mut tally = Tally { json: self.output == Some(Form::Json), ..Tally::default() };
        let mut faults = Faults::default();
        if self.files.is_empty() {
            tally.check_cluster()?;
        }
        for document in self.documents(&mut faults) {
            tally.take(Some(&document.place.to_string()), &whole(&document))?;
        }
        tally.sum_up()?;
        faults.conclude()?;
        Ok(if tally.strays + tally.failed == 0 { Ended::Well } else { Ended::No })
    }
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
            eprintln!("lockkeeper: {}", one_line(&fault, 2000));
        }
        anyhow::bail!(last)
    }
}

/// What `--check` has found so far.
#[derive(Default)]
struct Tally {
    json: bool,
    objects: usize,
    parked: usize,
    /// They do not come home as they were.
    strays: usize,
    failed: usize,
}

/// One line of `-o json`, keys in the order of the contract.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    object: &'a str,
    from: Option<&'static str>,
    to: Option<&'static str>,
    identical: bool,
    parked: &'a [String],
    problem: Option<&'a str>,
}

impl Tally {
    fn take(&mut self, place: Option<&str>, object: &str) -> anyhow::Result<()> {
        self.objects += 1;
        let (name, trip) = (called(object), there_and_back(object));
        match &trip {
            Ok(trip) => {
                self.parked += usize::from(!trip.parked.is_empty());
                self.strays += usize::from(!trip.identical);
            }
            Err(_) => self.failed += 1,
        }
        let problem = match &trip {
            Ok(trip) if !trip.identical => Some("does not come home as it was".to_owned()),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        let trip = trip.as_ref().ok();
        let parked = trip.map_or(&[][..], |trip| &trip.parked);
        if self.json {
            let line = Line {
                file: place,
                object: &name,
                from: trip.map(|trip| trip.from.as_str()),
                to: trip.map(|trip| trip.to.as_str()),
                identical: trip.is_some_and(|trip| trip.identical),
                parked,
                problem: problem.as_deref(),
            };
            return output::print(&(serde_json::to_string(&line)? + "\n"));
        }
        let paint = Paint::stdout();
        let said = match (&problem, parked) {
            (Some(problem), _) => paint.bad(problem),
            (None, []) => paint.good("nothing to park"),
            (None, parked) => {
                let pointers: Vec<_> = parked.iter().map(|pointer| one_line(pointer, 200)).collect();
                format!("{} {}", paint.odd("parks"), pointers.join(" "))
            }
        };
        let place = place.map(|place| one_line(place, 400) + ": ").unwrap_or_default();
        let way = trip.map(|trip| format!("  {} → {}", trip.from.as_str(), trip.to.as_str())).unwrap_or_default();
        output::print(&format!("{place}{name}{way}  {said}\n"))
    }

    /// Beside `-o json` the sum is for people.
    fn sum_up(&self) -> anyhow::Result<()> {
        let Self { objects, parked, strays, failed, .. } = self;
        let line =
            format!("{objects} objects: {parked} park something, {strays} not identical, {failed} not converted\n");
        if self.json {
            eprint!("{line}");
            return Ok(());
        }
        output::print(&line)
    }

    /// Page by page: a page is all that is held.
    fn check_cluster(&mut self) -> anyhow::Result<()> {
        super::runtime()?.block_on(async {
            let client = state::client().await?;
            let progress = std::io::stderr().is_terminal();
            for kind in KINDS {
                let mut trouble = Ok(());
                let mut take = |object: &str| {
                    if trouble.is_ok() {
                        trouble = self.take(None, object);
                    }
                    if progress && self.objects.is_multiple_of(100) {
                        eprint!("\r{} objects", self.objects);
                        let _ = std::io::stderr().flush();
                    }
                };
                each_object(&client, kind.name, &mut take)
                    .await
                    .map_err(|error| anyhow::anyhow!("cannot list {}s: {error}", kind.name))?;
                trouble?;
            }
            if progress {
                eprint!("\r\u{1b}[K");
            }
            anyhow::Ok(())
        })
    }
}
