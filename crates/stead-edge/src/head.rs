//! A request's head: parsed once, checked strictly, and then only read.
//!
//! Every byte that could be read in two ways is refused here, so that no upstream ever sees it
//! (RFC 9112). The head keeps its bytes; names, values and the target are ranges into them.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::net::Ipv6Addr;
use std::ops::Range;

use crate::path;

mod fields;
mod framing;
mod method;

pub(crate) use fields::{Fault, Fields, is_token, is_trailer};
pub(crate) use framing::{BodyLength, parse_length};

/// Longest head, bytes. Longer ones are answered 431.
pub(crate) const HEAD_LIMIT: usize = 32 * 1024;
/// Longest request target, bytes. Longer ones are answered 414.
const TARGET_LIMIT: usize = 16 * 1024;
/// Most header lines. More are answered 431.
const HEADER_LIMIT: usize = 100;

/// Heads that a thread keeps for later, and the largest of them, bytes.
const KEPT: usize = 128;
const KEPT_SIZE: usize = 4 * 1024;
/// What a head that is read piece by piece has room for at first: bytes, and lines.
const FIRST: (usize, usize) = (512, 16);

thread_local! {
    static POOL: RefCell<Vec<Head>> = const { RefCell::new(Vec::new()) };
}

/// One header line, as ranges into [`Head::bytes`].
#[derive(Clone, Debug)]
struct Line {
    name: Range<u16>,
    value: Range<u16>,
}

/// A request's head. Its memory is lent by the thread, so that a head costs no allocation and an idle
/// connection has none.
#[derive(Debug, Default)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    method: Range<u16>,
    target: Range<u16>,
    path: Range<u16>,
    query: Option<Range<u16>>,
    host: Range<u16>,
    lines: Vec<Line>,
    /// HTTP/1.1, or HTTP/2, rather than 1.0.
    pub(crate) http11: bool,
    /// HTTP/2.
    pub(crate) http2: bool,
    /// An extended CONNECT (RFC 8441), which reads as the upgrade that it is over HTTP/1.1.
    pub(crate) tunnel: bool,
    /// How the body ends.
    pub(crate) body: BodyLength,
    /// The visitor wants to send another request on this connection.
    pub(crate) keep_alive: bool,
    /// `Expect: 100-continue`.
    pub(crate) expects_continue: bool,
    /// `Upgrade`, named by `Connection` too.
    pub(crate) upgrade: bool,
}

/// Why a head is refused; the connection is closed after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status code of the answer.
    pub(crate) status: u16,
    /// For the access log.
    pub(crate) why: &'static str,
}

const fn refuse(status: u16, why: &'static str) -> Refusal {
    Refusal { status, why }
}

/// What `Head::parse` found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// The head is complete and took this many bytes.
    Complete(usize),
    /// More bytes are needed.
    Partial,
}

impl Head {
    /// Parse the head at the start of `input`.
    pub(crate) fn parse(&mut self, input: &[u8]) -> Result<Parsed, Refusal> {
        self.clear();
        // Empty lines before the request line may come from old clients (RFC 9112 section 2.2).
        let skip = leading_empty_lines(input);
        let text = &input[skip..];
        let Some(length) = end_of_head(text)? else {
            return if text.len() > HEAD_LIMIT {
                Err(refuse(too_long(text), "head too long"))
            } else {
                Ok(Parsed::Partial)
            };
        };
        if length > HEAD_LIMIT {
            return Err(refuse(too_long(text), "head too long"));
        }
        self.bytes.extend_from_slice(&text[..length]);
        self.read_lines()?;
        self.read_target()?;
        self.decide()?;
        Ok(Parsed::Complete(skip + length))
    }

    /// Give the memory back to the thread: the visitor may be idle for long.
    pub(crate) fn rest(&mut self) {
        let used = std::mem::take(self);
        if (1..=KEPT_SIZE).contains(&used.bytes.capacity()) {
            POOL.with_borrow_mut(|pool| {
                if pool.len() < KEPT {
                    pool.push(used);
                }
            });
        }
    }

    /// Make it an empty one, with the memory of one that was used before.
    fn clear(&mut self) {
        if self.bytes.capacity() == 0
            && let Some(kept) = POOL.with_borrow_mut(Vec::pop)
        {
            *self = kept;
        }
        self.bytes.clear();
        self.lines.clear();
        self.lines.reserve(FIRST.1);
        self.query = None;
        self.body = BodyLength::None;
        (self.http11, self.keep_alive) = (false, false);
        (self.http2, self.tunnel) = (false, false);
        (self.expects_continue, self.upgrade) = (false, false);
        (self.method, self.target, self.path, self.host) = (0..0, 0..0, 0..0, 0..0);
    }

    fn read_lines(&mut self) -> Result<(), Refusal> {
        let mut headers = [const { MaybeUninit::uninit() }; HEADER_LIMIT];
        let mut request = httparse::Request::new(&mut []);
        let base = self.bytes.as_ptr() as usize;
        let range = |part: &[u8]| -> Range<u16> {
            let start = part.as_ptr() as usize - base;
            start as u16..(start + part.len()) as u16
        };
        match request.parse_with_uninit_headers(&self.bytes, &mut headers) {
            Ok(httparse::Status::Complete(length)) if length == self.bytes.len() => {}
            Ok(_) => return Err(refuse(400, "malformed head")),
            Err(httparse::Error::TooManyHeaders) => return Err(refuse(431, "too many headers")),
            Err(httparse::Error::Version) => return Err(refuse(505, "unknown HTTP version")),
            Err(_) => return Err(refuse(400, "malformed head")),
        }
        let (Some(method), Some(target), Some(version)) =
            (request.method, request.path, request.version)
        else {
            return Err(refuse(400, "malformed request line"));
        };
        // One space on each side of the target: nothing else may separate (RFC 9112 section 3).
        let line_length = method.len() + 1 + target.len() + " HTTP/1.1\r\n".len();
        if self.bytes.get(line_length - 2..line_length) != Some(b"\r\n") {
            return Err(refuse(400, "malformed request line"));
        }
        self.http11 = version == 1;
        self.method = range(method.as_bytes());
        self.target = range(target.as_bytes());
        for header in request.headers.iter() {
            if header
                .value
                .iter()
                .any(|&byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f)
            {
                return Err(refuse(400, "control character in a header"));
            }
            self.lines.push(Line {
                name: range(header.name.as_bytes()),
                value: range(header.value),
            });
        }
        Ok(())
    }

    /// Split the target into path and query; the authority of an absolute target replaces Host
    /// (RFC 9112 section 3.2.2).
    fn read_target(&mut self) -> Result<(), Refusal> {
        let target = self.target();
        if target.len() > TARGET_LIMIT {
            return Err(refuse(414, "target too long"));
        }
        method::check(self.method())?;
        if !target.is_ascii() || (target == b"*" && self.method() != b"OPTIONS") {
            return Err(refuse(400, "malformed target"));
        }
        let parts = path::split(target).map_err(|refusal| refuse(400, refusal.reason()))?;
        let base = self.bytes.as_ptr() as usize;
        let range = |part: &[u8]| -> Range<u16> {
            let start = (part.as_ptr() as usize).wrapping_sub(base);
            start as u16..(start + part.len()) as u16
        };
        let authority = parts.authority.map(range);
        let query = parts.query.map(range);
        // `http://host` has the path `/` without a byte of its own; `path()` knows.
        let own = (parts.path.as_ptr() as usize).wrapping_sub(base) < self.bytes.len();
        let path = if own { range(parts.path) } else { 0..0 };
        (self.path, self.query) = (path, query);
        self.read_host(authority)
    }

    fn read_host(&mut self, authority: Option<Range<u16>>) -> Result<(), Refusal> {
        let mut hosts = self.lines.iter().filter(|line| self.is(line, "host"));
        let host = hosts.next().map(|line| line.value.clone());
        if hosts.next().is_some() {
            return Err(refuse(400, "more than one Host"));
        }
        if host.is_none() && self.http11 {
            return Err(refuse(400, "no Host"));
        }
        let sent = host.clone().unwrap_or(0..0);
        self.host = authority.or(host).unwrap_or(0..0);
        for range in [sent, self.host.clone()] {
            if !is_host(&self.bytes[as_usize(&range)]) {
                return Err(refuse(400, "malformed Host"));
            }
        }
        Ok(())
    }

    /// Everything that depends on more than one header.
    fn decide(&mut self) -> Result<(), Refusal> {
        self.body = framing::decide(self.http11, self.headers())?;
        self.keep_alive = self.http11;
        let mut upgrade_named = false;
        let (mut has_upgrade, mut names_http) = (false, false);
        let (mut close, mut keep) = (false, false);
        let mut expects_continue = false;
        for (name, value) in self.headers() {
            if name.eq_ignore_ascii_case(b"connection") {
                for token in tokens(value) {
                    close |= token.eq_ignore_ascii_case(b"close");
                    keep |= token.eq_ignore_ascii_case(b"keep-alive");
                    upgrade_named |= token.eq_ignore_ascii_case(b"upgrade");
                }
            } else if name.eq_ignore_ascii_case(b"upgrade") {
                // HTTP/2 past the edge would be a tunnel around its routes and limits.
                let http = |token: &[u8]| {
                    token.eq_ignore_ascii_case(b"h2c")
                        || token.to_ascii_lowercase().starts_with(b"http/")
                };
                has_upgrade |= tokens(value).next().is_some();
                names_http |= tokens(value).any(http);
            } else if name.eq_ignore_ascii_case(b"expect") {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(refuse(417, "unknown expectation"));
                }
                expects_continue = true;
            }
        }
        self.keep_alive = !close && (self.http11 || keep);
        self.expects_continue = expects_continue && self.http11 && self.body != BodyLength::None;
        self.upgrade = upgrade_named && has_upgrade && !names_http && self.http11;
        Ok(())
    }

    fn part(&self, range: &Range<u16>) -> &[u8] {
        &self.bytes[as_usize(range)]
    }

    fn is(&self, line: &Line, name: &str) -> bool {
        self.part(&line.name).eq_ignore_ascii_case(name.as_bytes())
    }

    /// As sent; methods are case-sensitive.
    pub(crate) fn method(&self) -> &[u8] {
        self.part(&self.method)
    }

    /// As sent.
    pub(crate) fn target(&self) -> &[u8] {
        self.part(&self.target)
    }

    /// The target is a path, or the `*` of OPTIONS, rather than a URL.
    pub(crate) fn is_origin_form(&self) -> bool {
        matches!(self.target(), [b'/', ..] | b"*")
    }

    /// The target's path as sent, not decoded. Empty for `http://host` and `http://host?q`.
    pub(crate) fn path(&self) -> &[u8] {
        let path = self.part(&self.path);
        if path.is_empty() { b"/" } else { path }
    }

    /// Without the question mark; `None` when there is none.
    pub(crate) fn query(&self) -> Option<&[u8]> {
        self.query.as_ref().map(|range| self.part(range))
    }

    /// Host and perhaps port, as sent; empty when an HTTP/1.0 visitor sent none.
    pub(crate) fn host(&self) -> &[u8] {
        self.part(&self.host)
    }

    /// Every header line in order.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines
            .iter()
            .map(|line| (self.part(&line.name), self.part(&line.value)))
    }

    /// As the access log and the `environ` name it.
    pub(crate) fn protocol(&self) -> &'static str {
        match (self.http2, self.http11) {
            (true, _) => "HTTP/2.0",
            (false, true) => "HTTP/1.1",
            (false, false) => "HTTP/1.0",
        }
    }

    /// The lines of that name as the one list that they are, when there are several (RFC 9110 section 5.3).
    pub(crate) fn joined(&self, name: &str) -> Option<Vec<u8>> {
        let lines = || self.lines.iter().filter(|line| self.is(line, name));
        lines().nth(1)?;
        let values: Vec<&[u8]> = lines().map(|line| self.part(&line.value)).collect();
        Some(values.join(&b", "[..]))
    }

    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        self.lines
            .iter()
            .find(|line| self.is(line, name))
            .map(|line| self.part(&line.value))
    }

    /// HEAD: the answer has no body.
    pub(crate) fn is_head(&self) -> bool {
        self.method() == b"HEAD"
    }

    /// Sending it twice does what sending it once does (RFC 9110 section 9.2.2).
    pub(crate) fn is_idempotent(&self) -> bool {
        matches!(
            self.method(),
            b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE"
        )
    }
}

fn as_usize(range: &Range<u16>) -> Range<usize> {
    usize::from(range.start)..usize::from(range.end)
}

fn too_long(text: &[u8]) -> u16 {
    if memchr::memchr(b'\n', text).is_none_or(|end| end > TARGET_LIMIT) {
        414
    } else {
        431
    }
}

fn leading_empty_lines(input: &[u8]) -> usize {
    let mut skip = 0;
    while skip < 8 && input[skip..].starts_with(b"\r\n") {
        skip += 2;
    }
    skip
}

/// The head's length when its empty line is there. Each line ends in CR LF: a lone CR or LF is a
/// line end for some and not for others, so it is refused (RFC 9112 section 2.2).
pub(crate) fn end_of_head(text: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut line_start = 0;
    for at in memchr::memchr2_iter(b'\r', b'\n', text) {
        if text[at] == b'\n' {
            if at == 0 || text[at - 1] != b'\r' {
                return Err(refuse(400, "line feed without carriage return"));
            }
            if at == line_start + 1 {
                return Ok(Some(at + 1));
            }
            line_start = at + 1;
        } else if text.get(at + 1).is_some_and(|&next| next != b'\n') {
            return Err(refuse(400, "carriage return without line feed"));
        }
    }
    Ok(None)
}

/// Host names, addresses and a port: no user information, no path, nothing that a log or a
/// configuration would read otherwise.
pub(crate) fn is_host(host: &[u8]) -> bool {
    let (name_good, port) = match host {
        [b'[', ..] => {
            let Some(end) = memchr::memchr(b']', host) else {
                return false;
            };
            let address = std::str::from_utf8(&host[1..end]).unwrap_or_default();
            (address.parse::<Ipv6Addr>().is_ok(), &host[end + 1..])
        }
        _ => {
            let end = memchr::memchr(b':', host).unwrap_or(host.len());
            let (name, port) = host.split_at(end);
            let mut before = b'.';
            let good = |&byte: &u8| {
                let label = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                // No label is empty (RFC 1035 section 2.3.1); the dot at the end is the root's.
                let good = label || byte == b'.' && before != b'.';
                before = byte;
                good
            };
            // A port of nobody is no host; nothing at all is one (RFC 9112 section 3.2).
            let named = !name.is_empty() || port.is_empty();
            (named && name.iter().all(good), port)
        }
    };
    let port_good = match port {
        [] | [b':'] => true,
        [b':', digits @ ..] => {
            digits.len() <= 5 && parse_length(digits).is_some_and(|port| port <= 65_535)
        }
        _ => false,
    };
    name_good && port_good
}

/// The elements of a comma-separated list, without white space; empty ones are left out.
pub(crate) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests;
