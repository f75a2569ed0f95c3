//! What may stand in a head, and how numbers are written in it.

use super::Malformed;
use crate::head::{is_token, tokens};

/// Of a status code, digits. The space behind it belongs to a status line without a reason, too (RFC 9112
/// section 4).
pub(super) const CODE_LENGTH: usize = 3;

/// Three digits, a space, a reason of visible characters (RFC 9112 section 4).
pub(super) fn status_code(status: &[u8]) -> Result<u16, Malformed> {
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
pub(super) fn passes(name: &[u8]) -> bool {
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

pub(super) fn append_hex(out: &mut Vec<u8>, number: u64) {
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
