//! What each thread of the edge keeps for itself: lines for the access log, and open files. Both
//! are looked after by a task that runs only while there is something to look after, so that an idle
//! edge sleeps.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Shared;
use crate::answer::Times;
use crate::folder::FileCache;
use crate::frames::Connection;
use crate::head::Head;
use crate::metrics::{self, Metrics};
use crate::record::writer::Handle;
use crate::record::{Entry, Format, Lines};
use crate::response::Response;

/// Lines wait so long to be handed over together.
const PATIENCE: Duration = Duration::from_millis(100);
/// Or until there are so many bytes of them.
const BATCH: usize = 16 * 1024;
/// Files that were not asked for lately are closed this often.
const SWEEP: Duration = Duration::from_secs(5);

struct Log {
    lines: Lines,
    waiting: Vec<u8>,
    handle: Handle,
}

thread_local! {
    static OWN: RefCell<Option<Arc<Metrics>>> = const { RefCell::new(None) };
    static LOG: RefCell<Option<Log>> = const { RefCell::new(None) };
    static FILES: RefCell<FileCache> = RefCell::new(FileCache::default());
    static SWEEPING: Cell<bool> = const { Cell::new(false) };
}

/// To be called once on each thread; `number` counts from 0.
pub(crate) fn begin(shared: &Shared, number: usize) {
    metrics::begin_thread(number);
    OWN.set(Some(Arc::clone(&shared.metrics)));
    let format = if shared.settings.access_json {
        Format::Json
    } else {
        Format::Combined
    };
    let handle = shared.log.lock().map_or(None, |handle| handle.clone());
    let log = handle.map(|handle| Log {
        lines: Lines::new(format),
        waiting: Vec::new(),
        handle,
    });
    LOG.set(log);
}

/// To be called once on each thread, at its end.
pub(crate) fn end() {
    hand_over();
    LOG.set(None);
    OWN.set(None);
}

/// Use the thread's open files.
pub(crate) fn with_files<T>(use_them: impl FnOnce(&mut FileCache) -> T) -> T {
    if !SWEEPING.replace(true) {
        tokio::spawn(async {
            tokio::time::sleep(SWEEP).await;
            SWEEPING.set(false);
            FILES.with_borrow_mut(FileCache::sweep);
        });
    }
    FILES.with_borrow_mut(use_them)
}

/// Count a request that was answered, or whose visitor left, and write a line about it, with its id and with the name of a
/// visitor who proved who it is.
pub(crate) fn record(
    connection: &Connection,
    head: &Head,
    response: &Response<'_>,
    (id, user): (&str, Option<&[u8]>),
    total: Duration,
    times: &Times,
) {
    let micros = |time: Duration| time.as_micros() as u64;
    // As nginx writes it: the visitor left before there was an answer.
    let status = match response.status {
        0 => 499,
        status => status,
    };
    let series = times
        .upstream_settings
        .as_ref()
        .map(|settings| &*settings.series);
    let ended = metrics::Ended {
        status,
        queue: times.queue,
        upstream: times.upstream,
        total,
        received: times.received,
        sent: response.length,
    };
    match series {
        Some(series) => series.count(&ended),
        None => OWN.with_borrow(|own| {
            if let Some(metrics) = own {
                metrics.own.count(&ended);
            }
        }),
    }
    LOG.with_borrow_mut(|log| {
        let Some(log) = log else { return };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let entry = Entry {
            time: now.as_micros() as i64,
            remote: &connection.remote,
            user,
            method: head.method(),
            target: head.target(),
            version: head.protocol(),
            status,
            bytes: response.length,
            received: times.received,
            referer: head.header("referer"),
            user_agent: head.header("user-agent"),
            host: Some(head.host()).filter(|host| !host.is_empty()),
            tls: connection.tls.as_deref(),
            request_id: id,
            upstream: series.map(|series| &*series.name),
            instance: times.instance.map(|instance| instance.0),
            release: series.map(|series| series.release),
            queue_micros: micros(times.queue),
            upstream_micros: micros(times.upstream),
            total_micros: micros(total),
        };
        let first = log.waiting.is_empty();
        log.lines.append(&entry, &mut log.waiting);
        if log.waiting.len() >= BATCH {
            log.handle.submit(&mut log.waiting);
        } else if first {
            tokio::spawn(async {
                tokio::time::sleep(PATIENCE).await;
                hand_over();
            });
        }
    });
}

fn hand_over() {
    LOG.with_borrow_mut(|log| {
        if let Some(log) = log {
            log.handle.submit(&mut log.waiting);
        }
    });
}
