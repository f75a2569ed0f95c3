//! HTTP/2 (RFC 9113), as a server: with prior knowledge on a plain listener, or agreed upon by TLS.
//!
//! A request becomes the same [`crate::head::Head`] as over HTTP/1.1 and is answered by the same
//! [`crate::answer::request`]; only what is below a [`Visitor`] differs.
//!
//! ```text
//!          frames ─► session ─► hpack ─► head::Fields ─► Head ─┐
//! visitor    ▲          │ DATA                                 ▼
//!            │          ▼                        slot: answer::request
//!            └── turns ◄─ Pipe ◄─── Transport::Stream ◄─── Visitor
//! ```
//!
//! Invariant: nothing that a visitor sends makes memory or work grow beyond the limits below; where one is
//! passed the connection ends with ENHANCE_YOUR_CALM, and no other visitor notices.

mod budget;
mod encode;
pub(crate) mod frame;
pub(crate) mod hpack;
mod pipe;
pub(crate) mod response;
mod session;
mod slot;

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::futures::Notified;

pub(crate) use pipe::Pipe;

use self::frame::Code;
use self::session::{Ending, Session};
use crate::Shared;
use crate::connection::{self, LINGER_TIME};
use crate::deadline::Deadline;
use crate::frames;
use crate::visitor::Visitor;

/// What a visitor says first (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Streams that are open at once. Further ones are refused (REFUSED_STREAM), and may be tried again.
const MAX_STREAMS: usize = 128;
/// Bytes of a stream's body that come in before the app has taken any.
const STREAM_WINDOW: usize = 64 * 1024;
/// The same of all streams together: none can take what is another's.
const CONNECTION_WINDOW: usize = MAX_STREAMS * STREAM_WINDOW;
/// Bytes that are ready to be written, beyond which no frame is read and no stream has its turn.
const OUTPUT_LIMIT: usize = 64 * 1024;
/// CONTINUATION frames of one header list, which is at most as long as a head over HTTP/1.1.
const CONTINUATIONS: usize = 8;
/// A visitor who opens a window by less than this, bytes, does so too often.
const SMALL_INCREMENT: u32 = 1024;
/// Streams that the visitor resets, or makes the edge reset: so many at once, and so many a second
/// (CVE-2023-44487, CVE-2025-8671).
const RESETS: (u32, u32) = (200, 20);
/// SETTINGS and PING, each of which is answered (CVE-2019-9512, CVE-2019-9515).
const ANSWERS: (u32, u32) = (100, 20);
/// Frames that do nothing: empty ones, priorities, small openings of windows, unknown types (CVE-2019-9518).
const TRIFLES: (u32, u32) = (1000, 100);

/// How what was read begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// With the preface.
    Http2,
    /// So far as the preface does.
    Perhaps,
    /// In another way.
    Other,
}

/// See whether a connection begins with the preface.
pub(crate) fn beginning(input: &[u8]) -> Beginning {
    if input.starts_with(PREFACE) {
        Beginning::Http2
    } else if PREFACE.starts_with(input) {
        Beginning::Perhaps
    } else {
        Beginning::Other
    }
}

/// Serve a connection whose input begins with the preface, until it ends.
pub(crate) async fn serve(
    shared: &Arc<Shared>,
    connection: frames::Connection,
    visitor: &mut Visitor,
    deadline: &mut Deadline,
    mut closing: Pin<&mut Notified<'_>>,
) -> io::Result<()> {
    visitor.input.consume(PREFACE.len());
    let entrance = Arc::clone(&connection.entrance);
    let shortest = entrance.stall_timeout.min(entrance.idle_timeout);
    deadline.set(shortest.min(entrance.header_timeout));
    let mut session = Session::new(shared, Arc::new(connection), visitor);
    let ending = std::future::poll_fn(|context| session.poll(context, closing.as_mut(), deadline));
    let ending = ending.await?;
    let last = session.last;
    drop(session);
    let Ending::GoAway(code) = ending else {
        return Ok(());
    };
    visitor
        .output
        .write_with(|out| frame::append_goaway(out, last, code));
    let patience = match code {
        Code::NoError => entrance.stall_timeout,
        _ => LINGER_TIME,
    };
    deadline.set(patience);
    connection::flush(visitor, deadline, patience).await?;
    connection::linger(visitor).await
}

#[cfg(test)]
mod tests;
