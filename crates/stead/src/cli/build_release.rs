//! `stead build-release`: what an agent runs to have a release built.

use std::process::ExitCode;

use crate::build_release;
use crate::problem::Problem;
use crate::render::Terminal;

/// On a host: build a release, for its agent
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The agent of a host runs this, as a user without rights, with JSON on standard input and output: one JSON value a line.

Example:
  echo '{\"protocol\":1,\"app\":\"shop\",\"number\":1,\"code\":\"/srv/shop\",\"state\":\"/srv/state\"}' | stead build-release"
)]
pub(super) struct Arguments {}

pub(super) fn run(arguments: &Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let Arguments {} = arguments;
    build_release::run(terminal)
}
