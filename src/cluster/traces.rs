//! What was seen of runs and may stand in no record any more.

use k8s_openapi::jiff::Timestamp;

use crate::api::facts::ObjectKey;
use crate::api::tekton::{Carrier, Origin, Owner};

/// Of one execution so many runs are remembered that left a trace.
const MAX: usize = 8;

/// The runs of executions of one name that left a trace, in the order in which they changed last.
#[derive(Default)]
pub(super) struct Traces(Vec<Trace>);

/// What was seen of one run.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    pub run: ObjectKey,
    pub uid: Box<str>,
    origin: Origin,
    created: Option<Timestamp>,
    /// A step of it was seen at work.
    pub at_work: bool,
    /// It failed when every part of it was known and none had run: parts that go first take nothing back.
    pub idle: bool,
    /// It is no longer there, and ran, or may have.
    pub gone: Option<bool>,
    /// It had ended when it went, and its execution was not told: as it was last.
    pub last: Option<Carrier>,
}

impl Trace {
    /// Of a run of which nothing was seen.
    pub fn of(run: &ObjectKey, uid: &str, origin: &Origin, created: Option<Timestamp>) -> Self {
        Self {
            run: run.clone(),
            uid: uid.into(),
            origin: origin.clone(),
            created,
            at_work: false,
            idle: false,
            gone: None,
            last: None,
        }
    }

    fn ran(&self) -> bool {
        self.at_work || self.gone == Some(true)
    }

    fn says_nothing(&self) -> bool {
        !self.at_work && !self.idle && self.gone.is_none()
    }
}

impl Traces {
    /// Changes what is remembered of a run. `unseen` is that run, if nothing is remembered of it.
    pub fn change(&mut self, unseen: Trace, change: impl FnOnce(&mut Trace)) {
        let own = |trace: &Trace| trace.run == unseen.run && trace.uid == unseen.uid;
        let mut trace = match self.0.iter().position(own) {
            Some(at) => self.0.remove(at),
            None => unseen,
        };
        change(&mut trace);
        if !trace.says_nothing() {
            self.0.push(trace);
        }
        if self.0.len() > MAX {
            let least = self.0.iter().position(|trace| !trace.ran()).unwrap_or(0);
            self.0.remove(least);
        }
    }

    /// Those of this execution.
    pub fn of(&self, owner: Owner<'_>) -> impl Iterator<Item = &Trace> {
        self.0.iter().filter(move |trace| trace.origin.is_of(owner, trace.created))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What is remembered of runs.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// A step of one was seen at work, or that could not be excluded when one was seen last.
    pub ran: bool,
    /// One was there, and is no longer.
    pub gone: bool,
    /// The last one that had ended when it went, before its execution was told.
    pub last: Option<Carrier>,
}

impl Memory {
    pub(super) fn of<'t>(traces: impl IntoIterator<Item = &'t Trace>) -> Self {
        traces.into_iter().fold(Self::default(), |memory, trace| Self {
            ran: memory.ran || trace.ran(),
            gone: memory.gone || trace.gone.is_some(),
            last: trace.last.clone().or(memory.last),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unseen(uid: &str) -> Trace {
        let key = ObjectKey { namespace: "runs".into(), name: "wfe-1".into() };
        Trace::of(&key, uid, &Origin::default(), None)
    }

    fn uids(traces: &Traces) -> Vec<&str> {
        traces.0.iter().map(|trace| &*trace.uid).collect()
    }

    #[test]
    fn what_leaves_no_trace_takes_no_room() {
        let mut traces = Traces::default();
        traces.change(unseen("a"), |_| ());
        assert!(traces.is_empty());
        traces.change(unseen("a"), |trace| trace.idle = true);
        assert_eq!(uids(&traces), ["a"]);
        traces.change(unseen("a"), |trace| trace.idle = false);
        assert!(traces.is_empty());
    }

    #[test]
    fn of_many_runs_the_latest_are_remembered_and_those_that_did_something_longest() {
        let mut traces = Traces::default();
        let names: Vec<String> = (0..MAX + 2).map(|number| format!("r{number}")).collect();
        traces.change(unseen("worked"), |trace| trace.at_work = true);
        names.iter().for_each(|uid| traces.change(unseen(uid), |trace| trace.gone = Some(false)));
        let mut expected = vec!["worked"];
        expected.extend(names[3..].iter().map(String::as_str));
        assert_eq!(uids(&traces), expected);
        names.iter().for_each(|uid| traces.change(unseen(uid), |trace| trace.gone = Some(true)));
        assert_eq!(uids(&traces), names[2..], "where all did, the latest");
    }
}
