//! Moves what a cluster stores from one version to the other.
//!
//! In: a CRD's state and an aim. Out: steps, and what became of each object.
//! Never: writes an object's text itself (it asks the API server to store what it has), trims a version that an object may
//! still be stored in.
//! Fails: with what is in the way and how far it came; begun anew it goes on, what is moved is not written again.

mod pass;
mod plan;
mod probe;
mod server;

pub use pass::{Checked, Moved, Pass, Stray};
pub use plan::{Aim, Definition, INSTALL, Refusal, Remains, Step, plan};
pub use server::{Server, Trouble};
