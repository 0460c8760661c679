//! The candidate: the WorkflowExecution that somebody wants to create. Its whole spec is decoded by its types.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;

use super::lenient::TargetParts;
use super::lenient::{Mapping, Named};
use super::{ObjectKey, ParentRef, TWICE, Target, locate, plainly, printable, said};

/// What a candidate asks, well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub namespace: Box<str>,
    /// None while a name is still to be generated.
    pub name: Option<Box<str>>,
    pub parent: ParentRef,
    pub target: Target,
    pub workflow_id: Box<str>,
    pub parameter_names: Vec<Box<str>>,
}

/// Why an object is no candidate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotACandidate {
    /// It is bad JSON, or says a member twice: nothing in it can be relied on.
    #[error("{0}")]
    Syntax(String),
    /// It is JSON, but no WorkflowExecution that could run.
    #[error("{}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Malformed(Vec<Cause>),
}

/// One field and what is wrong with it; makes sense alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub field: String,
    pub message: String,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl Candidate {
    /// Reads an object that is to be created, in any of the three shapes. The request's namespace counts where the object
    /// gives none.
    ///
    /// # Errors
    /// Tells bad JSON from a malformed candidate; of the latter every fault that can be told at once.
    pub fn from_json(json: &str, namespace: Option<&str>) -> Result<Self, NotACandidate> {
        let object: Object = decode(json)?;
        object.understand(namespace).map_err(NotACandidate::Malformed)
    }

    /// namespace/name, where there is a name.
    #[must_use]
    pub fn key(&self) -> Option<ObjectKey> {
        Some(ObjectKey { namespace: self.namespace.clone(), name: self.name.clone()? })
    }
}

fn decode(json: &str) -> Result<Object, NotACandidate> {
    serde_json::from_str::<Mapping<Object>>(json).map(|object| object.0).map_err(|error| {
        let (path, error) = locate::<Mapping<Object>>(json, error);
        let problem = plainly(&error);
        if error.classify() != Category::Data || problem.starts_with(TWICE) {
            return NotACandidate::Syntax(format!("{path}: {problem}"));
        }
        let field = if path == "." { "object".to_owned() } else { path };
        let cause = Cause { field: printable(&field, 200), message: printable(&problem, 200) };
        NotACandidate::Malformed(vec![cause])
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    api_version: Option<Box<str>>,
    kind: Option<Box<str>>,
    metadata: Option<Mapping<Meta>>,
    spec: Option<Mapping<Spec>>,
}

#[derive(Default, Deserialize)]
struct Meta {
    name: Option<Box<str>>,
    namespace: Option<Box<str>>,
}

/// Every member of the three shapes, by its type; what routing does not ask is decoded all the same.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    remediation_request_ref: Option<Mapping<Parent>>,
    workflow_ref: Option<Mapping<Workflow>>,
    target_resource: Option<Box<str>>,
    #[serde(rename = "clusterID")]
    cluster_id: Option<Box<str>>,
    parameters: Option<Parameters>,
    #[serde(rename = "confidence")]
    _confidence: Option<f64>,
    #[serde(rename = "rationale")]
    _rationale: Option<Box<str>>,
    #[serde(rename = "timesOutAt")]
    _times_out_at: Option<Box<str>>,
    #[serde(rename = "executionConfig")]
    _execution_config: Option<Mapping<ExecutionConfig>>,
    /// v1beta1.
    target: Option<Mapping<TargetParts>>,
    #[serde(rename = "deadline")]
    _deadline: Option<Box<str>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parent {
    namespace: Option<Box<str>>,
    name: Option<Box<str>>,
    uid: Option<Box<str>>,
    #[serde(rename = "apiVersion")]
    _api_version: Option<Box<str>>,
    #[serde(rename = "kind")]
    _kind: Option<Box<str>>,
    #[serde(rename = "fieldPath")]
    _field_path: Option<Box<str>>,
    #[serde(rename = "resourceVersion")]
    _resource_version: Option<Box<str>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Workflow {
    workflow_id: Option<Box<str>>,
    /// Since 1.5.7.
    execution_bundle: Option<Box<str>>,
    /// Dec 2025.
    container_image: Option<Box<str>>,
    #[serde(rename = "version")]
    _version: Option<Box<str>>,
    #[serde(rename = "workflowName")]
    _workflow_name: Option<Box<str>>,
    #[serde(rename = "actionType")]
    _action_type: Option<Box<str>>,
    #[serde(rename = "containerDigest")]
    _container_digest: Option<Box<str>>,
    #[serde(rename = "executionBundleDigest")]
    _execution_bundle_digest: Option<Box<str>>,
    #[serde(rename = "executionEngine")]
    _execution_engine: Option<Box<str>>,
    #[serde(rename = "serviceAccountName")]
    _service_account_name: Option<Box<str>>,
    #[serde(rename = "dependencies")]
    _dependencies: Option<Mapping<Dependencies>>,
    #[serde(rename = "declaredParameterNames")]
    _declared_parameter_names: Option<Keys<Option<bool>>>,
    #[serde(rename = "engineConfig")]
    _engine_config: Option<IgnoredAny>,
    #[serde(rename = "resources")]
    _resources: Option<Keys<IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dependencies {
    #[serde(rename = "secrets")]
    _secrets: Option<Vec<Named>>,
    #[serde(rename = "configMaps")]
    _config_maps: Option<Vec<Named>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecutionConfig {
    #[serde(rename = "timeout")]
    _timeout: Option<Box<str>>,
    #[serde(rename = "serviceAccountName")]
    _service_account_name: Option<Box<str>>,
}

/// Keys in order, none of them twice; the values must be of a type and are not kept.
struct Keys<V>(Vec<Box<str>>, PhantomData<V>);

impl<V> Default for Keys<V> {
    fn default() -> Self {
        Self(Vec::new(), PhantomData)
    }
}

type Parameters = Keys<Text>;

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Keys<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KeysVisitor(PhantomData))
    }
}

struct KeysVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for KeysVisitor<V> {
    type Value = Keys<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys<V>, A::Error> {
        let mut names = std::collections::BTreeSet::new();
        while let Some(name) = map.next_key::<Box<str>>()? {
            if names.contains(&name) {
                return Err(serde::de::Error::custom(format_args!("{TWICE} `{}`", printable(&name, 80))));
            }
            map.next_value::<V>()?;
            names.insert(name);
        }
        Ok(Keys(names.into_iter().collect(), PhantomData))
    }
}

/// A string whose value is nobody's business here.
struct Text;

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer).map(|_| Self)
    }
}

impl Object {
    fn understand(self, namespace: Option<&str>) -> Result<Candidate, Vec<Cause>> {
        let mut causes = self.wrong_kind();
        let meta = self.metadata.unwrap_or_default().0;
        let spec = self.spec.unwrap_or_default().0;
        let workflow = spec.workflow_ref.unwrap_or_default().0;
        let namespace = said(meta.namespace).unwrap_or_else(|| namespace.unwrap_or_default().into());
        let parent = parent(spec.remediation_request_ref.unwrap_or_default().0, &namespace)
            .map_err(|cause| causes.push(cause))
            .ok();
        if said(workflow.execution_bundle).or(said(workflow.container_image)).is_none() {
            causes.push(cause(
                "spec.workflowRef.executionBundle",
                "expected an OCI reference here or in containerImage, found none",
            ));
        }
        let workflow_id = said(workflow.workflow_id);
        if workflow_id.is_none() {
            causes.push(cause("spec.workflowRef.workflowId", "expected the id of a workflow, found none"));
        }
        let parts = spec.target.unwrap_or_default().0;
        let member = if parts.written().is_some() { "spec.target" } else { "spec.targetResource" };
        let (written, cluster) =
            (spec.target_resource.or_else(|| parts.written()), spec.cluster_id.or(parts.cluster_id));
        let target = target(member, written.as_deref(), cluster.as_deref()).map_err(|cause| causes.push(cause)).ok();
        match (parent, target, workflow_id) {
            (Some(parent), Some(target), Some(workflow_id)) if causes.is_empty() => Ok(Candidate {
                namespace,
                name: said(meta.name),
                parent,
                target,
                workflow_id,
                parameter_names: spec.parameters.unwrap_or_default().0,
            }),
            _ => Err(causes),
        }
    }

    /// An object that says that it is something else.
    fn wrong_kind(&self) -> Vec<Cause> {
        let mut causes = Vec::new();
        if let Some(version) = self.api_version.as_deref().filter(|version| !version.starts_with("kubernaut.ai/")) {
            causes.push(cause(
                "apiVersion",
                &format!("expected kubernaut.ai/v1alpha1 or kubernaut.ai/v1beta1, found {:?}", printable(version, 80)),
            ));
        }
        if let Some(kind) = self.kind.as_deref().filter(|kind| *kind != "WorkflowExecution") {
            causes.push(cause("kind", &format!("expected WorkflowExecution, found {:?}", printable(kind, 80))));
        }
        causes
    }
}

fn parent(reference: Parent, namespace: &str) -> Result<ParentRef, Cause> {
    let name = said(reference.name).ok_or_else(|| {
        cause("spec.remediationRequestRef.name", "expected the name of a RemediationRequest, found none")
    })?;
    Ok(ParentRef {
        namespace: said(reference.namespace).unwrap_or_else(|| namespace.into()),
        name,
        uid: said(reference.uid),
    })
}

fn target(member: &str, text: Option<&str>, cluster: Option<&str>) -> Result<Target, Cause> {
    let text = text.unwrap_or_default();
    Target::parse(text, cluster).map_err(|error| cause(member, &format!("found {:?}: {error}", printable(text, 80))))
}

fn cause(field: &str, message: &str) -> Cause {
    Cause { field: field.to_owned(), message: message.to_owned() }
}
