//! Domains that no route names: visitors wait for a certificate, the app is asked whether there is to be one.

use std::time::Duration;

use jiff::Timestamp;

use super::attempts::Kind;
use super::demand::{self, Judgement};
use super::plan::{Order, Stored};
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
        let wish = self.wish.as_ref().ok_or(NOTHING)?;
        let rate = wish.acme.on_demand.as_ref().ok_or(NO)?.rate;
        let stored = self.stored();
        let serves = |stored: &Stored| stored.ends > now && stored.covers(host);
        if stored.iter().any(serves) {
            // It has come meanwhile.
            return Ok(());
        }
        match demand::judge(host, &wish.hosts, rate, &stored, &self.attempts, now) {
            Judgement::Ask => {}
            Judgement::Refuse { within, why } => {
                if let Some(why) = why {
                    self.say_once(SUBJECT, true, format!("no certificate for `{host}`: {why}"));
                }
                return Err(within);
            }
        }
        match self.ask(host).await {
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
    async fn ask(&mut self, host: &str) -> Result<bool, String> {
        let silent =
            |why| format!("the app was asked whether `{host}` may have a certificate: {why}");
        let wish = self.wish.as_ref();
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
        wish: &CertificateWish,
        directory: &str,
    ) -> bool {
        let [host] = order.hosts.as_slice() else {
            return true;
        };
        if wish.hosts.contains(host) || self.fresh.contains(host) {
            return true;
        }
        let failure = match self.ask(host).await {
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

    /// The domains that no route names and that have, or are about to have, a certificate.
    pub(super) fn names(&self, wish: &CertificateWish, now: Timestamp) -> Vec<String> {
        if wish.acme.on_demand.is_none() {
            return Vec::new();
        }
        let stored = self.stored();
        let known = demand::names(&wish.hosts, &stored, now).map(str::to_owned);
        known.chain(self.fresh.iter().cloned()).collect()
    }

    /// Every host that somebody may ask about.
    pub(super) fn hosts(&self) -> Vec<String> {
        let Some(wish) = &self.wish else {
            return Vec::new();
        };
        let mut hosts = wish.hosts.clone();
        hosts.extend(self.names(wish, Timestamp::now()));
        hosts
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
        let wish = self.wish.as_ref();
        wish.is_some_and(|wish| {
            wish.acme.on_demand.is_some() && demand::is_forgotten(stored, &wish.hosts, now)
        })
    }
}
