//! `stead edge`: the program that accepts visitors on a host, and what can be asked of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use super::LogFormat;
use crate::edge::{self, Options};
use crate::problem::Problem;
use crate::render::Terminal;

/// Where the edge of a host is controlled, unless told otherwise.
const CONTROL: &str = "/run/stead/edge.sock";
/// Where it keeps its table.
const STATE: &str = "/var/lib/stead/edge";

/// Accept visitors on a host, for the agent there
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  stead edge --listen 0.0.0.0:80      with sockets of its own
  stead edge                          with the sockets that systemd passes (LISTEN_FDS)
  stead edge upgrade                  let this program take the place of the one that runs
  stead edge status --json            how the edge that runs is, for a program

The edge needs no privileges. Its routes come from an agent, over the control socket, which
answers its own user and root alone. The last table is kept, so that an edge that is started without an
agent serves at once.

Signals: SIGTERM or SIGINT lets requests in flight end, then stops; a second one stops at once.

This is the role of a host. `stead up` has an edge of its own inside and needs none of this."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    question: Option<Question>,

    #[command(flatten)]
    role: Role,
}

#[derive(Debug, clap::Args)]
struct Role {
    /// Where visitors connect; may be given several times. Else systemd must pass sockets
    #[arg(long, value_name = "ADDR")]
    listen: Vec<SocketAddr>,

    /// Where the agent connects
    #[arg(long, value_name = "PATH", default_value = CONTROL)]
    control: PathBuf,

    /// Where the last table is kept
    #[arg(long, value_name = "DIR", default_value = STATE)]
    state: PathBuf,

    /// How long connections live on when the edge is replaced or stopped
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    drain: Duration,

    /// How access lines are written
    #[arg(long, value_name = "FORMAT", default_value = "combined")]
    log_format: LogFormat,

    /// Where access lines go [default: nowhere]
    #[arg(long, value_name = "PATH")]
    access_log: Option<PathBuf>,

    /// Threads that serve visitors [default: as many as suit this machine]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,

    /// Take the place of the edge whose connection standard input is
    #[arg(long, hide = true)]
    take_over: bool,
}

#[derive(Debug, Subcommand)]
enum Question {
    Upgrade(Upgrade),
    Status(Status),
}

/// Let another program take the place of the edge that runs, without losing a request
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The new program is started by the edge that runs, with its arguments. It takes the
listening sockets and the agent's connection over, and the table; when it says that it serves, the old one
stops accepting, ends each connection after its current request, and lets WebSockets
and streams live until its drain time is over. If the new one does not come that far, nothing has changed.

Exit code 0: the new program serves."
)]
struct Upgrade {
    /// The program [default: the one that you call]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,

    /// How long it may take to be ready
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    within: Duration,

    /// Of the edge that runs
    #[arg(long, value_name = "PATH", default_value = CONTROL)]
    control: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Say how the edge that runs is
#[derive(Debug, clap::Args)]
struct Status {
    /// Of the edge that runs
    #[arg(long, value_name = "PATH", default_value = CONTROL)]
    control: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    match arguments.question {
        Some(Question::Upgrade(upgrade)) => {
            let Upgrade {
                binary,
                within,
                control,
                json,
            } = upgrade;
            edge::upgrade(binary, within, &control, json, terminal)
        }
        Some(Question::Status(status)) => edge::status(&status.control, status.json, terminal),
        None => {
            let role = arguments.role;
            let options = Options {
                listen: role.listen,
                control: role.control,
                state: role.state,
                drain: role.drain,
                access_log: role.access_log,
                access_json: role.log_format == LogFormat::Json,
                threads: role.threads,
                take_over: role.take_over,
            };
            edge::run(options, terminal)
        }
    }
}

/// `500ms`, `30s`, `10m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let milliseconds = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("a time has a unit: `500ms`, `30s`, `10m` or `1h`".to_owned()),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(milliseconds))
        .map(Duration::from_millis)
        .ok_or_else(|| "a time is a number and a unit, such as `30s`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_number_and_a_unit() {
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for wrong in [
            "",
            "10",
            "m",
            "-1s",
            "1.5h",
            "10d",
            "99999999999999999999s",
            "1é",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
