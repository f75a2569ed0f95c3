//! Bodies of requests on disk, until they are whole: so that no instance waits for a slow visitor, and slow visitors
//! do not fill the memory.
//!
//! A file has no name, so that nothing is left behind whatever happens. Whatever may wait for a disk runs on threads
//! that wait for nothing else: those that serve visitors go on.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use rustix::fs::OFlags;
use rustix::io::Errno;
use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes that are read in one go.
const PIECE: usize = 128 * 1024;

/// The place for all of them.
#[derive(Debug)]
pub(crate) struct Spool {
    directory: PathBuf,
    /// Most bytes of all bodies together.
    limit: u64,
    used: AtomicU64,
}

/// One body, or as much of it as has come.
#[derive(Debug)]
pub(crate) struct Spooled {
    spool: Arc<Spool>,
    file: Arc<File>,
    length: u64,
}

/// Why bytes were not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The disk is full.
    DiskFull,
    /// All bodies together have as much as they may.
    TooMuch,
    /// The disk failed.
    Failed,
}

/// Reads a body from its beginning, a piece at a time.
#[derive(Debug)]
pub(crate) struct Reader {
    file: Arc<File>,
    at: u64,
    end: u64,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
    piece: Vec<u8>,
}

impl Spool {
    /// In a directory that is made if it is not there.
    pub(crate) fn open(directory: &Path, limit: u64) -> io::Result<Arc<Self>> {
        std::fs::create_dir_all(directory)?;
        Ok(Arc::new(Self {
            directory: directory.to_owned(),
            limit,
            used: AtomicU64::new(0),
        }))
    }

    /// Bytes of all bodies together.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// A place for one body.
    pub(crate) async fn begin(self: &Arc<Self>) -> io::Result<Spooled> {
        let spool = Arc::clone(self);
        let opened = spawn_blocking(move || open_nameless(&spool.directory)).await;
        Ok(Spooled {
            spool: Arc::clone(self),
            file: Arc::new(opened.map_err(io::Error::other)??),
            length: 0,
        })
    }
}

/// A file without a name; where the file system has none, one whose name is taken away at once.
fn open_nameless(directory: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    let nameless = options
        .clone()
        .custom_flags(OFlags::TMPFILE.bits().cast_signed())
        .open(directory);
    match nameless {
        Err(error)
            if matches!(
                Errno::from_io_error(&error),
                Some(Errno::OPNOTSUPP | Errno::ISDIR)
            ) =>
        {
            let id = crate::forward::new_id();
            let path = directory.join(String::from_utf8_lossy(&id).as_ref());
            let file = options.create_new(true).open(&path)?;
            std::fs::remove_file(&path)?;
            Ok(file)
        }
        other => other,
    }
}

impl Spooled {
    /// Bytes that it has.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Put bytes at its end. The buffer comes back empty.
    pub(crate) async fn append(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Refused> {
        let more = bytes.len() as u64;
        let before = self.spool.used.fetch_add(more, Ordering::Relaxed);
        let at = self.length;
        // Counted even when it fails: what is counted is given back when this is dropped.
        self.length += more;
        if before + more > self.spool.limit {
            return Err(Refused::TooMuch);
        }
        let file = Arc::clone(&self.file);
        let written = spawn_blocking(move || {
            file.write_all_at(&bytes, at)?;
            Ok(bytes)
        });
        match written.await {
            Ok(Ok(mut bytes)) => {
                bytes.clear();
                Ok(bytes)
            }
            Ok(Err(error)) => Err(refused(&error)),
            Err(_) => Err(Refused::Failed),
        }
    }

    /// Read it from the beginning.
    pub(crate) fn reader(&self) -> Reader {
        Reader {
            file: Arc::clone(&self.file),
            at: 0,
            end: self.length,
            reading: None,
            piece: Vec::new(),
        }
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        self.spool.used.fetch_sub(self.length, Ordering::Relaxed);
        // Freeing a large file takes milliseconds, on a thread that serves nobody; when there is none any more, here.
        let file = Arc::clone(&self.file);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

/// What an error of the disk means for a visitor.
pub(crate) fn refused(error: &io::Error) -> Refused {
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::DQUOT) => Refused::DiskFull,
        _ => Refused::Failed,
    }
}

impl Reader {
    /// The next piece; `None` at the end.
    pub(crate) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<&[u8]>>> {
        if self.reading.is_none() {
            let left = self.end - self.at;
            if left == 0 {
                return Poll::Ready(Ok(None));
            }
            let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let (file, at) = (Arc::clone(&self.file), self.at);
            let mut piece = std::mem::take(&mut self.piece);
            piece.resize(length, 0);
            self.reading = Some(spawn_blocking(move || {
                file.read_exact_at(&mut piece, at)?;
                Ok(piece)
            }));
        }
        if let Some(reading) = &mut self.reading {
            let read = ready!(Pin::new(reading).poll(context));
            self.reading = None;
            self.piece = read.map_err(io::Error::other)??;
            self.at += self.piece.len() as u64;
        }
        Poll::Ready(Ok(Some(&self.piece)))
    }
}

#[cfg(test)]
mod tests;
