//! A connection after 101 Switching Protocols: bytes pass both ways as they are, each side's end is
//! passed on, and no buffer is held while nothing comes.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::buffer::{Buffer, SIZE};
use crate::deadline::Deadline;
use crate::upstream::{Ancillary, Stream};
use crate::visitor::Visitor;

/// How long one side may be silent once the other has ended. Most of these have forgotten the connection,
/// and an instance that is to be stopped would wait for them.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Pass bytes on until both sides have ended or one fails. `received` starts with the head of the 101.
/// While both sides are there, nothing is too long a silence.
pub(crate) async fn run(
    visitor: &mut Visitor,
    stream: &Stream,
    received: Buffer,
    deadline: &mut Deadline,
) -> Passed {
    let mut tunnel = Tunnel {
        received,
        passed: Passed::default(),
        upstream_ended: false,
        visitor_done: false,
        upstream_done: false,
    };
    // Either side's failure ends it; nobody is left to tell.
    let _ = std::future::poll_fn(|context| tunnel.poll(context, visitor, stream, deadline)).await;
    tunnel.passed
}

/// Bytes that were passed on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passed {
    /// From the visitor.
    pub(crate) received: u64,
    /// To the visitor, with the head of the 101.
    pub(crate) sent: u64,
}

struct Tunnel {
    received: Buffer,
    passed: Passed,
    upstream_ended: bool,
    /// The visitor's end was passed on.
    visitor_done: bool,
    /// The instance's end was passed on.
    upstream_done: bool,
}

impl Tunnel {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        visitor: &mut Visitor,
        stream: &Stream,
        deadline: &mut Deadline,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut progress = false;
            self.feed_instance(context, visitor, stream, &mut progress)?;
            self.feed_visitor(context, visitor, stream, &mut progress)?;
            if self.visitor_done && self.upstream_done {
                return Poll::Ready(Ok(()));
            }
            let last_words = self.visitor_done || self.upstream_done;
            if progress && last_words {
                deadline.set(LAST_WORDS);
            } else if !progress && last_words {
                let late = |()| Err(io::ErrorKind::TimedOut.into());
                return deadline.poll(context).map(late);
            } else if !progress {
                return Poll::Pending;
            }
        }
    }

    fn feed_instance(
        &mut self,
        context: &mut Context<'_>,
        visitor: &mut Visitor,
        stream: &Stream,
        progress: &mut bool,
    ) -> io::Result<()> {
        if visitor.input.is_empty() && !visitor.ended {
            match visitor.poll_fill(context, SIZE) {
                Poll::Pending => return Ok(()),
                Poll::Ready(result) => {
                    result?;
                    *progress = true;
                }
            }
        }
        while !visitor.input.is_empty() {
            let Poll::Ready(sent) = stream.poll_send(context, visitor.input.data()) else {
                return Ok(());
            };
            let sent = sent?;
            self.passed.received += sent as u64;
            visitor.input.consume(sent);
            *progress = true;
        }
        visitor.input.rest();
        if visitor.ended && !self.visitor_done {
            self.visitor_done = true;
            *progress = true;
            stream.shutdown_write()?;
        }
        Ok(())
    }

    fn feed_visitor(
        &mut self,
        context: &mut Context<'_>,
        visitor: &mut Visitor,
        stream: &Stream,
        progress: &mut bool,
    ) -> io::Result<()> {
        if self.received.is_empty() && !self.upstream_ended {
            let Some(room) = self.received.room(SIZE) else {
                return Ok(());
            };
            match stream.poll_receive(context, room, &mut Ancillary::default()) {
                Poll::Pending => {
                    self.received.rest();
                    return Ok(());
                }
                Poll::Ready(length) => {
                    let length = length?;
                    self.received.filled(length);
                    self.upstream_ended = length == 0;
                    *progress = true;
                }
            }
        }
        while !self.received.is_empty() {
            let Poll::Ready(sent) = visitor.poll_write(context, self.received.data()) else {
                return Ok(());
            };
            let sent = sent?;
            self.passed.sent += sent as u64;
            self.received.consume(sent);
            *progress = true;
        }
        self.received.rest();
        if self.upstream_ended && !self.upstream_done {
            let Poll::Ready(done) = visitor.transport.poll_shutdown(context) else {
                return Ok(());
            };
            done?;
            self.upstream_done = true;
            *progress = true;
        }
        Ok(())
    }
}
