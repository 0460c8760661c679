//! `lockkeeper certs`

use std::path::PathBuf;

use clap::Args;

use super::{Ended, output};
use crate::tls;

#[derive(Args)]
#[command(after_help = "Examples:
  lockkeeper certs --dir certs/dev --host localhost --host 127.0.0.1
  lockkeeper certs --dir pair --host lockkeeper.kubernaut-system.svc --force

Writes ca.crt, tls.crt and tls.key (mode 0600), valid for a year. The CA's key is thrown away.
For development: in a cluster the chart makes the pair.")]
pub(super) struct Certs {
    /// Folder to write ca.crt, tls.crt and tls.key into
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// DNS name or IP address that the certificate is for; may be repeated
    #[arg(long = "host", value_name = "NAME", required = true, num_args = 1..)]
    hosts: Vec<String>,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

impl Certs {
    pub fn run(self) -> anyhow::Result<Ended> {
        let there = tls::FILES.map(|name| self.dir.join(name)).into_iter().find(|file| file.exists());
        if let Some(file) = there.filter(|_| !self.force) {
            anyhow::bail!("{} is there already; say --force to replace it", file.display());
        }
        let issued = tls::issue(&self.dir, &self.hosts)?;
        output::print(&format!(
            "CA           {}\ncertificate  {}\nkey          {}\n",
            issued.ca.display(),
            issued.certificate.display(),
            issued.key.display()
        ))?;
        Ok(Ended::Well)
    }
}
