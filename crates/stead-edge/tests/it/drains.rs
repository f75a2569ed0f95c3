//! An instance that left the table is drained when the last of its requests has ended, whatever kind of
//! request that is, and not before.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use stead_model::messages::EdgeEvent;
use stead_model::release::Protocol;
use stead_model::routing::{Address, Instance, InstanceId, RoutingTable};

use crate::running::{Running, table, upstream};

/// A server for one connection: it answers the first bytes at once, and the rest when told.
struct Held {
    instance: Instance,
    go_on: Sender<()>,
}

fn held(first: &'static [u8], rest: &'static [u8]) -> Held {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (go_on, told) = channel();
    std::thread::spawn(move || answer(listener.accept().unwrap().0, first, rest, &told));
    Held {
        instance: Instance {
            id: InstanceId(7),
            address: Address::Tcp(address),
            capacity: 100,
        },
        go_on,
    }
}

fn answer(mut stream: TcpStream, first: &[u8], rest: &[u8], told: &Receiver<()>) {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    while !read.ends_with(b"\r\n\r\n") {
        let length = stream.read(&mut buffer).unwrap();
        read.extend_from_slice(&buffer[..length]);
    }
    stream.write_all(first).unwrap();
    if told.recv().is_ok() {
        let _ = stream.write_all(rest);
    }
    // Until the edge has closed its side.
    while matches!(stream.read(&mut buffer), Ok(1..)) {}
}

fn is_drained(event: &EdgeEvent) -> bool {
    matches!(event, EdgeEvent::Drained { .. })
}

/// `seen`: so much of the first bytes reaches the visitor before the table is replaced.
fn drained_only_at_the_end(request: &str, first: &'static [u8], rest: &'static [u8], seen: usize) {
    let server = held(first, rest);
    let mut running = Running::start(table(upstream(
        Protocol::Http,
        vec![server.instance.clone()],
    )));
    let mut visitor = running.visit();
    visitor.send(request.as_bytes());
    visitor.raw(seen);
    running.publish(RoutingTable::default());
    // Another table, so that whatever the first one brought about has been said.
    running.publish(RoutingTable::default());
    assert_eq!(running.count_now(is_drained), 0, "it still has a request");
    server.go_on.send(()).unwrap();
    let _ = visitor.stream.shutdown(std::net::Shutdown::Write);
    visitor.rest();
    let id = server.instance.id;
    running.wait_for(|event| *event == EdgeEvent::Drained { instance: id });
    assert_eq!(running.count_now(is_drained), 0, "it is told once");
}

#[test]
fn a_request_counts_until_its_last_byte() {
    drained_only_at_the_end(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        b"world",
        20,
    );
}

#[test]
fn a_stream_of_events_counts_until_it_ends() {
    drained_only_at_the_end(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n",
        b"9\r\ndata: 2\n\n\r\n0\r\n\r\n",
        20,
    );
}

#[test]
fn an_upgraded_connection_counts_until_both_sides_have_ended() {
    drained_only_at_the_end(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
        b"last words",
        12,
    );
}

#[test]
fn the_first_event_of_a_stream_arrives_before_the_second_is_made() {
    let server = held(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n",
        b"9\r\ndata: 2\n\n\r\n0\r\n\r\n",
    );
    let running = Running::start(table(upstream(
        Protocol::Http,
        vec![server.instance.clone()],
    )));
    let mut visitor = running.visit();
    visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut seen = String::new();
    while !seen.contains("data: 1") {
        let byte = visitor.raw(1);
        assert!(!byte.is_empty(), "it ended after {seen:?}");
        seen.push(char::from(byte[0]));
    }
    // Only now is the second one made.
    server.go_on.send(()).unwrap();
    assert!(String::from_utf8_lossy(&visitor.rest()).contains("data: 2"));
}
