//! `lockkeeper explain`

use std::time::{Duration, Instant};

use clap::Args;

use super::output::{Format, Line, Paint};
use super::state::Asking;
use super::{Ended, output};
use crate::api::duration::GoDuration;
use crate::api::facts::{ObjectKey, ParentRef, RemediationRequest, Target, WorkflowExecution};
use crate::cluster::Index;
use crate::routing::{self, End, Request, Stored, Verdict, View};

#[derive(Args)]
#[command(after_help = "Examples:
  lockkeeper explain payments/rr-8 --target payments/Deployment/api
  lockkeeper explain payments/rr-api-8 --state examples/state --at 2026-01-05T10:02:33Z
  lockkeeper explain --target Node/worker-1 --cluster eu-1 -o json

NS/NAME is a WorkflowExecution, else a RemediationRequest; with --target alone, whatever holds that target is told.
Exit code: 0 nothing holds it, 1 something does, 2 the question makes no sense.")]
pub(super) struct Explain {
    /// WorkflowExecution or RemediationRequest to explain
    #[arg(value_name = "NS/NAME", value_parser = parse_key)]
    object: Option<ObjectKey>,
    /// Target to ask about: ns/kind/name or kind/name
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Cluster of the target, as in spec.clusterID
    #[arg(long, value_name = "ID", requires = "target")]
    cluster: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked, and its name for the reader.
struct Question {
    about: String,
    request: Request,
    /// The execution that is asked about, where it is there and has not begun.
    waits: Option<ObjectKey>,
}

impl Explain {
    pub fn run(self) -> anyhow::Result<Ended> {
        if self.object.is_none() && self.target.is_none() {
            anyhow::bail!(NOTHING_ASKED);
        }
        let policy = self.asking.policy()?;
        let target = self.target.as_deref().map(|text| Target::parse(text, self.cluster.as_deref())).transpose();
        let target = target.map_err(|error| anyhow::anyhow!("--target: {error}"))?;
        let index = self.asking.index()?;
        let question = question(&index, self.object.as_ref(), target)?;
        let view = index.view(&question.request, Instant::now() + PATIENCE)?;
        let view = View { age: Duration::ZERO, ..view };
        let verdict = routing::decide(&question.request, &view, &policy, self.asking.now());
        output::print(&match self.asking.output {
            Format::Json => {
                Line::new(None, &self.object.map(|key| key.to_string()).unwrap_or_default(), &verdict).to_json()?
            }
            Format::Text => text(&question, &verdict, Paint::stdout()),
        })?;
        Ok(if verdict.admitted() { Ended::Well } else { Ended::No })
    }
}

fn parse_key(text: &str) -> Result<ObjectKey, String> {
    let (namespace, name) = text.split_once('/').ok_or("expected namespace/name")?;
    if namespace.is_empty() || name.is_empty() || name.contains('/') {
        return Err("expected namespace/name".to_owned());
    }
    Ok(ObjectKey { namespace: namespace.into(), name: name.into() })
}

const NOTHING_ASKED: &str = "name a WorkflowExecution or RemediationRequest as NS/NAME, or a --target; see --help";

/// With a target at hand the name is a parent's, as in the command that a refusal shows.
fn question(index: &Index, object: Option<&ObjectKey>, target: Option<Target>) -> anyhow::Result<Question> {
    match (object, target) {
        (None, Some(target)) => {
            Ok(Question { about: "whatever holds it".to_owned(), request: Request::target(target), waits: None })
        }
        (Some(key), Some(target)) => match (index.request(key), index.execution(key)) {
            (None, Some(execution)) => {
                let of = for_execution(&execution)?;
                Ok(Question { request: Request { target, ..of.request }, ..of })
            }
            (request, _) => Ok(for_parent(key, request.as_deref(), target)),
        },
        (Some(key), None) => match (index.execution(key), index.request(key)) {
            (Some(execution), _) => for_execution(&execution),
            (None, Some(request)) => Ok(for_parent(key, Some(&request), own_target(&request)?)),
            (None, None) => {
                anyhow::bail!("{key}: no WorkflowExecution and no RemediationRequest of this name that can be read")
            }
        },
        (None, None) => anyhow::bail!(NOTHING_ASKED),
    }
}

fn for_execution(execution: &WorkflowExecution) -> anyhow::Result<Question> {
    let Some(identity) = &execution.target else {
        anyhow::bail!("{}: its spec.targetResource is neither ns/kind/name nor kind/name", execution.key)
    };
    Ok(Question {
        about: format!("WorkflowExecution {}", execution.key),
        waits: execution.waits().then(|| execution.key.clone()),
        request: Request {
            key: Some(execution.key.clone()),
            stored: Some(Stored { created: execution.created }),
            parent: Some(execution.parent.clone()),
            target: Target::from(identity.clone()),
            workflow_id: Some(execution.workflow_id.clone()),
            parameter_names: Vec::new(),
        },
    })
}

fn for_parent(key: &ObjectKey, request: Option<&RemediationRequest>, target: Target) -> Question {
    let parent = ParentRef { namespace: key.namespace.clone(), name: key.name.clone(), uid: None };
    let workflow_id = request.and_then(|request| request.selected_workflow_id.clone());
    Question {
        about: match request {
            // A candidate may ask for another uid of the same name.
            Some(request) if !request.uid.is_empty() => format!("RemediationRequest {key}, uid {}", request.uid),
            _ => format!("RemediationRequest {key}"),
        },
        request: Request {
            key: None,
            stored: None,
            parent: Some(parent),
            target,
            workflow_id,
            parameter_names: Vec::new(),
        },
        waits: None,
    }
}

fn own_target(request: &RemediationRequest) -> anyhow::Result<Target> {
    request.own_target().map_err(|error| {
        anyhow::anyhow!("{}: its target cannot be asked about: {error}; name one with --target", request.key)
    })
}

fn text(question: &Question, verdict: &Verdict, paint: Paint) -> String {
    let target = &question.request.target;
    let cluster = if target.cluster().is_empty() { String::new() } else { format!(" on cluster {}", target.cluster()) };
    let mut text = format!("{}, target {}{cluster}\n", question.about, target.as_written());
    text += &match &verdict.hold {
        None => format!("{}\n", paint.good("nothing holds it")),
        Some(hold) => format!("{} {}\n", paint.bad("held:"), hold.told(verdict.at)),
    };
    if let Some(key) = question.waits.as_ref().filter(|_| verdict.hold.is_none()) {
        text += &of_its_executor(key);
    }
    if let Some(seconds) = verdict.retry_after_seconds() {
        text += &format!("try again in {}\n", GoDuration::seconds(seconds));
    }
    text += &to_clear(verdict);
    text += &format!("\n{}", output::table(verdict, paint));
    for warning in verdict.warning_lines() {
        text += &format!("{} {warning}\n", paint.odd("warning:"));
    }
    text
}

/// The gate would let it start; for its run there may be something in the way that no rule of routing knows.
fn of_its_executor(key: &ObjectKey) -> String {
    let [namespace, name] = told(key);
    format!(
        "it has not begun; where lockkeeper carries out, its condition Admitted says what it waits for\n  kubectl describe wfe {name} -n {namespace}\n"
    )
}

fn told(key: &ObjectKey) -> [String; 2] {
    [&key.namespace, &key.name].map(|part| crate::line::one_line(part, 253))
}

/// The command that lifts a hold which only a person can.
fn to_clear(verdict: &Verdict) -> String {
    let cleared = verdict.hold.as_ref().filter(|hold| hold.end == End::WhenCleared);
    let Some(by) = cleared.and_then(|hold| hold.by.as_ref()) else { return String::new() };
    let [namespace, name] = told(&by.key);
    format!(
        "once you have looked at the target, say so:\n  kubectl patch wfe {name} -n {namespace} --subresource=status --type=merge \\\n    \
         -p '{{\"status\":{{\"blockClearance\":{{\"clearMethod\":\"StatusField\",\"clearReason\":\"…at least ten words…\"}}}}}}'\n"
    )
}
