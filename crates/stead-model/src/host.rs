//! A host, as it is set up: what was found there, what Stead owns there, and the steps from one to the other.
//!
//! The laptop asks `stead api look` on the host for [`Facts`], decides with [`plan()`] and shows the [`Step`]s; after
//! consent `stead api set-up` looks again, decides again by the same function, and carries out. All of it travels as JSON over standard
//! input and output of a program that the user's own ssh runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

mod plan;
mod units;

pub use plan::{Objection, Step, objections, plan, remarks};
pub use units::{FILES, File, TLS_SOCKET, UNITS, Unit};

/// Raised when an older program would misunderstand what is asked of it. What it does not know in a message that
/// it does understand is passed over.
pub const PROTOCOL: u32 = 1;

/// Where the program is on a host. On everybody's `PATH`, so that `ssh HOST stead` finds it.
pub const BINARY: &str = "/usr/local/bin/stead";
/// Whose the edge is.
pub const EDGE_USER: &str = "stead-edge";
/// What outlives the program.
pub const STATE: &str = "/var/lib/stead";
/// Apps, a directory for each.
pub const APPS: &str = "/var/lib/stead/apps";
/// Access lines.
pub const LOGS: &str = "/var/log/stead";
/// Sockets of those that run.
pub const RUN: &str = "/run/stead";
/// Where an agent answers.
pub const AGENT_SOCKET: &str = "/run/stead/agent.sock";
/// Where an edge says what it has counted.
pub const EDGE_METRICS: &str = "/run/stead-edge/metrics.sock";
/// Where an edge answers.
pub const EDGE_SOCKET: &str = "/run/stead/edge.sock";
/// Where visitors connect, plainly and over TLS.
pub const PORTS: [u16; 2] = [80, 443];

/// The longest name of a user with that of a host, bytes.
const LONGEST_TARGET: usize = 320;

/// Whether it is a host as ssh takes it, `HOST` or `USER@HOST`. Only letters, digits and the signs that names and addresses have are: what
/// ssh puts them into (`ProxyCommand`, `Match exec`) may be a shell.
pub fn is_target(text: &str) -> bool {
    let (user, host) = match text.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, text),
    };
    let name = |text: &str, signs: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || signs.contains(c);
        !text.is_empty() && !text.starts_with('-') && text.chars().all(plain)
    };
    user.is_none_or(|user| name(user, "._-+")) && name(host, "._-:") && text.len() <= LONGEST_TARGET
}

/// What a host is, and what of Stead is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// [`PROTOCOL`] of the program that looked.
    pub protocol: u32,
    /// Its version.
    pub version: String,
    /// What the host calls itself.
    pub name: String,
    /// `Debian GNU/Linux 12 (bookworm)`.
    pub system: String,
    /// As `uname -m` says.
    pub architecture: String,
    /// Processors that may be used.
    pub cpus: u32,
    /// Bytes.
    pub memory: u64,
    /// Bytes that are free where [`STATE`] is or will be.
    pub disk_free: u64,
    /// Its version. `None`: something else is in charge of this machine.
    pub systemd: Option<u32>,
    /// What installs packages: `apt`, `dnf`, ….
    pub packages: Option<String>,
    /// Seconds since 1970, by the host's clock.
    pub clock: i64,
    /// Who listens on [`PORTS`], Stead's own sockets included.
    pub listeners: Vec<Listener>,
    /// What of Stead is there.
    pub found: Found,
}

/// Who listens on a port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listener {
    /// The port.
    pub port: u16,
    /// The program's name, when it could be found out.
    pub program: Option<String>,
    /// Its process.
    pub pid: Option<i32>,
    /// The unit that it belongs to.
    pub unit: Option<String>,
    /// The package that the program came with.
    pub package: Option<String>,
}

/// What of Stead is on a host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Found {
    /// SHA-256 of [`BINARY`], in hexadecimal digits.
    pub binary: Option<String>,
    /// Those of [`FILES`] that are there: path → content.
    pub files: BTreeMap<String, String>,
    /// Users of ours that exist.
    pub users: BTreeSet<String>,
    /// [`RUN`] and [`STATE`], if they are directories.
    pub directories: BTreeSet<String>,
    /// Those of [`UNITS`] that systemd knows.
    pub units: BTreeMap<String, UnitState>,
    /// [`STATE`] holds something.
    pub data: bool,
}

/// How a unit is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnitState {
    /// Started when the machine boots.
    pub enabled: bool,
    /// It runs, or listens.
    pub active: bool,
    /// systemd has read an older file than the one that is there.
    pub stale: bool,
    /// What its process runs is the file that is [`BINARY`] now. `true` for a unit without a process.
    pub current: bool,
    /// What systemd says about it: `active`, `failed`, `inactive`, ….
    pub says: String,
}

/// What `stead api set-up` is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SetUp {
    /// [`PROTOCOL`] of the one who asks.
    pub protocol: u32,
    /// What the person has consented to. Nothing is done when something else would have to be.
    pub steps: Vec<Step>,
}

/// What `stead api take-down` is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TakeDown {
    /// [`PROTOCOL`] of the one who asks.
    pub protocol: u32,
    /// [`STATE`] and [`LOGS`] go too.
    pub data: bool,
}

/// A line of the answer of `stead api set-up` and `stead api take-down`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// This was done, in so many milliseconds.
    Done {
        /// What, for a person.
        what: String,
        /// How long it took.
        milliseconds: u64,
    },
    /// It did not come further.
    Failed {
        /// The act, for a person.
        act: String,
        /// Why, outermost first.
        causes: Vec<String>,
    },
    /// Everything was done.
    Finished,
}

#[cfg(test)]
mod tests;
