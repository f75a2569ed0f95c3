//! Certificates on disk: a directory for each, which appears whole by a rename and is never changed after.
//!
//! ```text
//! certificates/                       0700; on a host 0710, of the edge's group
//!   attempts.json                     what was tried (`attempts`)
//!   accounts/<hash>.json              an authority's account, with its key
//!   orders/<hash>.json                an order that is under way, with its key (`pending`)
//!   self-signed.pem  self-signed.key  shown until there is a certificate (`temporary`)
//!   entries/<host>.<time>.<random>/   one certificate
//!     chain.pem  key.pem  entry.json  each 0600; on a host the first two 0640, of the edge's group
//! ```
//!
//! What cannot be read costs its own entry and nothing else.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::leaf::{self, Leaf};
use super::plan::Stored;
use crate::listener;

mod reading;

use self::reading::Stamp;

const ENTRIES: &str = "entries";
const CHAIN: &str = "chain.pem";
const KEY: &str = "key.pem";
const FACTS: &str = "entry.json";
/// Names of directories that are being made or removed begin with it.
const PASSING: char = '.';
/// Raised when an older program would misunderstand `entry.json`.
const VERSION: u32 = 1;
/// Larger than any chain or key; a file that is not is not read.
const LARGEST: u64 = 1 << 20;

/// The store of one state directory.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    directory: PathBuf,
    /// The group that may read certificates with their keys, and nothing else of it.
    readers: Option<u32>,
}

/// A certificate that was read and whose key belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) stored: Stored,
    /// Who issued it, as it says itself.
    pub(crate) issuer: String,
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
    /// The leaf, DER.
    pub(crate) leaf: Vec<u8>,
    /// Of the files that it was read from.
    stamp: Stamp,
}

/// An entry that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) path: PathBuf,
    pub(crate) why: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    version: u32,
    /// Of the authority's directory; `None`: imported.
    directory: Option<String>,
}

impl Store {
    /// The store below a state directory, made if need be. `readers`: a group that may read certificates and keys; it passes through the
    /// directories without seeing what else is there.
    pub(crate) fn open(state: &Path, readers: Option<u32>) -> io::Result<Self> {
        let directory = state.join("certificates");
        let entries = directory.join(ENTRIES);
        for path in [state, &directory, &entries] {
            DirBuilder::new().mode(0o700).recursive(true).create(path)?;
        }
        let store = Self { directory, readers };
        // It may have been copied here, and be open to others.
        let mode = if readers.is_some() { 0o710 } else { 0o700 };
        store.own(&store.directory, mode)?;
        if readers.is_some() {
            store.own(&entries, mode)?;
            // The group may have another number than it had.
            for entry in store.paths()? {
                store.share_entry(&entry)?;
            }
        }
        Ok(store)
    }

    /// Let the readers, if there are any, read a file of ours.
    pub(super) fn share(&self, path: &Path) -> io::Result<()> {
        match self.readers {
            Some(_) => self.own(path, 0o640),
            None => Ok(()),
        }
    }

    fn share_entry(&self, entry: &Path) -> io::Result<()> {
        if self.readers.is_none() {
            return Ok(());
        }
        for name in [CHAIN, KEY] {
            match self.share(&entry.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.own(entry, 0o710)
    }

    /// Of the readers' group, with this mode. First the group: nobody else gets it in between.
    fn own(&self, path: &Path, mode: u32) -> io::Result<()> {
        let is = std::fs::metadata(path)?;
        if let Some(readers) = self.readers.filter(|readers| *readers != is.gid()) {
            lchown(path, None, Some(readers))?;
        }
        match is.mode() & 0o7777 == mode {
            true => Ok(()),
            false => std::fs::set_permissions(path, Permissions::from_mode(mode)),
        }
    }

    /// The same for whoever only looks.
    pub(crate) fn at(state: &Path) -> Self {
        Self {
            directory: state.join("certificates"),
            readers: None,
        }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Keep a certificate and its key. On an error nothing is there that was not before.
    pub(crate) fn put(
        &self,
        chain: &str,
        key: &str,
        directory: Option<&str>,
        now: Timestamp,
    ) -> Result<Entry, String> {
        let leaf = leaf::read(chain, key)?;
        let random = listener::random::<4>().map_err(|error| error.to_string())?;
        let name = entry_name(&leaf, now, random);
        let path = self.directory.join(ENTRIES).join(&name);
        let facts = Facts {
            version: VERSION,
            directory: directory.map(str::to_owned),
        };
        let kept = (|| {
            let aside = self
                .directory
                .join(ENTRIES)
                .join(format!("{PASSING}{name}"));
            DirBuilder::new().mode(0o700).create(&aside)?;
            write_new(&aside.join(CHAIN), chain.as_bytes())?;
            write_new(&aside.join(KEY), key.as_bytes())?;
            write_new(&aside.join(FACTS), &serde_json::to_vec_pretty(&facts)?)?;
            self.share_entry(&aside)?;
            File::open(&aside)?.sync_all()?;
            std::fs::rename(&aside, &path).inspect_err(|_| {
                let _ = std::fs::remove_dir_all(&aside);
            })?;
            File::open(self.directory.join(ENTRIES))?.sync_all()
        })();
        kept.map_err(|error: io::Error| format!("cannot write `{}`: {error}", path.display()))?;
        read(&path)
    }

    /// Take a certificate away: at no moment is there half of it.
    pub(crate) fn remove(&self, id: &str) -> io::Result<()> {
        let entries = self.directory.join(ENTRIES);
        let aside = entries.join(format!("{PASSING}{id}"));
        std::fs::rename(entries.join(id), &aside)?;
        std::fs::remove_dir_all(aside)
    }

    /// Remove what a program that was killed left half made.
    pub(crate) fn sweep(&self) {
        let found = std::fs::read_dir(self.directory.join(ENTRIES));
        for entry in found.into_iter().flatten().flatten() {
            if is_passing(&entry.path()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Write a file that is the former one or this one, whatever happens on the way; 0600.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    // Created with mode 0600.
    let mut aside = tempfile::NamedTempFile::new_in(directory)?;
    aside.write_all(bytes)?;
    aside.as_file().sync_all()?;
    aside.persist(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn is_passing(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with(PASSING)
}

fn read(path: &Path) -> Result<Entry, String> {
    // Before they are read: what changes meanwhile is seen the next time.
    let stamp = Stamp::of(path);
    let file = |name: &str| {
        let path = path.join(name);
        text(&path).map_err(|why| format!("cannot read `{name}`: {why}"))
    };
    let facts: Facts = serde_json::from_str(&file(FACTS)?)
        .map_err(|error| format!("`{FACTS}` is broken: {error}"))?;
    if facts.version != VERSION {
        return Err(format!("it is of version {}", facts.version));
    }
    let leaf = leaf::read(&file(CHAIN)?, &file(KEY)?)?;
    let id = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(Entry {
        stored: Stored {
            id: id.into_owned(),
            names: leaf.names,
            begins: leaf.begins,
            ends: leaf.ends,
            directory: facts.directory,
        },
        issuer: leaf.issuer,
        chain: path.join(CHAIN),
        key: path.join(KEY),
        leaf: leaf.der,
        stamp,
    })
}

/// A text file that is not larger than one should be.
pub(crate) fn text(path: &Path) -> Result<String, String> {
    let because = |error: io::Error| error.to_string();
    let file = File::open(path).map_err(because)?;
    if file.metadata().map_err(because)?.len() > LARGEST {
        return Err("it is too large".to_owned());
    }
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, LARGEST), &mut text).map_err(because)?;
    Ok(text)
}

/// What an administrator finds again: the first host, and when.
fn entry_name(leaf: &Leaf, now: Timestamp, random: [u8; 4]) -> String {
    let host = leaf.names.first().map_or("unnamed", String::as_str);
    let host: String = host
        .chars()
        .map(|c| match c {
            '*' => '_',
            c if c.is_ascii_alphanumeric() || c == '-' || c == '.' => c,
            _ => '-',
        })
        .take(100)
        .collect();
    let host = host.trim_start_matches(PASSING);
    let time = now.strftime("%Y%m%dT%H%M%SZ");
    format!("{host}.{time}.{:08x}", u32::from_be_bytes(random))
}

#[cfg(test)]
mod tests;
