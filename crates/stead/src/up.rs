//! The role `up`: agent and edge in one process, for one app, as an ordinary user.
//!
//! The order at the start is chosen for speed and for honest errors: bind first (a port in use is
//! the commonest refusal), start the edge (visitors wait in its queue), then build and run.
//!
//! Threads: this one waits for signals, changes, builds and the agent, on a runtime of its own;
//! the edge has its own; one prints; a build runs in a thread that lives as long as it does.

mod browser;
mod build;
mod certificates;
mod interrupt;
pub(crate) mod limits;
mod local_hosts;
mod local_tls;
mod run;
mod state;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use stead_model::messages::EdgeCommand;

use crate::listener::{self, Verb};
use crate::problem::{Problem, because};
use crate::render::{Live, Terminal};
use crate::source::{self, Loaded};

/// How long a thread for what blocks waits for more. Practically for ever: when an app has taken the last process
/// that the user may have, a new one could not be had.
const KEEP_THREADS: Duration = Duration::from_secs(365 * 24 * 3600);

/// What the command line asked for.
#[derive(Debug)]
pub(crate) struct Options {
    /// `stead up` with the directory that was given, for hints.
    pub(crate) line: String,
    /// The app's source, absolute.
    pub(crate) dir: PathBuf,
    /// Where environments, volumes, secrets, sockets and logs are.
    pub(crate) state: PathBuf,
    /// 0: any free one.
    pub(crate) port: u16,
    /// A name or an address.
    pub(crate) host: String,
    /// Get certificates for the hosts of the routes, and serve them at this port; 0 is any free one.
    pub(crate) public: Option<u16>,
    /// Visitors come over TLS.
    pub(crate) tls: bool,
    /// Reload when the source changes.
    pub(crate) watch: bool,
    /// Open the browser when the app answers.
    pub(crate) open: bool,
    /// Where access lines go.
    pub(crate) access_log: AccessLog,
    /// JSON rather than the combined format.
    pub(crate) access_json: bool,
}

/// Where access lines go.
#[derive(Debug)]
pub(crate) enum AccessLog {
    /// Beside the other logs, in the state directory.
    Kept,
    /// Nowhere.
    Off,
    /// To this file.
    File(PathBuf),
}

/// Run until stopped.
pub(crate) fn run(options: Options, terminal: &Terminal) -> Result<ExitCode, Problem> {
    let began = Instant::now();
    // Whoever reads the first line of a wrong configuration should not have to free a port first.
    let loaded = source::load(&options.dir)?;
    let descriptors = limits::raise()?;
    limits::try_threads()?;
    let at = |port| Verb::Up {
        line: &options.line,
        port,
    };
    let listeners = listener::bind(at("--port"), &options.host, options.port)?;
    let tls_listeners = match options.public {
        Some(port) => listener::bind(at("--tls-port"), &options.host, port)?,
        None => Vec::new(),
    };
    let state = state::State::open(&options.state, &options.line, &loaded.manifest.app)?;
    let tls = match options.tls {
        true => Some(local_tls::LocalTls::open(&state.path, &options.host)?),
        false => None,
    };
    let (mut edge, edge_events) = start_edge(&options, &state, listeners)?;
    edge.listen_tls(tls_listeners)
        .map_err(|error| Problem::new("cannot listen for TLS").cause(because(&error)))?;
    // Until the agent publishes its first table, visitors wait for an instance to come.
    let root = source::root(&options.dir, &loaded.manifest);
    let waiting = local_hosts::waiting_room(&loaded.manifest, &root);
    let _ = edge.commands.send(EdgeCommand::Publish(waiting));

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(KEEP_THREADS)
        .build()
        .map_err(|error| Problem::new("cannot start").cause(because(&error)))?;
    let (live, printer) = Live::start(terminal)
        .map_err(|error| Problem::new("cannot start").cause(because(&error)))?;
    announce(&live, &options, &loaded);
    if let (Some(_), Some(address)) = (options.public, edge.tls_addresses.first()) {
        live.say(format!("TLS at port {}", address.port()));
    }
    if let Some(tls) = &tls {
        live.say(tls.how_to_trust());
    }
    let up = run::Up::new(
        options,
        descriptors,
        state,
        tls,
        live.clone(),
        edge,
        edge_events,
        began,
    );
    let code = runtime.block_on(Box::pin(up.run(loaded)));
    runtime.shutdown_background();
    live.finish();
    drop(printer);
    Ok(code)
}

fn start_edge(
    options: &Options,
    state: &state::State,
    listeners: Vec<std::net::TcpListener>,
) -> Result<(stead_edge::Edge, run::EdgeEvents), Problem> {
    let access_log = match &options.access_log {
        AccessLog::Off => None,
        AccessLog::Kept => Some(state.access_log()?),
        AccessLog::File(path) => {
            append_to_stdout();
            let file = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path);
            file.map_err(|error| {
                Problem::invocation(format!("cannot write the access log `{}`", path.display()))
                    .cause(because(&error))
            })?;
            Some(path.clone())
        }
    };
    let settings = stead_edge::Settings {
        access_log,
        access_json: options.access_json,
        spool: Some(state.path.join("spool")),
        metrics: Some(state.path.join("metrics.sock")),
        ..stead_edge::Settings::default()
    };
    let (plain, secure) = match options.tls {
        true => (Vec::new(), listeners),
        false => (listeners, Vec::new()),
    };
    let started = stead_edge::start(settings, plain);
    let started = started.and_then(|(mut edge, events)| {
        edge.listen_tls(secure)?;
        Ok((edge, events))
    });
    started.map_err(|error| Problem::new("cannot start the edge").cause(because(&error)))
}

fn announce(live: &Live, options: &Options, loaded: &Loaded) {
    let origin = match (loaded.has_file, &loaded.detection) {
        (true, None) => source::FILE.to_owned(),
        (true, Some(_)) => format!("{}, its processes detected", source::FILE),
        (false, _) => format!(
            "no {}: running what was detected; `stead init` writes it down",
            source::FILE
        ),
    };
    live.say(format!(
        "{} in {} ({origin})",
        loaded.manifest.app,
        options.dir.display()
    ));
}

/// Access lines may go to the file that stdout is: neither writer may write over the other's lines.
fn append_to_stdout() {
    let stdout = std::io::stdout();
    if let Ok(flags) = rustix::fs::fcntl_getfl(&stdout) {
        let _ = rustix::fs::fcntl_setfl(&stdout, flags | rustix::fs::OFlags::APPEND);
    }
}
