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
    /// Option and why it is left out.
    pub(crate) ignored: Vec<(String, &'static str)>,
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
    ("for-readline", "loops in the file are not read"),
];

/// Read an ini file. Never fails: what is not understood is in `ignored`.
pub(crate) fn parse(text: &str) -> UwsgiIni {
    let mut ini = UwsgiIni::default();
    let mut section = String::new();
    let mut placeholders: Vec<(String, String)> = Vec::new();
    let (mut module, mut callable, mut file) = (None, None, None);
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
            continue;
        }
        if section != "uwsgi" {
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, "true"));
        // uwsgi takes `_` for `-` in no option but accepts both spellings of many.
        let key = key.trim().trim_start_matches("--");
        let mut value = value.trim().to_owned();
        for (name, text) in placeholders.iter().take(64) {
            if value.len() < 4096 {
                value = value.replace(&format!("%({name})"), text);
            }
        }
        match key {
            "module" | "wsgi" | "w" => module = Some(value),
            "callable" => callable = Some(value),
            "wsgi-file" | "file" => file = Some(value),
            "mount" => {
                if let Some((_, target)) = value.split_once('=') {
                    match target.ends_with(".py") {
                        true => file = Some(target.to_owned()),
                        false => module = Some(target.to_owned()),
                    }
                }
            }
            "processes" | "workers" | "p" => ini.processes = value.parse().ok(),
            "threads" => ini.threads = value.parse().ok(),
            "harakiri" => ini.harakiri = value.parse().ok(),
            "chdir" | "chdir2" | "cd" => ini.chdir = own_path(&value),
            "base" => placeholders.push((key.to_owned(), value)),
            "pythonpath" | "python-path" | "pp" => ini.pythonpath.extend(own_path(&value)),
            "env" => {
                if let Some((name, value)) = value.split_once('=') {
                    ini.env
                        .push((name.trim().to_owned(), value.trim().to_owned()));
                }
            }
            "static-map" => {
                if let Some((prefix, folder)) = value.split_once('=') {
                    let folder = own_path(folder.trim()).unwrap_or_default();
                    ini.static_map.push((prefix.trim().to_owned(), folder));
                }
            }
            key if KEPT.contains(&key) => ini.kept.push((key.to_owned(), value)),
            key => match IGNORED.iter().find(|(name, _)| *name == key) {
                Some((_, why)) => ini.ignored.push((key.to_owned(), why)),
                None if !value.is_empty() && is_placeholder(text, key) => {
                    placeholders.push((key.to_owned(), value));
                }
                None if ini.ignored.iter().any(|(other, _)| other == key) => {}
                None => ini
                    .ignored
                    .push((key.to_owned(), "Stead does not know this option")),
            },
        }
    }
    ini.entry = entry(module, file, callable);
    ini
}

/// A key that other lines use as `%(key)` is a variable of the file.
fn is_placeholder(text: &str, key: &str) -> bool {
    text.contains(&format!("%({key})"))
}

/// A path of the repository; absolute ones are of another machine. `%d` is the ini's directory.
fn own_path(value: &str) -> Option<String> {
    let value = value.trim();
    if let Some(rest) = value
        .strip_prefix("%d")
        .or_else(|| value.strip_prefix("%d/"))
    {
        return resolve("", rest.trim_start_matches('/'));
    }
    if value.starts_with(['/', '~', '%', '$']) {
        return None;
    }
    resolve("", value)
}

fn entry(module: Option<String>, file: Option<String>, callable: Option<String>) -> Option<String> {
    let from_file = file.map(|file| {
        let inside = own_path(&file).unwrap_or_else(|| super::tree::file_name(&file).to_owned());
        inside.trim_end_matches(".py").replace('/', ".")
    });
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
