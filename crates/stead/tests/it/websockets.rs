//! WebSockets through the edge (RFC 6455): frames of every kind, right and wrong, reach the server and come
//! back byte for byte. What a frame means is for the server and the visitor to say, not for the edge.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::running::{PATIENCE, Tree};

/// Answers the handshake, then sends back whatever comes, frames or not.
const RAW: &str = r#"
import base64, hashlib, os, socket, threading

def serve(visitor):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = visitor.recv(1)
        if not byte:
            return
        head += byte
    lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
    if b"upgrade" not in lines:
        visitor.sendall(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        return visitor.close()
    visitor.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    while data := visitor.recv(65536):
        visitor.sendall(data)
    visitor.shutdown(socket.SHUT_WR)

listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=100)
while True:
    threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()
"#;

/// A real server, which says on which port it can be reached without the edge.
const ECHO: &str = r#"
import asyncio, os
from websockets.asyncio.server import serve

async def echo(visitor):
    async for message in visitor:
        await visitor.send(message)

async def main():
    port = int(os.environ["PORT"])
    async with serve(echo, "127.0.0.1", port, compression=None, ping_interval=None, max_size=4 << 20):
        with open("port", "w") as file:
            file.write(str(port))
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
"#;

const MANIFEST: &str = "app = \"sockets\"\n[process.web]\ncommand = \"python3 server.py\"\n\
                        health = { path = \"/\", status = \"200-499\" }\n";

const HANDSHAKE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A frame as visitors send it (RFC 6455 section 5.2): `first` has FIN, the reserved bits and the opcode.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ ..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let mask = [0x5a, 0xa5, 0x00, 0xff];
    frame.extend_from_slice(&mask);
    let masked = payload.iter().enumerate();
    frame.extend(masked.map(|(at, byte)| byte ^ mask[at % 4]));
    frame
}

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Everything that a test suite of WebSockets sends: its name, and the bytes.
fn cases() -> Vec<(String, Vec<u8>)> {
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |name: String, frames: &[Vec<u8>]| cases.push((name, frames.concat()));
    for size in [
        0,
        1,
        125,
        126,
        127,
        128,
        1000,
        65_535,
        65_536,
        65_537,
        131_072,
        1 << 20,
    ] {
        let text: Vec<u8> = (0..size).map(|at| b'a' + (at % 26) as u8).collect();
        let bytes: Vec<u8> = (0..size).map(|at| (at * 7 % 256) as u8).collect();
        add(format!("a text of {size} bytes"), &[frame(TEXT, &text)]);
        add(format!("{size} bytes"), &[frame(BINARY, &bytes)]);
        // In pieces of several sizes, of which the last is empty.
        for piece in [1_usize, 64, 997, 4096, 65_536]
            .into_iter()
            .filter(|piece| size / piece < 2000)
        {
            let mut frames: Vec<Vec<u8>> =
                text.chunks(piece).map(|part| frame(0x00, part)).collect();
            match frames.first_mut() {
                Some(first) => first[0] = 0x01,
                None => frames.push(frame(0x01, b"")),
            }
            frames.push(frame(0x80, b""));
            add(
                format!("a text of {size} bytes in pieces of {piece}"),
                &frames,
            );
        }
    }
    for size in [0, 1, 125] {
        let payload = vec![0xfe; size];
        add(format!("a ping of {size} bytes"), &[frame(PING, &payload)]);
        add(
            format!("a pong that nobody asked for, of {size} bytes"),
            &[frame(PONG, &payload)],
        );
    }
    let ping = |number: u8| frame(PING, &[number]);
    add(
        "ten pings at once".into(),
        &(0..10).map(ping).collect::<Vec<_>>(),
    );
    add(
        "a ping between two pieces".into(),
        &[frame(0x01, b"a"), frame(PING, b"x"), frame(0x80, b"b")],
    );
    for (name, payload) in [
        ("without a code", &b""[..]),
        ("1000", b"\x03\xe8"),
        ("1001 with a reason", b"\x03\xe9going away"),
        (
            "1011 with the longest reason",
            &[&b"\x03\xf3"[..], &[b'r'; 123]].concat(),
        ),
        ("3000", b"\x0b\xb8"),
        ("4999", b"\x13\x87"),
        ("of one byte", b"\x03"),
        ("999", b"\x03\xe7"),
        ("1005", b"\x03\xed"),
        ("1006", b"\x03\xee"),
        ("1015", b"\x03\xf7"),
        ("65535", b"\xff\xff"),
        ("with a reason that is no UTF-8", b"\x03\xe8\xce\xba\xe1"),
    ] {
        add(format!("a close {name}"), &[frame(CLOSE, payload)]);
    }
    add(
        "a text after a close".into(),
        &[frame(CLOSE, b"\x03\xe8"), frame(TEXT, b"late")],
    );
    for (name, bytes) in [
        ("with every reserved bit", frame(0xf1, b"a")),
        ("with the first reserved bit", frame(0xc1, b"a")),
        ("with the second reserved bit", frame(0xa1, b"a")),
        ("with the third reserved bit", frame(0x91, b"a")),
        ("of a ping in pieces", frame(0x09, b"a")),
        ("of a close in pieces", frame(0x08, b"\x03\xe8")),
        ("of a ping that is too long", frame(PING, &[b'a'; 126])),
        ("that continues nothing", frame(0x80, b"a")),
        ("that is not masked", vec![TEXT, 1, b'a']),
        (
            "of a length with its highest bit",
            vec![TEXT, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, b'a'],
        ),
        (
            "of a short length written long",
            vec![TEXT, 0xfe, 0, 1, 0, 0, 0, 0, b'a'],
        ),
        (
            "of a short length written longest",
            vec![BINARY, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, b'a'],
        ),
    ] {
        add(format!("a frame {name}"), &[bytes]);
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        add(format!("opcode {opcode}"), &[frame(0x80 | opcode, b"a")]);
    }
    add(
        "a text begun twice".into(),
        &[frame(0x01, b"a"), frame(TEXT, b"b")],
    );
    for (name, text) in [
        ("Greek", "κόσμε".as_bytes()),
        ("the last code point", b"\xf4\x8f\xbf\xbf"),
        ("a NUL", b"a\0b"),
        ("a lone continuation", b"\x80"),
        ("a cut sequence", b"\xce"),
        ("an overlong slash", b"\xc0\xaf"),
        ("an overlong NUL", b"\xe0\x80\x80"),
        ("a surrogate", b"\xed\xa0\x80"),
        ("a code point that is none", b"\xf4\x90\x80\x80"),
        ("0xfe and 0xff", b"\xfe\xff"),
        ("a byte order mark", b"\xef\xbb\xbf"),
    ] {
        add(format!("a text with {name}"), &[frame(TEXT, text)]);
        let pieces = text.iter().map(|byte| frame(0x00, &[*byte]));
        let mut pieces: Vec<_> = pieces.chain([frame(0x80, b"")]).collect();
        pieces[0][0] = 0x01;
        add(format!("a text with {name}, byte by byte"), &pieces);
    }
    cases
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Read the head of an answer, and return what follows it.
fn after_head(stream: &mut TcpStream) -> Vec<u8> {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).into_owned();
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            return read.split_off(end + 4);
        }
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "{}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&buffer[..length]);
    }
}

#[test]
fn every_byte_of_a_websocket_passes_both_ways() {
    let tree = Tree::new(&[("server.py", RAW), ("stead.toml", MANIFEST)]);
    let running = tree.serve(&[]);
    let address = running.address();
    for (name, bytes) in cases() {
        // The visitor does not wait for the 101: what it sends early is kept.
        for early in [true, false] {
            let mut stream = connect(&address);
            let mut writer = stream.try_clone().unwrap();
            let sent = bytes.clone();
            writer.write_all(HANDSHAKE.as_bytes()).unwrap();
            let begun = if early {
                None
            } else {
                Some(after_head(&mut stream))
            };
            let writing = std::thread::spawn(move || {
                writer.write_all(&sent).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut read = begun.unwrap_or_else(|| after_head(&mut stream));
            stream.read_to_end(&mut read).unwrap();
            writing.join().unwrap();
            assert!(read == bytes, "{name} came back changed");
        }
    }
}

/// What a server says to `bytes`, up to the end of the connection.
fn conversation(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    stream.write_all(HANDSHAKE.as_bytes()).unwrap();
    let mut read = after_head(&mut stream);
    let mut writer = stream.try_clone().unwrap();
    let sent = [bytes, &frame(CLOSE, b"\x03\xe8")].concat();
    let writing = std::thread::spawn(move || writer.write_all(&sent));
    let mut buffer = [0; 65_536];
    // The server may close with a reset when it has failed the connection.
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        read.extend_from_slice(&buffer[..length]);
    }
    let _ = writing.join().unwrap();
    read
}

#[test]
fn a_real_server_says_the_same_through_the_edge() {
    let tree = Tree::new(&[
        ("server.py", ECHO),
        ("requirements.txt", "websockets==15.0.1\n"),
        ("stead.toml", MANIFEST),
    ]);
    let running = tree.serve(&[]);
    let through = running.address();
    let direct = format!("127.0.0.1:{}", tree.read("port"));
    let mut said = 0;
    for (name, bytes) in cases() {
        let expected = conversation(&direct, &bytes);
        let got = conversation(&through, &bytes);
        assert!(
            got == expected,
            "{name}: {} and {} bytes",
            got.len(),
            expected.len()
        );
        said += usize::from(!got.is_empty());
    }
    assert!(said > 100, "the server spoke");
}
