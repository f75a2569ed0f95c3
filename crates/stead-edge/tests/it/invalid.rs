//! Requests that are not HTTP/1.1, one rule broken in each, sorted as the test folders of HTTP parsers sort
//! theirs. None reaches an upstream.

use std::io::Write;
use std::net::Shutdown;

use stead_model::release::Protocol;

use crate::counting::Counting;

/// Why, and the bytes. `@` stands for the rest of a head that is fine: `Host: a\r\n\r\n`.
const INVALID: [(&str, &[&str]); 12] = [
    (
        "methods (RFC 9110 section 9.1, RFC 9112 section 3.1)",
        &[
            "MKCOLA / HTTP/1.1\r\n@",
            "get / HTTP/1.1\r\n@",
            "G\u{e9}T / HTTP/1.1\r\n@",
            "G ET / HTTP/1.1\r\n@",
            "G@T / HTTP/1.1\r\n@",
            "\"GET\" / HTTP/1.1\r\n@",
            " GET / HTTP/1.1\r\n@",
            "/ HTTP/1.1\r\n@",
            "SOURCE /music HTTP/1.1\r\n@",
            "ANNOUNCE /music HTTP/1.1\r\n@",
            "DESCRIBE /music HTTP/1.1\r\n@",
            "PRI * HTTP/1.1\r\n@",
            "CONNECT a:443 HTTP/1.1\r\n@",
            "TRACE / HTTP/1.1\r\n@",
            "GET\0 / HTTP/1.1\r\n@",
            "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03@",
        ],
    ),
    (
        "versions and other protocols (RFC 9112 section 2.3)",
        &[
            "GET /music ICE/1.0\r\n@",
            "GET /music IHTTP/1.1\r\n@",
            "PUT /music RTSP/1.0\r\n@",
            "GET / HTTP/5.6\r\n@",
            "GET / HTTP/1.2\r\n@",
            "GET / HTTP/0.9\r\n@",
            "GET / HTTP/01.1\r\n@",
            "GET / HTTP/1.01\r\n@",
            "GET / HTTP/11.1\r\n@",
            "GET / HTTP/1,1\r\n@",
            "GET / HTTP/1\r\n@",
            "GET / HTTP/.1\r\n@",
            "GET / HTTP/1.x\r\n@",
            "GET / HTP/1.1\r\n@",
            "GET / http/1.1\r\n@",
            "GET / HTTP /1.1\r\n@",
            "GET / HTTP/1.1 x\r\n@",
            "GET /\r\n@",
            "PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n",
        ],
    ),
    (
        "white space in the request line (RFC 9112 section 3)",
        &[
            "GET  / HTTP/1.1\r\n@",
            "GET /  HTTP/1.1\r\n@",
            "GET\t/ HTTP/1.1\r\n@",
            "GET /\tHTTP/1.1\r\n@",
            "GET / HTTP/1.1 \r\n@",
            "GET / HTTP/1.1\t\r\n@",
            "GET /\x0bHTTP/1.1\r\n@",
            "GET\r/ HTTP/1.1\r\n@",
            "GET /a b HTTP/1.1\r\n@",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        ],
    ),
    (
        "targets (RFC 9112 section 3.2, RFC 3986)",
        &[
            "GET a HTTP/1.1\r\n@",
            "GET ?a HTTP/1.1\r\n@",
            "GET a:80 HTTP/1.1\r\n@",
            "GET /a#b HTTP/1.1\r\n@",
            "GET /\u{3b4} HTTP/1.1\r\n@",
            "GET /\x7f HTTP/1.1\r\n@",
            "GET /\x01 HTTP/1.1\r\n@",
            "GET /\0 HTTP/1.1\r\n@",
            "GET http:/a HTTP/1.1\r\n@",
            "GET http:// HTTP/1.1\r\n@",
            "GET http://a@b/ HTTP/1.1\r\n@",
            "GET http://a b/ HTTP/1.1\r\n@",
            "GET schema://a/ HTTP/1.1\r\n@",
            "GET * HTTP/1.1\r\n@",
        ],
    ),
    (
        "lines that do not end in CR LF (RFC 9112 section 2.2)",
        &[
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\rHost: a\r\r",
            "GET / HTTP/1.1\r\nFoo: 1\rBar: 2\r\n@",
            "POST / HTTP/1.1\r\nX: x\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n1\r\nA\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nX:\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n1\r\nA\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nX:\rTransfer-Encoding: chunked\r\nHost: a\r\n\r\n1\r\nA\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\rZGET /evil HTTP/1.1\r\n@",
            "GET / HTTP/1.1\r\nHost: a\r\n\nGET /evil HTTP/1.1\r\n@",
            "GET / HTTP/1.1\r\nHost: a\nContent-Length: 23\r\n\r\nGET /evil HTTP/1.1\r\n@",
            "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
            "GET / HTTP/1.1\r\r\n@",
            "POST / HTTP/1.1\nTransfer-Encoding: chunked\nHost: a\n\n1\nA\n0\n\n",
        ],
    ),
    (
        "names (RFC 9110 section 5.1, RFC 9112 section 5.1)",
        &[
            "GET / HTTP/1.1\r\nFo@: Failure\r\n@",
            "GET / HTTP/1.1\r\nFoo\x01\test: Bar\r\n@",
            "GET / HTTP/1.1\r\n: Bar\r\n@",
            "GET / HTTP/1.1\r\nFoo : Bar\r\n@",
            "GET / HTTP/1.1\r\nFoo\t: Bar\r\n@",
            "GET / HTTP/1.1\r\nFoo Bar: x\r\n@",
            "GET / HTTP/1.1\r\nF\u{f6}o: x\r\n@",
            "GET / HTTP/1.1\r\nFoo\0: x\r\n@",
            "GET / HTTP/1.1\r\nFoo\r\n@",
            "GET / HTTP/1.1\r\nname\r\n : value\r\n@",
            "GET / HTTP/1.1\r\nConnection\r\x1b5\u{d5}eep-Alive\r\n@",
            "GET / HTTP/1.1\r\nX-Some\r\x1b5: a\r\n@",
            "GET / HTTP/1.1\r\nFoo(x): y\r\n@",
            "GET / HTTP/1.1\r\n\"Foo\": y\r\n@",
            "PUT / HTTP/1.1\r\nContent\rLength: 3\r\n@abc",
            "PUT / HTTP/1.1\r\nContent_Length: 3\r\n@abc",
            "PUT / HTTP/1.1\r\nTransfer_Encoding: chunked\r\n@0\r\n\r\n",
        ],
    ),
    (
        "values (RFC 9110 section 5.5, RFC 9112 section 5.2)",
        &[
            "GET / HTTP/1.1\r\nFoo: \x0c\r\n@",
            "GET / HTTP/1.1\r\nFoo: hello\x0cworld\r\n@",
            "GET / HTTP/1.1\r\nFoo: a\0b\r\n@",
            "GET / HTTP/1.1\r\nFoo: a\x7fb\r\n@",
            "GET / HTTP/1.1\r\nFoo: a\x0bb\r\n@",
            "GET / HTTP/1.1\r\nFoo: a\x1bb\r\n@",
            "GET / HTTP/1.1\r\nFoo: a\r\n b\r\n@",
            "GET / HTTP/1.1\r\nFoo: a\r\n\tb\r\n@",
            "GET / HTTP/1.1\r\nFoo: a\r\n \r\n@",
            "POST / HTTP/1.1\r\nFoo: bar\r\n Content-Length: 38\r\n@GET /evil HTTP/1.1\r\n@",
        ],
    ),
    (
        "hosts (RFC 9112 section 3.2, RFC 9110 section 7.2)",
        &[
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n@",
            "GET / HTTP/1.1\r\nHost: b\r\n@",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a:x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: :80\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        ],
    ),
    (
        "Content-Length (RFC 9110 section 8.6, RFC 9112 section 6.3)",
        &[
            "PUT / HTTP/1.1\r\nContent-Length: 1000000000000000000000\r\n@",
            "PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n@ab",
            "PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n@a",
            "PUT / HTTP/1.1\r\nContent-Length: 1, 1\r\n@a",
            "POST / HTTP/1.1\r\nContent-Length: 4 2\r\n@abcd",
            "POST / HTTP/1.1\r\nContent-Length: 13 37\r\n@abcd",
            "POST / HTTP/1.1\r\nContent-Length:\r\n@",
            "POST / HTTP/1.1\r\nContent-Length: -1\r\n@",
            "POST / HTTP/1.1\r\nContent-Length: +1\r\n@a",
            "POST / HTTP/1.1\r\nContent-Length: 0x1\r\n@a",
            "POST / HTTP/1.1\r\nContent-Length: 1.0\r\n@a",
            "POST / HTTP/1.1\r\nContent-Length: 1;a\r\n@a",
            "POST / HTTP/1.1\r\nContent-Length : 1\r\n@a",
            "POST / HTTP/1.1\r\nContent-Length: a\r\n@",
        ],
    ),
    (
        "Transfer-Encoding (RFC 9112 sections 6.1 and 6.3)",
        &[
            "POST / HTTP/1.1\r\nTransfer-Encoding:\r\nContent-Length: 5\r\n@hello",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: pigeons\r\n@",
            "POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n@World",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n@0\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n@0\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 10\r\nTransfer-Encoding:\r\nTransfer-Encoding:\r\n@2\r\nAA\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, deflate\r\n@World",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: deflate\r\n@World",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunkedchunked\r\n@5\r\nWorld\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n@0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n abc\r\n@5\r\nWorld\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n@0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n@0\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n@0\r\n\r\n",
        ],
    ),
    (
        "chunks (RFC 9112 section 7.1)",
        &[
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@3\r\nfoo\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@3 \n  \r\nfoo\r\n0\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@a \r\n0123456789\r\n0\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@ a\r\n0123456789\r\n0\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@5\r\r;ABCD\r\n34\r\nE\r\n0\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@5\r\nABCDE0\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@5\nABCDE\r\n0\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@5\r\nABCDE\n0\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@0x5\r\nABCDE\r\n0\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@+5\r\nABCDE\r\n0\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@10000000000000005\r\nABCDE\r\n0\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@g\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@0\r\nX Y: z\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@0\r\nX: a\nY: b\r\n\r\n",
        ],
    ),
    (
        "chunk extensions (RFC 9112 section 7.1.1)",
        &[
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@2 erfrferferf\r\naa\r\n0 rrrr\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@2;\r\naa\r\n0\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@2;a=\"b\";c=\"d; e\r\naa\r\n0\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@2;a=b c\r\naa\r\n0\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@2;a\0\r\naa\r\n0\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@2;a\naa\r\n0\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n@2;a=\"b\"c\r\naa\r\n0\r\n\r\n",
        ],
    ),
];

#[test]
fn no_invalid_request_is_forwarded() {
    for protocol in [Protocol::Http, Protocol::Frames, Protocol::Uwsgi] {
        let counting = Counting::start(protocol);
        assert_eq!(counting.running.get("/ready").status, 200);
        counting.seen();
        let mut count = 0;
        for (why, request) in INVALID
            .iter()
            .flat_map(|(why, requests)| requests.iter().map(move |request| (why, request)))
        {
            // `@` is a byte of its own in a few of them.
            let request = match request.rsplit_once('@') {
                Some((before, after)) => format!("{before}Host: a\r\n\r\n{after}"),
                None => (*request).to_owned(),
            };
            let mut visitor = counting.running.visit();
            let _ = visitor.stream.write_all(request.as_bytes());
            let _ = visitor.stream.shutdown(Shutdown::Write);
            let answer = String::from_utf8_lossy(&visitor.rest()).into_owned();
            let status = answer.get(9..12).unwrap_or("none");
            let refused = matches!(status, "400" | "405" | "501" | "505" | "none");
            let answers = answer.matches("HTTP/1.1 ").count();
            assert!(refused && answers <= 1, "{why}: {request:?}: {answer}");
            count += 1;
        }
        let seen = counting.seen();
        assert!(seen.requests.is_empty(), "{:?}", seen.requests);
        assert_eq!(seen.faults, Vec::<String>::new());
        assert!(count > 150);
    }
}
