//! One request and its response over one connection to an instance: four directions at once, in
//! bounded memory.
//!
//! ```text
//! visitor.input ─► body ─► request bytes ─► instance
//! visitor ◄─ visitor.output ◄─ response ◄─ decoder ◄─ received ◄─ instance
//! ```

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::body::{Body, BodyError};
use crate::buffer::SIZE;
use crate::deadline::Deadline;
use crate::response::Response;
use crate::spool::Reader;
use crate::upstream::{Stream, Unread};
use crate::visitor::Visitor;
use tokio::time::Instant;

mod from_frames;
mod from_http;
mod memory;
mod patience;
mod request;
mod response;
mod rest;

pub(crate) use from_http::HttpDecoder;
pub(crate) use patience::Patience;
pub(crate) use request::BodyCoding;
pub(crate) use response::Decoder;
pub(crate) use rest::Rest;

/// So much of a body must come within the stall time, bytes.
pub(crate) const BODY_STEP: usize = 64 * 1024;
/// A visitor whose socket is not watched may leave unnoticed for so long: most have their answer by then.
const LOOK_AFTER: Duration = Duration::from_millis(10);

/// How an exchange ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The response is complete in `visitor.output`. `reusable`: the connection can take another request.
    Complete { reusable: bool },
    /// The app raised an exception before it answered, and its worker is ready for another request.
    AppFailed { reusable: bool },
    /// The instance answered 101: from now on bytes are passed on as they are.
    Upgraded,
}

/// Why an exchange ended otherwise.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing reached the instance: another one may be asked.
    Unsent(io::Error),
    /// The instance closed the connection before it said anything.
    Closed,
    /// The same, and it had not read the request: what is left unread at the end of a connection resets it.
    Unread,
    /// The connection ended within the response. If the response has begun, the visitor's connection must be cut.
    CutOff(String),
    /// The instance broke off or answered nonsense. If the response has begun, the visitor's connection must be cut.
    Broken(String),
    /// The app raised an exception before it answered.
    AppFailed,
    /// The app answered a visitor who wanted a tunnel (RFC 8441) as if it were an ordinary request.
    NotSwitched,
    /// No answer within the request's time: the instance may be lost.
    TimedOut,
    /// The answer took longer than answers may, or paused for longer; the instance is well.
    TooLong,
    /// The visitor is gone or too slow.
    Visitor,
    /// The visitor's body cannot be taken.
    Body(BodyError),
    /// The visitor stopped sending the body.
    BodyStalled,
    /// Too many bodies are coming in at once.
    Crowded,
    /// There is no room on the disk for the body.
    DiskFull,
    /// The disk failed.
    Disk,
}

/// One exchange.
#[derive(Debug)]
pub(crate) struct Exchange<'a, 's> {
    pub(crate) visitor: &'a mut Visitor,
    pub(crate) stream: &'a Stream,
    pub(crate) deadline: &'a mut Deadline,
    pub(crate) response: &'a mut Response<'s>,
    /// Bytes for the instance: the request's head, unless it went into a mailbox, and some of the body.
    pub(crate) request: &'a mut Vec<u8>,
    /// What of the body is still with the visitor.
    pub(crate) body: &'a mut Body,
    pub(crate) coding: BodyCoding,
    pub(crate) decoder: Decoder,
    /// How long the instance may take.
    pub(crate) patience: Patience,
    /// Without a sign of life from the visitor, while the edge waits for the visitor.
    pub(crate) stall: Duration,
    /// In so much time [`BODY_STEP`] of a body must come.
    pub(crate) pace: Duration,
    /// The body, when it is on disk; then nothing of it is with the visitor.
    pub(crate) spooled: Option<Reader>,
    /// Read from the instance and not yet decoded.
    pub(crate) received: Unread,
    pub(crate) state: State,
}

/// How far an exchange is.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// How many of the bytes of `request` were sent.
    sent: usize,
    /// Anything was sent.
    begun: bool,
    /// The body's end is in `request` or was sent.
    body_ended: bool,
    /// The instance takes no more of the request; its response may still come.
    deaf: bool,
    /// The response is complete, or the app has failed and there will be none.
    complete: bool,
    app_failed: bool,
    /// Until then nobody looks whether the visitor is still there.
    look_at: Option<Instant>,
    /// When whoever is waited for has taken too long.
    due: Option<Instant>,
    /// How many pieces were compressed, and whether other visitors have their turn now.
    coded: u32,
    yielded: bool,
    /// What was read before this exchange began has been looked at.
    looked: bool,
    /// When so much as [`BODY_STEP`] of the body must have come, and how much of it has.
    body_until: Option<Instant>,
    body_seen: usize,
}

impl Exchange<'_, '_> {
    /// Carry it out.
    ///
    /// What was read from the instance and not used comes back too: after an upgrade it is the
    /// head of the 101 and what follows it; else the beginning of the response to the next request.
    pub(crate) async fn run(mut self) -> Result<(End, Unread), (Failure, Box<Rest>)> {
        self.state.body_ended = self.body.is_done() && self.spooled.is_none();
        if !self.visitor.transport.is_watched() {
            self.state.look_at = Some(Instant::now() + LOOK_AFTER);
        }
        self.wait_at_most(self.patience.first);
        match std::future::poll_fn(|context| self.poll(context)).await {
            Ok(end) => Ok((end, self.received)),
            Err(failure) => {
                let Self {
                    decoder, received, ..
                } = self;
                Err((failure, Box::new(Rest { decoder, received })))
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<End, Failure>> {
        if self.visitor.transport.is_gone() {
            // Also while only the instance is waited for: what it has begun with next has its answer behind this one.
            return Poll::Ready(Err(Failure::Visitor));
        }
        loop {
            let mut progress = false;
            self.send(context, &mut progress)?;
            if !self.state.body_ended && self.request.is_empty() {
                self.take_body(context, &mut progress)?;
            } else if self.visitor.input.is_empty()
                && !self.visitor.ended
                && self.state.look_at.is_none()
            {
                // Notice a visitor who leaves. Bytes of a next request may come too, and wait.
                if let Poll::Ready(Err(_)) = self.visitor.poll_fill(context, SIZE) {
                    return Poll::Ready(Err(Failure::Visitor));
                }
            }
            if let Some(end) = self.receive(context, &mut progress)? {
                return Poll::Ready(Ok(end));
            }
            if !self.visitor.output.is_empty()
                && let Poll::Ready(Err(_)) = self.visitor.poll_flush(context, &mut progress)
            {
                return Poll::Ready(Err(Failure::Visitor));
            }
            if !progress {
                break;
            }
            self.move_deadline();
            if std::mem::take(&mut self.state.yielded) {
                break;
            }
        }
        if self.deadline.poll(context).is_pending() {
            return Poll::Pending;
        }
        if self.state.look_at.take().is_some() {
            if let Some(due) = self.state.due {
                self.deadline.set_at(due);
            }
            return self.poll(context);
        }
        if self
            .patience
            .until
            .is_some_and(|until| Instant::now() >= until)
        {
            return Poll::Ready(Err(Failure::TooLong));
        }
        if !self.visitor.output.is_empty() {
            return Poll::Ready(Err(Failure::Visitor));
        }
        if self.wants_body() {
            return Poll::Ready(Err(Failure::BodyStalled));
        }
        if self.response.is_endless() && self.visitor.ended {
            // Who has closed one side may still read the other; but not for ever in silence, since
            // most of them are gone.
            return Poll::Ready(Err(Failure::Visitor));
        }
        let http = matches!(self.decoder, Decoder::Http(_));
        if http && self.response.has_begun() && self.patience.idle.is_some() {
            return Poll::Ready(Err(Failure::TooLong));
        }
        if http && self.response.is_endless() {
            // A stream of events may be silent for as long as it likes.
            self.wait_at_most(self.patience.first);
            let _ = self.deadline.poll(context);
            return Poll::Pending;
        }
        Poll::Ready(Err(Failure::TimedOut))
    }
}

impl State {
    /// For an exchange of which the instance has something already, or nothing.
    pub(crate) fn new(begun: bool) -> Self {
        Self {
            begun,
            ..Self::default()
        }
    }
}
