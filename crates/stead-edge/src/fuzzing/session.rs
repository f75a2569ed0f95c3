//! Frames of HTTP/2 against a whole connection: whatever a visitor sends, what it gets is HTTP/2.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use stead_model::release::Protocol;
use stead_model::routing::{Folder, Route, RoutingTable, Target, Timeouts, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{TcpStream, UnixStream};

use crate::deadline::Deadline;
use crate::frames::Connection;
use crate::http2::frame::{FrameHeader, HEADER, PAYLOAD_LIMIT, append_header, flag, kind, setting};
use crate::http2::hpack::Decoder;
use crate::http2::{self, PREFACE};
use crate::transport::Transport;
use crate::visitor::Visitor;
use crate::{Settings, Shared};

/// What the PING behind all frames says: its answer shows that they were read.
const READ: [u8; 8] = *b"all read";
/// And the one after that: its answer shows that what could be answered at once was.
const LAST: [u8; 8] = *b"the last";
/// A run that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a frame comes whose record says that it is repeated: more than any budget allows in the end.
const REPEATED: usize = 40;
/// Of a connection and its streams before anything else is said (RFC 9113 section 6.9.2).
const WINDOW: u64 = 65_535;

/// An edge without listeners: files for `files`, another host for `moved`, no free instance for `app`.
static SHARED: LazyLock<Arc<Shared>> = LazyLock::new(|| {
    let (edge, _) = crate::start(Settings::default(), Vec::new()).expect("an edge");
    edge.shared
        .tables
        .replace(&table(), |_| ())
        .expect("a table");
    let shared = Arc::clone(&edge.shared);
    // It ends with the process.
    std::mem::forget(edge);
    shared
});

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = super::runtime();
}

fn table() -> RoutingTable {
    let route = |host: &str, target| Route {
        hosts: vec![host.to_owned()],
        path: "/".into(),
        target,
        body_limit: 100_000,
        timeouts: Default::default(),
        rules: None,
        limit: None,
        tls: None,
    };
    let root = folder();
    let files = Folder {
        root,
        fallback: None,
        ..Default::default()
    };
    let host = "else.where".to_owned();
    let upstream = Upstream {
        app: "fuzz".into(),
        process: "web".into(),
        release: 1,
        protocol: Protocol::Http,
        instances: Vec::new(),
        timeout: PATIENCE,
        timeouts: Timeouts::default(),
        sticky: false,
        check: None,
        queue_limit: 0,
        queue_timeout: Duration::ZERO,
    };
    RoutingTable {
        generation: 1,
        edge: Default::default(),
        routes: vec![
            route("files", Target::Folder(files)),
            route("moved", Target::Redirect { host, status: 308 }),
            route("app", Target::Upstream("fuzz.web".into())),
        ],
        upstreams: [("fuzz.web".to_owned(), upstream)].into(),
    }
}

/// The same one in every run: there is nobody who could take it away at the end.
fn folder() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    let folder = std::env::temp_dir().join(format!("stead-fuzz-{user}"));
    std::fs::create_dir_all(&folder).expect("a folder");
    for (name, size) in [("index.html", 5), ("large", 200_000)] {
        std::fs::write(folder.join(name), vec![b'x'; size]).expect("a file");
    }
    folder
}

/// What the visitor sent, as far as claims are made about it.
#[derive(Default)]
struct Sent {
    frames: Vec<u8>,
    /// Streams that any frame named.
    named: BTreeSet<u32>,
    /// Those that HEADERS named.
    asked: BTreeSet<u32>,
    /// By how much its windows were opened; 0 is the connection's.
    opened: BTreeMap<u32, u64>,
    largest_initial: u64,
}

impl Sent {
    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        append_header(&mut self.frames, payload.len(), kind, flags, stream);
        self.frames.extend_from_slice(payload);
        self.named.insert(stream);
        match kind {
            kind::HEADERS => drop(self.asked.insert(stream)),
            kind::WINDOW_UPDATE => {
                if let Some(by) = payload.first_chunk() {
                    *self.opened.entry(stream).or_default() +=
                        u64::from(u32::from_be_bytes(*by) & 0x7fff_ffff);
                }
            }
            kind::SETTINGS => {
                for [a, b, value @ ..] in payload.as_chunks::<6>().0 {
                    if u16::from_be_bytes([*a, *b]) == setting::INITIAL_WINDOW_SIZE {
                        let value = u64::from(u32::from_be_bytes(*value));
                        self.largest_initial = self.largest_initial.max(value);
                    }
                }
            }
            _ => {}
        }
    }

    /// Records of a kind, flags, a stream, a length and as many bytes. The kind's highest bit: many of them; the
    /// stream's: one of the long ones.
    fn new(input: &[u8], silent: bool) -> Self {
        let mut sent = Self {
            largest_initial: WINDOW,
            ..Self::default()
        };
        if !silent {
            sent.frame(kind::SETTINGS, 0, 0, &[]);
        }
        let mut rest = input;
        while let Some(([kind, flags, stream, length], after)) = rest.split_first_chunk() {
            let (payload, after) = after.split_at(usize::from(*length).min(after.len()));
            rest = after;
            let long = stream & 0x80 != 0;
            let filled = [payload, &[b'x'; PAYLOAD_LIMIT][payload.len()..]].concat();
            let payload = if long { &filled } else { payload };
            let times = if kind & 0x80 != 0 { REPEATED } else { 1 };
            for _ in 0..times {
                sent.frame(kind & 0x7f, *flags, u32::from(stream & 0x7f), payload);
            }
        }
        sent.frame(kind::PING, 0, 0, &READ);
        sent
    }
}

/// A connection on which the records of `input` are sent in pieces of these sizes: it ends or goes on, and either
/// way as RFC 9113 says.
pub fn http2_session(input: &[u8], pieces: &[u8], silent: bool) {
    statuses(input, pieces, silent);
}

/// The status of each response, in the order in which they began.
pub(super) fn statuses(input: &[u8], pieces: &[u8], silent: bool) -> Vec<(u32, u16)> {
    let sent = Sent::new(input, silent);
    let got = RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let run = converse(&SHARED, &sent.frames, pieces);
            let got = tokio::time::timeout(PATIENCE, run).await;
            got.expect("it does not hang")
        })
    });
    let mut claims = Claims::new(&sent);
    claims.check(&got);
    // What came in of bodies went with its connection.
    assert_eq!(SHARED.body_bytes.load(Ordering::Relaxed), 0);
    claims.statuses
}

async fn converse(shared: &Arc<Shared>, frames: &[u8], pieces: &[u8]) -> Vec<u8> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
    for socket in [&ours, &theirs] {
        socket.set_nonblocking(true).expect("not blocking");
    }
    // To the edge a stream socket is as good as another.
    let theirs = std::net::TcpStream::from(OwnedFd::from(theirs));
    let theirs = TcpStream::from_std(theirs).expect("a socket");
    let visitor = UnixStream::from_std(ours).expect("a socket");
    let serving = async {
        let mut visitor = Visitor::new(Transport::Tcp(theirs.into()));
        while visitor.input.data().len() < PREFACE.len() {
            let read = std::future::poll_fn(|context| visitor.poll_fill(context, PAYLOAD_LIMIT));
            read.await.expect("the preface");
        }
        let peer = ([127, 0, 0, 1], 1).into();
        let connection = Connection::new(Arc::default(), peer, 80, "http");
        let mut deadline = Deadline::after(PATIENCE);
        let closing = pin!(shared.closing.notified());
        let _ = http2::serve(shared, connection, &mut visitor, &mut deadline, closing).await;
    };
    let visiting = async {
        let (mut reader, mut writer) = visitor.into_split();
        let saying = async {
            let _ = writer.write_all(PREFACE).await;
            let mut rest = frames;
            for piece in pieces {
                let (now, later) = rest.split_at((usize::from(*piece) + 1).min(rest.len()));
                let _ = writer.write_all(now).await;
                tokio::task::yield_now().await;
                rest = later;
            }
            let _ = writer.write_all(rest).await;
            std::future::pending::<()>().await
        };
        let mut got = Vec::new();
        tokio::select! {
            () = saying => {}
            () = hear(&mut reader, &mut got, READ) => {}
        }
        let mut last = Vec::new();
        append_header(&mut last, LAST.len(), kind::PING, 0, 0);
        last.extend_from_slice(&LAST);
        let _ = writer.write_all(&last).await;
        hear(&mut reader, &mut got, LAST).await;
        got
    };
    tokio::join!(serving, visiting).1
}

/// Read until a PING that says so is answered, or the connection ends.
async fn hear(reader: &mut OwnedReadHalf, got: &mut Vec<u8>, ping: [u8; 8]) {
    while !is_answered(got, ping) && matches!(reader.read_buf(got).await, Ok(1..)) {}
}

fn is_answered(mut got: &[u8], ping: [u8; 8]) -> bool {
    while let Some(header) = FrameHeader::parse(got) {
        let Some(payload) = got.get(HEADER..HEADER + header.length) else {
            return false;
        };
        if header.kind == kind::PING && header.has(flag::ACK) && payload == ping {
            return true;
        }
        got = &got[HEADER + header.length..];
    }
    false
}

/// How far a response is.
#[derive(Clone, Copy, Default, PartialEq)]
enum Place {
    #[default]
    Before,
    Body,
    Over,
}

/// What is claimed of the frames that the edge sends.
struct Claims<'a> {
    sent: &'a Sent,
    decoder: Decoder,
    /// How far each response is, and how many bytes of DATA it had.
    streams: BTreeMap<u32, (Place, u64)>,
    /// A header list that is not complete: of which stream, and whether it is the last of it.
    block: Option<(u32, bool, Vec<u8>)>,
    data: u64,
    statuses: Vec<(u32, u16)>,
}

impl<'a> Claims<'a> {
    fn new(sent: &'a Sent) -> Self {
        Self {
            sent,
            decoder: Decoder::default(),
            streams: BTreeMap::new(),
            block: None,
            data: 0,
            statuses: Vec::new(),
        }
    }

    fn check(&mut self, mut got: &[u8]) {
        let mut first = true;
        while let Some(header) = FrameHeader::parse(got) {
            assert!(header.length <= PAYLOAD_LIMIT);
            // The end of the connection may cut the last one off.
            let Some(payload) = got.get(HEADER..HEADER + header.length) else {
                return;
            };
            got = &got[HEADER + header.length..];
            if std::mem::take(&mut first) {
                assert_eq!((header.kind, header.flags), (kind::SETTINGS, 0));
            }
            self.frame(header, payload);
        }
    }

    fn frame(&mut self, header: FrameHeader, payload: &[u8]) {
        let stream = header.stream;
        if let Some((of, ..)) = self.block {
            assert_eq!((header.kind, stream), (kind::CONTINUATION, of));
        }
        match header.kind {
            kind::DATA => {
                let opened = |of| self.sent.opened.get(&of).copied().unwrap_or(0);
                self.data += payload.len() as u64;
                assert!(self.data <= WINDOW + opened(0));
                let (place, length) = self.streams.entry(stream).or_default();
                *length += payload.len() as u64;
                assert!(*length <= self.sent.largest_initial + opened(stream));
                assert!(*place == Place::Body);
                if header.has(flag::END_STREAM) {
                    *place = Place::Over;
                }
            }
            kind::HEADERS => {
                assert!(stream % 2 == 1 && self.sent.asked.contains(&stream));
                self.block = Some((stream, header.has(flag::END_STREAM), Vec::new()));
                self.continued(header, payload);
            }
            kind::CONTINUATION => {
                assert!(self.block.is_some());
                self.continued(header, payload);
            }
            kind::RST_STREAM => {
                assert!(stream != 0 && payload.len() == 4 && self.sent.named.contains(&stream));
                self.streams.entry(stream).or_default().0 = Place::Over;
            }
            kind::WINDOW_UPDATE => {
                let by = payload.first_chunk().map(|by| u32::from_be_bytes(*by));
                assert!(by.is_some_and(|by| (1..1 << 31).contains(&by)));
            }
            kind::SETTINGS | kind::PING | kind::GOAWAY => assert_eq!(stream, 0),
            other => panic!("a frame of the kind {other}"),
        }
    }

    fn continued(&mut self, header: FrameHeader, payload: &[u8]) {
        let Some((stream, ends, mut block)) = self.block.take() else {
            return;
        };
        block.extend_from_slice(payload);
        if !header.has(flag::END_HEADERS) {
            self.block = Some((stream, ends, block));
            return;
        }
        let mut status = None;
        let decoded = self.decoder.decode(&block, |name, value| {
            assert!(status.is_some() != (name == b":status"));
            assert!(!name.iter().any(u8::is_ascii_uppercase));
            let text = || std::str::from_utf8(value).ok()?.parse::<u16>().ok();
            if status.is_none() {
                status = Some(text());
            }
        });
        assert!(decoded.is_ok());
        let status = status.flatten().expect("a status");
        self.statuses.push((stream, status));
        let (place, _) = self.streams.entry(stream).or_default();
        assert!(*place == Place::Before);
        match (status, ends) {
            (100..200, ends) => assert!(!ends),
            (_, true) => *place = Place::Over,
            (_, false) => *place = Place::Body,
        }
    }
}
