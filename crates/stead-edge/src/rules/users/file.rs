//! A file of users, which others write.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use stead_model::htpasswd::{self, Htpasswd};

/// Longest file that is read, bytes; a longer one is broken.
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

/// A file as it was found.
#[derive(Debug)]
pub(super) struct Found {
    /// `None`: nobody can say, so it is read again.
    pub(super) stamp: Option<Stamp>,
    /// Or why it is of no use: the end of a sentence, for a person.
    pub(super) users: Result<Listed, String>,
}

/// What it says.
#[derive(Debug)]
pub(super) struct Listed {
    /// Name → hash.
    pub(super) users: BTreeMap<String, String>,
    /// Which of its lines let nobody in, for a person.
    pub(super) unusable: Option<String>,
}

/// Read it, unless it is as it was: `None`.
pub(super) fn read_changed(path: &Path, before: Option<Stamp>) -> Option<Found> {
    let now = std::fs::metadata(path).ok().map(|found| Stamp::of(&found));
    if now.is_some() && now == before {
        return None;
    }
    Some(read(path))
}

/// Read it.
pub(super) fn read(path: &Path) -> Found {
    let mut stamp = None;
    let users = read_text(path, &mut stamp).and_then(|text| list(&text));
    Found { stamp, users }
}

fn read_text(path: &Path, stamp: &mut Option<Stamp>) -> Result<String, String> {
    let cannot = |error: io::Error| format!("cannot be read: {}", plain(&error));
    // A pipe would be waited for.
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err("is no file".to_owned());
    }
    let file = File::open(path).map_err(cannot)?;
    // Before the contents: whatever is written while they are read makes another stamp.
    let metadata = file.metadata().map_err(cannot)?;
    *stamp = Some(Stamp::of(&metadata));
    if !metadata.is_file() {
        return Err("is no file".to_owned());
    }
    let mut text = Vec::new();
    let length = file.take(LARGEST + 1).read_to_end(&mut text);
    if length.map_err(cannot)? as u64 > LARGEST {
        return Err("is larger than 1 MB".to_owned());
    }
    String::from_utf8(text).map_err(|_| "is no text".to_owned())
}

/// What a text lists. One in which no line lets anybody in, though there are some, is another file by mistake.
fn list(text: &str) -> Result<Listed, String> {
    let Htpasswd { users, unusable } = htpasswd::parse(text);
    let unusable = unusable.first().map(|first| {
        let who = match &first.name {
            Some(name) => format!("line {} (`{name}`)", first.line),
            None => format!("line {}", first.line),
        };
        let others = match unusable.len() - 1 {
            0 => String::new(),
            1 => ", as does one more".to_owned(),
            more => format!(", as do {more} more"),
        };
        format!("{who} {}, and lets nobody in{others}", first.why)
    });
    match unusable {
        Some(why) if users.is_empty() => Err(format!("names nobody who could come in: {why}")),
        unusable => Ok(Listed { users, unusable }),
    }
}

/// Without the system's numbers.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it is not there".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}
