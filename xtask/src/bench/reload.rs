//! Reloads under load, with a client that counts every error and times every answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::catalog::Peer;
use super::median;
use super::server::{Places, Server};
use super::visitor::{Failure, Visitor};

/// How many ask at once, each on a connection of its own.
const VISITORS: usize = 8;

/// Between an answer and the next question, so that a stall is the server's, not a queue's.
const THINKING: Duration = Duration::from_millis(1);

/// What the reloads of one peer did to its visitors.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) peer: &'static Peer,
    pub(crate) app: &'static str,
    pub(crate) reloads: usize,
    pub(crate) requests: u64,
    pub(crate) errors: BTreeMap<Failure, u64>,
    /// The longest answer without a reload, seconds.
    pub(crate) longest_before: f64,
    /// The longest answer with reloads, seconds.
    pub(crate) longest: f64,
    /// From the signal to the new code's answers, seconds; the median.
    pub(crate) took: f64,
    /// Reloads after which the old code still answered at the deadline.
    pub(crate) unfinished: usize,
}

/// What visitors saw.
#[derive(Debug, Default)]
struct Seen {
    requests: u64,
    longest: Duration,
    errors: BTreeMap<Failure, u64>,
}

/// Reload `peer` on `app` so many times.
pub(crate) fn run(
    places: &Places,
    peer: &'static Peer,
    app: &'static str,
    reloads: usize,
) -> Result<Row, String> {
    println!("{reloads} reloads of {} ({app})", peer.label);
    let server = Server::start(places, peer, app)?;
    let (before, ()) = under_load(&server, || thread::sleep(Duration::from_secs(5)));
    let (seen, times) = under_load(&server, || {
        (0..reloads).map(|_| reload(&server)).collect::<Vec<_>>()
    });
    let row = Row {
        peer,
        app,
        reloads,
        requests: seen.requests,
        errors: seen.errors,
        longest_before: before.longest.as_secs_f64(),
        longest: seen.longest.as_secs_f64(),
        took: median(times.iter().flatten().map(Duration::as_secs_f64)),
        unfinished: times.iter().filter(|time| time.is_none()).count(),
    };
    println!(
        "  {} requests, {} errors, longest {:.0} ms (before: {:.0} ms), {} unfinished",
        row.requests,
        row.errors.values().sum::<u64>(),
        row.longest * 1e3,
        row.longest_before * 1e3,
        row.unfinished
    );
    Ok(row)
}

/// One reload: until the new code alone answers. `None`: it never did.
fn reload(server: &Server) -> Option<Duration> {
    let asked = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()?
        .as_nanos();
    let start = Instant::now();
    server.reload();
    let mut visitor = Visitor::new(server.port);
    let mut first_new = None;
    let mut new_in_a_row = 0;
    while start.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(5));
        let (_, answer) = visitor.get("/born");
        let born = answer
            .ok()
            .and_then(|a| String::from_utf8(a.body).ok()?.parse::<u128>().ok());
        if born.is_some_and(|born| born > asked) {
            first_new.get_or_insert_with(|| start.elapsed());
            new_in_a_row += 1;
        } else {
            new_in_a_row = 0;
        }
        if new_in_a_row == 20 {
            return first_new;
        }
    }
    None
}

/// Do something while visitors ask.
fn under_load<T>(server: &Server, act: impl FnOnce() -> T) -> (Seen, T) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let visitors: Vec<_> = (0..VISITORS)
            .map(|_| scope.spawn(|| ask_until(&stop, server.port)))
            .collect();
        let result = act();
        stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for seen in visitors
            .into_iter()
            .filter_map(|visitor| visitor.join().ok())
        {
            all.requests += seen.requests;
            all.longest = all.longest.max(seen.longest);
            for (failure, count) in seen.errors {
                *all.errors.entry(failure).or_default() += count;
            }
        }
        (all, result)
    })
}

fn ask_until(stop: &AtomicBool, port: u16) -> Seen {
    let mut visitor = Visitor::new(port);
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let (time, answer) = visitor.get("/");
        seen.requests += 1;
        seen.longest = seen.longest.max(time);
        if let Err(failure) = answer {
            *seen.errors.entry(failure).or_default() += 1;
        }
        thread::sleep(THINKING);
    }
    seen
}
