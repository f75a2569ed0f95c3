//! Tables are replaced as a whole, and visitors do not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use stead_edge::Settings;
use stead_model::messages::{EdgeCommand, EdgeEvent, Probe};
use stead_model::release::Protocol;
use stead_model::routing::{Folder, Route, RoutingTable, Target};

use crate::running::{Running, Worker, table, upstream};

const APP: &str = r#"
import time
def app(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"] or 0))
    start_response("200 OK" if environ["PATH_INFO"] != "/bad" else "500 No", [])
    return [b"hello"]
"#;

#[test]
fn replacing_instances_loses_no_request_and_tells_when_the_old_ones_are_drained() {
    let mut worker = Worker::start(APP, 8);
    let mut running = Running::start(table(upstream(
        Protocol::Frames,
        vec![worker.instance.clone()],
    )));
    let (stop, served) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let visitors: Vec<_> = (0..4)
        .map(|_| {
            let (stop, served, mut visitor) =
                (Arc::clone(&stop), Arc::clone(&served), running.visit());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    visitor.send(b"GET /?0.002 HTTP/1.1\r\nHost: a\r\n\r\n");
                    let answer = visitor.answer(false);
                    assert_eq!((answer.status, answer.text()), (200, "hello"));
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for _ in 0..8 {
        let next = Worker::start(APP, 8);
        std::thread::sleep(Duration::from_millis(50));
        running.publish(table(upstream(
            Protocol::Frames,
            vec![next.instance.clone()],
        )));
        let old = worker.instance.id;
        running.wait_for(|event| *event == EdgeEvent::Drained { instance: old });
        worker.kill();
        worker = next;
    }
    stop.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.join().unwrap();
    }
    assert!(
        served.load(Ordering::Relaxed) >= 8,
        "requests were served throughout"
    );
}

#[test]
fn a_thousand_tables_cost_visitors_nothing() {
    let worker = Worker::start(APP, 8);
    let of = |hosts: usize| {
        let mut routes = table(upstream(Protocol::Frames, vec![worker.instance.clone()]));
        let first = routes.routes[0].clone();
        routes.routes.extend((0..hosts).map(|number| Route {
            hosts: vec![format!("h{number}.example.com")],
            ..first.clone()
        }));
        routes
    };
    let mut running = Running::start(of(0));
    let stop = Arc::new(AtomicBool::new(false));
    let visitors: Vec<_> = (0..4)
        .map(|_| {
            let (stop, mut visitor) = (Arc::clone(&stop), running.visit());
            std::thread::spawn(move || {
                let mut served = 0;
                while !stop.load(Ordering::Relaxed) {
                    visitor.send(b"GET /?0.001 HTTP/1.1\r\nHost: a\r\n\r\n");
                    assert_eq!(visitor.answer(false).status, 200);
                    served += 1;
                }
                served
            })
        })
        .collect();
    for number in 0..1000 {
        // Every hundredth is a large one.
        running.publish(of(if number % 100 == 0 { 10_000 } else { 10 }));
    }
    stop.store(true, Ordering::Relaxed);
    for visitor in visitors {
        assert!(visitor.join().unwrap() > 0);
    }
    // The instance was in every table: it was never drained, nor did it fail.
    let trouble = running.count_now(|event| !matches!(event, EdgeEvent::Published { .. }));
    assert_eq!(trouble, 0);
}

#[test]
fn a_long_request_holds_its_instance_back_from_being_drained() {
    let (mut running, worker) = Running::app(APP, 4);
    let mut visitor = running.visit();
    visitor.send(b"GET /?1 HTTP/1.1\r\nHost: a\r\n\r\n");
    std::thread::sleep(Duration::from_millis(300));
    running.publish(table(upstream(Protocol::Frames, vec![])));
    let mut waiting = running.visit();
    waiting.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(visitor.answer(false).status, 200);
    let id = worker.instance.id;
    running.wait_for(|event| *event == EdgeEvent::Drained { instance: id });
    let next = Worker::start(APP, 4);
    running.publish(table(upstream(
        Protocol::Frames,
        vec![next.instance.clone()],
    )));
    assert_eq!(
        waiting.answer(false).status,
        200,
        "who waited for an instance got the new one"
    );
}

#[test]
fn a_table_that_is_not_valid_changes_nothing() {
    let (mut running, _worker) = Running::app(APP, 4);
    let mut wrong = RoutingTable {
        generation: 77,
        ..RoutingTable::default()
    };
    wrong.routes.push(Route {
        hosts: vec![],
        path: "/".into(),
        target: Target::Upstream("nobody".into()),
        body_limit: 1,
        timeouts: stead_model::routing::RouteTimeouts::default(),
        rules: None,
        limit: None,
        tls: None,
    });
    running
        .edge
        .commands
        .send(EdgeCommand::Publish(wrong))
        .unwrap();
    let event = running.wait_for(|event| matches!(event, EdgeEvent::Refused { .. }));
    assert!(matches!(event, EdgeEvent::Refused { generation: 77, why } if why.contains("nobody")));
    assert_eq!(running.get("/").status, 200);
}

#[test]
fn a_visitor_who_comes_before_the_first_table_waits_for_it() {
    let worker = Worker::start(APP, 4);
    let mut running = Running::without_table(Settings::default());
    let mut visitor = running.visit();
    visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    // Enough for an answer to be on its way, if there were one.
    std::thread::sleep(Duration::from_millis(100));
    running.publish(table(upstream(
        Protocol::Frames,
        vec![worker.instance.clone()],
    )));
    assert_eq!(visitor.answer(false).status, 200);
}

#[test]
fn probes_ask_an_instance_that_no_table_names() {
    let mut running = Running::start(RoutingTable::default());
    assert_eq!(running.get("/").status, 421);
    let worker = Worker::start(APP, 4);
    for (id, path, expected) in [(1, "/", 200), (2, "/bad", 500)] {
        running
            .edge
            .commands
            .send(EdgeCommand::Probe(Probe {
                id,
                address: worker.instance.address.clone(),
                protocol: Protocol::Frames,
                path: path.into(),
                host: "localhost".into(),
                timeout: Duration::from_secs(20),
            }))
            .unwrap();
        let event = running.wait_for(|event| matches!(event, EdgeEvent::Probed { .. }));
        assert_eq!(
            event,
            EdgeEvent::Probed {
                id,
                outcome: Ok(expected)
            }
        );
    }
}

#[test]
fn files_come_from_their_folder_and_the_rest_from_the_app() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("style.css"), "body{}").unwrap();
    std::fs::write(folder.path().join("large.bin"), vec![7; 500_000]).unwrap();
    let worker = Worker::start(APP, 4);
    let mut with_files = table(upstream(Protocol::Frames, vec![worker.instance.clone()]));
    with_files.routes.push(Route {
        hosts: vec![],
        path: "/static".into(),
        target: Target::Folder(Folder {
            root: folder.path().to_owned(),
            fallback: None,
            ..Default::default()
        }),
        body_limit: 0,
        timeouts: stead_model::routing::RouteTimeouts::default(),
        rules: None,
        limit: None,
        tls: None,
    });
    let running = Running::start(with_files);
    let file = running.get("/static/style.css");
    assert_eq!((file.status, file.text()), (200, "body{}"));
    assert!(file.header("content-type").unwrap().starts_with("text/css"));
    assert!(running.get("/static/large.bin").body == vec![7; 500_000]);
    let part =
        running.ask("GET /static/large.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=10-19\r\n\r\n");
    assert_eq!((part.status, part.body.len()), (206, 10));
    let head = running.ask("HEAD /static/large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.header("content-length"), Some("500000"));
    let tag = file.header("etag").unwrap().to_owned();
    let same = running.ask(&format!(
        "GET /static/style.css HTTP/1.1\r\nHost: a\r\nIf-None-Match: {tag}\r\n\r\n"
    ));
    assert_eq!(same.status, 304);
    assert_eq!(running.get("/static/none").status, 404);
    assert_eq!(running.get("/static/../secret").status, 400);
    assert_eq!(
        running
            .ask("POST /static/style.css HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            .status,
        405
    );
    assert_eq!(running.get("/").text(), "hello");
}
