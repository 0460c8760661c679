//! The one place where a verdict becomes words.

use std::fmt;

use super::verdict::{Because, End, Hold, Verdict, seconds_until};
use super::warnings::Warning;
use super::{Kind, Reason};
use crate::api::duration::GoDuration;
use crate::api::facts::{Cause, Timestamp};

/// A message stays under 1 kB.
const MESSAGE_MAX_BYTES: usize = 1000;
/// What a person reads of a warning; the API server cuts at 256 where there are many.
const WARNING_MAX_CHARS: usize = 200;
/// Causes told in the message; all are in `details.causes`.
const CAUSES_TOLD: usize = 3;

impl Verdict {
    /// The refusal as one line: what holds, until when, who, and the command that explains it.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        let hold = self.hold.as_ref()?;
        let what = format!("{}: {}{}{}", hold.reason, What(hold), Until(hold, self.at), HeldBy(hold));
        let full = format!("{what}{}", See { verdict: self, whole: true });
        let short = || format!("{what}{}", See { verdict: self, whole: false });
        Some(one_line_bytes(&if full.len() <= MESSAGE_MAX_BYTES { full } else { short() }))
    }

    /// The warnings as one line each.
    #[must_use]
    pub fn warning_lines(&self) -> Vec<String> {
        self.warnings
            .iter()
            .map(|warning| one_line(&Told { warning, at: self.at }.to_string(), WARNING_MAX_CHARS))
            .collect()
    }
}

impl Hold {
    /// What holds, alone: for `details.causes` and for a line of `explain`.
    #[must_use]
    pub fn what(&self) -> String {
        one_line(&What(self).to_string(), MESSAGE_MAX_BYTES / 2)
    }

    /// What holds, until when and who, for a line of a table.
    #[must_use]
    pub fn told(&self, at: Timestamp) -> String {
        one_line(&format!("{}: {}{}{}", self.reason, What(self), Until(self, at), HeldBy(self)), MESSAGE_MAX_BYTES)
    }

    /// The member of the candidate that the hold is about.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match &self.reason {
            Reason::ParentMissing | Reason::ParentUnreadable | Reason::ParentDeleting | Reason::ParentTerminal => {
                "spec.remediationRequestRef"
            }
            Reason::ParentMismatch => "spec.remediationRequestRef.uid",
            Reason::Published(_) | Reason::ConsecutiveFailures | Reason::DuplicateInProgress => {
                "spec.remediationRequestRef"
            }
            Reason::ResourceBusy | Reason::PreviousExecutionFailed | Reason::ExhaustedRetries => "spec.targetResource",
            Reason::RecentlyRemediated => "spec.workflowRef.workflowId",
            Reason::ExponentialBackoff => "spec.targetResource",
            Reason::Malformed | Reason::SpecImmutable | Reason::StaleState => "spec",
        }
    }
}

struct What<'a>(&'a Hold);

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.because {
            Because::Malformed(causes) => causes_told(causes, f),
            Because::ParentMissing => {
                f.write_str("its RemediationRequest does not exist; create that first, or name one that exists")
            }
            Because::ParentUnreadable => f.write_str(
                "its RemediationRequest is stored in a form that cannot be read; lockkeeper's log names the member",
            ),
            Because::ParentMismatch { wanted, found } => {
                write!(f, "its RemediationRequest has uid {found}, spec.remediationRequestRef asks for uid {wanted}")
            }
            Because::ParentDeleting => f.write_str("its RemediationRequest is being deleted"),
            Because::ParentTerminal { phase } => write!(f, "its RemediationRequest has ended ({phase})"),
            Because::Published if self.0.end == End::Never => {
                f.write_str("its RemediationRequest is Blocked until somebody unblocks it")
            }
            Because::Published => f.write_str("its RemediationRequest is Blocked"),
            Because::ConsecutiveFailures { count, threshold } => {
                write!(f, "{count} consecutive failures for this signal, {threshold} hold it")
            }
            Because::DuplicateInProgress => f.write_str("an older request for the same signal is still in progress"),
            Because::ResourceBusy => f.write_str("another workflow is active on this target"),
            Because::PreviousExecutionFailed => {
                f.write_str("a workflow acted on this target and failed; a person must clear it first")
            }
            Because::ExhaustedRetries { count, max } => {
                write!(
                    f,
                    "{count} failures before anything ran, {max} exhaust the retries; a person must clear it first"
                )
            }
            Because::RecentlyRemediated { completed } => {
                write!(f, "the workflow succeeded on this target at {completed}")
            }
            Because::BackoffPublished => f.write_str("the next execution for this signal is not allowed yet"),
            Because::BackoffComputed { count: 1 } => f.write_str("1 failure before anything ran"),
            Because::BackoffComputed { count } => write!(f, "{count} failures before anything ran"),
            Because::StaleState { age, max } => write!(
                f,
                "routing state is {} old, staleness.max is {}; lockkeeper's /readyz says which input is silent",
                GoDuration::from(*age),
                GoDuration::from(*max)
            ),
            Because::SpecChanged => {
                f.write_str("the spec of a WorkflowExecution cannot change; create a new WorkflowExecution instead")
            }
        }
    }
}

fn causes_told(causes: &[Cause], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, cause) in causes.iter().take(CAUSES_TOLD).enumerate() {
        write!(f, "{}{}: {}", if index > 0 { "; " } else { "" }, cause.field, cause.message)?;
    }
    match causes.len().saturating_sub(CAUSES_TOLD) {
        0 => Ok(()),
        more => write!(f, "; and {more} more"),
    }
}

struct Until<'a>(&'a Hold, Timestamp);

impl fmt::Display for Until<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(until) = self.0.until() else { return Ok(()) };
        write!(f, "; until {until} ({})", GoDuration::seconds(seconds_until(until, self.1)))
    }
}

struct HeldBy<'a>(&'a Hold);

impl fmt::Display for HeldBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(by) = &self.0.by else { return Ok(()) };
        write!(f, "; held by {} {}", by.kind, by.key)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The command that explains the verdict, fit to be pasted into a shell.
struct See<'a> {
    verdict: &'a Verdict,
    whole: bool,
}

impl fmt::Display for See<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = &self.verdict.subject;
        let (Some(parent), Some(target)) = (&subject.parent, &subject.target) else { return Ok(()) };
        write!(f, "; see: lockkeeper explain {}", shell_word(&parent.to_string()))?;
        if self.whole {
            write!(f, " --target {}", shell_word(target))?;
            if !subject.cluster.is_empty() {
                write!(f, " --cluster {}", shell_word(&subject.cluster))?;
            }
        }
        Ok(())
    }
}

/// As it is where a shell leaves it alone, else in single quotes.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:/@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

struct Told<'a> {
    warning: &'a Warning,
    at: Timestamp,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.warning {
            Warning::WouldHold(hold) => {
                write!(f, "{}: {}{}{} (not enforced)", hold.reason, What(hold), Until(hold, self.at), HeldBy(hold))
            }
            Warning::SignalNearlyHeld { count, threshold, cooldown } => {
                write!(f, "{count} of {threshold} failures for this signal; the next one holds it for {cooldown}")
            }
            Warning::LastAttempt { count, max } => write!(
                f,
                "{count} of {max} failures before anything ran; the next one holds this target until a person clears it"
            ),
            Warning::Unclassified { newest, count: 1 } => {
                write!(f, "unclassified: {newest} failed without failureDetails and holds nothing")
            }
            Warning::Unclassified { newest, count } => {
                write!(
                    f,
                    "unclassified: {count} executions failed without failureDetails and hold nothing, the newest is {newest}"
                )
            }
            Warning::FarFuture { until } => {
                write!(f, "held until {until}, unusually far ahead; check the clock that wrote it")
            }
            Warning::Stale { age, max } => write!(
                f,
                "judged on routing state {} old, staleness.max is {}",
                GoDuration::from(*age),
                GoDuration::from(*max)
            ),
            Warning::ParameterKeys { first, count } => {
                write!(f, "parameter keys are not UPPER_SNAKE_CASE: {}", first.join(", "))?;
                match count - first.len() {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
        }
    }
}

/// Free of control characters and of what reorders a terminal's text, and at most so many characters.
#[must_use]
pub fn one_line(text: &str, max_chars: usize) -> String {
    let mut line: String = text.chars().take(max_chars).map(|c| if unprintable(c) { ' ' } else { c }).collect();
    if text.chars().nth(max_chars).is_some() {
        line.pop();
        line.push('…');
    }
    line
}

fn one_line_bytes(text: &str) -> String {
    let mut chars = text.chars().count().min(MESSAGE_MAX_BYTES);
    loop {
        let line = one_line(text, chars);
        if line.len() <= MESSAGE_MAX_BYTES {
            return line;
        }
        chars -= (line.len() - MESSAGE_MAX_BYTES).div_ceil(4);
    }
}

/// Control characters, and the invisible ones that split or reorder a line.
fn unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_control_characters_and_an_end() {
        assert_eq!(one_line("a\nb\u{1b}[31m\u{85}\u{202e}", 99), "a b [31m  ");
        assert_eq!(one_line("abcdef", 4), "abc…");
        assert_eq!(one_line("abcd", 4), "abcd");
        assert!(one_line_bytes(&"ü".repeat(5000)).len() <= MESSAGE_MAX_BYTES);
    }

    #[test]
    fn what_a_shell_would_read_is_quoted() {
        assert_eq!(shell_word("payments/Deployment/api"), "payments/Deployment/api");
        assert_eq!(shell_word("a b$(c)"), "'a b$(c)'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word(""), "''");
    }
}
