//! What connections cost in each phase, as docs/limits.md says: a process of its own for each, which is measured from
//! outside.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use stead_edge::Settings;
use stead_model::release::Protocol;

use crate::exhausted::{Apart, serve};
use crate::running::{PATIENCE, Worker, table, upstream};

const APP: &str = r#"
def app(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [b"x" * (1 << 20)] * (16 if environ["PATH_INFO"] == "/large" else 0)
"#;

/// Connections of each kind.
const MANY: usize = 200;

/// Resident memory, bytes.
fn resident(edge: &Apart) -> usize {
    let path = format!("/proc/{}/status", edge.child.id());
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:"));
    let word = line.and_then(|line| line.split_ascii_whitespace().nth(1));
    word.unwrap().parse::<usize>().unwrap() * 1024
}

/// What so many connections cost after `say`, bytes each, once it grows no more.
fn cost(edge: &Apart, many: usize, say: impl Fn(&mut TcpStream)) -> usize {
    let mut first = edge.connect();
    say(&mut first);
    settle(edge);
    let before = resident(edge);
    let connections: Vec<TcpStream> = (0..many)
        .map(|_| {
            let mut connection = edge.connect();
            say(&mut connection);
            connection
        })
        .collect();
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

#[test]
fn a_connection_costs_no_more_than_is_said_in_any_phase() {
    if std::env::var_os("STEAD_TEST_EDGE").is_some() {
        let worker = Worker::start(APP, 16);
        let instances = vec![worker.instance.clone()];
        let settings = Settings {
            threads: 1,
            ..Settings::default()
        };
        assert!(serve(
            table(upstream(Protocol::Frames, instances)),
            settings
        ));
        return;
    }
    let test = "memory::a_connection_costs_no_more_than_is_said_in_any_phase";
    let write = |connection: &mut TcpStream, bytes: &[u8]| connection.write_all(bytes).unwrap();
    let get = |connection: &mut TcpStream| {
        write(connection, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let _ = connection.peek(&mut [0]).unwrap();
    };
    let head = [b"GET / HTTP/1.1\r\nX: ", &[b'x'; 24_000][..]].concat();
    let begun = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 250000\r\n\r\n";
    let body = [begun, &[b'x'; 200_000][..]].concat();
    // Each with what docs/limits.md says, and a quarter for pages that are not full.
    type Say<'a> = &'a dyn Fn(&mut TcpStream);
    let phases: [(&str, usize, usize, Say<'_>); 6] = [
        ("silent", MANY, 4 << 10, &|_| {}),
        ("idle", MANY, 4 << 10, &|connection| get(connection)),
        ("head", MANY, 45 << 10, &|connection| {
            write(connection, &head)
        }),
        ("body", MANY / 4, 660 << 10, &|connection| {
            write(connection, &body)
        }),
        ("slow to read", 16, 6 << 20, &|connection| {
            write(connection, b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
            let _ = connection.peek(&mut [0]).unwrap();
        }),
        ("http2", MANY, 25 << 10, &|connection| {
            let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
            write(connection, preface);
            let _ = connection.peek(&mut [0]).unwrap();
        }),
    ];
    let mut said = String::new();
    for (phase, many, most, say) in phases {
        let edge = Apart::start(test, 4096);
        let each = cost(&edge, many, say);
        said.push_str(&format!("{phase}: {each} of {most}\n"));
        if each > most {
            panic!("a connection costs more than is said:\n{said}");
        }
    }
    std::io::stderr().write_all(said.as_bytes()).unwrap();
}
