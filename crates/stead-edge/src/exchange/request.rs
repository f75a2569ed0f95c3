//! The request on its way to the instance: what there is of it, then its body, piece by piece.

use std::task::{Context, Poll};

use super::{Exchange, Failure};
use crate::forward::BodyFraming;
use crate::frames;

/// Request body bytes taken in one go.
const BODY_PIECE: usize = 64 * 1024;

/// How the rest of the request's body goes to the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyCoding {
    /// As frames of the worker protocol.
    Frames,
    /// As HTTP (or uwsgi) says.
    Http(BodyFraming),
}

impl BodyCoding {
    pub(crate) fn append(self, out: &mut Vec<u8>, bytes: &[u8]) {
        match self {
            Self::Frames => frames::append_body(out, bytes),
            Self::Http(BodyFraming::Length(_)) => out.extend_from_slice(bytes),
            Self::Http(BodyFraming::Chunked) => {
                out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    pub(crate) fn append_end(self, out: &mut Vec<u8>) {
        match self {
            Self::Frames => out.extend_from_slice(&frames::header(frames::request::END, 0)),
            Self::Http(BodyFraming::Length(_)) => {}
            Self::Http(BodyFraming::Chunked) => out.extend_from_slice(b"0\r\n\r\n"),
        }
    }
}

impl Exchange<'_, '_> {
    pub(super) fn send(
        &mut self,
        context: &mut Context<'_>,
        progress: &mut bool,
    ) -> Result<(), Failure> {
        while self.state.sent < self.request.len() {
            match self
                .stream
                .poll_send(context, &self.request[self.state.sent..])
            {
                Poll::Pending => {
                    // Time in which the instance does not read is not the visitor's.
                    self.state.body_until = None;
                    return Ok(());
                }
                Poll::Ready(Ok(length)) => {
                    self.state.sent += length;
                    self.state.begun = true;
                    *progress = true;
                }
                Poll::Ready(Err(error)) if !self.state.begun => return Err(Failure::Unsent(error)),
                // It closed its reading side; what it says may still be read.
                Poll::Ready(Err(_)) => {
                    self.state.deaf = true;
                    self.state.body_ended = true;
                    break;
                }
            }
        }
        if !self.request.is_empty() {
            self.request.clear();
            self.state.sent = 0;
        }
        Ok(())
    }

    /// Put the next piece of the body into `request`, which is empty.
    pub(super) fn take_body(
        &mut self,
        context: &mut Context<'_>,
        progress: &mut bool,
    ) -> Result<(), Failure> {
        if let Some(reader) = &mut self.spooled {
            let Poll::Ready(piece) = reader.poll_next(context) else {
                return Ok(());
            };
            *progress = true;
            match piece.map_err(|_| Failure::Disk)? {
                Some(piece) => self.coding.append(self.request, piece),
                None => {
                    self.coding.append_end(self.request);
                    self.state.body_ended = true;
                }
            }
            return Ok(());
        }
        if self.visitor.input.is_empty() {
            match self.visitor.poll_fill(context, BODY_PIECE) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) if self.body.end() => {}
                Poll::Ready(Ok(0) | Err(_)) => return Err(Failure::Visitor),
                Poll::Ready(Ok(_)) => {}
            }
        }
        let (request, coding) = (&mut *self.request, self.coding);
        let used = self
            .body
            .take(self.visitor.input.data(), BODY_PIECE, |bytes| {
                coding.append(request, bytes)
            });
        let used = used.map_err(Failure::Body)?;
        if used == 0 && !self.body.is_done() {
            // A framing line that is not whole yet.
            match self.visitor.poll_fill(context, BODY_PIECE) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0) | Err(_)) => return Err(Failure::Visitor),
                Poll::Ready(Ok(_)) => *progress = true,
            }
            return Ok(());
        }
        *progress = true;
        self.visitor.input.consume(used);
        self.state.body_seen += used;
        if self.body.is_done() {
            self.coding.append_end(self.request);
            self.state.body_ended = true;
        }
        Ok(())
    }
}
