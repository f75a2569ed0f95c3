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
use crate::forward::BodyFraming;
use crate::frames;
use crate::response::Response;
use crate::spool::Reader;
use crate::upstream::{Settings, Stream, Unread};
use crate::visitor::{Output, Visitor};
use stead_model::routing::RouteTimeouts;
use tokio::time::Instant;

mod from_frames;
mod from_http;
mod memory;

pub(crate) use from_http::HttpDecoder;

/// Request body bytes taken in one go.
const BODY_PIECE: usize = 64 * 1024;

/// So much of a body must come within the stall time, bytes.
pub(crate) const BODY_STEP: usize = 64 * 1024;
/// Pieces, of up to 32 KB each, that are compressed for one visitor before others have their turn.
const CODED_AT_ONCE: u32 = 4;
/// A visitor whose socket is not watched may leave unnoticed for so long: most have their answer by then.
const LOOK_AFTER: Duration = Duration::from_millis(10);
/// Descriptors that an instance may pass before it sends what is in them.
const DESCRIPTOR_LIMIT: usize = 8;

/// How the rest of the request's body goes to the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyCoding {
    /// As frames of the worker protocol.
    Frames,
    /// As HTTP (or uwsgi) says.
    Http(BodyFraming),
}

/// How the response is read.
#[derive(Debug)]
pub(crate) enum Decoder {
    /// As frames of the worker protocol.
    Frames(from_frames::FrameDecoder),
    /// As HTTP/1.
    Http(HttpDecoder),
}

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

/// How long an instance may take for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Without a sign of life, until the answer begins.
    first: Duration,
    /// The same within the answer; `None`: as `first`, and none for an answer of unknown length.
    idle: Option<Duration>,
    /// For all of it.
    until: Option<Instant>,
}

impl Patience {
    /// From now on, as the route says or else the upstream.
    pub(crate) fn new(upstream: &Settings, route: &RouteTimeouts) -> Self {
        let total = route.total.or(upstream.timeouts.total);
        Self {
            first: route.first.unwrap_or(upstream.timeout),
            idle: route.idle.or(upstream.timeouts.idle),
            until: total.map(|total| Instant::now() + total),
        }
    }

    /// The longest time without a sign of life, before or after the answer has begun.
    pub(crate) fn limit(&self, has_begun: bool) -> Duration {
        match self.idle {
            Some(idle) if has_begun => idle,
            _ => self.first,
        }
    }
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

    /// Move the deadline, but not beyond the end of everything.
    fn wait_at_most(&mut self, time: Duration) {
        self.wait_until(Instant::now() + time);
    }

    fn wait_until(&mut self, at: Instant) {
        let until = self.patience.until.unwrap_or(at);
        let due = at.min(until);
        self.state.due = Some(due);
        let look_at = self.state.look_at.unwrap_or(due);
        self.deadline.set_at(due.min(look_at));
    }

    /// Whoever is waited for has its own time. For a body that is a minimum of speed: one that comes
    /// byte by byte would hold a worker's thread for as long as the visitor likes.
    fn move_deadline(&mut self) {
        if !self.visitor.output.is_empty() {
            let until = self.visitor.reading.until(Instant::now(), self.stall);
            self.wait_until(until);
        } else if self.wants_body() {
            let state = &mut self.state;
            let until = match state.body_until {
                Some(until) if state.body_seen < BODY_STEP => until,
                _ => {
                    state.body_seen = 0;
                    Instant::now() + self.pace
                }
            };
            state.body_until = Some(until);
            self.wait_until(until);
        } else {
            self.wait_at_most(self.patience.limit(self.response.has_begun()));
        }
    }

    /// The instance has all of the body that came, and more is to come.
    fn wants_body(&self) -> bool {
        !self.state.body_ended && self.request.is_empty() && self.spooled.is_none()
    }

    fn send(&mut self, context: &mut Context<'_>, progress: &mut bool) -> Result<(), Failure> {
        while self.state.sent < self.request.len() {
            match self
                .stream
                .poll_send(context, &self.request[self.state.sent..])
            {
                Poll::Pending => {
                    // Time in which the instance does not read is not the visitor's.
                    self.state.body_until = None;
                    return Ok(());
                }
                Poll::Ready(Ok(length)) => {
                    self.state.sent += length;
                    self.state.begun = true;
                    *progress = true;
                }
                Poll::Ready(Err(error)) if !self.state.begun => return Err(Failure::Unsent(error)),
                // It closed its reading side; what it says may still be read.
                Poll::Ready(Err(_)) => {
                    self.state.deaf = true;
                    self.state.body_ended = true;
                    break;
                }
            }
        }
        if !self.request.is_empty() {
            self.request.clear();
            self.state.sent = 0;
        }
        Ok(())
    }

    /// Put the next piece of the body into `request`, which is empty.
    fn take_body(&mut self, context: &mut Context<'_>, progress: &mut bool) -> Result<(), Failure> {
        if let Some(reader) = &mut self.spooled {
            let Poll::Ready(piece) = reader.poll_next(context) else {
                return Ok(());
            };
            *progress = true;
            match piece.map_err(|_| Failure::Disk)? {
                Some(piece) => self.coding.append(self.request, piece),
                None => {
                    self.coding.append_end(self.request);
                    self.state.body_ended = true;
                }
            }
            return Ok(());
        }
        if self.visitor.input.is_empty() {
            match self.visitor.poll_fill(context, BODY_PIECE) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) if self.body.end() => {}
                Poll::Ready(Ok(0) | Err(_)) => return Err(Failure::Visitor),
                Poll::Ready(Ok(_)) => {}
            }
        }
        let (request, coding) = (&mut *self.request, self.coding);
        let used = self
            .body
            .take(self.visitor.input.data(), BODY_PIECE, |bytes| {
                coding.append(request, bytes)
            });
        let used = used.map_err(Failure::Body)?;
        if used == 0 && !self.body.is_done() {
            // A framing line that is not whole yet.
            match self.visitor.poll_fill(context, BODY_PIECE) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0) | Err(_)) => return Err(Failure::Visitor),
                Poll::Ready(Ok(_)) => *progress = true,
            }
            return Ok(());
        }
        *progress = true;
        self.visitor.input.consume(used);
        self.state.body_seen += used;
        if self.body.is_done() {
            self.coding.append_end(self.request);
            self.state.body_ended = true;
        }
        Ok(())
    }

    fn receive(
        &mut self,
        context: &mut Context<'_>,
        progress: &mut bool,
    ) -> Result<Option<End>, Failure> {
        while !self.state.complete && !self.visitor.output.is_full() {
            let limit = match &self.decoder {
                Decoder::Frames(decoder) => decoder.room(),
                Decoder::Http(decoder) => decoder.room(),
            };
            if !std::mem::replace(&mut self.state.looked, true) && !self.received.is_empty() {
                *progress = true;
                if self.decode(false)? {
                    return Ok(Some(End::Upgraded));
                }
                continue;
            }
            if let Decoder::Frames(decoder) = &self.decoder
                && decoder.has_more()
            {
                *progress = true;
                self.decode(false)?;
                if self.yields(context) {
                    return Ok(None);
                }
                if self.state.complete || self.visitor.output.held() > 0 {
                    break;
                }
                continue;
            }
            let Some(room) = self.received.bytes.room(limit) else {
                return Err(Failure::Broken("its answer's head is too long".into()));
            };
            let length = match self
                .stream
                .poll_receive(context, room, &mut self.received.passed)
            {
                Poll::Pending => {
                    self.received.bytes.rest();
                    if self.response.is_coded() {
                        self.response.flush(&mut self.visitor.output);
                    }
                    return Ok(None);
                }
                Poll::Ready(Ok(length)) => length,
                Poll::Ready(Err(error)) => return Err(self.closed(Some(&error))),
            };
            *progress = true;
            self.received.bytes.filled(length);
            let upgraded = self.decode(length == 0)?;
            if upgraded {
                if !self.state.body_ended || !self.request.is_empty() || self.state.deaf {
                    return Err(Failure::Broken(
                        "it switched protocols before it had the request".into(),
                    ));
                }
                return Ok(Some(End::Upgraded));
            }
            if self.received.passed.descriptors.len() > DESCRIPTOR_LIMIT {
                return Err(Failure::Broken(
                    "it passes files that it does not send".into(),
                ));
            }
            if self.state.complete {
                break;
            }
            if length == 0 {
                return Err(self.closed(None));
            }
            if self.yields(context) {
                return Ok(None);
            }
            if self.visitor.output.held() > 0 {
                // Show the visitor what there is before more is read.
                break;
            }
        }
        if !self.state.complete {
            return Ok(None);
        }
        if !self.body.is_done() {
            // What the visitor still sends of the body must not be taken for the next request.
            self.response.close();
        }
        if !self.state.body_ended {
            // The app did not want the rest of the body.
            self.state.body_ended = true;
            if self.coding == BodyCoding::Frames {
                self.request
                    .extend_from_slice(&frames::header(frames::request::ABORT, 0));
            } else {
                self.state.deaf = true;
            }
        }
        self.send(context, progress)?;
        if self.request.is_empty() || self.state.deaf {
            let whole = !self.state.deaf;
            let persistent = match &self.decoder {
                Decoder::Frames(_) => true,
                Decoder::Http(decoder) => decoder.keeps_alive() && self.received.is_empty(),
            };
            let reusable = whole && persistent;
            return Ok(Some(match self.state.app_failed {
                true => End::AppFailed { reusable },
                false => End::Complete { reusable },
            }));
        }
        Ok(None)
    }

    /// To compress takes time. After some of it other visitors have their turn; then this one goes on.
    fn yields(&mut self, context: &mut Context<'_>) -> bool {
        if !self.response.is_coded() {
            return false;
        }
        self.state.coded += 1;
        self.state.yielded = self.state.coded.is_multiple_of(CODED_AT_ONCE);
        if self.state.yielded {
            context.waker().wake_by_ref();
        }
        self.state.yielded
    }

    fn decode(&mut self, ended: bool) -> Result<bool, Failure> {
        let output = &mut self.visitor.output;
        match &mut self.decoder {
            Decoder::Frames(decoder) => {
                let decoded = decoder.decode(&mut self.received, self.response, output);
                if let Some(word) = decoder.take_word() {
                    self.request.extend_from_slice(&word);
                }
                // The next request may be in the thread's mailbox already: its answer comes over this connection.
                self.state.app_failed = matches!(decoded, Err(Failure::AppFailed));
                self.state.complete = self.state.app_failed || decoded?;
                Ok(false)
            }
            Decoder::Http(decoder) => {
                let step =
                    decoder.decode(&mut self.received.bytes, ended, self.response, output)?;
                self.state.complete = step == from_http::Step::Complete;
                Ok(step == from_http::Step::Upgraded)
            }
        }
    }

    fn closed(&self, error: Option<&io::Error>) -> Failure {
        // A reset is the end of a connection on which something was left unread.
        let ended = error.is_none_or(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            )
        });
        let spoken = match &self.decoder {
            Decoder::Frames(decoder) => decoder.has_spoken(),
            Decoder::Http(decoder) => decoder.has_spoken(),
        };
        if !self.response.has_begun() && self.received.is_empty() && ended && !spoken {
            return Failure::Closed;
        }
        match error {
            Some(error) => Failure::CutOff(format!("its connection failed: {error}")),
            None => {
                Failure::CutOff("it closed the connection before its answer was complete".into())
            }
        }
    }
}

/// Where the reading of a response stopped that nobody waits for any more.
#[derive(Debug)]
pub(crate) struct Rest {
    decoder: Decoder,
    received: Unread,
}

impl Rest {
    /// Of a response of Stead's own worker that nobody has begun to read, before which `received` has come.
    pub(crate) fn unread(received: Unread) -> Self {
        Self {
            decoder: Decoder::frames(),
            received,
        }
    }

    /// Read the response to its end, for nobody; what follows it is then the stream's. `false`: it does not end.
    pub(crate) async fn skip(mut self, stream: &mut Stream) -> bool {
        let Decoder::Frames(decoder) = &mut self.decoder else {
            return false;
        };
        loop {
            let ended = decoder.skip(&mut self.received);
            if let Some(word) = decoder.take_word()
                && stream.send_all(&word).await.is_err()
            {
                return false;
            }
            if ended {
                break;
            }
            let Unread { bytes, passed } = &mut self.received;
            let Some(room) = bytes.room(SIZE) else {
                return false;
            };
            let receive = |context: &mut Context<'_>| stream.poll_receive(context, room, passed);
            match std::future::poll_fn(receive).await {
                Ok(length) if length > 0 => bytes.filled(length),
                _ => return false,
            }
        }
        self.received.bytes.rest();
        stream.unread = self.received;
        true
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

impl Decoder {
    /// For an instance of Stead's own worker.
    pub(crate) fn frames() -> Self {
        Self::Frames(from_frames::FrameDecoder::default())
    }

    /// There is something to be read that does not come over the connection.
    pub(crate) fn has_more(&self) -> bool {
        matches!(self, Self::Frames(decoder) if decoder.has_more())
    }

    /// What the instance is to be told; once.
    pub(crate) fn take_word(&mut self) -> Option<[u8; frames::HEADER]> {
        match self {
            Self::Frames(decoder) => decoder.take_word(),
            Self::Http(_) => None,
        }
    }

    /// For a probe: read what there is. `true`: the response is complete. An app that failed is a 500, as
    /// visitors would see it.
    pub(crate) fn decode_whole(
        &mut self,
        received: &mut Unread,
        ended: bool,
        response: &mut Response<'_>,
        output: &mut Output,
    ) -> Result<bool, String> {
        let result = match self {
            Self::Frames(decoder) => decoder.decode(received, response, output),
            Self::Http(decoder) => decoder
                .decode(&mut received.bytes, ended, response, output)
                .map(|step| step == from_http::Step::Complete),
        };
        match result {
            Ok(complete) => Ok(complete),
            Err(Failure::AppFailed) => {
                response.status = 500;
                Ok(true)
            }
            Err(Failure::Broken(why)) => Err(why),
            Err(_) => Err("its answer cannot be read".into()),
        }
    }
}

impl BodyCoding {
    pub(crate) fn append(self, out: &mut Vec<u8>, bytes: &[u8]) {
        match self {
            Self::Frames => frames::append_body(out, bytes),
            Self::Http(BodyFraming::Length(_)) => out.extend_from_slice(bytes),
            Self::Http(BodyFraming::Chunked) => {
                out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    pub(crate) fn append_end(self, out: &mut Vec<u8>) {
        match self {
            Self::Frames => out.extend_from_slice(&frames::header(frames::request::END, 0)),
            Self::Http(BodyFraming::Length(_)) => {}
            Self::Http(BodyFraming::Chunked) => out.extend_from_slice(b"0\r\n\r\n"),
        }
    }
}
