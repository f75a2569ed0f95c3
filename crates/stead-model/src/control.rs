//! What travels over the edge's control socket: one JSON value a line, both ways.
//!
//! A client sends [`Hello`]; the edge answers with one [`Answer`]. After [`Answer::Welcome`] the agent
//! sends `EdgeCommand` lines and the edge `EdgeEvent` lines, until either closes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::routing::InstanceId;

/// Raised when an older program would misunderstand a message. What it does not know in a message that it
/// does understand is passed over.
pub const PROTOCOL: u32 = 1;

/// The longest line, bytes: a table of some hundred thousand hosts. Whoever sends more is cut off.
pub const LONGEST_LINE: usize = 64 << 20;

/// A client's first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the client.
    pub protocol: u32,
    /// What it wants.
    pub wish: Wish,
}

/// What a client of the control socket wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// To be the agent. There is one: whoever was it before is disconnected.
    Agent,
    /// To know how the edge is.
    Status,
    /// That the edge is replaced by another program.
    Upgrade {
        /// The program, an absolute path.
        binary: PathBuf,
        /// It must be ready after this time.
        within: Duration,
    },
}

/// The edge's first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The client is the agent now.
    Welcome(Welcome),
    /// How the edge is.
    Status(Box<Status>),
    /// Another program serves; the one before drains.
    Upgraded {
        /// Process id of the program that serves now.
        pid: u32,
        /// Its version.
        version: String,
        /// Process id of the program that drains.
        previous: u32,
    },
    /// Nothing was done.
    Refused {
        /// Why, outermost first.
        causes: Vec<String>,
    },
}

/// What an agent must know that has just started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`PROTOCOL`] of the edge.
    pub protocol: u32,
    /// The edge's version.
    pub version: String,
    /// Of the table in force, if there is one.
    pub generation: Option<u64>,
    /// Instances that left the table and have requests yet: `Drained` follows for each. Every other
    /// one that is not in the table has none.
    pub leaving: Vec<InstanceId>,
}

/// How the edge is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The program that accepts visitors.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// How long it has been serving, seconds.
    pub serving_seconds: u64,
    /// Where visitors connect.
    pub listens: Vec<SocketAddr>,
    /// Where they connect over TLS.
    #[serde(default)]
    pub listens_tls: Vec<SocketAddr>,
    /// How many certificates it was given.
    #[serde(default)]
    pub certificates: usize,
    /// Of the table in force, if there is one.
    pub generation: Option<u64>,
    /// How many routes the table has.
    pub routes: usize,
    /// And how many instances.
    pub instances: usize,
    /// Instances that left the table and have requests yet.
    pub leaving: Vec<InstanceId>,
    /// An agent is connected.
    pub agent: bool,
    /// Connections of visitors.
    pub connections: usize,
    /// Requests at instances, upgraded connections included.
    #[serde(default)]
    pub requests: u32,
    /// What is wrong with files that the table names, a sentence each.
    #[serde(default)]
    pub problems: Vec<String>,
    /// Programs that were replaced and finish what they have.
    pub draining: Vec<Draining>,
}

/// A program that was replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draining {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Visitors' connections that it still has.
    pub connections: usize,
}
