//! What we know of the world.
//!
//! In: watch streams of a cluster, or a folder of manifests. Out: a `routing::View` for one question, a
//! `failure::Account` of one execution's run.
//! Never: decides, answers, lists from the API server while a request waits.
//! Fails: an input that is silent only grows old and says so; those of runs, which may not be there, do not count then; one
//! object that cannot be read is counted and left out.

mod carriers;
mod folder;
mod index;
mod inputs;
mod places;
mod runs;
mod seek;
mod table;
mod traces;
mod watch;

pub use folder::{Folder, FolderError};
pub use index::{Changed, Index, Seen, Tracked, Unavailable};
pub use inputs::{Footing, Health, Input};
pub use seek::{follow_where_served, list_where_served};
pub use traces::Memory;
pub use watch::{Pace, each_object, follow, list_once};
