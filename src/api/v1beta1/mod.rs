//! `kubernaut.ai/v1beta1`, the hub: what is stored, and what every other shape is turned into. The field set is that of August
//! 2026, grouped; `convert::table` says which member is which.
//!
//! What `v1alpha1` has no place for is bounded: all of it together has to fit into an annotation while the object is one.

mod remediation_request;
mod workflow_execution;

pub use remediation_request::RemediationRequest;
pub use workflow_execution::WorkflowExecution;

use super::v1alpha1::{
    BlockClearance, Condition, Free, NotificationStatus, Phase, SignalDeduplication, StatusDeduplication, TargetType,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest name of an object, and of a namespace or a kind.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;
/// A group, a slash, a version.
const API_VERSION_MAX: usize = NAME_MAX + 1 + LABEL_MAX;
/// More than any instant needs, however fine its fraction of a second.
const TIME_MAX: usize = 64;
const DURATION_MAX: usize = 64;
/// An OCI reference: a host, a path of 255, a tag of 128 and a digest.
const IMAGE_MAX: usize = 1024;
const DIGEST_MAX: usize = 255;

/// A part of a target is none of several: the slash keeps them apart in `v1alpha1`.
const NO_SLASH: &str = "^[^/]+$";
const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
const DNS_SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// A reference to another object.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct ObjectReference {
    /// API version of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = API_VERSION_MAX))]
    pub api_version: Option<String>,
    /// Part of the object that is meant, as a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_MAX))]
    pub field_path: Option<String>,
    /// Kind of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = LABEL_MAX))]
    pub kind: Option<String>,
    /// Name of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = NAME_MAX))]
    pub name: Option<String>,
    /// Namespace of the object; the referring object's where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = LABEL_MAX))]
    pub namespace: Option<String>,
    /// Version of the object that was meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = LABEL_MAX))]
    pub resource_version: Option<String>,
    /// UID of the object; another object of the same name is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = LABEL_MAX))]
    pub uid: Option<String>,
}
