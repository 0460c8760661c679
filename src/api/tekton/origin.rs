//! Whose a run is: what its maker wrote on it, and which execution that means.

use super::loose::Meta;
use crate::api::facts::{CLOCKS, ObjectKey, Timestamp};

/// What Kubernaut's executor writes on the run that it makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The WorkflowExecution that the run carries out.
    pub execution: Option<ObjectKey>,
    /// The one of that name that it was made for; only lockkeeper says it.
    pub execution_uid: Option<Box<str>>,
    /// Its target as it was written there.
    pub target: Option<Box<str>>,
}

/// A name that is too long for a label stands here whole: namespace/name.
pub const EXECUTION: &str = "lockkeeper.kubernaut.ai/execution";
pub const EXECUTION_UID: &str = "lockkeeper.kubernaut.ai/execution-uid";
pub const EXECUTION_LABEL: &str = "kubernaut.ai/workflow-execution";
pub const NAMESPACE_LABEL: &str = "kubernaut.ai/source-namespace";
pub const TARGET: &str = "kubernaut.ai/target-resource";

impl Origin {
    pub(super) fn of(meta: &Meta) -> Self {
        let labelled = meta.label(EXECUTION_LABEL).zip(meta.label(NAMESPACE_LABEL));
        let whole = meta.annotation(EXECUTION);
        let whole = whole
            .as_deref()
            .and_then(|whole| whole.split_once('/'))
            .map(|(namespace, name)| (name.into(), namespace.into()));
        Self {
            execution: whole.or(labelled).map(|(name, namespace)| ObjectKey { namespace, name }),
            execution_uid: meta.annotation(EXECUTION_UID),
            target: meta.annotation(TARGET),
        }
    }

    /// A run that says this of itself, and was created then, carries this execution out. Of several executions of one name the
    /// uid tells, where a run says it; upstream's do not, and there one that is clearly older is of an earlier execution. In
    /// doubt it is this one's.
    #[must_use]
    pub fn is_of(&self, owner: Owner<'_>, created: Option<Timestamp>) -> bool {
        let same = match (self.execution_uid.as_deref(), owner.uid) {
            (Some(said), Some(uid)) => said == uid,
            _ => owner.may_have_made(created),
        };
        same && self.execution.as_ref() == Some(owner.key)
    }
}

/// An execution, as far as a run can be told to be its own.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    pub key: &'a ObjectKey,
    /// None: not known.
    pub uid: Option<&'a str>,
    pub created: Option<Timestamp>,
}

impl Owner<'_> {
    /// A run of this creation is not clearly older than the execution.
    #[must_use]
    pub fn may_have_made(&self, run: Option<Timestamp>) -> bool {
        let oldest = self.created.and_then(|created| created.checked_sub(CLOCKS).ok());
        oldest.zip(run).is_none_or(|(oldest, run)| run >= oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_executions_of_one_name_the_uid_tells_and_else_the_creation() {
        let at = |second: i64| Timestamp::from_second(1_767_607_200 + second).unwrap();
        let key = |name: &str| ObjectKey { namespace: "payments".into(), name: name.into() };
        let says = |name: &str, uid: Option<&str>| Origin {
            execution: Some(key(name)),
            execution_uid: uid.map(Into::into),
            target: None,
        };
        let ours = key("we-1");
        let owner = Owner { key: &ours, uid: Some("u-1"), created: Some(at(0)) };
        for (origin, created, own) in [
            // Whatever the clocks say.
            (says("we-1", Some("u-1")), Some(-500), true),
            (says("we-1", Some("u-0")), Some(1), false),
            (says("we-2", Some("u-1")), Some(1), false),
            (says("we-1", None), Some(-10), true),
            (says("we-1", None), Some(-11), false),
            (says("we-2", None), Some(1), false),
            (says("we-1", None), None, true),
            (Origin::default(), Some(1), false),
        ] {
            assert_eq!(origin.is_of(owner, created.map(at)), own, "{origin:?} {created:?}");
        }
        let nameless = Owner { uid: None, ..owner };
        assert!(says("we-1", Some("u-0")).is_of(nameless, Some(at(1))), "in doubt");
        assert!(!says("we-1", Some("u-1")).is_of(nameless, Some(at(-11))));
        assert!(says("we-1", None).is_of(Owner { created: None, ..owner }, Some(at(-500))));
    }

    #[test]
    fn a_name_that_is_too_long_for_a_label_stands_whole_beside_it() {
        let meta = |annotations: &str| {
            let labels = r#"{"kubernaut.ai/workflow-execution": "short", "kubernaut.ai/source-namespace": "payments"}"#;
            let run = format!(r#"{{"metadata": {{"name": "r", "labels": {labels}, "annotations": {annotations}}}}}"#);
            super::super::PipelineRun::from_json(&run).unwrap().origin.execution.unwrap().name
        };
        assert_eq!(&*meta("{}"), "short");
        assert_eq!(&*meta(r#"{"lockkeeper.kubernaut.ai/execution": "payments/the-whole"}"#), "the-whole");
    }
}
