//! What a route asks beyond its target.

use std::collections::BTreeMap;

use crate::config_error::Problem;
use crate::manifest::section::{Pair, Section};
use crate::manifest::{shorten, values};

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

/// Keys that mean nothing without another.
pub(super) fn check(section: &Section<'_>) {
    for (key, other, example) in [(
        "redirect-status",
        "redirects",
        "redirects = { \"/old\" = \"/new\" }",
    )] {
        if section.has(key) && !section.has_or_means(other) {
            section.conflict(
                key,
                format!("it is only read beside `{other}`"),
                format!("for example: {example}"),
            );
        }
    }
}
