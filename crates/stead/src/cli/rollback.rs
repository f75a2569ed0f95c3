//! `stead rollback`: an earlier release serves again.

use std::process::ExitCode;

use super::on::On;
use super::values;
use crate::apps::ask::{self, Change};
use crate::problem::Problem;
use crate::render::Terminal;

/// Let an earlier release serve again
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stead rollback              the release that served before this one
  stead rollback 41           release 41, of those that `stead releases` lists

Its code, environment, configuration, jobs and routes become a new release, which takes over as a deploy does. Nothing is built when its
build is still there. What it did to data, its release command for example, is not undone.")]
pub(super) struct Arguments {
    /// The release [default: the one before]
    #[arg(value_name = "N", value_parser = values::release)]
    to: Option<u64>,

    #[command(flatten)]
    on: On,
}

pub(super) fn run(arguments: Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let json = arguments.on.json;
    let place = arguments.on.place("stead rollback --on");
    let to = arguments.to;
    ask::change(&Change::Rollback { to }, place, json, terminal)
}
