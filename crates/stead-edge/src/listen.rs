//! The threads of the edge: each has a runtime of its own. The first one accepts visitors, deals
//! them out in turn, and carries out commands.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{SockRef, TcpKeepalive};
use stead_model::certificates::CertificateReport;
use stead_model::messages::{EdgeCommand, EdgeEvent};
use stead_model::routing::{InstanceId, RoutingTable};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::rules::users::Users;
use crate::transport::Socket;
use crate::{Settings, Shared, ask, connection, probe, tls, upkeep};

/// Stack of a thread, bytes. Nothing recurses.
const STACK: usize = 512 * 1024;
/// Pause after accepting failed for want of descriptors; those who are served meanwhile free some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A connection on which nothing comes is checked after this time.
const ALIVE: Duration = Duration::from_secs(60);
/// When the memory of a table that was replaced is looked at; most requests have ended by then.
const FORGET_TABLE: Duration = Duration::from_secs(5);
/// How long the thread that builds tables waits for the next one. Practically for ever: when an app has taken the last
/// process that the user may have, a new thread could not be had, and no table be put in force.
const KEEP_THREADS: Duration = Duration::from_secs(365 * 24 * 3600);

/// What visitors of a listening socket speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// HTTP as it is.
    Plain,
    /// HTTP over TLS.
    Tls,
}

/// Where a visitor came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) over: Over,
    pub(crate) port: u16,
}

type Visitor = (TcpStream, SocketAddr, Place, Counted);

/// So many visitors are accepted before those who are there have their turn.
const ACCEPTED_AT_ONCE: usize = 32;

/// What the first thread is told by the program that holds the edge.
#[derive(Debug)]
pub(crate) enum Inward {
    /// Accept from these too; they are prepared.
    Listen(Vec<TcpListener>, Over),
    /// See [`crate::Edge::share`].
    Share {
        elsewhere: Vec<(InstanceId, u32)>,
        frugal: bool,
    },
}

/// Start the threads. They end when [`Shared::stop`] is notified.
pub(crate) fn start(
    shared: &Arc<Shared>,
    commands: UnboundedReceiver<EdgeCommand>,
    inward: UnboundedReceiver<Inward>,
) -> io::Result<Vec<JoinHandle<()>>> {
    let count = threads(&shared.settings);
    let mut threads = Vec::with_capacity(count);
    let mut others: Vec<UnboundedSender<Visitor>> = Vec::new();
    for number in 2..=count {
        let (sender, receiver) = unbounded_channel();
        others.push(sender);
        threads.push(thread(number, shared, move |shared| async move {
            serve_dealt(shared, receiver).await
        })?);
    }
    threads.push(thread(1, shared, move |shared| async move {
        tokio::join!(
            obey(Arc::clone(&shared), commands),
            take_in(shared, inward, others.into())
        );
    })?);
    Ok(threads)
}

/// How many threads serve visitors.
pub(crate) fn threads(settings: &Settings) -> usize {
    match settings.threads {
        0 => default_threads(),
        count => count,
    }
}

/// How accepted sockets are to be; they inherit it.
pub(crate) fn prepare(listener: &TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    // Responses are written whole: waiting for more only delays them.
    let socket = SockRef::from(listener);
    socket.set_tcp_nodelay(true)?;
    // A visitor who vanished says nothing; a stream or an upgraded connection would wait for ever.
    let alive = TcpKeepalive::new()
        .with_time(ALIVE)
        .with_interval(ALIVE / 4);
    socket.set_tcp_keepalive(&alive.with_retries(4))
}

async fn take_in(
    shared: Arc<Shared>,
    mut inward: UnboundedReceiver<Inward>,
    others: Arc<[UnboundedSender<Visitor>]>,
) {
    while let Some(inward) = inward.recv().await {
        match inward {
            Inward::Listen(listeners, over) => {
                for listener in listeners {
                    // What was accepted has the listener's own port.
                    let port = listener.local_addr().map_or(80, |address| address.port());
                    let place = Place { over, port };
                    match watch(listener) {
                        Ok(listener) => drop(tokio::spawn(accept(
                            Arc::clone(&shared),
                            listener,
                            place,
                            Arc::clone(&others),
                        ))),
                        Err(error) => tell(&shared, error.to_string()),
                    }
                }
            }
            Inward::Share { elsewhere, frugal } => {
                let elsewhere: HashMap<_, _> = elsewhere.into_iter().collect();
                let sharing = Arc::clone(&shared);
                // It may have to wait for a table that is being built.
                let shared = move || sharing.tables.share(&elsewhere, frugal);
                let _ = tokio::task::spawn_blocking(shared).await;
            }
        }
    }
}

/// One thread serves far more requests than the workers of a small machine produce; more threads
/// cost more CPU for each request. Measured in bench/RESULTS.md.
fn default_threads() -> usize {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    cpus.div_ceil(4).min(8)
}

fn thread<F, Work>(number: usize, shared: &Arc<Shared>, work: F) -> io::Result<JoinHandle<()>>
where
    F: FnOnce(Arc<Shared>) -> Work + Send + 'static,
    Work: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .thread_keep_alive(KEEP_THREADS)
        .build()?;
    let shared = Arc::clone(shared);
    std::thread::Builder::new()
        .name(format!("edge-{number}"))
        .stack_size(STACK)
        .spawn(move || {
            upkeep::begin(&shared, number - 1);
            runtime.block_on(async {
                let work = work(Arc::clone(&shared));
                tokio::select! {
                    () = work => {}
                    () = shared.stopped() => {}
                }
            });
            // Whatever is still in flight is cut here.
            runtime.shutdown_background();
            upkeep::end();
        })
}

async fn serve_dealt(shared: Arc<Shared>, mut visitors: UnboundedReceiver<Visitor>) {
    while let Some(visitor) = visitors.recv().await {
        serve(visitor);
    }
    shared.stopped().await;
}

fn serve((socket, peer, place, counted): Visitor) {
    tokio::spawn(async move {
        let socket = Socket::fresh(socket);
        connection::serve(Arc::clone(&counted.0), socket, peer, place).await;
        drop(counted);
    });
}

/// Counts a connection for as long as it lives.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.connections.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(shared))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.quiet.notify_waiters();
        }
    }
}

/// Let the calling thread's runtime watch a listening socket, which does not block.
#[allow(unsafe_code)]
fn watch(listener: TcpListener) -> io::Result<AsyncFd<TcpListener>> {
    // SAFETY: a `TcpListener` is open and names the same description for as long as it lives, and nobody
    // else closes it.
    unsafe { AsyncFd::register(listener) }.map_err(io::Error::from)
}

async fn accept(
    shared: Arc<Shared>,
    listener: AsyncFd<TcpListener>,
    place: Place,
    others: Arc<[UnboundedSender<Visitor>]>,
) {
    let mut turn = 0;
    loop {
        let closing = shared.closing.notified();
        if shared.draining.load(Ordering::Acquire) {
            return;
        }
        let mut ready = tokio::select! {
            ready = listener.readable() => match ready {
                Ok(ready) => ready,
                // The runtime ends.
                Err(_) => return,
            },
            () = closing => return,
        };
        for _ in 0..ACCEPTED_AT_ONCE {
            match accept_one(listener.get_ref()) {
                Ok((socket, peer)) => {
                    shared.metrics.accepted.fetch_add(1, Ordering::Relaxed);
                    let counted = Counted::new(&shared);
                    let visitor = (socket, peer, place, counted);
                    let to = turn % (others.len() + 1);
                    turn += 1;
                    match others.get(to.wrapping_sub(1)) {
                        None => serve(visitor),
                        Some(other) => drop(other.send(visitor)),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    break;
                }
                Err(error) if is_exhausted(&error) => {
                    shared.metrics.accept_pauses.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    break;
                }
                // The visitor left before it was accepted.
                Err(_) => {}
            }
            if shared.draining.load(Ordering::Acquire) {
                return;
            }
        }
        tokio::task::yield_now().await;
    }
}

/// The next visitor. The socket does not block.
fn accept_one(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (socket, peer) = acceptfrom_with(listener, flags)?;
    let peer = peer.map(SocketAddr::try_from).transpose()?;
    // Of a connection over TCP it is always known.
    let peer = peer.ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok((socket.into(), peer))
}

/// The machine or this program has no descriptors or buffers left.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        code,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

fn tell(shared: &Shared, why: String) {
    let _ = shared
        .events
        .send(EdgeEvent::Refused { generation: 0, why });
}

async fn obey(shared: Arc<Shared>, mut commands: UnboundedReceiver<EdgeCommand>) {
    let mut watched = false;
    while let Some(command) = commands.recv().await {
        match command {
            EdgeCommand::Publish(table) => {
                let event = publish(&shared, table).await;
                let _ = shared.events.send(event);
            }
            EdgeCommand::HttpChallenges(challenges) => {
                let generation = challenges.generation;
                shared.challenges.replace(challenges);
                let _ = shared.events.send(EdgeEvent::Answering { generation });
            }
            EdgeCommand::Ask(question) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let id = question.id;
                    let outcome = ask::run(&shared.tables.current(), &question).await;
                    let _ = shared.events.send(EdgeEvent::Asked { id, outcome });
                });
            }
            EdgeCommand::NotWanted { host, within } => {
                shared.certificates.demand.refuse(&host, within);
            }
            EdgeCommand::Certificates(table) => {
                certificates(&shared, move |shared| {
                    Some(shared.certificates.replace(table))
                })
                .await;
                if !std::mem::replace(&mut watched, true) {
                    tokio::spawn(watch_certificates(Arc::clone(&shared)));
                }
            }
            EdgeCommand::Probe(probe) => {
                let events = shared.events.clone();
                tokio::spawn(async move {
                    let id = probe.id;
                    let outcome = probe::run(&probe).await;
                    let _ = events.send(EdgeEvent::Probed { id, outcome });
                });
            }
        }
    }
    shared.stopped().await;
}

/// Take certificates in, beside the thread that serves visitors, and tell how that went.
async fn certificates(
    shared: &Arc<Shared>,
    take_in: impl FnOnce(&Shared) -> Option<CertificateReport> + Send + 'static,
) {
    let taking = Arc::clone(shared);
    let report = tokio::task::spawn_blocking(move || take_in(&taking)).await;
    if let Ok(Some(report)) = report {
        let _ = shared.events.send(EdgeEvent::Certificates(report));
    }
}

/// Certificates may be replaced on disk by other programs.
async fn watch_certificates(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(tls::LOOKING).await;
        certificates(&shared, |shared| shared.certificates.refresh()).await;
    }
}

/// Put a table in force, beside the thread that serves visitors: building one of ten thousand hosts takes
/// as long as hundreds of requests.
async fn publish(shared: &Arc<Shared>, table: RoutingTable) -> EdgeEvent {
    let generation = table.generation;
    let replacing = Arc::clone(shared);
    let replaced = tokio::task::spawn_blocking(move || {
        replacing.tables.replace(&table, |router| {
            let files: HashSet<_> = router.users().filter_map(Users::complaint).collect();
            for (file, problem) in &files {
                replacing.complaints.tell(file, problem.clone());
            }
            let is_named = |name: &Path| files.iter().any(|(file, _)| *file == name);
            replacing.complaints.keep(is_named);
            let report = replacing.certificates.ask_for(router.client_authorities());
            if let Some(report) = report {
                let _ = replacing.events.send(EdgeEvent::Certificates(report));
            }
        })
    })
    .await;
    let forgetting = Arc::clone(shared);
    tokio::spawn(async move {
        tokio::time::sleep(FORGET_TABLE).await;
        tokio::task::spawn_blocking(move || forgetting.tables.forget_former());
    });
    match replaced {
        Ok(Ok(())) => EdgeEvent::Published { generation },
        Ok(Err(why)) => EdgeEvent::Refused { generation, why },
        Err(_) => EdgeEvent::Refused {
            generation,
            why: "the edge failed while it read the table".to_owned(),
        },
    }
}
