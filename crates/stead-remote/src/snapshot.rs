//! What is deployed: the tree of an app's directory at one moment, and where it comes from.
//!
//! In a git repository it is the commit that is checked out, as `git archive` would write it; with `dirty`, the files as they are, but for
//! what git ignores. Without git, it is the directory, but for what `.gitignore` files and a short list leave out. On a host it is a commit
//! that was pushed there.

pub(crate) mod ask_git;
mod committed;
mod contents;
mod files;
mod pointer;

use std::path::Path;

use stead_model::agent::Origin;
use stead_model::tree::{Tree, TreeError};

use crate::Failure;

pub use contents::Contents;

/// Shown of a list that may be long.
const SHOWN: usize = 5;

/// A tree, and where its contents are.
#[derive(Debug)]
pub struct Snapshot {
    /// The listing.
    pub tree: Tree,
    /// Who sends it, and which commit it is.
    pub origin: Origin,
    /// What a person should know of it, each a sentence.
    pub notes: Vec<String>,
    /// Where to read them.
    pub contents: Contents,
}

impl Snapshot {
    /// Of the app's directory `dir`. `dirty`: as its files are, whatever is committed. `who` asks for it.
    ///
    /// # Errors
    /// There are changes that are not committed, git fails, or the tree is one that no host takes.
    pub fn take(dir: &Path, dirty: bool, who: String) -> Result<Self, Failure> {
        let act = || format!("cannot send `{}`", dir.display());
        let mut snapshot = match ask_git::Repository::of(dir) {
            Ok(None) => files::without_git(dir),
            Ok(Some(repository)) if dirty => files::as_they_are(&repository),
            Ok(Some(repository)) => committed::commit(&repository),
            Err(refused) => Err(refused),
        }
        .map_err(|refused| Failure {
            act: act(),
            causes: refused.causes,
            hint: refused.hint,
        })?;
        snapshot.origin.who = plain(&who);
        Ok(snapshot)
    }

    /// Of a commit that was pushed to the bare repository in `dir` of this machine, as `branch`; the app is in its `directory`, empty: at
    /// its top. Within a hook, what was pushed and is not the repository's yet is read, too.
    ///
    /// # Errors
    /// git fails, or the tree is one that no host takes.
    pub fn pushed(
        dir: &Path,
        commit: &str,
        branch: &str,
        directory: &str,
        who: String,
    ) -> Result<Self, Failure> {
        let repository = ask_git::Repository::bare(dir.to_owned(), directory);
        let taken = committed::pushed(&repository, commit, branch);
        let mut snapshot = taken.map_err(|refused| Failure {
            act: format!("cannot take what was pushed to `{branch}`"),
            causes: refused.causes,
            hint: refused.hint,
        })?;
        snapshot.origin.who = plain(&who);
        Ok(snapshot)
    }
}

/// Why a directory cannot be sent.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) causes: Vec<String>,
    pub(crate) hint: Option<String>,
}

impl Refused {
    fn new(cause: impl Into<String>) -> Self {
        Self {
            causes: vec![cause.into()],
            hint: None,
        }
    }

    fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn io(path: &Path, error: &std::io::Error) -> Self {
        Self::new(format!("`{}`: {error}", path.display()))
    }
}

impl From<TreeError> for Refused {
    fn from(error: TreeError) -> Self {
        Self::new(error.to_string())
    }
}

/// One line without control characters, of a length that a host takes.
fn plain(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut short: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
    short.truncate(short.trim_end().len());
    short
}

/// `` `a`, `b` and 3 more ``.
fn named(paths: &[String]) -> String {
    let shown: Vec<String> = paths
        .iter()
        .take(SHOWN)
        .map(|path| format!("`{path}`"))
        .collect();
    match paths.len() {
        0..=SHOWN => shown.join(", "),
        more => format!("{} and {} more", shown.join(", "), more - SHOWN),
    }
}

#[cfg(test)]
mod tests;
