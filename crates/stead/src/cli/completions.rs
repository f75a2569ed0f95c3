//! `stead completions`: a script for a shell, on stdout.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::problem::Problem;
use crate::render::Terminal;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stead completions bash > ~/.local/share/bash-completion/completions/stead
  stead completions zsh > ~/.zfunc/_stead
  stead completions fish > ~/.config/fish/completions/stead.fish
  stead completions elvish > ~/.config/elvish/lib/stead.elv      then `use stead` in rc.elv
  stead completions powershell >> $PROFILE

Exit codes: 0 printed, 1 could not be written, 2 bad invocation.")]
pub(super) struct Arguments {
    /// For which shell
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let mut script = Vec::new();
    let mut command = super::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "stead", &mut script);
    terminal.raw(&script);
    Ok(ExitCode::SUCCESS)
}
