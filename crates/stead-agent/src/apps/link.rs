//! The agent's end of the edge's control socket: one table, made of all apps' parts, and everything that the edge says.
//!
//! The edge serves without us; so a connection that ends is made again for as long as it takes, and the whole table is sent anew: the
//! same table changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

use stead_model::control::{Answer, Hello, LONGEST_LINE, PROTOCOL, Wish};
use stead_model::messages::{EdgeCommand, EdgeEvent, Probe};
use stead_model::routing::{InstanceId, RoutingTable};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// Between two attempts to reach the edge.
const AGAIN: Duration = Duration::from_millis(200);
/// An edge that says nothing to our greeting for so long is asked anew.
const PATIENCE: Duration = Duration::from_secs(10);

/// What apps hear of the edge.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// The edge is reached. Instances that are in no table and not among these have no requests.
    Reached(BTreeSet<InstanceId>),
    /// It said this.
    Said(EdgeEvent),
}

#[derive(Debug)]
enum Request {
    Publish(
        String,
        Option<RoutingTable>,
        oneshot::Sender<Result<(), String>>,
    ),
    Probe(Probe, oneshot::Sender<Result<u16, String>>),
    Hear(UnboundedSender<News>),
    Parts(oneshot::Sender<BTreeMap<String, RoutingTable>>),
    Since(oneshot::Sender<Option<i64>>),
    Command(EdgeCommand),
}

/// The way to the edge. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    requests: UnboundedSender<Request>,
}

impl Link {
    /// Keep a connection to the edge at `socket`, which begins with these parts of the table.
    pub(crate) fn start(socket: PathBuf, parts: BTreeMap<String, RoutingTable>) -> Self {
        let (requests, asked) = unbounded_channel();
        let state = State {
            parts,
            ..State::default()
        };
        tokio::spawn(Box::pin(state.keep(socket, asked)));
        Self { requests }
    }

    /// Replace an app's part; `None`: it has none any more. Returns when the edge has it in force, or why it refused.
    pub(crate) async fn publish(
        &self,
        app: String,
        part: Option<RoutingTable>,
    ) -> Result<(), String> {
        let (answer, outcome) = oneshot::channel();
        let _ = self.requests.send(Request::Publish(app, part, answer));
        outcome
            .await
            .unwrap_or_else(|_| Err("the way to the edge is closed".to_owned()))
    }

    /// Ask an instance through the edge.
    pub(crate) async fn probe(&self, probe: Probe) -> Result<u16, String> {
        let (answer, outcome) = oneshot::channel();
        let _ = self.requests.send(Request::Probe(probe, answer));
        outcome
            .await
            .unwrap_or_else(|_| Err("the edge was replaced meanwhile".to_owned()))
    }

    /// Since when the edge that there is has been serving, seconds since 1970.
    pub(crate) async fn serving_since(&self) -> Option<i64> {
        let (answer, since) = oneshot::channel();
        let _ = self.requests.send(Request::Since(answer));
        since.await.ok().flatten()
    }

    /// Say something about certificates. What is to hold until it is replaced is said again to an edge that begins anew; a question that no
    /// edge hears is not answered.
    pub(crate) fn command(&self, command: EdgeCommand) {
        let _ = self.requests.send(Request::Command(command));
    }

    /// Everything from now on.
    pub(crate) fn hear(&self, news: UnboundedSender<News>) {
        let _ = self.requests.send(Request::Hear(news));
    }

    /// What the edge was told last, by app.
    pub(crate) async fn parts(&self) -> BTreeMap<String, RoutingTable> {
        let (answer, parts) = oneshot::channel();
        let _ = self.requests.send(Request::Parts(answer));
        parts.await.unwrap_or_default()
    }
}

type Published = (
    String,
    Option<RoutingTable>,
    oneshot::Sender<Result<(), String>>,
);

#[derive(Debug, Default)]
struct State {
    parts: BTreeMap<String, RoutingTable>,
    generation: u64,
    /// One is on its way at a time; the part before it, in case it is refused.
    sent: Option<(u64, Published)>,
    waiting: VecDeque<Published>,
    probes: HashMap<u64, oneshot::Sender<Result<u16, String>>>,
    next_probe: u64,
    hearers: Vec<UnboundedSender<News>>,
    /// Instances that were leaving when the edge was reached, and have requests yet.
    leaving: BTreeSet<InstanceId>,
    /// The certificates, and the answers for authorities, that it was given last.
    certificates: Option<EdgeCommand>,
    challenges: Option<EdgeCommand>,
    /// When the edge began to serve, seconds since 1970.
    since: Option<i64>,
    /// Of the connection that there is.
    out: Vec<u8>,
}

impl State {
    async fn keep(mut self, socket: PathBuf, mut asked: UnboundedReceiver<Request>) {
        loop {
            let reached = timeout(PATIENCE, greet(&socket)).await;
            let Ok(Ok((stream, welcome))) = reached else {
                // Who asks meanwhile waits, but for probes.
                while let Ok(request) = asked.try_recv() {
                    self.take(request, false);
                }
                if asked.is_closed() {
                    return;
                }
                sleep(AGAIN).await;
                continue;
            };
            self.generation = self.generation.max(welcome.generation.unwrap_or(0));
            self.out.clear();
            self.since = serving_since(&socket).await;
            self.leaving = welcome.leaving.into_iter().collect();
            self.tell(&News::Reached(self.leaving.clone()));
            if let Some((_, published)) = self.sent.take() {
                self.waiting.push_front(published);
            }
            // An edge that has a table and an agent without apps: nothing is taken from it.
            if !self.parts.is_empty() && self.waiting.is_empty() {
                self.generation += 1;
                let table = self.table();
                self.put(&EdgeCommand::Publish(table));
            }
            let standing = [&self.certificates, &self.challenges];
            for command in standing.map(Clone::clone).into_iter().flatten() {
                self.put(&command);
            }
            self.next();
            if !self.talk(stream, &mut asked).await {
                return;
            }
            self.probes.clear();
        }
    }

    /// Until the connection ends. False: nobody asks any more.
    async fn talk(
        &mut self,
        stream: BufReader<UnixStream>,
        asked: &mut UnboundedReceiver<Request>,
    ) -> bool {
        let buffered = stream.buffer().to_vec();
        let (read, mut write) = stream.into_inner().into_split();
        // What came with the greeting is the beginning of the next line.
        let mut read = BufReader::new(std::io::Cursor::new(buffered).chain(read));
        let mut line = Vec::new();
        loop {
            if !self.out.is_empty() {
                let out = std::mem::take(&mut self.out);
                if write.write_all(&out).await.is_err() {
                    return true;
                }
            }
            tokio::select! {
                // What was read of a line stays in `line` when something else comes first.
                read = read.read_until(b'\n', &mut line) => {
                    if read.is_err() || !line.ends_with(b"\n") || line.len() > LONGEST_LINE {
                        return true;
                    }
                    // An event that this program does not know is passed over.
                    if let Ok(event) = serde_json::from_slice::<EdgeEvent>(&line) {
                        self.said(event);
                    }
                    line.clear();
                }
                request = asked.recv() => match request {
                    Some(request) => self.take(request, true),
                    None => return false,
                }
            }
        }
    }

    fn take(&mut self, request: Request, connected: bool) {
        match request {
            Request::Publish(app, part, answer) => {
                self.waiting.push_back((app, part, answer));
                if connected {
                    self.next();
                }
            }
            Request::Since(answer) => {
                let _ = answer.send(self.since.filter(|_| connected));
            }
            Request::Probe(_, answer) if !connected => {
                let _ = answer.send(Err("the edge is not reached".to_owned()));
            }
            Request::Probe(mut probe, answer) => {
                self.next_probe += 1;
                probe.id = self.next_probe;
                self.probes.insert(probe.id, answer);
                self.put(&EdgeCommand::Probe(probe));
            }
            Request::Hear(news) => {
                if connected {
                    let _ = news.send(News::Reached(self.leaving.clone()));
                }
                self.hearers.push(news);
            }
            Request::Command(command) => {
                if connected {
                    self.put(&command);
                }
                match command {
                    EdgeCommand::Certificates(_) => self.certificates = Some(command),
                    EdgeCommand::HttpChallenges(_) => self.challenges = Some(command),
                    _ => {}
                }
            }
            Request::Parts(answer) => {
                let _ = answer.send(self.parts.clone());
            }
        }
    }

    /// Send the next table, if none is on its way.
    fn next(&mut self) {
        if self.sent.is_some() {
            return;
        }
        let Some((app, part, answer)) = self.waiting.pop_front() else {
            return;
        };
        let before = match part {
            Some(part) => self.parts.insert(app.clone(), part),
            None => self.parts.remove(&app),
        };
        self.generation += 1;
        self.sent = Some((self.generation, (app, before, answer)));
        let table = self.table();
        self.put(&EdgeCommand::Publish(table));
    }

    fn table(&self) -> RoutingTable {
        let mut table = merge(&self.parts);
        table.generation = self.generation;
        table
    }

    fn put(&mut self, command: &EdgeCommand) {
        // Values of our own types always have a form in JSON.
        self.out
            .extend(serde_json::to_vec(command).unwrap_or_default());
        self.out.push(b'\n');
    }

    fn said(&mut self, event: EdgeEvent) {
        match &event {
            EdgeEvent::Published { generation } => {
                if let Some((_, (_, _, answer))) =
                    self.sent.take_if(|(sent, _)| *sent <= *generation)
                {
                    let _ = answer.send(Ok(()));
                }
                self.next();
            }
            EdgeEvent::Refused { generation, why } => {
                if let Some((_, (app, before, answer))) =
                    self.sent.take_if(|(sent, _)| sent == generation)
                {
                    match before {
                        Some(before) => self.parts.insert(app, before),
                        None => self.parts.remove(&app),
                    };
                    let _ = answer.send(Err(why.clone()));
                }
                self.next();
            }
            EdgeEvent::Probed { id, outcome } => {
                if let Some(answer) = self.probes.remove(id) {
                    let _ = answer.send(outcome.clone());
                }
            }
            _ => {
                if let EdgeEvent::Drained { instance } = &event {
                    self.leaving.remove(instance);
                }
                self.tell(&News::Said(event));
            }
        }
    }

    fn tell(&mut self, news: &News) {
        self.hearers
            .retain(|hearer| hearer.send(news.clone()).is_ok());
    }
}

/// When the edge began to serve, as it says itself.
async fn serving_since(socket: &Path) -> Option<i64> {
    let asked = async {
        let (_, answer) = put(socket, Wish::Status).await?;
        std::io::Result::Ok(answer)
    };
    match timeout(PATIENCE, asked).await {
        Ok(Ok(Answer::Status(status))) => {
            let seconds = i64::try_from(status.serving_seconds).ok()?;
            Some(jiff::Timestamp::now().as_second() - seconds)
        }
        _ => None,
    }
}

async fn greet(
    socket: &Path,
) -> std::io::Result<(BufReader<UnixStream>, stead_model::control::Welcome)> {
    match put(socket, Wish::Agent).await? {
        (stream, Answer::Welcome(welcome)) => Ok((stream, welcome)),
        _ => Err(std::io::Error::other("the edge wants no agent")),
    }
}

/// Say what is wanted, over a new connection, and hear the answer.
async fn put(socket: &Path, wish: Wish) -> std::io::Result<(BufReader<UnixStream>, Answer)> {
    let mut stream = BufReader::new(UnixStream::connect(socket).await?);
    let hello = Hello {
        protocol: PROTOCOL,
        wish,
    };
    let mut text = serde_json::to_vec(&hello)?;
    text.push(b'\n');
    stream.write_all(&text).await?;
    let mut line = Vec::new();
    let mut bounded = (&mut stream).take(LONGEST_LINE as u64);
    bounded.read_until(b'\n', &mut line).await?;
    Ok((stream, serde_json::from_slice(&line)?))
}

/// One table of all apps. How visitors come in is said by the first app, by name, that says anything about it.
pub(crate) fn merge(parts: &BTreeMap<String, RoutingTable>) -> RoutingTable {
    let mut table = RoutingTable::default();
    for part in parts.values() {
        table.routes.extend(part.routes.iter().cloned());
        let upstreams = part.upstreams.iter();
        table
            .upstreams
            .extend(upstreams.map(|(name, upstream)| (name.clone(), upstream.clone())));
        if table.edge == stead_model::manifest::Edge::default() {
            table.edge = part.edge.clone();
        }
    }
    table
}

/// A host and path that another app has already, and which app.
pub(crate) fn conflict(
    parts: &BTreeMap<String, RoutingTable>,
    app: &str,
    part: &RoutingTable,
) -> Option<(String, String)> {
    let keys = |table: &RoutingTable| -> BTreeSet<(String, String)> {
        let routes = table.routes.iter();
        routes
            .flat_map(|route| {
                let every = route.hosts.is_empty().then(|| "every host".to_owned());
                let hosts = route.hosts.iter().cloned().chain(every);
                hosts.map(|host| (host, route.path.clone()))
            })
            .collect()
    };
    let own = keys(part);
    parts
        .iter()
        .filter(|(other, _)| *other != app)
        .find_map(|(other, table)| {
            let theirs = keys(table);
            let (host, path) = own.intersection(&theirs).next()?;
            let name = match path.as_str() {
                "/" | "" => host.clone(),
                path => format!("{host}{path}"),
            };
            Some((name, other.clone()))
        })
}

#[cfg(test)]
mod tests;
