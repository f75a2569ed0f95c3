//! Requests in the uwsgi protocol (uwsgi-docs, "The uwsgi Protocol", packet type 0). Responses
//! come as HTTP/1.

use crate::forward::Forwarded;
use crate::frames::{Connection, split_port};
use crate::head::Head;

/// The variables do not fit: a packet holds 64 KB of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Append a packet with the CGI variables of `head`; `length` bytes of body follow it.
pub(crate) fn append_request(
    out: &mut Vec<u8>,
    head: &Head,
    connection: &Connection,
    forwarded: &Forwarded<'_>,
    path: &[u8],
    length: u64,
) -> Result<(), TooLarge> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut pair = |key: &[u8], value: &[u8]| -> Result<(), TooLarge> {
        for part in [key, value] {
            out.extend_from_slice(
                &u16::try_from(part.len())
                    .map_err(|_| TooLarge)?
                    .to_le_bytes(),
            );
            out.extend_from_slice(part);
        }
        Ok(())
    };
    let host = head.host();
    let (name, port) = split_port(host);
    pair(b"REQUEST_METHOD", head.method())?;
    pair(b"SCRIPT_NAME", forwarded.prefix())?;
    pair(b"PATH_INFO", path)?;
    pair(b"QUERY_STRING", head.query().unwrap_or(b""))?;
    if head.is_origin_form() {
        pair(b"REQUEST_URI", head.target())?;
    } else {
        let query = head.query().map(|query| [b"?", query].concat());
        let target = [head.path(), query.as_deref().unwrap_or(b"")].concat();
        pair(b"REQUEST_URI", &target)?;
    }
    pair(
        b"SERVER_NAME",
        if name.is_empty() { b"localhost" } else { name },
    )?;
    pair(
        b"SERVER_PORT",
        port.unwrap_or(connection.local_port.as_bytes()),
    )?;
    if !host.is_empty() {
        pair(b"HTTP_HOST", host)?;
    }
    pair(b"SERVER_PROTOCOL", head.protocol().as_bytes())?;
    pair(b"REMOTE_ADDR", connection.remote.as_bytes())?;
    pair(b"REMOTE_PORT", connection.remote_port.as_bytes())?;
    pair(b"REQUEST_SCHEME", connection.scheme.as_bytes())?;
    if connection.scheme == "https" {
        pair(b"HTTPS", b"on")?;
    }
    pair(
        b"CONTENT_LENGTH",
        if length > 0 {
            length.to_string()
        } else {
            String::new()
        }
        .as_bytes(),
    )?;
    pair(b"CONTENT_TYPE", head.header("content-type").unwrap_or(b""))?;
    for (name, value) in forwarded.headers() {
        pair(&variable(name.as_bytes()), value)?;
    }
    if let Some(user) = forwarded.user() {
        pair(b"REMOTE_USER", user)?;
        pair(b"AUTH_TYPE", b"Basic")?;
    }
    for (name, value) in forwarded.others() {
        pair(&variable(name), value)?;
    }
    for (index, (name, value)) in head.headers().enumerate() {
        let special = name.eq_ignore_ascii_case(b"content-type")
            || name.eq_ignore_ascii_case(b"content-length")
            || name.eq_ignore_ascii_case(b"host");
        let before = |(other, _): (&[u8], &[u8])| other.eq_ignore_ascii_case(name);
        if special || !forwarded.passes(name) || head.headers().take(index).any(before) {
            continue;
        }
        let separator: &[u8] = if name.eq_ignore_ascii_case(b"cookie") {
            b"; "
        } else {
            b", "
        };
        let mut joined = value.to_vec();
        for (_, other) in head
            .headers()
            .skip(index + 1)
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
        {
            joined.extend_from_slice(separator);
            joined.extend_from_slice(other);
        }
        pair(&variable(name), &joined)?;
    }
    let size = u16::try_from(out.len() - start - 4).map_err(|_| TooLarge)?;
    out[start + 1..start + 3].copy_from_slice(&size.to_le_bytes());
    Ok(())
}

/// `Accept-Language` → `HTTP_ACCEPT_LANGUAGE`.
fn variable(name: &[u8]) -> Vec<u8> {
    let upper = name.iter().map(|&byte| {
        if byte == b'-' {
            b'_'
        } else {
            byte.to_ascii_uppercase()
        }
    });
    b"HTTP_".iter().copied().chain(upper).collect()
}
