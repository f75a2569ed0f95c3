//! The PROXY protocol, versions 1 and 2 ("The PROXY protocol", HAProxy, sections 2.1 and 2.2): whom a
//! trusted proxy's connection is from.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpStream;

/// Longest header that is read, bytes. Addresses need 52, the rest is for extensions; a longer one is refused.
const LIMIT: usize = 2048;
/// Longest header of version 1, bytes with its line end (section 2.1).
const TEXT_LIMIT: usize = 107;
/// What version 2 begins with (section 2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The extension that tells of TLS, and the bit that says that the visitor came over it (section 2.2.6).
const TLV_SSL: u8 = 0x20;
const CLIENT_SSL: u8 = 1;

/// The other end, as the proxy saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) peer: SocketAddr,
    /// The port that the visitor came to.
    pub(crate) local_port: u16,
    /// The proxy took TLS off.
    pub(crate) tls: bool,
}

/// What the bytes so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// The beginning of a header. All of them belong to it.
    Partial,
    /// A header of so many bytes. `None`: the proxy speaks for itself, or of no TCP connection.
    Complete(usize, Option<Source>),
}

/// Not a PROXY protocol header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Read the header at the beginning of a connection, and no byte more.
pub(crate) async fn read(socket: &TcpStream) -> io::Result<Option<Source>> {
    let mut header = Vec::new();
    let mut next = [0; LIMIT];
    loop {
        let seen = socket.peek(&mut next).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let before = header.len();
        header.extend_from_slice(&next[..seen]);
        let parsed = parse(&header).map_err(|Malformed| io::ErrorKind::InvalidData)?;
        let used = match parsed {
            Parsed::Partial => header.len(),
            Parsed::Complete(used, _) => used,
        };
        header.truncate(used);
        // They were seen, so they are there.
        let taken = socket.try_read(&mut next[..used - before])?;
        if taken != used - before {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Parsed::Complete(_, source) = parsed {
            return Ok(source);
        }
    }
}

/// Look at the first bytes of a connection.
pub(crate) fn parse(input: &[u8]) -> Result<Parsed, Malformed> {
    let begins = |with: &[u8]| {
        let length = input.len().min(with.len());
        input[..length] == with[..length]
    };
    if begins(SIGNATURE) {
        return binary(input);
    }
    if begins(b"PROXY ") {
        return text(input);
    }
    Err(Malformed)
}

/// Version 1: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443`, on one line.
fn text(input: &[u8]) -> Result<Parsed, Malformed> {
    let within = &input[..input.len().min(TEXT_LIMIT)];
    let Some(end) = memchr::memchr(b'\n', within) else {
        return match within.len() < TEXT_LIMIT {
            true => Ok(Parsed::Partial),
            false => Err(Malformed),
        };
    };
    let line = within[..end].strip_suffix(b"\r").ok_or(Malformed)?;
    let line = std::str::from_utf8(line).map_err(|_| Malformed)?;
    let mut words = line.split(' ').skip(1);
    let mut word = || words.next().ok_or(Malformed);
    let family = word()?;
    if family == "UNKNOWN" {
        return Ok(Parsed::Complete(end + 1, None));
    }
    let (source, destination) = (word()?, word()?);
    let (source_port, port) = (word()?, word()?);
    let is_of_family = |address: &str| match family {
        "TCP4" => address.parse::<Ipv4Addr>().map(IpAddr::V4),
        "TCP6" => address.parse::<Ipv6Addr>().map(IpAddr::V6),
        _ => "".parse(),
    };
    let address = is_of_family(source).map_err(|_| Malformed)?;
    is_of_family(destination).map_err(|_| Malformed)?;
    let number = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        let plain = plain && (text == "0" || !text.starts_with('0'));
        text.parse::<u16>().ok().filter(|_| plain).ok_or(Malformed)
    };
    let source = Source {
        peer: SocketAddr::new(address, number(source_port)?),
        local_port: number(port)?,
        tls: false,
    };
    match words.next() {
        None => Ok(Parsed::Complete(end + 1, Some(source))),
        Some(_) => Err(Malformed),
    }
}

/// Version 2: the signature, two bytes of kind, a length, addresses, extensions.
fn binary(input: &[u8]) -> Result<Parsed, Malformed> {
    let Some((&[kind, family, high, low], rest)) = input
        .get(SIGNATURE.len()..)
        .and_then(|rest| rest.split_first_chunk::<4>())
    else {
        // What is there of the kind must be right already, so that nothing else waits for its end.
        return match input.get(SIGNATURE.len()) {
            None | Some(0x20 | 0x21) => Ok(Parsed::Partial),
            Some(_) => Err(Malformed),
        };
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let whole = SIGNATURE.len() + 4 + length;
    if !matches!(kind, 0x20 | 0x21) || whole > LIMIT {
        return Err(Malformed);
    }
    let Some(payload) = rest.get(..length) else {
        return Ok(Parsed::Partial);
    };
    let source = match (kind, family) {
        // LOCAL: the proxy's own connection, a health check.
        (0x20, _) => None,
        (_, 0x11) => Some(addresses::<4>(payload)?),
        (_, 0x21) => Some(addresses::<16>(payload)?),
        // Unix sockets, datagrams, unspecified.
        _ => None,
    };
    Ok(Parsed::Complete(whole, source))
}

fn addresses<const SIZE: usize>(payload: &[u8]) -> Result<Source, Malformed>
where
    IpAddr: From<[u8; SIZE]>,
{
    let (address, rest) = payload.split_first_chunk::<SIZE>().ok_or(Malformed)?;
    let (_, rest) = rest.split_first_chunk::<SIZE>().ok_or(Malformed)?;
    let (port, rest) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
    let (local_port, mut extensions) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
    let mut tls = false;
    while let Some((&[kind, high, low], rest)) = extensions.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let value = rest.get(..length).ok_or(Malformed)?;
        if kind == TLV_SSL {
            tls = value.first().is_some_and(|bits| bits & CLIENT_SSL != 0);
        }
        extensions = &rest[length..];
    }
    if !extensions.is_empty() {
        return Err(Malformed);
    }
    Ok(Source {
        peer: SocketAddr::new(IpAddr::from(*address), u16::from_be_bytes(*port)),
        local_port: u16::from_be_bytes(*local_port),
        tls,
    })
}

#[cfg(test)]
mod tests;
