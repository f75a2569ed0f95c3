//! One planned order, carried out: hosts are looked at, proven in the first way that works, and what came of it is
//! written down.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD, Engine};
use jiff::{SignedDuration, Timestamp};
use stead_model::manifest::ChallengeChoice;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use super::attempts::{Asked, Attempts, Kind, Window};
use super::authority::{Authority, Terms, Trouble, identifier};
use super::check::{Verdict, judge};
use super::credentials::credential;
use super::dns::Resolver;
use super::link::Link;
use super::offers::Offers;
use super::order::{Failed, Issued, Way, Wish, order};
use super::pending::Orders;
use super::plan::Order;
use super::reach::{self, Sign};
use super::records::Records;
use super::store::{Entry, Store};
use super::{CertificateWish, day, tell};
use crate::state::base64url;
use crate::{Report, listener};

/// Hosts that are looked at at the same time.
const AT_ONCE: usize = 16;
/// How many certificates of an order that fails in part are asked for, one after the other.
const MOST_TRIES: usize = 6;

/// Until an authority that did not say when to renew is asked again.
const UNANSWERED: SignedDuration = SignedDuration::from_hours(6);
/// So many are asked about in one go: orders come first.
const MOST_WINDOWS: usize = 200;

/// Where orders are carried out.
pub(super) struct Desk<'a> {
    pub(super) store: &'a Store,
    pub(super) link: &'a mut Link,
    pub(super) attempts: &'a mut Attempts,
    pub(super) reports: &'a UnboundedSender<Report>,
    pub(super) http_port: u16,
    pub(super) wish: &'a CertificateWish,
    /// The URL of the authority's directory.
    pub(super) directory: &'a str,
}

impl Desk<'_> {
    /// Carry it out. Afterwards each of its hosts has a certificate or a failure that says why not.
    pub(super) async fn carry_out(&mut self, planned: &Order, entries: &[Entry]) {
        let hosts = &planned.hosts;
        let opened = self.open().await;
        let (mut authority, records, sign) = match opened {
            Ok(opened) => opened,
            Err(trouble) => {
                self.failed(hosts, &trouble);
                return self.save();
            }
        };
        let resolver = Resolver::new(&self.wish.acme.resolvers);
        let ways: BTreeMap<String, Vec<Way>> = hosts
            .iter()
            .map(|host| (host.clone(), self.ways(host, records.is_some())))
            .collect();
        let ways = self.look(ways, &resolver, &sign).await;
        let replaced = planned.replaces.as_ref();
        let replaced = replaced.and_then(|id| entries.iter().find(|entry| entry.stored.id == *id));
        let replaces = replaced.and_then(|entry| identifier(&entry.leaf));
        // Each entry: hosts, and which of their ways is tried.
        let mut tries: VecDeque<(Vec<String>, usize)> = VecDeque::new();
        tries.push_back((ways.keys().cloned().collect(), 0));
        let mut count = 0;
        let mut registered = false;
        while let Some((hosts, at)) = tries.pop_front().filter(|(hosts, _)| !hosts.is_empty()) {
            count += 1;
            let way = |host: &String| {
                ways.get(host)
                    .and_then(|ways| ways.get(at.min(ways.len() - 1)))
            };
            let chosen: BTreeMap<String, Way> = hosts
                .iter()
                .filter_map(|host| Some((host.clone(), *way(host)?)))
                .collect();
            let offers = Offers::new(self.link, records.clone(), resolver.clone(), sign.clone());
            let wish = Wish {
                hosts: &hosts,
                ways: &chosen,
                replaces: replaces.clone(),
                profile: self.wish.acme.profile.as_deref(),
            };
            tell(
                self.reports,
                false,
                format!("ordering a certificate for {}", some(&hosts)),
            );
            let outcome = attempt(
                &authority,
                wish,
                offers,
                self.attempts,
                self.store,
                self.directory,
                self.reports,
            )
            .await;
            match outcome {
                Ok(issued) => self.keep(&hosts, &issued),
                Err(Failed::Hosts(failed)) => {
                    let names: Vec<String> = failed.iter().map(|(host, _)| host.clone()).collect();
                    let rest: Vec<String> = hosts
                        .iter()
                        .filter(|host| !names.contains(host))
                        .cloned()
                        .collect();
                    let mut again = Vec::new();
                    for (host, trouble) in failed {
                        let more = ways.get(&host).is_some_and(|ways| at + 1 < ways.len());
                        if more && trouble.kind == Kind::Refused {
                            tell(
                                self.reports,
                                false,
                                format!("`{host}`: {}; another way is tried", trouble.why),
                            );
                            again.push(host);
                        } else {
                            self.failed(&[host], &trouble);
                        }
                    }
                    if count >= MOST_TRIES {
                        let trouble = Trouble::new(
                            Kind::Refused,
                            "too many hosts of the order failed one after the other",
                        );
                        self.failed(&rest, &trouble);
                        self.failed(&again, &trouble);
                    } else {
                        tries.push_front((rest, at));
                        tries.push_back((again, at + 1));
                        tries.retain(|(hosts, _)| !hosts.is_empty());
                    }
                }
                Err(Failed::Order(trouble)) => self.failed(&hosts, &trouble),
                Err(Failed::NoAccount) => {
                    match self
                        .register_again(std::mem::replace(&mut registered, true))
                        .await
                    {
                        Ok(known) => {
                            authority = known;
                            tries.push_front((hosts, at));
                        }
                        Err(trouble) => self.failed(&hosts, &trouble),
                    }
                }
            }
        }
        // Nor is this host recognized any more.
        let _ = self.link.answer(BTreeMap::new()).await;
        self.save();
    }

    /// The authority has lost our account: a new one, once.
    async fn register_again(&self, registered: bool) -> Result<Authority, Trouble> {
        if registered {
            let why = "the authority does not know the account that it has just made";
            return Err(Trouble::new(Kind::Unavailable, why));
        }
        let terms = self.terms()?;
        Authority::forget(&terms, &self.accounts());
        Authority::open(&terms, &self.accounts()).await
    }

    fn accounts(&self) -> std::path::PathBuf {
        self.store.directory().join("accounts")
    }

    fn terms(&self) -> Result<Terms, Trouble> {
        let acme = &self.wish.acme;
        let external = match &acme.eab_kid {
            Some(kid) => {
                let key = credential(&self.wish.state, "ACME_EAB_HMAC_KEY")
                    .map_err(|failure| Trouble::new(Kind::Refused, failure.causes.join(": ")))?;
                let key = base64url_bytes(&key).ok_or_else(|| {
                    Trouble::new(
                        Kind::Refused,
                        "the secret `ACME_EAB_HMAC_KEY` is not in base64url, as authorities show it",
                    )
                })?;
                Some((kid.clone(), key))
            }
            None => None,
        };
        Ok(Terms {
            directory: self.directory.to_owned(),
            email: acme.email.clone(),
            roots: acme
                .ca_root
                .as_ref()
                .map(|root| self.wish.source.join(root)),
            external,
        })
    }

    async fn open(&self) -> Result<(Authority, Option<Arc<Records>>, Sign), Trouble> {
        let terms = self.terms()?;
        let records = Records::open(self.wish)
            .map_err(|failure| Trouble::new(Kind::Refused, failure.causes.join(": ")))?;
        let random = listener::random::<16>().map_err(|error| {
            Trouble::new(Kind::Unavailable, format!("no random numbers: {error}"))
        })?;
        let sign = Sign {
            token: format!("stead-{}", base64url(&random)),
            answer: base64url(&random),
            port: self.http_port,
        };
        let authority = Authority::open(&terms, &self.accounts()).await?;
        Ok((authority, records.map(Arc::new), sign))
    }

    /// Ask when the authority would like stored certificates to be renewed, those of which that was not asked for a while.
    pub(super) async fn ask_windows(&mut self, entries: &[Entry], now: Timestamp) {
        let windows = &self.attempts.windows;
        let due = |id: &String| windows.get(id).is_none_or(|window| window.ask <= now);
        let due: Vec<&Entry> = entries
            .iter()
            .filter(|entry| entry.stored.directory.as_deref() == Some(self.directory))
            .filter(|entry| entry.stored.ends > now && due(&entry.stored.id))
            .take(MOST_WINDOWS)
            .collect();
        if due.is_empty() {
            return;
        }
        let authority = match self.terms() {
            Ok(terms) => Authority::open(&terms, &self.accounts()).await.ok(),
            Err(_) => None,
        };
        for entry in due {
            let id = entry.stored.id.clone();
            let window = match &authority {
                Some(authority) => authority.window(&entry.leaf, now).await,
                None => None,
            };
            let before = self.attempts.windows.get(&id).copied();
            // Without an answer it is two thirds of the certificate's life, or what was said before.
            let window = window.unwrap_or_else(|| Window {
                ask: now + UNANSWERED,
                ..before.unwrap_or(Window {
                    begins: now,
                    ends: now,
                    ask: now,
                })
            });
            self.attempts.windows.insert(id, window);
        }
        self.save();
    }

    /// The ways in which a host can be proven, the first one first.
    fn ways(&self, host: &str, records: bool) -> Vec<Way> {
        if host.starts_with("*.") {
            return vec![Way::Dns];
        }
        match self.wish.acme.challenge {
            ChallengeChoice::Http => vec![Way::Http],
            ChallengeChoice::TlsAlpn => vec![Way::TlsAlpn],
            ChallengeChoice::Dns => vec![Way::Dns],
            ChallengeChoice::Auto if records => vec![Way::Http, Way::TlsAlpn, Way::Dns],
            ChallengeChoice::Auto => vec![Way::Http, Way::TlsAlpn],
        }
    }

    /// Look where the hosts lead. What leads elsewhere is not ordered, or proven in the DNS.
    async fn look(
        &mut self,
        mut ways: BTreeMap<String, Vec<Way>>,
        resolver: &Resolver,
        sign: &Sign,
    ) -> BTreeMap<String, Vec<Way>> {
        let shown = Offers::new(self.link, None, resolver.clone(), sign.clone())
            .show_sign()
            .await;
        if let Err(trouble) = shown {
            let hosts: Vec<String> = ways.into_keys().collect();
            self.failed(&hosts, &trouble);
            return BTreeMap::new();
        }
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut looks = JoinSet::new();
        for (host, ways) in &ways {
            let sign = match ways.first() {
                Some(Way::Http) => Some(sign.clone()),
                Some(Way::TlsAlpn) => None,
                _ => continue,
            };
            let (host, resolver) = (host.clone(), resolver.clone());
            let places = Arc::clone(&places);
            looks.spawn(async move {
                let _place = places.acquire_owned().await;
                let found = reach::find(&host, &resolver, sign.as_ref()).await;
                (judge(&found), host)
            });
        }
        while let Some(look) = looks.join_next().await {
            match look {
                Ok((Verdict::Here, _)) | Err(_) => {}
                Ok((Verdict::Perhaps(why), _)) => {
                    tell(
                        self.reports,
                        true,
                        format!("{why}; it is ordered all the same"),
                    );
                }
                Ok((Verdict::NotHere(why), host)) => {
                    let dns = ways.get(&host).is_some_and(|ways| ways.contains(&Way::Dns));
                    if dns {
                        ways.insert(host, vec![Way::Dns]);
                    } else {
                        ways.remove(&host);
                        self.failed(&[host], &Trouble::new(Kind::NotHere, why));
                    }
                }
            }
        }
        ways
    }

    /// Keep a certificate; only then is it one.
    fn keep(&mut self, hosts: &[String], issued: &Issued) {
        let now = Timestamp::now();
        let kept = self
            .store
            .put(&issued.chain, &issued.key, Some(self.directory), now);
        match kept {
            Ok(entry) => {
                Orders::at(self.store.directory(), self.directory).forget(hosts);
                let missing: Vec<String> = hosts
                    .iter()
                    .filter(|host| !entry.stored.covers(host) || entry.stored.ends <= now)
                    .cloned()
                    .collect();
                for host in hosts {
                    self.attempts.failures.remove(host);
                }
                let text = format!(
                    "{} has a certificate of `{}` until {}",
                    some(hosts),
                    entry.issuer,
                    day(entry.stored.ends)
                );
                tell(self.reports, false, text);
                if !missing.is_empty() {
                    let why =
                        "the certificate that the authority issued is not for it, or not valid now";
                    self.failed(&missing, &Trouble::new(Kind::Refused, why));
                }
            }
            Err(why) => self.failed(hosts, &Trouble::new(Kind::Unavailable, why)),
        }
    }

    fn failed(&mut self, hosts: &[String], trouble: &Trouble) {
        let now = Timestamp::now();
        // Hosts that failed together come again together: in one order.
        let chance = listener::random_u64().map_or(0.5, |random| {
            f64::from((random >> 32) as u32) / f64::from(u32::MAX)
        });
        for host in hosts {
            let why = (trouble.kind, trouble.why.as_str());
            self.attempts
                .failed(host, why, self.directory, trouble.at_least, now, chance);
        }
    }

    pub(super) fn save(&self) {
        if let Err(error) = self.attempts.save(self.store.directory()) {
            let text = format!("cannot write down what was tried: {error}");
            tell(self.reports, true, text);
        }
    }
}

async fn attempt(
    authority: &Authority,
    wish: Wish<'_>,
    mut offers: Offers<'_>,
    attempts: &mut Attempts,
    store: &Store,
    directory: &str,
    reports: &UnboundedSender<Report>,
) -> Result<Issued, Failed> {
    let names = wish.hosts.to_vec();
    let before = |began: Timestamp| {
        // An order that goes on was written down already.
        let is_same = |asked: &Asked| asked.names == names && asked.directory == directory;
        let mut known = attempts.asked.iter().rev();
        if known.any(|asked| is_same(asked) && asked.at >= began) {
            return Ok(());
        }
        attempts.asked.push(Asked {
            at: Timestamp::now(),
            directory: directory.to_owned(),
            names: names.clone(),
        });
        // What cannot be written down is not asked for: the next start would ask again.
        attempts.save(store.directory()).map_err(|error| {
            Trouble::new(
                Kind::Unavailable,
                format!("cannot write `{}`: {error}", store.directory().display()),
            )
        })
    };
    let orders = Orders::at(store.directory(), directory);
    let issued = order(authority, wish, &mut offers, &orders, before).await;
    for why in std::mem::take(&mut offers.left) {
        tell(reports, true, format!("a record in the DNS is left: {why}"));
    }
    issued
}

/// The first few hosts, in backticks.
pub(super) fn some(hosts: &[String]) -> String {
    let shown: Vec<String> = hosts
        .iter()
        .take(3)
        .map(|host| format!("`{host}`"))
        .collect();
    match hosts.len() {
        0..=3 => shown.join(", "),
        more => format!("{} and {} more", shown.join(", "), more - 3),
    }
}

/// RFC 4648 section 5, as authorities show it; section 4, as some do; with or without padding.
fn base64url_bytes(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .or_else(|_| BASE64_STANDARD_NO_PAD.decode(text));
    bytes.ok().filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_read_as_it_is_written() {
        for bytes in [
            &b"a"[..],
            b"ab",
            b"abc",
            b"\xff\xfe\xfd\xfc",
            b"zWNDZM6eQGHWpSRTPal5eIUYFTu7",
        ] {
            assert_eq!(base64url_bytes(&base64url(bytes)).as_deref(), Some(bytes));
        }
        assert_eq!(base64url_bytes("no spaces"), None);
        assert_eq!(base64url_bytes(""), None);
    }
}
