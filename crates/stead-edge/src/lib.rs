//! The edge accepts visitors and forwards requests. It never decides.
//!
//! Routes arrive as whole [`stead_model::routing::RoutingTable`] values; nothing here edits one.
//! Invariant: no disk is waited for by a thread that serves visitors, but for the files that it serves, and no wait on the agent while a visitor waits.
//!
//! The way of a request: `connection` reads a head (`head`), `answer` finds its route
//! (`router`) and, for an upstream, an instance (`upstream`); `exchange` carries the
//! request there and the response back.

mod answer;
mod ask;
mod body;
mod buffer;
mod challenges;
mod chunked;
mod compress;
mod connection;
pub mod control;
mod date;
mod deadline;
mod entrance;
mod exchange;
mod folder;
mod forward;
mod frames;
#[doc(hidden)]
pub mod fuzzing;
mod head;
mod http2;
mod listen;
mod metrics;
mod page;
mod path;
mod probe;
mod rates;
mod record;
mod response;
mod router;
mod rules;
mod spool;
mod table;
mod tls;
mod transport;
mod tunnel;
mod upkeep;
mod upstream;
mod uwsgi;
mod visitor;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stead_model::certificates::CertificateFiles;
use stead_model::messages::{EdgeCommand, EdgeEvent};
use stead_model::routing::InstanceId;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::challenges::Challenges;
use crate::compress::files::CodedFiles;
use crate::listen::{Inward, Over};
use crate::metrics::Metrics;
use crate::record::Format;
use crate::record::writer::{Handle, Writer};
use crate::rules::users::{Attempts, Complaints};
use crate::spool::Spool;
use crate::table::Tables;
use crate::tls::Certificates;

/// How the edge behaves towards visitors.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads, each with its own runtime. 0: as many as measured best for this machine.
    pub threads: usize,
    /// From the first byte of a request (or the connection) to the end of its head.
    pub header_timeout: Duration,
    /// Between two requests of one connection.
    pub idle_timeout: Duration,
    /// Longest pause within a request's body, or within the reading of a response.
    pub stall_timeout: Duration,
    /// Where access lines go.
    pub access_log: Option<PathBuf>,
    /// JSON lines instead of the combined format.
    pub access_json: bool,
    /// At so many bytes the access log is renamed to `<path>.1`, whose former content is lost.
    pub access_log_size: u64,
    /// A directory for large bodies of slow visitors, until they are whole; `None`: instances wait for such visitors.
    pub spool: Option<PathBuf>,
    /// Most bytes of all bodies in `spool` together. More are answered 503.
    pub spool_limit: u64,
    /// A unix socket at which metrics are asked for, over HTTP; `None`: they are not.
    pub metrics: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: 0,
            header_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(60),
            access_log: None,
            access_json: false,
            access_log_size: 64 << 20,
            spool: None,
            spool_limit: 4 << 30,
            metrics: None,
        }
    }
}

/// A running edge. Dropping it stops it at once.
#[derive(Debug)]
pub struct Edge {
    /// To the edge.
    pub commands: UnboundedSender<EdgeCommand>,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// Where it listens for TLS.
    pub tls_addresses: Vec<SocketAddr>,
    inward: UnboundedSender<Inward>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    log: Option<Writer>,
    metrics: Option<metrics::socket::Socket>,
}

/// What all threads of an edge share.
#[derive(Debug)]
pub(crate) struct Shared {
    settings: Settings,
    tables: Tables,
    challenges: Challenges,
    certificates: Certificates,
    /// Where visitors come over TLS; 0: nowhere.
    tls_port: AtomicU16,
    /// Passwords that are being checked.
    attempts: Attempts,
    /// What is wrong with files of users.
    complaints: Complaints,
    coded: CodedFiles,
    metrics: Arc<Metrics>,
    /// How many connections each address has.
    crowd: Arc<entrance::crowd::Crowd>,
    /// How many requests each address sends to routes that have a limit.
    rates: rates::Rates,
    events: UnboundedSender<EdgeEvent>,
    /// No further request is read from any connection.
    draining: AtomicBool,
    /// While draining, idle connections stay until they have sent one more request: to close one of them may
    /// cross with a request that is on its way.
    patient: AtomicBool,
    /// Wakes idle connections when draining begins. They end, unless the edge is patient.
    closing: Notify,
    /// Stops the threads.
    stopping: AtomicBool,
    stop: Notify,
    /// Connections of visitors.
    connections: AtomicUsize,
    /// Bytes of request bodies that are coming in and wait here until they are whole.
    body_bytes: AtomicUsize,
    spool: Option<Arc<Spool>>,
    /// Tells that the last connection has ended.
    quiet: Notify,
    /// A way into the access log; taken away when the edge ends.
    log: Mutex<Option<Handle>>,
}

impl Shared {
    async fn stopped(&self) {
        let notified = self.stop.notified();
        if !self.stopping.load(Ordering::Acquire) {
            notified.await;
        }
    }
}

/// Whether a certificate can be shown: both files are whole, and belong together. The error is for a person.
pub fn check_certificate(files: &CertificateFiles) -> Result<(), String> {
    tls::pair::read(files).map(drop)
}

/// Start the edge on listening sockets.
pub fn start(
    settings: Settings,
    listeners: Vec<TcpListener>,
) -> io::Result<(Edge, UnboundedReceiver<EdgeEvent>)> {
    let (commands, command_receiver) = tokio::sync::mpsc::unbounded_channel();
    let (events, event_receiver) = tokio::sync::mpsc::unbounded_channel();
    let (inward, inward_receiver) = tokio::sync::mpsc::unbounded_channel();
    let format = if settings.access_json {
        Format::Json
    } else {
        Format::Combined
    };
    let log = match &settings.access_log {
        Some(path) => Some(Writer::start(
            path.clone(),
            format,
            settings.access_log_size,
        )?),
        None => None,
    };
    let spool = match &settings.spool {
        Some(directory) => Some(Spool::open(directory, settings.spool_limit)?),
        None => None,
    };
    let metrics = Arc::new(Metrics::new(listen::threads(&settings)));
    let shared = Arc::new(Shared {
        log: Mutex::new(log.as_ref().map(Writer::handle)),
        tables: Tables::new(&settings, events.clone(), Arc::clone(&metrics))
            .map_err(io::Error::other)?,
        settings,
        challenges: Challenges::default(),
        certificates: Certificates::new().map_err(io::Error::other)?,
        tls_port: AtomicU16::new(0),
        attempts: Attempts::default(),
        complaints: Complaints::new(events.clone()),
        coded: CodedFiles::default(),
        crowd: Arc::default(),
        rates: rates::Rates::default(),
        metrics,
        events,
        draining: AtomicBool::new(false),
        patient: AtomicBool::new(false),
        closing: Notify::new(),
        stopping: AtomicBool::new(false),
        stop: Notify::new(),
        connections: AtomicUsize::new(0),
        body_bytes: AtomicUsize::new(0),
        spool,
        quiet: Notify::new(),
    });
    // Before the threads: when this fails, nothing has to be stopped.
    let metrics = shared.settings.metrics.as_deref();
    let metrics = metrics.map(|path| metrics::socket::Socket::start(&shared, path));
    let metrics = metrics.transpose()?;
    let threads = listen::start(&shared, command_receiver, inward_receiver).inspect_err(|_| {
        shared.stopping.store(true, Ordering::Release);
        shared.stop.notify_waiters();
    })?;
    let mut edge = Edge {
        commands,
        addresses: Vec::new(),
        tls_addresses: Vec::new(),
        inward,
        shared,
        threads,
        log,
        metrics,
    };
    edge.listen(listeners)?;
    Ok((edge, event_receiver))
}

impl Edge {
    /// Accept visitors from these sockets too.
    pub fn listen(&mut self, listeners: Vec<TcpListener>) -> io::Result<()> {
        for listener in &listeners {
            listen::prepare(listener)?;
            self.addresses.push(listener.local_addr()?);
        }
        let _ = self.inward.send(Inward::Listen(listeners, Over::Plain));
        Ok(())
    }

    /// Accept visitors who come over TLS from these. Whom no certificate is for is refused.
    pub fn listen_tls(&mut self, listeners: Vec<TcpListener>) -> io::Result<()> {
        for listener in &listeners {
            listen::prepare(listener)?;
            let address = listener.local_addr()?;
            let _ = self.shared.tls_port.compare_exchange(
                0,
                address.port(),
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            self.tls_addresses.push(address);
        }
        let _ = self.inward.send(Inward::Listen(listeners, Over::Tls));
        Ok(())
    }

    /// How many sockets are for TLS.
    pub(crate) fn tls_listeners(&self) -> usize {
        self.tls_addresses.len()
    }

    /// Answer metrics at this unix socket, too, if `Settings` named none. Another edge that has the name loses it.
    fn show_metrics(&mut self, path: &Path) -> io::Result<()> {
        debug_assert!(self.metrics.is_none());
        self.metrics = Some(metrics::socket::Socket::start(&self.shared, path)?);
        Ok(())
    }

    /// Accept nobody any more, close idle connections, let requests in flight end; then return.
    /// At `deadline` the rest is cut; the return value is how many that were.
    pub async fn drain(self, deadline: Instant) -> usize {
        self.close_idle();
        let _ = tokio::time::timeout_at(deadline.into(), self.quiet()).await;
        self.shared.connections.load(Ordering::Acquire)
    }

    /// Accept nobody any more: another edge has the same sockets. Each connection is closed after the
    /// response to the request that it carries, or else to its next one.
    pub fn retire(&self) {
        self.shared.patient.store(true, Ordering::Release);
        self.shared.draining.store(true, Ordering::Release);
        self.shared.closing.notify_waiters();
    }

    /// Accept nobody any more, and close idle connections.
    pub fn close_idle(&self) {
        self.shared.draining.store(true, Ordering::Release);
        self.shared.patient.store(false, Ordering::Release);
        self.shared.closing.notify_waiters();
    }

    /// Until no visitor is connected.
    pub async fn quiet(&self) {
        loop {
            let quiet = self.shared.quiet.notified();
            if self.shared.connections.load(Ordering::Acquire) == 0 {
                return;
            }
            quiet.await;
        }
    }

    /// Another edge forwards to the same instances: how many requests it has at each, which count
    /// against their capacity. `frugal`: keep no idle connection, since that would hold a thread which the
    /// other edge may want.
    pub fn share(&self, elsewhere: Vec<(InstanceId, u32)>, frugal: bool) {
        let _ = self.inward.send(Inward::Share { elsewhere, frugal });
    }

    /// Requests in flight at each instance that has any, upgraded connections included.
    pub fn busy(&self) -> Vec<(InstanceId, u32)> {
        self.shared.tables.busy()
    }

    /// What is wrong with files that the table names, a sentence each.
    pub fn problems(&self) -> Vec<String> {
        self.shared.complaints.all()
    }

    /// Visitors' connections at this moment.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.draining.store(true, Ordering::Release);
        self.shared.stop.notify_waiters();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        drop(self.metrics.take());
        // The other handles went with the threads; what they handed over is written before the edge ends.
        drop(self.shared.log.lock().map(|mut handle| handle.take()));
        if let Some(log) = self.log.take() {
            log.close(Duration::from_secs(1));
        }
    }
}
