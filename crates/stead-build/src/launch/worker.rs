//! Stead's own WSGI worker: one file and its native part, embedded in the binary, written below the state directory.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::hash::Key;

const WORKER: &str = include_str!("../../worker/stead_worker.py");
/// What the worker looks for beside itself; empty where it could not be compiled.
const NATIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stead_native.so"));

/// Where the worker of this Stead is or would be. Named by its content, so that an instance started
/// by an older Stead keeps the files that it runs.
pub(super) fn path(state: &Path) -> PathBuf {
    let key = Key::new("worker").with("file", WORKER);
    let name = key.with("native", NATIVE).finish();
    state.join("worker").join(name).join("stead_worker.py")
}

/// The worker's files, written when they are not there yet.
pub(super) fn write(state: &Path) -> Result<PathBuf, Error> {
    let path = path(state);
    if !NATIVE.is_empty() {
        write_file(&path.with_file_name("stead_native.so"), NATIVE)?;
    }
    write_file(&path, WORKER.as_bytes())?;
    Ok(path)
}

fn write_file(path: &Path, content: &[u8]) -> Result<(), Error> {
    if std::fs::read(path).is_ok_and(|found| found == content) {
        return Ok(());
    }
    let directory = path.parent().unwrap_or(path);
    let failed = |error: std::io::Error| {
        Error::new(
            "cannot write Stead's worker",
            vec![format!("`{}`: {error}", directory.display())],
        )
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    // Renamed into place: a library that is in use must never change. Instances may be another user's.
    let readable = Permissions::from_mode(0o644);
    let mut file = tempfile::Builder::new()
        .permissions(readable)
        .tempfile_in(directory)
        .map_err(failed)?;
    std::io::Write::write_all(&mut file, content).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// The worker compiled by `python`, which spares each instance two megabytes that a compiler leaves
/// behind. Where that does not work, the file as it is.
pub(super) fn compiled(worker: PathBuf, python: &Path, interpreter: &str) -> PathBuf {
    let name = Key::new("bytecode")
        .with("interpreter", interpreter)
        .finish();
    let compiled = worker.with_file_name(format!("stead_worker.{name}.pyc"));
    if compiled.exists() {
        return compiled;
    }
    // `compile` writes a temporary file and renames it.
    const LINE: &str =
        "import py_compile, sys; py_compile.compile(sys.argv[1], sys.argv[2], doraise=True)";
    let run = std::process::Command::new(python)
        .args(["-I", "-c", LINE])
        .args([&worker, &compiled])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    match run {
        Ok(status) if status.success() && compiled.exists() => compiled,
        _ => worker,
    }
}

#[cfg(test)]
mod tests;
