//! What to order, and when: a function of what is wanted, what is stored, what was tried, and the time. It reads nothing
//! and no clock, so that a test can let years pass.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::attempts::{Attempts, Window};
use super::by_name::ByName;

/// Names of one certificate: as many as Let's Encrypt takes.
const MOST_NAMES: usize = 100;
/// Certificates with exactly the same names within [`WEEK`], whatever happens.
const SAME_NAMES: usize = 2;
/// Certificates that any one host is in within [`WEEK`]: hosts that come and go make ever other sets of names.
const SAME_HOST: usize = 5;
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long before its end a certificate that was imported is replaced by one of the authority: its owner had time.
const IMPORTED: SignedDuration = SignedDuration::from_hours(3 * 24);
/// A clock may be so far off before what was written down by it counts for nothing.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// Status warns so long before a certificate ends.
const WARNING: SignedDuration = SignedDuration::from_hours(14 * 24);

/// What apps want of an authority.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Wanted {
    /// The hosts of each app: they come in one order.
    pub(crate) apps: Vec<Vec<String>>,
    /// The URL of the authority's directory.
    pub(crate) directory: String,
    /// Records in the DNS can be made, so that wildcards are possible.
    pub(crate) dns: bool,
    /// Hosts whose certificates are renewed whether or not they are due.
    pub(crate) forced: BTreeSet<String>,
}

/// A certificate that is stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    /// Its name in the store.
    pub(crate) id: String,
    /// The hosts that it is for, in lower case.
    pub(crate) names: Vec<String>,
    pub(crate) begins: Timestamp,
    pub(crate) ends: Timestamp,
    /// Of the authority's directory; `None`: it was imported.
    pub(crate) directory: Option<String>,
}

/// What to do now, and when to look again.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) orders: Vec<Order>,
    /// Hosts that need a certificate and do not get one now.
    pub(crate) waits: BTreeMap<String, Wait>,
    /// When the next thing is due by itself.
    pub(crate) wake: Option<Timestamp>,
}

/// One order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Sorted.
    pub(crate) hosts: Vec<String>,
    /// The stored certificate whose place it takes.
    pub(crate) replaces: Option<String>,
}

/// Why a host waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// `None`: until somebody changes something.
    pub(crate) until: Option<Timestamp>,
    /// For a person.
    pub(crate) why: String,
}

impl Stored {
    /// Whether it is for this host; a wildcard is for one level (RFC 6125 section 6.4.3).
    pub(crate) fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| matches(name, host))
    }

    /// When it is to be renewed: where the authority says so, else at two thirds of its life. Certificates that came
    /// together are spread over a twentieth of it, each at a place of its own.
    pub(crate) fn due(&self, window: Option<&Window>) -> Timestamp {
        if self.directory.is_none() {
            return self.ends - IMPORTED.min(self.life() / 2);
        }
        let place = place(&self.id);
        let (begins, length) = match window {
            Some(window) if window.begins < window.ends => (
                window.begins,
                window.ends.min(self.ends).duration_since(window.begins),
            ),
            _ => (self.begins + self.life() / 3 * 2, self.life() / 20),
        };
        let offset = length.as_secs_f64().max(0.0) * place;
        begins + SignedDuration::from_secs(offset as i64)
    }

    /// Its end is near, and it should have been renewed by now.
    pub(crate) fn is_ending(&self, now: Timestamp) -> bool {
        self.ends.duration_since(now) < WARNING.min(self.life() / 4)
    }

    fn life(&self) -> SignedDuration {
        self.ends.duration_since(self.begins)
    }
}

/// What to do at `now`.
pub(crate) fn plan(
    wanted: &Wanted,
    stored: &[Stored],
    attempts: &Attempts,
    now: Timestamp,
) -> Plan {
    let mut plan = Plan::default();
    let mut seen = BTreeSet::new();
    let by_name = ByName::new(stored);
    for app in &wanted.apps {
        let mut hosts: BTreeSet<&str> = app.iter().map(String::as_str).collect();
        hosts.retain(|host| seen.insert(*host));
        order_app(&hosts, wanted, (stored, &by_name), attempts, now, &mut plan);
    }
    plan
}

fn order_app(
    hosts: &BTreeSet<&str>,
    wanted: &Wanted,
    (stored, by_name): (&[Stored], &ByName<'_>),
    attempts: &Attempts,
    now: Timestamp,
    plan: &mut Plan,
) {
    let mut due = Vec::new();
    let mut soon = Vec::new();
    for host in hosts {
        let best = longest(by_name.covering(host), &wanted.directory, now);
        if let Some(best) = best {
            let at = best.due(attempts.windows.get(&best.id));
            if at > now && !wanted.forced.contains(*host) {
                plan.wake_at(at);
                if at.duration_since(now) < best.life() / 12 {
                    soon.push((*host, best));
                }
                continue;
            }
        }
        if let Some(why) = unfit(host, wanted.dns) {
            plan.wait(host, None, why);
            continue;
        }
        // A wildcard that is wanted anyway will be for this one, too.
        let covered = hosts.iter().any(|other| {
            other != host && matches(other, host) && unfit(other, wanted.dns).is_none()
        });
        if covered {
            continue;
        }
        let failure = attempts.failures.get(*host);
        let failure = failure.filter(|failure| failure.directory == wanted.directory);
        match failure {
            Some(failure) if failure.until(now) > now => {
                plan.wait(host, Some(failure.until(now)), failure.why.clone());
            }
            _ => due.push((*host, best)),
        }
    }
    if due.is_empty() {
        return;
    }
    soon.retain(|(host, best)| {
        best.directory.is_some()
            && unfit(host, wanted.dns).is_none()
            && !attempts.failures.contains_key(*host)
    });
    due.extend(soon.into_iter().map(|(host, best)| (host, Some(best))));
    due.sort_by_key(|(host, _)| *host);
    let (due, capped): (Vec<_>, Vec<_>) = due
        .into_iter()
        .partition(|(host, _)| host_cap(host, wanted, stored, attempts, now).is_none());
    for (host, _) in capped {
        if let Some(until) = host_cap(host, wanted, stored, attempts, now) {
            let why = format!(
                "{SAME_HOST} certificates with this host were asked for within a week: more would meet the authority's limits"
            );
            plan.wait(host, Some(until), why);
        }
    }
    for chunk in due.chunks(MOST_NAMES) {
        let names: Vec<String> = chunk.iter().map(|(host, _)| (*host).to_owned()).collect();
        match set_cap(&names, wanted, stored, attempts, now) {
            Some(until) => {
                let why = format!(
                    "{SAME_NAMES} certificates for exactly these names were asked for within a week: more would meet the authority's limits"
                );
                for host in &names {
                    plan.wait(host, Some(until), why.clone());
                }
            }
            None => plan.orders.push(Order {
                hosts: names,
                replaces: chunk
                    .iter()
                    .find_map(|(_, best)| *best)
                    .filter(|best| best.directory.is_some())
                    .map(|best| best.id.clone()),
            }),
        }
    }
}

impl Plan {
    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    fn wait(&mut self, host: &str, until: Option<Timestamp>, why: impl Into<String>) {
        if let Some(until) = until {
            self.wake_at(until);
        }
        let why = why.into();
        self.waits.insert(host.to_owned(), Wait { until, why });
    }
}

/// The certificate for a host that lasts longest, of those that count: an authority's own, or imported.
pub(crate) fn best<'a>(
    host: &str,
    directory: &str,
    stored: &'a [Stored],
    now: Timestamp,
) -> Option<&'a Stored> {
    let covering = stored.iter().filter(|stored| stored.covers(host));
    longest(covering, directory, now)
}

fn longest<'a>(
    covering: impl Iterator<Item = &'a Stored>,
    directory: &str,
    now: Timestamp,
) -> Option<&'a Stored> {
    let counts = |stored: &&Stored| {
        let own = stored.directory.as_deref();
        stored.ends > now && own.is_none_or(|own| own == directory)
    };
    // Of two that end together always the same one, however they were found.
    covering
        .filter(counts)
        .max_by_key(|stored| (stored.ends, &stored.id))
}

/// Why no public authority could ever issue a certificate for this name, or not in this way.
pub(crate) fn unfit(host: &str, dns: bool) -> Option<&'static str> {
    let bare = host.strip_prefix("*.").unwrap_or(host);
    if bare.parse::<std::net::IpAddr>().is_ok() {
        return Some("an address gets no certificate here; give the host a name");
    }
    if !bare.contains('.') || bare.ends_with(".localhost") {
        return Some(
            "it is a name of this machine alone, and gets no certificate; `stead up --tls` makes one for it",
        );
    }
    if bare != host && !dns {
        return Some(
            "a wildcard is proven by a record in the DNS: `[acme]` needs `dns` or `dns-program`",
        );
    }
    None
}

/// Until when no more certificates with exactly these names are asked for.
fn set_cap(
    names: &[String],
    wanted: &Wanted,
    stored: &[Stored],
    attempts: &Attempts,
    now: Timestamp,
) -> Option<Timestamp> {
    cap(SAME_NAMES, wanted, stored, attempts, now, |other| {
        let other: BTreeSet<&String> = other.iter().collect();
        other.len() == names.len() && names.iter().all(|name| other.contains(name))
    })
}

fn host_cap(
    host: &str,
    wanted: &Wanted,
    stored: &[Stored],
    attempts: &Attempts,
    now: Timestamp,
) -> Option<Timestamp> {
    let has = |names: &[String]| names.iter().any(|name| name == host);
    cap(SAME_HOST, wanted, stored, attempts, now, has)
}

/// What is written down and what is stored each tell of certificates, should one of the two be lost.
fn cap(
    most: usize,
    wanted: &Wanted,
    stored: &[Stored],
    attempts: &Attempts,
    now: Timestamp,
    counts: impl Fn(&[String]) -> bool,
) -> Option<Timestamp> {
    let asked = attempts
        .asked
        .iter()
        .filter(|asked| asked.directory == wanted.directory && counts(&asked.names))
        .map(|asked| asked.at);
    let kept = stored
        .iter()
        .filter(|stored| stored.directory.as_ref() == Some(&wanted.directory))
        .filter(|stored| counts(&stored.names))
        .map(|stored| stored.begins);
    let until = |times: &mut Vec<Timestamp>| {
        times.retain(|at| now.duration_since(*at) < WEEK && at.duration_since(now) < AHEAD);
        times.sort_by(|a, b| b.cmp(a));
        times.get(most - 1).map(|at| *at + WEEK)
    };
    let asked = until(&mut asked.collect());
    let kept = until(&mut kept.collect());
    asked.max(kept)
}

/// Whether a certificate's name is for a host.
pub(crate) fn matches(name: &str, host: &str) -> bool {
    if name == host {
        return true;
    }
    match (name.strip_prefix("*."), host.split_once('.')) {
        (Some(parent), Some((label, rest))) => rest == parent && label != "*",
        _ => false,
    }
}

/// From 0 to 1, the same for the same name: chance that a restart does not throw again.
fn place(id: &str) -> f64 {
    // FNV-1a, 64 bits; its last bytes do not reach the upper bits, so they are mixed as MurmurHash3 does.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    f64::from(((hash ^ (hash >> 33)) >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
