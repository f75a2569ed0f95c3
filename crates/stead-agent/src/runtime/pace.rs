//! How many instances of a release start at the same time.
//!
//! The first one starts alone. How much processor time it needed for that says how many others can start at once
//! without being slower for it: one that computes keeps a CPU busy, one that waits for a database does not.

use std::time::Duration;

use stead_model::plan::Phase;
use stead_model::routing::InstanceId;

use super::{Event, Runtime};
use crate::{machine, processes};

/// Never more, however little the first one computed: what they wait for may be one and the same database.
const MOST: u32 = 8;

/// How busy the first instance of a process was while it started.
#[derive(Debug)]
pub(crate) struct Pace {
    release: u64,
    /// Processor time.
    used: Duration,
    /// Until it was healthy.
    took: Duration,
}

/// As many as there are CPUs; two of a single one, since hardly any program computes all the time.
pub(crate) fn base(cpus: u32) -> u32 {
    cpus.max(2)
}

/// As many as keep all CPUs busy, if each behaves as the first one did.
fn limit(cpus: u32, used: Duration, took: Duration) -> u32 {
    let share = used.as_secs_f64() / took.as_secs_f64().max(0.001);
    let fit = f64::from(cpus) / share.max(0.01);
    (fit as u32).clamp(base(cpus), MOST.max(base(cpus)))
}

impl Runtime {
    /// An instance answered as asked. If it is the first one of a release that does not serve yet, find out, beside the
    /// loop, how busy it was.
    pub(crate) fn pace_after_first(&self, id: InstanceId) {
        let (Some(instance), Some(live)) = (self.instance(id), self.live.get(&id)) else {
            return;
        };
        let release = instance.release;
        let first = !self
            .observed
            .instances
            .iter()
            .any(|i| i.release == release && i.visited && i.phase != Phase::Starting);
        // A fork is there at once, and what the preloading worker computed does not happen again.
        if !first || live.worker.is_some() || live.pid <= 1 {
            return;
        }
        let (pid, events) = (live.pid, self.events.clone());
        let took = self.epoch.elapsed().saturating_sub(live.started);
        tokio::task::spawn_blocking(move || {
            let tree = processes::tree(&processes::all(), pid);
            let used = machine::cpu_time_of(&tree);
            let _ = events.send(Event::Paced(Pace {
                release,
                used,
                took,
            }));
        });
    }

    /// It is known how busy the first instance was.
    pub(crate) fn paced(&mut self, pace: Pace) {
        let target = self.desired.target.as_ref().map(|t| t.release);
        if target == Some(pace.release) {
            self.desired.starting_limit = limit(self.cpus, pace.used, pace.took);
        }
    }
}

#[cfg(test)]
mod tests;
