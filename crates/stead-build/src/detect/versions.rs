//! Which Python the app says it wants.

use super::draft::Draft;
use super::project::Project;
use super::tree::{Tree, join};

/// Find the version for `base`, best source first, and say where it came from.
pub(crate) fn python(project: &Project<'_>, base: &str, draft: &mut Draft) {
    let tree = project.tree;
    let bases: &[&str] = if base.is_empty() { &[""] } else { &[base, ""] };
    for base in bases {
        for find in [
            dot_python_version,
            runtime_txt,
            pipfile,
            pyproject,
            setup,
            conda,
        ] {
            let Some((text, file)) = find(project, base) else {
                continue;
            };
            match choose(&text) {
                Wanted::Version(version) => {
                    draft.origin("build.python", format!("{file}: {}", text.trim()));
                    draft.manifest.build.python = Some(version);
                    return;
                }
                Wanted::Two => {
                    draft.warning(
                        format!(
                            "{file} asks for Python {}, and Stead runs Python 3.6 and later",
                            text.trim().trim_start_matches("python-")
                        ),
                        "set `python = \"3\"` under [build] if the app runs on it",
                    );
                }
                Wanted::Open => {}
            }
        }
    }
    let pinned = tree.hidden(&join(base, ".python-version"));
    if let Some(text) = pinned.as_deref().and_then(|text| text.lines().next())
        && matches!(choose(text), Wanted::Open)
        && !text.trim().is_empty()
    {
        draft.note(format!(
            ".python-version says `{}`, which names no Python version.",
            text.trim().chars().take(40).collect::<String>()
        ));
    }
}

enum Wanted {
    /// `3.11`.
    Version(String),
    Two,
    /// A range without an end, or nothing that is understood.
    Open,
}

type Found = Option<(String, String)>;

fn first_line(tree: &Tree, path: &str) -> Option<String> {
    let text = tree.hidden(path)?;
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))?;
    Some(line.chars().take(80).collect())
}

fn dot_python_version(project: &Project<'_>, base: &str) -> Found {
    let path = join(base, ".python-version");
    Some((first_line(project.tree, &path)?, path))
}

fn runtime_txt(project: &Project<'_>, base: &str) -> Found {
    let path = join(base, "runtime.txt");
    Some((first_line(project.tree, &path)?, path))
}

fn pipfile(project: &Project<'_>, base: &str) -> Found {
    let path = join(base, "Pipfile");
    let table: toml::Table = project.tree.read(&path)?.parse().ok()?;
    let requires = table.get("requires")?;
    let version = requires
        .get("python_full_version")
        .or_else(|| requires.get("python_version"))?;
    Some((version.as_str()?.to_owned(), path))
}

fn pyproject(project: &Project<'_>, base: &str) -> Found {
    let path = join(base, "pyproject.toml");
    let table: toml::Table = project.tree.read(&path)?.parse().ok()?;
    let standard = table.get("project").and_then(|p| p.get("requires-python"));
    let poetry = || {
        let poetry = table.get("tool")?.get("poetry")?;
        poetry.get("dependencies")?.get("python")
    };
    Some((standard.or_else(poetry)?.as_str()?.to_owned(), path))
}

fn setup(project: &Project<'_>, base: &str) -> Found {
    let path = join(base, "setup.cfg");
    if let Some(text) = project.tree.read(&path) {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("python_requires"));
        if let Some(value) = line.and_then(|line| line.trim().strip_prefix('=')) {
            return Some((value.trim().to_owned(), path));
        }
    }
    let path = join(base, "setup.py");
    if !project.tree.has(&path) {
        return None;
    }
    let module = project.module(&path);
    let setup = module
        .calls
        .iter()
        .find(|call| call.function.ends_with("setup"))?;
    Some((setup.keyword("python_requires")?.text()?.to_owned(), path))
}

fn conda(project: &Project<'_>, base: &str) -> Found {
    ["environment.yml", "environment.yaml", "conda.yml"]
        .iter()
        .find_map(|name| {
            let path = join(base, name);
            let text = project.tree.read(&path)?;
            text.lines().find_map(|line| {
                let item = line.trim().strip_prefix("- ")?.trim_matches(['"', '\'']);
                let rest = item.strip_prefix("python")?;
                let constraint = rest.starts_with(['=', '>', '<', ' ', '~']);
                constraint.then(|| (rest.trim().to_owned(), path.clone()))
            })
        })
}

/// One version out of a constraint: `3.11.4`, `python-3.6.8`, `==3.8.*`, `>=3.6,<3.9`, `~3.8`.
fn choose(text: &str) -> Wanted {
    let text = text
        .trim()
        .trim_start_matches("python-")
        .trim_start_matches("cpython-");
    let text = text.split(['@', '#']).next().unwrap_or_default().trim();
    let mut exact = None;
    let mut below: Option<u32> = None;
    let mut least: Option<u32> = None;
    let mut two = false;
    for part in text
        .split([',', ' '])
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let version = part.trim_start_matches(['=', '<', '>', '~', '^', '!', 'v']);
        let operator = &part[..part.len() - version.len()];
        let mut numbers = version
            .split('.')
            .map(|number| number.trim_end_matches("-dev"));
        let major = numbers.next().and_then(|number| number.parse::<u32>().ok());
        let minor = numbers.next().and_then(|number| number.parse::<u32>().ok());
        let patch = numbers.next();
        two |= major == Some(2) && !operator.starts_with(['>', '!', '<']);
        if major == Some(4) || major != Some(3) {
            continue;
        }
        let Some(minor) = minor.filter(|minor| *minor < 100) else {
            continue;
        };
        match operator {
            "" | "=" | "==" | "===" | "v" => exact = Some(minor),
            // `~=3.8.1` and poetry's `~3.8` stay in 3.8; `~=3.8` allows every 3.
            "~" => exact = Some(minor),
            "~=" if patch.is_some() => exact = Some(minor),
            "<" if patch.is_none_or(|patch| patch == "0") => below = minor.checked_sub(1),
            "<" | "<=" => below = Some(minor),
            ">=" | "^" | "~=" => least = Some(minor),
            ">" => least = Some(minor + 1),
            _ => {}
        }
    }
    match (exact, below) {
        (Some(minor), _) => Wanted::Version(format!("3.{minor}")),
        (None, Some(minor)) if least.is_none_or(|least| least <= minor) => {
            Wanted::Version(format!("3.{minor}"))
        }
        _ if two => Wanted::Two,
        _ => Wanted::Open,
    }
}

#[cfg(test)]
mod tests;
