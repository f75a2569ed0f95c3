//! Floods: the connection that they come on is closed, and another visitor is served meanwhile.

use super::client::{
    Client, Event, block, data, folder_table, frame, get, ping, post, reset, settings, window,
};
use crate::running::Running;

const APP: &str = r#"
def app(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [b"answer"]
"#;

const CALM: u32 = 11;

#[test]
fn every_flood_ends_its_connection_and_nobody_elses() {
    let (running, _worker) = Running::app(APP, 4);
    let odd = |at: usize| 2 * at as u32 + 1;
    let resets = (0..1000).flat_map(|at| [post(odd(at)), reset(odd(at))].concat());
    // The visitor makes the edge reset (CVE-2025-8671).
    let made = (0..1000).flat_map(|at| [post(odd(at)), window(odd(at), 0)].concat());
    let malformed = (0..1000).flat_map(|at| frame(1, 5, odd(at), &block(&[("x", "y")])));
    let floods: Vec<(&str, Vec<u8>)> = vec![
        ("rapid resets", resets.collect()),
        ("resets that the edge is made to send", made.collect()),
        ("requests that are none", malformed.collect()),
        ("pings", ping().repeat(1000)),
        ("settings", settings(&[(4, 65_535)]).repeat(1000)),
        (
            "empty DATA",
            [post(1), data(1, 0, b"").repeat(3000)].concat(),
        ),
        (
            "padding alone",
            [post(1), data(1, 8, &[0]).repeat(3000)].concat(),
        ),
        ("priorities", frame(2, 0, 1, &[0, 0, 0, 3, 1]).repeat(3000)),
        ("unknown frames", frame(0x20, 0, 0, b"").repeat(3000)),
        (
            "windows opened by one byte",
            [post(1), window(1, 1).repeat(3000)].concat(),
        ),
        ("acknowledgements", frame(4, 1, 0, &[]).repeat(3000)),
        (
            "empty CONTINUATIONs",
            [frame(1, 1, 1, b""), frame(9, 0, 1, b"").repeat(3000)].concat(),
        ),
        (
            "trailers of streams that were reset",
            [
                post(1),
                window(1, 0),
                frame(1, 5, 1, &block(&[("x", "y")])).repeat(3000),
            ]
            .concat(),
        ),
    ];
    for (name, bytes) in floods {
        let mut client = Client::new(&running);
        let mut writer = client.stream.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            use std::io::Write as _;
            let _ = writer.write_all(&bytes);
        });
        let away = |event: &Event| matches!(event, Event::GoAway(..));
        let events = client.until(away);
        assert!(
            matches!(events.last(), Some(Event::GoAway(_, CALM))),
            "{name}: {:?}",
            events.last()
        );
        assert_eq!(running.get("/").status, 200, "{name}");
        assert_eq!(client.until(|_| false).last(), Some(&Event::End), "{name}");
        writing.join().unwrap();
    }
    let mut other = Client::new(&running);
    other.send(&get(1));
    assert_eq!(other.response(1).0, 200);
}

#[test]
fn a_stream_that_nobody_reads_stops_no_other() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), vec![b'x'; 1_000_000]).unwrap();
    let running = Running::start(folder_table(folder.path()));
    let mut client = Client::with(&running, &[(4, 0)]);
    // Windows of nothing: both heads come, and none of the bodies.
    client.send(&[get(1), get(3)].concat());
    client.until(|event| matches!(event, Event::Head(3, _, false)));
    // The second one is let go, and is sent whole while the first one stands.
    client.send(&[window(3, 2_000_000), window(0, 2_000_000)].concat());
    let events = client.until(|event| matches!(event, Event::Data(_, _, true)));
    let of = |stream| {
        let bytes = events.iter().map(|event| match event {
            Event::Data(of, bytes, _) if *of == stream => bytes.len(),
            _ => 0,
        });
        bytes.sum::<usize>()
    };
    assert_eq!((of(1), of(3)), (0, 1_000_000));
    client.send(&window(1, 1_000_000));
    assert_eq!(client.response(1).2.len(), 1_000_000);
    // In turn: of two that are let go together, neither is finished before the other is well on its way.
    client.send(&[get(5), get(7)].concat());
    client.until(|event| matches!(event, Event::Head(7, _, false)));
    client.send(
        &[
            window(5, 2_000_000),
            window(7, 2_000_000),
            window(0, 4_000_000),
        ]
        .concat(),
    );
    let events = client.until(|event| matches!(event, Event::Data(_, _, true)));
    let first: Vec<u32> = events
        .iter()
        .filter_map(|event| match event {
            Event::Data(stream, ..) => Some(*stream),
            _ => None,
        })
        .collect();
    let count = |stream| first.iter().filter(|of| **of == stream).count();
    assert!(count(5).abs_diff(count(7)) <= 4, "{first:?}");
}
