//! Whom a visitor is taken for: what trusted proxies say, in headers and by the PROXY protocol, and how many
//! connections one address may have.

use std::time::Duration;

use stead_edge::Settings;
use stead_model::manifest::{Edge, VisitorHeader};
use stead_model::release::Protocol;
use stead_model::routing::RoutingTable;

use crate::counting::Counting;
use crate::running::{Running, Worker, table, upstream};

const PROTOCOLS: [Protocol; 3] = [Protocol::Http, Protocol::Frames, Protocol::Uwsgi];

/// This machine is a trusted proxy.
pub(crate) fn trusting() -> Edge {
    Edge {
        trusted: vec![
            "127.0.0.0/8".parse().unwrap(),
            "10.0.0.0/8".parse().unwrap(),
        ],
        ..Edge::default()
    }
}

fn introduced() -> Edge {
    Edge {
        proxy_protocol: true,
        ..trusting()
    }
}

const APP: &str = r#"
def app(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [])
    names = ["REMOTE_ADDR", "wsgi.url_scheme", "SERVER_PORT", "HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED"]
    return [" ".join(environ[name] for name in names).encode()]
"#;

pub(crate) fn app(edge: Edge) -> (Running, Worker) {
    app_with(edge, Settings::default())
}

fn app_with(edge: Edge, settings: Settings) -> (Running, Worker) {
    let worker = Worker::start(APP, 4);
    let upstream = upstream(Protocol::Frames, vec![worker.instance.clone()]);
    let table = RoutingTable {
        edge,
        ..table(upstream)
    };
    (Running::with(settings, table), worker)
}

/// Everything that a visitor can make a proxy pass on, before what the proxy adds itself.
const HOSTILE: &str = "X_Forwarded_For: 6.6.6.6\r\nX.Forwarded.For: 6.6.6.6\r\nHTTP_X_FORWARDED_FOR: 6.6.6.6\r\n\
    X-Forwarded-For: 6.6.6.6, 10.0.0.9\r\nForwarded: for=6.6.6.6;proto=http\r\nX-Real-IP: 6.6.6.6\r\n\
    True-Client-IP: 6.6.6.6\r\nCF-Connecting-IP: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\nX-Forwarded: for=6.6.6.6\r\n\
    Connection: X-Forwarded-For, X-Forwarded-Proto, X-Real-IP, Forwarded, X-Request-ID\r\n";

#[test]
fn the_app_gets_the_visitor_whom_a_trusted_proxy_names_and_nobody_else() {
    for protocol in PROTOCOLS {
        let counting = Counting::with(protocol, trusting());
        let own = "X-Forwarded-For: 203.0.113.7, 10.0.0.2\r\nX-Forwarded-Proto: https\r\n\
                   X-Forwarded-Host: shop.test:444\r\nX-Forwarded-Port: 443\r\nX-Request-ID: proxy-7\r\n";
        let answer = counting.running.ask(&format!(
            "GET / HTTP/1.1\r\nHost: inner\r\n{HOSTILE}{own}\r\n"
        ));
        assert_eq!(answer.status, 200);
        let seen = counting.seen();
        assert_eq!(seen.faults, Vec::<String>::new(), "{protocol:?}");
        let request = &seen.requests[0];
        for (name, value) in [
            ("x-forwarded-for", "203.0.113.7"),
            ("x-real-ip", "203.0.113.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.test:444"),
            ("x-forwarded-port", "443"),
            ("x-request-id", "proxy-7"),
            (
                "forwarded",
                "for=203.0.113.7;proto=https;host=\"shop.test:444\"",
            ),
            ("host", "inner"),
        ] {
            if (name, protocol) != ("host", Protocol::Http) {
                assert_eq!(request.values(name), [value], "{name} over {protocol:?}");
            }
        }
        for (name, value) in &request.fields {
            assert!(!value.contains("6.6.6.6"), "`{name}` over {protocol:?}");
        }
    }
}

#[test]
fn the_environ_the_log_and_the_answer_speak_of_the_same_visitor() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let settings = Settings {
        access_log: Some(log.clone()),
        access_json: true,
        ..Settings::default()
    };
    let (running, _worker) = app_with(trusting(), settings);
    let ask = |headers: &str| running.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n"));
    let own = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Request-ID: seven\r\n";
    assert_eq!(
        ask(&format!("{HOSTILE}{own}")).text(),
        "203.0.113.7 https 443 203.0.113.7 for=203.0.113.7;proto=https"
    );
    assert_eq!(
        ask("").text(),
        "127.0.0.1 http 80 127.0.0.1 for=127.0.0.1;proto=http"
            .replace(" 80 ", &format!(" {} ", running.address.port()))
    );
    let error = running.ask(&format!("GET /%00 HTTP/1.1\r\nHost: a\r\n{own}\r\n"));
    assert_eq!(
        (error.status, error.header("x-request-id")),
        (400, Some("seven"))
    );
    assert!(error.text().contains("seven"));
    drop(running);
    let lines = std::fs::read_to_string(log).unwrap();
    assert_eq!(
        lines.matches("\"remote\":\"203.0.113.7\"").count(),
        2,
        "{lines}"
    );
    assert_eq!(
        lines.matches("\"request_id\":\"seven\"").count(),
        2,
        "{lines}"
    );
    assert_eq!(lines.matches("6.6.6.6").count(), 0, "{lines}");
}

#[test]
fn of_several_headers_only_the_one_that_is_named_is_believed() {
    let edge = Edge {
        visitor_header: Some(VisitorHeader::XRealIp),
        ..trusting()
    };
    let (running, _worker) = app(edge);
    let answer = running.ask(
        "GET / HTTP/1.1\r\nHost: a:80\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 203.0.113.7\r\n\r\n",
    );
    assert_eq!(
        answer.text(),
        "203.0.113.7 http 80 203.0.113.7 for=203.0.113.7;proto=http"
    );
}

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n";

/// The same in version 2, and that the proxy took TLS off.
fn v2() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14".to_vec();
    header.extend_from_slice(&[203, 0, 113, 7, 198, 51, 100, 1, 220, 4, 1, 187]);
    header.extend_from_slice(&[0x20, 0, 5, 1, 0, 0, 0, 0]);
    header
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_proxy_header_says_whom_a_connection_is_from() {
    let (running, _worker) = app(introduced());
    let own = "127.0.0.1 http";
    let local = &b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"[..];
    for (header, expected) in [
        (V1, "203.0.113.7 http 443"),
        (&v2(), "203.0.113.7 https 443"),
        (local, own),
        (b"PROXY UNKNOWN\r\n", own),
        (
            b"PROXY TCP6 2001:db8::7 ::1 56324 80\r\n",
            "2001:db8::7 http 80",
        ),
    ] {
        // With what follows, alone, and byte by byte.
        let mut whole = running.visit();
        whole.send(&[header, GET, GET].concat());
        let mut alone = running.visit();
        alone.send(header);
        alone.send(GET);
        let mut slow = running.visit();
        for byte in header {
            slow.send(&[*byte]);
            std::thread::yield_now();
        }
        slow.send(GET);
        for visitor in [&mut whole, &mut alone, &mut slow] {
            let answer = visitor.answer(false);
            assert!(answer.text().starts_with(expected), "{}", answer.text());
        }
        assert!(whole.answer(false).text().starts_with(expected));
    }
}

#[test]
fn headers_of_a_visitor_behind_the_proxy_protocol_are_not_believed() {
    let (running, _worker) = app(introduced());
    let lies = format!("GET / HTTP/1.1\r\nHost: a\r\n{HOSTILE}\r\n");
    let mut visitor = running.visit();
    visitor.send(&[V1, lies.as_bytes()].concat());
    let answer = visitor.answer(false);
    assert_eq!(
        answer.text(),
        "203.0.113.7 http 443 203.0.113.7 for=203.0.113.7;proto=http"
    );
    // A proxy behind a proxy is.
    let mut further = running.visit();
    further.send(b"PROXY TCP4 10.0.0.5 198.51.100.1 56324 443\r\n");
    further.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.9\r\n\r\n");
    assert!(further.answer(false).text().starts_with("203.0.113.9 http"));
}

#[test]
fn a_trusted_peer_without_a_proxy_header_is_not_let_in_and_a_stranger_with_one_neither() {
    let edge = Edge {
        header_timeout: Some(Duration::from_millis(300)),
        ..introduced()
    };
    let (mut running, worker) = app(edge);
    let v2 = v2();
    for beginning in [
        GET,
        b"PROXY TCP4 203.0.113.7\r\n",
        b"PROXY ",
        b"",
        b"\r\n\r\n",
        &v2[..20],
        &[b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat(),
    ] {
        let mut visitor = running.visit();
        visitor.send(beginning);
        assert!(visitor.is_closed(), "{beginning:?}");
    }
    let mut stranger = RoutingTable {
        edge: Edge {
            trusted: vec!["10.0.0.0/8".parse().unwrap()],
            ..introduced()
        },
        ..table(upstream(Protocol::Frames, vec![worker.instance.clone()]))
    };
    stranger.generation = 2;
    running.publish(stranger);
    for header in [V1, &v2] {
        let mut visitor = running.visit();
        visitor.send(&[header, GET].concat());
        assert!(matches!(visitor.answer(false).status, 400 | 501 | 505));
        assert!(visitor.is_closed());
    }
    assert!(running.get("/").text().starts_with("127.0.0.1 http"));
}

#[test]
fn an_address_has_as_many_connections_as_it_may_and_gets_their_places_back() {
    let edge = Edge {
        connections: Some(2),
        ..introduced()
    };
    let (running, _worker) = app(edge);
    let visit = |address: &str| {
        let mut visitor = running.visit();
        let header = format!("PROXY TCP6 {address} ::1 56324 443\r\n");
        visitor.send(&[header.as_bytes(), GET].concat());
        visitor
    };
    let mut first = visit("2001:db8:0:1::1");
    let mut second = visit("2001:db8:0:1::2");
    assert_eq!(first.answer(false).status, 200);
    assert_eq!(second.answer(false).status, 200);
    assert!(visit("2001:db8:0:1::3").is_closed());
    // Another customer, and the proxy itself.
    assert_eq!(visit("2001:db8:0:2::1").answer(false).status, 200);
    let mut proxies: Vec<_> = (0..5).map(|_| running.visit()).collect();
    for proxy in &mut proxies {
        proxy.send(&[b"PROXY UNKNOWN\r\n", GET].concat());
        assert_eq!(proxy.answer(false).status, 200);
    }
    drop(first);
    // The edge notices in its own time.
    let again = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        !visit("2001:db8:0:1::3").is_closed()
    });
    assert!(again, "a place comes back");
    second.send(GET);
    assert_eq!(second.answer(false).status, 200);
}

#[test]
fn a_table_says_how_long_visitors_may_take() {
    let short = Some(Duration::from_millis(200));
    let edge = Edge {
        header_timeout: short,
        idle_timeout: short,
        stall_timeout: short,
        ..Edge::default()
    };
    let (running, _worker) = app(edge);
    assert!(running.visit().is_closed());
    let mut half = running.visit();
    half.send(b"GET / HTTP/1.1\r\nHo");
    assert_eq!(half.answer(false).status, 408);
    let mut idle = running.visit();
    idle.send(GET);
    assert_eq!(idle.answer(false).status, 200);
    assert!(idle.is_closed());
    let mut body = running.visit();
    body.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx");
    assert_eq!(body.answer(false).status, 408);
}

#[test]
fn a_body_that_comes_drop_by_drop_has_an_end() {
    let edge = Edge {
        stall_timeout: Some(Duration::from_millis(500)),
        ..Edge::default()
    };
    let (running, _worker) = app(edge);
    let mut visitor = running.visit();
    visitor.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    // No pause is as long as that, and yet it is not let go on.
    let mut sent = 0;
    while sent < 3000 && std::io::Write::write_all(&mut visitor.stream, b"x").is_ok() {
        std::thread::sleep(Duration::from_millis(10));
        sent += 1;
        let mut seen = [0; 1];
        visitor.stream.set_nonblocking(true).unwrap();
        let answered = visitor.stream.peek(&mut seen).is_ok();
        visitor.stream.set_nonblocking(false).unwrap();
        if answered {
            break;
        }
    }
    assert!(sent < 3000, "the visitor is still listened to");
    assert_eq!(visitor.answer(false).status, 408);
}
