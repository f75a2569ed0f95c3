//! `.stead/`: whose it is, and the release's number.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::problem::{Problem, because};

/// The state directory, locked for as long as this lives.
#[derive(Debug)]
pub(super) struct State {
    /// Absolute.
    pub(super) path: PathBuf,
    _lock: File,
}

impl State {
    /// Make the directory where it is missing, and lock it. `line`, a `stead up`, and `app`
    /// are for the hint.
    pub(super) fn open(path: &Path, line: &str, app: &str) -> Result<Self, Problem> {
        let refused = |error: &std::io::Error| {
            let problem = Problem::new(format!("cannot keep state in `{}`", path.display()));
            let problem = problem.cause(match error.kind() {
                ErrorKind::AlreadyExists => "there is a file of that name".to_owned(),
                _ => because(error),
            });
            match error.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    problem.hint(format!("{line} --state ~/.local/state/stead/{app}"))
                }
                _ => problem,
            }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| refused(&error))?;
        let path = path.canonicalize().map_err(|error| refused(&error))?;
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path.join("up.lock"))
            .map_err(|error| refused(&error))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(locked(&path, &mut lock)),
            Err(error) => return Err(refused(&error.into())),
        }
        let mut own = || -> std::io::Result<()> {
            lock.set_len(0)?;
            lock.rewind()?;
            write!(lock, "{}", std::process::id())?;
            ignore(&path)
        };
        own().map_err(|error| refused(&error))?;
        Ok(Self { path, _lock: lock })
    }

    /// The number of the next release: one more than any before.
    pub(super) fn next_number(&self) -> Result<u64, Problem> {
        let file = self.path.join("release");
        let failed = |error: &std::io::Error| {
            Problem::new("cannot number the release").cause(format!(
                "`{}`: {}",
                file.display(),
                because(error)
            ))
        };
        let last = match std::fs::read_to_string(&file) {
            Ok(text) => text.trim().parse().unwrap_or(0),
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(failed(&error)),
        };
        let number: u64 = u64::saturating_add(last, 1);
        let draft = self.path.join("release.new");
        std::fs::write(&draft, format!("{number}\n"))
            .and_then(|()| std::fs::rename(&draft, &file))
            .map_err(|error| failed(&error))?;
        Ok(number)
    }

    /// Where access lines go when nothing else is said.
    pub(super) fn access_log(&self) -> Result<PathBuf, Problem> {
        let dir = self.path.join("logs");
        match std::fs::create_dir_all(&dir) {
            Ok(()) => Ok(dir.join("access.log")),
            Err(error) => {
                Err(Problem::new(format!("cannot make `{}`", dir.display())).cause(because(&error)))
            }
        }
    }
}

/// git does not see the directory.
fn ignore(path: &Path) -> std::io::Result<()> {
    match File::create_new(path.join(".gitignore")) {
        Ok(mut file) => file.write_all(b"*\n"),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn locked(path: &Path, lock: &mut File) -> Problem {
    let mut pid = String::new();
    let _ = lock.read_to_string(&mut pid);
    let problem = Problem::new("cannot run the app a second time");
    match pid.trim().parse::<u32>() {
        Ok(pid) => problem
            .cause(format!(
                "`stead up` (process {pid}) runs it already, with its state in `{}`",
                path.display()
            ))
            .state("the first one still serves")
            .hint(format!("kill -HUP {pid}    # makes it reload")),
        Err(_) => problem.cause(format!(
            "another `stead up` has its state in `{}`",
            path.display()
        )),
    }
}
