//! Sources of apps on a host: contents by their SHA-256, and listings of trees that name them.
//!
//! ```text
//! /var/lib/stead/apps/APP/objects/9f/9f86d0…   a content
//! /var/lib/stead/apps/APP/trees/5feceb….json   a tree, all of whose contents are there
//! ```
//!
//! [`receive()`] is the part of `stead api source` that hears a laptop: nothing that it says is believed. What it sends is written aside, held against its
//! SHA-256, made durable, and only then given its name; a tree gets its name last. So a tree that is there is whole, whatever
//! was cut off. [`materialize()`] writes a tree out for a release.

mod keep;
mod materialize;
mod patience;
mod receive;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use stead_model::tree::{LONGEST_LISTING, Tree};

use crate::spawn::io_text;

pub use keep::prune;
pub use materialize::{hand_over, materialize, seal};
pub use patience::Patient;
pub use receive::receive;

/// Why it was not done: causes, outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    /// Outermost first.
    pub causes: Vec<String>,
}

impl SourceError {
    fn new(cause: impl Into<String>) -> Self {
        Self {
            causes: vec![cause.into()],
        }
    }

    fn io(path: &Path, error: &io::Error) -> Self {
        Self::new(match error.kind() {
            io::ErrorKind::StorageFull => "the host's disk is full".to_owned(),
            _ => format!("`{}`: {}", path.display(), io_text(error)),
        })
    }
}

impl std::fmt::Display for SourceError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.causes.join(": "))
    }
}

impl std::error::Error for SourceError {}

/// Where a content is, whether or not it is there.
fn object(app_dir: &Path, digest: &str) -> PathBuf {
    let two = digest.get(..2).unwrap_or(digest);
    app_dir.join("objects").join(two).join(digest)
}

/// Where a tree's listing is, whether or not it is there.
fn listing(app_dir: &Path, digest: &str) -> PathBuf {
    app_dir.join("trees").join(format!("{digest}.json"))
}

/// A tree that was received.
///
/// # Errors
/// It is not there, or is not what it was.
pub fn tree(app_dir: &Path, digest: &str) -> Result<Tree, SourceError> {
    let path = listing(app_dir, digest);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => SourceError::new(format!("the host has no tree `{digest}`")),
        _ => SourceError::io(&path, &error),
    };
    let file = fs::File::open(&path).map_err(failed)?;
    let mut text = Vec::new();
    file.take(LONGEST_LISTING as u64 + 1)
        .read_to_end(&mut text)
        .map_err(failed)?;
    if sha256(&text) != digest {
        return Err(SourceError::new(format!(
            "`{}` is not what was written there",
            path.display()
        )));
    }
    Tree::read(&text).map_err(|error| SourceError::new(error.to_string()))
}

/// In lower-case hexadecimal digits.
fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
