//! What an app depends on, from whichever file says so, in a form that uv installs.

pub(crate) mod text;

use std::path::{Path, PathBuf};

use stead_model::manifest::Build;

use crate::Error;

/// The dependencies of an app.
#[derive(Debug, Default)]
pub(crate) struct Dependencies {
    /// The file that says so, relative to the code: `requirements.txt`. `None`: there are none.
    pub(crate) origin: Option<String>,
    /// Everything that decides what is installed, by name: an environment is keyed by it.
    pub(crate) keyed: Vec<(String, Vec<u8>)>,
    /// How uv is told.
    pub(crate) install: Install,
    /// The app itself is a package, installed editable into its environment.
    pub(crate) project: Option<PathBuf>,
    /// What was changed or left out, each a sentence.
    pub(crate) notes: Vec<String>,
}

/// How uv is told what to install.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Install {
    /// Nothing to install.
    #[default]
    Nothing,
    /// A file that uv reads as it stands: requirements.txt, pyproject.toml, setup.py.
    File {
        /// Absolute.
        path: PathBuf,
        /// It has hashes, so that every requirement must have one.
        hashed: bool,
    },
    /// Requirements made from another file's content.
    Text {
        /// As in a requirements.txt; paths in it are absolute.
        text: String,
        /// It has hashes, so that every requirement must have one.
        hashed: bool,
    },
    /// uv.lock, exported by uv itself.
    UvLock,
}

/// Names of requirements files, the first that exists is taken.
const USUAL: [&str; 9] = [
    "requirements.txt",
    "requirements/production.txt",
    "requirements/prod.txt",
    "requirements/requirements.txt",
    "requirements/base.txt",
    "requirements/main.txt",
    "requirements-prod.txt",
    "requirements-production.txt",
    "requirements.in",
];

/// Find and read what the app in `code` depends on.
pub(crate) fn read(build: &Build, code: &Path) -> Result<Dependencies, Error> {
    if let Some(name) = &build.requirements {
        let path = code.join(name);
        if !path.is_file() {
            return Err(Error::new(
                format!("cannot read `{name}`"),
                vec!["`build.requirements` names it, and there is no such file".into()],
            ));
        }
        return text::read(&path, code);
    }
    for name in USUAL {
        let path = code.join(name);
        if path.is_file() {
            return text::read(&path, code);
        }
    }
    Ok(Dependencies::default())
}

/// A name in the form in which two spellings of one package are equal (PEP 503).
pub(crate) fn normalized(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for character in name.trim().chars() {
        match character {
            '-' | '_' | '.' => {
                if !out.ends_with('-') {
                    out.push('-');
                }
            }
            other => out.push(other.to_ascii_lowercase()),
        }
    }
    out
}
