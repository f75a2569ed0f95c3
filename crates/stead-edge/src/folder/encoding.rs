//! Which precompressed sibling a visitor gets (RFC 9110 §12.5.3).

use crate::page::weight;

/// A content coding that is looked for beside a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    /// `.br`
    Brotli,
    /// `.zst`
    Zstandard,
    /// `.gz`
    Gzip,
}

impl Encoding {
    /// Preferred first when a visitor wants them equally.
    pub(crate) const ALL: [Encoding; 3] = [Encoding::Brotli, Encoding::Zstandard, Encoding::Gzip];

    /// For Content-Encoding.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Encoding::Brotli => "br",
            Encoding::Zstandard => "zstd",
            Encoding::Gzip => "gzip",
        }
    }

    /// What follows the file's own name.
    pub(crate) fn suffix(self) -> &'static [u8] {
        match self {
            Encoding::Brotli => b".br",
            Encoding::Zstandard => b".zst",
            Encoding::Gzip => b".gz",
        }
    }
}

/// The best of the codings that are there; `None`: the file as it is. No header means that nothing
/// was asked for, and the file is sent as it is.
pub(crate) fn choose(
    accept: Option<&[u8]>,
    there: impl Iterator<Item = Encoding> + Clone,
) -> Option<Encoding> {
    let accept = accept?;
    let plain = named(accept, b"identity").unwrap_or(0);
    let mut best: Option<(u16, Encoding)> = None;
    for encoding in there {
        let alias: &[u8] = if encoding == Encoding::Gzip {
            b"x-gzip"
        } else {
            b""
        };
        let quality = named(accept, encoding.name().as_bytes())
            .or_else(|| named(accept, alias))
            .or_else(|| named(accept, b"*"))
            .unwrap_or(0);
        if quality > 0 && quality >= plain && best.is_none_or(|(other, _)| quality > other) {
            best = Some((quality, encoding));
        }
    }
    best.map(|(_, encoding)| encoding)
}

/// The weight of one coding. One that cannot be read counts as 0.
fn named(accept: &[u8], name: &[u8]) -> Option<u16> {
    if name.is_empty() {
        return None;
    }
    accept.split(|&byte| byte == b',').find_map(|element| {
        let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        if !parts.next()?.eq_ignore_ascii_case(name) {
            return None;
        }
        Some(match parts.next() {
            None => 1_000,
            Some([b'q' | b'Q', b'=', value @ ..]) => weight(value).unwrap_or(0),
            Some(_) => 0,
        })
    })
}

#[cfg(test)]
mod tests;
