//! What a build may know of the machine it runs on: variables and well-known directories.
//! A value, so that tests build one and two builds in one process do not meet.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The machine as a build sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    variables: BTreeMap<String, String>,
}

impl Machine {
    /// This process's own environment. Variables that are not Unicode are left out.
    pub(crate) fn of_this_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { variables }
    }

    /// A variable that is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name)?;
        (!value.is_empty()).then_some(value)
    }

    /// The same machine, where every child process has this variable.
    #[must_use]
    pub(crate) fn marked(mut self, mark: Option<&(String, String)>) -> Self {
        self.variables.extend(mark.cloned());
        self
    }

    /// The same machine with one variable set.
    #[cfg(test)]
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Every variable, for a child process.
    pub(crate) fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// The user's home directory.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.variable("HOME").map(PathBuf::from)
    }

    /// Where Stead keeps what it downloaded: `$XDG_CACHE_HOME/stead`, else `~/.cache/stead`,
    /// else, where neither can be written, `fallback`.
    pub(crate) fn cache(&self, fallback: &Path) -> PathBuf {
        match self.user_cache() {
            Some(base) => base.join("stead"),
            None => fallback.join("cache"),
        }
    }

    /// The user's directory for caches (XDG Base Directory Specification), if there is one that can be written. Users
    /// of services often have a home that does not exist.
    pub(crate) fn user_cache(&self) -> Option<PathBuf> {
        let base = self
            .variable("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| Some(self.home()?.join(".cache")))?;
        let there = base.ancestors().find(|path| path.exists())?;
        let wanted = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        rustix::fs::access(there, wanted).is_ok().then_some(base)
    }

    /// The directories of `PATH`, absolute ones only: a relative one would depend on where
    /// Stead was started.
    pub(crate) fn path(&self) -> Vec<PathBuf> {
        let path = self
            .variable("PATH")
            .unwrap_or("/usr/local/bin:/usr/bin:/bin");
        std::env::split_paths(path)
            .filter(|directory| directory.is_absolute())
            .collect()
    }

    /// A program by its name, looked up in `PATH`.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        self.path()
            .into_iter()
            .map(|directory| directory.join(name))
            .find(|path| is_executable(path))
    }
}

/// Whether `path` is a file that somebody may execute.
pub(crate) fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests;
