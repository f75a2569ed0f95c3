//! Certificates by themselves: for the hosts of the apps they are ordered from an authority (RFC 8555), kept on disk,
//! renewed in time, and shown to visitors by the edge.
//!
//! [`keep_certificates`] is one loop for all apps. It asks `plan` what to order for one after the other, does it (`issue`), and waits for
//! the next thing to happen. Decisions are pure: what to order and when (`plan`), whether a host leads here (`check`), how long to wait after a
//! failure (`attempts`). What is kept: certificates (`store`), and apart from them what was tried (`attempts`).
//!
//! What it must never do: order more than two certificates for the same names a week, whatever was lost; hold up an app
//! that starts; take away a certificate that is valid; say a key or a credential.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use stead_model::certificates::{CertificateFiles, Listed, Renewal};
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
pub use listing::{Known, import, list};
pub use request::{Unasked, renew};

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
    /// `.stead/`, or `/var/lib/stead` of a host: certificates are below it.
    pub state: PathBuf,
    /// To the edge.
    pub edge: UnboundedSender<EdgeCommand>,
    /// From the edge: what it says of certificates and challenges; anything else is passed over.
    pub edge_events: UnboundedReceiver<EdgeEvent>,
    /// What each app wants, by its name, as far as it is known from the beginning.
    pub wishes: BTreeMap<String, CertificateWish>,
    /// What an app wants from now on, in place of what it wanted before; `None`: nothing any more.
    pub wanted: UnboundedReceiver<(String, Option<CertificateWish>)>,
    /// The group that may read what visitors are shown, keys included; `None`: their owner alone.
    pub readers: Option<u32>,
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
    /// Credentials are in `secrets` below it.
    pub state: PathBuf,
    /// As whom its program for records in the DNS is run; `None`: as this program.
    pub user: Option<String>,
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
        if let Some(own) = self.own_leaf() {
            self.hosts.retain(|host| {
                let wildcard = host.split_once('.').map(|(_, above)| format!("*.{above}"));
                !own.hosts
                    .iter()
                    .any(|name| name == host || Some(name) == wildcard.as_ref())
            });
        }
        self
    }

    /// What its own certificate says. What is no certificate is for nobody; the edge says what is wrong with it.
    fn own_leaf(&self) -> Option<Listed> {
        let own = self.own.as_ref()?;
        let read = |path: &PathBuf| store::text(path).unwrap_or_default();
        let leaf = leaf::read(&read(&own.chain), &read(&own.key)).ok()?;
        let stored = Stored {
            id: String::new(),
            names: leaf.names,
            begins: leaf.begins,
            ends: leaf.ends,
            directory: None,
        };
        Some(Listed {
            ending: stored.is_ending(Timestamp::now()),
            hosts: stored.names,
            issuer: leaf.issuer,
            begins: leaf.begins,
            ends: leaf.ends,
            renewed: leaf.ends,
            directory: None,
            replaced: false,
            chain: own.chain.clone(),
            key: own.key.clone(),
        })
    }

    /// What it wants for these hosts, which come in one order, and for these, which come alone.
    fn wanted(&self, hosts: Vec<String>, alone: Vec<String>) -> Wanted {
        let alone = alone.into_iter().map(|host| vec![host]);
        Wanted {
            apps: std::iter::once(hosts).chain(alone).collect(),
            directory: directory(&self.acme),
            dns: self.acme.dns.is_some() || !self.acme.dns_program.is_empty(),
            forced: BTreeSet::new(),
        }
    }
}

/// Keep certificates until the caller's channels end.
pub async fn keep_certificates(certificates: Certificates) {
    let store = match Store::open(&certificates.state, certificates.readers) {
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

/// What is to be done for each app, by its name.
type Plans = BTreeMap<String, Plan>;

/// Everything that the loop holds.
struct Keeping {
    store: Store,
    link: Link,
    wishes: UnboundedReceiver<(String, Option<CertificateWish>)>,
    reports: UnboundedSender<Report>,
    http_port: u16,
    apps: BTreeMap<String, CertificateWish>,
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
        let wishes = certificates.wishes.into_iter();
        Self {
            store,
            link: Link::new(certificates.edge, certificates.edge_events),
            wishes: certificates.wanted,
            reports: certificates.reports,
            http_port: certificates.http_port,
            apps: wishes
                .map(|(app, wish)| (app, wish.without_own()))
                .collect(),
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
            let plans = self.act().await;
            self.speak(&plans);
            self.answer(&plans);
            self.settle_fresh();
            let now = Timestamp::now();
            let wake = plans.values().filter_map(|plan| plan.wake).min();
            let sleep = wake.map_or(LONGEST, |wake| {
                let left = wake.duration_since(now).max(SignedDuration::from_secs(1));
                left.unsigned_abs().min(LONGEST)
            });
            tokio::select! {
                wanted = self.wishes.recv() => match wanted {
                    Some((app, wish)) => self.wish(app, wish),
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

    /// Order what is due for one app after the other, until nothing is; the last plan of each says what waits.
    async fn act(&mut self) -> Plans {
        let mut plans = Plans::new();
        while let Some((app, wish)) = self.apps.iter().find(|(app, _)| !plans.contains_key(*app)) {
            let (app, wish) = (app.clone(), wish.clone());
            let plan = self.act_for(&app, &wish).await;
            plans.insert(app, plan);
            // An order takes its time, and meanwhile others come and go.
            while let Ok((app, wish)) = self.wishes.try_recv() {
                plans.remove(&app);
                self.wish(app, wish);
            }
        }
        self.forced.clear();
        plans
    }

    async fn act_for(&mut self, app: &str, wish: &CertificateWish) -> Plan {
        let directory = directory(&wish.acme);
        loop {
            let now = Timestamp::now();
            let names = self.names(app, now);
            let wanted = Wanted {
                forced: self.forced.clone(),
                ..wish.wanted(wish.hosts.clone(), names)
            };
            let stored = self.stored();
            let ids: BTreeSet<String> = stored.iter().map(|stored| stored.id.clone()).collect();
            self.prune(&ids, now);
            let entries = std::mem::take(&mut self.entries);
            let mut desk = self.desk(wish, &directory);
            desk.ask_windows(&entries, now).await;
            let plan = plan(&wanted, &stored, desk.attempts, now);
            if plan.orders.is_empty() {
                self.entries = entries;
                return plan;
            }
            for order in &plan.orders {
                if self.is_allowed(order, app, wish, &directory).await {
                    let mut desk = self.desk(wish, &directory);
                    desk.carry_out(order, &entries).await;
                }
                for host in &order.hosts {
                    self.forced.remove(host);
                }
            }
            self.entries = entries;
            self.load().await;
            self.show().await;
        }
    }

    /// Forget what was tried for hosts that nobody wants any more.
    fn prune(&mut self, stored: &BTreeSet<String>, now: Timestamp) {
        let own = self.own();
        let mut known: BTreeSet<String> = own.iter().cloned().collect();
        known.extend(demand::remembered(&own, &self.attempts, now));
        for app in self.apps.keys() {
            known.extend(self.names(app, now));
        }
        self.attempts
            .prune(now, |host| known.contains(host), |id| stored.contains(id));
    }

    /// Show visitors what is stored.
    async fn show(&mut self) {
        let files = self.entries.iter().map(|entry| CertificateFiles {
            chain: entry.chain.clone(),
            key: entry.key.clone(),
        });
        let own = self.apps.values().filter_map(|wish| wish.own.clone());
        let shown = Shown {
            files: own.chain(files).collect(),
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

    /// What an app wants from now on. Somebody may have asked before anything was.
    fn wish(&mut self, app: String, wish: Option<CertificateWish>) {
        match wish {
            Some(wish) => self.apps.insert(app, wish.without_own()),
            None => self.apps.remove(&app),
        };
        let hosts = self.hosts();
        let asked = self.asking.iter().flat_map(|asking| asking.hosts(&hosts));
        let asked = asked.collect();
        self.force(asked);
    }

    /// Tell those who asked what came of it.
    fn answer(&mut self, plans: &Plans) {
        let stored = self.stored();
        let now = Timestamp::now();
        for asking in std::mem::take(&mut self.asking) {
            // What is wanted comes in a moment.
            if self.apps.is_empty() && !asking.is_look() {
                self.asking.push(asking);
                continue;
            }
            let hosts = asking.all(&self.hosts());
            let told = |host: &String| self.told(host, plans, &stored, now);
            let renewals = hosts.iter().map(told).collect();
            asking.answer(renewals);
        }
    }

    /// What came of one host's renewal.
    fn told(&self, host: &str, plans: &Plans, stored: &[Stored], now: Timestamp) -> Renewal {
        let found = self
            .app_of(host)
            .and_then(|app| Some((self.apps.get(app)?, plans.get(app)?)));
        let (done, text) = match found {
            None => (
                false,
                "no route of the app that runs has this host".to_owned(),
            ),
            Some((wish, plan)) => {
                let best = plan::best(host, &directory(&wish.acme), stored, now);
                match (plan.waits.get(host), self.attempts.failures.get(host), best) {
                    (Some(wait), ..) => {
                        let next = wait.until.map(|until| {
                            format!("; next attempt {}", soon(until.duration_since(now)))
                        });
                        (false, format!("{}{}", wait.why, next.unwrap_or_default()))
                    }
                    // The former one serves, but it was not renewed.
                    (None, Some(failure), _) => (false, failure.why.clone()),
                    (None, None, Some(best)) => {
                        (true, format!("a certificate until {}", day(best.ends)))
                    }
                    (None, None, None) => (false, "a wildcard of the app is for it".to_owned()),
                }
            }
        };
        Renewal {
            host: host.to_owned(),
            done,
            text,
        }
    }

    /// Say what waits and why, each once.
    fn speak(&mut self, plans: &Plans) {
        let now = Timestamp::now();
        let stored = self.stored();
        let waits = |subject: &str| plans.values().any(|plan| plan.waits.contains_key(subject));
        let serves = |subject: &str| {
            let mut stored = stored.iter();
            stored.any(|stored| stored.ends > now && stored.covers(subject))
        };
        self.said
            .retain(|subject, _| waits(subject) || !serves(subject));
        // Hosts that wait for the same are told in one line: an authority that is down is no hundred sentences.
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let all = plans.iter().flat_map(|(app, plan)| {
            let directory = self.apps.get(app).map(|wish| directory(&wish.acme));
            let directory = directory.unwrap_or_default();
            let waits = plan.waits.iter();
            waits.map(move |(host, wait)| (directory.clone(), host, wait))
        });
        let all: Vec<_> = all.collect();
        for (directory, host, wait) in all {
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
