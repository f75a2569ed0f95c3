//! Answers of upstreams that can be read in two ways, and bytes that nobody asked for.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};

use stead_model::release::Protocol;
use stead_model::routing::{Address, Instance, InstanceId};

use crate::running::{Running, table, upstream};

/// An edge before a server that treats each of its connections with `serve`.
fn before(serve: impl Fn(TcpStream) + Send + Clone + 'static) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    let instance = Instance {
        id: InstanceId(1),
        address: Address::Tcp(address),
        capacity: 100,
    };
    Running::start(table(upstream(Protocol::Http, vec![instance])))
}

/// Read up to the end of a head, and so many bytes more.
fn read_head(stream: &mut TcpStream, more: usize) -> Option<Vec<u8>> {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let end = read.windows(4).position(|four| four == b"\r\n\r\n");
        if end.is_some_and(|end| read.len() >= end + 4 + more) {
            return Some(read);
        }
        match stream.read(&mut buffer) {
            Ok(length @ 1..) => read.extend_from_slice(&buffer[..length]),
            _ => return None,
        }
    }
}

#[test]
fn an_answer_with_two_meanings_is_a_502() {
    let answers = [
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
        "HTTP/1.1 200 OK\r\nX: a\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b=c\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nX Y: a\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nhi\n0\n\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 ;a\r\nhi\r\n0\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 999 OK\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 +20 OK\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 O\x1bK\r\nContent-Length: 2\r\n\r\nhi",
        "ICY 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "{\"ok\": true}",
        "<html>",
    ];
    for answer in answers {
        let running = before(move |mut stream| {
            if read_head(&mut stream, 0).is_some() {
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        let mut visitor = running.visit();
        visitor.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(visitor.answer(false).status, 502, "{answer:?}");
        // One answer, whatever the upstream sent.
        visitor.stream.shutdown(Shutdown::Write).unwrap();
        assert!(visitor.is_closed(), "{answer:?}");
    }
}

#[test]
fn an_upgrade_is_passed_on_only_when_it_names_its_protocol() {
    for (answer, status) in [
        (
            "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
            101,
        ),
        ("HTTP/1.1 101 Switching\r\n\r\n", 502),
        ("HTTP/1.1 101 Switching\r\nUpgrade:\r\n\r\n", 502),
        ("HTTP/1.1 101 Switching\nUpgrade: x\n\n", 502),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
        (
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: y\r\nContent-Length: 0\r\n\r\n",
            426,
        ),
    ] {
        let running = before(move |mut stream| {
            if read_head(&mut stream, 0).is_some() {
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
        let mut visitor = running.visit();
        visitor.send(request.as_bytes());
        assert_eq!(visitor.answer(true).status, status, "{answer:?}");
    }
}

#[test]
fn bytes_after_an_answer_are_nobodys_answer() {
    const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    for (method, answer) in [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n",
        ),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 90\r\n\r\n",
        ),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let (told, poisoned) = channel();
        for apart in [false, true] {
            let told: Sender<()> = told.clone();
            let running = before(move |mut stream| {
                stream.set_nodelay(true).unwrap();
                while read_head(&mut stream, 0).is_some() {
                    if apart {
                        let _ = stream.write_all(answer.as_bytes());
                        let _ = stream.write_all(POISON.as_bytes());
                    } else {
                        let _ = stream.write_all(format!("{answer}{POISON}").as_bytes());
                    }
                    let _ = told.send(());
                }
            });
            let mut visitor = running.visit();
            for _ in 0..5 {
                visitor.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
                let got = visitor.answer(method == "HEAD");
                poisoned.recv().unwrap();
                let first = format!("HTTP/1.1 {}", got.status);
                assert!(answer.starts_with(&first), "{answer:?}: {}", got.head);
                assert!(!got.body.starts_with(b"poison"), "{answer:?}");
            }
        }
    }
}

#[test]
fn what_comes_after_an_early_answer_is_no_request() {
    // The server gives up on the body; the visitor, who waited for that, sends the rest of it, and in it a
    // request.
    let (told, rest) = channel();
    let running = before(move |mut stream| {
        read_head(&mut stream, 100_000).unwrap();
        let answer = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 2\r\n\r\nno";
        stream.write_all(answer).unwrap();
        let mut read = Vec::new();
        let _ = stream.read_to_end(&mut read);
        let _ = told.send(read);
    });
    let mut visitor = running.visit();
    visitor.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n");
    visitor.send(&vec![b'x'; 400_000]);
    let answer = visitor.answer(false);
    assert_eq!(answer.status, 408);
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    let _ = visitor.stream.write_all(hidden.as_bytes());
    let _ = visitor.stream.shutdown(Shutdown::Write);
    assert!(visitor.is_closed());
    let read = rest.recv().unwrap();
    assert!(
        read.iter().all(|byte| *byte == b'x'),
        "the server got more than the body"
    );
}
