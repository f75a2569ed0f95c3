//! The edge: tables and probes to it, and what it says.

use std::time::Duration;

use stead_model::messages::{EdgeEvent, Probe};
use stead_model::plan::{Phase, Table};
use stead_model::routing::InstanceId;

use super::{App, Generation, Message, Ongoing};
use crate::apps::certificates;
use crate::apps::link::News;
use crate::machine;
use crate::table;

/// Between two probes, at first and after [`EAGER`].
const SOON: Duration = Duration::from_millis(20);
const AFTERWARDS: Duration = Duration::from_millis(200);
const EAGER: Duration = Duration::from_secs(3);
/// One probe: an app's first answer may take many seconds, and asking again would not help it.
const LONGEST: Duration = Duration::from_secs(15);

impl App {
    /// Write a table down and send it.
    pub(super) fn publish(&mut self, table: Table) {
        let part = self.part(&table);
        let switch = table
            .release
            .filter(|key| self.is_candidate(*key) && self.observed.sent.release != Some(*key));
        let release =
            switch.and_then(|key| Some((key, self.generations.get(&key)?.release.number)));
        if release.is_some() {
            self.step("switch");
        }
        let kept = self.shared.store().publish(&self.name, &part, release);
        self.observed.sent = table.clone();
        if let Err(failure) = kept {
            // What could not be written down did not happen; the planner gives it up.
            self.remark(failure.to_string());
            self.refusal = failure.to_string();
            self.observed.sent = self.observed.confirmed.clone();
            self.observed.refused = Some(table);
            return;
        }
        for id in &table.instances {
            if let Some(instance) = self.instance_mut(*id) {
                instance.listed = true;
                // An instance that comes back into the table has to drain again.
                instance.drained = false;
            }
        }
        let number = self.next_table;
        self.next_table += 1;
        self.unanswered.insert(number, table);
        let (link, messages, app) = (
            self.shared.link.clone(),
            self.messages.clone(),
            self.name.clone(),
        );
        tokio::spawn(async move {
            let outcome = link.publish(app, Some(part)).await;
            let _ = messages.send(Message::Published(number, outcome));
        });
    }

    /// Every new request uses this table from now on, or the one before still.
    pub(super) fn published(&mut self, number: u64, outcome: Result<(), String>) {
        let Some(table) = self.unanswered.remove(&number) else {
            return;
        };
        let Err(why) = outcome else {
            self.unanswered.retain(|n, _| *n > number);
            self.observed.confirmed = table.clone();
            if let Some(key) = table.release
                && self.unanswered.is_empty()
                && let Some(generation) = self.generations.get(&key)
            {
                self.desired.serving = Some(generation.wanted.clone());
                let serves = self.ongoing.as_ref().is_some_and(|o| o.key == Some(key));
                if serves && self.ongoing.as_ref().is_some_and(Ongoing::is_switching) {
                    self.step("drain");
                    self.begin_watch();
                }
            }
            self.want_certificates();
            self.boot();
            return;
        };
        self.remark(format!("the edge refused a routing table: {why}"));
        self.refusal = why;
        let confirmed = self.observed.confirmed.clone();
        for instance in &mut self.observed.instances {
            if table.instances.contains(&instance.id) && !confirmed.instances.contains(&instance.id)
            {
                instance.listed = false;
            }
        }
        if self.unanswered.is_empty() {
            self.observed.sent = confirmed.clone();
            let part = self.part(&confirmed);
            let release = confirmed
                .release
                .and_then(|key| Some((key, self.generations.get(&key)?.release.number)));
            if let Err(failure) = self.shared.store().publish(&self.name, &part, release) {
                self.remark(failure.to_string());
            }
        }
        self.observed.refused = Some(table);
    }

    /// The hosts of what serves are those that want certificates.
    fn want_certificates(&mut self) {
        let serving = self.desired.serving.as_ref().map(|wanted| wanted.release);
        let Some(key) = serving.filter(|key| self.certified != Some(*key)) else {
            return;
        };
        if let Some(generation) = self.generations.get(&key) {
            let Generation {
                release, acme, tls, ..
            } = generation;
            let wish = certificates::wish(release, acme, tls, &self.shared.places);
            self.shared.certificates.want(&self.name, Some(wish));
            self.certified = Some(key);
        }
    }

    /// Let the machine come up with what serves now.
    pub(super) fn boot(&self) {
        let mut starts = Vec::new();
        let serving = self.desired.serving.as_ref().map(|wanted| wanted.release);
        for instance in &self.observed.instances {
            let wanted = match instance.visited {
                true => self.observed.confirmed.instances.contains(&instance.id),
                false => Some(instance.release) == serving && instance.phase == Phase::Starting,
            };
            if let Some(live) = self.live.get(&instance.id).filter(|_| wanted) {
                starts.push(live.units.service.clone());
            }
        }
        let generation = serving.and_then(|key| self.generations.get(&key));
        if generation.is_some_and(|generation| generation.release.webhook.is_some()) {
            let [socket, _] = stead_model::units::webhook_units(&self.name);
            starts.push(socket);
        }
        if let Err(error) = self.shared.places.boot(&self.name, &starts) {
            self.remark(format!(
                "cannot write what is started at boot: {}",
                crate::spawn::io_text(&error)
            ));
        }
    }

    /// The edge said something.
    pub(super) fn news(&mut self, news: News) {
        match news {
            News::Reached(leaving) => {
                // Every one that is in no table and not among these has no requests.
                for instance in &mut self.observed.instances {
                    if !self.observed.sent.instances.contains(&instance.id)
                        && !leaving.contains(&instance.id)
                    {
                        instance.drained = true;
                    }
                }
            }
            News::Said(EdgeEvent::Drained { instance }) => {
                if let Some(instance) = self.instance_mut(instance) {
                    instance.drained = true;
                }
            }
            News::Said(EdgeEvent::RequestTimedOut {
                instance,
                request,
                after,
            }) => self.replace(
                instance,
                &format!(
                    "`{request}` took longer than {} s; the visitor got 504",
                    after.as_secs()
                ),
            ),
            News::Said(EdgeEvent::InstanceUnhealthy { instance, why }) => {
                self.replace(instance, &why);
            }
            News::Said(_) => {}
        }
    }

    /// An instance cannot do its work any more: another takes its place.
    fn replace(&mut self, id: InstanceId, why: &str) {
        let Some(instance) = self
            .instance_mut(id)
            .filter(|i| !i.recycle && i.phase == Phase::Healthy)
        else {
            return;
        };
        instance.recycle = true;
        if let Some(name) = self.live.get(&id).map(|live| live.name.clone()) {
            self.remark(format!("{name}: {why}; the instance is replaced"));
        }
    }

    /// Ask those that are starting whether they are ready.
    pub(super) fn probe_those_due(&mut self) {
        let now = self.epoch.elapsed();
        for instance in &self.observed.instances {
            let Some(live) = self
                .live
                .get_mut(&instance.id)
                .filter(|live| live.due.is_some_and(|due| due <= now))
            else {
                continue;
            };
            live.due = None;
            // What was refused while its socket was being made says nothing when the next one is not answered.
            if matches!(live.probed, Some(Err(_))) {
                live.probed = None;
            }
            let generation = self.generations.get(&instance.release);
            let spec = generation.and_then(|g| Some((g, g.spec(&instance.process)?)));
            let (Some((generation, spec)), Some(address)) = (spec, live.address.clone()) else {
                continue;
            };
            let Some(listen) = spec.listen.filter(|_| instance.phase == Phase::Starting) else {
                continue;
            };
            let left = (instance.since + instance.within).saturating_sub(now);
            let probe = Probe {
                id: 0,
                address,
                protocol: table::protocol(listen),
                path: spec.health.path.clone(),
                host: table::health_host(&generation.release, spec),
                timeout: left.clamp(SOON, LONGEST),
            };
            let (link, messages, id) =
                (self.shared.link.clone(), self.messages.clone(), instance.id);
            tokio::spawn(async move {
                let outcome = link.probe(probe).await;
                let _ = messages.send(Message::Probed(id, outcome));
            });
        }
    }

    /// A probe's result.
    pub(super) async fn probed(&mut self, id: InstanceId, outcome: Result<u16, String>) {
        let now = self.epoch.elapsed();
        let Some(instance) = self
            .instance(id)
            .filter(|i| i.phase == Phase::Starting)
            .cloned()
        else {
            return;
        };
        let range = self
            .generations
            .get(&instance.release)
            .and_then(|g| g.spec(&instance.process))
            .map_or((100, 499), |spec| spec.health.status);
        let good = matches!(outcome, Ok(status) if (range.0..=range.1).contains(&status));
        if let Some(live) = self.live.get_mut(&id) {
            live.probed = Some(outcome);
            let pause = match now.saturating_sub(instance.since) < EAGER {
                true => SOON,
                false => AFTERWARDS,
            };
            live.due = (!good).then_some(now + pause);
        }
        if good {
            self.set_phase(id, Phase::Healthy);
            self.falls
                .remove(&(instance.process.clone(), instance.slot));
            self.size_after_first(id, instance.release, &instance.process)
                .await;
        }
    }

    /// `count = "auto"`: as many as CPUs can use, if memory holds them.
    async fn size_after_first(&mut self, id: InstanceId, key: u64, process: &str) {
        let undecided = self
            .generations
            .get(&key)
            .and_then(|g| g.wanted.processes.get(process))
            .is_some_and(|wanted| wanted.count.is_none());
        if !undecided {
            return;
        }
        let unit = self.live.get(&id).map(|live| live.units.service.clone());
        let memory = self.memory_of(&unit.unwrap_or_default()).await;
        let most = machine::cpus().saturating_mul(2).saturating_add(1);
        let room = match (memory, machine::memory_available()) {
            (Some(each), Some(free)) => machine::fits(free, each),
            _ => most,
        };
        let count = most.min(room.saturating_add(1)).max(1);
        if let (Some(generation), Some(memory)) = (self.generations.get_mut(&key), memory) {
            generation.measured.insert(process.to_owned(), memory);
        }
        self.want(key, process, count);
    }

    /// So many instances of a process are wanted.
    pub(super) fn want(&mut self, key: u64, process: &str, count: u32) {
        let own = self.generations.get_mut(&key).map(|g| &mut g.wanted);
        let planned = [&mut self.desired.target, &mut self.desired.serving];
        for wanted in planned.into_iter().flatten().chain(own) {
            if wanted.release == key
                && let Some(process) = wanted.processes.get_mut(process)
            {
                process.count = Some(count);
            }
        }
    }

    /// Memory of the processes of a unit, bytes.
    pub(super) async fn memory_of(&self, unit: &str) -> Option<u64> {
        let group: String = self.shared.systemd.property(unit, "ControlGroup").await?;
        let file = format!("/sys/fs/cgroup{group}/cgroup.procs");
        let text = std::fs::read_to_string(file).ok()?;
        let pids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        (!pids.is_empty()).then(|| machine::resident_memory_of(&pids))
    }

    /// Where visitors find it.
    pub(super) fn hosts(&self) -> Vec<String> {
        let serving = self.desired.serving.as_ref();
        let release = serving.and_then(|wanted| self.generations.get(&wanted.release));
        let routes = release.iter().flat_map(|g| &g.release.routes);
        let mut hosts: Vec<String> = routes.flat_map(|route| route.hosts.clone()).collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }
}
