//! `build.packages`: packages of the operating system. They are checked, never installed: that
//! needs rights that a build does not have.

use std::process::{Command, Stdio};

use crate::Error;
use crate::machine::Machine;

/// Those of `packages` that are not installed. Empty as well where there is no dpkg to ask.
pub(crate) fn missing(machine: &Machine, packages: &[String]) -> Vec<String> {
    let Some(dpkg) = machine
        .program("dpkg-query")
        .filter(|_| !packages.is_empty())
    else {
        return Vec::new();
    };
    let output = Command::new(dpkg)
        .args([
            "--show",
            "--showformat",
            "${Package} ${db:Status-Status}\n",
            "--",
        ])
        .args(packages)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let Ok(output) = output else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&output.stdout);
    packages
        .iter()
        .filter(|wanted| {
            let name = wanted.split([':', '=']).next().unwrap_or(wanted);
            !text.lines().any(|line| line == format!("{name} installed"))
        })
        .cloned()
        .collect()
}

/// An error when something of `packages` is missing.
pub(crate) fn require(machine: &Machine, packages: &[String]) -> Result<(), Error> {
    let missing = missing(machine, packages);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        "cannot build without system packages",
        vec![format!(
            "`build.packages` names {}, not installed here",
            missing.join(", ")
        )],
    )
    .hinted(hint(&missing)))
}

/// The command that installs them.
pub(crate) fn hint(missing: &[String]) -> String {
    format!("sudo apt-get install {}", missing.join(" "))
}
