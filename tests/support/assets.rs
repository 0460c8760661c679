//! The programs of the test bench and where they come from.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/envtest/build.sh");

/// Paths of the programs.
#[derive(Clone, Debug)]
pub struct Assets {
    pub kube_apiserver: PathBuf,
    pub etcd: PathBuf,
    pub kubectl: PathBuf,
    pub kube_controller_manager: PathBuf,
    pub helm: PathBuf,
    pub tekton_controller: PathBuf,
}

impl Assets {
    /// The programs of `KUBEBUILDER_ASSETS` or of the cache, built first if they are not there and Go is. The error is
    /// one line that says what is missing. Blocks the thread; found once for each test process.
    pub fn find() -> Result<&'static Self, &'static str> {
        static FOUND: OnceLock<Result<Assets, String>> = OnceLock::new();
        FOUND.get_or_init(build).as_ref().map_err(String::as_str)
    }
}

fn build() -> Result<Assets, String> {
    let mut child = Command::new(BUILD)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("tests/envtest/build.sh does not start: {error}"))?;
    // Silent when everything is built; a first build takes minutes and is not to look like a hanging test.
    let mut others = Vec::new();
    for line in BufReader::new(child.stderr.take().expect("stderr is piped")).lines().map_while(Result::ok) {
        if line.contains(": building ") || line.contains(": another build ") {
            visible(&line);
        } else {
            others.push(line);
        }
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        let reason = others.pop().unwrap_or_else(|| format!("tests/envtest/build.sh: {}", output.status));
        others.iter().for_each(|line| visible(line));
        return Err(reason);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let folder = Path::new(text.lines().last().unwrap_or_default());
    let program = |name: &str| {
        let path = folder.join(name);
        if path.is_file() { Ok(path) } else { Err(format!("{} has no {name}", folder.display())) }
    };
    Ok(Assets {
        kube_apiserver: program("kube-apiserver")?,
        etcd: program("etcd")?,
        kubectl: program("kubectl")?,
        kube_controller_manager: program("kube-controller-manager")?,
        helm: program("helm")?,
        tekton_controller: program("tekton-controller")?,
    })
}

/// A line on stderr that a person sees: libtest keeps what `eprintln!` says in a test that passes.
pub fn visible(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
