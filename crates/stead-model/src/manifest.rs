//! What one `stead.toml` says, after validation. Everything that may be left out is an
//! `Option` or has its default filled in; nothing in here is resolved against a machine yet.

pub mod keys;
mod parse;
mod process;
mod route;
mod section;
mod syntax;
mod values;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config_error::ConfigErrors;

pub(crate) use section::shorten;
pub(crate) use values::{name, shell_line};

/// A whole `stead.toml`: one app.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Manifest {
    /// The app's name, `[a-z][a-z0-9-]{0,31}`. Default: the directory's name, made to fit.
    pub app: String,
    /// How the source becomes an environment.
    pub build: Build,
    /// Long-running programs by name; `web` is the one that visitors reach.
    pub process: BTreeMap<String, Process>,
    /// Commands run on a schedule.
    pub job: BTreeMap<String, Job>,
    /// A command run once for each release, before visitors reach it. A shell line.
    pub release_command: Option<String>,
    /// Host names and paths, in file order. Empty: every host goes to `web`.
    pub route: Vec<Route>,
    /// Environment variables given to every process, job and the release command.
    pub env: BTreeMap<String, String>,
    /// Environment variables whose values are never in the file.
    pub secret: BTreeMap<String, Secret>,
    /// Directories that outlive releases.
    pub volume: BTreeMap<String, Volume>,
}

/// `[build]`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Build {
    /// `"3.11"`: the Python version, `major.minor` or with a patch.
    pub python: Option<String>,
    /// Where the app lives in the repository, relative, without `..`. Default: the top.
    pub root: Option<String>,
    /// Requirements file (or lock file) relative to the root, when it is not one of the usual names.
    pub requirements: Option<String>,
    /// System packages that must be installed.
    pub packages: Vec<String>,
    /// Shell lines run in the source after the environment is complete.
    pub commands: Vec<String>,
    /// `"auto"`, `"pypi"`, the name of a mirror, or an URL; replaces the index, never adds one.
    pub index: Option<String>,
    /// Only package versions uploaded before this date, `YYYY-MM-DD`.
    pub exclude_newer: Option<String>,
}

/// `[process.NAME]`. Exactly one of `program`'s forms.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// What is run.
    pub program: Program,
    /// Which server runs a `wsgi` or `asgi` entry point. Default: Stead's own worker for WSGI, uvicorn for ASGI.
    pub server: Option<Server>,
    /// How many instances. Default `auto` for `web`, 1 for others.
    pub count: Count,
    /// Threads per WSGI instance. Default `auto`: up to 16.
    pub threads: Threads,
    /// Import the app once and fork the instances from it.
    pub preload: bool,
    /// Bytes per instance; above it the instance is recycled gracefully.
    pub memory: Option<u64>,
    /// One request may take this long. Default 30 s.
    pub timeout: Duration,
    /// How long a draining instance may finish its requests before SIGKILL. Default 30 s.
    pub drain: Duration,
    /// When an instance counts as ready.
    pub health: Health,
}

/// What a process runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Program {
    /// `wsgi = "module:attribute"` or `"module:factory()"`.
    Wsgi(String),
    /// `asgi = "module:attribute"` or `"module:factory()"`.
    Asgi(String),
    /// `command = "node server.js"`: a shell line that listens on `$PORT` (for `web`).
    Command(String),
    /// `static = "public"`: a folder, served by the edge; no instance runs.
    Static(String),
    /// `uwsgi = "uwsgi.ini"`: the app's own uwsgi configuration, read, not run as it stands.
    Uwsgi(String),
}

/// `server = "…"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Stead's own WSGI worker.
    Stead,
    /// The app's own pin of gunicorn.
    Gunicorn,
    /// The app's own pin of uWSGI, over the uwsgi protocol.
    Uwsgi,
    /// The app's own pin of granian.
    Granian,
    /// The app's own pin of uvicorn.
    Uvicorn,
}

/// `count = "auto"` or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// 2 × CPU + 1, cut down to what memory allows.
    Auto,
    /// As given, 1 to 1000 (0 for a process that is switched off).
    Fixed(u32),
}

/// `threads = "auto"` or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// Up to 16, each started only when every other one is busy.
    Auto,
    /// As given, 1 to 256; 1 means that the app is not thread-safe.
    Fixed(u32),
}

/// `health = { … }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// Default `/`.
    pub path: String,
    /// Inclusive. Default 100 to 499: an API may answer 404 or 401 at `/`.
    pub status: (u16, u16),
    /// The Host header of the probe. Default: the first route's host, else `localhost`.
    pub host: Option<String>,
    /// How long an instance may take from its start to its first good answer. Default 60 s.
    pub within: Duration,
}

/// `[job.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Cron, five fields or `@hourly` and the like. Absent: run only by hand.
    pub schedule: Option<String>,
    /// IANA name. Default UTC.
    pub timezone: Option<String>,
    /// A shell line.
    pub command: String,
    /// What happens when the previous run is still going. Default skip.
    pub overlap: Overlap,
    /// The run is stopped after this long. Default: 1 h.
    pub timeout: Duration,
}

/// `overlap = "…"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Overlap {
    /// The new run does not happen.
    #[default]
    Skip,
    /// The new run happens when the old one ended; at most one waits.
    Queue,
    /// The old run is stopped and the new one starts.
    Replace,
}

/// `[route]` or one of `[[route]]`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Route {
    /// Host names, lower case; `*.example.com` allowed. Empty: every host.
    pub hosts: Vec<String>,
    /// Path prefix, default `/`.
    pub path: String,
    /// The process that answers. Default `web`.
    pub process: Option<String>,
    /// URL prefix → folder relative to the root.
    pub static_folders: BTreeMap<String, String>,
    /// Largest request body in bytes. Default 100 MB.
    pub body_limit: Option<u64>,
    /// Host → host, answered 308 with the same path.
    pub redirects: BTreeMap<String, String>,
}

/// `[secret.NAME]`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Secret {
    /// Made once by Stead when it has no value yet.
    pub generate: bool,
}

/// `[volume.NAME]`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Volume {
    /// Inside the code, relative; linked into every release.
    pub path: String,
}

impl Manifest {
    /// Read a `stead.toml`. `file_name` is how errors name it. Every problem of the file is reported
    /// at once; but where the text is not TOML, only that is.
    ///
    /// `app` is empty when the file does not give it: [`fit_app_name`] makes one of a directory's name.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigErrors> {
        parse::manifest(text, file_name)
    }
}

/// A name that `app` accepts, as near to a directory's name as can be.
pub fn fit_app_name(directory: &str) -> String {
    values::fit_app_name(directory)
}

impl Default for Health {
    fn default() -> Self {
        Self {
            path: "/".into(),
            status: (100, 499),
            host: None,
            within: Duration::from_secs(60),
        }
    }
}

impl Process {
    /// A process with every default, running `program`.
    pub fn new(program: Program) -> Self {
        Self {
            program,
            server: None,
            count: Count::Auto,
            threads: Threads::Auto,
            preload: false,
            memory: None,
            timeout: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            health: Health::default(),
        }
    }
}

#[cfg(test)]
mod tests;
