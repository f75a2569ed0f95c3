//! A connection over which JSON lines travel, and now and then descriptors.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stead_model::control::LONGEST_LINE;
use stead_model::handover::Pending;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Most descriptors that go with one line. Linux lets 253 through.
pub(super) const DESCRIPTORS: usize = 128;
/// Bytes that wait for a peer who does not read; one who lets more come together is cut off.
const LONGEST_QUEUE: usize = 2 * LONGEST_LINE;
/// Bytes that are read at a time.
const PIECE: usize = 64 * 1024;

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: UnixStream,
    input: Vec<u8>,
    /// So much of `input` has no line end.
    searched: usize,
    output: Vec<u8>,
    /// So much of `output` was written.
    written: usize,
    /// Came in, and were not yet taken.
    pub(super) descriptors: VecDeque<OwnedFd>,
    /// Descriptors are welcome; others are closed by the kernel.
    trusted: bool,
}

impl Wire {
    /// A connection on which `pending` was left over.
    pub(crate) fn new(stream: UnixStream, pending: Pending, trusted: bool) -> Self {
        Self {
            stream,
            input: pending.input,
            searched: 0,
            output: pending.output,
            written: 0,
            descriptors: VecDeque::new(),
            trusted,
        }
    }

    /// What would be left over.
    pub(crate) fn pending(&self) -> Pending {
        Pending {
            input: self.input.clone(),
            output: self.output[self.written..].to_vec(),
        }
    }

    /// The next line; `None` at the end. Nothing is lost when the future is dropped.
    pub(crate) async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        std::future::poll_fn(|context| self.poll_line(context)).await
    }

    /// The next line as a value. An error: it is none, or the peer has gone.
    pub(super) async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let line = self.line().await?;
        let line = line.ok_or(io::ErrorKind::UnexpectedEof)?;
        serde_json::from_slice(&line).map_err(io::Error::from)
    }

    pub(super) fn poll_line(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Vec<u8>>>> {
        loop {
            let end = memchr::memchr(b'\n', &self.input[self.searched..]);
            if let Some(end) = end.map(|end| self.searched + end) {
                let mut line: Vec<u8> = self.input.drain(..=end).collect();
                line.pop();
                self.searched = 0;
                return Poll::Ready(Ok(Some(line)));
            }
            self.searched = self.input.len();
            if self.input.len() > LONGEST_LINE {
                let why = io::Error::new(io::ErrorKind::InvalidData, "a line is too long");
                return Poll::Ready(Err(why));
            }
            if ready!(self.poll_read(context))? == 0 {
                return Poll::Ready(Ok(None));
            }
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            let before = self.input.len();
            self.input.resize(before + PIECE, 0);
            let (stream, trusted) = (&self.stream, self.trusted);
            let (room, descriptors) = (&mut self.input[before..], &mut self.descriptors);
            let result = stream.try_io(Interest::READABLE, || {
                receive(stream.as_fd(), room, trusted.then_some(descriptors))
            });
            let length = *result.as_ref().unwrap_or(&0);
            self.input.truncate(before + length);
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Poll::Ready(Ok(0));
                }
                result => return Poll::Ready(result),
            }
        }
    }

    /// Put a message at the end of what is to be written. False: the peer does not read, and is to be
    /// given up.
    pub(super) fn send(&mut self, message: &impl Serialize) -> bool {
        if self.output.len() - self.written > LONGEST_QUEUE {
            return false;
        }
        // Values of our own types always have a form in JSON.
        let line = serde_json::to_vec(message).unwrap_or_default();
        self.output.extend_from_slice(&line);
        self.output.push(b'\n');
        true
    }

    /// Something waits to be written.
    pub(super) fn has_output(&self) -> bool {
        self.written < self.output.len()
    }

    /// Write what waits. Nothing is lost when the future is dropped.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        std::future::poll_fn(|context| self.poll_flush(context)).await
    }

    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.has_output() {
            ready!(self.stream.poll_write_ready(context))?;
            match self.stream.try_write(&self.output[self.written..]) {
                Ok(length) => self.written += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.output.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Write what waits, and descriptors together with its last byte: when the line is there, they are.
    pub(super) async fn flush_with(&mut self, passed: &[BorrowedFd<'_>]) -> io::Result<()> {
        let Some(last) = self.output.pop() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        self.flush().await?;
        let last = [last];
        loop {
            self.stream.writable().await?;
            let sent = self.stream.try_io(Interest::WRITABLE, || {
                let mut space =
                    [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
                let mut ancillary = SendAncillaryBuffer::new(&mut space);
                if !passed.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(passed)) {
                    return Err(io::Error::other("too many sockets"));
                }
                let bytes = [IoSlice::new(&last)];
                sendmsg(&self.stream, &bytes, &mut ancillary, SendFlags::NOSIGNAL)
                    .map_err(io::Error::from)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return sent.map(drop),
            }
        }
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// One `recvmsg`. A plain read would lose descriptors.
fn receive(
    socket: BorrowedFd<'_>,
    room: &mut [u8],
    descriptors: Option<&mut VecDeque<OwnedFd>>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let space = if descriptors.is_some() {
        &mut space[..]
    } else {
        &mut []
    };
    let mut ancillary = RecvAncillaryBuffer::new(space);
    let message = recvmsg(
        socket,
        &mut [IoSliceMut::new(room)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )?;
    if let Some(descriptors) = descriptors {
        for part in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = part {
                descriptors.extend(passed);
            }
        }
    }
    Ok(message.bytes)
}
