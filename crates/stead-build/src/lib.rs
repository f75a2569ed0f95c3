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
    /// What keeps the app from running as it stands, or from running well.
    pub findings: Vec<Finding>,
    /// Variables that the app does not run without.
    pub variables: Vec<Variable>,
    /// What a person should know or decide, each a sentence: decoys that were passed over,
    /// directories that look like state and want a `[volume]`.
    pub notes: Vec<String>,
    /// TOML lines that `init` writes commented out, with why: alternatives.
    pub alternatives: Vec<Alternative>,
}

impl Detection {
    /// All that a person should be told, each a sentence, what matters most first. `is_set`: whether a
    /// variable has a value already.
    pub fn remarks(&self, is_set: impl Fn(&str) -> bool) -> Vec<String> {
        let findings = self.findings.iter().map(|finding| match &finding.hint {
            Some(hint) => format!("{} ({hint})", finding.text.trim_end_matches('.')),
            None => finding.text.clone(),
        });
        let unset = self.variables.iter().filter(|variable| {
            let name = &variable.name;
            let given =
                self.manifest.env.contains_key(name) || self.manifest.secret.contains_key(name);
            !given && !is_set(name)
        });
        let unset = unset.map(Variable::sentence);
        findings
            .chain(unset)
            .chain(self.notes.iter().cloned())
            .collect()
    }
}

/// A variable that the app reads without a default.
#[derive(Clone, Debug)]
pub struct Variable {
    /// `DATABASE_URL`.
    pub name: String,
    /// Where it is read: `app.py:5`.
    pub from: String,
    /// It is read as soon as the app is imported. Otherwise some request or setting may need it.
    pub at_start: bool,
}

impl Variable {
    /// What it means that it has no value.
    pub fn sentence(&self) -> String {
        let Self { name, from, .. } = self;
        match self.at_start {
            true => format!("`{name}` has no value: the app does not start without it ({from})"),
            false => format!("`{name}` has no value: the app fails where it needs it ({from})"),
        }
    }
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
    /// Environments that were not used lately stay: somebody else knows which ones are needed.
    pub keeps_environments: bool,
}

/// One thing that `prepare` would do, that is missing or that deserves attention, for `stead check`.
#[derive(Clone, Debug)]
pub struct Finding {
    /// A sentence.
    pub text: String,
    /// `true`: the app does not come up because of it.
    pub blocks: bool,
    /// Runnable as it stands, or a line for `stead.toml`. What has one and does not block deserves attention.
    pub hint: Option<String>,
}

impl Finding {
    /// It keeps the app from running, or from running well.
    pub fn asks(&self) -> bool {
        self.blocks || self.hint.is_some()
    }
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

/// Say what `prepare` would do, without doing it, and what is missing. `detection` is what the source
/// shows, whether or not `manifest` came of it.
pub fn check(manifest: &Manifest, source: &Source, detection: Option<&Detection>) -> Vec<Finding> {
    check::check(&Machine::of_this_process(), manifest, source, detection)
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
