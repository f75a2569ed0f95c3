//! `cargo xtask lab`: what is tested on real machines. The tests of CI run the same, briefly.

use std::fs;
use std::io;
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
    let figures = root.join("target/lab-figures");
    if arguments.long {
        // A part of the tests replaces its own rows.
        let ready = match arguments.filter {
            Some(_) => fs::create_dir_all(&figures),
            None => empty(&figures),
        };
        if let Err(error) = ready {
            eprintln!(
                "error: cannot prepare `{}`\n  cause: {error}",
                figures.display()
            );
            return ExitCode::FAILURE;
        }
        command.env("STEAD_LAB_LONG", "1");
        command.env("STEAD_LAB_FIGURES", &figures);
    }
    match command.status() {
        Ok(status) if status.success() => match arguments.long {
            true => write(root, &figures),
            false => ExitCode::SUCCESS,
        },
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: cannot run cargo\n  cause: {error}");
            ExitCode::FAILURE
        }
    }
}

fn empty(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::create_dir_all(dir),
    }
}

/// What the tests reached, a row each, in the order of their names.
fn write(root: &Path, figures: &Path) -> ExitCode {
    let written = rows(figures).and_then(|rows| {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        // Whatever else ran there made what is timed longer (proc_loadavg(5)).
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default();
        let text = format!(
            "# Hosts\n\nWritten by `cargo xtask lab --long`; not edited by hand.\n\n\
             Machines of `crates/lab` on a machine of {cpus} CPUs, which the visitors and the laptop run on, too; its load was {load} at the end. \
             The program is the one that `STEAD_LAB_PROGRAM` names, else the one that was built with the tests, which is not optimized.\n\n\
             | what | goal | reached |\n|---|---|---|\n{rows}"
        );
        fs::write(root.join("bench/HOSTS.md"), text)
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot write `bench/HOSTS.md`\n  cause: {error}");
            ExitCode::FAILURE
        }
    }
}

fn rows(figures: &Path) -> io::Result<String> {
    let mut files: Vec<_> = fs::read_dir(figures)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    files.sort();
    files.iter().map(fs::read_to_string).collect()
}
