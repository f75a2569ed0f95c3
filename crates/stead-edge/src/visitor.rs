//! A visitor's connection: what was read from it, and what is still to be written.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::buffer::{Buffer, Scratch};
use crate::transport::Transport;

use held::Held;

mod held;

/// Response bytes held for a visitor who reads slowly. Beyond it the instance waits.
const LIMIT: usize = 1024 * 1024;
/// Files, and bytes between them, held for a visitor who reads slowly.
const SEGMENT_LIMIT: usize = 16;

/// A visitor's connection.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) transport: Transport,
    pub(crate) input: Buffer,
    pub(crate) output: Output,
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
        self.held.bytes() == 0 && self.segments.is_empty()
    }

    /// The visitor reads slowly: nothing more is taken in before some of this was sent. A file
    /// costs a descriptor, whatever its length.
    pub(crate) fn is_full(&self) -> bool {
        let held = self.held.bytes();
        held >= LIMIT || self.segments.len() >= SEGMENT_LIMIT || (held > 0 && Held::is_crowded())
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
        *self = Self::default();
    }
}

impl Visitor {
    pub(crate) fn new(transport: Transport) -> Self {
        Self {
            transport,
            input: Buffer::default(),
            output: Output::default(),
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
                self.ended |= length == 0;
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
        while output.sent < output.first.0.len() {
            let bytes = &output.first.0[output.sent..];
            let Poll::Ready(length) = self.transport.poll_write(context, bytes) else {
                // A visitor who is always a little behind must not make it grow for ever.
                if output.sent > output.first.0.len() / 2 {
                    output.first.0.drain(..output.sent);
                    output.sent = 0;
                }
                return Poll::Pending;
            };
            let length = length?;
            if length == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *progress = true;
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
                    *left -= length;
                    if *left == 0 {
                        output.segments.pop_front();
                    }
                }
            }
        }
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

#[cfg(test)]
mod tests;
