//! The Pythons of this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::setup::search_path;

/// An interpreter that starts.
#[derive(Debug)]
pub(crate) struct Python {
    /// Major and minor.
    pub(crate) version: (u32, u32),
    /// Its path.
    pub(crate) program: PathBuf,
}

/// The oldest version that Stead's worker supports.
const OLDEST: (u32, u32) = (3, 6);

/// One interpreter for each version on `PATH` or among pyenv's, oldest first.
pub(crate) fn find() -> Vec<Python> {
    let mut found = BTreeMap::new();
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .unwrap_or_default();
    let pyenv = std::fs::read_dir(home.join(".pyenv/versions"));
    let dirs = search_path().chain(
        pyenv
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path().join("bin")),
    );
    for dir in dirs {
        for program in programs(&dir) {
            if let Some(version) = version(&program).filter(|v| *v >= OLDEST) {
                found.entry(version).or_insert(program);
            }
        }
    }
    found
        .into_iter()
        .map(|(version, program)| Python { version, program })
        .collect()
}

/// The files named `python3` or `python3.N` in `dir`.
fn programs(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut programs: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| is_python(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect();
    programs.sort();
    programs
}

fn is_python(name: &str) -> bool {
    match name.strip_prefix("python3") {
        Some("") => true,
        Some(minor) => minor
            .strip_prefix('.')
            .is_some_and(|n| n.parse::<u32>().is_ok()),
        None => false,
    }
}

/// Asks the program itself: a shim may be there and start nothing.
fn version(program: &Path) -> Option<(u32, u32)> {
    let output = Command::new(program)
        .args(["-c", "import sys; print('%d %d' % sys.version_info[:2])"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::is_python;

    #[test]
    fn only_interpreters_are_taken_for_python() {
        assert!(is_python("python3"));
        assert!(is_python("python3.11"));
        for other in [
            "python",
            "python3-config",
            "python3.11-config",
            "python2.7",
            "pip3",
        ] {
            assert!(!is_python(other), "{other}");
        }
    }
}
