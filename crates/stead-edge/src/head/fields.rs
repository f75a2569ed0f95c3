//! The head of an HTTP/2 request: a list of fields becomes the same [`Head`] that an HTTP/1.1 request
//! becomes, so that whatever is refused there is refused here (RFC 9113 section 8).

use std::ops::Range;

use super::{BodyLength, FIRST, HEAD_LIMIT, HEADER_LIMIT, Head, Line, Refusal, refuse};
use crate::forward;

/// What a field counts beyond its bytes (RFC 9113 section 6.5.2).
const OVERHEAD: usize = 32;
/// What of a WebSocket's opening only HTTP/1.1 needs (RFC 8441 section 5), so that it is the edge's to say.
const UPGRADE: [&str; 2] = ["sec-websocket-key", "sec-websocket-accept"];

/// Why there is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The stream is reset: this is no request at all (RFC 9113 section 8.1.1).
    Malformed(&'static str),
    /// It is answered, as over HTTP/1.1.
    Refused(Refusal),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What was seen of a list of fields so far.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    malformed: Option<&'static str>,
    /// As the limit counts, also beyond it.
    size: usize,
    number: usize,
    method: Option<Range<u16>>,
    scheme: Option<Range<u16>>,
    path: Option<Range<u16>>,
    authority: Option<Range<u16>>,
    protocol: Option<Range<u16>>,
    has_host: bool,
    cookies: usize,
}

impl Fields {
    /// Begin a list that is to become `head`.
    pub(crate) fn begin(head: &mut Head) -> Self {
        head.clear();
        head.bytes.reserve(FIRST.0);
        (head.http11, head.http2) = (true, true);
        Self::default()
    }

    /// The next field. Beyond the limit only the size is looked at, so that a block that unpacks to far more
    /// than it is costs no memory.
    pub(crate) fn add(&mut self, head: &mut Head, name: &[u8], value: &[u8]) {
        self.size = self
            .size
            .saturating_add(name.len() + value.len() + OVERHEAD);
        if self.is_too_large() || self.malformed.is_some() {
            return;
        }
        if let Err(why) = check(name, value) {
            self.malformed = Some(why);
            return;
        }
        if let [b':', name @ ..] = name {
            self.malformed = self.pseudo(head, name, value).err();
            return;
        }
        self.number += 1;
        if self.is_too_large() {
            return;
        }
        match name.len() {
            4 if name == b"host" => self.has_host = true,
            6 if name == b"cookie" => self.cookies += 1,
            _ => {}
        }
        let name = head.append(name);
        let value = head.append(value);
        head.lines.push(Line { name, value });
    }

    fn is_too_large(&self) -> bool {
        self.size > HEAD_LIMIT || self.number > HEADER_LIMIT
    }

    fn pseudo(&mut self, head: &mut Head, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if self.number > 0 {
            return Err("a pseudo-header after a header");
        }
        let place = match name {
            b"method" => &mut self.method,
            b"scheme" => &mut self.scheme,
            b"path" => &mut self.path,
            b"authority" => &mut self.authority,
            b"protocol" => &mut self.protocol,
            _ => return Err("an unknown pseudo-header"),
        };
        if place.is_some() {
            return Err("a pseudo-header twice");
        }
        *place = Some(head.append(value));
        Ok(())
    }

    /// The list is complete. `ended`: no body follows.
    pub(crate) fn finish(mut self, head: &mut Head, ended: bool) -> Result<(), Fault> {
        if let Some(why) = self.malformed {
            return Err(Fault::Malformed(why));
        }
        let target = self.target(head)?;
        if self.is_too_large() {
            return Err(refuse(431, "head too long").into());
        }
        if self.cookies > 1 {
            join_cookies(head);
        }
        self.host(head)?;
        head.target = target;
        if head.tunnel {
            self.upgrade(head)?;
        }
        head.read_target()?;
        head.decide()?;
        let declared = head.header("content-length").is_some();
        if ended && matches!(head.body, BodyLength::Fixed(_)) || head.tunnel && declared {
            return Err(Fault::Malformed("a length without a body"));
        }
        if !ended && !declared && !head.tunnel {
            head.body = BodyLength::Open;
            head.expects_continue = head.header("expect").is_some();
        }
        Ok(())
    }

    /// Which pseudo-headers must be there (RFC 9113 section 8.3.1, RFC 8441 section 4), and what the target is.
    fn target(&mut self, head: &mut Head) -> Result<Range<u16>, Fault> {
        let too_large = self.is_too_large();
        let Some(method) = self.method.clone() else {
            // It may be among those that were not looked at any more.
            return Err(match too_large {
                true => refuse(431, "head too long").into(),
                false => Fault::Malformed("no :method"),
            });
        };
        head.method = method;
        let is_token = head.method().iter().all(|&byte| is_token(byte));
        if head.method().is_empty() || !is_token {
            return Err(Fault::Malformed("malformed :method"));
        }
        if too_large {
            return Ok(self.path.clone().unwrap_or(0..0));
        }
        let connect = head.method() == b"CONNECT";
        if self.protocol.is_some() && !connect {
            return Err(Fault::Malformed(":protocol without CONNECT"));
        }
        if connect && self.protocol.is_none() {
            return match (&self.scheme, &self.path, &self.authority) {
                (None, None, Some(authority)) => Ok(authority.clone()),
                _ => Err(Fault::Malformed("malformed CONNECT")),
            };
        }
        let (Some(scheme), Some(path)) = (&self.scheme, &self.path) else {
            return Err(Fault::Malformed("no :scheme or no :path"));
        };
        let scheme = head.part(scheme);
        if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
            return Err(Fault::Malformed("an unknown :scheme"));
        }
        let text = head.part(path);
        let star = text == b"*" && head.method() == b"OPTIONS";
        if !(text.first() == Some(&b'/') || star) || !text.iter().all(u8::is_ascii_graphic) {
            return Err(Fault::Malformed("malformed :path"));
        }
        head.tunnel = connect;
        Ok(path.clone())
    }

    /// `:authority` and Host say the same (RFC 9113 section 8.3.1); where only one is there, it is the host.
    fn host(&self, head: &mut Head) -> Result<(), Fault> {
        let Some(authority) = self.authority.clone() else {
            return Ok(());
        };
        if self.has_host {
            let host = head.header("host").unwrap_or_default();
            if !host.eq_ignore_ascii_case(head.part(&authority)) {
                return Err(Fault::Malformed("Host is another than :authority"));
            }
        } else {
            let name = head.append(b"host");
            let value = authority;
            head.lines.push(Line { name, value });
        }
        Ok(())
    }

    /// An extended CONNECT is to the app what an upgrade is over HTTP/1.1.
    fn upgrade(&self, head: &mut Head) -> Result<(), Fault> {
        let protocol = self.protocol.as_ref().map(|protocol| head.part(protocol));
        if protocol != Some(b"websocket") {
            return Err(refuse(501, "an unknown :protocol").into());
        }
        let mut lines = std::mem::take(&mut head.lines);
        lines.retain(|line| !UPGRADE.iter().any(|name| head.is(line, name)));
        head.lines = lines;
        head.method = head.append(b"GET");
        // Base64 of 16 bytes that nobody can foresee (RFC 6455 section 4.1).
        let mut key = [b'='; 24];
        key[..21].copy_from_slice(&forward::new_id()[..21]);
        key[21] = b'Q';
        let lines: [(&[u8], &[u8]); 3] = [
            (b"connection", b"Upgrade"),
            (b"upgrade", b"websocket"),
            (b"sec-websocket-key", &key),
        ];
        for (name, value) in lines {
            let name = head.append(name);
            let value = head.append(value);
            head.lines.push(Line { name, value });
        }
        Ok(())
    }
}

impl Head {
    fn append(&mut self, text: &[u8]) -> Range<u16> {
        // The limits on heads keep it below 64 KB, cookies joined and upgrades included.
        let start = self.bytes.len() as u16;
        self.bytes.extend_from_slice(text);
        start..self.bytes.len() as u16
    }
}

/// Trailers are dropped, but they must be such (RFC 9113 section 8.1).
pub(crate) fn is_trailer(name: &[u8], value: &[u8]) -> bool {
    check(name, value).is_ok() && name.first() != Some(&b':')
}

/// RFC 9113 sections 8.2.1 and 8.2.2.
fn check(name: &[u8], value: &[u8]) -> Result<(), &'static str> {
    let regular = name.strip_prefix(b":").unwrap_or(name);
    let good = |&byte: &u8| is_token(byte) && !byte.is_ascii_uppercase();
    if regular.is_empty() || !regular.iter().all(good) {
        return Err("malformed field name");
    }
    let control = |&byte: &u8| byte < 0x20 && byte != b'\t' || byte == 0x7f;
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if value.iter().any(control) || blank(value.first()) || blank(value.last()) {
        return Err("malformed field value");
    }
    let connection = match name.len() {
        2 => name == b"te" && value != b"trailers",
        7 => name == b"upgrade",
        10 => name == b"connection" || name == b"keep-alive",
        16 => name == b"proxy-connection",
        17 => name == b"transfer-encoding",
        _ => false,
    };
    if connection {
        return Err("a header about the connection");
    }
    Ok(())
}

/// A character of a name (RFC 9110 section 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            table[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let others = b"!#$%&'*+-.^_`|~";
        let mut at = 0;
        while at < others.len() {
            table[others[at] as usize] = true;
            at += 1;
        }
        table
    };
    TOKEN[usize::from(byte)]
}

/// Crumbs become one header again (RFC 9113 section 8.2.3).
fn join_cookies(head: &mut Head) {
    let is_cookie = |head: &Head, line: &Line| head.part(&line.name) == b"cookie";
    let mut joined = Vec::new();
    for line in head.lines.iter().filter(|line| is_cookie(head, line)) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(head.part(&line.value));
    }
    let value = head.append(&joined);
    let mut lines = std::mem::take(&mut head.lines);
    let mut first = true;
    lines.retain_mut(|line| {
        if !is_cookie(head, line) {
            return true;
        }
        line.value = value.clone();
        std::mem::take(&mut first)
    });
    head.lines = lines;
}

#[cfg(test)]
mod tests;
