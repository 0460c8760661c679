//! What a workflow acts on: cluster, namespace, kind, name.

use std::sync::Arc;

/// `spec.targetResource` with `spec.clusterID`, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    written: Box<str>,
    identity: TargetId,
}

/// What two spellings of one target share: the kind in lower case (upstream writes both), and the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId {
    /// `ns/kind/name` or `kind/name`, kind in lower case.
    path: Arc<str>,
    /// Empty: the cluster that this runs in.
    cluster: Arc<str>,
}

/// What is wrong with a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("expected ns/kind/name or kind/name, such as payments/Deployment/api or Node/worker-1")]
    Parts,
    #[error("its namespace is no DNS label: expected 1 to 63 of a-z, 0-9 and -, not - at an end")]
    Namespace,
    #[error("its kind is none: expected a letter, then letters and digits, at most 63 in all")]
    Kind,
    #[error("its name is none: expected 1 to 253 of A-Z, a-z, 0-9 and . _ : -")]
    Name,
}

impl Target {
    /// Reads `ns/kind/name` or `kind/name`.
    ///
    /// # Errors
    /// Says which part is wrong.
    pub fn parse(text: &str, cluster: Option<&str>) -> Result<Self, TargetError> {
        let parts: Vec<&str> = text.split('/').collect();
        let (namespace, kind, name) = match parts[..] {
            [kind, name] => (None, kind, name),
            [namespace, kind, name] => (Some(namespace), kind, name),
            _ => return Err(TargetError::Parts),
        };
        if !namespace.is_none_or(is_dns_label) {
            return Err(TargetError::Namespace);
        }
        if !is_kind(kind) {
            return Err(TargetError::Kind);
        }
        if !is_name(name) {
            return Err(TargetError::Name);
        }
        let kind = kind.to_ascii_lowercase();
        let path = namespace.map_or_else(|| format!("{kind}/{name}"), |namespace| format!("{namespace}/{kind}/{name}"));
        let identity = TargetId { path: path.into(), cluster: cluster.unwrap_or_default().into() };
        Ok(Self { written: text.into(), identity })
    }

    #[must_use]
    pub fn identity(&self) -> &TargetId {
        &self.identity
    }

    /// As somebody wrote it; hashes and messages are made of this.
    #[must_use]
    pub fn as_written(&self) -> &str {
        &self.written
    }

    /// Empty: the cluster that this runs in.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.identity.cluster
    }
}

/// A stored object keeps the identity alone.
impl From<TargetId> for Target {
    fn from(identity: TargetId) -> Self {
        Self { written: (*identity.path).into(), identity }
    }
}

pub(crate) fn is_dns_label(text: &str) -> bool {
    let ends = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == b'-')
}

fn is_kind(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|c| c.is_ascii_alphanumeric())
}

fn is_name(text: &str) -> bool {
    (1..=253).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"._:-".contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<TargetError> {
        Target::parse(text, None).err()
    }

    #[test]
    fn two_spellings_of_a_kind_are_one_target() {
        let id = |text, cluster| Target::parse(text, cluster).unwrap().identity().clone();
        assert_eq!(id("payments/Deployment/api", None), id("payments/deployment/api", Some("")));
        assert_ne!(id("payments/Deployment/api", None), id("payments/Deployment/API", None));
        assert_ne!(id("payments/Deployment/api", None), id("payments/Deployment/api", Some("eu-1")));
        assert_ne!(id("Deployment/api", None), id("payments/Deployment/api", None));
    }

    #[test]
    fn what_was_written_is_kept() {
        assert_eq!(Target::parse("payments/StatefulSet/db", None).unwrap().as_written(), "payments/StatefulSet/db");
    }

    #[test]
    fn each_part_has_its_form() {
        let long = |n: usize| "a".repeat(n);
        for good in [
            "Node/worker-1",
            "n/P/a",
            "1ns/Pod/A.b_c:d-",
            "kube-system/ClusterRole/system:node",
            &format!("{}/{}/{}", long(63), long(63), long(253)),
        ] {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in ["", "api", "a/b/c/d", "a/b/c/"] {
            assert_eq!(fault(bad), Some(TargetError::Parts), "{bad}");
        }
        for bad in ["/Pod/x", "-a/Pod/x", "a-/Pod/x", "A/Pod/x", "a.b/Pod/x", "ü/Pod/x", &format!("{}/Pod/x", long(64))]
        {
            assert_eq!(fault(bad), Some(TargetError::Namespace), "{bad}");
        }
        for bad in ["/x", "1Pod/x", "Po-d/x", "n/Pod.v1/x", &format!("{}/x", long(64))] {
            assert_eq!(fault(bad), Some(TargetError::Kind), "{bad}");
        }
        for bad in ["Pod/", "n/Pod/", "Pod/a b", "Pod/a\n", "Pod/ü", "Pod/a@b", &format!("Pod/{}", long(254))] {
            assert_eq!(fault(bad), Some(TargetError::Name), "{bad}");
        }
    }
}
