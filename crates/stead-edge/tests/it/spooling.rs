//! Large bodies of slow visitors: no instance waits for them.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stead_edge::Settings;
use stead_model::release::Protocol;
use stead_model::routing::{Address, Instance, InstanceId};

use crate::exhausted::{Apart, IN_CHILD, serve};
use crate::running::{PATIENCE, Running, Visitor, Worker, table, upstream};

/// Answers length and sum of a body, the way an app would read it.
const APP: &str = r#"
def app(environ, start_response):
    length = total = 0
    while True:
        piece = environ["wsgi.input"].read(65536)
        if not piece:
            break
        length += len(piece)
        total += sum(piece)
    start_response("200 OK", [])
    return [b"%d %d" % (length, total)]
"#;

fn settings(folder: &Path) -> Settings {
    Settings {
        spool: Some(folder.join("spool")),
        metrics: Some(folder.join("metrics.sock")),
        ..Settings::default()
    }
}

/// Bytes on disk at this moment.
fn spooled(folder: &Path) -> u64 {
    let mut stream = UnixStream::connect(folder.join("metrics.sock")).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("stead_spool_bytes "));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 % 251) as u8).collect()
}

fn expected(body: &[u8]) -> String {
    let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
    format!("{} {sum}", body.len())
}

/// Everything but the last byte; the head says how long it is.
fn send_all_but_one(visitor: &mut Visitor, body: &[u8]) {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    visitor.send(head.as_bytes());
    visitor.send(&body[..body.len() - 1]);
}

#[test]
fn the_only_thread_serves_others_while_a_visitor_is_slow_to_send() {
    let folder = tempfile::tempdir().unwrap();
    let worker = Worker::start(APP, 1);
    let spec = upstream(Protocol::Frames, vec![worker.instance.clone()]);
    let running = Running::with(settings(folder.path()), table(spec));
    let body = body(3_000_000);
    let mut slow = running.visit();
    send_all_but_one(&mut slow, &body);
    until("the body is on disk", || spooled(folder.path()) > 2_900_000);
    for _ in 0..5 {
        assert_eq!(running.get("/").text(), "0 0");
    }
    slow.send(&body[body.len() - 1..]);
    assert_eq!(slow.answer(false).text(), expected(&body));
    assert_eq!(spooled(folder.path()), 0);
    // The connection goes on.
    slow.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(slow.answer(false).text(), "0 0");
}

#[test]
fn a_body_in_chunks_is_passed_on_whole() {
    let folder = tempfile::tempdir().unwrap();
    let worker = Worker::start(APP, 1);
    let spec = upstream(Protocol::Frames, vec![worker.instance.clone()]);
    let running = Running::with(settings(folder.path()), table(spec));
    let body = body(1_000_000);
    let mut visitor = running.visit();
    visitor.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in body.chunks(12_345) {
        visitor.send(format!("{:x}\r\n", piece.len()).as_bytes());
        visitor.send(piece);
        visitor.send(b"\r\n");
    }
    visitor.send(b"0\r\n\r\n");
    assert_eq!(visitor.answer(false).text(), expected(&body));
}

#[test]
fn many_bodies_at_once_arrive_as_they_were_sent() {
    let folder = tempfile::tempdir().unwrap();
    let worker = Worker::start(APP, 4);
    let spec = upstream(Protocol::Frames, vec![worker.instance.clone()]);
    let running = Running::with(settings(folder.path()), table(spec));
    std::thread::scope(|scope| {
        for number in 0..12 {
            let mut visitor = running.visit();
            scope.spawn(move || {
                let body = body(300_000 + number * 111_111);
                for _ in 0..3 {
                    send_all_but_one(&mut visitor, &body);
                    visitor.send(&body[body.len() - 1..]);
                    assert_eq!(visitor.answer(false).text(), expected(&body));
                }
            });
        }
    });
    assert_eq!(spooled(folder.path()), 0);
}

#[test]
fn a_server_of_http_gets_the_body_when_it_is_whole_and_with_its_length() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let (mut read, mut buffer) = (Vec::new(), [0; 65536]);
            let end = loop {
                let length = stream.read(&mut buffer).unwrap();
                read.extend_from_slice(&buffer[..length]);
                if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                    break at + 4;
                }
            };
            let head = String::from_utf8(read[..end].to_vec())
                .unwrap()
                .to_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            while read.len() < end + length {
                let got = stream.read(&mut buffer).unwrap();
                assert!(got > 0);
                read.extend_from_slice(&buffer[..got]);
            }
            let text = expected(&read[end..]);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let instance = Instance {
        id: InstanceId(1),
        address: Address::Tcp(address),
        capacity: 100,
    };
    let spec = upstream(Protocol::Http, vec![instance]);
    let running = Running::with(settings(folder.path()), table(spec));
    let body = body(2_000_000);
    let mut visitor = running.visit();
    visitor.send(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1e8480\r\n");
    visitor.send(&body);
    until("the body is on disk", || spooled(folder.path()) > 1_900_000);
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nobody waits for it");
    visitor.send(b"\r\n0\r\n\r\n");
    assert_eq!(visitor.answer(false).text(), expected(&body));
}

#[test]
fn too_many_bytes_at_once_are_refused_and_a_visitor_who_leaves_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let worker = Worker::start(APP, 1);
    let spec = upstream(Protocol::Frames, vec![worker.instance.clone()]);
    let limited = Settings {
        spool_limit: 3_000_000,
        ..settings(folder.path())
    };
    let running = Running::with(limited, table(spec));
    let body = body(2_000_000);
    let mut first = running.visit();
    send_all_but_one(&mut first, &body);
    until("the first body is on disk", || {
        spooled(folder.path()) > 1_900_000
    });
    let mut second = running.visit();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    visitor_may_be_refused(&mut second, head.as_bytes(), &body);
    assert_eq!(second.answer(false).status, 503);
    drop(first);
    until("its room is free", || spooled(folder.path()) == 0);
    let mut third = running.visit();
    send_all_but_one(&mut third, &body);
    third.send(&body[body.len() - 1..]);
    assert_eq!(third.answer(false).text(), expected(&body));
}

/// The edge answers before it has read all, so that writing may fail.
fn visitor_may_be_refused(visitor: &mut Visitor, head: &[u8], body: &[u8]) {
    visitor.send(head);
    let _ = visitor.stream.write_all(body);
}

#[test]
fn without_a_place_on_disk_bodies_are_passed_on_as_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let worker = Worker::start(APP, 1);
    let spec = upstream(Protocol::Frames, vec![worker.instance.clone()]);
    let running = Running::with(settings(folder.path()), table(spec));
    std::fs::remove_dir(folder.path().join("spool")).unwrap();
    let body = body(1_000_000);
    let mut visitor = running.visit();
    send_all_but_one(&mut visitor, &body);
    visitor.send(&body[body.len() - 1..]);
    assert_eq!(visitor.answer(false).text(), expected(&body));
}

/// Answers how often it was called, and the length of the body.
const COUNTING: &str = r#"
calls = 0

def app(environ, start_response):
    global calls
    calls += 1
    length = len(environ["wsgi.input"].read())
    start_response("200 OK", [])
    return [b"%d %d" % (calls, length)]
"#;

#[test]
fn a_body_for_which_the_disk_has_no_room_is_refused_before_the_app_has_any_of_it() {
    if let Some(place) = std::env::var_os(IN_CHILD) {
        // Its only thread is never kept for a body that is still coming, so all of them go to disk.
        let worker = Worker::start(COUNTING, 1);
        let settings = Settings {
            spool: Some(place.into()),
            ..Settings::default()
        };
        let instances = vec![worker.instance.clone()];
        assert!(serve(
            table(upstream(Protocol::Frames, instances)),
            settings
        ));
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("skipped: a small disk is for root to make");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let test =
        "spooling::a_body_for_which_the_disk_has_no_room_is_refused_before_the_app_has_any_of_it";
    let edge = Apart::with_disk(test, folder.path(), "1m");
    let send = |length: usize| {
        let mut visitor = Visitor::from(edge.connect());
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        visitor.send(head.as_bytes());
        visitor.send(&vec![b'x'; length]);
        let answer = visitor.answer(false);
        (answer.status, answer.text().to_owned())
    };
    for _ in 0..2 {
        let (status, page) = send(3 << 20);
        assert_eq!(status, 507, "{page}");
    }
    // What did not fit takes no room, and the app was asked nothing before.
    assert_eq!(send(900_000), (200, "1 900000".to_owned()));
    assert_eq!(send(3), (200, "2 3".to_owned()));
}
