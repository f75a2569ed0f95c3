//! What the edge counts: requests, times, bytes, by app, process and release.
//!
//! Each thread that serves visitors has counters of its own and is the only one that writes them, with plain
//! loads and stores: a request pays neither a lock nor a shared cache line. Whoever asks for the
//! metrics adds the threads' counters up ([`text`]), on a thread of its own ([`socket`]).

mod handshakes;
pub(crate) mod socket;
mod text;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

pub(crate) use handshakes::Handshakes;

/// Upper ends of the buckets of every histogram, microseconds. Beyond the last one is one more.
const BOUNDS: [u64; 17] = [
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    180_000_000,
];
/// Releases of a process whose counters are kept; those of older ones are forgotten.
const RELEASES: usize = 4;

thread_local! {
    /// Which of the threads that serve visitors this is.
    static THREAD: Cell<usize> = const { Cell::new(0) };
}

/// By `app.process` and release.
type ByRelease = BTreeMap<(Arc<str>, u64), Arc<Series>>;

/// All counters of an edge.
#[derive(Debug)]
pub(crate) struct Metrics {
    threads: usize,
    /// Requests that the edge answered itself: files, redirects, refusals.
    pub(crate) own: Series,
    /// Locked when a table is replaced and when metrics are asked for.
    series: Mutex<ByRelease>,
    /// Connections that were accepted.
    pub(crate) accepted: AtomicU64,
    /// How often accepting paused because there were no descriptors left.
    pub(crate) accept_pauses: AtomicU64,
    pub(crate) handshakes: Handshakes,
    /// Connections that were closed at once, since their address has as many as it may have.
    pub(crate) crowded: AtomicU64,
    /// Connections that were closed because no PROXY protocol header came.
    pub(crate) unintroduced: AtomicU64,
    /// Requests that a route's rate held up, by the name of the limit. One that holds up is dearer than this lock.
    limited: Mutex<BTreeMap<Box<str>, u64>>,
}

/// Counters of one release of a process.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) app: String,
    pub(crate) process: String,
    /// `app.process`.
    pub(crate) name: Arc<str>,
    pub(crate) release: u64,
    /// One for each thread, made when it has its first request: a process without visitors costs nothing.
    threads: Box<[OnceLock<Box<Counters>>]>,
}

/// What is known of a request that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) status: u16,
    /// Until an instance was free.
    pub(crate) queue: Duration,
    /// From then until the response was complete.
    pub(crate) upstream: Duration,
    pub(crate) total: Duration,
    /// Bytes of the request's body.
    pub(crate) received: u64,
    /// Bytes of the response's body.
    pub(crate) sent: u64,
}

/// Counters of one thread, or of all of them added up.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counters {
    /// By the first digit of the status, less one.
    statuses: [AtomicU64; 5],
    received: AtomicU64,
    sent: AtomicU64,
    queue: Histogram,
    upstream: Histogram,
    total: Histogram,
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// To be called once on each thread that serves visitors; `number` counts from 0.
pub(crate) fn begin_thread(number: usize) {
    THREAD.set(number);
}

impl Metrics {
    /// For so many threads that serve visitors.
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            threads,
            own: Series::new("", "", "".into(), 0, threads),
            series: Mutex::default(),
            accepted: AtomicU64::new(0),
            accept_pauses: AtomicU64::new(0),
            handshakes: Handshakes::default(),
            crowded: AtomicU64::new(0),
            unintroduced: AtomicU64::new(0),
            limited: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ByRelease> {
        // Nothing in here panics while it holds the lock.
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counters of a release of a process.
    pub(crate) fn series(&self, app: &str, process: &str, release: u64) -> Arc<Series> {
        let name: Arc<str> = format!("{app}.{process}").into();
        let mut all = self.lock();
        let series = all.entry((Arc::clone(&name), release)).or_insert_with(|| {
            let name = Arc::clone(&name);
            Arc::new(Series::new(app, process, name, release, self.threads))
        });
        let series = Arc::clone(series);
        let kept = |all: &BTreeMap<(Arc<str>, u64), _>| {
            let of_process = (Arc::clone(&name), 0)..=(Arc::clone(&name), u64::MAX);
            let mut releases = all.range(of_process).map(|((_, release), _)| *release);
            let oldest = releases.next();
            (oldest, 1 + releases.count())
        };
        while let (Some(oldest), count) = kept(&all)
            && count > RELEASES
        {
            all.remove(&(Arc::clone(&name), oldest));
        }
        series
    }

    /// A route's rate has held a request up.
    pub(crate) fn limited(&self, limit: &str) {
        let mut limited = self.limited.lock().unwrap_or_else(PoisonError::into_inner);
        match limited.get_mut(limit) {
            Some(count) => *count += 1,
            None => drop(limited.insert(limit.into(), 1)),
        }
    }

    /// How many requests each limit has held up.
    pub(crate) fn all_limited(&self) -> BTreeMap<Box<str>, u64> {
        let limited = self.limited.lock().unwrap_or_else(PoisonError::into_inner);
        limited.clone()
    }

    /// Forget the limits that no table names any more.
    pub(crate) fn keep_limited(&self, named: impl Fn(&str) -> bool) {
        let mut limited = self.limited.lock().unwrap_or_else(PoisonError::into_inner);
        limited.retain(|limit, _| named(limit));
    }

    /// Forget the counters of processes that no table names any more.
    pub(crate) fn keep(&self, named: impl Fn(&str) -> bool) {
        self.lock().retain(|(name, _), _| named(name));
    }
}

impl Series {
    fn new(app: &str, process: &str, name: Arc<str>, release: u64, threads: usize) -> Self {
        Self {
            app: app.to_owned(),
            process: process.to_owned(),
            name,
            release,
            threads: (0..threads.max(1)).map(|_| OnceLock::new()).collect(),
        }
    }

    /// A request has ended, on a thread that serves visitors.
    pub(crate) fn count(&self, ended: &Ended) {
        let Some(thread) = self.threads.get(THREAD.get()) else {
            return;
        };
        let counters = thread.get_or_init(Box::default);
        let class = usize::from(ended.status / 100).saturating_sub(1);
        if let Some(status) = counters.statuses.get(class) {
            add(status, 1);
        }
        add(&counters.received, ended.received);
        add(&counters.sent, ended.sent);
        counters.queue.count(ended.queue);
        counters.upstream.count(ended.upstream);
        counters.total.count(ended.total);
    }

    /// Worth showing. Release 0 is where visitors wait for the first one.
    fn is_shown(&self) -> bool {
        self.release > 0 || self.threads.iter().any(|thread| thread.get().is_some())
    }

    /// All threads together.
    fn sum(&self) -> Counters {
        let sum = Counters::default();
        for counters in self.threads.iter().filter_map(OnceLock::get) {
            for (to, from) in sum.statuses.iter().zip(&counters.statuses) {
                add(to, from.load(Ordering::Relaxed));
            }
            add(&sum.received, counters.received.load(Ordering::Relaxed));
            add(&sum.sent, counters.sent.load(Ordering::Relaxed));
            for (to, from) in [
                (&sum.queue, &counters.queue),
                (&sum.upstream, &counters.upstream),
                (&sum.total, &counters.total),
            ] {
                for (to, from) in to.buckets.iter().zip(&from.buckets) {
                    add(to, from.load(Ordering::Relaxed));
                }
                add(&to.micros, from.micros.load(Ordering::Relaxed));
            }
        }
        sum
    }
}

impl Histogram {
    fn count(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| micros <= *bound);
        add(&self.buckets[bucket.unwrap_or(BOUNDS.len())], 1);
        add(&self.micros, micros);
    }
}

/// Only one thread writes, so that nothing is lost between the two.
fn add(counter: &AtomicU64, more: u64) {
    let before = counter.load(Ordering::Relaxed);
    counter.store(before.wrapping_add(more), Ordering::Relaxed);
}

#[cfg(test)]
mod tests;
