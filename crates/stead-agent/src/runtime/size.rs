//! How many instances, and how much memory they take.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use stead_model::manifest::Count;
use stead_model::plan::{self, Phase, WantedProcess};
use stead_model::release::Protocol;
use stead_model::routing::InstanceId;

use super::{Event, Runtime};
use crate::table::protocol;
use crate::{Report, machine, processes};

/// Between two measurements.
const EVERY: Duration = Duration::from_secs(5);

/// Without a limit to watch, memory is measured only every so many times.
const SELDOM: u32 = 12;

/// When memory is measured.
#[derive(Debug, Default)]
pub(crate) struct Measuring {
    /// The next time.
    pub(crate) next: Duration,
    /// One is under way.
    running: bool,
    /// Counts down to a measurement of everything.
    countdown: u32,
    /// Sessions below instances that the keeper was told of.
    sessions: HashSet<i32>,
}

/// One instance to be measured.
#[derive(Debug)]
struct Subject {
    instance: InstanceId,
    pid: i32,
    /// Measured exactly only when resident memory is above this; 0: in any case.
    above: u64,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Measurement {
    instances: Vec<Measured>,
    /// Memory that is free on the machine.
    available: Option<u64>,
    /// Sessions that the keeper was told of and that are no more.
    gone: Vec<i32>,
}

/// What was measured of one instance.
#[derive(Clone, Debug)]
struct Measured {
    instance: InstanceId,
    /// Its processes together, bytes; `None`: not above what was asked for.
    memory: Option<u64>,
    /// Sessions of its processes beside its own.
    sessions: Vec<i32>,
}

impl Runtime {
    /// Change what is wanted of a process, wherever that is kept.
    pub(crate) fn want_process(
        &mut self,
        release: u64,
        process: &str,
        change: impl Fn(&mut WantedProcess),
    ) {
        let own = self.generations.get_mut(&release).map(|g| &mut g.wanted);
        let planned = [&mut self.desired.target, &mut self.desired.serving];
        for wanted in planned.into_iter().flatten().chain(own) {
            if wanted.release == release
                && let Some(process) = wanted.processes.get_mut(process)
            {
                change(process);
            }
        }
    }

    /// Remember why there are so many instances of a process.
    pub(crate) fn reason(&mut self, release: u64, process: &str, why: String) {
        if let Some(generation) = self.generations.get_mut(&release) {
            generation.reasons.insert(process.to_owned(), why);
        }
    }

    /// A process that insisted on a port in an earlier release does not any more.
    pub(crate) fn release_from_one(&mut self, release: u64, process: &str) {
        let spec = self.generations.get(&release).and_then(|g| g.spec(process));
        let count = match spec.map(|spec| spec.count) {
            Some(Count::Fixed(n)) => Some(n),
            _ => None,
        };
        self.want_process(release, process, |wanted| {
            wanted.count = count;
            wanted.ceiling = u32::MAX;
        });
    }

    /// The first instance of a process became healthy: measure it now, if the count depends on it.
    pub(crate) fn size_after_first(&mut self, _id: InstanceId, release: u64, process: &str) {
        let open = [&self.desired.target, &self.desired.serving]
            .into_iter()
            .flatten()
            .filter(|w| w.release == release)
            .any(|w| w.processes.get(process).is_some_and(|p| p.count.is_none()));
        let measured = self
            .generations
            .get(&release)
            .is_some_and(|g| g.measured.contains_key(process));
        if open || !measured {
            self.measuring.next = Duration::ZERO;
        }
    }

    /// When the next measurement is due; while one is under way its end comes by itself.
    pub(crate) fn next_measuring(&self) -> Option<Duration> {
        (!self.measuring.running).then_some(self.measuring.next)
    }

    /// Measure instances, beside the loop.
    pub(crate) fn measure_if_due(&mut self) {
        let now = self.epoch.elapsed();
        if self.measuring.running || now < self.measuring.next {
            return;
        }
        self.measuring.next = now + EVERY;
        let all = self.measuring.countdown == 0;
        let subjects: Vec<Subject> = self
            .observed
            .instances
            .iter()
            .filter(|i| i.phase == Phase::Healthy || !i.visited)
            .filter_map(|i| {
                let pid = self.live.get(&i.id)?.pid;
                let of = self.generations.get(&i.release)?;
                let limit = of.spec(&i.process)?.memory;
                let known = of.measured.contains_key(&i.process);
                let above = match limit {
                    _ if all || !known => 0,
                    Some(limit) => limit,
                    None => u64::MAX,
                };
                (pid > 1).then_some(Subject {
                    instance: i.id,
                    pid,
                    above,
                })
            })
            .collect();
        if subjects.is_empty() {
            return;
        }
        self.measuring.countdown = self.measuring.countdown.checked_sub(1).unwrap_or(SELDOM);
        self.measuring.running = true;
        let events = self.events.clone();
        let told = self.measuring.sessions.clone();
        tokio::task::spawn_blocking(move || {
            let _ = events.send(Event::Measured(measure(&subjects, &told)));
        });
    }

    /// Memory of instances is known.
    pub(crate) fn measured(&mut self, measurement: Measurement) {
        self.measuring.running = false;
        for session in measurement.gone {
            self.measuring.sessions.remove(&session);
            self.keeper.ended(session);
        }
        for one in measurement.instances {
            for session in &one.sessions {
                if self.measuring.sessions.insert(*session) {
                    self.keeper.born(*session);
                }
            }
            let (Some(instance), Some(memory)) = (self.instance(one.instance), one.memory) else {
                continue;
            };
            let (release, process) = (instance.release, instance.process.clone());
            let healthy = instance.phase == Phase::Healthy;
            if let Some(generation) = self.generations.get_mut(&release) {
                let known = generation.measured.entry(process.clone()).or_default();
                *known = (*known).max(memory);
            }
            if healthy {
                self.decide_count(release, &process, memory, measurement.available);
            }
            self.mind_the_limit(one.instance, memory);
        }
    }

    /// `count = "auto"`: as many as CPUs can use, if memory holds them.
    fn decide_count(&mut self, release: u64, process: &str, memory: u64, available: Option<u64>) {
        let undecided = [&self.desired.target, &self.desired.serving]
            .into_iter()
            .flatten()
            .find(|w| w.release == release)
            .and_then(|w| w.processes.get(process))
            .is_some_and(|p| p.count.is_none());
        if !undecided {
            return;
        }
        let most = self.cpus.saturating_mul(2).saturating_add(1);
        let room = available.map(|free| machine::fits(free, memory));
        let count = most.min(room.unwrap_or(most).saturating_add(1)).max(1);
        let cpus = plural(u64::from(self.cpus), "CPU", "CPUs");
        let why = if count < most {
            format!("{cpus} would use {most}, memory holds {count}")
        } else {
            cpus
        };
        self.reason(release, process, why);
        self.want_process(release, process, |wanted| {
            wanted.count.get_or_insert(count);
        });
    }

    /// Above its limit an instance is replaced; the planner does that for one at a time.
    fn mind_the_limit(&mut self, id: InstanceId, memory: u64) {
        let Some(instance) = self.instance(id).filter(|i| !i.recycle) else {
            return;
        };
        let limit = self
            .generations
            .get(&instance.release)
            .and_then(|g| g.spec(&instance.process)?.memory);
        let Some(limit) = limit.filter(|limit| memory > *limit) else {
            return;
        };
        let name = self.live.get(&id).map(|l| l.name.clone());
        self.note(
            name.unwrap_or_default(),
            true,
            format!(
                "it takes {}, more than its limit of {}, and is replaced",
                megabytes(memory),
                megabytes(limit)
            ),
        );
        if let Some(instance) = self.instance_mut(id) {
            instance.recycle = true;
        }
    }

    /// How many instances of a process may be alive at once during a switch, given what the old release's take.
    pub(crate) fn ceiling_for_switch(&self, process: &str, count: Option<u32>) -> u32 {
        if self.insisting.contains_key(process) {
            return 1;
        }
        let Some(serving) = &self.desired.serving else {
            return u32::MAX;
        };
        let old = serving.processes.get(process).and_then(|p| p.count);
        let memory = self
            .generations
            .get(&serving.release)
            .and_then(|g| g.measured.get(process));
        let (Some(old), Some(memory), Some(free)) = (old, memory, machine::memory_available())
        else {
            return u32::MAX;
        };
        let more = machine::fits(free, *memory);
        if more >= count.unwrap_or(old) {
            return u32::MAX;
        }
        // A single instance is never stopped for one that nobody has seen working.
        (old.saturating_add(more)).max(2)
    }

    /// Every instance that was asked for serves, or all but those of which nobody knows when they will: say so,
    /// once for a release.
    pub(crate) fn report_when_complete(&mut self) {
        let Some(key) = self.desired.target.as_ref().map(|t| t.release) else {
            return;
        };
        let reported = self
            .generations
            .get(&key)
            .is_none_or(|g| g.reported_serving);
        if reported || !(plan::complete(&self.desired, &self.observed) || self.all_but_loops(key)) {
            return;
        }
        // The first measurement belongs into the report.
        let unmeasured = self
            .desired
            .target
            .iter()
            .flat_map(|t| &t.processes)
            .any(|(name, p)| {
                let known = self
                    .generations
                    .get(&key)
                    .is_some_and(|g| g.measured.contains_key(name));
                p.count != Some(0) && !known
            });
        if unmeasured && self.measuring.running {
            return;
        }
        let names: Vec<String> = self
            .desired
            .target
            .iter()
            .flat_map(|t| t.processes.keys().cloned())
            .collect();
        for name in names
            .iter()
            .filter(|name| !self.insisting.contains_key(*name))
            .cloned()
            .collect::<Vec<_>>()
        {
            self.want_process(key, &name, |process| process.ceiling = u32::MAX);
        }
        let counts = self.counts(key);
        if let Some(generation) = self.generations.get_mut(&key) {
            generation.reported_serving = true;
            let number = generation.release.number;
            let _ = self.reports.send(Report::Serving { number, counts });
        }
    }

    /// The release serves with everything that does not end again and again, and visitors are among it: whoever waits
    /// for the release is not kept waiting by a background program that does not work.
    fn all_but_loops(&self, key: u64) -> bool {
        let Some(generation) = self.generations.get(&key) else {
            return false;
        };
        if generation.looping.is_empty() {
            return false;
        }
        let healthy = |name: &str| {
            self.observed
                .instances
                .iter()
                .any(|i| i.release == key && i.process == name && i.phase == Phase::Healthy)
        };
        let mut desired = self.desired.clone();
        if let Some(target) = &mut desired.target {
            target.processes.retain(|name, process| {
                !generation.looping.contains(name) || (process.visited && !healthy(name))
            });
        }
        plan::complete(&desired, &self.observed)
    }

    fn counts(&self, key: u64) -> Vec<String> {
        let (Some(wanted), Some(generation)) = (&self.desired.target, self.generations.get(&key))
        else {
            return Vec::new();
        };
        wanted
            .processes
            .iter()
            .filter_map(|(name, process)| {
                let spec = generation.spec(name)?;
                let count = u64::from(process.count?);
                let mut text = format!("{name}: {}", plural(count, "instance", "instances"));
                let frames = spec.listen.map(protocol) == Some(Protocol::Frames);
                if frames && count > 0 {
                    text += &format!(
                        " of {}",
                        plural(u64::from(spec.capacity), "thread", "threads")
                    );
                }
                let memory = generation.measured.get(name);
                let each = if count == 1 { "" } else { " each" };
                let facts: Vec<String> = generation
                    .reasons
                    .get(name)
                    .cloned()
                    .into_iter()
                    .chain(memory.map(|m| format!("{}{each}", megabytes(*m))))
                    .collect();
                if !facts.is_empty() && count > 0 {
                    text += &format!(" ({})", facts.join("; "));
                }
                if generation.looping.contains(name) {
                    text += ", ending again and again";
                }
                Some(text)
            })
            .collect()
    }
}

fn measure(subjects: &[Subject], told: &HashSet<i32>) -> Measurement {
    let all = processes::all();
    let sessions: HashMap<i32, i32> = all.iter().map(|p| (p.pid, p.session)).collect();
    let alive: HashSet<i32> = sessions.values().copied().collect();
    let instances = subjects
        .iter()
        .map(|subject| {
            let tree = processes::tree(&all, subject.pid);
            let mut own: Vec<i32> = tree
                .iter()
                .filter_map(|p| sessions.get(p).copied())
                .collect();
            own.sort_unstable();
            own.dedup();
            own.retain(|session| *session != subject.pid && tree.contains(session));
            let exactly = match subject.above {
                0 => true,
                u64::MAX => false,
                above => machine::resident_memory_of(&tree) > above,
            };
            Measured {
                instance: subject.instance,
                memory: exactly.then(|| machine::memory_of(&tree)),
                sessions: own,
            }
        })
        .collect();
    Measurement {
        instances,
        available: machine::memory_available(),
        gone: told.difference(&alive).copied().collect(),
    }
}

/// Units are powers of 1024, as in `stead.toml`, `top` and `free`.
fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1024 * 1024))
}

fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests;
