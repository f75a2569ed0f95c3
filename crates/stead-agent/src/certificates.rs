//! Certificates by themselves: for the hosts of the apps they are ordered from an authority (RFC 8555), kept on disk,
//! renewed in time, and shown to visitors by the edge.
//!
//! [`keep_certificates`] is one loop. It asks `plan` what to order, does it (`issue`), and waits for the next thing to
//! happen. Decisions are pure: what to order and when (`plan`), whether a host leads here (`check`), how long to wait after a
//! failure (`attempts`). What is kept: certificates (`store`), and apart from them what was tried (`attempts`).
//!
//! What it must never do: order more than two certificates for the same names a week, whatever was lost; hold up an app
//! that starts; take away a certificate that is valid; say a key or a credential.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use stead_model::certificates::CertificateFiles;
use stead_model::manifest::{Acme, Until};
use stead_model::messages::{EdgeCommand, EdgeEvent};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::Report;

mod attempts;
mod authority;
mod by_name;
mod check;
mod credentials;
mod demand;
mod dns;
mod http;
mod issue;
mod leaf;
mod link;
mod listing;
mod offers;
mod order;
mod pending;
mod plan;
mod reach;
mod records;
mod request;
mod store;
mod temporary;
mod wanted;

pub(crate) use dns::hold as dns_answer;
pub use listing::{Listed, Listing, Pending, import, list};
pub use request::{Renewal, Unasked, renew};

use self::attempts::Attempts;
use self::by_name::ByName;
use self::issue::Desk;
use self::link::{Link, Shown};
use self::pending::Orders;
use self::plan::{Plan, Stored, Wanted, plan};
use self::request::Asking;
use self::store::{Entry, Store};

/// The longest sleep: a clock that was set is noticed, and whatever was missed.
const LONGEST: Duration = Duration::from_secs(3600);
/// The directory of Let's Encrypt.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Its environment for trying things out.
const STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";
/// Longer than any limit of an authority counts back: until then a certificate is a witness of itself.
const WITNESS: SignedDuration = SignedDuration::from_hours(8 * 24);
/// What reports name as their source.
const SOURCE: &str = "certificates";

/// What the keeping of certificates needs from its caller.
#[derive(Debug)]
pub struct Certificates {
    /// `.stead/`: certificates are below it.
    pub state: PathBuf,
    /// To the edge.
    pub edge: UnboundedSender<EdgeCommand>,
    /// From the edge: what it says of certificates and challenges; anything else is passed over.
    pub edge_events: UnboundedReceiver<EdgeEvent>,
    /// What is wanted; each takes the place of the one before.
    pub wanted: UnboundedReceiver<CertificateWish>,
    /// What happened, for `render.rs`.
    pub reports: UnboundedSender<Report>,
    /// Where the edge listens for plain HTTP.
    pub http_port: u16,
}

/// Which hosts of an app want certificates, and from where.
#[derive(Clone, Debug, Default)]
pub struct CertificateWish {
    /// Hosts of its routes; `*.example.com` is a wildcard.
    pub hosts: Vec<String>,
    /// As `stead.toml` says.
    pub acme: Acme,
    /// What relative paths are relative to.
    pub source: PathBuf,
    /// A host of the app, by which it is asked about domains that no route names.
    pub ask_host: String,
    /// What visitors get over TLS while a host waits for its first certificate.
    pub until: Until,
    /// A certificate of the app's own: shown as it is, and its hosts are not ordered.
    pub own: Option<CertificateFiles>,
}

impl CertificateWish {
    /// The hosts that its own certificate is for need no other.
    fn without_own(mut self) -> Self {
        let Some(own) = &self.own else {
            return self;
        };
        let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        // What is no certificate is for nobody; the edge says what is wrong with it.
        if let Ok(leaf) = leaf::read(&read(&own.chain), &read(&own.key)) {
            self.hosts.retain(|host| {
                let wildcard = host.split_once('.').map(|(_, above)| format!("*.{above}"));
                !leaf
                    .names
                    .iter()
                    .any(|name| name == host || Some(name) == wildcard.as_ref())
            });
        }
        self
    }
}

/// Keep certificates until the caller's channels end.
pub async fn keep_certificates(certificates: Certificates) {
    let store = match Store::open(&certificates.state) {
        Ok(store) => store,
        Err(error) => {
            let text = format!(
                "cannot keep certificates in `{}`: {error}; visitors get plain HTTP",
                certificates.state.display()
            );
            tell(&certificates.reports, true, text);
            return;
        }
    };
    store.sweep();
    Orders::sweep(store.directory(), Timestamp::now());
    let mut keeping = Keeping::new(certificates, store);
    keeping.run().await;
}

/// Everything that the loop holds.
struct Keeping {
    state: PathBuf,
    store: Store,
    link: Link,
    wishes: UnboundedReceiver<CertificateWish>,
    reports: UnboundedSender<Report>,
    http_port: u16,
    wish: Option<CertificateWish>,
    attempts: Attempts,
    entries: Vec<Entry>,
    /// Hosts whose certificates somebody wants anew.
    forced: BTreeSet<String>,
    /// Domains that no route names, allowed by the app just now.
    fresh: BTreeSet<String>,
    /// Who waits to be told.
    asking: Vec<Asking>,
    /// What was said already, by host.
    said: BTreeMap<String, String>,
}

impl Keeping {
    fn new(certificates: Certificates, store: Store) -> Self {
        let (attempts, broken) = Attempts::load(store.directory());
        if let Some(why) = broken {
            tell(&certificates.reports, true, why);
        }
        Self {
            state: certificates.state,
            store,
            link: Link::new(certificates.edge, certificates.edge_events),
            wishes: certificates.wanted,
            reports: certificates.reports,
            http_port: certificates.http_port,
            wish: None,
            attempts,
            entries: Vec::new(),
            forced: BTreeSet::new(),
            fresh: BTreeSet::new(),
            asking: Vec::new(),
            said: BTreeMap::new(),
        }
    }

    async fn run(&mut self) {
        let requests = match request::Listener::bind(self.store.directory()) {
            Ok(requests) => Some(requests),
            Err(error) => {
                let text = format!("`stead cert renew` cannot reach this program: {error}");
                tell(&self.reports, true, text);
                None
            }
        };
        loop {
            self.load().await;
            self.show().await;
            let plan = self.act().await;
            self.speak(&plan);
            self.answer(&plan);
            self.settle_fresh();
            let now = Timestamp::now();
            let sleep = plan.wake.map_or(LONGEST, |wake| {
                let left = wake.duration_since(now).max(SignedDuration::from_secs(1));
                left.unsigned_abs().min(LONGEST)
            });
            tokio::select! {
                wish = self.wishes.recv() => match wish {
                    Some(wish) => self.wish(wish),
                    None => return,
                },
                asking = next(requests.as_ref()) => self.asked(asking),
                () = self.link.is_wanted() => self.wanted().await,
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// What is stored, read again where it has changed: another program may have imported something.
    async fn load(&mut self) {
        let store = self.store.clone();
        let mut entries = std::mem::take(&mut self.entries);
        // Beside everything else that this thread does: thousands of certificates hold up no app that starts.
        let read = tokio::task::spawn_blocking(move || {
            let broken = store.reload(&mut entries);
            (entries, broken)
        });
        let (entries, broken) = match read.await {
            Ok(read) => read,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends, and this with it.
                Err(_) => std::future::pending().await,
            },
        };
        self.entries = entries;
        match broken {
            Ok(broken) => {
                for broken in broken {
                    let text = format!(
                        "`{}` cannot be used: {}; it is as if it were not there",
                        broken.path.display(),
                        broken.why
                    );
                    self.say_once(&broken.path.to_string_lossy(), true, text);
                }
                self.tidy();
            }
            Err(error) => {
                let text = format!(
                    "cannot read `{}`: {error}",
                    self.store.directory().display()
                );
                self.say_once("the store", true, text);
            }
        }
    }

    /// Take away what another has replaced for a while.
    fn tidy(&mut self) {
        let now = Timestamp::now();
        let by_name = self.by_name();
        let mut gone: BTreeSet<String> = self
            .entries
            .iter()
            .map(|entry| &entry.stored)
            .filter(|stored| now.duration_since(stored.begins) > WITNESS)
            .filter(|stored| by_name.is_replaced(stored) || self.is_forgotten(stored, now))
            .map(|stored| stored.id.clone())
            .collect();
        // What cannot be removed is in nobody's way.
        gone.retain(|id| self.store.remove(id).is_ok());
        self.entries
            .retain(|entry| !gone.contains(&entry.stored.id));
    }

    /// Order what is due, until nothing is; the last plan says what waits.
    async fn act(&mut self) -> Plan {
        let Some(wish) = self.wish.clone() else {
            return Plan::default();
        };
        let directory = directory(&wish.acme);
        loop {
            let now = Timestamp::now();
            let names = self.names(&wish, now);
            let alone = names.iter().map(|name| vec![name.clone()]);
            let wanted = Wanted {
                apps: std::iter::once(wish.hosts.clone()).chain(alone).collect(),
                directory: directory.clone(),
                dns: wish.acme.dns.is_some() || !wish.acme.dns_program.is_empty(),
                forced: self.forced.clone(),
            };
            let stored = self.stored();
            let ids: BTreeSet<String> = stored.iter().map(|stored| stored.id.clone()).collect();
            let others = demand::remembered(&wish.hosts, &self.attempts, now);
            self.attempts.prune(
                now,
                |host| {
                    [&wish.hosts, &names, &others]
                        .iter()
                        .any(|all| all.iter().any(|wanted| wanted == host))
                },
                |id| ids.contains(id),
            );
            let entries = std::mem::take(&mut self.entries);
            let mut desk = self.desk(&wish, &directory);
            desk.ask_windows(&entries, now).await;
            let plan = plan(&wanted, &stored, desk.attempts, now);
            if plan.orders.is_empty() {
                self.entries = entries;
                self.forced.clear();
                return plan;
            }
            for order in &plan.orders {
                if self.is_allowed(order, &wish, &directory).await {
                    let mut desk = self.desk(&wish, &directory);
                    desk.carry_out(order, &entries).await;
                }
            }
            self.forced.clear();
            self.entries = entries;
            self.load().await;
            self.show().await;
        }
    }

    /// Show visitors what is stored.
    async fn show(&mut self) {
        let files = self.entries.iter().map(|entry| CertificateFiles {
            chain: entry.chain.clone(),
            key: entry.key.clone(),
        });
        let own = self.wish.as_ref().and_then(|wish| wish.own.clone());
        let shown = Shown {
            files: own.into_iter().chain(files).collect(),
            until: self.until(),
        };
        match self.link.show(shown).await {
            Some(Ok(report)) => {
                for problem in report.problems {
                    let text = format!("`{}`: {}", problem.subject, problem.why);
                    self.say_once(&problem.subject.clone(), true, text);
                }
            }
            Some(Err(trouble)) => self.say_once("the edge", true, trouble.why),
            None => {}
        }
    }

    fn desk<'a>(&'a mut self, wish: &'a CertificateWish, directory: &'a str) -> Desk<'a> {
        Desk {
            state: &self.state,
            store: &self.store,
            link: &mut self.link,
            attempts: &mut self.attempts,
            reports: &self.reports,
            http_port: self.http_port,
            wish,
            directory,
        }
    }

    fn by_name(&self) -> ByName<'_> {
        ByName::new(self.entries.iter().map(|entry| &entry.stored))
    }

    fn stored(&self) -> Vec<Stored> {
        self.entries
            .iter()
            .map(|entry| entry.stored.clone())
            .collect()
    }

    /// Somebody wants certificates anew.
    fn asked(&mut self, asking: Asking) {
        let hosts = asking.hosts(&self.hosts());
        self.force(hosts);
        self.asking.push(asking);
    }

    fn force(&mut self, hosts: Vec<String>) {
        for host in hosts {
            // Whoever asks by hand has changed something.
            self.attempts.failures.remove(&host);
            self.said.remove(&host);
            self.forced.insert(host);
        }
    }

    /// What is wanted from now on. Somebody may have asked before anything was.
    fn wish(&mut self, wish: CertificateWish) {
        self.wish = Some(wish.without_own());
        let hosts = self.hosts();
        let asked = self.asking.iter().flat_map(|asking| asking.hosts(&hosts));
        let asked = asked.collect();
        self.force(asked);
    }

    /// Tell those who asked what came of it.
    fn answer(&mut self, plan: &Plan) {
        let Some(wish) = &self.wish else {
            return;
        };
        let directory = directory(&wish.acme);
        let stored = self.stored();
        let hosts = self.hosts();
        for asking in std::mem::take(&mut self.asking) {
            asking.answer(
                &hosts,
                &directory,
                &stored,
                (plan, &self.attempts),
                Timestamp::now(),
            );
        }
    }

    /// Say what waits and why, each once.
    fn speak(&mut self, plan: &Plan) {
        let now = Timestamp::now();
        let directory = self.wish.as_ref().map(|wish| directory(&wish.acme));
        let directory = directory.unwrap_or_default();
        let stored = self.stored();
        self.said
            .retain(|subject, _| !plan.is_served(subject, &stored, now));
        // Hosts that wait for the same are told in one line: an authority that is down is no hundred sentences.
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (host, wait) in &plan.waits {
            if self.said.get(host) == Some(&wait.why) {
                continue;
            }
            self.said.insert(host.clone(), wait.why.clone());
            let best = plan::best(host, &directory, &stored, now);
            let serves = match best {
                Some(best) => format!("the old one serves until {}", day(best.ends)),
                None => "visitors get plain HTTP".to_owned(),
            };
            let next = match wait.until {
                Some(until) => format!("; next attempt {}", soon(until.duration_since(now))),
                None => String::new(),
            };
            let text = format!("{}; {serves}{next}", wait.why);
            told.entry(text).or_default().push(host.clone());
        }
        for (text, hosts) in told {
            let text = format!("no new certificate for {}: {text}", issue::some(&hosts));
            tell(&self.reports, true, text);
        }
        let by_name = ByName::new(&stored);
        for stored in &stored {
            if stored.is_ending(now) && stored.ends > now && !by_name.is_replaced(stored) {
                let text = format!(
                    "the certificate for `{}` ends on {}",
                    stored.names.join("`, `"),
                    day(stored.ends)
                );
                self.say_once(&stored.id.clone(), true, text);
            }
        }
    }

    fn say_once(&mut self, subject: &str, warning: bool, text: String) {
        if self.said.get(subject) != Some(&text) {
            self.said.insert(subject.to_owned(), text.clone());
            tell(&self.reports, warning, text);
        }
    }
}

async fn next(requests: Option<&request::Listener>) -> Asking {
    match requests {
        Some(requests) => requests.next().await,
        None => std::future::pending().await,
    }
}

fn tell(reports: &UnboundedSender<Report>, warning: bool, text: String) {
    let _ = reports.send(Report::Note {
        source: SOURCE.to_owned(),
        warning,
        text,
    });
}

/// The URL of the directory that `[acme]` means.
fn directory(acme: &Acme) -> String {
    match &acme.directory {
        Some(directory) => directory.clone(),
        None if acme.staging => STAGING.to_owned(),
        None => LETS_ENCRYPT.to_owned(),
    }
}

fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

/// `in 20 min`.
fn soon(time: SignedDuration) -> String {
    match time.as_secs() {
        ..=0 => "at once".to_owned(),
        seconds @ 1..=119 => format!("in {seconds} s"),
        seconds @ 120..=7199 => format!("in {} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("in {} h", seconds / 3600),
        seconds => format!("in {} days", seconds / 86_400),
    }
}
