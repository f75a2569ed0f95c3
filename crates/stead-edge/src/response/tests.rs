use std::sync::atomic::{AtomicBool, Ordering};

use super::{Response, Shape};
use crate::visitor::Output;

type Headers<'a> = &'a [(&'a str, &'a str)];

fn pairs<'a>(headers: Headers<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone {
    headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

/// The visitor's side: what is written for a response with that body, without its `Date`.
/// `@` marks a response that is not complete, `!` a connection that ends with it.
fn written(
    shape: Shape<'_>,
    status: &str,
    headers: Headers<'_>,
    whole: bool,
    body: &str,
) -> String {
    let mut response = Response::new(shape);
    let mut output = Output::default();
    let length = whole.then_some(body.len() as u64);
    if let Err(malformed) = response.head(&mut output, status.as_bytes(), pairs(headers), length) {
        assert!(output.is_empty(), "nothing of a malformed head is written");
        return malformed.0.into();
    }
    response.body(&mut output, body.as_bytes());
    let complete = response.end(&mut output);
    let text = String::from_utf8(output.held_bytes()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let lines = head
        .split("\r\n")
        .filter(|line| !line.starts_with("Date: "));
    let mut text = lines.collect::<Vec<_>>().join("|");
    text.push_str("||");
    text.push_str(&body.replace("\r\n", "|"));
    if !complete {
        text.push('@');
    }
    if !response.keeps_alive() {
        text.push('!');
    }
    text
}

#[test]
fn every_response_ends_where_its_visitor_thinks_it_does() {
    let draining = AtomicBool::new(false);
    let new = Shape {
        is_head: false,
        http2: false,
        tunnel: false,
        http11: true,
        keep_alive: true,
        draining: &draining,
    };
    let head = Shape {
        is_head: true,
        ..new
    };
    let last = Shape {
        keep_alive: false,
        ..new
    };
    let old = Shape {
        http11: false,
        keep_alive: false,
        ..new
    };
    let old_kept = Shape {
        http11: false,
        ..new
    };
    let sized: Headers<'_> = &[("content-length", "5")];
    for (shape, status, headers, whole, expected) in [
        (
            new,
            "200 OK",
            sized,
            false,
            "HTTP/1.1 200 OK|Content-Length: 5||hello",
        ),
        (
            new,
            "200 OK",
            &[][..],
            true,
            "HTTP/1.1 200 OK|Content-Length: 5||hello",
        ),
        (
            new,
            "200 OK",
            &[],
            false,
            "HTTP/1.1 200 OK|Transfer-Encoding: chunked||5|hello|0||",
        ),
        (
            old,
            "200 OK",
            &[],
            false,
            "HTTP/1.1 200 OK|Connection: close||hello!",
        ),
        (
            old_kept,
            "200 OK",
            &[],
            false,
            "HTTP/1.1 200 OK|Connection: close||hello!",
        ),
        (
            old_kept,
            "200 OK",
            sized,
            false,
            "HTTP/1.1 200 OK|Content-Length: 5|Connection: keep-alive||hello",
        ),
        (
            last,
            "200 OK",
            sized,
            false,
            "HTTP/1.1 200 OK|Content-Length: 5|Connection: close||hello!",
        ),
        (
            head,
            "200 OK",
            sized,
            false,
            "HTTP/1.1 200 OK|Content-Length: 5||",
        ),
        (head, "200 OK", &[], false, "HTTP/1.1 200 OK||"),
        (
            new,
            "204 No Content",
            sized,
            true,
            "HTTP/1.1 204 No Content||",
        ),
        (
            new,
            "304 Not Modified",
            sized,
            false,
            "HTTP/1.1 304 Not Modified|Content-Length: 5||",
        ),
        (
            new,
            "304 Not Modified",
            &[],
            true,
            "HTTP/1.1 304 Not Modified||",
        ),
        (
            new,
            "200",
            sized,
            false,
            "HTTP/1.1 200 |Content-Length: 5||hello",
        ),
        // Too short is cut, too long is cut off.
        (
            new,
            "200 OK",
            &[("Content-Length", "9")],
            false,
            "HTTP/1.1 200 OK|Content-Length: 9||hello@",
        ),
        (
            new,
            "200 OK",
            &[("Content-Length", "2")],
            false,
            "HTTP/1.1 200 OK|Content-Length: 2||he",
        ),
        (
            new,
            "200 OK",
            &[("Content-Length", "0")],
            false,
            "HTTP/1.1 200 OK|Content-Length: 0||",
        ),
        (
            new,
            "200 OK",
            &[("Content-Length", "5"), ("content-length", " 5 ")],
            false,
            "HTTP/1.1 200 OK|Content-Length: 5||hello",
        ),
        // The connection's headers are the edge's.
        (
            new,
            "200 OK",
            &[
                ("Connection", "close, X-Hop"),
                ("X-Hop", "1"),
                ("Connection", "X-Other"),
                ("X-Other", "1"),
                ("Keep-Alive", "1"),
                ("Transfer-Encoding", "chunked"),
                ("Upgrade", "x"),
                ("Trailer", "x"),
                ("X-Kept", "1"),
            ],
            true,
            "HTTP/1.1 200 OK|X-Kept: 1|Content-Length: 5||hello",
        ),
        (
            new,
            "200 OK",
            &[("Content-Length", "5"), ("Content-Length", "6")],
            false,
            "two different Content-Length headers",
        ),
        (
            new,
            "200 OK",
            &[("Content-Length", "+5")],
            false,
            "malformed Content-Length",
        ),
        (
            new,
            "200 OK",
            &[("X", "a\r\nSet-Cookie: b")],
            false,
            "control character in a header",
        ),
        (
            new,
            "200 OK",
            &[("X\r\nY", "a")],
            false,
            "malformed header name",
        ),
        (new, "200 OK", &[("", "a")], false, "malformed header name"),
        (new, "200 OK\r\nX: y", &[], false, "malformed status line"),
        (new, "20 OK", &[], false, "malformed status line"),
        (new, "2000 OK", &[], false, "malformed status line"),
        (new, "099 Low", &[], false, "malformed status line"),
        (new, "600 High", &[], false, "malformed status line"),
        (
            new,
            "101 Switching Protocols",
            &[],
            false,
            "an interim answer in place of the final one",
        ),
        (
            new,
            "100 Continue",
            &[],
            false,
            "an interim answer in place of the final one",
        ),
    ] {
        assert_eq!(
            written(shape, status, headers, whole, "hello"),
            expected,
            "{status} {headers:?}"
        );
    }
}

#[test]
fn a_response_that_begins_while_the_edge_drains_ends_its_connection() {
    let draining = AtomicBool::new(false);
    draining.store(true, Ordering::Relaxed);
    let shape = Shape {
        is_head: false,
        http2: false,
        tunnel: false,
        http11: true,
        keep_alive: true,
        draining: &draining,
    };
    assert_eq!(
        written(shape, "200 OK", &[], true, "x"),
        "HTTP/1.1 200 OK|Content-Length: 1|Connection: close||x!"
    );
}

#[test]
fn sizes_of_chunks_are_hexadecimal() {
    for (number, text) in [
        (0, "0"),
        (9, "9"),
        (10, "a"),
        (16, "10"),
        (0xfff, "fff"),
        (u64::MAX, "ffffffffffffffff"),
    ] {
        let mut out = Vec::new();
        super::text::append_hex(&mut out, number);
        assert_eq!(out, text.as_bytes());
        out.clear();
        super::append_number(&mut out, number);
        assert_eq!(out, number.to_string().as_bytes());
    }
}
