//! The head of a response as HEADERS and, when it is long, CONTINUATION frames. Their stream's number is left
//! open: the connection fills it in.

use super::encode;
use super::frame::{self, HEADER, PAYLOAD_LIMIT, flag, kind};
use crate::date;
use crate::response::append_number;
use crate::visitor::Output;

/// Write a head. `end`: no body follows.
pub(crate) fn append_head<'a>(
    output: &mut Output,
    status: u16,
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    length: Option<u64>,
    dated: bool,
    end: bool,
) {
    output.write_frames(|out| {
        let start = begin(out);
        encode::status(out, status);
        for (name, value) in headers {
            encode::field(out, name, value);
        }
        if let Some(length) = length {
            encode::short_field(out, b"content-length", |out| append_number(out, length));
        }
        if dated {
            encode::short_field(out, b"date", date::append_now);
        }
        finish(out, start, end);
    });
}

/// Write an interim response (RFC 9110 section 15.2).
pub(crate) fn append_interim<'a>(
    output: &mut Output,
    status: u16,
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) {
    output.write_frames(|out| {
        let start = begin(out);
        encode::status(out, status);
        for (name, value) in headers {
            encode::field(out, name, value);
        }
        finish(out, start, false);
    });
}

fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    start
}

/// The block that begins after the header at `start` is complete.
fn finish(out: &mut Vec<u8>, start: usize, end: bool) {
    let end_stream = if end { flag::END_STREAM } else { 0 };
    let length = out.len() - start - HEADER;
    if length <= PAYLOAD_LIMIT {
        let header = frame::header(length, kind::HEADERS, flag::END_HEADERS | end_stream, 0);
        out[start..start + HEADER].copy_from_slice(&header);
        return;
    }
    let block = out.split_off(start + HEADER);
    out.truncate(start);
    let count = block.len().div_ceil(PAYLOAD_LIMIT);
    for (index, piece) in block.chunks(PAYLOAD_LIMIT).enumerate() {
        let (kind, first) = match index {
            0 => (kind::HEADERS, end_stream),
            _ => (kind::CONTINUATION, 0),
        };
        let last = if index + 1 == count {
            flag::END_HEADERS
        } else {
            0
        };
        frame::append_header(out, piece.len(), kind, first | last, 0);
        out.extend_from_slice(piece);
    }
}

/// Fill in the number of the stream. `true`: the stream ends with these frames.
pub(crate) fn number(mut frames: &mut [u8], stream: u32) -> bool {
    let mut ends = false;
    while let Some(header) = frame::FrameHeader::parse(frames) {
        ends |= header.kind == kind::HEADERS && header.has(flag::END_STREAM);
        frames[5..HEADER].copy_from_slice(&stream.to_be_bytes());
        frames = &mut frames[HEADER + header.length..];
    }
    ends
}
