//! Whose turn it is: executions by the name of their run, for which they may have to wait, and the one that is about to start on a target.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;

use crate::api::facts::{ObjectKey, TargetId};

/// Executions that have not ended, by the run that they have or would have: somebody else's may be in its place, and their own may
/// say no longer whose it is.
#[derive(Default)]
pub struct Waiting(Mutex<Runs>);

#[derive(Default)]
struct Runs {
    by_run: HashMap<ObjectKey, HashSet<ObjectKey>>,
    of: HashMap<ObjectKey, ObjectKey>,
}

impl Waiting {
    /// An execution has the place of this run, or waits for it; or for none any more.
    pub fn set(&self, execution: &ObjectKey, run: Option<ObjectKey>) {
        let mut runs = self.0.lock();
        if let Some(before) = runs.of.remove(execution)
            && let Some(others) = runs.by_run.get_mut(&before)
        {
            others.remove(execution);
            if others.is_empty() {
                runs.by_run.remove(&before);
            }
        }
        if let Some(run) = run {
            runs.by_run.entry(run.clone()).or_default().insert(execution.clone());
            runs.of.insert(execution.clone(), run);
        }
    }

    pub fn on(&self, run: &ObjectKey) -> Vec<ObjectKey> {
        self.0.lock().by_run.get(run).into_iter().flatten().cloned().collect()
    }
}

/// Who starts on a target, until the index has heard that it did: two names of runs may be of one target.
#[derive(Default)]
pub struct Starting(Mutex<HashMap<TargetId, ObjectKey>>);

impl Starting {
    /// Nobody else starts on this target; from here on this one does. One that waits no longer is seen by the gate's question.
    pub fn takes(&self, target: &TargetId, execution: &ObjectKey, waits: impl Fn(&ObjectKey) -> bool) -> bool {
        let mut starting = self.0.lock();
        starting.retain(|_, key| waits(key));
        starting.entry(target.clone()).or_insert_with(|| execution.clone()) == execution
    }

    /// It did not start after all.
    pub fn leaves(&self, execution: &ObjectKey) {
        self.0.lock().retain(|_, starting| starting != execution);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::facts::Target;

    fn key(name: &str) -> ObjectKey {
        ObjectKey { namespace: "payments".into(), name: name.into() }
    }

    fn on(target: &str) -> TargetId {
        Target::parse(target, None).unwrap().identity().clone()
    }

    #[test]
    fn who_waits_for_a_place_is_known_until_it_waits_for_another() {
        let waiting = Waiting::default();
        waiting.set(&key("a"), Some(key("run")));
        waiting.set(&key("b"), Some(key("run")));
        let all = |run: &str| {
            let mut all = waiting.on(&key(run));
            all.sort();
            all
        };
        assert_eq!(all("run"), [key("a"), key("b")]);
        waiting.set(&key("a"), Some(key("other")));
        waiting.set(&key("b"), None);
        assert_eq!((all("run"), all("other")), (vec![], vec![key("a")]));
    }

    #[test]
    fn one_starts_on_a_target_at_a_time_however_that_is_written() {
        let starting = Starting::default();
        let waits = |_: &ObjectKey| true;
        assert!(starting.takes(&on("payments/Deployment/api"), &key("a"), waits));
        assert!(!starting.takes(&on("payments/deployment/api"), &key("b"), waits));
        assert!(starting.takes(&on("payments/Deployment/web"), &key("b"), waits));
        assert!(starting.takes(&on("payments/Deployment/api"), &key("a"), waits), "it may ask again");
        starting.leaves(&key("a"));
        assert!(starting.takes(&on("payments/deployment/api"), &key("b"), waits));
        // It has begun, or is gone.
        assert!(starting.takes(&on("payments/Deployment/api"), &key("c"), |key| key.name != "b".into()));
    }
}
