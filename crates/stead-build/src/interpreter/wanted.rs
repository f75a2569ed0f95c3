//! Which Python version an app asks for: `build.python`, else the first of the files that say so.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Error;

/// `3.11.7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Version(pub(crate) u32, pub(crate) u32, pub(crate) u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What an app asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    /// As it is written; `None`: any version.
    pub(crate) text: Option<String>,
    /// Where it is written: `build.python`, `runtime.txt`.
    pub(crate) origin: Option<String>,
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Any,
    /// Major and minor, and the patch that is preferred: another patch of the same series will do.
    Series(u32, u32, Option<u32>),
    /// Alternatives (`||`) of bounds that all hold.
    Ranges(Vec<Vec<Bound>>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    operator: Operator,
    numbers: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    AtLeast,
    Above,
    AtMost,
    Below,
    Prefix,
    NotPrefix,
}

impl Want {
    /// Any version.
    pub(crate) fn anything() -> Self {
        Self {
            text: None,
            origin: None,
            rule: Rule::Any,
        }
    }

    /// `3.11` or `3.11.7` or bounds (`>=3.8,<4`, `^3.9`); `None` when `text` is neither.
    pub(crate) fn parse(text: &str, origin: &str) -> Option<Self> {
        let text = text.trim();
        let rule = match series(text) {
            Some(rule) => rule,
            None => Rule::Ranges(
                text.split("||")
                    .map(bounds)
                    .collect::<Option<Vec<Vec<Bound>>>>()?,
            ),
        };
        Some(Self {
            text: Some(text.to_owned()),
            origin: Some(origin.to_owned()),
            rule,
        })
    }

    /// `3.11`, when one series is asked for.
    pub(crate) fn series(&self) -> Option<String> {
        match self.rule {
            Rule::Series(major, minor, _) => Some(format!("{major}.{minor}")),
            _ => None,
        }
    }

    /// Whether this is the one version that is asked for, so that no other need be looked at.
    pub(super) fn is_exactly(&self, version: Version) -> bool {
        match self.rule {
            Rule::Series(_, _, patch) => {
                self.allows(version) && patch.is_none_or(|patch| version.2 == patch)
            }
            Rule::Any | Rule::Ranges(_) => false,
        }
    }

    /// Whether this version will do.
    pub(crate) fn allows(&self, version: Version) -> bool {
        match &self.rule {
            Rule::Any => true,
            Rule::Series(major, minor, _) => (version.0, version.1) == (*major, *minor),
            Rule::Ranges(alternatives) => alternatives
                .iter()
                .any(|bounds| bounds.iter().all(|bound| bound.allows(version))),
        }
    }
}

/// What the app in `directory` asks for. `setting` is `build.python`.
pub(crate) fn wanted(setting: Option<&str>, directory: &Path) -> Result<Want, Error> {
    if let Some(text) = setting {
        let mut want = Want::parse(text, "build.python").ok_or_else(|| {
            Error::new(
                format!("cannot use Python `{text}`"),
                vec!["`build.python` is a version such as \"3.11\"".into()],
            )
        })?;
        // Detection took it from a file: that is the one which a person knows.
        let own = wanted(None, directory).ok();
        if let Some(own) = own.filter(|own| own.series().is_some() && own.series() == want.series())
        {
            want.origin = own.origin;
        }
        return Ok(want);
    }
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).ok();
    if let Some(text) = read(".python-version") {
        let first = text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with('#'));
        // A name of a pyenv virtual environment says nothing.
        if let Some(want) = first.and_then(|line| series_named(line, ".python-version")) {
            return Ok(want);
        }
    }
    if let Some(text) = read("runtime.txt")
        && let Some(want) = series_named(text.trim(), "runtime.txt")
    {
        return Ok(want);
    }
    let table = |name: &str| read(name).and_then(|text| text.parse::<toml::Table>().ok());
    let at = |table: &toml::Table, path: &[&str]| -> Option<String> {
        let (last, above) = path.split_last()?;
        let mut table = table;
        for key in above {
            table = table.get(*key)?.as_table()?;
        }
        table.get(*last)?.as_str().map(str::to_owned)
    };
    if let Some(pipfile) = table("Pipfile") {
        for key in ["python_full_version", "python_version"] {
            if let Some(text) = at(&pipfile, &["requires", key])
                && let Some(want) = Want::parse(&text, "Pipfile")
            {
                return Ok(want);
            }
        }
    }
    if let Some(project) = table("pyproject.toml") {
        let paths: [&[&str]; 2] = [
            &["project", "requires-python"],
            &["tool", "poetry", "dependencies", "python"],
        ];
        for path in paths {
            if let Some(text) = at(&project, path)
                && let Some(want) = Want::parse(&text, "pyproject.toml")
            {
                return Ok(want);
            }
        }
    }
    for name in ["environment.yml", "environment.yaml"] {
        let text = read(name).unwrap_or_default();
        let pin = text.lines().find_map(|line| {
            let rest = line.trim().strip_prefix("- python")?;
            rest.starts_with(['=', '<', '>', '~', ' '])
                .then(|| rest.trim().to_owned())
        });
        if let Some(pin) = pin {
            // conda's `=3.9` and `=3.9.7=h12debd9_1` mean what `3.9` and `3.9.7` mean here.
            let version = pin
                .trim_start_matches('=')
                .split('=')
                .next()
                .unwrap_or_default();
            let text = if pin.starts_with('=') { version } else { &pin };
            if let Some(want) = Want::parse(text.trim_matches(['"', '\'']), name) {
                return Ok(want);
            }
        }
    }
    Ok(Want::anything())
}

/// `python-3.11.7`, `cpython-3.11`, `3.11`.
fn series_named(text: &str, origin: &str) -> Option<Want> {
    let version = text
        .trim_start_matches("cpython")
        .trim_start_matches("python");
    let version = version.trim_start_matches(['-', '@']);
    series(version)?;
    Want::parse(version, origin)
}

/// `3`, `3.11`, `3.11.7`, `3.11.*`.
fn series(text: &str) -> Option<Rule> {
    let text = text.strip_suffix(".*").unwrap_or(text);
    match numbers(text)?.as_slice() {
        [major, minor] => Some(Rule::Series(*major, *minor, None)),
        [major, minor, patch] => Some(Rule::Series(*major, *minor, Some(*patch))),
        _ => None,
    }
}

fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split('.')
        .map(|number| number.trim().parse().ok())
        .collect()
}

/// PEP 440 bounds and Poetry's `^`, `~`, `*`.
fn bounds(text: &str) -> Option<Vec<Bound>> {
    let mut bounds = Vec::new();
    // Poetry separates by comma or space; an operator may have a space after it.
    let text = text.replace(',', " ");
    let mut words = text.split_whitespace().peekable();
    words.peek()?;
    while let Some(word) = words.next() {
        let digits = word.find(|character: char| character.is_ascii_digit() || character == '*');
        let (operator, version) = match digits {
            Some(at) => (word.get(..at)?, word.get(at..)?),
            None => (word, words.next()?),
        };
        if version == "*" {
            continue;
        }
        let wild = version.ends_with(".*");
        let numbers = numbers(version.strip_suffix(".*").unwrap_or(version))?;
        let bound = |operator, numbers: &[u32]| Bound {
            operator,
            numbers: numbers.to_vec(),
        };
        match operator {
            ">=" => bounds.push(bound(Operator::AtLeast, &numbers)),
            ">" => bounds.push(bound(Operator::Above, &numbers)),
            "<=" => bounds.push(bound(Operator::AtMost, &numbers)),
            "<" => bounds.push(bound(Operator::Below, &numbers)),
            "!=" => bounds.push(bound(Operator::NotPrefix, &numbers)),
            "==" | "=" | "===" | "" if wild || numbers.len() < 3 => {
                bounds.push(bound(Operator::Prefix, &numbers));
            }
            // An exact patch: any of its series will do, as for `build.python`.
            "==" | "=" | "===" | "" => bounds.push(bound(Operator::Prefix, numbers.get(..2)?)),
            "~=" => {
                bounds.push(bound(Operator::AtLeast, &numbers));
                let (_, prefix) = numbers.split_last()?;
                bounds.push(bound(Operator::Prefix, prefix));
            }
            "~" => {
                bounds.push(bound(Operator::AtLeast, &numbers));
                bounds.push(bound(
                    Operator::Prefix,
                    numbers.get(..2).unwrap_or(&numbers),
                ));
            }
            "^" => {
                bounds.push(bound(Operator::AtLeast, &numbers));
                bounds.push(bound(Operator::Prefix, numbers.get(..1)?));
            }
            _ => return None,
        }
    }
    Some(bounds)
}

impl Bound {
    fn allows(&self, version: Version) -> bool {
        let whole = [version.0, version.1, version.2];
        let mut bound = [0; 3];
        for (to, from) in bound.iter_mut().zip(&self.numbers) {
            *to = *from;
        }
        let prefix = whole.iter().zip(&self.numbers).all(|(a, b)| a == b);
        match self.operator {
            Operator::AtLeast => whole >= bound,
            // `>3.8` leaves the whole 3.8 series out, as `<=3.8` of an app means to take it in.
            Operator::Above => whole > bound && !prefix,
            Operator::AtMost => whole <= bound || prefix,
            Operator::Below => whole < bound,
            Operator::Prefix => prefix,
            Operator::NotPrefix => !prefix,
        }
    }
}
