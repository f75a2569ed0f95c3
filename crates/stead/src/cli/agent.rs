//! `stead agent`: the program that keeps a host as its apps want it.

use std::path::PathBuf;
use std::process::ExitCode;

use stead_model::host::{AGENT_SOCKET, EDGE_SOCKET, STATE};

use crate::host;
use crate::problem::Problem;
use crate::render::Terminal;

/// Keep a host as its apps want it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "This is the role of a host; `stead host add` sets it up as stead-agent.service. It answers over its socket, to
its own user and root alone; `stead api` carries questions there.

It deploys apps, and keeps them as they were deployed: each instance is a unit of systemd.

Signals: SIGTERM or SIGINT ends it. The edge, the apps, and what visitors get do not depend on it."
)]
pub(super) struct Arguments {
    /// Where it answers
    #[arg(long, value_name = "PATH", default_value = AGENT_SOCKET)]
    socket: PathBuf,

    /// Where the edge is controlled
    #[arg(long, value_name = "PATH", default_value = EDGE_SOCKET)]
    edge: PathBuf,

    /// What it keeps: apps, and what it remembers of them
    #[arg(long, value_name = "DIR", default_value = STATE)]
    state: PathBuf,
}

pub(super) fn run(arguments: Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    host::agent(arguments.socket, arguments.edge, arguments.state, terminal)
}
