//! From one release to the next: its steps, its failure, its end.

use std::time::{Duration, Instant};

use stead_model::agent::{Answer, Done, Failed, Progress};
use stead_model::plan::{self, ReleaseCommand, Why};
use stead_model::routing::InstanceId;

use super::{App, Ongoing, OngoingStep, clock};
use crate::advice;
use crate::apps::journal;
use crate::state::Failure;

/// What was built for so many releases is kept.
const KEPT: usize = 5;

impl App {
    /// A step of what is carried out begins; the one before it has ended. Both are written down.
    pub(super) fn step(&mut self, name: &str) {
        let Some(ongoing) = &mut self.ongoing else {
            return;
        };
        if ongoing.step.as_ref().is_some_and(|step| step.name == name) {
            return;
        }
        let store = self.shared.store();
        ongoing.end_step(&store, "");
        let id = store.begin_step(&self.name, ongoing.number, name, clock());
        ongoing.client.say(Progress::Began {
            step: name.to_owned(),
        });
        ongoing.step = Some(OngoingStep {
            name: name.to_owned(),
            began: Instant::now(),
            id: id.ok(),
        });
    }

    /// The step of a launch that visitors do not get yet.
    pub(super) fn step_if_target(&mut self, key: u64, name: &str) {
        if self.is_candidate(key) {
            self.step(name);
        }
    }

    /// The detail that ends the present step.
    pub(super) fn step_ended(&mut self, detail: &str) {
        if let Some(ongoing) = &mut self.ongoing {
            let store = self.shared.store();
            ongoing.end_step(&store, detail);
        }
    }

    /// Remember why a launch cannot serve; the first reason stays.
    pub(super) fn fail(&mut self, key: u64, failure: Failure, log: Vec<String>) {
        if let Some(generation) = self.generations.get_mut(&key) {
            generation.failure.get_or_insert((failure, log));
        }
    }

    /// Give the target up, and say why.
    pub(super) async fn abandon(&mut self, key: u64, why: Why) {
        let told = self
            .generations
            .get_mut(&key)
            .and_then(|generation| generation.failure.take());
        let (failure, log) = match why {
            Why::NotHealthy(id) => self.not_healthy(key, id).await,
            Why::Refused => {
                let why = self.refusal.clone();
                let failure = Failure::new("its routes were not taken", why);
                (failure, Vec::new())
            }
            Why::ReleaseCommand | Why::Ended(_) => told.unwrap_or_default(),
        };
        self.give_up(key, failure, log).await;
    }

    /// The target is no more; what served before goes on.
    pub(super) async fn give_up(&mut self, key: u64, failure: Failure, log: Vec<String>) {
        self.desired.target = self.desired.serving.clone();
        self.observed.lost.retain(|_, release| *release != key);
        if let Some(ReleaseCommand::Failed(_)) = self.observed.release_command {
            self.observed.release_command = None;
        }
        if let Err(failure) = self.shared.store().launch_over(key) {
            self.remark(failure.to_string());
        }
        if self
            .ongoing
            .as_ref()
            .is_some_and(|ongoing| ongoing.key == Some(key))
        {
            self.end_failed(failure, log).await;
        }
    }

    /// The last line of what is carried out: it failed.
    pub(super) async fn end_failed(&mut self, failure: Failure, log: Vec<String>) {
        let failed = Failed {
            causes: failure.causes,
            hint: failure.hint,
            log,
            ..Failed::default()
        };
        self.end_with(failed).await;
    }

    /// The same, with more known of it.
    pub(super) async fn end_with(&mut self, mut failed: Failed) {
        let state = self.state_now();
        let Some(mut ongoing) = self.ongoing.take() else {
            return;
        };
        if let Some(making) = &ongoing.making {
            making.abort();
        }
        let why = failed.causes.join(": ");
        {
            let store = self.shared.store();
            if let Some(id) = ongoing.step.take().and_then(|step| step.id) {
                let _ = store.end_step(id, clock(), Some(&why));
            }
            if ongoing.makes {
                let _ = store.release_failed(&self.name, ongoing.number, &why);
            }
        }
        let number = ongoing.number;
        failed.act = ongoing.act;
        failed.state = Some(match self.desired.serving {
            Some(_) if ongoing.makes => {
                format!("{state}; release {number} received no visitors")
            }
            _ => state,
        });
        crate::apps::say(
            &self.shared,
            &format!("{}: {}: {why}", self.name, failed.act),
        );
        let client = ongoing.client;
        tokio::spawn(async move { client.end(Answer::Failed(Box::new(failed))).await });
        self.prune().await;
    }

    /// What visitors get.
    pub(super) fn state_now(&self) -> String {
        let serving = self.desired.serving.as_ref();
        let release = serving.and_then(|wanted| self.generations.get(&wanted.release));
        match release {
            Some(generation) => format!("release {} still serves", generation.release.number),
            None => "nothing serves".to_owned(),
        }
    }

    /// Why an instance counts as not healthy, from its last probe.
    async fn not_healthy(&self, key: u64, id: InstanceId) -> (Failure, Vec<String>) {
        let found = self.live.get(&id).zip(self.instance(id));
        let spec =
            found.and_then(|(_, instance)| self.generations.get(&key)?.spec(&instance.process));
        let (Some((live, instance)), Some(spec)) = (found, spec) else {
            return Default::default();
        };
        let path = &spec.health.path;
        let within = spec.health.within.as_secs_f64();
        let act = format!("`{}` did not become healthy within {within} s", live.name);
        let process = &instance.process;
        let failure = match &live.probed {
            Some(Ok(status)) => Failure::new(
                act,
                format!(
                    "`GET {path}` was answered {status}, and {} to {} counts as healthy",
                    spec.health.status.0, spec.health.status.1
                ),
            )
            .hint(format!(
                "health = {{ path = \"…\" }} in [process.{process}] names a page that works"
            )),
            Some(Err(why)) => Failure::new(act, format!("`GET {path}` failed: {why}")),
            None => Failure::new(act, format!("`GET {path}` was not answered at all")),
        };
        let log = journal::tail(&live.units.service).await;
        let generation = self.generations.get(&key);
        let prepared = generation.is_some_and(|g| g.release.release_command.is_some());
        let failure = match advice::of_log(&log, prepared) {
            Some(hint) => failure.hint(hint),
            None => failure,
        };
        (failure, log)
    }

    /// Whether what is carried out has come to its end.
    pub(super) async fn end_if_done(&mut self) {
        let Some(ongoing) = &self.ongoing else {
            return;
        };
        if ongoing.making.is_some() {
            return;
        }
        if ongoing.removes.is_some() {
            if self.observed.instances.is_empty() && self.unanswered.is_empty() {
                self.end_removal().await;
            }
            return;
        }
        let others = self.observed.instances.iter().any(|instance| {
            ongoing.replaced.contains(&instance.id)
                || instance.phase > plan::Phase::Healthy
                || ongoing.key.is_some_and(|key| instance.release != key)
        });
        if others || !plan::complete(&self.desired, &self.observed) {
            return;
        }
        self.boot();
        let (counts, hosts) = (self.counts().await, self.hosts());
        let certificates = self.shared.certificates.status(&self.name).await;
        let certified = certificates.unwrap_or_default();
        let scheme = |host: &String| {
            let mut certified = certified.iter();
            let is = certified.any(|one| one.host == *host && one.ends > Some(clock()));
            if is { "https" } else { "http" }
        };
        let Some(mut ongoing) = self.ongoing.take() else {
            return;
        };
        let took = ongoing.began.elapsed();
        {
            let store = self.shared.store();
            ongoing.end_step(&store, "");
            if ongoing.makes {
                let _ = store.release_took(&self.name, ongoing.number, took);
            }
        }
        let done = Done {
            text: format!("release {} serves", ongoing.number),
            release: Some(ongoing.number),
            previous: ongoing.previous,
            milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            counts,
            addresses: hosts
                .iter()
                .map(|host| format!("{}://{host}", scheme(host)))
                .collect(),
        };
        crate::apps::say(&self.shared, &format!("{}: {}", self.name, done.text));
        let client = ongoing.client;
        tokio::spawn(async move { client.end(Answer::Done(Box::new(done))).await });
        self.prune().await;
    }

    /// `web: 5 instances of 16 threads (42 MB each)`.
    async fn counts(&self) -> Vec<String> {
        let Some(wanted) = &self.desired.serving else {
            return Vec::new();
        };
        let Some(generation) = self.generations.get(&wanted.release) else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        for (name, process) in &wanted.processes {
            let count = process.count.unwrap_or(0);
            if count == 0 && process.visited {
                lines.push(format!("{name}: no instances; its visitors get 503"));
                continue;
            }
            let plural = if count == 1 { "instance" } else { "instances" };
            let threads = generation
                .spec(name)
                .filter(|spec| {
                    spec.listen.is_some_and(|listen| {
                        crate::table::protocol(listen) == stead_model::release::Protocol::Frames
                    })
                })
                .map(|spec| match spec.capacity {
                    1 => " of 1 thread".to_owned(),
                    n => format!(" of {n} threads"),
                });
            let instances = self.observed.instances.iter();
            let first = instances
                .filter(|i| i.release == wanted.release && i.process == *name)
                .find_map(|i| self.live.get(&i.id));
            let memory = match first {
                Some(live) => self.memory_of(&live.units.service).await,
                None => None,
            };
            let memory = memory.map(|bytes| format!(" ({} MB each)", bytes.div_ceil(1 << 20)));
            lines.push(format!(
                "{name}: {count} {plural}{}{}",
                threads.unwrap_or_default(),
                memory.unwrap_or_default()
            ));
        }
        lines
    }

    /// Keep what was built for the last releases, and for what runs.
    pub(super) async fn prune(&mut self) {
        let running: Vec<u64> = self
            .generations
            .values()
            .map(|g| g.release.number)
            .collect();
        let (mut kept, mut trees) = (Vec::new(), Vec::new());
        {
            let store = self.shared.store();
            let Ok(records) = store.releases(&self.name, 1000) else {
                return;
            };
            for record in records {
                let Some(built) = record.built else { continue };
                let number = record.info.number;
                if kept.len() < KEPT || running.contains(&number) {
                    kept.push(built.release);
                    trees.push(record.info.tree);
                } else if let Err(failure) = store.pruned(&self.name, number) {
                    crate::apps::say(&self.shared, &failure.to_string());
                    return;
                }
            }
        }
        let forgotten = self.shared.store().forget(&self.name);
        if let Err(failure) = forgotten {
            crate::apps::say(&self.shared, &failure.to_string());
            return;
        }
        kept.extend(self.generations.values().map(|g| (*g.release).clone()));
        let (places, app) = (self.shared.places.clone(), self.name.clone());
        let removed = tokio::task::spawn_blocking(move || {
            let trees: Vec<&str> = trees.iter().map(String::as_str).collect();
            places.prune(&app, kept.iter(), &trees)
        });
        if let Ok(Err(why)) = removed.await {
            self.remark(format!("cannot remove what is not needed any more: {why}"));
        }
    }
}

impl Ongoing {
    /// Its table is on the way to the edge.
    pub(super) fn is_switching(&self) -> bool {
        self.step.as_ref().is_some_and(|step| step.name == "switch")
    }

    pub(super) fn end_step(&mut self, store: &crate::store::Store, detail: &str) {
        let Some(step) = self.step.take() else {
            return;
        };
        if let Some(id) = step.id {
            let _ = store.end_step(id, clock(), None);
        }
        let milliseconds = step
            .began
            .elapsed()
            .min(Duration::from_secs(1 << 32))
            .as_millis();
        self.client.say(Progress::Ended {
            step: step.name,
            milliseconds: u64::try_from(milliseconds).unwrap_or(u64::MAX),
            detail: detail.to_owned(),
        });
    }
}
