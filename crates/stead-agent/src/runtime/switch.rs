//! From one release to the next: preparing it, its release command, giving it up.

use std::ffi::OsString;
use std::sync::Arc;

use stead_model::manifest::Count;
use stead_model::plan::{ReleaseCommand, Wanted, Why};
use stead_model::release::{Listen, Release};

use super::Runtime;
use super::children::{Ended, Owner};
use super::generation::{self, Generation, Live};
use crate::Report;
use crate::advice;
use crate::environment;
use crate::state::Failure;

impl Runtime {
    /// Make a release the target. An earlier one that does not serve yet is given up for it.
    pub(crate) fn switch(&mut self, release: Release) {
        let key = self.next_release;
        self.next_release += 1;
        let number = release.number;
        let prepared = self.prepare(key, release);
        let wanted = match prepared {
            Ok(wanted) => wanted,
            Err(failure) => {
                let act = format!("cannot start release {number}");
                let causes = [vec![act], failure.causes].concat();
                self.report_failed(number, causes, failure.hint, Vec::new());
                if self.desired.target.is_none() {
                    self.failed = true;
                }
                return;
            }
        };
        if let Some(earlier) = &self.desired.target
            && self.is_candidate(earlier.release)
            && let Some(earlier) = self.generations.get(&earlier.release)
        {
            let text = format!(
                "release {} is given up for release {number} before it served",
                earlier.release.number
            );
            self.note("stead", false, text);
        }
        self.observed.refused = None;
        self.desired.starting_limit = super::pace::base(self.cpus);
        // The table of the earlier target may be on its way to the edge: then that one serves from now on.
        let earlier = self.desired.target.as_ref().map(|t| t.release);
        if earlier.is_some() && self.observed.sent.release == earlier {
            self.desired.serving = self.desired.target.take();
        }
        self.desired.target = Some(wanted);
    }

    fn prepare(&mut self, key: u64, release: Release) -> Result<Wanted, Failure> {
        let secrets = self
            .state
            .secrets(&release, |name| std::env::var_os(name))?;
        for text in self.state.link_volumes(&release)? {
            self.note("volume", false, text);
        }
        let inherited = std::env::vars_os();
        let env = environment::of_release(inherited, &release, &secrets, &self.state.run);
        let mut wanted = generation::wanted(key, &release);
        for (name, process) in &mut wanted.processes {
            if !process.visited {
                continue;
            }
            let listen = release.processes.get(name).and_then(|spec| spec.listen);
            if !matches!(listen, Some(Listen::Port(_))) {
                self.insisting.remove(name);
            }
            process.ceiling = self.ceiling_for_switch(name, process.count);
            if process.ceiling == 1 && process.count != Some(0) {
                process.count = Some(1);
            }
            if process.count.is_none() {
                process.count = self.count_of_serving(name);
            }
        }
        let generation = Generation::new(Arc::new(release), wanted.clone(), env);
        self.generations.insert(key, generation);
        for name in wanted.processes.keys() {
            self.inherit_reason(key, name);
        }
        Ok(wanted)
    }

    /// `auto` was decided for the release that serves: its successor starts as many at once, rather than one
    /// to be measured and then the others.
    fn count_of_serving(&self, process: &str) -> Option<u32> {
        let serving = self.desired.serving.as_ref()?;
        let spec = self.generations.get(&serving.release)?.spec(process)?;
        if spec.count != Count::Auto || self.insisting.contains_key(process) {
            return None;
        }
        serving.processes.get(process)?.count
    }

    fn inherit_reason(&mut self, key: u64, process: &str) {
        let serving = self.desired.serving.as_ref().map(|s| s.release);
        let reason = serving
            .and_then(|s| self.generations.get(&s)?.reasons.get(process))
            .cloned();
        let auto = self
            .generations
            .get(&key)
            .and_then(|g| g.spec(process))
            .is_some_and(|spec| spec.count == Count::Auto || self.insisting.contains_key(process));
        if let (Some(reason), true) = (reason, auto) {
            self.reason(key, process, reason);
        }
    }

    /// Run the release command; the planner waits for its end.
    pub(crate) async fn run_release_command(&mut self, key: u64) {
        let Some(generation) = self.generations.get(&key) else {
            return;
        };
        let command = generation.release.release_command.clone();
        let mut env = generation.env.clone();
        env.insert("STEAD_PROCESS".into(), "release".into());
        let argv = shell(&command.unwrap_or_default());
        let marker = format!("{}-release-{key}", self.state.run);
        self.observed.release_command = Some(ReleaseCommand::Running(key));
        let owner = Owner::ReleaseCommand(key);
        let launched = self
            .launch(key, owner, "release", marker, argv, env, Vec::new())
            .await;
        if let Err(why) = launched {
            self.fail(
                key,
                Failure::new("cannot run the release command", why),
                Vec::new(),
            );
            self.observed.release_command = Some(ReleaseCommand::Failed(key));
        }
    }

    /// The release command has ended.
    pub(crate) fn release_command_ended(&mut self, key: u64, ended: &Ended) {
        self.observed.release_command = Some(if ended.status.is_success() {
            ReleaseCommand::Done(key)
        } else {
            let command = self
                .generations
                .get(&key)
                .and_then(|g| g.release.release_command.clone())
                .unwrap_or_default();
            let why = format!("`{command}` ended with {}", ended.status);
            let failure = Failure::new("the release command failed", why);
            self.fail(key, failure, ended.log.tail());
            ReleaseCommand::Failed(key)
        });
    }

    /// Remember why a release cannot serve; the first reason stays.
    pub(crate) fn fail(&mut self, key: u64, failure: Failure, log: Vec<String>) {
        if let Some(generation) = self.generations.get_mut(&key) {
            generation.failure.get_or_insert((failure, log));
        }
    }

    /// Give the target up, and say why.
    pub(crate) fn abandon(&mut self, key: u64, why: Why) {
        self.desired.target = self.desired.serving.clone();
        self.observed.lost.retain(|_, release| *release != key);
        if let Some(ReleaseCommand::Failed(_)) = self.observed.release_command {
            self.observed.release_command = None;
        }
        let Some(number) = self.generations.get(&key).map(|g| g.release.number) else {
            return;
        };
        let told = self
            .generations
            .get_mut(&key)
            .and_then(|g| g.failure.take());
        let (failure, log) = match why {
            Why::NotHealthy(id) => self
                .live
                .get(&id)
                .map(|live| {
                    let log = live.log.tail();
                    let mut failure = self.not_healthy(key, live);
                    let generation = self.generations.get(&key);
                    let prepared = generation.is_some_and(|g| g.release.release_command.is_some());
                    if let Some(hint) = advice::of_log(&log, prepared) {
                        failure.hint = Some(hint);
                    }
                    (failure, log)
                })
                .unwrap_or_default(),
            Why::Refused => {
                let why = self.refusal.clone();
                (
                    Failure::new("the edge refused its routing table", why),
                    Vec::new(),
                )
            }
            Why::ReleaseCommand | Why::Ended(_) => told.unwrap_or_default(),
        };
        let app = self.generations.get(&key).map(|g| g.release.app.clone());
        let act = format!(
            "cannot start release {number} of `{}`",
            app.unwrap_or_default()
        );
        let causes = [vec![act], failure.causes].concat();
        self.report_failed(number, causes, failure.hint, log);
        if self.desired.target.is_none() {
            self.failed = true;
        }
    }

    /// Why an instance counts as not healthy, from its last probe.
    fn not_healthy(&self, key: u64, live: &Live) -> Failure {
        let process = live
            .name
            .rsplit_once('.')
            .map_or("", |(process, _)| process);
        let Some(spec) = self.generations.get(&key).and_then(|g| g.spec(process)) else {
            return Failure::default();
        };
        let within = spec.health.within.as_secs_f64();
        let path = &spec.health.path;
        let act = format!("`{}` did not become healthy within {within} s", live.name);
        match &live.probing.last {
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
            Some(Err(why)) => Failure::new(act, format!("`GET {path}` failed: {why}")).hint(
                format!("health = {{ within = \"120s\" }} in [process.{process}] waits longer"),
            ),
            None => Failure::new(act, format!("`GET {path}` was not answered at all")).hint(
                format!("health = {{ within = \"120s\" }} in [process.{process}] waits longer"),
            ),
        }
    }

    fn report_failed(
        &self,
        number: u64,
        causes: Vec<String>,
        hint: Option<String>,
        log: Vec<String>,
    ) {
        let serving = self.desired.serving.as_ref();
        let serving = serving.and_then(|s| self.generations.get(&s.release));
        let state = match serving {
            Some(serving) => format!(
                "release {} still serves; release {number} received no visitors",
                serving.release.number
            ),
            None => "nothing serves".into(),
        };
        let _ = self.reports.send(Report::Failed {
            number,
            causes,
            state,
            hint,
            log,
        });
    }

    /// Nothing is wanted any more.
    pub(crate) fn stop_everything(&mut self) {
        self.desired.target = None;
        self.desired.serving = None;
        if let Some(ReleaseCommand::Running(key)) = self.observed.release_command {
            self.end_program(&Owner::ReleaseCommand(key));
        }
        self.end_jobs();
    }

    /// Forget releases of which nothing is left.
    pub(crate) fn forget_generations(&mut self) {
        let needed = |key: &u64| {
            let wanted = [&self.desired.target, &self.desired.serving];
            wanted.into_iter().flatten().any(|w| w.release == *key)
                || self.observed.instances.iter().any(|i| i.release == *key)
                || self.observed.release_command == Some(ReleaseCommand::Running(*key))
                || self.unanswered.values().any(|t| t.release == Some(*key))
                || self.observed.sent.release == Some(*key)
                || self.workers.iter().any(|w| w.is_of(*key))
                || self.observed.confirmed.release == Some(*key)
        };
        let gone: Vec<u64> = self
            .generations
            .keys()
            .filter(|k| !needed(k))
            .copied()
            .collect();
        for key in gone {
            self.generations.remove(&key);
            self.observed.holds.retain(|hold| hold.release != key);
            self.observed.lost.retain(|_, release| *release != key);
        }
    }
}

/// A shell line is a shell's: the one place where a value becomes code, because it is code.
pub(crate) fn shell(line: &str) -> Vec<OsString> {
    ["sh", "-c", line].into_iter().map(OsString::from).collect()
}
