//! Visitors who have asked once and keep their connection, and what their server keeps for them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::catalog::{Peer, edge};
use super::server::{Places, Server};

/// How many visitors.
pub(crate) const CROWD: usize = 10_000;

/// Bytes, proportional set size, of all that is counted of a peer.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) peer: &'static Peer,
    pub(crate) before: u64,
    pub(crate) with: u64,
}

/// Measure `peer` before and with the visitors.
pub(crate) fn run(places: &Places, peer: &'static Peer) -> Result<Row, String> {
    println!("{CROWD} idle visitors at {}", peer.label);
    let server = Server::start(places, peer, edge::PROXIED)?;
    let before = server.trees().pss(|_| true);
    let visitors = (0..CROWD)
        .map(|_| ask(server.port))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("{} did not answer all of them: {error}", peer.label))?;
    thread::sleep(Duration::from_secs(1));
    let with = server.trees().pss(|_| true);
    drop(visitors);
    let row = Row { peer, before, with };
    println!("  {} KB, {} KB with them", before / 1000, with / 1000);
    Ok(row)
}

/// Ask once, read something of the answer, and stay.
fn ask(port: u16) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(b"GET /1k HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")?;
    let length = stream.read(&mut [0; 4096])?;
    if length == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(stream)
}
