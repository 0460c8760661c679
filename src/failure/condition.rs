//! A run of which nothing but its condition is known.

use super::Reason::{self, *};
use super::evidence::{Evidence, Source, Weight};
use super::table::{self, Class, Start};
use super::{Classification, started, text, words};
use crate::line::one_line;

/// Judges by reason and message alone, as a WorkflowExecution's status repeats them: it does not say what children there were.
#[must_use]
pub fn of_condition(reason: &str, message: &str, started: bool) -> Classification {
    let source = Source::nameless("PipelineRun");
    let (class, evidence) = class(reason, message, &source);
    let (ran, attested) = match ran(reason, message, started, class, &source) {
        (false, None) if leaves_open(reason, message) => (
            true,
            Some(source.says(Weight::Doubt, format!("reason {reason}, and what became of its tasks is not told"))),
        ),
        told => told,
    };
    let evidence = std::iter::once(evidence).chain(attested).collect();
    Classification {
        exit_code: text::exit(message).map(|exit| exit.code),
        ..Classification::of_whole(class, ran, message, evidence)
    }
}

/// Judges a run of which nothing at all is told: that it ran cannot be excluded.
#[must_use]
pub fn of_nothing(message: &str) -> Classification {
    let doubt = Source::nameless("its run").says(Weight::Doubt, "there was a run, and nothing is known of it");
    Classification::of_whole(Unknown, true, message, vec![doubt])
}

/// Judges a run that went before it ended, and left no record.
#[must_use]
pub fn of_gone(ran: bool) -> Classification {
    let says = if ran {
        "it was seen at work, or that could not be excluded, when it was seen last"
    } else {
        "it went before anything of it ran"
    };
    let said = Source::nameless("its run").says(if ran { Weight::Doubt } else { Weight::Run }, says);
    Classification::of_whole(Unknown, ran, "its run was deleted before it ended", vec![said])
}

/// Judges an execution whose time was over before a run was made for it.
#[must_use]
pub fn of_late() -> Classification {
    let message = "its deadline was over before it could start";
    let said = Source::nameless("WorkflowExecution").says(Weight::Run, message);
    Classification::of_whole(DeadlineExceeded, false, message, vec![said])
}

/// Judges an execution whose specification nobody can carry out.
#[must_use]
pub fn of_spec(message: &str) -> Classification {
    let said = Source::nameless("WorkflowExecution").says(Weight::Run, words::quote(message));
    Classification::of_whole(ConfigurationError, false, message, vec![said])
}

/// Of the name of an engine.
const ENGINE_MAX_CHARS: usize = 60;

/// An execution for an engine that nobody here has.
#[must_use]
pub fn of_engine(engine: &str) -> Classification {
    let engine = one_line(engine, ENGINE_MAX_CHARS);
    let message = format!(
        "executionEngine {engine:?} is not carried out here: this executor makes Tekton PipelineRuns and Kubernetes Jobs. \
         Create a new execution with tekton or job, or without it"
    );
    let said = Source::nameless("WorkflowExecution").says(Weight::Run, message.clone());
    Classification::of_whole(UnsupportedEngine, false, &message, vec![said])
}

/// Tekton gives the reason with tasks at work as well, and its message does not count them.
fn leaves_open(reason: &str, message: &str) -> bool {
    table::pipeline_run(reason).is_some_and(|row| matches!(row.start, Start::Open | Start::Anew))
        && text::counts(message).is_none()
}

pub(super) fn class(reason: &str, message: &str, source: &Source) -> (Reason, Evidence) {
    let by_reason =
        || source.says(Weight::Run, if reason.is_empty() { "no reason".into() } else { format!("reason {reason}") });
    let by_message = |weight| source.says(weight, words::quote(message));
    match table::pipeline_run(reason).or_else(|| table::task_run(reason)).map(|row| row.class) {
        Some(Class::Is(class)) => (class, by_reason()),
        Some(Class::Contract) if text::misses_results(message) => (TaskFailed, by_message(Weight::Message)),
        Some(Class::Contract) => (ConfigurationError, by_reason()),
        Some(Class::Timeout) => (DeadlineExceeded, by_reason()),
        Some(Class::Cancelled) => (Unknown, by_reason()),
        Some(Class::Embedded(otherwise)) => match text::api_error(message) {
            Some(class) => (class, by_message(Weight::Embedded)),
            None => (otherwise, by_reason()),
        },
        _ => {
            let class = match text::counts(message) {
                Some(counts) if counts.failed > 0 => Some(TaskFailed),
                Some(_) => Some(Unknown),
                None => text::exit(message).map(|exit| exit.class()).or_else(|| by_phrases(reason, message)),
            };
            let said = |class| (class, by_message(Weight::Message));
            class.map_or_else(|| (Unknown, by_reason()), said)
        }
    }
}

/// A task that is said to have failed at work did so by its own words, whatever they are about.
fn by_phrases(reason: &str, message: &str) -> Option<Reason> {
    let class = text::phrases(reason, message)?;
    let own = matches!(class, ResourceExhausted | ConfigurationError) && text::tells_of_work(message);
    Some(if own { TaskFailed } else { class })
}

/// The run refers to no child: nothing ran, where the words are Tekton's own. Of other words the class decides, and the start.
pub(super) fn ran(
    reason: &str,
    message: &str,
    began: bool,
    class: Reason,
    source: &Source,
) -> (bool, Option<Evidence>) {
    let row = table::pipeline_run(reason);
    if row.is_some_and(|row| row.start == Start::Certain) {
        return (true, Some(source.says(Weight::Run, format!("reason {reason}, given only after a start"))));
    }
    if let Some((what, weight)) = started::at_work(text::task_in_run(message).map_or(message, |(_, told)| told)) {
        return (true, Some(source.says(weight, started::tells_of(&what, weight))));
    }
    if row.is_some_and(|row| row.class == Class::Contract) && text::misses_results(message) {
        return (true, Some(source.says(Weight::Message, "its message tells of a task that ended well")));
    }
    if text::counts(message).is_some_and(|counts| counts.completed > 0) || text::task_in_run(message).is_some() {
        return (true, Some(source.says(Weight::Doubt, "its message counts tasks of which nothing else is known")));
    }
    let own = match reason {
        "Failed" => text::counts(message).is_some(),
        "PipelineRunTimeout" => text::run_timeout(message),
        _ => row.is_some(),
    };
    let acts = matches!(class, TaskFailed | OomKilled | DeadlineExceeded | Forbidden);
    if own || !acts {
        return (false, None);
    }
    // A start that is not told is no sign that there was none: the words are nobody's whom we know.
    let says = if began { "had started, and failed of what happens at work" } else { "failed of what happens at work" };
    (true, Some(source.says(Weight::Doubt, says)))
}
