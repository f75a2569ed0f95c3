//! A seeded simulation: instances crash, hang, are slow; releases are switched in the middle of a switch;
//! the edge confirms late or refuses. After every single event the promises of `plan` are checked, and in the
//! end, when nothing bad happens any more, what is wanted is so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stead_model::plan::{
    Desired, Hold, Instance, Observed, Phase, ReleaseCommand, Step, Table, Wanted, WantedProcess,
    backoff, complete, next_wake, plan,
};
use stead_model::routing::InstanceId;

#[test]
fn promises_hold_at_every_instant_and_it_converges() {
    for seed in 1..=600 {
        World::new(seed).live();
    }
}

#[test]
fn backoff_doubles_to_thirty_seconds() {
    let ms: Vec<u128> = (1..=12).map(|n| backoff(n, 0.0).as_millis()).collect();
    assert_eq!(ms[..5], [100, 200, 400, 800, 1600]);
    assert_eq!(ms[9..], [30_000, 30_000, 30_000]);
    assert_eq!(backoff(1, 1.0).as_millis(), 125);
    assert_eq!(backoff(u32::MAX, f64::NAN).as_secs(), 30);
}

/// xorshift64*, so that a seed means the same for ever.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

struct World {
    seed: u64,
    chance: Chance,
    desired: Desired,
    observed: Observed,
    wanted: BTreeMap<u64, Wanted>,
    given: BTreeSet<InstanceId>,
    unconfirmed: Vec<Table>,
    next_release: u64,
    /// Nothing bad happens any more.
    calm: bool,
    /// A table with instances was confirmed, and nothing but the planner may empty it.
    served: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let starting_limit = 1 + chance.below(3) as u32;
        Self {
            seed,
            chance,
            desired: Desired {
                starting_limit,
                ..Desired::default()
            },
            observed: Observed {
                next_id: 1,
                ..Observed::default()
            },
            wanted: BTreeMap::new(),
            given: BTreeSet::new(),
            unconfirmed: Vec::new(),
            next_release: 1,
            calm: false,
            served: false,
        }
    }

    fn live(mut self) {
        self.switch();
        for _ in 0..(20 + self.chance.below(120)) {
            self.event();
            self.settle();
        }
        self.calm = true;
        if self.desired.target.is_none() {
            self.switch();
        }
        for _ in 0..2000 {
            self.settle();
            if complete(&self.desired, &self.observed) && self.only_target_is_alive() {
                return self.stop();
            }
            self.calm_event();
        }
        panic!(
            "seed {}: does not converge: {:#?} {:#?}",
            self.seed, self.desired, self.observed
        );
    }

    fn stop(mut self) {
        self.desired.target = None;
        self.desired.serving = None;
        for _ in 0..2000 {
            self.settle();
            if self.observed.instances.is_empty() {
                return;
            }
            self.calm_event();
        }
        panic!("seed {}: does not stop: {:#?}", self.seed, self.observed);
    }

    fn only_target_is_alive(&self) -> bool {
        let target = self.desired.target.as_ref().map(|t| t.release);
        self.observed
            .instances
            .iter()
            .all(|i| Some(i.release) == target && !i.recycle)
    }

    fn switch(&mut self) {
        let release = self.next_release;
        self.next_release += 1;
        let mut processes = BTreeMap::new();
        let ceiling = match self.chance.below(5) {
            0 => 2 + self.chance.below(3) as u32,
            1 => 1,
            _ => u32::MAX,
        };
        let count = if ceiling == 1 {
            1
        } else {
            1 + self.chance.below(3) as u32
        };
        // One that is never stopped for a successor: see `ceiling_for_switch` in the agent.
        let count = Some(count).filter(|_| ceiling == 1 || !self.chance.one_in(4));
        let web = WantedProcess {
            count,
            ceiling,
            visited: true,
        };
        processes.insert("web".to_owned(), web);
        if self.chance.one_in(3) {
            let admin = WantedProcess {
                count: Some(1),
                ceiling: u32::MAX,
                visited: true,
            };
            processes.insert("admin".to_owned(), admin);
        }
        if self.chance.one_in(2) {
            let count = Some(1 + self.chance.below(2) as u32);
            let worker = WantedProcess {
                count,
                ceiling: u32::MAX,
                visited: false,
            };
            processes.insert("worker".to_owned(), worker);
        }
        let release_command = self.chance.one_in(3);
        let wanted = Wanted {
            release,
            release_command,
            processes,
        };
        self.wanted.insert(release, wanted.clone());
        // The table of the target may be on its way: then that release serves from now on.
        let in_flight = self.desired.target.as_ref().map(|t| t.release);
        if in_flight.is_some() && self.observed.sent.release == in_flight {
            self.desired.serving = self.desired.target.take();
        }
        self.desired.target = Some(wanted);
        self.observed.refused = None;
    }

    fn event(&mut self) {
        match self.chance.below(12) {
            0 if self.chance.one_in(4) => self.switch(),
            1 if self.chance.one_in(3) => self.crash(),
            2 if self.chance.one_in(8) => self.recycle(),
            3 if self.chance.one_in(6) && self.unconfirmed.len() == 1 => self.refuse(),
            4 if self.chance.one_in(3) => self.end_command(false),
            5 => self.observed.now += Duration::from_secs(self.chance.below(70)),
            _ => self.calm_event(),
        }
    }

    /// Something that is good, or only time.
    fn calm_event(&mut self) {
        match self.chance.below(7) {
            0 => self.observed.now = next_wake(&self.observed).unwrap_or(self.observed.now),
            1 => self.confirm(),
            2 => self.end_command(true),
            3 => self.become_healthy(),
            4 => self.drained(),
            5 => self.end_those_told(),
            _ => self.decide_count(),
        }
    }

    fn pick(&mut self, which: impl Fn(&Instance) -> bool) -> Option<usize> {
        let all: Vec<usize> = (0..self.observed.instances.len())
            .filter(|i| which(&self.observed.instances[*i]))
            .collect();
        (!all.is_empty()).then(|| all[self.chance.below(all.len() as u64) as usize])
    }

    fn crash(&mut self) {
        let Some(i) = self.pick(|_| true) else { return };
        let gone = self.observed.instances.remove(i);
        if !matches!(gone.phase, Phase::Starting | Phase::Healthy) {
            return;
        }
        let serving = self.desired.serving.as_ref().map(|s| s.release);
        let target = self.desired.target.as_ref().map(|t| t.release);
        if Some(gone.release) == serving {
            let until = self.observed.now + backoff(1 + self.chance.below(9) as u32, 0.5);
            self.observed.holds.push(Hold {
                release: gone.release,
                process: gone.process,
                slot: gone.slot,
                until,
            });
        } else if Some(gone.release) == target {
            self.observed.lost.insert(gone.id, gone.release);
        }
    }

    fn recycle(&mut self) {
        if let Some(i) = self.pick(|i| i.phase == Phase::Healthy) {
            self.observed.instances[i].recycle = true;
        }
    }

    fn refuse(&mut self) {
        self.observed.refused = self.unconfirmed.pop();
        self.observed.sent = self.observed.confirmed.clone();
        let confirmed = self.observed.confirmed.release;
        self.desired.serving = confirmed.map(|r| self.wanted[&r].clone());
        // What the same table would be refused for is repaired at some time.
        let candidate = self.observed.refused.as_ref().and_then(|t| t.release);
        if candidate == confirmed {
            self.observed.refused = None;
        }
    }

    fn end_command(&mut self, well: bool) {
        if let Some(ReleaseCommand::Running(r)) = self.observed.release_command {
            let ended = if well {
                ReleaseCommand::Done(r)
            } else {
                ReleaseCommand::Failed(r)
            };
            self.observed.release_command = Some(ended);
        }
    }

    fn confirm(&mut self) {
        if self.unconfirmed.is_empty() {
            return;
        }
        let table = self.unconfirmed.remove(0);
        self.observed.confirmed = table.clone();
        if self.unconfirmed.is_empty()
            && table.release.is_some()
            && self.desired.target.as_ref().map(|t| t.release) == table.release
        {
            self.desired.serving = self.desired.target.clone();
            self.served = true;
        }
    }

    fn become_healthy(&mut self) {
        if let Some(i) = self.pick(|i| i.phase == Phase::Starting && i.visited) {
            let now = self.observed.now;
            let instance = &mut self.observed.instances[i];
            instance.phase = Phase::Healthy;
            instance.since = now;
        }
    }

    fn drained(&mut self) {
        if let Some(i) = self.pick(|i| i.phase == Phase::Draining) {
            self.observed.instances[i].drained = true;
        }
    }

    fn end_those_told(&mut self) {
        if let Some(i) = self.pick(|i| i.phase == Phase::Stopping || i.phase == Phase::Killed) {
            self.observed.instances.remove(i);
        }
    }

    fn decide_count(&mut self) {
        for wanted in [&mut self.desired.target, &mut self.desired.serving] {
            let Some(wanted) = wanted else { continue };
            for (name, process) in &mut wanted.processes {
                let healthy = self.observed.instances.iter().any(|i| {
                    i.release == wanted.release && i.process == *name && i.phase == Phase::Healthy
                });
                if healthy && process.count.is_none() {
                    process.count = Some(2);
                    if process.ceiling < 3 {
                        process.count = Some(1);
                    }
                }
            }
        }
    }

    fn settle(&mut self) {
        for round in 0.. {
            self.observed.unanswered = self.unconfirmed.len() as u32;
            assert!(round < 100, "seed {}: it does not settle", self.seed);
            let steps = plan(&self.desired, &self.observed);
            assert_eq!(
                steps,
                plan(&self.desired, &self.observed),
                "the same state, the same steps"
            );
            if steps.is_empty() {
                break;
            }
            for step in steps {
                self.act(step);
            }
        }
        self.check();
    }

    fn act(&mut self, step: Step) {
        let now = self.observed.now;
        match step {
            Step::RunReleaseCommand { release } => {
                self.observed.release_command = Some(ReleaseCommand::Running(release));
            }
            Step::Start {
                id,
                release,
                process,
                slot,
            } => {
                assert!(
                    self.given.insert(id),
                    "seed {}: id {id:?} was given twice",
                    self.seed
                );
                self.observed.next_id = self.observed.next_id.max(id.0 + 1);
                let visited = self.wanted[&release].processes[&process].visited;
                self.observed.instances.push(Instance {
                    id,
                    release,
                    process,
                    slot,
                    phase: Phase::Starting,
                    since: now,
                    visited,
                    listed: false,
                    drained: false,
                    recycle: false,
                    // While bad things happen, some instances never become healthy.
                    within: Duration::from_secs(match (visited, self.calm) {
                        (true, true) => 1_000_000,
                        (true, false) => 60,
                        (false, _) => 1,
                    }),
                    drain: Duration::from_secs(30),
                    grace: Duration::from_secs(10),
                });
            }
            Step::Publish(table) => self.publish(table),
            Step::Drain(id) => self.change(id, Phase::Draining),
            Step::Terminate(id) => {
                self.check_termination(id);
                self.change(id, Phase::Stopping);
            }
            Step::Kill(id) => self.change(id, Phase::Killed),
            Step::Abandon { release, .. } => {
                assert_eq!(
                    self.desired.target.as_ref().map(|t| t.release),
                    Some(release)
                );
                assert_ne!(
                    self.desired.serving.as_ref().map(|s| s.release),
                    Some(release)
                );
                self.desired.target = self.desired.serving.clone();
                self.observed.lost.clear();
                self.observed.release_command = None;
                if self.desired.target.is_none() && self.calm {
                    self.switch();
                }
            }
        }
    }

    fn publish(&mut self, table: Table) {
        let before = &self.observed.sent;
        for id in &table.instances {
            let instance = self.observed.instances.iter().find(|i| i.id == *id);
            let instance = instance.expect("a table holds instances that are alive");
            assert_eq!(instance.phase, Phase::Healthy, "seed {}", self.seed);
            assert_eq!(Some(instance.release), table.release, "seed {}", self.seed);
            assert!(instance.visited);
        }
        if self.served && before.release != table.release && table.release.is_some() {
            let wanted = self
                .desired
                .target
                .as_ref()
                .expect("switched to the target");
            assert_eq!(Some(wanted.release), table.release);
            for (name, process) in wanted.processes.iter().filter(|(_, p)| p.visited) {
                let n = table
                    .instances
                    .iter()
                    .filter(|id| self.process_of(**id) == name)
                    .count();
                let needed = match process.ceiling {
                    u32::MAX => process.count.expect("decided before the switch"),
                    _ => 1,
                };
                assert!(
                    n as u32 >= needed,
                    "seed {}: {name} has {n} of {needed}",
                    self.seed
                );
            }
        }
        for id in &table.instances {
            let instance = self.observed.instances.iter_mut().find(|i| i.id == *id);
            instance.unwrap().listed = true;
        }
        self.observed.sent = table.clone();
        self.unconfirmed.push(table);
    }

    fn process_of(&self, id: InstanceId) -> &str {
        let instance = self.observed.instances.iter().find(|i| i.id == id);
        instance.map_or("", |i| &i.process)
    }

    /// An instance that visitors may be using is told to stop only when it is out of the table that the edge
    /// has confirmed, and its requests have ended or its time is up.
    fn check_termination(&self, id: InstanceId) {
        let instance = self.observed.instances.iter().find(|i| i.id == id).unwrap();
        if !instance.listed {
            return;
        }
        assert!(
            !self.observed.confirmed.instances.contains(&id),
            "seed {}",
            self.seed
        );
        assert_eq!(instance.phase, Phase::Draining, "seed {}", self.seed);
        let late = self.observed.now >= instance.since + instance.drain;
        assert!(instance.drained || late, "seed {}", self.seed);
    }

    fn change(&mut self, id: InstanceId, phase: Phase) {
        let now = self.observed.now;
        let instance = self
            .observed
            .instances
            .iter_mut()
            .find(|i| i.id == id)
            .unwrap();
        instance.phase = phase;
        instance.since = now;
    }

    /// What holds whenever there is nothing left to do.
    fn check(&self) {
        let seed = self.seed;
        let alive: BTreeMap<InstanceId, &Instance> =
            self.observed.instances.iter().map(|i| (i.id, i)).collect();
        for id in &self.observed.sent.instances {
            let healthy = alive.get(id).is_some_and(|i| i.phase == Phase::Healthy);
            assert!(
                healthy,
                "seed {seed}: the table holds {id:?}, which is not healthy"
            );
        }
        let mut places = BTreeSet::new();
        let mut starting: BTreeMap<u64, u32> = BTreeMap::new();
        for i in &self.observed.instances {
            let release = if i.visited { i.release } else { 0 };
            let place = (release, i.process.clone(), i.slot);
            assert!(places.insert(place), "seed {seed}: two in one place: {i:?}");
            let settled = !i.visited && self.observed.now >= i.since + i.within;
            if i.phase == Phase::Starting && !settled {
                *starting.entry(i.release).or_default() += 1;
            }
        }
        for (release, n) in starting {
            let limit = self.desired.starting_limit;
            assert!(
                n <= limit,
                "seed {seed}: {n} of r{release} start, {limit} may"
            );
        }
        let wanted = [&self.desired.target, &self.desired.serving];
        let alone = wanted
            .into_iter()
            .flatten()
            .all(|w| w.processes["web"].ceiling == 1);
        let web = self
            .observed
            .instances
            .iter()
            .filter(|i| i.process == "web");
        let releases: BTreeSet<u64> = web.clone().map(|i| i.release).collect();
        let all_alone = releases
            .iter()
            .all(|r| self.wanted[r].processes["web"].ceiling == 1);
        if alone && all_alone {
            assert!(
                web.count() <= 1,
                "seed {seed}: two of a process that insists on a port"
            );
        }
    }
}
