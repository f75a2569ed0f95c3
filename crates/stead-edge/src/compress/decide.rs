//! Which responses are compressed.

use crate::folder::{Encoding, choose, is_compressible};
use crate::head::{Head, tokens};
use crate::rules::edits::Field;

/// A body that is known to be smaller is sent as it is, bytes: it would hardly get smaller, and one packet holds it.
pub(crate) const SMALLEST: u64 = 1024;

/// In the order in which they are preferred: Zstandard needs a fifth of brotli's time for nearly the same size.
const PREFERRED: [Encoding; 3] = [Encoding::Zstandard, Encoding::Brotli, Encoding::Gzip];

/// What a request allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// `None`: the visitor wants none of ours.
    pub(crate) encoding: Option<Encoding>,
}

impl Choice {
    /// HTTP/1.0 knows no end but that of the connection, and says little of codings.
    pub(crate) fn of(head: &Head) -> Self {
        let may = (head.http11 || head.http2) && !forbids(head.header("cache-control"));
        let accept = head.header("accept-encoding").filter(|_| may);
        Self {
            encoding: choose(accept, PREFERRED.into_iter()),
        }
    }
}

fn forbids(cache_control: Option<&[u8]>) -> bool {
    cache_control
        .is_some_and(|value| tokens(value).any(|token| token.eq_ignore_ascii_case(b"no-transform")))
}

/// What becomes of one response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The body is coded.
    pub(crate) encoding: Option<Encoding>,
    /// Another visitor may get it coded: caches must know.
    pub(crate) varies: bool,
    /// Its entity tag is made weak: there is more than one representation.
    pub(crate) weakens: bool,
    /// The length that the head declares, when the body is coded.
    pub(crate) declared: Option<u64>,
}

impl Plan {
    /// `whole`: the body's length, if all of it is known already.
    pub(crate) fn of(
        choice: Choice,
        status: u16,
        headers: &[Field<'_>],
        whole: Option<u64>,
    ) -> Self {
        if status == 304 {
            // Which of the representations the visitor has, it does not say.
            return Self {
                varies: true,
                weakens: choice.encoding.is_some(),
                ..Self::default()
            };
        }
        // A part is one of the plain representation.
        if matches!(status, 204 | 206 | 226) {
            return Self::default();
        }
        let mut declared = None;
        let mut fits = false;
        for (name, value) in headers {
            let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
            match name.len() {
                6 if is("digest") => return Self::default(),
                11 if is("content-md5") || is("repr-digest") => return Self::default(),
                12 if is("content-type") => fits = is_type(value),
                13 if is("cache-control") && forbids(Some(value)) => return Self::default(),
                13 if is("content-range") => return Self::default(),
                14 if is("content-length") => {
                    declared = crate::head::parse_length(value.trim_ascii())
                }
                14 if is("content-digest") => return Self::default(),
                16 if is("content-encoding") => return Self::default(),
                _ => {}
            }
        }
        let length = declared.or(whole);
        if !fits || length.is_some_and(|length| length < SMALLEST) {
            return Self::default();
        }
        Self {
            encoding: choice.encoding,
            varies: true,
            weakens: choice.encoding.is_some(),
            declared: length,
        }
    }
}

impl Plan {
    /// Change the head accordingly. A weak entity tag is kept in `etag`.
    pub(crate) fn apply<'h>(&self, headers: &mut Vec<Field<'h>>, etag: &'h mut Vec<u8>) {
        let is = |name: &[u8], other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if self.weakens
            && let Some(at) = headers.iter().position(|(name, _)| is(name, "etag"))
            && !headers[at].1.starts_with(b"W/")
        {
            etag.extend_from_slice(b"W/");
            etag.extend_from_slice(headers[at].1);
            headers[at].1 = etag;
        }
        if let Some(encoding) = self.encoding {
            // Ranges would be those of the plain body.
            headers.retain(|(name, _)| !is(name, "content-length") && !is(name, "accept-ranges"));
            headers.push((b"Content-Encoding", encoding.name().as_bytes()));
        }
        let tells = |(name, value): &Field<'_>| {
            let names = |token: &[u8]| token == b"*" || is(token, "accept-encoding");
            is(name, "vary") && tokens(value).any(names)
        };
        if self.varies && !headers.iter().any(tells) {
            headers.push((b"Vary", b"Accept-Encoding"));
        }
    }
}

/// A type that gets smaller. A stream of events is none of them: it lasts for hours, and each of its visitors would
/// hold a compressor's memory.
pub(crate) fn is_type(value: &[u8]) -> bool {
    let essence = value.split(|byte| *byte == b';').next().unwrap_or(value);
    let Ok(essence) = std::str::from_utf8(essence.trim_ascii()) else {
        return false;
    };
    let essence = essence.to_ascii_lowercase();
    essence != "text/event-stream"
        && essence != "application/octet-stream"
        && (is_compressible(&essence) || essence.ends_with("javascript"))
}

#[cfg(test)]
mod tests;
