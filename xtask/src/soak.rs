//! `cargo xtask soak`: tests that count lost requests, at length. CI runs the same ones briefly.

use std::path::Path;
use std::process::{Command, ExitCode};

use clap::{Args, Subcommand};

/// The arguments of `cargo xtask soak`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The edge replaces itself under load.
    Upgrades {
        /// How often.
        #[arg(long, default_value_t = 200)]
        count: usize,
    },
    /// Tables are replaced under load, and each time the instance that left is killed once it is drained; at every
    /// tenth the edge replaces itself as well.
    Tables {
        /// How often.
        #[arg(long, default_value_t = 1000)]
        count: usize,
    },
}

/// Run one of them; it prints how many requests were answered and lost, and fails if any was lost.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> ExitCode {
    let (test, count) = match arguments.what {
        What::Upgrades { count } => ("no_request_is_lost_in_self_upgrades", count),
        What::Tables { count } => (
            "no_request_is_lost_in_table_updates_even_across_upgrades",
            count,
        ),
    };
    let status = Command::new(env!("CARGO"))
        .args(["test", "--release", "--package", "stead", "--test", "it"])
        .args(["--", "--exact", "--nocapture"])
        .arg(format!("upgrading::{test}"))
        .env("STEAD_SOAK_COUNT", count.to_string())
        .current_dir(root)
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: cannot run cargo\n  cause: {error}");
            ExitCode::FAILURE
        }
    }
}
