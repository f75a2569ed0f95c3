//! What the app ships to be started by: a Procfile, a `uwsgi.ini`, a gunicorn configuration.

use stead_model::manifest::{Count, Program, Secret, Threads};
use stead_model::procfile;

use super::draft::{Draft, quoted};
use super::project::Project;
use super::server_line::{self, ServerLine};
use super::syntax::{Place, Value};
use super::tree::{file_name, join, parent, resolve, within};
use super::uwsgi::{self, UwsgiIni};

/// Take what a Procfile in `base` says. `true` if it says how `web` is run.
pub(crate) fn procfile(project: &Project<'_>, base: &str, draft: &mut Draft) -> bool {
    let path = join(base, "Procfile");
    let Some(text) = project.tree.read(&path) else {
        return false;
    };
    let entries = match procfile::parse(&text, &path) {
        Ok(entries) => entries,
        Err(errors) => {
            let first = errors.to_string();
            let first = first.lines().next().unwrap_or_default().to_owned();
            draft.note(format!(
                "{path} was left out, because it has errors: {first}."
            ));
            return false;
        }
    };
    for entry in &entries {
        let from = format!("{path}, line {}", entry.line);
        if entry.name == "release" {
            draft.origin("release.command", from);
            draft.manifest.release_command = Some(entry.command.clone());
        } else {
            draft.run(&entry.name, Program::Command(entry.command.clone()), from);
        }
    }
    let web = entries.iter().find(|entry| entry.name == "web");
    if let Some(web) = web {
        let line = server_line::read(&web.command);
        // A process that is given no port is reached by nobody.
        let port = web.command.contains("PORT") || web.command.contains(".sh");
        let script = line.as_ref().filter(|line| line.server == "python");
        let script = script.and_then(|line| resolve(base, line.target.as_deref()?));
        let port = port || script.is_some_and(|script| super::own::reads_port(project, &script));
        if let Some(line) = line.filter(|_| !port)
            && !matches!(line.server.as_str(), "gunicorn")
        {
            draft.warning(
                format!(
                    "the `web` line of {path} does not mention $PORT: where it listens has to be found out, and only one instance can run"
                ),
                format!("let the `web` line of {path} listen on $PORT"),
            );
        }
    }
    web.is_some()
}

/// The own worker with a server line's settings, as TOML.
pub(crate) fn own_worker(entry: &str, line: &ServerLine) -> String {
    let mut toml = format!("[process.web]\nwsgi = {}\n", quoted(entry));
    if let Some(workers) = line.workers.filter(|count| (1..=1000).contains(count)) {
        toml.push_str(&format!("count = {workers}\n"));
    }
    if let Some(threads) = line.threads.filter(|count| (1..=256).contains(count)) {
        toml.push_str(&format!("threads = {threads}\n"));
    }
    if let Some(timeout) = line
        .timeout
        .filter(|seconds| (1..=86_400).contains(seconds))
    {
        toml.push_str(&format!("timeout = \"{timeout}s\"\n"));
    }
    if line.preload {
        toml.push_str("preload = true\n");
    }
    toml
}

/// Find the ini for uwsgi in `base`: `uwsgi.ini`, or another with a `[uwsgi]` section that says
/// what to run.
pub(crate) fn uwsgi_ini(project: &Project<'_>, base: &str) -> Option<(String, UwsgiIni)> {
    let mut paths: Vec<&str> = project
        .tree
        .files()
        .filter(|path| {
            path.ends_with(".ini")
                && within(base, path).is_some_and(|rest| rest.matches('/').count() <= 2)
                && !super::entry::elsewhere(path)
        })
        .collect();
    paths.sort_by_key(|path| {
        let name = file_name(path);
        let development = name.contains("dev") || name.contains("local") || name.contains("test");
        (development, name != "uwsgi.ini", path.matches('/').count())
    });
    paths.into_iter().find_map(|path| {
        let text = project.tree.read(path)?;
        let dir = parent(path);
        let variable = |name: &str| {
            let always = uwsgi::ALWAYS_SET.contains(&name);
            always.then(String::new)
        };
        let there = |path: &str| {
            let path = join(dir, path);
            let directory = project.tree.has_dir(&path);
            (directory || project.tree.has(&path)).then_some(directory)
        };
        let given = uwsgi::Given {
            variable: &variable,
            path: &there,
        };
        let ini = text
            .contains("[uwsgi]")
            .then(|| uwsgi::parse(&text, &given))?;
        ini.entry.is_some().then(|| (path.to_owned(), ini))
    })
}

/// Honour a shipped ini, and offer the own worker with its settings.
pub(crate) fn honour_uwsgi(
    path: &str,
    base: &str,
    ini: &UwsgiIni,
    better_entry: Option<String>,
    draft: &mut Draft,
) {
    let inside = within(base, path).unwrap_or(path).to_owned();
    draft.run(
        "web",
        Program::Uwsgi(inside),
        format!("{path}, section [uwsgi]"),
    );
    let left_out: Vec<String> = ini
        .ignored
        .iter()
        .map(|(key, why)| format!("`{key}` ({why})"))
        .collect();
    if !left_out.is_empty() {
        draft.note(format!(
            "Of {path}, these are left out: {}.",
            left_out.join(", ")
        ));
    }
    for (prefix, folder) in &ini.static_map {
        let from = format!("{path}: static-map");
        let prefix = format!("/{}", prefix.trim_matches('/'));
        super::django::add_static(&prefix, folder, &from, draft);
    }
    let line = ServerLine {
        workers: ini.processes,
        threads: ini.threads,
        timeout: ini.harakiri,
        ..ServerLine::default()
    };
    if let Some(entry) = better_entry.or_else(|| ini.entry.clone()) {
        draft.alternative(
            format!("Stead's own worker instead of uwsgi, with the settings of {path}"),
            own_worker(&entry, &line),
        );
    }
}

/// A gunicorn configuration file: literals are read, the file is never run.
#[derive(Debug, Default)]
pub(crate) struct GunicornConf {
    pub(crate) path: String,
    pub(crate) line: ServerLine,
    /// Hooks that it defines: `post_fork`, …
    pub(crate) hooks: Vec<String>,
    /// Settings that are computed, so that they are not known.
    pub(crate) computed: Vec<String>,
    /// Variables that it gives the app: names, and values where they are written down.
    pub(crate) env: Vec<(String, Option<String>)>,
}

const HOOKS: &[&str] = &[
    "on_starting",
    "on_reload",
    "when_ready",
    "pre_fork",
    "post_fork",
    "post_worker_init",
    "worker_int",
    "worker_abort",
    "pre_exec",
    "pre_request",
    "post_request",
    "child_exit",
    "worker_exit",
    "nworkers_changed",
    "on_exit",
];

/// Find a gunicorn configuration file in `base`, or the one that a line names.
pub(crate) fn gunicorn_conf(
    project: &Project<'_>,
    base: &str,
    named: Option<&str>,
) -> Option<GunicornConf> {
    let usual = [
        "gunicorn.conf.py",
        "gunicorn_config.py",
        "gunicorn_conf.py",
        "gunicorn-config.py",
        "gunicorn.config.py",
        "gunicorn-cfg.py",
        "gconfig.py",
        "gunicorn.py",
        "config/gunicorn.py",
        "config/gunicorn.conf.py",
        "deploy/gunicorn.conf.py",
    ];
    let named = named.map(|path| {
        path.trim_start_matches("file:")
            .trim_start_matches("python:")
    });
    let path = named
        .into_iter()
        .chain(usual)
        .map(|name| join(base, name.trim_start_matches("./")))
        .find(|path| project.tree.has(path))?;
    let module = project.module(&path);
    let mut conf = GunicornConf {
        path,
        ..GunicornConf::default()
    };
    let mut known = false;
    for binding in &module.bindings {
        if binding.place == Place::Main || binding.name == "__name__" {
            continue;
        }
        if HOOKS.contains(&binding.name.as_str()) {
            conf.hooks.push(binding.name.clone());
            known = true;
            continue;
        }
        let number = match &binding.value {
            Value::Int(number) => u32::try_from(*number).ok(),
            Value::Str(text) => text.parse().ok(),
            _ => None,
        };
        let slot = match binding.name.as_str() {
            "workers" => &mut conf.line.workers,
            "threads" => &mut conf.line.threads,
            "timeout" => {
                conf.line.timeout = number.map(u64::from);
                known = true;
                continue;
            }
            "worker_class" => {
                conf.line.worker_class = binding.value.text().map(str::to_owned);
                conf.line.asgi = conf
                    .line
                    .worker_class
                    .as_ref()
                    .is_some_and(|class| class.to_lowercase().contains("uvicorn"));
                continue;
            }
            "wsgi_app" => {
                conf.line.target = binding.value.text().map(str::to_owned);
                known = true;
                continue;
            }
            "chdir" => {
                conf.line.chdir = binding.value.text().map(str::to_owned);
                continue;
            }
            "preload_app" => {
                conf.line.preload = matches!(binding.value, Value::Bool(true));
                continue;
            }
            "bind" => {
                known = true;
                continue;
            }
            "raw_env" => {
                if let Value::List(items) = &binding.value {
                    conf.env.extend(items.iter().filter_map(raw_env));
                }
                continue;
            }
            _ => continue,
        };
        known = true;
        *slot = number;
        if number.is_none() {
            conf.computed.push(binding.name.clone());
        }
    }
    for subscript in module
        .subscripts
        .iter()
        .filter(|subscript| subscript.stored)
    {
        if subscript.base == "os.environ" {
            conf.env.push((subscript.key.clone(), None));
        }
    }
    for call in module.calls_of("os.environ.setdefault") {
        if let [Value::Str(name), value] = call.args.as_slice() {
            conf.env
                .push((name.clone(), value.text().map(str::to_owned)));
        }
    }
    conf.line.server = "gunicorn".to_owned();
    (known || !conf.env.is_empty()).then_some(conf)
}

/// An entry of `raw_env`: `"NAME=value"`, or `"NAME=" + secrets.token_hex()`, whose value is not known.
fn raw_env(item: &Value) -> Option<(String, Option<String>)> {
    let (text, whole) = match item {
        Value::Str(text) => (text, true),
        Value::Call(call) if call.function == "+" => match call.args.first()? {
            Value::Str(text) => (text, false),
            _ => return None,
        },
        _ => return None,
    };
    let (name, value) = text.split_once('=')?;
    Some((name.to_owned(), whole.then(|| value.to_owned())))
}

/// What a gunicorn configuration gives the app in its environment, it gets on the own worker, too.
fn variables_of_gunicorn(conf: &GunicornConf, draft: &mut Draft) {
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        bytes.next().is_some_and(|first| !first.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let mut unknown = Vec::new();
    for (name, value) in conf.env.iter().filter(|(name, _)| is_name(name)) {
        let manifest = &mut draft.manifest;
        if manifest.secret.contains_key(name) || manifest.env.contains_key(name) {
            continue;
        }
        if super::state::is_own_key(name) {
            let secret = Secret { generate: true };
            manifest.secret.insert(name.clone(), secret);
            draft.origin(
                &format!("secret.{name}"),
                format!("{}, which sets it", conf.path),
            );
        } else if let Some(value) = value {
            manifest.env.insert(name.clone(), value.clone());
            draft.origin(&format!("env.{name}"), conf.path.clone());
        } else {
            unknown.push(format!("`{name}`"));
        }
    }
    if !unknown.is_empty() {
        draft.note(format!(
            "{} sets {} to what it computes: Stead's own worker does not read it; put them into [env] or [secret], or set `server = \"gunicorn\"`.",
            conf.path,
            unknown.join(", ")
        ));
    }
}

/// Put a gunicorn configuration's settings on the own worker, and say what they carry besides.
pub(crate) fn apply_gunicorn(conf: &GunicornConf, draft: &mut Draft) {
    let Some(web) = draft.manifest.process.get_mut("web") else {
        return;
    };
    if !matches!(web.program, Program::Wsgi(_)) {
        return;
    }
    let mut origins = Vec::new();
    if let Some(workers) = conf.line.workers.filter(|count| (1..=1000).contains(count)) {
        web.count = Count::Fixed(workers);
        origins.push(("count", format!("{}: workers", conf.path)));
    }
    if let Some(threads) = conf.line.threads.filter(|count| (2..=256).contains(count)) {
        web.threads = Threads::Fixed(threads);
        origins.push(("threads", format!("{}: threads", conf.path)));
    }
    if let Some(seconds) = conf
        .line
        .timeout
        .filter(|seconds| (1..=86_400).contains(seconds))
    {
        web.timeout = std::time::Duration::from_secs(seconds);
        origins.push(("timeout", format!("{}: timeout", conf.path)));
    }
    for (key, from) in origins {
        draft.origin(&format!("process.web.{key}"), from);
    }
    variables_of_gunicorn(conf, draft);
    if !conf.hooks.is_empty() {
        draft.note(format!(
            "{} defines {}: Stead's own worker does not call them; `server = \"gunicorn\"` does.",
            conf.path,
            conf.hooks.join(", ")
        ));
    }
    if let Some(class) = conf
        .line
        .worker_class
        .as_deref()
        .filter(|class| *class != "sync")
    {
        draft.note(format!(
            "{} asks for the `{class}` worker: Stead's own worker has threads instead.",
            conf.path
        ));
    }
    let at = parent(&conf.path);
    draft.alternative(
        format!("gunicorn itself, with {}", conf.path),
        format!(
            "[process.web]\ncommand = {}\n",
            quoted(&format!(
                "gunicorn -c {} -b 127.0.0.1:$PORT {}",
                if at.is_empty() {
                    file_name(&conf.path)
                } else {
                    &conf.path
                },
                match draft.manifest.process.get("web").map(|web| &web.program) {
                    Some(Program::Wsgi(entry)) if entry.contains('(') => format!("'{entry}'"),
                    Some(Program::Wsgi(entry)) => entry.clone(),
                    _ => String::new(),
                }
            ))
        ),
    );
}
