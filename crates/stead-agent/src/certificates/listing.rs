//! What `stead cert ls` shows, and what `stead cert import` does: with the files alone, whether or not a program keeps
//! them.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use stead_model::agent::{CertificateStatus, ImportedCertificate};
use stead_model::certificates::{Listed, Listing, Pending};

use super::attempts::Attempts;
use super::by_name::ByName;
use super::plan::{Stored, plan};
use super::store::{Entry, Store};
use super::{CertificateWish, request, soon};

/// What is stored below a state directory, at `now`.
pub fn list(state: &Path, now: Timestamp) -> io::Result<Listing> {
    Known::at(state).listing(now)
}

/// What is stored, for whoever asks often: only what has changed is read again.
#[derive(Debug)]
pub struct Known {
    store: Store,
    entries: Vec<Entry>,
}

impl Known {
    /// Below a state directory. Nothing is read yet.
    pub fn at(state: &Path) -> Self {
        Self {
            store: Store::at(state),
            entries: Vec::new(),
        }
    }

    /// Everything, at `now`.
    pub fn listing(&mut self, now: Timestamp) -> io::Result<Listing> {
        let broken = self.store.reload(&mut self.entries)?;
        let (attempts, unreadable) = Attempts::read(self.store.directory());
        let by_name = ByName::new(self.entries.iter().map(|entry| &entry.stored));
        let mut certificates: Vec<Listed> = self
            .entries
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

    /// How it stands with each host of an app, at `now`: the certificate that visitors are shown, and what somebody should see to.
    pub fn of(
        &mut self,
        wish: &CertificateWish,
        now: Timestamp,
    ) -> io::Result<Vec<CertificateStatus>> {
        self.store.reload(&mut self.entries)?;
        let (attempts, _) = Attempts::read(self.store.directory());
        let ordered = wish.clone().without_own();
        let stored: Vec<Stored> = self
            .entries
            .iter()
            .map(|entry| entry.stored.clone())
            .collect();
        let plan = plan(
            &ordered.wanted(ordered.hosts.clone(), Vec::new()),
            &stored,
            &attempts,
            now,
        );
        let own = wish.own_leaf();
        let of_authority: BTreeSet<&String> = ordered.hosts.iter().collect();
        let by_name = ByName::new(&stored);
        let hosts = wish.hosts.iter();
        Ok(hosts
            .map(|host| {
                let mut status = CertificateStatus {
                    host: host.clone(),
                    ..CertificateStatus::default()
                };
                if let (Some(own), false) = (&own, of_authority.contains(host)) {
                    status.issuer = Some(own.issuer.clone());
                    status.ends = Some(own.ends.as_second());
                    status.problem = own.concern(now);
                    return status;
                }
                let shown = by_name
                    .covering(host)
                    .max_by_key(|stored| (stored.ends, &stored.id));
                let entry = shown.and_then(|shown| {
                    let mut entries = self.entries.iter();
                    entries.find(|entry| entry.stored.id == shown.id)
                });
                let listed = entry.map(|entry| listed(entry, &attempts, &by_name, now));
                if let Some(listed) = &listed {
                    status.issuer = Some(listed.issuer.clone());
                    status.ends = Some(listed.ends.as_second());
                    status.renewed = listed
                        .directory
                        .as_ref()
                        .map(|_| listed.renewed.as_second());
                }
                status.problem = match plan.waits.get(host) {
                    Some(wait) => Some(match wait.until {
                        Some(until) => format!(
                            "{}; next attempt {}",
                            wait.why,
                            soon(until.duration_since(now))
                        ),
                        None => wait.why.clone(),
                    }),
                    None => listed.and_then(|listed| listed.concern(now)),
                };
                status
            })
            .collect())
    }
}

/// Store a certificate of the user's own. It is shown to visitors in place of one that ends earlier, and not
/// renewed.
pub fn import(
    state: &Path,
    readers: Option<u32>,
    imported: &ImportedCertificate,
    now: Timestamp,
) -> Result<Listed, String> {
    let store = Store::open(state, readers)
        .map_err(|error| format!("cannot use `{}`: {error}", state.display()))?;
    let entry = store.put(&imported.chain, &imported.key, None, now)?;
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
        let store = Store::open(state.path(), None).unwrap();
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

    #[test]
    fn each_host_of_an_app_is_told_with_what_is_missing_and_why() {
        use super::super::LETS_ENCRYPT;
        use super::super::attempts::Kind;

        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path(), None).unwrap();
        let made = |name: &str| {
            let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.not_before = rcgen::date_time_ymd(2026, 1, 1);
            params.not_after = rcgen::date_time_ymd(2026, 4, 1);
            let key = rcgen::KeyPair::generate().unwrap();
            (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
        };
        let end: Timestamp = "2026-04-01T00:00:00Z".parse().unwrap();
        let now = end - SignedDuration::from_hours(5 * 24);
        let (chain, key) = made("ending.example.com");
        store.put(&chain, &key, Some(LETS_ENCRYPT), now).unwrap();
        let mut attempts = Attempts::default();
        let why = (Kind::NotHere, "it leads elsewhere");
        attempts.failed("away.example.com", why, LETS_ENCRYPT, None, now, 0.5);
        attempts.save(store.directory()).unwrap();
        let (chain, key) = made("own.example.com");
        let file = |name: &str, text: &str| {
            let path = state.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let hosts = [
            "*.example.org",
            "away.example.com",
            "ending.example.com",
            "new.example.com",
            "own.example.com",
        ];
        let wish = CertificateWish {
            hosts: hosts.map(str::to_owned).to_vec(),
            own: Some(stead_model::certificates::CertificateFiles {
                chain: file("own.pem", &chain),
                key: file("own.key", &key),
            }),
            ..CertificateWish::default()
        };
        let told = Known::at(state.path()).of(&wish, now).unwrap();
        let problem = |at: usize| told[at].problem.as_deref().unwrap_or_default();
        assert!(problem(0).starts_with("a wildcard is proven by a record in the DNS"));
        assert_eq!(problem(1), "it leads elsewhere; next attempt in 15 s");
        assert_eq!(told[2].ends, Some(end.as_second()));
        assert_eq!(
            problem(2),
            "it ends on 2026-04-01; it should have been renewed by now"
        );
        assert_eq!((told[3].ends, problem(3)), (None, ""));
        assert_eq!(
            (told[4].ends, told[4].renewed),
            (Some(end.as_second()), None)
        );
    }
}
