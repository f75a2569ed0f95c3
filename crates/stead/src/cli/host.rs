//! `stead host`: Linux machines that become a home for apps.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use stead_remote::Target;

use crate::host::laptop::{self, Intent, Reach};
use crate::problem::Problem;
use crate::render::Terminal;

/// Make a Linux machine a home for apps, and look after it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stead host add root@203.0.113.5             look, show the plan, ask, set it up
  stead host add deploy@shop.example.com --dry-run
  stead host doctor deploy@shop.example.com   is everything as it should be?
  stead host ls
  stead host rm deploy@shop.example.com

Hosts are reached by your own ssh, with its configuration and keys, as root or as a user with sudo. No port is opened for Stead.
`stead deploy` sends an app there.")]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Add(Add),
    Ls(Ls),
    Doctor(Doctor),
    Upgrade(Upgrade),
    Rm(Rm),
}

/// Set a machine up, or bring it up to date; what is as it should be is left alone
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It looks first, and shows what it would do: the program, a user, two directories, an edge and an agent as units of systemd. Whatever
else holds port 80 is named and left alone. Done a second time, with the same `stead`, there is nothing to do; with a newer one, the edge is
replaced without a lost request."
)]
struct Add {
    #[command(flatten)]
    at: At,

    /// The program for the host [default: the one that you call]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    /// Show the plan, do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Put this program on a host that has another one, without losing a request
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The edge is replaced while visitors are there: the new one accepts them before the old one stops, and a new one that does not
start changes nothing. The agent is restarted, which no visitor notices. What else this program wants otherwise on a host is shown and done, too,
as `stead host add` does. A machine that is no host yet is refused."
)]
struct Upgrade {
    #[command(flatten)]
    at: At,

    /// The program for the host [default: the one that you call]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    /// Show the plan, do nothing
    #[arg(long)]
    dry_run: bool,
}

/// List the hosts that were added
#[derive(Debug, clap::Args)]
struct Ls {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Say whether a host is as it should be
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code 1: something is not as it should be.")]
struct Doctor {
    #[command(flatten)]
    at: At,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Remove everything of Stead from a host
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Visitors are not answered there any more. What apps keep (/var/lib/stead) and access logs (/var/log/stead) stay, unless `--data` is
given, or you say so when asked. Lines in the journal stay."
)]
struct Rm {
    #[command(flatten)]
    at: At,

    /// Remove what apps keep, too
    #[arg(long)]
    data: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    /// Show what would be removed, do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
struct At {
    /// Where ssh goes
    #[arg(value_name = "USER@HOST", value_parser = Target::parse)]
    host: Target,

    /// A configuration for ssh instead of yours (`ssh -F`)
    #[arg(long, value_name = "PATH")]
    ssh_config: Option<PathBuf>,
}

impl At {
    fn reach(self, binary: Option<PathBuf>) -> Reach {
        Reach {
            target: self.host,
            ssh_config: self.ssh_config,
            binary,
        }
    }
}

pub(super) fn run(arguments: Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    match arguments.verb {
        Verb::Add(add) => {
            let reach = add.at.reach(add.binary);
            laptop::add(&reach, Intent::Add, add.yes, add.dry_run, terminal)
        }
        Verb::Upgrade(upgrade) => {
            let reach = upgrade.at.reach(upgrade.binary);
            let Upgrade { yes, dry_run, .. } = upgrade;
            laptop::add(&reach, Intent::Upgrade, yes, dry_run, terminal)
        }
        Verb::Ls(ls) => laptop::ls(ls.json, terminal),
        Verb::Doctor(doctor) => laptop::doctor(&doctor.at.reach(None), doctor.json, terminal),
        Verb::Rm(rm) => {
            let reach = rm.at.reach(None);
            laptop::rm(&reach, rm.data, rm.yes, rm.dry_run, terminal)
        }
    }
}
