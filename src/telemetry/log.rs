//! Where log lines go and in which form.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    #[default]
    Auto,
    Text,
    Json,
}

/// kube's own lines can hold a whole response body, so nothing below an error of it is shown; and of a call that failed it says
/// neither which nor for whom, as who made the call does.
const DEFAULT_FILTER: &str =
    "info,kube_client=error,kube_client::client::builder=off,hyper=warn,rustls=warn,tower=warn";

/// Sends the process's log to standard error; `RUST_LOG` says how much.
pub fn init(format: LogFormat) {
    let asked = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let parsed = asked.as_deref().map(EnvFilter::try_new).transpose();
    let wrong = parsed.as_ref().err().map(ToString::to_string);
    let filter = parsed.ok().flatten().unwrap_or_else(|| EnvFilter::new(DEFAULT_FILTER));
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .log_internal_errors(false);
    // A second call in one process (tests) keeps the first subscriber.
    let _ = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Auto if !terminal => builder.json().flatten_event(true).try_init(),
        LogFormat::Text | LogFormat::Auto => builder.with_ansi(terminal).try_init(),
    };
    if let Some(problem) = wrong {
        tracing::warn!(
            problem,
            "RUST_LOG is not understood and not taken; expected something like info or lockkeeper=debug"
        );
    }
}
