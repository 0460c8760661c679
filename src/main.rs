//! The doorstep: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Both kube and our listener find their cryptography here; it cannot be installed already, this is the first line.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    lockkeeper::cli::run(std::env::args_os())
}
