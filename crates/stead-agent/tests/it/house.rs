//! What the tests live in: an edge that probes and routes over real sockets, an agent, an app's
//! directory, and waiting for what should come.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stead_agent::{Control, Embedded, Keeper, Report, Stopped};
use stead_model::manifest::{Count, Health};
use stead_model::messages::{EdgeCommand, EdgeEvent};
use stead_model::release::{Listen, ProcessSpec, Protocol, Release, Start};
use stead_model::routing::{Address, InstanceId, Route, RoutingTable, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// Long enough for a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An edge of 100 lines: it probes and forwards over real sockets and counts what is under way.
#[derive(Clone)]
pub(crate) struct Edge(Arc<Mutex<Inside>>);

struct Inside {
    table: RoutingTable,
    /// Every table that was published.
    history: Vec<RoutingTable>,
    busy: BTreeMap<InstanceId, u32>,
    leaving: HashSet<InstanceId>,
    events: UnboundedSender<EdgeEvent>,
    refuse: bool,
    /// The edge's task.
    task: Option<tokio::task::AbortHandle>,
}

impl Edge {
    fn start(
        mut commands: UnboundedReceiver<EdgeCommand>,
        events: UnboundedSender<EdgeEvent>,
    ) -> Self {
        let edge = Self(Arc::new(Mutex::new(Inside {
            table: RoutingTable::default(),
            history: Vec::new(),
            busy: BTreeMap::new(),
            leaving: HashSet::new(),
            events: events.clone(),
            refuse: false,
            task: None,
        })));
        let own = edge.clone();
        let task = tokio::spawn(async move {
            while let Some(command) = commands.recv().await {
                match command {
                    EdgeCommand::Publish(table) => own.publish(table),
                    EdgeCommand::HttpChallenges(_)
                    | EdgeCommand::Ask(_)
                    | EdgeCommand::NotWanted { .. }
                    | EdgeCommand::Certificates(_) => {}
                    EdgeCommand::Probe(probe) => {
                        let events = events.clone();
                        tokio::spawn(async move {
                            let get = get(&probe.address, &probe.host, &probe.path);
                            let outcome = tokio::time::timeout(probe.timeout, get).await;
                            let outcome = match outcome {
                                Ok(Ok((status, _))) => Ok(status),
                                Ok(Err(error)) => Err(error.to_string()),
                                Err(_) => Err("no answer in time".into()),
                            };
                            let _ = events.send(EdgeEvent::Probed {
                                id: probe.id,
                                outcome,
                            });
                        });
                    }
                }
            }
        });
        edge.0.lock().unwrap().task = Some(task.abort_handle());
        edge
    }

    fn publish(&self, table: RoutingTable) {
        let mut inside = self.0.lock().unwrap();
        let generation = table.generation;
        if inside.refuse {
            let why = "the test says so".into();
            let _ = inside.events.send(EdgeEvent::Refused { generation, why });
            return;
        }
        let old: HashSet<_> = ids(&inside.table).collect();
        let new: HashSet<_> = ids(&table).collect();
        inside.history.push(table.clone());
        inside.table = table;
        let _ = inside.events.send(EdgeEvent::Published { generation });
        for instance in old.difference(&new) {
            if inside.busy.get(instance).copied().unwrap_or(0) == 0 {
                let _ = inside.events.send(EdgeEvent::Drained {
                    instance: *instance,
                });
            } else {
                inside.leaving.insert(*instance);
            }
        }
    }

    /// The edge ends, as it does when everything stops.
    pub(crate) fn end(&self) {
        let mut inside = self.0.lock().unwrap();
        inside.events = unbounded_channel().0;
        inside.task.take().unwrap().abort();
    }

    pub(crate) fn refuse_tables(&self, refuse: bool) {
        self.0.lock().unwrap().refuse = refuse;
    }

    pub(crate) fn say(&self, event: EdgeEvent) {
        let _ = self.0.lock().unwrap().events.send(event);
    }

    pub(crate) fn table(&self) -> RoutingTable {
        self.0.lock().unwrap().table.clone()
    }

    pub(crate) fn history(&self) -> Vec<RoutingTable> {
        self.0.lock().unwrap().history.clone()
    }

    /// One visitor's request to `shop.web`; waits while nobody can answer it.
    pub(crate) async fn visit(&self, path: &str) -> Result<(u16, String), String> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let instance = loop {
            let found = {
                let mut inside = self.0.lock().unwrap();
                let instances = inside
                    .table
                    .upstreams
                    .get("shop.web")
                    .map(|u| u.instances.clone());
                let n = inside.busy.values().sum::<u32>() as usize;
                let all = instances.unwrap_or_default();
                let found = (!all.is_empty()).then(|| all[n % all.len()].clone());
                if let Some(found) = &found {
                    *inside.busy.entry(found.id).or_default() += 1;
                }
                found
            };
            match found {
                Some(found) => break found,
                None if tokio::time::Instant::now() > deadline => {
                    return Err("queue deadline".into());
                }
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let answer = get(&instance.address, "localhost", path).await;
        let mut inside = self.0.lock().unwrap();
        let busy = inside.busy.entry(instance.id).or_default();
        *busy -= 1;
        if *busy == 0 && inside.leaving.remove(&instance.id) {
            let _ = inside.events.send(EdgeEvent::Drained {
                instance: instance.id,
            });
        }
        answer.map_err(|error| error.to_string())
    }
}

impl Edge {
    /// A request to one instance, around the table.
    pub(crate) async fn visit_instance(
        &self,
        instance: &stead_model::routing::Instance,
        path: &str,
    ) -> std::io::Result<(u16, String)> {
        get(&instance.address, "localhost", path).await
    }
}

pub(crate) fn ids(table: &RoutingTable) -> impl Iterator<Item = InstanceId> {
    table
        .upstreams
        .values()
        .flat_map(|u| u.instances.iter().map(|i| i.id))
}

async fn get(address: &Address, host: &str, path: &str) -> std::io::Result<(u16, String)> {
    async fn exchange<S: AsyncReadExt + AsyncWriteExt + Unpin>(
        mut stream: S,
        host: &str,
        path: &str,
    ) -> std::io::Result<(u16, String)> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok());
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        match (status, body) {
            (Some(status), Some(body)) => Ok((status, body)),
            _ => Err(std::io::Error::other("not an HTTP answer")),
        }
    }
    match address {
        Address::Unix(path_of) => {
            exchange(tokio::net::UnixStream::connect(path_of).await?, host, path).await
        }
        Address::Tcp(at) => exchange(tokio::net::TcpStream::connect(at).await?, host, path).await,
    }
}

/// An agent that runs, with its edge and everything that it reported.
pub(crate) struct House {
    pub(crate) edge: Edge,
    pub(crate) control: UnboundedSender<Control>,
    pub(crate) state: PathBuf,
    reports: Arc<Mutex<Vec<Report>>>,
    agent: JoinHandle<Result<(), Stopped>>,
    _dir: Option<tempfile::TempDir>,
}

/// This test binary in the role of the keeper.
pub(crate) fn test_keeper() -> Keeper {
    Keeper {
        program: std::env::current_exe().unwrap(),
        arguments: ["keeper_role", "--exact", "--nocapture"]
            .map(String::from)
            .into(),
    }
}

impl House {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut house = Self::at(&dir.path().join(".stead"));
        house._dir = Some(dir);
        house
    }

    pub(crate) fn at(state: &Path) -> Self {
        let (edge, commands) = unbounded_channel();
        let (edge_events, from_edge) = unbounded_channel();
        let (control, wishes) = unbounded_channel();
        let (reports, mut reported) = unbounded_channel();
        let embedded = Embedded {
            state: state.to_owned(),
            edge,
            edge_events: from_edge,
            control: wishes,
            reports,
            descriptors: None,
        };
        let kept: Arc<Mutex<Vec<Report>>> = Arc::default();
        let keep = Arc::clone(&kept);
        tokio::spawn(async move {
            while let Some(report) = reported.recv().await {
                keep.lock().unwrap().push(report);
            }
        });
        Self {
            edge: Edge::start(commands, edge_events),
            control,
            state: state.to_owned(),
            reports: kept,
            agent: tokio::spawn(stead_agent::run_embedded_with(embedded, test_keeper())),
            _dir: None,
        }
    }

    pub(crate) fn switch(&self, release: Release) {
        self.control
            .send(Control::Switch(Box::new(release)))
            .unwrap();
    }

    pub(crate) fn reports(&self) -> Vec<Report> {
        self.reports.lock().unwrap().clone()
    }

    /// Every line that programs have printed.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |report| match report {
            Report::Line { text, .. } => Some(text),
            _ => None,
        };
        self.reports().into_iter().filter_map(line).collect()
    }

    /// Wait for a report.
    pub(crate) async fn until<T>(&self, what: &str, found: impl Fn(&Report) -> Option<T>) -> T {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.reports().iter().find_map(&found) {
                return found;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "waited in vain for {what}; reports: {:#?}",
                self.reports()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn until_serving(&self, release: u64) -> Vec<String> {
        self.until(
            &format!("release {release} to serve"),
            |report| match report {
                Report::Serving { number, counts } if *number == release => Some(counts.clone()),
                _ => None,
            },
        )
        .await
    }

    /// Causes, state, hint and log of a failure, as text.
    pub(crate) async fn until_failed(&self, release: u64) -> String {
        self.until(
            &format!("release {release} to fail"),
            |report| match report {
                Report::Failed {
                    number,
                    causes,
                    state,
                    hint,
                    log,
                } if *number == release => {
                    let mut text = String::new();
                    for cause in causes {
                        text += &format!("cause: {cause}\n");
                    }
                    text += &format!("state: {state}\n");
                    if let Some(hint) = hint {
                        text += &format!("hint: {hint}\n");
                    }
                    for line in log {
                        text += &format!("log: {line}\n");
                    }
                    Some(text)
                }
                _ => None,
            },
        )
        .await
    }

    pub(crate) async fn until_noted(&self, part: &str) -> String {
        self.until(&format!("a note with `{part}`"), |report| match report {
            Report::Note { text, .. } if text.contains(part) => Some(text.clone()),
            _ => None,
        })
        .await
    }

    /// Wait for a line that a program printed.
    pub(crate) async fn until_line(&self, part: &str) -> String {
        self.until(&format!("a line with `{part}`"), |report| match report {
            Report::Line { text, .. } if text.contains(part) => Some(text.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn stop(self) -> Result<(), Stopped> {
        let _ = self.control.send(Control::Stop);
        self.ended().await
    }

    pub(crate) async fn ended(self) -> Result<(), Stopped> {
        tokio::time::timeout(PATIENCE, self.agent)
            .await
            .expect("it ends")
            .unwrap()
    }
}

/// Wait until something is so.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !so() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "waited in vain until {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An app in a directory of its own, with the processes that a test gives it.
pub(crate) struct App {
    pub(crate) dir: tempfile::TempDir,
}

impl App {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("web.py"), include_str!("web.py")).unwrap();
        Self { dir }
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// A release without processes.
    pub(crate) fn release(&self, number: u64) -> Release {
        Release {
            app: "shop".into(),
            number,
            code: self.dir.path().canonicalize().unwrap(),
            path: Vec::new(),
            env: [("NUMBER".into(), number.to_string())].into(),
            secrets: BTreeMap::new(),
            volumes: BTreeMap::new(),
            release_command: None,
            processes: BTreeMap::new(),
            jobs: BTreeMap::new(),
            routes: vec![Route {
                hosts: Vec::new(),
                path: "/".into(),
                target: Target::Upstream("shop.web".into()),
                body_limit: 1 << 20,
                timeouts: stead_model::routing::RouteTimeouts::default(),
                rules: None,
                limit: None,
                tls: None,
            }],
            edge: stead_model::manifest::Edge::default(),
            webhook: None,
        }
    }

    /// A release whose `web` is `web.py` on a descriptor.
    pub(crate) fn web(&self, number: u64, count: u32) -> Release {
        let mut release = self.release(number);
        let spec = spec(
            &["python3", "web.py"],
            Some(Listen::Descriptor(Protocol::Http)),
            count,
        );
        release.processes.insert("web".into(), spec);
        release
    }
}

pub(crate) fn spec(argv: &[&str], listen: Option<Listen>, count: u32) -> ProcessSpec {
    ProcessSpec {
        start: Start::Command(argv.iter().map(|a| (*a).to_owned()).collect()),
        listen,
        count: Count::Fixed(count),
        capacity: 16,
        memory: None,
        timeout: Duration::from_secs(30),
        timeouts: stead_model::routing::Timeouts::default(),
        sticky: false,
        drain: Duration::from_secs(30),
        health: Health {
            within: PATIENCE,
            ..Health::default()
        },
    }
}

/// Is there a process with this in its command line or environment?
pub(crate) fn processes_with(mark: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<i32>().ok())
        else {
            continue;
        };
        let has = |file: &str| {
            std::fs::read(format!("/proc/{pid}/{file}"))
                .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(mark))
        };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let zombie = stat
            .rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('Z'));
        if !zombie && pid != std::process::id() as i32 && (has("cmdline") || has("environ")) {
            found.push(pid);
        }
    }
    found
}
