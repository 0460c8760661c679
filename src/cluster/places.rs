//! Which runs act on which target.

use std::sync::Arc;

use super::table::Map;
use crate::api::facts::{ObjectKey, TargetId};
use crate::api::tekton::Engine;
use crate::routing;

/// By target.
#[derive(Default)]
pub(super) struct Places {
    by_target: Map<TargetId, Arc<routing::Runs>>,
    /// Where each run was put, since its execution may be another one by the time it goes.
    of: Map<(Engine, ObjectKey), TargetId>,
}

impl Places {
    pub fn on(&self, target: &TargetId) -> Arc<routing::Runs> {
        self.by_target.get(target).cloned().unwrap_or_default()
    }

    pub fn put(&mut self, run: routing::Run, target: TargetId) {
        self.of.insert((run.engine, run.key.clone()), target.clone());
        Arc::make_mut(self.by_target.entry(target).or_default()).insert(run);
    }

    pub fn lift(&mut self, engine: Engine, run: &ObjectKey) {
        let Some(target) = self.of.remove(&(engine, run.clone())) else { return };
        if let Some(runs) = self.by_target.get_mut(&target) {
            Arc::make_mut(runs).remove(engine, run);
            if runs.is_empty() {
                self.by_target.remove(&target);
            }
        }
    }
}
