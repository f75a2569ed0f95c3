//! Servers that apps bring along, and what the edge makes of their answers.

use std::io::{Read, Write};
use std::net::TcpListener;

use stead_model::release::Protocol;
use stead_model::routing::{Address, Instance, InstanceId};

use crate::running::{Running, table, upstream};

/// A server that reads one head a connection, answers these bytes, and closes if told so.
fn server(answer: &'static [u8], close: bool) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut read = Vec::new();
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    read.extend_from_slice(&buffer[..length]);
                    if read.ends_with(b"\r\n\r\n") {
                        read.clear();
                        if stream.write_all(answer).is_err() || close {
                            return;
                        }
                    }
                }
            });
        }
    });
    let instance = Instance {
        id: InstanceId(1),
        address: Address::Tcp(address),
        capacity: 100,
    };
    Running::start(table(upstream(Protocol::Http, vec![instance])))
}

#[test]
fn every_framing_of_a_response_is_understood() {
    for (answer, close) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..], false),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", false),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", true),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", true),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false),
    ] {
        let running = server(answer, close);
        let mut visitor = running.visit();
        for _ in 0..3 {
            visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let got = visitor.answer(false);
            assert_eq!((got.status, got.text()), (200, "hello"), "{answer:?}");
        }
    }
}

#[test]
fn a_malformed_response_is_a_502() {
    for answer in [
        &b"hello\r\n\r\n"[..],
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"",
    ] {
        let running = server(answer, true);
        assert_eq!(running.get("/").status, 502, "{answer:?}");
    }
}

#[test]
fn a_response_that_breaks_off_is_cut_and_not_completed() {
    assert!(
        server(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", true)
            .get("/")
            .cut
    );
    assert!(
        server(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            true
        )
        .get("/")
        .cut
    );
}

#[test]
fn a_connection_that_the_server_closed_is_not_a_failed_request() {
    let running = server(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true);
    for _ in 0..50 {
        assert_eq!(running.get("/").status, 200);
    }
}

#[test]
fn an_upgrade_passes_bytes_both_ways_after_the_101() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut read = Vec::new();
        let mut buffer = [0; 4096];
        while !read.ends_with(b"\r\n\r\n") {
            let length = stream.read(&mut buffer).unwrap();
            read.extend_from_slice(&buffer[..length]);
        }
        let head = String::from_utf8(read).unwrap().to_lowercase();
        assert!(
            head.contains("\r\nconnection: upgrade\r\n") && head.contains("\r\nupgrade: echo\r\n")
        );
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly ").unwrap();
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            stream.write_all(&buffer[..length]).unwrap();
        }
    });
    let instance = Instance {
        id: InstanceId(1),
        address: Address::Tcp(address),
        capacity: 100,
    };
    let running = Running::start(table(upstream(Protocol::Http, vec![instance])));
    let mut visitor = running.visit();
    visitor.send(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(visitor.answer(true).status, 101);
    assert_eq!(visitor.raw(6), b"early ");
    let data = vec![b'z'; 2_000_000];
    let mut writer = visitor.stream.try_clone().unwrap();
    let sent = data.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    assert_eq!(visitor.rest(), data);
    writing.join().unwrap();
}
