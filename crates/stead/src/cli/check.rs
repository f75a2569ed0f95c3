//! `stead check`: what would be built and run, and what is missing, without doing it.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::problem::Problem;
use crate::render::{Terminal, check_json, check_text};
use crate::source;

/// Say what would be built and run, and what is missing
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stead check                 of this directory
  stead check shop --json     as facts for a program

Nothing is built, and nothing of the app is run.

Exit codes: 0 nothing is missing, 1 something is missing: `stead up` would fail, \
2 bad invocation or configuration.")]
pub(super) struct Arguments {
    /// The app's source
    #[arg(default_value = ".", hide_default_value = true)]
    dir: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let dir = source::directory(&arguments.dir, "check")?;
    let loaded = source::load(&dir)?;
    let source = stead_build::Source {
        mark: None,
        keeps_environments: false,
        state: dir.join(source::STATE),
        dir,
        number: 1,
    };
    // Also of an app whose stead.toml says everything: what its source lacks is not in the file.
    let root = loaded.manifest.build.root.clone().unwrap_or_default();
    let seen = match loaded.detection {
        Some(_) => None,
        None => stead_build::detect(&source.dir.join(root)).ok(),
    };
    let detection = loaded.detection.as_ref().or(seen.as_ref());
    let findings = stead_build::check(&loaded.manifest, &source, detection);
    match arguments.json {
        true => terminal.raw(check_json(&loaded, &findings).as_bytes()),
        false => terminal.out(&check_text(&loaded, &findings)),
    }
    match findings.iter().any(|finding| finding.blocks) {
        true => Ok(ExitCode::FAILURE),
        false => Ok(ExitCode::SUCCESS),
    }
}
