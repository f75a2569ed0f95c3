//! A source tree as it is sent to a host: a listing of its files and links, whose contents are named by their SHA-256.
//!
//! Whoever receives a listing believes nothing of it: [`Tree::read`] takes only the one text that [`Tree::text`] writes, and only paths
//! that stay inside. So a listing's own SHA-256 names the tree.

mod links;
mod path;

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

pub use path::shown;

/// Raised when an older program would misunderstand what is sent.
pub const PROTOCOL: u32 = 1;
/// Most files and links of a tree.
pub const MOST_ENTRIES: usize = 200_000;
/// The largest file, bytes.
pub const LARGEST_FILE: u64 = 2 << 30;
/// All files of a tree together, bytes.
pub const LARGEST_TREE: u64 = 8 << 30;
/// The longest listing, bytes.
pub const LONGEST_LISTING: usize = 64 << 20;

/// A tree: files and links by path. Directories are there because something is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// In the order of their paths' bytes.
    entries: Vec<Entry>,
}

/// A file or a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative, parts between slashes. Not necessarily UTF-8.
    pub path: Vec<u8>,
    /// What is there.
    pub kind: Kind,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File {
        /// SHA-256 of its content, lower-case hexadecimal digits.
        digest: String,
        /// Bytes.
        size: u64,
        /// Its mode is 0755 rather than 0644.
        executable: bool,
    },
    /// A symbolic link.
    Link {
        /// Relative to the link's directory. It never leads out of the tree.
        target: Vec<u8>,
    },
}

/// Why there is no tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeError {
    /// What it is about, readable.
    pub path: Option<String>,
    /// Why, a part of a sentence.
    pub why: String,
}

impl TreeError {
    fn whole(why: impl Into<String>) -> Self {
        Self {
            path: None,
            why: why.into(),
        }
    }

    fn at(path: &[u8], why: impl Into<String>) -> Self {
        Self {
            path: Some(shown(path)),
            why: why.into(),
        }
    }
}

impl std::fmt::Display for TreeError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.path {
            Some(path) => write!(formatter, "`{path}`: {}", self.why),
            None => formatter.write_str(&self.why),
        }
    }
}

impl std::error::Error for TreeError {}

/// The listing as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    tree: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    executable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

impl Tree {
    /// A tree of these, in any order.
    ///
    /// # Errors
    /// Two of them are at one path, or one leads out of the tree, or they are more than a host takes.
    pub fn new(mut entries: Vec<Entry>) -> Result<Self, TreeError> {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let tree = Self { entries };
        tree.check()?;
        Ok(tree)
    }

    /// A tree of the text that [`Tree::text`] wrote.
    ///
    /// # Errors
    /// It is any other text, or says what [`Tree::new`] would refuse.
    pub fn read(text: &[u8]) -> Result<Self, TreeError> {
        if text.len() > LONGEST_LISTING {
            return Err(TreeError::whole(format!(
                "a listing has {} MB at most",
                LONGEST_LISTING >> 20
            )));
        }
        let listing: Listing = serde_json::from_slice(text)
            .map_err(|error| TreeError::whole(format!("it is no listing: {error}")))?;
        let entries = listing.tree.into_iter().map(entry);
        let tree = Self {
            entries: entries.collect::<Result<_, _>>()?,
        };
        tree.check()?;
        match tree.text() == text {
            true => Ok(tree),
            false => Err(TreeError::whole("it is not written as a listing is")),
        }
    }

    /// The listing. Equal trees have equal texts.
    pub fn text(&self) -> Vec<u8> {
        let rows = self.entries.iter().map(row).collect();
        // A struct of strings and numbers can be written.
        serde_json::to_vec(&Listing { tree: rows }).unwrap_or_default()
    }

    /// In the order of their paths' bytes.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Each content once, in the order of its first path: digest and size.
    pub fn contents(&self) -> Vec<(&str, u64)> {
        let mut seen = HashSet::new();
        let files = self.entries.iter().filter_map(|entry| match &entry.kind {
            Kind::File { digest, size, .. } => Some((digest.as_str(), *size)),
            Kind::Link { .. } => None,
        });
        files.filter(|(digest, _)| seen.insert(*digest)).collect()
    }

    /// All files together, bytes.
    pub fn size(&self) -> u64 {
        let sizes = self.entries.iter().map(|entry| match &entry.kind {
            Kind::File { size, .. } => *size,
            Kind::Link { .. } => 0,
        });
        sizes.fold(0, u64::saturating_add)
    }

    fn check(&self) -> Result<(), TreeError> {
        if self.entries.len() > MOST_ENTRIES {
            return Err(TreeError::whole(format!(
                "it has {} files, and a host takes {MOST_ENTRIES}",
                self.entries.len()
            )));
        }
        let mut sizes = BTreeMap::new();
        let mut before: Option<&[u8]> = None;
        // What is no directory: nothing can be below it.
        let all: HashSet<&[u8]> = self.entries.iter().map(|e| e.path.as_slice()).collect();
        for entry in &self.entries {
            let path = entry.path.as_slice();
            path::check(path).map_err(|why| TreeError::at(path, why))?;
            match before {
                Some(before) if before == path => {
                    return Err(TreeError::at(path, "it is there twice"));
                }
                Some(before) if before > path => {
                    return Err(TreeError::at(path, "it is not in its order"));
                }
                _ => before = Some(path),
            }
            let mut above = path::above(path);
            if let Some(file) = above.find(|above| all.contains(above)) {
                let why = format!("`{}` is no directory", shown(file));
                return Err(TreeError::at(path, why));
            }
            if let Kind::File { digest, size, .. } = &entry.kind {
                if !crate::agent::is_digest(digest) {
                    return Err(TreeError::at(path, "its content has no SHA-256"));
                }
                if *size > LARGEST_FILE {
                    let why = format!("it has more than {} GB", LARGEST_FILE >> 30);
                    return Err(TreeError::at(path, why));
                }
                if sizes
                    .insert(digest.as_str(), *size)
                    .is_some_and(|other| other != *size)
                {
                    return Err(TreeError::at(path, "one content has two sizes"));
                }
            }
        }
        if self.size() > LARGEST_TREE {
            return Err(TreeError::whole(format!(
                "its files have more than {} GB together",
                LARGEST_TREE >> 30
            )));
        }
        links::check(&self.entries)
    }
}

fn row(entry: &Entry) -> Row {
    let path = path::written(&entry.path);
    match &entry.kind {
        Kind::File {
            digest,
            size,
            executable,
        } => Row {
            path,
            sha256: Some(digest.clone()),
            size: Some(*size),
            executable: *executable,
            link: None,
        },
        Kind::Link { target } => Row {
            path,
            sha256: None,
            size: None,
            executable: false,
            link: Some(path::written(target)),
        },
    }
}

fn entry(row: Row) -> Result<Entry, TreeError> {
    let path = path::read(&row.path);
    let kind = match (row.sha256, row.size, row.link) {
        (Some(digest), Some(size), None) => Kind::File {
            digest,
            size,
            executable: row.executable,
        },
        (None, None, Some(link)) => Kind::Link {
            target: path::read(&link),
        },
        _ => {
            return Err(TreeError::at(
                &path,
                "it is a file with `sha256` and `size`, or a `link`",
            ));
        }
    };
    Ok(Entry { path, kind })
}

/// A laptop's first line: what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sending {
    /// [`PROTOCOL`] of the laptop.
    pub protocol: u32,
    /// Bytes of the listing that follows. Behind it, as one zstd frame (RFC 8878), are the contents that the host said it is missing, in
    /// that order.
    pub listing: usize,
}

/// What a host answers, one JSON value a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Received {
    /// Which of [`Tree::contents`] it does not have, by their place. First line.
    Missing {
        /// Counted from 0.
        contents: Vec<usize>,
    },
    /// It has all of the tree. Last line.
    Complete {
        /// SHA-256 of the listing.
        tree: String,
    },
    /// It keeps nothing of it. Last line.
    Refused {
        /// Why, outermost first.
        causes: Vec<String>,
    },
}

#[cfg(test)]
mod tests;
