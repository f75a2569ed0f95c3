//! What `stead cert ls` shows, and what `stead cert import` does: with the files alone, whether or not a program keeps
//! them.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::attempts::Attempts;
use super::store::{Entry, Store};
use super::{is_replaced, request};

/// Everything that is known of certificates.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Those that are stored, by their hosts.
    pub certificates: Vec<Listed>,
    /// Hosts that wait for one.
    pub pending: Vec<Pending>,
    /// What is stored and cannot be used: where, and why.
    pub broken: Vec<(PathBuf, String)>,
}

/// A stored certificate.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The hosts that it is for.
    pub hosts: Vec<String>,
    /// Who issued it, as it says itself.
    pub issuer: String,
    /// From when it is valid.
    pub begins: Timestamp,
    /// Until when.
    pub ends: Timestamp,
    /// When it is renewed.
    pub renewed: Timestamp,
    /// The authority's directory; `None`: it was imported.
    pub directory: Option<String>,
    /// Another one for its hosts lasts longer.
    pub replaced: bool,
    /// Its end is near.
    pub ending: bool,
    /// The chain's file.
    pub chain: PathBuf,
    /// The key's file.
    pub key: PathBuf,
}

/// A host that waits for a certificate.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The host.
    pub host: String,
    /// Why it has none, for a person.
    pub why: String,
    /// How many times in a row it failed so.
    pub times: u32,
    /// The next attempt.
    pub next: Timestamp,
}

/// What is stored below a state directory, at `now`.
pub fn list(state: &Path, now: Timestamp) -> io::Result<Listing> {
    let store = Store::at(state);
    let (entries, broken) = store.load()?;
    let (attempts, unreadable) = Attempts::read(store.directory());
    let mut certificates: Vec<Listed> = entries
        .iter()
        .map(|entry| listed(entry, &attempts, &entries, now))
        .collect();
    certificates.sort_by(|a, b| (&a.hosts, b.ends).cmp(&(&b.hosts, a.ends)));
    let pending = attempts.failures.iter().map(|(host, failure)| Pending {
        host: host.clone(),
        why: failure.why.clone(),
        times: failure.times,
        next: failure.until(now),
    });
    let mut broken: Vec<(PathBuf, String)> = broken
        .into_iter()
        .map(|broken| (broken.path, broken.why))
        .collect();
    broken.extend(unreadable);
    Ok(Listing {
        certificates,
        pending: pending.collect(),
        broken,
    })
}

/// Store a certificate of the user's own: two PEM texts. It is shown to visitors in place of one that ends earlier, and not
/// renewed.
pub fn import(state: &Path, chain: &str, key: &str, now: Timestamp) -> Result<Listed, String> {
    let store =
        Store::open(state).map_err(|error| format!("cannot use `{}`: {error}", state.display()))?;
    let entry = store.put(chain, key, None, now)?;
    request::look(state);
    let entries = [entry.clone()];
    Ok(listed(&entry, &Attempts::default(), &entries, now))
}

fn listed(entry: &Entry, attempts: &Attempts, entries: &[Entry], now: Timestamp) -> Listed {
    let stored = &entry.stored;
    Listed {
        hosts: stored.names.clone(),
        issuer: entry.issuer.clone(),
        begins: stored.begins,
        ends: stored.ends,
        renewed: stored.due(attempts.windows.get(&stored.id)),
        directory: stored.directory.clone(),
        replaced: is_replaced(stored, entries),
        ending: stored.is_ending(now),
        chain: entry.chain.clone(),
        key: entry.key.clone(),
    }
}
