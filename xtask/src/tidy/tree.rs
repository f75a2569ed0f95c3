//! The repository's text files, read once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Directories that are not the repository's.
const NOT_OURS: [&str; 9] = [
    ".git",
    ".stead",
    ".venv",
    "__pycache__",
    "artifacts",
    "corpus",
    "node_modules",
    "proptest-regressions",
    "target",
];

/// Every text file below the top, and the top itself for what must be run there.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The workspace.
    pub(crate) root: PathBuf,
    /// Sorted by path.
    pub(crate) files: Vec<File>,
    /// The sorted paths of everything, directories and binary files too.
    pub(crate) paths: Vec<PathBuf>,
}

/// One text file.
#[derive(Debug)]
pub(crate) struct File {
    /// Relative to the top.
    pub(crate) path: PathBuf,
    /// Its content.
    pub(crate) text: String,
}

impl Tree {
    /// Read all of it.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self {
            root: root.to_owned(),
            files: Vec::new(),
            paths: Vec::new(),
        };
        tree.visit(root)?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        tree.paths.sort();
        Ok(tree)
    }

    fn visit(&mut self, dir: &Path) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if NOT_OURS.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            let path = entry.path();
            let relative = path.strip_prefix(&self.root).unwrap_or(&path).to_owned();
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.visit(&path)?;
            } else if kind.is_file() {
                // A binary file is nothing to read for a rule about words.
                if let Ok(text) = String::from_utf8(fs::read(&path)?) {
                    self.files.push(File {
                        path: relative.clone(),
                        text,
                    });
                }
            }
            self.paths.push(relative);
        }
        Ok(())
    }

    /// The files with this extension.
    pub(crate) fn with_extension<'a>(
        &'a self,
        extension: &'a str,
    ) -> impl Iterator<Item = &'a File> {
        self.files
            .iter()
            .filter(move |file| file.path.extension().is_some_and(|e| e == extension))
    }

    /// One file's text.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        let at = self
            .files
            .binary_search_by(|file| file.path.as_path().cmp(Path::new(path)))
            .ok()?;
        Some(&self.files[at].text)
    }

    /// Whether there is such a file or directory.
    pub(crate) fn contains(&self, path: &Path) -> bool {
        path.as_os_str().is_empty()
            || self
                .paths
                .binary_search_by(|p| p.as_path().cmp(path))
                .is_ok()
    }
}

impl File {
    /// Whether the file holds nothing but tests.
    pub(crate) fn is_test(&self) -> bool {
        self.path.components().any(|part| {
            let part = part.as_os_str().to_string_lossy();
            matches!(
                part.as_ref(),
                "tests" | "tests.rs" | "benches" | "fuzz" | "lab"
            ) || part.starts_with("test_")
        })
    }

    /// The lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line))
    }
}
