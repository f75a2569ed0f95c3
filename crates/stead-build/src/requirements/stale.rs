//! A lock that lacks what its project asks for: it was not made again, and the app would fail on import.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::{normalized, text};
use crate::Error;

/// Hold uv.lock or poetry.lock against pyproject.toml. `again` makes the lock again.
pub(super) fn of_project(
    name: &str,
    lock: &Table,
    project: &Table,
    again: &str,
) -> Result<(), Error> {
    let packages = lock.get("package").and_then(Value::as_array);
    let locked = packages
        .into_iter()
        .flatten()
        .filter_map(|package| package.get("name")?.as_str())
        .map(normalized)
        .collect();
    let standard = project.get("project").and_then(|p| p.get("dependencies"));
    let standard = standard.and_then(Value::as_array).into_iter().flatten();
    let mut asked: Vec<String> = standard
        .filter_map(|line| text::name_of(line.as_str()?))
        .collect();
    let poetry = project.get("tool").and_then(|tool| tool.get("poetry"));
    let poetry = poetry.and_then(|poetry| poetry.get("dependencies")?.as_table());
    let poetry = poetry.into_iter().flat_map(Table::keys);
    asked.extend(
        poetry
            .filter(|name| *name != "python")
            .map(|name| normalized(name)),
    );
    held(name, "pyproject.toml", &locked, asked, again)
}

/// Hold Pipfile.lock against Pipfile.
pub(super) fn of_pipfile(
    name: &str,
    lock: &serde_json::Value,
    pipfile: &Table,
) -> Result<(), Error> {
    let default = lock.get("default").and_then(serde_json::Value::as_object);
    let locked = default
        .into_iter()
        .flatten()
        .map(|(name, _)| normalized(name));
    let packages = pipfile.get("packages").and_then(Value::as_table);
    let asked = packages.into_iter().flat_map(Table::keys);
    let asked = asked.map(|name| normalized(name)).collect();
    held(name, "Pipfile", &locked.collect(), asked, "pipenv lock")
}

fn held(
    name: &str,
    project: &str,
    locked: &BTreeSet<String>,
    asked: Vec<String>,
    again: &str,
) -> Result<(), Error> {
    let lacking: Vec<String> = asked
        .into_iter()
        .filter(|asked| !locked.contains(asked))
        .map(|asked| format!("`{asked}`"))
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let why = format!(
        "{project} asks for {}, which the lock does not have",
        lacking.join(", ")
    );
    Err(Error::new(format!("cannot use `{name}`"), vec![why]).hinted(again))
}

#[cfg(test)]
mod tests;
