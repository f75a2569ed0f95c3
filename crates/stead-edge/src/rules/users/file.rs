//! A file of users, which others write.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Longest file that is read, bytes; of a longer one nobody is let in.
const LARGEST: u64 = 1024 * 1024;

/// By what a file is told from one that was changed or put in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What was read, name → hash; `None`: it cannot be read.
pub(super) type Contents = Option<(Stamp, BTreeMap<String, String>)>;

/// Read it, unless it is as it was: `None`.
pub(super) fn read_changed(path: &Path, before: Option<Stamp>) -> Option<Contents> {
    let now = std::fs::metadata(path).ok().map(|found| Stamp::of(&found));
    if now.is_some() && now == before {
        return None;
    }
    let contents = read(path);
    // One that still cannot be read has not changed.
    (contents.is_some() || before.is_some()).then_some(contents)
}

/// Read it.
pub(super) fn read(path: &Path) -> Contents {
    // A pipe would be waited for.
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let file = File::open(path).ok()?;
    // Before the contents: whatever is written while they are read makes another stamp.
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return None;
    }
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text).ok()?;
    let users = stead_model::htpasswd::parse(&text).users;
    Some((Stamp::of(&metadata), users))
}
