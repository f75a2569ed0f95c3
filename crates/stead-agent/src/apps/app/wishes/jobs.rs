//! Jobs: started when they are due, as units that no deploy ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use stead_model::manifest::Overlap;
use stead_model::units::{self, Life};

use crate::apps::app::{App, clock};
use crate::apps::journal;
use crate::apps::systemd::Unit;
use crate::clock::Clocks;

/// The wall clock is looked at again after this long at most: it may jump.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The jobs of an app.
#[derive(Debug, Default)]
pub(in crate::apps::app) struct Jobs {
    /// `None`: nothing serves yet.
    clocks: Option<Clocks>,
    /// The launch whose jobs the clocks are for.
    of: Option<u64>,
    /// Unit → what runs.
    pub(in crate::apps::app) running: BTreeMap<String, Run>,
    queued: BTreeSet<String>,
    /// How the last run of each ended, and when.
    pub(in crate::apps::app) last: BTreeMap<String, (i64, Option<String>)>,
    /// A release command that an agent before this one started.
    pub(in crate::apps::app) old_release_command: Option<String>,
}

/// A run of a job.
#[derive(Clone, Debug)]
pub(in crate::apps::app) struct Run {
    /// The job's name.
    pub(in crate::apps::app) job: String,
    /// Since when.
    pub(in crate::apps::app) since: i64,
}

impl Jobs {
    /// When a job is due next.
    pub(in crate::apps::app) fn next(&self, job: &str) -> Option<i64> {
        let clock = self.clocks.as_ref()?.by_job.get(job)?;
        clock.next().map(Timestamp::as_second)
    }
}

impl App {
    /// Start what is due.
    pub(in crate::apps::app) async fn mind_the_jobs(&mut self) {
        let serving = self.desired.serving.as_ref().map(|wanted| wanted.release);
        let Some(key) = serving.filter(|key| self.observed.confirmed.release == Some(*key)) else {
            return;
        };
        let Some(release) = self.generations.get(&key).map(|g| Arc::clone(&g.release)) else {
            return;
        };
        let now = Timestamp::now();
        let dir = self.dir();
        let clocks = self.jobs.clocks.get_or_insert_with(|| Clocks::open(&dir));
        if self.jobs.of != Some(key) {
            self.jobs.of = Some(key);
            let jobs: Vec<_> = release
                .jobs
                .iter()
                .filter_map(|(name, job)| {
                    Some((name.clone(), job.schedule.clone()?, job.timezone.clone()))
                })
                .collect();
            clocks.set(&jobs, now);
            self.jobs
                .queued
                .retain(|name| release.jobs.contains_key(name));
        }
        for name in clocks.due(now) {
            let overlap = release
                .jobs
                .get(&name)
                .map_or(Overlap::Skip, |job| job.overlap);
            let before: Vec<String> = self
                .jobs
                .running
                .iter()
                .filter(|(_, run)| run.job == name)
                .map(|(unit, _)| unit.clone())
                .collect();
            match overlap {
                _ if before.is_empty() => self.start_job(key, &name).await,
                Overlap::Skip => self.remark(format!(
                    "job.{name}: its previous run is still going; this one is skipped"
                )),
                Overlap::Queue => {
                    self.jobs.queued.insert(name);
                }
                Overlap::Replace => {
                    self.jobs.queued.insert(name);
                    for unit in before {
                        let _ = self.shared.systemd.stop(&unit).await;
                    }
                }
            }
        }
        let queued: Vec<String> = self.jobs.queued.iter().cloned().collect();
        for name in queued {
            if !self.jobs.running.values().any(|run| run.job == name) {
                self.jobs.queued.remove(&name);
                self.start_job(key, &name).await;
            }
        }
    }

    async fn start_job(&mut self, key: u64, name: &str) {
        let Some(generation) = self.generations.get(&key) else {
            return;
        };
        let release = Arc::clone(&generation.release);
        let mut variables = generation.variables.clone();
        let Some(job) = release.jobs.get(name) else {
            return;
        };
        // Never the same twice, whatever agent starts it.
        let run = Timestamp::now().as_millisecond().unsigned_abs();
        let unit = units::job_unit(&self.name, name, run);
        let process = format!("job.{name}");
        variables.insert("STEAD_JOB".into(), name.into());
        variables.insert("STEAD_PROCESS".into(), process.clone());
        let argv = vec!["sh".to_owned(), "-c".to_owned(), job.command.clone()];
        let life = Life::Once {
            timeout: job.timeout,
        };
        let written =
            self.write_service(&release, &unit, &process, &process, argv, variables, life);
        let started = match written {
            Ok(()) => self.shared.systemd.start(&unit).await.map_err(|r| r.0),
            Err(why) => Err(why),
        };
        if let Err(why) = started {
            self.remark(format!("{process}: it could not be started: {why}"));
            self.shared.places.remove_unit(&self.name, &unit);
            return;
        }
        let run = Run {
            job: name.to_owned(),
            since: clock(),
        };
        self.jobs.running.insert(unit, run);
    }

    /// How the runs are.
    pub(in crate::apps::app) async fn observe_jobs(&mut self, found: &HashMap<String, Unit>) {
        let prefix = format!("stead.{}.job.", self.name);
        for (unit, is) in found {
            // An agent before this one started it.
            let name = unit
                .strip_prefix(&prefix)
                .and_then(|rest| rest.split('.').next());
            if let Some(job) = name.filter(|_| !self.jobs.running.contains_key(unit)) {
                let job = job.to_owned();
                if !is.is_over() || is.active == "failed" {
                    self.jobs.running.insert(
                        unit.clone(),
                        Run {
                            job,
                            since: clock(),
                        },
                    );
                }
            }
        }
        let ended: Vec<String> = self
            .jobs
            .running
            .keys()
            .filter(|unit| found.get(*unit).is_none_or(Unit::is_over))
            .cloned()
            .collect();
        for unit in ended {
            let Some(run) = self.jobs.running.remove(&unit) else {
                continue;
            };
            let failed = found.get(&unit).is_some_and(|is| is.active == "failed");
            let how = match failed {
                true => Some(self.how_it_ended(&unit).await),
                false => None,
            };
            if let Some(how) = &how {
                let log = journal::lines(&unit, 1).await;
                let last = log.last().map(|line| format!(": {line}"));
                self.remark(format!(
                    "job.{} ended with {how}{}",
                    run.job,
                    last.unwrap_or_default()
                ));
            }
            self.jobs.last.insert(run.job, (clock(), how));
            self.shared.systemd.forget(&unit).await;
            self.shared.places.remove_unit(&self.name, &unit);
        }
    }

    /// The app is removed.
    pub(in crate::apps::app) async fn end_jobs(&mut self) {
        for unit in std::mem::take(&mut self.jobs.running).into_keys() {
            let _ = self.shared.systemd.stop(&unit).await;
            self.shared.places.remove_unit(&self.name, &unit);
        }
    }

    /// When a job is due next, or the wall clock to be looked at.
    pub(in crate::apps::app) fn next_job(&self) -> Option<Duration> {
        let (now, wall) = (self.epoch.elapsed(), Timestamp::now());
        let clocks = self
            .jobs
            .clocks
            .iter()
            .flat_map(|clocks| clocks.by_job.values());
        let due = clocks.filter_map(|clock| {
            let left = Duration::try_from(clock.next()?.duration_since(wall)).unwrap_or_default();
            Some(now + left.min(LOOK_AGAIN))
        });
        due.min()
    }
}
