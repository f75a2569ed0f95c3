//! The head and the body of an ordinary response, written into one message.

use crate::python::Object;

const HEADER: usize = 4;
const HEAD: u32 = 1 << 24;
const BODY: u32 = 2 << 24;
const END: u32 = 3 << 24;
/// What a header name means, in the worker's `header_names`.
const ORDINARY: i64 = 1;
const CONTENT_LENGTH: i64 = 2;
/// A longer head, bytes, is Python's.
const LONGEST_HEAD: usize = 16 * 1024;
/// A longer body, bytes, is Python's: it is not worth a copy.
const LONGEST_BODY: usize = 32 * 1024 - 1;
/// Memory for messages that a thread keeps, bytes.
const KEPT: usize = 8 * 1024;

/// The response that is being made.
#[derive(Default)]
pub(crate) struct Message {
    /// The frame of the head, if there is one, and what follows it. The header's length is written last.
    bytes: Vec<u8>,
    /// Where the head ends; 0 when there is none.
    head_end: usize,
    /// What Content-Length says.
    pub(crate) length: Option<u64>,
    /// Whether the status lets it have a body.
    pub(crate) may_have_body: bool,
}

impl Message {
    /// Begin with another response.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.head_end = 0;
    }

    /// The head, without its frame's header, if start_response was called.
    pub(crate) fn head(&self) -> Option<&[u8]> {
        self.bytes.get(HEADER..self.head_end)
    }

    /// Write down what start_response was given, if that is nothing unusual: a status line and header names that
    /// Python has already found to be right, and values of ASCII. False: nothing was done.
    pub(crate) fn begin(&mut self, status: &Object, headers: &Object, known: &Known) -> bool {
        let begun = self.try_begin(status, headers, known).is_some();
        self.head_end = if begun { self.bytes.len() } else { 0 };
        begun
    }

    fn try_begin(&mut self, status: &Object, headers: &Object, known: &Known) -> Option<()> {
        let line = status.as_text()?;
        self.may_have_body = known.status_lines.dict_get(status)?.as_truth()?;
        self.length = None;
        self.bytes.clear();
        self.bytes.extend_from_slice(&[0; HEADER]);
        // A line that is known may still be one that cannot be sent.
        self.append(line)?;
        for at in 0..headers.list_size()? {
            let header = headers.list_item(at)?;
            if header.tuple_size()? != 2 {
                return None;
            }
            let (name, value) = (header.tuple_item(0)?, header.tuple_item(1)?);
            let (name_text, value_text) = (name.as_text()?, value.as_text()?);
            match known.header_names.dict_get(&name)?.as_number() {
                ORDINARY => {}
                CONTENT_LENGTH if self.length.is_none() => {
                    self.length = Some(parse_length(value_text)?)
                }
                _ => return None,
            }
            self.bytes.push(0);
            self.append(name_text)?;
            self.bytes.push(0);
            self.append(value_text)?;
        }
        (self.bytes.len() <= LONGEST_HEAD).then_some(())
    }

    /// Append what a head may hold.
    fn append(&mut self, text: &[u8]) -> Option<()> {
        if text
            .iter()
            .any(|byte| !byte.is_ascii() || matches!(byte, 0 | b'\r' | b'\n'))
        {
            return None;
        }
        self.bytes.extend_from_slice(text);
        Some(())
    }

    /// All of the response, if `body` is all of its body and short. `None`: nothing was done.
    pub(crate) fn complete(&mut self, body: &[u8]) -> Option<&[u8]> {
        let head = self.head()?.len() as u32;
        let is_whole = self.length.is_none_or(|length| length == body.len() as u64);
        if !self.may_have_body || body.is_empty() || body.len() > LONGEST_BODY || !is_whole {
            return None;
        }
        self.bytes[..HEADER].copy_from_slice(&(HEAD | head).to_le_bytes());
        self.bytes
            .extend_from_slice(&(BODY | body.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(body);
        self.bytes.extend_from_slice(&END.to_le_bytes());
        Some(&self.bytes)
    }
}

/// The worker's own memory of what it has checked.
pub(crate) struct Known {
    /// Status line → whether a response with it may have a body.
    pub(crate) status_lines: Object,
    /// Header name → its kind.
    pub(crate) header_names: Object,
}

/// A Content-Length as `parse_length` of the worker reads it.
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}
