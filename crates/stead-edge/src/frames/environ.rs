//! The `environ` of PEP 3333, marshalled (CPython's marshal format, version 4; `Python/marshal.c`).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{HEADER, PAYLOAD_LIMIT, header, request};
use crate::entrance::Entrance;
use crate::forward::Forwarded;
use crate::head::{BodyLength, Head};
use crate::tls::Facts;

/// What is the same for every request of a visitor's connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// The visitor's address as text.
    pub(crate) remote: String,
    /// The visitor's port as text.
    pub(crate) remote_port: String,
    /// The port that the visitor came to, as text.
    pub(crate) local_port: String,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// Of the handshake, when it came over TLS.
    pub(crate) tls: Option<Arc<Facts>>,
    /// The visitor's address.
    pub(crate) address: IpAddr,
    /// All of it in one header: `for=192.0.2.1;proto=http` (RFC 7239).
    pub(crate) element: Vec<u8>,
    /// What held when the connection was opened.
    pub(crate) entrance: Arc<Entrance>,
    /// What this address says of other visitors is believed.
    pub(crate) trusted: bool,
    /// What a trusted proxy said beyond that, of one request.
    pub(crate) told: Option<Box<Told>>,
}

/// What only a trusted proxy can say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// The host that the visitor asked for.
    pub(crate) host: Option<Box<[u8]>>,
    /// The port that the visitor came to, as text.
    pub(crate) port: Option<String>,
    /// The request's id: text that can stand anywhere.
    pub(crate) id: Option<Box<str>>,
}

impl Connection {
    /// A connection from `peer` to `local_port`.
    pub(crate) fn new(
        entrance: Arc<Entrance>,
        peer: SocketAddr,
        local_port: u16,
        scheme: &'static str,
    ) -> Self {
        let address = peer.ip().to_canonical();
        let mut connection = Self {
            remote: address.to_string(),
            remote_port: peer.port().to_string(),
            local_port: local_port.to_string(),
            scheme,
            tls: None,
            address,
            element: Vec::new(),
            trusted: entrance.trusts(address),
            entrance,
            told: None,
        };
        connection.describe();
        connection
    }

    /// Write `element`; to be called when anything else has changed. A host has no character that would have to be
    /// escaped.
    pub(crate) fn describe(&mut self) {
        let (open, close) = match self.address {
            IpAddr::V4(_) => ("", ""),
            IpAddr::V6(_) => ("\"[", "]\""),
        };
        let (remote, scheme) = (&self.remote, self.scheme);
        self.element = format!("for={open}{remote}{close};proto={scheme}").into_bytes();
        if let Some(host) = self.told.as_ref().and_then(|told| told.host.as_ref()) {
            self.element.extend_from_slice(b";host=\"");
            self.element.extend_from_slice(host);
            self.element.push(b'"');
        }
    }
}

/// Append the request frame for `head`: whole with its `body`, or streamed.
/// Fails when it does not fit in one frame, which the limits on heads and inline bodies exclude.
pub(crate) fn encode_environ(
    out: &mut Vec<u8>,
    head: &Head,
    connection: &Connection,
    forwarded: &Forwarded<'_>,
    path: &[u8],
    body: Option<&[u8]>,
) -> Result<(), usize> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    out.push(b'{');
    pair(out, b"REQUEST_METHOD", head.method());
    pair(out, b"SCRIPT_NAME", forwarded.prefix());
    pair(out, b"PATH_INFO", path);
    pair(out, b"QUERY_STRING", head.query().unwrap_or(b""));
    request_uri(out, head);
    let (name, port) = split_port(head.host());
    pair(
        out,
        b"SERVER_NAME",
        if name.is_empty() { b"localhost" } else { name },
    );
    pair(
        out,
        b"SERVER_PORT",
        port.unwrap_or(connection.local_port.as_bytes()),
    );
    pair(out, b"SERVER_PROTOCOL", head.protocol().as_bytes());
    pair(out, b"REMOTE_ADDR", connection.remote.as_bytes());
    pair(out, b"REMOTE_PORT", connection.remote_port.as_bytes());
    pair(out, b"wsgi.url_scheme", connection.scheme.as_bytes());
    for (name, value) in forwarded.headers() {
        key_from_header(out, name.as_bytes());
        text(out, value);
    }
    if let Some(user) = forwarded.user() {
        pair(out, b"REMOTE_USER", user);
        pair(out, b"AUTH_TYPE", b"Basic");
    }
    for (name, value) in forwarded.others() {
        key_from_header(out, name);
        text(out, value);
    }
    if !head.host().is_empty() {
        pair(out, b"HTTP_HOST", head.host());
    }
    headers(out, head, forwarded);
    if let BodyLength::Fixed(length) = head.body {
        pair(out, b"CONTENT_LENGTH", length.to_string().as_bytes());
    } else if head.header("content-length").is_some() {
        pair(out, b"CONTENT_LENGTH", b"0");
    }
    if let Some(body) = body {
        short_ascii(out, b"wsgi.input");
        out.push(b's');
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        out.extend_from_slice(body);
    }
    out.push(b'0');
    let length = out.len() - start - HEADER;
    if length > PAYLOAD_LIMIT {
        return Err(length);
    }
    let streamed = body.is_none() && head.body != BodyLength::None;
    let kind = if streamed {
        request::STREAMED
    } else {
        request::WHOLE
    };
    out[start..start + HEADER].copy_from_slice(&header(kind, length));
    Ok(())
}

/// `HTTP_*`, `CONTENT_TYPE`. A name that comes more than once is joined: cookies with a semicolon
/// (RFC 6265 section 5.4), others with a comma (RFC 9110 section 5.2).
fn headers(out: &mut Vec<u8>, head: &Head, forwarded: &Forwarded<'_>) {
    for (index, (name, value)) in head.headers().enumerate() {
        // The host is written already: an absolute target replaces it (RFC 9112 section 3.2.2).
        let special =
            name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"host");
        if special || !forwarded.passes(name) {
            continue;
        }
        if head
            .headers()
            .take(index)
            .any(|(before, _)| before.eq_ignore_ascii_case(name))
        {
            continue;
        }
        let value_start = if name.eq_ignore_ascii_case(b"content-type") {
            short_ascii(out, b"CONTENT_TYPE");
            out.len()
        } else {
            key_from_header(out, name);
            out.len()
        };
        let mut others = head
            .headers()
            .skip(index + 1)
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .peekable();
        if others.peek().is_none() {
            text(out, value);
            continue;
        }
        let separator: &[u8] = if name.eq_ignore_ascii_case(b"cookie") {
            b"; "
        } else {
            b", "
        };
        let mut joined = value.to_vec();
        for (_, other) in others {
            joined.extend_from_slice(separator);
            joined.extend_from_slice(other);
        }
        out.truncate(value_start);
        text(out, &joined);
    }
}

/// The target in origin-form, whatever form it came in.
fn request_uri(out: &mut Vec<u8>, head: &Head) {
    if head.is_origin_form() {
        return pair(out, b"REQUEST_URI", head.target());
    }
    let mut target = head.path().to_vec();
    if let Some(query) = head.query() {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    pair(out, b"REQUEST_URI", &target);
}

pub(crate) fn split_port(host: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memrchr(b':', host) {
        Some(at) if !host[at..].contains(&b']') && at + 1 < host.len() => {
            (&host[..at], Some(&host[at + 1..]))
        }
        _ => (host, None),
    }
}

fn pair(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    short_ascii(out, key);
    text(out, value);
}

/// TYPE_SHORT_ASCII_INTERNED. Keys are at most 255 bytes.
fn short_ascii(out: &mut Vec<u8>, key: &[u8]) {
    out.push(b'Z');
    out.push(key.len() as u8);
    out.extend_from_slice(key);
}

/// `Accept-Language` → `HTTP_ACCEPT_LANGUAGE`.
fn key_from_header(out: &mut Vec<u8>, name: &[u8]) {
    let length = name.len() + 5;
    if length <= 255 {
        out.extend_from_slice(&[b'Z', length as u8]);
    } else {
        out.push(b'a');
        out.extend_from_slice(&(length as u32).to_le_bytes());
    }
    out.extend_from_slice(b"HTTP_");
    out.extend(name.iter().map(|&byte| {
        if byte == b'-' {
            b'_'
        } else {
            byte.to_ascii_uppercase()
        }
    }));
}

/// A value: short ASCII, ASCII, or bytes above 0x7f as the code points of the same number
/// (PEP 3333: strings hold latin-1), which marshal writes as UTF-8.
fn text(out: &mut Vec<u8>, value: &[u8]) {
    if value.is_ascii() {
        if value.len() <= 255 {
            out.extend_from_slice(&[b'z', value.len() as u8]);
        } else {
            out.push(b'a');
            out.extend_from_slice(&(value.len() as u32).to_le_bytes());
        }
        out.extend_from_slice(value);
        return;
    }
    let length = value.len() + value.iter().filter(|byte| **byte >= 0x80).count();
    out.push(b'u');
    out.extend_from_slice(&(length as u32).to_le_bytes());
    for &byte in value {
        if byte < 0x80 {
            out.push(byte);
        } else {
            out.extend_from_slice(&[0xc0 | byte >> 6, 0x80 | byte & 0x3f]);
        }
    }
}

#[cfg(test)]
mod tests;
