use std::io::Write;
use std::process::{Command, Stdio};

use crate::forward::{self, Forwarded};
use crate::frames::{self, Connection};
use crate::head::{Head, Parsed};

/// A request, its inline body, and what the environ has.
type Case = (Vec<u8>, Option<&'static [u8]>, Vec<(&'static str, String)>);

/// Reads frames from its standard input and prints each environ as a line of JSON.
const READER: &str = r#"
import json, marshal, struct, sys
data = sys.stdin.buffer.read()
while data:
    word, = struct.unpack("<I", data[:4])
    kind, length = word >> 24, word & 0xffffff
    environ = marshal.loads(data[4:4 + length])
    assert type(environ) is dict
    body = environ.pop("wsgi.input", None)
    assert body is None or type(body) is bytes
    for key, value in environ.items():
        assert type(key) is str and type(value) is str, (key, value)
        key.encode("ascii"), value.encode("latin-1")
    environ["kind"] = str(kind)
    environ["body"] = "none" if body is None else body.decode("latin-1")
    print(json.dumps(environ))
    data = data[4 + length:]
"#;

#[test]
fn python_reads_what_is_marshalled() {
    let long = "l".repeat(300);
    let latin = "\u{e9}".repeat(200);
    let cases: Vec<Case> = vec![
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), None, vec![("REQUEST_METHOD", "GET".into()), ("HTTP_HOST", "a".into()), ("kind", "1".into()), ("body", "none".into()), ("SCRIPT_NAME", String::new()), ("QUERY_STRING", String::new())]),
        (b"GET / HTTP/1.0\r\n\r\n".to_vec(), None, vec![("SERVER_NAME", "localhost".into()), ("SERVER_PROTOCOL", "HTTP/1.0".into()), ("SERVER_PORT", "8000".into())]),
        (b"GET / HTTP/1.1\r\nHost: [::1]:81\r\n\r\n".to_vec(), None, vec![("SERVER_NAME", "[::1]".into()), ("SERVER_PORT", "81".into())]),
        (b"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n".to_vec(), None, vec![("SERVER_NAME", "[::1]".into()), ("SERVER_PORT", "8000".into())]),
        (b"GET http://x/y?z HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), None, vec![("HTTP_HOST", "x".into()), ("REQUEST_URI", "/y?z".into()), ("QUERY_STRING", "z".into())]),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-E:\r\nX-Tab: a\tb\r\nX-L: \xe9\xff\x80\r\n\r\n".to_vec(), None, vec![("HTTP_X_E", String::new()), ("HTTP_X_TAB", "a\tb".into()), ("HTTP_X_L", "\u{e9}\u{ff}\u{80}".into())]),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nx: \r\nX: \xe9\r\nCookie: a=1\r\ncookie: b=2\r\n\r\n".to_vec(), None, vec![("HTTP_X", "1, , \u{e9}".into()), ("HTTP_COOKIE", "a=1; b=2".into())]),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{long}: {long}\r\nX{}: y\r\n\r\n", "m".repeat(249)).into_bytes(), None, vec![("HTTP_LLL", String::new())]),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\nY: {}\r\nZ: {latin}\r\n\r\n", "x".repeat(255), "y".repeat(256)).into_bytes(), None, vec![("HTTP_X", "x".repeat(255)), ("HTTP_Y", "y".repeat(256))]),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Type: a/b\r\ncontent-type: c/d\r\n\r\n".to_vec(), Some(b"a\0\xff"), vec![("CONTENT_LENGTH", "3".into()), ("CONTENT_TYPE", "a/b, c/d".into()), ("body", "a\0\u{ff}".into()), ("kind", "1".into())]),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_vec(), None, vec![("CONTENT_LENGTH", "0".into()), ("kind", "1".into())]),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(), None, vec![("kind", "2".into())]),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(), Some(b""), vec![("kind", "1".into()), ("body", String::new())]),
    ];
    let peer = "[2001:db8::1]:4711".parse().unwrap();
    let connection = Connection::new(Default::default(), peer, 8000, "http");
    let mut frames = Vec::new();
    for (request, body, _) in &cases {
        let mut head = Head::default();
        assert_eq!(head.parse(request), Ok(Parsed::Complete(request.len())));
        let id = forward::new_id();
        let forwarded = Forwarded::new(&head, &connection, &id);
        let path = "/caf\u{e9} \u{ff}"
            .chars()
            .map(|c| c as u8)
            .collect::<Vec<u8>>();
        frames::encode_environ(&mut frames, &head, &connection, &forwarded, &path, *body).unwrap();
    }
    let mut reader = Command::new("python3")
        .args(["-I", "-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    reader.stdin.take().unwrap().write_all(&frames).unwrap();
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), cases.len());
    for (line, (request, _, expected)) in lines.lines().zip(&cases) {
        let environ: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(environ["PATH_INFO"], "/caf\u{e9} \u{ff}");
        assert_eq!(environ["REMOTE_ADDR"], "2001:db8::1");
        for (key, value) in expected {
            let key = if *key == "HTTP_LLL" {
                let long = format!("HTTP_{}", long.to_uppercase());
                assert_eq!(environ[&long], long[5..].to_lowercase());
                let edge = format!("HTTP_X{}", "M".repeat(249));
                assert_eq!(environ[&edge], "y");
                continue;
            } else {
                *key
            };
            assert_eq!(
                environ[key],
                **value,
                "{key} of {}",
                String::from_utf8_lossy(request)
            );
        }
    }
}
