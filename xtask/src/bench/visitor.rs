//! A visitor of our own: it asks on one connection, times each answer and counts each error.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longer than any answer that is still one.
const PATIENCE: Duration = Duration::from_secs(30);

/// One keep-alive connection, opened again when the server says so.
#[derive(Debug)]
pub(crate) struct Visitor {
    port: u16,
    connection: Option<BufReader<TcpStream>>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// No connection could be made.
    Refused,
    /// The connection ended before the answer did.
    Cut,
    /// It took longer than anybody waits.
    TooLate,
    /// Not HTTP, or no length.
    Nonsense,
    /// An answer of 500 or above.
    Status(u16),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused"),
            Self::Cut => f.write_str("cut"),
            Self::TooLate => f.write_str("too late"),
            Self::Nonsense => f.write_str("nonsense"),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}

impl Visitor {
    /// To 127.0.0.1; connects with its first question.
    pub(crate) fn new(port: u16) -> Self {
        Self {
            port,
            connection: None,
        }
    }

    /// One GET and how long it took, connecting included.
    pub(crate) fn get(&mut self, path: &str) -> (Duration, Result<Answer, Failure>) {
        let start = Instant::now();
        let result = self.ask(path);
        if result.is_err() {
            self.connection = None;
        }
        let result = result.and_then(|answer| match answer.status {
            500.. => Err(Failure::Status(answer.status)),
            _ => Ok(answer),
        });
        (start.elapsed(), result)
    }

    fn ask(&mut self, path: &str) -> Result<Answer, Failure> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(connect(self.port)?),
        };
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n\r\n");
        connection
            .get_mut()
            .write_all(request.as_bytes())
            .map_err(|e| failure(&e))?;
        let (answer, keep) = read_answer(connection)?;
        if !keep {
            self.connection = None;
        }
        Ok(answer)
    }
}

/// The status of one GET on a new connection.
pub(crate) fn status(port: u16, path: &str) -> Option<u16> {
    let (_, result) = Visitor::new(port).get(path);
    match result {
        Ok(answer) => Some(answer.status),
        Err(Failure::Status(status)) => Some(status),
        Err(_) => None,
    }
}

fn connect(port: u16) -> Result<BufReader<TcpStream>, Failure> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|_| Failure::Refused)?;
    let prepared = stream
        .set_nodelay(true)
        .and_then(|()| stream.set_read_timeout(Some(PATIENCE)));
    prepared.map_err(|_| Failure::Refused)?;
    Ok(BufReader::new(stream))
}

/// One answer, and whether the connection may be used again.
fn read_answer(stream: &mut impl BufRead) -> Result<(Answer, bool), Failure> {
    let first = read_line(stream)?;
    let status = first
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5));
    let status = status
        .and_then(|s| s.parse().ok())
        .ok_or(Failure::Nonsense)?;
    let mut keep = first.starts_with("HTTP/1.1");
    let mut length = None;
    let mut chunked = false;
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or(Failure::Nonsense)?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.parse().map_err(|_| Failure::Nonsense)?),
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => keep = !value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    match length {
        _ if chunked => read_chunks(stream, &mut body)?,
        Some(length) => read_exactly(stream, &mut body, length)?,
        None => return Err(Failure::Nonsense),
    }
    Ok((Answer { status, body }, keep))
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> Result<(), Failure> {
    loop {
        let line = read_line(stream)?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(|_| Failure::Nonsense)?;
        read_exactly(stream, body, size)?;
        if !read_line(stream)?.is_empty() {
            return Err(Failure::Nonsense);
        }
        if size == 0 {
            return Ok(());
        }
    }
}

fn read_exactly(stream: &mut impl BufRead, body: &mut Vec<u8>, length: u64) -> Result<(), Failure> {
    match stream.take(length).read_to_end(body) {
        Ok(read) if read as u64 == length => Ok(()),
        Ok(_) => Err(Failure::Cut),
        Err(error) => Err(failure(&error)),
    }
}

fn read_line(stream: &mut impl BufRead) -> Result<String, Failure> {
    let mut line = String::new();
    match stream.take(65_536).read_line(&mut line) {
        Ok(_) if line.ends_with("\r\n") => {
            line.truncate(line.len() - 2);
            Ok(line)
        }
        Ok(_) => Err(Failure::Cut),
        Err(error) => Err(failure(&error)),
    }
}

fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Failure::TooLate,
        io::ErrorKind::InvalidData => Failure::Nonsense,
        _ => Failure::Cut,
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, read_answer};

    fn answer(text: &str) -> Result<(u16, Vec<u8>, bool), Failure> {
        read_answer(&mut text.as_bytes()).map(|(a, keep)| (a.status, a.body, keep))
    }

    #[test]
    fn an_answer_with_a_length_is_read_to_its_end() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhinext";
        assert_eq!(answer(text), Ok((200, b"hi".to_vec(), true)));
    }

    #[test]
    fn chunks_are_put_together() {
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
            2\r\nhi\r\n0\r\n\r\n";
        assert_eq!(answer(text), Ok((200, b"hi".to_vec(), false)));
    }

    #[test]
    fn a_cut_answer_is_an_error_wherever_it_is_cut() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        for end in 0..text.len() {
            assert_eq!(answer(&text[..end]), Err(Failure::Cut), "{end}");
        }
    }
}
