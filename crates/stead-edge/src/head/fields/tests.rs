use super::*;

const GET: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/a?b"),
    (":authority", "host.test"),
];

/// What becomes of a list of fields: a summary of the head, or why there is none.
fn read(fields: &[(&str, &str)], ended: bool) -> String {
    let mut head = Head::default();
    let mut list = Fields::begin(&mut head);
    for (name, value) in fields {
        list.add(&mut head, name.as_bytes(), value.as_bytes());
    }
    match list.finish(&mut head, ended) {
        Err(Fault::Malformed(_)) => "malformed".into(),
        Err(Fault::Refused(refusal)) => refusal.status.to_string(),
        Ok(()) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let mut summary = format!(
                "{} {} {}",
                text(head.method()),
                text(head.target()),
                text(head.host())
            );
            summary.push_str(match head.body {
                BodyLength::None => "",
                BodyLength::Fixed(_) => " fixed",
                BodyLength::Open => " open",
                BodyLength::Chunked => " chunked",
            });
            if head.upgrade {
                summary.push_str(" upgrade");
            }
            for (name, value) in head.headers() {
                if name != b"host" && name != b"sec-websocket-key" {
                    summary.push_str(&format!(" {}={}", text(name), text(value)));
                }
            }
            summary
        }
    }
}

#[test]
fn every_list_is_the_request_that_it_says_or_none() {
    let long = "x".repeat(33_000);
    let path = format!("/{}", "x".repeat(17_000));
    let many: Vec<(String, String)> = (0..101)
        .map(|at| (format!("x-{at}"), String::new()))
        .collect();
    let many: Vec<(&str, &str)> = many
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    type List<'a> = &'a [(&'a str, &'a str)];
    let after: &[(List<'_>, bool, &str)] = &[
        (&[], true, "GET /a?b host.test"),
        (&[], false, "GET /a?b host.test open"),
        (
            &[("content-length", "0")],
            true,
            "GET /a?b host.test content-length=0",
        ),
        (
            &[("content-length", "0")],
            false,
            "GET /a?b host.test content-length=0",
        ),
        (
            &[("content-length", "5")],
            false,
            "GET /a?b host.test fixed content-length=5",
        ),
        (&[("content-length", "5")], true, "malformed"),
        (
            &[("content-length", "5"), ("content-length", "5")],
            false,
            "400",
        ),
        (&[("content-length", "+5")], false, "400"),
        (&[("content_length", "5")], false, "400"),
        (
            &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")],
            true,
            "GET /a?b host.test cookie=a=1; b=2 x=y",
        ),
        (&[("host", "HOST.test")], true, "GET /a?b HOST.test"),
        (&[("host", "other.test")], true, "malformed"),
        (
            &[("te", "trailers")],
            true,
            "GET /a?b host.test te=trailers",
        ),
        (&[("te", "gzip")], true, "malformed"),
        (&[("te", "")], true, "malformed"),
        (&[("connection", "close")], true, "malformed"),
        (&[("keep-alive", "1")], true, "malformed"),
        (&[("proxy-connection", "close")], true, "malformed"),
        (&[("transfer-encoding", "chunked")], false, "malformed"),
        (&[("upgrade", "h2c")], true, "malformed"),
        (&[("X-Upper", "1")], true, "malformed"),
        (&[("", "1")], true, "malformed"),
        (&[("x y", "1")], true, "malformed"),
        (&[("x:", "1")], true, "malformed"),
        (&[("x", " 1")], true, "malformed"),
        (&[("x", "1\t")], true, "malformed"),
        (&[("x", "1\r\nY: 2")], true, "malformed"),
        (&[("x", "1\0")], true, "malformed"),
        (&[("x", "1\u{7f}")], true, "malformed"),
        (&[("x", "\u{e4}")], true, "GET /a?b host.test x=\u{e4}"),
        (&[(":method", "GET")], true, "malformed"),
        (&[(":status", "200")], true, "malformed"),
        (&[(":other", "1")], true, "malformed"),
        (&[("x", "1"), (":protocol", "websocket")], true, "malformed"),
        (&[(":protocol", "websocket")], true, "malformed"),
        (&[("expect", "other")], true, "417"),
        (&[("x", &long)], true, "431"),
        (&many, true, "431"),
    ];
    for (fields, ended, expected) in after {
        assert_eq!(
            read(&[GET, fields].concat(), *ended),
            *expected,
            "{fields:?} {ended}"
        );
    }
    let alone: &[(&[&str], &str)] = &[
        (&["GET", "http", "/", "a"], "GET / a"),
        (&["get", "http", "/", "a"], "400"),
        (&["OPTIONS", "http", "*", "a"], "OPTIONS * a"),
        (&["GET", "http", "*", "a"], "malformed"),
        (&["GET", "https", "/", "[::1]:80"], "GET / [::1]:80"),
        (&["GET", "ftp", "/", "a"], "malformed"),
        (&["G T", "http", "/", "a"], "malformed"),
        (&["", "http", "/", "a"], "malformed"),
        (&["GET", "http", "", "a"], "malformed"),
        (&["GET", "http", "a", "a"], "malformed"),
        (&["GET", "http", "http://a/", "a"], "malformed"),
        (&["GET", "http", "/a b", "a"], "malformed"),
        (&["GET", "http", "/\u{e4}", "a"], "malformed"),
        (&["GET", "http", "/a#b", "a"], "400"),
        (&["GET", "http", "/../a", "a"], "GET /../a a"),
        (&["GET", "http", &path, "a"], "414"),
        (&["GET", "http", "/", "user@a"], "400"),
        (&["GET", "http", "/", "a/b"], "400"),
        (&["GET", "http", "/", "-"], "400"),
        (&["-", "http", "/", "a"], "malformed"),
        (&["GET", "-", "/", "a"], "malformed"),
        (&["GET", "http", "-", "a"], "malformed"),
        (&["CONNECT", "-", "-", "a:443"], "405"),
        (&["CONNECT", "http", "/", "a:443"], "malformed"),
        (&["CONNECT", "-", "-", "-"], "malformed"),
        (
            &["CONNECT", "http", "/", "a", "websocket"],
            "GET / a upgrade connection=Upgrade upgrade=websocket",
        ),
        (&["CONNECT", "http", "/", "a", "connect-udp"], "501"),
        (&["CONNECT", "-", "/", "a", "websocket"], "malformed"),
        (&["CONNECT", "http", "-", "a", "websocket"], "malformed"),
    ];
    for (values, expected) in alone {
        let names = [":method", ":scheme", ":path", ":authority", ":protocol"];
        // A hyphen: it is not there.
        let fields: Vec<(&str, &str)> = names.into_iter().zip(values.iter().copied()).collect();
        let fields: Vec<_> = fields
            .into_iter()
            .filter(|(_, value)| *value != "-")
            .collect();
        assert_eq!(
            read(&fields, !expected.contains("upgrade")),
            *expected,
            "{values:?}"
        );
    }
}

#[test]
fn a_head_is_reused_without_a_trace_of_the_one_before() {
    let mut head = Head::default();
    for _ in 0..2 {
        let mut list = Fields::begin(&mut head);
        for (name, value) in GET {
            list.add(&mut head, name.as_bytes(), value.as_bytes());
        }
        assert_eq!(list.finish(&mut head, true), Ok(()));
        assert_eq!((head.headers().count(), head.protocol()), (1, "HTTP/2.0"));
    }
    head.parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(head.protocol(), "HTTP/1.1");
}
