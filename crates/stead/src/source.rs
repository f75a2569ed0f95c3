//! The source tree of an app: its directory, its `stead.toml`, and what is detected where the
//! file says nothing.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use stead_build::Detection;
use stead_model::manifest::{Manifest, fit_app_name};

use crate::problem::{Problem, because};

/// The file that describes an app.
pub(crate) const FILE: &str = "stead.toml";

/// Where `stead up` keeps its state, in the source tree.
pub(crate) const STATE: &str = ".stead";

/// What is known of an app.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What it wants.
    pub(crate) manifest: Manifest,
    /// There is a `stead.toml`.
    pub(crate) has_file: bool,
    /// The file names the app.
    pub(crate) named: bool,
    /// What was detected, where the file does not name a process, or does not exist.
    pub(crate) detection: Option<Detection>,
}

/// `given` as an absolute path, if it is a directory. `verb` is for the hint.
pub(crate) fn directory(given: &Path, verb: &str) -> Result<PathBuf, Problem> {
    let act = || format!("cannot use `{}` as an app's source", given.display());
    let path = given.canonicalize().map_err(|error| {
        let cause = match error.kind() {
            ErrorKind::NotFound => "there is no such directory".to_owned(),
            _ => because(&error),
        };
        Problem::invocation(act()).cause(cause)
    })?;
    if !path.is_dir() {
        let problem = Problem::invocation(act()).cause("it is not a directory");
        let parent = given
            .parent()
            .filter(|_| path.file_name().is_some_and(|name| name == FILE));
        return Err(match parent {
            Some(parent) if parent.as_os_str().is_empty() => problem.hint(format!("stead {verb}")),
            Some(parent) => problem.hint(format!("stead {verb} {}", parent.display())),
            None => problem,
        });
    }
    // A directory may be entered but not read, which every later step would explain worse.
    match std::fs::read_dir(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(Problem::invocation(act()).cause(because(&error))),
    }
}

/// Read `stead.toml` in `dir`; detect what it leaves out.
pub(crate) fn load(dir: &Path) -> Result<Loaded, Problem> {
    let Some(text) = read(&dir.join(FILE))? else {
        let detection = stead_build::detect(dir)?;
        return Ok(Loaded {
            manifest: detection.manifest.clone(),
            has_file: false,
            named: false,
            detection: Some(detection),
        });
    };
    let mut manifest = Manifest::parse(&text, FILE)?;
    let named = !manifest.app.is_empty();
    if !named {
        let name = dir.file_name().unwrap_or_default();
        manifest.app = fit_app_name(&name.to_string_lossy());
    }
    let mut detection = None;
    if manifest.process.is_empty() {
        let root = manifest.build.root.clone().unwrap_or_default();
        let found = stead_build::detect(&dir.join(&root))?;
        complete(&mut manifest, &found.manifest);
        detection = Some(found);
    }
    Ok(Loaded {
        manifest,
        has_file: true,
        named,
        detection,
    })
}

/// The app's name and its hosts, as far as the file in `dir` and the directory's name say. Nothing is detected.
pub(crate) fn identity(dir: &Path) -> Result<(String, BTreeMap<String, Vec<String>>), Problem> {
    let manifest = match read(&dir.join(FILE))? {
        Some(text) => Manifest::parse(&text, FILE)?,
        None => Manifest::default(),
    };
    if !manifest.app.is_empty() {
        return Ok((manifest.app, manifest.hosts));
    }
    let dir = dir.canonicalize().unwrap_or_default();
    let name = dir.file_name().unwrap_or_default();
    Ok((fit_app_name(&name.to_string_lossy()), manifest.hosts))
}

/// Read what is in `dir` as the source of `app`, whatever the directory's name. A file that names another app is an error.
pub(crate) fn load_as(dir: &Path, app: &str) -> Result<Loaded, Problem> {
    let mut loaded = load(dir)?;
    if loaded.named && loaded.manifest.app != app {
        return Err(
            Problem::invocation(format!("cannot build `{app}`")).cause(format!(
                "its {FILE} says `app = \"{}\"`",
                loaded.manifest.app
            )),
        );
    }
    loaded.manifest.app = app.to_owned();
    Ok(loaded)
}

/// Where the app lives in its source `dir`: what paths of the file are relative to.
pub(crate) fn root(dir: &Path, manifest: &Manifest) -> PathBuf {
    match &manifest.build.root {
        Some(root) => dir.join(root),
        None => dir.to_owned(),
    }
}

/// What the file does not say is as detected; what it says stays.
fn complete(manifest: &mut Manifest, found: &Manifest) {
    manifest.process = found.process.clone();
    if manifest.release_command.is_none() {
        manifest.release_command = found.release_command.clone();
    }
    if manifest.route.is_empty() {
        manifest.route = found.route.clone();
    }
    for (name, value) in &found.env {
        let value = || value.clone();
        manifest.env.entry(name.clone()).or_insert_with(value);
    }
    for (name, secret) in &found.secret {
        if !manifest.env.contains_key(name) {
            let secret = || secret.clone();
            manifest.secret.entry(name.clone()).or_insert_with(secret);
        }
    }
    let (build, detected) = (&mut manifest.build, &found.build);
    if build.python.is_none() {
        build.python = detected.python.clone();
    }
    if build.requirements.is_none() {
        build.requirements = detected.requirements.clone();
    }
    if build.root.is_none() {
        build.root = detected.root.clone();
    }
    if build.commands.is_empty() {
        build.commands = detected.commands.clone();
    }
}

/// The file's text; `None` when there is no such file.
fn read(file: &Path) -> Result<Option<String>, Problem> {
    let refused = |cause: String| Problem::invocation(format!("cannot read `{FILE}`")).cause(cause);
    match std::fs::read(file) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(error) => {
                let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
                let mut problem = refused("it is not UTF-8 text".to_owned());
                problem.place = Some(format!("{FILE}:{line}"));
                Err(problem)
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound && file.symlink_metadata().is_err() => {
            Ok(None)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Err(refused(
            "it is a link to a file that does not exist".to_owned(),
        )),
        Err(error) => Err(refused(because(&error))),
    }
}
