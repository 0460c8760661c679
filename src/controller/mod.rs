//! The slow hand: what an admitted execution needs done, one step at a time, by the one replica that leads.
//!
//! In: stored objects, what the index knows, the time. Out: one API call after the other, each of which may be the last one
//! before a crash.
//! Never: answers a request; does anything while another replica may lead.
//! Fails: an API call that fails is tried again, later and later; what cannot succeed ends the execution and says why.

mod change;
mod clearance;
mod complaints;
pub mod executor;
mod failed;
pub mod keeper;
mod lease;
mod objects;
mod queue;
mod retry;
mod stored;
#[cfg(test)]
mod testing;
mod visits;

/// A name for this life of this replica.
#[must_use]
pub fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "lockkeeper".to_owned());
    let born = k8s_openapi::jiff::Timestamp::now().as_nanosecond();
    format!("{host}_{}_{born:x}", std::process::id())
}

pub use clearance::Clearance;
pub use executor::Executor;
pub use keeper::Keeper;
pub use lease::{Candidate, Timing};
pub use objects::Objects;
