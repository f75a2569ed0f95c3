//! When a job is due, by the wall clock, whatever that clock does.
//!
//! A job has a reference: the last instant up to which everything was run. It is due when the schedule names an instant
//! after the reference that is not in the future. So an instant is run once, and those that passed while the machine slept or
//! the clock jumped ahead are run once together. A clock that goes back does not repeat what was run, unless it goes
//! back so far that it must have been wrong before: then the reference is wrong too, and the schedule begins anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use stead_model::schedule::next_after;

/// A clock that goes back further than this was wrong before.
const WRONG: SignedDuration = SignedDuration::from_hours(3);
/// What was due while Stead was not running is caught up with when it is no older than this: a
/// restart loses no run, and a laptop opened in the morning does not run the night's.
const RESTART: SignedDuration = SignedDuration::from_mins(5);

/// One job's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Clock {
    schedule: String,
    timezone: Option<String>,
    reference: Timestamp,
    /// The next instant after the reference; `None`: never.
    next: Option<Timestamp>,
}

impl Clock {
    /// `last`: the reference that an earlier run of Stead had for the same schedule.
    pub(crate) fn new(
        schedule: &str,
        timezone: Option<&str>,
        last: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let oldest = now.checked_sub(RESTART).unwrap_or(now);
        let reference = match last {
            Some(last) if last <= later(now) => last.max(oldest),
            _ => now,
        };
        let mut clock = Self {
            schedule: schedule.to_owned(),
            timezone: timezone.map(str::to_owned),
            reference,
            next: None,
        };
        clock.move_to(reference);
        clock
    }

    /// Is it for this schedule?
    pub(crate) fn is_for(&self, schedule: &str, timezone: Option<&str>) -> bool {
        self.schedule == schedule && self.timezone.as_deref() == timezone
    }

    /// Whether it is due at `now`; the instant counts as run from then on.
    pub(crate) fn tick(&mut self, now: Timestamp) -> bool {
        if self.reference > later(now) {
            self.move_to(now);
        }
        let due = self.next.is_some_and(|next| next <= now);
        if due {
            self.move_to(now);
        }
        due
    }

    /// The next instant.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.next
    }

    fn move_to(&mut self, reference: Timestamp) {
        self.reference = reference;
        self.next = next_after(&self.schedule, self.timezone.as_deref(), reference);
    }
}

fn later(now: Timestamp) -> Timestamp {
    now.checked_add(WRONG).unwrap_or(now)
}

/// The clocks of all jobs, kept in a file so that a restart repeats nothing.
#[derive(Debug)]
pub(crate) struct Clocks {
    file: PathBuf,
    earlier: BTreeMap<String, Clock>,
    pub(crate) by_job: BTreeMap<String, Clock>,
}

impl Clocks {
    /// Read what an earlier run left. A file that cannot be read is no file.
    pub(crate) fn open(state: &Path) -> Self {
        let file = state.join("jobs.json");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let entries = value.as_object().into_iter().flatten();
        let earlier = entries
            .filter_map(|(name, entry)| {
                let clock = Clock {
                    schedule: entry.get("schedule")?.as_str()?.to_owned(),
                    timezone: entry
                        .get("timezone")
                        .and_then(|t| t.as_str())
                        .map(str::to_owned),
                    reference: entry.get("reference")?.as_str()?.parse().ok()?,
                    next: None,
                };
                Some((name.clone(), clock))
            })
            .collect();
        Self {
            file,
            earlier,
            by_job: BTreeMap::new(),
        }
    }

    /// These jobs have a schedule now. One whose schedule is the same goes on; another begins anew.
    pub(crate) fn set(&mut self, jobs: &[(String, String, Option<String>)], now: Timestamp) {
        let mut clocks = BTreeMap::new();
        for (name, schedule, timezone) in jobs {
            let timezone = timezone.as_deref();
            let same = |clock: &&Clock| clock.is_for(schedule, timezone);
            let clock = match self.by_job.get(name).filter(same) {
                Some(clock) => clock.clone(),
                None => {
                    let earlier = self.earlier.get(name).filter(same);
                    Clock::new(schedule, timezone, earlier.map(|c| c.reference), now)
                }
            };
            clocks.insert(name.clone(), clock);
        }
        if clocks != self.by_job {
            self.by_job = clocks;
            self.save();
        }
    }

    /// Jobs that are due. What is said to be due was written down before.
    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<String> {
        let due: Vec<String> = self
            .by_job
            .iter_mut()
            .filter_map(|(name, clock)| clock.tick(now).then(|| name.clone()))
            .collect();
        if !due.is_empty() {
            self.save();
        }
        due
    }

    /// Whole or not at all; a disk that is full costs the memory of the last runs, not the runs.
    fn save(&self) {
        let mut entries = serde_json::Map::new();
        for (name, clock) in &self.by_job {
            let entry = serde_json::json!({
                "schedule": clock.schedule,
                "timezone": clock.timezone,
                "reference": clock.reference.to_string(),
            });
            entries.insert(name.clone(), entry);
        }
        let text = serde_json::Value::Object(entries).to_string();
        let new = self.file.with_extension("json.new");
        if std::fs::write(&new, text).is_ok() {
            let _ = std::fs::rename(&new, &self.file);
        }
    }
}

#[cfg(test)]
mod tests;
