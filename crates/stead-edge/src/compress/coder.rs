//! One body on its way through a compressor.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};

use brotli::CompressorWriter;
use flate2::write::GzEncoder;

use crate::folder::Encoding;

/// Compressors at once, all threads together. One of brotli's was measured to hold 2.1 MB, of Zstandard's 1.1 MB, of gzip's 0.5
/// MB. What comes beyond is sent plain.
pub(crate) const MOST: usize = 64;
/// The window of brotli and Zstandard, as a power of two: 256 KB, more than nearly any page.
const WINDOW: u32 = 18;
/// Chosen for a machine with one processor: beyond these the last few percent cost several times as much.
const BROTLI: u32 = 4;
const ZSTANDARD: i32 = 3;
const GZIP: u32 = 5;

/// For files, which are compressed once and sent many times.
const BROTLI_ONCE: u32 = 9;
const ZSTANDARD_ONCE: i32 = 12;
const GZIP_ONCE: u32 = 8;

/// How many compressors there are. Every edge of a process shares it, as they share the memory.
static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// A place among [`MOST`].
#[derive(Debug)]
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let before = IN_USE.fetch_add(1, Ordering::Relaxed);
        let place = Self;
        (before < MOST).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        IN_USE.fetch_sub(1, Ordering::Relaxed);
    }
}

enum Kind {
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstandard(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Gzip(GzEncoder<Vec<u8>>),
}

/// A compressor.
pub(crate) struct Coder {
    kind: Kind,
    /// Bytes that must still come, if that is known.
    left: Option<u64>,
    /// Something was taken in that may not have come out.
    dirty: bool,
    _place: Place,
}

impl std::fmt::Debug for Coder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coder")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl Coder {
    /// `length`: of the whole body, if it is known. `None`: there are too many compressors.
    pub(crate) fn new(encoding: Encoding, length: Option<u64>) -> Option<Self> {
        let place = Place::take()?;
        let kind = Kind::new(encoding).ok()?;
        Some(Self {
            kind,
            left: length,
            dirty: false,
            _place: place,
        })
    }

    /// Nobody knows where the body ends.
    pub(crate) fn is_endless(&self) -> bool {
        self.left.is_none()
    }

    /// Take a piece in. What goes beyond the known length is dropped. What comes out is in [`Self::take`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let bytes = match &mut self.left {
            Some(left) => {
                let take = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= take as u64;
                &bytes[..take]
            }
            None => bytes,
        };
        self.dirty |= !bytes.is_empty();
        match &mut self.kind {
            Kind::Brotli(coder) => coder.write_all(bytes),
            Kind::Zstandard(coder) => coder.write_all(bytes),
            Kind::Gzip(coder) => coder.write_all(bytes),
        }
    }

    /// Let everything come out that was taken in. `false`: there was nothing.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        if !std::mem::take(&mut self.dirty) {
            return Ok(false);
        }
        match &mut self.kind {
            Kind::Brotli(coder) => coder.flush()?,
            Kind::Zstandard(coder) => coder.flush()?,
            Kind::Gzip(coder) => coder.flush()?,
        }
        Ok(true)
    }

    /// What has come out.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(match &mut self.kind {
            Kind::Brotli(coder) => coder.get_mut(),
            Kind::Zstandard(coder) => coder.get_mut(),
            Kind::Gzip(coder) => coder.get_mut(),
        })
    }

    /// The body is complete: the rest. `None`: it is shorter than was said.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        if self.left.is_some_and(|left| left > 0) {
            return None;
        }
        self.kind.finish().ok()
    }
}

impl Kind {
    fn new(encoding: Encoding) -> io::Result<Self> {
        Self::with(encoding, BROTLI, ZSTANDARD, GZIP)
    }

    /// With levels.
    fn with(encoding: Encoding, brotli: u32, zstandard: i32, gzip: u32) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Brotli => {
                let coder = CompressorWriter::new(Vec::new(), 4096, brotli, WINDOW);
                Self::Brotli(Box::new(coder))
            }
            Encoding::Zstandard => {
                let mut coder = zstd::stream::write::Encoder::new(Vec::new(), zstandard)?;
                coder.window_log(WINDOW)?;
                Self::Zstandard(coder)
            }
            Encoding::Gzip => {
                let level = flate2::Compression::new(gzip);
                Self::Gzip(GzEncoder::new(Vec::new(), level))
            }
        })
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Brotli(coder) => Ok(coder.into_inner()),
            Self::Zstandard(coder) => coder.finish(),
            Self::Gzip(coder) => coder.finish(),
        }
    }
}

/// All of a file at once, with more care: it is sent many times.
pub(crate) fn whole(encoding: Encoding, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut kind = Kind::with(encoding, BROTLI_ONCE, ZSTANDARD_ONCE, GZIP_ONCE)?;
    match &mut kind {
        Kind::Brotli(coder) => coder.write_all(bytes)?,
        Kind::Zstandard(coder) => coder.write_all(bytes)?,
        Kind::Gzip(coder) => coder.write_all(bytes)?,
    }
    kind.finish()
}

#[cfg(test)]
mod tests;
