//! The role `edge`: its sockets, and what is asked of the one that runs.

use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use rustix::net::AddressFamily;
use stead_edge::control::{self, Listeners, Role, Sockets, TAKE_OVER, Unanswered};
use stead_model::control::{Answer, Wish};

use crate::listener::{self, Verb};
use crate::problem::{Problem, because, plain};
use crate::render::{Terminal, cut_off, edge_status, upgraded};
use crate::up::limits;

/// An upgrade has a few steps after the new program is ready.
const MARGIN: Duration = Duration::from_secs(30);
/// An edge that runs answers at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// A socket that systemd passes under this name (`FileDescriptorName=`) is for TLS.
const TLS_NAME: &str = "tls";
/// And one at this port, whatever its name.
const HTTPS: u16 = 443;

/// What the command line asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) listen_tls: Vec<SocketAddr>,
    pub(crate) control: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) drain: Duration,
    pub(crate) access_log: Option<PathBuf>,
    pub(crate) access_json: bool,
    /// Where metrics are asked for; `None`: nowhere.
    pub(crate) metrics: Option<PathBuf>,
    /// 0: as many as suit the machine.
    pub(crate) threads: usize,
    /// Standard input is the connection to the edge that is to be replaced.
    pub(crate) take_over: bool,
}

/// Run until stopped, or replaced and drained.
pub(crate) fn run(options: Options, terminal: &Terminal) -> Result<ExitCode, Problem> {
    limits::raise()?;
    let sockets = match options.take_over {
        true => Sockets::Left(standard_input()?),
        false => own(&options)?,
    };
    // The table names every app of the host; who may speak at the control socket is said by its own mode.
    make(&options.state, 0o700, &options)?;
    if let (false, Some(directory)) = (options.take_over, options.control.parent()) {
        make(directory, 0o755, &options)?;
    }
    let said = terminal.clone();
    let arguments = std::env::args_os().skip(1);
    let role = Role {
        settings: stead_edge::Settings {
            threads: options.threads,
            access_log: options.access_log,
            access_json: options.access_json,
            metrics: options.metrics,
            spool: Some(options.state.join("spool")),
            ..stead_edge::Settings::default()
        },
        control: options.control,
        state: Some(options.state),
        drain: options.drain,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        arguments: arguments.filter(|given| given != TAKE_OVER).collect(),
        tell: Box::new(move |sentence| said.err(&format!("{sentence}\n"))),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new("cannot start").cause(because(&error)))?;
    let cut = runtime.block_on(Box::pin(control::run(role, sockets)));
    runtime.shutdown_timeout(Duration::from_secs(1));
    match cut {
        Ok(0) => Ok(ExitCode::SUCCESS),
        Ok(cut) => {
            terminal.err(&cut_off(cut));
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => Err(Problem::new(failure.act).cause(plain(&failure.cause))),
    }
}

/// Make a directory that is not there yet.
fn make(directory: &Path, mode: u32, options: &Options) -> Result<(), Problem> {
    if directory.as_os_str().is_empty() {
        return Ok(());
    }
    let made = DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(directory);
    made.map_err(|error| {
        let act = format!("cannot make the directory `{}`", directory.display());
        let problem = Problem::new(act).cause(because(&error));
        match (error.kind(), options.listen.first()) {
            (ErrorKind::PermissionDenied, Some(address)) => problem.hint(format!(
                "stead edge --listen {address} --state edge --control edge/control.sock"
            )),
            _ => problem,
        }
    })
}

/// The sockets of a first edge: systemd's, and those that the command line names.
fn own(options: &Options) -> Result<Sockets, Problem> {
    let mut visitors = Listeners::default();
    let mut control = None;
    let act = || Problem::new("cannot use the sockets that systemd passes");
    for (socket, named) in passed().map_err(|error| act().cause(because(&error)))? {
        let name = rustix::net::getsockname(&socket);
        let name = name.map_err(|error| act().cause(because(&error.into())))?;
        match name.address_family() {
            AddressFamily::UNIX => control = Some(UnixListener::from(socket)),
            _ => {
                let socket = TcpListener::from(socket);
                let port = socket.local_addr().map_or(0, |address| address.port());
                match named == TLS_NAME || port == HTTPS {
                    true => visitors.tls.push(socket),
                    false => visitors.plain.push(socket),
                }
            }
        }
    }
    for (addresses, listeners) in [
        (&options.listen, &mut visitors.plain),
        (&options.listen_tls, &mut visitors.tls),
    ] {
        for address in addresses {
            let refused = |error| listener::refused(Verb::Edge, *address, &error);
            listeners.push(listener::listen(*address).map_err(refused)?);
        }
    }
    if visitors.plain.is_empty() && visitors.tls.is_empty() {
        return Err(Problem::invocation("cannot start an edge without sockets")
            .cause("systemd passed none, and neither `--listen` nor `--listen-tls` is there")
            .hint("stead edge --listen 127.0.0.1:8000"));
    }
    Ok(Sockets::Own { visitors, control })
}

/// sd_listen_fds(3).
fn passed() -> io::Result<Vec<(OwnedFd, String)>> {
    let sockets = sd_notify::listen_fds_with_names()?.map(|(number, name)| {
        // SAFETY: the service manager passed these descriptors to this process (LISTEN_PID), and this is
        // the one place that takes them.
        #[allow(
            unsafe_code,
            reason = "descriptors that are inherited have no owner yet"
        )]
        let socket = unsafe { OwnedFd::from_raw_fd(number) };
        (socket, name)
    });
    Ok(sockets.collect())
}

/// Standard input as the connection to the edge that is to be replaced.
fn standard_input() -> Result<UnixStream, Problem> {
    let stdin = io::stdin();
    let is_socket = rustix::net::sockopt::socket_domain(&stdin)
        .is_ok_and(|domain| domain == AddressFamily::UNIX);
    if !is_socket {
        return Err(
            Problem::invocation(format!("cannot use `{TAKE_OVER}` here"))
                .cause("standard input is no connection to an edge that is to be replaced")
                .hint("stead edge upgrade"),
        );
    }
    let copy = stdin.as_fd().try_clone_to_owned();
    // The old edge learns of this one's end by the end of the connection: no copy may stay open.
    let copy = copy.and_then(|copy| {
        let nothing = std::fs::File::open("/dev/null")?;
        debug_assert_ne!(copy.as_raw_fd(), 0);
        rustix::stdio::dup2_stdin(&nothing)?;
        Ok(copy)
    });
    copy.map(UnixStream::from)
        .map_err(|error| Problem::new("cannot take over").cause(because(&error)))
}

/// Have the edge that runs replaced.
pub(crate) fn upgrade(
    binary: Option<PathBuf>,
    within: Duration,
    control: &Path,
    json: bool,
    terminal: &Terminal,
) -> Result<ExitCode, Problem> {
    let act = || Problem::new("cannot upgrade the edge");
    let binary = match binary {
        Some(binary) => std::path::absolute(binary),
        None => std::env::current_exe(),
    };
    let binary = binary.map_err(|error| act().cause(because(&error)))?;
    let wish = Wish::Upgrade { binary, within };
    match control::ask(control, wish, within + MARGIN).map_err(|why| unanswered(why, control))? {
        Answer::Upgraded {
            pid,
            version,
            previous,
        } => {
            match json {
                true => terminal.raw(upgraded(pid, &version, previous, true).as_bytes()),
                false => terminal.out(&upgraded(pid, &version, previous, false)),
            }
            Ok(ExitCode::SUCCESS)
        }
        answer => Err(Problem {
            causes: refusal(answer),
            ..act().state("nothing has changed: the edge that ran serves on")
        }),
    }
}

/// Say how the edge that runs is.
pub(crate) fn status(control: &Path, json: bool, terminal: &Terminal) -> Result<ExitCode, Problem> {
    match control::ask(control, Wish::Status, PATIENCE).map_err(|why| unanswered(why, control))? {
        Answer::Status(status) => {
            match json {
                true => terminal.raw(edge_status(&status, true).as_bytes()),
                false => terminal.out(&edge_status(&status, false)),
            }
            Ok(ExitCode::SUCCESS)
        }
        answer => Err(Problem {
            causes: refusal(answer),
            ..Problem::new("cannot ask the edge")
        }),
    }
}

fn refusal(answer: Answer) -> Vec<String> {
    match answer {
        Answer::Refused { causes } => causes,
        _ => vec!["it answered something else than asked".to_owned()],
    }
}

/// Shows where the edges that run have their control sockets.
const FIND: &str = "ss -lxp | grep stead    # shows the control sockets of the edges that run";

fn unanswered(why: Unanswered, control: &Path) -> Problem {
    let problem = Problem::new(format!("cannot reach an edge at `{}`", control.display()));
    match why {
        Unanswered::Unreachable(error) => match error.kind() {
            ErrorKind::NotFound => problem
                .cause("no edge has its control socket there")
                .hint(FIND),
            ErrorKind::ConnectionRefused => problem
                .cause("the edge that had its control socket there has ended")
                .hint(FIND),
            _ => problem.cause(because(&error)),
        },
        Unanswered::Silent(error) => Problem::new(format!(
            "no answer from the edge at `{}`",
            control.display()
        ))
        .cause(because(&error)),
    }
}
