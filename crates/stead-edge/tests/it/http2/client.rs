//! A visitor who may send any frame, and reads what comes back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use stead_model::routing::{Folder, Route, RoutingTable, Target};

use crate::running::{PATIENCE, Running};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIORITY: u8 = 0x20;

/// A frame of any kind.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

pub(super) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let one = |(name, value): &(u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(4, 0, 0, &values.iter().flat_map(one).collect::<Vec<u8>>())
}

pub(super) fn data(stream: u32, flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(0, flags, stream, bytes)
}

pub(super) fn window(stream: u32, increment: u32) -> Vec<u8> {
    frame(8, 0, stream, &increment.to_be_bytes())
}

pub(super) fn reset(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &8_u32.to_be_bytes())
}

pub(super) fn ping() -> Vec<u8> {
    frame(6, 0, 0, b"are here")
}

/// A block of literal fields.
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            if text.len() < 127 {
                out.push(text.len() as u8);
            } else {
                let rest = text.len() - 127;
                out.extend_from_slice(&[127, 0x80 | (rest & 127) as u8]);
                out.extend_from_slice(&[0x80 | (rest >> 7 & 127) as u8, (rest >> 14) as u8]);
            }
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

pub(super) fn request(method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let first = [
        (":method", method),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "localhost"),
    ];
    block(&[&first, more].concat())
}

/// A whole GET.
pub(super) fn get(stream: u32) -> Vec<u8> {
    frame(1, END_HEADERS | END_STREAM, stream, &request("GET", &[]))
}

/// A POST whose body is still to come.
pub(super) fn post(stream: u32) -> Vec<u8> {
    frame(1, END_HEADERS, stream, &request("POST", &[]))
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Head(u32, Vec<(String, String)>, bool),
    Data(u32, Vec<u8>, bool),
    Reset(u32, u32),
    Settings(Vec<(u16, u32)>),
    SettingsAck,
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    GoAway(u32, u32),
    Window(u32, u32),
    End,
}

pub(super) struct Client {
    pub(super) stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    /// A connection on which nothing was said yet.
    pub(super) fn silent(running: &Running) -> Self {
        let stream = TcpStream::connect(running.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            read: Vec::new(),
        }
    }

    /// A connection with the preface and these settings said.
    pub(super) fn with(running: &Running, values: &[(u16, u32)]) -> Self {
        let mut client = Self::silent(running);
        client.send(&[PREFACE, &settings(values)].concat());
        client
    }

    pub(super) fn new(running: &Running) -> Self {
        Self::with(running, &[])
    }

    /// An edge that has closed already is no failure: what it said is still read.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    fn fill(&mut self) -> bool {
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                self.read.extend_from_slice(&buffer[..length]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing came: {error}"),
        }
    }

    pub(super) fn next(&mut self) -> Event {
        loop {
            if self.read.len() >= 9 {
                let length = u32::from_be_bytes([0, self.read[0], self.read[1], self.read[2]]);
                let end = 9 + length as usize;
                if self.read.len() >= end {
                    let bytes: Vec<u8> = self.read.drain(..end).collect();
                    return parse(&bytes);
                }
            }
            if !self.fill() {
                return Event::End;
            }
        }
    }

    /// Events up to the first of which `last` is true, or the end.
    pub(super) fn until(&mut self, last: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.next();
            let done = last(&event) || event == Event::End;
            events.push(event);
            if done {
                return events;
            }
        }
    }

    /// Send a body as the windows allow, whose sizes are those at the beginning.
    pub(super) fn body(&mut self, stream: u32, mut bytes: &[u8]) -> Vec<Event> {
        let (mut all, mut own) = (8 << 20, 64 << 10);
        let mut others = Vec::new();
        while !bytes.is_empty() {
            let length = bytes.len().min(all).min(own).min(16_384);
            if length == 0 {
                match self.next() {
                    Event::Window(0, more) => all += more as usize,
                    Event::Window(of, more) if of == stream => own += more as usize,
                    other => others.push(other),
                }
                continue;
            }
            let (piece, rest) = bytes.split_at(length);
            let end = if rest.is_empty() { END_STREAM } else { 0 };
            self.send(&data(stream, end, piece));
            (bytes, all, own) = (rest, all - length, own - length);
        }
        others
    }

    /// The whole response on a stream: status and body. Windows are opened as it comes.
    pub(super) fn response(&mut self, stream: u32) -> (u16, Vec<(String, String)>, Vec<u8>) {
        let (mut status, mut head, mut body) = (0, Vec::new(), Vec::new());
        loop {
            match self.next() {
                Event::Head(of, fields, end) if of == stream => {
                    assert_eq!(fields[0].0, ":status");
                    status = fields[0].1.parse().unwrap();
                    head = fields;
                    if end {
                        return (status, head, body);
                    }
                }
                Event::Data(of, bytes, end) if of == stream => {
                    if !bytes.is_empty() && !end {
                        let length = bytes.len() as u32;
                        self.send(&[window(0, length), window(stream, length)].concat());
                    }
                    body.extend_from_slice(&bytes);
                    if end {
                        return (status, head, body);
                    }
                }
                Event::Reset(of, code) if of == stream => panic!("reset with {code}"),
                Event::GoAway(_, code) if code > 0 => panic!("goaway with {code}"),
                Event::End => panic!("the connection ended"),
                _ => {}
            }
        }
    }
}

/// A table with a folder for everything.
pub(super) fn folder_table(root: &Path) -> RoutingTable {
    RoutingTable {
        generation: 0,
        routes: vec![Route {
            hosts: vec![],
            path: "/".into(),
            target: Target::Folder(Folder {
                root: root.to_owned(),
                fallback: None,
                ..Default::default()
            }),
            body_limit: 0,
            timeouts: Default::default(),
            rules: None,
            limit: None,
            tls: None,
        }],
        ..RoutingTable::default()
    }
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

fn parse(bytes: &[u8]) -> Event {
    let (flags, stream, payload) = (bytes[4], word(&bytes[5..]), &bytes[9..]);
    let end = flags & END_STREAM != 0;
    match bytes[3] {
        0 => Event::Data(stream, payload.to_vec(), end),
        1 => Event::Head(stream, fields(payload), end),
        3 => Event::Reset(stream, word(payload)),
        4 if flags & ACK != 0 => Event::SettingsAck,
        4 => Event::Settings(
            payload
                .chunks(6)
                .map(|one| (u16::from_be_bytes([one[0], one[1]]), word(&one[2..])))
                .collect(),
        ),
        6 if flags & ACK != 0 => Event::Pong(payload.to_vec()),
        6 => Event::Ping(payload.to_vec()),
        7 => Event::GoAway(word(payload), word(&payload[4..])),
        8 => Event::Window(stream, word(payload)),
        kind => panic!("a frame of the kind {kind}"),
    }
}

/// The edge's heads have no Huffman codes and no dynamic table.
fn fields(block: &[u8]) -> Vec<(String, String)> {
    const STATIC: [(usize, &str); 23] = [
        (8, ":status"),
        (18, "accept-ranges"),
        (20, "access-control-allow-origin"),
        (21, "age"),
        (22, "allow"),
        (24, "cache-control"),
        (25, "content-disposition"),
        (26, "content-encoding"),
        (27, "content-language"),
        (28, "content-length"),
        (29, "content-location"),
        (30, "content-range"),
        (31, "content-type"),
        (33, "date"),
        (34, "etag"),
        (36, "expires"),
        (44, "last-modified"),
        (45, "link"),
        (46, "location"),
        (53, "retry-after"),
        (54, "server"),
        (55, "set-cookie"),
        (59, "vary"),
    ];
    let mut at = 0;
    let number = |at: &mut usize, prefix: u32| {
        let most = (1_usize << prefix) - 1;
        let mut number = usize::from(block[*at]) & most;
        *at += 1;
        let mut shift = 0;
        while number >= most {
            number += usize::from(block[*at] & 127) << shift;
            shift += 7;
            *at += 1;
            if block[*at - 1] & 128 == 0 {
                break;
            }
        }
        number
    };
    let mut fields = Vec::new();
    while at < block.len() {
        if block[at] & 0x80 != 0 {
            let status = ["200", "204", "206", "304", "400", "404", "500"];
            let index = usize::from(block[at] & 0x7f);
            fields.push((":status".to_owned(), status[index - 8].to_owned()));
            at += 1;
            continue;
        }
        let index = number(&mut at, 4);
        let string = |at: &mut usize| {
            let length = number(at, 7);
            *at += length;
            String::from_utf8(block[*at - length..*at].to_vec()).unwrap()
        };
        let name = match index {
            0 => string(&mut at),
            index => STATIC
                .iter()
                .find(|(known, _)| *known == index)
                .unwrap()
                .1
                .to_owned(),
        };
        fields.push((name, string(&mut at)));
    }
    fields
}
