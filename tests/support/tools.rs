//! The real kubectl and helm.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::apiserver::ApiServer;

/// Longer than kubectl's ten tries on a 429.
const LIMIT: Duration = Duration::from_secs(60);

/// What a program said.
#[derive(Clone, Debug)]
pub struct Output {
    /// None when a signal ended it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    command: String,
}

impl Output {
    pub fn success(&self) -> bool {
        self.status == Some(0)
    }

    /// Panics with all that was said unless the program succeeded.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        assert!(self.success(), "{self}");
        self
    }

    /// Panics with all that was said if the program succeeded.
    #[track_caller]
    pub fn expect_failure(self) -> Self {
        assert!(!self.success(), "{self}");
        self
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, stdout, stderr, command } = self;
        write!(f, "{command}: exit {status:?}\nstdout: {stdout}\nstderr: {stderr}")
    }
}

impl ApiServer {
    /// Runs kubectl as a user. Panics if it does not end within a minute.
    pub async fn kubectl(&self, user: &str, args: &[&str], stdin: Option<&str>) -> Output {
        self.run(&self.assets().kubectl, &self.user(user).kubeconfig, args, stdin).await
    }

    /// Runs helm as a user. Panics if it does not end within a minute.
    pub async fn helm(&self, user: &str, args: &[&str], stdin: Option<&str>) -> Output {
        self.run(&self.assets().helm, &self.user(user).kubeconfig, args, stdin).await
    }

    /// Runs a program with a kubeconfig file and nothing of the caller's environment but `PATH`.
    pub async fn run(&self, program: &Path, kubeconfig: &Path, args: &[&str], stdin: Option<&str>) -> Output {
        let command = format!("{} {}", program.file_name().unwrap_or_default().display(), args.join(" "));
        let home = self.folder().join("home");
        let mut child = Command::new(program)
            .args(args)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", &home)
            .env("TMPDIR", &home)
            .env("KUBECONFIG", kubeconfig)
            .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{command}: {error}"));
        let input = child.stdin.take();
        let feed = async {
            if let (Some(mut pipe), Some(text)) = (input, stdin) {
                // A program that ends without reading is told by its exit code.
                let _ = pipe.write_all(text.as_bytes()).await;
            }
        };
        let both = async { tokio::join!(feed, child.wait_with_output()).1 };
        let output = match tokio::time::timeout(LIMIT, both).await {
            Ok(output) => output.unwrap_or_else(|error| panic!("{command}: {error}")),
            Err(_) => panic!("{command}: no end after {LIMIT:?}"),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Output { status: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr), command }
    }
}
