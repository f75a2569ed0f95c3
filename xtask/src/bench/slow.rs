//! Thousands of slow visitors, and what a normal one notices.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
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
/// From when the last of the crowd has come until normal visitors are counted: by then the server has read what it sent.
const SETTLE: Duration = Duration::from_secs(2);
/// A crowd that takes longer to arrive is an error of the measurement.
const ARRIVAL: Duration = Duration::from_secs(60);

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
    let server_port = server.port;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..pace.rounds {
        alone.push(normal()?);
        let (stop, begun) = (AtomicBool::new(false), Instant::now());
        let load = thread::scope(|scope| {
            let (arrived, arrival) = channel();
            let stop = &stop;
            scope.spawn(move || come(crowd, stop, server_port, &arrived));
            // Each is in the middle of it before normal visitors are counted. A burst of ten thousand requests is work, for
            // every peer, and not what is measured here.
            let load = match arrival.recv_timeout(ARRIVAL) {
                Ok(()) => {
                    println!(
                        "  all are there after {:.1} s",
                        begun.elapsed().as_secs_f64()
                    );
                    thread::sleep(SETTLE);
                    normal()
                }
                Err(_) => Err(format!("{} slow visitors did not arrive", crowd.size)),
            };
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

/// Arrive, say so, and go on slowly.
fn come(crowd: Crowd, stop: &AtomicBool, port: u16, arrived: &Sender<()>) {
    let mut visitors: Vec<Visitor> = (0..crowd.size)
        .map(|at| Visitor {
            slow: crowd.kinds[at % crowd.kinds.len()],
            stream: None,
        })
        .collect();
    let tick = TICK.mul_f64(crowd.size as f64 / 1000.0);
    let mut all_there = false;
    while !stop.load(Ordering::Relaxed) {
        for visitor in &mut visitors {
            // Thrown out or answered: it comes again.
            if visitor.step(port).is_err() {
                visitor.stream = None;
            }
        }
        let begun = Instant::now();
        while !all_there && !stop.load(Ordering::Relaxed) {
            for away in visitors
                .iter_mut()
                .filter(|visitor| visitor.stream.is_none())
            {
                let _ = away.step(port);
            }
            all_there = visitors.iter().all(Visitor::is_there);
            if all_there {
                let _ = arrived.send(());
            } else {
                thread::sleep(PAUSE);
            }
        }
        while begun.elapsed() < tick && !stop.load(Ordering::Relaxed) {
            thread::sleep(PAUSE);
        }
    }
}

impl Visitor {
    /// It is in the middle of what it is slow at: a reader has some of its answer.
    fn is_there(&self) -> bool {
        match (&self.stream, self.slow) {
            (None, _) => false,
            (Some(_), Slow::Header | Slow::Body) => true,
            (Some(stream), Slow::Reading(_)) => !matches!(
                stream.peek(&mut [0]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock
            ),
        }
    }

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
