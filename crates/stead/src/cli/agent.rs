//! `stead agent`: the program that keeps a host as its apps want it.

use std::path::PathBuf;
use std::process::ExitCode;

use stead_model::host::{AGENT_SOCKET, EDGE_SOCKET};

use crate::host;
use crate::problem::Problem;

/// Keep a host as its apps want it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "This is the role of a host; `stead host add` sets it up as stead-agent.service. It answers over its socket, to
its own user and root alone; `stead api` carries questions there.

As of now it answers how the host is. It runs no apps yet: `stead up` does.

Signals: SIGTERM or SIGINT ends it. The edge, and what visitors get, does not depend on it."
)]
pub(super) struct Arguments {
    /// Where it answers
    #[arg(long, value_name = "PATH", default_value = AGENT_SOCKET)]
    socket: PathBuf,

    /// Where the edge is controlled
    #[arg(long, value_name = "PATH", default_value = EDGE_SOCKET)]
    edge: PathBuf,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, Problem> {
    host::agent(arguments.socket, arguments.edge)
}
