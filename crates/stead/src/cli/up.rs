//! `stead up`: run the app of a directory here, agent and edge in one process.

use std::path::PathBuf;
use std::process::ExitCode;

use super::init::with_dir;
use super::{LogFormat, values};
use crate::listener;
use crate::problem::Problem;
use crate::render::Terminal;
use crate::source;
use crate::up::{self, AccessLog, Options};

/// Run the app here: build it, start its instances, serve visitors
#[derive(Debug, clap::Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:
  stead up                    the app of this directory, at http://127.0.0.1:8000
  stead up shop --watch       reload when the source in `shop` changes
  stead up --port 0           at any free port, which is printed
  stead up --host 0.0.0.0     for visitors from other machines too
  stead up --public           for the world: ports 80 and 443, certificates by themselves
  stead up --tls              over HTTPS, at https://127.0.0.1:8443

Signals: Ctrl-C or SIGTERM lets requests in flight end, then stops; a second one stops at once.
SIGHUP reloads: the new release takes over when it is healthy, else the old one keeps serving.

--watch reloads when a file of the source changes: code, templates, configuration, lock files. \
It passes over what git ignores, hidden directories, virtual environments, node_modules, \
volumes, databases, logs, static folders (the edge serves those as they are), editors' temporary \
files, and files that the app itself writes whenever it starts.

Files:
  DIR/stead.toml              what to run; without it, that is detected
  DIR/.stead/                 what is kept: environments, volumes, secrets, logs/, metrics.sock

Exit codes: 0 stopped as asked, 1 the first release did not start, or serving failed, \
2 bad invocation or configuration."
)]
pub(super) struct Arguments {
    /// The app's source
    #[arg(default_value = ".", hide_default_value = true)]
    dir: PathBuf,

    /// Where visitors connect; 0 is any free port [default: 8000, --tls: 8443, --public: 80]
    #[arg(long, value_parser = values::port)]
    port: Option<u16>,

    /// The name or address to listen on [default: 127.0.0.1, with --public every address]
    #[arg(long)]
    host: Option<String>,

    /// Serve the world: get certificates for the hosts of the routes, and renew them
    #[arg(long)]
    public: bool,

    /// Where visitors connect over TLS [default: 443]
    #[arg(long, requires = "public", value_parser = values::port)]
    tls_port: Option<u16>,

    /// Speak HTTPS, with a certificate of an authority of your own, or with that of `[tls]`
    #[arg(long, conflicts_with = "public")]
    tls: bool,

    /// Reload when the source changes
    #[arg(long)]
    watch: bool,

    /// Open the browser when the app answers
    #[arg(long)]
    open: bool,

    /// How access lines are written
    #[arg(long, value_name = "FORMAT", default_value = "combined")]
    log_format: LogFormat,

    /// Where access lines go: a file, `-` (here) or `off` [default: .stead/logs/access.log]
    #[arg(long, value_name = "PATH|off")]
    access_log: Option<PathBuf>,

    /// Where environments, volumes, secrets and logs are kept [default: .stead in DIR]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let dir = source::directory(&arguments.dir, "up")?;
    let access_log = match arguments.access_log {
        None => AccessLog::Kept,
        Some(path) if path.as_os_str() == "off" => AccessLog::Off,
        Some(path) if path.as_os_str() == "-" => AccessLog::File("/dev/stdout".into()),
        Some(path) => AccessLog::File(path),
    };
    let options = Options {
        line: with_dir(
            match (arguments.public, arguments.tls) {
                (true, _) => "stead up --public",
                (_, true) => "stead up --tls",
                _ => "stead up",
            },
            &arguments.dir,
        ),
        state: arguments.state.unwrap_or_else(|| dir.join(source::STATE)),
        dir,
        port: arguments
            .port
            .unwrap_or(match (arguments.public, arguments.tls) {
                (true, _) => 80,
                (_, true) => 8443,
                _ => 8000,
            }),
        tls: arguments.tls,
        host: arguments.host.unwrap_or_else(|| match arguments.public {
            true => listener::every_address(),
            false => "127.0.0.1".to_owned(),
        }),
        public: arguments.public.then(|| arguments.tls_port.unwrap_or(443)),
        watch: arguments.watch,
        open: arguments.open,
        access_log,
        access_json: arguments.log_format == LogFormat::Json,
    };
    up::run(options, terminal)
}
