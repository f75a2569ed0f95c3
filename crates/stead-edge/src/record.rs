//! The access log: one line for each request, which no visitor can forge, and which no visitor waits for.

pub(crate) mod writer;

use std::io::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::tls::Facts;

/// The longest text of a request that is recorded whole, bytes. Of a longer one this much is there, and a mark after it.
const TEXT_LIMIT: usize = 2 * 1024;

/// What is recorded of one request. Bytes are as the visitor sent them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// When its head was complete: microseconds since 1970.
    pub(crate) time: i64,
    /// The visitor's address.
    pub(crate) remote: &'a str,
    /// Who the visitor has proved to be.
    pub(crate) user: Option<&'a [u8]>,
    /// Empty when the request line could not be read.
    pub(crate) method: &'a [u8],
    /// Path and query.
    pub(crate) target: &'a [u8],
    /// `HTTP/1.1`
    pub(crate) version: &'a str,
    /// Of the response; 499 if the visitor left before there was one.
    pub(crate) status: u16,
    /// Of the response's body, as sent.
    pub(crate) bytes: u64,
    /// Of the request's body.
    pub(crate) received: u64,
    /// The Referer header.
    pub(crate) referer: Option<&'a [u8]>,
    /// The User-Agent header.
    pub(crate) user_agent: Option<&'a [u8]>,
    /// The Host header.
    pub(crate) host: Option<&'a [u8]>,
    /// Of the handshake, when it came over TLS.
    pub(crate) tls: Option<&'a Facts>,
    /// Ours.
    pub(crate) request_id: &'a str,
    /// The upstream's name, `<app>.<process>`, if the route leads to one.
    pub(crate) upstream: Option<&'a str>,
    /// The instance that answered.
    pub(crate) instance: Option<u64>,
    /// Its release.
    pub(crate) release: Option<u64>,
    /// Microseconds that it waited for a free connection.
    pub(crate) queue_micros: u64,
    /// Microseconds from the first byte to the upstream to the last one from it.
    pub(crate) upstream_micros: u64,
    /// Microseconds from the complete head to the last byte sent.
    pub(crate) total_micros: u64,
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// As nginx and Apache write by default, for the tools that read those.
    Combined,
    /// One JSON object a line, with everything that is known.
    Json,
}

/// Writes lines; one for each thread, since it remembers the second's date.
#[derive(Debug)]
pub(crate) struct Lines {
    format: Format,
    zone: TimeZone,
    second: i64,
    /// The date of `second` in the form that the format wants.
    date: Vec<u8>,
}

impl Lines {
    /// Dates of the combined format are in the machine's time zone, as nginx's are; JSON's in UTC.
    pub(crate) fn new(format: Format) -> Lines {
        Lines::in_zone(format, TimeZone::system())
    }

    fn in_zone(format: Format, zone: TimeZone) -> Lines {
        Lines {
            format,
            zone,
            second: i64::MIN,
            date: Vec::with_capacity(32),
        }
    }

    /// Append one line. Allocates nothing but room in the buffer (and, once a second, a date).
    pub(crate) fn append(&mut self, entry: &Entry<'_>, buffer: &mut Vec<u8>) {
        let second = entry.time.div_euclid(1_000_000);
        if second != self.second {
            self.second = second;
            self.remember_date();
        }
        match self.format {
            Format::Combined => self.combined(entry, buffer),
            Format::Json => self.json(entry, buffer),
        }
        buffer.push(b'\n');
    }

    fn remember_date(&mut self) {
        let at = Timestamp::from_second(self.second).unwrap_or_default();
        self.date.clear();
        let text = match self.format {
            Format::Combined => at
                .to_zoned(self.zone.clone())
                .strftime("%d/%b/%Y:%H:%M:%S %z")
                .to_string(),
            Format::Json => at
                .to_zoned(TimeZone::UTC)
                .strftime("%Y-%m-%dT%H:%M:%S")
                .to_string(),
        };
        self.date.extend_from_slice(text.as_bytes());
    }

    fn combined(&self, entry: &Entry<'_>, buffer: &mut Vec<u8>) {
        escape_combined(entry.remote.as_bytes(), buffer);
        buffer.extend_from_slice(b" - ");
        match entry.user.filter(|user| !user.is_empty()) {
            Some(user) => escape_word(user, buffer),
            None => buffer.push(b'-'),
        }
        buffer.extend_from_slice(b" [");
        buffer.extend_from_slice(&self.date);
        buffer.extend_from_slice(b"] \"");
        if entry.method.is_empty() {
            buffer.push(b'-');
        } else {
            escape_combined(entry.method, buffer);
            buffer.push(b' ');
            escape_combined(entry.target, buffer);
            buffer.push(b' ');
            escape_combined(entry.version.as_bytes(), buffer);
        }
        number(buffer, b"\" ", entry.status.into());
        number(buffer, b" ", entry.bytes);
        for value in [entry.referer, entry.user_agent] {
            buffer.extend_from_slice(b" \"");
            escape_combined(
                value.filter(|value| !value.is_empty()).unwrap_or(b"-"),
                buffer,
            );
            buffer.push(b'"');
        }
    }

    fn json<'e>(&self, entry: &Entry<'e>, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(b"{\"time\":\"");
        buffer.extend_from_slice(&self.date);
        let micros = entry.time.rem_euclid(1_000_000);
        // Writing to a Vec cannot fail.
        let _ = write!(buffer, ".{micros:06}Z\"");
        let host = |facts: &'e Facts| facts.host.as_deref().map(str::as_bytes);
        let client = |facts: &'e Facts| {
            facts
                .client
                .as_deref()
                .map(|client| client.fingerprint.as_bytes())
        };
        let texts = [
            (",\"remote\":", Some(entry.remote.as_bytes())),
            (",\"user\":", entry.user),
            (",\"host\":", entry.host),
            (",\"method\":", Some(entry.method)),
            (",\"target\":", Some(entry.target)),
            (",\"version\":", Some(entry.version.as_bytes())),
            (",\"referer\":", entry.referer),
            (",\"user_agent\":", entry.user_agent),
            (",\"tls\":", entry.tls.map(|facts| facts.version.as_bytes())),
            (
                ",\"tls_cipher\":",
                entry.tls.map(|facts| facts.cipher.as_bytes()),
            ),
            (",\"tls_host\":", entry.tls.and_then(host)),
            (",\"client\":", entry.tls.and_then(client)),
            (",\"request_id\":", Some(entry.request_id.as_bytes())),
            (",\"upstream\":", entry.upstream.map(str::as_bytes)),
        ];
        for (key, value) in texts {
            if let Some(value) = value {
                buffer.extend_from_slice(key.as_bytes());
                escape_json(value, buffer);
            }
        }
        if let Some(facts) = entry.tls {
            let resumed: &[u8] = if facts.resumed { b"true" } else { b"false" };
            buffer.extend_from_slice(b",\"tls_resumed\":");
            buffer.extend_from_slice(resumed);
        }
        let numbers = [
            (",\"status\":", Some(entry.status.into())),
            (",\"bytes\":", Some(entry.bytes)),
            (",\"received\":", Some(entry.received)),
            (",\"instance\":", entry.instance),
            (",\"release\":", entry.release),
            (",\"queue_us\":", Some(entry.queue_micros)),
            (",\"upstream_us\":", Some(entry.upstream_micros)),
            (",\"total_us\":", Some(entry.total_micros)),
        ];
        for (key, value) in numbers {
            if let Some(value) = value {
                number(buffer, key.as_bytes(), value);
            }
        }
        buffer.push(b'}');
    }
}

fn number(buffer: &mut Vec<u8>, before: &[u8], mut value: u64) {
    buffer.extend_from_slice(before);
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    buffer.extend_from_slice(&digits[start..]);
}

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// As nginx: what is not printable ASCII, quotes and backslashes become `\xHH`. So no line and no
/// field can be ended from within.
fn escape_combined(text: &[u8], buffer: &mut Vec<u8>) {
    escape(text, b' ', buffer);
}

/// The same for what stands without quotes: a space would end it, too.
fn escape_word(text: &[u8], buffer: &mut Vec<u8>) {
    escape(text, b'!', buffer);
}

fn escape(text: &[u8], first: u8, buffer: &mut Vec<u8>) {
    let plain = first..=b'~';
    let special = |byte: &u8| !plain.contains(byte) || matches!(byte, b'"' | b'\\');
    let mut rest = beginning(text);
    while let Some(place) = rest.iter().position(special) {
        let byte = rest[place];
        buffer.extend_from_slice(&rest[..place]);
        buffer.extend_from_slice(b"\\x");
        buffer.push(DIGITS[usize::from(byte >> 4)]);
        buffer.push(DIGITS[usize::from(byte & 15)]);
        rest = &rest[place + 1..];
    }
    buffer.extend_from_slice(rest);
    mark_cut(text, buffer);
}

/// What is recorded of a text: whole characters of it, where it is UTF-8.
fn beginning(text: &[u8]) -> &[u8] {
    if text.len() <= TEXT_LIMIT {
        return text;
    }
    let starts = |&at: &usize| text[at] & 0b1100_0000 != 0b1000_0000;
    let end = (TEXT_LIMIT - 3..=TEXT_LIMIT).rev().find(starts);
    &text[..end.unwrap_or(TEXT_LIMIT)]
}

/// Says how long a text was of which the end is missing, without a space, which would end a word of the combined format.
fn mark_cut(text: &[u8], buffer: &mut Vec<u8>) {
    if text.len() > TEXT_LIMIT {
        number(buffer, b"...[cut:", text.len() as u64);
        buffer.push(b']');
    }
}

/// A JSON string with its quotes (RFC 8259 §7). What is not UTF-8 becomes U+FFFD; control characters
/// beyond ASCII are escaped too, for terminals' sake.
fn escape_json(text: &[u8], buffer: &mut Vec<u8>) {
    buffer.push(b'"');
    for chunk in beginning(text).utf8_chunks() {
        let valid = chunk.valid();
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if valid.bytes().all(plain) {
            buffer.extend_from_slice(valid.as_bytes());
        } else {
            valid.chars().for_each(|c| escape_json_char(c, buffer));
        }
        if !chunk.invalid().is_empty() {
            buffer.extend_from_slice(b"\\ufffd");
        }
    }
    mark_cut(text, buffer);
    buffer.push(b'"');
}

fn escape_json_char(c: char, buffer: &mut Vec<u8>) {
    match c {
        '"' => buffer.extend_from_slice(b"\\\""),
        '\\' => buffer.extend_from_slice(b"\\\\"),
        '\n' => buffer.extend_from_slice(b"\\n"),
        '\r' => buffer.extend_from_slice(b"\\r"),
        '\t' => buffer.extend_from_slice(b"\\t"),
        // Line ends to some readers; the others are below U+00A0.
        c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
            // Writing to a Vec cannot fail.
            let _ = write!(buffer, "\\u{:04x}", u32::from(c));
        }
        c => buffer.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

#[cfg(test)]
mod tests;
