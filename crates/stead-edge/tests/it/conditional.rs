//! Conditional requests and ranges of static files, as a visitor sees them (RFC 9110 sections 13 and 14).

use std::fs::{self, File};
use std::time::{Duration, Instant, SystemTime};

use stead_model::routing::{Folder, RoutingTable, Target};

use crate::running::{Answer, PATIENCE, Running, table, upstream};

const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const LATER: &str = "Tue, 08 Nov 1994 08:49:37 GMT";
const CONTENT: &str = "0123456789abcdefghij";

/// A folder with one file of 20 bytes, and the file's entity tag.
fn serving() -> (Running, tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.txt");
    fs::write(&path, CONTENT).unwrap();
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    let mut table: RoutingTable = table(upstream(stead_model::release::Protocol::Http, vec![]));
    table.routes[0].target = Target::Folder(Folder {
        root: folder.path().into(),
        ..Folder::default()
    });
    let running = Running::start(table);
    // A file that was changed a moment ago has a weak one, since it may change again unnoticed.
    let end = Instant::now() + PATIENCE;
    let etag = loop {
        let whole = running.get("/file.txt");
        assert_eq!((whole.status, whole.text()), (200, CONTENT));
        assert_eq!(whole.header("last-modified"), Some(MODIFIED));
        assert_eq!(whole.header("accept-ranges"), Some("bytes"));
        let etag = whole.header("etag").unwrap().to_owned();
        if etag.starts_with('"') {
            break etag;
        }
        assert!(Instant::now() < end, "still a weak one: {etag}");
        std::thread::sleep(Duration::from_millis(50));
    };
    (running, folder, etag)
}

fn ask(running: &Running, method: &str, headers: &str) -> Answer {
    running.ask(&format!(
        "{method} /file.txt HTTP/1.1\r\nHost: a\r\n{headers}\r\n"
    ))
}

#[test]
fn preconditions_are_judged_in_the_order_of_the_rfc() {
    let (running, _folder, etag) = serving();
    let weak = format!("W/{etag}");
    for (headers, expected) in [
        // Section 13.1.1: by strong comparison.
        (format!("If-Match: {etag}\r\n"), 200),
        (format!("If-Match: \"x\", {etag}\r\n"), 200),
        ("If-Match: *\r\n".into(), 200),
        (format!("If-Match: {weak}\r\n"), 412),
        ("If-Match: \"x\"\r\n".into(), 412),
        // Section 13.1.2: by weak comparison.
        (format!("If-None-Match: {etag}\r\n"), 304),
        (format!("If-None-Match: {weak}\r\n"), 304),
        (format!("If-None-Match: \"x\",{weak} ,\"y\"\r\n"), 304),
        ("If-None-Match: *\r\n".into(), 304),
        ("If-None-Match: \"x\"\r\n".into(), 200),
        // Section 5.3: lines of one name are one list.
        (
            format!("If-None-Match: \"x\"\r\nIf-None-Match: {etag}\r\n"),
            304,
        ),
        (format!("If-Match: \"x\"\r\nIf-Match: {etag}\r\n"), 200),
        // Sections 13.1.3 and 13.1.4, and dates in all three forms (section 5.6.7).
        (format!("If-Modified-Since: {MODIFIED}\r\n"), 304),
        (
            "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n".into(),
            304,
        ),
        (
            "If-Modified-Since: Sun Nov  6 08:49:37 1994\r\n".into(),
            304,
        ),
        (format!("If-Modified-Since: {LATER}\r\n"), 304),
        (format!("If-Modified-Since: {EARLIER}\r\n"), 200),
        ("If-Modified-Since: 784111777\r\n".into(), 200),
        (format!("If-Unmodified-Since: {MODIFIED}\r\n"), 200),
        (format!("If-Unmodified-Since: {EARLIER}\r\n"), 412),
        ("If-Unmodified-Since: never\r\n".into(), 200),
        // Section 13.2.2: an entity tag goes before a date, and what fails before what is unchanged.
        (
            format!("If-Match: {etag}\r\nIf-Unmodified-Since: {EARLIER}\r\n"),
            200,
        ),
        (
            format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {LATER}\r\n"),
            200,
        ),
        (
            format!("If-None-Match: {etag}\r\nIf-Modified-Since: {EARLIER}\r\n"),
            304,
        ),
        (format!("If-Match: \"x\"\r\nIf-None-Match: {etag}\r\n"), 412),
        (
            format!("If-Match: {etag}\r\nIf-None-Match: {etag}\r\n"),
            304,
        ),
        (
            format!("If-Unmodified-Since: {EARLIER}\r\nIf-Modified-Since: {LATER}\r\n"),
            412,
        ),
        (
            format!("If-Unmodified-Since: {LATER}\r\nIf-None-Match: {etag}\r\n"),
            304,
        ),
        // A range counts only after all of these.
        (
            format!("If-None-Match: {etag}\r\nRange: bytes=0-1\r\n"),
            304,
        ),
        ("If-Match: \"x\"\r\nRange: bytes=0-1\r\n".into(), 412),
        ("If-Match: *\r\nRange: bytes=0-1\r\n".into(), 206),
    ] {
        let got = ask(&running, "GET", &headers);
        assert_eq!(got.status, expected, "{headers}");
        if matches!(expected, 200 | 304) {
            // Section 15.4.5: a 304 has what a cache updates its copy with.
            assert_eq!(got.header("etag"), Some(etag.as_str()), "{headers}");
            assert_eq!(got.header("cache-control"), Some("no-cache"), "{headers}");
            assert!(got.header("date").is_some(), "{headers}");
        }
        if expected == 304 {
            assert!(got.body.is_empty() && got.header("content-type").is_none());
        }
        if expected == 412 {
            assert_eq!(
                got.head
                    .to_lowercase()
                    .matches("\r\ncache-control:")
                    .count(),
                1
            );
            assert_eq!(got.header("cache-control"), Some("no-store"));
        }
        if expected != 206 {
            // HEAD is the same, without a body; section 14.2 defines ranges for GET alone.
            let head = ask(&running, "HEAD", &headers);
            assert_eq!(head.status, expected, "HEAD {headers}");
            assert_eq!(head.header("content-length"), got.header("content-length"));
            assert!(head.body.is_empty());
        }
    }
}

#[test]
fn ranges_are_answered_one_several_or_as_a_whole() {
    let (running, _folder, etag) = serving();
    for (headers, status, content_range, body) in [
        ("Range: bytes=0-0", 206, "bytes 0-0/20", "0"),
        ("Range: bytes=5-7", 206, "bytes 5-7/20", "567"),
        ("Range: bytes=17-", 206, "bytes 17-19/20", "hij"),
        (
            "Range: bytes=17-99999999999999999999",
            206,
            "bytes 17-19/20",
            "hij",
        ),
        ("Range: bytes=-3", 206, "bytes 17-19/20", "hij"),
        ("Range: bytes=-99", 206, "bytes 0-19/20", CONTENT),
        ("Range: BYTES=1-1", 206, "bytes 1-1/20", "1"),
        // Of several only one is there.
        ("Range: bytes=1-1,40-41", 206, "bytes 1-1/20", "1"),
        // Section 15.5.17.
        ("Range: bytes=20-", 416, "bytes */20", ""),
        ("Range: bytes=20-21,30-31", 416, "bytes */20", ""),
        ("Range: bytes=-0", 416, "bytes */20", ""),
        // Section 14.2: what cannot be read, or is of another unit, is no range.
        ("Range: bytes=2-1", 200, "", CONTENT),
        ("Range: bytes=", 200, "", CONTENT),
        ("Range: bytes=a-b", 200, "", CONTENT),
        ("Range: bytes 0-1", 200, "", CONTENT),
        ("Range: lines=0-1", 200, "", CONTENT),
        ("Range: bytes=0-1, x", 200, "", CONTENT),
        // Parts that are more than the whole together, and more parts than anybody needs.
        ("Range: bytes=0-,0-", 200, "", CONTENT),
        ("Range: bytes=0-10,5-15", 200, "", CONTENT),
        (
            "Range: bytes=0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0",
            200,
            "",
            CONTENT,
        ),
    ] {
        let got = ask(&running, "GET", &format!("{headers}\r\n"));
        assert_eq!(got.status, status, "{headers}");
        assert_eq!(
            got.header("content-range").unwrap_or(""),
            content_range,
            "{headers}"
        );
        if status < 400 {
            assert_eq!(got.text(), body, "{headers}");
        }
        let head = ask(&running, "HEAD", &format!("{headers}\r\n"));
        assert_eq!(
            (head.status, head.header("content-length")),
            (200, Some("20")),
            "HEAD {headers}"
        );
    }
    for (value, status) in [
        (etag.clone(), 206),
        (format!("W/{etag}"), 200),
        ("\"x\"".into(), 200),
        (MODIFIED.into(), 206),
        (EARLIER.into(), 200),
        // Section 13.1.5: exactly that date.
        (LATER.into(), 200),
        ("*".into(), 200),
    ] {
        let headers = format!("If-Range: {value}\r\nRange: bytes=0-1\r\n");
        assert_eq!(ask(&running, "GET", &headers).status, status, "{headers}");
    }
    // One that is no longer true makes even a range that is not there the whole.
    let headers = "If-Range: \"x\"\r\nRange: bytes=90-\r\n";
    assert_eq!(ask(&running, "GET", headers).text(), CONTENT);
}

#[test]
fn several_ranges_are_parts_of_one_body_in_the_order_that_was_asked_for() {
    let (running, _folder, _) = serving();
    let got = ask(&running, "GET", "Range: bytes=-2, 3-4,90-,0-0\r\n");
    assert_eq!((got.status, got.header("content-range")), (206, None));
    let content_type = got.header("content-type").unwrap().to_owned();
    let boundary = content_type
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let text = got.text();
    assert!(text.ends_with(&format!("\r\n--{boundary}--\r\n")), "{text}");
    let parts: Vec<(&str, &str)> = text
        .split(&format!("--{boundary}\r\n"))
        .skip(1)
        .map(|part| part.split_once("\r\n\r\n").unwrap())
        .map(|(head, body)| (head, body.split("\r\n").next().unwrap()))
        .collect();
    let bodies: Vec<&str> = parts.iter().map(|(_, body)| *body).collect();
    assert_eq!(bodies, ["ij", "34", "0"]);
    for ((head, _), range) in parts.iter().zip(["18-19", "3-4", "0-0"]) {
        assert!(
            head.contains(&format!("Content-Range: bytes {range}/20")),
            "{head}"
        );
        assert!(head.contains("Content-Type: text/plain"), "{head}");
    }
}
