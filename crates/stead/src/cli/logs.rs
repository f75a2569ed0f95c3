//! `stead logs`: what an app printed.

use std::process::ExitCode;
use std::time::Duration;

use super::on::On;
use super::values;
use crate::apps::logs::{self, Wanted};
use crate::problem::Problem;
use crate::render::Terminal;

/// So many lines of each host, when nothing else is said.
const LINES: u32 = 100;

/// Show what an app printed, of all its hosts in the order of time
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stead logs                          the last 100 lines
  stead logs --since 1h -f            of the last hour, and those to come
  stead logs --process worker         of one process; of a job: --process job.refresh
  stead logs --release 42             of one release
  stead logs --json                   a JSON object a line

They are in the journal of each host: `journalctl STEAD_APP=shop` shows them there.")]
pub(super) struct Arguments {
    /// Of the last so long: `30s`, `10m`, `1h`
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    since: Option<Duration>,

    /// At most so many of each host [default: 100, with --since all]
    #[arg(long, short = 'n', value_name = "COUNT")]
    lines: Option<u32>,

    /// Go on with those to come
    #[arg(long, short)]
    follow: bool,

    /// Of this process alone
    #[arg(long, value_name = "NAME")]
    process: Option<String>,

    /// Of this release alone
    #[arg(long, value_name = "N", value_parser = values::release)]
    release: Option<u64>,

    #[command(flatten)]
    on: On,
}

pub(super) fn run(arguments: Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let since = arguments.since.map(|time| time.as_secs().max(1));
    let wanted = Wanted {
        since,
        lines: arguments.lines.or(since.is_none().then_some(LINES)),
        follow: arguments.follow,
        process: arguments.process,
        release: arguments.release,
        json: arguments.on.json,
    };
    logs::run(&wanted, arguments.on.place("stead logs --on"), terminal)
}
