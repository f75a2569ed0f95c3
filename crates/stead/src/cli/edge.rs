//! `stead edge`: the program that accepts visitors on a host, and what can be asked of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use super::LogFormat;
use super::values::{address, duration, threads};
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
  stead edge --listen 0.0.0.0:80 --listen-tls 0.0.0.0:443
                                      with sockets of its own
  stead edge                          with the sockets that systemd passes (LISTEN_FDS)
  stead edge upgrade                  let this program take the place of the one that runs
  stead edge status --json            how the edge that runs is, for a program

The edge needs no privileges. Its routes come from an agent, over the control socket, which \
answers its own user and root alone. The last table is kept, so that an edge that is started \
without an agent serves at once. So do the certificates, which are files that are read \
again when they change.

Of the sockets that systemd passes, those named `tls` (FileDescriptorName=) and those at port \
443 are for TLS.

Signals: SIGTERM or SIGINT lets requests in flight end, then stops; a second one stops at once.

Files:
  /run/stead/edge.sock        the control socket (--control)
  /var/lib/stead/edge/        the table, and large bodies of slow visitors (--state)

Environment:
  LISTEN_FDS, LISTEN_PID      sockets from systemd, sd_listen_fds(3)
  NOTIFY_SOCKET               is told READY=1, MAINPID and STOPPING=1, sd_notify(3)

Exit codes: 0 stopped or replaced as asked, 1 could not start or take over, 2 bad invocation.

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
    #[arg(long, value_name = "ADDR", value_parser = address)]
    listen: Vec<SocketAddr>,

    /// Where visitors connect over TLS; may be given several times
    #[arg(long, value_name = "ADDR", value_parser = address)]
    listen_tls: Vec<SocketAddr>,

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

    /// A unix socket at which metrics are asked for, over HTTP [default: none]
    #[arg(long, value_name = "PATH")]
    metrics: Option<PathBuf>,

    /// Threads that serve visitors [default: as many as suit this machine]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, value_parser = threads)]
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
#[command(after_help = "Examples:
  stead edge upgrade                           this program takes over
  stead edge upgrade --binary /opt/stead-0.2   that one does

The new program is started by the edge that runs, with its arguments. It takes the listening \
sockets, the agent's connection and the table over; when it says that it serves, the old one \
stops accepting, ends each connection after its current request, and lets WebSockets and streams \
live until its drain time is over. If the new one does not come that far, nothing has changed.

Exit codes: 0 the new program serves, 1 it does not, and nothing has changed, 2 bad invocation.")]
struct Upgrade {
    /// The program [default: the one that you call]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,

    /// How long it may take to be ready
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    within: Duration,

    /// The control socket of the edge that runs
    #[arg(long, value_name = "PATH", default_value = CONTROL)]
    control: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Say how the edge that runs is
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  stead edge status                            for a person
  stead edge status --json                     for a program
  stead edge status --control /tmp/edge.sock   of an edge that was started with that --control

Exit codes: 0 it answered, 1 no edge answers there, 2 bad invocation.")]
struct Status {
    /// The control socket of the edge that runs
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
                listen_tls: role.listen_tls,
                control: role.control,
                state: role.state,
                drain: role.drain,
                access_log: role.access_log,
                access_json: role.log_format == LogFormat::Json,
                metrics: role.metrics,
                threads: role.threads,
                take_over: role.take_over,
            };
            edge::run(options, terminal)
        }
    }
}
