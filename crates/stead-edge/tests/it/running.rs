//! An edge on a free port with instances behind it, and a visitor who speaks plain bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stead_edge::{Edge, Settings};
use stead_model::messages::{EdgeCommand, EdgeEvent};
use stead_model::release::Protocol;
use stead_model::routing::{Address, Instance, InstanceId, Route, RoutingTable, Target, Upstream};
use tokio::sync::mpsc::UnboundedReceiver;

/// Long enough for a slow machine, short enough to end a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A running edge.
pub(crate) struct Running {
    pub(crate) edge: Edge,
    pub(crate) address: SocketAddr,
    events: UnboundedReceiver<EdgeEvent>,
    generation: u64,
    seen: Vec<EdgeEvent>,
}

/// An instance of Stead's own worker; killed when dropped.
pub(crate) struct Worker {
    pub(crate) instance: Instance,
    child: Child,
    _listener: UnixListener,
    _folder: tempfile::TempDir,
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Worker {
    /// `app` is the source of a module that defines `app`.
    pub(crate) fn start(app: &str, threads: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("the_app.py"), app).unwrap();
        let socket = folder.path().join("web.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let worker =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../stead-build/worker/stead_worker.py");
        // The shell puts the listener where the worker looks for it.
        let inherited = rustix::io::fcntl_dupfd_cloexec(&listener, 100).unwrap();
        rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
        let line = format!("exec 3<&{}; exec python3 \"$@\"", inherited.as_raw_fd());
        let child = Command::new("bash")
            .args(["-c", &line, "bash"])
            .arg(worker.canonicalize().unwrap())
            .args(["--threads", &threads.to_string(), "the_app:app"])
            .env("LISTEN_FDS", "1")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let instance = Instance {
            id: InstanceId(NEXT.fetch_add(1, Ordering::Relaxed)),
            address: Address::Unix(socket),
            capacity: threads,
        };
        Self {
            instance,
            child,
            _listener: listener,
            _folder: folder,
        }
    }

    /// Kill it as the kernel would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// An upstream with test-sized limits.
pub(crate) fn upstream(protocol: Protocol, instances: Vec<Instance>) -> Upstream {
    Upstream {
        app: "test".into(),
        process: "web".into(),
        release: 1,
        protocol,
        instances,
        timeout: Duration::from_secs(20),
        timeouts: stead_model::routing::Timeouts::default(),
        sticky: false,
        check: None,
        queue_limit: 1000,
        queue_timeout: Duration::from_secs(20),
    }
}

/// A table with one upstream for everything.
pub(crate) fn table(upstream: Upstream) -> RoutingTable {
    RoutingTable {
        generation: 0,
        routes: vec![Route {
            hosts: vec![],
            path: "/".into(),
            target: Target::Upstream("test.web".into()),
            body_limit: 64 << 20,
            timeouts: stead_model::routing::RouteTimeouts::default(),
            rules: None,
            limit: None,
            tls: None,
        }],
        upstreams: [("test.web".to_owned(), upstream)].into(),
        ..RoutingTable::default()
    }
}

impl Running {
    pub(crate) fn start(table: RoutingTable) -> Self {
        Self::with(Settings::default(), table)
    }

    pub(crate) fn with(settings: Settings, table: RoutingTable) -> Self {
        let mut running = Self::without_table(settings);
        running.publish(table);
        running
    }

    /// An edge that has no table yet.
    pub(crate) fn without_table(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (edge, events) = stead_edge::start(settings, vec![listener]).unwrap();
        let address = edge.addresses[0];
        Self {
            edge,
            address,
            events,
            generation: 0,
            seen: Vec::new(),
        }
    }

    /// An edge before one worker running `app`.
    pub(crate) fn app(app: &str, threads: u32) -> (Self, Worker) {
        let worker = Worker::start(app, threads);
        (
            Self::start(table(upstream(
                Protocol::Frames,
                vec![worker.instance.clone()],
            ))),
            worker,
        )
    }

    /// Replace the table and wait until it is in force.
    pub(crate) fn publish(&mut self, mut table: RoutingTable) {
        self.generation += 1;
        table.generation = self.generation;
        self.edge
            .commands
            .send(EdgeCommand::Publish(table))
            .unwrap();
        let generation = self.generation;
        self.wait_for(|event| *event == EdgeEvent::Published { generation });
    }

    /// The next event of which `wanted` is true.
    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&EdgeEvent) -> bool) -> EdgeEvent {
        let end = Instant::now() + PATIENCE;
        if let Some(at) = self.seen.iter().position(&wanted) {
            return self.seen.remove(at);
        }
        loop {
            match self.events.try_recv() {
                Ok(event) if wanted(&event) => return event,
                // Events of different things come in any order.
                Ok(other) => self.seen.push(other),
                Err(_) => {
                    assert!(
                        Instant::now() < end,
                        "the event did not come, but {:?}",
                        self.seen
                    );
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        }
    }

    /// Events that came by now, of which `wanted` is true.
    pub(crate) fn count_now(&mut self, wanted: impl Fn(&EdgeEvent) -> bool) -> usize {
        while let Ok(event) = self.events.try_recv() {
            self.seen.push(event);
        }
        self.seen.iter().filter(|event| wanted(event)).count()
    }

    pub(crate) fn visit(&self) -> Visitor {
        visit(self.address)
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, request: &str) -> Answer {
        let mut visitor = self.visit();
        visitor.send(request.as_bytes());
        visitor.answer(request.starts_with("HEAD "))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }
}

/// A visitor of the edge at this address, for threads of visitors.
pub(crate) fn visit(address: SocketAddr) -> Visitor {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Visitor {
        stream,
        read: Vec::new(),
    }
}

/// A visitor's side of a connection.
pub(crate) struct Visitor {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

/// A response, its framing taken off.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The connection ended before the body was complete.
    pub(crate) cut: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl From<TcpStream> for Visitor {
    fn from(stream: TcpStream) -> Self {
        Self {
            stream,
            read: Vec::new(),
        }
    }
}

impl Visitor {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn fill(&mut self) -> bool {
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                self.read.extend_from_slice(&buffer[..length]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// The edge has closed the connection without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.fill()
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.read)
    }

    /// At least so many raw bytes.
    pub(crate) fn raw(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length && self.fill() {}
        self.read.drain(..length.min(self.read.len())).collect()
    }

    /// The next response.
    pub(crate) fn answer(&mut self, is_head: bool) -> Answer {
        let end = loop {
            if let Some(at) = self
                .read
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                break at;
            }
            assert!(
                self.fill(),
                "the connection ended before an answer: {:?}",
                self.read
            );
        };
        let head = String::from_utf8(self.read.drain(..end + 4).collect()).unwrap();
        let status = head[9..12].parse().unwrap();
        let mut answer = Answer {
            status,
            head,
            body: Vec::new(),
            cut: false,
        };
        if (100..200).contains(&status) && status != 101 {
            return self.answer(is_head);
        }
        if is_head || status == 204 || status == 304 {
            return answer;
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.cut = !self.chunks(&mut answer.body);
        } else if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().unwrap();
            answer.body = self.raw(length);
            answer.cut = answer.body.len() < length;
        } else {
            answer.body = self.rest();
        }
        answer
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> bool {
        loop {
            let Some(end) = self.read.windows(2).position(|window| window == b"\r\n") else {
                if self.fill() {
                    continue;
                }
                return false;
            };
            let line = String::from_utf8(self.read.drain(..end + 2).collect()).unwrap();
            let size = usize::from_str_radix(line.trim(), 16).unwrap();
            let data = self.raw(size + 2);
            if data.len() < size + 2 {
                return false;
            }
            assert_eq!(&data[size..], b"\r\n");
            body.extend_from_slice(&data[..size]);
            if size == 0 {
                return true;
            }
        }
    }
}
