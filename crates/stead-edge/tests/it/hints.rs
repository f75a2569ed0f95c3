//! Interim responses (RFC 9110 section 15.2), early hints (RFC 8297) above all: they reach the visitor before the
//! answer does, if it understands them.

use std::io::{Read, Write};
use std::net::TcpListener;

use stead_model::release::Protocol;
use stead_model::routing::{Address, Instance, InstanceId};

use crate::running::{Running, table, upstream};

/// An app that answers `/` only when `/go` was asked for.
const APP: &str = r#"
import threading

may_go = threading.Event()

def app(environ, start_response):
    hints = environ["wsgi.early_hints"]
    if environ["PATH_INFO"] == "/go":
        may_go.set()
    elif environ["PATH_INFO"] == "/dies":
        hints([("Link", "</a.css>")])
        import os
        os._exit(1)
    else:
        hints([("Link", "</a.css>; rel=preload; as=style"), ("Connection", "x")])
        hints([])
        may_go.wait(20)
    start_response("200 OK", [("Content-Type", "text/plain")])
    hints([("Link", "</dropped-when-the-head-is-sent.css>")])
    return [b"hello"]
"#;

/// A server whose answers are preceded by these bytes.
fn server(interim: String) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let answer = format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(1..) = stream.read(&mut buffer) {
                    let _ = stream.write_all(answer.as_bytes());
                }
            });
        }
    });
    let instance = Instance {
        id: InstanceId(1),
        address: Address::Tcp(address),
        capacity: 100,
    };
    Running::start(table(upstream(Protocol::Http, vec![instance])))
}

/// The heads before the answer, and the answer's head, each as one line.
fn heads(running: &Running, version: &str) -> Vec<String> {
    let mut visitor = running.visit();
    let request = format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n");
    visitor.send(request.as_bytes());
    let text = String::from_utf8(visitor.rest()).unwrap();
    let (heads, body) = text.rsplit_once("\r\n\r\n").unwrap();
    assert_eq!(body, "hello");
    heads
        .split("\r\n\r\n")
        .map(|head| head.replace("\r\n", "|"))
        .collect()
}

#[test]
fn hints_of_the_own_worker_come_before_its_answer() {
    let (running, _worker) = Running::app(APP, 4);
    let mut visitor = running.visit();
    visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let expected = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload; as=style\r\n\r\n";
    // The app has not answered yet, and does not before this was read.
    let hints = visitor.raw(expected.len());
    assert_eq!(String::from_utf8(hints).unwrap(), expected);
    assert_eq!(running.get("/go").text(), "hello");
    let answer = visitor.answer(false);
    assert!(answer.head.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(answer.text(), "hello");
    let old = heads(&running, "1.0");
    assert_eq!(old.len(), 1, "{old:?}");
}

#[test]
fn an_app_that_died_after_its_hints_has_seen_the_request() {
    let (mut running, worker) = Running::app(APP, 1);
    let mut visitor = running.visit();
    visitor.send(b"GET /dies HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = visitor.answer(false);
    assert_eq!(answer.status, 502);
    let instance = worker.instance.id;
    running.wait_for(|event| {
        matches!(event, stead_model::messages::EdgeEvent::InstanceFailed { instance: of, .. } if *of == instance)
    });
}

#[test]
fn interim_responses_of_a_server_are_passed_on_to_whoever_understands_them() {
    let running = server(
        "HTTP/1.1 100 Continue\r\n\r\n\
         HTTP/1.1 102 Processing\r\n\r\n\
         HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nX-Hop: a\r\nConnection: x-hop\r\n\
         Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_owned(),
    );
    let seen = heads(&running, "1.1");
    assert_eq!(
        seen[..2],
        [
            "HTTP/1.1 102 Processing",
            "HTTP/1.1 103 Early Hints|Link: </a.css>"
        ]
    );
    assert!(seen[2].starts_with("HTTP/1.1 200 OK|"), "{seen:?}");
    assert_eq!(seen.len(), 3);
    // Whoever speaks HTTP/1.0 takes the first head for the answer.
    let old = heads(&running, "1.0");
    assert!(old[0].starts_with("HTTP/1.1 200 OK|"), "{old:?}");
    assert_eq!(old.len(), 1);
}

#[test]
fn a_visitor_gets_a_bounded_number_of_interim_responses() {
    let one = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    let running = server(one.repeat(1000));
    assert_eq!(heads(&running, "1.1").len(), 17);
}

#[test]
fn an_interim_response_that_is_malformed_is_a_502() {
    for interim in [
        "HTTP/1.1 103 Early Hints\r\nLi nk: x\r\n\r\n",
        "HTTP/1.1 103 Early Hints\nLink: x\r\n\r\n",
        "HTTP/1.1 103 Early\x01Hints\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: a\r\n b\r\n\r\n",
    ] {
        assert_eq!(
            server(interim.to_owned()).get("/").status,
            502,
            "{interim:?}"
        );
    }
}
