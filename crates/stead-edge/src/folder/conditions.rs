//! Conditional requests (RFC 9110 §13).

use crate::date;

/// What a representation's validators are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validators<'a> {
    /// With quotes, and with `W/` in front if it is weak.
    pub(crate) etag: &'a str,
    /// Seconds since 1970.
    pub(crate) modified: i64,
    /// Seconds since 1970, for dates that are only valid in the past.
    pub(crate) now: i64,
}

/// What the preconditions say, in the order of RFC 9110 §13.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Answer as if there were none.
    Proceed,
    /// 304
    NotModified,
    /// 412
    Failed,
}

/// Judge a GET or HEAD request for an existing representation.
pub(crate) fn judge<'h>(
    validators: Validators<'_>,
    header: &dyn Fn(&str) -> Option<&'h [u8]>,
) -> Verdict {
    let date = |name: &str| date::parse(header(name)?, validators.now);
    if let Some(list) = header("if-match") {
        if !lists(list, validators.etag, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if date("if-unmodified-since").is_some_and(|limit| validators.modified > limit) {
        return Verdict::Failed;
    }
    if let Some(list) = header("if-none-match") {
        if lists(list, validators.etag, Comparison::Weak) {
            return Verdict::NotModified;
        }
    } else if date("if-modified-since").is_some_and(|limit| validators.modified <= limit) {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether an If-Range header lets the Range header count (RFC 9110 §13.1.5): a strong entity tag
/// that is the same, or exactly the date of a representation that was not changed in the last second.
pub(crate) fn if_range(value: &[u8], validators: Validators<'_>) -> bool {
    let value = value.trim_ascii();
    if value.first() == Some(&b'"') || value.starts_with(b"W/") {
        return !is_weak(value) && value == validators.etag.as_bytes();
    }
    let strong = validators.modified + 1 < validators.now && !is_weak(validators.etag.as_bytes());
    strong && date::parse(value, validators.now) == Some(validators.modified)
}

/// RFC 9110 §8.8.3.2
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

fn is_weak(etag: &[u8]) -> bool {
    etag.starts_with(b"W/")
}

/// Whether a list of entity tags has this one, or is `*`. What follows the first error in a list is
/// not read.
fn lists(list: &[u8], etag: &str, comparison: Comparison) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let own = etag.as_bytes();
    let opaque = own.strip_prefix(b"W/").unwrap_or(own);
    let mut rest = list;
    loop {
        rest = rest.trim_ascii_start();
        if let Some(after) = rest.strip_prefix(b",") {
            rest = after;
            continue;
        }
        let weak = is_weak(rest);
        let tag = rest.strip_prefix(b"W/").unwrap_or(rest);
        let Some(inner) = tag.strip_prefix(b"\"") else {
            return false;
        };
        let Some(end) = memchr::memchr(b'"', inner) else {
            return false;
        };
        let (tag, after) = tag.split_at(end + 2);
        let strong_enough = comparison == Comparison::Weak || !weak && !is_weak(own);
        if strong_enough && tag == opaque {
            return true;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests;
