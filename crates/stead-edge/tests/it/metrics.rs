//! Metrics, as Prometheus asks for them and reads them.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use stead_edge::Settings;
use stead_model::messages::EdgeEvent;
use stead_model::routing::{RoutingTable, Target};

use crate::running::{Running, Worker, table, upstream};
use stead_model::release::Protocol;

const APP: &str = r#"
def app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK" if environ["PATH_INFO"] != "/bad" else "500 No", [("Content-Length", "5")])
    return [b"hello"]
"#;

fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub(crate) fn scrape(socket: &Path) -> String {
    let answer = ask(socket, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: application/openmetrics-text; version=1.0.0"));
    body.to_owned()
}

/// The value of the sample of that name and with these labels.
pub(crate) fn value(text: &str, sample: &str) -> Option<f64> {
    let line = text.lines().find(|line| {
        line.strip_prefix(sample)
            .is_some_and(|rest| rest.starts_with(' '))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn requests_are_counted_by_process_release_and_status() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("metrics.sock");
    let settings = Settings {
        metrics: Some(socket.clone()),
        ..Settings::default()
    };
    let worker = Worker::start(APP, 4);
    let of = |release| {
        let mut upstream = upstream(Protocol::Frames, vec![worker.instance.clone()]);
        upstream.release = release;
        table(upstream)
    };
    let mut running = Running::with(settings, of(7));
    for _ in 0..3 {
        assert_eq!(running.get("/").status, 200);
    }
    assert_eq!(running.get("/bad").status, 500);
    assert_eq!(
        running
            .ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123456789")
            .status,
        200
    );
    // Answered by the edge itself.
    assert_eq!(running.get("/../x").status, 400);
    running.publish(of(8));
    assert_eq!(running.get("/").status, 200);
    let text = scrape(&socket);
    let labels = "app=\"test\",process=\"web\",release=\"7\"";
    let is = |sample: String, expected: f64| {
        assert_eq!(value(&text, &sample), Some(expected), "{sample} of\n{text}");
    };
    is(
        format!("stead_requests_total{{{labels},status=\"2xx\"}}"),
        4.0,
    );
    is(
        format!("stead_requests_total{{{labels},status=\"5xx\"}}"),
        1.0,
    );
    is(
        "stead_requests_total{app=\"test\",process=\"web\",release=\"8\",status=\"2xx\"}".into(),
        1.0,
    );
    is("stead_edge_requests_total{status=\"4xx\"}".into(), 1.0);
    is(format!("stead_received_bytes_total{{{labels}}}"), 9.0);
    is(format!("stead_sent_bytes_total{{{labels}}}"), 25.0);
    is(
        format!("stead_request_duration_seconds_count{{{labels}}}"),
        5.0,
    );
    is(
        format!("stead_queue_duration_seconds_count{{{labels}}}"),
        5.0,
    );
    let now = "app=\"test\",process=\"web\",release=\"8\"";
    is(format!("stead_queue_length{{{now}}}"), 0.0);
    let id = worker.instance.id.0;
    is(
        format!("stead_instance_requests{{{now},instance=\"{id}\"}}"),
        0.0,
    );
    is(
        format!("stead_instance_state{{{now},instance=\"{id}\",state=\"serving\"}}"),
        1.0,
    );
    is("stead_access_log_dropped_lines_total".into(), 0.0);
    is("stead_accept_pauses_total".into(), 0.0);
    is("stead_connections_accepted_total".into(), 7.0);
    is_read_by_prometheus(&text);
    // An instance that left the table and still has nothing to do is gone from the metrics, too.
    running.publish(RoutingTable::default());
    running.wait_for(|event| matches!(event, EdgeEvent::Drained { .. }));
    assert!(!scrape(&socket).contains("stead_instance_requests{"));
}

#[test]
fn an_upgraded_connection_is_recorded_as_such_with_its_bytes() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
        while !read.ends_with(b"\r\n\r\n") {
            let length = stream.read(&mut buffer).unwrap();
            read.extend_from_slice(&buffer[..length]);
        }
        let head =
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
        stream.write_all(head).unwrap();
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            stream.write_all(&buffer[..length]).unwrap();
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("metrics.sock");
    let log = folder.path().join("access.log");
    let settings = Settings {
        metrics: Some(socket.clone()),
        access_log: Some(log.clone()),
        access_json: true,
        ..Settings::default()
    };
    let instance = stead_model::routing::Instance {
        id: stead_model::routing::InstanceId(5),
        address: stead_model::routing::Address::Tcp(address),
        capacity: 10,
    };
    let running = Running::with(settings, table(upstream(Protocol::Http, vec![instance])));
    let mut visitor = running.visit();
    visitor.send(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(visitor.answer(true).status, 101);
    visitor.send(&[7; 1000]);
    assert_eq!(visitor.raw(1000).len(), 1000);
    visitor.stream.shutdown(std::net::Shutdown::Write).unwrap();
    visitor.rest();
    let labels = "app=\"test\",process=\"web\",release=\"1\"";
    let end = std::time::Instant::now() + crate::running::PATIENCE;
    let text = loop {
        let text = scrape(&socket);
        let ended = format!("stead_requests_total{{{labels},status=\"1xx\"}}");
        if value(&text, &ended) == Some(1.0) {
            break text;
        }
        assert!(std::time::Instant::now() < end, "{text}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert_eq!(
        value(&text, &format!("stead_received_bytes_total{{{labels}}}")),
        Some(1000.0)
    );
    assert!(value(&text, &format!("stead_sent_bytes_total{{{labels}}}")) > Some(1000.0));
    drop(running);
    let line = std::fs::read_to_string(log).unwrap();
    for part in [
        "\"status\":101",
        "\"received\":1000",
        "\"instance\":5",
        "\"release\":1",
    ] {
        assert!(line.contains(part), "{part} of {line}");
    }
}

#[test]
fn a_request_that_finds_no_instance_is_its_apps() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("metrics.sock");
    let settings = Settings {
        metrics: Some(socket.clone()),
        ..Settings::default()
    };
    let mut empty = upstream(Protocol::Frames, vec![]);
    empty.queue_limit = 0;
    let running = Running::with(settings, table(empty));
    assert_eq!(running.get("/").status, 503);
    let sample = "stead_requests_total{app=\"test\",process=\"web\",release=\"1\",status=\"5xx\"}";
    assert_eq!(value(&scrape(&socket), sample), Some(1.0));
}

/// The parser that the Prometheus project writes for Python is strict about the format.
fn is_read_by_prometheus(text: &str) {
    let program = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families\n\
        print(len(list(text_string_to_metric_families(sys.stdin.read()))))";
    let mut parser = Command::new("/usr/bin/python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = parser.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = parser.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "Prometheus does not read it (Debian's python3-prometheus-client is needed): {complaint}"
    );
    let families = String::from_utf8_lossy(&output.stdout);
    assert!(families.trim().parse::<u32>().unwrap() >= 12, "{families}");
}

#[test]
fn only_metrics_are_at_the_socket_and_it_is_gone_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("metrics.sock");
    // Left behind by an edge that was killed.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let settings = Settings {
        metrics: Some(socket.clone()),
        ..Settings::default()
    };
    let running = Running::with(settings, RoutingTable::default());
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
        ("nonsense\r\n\r\n", "400"),
        ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", "200"),
    ] {
        let answer = ask(&socket, request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
    }
    drop(running);
    assert!(!socket.exists());
}

#[test]
fn a_deep_directory_can_have_the_socket_too() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let settings = Settings {
        metrics: Some(deep.join("metrics.sock")),
        ..Settings::default()
    };
    let _running = Running::with(settings, RoutingTable::default());
    // A visitor of such a socket has to begin in its directory, too.
    let folder = std::fs::File::open(&deep).unwrap();
    let near = format!(
        "/proc/self/fd/{}/metrics.sock",
        std::os::fd::AsRawFd::as_raw_fd(&folder)
    );
    assert!(scrape(Path::new(&near)).ends_with("# EOF\n"));
}

#[test]
fn a_name_with_quotation_marks_and_line_ends_stays_one_label() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("metrics.sock");
    let settings = Settings {
        metrics: Some(socket.clone()),
        ..Settings::default()
    };
    let mut hostile = table(upstream(Protocol::Frames, Vec::new()));
    hostile.routes[0].limit = Some(crate::rates::limit("a\"} 7\\\nstead_connections 99"));
    let (_, mut nobody) = hostile.upstreams.pop_first().unwrap();
    (nobody.app, nobody.process) = ("b\"c".into(), "d\\".into());
    nobody.queue_limit = 0;
    let name = format!("{}.{}", nobody.app, nobody.process);
    hostile.routes[0].target = Target::Upstream(name.clone());
    hostile.upstreams.insert(name, nobody);
    let running = Running::with(settings, hostile);
    for status in [503, 503, 429] {
        assert_eq!(running.get("/").status, status);
    }
    let text = scrape(&socket);
    let limited = r#"stead_requests_limited_total{route="a\"} 7\\\nstead_connections 99"}"#;
    assert_eq!(value(&text, limited), Some(1.0), "{text}");
    let failed = r#"stead_requests_total{app="b\"c",process="d\\",release="1",status="5xx"}"#;
    assert_eq!(value(&text, failed), Some(2.0), "{text}");
    let connections = text
        .lines()
        .filter(|line| line.starts_with("stead_connections "));
    assert_eq!(connections.count(), 1, "{text}");
    is_read_by_prometheus(&text);
}
