//! What the agent does next: a pure function from what is wanted and what is seen to steps.
//!
//! [`plan`] must not change anything and knows no clock: time enters as [`Observed::now`]. The
//! agent carries the steps out in order, looks again, and asks again until there is nothing to do;
//! [`next_wake`] says when time alone will bring something to do.
//!
//! What holds at every instant, whatever happens to instances:
//! - A published table holds healthy instances of exactly one release.
//! - The release that serves keeps its instances until the edge has confirmed a table of the next.
//! - An instance leaves the table before it is told to stop; it is told to stop when its last
//!   request has ended or its drain is over.
//! - No instance id is given twice.
//!
//! Two exceptions have a price that is known: a program that insists on one TCP port
//! ([`WantedProcess::ceiling`] of 1) cannot run beside its successor, so its visitors wait in the edge's
//! queue while it is replaced; and when memory does not hold two generations, the old one is
//! thinned out before the new one starts.
//!
//! A process that visitors do not reach (a worker) is not part of the switch: its new instances start
//! after it, each when the old one in its place has ended, so that a singleton is never doubled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::routing::InstanceId;

mod decide;

pub use decide::{complete, next_wake, plan};

/// What should be so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// The release that should serve. `None`: nothing should run.
    pub target: Option<Wanted>,
    /// The release whose table the edge has confirmed last (or was sent, when the target changed before
    /// it could confirm). The same as the target when there is nothing to switch.
    pub serving: Option<Wanted>,
    /// At most so many instances of one release start at the same time, so that imports do not
    /// starve the instances that serve. At least 1.
    pub starting_limit: u32,
    /// No draining and no patience: everything unwanted is killed.
    pub at_once: bool,
}

/// One release as the planner sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Names the release among those of this agent's life; never used twice. Not the number that a
    /// person sees.
    pub release: u64,
    /// A command must succeed before the first instance starts.
    pub release_command: bool,
    /// By name.
    pub processes: BTreeMap<String, WantedProcess>,
}

/// One process of a release.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedProcess {
    /// How many instances. `None`: to be decided when the first one is healthy and was measured.
    pub count: Option<u32>,
    /// At most so many instances of this process, of all releases together and in any phase, may be alive. 1: the
    /// program cannot run beside another copy of itself.
    pub ceiling: u32,
    /// Instances are in the routing table (and probed), rather than workers in the background.
    pub visited: bool,
}

/// What is so.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Since any fixed instant.
    pub now: Duration,
    /// The next instance id that was never given.
    pub next_id: u64,
    /// Every instance that has not ended.
    pub instances: Vec<Instance>,
    /// The table that the edge was sent last.
    pub sent: Table,
    /// The table that the edge has confirmed last.
    pub confirmed: Table,
    /// How many tables were sent that the edge has neither confirmed nor refused.
    pub unanswered: u32,
    /// A table that the edge refused; the same one is not sent again.
    pub refused: Option<Table>,
    /// How far the release command is.
    pub release_command: Option<ReleaseCommand>,
    /// Places that wait before they are filled again.
    pub holds: Vec<Hold>,
    /// Instances of the target that ended by themselves before it served.
    pub lost: BTreeMap<InstanceId, u64>,
}

/// A routing table, as far as the planner cares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Whose instances.
    pub release: Option<u64>,
    /// Which.
    pub instances: BTreeSet<InstanceId>,
}

/// One running copy of a process.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Never used twice.
    pub id: InstanceId,
    /// [`Wanted::release`].
    pub release: u64,
    /// The process's name.
    pub process: String,
    /// Its place among the instances of its process, from 1.
    pub slot: u32,
    /// What it is doing.
    pub phase: Phase,
    /// When it began that.
    pub since: Duration,
    /// Visitors reach it.
    pub visited: bool,
    /// It was in a table that the edge was sent.
    pub listed: bool,
    /// Its last request has ended (or there is no edge any more).
    pub drained: bool,
    /// It should be replaced: over its memory limit, or a thread of it is lost.
    pub recycle: bool,
    /// How long it may take to become healthy; for a worker: how long it must live to count as ready.
    pub within: Duration,
    /// How long its requests may take to end once it is out of the table.
    pub drain: Duration,
    /// How long it may take to end after SIGTERM.
    pub grace: Duration,
}

/// What an instance is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Started, not healthy yet.
    Starting,
    /// Answered a probe as asked.
    Healthy,
    /// Out of the table, finishing its requests.
    Draining,
    /// Was sent SIGTERM.
    Stopping,
    /// Was sent SIGKILL.
    Killed,
}

/// The release command's progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseCommand {
    /// It runs, for this release. Another release's waits for its end: half a migration is worse than a
    /// late one.
    Running(u64),
    /// It succeeded.
    Done(u64),
    /// It failed.
    Failed(u64),
}

/// A place that waits before it is filled again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// [`Wanted::release`].
    pub release: u64,
    /// The process's name.
    pub process: String,
    /// Which place.
    pub slot: u32,
    /// Until when.
    pub until: Duration,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Run the release command.
    RunReleaseCommand {
        /// [`Wanted::release`].
        release: u64,
    },
    /// Start an instance.
    Start {
        /// Its id.
        id: InstanceId,
        /// [`Wanted::release`].
        release: u64,
        /// The process's name.
        process: String,
        /// Its place.
        slot: u32,
    },
    /// Send this table to the edge.
    Publish(Table),
    /// Wait until the instance's requests have ended.
    Drain(InstanceId),
    /// SIGTERM.
    Terminate(InstanceId),
    /// SIGKILL to everything that belongs to the instance.
    Kill(InstanceId),
    /// Give the target up; what served before goes on.
    Abandon {
        /// [`Wanted::release`].
        release: u64,
        /// Why.
        why: Why,
    },
}

/// Why a release was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its release command failed.
    ReleaseCommand,
    /// This instance ended before the release served.
    Ended(InstanceId),
    /// This instance did not become healthy in time.
    NotHealthy(InstanceId),
    /// The edge refused its table.
    Refused,
}

/// How long a place waits after its instance has failed so many times in a row, each within a
/// minute of its start: 100 ms, doubling to 30 s, with up to a quarter more by chance so that
/// instances that failed together do not return together. `chance` is between 0 and 1.
pub fn backoff(failures: u32, chance: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(9);
    let base = Duration::from_millis(100 << doublings).min(Duration::from_secs(30));
    let chance = if chance.is_finite() {
        chance.clamp(0.0, 1.0)
    } else {
        0.0
    };
    base.mul_f64(1.0 + 0.25 * chance)
}

/// Alive for this long, an instance's earlier failures are forgotten.
pub const SETTLED: Duration = Duration::from_secs(60);
