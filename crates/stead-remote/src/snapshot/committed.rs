//! The commit that is checked out.

use std::collections::HashSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use stead_model::agent::Origin;
use stead_model::tree::{Entry, Kind, Tree, shown};
use tempfile::TempDir;

use super::ask_git::{Repository, between_nuls, path, without_line_end};
use super::contents::{Contents, Objects, Place, hexadecimal, measure};
use super::pointer::Pointer;
use super::{Refused, Snapshot, named, plain};

/// Contents up to this size are looked at whole: a link's target, a pointer.
const SMALL: usize = 4096;

/// One line of `git ls-tree`.
#[derive(Debug)]
struct Line {
    mode: String,
    id: String,
    path: Vec<u8>,
}

/// What is committed. Changes beside it are refused.
pub(super) fn commit(repository: &Repository) -> Result<Snapshot, Refused> {
    let Some(commit) = repository.ask_whether(&["rev-parse", "--verify", "--quiet", "HEAD"])?
    else {
        return Err(Refused::new("nothing is committed yet").hinted("git commit"));
    };
    let commit = String::from_utf8_lossy(without_line_end(&commit)).into_owned();
    let notes = refuse_changes(repository)?;
    let found = Found::of(repository, &commit)?;
    if !found.missing.is_empty() {
        return Err(Refused::new(format!(
            "the contents of large files are not here, only what Git LFS has in their place: {}",
            named(&found.missing)
        ))
        .hinted("git lfs pull"));
    }
    Ok(Snapshot {
        tree: Tree::new(found.entries)?,
        origin: origin(repository, commit, false)?,
        notes,
        contents: found.contents,
    })
}

/// A commit of a bare repository, which has nothing but what was pushed there.
pub(super) fn pushed(
    repository: &Repository,
    commit: &str,
    branch: &str,
) -> Result<Snapshot, Refused> {
    let found = Found::of(repository, commit)?;
    if !found.missing.is_empty() {
        return Err(Refused::new(format!(
            "git carries only what Git LFS has in the place of large files, not their contents: {}",
            named(&found.missing)
        ))
        .hinted("stead deploy"));
    }
    let mut origin = origin(repository, commit.to_owned(), false)?;
    origin.branch = Some(plain(branch));
    Ok(Snapshot {
        tree: Tree::new(found.entries)?,
        origin,
        notes: Vec::new(),
        contents: found.contents,
    })
}

impl Found {
    /// All of the app's directory in a commit.
    fn of(repository: &Repository, commit: &str) -> Result<Self, Refused> {
        let mut found = Self::default();
        let prefix = String::from_utf8_lossy(&repository.prefix).into_owned();
        let tree = match prefix.trim_end_matches('/') {
            "" => format!("{commit}^{{tree}}"),
            inside => format!("{commit}:{inside}"),
        };
        if !prefix.is_empty()
            && repository
                .ask_whether(&["cat-file", "-e", &tree])?
                .is_none()
        {
            return Err(Refused::new("nothing of this directory is committed"));
        }
        if repository.is_bare {
            let made = tempfile::Builder::new().prefix("stead-").tempdir();
            let dir = made.map_err(|error| Refused::io(&std::env::temp_dir(), &error))?;
            let words = ["read-tree", commit];
            repository.ask_with_index(&dir.path().join("index"), &words, b"")?;
            found.index = Some(dir);
        }
        found.read(&Arc::new(repository.clone()), &tree, b"")?;
        Ok(found)
    }
}

/// Who made it comes later.
pub(super) fn origin(
    repository: &Repository,
    commit: String,
    dirty: bool,
) -> Result<Origin, Refused> {
    let text = |said: Vec<u8>| plain(&String::from_utf8_lossy(&said));
    let branch = repository.ask_whether(&["symbolic-ref", "--quiet", "--short", "HEAD"])?;
    let message = repository.ask_whether(&["log", "-1", "--format=%s", &commit])?;
    Ok(Origin {
        who: String::new(),
        branch: branch.map(text),
        message: message.map(text).filter(|message| !message.is_empty()),
        commit: Some(commit),
        dirty,
    })
}

/// What git calls changed or staged is refused; files that it does not know are named.
fn refuse_changes(repository: &Repository) -> Result<Vec<String>, Refused> {
    let words = [
        "status",
        "--porcelain=v1",
        "-z",
        "--no-renames",
        "--untracked-files=normal",
        "--",
        ".",
    ];
    let said = repository.ask(&words, b"")?;
    let (mut changed, mut unknown) = (Vec::new(), Vec::new());
    for line in between_nuls(&said) {
        let (state, name) = line.split_at_checked(3).unwrap_or((line, b""));
        match state {
            b"?? " => unknown.push(shown(name)),
            _ => changed.push(shown(name)),
        }
    }
    if !changed.is_empty() {
        return Err(Refused::new(format!(
            "there are changes that are not committed: {}",
            named(&changed)
        ))
        .hinted("stead deploy --dirty"));
    }
    Ok(match unknown.is_empty() {
        true => Vec::new(),
        false => vec![format!(
            "not sent, since git does not know them: {}",
            named(&unknown)
        )],
    })
}

/// What was found so far.
#[derive(Debug, Default)]
struct Found {
    entries: Vec<Entry>,
    contents: Contents,
    /// Pointers whose contents are not here.
    missing: Vec<String>,
    /// Of a bare repository: an index of the commit, which git reads attributes from in place of a working tree.
    index: Option<TempDir>,
}

impl Found {
    /// Add a tree of the repository, below `at`.
    fn read(&mut self, repository: &Arc<Repository>, tree: &str, at: &[u8]) -> Result<(), Refused> {
        let said = repository.ask(&["ls-tree", "-r", "-z", "--full-tree", tree], b"")?;
        let lines: Vec<Line> = between_nuls(&said).filter_map(line).collect();
        let left_out = left_out(repository, self.index.as_ref(), &lines)?;
        let failed = |error: std::io::Error| Refused::new(format!("cannot read from git: {error}"));
        let mut objects = Objects::open(repository).map_err(failed)?;
        for line in lines {
            if left_out.contains(&line.path) {
                continue;
            }
            let mut full = at.to_vec();
            full.extend_from_slice(&line.path);
            if line.mode == "160000" {
                self.submodule(repository, &line, &full)?;
                continue;
            }
            let (mut hash, mut start) = (Sha256::new(), Vec::new());
            let size = objects
                .read(&line.id, &mut |piece| {
                    hash.update(piece);
                    let room = SMALL.saturating_sub(start.len()).min(piece.len());
                    start.extend_from_slice(&piece[..room]);
                    Ok(())
                })
                .map_err(failed)?;
            let kind = match line.mode.as_str() {
                "120000" => Kind::Link { target: start },
                mode => {
                    let object = Place::Object {
                        repository: Arc::clone(repository),
                        id: line.id.clone(),
                    };
                    let own = (hexadecimal(&hash.finalize()), size, object);
                    let whole = size <= SMALL as u64;
                    let pointer = whole.then(|| Pointer::read(&start)).flatten();
                    let Some((digest, size, place)) =
                        self.behind(repository, pointer, &line, own)?
                    else {
                        self.missing.push(shown(&full));
                        continue;
                    };
                    self.contents.add(&digest, place);
                    Kind::File {
                        digest,
                        size,
                        executable: mode == "100755",
                    }
                }
            };
            self.entries.push(Entry { path: full, kind });
        }
        Ok(())
    }

    /// The content itself, or the one that a pointer stands for when the working tree has it.
    fn behind(
        &self,
        repository: &Repository,
        pointer: Option<Pointer>,
        line: &Line,
        own: (String, u64, Place),
    ) -> Result<Option<(String, u64, Place)>, Refused> {
        let Some(pointer) = pointer else {
            return Ok(Some(own));
        };
        // A bare repository's files are its own.
        if repository.is_bare {
            return Ok(None);
        }
        let file = repository.dir.join(path(&line.path));
        let is_file = std::fs::symlink_metadata(&file).is_ok_and(|found| found.is_file());
        if !is_file {
            return Ok(None);
        }
        let (digest, size) = measure(&file)?;
        Ok((digest == pointer.digest).then_some((digest, size, Place::File(file))))
    }

    /// The commit that a submodule is at, from its own repository.
    fn submodule(
        &mut self,
        repository: &Repository,
        line: &Line,
        full: &[u8],
    ) -> Result<(), Refused> {
        if repository.is_bare {
            return Err(Refused::new(format!(
                "git carries only the name of the submodule `{}`, not what is in it",
                shown(full)
            ))
            .hinted("stead deploy"));
        }
        let dir = repository.dir.join(path(&line.path));
        let own = Arc::new(Repository::at(dir.clone()));
        let tree = format!("{}^{{tree}}", line.id);
        let is_here =
            dir.join(".git").exists() && own.ask_whether(&["cat-file", "-e", &tree])?.is_some();
        if !is_here {
            return Err(Refused::new(format!(
                "the submodule `{}` is not checked out at its commit",
                shown(full)
            ))
            .hinted("git submodule update --init --recursive"));
        }
        let mut below = full.to_vec();
        below.push(b'/');
        self.read(&own, &tree, &below)
    }
}

/// `<mode> <kind> <name>\t<path>`.
fn line(text: &[u8]) -> Option<Line> {
    let tab = text.iter().position(|byte| *byte == b'\t')?;
    let head = std::str::from_utf8(&text[..tab]).ok()?;
    let mut words = head.split(' ');
    let (mode, _, id) = (words.next()?, words.next()?, words.next()?);
    Some(Line {
        mode: mode.to_owned(),
        id: id.to_owned(),
        path: text[tab + 1..].to_owned(),
    })
}

/// The paths that `.gitattributes` say are not to be exported, as `git archive` reads them: a directory's attribute counts for all that
/// is in it.
fn left_out(
    repository: &Repository,
    index: Option<&TempDir>,
    lines: &[Line],
) -> Result<HashSet<Vec<u8>>, Refused> {
    let mut asked: HashSet<Vec<u8>> = HashSet::new();
    for line in lines {
        asked.insert(line.path.clone());
        for (at, byte) in line.path.iter().enumerate() {
            if *byte == b'/' {
                asked.insert(line.path[..at].to_owned());
            }
        }
    }
    // git takes paths from where it is: the app's directory, but that a bare repository has none.
    let before: &[u8] = index.map_or(b"", |_| repository.prefix.as_slice());
    let input: Vec<u8> = asked
        .iter()
        .flat_map(|path| before.iter().chain(path).copied().chain([0]))
        .collect();
    let words = ["check-attr", "-z", "--stdin", "export-ignore"];
    let said = match index {
        None => repository.ask(&words, &input)?,
        Some(dir) => {
            let words = ["check-attr", "--cached", "-z", "--stdin", "export-ignore"];
            repository.ask_with_index(&dir.path().join("index"), &words, &input)?
        }
    };
    // `<path> NUL <attribute> NUL <value> NUL`.
    let fields: Vec<&[u8]> = said.split(|byte| *byte == 0).collect();
    let ignored: HashSet<&[u8]> = fields
        .chunks_exact(3)
        .filter(|fields| fields[2] == b"set")
        .filter_map(|fields| fields[0].strip_prefix(before))
        .collect();
    let is_out = |path: &[u8]| {
        let mut above = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        ignored.contains(path) || above.any(|(at, _)| ignored.contains(&path[..at]))
    };
    let out = lines.iter().filter(|line| is_out(&line.path));
    Ok(out.map(|line| line.path.clone()).collect())
}
