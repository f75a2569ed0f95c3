//! `cargo xtask soak`: tests that count, at length. CI runs the same ones briefly.

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
    /// Certificates are replaced, in each way that there is, while visitors shake hands.
    Handshakes {
        /// How many handshakes.
        #[arg(long, default_value_t = 100_000)]
        count: usize,
    },
    /// `stead up --public` is started again and again with a hundred hosts, whose certificates are from an authority that
    /// refuses half of all nonces, and again with another authority, Caddy.
    Restarts {
        /// How often.
        #[arg(long, default_value_t = 50)]
        count: usize,
    },
    /// `stead up --public` starts with many certificates: how long that takes, and in how much memory.
    Certificates {
        /// How many.
        #[arg(long, default_value_t = 10_000)]
        count: usize,
    },
}

/// Run one of them; it prints what it counted, and fails if anything was lost.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> ExitCode {
    let (package, tests, count): (_, &[&str], _) = match arguments.what {
        What::Upgrades { count } => (
            "stead",
            &["upgrading::no_request_is_lost_in_self_upgrades"],
            count,
        ),
        What::Tables { count } => (
            "stead",
            &["upgrading::no_request_is_lost_in_table_updates_even_across_upgrades"],
            count,
        ),
        What::Handshakes { count } => (
            "stead-edge",
            &["tls::handshakes::no_handshake_fails_while_certificates_are_replaced"],
            count,
        ),
        What::Restarts { count } => (
            "stead",
            &[
                "certificates::many::a_hundred_hosts_come_in_one_order_and_restarts_order_nothing",
                "certificates::caddy::another_authority_gives_certificates_in_the_same_way",
            ],
            count,
        ),
        What::Certificates { count } => (
            "stead",
            &["certificates::many::certificates_by_the_thousand_are_shown_from_the_start"],
            count,
        ),
    };
    let status = Command::new(env!("CARGO"))
        .args(["test", "--release", "--package", package, "--test", "it"])
        .args(["--", "--exact", "--nocapture"])
        .args(tests)
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
