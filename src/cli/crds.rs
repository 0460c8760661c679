//! `lockkeeper crds`

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::{Ended, output};
use crate::api::crds;

#[derive(Args)]
#[command(after_help = "Examples:
  lockkeeper crds | kubectl apply --server-side -f -
  lockkeeper crds --dir crds && kubectl apply --server-side -f crds/

Never over Kubernaut's own CRDs: another schema under the same version name prunes what it does not know.")]
pub(super) struct Crds {
    /// Write one file for each into this folder instead of a YAML stream to standard output
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Crds {
    pub fn run(self) -> anyhow::Result<Ended> {
        let Some(dir) = self.dir else {
            output::print(&crds::yaml_stream())?;
            return Ok(Ended::Well);
        };
        std::fs::create_dir_all(&dir).with_context(|| format!("{}: cannot be made", dir.display()))?;
        for (name, yaml) in crds::yaml_files() {
            let file = dir.join(name);
            std::fs::write(&file, yaml).with_context(|| format!("{}: cannot be written", file.display()))?;
            output::print(&format!("{}\n", file.display()))?;
        }
        Ok(Ended::Well)
    }
}
