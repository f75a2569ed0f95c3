//! Thousands of slow visitors, and what a normal one notices.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::catalog::{Peer, Work};
use super::server::{Places, Server};
use super::{Pace, median, wrk};

/// A crowd.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// In the results: what they are slow at.
    pub(crate) label: &'static str,
    /// How many.
    pub(crate) size: usize,
    /// In turn.
    kinds: &'static [Slow],
}

/// Before an app: some of each kind.
pub(crate) const APP: Crowd = Crowd {
    label: "a third each in its header, its body and its reading",
    size: 1000,
    kinds: &[Slow::Header, Slow::Body, Slow::Reading("/megabyte")],
};

/// Before a server behind a proxy.
pub(crate) const EDGE: [Crowd; 3] = [
    Crowd {
        label: "header",
        size: 10_000,
        kinds: &[Slow::Header],
    },
    Crowd {
        label: "body",
        size: 10_000,
        kinds: &[Slow::Body],
    },
    Crowd {
        label: "reading",
        size: 10_000,
        kinds: &[Slow::Reading("/large")],
    },
];

/// Between two steps of a slow visitor, when there are a thousand. More are slower, or else the crowd's own
/// system calls would be what the normal ones notice.
const TICK: Duration = Duration::from_millis(500);
/// The crowd looks so often whether it is to go.
const PAUSE: Duration = Duration::from_millis(50);

/// A peer's medians.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) peer: &'static Peer,
    pub(crate) crowd: Crowd,
    /// Requests a second of normal visitors alone.
    pub(crate) rate_alone: f64,
    /// Requests a second beside the crowd.
    pub(crate) rate: f64,
    /// Seconds.
    pub(crate) p99_alone: f64,
    /// Seconds.
    pub(crate) p99: f64,
    /// Of normal visitors, over all rounds.
    pub(crate) errors: u64,
}

/// Measure `peer` at `work` with and without the crowd, in turn.
pub(crate) fn run(
    places: &Places,
    peer: &'static Peer,
    work: &Work,
    crowd: Crowd,
    pace: &Pace,
) -> Result<Row, String> {
    println!(
        "{} slow visitors ({}) at {}",
        crowd.size, crowd.label, peer.label
    );
    let server = Server::start(places, peer, work.app)?;
    let scripts = places.bench.join("wrk");
    let normal = || wrk::run(&scripts, work, &server, 32, pace.time);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..pace.rounds {
        alone.push(normal()?);
        let stop = AtomicBool::new(false);
        let load = thread::scope(|scope| {
            scope.spawn(|| come(crowd, &stop, server.port));
            // Long enough for each to have arrived and to be in the middle of it.
            thread::sleep(Duration::from_secs(3));
            let load = normal();
            stop.store(true, Ordering::Relaxed);
            load
        });
        beside.push(load?);
    }
    let row = Row {
        peer,
        crowd,
        rate_alone: median(alone.iter().map(|load| load.rate)),
        rate: median(beside.iter().map(|load| load.rate)),
        p99_alone: median(alone.iter().map(|load| load.p99)),
        p99: median(beside.iter().map(|load| load.p99)),
        errors: beside.iter().map(|load| load.errors).sum(),
    };
    println!(
        "  {:.0}/s alone, {:.0}/s beside them",
        row.rate_alone, row.rate
    );
    Ok(row)
}

/// What a slow visitor is slow at.
#[derive(Clone, Copy, Debug)]
enum Slow {
    Header,
    Body,
    /// Of what is asked for there.
    Reading(&'static str),
}

struct Visitor {
    slow: Slow,
    stream: Option<TcpStream>,
}

fn come(crowd: Crowd, stop: &AtomicBool, port: u16) {
    let mut visitors: Vec<Visitor> = (0..crowd.size)
        .map(|at| Visitor {
            slow: crowd.kinds[at % crowd.kinds.len()],
            stream: None,
        })
        .collect();
    let tick = TICK.mul_f64(crowd.size as f64 / 1000.0);
    while !stop.load(Ordering::Relaxed) {
        for visitor in &mut visitors {
            // Thrown out or answered: it comes again.
            if visitor.step(port).is_err() {
                visitor.stream = None;
            }
        }
        let begun = Instant::now();
        while begun.elapsed() < tick && !stop.load(Ordering::Relaxed) {
            thread::sleep(PAUSE);
        }
    }
}

impl Visitor {
    fn step(&mut self, port: u16) -> io::Result<()> {
        let Some(stream) = &mut self.stream else {
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4096)?;
            stream.set_nonblocking(true)?;
            stream.write_all(self.slow.opening().as_bytes())?;
            self.stream = Some(stream);
            return Ok(());
        };
        let step = match self.slow {
            Slow::Header | Slow::Body => stream.write(b"a"),
            Slow::Reading(_) => stream.read(&mut [0; 256]),
        };
        match step {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Slow {
    fn opening(self) -> String {
        match self {
            Self::Header => "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ".to_owned(),
            Self::Body => {
                "POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n"
                    .to_owned()
            }
            Self::Reading(path) => format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
        }
    }
}
