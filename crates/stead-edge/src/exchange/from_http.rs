//! Responses in HTTP/1, from a server that an app brings along (RFC 9112 sections 4 and 6.3).

use std::mem::MaybeUninit;

use super::Failure;
use crate::buffer::{Buffer, SIZE};
use crate::chunked;
use crate::head::{end_of_head, parse_length, tokens};
use crate::response::{Malformed, Response, append_number};
use crate::visitor::Output;

/// Longest head of a response, bytes.
const HEAD_LIMIT: usize = 256 * 1024;
/// Most header lines of a response.
const HEADER_LIMIT: usize = 256;

/// Over HTTP/2 any 2xx would open the tunnel, which this is not.
const NOT_SWITCHED: Malformed = Malformed("an answer in place of the upgrade");

/// Reads a response, whatever the pieces it comes in.
#[derive(Debug)]
pub(crate) struct HttpDecoder {
    place: Place,
    /// HEAD: no body follows.
    is_head: bool,
    /// The visitor asked for an upgrade.
    may_upgrade: bool,
    keep_alive: bool,
    /// An interim answer came: the server has the request.
    has_spoken: bool,
}

#[derive(Debug)]
enum Place {
    Head,
    Length(u64),
    Chunked(chunked::Decoder),
    Close,
    Complete,
}

/// What was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    More,
    Complete,
    Upgraded,
}

impl HttpDecoder {
    pub(crate) fn new(is_head: bool, may_upgrade: bool) -> Self {
        Self {
            place: Place::Head,
            is_head,
            may_upgrade,
            keep_alive: false,
            has_spoken: false,
        }
    }

    pub(super) fn room(&self) -> usize {
        if matches!(self.place, Place::Head) {
            HEAD_LIMIT
        } else {
            SIZE
        }
    }

    /// After the response the connection can take another request.
    pub(super) fn keeps_alive(&self) -> bool {
        self.keep_alive
    }

    /// An interim answer came, so the server has seen the request.
    pub(super) fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    /// Read what there is. `ended`: nothing more will come.
    pub(super) fn decode(
        &mut self,
        received: &mut Buffer,
        ended: bool,
        response: &mut Response<'_>,
        output: &mut Output,
    ) -> Result<Step, Failure> {
        loop {
            let data = received.data();
            match &mut self.place {
                Place::Head => match self.head(data, response, output) {
                    Ok(None) => return Ok(Step::More),
                    Ok(Some((used, upgraded))) => {
                        received.consume(used);
                        if upgraded {
                            return Ok(Step::Upgraded);
                        }
                    }
                    Err(NOT_SWITCHED) => return Err(Failure::NotSwitched),
                    Err(Malformed(why)) => return Err(Failure::Broken(why.into())),
                },
                Place::Length(left) => {
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                    *left -= take as u64;
                    let done = *left == 0;
                    response.body(output, &data[..take]);
                    received.consume(take);
                    if !done {
                        return Ok(Step::More);
                    }
                    self.place = Place::Complete;
                }
                Place::Chunked(decoder) => match decoder.step(data) {
                    Ok(chunked::Step::Skip(length)) => received.consume(length),
                    Ok(chunked::Step::Data(length)) => {
                        response.body(output, &data[..length]);
                        received.consume(length);
                    }
                    Ok(chunked::Step::More) => return Ok(Step::More),
                    Ok(chunked::Step::Done) => self.place = Place::Complete,
                    Err(chunked::Malformed) => {
                        return Err(Failure::Broken("malformed chunks".into()));
                    }
                },
                Place::Close => {
                    response.body(output, data);
                    let length = data.len();
                    received.consume(length);
                    if !ended {
                        return Ok(Step::More);
                    }
                    self.place = Place::Complete;
                }
                Place::Complete => {
                    return if response.end(output) {
                        Ok(Step::Complete)
                    } else {
                        Err(Failure::Broken(
                            "its answer is shorter than its Content-Length".into(),
                        ))
                    };
                }
            }
        }
    }

    /// The head, once it is whole: how many bytes it took, and whether it is the 101 of an upgrade.
    fn head(
        &mut self,
        data: &[u8],
        response: &mut Response<'_>,
        output: &mut Output,
    ) -> Result<Option<(usize, bool)>, Malformed> {
        let Ok(end) = end_of_head(data) else {
            return Err(Malformed("a line in its head that does not end in CR LF"));
        };
        let Some(used) = end else {
            return Ok(None);
        };
        let mut headers = [const { MaybeUninit::uninit() }; HEADER_LIMIT];
        let mut parsed = httparse::Response::new(&mut []);
        let parser = httparse::ParserConfig::default();
        let result =
            parser.parse_response_with_uninit_headers(&mut parsed, &data[..used], &mut headers);
        if result != Ok(httparse::Status::Complete(used)) {
            return Err(Malformed("a malformed head"));
        }
        let code = parsed.code.unwrap_or(0);
        let pairs = parsed
            .headers
            .iter()
            .map(|header| (header.name.as_bytes(), header.value));
        if code == 101 {
            if !self.may_upgrade {
                return Err(Malformed("an upgrade that nobody asked for"));
            }
            let upgrade = |(name, value): (&[u8], &[u8])| {
                name.eq_ignore_ascii_case(b"upgrade") && !value.is_empty()
            };
            if !pairs.clone().any(upgrade) {
                return Err(Malformed("an upgrade to a protocol that it does not name"));
            }
            let used = if response.switch(output, pairs)? {
                used
            } else {
                0
            };
            return Ok(Some((used, true)));
        }
        if response.is_to_tunnel() && (200..300).contains(&code) {
            return Err(NOT_SWITCHED);
        }
        let reason = parsed.reason.unwrap_or("").as_bytes();
        let mut status = Vec::with_capacity(reason.len() + 8);
        append_number(&mut status, code.into());
        status.push(b' ');
        status.extend_from_slice(reason);
        if (100..200).contains(&code) {
            self.has_spoken = true;
            response.interim(output, &status, pairs)?;
            return Ok(Some((used, false)));
        }
        let (mut length, mut coded, mut close, mut keep) = (None, false, false, false);
        for (name, value) in pairs.clone() {
            if name.eq_ignore_ascii_case(b"content-length") {
                let value = parse_length(value.trim_ascii())
                    .ok_or(Malformed("malformed Content-Length"))?;
                if length.is_some_and(|before| before != value) {
                    return Err(Malformed("two different Content-Length headers"));
                }
                length = Some(value);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                if coded || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Malformed("a transfer coding other than chunked"));
                }
                coded = true;
            } else if name.eq_ignore_ascii_case(b"connection") {
                for token in tokens(value) {
                    close |= token.eq_ignore_ascii_case(b"close");
                    keep |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        if coded && length.is_some() {
            return Err(Malformed("both Content-Length and Transfer-Encoding"));
        }
        let http11 = parsed.version == Some(1);
        if coded && !http11 {
            // RFC 9112 section 6.1: its framing is faulty whatever it says.
            return Err(Malformed("Transfer-Encoding in HTTP/1.0"));
        }
        // An answer that has no body may nevertheless be followed by one (RFC 9110 section 15.3.5).
        let contradicts = code == 204 && (coded || length.is_some_and(|length| length > 0));
        self.place = if self.is_head || matches!(code, 204 | 304) {
            Place::Complete
        } else if coded {
            Place::Chunked(chunked::Decoder::default())
        } else {
            match length {
                Some(0) => Place::Complete,
                Some(length) => Place::Length(length),
                None => Place::Close,
            }
        };
        self.keep_alive =
            !matches!(self.place, Place::Close) && !close && !contradicts && (http11 || keep);
        response.head(output, &status, pairs, None)?;
        Ok(Some((used, false)))
    }
}
