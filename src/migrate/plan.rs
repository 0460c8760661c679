//! Pure: what the state of a CRD asks for, and the patches that bring it there.

#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::disallowed_macros)]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::crds::OURS;
use crate::convert::Version;

/// Who writes CRDs here. Its name leaves the CRD again ([`disown`]), so that whoever installed it applies without a conflict.
pub const FIELD_MANAGER: &str = "lockkeeper-migrate";

/// Where the stored objects are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aim {
    pub to: Version,
    pub remains: Remains,
}

/// What is served afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// Both versions; somebody converts.
    Both,
    /// The one that is stored; nobody need convert.
    Alone,
}

/// Each may be the last one before a crash: a plan made anew begins there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The CRD writes this version from now on.
    Store,
    /// Each object is written once.
    Rewrite,
    /// The other version leaves `status.storedVersions`.
    Trim,
    /// The other version is served no longer, and nobody is asked to convert.
    Retire,
}

impl Step {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "Store",
            Self::Rewrite => "Rewrite",
            Self::Trim => "Trim",
            Self::Retire => "Retire",
        }
    }
}

/// How a CRD comes into a cluster.
pub const INSTALL: &str = "install the chart, or: lockkeeper crds | kubectl apply --server-side -f -";

/// Why nothing is done, and what to do first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0} is not in this cluster: {INSTALL}")]
    Missing(String),
    #[error("{0} is being deleted, and its objects with it")]
    Deleting(String),
    #[error(
        "{0} is not lockkeeper's, and does not serve v1alpha1 and v1beta1 by a conversion webhook: there is nothing to move"
    )]
    Foreign(String),
    #[error(
        "{0} does not serve {1}: serve it first (helm upgrade --set crds.conversion=true, with a lockkeeper that runs)"
    )]
    NotServed(String, &'static str),
    #[error(
        "{0} stores {1}, and its conversion strategy is {2}: written now, these objects would lose what {3} calls by another name; \
         let lockkeeper convert first (helm upgrade --set crds.conversion=true)"
    )]
    NobodyConverts(String, String, String, &'static str),
    #[error("{0} has objects stored as {1}, which lockkeeper does not convert")]
    Unknown(String, String),
}

impl Refusal {
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

/// What is read of a CRD.
#[derive(Clone, Debug, Deserialize)]
pub struct Definition {
    pub metadata: Metadata,
    pub spec: Spec,
    #[serde(default)]
    pub status: Status,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub name: String,
    pub resource_version: String,
    /// Counts the changes of the spec.
    #[serde(default)]
    pub generation: i64,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    pub deletion_timestamp: Option<String>,
    #[serde(default)]
    pub managed_fields: Vec<Value>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Spec {
    pub versions: Vec<Offered>,
    pub conversion: Option<Conversion>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Offered {
    pub name: String,
    pub served: bool,
    pub storage: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Conversion {
    pub strategy: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    #[serde(default)]
    pub stored_versions: Vec<String>,
}

impl Definition {
    /// The version in which objects are written.
    #[must_use]
    pub fn storage(&self) -> &str {
        self.spec.versions.iter().find(|version| version.storage).map_or("", |version| &version.name)
    }

    #[must_use]
    pub fn serves(&self, version: Version) -> bool {
        self.spec.versions.iter().any(|offered| offered.served && offered.name == version.as_str())
    }

    #[must_use]
    pub fn strategy(&self) -> &str {
        self.spec.conversion.as_ref().map_or("None", |conversion| &conversion.strategy)
    }

    fn converts(&self) -> bool {
        self.strategy() == "Webhook"
    }

    fn is_ours(&self) -> bool {
        let both = self.serves(Version::V1alpha1) && self.serves(Version::V1beta1);
        self.metadata.labels.get(OURS.0).is_some_and(|name| name == OURS.1) || both && self.converts()
    }

    /// What may be stored beside this version.
    fn others_stored(&self, to: Version) -> impl Iterator<Item = &str> {
        let named = self.status.stored_versions.iter().map(String::as_str).chain([self.storage()]);
        named.filter(move |name| *name != to.as_str())
    }
}

/// The steps from this state to the aim; none: it is there.
///
/// # Errors
/// Something else must be done first.
pub fn plan(definition: &Definition, aim: Aim) -> Result<Vec<Step>, Refusal> {
    let name = || definition.metadata.name.clone();
    let to = aim.to.as_str();
    if definition.metadata.deletion_timestamp.is_some() {
        return Err(Refusal::Deleting(name()));
    }
    if !definition.is_ours() {
        // Whoever leaves asks only that nobody need them.
        return if aim.remains == Remains::Alone && !definition.converts() {
            Ok(Vec::new())
        } else {
            Err(Refusal::Foreign(name()))
        };
    }
    if !definition.serves(aim.to) {
        return Err(Refusal::NotServed(name(), to));
    }
    if let Some(other) = definition.others_stored(aim.to).find(|other| Version::from_text(other).is_none()) {
        return Err(Refusal::Unknown(name(), other.to_owned()));
    }
    let mut steps = Vec::new();
    if definition.storage() != to {
        steps.push(Step::Store);
    }
    if let Some(other) = definition.others_stored(aim.to).next() {
        if !definition.converts() {
            return Err(Refusal::NobodyConverts(name(), other.to_owned(), definition.strategy().to_owned(), to));
        }
        steps.extend([Step::Rewrite, Step::Trim]);
    }
    let others_served = definition.spec.versions.iter().any(|offered| offered.served && offered.name != to);
    if aim.remains == Remains::Alone && (others_served || definition.converts()) {
        steps.push(Step::Retire);
    }
    Ok(steps)
}

/// The JSON Patch of a step; it fails where the CRD is another one by now. Of [`Step::Trim`] it is one of the status.
#[must_use]
pub fn patch(definition: &Definition, step: Step, to: Version) -> Value {
    let is = |offered: &Offered| offered.name == to.as_str();
    let versions = || definition.spec.versions.iter().enumerate();
    let replace = |path: String, value: Value| json!({"op": "replace", "path": path, "value": value});
    let mut operations = vec![replace("/metadata/resourceVersion".into(), json!(definition.metadata.resource_version))];
    match step {
        Step::Store => operations.extend(
            versions().map(|(at, offered)| replace(format!("/spec/versions/{at}/storage"), json!(is(offered)))),
        ),
        Step::Rewrite => {}
        Step::Trim => operations.push(replace("/status/storedVersions".into(), json!([to.as_str()]))),
        Step::Retire => {
            operations.extend(
                versions().map(|(at, offered)| replace(format!("/spec/versions/{at}/served"), json!(is(offered)))),
            );
            operations.push(json!({"op": "add", "path": "/spec/conversion", "value": {"strategy": "None"}}));
        }
    }
    Value::Array(operations)
}

/// Takes our name out of the CRD's managed fields. None: it is not there.
#[must_use]
pub fn disown(definition: &Definition) -> Option<Value> {
    let all = &definition.metadata.managed_fields;
    let others: Vec<_> = all.iter().filter(|entry| !is_by_us(entry)).collect();
    (others.len() < all.len() && !others.is_empty()).then(|| {
        json!([
            {"op": "replace", "path": "/metadata/resourceVersion", "value": definition.metadata.resource_version},
            {"op": "replace", "path": "/metadata/managedFields", "value": others},
        ])
    })
}

fn is_by_us(entry: &Value) -> bool {
    entry.get("manager").and_then(Value::as_str) == Some(FIELD_MANAGER)
}

#[cfg(test)]
mod tests;
