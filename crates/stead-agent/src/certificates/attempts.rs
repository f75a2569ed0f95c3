//! What was asked of authorities and what came of it, kept in a file of its own: it survives restarts, and the loss of
//! the certificates themselves.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::store::write_whole;

/// The file's name.
const NAME: &str = "attempts.json";
/// Raised when an older program would misunderstand the file.
const VERSION: u32 = 1;
/// Longer than any limit of an authority counts back.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(35 * 24);

/// Everything that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Attempts {
    version: u32,
    /// Certificates that were asked for, whether or not they were kept.
    pub(crate) asked: Vec<Asked>,
    /// What does not work at present, by host.
    pub(crate) failures: BTreeMap<String, Failure>,
    /// When the authority would like a stored certificate to be renewed (RFC 9773), by its name in the store.
    #[serde(default)]
    pub(crate) windows: BTreeMap<String, Window>,
}

/// A certificate that was asked for: written down before the authority is told to issue it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) at: Timestamp,
    /// Of the authority's directory.
    pub(crate) directory: String,
    /// All of its names, sorted.
    pub(crate) names: Vec<String>,
}

/// Why a host has no new certificate, and how long it waits for the next attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// The last time.
    pub(crate) at: Timestamp,
    /// From then to the next attempt, chance included.
    pub(crate) wait_seconds: u64,
    /// How many times in a row.
    pub(crate) times: u32,
    pub(crate) kind: Kind,
    /// For a person.
    pub(crate) why: String,
    /// Of the authority's directory.
    pub(crate) directory: String,
}

/// Who has to change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The host does not lead here: the authority was not asked.
    NotHere,
    /// The authority checked the host, or the order, and refused.
    Refused,
    /// The authority could not be reached, or failed.
    Unavailable,
    /// The authority wants no more orders for a while.
    Limited,
}

/// When an authority would like a certificate to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) begins: Timestamp,
    pub(crate) ends: Timestamp,
    /// When to ask again.
    pub(crate) ask: Timestamp,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            version: VERSION,
            asked: Vec::new(),
            failures: BTreeMap::new(),
            windows: BTreeMap::new(),
        }
    }
}

impl Failure {
    /// The next attempt. A clock that was set back since ends the wait: a wait is bounded, wherever the clock goes.
    pub(crate) fn until(&self, now: Timestamp) -> Timestamp {
        if self.at > now {
            return now;
        }
        let wait = SignedDuration::from_secs(i64::try_from(self.wait_seconds).unwrap_or(0));
        self.at.checked_add(wait).unwrap_or(now)
    }
}

impl Kind {
    /// From a failure to the next attempt, when it is the `times`th in a row; `chance` is from 0 to 1.
    ///
    /// Who has just changed a DNS record should not wait long. Let's Encrypt takes five failed checks of a host
    /// an hour; this is two in the first, each in up to two ways.
    pub(crate) fn wait(self, times: u32, chance: f64) -> SignedDuration {
        let (first, longest) = match self {
            Self::NotHere => (15, 30 * 60),
            Self::Unavailable => (60, 3600),
            Self::Refused => (20 * 60, 12 * 3600),
            Self::Limited => (3600, 24 * 3600),
        };
        let doubled = f64::from(first) * 2_f64.powi(times.saturating_sub(1).min(30) as i32);
        let wait = doubled.min(f64::from(longest));
        // A fifth up or down, so that hosts which failed together do not come again together.
        let wait = wait * (0.8 + 0.4 * chance.clamp(0.0, 1.0));
        SignedDuration::from_secs(wait as i64)
    }
}

impl Attempts {
    /// Remember that a host failed. `at_least` is the wait that the authority asks for.
    pub(crate) fn failed(
        &mut self,
        host: &str,
        (kind, why): (Kind, &str),
        directory: &str,
        at_least: Option<SignedDuration>,
        now: Timestamp,
        chance: f64,
    ) {
        let before = self.failures.get(host);
        let before = before.filter(|before| before.directory == directory && before.kind == kind);
        let times = before.map_or(1, |before| before.times.saturating_add(1));
        let wait = kind.wait(times, chance).max(at_least.unwrap_or_default());
        let failure = Failure {
            at: now,
            wait_seconds: wait.as_secs().unsigned_abs(),
            times,
            kind,
            why: why.to_owned(),
            directory: directory.to_owned(),
        };
        self.failures.insert(host.to_owned(), failure);
    }

    /// Forget what is of no use any more.
    pub(crate) fn prune(
        &mut self,
        now: Timestamp,
        hosts: impl Fn(&str) -> bool,
        stored: impl Fn(&str) -> bool,
    ) {
        self.asked
            .retain(|asked| now.duration_since(asked.at) < REMEMBERED);
        self.failures.retain(|host, _| hosts(host));
        self.windows.retain(|id, _| stored(id));
    }

    /// The kept ones. What cannot be read is put aside under another name, and said.
    pub(crate) fn load(directory: &Path) -> (Self, Option<String>) {
        let (attempts, wrong) = Self::read(directory);
        let wrong = wrong.map(|(path, why)| {
            let aside = path.with_extension("json.broken");
            let _ = std::fs::rename(&path, &aside);
            format!(
                "`{}` cannot be used and is now `{}`: {why}",
                path.display(),
                aside.display()
            )
        });
        (attempts, wrong)
    }

    /// The same for whoever only looks: what is wrong, and with which file.
    pub(crate) fn read(directory: &Path) -> (Self, Option<(PathBuf, String)>) {
        let path = directory.join(NAME);
        let wrong = match std::fs::read(&path) {
            Ok(text) => match serde_json::from_slice::<Self>(&text) {
                Ok(attempts) if attempts.version == VERSION => return (attempts, None),
                Ok(attempts) => format!("it is of version {}", attempts.version),
                Err(error) => error.to_string(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return (Self::default(), None);
            }
            Err(error) => error.to_string(),
        };
        (Self::default(), Some((path, wrong)))
    }

    /// Keep them: whatever happens on the way, the file is the former one or this one.
    pub(crate) fn save(&self, directory: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        write_whole(&directory.join(NAME), &text)
    }
}

#[cfg(test)]
mod tests;
