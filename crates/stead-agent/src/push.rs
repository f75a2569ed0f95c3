//! Repositories on a host that apps are pushed to.
//!
//! Each is bare and root's alone, below its app's directory. Its configuration and its one hook are written here, whole, and nothing that is pushed
//! changes them. Nothing of a pushed tree is run by git: without a working tree there is nothing to filter, and what would be run from
//! elsewhere is turned off.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use stead_model::agent::is_app_name;
use stead_model::push::{DIRECTORY, FILE, Prepared, Repository};

use crate::host::program;
use crate::spawn::io_text;

/// What git is to do with a repository.
/// - A push never removes the branch, and may come from a shallow clone, as those of CI are.
/// - Who has gone away is noticed within a second.
/// - What is pushed has 4 GB at most: `receive.maxInputSize` of git-config(1).
const CONFIGURATION: &str = "\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\thooksPath = hooks
\tfsmonitor = false
\tattributesFile = /dev/null
[receive]
\tdenyDeletes = true
\tshallowUpdate = true
\tkeepAlive = 1
\tmaxInputSize = 4g
\tadvertisePushOptions = false
[transfer]
\tcredentialsInUrl = die
";

/// githooks(5). No value is in it: the program sees from its directory which app it is about.
const HOOK: &str = "\
#!/bin/sh
# Made by `stead deploy --git-remote`.
exec /usr/local/bin/stead api received
";

/// Why it was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushError {
    /// Outermost first.
    pub causes: Vec<String>,
}

impl PushError {
    fn new(cause: impl Into<String>) -> Self {
        Self {
            causes: vec![cause.into()],
        }
    }

    fn io(path: &Path, error: &io::Error) -> Self {
        Self::new(format!("`{}`: {}", path.display(), io_text(error)))
    }
}

/// Make the repository of an app, or change what it takes. `apps_dir` is `/var/lib/stead/apps`. What was pushed before stays.
pub fn prepare(apps_dir: &Path, wanted: &Repository) -> Prepared {
    let refused = |causes: Vec<String>, lacks_git: bool| Prepared::Refused { causes, lacks_git };
    if let Err(why) = wanted.check() {
        return refused(vec![why], false);
    }
    match Command::new("git").arg("--version").output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return refused(vec!["there is no `git` on the host".to_owned()], true);
        }
        Err(error) => {
            return refused(
                vec![format!("cannot run `git`: {}", io_text(&error))],
                false,
            );
        }
        Ok(_) => {}
    }
    let path = apps_dir.join(&wanted.app).join(DIRECTORY);
    match make(&path, wanted) {
        Ok(()) => Prepared::Ready {
            path: path.display().to_string(),
        },
        Err(error) => refused(error.causes, false),
    }
}

fn make(path: &Path, wanted: &Repository) -> Result<(), PushError> {
    let failed = |error: io::Error| PushError::io(path, &error);
    if let Some(app_dir) = path.parent() {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(app_dir);
        made.map_err(failed)?;
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    own(path)?;
    // What is there already is not touched by it.
    let words: [&OsStr; 5] = [
        "init".as_ref(),
        "--quiet".as_ref(),
        "--bare".as_ref(),
        "--template=".as_ref(),
        path.as_os_str(),
    ];
    program::run("git", words).map_err(PushError::new)?;
    let hooks = path.join("hooks");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&hooks)
        .map_err(failed)?;
    let text =
        serde_json::to_vec_pretty(wanted).map_err(|error| PushError::new(error.to_string()))?;
    let head = format!("ref: refs/heads/{}\n", wanted.branch);
    for (name, content, mode) in [
        ("config", CONFIGURATION.as_bytes(), 0o600),
        ("hooks/pre-receive", HOOK.as_bytes(), 0o700),
        ("HEAD", head.as_bytes(), 0o600),
        // Last: with it the repository takes pushes.
        (FILE, text.as_slice(), 0o600),
    ] {
        write(&path.join(name), content, mode).map_err(failed)?;
    }
    Ok(())
}

/// Whole or not at all.
fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new()
        .prefix(".stead-")
        .tempfile_in(dir)?;
    file.write_all(content)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()
}

/// A directory of who runs this, and no link to one.
fn own(path: &Path) -> Result<(), PushError> {
    let found = fs::symlink_metadata(path).map_err(|error| PushError::io(path, &error))?;
    let own = rustix::process::geteuid().as_raw();
    match found.is_dir() && found.uid() == own {
        true => Ok(()),
        false => Err(PushError::new(format!(
            "`{}` is not a directory of its own user",
            path.display()
        ))),
    }
}

/// What the repository at `path` takes: one that [`prepare`] has made below `apps_dir`, and no other directory.
///
/// # Errors
/// It is none.
pub fn repository(apps_dir: &Path, path: &Path) -> Result<Repository, PushError> {
    let app = path
        .strip_prefix(apps_dir)
        .ok()
        .and_then(|below| below.to_str()?.strip_suffix(DIRECTORY)?.strip_suffix('/'))
        .filter(|app| is_app_name(app))
        .ok_or_else(|| {
            PushError::new(format!("`{}` is no repository of an app", path.display()))
        })?;
    let file = path.join(FILE);
    let text = fs::read(&file).map_err(|error| match error.kind() {
        ErrorKind::NotFound => PushError::new(format!(
            "it was not set up on this host that `{app}` is pushed"
        )),
        _ => PushError::io(&file, &error),
    })?;
    own(path)?;
    let repository: Repository = serde_json::from_slice(&text)
        .map_err(|error| PushError::new(format!("`{}`: {error}", file.display())))?;
    repository.check().map_err(PushError::new)?;
    match repository.app == app {
        true => Ok(repository),
        false => Err(PushError::new(format!(
            "`{}` is about `{}`",
            file.display(),
            repository.app
        ))),
    }
}

/// git, as it hears who pushes to the repository at `path` (git-receive-pack(1)). `who` pushes, as the hook is told.
pub fn receive(path: PathBuf, who: &str) -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C.UTF-8")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env(WHO, who)
        .arg("receive-pack")
        .arg(path);
    command
}

/// The variable that tells the hook who pushes.
pub const WHO: &str = "STEAD_WHO";

#[cfg(test)]
mod tests;
