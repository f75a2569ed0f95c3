//! How an app is, for people.

use std::path::Path;
use std::time::Instant;

use stead_model::agent::{
    AppStatus, Deploying, Disk, InstanceState, InstanceStatus, JobStatus, ProcessStatus, Traffic,
};
use stead_model::plan::Phase;

use super::{App, clock};
use crate::apps::metrics;

/// A program that ended by itself and has run for so many seconds since then does not end over and over again.
const SETTLED: i64 = 10;

/// So many files are counted: an app with more is said to take up at least that.
const COUNTED: usize = 200_000;

impl App {
    /// How it is.
    pub(super) async fn status(&self) -> AppStatus {
        let number = self.serving_number();
        let release = number.and_then(|number| {
            let record = self.shared.store().release(&self.name, number);
            record.ok().flatten().map(|record| record.info)
        });
        let mut problems: Vec<String> = self.notice.iter().cloned().collect();
        let processes = self.processes(&mut problems).await;
        let certificates = self.shared.certificates.status(&self.name).await;
        let certificates = certificates.unwrap_or_else(|why| {
            problems.push(why);
            Vec::new()
        });
        let (dir, state) = (self.dir(), self.shared.places.state.clone());
        let disk = tokio::task::spawn_blocking(move || disk(&dir, &state)).await;
        AppStatus {
            app: self.name.clone(),
            release,
            processes,
            traffic: self.traffic().await,
            hosts: self.hosts(),
            certificates,
            jobs: self.job_statuses(),
            disk: disk.unwrap_or_default(),
            deploying: self.ongoing.as_ref().map(|ongoing| Deploying {
                release: ongoing.number,
                who: ongoing.who.clone(),
                since: ongoing.at,
                step: ongoing
                    .step
                    .as_ref()
                    .map(|s| s.name.clone())
                    .unwrap_or_default(),
            }),
            problems,
        }
    }

    /// What visitors got, since the edge counts. It keeps the newest four releases of a process.
    async fn traffic(&self) -> Option<Traffic> {
        let counted = metrics::ask(&self.shared.metrics, &self.name).await.ok()?;
        let since = self.shared.link.serving_since().await?;
        let recent = &self.shared.recent;
        let minute = recent.last_minute(Instant::now(), &self.name, &counted);
        Some(Traffic {
            since,
            requests: counted.values().map(|of| of.requests).sum(),
            errors: counted.values().map(|of| of.errors).sum(),
            requests_last_minute: minute.map(|of| of.requests),
            errors_last_minute: minute.map(|of| of.errors),
        })
    }

    async fn processes(&self, problems: &mut Vec<String>) -> Vec<ProcessStatus> {
        let counts = self.shared.store().counts(&self.name);
        let counts = counts.unwrap_or_else(|failure| {
            problems.push(failure.to_string());
            Default::default()
        });
        let serving = self.desired.serving.as_ref();
        let names = serving.iter().flat_map(|wanted| &wanted.processes);
        let mut processes = Vec::new();
        for (name, wanted) in names {
            let mut instances = Vec::new();
            for instance in self
                .observed
                .instances
                .iter()
                .filter(|i| i.process == *name)
            {
                let Some(live) = self.live.get(&instance.id) else {
                    continue;
                };
                let unit = live.units.service.as_str();
                let systemd = &self.shared.systemd;
                let restarts: Option<u32> = systemd.property(unit, "NRestarts").await;
                let pid: Option<u32> = systemd.property(unit, "MainPID").await;
                let since: Option<u64> = systemd.property(unit, "ExecMainStartTimestamp").await;
                let pid = pid.filter(|pid| *pid > 0);
                let restarts = restarts.unwrap_or(0);
                let state = match instance.phase {
                    Phase::Starting if instance.visited => InstanceState::Starting,
                    Phase::Starting | Phase::Healthy if pid.is_none() => InstanceState::Failed,
                    Phase::Starting | Phase::Healthy => InstanceState::Running,
                    _ => InstanceState::Draining,
                };
                if state == InstanceState::Failed {
                    problems.push(format!(
                        "{} does not run, and was started again {restarts} times",
                        live.name
                    ));
                }
                let since = since.map_or(0, |micros| (micros / 1_000_000).cast_signed());
                let age = clock() - since;
                if state == InstanceState::Running && restarts > 0 && age < SETTLED {
                    problems.push(format!(
                        "{} ended by itself and was started again, {restarts} times so far, {age} s ago the last time",
                        live.name
                    ));
                }
                let generation = self.generations.get(&instance.release);
                instances.push(InstanceStatus {
                    name: live.name.clone(),
                    release: generation.map_or(0, |g| g.release.number),
                    unit: unit.to_owned(),
                    state,
                    since,
                    memory: self.memory_of(unit).await,
                    restarts,
                    pid,
                });
            }
            processes.push(ProcessStatus {
                name: name.clone(),
                wanted: wanted.count.unwrap_or(0),
                scaled: counts.contains_key(name),
                instances,
            });
        }
        processes
    }

    fn job_statuses(&self) -> Vec<JobStatus> {
        let serving = self.desired.serving.as_ref();
        let generation = serving.and_then(|wanted| self.generations.get(&wanted.release));
        let jobs = generation
            .iter()
            .flat_map(|generation| &generation.release.jobs);
        jobs.map(|(name, job)| {
            let running = self.jobs.running.values().find(|run| run.job == *name);
            let last = self.jobs.last.get(name);
            JobStatus {
                name: name.clone(),
                schedule: job.schedule.clone(),
                running_since: running.map(|run| run.since),
                last: last.map(|(at, _)| *at),
                last_failure: last.and_then(|(_, how)| how.clone()),
                next: self.jobs.next(name),
            }
        })
        .collect()
    }
}

fn disk(dir: &Path, state: &Path) -> Disk {
    let size = |below: &[&str]| -> u64 {
        let mut left = COUNTED;
        below
            .iter()
            .map(|name| size_of(&dir.join(name), &mut left))
            .sum()
    };
    let free = rustix::fs::statvfs(state).map_or(0, |found| found.f_bavail * found.f_frsize);
    Disk {
        releases: size(&["releases", "build", "objects", "trees"]),
        volumes: size(&["volumes"]),
        free,
    }
}

/// Bytes on disk. No link is followed.
fn size_of(path: &Path, left: &mut usize) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return 0;
    };
    *left = left.saturating_sub(1);
    let own = found.blocks() * 512;
    if !found.is_dir() || *left == 0 {
        return own;
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    own + entries
        .map(|entry| size_of(&entry.path(), left))
        .sum::<u64>()
}
