//! A host with an edge of its own: instances, an agent, and visitors who count what they lose.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stead_model::certificates::{CertificateReport, CertificateTable};
use stead_model::control::{Answer, Hello, PROTOCOL, Welcome, Wish};
use stead_model::messages::{EdgeCommand, EdgeEvent, HttpChallenges};
use stead_model::release::Protocol;
use stead_model::routing::{Address, Instance, InstanceId, Route, RoutingTable, Target, Upstream};

use crate::running::{PATIENCE, stead};

/// An edge that runs, and the directory that all is in.
pub(crate) struct Host {
    pub(crate) dir: tempfile::TempDir,
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Host {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let child = spawn(dir.path(), "127.0.0.1:0", arguments);
        let mut host = Self {
            dir,
            child,
            address: ([127, 0, 0, 1], 0).into(),
        };
        host.wait();
        host
    }

    /// As systemd does: with a socket that is passed, and one to which it tells its state.
    pub(crate) fn under_a_service_manager() -> (Self, UnixDatagram) {
        let dir = tempfile::tempdir().unwrap();
        let told = UnixDatagram::bind(dir.path().join("notify.sock")).unwrap();
        told.set_read_timeout(Some(PATIENCE)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
        let child = std::process::Command::new("sh")
            .args(["-c", line, "sh", env!("CARGO_BIN_EXE_stead"), "edge"])
            .arg("--control")
            .arg(dir.path().join("edge.sock"))
            .arg("--state")
            .arg(dir.path().join("state"))
            .env("NOTIFY_SOCKET", dir.path().join("notify.sock"))
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
            .spawn()
            .unwrap();
        let mut host = Self {
            dir,
            child,
            address: ([127, 0, 0, 1], 0).into(),
        };
        host.wait();
        (host, told)
    }

    /// Until it answers at the control socket.
    fn wait(&mut self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let output = self.ask(&["status", "--json"]);
            if output.status.success() {
                let status: Value = serde_json::from_slice(&output.stdout).unwrap();
                self.address = status["listens"][0].as_str().unwrap().parse().unwrap();
                return;
            }
            assert!(
                self.child.try_wait().unwrap().is_none(),
                "the edge has ended"
            );
            assert!(Instant::now() < until, "{output:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kill the first edge as the kernel would, and start another one at the same address.
    pub(crate) fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(self.dir.path(), &self.address.to_string(), &[]);
        self.wait();
    }

    /// Until the first edge has ended.
    pub(crate) fn wait_for_first(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "the first edge does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `stead edge …` about this edge.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Output {
        let mut command = stead(&["edge"]);
        command.args(arguments).arg("--control").arg(self.control());
        command.output().unwrap()
    }

    pub(crate) fn upgrade(&self) -> Value {
        let output = self.ask(&["upgrade", "--json"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn status(&self) -> Value {
        let output = self.ask(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.dir.path().join("edge.sock")
    }

    /// A connection of a visitor.
    pub(crate) fn visit(&self) -> Visitor {
        Visitor::connect(self.address).unwrap()
    }
}

fn spawn(dir: &Path, listen: &str, arguments: &[&str]) -> Child {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(dir.join("edge.log"))
        .unwrap();
    stead(&["edge", "--listen", listen, "--threads", "1"])
        .args(arguments)
        .arg("--control")
        .arg(dir.join("edge.sock"))
        .arg("--state")
        .arg(dir.join("state"))
        .stderr(Stdio::from(log))
        .spawn()
        .unwrap()
}

impl Drop for Host {
    fn drop(&mut self) {
        // The edge that serves may be a grandchild: it is known by its own word.
        if let Ok(status) = serde_json::from_slice::<Value>(&self.ask(&["status", "--json"]).stdout)
        {
            let draining = status["draining"].as_array().cloned().unwrap_or_default();
            for edge in draining.iter().chain([&status]) {
                let pid = edge["pid"].as_u64().unwrap() as i32;
                if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server behind the edge; killed when dropped.
pub(crate) struct Server {
    pub(crate) instance: Instance,
    child: Child,
}

impl Server {
    pub(crate) fn start(dir: &Path, id: u64) -> Self {
        let socket = dir.join(format!("{id}.sock"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/upgrading/instance.py");
        let child = std::process::Command::new("python3")
            .arg(script)
            .arg(&socket)
            .arg(id.to_string())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + PATIENCE;
        while !socket.exists() {
            assert!(Instant::now() < until, "the instance does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        let instance = Instance {
            id: InstanceId(id),
            address: Address::Unix(socket),
            capacity: 64,
        };
        Self { instance, child }
    }

    /// Stead's own worker with one thread, in `dir`.
    pub(crate) fn worker(dir: &Path, id: u64) -> Self {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/upgrading");
        std::fs::copy(tests.join("threads_app.py"), dir.join("threads_app.py")).unwrap();
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../stead-build/worker/stead_worker.py");
        let socket = dir.join(format!("{id}.sock"));
        let listener = UnixListener::bind(&socket).unwrap();
        // The shell puts the listener where the worker looks for it.
        let child = std::process::Command::new("sh")
            .args(["-c", "exec 3<&0 </dev/null; exec python3 \"$@\"", "sh"])
            .arg(script.canonicalize().unwrap())
            .args(["--threads", "1", "threads_app:app"])
            .env("LISTEN_FDS", "1")
            .env("INSTANCE", id.to_string())
            .current_dir(dir)
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
            .spawn()
            .unwrap();
        let instance = Instance {
            id: InstanceId(id),
            address: Address::Unix(socket),
            capacity: 1,
        };
        Self { instance, child }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A table with these instances for everything.
pub(crate) fn table(generation: u64, servers: &[&Server]) -> RoutingTable {
    table_of(generation, Protocol::Http, servers)
}

/// A table with these instances, which speak `protocol`, for everything.
pub(crate) fn table_of(generation: u64, protocol: Protocol, servers: &[&Server]) -> RoutingTable {
    let upstream = json!({
        "app": "shop", "process": "web", "release": generation, "protocol": protocol,
        "instances": servers.iter().map(|server| &server.instance).collect::<Vec<_>>(),
        "timeout": Duration::from_secs(30), "queue_limit": 1000, "queue_timeout": Duration::from_secs(30),
    });
    let upstream: Upstream = serde_json::from_value(upstream).unwrap();
    let route = json!({
        "hosts": [], "path": "/", "target": Target::Upstream("shop.web".into()), "body_limit": 1 << 20,
    });
    let route: Route = serde_json::from_value(route).unwrap();
    RoutingTable {
        generation,
        routes: vec![route],
        upstreams: [("shop.web".to_owned(), upstream)].into(),
        ..RoutingTable::default()
    }
}

/// The other end of the control socket.
pub(crate) struct Agent {
    stream: BufReader<UnixStream>,
    pub(crate) welcome: Welcome,
    seen: Vec<EdgeEvent>,
}

impl Agent {
    pub(crate) fn connect(host: &Host) -> Self {
        let stream = UnixStream::connect(host.control()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = BufReader::new(stream);
        let hello = Hello {
            protocol: PROTOCOL,
            wish: Wish::Agent,
        };
        send(&mut stream, &hello);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let Answer::Welcome(welcome) = serde_json::from_str(&line).unwrap() else {
            panic!("{line}");
        };
        Self {
            stream,
            welcome,
            seen: Vec::new(),
        }
    }

    /// Publish a table and wait until it is in force.
    pub(crate) fn publish(&mut self, table: RoutingTable) {
        let generation = table.generation;
        send(&mut self.stream, &EdgeCommand::Publish(table));
        self.wait_for(&EdgeEvent::Published { generation });
    }

    /// Have authorities answered, and wait until they are.
    pub(crate) fn answer(&mut self, challenges: HttpChallenges) {
        let generation = challenges.generation;
        send(&mut self.stream, &EdgeCommand::HttpChallenges(challenges));
        self.wait_for(&EdgeEvent::Answering { generation });
    }

    /// Have a certificate shown, and wait until it is.
    pub(crate) fn certify(&mut self, certificates: CertificateTable) {
        let report = CertificateReport {
            certificates: certificates.files.len(),
            problems: Vec::new(),
        };
        send(&mut self.stream, &EdgeCommand::Certificates(certificates));
        self.wait_for(&EdgeEvent::Certificates(report));
    }

    pub(crate) fn wait_for(&mut self, wanted: &EdgeEvent) {
        while !self.has_seen(wanted) {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            self.seen.push(serde_json::from_str(&line).unwrap());
        }
    }

    pub(crate) fn wait_for_drained(&mut self, server: &Server) {
        let instance = server.instance.id;
        self.wait_for(&EdgeEvent::Drained { instance });
    }

    /// Among what has been waited for.
    pub(crate) fn has_seen(&self, wanted: &EdgeEvent) -> bool {
        self.seen.contains(wanted)
    }
}

fn send(stream: &mut BufReader<UnixStream>, message: &impl serde::Serialize) {
    let mut line = serde_json::to_vec(message).unwrap();
    line.push(b'\n');
    stream.get_mut().write_all(&line).unwrap();
}

/// One connection of a visitor.
pub(crate) struct Visitor(BufReader<TcpStream>);

/// A visitor who comes over TLS, by the program of OpenSSL, and believes one certificate. Leaves when dropped.
pub(crate) struct SecureVisitor(Child, BufReader<ChildStdout>);

impl SecureVisitor {
    pub(crate) fn connect(host: &Host, trusted: &Path) -> Self {
        let address = host.status()["listens_tls"][0].as_str().unwrap().to_owned();
        let mut child = std::process::Command::new("openssl")
            .args([
                "s_client",
                "-quiet",
                "-verify_return_error",
                "-servername",
                "shop",
            ])
            .args(["-connect", &address, "-CAfile"])
            .arg(trusted)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self(child, out)
    }

    pub(crate) fn send(&mut self, text: &str) {
        let to = self.0.stdin.as_mut().unwrap();
        to.write_all(text.as_bytes()).unwrap();
    }

    /// Everything up to an empty line, in lower case.
    pub(crate) fn head(&mut self) -> String {
        read_head(&mut self.1).unwrap()
    }

    pub(crate) fn exactly(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.1.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

impl Drop for SecureVisitor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Visitor {
    pub(crate) fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// Everything up to an empty line, in lower case.
    pub(crate) fn head(&mut self) -> String {
        read_head(&mut self.0).unwrap()
    }

    pub(crate) fn exactly(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    pub(crate) fn read_to_end(&mut self) -> String {
        let mut text = String::new();
        self.0.read_to_string(&mut text).unwrap();
        text
    }

    /// One request; whether the connection takes another one. An error: the request is lost.
    pub(crate) fn get(&mut self, path: &str) -> Result<(String, bool), String> {
        let told = |error: std::io::Error| error.to_string();
        let request = format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n");
        self.0
            .get_mut()
            .write_all(request.as_bytes())
            .map_err(told)?;
        let head = read_head(&mut self.0).map_err(told)?;
        if !head.starts_with("http/1.1 200") {
            return Err(head);
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap_or("0").parse().unwrap()];
        self.0.read_exact(&mut body).map_err(told)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok((body, !head.contains("connection: close")))
    }
}

fn read_head(stream: &mut impl BufRead) -> std::io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head.to_lowercase())
}

/// Visitors who come again and again, over connections that are kept and over new ones.
pub(crate) struct Crowd {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    lost: Arc<Mutex<Vec<String>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Crowd {
    pub(crate) fn gather(address: SocketAddr) -> Self {
        let (stop, answered, lost) = <(Arc<AtomicBool>, Arc<AtomicUsize>, Arc<_>)>::default();
        let threads = [true, true, true, false].map(|keeps| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            let lost: Arc<Mutex<Vec<String>>> = Arc::clone(&lost);
            std::thread::spawn(move || {
                let mut kept = None;
                while !stop.load(Ordering::Relaxed) {
                    let visitor = kept.take().map_or_else(
                        || Visitor::connect(address).map_err(|error| format!("connect: {error}")),
                        Ok,
                    );
                    let result = visitor.and_then(|mut visitor| {
                        let (_, more) = visitor.get("/")?;
                        Ok((keeps && more).then_some(visitor))
                    });
                    match result {
                        Ok(visitor) => {
                            kept = visitor;
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(why) => lost.lock().unwrap().push(why),
                    }
                }
            })
        });
        Self {
            stop,
            answered,
            lost,
            threads: threads.into(),
        }
    }

    /// Until so many more requests were answered.
    pub(crate) fn wait_for(&self, more: usize) {
        let until = Instant::now() + PATIENCE;
        let wanted = self.answered.load(Ordering::Relaxed) + more;
        while self.answered.load(Ordering::Relaxed) < wanted {
            assert!(Instant::now() < until, "nothing is answered");
            assert!(self.lost.lock().unwrap().len() < 100, "{:?}", self.lost);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// How many requests were answered, and what became of the others.
    pub(crate) fn leave(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let lost = std::mem::take(&mut *self.lost.lock().unwrap());
        (self.answered.load(Ordering::Relaxed), lost)
    }
}
