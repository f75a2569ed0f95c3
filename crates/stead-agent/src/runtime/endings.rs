//! How instances end: by themselves, or because they were told to.

use std::time::Duration;

use rustix::process::Signal;
use stead_model::plan::{self, Hold, Instance, Phase};
use stead_model::routing::InstanceId;

use super::Runtime;
use super::children::{Ended, Owner, Status};
use crate::Report;
use crate::listener;
use crate::processes::Belonging;
use crate::state::Failure;

/// So many ends within a minute are a crash loop.
const CRASH_LOOP: usize = 5;

impl Runtime {
    /// SIGTERM to an instance.
    pub(crate) fn terminate(&mut self, id: InstanceId) {
        let late = self.instance(id).filter(|i| {
            let now = self.epoch.elapsed();
            let late = i.visited && i.phase == Phase::Starting && now >= i.since + i.within;
            late && !self.stopping && self.serves(i.release)
        });
        if let (Some(_), Some(live)) = (late, self.live.get(&id)) {
            let text = "it did not become healthy in time and is started again";
            self.note(live.name.clone(), true, text);
            self.count_failure(id);
        }
        self.set_phase(id, Phase::Stopping);
        self.signal_instance(id, Signal::TERM);
    }

    /// SIGKILL to an instance and everything that belongs to it.
    pub(crate) fn kill(&mut self, id: InstanceId) {
        if self
            .instance(id)
            .is_some_and(|i| i.phase == Phase::Stopping)
            && !self.desired.at_once
            && let Some(live) = self.live.get(&id)
        {
            self.note(
                live.name.clone(),
                true,
                "it did not end after SIGTERM and is killed",
            );
        }
        self.set_phase(id, Phase::Killed);
        let forked = self.live.get(&id).filter(|live| live.worker.is_some());
        let belonging = match forked {
            Some(live) => self
                .is_still_forked(live)
                .then(|| Belonging::tree_of(live.pid)),
            None => self.children.belonging(&Owner::Instance(id)),
        };
        self.signal_instance(id, Signal::KILL);
        if let Some(belonging) = belonging {
            tokio::task::spawn_blocking(move || belonging.end(Duration::from_secs(2)));
        }
    }

    /// The program of an instance has ended: out of the table at once, whatever is left of it.
    pub(crate) fn instance_ended(&mut self, id: InstanceId) {
        let Some(instance) = self.instance(id) else {
            return;
        };
        if matches!(instance.phase, Phase::Starting | Phase::Healthy) {
            // The burial says the rest, when the last lines of its log are there.
            if let Some(live) = self.live.get_mut(&id) {
                live.ended_by_itself = Some(self.epoch.elapsed());
            }
            self.set_phase(id, Phase::Killed);
        }
    }

    /// A child was buried.
    pub(crate) fn ended(&mut self, ended: Ended) {
        self.forget_child(ended.pid);
        match ended.owner {
            Owner::Instance(id) => self.instance_buried(id, &ended),
            Owner::ReleaseCommand(key) => self.release_command_ended(key, &ended),
            Owner::Job(run) => self.job_ended(run, &ended),
            Owner::Worker(id) => self.worker_ended(id, &ended),
        }
    }

    fn instance_buried(&mut self, id: InstanceId, ended: &Ended) {
        let Some(at) = self.observed.instances.iter().position(|i| i.id == id) else {
            return;
        };
        let Some(live) = self.live.remove(&id) else {
            return;
        };
        if live.ended_by_itself.is_some() {
            self.live.insert(id, live);
            self.ended_by_itself(id, ended);
            self.live.remove(&id);
        }
        self.observed.instances.remove(at);
        self.probes.retain(|_, instance| *instance != id);
    }

    fn ended_by_itself(&mut self, id: InstanceId, ended: &Ended) {
        let Some(instance) = self.instance(id).cloned() else {
            return;
        };
        let Some(live) = self.live.get(&id) else {
            return;
        };
        let name = live.name.clone();
        let at = live.ended_by_itself.unwrap_or_default();
        let age = at.saturating_sub(live.started);
        if self.is_candidate(instance.release) {
            let failure = before_it_served(&name, ended.status, age);
            self.fail(instance.release, failure, ended.log.tail());
            self.observed.lost.insert(id, instance.release);
            return;
        }
        if !self.serves(instance.release) {
            return;
        }
        let pause = self.count_failure(id);
        let text = format!(
            "it ended with {} after {}; it is started again in {}",
            ended.status,
            seconds(age),
            seconds(pause)
        );
        self.note(name.clone(), true, text);
        self.look_for_crash_loop(&instance, &name, ended.log.tail());
    }

    /// An instance could not even be started.
    pub(crate) fn start_failed(&mut self, instance: Instance, name: &str, failure: Failure) {
        let release = instance.release;
        if self.is_candidate(release) {
            self.observed.lost.insert(instance.id, release);
            self.fail(release, failure, Vec::new());
            return;
        }
        let pause = self.hold(release, &instance.process, instance.slot, Duration::ZERO);
        let text = format!(
            "{}; next try in {}",
            failure.causes.join(": "),
            seconds(pause)
        );
        self.note(name, true, text);
        self.look_for_crash_loop(&instance, name, Vec::new());
    }

    /// The target, as long as no visitor can have reached it.
    pub(crate) fn is_candidate(&self, release: u64) -> bool {
        let target = self.desired.target.as_ref().map(|t| t.release);
        target == Some(release) && !self.serves(release)
    }

    /// Confirmed by the edge, or on its way to it.
    fn serves(&self, release: u64) -> bool {
        let serving = self.desired.serving.as_ref().map(|s| s.release);
        serving == Some(release) || self.observed.sent.release == Some(release)
    }

    /// Hold the instance's place after a failure. Returns for how long.
    fn count_failure(&mut self, id: InstanceId) -> Duration {
        let Some(instance) = self.instance(id).cloned() else {
            return Duration::ZERO;
        };
        let started = self
            .live
            .get(&id)
            .map_or(Duration::ZERO, |live| live.started);
        let age = self.epoch.elapsed().saturating_sub(started);
        self.hold(instance.release, &instance.process, instance.slot, age)
    }

    fn hold(&mut self, release: u64, process: &str, slot: u32, age: Duration) -> Duration {
        let now = self.epoch.elapsed();
        let Some(generation) = self.generations.get_mut(&release) else {
            return Duration::ZERO;
        };
        let place = generation.place(process, slot);
        if age >= plan::SETTLED {
            place.failures = 0;
        }
        place.failures += 1;
        let chance = listener::random_u64().unwrap_or(0) as f64 / u64::MAX as f64;
        let pause = plan::backoff(place.failures, chance);
        let holds = &mut self.observed.holds;
        holds.retain(|h| {
            h.until > now && (h.release, h.process.as_str(), h.slot) != (release, process, slot)
        });
        holds.push(Hold {
            release,
            process: process.to_owned(),
            slot,
            until: now + pause,
        });
        pause
    }

    /// Say so when a process ends again and again; once a minute.
    fn look_for_crash_loop(&mut self, instance: &Instance, name: &str, log: Vec<String>) {
        let now = self.epoch.elapsed();
        let Some(generation) = self.generations.get_mut(&instance.release) else {
            return;
        };
        let exits = generation
            .exits
            .entry(instance.process.clone())
            .or_default();
        exits.push_back(now);
        while exits.front().is_some_and(|at| *at + plan::SETTLED < now) {
            exits.pop_front();
        }
        if exits.len() < CRASH_LOOP {
            return;
        }
        exits.clear();
        generation.looping.insert(instance.process.clone());
        let healthy = self
            .observed
            .instances
            .iter()
            .filter(|i| i.release == instance.release && i.process == instance.process)
            .filter(|i| i.phase == Phase::Healthy)
            .count();
        let state = match (instance.visited, healthy) {
            (false, _) => "the web processes are not affected".to_owned(),
            (true, 0) => "visitors wait, then get 503".to_owned(),
            (true, 1) => "1 other instance serves".to_owned(),
            (true, n) => format!("{n} other instances serve"),
        };
        let _ = self.reports.send(Report::CrashLoop {
            source: name.to_owned(),
            text: format!(
                "`{}` ended {CRASH_LOOP} times within a minute",
                instance.process
            ),
            state,
            log,
        });
    }
}

fn before_it_served(name: &str, status: Status, age: Duration) -> Failure {
    let failure = Failure {
        causes: vec![format!(
            "`{name}` ended with {status} after {}, before it was healthy",
            seconds(age)
        )],
        hint: None,
    };
    match status {
        Status::Exited(0) => failure.hint(
            "a program that goes on in the background looks like one that has ended: have it stay in the foreground",
        ),
        Status::Exited(127) => failure.hint("a program that its command names is not installed"),
        Status::Exited(126) => failure.hint("a program that its command names is not executable"),
        _ => failure,
    }
}

/// `350 ms`, `2.5 s`, `3 min`.
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs_f64() {
        s if s < 1.0 => format!("{} ms", duration.as_millis()),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s => format!("{:.0} min", s / 60.0),
    }
}
