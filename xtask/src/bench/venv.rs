//! The environment of those peers that come from PyPI.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::server::Places;

/// The system's Python: uwsgi's plugin is built for it, and all peers are to run on the same.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// Make it, unless it is there and of the same requirements.
pub(crate) fn ensure(places: &Places) -> Result<(), String> {
    let wanted = places.bench.join("requirements.txt");
    let installed = places.venv.join("requirements.txt");
    let text =
        fs::read(&wanted).map_err(|error| format!("cannot read {}: {error}", wanted.display()))?;
    if fs::read(&installed).is_ok_and(|have| have == text) {
        return Ok(());
    }
    println!("installing the peers of {}", wanted.display());
    run(Command::new(PYTHON)
        .args(["-m", "venv", "--clear"])
        .arg(&places.venv))?;
    let pip = places.venv.join("bin/pip");
    run(Command::new(pip)
        .args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
        ])
        .arg(&wanted))?;
    write(&installed, &text)
}

fn write(path: &Path, text: &[u8]) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.stdin(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!(
            "{} ended with {status}",
            command.get_program().display()
        )),
        Err(error) => Err(format!(
            "cannot run {}: {error}",
            command.get_program().display()
        )),
    }
}
