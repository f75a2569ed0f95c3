//! What `stead cert ls` shows, and what `stead cert import` does: with the files alone, whether or not a program keeps
//! them.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::attempts::Attempts;
use super::by_name::ByName;
use super::request;
use super::store::{Entry, Store};

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

impl Listing {
    /// What somebody should see to, each in a sentence: certificates that have ended or are about to, hosts without one, entries that
    /// cannot be used. Nothing, when all is well.
    pub fn concerns(&self, now: Timestamp) -> Vec<String> {
        let certificates = self.certificates.iter().filter(|listed| !listed.replaced);
        let ending = certificates.filter_map(|listed| {
            let concern = listed.concern(now)?;
            Some(format!(
                "the certificate for `{}`: {concern}",
                listed.hosts.join("`, `")
            ))
        });
        let pending = self
            .pending
            .iter()
            .map(|pending| format!("no new certificate for `{}`: {}", pending.host, pending.why));
        let broken = self
            .broken
            .iter()
            .map(|(path, why)| format!("`{}` cannot be used: {why}", path.display()));
        ending.chain(pending).chain(broken).collect()
    }
}

impl Listed {
    /// That its end is near, or was; from 14 days before it, or a quarter of its life when that is less.
    pub fn concern(&self, now: Timestamp) -> Option<String> {
        let day = self.ends.strftime("%Y-%m-%d");
        let do_something = match &self.directory {
            Some(_) => "it should have been renewed by now",
            None => "import another one, or let an authority's take its place",
        };
        match self.ends <= now {
            true => Some("it has ended: visitors are warned of it".to_owned()),
            false => self
                .ending
                .then(|| format!("it ends on {day}; {do_something}")),
        }
    }
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
    let by_name = ByName::new(entries.iter().map(|entry| &entry.stored));
    let mut certificates: Vec<Listed> = entries
        .iter()
        .map(|entry| listed(entry, &attempts, &by_name, now))
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
    let by_name = ByName::new([&entry.stored]);
    Ok(listed(&entry, &Attempts::default(), &by_name, now))
}

fn listed(entry: &Entry, attempts: &Attempts, by_name: &ByName<'_>, now: Timestamp) -> Listed {
    let stored = &entry.stored;
    Listed {
        hosts: stored.names.clone(),
        issuer: entry.issuer.clone(),
        begins: stored.begins,
        ends: stored.ends,
        renewed: stored.due(attempts.windows.get(&stored.id)),
        directory: stored.directory.clone(),
        replaced: by_name.is_replaced(stored),
        ending: stored.is_ending(now),
        chain: entry.chain.clone(),
        key: entry.key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn from_fourteen_days_before_its_end_a_certificate_is_a_concern_and_never_before() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path()).unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["a.example.com".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        let end: Timestamp = "2026-04-01T00:00:00Z".parse().unwrap();
        let day = SignedDuration::from_hours(24);
        let put = |directory| {
            store
                .put(&chain, &key.serialize_pem(), directory, end - day * 90)
                .unwrap()
        };
        let concerns = |before: i64| {
            let now = end - day * i32::try_from(before).unwrap();
            list(state.path(), now).unwrap().concerns(now)
        };
        let entry = put(Some("https://ca"));
        assert_eq!(concerns(14), Vec::<String>::new());
        assert_eq!(
            concerns(13),
            [
                "the certificate for `a.example.com`: it ends on 2026-04-01; it should have been renewed by now"
            ]
        );
        assert_eq!(
            concerns(0),
            ["the certificate for `a.example.com`: it has ended: visitors are warned of it"]
        );
        std::fs::write(&entry.key, "").unwrap();
        assert!(concerns(0)[0].contains("cannot be used"));
        store.remove(&entry.stored.id).unwrap();
        put(None);
        assert!(
            concerns(13)[0].ends_with("import another one, or let an authority's take its place")
        );
    }
}
