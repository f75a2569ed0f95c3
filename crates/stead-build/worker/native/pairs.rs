//! A request's frame as pairs: its `environ` in CPython's marshal format, of which the edge writes a part (docs/worker-protocol.md).

/// A pair of the frame's dict, as it is written (docs/worker-protocol.md).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pair<'a> {
    /// As it is in the frame, key and value.
    pub(crate) bytes: &'a [u8],
    /// How much of that the key is.
    pub(crate) key_end: usize,
    pub(crate) key: &'a [u8],
    pub(crate) value: Value<'a>,
}

/// What a value is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A `str`, in UTF-8.
    Text(&'a [u8]),
    /// A `bytes`: the body.
    Bytes(&'a [u8]),
}

/// The marshalled dict of a frame; `None` if it is none.
pub(crate) fn dict_of(payload: &[u8]) -> Option<&[u8]> {
    payload.strip_prefix(b"{")
}

/// Whether a dict ends here.
pub(crate) fn is_end(rest: &[u8]) -> bool {
    rest == b"0"
}

/// The first pair of what is left of a dict; `None` if it is not one that the edge writes.
pub(crate) fn first_pair(rest: &[u8]) -> Option<Pair<'_>> {
    let (kind, key, after_key) = first_value(rest)?;
    if !matches!(kind, b'Z' | b'a') {
        return None;
    }
    let (kind, value, after) = first_value(after_key)?;
    let value = match kind {
        b's' => Value::Bytes(value),
        b'Z' => return None,
        _ => Value::Text(value),
    };
    let (key_end, end) = (rest.len() - after_key.len(), rest.len() - after.len());
    Some(Pair {
        bytes: &rest[..end],
        key_end,
        key,
        value,
    })
}

/// The type, the content and what follows it.
fn first_value(rest: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, rest) = rest.split_first()?;
    let (size, rest) = match kind {
        b'z' | b'Z' => {
            let (&size, rest) = rest.split_first()?;
            (usize::from(size), rest)
        }
        b'a' | b'u' | b's' => {
            let (size, rest) = rest.split_first_chunk::<4>()?;
            (u32::from_le_bytes(*size) as usize, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(size)?;
    Some((kind, content, rest))
}
