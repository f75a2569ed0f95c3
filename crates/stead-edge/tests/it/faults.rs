//! Instances and visitors that misbehave, each in one way.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use stead_edge::Settings;
use stead_model::messages::EdgeEvent;
use stead_model::release::Protocol;
use stead_model::routing::{Address, Instance, InstanceId, RoutingTable, Upstream};

use crate::running::{Running, Worker, table, upstream};

/// A server that carries out `script` for each connection, with the connection's number.
struct Scripted {
    instance: Instance,
    _folder: tempfile::TempDir,
}

impl Scripted {
    fn start(script: impl Fn(UnixStream, usize) + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("scripted.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let script = Arc::clone(&script);
                std::thread::spawn(move || script(stream.unwrap(), number));
            }
        });
        Self {
            instance: Instance {
                id: InstanceId(1),
                address: Address::Unix(socket),
                capacity: 100,
            },
            _folder: folder,
        }
    }

    fn upstream(&self, protocol: Protocol) -> Upstream {
        upstream(protocol, vec![self.instance.clone()])
    }

    fn table(&self, protocol: Protocol) -> RoutingTable {
        table(self.upstream(protocol))
    }
}

/// Read up to the end of a head; what follows it may be read too.
fn read_head(stream: &mut UnixStream) -> bool {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    while !read.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(length @ 1..) => read.extend_from_slice(&buffer[..length]),
            _ => return false,
        }
    }
    true
}

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn what_an_instance_did_not_take_of_a_body_is_not_the_next_request() {
    let server = Scripted::start(|mut stream, _| {
        if read_head(&mut stream) {
            stream.shutdown(Shutdown::Read).unwrap();
            std::thread::sleep(Duration::from_millis(400));
            let _ = stream.write_all(HELLO);
        }
    });
    let running = Running::start(server.table(Protocol::Http));
    let mut visitor = running.visit();
    visitor.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n");
    // So much that an instance is asked for.
    visitor.send(&[b'x'; 300_000]);
    for _ in 0..30 {
        // The instance takes nothing of this, and answers in between.
        std::thread::sleep(Duration::from_millis(20));
        if visitor
            .stream
            .write_all(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
            .is_err()
        {
            break;
        }
    }
    let _ = visitor.stream.shutdown(Shutdown::Write);
    let answers = String::from_utf8_lossy(&visitor.rest()).into_owned();
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers:?}");
}

#[test]
fn files_that_a_visitor_does_not_read_hold_the_instance_up() {
    // Frames of the worker protocol: a head, then files without end.
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let server = Scripted::start(move |mut stream, _| {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer);
        stream.write_all(&[6, 0, 0, 1]).unwrap();
        stream.write_all(b"200 OK").unwrap();
        let file = rustix::fs::memfd_create("flood", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, 1 << 20).unwrap();
        let mut frame = vec![16, 0, 0, 4];
        frame.extend_from_slice(&0_u64.to_le_bytes());
        frame.extend_from_slice(&(1_u64 << 20).to_le_bytes());
        loop {
            let passed = [file.as_fd()];
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            ancillary.push(SendAncillaryMessage::ScmRights(&passed));
            let piece = [std::io::IoSlice::new(&frame)];
            if sendmsg(&stream, &piece, &mut ancillary, SendFlags::NOSIGNAL).is_err() {
                return;
            }
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let running = Running::start(server.table(Protocol::Frames));
    let mut visitor = running.visit();
    visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(visitor.raw(15), b"HTTP/1.1 200 OK");
    std::thread::sleep(Duration::from_millis(700));
    // What fits into the socket between the two, and a few.
    let sent = sent.load(Ordering::Relaxed);
    assert!(sent < 1000, "{sent} files were taken in");
}

#[test]
fn a_uwsgi_connection_is_not_used_twice() {
    // As uwsgi does: one response for each connection, which it closes a moment later.
    let server = Scripted::start(|mut stream, _| {
        let mut header = [0; 4];
        stream.read_exact(&mut header).unwrap();
        let length = usize::from(u16::from_le_bytes([header[1], header[2]]));
        stream.read_exact(&mut vec![0; length]).unwrap();
        stream.write_all(HELLO).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    });
    let running = Running::start(server.table(Protocol::Uwsgi));
    let mut visitor = running.visit();
    for _ in 0..20 {
        visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(visitor.answer(false).status, 200);
    }
}

#[test]
fn a_kept_connection_that_is_reset_is_not_a_failed_request() {
    // Each connection answers once; the next request on it is thrown away unread.
    let server = Scripted::start(|mut stream, _| {
        if read_head(&mut stream) {
            stream.write_all(HELLO).unwrap();
            let mut byte = [0];
            rustix::net::recv(&stream, &mut byte, rustix::net::RecvFlags::PEEK).unwrap();
        }
    });
    let mut running = Running::start(server.table(Protocol::Http));
    let mut visitor = running.visit();
    for _ in 0..10 {
        visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(visitor.answer(false).status, 200);
    }
    running.publish(RoutingTable::default());
    let event = running.wait_for(|event| {
        matches!(
            event,
            EdgeEvent::Drained { .. } | EdgeEvent::InstanceFailed { .. }
        )
    });
    assert!(matches!(event, EdgeEvent::Drained { .. }), "{event:?}");
}

#[test]
fn a_request_that_a_server_has_read_is_not_repeated() {
    // Each connection answers once, and takes the next request to its grave.
    let reads = Arc::new(AtomicUsize::new(0));
    let server = {
        let reads = Arc::clone(&reads);
        Scripted::start(move |mut stream, _| {
            if read_head(&mut stream) {
                reads.fetch_add(1, Ordering::SeqCst);
                stream.write_all(HELLO).unwrap();
                if read_head(&mut stream) {
                    reads.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
    };
    let running = Running::start(server.table(Protocol::Http));
    let mut visitor = running.visit();
    for status in [200, 502, 200, 502] {
        visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(visitor.answer(false).status, status);
    }
    assert_eq!(reads.load(Ordering::SeqCst), 4);
}

#[test]
fn a_visitor_who_has_said_everything_gets_the_whole_answer() {
    let server = Scripted::start(|mut stream, _| {
        if read_head(&mut stream) {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
                .unwrap();
            std::thread::sleep(Duration::from_millis(300));
            let _ = stream.write_all(b"6\r\n world\r\n0\r\n\r\n");
        }
    });
    let running = Running::start(server.table(Protocol::Http));
    let mut visitor = running.visit();
    visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    visitor.stream.shutdown(Shutdown::Write).unwrap();
    let answer = visitor.answer(false);
    assert_eq!((answer.text(), answer.cut), ("hello world", false));
}

#[test]
fn a_stream_whose_visitor_left_is_not_kept_for_ever() {
    let server = Scripted::start(|mut stream, _| {
        if read_head(&mut stream) {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
                .unwrap();
            // Silent until the edge gives up.
            let _ = stream.read(&mut [0]);
        }
    });
    let mut spec = server.upstream(Protocol::Http);
    spec.timeout = Duration::from_millis(300);
    let mut running = Running::start(table(spec));
    let mut visitor = running.visit();
    visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(visitor.raw(15), b"HTTP/1.1 200 OK");
    drop(visitor);
    running.publish(RoutingTable::default());
    running.wait_for(|event| matches!(event, EdgeEvent::Drained { .. }));
}

#[test]
fn a_response_of_known_length_that_stalls_is_cut() {
    let server = Scripted::start(|mut stream, _| {
        if read_head(&mut stream) {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello")
                .unwrap();
            let _ = stream.read(&mut [0]);
        }
    });
    let mut spec = server.upstream(Protocol::Http);
    spec.timeout = Duration::from_millis(300);
    assert!(Running::start(table(spec)).get("/").cut);
}

#[test]
fn a_reader_may_pause_longer_than_the_app_may_think() {
    let server = Scripted::start(|mut stream, _| {
        if read_head(&mut stream) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n");
            let _ = stream.write_all(&vec![b'x'; 30_000_000]);
        }
    });
    let mut spec = server.upstream(Protocol::Http);
    spec.timeout = Duration::from_millis(300);
    let running = Running::start(table(spec));
    let mut visitor = running.visit();
    visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(visitor.raw(15), b"HTTP/1.1 200 OK");
    std::thread::sleep(Duration::from_millis(1200));
    assert!(visitor.rest().len() > 30_000_000, "the rest was cut off");
}

#[test]
fn a_reader_who_stops_is_let_go_after_the_stall_time() {
    let server = Scripted::start(|mut stream, _| {
        if read_head(&mut stream) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n");
            let _ = stream.write_all(&vec![b'x'; 30_000_000]);
        }
    });
    let settings = Settings {
        stall_timeout: Duration::from_millis(300),
        ..Settings::default()
    };
    let mut running = Running::with(settings, server.table(Protocol::Http));
    let mut visitor = running.visit();
    visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(visitor.raw(15), b"HTTP/1.1 200 OK");
    running.publish(RoutingTable::default());
    running.wait_for(|event| matches!(event, EdgeEvent::Drained { .. }));
}

#[test]
fn an_old_visitor_sees_that_an_answer_broke_off() {
    // Nothing but the end of the connection tells an HTTP/1.0 visitor where the answer ends.
    let server = Scripted::start(|mut stream, _| {
        if read_head(&mut stream) {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
                .unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let running = Running::start(server.table(Protocol::Http));
    let mut visitor = running.visit();
    visitor.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(visitor.raw(15), b"HTTP/1.1 200 OK");
    let mut rest = Vec::new();
    let end = visitor.stream.read_to_end(&mut rest);
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

const APP: &str = r#"
import json
def app(environ, start_response):
    if environ["PATH_INFO"] == "/interim":
        start_response("101 Switching Protocols", [])
        return []
    if environ["PATH_INFO"] == "/hop":
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Hop", "secret"), ("X-Other", "secret")])
        return [b"hop"]
    start_response("200 OK", [])
    return [json.dumps({k: v for k, v in environ.items() if isinstance(v, str)}).encode()]
"#;

#[test]
fn an_app_cannot_switch_protocols_on_a_worker() {
    let (running, _worker) = Running::app(APP, 2);
    // The worker refuses it before the edge has to.
    assert_eq!(running.get("/interim").status, 500);
    let server = Scripted::start(|mut stream, _| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"\x17\0\0\x01101 Switching Protocols\0\0\0\x03");
    });
    let running = Running::start(server.table(Protocol::Frames));
    assert_eq!(running.get("/").status, 502);
}

#[test]
fn every_connection_header_names_headers_that_are_not_passed_on() {
    let (running, _worker) = Running::app(APP, 2);
    let answer = running.ask(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: X-Secret\r\nX-Secret: 1\r\n\r\n",
    );
    assert!(!answer.text().contains("X_SECRET"), "{}", answer.text());
}

#[test]
fn no_header_of_a_visitor_speaks_for_the_edge() {
    let (running, _worker) = Running::app(APP, 2);
    let answer = running.ask(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Ssl: on\r\nX-Forwarded-Scheme: https\r\nX-Forwarded-Protocol: ssl\r\n\
         Forwarded-For: 6.6.6.6\r\nX-Cluster-Client-IP: 6.6.6.6\r\nFront-End-Https: on\r\nX-Url-Scheme: https\r\nX-Scheme: https\r\n\r\n",
    );
    for unwanted in [
        "SSL",
        "FORWARDED_SCHEME",
        "PROTOCOL\": \"ssl",
        "6.6.6.6",
        "HTTPS",
        "URL_SCHEME\": \"https",
        "X_SCHEME",
    ] {
        assert!(!answer.text().contains(unwanted), "{}", answer.text());
    }
}

#[test]
fn the_host_of_an_absolute_target_is_the_host_that_the_app_sees() {
    let (running, _worker) = Running::app(APP, 2);
    let answer = running.ask("GET http://good.test/x?y=1 HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    let text = answer.text();
    assert!(text.contains("\"HTTP_HOST\": \"good.test\""), "{text}");
    assert!(text.contains("\"REQUEST_URI\": \"/x?y=1\""), "{text}");
    assert!(!text.contains("evil"), "{text}");
}

#[test]
fn an_upgrade_to_http_2_is_not_offered_to_an_instance() {
    let server = Scripted::start(|mut stream, _| {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).unwrap();
        let head = String::from_utf8_lossy(&buffer[..length]).to_lowercase();
        let status = if head.contains("upgrade") { 400 } else { 200 };
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let running = Running::start(server.table(Protocol::Http));
    let answer = running.ask(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    assert_eq!(answer.status, 200);
}

#[test]
fn a_slow_body_holds_no_worker() {
    let worker = Worker::start(APP, 1);
    let running = Running::start(table(upstream(
        Protocol::Frames,
        vec![worker.instance.clone()],
    )));
    assert_eq!(running.get("/").status, 200);
    let mut slow = running.visit();
    slow.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\nsome");
    std::thread::sleep(Duration::from_millis(200));
    let spec = running.get("/");
    assert_eq!(
        spec.status, 200,
        "the only thread is free for whoever sends a whole request"
    );
    drop(slow);
}

#[test]
fn a_request_that_arrived_before_the_drain_is_answered() {
    let (running, _worker) = Running::app(APP, 2);
    assert_eq!(running.get("/").status, 200);
    let mut visitors: Vec<_> = (0..20).map(|_| running.visit()).collect();
    for visitor in &mut visitors {
        visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(visitor.answer(false).status, 200);
    }
    // The edge's thread is kept busy while these arrive, so that draining finds them unread.
    for visitor in &mut visitors {
        visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let draining = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        runtime.block_on(running.edge.drain(deadline))
    });
    for visitor in &mut visitors {
        assert_eq!(visitor.answer(false).status, 200);
    }
    drop(visitors);
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn an_instance_that_comes_back_is_not_drained_by_its_former_requests() {
    let server = Scripted::start(|mut stream, number| {
        if read_head(&mut stream) {
            std::thread::sleep(Duration::from_millis(if number == 0 { 800 } else { 0 }));
            stream.write_all(HELLO).unwrap();
        }
    });
    let mut running = Running::start(server.table(Protocol::Http));
    let mut visitor = running.visit();
    visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    std::thread::sleep(Duration::from_millis(200));
    running.publish(RoutingTable::default());
    running.publish(server.table(Protocol::Http));
    assert_eq!(visitor.answer(false).status, 200);
    assert_eq!(running.get("/").status, 200);
    running.publish(RoutingTable::default());
    running.wait_for(|event| matches!(event, EdgeEvent::Drained { .. }));
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(
        running.count_now(|event| matches!(event, EdgeEvent::Drained { .. })),
        0,
        "drained twice"
    );
}

#[test]
fn a_visitor_who_asks_first_and_reads_nothing_is_let_go() {
    let settings = Settings {
        stall_timeout: Duration::from_millis(300),
        ..Settings::default()
    };
    let server = Scripted::start(|mut stream, _| while read_head(&mut stream) {});
    let running = Running::with(settings, server.table(Protocol::Http));
    let mut visitor = running.visit();
    visitor
        .send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(visitor.raw(25), b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(visitor.answer(false).status, 408);
}

#[test]
fn an_upgraded_connection_does_not_outlive_its_instance_for_long() {
    let server = Scripted::start(|mut stream, _| {
        if read_head(&mut stream) {
            let head =
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nbye";
            stream.write_all(head).unwrap();
        }
    });
    let mut running = Running::start(server.table(Protocol::Http));
    let mut visitor = running.visit();
    visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(visitor.answer(true).status, 101);
    // The visitor sees the end, and says nothing.
    assert_eq!(visitor.rest(), b"bye");
    running.publish(RoutingTable::default());
    running.wait_for(|event| matches!(event, EdgeEvent::Drained { .. }));
}

#[test]
fn an_instance_that_switches_protocols_too_early_is_a_502() {
    let server = Scripted::start(|mut stream, _| {
        if read_head(&mut stream) {
            let head =
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
            stream.write_all(head).unwrap();
            let _ = stream.read(&mut [0]);
        }
    });
    let running = Running::start(server.table(Protocol::Http));
    let mut visitor = running.visit();
    visitor.send(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 600000\r\n\r\n");
    visitor.send(&vec![b'x'; 300_000]);
    assert_eq!(visitor.answer(false).status, 502);
}

#[test]
fn a_visitor_who_always_reads_a_little_gets_everything() {
    let server = Scripted::start(|mut stream, _| {
        if read_head(&mut stream) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 40000000\r\n\r\n");
            for number in (0..40_000_000 / 8).step_by(1000) {
                let numbers = (number..number + 1000).flat_map(u64::to_be_bytes);
                if stream.write_all(&numbers.collect::<Vec<u8>>()).is_err() {
                    return;
                }
            }
        }
    });
    let running = Running::start(server.table(Protocol::Http));
    let mut visitor = running.visit();
    visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = visitor.answer(false);
    assert_eq!(answer.body.len(), 40_000_000);
    let wrong = answer
        .body
        .chunks(8)
        .enumerate()
        .find(|(number, piece)| **piece != (*number as u64).to_be_bytes());
    assert!(wrong.is_none(), "{wrong:?}");
}
