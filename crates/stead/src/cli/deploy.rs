//! `stead deploy`: the app of a directory, to its hosts.

use std::path::PathBuf;
use std::process::ExitCode;

use super::values;
use crate::apps::deploy::{self, Wanted};
use crate::apps::{Where, git_remote};
use crate::problem::Problem;
use crate::render::Terminal;

/// Send the app to its hosts, and switch visitors over when it is healthy
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stead deploy                         the commit that is checked out here, to the hosts of stead.toml
  stead deploy --to production         to the hosts of that name in `[hosts]`
  stead deploy shop --to deploy@203.0.113.5
  stead deploy --dirty                 the files as they are, without what git ignores
  stead deploy --dry-run               show what would be done
  stead deploy --git-remote            from now on `git push stead` deploys, too

Only what a host does not have is sent. It is built there, at low priority; its release command runs; its instances start
beside the old ones, are asked for their health, and take over; the old ones finish what they have. Whatever fails before that leaves
the old release serving, and is said with the last lines of its log.

Several hosts: first one alone, which runs the release command, then four at a time; no further when one fails.
Ctrl-C undoes what no visitor has got yet, and says what serves.

Exit codes: 0 the new release serves on every host, and the old ones have ended, 1 it does not, \
2 bad invocation or configuration.")]
pub(super) struct Arguments {
    /// The app's source
    #[arg(default_value = ".", hide_default_value = true)]
    dir: PathBuf,

    /// Hosts, or names of `[hosts]` in stead.toml [default: the only ones that there are]
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    to: Vec<String>,

    /// Send the files as they are, rather than the commit
    #[arg(long)]
    dirty: bool,

    /// Deploy nothing now: add a git remote here, which deploys what is pushed to it [default name: stead]
    #[arg(
        long,
        value_name = "NAME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "stead",
        value_parser = values::remote,
        conflicts_with_all = ["dirty", "json"]
    )]
    git_remote: Option<String>,

    /// The branch that is deployed when it is pushed [default: the one that is checked out]
    #[arg(long, value_name = "BRANCH", requires = "git_remote")]
    branch: Option<String>,

    /// Show what would be done, do nothing
    #[arg(long)]
    dry_run: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// A configuration for ssh instead of yours (`ssh -F`)
    #[arg(long, value_name = "PATH")]
    ssh_config: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let to = Where {
        option: "stead deploy --to",
        app: None,
        hosts: arguments.to,
        ssh_config: arguments.ssh_config,
    };
    if let Some(name) = arguments.git_remote {
        let wanted = git_remote::Wanted {
            dir: arguments.dir,
            name,
            branch: arguments.branch,
            dry_run: arguments.dry_run,
            to,
        };
        return git_remote::run(&wanted, terminal);
    }
    let wanted = Wanted {
        dir: arguments.dir,
        dirty: arguments.dirty,
        dry_run: arguments.dry_run,
        json: arguments.json,
        to,
    };
    deploy::run(wanted, terminal)
}
