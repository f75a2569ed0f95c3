//! Programs that a task needs from the system, and how to get them.

use std::env;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program and the Debian package that has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    /// What must be found: a name on `PATH`, or an absolute path to a file.
    pub(crate) program: &'static str,
    /// What to install when it is not.
    pub(crate) package: &'static str,
}

/// A [`Need`] in one line.
pub(crate) const fn need(program: &'static str, package: &'static str) -> Need {
    Need { program, package }
}

/// Install what is missing when we may, else say how. `Err` is for a person.
pub(crate) fn ensure(needs: &[Need]) -> Result<(), String> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let packages = packages(&missing);
    if rustix::process::geteuid().is_root() && find("apt-get").is_some() {
        println!("installing {}", packages.join(" "));
        // An outdated list of packages is worth a try, so a failed update is not the end.
        apt(&["update", "-qq"]);
        let mut install = vec!["install", "-qq", "-y", "--no-install-recommends"];
        install.extend(&packages);
        apt(&install);
    }
    let missing = self::missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let mut message = String::from("missing on this machine:");
    for need in &missing {
        let _ = write!(message, " `{}`", need.program);
    }
    let _ = write!(
        message,
        "\nhint: sudo apt-get install {}",
        self::packages(&missing).join(" ")
    );
    Err(message)
}

/// Where `program` is, looked up as a shell would.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        let path = PathBuf::from(program);
        return path.exists().then_some(path);
    }
    search_path()
        .map(|dir| dir.join(program))
        .find(|path| is_executable(path))
}

/// The directories of `PATH`, and `/usr/sbin`, where servers live and users do not look.
pub(crate) fn search_path() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = env::split_paths(&path).collect();
    dirs.push("/usr/sbin".into());
    dirs.into_iter()
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn missing(needs: &[Need]) -> Vec<Need> {
    needs
        .iter()
        .copied()
        .filter(|need| find(need.program).is_none())
        .collect()
}

fn packages(needs: &[Need]) -> Vec<&'static str> {
    let mut packages: Vec<&str> = needs.iter().map(|need| need.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn apt(arguments: &[&str]) {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status();
    if !status.is_ok_and(|status| status.success()) {
        eprintln!("apt-get {} did not succeed", arguments.join(" "));
    }
}
