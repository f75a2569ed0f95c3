//! From a manifest's process to the argument vector that the agent runs.

mod worker;

use std::path::Path;

use stead_model::manifest::{Process, Program, Server, Threads};
use stead_model::release::{Listen, ProcessSpec, Protocol, Start};

use crate::Error;
use crate::environment::Environment;

/// Threads of an instance when the manifest leaves it to Stead.
const AUTO_THREADS: u32 = 16;

/// Requests that one instance of an HTTP server is given at once.
const HTTP_CAPACITY: u32 = 1000;

/// What a process is resolved against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// `.stead/`: where the worker file is written.
    pub(crate) state: &'a Path,
    /// The app's environment, when it has one.
    pub(crate) environment: Option<&'a Environment>,
}

/// Resolve the process `name`. `None` for a folder of files, which nothing runs.
pub(crate) fn resolve(
    name: &str,
    process: &Process,
    place: Place<'_>,
) -> Result<Option<ProcessSpec>, Error> {
    let (start, listen, capacity) = match &process.program {
        Program::Static(_) => return Ok(None),
        Program::Command(line) => {
            let listen = (name == "web").then_some(Listen::Port(Protocol::Http));
            let start = Start::Command(vec!["sh".into(), "-c".into(), line.clone()]);
            (start, listen, HTTP_CAPACITY)
        }
        Program::Wsgi(entry) if matches!(process.server, None | Some(Server::Stead)) => {
            let threads = threads(process.threads);
            let python = environment(name, place)?.python();
            let mut arguments = vec![
                python.display().to_string(),
                worker::write(place.state)?.display().to_string(),
            ];
            if process.preload {
                arguments.push("--preload".into());
            }
            arguments.extend(["--threads".into(), threads.to_string(), entry.clone()]);
            let start = match process.preload {
                true => Start::Preload(arguments),
                false => Start::Command(arguments),
            };
            (start, Some(Listen::Descriptor(Protocol::Frames)), threads)
        }
        _ => {
            return Err(Error::new(
                format!("cannot run `process.{name}`"),
                vec!["not built yet".into()],
            ));
        }
    };
    Ok(Some(ProcessSpec {
        start,
        listen,
        count: process.count,
        capacity,
        memory: process.memory,
        timeout: process.timeout,
        drain: process.drain,
        health: process.health.clone(),
    }))
}

fn threads(threads: Threads) -> u32 {
    match threads {
        Threads::Auto => AUTO_THREADS,
        Threads::Fixed(count) => count.max(1),
    }
}

fn environment<'a>(name: &str, place: Place<'a>) -> Result<&'a Environment, Error> {
    place.environment.ok_or_else(|| {
        Error::new(
            format!("cannot run `process.{name}`"),
            vec!["the app has no Python environment".into()],
        )
    })
}

#[cfg(test)]
mod tests;
