//! What is asked of an agent, over its socket: one JSON value a line, both ways. `ssh HOST stead api` carries it to the laptop.

use serde::{Deserialize, Serialize};

use crate::control;

/// Raised when an older program would misunderstand a message. What it does not know in a message that it
/// does understand is passed over.
pub const PROTOCOL: u32 = 1;

/// The longest question, bytes. Whoever sends more is cut off.
pub const LONGEST_QUESTION: usize = 64 << 10;

/// One line of a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// [`PROTOCOL`] of the client.
    pub protocol: u32,
    /// What it wants.
    pub wish: Wish,
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// To know how the agent is, and its edge.
    Status,
}

/// The line that each question is answered with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// How the agent is.
    Status(Box<Status>),
    /// Nothing was done.
    Refused {
        /// Why, outermost first.
        causes: Vec<String>,
    },
}

/// How an agent is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`PROTOCOL`] of the agent.
    pub protocol: u32,
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// How long it has been running, seconds.
    pub running_seconds: u64,
    /// How its edge is, or why it could not be asked.
    pub edge: Result<control::Status, Vec<String>>,
}

#[cfg(test)]
mod tests;
