//! Names made from content.

use sha2::{Digest, Sha256};

/// Lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Collects what a thing depends on; the result names it on disk.
pub(crate) struct Key(Sha256);

impl Key {
    /// `kind` keeps two kinds of things apart, and is changed when what Stead does with the same
    /// input changes.
    pub(crate) fn new(kind: &str) -> Self {
        Self(Sha256::new()).with("kind", kind)
    }

    /// Add one named part. Length first, so that no two lists of parts look alike.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.0.update((name.len() as u64).to_le_bytes());
        self.0.update(name);
        self.0.update((value.len() as u64).to_le_bytes());
        self.0.update(value);
        self
    }

    /// 80 bits in hexadecimal: short enough for a path, unique enough for one app's builds.
    pub(crate) fn finish(self) -> String {
        let mut name = hexadecimal(&self.0.finalize());
        name.truncate(20);
        name
    }
}
