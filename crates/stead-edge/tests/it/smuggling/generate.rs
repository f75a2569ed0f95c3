//! The cases, as code: each way to write a length, times each way to hide it, times each body that one
//! reader takes for a body and another for the next request.

/// One input.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// `{c}` stands for the path of the case.
    template: Vec<u8>,
    /// Not ambiguous at all, only unusual: all of it must arrive.
    pub(crate) is_fine: bool,
}

impl Case {
    /// With paths that name it, so that what reaches an upstream can be told apart.
    pub(crate) fn bytes(&self, number: usize) -> Vec<u8> {
        let path = format!("/c{number}");
        let (mut bytes, mut rest) = (Vec::new(), self.template.as_slice());
        while let Some(at) = rest.windows(3).position(|three| three == b"{c}") {
            bytes.extend_from_slice(&rest[..at]);
            // Of one length, so that the lengths in the template are right.
            bytes.extend_from_slice(format!("{path:/<8}").as_bytes());
            rest = &rest[at + 3..];
        }
        bytes.extend_from_slice(rest);
        bytes
    }
}

/// What a smuggler wants to be taken for a request of its own. 8 bytes stand for `{c}`.
const HIDDEN: &str = "GET {c}/hidden HTTP/1.1\r\nHost: a\r\n\r\n";
const HIDDEN_LENGTH: usize = HIDDEN.len() - 3 + 8;

/// Every case.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    lengths_and_codings(&mut cases);
    bytes_around_names_and_values(&mut cases);
    lengths_alone(&mut cases);
    chunk_lines(&mut cases);
    injections(&mut cases);
    hosts_and_targets(&mut cases);
    connections_and_expectations(&mut cases);
    fine(&mut cases);
    cases
}

fn add(cases: &mut Vec<Case>, name: String, template: impl Into<Vec<u8>>) {
    cases.push(Case {
        name,
        template: template.into(),
        is_fine: false,
    });
}

fn post(fields: &[u8], body: &[u8]) -> Vec<u8> {
    [b"POST {c} HTTP/1.1\r\nHost: a\r\n", fields, b"\r\n", body].concat()
}

/// The hidden request behind a last chunk, and as the content of a chunk.
fn bodies() -> [(&'static str, String, usize); 3] {
    let behind = format!("0\r\n\r\n{HIDDEN}");
    let within = format!("{HIDDEN_LENGTH:x}\r\n{HIDDEN}\r\n0\r\n\r\n");
    [
        ("CL.TE", behind.clone(), 5 + HIDDEN_LENGTH),
        ("TE.CL", within, format!("{HIDDEN_LENGTH:x}\r\n").len()),
        ("CL.TE short", behind, 5),
    ]
}

/// Ways to write the coding of which some reader says that it is, or is not, `chunked`.
fn codings() -> Vec<Vec<u8>> {
    let mut codings: Vec<Vec<u8>> = Vec::new();
    for value in [
        "chunked",
        "Chunked",
        "CHUNKED",
        "chunked ",
        " chunked",
        "\tchunked",
        "chunked\t",
        "xchunked",
        "chunkedx",
        "chunke",
        "chun\tked",
        "chunked;q=1",
        "chunked; a=b",
        "\"chunked\"",
        "'chunked'",
        "chunked,",
        ",chunked",
        "chunked, chunked",
        "chunked,identity",
        "identity, chunked",
        "identity",
        "gzip, chunked",
        "chunked, gzip",
        "gzip",
        "deflate,chunked",
        "trailers, chunked",
        "",
        ",",
        "cow",
        "chunked\0",
        "\0chunked",
        "chunked\x0b",
        "\x0bchunked",
        "chunked\x0c",
        "chu nked",
        "(chunked)",
        "chunked#",
        "chunked\\",
        "=?iso-8859-1?B?Y2h1bmtlZA==?=",
        "x-chunked",
        "chunked/1",
        "\u{a0}chunked",
        "chunked\u{85}",
        "\u{feff}chunked",
        "ch\u{fb}nked",
        "0",
        "none",
        "true",
    ] {
        codings.push(format!("Transfer-Encoding: {value}\r\n").into_bytes());
    }
    for line in [
        "transfer-encoding: chunked\r\n",
        "TRANSFER-ENCODING: CHUNKED\r\n",
        "Transfer-Encoding:chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "\tTransfer-Encoding: chunked\r\n",
        "Transfer_Encoding: chunked\r\n",
        "Transfer.Encoding: chunked\r\n",
        "Transfer Encoding: chunked\r\n",
        "TransferEncoding: chunked\r\n",
        "Transfer-Encodin: chunked\r\n",
        "Transfer--Encoding: chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding\r\n: chunked\r\n",
        "Transfer-Encoding:\n chunked\r\n",
        "Transfer-Encoding: chunked\n",
        "Transfer-Encoding: chunked\r",
        "X: y\nTransfer-Encoding: chunked\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "X:\0y\r\nTransfer-Encoding: chunked\r\n",
        "\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\ntransfer-encoding: x\r\n",
        "Transfer-Encoding\r\n",
        "Transfer-Encoding chunked\r\n",
        "Foo: bar\r\n\r\nTransfer-Encoding: chunked\r\n",
        "TE: chunked\r\n",
        "Content-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n",
        "X-Transfer-Encoding: chunked\r\n",
        "HTTP_TRANSFER_ENCODING: chunked\r\n",
        "Transfer%2DEncoding: chunked\r\n",
        "Transfer\u{2d}Encoding;: chunked\r\n",
    ] {
        codings.push(line.as_bytes().to_vec());
    }
    codings
}

/// CL.TE, TE.CL and TE.0, with the length first, last, twice, or nowhere.
fn lengths_and_codings(cases: &mut Vec<Case>) {
    for coding in codings() {
        for (kind, body, length) in bodies() {
            let length = format!("Content-Length: {length}\r\n").into_bytes();
            for (order, fields) in [
                ("length first", [length.clone(), coding.clone()].concat()),
                ("coding first", [coding.clone(), length.clone()].concat()),
                ("no length", coding.clone()),
            ] {
                let coding = String::from_utf8_lossy(&coding);
                let name = format!("{kind}, {order}, {coding:?}");
                add(cases, name, post(&fields, body.as_bytes()));
            }
        }
    }
}

/// Every byte before and after a name and a value: what one reader trims, another keeps.
fn bytes_around_names_and_values(cases: &mut Vec<Case>) {
    let (_, body, length) = &bodies()[0];
    let content = format!("{length}");
    for (name, value, other) in [
        (
            "Transfer-Encoding",
            "chunked",
            format!("Content-Length: {length}\r\n"),
        ),
        ("Content-Length", content.as_str(), String::new()),
        ("Host", "b", format!("Content-Length: {length}\r\n")),
    ] {
        for byte in 0..=255_u8 {
            let byte = &[byte][..];
            for (place, line) in [
                (
                    "before the name of",
                    [byte, name.as_bytes(), b": ", value.as_bytes()].concat(),
                ),
                (
                    "after the name of",
                    [name.as_bytes(), byte, b": ", value.as_bytes()].concat(),
                ),
                (
                    "before the value of",
                    [name.as_bytes(), b":", byte, value.as_bytes()].concat(),
                ),
                (
                    "after the value of",
                    [name.as_bytes(), b": ", value.as_bytes(), byte].concat(),
                ),
            ] {
                let fields = [other.as_bytes(), &line, b"\r\n"].concat();
                add(
                    cases,
                    format!("{byte:?} {place} {name}"),
                    post(&fields, body.as_bytes()),
                );
            }
        }
    }
}

/// CL.0 and 0.CL: one length, written so that some reader takes it for another or for none.
fn lengths_alone(cases: &mut Vec<Case>) {
    let right = HIDDEN_LENGTH;
    for value in [
        format!("+{right}"),
        format!("-{right}"),
        format!("0x{right:x}"),
        format!("{right}.0"),
        format!("{right},"),
        format!("{right}, {right}"),
        format!("{right},0"),
        format!("0,{right}"),
        format!("{right} 0"),
        format!("0 {right}"),
        format!("{right};"),
        format!("\"{right}\""),
        format!("{right}e0"),
        format!("0{right}"),
        format!("00000{right}"),
        format!("{right}\0"),
        format!("{right}\x0b"),
        format!("\x0b{right}"),
        String::new(),
        "0".into(),
        "00".into(),
        "-0".into(),
        "+0".into(),
        "4294967296".into(),
        "18446744073709551616".into(),
        "18446744073709551615".into(),
        "999999999999999999999999".into(),
        "9223372036854775808".into(),
        "1e3".into(),
        "0b1".into(),
        "0o7".into(),
        "\u{661}".into(),
        "1_0".into(),
        "1'0".into(),
        "nan".into(),
        "inf".into(),
        "chunked".into(),
        "none".into(),
    ] {
        for (kind, line) in [
            ("alone", format!("Content-Length: {value}\r\n")),
            (
                "before a zero",
                format!("Content-Length: {value}\r\nContent-Length: 0\r\n"),
            ),
            (
                "after a zero",
                format!("Content-Length: 0\r\nContent-Length: {value}\r\n"),
            ),
            (
                "twice",
                format!("Content-Length: {value}\r\nContent-Length: {value}\r\n"),
            ),
            ("folded", format!("Content-Length:\r\n {value}\r\n")),
            ("aliased", format!("Content_Length: {value}\r\n")),
            ("spaced", format!("Content-Length : {value}\r\n")),
        ] {
            let name = format!("length {value:?} {kind}");
            add(cases, name, post(line.as_bytes(), HIDDEN.as_bytes()));
        }
    }
}

/// Sizes, extensions and line ends of chunks.
fn chunk_lines(cases: &mut Vec<Case>) {
    let size = format!("{HIDDEN_LENGTH:x}");
    let coded = b"Transfer-Encoding: chunked\r\n";
    for line in [
        format!("{size};"),
        format!("{size};a"),
        format!("{size};a=b"),
        format!("{size};a=\"b\""),
        format!("{size};a=\"b"),
        format!("{size};\n"),
        format!("{size};a\n"),
        format!("{size};\ra"),
        format!("{size}\n"),
        format!("{size}\r"),
        format!("{size} "),
        format!(" {size}"),
        format!("{size}\t"),
        format!("{size} ;a"),
        format!("{size}; a"),
        format!("0x{size}"),
        format!("+{size}"),
        format!("-{size}"),
        format!("{size}h"),
        format!("{size}.0"),
        format!("{size},a"),
        format!("{size}\0"),
        format!("{size}\x0b"),
        format!("000{size}"),
        format!("0000000000000000{size}"),
        format!("1{:016x}", HIDDEN_LENGTH),
        format!("ffffffff{:08x}", HIDDEN_LENGTH),
        format!("{size}_0"),
        String::new(),
        ";a".into(),
        "g".into(),
        "-1".into(),
        "ffffffffffffffff".into(),
        "7fffffffffffffff".into(),
        "\u{661}".into(),
        format!("{size};a=b;c=\"d\\\"e\";f"),
        format!("{size};;"),
        format!("{size};=b"),
        format!("{size};a="),
    ] {
        for (ends, end) in [
            ("CR LF", "\r\n"),
            ("LF", "\n"),
            ("CR", "\r"),
            ("CR CR LF", "\r\r\n"),
            ("none", ""),
        ] {
            for (last, tail) in [
                ("plain", "0\r\n\r\n"),
                ("LF", "0\n\n"),
                ("a trailer", "0\r\nX: y\r\n\r\n"),
                ("an evil trailer", "0\r\nContent-Length: 9\r\n\r\n"),
                ("no end", "0\r\n"),
                ("a colonless trailer", "0\r\nx\r\n\r\n"),
                ("a bare last chunk", "0\r\r\n\r\n"),
            ] {
                let name = format!("chunk line {line:?}, ends {ends}, last {last}");
                let body = format!("{line}{end}{HIDDEN}\r\n{tail}{HIDDEN}");
                add(cases, name, post(coded, body.as_bytes()));
            }
        }
    }
    for join in ["", "\n", "\r", "\r\r\n", "\n\r", "xx", " \r\n", "\r\nx"] {
        let body = format!("{size}\r\n{HIDDEN}{join}0\r\n\r\n{HIDDEN}");
        add(
            cases,
            format!("{join:?} after a chunk"),
            post(coded, body.as_bytes()),
        );
    }
}

/// Line ends and what becomes one, in every place of a head.
fn injections(cases: &mut Vec<Case>) {
    for end in [
        "\r\n",
        "\n",
        "\r",
        "\0",
        "\r\n\r\n",
        "\n\n",
        "%0d%0a",
        "%0a",
        "%0D",
        "%00",
        "\u{85}",
        "\u{2028}",
        "\u{560a}",
        "\u{10d}\u{10a}",
        "\x0b",
        "\x0c",
        "\x1b",
        "\x7f",
        "\\r\\n",
        "\r\n ",
        "\n\t",
        "\u{e5}\u{98}\u{8a}",
    ] {
        let more = format!("{end}Content-Length: 0{end}X: y");
        for (place, template) in [
            (
                "the path",
                format!("GET {{c}}{more} HTTP/1.1\r\nHost: a\r\n\r\n{HIDDEN}"),
            ),
            (
                "the query",
                format!("GET {{c}}?a={more} HTTP/1.1\r\nHost: a\r\n\r\n{HIDDEN}"),
            ),
            (
                "the method",
                format!("GET{more} {{c}} HTTP/1.1\r\nHost: a\r\n\r\n{HIDDEN}"),
            ),
            (
                "the version",
                format!("GET {{c}} HTTP/1.1{more}\r\nHost: a\r\n\r\n{HIDDEN}"),
            ),
            (
                "Host",
                format!("GET {{c}} HTTP/1.1\r\nHost: a{more}\r\n\r\n{HIDDEN}"),
            ),
            (
                "a name",
                format!("GET {{c}} HTTP/1.1\r\nHost: a\r\nX{more}: y\r\n\r\n{HIDDEN}"),
            ),
            (
                "a value",
                format!("GET {{c}} HTTP/1.1\r\nHost: a\r\nX: y{more}\r\n\r\n{HIDDEN}"),
            ),
            (
                "a cookie",
                format!(
                    "GET {{c}} HTTP/1.1\r\nHost: a\r\nCookie: a=b{more}\r\nCookie: c\r\n\r\n{HIDDEN}"
                ),
            ),
            (
                "an authority",
                format!("GET http://a{more}{{c}} HTTP/1.1\r\nHost: a\r\n\r\n{HIDDEN}"),
            ),
            (
                "a content type",
                format!(
                    "POST {{c}} HTTP/1.1\r\nHost: a\r\nContent-Type: a/b{more}\r\n\r\n{HIDDEN}"
                ),
            ),
            (
                "an upgrade",
                format!(
                    "GET {{c}} HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x{more}\r\n\r\n{HIDDEN}"
                ),
            ),
        ] {
            add(cases, format!("{end:?} in {place}"), template);
        }
    }
}

fn hosts_and_targets(cases: &mut Vec<Case>) {
    for host in [
        "Host: a\r\nHost: b\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a, b\r\n",
        "Host: a\r\n b\r\n",
        "Host:\r\n",
        "",
        "Host: a b\r\n",
        "Host: a@b\r\n",
        "Host: a/b\r\n",
        "Host: a:80:80\r\n",
        "Host: [::1\r\n",
        "Host: a#b\r\n",
        "Host: a?b\r\n",
        "Host: http://a\r\n",
        "Host: a\\b\r\n",
        "Host: a\0\r\n",
        "Host : a\r\n",
        " Host: a\r\n",
        "X: y\r\n Host: a\r\n",
        "Host\r\n",
        "host: a\r\nHOST: b\r\n",
        "Host: a:-1\r\n",
        "Host: a:+80\r\n",
        "Host: a:99999\r\n",
        "Host: %61\r\n",
        "Host: a;b\r\n",
        "Host: \u{e9}\r\n",
    ] {
        for target in [
            "{c}",
            "http://a{c}",
            "http://b{c}",
            "https://a{c}",
            "http://u@a{c}",
            "//a{c}",
            "ftp://a{c}",
            "a{c}",
            "http:{c}",
            "*",
            "{c}#x",
            "{c} x",
        ] {
            for version in [
                "HTTP/1.1",
                "HTTP/1.0",
                "HTTP/0.9",
                "HTTP/2.0",
                "HTTP/1.10",
                "http/1.1",
                "HTTP/1.1 ",
                "",
            ] {
                let template = format!(
                    "POST {target} {version}\r\n{host}Content-Length: {HIDDEN_LENGTH}\r\n\r\n{HIDDEN}"
                );
                add(
                    cases,
                    format!("{host:?} with {target:?} {version:?}"),
                    template,
                );
            }
        }
    }
}

fn connections_and_expectations(cases: &mut Vec<Case>) {
    for field in [
        "Connection: Content-Length",
        "Connection: close, Content-Length",
        "Connection: Host",
        "Connection: Transfer-Encoding",
        "Connection: keep-alive, X",
        "Connection: Stead-Request",
        "Connection: Stead-Request, X-Request-ID, X-Forwarded-For",
        "Keep-Alive: timeout=1",
        "Proxy-Connection: close",
        "Stead-Request: 0123456789abcdef0123456789abcdef",
        "stead-request: x",
        "Stead_Request: x",
        "Stead.Request: x",
        "X-Request-ID: x",
        "Expect: 100-continue",
        "Expect: 100-continue, x",
        "Expect: x",
        "Expect:",
        "Expect: 100-Continue",
        "Expect: 100-continue\r\nExpect: x",
        "Expect : 100-continue",
        "Expect:\r\n 100-continue",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        "Upgrade: websocket\r\nUpgrade: h2c\r\nConnection: Upgrade",
        "Upgrade: HTTP/2.0\r\nConnection: Upgrade",
        "Upgrade: websocket\r\nConnection: Upgrade",
        "Trailer: Content-Length",
        "TE: trailers",
        "Max-Forwards: 0",
        "X-HTTP-Method-Override: CONNECT",
        "Content-Encoding: gzip",
        "Range: bytes=0-0",
    ] {
        for method in [
            "GET", "HEAD", "POST", "OPTIONS", "DELETE", "TRACE", "PUT", "get", "GETX", "CONNECT",
            "PRI", "PROPFIND",
        ] {
            let length = format!("Content-Length: {HIDDEN_LENGTH}\r\n\r\n{HIDDEN}");
            let chunks = format!(
                "Transfer-Encoding: chunked\r\n\r\n{HIDDEN_LENGTH:x}\r\n{HIDDEN}\r\n0\r\n\r\n"
            );
            for (kind, rest) in [
                ("CL.0", length),
                ("TE.0", chunks),
                ("no body", format!("\r\n{HIDDEN}")),
            ] {
                let template =
                    format!("{method} {{c}} HTTP/1.1\r\nHost: a\r\n{field}\r\n{rest}{HIDDEN}");
                add(
                    cases,
                    format!("{kind} of {method} with {field:?}"),
                    template,
                );
            }
        }
    }
}

/// What must not be refused: or else the strictness were worth nothing.
fn fine(cases: &mut Vec<Case>) {
    let size = format!("{HIDDEN_LENGTH:x}");
    for template in [
        "GET {c} HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        format!("GET {{c}} HTTP/1.1\r\nHost: a\r\n\r\n{HIDDEN}"),
        format!(
            "\r\nPOST {{c}} HTTP/1.1\r\nhost:a\r\ncontent-length:{HIDDEN_LENGTH}\r\n\r\n{HIDDEN}{HIDDEN}"
        ),
        format!(
            "POST {{c}} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n{size};a=\"b c\"\r\n{HIDDEN}\r\n0\r\nX: y\r\n\r\n{HIDDEN}"
        ),
        format!(
            "GET {{c}} HTTP/1.1\r\nHost: a\r\nContent-Length: {HIDDEN_LENGTH}\r\n\r\n{HIDDEN}{HIDDEN}"
        ),
        format!(
            "DELETE {{c}} HTTP/1.1\r\nHost: a\r\nContent-Length: 0{HIDDEN_LENGTH} \r\n\r\n{HIDDEN}{HIDDEN}"
        ),
        "HEAD {c} HTTP/1.1\r\nHost: a\r\n\r\nHEAD {c} HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        format!(
            "POST {{c}} HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: {HIDDEN_LENGTH}\r\n\r\n{HIDDEN}{HIDDEN}"
        ),
        "GET {c}?a=b%20c&d[]={e} HTTP/1.1\r\nHost: a.example:80\r\nX-Y: \t \u{e9} \r\n\r\n"
            .to_owned(),
    ] {
        cases.push(Case {
            name: "a request without fault".into(),
            template: template.into_bytes(),
            is_fine: true,
        });
    }
}
