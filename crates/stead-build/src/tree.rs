//! A source tree by its content, to tell whether it changed.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::hash::Key;
use crate::machine::Machine;

/// Larger files count by size and time of change.
const READ_WHOLE: u64 = 1024 * 1024;

/// Directories that builds and apps write into.
const PASSED_OVER: [&str; 9] = [
    "node_modules",
    "__pycache__",
    "venv",
    "env",
    "target",
    "instance",
    "logs",
    "tmp",
    "media",
];

/// A name for what is in the tree: what git tracks or would track, else all but the usual directories
/// that are written into.
pub(crate) fn fingerprint(machine: &Machine, root: &Path) -> String {
    match tracked(machine, root) {
        Some(files) => named(root, files),
        None => content(root),
    }
}

/// A name for every file in the tree, but for those in directories that are written into.
pub(crate) fn content(root: &Path) -> String {
    let mut files = Vec::new();
    walk(root, "", &mut files);
    named(root, files)
}

fn named(root: &Path, mut files: Vec<String>) -> String {
    files.sort();
    let mut key = Key::new("tree 1");
    for name in files {
        let path = root.join(&name);
        let Ok(found) = std::fs::symlink_metadata(&path) else {
            continue;
        };
        let content = if found.is_symlink() {
            let target = std::fs::read_link(&path).unwrap_or_default();
            target.into_os_string().into_encoded_bytes()
        } else if found.is_file() && found.len() <= READ_WHOLE {
            std::fs::read(&path).unwrap_or_default()
        } else {
            format!("{} {:?}", found.len(), found.modified().ok()).into_bytes()
        };
        key = key.with(&name, content);
    }
    key.finish()
}

/// `git ls-files` of what is tracked or new and not ignored; `None` outside of a repository.
fn tracked(machine: &Machine, root: &Path) -> Option<Vec<String>> {
    let git = machine.program("git")?;
    let output = Command::new(git)
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let files = text
        .split('\0')
        .filter(|name| !name.is_empty() && !name.starts_with(".stead/"))
        .map(str::to_owned);
    Some(files.collect())
}

fn walk(root: &Path, below: &str, files: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(root.join(below)) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        let path = match below {
            "" => name.clone(),
            below => format!("{below}/{name}"),
        };
        match kind.is_dir() {
            true if name.starts_with('.') || PASSED_OVER.contains(&name.as_str()) => {}
            true => walk(root, &path, files),
            false => files.push(path),
        }
    }
}
