//! How an app is: all that `stead status` and `stead releases` show. Times are seconds since 1970, sizes bytes.

use serde::{Deserialize, Serialize};

use super::Origin;

/// An app on a host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppStatus {
    /// Its name.
    pub app: String,
    /// The release that serves. `None`: none does yet.
    pub release: Option<ReleaseInfo>,
    /// What runs, by name.
    pub processes: Vec<ProcessStatus>,
    /// What visitors asked for since the edge counts.
    pub traffic: Option<Traffic>,
    /// The hosts of its routes. Empty: every host.
    pub hosts: Vec<String>,
    /// Of these hosts.
    pub certificates: Vec<CertificateStatus>,
    /// What runs on a schedule, by name.
    pub jobs: Vec<JobStatus>,
    /// What it takes up.
    pub disk: Disk,
    /// A deploy that is going on.
    pub deploying: Option<Deploying>,
    /// What is wrong, each a sentence, lower case.
    pub problems: Vec<String>,
}

/// A release, as a person is told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReleaseInfo {
    /// Counts up from 1, and is never given twice.
    pub number: u64,
    /// How it is.
    pub state: ReleaseState,
    /// When it was asked for.
    pub at: i64,
    /// Who asked for it, and what its code is.
    pub origin: Origin,
    /// Its tree's digest.
    pub tree: String,
    /// It is this one again.
    pub rollback_of: Option<u64>,
    /// What differs from the one that served before it: `code`, `environment`, `processes`, `jobs`, `routes`, `variables`.
    pub changed: Vec<String>,
    /// From the wish to its serving, milliseconds.
    pub took: Option<u64>,
    /// Why it does not serve, if it failed.
    pub failure: Option<String>,
    /// What it was built into is still there: a rollback to it is quick.
    pub kept: bool,
}

/// How a release is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseState {
    /// It is being made.
    #[default]
    Making,
    /// Visitors get it.
    Serving,
    /// Visitors got it before.
    Retired,
    /// Visitors never got it.
    Failed,
}

/// A process of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessStatus {
    /// `web`.
    pub name: String,
    /// How many instances are to run.
    pub wanted: u32,
    /// Somebody said how many, by `stead scale`.
    pub scaled: bool,
    /// Those that there are.
    pub instances: Vec<InstanceStatus>,
}

/// An instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceStatus {
    /// `web.1`.
    pub name: String,
    /// Its release.
    pub release: u64,
    /// Its unit of systemd.
    pub unit: String,
    /// How it is.
    pub state: InstanceState,
    /// Since when.
    pub since: i64,
    /// What it takes of memory.
    pub memory: Option<u64>,
    /// How many times it was started again by itself.
    pub restarts: u32,
    /// Of its main process.
    pub pid: Option<u32>,
}

/// How an instance is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// It gets no visitors yet.
    #[default]
    Starting,
    /// It serves, or does its work.
    Running,
    /// It finishes what it has.
    Draining,
    /// It ends again and again, or ended and is not started again.
    Failed,
}

/// What visitors asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Since when it is counted.
    pub since: i64,
    /// All of them.
    pub requests: u64,
    /// Those that were answered with a status from 500 on, whoever said it.
    pub errors: u64,
    /// In the last minute.
    pub requests_last_minute: Option<u64>,
    /// In the last minute.
    pub errors_last_minute: Option<u64>,
}

/// A host's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateStatus {
    /// The host.
    pub host: String,
    /// Who issued it, as it says itself. `None`: there is none.
    pub issuer: Option<String>,
    /// Until when it is valid.
    pub ends: Option<i64>,
    /// When it is to be renewed. `None`: never, it was imported.
    pub renewed: Option<i64>,
    /// What is wrong, for a person.
    pub problem: Option<String>,
}

/// A job of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobStatus {
    /// `refresh`.
    pub name: String,
    /// As in `stead.toml`. `None`: it is run by hand alone.
    pub schedule: Option<String>,
    /// A run is going on, since then.
    pub running_since: Option<i64>,
    /// When the last run ended.
    pub last: Option<i64>,
    /// How it ended: `None` well, else why not: `exit status 3`.
    pub last_failure: Option<String>,
    /// When the next run begins.
    pub next: Option<i64>,
}

/// What an app takes up on its host's disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// Code, environments and sources.
    pub releases: u64,
    /// What outlives releases.
    pub volumes: u64,
    /// What is free.
    pub free: u64,
}

/// A deploy that is going on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deploying {
    /// Its release.
    pub release: u64,
    /// Who wants it.
    pub who: String,
    /// Since when.
    pub since: i64,
    /// The step that it is at.
    pub step: String,
}
