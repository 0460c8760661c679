//! `lockkeeper serve`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use clap::Args;

use super::{Ended, state};
use crate::config::Settings;
use crate::run::{self, Plan, Source};
use crate::telemetry::{self, LogFormat};
use crate::tls::{self, Pair, TlsVersion};

#[derive(Args)]
#[command(after_help = "Examples:
  lockkeeper serve --state examples/state                 a folder of manifests, a development certificate
  lockkeeper serve --tls-cert tls.crt --tls-key tls.key   the cluster that kubectl would ask, or in-cluster

Without --state the cluster is found as kubectl finds it: KUBECONFIG, ~/.kube/config, in-cluster.
Keys of --config can be set by environment: LOCKKEEPER__STALENESS__MAX=60s. RUST_LOG sets how much is logged.")]
pub(super) struct Serve {
    /// Configuration file (YAML); read again when it changes
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take the state from a folder of manifests instead of a cluster; followed when files change
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Where to serve HTTPS
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9443", value_parser = address)]
    listen: SocketAddr,
    /// Where to serve probes and metrics, in plain HTTP
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080", value_parser = address)]
    admin_listen: SocketAddr,
    /// Where the certificate comes from: files or dev [default: files with --tls-cert, dev with --state]
    #[arg(long, value_name = "MODE", value_parser = tls_mode)]
    tls_mode: Option<TlsMode>,
    /// Certificate chain (PEM), leaf first
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Where --tls-mode dev keeps its CA and pair [default: certs/dev]
    #[arg(long, value_name = "DIR", conflicts_with = "tls_cert")]
    tls_dir: Option<PathBuf>,
    /// The oldest TLS version to speak
    #[arg(long, value_name = "VERSION", default_value = "1.3")]
    tls_min_version: TlsVersion,
    /// Form of log lines
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TlsMode {
    /// --tls-cert and --tls-key
    Files,
    /// Make a development CA and pair in --tls-dir, or take the one that is there
    Dev,
}

fn tls_mode(text: &str) -> Result<TlsMode, String> {
    match text {
        "files" => Ok(TlsMode::Files),
        "dev" => Ok(TlsMode::Dev),
        "self" => Err("a self-managed certificate is not built yet; use files or dev".to_owned()),
        _ => Err("expected files (--tls-cert and --tls-key) or dev (a development pair in --tls-dir)".to_owned()),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an IP address and a port, such as 0.0.0.0:9443 or [::1]:9443".to_owned())
}

/// What a development pair is good for.
const DEV_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

impl Serve {
    pub fn run(self) -> anyhow::Result<Ended> {
        telemetry::init_log(self.log_format);
        let settings = Settings::load(self.config.as_deref(), crate::config::environment())?;
        let loops = &settings.loops;
        if self.state.is_some() && (loops.executor || loops.routing_keeper) {
            let named = if loops.executor { "loops.executor" } else { "loops.routingKeeper" };
            anyhow::bail!(
                "{named}: a folder of manifests (--state) has nothing to write to; leave it out, or leave out --state"
            );
        }
        let pair = self.pair()?;
        super::runtime()?.block_on(async {
            let source = match self.state {
                Some(folder) => Source::Folder(folder),
                None => Source::Cluster(Box::new(state::client("; name a folder with --state instead").await?)),
            };
            run::serve(Plan {
                settings,
                config_file: self.config,
                source,
                listen: self.listen,
                admin_listen: self.admin_listen,
                pair,
                oldest_tls: self.tls_min_version,
            })
            .await
        })?;
        Ok(Ended::Well)
    }

    fn dev_folder(&self) -> &Path {
        self.tls_dir.as_deref().unwrap_or(Path::new("certs/dev"))
    }

    fn pair(&self) -> anyhow::Result<Pair> {
        let files = self.tls_cert.as_deref().zip(self.tls_key.as_deref());
        match (self.tls_mode, files) {
            (Some(TlsMode::Dev), Some(_)) => {
                anyhow::bail!("--tls-mode dev makes its own pair; leave --tls-cert and --tls-key out")
            }
            (Some(TlsMode::Files), None) => anyhow::bail!("--tls-mode files needs --tls-cert and --tls-key"),
            (_, Some((certificate, key))) => Ok(Pair::load(certificate, key)?),
            (Some(TlsMode::Dev), None) => dev_pair(self.dev_folder()),
            (None, None) if self.state.is_some() => dev_pair(self.dev_folder()),
            (None, None) => anyhow::bail!(
                "no certificate: give --tls-cert and --tls-key, or --tls-mode dev for development (a self-managed certificate is not built yet)"
            ),
        }
    }
}

/// The pair that is there, or a new one where nothing is: a file that somebody put there is never written over.
fn dev_pair(folder: &Path) -> anyhow::Result<Pair> {
    let files = tls::FILES.map(|name| folder.join(name));
    let [ca, certificate, key] = &files;
    if files.iter().any(|file| file.exists()) {
        let usable = Pair::load(certificate, key).map_err(anyhow::Error::from).and_then(|pair| {
            anyhow::ensure!(ca.exists(), "{} is missing", ca.display());
            pair.valid_at(SystemTime::now()).map_err(anyhow::Error::msg)?;
            Ok(pair)
        });
        let pair = usable.with_context(|| {
            format!("the development pair in {} cannot be used; remove it and a new one is made", folder.display())
        })?;
        tracing::info!(ca = %ca.display(), "taking the development pair that is there");
        return Ok(pair);
    }
    let issued = tls::issue(folder, &DEV_HOSTS.map(str::to_owned))?;
    tracing::info!(ca = %issued.ca.display(), "made a development CA and pair; give this CA to curl --cacert");
    Ok(Pair::load(&issued.certificate, &issued.key)?)
}
