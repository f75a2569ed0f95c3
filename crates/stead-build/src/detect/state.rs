//! What the app keeps beside its code, and what it reads from its environment: proposed, never
//! decided.

use std::collections::{BTreeMap, BTreeSet};

use stead_model::manifest::Secret;

use crate::Variable;

use super::draft::Draft;
use super::entry::elsewhere;
use super::kinds::{Scope, Thing};
use super::paths::Paths;
use super::project::Project;
use super::syntax::{Call, Place, Value};
use super::tree::{join, parent, resolve, within};

mod settings;

/// No more imported files than this are looked into.
const MOST_IMPORTED: usize = 500;

/// Propose a volume for `folder`, relative to the root.
pub(crate) fn propose(folder: &str, from: &str, draft: &mut Draft) {
    let folder = folder.trim_matches('/');
    if folder.is_empty() || folder == "." || folder.contains('\n') {
        return;
    }
    let last = folder.rsplit('/').next().unwrap_or(folder);
    let mut name: String = last
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .take(32)
        .collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name = "data".to_owned();
    }
    draft.alternative(
        format!("`{folder}` looks like state that must outlive releases ({from})"),
        format!("[volume.{name}]\npath = {}\n", super::draft::quoted(folder)),
    );
}

/// Look for files that the source of `base` writes.
pub(crate) fn directories(project: &Project<'_>, base: &str, draft: &mut Draft) {
    let paths = Paths { project, base };
    let mut folders: BTreeMap<String, String> = BTreeMap::new();
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for file in own_files(project, base) {
        let module = project.module(file);
        let at = |line: u32| format!("{file}:{line}");
        for call in &module.calls {
            if let Some((path, is_folder)) = written(&paths, file, call) {
                let target = if is_folder { &mut folders } else { &mut files };
                target.entry(path).or_insert_with(|| at(call.line));
            }
        }
        for (name, value, line) in &module.assigned {
            let upper = name.to_uppercase();
            let upload = [
                "UPLOAD",
                "MEDIA_ROOT",
                "STORAGE_DIR",
                "DATA_DIR",
                "CACHE_DIR",
            ]
            .iter()
            .any(|part| upper.contains(part));
            let folder_like = ["FOLDER", "DIR", "DEST", "ROOT", "PATH"]
                .iter()
                .any(|part| upper.contains(part));
            if upload
                && folder_like
                && let Some(folder) = paths.path(file, value)
            {
                folders.entry(folder).or_insert_with(|| at(*line));
            }
            if let Some(path) = sqlite(&paths, file, value) {
                files.entry(path).or_insert_with(|| at(*line));
            }
        }
        for (text, line) in &module.strings {
            if let Some(path) = sqlite_url(text) {
                files.entry(path).or_insert_with(|| at(*line));
            }
        }
        let text = project.tree.read(file).unwrap_or_else(|| "".into());
        if text.contains("instance_path") {
            let folder = join(project.package_parent(file), "instance");
            if let Some(folder) = within(base, &folder) {
                let line = text.lines().position(|line| line.contains("instance_path"));
                let line = u32::try_from(line.unwrap_or_default() + 1).unwrap_or_default();
                folders.entry(folder.to_owned()).or_insert_with(|| at(line));
            }
        }
    }
    for (path, from) in files {
        let kept = [
            "db", "sqlite", "sqlite3", "log", "pkl", "pickle", "p", "csv", "dat",
        ];
        let end = path.rsplit('.').next().unwrap_or_default();
        if parent(&path).is_empty() && !kept.contains(&end) {
            continue;
        }
        match parent(&path) {
            "" => draft.note(format!(
                "`{path}` is written beside the code ({from}): releases are read-only, so keep it in a directory of its own and make that a [volume]."
            )),
            folder => {
                folders.entry(folder.to_owned()).or_insert(from);
            }
        }
    }
    // A folder inside another that is proposed already adds nothing.
    let names: Vec<String> = folders.keys().cloned().collect();
    for (folder, from) in folders {
        let inside = names
            .iter()
            .any(|other| *other != folder && within(other, &folder).is_some());
        let first = folder.split('/').next().unwrap_or_default();
        if matches!(
            first,
            "bin" | "src" | "docs" | "doc" | "build" | "dist" | "tests"
        ) {
            continue;
        }
        let holds = |ends: &[&str]| {
            project
                .tree
                .in_dir(&join(base, &folder))
                .any(|path| ends.iter().any(|end| path.ends_with(end)))
        };
        // What writes sources is a program for developers.
        if holds(&[".js", ".ts", ".css", ".html", ".scss"]) {
            continue;
        }
        let code = holds(&[".py"]);
        if code {
            draft.note(format!("`{folder}` holds code and is written to ({from}): keep what is written in a directory of its own and make that a [volume]."));
        } else if !inside {
            propose(&folder, &from, draft);
        }
    }
}

fn own_files<'a>(project: &Project<'a>, base: &str) -> Vec<&'a str> {
    let mut files = project.python_files();
    files.retain(|file| within(base, file).is_some() && !elsewhere(file));
    files
}

/// The path that a call writes, and whether it is a folder.
fn written(paths: &Paths<'_, '_>, file: &str, call: &Call) -> Option<(String, bool)> {
    let last = call.function.rsplit('.').next().unwrap_or_default();
    let first = call.args.first();
    let path = |value: &Value| {
        let path = paths.path(file, value)?;
        let sane = !path.is_empty() && path.len() < 200 && !path.contains(':');
        sane.then_some(path)
    };
    match last {
        "makedirs" | "mkdir" if call.function.starts_with("os.") => Some((path(first?)?, true)),
        "mkdir" => {
            let target = call.function.strip_suffix(".mkdir")?;
            Some((path(&Value::Name(target.to_owned()))?, true))
        }
        "FileHandler"
        | "RotatingFileHandler"
        | "TimedRotatingFileHandler"
        | "ConcurrentRotatingFileHandler" => {
            let name = call.argument("filename", 0)?;
            Some((path(name)?, false))
        }
        "TinyDB" => Some((path(first?)?, false)),
        "connect" if call.function.contains("sqlite") => {
            let path = path(first?)?;
            (path != ":memory:").then_some((path, false))
        }
        "open"
            if matches!(
                call.function.as_str(),
                "open" | "io.open" | "codecs.open" | "shelve.open"
            ) =>
        {
            let mode = call
                .argument("mode", 1)
                .and_then(Value::text)
                .unwrap_or("r");
            let writes = mode.starts_with(['w', 'a', 'x']) || mode.contains('+');
            (writes || call.function == "shelve.open").then_some(())?;
            Some((path(first?)?, false))
        }
        _ => None,
    }
}

/// `"sqlite:///" + os.path.join(basedir, "app.db")`, Django's `"NAME": BASE_DIR / "db.sqlite3"`.
fn sqlite(paths: &Paths<'_, '_>, file: &str, value: &Value) -> Option<String> {
    match value {
        Value::Call(call) if call.function == "+" => match call.args.as_slice() {
            [Value::Str(scheme), rest] if scheme.starts_with("sqlite:///") => {
                paths.path(file, rest).filter(|path| !path.is_empty())
            }
            _ => None,
        },
        Value::Either(values) => values.iter().find_map(|value| sqlite(paths, file, value)),
        Value::Dict(entries) => {
            let get = |name: &str| {
                entries
                    .iter()
                    .find(|(key, _)| key.text() == Some(name))
                    .map(|(_, value)| value)
            };
            if let (Some(Value::Str(engine)), Some(name)) = (get("ENGINE"), get("NAME")) {
                let path = paths.path(file, name)?;
                return engine.contains("sqlite").then_some(path);
            }
            entries.iter().find_map(|(_, value)| match value {
                Value::Dict(_) => sqlite(paths, file, value),
                _ => None,
            })
        }
        _ => None,
    }
}

/// `sqlite:///data/app.db`.
fn sqlite_url(text: &str) -> Option<String> {
    let rest = text
        .strip_prefix("sqlite:///")
        .or_else(|| text.strip_prefix("sqlite+aiosqlite:///"))?;
    let path = rest
        .split('?')
        .next()
        .unwrap_or_default()
        .trim_start_matches("./");
    let odd = path.is_empty()
        || path.starts_with(['/', ':', '{', '$', '%'])
        || path.contains(['{', '\n', '%']);
    (!odd).then(|| resolve("", path))?
}

/// A variable that the source reads.
#[derive(Debug)]
struct Read {
    from: String,
    /// There is no default.
    required: bool,
    /// It is read without a default as soon as the app is imported.
    at_start: bool,
}

/// Find the variables that the app reads without a default, and propose secrets. Whether one is
/// required.
pub(crate) fn variables(project: &Project<'_>, base: &str, draft: &mut Draft) -> bool {
    let mut reads: BTreeMap<String, Read> = BTreeMap::new();
    let mut set: BTreeSet<String> = draft.manifest.env.keys().cloned().collect();
    let reached = imported_from(project, draft.entry.as_deref());
    for file in own_files(project, base) {
        let module = project.module(file);
        let imported = reached.contains(file);
        let mut add = |name: &str, line: u32, required: bool, place: Place| {
            let fits = !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
                && !name.starts_with(|c: char| c.is_ascii_digit());
            if !fits {
                return;
            }
            let this = || Read {
                from: format!("{file}:{line}"),
                required,
                at_start: required && imported && place == Place::Top,
            };
            let read = reads.entry(name.to_owned()).or_insert_with(this);
            if required && !read.required || this().at_start && !read.at_start {
                *read = this();
            }
        };
        let decouple = module.imports.iter().any(|import| {
            matches!(
                import.as_str(),
                "decouple" | "environs" | "environ" | "starlette.config"
            )
        });
        let means = |written: &str, wanted: &str| {
            let thing = project.thing(Scope::file(file), written);
            matches!(thing, Thing::External(path) if path == wanted)
        };
        for call in &module.calls {
            let Some(name) = call.args.first().and_then(Value::text) else {
                continue;
            };
            let bare = call.function.starts_with("environ.") && !means("environ", "os.environ")
                || call.function == "getenv" && !means("getenv", "os.getenv");
            if bare {
                continue;
            }
            let no_default = call.args.len() == 1 && call.keyword("default").is_none();
            match call.function.as_str() {
                "os.environ.setdefault" | "environ.setdefault" => {
                    set.insert(name.to_owned());
                }
                "os.environ.get" | "os.getenv" | "environ.get" | "getenv" | "os.environ.pop"
                    if no_default =>
                {
                    // An app without its own key may start, and fails with the first session.
                    let alone = is_own_key(name) && !has_alternative(project, file, call.line);
                    add(name, call.line, alone, call.place);
                }
                "config" if decouple && no_default && call.keyword("cast").is_none_or(|_| true) => {
                    add(name, call.line, true, call.place);
                }
                function
                    if decouple
                        && no_default
                        && (function == "env" || function.starts_with("env.")) =>
                {
                    add(
                        name,
                        call.line,
                        !call.keywords.iter().any(|(key, _)| key == "default"),
                        call.place,
                    );
                }
                _ => {}
            }
        }
        let (fields, files) = settings::fields(project, file);
        for field in &fields {
            add(&field.name, field.line, true, field.place);
        }
        for named in files {
            let text = resolve(base, &named).and_then(|path| project.tree.hidden(&path));
            set.extend(text.iter().flat_map(|text| keys(text)));
        }
        for subscript in &module.subscripts {
            let environ = subscript.base == "os.environ"
                || subscript.base == "environ" && means("environ", "os.environ");
            if environ {
                match subscript.stored {
                    true => {
                        set.insert(subscript.key.clone());
                    }
                    false => add(&subscript.key, subscript.line, true, subscript.place),
                }
            }
        }
    }
    set.extend(loaded_by_itself(project, base));
    reads.retain(|name, _| !set.contains(name) && !is_ordinary(name));
    reads.retain(|name, read| {
        let made = read.required && is_own_key(name);
        if made {
            // Only the app itself ever reads it, so any value will do, if it stays the same.
            draft.origin(
                &format!("secret.{name}"),
                format!("{}, which reads it without a default", read.from),
            );
            let secret = Secret { generate: true };
            draft.manifest.secret.insert(name.clone(), secret);
        }
        !made
    });
    let required = reads.iter().filter(|(_, read)| read.required);
    let required = required.map(|(name, read)| Variable {
        name: name.clone(),
        from: read.from.clone(),
        at_start: read.at_start,
    });
    draft.variables = required.collect();
    let needed = !draft.variables.is_empty();
    let mut others = Vec::new();
    for (name, read) in &reads {
        let secret = is_secret(name);
        if !secret && !read.required {
            others.push(format!("`{name}`"));
            continue;
        }
        let (why, toml) = if is_own_key(name) {
            (
                format!(
                    "{} reads it without a default; made once by Stead",
                    read.from
                ),
                format!("[secret.{name}]\ngenerate = true\n"),
            )
        } else if secret {
            (
                format!(
                    "{} reads it without a default; its value goes into .stead/secrets/{name}, or: export {name}=…",
                    read.from
                ),
                format!("[secret.{name}]\n"),
            )
        } else {
            (
                format!("{} needs it", read.from),
                format!("[env]\n{name} = \"…\"\n"),
            )
        };
        draft.alternative(why, toml);
    }
    if !others.is_empty() {
        let shown: Vec<String> = others.iter().take(12).cloned().collect();
        let more = if others.len() > 12 { ", …" } else { "" };
        draft.note(format!(
            "The app also reads these variables, which may stay unset: {}{more}.",
            shown.join(", ")
        ));
    }
    needed
}

/// Variables of a committed `.env` that the app reads itself, by a library for that.
fn loaded_by_itself(project: &Project<'_>, base: &str) -> Vec<String> {
    let readers = [
        "dotenv",
        "decouple",
        "environs",
        "environ",
        "starlette.config",
    ];
    let reads = |file: &str| {
        let module = project.module(file);
        let mut imports = module.imports.iter();
        imports.any(|import| readers.contains(&import.as_str()))
    };
    if !own_files(project, base).iter().any(|file| reads(file)) {
        return Vec::new();
    }
    let text = project.tree.hidden(&join(base, ".env"));
    text.map_or_else(Vec::new, |text| keys(&text))
}

/// The names that an environment file gives values.
fn keys(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim().trim_start_matches("export ");
            let (key, _) = line.split_once('=')?;
            let key = key.trim();
            let fits =
                !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            fits.then(|| key.to_owned())
        })
        .collect()
}

/// The files that importing `entry` imports, itself among them.
pub(crate) fn imported_from(project: &Project<'_>, entry: Option<&str>) -> BTreeSet<String> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<String> = entry.map(str::to_owned).into_iter().collect();
    while let Some(file) = open.pop() {
        if seen.len() >= MOST_IMPORTED || !seen.insert(file.clone()) {
            continue;
        }
        let module = project.module(&file);
        let settings = module.calls_of("os.environ.setdefault").filter_map(|call| {
            let name = call.args.first()?.text()?;
            (name == "DJANGO_SETTINGS_MODULE").then_some(call.args.get(1)?.text()?)
        });
        let imports = module.imports.iter().map(String::as_str).chain(settings);
        open.extend(imports.filter_map(|import| project.find(&file, import)));
    }
    seen
}

/// `os.environ.get("SECRET_KEY") or "dev"`.
fn has_alternative(project: &Project<'_>, file: &str, line: u32) -> bool {
    let text = project.tree.read(file);
    let at = usize::try_from(line).unwrap_or_default();
    let lines = text.iter().flat_map(|text| text.lines());
    let mut near = lines.skip(at.saturating_sub(1)).take(3);
    near.any(|line| {
        let words = line.split_whitespace();
        words
            .into_iter()
            .any(|word| matches!(word, "or" | "if" | "else"))
    })
}

/// What an app signs its own cookies with, not what another one gave it.
pub(super) fn is_own_key(name: &str) -> bool {
    let given = [
        "AWS",
        "API",
        "STRIPE",
        "CLIENT",
        "GOOGLE",
        "OAUTH",
        "RECAPTCHA",
        "S3",
        "ACCESS",
    ];
    is_secret(name)
        && (name.contains("SECRET_KEY") || name.contains("SALT") || name == "SECRET")
        && !given.iter().any(|part| name.contains(part))
}

fn is_secret(name: &str) -> bool {
    [
        "SECRET",
        "KEY",
        "TOKEN",
        "PASSWORD",
        "PASSWD",
        "DSN",
        "SALT",
        "CREDENTIAL",
        "_URL",
        "_URI",
        "PRIVATE",
    ]
    .iter()
    .any(|part| name.contains(part))
}

/// Set by Stead, the system or the platform that the app came from.
fn is_ordinary(name: &str) -> bool {
    matches!(
        name,
        "PORT"
            | "HOST"
            | "HOME"
            | "PATH"
            | "USER"
            | "PWD"
            | "SHELL"
            | "LANG"
            | "TERM"
            | "TMPDIR"
            | "HOSTNAME"
            | "VIRTUAL_ENV"
            | "PYTHONPATH"
            | "DYNO"
            | "WERKZEUG_RUN_MAIN"
            | "CI"
            | "WEB_CONCURRENCY"
            | "EDITOR"
            | "VISUAL"
            | "COLUMNS"
            | "TZ"
            | "DEBUG"
            | "TEMP"
            | "TMP"
            | "USERNAME"
            | "LOGNAME"
            | "DISPLAY"
            | "APPDATA"
            | "FLASK_APP"
            | "FLASK_ENV"
            | "FLASK_DEBUG"
            | "FLASK_CONFIG"
            | "DJANGO_SETTINGS_MODULE"
    ) || name.starts_with("STEAD_")
        || name.starts_with("XDG_")
}

/// Committed environment files: which keys they have, never their values.
pub(crate) fn dotenv(project: &Project<'_>, base: &str, draft: &mut Draft) {
    for name in [".env", ".flaskenv"] {
        let path = join(base, name);
        let Some(text) = project.tree.hidden(&path) else {
            continue;
        };
        let keys: Vec<String> = keys(&text)
            .iter()
            .take(30)
            .map(|key| format!("`{key}`"))
            .collect();
        if !keys.is_empty() {
            draft.note(format!(
                "{path} is in the tree and is not loaded by Stead, because such files carry development settings. It has {}; put what production needs into [env] or [secret].",
                keys.join(", ")
            ));
        }
    }
}
