//! A client of the control socket that asks one thing.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use stead_model::control::{Answer, Hello, LONGEST_LINE, PROTOCOL, Wish};

/// Why there was no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// Nobody can be reached at the socket.
    Unreachable(io::Error),
    /// The edge went silent or ended.
    Silent(io::Error),
}

/// Ask the edge whose control socket is at `path`; wait for an answer no longer than `patience`.
pub fn ask(path: &Path, wish: Wish, patience: Duration) -> Result<Answer, Unanswered> {
    let stream = UnixStream::connect(path).map_err(Unanswered::Unreachable)?;
    let hello = Hello {
        protocol: PROTOCOL,
        wish,
    };
    put(stream, &hello, patience).map_err(Unanswered::Silent)
}

fn put(mut stream: UnixStream, hello: &Hello, patience: Duration) -> io::Result<Answer> {
    stream.set_read_timeout(Some(patience))?;
    let mut line = serde_json::to_vec(hello)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    let read = BufReader::new(stream)
        .take(LONGEST_LINE as u64)
        .read_line(&mut answer);
    read.map_err(|error| match error.kind() {
        // socket(7): that is how SO_RCVTIMEO says that the time is over.
        io::ErrorKind::WouldBlock => {
            io::Error::other(format!("it said nothing for {} s", patience.as_secs()))
        }
        _ => error,
    })?;
    if answer.is_empty() {
        return Err(io::Error::other("it closed the connection"));
    }
    serde_json::from_str(&answer).map_err(io::Error::from)
}
