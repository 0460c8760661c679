//! `lockkeeper classify`

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::Ended;
use super::output::{self, Format, Paint};
use crate::api::facts::{ObjectKey, locate, plainly};
use crate::api::tekton::{Job, PipelineRun, Pod, TaskRun};
use crate::failure::{self, Classification, Subject};
use crate::line::one_line;
use crate::manifest::{self, Document};

#[derive(Args)]
#[command(after_help = "Examples:
  kubectl get pipelineruns,taskruns -n kubernaut-workflows -o yaml | lockkeeper classify -
  lockkeeper classify run.yaml taskruns.yaml -o json
  kubectl get jobs,pods -n kubernaut-workflows -o yaml | lockkeeper classify -

FILE may be YAML or JSON, many documents or Lists, or a folder of such files; - is standard input. TaskRuns are matched
to their PipelineRun by childReferences, the label tekton.dev/pipelineRun or an owner reference, Pods to their Job alike, across all files. The
Status that refused a run's creation (kubectl create -o json) is classified too.
Exit code: 0 every run could be told of, failed or not; 2 something could not be read.")]
pub(super) struct Classify {
    /// Files with runs and what belongs to them, or folders of such files; - for standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

impl Classify {
    pub fn run(self) -> anyhow::Result<Ended> {
        let mut found = Found::default();
        for read in manifest::read_named(&self.files) {
            match read {
                Ok(documents) => documents.iter().for_each(|document| found.take(document)),
                Err(error) => found.faults.push(error.to_string()),
            }
        }
        let rows: Vec<_> = found.runs.iter().map(|run| found.row(run)).collect();
        if rows.is_empty() && found.faults.is_empty() {
            anyhow::bail!("no PipelineRun, Job or Status in it; a TaskRun or a Pod alone is evidence, not a run");
        }
        output::print(&match self.output {
            Format::Json => rows.iter().map(Row::to_json).collect::<anyhow::Result<String>>()?,
            Format::Text => rows.iter().map(|row| row.text(Paint::stdout())).collect::<Vec<_>>().join("\n"),
        })?;
        found.conclude()
    }
}

/// What all files hold, before anything is matched.
#[derive(Default)]
struct Found {
    runs: Vec<Run>,
    /// By namespace and name; a task may be told more than once.
    tasks: BTreeMap<ObjectKey, Vec<TaskRun>>,
    /// The TaskRuns that say to which PipelineRun they belong.
    tasks_of: BTreeMap<ObjectKey, Vec<ObjectKey>>,
    pods_of: BTreeMap<ObjectKey, Vec<Pod>>,
    faults: Vec<String>,
}

enum Run {
    Pipeline(PipelineRun),
    Job(Job),
    Refusal(Refusal),
}

/// The API server's answer to the creation of a run.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    status: Option<String>,
    code: Option<u16>,
    reason: Option<String>,
    message: Option<String>,
}

impl Refusal {
    fn classify(&self) -> Classification {
        let text = |member: &Option<String>| member.clone().unwrap_or_default();
        failure::of_refusal(self.code.unwrap_or_default(), &text(&self.reason), &text(&self.message))
    }

    /// A creation has no name yet: by its reason, else by its code.
    fn name(&self) -> String {
        let reason = self.reason.clone().filter(|reason| !reason.is_empty());
        let code = self.code.filter(|code| *code > 0).map(|code| code.to_string());
        reason.or(code).unwrap_or_else(|| "(no reason given)".to_owned())
    }
}

impl Found {
    fn take(&mut self, document: &Document) {
        let taken = match (document.group(), &*document.kind) {
            ("" | "tekton.dev", "PipelineRun") => {
                PipelineRun::from_json(&document.json).map(|run| self.runs.push(Run::Pipeline(run)))
            }
            ("" | "tekton.dev", "TaskRun") => TaskRun::from_json(&document.json).map(|task| self.take_task(task)),
            ("" | "batch", "Job") => Job::from_json(&document.json).map(|job| self.runs.push(Run::Job(job))),
            ("", "Pod") => Pod::from_json(&document.json).map(|pod| self.take_pod(pod)),
            ("", "Status") => return self.take_refusal(document),
            // A child of a run, of which nothing here is read, and what a run was made for.
            ("tekton.dev", "CustomRun" | "Run") | ("kubernaut.ai", _) => Some(()),
            (_, kind) => {
                let kind = if kind.is_empty() { "missing".to_owned() } else { one_line(kind, 80) };
                let expected = "expected PipelineRun, TaskRun, Job, Pod or Status";
                return self.faults.push(format!("{}: kind is {kind}; {expected}", document.place));
            }
        };
        if taken.is_none() {
            self.faults.push(format!("{}: metadata.name is missing or no string", document.place));
        }
    }

    fn take_task(&mut self, task: TaskRun) {
        if let Some(run) = task.run_key() {
            self.tasks_of.entry(run).or_default().push(task.key.clone());
        }
        self.tasks.entry(task.key.clone()).or_default().push(task);
    }

    fn take_pod(&mut self, pod: Pod) {
        if let Some(job) = &pod.job {
            self.pods_of.entry(pod.key.beside(job)).or_default().push(pod);
        }
    }

    fn take_refusal(&mut self, document: &Document) {
        match serde_json::from_str::<Refusal>(&document.json) {
            Ok(refusal) if refusal.status.as_deref() != Some("Success") => self.runs.push(Run::Refusal(refusal)),
            Ok(_) => self.faults.push(format!("{}: this Status refuses nothing", document.place)),
            Err(error) => {
                let (member, error) = locate::<Refusal>(&document.json, error);
                self.faults.push(format!("{}: {member}: {}", document.place, plainly(&error)));
            }
        }
    }

    fn row(&self, run: &Run) -> Row {
        match run {
            Run::Pipeline(run) => {
                let found = failure::of_run(run, self.tasks_of(run), false);
                let target = run.origin.target.clone();
                Row { kind: "pipelineRun", object: run.key.to_string(), target, ended: run.ended(), found }
            }
            Run::Job(job) => {
                let pods = self.pods_of.get(&job.key).map(Vec::as_slice).unwrap_or_default();
                let found = failure::of_job(job, pods, false);
                let target = job.origin.target.clone();
                Row { kind: "job", object: job.key.to_string(), target, ended: job.complete, found }
            }
            Run::Refusal(refusal) => {
                let found = Some(refusal.classify());
                Row { kind: "refusal", object: refusal.name(), target: None, ended: true, found }
            }
        }
    }

    fn tasks_of(&self, run: &PipelineRun) -> Vec<&TaskRun> {
        let referred = run.children.iter().filter(|child| child.is_task_run).map(|child| run.key.beside(&child.name));
        let labelled = self.tasks_of.get(&run.key).into_iter().flatten().cloned();
        let keys: std::collections::BTreeSet<_> = referred.chain(labelled).collect();
        keys.iter().filter_map(|key| self.tasks.get(key)).flatten().collect()
    }

    fn conclude(self) -> anyhow::Result<Ended> {
        if let Some((last, others)) = self.faults.split_last() {
            for fault in others {
                output::tell(&one_line(fault, 2000));
            }
            anyhow::bail!("{last}");
        }
        Ok(Ended::Well)
    }
}

/// One run and what became of it.
struct Row {
    kind: &'static str,
    object: String,
    target: Option<Box<str>>,
    /// Of one that did not fail: it is over.
    ended: bool,
    /// None: it did not fail.
    found: Option<Classification>,
}

/// One line of `-o json`, keys in the order of the contract.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    failed: bool,
    reason: Option<&'static str>,
    was_execution_failure: Option<bool>,
    failed_task_index: Option<usize>,
    failed_task_name: Option<&'a str>,
    failed_step_name: Option<&'a str>,
    exit_code: Option<i32>,
    message: Option<&'a str>,
    evidence: Option<Vec<EvidenceLine<'a>>>,
    summary: Option<String>,
}

#[derive(Serialize)]
struct EvidenceLine<'a> {
    from: String,
    says: &'a str,
    weight: &'static str,
}

impl Row {
    fn summary(&self, found: &Classification) -> String {
        found.summary(Subject { workflow: None, target: self.target.as_deref() })
    }

    fn to_json(&self) -> anyhow::Result<String> {
        let found = self.found.as_ref();
        let line = Line {
            failed: found.is_some(),
            reason: found.map(|found| found.reason.as_str()),
            was_execution_failure: found.map(|found| found.ran),
            failed_task_index: found.and_then(|found| Some(found.task.as_ref()?.index)),
            failed_task_name: found.and_then(|found| Some(&*found.task.as_ref()?.name)),
            failed_step_name: found.and_then(|found| found.step.as_deref()),
            exit_code: found.and_then(|found| found.exit_code),
            message: found.map(|found| &*found.message),
            evidence: found.map(|found| found.evidence.iter().map(EvidenceLine::of).collect()),
            summary: found.map(|found| self.summary(found)),
        };
        let object = serde_json::to_string(&self.object)?;
        let line = serde_json::to_string(&line)?;
        Ok(format!("{{\"{}\":{object},{}\n", self.kind, line.trim_start_matches('{')))
    }

    fn text(&self, paint: Paint) -> String {
        let kind = match self.kind {
            "pipelineRun" => "PipelineRun",
            "job" => "Job",
            // What is no known refusal may have made the run.
            _ if self.found.as_ref().is_some_and(|found| found.ran) => "Failed creation",
            _ => "Refused creation",
        };
        let object = one_line(&self.object, 400);
        let Some(found) = &self.found else {
            let how = if self.ended { paint.good("succeeded") } else { paint.odd("has not ended") };
            return format!("{kind} {object}  {how}\n");
        };
        let target = self.target.as_ref().map(|target| format!("  on {}", one_line(target, 400))).unwrap_or_default();
        let mut text = format!("{kind} {object}  {}{target}\n", paint.bad(found.reason.as_str()));
        let mut before = "";
        for (label, line) in found.told() {
            let shown = if label == before { "" } else { label };
            let line = match label {
                "ran" if found.ran => paint.bad(&line),
                "ran" => paint.good(&line),
                _ => line,
            };
            text += &format!("  {}  {line}\n", paint.faint(&format!("{shown:<6}")));
            before = label;
        }
        text
    }
}

impl<'a> EvidenceLine<'a> {
    fn of(evidence: &'a failure::Evidence) -> Self {
        Self { from: evidence.from.to_string(), says: &evidence.says, weight: evidence.weight.as_str() }
    }
}
