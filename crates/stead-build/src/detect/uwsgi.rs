//! A shipped `uwsgi.ini`: its values are read, the file itself is never run.
//!
//! Shipped files hard-code users, sockets, pid files and paths of the machine that they were
//! written for. Those are left out, each with the reason, because Stead owns what they set.

use super::tree::resolve;

/// What the `[uwsgi]` section says.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(
    dead_code,
    reason = "what detection does not show, the uwsgi command line carries"
)]
pub(crate) struct UwsgiIni {
    /// `module:callable`.
    pub(crate) entry: Option<String>,
    /// A path with `%d` and the like left out is relative to the ini's directory.
    pub(crate) chdir: Option<String>,
    pub(crate) processes: Option<u32>,
    pub(crate) threads: Option<u32>,
    /// Seconds a request may take.
    pub(crate) harakiri: Option<u64>,
    pub(crate) pythonpath: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// URL prefix → folder.
    pub(crate) static_map: Vec<(String, String)>,
    /// Options without which the app may not run as it did: `buffer-size`, `lazy-apps`, …
    pub(crate) kept: Vec<(String, String)>,
    /// Option, with its value where that is a path, and why it is left out.
    pub(crate) ignored: Vec<(String, String)>,
}

/// Options that are passed on as they are.
const KEPT: &[&str] = &[
    "buffer-size",
    "post-buffering",
    "lazy-apps",
    "lazy",
    "single-interpreter",
    "enable-threads",
    "max-requests",
    "reload-on-rss",
    "evil-reload-on-rss",
    "reload-mercy",
    "worker-reload-mercy",
    "max-worker-lifetime",
    "gevent",
    "asyncio",
    "ugreen",
    "async",
    "offload-threads",
    "thread-stacksize",
    "threads-stacksize",
    "ignore-sigpipe",
    "ignore-write-errors",
    "disable-write-exception",
    "wsgi-env-behavior",
    "wsgi-env-behaviour",
    "py-call-osafterfork",
    "py-call-uwsgi-fork-hooks",
    "mule",
    "mules",
    "spooler-processes",
    "cache2",
    "limit-post",
    "log-x-forwarded-for",
    "disable-logging",
    "need-app",
    "strict",
    "import",
    "shared-import",
    "set-placeholder",
    "manage-script-name",
    "catch-exceptions",
    "listen",
    "harakiri-verbose",
    "cheaper",
    "cheaper-initial",
    "cheaper-step",
    "cheaper-algo",
    "thunder-lock",
    "vacuum",
    "ignore-script-name",
    "close-on-exec",
    "memory-report",
    "auto-procname",
    "procname-prefix",
    "http-timeout",
    "socket-timeout",
];

const IGNORED: &[(&str, &str)] = &[
    ("uid", "Stead runs every app as its own user"),
    ("gid", "Stead runs every app as its own user"),
    ("chown-socket", "Stead owns the socket"),
    ("chmod-socket", "Stead owns the socket"),
    ("chmod", "Stead owns the socket"),
    ("socket", "Stead passes the socket"),
    ("uwsgi-socket", "Stead passes the socket"),
    ("http", "the edge listens for visitors"),
    ("http-socket", "the edge listens for visitors"),
    ("https", "the edge listens for visitors"),
    ("shared-socket", "Stead passes the socket"),
    ("daemonize", "Stead watches the process itself"),
    ("daemonize2", "Stead watches the process itself"),
    ("pidfile", "Stead watches the process itself"),
    ("pidfile2", "Stead watches the process itself"),
    ("safe-pidfile", "Stead watches the process itself"),
    ("logto", "output goes to Stead's log"),
    ("logto2", "output goes to Stead's log"),
    ("logger", "output goes to Stead's log"),
    ("req-logger", "output goes to Stead's log"),
    ("log-maxsize", "Stead rotates the log"),
    ("logfile-chmod", "output goes to Stead's log"),
    ("touch-logreopen", "output goes to Stead's log"),
    ("home", "Stead builds the environment"),
    ("virtualenv", "Stead builds the environment"),
    ("venv", "Stead builds the environment"),
    ("pyhome", "Stead builds the environment"),
    (
        "plugin",
        "the uwsgi of the app's environment has Python built in",
    ),
    (
        "plugins",
        "the uwsgi of the app's environment has Python built in",
    ),
    (
        "plugin-dir",
        "the uwsgi of the app's environment has Python built in",
    ),
    ("master", "Stead turns it on"),
    ("die-on-term", "Stead turns it on"),
    ("touch-reload", "a new release replaces instances"),
    ("py-autoreload", "`stead up --watch` reloads"),
    ("python-autoreload", "`stead up --watch` reloads"),
    ("stats", "it would open a port of its own"),
    ("stats-server", "it would open a port of its own"),
    ("master-fifo", "Stead watches the process itself"),
    ("emperor", "Stead starts the instances"),
    ("vassal-sos-backlog", "Stead starts the instances"),
    ("cron", "uwsgi's crons are not run: write a `[job]`"),
    ("cron2", "uwsgi's crons are not run: write a `[job]`"),
    ("attach-daemon", "a second program is a second `[process]`"),
    ("attach-daemon2", "a second program is a second `[process]`"),
    (
        "smart-attach-daemon",
        "a second program is a second `[process]`",
    ),
    ("exec-pre-app", "shipped hooks are not run"),
    ("hook-pre-app", "shipped hooks are not run"),
];

/// What the file's conditions and variables are held against.
pub(crate) struct Given<'g> {
    /// The value that an instance has for an environment variable.
    pub(crate) variable: &'g dyn Fn(&str) -> Option<String>,
    /// Whether a path, relative to the ini's directory, is there, and then whether it is a directory.
    pub(crate) path: &'g dyn Fn(&str) -> Option<bool>,
}

/// Variables that every instance has, whatever their value.
pub(crate) const ALWAYS_SET: &[&str] = &[
    "PATH",
    "PWD",
    "VIRTUAL_ENV",
    "PYTHONUNBUFFERED",
    "FORWARDED_ALLOW_IPS",
    "STEAD_APP",
    "STEAD_RELEASE",
];

/// No more options than this can be named by others as `%(option)`.
const MOST_OPTIONS: usize = 256;

/// Values are not filled in beyond this.
const LONGEST_VALUE: usize = 4096;

/// Read an ini file. Never fails: what is not understood is in `ignored`.
pub(crate) fn parse(text: &str, given: &Given<'_>) -> UwsgiIni {
    let mut reader = Reader {
        text,
        given,
        ini: UwsgiIni::default(),
        options: Vec::new(),
        roots: Vec::new(),
        module: None,
        callable: None,
        file: None,
    };
    let mut section = "";
    let mut block = Block::Open;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
            continue;
        }
        if section != "uwsgi" {
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, "true"));
        // uwsgi takes `_` for `-` in no option but accepts both spellings of many.
        let key = key.trim().trim_start_matches("--");
        // Blocks do not nest: a second condition takes the place of the first.
        if let Some(condition) = key.strip_prefix("if-") {
            block = reader.condition(condition, value.trim());
            continue;
        }
        if key == "for" || key.starts_with("for-") {
            let what = format!("{key} = {}", value.trim());
            reader.ignore(what, "loops in the file are not read");
            block = Block::Left;
            continue;
        }
        if matches!(key, "endif" | "end-if" | "endfor" | "end-for") {
            block = Block::Open;
            continue;
        }
        match &block {
            Block::Left => {}
            Block::Open => reader.option(key, value.trim().to_owned()),
            Block::Taken(it) => reader.option(key, value.trim().replace("%(_)", it)),
        }
    }
    reader.finish()
}

/// Where a line stands.
enum Block {
    Open,
    /// In a block whose condition holds; what `%(_)` means in it.
    Taken(String),
    /// In a block that is left out.
    Left,
}

struct Reader<'r> {
    text: &'r str,
    given: &'r Given<'r>,
    ini: UwsgiIni,
    /// Every option so far.
    options: Vec<(String, String)>,
    /// Directories of the machine that the file was written for which are the ini's own one here.
    roots: Vec<String>,
    module: Option<String>,
    callable: Option<String>,
    file: Option<String>,
}

impl Reader<'_> {
    fn ignore(&mut self, what: impl Into<String>, why: impl Into<String>) {
        let what = what.into();
        if !self.ini.ignored.iter().any(|(other, _)| *other == what) {
            self.ini.ignored.push((what, why.into()));
        }
    }

    /// `%(name)` and `$(NAME)` filled in; an error names the variable that has no value.
    fn filled(&self, value: String) -> Result<String, String> {
        let mut value = value;
        for (name, text) in &self.options {
            if value.len() < LONGEST_VALUE && value.contains("%(") {
                value = value.replace(&format!("%({name})"), text);
            }
        }
        for _ in 0..16 {
            let Some((before, rest)) = value.split_once("$(") else {
                break;
            };
            let Some((name, after)) = rest.split_once(')') else {
                break;
            };
            let set = self.variable(name).ok_or_else(|| name.to_owned())?;
            value = format!("{before}{set}{after}");
        }
        Ok(value)
    }

    /// What the file itself set before counts, too.
    fn variable(&self, name: &str) -> Option<String> {
        let mut own = self.ini.env.iter().rev();
        let own = own.find(|(own, _)| own == name);
        own.map(|(_, value)| value.clone())
            .or_else(|| (self.given.variable)(name))
    }

    /// `if-env = NAME` and the like.
    fn condition(&mut self, condition: &str, value: &str) -> Block {
        let (positive, kind) = match condition.strip_prefix("not-") {
            Some(kind) => (false, kind),
            None => (true, condition),
        };
        let value = self.filled(value.to_owned()).unwrap_or_default();
        let (name, wanted) = match value.split_once('=') {
            Some((name, wanted)) => (name.trim(), Some(wanted.trim())),
            None => (value.as_str(), None),
        };
        let equal = |found: String| match wanted {
            Some(wanted) => (found == wanted).then_some(found),
            None => Some(found),
        };
        let path = || {
            let path = self.own_path(&value)?;
            let directory = (self.given.path)(&path)?;
            Some((path, directory))
        };
        let found: Option<String> = match kind {
            "env" => self.variable(name).and_then(equal),
            "opt" => {
                let mut options = self.options.iter().rev();
                let option = options.find(|(own, _)| own == name);
                option.and_then(|(_, value)| equal(value.clone()))
            }
            "exists" => path().map(|(path, _)| path),
            "file" => path().filter(|(_, dir)| !dir).map(|(path, _)| path),
            "dir" => path().filter(|(_, dir)| *dir).map(|(path, _)| path),
            "reload" => None,
            _ => {
                let why = "Stead does not know this condition";
                self.ignore(format!("if-{condition} = {value}"), why);
                return Block::Left;
            }
        };
        match (found, positive) {
            (Some(found), true) => Block::Taken(found),
            (None, false) => Block::Taken(value),
            (holds, _) => {
                let why = match (kind, holds.is_some()) {
                    ("env", false) => format!("a block for when `{value}` is set, which it is not"),
                    ("env", true) => format!("a block for when `{value}` is not set, which it is"),
                    ("reload", _) => "a block for reloads".to_owned(),
                    _ => "a block whose condition does not hold".to_owned(),
                };
                self.ignore(format!("if-{condition} = {value}"), why);
                Block::Left
            }
        }
    }

    fn option(&mut self, key: &str, value: String) {
        let value = match self.filled(value) {
            Ok(value) => value,
            Err(name) => {
                self.ignore(key, format!("`{name}`, which it is made of, is not set"));
                return;
            }
        };
        self.take(key, &value);
        if self.options.len() < MOST_OPTIONS && value.len() < LONGEST_VALUE {
            self.options.retain(|(own, _)| own != key);
            self.options.push((key.to_owned(), value));
        }
    }

    fn take(&mut self, key: &str, value: &str) {
        match key {
            "module" | "wsgi" | "w" => self.module = Some(value.to_owned()),
            "callable" => self.callable = Some(value.to_owned()),
            "wsgi-file" | "file" => self.file = Some(self.file_here(value)),
            "mount" => {
                if let Some((_, target)) = value.split_once('=') {
                    match target.ends_with(".py") {
                        true => self.file = Some(self.file_here(target)),
                        false => self.module = Some(target.to_owned()),
                    }
                }
            }
            "processes" | "workers" | "p" => self.ini.processes = value.parse().ok(),
            "threads" => self.ini.threads = value.parse().ok(),
            "harakiri" => self.ini.harakiri = value.parse().ok(),
            "chdir" | "chdir2" | "cd" => {
                self.ini.chdir = self.own_path(value).filter(|path| !path.is_empty());
                if self.ini.chdir.is_none() && !matches!(value, "." | "./" | "%d" | "%d/") {
                    self.root(value);
                    let why = "a path of another machine: the app runs in its own directory";
                    self.ignore(format!("{key} = {value}"), why);
                }
            }
            "pythonpath" | "python-path" | "pp" => match self.own_path(value) {
                Some(path) => self.ini.pythonpath.push(path),
                None => self.ignore(format!("{key} = {value}"), "a path of another machine"),
            },
            "env" => {
                if let Some((name, value)) = value.split_once('=') {
                    let pair = (name.trim().to_owned(), value.trim().to_owned());
                    self.ini.env.push(pair);
                }
            }
            "static-map" => {
                if let Some((prefix, folder)) = value.split_once('=') {
                    let folder = self.own_path(folder.trim());
                    if folder.is_none() {
                        let why = "a path of another machine: name the folder in [route] static";
                        self.ignore(format!("{key} = {value}"), why);
                    }
                    let folder = folder.unwrap_or_default();
                    self.ini.static_map.push((prefix.trim().to_owned(), folder));
                }
            }
            key if KEPT.contains(&key) => {
                self.ini.kept.push((key.to_owned(), value.to_owned()));
            }
            key => match IGNORED.iter().find(|(name, _)| *name == key) {
                // A path is named as it stands: it may be needed after all.
                Some((_, why)) if value.starts_with('/') => {
                    self.ignore(format!("{key} = {value}"), *why);
                }
                Some((_, why)) => self.ignore(key, *why),
                None if !value.is_empty() && is_placeholder(self.text, key) => self.root(value),
                None => self.ignore(key, "Stead does not know this option"),
            },
        }
    }

    /// A directory of another machine that others are named by is this one.
    fn root(&mut self, value: &str) {
        let value = value.trim_end_matches('/');
        if value.starts_with('/') && value.len() > 1 && self.roots.len() < MOST_OPTIONS {
            self.roots.push(value.to_owned());
        }
    }

    /// A Python file by its path here, else by its name.
    fn file_here(&mut self, value: &str) -> String {
        if let Some(path) = self.own_path(value) {
            return path;
        }
        let name = super::tree::file_name(value).to_owned();
        let why = format!("a path of another machine: `{name}` is taken");
        self.ignore(value, why);
        name
    }

    /// A path of the repository; absolute ones are of another machine, unless they lie in a directory
    /// that stands for this one. `%d` is the ini's directory.
    fn own_path(&self, value: &str) -> Option<String> {
        let value = value.trim();
        if let Some(rest) = value.strip_prefix("%d") {
            return resolve("", rest.trim_start_matches('/'));
        }
        if value.starts_with('/') {
            let mut below = self.roots.iter().filter_map(|root| {
                let rest = super::tree::within(root, value.trim_end_matches('/'))?;
                resolve("", rest)
            });
            return below.find(|path| path.is_empty() || (self.given.path)(path).is_some());
        }
        if value.starts_with(['~', '%', '$']) {
            return None;
        }
        resolve("", value)
    }

    fn finish(self) -> UwsgiIni {
        let mut ini = self.ini;
        ini.entry = entry(self.module, self.file, self.callable);
        ini
    }
}

/// A key that other lines use as `%(key)` is a variable of the file.
fn is_placeholder(text: &str, key: &str) -> bool {
    text.contains(&format!("%({key})"))
}

fn entry(module: Option<String>, file: Option<String>, callable: Option<String>) -> Option<String> {
    let from_file = file.map(|file| file.trim_end_matches(".py").replace('/', "."));
    let target = module.or(from_file)?;
    let (module, attribute) = match target.split_once(':') {
        Some((module, attribute)) => (module.to_owned(), Some(attribute.to_owned())),
        None => (target, None),
    };
    let module = module.trim_end_matches(".py").to_owned();
    let attribute = attribute
        .or(callable)
        .unwrap_or_else(|| "application".to_owned());
    let good = |text: &str| !text.is_empty() && text.split('.').all(super::project::is_identifier);
    (good(&module) && good(attribute.trim_end_matches("()")))
        .then(|| format!("{module}:{attribute}"))
}

#[cfg(test)]
mod tests;
