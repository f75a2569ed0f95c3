//! Host names as they come in a Host header and as they stand in a route.

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest host that is looked up: a DNS name is at most 253 bytes.
pub(crate) const LONGEST: usize = 255;

/// Lower-case a Host header's host into `buffer`, without port and without a trailing dot. An IPv6
/// address is written in its canonical form, in brackets. Empty stays empty (HTTP/1.0). `None`:
/// malformed (RFC 9112 §3.2: answer 400).
pub(crate) fn clean<'b>(host: &[u8], buffer: &'b mut [u8; LONGEST]) -> Option<&'b [u8]> {
    if host.first() == Some(&b'[') {
        let close = memchr::memchr(b']', host)?;
        is_port(&host[close + 1..]).then_some(())?;
        let address: Ipv6Addr = std::str::from_utf8(&host[1..close]).ok()?.parse().ok()?;
        let mut rest = &mut buffer[..];
        write!(rest, "[{address}]").ok()?;
        let length = LONGEST - rest.len();
        return Some(&buffer[..length]);
    }
    let end = memchr::memchr(b':', host).unwrap_or(host.len());
    let (name, port) = host.split_at(end);
    is_port(port).then_some(())?;
    if name.is_empty() {
        return port.is_empty().then_some(&buffer[..0]);
    }
    let name = name.strip_suffix(b".").unwrap_or(name);
    let place = buffer.get_mut(..name.len())?;
    let mut label = 0;
    for (from, to) in name.iter().zip(place.iter_mut()) {
        match from {
            b'.' if label == 0 => return None,
            b'.' => label = 0,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => label += 1,
            _ => return None,
        }
        *to = from.to_ascii_lowercase();
    }
    (label > 0).then_some(&*place)
}

/// Nothing, or a colon and digits; RFC 3986 §3.2.3 allows the colon alone.
fn is_port(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// A route's host, in the form in which it is looked up; the error says what is wrong with it.
pub(super) fn of_route(host: &str) -> Result<String, &'static str> {
    let (star, name) = match host.strip_prefix("*.") {
        Some(rest) => ("*.", rest),
        None => ("", host),
    };
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.contains('*') {
        return Err("a star may only stand for the whole first label, as in `*.example.com`");
    }
    if name.contains('/') {
        return Err("a host has neither scheme nor path");
    }
    if let Ok(address) = name.parse::<Ipv6Addr>() {
        return if star.is_empty() {
            Ok(format!("[{address}]"))
        } else {
            Err("an address has no labels")
        };
    }
    if !star.is_empty() && name.parse::<Ipv4Addr>().is_ok() {
        return Err("an address has no labels");
    }
    if !name.starts_with('[') && name.contains(':') || name.contains("]:") {
        return Err("a host is written without port");
    }
    if !name.is_ascii() {
        return Err("a name with other than ASCII letters is written in its `xn--` form");
    }
    if !star.is_empty() && name.starts_with('[') {
        return Err("an address has no labels");
    }
    let mut buffer = [0; LONGEST];
    let clean = clean(name.as_bytes(), &mut buffer).ok_or("it is no host name")?;
    Ok(format!("{star}{}", String::from_utf8_lossy(clean)))
}

/// The host that a redirect goes to; it may have a port.
pub(super) fn of_redirect(host: &str) -> Result<(), &'static str> {
    let mut buffer = [0; LONGEST];
    match clean(host.as_bytes(), &mut buffer) {
        Some(name) if !name.is_empty() => Ok(()),
        _ => Err("it is no host name"),
    }
}
