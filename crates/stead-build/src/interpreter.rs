//! Which Python an app gets: one that is on this machine. Stead installs none by itself.

pub(crate) mod wanted;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::machine::{Machine, is_executable};
use wanted::Version;
pub(crate) use wanted::Want;

/// The oldest Python that Stead's worker runs on.
const OLDEST: Version = Version(3, 6, 0);

/// Prints what is asked of an interpreter: the real one behind a virtual environment, its
/// version, and which modules of the standard library it was built without.
const QUESTION: &str = r"
import os, sys
program = getattr(sys, '_base_executable', None) or sys.executable
if sys.prefix != sys.base_prefix and os.path.dirname(program) == os.path.join(sys.prefix, 'bin'):
    program = os.path.join(sys.base_prefix, 'bin', 'python%d.%d' % sys.version_info[:2])
missing = []
for name in ('_sqlite3', '_ssl', 'zlib', '_ctypes', '_bz2', '_lzma'):
    try:
        __import__(name)
    except ImportError:
        missing.append(name.strip('_'))
print(os.path.realpath(program))
print('%d %d %d' % sys.version_info[:3])
print(sys.implementation.name)
print(' '.join(missing))
";

/// A Python on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Interpreter {
    /// The program itself, never one inside a virtual environment.
    pub(crate) program: PathBuf,
    /// Its version.
    pub(crate) version: Version,
    /// `cpython`, `pypy`.
    pub(crate) implementation: String,
    /// Modules that it was built without: `sqlite3`, `ssl`, …
    pub(crate) missing: Vec<String>,
}

/// The file in which answers of interpreters are kept.
pub(crate) fn memory(state: &Path) -> PathBuf {
    state.join("envs/interpreters.json")
}

/// Find the interpreter for `want`. `memory` is a file in which answers are kept, so that a second
/// look starts no process.
pub(crate) fn find(machine: &Machine, memory: &Path, want: &Want) -> Result<Interpreter, Error> {
    let mut known = Known::load(memory);
    let found = choose(candidates(machine), want, |path| known.ask(path));
    known.save();
    found
}

/// Every version on this machine, for an error that names them.
pub(crate) fn versions(machine: &Machine, memory: &Path) -> Vec<Version> {
    let mut known = Known::load(memory);
    let mut versions: Vec<Version> = candidates(machine)
        .iter()
        .filter_map(|path| Some(known.ask(path)?.version))
        .filter(|version| *version >= OLDEST)
        .collect();
    known.save();
    versions.sort_unstable();
    versions.dedup();
    versions
}

/// Take the first candidate that is exactly right; candidates whose name promises the version
/// are asked first. Only a refusal, or a range that the default does not fit, asks them all.
fn choose(
    mut candidates: Vec<PathBuf>,
    want: &Want,
    mut ask: impl FnMut(&Path) -> Option<Interpreter>,
) -> Result<Interpreter, Error> {
    if let Some(promise) = want.series() {
        // Stable: within each half the order of `PATH` stays.
        candidates.sort_by_key(|path| !promises(path, &promise));
    }
    let mut usable: Vec<Interpreter> = Vec::new();
    for path in candidates {
        let Some(found) = ask(&path) else { continue };
        if found.version < OLDEST || usable.iter().any(|other| other.program == found.program) {
            continue;
        }
        if want.is_exactly(found.version)
            || usable.is_empty() && want.allows(found.version) && want.series().is_none()
        {
            return Ok(found);
        }
        usable.push(found);
    }
    let fitting = usable.iter().filter(|found| want.allows(found.version));
    match fitting.max_by_key(|found| found.version) {
        Some(found) => Ok(found.clone()),
        None => Err(refusal(want, &usable)),
    }
}

fn refusal(want: &Want, usable: &[Interpreter]) -> Error {
    let mut versions: Vec<Version> = usable.iter().map(|found| found.version).collect();
    versions.sort_unstable();
    versions.dedup();
    let names: Vec<String> = versions.iter().map(Version::to_string).collect();
    let here = match names.as_slice() {
        [] => format!(
            "this machine has no Python {}.{} or newer",
            OLDEST.0, OLDEST.1
        ),
        names => format!("this machine has Python {}", names.join(", ")),
    };
    let act = match &want.text {
        Some(text) => format!("cannot find Python {text}"),
        None => "cannot find a Python".to_owned(),
    };
    let mut causes = vec![here];
    if let (Some(_), Some(origin)) = (&want.text, &want.origin) {
        causes.insert(0, format!("`{origin}` asks for it"));
    }
    let error = Error::new(act, causes);
    match (want.series(), versions.last()) {
        (Some(series), Some(newest)) => error.hinted(format!(
            "uv python install {series} (Stead finds it then), or set `python = \"{}.{}\"` under [build]",
            newest.0, newest.1
        )),
        (_, Some(newest)) => error.hinted(format!(
            "set `python = \"{}.{}\"` under [build]",
            newest.0, newest.1
        )),
        (_, None) => error.hinted("apt-get install python3"),
    }
}

/// Whether the path is that of a Python of this series by its name alone: `python3.11`,
/// `…/versions/3.11.7/bin/python`, `…/cpython-3.11.7-linux-x86_64-gnu/bin/python3`.
fn promises(path: &Path, series: &str) -> bool {
    path.components().any(|component| {
        let name = component.as_os_str().to_string_lossy();
        let name = name.strip_prefix("python").unwrap_or(&name);
        let name = name.strip_prefix("cpython-").unwrap_or(name);
        name.strip_prefix(series)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
    })
}

/// Every program that may be a Python, the user's default first: `PATH`, pyenv's versions,
/// those that uv manages, the system's.
fn candidates(machine: &Machine) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let pyenv = machine
        .variable("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(machine.home()?.join(".pyenv")));
    for directory in machine.path() {
        if directory.ends_with("shims") {
            // pyenv's shims answer by the directory they are called in. The version that they
            // would choose is asked instead.
            let chosen = pyenv.iter().flat_map(|root| pyenv_default(machine, root));
            found.extend(chosen);
            continue;
        }
        found.extend(in_directory(&directory));
    }
    let data = machine
        .variable("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(machine.home()?.join(".local/share")));
    let managed = machine
        .variable("UV_PYTHON_INSTALL_DIR")
        .map(PathBuf::from)
        .or_else(|| Some(data?.join("uv/python")));
    for root in pyenv
        .map(|root| root.join("versions"))
        .into_iter()
        .chain(managed)
    {
        let Ok(entries) = std::fs::read_dir(root) else {
            continue;
        };
        let mut versions: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        versions.sort();
        found.extend(
            versions
                .into_iter()
                .rev()
                .map(|path| path.join("bin/python3")),
        );
    }
    for directory in ["/usr/local/bin", "/usr/bin"] {
        found.extend(in_directory(Path::new(directory)));
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|path| is_executable(path) && seen.insert(path.clone()));
    found
}

fn pyenv_default(machine: &Machine, root: &Path) -> Vec<PathBuf> {
    let text = match machine.variable("PYENV_VERSION") {
        Some(text) => text.replace(':', " "),
        None => std::fs::read_to_string(root.join("version")).unwrap_or_default(),
    };
    text.split_whitespace()
        .map(|name| root.join("versions").join(name).join("bin/python3"))
        .collect()
}

/// `python3`, `python`, then `python3.X`, newest first.
fn in_directory(directory: &Path) -> Vec<PathBuf> {
    let mut numbered: Vec<(u32, PathBuf)> = std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let minor = name.to_str()?.strip_prefix("python3.")?.parse().ok()?;
            Some((minor, entry.path()))
        })
        .collect();
    numbered.sort_by_key(|(minor, _)| std::cmp::Reverse(*minor));
    ["python3", "python"]
        .iter()
        .map(|name| directory.join(name))
        .chain(numbered.into_iter().map(|(_, path)| path))
        .collect()
}

/// What interpreters answered before, by path, size and time of change.
#[derive(Default)]
struct Known {
    file: PathBuf,
    answers: BTreeMap<String, Answer>,
    changed: bool,
}

#[derive(Clone, Serialize, Deserialize)]
struct Answer {
    stamp: String,
    /// `None`: it is no Python 3, or does not run.
    found: Option<Interpreter>,
}

impl Known {
    fn load(file: &Path) -> Self {
        let answers = std::fs::read(file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Self {
            file: file.to_owned(),
            answers,
            changed: false,
        }
    }

    fn ask(&mut self, path: &Path) -> Option<Interpreter> {
        let stamp = stamp(path)?;
        let name = path.to_str()?.to_owned();
        if let Some(answer) = self.answers.get(&name) {
            let still_there = answer
                .found
                .as_ref()
                .is_none_or(|found| is_executable(&found.program));
            if answer.stamp == stamp && still_there {
                return answer.found.clone();
            }
        }
        let found = ask(path);
        self.changed = true;
        self.answers.insert(
            name,
            Answer {
                stamp,
                found: found.clone(),
            },
        );
        found
    }

    /// Losing this file costs a second; failing to write it is no failure.
    fn save(&self) {
        if !self.changed {
            return;
        }
        let Some(directory) = self.file.parent() else {
            return;
        };
        // Looking (`stead check`) leaves no trace where nothing was built yet.
        if !directory.parent().is_some_and(Path::is_dir) {
            return;
        }
        let _ = std::fs::create_dir_all(directory);
        let Ok(bytes) = serde_json::to_vec(&self.answers) else {
            return;
        };
        if let Ok(mut file) = tempfile::NamedTempFile::new_in(directory)
            && std::io::Write::write_all(&mut file, &bytes).is_ok()
        {
            let _ = file.persist(&self.file);
        }
    }
}

fn stamp(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    let changed = found.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!(
        "{} {} {}",
        found.ino(),
        found.len(),
        changed.as_nanos()
    ))
}

fn ask(path: &Path) -> Option<Interpreter> {
    let output = Command::new(path)
        .args(["-I", "-c", QUESTION])
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    parse_answer(&String::from_utf8_lossy(&output.stdout))
}

fn parse_answer(text: &str) -> Option<Interpreter> {
    let mut lines = text.lines();
    let program = PathBuf::from(lines.next()?);
    let mut numbers = lines.next()?.split(' ').map(str::parse);
    let mut number = || numbers.next()?.ok();
    let version = Version(number()?, number()?, number()?);
    let implementation = lines.next()?.to_owned();
    let missing = lines.next().unwrap_or_default();
    Some(Interpreter {
        program,
        version,
        implementation,
        missing: missing.split_whitespace().map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests;
