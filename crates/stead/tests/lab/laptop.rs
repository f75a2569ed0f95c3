//! The laptop: the program as a person calls it, with a configuration of its own.

use std::ffi::OsString;
use std::process::{Command, Output, Stdio};

use lab::Lab;
use tempfile::TempDir;

/// The program that is tried: the one that was built with the tests, unless another is named.
fn program() -> OsString {
    let built = || OsString::from(env!("CARGO_BIN_EXE_stead"));
    std::env::var_os("STEAD_LAB_PROGRAM").unwrap_or_else(built)
}

/// Someone who works on the machines of a lab.
pub(crate) struct Laptop {
    home: TempDir,
    ssh_config: std::path::PathBuf,
}

/// What a command came to.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Laptop {
    pub(crate) fn of(lab: &Lab) -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            ssh_config: lab.ssh_config(),
        }
    }

    /// `stead host VERB TARGET …`
    pub(crate) fn command(&self, verb: &str, target: &str, options: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(["host", verb, target])
            .arg("--ssh-config")
            .arg(&self.ssh_config)
            .args(options)
            .env("XDG_CONFIG_HOME", self.home.path())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn host(&self, verb: &str, target: &str, options: &[&str]) -> Said {
        Said::of(self.command(verb, target, options).output().unwrap())
    }

    /// `stead VERB …`, for what is deployed.
    pub(crate) fn verb(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(words)
            .arg("--ssh-config")
            .arg(&self.ssh_config)
            .env("XDG_CONFIG_HOME", self.home.path())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// git, in a directory, as a person whose ssh knows the machines.
    pub(crate) fn git(&self, dir: &std::path::Path, words: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(dir)
            .args(words)
            .env(
                "GIT_SSH_COMMAND",
                format!("ssh -F {}", self.ssh_config.display()),
            )
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn ls(&self) -> Said {
        let mut command = Command::new(program());
        command
            .args(["host", "ls"])
            .env("XDG_CONFIG_HOME", self.home.path());
        Said::of(command.output().unwrap())
    }
}

impl Said {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// It went well.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    /// It was refused.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert_eq!(self.code, Some(1), "{}{}", self.out, self.err);
        self.err
    }
}

/// The status that a visitor of this address gets.
pub(crate) fn visit(address: &str) -> String {
    let url = format!("http://{address}/");
    let asked = [
        "--silent",
        "--max-time",
        "10",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
    ];
    let output = Command::new("curl").args(asked).arg(url).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
