//! Between a stream's request, which is answered like any other, and the connection that carries it.
//!
//! Both sides run in the connection's task, in turn: nobody ever waits for the lock, and nobody is woken by
//! it. Whoever changed something has the other polled.

use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use super::STREAM_WINDOW;
use crate::answer::Next;
use crate::buffer::Buffer;
use crate::head::{Head, Refusal};
use crate::visitor::{Output, STREAM_LIMIT};

/// One for each stream that is open; used again by later ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pipe(Arc<Mutex<State>>);

/// What is on its way.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// A request that nobody has begun to answer, or why it is none.
    request: Option<(Head, Option<Refusal>)>,
    /// Of its body.
    input: Buffer,
    /// No more of it will come.
    pub(super) input_ended: bool,
    /// Bytes taken from `input` that the visitor was not told of.
    pub(super) consumed: usize,
    /// The visitor, or the edge, has reset the stream.
    pub(super) reset: bool,
    tunnel: bool,
    /// Of the response.
    pub(super) output: Output,
    /// The response waits until `output` was sent.
    pub(super) wants_room: bool,
    /// The request was answered.
    pub(super) answered: Option<Next>,
}

impl Pipe {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next request.
    pub(super) fn poll_request(&self, head: &mut Head) -> Poll<Option<Refusal>> {
        let mut state = self.state();
        let Some((next, refusal)) = state.request.take() else {
            return Poll::Pending;
        };
        *head = next;
        Poll::Ready(refusal)
    }

    /// The visitor, or the edge, has reset the stream.
    pub(crate) fn is_reset(&self) -> bool {
        self.state().reset
    }

    pub(crate) fn is_tunnel(&self) -> bool {
        self.state().tunnel
    }

    pub(crate) fn poll_read_ready(&self) -> Poll<io::Result<()>> {
        let state = self.state();
        if state.reset || state.input_ended || !state.input.is_empty() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    pub(crate) fn poll_read(&self, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if state.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let data = state.input.data();
        let length = data.len().min(room.len());
        room[..length].copy_from_slice(&data[..length]);
        if length == 0 && !state.input_ended {
            return Poll::Pending;
        }
        state.input.consume(length);
        state.input.rest();
        state.consumed += length;
        Poll::Ready(Ok(length))
    }

    /// Take everything that is held for the visitor, once what was taken before was sent.
    pub(crate) fn poll_take(
        &self,
        output: &mut Output,
        progress: &mut bool,
    ) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if state.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if !state.output.is_empty() {
            state.wants_room = true;
            return Poll::Pending;
        }
        output.hand_over(&mut state.output);
        *progress = true;
        Poll::Ready(Ok(()))
    }

    /// Bytes of a tunnel.
    pub(crate) fn poll_write(&self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if state.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let room = STREAM_LIMIT.saturating_sub(state.output.held());
        if room == 0 {
            state.wants_room = true;
            return Poll::Pending;
        }
        let length = bytes.len().min(room);
        state.output.write(&bytes[..length]);
        Poll::Ready(Ok(length))
    }

    /// The end of a tunnel.
    pub(crate) fn poll_end(&self) -> Poll<io::Result<()>> {
        self.state().output.end();
        Poll::Ready(Ok(()))
    }
}

impl State {
    /// Begin a stream. `head` is its request, unless that is refused.
    pub(super) fn begin(&mut self, head: Head, refusal: Option<Refusal>, ended: bool) {
        self.tunnel = head.tunnel;
        self.input_ended = ended;
        (self.consumed, self.reset, self.wants_room) = (0, false, false);
        self.answered = None;
        self.request = Some((head, refusal));
    }

    /// A piece of the body; the windows keep it small.
    pub(super) fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(room) = self.input.room(2 * STREAM_WINDOW) else {
                return;
            };
            let length = room.len().min(bytes.len());
            room[..length].copy_from_slice(&bytes[..length]);
            self.input.filled(length);
            bytes = &bytes[length..];
        }
    }

    /// Nobody wants what is in it any more. Returns how many bytes of the body were left.
    pub(super) fn discard(&mut self) -> usize {
        let left = self.input.data().len() + mem::take(&mut self.consumed);
        self.input = Buffer::default();
        self.output.clear();
        left
    }
}
