//! What an app depends on, from whichever file says so, in a form that uv installs.

mod conda;
mod marker;
mod pipfile;
mod poetry;
mod stale;
pub(crate) mod text;

use std::path::{Path, PathBuf};

use stead_model::manifest::Build;
use toml::Table;

use crate::Error;
pub(crate) use marker::{Target, compare};

/// The dependencies of an app.
#[derive(Debug, Default)]
pub(crate) struct Dependencies {
    /// The file that says so, relative to the code: `requirements.txt`. `None`: there are none.
    pub(crate) origin: Option<String>,
    /// Everything that decides what is installed, by name: an environment is keyed by it.
    pub(crate) keyed: Vec<(String, Vec<u8>)>,
    /// How uv is told.
    pub(crate) install: Install,
    /// The app itself is a package, installed editable into its environment.
    pub(crate) project: Option<PathBuf>,
    /// What was changed or left out, each a sentence.
    pub(crate) notes: Vec<String>,
}

impl Dependencies {
    /// They are listed beside the project (requirements.txt, environment.yml), so that nobody may
    /// ever have installed the project itself.
    pub(crate) fn by_hand(&self) -> bool {
        matches!(kind_of(self), Kind::Text | Kind::Conda)
    }

    /// Whether any of the files names this package, which is written without `-`, `_` and `.`.
    pub(crate) fn mentions(&self, package: &str) -> bool {
        self.keyed
            .iter()
            .any(|(_, content)| names(content, package))
    }

    /// The same of what lists packages alone: a setup.py names setuptools because it is one of it.
    pub(crate) fn lists(&self, package: &str) -> bool {
        let projects = ["setup.py", "setup.cfg", "pyproject.toml"];
        self.keyed.iter().any(|(file, content)| {
            let project = projects.iter().any(|name| file.ends_with(name));
            !project && names(content, package)
        })
    }
}

/// Whether a text has this word.
fn names(content: &[u8], package: &str) -> bool {
    let text = String::from_utf8_lossy(content).to_ascii_lowercase();
    text.split(|next: char| !(next.is_alphanumeric() || "-_.".contains(next)))
        .any(|word| word == package)
}

/// How uv is told what to install.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Install {
    /// Nothing to install.
    #[default]
    Nothing,
    /// A file that uv reads as it stands: requirements.txt, pyproject.toml, setup.py, pylock.toml (PEP 751).
    File {
        /// Absolute.
        path: PathBuf,
        /// It has hashes, so that every requirement must have one.
        hashed: bool,
    },
    /// Requirements made from another file's content. Hashes in them are checked.
    Text {
        /// As in a requirements.txt; paths in it are absolute.
        text: String,
        /// Every requirement must have a hash.
        hashed: bool,
        /// It names everything that is needed: nothing else is looked for.
        complete: bool,
    },
    /// uv.lock, exported by uv itself.
    UvLock,
}

/// Where dependencies are written down, the first that exists is taken: locks, then what people
/// pin by hand, then what is open.
const USUAL: [(&str, Kind); 21] = [
    ("uv.lock", Kind::UvLock),
    ("poetry.lock", Kind::PoetryLock),
    ("Pipfile.lock", Kind::PipfileLock),
    ("pylock.toml", Kind::Pylock),
    ("requirements.txt", Kind::Text),
    ("requirements.lock", Kind::Text),
    ("requirements/production.txt", Kind::Text),
    ("requirements/prod.txt", Kind::Text),
    ("requirements/requirements.txt", Kind::Text),
    ("requirements/base.txt", Kind::Text),
    ("requirements/main.txt", Kind::Text),
    ("requirements-prod.txt", Kind::Text),
    ("requirements-production.txt", Kind::Text),
    ("requirements_prod.txt", Kind::Text),
    ("pyproject.toml", Kind::Pyproject),
    ("Pipfile", Kind::Pipfile),
    ("setup.py", Kind::Setup),
    ("setup.cfg", Kind::Setup),
    ("requirements.in", Kind::Text),
    ("environment.yml", Kind::Conda),
    ("environment.yaml", Kind::Conda),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    UvLock,
    PoetryLock,
    PipfileLock,
    Pylock,
    Text,
    Pyproject,
    Pipfile,
    Setup,
    Conda,
}

/// The file that says what the app in `code` depends on, relative to it. Where there is none, one
/// in the directories above it, up to the top of the source, counts.
pub(crate) fn file(build: &Build, code: &Path, top: &Path) -> Result<Option<String>, Error> {
    if let Some(name) = &build.requirements {
        return match code.join(name).is_file() {
            true => Ok(Some(name.clone())),
            false => Err(Error::new(
                format!("cannot read `{name}`"),
                vec!["`build.requirements` names it, and there is no such file".into()],
            )),
        };
    }
    let mut up = String::new();
    for directory in code.ancestors() {
        for (name, kind) in USUAL {
            let path = directory.join(name);
            if let Some(why) = no_file(&path) {
                return Err(unreadable(&path, &why).hinted(
                    "remove it, or name the right one: `requirements = \"…\"` under [build]",
                ));
            }
            if path.is_file() && (kind != Kind::Pyproject || is_project(&table(&path)?)) {
                return Ok(Some(format!("{up}{name}")));
            }
        }
        if directory == top || !directory.starts_with(top) {
            break;
        }
        up.push_str("../");
    }
    Ok(None)
}

/// Why something of that name is no file that can be read, if there is something.
fn no_file(path: &Path) -> Option<String> {
    let found = path.symlink_metadata().ok()?;
    if let Ok(target) = path.read_link()
        && path.metadata().is_err()
    {
        let target = target.display();
        return Some(format!("it is a link to `{target}`, which is not there"));
    }
    if path.is_dir() {
        return Some("it is a directory".to_owned());
    }
    let file = found.is_file() || path.is_file();
    (!file).then(|| "it is no regular file".to_owned())
}

/// A pyproject.toml that only configures tools says nothing about dependencies.
fn is_project(table: &Table) -> bool {
    table.contains_key("project") || tool(table, "poetry").is_some()
}

fn tool<'a>(table: &'a Table, name: &str) -> Option<&'a Table> {
    table.get("tool")?.get(name)?.as_table()
}

/// Read what the app in `code` depends on, for the Python `target`.
pub(crate) fn read(
    build: &Build,
    code: &Path,
    top: &Path,
    target: &Target,
) -> Result<Dependencies, Error> {
    let Some(name) = file(build, code, top)? else {
        return Ok(Dependencies::default());
    };
    let path = code.join(&name);
    let base = path.parent().unwrap_or(code).to_owned();
    let mut found = match kind(&name) {
        Kind::Text => text::read(&path, code)?,
        Kind::Conda => conda_environment(&path, &name, code)?,
        Kind::UvLock => {
            let project = table(&base.join("pyproject.toml")).unwrap_or_default();
            stale::of_project(&name, &table(&path)?, &project, "uv lock")?;
            Dependencies {
                install: Install::UvLock,
                ..Dependencies::default()
            }
        }
        Kind::PoetryLock => {
            let project = table(&base.join("pyproject.toml"))?;
            stale::of_project(&name, &table(&path)?, &project, "poetry lock")?;
            let (text, notes) = poetry::from_lock(&table(&path)?, &project, &base, target);
            Dependencies {
                install: complete(text),
                notes,
                ..Dependencies::default()
            }
        }
        Kind::PipfileLock => {
            let lock: serde_json::Value = serde_json::from_slice(&bytes(&path)?)
                .map_err(|error| unreadable(&path, &error.to_string()))?;
            let pipfile = table(&base.join("Pipfile")).unwrap_or_default();
            stale::of_pipfile(&name, &lock, &pipfile)?;
            let made_for = lock
                .pointer("/_meta/requires/python_version")
                .and_then(|text| text.as_str());
            let here = format!("{}.{}", target.python.0, target.python.1);
            Dependencies {
                install: Install::Text {
                    text: pipfile::from_lock(&lock, &base),
                    hashed: false,
                    // A lock that was made for another Python may lack what only this one needs.
                    complete: made_for.is_none_or(|version| version == here),
                },
                ..Dependencies::default()
            }
        }
        Kind::Pipfile => {
            let pipfile = serde_json::to_value(table(&path)?)
                .map_err(|error| unreadable(&path, &error.to_string()))?;
            Dependencies {
                install: open(pipfile::from_pipfile(&pipfile, &base)),
                ..Dependencies::default()
            }
        }
        Kind::Pyproject => {
            let project = table(&path)?;
            let install = match project.contains_key("project") {
                true => Install::File {
                    path: path.clone(),
                    hashed: false,
                },
                false => open(poetry::from_pyproject(&project, &base, target)),
            };
            Dependencies {
                install,
                ..Dependencies::default()
            }
        }
        Kind::Pylock | Kind::Setup => Dependencies {
            install: Install::File {
                path: path.clone(),
                hashed: false,
            },
            ..Dependencies::default()
        },
    };
    found.origin = Some(name);
    // By their names in the source: two releases of the same packages share an environment, wherever their code is. What an
    // environment leads back to (the project, local packages) is keyed by its place.
    let inside = |path: &Path| {
        path.strip_prefix(code)
            .unwrap_or(path)
            .display()
            .to_string()
    };
    found.keyed.push((inside(&path), bytes(&path)?));
    found.project = project(&base, kind_of(&found));
    // A lock says nothing of the project that it belongs to.
    if found.project.is_some() || !found.by_hand() {
        let files = text::project_files(&base).into_iter();
        found
            .keyed
            .extend(files.map(|(name, content)| (inside(Path::new(&name)), content)));
    }
    Ok(found)
}

fn kind_of(found: &Dependencies) -> Kind {
    found.origin.as_deref().map_or(Kind::Text, kind)
}

/// By the file's name; anything unusual is a requirements file.
fn kind(name: &str) -> Kind {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.ends_with(".yml") || last.ends_with(".yaml") {
        return Kind::Conda;
    }
    // `pylock.web.toml` is one of several (PEP 751).
    if last.starts_with("pylock.") && last.ends_with(".toml") {
        return Kind::Pylock;
    }
    USUAL
        .iter()
        .find(|(usual, _)| *usual == last)
        .map_or(Kind::Text, |(_, kind)| *kind)
}

/// The directory of the app's own package, when it is one: it has a `[build-system]` or a setup.py
/// and does not say otherwise.
fn project(base: &Path, kind: Kind) -> Option<PathBuf> {
    let pyproject = table(&base.join("pyproject.toml")).unwrap_or_default();
    let says_no = tool(&pyproject, "uv").and_then(|uv| uv.get("package")?.as_bool()) == Some(false)
        || tool(&pyproject, "poetry").and_then(|poetry| poetry.get("package-mode")?.as_bool())
            == Some(false);
    let says_yes = tool(&pyproject, "uv").and_then(|uv| uv.get("package")?.as_bool()) == Some(true);
    let built = pyproject.contains_key("build-system") && is_project(&pyproject);
    let setup = base.join("setup.py").is_file() || kind == Kind::Setup;
    // requirements.txt beside a setup.py is how apps are kept that nobody installs, or that
    // name themselves in it (`-e .`).
    let is_package = says_yes || built || setup && kind != Kind::Text && kind != Kind::Conda;
    (is_package && !says_no).then(|| base.to_owned())
}

fn conda_environment(path: &Path, name: &str, code: &Path) -> Result<Dependencies, Error> {
    let yaml = String::from_utf8_lossy(&bytes(path)?).into_owned();
    let converted = conda::convert(&yaml);
    if !converted.refused.is_empty() {
        let names: Vec<String> = converted
            .refused
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        let debian: Vec<&str> = converted
            .refused
            .iter()
            .filter_map(|(_, debian)| debian.as_deref())
            .collect();
        let error = Error::new(
            format!("cannot build from `{name}`"),
            vec![format!(
                "{} cannot be had from the Python package index",
                names.join(", ")
            )],
        );
        return Err(match debian.is_empty() {
            true => error.hinted(format!("take them out of `{name}`, or name a requirements file: `requirements = \"…\"` under [build]")),
            false => error.hinted(format!(
                "apt-get install {}, take them out of `{name}` and name them in `packages` under [build]",
                debian.join(" ")
            )),
        });
    }
    // The pip section may include files and name paths, as a requirements file does.
    let (keyed, install, notes) = text::of_content(&converted.text, code)?;
    Ok(Dependencies {
        keyed,
        install,
        notes,
        ..Dependencies::default()
    })
}

fn complete(text: String) -> Install {
    Install::Text {
        text,
        hashed: false,
        complete: true,
    }
}

fn open(text: String) -> Install {
    Install::Text {
        text,
        hashed: false,
        complete: false,
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| unreadable(path, &because(path, &error)))
}

/// In words that a person uses.
fn because(path: &Path, error: &std::io::Error) -> String {
    no_file(path).unwrap_or_else(|| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "you may not read it".to_owned(),
        _ => error.to_string(),
    })
}

fn table(path: &Path) -> Result<Table, Error> {
    let text = String::from_utf8_lossy(&bytes(path)?).into_owned();
    text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        unreadable(path, &format!("line {line}: {}", error.message()))
    })
}

fn unreadable(path: &Path, why: &str) -> Error {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Error::new(format!("cannot read `{name}`"), vec![why.to_owned()])
}

/// A name in the form in which two spellings of one package are equal (PEP 503).
pub(crate) fn normalized(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for character in name.trim().chars() {
        match character {
            '-' | '_' | '.' => {
                if !out.ends_with('-') {
                    out.push('-');
                }
            }
            other => out.push(other.to_ascii_lowercase()),
        }
    }
    out
}

#[cfg(test)]
mod tests;
