//! The two webhooks on the status: what it says when it leaves, and whether it may be written so.

use std::time::Instant;

use k8s_openapi::jiff::Timestamp;
use serde_json::value::RawValue;

use super::gate::{Gate, Judgement, not_ready};
use super::review::{Operation, Review};
use crate::api::facts::{ReadError, Record};
use crate::failure::Account;
use crate::fault::Fault;
use crate::status::{self, Write};

impl Gate {
    /// Failure details and the name on a clearance.
    pub(super) fn amend(&self, review: &Review<'_>, deadline: Instant) -> Result<Judgement, Fault> {
        self.with_write(review, deadline, |write| Judgement::Amended(status::amend(write, &self.rules.load())))
    }

    /// What may not be unsaid.
    pub(super) fn guard(&self, review: &Review<'_>, deadline: Instant) -> Result<Judgement, Fault> {
        self.with_write(review, deadline, |write| Judgement::Guarded {
            refusal: status::guard(write, &self.rules.load()),
            clearing: status::clearing(write).map(str::to_owned),
        })
    }

    fn with_write(
        &self,
        review: &Review<'_>,
        deadline: Instant,
        judge: impl FnOnce(&Write<'_>) -> Judgement,
    ) -> Result<Judgement, Fault> {
        if let Some(what) = review.foreign("status") {
            let warning =
                format!("lockkeeper judges workflowexecutions/status.kubernaut.ai here; {what} passed unjudged");
            return Ok(Judgement::Unasked(Some(warning)));
        }
        let (Operation::Update, Some(old), Some(new)) = (review.operation, review.old_object, review.object) else {
            return Ok(Judgement::Unasked(None));
        };
        let (old, new) = match (record("oldObject", old), record("object", new)) {
            (Ok(old), Ok(new)) => (old, new),
            (Err(error), _) | (_, Err(error)) => return Ok(Judgement::Unreadable(error)),
        };
        let account =
            if status::needs_account(&old, &new) { self.account(review, &new, deadline)? } else { Account::Unknown };
        let write = Write { old: &old, new: &new, user: &review.username, account: &account, now: Timestamp::now() };
        Ok(judge(&write))
    }

    /// What the index knows of the run that carries the execution out.
    fn account(&self, review: &Review<'_>, new: &Record, deadline: Instant) -> Result<Account, Fault> {
        let Some(execution) = review.key() else { return Ok(Account::Unknown) };
        self.index.account(&execution, new.created, new.run_name.as_deref(), deadline).map_err(not_ready)
    }
}

fn record(which: &str, object: &RawValue) -> Result<Record, ReadError> {
    Record::from_json(object.get()).map_err(|error| ReadError { path: format!("{which}.{}", error.path), ..error })
}
