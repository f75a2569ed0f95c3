//! Requests over HTTP/2 reach apps as all others do.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use stead_edge::Settings;
use stead_model::messages::EdgeEvent;
use stead_model::release::Protocol;
use stead_model::routing::{Address, Instance, InstanceId};

use super::client::{
    Client, END_HEADERS, END_STREAM, Event, block, data, folder_table, frame, get, ping, post,
    request, reset, window,
};
use crate::running::{PATIENCE, Running, Worker, table, upstream};

const APP: &str = r#"
import time

def app(environ, start_response):
    body = environ["wsgi.input"].read()
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(0.5)
    if path == "/large":
        start_response("200 OK", [])
        return (b"%07d\n" % at for at in range(250000))
    if path == "/echo":
        start_response("201 Created", [("Connection", "close"), ("X-Upper", "1")])
        return [body]
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = ["SERVER_PROTOCOL", "HTTP_HOST", "HTTP_COOKIE", "HTTP_X_FORWARDED_FOR", "HTTP_X_REQUEST_ID", "REQUEST_METHOD"]
    return ["\n".join(environ.get(name, "-") for name in names).encode()]
"#;

fn of_path(stream: u32, flags: u8, method: &str, path: &str) -> Vec<u8> {
    let fields = [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
    ];
    frame(1, END_HEADERS | flags, stream, &block(&fields))
}

#[test]
fn the_environ_is_that_of_any_other_request() {
    let (running, _worker) = Running::app(APP, 2);
    let mut client = Client::new(&running);
    let more = [
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x-forwarded-for", "6.6.6.6"),
    ];
    client.send(&frame(
        1,
        END_HEADERS | END_STREAM,
        1,
        &request("GET", &more),
    ));
    let (status, head, body) = client.response(1);
    let text = String::from_utf8(body).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(status, 200);
    assert_eq!(
        lines[..4],
        ["HTTP/2.0", "localhost", "a=1; b=2", "127.0.0.1"]
    );
    assert_eq!((lines[4].len(), lines[5]), (32, "GET"));
    assert!(head.contains(&("content-type".into(), "text/plain".into())));
    assert!(head.iter().any(|(name, _)| name == "date"));
}

#[test]
fn bodies_of_every_size_come_and_go_whole() {
    let (running, _worker) = Running::app(APP, 2);
    let mut client = Client::new(&running);
    let mut stream = 1;
    for size in [1, 65_535, 65_536, 262_144, 262_145, 3_000_000] {
        let bytes: Vec<u8> = (0..size).map(|at| (at / 7) as u8).collect();
        client.send(&of_path(stream, 0, "POST", "/echo"));
        let others = client.body(stream, &bytes);
        assert!(
            !others.iter().any(|event| matches!(event, Event::Head(..))),
            "{size}"
        );
        let (status, head, body) = client.response(stream);
        assert_eq!(status, 201);
        assert!(body == bytes, "{size}: {}", body.len());
        // What is about a connection is nobody's business here, and names are in lower case.
        assert!(!head.iter().any(|(name, _)| name == "connection"));
        assert!(head.contains(&("x-upper".into(), "1".into())));
        stream += 2;
    }
    client.send(&of_path(stream, END_STREAM, "GET", "/large"));
    assert_eq!(client.response(stream).2.len(), 2_000_000);
    client.send(&of_path(stream + 2, END_STREAM, "HEAD", "/large"));
    assert_eq!(client.response(stream + 2).2.len(), 0);
}

#[test]
fn early_hints_are_heads_before_the_head() {
    let app = r#"
def app(environ, start_response):
    for name in ("a", "b"):
        environ["wsgi.early_hints"]([("Link", "</%s.css>" % name)])
    start_response("200 OK", [])
    return [b"hello"]
"#;
    let (running, _worker) = Running::app(app, 1);
    let mut client = Client::new(&running);
    client.send(&get(1));
    let events = client.until(|event| matches!(event, Event::Data(1, _, true)));
    let heads: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Head(1, fields, false) => Some(fields),
            Event::Head(_, fields, _) => panic!("{fields:?}"),
            _ => None,
        })
        .collect();
    let status = |at: usize| heads[at][0].1.as_str();
    assert_eq!((status(0), status(1), status(2)), ("103", "103", "200"));
    assert_eq!(heads[0][1..], [("link".to_owned(), "</a.css>".to_owned())]);
    assert_eq!(heads.len(), 3);
}

#[test]
fn many_streams_are_answered_side_by_side() {
    let (running, _worker) = Running::app(APP, 8);
    let mut client = Client::new(&running);
    client.send(&of_path(1, END_STREAM, "GET", "/slow"));
    let rest: Vec<u8> = (1..100).flat_map(|at| get(2 * at + 1)).collect();
    client.send(&rest);
    let mut ended = Vec::new();
    while ended.len() < 100 {
        match client.next() {
            Event::Data(stream, _, true) => ended.push(stream),
            Event::Reset(..) | Event::GoAway(..) | Event::End => panic!("{ended:?}"),
            _ => {}
        }
    }
    // The slow one came first and holds nobody up.
    assert_ne!(ended[0], 1);
}

#[test]
fn an_answer_that_wants_no_body_ends_the_request_without_a_reset_where_that_goes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "x").unwrap();
    let running = Running::start(folder_table(folder.path()));
    let mut client = Client::new(&running);
    // What fits into the window comes in and is dropped.
    let fields = request("POST", &[("content-length", "5")]);
    client.send(&frame(1, END_HEADERS, 1, &fields));
    assert_eq!(client.response(1).0, 405);
    client.send(&[data(1, END_STREAM, b"12345"), ping()].concat());
    let events = client.until(|event| matches!(event, Event::Pong(_)));
    assert!(
        !events.iter().any(|event| matches!(event, Event::Reset(..))),
        "{events:?}"
    );
    // What may be of any length is refused.
    client.send(&post(3));
    assert_eq!(client.response(3).0, 405);
    let events = client.until(|event| matches!(event, Event::Reset(3, 0)));
    assert_eq!(events.last(), Some(&Event::Reset(3, 0)));
}

#[test]
fn a_websocket_over_http2_is_an_upgrade_to_the_app() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
            while !read.ends_with(b"\r\n\r\n") {
                let length = stream.read(&mut buffer).unwrap();
                read.extend_from_slice(&buffer[..length]);
            }
            let head = String::from_utf8(read).unwrap().to_lowercase();
            if head.starts_with("get /none ") {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
                    .unwrap();
                continue;
            }
            assert!(head.starts_with("get /ws http/1.1\r\n"), "{head}");
            for line in [
                "connection: upgrade",
                "upgrade: websocket",
                "sec-websocket-version: 13",
                "host: a",
            ] {
                assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
            }
            let key = head.split("sec-websocket-key: ").nth(1).unwrap();
            assert_eq!(key.find('\r'), Some(24), "{head}");
            stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\nearly ").unwrap();
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                stream.write_all(&buffer[..length]).unwrap();
            }
        }
    });
    let instance = Instance {
        id: InstanceId(1),
        address: Address::Tcp(address),
        capacity: 100,
    };
    let mut running = Running::start(table(upstream(Protocol::Http, vec![instance])));
    let mut client = Client::new(&running);
    let connect = |path| {
        block(&[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "a"),
            ("sec-websocket-version", "13"),
        ])
    };
    client.send(&frame(1, END_HEADERS, 1, &connect("/ws")));
    let events = client.until(|event| matches!(event, Event::Head(1, ..)));
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Settings(values) if values.contains(&(8, 1))))
    );
    let Some(Event::Head(_, head, false)) = events.last() else {
        panic!("{events:?}");
    };
    assert_eq!(head[0].1, "200");
    assert!(head.contains(&("sec-websocket-protocol".into(), "chat".into())));
    assert!(
        !head
            .iter()
            .any(|(name, _)| name == "upgrade" || name == "sec-websocket-accept")
    );
    let sent: Vec<u8> = (0..300_000).map(|at| (at / 3) as u8).collect();
    let mut got = Vec::new();
    let others = client.body(1, &sent);
    for event in others {
        if let Event::Data(1, bytes, _) = event {
            got.extend_from_slice(&bytes);
        }
    }
    let (opened, mut ended) = (window(0, 1 << 24), false);
    client.send(&[opened, window(1, 1 << 24)].concat());
    while !ended {
        match client.next() {
            Event::Data(1, bytes, end) => {
                got.extend_from_slice(&bytes);
                ended = end;
            }
            Event::Reset(..) | Event::GoAway(..) | Event::End => panic!("{} bytes", got.len()),
            _ => {}
        }
    }
    assert!(
        got == [&b"early "[..], &sent].concat(),
        "{} bytes",
        got.len()
    );
    // An app that knows no WebSocket must not seem to have agreed; it has not failed either.
    client.send(&frame(1, END_HEADERS, 3, &connect("/none")));
    let events = client.until(|event| matches!(event, Event::Head(3, ..)));
    assert!(matches!(events.last(), Some(Event::Head(3, head, _)) if head[0].1 == "502"));
    let failed = running.count_now(|event| matches!(event, EdgeEvent::InstanceFailed { .. }));
    assert_eq!(failed, 0);
}

#[test]
fn a_visitor_who_resets_a_stream_frees_the_instance() {
    let mut worker = Worker::start(APP, 1);
    worker.instance.capacity = 1;
    let running = Running::start(table(upstream(
        Protocol::Frames,
        vec![worker.instance.clone()],
    )));
    let mut client = Client::new(&running);
    // Bodies that never come, more of them than there are threads.
    for stream in [1, 3, 5] {
        client.send(&[of_path(stream, 0, "POST", "/echo"), data(stream, 0, b"x")].concat());
    }
    client.send(&[reset(1), reset(3), reset(5), get(7)].concat());
    assert_eq!(client.response(7).0, 200);
}

/// The next connection to a server, after its first head.
fn taken(server: &TcpListener) -> TcpStream {
    let (mut stream, _) = server.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    read_head(&mut stream);
    stream
}

fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend_from_slice(&byte);
    }
}

/// The edge has let the connection go.
fn is_let_go(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 16]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_stream_that_is_dropped_within_its_answer_gives_its_place_up_and_the_others_go_on() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let instance = InstanceId(900);
    let upstream_of_two = upstream(
        Protocol::Http,
        vec![Instance {
            id: instance,
            address: Address::Tcp(server.local_addr().unwrap()),
            capacity: 2,
        }],
    );
    let mut running = Running::start(table(upstream_of_two));
    let mut client = Client::new(&running);
    let part = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    // Two are in the middle of their answers, and have both places; two more wait for one.
    client.send(&get(1));
    let mut first = taken(&server);
    first.write_all(part).unwrap();
    client.until(|event| matches!(event, Event::Data(1, ..)));
    client.send(&get(3));
    let mut second = taken(&server);
    second.write_all(part).unwrap();
    client.until(|event| matches!(event, Event::Data(3, ..)));
    client.send(&[get(5), get(7)].concat());
    client.send(&reset(1));
    assert!(is_let_go(&mut first), "nobody reads the rest");
    let mut third = taken(&server);
    third.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    client.until(|event| matches!(event, Event::Head(5, _, true)));
    // The place is the fourth's now. It goes before its answer has begun.
    read_head(&mut third);
    client.send(&reset(7));
    assert!(is_let_go(&mut third), "nobody waits for the answer");
    second.write_all(b"world").unwrap();
    let events = client.until(|event| matches!(event, Event::Data(3, _, true)));
    assert!(
        events.contains(&Event::Data(3, b"world".to_vec(), true)),
        "{events:?}"
    );
    // A visitor who leaves altogether gives up the places of all its streams.
    client.send(&[get(9), get(11)].concat());
    read_head(&mut second);
    let mut fourth = taken(&server);
    fourth.write_all(part).unwrap();
    client.until(|event| matches!(event, Event::Data(..)));
    drop(client);
    assert!(is_let_go(&mut second) && is_let_go(&mut fourth));
    running.publish(table(upstream(Protocol::Http, Vec::new())));
    running.wait_for(|event| *event == EdgeEvent::Drained { instance });
}

#[test]
fn draining_says_goodbye_twice_and_lets_streams_end() {
    let (running, _worker) = Running::app(APP, 4);
    let mut client = Client::new(&running);
    client.send(&get(1));
    assert_eq!(client.response(1).0, 200);
    client.send(&[of_path(3, END_STREAM, "GET", "/slow"), ping()].concat());
    client.until(|event| matches!(event, Event::Pong(_)));
    let draining = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        runtime.block_on(running.edge.drain(deadline))
    });
    let events = client.until(|event| matches!(event, Event::Ping(_)));
    assert!(
        events.contains(&Event::GoAway(0x7fff_ffff, 0)),
        "{events:?}"
    );
    let Some(Event::Ping(payload)) = events.last() else {
        panic!("{events:?}");
    };
    // Until that is answered the visitor may not know, so what it asks is answered.
    client.send(&[get(5), frame(6, 1, 0, payload), get(7)].concat());
    let events = client.until(|_| false);
    let answered = |stream| {
        events
            .iter()
            .any(|event| matches!(event, Event::Data(of, _, true) if *of == stream))
    };
    assert!(answered(3) && answered(5) && !answered(7), "{events:?}");
    assert!(events.contains(&Event::GoAway(5, 0)), "{events:?}");
    drop(client);
    assert_eq!(draining.join().unwrap(), 0);
}

#[test]
fn connections_that_do_nothing_are_let_go_and_lines_are_written() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "x").unwrap();
    let log = folder.path().join("access.log");
    let short = Settings {
        header_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(300),
        stall_timeout: Duration::from_millis(300),
        access_log: Some(log.clone()),
        ..Settings::default()
    };
    let running = Running::with(short, folder_table(folder.path()));
    // Nothing but the preface.
    let mut silent = Client::new(&running);
    let events = silent.until(|_| false);
    assert!(events.contains(&Event::GoAway(0, 0)), "{events:?}");
    // Idle after a request.
    let mut idle = Client::new(&running);
    idle.send(&get(1));
    assert_eq!(idle.response(1).0, 200);
    let events = idle.until(|_| false);
    assert!(events.contains(&Event::GoAway(1, 0)), "{events:?}");
    // A block that is never completed.
    let mut partial = Client::new(&running);
    partial.send(&frame(1, END_STREAM, 1, &request("GET", &[])));
    let events = partial.until(|_| false);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::GoAway(..))),
        "{events:?}"
    );
    // A window that is never opened.
    let mut shut = Client::with(&running, &[(4, 0)]);
    shut.send(&get(1));
    let events = shut.until(|event| matches!(event, Event::Reset(1, 8)));
    assert_eq!(events.last(), Some(&Event::Reset(1, 8)), "{events:?}");
    // A preface that is never completed.
    let mut never = running.visit();
    never.send(b"PRI * HTTP/2.0\r\n");
    assert_eq!(never.answer(false).status, 408);
    drop(running);
    let lines = std::fs::read_to_string(log).unwrap();
    assert!(lines.contains("\"GET / HTTP/2.0\" 200 1 "), "{lines}");
}

#[test]
fn a_window_that_is_opened_byte_by_byte_is_as_good_as_shut() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), vec![b'x'; 100_000]).unwrap();
    let short = Settings {
        stall_timeout: Duration::from_millis(300),
        ..Settings::default()
    };
    let running = Running::with(short, folder_table(folder.path()));
    let mut client = Client::with(&running, &[(4, 0)]);
    client.send(&get(1));
    let mut opening = client.stream.try_clone().unwrap();
    let opener = std::thread::spawn(move || {
        // Fewer than any budget for small openings.
        for _ in 0..900 {
            if opening.write_all(&window(1, 1)).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let events = client.until(|event| matches!(event, Event::Reset(1, 8)));
    assert_eq!(events.last(), Some(&Event::Reset(1, 8)), "{events:?}");
    drop(client);
    drop(running);
    opener.join().unwrap();
}

#[test]
fn a_visitor_of_a_sticky_app_gets_its_cookie() {
    let running = sticky();
    let mut client = Client::new(&running);
    client.send(&get(1));
    let (status, head, _) = client.response(1);
    assert_eq!(status, 200);
    let cookies = head
        .iter()
        .filter(|(name, value)| name == "set-cookie" && value.starts_with("stead-sticky="));
    assert_eq!(cookies.count(), 1, "{head:?}");
}

fn sticky() -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
        }
    });
    let mut spec = upstream(
        Protocol::Http,
        vec![Instance {
            id: InstanceId(901),
            address: Address::Tcp(address),
            capacity: 1,
        }],
    );
    spec.sticky = true;
    Running::start(table(spec))
}
