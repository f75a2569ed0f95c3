//! What the agent holds of a release and of an instance, beside what the planner sees.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use stead_model::plan::{Wanted, WantedProcess};
use stead_model::release::{ProcessSpec, Release};
use stead_model::routing::Address;

use crate::listener::Listener;
use crate::logs::Log;

/// A release that runs, or whose instances still end.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) release: Arc<Release>,
    /// What the planner is told of it; the planner's copies are changed together with this one.
    pub(crate) wanted: Wanted,
    /// Of everything that runs, but for what is particular to an instance.
    pub(crate) env: BTreeMap<OsString, OsString>,
    /// By process and slot.
    pub(crate) places: HashMap<(String, u32), Place>,
    /// When instances of a process ended by themselves, within the last minute.
    pub(crate) exits: HashMap<String, VecDeque<Duration>>,
    /// Processes that were reported as crash loops.
    pub(crate) looping: BTreeSet<String>,
    /// Memory of one instance as measured last, bytes, by process.
    pub(crate) measured: HashMap<String, u64>,
    /// Why there are so many instances, by process.
    pub(crate) reasons: HashMap<String, String>,
    /// Why an instance of it could not be started, and the last lines of its log.
    pub(crate) failure: Option<(crate::state::Failure, Vec<String>)>,
    pub(crate) reported_answering: bool,
    pub(crate) reported_serving: bool,
}

/// A place for an instance: what outlives the instance in it.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// Connections made while an instance is replaced wait in it.
    pub(crate) listener: Option<Listener>,
    /// Failures in a row.
    pub(crate) failures: u32,
}

impl Generation {
    pub(crate) fn new(
        release: Arc<Release>,
        wanted: Wanted,
        env: BTreeMap<OsString, OsString>,
    ) -> Self {
        Self {
            release,
            wanted,
            env,
            places: HashMap::new(),
            exits: HashMap::new(),
            looping: BTreeSet::new(),
            measured: HashMap::new(),
            reasons: HashMap::new(),
            failure: None,
            reported_answering: false,
            reported_serving: false,
        }
    }

    pub(crate) fn spec(&self, process: &str) -> Option<&ProcessSpec> {
        self.release.processes.get(process)
    }

    pub(crate) fn place(&mut self, process: &str, slot: u32) -> &mut Place {
        self.places.entry((process.to_owned(), slot)).or_default()
    }
}

/// One instance, beside [`stead_model::plan::Instance`].
#[derive(Debug)]
pub(crate) struct Live {
    /// `web.1`.
    pub(crate) name: String,
    pub(crate) pid: i32,
    pub(crate) log: Log,
    /// `None`: visitors do not reach it.
    pub(crate) address: Option<Address>,
    /// The port that it was given.
    pub(crate) port: Option<u16>,
    pub(crate) started: Duration,
    /// When its program ended without having been told to.
    pub(crate) ended_by_itself: Option<Duration>,
    /// Forked by this preloading worker.
    pub(crate) worker: Option<u64>,
    /// What was said of late about why the edge could not talk to it.
    pub(crate) failures_noted: Vec<(Duration, String)>,
    pub(crate) probing: Probing,
}

/// How far the probing of an instance is.
#[derive(Debug, Default)]
pub(crate) struct Probing {
    /// When the next one is due, while none is under way.
    pub(crate) due: Option<Duration>,
    /// What the last one found.
    pub(crate) last: Option<Result<u16, String>>,
    /// Where else its processes listen, and whose turn is next.
    pub(crate) elsewhere: Vec<SocketAddr>,
    pub(crate) turn: usize,
    /// The address of the probe under way.
    pub(crate) address: Option<Address>,
    /// Processor time used, and when that was found.
    pub(crate) cpu: Option<(Duration, Duration)>,
    /// When ports were looked for last.
    pub(crate) looked: Duration,
}

/// What the planner is told of a release.
pub(crate) fn wanted(key: u64, release: &Release) -> Wanted {
    Wanted {
        release: key,
        release_command: release.release_command.is_some(),
        processes: release
            .processes
            .iter()
            .map(|(name, spec)| {
                let count = match spec.count {
                    stead_model::manifest::Count::Fixed(n) => Some(n),
                    stead_model::manifest::Count::Auto if spec.listen.is_none() => Some(1),
                    stead_model::manifest::Count::Auto => None,
                };
                let process = WantedProcess {
                    count,
                    ceiling: u32::MAX,
                    visited: spec.listen.is_some(),
                };
                (name.clone(), process)
            })
            .collect(),
    }
}
