//! What connections cost in each phase, as docs/limits.md says: a process of its own for each, which is measured from
//! outside.

use std::any::Any;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use stead_edge::Settings;
use stead_model::release::Protocol;
use stead_model::routing::{Address, Instance, InstanceId, Route, RoutingTable, Target};

use crate::exhausted::{Apart, serve, stay};
use crate::running::{PATIENCE, Worker, table, upstream};

mod tls;

const APP: &str = r#"
def app(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [b"x" * (1 << 20)] * (16 if environ["PATH_INFO"] == "/large" else 0)
"#;

/// Connections of each kind.
const MANY: usize = 200;
/// Requests that a visitor of HTTP/2 has at once.
const STREAMS: u32 = 100;

/// What a visitor has open.
type Kept = Box<dyn Any>;

/// Resident memory, bytes.
fn resident(edge: &Apart) -> usize {
    let path = format!("/proc/{}/status", edge.child.id());
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:"));
    let word = line.and_then(|line| line.split_ascii_whitespace().nth(1));
    word.unwrap().parse::<usize>().unwrap() * 1024
}

/// What so many connections cost, bytes each, once it grows no more.
fn cost(edge: &Apart, many: usize, open: impl Fn(&Apart) -> Kept) -> usize {
    let _first = open(edge);
    settle(edge);
    let before = resident(edge);
    let connections: Vec<Kept> = (0..many).map(|_| open(edge)).collect();
    settle(edge);
    let after = resident(edge);
    drop(connections);
    after.saturating_sub(before) / many
}

fn settle(edge: &Apart) {
    let end = Instant::now() + PATIENCE;
    let (mut last, mut same) = (0, 0);
    while same < 5 {
        std::thread::sleep(Duration::from_millis(60));
        let now = resident(edge);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        assert!(Instant::now() < end, "the memory still grows");
    }
}

/// Its name, how many connections are opened, what one may cost (what docs/limits.md says, and a quarter for pages that
/// are not full), and how one gets there.
type Phase<'a> = (&'a str, usize, usize, &'a dyn Fn(&Apart) -> Kept);

/// Each of these phases in an edge of its own.
fn check(test: &str, phases: &[Phase<'_>]) {
    let mut said = String::new();
    for (phase, many, most, open) in phases {
        let edge = Apart::start(test, 8192);
        let each = cost(&edge, *many, open);
        said.push_str(&format!("{phase}: {each} of {most}\n"));
        if each > *most {
            panic!("a connection costs more than is said:\n{said}");
        }
    }
    std::io::stderr().write_all(said.as_bytes()).unwrap();
}

/// A server that answers nothing but an upgrade, and keeps whoever comes.
fn silent() -> Instance {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(length @ 1..) => head.extend_from_slice(&buffer[..length]),
                    _ => break,
                }
            }
            if head.windows(9).any(|word| word == b"websocket") {
                let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
                let _ = stream.write_all(switch);
            }
            kept.push(stream);
        }
    });
    Instance {
        id: InstanceId(1 << 40),
        address,
        capacity: 100_000,
    }
}

/// [`APP`] for everything, and [`silent`] for `/silent`.
fn both(worker: &Worker) -> RoutingTable {
    let mut both = table(upstream(Protocol::Frames, vec![worker.instance.clone()]));
    both.routes.push(Route {
        path: "/silent".into(),
        target: Target::Upstream("test.silent".into()),
        ..both.routes[0].clone()
    });
    let mut silent = upstream(Protocol::Http, vec![silent()]);
    silent.process = "silent".into();
    both.upstreams.insert("test.silent".into(), silent);
    both
}

fn one_thread() -> Settings {
    Settings {
        threads: 1,
        ..Settings::default()
    }
}

fn write(edge: &Apart, bytes: &[u8]) -> TcpStream {
    let mut stream = edge.connect();
    stream.write_all(bytes).unwrap();
    stream
}

/// The same, and something has come back.
fn answered(edge: &Apart, bytes: &[u8]) -> Kept {
    let stream = write(edge, bytes);
    let _ = stream.peek(&mut [0]).unwrap();
    Box::new(stream)
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// HTTP/2 with requests for `/silent`.
fn many_streams() -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    // `:method: GET` and `:scheme: http` are in HPACK's table; path and authority are literals that are not kept.
    let block = [&b"\x82\x86\x04\x07/silent\x01\x01a"[..]].concat();
    for stream in (0..STREAMS).map(|at| 2 * at + 1) {
        bytes.extend_from_slice(&[0, 0, block.len() as u8, 1, 5]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(&block);
    }
    // The answer to this one says that all were read.
    bytes.extend_from_slice(b"\0\0\x08\x06\0\0\0\0\0are here");
    bytes
}

/// Until the edge has answered the ping.
fn read_to_pong(stream: &mut TcpStream) {
    let mut read = Vec::new();
    while !read.windows(8).any(|bytes| bytes == b"are here") {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "{read:?}");
        read.extend_from_slice(&buffer[..length]);
    }
}

#[test]
fn a_connection_costs_no_more_than_is_said_in_any_phase() {
    if std::env::var_os("STEAD_TEST_EDGE").is_some() {
        let worker = Worker::start(APP, 16);
        assert!(serve(both(&worker), one_thread()));
        return;
    }
    let head = [b"GET / HTTP/1.1\r\nX: ", &[b'x'; 24_000][..]].concat();
    let begun = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 250000\r\n\r\n";
    let body = [begun, &[b'x'; 200_000][..]].concat();
    let whole = b"POST /silent HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n";
    let whole = [whole, &[b'x'; 200_000][..]].concat();
    let upgrade =
        b"GET /silent HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let streams = many_streams();
    check(
        "memory::a_connection_costs_no_more_than_is_said_in_any_phase",
        &[
            ("silent", MANY, 4 << 10, &|edge| Box::new(edge.connect())),
            ("idle", MANY, 4 << 10, &|edge| {
                answered(edge, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            }),
            ("head", MANY, 45 << 10, &|edge| Box::new(write(edge, &head))),
            ("body", MANY / 4, 660 << 10, &|edge| {
                Box::new(write(edge, &body))
            }),
            ("forwarded", MANY, 32 << 10, &|edge| {
                Box::new(write(edge, b"GET /silent HTTP/1.1\r\nHost: a\r\n\r\n"))
            }),
            ("forwarded with a body", MANY / 4, 1400 << 10, &|edge| {
                Box::new(write(edge, &whole))
            }),
            ("slow to read", 16, 6 << 20, &|edge| {
                answered(edge, b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            }),
            ("upgraded", MANY, 15 << 10, &|edge| answered(edge, upgrade)),
            ("http2", MANY, 25 << 10, &|edge| answered(edge, PREFACE)),
            ("http2 with 100 streams", 10, 1280 << 10, &|edge| {
                let mut stream = write(edge, &streams);
                read_to_pong(&mut stream);
                Box::new(stream)
            }),
        ],
    );
}
