//! An edge without descriptors left, in a process of its own, since the limit is the process's.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use stead_edge::Settings;
use stead_model::routing::{Route, RoutingTable, Target};

use crate::running::{PATIENCE, Running};

/// Descriptors that the edge may have; it needs some twenty itself.
const DESCRIPTORS: usize = 64;
pub(crate) const IN_CHILD: &str = "STEAD_TEST_EDGE";

/// An edge in a process of its own; ended when dropped.
pub(crate) struct Apart {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// Kept open: it says more at its end.
    _said: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Drop for Apart {
    fn drop(&mut self) {
        // It ends by itself, with all that it has started.
        drop(self.child.stdin.take());
        let end = std::time::Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) {
            if std::time::Instant::now() > end {
                let _ = self.child.kill();
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

impl Apart {
    /// Run `test` of this program, which calls [`serve`], with so many descriptors.
    pub(crate) fn start(test: &str, descriptors: usize) -> Self {
        let line = format!("ulimit -n {descriptors}; exec \"$0\" --exact {test} --nocapture");
        let mut command = Command::new("bash");
        command.args(["-c", &line]);
        Self::of(command, "1")
    }

    /// The same with a disk of its own at `place`, which the child finds in [`IN_CHILD`], so large. For root alone.
    pub(crate) fn with_disk(test: &str, place: &Path, size: &str) -> Self {
        let line = format!(
            "mount -t tmpfs -o size={size} none \"$STEAD_TEST_EDGE\" && exec \"$0\" --exact {test} --nocapture"
        );
        let mut command = Command::new("unshare");
        command.args(["-m", "bash", "-c", &line]);
        Self::of(command, place)
    }

    fn of(mut command: Command, told: impl AsRef<OsStr>) -> Self {
        let mut child = command
            .arg(std::env::current_exe().unwrap())
            .env(IN_CHILD, told)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map(|line| line.unwrap())
            .find_map(|line| line.rsplit_once("listens at ")?.1.parse().ok())
            .expect("the edge says where it listens");
        Self {
            child,
            address,
            _said: lines,
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

/// In the child: serve until the parent is gone.
pub(crate) fn serve(table: RoutingTable, settings: Settings) -> bool {
    if std::env::var_os(IN_CHILD).is_none() {
        return false;
    }
    let running = Running::with(settings, table);
    stay(running.address);
    true
}

/// In the child: say where visitors are to come, and wait until the parent is gone.
pub(crate) fn stay(address: SocketAddr) {
    let line = format!("listens at {address}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn elsewhere() -> RoutingTable {
    RoutingTable {
        routes: vec![Route {
            hosts: Vec::new(),
            path: "/".into(),
            target: Target::Redirect {
                host: "elsewhere.test".into(),
                status: 308,
            },
            body_limit: 0,
            timeouts: Default::default(),
            limit: None,
            rules: None,
            tls: None,
        }],
        ..RoutingTable::default()
    }
}

fn ask(stream: &mut TcpStream) {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 308 "), "{head:?}");
}

#[test]
fn without_descriptors_those_who_are_there_are_served_and_others_wait_for_a_place() {
    if serve(elsewhere(), Settings::default()) {
        return;
    }
    let test =
        "exhausted::without_descriptors_those_who_are_there_are_served_and_others_wait_for_a_place";
    let edge = Apart::start(test, DESCRIPTORS);
    let mut first = edge.connect();
    ask(&mut first);
    // The kernel takes them; the edge has room for some.
    let mut crowd: Vec<TcpStream> = (0..2 * DESCRIPTORS).map(|_| edge.connect()).collect();
    let mut last = crowd.pop().unwrap();
    last.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    // Until the edge has no descriptor left.
    let end = std::time::Instant::now() + PATIENCE;
    let open = || {
        let path = format!("/proc/{}/fd", edge.child.id());
        std::fs::read_dir(path).unwrap().count()
    };
    while open() < DESCRIPTORS {
        assert!(std::time::Instant::now() < end, "{} are open", open());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for _ in 0..100 {
        ask(&mut first);
    }
    last.set_nonblocking(true).unwrap();
    let waits = last.peek(&mut [0]).unwrap_err();
    assert_eq!(waits.kind(), std::io::ErrorKind::WouldBlock);
    drop(crowd);
    last.set_nonblocking(false).unwrap();
    let mut answer = [0; 13];
    last.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 308 ");
}
