//! Hosts: what the program does there ([`agent`] and the verbs of `stead api`), and what it does on the laptop ([`laptop`]).

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use stead_agent::apps::Apps;
use stead_agent::host::Failed;
use stead_edge::control::{self, Unanswered};
use stead_model::control::{Answer, Status, Wish};
use stead_model::host::{EDGE_METRICS, Progress, RUN};
use stead_model::tree::Received;
use tokio::sync::mpsc::unbounded_channel;

use crate::problem::{Problem, because};
use crate::render::Terminal;

pub(crate) mod laptop;
mod logs;
mod push;
mod webhook;

pub(crate) use logs::logs;
pub(crate) use push::{receive, received, repository};
pub(crate) use webhook::webhook;

/// An edge that runs answers at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest that is read from a laptop.
const LONGEST: u64 = 1 << 20;
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Be the agent until told to end.
pub(crate) fn agent(
    socket: PathBuf,
    edge: PathBuf,
    state: PathBuf,
    terminal: &Terminal,
) -> Result<ExitCode, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new("cannot start").cause(because(&error)))?;
    let program = std::env::current_exe()
        .map_err(|error| Problem::new("cannot find this program").cause(because(&error)))?;
    let (apps, asked) = unbounded_channel();
    let (remarks, mut remarked) = unbounded_channel::<String>();
    let keeping = stead_agent::apps::keep(
        Apps {
            state,
            run: Path::new(RUN).join("apps"),
            edge: edge.clone(),
            metrics: EDGE_METRICS.into(),
            program,
            remarks,
        },
        asked,
    );
    let agent = stead_agent::Agent {
        socket,
        version: VERSION.to_owned(),
        edge: Arc::new(move || edge_status(&edge)),
        apps: Some(apps),
    };
    let terminal = terminal.clone();
    let served = runtime.block_on(async {
        tokio::spawn(Box::pin(keeping));
        tokio::spawn(async move {
            while let Some(text) = remarked.recv().await {
                terminal.err(&format!("{text}\n"));
            }
        });
        stead_agent::serve(agent).await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    match served {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(failure) => Err(Problem::new(failure.act).cause(failure.cause)),
    }
}

fn edge_status(socket: &Path) -> Result<Status, Vec<String>> {
    match control::ask(socket, Wish::Status, PATIENCE) {
        Ok(Answer::Status(status)) => Ok(*status),
        Ok(Answer::Refused { causes }) => Err(causes),
        Ok(_) => Err(vec![
            "the edge answered something else than asked".to_owned(),
        ]),
        Err(Unanswered::Unreachable(error)) => Err(vec![
            format!("no edge is reached at `{}`", socket.display()),
            because(&error),
        ]),
        Err(Unanswered::Silent(error)) => {
            Err(vec!["the edge does not answer".to_owned(), because(&error)])
        }
    }
}

/// Carry lines between standard input and output and the agent.
pub(crate) fn carry(socket: &Path) -> Result<ExitCode, Problem> {
    let act = || Problem::new(format!("cannot reach an agent at `{}`", socket.display()));
    let stream = UnixStream::connect(socket).map_err(|error| {
        act().cause(match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => "it does not run".to_owned(),
            _ => because(&error),
        })
    })?;
    let to = stream
        .try_clone()
        .map_err(|error| act().cause(because(&error)))?;
    std::thread::spawn(move || {
        let mut to = to;
        let _ = io::copy(&mut io::stdin().lock(), &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut stream = stream;
    let mut buffer = vec![0; 64 << 10];
    let mut out = io::stdout().lock();
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(ExitCode::SUCCESS),
            // Who has gone away needs no answer.
            Ok(n) => match out.write_all(&buffer[..n]).and_then(|()| out.flush()) {
                Ok(()) => {}
                Err(_) => return Ok(ExitCode::FAILURE),
            },
            Err(error) => return Err(act().cause(because(&error))),
        }
    }
}

/// Say what this host is.
pub(crate) fn look(terminal: &Terminal) -> Result<ExitCode, Problem> {
    say(terminal, &stead_agent::host::look(VERSION));
    Ok(ExitCode::SUCCESS)
}

/// Carry out the plan on standard input.
pub(crate) fn set_up(terminal: &Terminal) -> Result<ExitCode, Problem> {
    let asked = asked()?;
    let own = std::env::current_exe();
    let own =
        own.map_err(|error| Problem::new("cannot find this program").cause(because(&error)))?;
    let done = stead_agent::host::set_up(&asked, &own, VERSION, &mut |progress| {
        say(terminal, &progress);
    });
    Ok(end(done, terminal))
}

/// Remove everything of Stead, as standard input asks.
pub(crate) fn take_down(terminal: &Terminal) -> Result<ExitCode, Problem> {
    let asked = asked()?;
    let done = stead_agent::host::take_down(&asked, VERSION, &mut |progress| {
        say(terminal, &progress);
    });
    Ok(end(done, terminal))
}

/// A laptop is not waited for any longer when nothing came for so long.
const SENDS: Duration = Duration::from_secs(60);

/// Take the source of an app from standard input. What came of it is the last line, whatever it is.
pub(crate) fn source(apps: &Path, app: &str, terminal: &Terminal) -> Result<ExitCode, Problem> {
    // Not by way of the standard library's buffer: nothing may wait in it unseen.
    let input = io::stdin().as_fd().try_clone_to_owned();
    let input =
        input.map_err(|error| Problem::new("cannot read standard input").cause(because(&error)))?;
    let mut input = stead_agent::source::Patient::new(File::from(input), SENDS);
    let received = stead_agent::source::receive(apps, app, &mut input, &mut |answer| {
        say(terminal, &answer);
    });
    if let Err(error) = received {
        let causes = error.causes;
        say(terminal, &Received::Refused { causes });
    }
    Ok(ExitCode::SUCCESS)
}

/// The last line, and an exit code for who runs this by hand.
fn end(done: Result<(), Failed>, terminal: &Terminal) -> ExitCode {
    match done {
        Ok(()) => {
            say(terminal, &Progress::Finished);
            ExitCode::SUCCESS
        }
        Err(Failed { act, causes }) => {
            say(terminal, &Progress::Failed { act, causes });
            ExitCode::FAILURE
        }
    }
}

fn say(terminal: &Terminal, message: &impl serde::Serialize) {
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    terminal.raw(&line);
}

fn asked<T: serde::de::DeserializeOwned>() -> Result<T, Problem> {
    let act = || Problem::invocation("cannot read what is asked");
    let mut text = Vec::new();
    let read = io::stdin().lock().take(LONGEST).read_to_end(&mut text);
    read.map_err(|error| act().cause(because(&error)))?;
    serde_json::from_slice(&text).map_err(|error| {
        act().cause(format!(
            "standard input is not the JSON that `stead host` sends: {error}"
        ))
    })
}
