//! The thread that puts lines into a file. Whatever the disk does, nobody waits for it: lines
//! that it cannot take are dropped and counted, and the count is written as soon as that works.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use super::Format;

/// Bytes that may wait for the disk; more are dropped.
const LONGEST_QUEUE: usize = 4 * 1024 * 1024;

/// How often the file is looked at (was it rotated or removed?), and how long after a failure the
/// next attempt is made.
const LOOKING: Duration = Duration::from_secs(1);

/// The line that says how many were dropped is not longer.
const LONGEST_COUNT: u64 = 80;

/// A running log. Ends when it and all its handles are dropped.
#[derive(Debug)]
pub(crate) struct Writer {
    handle: Handle,
    /// Says nothing; ends when the thread does.
    done: Receiver<()>,
}

/// For each thread that records.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    queue: Sender<Vec<u8>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Bytes in the queue.
    waiting: AtomicUsize,
    /// Lines dropped and not yet told in the file.
    dropped: AtomicU64,
    /// Lines dropped since the beginning.
    dropped_ever: AtomicU64,
}

impl Writer {
    /// Append to `path`, which is created if it is not there; an error now is the caller's, later ones
    /// cost lines only. At `most` bytes the file is renamed to `<path>.1`, whose former content is lost.
    pub(crate) fn start(path: PathBuf, format: Format, most: u64) -> io::Result<Writer> {
        let counts = Arc::new(Counts::default());
        let mut log = Log::open(path, format, most, Arc::clone(&counts))?;
        let (queue, lines) = channel::<Vec<u8>>();
        let (ended, done) = channel();
        std::thread::Builder::new()
            .name("stead-access-log".into())
            .spawn(move || {
                let _ended = ended;
                while let Ok(batch) = lines.recv() {
                    log.counts.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
                    log.put(&batch);
                }
            })?;
        Ok(Writer {
            handle: Handle { queue, counts },
            done,
        })
    }

    /// A way in, for one thread.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Let what is queued be written, but do not wait longer than `deadline` for a disk that hangs. All
    /// other handles must have been dropped. False if lines may be missing.
    pub(crate) fn close(self, deadline: Duration) -> bool {
        let Writer { handle, done } = self;
        drop(handle);
        done.recv_timeout(deadline) == Err(std::sync::mpsc::RecvTimeoutError::Disconnected)
    }
}

impl Handle {
    /// Hand over whole lines; the buffer comes back empty. Never blocks.
    pub(crate) fn submit(&self, lines: &mut Vec<u8>) {
        if lines.is_empty() {
            return;
        }
        let length = lines.len();
        let waiting = self.counts.waiting.fetch_add(length, Ordering::Relaxed);
        let batch = if waiting.saturating_add(length) > LONGEST_QUEUE {
            Err(std::mem::take(lines))
        } else {
            let next = Vec::with_capacity(length.min(64 * 1024));
            let batch = std::mem::replace(lines, next);
            self.queue.send(batch).map_err(|refused| refused.0)
        };
        if let Err(mut refused) = batch {
            self.counts.waiting.fetch_sub(length, Ordering::Relaxed);
            self.counts.drop_lines(&refused);
            refused.clear();
            *lines = refused;
        }
    }

    /// Lines that were dropped since the beginning.
    pub(crate) fn dropped_ever(&self) -> u64 {
        self.counts.dropped_ever.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    /// Lines that were dropped and are not yet told in the file.
    pub(crate) fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }
}

impl Counts {
    fn drop_lines(&self, lines: &[u8]) {
        let count = memchr::memchr_iter(b'\n', lines).count();
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
        self.dropped_ever.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// The file, as the thread has it.
struct Log {
    path: PathBuf,
    format: Format,
    most: u64,
    /// [`LOOKING`] but in tests.
    looking: Duration,
    file: Option<File>,
    size: u64,
    /// Not a terminal, a pipe or the like, which can be neither rotated nor removed.
    is_regular: bool,
    looked: Instant,
    /// The last failure; until [`LOOKING`] after it, lines are dropped without an attempt.
    failed: Option<Instant>,
    /// The file ends within a line: the disk took a part of it.
    torn: bool,
    counts: Arc<Counts>,
}

impl Log {
    fn open(path: PathBuf, format: Format, most: u64, counts: Arc<Counts>) -> io::Result<Log> {
        let mut log = Log {
            path,
            format,
            most,
            looking: LOOKING,
            file: None,
            size: 0,
            is_regular: true,
            looked: Instant::now(),
            failed: None,
            torn: false,
            counts,
        };
        log.reopen()?;
        Ok(log)
    }

    fn put(&mut self, batch: &[u8]) {
        if self.failed.is_some_and(|at| at.elapsed() < self.looking) {
            self.counts.drop_lines(batch);
            return;
        }
        let told = self.counts.dropped.load(Ordering::Relaxed) > 0;
        let length = batch.len() as u64 + if told { LONGEST_COUNT } else { 0 };
        let written = self.make_ready(length).and_then(|()| self.tell_dropped());
        let taken = if written.is_ok() {
            self.write(batch)
        } else {
            0
        };
        self.failed = None;
        if taken < batch.len() {
            // The line that was torn counts as dropped, with those after it.
            self.counts.drop_lines(&batch[taken..]);
            self.failed = Some(Instant::now());
            self.file = None;
        }
    }

    /// An open file under the right name with room for `length` more bytes.
    fn make_ready(&mut self, length: u64) -> io::Result<()> {
        if self.looked.elapsed() >= self.looking {
            self.looked = Instant::now();
            self.look();
        }
        if self.file.is_none() {
            self.reopen()?;
        }
        if self.is_regular && self.size > 0 && self.size.saturating_add(length) > self.most {
            // If that fails the file would grow without bounds: rather no lines.
            self.rotate(length)?;
        }
        Ok(())
    }

    /// Rename the file, unless another edge that writes to it (it drains, or takes over) has done so: a second
    /// time, and the lines of the first would be lost.
    fn rotate(&mut self, length: u64) -> io::Result<()> {
        if let Some(file) = self.file.take() {
            // Whoever has the lock renames, and the others then see that the path names another file. Where files
            // cannot be locked (some network file systems) there is one edge, most likely.
            while rustix::fs::flock(&file, FlockOperation::LockExclusive) == Err(Errno::INTR) {}
            let (ours, named) = (file.metadata()?, std::fs::metadata(&self.path));
            let is_named = named.is_ok_and(|named| is_same(&ours, &named));
            if is_named && ours.len().saturating_add(length) > self.most {
                std::fs::rename(&self.path, old_name(&self.path))?;
            }
        }
        self.reopen()
    }

    /// Let go of a file that is no longer what the path names, or that somebody cut.
    fn look(&mut self) {
        let Some(file) = self.file.as_ref().filter(|_| self.is_regular) else {
            return;
        };
        let (Ok(ours), Ok(named)) = (file.metadata(), std::fs::metadata(&self.path)) else {
            self.file = None;
            return;
        };
        self.size = ours.len();
        if !is_same(&ours, &named) {
            self.file = None;
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        // Visitors' addresses are nobody's business but the operator's. A pipe that nobody reads is an
        // error, and a full one costs lines: neither is waited for.
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(&self.path)?;
        let metadata = file.metadata()?;
        self.is_regular = metadata.is_file();
        self.size = metadata.len();
        self.torn = self.is_regular && self.size > 0 && !self.ends_with_line();
        self.looked = Instant::now();
        self.file = Some(file);
        Ok(())
    }

    /// Whether the last thing in the file is a whole line; it is not after a crash or on a full disk.
    fn ends_with_line(&self) -> bool {
        let mut last = [0];
        let read =
            File::open(&self.path).and_then(|file| file.read_exact_at(&mut last, self.size - 1));
        read.is_ok() && last == *b"\n"
    }

    fn tell_dropped(&mut self) -> io::Result<()> {
        let dropped = self.counts.dropped.load(Ordering::Relaxed);
        if dropped == 0 {
            return Ok(());
        }
        let line = match self.format {
            Format::Combined => {
                format!("# {dropped} requests before this line are not recorded here\n")
            }
            Format::Json => format!("{{\"dropped\":{dropped}}}\n"),
        };
        if self.write(line.as_bytes()) < line.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.counts.dropped.fetch_sub(dropped, Ordering::Relaxed);
        Ok(())
    }

    /// How many bytes the disk took.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let Some(file) = &mut self.file else {
            return 0;
        };
        if self.torn {
            match file.write(b"\n") {
                Ok(1) => self.torn = false,
                _ => return 0,
            }
        }
        let mut taken = 0;
        while taken < bytes.len() {
            match file.write(&bytes[taken..]) {
                Ok(0) => break,
                Ok(length) => taken += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.size = self.size.saturating_add(taken as u64);
        self.torn = taken > 0 && bytes[taken - 1] != b'\n';
        taken
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// `access.log` → `access.log.1`
fn old_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests;
