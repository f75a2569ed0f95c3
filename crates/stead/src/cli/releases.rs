//! `stead releases`: who deployed what, and when.

use std::process::ExitCode;

use super::on::On;
use crate::apps::ask;
use crate::problem::Problem;
use crate::render::Terminal;

/// List the releases of an app: who, when, what changed
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stead releases
  stead releases --app shop --on deploy@203.0.113.5 --json")]
pub(super) struct Arguments {
    #[command(flatten)]
    on: On,
}

pub(super) fn run(arguments: Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let json = arguments.on.json;
    ask::releases(arguments.on.place("stead releases --on"), json, terminal)
}
