//! The one place where a classification becomes words.

use std::fmt::Write;

use super::{Classification, Reason, Weight};
use crate::line::one_line;

/// What failed, for people.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'a> {
    pub workflow: Option<&'a str>,
    pub target: Option<&'a str>,
}

/// What is told of a message; the whole of it stands in `message`.
const QUOTE_MAX_CHARS: usize = 300;
/// As evidence names its role.
const SIDECAR: &str = "sidecar";
/// Names are short, or cut.
const NAME_MAX_CHARS: usize = 253;

pub(super) fn quote(message: &str) -> String {
    one_line(message.trim(), QUOTE_MAX_CHARS)
}

impl Classification {
    /// `naturalLanguageSummary`: what failed, on which target, why we think so, what to do next. A few lines.
    #[must_use]
    pub fn summary(&self, subject: Subject<'_>) -> String {
        let mut text = String::new();
        let name = |name: &str| one_line(name, NAME_MAX_CHARS);
        let workflow = subject.workflow.map_or("The workflow".to_owned(), |id| format!("Workflow {}", name(id)));
        let target = subject.target.map(|target| format!(" on {}", name(target))).unwrap_or_default();
        let task = self.task.as_ref().map(|task| format!(" in task {}", name(&task.name))).unwrap_or_default();
        let step = self.container().map(|container| format!(", {container}")).unwrap_or_default();
        let code = self.exit_code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{workflow}{target} failed{task}{step}: {} ({}){code}.", what(self.reason), self.reason);
        if !self.message.is_empty() {
            let _ = writeln!(text, "Message: {}", quote(&self.message));
        }
        for evidence in &self.evidence {
            let _ = writeln!(text, "Evidence: {}: {}", evidence.from, evidence.says);
        }
        let ran = if self.ran {
            "Something ran, or may have: look at the target before anything runs on it again."
        } else {
            "Nothing ran."
        };
        let _ = writeln!(text, "{ran}");
        let _ = write!(text, "Recommendation: {}", self.advice());
        text
    }

    /// The same in labelled lines, for a terminal: what failed, where, whether anything ran, why we think so, what the
    /// controller said, what to do next.
    #[must_use]
    pub fn told(&self) -> Vec<(&'static str, String)> {
        let name = |name: &str| one_line(name, NAME_MAX_CHARS);
        let task = self.task.as_ref().map(|task| format!("task {}", name(&task.name)));
        let step = self.container();
        let code = self.exit_code.map(|code| format!("exit code {code}"));
        let place: Vec<_> = [task, step, code].into_iter().flatten().collect();
        let evidence = self.evidence.iter().map(|it| format!("{}: {} [{}]", it.from, it.says, it.weight.as_str()));
        // What stands in the evidence is not said twice.
        let said = quote(&self.message);
        let said = (!self.evidence.iter().any(|it| it.says.contains(&said))).then_some(("said", said));
        [("failed", what(self.reason).to_owned()), ("ran", self.ran_in_words().to_owned())]
            .into_iter()
            .chain((!place.is_empty()).then(|| ("where", place.join(", "))))
            .chain(evidence.map(|line| ("why", line)))
            .chain(said)
            .chain([("do", self.advice().to_owned())])
            .collect()
    }

    /// The step that failed, else the sidecar.
    fn container(&self) -> Option<String> {
        let name = |name: &str| one_line(name, NAME_MAX_CHARS);
        let sidecar = || {
            let (role, container) = self.evidence.first()?.from.container.as_ref()?;
            (*role == SIDECAR).then(|| format!("{role} {}", name(container)))
        };
        self.step.as_ref().map(|step| format!("step {}", name(step))).or_else(sidecar)
    }

    /// What to do next.
    fn advice(&self) -> &'static str {
        let role = self.evidence.first().and_then(|first| first.from.container.as_ref()).map(|(role, _)| *role);
        match (self.reason, role == Some(SIDECAR)) {
            (Reason::OomKilled, true) => "raise the memory limit of the sidecar, or let it do less at once.",
            (Reason::DeadlineExceeded, _) if !self.ran => {
                "look at what it waited for before it could start; then give a new execution more time."
            }
            (Reason::TaskFailed, _) if !self.ran => "read the events of the Pod, and the log of what failed in it.",
            (Reason::TaskFailed, true) => {
                "read the log of the sidecar; what it, or a step, changed before it failed is still changed."
            }
            (reason, _) => recommendation(reason),
        }
    }

    /// The last piece of evidence is what the flag rests on.
    fn ran_in_words(&self) -> &'static str {
        let doubt = self.evidence.last().is_none_or(|last| last.weight == Weight::Doubt);
        match (self.ran, doubt) {
            (false, _) => "no: the target is as it was",
            (true, false) => "YES: look at the target before anything runs on it again",
            (true, true) => "MAYBE: look at the target before anything runs on it again",
        }
    }

    /// One line of evidence for a warning or a log.
    #[must_use]
    pub fn because(&self) -> String {
        let first = self.evidence.first().map(|evidence| evidence.from.to_string());
        first.unwrap_or_else(|| "no evidence".to_owned())
    }
}

fn what(reason: Reason) -> &'static str {
    match reason {
        Reason::OomKilled => "it ran out of memory and was killed",
        Reason::DeadlineExceeded => "it did not finish in time",
        Reason::Forbidden => "it was not allowed to",
        Reason::ResourceExhausted => "quota or node resources did not suffice",
        Reason::ConfigurationError => "its specification is wrong",
        Reason::ImagePullBackOff => "an image could not be pulled",
        Reason::TaskFailed => "the task itself failed",
        Reason::Unknown => "the cause is not known",
        Reason::UnsupportedEngine => "nothing here can execute it",
        Reason::Deduplicated => "another execution had the target",
    }
}

/// What to do next, for every reason.
#[must_use]
pub(super) fn recommendation(reason: Reason) -> &'static str {
    match reason {
        Reason::OomKilled => "raise the memory limit of the step, or let it do less at once.",
        Reason::DeadlineExceeded => "look at what it waited for; then raise the timeout or take a faster variant.",
        Reason::Forbidden => "grant whom the message names what it names, or change what the policy refuses.",
        Reason::ResourceExhausted => {
            "free or raise the quota, or the node resource, that the message names; then try again."
        }
        Reason::ConfigurationError => "correct the workflow or its parameters; the same specification will fail again.",
        Reason::ImagePullBackOff => "see that the image exists and that the pull credentials are right.",
        Reason::TaskFailed => "read the log of the step; what it changed before it failed is still changed.",
        Reason::Unknown => "read the events and logs of the run before you decide.",
        Reason::UnsupportedEngine => "use an engine that is installed: tekton or job.",
        Reason::Deduplicated => "wait for the execution that has the target; its outcome counts.",
    }
}
