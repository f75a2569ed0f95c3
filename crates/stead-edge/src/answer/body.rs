//! A request's body, before an instance is asked for: taken into memory when it is small, put on disk when it is large
//! and its visitor slow. Only what comes fast is passed on while it comes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::Request;
use crate::Shared;
use crate::body::Body;
use crate::buffer::Scratch;
use crate::connection;
use crate::exchange::{BODY_STEP, Failure};
use crate::head::BodyLength;
use crate::spool::{self, Refused, Spool, Spooled};
use crate::upstream::{Streaming, Upstream};

/// So much of a body is read before an instance is asked for, so that no worker waits for a slow
/// visitor. Bytes.
const INLINE_LIMIT: usize = 256 * 1024;
/// A visitor whose first [`INLINE_LIMIT`] bytes come within this time is fast: 4 MB a second.
const FAST: Duration = Duration::from_millis(64);
/// A visitor who was fast and for whom a thread waits must send at least [`BODY_STEP`] in this time, whatever the stall
/// time.
pub(super) const PACE: Duration = Duration::from_secs(10);
/// A body that is still coming in counts as small up to here, bytes.
const SMALL: usize = 16 * 1024;
/// All bodies together that are coming in and are not small, bytes. More go to disk at once, or are answered 503.
const BODIES_LIMIT: usize = 128 * 1024 * 1024;
/// So much of a body must come in the stall time, bytes; of one that is put on disk [`BODY_STEP`]. Who sends less often than
/// that does not want to be served.
const SMALL_STEP: usize = 4 * 1024;
/// Bytes that are put on disk in one go.
const PIECE: usize = 64 * 1024;

/// What was taken of a body. When the body is not done, the rest is still with the visitor.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) bytes: Scratch,
    /// Then all of it is there, and nothing in `bytes`.
    pub(super) spooled: Option<Spooled>,
    /// The rest is passed on while it comes.
    pub(super) streaming: Option<Streaming>,
}

impl Taken {
    /// Bytes.
    pub(super) fn length(&self) -> u64 {
        self.bytes.0.len() as u64 + self.spooled.as_ref().map_or(0, Spooled::length)
    }
}

impl Request<'_> {
    /// Take the body as far as an instance should not wait for it.
    pub(super) async fn take_body(
        &mut self,
        upstream: &Arc<Upstream>,
        body: &mut Body,
    ) -> Result<Taken, Failure> {
        let mut taken = Taken::default();
        if self.head.body == BodyLength::None {
            return Ok(taken);
        }
        taken.bytes = Scratch::take();
        self.send_continue().await?;
        let began = Instant::now();
        let mut held = Held::new(self.shared);
        let stall = self.connection.entrance.stall_timeout;
        let (mut until, mut seen) = (began + stall, 0);
        loop {
            if taken.bytes.0.is_empty() && self.visitor.input.data().len() >= SMALL {
                // Most of it will be here soon. Of a visitor who sends little nobody knows, whatever it announces.
                let length = body.known_length().unwrap_or_default();
                taken.bytes = Scratch::with_room(length.min(INLINE_LIMIT as u64) as usize);
            }
            let bytes = &mut taken.bytes.0;
            let room = INLINE_LIMIT - bytes.len();
            let used = body.take(self.visitor.input.data(), room, |piece| {
                bytes.extend_from_slice(piece)
            });
            let used = used.map_err(Failure::Body)?;
            self.visitor.input.consume(used);
            seen += used;
            if body.is_done() {
                return Ok(taken);
            }
            let full = bytes.len() >= INLINE_LIMIT;
            let fits = held.set(bytes.len());
            if full && began.elapsed() <= FAST {
                taken.streaming = upstream.begin_stream();
                if taken.streaming.is_some() {
                    return Ok(taken);
                }
            }
            if full || !fits {
                return match self.shared.spool.clone() {
                    // Most requests never come here, and should not keep room for it.
                    Some(spool) => Box::pin(self.spool_body(&spool, body, taken, held)).await,
                    None if full => Ok(taken),
                    None => Err(Failure::Crowded),
                };
            }
            if seen >= SMALL_STEP {
                (until, seen) = (Instant::now() + stall, 0);
            }
            self.deadline.set_at(until);
            self.fill(body, INLINE_LIMIT).await?;
        }
    }

    /// Put what was taken on disk, and the rest of the body as it comes.
    async fn spool_body(
        &mut self,
        spool: &Arc<Spool>,
        body: &mut Body,
        mut taken: Taken,
        mut held: Held<'_>,
    ) -> Result<Taken, Failure> {
        let full = taken.bytes.0.len() >= INLINE_LIMIT;
        let mut spooled = match spool.begin().await {
            Ok(spooled) => spooled,
            Err(error) => {
                return match spool::refused(&error) {
                    Refused::DiskFull => Err(Failure::DiskFull),
                    // Without a disk it is as without a spool: an instance may have to wait.
                    Refused::Failed | Refused::TooMuch if full => Ok(taken),
                    Refused::Failed | Refused::TooMuch => Err(Failure::Crowded),
                };
            }
        };
        let stall = self.connection.entrance.stall_timeout;
        let mut piece = spooled.append(std::mem::take(&mut taken.bytes.0)).await?;
        piece.shrink_to(PIECE);
        held.set(0);
        let (mut until, mut seen) = (Instant::now() + stall, 0);
        loop {
            let room = PIECE.saturating_sub(piece.len()).max(1);
            let used = body.take(self.visitor.input.data(), room, |bytes| {
                piece.extend_from_slice(bytes)
            });
            let used = used.map_err(Failure::Body)?;
            self.visitor.input.consume(used);
            seen += used;
            let done = body.is_done();
            if done || piece.len() >= PIECE || !held.set(piece.len()) {
                let began = Instant::now();
                piece = spooled.append(piece).await?;
                held.set(0);
                // The disk's time is not the visitor's.
                until += began.elapsed();
            }
            if done {
                taken.spooled = Some(spooled);
                return Ok(taken);
            }
            if used > 0 && !self.visitor.input.is_empty() {
                continue;
            }
            if seen >= BODY_STEP {
                (until, seen) = (Instant::now() + stall, 0);
            }
            self.deadline.set_at(until);
            self.fill(body, PIECE).await?;
        }
    }

    /// Read more of the body, before the deadline.
    async fn fill(&mut self, body: &mut Body, limit: usize) -> Result<(), Failure> {
        let (visitor, deadline) = (&mut *self.visitor, &mut *self.deadline);
        let filled = std::future::poll_fn(|context| {
            if let Poll::Ready(result) = visitor.poll_fill(context, limit) {
                return Poll::Ready(result.map_err(|_| Failure::Visitor));
            }
            deadline.poll(context).map(|()| Err(Failure::BodyStalled))
        });
        match filled.await? {
            0 if !body.end() => Err(Failure::Visitor),
            _ => Ok(()),
        }
    }

    /// `Expect: 100-continue`: the visitor waits for a word before it sends the body.
    async fn send_continue(&mut self) -> Result<(), Failure> {
        if self.head.expects_continue && self.visitor.input.is_empty() {
            self.response.interim_continue(&mut self.visitor.output);
            let stall = self.connection.entrance.stall_timeout;
            self.deadline.set(stall);
            let flushed = connection::flush(self.visitor, self.deadline, stall).await;
            flushed.map_err(|_| Failure::Visitor)?;
            // What comes next is the response.
            self.visitor.output.begin();
        }
        Ok(())
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::DiskFull => Self::DiskFull,
            Refused::TooMuch => Self::Crowded,
            Refused::Failed => Self::Disk,
        }
    }
}

/// Bytes of bodies that are coming in, together for all visitors: slow ones cannot fill the memory.
struct Held<'a> {
    shared: &'a Shared,
    bytes: usize,
}

impl<'a> Held<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self { shared, bytes: 0 }
    }

    /// This one holds `bytes` now. `false`: too many are held altogether, and this one is not small.
    fn set(&mut self, bytes: usize) -> bool {
        let all = &self.shared.body_bytes;
        let before = if bytes >= self.bytes {
            all.fetch_add(bytes - self.bytes, Ordering::Relaxed)
        } else {
            all.fetch_sub(self.bytes - bytes, Ordering::Relaxed)
        };
        let now = before + bytes - self.bytes;
        self.bytes = bytes;
        bytes <= SMALL || now <= BODIES_LIMIT
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.shared
            .body_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
