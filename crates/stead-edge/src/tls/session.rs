//! The bytes of a visitor who has shaken hands: what comes is decrypted, what goes is encrypted.
//!
//! A write counts as done when all that became of it is with the kernel, as on a plain socket: so nothing waits
//! here while a visitor is idle, and a visitor who reads slowly costs one piece.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Most bytes that are encrypted before they are sent, four records: what a visitor who reads slowly costs here.
const PIECE: usize = 64 * 1024;

thread_local! {
    /// Where pieces of files are read into.
    static FILE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connection over TLS.
#[derive(Debug)]
pub(crate) struct Session {
    socket: TcpStream,
    tls: ServerConnection,
    /// Decrypted bytes that wait to be read.
    available: usize,
    /// The visitor has closed its side.
    ended: bool,
    /// So many bytes of the current write are encrypted, and not all sent.
    taken: usize,
    /// Nothing may be said any more, not even goodbye: the visitor must not take a part for the whole.
    cut: bool,
    goodbye: bool,
}

impl Session {
    /// After the handshake, with which `available` bytes came already.
    pub(crate) fn new(socket: TcpStream, mut tls: ServerConnection, available: usize) -> Self {
        // Writes are limited here, to pieces.
        tls.set_buffer_limit(None);
        Self {
            socket,
            tls,
            available,
            ended: false,
            taken: 0,
            cut: false,
            goodbye: false,
        }
    }

    /// Decrypted bytes, or the end, have come.
    pub(crate) fn poll_read_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.available == 0 && !self.ended {
            // What the protocol has to say by itself: a ticket, the answer to a change of keys.
            if self.tls.wants_write()
                && let Poll::Ready(Err(error)) = self.poll_send(context)
            {
                return Poll::Ready(Err(error));
            }
            match self.tls.read_tls(&mut Io(&mut self.socket, context)) {
                Ok(0) => self.ended = true,
                Ok(_) => match self.tls.process_new_packets() {
                    Ok(state) => {
                        self.available = state.plaintext_bytes_to_read();
                        self.ended = state.peer_has_closed();
                    }
                    Err(error) => {
                        // The alert that says why.
                        let _ = self.poll_send(context);
                        self.cut = true;
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                    }
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_read_ready(context))?;
        if self.available == 0 {
            return Poll::Ready(Ok(0));
        }
        let length = self.tls.reader().read(room)?;
        self.available -= length;
        Poll::Ready(Ok(length))
    }

    /// Encrypt and send some of `bytes`. Until it is ready, it is to be called with the same bytes.
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.taken == 0 {
            self.taken = self.tls.writer().write(&bytes[..bytes.len().min(PIECE)])?;
        }
        ready!(self.poll_send(context))?;
        Poll::Ready(Ok(std::mem::take(&mut self.taken).min(bytes.len())))
    }

    /// Some of the current write is on its way already.
    pub(crate) fn has_taken(&self) -> bool {
        self.taken > 0
    }

    /// Encrypt and send some of the `left` bytes of a file that begin at `offset`, and move `offset` past them.
    pub(crate) fn poll_send_file(
        &mut self,
        context: &mut Context<'_>,
        file: &File,
        offset: &mut u64,
        left: u64,
    ) -> Poll<io::Result<u64>> {
        if self.taken == 0 {
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
            let mut writer = self.tls.writer();
            self.taken = FILE.with_borrow_mut(|buffer| {
                buffer.resize(PIECE, 0);
                let length = file.read_at(&mut buffer[..count], *offset)?;
                writer.write(&buffer[..length])
            })?;
            if self.taken == 0 {
                return Poll::Ready(Ok(0));
            }
        }
        ready!(self.poll_send(context))?;
        let length = std::mem::take(&mut self.taken) as u64;
        *offset += length;
        Poll::Ready(Ok(length))
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Io(&mut self.socket, context)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Say that nothing more comes (RFC 8446 section 6.1), and close this side.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.goodbye, true) {
            self.tls.send_close_notify();
        }
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    /// The connection is about to be dropped after whole answers: say so, if there is room for it.
    pub(crate) fn farewell(&mut self) {
        if self.cut || self.taken > 0 || std::mem::replace(&mut self.goodbye, true) {
            return;
        }
        self.tls.send_close_notify();
        while self.tls.wants_write() {
            if !matches!(self.tls.write_tls(&mut Now(&self.socket)), Ok(1..)) {
                return;
            }
        }
    }

    /// When it is dropped, the visitor is to notice that something is missing.
    pub(crate) fn reset(&mut self) -> io::Result<()> {
        self.cut = true;
        socket2::SockRef::from(&self.socket).set_linger(Some(std::time::Duration::ZERO))
    }

    /// Bytes have come that were not read yet.
    pub(crate) fn has_spoken(&self) -> bool {
        use rustix::net::{RecvFlags, recv};
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        self.available > 0
            || matches!(recv(self.socket.as_fd(), &mut [0; 1], flags), Ok((length, _)) if length > 0)
    }
}

/// A socket within a poll, for a library that reads and writes by itself.
pub(super) struct Io<'a, 'c>(pub(super) &'a mut TcpStream, pub(super) &'a mut Context<'c>);

fn blocked<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for Io<'_, '_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(room);
        blocked(Pin::new(&mut *self.0).poll_read(self.1, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl Write for Io<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        blocked(Pin::new(&mut *self.0).poll_write(self.1, bytes))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        blocked(Pin::new(&mut *self.0).poll_write_vectored(self.1, pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket that is written to without waiting for room.
pub(super) struct Now<'a>(pub(super) &'a TcpStream);

impl Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
