use super::{HEAD_LIMIT, Head, Parsed, TARGET_LIMIT};

/// What a head says, in one line; or the refusal.
fn facts(input: &[u8]) -> String {
    let mut head = Head::default();
    match head.parse(input) {
        Err(refusal) => return format!("{} {}", refusal.status, refusal.why),
        Ok(Parsed::Partial) => return "partial".into(),
        Ok(Parsed::Complete(length)) => {
            assert!(length <= input.len());
            // However much of it is there: more is needed, never a refusal.
            for end in 0..length {
                let parsed = Head::default().parse(&input[..end]);
                assert_eq!(parsed, Ok(Parsed::Partial), "{end} bytes of {input:?}");
            }
        }
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut facts = vec![text(head.method()), text(head.path())];
    if let Some(query) = head.query() {
        facts.push(format!("?{}", text(query)));
    }
    facts.push(format!("host={}", text(head.host())));
    facts.push(format!("{:?}", head.body));
    for (name, is) in [
        ("1.0", !head.http11),
        ("keep-alive", head.keep_alive),
        ("upgrade", head.upgrade),
        ("expects", head.expects_continue),
    ] {
        if is {
            facts.push(name.into());
        }
    }
    facts.join(" ")
}

#[test]
fn heads_are_read_in_one_way() {
    for (request, expected) in [
        (
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / host=a None keep-alive",
        ),
        (
            "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / host=a None keep-alive",
        ),
        (
            "GET / HTTP/1.1\r\nhOST:a:80\r\nConnection: close\r\n\r\n",
            "GET / host=a:80 None",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n",
            "GET / host=a None",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n",
            "GET / host=a None",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n",
            "GET / host=a None keep-alive",
        ),
        ("GET / HTTP/1.0\r\n\r\n", "GET / host= None 1.0"),
        (
            "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
            "GET / host= None 1.0 keep-alive",
        ),
        (
            "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
            "GET / host= None 1.0",
        ),
        (
            "GET /a%20b?c?d HTTP/1.1\r\nHost: \r\n\r\n",
            "GET /a%20b ?c?d host= None keep-alive",
        ),
        (
            "GET http://h HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / host=h None keep-alive",
        ),
        (
            "GET HTTPS://h:8?q HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / ?q host=h:8 None keep-alive",
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            "OPTIONS * host=a None keep-alive",
        ),
        (
            "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n",
            "PROPFIND / host=a None keep-alive",
        ),
        (
            "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
            "GET / host=[::1]:80 None keep-alive",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n",
            "POST / host=a Fixed(7) keep-alive",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n",
            "POST / host=a None keep-alive",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\nExpect: 100-Continue\r\n\r\n",
            "POST / host=a Fixed(7) keep-alive expects",
        ),
        (
            "POST / HTTP/1.0\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n",
            "POST / host= Fixed(7) 1.0",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n",
            "POST / host=a Chunked keep-alive",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            "GET / host=a None keep-alive upgrade",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
            "GET / host=a None keep-alive",
        ),
        (
            "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            "GET / host=a None 1.0",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
            "GET / host=a None keep-alive",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: HTTP/2.0\r\n\r\n",
            "GET / host=a None keep-alive",
        ),
        // Whatever the order, and on however many lines: no way past the edge in HTTP/2.
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n\r\n",
            "GET / host=a None keep-alive",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
            "GET / host=a None keep-alive",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: ,\r\n\r\n",
            "GET / host=a None keep-alive",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \t\r\n\r\n",
            "GET / host=a None keep-alive",
        ),
        // What is refused; docs/refused.md says why.
        ("GET / HTTP/1.1\r\n\r\n", "400 no Host"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "400 more than one Host",
        ),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400 malformed Host"),
        ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "400 malformed Host"),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "400 malformed Host"),
        ("GET / HTTP/1.1\r\nHost: []\r\n\r\n", "400 malformed Host"),
        (
            "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n",
            "400 malformed Host",
        ),
        ("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", "400 malformed Host"),
        (
            "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n",
            "400 malformed Host",
        ),
        (
            "GET http://u@h/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 the request target is neither a path nor a URL",
        ),
        (
            "GET http://h/ HTTP/1.1\r\nHost: a b\r\n\r\n",
            "400 malformed Host",
        ),
        (
            "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 the request target is neither a path nor a URL",
        ),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", "400 malformed target"),
        (
            "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 the request target has a byte that is not allowed in it",
        ),
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
            "405 CONNECT is not offered",
        ),
        (
            "get / HTTP/1.1\r\nHost: a\r\n\r\n",
            "400 method in lower case",
        ),
        ("MKCOLA / HTTP/1.1\r\nHost: a\r\n\r\n", "501 unknown method"),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400 malformed head"),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "400 malformed head"),
        (
            "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
            "505 unknown HTTP version",
        ),
        (
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "400 line feed without carriage return",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
            "400 carriage return without line feed",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
            "400 malformed head",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\n X: y\r\n\r\n",
            "400 malformed head",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: \u{7f}\r\n\r\n",
            "400 malformed head",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n",
            "417 unknown expectation",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "400 more than one Content-Length",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
            "400 malformed Content-Length",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400 both Content-Length and Transfer-Encoding",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "501 transfer coding other than chunked",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n",
            "400 transfer coding other than chunked",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400 more than one Transfer-Encoding",
        ),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400 Transfer-Encoding in HTTP/1.0",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n",
            "400 header that another program may read as framing",
        ),
    ] {
        assert_eq!(facts(request.as_bytes()), expected, "{request:?}");
    }
}

#[test]
fn heads_of_every_size_up_to_the_limit_are_read_and_longer_ones_are_refused() {
    let head = |target: usize, value: usize| {
        let (target, value) = ("t".repeat(target), "v".repeat(value));
        format!("GET /{target}?q HTTP/1.1\r\nHost: last\r\nX: {value}\r\nZ: end\r\n\r\n")
    };
    let frame = head(0, 0).len();
    for (target, length) in [(0, HEAD_LIMIT), (TARGET_LIMIT - 3, HEAD_LIMIT), (7, 40)] {
        let text = head(target, length.saturating_sub(frame + target));
        let mut parsed = Head::default();
        assert_eq!(
            parsed.parse(text.as_bytes()),
            Ok(Parsed::Complete(text.len()))
        );
        assert_eq!(parsed.header("z"), Some(&b"end"[..]));
        assert_eq!(
            (parsed.host(), parsed.query()),
            (&b"last"[..], Some(&b"q"[..]))
        );
        assert_eq!(parsed.path().len(), target + 1);
    }
    assert!(facts(head(0, HEAD_LIMIT + 1 - frame).as_bytes()).starts_with("431"));
    assert!(facts(head(TARGET_LIMIT, 0).as_bytes()).starts_with("414"));
    assert!(facts(head(2 * HEAD_LIMIT, 0).as_bytes()).starts_with("414"));
    let many = |lines: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: y\r\n".repeat(lines - 1)
        )
    };
    assert!(facts(many(100).as_bytes()).starts_with("GET"));
    assert!(facts(many(101).as_bytes()).starts_with("431"));
}
