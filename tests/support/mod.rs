//! The test bench: a real kube-apiserver with etcd, kubectl, helm, Kubernetes' controllers and Tekton's, without containers.
//!
//! A test begins with `let Some(bench) = support::bench_or_skip().await else { return };` and works in a namespace from
//! `bench.fresh_namespace("…")`. What is not there and how to get it: `tests/envtest/README.md`.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

mod apiserver;
mod assets;
mod audit;
pub mod controllers;
mod objects;
pub mod pods;
mod process;
pub mod tekton;
mod tools;
mod users;
mod wait;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Deref;
use std::sync::Once;
use std::time::Duration;

use tokio::sync::OnceCell;

pub use apiserver::{ApiServer, Options};
pub use assets::{Assets, visible};
pub use audit::AuditEvent;
pub use process::{Folder, Launch, Process};
pub use tools::Output;
pub use users::{
    ADMIN, ALICE, BOB, GARBAGE_COLLECTOR, MALLORY, REMEDIATION_CONTROLLER, User, WORKFLOW_CONTROLLER, client_of,
    default_users,
};
pub use wait::{eventually, try_eventually};

/// What one step of an API server that is up may take on a loaded machine.
pub const ACTION: Duration = Duration::from_secs(10);

pub(crate) const FIELD_MANAGER: &str = "lockkeeper-bench";

/// The server all tests of a test binary share, lent to one test.
pub struct Bench(&'static ApiServer);

impl Deref for Bench {
    type Target = ApiServer;

    fn deref(&self) -> &ApiServer {
        self.0
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The shared server itself is never dropped: it ends with the process.
        self.0.keep_logs_of_failure();
    }
}

/// The shared server, started by the first test that asks. None, and one line on stderr for the whole binary, when the
/// programs are missing; a panic instead with `LOCKKEEPER_REQUIRE_E2E=1`, and always when they are there and fail.
pub async fn bench_or_skip() -> Option<Bench> {
    static SHARED: OnceCell<Result<ApiServer, String>> = OnceCell::const_new();
    if !available().await {
        return None;
    }
    let shared = SHARED.get_or_init(|| async { ApiServer::start().await.map_err(|error| format!("{error:#}")) }).await;
    match shared {
        Ok(server) => Some(Bench(server)),
        Err(error) => panic!("{error}"),
    }
}

/// A server of one's own, for tests that change all of it or stop it. Otherwise like [`bench_or_skip`].
pub async fn own_bench_or_skip(options: Options) -> Option<ApiServer> {
    if !available().await {
        return None;
    }
    Some(ApiServer::start_with(options).await.unwrap_or_else(|error| panic!("{error:#}")))
}

/// Whether the programs of the bench are there; says so once when they are not and need not be.
async fn available() -> bool {
    static TOLD: Once = Once::new();
    let found = tokio::task::spawn_blocking(Assets::find).await.expect("looking for the programs does not panic");
    let Err(reason) = found else { return true };
    let required = std::env::var("LOCKKEEPER_REQUIRE_E2E").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
    assert!(!required, "LOCKKEEPER_REQUIRE_E2E is set and the test bench is missing: {reason}");
    TOLD.call_once(|| {
        let binary = std::env::current_exe().unwrap_or_default();
        // target/debug/deps/<name>-<hash>
        let name = binary.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = name.rsplit_once('-').map_or(name.as_str(), |(name, _)| name);
        visible(&format!(
            "SKIPPED in {name}, all tests that need a real API server: {reason}; `make envtest` builds what they need"
        ));
    });
    false
}

/// 32 hexadecimal digits, other ones each time; good for names and for tokens that live as long as a test.
pub(crate) fn unique() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}
