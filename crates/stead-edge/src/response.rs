//! A response on its way to the visitor: its head is written once, checked and normalised; its body is
//! framed in the one way that fits the visitor and the length that is known.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::compress::{Choice, Coder, Plan};
use crate::date;
use crate::forward::RequestId;
use crate::head::{is_token, tokens};
use crate::http2;
use crate::rules::Rules;
use crate::visitor::Output;

/// What a response must know of its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape<'a> {
    /// HEAD: there is no body, whatever the head says.
    pub(crate) is_head: bool,
    /// The visitor understands chunks.
    pub(crate) http11: bool,
    /// A stream of HTTP/2: no chunks, and nothing about the connection.
    pub(crate) http2: bool,
    /// The visitor opens a tunnel by an extended CONNECT, which any 2xx would grant.
    pub(crate) tunnel: bool,
    /// The visitor wants to go on, and so does the edge.
    pub(crate) keep_alive: bool,
    /// Set when the edge begins to drain, which may be while the request is on its way.
    pub(crate) draining: &'a AtomicBool,
}

/// How the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// The head is not written yet.
    Unknown,
    /// There is none.
    Empty,
    /// After so many more bytes.
    Length(u64),
    /// With a last chunk.
    Chunked,
    /// With the connection.
    Close,
    /// It cannot be completed.
    Broken,
}

/// A response as it is written.
#[derive(Debug)]
pub(crate) struct Response<'a> {
    shape: Shape<'a>,
    framing: Framing,
    /// Of the head, 0 before it.
    pub(crate) status: u16,
    /// Body bytes, without framing.
    pub(crate) length: u64,
    /// A value for [`STICKY_COOKIE`], and whether it is for HTTPS alone.
    sticky: Option<(RequestId, bool)>,
    /// How many interim responses were passed on.
    interim: u8,
    /// What the route asks of its responses.
    rules: Option<Arc<Rules>>,
    /// The value of Strict-Transport-Security, which an app's own goes before.
    hsts: Option<Arc<str>>,
    /// How the visitor would have the body compressed, when the route asks for that.
    choice: Option<Choice>,
    coder: Option<Box<Coder>>,
}

/// The cookie by which a visitor comes back to the same instance. Its value is random and says nothing.
pub(crate) const STICKY_COOKIE: &[u8] = b"stead-sticky";

const HSTS: &[u8] = b"Strict-Transport-Security";

/// Interim responses that are passed on for one request. More are dropped: each costs the visitor's client
/// a head, and none is needed to understand the answer.
pub(crate) const MOST_INTERIM: u8 = 16;

/// The response of an upstream cannot be passed on; a sentence for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl<'s> Response<'s> {
    pub(crate) fn new(shape: Shape<'s>) -> Self {
        Self {
            shape,
            framing: Framing::Unknown,
            status: 0,
            length: 0,
            sticky: None,
            interim: 0,
            rules: None,
            hsts: None,
            choice: None,
            coder: None,
        }
    }

    /// HEAD: there is no body.
    pub(crate) fn is_to_head(&self) -> bool {
        self.shape.is_head
    }

    /// Another protocol is asked for over HTTP/2.
    pub(crate) fn is_to_tunnel(&self) -> bool {
        self.shape.tunnel
    }

    /// The head was written.
    pub(crate) fn has_begun(&self) -> bool {
        self.framing != Framing::Unknown
    }

    /// It has begun and nobody knows where it ends: a stream of events, say.
    pub(crate) fn is_endless(&self) -> bool {
        match &self.coder {
            Some(coder) => coder.is_endless(),
            None => matches!(self.framing, Framing::Chunked | Framing::Close),
        }
    }

    /// After this response the connection can take another request.
    pub(crate) fn keeps_alive(&self) -> bool {
        self.shape.keep_alive && self.framing != Framing::Close
    }

    /// Forget what was written: none of it has been sent.
    pub(crate) fn restart(&mut self) {
        (self.framing, self.status, self.length) = (Framing::Unknown, 0, 0);
        self.coder = None;
    }

    /// Give the visitor a cookie. Before `head`.
    pub(crate) fn stick(&mut self, value: RequestId, secure: bool) {
        self.sticky = Some((value, secure));
    }

    /// The route's rules hold for it. Before `head`.
    pub(crate) fn follow(&mut self, rules: Arc<Rules>) {
        self.rules = Some(rules);
    }

    /// Its body may be compressed. Before `head`.
    pub(crate) fn compress(&mut self, choice: Choice) {
        self.choice = Some(choice);
    }

    /// It is being compressed.
    pub(crate) fn is_coded(&self) -> bool {
        self.coder.is_some()
    }

    /// The route's rules, if it has any.
    pub(crate) fn rules(&self) -> Option<&Rules> {
        self.rules.as_deref()
    }

    /// Tell the browser to come over TLS alone (RFC 6797 section 7.2). Before `head`.
    pub(crate) fn insist(&mut self, hsts: &Arc<str>) {
        self.hsts = Some(Arc::clone(hsts));
    }

    /// After this response the connection takes no other request. Before `head`.
    pub(crate) fn close(&mut self) {
        self.shape.keep_alive = false;
    }

    /// Write the head. `status` is `200 OK`; `whole` is the body's length when all of it is known
    /// already. Nothing is written when something in it is malformed.
    pub(crate) fn head<'a>(
        &mut self,
        output: &mut Output,
        status: &[u8],
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
        whole: Option<u64>,
    ) -> Result<(), Malformed> {
        let asks_for_more = self.hsts.is_some() || self.choice.is_some();
        if self.rules.is_none() && self.sticky.is_none() && !asks_for_more {
            return self.write_head(output, status, headers, whole);
        }
        self.edited_head(output, status, headers, whole)
    }

    /// The head with what the edge changes in it.
    fn edited_head<'a>(
        &mut self,
        output: &mut Output,
        status: &[u8],
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
        whole: Option<u64>,
    ) -> Result<(), Malformed> {
        let rules = self.rules.clone();
        let (mut cookie, mut etag) = (Vec::new(), Vec::new());
        let mut whole = whole;
        let mut list: Vec<(&[u8], &[u8])> = Vec::with_capacity(32);
        for (name, value) in headers {
            if rules
                .as_ref()
                .is_none_or(|rules| rules.response.keeps(name))
            {
                list.push((name, value));
            }
        }
        if let Some(rules) = &rules {
            list.extend(rules.response.set());
        }
        let hsts = self.hsts.clone();
        if let Some(hsts) = &hsts
            && !list.iter().any(|(name, _)| name.eq_ignore_ascii_case(HSTS))
        {
            list.push((HSTS, hsts.as_bytes()));
        }
        if let Some((value, secure)) = &self.sticky {
            cookie.extend_from_slice(STICKY_COOKIE);
            cookie.push(b'=');
            cookie.extend_from_slice(value);
            cookie.extend_from_slice(b"; Path=/; HttpOnly; SameSite=Lax");
            if *secure {
                cookie.extend_from_slice(b"; Secure");
            }
            list.push((b"Set-Cookie", &cookie));
        }
        if let Some(choice) = self.choice {
            let plan = self.plan(choice, status_code(status)?, &list, whole);
            plan.apply(&mut list, &mut etag);
            whole = whole.filter(|_| plan.encoding.is_none());
        }
        self.write_head(output, status, list.iter().copied(), whole)
    }

    /// What becomes of the body. A coder is made for it, if there is one.
    fn plan(
        &mut self,
        choice: Choice,
        status: u16,
        headers: &[(&[u8], &[u8])],
        whole: Option<u64>,
    ) -> Plan {
        let mut plan = Plan::of(choice, status, headers, whole);
        if let Some(encoding) = plan.encoding.filter(|_| !self.shape.is_head) {
            self.coder = Coder::new(encoding, plan.declared).map(Box::new);
            if self.coder.is_none() {
                // Too many at once.
                (plan.encoding, plan.weakens) = (None, false);
            }
        }
        plan
    }

    fn write_head<'a>(
        &mut self,
        output: &mut Output,
        status: &[u8],
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
        whole: Option<u64>,
    ) -> Result<(), Malformed> {
        let code = status_code(status)?;
        let mut declared = None;
        if code < 200 {
            // A visitor would wait for another one, or speak another protocol from here on.
            return Err(Malformed("an interim answer in place of the final one"));
        }
        let mut has_date = false;
        let mut names_headers = false;
        for (name, value) in headers.clone() {
            check_header(name, value)?;
            match name.len() {
                4 => has_date |= name.eq_ignore_ascii_case(b"date"),
                10 if name.eq_ignore_ascii_case(b"connection") => names_headers |= names_any(value),
                14 if name.eq_ignore_ascii_case(b"content-length") => {
                    let length = crate::head::parse_length(value.trim_ascii());
                    let length = length.ok_or(Malformed("malformed Content-Length"))?;
                    if declared.is_some_and(|before| before != length) {
                        return Err(Malformed("two different Content-Length headers"));
                    }
                    declared = Some(length);
                }
                _ => {}
            }
        }
        let bodiless = matches!(code, 204 | 304);
        let length = declared.or(whole.filter(|_| !bodiless));
        self.framing = match length {
            _ if bodiless || self.shape.is_head => Framing::Empty,
            Some(0) => Framing::Empty,
            Some(length) => Framing::Length(length),
            None if self.shape.http11 && !self.shape.http2 => Framing::Chunked,
            None => Framing::Close,
        };
        self.status = code;
        self.shape.keep_alive &= !self.shape.draining.load(Ordering::Relaxed);
        if self.shape.http2 {
            if self.shape.tunnel && code < 300 {
                return Err(Malformed("an answer without the upgrade"));
            }
            let end = self.framing == Framing::Empty;
            let named = |name: &[u8]| names_headers && is_named(name, headers.clone());
            let others = headers
                .clone()
                .filter(|(name, _)| passes(name) && !named(name));
            let length = length.filter(|_| code != 204);
            http2::response::append_head(output, code, others, length, !has_date, end);
            return Ok(());
        }
        let keeps_alive = self.keeps_alive();
        let (http11, chunked) = (self.shape.http11, self.framing == Framing::Chunked);
        output.write_with(|out| {
            out.extend_from_slice(b"HTTP/1.1 ");
            out.extend_from_slice(status);
            if status.len() == CODE_LENGTH {
                out.push(b' ');
            }
            for (name, value) in headers.clone() {
                if passes(name) && !(names_headers && is_named(name, headers.clone())) {
                    out.extend_from_slice(b"\r\n");
                    out.extend_from_slice(name);
                    out.extend_from_slice(b": ");
                    out.extend_from_slice(value);
                }
            }
            if let Some(length) = length.filter(|_| code != 204) {
                out.extend_from_slice(b"\r\nContent-Length: ");
                append_number(out, length);
            }
            if chunked {
                out.extend_from_slice(b"\r\nTransfer-Encoding: chunked");
            }
            if !has_date {
                out.extend_from_slice(b"\r\nDate: ");
                date::append_now(out);
            }
            if !keeps_alive {
                out.extend_from_slice(b"\r\nConnection: close");
            } else if !http11 {
                out.extend_from_slice(b"\r\nConnection: keep-alive");
            }
            out.extend_from_slice(b"\r\n\r\n");
        });
        Ok(())
    }

    /// `100 Continue`, ahead of the head.
    pub(crate) fn interim_continue(&self, output: &mut Output) {
        if self.shape.http2 {
            http2::response::append_interim(output, 100, std::iter::empty());
        } else {
            output.write(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    /// Pass an interim response on, ahead of the head (RFC 9110 section 15.2): `103 Early Hints`, say (RFC 8297).
    /// A visitor of HTTP/1.0 gets none. `100 Continue` is dropped: whoever waits for that has it from the edge.
    pub(crate) fn interim<'a>(
        &mut self,
        output: &mut Output,
        status: &[u8],
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    ) -> Result<(), Malformed> {
        let code = status_code(status)?;
        let mut names_headers = false;
        for (name, value) in headers.clone() {
            check_header(name, value)?;
            names_headers |= name.eq_ignore_ascii_case(b"connection") && names_any(value);
        }
        let understands = self.shape.http11 || self.shape.http2;
        if code == 100 || !understands || self.has_begun() || self.interim == MOST_INTERIM {
            return Ok(());
        }
        self.interim += 1;
        let named = |name: &[u8]| names_headers && is_named(name, headers.clone());
        let others = headers
            .clone()
            .filter(|(name, _)| passes(name) && !named(name));
        if self.shape.http2 {
            http2::response::append_interim(output, code, others);
            return Ok(());
        }
        output.write_with(|out| {
            out.extend_from_slice(b"HTTP/1.1 ");
            out.extend_from_slice(status);
            for (name, value) in others {
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(name);
                out.extend_from_slice(b": ");
                out.extend_from_slice(value);
            }
            out.extend_from_slice(b"\r\n\r\n");
        });
        Ok(())
    }

    /// The instance has switched protocols. `false`: nothing was written, since the instance's own 101 is to be
    /// passed on.
    pub(crate) fn switch<'a>(
        &mut self,
        output: &mut Output,
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    ) -> Result<bool, Malformed> {
        if !self.shape.tunnel {
            return Ok(false);
        }
        for (name, value) in headers.clone() {
            check_header(name, value)?;
        }
        let own = |name: &[u8]| !passes(name) || name.eq_ignore_ascii_case(b"sec-websocket-accept");
        let others = headers.filter(|(name, _)| !own(name));
        http2::response::append_head(output, 200, others, None, true, false);
        (self.framing, self.status) = (Framing::Close, 200);
        Ok(true)
    }

    /// A piece of the body. What goes beyond the length that the head names is dropped: it would be
    /// read as the next response.
    pub(crate) fn body(&mut self, output: &mut Output, bytes: &[u8]) {
        match self.coder.take() {
            None => self.piece(output, bytes),
            Some(mut coder) => {
                // In memory nothing can fail; if it did, the end would be missing, and the visitor would know.
                if coder.write(bytes).is_ok() {
                    self.piece(output, &coder.take());
                    self.coder = Some(coder);
                } else {
                    self.framing = Framing::Broken;
                }
            }
        }
    }

    /// Let the visitor have everything that has come: nothing follows for the moment.
    pub(crate) fn flush(&mut self, output: &mut Output) {
        if let Some(mut coder) = self.coder.take() {
            match coder.flush() {
                Ok(true) => self.piece(output, &coder.take()),
                Ok(false) => {}
                Err(_) => {
                    self.framing = Framing::Broken;
                    return;
                }
            }
            self.coder = Some(coder);
        }
    }

    /// Bytes of the body as the visitor gets them.
    fn piece(&mut self, output: &mut Output, bytes: &[u8]) {
        let bytes = match &mut self.framing {
            Framing::Unknown | Framing::Empty | Framing::Broken => return,
            Framing::Length(left) => {
                let take = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= take as u64;
                &bytes[..take]
            }
            Framing::Chunked | Framing::Close => bytes,
        };
        if bytes.is_empty() {
            return;
        }
        self.length += bytes.len() as u64;
        let chunked = self.framing == Framing::Chunked;
        output.write_with(|out| {
            if chunked {
                append_hex(out, bytes.len() as u64);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(bytes);
            if chunked {
                out.extend_from_slice(b"\r\n");
            }
        });
    }

    /// A part of a file as a piece of the body.
    pub(crate) fn file(&mut self, output: &mut Output, file: Arc<File>, offset: u64, length: u64) {
        let length = match &mut self.framing {
            Framing::Unknown | Framing::Empty | Framing::Broken => return,
            Framing::Length(left) => {
                let take = length.min(*left);
                *left -= take;
                take
            }
            Framing::Chunked | Framing::Close => length,
        };
        if length == 0 {
            return;
        }
        self.length = self.length.saturating_add(length);
        if self.framing == Framing::Chunked {
            output.write_with(|out| {
                append_hex(out, length);
                out.extend_from_slice(b"\r\n");
            });
            output.write_file(file, offset, length);
            output.write(b"\r\n");
        } else {
            output.write_file(file, offset, length);
        }
    }

    /// The body is complete. `false`: it is shorter than the head says, so the visitor's connection must be
    /// cut.
    pub(crate) fn end(&mut self, output: &mut Output) -> bool {
        if let Some(coder) = self.coder.take() {
            match coder.finish() {
                Some(rest) => self.piece(output, &rest),
                None => return false,
            }
        }
        if self.shape.http2 && matches!(self.framing, Framing::Length(0) | Framing::Close) {
            output.end();
        }
        match self.framing {
            Framing::Chunked => {
                output.write(b"0\r\n\r\n");
                true
            }
            Framing::Length(left) => left == 0,
            Framing::Empty | Framing::Close => true,
            Framing::Unknown | Framing::Broken => false,
        }
    }
}

/// Of a status code, digits. The space behind it belongs to a status line without a reason, too (RFC 9112
/// section 4).
const CODE_LENGTH: usize = 3;

/// Three digits, a space, a reason of visible characters (RFC 9112 section 4).
fn status_code(status: &[u8]) -> Result<u16, Malformed> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let code = match status {
        [a, b, c] | [a, b, c, b' ', ..] => digit(*a).zip(digit(*b)).zip(digit(*c)),
        _ => None,
    };
    let ((a, b), c) = code.ok_or(Malformed("malformed status line"))?;
    let code = a * 100 + b * 10 + c;
    let printable = status.iter().all(|&byte| byte >= 0x20 && byte != 0x7f);
    if (100..600).contains(&code) && printable {
        Ok(code)
    } else {
        Err(Malformed("malformed status line"))
    }
}

pub(crate) fn check_header(name: &[u8], value: &[u8]) -> Result<(), Malformed> {
    if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
        return Err(Malformed("malformed header name"));
    }
    // All of it is looked at, since most values are good: so the compiler takes many bytes at a time.
    let control = |byte: u8| (byte < 0x20) & (byte != b'\t') | (byte == 0x7f);
    if value
        .iter()
        .fold(false, |found, &byte| found | control(byte))
    {
        return Err(Malformed("control character in a header"));
    }
    Ok(())
}

/// Headers about the connection are the edge's own; the length is written by it too.
fn passes(name: &[u8]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    let own = match name.len() {
        2 => is("te"),
        7 => is("trailer") || is("upgrade"),
        10 => is("connection") || is("keep-alive"),
        14 => is("content-length"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding"),
        _ => false,
    };
    !own
}

/// A `Connection` header that names more than the connection's own fate.
pub(crate) fn names_any(connection: &[u8]) -> bool {
    tokens(connection).any(|token| {
        !token.eq_ignore_ascii_case(b"keep-alive") && !token.eq_ignore_ascii_case(b"close")
    })
}

/// Any `Connection` header names this one, which is then meant for the next hop alone (RFC 9110 section 7.6.1).
pub(crate) fn is_named<'a>(
    name: &[u8],
    mut headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> bool {
    headers.any(|(header, value)| {
        header.eq_ignore_ascii_case(b"connection")
            && tokens(value).any(|token| token.eq_ignore_ascii_case(name))
    })
}

pub(crate) fn append_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn append_hex(out: &mut Vec<u8>, number: u64) {
    let digits = (64 - number.leading_zeros()).div_ceil(4).max(1);
    for at in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(number >> (at * 4)) as usize & 15]);
    }
}

/// The reason phrase of a status that the edge answers itself (RFC 9110 section 15).
pub(crate) fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        204 => "No Content",
        206 => "Partial Content",
        304 => "Not Modified",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
