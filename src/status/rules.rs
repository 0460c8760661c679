//! What the operator decided about status writes. Every field has the default of the contract.

use serde::{Deserialize, Serialize};

/// The rules for one write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub classification: Mode,
    pub clearance: Clearance,
}

/// Section `classification` of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// Failure details that are missing or Unknown are filled in.
    Fill,
    /// And those that stronger evidence contradicts are replaced.
    #[default]
    Correct,
    /// Failure details are left as they are sent.
    Off,
}

/// Section `clearance` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Clearance {
    /// Words that a reason needs at least.
    pub min_reason_words: usize,
    /// Service accounts that may clear, as namespace/name, separated by blanks. Empty: none.
    pub service_accounts: String,
}

impl Default for Clearance {
    fn default() -> Self {
        Self { min_reason_words: 10, service_accounts: String::new() }
    }
}

impl Clearance {
    /// The first that is none of `namespace/name`.
    #[must_use]
    pub fn no_account(&self) -> Option<&str> {
        let label =
            |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || b"-.".contains(&c));
        let account =
            |named: &&str| named.split_once('/').is_some_and(|(namespace, name)| label(namespace) && label(name));
        self.service_accounts.split_whitespace().find(|named| !account(named))
    }

    /// People may clear; a service account only if it is named. What else Kubernetes itself names with `system:` is nobody,
    /// but for the administrator's name in the kubeconfig that some distributions make.
    pub(super) fn may_clear(&self, user: &str) -> bool {
        let Some(account) = user.strip_prefix("system:serviceaccount:") else {
            return user == "system:admin" || !user.starts_with("system:");
        };
        let account = account.replacen(':', "/", 1);
        self.service_accounts.split_whitespace().any(|named| named == account)
    }
}
