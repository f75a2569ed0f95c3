//! Range requests (RFC 9110 §14).

/// Part of a representation: first byte and how many. Never empty, never beyond the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// First byte.
    pub(crate) offset: u64,
    /// How many, at least one.
    pub(crate) length: u64,
}

/// What a Range header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// The whole: no range, one that cannot be read, or one that would cost more than the whole.
    Whole,
    /// At least one part, in the order asked for.
    Parts(Vec<Part>),
    /// 416: nothing of it exists.
    Unsatisfiable,
}

/// More parts than any honest client asks for are answered with the whole (RFC 9110 §14.2, §17.15).
const MOST_PARTS: usize = 16;

/// What a Range header's value means for a representation of `size` bytes. An empty one is always
/// sent whole: no part of it could be named by a Content-Range.
pub(crate) fn parse(value: &[u8], size: u64) -> Ranges {
    match parts(value, size) {
        None => Ranges::Whole,
        Some(parts) if parts.is_empty() => Ranges::Unsatisfiable,
        Some(parts) => {
            let total = parts
                .iter()
                .fold(0_u64, |sum, part| sum.saturating_add(part.length));
            // Overlapping parts would let a visitor have more sent than there is.
            if parts.len() > 1 && total > size {
                return Ranges::Whole;
            }
            Ranges::Parts(parts)
        }
    }
}

/// The parts that exist; `None` if the header cannot be read or asks for too many.
fn parts(value: &[u8], size: u64) -> Option<Vec<Part>> {
    let (unit, set) = value.trim_ascii().split_at_checked(b"bytes=".len())?;
    if size == 0 || !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut parts = Vec::new();
    let mut count = 0;
    for spec in set.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        // Empty list elements are ignored (RFC 9110 §5.6.1.2).
        if spec.is_empty() {
            continue;
        }
        count += 1;
        if count > MOST_PARTS {
            return None;
        }
        let dash = memchr::memchr(b'-', spec)?;
        let (first, last) = (&spec[..dash], &spec[dash + 1..]);
        if first.is_empty() {
            let length = number(last)?.min(size);
            if length > 0 {
                parts.push(Part {
                    offset: size - length,
                    length,
                });
            }
            continue;
        }
        let first = number(first)?;
        let last = if last.is_empty() {
            u64::MAX
        } else {
            number(last)?
        };
        if last < first {
            return None;
        }
        if first < size {
            let last = last.min(size - 1);
            parts.push(Part {
                offset: first,
                length: last - first + 1,
            });
        }
    }
    (count > 0).then_some(parts)
}

/// Digits only. A number too large to hold is larger than any file.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| match digit {
        b'0'..=b'9' => Some(
            sum.saturating_mul(10)
                .saturating_add(u64::from(digit - b'0')),
        ),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
