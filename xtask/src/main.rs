//! The workspace's own tasks: `cargo xtask test`, `tidy`, `bench` and the like. Runs on a
//! developer's machine and in CI; nothing in here is shipped.

// A task is a program for a terminal: it prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod fuzz;
mod lab;
mod reference;
mod setup;
mod soak;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

/// The command line of `cargo xtask`.
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", about, version)]
pub(crate) enum Task {
    /// Everything that CI checks: format, lints, tidy, documentation, all tests.
    Test(test::Arguments),
    /// The house rules that no compiler knows: sizes, arrows, words, links, examples.
    Tidy,
    /// Measure Stead beside what users would pick instead; writes bench/RESULTS.md.
    Bench(bench::Arguments),
    /// Each parser of hostile input against input that nobody thought of; needs cargo-fuzz.
    Fuzz(fuzz::Arguments),
    /// What is tested on real machines: systemd, ssh, faults.
    Lab(lab::Arguments),
    /// Tests that count lost requests, at length.
    Soak(soak::Arguments),
    /// Write docs/stead-toml.md anew from the types.
    Reference,
}

fn main() -> ExitCode {
    let root = root();
    match Task::parse() {
        Task::Test(arguments) => test::run(&root, &arguments),
        Task::Tidy => tidy::run(&root),
        Task::Bench(arguments) => bench::run(&root, &arguments),
        Task::Fuzz(arguments) => fuzz::run(&root, &arguments),
        Task::Lab(arguments) => lab::run(&root, &arguments),
        Task::Soak(arguments) => soak::run(&root, &arguments),
        Task::Reference => write_reference(&root),
    }
}

fn write_reference(root: &Path) -> ExitCode {
    match reference::write(root) {
        Ok(changed) => {
            println!(
                "docs/stead-toml.md {}",
                if changed {
                    "has changed"
                } else {
                    "is up to date"
                }
            );
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("error: cannot write the reference\n  cause: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's top directory.
fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}
