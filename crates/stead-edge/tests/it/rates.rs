//! How many requests an address may send to a route.

use std::time::Duration;

use stead_edge::Settings;
use stead_model::manifest::{Edge, Rate};
use stead_model::release::Protocol;
use stead_model::routing::{Folder, RateLimit, Route, RoutingTable, Target};

use crate::entrance::trusting;
use crate::running::{Running, Worker, table, upstream};

const APP: &str = r#"
def app(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"#;

/// Two requests at once, then one an hour.
pub(crate) fn limit(name: &str) -> RateLimit {
    RateLimit {
        name: name.into(),
        rate: Rate {
            count: 1,
            per: Duration::from_secs(3600),
        },
        burst: 2,
    }
}

/// An app with files, all in one limit, and `/free` without any.
fn limited(worker: &Worker, files: &std::path::Path, edge: Edge) -> RoutingTable {
    std::fs::write(files.join("a.txt"), "a").unwrap();
    let upstream = upstream(Protocol::Frames, vec![worker.instance.clone()]);
    let mut table = RoutingTable {
        edge,
        ..table(upstream)
    };
    let free = Route {
        path: "/free".into(),
        ..table.routes[0].clone()
    };
    table.routes[0].limit = Some(limit("test /"));
    let folder = Route {
        path: "/static".into(),
        target: Target::Folder(Folder {
            root: files.to_owned(),
            fallback: None,
            ..Default::default()
        }),
        ..table.routes[0].clone()
    };
    table.routes.extend([free, folder]);
    table
}

#[test]
fn who_sends_too_much_is_told_when_to_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let worker = Worker::start(APP, 4);
    let settings = Settings {
        metrics: Some(folder.path().join("metrics.sock")),
        ..Settings::default()
    };
    let mut running = Running::with(settings, limited(&worker, folder.path(), trusting()));
    let ask = |running: &Running, path: &str, address: &str| {
        running.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, {address}\r\n\r\n"
        ))
    };
    assert_eq!(ask(&running, "/", "203.0.113.7").status, 200);
    assert_eq!(ask(&running, "/static/a.txt", "203.0.113.7").text(), "a");
    for path in ["/", "/static/a.txt", "/static/none"] {
        let held_up = ask(&running, path, "203.0.113.7");
        assert_eq!(held_up.status, 429);
        let wait: u64 = held_up.header("retry-after").unwrap().parse().unwrap();
        assert!((3000..=3600).contains(&wait), "{wait}");
        assert!(held_up.text().contains("Too many requests"));
    }
    // Others, and other routes, have their own.
    assert_eq!(ask(&running, "/free", "203.0.113.7").status, 200);
    assert_eq!(ask(&running, "/", "203.0.113.8").status, 200);
    // A table with the same limit does not give a new allowance.
    running.publish(limited(&worker, folder.path(), trusting()));
    assert_eq!(ask(&running, "/", "203.0.113.7").status, 429);
    // A connection stays open, but not with a body that nobody has read.
    let mut visitor = running.visit();
    let get = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n";
    visitor.send(get.as_bytes());
    assert_eq!(visitor.answer(false).status, 429);
    visitor.send(
        b"POST / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7\r\nContent-Length: 5\r\n\r\nhello",
    );
    let answer = visitor.answer(false);
    assert_eq!(
        (answer.status, answer.header("connection")),
        (429, Some("close"))
    );
    let text = crate::metrics::scrape(&folder.path().join("metrics.sock"));
    let counted = crate::metrics::value(&text, "stead_requests_limited_total{route=\"test /\"}");
    assert_eq!(counted, Some(6.0), "{text}");
}

#[test]
fn a_hundred_requests_at_once_get_no_more_than_the_burst() {
    let folder = tempfile::tempdir().unwrap();
    let worker = Worker::start(APP, 4);
    let settings = Settings {
        threads: 4,
        ..Settings::default()
    };
    let table = limited(&worker, folder.path(), Edge::default());
    let running = Running::with(settings, table);
    let mut visitors: Vec<_> = (0..100).map(|_| running.visit()).collect();
    for visitor in &mut visitors {
        visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let answers = visitors.iter_mut().map(|visitor| visitor.answer(false));
    let passed = answers.filter(|answer| answer.status == 200).count();
    assert_eq!(passed, 2);
}
