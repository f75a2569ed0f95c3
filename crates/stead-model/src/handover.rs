//! What an edge and the program that takes its place say to each other, one JSON value a line.
//!
//! ```text
//! old → new   Hello                            what it is asked to take over
//! new → old   Ready | Refused                  it could: its table is in force, it accepts nobody yet
//! old → new   Take, and the descriptors        from here on the old one is silent towards the agent
//! new → old   Serving | Refused                it accepts visitors
//! old → new   Go                               the agent is its now; the old one drains
//! old → new   Event, Report …                  as long as the old one has requests
//! new → old   Publish, Elsewhere …
//! ```
//!
//! Until `Serving` has come, a failure of the new one changes nothing. The descriptors that go
//! with `Take`, in this order: the listening sockets, the control socket, the agent's
//! connection if there is one, the connections to the predecessors.

use serde::{Deserialize, Serialize};

use crate::certificates::CertificateTable;
use crate::messages::{EdgeEvent, HttpChallenges};
use crate::routing::{InstanceId, RoutingTable};

/// Raised when a program of another version could not take over. Both sides state theirs.
pub const PROTOCOL: u32 = 1;

/// From the edge that is replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(
    clippy::large_enum_variant,
    reason = "the first message is the largest, and there is one of it"
)]
pub enum FromOld {
    /// The first line.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Its version.
        version: String,
        /// The table in force.
        table: Option<RoutingTable>,
        /// The certificates in force.
        #[serde(default)]
        certificates: Option<CertificateTable>,
    },
    /// Serve.
    Take(Box<Estate>),
    /// It is settled.
    Go,
    /// What the agent is to be told.
    Event(EdgeEvent),
    /// How far it has drained.
    Report(Report),
}

/// From the one that replaces it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromNew {
    /// It could serve.
    Ready {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Its version.
        version: String,
        /// Its process id.
        pid: u32,
    },
    /// It cannot.
    Refused {
        /// Why, for a person.
        why: String,
    },
    /// It accepts visitors.
    Serving,
    /// The table for whatever comes over connections that the old one still has.
    Publish(RoutingTable),
    /// How many requests others have at each instance.
    Elsewhere(Vec<(InstanceId, u32)>),
}

/// Everything that an edge leaves to the next one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estate {
    /// The table in force.
    pub table: Option<RoutingTable>,
    /// The certificates in force.
    #[serde(default)]
    pub certificates: Option<CertificateTable>,
    /// What certificate authorities are answered.
    #[serde(default)]
    pub challenges: Option<HttpChallenges>,
    /// How many listening sockets there are.
    pub listeners: usize,
    /// So many of them, the last ones, are for TLS.
    #[serde(default)]
    pub tls_listeners: usize,
    /// The connection of the agent, if there is one.
    pub agent: Option<Pending>,
    /// Who drains: first the old one itself, whose connection is the one that carries this.
    pub predecessors: Vec<Predecessor>,
}

/// Bytes of a connection that is passed on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// Read, and not yet a line.
    pub input: Vec<u8>,
    /// Not yet written.
    pub output: Vec<u8>,
}

/// A program that drains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predecessor {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Instances that it may have requests at.
    pub holds: Vec<InstanceId>,
    /// It did not take a table: it holds all of these until it has ended.
    pub pinned: bool,
    /// How far it has drained.
    pub report: Report,
    /// Of its connection.
    pub pending: Pending,
}

/// How far an edge has drained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Requests that it has at each instance.
    pub busy: Vec<(InstanceId, u32)>,
    /// Connections of visitors.
    pub connections: usize,
    /// No connection that it has can bring a further request to an instance.
    pub settled: bool,
}
