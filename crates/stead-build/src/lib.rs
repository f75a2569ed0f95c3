//! From a source tree to a release: detection, environments, mirrors. Runs on the laptop and on
//! hosts, never in the path of traffic, and never starts the app itself.

mod check;
mod child;
mod commands;
mod detect;
mod environment;
mod failure;
mod hash;
mod index;
mod init;
mod interpreter;
mod launch;
mod machine;
mod node;
mod prepare;
mod requirements;
mod routes;
mod scan;
mod system;
#[cfg(test)]
mod test_app;
mod tree;
mod uv;

use std::path::{Path, PathBuf};

use stead_model::manifest::Manifest;
use stead_model::release::Release;

use machine::Machine;

pub use init::init_text;

/// What was found in a source tree that has no `stead.toml` (or beside one).
#[derive(Clone, Debug)]
pub struct Detection {
    /// What would be run.
    pub manifest: Manifest,
    /// Where each value came from, in the order of the file that `init` writes.
    pub origins: Vec<Origin>,
    /// What a person should know or decide, each a sentence: things that are missing, decoys
    /// that were passed over, directories that look like state and want a `[volume]`.
    pub notes: Vec<String>,
    /// TOML lines that `init` writes commented out, with why: alternatives.
    pub alternatives: Vec<Alternative>,
}

/// Where one value came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// `build.python`, `process.web.wsgi`.
    pub key: String,
    /// `runtime.txt`, `app.py:12: app = Flask(__name__)`.
    pub from: String,
}

/// A choice that was not taken.
#[derive(Clone, Debug)]
pub struct Alternative {
    /// One sentence.
    pub why: String,
    /// TOML lines.
    pub toml: String,
}

/// What `prepare` works on.
#[derive(Clone, Debug)]
pub struct Source {
    /// The directory that holds (or would hold) `stead.toml`, absolute.
    pub dir: PathBuf,
    /// Where environments, the worker file and caches go: `.stead/` for `stead up`.
    pub state: PathBuf,
    /// The release's number.
    pub number: u64,
    /// A variable, name and value, that every program of the build is started with: whoever
    /// looks after the build knows them by it.
    pub mark: Option<(String, String)>,
}

/// One thing that `prepare` would do or that is missing, for `stead check`.
#[derive(Clone, Debug)]
pub struct Finding {
    /// A sentence.
    pub text: String,
    /// `true`: `prepare` would fail because of it.
    pub blocks: bool,
    /// Runnable as it stands, or a line for `stead.toml`.
    pub hint: Option<String>,
}

/// Where progress goes; the caller draws it.
pub trait Progress {
    /// A step begins: `installing 12 packages`.
    fn step(&self, text: &str);
    /// A line of a child's output, folded unless the step fails.
    fn output(&self, line: &str);
    /// The step ended; `detail` such as `12 packages in 1.2 s` or `unchanged`.
    fn done(&self, detail: &str);
}

/// Look at `dir` and say what would be run. Reads files, runs nothing.
pub fn detect(dir: &Path) -> Result<Detection, Error> {
    detect::detect(dir)
}

/// Say what `prepare` would do, without doing it.
pub fn check(manifest: &Manifest, source: &Source) -> Vec<Finding> {
    check::check(&Machine::of_this_process(), manifest, source)
}

/// Build (or reuse) the environment and resolve `manifest` into a release.
pub fn prepare(
    manifest: &Manifest,
    source: &Source,
    progress: &dyn Progress,
) -> Result<Release, Error> {
    let machine = Machine::of_this_process().marked(source.mark.as_ref());
    prepare::prepare(&machine, manifest, source, progress)
}

/// Why there is no release.
#[derive(Debug)]
pub struct Error {
    /// The act and its object, lower case, no full stop: ``cannot install `lxml` ``.
    pub act: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// At most one; runnable, or the line to add.
    pub hint: Option<String>,
    /// The last lines of what the failing program printed.
    pub output: Vec<String>,
}

impl Error {
    /// An error with its causes, outermost first.
    pub(crate) fn new(act: impl Into<String>, causes: Vec<String>) -> Self {
        Self {
            act: act.into(),
            causes,
            hint: None,
            output: Vec::new(),
        }
    }

    /// The same error with a hint.
    #[must_use]
    pub(crate) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.act)
    }
}

impl std::error::Error for Error {}
