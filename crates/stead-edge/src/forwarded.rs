//! What an app is told about its visitor, and which of the visitor's headers it never sees.
//!
//! The edge alone says who the visitor is. Of what the visitor sent, every header by which
//! programs are told that is dropped, in every spelling that becomes the same variable in an app
//! (CGI, WSGI and PHP write `-`, `_` and `.` alike); then ours are added. Since they are added
//! after the dropping, `Connection: X-Forwarded-For` cannot take them away again.
//! `Forwarded` (RFC 7239) is dropped and not set: two headers that say the same can be read differently.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::net::IpAddr;

/// The longest text of an IP address: `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`.
const LONGEST_ADDRESS: usize = 45;

/// A connection's peer; made once for each connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    text: [u8; LONGEST_ADDRESS],
    length: usize,
    secure: bool,
    /// Where the visitor connected to.
    port: u16,
}

impl Peer {
    /// `secure`: the visitor speaks TLS with the edge. `port`: the listener's.
    pub(crate) fn new(address: IpAddr, secure: bool, port: u16) -> Peer {
        let mut text = [0; LONGEST_ADDRESS];
        let mut rest = &mut text[..];
        // An IPv4 visitor on a socket for both versions is ::ffff:192.0.2.1: said as 192.0.2.1.
        let written = write!(rest, "{}", address.to_canonical());
        let length = LONGEST_ADDRESS - rest.len();
        debug_assert!(written.is_ok());
        Peer {
            text,
            length,
            secure,
            port,
        }
    }

    /// The address as text, without port and brackets.
    pub(crate) fn address(&self) -> &str {
        std::str::from_utf8(&self.text[..self.length]).unwrap_or_default()
    }

    /// `http` or `https`
    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// The headers to add to a request. `host` is the Host header as sent (or an absolute-form target's
    /// authority) once it was found valid; empty if there was none. `request_id` is ours.
    pub(crate) fn headers<'a>(&'a self, host: &'a [u8], request_id: &'a str) -> Headers<'a> {
        let mut port = [0; 5];
        let number = port_of(host).unwrap_or(match (host, self.secure) {
            ([], _) => self.port,
            (_, true) => 443,
            (_, false) => 80,
        });
        let mut rest = &mut port[..];
        let written = write!(rest, "{number}");
        let port_length = 5 - rest.len();
        debug_assert!(written.is_ok());
        Headers {
            peer: self,
            host,
            request_id,
            port,
            port_length,
        }
    }
}

/// The port that the visitor's URL names.
fn port_of(host: &[u8]) -> Option<u16> {
    let colon = memchr::memrchr(b':', host)?;
    if host.first() == Some(&b'[') && host.get(colon.checked_sub(1)?) != Some(&b']') {
        return None;
    }
    std::str::from_utf8(&host[colon + 1..]).ok()?.parse().ok()
}

/// The values that the edge sets on a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headers<'a> {
    peer: &'a Peer,
    host: &'a [u8],
    request_id: &'a str,
    port: [u8; 5],
    port_length: usize,
}

impl Headers<'_> {
    /// Names, in the spelling for HTTP, and values. No value has a line break in it if the host is valid.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        [
            ("X-Forwarded-For", self.peer.address().as_bytes()),
            ("X-Forwarded-Proto", self.peer.scheme().as_bytes()),
            ("X-Forwarded-Host", self.host),
            ("X-Forwarded-Port", &self.port[..self.port_length]),
            ("X-Real-IP", self.peer.address().as_bytes()),
            ("X-Request-Id", self.request_id.as_bytes()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
    }
}

/// Whether a header is between two neighbours only, so that it is not passed on: request or
/// response. `connection` is the Connection header's value (of several lines, ask for each). RFC 9110 §7.6.1.
pub(crate) fn is_hop_by_hop(name: &[u8], connection: &[u8]) -> bool {
    let mut lower = [0; LONGEST_NAME];
    if let Some(name) = lowered(name, &mut lower, false) {
        match name {
            b"connection"
            | b"keep-alive"
            | b"proxy-connection"
            | b"proxy-authenticate"
            | b"proxy-authorization"
            | b"te"
            | b"trailer"
            | b"transfer-encoding"
            | b"upgrade"
            // Nobody needs it, and CGI makes HTTP_PROXY of it (CVE-2016-5385).
            | b"proxy"
            // Deprecated with HTTP/2 (RFC 9113 §3.1), and a way to smuggle one in.
            | b"http2-settings" => return true,
            // What a message means does not depend on what its Connection header says of these.
            b"host" | b"content-length" | b"content-type" | b"content-encoding" | b"cache-control"
            | b"authorization" | b"cookie" | b"set-cookie" | b"date" | b"location" | b"vary" => return false,
            _ => {}
        }
    }
    connection
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|token| !token.is_empty() && token.eq_ignore_ascii_case(name))
}

/// Longer names are none of ours, but for those that begin as ours do.
const LONGEST_NAME: usize = 32;

/// Lower case; with `alike`, `_` and `.` become `-`. `None`: longer than all that is looked for.
fn lowered<'b>(name: &[u8], buffer: &'b mut [u8; LONGEST_NAME], alike: bool) -> Option<&'b [u8]> {
    let place = buffer.get_mut(..name.len())?;
    for (from, to) in name.iter().zip(place.iter_mut()) {
        *to = if alike {
            canonical(*from)
        } else {
            from.to_ascii_lowercase()
        };
    }
    Some(place)
}

/// What becomes the same in an app's variables becomes the same here.
fn canonical(byte: u8) -> u8 {
    match byte {
        b'_' | b'.' => b'-',
        byte => byte.to_ascii_lowercase(),
    }
}

/// Whether a request header of a visitor is dropped because programs take it for the word of their
/// proxy: about who the visitor is, or which host, scheme or path was asked for; in any
/// spelling. Also other spellings of headers that frame or route a message.
pub(crate) fn is_forwarding_alias(name: &[u8]) -> bool {
    const FAMILY: &[u8] = b"x-forwarded";
    let begins = |(own, byte): (&u8, &u8)| *own == canonical(*byte);
    if name.len() >= FAMILY.len() && FAMILY.iter().zip(name).all(begins) {
        return true;
    }
    let mut lower = [0; LONGEST_NAME];
    let Some(lower) = lowered(name, &mut lower, true) else {
        return false;
    };
    match lower {
        // Who the visitor is.
        b"forwarded" | b"forwarded-for" | b"x-real-ip" | b"x-client-ip" | b"client-ip" | b"true-client-ip"
        | b"x-cluster-client-ip" | b"x-originating-ip" | b"x-remote-ip" | b"x-remote-addr" | b"remote-addr"
        | b"x-remote-user" | b"remote-user"
        // Which scheme, host or path was asked for.
        | b"x-scheme" | b"x-url-scheme" | b"front-end-https" | b"x-host" | b"x-original-host"
        | b"x-original-url" | b"x-rewrite-url" | b"x-script-name"
        // gunicorn takes these from any peer on a unix socket or loopback.
        | b"script-name" | b"path-info"
        // Ours.
        | b"x-request-id" => true,
        // In their own spelling these are read by the edge itself.
        b"content-length" | b"content-type" | b"transfer-encoding" | b"host" | b"connection" | b"expect" => {
            name.iter().any(|byte| matches!(byte, b'_' | b'.'))
        }
        _ => false,
    }
}

/// Whether a request header is another spelling of one that is there too, such as `X_Auth` beside
/// `X-Auth`: an app would see one of the two, and nobody knows which. The one without `_` and `.` stays.
pub(crate) fn is_alias_of_another<'n>(
    name: &[u8],
    all: impl IntoIterator<Item = &'n [u8]>,
) -> bool {
    if !name.iter().any(|byte| matches!(byte, b'_' | b'.')) {
        return false;
    }
    all.into_iter().any(|other| {
        other.len() == name.len()
            && !other.eq_ignore_ascii_case(name)
            && other
                .iter()
                .zip(name)
                .all(|(other, own)| canonical(*other) == canonical(*own))
    })
}

/// Makes request ids: 32 hexadecimal digits, different from all others in the world. One for each thread.
#[derive(Debug)]
pub(crate) struct RequestIds {
    high: u64,
    state: u64,
}

impl RequestIds {
    /// Begins at a random place.
    pub(crate) fn new() -> RequestIds {
        let random = || RandomState::new().build_hasher().finish();
        RequestIds {
            high: random(),
            state: random(),
        }
    }

    /// The next one, as ASCII.
    pub(crate) fn next(&mut self) -> [u8; 32] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        // SplitMix64 (Steele, Lea, Flood 2014): 2^64 different values.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut low = self.state;
        low = (low ^ (low >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        low = (low ^ (low >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        low ^= low >> 31;
        let number = u128::from(self.high) << 64 | u128::from(low);
        std::array::from_fn(|place| DIGITS[(number >> (124 - 4 * place)) as usize & 15])
    }
}

#[cfg(test)]
mod tests;
