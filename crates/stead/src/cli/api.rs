//! `stead api`: what a laptop runs on a host, over ssh, with JSON on standard input and output.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use stead_model::host::{AGENT_SOCKET, APPS};

use crate::host;
use crate::problem::Problem;
use crate::render::Terminal;

/// On a host: carry questions to its agent, or set the host up, for `stead host`
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "`stead host` runs this on a host, over ssh. Without a subcommand, lines of standard input go to the agent, and its answers to
standard output: one JSON value a line.

Example, as root on a host:
  echo '{\"protocol\":1,\"wish\":\"status\"}' | stead api"
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,

    /// Where the agent answers
    #[arg(long, value_name = "PATH", default_value = AGENT_SOCKET)]
    socket: PathBuf,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Say what this host is, and what of Stead is here; changes nothing
    Look,
    /// Carry out the plan on standard input
    SetUp,
    /// Remove everything of Stead, as standard input asks
    TakeDown,
    /// Print lines of an app's log, as standard input asks
    Logs,
    /// Take the source of an app from standard input: a listing, then what of it is not here
    Source {
        /// The app's name
        app: String,

        /// Where apps are kept
        #[arg(long, value_name = "DIR", default_value = APPS)]
        apps: PathBuf,
    },
    /// Make the repository that an app is pushed to, as standard input asks
    Repository,
    /// Hear a push, as `git receive-pack` does
    Receive {
        /// Who pushes
        #[arg(long, value_name = "NAME", default_value = "")]
        who: String,

        /// The repository
        path: PathBuf,
    },
    /// Deploy what was pushed, as git's hook
    Received,
    /// Hear a delivery of an app's webhook on standard input, a socket, and do what it asks
    Webhook {
        /// The app's name
        app: String,
    },
}

pub(super) fn run(arguments: Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    match arguments.what {
        None => host::carry(&arguments.socket),
        Some(What::Look) => host::look(terminal),
        Some(What::SetUp) => host::set_up(terminal),
        Some(What::TakeDown) => host::take_down(terminal),
        Some(What::Logs) => host::logs(terminal),
        Some(What::Source { app, apps }) => host::source(&apps, &app, terminal),
        Some(What::Repository) => host::repository(Path::new(APPS), terminal),
        Some(What::Receive { who, path }) => host::receive(Path::new(APPS), path, &who),
        Some(What::Webhook { app }) => host::webhook(Path::new(APPS), &app, terminal),
        Some(What::Received) => host::received(Path::new(APPS), terminal),
    }
}
