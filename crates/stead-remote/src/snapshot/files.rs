//! Files as they are in the directory.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use stead_model::agent::Origin;
use stead_model::tree::{Entry, Kind, Tree, shown};

use super::ask_git::{Repository, between_nuls, path, without_line_end};
use super::committed::origin;
use super::contents::{Contents, Place, measure};
use super::{Refused, Snapshot};

/// Never sent unless git tracks them: what other machines make for themselves.
const LEFT_OUT: [&str; 8] = [
    ".git",
    ".hg",
    ".svn",
    ".stead",
    ".venv",
    "node_modules",
    "__pycache__",
    ".DS_Store",
];

/// What git tracks or would track, with the contents that it has now.
pub(super) fn as_they_are(repository: &Repository) -> Result<Snapshot, Refused> {
    let mut paths = BTreeSet::new();
    known(repository, b"", &mut paths)?;
    let head = repository.ask_whether(&["rev-parse", "--verify", "--quiet", "HEAD"])?;
    let origin = match head {
        Some(commit) => {
            let commit = String::from_utf8_lossy(without_line_end(&commit)).into_owned();
            let words = ["status", "--porcelain=v1", "--", "."];
            let differs = !repository.ask(&words, b"")?.is_empty();
            origin(repository, commit, differs)?
        }
        None => Origin {
            dirty: true,
            ..Origin::default()
        },
    };
    snapshot(&repository.dir, paths, origin)
}

/// The paths of a working tree, below `at`; those of its submodules, too.
fn known(repository: &Repository, at: &[u8], paths: &mut BTreeSet<Vec<u8>>) -> Result<(), Refused> {
    let tracked = repository.ask(&["ls-files", "-z", "--cached"], b"")?;
    let words = ["ls-files", "-z", "--others", "--exclude-standard"];
    let others = repository.ask(&words, b"")?;
    let others = between_nuls(&others).filter(|path| !is_left_out(&repository.dir, path));
    for name in between_nuls(&tracked).chain(others) {
        let mut full = at.to_vec();
        full.extend_from_slice(name);
        let inside = repository.dir.join(path(name));
        if inside.is_dir() && !inside.is_symlink() {
            // A submodule, or another repository within this one.
            if inside.join(".git").exists() {
                full = full.strip_suffix(b"/").unwrap_or(&full).to_vec();
                full.push(b'/');
                known(&Repository::at(inside), &full, paths)?;
            }
            continue;
        }
        paths.insert(full);
    }
    Ok(())
}

/// Whether a path is, or is in, something that is never sent.
fn is_left_out(dir: &Path, name: &[u8]) -> bool {
    let name = path(name);
    let named = name
        .iter()
        .any(|part| LEFT_OUT.iter().any(|left_out| part == *left_out));
    named
        || name
            .ancestors()
            .skip(1)
            .any(|above| is_environment(&dir.join(above)))
}

/// A virtual environment, whatever its name (PEP 405).
fn is_environment(dir: &Path) -> bool {
    dir.join("pyvenv.cfg").is_file()
}

/// A directory that git knows nothing of.
pub(super) fn without_git(dir: &Path) -> Result<Snapshot, Refused> {
    let top = dir.to_owned();
    let walk = ignore::WalkBuilder::new(dir)
        .standard_filters(false)
        .git_ignore(true)
        .require_git(false)
        .filter_entry(move |entry| {
            let named = LEFT_OUT.iter().any(|name| entry.file_name() == *name);
            entry.path() == top || !named && !is_environment(entry.path())
        })
        .build();
    let mut paths = BTreeSet::new();
    for entry in walk {
        let entry = entry.map_err(|error| Refused::new(error.to_string()))?;
        if entry.file_type().is_none_or(|kind| kind.is_dir()) {
            continue;
        }
        if let Ok(inside) = entry.path().strip_prefix(dir) {
            paths.insert(inside.as_os_str().as_bytes().to_vec());
        }
    }
    snapshot(dir, paths, Origin::default())
}

/// Of these paths, whatever is there now.
fn snapshot(dir: &Path, paths: BTreeSet<Vec<u8>>, origin: Origin) -> Result<Snapshot, Refused> {
    let (mut entries, mut contents, mut notes) = (Vec::new(), Contents::default(), Vec::new());
    for name in paths {
        let file: PathBuf = dir.join(path(&name));
        // What git tracks may be gone.
        let Ok(found) = fs::symlink_metadata(&file) else {
            continue;
        };
        let kind = if found.is_symlink() {
            let target = fs::read_link(&file).map_err(|error| Refused::io(&file, &error))?;
            Kind::Link {
                target: target.into_os_string().into_vec(),
            }
        } else if found.is_file() {
            let (digest, size) = measure(&file)?;
            contents.add(&digest, Place::File(file));
            Kind::File {
                digest,
                size,
                executable: found.permissions().mode() & 0o100 != 0,
            }
        } else {
            notes.push(format!("not sent, since it is no file: `{}`", shown(&name)));
            continue;
        };
        entries.push(Entry { path: name, kind });
    }
    Ok(Snapshot {
        tree: Tree::new(entries)?,
        origin,
        notes,
        contents,
    })
}
