//! The program `stead`: verbs, what a person sees, and the wiring of roles.
//!
//! Owns the command line ([`cli`]), everything that is printed ([`render`]), the role `up` ([`up`]), in
//! which agent and edge share one process, what a laptop does with apps on hosts ([`apps`]), and the roles of a host: `edge` ([`edge`]), `agent` and `api` ([`host`]), `build-release` ([`build_release`]). It decides nothing about instances or
//! requests: that is the agent's and the edge's.

#![allow(
    clippy::result_large_err,
    reason = "a problem ends a verb or a load; none is made where speed matters"
)]

mod apps;
mod build_release;
mod cli;
mod edge;
mod host;
mod listener;
mod problem;
mod render;
mod source;
mod up;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
