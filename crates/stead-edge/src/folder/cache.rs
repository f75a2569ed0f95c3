//! The files that a thread served lately, kept open.
//!
//! A hit costs no system call; a small file's content is in memory. After [`FRESH`] an entry is
//! opened again and compared, so that a changed file is seen within that time. What does not exist
//! is not remembered: a visitor who tries names fills nothing.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use rustix::fs::{FileType, Stat, fstat};

use super::encoding::Encoding;
use super::open::{self, Opener};
use super::types;
use crate::compress::files::LARGEST;
use crate::compress::{SMALLEST, is_type};
use crate::date;

/// How long an entry is used without looking at the disk.
const FRESH: Duration = Duration::from_secs(1);

/// Open descriptors for each thread, at most, in files that are cached.
const MOST_FILES: usize = 256;
/// Files up to this size are kept in memory.
const LARGEST_CONTENT: u64 = 32 * 1024;
/// For each thread, all contents together.
const MOST_CONTENT: u64 = 1024 * 1024;
/// Of a longer text, this much is looked at to see whether it is UTF-8.
const LOOKED_AT: usize = 16 * 1024;
/// A file changed this lately may change again without a new time stamp: the kernel's clock for
/// them ticks every few milliseconds, some file systems' every two seconds.
const UNSETTLED: i64 = 2;

/// Owned by one thread.
#[derive(Debug)]
pub(crate) struct FileCache {
    fresh: Duration,
    /// Seconds; [`UNSETTLED`] but in tests.
    pub(super) unsettled: i64,
    pub(super) opener: Opener,
    entries: HashMap<Box<[u8]>, Entry>,
    roots: HashMap<PathBuf, (Arc<OwnedFd>, Instant)>,
    files: usize,
    content: u64,
    key: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    checked: Instant,
    found: Found,
}

/// What a path names.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// A regular file.
    File(Arc<Representations>),
    /// A folder.
    Folder,
    /// A device, a socket or a pipe.
    Other,
}

/// A file and its precompressed siblings.
#[derive(Debug)]
pub(super) struct Representations {
    pub(super) plain: Representation,
    pub(super) encoded: Vec<(Encoding, Representation)>,
    pub(super) content_type: String,
    /// For a year, as the name says what the content is.
    pub(super) immutable: bool,
    /// Of a type that gets smaller, of a size for which that is worth it, and not about to change.
    pub(super) compressible: bool,
}

/// One file's bytes and validators.
#[derive(Debug)]
pub(super) struct Representation {
    pub(super) file: Arc<File>,
    pub(super) content: Option<Bytes>,
    pub(super) size: u64,
    /// Seconds since 1970; never in the future (RFC 9110 §8.8.2.1).
    pub(super) modified: i64,
    pub(super) last_modified: String,
    /// Strong: it changes with the inode, its size and its time stamps, in nanoseconds, of which
    /// `ctime` cannot be set back. Weak while the file is so new that these may not tell
    /// (RFC 9110 §8.8.1). Hosts of a fleet give the same file different tags; that costs a repeated
    /// download when a visitor changes hosts, never a wrong one.
    pub(super) etag: String,
    pub(super) stamp: Stamp,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Default for FileCache {
    fn default() -> FileCache {
        FileCache::new(FRESH)
    }
}

impl FileCache {
    /// One that looks at the disk again after `fresh`.
    pub(super) fn new(fresh: Duration) -> FileCache {
        FileCache {
            fresh,
            unsettled: UNSETTLED,
            opener: Opener::default(),
            entries: HashMap::new(),
            roots: HashMap::new(),
            files: 0,
            content: 0,
            key: Vec::new(),
        }
    }

    /// Close what was not asked for lately. To be called now and then (every few seconds, and when a
    /// routing table is replaced): an open descriptor keeps a deleted release on the disk.
    pub(crate) fn sweep(&mut self) {
        let (now, fresh) = (Instant::now(), self.fresh.max(FRESH));
        let young = |checked: Instant| now.saturating_duration_since(checked) <= fresh;
        self.entries.retain(|_, entry| young(entry.checked));
        self.roots.retain(|_, (_, checked)| young(*checked));
        self.count();
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.roots.clear();
        self.count();
    }

    fn count(&mut self) {
        (self.files, self.content) = (0, 0);
        for entry in self.entries.values() {
            let (files, content) = entry.found.weight();
            self.files += files;
            self.content += content;
        }
        if self.entries.is_empty() {
            self.entries.shrink_to_fit();
        }
    }

    /// What `path` (relative, clean) names below `root`.
    pub(super) fn find(&mut self, root: &Path, path: &[u8]) -> io::Result<Found> {
        let now = Instant::now();
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        key.extend_from_slice(root.as_os_str().as_bytes());
        key.push(0);
        key.extend_from_slice(path);
        let found = self.find_by_key(&key, root, path, now);
        self.key = key;
        found
    }

    fn find_by_key(
        &mut self,
        key: &[u8],
        root: &Path,
        path: &[u8],
        now: Instant,
    ) -> io::Result<Found> {
        if let Some(entry) = self.entries.get(key)
            && now.saturating_duration_since(entry.checked) < self.fresh
        {
            return Ok(entry.found.clone());
        }
        let old = self.entries.remove(key).map(|entry| entry.found);
        if let Some(old) = &old {
            let (files, content) = old.weight();
            self.files = self.files.saturating_sub(files);
            self.content = self.content.saturating_sub(content);
        }
        let mut loaded = self.load(root, path, old.as_ref(), now);
        if loaded.as_ref().is_err_and(out_of_descriptors) {
            self.clear();
            loaded = self.load(root, path, None, now);
        }
        let found = loaded?;
        self.make_room();
        let (files, content) = found.weight();
        self.files += files;
        self.content += content;
        self.entries.insert(
            key.into(),
            Entry {
                checked: now,
                found: found.clone(),
            },
        );
        Ok(found)
    }

    fn make_room(&mut self) {
        let full =
            |cache: &FileCache| cache.files >= MOST_FILES || cache.entries.len() >= MOST_FILES;
        if full(self) {
            self.sweep();
        }
        if full(self) {
            self.clear();
        }
    }

    fn load(
        &mut self,
        root: &Path,
        path: &[u8],
        old: Option<&Found>,
        now: Instant,
    ) -> io::Result<Found> {
        let folder = self.root(root, now)?;
        let file = self.opener.open(&folder, root, path)?;
        let stat = fstat(&file)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Ok(Found::Folder),
            _ => return Ok(Found::Other),
        }
        let old = match old {
            Some(Found::File(old)) => Some(&**old),
            _ => None,
        };
        let clock = date::seconds(SystemTime::now());
        let plain = self.representation(file, &stat, clock, old.map(|old| &old.plain));
        let media_type = types::of(path);
        let content_type = if types::is_text(media_type) && is_utf8(&plain) {
            format!("{media_type}; charset=utf-8")
        } else {
            media_type.to_owned()
        };
        let mut encoded = Vec::new();
        if types::is_compressible(media_type) {
            for encoding in Encoding::ALL {
                let name = [path, encoding.suffix()].concat();
                let Ok(file) = self.opener.open(&folder, root, &name) else {
                    continue;
                };
                let stat = fstat(&file)?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                    let old = old.and_then(|old| old.encoded(encoding));
                    encoded.push((encoding, self.representation(file, &stat, clock, old)));
                }
            }
        }
        let immutable = types::is_fingerprinted(path);
        let compressible = (SMALLEST..=LARGEST).contains(&plain.size)
            && !plain.etag.starts_with("W/")
            && is_type(media_type.as_bytes());
        Ok(Found::File(Arc::new(Representations {
            compressible,
            plain,
            encoded,
            content_type,
            immutable,
        })))
    }

    /// The root folder's descriptor. It is opened again after [`FRESH`]: build tools remove and
    /// recreate their output folder.
    fn root(&mut self, path: &Path, now: Instant) -> io::Result<Arc<OwnedFd>> {
        if let Some((folder, checked)) = self.roots.get(path)
            && now.saturating_duration_since(*checked) < self.fresh
        {
            return Ok(Arc::clone(folder));
        }
        let folder = Arc::new(open::root(path)?);
        self.roots
            .insert(path.to_owned(), (Arc::clone(&folder), now));
        Ok(folder)
    }

    fn representation(
        &self,
        file: File,
        stat: &Stat,
        clock: i64,
        old: Option<&Representation>,
    ) -> Representation {
        let stamp = Stamp::of(stat);
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let settled = clock.saturating_sub(stamp.changed.0.max(stamp.modified.0)) > self.unsettled;
        let known = old
            .filter(|old| old.stamp == stamp)
            .and_then(|old| old.content.clone());
        let content = match known {
            Some(content) => Some(content),
            None if settled && size <= LARGEST_CONTENT && self.content + size <= MOST_CONTENT => {
                read(&file, size)
            }
            None => None,
        };
        let modified = stamp.modified.0.min(clock);
        let weak = if settled { "" } else { "W/" };
        Representation {
            file: Arc::new(file),
            content,
            size,
            modified,
            last_modified: String::from_utf8_lossy(&date::format(modified)).into_owned(),
            etag: format!("{weak}\"{size:x}-{:016x}\"", stamp.hash()),
            stamp,
        }
    }
}

impl Found {
    /// How many descriptors and bytes of memory it holds.
    fn weight(&self) -> (usize, u64) {
        let Found::File(file) = self else {
            return (0, 0);
        };
        let all = file
            .encoded
            .iter()
            .map(|(_, each)| each)
            .chain([&file.plain]);
        all.fold((0, 0), |(files, content), each| {
            (
                files + 1,
                content
                    + each
                        .content
                        .as_ref()
                        .map_or(0, |content| content.len() as u64),
            )
        })
    }
}

impl Representations {
    pub(super) fn encoded(&self, encoding: Encoding) -> Option<&Representation> {
        self.encoded
            .iter()
            .find(|(own, _)| *own == encoding)
            .map(|(_, each)| each)
    }
}

impl Stamp {
    fn of(stat: &Stat) -> Stamp {
        Stamp {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }

    /// All but the device's number, which may be another after a reboot. Mixed, so that no inode number
    /// is told.
    fn hash(&self) -> u64 {
        let numbers = [
            self.inode,
            self.size as u64,
            self.modified.0 as u64,
            self.modified.1 as u64,
            self.changed.0 as u64,
            self.changed.1 as u64,
        ];
        // The finaliser of SplitMix64 (Steele, Lea, Flood 2014) over each number.
        numbers
            .iter()
            .fold(0x9e37_79b9_7f4a_7c15, |sum: u64, number| {
                let mut mixed = (sum ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                mixed ^ (mixed >> 31)
            })
    }
}

/// The whole file, unless it is being cut while it is read.
fn read(file: &File, size: u64) -> Option<Bytes> {
    let mut content = vec![0; usize::try_from(size).ok()?];
    file.read_exact_at(&mut content, 0).ok()?;
    Some(content.into())
}

/// Whether a text may be called UTF-8; a page in another encoding names it in itself, and a
/// charset in the header would overrule that.
fn is_utf8(representation: &Representation) -> bool {
    let mut start = Vec::new();
    let text = match &representation.content {
        Some(content) => content.as_ref(),
        None => {
            start.resize(LOOKED_AT, 0);
            let Ok(length) = representation.file.read_at(&mut start, 0) else {
                return true;
            };
            &start[..length]
        }
    };
    match std::str::from_utf8(text) {
        Ok(_) => true,
        // Cut within a character.
        Err(error) => error.error_len().is_none() && text.len() == LOOKED_AT,
    }
}

pub(super) fn out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}

#[cfg(test)]
impl FileCache {
    /// Descriptors, bytes in memory, entries.
    pub(super) fn held(&self) -> (usize, u64, usize) {
        (self.files, self.content, self.entries.len())
    }
}
