//! Decoding of chunked bodies (RFC 9112 section 7.1), as strict as the grammar.

/// Longest chunk-size line with its extensions, bytes.
const LINE_LIMIT: usize = 256;
/// All trailers together, bytes.
const TRAILER_LIMIT: usize = 8 * 1024;

/// Where the decoder is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before a chunk's size line.
    #[default]
    Size,
    /// Within a chunk's data; so many bytes are left.
    Data(u64),
    /// Before the CR LF after a chunk's data.
    DataEnd,
    /// Before a trailer line or the final empty line; so many trailer bytes were seen.
    Trailer(usize),
    /// After the final empty line.
    Done,
}

/// Decodes one chunked body, whatever the pieces it comes in.
#[derive(Debug, Default)]
pub(crate) struct Decoder(State);

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes at the start of the input are framing: drop them.
    Skip(usize),
    /// So many bytes at the start of the input are data: take them.
    Data(usize),
    /// More input is needed.
    More,
    /// The body has ended.
    Done,
}

/// The body cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Decoder {
    /// Look at `input`, which starts where the last step ended.
    pub(crate) fn step(&mut self, input: &[u8]) -> Result<Step, Malformed> {
        match self.0 {
            State::Done => Ok(Step::Done),
            State::Data(left) => {
                let take = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
                if take == 0 {
                    return Ok(Step::More);
                }
                let left = left - take as u64;
                self.0 = if left == 0 {
                    State::DataEnd
                } else {
                    State::Data(left)
                };
                Ok(Step::Data(take))
            }
            State::DataEnd => match input {
                [b'\r', b'\n', ..] => {
                    self.0 = State::Size;
                    Ok(Step::Skip(2))
                }
                [] | [b'\r'] => Ok(Step::More),
                _ => Err(Malformed),
            },
            State::Size => {
                let Some(line) = line(input, LINE_LIMIT)? else {
                    return Ok(Step::More);
                };
                let size = parse_size(line)?;
                self.0 = if size == 0 {
                    State::Trailer(0)
                } else {
                    State::Data(size)
                };
                Ok(Step::Skip(line.len() + 2))
            }
            // Its end, an empty line, is taken even when the limit is reached.
            State::Trailer(seen) => {
                let Some(line) = line(input, TRAILER_LIMIT.saturating_sub(seen))? else {
                    return Ok(Step::More);
                };
                if line.is_empty() {
                    self.0 = State::Done;
                } else {
                    check_trailer(line)?;
                    self.0 = State::Trailer(seen + line.len() + 2);
                }
                Ok(Step::Skip(line.len() + 2))
            }
        }
    }

    /// The body has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.0 == State::Done
    }
}

/// The first line of `input` without its CR LF, once it is whole.
fn line(input: &[u8], limit: usize) -> Result<Option<&[u8]>, Malformed> {
    match memchr::memchr2(b'\r', b'\n', input) {
        Some(at) if at > limit => Err(Malformed),
        Some(at) if input[at] == b'\n' => Err(Malformed),
        Some(at) => match input.get(at + 1) {
            Some(b'\n') => Ok(Some(&input[..at])),
            Some(_) => Err(Malformed),
            None => Ok(None),
        },
        None if input.len() > limit => Err(Malformed),
        None => Ok(None),
    }
}

/// `1F` or `1f;name=value`. No sign, no prefix, no white space: all of these are read differently by
/// different programs.
fn parse_size(line: &[u8]) -> Result<u64, Malformed> {
    let digits = line
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(line.len());
    let (size, extension) = line.split_at(digits);
    if size.is_empty() || size.len() > 15 || !are_extensions(extension) {
        return Err(Malformed);
    }
    Ok(size.iter().fold(0, |sum, &digit| {
        sum * 16
            + u64::from(if digit.is_ascii_digit() {
                digit - b'0'
            } else {
                (digit | 0x20) - b'a' + 10
            })
    }))
}

/// `;name`, `;name=value` and `;name="value"`, as often as it fits (RFC 9112 section 7.1.1). They are
/// dropped, but a line that is none of these may end elsewhere for another program.
fn are_extensions(mut rest: &[u8]) -> bool {
    while let Some((b';', after)) = rest.split_first() {
        let Some(after) = skip_token(after) else {
            return false;
        };
        rest = match after {
            [b'=', b'"', value @ ..] => match skip_quoted(value) {
                Some(after) => after,
                None => return false,
            },
            [b'=', value @ ..] => match skip_token(value) {
                Some(after) => after,
                None => return false,
            },
            _ => after,
        };
    }
    rest.is_empty()
}

/// What follows the token at the start of `text`; `None` when there is none.
fn skip_token(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().take_while(|byte| is_token(**byte)).count();
    (length > 0).then(|| &text[length..])
}

/// What follows the quotation mark that ends a quoted string (RFC 9110 section 5.6.4).
fn skip_quoted(mut text: &[u8]) -> Option<&[u8]> {
    let visible = |byte: u8| byte == b'\t' || byte >= 0x20 && byte != 0x7f;
    loop {
        text = match text {
            [b'"', after @ ..] => return Some(after),
            [b'\\', byte, after @ ..] if visible(*byte) => after,
            [byte, after @ ..] if *byte != b'\\' && visible(*byte) => after,
            _ => return None,
        };
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Trailers are dropped, but they must be header lines.
fn check_trailer(line: &[u8]) -> Result<(), Malformed> {
    let colon = memchr::memchr(b':', line).ok_or(Malformed)?;
    let value = |byte: &u8| *byte >= 0x20 && *byte != 0x7f || *byte == b'\t';
    if colon > 0
        && line[..colon].iter().all(|byte| is_token(*byte))
        && line[colon + 1..].iter().all(value)
    {
        Ok(())
    } else {
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests;
