//! Requests that can be read in two ways reach no app.

use crate::running::Running;

const APP: &str = r#"
import sys
def app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [environ["REQUEST_METHOD"].encode(), b" ", environ["PATH_INFO"].encode("latin-1"), b" ", body]
"#;

/// Sent as it stands, then a request that only a smuggler's edge would see as a second one.
fn refused(running: &Running, request: &str) {
    let mut visitor = running.visit();
    visitor.send(request.as_bytes());
    visitor.stream.shutdown(std::net::Shutdown::Write).unwrap();
    let answer = String::from_utf8_lossy(&visitor.rest()).into_owned();
    let status = answer.get(9..12).unwrap_or("none").to_owned();
    let answers = answer.matches("HTTP/1.1 ").count();
    assert!(
        answers <= 1
            && matches!(
                &*status,
                "400" | "501" | "505" | "431" | "414" | "405" | "417" | "none"
            ),
        "{request:?} was answered {answer:?}"
    );
}

#[test]
fn ambiguous_framing_is_refused() {
    let (running, _worker) = Running::app(APP, 2);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: \r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content_Length: 5\r\n",
        "Transfer_Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "X: y\r\n folded: z\r\n",
        " Transfer-Encoding: chunked\r\n",
        "X: a\rTransfer-Encoding: chunked\r\n",
        "X: a\nTransfer-Encoding: chunked\r\n",
        "X: a\0b\r\n",
        "X\0: b\r\n",
        "X Y: b\r\n",
        "X\r\n",
        ": b\r\n",
        "Host: b\r\n",
    ] {
        refused(
            &running,
            &format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n0\r\n\r\n{smuggled}"),
        );
    }
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        refused(&running, &format!("{head}{smuggled}"));
    }
    for chunks in [
        "5\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "g\r\n\r\n",
        "0\r\nbad trailer\r\n\r\n",
    ] {
        refused(
            &running,
            &format!(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{smuggled}"
            ),
        );
    }
}

#[test]
fn a_head_split_anywhere_is_the_same_head() {
    let (running, _worker) = Running::app(APP, 2);
    let request = b"\r\nPOST http://a/x?y HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc";
    for split in 1..request.len() {
        let mut visitor = running.visit();
        visitor.stream.set_nodelay(true).unwrap();
        visitor.send(&request[..split]);
        visitor.send(&request[split..]);
        assert_eq!(visitor.answer(false).text(), "POST /x abc");
    }
}

#[test]
fn long_heads_are_refused_by_name() {
    let (running, _worker) = Running::app(APP, 2);
    let long = "a".repeat(40_000);
    assert_eq!(running.get(&format!("/{long}")).status, 414);
    let header = running.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"));
    assert_eq!(header.status, 431);
    let many: String = (0..200)
        .map(|number| format!("X-{number}: y\r\n"))
        .collect();
    assert_eq!(
        running
            .ask(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"))
            .status,
        431
    );
}
