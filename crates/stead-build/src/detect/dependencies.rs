//! What the app says it needs, by whichever file it says it in.

use std::collections::BTreeMap;

use super::project::Project;
use super::syntax::Value;
use super::tree::{Tree, file_name, join, parent, resolve};

/// Files that say what a Python app needs, best first.
const USUAL: &[&str] = &[
    "uv.lock",
    "poetry.lock",
    "Pipfile.lock",
    "pylock.toml",
    "Pipfile",
    "pyproject.toml",
    "requirements.txt",
    "environment.yml",
    "environment.yaml",
    "setup.cfg",
    "setup.py",
];

/// Requirements files of other names, best first; the first that exists counts.
const UNUSUAL: &[&str] = &[
    "requirements.lock",
    "requirements-prod.txt",
    "requirements-production.txt",
    "requirements_prod.txt",
    "requirements.prod.txt",
    "requirements/prod.txt",
    "requirements/production.txt",
    "requirements/requirements.txt",
    "requirements/base.txt",
    "requirements/main.txt",
    "requirements/common.txt",
    "requirements/default.txt",
    "requirements/app.txt",
    "requirements/web.txt",
    "requirements-base.txt",
    "requirement.txt",
    "reqs.txt",
    "deps.txt",
    "pip-requirements.txt",
    "requirements.in",
    "conda.yml",
    "config/requirements.txt",
    "deploy/requirements.txt",
    "docker/requirements.txt",
    "conf/requirements.txt",
    "etc/requirements.txt",
];

/// Where dependencies were found, and which.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dependencies {
    /// The file that counts, if any.
    pub(crate) file: Option<String>,
    /// It has a name that the build finds without being told.
    pub(crate) usual: bool,
    /// Every file of this base that says something.
    pub(crate) files: Vec<String>,
    /// Normalised name → what is said about its version.
    pub(crate) packages: BTreeMap<String, String>,
}

impl Dependencies {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.packages.contains_key(name)
    }
}

/// Whether `base` holds a file that says what a Python app needs.
pub(crate) fn is_base(tree: &Tree, base: &str) -> bool {
    USUAL.iter().any(|name| {
        let path = join(base, name);
        tree.has(&path) && (*name != "pyproject.toml" || says_something(tree, &path))
    })
}

/// A `pyproject.toml` that only configures tools says nothing about dependencies.
fn says_something(tree: &Tree, path: &str) -> bool {
    let Some(table) = toml_table(tree, path) else {
        return false;
    };
    let poetry = table.get("tool").and_then(|tool| tool.get("poetry"));
    table.contains_key("project") || poetry.is_some()
}

fn toml_table(tree: &Tree, path: &str) -> Option<toml::Table> {
    tree.read(path)?.parse().ok()
}

/// Read what `base` needs.
pub(crate) fn read(project: &Project<'_>, base: &str) -> Dependencies {
    let tree = project.tree;
    let mut found = Dependencies::default();
    for name in USUAL {
        let path = join(base, name);
        let counts = tree.has(&path) && (*name != "pyproject.toml" || says_something(tree, &path));
        if !counts {
            continue;
        }
        read_one(project, &path, &mut found.packages);
        found.files.push(path);
    }
    if let Some(first) = found.files.first() {
        found.file = Some(first.clone());
        found.usual = true;
        return found;
    }
    let named = UNUSUAL.iter().map(|name| join(base, name));
    let chosen = named.into_iter().find(|path| tree.has(path)).or_else(|| {
        let mut deeper = tree.files().filter(|path| {
            path.matches('/').count() <= base.matches('/').count() + 2
                && file_name(path) == "requirements.txt"
                && super::tree::within(base, path).is_some()
                && !super::entry::elsewhere(path)
        });
        deeper.next().map(str::to_owned)
    });
    if let Some(path) = chosen {
        read_one(project, &path, &mut found.packages);
        found.files.push(path.clone());
        found.file = Some(path);
    }
    found
}

fn read_one(project: &Project<'_>, path: &str, packages: &mut BTreeMap<String, String>) {
    let tree = project.tree;
    match file_name(path) {
        "Pipfile" => {
            let table = toml_table(tree, path).unwrap_or_default();
            named_table(table.get("packages"), packages);
        }
        "Pipfile.lock" => pipfile_lock(tree, path, packages),
        "uv.lock" | "poetry.lock" | "pylock.toml" => lock(tree, path, packages),
        "pyproject.toml" => pyproject(tree, path, packages),
        "setup.cfg" => setup_cfg(tree, path, packages),
        "setup.py" => setup_py(project, path, packages),
        name if name.ends_with(".yml") || name.ends_with(".yaml") => {
            for line in tree.read(path).unwrap_or_else(|| "".into()).lines() {
                if let Some(item) = line.trim().strip_prefix("- ") {
                    // conda writes `flask=1.0=py36_0`.
                    let item = item.trim_matches(['"', '\'']);
                    let item = item.rsplit("::").next().unwrap_or(item);
                    requirement(item, packages);
                }
            }
        }
        _ => requirements(tree, path, packages, 6),
    }
}

fn requirements(
    tree: &Tree,
    path: &str,
    packages: &mut BTreeMap<String, String>,
    includes_left: usize,
) {
    let Some(text) = tree.read(path) else { return };
    for line in text.lines() {
        let line = line.trim();
        let included = ["-r ", "--requirement ", "--requirement=", "-r"]
            .iter()
            .find_map(|flag| line.strip_prefix(flag));
        if let Some(included) = included {
            let target = resolve(parent(path), included.trim());
            if let (Some(target), true) = (target, includes_left > 0) {
                requirements(tree, &target, packages, includes_left - 1);
            }
            continue;
        }
        let egg = line.split_once("#egg=").map(|(_, name)| name);
        requirement(egg.unwrap_or(line), packages);
    }
}

/// `Flask[async]>=2.0; python_version > "3"`.
fn requirement(line: &str, packages: &mut BTreeMap<String, String>) {
    let line = line.split(['#', ';']).next().unwrap_or_default().trim();
    let end = line
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        .unwrap_or(line.len());
    let name = &line[..end];
    if name.is_empty() || name.starts_with('-') {
        return;
    }
    let mut rest = line[end..].trim();
    if rest.starts_with('[') {
        rest = rest.split_once(']').map_or("", |(_, rest)| rest).trim();
    }
    packages
        .entry(normal(name))
        .or_insert_with(|| rest.to_owned());
}

/// PEP 503's normal form of a name.
fn normal(name: &str) -> String {
    name.to_lowercase().replace(['_', '.'], "-")
}

fn named_table(table: Option<&toml::Value>, packages: &mut BTreeMap<String, String>) {
    for (name, wanted) in table.and_then(toml::Value::as_table).into_iter().flatten() {
        let version = wanted
            .as_str()
            .or_else(|| wanted.get("version").and_then(toml::Value::as_str));
        if normal(name) != "python" {
            packages
                .entry(normal(name))
                .or_insert_with(|| version.unwrap_or_default().to_owned());
        }
    }
}

fn pipfile_lock(tree: &Tree, path: &str, packages: &mut BTreeMap<String, String>) {
    let Some(text) = tree.read(path) else { return };
    let Ok(lock) = serde_json::from_str::<serde_json::Value>(&text) else {
        return;
    };
    for (name, entry) in lock
        .get("default")
        .and_then(serde_json::Value::as_object)
        .into_iter()
        .flatten()
    {
        let version = entry.get("version").and_then(serde_json::Value::as_str);
        packages.insert(normal(name), version.unwrap_or_default().to_owned());
    }
}

fn lock(tree: &Tree, path: &str, packages: &mut BTreeMap<String, String>) {
    let table = toml_table(tree, path).unwrap_or_default();
    // pylock.toml says `packages` (PEP 751).
    for package in table
        .get("package")
        .or_else(|| table.get("packages"))
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
    {
        let text = |key: &str| package.get(key).and_then(toml::Value::as_str);
        // Development dependencies of old poetry locks.
        if text("category").is_some_and(|category| category == "dev") {
            continue;
        }
        if let Some(name) = text("name") {
            let version = text("version").map(|v| format!("=={v}"));
            packages.insert(normal(name), version.unwrap_or_default());
        }
    }
}

fn pyproject(tree: &Tree, path: &str, packages: &mut BTreeMap<String, String>) {
    let table = toml_table(tree, path).unwrap_or_default();
    let project = table.get("project");
    for item in project
        .and_then(|project| project.get("dependencies"))
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
    {
        if let Some(line) = item.as_str() {
            requirement(line, packages);
        }
    }
    let poetry = table.get("tool").and_then(|tool| tool.get("poetry"));
    named_table(poetry.and_then(|p| p.get("dependencies")), packages);
}

fn setup_cfg(tree: &Tree, path: &str, packages: &mut BTreeMap<String, String>) {
    let Some(text) = tree.read(path) else { return };
    let mut inside = false;
    for line in text.lines() {
        if let Some(first) = line.strip_prefix("install_requires") {
            inside = true;
            let first = first.trim_start().trim_start_matches('=').trim();
            requirement(first, packages);
        } else if inside && line.starts_with([' ', '\t']) {
            requirement(line.trim(), packages);
        } else {
            inside = false;
        }
    }
}

fn setup_py(project: &Project<'_>, path: &str, packages: &mut BTreeMap<String, String>) {
    let module = project.module(path);
    for call in &module.calls {
        if !call.function.ends_with("setup") {
            continue;
        }
        let mut wanted = call.keyword("install_requires").cloned();
        if let Some(Value::Name(name)) = &wanted {
            wanted = module.bound(name).map(|binding| binding.value.clone());
        }
        if let Some(Value::List(items)) = wanted {
            for item in items.iter().filter_map(Value::text) {
                requirement(item, packages);
            }
        }
    }
}
