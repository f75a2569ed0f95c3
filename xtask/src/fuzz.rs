//! `cargo xtask fuzz`: every target of `fuzz/` for a while. Not a part of `test`: it needs a nightly
//! compiler and cargo-fuzz, and is never done.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use clap::Args;

/// The arguments of `cargo xtask fuzz`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A target of `fuzz/fuzz_targets`. Default: each in turn.
    target: Option<String>,
    /// For how long each.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// The task.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> ExitCode {
    let targets: Vec<String> = match &arguments.target {
        Some(target) => vec![target.clone()],
        None => targets(root),
    };
    let mut failed = Vec::new();
    for target in &targets {
        println!("── {target}");
        // Without `CARGO`, which names this toolchain's cargo, rustup picks the nightly one.
        let status = Command::new("cargo")
            .args(["+nightly", "fuzz", "run", target, "--"])
            .arg(format!("-max_total_time={}", arguments.seconds))
            .current_dir(root)
            .env_remove("CARGO")
            .env_remove("RUSTUP_TOOLCHAIN")
            .stdin(Stdio::null())
            .status();
        if !status.is_ok_and(|status| status.success()) {
            failed.push(target.as_str());
        }
    }
    if failed.is_empty() {
        println!("{} targets, no finding", targets.len());
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "error: {} did not pass\nhint: cargo install cargo-fuzz && rustup toolchain install nightly",
        failed.join(", ")
    );
    ExitCode::FAILURE
}

fn targets(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("fuzz/fuzz_targets"));
    let mut targets: Vec<String> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_suffix(".rs")
                .map(str::to_owned)
        })
        .collect();
    targets.sort();
    targets
}
