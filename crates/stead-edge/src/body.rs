//! A request's body as it comes from the visitor.

use crate::chunked::{self, Decoder, Step};
use crate::head::BodyLength;

/// Where a request's body is, between the visitor's bytes and the upstream.
#[derive(Debug)]
pub(crate) struct Body {
    length: Remaining,
    /// Bytes of content that may still come before the limit is passed.
    allowance: u64,
    /// Bytes of content that have come.
    received: u64,
}

#[derive(Debug)]
enum Remaining {
    Fixed(u64),
    Chunked(Decoder),
    /// Up to the end of the stream, which may have come.
    Open {
        ended: bool,
    },
}

/// Why a body cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// Longer than the route allows: 413.
    TooLarge,
    /// Its chunks cannot be understood: 400.
    Malformed,
}

impl From<chunked::Malformed> for BodyError {
    fn from(_: chunked::Malformed) -> Self {
        Self::Malformed
    }
}

impl Body {
    /// A body of that length, of which at most `limit` bytes are taken.
    pub(crate) fn new(length: BodyLength, limit: u64) -> Result<Self, BodyError> {
        let length = match length {
            BodyLength::None => Remaining::Fixed(0),
            BodyLength::Fixed(length) if length > limit => return Err(BodyError::TooLarge),
            BodyLength::Fixed(length) => Remaining::Fixed(length),
            BodyLength::Chunked => Remaining::Chunked(Decoder::default()),
            BodyLength::Open => Remaining::Open { ended: false },
        };
        Ok(Self {
            length,
            allowance: limit,
            received: 0,
        })
    }

    /// Nothing is left to come.
    pub(crate) fn is_done(&self) -> bool {
        match &self.length {
            Remaining::Fixed(left) => *left == 0,
            Remaining::Chunked(decoder) => decoder.is_done(),
            Remaining::Open { ended } => *ended,
        }
    }

    /// The visitor sends nothing more. `false`: the body is not complete.
    pub(crate) fn end(&mut self) -> bool {
        if let Remaining::Open { ended } = &mut self.length {
            *ended = true;
        }
        self.is_done()
    }

    /// Take content from the front of `input` into `take`, at most `room` bytes. Returns how many
    /// bytes of `input` are used up; more input is needed when the body is not done by then.
    pub(crate) fn take(
        &mut self,
        input: &[u8],
        room: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Result<usize, BodyError> {
        match &mut self.length {
            Remaining::Fixed(left) => {
                let length = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len())
                    .min(room);
                *left -= length as u64;
                self.received += length as u64;
                if length > 0 {
                    take(&input[..length]);
                }
                Ok(length)
            }
            Remaining::Chunked(decoder) => {
                let mut used = 0;
                let mut room = room;
                while room > 0 {
                    let rest = &input[used..];
                    // Framing lines need a window of their own size, so `room` is a soft bound.
                    match decoder.step(&rest[..rest.len().min(room.max(16 * 1024))])? {
                        Step::Skip(length) => used += length,
                        Step::Data(length) => {
                            self.allowance = self
                                .allowance
                                .checked_sub(length as u64)
                                .ok_or(BodyError::TooLarge)?;
                            self.received += length as u64;
                            take(&input[used..used + length]);
                            used += length;
                            room = room.saturating_sub(length);
                        }
                        Step::More | Step::Done => break,
                    }
                }
                Ok(used)
            }
            Remaining::Open { .. } => {
                let length = input.len().min(room);
                self.allowance = self
                    .allowance
                    .checked_sub(length as u64)
                    .ok_or(BodyError::TooLarge)?;
                if length > 0 {
                    take(&input[..length]);
                }
                Ok(length)
            }
        }
    }

    /// Bytes of content that have come so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// The exact number of bytes that are left, when that is known.
    pub(crate) fn known_length(&self) -> Option<u64> {
        match &self.length {
            Remaining::Fixed(left) => Some(*left),
            Remaining::Chunked(_) | Remaining::Open { .. } => None,
        }
    }
}
