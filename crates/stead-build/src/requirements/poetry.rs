//! poetry.lock (lock versions 1.0 to 2.1) and Poetry's part of pyproject.toml as requirements.
//!
//! Which packages are wanted is found by walking from the app's main dependencies along the edges
//! of the lock, with markers evaluated for the Python in use: older lock versions do not say
//! which group a package belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use toml::{Table, Value};

use super::marker::{self, Target};
use super::normalized;
use crate::interpreter::Want;

/// Groups besides the main one that are taken: those that are there to run the app.
const RUNTIME_GROUPS: [&str; 5] = ["prod", "production", "deploy", "web", "server"];

/// One line for each package of the lock that the app needs to run; the second value is notes.
pub(super) fn from_lock(
    lock: &Table,
    project: &Table,
    code: &Path,
    target: &Target,
) -> (String, Vec<String>) {
    let lock = Lock::new(lock, target);
    let mut wanted: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    let mut open: Vec<Edge> = roots(project);
    let mut notes = Vec::new();
    while let Some(edge) = open.pop() {
        if !target.holds(&edge.marker, &BTreeSet::new()) || !edge.allows_python(target) {
            continue;
        }
        let Some(at) = lock.find(&edge) else {
            if edge.direct {
                notes.push(format!(
                    "`{}` of pyproject.toml is not in poetry.lock: run `poetry lock`",
                    edge.name
                ));
            }
            continue;
        };
        let known = wanted.contains_key(&at);
        let extras = wanted.entry(at).or_default();
        let before = extras.len();
        extras.extend(edge.extras.iter().cloned());
        if known && extras.len() == before {
            continue;
        }
        let extras = extras.clone();
        open.extend(lock.edges(at, &extras, target));
    }
    let mut text = String::new();
    for source in lock.indexes(wanted.keys()) {
        text.push_str(&format!("--extra-index-url {source}\n"));
    }
    for at in wanted.keys() {
        text.push_str(&lock.line(*at, code));
        text.push('\n');
    }
    (text, notes)
}

struct Edge {
    name: String,
    /// Poetry's constraint: `^1.2`, `>=1,<2`, `*`.
    version: String,
    marker: String,
    /// `python = "^3.8"` of the dependency.
    python: Option<String>,
    extras: BTreeSet<String>,
    /// Named by the app itself.
    direct: bool,
}

impl Edge {
    fn allows_python(&self, target: &Target) -> bool {
        self.python
            .as_deref()
            .and_then(|python| Want::parse(python, ""))
            .is_none_or(|want| want.allows(target.python))
    }
}

/// The forms of a value in a dependency table: a version, a table, or several of them.
fn edges_of(name: &str, value: &Value, direct: bool) -> Vec<Edge> {
    let text = |table: &Table, key: &str| table.get(key).and_then(Value::as_str).map(str::to_owned);
    match value {
        Value::String(version) => vec![Edge {
            name: normalized(name),
            version: version.clone(),
            marker: String::new(),
            python: None,
            extras: BTreeSet::new(),
            direct,
        }],
        Value::Table(table) => vec![Edge {
            name: normalized(name),
            version: text(table, "version").unwrap_or_else(|| "*".into()),
            marker: text(table, "markers").unwrap_or_default(),
            python: text(table, "python"),
            extras: strings(table.get("extras"))
                .iter()
                .map(|name| normalized(name))
                .collect(),
            direct,
        }],
        Value::Array(values) => values
            .iter()
            .flat_map(|value| edges_of(name, value, direct))
            .collect(),
        _ => Vec::new(),
    }
}

fn is_optional(value: &Value) -> bool {
    value.get("optional").and_then(Value::as_bool) == Some(true)
}

fn strings(value: Option<&Value>) -> Vec<String> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect()
}

/// Poetry's dependency tables that are needed to run: the main one and [`RUNTIME_GROUPS`].
fn main_tables(project: &Table) -> Vec<&Table> {
    let Some(poetry) = project.get("tool").and_then(|tool| tool.get("poetry")) else {
        return Vec::new();
    };
    let groups = RUNTIME_GROUPS.iter().filter_map(|name| {
        poetry
            .get("group")?
            .get(name)?
            .get("dependencies")?
            .as_table()
    });
    poetry
        .get("dependencies")
        .and_then(Value::as_table)
        .into_iter()
        .chain(groups)
        .collect()
}

/// What the app itself depends on.
fn roots(project: &Table) -> Vec<Edge> {
    let mut roots: Vec<Edge> = main_tables(project)
        .into_iter()
        .flatten()
        .filter(|(name, value)| *name != "python" && !is_optional(value))
        .flat_map(|(name, value)| edges_of(name, value, true))
        .collect();
    let listed = project
        .get("project")
        .and_then(|project| project.get("dependencies"));
    for line in strings(listed) {
        let (requirement, marker) = line.split_once(';').unwrap_or((&line, ""));
        let Some(name) = super::text::name_of(requirement) else {
            continue;
        };
        let extras = requirement
            .split_once('[')
            .and_then(|(_, rest)| rest.split_once(']'))
            .map(|(extras, _)| extras.split(',').map(normalized).collect())
            .unwrap_or_default();
        roots.push(Edge {
            name,
            version: "*".into(),
            marker: marker.trim().to_owned(),
            python: None,
            extras,
            direct: true,
        });
    }
    roots
}

struct Lock<'a> {
    packages: Vec<&'a Table>,
    /// By normalized name, those that this Python may use.
    by_name: BTreeMap<String, Vec<usize>>,
    /// Lock version 1: files of every package in one table.
    files: Option<&'a Table>,
}

impl<'a> Lock<'a> {
    fn new(lock: &'a Table, target: &Target) -> Self {
        let packages: Vec<&Table> = lock
            .get("package")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_table)
            .collect();
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, package) in packages.iter().enumerate() {
            let Some(name) = package.get("name").and_then(Value::as_str) else {
                continue;
            };
            let fits = package
                .get("python-versions")
                .and_then(Value::as_str)
                .and_then(|text| Want::parse(text, ""))
                .is_none_or(|want| want.allows(target.python));
            let marker = match package.get("markers") {
                Some(Value::String(marker)) => Some(marker.as_str()),
                Some(Value::Table(by_group)) => by_group.get("main").and_then(Value::as_str),
                _ => None,
            };
            let holds = marker.is_none_or(|marker| target.holds(marker, &BTreeSet::new()));
            if fits && holds {
                by_name.entry(normalized(name)).or_default().push(at);
            }
        }
        let files = lock
            .get("metadata")
            .and_then(|metadata| metadata.get("files")?.as_table());
        Self {
            packages,
            by_name,
            files,
        }
    }

    fn text(&self, at: usize, key: &str) -> &'a str {
        self.packages
            .get(at)
            .and_then(|package| package.get(key)?.as_str())
            .unwrap_or_default()
    }

    /// The package that an edge means; of several versions the first that its constraint allows.
    fn find(&self, edge: &Edge) -> Option<usize> {
        let found = self.by_name.get(&edge.name)?;
        found
            .iter()
            .find(|at| allows(&edge.version, self.text(**at, "version")))
            .or_else(|| found.first())
            .copied()
    }

    /// What the package at `at` depends on, with these extras of it.
    fn edges(&self, at: usize, extras: &BTreeSet<String>, target: &Target) -> Vec<Edge> {
        let Some(package) = self.packages.get(at) else {
            return Vec::new();
        };
        let by_extra: BTreeSet<String> = package
            .get("extras")
            .and_then(Value::as_table)
            .into_iter()
            .flatten()
            .filter(|(name, _)| extras.contains(&normalized(name)))
            .flat_map(|(_, names)| strings(Some(names)))
            .filter_map(|line| super::text::name_of(&line))
            .collect();
        let table = package.get("dependencies").and_then(Value::as_table);
        table
            .into_iter()
            .flatten()
            .filter(|(name, value)| {
                let of_extra = match value {
                    Value::Array(values) => values.iter().all(is_optional),
                    value => is_optional(value),
                };
                !of_extra || by_extra.contains(&normalized(name))
            })
            .flat_map(|(name, value)| edges_of(name, value, false))
            .filter(|edge| target.holds(&edge.marker, extras))
            .map(|mut edge| {
                // It has been evaluated with the extras of this package.
                edge.marker.clear();
                edge
            })
            .collect()
    }

    fn source(&self, at: usize) -> Option<&'a Table> {
        self.packages.get(at)?.get("source")?.as_table()
    }

    /// Indexes beside PyPI that packages come from.
    fn indexes<'b>(&self, wanted: impl Iterator<Item = &'b usize>) -> BTreeSet<String> {
        wanted
            .filter_map(|at| self.source(*at))
            .filter(|source| source.get("type").and_then(Value::as_str) == Some("legacy"))
            .filter_map(|source| source.get("url")?.as_str().map(str::to_owned))
            .filter(|url| !url.starts_with("https://pypi.org/"))
            .collect()
    }

    fn line(&self, at: usize, code: &Path) -> String {
        let name = self.text(at, "name");
        let version = self.text(at, "version");
        let of_source = |key: &str| self.source(at).and_then(|source| source.get(key)?.as_str());
        let url = of_source("url").unwrap_or_default();
        let develop = self
            .packages
            .get(at)
            .and_then(|package| package.get("develop")?.as_bool());
        let mut line = match of_source("type") {
            Some("git") => {
                let reference = of_source("resolved_reference")
                    .or(of_source("reference"))
                    .unwrap_or("HEAD");
                let below = of_source("subdirectory").map(|path| format!("#subdirectory={path}"));
                return format!(
                    "{name} @ git+{url}@{reference}{}",
                    below.unwrap_or_default()
                );
            }
            Some("directory") if develop == Some(true) => {
                return format!("-e {}", code.join(url).display());
            }
            Some("directory") => return format!("{name} @ file://{}", code.join(url).display()),
            Some("file") => format!("{name} @ file://{}", code.join(url).display()),
            Some("url") => format!("{name} @ {url}"),
            _ => format!("{name}=={version}"),
        };
        let files = self
            .packages
            .get(at)
            .and_then(|package| package.get("files"))
            .or_else(|| self.files?.get(name))
            .and_then(Value::as_array);
        for hash in files
            .into_iter()
            .flatten()
            .filter_map(|file| file.get("hash")?.as_str())
        {
            // A package whose files have no SHA-256 (`md5:`) is left unchecked by its lock.
            if hash.starts_with("sha") {
                line.push_str(&format!(" --hash={hash}"));
            }
        }
        line
    }
}

/// Poetry's constraint on a version; what is not understood allows.
fn allows(constraint: &str, version: &str) -> bool {
    constraint.split("||").any(|alternative| {
        pep440(alternative)
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .all(|part| {
                let digits = part.find(|next: char| next.is_ascii_digit()).unwrap_or(0);
                let (operator, bound) = part.split_at(digits);
                marker::compare(version, operator.trim(), bound).unwrap_or(true)
            })
    })
}

/// `^1.2` → `>=1.2,<2`; `~1.2` → `>=1.2,<1.3`; `1.2` → `==1.2`; `*` → nothing.
fn pep440(constraint: &str) -> String {
    let mut parts = Vec::new();
    for part in constraint.split(',').map(str::trim) {
        // `>=1.0 <2.0`: a space separates as a comma does, but not after an operator.
        let spaced = part
            .replace(" <", ",<")
            .replace(" >", ",>")
            .replace(" !", ",!");
        for part in spaced.split(',').map(|part| part.replace(' ', "")) {
            parts.extend(one_bound(&part));
        }
    }
    parts.join(",")
}

fn one_bound(part: &str) -> Vec<String> {
    if part.is_empty() || part == "*" {
        return Vec::new();
    }
    let below = |base: &str, keep: usize| -> Option<String> {
        let mut numbers: Vec<u64> = base
            .split('.')
            .map_while(|number| number.parse().ok())
            .collect();
        numbers.truncate(keep);
        let last = numbers.last_mut()?;
        *last = last.checked_add(1)?;
        let words: Vec<String> = numbers.iter().map(u64::to_string).collect();
        Some(format!("<{}", words.join(".")))
    };
    if let Some(base) = part.strip_prefix('^') {
        // Up to the first number that is not zero.
        let numbers: Vec<&str> = base.split('.').collect();
        let keep = numbers
            .iter()
            .position(|number| *number != "0")
            .unwrap_or(numbers.len().saturating_sub(1));
        return std::iter::once(format!(">={base}"))
            .chain(below(base, keep + 1))
            .collect();
    }
    match part.strip_prefix("~=") {
        Some(_) => return vec![part.to_owned()],
        None => {
            if let Some(base) = part.strip_prefix('~') {
                let keep = base.split('.').count().min(2);
                return std::iter::once(format!(">={base}"))
                    .chain(below(base, keep))
                    .collect();
            }
        }
    }
    match part.chars().next() {
        Some(first) if first.is_ascii_digit() => vec![format!("=={part}")],
        Some('=') if !part.starts_with("==") => vec![format!("={part}")],
        _ => vec![part.to_owned()],
    }
}

/// The main dependencies of a pyproject.toml that has no lock, as requirements.
pub(super) fn from_pyproject(project: &Table, code: &Path, target: &Target) -> String {
    let mut text = String::new();
    for table in main_tables(project) {
        for (name, value) in table
            .iter()
            .filter(|(name, value)| *name != "python" && !is_optional(value))
        {
            for (edge, value) in edges_of(name, value, true).into_iter().zip(values(value)) {
                if !edge.allows_python(target) {
                    continue;
                }
                text.push_str(&requirement(name, &edge, value, code));
                text.push('\n');
            }
        }
    }
    text
}

fn values(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        value => vec![value],
    }
}

fn requirement(name: &str, edge: &Edge, value: &Value, code: &Path) -> String {
    let of = |key: &str| value.get(key).and_then(Value::as_str);
    let extras: Vec<&str> = edge.extras.iter().map(String::as_str).collect();
    let extras = if extras.is_empty() {
        String::new()
    } else {
        format!("[{}]", extras.join(","))
    };
    let marker = if edge.marker.is_empty() {
        String::new()
    } else {
        format!(" ; {}", edge.marker)
    };
    if let Some(url) = of("git") {
        let reference = of("rev")
            .or(of("tag"))
            .or(of("branch"))
            .map(|name| format!("@{name}"));
        let below = of("subdirectory").map(|path| format!("#subdirectory={path}"));
        return format!(
            "{name}{extras} @ git+{url}{}{}{marker}",
            reference.unwrap_or_default(),
            below.unwrap_or_default()
        );
    }
    if let Some(path) = of("path") {
        return match value.get("develop").and_then(Value::as_bool) {
            Some(true) => format!("-e {}", code.join(path).display()),
            _ => format!(
                "{name}{extras} @ file://{}{marker}",
                code.join(path).display()
            ),
        };
    }
    if let Some(url) = of("url") {
        return format!("{name}{extras} @ {url}{marker}");
    }
    format!("{name}{extras}{}{marker}", pep440(&edge.version))
}

#[cfg(test)]
mod tests;
