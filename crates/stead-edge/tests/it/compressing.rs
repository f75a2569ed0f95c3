//! Responses that are compressed on their way, read by decoders that are not the edge's own.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stead_model::release::Protocol;
use stead_model::routing::{
    Address, Folder, Instance, InstanceId, Route, RoutingTable, Rules, Target,
};

use crate::running::{Answer, PATIENCE, Running, Worker, table, upstream};

const APP: &str = r#"
import tempfile

def app(environ, start_response):
    path = environ["PATH_INFO"]
    text = b"".join(b"line %d of a text that repeats itself\n" % number for number in range(5000))
    headers = [("Content-Type", "text/html"), ("ETag", '"abc"'), ("Accept-Ranges", "bytes")]
    if path == "/small":
        text = b"x" * 1000
    if path == "/sized":
        headers.append(("Content-Length", str(len(text))))
    if path == "/varies":
        headers.append(("Vary", "Cookie"))
    if path == "/tells":
        headers.append(("Vary", "Cookie, accept-encoding"))
    if path == "/image":
        headers[0] = ("Content-Type", "image/png")
    if path == "/coded":
        headers.append(("Content-Encoding", "gzip"))
    if path == "/events":
        headers[0] = ("Content-Type", "text/event-stream")
    if path == "/unchanged":
        start_response("304 Not Modified", headers[1:])
        return []
    if path == "/short":
        headers.append(("Content-Length", str(len(text) + 1)))
    start_response("200 OK", headers)
    if path == "/file":
        file = tempfile.TemporaryFile()
        file.write(text)
        file.seek(0)
        return environ["wsgi.file_wrapper"](file)
    if path == "/pieces":
        return [text[at:at + 999] for at in range(0, len(text), 999)]
    return [text]
"#;

fn text() -> Vec<u8> {
    (0..5000)
        .flat_map(|number| format!("line {number} of a text that repeats itself\n").into_bytes())
        .collect()
}

fn compressing() -> Option<Box<Rules>> {
    Some(Box::new(Rules {
        compress: true,
        ..Rules::default()
    }))
}

fn start() -> (Running, Worker) {
    let worker = Worker::start(APP, 2);
    let mut table = table(upstream(Protocol::Frames, vec![worker.instance.clone()]));
    table.routes[0].rules = compressing();
    (Running::start(table), worker)
}

/// What the program for a coding makes of a body.
fn decoded(coding: &str, body: &[u8]) -> Vec<u8> {
    let program = match coding {
        "gzip" => "gzip",
        "br" => "brotli",
        _ => "zstd",
    };
    let mut child = Command::new(program)
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("`{program}` is needed: {error}"));
    let mut input = child.stdin.take().unwrap();
    let body = body.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&body));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{coding} is whole");
    output.stdout
}

fn ask(running: &Running, method: &str, path: &str, accept: &str) -> Answer {
    running.ask(&format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {accept}\r\n\r\n"
    ))
}

#[test]
fn every_coding_is_read_by_its_own_program() {
    let (running, _worker) = start();
    for path in ["/", "/sized", "/pieces", "/file"] {
        for (accept, coding) in [
            ("gzip, deflate, br, zstd", "zstd"),
            ("gzip, br", "br"),
            ("gzip", "gzip"),
            ("br;q=0.1, gzip;q=0.2", "gzip"),
        ] {
            let answer = ask(&running, "GET", path, accept);
            assert_eq!(
                answer.header("content-encoding"),
                Some(coding),
                "{path} {accept}"
            );
            assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
            assert_eq!(answer.header("etag"), Some("W/\"abc\""));
            assert_eq!(answer.header("accept-ranges"), None);
            assert_eq!(answer.header("content-length"), None);
            assert!(!answer.cut && answer.body.len() < 40_000, "{path} {accept}");
            assert!(decoded(coding, &answer.body) == text(), "{path} {accept}");
            let head = ask(&running, "HEAD", path, accept);
            assert_eq!(head.header("content-encoding"), Some(coding));
            assert_eq!(head.header("etag"), Some("W/\"abc\""));
        }
    }
}

#[test]
fn who_wants_none_and_what_would_not_gain_stays_as_it_is() {
    let (running, _worker) = start();
    let plain = running.get("/");
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(
        (plain.header("vary"), plain.header("etag")),
        (Some("Accept-Encoding"), Some("\"abc\""))
    );
    assert!(plain.body == text());
    for (path, vary) in [("/small", None), ("/image", None), ("/events", None)] {
        let answer = ask(&running, "GET", path, "gzip");
        assert_eq!(answer.header("content-encoding"), None, "{path}");
        assert_eq!(
            (answer.header("vary"), answer.header("etag")),
            (vary, Some("\"abc\"")),
            "{path}"
        );
    }
    let coded = ask(&running, "GET", "/coded", "gzip");
    assert!(
        coded.body == text(),
        "what the app calls coded is left alone"
    );
    for forbids in [
        "gzip\r\nCache-Control: no-transform",
        "identity",
        "gzip;q=0",
    ] {
        let answer = ask(&running, "GET", "/", forbids);
        assert!(answer.body == text(), "{forbids}");
    }
    let old = running.ask("GET / HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!(old.header("content-encoding"), None);
    let varies = ask(&running, "GET", "/varies", "gzip");
    assert!(
        varies.head.contains("\r\nVary: Cookie\r\n")
            && varies.head.contains("\r\nVary: Accept-Encoding\r\n")
    );
    let tells = ask(&running, "GET", "/tells", "gzip");
    assert_eq!(tells.head.to_lowercase().matches("\r\nvary:").count(), 1);
    let unchanged = ask(&running, "GET", "/unchanged", "gzip");
    assert_eq!(
        (unchanged.status, unchanged.header("etag")),
        (304, Some("W/\"abc\""))
    );
    assert_eq!(unchanged.header("vary"), Some("Accept-Encoding"));
}

#[test]
fn a_body_that_is_too_short_is_cut_and_not_completed() {
    let (running, _worker) = start();
    assert!(ask(&running, "GET", "/short", "gzip").cut);
}

#[test]
fn what_an_app_has_said_is_read_before_it_goes_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    let (go, goes) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer);
        let _ = stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        for number in 0..3 {
            let _ = stream.write_all(format!("8\r\npiece {number}\n\r\n").as_bytes());
            // Only who has read this lets the next one come.
            let _ = goes.recv();
        }
        let _ = stream.write_all(b"0\r\n\r\n");
    });
    let instance = Instance {
        id: InstanceId(903),
        address,
        capacity: 1,
    };
    let mut table = table(upstream(Protocol::Http, vec![instance]));
    table.routes[0].rules = compressing();
    let running = Running::start(table);
    // curl reads the coding as it comes, and shows each piece at once.
    let mut child = Command::new("curl")
        .args([
            "-sN",
            "--http1.1",
            "-H",
            "Accept-Encoding: gzip",
            "--output",
            "-",
        ])
        .arg(format!("http://{}/", running.address))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("`curl` is needed: {error}"));
    let mut output = child.stdout.take().unwrap();
    let mut coded = Vec::new();
    for number in 0..3 {
        let mut buffer = [0; 4096];
        let expected: String = (0..=number).map(|at| format!("piece {at}\n")).collect();
        loop {
            let length = output.read(&mut buffer).unwrap();
            assert!(length > 0, "it ended early");
            coded.extend_from_slice(&buffer[..length]);
            let mut plain = Vec::new();
            let _ = flate2::read::GzDecoder::new(&coded[..]).read_to_end(&mut plain);
            if plain == expected.as_bytes() {
                break;
            }
        }
        go.send(()).unwrap();
    }
    output.read_to_end(&mut coded).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(decoded("gzip", &coded), b"piece 0\npiece 1\npiece 2\n");
}

#[test]
fn over_http2_it_is_the_same() {
    let (running, _worker) = start();
    for (accept, coding) in [("br", "br"), ("zstd", "zstd"), ("gzip", "gzip")] {
        let output = Command::new("curl")
            .args(["-s", "--http2-prior-knowledge", "-D", "/dev/stderr", "-H"])
            .arg(format!("Accept-Encoding: {accept}"))
            .arg(format!("http://{}/file", running.address))
            .output()
            .unwrap_or_else(|error| panic!("`curl` is needed: {error}"));
        let head = String::from_utf8(output.stderr).unwrap();
        assert!(
            head.contains(&format!("content-encoding: {coding}\r\n")),
            "{head}"
        );
        assert!(head.contains("etag: W/\"abc\"\r\n"), "{head}");
        assert!(decoded(coding, &output.stdout) == text(), "{accept}");
    }
}

#[test]
fn a_file_is_compressed_once_and_its_ranges_are_those_of_the_plain_one() {
    let site = tempfile::tempdir().unwrap();
    std::fs::write(site.path().join("page.html"), text()).unwrap();
    std::fs::write(site.path().join("small.html"), "x").unwrap();
    std::fs::write(site.path().join("image.png"), text()).unwrap();
    let route = Route {
        hosts: vec![],
        path: "/".into(),
        target: Target::Folder(Folder {
            root: site.path().to_owned(),
            compress: true,
            ..Folder::default()
        }),
        body_limit: 0,
        timeouts: Default::default(),
        rules: None,
        limit: None,
        tls: None,
    };
    let running = Running::start(RoutingTable {
        routes: vec![route],
        ..RoutingTable::default()
    });
    // A file that was changed just now may change again: it is compressed when it has settled.
    let end = Instant::now() + PATIENCE;
    for (accept, coding) in [("br, gzip, zstd", "br"), ("zstd", "zstd"), ("gzip", "gzip")] {
        let answer = loop {
            let answer = ask(&running, "GET", "/page.html", accept);
            if answer.header("content-encoding").is_some() {
                break answer;
            }
            assert!(answer.body == text() && Instant::now() < end, "{accept}");
            std::thread::sleep(Duration::from_millis(50));
        };
        assert_eq!(answer.header("content-encoding"), Some(coding));
        assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
        assert_eq!(answer.header("accept-ranges"), None);
        let length = answer.body.len().to_string();
        assert_eq!(answer.header("content-length"), Some(&*length));
        assert!(decoded(coding, &answer.body) == text());
        let tag = answer.header("etag").unwrap();
        assert!(tag.starts_with("W/\""));
        let head = ask(&running, "HEAD", "/page.html", accept);
        assert_eq!(
            (head.header("content-length"), head.header("etag")),
            (Some(&*length), Some(tag))
        );
        let again = ask(
            &running,
            "GET",
            "/page.html",
            &format!("{accept}\r\nIf-None-Match: {tag}"),
        );
        assert_eq!((again.status, again.header("etag")), (304, Some(tag)));
        let part = ask(
            &running,
            "GET",
            "/page.html",
            &format!("{accept}\r\nRange: bytes=0-3"),
        );
        assert_eq!((part.status, part.text()), (206, "line"));
        let weak = ask(
            &running,
            "GET",
            "/page.html",
            &format!("{accept}\r\nRange: bytes=0-3\r\nIf-Range: {tag}"),
        );
        assert_eq!((weak.status, weak.body == text()), (200, true));
        let strong = ask(
            &running,
            "GET",
            "/page.html",
            &format!("{accept}\r\nIf-Match: {tag}"),
        );
        assert_eq!(strong.status, 412);
    }
    let plain = running.get("/page.html");
    assert!(plain.body == text() && plain.header("etag").is_some_and(|tag| tag.starts_with('"')));
    for path in ["/small.html", "/image.png"] {
        let answer = ask(&running, "GET", path, "gzip");
        assert_eq!(
            (answer.header("content-encoding"), answer.header("vary")),
            (None, None),
            "{path}"
        );
    }
}
