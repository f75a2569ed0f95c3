//! Lines of the control socket, and of edges among each other.

use serde::Serialize;
use serde::de::DeserializeOwned;
use stead_model::control::{Answer, Hello};
use stead_model::handover::{FromNew, FromOld, Pending};
use stead_model::messages::{EdgeCommand, EdgeEvent};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use crate::control::wire::Wire;
use crate::router::Router;

thread_local! {
    static RUNTIME: tokio::runtime::Runtime = super::runtime();
}

/// However bytes come, and whoever has the connection when they do, the lines are those between line feeds; and
/// what is a message stays the same one when it is written again.
pub fn control_lines(input: &[u8], pieces: &[u8]) {
    let mut expected: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();
    // What has no line end is no line.
    let rest = expected.pop().unwrap_or_default();
    let (lines, left) = RUNTIME.with(|runtime| runtime.block_on(received(input, pieces)));
    assert_eq!(lines, expected);
    assert_eq!(left, rest);
    for line in expected {
        stays::<Hello>(line);
        stays::<Answer>(line);
        stays::<EdgeEvent>(line);
        stays::<FromNew>(line);
        stays::<FromOld>(line);
        if let Some(EdgeCommand::Publish(table)) = stays(line) {
            // Refused or not: it is for the router to say.
            let _ = Router::new(&table);
        }
    }
}

/// The lines that come over a connection which is handed over after each piece, and what is left at its end.
async fn received(input: &[u8], pieces: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
    let (mut peer, ours) = std::os::unix::net::UnixStream::pair()
        .and_then(|(one, other)| {
            one.set_nonblocking(true)?;
            other.set_nonblocking(true)?;
            Ok((UnixStream::from_std(one)?, other))
        })
        .expect("a pair of sockets");
    let take_over = |pending: Pending| {
        let copy = ours.try_clone().expect("a copy");
        Wire::new(UnixStream::from_std(copy).expect("a socket"), pending, true)
    };
    let mut wire = take_over(Pending::default());
    let mut lines = Vec::new();
    let mut rest = input;
    for size in pieces.iter().map(Some).chain([None]) {
        let length = size.map_or(rest.len(), |size| (usize::from(*size) + 1).min(rest.len()));
        let (piece, later) = rest.split_at(length);
        rest = later;
        // The socket holds more than an input of the fuzzer has.
        peer.write_all(piece).await.expect("written");
        if size.is_none() {
            peer.shutdown().await.expect("ended");
        }
        while let Some(line) = line_now(&mut wire, size.is_none()).await {
            lines.push(line);
        }
        let pending = wire.pending();
        drop(wire);
        wire = take_over(pending);
    }
    (lines, wire.pending().input)
}

/// The next line; `None` when more has to come first, or nothing does.
async fn line_now(wire: &mut Wire, at_end: bool) -> Option<Vec<u8>> {
    if at_end {
        return wire.line().await.ok().flatten();
    }
    tokio::select! {
        biased;
        line = wire.line() => line.ok().flatten(),
        // The reactor has been asked what there is.
        () = async { for _ in 0..4 { tokio::task::yield_now().await } } => None,
    }
}

/// A line as a message, if it is one.
fn stays<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(line: &[u8]) -> Option<T> {
    let message: T = serde_json::from_slice(line).ok()?;
    let written = serde_json::to_vec(&message).expect("what was read can be written");
    assert!(!written.contains(&b'\n'));
    let again: T = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(message, again);
    Some(message)
}
