//! `build.commands`: shell lines that make what the app needs beside its environment (`npm run build`,
//! `flask assets build`).
//!
//! They run again when a file of the source changed that git tracks (or would track), when the
//! environment or the lines themselves changed, or when something that they made at the top of the
//! source is gone. What they make should be ignored by git.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::hash::Key;
use crate::machine::Machine;
use crate::{Error, Progress, child, node, tree};

/// What the lines run with.
#[derive(Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) machine: &'a Machine,
    /// The working directory.
    pub(crate) code: &'a Path,
    /// Where the record of the last run is.
    pub(crate) state: &'a Path,
    /// First on `PATH`.
    pub(crate) path: &'a [PathBuf],
    /// Variables of the release.
    pub(crate) env: &'a BTreeMap<String, String>,
}

/// The shell's exit status for a program that is nowhere.
const NOT_FOUND: i32 = 127;

/// Run the lines, unless nothing changed since they last ran.
pub(crate) fn run(
    lines: &[String],
    setting: &Setting<'_>,
    progress: &dyn Progress,
) -> Result<(), Error> {
    if lines.is_empty() {
        return Ok(());
    }
    if is_done(lines, setting) {
        progress.step("build commands");
        progress.done("unchanged");
        return Ok(());
    }
    let record = record(setting);
    let before = names(setting.code);
    let made_before = made(&record);
    let _ = std::fs::remove_file(&record);
    for line in lines {
        progress.step(line);
        let outcome = child::run(command(line, setting), progress)
            .map_err(|error| failed(line, format!("the shell cannot be run: {error}")))?;
        if !outcome.status.success() {
            let text = outcome.lines.join("\n");
            let missing = (outcome.status.code() == Some(NOT_FOUND))
                .then(|| not_found(&text))
                .flatten();
            let mut error = match (missing, node::why(&text)) {
                (Some(program), _) => lacking(line, program),
                (None, Some((why, hint))) => failed(line, why.into()).hinted(hint),
                (None, None) => failed(line, ended(outcome.status)),
            };
            error.output = outcome.tail(20);
            return Err(error);
        }
        progress.done("");
    }
    let made: Vec<String> = names(setting.code)
        .into_iter()
        .filter(|name| !before.contains(name) || made_before.contains(name))
        .collect();
    // The tree as the lines left it: what they changed in it is no change.
    let content = format!("{}\n{}\n", key(lines, setting), made.join("\n"));
    std::fs::create_dir_all(setting.state)
        .and_then(|()| std::fs::write(&record, content))
        .map_err(|error| failed("", format!("`{}`: {error}", record.display())))
}

/// The program that the shell did not find: `sh: 1: yarn: not found`.
fn not_found(text: &str) -> Option<&str> {
    let line = text
        .lines()
        .rev()
        .find(|line| line.ends_with("not found"))?;
    let (before, _) = line.rsplit_once(':')?;
    let program = before.rsplit(':').next()?.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    (!program.is_empty() && program.chars().all(plain)).then_some(program)
}

fn lacking(line: &str, program: &str) -> Error {
    let error = failed(line, format!("`{program}` is not on this machine"));
    match node::how_to_get(program) {
        Some(hint) => error.hinted(hint),
        None => error,
    }
}

/// A package manager of Node that `line` begins with and that is not there.
pub(crate) fn missing_program(line: &str, setting: &Setting<'_>) -> Option<Error> {
    let program = line.split_whitespace().next()?;
    node::how_to_get(program)?;
    let own = setting.path.iter().any(|path| path.join(program).is_file());
    (!own && setting.machine.program(program).is_none()).then(|| lacking(line, program))
}

/// Whether the lines ran on this very source.
pub(crate) fn is_done(lines: &[String], setting: &Setting<'_>) -> bool {
    let Ok(content) = std::fs::read_to_string(record(setting)) else {
        return false;
    };
    let mut content = content.lines();
    let same = content.next() == Some(key(lines, setting).as_str());
    same && content.all(|made| made.is_empty() || setting.code.join(made).exists())
}

/// What the lines made at the top of the source when they last ran.
fn made(record: &Path) -> Vec<String> {
    let content = std::fs::read_to_string(record).unwrap_or_default();
    content.lines().skip(1).map(str::to_owned).collect()
}

fn record(setting: &Setting<'_>) -> PathBuf {
    setting.state.join("commands")
}

fn key(lines: &[String], setting: &Setting<'_>) -> String {
    let mut key =
        Key::new("commands 1").with("tree", tree::fingerprint(setting.machine, setting.code));
    for line in lines {
        key = key.with("line", line);
    }
    for path in setting.path {
        key = key.with("path", path.as_os_str().as_encoded_bytes());
    }
    for (name, value) in setting.env {
        key = key.with("name", name).with("value", value);
    }
    key.finish()
}

fn names(code: &Path) -> BTreeSet<String> {
    std::fs::read_dir(code)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

fn command(line: &str, setting: &Setting<'_>) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", line])
        .current_dir(setting.code)
        .env_clear()
        .envs(setting.machine.variables())
        .env_remove("PYTHONHOME")
        .env_remove("PYTHONPATH")
        .envs(setting.env)
        .env("PATH", search_path(setting.machine, setting.path));
    command
}

/// `first` and then the machine's own `PATH`.
pub(crate) fn search_path(machine: &Machine, first: &[PathBuf]) -> OsString {
    let all = first.iter().cloned().chain(machine.path());
    std::env::join_paths(all)
        .unwrap_or_else(|_| machine.variable("PATH").unwrap_or_default().into())
}

/// How a program ended, in words.
pub(crate) fn ended(status: std::process::ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit status {code}"),
        (None, Some(signal)) => format!("signal {signal} ended it"),
        (None, None) => "it ended".into(),
    }
}

fn failed(line: &str, why: String) -> Error {
    Error::new(format!("cannot run the build command `{line}`"), vec![why])
}

#[cfg(test)]
mod tests;
