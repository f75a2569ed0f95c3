//! Programs of the host: given words, never lines.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use crate::spawn::io_text;

/// Standard output of a program that ended well, else why not, in the program's own words.
pub(crate) fn run(
    program: &str,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        // What it says is read, so it is said in one language; and sbin is not on every PATH.
        .env("LC_ALL", "C")
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run `{program}`: {}", io_text(&error)))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    Err(match (last, output.status.code()) {
        (Some(line), _) => format!("`{program}` says: {line}"),
        (None, Some(code)) => format!("`{program}` ended with exit status {code}"),
        (None, None) => format!("`{program}` was killed"),
    })
}
