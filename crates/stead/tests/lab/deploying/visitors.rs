//! Visitors who come all the while, five hundred a second.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const THREADS: u32 = 10;
/// Of one thread, from one request to the next.
const PAUSE: Duration = Duration::from_millis(20);

/// They come until they are told to go.
pub(super) struct Visitors {
    go: Arc<AtomicBool>,
    threads: Vec<JoinHandle<(u64, Vec<String>)>>,
}

impl Visitors {
    pub(super) fn come(address: &str) -> Self {
        Self::come_to(address, "/release")
    }

    /// To another page than usual.
    pub(super) fn come_to(address: &str, path: &'static str) -> Self {
        let go = Arc::new(AtomicBool::new(false));
        let threads = (0..THREADS).map(|_| {
            let (go, address) = (Arc::clone(&go), address.to_owned());
            std::thread::spawn(move || visit(&address, path, &go))
        });
        let threads = threads.collect();
        Self { go, threads }
    }

    /// How many were served, and what the others got.
    pub(super) fn go(self) -> (u64, Vec<String>) {
        self.go.store(true, Ordering::Relaxed);
        let (mut served, mut lost) = (0, Vec::new());
        for thread in self.threads {
            let (good, bad) = thread.join().unwrap();
            served += good;
            lost.extend(bad);
        }
        (served, lost)
    }
}

fn visit(address: &str, path: &str, go: &AtomicBool) -> (u64, Vec<String>) {
    let (mut served, mut lost) = (0, Vec::new());
    let mut kept = None;
    let mut next = Instant::now();
    while !go.load(Ordering::Relaxed) {
        next += PAUSE;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        match ask(address, path, &mut kept) {
            Ok(status) if status.contains(" 200 ") => served += 1,
            Ok(status) => lost.push(status),
            Err(error) => {
                kept = None;
                lost.push(error.to_string());
            }
        }
    }
    (served, lost)
}

/// One request over a connection that is kept. The status line.
fn ask(address: &str, path: &str, kept: &mut Option<BufReader<TcpStream>>) -> io::Result<String> {
    let connection = match kept {
        Some(connection) => connection,
        None => {
            let stream = TcpStream::connect((address, 80))?;
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            kept.insert(BufReader::new(stream))
        }
    };
    write!(
        connection.get_mut(),
        "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"
    )?;
    let (mut status, mut length, mut close) = (String::new(), 0, false);
    connection.read_line(&mut status)?;
    if status.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    loop {
        let mut line = String::new();
        connection.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        close |= line == "connection: close";
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    if close {
        *kept = None;
    }
    Ok(status.trim_end().to_owned())
}
