//! The `uv` program: the one on `PATH` when it is recent enough, else the pinned one, which
//! Stead downloads itself and keeps in its cache. uv does the resolving and installing; every
//! decision about what to install is made here.

mod download;
mod simple;

use std::path::{Path, PathBuf};
use std::process::Command;

use semver::Version;

use crate::index::Index;
use crate::machine::{Machine, is_executable};
use crate::{Error, Progress};

/// The version that Stead downloads. Its wheels' hashes are in `download`.
pub(crate) const PINNED: &str = "0.13.8";

/// The oldest version that is used when it is on `PATH`: the first with every option used here
/// (`export --no-emit-project`, `--default-index`, `--compile-bytecode`) behaving as it does today.
const OLDEST: Version = Version::new(0, 8, 0);

/// A uv that can be run.
#[derive(Clone, Debug)]
pub(crate) struct Uv {
    program: PathBuf,
    version: Version,
}

impl Uv {
    /// For messages.
    pub(crate) fn describe(&self) -> String {
        format!("uv {} ({})", self.version, self.program.display())
    }

    /// A command with everything in its environment that must not leak in taken out: an
    /// activated environment, a `PYTHONPATH`, uv's own settings that would redirect it.
    pub(crate) fn command(&self, machine: &Machine, index: &Index, directory: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(directory).env_clear();
        for (name, value) in machine.variables() {
            let leaks = matches!(
                name.as_str(),
                "VIRTUAL_ENV"
                    | "CONDA_PREFIX"
                    | "PYTHONPATH"
                    | "PYTHONHOME"
                    | "PYTHONSTARTUP"
                    | "UV_PYTHON"
                    | "UV_SYSTEM_PYTHON"
                    | "UV_BREAK_SYSTEM_PACKAGES"
                    | "UV_PROJECT"
                    | "UV_PROJECT_ENVIRONMENT"
                    | "UV_WORKING_DIR"
                    | "UV_EXCLUDE_NEWER"
                    | "UV_CONSTRAINT"
                    | "UV_OVERRIDE"
                    | "UV_REQUIRE_HASHES"
                    | "UV_RESOLUTION"
                    | "UV_PRERELEASE"
            );
            if !leaks {
                command.env(name, value);
            }
        }
        command
            .env("UV_PYTHON_DOWNLOADS", "never")
            .env("UV_NO_PROGRESS", "1")
            .env("NO_COLOR", "1")
            // Companies intercept TLS with their own authority; it is in the system's store.
            .env("UV_SYSTEM_CERTS", "true")
            .env_remove("FORCE_COLOR");
        if machine.user_cache().is_none() && machine.variable("UV_CACHE_DIR").is_none() {
            command.env("UV_NO_CACHE", "1");
        }
        if self.version < Version::new(0, 11, 0) {
            command.env("UV_NATIVE_TLS", "true");
        }
        if let Some(url) = &index.url {
            command
                .env_remove("UV_INDEX_URL")
                .env("UV_DEFAULT_INDEX", url);
        }
        if index.origin == "build.index" {
            // It replaces the index: none that the machine adds is left.
            command
                .env_remove("UV_INDEX")
                .env_remove("UV_EXTRA_INDEX_URL")
                .env_remove("UV_FIND_LINKS");
        }
        if !index.trusted.is_empty() {
            command.env("UV_INSECURE_HOST", index.trusted.join(" "));
        }
        command
    }
}

/// The uv that is here already, without downloading anything.
pub(crate) fn present(machine: &Machine, state: &Path) -> Option<Uv> {
    on_path(machine).or_else(|| cached(machine, state))
}

/// The uv that is here, else the pinned one, downloaded.
pub(crate) fn obtain(
    machine: &Machine,
    state: &Path,
    index: &Index,
    progress: &dyn Progress,
) -> Result<Uv, Error> {
    if let Some(uv) = present(machine, state) {
        return Ok(uv);
    }
    progress.step(&format!("downloading uv {PINNED}"));
    let program = cache_path(machine, state);
    let source = download::fetch(index, &program)?;
    progress.done(&format!("from {source}, hash checked"));
    Ok(Uv {
        program,
        version: pinned(),
    })
}

fn pinned() -> Version {
    Version::parse(PINNED).unwrap_or(OLDEST)
}

fn cache_path(machine: &Machine, state: &Path) -> PathBuf {
    machine.cache(state).join("uv").join(PINNED).join("uv")
}

/// A file in the cache is whole: it came there by a rename.
fn cached(machine: &Machine, state: &Path) -> Option<Uv> {
    let program = cache_path(machine, state);
    is_executable(&program).then(|| Uv {
        program,
        version: pinned(),
    })
}

fn on_path(machine: &Machine) -> Option<Uv> {
    let program = machine.program("uv")?;
    let output = Command::new(&program).arg("--version").output().ok()?;
    let version = parse_version(&String::from_utf8_lossy(&output.stdout))?;
    (output.status.success() && version >= OLDEST).then_some(Uv { program, version })
}

/// `uv 0.8.3 (7e78f54e7 2025-07-24)`.
fn parse_version(text: &str) -> Option<Version> {
    let mut words = text.split_whitespace();
    (words.next()? == "uv").then_some(())?;
    Version::parse(words.next()?).ok()
}

#[cfg(test)]
mod tests;
