//! The visitor's request target, read in exactly one way.
//!
//! Routing and static folders look at the *decoded* path that [`clean`] returns. Apps get the
//! path exactly as the visitor sent it. These two must never mean different things: a request
//! that was routed as `/static/…` must not be `/admin` to the app behind it. Hence:
//!
//! - A path with a dot segment is refused (400) and not resolved. Browsers, curl and every client
//!   that follows RFC 3986 §5.2.4 resolve them before sending; who sends one tries something.
//!   Dot segments are looked for in every form that some server resolves: `..`, `%2e%2e`,
//!   `..%2f`, `..\`, `..;x` and all these encoded twice.
//! - An encoded slash separates segments for routing, as it does in PEP 3333's `PATH_INFO`, so
//!   that `/admin%2Fx` takes the route of `/admin`. No file is ever found by it.
//! - Repeated slashes count as one for routing (as in nginx, where most rules were learnt), so that
//!   `//admin` takes the route of `/admin` and not that of `/`.
//!
//! What is left has one meaning after one decoding: the same segments in the same order.

use std::borrow::Cow;

/// A request target (RFC 9112 §3.2) in its parts, as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestTarget<'a> {
    /// Of an absolute-form target; it replaces the Host header (RFC 9112 §3.2.2).
    pub(crate) authority: Option<&'a [u8]>,
    /// Begins with `/`, or is `*` alone for `OPTIONS *`.
    pub(crate) path: &'a [u8],
    /// Without its question mark.
    pub(crate) query: Option<&'a [u8]>,
}

/// A decoded path: begins with `/`, has no dot segments, no empty segments but the last, no NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CleanPath<'a> {
    /// Decoded once. Borrowed when there was nothing to decode.
    pub(crate) bytes: Cow<'a, [u8]>,
    /// It holds a byte that cannot be meant by a file's name: an encoded slash or a backslash.
    pub(crate) never_a_file: bool,
}

/// Why a target is refused. All are answered 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Neither origin-form, absolute-form nor `*`.
    Form,
    /// A `%` without two hexadecimal digits after it.
    Percent,
    /// A byte that no target may hold: a control byte, a space, `#`, or an encoded NUL.
    Byte,
    /// `.` or `..` as a segment, in any encoding.
    DotSegment,
}

impl Refusal {
    /// For the log; a visitor sees the error page of 400.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Refusal::Form => "the request target is neither a path nor a URL",
            Refusal::Percent => "the path has a broken percent-encoding",
            Refusal::Byte => "the request target has a byte that is not allowed in it",
            Refusal::DotSegment => "the path has a dot segment",
        }
    }
}

/// Take a target apart: `/path?query`, `http://host/path?query` or `*`. The authority-form of
/// CONNECT is refused: the edge is no forward proxy.
pub(crate) fn split(target: &[u8]) -> Result<RequestTarget<'_>, Refusal> {
    if target
        .iter()
        .any(|&byte| byte <= b' ' || byte == 0x7f || byte == b'#')
    {
        return Err(Refusal::Byte);
    }
    if target == b"*" {
        return Ok(RequestTarget {
            authority: None,
            path: target,
            query: None,
        });
    }
    if target.first() == Some(&b'/') {
        let (path, query) = split_query(target);
        return Ok(RequestTarget {
            authority: None,
            path,
            query,
        });
    }
    let rest = strip_prefix_ignoring_case(target, b"http://")
        .or_else(|| strip_prefix_ignoring_case(target, b"https://"))
        .ok_or(Refusal::Form)?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    // User information is deprecated in http URLs and a way to deceive (RFC 9110 §4.2.4).
    if authority.is_empty() || authority.iter().any(|byte| matches!(byte, b'@' | b'\\')) {
        return Err(Refusal::Form);
    }
    let (path, query) = split_query(rest);
    let path = if path.is_empty() { b"/" } else { path };
    Ok(RequestTarget {
        authority: Some(authority),
        path,
        query,
    })
}

fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target) {
        Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
        None => (target, None),
    }
}

fn strip_prefix_ignoring_case<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Decode the path of a [`RequestTarget`] for routing and for static folders.
pub(crate) fn clean(path: &[u8]) -> Result<CleanPath<'_>, Refusal> {
    if path.first() != Some(&b'/') {
        return Err(Refusal::Form);
    }
    if is_plain(path) {
        return Ok(CleanPath {
            bytes: Cow::Borrowed(path),
            never_a_file: false,
        });
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut never_a_file = false;
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let byte = match first {
            b'%' => {
                let (byte, after) = decode_escape(after).ok_or(Refusal::Percent)?;
                rest = after;
                never_a_file |= byte == b'/';
                byte
            }
            b'#' | b'?' | 0..=b' ' | 0x7f => return Err(Refusal::Byte),
            byte => byte,
        };
        match byte {
            0 => return Err(Refusal::Byte),
            b'/' if decoded.last() == Some(&b'/') => continue,
            b'\\' => never_a_file = true,
            _ => {}
        }
        decoded.push(byte);
    }
    if has_dot_segment(&decoded) {
        return Err(Refusal::DotSegment);
    }
    // Some programs decode twice; what is a dot segment to them is none to us.
    if decoded.contains(&b'%') && has_dot_segment(&decode_leniently(&decoded)) {
        return Err(Refusal::DotSegment);
    }
    Ok(CleanPath {
        bytes: Cow::Owned(decoded),
        never_a_file,
    })
}

/// What follows the first `length` bytes of the clean path, in the path as it was sent: nothing, or it begins with
/// exactly one slash. A backslash is encoded, which browsers take for a slash. `path` was accepted by [`clean`].
pub(crate) fn after(path: &[u8], length: usize) -> Vec<u8> {
    let (mut at, mut seen, mut after_slash) = (0, 0, false);
    let one = |at: usize| match path.get(at..) {
        Some([b'%', rest @ ..]) => decode_escape(rest).map_or((b'%', 1), |(byte, _)| (byte, 3)),
        Some([byte, ..]) => (*byte, 1),
        _ => (0, 0),
    };
    while at < path.len() {
        let (byte, width) = one(at);
        let repeated = byte == b'/' && after_slash;
        if seen == length && !repeated {
            break;
        }
        if !repeated {
            seen += 1;
        }
        after_slash = byte == b'/';
        at += width;
    }
    let mut rest = Vec::with_capacity(path.len() - at + 1);
    while at < path.len() && one(at).0 == b'/' {
        at += one(at).1;
        if rest.is_empty() {
            rest.push(b'/');
        }
    }
    for &byte in &path[at..] {
        match byte {
            b'\\' => rest.extend_from_slice(b"%5C"),
            _ => rest.push(byte),
        }
    }
    rest
}

/// Most paths: nothing to decode, to merge or to refuse.
fn is_plain(path: &[u8]) -> bool {
    let mut after_slash = false;
    path.iter().all(|&byte| {
        let plain = match byte {
            b'%' | b'\\' | b'#' | b'?' | 0..=b' ' | 0x7f => false,
            b'/' | b'.' => !after_slash,
            _ => true,
        };
        after_slash = byte == b'/';
        plain
    })
}

/// The two digits after a `%`, and what follows them.
fn decode_escape(after: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, rest @ ..] = after else {
        return None;
    };
    Some((hexadecimal(*high)? << 4 | hexadecimal(*low)?, rest))
}

fn hexadecimal(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn decode_leniently(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        match decode_escape(after).filter(|_| first == b'%') {
            Some((byte, after)) => {
                decoded.push(byte);
                rest = after;
            }
            None => {
                decoded.push(first);
                rest = after;
            }
        }
    }
    decoded
}

/// Segments end at a slash, at a backslash (Windows servers) and at a semicolon (Java servers).
fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|byte| matches!(byte, b'/' | b'\\'))
        .any(|segment| {
            let name = segment
                .split(|&byte| byte == b';')
                .next()
                .unwrap_or(segment);
            matches!(name, b"." | b"..")
        })
}

/// Encode a decoded path for a `Location` header. Everything that RFC 3986 §3.3 does not allow in a
/// path is encoded; a backslash too, which browsers take for a slash.
pub(crate) fn encode(path: &[u8], text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in path {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'/'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b'!'
            | b'$'
            | b'&'
            | b'\''
            | b'('
            | b')'
            | b'*'
            | b'+'
            | b','
            | b';'
            | b'='
            | b':'
            | b'@' => {
                text.push(char::from(byte));
            }
            _ => {
                text.push('%');
                text.push(char::from(DIGITS[usize::from(byte >> 4)]));
                text.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
}

#[cfg(test)]
mod tests;
