//! The program git, as it is asked about a repository.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::Refused;

/// The part of a working tree that an app's directory is.
#[derive(Debug)]
pub(super) struct Repository {
    /// The app's directory.
    pub(super) dir: PathBuf,
    /// Its path in the repository, with a slash at its end; empty at the top.
    pub(super) prefix: Vec<u8>,
}

impl Repository {
    /// `None`: the directory is in no repository, or there is no git on this machine and no repository either.
    pub(super) fn of(dir: &Path) -> Result<Option<Self>, Refused> {
        let is_one = dir.ancestors().any(|above| above.join(".git").exists());
        if !is_one {
            return Ok(None);
        }
        let mut repository = Self {
            dir: dir.to_owned(),
            prefix: Vec::new(),
        };
        let said = repository.ask(&["rev-parse", "--show-prefix"], b"")?;
        repository.prefix = without_line_end(&said).to_vec();
        Ok(Some(repository))
    }

    /// Of a directory that is a working tree of its own, such as a submodule's.
    pub(super) fn at(dir: PathBuf) -> Self {
        Self {
            dir,
            prefix: Vec::new(),
        }
    }

    /// What git says.
    pub(super) fn ask(&self, words: &[&str], input: &[u8]) -> Result<Vec<u8>, Refused> {
        let output = self.run(words, input).map_err(|error| no_git(&error))?;
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(failed(words, &output)),
        }
    }

    /// The same; `None` when git says no.
    pub(super) fn ask_whether(&self, words: &[&str]) -> Result<Option<Vec<u8>>, Refused> {
        let output = self.run(words, b"").map_err(|error| no_git(&error))?;
        Ok(output.status.success().then_some(output.stdout))
    }

    fn run(&self, words: &[&str], input: &[u8]) -> io::Result<Output> {
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut to) = child.stdin.take() {
            let input = input.to_owned();
            // git may answer before it has read everything.
            std::thread::spawn(move || to.write_all(&input));
        }
        child.wait_with_output()
    }

    /// git, about this repository and no other that variables may name.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("git");
        for name in [
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_PREFIX",
            "GIT_OBJECT_DIRECTORY",
            "GIT_COMMON_DIR",
            "GIT_NAMESPACE",
        ] {
            command.env_remove(name);
        }
        command
            .arg("-C")
            .arg(&self.dir)
            .args(words)
            .env("LC_ALL", "C")
            .env("GIT_OPTIONAL_LOCKS", "0");
        command
    }
}

fn no_git(error: &io::Error) -> Refused {
    match error.kind() {
        io::ErrorKind::NotFound => Refused::new(
            "it is in a git repository, and there is no `git` on this machine to read it",
        ),
        _ => Refused::new(format!("cannot run git: {error}")),
    }
}

fn failed(words: &[&str], output: &Output) -> Refused {
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| !line.trim().is_empty());
    let why = line.map_or_else(|| output.status.to_string(), str::to_owned);
    let verb = words.first().copied().unwrap_or_default();
    let refused = Refused::new(format!("`git {verb}` failed: {why}"));
    // git itself says how to trust a directory that is somebody else's.
    match said
        .lines()
        .find(|line| line.trim_start().starts_with("git config"))
    {
        Some(remedy) => refused.hinted(remedy.trim()),
        None => refused,
    }
}

/// git ends a line, and a path may end in anything but that.
pub(super) fn without_line_end(said: &[u8]) -> &[u8] {
    said.strip_suffix(b"\n").unwrap_or(said)
}

/// What git said between NULs.
pub(super) fn between_nuls(said: &[u8]) -> impl Iterator<Item = &[u8]> {
    said.split(|byte| *byte == 0)
        .filter(|part| !part.is_empty())
}

/// A path of git's as one of this machine.
pub(super) fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}
