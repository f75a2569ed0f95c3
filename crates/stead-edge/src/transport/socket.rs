//! A visitor's socket. Who comes for one request has usually sent it by the time of its turn, and is gone
//! after the answer: for that the runtime need not watch the socket at all, which saves two system calls and the place
//! that the runtime keeps for it. It is watched from the first time that it has to be waited for.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::fs::sendfile;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// Most bytes of a file that are sent in one go, so that one visitor does not hold up the others.
const FILE_PIECE: usize = 2 * 1024 * 1024;
/// So many calls are made on a socket that is not watched. One that is always ready would have the thread for itself: the
/// runtime gives others their turn only when it is asked.
const CALLS: u8 = 8;

/// A visitor's socket, which does not block.
#[derive(Debug)]
pub(crate) struct Socket(State);

#[derive(Debug)]
enum State {
    /// Not yet known to the runtime; so many calls may still be made.
    Fresh(std::net::TcpStream, u8),
    Watched(TcpStream),
    /// The runtime would not take it.
    Lost,
}

impl From<TcpStream> for Socket {
    fn from(socket: TcpStream) -> Self {
        Self(State::Watched(socket))
    }
}

impl Socket {
    /// One that was just accepted, and does not block.
    pub(crate) fn fresh(socket: std::net::TcpStream) -> Self {
        Self(State::Fresh(socket, CALLS))
    }

    /// The runtime tells when something happens to it.
    pub(crate) fn is_watched(&self) -> bool {
        !matches!(self.0, State::Fresh(..))
    }

    /// Have the runtime watch it, from now on.
    pub(crate) fn watch(&mut self) -> io::Result<&mut TcpStream> {
        if let State::Fresh(..) = self.0
            && let State::Fresh(socket, _) = std::mem::replace(&mut self.0, State::Lost)
        {
            self.0 = State::Watched(TcpStream::from_std(socket)?);
        }
        match &mut self.0 {
            State::Watched(socket) => Ok(socket),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The same, for whoever cannot do without.
    pub(crate) fn into_watched(mut self) -> io::Result<TcpStream> {
        self.watch()?;
        match self.0 {
            State::Watched(socket) => Ok(socket),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// One call without waiting. `None`: it would have to wait, so the runtime watches it from now on.
    fn at_once<T>(
        &mut self,
        call: impl FnOnce(&mut std::net::TcpStream) -> io::Result<T>,
    ) -> Option<io::Result<T>> {
        let State::Fresh(socket, left @ 1..) = &mut self.0 else {
            return None;
        };
        *left -= 1;
        match call(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            // The watched one does it again.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            done => Some(done),
        }
    }

    /// Bytes, or the end, have come; or nobody knows, and reading tells.
    pub(crate) fn poll_read_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Fresh(_, 1..) => Poll::Ready(Ok(())),
            _ => self.watch()?.poll_read_ready(context),
        }
    }

    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(done) = self.at_once(|socket| socket.read(room)) {
            return Poll::Ready(done);
        }
        let mut buffer = ReadBuf::new(room);
        ready!(Pin::new(self.watch()?).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.at_once(|socket| socket.write(bytes)) {
            Some(done) => Poll::Ready(done),
            None => Pin::new(self.watch()?).poll_write(context, bytes),
        }
    }

    /// See [`super::Transport::poll_send_file`].
    pub(crate) fn poll_send_file(
        &mut self,
        context: &mut Context<'_>,
        file: &File,
        offset: &mut u64,
        left: u64,
    ) -> Poll<io::Result<u64>> {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(FILE_PIECE);
        let mut send =
            |socket: BorrowedFd<'_>| Ok(sendfile(socket, file.as_fd(), Some(&mut *offset), count)?);
        if let Some(done) = self.at_once(|socket| send(socket.as_fd())) {
            return Poll::Ready(done.map(|length| length as u64));
        }
        let socket = self.watch()?;
        loop {
            ready!(socket.poll_write_ready(context))?;
            match socket.try_io(Interest::WRITABLE, || send(socket.as_fd())) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(length) => return Poll::Ready(Ok(length as u64)),
            }
        }
    }

    /// Nothing more will be written.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.watch()?).poll_shutdown(context)
    }

    /// When it is dropped the other side is told of an error.
    pub(crate) fn reset(&self) -> io::Result<()> {
        match &self.0 {
            State::Fresh(socket, _) => {
                socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO))
            }
            State::Watched(socket) => {
                socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO))
            }
            State::Lost => Ok(()),
        }
    }

    /// Bytes have come that were not read yet.
    pub(crate) fn has_spoken(&self) -> bool {
        use rustix::net::{RecvFlags, recv};
        let socket = match &self.0 {
            State::Fresh(socket, _) => socket.as_fd(),
            State::Watched(socket) => socket.as_fd(),
            State::Lost => return false,
        };
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = recv(socket, &mut [0; 1], flags);
        matches!(peeked, Ok((length, _)) if length > 0)
    }
}
