//! Works under `wrk`, `ab` and `h2load`: all peers of a work in turn, round after round, so that a busy minute of
//! the machine hits them all.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use super::catalog::{self, Load, Peer, Work};
use super::server::{Places, Server};
use super::{Pace, ab, h2load, median, visitor, wrk};

/// A peer's medians for one work at one number of connections.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) work: &'static Work,
    pub(crate) connections: u32,
    pub(crate) peer: &'static Peer,
    /// CPU seconds of all server processes for 100,000 requests.
    pub(crate) cpu: f64,
    /// Requests a second.
    pub(crate) rate: f64,
    /// Seconds.
    pub(crate) p50: f64,
    /// Seconds.
    pub(crate) p99: f64,
    /// Bytes, of all server processes, right after the load.
    pub(crate) pss: f64,
    /// Over all rounds.
    pub(crate) errors: u64,
}

/// One round of one peer.
struct Round {
    cpu: f64,
    load: wrk::Load,
    pss: u64,
}

/// Measure `works` with those of their peers that `wanted` takes.
pub(crate) fn run(
    places: &Places,
    works: &[&'static Work],
    wanted: &dyn Fn(&Peer) -> bool,
    pace: &Pace,
) -> Result<Vec<Row>, String> {
    let mut by_app: BTreeMap<&str, Vec<&'static Work>> = BTreeMap::new();
    for work in works {
        by_app.entry(work.app).or_default().push(work);
    }
    let mut rows = Vec::new();
    for (app, works) in by_app {
        let servers = catalog::peers_of(app)
            .iter()
            .filter(|peer| wanted(peer))
            .map(|peer| Server::start(places, peer, app))
            .collect::<Result<Vec<_>, _>>()?;
        for work in works {
            for connections in work.connections {
                rows.extend(measure(places, work, *connections, &servers, pace)?);
            }
        }
    }
    Ok(rows)
}

fn measure(
    places: &Places,
    work: &'static Work,
    connections: u32,
    servers: &[Server],
    pace: &Pace,
) -> Result<Vec<Row>, String> {
    println!("{}, {connections} connections", work.label);
    let able = |server: &&Server| server.peer.tls || !work.load.needs_tls();
    let servers: Vec<&Server> = servers.iter().filter(able).collect();
    let mut rounds: Vec<Vec<Round>> = servers.iter().map(|_| Vec::new()).collect();
    for number in 0..pace.rounds {
        for turn in 0..servers.len() {
            // Each round begins with another peer.
            let at = (turn + number) % servers.len();
            let server = servers[at];
            ask(places, work, server, connections, Duration::from_secs(1))?;
            let before = settled(server);
            let load = ask(places, work, server, connections, pace.time)?;
            let cpu = settled(server) - before;
            if load.requests == 0 {
                return Err(format!(
                    "{} answered nothing: {}",
                    server.peer.label, work.label
                ));
            }
            let cpu = cpu / load.requests as f64 * 100_000.0;
            println!(
                "  {:<18} {cpu:>8.2} CPU s/100k {:>9.0}/s  p99 {:.1} ms  {} errors",
                server.peer.label,
                load.rate,
                load.p99 * 1e3,
                load.errors
            );
            rounds[at].push(Round {
                cpu,
                load,
                pss: server.trees().pss(|_| true),
            });
        }
    }
    let rows = servers.iter().zip(&rounds).map(|(server, rounds)| {
        let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value));
        Row {
            work,
            connections,
            peer: server.peer,
            cpu: of(|r| r.cpu),
            rate: of(|r| r.load.rate),
            p50: of(|r| r.load.p50),
            p99: of(|r| r.load.p99),
            pss: of(|r| r.pss as f64),
            errors: rounds.iter().map(|r| r.load.errors).sum(),
        }
    });
    Ok(rows.collect())
}

/// Ask with the program that the work wants.
fn ask(
    places: &Places,
    work: &Work,
    server: &Server,
    connections: u32,
    time: Duration,
) -> Result<wrk::Load, String> {
    match work.load {
        Load::Http2(streams) | Load::Http2Clear(streams) => {
            let log = places.work.join("h2load.log");
            h2load::run(&log, work, server, connections, streams, time)
        }
        Load::TlsNew => ab::run(work, server, connections, time),
        _ => wrk::run(&places.bench.join("wrk"), work, server, connections, time),
    }
}

/// CPU seconds, once what the last visitors left behind is done: wrk walks away from its last
/// requests, and the peer answers them nevertheless, before ours.
fn settled(server: &Server) -> f64 {
    visitor::status(server.port, "/");
    thread::sleep(Duration::from_millis(100));
    server.trees().cpu_seconds()
}
