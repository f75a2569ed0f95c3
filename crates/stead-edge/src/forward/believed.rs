//! What a trusted proxy says of the visitor: `X-Forwarded-*`, `Forwarded` (RFC 7239), `X-Real-IP`.
//!
//! Each proxy on the way appends whom it saw. From the right, addresses of trusted proxies are passed over; the
//! first other one is the visitor's, since whatever stands left of it the visitor may have written.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use stead_model::manifest::VisitorHeader;

use crate::frames::{Connection, Told};
use crate::head::{Head, is_host, tokens};

/// Most proxies on the way that are looked at.
const MOST_HOPS: usize = 32;
/// Longest request id that is kept, bytes.
const LONGEST_ID: usize = 128;

/// One proxy's word.
#[derive(Default)]
struct Hop<'a> {
    address: Option<&'a [u8]>,
    scheme: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    port: Option<&'a [u8]>,
}

/// The connection as the visitor has it, as the trusted peer of `direct` says.
pub(crate) fn connection(direct: &Connection, head: &Head) -> Connection {
    let mut connection = direct.clone();
    let has_list = head.header("x-forwarded-for").is_some();
    let header = direct.entrance.visitor_header;
    let header = header.unwrap_or(match has_list || head.header("forwarded").is_none() {
        true => VisitorHeader::XForwardedFor,
        false => VisitorHeader::Forwarded,
    });
    let hops: Vec<Hop<'_>> = match header {
        VisitorHeader::XForwardedFor => listed(head, "x-forwarded-for"),
        VisitorHeader::Forwarded => elements(head),
        VisitorHeader::XRealIp => listed(head, "x-real-ip"),
    };
    let mut depth = None;
    for (index, hop) in hops.iter().rev().take(MOST_HOPS).enumerate() {
        let Some(peer) = hop.address.and_then(address) else {
            // Unknown, hidden or nonsense: what is known is the proxy that said so.
            break;
        };
        depth = Some(index);
        connection.address = peer.ip();
        connection.remote_port = peer.port().to_string();
        if !direct.entrance.trusts(peer.ip()) {
            break;
        }
    }
    if depth.is_some() {
        connection.remote = connection.address.to_string();
    }
    let depth = depth.unwrap_or(0);
    let hop = match header {
        VisitorHeader::Forwarded => hops.into_iter().rev().nth(depth).unwrap_or_default(),
        VisitorHeader::XForwardedFor | VisitorHeader::XRealIp => Hop {
            address: None,
            scheme: at_depth(head, "x-forwarded-proto", depth),
            host: at_depth(head, "x-forwarded-host", depth),
            port: at_depth(head, "x-forwarded-port", depth),
        },
    };
    let known = match hop.scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => Some(("https", "443")),
        Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => Some(("http", "80")),
        _ => None,
    };
    if let Some((scheme, port)) = known {
        connection.scheme = scheme;
        port.clone_into(&mut connection.local_port);
    }
    let port = hop.port.and_then(port);
    if let Some(port) = &port {
        connection.local_port.clone_from(port);
    }
    connection.told = Some(Box::new(Told {
        host: hop.host.filter(|host| is_host(host)).map(Box::from),
        port,
        id: head.header("x-request-id").and_then(id),
    }));
    connection.describe();
    connection
}

/// An id that can stand in a header, a log and a page as it is.
fn id(text: &[u8]) -> Option<Box<str>> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:=+/@".contains(byte);
    let fits = (1..=LONGEST_ID).contains(&text.len()) && text.iter().all(plain);
    let text = std::str::from_utf8(text).ok().filter(|_| fits);
    text.map(Box::from)
}

fn values<'a>(head: &'a Head, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    head.headers()
        .filter(move |(own, _)| own.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| value)
}

/// The addresses of all headers of that name, in their order.
fn listed<'a>(head: &'a Head, name: &'a str) -> Vec<Hop<'a>> {
    let hop = |address| Hop {
        address: Some(address),
        ..Hop::default()
    };
    values(head, name).flat_map(tokens).map(hop).collect()
}

/// A proxy may append to these headers, or set them anew: the word of the visitor's hop, or else the oldest.
fn at_depth<'a>(head: &'a Head, name: &'a str, depth: usize) -> Option<&'a [u8]> {
    let all: Vec<&[u8]> = values(head, name).flat_map(tokens).collect();
    let last = all.len().checked_sub(1)?;
    all.get(last.saturating_sub(depth)).copied()
}

/// The elements of all `Forwarded` headers (RFC 7239 section 4).
fn elements(head: &Head) -> Vec<Hop<'_>> {
    let mut hops = Vec::new();
    for value in values(head, "forwarded") {
        if !is_balanced(value) {
            // A visitor who leaves a quotation mark open wants to swallow what a proxy appends.
            hops.push(Hop::default());
            continue;
        }
        for element in outside_quotes(value, b',') {
            let mut hop = Hop::default();
            for pair in outside_quotes(element, b';') {
                let Some(at) = memchr::memchr(b'=', pair) else {
                    continue;
                };
                let (name, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
                let value = value
                    .strip_prefix(b"\"")
                    .and_then(|value| value.strip_suffix(b"\""))
                    .unwrap_or(value);
                let place = match name.to_ascii_lowercase().as_slice() {
                    b"for" => &mut hop.address,
                    b"proto" => &mut hop.scheme,
                    b"host" => &mut hop.host,
                    _ => continue,
                };
                *place = Some(value);
            }
            hops.push(hop);
        }
    }
    hops
}

/// Whether one is within a quoted string (RFC 9110 section 5.6.4).
#[derive(Default)]
struct Quotes {
    quoted: bool,
    escaped: bool,
}

impl Quotes {
    fn see(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.quoted => self.escaped = true,
            b'"' => self.quoted = !self.quoted,
            _ => {}
        }
    }
}

fn is_balanced(text: &[u8]) -> bool {
    let mut quotes = Quotes::default();
    text.iter().for_each(|byte| quotes.see(*byte));
    !quotes.quoted
}

/// Split where the separator is not within a quoted string.
fn outside_quotes(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quotes = Quotes::default();
    text.split(move |&byte| {
        let splits = !quotes.quoted && byte == separator;
        quotes.see(byte);
        splits
    })
    .filter(|part| !part.trim_ascii().is_empty())
}

/// `192.0.2.1`, `192.0.2.1:4711`, `[2001:db8::1]:4711`, `2001:db8::1`. The port is 0 when there is none.
fn address(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip.to_canonical(), 0));
    }
    if let Some(bare) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        let ip: Ipv6Addr = bare.parse().ok()?;
        return Some(SocketAddr::new(ip.to_canonical(), 0));
    }
    let address: SocketAddr = text.parse().ok()?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

fn port(text: &[u8]) -> Option<String> {
    let plain = (1..=5).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| plain)?;
    let number = text.parse::<u16>().ok().filter(|number| *number > 0);
    number.map(|number| number.to_string())
}

#[cfg(test)]
mod tests;
