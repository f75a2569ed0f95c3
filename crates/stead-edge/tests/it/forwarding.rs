//! Requests through the edge to the worker and back.

use std::time::Duration;

use stead_edge::Settings;
use stead_model::messages::EdgeEvent;
use stead_model::release::Protocol;

use crate::running::{Running, Worker, table, upstream, visit};

const APP: &str = r#"
import json, os, tempfile, threading, time

MEETING = threading.Barrier(10)

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/environ":
        body = json.dumps({k: v for k, v in environ.items() if isinstance(v, str)}).encode()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [body]
    if path == "/echo":
        data = environ["wsgi.input"].read()
        start_response("200 OK", [("X-Length", str(len(data)))])
        return [data]
    if path == "/count":
        total = 0
        while True:
            piece = environ["wsgi.input"].read(65536)
            if not piece:
                break
            total += len(piece)
        start_response("200 OK", [])
        return [str(total).encode()]
    if path == "/stream":
        def pieces():
            for number in range(5):
                yield b"piece %d\n" % number
        start_response("200 OK", [])
        return pieces()
    if path == "/large":
        start_response("200 OK", [])
        return [b"x" * 3000000]
    if path == "/file":
        file = tempfile.TemporaryFile()
        file.write(b"0123456789" * 30000)
        file.seek(5)
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](file)
    if path == "/fail":
        raise ValueError("as asked")
    if path == "/fail-late":
        def pieces():
            yield b"some"
            raise ValueError("as asked")
        start_response("200 OK", [])
        return pieces()
    if path == "/slow":
        time.sleep(float(environ["QUERY_STRING"]))
    if path == "/meet":
        MEETING.wait(20)
    if path == "/die":
        os._exit(9)
    if path == "/nothing":
        start_response("204 No Content", [])
        return []
    if path == "/spaced":
        start_response("200", [("Set-Cookie", " a=1; Path=/ "), ("X-Blank", " "), ("X-Empty", "")])
        return [b"hello\n"]
    start_response("200 OK", [("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return [b"hello\n"]
"#;

#[test]
fn requests_of_one_connection_are_answered_in_order() {
    let (running, _worker) = Running::app(APP, 4);
    let mut visitor = running.visit();
    visitor.send(
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /environ HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(visitor.answer(false).text(), "hello\n");
    assert!(
        visitor
            .answer(false)
            .text()
            .contains("\"PATH_INFO\": \"/environ\"")
    );
    let head = visitor.answer(true);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(visitor.answer(false).status, 204);
    visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let last = visitor.answer(false);
    assert_eq!(last.header("connection"), Some("close"));
    assert!(visitor.is_closed());
}

#[test]
fn the_environ_is_that_of_pep_3333() {
    let (running, _worker) = Running::app(APP, 2);
    let answer = running.ask(
        "GET /environ?a=1&b=%20 HTTP/1.1\r\nHost: shop.example.com:8080\r\nX-Thing: one\r\nx-thing: two\r\nCookie: a=1\r\nCookie: b=2\r\n\
         X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nProxy: http://evil\r\nConnection: X-Forwarded-For, X-Private\r\nX-Private: 1\r\nX-Umlaut: \u{fc}\r\n\r\n",
    );
    let text = answer.text();
    for expected in [
        "\"QUERY_STRING\": \"a=1&b=%20\"",
        "\"HTTP_X_THING\": \"one, two\"",
        "\"HTTP_COOKIE\": \"a=1; b=2\"",
        "\"HTTP_HOST\": \"shop.example.com:8080\"",
        "\"SERVER_NAME\": \"shop.example.com\"",
        "\"SERVER_PORT\": \"8080\"",
        "\"SERVER_PROTOCOL\": \"HTTP/1.1\"",
        "\"REMOTE_ADDR\": \"127.0.0.1\"",
        "\"HTTP_X_FORWARDED_FOR\": \"127.0.0.1\"",
        "\"HTTP_X_FORWARDED_PROTO\": \"http\"",
        "\"wsgi.url_scheme\": \"http\"",
        "\"HTTP_X_UMLAUT\": \"\\u00c3\\u00bc\"",
    ] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
    for unwanted in ["6.6.6.6", "HTTP_PROXY", "X_PRIVATE", "CONTENT_LENGTH"] {
        assert!(!text.contains(unwanted), "{unwanted} is in {text}");
    }
    let decoded = running.get("/a%20b/%C3%BC/../x");
    assert_eq!(decoded.status, 400, "a dot segment has two meanings");
}

#[test]
fn bodies_arrive_whole_whatever_their_size_and_framing() {
    let (running, _worker) = Running::app(APP, 4);
    for size in [0_usize, 1, 1000, 70_000, 300_000, 5_000_000] {
        let body = vec![b'b'; size];
        let mut visitor = running.visit();
        visitor.send(
            format!("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n").as_bytes(),
        );
        visitor.send(&body);
        assert_eq!(visitor.answer(false).text(), size.to_string());
        visitor.send(b"POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in body.chunks(30_011) {
            visitor.send(format!("{:x}\r\n", piece.len()).as_bytes());
            visitor.send(piece);
            visitor.send(b"\r\n");
        }
        visitor.send(b"0\r\n\r\n");
        assert_eq!(visitor.answer(false).text(), size.to_string());
        visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(
            visitor.answer(false).text(),
            "hello\n",
            "the connection goes on after {size} bytes"
        );
    }
}

#[test]
fn an_echo_of_megabytes_does_not_deadlock() {
    let (running, _worker) = Running::app(APP, 4);
    let mut visitor = running.visit();
    let body: Vec<u8> = (0..4_000_000_u32)
        .map(|number| (number * 7) as u8)
        .collect();
    visitor.send(
        format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .as_bytes(),
    );
    visitor.send(&body);
    assert!(
        visitor.answer(false).body == body,
        "the body came back changed"
    );
}

#[test]
fn a_visitor_who_asks_first_is_told_to_go_on() {
    let (running, _worker) = Running::app(APP, 4);
    let mut visitor = running.visit();
    visitor.send(
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(visitor.raw(25), b"HTTP/1.1 100 Continue\r\n\r\n");
    visitor.send(b"hello");
    assert_eq!(visitor.answer(false).text(), "hello");
}

#[test]
fn responses_of_every_kind_come_back_whole() {
    let (running, _worker) = Running::app(APP, 4);
    let stream = running.get("/stream");
    assert_eq!(
        stream.text(),
        "piece 0\npiece 1\npiece 2\npiece 3\npiece 4\n"
    );
    assert!(running.get("/large").body == vec![b'x'; 3_000_000]);
    let file = running.get("/file");
    assert_eq!(file.body.len(), 299_995);
    assert!(file.body.starts_with(b"56789012345"));
    let old = running.ask("GET /stream HTTP/1.0\r\n\r\n");
    assert!(old.header("transfer-encoding").is_none());
    assert_eq!(old.text().lines().count(), 5);
    let cookies = running.get("/");
    assert_eq!(cookies.head.matches("Set-Cookie").count(), 2);
}

#[test]
fn every_visitor_gets_the_answer_to_its_own_request() {
    // More visitors than threads, so that requests wait for a moment in mailboxes; some are short, some are not, and
    // some come over one connection after the other.
    let app = r#"
import time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/long":
        end = time.monotonic() + 0.003
        while time.monotonic() < end:
            pass
    if environ["PATH_INFO"] == "/fail":
        raise ValueError(environ["QUERY_STRING"])
    start_response("200 OK", [("X-Asked", environ["QUERY_STRING"])])
    return [environ["QUERY_STRING"].encode() + b"." * 300]
"#;
    let (running, _worker) = Running::app(app, 2);
    std::thread::scope(|scope| {
        for visitor in 0..16 {
            let address = running.address;
            scope.spawn(move || {
                let mut connection = visit(address);
                for number in 0..60 {
                    let path = ["short", "long", "fail", "short"][(visitor + number) % 4];
                    let token = format!("<{visitor}-{number}>");
                    // Half of them keep their connection.
                    if visitor % 2 == 1 {
                        connection = visit(address);
                    }
                    let request = format!(
                        "GET /{path}?{visitor}-{number} HTTP/1.1\r\nHost: localhost\r\n\r\n"
                    );
                    connection.send(request.as_bytes());
                    let answer = connection.answer(false);
                    if path == "fail" {
                        assert_eq!(answer.status, 500, "{token}: {}", answer.text());
                    } else {
                        assert_eq!(answer.status, 200, "{token}: {}", answer.text());
                        let text = format!("<{}>", answer.text().trim_end_matches('.'));
                        assert_eq!(text, token);
                    }
                }
            });
        }
    });
}

#[test]
fn visitors_who_leave_and_answers_that_break_off_harm_nobody_else() {
    let app = r#"
import time

def app(environ, start_response):
    query = environ["QUERY_STRING"].encode()
    start_response("200 OK", [("Content-Length", "300000" if environ["PATH_INFO"] == "/half" else str(len(query)))])
    if environ["PATH_INFO"] == "/left":
        time.sleep(0.0005)
    return [query]
"#;
    let (running, _worker) = Running::app(app, 2);
    std::thread::scope(|scope| {
        for visitor in 0..12 {
            let address = running.address;
            scope.spawn(move || {
                for number in 0..100 {
                    let mut connection = visit(address);
                    let path = ["/left", "/whole", "/half"][visitor % 3];
                    let request = format!(
                        "GET {path}?{visitor}-{number} HTTP/1.1\r\nHost: localhost\r\n\r\n"
                    );
                    connection.send(request.as_bytes());
                    match path {
                        "/whole" => {
                            let answer = connection.answer(false);
                            assert_eq!(answer.status, 200, "{visitor}-{number}: {}", answer.text());
                            assert_eq!(answer.text(), format!("{visitor}-{number}"));
                        }
                        // It leaves as soon as its request is sent.
                        "/left" => connection
                            .stream
                            .shutdown(std::net::Shutdown::Both)
                            .unwrap(),
                        _ => {
                            let answer = connection.answer(false);
                            assert!(answer.cut || answer.status == 502);
                        }
                    }
                }
            });
        }
    });
}

#[test]
fn a_head_is_exact_however_the_app_spaces_it() {
    let (running, _worker) = Running::app(APP, 4);
    let head = running.get("/spaced").head;
    for line in [
        "HTTP/1.1 200 ",
        "Set-Cookie: a=1; Path=/",
        "X-Blank: ",
        "X-Empty: ",
    ] {
        assert!(head.split("\r\n").any(|found| found == line), "{head:?}");
    }
}

#[test]
fn a_failing_app_is_a_500_and_a_half_answer_is_cut() {
    let (running, _worker) = Running::app(APP, 4);
    let failed = running.get("/fail");
    assert_eq!(failed.status, 500);
    assert!(
        failed
            .header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    let json = running.ask("GET /fail HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n");
    assert_eq!(json.header("content-type"), Some("application/json"));
    let late = running.get("/fail-late");
    assert!(late.cut || late.status >= 500);
    assert_eq!(running.get("/").status, 200);
}

#[test]
fn a_worker_that_dies_in_a_request_is_a_502_and_is_reported() {
    let (mut running, worker) = Running::app(APP, 4);
    assert_eq!(running.get("/die").status, 502);
    let id = worker.instance.id;
    running.wait_for(
        |event| matches!(event, EdgeEvent::InstanceFailed { instance, .. } if *instance == id),
    );
}

#[test]
fn a_request_that_takes_too_long_is_a_504_and_is_reported() {
    let worker = Worker::start(APP, 4);
    let mut spec = upstream(Protocol::Frames, vec![worker.instance.clone()]);
    let mut running = Running::start(table(spec.clone()));
    assert_eq!(running.get("/").status, 200, "the app is imported");
    spec.timeout = Duration::from_millis(500);
    running.publish(table(spec));
    assert_eq!(running.get("/slow?20").status, 504);
    let event = running.wait_for(|event| matches!(event, EdgeEvent::RequestTimedOut { .. }));
    let expected = EdgeEvent::RequestTimedOut {
        instance: worker.instance.id,
        request: "GET /slow".into(),
        after: Duration::from_millis(500),
    };
    assert_eq!(event, expected);
    assert_eq!(running.get("/").status, 200, "the other threads serve on");
}

#[test]
fn requests_wait_in_a_queue_that_has_an_end() {
    let worker = Worker::start(APP, 1);
    let mut spec = upstream(Protocol::Frames, vec![worker.instance.clone()]);
    spec.queue_limit = 1;
    let running = Running::start(table(spec));
    assert_eq!(running.get("/").status, 200);
    let mut first = running.visit();
    first.send(b"GET /slow?1 HTTP/1.1\r\nHost: a\r\n\r\n");
    std::thread::sleep(Duration::from_millis(200));
    let mut second = running.visit();
    second.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    std::thread::sleep(Duration::from_millis(200));
    let third = running.get("/");
    assert_eq!(
        (third.status, third.header("retry-after")),
        (503, Some("5"))
    );
    assert_eq!(first.answer(false).status, 200);
    assert_eq!(second.answer(false).status, 200);
}

#[test]
fn slow_requests_use_the_threads_of_an_instance() {
    let (running, _worker) = Running::app(APP, 16);
    let mut visitors: Vec<_> = (0..10).map(|_| running.visit()).collect();
    for visitor in &mut visitors {
        visitor.send(b"GET /meet HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    // Each waits for the nine others: one after the other, none would get an answer.
    for visitor in &mut visitors {
        assert_eq!(visitor.answer(false).status, 200);
    }
}

#[test]
fn a_visitor_who_says_nothing_is_let_go() {
    let worker = Worker::start(APP, 1);
    let settings = Settings {
        header_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(200),
        ..Settings::default()
    };
    let running = Running::with(
        settings,
        table(upstream(Protocol::Frames, vec![worker.instance.clone()])),
    );
    assert!(running.visit().is_closed());
    let mut half = running.visit();
    half.send(b"GET / HTTP/1.1\r\nHo");
    assert_eq!(half.answer(false).status, 408);
    let mut idle = running.visit();
    idle.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(idle.answer(false).status, 200);
    assert!(idle.is_closed());
}

#[test]
fn a_body_beyond_the_limit_is_a_413() {
    let worker = Worker::start(APP, 4);
    let mut small = table(upstream(Protocol::Frames, vec![worker.instance.clone()]));
    small.routes[0].body_limit = 1000;
    let running = Running::start(small);
    let declared = running.ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n");
    assert_eq!(
        (declared.status, declared.header("connection")),
        (413, Some("close"))
    );
    let chunk = "a".repeat(600);
    let chunked = running.ask(&format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n258\r\n{chunk}\r\n258\r\n{chunk}\r\n0\r\n\r\n"
    ));
    assert_eq!(chunked.status, 413);
}

#[test]
fn draining_lets_requests_end_and_closes_idle_connections() {
    let (running, _worker) = Running::app(APP, 4);
    let mut idle = running.visit();
    idle.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(idle.answer(false).status, 200);
    let mut busy = running.visit();
    busy.send(b"GET /slow?0.5 HTTP/1.1\r\nHost: a\r\n\r\n");
    std::thread::sleep(Duration::from_millis(200));
    let address = running.address;
    let draining = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        runtime.block_on(running.edge.drain(deadline))
    });
    assert!(idle.is_closed());
    let answer = busy.answer(false);
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    drop(busy);
    assert_eq!(draining.join().unwrap(), 0);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn who_asks_for_the_end_of_the_connection_gets_all_of_the_answer_first() {
    let (running, _worker) = Running::app(
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'x' * 3_000_000]\n",
        1,
    );
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        let mut visitor = running.visit();
        visitor.send(request.as_bytes());
        // The edge has closed its side before the visitor reads most of this.
        let got = visitor.answer(false);
        assert_eq!((got.status, got.body.len()), (200, 3_000_000));
        assert!(!got.cut && visitor.is_closed());
    }
}

#[test]
fn who_closes_its_side_behind_its_requests_gets_all_answers() {
    let app = r#"
import time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.2)
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode()]
"#;
    let (running, _worker) = Running::app(app, 1);
    // All of them have to wait for the only thread.
    let mut other = running.visit();
    other.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut visitors = Vec::new();
    for count in [1, 3] {
        let mut visitor = running.visit();
        for number in 1..=count {
            let request = format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n");
            visitor.send(request.as_bytes());
        }
        let side = std::net::Shutdown::Write;
        visitor.stream.shutdown(side).unwrap();
        visitors.push((count, visitor));
    }
    assert_eq!(other.answer(false).text(), "/slow");
    for (count, mut visitor) in visitors {
        for number in 1..=count {
            assert_eq!(visitor.answer(false).text(), format!("/{number}"));
        }
        assert!(visitor.is_closed());
    }
}
