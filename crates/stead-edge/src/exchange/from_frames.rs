//! Responses in the frames of the worker protocol.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::Failure;
use super::memory::Memory;
use crate::buffer::{SIZE, Scratch};
use crate::frames::{HEADER, header, parse_header, request, response as kind};
use crate::response::{Malformed, Response};
use crate::upstream::{Ancillary, Unread};
use crate::visitor::Output;

/// Longest head of a response, bytes.
const HEAD_LIMIT: usize = 256 * 1024;

/// The status of `wsgi.early_hints` (RFC 8297).
const EARLY_HINTS: &[u8] = b"103 Early Hints";

/// Most headers of a response.
const MOST_HEADERS: usize = 128;

/// Reads frames, whatever the pieces they come in.
#[derive(Debug, Default)]
pub(crate) struct FrameDecoder {
    /// Bytes of the current body frame that did not come yet.
    body_left: usize,
    /// What of a file is still to be compressed: it cannot be sent by the kernel.
    file: Option<(File, u64, u64)>,
    /// What is still to be read from the worker's memory.
    memory: Option<Memory>,
    /// Some of it was.
    memory_begun: bool,
    /// What the worker waits to be told of its memory.
    word: Option<[u8; HEADER]>,
    /// The frame at the front of the buffer needs so many bytes to be read.
    wanted: usize,
    /// Early hints came: the app has the request.
    has_spoken: bool,
}

impl FrameDecoder {
    /// How many bytes the buffer must be able to hold.
    pub(super) fn room(&self) -> usize {
        self.wanted.max(SIZE)
    }

    /// Early hints came, so the app has seen the request.
    pub(super) fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    /// Pass over what there is of a response that is for nobody. `true`: its end was there. A frame that was an error
    /// to [`FrameDecoder::decode`] is still in front.
    pub(super) fn skip(&mut self, unread: &mut Unread) -> bool {
        self.file = None;
        if let Some(memory) = self.memory.take() {
            self.word = Some(header(request::MEMORY_READ, 0));
            if memory.is_last() {
                return true;
            }
        }
        let received = &mut unread.bytes;
        loop {
            let take = self.body_left.min(received.data().len());
            received.consume(take);
            self.body_left -= take;
            if self.body_left > 0 {
                return false;
            }
            let Some((frame, length)) = parse_header(received.data()) else {
                return false;
            };
            if frame == kind::MEMORY {
                let end = HEADER + length.min(HEAD_LIMIT);
                let Some(payload) = received.data().get(HEADER..end) else {
                    return false;
                };
                let last = payload.last() == Some(&1);
                received.consume(end);
                self.word = Some(header(request::MEMORY_READ, 0));
                if last {
                    return true;
                }
                continue;
            }
            received.consume(HEADER);
            self.body_left = length;
            if frame == kind::FILE && !unread.passed.descriptors.is_empty() {
                unread.passed.descriptors.remove(0);
            }
            if matches!(frame, kind::END | kind::ABORT) {
                return true;
            }
        }
    }

    /// There is something to be read that does not come over the connection.
    pub(super) fn has_more(&self) -> bool {
        self.file.is_some() || self.memory.is_some()
    }

    /// What the worker is to be told; once.
    pub(super) fn take_word(&mut self) -> Option<[u8; HEADER]> {
        self.word.take()
    }

    /// Pass on the next piece of the worker's memory. `true`: the response is complete.
    fn memory_piece(
        &mut self,
        response: &mut Response<'_>,
        output: &mut Output,
    ) -> Result<bool, Failure> {
        let Some(mut memory) = self.memory.take() else {
            return Ok(false);
        };
        let mut piece = Scratch::take();
        piece.0.resize(SIZE, 0);
        match memory.read(&mut piece.0) {
            Ok(length) => {
                self.memory_begun = true;
                response.body(output, &piece.0[..length]);
            }
            Err(_) if self.memory_begun => {
                self.memory = Some(memory);
                return Err(broken("its memory cannot be read"));
            }
            Err(_) => {
                // It comes as body frames then, with its end.
                self.word = Some(header(request::MEMORY_UNREADABLE, 0));
                return Ok(false);
            }
        }
        if !memory.is_done() {
            self.memory = Some(memory);
            return Ok(false);
        }
        let last = memory.is_last();
        if last && let Err(failure) = ended(response, output) {
            // As an END would be that is an error: it is still in front.
            self.memory = Some(memory);
            return Err(failure);
        }
        self.memory_begun = false;
        self.word = Some(header(request::MEMORY_READ, 0));
        Ok(last)
    }

    /// Compress the next piece of a file.
    fn file_piece(
        &mut self,
        response: &mut Response<'_>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let Some((file, offset, left)) = &mut self.file else {
            return Ok(());
        };
        let mut piece = vec![0; usize::try_from(*left).unwrap_or(SIZE).min(SIZE)];
        let length = file.read_at(&mut piece, *offset).unwrap_or(0);
        if length == 0 && *left > 0 {
            return Err(broken("a file is shorter than its answer says"));
        }
        response.body(output, &piece[..length]);
        *offset += length as u64;
        *left -= length as u64;
        if *left == 0 {
            self.file = None;
        }
        Ok(())
    }

    /// Read what there is. `true`: the response is complete.
    pub(super) fn decode(
        &mut self,
        unread: &mut Unread,
        response: &mut Response<'_>,
        output: &mut Output,
    ) -> Result<bool, Failure> {
        let Unread {
            bytes: received,
            passed: Ancillary {
                descriptors,
                sender,
            },
        } = unread;
        if self.memory.is_some() {
            let complete = self.memory_piece(response, output)?;
            if complete || self.memory.is_some() {
                return Ok(complete);
            }
        }
        if self.file.is_some() {
            self.file_piece(response, output)?;
            if self.file.is_some() {
                return Ok(false);
            }
        }
        loop {
            let data = received.data();
            if self.body_left > 0 {
                let take = self.body_left.min(data.len());
                response.body(output, &data[..take]);
                received.consume(take);
                self.body_left -= take;
                if self.body_left > 0 {
                    return Ok(false);
                }
                continue;
            }
            let Some((frame, length)) = parse_header(data) else {
                return Ok(false);
            };
            if frame == kind::BODY {
                received.consume(HEADER);
                self.body_left = length;
                continue;
            }
            if length > HEAD_LIMIT {
                return Err(broken("its answer's head is too long"));
            }
            let end = HEADER + length;
            let Some(payload) = data.get(HEADER..end) else {
                self.wanted = end;
                return Ok(false);
            };
            self.wanted = 0;
            match frame {
                kind::HEAD if !response.has_begun() => {
                    head(
                        payload,
                        whole_body(&data[end..]).filter(|_| !response.is_to_head()),
                        response,
                        output,
                    )
                    .map_err(|Malformed(why)| broken(why))?;
                }
                kind::HINTS if !response.has_begun() => {
                    self.has_spoken = true;
                    let pairs = Pairs::parse(payload.split(|&byte| byte == 0));
                    pairs
                        .and_then(|pairs| response.interim(output, EARLY_HINTS, pairs.iter()))
                        .map_err(|Malformed(why)| broken(why))?;
                }
                kind::FILE if response.has_begun() => {
                    let (offset, length) =
                        file(payload).ok_or_else(|| broken("a malformed frame"))?;
                    if descriptors.is_empty() {
                        return Err(broken("a file without its descriptor"));
                    }
                    let file = File::from(descriptors.remove(0));
                    if response.is_coded() {
                        received.consume(end);
                        self.file = Some((file, offset, length));
                        return Ok(false);
                    }
                    response.file(output, Arc::new(file), offset, length);
                }
                kind::MEMORY if response.has_begun() => {
                    let memory = sender.and_then(|owner| Memory::parse(payload, owner));
                    self.memory = Some(memory.ok_or_else(|| broken("a malformed frame"))?);
                    received.consume(end);
                    return Ok(false);
                }
                kind::END if response.has_begun() => {
                    ended(response, output)?;
                    received.consume(end);
                    return Ok(true);
                }
                kind::ABORT if !response.has_begun() => {
                    received.consume(end);
                    return Err(Failure::AppFailed);
                }
                kind::ABORT => return Err(broken("the app failed in the middle of its answer")),
                _ => return Err(broken("a frame of an unknown kind or out of order")),
            }
            received.consume(end);
        }
    }
}

/// The body is complete.
fn ended(response: &mut Response<'_>, output: &mut Output) -> Result<(), Failure> {
    if response.end(output) {
        Ok(())
    } else {
        Err(broken("its answer is shorter than its Content-Length"))
    }
}

fn broken(why: &str) -> Failure {
    Failure::Broken(why.to_owned())
}

fn head(
    payload: &[u8],
    whole: Option<u64>,
    response: &mut Response<'_>,
    output: &mut Output,
) -> Result<(), Malformed> {
    let mut parts = payload.split(|&byte| byte == 0);
    let status = parts.next().unwrap_or_default();
    response.head(output, status, Pairs::parse(parts)?.iter(), whole)
}

/// Names and values of headers.
struct Pairs<'a> {
    pairs: [(&'a [u8], &'a [u8]); MOST_HEADERS],
    count: usize,
}

impl<'a> Pairs<'a> {
    fn parse(mut parts: impl Iterator<Item = &'a [u8]> + Clone) -> Result<Self, Malformed> {
        if !parts.clone().count().is_multiple_of(2) {
            return Err(Malformed("a header without a value"));
        }
        let mut pairs: [(&[u8], &[u8]); MOST_HEADERS] = [(b"", b""); MOST_HEADERS];
        let mut count = 0;
        while let Some(name) = parts.next() {
            if count == MOST_HEADERS {
                return Err(Malformed("more headers than anybody needs"));
            }
            pairs[count] = (name, without_margins(parts.next().unwrap_or_default()));
            count += 1;
        }
        Ok(Self { pairs, count })
    }

    fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone {
        self.pairs[..self.count].iter().copied()
    }
}

/// A header's value without the white space around it, which frameworks leave there (Django before each of its
/// cookies): it is no part of the value (RFC 9110 section 5.5), and makes a response over HTTP/2 malformed (RFC
/// 9113 section 8.2.1).
fn without_margins(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The body's length, if everything up to its end is in `data` already.
fn whole_body(mut data: &[u8]) -> Option<u64> {
    let mut sum = 0_u64;
    loop {
        let (frame, length) = parse_header(data)?;
        match frame {
            kind::END => return Some(sum),
            kind::BODY => sum = sum.checked_add(length as u64)?,
            kind::MEMORY => {
                let (length, last) = memory_length(data.get(HEADER..HEADER + length)?)?;
                sum = sum.checked_add(length)?;
                if last {
                    return Some(sum);
                }
            }
            kind::FILE => {
                sum = file(data.get(HEADER..HEADER + length)?)?
                    .1
                    .checked_add(sum)?
            }
            _ => return None,
        }
        data = data.get(HEADER + length..)?;
    }
}

/// How long a piece of memory is, and whether the response ends with it.
fn memory_length(payload: &[u8]) -> Option<(u64, bool)> {
    let (length, last) = payload.get(8..)?.split_at_checked(8)?;
    Some((u64::from_le_bytes(length.try_into().ok()?), last == [1]))
}

/// Offset and length.
fn file(payload: &[u8]) -> Option<(u64, u64)> {
    let (offset, length) = payload.split_at_checked(8)?;
    Some((
        u64::from_le_bytes(offset.try_into().ok()?),
        u64::from_le_bytes(length.try_into().ok()?),
    ))
}

#[cfg(test)]
mod tests;
