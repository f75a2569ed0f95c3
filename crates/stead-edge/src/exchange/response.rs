//! The response on its way to the visitor, as the instance speaks it.

use std::io;
use std::task::{Context, Poll};

use super::from_frames::FrameDecoder;
use super::from_http::{HttpDecoder, Step};
use super::{BodyCoding, End, Exchange, Failure};
use crate::frames;
use crate::response::Response;
use crate::upstream::Unread;
use crate::visitor::Output;

/// Pieces, of up to 32 KB each, that are compressed for one visitor before others have their turn.
const CODED_AT_ONCE: u32 = 4;

/// Descriptors that an instance may pass before it sends what is in them.
const DESCRIPTOR_LIMIT: usize = 8;

/// How the response is read.
#[derive(Debug)]
pub(crate) enum Decoder {
    /// As frames of the worker protocol.
    Frames(FrameDecoder),
    /// As HTTP/1.
    Http(HttpDecoder),
}

impl Decoder {
    /// For an instance of Stead's own worker.
    pub(crate) fn frames() -> Self {
        Self::Frames(FrameDecoder::default())
    }

    /// There is something to be read that does not come over the connection.
    pub(crate) fn has_more(&self) -> bool {
        matches!(self, Self::Frames(decoder) if decoder.has_more())
    }

    /// What the instance is to be told; once.
    pub(crate) fn take_word(&mut self) -> Option<[u8; frames::HEADER]> {
        match self {
            Self::Frames(decoder) => decoder.take_word(),
            Self::Http(_) => None,
        }
    }

    /// For a probe: read what there is. `true`: the response is complete. An app that failed is a 500, as
    /// visitors would see it.
    pub(crate) fn decode_whole(
        &mut self,
        received: &mut Unread,
        ended: bool,
        response: &mut Response<'_>,
        output: &mut Output,
    ) -> Result<bool, String> {
        let result = match self {
            Self::Frames(decoder) => decoder.decode(received, response, output),
            Self::Http(decoder) => decoder
                .decode(&mut received.bytes, ended, response, output)
                .map(|step| step == Step::Complete),
        };
        match result {
            Ok(complete) => Ok(complete),
            Err(Failure::AppFailed) => {
                response.status = 500;
                Ok(true)
            }
            Err(Failure::Broken(why)) => Err(why),
            Err(_) => Err("its answer cannot be read".into()),
        }
    }
}

impl Exchange<'_, '_> {
    pub(super) fn receive(
        &mut self,
        context: &mut Context<'_>,
        progress: &mut bool,
    ) -> Result<Option<End>, Failure> {
        while !self.state.complete && !self.visitor.output.is_full() {
            let limit = match &self.decoder {
                Decoder::Frames(decoder) => decoder.room(),
                Decoder::Http(decoder) => decoder.room(),
            };
            if !std::mem::replace(&mut self.state.looked, true) && !self.received.is_empty() {
                *progress = true;
                if self.decode(false)? {
                    return Ok(Some(End::Upgraded));
                }
                continue;
            }
            if let Decoder::Frames(decoder) = &self.decoder
                && decoder.has_more()
            {
                *progress = true;
                self.decode(false)?;
                if self.yields(context) {
                    return Ok(None);
                }
                if self.state.complete || self.visitor.output.held() > 0 {
                    break;
                }
                continue;
            }
            let Some(room) = self.received.bytes.room(limit) else {
                return Err(Failure::Broken("its answer's head is too long".into()));
            };
            let length = match self
                .stream
                .poll_receive(context, room, &mut self.received.passed)
            {
                Poll::Pending => {
                    self.received.bytes.rest();
                    if self.response.is_coded() {
                        self.response.flush(&mut self.visitor.output);
                    }
                    return Ok(None);
                }
                Poll::Ready(Ok(length)) => length,
                Poll::Ready(Err(error)) => return Err(self.closed(Some(&error))),
            };
            *progress = true;
            self.received.bytes.filled(length);
            let upgraded = self.decode(length == 0)?;
            if upgraded {
                if !self.state.body_ended || !self.request.is_empty() || self.state.deaf {
                    return Err(Failure::Broken(
                        "it switched protocols before it had the request".into(),
                    ));
                }
                return Ok(Some(End::Upgraded));
            }
            if self.received.passed.descriptors.len() > DESCRIPTOR_LIMIT {
                return Err(Failure::Broken(
                    "it passes files that it does not send".into(),
                ));
            }
            if self.state.complete {
                break;
            }
            if length == 0 {
                return Err(self.closed(None));
            }
            if self.yields(context) {
                return Ok(None);
            }
            if self.visitor.output.held() > 0 {
                // Show the visitor what there is before more is read.
                break;
            }
        }
        if !self.state.complete {
            return Ok(None);
        }
        if !self.body.is_done() {
            // What the visitor still sends of the body must not be taken for the next request.
            self.response.close();
        }
        if !self.state.body_ended {
            // The app did not want the rest of the body.
            self.state.body_ended = true;
            if self.coding == BodyCoding::Frames {
                self.request
                    .extend_from_slice(&frames::header(frames::request::ABORT, 0));
            } else {
                self.state.deaf = true;
            }
        }
        self.send(context, progress)?;
        if self.request.is_empty() || self.state.deaf {
            let whole = !self.state.deaf;
            let persistent = match &self.decoder {
                Decoder::Frames(_) => true,
                Decoder::Http(decoder) => decoder.keeps_alive() && self.received.is_empty(),
            };
            let reusable = whole && persistent;
            return Ok(Some(match self.state.app_failed {
                true => End::AppFailed { reusable },
                false => End::Complete { reusable },
            }));
        }
        Ok(None)
    }

    /// To compress takes time. After some of it other visitors have their turn; then this one goes on.
    pub(super) fn yields(&mut self, context: &mut Context<'_>) -> bool {
        if !self.response.is_coded() {
            return false;
        }
        self.state.coded += 1;
        self.state.yielded = self.state.coded.is_multiple_of(CODED_AT_ONCE);
        if self.state.yielded {
            context.waker().wake_by_ref();
        }
        self.state.yielded
    }

    pub(super) fn decode(&mut self, ended: bool) -> Result<bool, Failure> {
        let output = &mut self.visitor.output;
        match &mut self.decoder {
            Decoder::Frames(decoder) => {
                let decoded = decoder.decode(&mut self.received, self.response, output);
                if let Some(word) = decoder.take_word() {
                    self.request.extend_from_slice(&word);
                }
                // The next request may be in the thread's mailbox already: its answer comes over this connection.
                self.state.app_failed = matches!(decoded, Err(Failure::AppFailed));
                self.state.complete = self.state.app_failed || decoded?;
                Ok(false)
            }
            Decoder::Http(decoder) => {
                let step =
                    decoder.decode(&mut self.received.bytes, ended, self.response, output)?;
                self.state.complete = step == Step::Complete;
                Ok(step == Step::Upgraded)
            }
        }
    }

    pub(super) fn closed(&self, error: Option<&io::Error>) -> Failure {
        // A reset is the end of a connection on which something was left unread.
        let ended = error.is_none_or(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            )
        });
        let spoken = match &self.decoder {
            Decoder::Frames(decoder) => decoder.has_spoken(),
            Decoder::Http(decoder) => decoder.has_spoken(),
        };
        if !self.response.has_begun() && self.received.is_empty() && ended && !spoken {
            return match error {
                Some(_) => Failure::Unread,
                None => Failure::Closed,
            };
        }
        match error {
            Some(error) => Failure::CutOff(format!("its connection failed: {error}")),
            None => {
                Failure::CutOff("it closed the connection before its answer was complete".into())
            }
        }
    }
}
