//! What a visitor's bytes come over. Everything above it, from the reading of heads to the sending of files,
//! is the same for all of them.
//!
//! An enum rather than a trait: the plain socket is the path that is measured, and a call on it must not
//! go through a pointer.
//!
//! ```text
//! connection ─► Visitor ─► Transport::Tcp        read, write, sendfile
//!                      └─► Transport::Tls        the same, encrypted
//! http2 ──────► Visitor ─► Transport::Stream     one of many on a connection, which itself has a Transport
//! ```

use std::fs::File;
use std::io;
use std::task::{Context, Poll};

use crate::http2::Pipe;
use crate::tls::Session;

pub(crate) use socket::Socket;

mod socket;

/// What a visitor's bytes come over.
#[derive(Debug)]
pub(crate) enum Transport {
    /// A socket, as it is.
    Tcp(Socket),
    /// A socket over which TLS is spoken.
    Tls(Box<Session>),
    /// A stream of an HTTP/2 connection.
    Stream(Pipe),
}

impl Transport {
    /// Bytes, or the end, have come. Needs no buffer, so that an idle visitor costs none.
    pub(crate) fn poll_read_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_read_ready(context),
            Self::Tls(session) => session.poll_read_ready(context),
            Self::Stream(pipe) => pipe.poll_read_ready(),
        }
    }

    /// Read into `room`. 0 is the end.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => socket.poll_read(context, room),
            Self::Tls(session) => session.poll_read(context, room),
            Self::Stream(pipe) => pipe.poll_read(room),
        }
    }

    /// Write what is taken at once. Until it is ready, it is to be called with the same bytes.
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => socket.poll_write(context, bytes),
            Self::Tls(session) => session.poll_write(context, bytes),
            Self::Stream(pipe) => pipe.poll_write(bytes),
        }
    }

    /// Send some of the `left` bytes of a file that begin at `offset`, and move `offset` past them. 0: the
    /// file ends there.
    pub(crate) fn poll_send_file(
        &mut self,
        context: &mut Context<'_>,
        file: &File,
        offset: &mut u64,
        left: u64,
    ) -> Poll<io::Result<u64>> {
        match self {
            Self::Tcp(socket) => socket.poll_send_file(context, file, offset, left),
            Self::Tls(session) => session.poll_send_file(context, file, offset, left),
            // The connection takes files as they are, and reads them when their turn comes.
            Self::Stream(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Nothing more will be written.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_shutdown(context),
            Self::Tls(session) => session.poll_shutdown(context),
            Self::Stream(pipe) => pipe.poll_end(),
        }
    }

    /// When it is dropped the other side is told of an error, rather than of an orderly end.
    pub(crate) fn reset(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.reset(),
            Self::Tls(session) => session.reset(),
            // The connection resets it by its number.
            Self::Stream(_) => Ok(()),
        }
    }

    /// Bytes have come that were not read yet. Asks the kernel, so it is for rare occasions.
    pub(crate) fn has_spoken(&self) -> bool {
        match self {
            Self::Tcp(socket) => socket.has_spoken(),
            Self::Tls(session) => session.has_spoken(),
            Self::Stream(_) => false,
        }
    }

    /// Nobody is there any more, as far as that is known without a system call.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Stream(pipe) if pipe.is_reset())
    }

    /// The runtime is asked from now on, also where a call at once would do.
    pub(crate) fn watch(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.watch().map(drop),
            Self::Tls(_) | Self::Stream(_) => Ok(()),
        }
    }

    /// Whoever polls this hears of what comes, and of the visitor's leaving.
    pub(crate) fn is_watched(&self) -> bool {
        match self {
            Self::Tcp(socket) => socket.is_watched(),
            Self::Tls(_) | Self::Stream(_) => true,
        }
    }

    /// Some of a write that is not ready has been sent nevertheless, or is about to be.
    pub(crate) fn has_taken(&self) -> bool {
        matches!(self, Self::Tls(session) if session.has_taken())
    }

    /// It is dropped after whole answers, without having been shut down.
    pub(crate) fn farewell(&mut self) {
        if let Self::Tls(session) = self {
            session.farewell();
        }
    }

    /// Where nothing more comes in, nobody is there any more. A stream of HTTP/2 has its end with its request,
    /// unless it is a tunnel.
    pub(crate) fn ends_with_input(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Tls(_) => true,
            Self::Stream(pipe) => pipe.is_tunnel(),
        }
    }
}
