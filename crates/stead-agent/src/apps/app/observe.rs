//! What runs: seen in systemd, never concluded from what was written down.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use stead_model::agent::{Progress, Stream};
use stead_model::build::Built;
use stead_model::manifest::Count;
use stead_model::plan::{
    self, Hold, Instance, Phase, ReleaseCommand, Table, Wanted, WantedProcess,
};
use stead_model::release::Release;
use stead_model::routing::InstanceId;
use stead_model::units;

use super::{App, Generation, LATER, Live, SOON};
use crate::apps::journal;
use crate::apps::systemd::{Refusal, Unit};
use crate::state::Failure;
use crate::store::{Instance as StoredInstance, LaunchState};

impl App {
    /// Find what an agent before this one left, and go on from there.
    pub(in crate::apps) async fn adopt(&mut self) -> Result<(), Refusal> {
        let found = self.shared.systemd.units(&self.pattern()).await?;
        let remembered = |failure: crate::store::Failure| Refusal(failure.to_string());
        let (launches, serving, instances, part) = {
            let store = self.shared.store();
            (
                store.launches(&self.name).map_err(remembered)?,
                store.serving(&self.name).map_err(remembered)?,
                store.instances(&self.name).map_err(remembered)?,
                store.part(&self.name).map_err(remembered)?,
            )
        };
        for launch in &launches {
            let record = self.shared.store().release(&self.name, launch.release);
            let built = record.ok().flatten().and_then(|record| record.built);
            let is_serving = Some(launch.id) == serving;
            if is_serving {
                // What runs is left alone as long as it is not known how it would be started again.
                let built = built.ok_or_else(|| {
                    Refusal(format!(
                        "what release {} is made of is not known",
                        launch.release
                    ))
                })?;
                let mut generation = self
                    .generation(launch.id, built, false)
                    .map_err(|failure| Refusal(failure.causes.join(": ")))?;
                as_many_as_ran(&mut generation.wanted, &instances);
                self.desired.serving = Some(generation.wanted.clone());
                self.desired.target = Some(generation.wanted.clone());
                self.generations.insert(launch.id, generation);
            }
            // It was not switched to, so it never happened.
            if launch.state == LaunchState::Starting && !is_serving {
                let store = self.shared.store();
                let why = "the agent was restarted before it served";
                let _ = store.launch_over(launch.id);
                let _ = store.release_failed(&self.name, launch.release, why);
            }
        }
        {
            // A release that was being built has no launch yet.
            let store = self.shared.store();
            for record in store.releases(&self.name, 5).map_err(remembered)? {
                if record.info.state == stead_model::agent::ReleaseState::Making {
                    let why = "the agent was restarted before it served";
                    let _ = store.release_failed(&self.name, record.info.number, why);
                }
            }
        }
        let listed: Vec<InstanceId> = part
            .iter()
            .flat_map(|part| part.upstreams.values())
            .flat_map(|upstream| upstream.instances.iter().map(|instance| instance.id))
            .collect();
        let now = self.epoch.elapsed();
        for instance in instances {
            let names =
                units::instance_unit(&self.name, &instance.process, instance.release, instance.id);
            let is_there = found
                .get(&names.service)
                .is_some_and(|unit| !unit.is_over());
            let spec = self
                .generations
                .get(&instance.launch)
                .and_then(|generation| generation.spec(&instance.process));
            let visited = instance.address.is_some();
            let serves = visited && listed.contains(&instance.id);
            // An instance of a release that is over may have visitors yet, or never had any.
            let was_listed = serves || visited && spec.is_none();
            self.live.insert(
                instance.id,
                Live {
                    name: format!("{}.{}", instance.process, instance.slot),
                    units: names,
                    due: (visited && !serves).then_some(now),
                    address: instance.address,
                    probed: None,
                },
            );
            let second = std::time::Duration::from_secs(1);
            self.observed.instances.push(Instance {
                id: instance.id,
                release: instance.launch,
                process: instance.process,
                slot: instance.slot,
                phase: if was_listed {
                    Phase::Healthy
                } else {
                    Phase::Starting
                },
                since: now,
                visited,
                listed: was_listed,
                drained: false,
                recycle: false,
                within: spec.map_or(second, |spec| match visited {
                    true => spec.health.within,
                    false => second,
                }),
                drain: spec.map_or(30 * second, |spec| spec.drain),
                grace: spec.map_or(10 * second, |spec| spec.drain.min(10 * second).max(second)),
            });
            if !is_there {
                self.bury(instance.id).await;
            }
        }
        if let Some(key) = serving.filter(|_| part.is_some()) {
            let table = Table {
                release: Some(key),
                instances: listed.into_iter().collect(),
            };
            self.observed.sent = table.clone();
            self.observed.confirmed = table;
            // Whoever was killed between the table and this has left it as it was before the switch.
            self.boot();
        }
        self.adopt_leftovers(&found).await;
        Ok(())
    }

    /// Units that nothing is known of, and a release command that still runs.
    async fn adopt_leftovers(&mut self, found: &HashMap<String, Unit>) {
        for (unit, is) in found {
            if let Some(id) = units::instance_of(&self.name, unit) {
                if !self.live.contains_key(&id) {
                    let _ = self.shared.systemd.stop(unit).await;
                    self.shared.systemd.forget(unit).await;
                    self.shared.places.remove_unit(&self.name, unit);
                }
            } else if unit.starts_with(&format!("stead.{}.build.", self.name)) {
                let _ = self.shared.systemd.stop(unit).await;
            } else if unit.starts_with(&format!("stead.{}.release.", self.name)) && !is.is_over() {
                // Half a migration is worse than a late one: the next release waits for its end.
                self.jobs.old_release_command = Some(unit.clone());
                self.observed.release_command = Some(ReleaseCommand::Running(0));
            }
        }
    }

    /// All units of the app, but not those of another whose name begins alike.
    fn pattern(&self) -> String {
        format!("stead.{}.*", self.name)
    }

    /// A launch of what was built.
    pub(super) fn generation(
        &self,
        key: u64,
        built: Built,
        release_command: bool,
    ) -> Result<Generation, Failure> {
        let variables = self.variables(&built.release)?;
        // Without what `stead scale` has said, another number would run than was asked for.
        let counts = self.shared.store().counts(&self.name);
        let counts = counts.map_err(|failure| {
            let act = format!("cannot tell how many instances `{}` wants", self.name);
            Failure::new(act, failure.to_string())
        })?;
        let mut wanted = wanted(key, &built.release, &counts);
        wanted.release_command &= release_command;
        Ok(Generation {
            release: Arc::new(built.release),
            wanted,
            acme: built.acme,
            tls: built.tls,
            variables,
            measured: BTreeMap::new(),
            failure: None,
        })
    }

    /// See how the units are, if it is time.
    pub(super) async fn observe_if_due(&mut self) {
        let now = self.epoch.elapsed();
        let pause = if self.in_hurry() { SOON } else { LATER };
        if self.looked.is_some_and(|looked| now < looked + pause) {
            return;
        }
        self.looked = Some(now);
        // systemd that is not reached for a moment says nothing about instances.
        let Ok(found) = self.shared.systemd.units(&self.pattern()).await else {
            return;
        };
        self.observe_release_command(&found).await;
        self.observe_jobs(&found).await;
        let ids: Vec<InstanceId> = self.live.keys().copied().collect();
        for id in ids {
            let (Some(instance), Some(live)) = (self.instance(id).cloned(), self.live.get(&id))
            else {
                continue;
            };
            let unit = found.get(&live.units.service).cloned().unwrap_or_default();
            let over = unit.active.is_empty() || unit.is_over();
            match instance.phase {
                Phase::Draining | Phase::Stopping | Phase::Killed if over => self.bury(id).await,
                Phase::Draining | Phase::Stopping | Phase::Killed => {}
                Phase::Starting if instance.visited && (over || unit.has_fallen()) => {
                    self.fell(instance).await;
                }
                Phase::Starting | Phase::Healthy if over => self.fell(instance).await,
                // systemd starts it again.
                Phase::Starting | Phase::Healthy => {}
            }
        }
    }

    /// An instance ended by itself, and is not started again by systemd.
    async fn fell(&mut self, instance: Instance) {
        let Some(live) = self.live.get(&instance.id) else {
            return;
        };
        let (unit, name) = (live.units.service.clone(), live.name.clone());
        let how = self.how_it_ended(&unit).await;
        let log = journal::tail(&unit).await;
        self.bury(instance.id).await;
        let failure = Failure {
            causes: vec![format!("`{name}` ended with {how} before it was healthy")],
            hint: None,
        };
        self.has_fallen(
            instance.release,
            &instance.process,
            instance.slot,
            failure,
            log,
        );
        if self.is_candidate(instance.release) {
            self.observed.lost.insert(instance.id, instance.release);
        }
    }

    /// Remember that a place is empty by itself; it waits before it is filled again.
    pub(super) fn has_fallen(
        &mut self,
        key: u64,
        process: &str,
        slot: u32,
        failure: Failure,
        log: Vec<String>,
    ) {
        let text = failure.causes.join(": ");
        self.remark(text);
        self.fail(key, failure, log);
        let falls = self.falls.entry((process.to_owned(), slot)).or_default();
        *falls += 1;
        let chance = crate::listener::random_u64().unwrap_or(0) as f64 / u64::MAX as f64;
        let until = self.epoch.elapsed() + plan::backoff(*falls, chance);
        self.observed
            .holds
            .retain(|hold| !(hold.release == key && hold.process == process && hold.slot == slot));
        self.observed.holds.push(Hold {
            release: key,
            process: process.to_owned(),
            slot,
            until,
        });
        if self.is_candidate(key) {
            // Not even started: there is no id to lose.
            self.observed.lost.entry(InstanceId(0)).or_insert(key);
        }
    }

    pub(super) fn is_candidate(&self, key: u64) -> bool {
        let target = self.desired.target.as_ref().map(|wanted| wanted.release);
        let serving = self.desired.serving.as_ref().map(|wanted| wanted.release);
        target == Some(key) && serving != Some(key)
    }

    async fn observe_release_command(&mut self, found: &HashMap<String, Unit>) {
        let Some(ReleaseCommand::Running(key)) = self.observed.release_command else {
            return;
        };
        let number = self.generations.get(&key).map(|g| g.release.number);
        let unit = match (&self.jobs.old_release_command, number) {
            (Some(unit), _) => unit.clone(),
            (None, Some(number)) => units::release_unit(&self.name, number),
            (None, None) => {
                self.observed.release_command = None;
                return;
            }
        };
        let unit_is = found.get(&unit);
        if unit_is.is_some_and(|is| !is.is_over()) {
            return;
        }
        let failed = unit_is.is_some_and(|is| is.active == "failed");
        self.jobs.old_release_command = None;
        for line in journal::lines(&unit, 500).await {
            if let Some(ongoing) = &self.ongoing {
                ongoing.client.say(Progress::Output {
                    stream: Stream::Release,
                    line,
                });
            }
        }
        self.observed.release_command = Some(if failed {
            let how = self.how_it_ended(&unit).await;
            let log = journal::tail(&unit).await;
            let command = self
                .generations
                .get(&key)
                .and_then(|g| g.release.release_command.clone())
                .unwrap_or_default();
            let why = format!("`{command}` ended with {how}");
            self.fail(key, Failure::new("the release command failed", why), log);
            ReleaseCommand::Failed(key)
        } else {
            ReleaseCommand::Done(key)
        });
        self.shared.systemd.forget(&unit).await;
        self.shared.places.remove_unit(&self.name, &unit);
    }

    /// `exit status 3`, `signal 9`.
    pub(super) async fn how_it_ended(&self, unit: &str) -> String {
        const KILLED: i32 = 2;
        const DUMPED: i32 = 3;
        let systemd = &self.shared.systemd;
        let code: Option<i32> = systemd.property(unit, "ExecMainCode").await;
        let status: Option<i32> = systemd.property(unit, "ExecMainStatus").await;
        let result: Option<String> = systemd.property(unit, "Result").await;
        match (code, status, result.as_deref()) {
            (_, _, Some("timeout")) => "a timeout".to_owned(),
            (_, _, Some("oom-kill")) => "too little memory: the kernel ended it".to_owned(),
            (Some(KILLED | DUMPED), Some(signal), _) => format!("signal {signal}"),
            // systemd.exec(5), "Process exit codes".
            (_, Some(203), _) => "exit status 203: its program could not be executed".to_owned(),
            (_, Some(200..=243), _) => format!(
                "exit status {}: systemd could not prepare its sandbox",
                status.unwrap_or_default()
            ),
            (_, Some(status), _) => format!("exit status {status}"),
            (_, None, _) => "an unknown status".to_owned(),
        }
    }
}

/// What `auto` had come to is not written down, but the instances are: an agent that begins anew wants as many. One that is
/// replaced has its successor in the same slot.
fn as_many_as_ran(wanted: &mut Wanted, instances: &[StoredInstance]) {
    for (name, process) in &mut wanted.processes {
        if process.count.is_some() {
            continue;
        }
        let own = instances
            .iter()
            .filter(|instance| instance.launch == wanted.release && instance.process == *name);
        let slots: BTreeSet<_> = own.map(|instance| instance.slot).collect();
        process.count = u32::try_from(slots.len()).ok().filter(|count| *count > 0);
    }
}

/// What the planner is told of a release. `counts`: what somebody said.
fn wanted(key: u64, release: &Release, counts: &BTreeMap<String, u32>) -> Wanted {
    let processes = release.processes.iter().map(|(name, spec)| {
        let count = match spec.count {
            Count::Fixed(n) => Some(n),
            Count::Auto if spec.listen.is_none() => Some(1),
            Count::Auto => None,
        };
        let process = WantedProcess {
            count: counts.get(name).copied().or(count),
            ceiling: u32::MAX,
            visited: spec.listen.is_some(),
        };
        (name.clone(), process)
    });
    Wanted {
        release: key,
        release_command: release.release_command.is_some(),
        processes: processes.collect(),
    }
}
