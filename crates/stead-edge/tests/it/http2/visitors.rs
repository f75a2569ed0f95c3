//! Whom a stream is from, and how many an address may open.

use stead_edge::Settings;

use super::client::{
    Client, END_HEADERS, END_STREAM, PREFACE, folder_table, frame, get, request, settings,
};
use crate::entrance::trusting;
use crate::rates::limit;
use crate::running::Running;

#[test]
fn each_stream_counts_as_a_request_of_the_visitor_that_it_is_from() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "x").unwrap();
    let log = folder.path().join("access.log");
    let mut table = folder_table(folder.path());
    table.edge = trusting();
    table.routes[0].limit = Some(limit("h2 /"));
    let with_log = Settings {
        access_log: Some(log.clone()),
        ..Settings::default()
    };
    let mut running = Running::with(with_log, table.clone());
    let mut client = Client::new(&running);
    let mut ask = |stream: u32, address: &str| {
        let lies = format!("6.6.6.6, {address}");
        let block = request("GET", &[("x-forwarded-for", &lies)]);
        client.send(&frame(1, END_HEADERS | END_STREAM, stream, &block));
        let (status, head, _) = client.response(stream);
        let retry = head.iter().any(|(name, _)| name == "retry-after");
        assert_eq!(retry, status == 429);
        status
    };
    assert_eq!(ask(1, "203.0.113.7"), 200);
    assert_eq!(ask(3, "203.0.113.7"), 200);
    assert_eq!(ask(5, "203.0.113.7"), 429);
    assert_eq!(ask(7, "203.0.113.8"), 200);
    // Behind the PROXY protocol it is the same.
    table.edge.proxy_protocol = true;
    running.publish(table);
    let mut client = Client::silent(&running);
    let header = b"PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n";
    client.send(&[header, PREFACE, &settings(&[]), &get(1)].concat());
    assert_eq!(client.response(1).0, 429);
    drop(running);
    let lines = std::fs::read_to_string(log).unwrap();
    assert_eq!(lines.matches("203.0.113.7 - -").count(), 4, "{lines}");
    assert_eq!(lines.matches("203.0.113.8 - -").count(), 1, "{lines}");
}
