//! Jobs: started when they are due, logged, never ended by a switch of releases.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use stead_model::manifest::Overlap;

use super::Runtime;
use super::children::{Ended, Owner, Status};
use super::endings::seconds;
use super::switch::shell;
use crate::clock::Clocks;

/// The wall clock is looked at again after this long at most: it may jump.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The agent's jobs.
#[derive(Debug)]
pub(crate) struct Jobs {
    clocks: Clocks,
    /// The release whose jobs the clocks are for.
    release: Option<u64>,
    running: BTreeMap<u64, Run>,
    /// One run waits for the end of the one before.
    queued: BTreeSet<String>,
    next_run: u64,
}

/// One run of a job.
#[derive(Debug)]
struct Run {
    job: String,
    started: Duration,
    deadline: Duration,
    /// Was told to end, for this reason.
    ended_because: Option<String>,
}

impl Jobs {
    pub(crate) fn new(clocks: Clocks) -> Self {
        Self {
            clocks,
            release: None,
            running: BTreeMap::new(),
            queued: BTreeSet::new(),
            next_run: 1,
        }
    }
}

impl Runtime {
    /// Start what is due, end what takes too long.
    pub(crate) async fn mind_the_jobs(&mut self) {
        self.end_overlong_runs();
        let serving = self.desired.serving.as_ref().map(|s| s.release);
        let confirmed = self.observed.confirmed.release;
        let Some(key) = serving.filter(|key| confirmed == Some(*key) && !self.stopping) else {
            return;
        };
        let Some(release) = self.generations.get(&key).map(|g| g.release.clone()) else {
            return;
        };
        let now = Timestamp::now();
        if self.jobs.release != Some(key) {
            self.jobs.release = Some(key);
            let jobs: Vec<_> = release
                .jobs
                .iter()
                .filter_map(|(name, job)| {
                    Some((name.clone(), job.schedule.clone()?, job.timezone.clone()))
                })
                .collect();
            self.jobs.clocks.set(&jobs, now);
            self.jobs
                .queued
                .retain(|name| release.jobs.contains_key(name));
        }
        for name in self.jobs.clocks.due(now) {
            self.job_is_due(key, &name).await;
        }
        let queued: Vec<String> = self.jobs.queued.iter().cloned().collect();
        for name in queued {
            if !self.job_runs(&name) {
                self.jobs.queued.remove(&name);
                self.start_job(key, &name).await;
            }
        }
    }

    /// How long until the next one is due, by the wall clock.
    pub(crate) fn next_job(&self) -> Option<Duration> {
        let now = self.epoch.elapsed();
        let overlong = self
            .jobs
            .running
            .values()
            .filter(|r| r.ended_because.is_none());
        let overlong = overlong.map(|run| run.deadline);
        let wall = Timestamp::now();
        let clocks = self.jobs.clocks.by_job.values().filter(|_| !self.stopping);
        let due = clocks.filter_map(|clock| {
            let left = clock.next()?.duration_since(wall);
            let left = Duration::try_from(left).unwrap_or_default();
            Some(now + left.min(LOOK_AGAIN))
        });
        overlong.chain(due).min()
    }

    fn job_runs(&self, name: &str) -> bool {
        self.jobs.running.values().any(|run| run.job == name)
    }

    async fn job_is_due(&mut self, key: u64, name: &str) {
        if !self.job_runs(name) {
            return self.start_job(key, name).await;
        }
        let overlap = self
            .generations
            .get(&key)
            .and_then(|g| g.release.jobs.get(name))
            .map_or(Overlap::Skip, |job| job.overlap);
        let source = format!("job.{name}");
        match overlap {
            Overlap::Skip => {
                self.note(
                    source,
                    true,
                    "its previous run is still going; this one is skipped",
                );
            }
            Overlap::Queue => {
                let text = "its previous run is still going; this one waits for its end";
                self.note(source, false, text);
                self.jobs.queued.insert(name.to_owned());
            }
            Overlap::Replace => {
                self.jobs.queued.insert(name.to_owned());
                let runs: Vec<u64> = self
                    .jobs
                    .running
                    .iter()
                    .filter(|(_, run)| run.job == name)
                    .map(|(id, _)| *id)
                    .collect();
                for run in runs {
                    self.end_run(run, "a new run replaces it".into());
                }
            }
        }
    }

    async fn start_job(&mut self, key: u64, name: &str) {
        let Some(generation) = self.generations.get(&key) else {
            return;
        };
        let Some(job) = generation.release.jobs.get(name).cloned() else {
            return;
        };
        let run = self.jobs.next_run;
        self.jobs.next_run += 1;
        let source = format!("job.{name}");
        let mut env = generation.env.clone();
        env.insert("STEAD_JOB".into(), name.into());
        env.insert("STEAD_PROCESS".into(), source.clone().into());
        let marker = format!("{}-job-{run}", self.state.run);
        let argv = shell(&job.command);
        let launched = self
            .launch(key, Owner::Job(run), &source, marker, argv, env, Vec::new())
            .await;
        if let Err(why) = launched {
            self.note(source, true, format!("it could not be started: {why}"));
            return;
        }
        let started = self.epoch.elapsed();
        let run_of = Run {
            job: name.to_owned(),
            started,
            deadline: started.saturating_add(job.timeout),
            ended_because: None,
        };
        self.jobs.running.insert(run, run_of);
    }

    fn end_overlong_runs(&mut self) {
        let now = self.epoch.elapsed();
        let overlong: Vec<(u64, Duration)> = self
            .jobs
            .running
            .iter()
            .filter(|(_, run)| run.ended_because.is_none() && now >= run.deadline)
            .map(|(id, run)| (*id, run.deadline.saturating_sub(run.started)))
            .collect();
        for (run, timeout) in overlong {
            self.end_run(run, format!("it took longer than {}", seconds(timeout)));
        }
    }

    fn end_run(&mut self, run: u64, why: String) {
        if let Some(of) = self.jobs.running.get_mut(&run)
            && of.ended_because.is_none()
        {
            of.ended_because = Some(why);
            self.end_program(&Owner::Job(run));
        }
    }

    /// Everything stops.
    pub(crate) fn end_jobs(&mut self) {
        self.jobs.queued.clear();
        let runs: Vec<u64> = self.jobs.running.keys().copied().collect();
        for run in runs {
            self.end_run(run, "Stead stops".into());
        }
    }

    /// A run has ended.
    pub(crate) fn job_ended(&mut self, run: u64, ended: &Ended) {
        let Some(run) = self.jobs.running.remove(&run) else {
            return;
        };
        let took = seconds(self.epoch.elapsed().saturating_sub(run.started));
        let how = match (&run.ended_because, ended.status) {
            // It was Stead who killed it, not the kernel for want of memory.
            (Some(_), Status::Signalled(libc::SIGKILL)) => {
                "SIGKILL, since it went on after SIGTERM,".to_owned()
            }
            (_, status) => status.to_string(),
        };
        let why = run
            .ended_because
            .map(|why| format!("; it was told to: {why}"));
        self.note(
            format!("job.{}", run.job),
            !ended.status.is_success(),
            format!("ended with {how} after {took}{}", why.unwrap_or_default()),
        );
    }
}
