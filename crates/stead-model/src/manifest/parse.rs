//! From the text of a `stead.toml` to a [`Manifest`]: one function for each table.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys;
use super::section::{Section, describe};
use super::{
    Build, Job, Manifest, Overlap, Secret, Volume, acme, edge, hosts, process, route, syntax, tls,
    values, webhook,
};
use crate::config_error::{ConfigErrors, Problem, SourceFile};
use crate::{mirror, schedule};

pub(super) fn manifest(text: &str, file_name: &str) -> Result<Manifest, ConfigErrors> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file = SourceFile::new(file_name, text);
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut manifest = Manifest::default();
    if syntax::report(&file, &errors) {
        manifest = top(&file, document.get_ref());
    }
    file.finish(manifest)
}

fn top<'a>(file: &'a SourceFile<'a>, table: &'a DeTable<'a>) -> Manifest {
    let top = Section::open(file, table, String::new(), 0, &keys::TOP);
    for (name, value) in table {
        if !keys::top_names().contains(&name.get_ref().as_ref()) {
            top.unknown_key(name, value);
        }
    }
    for kind in keys::TABLES {
        if let Some(instead) = kind.not_yet {
            not_yet(&top, kind, instead);
        }
    }
    let routes = route::read(&top);
    let process: BTreeMap<_, _> = named(&top, &keys::PROCESS, values::process_name)
        .into_iter()
        .map(|(name, section)| {
            let reached = name == "web"
                || routes
                    .iter()
                    .any(|(_, route)| route.process.as_deref() == Some(&name));
            let process = process::read(&section, &name, reached);
            (name, process)
        })
        .collect();
    route::check_processes(&routes, &process);
    let env = env(&top);
    let secret = secrets(&top, &env);
    Manifest {
        app: top.string("app", values::app_name).unwrap_or_default(),
        build: only(&top, &keys::BUILD)
            .map(|section| build(&section))
            .unwrap_or_default(),
        process,
        job: named(&top, &keys::JOB, values::name)
            .into_iter()
            .map(|(name, section)| (name, job(&section)))
            .collect(),
        release_command: only(&top, &keys::RELEASE).and_then(|section| {
            if !section.has_or_means("command") {
                section.wrong(
                    "`release` has no `command`".into(),
                    Some(missing_hint(&keys::RELEASE, "command")),
                );
            }
            section.string("command", values::shell_line)
        }),
        acme: only(&top, &keys::ACME)
            .map(|section| acme::read(&section))
            .unwrap_or_default(),
        route: routes.into_iter().map(|(_, route)| route).collect(),
        edge: only(&top, &keys::EDGE)
            .map(|section| edge::read(&section))
            .unwrap_or_default(),
        tls: only(&top, &keys::TLS)
            .map(|section| tls::read(&section))
            .unwrap_or_default(),
        env,
        secret,
        volume: volumes(&top),
        hosts: only(&top, &keys::HOSTS)
            .map(|section| hosts::read(&section))
            .unwrap_or_default(),
        webhook: only(&top, &keys::WEBHOOK).map(|section| webhook::read(&section)),
    }
}

/// Refuse a table whose feature is not built yet: each one by its name.
fn not_yet(top: &Section<'_>, kind: &keys::Table, instead: &str) {
    let (group, named) = match kind.path.split_once('.') {
        Some((group, _)) => (group, true),
        None => (kind.path, false),
    };
    let Some((key, value)) = top.table.get_key_value(group) else {
        return;
    };
    let report = |at: usize, path: &str| {
        let message = format!("`[{path}]` is not supported yet");
        top.file.report(at, path, message, Some(instead.to_owned()));
    };
    match value.get_ref().as_table() {
        Some(table) if named && !table.is_empty() => {
            for name in table.keys() {
                report(name.span().start, &format!("{group}.{}", name.get_ref()));
            }
        }
        None if keys::TABLES.iter().any(|table| table.key(group).is_some()) => {
            top.unknown_key(key, value)
        }
        _ => report(key.span().start, group),
    }
}

/// The section of a table that is there once.
fn only<'a>(top: &Section<'a>, kind: &'static keys::Table) -> Option<Section<'a>> {
    let (at, value) = top.value(kind.path)?;
    match value.get_ref().as_table() {
        Some(table) => Some(Section::open(
            top.file,
            table,
            kind.path.to_owned(),
            at,
            kind,
        )),
        None => {
            not_a_table(top, kind.path, kind.path, value, None);
            None
        }
    }
}

/// The sections below a table whose keys are the user's own names.
fn named<'a>(
    top: &Section<'a>,
    kind: &'static keys::Table,
    check: fn(&str) -> Result<(), Problem>,
) -> Vec<(String, Section<'a>)> {
    let group = kind.path.split('.').next().unwrap_or_default();
    let Some((_, value)) = top.value(group) else {
        return Vec::new();
    };
    let Some(table) = value.get_ref().as_table() else {
        not_a_table(top, group, kind.path, value, None);
        return Vec::new();
    };
    let mut sections = Vec::new();
    for (name, value) in table {
        let at = name.span().start;
        let path = format!("{group}.{}", name.get_ref());
        if let Err(problem) = check(name.get_ref()) {
            top.file.report(
                at,
                &path,
                format!(
                    "invalid name `{}` in `{group}`: {}",
                    super::shorten(name.get_ref()),
                    problem.why
                ),
                problem.hint,
            );
        }
        match value.get_ref().as_table() {
            Some(table) => {
                let section = Section::open(top.file, table, path, at, kind);
                sections.push((name.get_ref().to_string(), section));
            }
            None => {
                let hint = named_hint(top, group, kind, name.get_ref(), value);
                not_a_table(top, &path, &path, value, Some(hint));
            }
        }
    }
    sections
}

/// How to write what was meant by a plain value where a table belongs.
fn named_hint(
    top: &Section<'_>,
    group: &str,
    kind: &keys::Table,
    name: &str,
    value: &Spanned<DeValue<'_>>,
) -> String {
    if kind.key(name).is_some() {
        let example = if group == "process" { "web" } else { "NAME" };
        return format!("it needs a name: `[{group}.{example}]`, and `{name}` below it");
    }
    match (group, value.get_ref()) {
        ("secret", _) => format!(
            "the value of a secret does not belong in the file: {name} = {{ generate = true }}"
        ),
        ("process" | "job", DeValue::String(_)) => {
            format!("{name} = {{ command = {} }}", top.given(value.span()))
        }
        ("volume", DeValue::String(_)) => {
            format!("{name} = {{ path = {} }}", top.given(value.span()))
        }
        _ => format!("it is a table: `[{group}.{name}]`"),
    }
}

fn not_a_table(
    top: &Section<'_>,
    key: &str,
    header: &str,
    value: &Spanned<DeValue<'_>>,
    hint: Option<String>,
) {
    let given = match key.starts_with("secret") {
        true => "a plain value".to_owned(),
        false => describe(value.get_ref(), top.given(value.span())),
    };
    let hint = hint.unwrap_or_else(|| format!("it is a table: `[{header}]`"));
    top.file.report(
        value.span().start,
        key,
        format!("invalid `{key}`: wanted a table, got {given}"),
        Some(hint),
    );
}

/// The line to add for a required key.
pub(super) fn missing_hint(kind: &keys::Table, name: &str) -> String {
    match kind.key(name) {
        Some(key) => format!("for example: {} = {}", key.name, key.example),
        None => format!("add `{name}`"),
    }
}

fn build(section: &Section<'_>) -> Build {
    Build {
        python: section.quoted(
            "python",
            "stands without quotes",
            str::to_owned,
            values::python_version,
        ),
        root: section
            .string("root", values::relative_path)
            .filter(|root| root != "."),
        requirements: section.string("requirements", values::path_below),
        packages: section.strings("packages", values::package),
        commands: section.strings("commands", values::shell_line),
        index: section.string("index", mirror::validate),
        exclude_newer: section.read("exclude-newer", |value| match value {
            DeValue::String(text) => values::date(text).map_err(Some),
            DeValue::Datetime(date) if date.time.is_none() => {
                values::date(&date.to_string()).map_err(Some)
            }
            _ => Err(None),
        }),
    }
}

fn job(section: &Section<'_>) -> Job {
    if !section.has_or_means("command") {
        section.wrong(
            format!("`{}` has no `command`", section.path),
            Some(missing_hint(&keys::JOB, "command")),
        );
    }
    if !section.has_or_means("schedule") {
        for (key, what) in [
            ("timezone", "is only read for a `schedule`"),
            ("overlap", "is only of use with a `schedule`"),
        ] {
            if section.has(key) {
                section.conflict(
                    key,
                    format!("it {what}"),
                    missing_hint(&keys::JOB, "schedule"),
                );
            }
        }
    }
    Job {
        schedule: section.string("schedule", schedule::check),
        timezone: section.string("timezone", schedule::check_timezone),
        command: section
            .string("command", values::shell_line)
            .unwrap_or_default(),
        overlap: section
            .string("overlap", |text| {
                values::one_of(
                    text,
                    &[
                        ("skip", Overlap::Skip),
                        ("queue", Overlap::Queue),
                        ("replace", Overlap::Replace),
                    ],
                )
            })
            .unwrap_or_default(),
        timeout: section
            .duration("timeout", "1s", "30d")
            .unwrap_or(Duration::from_secs(3600)),
    }
}

fn env(top: &Section<'_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let Some(section) = only(top, &keys::ENV) else {
        return env;
    };
    for (name, value) in section.table {
        if let Err(problem) = values::variable_name(name.get_ref()) {
            section.invalid(&super::shorten(name.get_ref()), name.span().start, problem);
            continue;
        }
        let read = match value.get_ref() {
            DeValue::String(text) => values::variable_value(text),
            other => {
                let written = section.given(value.span());
                let problem =
                    Problem::new(format!("wanted a string, got {}", describe(other, written)));
                Err(match other {
                    DeValue::Array(_) | DeValue::Table(_) => problem,
                    _ => problem.hint(format!("in quotes: {} = \"{written}\"", name.get_ref())),
                })
            }
        };
        match read {
            Ok(text) => {
                env.insert(name.get_ref().to_string(), text);
            }
            Err(problem) => section.invalid(name.get_ref(), value.span().start, problem),
        }
    }
    env
}

fn secrets(top: &Section<'_>, env: &BTreeMap<String, String>) -> BTreeMap<String, Secret> {
    named(top, &keys::SECRET, values::variable_name)
        .into_iter()
        .map(|(name, section)| {
            if env.contains_key(&name) {
                section.wrong(
                    format!("`{name}` is in `[env]` and is a secret, too"),
                    Some(format!(
                        "keep `[{}]`, and take `{name}` out of `[env]`",
                        section.path
                    )),
                );
            }
            (
                name,
                Secret {
                    generate: section.boolean("generate").unwrap_or(false),
                },
            )
        })
        .collect()
}

fn volumes(top: &Section<'_>) -> BTreeMap<String, Volume> {
    let mut volumes: Vec<(String, Volume)> = Vec::new();
    for (name, section) in named(top, &keys::VOLUME, values::name) {
        if !section.has_or_means("path") {
            section.wrong(
                format!("`{}` has no `path`", section.path),
                Some(missing_hint(&keys::VOLUME, "path")),
            );
        }
        let Some(path) = section.string("path", values::path_below) else {
            continue;
        };
        for (other, volume) in &volumes {
            let why = if volume.path == path {
                format!("`{path}` is the path of `volume.{other}`, too")
            } else if within(&path, &volume.path) {
                format!("`{path}` is inside of `volume.{other}`, `{}`", volume.path)
            } else if within(&volume.path, &path) {
                format!("`volume.{other}`, `{}`, is inside of `{path}`", volume.path)
            } else {
                continue;
            };
            section.conflict(
                "path",
                why,
                "volumes stand side by side: one for the outer directory is enough".to_owned(),
            );
            break;
        }
        volumes.push((name, Volume { path }));
    }
    volumes.into_iter().collect()
}

/// Whether `path` is below `directory`, both without `.` and `..`.
fn within(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.starts_with('/'))
}
