//! The one place that decides where a request's body ends (RFC 9112 section 6).

use super::{Refusal, refuse, tokens};

/// How a body ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// There is none.
    #[default]
    None,
    /// After this many bytes, at least one.
    Fixed(u64),
    /// With the last chunk.
    Chunked,
    /// With the stream of HTTP/2 that it comes on (RFC 9113 section 8.1).
    Open,
}

/// Decide from all headers of a request. What could be read in two ways is refused: both a length and
/// a transfer coding, two lengths (even equal ones), a coding other than a single `chunked`, a
/// coding in HTTP/1.0, a length that is not plain digits.
pub(super) fn decide<'a>(
    http11: bool,
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<BodyLength, Refusal> {
    let mut length = None;
    let mut chunked = false;
    for (name, value) in headers {
        if name.eq_ignore_ascii_case(b"content-length") {
            if length.is_some() {
                return Err(refuse(400, "more than one Content-Length"));
            }
            length = Some(parse_length(value).ok_or(refuse(400, "malformed Content-Length"))?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked {
                return Err(refuse(400, "more than one Transfer-Encoding"));
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                let known = tokens(value)
                    .last()
                    .is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
                return Err(refuse(
                    if known { 501 } else { 400 },
                    "transfer coding other than chunked",
                ));
            }
            chunked = true;
        } else if looks_like_framing(name) {
            return Err(refuse(
                400,
                "header that another program may read as framing",
            ));
        }
    }
    match (chunked, length) {
        (true, Some(_)) => Err(refuse(400, "both Content-Length and Transfer-Encoding")),
        (true, None) if !http11 => Err(refuse(400, "Transfer-Encoding in HTTP/1.0")),
        (true, None) => Ok(BodyLength::Chunked),
        (false, Some(0) | None) => Ok(BodyLength::None),
        (false, Some(length)) => Ok(BodyLength::Fixed(length)),
    }
}

/// `Content_Length`, `Transfer.Encoding` and the like become the real name in a CGI environment.
fn looks_like_framing(name: &[u8]) -> bool {
    let same = |wanted: &[u8]| {
        name.len() == wanted.len()
            && name.iter().zip(wanted).all(|(&byte, &want)| {
                byte.to_ascii_lowercase() == want || (want == b'-' && !byte.is_ascii_alphanumeric())
            })
    };
    same(b"content-length") || same(b"transfer-encoding")
}

/// Plain decimal digits, at most 18 of them.
pub(crate) fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        value
            .iter()
            .fold(0, |length, digit| length * 10 + u64::from(digit - b'0')),
    )
}
