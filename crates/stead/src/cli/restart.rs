//! `stead restart`: new instances of what serves.

use std::process::ExitCode;

use super::on::On;
use crate::apps::ask::{self, Change};
use crate::problem::Problem;
use crate::render::Terminal;

/// Replace an app's instances by new ones, without losing a request
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stead restart               every process
  stead restart worker        this one")]
pub(super) struct Arguments {
    /// The process [default: all]
    process: Option<String>,

    #[command(flatten)]
    on: On,
}

pub(super) fn run(arguments: Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let json = arguments.on.json;
    let place = arguments.on.place("stead restart --on");
    let process = arguments.process;
    ask::change(&Change::Restart { process }, place, json, terminal)
}
