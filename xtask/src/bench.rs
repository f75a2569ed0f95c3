//! `cargo xtask bench`.
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

/// The arguments of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Short.
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(_root: &Path, _arguments: &Arguments) -> ExitCode {
    ExitCode::FAILURE
}
