//! What a route asks beyond its target.

use std::collections::BTreeMap;

use toml::de::DeValue;

use crate::config_error::Problem;
use crate::manifest::section::{Pair, Section};
use crate::manifest::{Maintenance, shorten, values};
use crate::network::Network;

/// Most entries of one of these tables: each costs every request of its route.
const MOST: usize = 64;

/// The entries of a table of strings; with too many, that is said instead.
fn pairs<'a>(section: &Section<'a>, name: &str) -> Vec<Pair<'a>> {
    let pairs = section.pairs(name);
    if pairs.len() > MOST {
        section.conflict(name, format!("it has more than {MOST} entries"), None);
        return Vec::new();
    }
    pairs
}

pub(super) fn redirect_status(section: &Section<'_>) -> Option<u16> {
    section.read("redirect-status", |value| {
        let written = value.as_integer().ok_or(None)?.as_str();
        match written.parse() {
            Ok(status @ (301 | 302 | 303 | 307 | 308)) => Ok(status),
            _ => Err(Some(Problem::new(format!(
                "`{}` is none of 301, 302, 303, 307, 308",
                shorten(written)
            )))),
        }
    })
}

pub(super) fn headers(
    section: &Section<'_>,
    name: &str,
    check: fn(&str) -> Result<(), Problem>,
) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for pair in pairs(section, name) {
        let same = |other: &String| other.eq_ignore_ascii_case(pair.key);
        if let Err(problem) = check(pair.key) {
            section.invalid(name, pair.key_at, problem);
        } else if let Err(problem) = values::header_value(pair.value) {
            section.invalid(name, pair.value_at, problem);
        } else if headers.keys().any(same) {
            let problem = Problem::new(format!("`{}` is there twice", pair.key));
            section.invalid(name, pair.key_at, problem);
        } else {
            headers.insert(pair.key.to_owned(), pair.value.to_owned());
        }
    }
    headers
}

pub(super) fn users(section: &Section<'_>) -> BTreeMap<String, String> {
    let mut users = BTreeMap::new();
    for pair in section.pairs("users") {
        let name = values::user_name(pair.key);
        let hash = values::password_hash(pair.value);
        match (name, hash) {
            (Err(problem), _) => section.invalid("users", pair.key_at, problem),
            (_, Err(problem)) => section.invalid("users", pair.value_at, problem),
            (Ok(()), Ok(())) => {
                users.insert(pair.key.to_owned(), pair.value.to_owned());
            }
        }
    }
    if users.is_empty() && section.has("users") {
        let empty = section
            .value("users")
            .and_then(|(_, v)| v.get_ref().as_table());
        if empty.is_some_and(|table| table.is_empty()) {
            // Whoever wrote the key wanted the route to be closed.
            section.conflict(
                "users",
                "it names nobody, and the route would be open to everybody",
                "take it out, or add a user: `stead password` makes the line".to_owned(),
            );
        }
    }
    users
}

pub(super) fn maintenance(section: &Section<'_>) -> Option<Maintenance> {
    let read = section.read("maintenance", |value| match value {
        DeValue::Boolean(now) => Ok(now.then_some(Maintenance::Now)),
        DeValue::String(path) => values::path_below(path)
            .map(|path| Some(Maintenance::While(path)))
            .map_err(Some),
        _ => Err(None),
    });
    read.flatten()
}

pub(super) fn networks(section: &Section<'_>, name: &str) -> Vec<Network> {
    let lists = section.strings(name, values::networks);
    lists.into_iter().flatten().collect()
}

pub(super) fn errors(section: &Section<'_>) -> BTreeMap<String, String> {
    let mut errors = BTreeMap::new();
    for pair in pairs(section, "errors") {
        let status = values::error_status(pair.key)
            .map_err(|problem| section.invalid("errors", pair.key_at, problem));
        let file = values::path_below(pair.value)
            .map_err(|problem| section.invalid("errors", pair.value_at, problem));
        if let (Ok(()), Ok(file)) = (status, file) {
            errors.insert(pair.key.to_owned(), file);
        }
    }
    errors
}

pub(super) fn cache(section: &Section<'_>) -> Vec<(String, String)> {
    let mut cache = Vec::new();
    for pair in pairs(section, "cache") {
        if let Err(problem) = values::cache_pattern(pair.key) {
            section.invalid("cache", pair.key_at, problem);
        } else if let Err(problem) = values::header_value(pair.value) {
            section.invalid("cache", pair.value_at, problem);
        } else {
            cache.push((pair.key.to_owned(), pair.value.to_owned()));
        }
    }
    cache
}

/// Keys that mean nothing without another.
pub(super) fn check(section: &Section<'_>) {
    for (key, other, example) in [
        (
            "redirect-status",
            "redirects",
            "redirects = { \"/old\" = \"/new\" }",
        ),
        (
            "maintenance-allow",
            "maintenance",
            "maintenance = \"maintenance.html\"",
        ),
    ] {
        if section.has(key) && !section.has_or_means(other) {
            section.conflict(
                key,
                format!("it is only read beside `{other}`"),
                format!("for example: {example}"),
            );
        }
    }
}
