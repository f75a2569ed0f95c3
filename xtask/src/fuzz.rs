//! `cargo xtask fuzz`: every target of `fuzz/` for a while. Not a part of `test`: it needs a nightly
//! compiler and cargo-fuzz, and is never done.

use std::fs;
use std::path::{Path, PathBuf};
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
        let corpora = corpora(root, target);
        if let Some(Err(error)) = corpora.first().map(fs::create_dir_all) {
            eprintln!("error: cannot make the corpus of {target}: {error}");
            return ExitCode::FAILURE;
        }
        let status = Command::new("cargo")
            .args(["+nightly", "fuzz", "run", target])
            .args(&corpora)
            .arg("--")
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

/// Where libFuzzer begins: what it found itself, which it writes to the first directory, and the seeds.
fn corpora(root: &Path, target: &str) -> Vec<PathBuf> {
    let own = root.join("fuzz/corpus").join(target);
    let seeds = root.join("fuzz/seeds").join(target);
    let seeds = seeds.is_dir().then_some(seeds);
    std::iter::once(own).chain(seeds).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_and_never_written_to() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for entry in fs::read_dir(root.join("fuzz/seeds")).unwrap() {
            let target = entry.unwrap().file_name().into_string().unwrap();
            assert!(
                targets(&root).contains(&target),
                "fuzz/seeds/{target} has no target"
            );
            let corpora = corpora(&root, &target);
            assert_eq!(corpora[0], root.join("fuzz/corpus").join(&target));
            assert_eq!(corpora[1], root.join("fuzz/seeds").join(&target));
        }
        assert_eq!(corpora(&root, "without_seeds").len(), 1);
    }
}
