//! The fixed parts of what controllers write. Whole phrases at known places, never substrings: the rest of a message is
//! names and words that a workflow's author chose.

use super::Reason::{self, *};
use super::table;

/// `"step-x" exited with code 137: OOMKilled`, in the forms of all releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exit<'a> {
    /// With its `step-` or `sidecar-`.
    pub container: &'a str,
    pub code: i32,
    /// What the kubelet said, since 1.1.
    pub reason: Option<&'a str>,
    /// Tekton calls it an init container.
    pub init: bool,
}

impl Exit<'_> {
    /// What it says by itself, without the record of the container.
    pub fn class(&self) -> Reason {
        match self.reason {
            Some("OOMKilled") => OomKilled,
            _ if self.prepares() => Unknown,
            Some(table::LOST) => Unknown,
            Some(reason) if table::NEVER_STARTED.contains(&reason) => ConfigurationError,
            _ => TaskFailed,
        }
    }

    /// One of Tekton's own that prepare a Pod. A sidecar that Kubernetes starts as an init container is none, though
    /// Tekton's words are the same.
    pub fn prepares(&self) -> bool {
        self.init && !self.container.starts_with("sidecar-")
    }
}

pub(super) fn exit(message: &str) -> Option<Exit<'_>> {
    let (init, rest) = match message.strip_prefix("init container failed, ") {
        Some(rest) => (true, rest),
        None => (false, message.strip_prefix("build step ").unwrap_or(message)),
    };
    let (container, rest) = rest.strip_prefix('"')?.split_once("\" exited with code ")?;
    if container.contains('"') {
        return None;
    }
    let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(rest.len());
    let (code, rest) = rest.split_at(digits);
    let reason = rest.strip_prefix(": ").map(str::trim_end);
    Some(Exit { container, code: code.parse().ok()?, reason, init })
}

/// `"step-x" exited because the step exceeded the specified timeout limit`.
pub(super) fn step_timeout(message: &str) -> Option<&str> {
    let (container, rest) = message.strip_prefix('"')?.split_once("\" exited because the step exceeded the ")?;
    (rest.starts_with("specified timeout limit") && !container.contains('"')).then_some(container)
}

/// A message, and the `Previous status: [X] …` that 1.13 and later put below it.
pub(super) fn previous(message: &str) -> (&str, Option<(&str, &str)>) {
    let Some((head, rest)) = message.split_once("\nPrevious status: [") else { return (message, None) };
    (head, rest.split_once(']').map(|(reason, told)| (reason, told.trim_start())))
}

/// `TaskRun "x" was cancelled. TaskRun cancelled as the PipelineRun it belongs to has timed out.`, and nothing else.
pub(super) fn cancelled_by_timeout(message: &str) -> bool {
    cancelled_as_its_run(message, "timed out")
}

/// The same, or `… has been cancelled.`: nobody else cancelled it, so no words but Tekton's follow.
pub(super) fn cancelled_with_its_run(message: &str) -> bool {
    cancelled_by_timeout(message) || cancelled_as_its_run(message, "been cancelled")
}

fn cancelled_as_its_run(message: &str, how: &str) -> bool {
    let head = previous(message).0.strip_suffix('.').and_then(|head| head.strip_suffix(how));
    let head = head.and_then(|head| {
        head.strip_suffix("\" was cancelled. TaskRun cancelled as the PipelineRun it belongs to has ")
    });
    head.is_some_and(|head| head.starts_with("TaskRun \""))
}

/// The kubelet's words of a whole Pod: their class, and whether the Pod was turned away before anything of it could be.
pub(super) fn pod(message: &str) -> Option<(Reason, bool)> {
    if message.starts_with("Container ") && message.contains(" exceeded its local ephemeral storage limit ") {
        return Some((ResourceExhausted, false));
    }
    table::POD.iter().find(|(begins, ..)| message.starts_with(begins)).map(|(_, class, away)| (*class, *away))
}

/// A Pod's message that names what a container of it used: that one had started.
pub(super) fn tells_of_use(message: &str) -> bool {
    pod(message).is_some_and(|(_, away)| !away)
        && (message.contains(". Container ") && message.contains(" was using ")
            || message.starts_with("Container ")
            || message.starts_with("Usage of EmptyDir volume")
            || message.starts_with("Pod ephemeral local storage usage exceeds"))
}

/// A Pod that no node has room for, in the words of the scheduler, as Tekton passes them on.
pub(super) fn no_room(message: &str) -> bool {
    let Some((_, told)) = message.split_once(UNPLACED) else { return false };
    told.contains(" nodes are available: ") && told.contains("Insufficient ")
}

/// A Pod that no node has taken yet, for whatever the scheduler says.
pub(super) fn unplaced(message: &str) -> bool {
    message.starts_with("pod status ") && message.contains(UNPLACED)
}

/// How Tekton passes the scheduler's words on.
const UNPLACED: &str = "\"PodScheduled\":\"False\"; message: \"";

/// Tekton's words of results that do not fit their declaration: it looks at them once the steps have ended.
pub(super) fn checks_results(message: &str) -> bool {
    let told = message.strip_prefix("[User error] ").unwrap_or(message);
    ["Provided results don't match declared results", "missing keys for these results"]
        .iter()
        .any(|words| told.starts_with(words))
}

/// Tekton's words of a task that ended well, and whose results a later one misses.
pub(super) fn misses_results(message: &str) -> bool {
    outside_quotes(message).contains("task \"\" completed successfully but did not emit the result")
}

/// The kubelet could not say in time what is wrong with a container.
pub(super) fn hiccup(told: &str) -> bool {
    let bare = outside_quotes(told);
    bare.contains("context deadline exceeded") || bare.contains("timed out waiting for the condition")
}

/// `Tasks Completed: 3 (Failed: 1 (Ignored: 1), Cancelled 0), Skipped: 2`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub completed: u64,
    pub failed: u64,
    pub ignored: u64,
    pub cancelled: u64,
}

pub(super) fn counts(message: &str) -> Option<Counts> {
    let rest = message.strip_prefix("Tasks Completed: ")?;
    let (completed, rest) = number(rest)?;
    let (failed, rest) = number(rest.strip_prefix(" (Failed: ")?)?;
    let (ignored, rest) = rest.strip_prefix(" (Ignored: ").and_then(number).unwrap_or((0, rest));
    let rest = rest.trim_start_matches(')').strip_prefix(", ")?;
    let rest = rest.strip_prefix("Cancelled ").or_else(|| rest.strip_prefix("Canceled "))?;
    Some(Counts { completed, failed, ignored, cancelled: number(rest)?.0 })
}

fn number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

/// `TaskRun x has failed (<the TaskRun's message>)`: what releases up to 0.10 wrote of the whole run.
pub(super) fn task_in_run(message: &str) -> Option<(&str, &str)> {
    let (name, rest) = message.strip_prefix("TaskRun ")?.split_once(" has failed (")?;
    (!name.contains(' ')).then(|| (name, rest.strip_suffix(')').unwrap_or(rest)))
}

/// `PipelineRun "x" failed to finish within "d"`, and its relatives.
pub(super) fn run_timeout(message: &str) -> bool {
    let Some((_, rest)) = message.strip_prefix("PipelineRun \"").and_then(|rest| rest.split_once("\" ")) else {
        return false;
    };
    ["failed to finish within ", "failed due to tasks failed to finish within ", "was timed out but had errors"]
        .iter()
        .any(|phrase| rest.starts_with(phrase))
}

/// What an error of the API server, the registry or the kubelet is about, at the place where Tekton puts it. None: it is
/// none that is known.
pub(super) fn api_error(message: &str) -> Option<Reason> {
    let bare = outside_quotes(embedded(message));
    let has = |phrase: &str| bare.contains(phrase);
    let begins = |phrase: &str| bare.trim_start().starts_with(phrase);
    // What a policy's author says of its denial is no error of the API server.
    let denial = ["denied the request", "denied request: "].iter().find_map(|words| bare.split_once(words));
    let said_by_it = denial.map_or(&*bare, |(before, _)| before);
    if said_by_it.contains("failed calling webhook") {
        return Some(Unknown);
    }
    if let Some((_, detail)) = said_by_it.split_once("is forbidden: ") {
        return Some(forbidden(detail));
    }
    if denial.is_some() {
        return Some(if tektons_own(message) { ConfigurationError } else { Forbidden });
    }
    if has("access to specified namespace") && has("is not allowed") {
        return Some(Forbidden);
    }
    if begins("translating ") || has("entrypoint from registry") {
        let account = has("serviceaccounts ") && has(" not found");
        return Some(if account || !registry(&bare) { ConfigurationError } else { ImagePullBackOff });
    }
    if has("exceeded quota: ") {
        return Some(ResourceExhausted);
    }
    // What a resolver could not reach is the place that the reference names, not the control plane.
    if !has("requesting remote resource") && INFRASTRUCTURE.iter().any(|phrase| has(phrase)) {
        return Some(Unknown);
    }
    if has(" is invalid: ") || has(" not found") || has("unable to validate") || has("no matches for kind") {
        return Some(ConfigurationError);
    }
    None
}

/// Tekton's own webhook, which refuses what is wrong, not what is not allowed.
fn tektons_own(message: &str) -> bool {
    let before = message.split_once(" denied the request").map_or("", |(before, _)| before);
    before.ends_with(".webhook.pipeline.tekton.dev\"")
}

/// A LimitRange says what may be asked for, the table the rest.
fn forbidden(detail: &str) -> Reason {
    let detail = detail.trim_start_matches('[');
    let bound = |which: &str| {
        detail.starts_with(which)
            && (detail.contains(" usage per ") || detail.contains(" limit per ") || detail.contains(" ratio per "))
    };
    if ["maximum ", "minimum ", "memory max limit to request ", "cpu max limit to request "].into_iter().any(bound) {
        return ConfigurationError;
    }
    table::FORBIDDEN.iter().find(|(begins, _)| detail.starts_with(begins)).map_or(Forbidden, |(_, class)| *class)
}

/// Of the control plane, not of the workflow.
const INFRASTRUCTURE: [&str; 13] = [
    "etcdserver: ",
    "dial tcp ",
    "context deadline exceeded",
    "connection refused",
    "i/o timeout",
    "TLS handshake timeout",
    "Internal error occurred",
    "the server is currently unable",
    "the server was unable",
    "Timeout: request did not complete",
    "too many requests",
    "http2: ",
    "unexpected EOF",
];

/// Whether an error that answers a creation says that nothing was stored. None: it does not say. What was never sent was
/// not stored either.
pub(super) fn refusal(message: &str) -> Option<bool> {
    const REFUSED: [&str; 20] = [
        "denied the request",
        "denied request: ",
        "failed calling webhook",
        "exceeded quota: ",
        "resource quota evaluation timed out",
        " is forbidden: ",
        " is invalid: ",
        "\"\" not found",
        "no matches for kind",
        "the server could not find the requested resource",
        "the server rejected our request",
        "the server has asked for the client to provide credentials",
        "the server does not allow this method",
        "the server has received too many requests",
        "too many requests",
        "the server is currently unable to handle the request",
        "dial tcp",
        "TLS handshake",
        "x509: ",
        "Unauthorized",
    ];
    let bare = outside_quotes(message);
    let refused = REFUSED.iter().filter_map(|phrase| bare.find(phrase)).min();
    match (refused, bare.find("\"\" already exists")) {
        // Of two the first one speaks: what follows it is what it is about.
        (Some(refused), exists) => Some(exists.is_none_or(|exists| refused < exists)),
        (None, exists) => exists.map(|_| false),
    }
}

fn registry(bare: &str) -> bool {
    table::REGISTRY.iter().any(|word| bare.contains(word))
}

/// The error itself, without Tekton's words before and its guess behind it.
fn embedded(message: &str) -> &str {
    let rest = message.strip_prefix("failed to create task run pod \"").and_then(|rest| rest.split_once("\": "));
    let rest = rest.or_else(|| message.strip_prefix("Missing or invalid Task ")?.split_once(": "));
    let rest = rest.map_or(message, |(_, error)| error);
    [". Maybe missing or invalid Task ", ". Maybe invalid TaskSpec"]
        .iter()
        .filter_map(|guess| rest.rfind(guess))
        .min()
        .map_or(rest, |at| rest.get(..at).unwrap_or(rest))
}

/// What stands between quotation marks is names and values.
pub(super) fn outside_quotes(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            '"' if !escaped => {
                quoted = !quoted;
                bare.push('"');
            }
            _ if !quoted => bare.push(c),
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
    }
    bare
}

/// Where nothing but free text is known: phrases between word boundaries, in this order.
pub(super) fn phrases(reason: &str, message: &str) -> Option<Reason> {
    let text = words(&outside_quotes(message));
    let has = |phrase: &str| text.contains(&format!(" {phrase} "));
    let any = |phrases: &[&str]| phrases.iter().any(|phrase| has(phrase));
    let named = words(reason);
    if any(&["oomkilled", "oom", "oom killed"]) {
        Some(OomKilled)
    } else if any(&["timeout", "timed out", "deadline", "deadlineexceeded"]) || named.contains(" timeout ") {
        Some(DeadlineExceeded)
    } else if any(&["quota", "resource exhausted"]) {
        Some(ResourceExhausted)
    } else if any(&["forbidden", "rbac", "permission denied"]) {
        Some(Forbidden)
    } else if any(&["imagepullbackoff", "errimagepull", "image pull", "pull image"]) {
        Some(ImagePullBackOff)
    } else if any(&["invalid", "configuration"]) {
        Some(ConfigurationError)
    } else if has("task") && has("failed") || tells_of_work(message) {
        Some(TaskFailed)
    } else {
        None
    }
}

/// Free text that tells of a task's or a container's end.
pub(super) fn tells_of_work(message: &str) -> bool {
    let text = words(&outside_quotes(message));
    text.contains(" task failed ") || text.contains(" exited with code ")
}

/// Words in lower case with one blank around each.
fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(' ');
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        out.extend(word.chars().flat_map(char::to_lowercase));
        out.push(' ');
    }
    out
}
