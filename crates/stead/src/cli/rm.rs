//! `stead rm`: an app is no more.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::apps::Where;
use crate::apps::remove::{self, Wanted};
use crate::problem::Problem;
use crate::render::Terminal;

/// Remove an app from its hosts
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stead rm shop                what serves, its releases and units; its volumes and secrets stay
  stead rm shop --data         its volumes and secrets, too, which cannot be undone
  stead rm shop --on root@203.0.113.5

Visitors of its hosts are not answered by it any more. What is there is shown before you are asked.")]
pub(super) struct Arguments {
    /// The app
    #[arg(value_name = "APP")]
    app: String,

    /// Its volumes and secrets, too
    #[arg(long)]
    data: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    /// Show what would be removed, do nothing
    #[arg(long)]
    dry_run: bool,

    /// Its hosts, or names of `[hosts]` in stead.toml [default: the only ones that there are]
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    on: Vec<String>,

    /// A configuration for ssh instead of yours (`ssh -F`)
    #[arg(long, value_name = "PATH")]
    ssh_config: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let wanted = Wanted {
        data: arguments.data,
        yes: arguments.yes,
        dry_run: arguments.dry_run,
        json: arguments.json,
        on: Where {
            option: "stead rm APP --on",
            app: Some(arguments.app),
            hosts: arguments.on,
            ssh_config: arguments.ssh_config,
        },
    };
    remove::run(&wanted, terminal)
}
