//! A connection to an instance: a unix socket or loopback TCP, readable together with the
//! descriptors that a worker passes; and the mailbox of a worker's thread.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};

use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, connect,
    recv, recvmsg, send, sendmsg, shutdown, socket_with, socketpair,
};
use rustix::process::Pid;
use stead_model::release::Protocol;
use stead_model::routing::Address;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;

use crate::buffer::Buffer;

/// A connection to an instance.
///
/// The descriptor is polled directly: tokio's streams neither receive descriptors nor, for a
/// custom read, forget that the socket was readable, which would cost one more system call a request.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: AsyncFd<OwnedFd>,
    /// Where requests for a thread of Stead's own worker go.
    mailbox: Option<Arc<Mailbox>>,
    /// What was read after the end of a response: the beginning of the next one.
    pub(crate) unread: Unread,
    /// The runtime that polls it: a stream moves when another thread of the edge uses it.
    home: tokio::runtime::Id,
}

/// Bytes read from an instance and not used, with what came along.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    pub(crate) bytes: Buffer,
    pub(crate) passed: Ancillary,
}

/// What comes along with bytes over a unix socket.
#[derive(Debug, Default)]
pub(crate) struct Ancillary {
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Who sent the last bytes, as the kernel says: for threads of workers alone.
    pub(crate) sender: Option<Pid>,
}

impl Unread {
    /// There is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.passed.descriptors.is_empty()
    }
}

/// Requests for one thread of a worker: messages, each a whole frame. Both ends are here, so
/// that a request which the thread has not read yet can be taken back and given to another; the kernel
/// decides who gets it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    ours: OwnedFd,
    theirs: OwnedFd,
    /// The request of whoever has the thread is in, or was: another one may follow it. Answers come in the order
    /// in which requests were put in, so one that overtook it would get its answer.
    begun: AtomicBool,
}

/// Longest message of a mailbox, bytes. Must fit into the worker's buffer.
pub(crate) const MESSAGE_LIMIT: usize = 48 * 1024;

/// With the mailbox: this edge knows what a `MEMORY` frame is.
const READS_MEMORY: u8 = 1;

impl Mailbox {
    /// A new mailbox, of which the worker gets its end over `socket`. The byte says that its memory may be read.
    fn new(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let passed = [theirs.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&passed));
        sendmsg(
            socket,
            &[IoSlice::new(&[READS_MEMORY])],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )?;
        let begun = AtomicBool::new(false);
        Ok(Self {
            ours,
            theirs,
            begun,
        })
    }

    /// The thread is somebody's whose request is still to be put in.
    pub(super) fn reserve(&self) {
        self.begun.store(false, Ordering::Release);
    }

    /// Whether another request may be put in, behind that of whoever has the thread.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Put a frame in. An error: the worker takes no more.
    pub(crate) fn put(&self, frame: &[u8]) -> io::Result<()> {
        send(&self.ours, frame, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
        self.begun.store(true, Ordering::Release);
        Ok(())
    }

    /// Read the next one, as the worker does.
    #[cfg(test)]
    pub(super) fn read(&self) -> bool {
        let mut message = vec![0; MESSAGE_LIMIT];
        let read = recv(&self.theirs, message.as_mut_slice(), RecvFlags::DONTWAIT);
        matches!(read, Ok((_, length)) if length > 0)
    }

    /// Take this frame back, unless the worker has read it. A worker that has not had the processor may not have
    /// read the one before it either: that one stays, and this one behind it.
    pub(super) fn take_back(&self, frame: &[u8]) -> bool {
        // Behind this frame there is none: if it is the front, only the worker can be quicker.
        self.read_front(frame, RecvFlags::PEEK) == Some(true)
            && self.read_front(frame, RecvFlags::empty()) == Some(true)
    }

    /// The same when the one before it is for nobody any more: it goes, too.
    pub(super) fn take_back_all(&self, frame: &[u8]) -> bool {
        loop {
            match self.read_front(frame, RecvFlags::empty()) {
                Some(false) => {}
                found => return found.is_some(),
            }
        }
    }

    /// Read the message at the front: whether it is this frame. `None`: the worker has read all of them.
    fn read_front(&self, frame: &[u8], how: RecvFlags) -> Option<bool> {
        let mut front = vec![0; frame.len()];
        let how = how | RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        match recv(&self.theirs, front.as_mut_slice(), how) {
            Ok((_, length)) if length > 0 => Some(length == frame.len() && front == frame),
            _ => None,
        }
    }
}

impl Stream {
    /// Connect, on the calling thread's runtime.
    pub(crate) async fn connect(address: &Address, protocol: Protocol) -> io::Result<Self> {
        let socket: OwnedFd = match address {
            Address::Unix(path) => connect_unix(path)?,
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                stream.into_std()?.into()
            }
        };
        let mailbox = match protocol {
            Protocol::Frames => {
                set_socket_passcred(&socket, true)?;
                Some(Arc::new(Mailbox::new(socket.as_fd())?))
            }
            Protocol::Http | Protocol::Uwsgi => None,
        };
        Ok(Self {
            socket: register(socket)?,
            mailbox,
            unread: Unread::default(),
            home: tokio::runtime::Handle::current().id(),
        })
    }

    /// Make it usable on the calling thread's runtime.
    pub(crate) fn settle(self) -> io::Result<Self> {
        let here = tokio::runtime::Handle::current().id();
        if self.home == here {
            return Ok(self);
        }
        let Self {
            socket,
            mailbox,
            unread,
            ..
        } = self;
        Ok(Self {
            socket: register(socket.into_inner())?,
            mailbox,
            unread,
            home: here,
        })
    }

    /// Where requests go, for a worker's thread.
    pub(crate) fn mailbox(&self) -> Option<&Arc<Mailbox>> {
        self.mailbox.as_ref()
    }

    /// The other side has closed it, or has said something unasked. Asks the kernel.
    pub(crate) fn is_spoilt(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = recv(self.socket.get_ref(), &mut [0; 1], flags);
        !matches!(peeked, Err(rustix::io::Errno::WOULDBLOCK))
    }

    /// Whether what was sent last came to a side that was closed already: its kernel refused it, which tcp(7) tells in
    /// `SO_ERROR` although reading tells only the end. Asks the kernel, and the answer is there once.
    pub(crate) fn was_refused(&self) -> bool {
        let error = rustix::net::sockopt::socket_error(self.socket.get_ref());
        matches!(error, Ok(Err(_)))
    }

    /// The same, as far as the runtime was told. Costs a system call only when something happened to the connection.
    pub(crate) fn is_closed(&self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(mut guard)) = self.socket.poll_read_ready(&mut context) else {
            return false;
        };
        let mut byte = [0; 1];
        match recv(
            self.socket.get_ref(),
            &mut byte,
            RecvFlags::PEEK | RecvFlags::DONTWAIT,
        ) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                guard.clear_ready();
                false
            }
            // An idle connection has nothing to say: bytes are as wrong as its end.
            _ => true,
        }
    }

    /// Read, and keep what comes along. 0 is the end.
    pub(crate) fn poll_receive(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
        passed: &mut Ancillary,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.socket.poll_read_ready(context))?;
            let before = passed.descriptors.len();
            let received = match self.mailbox {
                Some(_) => receive(self.socket.as_fd(), buffer, passed),
                // Only Stead's own worker passes files; of anybody else the kernel closes them.
                None => recv(self.socket.get_ref(), &mut *buffer, RecvFlags::CMSG_CLOEXEC)
                    .map(|(length, _)| length),
            };
            match received {
                Err(rustix::io::Errno::WOULDBLOCK) => guard.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
                Ok(length) => {
                    // A short read has emptied the socket, unless it ended where descriptors were.
                    if length > 0 && length < buffer.len() && passed.descriptors.len() == before {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(length));
                }
            }
        }
    }

    /// Nothing more will be written.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        Ok(shutdown(self.socket.get_ref(), Shutdown::Write)?)
    }

    /// Write all of it.
    pub(crate) async fn send_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = std::future::poll_fn(|context| self.poll_send(context, bytes)).await?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// Write what the socket takes. A peer that is gone is an error, not a SIGPIPE.
    pub(crate) fn poll_send(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.socket.poll_write_ready(context))?;
            match send(self.socket.get_ref(), bytes, SendFlags::NOSIGNAL) {
                Err(rustix::io::Errno::WOULDBLOCK) => guard.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
                Ok(length) => return Poll::Ready(Ok(length)),
            }
        }
    }
}

/// A unix socket is connected at once or not at all: nothing is waited for, so the runtime need not know of it before it is.
fn connect_unix(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Let the calling thread's runtime watch it.
#[allow(unsafe_code)]
fn register(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and names the same description for as long as it lives, and nobody
    // else has it.
    unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)
}

/// One `recvmsg` with room for a few descriptors and the sender.
fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    passed: &mut Ancillary,
) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4), ScmCredentials(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(
        socket,
        &mut [IoSliceMut::new(buffer)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    for part in ancillary.drain() {
        match part {
            RecvAncillaryMessage::ScmRights(more) => passed.descriptors.extend(more),
            RecvAncillaryMessage::ScmCredentials(sender) => passed.sender = Some(sender.pid),
            _ => {}
        }
    }
    Ok(message.bytes)
}

#[cfg(test)]
mod tests;
