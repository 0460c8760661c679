//! `lockkeeper completion`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Ended, output};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  source <(lockkeeper completion bash)\n  lockkeeper completion zsh > ~/.zfunc/_lockkeeper"
)]
pub(super) struct Completion {
    shell: Shell,
}

impl Completion {
    pub fn run(self) -> anyhow::Result<Ended> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "lockkeeper", &mut script);
        output::print(&String::from_utf8_lossy(&script))?;
        Ok(Ended::Well)
    }
}
