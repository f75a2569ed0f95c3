//! The edge as a program of its own: a control socket for the agent, the table kept on disk, and
//! the replacement by a successor. Nothing here is in the way of a visitor: it runs on a thread
//! of its own, and what visitors need is in the memory of the edge's threads.
//!
//! While one edge drains and another serves, they share the instances: each knows how many requests the
//! other has at each, and an instance is reported as drained when both have said so (`ledger`).

mod kept;
mod ledger;
mod predecessors;
mod question;
mod retired;
mod serving;
mod socket;
mod successor;
pub(crate) mod wire;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use stead_model::certificates::{CertificateReport, CertificateTable};
use stead_model::handover::{Estate, FromNew, FromOld, PROTOCOL, Pending};
use stead_model::messages::{EdgeCommand, EdgeEvent, HttpChallenges};
use stead_model::routing::RoutingTable;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use self::predecessors::{Old, Predecessors};
use self::serving::{End, Serving};
use self::wire::Wire;
use crate::{Edge, Settings};

pub use self::question::{Unanswered, ask};
pub use self::successor::TAKE_OVER;

/// How often edges that run at the same time tell each other what they have at each instance.
const TICK: Duration = Duration::from_millis(25);

/// How the edge is as a program.
pub struct Role {
    /// Towards visitors.
    pub settings: Settings,
    /// Where the control socket is, or is to be.
    pub control: PathBuf,
    /// Where the table is kept; `None`: it is not.
    pub state: Option<PathBuf>,
    /// How long connections may live on when this program stops or is replaced.
    pub drain: Duration,
    /// Of this program.
    pub version: String,
    /// With which a successor is started, before [`TAKE_OVER`].
    pub arguments: Vec<OsString>,
    /// Gets a sentence for the log now and then.
    pub tell: Box<dyn Fn(&str)>,
}

impl std::fmt::Debug for Role {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Role");
        shown
            .field("control", &self.control)
            .finish_non_exhaustive()
    }
}

/// Where the sockets come from.
#[derive(Debug)]
pub enum Sockets {
    /// This is the first edge.
    Own {
        /// Visitors connect here.
        visitors: Listeners,
        /// The agent connects here; `None`: to be made.
        control: Option<UnixListener>,
    },
    /// From an edge that is to be replaced.
    Left(UnixStream),
}

/// Sockets that visitors connect to.
#[derive(Debug, Default)]
pub struct Listeners {
    /// For HTTP as it is.
    pub plain: Vec<TcpListener>,
    /// For HTTP over TLS.
    pub tls: Vec<TcpListener>,
}

/// Why the edge does not run.
#[derive(Debug)]
pub struct Failure {
    /// The act, for a person.
    pub act: String,
    /// Why.
    pub cause: String,
}

fn failure(act: impl Into<String>, cause: impl ToString) -> Failure {
    Failure {
        act: act.into(),
        cause: cause.to_string(),
    }
}

/// Run until stopped, or replaced and drained. Returns how many connections were cut.
pub async fn run(role: Role, sockets: Sockets) -> Result<usize, Failure> {
    let mut stop = Stop::listen().map_err(|error| failure("cannot listen to signals", error))?;
    let drain = role.drain;
    let mut serving = match sockets {
        Sockets::Own { visitors, control } => begin(role, visitors, control).await?,
        Sockets::Left(old) => take_over(role, old).await?,
    };
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let end = serving.run(&mut stop).await;
    let deadline = Instant::now() + drain;
    serving.dismiss();
    let Serving { edge, events, .. } = serving;
    match end {
        End::Replaced(successor) => {
            Ok(retired::drain(edge, events, successor, &mut stop, deadline).await)
        }
        End::Stopped => {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
            // The control socket stays in the file system: it may be systemd's, and the next edge takes its name.
            tokio::select! {
                cut = edge.drain(deadline.into()) => Ok(cut),
                () = stop.asked() => Ok(0),
            }
        }
    }
}

/// The first edge: its table is the kept one.
async fn begin(
    role: Role,
    visitors: Listeners,
    control: Option<UnixListener>,
) -> Result<Serving, Failure> {
    let control = match control {
        Some(control) => control,
        None => socket::bind(&role.control).map_err(|error| {
            let act = format!(
                "cannot open the control socket `{}`",
                role.control.display()
            );
            failure(act, error)
        })?,
    };
    let certificates = match role.state.as_deref().map(kept::load) {
        Some(Ok(table)) => table,
        Some(Err(why)) => {
            (role.tell)(&format!("{why}; there is no TLS until an agent comes"));
            None
        }
        None => None,
    };
    let kept = match role.state.as_deref().map(kept::load) {
        Some(Ok(table)) => table,
        // The agent can still send a good one.
        Some(Err(why)) => {
            (role.tell)(&format!("{why}; visitors get 421 until an agent comes"));
            None
        }
        None => None,
    };
    let (mut edge, mut events) = start(&role)?;
    let report = take_in(&edge, &mut events, certificates.as_ref()).await;
    let table = match kept {
        None => None,
        Some(table) => match put_in_force(&edge, &mut events, &table).await {
            Ok(()) => Some(table),
            Err(why) => {
                (role.tell)(&format!("the kept table is refused: {why}"));
                None
            }
        },
    };
    show_metrics(&mut edge, &role)?;
    let copies = listen(&mut edge, visitors)?;
    let control = adopt(control)?;
    let none = Predecessors::default();
    let serving = Serving::new(
        role,
        edge,
        events,
        copies,
        control,
        table,
        certificates,
        None,
        none,
    );
    serving.tell_problems(&report);
    serving.tell_problems_of_files();
    Ok(serving)
}

/// A successor: everything comes over the connection. An error is told there too, if it still can be.
async fn take_over(role: Role, old: UnixStream) -> Result<Serving, Failure> {
    let act = "cannot take over from the edge that runs";
    let wire = old.set_nonblocking(true);
    let wire = wire.and_then(|()| tokio::net::UnixStream::from_std(old));
    let wire = wire.map_err(|error| failure(act, error))?;
    let mut wire = Wire::new(wire, Pending::default(), true);
    match receive_estate(&role, &mut wire).await {
        Ok((mut edge, events, mut estate, mut passed)) => {
            let sockets =
                Passed::sort(&estate, &mut passed).map_err(|error| failure(act, error))?;
            let predecessors = Predecessors(
                estate
                    .predecessors
                    .drain(..)
                    .zip(std::iter::once(wire).chain(sockets.predecessors))
                    .map(|(left, wire)| Old::new(left, wire))
                    .collect(),
            );
            // What the others have counts before the first visitor comes.
            edge.share(predecessors.busy(), true);
            show_metrics(&mut edge, &role)?;
            let copies = listen(&mut edge, sockets.visitors)?;
            let mut serving = Serving::new(
                role,
                edge,
                events,
                copies,
                sockets.control,
                estate.table,
                estate.certificates,
                sockets.agent,
                predecessors,
            );
            serving.challenges = estate.challenges;
            for (holds, pinned, pid) in sockets.holds {
                serving.ledger.hold(pid, holds);
                if pinned {
                    serving.ledger.pin(pid);
                }
            }
            settle(&mut serving).await;
            Ok(serving)
        }
        Err(why) => {
            let _ = wire.send(&FromNew::Refused { why: why.clone() });
            let _ = wire.flush().await;
            Err(failure(act, why))
        }
    }
}

/// Say that visitors are served, and wait until the agent may be. An old edge that has died since does not
/// matter any more: all that it had is here.
async fn settle(serving: &mut Serving) {
    if let Some(old) = serving.predecessors.0.first_mut() {
        let _ = old.wire.send(&FromNew::Serving);
        let _ = old.wire.flush().await;
        while let Ok(message) = old.wire.receive().await {
            if matches!(message, FromOld::Go) {
                return;
            }
        }
    }
}

type Received = (
    Edge,
    UnboundedReceiver<EdgeEvent>,
    Estate,
    VecDeque<OwnedFd>,
);

async fn receive_estate(role: &Role, wire: &mut Wire) -> Result<Received, String> {
    let gone = |error: io::Error| format!("the old edge said nothing that is known here: {error}");
    let (protocol, version, table, certificates) = match wire.receive().await.map_err(gone)? {
        FromOld::Hello {
            protocol,
            version,
            table,
            certificates,
        } => (protocol, version, table, certificates),
        _ => return Err("the old edge did not begin with its version".to_owned()),
    };
    if protocol != PROTOCOL {
        let own = &role.version;
        return Err(format!(
            "stead {version} hands over in version {protocol}, stead {own} takes over in version {PROTOCOL}"
        ));
    }
    let (edge, mut events) = start(role).map_err(|failure| failure.cause)?;
    let _ = take_in(&edge, &mut events, certificates.as_ref()).await;
    if let Some(table) = &table {
        let refused = |why| format!("stead {} refuses the table in force: {why}", role.version);
        put_in_force(&edge, &mut events, table)
            .await
            .map_err(refused)?;
    }
    let ready = FromNew::Ready {
        protocol: PROTOCOL,
        version: role.version.clone(),
        pid: serving::own(),
    };
    let _ = wire.send(&ready);
    wire.flush().await.map_err(gone)?;
    let FromOld::Take(estate) = wire.receive().await.map_err(gone)? else {
        return Err("the old edge did not say what to take".to_owned());
    };
    if let Some(newer) = estate
        .table
        .as_ref()
        .filter(|newer| table.as_ref() != Some(newer))
    {
        let refused = |why| format!("stead {} refuses the table in force: {why}", role.version);
        put_in_force(&edge, &mut events, newer)
            .await
            .map_err(refused)?;
    }
    if estate.certificates != certificates {
        let _ = take_in(&edge, &mut events, estate.certificates.as_ref()).await;
    }
    if let Some(challenges) = &estate.challenges {
        answer(&edge, &mut events, challenges).await;
    }
    let passed = std::mem::take(&mut wire.descriptors);
    Ok((edge, events, *estate, passed))
}

/// The descriptors of an estate, each as what it is.
struct Passed {
    visitors: Listeners,
    control: tokio::net::UnixListener,
    agent: Option<Wire>,
    predecessors: Vec<Wire>,
    holds: Vec<(Vec<stead_model::routing::InstanceId>, bool, ledger::Party)>,
}

impl Passed {
    fn sort(estate: &Estate, passed: &mut VecDeque<OwnedFd>) -> io::Result<Self> {
        let mut next = || {
            passed
                .pop_front()
                .ok_or_else(|| io::Error::other("the old edge passed too few sockets"))
        };
        let visitors = (0..estate.listeners).map(|_| next().map(TcpListener::from));
        let mut plain = visitors.collect::<io::Result<Vec<_>>>()?;
        let tls = plain.split_off(plain.len().saturating_sub(estate.tls_listeners));
        let visitors = Listeners { plain, tls };
        let control = adopt_raw(UnixListener::from(next()?))?;
        let mut wire = |pending: &Pending, trusted| {
            let stream = UnixStream::from(next()?);
            stream.set_nonblocking(true)?;
            let stream = tokio::net::UnixStream::from_std(stream)?;
            io::Result::Ok(Wire::new(stream, pending.clone(), trusted))
        };
        let agent = estate.agent.as_ref().map(|pending| wire(pending, false));
        let agent = agent.transpose()?;
        let older = estate.predecessors.iter().skip(1);
        let predecessors = older.map(|old| wire(&old.pending, false));
        let predecessors = predecessors.collect::<io::Result<Vec<_>>>()?;
        let all = estate.predecessors.iter();
        let holds = all.map(|old| (old.holds.clone(), old.pinned, old.pid));
        Ok(Self {
            visitors,
            control,
            agent,
            predecessors,
            holds: holds.collect(),
        })
    }
}

fn start(role: &Role) -> Result<(Edge, UnboundedReceiver<EdgeEvent>), Failure> {
    let settings = Settings {
        metrics: None,
        ..role.settings.clone()
    };
    crate::start(settings, Vec::new()).map_err(|error| failure("cannot start the edge", error))
}

/// Not before this edge is about to serve: one that does not come so far must not take the name from the
/// edge that runs.
fn show_metrics(edge: &mut Edge, role: &Role) -> Result<(), Failure> {
    let Some(path) = &role.settings.metrics else {
        return Ok(());
    };
    edge.show_metrics(path).map_err(|error| {
        let act = format!("cannot answer metrics at `{}`", path.display());
        failure(act, error)
    })
}

/// Accept visitors, and keep copies of the sockets to pass on, those for TLS last.
fn listen(edge: &mut Edge, visitors: Listeners) -> Result<Vec<TcpListener>, Failure> {
    let Listeners { plain, tls } = visitors;
    let copies = plain.iter().chain(&tls).map(TcpListener::try_clone);
    let copies = copies.collect::<io::Result<Vec<_>>>();
    copies
        .and_then(|copies| {
            edge.listen(plain)?;
            edge.listen_tls(tls)?;
            Ok(copies)
        })
        .map_err(|error| failure("cannot listen for visitors", error))
}

fn adopt(control: UnixListener) -> Result<tokio::net::UnixListener, Failure> {
    adopt_raw(control).map_err(|error| failure("cannot listen for the agent", error))
}

fn adopt_raw(control: UnixListener) -> io::Result<tokio::net::UnixListener> {
    control.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(control)
}

/// Publish a table and wait until it is in force.
async fn put_in_force(
    edge: &Edge,
    events: &mut UnboundedReceiver<EdgeEvent>,
    table: &RoutingTable,
) -> Result<(), String> {
    let _ = edge.commands.send(EdgeCommand::Publish(table.clone()));
    while let Some(event) = events.recv().await {
        match event {
            EdgeEvent::Published { .. } => return Ok(()),
            EdgeEvent::Refused { why, .. } => return Err(why),
            _ => {}
        }
    }
    Err("the edge has ended".to_owned())
}

/// Answer authorities, and wait until that is so.
async fn answer(
    edge: &Edge,
    events: &mut UnboundedReceiver<EdgeEvent>,
    challenges: &HttpChallenges,
) {
    let command = EdgeCommand::HttpChallenges(challenges.clone());
    let _ = edge.commands.send(command);
    while let Some(event) = events.recv().await {
        if let EdgeEvent::Answering { .. } = event {
            return;
        }
    }
}

/// Have certificates taken in, and wait until they are.
async fn take_in(
    edge: &Edge,
    events: &mut UnboundedReceiver<EdgeEvent>,
    certificates: Option<&CertificateTable>,
) -> CertificateReport {
    let Some(certificates) = certificates else {
        return CertificateReport::default();
    };
    let command = EdgeCommand::Certificates(certificates.clone());
    let _ = edge.commands.send(command);
    while let Some(event) = events.recv().await {
        if let EdgeEvent::Certificates(report) = event {
            return report;
        }
    }
    CertificateReport::default()
}

/// Signals that ask the edge to stop.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
