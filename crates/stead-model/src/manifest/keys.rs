//! Every key that `stead.toml` knows. The parser looks keys up here and nowhere else, and the
//! reference in `docs/` is made of these rows and of the doc comments of the fields that they name.

/// A kind of table.
#[derive(Debug)]
pub struct Table {
    /// As it is written, `process.NAME`; empty for the top of the file.
    pub path: &'static str,
    /// The same for a real table, `process.web`: the header of examples.
    pub example: &'static str,
    /// The type in `manifest.rs` whose doc comment tells what the table is for; empty: see `doc`.
    pub doc_type: &'static str,
    /// Used where no type of its own exists.
    pub doc: &'static str,
    /// What may be in it. Empty with `free`: any key.
    pub keys: &'static [Key],
    /// The keys are the user's own names.
    pub free: bool,
    /// `Some`: refused as not supported yet, with what to do instead.
    pub not_yet: Option<&'static str>,
}

/// One key of a table.
#[derive(Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// `Type::field` or `Type::Variant` in `manifest.rs`, whose doc comment tells the meaning.
    pub doc_item: &'static str,
    /// What a value must be, as a noun phrase.
    pub wanted: &'static str,
    /// What holds when the key is left out.
    pub default: &'static str,
    /// A right value, as TOML.
    pub example: &'static str,
}

const fn key(
    name: &'static str,
    doc_item: &'static str,
    wanted: &'static str,
    default: &'static str,
    example: &'static str,
) -> Key {
    Key {
        name,
        doc_item,
        wanted,
        default,
        example,
    }
}

const STRING: &str = "a string";
const STRINGS: &str = "a list of strings";
const DURATION: &str = "a duration in quotes";
const SIZE: &str = "a size in quotes";
const BOOLEAN: &str = "true or false";
const AUTO_OR_NUMBER: &str = "\"auto\" or a whole number";
const WHOLE_NUMBER: &str = "a whole number";
const STRING_TABLE: &str = "a table of strings";
const ONE_OF_FIVE: &str = "one of `wsgi`, `asgi`, `command`, `static`, `uwsgi` is required";

mod visitors;

pub(super) use visitors::{ACME, EDGE, ON_DEMAND, ROUTE, TLS};

/// All of it, in the order of the reference.
pub static TABLES: [&Table; 17] = [
    &TOP, &BUILD, &PROCESS, &HEALTH, &JOB, &RELEASE, &ROUTE, &EDGE, &ACME, &ON_DEMAND, &TLS, &ENV,
    &SECRET, &VOLUME, &SERVICE, &HOSTS, &WEBHOOK,
];

pub(super) static TOP: Table = Table {
    path: "",
    example: "",
    doc_type: "Manifest",
    doc: "",
    keys: &[key(
        "app",
        "Manifest::app",
        STRING,
        "the directory's name, made to fit",
        "\"shop\"",
    )],
    free: false,
    not_yet: None,
};

pub(super) static BUILD: Table = Table {
    path: "build",
    example: "build",
    doc_type: "Build",
    doc: "",
    keys: &[
        key(
            "python",
            "Build::python",
            "a version in quotes",
            "what the app's own files say (`.python-version`, `runtime.txt`, `requires-python`, …)",
            "\"3.11\"",
        ),
        key(
            "root",
            "Build::root",
            STRING,
            "the top of the repository",
            "\"backend\"",
        ),
        key(
            "requirements",
            "Build::requirements",
            STRING,
            "found by its usual names",
            "\"requirements/production.txt\"",
        ),
        key(
            "packages",
            "Build::packages",
            STRINGS,
            "none",
            "[\"poppler-utils\"]",
        ),
        key(
            "commands",
            "Build::commands",
            STRINGS,
            "none",
            "[\"npm ci\", \"npm run build\"]",
        ),
        key("index", "Build::index", STRING, "`\"auto\"`", "\"pypi\""),
        key(
            "exclude-newer",
            "Build::exclude_newer",
            "a date such as \"2022-12-01\"",
            "no limit",
            "\"2022-12-01\"",
        ),
    ],
    free: false,
    not_yet: None,
};

pub(super) static PROCESS: Table = Table {
    path: "process.NAME",
    example: "process.web",
    doc_type: "Process",
    doc: "",
    keys: &[
        key(
            "wsgi",
            "Program::Wsgi",
            STRING,
            ONE_OF_FIVE,
            "\"shop:create_app()\"",
        ),
        key(
            "asgi",
            "Program::Asgi",
            STRING,
            ONE_OF_FIVE,
            "\"chat.main:app\"",
        ),
        key(
            "command",
            "Program::Command",
            STRING,
            ONE_OF_FIVE,
            "\"node server.js\"",
        ),
        key(
            "static",
            "Program::Static",
            STRING,
            ONE_OF_FIVE,
            "\"public\"",
        ),
        key(
            "uwsgi",
            "Program::Uwsgi",
            STRING,
            ONE_OF_FIVE,
            "\"uwsgi.ini\"",
        ),
        key(
            "server",
            "Process::server",
            STRING,
            "`\"stead\"` for `wsgi`, `\"uvicorn\"` for `asgi`",
            "\"stead\"",
        ),
        key(
            "count",
            "Process::count",
            AUTO_OR_NUMBER,
            "`\"auto\"` for `web`, 1 for others",
            "4",
        ),
        key(
            "threads",
            "Process::threads",
            AUTO_OR_NUMBER,
            "`\"auto\"`: up to 16",
            "8",
        ),
        key("preload", "Process::preload", BOOLEAN, "`false`", "true"),
        key("memory", "Process::memory", SIZE, "no limit", "\"300M\""),
        key(
            "timeout",
            "Process::timeout",
            DURATION,
            "`\"30s\"`",
            "\"60s\"",
        ),
        key(
            "connect-timeout",
            "Process::connect_timeout",
            DURATION,
            "`\"5s\"`",
            "\"2s\"",
        ),
        key(
            "idle-timeout",
            "Process::idle_timeout",
            DURATION,
            "as `timeout`; none for answers of unknown length",
            "\"2m\"",
        ),
        key(
            "total-timeout",
            "Process::total_timeout",
            DURATION,
            "no limit",
            "\"10m\"",
        ),
        key("sticky", "Process::sticky", BOOLEAN, "`false`", "true"),
        key("drain", "Process::drain", DURATION, "`\"30s\"`", "\"10s\""),
        key(
            "health",
            "Process::health",
            "a table such as { path = \"/health\" }",
            "any answer from 100 to 499 at `/`",
            "{ path = \"/health\", status = \"200-399\", host = \"shop.example.com\", within = \"60s\" }",
        ),
    ],
    free: false,
    not_yet: None,
};

pub(super) static HEALTH: Table = Table {
    path: "process.NAME.health",
    example: "process.web.health",
    doc_type: "Health",
    doc: "",
    keys: &[
        key("path", "Health::path", STRING, "`\"/\"`", "\"/health\""),
        key(
            "status",
            "Health::status",
            "a status or a range in quotes",
            "`\"100-499\"`",
            "\"200-399\"",
        ),
        key(
            "host",
            "Health::host",
            STRING,
            "the first host of the app's routes, else `localhost`",
            "\"shop.example.com\"",
        ),
        key("within", "Health::within", DURATION, "`\"60s\"`", "\"2m\""),
        key(
            "every",
            "Health::every",
            DURATION,
            "only at the start",
            "\"10s\"",
        ),
    ],
    free: false,
    not_yet: None,
};

pub(super) static JOB: Table = Table {
    path: "job.NAME",
    example: "job.refresh",
    doc_type: "Job",
    doc: "",
    keys: &[
        key(
            "command",
            "Job::command",
            STRING,
            "required",
            "\"python fetch.py\"",
        ),
        key(
            "schedule",
            "Job::schedule",
            STRING,
            "run by hand only",
            "\"@hourly\"",
        ),
        key(
            "timezone",
            "Job::timezone",
            STRING,
            "`\"UTC\"`",
            "\"Asia/Shanghai\"",
        ),
        key("overlap", "Job::overlap", STRING, "`\"skip\"`", "\"queue\""),
        key("timeout", "Job::timeout", DURATION, "`\"1h\"`", "\"10m\""),
    ],
    free: false,
    not_yet: None,
};

pub(super) static RELEASE: Table = Table {
    path: "release",
    example: "release",
    doc_type: "",
    doc: "What happens once for each release, before visitors reach it.",
    keys: &[key(
        "command",
        "Manifest::release_command",
        STRING,
        "nothing is run",
        "\"flask db upgrade\"",
    )],
    free: false,
    not_yet: None,
};

pub(super) static ENV: Table = Table {
    path: "env",
    example: "env",
    doc_type: "",
    doc: "Environment variables for every process, every job and the release command. Values are strings. \
          Names are letters, digits and `_`. `PORT`, `LISTEN_FDS`, `LISTEN_PID` and names that begin with \
          `STEAD_` are set by Stead and refused here.",
    keys: &[],
    free: true,
    not_yet: None,
};

pub(super) static SECRET: Table = Table {
    path: "secret.NAME",
    example: "secret.SECRET_KEY",
    doc_type: "Secret",
    doc: "",
    keys: &[key(
        "generate",
        "Secret::generate",
        BOOLEAN,
        "`false`",
        "true",
    )],
    free: false,
    not_yet: None,
};

pub(super) static VOLUME: Table = Table {
    path: "volume.NAME",
    example: "volume.data",
    doc_type: "Volume",
    doc: "",
    keys: &[key(
        "path",
        "Volume::path",
        STRING,
        "required",
        "\"instance\"",
    )],
    free: false,
    not_yet: None,
};

pub(super) static SERVICE: Table = Table {
    path: "service.NAME",
    example: "service.db",
    doc_type: "",
    doc: "A database or cache that Stead runs for the app.",
    keys: &[],
    free: true,
    not_yet: Some("run the database beside the app and give its address in `[env]`"),
};

pub(super) static HOSTS: Table = Table {
    path: "hosts",
    example: "hosts",
    doc_type: "",
    doc: "The machines that the app is deployed to: names of groups, each with a list of hosts as they are given to ssh. `stead deploy` takes the only group, else `--to NAME` says which. The hosts of a group \
          are deployed to in their order, and the first one runs the release command.",
    keys: &[],
    free: true,
    not_yet: None,
};

pub(super) static WEBHOOK: Table = Table {
    path: "webhook",
    example: "webhook",
    doc_type: "Webhook",
    doc: "",
    keys: &[
        key(
            "path",
            "Webhook::path",
            STRING,
            "`\"/.stead/webhook\"`",
            "\"/deploy\"",
        ),
        key(
            "repository",
            "Webhook::repository",
            STRING,
            "required",
            "\"https://github.com/ana/shop.git\"",
        ),
        key(
            "branch",
            "Webhook::branch",
            STRING,
            "`\"main\"`",
            "\"production\"",
        ),
        key(
            "directory",
            "Webhook::directory",
            STRING,
            "its top",
            "\"shop\"",
        ),
        key(
            "secret",
            "Webhook::secret",
            STRING,
            "`\"WEBHOOK_SECRET\"`",
            "\"GITHUB_SECRET\"",
        ),
        key("key", "Webhook::key", STRING, "none", "\"DEPLOY_KEY\""),
    ],
    free: false,
    not_yet: None,
};

/// Words that people bring from other tools, and what is meant: table, their word, ours.
pub(crate) const OTHER_WORDS: &[(&str, &str, &str)] = &[
    ("", "name", "app"),
    ("", "web", "process.web"),
    ("", "worker", "process.worker"),
    ("", "cron", "job.NAME"),
    ("", "environment", "env"),
    ("", "variables", "env"),
    ("", "domain", "route"),
    ("", "mounts", "volume.NAME"),
    ("", "static", "route"),
    ("", "health", "process.web.health"),
    ("build", "python-version", "python"),
    ("build", "dir", "root"),
    ("build", "directory", "root"),
    ("build", "apt", "packages"),
    ("build", "mirror", "index"),
    ("process.NAME", "cmd", "command"),
    ("process.NAME", "run", "command"),
    ("process.NAME", "start", "command"),
    ("process.NAME", "workers", "count"),
    ("process.NAME", "instances", "count"),
    ("process.NAME", "replicas", "count"),
    ("process.NAME", "scale", "count"),
    ("process.NAME", "healthcheck", "health"),
    ("process.NAME", "health-check", "health"),
    ("process.NAME", "mem", "memory"),
    ("process.NAME", "memory-limit", "memory"),
    ("process.NAME.health", "url", "path"),
    ("process.NAME.health", "timeout", "within"),
    ("process.NAME.health", "deadline", "within"),
    ("process.NAME.health", "interval", "every"),
    ("process.NAME", "sticky-sessions", "sticky"),
    ("job.NAME", "cron", "schedule"),
    ("job.NAME", "cmd", "command"),
    ("job.NAME", "run", "command"),
    ("job.NAME", "tz", "timezone"),
    ("job.NAME", "concurrency", "overlap"),
    ("", "letsencrypt", "acme"),
    ("acme", "mail", "email"),
    ("acme", "contact", "email"),
    ("acme", "url", "directory"),
    ("acme", "server", "directory"),
    ("acme", "ca", "directory"),
    ("acme", "root", "ca-root"),
    ("acme", "eab", "eab-kid"),
    ("", "https", "tls"),
    ("", "ssl", "tls"),
    ("tls", "cert", "certificate"),
    ("tls", "chain", "certificate"),
    ("tls", "private-key", "key"),
    ("tls", "min-version", "minimum"),
    ("tls", "version", "minimum"),
    ("tls", "client-certificates", "client-ca"),
    ("route", "host", "hosts"),
    ("route", "domain", "hosts"),
    ("route", "domains", "hosts"),
    ("route", "prefix", "path"),
    ("route", "redirect", "redirects"),
    ("route", "strip-prefix", "rewrite"),
    ("route", "spa", "fallback"),
    ("route", "try-files", "fallback"),
    ("route", "cache-control", "cache"),
    ("route", "gzip", "compress"),
    ("route", "encode", "compress"),
    ("route", "compression", "compress"),
    ("route", "basic-auth", "users"),
    ("route", "auth", "users"),
    ("route", "htpasswd", "users-file"),
    ("route", "auth-basic-user-file", "users-file"),
    ("route", "forward-authorization", "pass-authorization"),
    ("route", "error-pages", "errors"),
    ("route", "allow", "maintenance-allow"),
    ("route", "add-headers", "headers"),
    ("route", "response-headers", "headers"),
    ("route", "hide-headers", "remove-headers"),
    ("route", "max-body", "body-limit"),
    ("route", "rate-limit", "rate"),
    ("route", "limit", "rate"),
    ("edge", "trusted-proxies", "trusted"),
    ("edge", "trust", "trusted"),
    ("edge", "keepalive", "idle-timeout"),
    ("edge", "keep-alive", "idle-timeout"),
    ("edge", "body-timeout", "stall-timeout"),
    ("edge", "max-connections", "connections"),
    ("webhook", "url", "repository"),
    ("webhook", "token", "secret"),
    ("webhook", "deploy-key", "key"),
    ("volume.NAME", "dir", "path"),
    ("volume.NAME", "mount", "path"),
];

impl Table {
    /// The row of a key.
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// What stands at the top of the file: its keys, and its tables without what follows a dot.
pub(crate) fn top_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = TOP.keys.iter().map(|key| key.name).collect();
    for table in TABLES {
        let name = table.path.split('.').next().unwrap_or_default();
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
