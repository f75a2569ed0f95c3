//! The edge that accepts visitors, between its agent, its predecessors and its successor.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::time::Duration;

use stead_model::certificates::{CertificateReport, CertificateTable};
use stead_model::control::{Answer, PROTOCOL, Status, Welcome, Wish};
use stead_model::handover::{Estate, FromNew, FromOld, Pending, Report};
use stead_model::htpasswd;
use stead_model::messages::{EdgeCommand, EdgeEvent, HttpChallenges};
use stead_model::routing::{InstanceId, RoutingTable};
use tokio::net::UnixListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use super::ledger::{Ledger, Party, instances};
use super::predecessors::Predecessors;
use super::socket::{self, Client, Porch};
use super::successor::{self, Candidate, Successor};
use super::wire::Wire;
use super::{Role, Stop, TICK, kept};
use crate::Edge;

/// A predecessor must take a table within this time, else it counts as using every instance it had.
const FOLLOWING: Duration = Duration::from_secs(5);
/// A successor that was ready must serve within this time.
const TAKING: Duration = Duration::from_secs(10);
/// Edges that drain at the same time. Each costs a process; another upgrade is refused until one has ended.
const MOST_PREDECESSORS: usize = 32;

/// Everything that the edge which serves holds.
pub(super) struct Serving {
    pub(super) role: Role,
    pub(super) edge: Edge,
    pub(super) events: UnboundedReceiver<EdgeEvent>,
    /// Copies of the listening sockets, to pass on.
    pub(super) visitors: Vec<TcpListener>,
    pub(super) control: UnixListener,
    pub(super) table: Option<RoutingTable>,
    pub(super) certificates: Option<CertificateTable>,
    /// What certificate authorities are answered.
    pub(super) challenges: Option<HttpChallenges>,
    pub(super) ledger: Ledger,
    pub(super) agent: Option<Wire>,
    pub(super) predecessors: Predecessors,
    clients: (UnboundedSender<Client>, UnboundedReceiver<Client>),
    publishing: Option<Publishing>,
    upgrade: Option<Upgrade>,
    began: Instant,
}

/// A table on its way into force.
struct Publishing {
    table: RoutingTable,
    /// This edge has it in force.
    own: bool,
    /// Predecessors that have not.
    waiting: BTreeSet<Party>,
    deadline: Instant,
}

type Prepared = Result<Successor, Vec<String>>;

/// An upgrade that is going on, and who waits for it.
struct Upgrade {
    client: Wire,
    preparing: Pin<Box<dyn Future<Output = Prepared>>>,
    prepared: Option<Successor>,
}

/// Why the edge serves no longer.
pub(super) enum End {
    /// It was asked to stop.
    Stopped,
    /// Another one serves; over the connection it is told how far this one is.
    Replaced(Wire),
}

impl Serving {
    #[expect(
        clippy::too_many_arguments,
        reason = "what a fresh edge has, or is left"
    )]
    pub(super) fn new(
        role: Role,
        edge: Edge,
        events: UnboundedReceiver<EdgeEvent>,
        visitors: Vec<TcpListener>,
        control: UnixListener,
        table: Option<RoutingTable>,
        certificates: Option<CertificateTable>,
        agent: Option<Wire>,
        predecessors: Predecessors,
    ) -> Self {
        let mut ledger = Ledger::default();
        if let Some(table) = &table {
            let _ = ledger.table(table);
            ledger.hold(own(), instances(table));
        }
        Self {
            role,
            edge,
            events,
            visitors,
            control,
            table,
            certificates,
            challenges: None,
            ledger,
            agent,
            predecessors,
            clients: unbounded_channel(),
            publishing: None,
            upgrade: None,
            began: Instant::now(),
        }
    }

    /// Serve until stopped or replaced.
    pub(super) async fn run(&mut self, stop: &mut Stop) -> End {
        let porch = Porch::new();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.share();
        loop {
            let following = self
                .publishing
                .as_ref()
                .map(|publishing| publishing.deadline);
            tokio::select! {
                () = stop.asked() => return End::Stopped,
                Some(event) = self.events.recv() => self.happened(event),
                (pid, said) = self.predecessors.next() => self.said(pid, said),
                line = next_line(&mut self.agent, self.publishing.is_some()) => self.asked(line),
                Some(client) = self.clients.1.recv() => self.wished(client),
                prepared = prepared(&mut self.upgrade) => {
                    if let Some(successor) = self.prepared(prepared) {
                        self.upgrade_with(|upgrade| upgrade.prepared = Some(successor));
                    }
                }
                accepted = porch.accept(&self.control) => match accepted {
                    Ok((stream, place)) => {
                        let clients = self.clients.0.clone();
                        tokio::spawn(socket::greet(stream, clients, place));
                    }
                    // No descriptors are left; visitors have them.
                    Err(_) => tokio::time::sleep(TICK).await,
                },
                () = at(following) => self.give_up_following(),
                _ = tick.tick(), if !self.predecessors.0.is_empty() => self.share(),
            }
            if self.publishing.is_none()
                && let Some(mut upgrade) =
                    self.upgrade.take_if(|upgrade| upgrade.prepared.is_some())
                && let Some(successor) = upgrade.prepared.take()
                && let Some(end) = self.hand_over(successor, upgrade.client).await
            {
                return end;
            }
        }
    }

    fn upgrade_with(&mut self, change: impl FnOnce(&mut Upgrade)) {
        if let Some(upgrade) = &mut self.upgrade {
            change(upgrade);
        }
    }

    /// An event of this edge itself.
    fn happened(&mut self, event: EdgeEvent) {
        let mut left = Vec::new();
        match event {
            EdgeEvent::Published { generation } if self.is_publishing(generation) => {
                if let Some(publishing) = &mut self.publishing {
                    publishing.own = true;
                    let table = &publishing.table;
                    if let Some(state) = &self.role.state
                        && let Err(error) = kept::save(state, table)
                    {
                        (self.role.tell)(&format!(
                            "cannot keep the table in `{}`: {error}; after a restart the one before would serve",
                            state.display()
                        ));
                    }
                    self.ledger.hold(own(), instances(table));
                    left = self.ledger.table(table);
                    let message = FromNew::Publish(table.clone());
                    for old in &mut self.predecessors.0 {
                        if self.ledger.is_pinned(old.pid) {
                            continue;
                        }
                        // From now on it may use any of these.
                        self.ledger.hold(old.pid, instances(table));
                        if old.wire.send(&message) {
                            publishing.waiting.insert(old.pid);
                        } else {
                            self.ledger.pin(old.pid);
                        }
                    }
                }
                self.followed();
            }
            EdgeEvent::Refused { generation, .. } if self.is_publishing(generation) => {
                self.publishing = None;
                self.tell_agent(&event);
            }
            EdgeEvent::Drained { instance } => self.drained(own(), instance),
            EdgeEvent::Certificates(report) => {
                self.tell_problems(&report);
                self.tell_agent(&EdgeEvent::Certificates(report));
            }
            EdgeEvent::UsersFile { file, problem } => {
                (self.role.tell)(&htpasswd::report(&file, problem.as_deref()));
                self.tell_agent(&EdgeEvent::UsersFile { file, problem });
            }
            event => self.tell_agent(&event),
        }
        for instance in left {
            self.tell_agent(&EdgeEvent::Drained { instance });
        }
    }

    fn is_publishing(&self, generation: u64) -> bool {
        let publishing = self.publishing.as_ref();
        publishing
            .is_some_and(|publishing| !publishing.own && publishing.table.generation == generation)
    }

    /// Something came from a predecessor, or it has ended.
    fn said(&mut self, pid: Party, said: Option<FromOld>) {
        match said {
            None => {
                for instance in self.ledger.gone(pid) {
                    self.tell_agent(&EdgeEvent::Drained { instance });
                }
                self.followed_by(pid);
                self.share();
            }
            Some(FromOld::Event(EdgeEvent::Published { generation })) => {
                let held = self
                    .publishing
                    .as_ref()
                    .filter(|publishing| publishing.table.generation == generation)
                    .map(|publishing| instances(&publishing.table).collect::<Vec<_>>());
                if let Some(held) = held {
                    self.ledger.hold(pid, held);
                    self.followed_by(pid);
                }
            }
            Some(FromOld::Event(EdgeEvent::Refused { .. })) => {
                self.ledger.pin(pid);
                self.followed_by(pid);
            }
            Some(FromOld::Event(EdgeEvent::Drained { instance })) => self.drained(pid, instance),
            Some(FromOld::Event(
                EdgeEvent::Probed { .. } | EdgeEvent::Certificates(_) | EdgeEvent::UsersFile { .. },
            )) => {}
            Some(FromOld::Event(event)) => self.tell_agent(&event),
            Some(FromOld::Report(report)) => {
                let mut olds = self.predecessors.0.iter_mut();
                if let Some(old) = olds.find(|old| old.pid == pid) {
                    old.report = report;
                }
                self.share();
            }
            Some(FromOld::Hello { .. } | FromOld::Take(_) | FromOld::Go) => {}
        }
    }

    fn drained(&mut self, party: Party, instance: InstanceId) {
        if self.ledger.drained(party, instance) {
            self.tell_agent(&EdgeEvent::Drained { instance });
        }
    }

    fn followed_by(&mut self, pid: Party) {
        if let Some(publishing) = &mut self.publishing {
            publishing.waiting.remove(&pid);
        }
        self.followed();
    }

    /// Whether the table is in force everywhere.
    fn followed(&mut self) {
        let done = |publishing: &mut Publishing| publishing.own && publishing.waiting.is_empty();
        if let Some(publishing) = self.publishing.take_if(done) {
            let generation = publishing.table.generation;
            self.table = Some(publishing.table);
            self.tell_agent(&EdgeEvent::Published { generation });
        }
    }

    /// A predecessor does not take the table. What it has, it keeps until its end.
    fn give_up_following(&mut self) {
        if let Some(publishing) = &mut self.publishing {
            for pid in std::mem::take(&mut publishing.waiting) {
                self.ledger.pin(pid);
            }
            publishing.deadline += FOLLOWING;
        }
        self.followed();
    }

    /// All edges learn what the others have at each instance.
    fn share(&mut self) {
        let frugal = self.predecessors.is_any_unsettled();
        self.edge.share(self.predecessors.busy(), frugal);
        self.predecessors.tell_elsewhere(&self.edge.busy());
    }

    /// A line of the agent; `None`: it has gone.
    fn asked(&mut self, line: Option<Vec<u8>>) {
        let Some(line) = line else {
            self.agent = None;
            (self.role.tell)("the agent has gone; the edge serves the table that it has");
            return;
        };
        match serde_json::from_slice(&line) {
            Ok(EdgeCommand::Publish(table)) => {
                self.publishing = Some(Publishing {
                    table: table.clone(),
                    own: false,
                    waiting: BTreeSet::new(),
                    deadline: Instant::now() + FOLLOWING,
                });
                let _ = self.edge.commands.send(EdgeCommand::Publish(table));
            }
            Ok(EdgeCommand::Certificates(table)) => {
                self.keep_certificates(&table);
                self.certificates = Some(table.clone());
                let _ = self.edge.commands.send(EdgeCommand::Certificates(table));
            }
            Ok(EdgeCommand::HttpChallenges(challenges)) => {
                self.challenges = Some(challenges.clone());
                let _ = self
                    .edge
                    .commands
                    .send(EdgeCommand::HttpChallenges(challenges));
            }
            Ok(command) => drop(self.edge.commands.send(command)),
            Err(error) => self.tell_agent(&EdgeEvent::Refused {
                generation: 0,
                why: format!("the edge does not know this command: {error}"),
            }),
        }
    }

    fn keep_certificates(&self, table: &CertificateTable) {
        if let Some(state) = &self.role.state
            && let Err(error) = kept::save(state, table)
        {
            (self.role.tell)(&format!(
                "cannot keep the certificates' places in `{}`: {error}; after a restart those before would be shown",
                state.display()
            ));
        }
    }

    /// What an administrator should know, agent or not.
    pub(super) fn tell_problems(&self, report: &CertificateReport) {
        for problem in &report.problems {
            let now = match problem.serves {
                true => "; visitors are still shown a certificate",
                false => "; no certificate serves in its place",
            };
            (self.role.tell)(&format!(
                "certificate `{}`: {}{now}",
                problem.subject, problem.why
            ));
        }
    }

    /// The same of files that the first table names: what was said while it was put in force, nobody heard.
    pub(super) fn tell_problems_of_files(&self) {
        for problem in self.edge.problems() {
            (self.role.tell)(&problem);
        }
    }

    fn tell_agent(&mut self, event: &EdgeEvent) {
        if let Some(agent) = &mut self.agent
            && !agent.send(event)
        {
            self.agent = None;
            (self.role.tell)("the agent does not read what it is told; it was disconnected");
        }
    }

    fn wished(&mut self, client: Client) {
        let Client { mut wire, wish } = client;
        let answer = match wish {
            Wish::Status => Answer::Status(Box::new(self.status())),
            Wish::Agent => {
                let welcome = Welcome {
                    protocol: PROTOCOL,
                    version: self.role.version.clone(),
                    generation: self.table.as_ref().map(|table| table.generation),
                    leaving: self.ledger.leaving(),
                };
                if wire.send(&Answer::Welcome(welcome)) {
                    self.agent = Some(wire);
                }
                return;
            }
            Wish::Upgrade { binary, within } => match self.refusal() {
                Some(why) => Answer::Refused { causes: vec![why] },
                None => {
                    let candidate = Candidate {
                        binary,
                        arguments: self.role.arguments.clone(),
                        version: self.role.version.clone(),
                        table: self.table.clone(),
                        certificates: self.certificates.clone(),
                        within,
                    };
                    self.upgrade = Some(Upgrade {
                        client: wire,
                        preparing: Box::pin(successor::prepare(candidate)),
                        prepared: None,
                    });
                    return;
                }
            },
        };
        tokio::spawn(async move { socket::answer(wire, &answer).await });
    }

    /// Why no upgrade can begin.
    fn refusal(&self) -> Option<String> {
        if self.upgrade.is_some() {
            return Some("another upgrade is going on".to_owned());
        }
        let draining = self.predecessors.0.len();
        (draining >= MOST_PREDECESSORS)
            .then(|| format!("{draining} edges that were replaced before have not drained yet"))
    }

    fn status(&self) -> Status {
        let upstreams = self.table.iter().flat_map(|table| table.upstreams.values());
        Status {
            pid: own(),
            version: self.role.version.clone(),
            serving_seconds: self.began.elapsed().as_secs(),
            listens: self.edge.addresses.clone(),
            listens_tls: self.edge.tls_addresses.clone(),
            certificates: self
                .certificates
                .as_ref()
                .map_or(0, |table| table.files.len()),
            generation: self.table.as_ref().map(|table| table.generation),
            routes: self.table.as_ref().map_or(0, |table| table.routes.len()),
            instances: upstreams.map(|upstream| upstream.instances.len()).sum(),
            leaving: self.ledger.leaving(),
            agent: self.agent.is_some(),
            connections: self.edge.connections(),
            requests: self.edge.busy().iter().map(|(_, count)| count).sum(),
            problems: self.edge.problems(),
            draining: self.predecessors.shown(),
        }
    }

    /// A candidate is ready, or it failed, which whoever asked for it is told.
    fn prepared(&mut self, prepared: Prepared) -> Option<Successor> {
        match prepared {
            Ok(successor) => Some(successor),
            Err(causes) => {
                if let Some(upgrade) = self.upgrade.take() {
                    self.refuse(upgrade.client, causes);
                }
                None
            }
        }
    }

    fn refuse(&self, client: Wire, causes: Vec<String>) {
        (self.role.tell)(&format!("not upgraded: {}", causes.join(": ")));
        tokio::spawn(async move { socket::answer(client, &Answer::Refused { causes }).await });
    }

    /// Leave everything to the successor. `None`: it failed, and this edge goes on.
    async fn hand_over(&mut self, mut successor: Successor, client: Wire) -> Option<End> {
        match tokio::time::timeout(TAKING, self.pass_on(&mut successor.wire)).await {
            Ok(Ok(())) => {}
            failed => {
                let why = match failed {
                    Ok(Err(why)) => why,
                    _ => format!("it was ready, but did not serve within {TAKING:?}"),
                };
                successor.kill().await;
                self.refuse(client, vec!["the new edge failed".to_owned(), why]);
                return None;
            }
        }
        let (pid, version) = (successor.pid, successor.version.clone());
        // The service manager must know before this program ends.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::MainPid(pid)]);
        let mut wire = successor.keep();
        let _ = wire.send(&FromOld::Go);
        let _ = wire.flush().await;
        (self.role.tell)(&format!("stead {version} serves now, as process {pid}"));
        let answer = Answer::Upgraded {
            pid,
            version,
            previous: own(),
        };
        // At once: without visitors this program ends in a moment.
        socket::answer(client, &answer).await;
        Some(End::Replaced(wire))
    }

    async fn pass_on(&mut self, wire: &mut Wire) -> Result<(), String> {
        let own = stead_model::handover::Predecessor {
            pid: own(),
            version: self.role.version.clone(),
            holds: self.ledger.held(own()),
            pinned: false,
            report: Report {
                busy: self.edge.busy(),
                connections: self.edge.connections(),
                settled: false,
            },
            pending: Pending::default(),
        };
        let older = self.predecessors.0.iter().map(|old| old.left(&self.ledger));
        let estate = Estate {
            table: self.table.clone(),
            certificates: self.certificates.clone(),
            challenges: self.challenges.clone(),
            tls_listeners: self.edge.tls_listeners(),
            listeners: self.visitors.len(),
            agent: self.agent.as_ref().map(Wire::pending),
            predecessors: std::iter::once(own).chain(older).collect(),
        };
        let mut passed: Vec<_> = self.visitors.iter().map(AsFd::as_fd).collect();
        passed.push(self.control.as_fd());
        passed.extend(self.agent.as_ref().map(AsFd::as_fd));
        passed.extend(self.predecessors.0.iter().map(|old| old.wire.as_fd()));
        let broken = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::BrokenPipe => {
                "it was ready, and ended before it served".to_owned()
            }
            _ => error.to_string(),
        };
        let _ = wire.send(&FromOld::Take(Box::new(estate)));
        wire.flush_with(&passed).await.map_err(broken)?;
        match wire.receive().await.map_err(broken)? {
            FromNew::Serving => Ok(()),
            FromNew::Refused { why } => Err(why),
            _ => Err("it answered something else than asked".to_owned()),
        }
    }

    /// What whoever is still waiting is told when this edge serves no longer.
    pub(super) fn dismiss(&mut self) {
        while let Ok(client) = self.clients.1.try_recv() {
            let causes = vec!["the edge was replaced meanwhile".to_owned()];
            let answer = Answer::Refused { causes };
            tokio::spawn(async move { socket::answer(client.wire, &answer).await });
        }
    }
}

/// This program as a party.
pub(super) fn own() -> Party {
    std::process::id()
}

/// The agent's next line, while what is for it is written. While a table is on its way, the next one waits.
async fn next_line(agent: &mut Option<Wire>, busy: bool) -> Option<Vec<u8>> {
    let Some(wire) = agent else {
        return std::future::pending().await;
    };
    let line = std::future::poll_fn(|context| {
        if let std::task::Poll::Ready(Err(_)) = wire.poll_flush(context) {
            return std::task::Poll::Ready(Ok(None));
        }
        match busy {
            true => std::task::Poll::Pending,
            false => wire.poll_line(context),
        }
    });
    line.await.ok().flatten()
}

async fn prepared(upgrade: &mut Option<Upgrade>) -> Prepared {
    match upgrade {
        Some(upgrade) if upgrade.prepared.is_none() => upgrade.preparing.as_mut().await,
        _ => std::future::pending().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
