//! The one place where a verdict becomes words.

use std::fmt;

use super::verdict::{Because, End, Hold, Verdict, seconds_until};
use super::warnings::Warning;
use super::{Kind, Reason};
use crate::api::duration::GoDuration;
use crate::api::facts::{Cause, Timestamp, told};
use crate::line::{one_line, one_line_bytes};

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
        Some(one_line_bytes(&if full.len() <= MESSAGE_MAX_BYTES { full } else { short() }, MESSAGE_MAX_BYTES))
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

    /// The same without what changes while nothing does: for a condition, which is written where it says something new.
    #[must_use]
    pub fn standing(&self) -> String {
        let what = match &self.because {
            Because::StaleState { max, .. } => format!(
                "routing state is older than staleness.max, {}; lockkeeper's /readyz says which input is silent",
                GoDuration::from(*max)
            ),
            _ => What(self).to_string(),
        };
        let until = self.until().map(|until| format!("; until {}", told(until))).unwrap_or_default();
        one_line(&format!("{}: {what}{until}{}", self.reason, HeldBy(self)), MESSAGE_MAX_BYTES)
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
            Reason::ExponentialBackoff | Reason::ExecutorCooldown => "spec.targetResource",
            Reason::Malformed | Reason::SpecImmutable | Reason::StaleState => "spec",
            Reason::AnnotationReserved => "metadata.annotations",
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
            Because::RunGoesOn => {
                f.write_str("a run on this target still goes on, though its workflow has ended or is gone")
            }
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
            Because::ExecutorRests { ended } => {
                write!(f, "a workflow ended on this target at {ended}, and the executor rests before it takes another")
            }
            Because::RunIsLeft => f.write_str(
                "the finished run of the last workflow on this target is still there, and the executor runs no other beside it",
            ),
            Because::StaleState { age, max } => write!(
                f,
                "routing state is {} old, staleness.max is {}; lockkeeper's /readyz says which input is silent",
                GoDuration::from(*age),
                GoDuration::from(*max)
            ),
            Because::SpecChanged => {
                f.write_str("the spec of a WorkflowExecution cannot change; create a new WorkflowExecution instead")
            }
            Because::ParkedSpec => f.write_str(
                "the annotation lockkeeper.kubernaut.ai/legacy would add to the spec in v1beta1; take it away, or create what `lockkeeper convert --to v1beta1` makes of it",
            ),
            Because::ParkedStatus => f.write_str(
                "the annotation lockkeeper.kubernaut.ai/legacy would change the status in another version; leave it as it was read",
            ),
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
        write!(f, "; until {} ({})", told(until), GoDuration::seconds(seconds_until(until, self.1)))
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
                write!(f, "held until {}, unusually far ahead; check the clock that wrote it", told(*until))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::*;
    use super::super::{Check, Mode, Parent};
    use super::*;
    use crate::api::facts::{Block, RequestPhase, Target};

    #[test]
    fn what_a_shell_would_read_is_quoted() {
        assert_eq!(shell_word("payments/Deployment/api"), "payments/Deployment/api");
        assert_eq!(shell_word("a b$(c)"), "'a b$(c)'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word(""), "''");
    }

    fn resting() -> Scene {
        view().policy(|checks| checks.set(Check::ExecutorCooldown, Mode::Enforce))
    }

    #[test]
    fn a_refusal_says_what_until_when_who_and_which_command_explains_it() {
        for (scene, message) in [
            (
                view().history([failed(BeforeItRan).ended(-33), failed(BeforeItRan).ended(-90)]),
                "ExponentialBackoff: 2 failures before anything ran; until 2026-01-05T10:01:27Z (1m27s); \
                 held by WorkflowExecution payments/we-1",
            ),
            (
                view().history([failed(BeforeItRan).ended(-33)]),
                "ExponentialBackoff: 1 failure before anything ran; until 2026-01-05T10:00:27Z (27s); \
                 held by WorkflowExecution payments/we-1",
            ),
            (
                view().parent(request(RequestPhase::Analyzing).next_allowed(60)),
                "ExponentialBackoff: the next execution for this signal is not allowed yet; \
                 until 2026-01-05T10:01:00Z (1m); held by RemediationRequest payments/parent",
            ),
            (
                view().history([completed().ended(-60)]),
                "RecentlyRemediated: the workflow succeeded on this target at 2026-01-05T09:59:00Z; \
                 until 2026-01-05T10:04:00Z (4m); held by WorkflowExecution payments/we-1",
            ),
            (
                view().history((0..5).map(|i| failed(BeforeItRan).ended(-i))),
                "ExhaustedRetries: 5 failures before anything ran, 5 exhaust the retries; a person must clear it \
                 first; held by WorkflowExecution payments/we-1",
            ),
            (
                view().history([failed(Ran)]),
                "PreviousExecutionFailed: a workflow acted on this target and failed; a person must clear it first; \
                 held by WorkflowExecution payments/we-1",
            ),
            (
                view().history([running()]),
                "ResourceBusy: another workflow is active on this target; held by WorkflowExecution payments/we-1",
            ),
            (
                view().history([completed().ended(-400)]).runs([run_of("we-1")]),
                "ResourceBusy: a run on this target still goes on, though its workflow has ended or is gone; \
                 held by WorkflowExecution payments/we-1",
            ),
            (
                resting().history([failed(Unclassified).ended(-30)]),
                "ExecutorCooldown: a workflow ended on this target at 2026-01-05T09:59:30Z, and the executor rests \
                 before it takes another; until 2026-01-05T10:00:32Z (32s); held by WorkflowExecution payments/we-1",
            ),
            (
                resting().history([completed().ended(-400)]).runs([run_of("we-1").over()]),
                "ExecutorCooldown: the finished run of the last workflow on this target is still there, and the \
                 executor runs no other beside it; held by WorkflowExecution payments/we-1",
            ),
            (
                view().siblings([request(RequestPhase::Executing)]),
                "DuplicateInProgress: an older request for the same signal is still in progress; \
                 held by RemediationRequest payments/rr-1",
            ),
            (
                view().siblings([failure(), failure(), failure()]),
                "ConsecutiveFailures: 3 consecutive failures for this signal, 3 hold it; \
                 until 2026-01-05T10:50:00Z (50m); held by RemediationRequest payments/rr-3",
            ),
            (
                view().parent(request(RequestPhase::Blocked)),
                "Blocked: its RemediationRequest is Blocked until somebody unblocks it; \
                 held by RemediationRequest payments/parent",
            ),
            (
                held_by_everything().parent(request(RequestPhase::Blocked).saying(Block {
                    reason: "IneffectiveChain".into(),
                    until: Some(at(60)),
                    ..Block::default()
                })),
                "IneffectiveChain: its RemediationRequest is Blocked; until 2026-01-05T10:01:00Z (1m); \
                 held by RemediationRequest payments/parent",
            ),
            (
                view().parent(request(RequestPhase::TimedOut)),
                "ParentTerminal: its RemediationRequest has ended (TimedOut); held by RemediationRequest payments/parent",
            ),
            (
                held_by_everything(),
                "ParentDeleting: its RemediationRequest is being deleted; held by RemediationRequest payments/parent",
            ),
            (
                view().question(|question| question.parent.as_mut().unwrap().uid = Some("v".into())),
                "ParentMismatch: its RemediationRequest has uid u, spec.remediationRequestRef asks for uid v; \
                 held by RemediationRequest payments/parent",
            ),
            (
                view().parent_is(Parent::Unreadable),
                "ParentUnreadable: its RemediationRequest is stored in a form that cannot be read; lockkeeper's log \
                 names the member; held by RemediationRequest payments/parent",
            ),
            (
                view().without_parent(),
                "ParentMissing: its RemediationRequest does not exist; create that first, or name one that exists; \
                 held by RemediationRequest payments/parent",
            ),
            (
                view().aged(87_000),
                "StaleState: routing state is 1m27s old, staleness.max is 30s; lockkeeper's /readyz says which input \
                 is silent",
            ),
        ] {
            let see = "; see: lockkeeper explain payments/parent --target payments/Deployment/api";
            assert_eq!(scene.decide().message().unwrap(), format!("{message}{see}"));
        }
    }

    #[test]
    fn the_command_names_the_cluster_and_is_fit_for_a_shell() {
        let asking = |target: &str, cluster: &str| {
            let target = Target::parse(target, Some(cluster)).unwrap();
            let scene = view().without_parent().question(|question| question.target = target);
            let message = scene.decide().message().unwrap();
            message.split_once("see: ").unwrap().1.to_owned()
        };
        assert_eq!(asking("Node/w", "eu-1"), "lockkeeper explain payments/parent --target Node/w --cluster eu-1");
        assert_eq!(
            asking("n/pod/a:b", "eu 1; rm"),
            "lockkeeper explain payments/parent --target n/pod/a:b --cluster 'eu 1; rm'"
        );
    }

    /// What nobody should be able to bring into a terminal or a log through a name.
    const HOSTILE: &str =
        "a\n\r\t\u{1b}[31m\u{0}\u{7f}\u{85}\u{202e}\u{2066}\u{200b}\u{2028}\u{feff}\u{61c}\u{2060}'$(rm)ü\u{10ffff}";

    const INVISIBLE: [char; 7] = ['\u{202e}', '\u{2066}', '\u{200b}', '\u{2028}', '\u{feff}', '\u{61c}', '\u{2060}'];

    #[test]
    fn whatever_names_say_a_message_is_one_printable_line_under_1_kb() {
        for times in [1, 4, 20, 500] {
            let hostile = HOSTILE.repeat(times);
            let block = Block {
                reason: hostile.clone().into(),
                blocking_workflow_execution: Some(hostile.clone().into()),
                ..Block::default()
            };
            let causes = vec![Cause { field: hostile.clone(), message: hostile.clone() }; 9];
            let scene = view()
                .parent(request(RequestPhase::Blocked).saying(block))
                .history([running().named(&hostile).in_namespace(&hostile)])
                .question(|question| {
                    question.target = Target::parse("Node/w", Some(&hostile)).unwrap();
                    question.parent.as_mut().unwrap().name = hostile.clone().into();
                    question.parameter_names = vec![hostile.clone().into(); 5];
                });
            let busy = scene.clone().policy(|checks| checks.set(Check::PublishedBlock, Mode::Warn));
            let mismatch = scene.clone().question(|question| {
                question.parent.as_mut().unwrap().uid = Some(hostile.clone().into());
            });
            let missing = scene.clone().without_parent();
            let verdicts = [
                scene.decide(),
                busy.decide(),
                mismatch.decide(),
                missing.decide(),
                super::super::malformed(causes, &scene.policy, now()),
            ];
            for verdict in verdicts {
                let hold = verdict.hold.as_ref().unwrap();
                let reason = hold.reason.as_str().to_owned();
                let lines =
                    [vec![verdict.message().unwrap(), hold.what(), hold.told(now()), reason], verdict.warning_lines()];
                for line in lines.iter().flatten() {
                    assert!(!line.contains(|c: char| c.is_control() || INVISIBLE.contains(&c)), "{line:?}");
                    assert!(!line.is_empty(), "{verdict:?}");
                }
                assert!(lines[0][0].len() <= MESSAGE_MAX_BYTES);
                assert!(lines[1].iter().all(|line| line.chars().count() <= WARNING_MAX_CHARS));
            }
        }
    }

    #[test]
    fn a_command_too_long_for_the_line_leaves_the_target_out() {
        let named = |n: usize| {
            let target = Target::parse("Node/w", Some(&"c".repeat(n))).unwrap();
            let message = view().without_parent().question(|question| question.target = target).decide().message();
            message.unwrap()
        };
        assert!(named(700).contains(" --cluster ccc"));
        assert!(named(900).ends_with("see: lockkeeper explain payments/parent"));
        let longest =
            (700..900).map(named).filter(|message| message.contains("--cluster")).map(|message| message.len());
        assert_eq!(longest.max(), Some(MESSAGE_MAX_BYTES), "not shortened before it must be");
    }

    #[test]
    fn three_causes_are_told_and_the_rest_counted() {
        let causes = |n: usize| vec![Cause { field: "f".into(), message: "m".into() }; n];
        let told = |n| super::super::malformed(causes(n), &super::super::Policy::default(), now()).message().unwrap();
        assert_eq!(told(3), "Malformed: f: m; f: m; f: m");
        assert_eq!(told(5), "Malformed: f: m; f: m; f: m; and 2 more");
    }

    #[test]
    fn a_hold_alone_tells_the_same_without_the_command() {
        let hold = view().history([failed(BeforeItRan).ended(-33)]).decide().hold.unwrap();
        assert_eq!(hold.what(), "1 failure before anything ran");
        let told = "ExponentialBackoff: 1 failure before anything ran; until 2026-01-05T10:00:27Z (27s); \
                    held by WorkflowExecution payments/we-1";
        assert_eq!(hold.told(now()), told);
        assert_eq!(hold.standing(), told.replace(" (27s)", ""), "what counts down is left out");
        let stale = |age| {
            let (age, max) = (Duration::from_secs(age), Duration::from_secs(15));
            let because = Because::StaleState { age, max };
            Hold { reason: Reason::StaleState, because, by: None, end: End::WhenGone }.standing()
        };
        assert_eq!(stale(20), stale(200));
        assert!(stale(20).starts_with("StaleState: routing state is older than staleness.max, 15s;"), "{}", stale(20));
    }

    #[test]
    fn a_hold_names_the_member_of_the_candidate_that_it_is_about() {
        let mut scene = held_by_everything();
        let mut fields = Vec::new();
        for check in SET {
            fields.push(scene.decide().hold.unwrap().field());
            scene.policy.checks.set(check, Mode::Off);
        }
        let (parent, target) = ("spec.remediationRequestRef", "spec.targetResource");
        let workflow = "spec.workflowRef.workflowId";
        assert_eq!(fields, [parent, parent, parent, parent, target, target, target, workflow, target, target]);
        let mismatch = view().question(|question| question.parent.as_mut().unwrap().uid = Some("v".into()));
        assert_eq!(mismatch.decide().hold.unwrap().field(), "spec.remediationRequestRef.uid");
        for parent in [Parent::Missing, Parent::Unreadable] {
            assert_eq!(view().parent_is(parent).decide().hold.unwrap().field(), "spec.remediationRequestRef");
        }
        let changed = super::super::change(Some(super::super::Change::Spec), &scene.policy, now());
        assert_eq!(changed.hold.unwrap().field(), "spec");
    }

    #[test]
    fn a_line_is_cut_at_a_character() {
        for n in 0..8 {
            let text = format!("{}{}", "x".repeat(n), "ü".repeat(600));
            let line = one_line_bytes(&text, MESSAGE_MAX_BYTES);
            assert!(line.len() <= MESSAGE_MAX_BYTES && line.len() > MESSAGE_MAX_BYTES - 8 && line.ends_with('…'));
        }
        assert_eq!(one_line_bytes(&"x".repeat(1000), MESSAGE_MAX_BYTES), "x".repeat(1000));
        assert_eq!(one_line_bytes(&"x".repeat(1001), MESSAGE_MAX_BYTES).len(), 1000);
        assert!(one_line_bytes(&"ü".repeat(5000), MESSAGE_MAX_BYTES).len() <= MESSAGE_MAX_BYTES);
    }
}
