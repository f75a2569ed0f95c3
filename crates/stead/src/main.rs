//! The program `stead`: verbs, what a person sees, and the wiring of roles.
//!
//! Owns the command line ([`cli`]), everything that is printed ([`render`]) and the role `up`
//! ([`up`]), in which agent and edge share one process. It decides nothing about instances or
//! requests: that is the agent's and the edge's.

mod cli;
mod problem;
mod render;
mod source;
mod up;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
