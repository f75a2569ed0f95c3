//! Reading the store: only what is new or has changed, and with all processors where that is much.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Broken, CHAIN, ENTRIES, Entry, FACTS, KEY, Store, is_passing, read};

/// Fewer than this many entries are read by one thread.
const FEW: usize = 64;

/// By what an entry's files are known to be those that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp([Option<[i64; 7]>; 3]);

impl Stamp {
    pub(super) fn of(entry: &Path) -> Self {
        let of = |about: Metadata| {
            [
                about.dev() as i64,
                about.ino() as i64,
                about.size() as i64,
                about.mtime(),
                about.mtime_nsec(),
                about.ctime(),
                about.ctime_nsec(),
            ]
        };
        Self([CHAIN, KEY, FACTS].map(|name| std::fs::metadata(entry.join(name)).ok().map(of)))
    }
}

impl Store {
    /// Bring what was read up to date: every certificate, in the order of their names; what is wrong with others. Files
    /// that have not changed are not read again. On an error `entries` is as it was.
    pub(crate) fn reload(&self, entries: &mut Vec<Entry>) -> io::Result<Vec<Broken>> {
        let paths = self.paths()?;
        let mut known: HashMap<PathBuf, Entry> = std::mem::take(entries)
            .into_iter()
            .map(|entry| (entry.chain.clone(), entry))
            .collect();
        let mut new = Vec::new();
        for path in paths {
            let former = known.remove(&path.join(CHAIN));
            match former.filter(|former| former.stamp == Stamp::of(&path)) {
                Some(former) => entries.push(former),
                None => new.push(path),
            }
        }
        let mut broken = Vec::new();
        let read = read_all(&new);
        for (path, read) in new.into_iter().zip(read) {
            match read {
                Ok(entry) => entries.push(entry),
                Err(why) => broken.push(Broken { path, why }),
            }
        }
        entries.sort_by(|a, b| a.stored.id.cmp(&b.stored.id));
        Ok(broken)
    }

    /// The directories of all entries, in the order of their names.
    pub(super) fn paths(&self) -> io::Result<Vec<PathBuf>> {
        let found = match std::fs::read_dir(self.directory.join(ENTRIES)) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut paths: Vec<PathBuf> = found
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| !is_passing(path))
            .collect();
        paths.sort();
        Ok(paths)
    }
}

/// In the order of `paths`. That a key belongs to its certificate takes its time to find out.
fn read_all(paths: &[PathBuf]) -> Vec<Result<Entry, String>> {
    let read_some = |paths: &[PathBuf]| paths.iter().map(|path| read(path)).collect::<Vec<_>>();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = paths.len().div_ceil(threads).max(FEW);
    if paths.len() <= share {
        return read_some(paths);
    }
    std::thread::scope(|scope| {
        let parts: Vec<_> = paths
            .chunks(share)
            .map(|part| (part, scope.spawn(move || read_some(part))))
            .collect();
        parts
            .into_iter()
            // A thread that failed is made up for here.
            .flat_map(|(part, thread)| thread.join().unwrap_or_else(|_| read_some(part)))
            .collect()
    })
}
