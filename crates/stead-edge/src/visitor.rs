//! A visitor's connection: what was read from it, and what is still to be written.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::buffer::{Buffer, Scratch};
use crate::transport::Transport;

use held::Held;
use reading::Reading;

mod held;
pub(crate) mod reading;

/// Response bytes held for a visitor who reads slowly. Beyond it the instance waits.
const LIMIT: usize = 1024 * 1024;
/// The same for each stream of HTTP/2, of which a visitor has many: as much as is read from an instance at once.
pub(crate) const STREAM_LIMIT: usize = 32 * 1024;
/// Files, and bytes between them, held for a visitor who reads slowly.
const SEGMENT_LIMIT: usize = 16;

/// A visitor's connection.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) transport: Transport,
    pub(crate) input: Buffer,
    pub(crate) output: Output,
    /// How fast `output` is taken.
    pub(crate) reading: Reading,
    /// The visitor has closed its side.
    pub(crate) ended: bool,
}

/// What is still to be written, in order.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Bytes that come before all segments.
    first: Scratch,
    sent: usize,
    segments: VecDeque<Segment>,
    /// Anything of the current response was sent.
    begun: bool,
    /// Bytes in `first` and `segments` that were not sent, without files.
    held: Held,
    /// For HTTP/2: so many bytes of `first` are whole frames, which no window holds up.
    framed: usize,
    /// For HTTP/2: the stream ends after this.
    end: bool,
    /// Less than [`LIMIT`] is held, since the visitor has many of these. 0: it is not.
    limit: usize,
}

#[derive(Debug)]
enum Segment {
    Bytes(Vec<u8>),
    File {
        file: Arc<File>,
        offset: u64,
        left: u64,
    },
}

impl Output {
    /// A place for bytes at the end.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.held.add(bytes.len());
        match self.segments.back_mut() {
            None => self.first.bytes().extend_from_slice(bytes),
            Some(Segment::Bytes(last)) => last.extend_from_slice(bytes),
            Some(Segment::File { .. }) => self.segments.push_back(Segment::Bytes(bytes.to_vec())),
        }
    }

    /// Build bytes in place, at the end.
    pub(crate) fn write_with(&mut self, build: impl FnOnce(&mut Vec<u8>)) {
        if matches!(self.segments.back(), Some(Segment::File { .. })) {
            self.segments.push_back(Segment::Bytes(Vec::new()));
        }
        let last = match self.segments.back_mut() {
            Some(Segment::Bytes(last)) => last,
            _ => self.first.bytes(),
        };
        let before = last.len();
        build(last);
        self.held.add(last.len() - before);
    }

    /// Build whole frames in place, ahead of all bytes.
    pub(crate) fn write_frames(&mut self, build: impl FnOnce(&mut Vec<u8>)) {
        let first = self.first.bytes();
        debug_assert!(self.segments.is_empty() && self.framed + self.sent == first.len());
        let before = first.len();
        build(first);
        let length = first.len() - before;
        self.held.add(length);
        self.framed += length;
    }

    /// The stream ends after what was written.
    pub(crate) fn end(&mut self) {
        self.end = true;
    }

    /// A part of a file, at the end.
    pub(crate) fn write_file(&mut self, file: Arc<File>, offset: u64, length: u64) {
        if length > 0 {
            self.segments.push_back(Segment::File {
                file,
                offset,
                left: length,
            });
        }
    }

    /// Everything was sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.bytes() == 0 && self.segments.is_empty() && !self.end
    }

    /// The visitor reads slowly: nothing more is taken in before some of this was sent. A file
    /// costs a descriptor, whatever its length.
    pub(crate) fn is_full(&self) -> bool {
        let held = self.held.bytes();
        let limit = if self.limit > 0 { self.limit } else { LIMIT };
        held >= limit || self.segments.len() >= SEGMENT_LIMIT || (held > 0 && Held::is_crowded())
    }

    /// Bytes held in memory.
    pub(crate) fn held(&self) -> usize {
        self.held.bytes()
    }

    /// Another response begins; the one before was sent.
    pub(crate) fn begin(&mut self) {
        self.begun = false;
    }

    /// Nothing of the current response has left yet.
    pub(crate) fn is_unseen(&self) -> bool {
        !self.begun
    }

    /// Give the memory back: the visitor may be idle for long.
    pub(crate) fn rest(&mut self) {
        if self.is_empty() {
            self.first = Scratch::default();
        }
    }

    /// What of the bytes was not sent.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> Vec<u8> {
        let mut bytes = self.first.0[self.sent..].to_vec();
        for segment in &self.segments {
            if let Segment::Bytes(more) = segment {
                bytes.extend_from_slice(more);
            }
        }
        bytes
    }

    /// Forget what was not sent.
    pub(crate) fn clear(&mut self) {
        let limit = self.limit;
        *self = Self::default();
        self.limit = limit;
    }
}

impl Visitor {
    pub(crate) fn new(transport: Transport) -> Self {
        let limit = match &transport {
            Transport::Tcp(_) | Transport::Tls(_) => 0,
            Transport::Stream(_) => STREAM_LIMIT,
        };
        Self {
            transport,
            input: Buffer::default(),
            output: Output {
                limit,
                ..Output::default()
            },
            reading: Reading::default(),
            ended: false,
        }
    }

    /// Read more into `input`, which holds at most `limit` bytes. `Ok(0)`: the visitor has closed its
    /// side, or the buffer is full.
    pub(crate) fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        if self.input.is_empty() {
            // No buffer is held while nothing comes.
            self.input.rest();
            ready!(self.transport.poll_read_ready(context))?;
        }
        let Some(room) = self.input.room(limit) else {
            return Poll::Ready(Ok(0));
        };
        match self.transport.poll_read(context, room) {
            Poll::Ready(Ok(length)) => {
                self.input.filled(length);
                self.ended |= length == 0 && self.transport.ends_with_input();
                if length == 0 {
                    self.input.rest();
                }
                Poll::Ready(Ok(length))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.input.rest();
                Poll::Pending
            }
        }
    }

    /// Write what is held. Ready when everything was sent; `progress` says whether anything was.
    pub(crate) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        progress: &mut bool,
    ) -> Poll<io::Result<()>> {
        let output = &mut self.output;
        if let Transport::Stream(pipe) = &self.transport {
            let taken = pipe.poll_take(output, progress);
            if taken.is_ready() {
                self.reading.rest();
            }
            return taken;
        }
        while output.sent < output.first.0.len() {
            let bytes = &output.first.0[output.sent..];
            let Poll::Ready(length) = self.transport.poll_write(context, bytes) else {
                // A visitor who is always a little behind must not make it grow for ever.
                if output.sent > output.first.0.len() / 2 {
                    output.first.0.drain(..output.sent);
                    output.sent = 0;
                }
                output.begun |= self.transport.has_taken();
                return Poll::Pending;
            };
            let length = length?;
            if length == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *progress = true;
            self.reading.take(length);
            output.begun = true;
            output.sent += length;
            output.held.subtract(length);
        }
        output.first.0.clear();
        output.sent = 0;
        while let Some(segment) = output.segments.front_mut() {
            match segment {
                Segment::Bytes(bytes) => {
                    // Becomes the first part, which knows how much of it was sent.
                    output.first = Scratch(std::mem::take(bytes));
                    output.segments.pop_front();
                    return self.poll_flush(context, progress);
                }
                Segment::File { file, offset, left } => {
                    let transport = &mut self.transport;
                    let length = ready!(transport.poll_send_file(context, file, offset, *left))?;
                    if length == 0 {
                        // The file is shorter than it was.
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                    *progress = true;
                    self.reading
                        .take(usize::try_from(length).unwrap_or(usize::MAX));
                    *left -= length;
                    if *left == 0 {
                        output.segments.pop_front();
                    }
                }
            }
        }
        self.reading.rest();
        Poll::Ready(Ok(()))
    }

    /// Write bytes past `output`, which is empty.
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.transport.poll_write(context, bytes)
    }
}

/// How a stream of HTTP/2 takes what is held, piece by piece.
impl Output {
    /// Hand everything over to `next`, which is empty.
    pub(crate) fn hand_over(&mut self, next: &mut Self) {
        std::mem::swap(self, next);
        (self.begun, self.limit) = (true, next.limit);
    }

    /// Frames that no window holds up.
    pub(crate) fn frames(&mut self) -> &mut [u8] {
        let end = self.sent + self.framed;
        &mut self.first.0[self.sent..end]
    }

    /// The frames were sent.
    pub(crate) fn frames_sent(&mut self) {
        let length = std::mem::take(&mut self.framed);
        self.advance(length);
    }

    /// What comes next of the body.
    pub(crate) fn next(&self) -> Piece<'_> {
        if self.sent < self.first.0.len() {
            return Piece::Bytes(&self.first.0[self.sent..]);
        }
        match self.segments.front() {
            None => Piece::None,
            Some(Segment::Bytes(bytes)) => Piece::Bytes(bytes),
            Some(Segment::File { file, offset, left }) => Piece::File(file, *offset, *left),
        }
    }

    /// So many bytes of that were sent.
    pub(crate) fn advance(&mut self, length: usize) {
        if self.sent == self.first.0.len() {
            match self.segments.front_mut() {
                Some(Segment::File { offset, left, .. }) => {
                    *offset += length as u64;
                    *left -= length as u64;
                    if *left == 0 {
                        self.segments.pop_front();
                    }
                    return;
                }
                Some(Segment::Bytes(bytes)) => {
                    self.first = Scratch(std::mem::take(bytes));
                    self.sent = 0;
                    self.segments.pop_front();
                }
                None => return,
            }
        }
        self.sent += length;
        self.held.subtract(length);
        if self.sent == self.first.0.len() {
            self.first.0.clear();
            self.sent = 0;
        }
    }

    /// Nothing is left but, perhaps, the end.
    pub(crate) fn is_drained(&self) -> bool {
        self.held.bytes() == 0 && self.segments.is_empty()
    }

    /// The stream ends here; told once.
    pub(crate) fn take_end(&mut self) -> bool {
        std::mem::take(&mut self.end)
    }
}

/// The next part of an [`Output`].
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    /// Everything was sent.
    None,
    Bytes(&'a [u8]),
    /// Where in the file it begins, and its length.
    File(&'a File, u64, u64),
}

#[cfg(test)]
mod tests;
