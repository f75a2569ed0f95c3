//! Requests made to be read in two ways, by the thousand, through an edge to upstreams that count. Of each,
//! what reaches the upstream is what the strictest reading of RFC 9112 finds in it, or less.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::Shutdown;

use stead_edge::fuzzing::reference::{self, Message};
use stead_model::release::Protocol;

use crate::counting::Counting;
use crate::smuggling::generate::{Case, all};

mod generate;

/// Send every `step`th case over one edge.
fn nothing_is_smuggled(counting: &Counting, step: usize) {
    // A worker is ready when it has answered.
    assert_eq!(counting.running.get("/ready").status, 200);
    counting.seen();
    let cases: Vec<(usize, Case)> = all().into_iter().enumerate().step_by(step).collect();
    let mut expected: BTreeMap<usize, Vec<Message>> = BTreeMap::new();
    for (number, case) in &cases {
        let bytes = case.bytes(*number);
        let (messages, _) = reference::read_all(&bytes);
        let answers = answers(counting, &bytes, &messages);
        assert!(
            answers <= messages.len() + 1,
            "{} answers to {}: {:?}",
            answers,
            case.name,
            String::from_utf8_lossy(&bytes)
        );
        expected.insert(*number, messages);
    }
    let seen = counting.seen();
    assert_eq!(seen.faults, Vec::<String>::new());
    let mut reached: BTreeMap<usize, Vec<_>> = BTreeMap::new();
    for request in seen.requests {
        let number = request.target.split("/c").nth(1);
        let number = number.and_then(|rest| rest.split('/').next()?.parse().ok());
        let number = number.unwrap_or_else(|| panic!("nobody asked for {}", request.target));
        reached.entry(number).or_default().push(request);
    }
    let mut forwarded = 0;
    for (number, case) in &cases {
        let requests = reached.remove(number).unwrap_or_default();
        let messages = &expected[number];
        let context = || {
            let bytes = case.bytes(*number);
            format!("{}: {:?}", case.name, String::from_utf8_lossy(&bytes))
        };
        assert!(requests.len() <= messages.len(), "{}", context());
        for (request, message) in requests.iter().zip(messages) {
            assert_eq!(request.method, message.method, "{}", context());
            assert_eq!(request.target, path_of(&message.target), "{}", context());
            assert_eq!(request.body, message.body, "{}", context());
        }
        forwarded += usize::from(!requests.is_empty());
        if case.is_fine {
            assert_eq!(requests.len(), messages.len(), "{}", context());
        }
    }
    assert!(forwarded > 100 && forwarded < cases.len() / 4);
}

/// A URL is forwarded as its path (RFC 9112 section 3.2.1).
fn path_of(target: &str) -> &str {
    match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => target,
    }
}

/// How many answers the bytes get.
fn answers(counting: &Counting, bytes: &[u8], messages: &[Message]) -> usize {
    let mut visitor = counting.running.visit();
    // The edge may have closed the connection already.
    let _ = visitor.stream.write_all(bytes);
    let _ = visitor.stream.shutdown(Shutdown::Write);
    let read = visitor.rest();
    let (mut rest, mut count) = (read.as_slice(), 0);
    while let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 "), "{head}");
        let is_head = messages
            .get(count)
            .is_some_and(|message| message.method == "HEAD");
        let length = head.split("content-length: ").nth(1);
        let length = length.and_then(|text| text.lines().next()?.parse().ok());
        let length = length.filter(|_| !is_head).unwrap_or(0_usize);
        rest = &rest[(end + 4 + length).min(rest.len())..];
        count += usize::from(!head.starts_with("http/1.1 100"));
    }
    count
}

#[test]
fn nothing_is_smuggled_past_the_edge_over_http() {
    nothing_is_smuggled(&Counting::start(Protocol::Http), 1);
}

#[test]
fn nothing_is_smuggled_past_the_edge_over_frames() {
    nothing_is_smuggled(&Counting::start(Protocol::Frames), 3);
}

#[test]
fn nothing_is_smuggled_past_the_edge_over_uwsgi() {
    nothing_is_smuggled(&Counting::start(Protocol::Uwsgi), 3);
}

#[test]
fn nothing_is_smuggled_past_the_edge_to_a_server_on_node() {
    nothing_is_smuggled(&Counting::node(), 2);
}
