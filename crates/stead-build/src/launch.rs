//! From a manifest's process to the argument vector that the agent runs.
//!
//! | server | instances | how it is reached |
//! |---|---|---|
//! | Stead's worker | `count`, one process each | descriptor 3, Stead's frames |
//! | gunicorn | one, with `count` of its own workers | descriptor 3, HTTP |
//! | uwsgi | one master, with `count` of its own processes | descriptor 3, the uwsgi protocol |
//! | uvicorn | `count`, one process each | descriptor 3, HTTP |
//! | granian | `count`, one worker each | a loopback port, HTTP |
//! | a command | `count` | a loopback port, HTTP, for `web` |
//!
//! gunicorn and uwsgi have a master that forks: their hooks, timers and shared memory are per master,
//! so that an app that relies on them finds one.

mod server;
mod uwsgi;
mod worker;

use std::path::{Path, PathBuf};

use stead_model::manifest::{Count, Manifest, Process, Program, Server, Threads};
use stead_model::release::{Listen, ProcessSpec, Protocol, Start};
use stead_model::routing::Timeouts;

use crate::Error;
use crate::environment::Environment;
use crate::interpreter::wanted::Version;
use crate::machine::Machine;

/// Threads of an instance when the manifest leaves it to Stead.
pub(crate) const AUTO_THREADS: u32 = 16;

/// Requests that one instance of an HTTP server is given at once.
pub(crate) const HTTP_CAPACITY: u32 = 1000;

/// What a process is resolved against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Where programs beside the environment's are looked up.
    pub(crate) machine: &'a Machine,
    /// The directory that the app runs in.
    pub(crate) code: &'a Path,
    /// `.stead/`: where the worker file is written.
    pub(crate) state: &'a Path,
    /// The app's environment and the version of its Python, when it has one.
    pub(crate) environment: Option<(&'a Environment, Version)>,
    /// The file that the app's dependencies are in, for hints: `requirements.txt`.
    pub(crate) dependencies: Option<&'a str>,
    /// Nothing is built yet: what would be in the environment is taken to be there, and no
    /// file is written.
    pub(crate) planned: bool,
}

/// How one process is run; the rest of its specification is as the manifest says.
#[derive(Debug)]
struct Resolved {
    start: Start,
    listen: Option<Listen>,
    count: Count,
    capacity: u32,
}

/// Resolve the process `name`. `None` for a folder of files, which nothing runs.
pub(crate) fn resolve(
    manifest: &Manifest,
    name: &str,
    process: &Process,
    place: Place<'_>,
) -> Result<Option<ProcessSpec>, Error> {
    let resolved = match (&process.program, process.server) {
        (Program::Static(_), _) => return Ok(None),
        (Program::Command(line), _) => Resolved {
            start: Start::Command(vec!["sh".into(), "-c".into(), line.clone()]),
            listen: (name == "web").then_some(Listen::Port(Protocol::Http)),
            count: match process.count {
                Count::Auto if has_own_workers(line) => Count::Fixed(1),
                count => count,
            },
            capacity: HTTP_CAPACITY,
        },
        (Program::Wsgi(entry), None | Some(Server::Stead)) => stead(name, entry, process, place)?,
        (Program::Asgi(_), Some(Server::Stead)) => {
            return Err(
                impossible(name, "Stead's own worker runs WSGI apps").hinted(format!(
                    "take `server` out of [process.{name}]: uvicorn is the default"
                )),
            );
        }
        (Program::Asgi(entry), None | Some(Server::Uvicorn)) => {
            server::uvicorn(name, entry, process, place)?
        }
        (Program::Wsgi(_), Some(Server::Uvicorn)) => {
            return Err(impossible(name, "uvicorn runs ASGI apps").hinted(format!(
                "write `asgi` in place of `wsgi` in [process.{name}], or take `server` out"
            )));
        }
        (Program::Wsgi(entry), Some(Server::Gunicorn)) => {
            let longest = manifest.longest_timeout(name);
            server::gunicorn(name, entry, false, process, longest, place)?
        }
        (Program::Asgi(entry), Some(Server::Gunicorn)) => {
            let longest = manifest.longest_timeout(name);
            server::gunicorn(name, entry, true, process, longest, place)?
        }
        (Program::Wsgi(entry), Some(Server::Granian)) => {
            server::granian(name, entry, "wsgi", process, place)?
        }
        (Program::Asgi(entry), Some(Server::Granian)) => {
            server::granian(name, entry, "asgi", process, place)?
        }
        (Program::Wsgi(entry), Some(Server::Uwsgi)) => {
            uwsgi::of_entry(name, entry, process, place)?
        }
        (Program::Asgi(_), Some(Server::Uwsgi)) => {
            return Err(impossible(name, "uwsgi runs WSGI apps"));
        }
        (Program::Uwsgi(file), None | Some(Server::Uwsgi)) => {
            uwsgi::of_file(manifest, name, file, process, place)?
        }
        (Program::Uwsgi(_), Some(_)) => {
            return Err(impossible(
                name,
                "`uwsgi` names a configuration of uwsgi, which no other server reads",
            )
            .hinted(format!(
                "write `wsgi = \"module:attribute\"` in [process.{name}]"
            )));
        }
    };
    Ok(Some(ProcessSpec {
        start: resolved.start,
        listen: resolved.listen,
        count: resolved.count,
        capacity: resolved.capacity,
        memory: process.memory,
        timeout: process.timeout,
        timeouts: Timeouts {
            connect: process.connect_timeout,
            idle: process.idle_timeout,
            total: process.total_timeout,
        },
        sticky: process.sticky,
        drain: process.drain,
        health: process.health.clone(),
    }))
}

/// Variables that a process's program needs in everything that runs: those of a uwsgi.ini.
pub(crate) fn variables(
    manifest: &Manifest,
    machine: &Machine,
    process: &Process,
    code: &Path,
) -> Vec<(String, String)> {
    match &process.program {
        Program::Uwsgi(file) => uwsgi::variables(manifest, machine, file, code),
        _ => Vec::new(),
    }
}

/// Whether a command line starts a server that has worker processes of its own, as many as the
/// line says: one of it is what its author meant.
fn has_own_workers(line: &str) -> bool {
    line.split(|next: char| next.is_whitespace() || "=/;&|".contains(next))
        .any(|word| {
            matches!(
                word,
                "gunicorn" | "uwsgi" | "--workers" | "pm2" | "pm2-runtime"
            )
        })
}

/// Stead's own worker.
fn stead(name: &str, entry: &str, process: &Process, place: Place<'_>) -> Result<Resolved, Error> {
    let threads = threads(process.threads);
    let (environment, _) = environment(name, place)?;
    let mut arguments = vec![
        text(&environment.python()),
        text(&match place.planned {
            true => worker::path(place.state),
            false => {
                let python = environment.python();
                worker::compiled(
                    worker::write(place.state)?,
                    &python,
                    &environment.root.to_string_lossy(),
                )
            }
        }),
    ];
    if process.preload {
        arguments.push("--preload".into());
    }
    arguments.extend(["--threads".into(), threads.to_string(), entry.to_owned()]);
    Ok(Resolved {
        start: match process.preload {
            true => Start::Preload(arguments),
            false => Start::Command(arguments),
        },
        listen: Some(Listen::Descriptor(Protocol::Frames)),
        count: process.count,
        capacity: threads,
    })
}

fn threads(threads: Threads) -> u32 {
    match threads {
        Threads::Auto => AUTO_THREADS,
        Threads::Fixed(count) => count.max(1),
    }
}

fn environment<'a>(name: &str, place: Place<'a>) -> Result<(&'a Environment, Version), Error> {
    place
        .environment
        .ok_or_else(|| impossible(name, "the app has no Python environment"))
}

/// A program of the app's environment: its own pin, never one that Stead chose.
fn program(name: &str, program: &str, place: Place<'_>) -> Result<PathBuf, Error> {
    let (environment, _) = environment(name, place)?;
    if place.planned {
        return Ok(environment.bin().join(program));
    }
    environment.program(program).ok_or_else(|| {
        let file = place.dependencies.unwrap_or("requirements.txt");
        impossible(
            name,
            &format!(
                "`server = \"{program}\"`, and `{program}` is not among the packages of `{file}`"
            ),
        )
        .hinted(format!(
            "add `{program}` to `{file}`, or take `server` out of [process.{name}]"
        ))
    })
}

fn impossible(name: &str, why: &str) -> Error {
    Error::new(format!("cannot run `process.{name}`"), vec![why.to_owned()])
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests;
