//! `stead status`: how an app is on its hosts.

use std::process::ExitCode;

use super::on::On;
use crate::apps::ask;
use crate::problem::Problem;
use crate::render::Terminal;

/// Say how an app is: release, instances, requests, certificates, jobs, disk
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stead status
  stead status --app shop --on deploy@203.0.113.5
  stead status --json

Exit codes: 0 a release serves and nothing is wrong, 1 something is, 2 bad invocation or configuration.")]
pub(super) struct Arguments {
    #[command(flatten)]
    on: On,
}

pub(super) fn run(arguments: Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let json = arguments.on.json;
    ask::status(arguments.on.place("stead status --on"), json, terminal)
}
