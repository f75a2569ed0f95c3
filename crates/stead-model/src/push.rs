//! What a host knows of the repository that an app is pushed to, and which pushes it takes.
//!
//! ```text
//! /var/lib/stead/apps/APP/source.git              a bare repository, root's alone
//! /var/lib/stead/apps/APP/source.git/stead.json   Repository, as JSON
//! ```
//!
//! git asks `stead api received` (its hook `pre-receive`, githooks(5)) before a branch is moved, with a line for each change on standard input.
//! A push may change one branch; whatever else it wants is refused as a whole.

use serde::{Deserialize, Serialize};

use crate::agent::is_app_name;

/// Raised when an older program would misunderstand what it is asked.
pub const PROTOCOL: u32 = 1;
/// Below an app's directory.
pub const DIRECTORY: &str = "source.git";
/// In the repository.
pub const FILE: &str = "stead.json";
/// The longest that is read of a push's changes, bytes: some thousand branches.
pub const LONGEST: u64 = 1 << 20;
/// The longest name of a branch, or path of a directory, bytes.
const LONGEST_NAME: usize = 250;

/// What is wanted of a repository. A laptop sends it; the host keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// [`PROTOCOL`] of who wrote it.
    pub protocol: u32,
    /// The app.
    pub app: String,
    /// The only branch that is taken.
    pub branch: String,
    /// Where the app is in the repository, parts between slashes; empty: at its top.
    pub directory: String,
}

impl Repository {
    /// Whether every word of it can be what it is to be.
    ///
    /// # Errors
    /// Why not, a sentence.
    pub fn check(&self) -> Result<(), String> {
        if self.protocol != PROTOCOL {
            return Err(format!(
                "this program speaks version {PROTOCOL} of the protocol of pushes, not {}",
                self.protocol
            ));
        }
        if !is_app_name(&self.app) {
            return Err("that is no name of an app".to_owned());
        }
        if !is_branch(&self.branch) {
            return Err("git takes no branch of that name".to_owned());
        }
        let plain =
            |part: &str| !matches!(part, "" | "." | "..") && !part.contains(char::is_control);
        let inside = self.directory.is_empty() || self.directory.split('/').all(plain);
        match inside && self.directory.len() <= LONGEST_NAME {
            true => Ok(()),
            false => Err("the app's directory is not one of the repository".to_owned()),
        }
    }
}

/// What a host answers of a repository that is wanted, one JSON value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prepared {
    /// It is there, and takes pushes.
    Ready {
        /// On the host.
        path: String,
    },
    /// It is not.
    Refused {
        /// Why, outermost first.
        causes: Vec<String>,
        /// There is no git on the host.
        #[serde(default)]
        lacks_git: bool,
    },
}

/// Whether git takes a branch of this name (git-check-ref-format(1)), and it is of a length that a person would give.
pub fn is_branch(name: &str) -> bool {
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let refused = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    name.len() <= LONGEST_NAME
        && name.split('/').all(part)
        && !name.contains(refused)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && !name.starts_with('-')
        && name != "@"
        && name != "HEAD"
}

/// The commit that `branch` is to be at after a push; `updates` are the lines of git, `OLD SP NEW SP REF LF`.
///
/// # Errors
/// Why the push is refused, a sentence.
pub fn judge(updates: &str, branch: &str) -> Result<String, String> {
    let mut commit = None;
    for line in updates.lines() {
        let mut words = line.splitn(3, ' ');
        let (Some(old), Some(new), Some(name)) = (words.next(), words.next(), words.next()) else {
            return Err("what git says of the push is not understood".to_owned());
        };
        if !is_object(old) || !is_object(new) {
            return Err("what git says of the push is not understood".to_owned());
        }
        if name.strip_prefix("refs/heads/") != Some(branch) {
            let name: String = name
                .chars()
                .filter(|c| !c.is_control())
                .take(LONGEST_NAME)
                .collect();
            let shown = name.strip_prefix("refs/heads/").unwrap_or(&name);
            return Err(format!(
                "only the branch `{branch}` is deployed, and `{shown}` was pushed"
            ));
        }
        if new.bytes().all(|byte| byte == b'0') {
            return Err(format!(
                "the branch `{branch}` is what is deployed, and stays"
            ));
        }
        if commit.replace(new.to_owned()).is_some() {
            return Err(format!("`{branch}` was pushed twice"));
        }
    }
    commit.ok_or_else(|| "nothing was pushed".to_owned())
}

/// A name of git's for an object, SHA-1 or SHA-256.
fn is_object(id: &str) -> bool {
    matches!(id.len(), 40 | 64) && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
