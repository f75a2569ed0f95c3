//! The nouns of Stead, pure: what an app wants, what a release is, what the edge routes.
//!
//! Owns `stead.toml`, the Procfile, releases, plans, hosts, units, routing tables and the messages between laptop and agent,
//! agent and edge, and between an edge and its successor. Runs anywhere. It must never read a file, a clock or a socket, and knows no
//! tokio: everything here is a value, or a function from values to values.

pub mod agent;
pub mod build;
pub mod certificates;
mod config_error;
pub mod control;
pub mod fuzzing;
pub mod handover;
pub mod host;
pub mod htpasswd;
pub mod logs;
pub mod manifest;
pub mod messages;
pub mod mirror;
pub mod network;
pub mod plan;
pub mod procfile;
pub mod push;
pub mod release;
pub mod routing;
pub mod schedule;
pub mod tree;
pub mod units;
pub mod webhook;

pub use config_error::{ConfigError, ConfigErrors};
