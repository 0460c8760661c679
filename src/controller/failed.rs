//! Calls that came to nothing: why, and what is to be done.

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The API server answered so.
    #[error("{code} {reason}: {message}")]
    Refused { code: u16, reason: String, message: String },
    #[error("no answer: {0}")]
    Away(String),
    /// What we know is behind.
    #[error("not known yet: {0}")]
    Behind(String),
    #[error("the answer is not what it should be: {0}")]
    Odd(String),
    /// No retry changes that: who wants it otherwise writes the object anew.
    #[error("{0}")]
    LeftAlone(String),
}

impl Failed {
    pub fn code(&self) -> u16 {
        match self {
            Self::Refused { code, .. } => *code,
            _ => 0,
        }
    }

    /// RBAC refused it; webhooks and quotas refuse with the same code and other words.
    pub fn lacks_a_right(&self) -> bool {
        let says = |message: &str| message.contains("is forbidden: User ") && message.contains(" cannot ");
        matches!(self, Self::Refused { code: 403, message, .. } if says(message))
    }

    /// What is to be done about it, where that is known.
    pub fn advice(&self) -> &'static str {
        if self.lacks_a_right() { "; grant lockkeeper that right, as its chart's profile does" } else { "" }
    }

    /// As metrics name it.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::LeftAlone(_) => "left_alone",
            Self::Refused { code: 409, .. } => "conflict",
            _ => "retried",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rbac_tells_of_a_right() {
        let refused =
            |code, message: &str| Failed::Refused { code, reason: "Forbidden".to_owned(), message: message.to_owned() };
        let rbac = "workflowexecutions.kubernaut.ai \"we\" is forbidden: User \"u\" cannot patch resource \"workflowexecutions\" in API group \"kubernaut.ai\" in the namespace \"n\"";
        assert!(refused(403, rbac).lacks_a_right());
        for (code, message) in [
            (403, "admission webhook \"guard.lockkeeper.kubernaut.ai\" denied the request: FailureImmutable: no"),
            (403, "pods \"p\" is forbidden: exceeded quota: team"),
            (422, rbac),
        ] {
            assert_eq!(
                (refused(code, message).lacks_a_right(), refused(code, message).advice()),
                (false, ""),
                "{message}"
            );
        }
    }
}
