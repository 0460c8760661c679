//! A certificate's life: issued, loaded, watched for its end; and the listener that serves it.
//!
//! In: PEM files, or hosts to issue for. Out: a rustls configuration, connections. Never: knows our kinds.
//! Fails: a pair that does not fit is refused with the file's name before anything is served.

mod files;
mod issue;
mod listener;

pub use files::{Pair, TlsError, TlsVersion};
pub use issue::{FILES, Issued, issue};
pub use listener::{Listener, serve};
