//! Pointers of Git LFS: what git itself has of a large file (version 1 of its specification).

/// Longer than any pointer.
const LONGEST: usize = 1024;

/// The content that a pointer stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pointer {
    /// SHA-256 in hexadecimal digits.
    pub(super) digest: String,
}

impl Pointer {
    /// `None`: it is an ordinary content.
    pub(super) fn read(content: &[u8]) -> Option<Self> {
        if content.len() > LONGEST {
            return None;
        }
        let text = std::str::from_utf8(content).ok()?;
        let mut lines = text.lines();
        lines
            .next()
            .filter(|first| *first == "version https://git-lfs.github.com/spec/v1")?;
        let digest = lines.find_map(|line| line.strip_prefix("oid sha256:"))?;
        stead_model::agent::is_digest(digest).then(|| Self {
            digest: digest.to_owned(),
        })
    }
}
