//! The app's own pin of gunicorn, uvicorn or granian.

use std::time::Duration;

use stead_model::manifest::{Count, Process, Threads};
use stead_model::release::{Listen, Protocol, Start};

use super::{HTTP_CAPACITY, Place, Resolved, environment, program, text};
use crate::Error;

/// gunicorn, which reads its own configuration file (`gunicorn.conf.py`) from the code. It takes the
/// listening socket from `LISTEN_FDS`; then a `bind` of that file does not count, while `--bind fd://3`
/// on top of it would close the descriptor twice. Never with `--preload`: a release that
/// cannot be imported would then take the old workers' place.
pub(super) fn gunicorn(
    name: &str,
    entry: &str,
    asgi: bool,
    process: &Process,
    longest: Duration,
    place: Place<'_>,
) -> Result<Resolved, Error> {
    let program = program(name, "gunicorn", place)?;
    let mut arguments = vec![text(&program)];
    let configured = place.code.join("gunicorn.conf.py").is_file();
    if asgi && !configured {
        arguments.extend(["--worker-class".into(), asgi_worker(name, place)?.into()]);
    }
    match process.count {
        Count::Fixed(count) => arguments.extend(["--workers".into(), count.to_string()]),
        Count::Auto if configured || is_set("WEB_CONCURRENCY", place) => {}
        Count::Auto => arguments.extend(["--workers".into(), processors().to_string()]),
    }
    if let Threads::Fixed(threads) = process.threads
        && !asgi
    {
        arguments.extend(["--threads".into(), threads.to_string()]);
    }
    if !place.planned
        && environment(name, place)?
            .0
            .source_mentions("gunicorn/config.py", "--no-control-socket")
    {
        // Newer ones open a control socket at one path for all of a user's gunicorns.
        arguments.push("--no-control-socket".into());
    }
    if !configured {
        // gunicorn kills a worker whose request takes longer; the edge answers 504 first.
        let seconds = longest.as_secs().saturating_add(5);
        let drain = process.drain.as_secs().max(1);
        arguments.extend(["--timeout".into(), seconds.to_string()]);
        arguments.extend(["--graceful-timeout".into(), drain.to_string()]);
    }
    arguments.push(entry.to_owned());
    Ok(Resolved {
        start: Start::Command(arguments),
        listen: Some(Listen::Descriptor(Protocol::Http)),
        count: one(process.count),
        capacity: HTTP_CAPACITY,
    })
}

/// gunicorn's worker for ASGI, from whichever package of the app has it.
fn asgi_worker(name: &str, place: Place<'_>) -> Result<&'static str, Error> {
    let (environment, _) = environment(name, place)?;
    let has = |distribution: &str| environment.version_of(distribution).is_some();
    if place.planned {
        return Ok("uvicorn.workers.UvicornWorker");
    }
    if has("uvicorn-worker") {
        return Ok("uvicorn_worker.UvicornWorker");
    }
    if has("uvicorn") {
        return Ok("uvicorn.workers.UvicornWorker");
    }
    let file = place.dependencies.unwrap_or("requirements.txt");
    Err(super::impossible(
        name,
        "gunicorn runs ASGI apps with a worker of uvicorn, and the app does not list uvicorn",
    )
    .hinted(format!("add `uvicorn` to `{file}`")))
}

/// uvicorn, one process per instance.
pub(super) fn uvicorn(
    name: &str,
    entry: &str,
    process: &Process,
    place: Place<'_>,
) -> Result<Resolved, Error> {
    let program = program(name, "uvicorn", place)?;
    let mut arguments = vec![text(&program), "--fd".into(), "3".into()];
    // The edge logs requests, and is the only one that can reach an instance: it sets
    // X-Forwarded-* itself.
    arguments.extend(
        [
            "--no-access-log",
            "--proxy-headers",
            "--forwarded-allow-ips",
            "*",
        ]
        .map(str::to_owned),
    );
    let target = factory(entry, &mut arguments);
    arguments.push(target);
    Ok(Resolved {
        start: Start::Command(arguments),
        listen: Some(Listen::Descriptor(Protocol::Http)),
        count: process.count,
        capacity: HTTP_CAPACITY,
    })
}

/// granian, one worker per instance, on a port: no version of it takes a descriptor.
pub(super) fn granian(
    name: &str,
    entry: &str,
    interface: &str,
    process: &Process,
    place: Place<'_>,
) -> Result<Resolved, Error> {
    let program = program(name, "granian", place)?;
    let mut arguments = vec![text(&program)];
    arguments.extend(["--interface", interface, "--workers", "1"].map(str::to_owned));
    arguments.extend(["--host", "127.0.0.1", "--port", "{port}"].map(str::to_owned));
    if let (Threads::Fixed(threads), "wsgi") = (process.threads, interface) {
        arguments.extend(["--blocking-threads".into(), threads.to_string()]);
    }
    let target = factory(entry, &mut arguments);
    arguments.push(target);
    Ok(Resolved {
        start: Start::Command(arguments),
        listen: Some(Listen::Port(Protocol::Http)),
        count: process.count,
        capacity: HTTP_CAPACITY,
    })
}

/// `module:create_app()` → `--factory module:create_app`.
fn factory(entry: &str, arguments: &mut Vec<String>) -> String {
    match entry.strip_suffix("()") {
        Some(target) => {
            arguments.push("--factory".into());
            target.to_owned()
        }
        None => entry.to_owned(),
    }
}

/// A process that is switched off stays so; otherwise the server's own workers are the count.
pub(super) fn one(count: Count) -> Count {
    match count {
        Count::Fixed(0) => Count::Fixed(0),
        _ => Count::Fixed(1),
    }
}

/// 2 × CPU + 1, the usual number of workers.
pub(super) fn processors() -> usize {
    2 * std::thread::available_parallelism().map_or(1, usize::from) + 1
}

fn is_set(name: &str, place: Place<'_>) -> bool {
    place.machine.variable(name).is_some()
}
