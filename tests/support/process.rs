//! Programs that never outlive the test process, and a folder that does not either.
//!
//! Each program runs under a small shell script that holds a pipe to the test process; the pipe's end tells it that the
//! process is gone, whatever ended it. `PR_SET_PDEATHSIG` would need `unsafe` and fires when the spawning thread ends.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;

/// What to run. The environment holds nothing but `PATH` and what is named here.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Names the log, `<name>.log` in the folder.
    pub name: String,
    pub program: PathBuf,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// Time between SIGTERM and SIGKILL; zero kills at once.
    pub grace: Duration,
}

impl Launch {
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        let (name, program) = (name.into(), program.into());
        Self { name, program, args: Vec::new(), env: BTreeMap::new(), grace: Duration::ZERO }
    }

    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

/// A running program. Dropping it stops the program.
#[derive(Debug)]
pub struct Process {
    folder: PathBuf,
    launch: Launch,
    running: Mutex<Running>,
}

#[derive(Debug)]
struct Running {
    pid: u32,
    supervisor: Child,
    lifeline: Option<ChildStdin>,
}

impl Process {
    /// Starts a program whose log goes into the folder (one made by [`Folder::new`]).
    pub fn start(folder: &Path, launch: Launch) -> Result<Self> {
        let running = Mutex::new(run(folder, &launch)?);
        Ok(Self { folder: folder.to_owned(), launch, running })
    }

    pub fn pid(&self) -> u32 {
        self.running.lock().pid
    }

    /// The exit code once the program has ended; 128 and the number for a signal.
    pub fn exit_code(&self) -> Option<i32> {
        let status = self.running.lock().supervisor.try_wait().ok().flatten()?;
        Some(status.code().unwrap_or(-1))
    }

    /// Sends a signal (`TERM`, `STOP`, `HUP` …). An error if the program has ended.
    pub fn signal(&self, signal: &str) -> Result<()> {
        if let Some(code) = self.exit_code() {
            bail!("{} has ended with {code}", self.launch.name);
        }
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).output().context("run kill")?;
        if !sent.status.success() {
            bail!("kill -s {signal} {}: {}", self.launch.name, String::from_utf8_lossy(&sent.stderr));
        }
        Ok(())
    }

    /// SIGTERM, then SIGKILL after the grace; returns when the program is gone. Blocks the thread.
    pub fn stop(&self) {
        let mut running = self.running.lock();
        running.lifeline = None;
        let _ = running.supervisor.wait();
    }

    /// Stops the program if it runs and starts it anew, with the same arguments and the same log.
    pub fn restart(&self) -> Result<()> {
        self.stop();
        *self.running.lock() = run(&self.folder, &self.launch)?;
        Ok(())
    }

    pub fn log_text(&self) -> String {
        let text = fs::read(log_path(&self.folder, &self.launch.name)).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The log's last lines, for an error's text.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = self.log_text();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn log_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

fn run(folder: &Path, launch: &Launch) -> Result<Running> {
    let mut supervisor = script(include_str!("supervise.sh"), "supervise")
        .arg(folder.join("run").join(&launch.name))
        .arg(log_path(folder, &launch.name))
        .arg(launch.grace.as_secs().to_string())
        .arg(&launch.program)
        .args(&launch.args)
        .env("HOME", folder.join("home"))
        .envs(&launch.env)
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", launch.name))?;
    let lifeline = supervisor.stdin.take();
    let mut line = String::new();
    let stdout = supervisor.stdout.take().context("the supervisor has no stdout")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let pid = line.trim().parse().with_context(|| format!("{} has no pid: {line:?}", launch.name))?;
    Ok(Running { pid, supervisor, lifeline })
}

/// A script in a process group of its own, so that Ctrl-C reaches the test process only and the script can clean up.
fn script(text: &str, name: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", text, name]).env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
    command
}

/// A folder under the system's temporary one that is removed when this is dropped, or when the process ends without.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    janitor: Child,
}

impl Folder {
    pub fn new() -> Result<Self> {
        // Mode 0700: it holds keys and tokens.
        let made = tempfile::Builder::new().prefix("lockkeeper-bench-").tempdir()?;
        fs::create_dir(made.path().join("run"))?;
        fs::create_dir(made.path().join("home"))?;
        let janitor =
            script(include_str!("janitor.sh"), "janitor").arg(made.path()).spawn().context("start janitor")?;
        Ok(Self { path: made.keep(), janitor })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies all logs to a folder under `target/` that stays, and says where that is.
    pub fn keep_logs(&self) -> Result<PathBuf> {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("unnamed").replace("::", "-");
        let kept =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-logs").join(format!("{test}-{}", std::process::id()));
        fs::create_dir_all(&kept)?;
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                fs::copy(&path, kept.join(path.file_name().unwrap_or_default()))?;
            }
        }
        Ok(kept)
    }

    /// For a `Drop` of what a test holds: keeps the logs when the test is failing.
    pub fn keep_logs_of_failure(&self) {
        if std::thread::panicking() {
            match self.keep_logs() {
                Ok(kept) => eprintln!("logs of the test bench: {}", kept.display()),
                Err(error) => eprintln!("logs of the test bench are lost: {error:#}"),
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // wait() closes the pipe first, which is what the janitor waits for.
        let _ = self.janitor.wait();
    }
}
