//! The command line: flags as typed → settings as meant; one file for each subcommand.
//!
//! In: arguments. Out: text or JSON on standard output, diagnostics on standard error, an exit code.
//! Fails: exit code 2 and one line.

mod certs;
mod classify;
mod completion;
mod convert;
mod crds;
mod explain;
mod migrate;
mod output;
mod preflight;
mod review;
mod serve;
mod state;
mod what;
mod yaml;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// How a command ended, in the words of the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// 0: all well.
    Well,
    /// 1: the answer is no.
    No,
}

#[derive(Parser)]
#[command(name = "lockkeeper", version, about, long_about = None, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the admission webhook over HTTPS
    Serve(serve::Serve),
    /// Judge WorkflowExecutions or AdmissionReviews from files, as the webhook would
    Review(review::Review),
    /// Say what holds a WorkflowExecution, a RemediationRequest or a target, check by check
    Explain(explain::Explain),
    /// Say why runs failed and whether anything ran, from what Tekton and Kubernetes recorded
    Classify(classify::Classify),
    /// Take WorkflowExecutions and RemediationRequests to another version, or say what that would park
    Convert(convert::Convert),
    /// Move what a cluster stores to one version, and take the other out of the CRDs' storedVersions
    Migrate(migrate::Migrate),
    /// Print the CustomResourceDefinitions that lockkeeper ships
    Crds(crds::Crds),
    /// Make a development CA and serving pair
    Certs(certs::Certs),
    /// Print a completion script for a shell
    Completion(completion::Completion),
}

/// Runs one command line.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(as_lockkeeper(arguments)) {
        Ok(cli) => cli,
        Err(error) if is_help(&error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
        Err(error) => {
            output::tell(&usage_line(&error));
            return ExitCode::from(2);
        }
    };
    let ended = match cli.command {
        Command::Serve(command) => command.run(),
        Command::Review(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Classify(command) => command.run(),
        Command::Convert(command) => command.run(),
        Command::Migrate(command) => command.run(),
        Command::Crds(command) => command.run(),
        Command::Certs(command) => command.run(),
        Command::Completion(command) => command.run(),
    };
    match ended {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::No) => ExitCode::from(1),
        Err(error) => {
            output::tell(&one_line(&error));
            ExitCode::from(2)
        }
    }
}

/// --help, --version, and a bare command that answers with its help.
fn is_help(error: &clap::Error) -> bool {
    use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    matches!(error.kind(), DisplayHelp | DisplayHelpOnMissingArgumentOrSubcommand | DisplayVersion)
}

/// What clap says over several lines, in one: the fault, its tip, and where the usage stands.
fn usage_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let parts = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("Usage:"));
    let said: Vec<_> = parts.map(|line| line.trim_start_matches("error: ")).collect();
    crate::line::one_line(&said.join(" ").replace(" For more information, try '--help'.", "; try --help"), 1000)
}

/// Under the name kubectl-lockkeeper the binary is a kubectl plugin; help and usage keep the one name.
fn as_lockkeeper(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    std::iter::once(OsString::from("lockkeeper")).chain(arguments.skip(1))
}

/// The error and what caused it, in one line.
fn one_line(error: &anyhow::Error) -> String {
    crate::line::one_line(&format!("{error:#}"), 2000)
}

/// A runtime for one command.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    use anyhow::Context;
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the async runtime")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_call_is_one_line() {
        for (call, said) in [
            (vec!["review"], "the following required arguments were not provided: <FILE>..."),
            (
                vec!["serve", "--listne", "x"],
                "unexpected argument '--listne' found tip: a similar argument exists: '--listen'",
            ),
            (
                vec!["serve", "--tls-mode", "self"],
                "invalid value 'self' for '--tls-mode <MODE>': a self-managed certificate is not built yet; use files or dev",
            ),
            (vec!["conformance"], "unrecognized subcommand 'conformance'"),
            (
                vec!["migrate", "--to", "v1"],
                "invalid value 'v1' for '--to <VERSION>' [possible values: v1alpha1, v1beta1]",
            ),
            (vec!["convert", "f.yaml"], "the following required arguments were not provided: --to <VERSION>"),
            (
                vec!["convert", "f.yaml", "--to", "v2"],
                "invalid value 'v2' for '--to <VERSION>' [possible values: v1alpha1, v1beta1]",
            ),
        ] {
            let error = Cli::try_parse_from(std::iter::once("lockkeeper").chain(call)).err().unwrap();
            let line = usage_line(&error);
            assert!(line.starts_with(said), "{line}");
            assert_eq!(line.lines().count(), 1);
        }
    }

    #[test]
    fn every_command_shows_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "{}", command.get_name());
        }
    }
}
