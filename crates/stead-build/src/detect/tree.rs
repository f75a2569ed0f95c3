//! The files of a source tree, listed once and read with bounds.
//!
//! The tree may be anything that a stranger committed: symlinks that lead out of it, pipes,
//! files of gigabytes, directories without end. Whatever cannot be read in bounds is as if it
//! were not there.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// No file is read beyond this; longer files count as absent.
const LARGEST_FILE: u64 = 1024 * 1024;
/// Lock files and the like may be longer.
const LARGEST_LOCK: u64 = 16 * 1024 * 1024;
/// Listing stops here, so that a data set in the repository cannot stall detection.
const MOST_FILES: usize = 20_000;
/// Of a directory that is asked for by name no more entries are looked at.
const MOST_NAMES: usize = 5_000;
/// Directories deeper than this are not looked into.
const DEEPEST: usize = 8;

/// Directories that never hold the app's own source.
const FOREIGN: &[&str] = &[
    "node_modules",
    "bower_components",
    "__pycache__",
    "site-packages",
    "venv",
    "virtualenv",
    "env",
    "ENV",
    "__pypackages__",
];

/// A listed source tree. Paths are relative, with `/`, and sorted.
pub(crate) struct Tree {
    root: PathBuf,
    files: BTreeSet<String>,
    dirs: BTreeSet<String>,
    texts: RefCell<BTreeMap<String, Option<Rc<str>>>>,
    /// The listing was cut short at [`MOST_FILES`].
    pub(crate) cut: bool,
}

impl Tree {
    /// List `root`. An error only if `root` itself cannot be listed.
    pub(crate) fn list(root: &Path) -> std::io::Result<Self> {
        let root = fs::canonicalize(root)?;
        fs::read_dir(&root)?;
        let mut tree = Self {
            root,
            files: BTreeSet::new(),
            dirs: BTreeSet::new(),
            texts: RefCell::new(BTreeMap::new()),
            cut: false,
        };
        // Breadth first: when the listing is cut short, what lies on top has been seen.
        let mut level = vec![String::new()];
        for _ in 0..DEEPEST {
            let mut next = Vec::new();
            for dir in level {
                tree.list_one(&dir, &mut next);
            }
            level = next;
        }
        Ok(tree)
    }

    fn list_one(&mut self, dir: &str, next: &mut Vec<String>) {
        let Ok(entries) = fs::read_dir(self.root.join(dir)) else {
            return;
        };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if self.files.len() >= MOST_FILES {
                self.cut = true;
                return;
            }
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let path = join(dir, name);
            let Ok(mut kind) = entry.file_type() else {
                continue;
            };
            if kind.is_symlink() {
                // Followed only inside the tree, and only to files: a directory would be seen twice.
                let Ok(target) = fs::canonicalize(entry.path()) else {
                    continue;
                };
                let Ok(meta) = fs::metadata(&target) else {
                    continue;
                };
                if !target.starts_with(&self.root) || !meta.is_file() {
                    continue;
                }
                kind = meta.file_type();
            }
            if kind.is_dir() {
                let foreign = FOREIGN.contains(&name) && !self.is_own(&path, name)
                    || name.starts_with('.')
                    || self.root.join(&path).join("pyvenv.cfg").exists();
                if !foreign {
                    self.dirs.insert(path.clone());
                    next.push(path);
                }
            } else if kind.is_file() {
                self.files.insert(path);
            }
        }
    }

    /// A directory called `env` may be a package of the app.
    fn is_own(&self, path: &str, name: &str) -> bool {
        name == "env" && self.root.join(path).join("__init__.py").exists()
    }

    /// Whether there is such a file.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    /// Whether something has that name and is no file of the tree: a directory, a broken link.
    pub(crate) fn is_odd(&self, path: &str) -> bool {
        !self.has(path) && self.root.join(path).symlink_metadata().is_ok()
    }

    /// Whether there is such a directory.
    pub(crate) fn has_dir(&self, path: &str) -> bool {
        path.is_empty() || self.dirs.contains(path)
    }

    /// Every file, sorted by path.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    /// Every directory, sorted by path, without the top.
    pub(crate) fn dirs(&self) -> impl Iterator<Item = &str> {
        self.dirs.iter().map(String::as_str)
    }

    /// Files directly in `dir`.
    pub(crate) fn in_dir(&self, dir: &str) -> impl Iterator<Item = &str> {
        self.files().filter(move |path| parent(path) == dir)
    }

    /// A directory that [`Tree::list`] skipped (hidden) may still be asked for by name.
    pub(crate) fn hidden(&self, path: &str) -> Option<Rc<str>> {
        self.load(path, LARGEST_FILE)
    }

    /// Names in a directory that [`Tree::list`] may have skipped (an environment); none if it leads out of
    /// the tree.
    pub(crate) fn names_in(&self, dir: &str) -> Vec<String> {
        let full = fs::canonicalize(self.root.join(dir));
        let Ok(full) = full.map(|full| full.starts_with(&self.root).then_some(full)) else {
            return Vec::new();
        };
        let entries = full.and_then(|full| fs::read_dir(full).ok());
        let names = entries.into_iter().flatten().flatten().take(MOST_NAMES);
        let mut names: Vec<String> = names
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// A file's text; bytes that are not UTF-8 are replaced. `None` when absent, too long,
    /// unreadable or no regular file.
    pub(crate) fn read(&self, path: &str) -> Option<Rc<str>> {
        if !self.has(path) {
            return None;
        }
        let longest = if path.ends_with(".lock") || path.ends_with("-lock.json") {
            LARGEST_LOCK
        } else {
            LARGEST_FILE
        };
        if let Some(text) = self.texts.borrow().get(path) {
            return text.clone();
        }
        let text = self.load(path, longest);
        self.texts
            .borrow_mut()
            .insert(path.to_owned(), text.clone());
        text
    }

    fn load(&self, path: &str, longest: u64) -> Option<Rc<str>> {
        let full = fs::canonicalize(self.root.join(path)).ok()?;
        if !full.starts_with(&self.root) || !fs::metadata(&full).ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        let file = fs::File::open(full).ok()?;
        file.take(longest + 1).read_to_end(&mut bytes).ok()?;
        if bytes.len() as u64 > longest {
            return None;
        }
        let text = decode(&bytes);
        Some(Rc::from(text.as_str()))
    }
}

/// UTF-8 with or without its mark, UTF-16 with one, else Latin-1's ASCII part survives.
fn decode(bytes: &[u8]) -> String {
    let utf16 = |little: bool| {
        let units = bytes[2..].chunks_exact(2).map(|pair| {
            let pair = [pair[0], pair[1]];
            if little {
                u16::from_le_bytes(pair)
            } else {
                u16::from_be_bytes(pair)
            }
        });
        char::decode_utf16(units)
            .map(|unit| unit.unwrap_or('\u{fffd}'))
            .collect()
    };
    match bytes {
        [0xff, 0xfe, ..] => utf16(true),
        [0xfe, 0xff, ..] => utf16(false),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// `dir/name`, or `name` at the top.
pub(crate) fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() {
        name.to_owned()
    } else if name.is_empty() {
        dir.to_owned()
    } else {
        format!("{dir}/{name}")
    }
}

/// The directory of a path, `""` at the top.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// The last part of a path.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// `path` relative to `base`, if it lies in it.
pub(crate) fn within<'a>(base: &str, path: &'a str) -> Option<&'a str> {
    if base.is_empty() {
        return Some(path);
    }
    if path == base {
        return Some("");
    }
    path.strip_prefix(base)?.strip_prefix('/')
}

/// Resolve `relative` (which may hold `.` and `..`) against `dir`; `None` if it leaves the tree.
pub(crate) fn resolve(dir: &str, relative: &str) -> Option<String> {
    if relative.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
