//! What is asked of an agent, over its socket: one JSON value a line, both ways. `ssh HOST stead api` carries it to the laptop.
//!
//! Most questions are answered with one line. What takes its time ([`Wish::takes_long`]) is answered with any number of [`Answer::Progress`] and one
//! last line. A client that ends its own side meanwhile has given up, unless its question is [`Question::detached`]: what has not
//! reached visitors yet is undone, and the last line says what came of it.

mod app;
mod check;
mod progress;

use serde::{Deserialize, Serialize};

use crate::certificates::{Listing, Renewal};
use crate::control;

pub use app::{
    AppStatus, CertificateStatus, Deploying, Disk, InstanceState, InstanceStatus, JobStatus,
    ProcessStatus, ReleaseInfo, ReleaseState, Traffic,
};
pub use check::{is_app_name, is_digest, is_process_name};
pub use progress::{Done, Failed, Progress, Stream};

/// Raised when an older program would misunderstand a message. What it does not know in a message that it
/// does understand is passed over; a wish that it does not know it refuses.
pub const PROTOCOL: u32 = 1;

/// The longest question, bytes. Whoever sends more is cut off.
pub const LONGEST_QUESTION: usize = 64 << 10;

/// The longest line of an answer, bytes: the releases of an app, or all apps of a host. A client reads no further.
pub const LONGEST_ANSWER: usize = 8 << 20;

/// Most instances of a process that may be asked for, as in `stead.toml`.
pub const MOST_INSTANCES: u32 = 1000;

/// One line of a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// [`PROTOCOL`] of the client.
    pub protocol: u32,
    /// What it wants.
    pub wish: Wish,
    /// A client that ends its side of the connection has not given up: it has no more to ask.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub detached: bool,
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// To know how the agent is, and its edge.
    Status,
    /// To know how all apps are: [`Answer::Apps`].
    Apps,
    /// That a tree which the host has becomes the release that serves.
    Deploy(Deploy),
    /// That an earlier release serves again, as a new one.
    Rollback {
        /// The app.
        app: String,
        /// The earlier one; `None`: the one that served before the current one.
        to: Option<u64>,
        /// Who wants it.
        #[serde(default)]
        who: String,
    },
    /// To know the releases of an app, the newest first: [`Answer::Releases`].
    Releases {
        /// The app.
        app: String,
    },
    /// That new instances take the place of those that run, of the same release.
    Restart {
        /// The app.
        app: String,
        /// `None`: of every process.
        process: Option<String>,
    },
    /// That so many instances of a process run, whatever its releases say.
    Scale {
        /// The app.
        app: String,
        /// The process.
        process: String,
        /// How many; `None`: as the release says again.
        count: Option<u32>,
    },
    /// To know the certificates of an app's hosts, or all that there are: [`Answer::Certificates`].
    Certificates {
        /// The app; `None`: of all.
        app: Option<String>,
    },
    /// That the certificates of an app come anew, whether or not they are due: [`Answer::Renewals`].
    RenewCertificates {
        /// The app.
        app: String,
        /// For these hosts; none: for all of its routes.
        hosts: Vec<String>,
    },
    /// That a certificate which an authority does not renew is shown: [`Answer::Certificates`], with it alone.
    ImportCertificate(ImportedCertificate),
    /// That an app is no more: instances, releases, units, user.
    Remove {
        /// The app.
        app: String,
        /// Its volumes and secrets, too.
        data: bool,
    },
}

/// A certificate that somebody has.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedCertificate {
    /// PEM, the leaf first.
    pub chain: String,
    /// PEM, not encrypted.
    pub key: String,
}

impl std::fmt::Debug for ImportedCertificate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ImportedCertificate")
            .finish_non_exhaustive()
    }
}

/// What is to be deployed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deploy {
    /// The app.
    pub app: String,
    /// The tree's digest: its listing and every content of it are on the host (`stead api source`).
    pub tree: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Run the release command. `false`: it was run on another host for this deploy.
    #[serde(default = "yes")]
    pub release_command: bool,
}

fn yes() -> bool {
    true
}

/// Who wants a release, and what its code is. For people: nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// `ana@laptop`.
    pub who: String,
    /// The commit's id, hexadecimal digits. `None`: the source is not in git.
    pub commit: Option<String>,
    /// The branch that was checked out.
    pub branch: Option<String>,
    /// The first line of the commit's message.
    pub message: Option<String>,
    /// What was deployed differs from the commit.
    pub dirty: bool,
}

/// A line that a question is answered with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// How the agent is.
    Status(Box<Status>),
    /// All apps, by name.
    Apps(Vec<AppStatus>),
    /// Releases, the newest first.
    Releases(Vec<ReleaseInfo>),
    /// Certificates, and hosts that wait for one.
    Certificates(Box<Listing>),
    /// What came of each host's renewal.
    Renewals(Vec<Renewal>),
    /// What happens meanwhile. More lines follow.
    Progress(Progress),
    /// It was done.
    Done(Box<Done>),
    /// It was begun, and is not done.
    Failed(Box<Failed>),
    /// Nothing was done.
    Refused {
        /// Why, outermost first.
        causes: Vec<String>,
    },
}

impl Answer {
    /// No further line answers the same question.
    pub fn is_last(&self) -> bool {
        !matches!(self, Self::Progress(_))
    }
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
