//! Running a program, and an error that says what it was and what it printed.

use std::ffi::{OsStr, OsString};
use std::process::{Command, Output, Stdio};

/// Run to the end. Standard output, or why not.
pub(crate) fn run(
    program: &str,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<String, String> {
    let arguments: Vec<OsString> = arguments
        .into_iter()
        .map(|a| a.as_ref().to_owned())
        .collect();
    let output = Command::new(program)
        .args(&arguments)
        // Programs of administrators are not on everybody's PATH.
        .env("PATH", path())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run `{program}`: {error}"))?;
    done(&shown(program, &arguments), &output)
}

/// Standard output of what ended well.
pub(crate) fn done(what: &str, output: &Output) -> Result<String, String> {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "`{what}` ended with {}: {said}{complaint}",
        output.status
    ))
}

/// As a person would type it, more or less.
fn shown(program: &str, arguments: &[OsString]) -> String {
    let mut text = program.to_owned();
    for argument in arguments {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// `PATH` with the directories of administrators.
pub(crate) fn path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
