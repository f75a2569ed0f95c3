//! The program git, as it is asked about a repository.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::Refused;

/// The part of a working tree that an app's directory is, or a bare repository.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    /// The app's directory; of a bare repository, its own.
    pub(crate) dir: PathBuf,
    /// The app's path in the repository, with a slash at its end; empty at the top.
    pub(crate) prefix: Vec<u8>,
    /// It has no working tree. Whoever pushed to it is believed nothing.
    pub(crate) is_bare: bool,
}

/// What git says in the environment of a hook about objects that were pushed and are not the repository's yet (git-receive-pack(1)).
const QUARANTINE: [&str; 4] = [
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_QUARANTINE_PATH",
    "GIT_SHALLOW_FILE",
];

impl Repository {
    /// `None`: the directory is in no repository, or there is no git on this machine and no repository either.
    pub(crate) fn of(dir: &Path) -> Result<Option<Self>, Refused> {
        let is_one = dir.ancestors().any(|above| above.join(".git").exists());
        if !is_one {
            return Ok(None);
        }
        let mut repository = Self {
            dir: dir.to_owned(),
            prefix: Vec::new(),
            is_bare: false,
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
            is_bare: false,
        }
    }

    /// A bare one, with an app in its `directory`; empty: at its top.
    pub(super) fn bare(dir: PathBuf, directory: &str) -> Self {
        let mut prefix = directory.as_bytes().to_vec();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        Self {
            dir,
            prefix,
            is_bare: true,
        }
    }

    /// What git says.
    pub(crate) fn ask(&self, words: &[&str], input: &[u8]) -> Result<Vec<u8>, Refused> {
        let output = self.run(words, input).map_err(|error| no_git(&error))?;
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(failed(words, &output)),
        }
    }

    /// The same; `None` when git says no.
    pub(crate) fn ask_whether(&self, words: &[&str]) -> Result<Option<Vec<u8>>, Refused> {
        let output = self.run(words, b"").map_err(|error| no_git(&error))?;
        Ok(output.status.success().then_some(output.stdout))
    }

    /// The same, with an index of its own, which is made there.
    pub(super) fn ask_with_index(
        &self,
        index: &Path,
        words: &[&str],
        input: &[u8],
    ) -> Result<Vec<u8>, Refused> {
        let mut command = self.command(words);
        command.env("GIT_INDEX_FILE", index);
        let output = talk(command, input).map_err(|error| no_git(&error))?;
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(failed(words, &output)),
        }
    }

    fn run(&self, words: &[&str], input: &[u8]) -> io::Result<Output> {
        talk(self.command(words), input)
    }

    /// git, about this repository and no other that variables may name.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("git");
        if self.is_bare {
            self.believe_nothing(&mut command);
        }
        for name in [
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "GIT_PREFIX",
            "GIT_COMMON_DIR",
            "GIT_NAMESPACE",
        ] {
            command.env_remove(name);
        }
        if !self.is_bare {
            command.env_remove("GIT_OBJECT_DIRECTORY");
        }
        command
            .arg("-C")
            .arg(&self.dir)
            .args(words)
            .env("LC_ALL", "C")
            .env("GIT_OPTIONAL_LOCKS", "0");
        command
    }

    /// No file of the system's or a user's says what git runs, and nothing that was pushed does: a bare repository has no
    /// working tree to filter, and its own configuration is the host's.
    fn believe_nothing(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("GIT_") && !QUARANTINE.contains(&text.as_ref()) {
                command.env_remove(&name);
            }
        }
        command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .args(["-c", "core.fsmonitor=false"])
            .args(["-c", "core.hooksPath=/dev/null"])
            .args(["-c", "core.attributesFile=/dev/null"])
            .arg("--git-dir=.");
    }
}

/// Give it this, and hear all of what it says.
fn talk(mut command: Command, input: &[u8]) -> io::Result<Output> {
    let mut child = command
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
pub(crate) fn without_line_end(said: &[u8]) -> &[u8] {
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
