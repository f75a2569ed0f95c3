//! Domains that no route names: visitors wait for a certificate, the app is asked whether there is to be one.

use std::time::Duration;

use jiff::Timestamp;

use super::attempts::Kind;
use super::demand::{self, Judgement};
use super::plan::{Order, Stored, matches};
use super::{CertificateWish, Keeping};

/// So many names are seen to in one go; then what is due comes first.
const AT_ONCE: usize = 16;
/// How long a no of the app holds.
const NO: Duration = Duration::from_secs(5 * 60);
/// How long it holds that the app said nothing that makes sense.
const NOTHING: Duration = Duration::from_secs(10);
/// What reports that are said once are about.
const SUBJECT: &str = "domains that no route names";

impl Keeping {
    /// Visitors wait for certificates.
    pub(super) async fn wanted(&mut self) {
        for _ in 0..AT_ONCE {
            let Some(host) = self.link.next_wanted() else {
                return;
            };
            if let Err(within) = self.want(&host).await {
                self.link.not_wanted(&host, within);
            }
        }
    }

    /// An error: not for so long.
    async fn want(&mut self, host: &str) -> Result<(), Duration> {
        let now = Timestamp::now();
        if self.apps.is_empty() {
            return Err(NOTHING);
        }
        let app = self.demanding(host).ok_or(NO)?.to_owned();
        let wish = self.apps.get(&app).ok_or(NOTHING)?;
        let rate = wish.acme.on_demand.as_ref().ok_or(NO)?.rate;
        let stored = self.stored();
        let serves = |stored: &Stored| stored.ends > now && stored.covers(host);
        if stored.iter().any(serves) {
            // It has come meanwhile.
            return Ok(());
        }
        match demand::judge(host, &self.own(), rate, &stored, &self.attempts, now) {
            Judgement::Ask => {}
            Judgement::Refuse { within, why } => {
                if let Some(why) = why {
                    self.say_once(SUBJECT, true, format!("no certificate for `{host}`: {why}"));
                }
                return Err(within);
            }
        }
        match self.ask(&app, host).await {
            Ok(true) => {
                self.fresh.insert(host.to_owned());
                Ok(())
            }
            Ok(false) => Err(NO),
            Err(why) => {
                self.say_once(SUBJECT, true, why);
                Err(NOTHING)
            }
        }
    }

    /// Whether the app allows a certificate for this domain, or why it did not say.
    async fn ask(&mut self, app: &str, host: &str) -> Result<bool, String> {
        let silent =
            |why| format!("the app was asked whether `{host}` may have a certificate: {why}");
        let wish = self.apps.get(app);
        let on_demand = wish.and_then(|wish| Some((&wish.ask_host, wish.acme.on_demand.as_ref()?)));
        let Some((ask_host, on_demand)) = on_demand else {
            return Err(silent("nothing says where".to_owned()));
        };
        // A name that was judged needs no encoding.
        let (ask_host, path) = (ask_host.clone(), format!("{}{host}", on_demand.ask));
        match self.link.ask(&ask_host, path).await {
            Ok(200..=299) => Ok(true),
            // It may be better in a moment.
            Ok(status @ (429 | 500..)) => Err(silent(format!("it answered {status}"))),
            Ok(_) => Ok(false),
            Err(why) => Err(silent(why)),
        }
    }

    /// Whether an order may be carried out: the app is asked again before a domain that no route names is renewed.
    pub(super) async fn is_allowed(
        &mut self,
        order: &Order,
        app: &str,
        wish: &CertificateWish,
        directory: &str,
    ) -> bool {
        let [host] = order.hosts.as_slice() else {
            return true;
        };
        if wish.hosts.contains(host) || self.fresh.contains(host) {
            return true;
        }
        let failure = match self.ask(app, host).await {
            Ok(true) => return true,
            Ok(false) => (
                Kind::Refused,
                "the app does not allow it any more; it is not renewed".to_owned(),
            ),
            Err(why) => (Kind::Unavailable, why),
        };
        let failure = (failure.0, failure.1.as_str());
        let now = Timestamp::now();
        self.attempts
            .failed(host, failure, directory, None, now, 0.5);
        self.desk(wish, directory).save();
        false
    }

    /// The hosts of the routes of all apps.
    pub(super) fn own(&self) -> Vec<String> {
        let wishes = self.apps.values();
        wishes.flat_map(|wish| wish.hosts.iter().cloned()).collect()
    }

    /// The app that is asked about a domain which no route names: the one that has a wildcard for it, else the first that is to be asked.
    pub(super) fn demanding(&self, host: &str) -> Option<&str> {
        let asked = |wish: &CertificateWish| wish.acme.on_demand.is_some();
        let mut apps = self.apps.iter().filter(|(_, wish)| asked(wish));
        let first = apps.clone().next();
        let covers = |wish: &CertificateWish| wish.hosts.iter().any(|name| matches(name, host));
        let found = apps.find(|(_, wish)| covers(wish)).or(first);
        found.map(|(app, _)| app.as_str())
    }

    /// The app that a host is of: by its routes, or because it is asked about it.
    pub(super) fn app_of(&self, host: &str) -> Option<&str> {
        let has = |wish: &CertificateWish| wish.hosts.iter().any(|own| own == host);
        let named = self.apps.iter().find(|(_, wish)| has(wish));
        if let Some((app, _)) = named {
            return Some(app);
        }
        let app = self.demanding(host)?;
        let known = self.names(app, Timestamp::now());
        known.iter().any(|name| name == host).then_some(app)
    }

    /// The domains that no route names, that have, or are about to have, a certificate, and about which this app is asked.
    pub(super) fn names(&self, app: &str, now: Timestamp) -> Vec<String> {
        let wish = self.apps.get(app);
        if wish.is_none_or(|wish| wish.acme.on_demand.is_none()) {
            return Vec::new();
        }
        let (stored, own) = (self.stored(), self.own());
        let known = demand::names(&own, &stored, now).map(str::to_owned);
        known
            .chain(self.fresh.iter().cloned())
            .filter(|name| self.demanding(name) == Some(app))
            .collect()
    }

    /// Every host that somebody may ask about.
    pub(super) fn hosts(&self) -> Vec<String> {
        let now = Timestamp::now();
        let names = self.apps.keys().flat_map(|app| self.names(app, now));
        self.own().into_iter().chain(names).collect()
    }

    /// The visitors whose domain did not come to a certificate need not wait.
    pub(super) fn settle_fresh(&mut self) {
        let now = Timestamp::now();
        for host in std::mem::take(&mut self.fresh) {
            let serves = |stored: &Stored| stored.ends > now && stored.covers(&host);
            if self.stored().iter().any(serves) {
                continue;
            }
            let failure = self.attempts.failures.get(&host);
            let left = failure.map(|failure| failure.until(now).duration_since(now).unsigned_abs());
            self.link
                .not_wanted(&host, left.unwrap_or(NOTHING).max(NOTHING));
        }
    }

    /// A certificate of a domain that was not renewed, and that has ended long ago.
    pub(super) fn is_forgotten(&self, stored: &Stored, now: Timestamp) -> bool {
        let mut wishes = self.apps.values();
        wishes.any(|wish| wish.acme.on_demand.is_some())
            && demand::is_forgotten(stored, &self.own(), now)
    }
}
