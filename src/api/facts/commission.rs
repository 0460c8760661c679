//! A stored WorkflowExecution as its executor reads it: what is to be run, and how far that has come. It is read in the hub's
//! form, whichever it is stored in.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::lenient::{Identity, Mapping, Meta, Named, Reference, TargetParts, Time};
use super::{ObjectKey, ParentRef, ReadError, Timestamp, read, said};

/// What an execution asks to have run.
#[derive(Clone, Debug, PartialEq)]
pub struct Commission {
    pub key: ObjectKey,
    pub uid: Box<str>,
    pub created: Option<Timestamp>,
    /// Somebody deleted it; it stays while a finalizer is on it.
    pub deleting: bool,
    pub finalizers: Vec<Box<str>>,
    /// Where its run was to be made when it was claimed.
    pub run_namespace: Option<Box<str>>,
    pub parent: ParentRef,
    /// As it is written: the run is named after it.
    pub target: Option<Box<str>>,
    /// Empty: this cluster.
    pub cluster: Box<str>,
    pub workflow_id: Box<str>,
    pub bundle: Option<Box<str>>,
    pub engine: Option<Box<str>>,
    pub service_account: Option<Box<str>>,
    /// CPU and memory of a Job's container, as they are written.
    pub resources: Option<Value>,
    pub parameters: BTreeMap<Box<str>, Box<str>>,
    /// The parameters that the workflow declares; None: all go to it.
    pub declared: Option<BTreeSet<Box<str>>>,
    pub secrets: Vec<Box<str>>,
    pub config_maps: Vec<Box<str>>,
    pub deadline: Option<Timestamp>,
    pub progress: Progress,
}

/// What its status says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    pub phase: Box<str>,
    pub started: Option<Timestamp>,
    pub completed: Option<Timestamp>,
    /// The run that carries it out.
    pub run: Option<Box<str>>,
    /// `status.execution` without its reference.
    pub execution: Value,
    /// `status.conditions`, as they stand.
    pub conditions: Vec<Value>,
}

impl Commission {
    /// It has not begun.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(&*self.progress.phase, "" | "Pending") && !self.deleting
    }

    /// It said how it ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(&*self.progress.phase, "Completed" | "Failed")
    }

    /// Reads the hub's form.
    ///
    /// # Errors
    /// Names the member that could not be read.
    pub fn from_json(json: &str) -> Result<Self, ReadError> {
        let Mapping(Object { metadata, spec, status }) = read(json)?;
        let Mapping(Stored { meta, finalizers, annotations }) = metadata;
        let Identity { key, uid, created, deleting } = meta.identity()?;
        let Mapping(spec) = spec.unwrap_or_default();
        let Mapping(reference) = spec.remediation_request_ref.unwrap_or_default();
        let Mapping(workflow) = spec.workflow_ref.unwrap_or_default();
        let Mapping(parts) = spec.target.unwrap_or_default();
        let Mapping(dependencies) = workflow.dependencies.unwrap_or_default();
        let names = |all: Option<Vec<Mapping<Named>>>| {
            all.unwrap_or_default().into_iter().filter_map(|Mapping(named)| named.name()).collect()
        };
        Ok(Self {
            parent: ParentRef {
                namespace: said(reference.namespace).unwrap_or_else(|| key.namespace.clone()),
                name: reference.name.unwrap_or_default(),
                uid: said(reference.uid),
            },
            key,
            uid,
            created,
            deleting,
            finalizers: finalizers.unwrap_or_default(),
            run_namespace: annotations.and_then(|Mapping(Annotations { run_namespace })| said(run_namespace)),
            target: parts.written(),
            cluster: parts.cluster_id.unwrap_or_default(),
            workflow_id: workflow.workflow_id.unwrap_or_default(),
            bundle: said(workflow.execution_bundle),
            engine: said(workflow.execution_engine),
            service_account: said(workflow.service_account_name),
            resources: workflow.resources.filter(Value::is_object),
            parameters: spec.parameters.unwrap_or_default(),
            declared: workflow.declared_parameter_names.map(|declared| declared.into_keys().collect()),
            secrets: names(dependencies.secrets),
            config_maps: names(dependencies.config_maps),
            deadline: spec.deadline.and_then(|time| time.0),
            progress: status.unwrap_or_default().0.into(),
        })
    }
}

#[derive(Deserialize)]
struct Object {
    metadata: Mapping<Stored>,
    spec: Option<Mapping<Spec>>,
    status: Option<Mapping<Status>>,
}

#[derive(Default, Deserialize)]
struct Stored {
    #[serde(flatten)]
    meta: Meta,
    finalizers: Option<Vec<Box<str>>>,
    annotations: Option<Mapping<Annotations>>,
}

#[derive(Default, Deserialize)]
struct Annotations {
    #[serde(rename = "lockkeeper.kubernaut.ai/run-namespace")]
    run_namespace: Option<Box<str>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    remediation_request_ref: Option<Mapping<Reference>>,
    workflow_ref: Option<Mapping<Workflow>>,
    target: Option<Mapping<TargetParts>>,
    parameters: Option<BTreeMap<Box<str>, Box<str>>>,
    deadline: Option<Time>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Workflow {
    workflow_id: Option<Box<str>>,
    execution_bundle: Option<Box<str>>,
    execution_engine: Option<Box<str>>,
    service_account_name: Option<Box<str>>,
    resources: Option<Value>,
    declared_parameter_names: Option<BTreeMap<Box<str>, Value>>,
    dependencies: Option<Mapping<Dependencies>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dependencies {
    secrets: Option<Vec<Mapping<Named>>>,
    config_maps: Option<Vec<Mapping<Named>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    phase: Option<Box<str>>,
    start_time: Option<Time>,
    completion_time: Option<Time>,
    execution: Option<Value>,
    conditions: Option<Vec<Value>>,
}

impl From<Status> for Progress {
    fn from(status: Status) -> Self {
        let mut execution = status.execution.unwrap_or_default();
        let reference = execution.as_object_mut().and_then(|members| members.remove("ref"));
        Self {
            phase: status.phase.unwrap_or_default(),
            started: status.start_time.and_then(|time| time.0),
            completed: status.completion_time.and_then(|time| time.0),
            run: reference
                .and_then(|reference| reference.get("name")?.as_str().filter(|name| !name.is_empty()).map(Into::into)),
            execution,
            conditions: status.conditions.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_where_its_run_was_to_be_made() {
        let read = |annotations: &str| {
            let object = format!(r#"{{"metadata": {{"namespace": "n", "name": "we", "annotations": {annotations}}}}}"#);
            Commission::from_json(&object).unwrap().run_namespace
        };
        assert_eq!(read(r#"{"a": "b", "lockkeeper.kubernaut.ai/run-namespace": "runs"}"#).as_deref(), Some("runs"));
        assert_eq!(
            (read("{}"), read("null"), read(r#"{"lockkeeper.kubernaut.ai/run-namespace": ""}"#)),
            (None, None, None)
        );
    }
}
