//! Python environments under `<state>/envs/<key>/`: built once for what they are made from, shared
//! by every release that is made from the same, complete only with their marker file.

mod install;
mod repair;

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::hash::Key;
use crate::index::Index;
use crate::interpreter::Interpreter;
use crate::machine::{Machine, is_executable};
use crate::requirements::Dependencies;
use crate::{Error, Progress};

/// Written last: an environment without it is not finished and is built again.
const MARKER: &str = ".stead-complete";

/// How many environments beside the current one are kept, the last used first.
const KEPT: usize = 3;

/// Everything that decides what is in an environment.
#[derive(Debug)]
pub(crate) struct Recipe<'a> {
    /// The working directory of the installer.
    pub(crate) code: &'a Path,
    /// What the app depends on.
    pub(crate) dependencies: &'a Dependencies,
    /// The Python.
    pub(crate) interpreter: &'a Interpreter,
    /// Where packages come from.
    pub(crate) index: &'a Index,
    /// `build.exclude-newer`.
    pub(crate) exclude_newer: Option<&'a str>,
    /// `build.packages`: another set of headers may make other binaries.
    pub(crate) packages: &'a [String],
    /// What Stead adds when the app's own dependencies did not bring it.
    pub(crate) additions: Additions,
}

/// What Stead adds to an environment when the app's own dependencies did not bring it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Additions {
    /// uvicorn, for an ASGI app without a server.
    pub(crate) uvicorn: bool,
    /// setuptools, because the app's own code imports `pkg_resources` or, from Python 3.12 on, `distutils`.
    pub(crate) setuptools: bool,
}

/// A finished environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Environment {
    /// Its directory.
    pub(crate) root: PathBuf,
}

impl Environment {
    /// Its programs.
    pub(crate) fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// Its Python.
    pub(crate) fn python(&self) -> PathBuf {
        self.bin().join("python")
    }

    /// One of its programs, if it is there.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        let path = self.bin().join(name);
        is_executable(&path).then_some(path)
    }

    /// Whether a module of this name (without dots) is installed.
    pub(crate) fn has_module(&self, name: &str) -> bool {
        install::site_packages(&self.root).is_some_and(|site| {
            site.join(name).is_dir() || site.join(format!("{name}.py")).is_file()
        })
    }

    /// Whether a file of an installed package has this text in it.
    pub(crate) fn source_mentions(&self, file: &str, text: &str) -> bool {
        install::site_packages(&self.root)
            .and_then(|site| std::fs::read_to_string(site.join(file)).ok())
            .is_some_and(|content| content.contains(text))
    }

    /// The version of an installed distribution, by its normalized name.
    pub(crate) fn version_of(&self, name: &str) -> Option<String> {
        install::distributions(&self.root).remove(name)
    }
}

impl Recipe<'_> {
    fn key(&self) -> String {
        let mut key = Key::new("environment 2")
            .with(
                "python",
                self.interpreter.program.as_os_str().as_encoded_bytes(),
            )
            .with("version", self.interpreter.version.to_string())
            .with("index", self.index.url.as_deref().unwrap_or_default())
            .with("exclude-newer", self.exclude_newer.unwrap_or_default())
            .with("additions", format!("{:?}", self.additions));
        for package in self.packages {
            key = key.with("package", package);
        }
        for (name, content) in &self.dependencies.keyed {
            key = key.with("file", name).with("content", content);
        }
        if let Some(project) = &self.dependencies.project {
            key = key.with("project", project.as_os_str().as_encoded_bytes());
        }
        key.finish()
    }
}

fn directory(state: &Path) -> PathBuf {
    state.join("envs")
}

/// The finished environment for this recipe, if there is one. Starts no process.
pub(crate) fn find(state: &Path, recipe: &Recipe<'_>) -> Option<Environment> {
    let environment = planned(state, recipe);
    // A Python that was taken away leaves a dangling link.
    let whole = environment.root.join(MARKER).is_file() && is_executable(&environment.python());
    whole.then_some(environment)
}

/// Where the environment for this recipe would be.
pub(crate) fn planned(state: &Path, recipe: &Recipe<'_>) -> Environment {
    Environment {
        root: directory(state).join(recipe.key()),
    }
}

/// The environment for this recipe: the one that is there, else a new one. `keeps_others`: those that were not used lately are not removed.
pub(crate) fn obtain(
    machine: &Machine,
    state: &Path,
    recipe: &Recipe<'_>,
    keeps_others: bool,
    progress: &dyn Progress,
) -> Result<Environment, Error> {
    if let Some(environment) = find(state, recipe) {
        touch(&environment);
        progress.step("environment");
        progress.done("unchanged");
        return Ok(environment);
    }
    let directory = directory(state);
    std::fs::create_dir_all(&directory).map_err(|error| disk(&directory, &error))?;
    let _lock = lock(&directory, progress)?;
    // Another build may have made it while this one waited.
    if let Some(environment) = find(state, recipe) {
        touch(&environment);
        return Ok(environment);
    }
    let environment = planned(state, recipe);
    remove(&environment.root)?;
    let uv = crate::uv::obtain(machine, state, recipe.index, progress)?;
    let memory = crate::interpreter::memory(state);
    install::install(machine, &uv, recipe, &environment, &memory, progress)?;
    let marker = environment.root.join(MARKER);
    File::create(&marker)
        .and_then(|file| file.sync_all())
        .map_err(|error| disk(&marker, &error))?;
    if !keeps_others {
        prune(&directory, &environment);
    }
    Ok(environment)
}

/// Held while environments are built or removed; the kernel gives it back when its owner dies.
fn lock(directory: &Path, progress: &dyn Progress) -> Result<File, Error> {
    use rustix::fs::{FlockOperation, flock};
    let path = directory.join(".lock");
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|error| disk(&path, &error))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        progress.step("waiting for another build of this app");
        flock(&file, FlockOperation::LockExclusive).map_err(|error| disk(&path, &error.into()))?;
        progress.done("");
    }
    Ok(file)
}

/// The marker's time says when an environment was last used.
fn touch(environment: &Environment) {
    if let Ok(file) = File::options()
        .append(true)
        .open(environment.root.join(MARKER))
    {
        let _ = file.set_modified(std::time::SystemTime::now());
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(disk(path, &error)),
        _ => Ok(()),
    }
}

/// Remove what was not finished and all but the last used. Not being able to is no failure.
fn prune(directory: &Path, current: &Environment) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    let mut others: Vec<(Option<std::time::SystemTime>, PathBuf)> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && *path != current.root)
        .map(|path| {
            let used = std::fs::metadata(path.join(MARKER)).and_then(|found| found.modified());
            (used.ok(), path)
        })
        .collect();
    others.sort_by_key(|(used, _)| std::cmp::Reverse(*used));
    for (at, (used, path)) in others.into_iter().enumerate() {
        if at >= KEPT || used.is_none() {
            // First the marker: half a removal must not look like an environment.
            let _ = std::fs::remove_file(path.join(MARKER));
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

fn disk(path: &Path, error: &std::io::Error) -> Error {
    Error::new(
        "cannot build the environment",
        vec![format!("`{}`: {error}", path.display())],
    )
}

#[cfg(test)]
mod tests;
