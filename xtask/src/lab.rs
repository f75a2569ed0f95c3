//! `cargo xtask lab`: what is tested on real machines. The tests of CI run the same, briefly.

use std::path::Path;
use std::process::{Command, ExitCode};

use clap::Args;

use crate::setup::{self, Need, need};

/// What machines are made with.
const NEEDS: [Need; 6] = [
    need("systemd-nspawn", "systemd-container"),
    need("debootstrap", "debootstrap"),
    need("ip", "iproute2"),
    need("mkfs.ext4", "e2fsprogs"),
    need("ssh", "openssh-client"),
    need("ssh-keygen", "openssh-client"),
];

/// The arguments of `cargo xtask lab`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// As often and as long as the claims in the documents are meant, rather than briefly.
    #[arg(long)]
    long: bool,

    /// Words that the names of tests must contain.
    filter: Option<String>,
}

/// Install what machines are made with, where a lab can be: as root, on Debian. Elsewhere the tests say why they are skipped.
pub(crate) fn prepare() -> Result<(), String> {
    match rustix::process::geteuid().is_root() && setup::find("apt-get").is_some() {
        true => setup::ensure(&NEEDS),
        false => Ok(()),
    }
}

/// Run the lab's tests.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> ExitCode {
    if let Err(message) = prepare() {
        eprintln!("{message}");
        return ExitCode::FAILURE;
    }
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["test", "--package", "lab", "--package", "stead"])
        .args(["--test", "machines", "--test", "lab"])
        .args(&arguments.filter)
        .current_dir(root);
    if arguments.long {
        command.env("STEAD_LAB_LONG", "1");
    }
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: cannot run cargo\n  cause: {error}");
            ExitCode::FAILURE
        }
    }
}
