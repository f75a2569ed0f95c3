//! Domains that no route names: which of them may have a certificate at all, and how many. Whether one may is for the app to
//! say; it is asked elsewhere. Pure.
//!
//! There is no list of them: the stored certificates for one such name each are the list. So it survives whatever they do.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use stead_model::manifest::Rate;

use super::attempts::Attempts;
use super::plan::Stored;

/// Domains with a certificate, at most.
const MOST: usize = 10_000;
/// New ones of a registered domain within the time of the rate, whatever the rate is.
const SAME_DOMAIN: u32 = 5;
/// Names that could never have a certificate are refused for so long.
const NEVER: Duration = Duration::from_secs(3600);
/// A certificate that ended so long ago is no longer one of a domain that is wanted.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Failures of names that nobody asks for any more are remembered for so long.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(48);
/// And so many of them.
const MOST_FAILURES: usize = 1000;

/// What to do about a name that a visitor asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Ask the app.
    Ask,
    /// No, for so long.
    Refuse {
        within: Duration,
        /// For a person; `None`: nobody needs to know.
        why: Option<String>,
    },
}

/// Whether `host`, in lower case, may be asked for. `own` are the hosts of the app's routes.
pub(crate) fn judge(
    host: &str,
    own: &[String],
    rate: Rate,
    stored: &[Stored],
    attempts: &Attempts,
    now: Timestamp,
) -> Judgement {
    let refuse = |within, why| Judgement::Refuse { within, why };
    let (Some(domain), false) = (registered(host), is_own(host, own)) else {
        return refuse(NEVER, None);
    };
    if let Some(failure) = attempts.failures.get(host) {
        let left = failure.until(now).duration_since(now);
        if left.is_positive() {
            return refuse(left.unsigned_abs(), None);
        }
    }
    if names(own, stored, now).count() >= MOST {
        let why =
            format!("{MOST} domains that no route names have a certificate: there is no room");
        return refuse(NEVER, Some(why));
    }
    let per = SignedDuration::try_from(rate.per).unwrap_or(SignedDuration::from_hours(1));
    let tried = tried(own, attempts);
    let lately: Vec<(&str, Timestamp)> = tried
        .into_iter()
        .filter(|(_, at)| now.duration_since(*at) < per && *at <= now)
        .collect();
    let until = |at: Timestamp| (at + per).duration_since(now).unsigned_abs();
    let oldest = lately.iter().map(|(_, at)| *at).min();
    if let Some(oldest) = oldest.filter(|_| lately.len() >= rate.count as usize) {
        let why = format!(
            "{} certificates for domains that no route names were ordered lately, as many as `rate` allows",
            lately.len()
        );
        return refuse(until(oldest), Some(why));
    }
    let most = (rate.count / 10).max(SAME_DOMAIN) as usize;
    let of_domain: Vec<Timestamp> = lately
        .iter()
        .filter(|(name, _)| registered(name) == Some(domain))
        .map(|(_, at)| *at)
        .collect();
    match of_domain.iter().min() {
        Some(oldest) if of_domain.len() >= most => {
            let why = format!("{most} certificates below `{domain}` were ordered lately");
            refuse(until(*oldest), Some(why))
        }
        _ => Judgement::Ask,
    }
}

/// The stored certificates that are for one name which no route has: those names.
pub(crate) fn names<'a>(
    own: &'a [String],
    stored: &'a [Stored],
    now: Timestamp,
) -> impl Iterator<Item = &'a str> {
    let of = stored.iter().filter_map(move |stored| {
        let [name] = stored.names.as_slice() else {
            return None;
        };
        let fresh = now.duration_since(stored.ends) < FORGOTTEN;
        let is_one = fresh && stored.directory.is_some() && !is_own(name, own);
        (is_one && registered(name).is_some()).then_some(name.as_str())
    });
    let mut seen = std::collections::BTreeSet::new();
    of.filter(move |name| seen.insert(*name))
}

/// Its domain is not wanted any more, and it is of no use to anybody.
pub(crate) fn is_forgotten(stored: &Stored, own: &[String], now: Timestamp) -> bool {
    let [name] = stored.names.as_slice() else {
        return false;
    };
    stored.directory.is_some() && !is_own(name, own) && now.duration_since(stored.ends) >= FORGOTTEN
}

/// Which failures of names that no route has are remembered: those of late, and not without end.
pub(crate) fn remembered(own: &[String], attempts: &Attempts, now: Timestamp) -> Vec<String> {
    let others = attempts.failures.iter();
    let mut others: Vec<(&String, Timestamp)> = others
        .filter(|(host, failure)| {
            !own.contains(host) && now.duration_since(failure.at) < REMEMBERED
        })
        .map(|(host, failure)| (host, failure.at))
        .collect();
    others.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
    others.truncate(MOST_FAILURES);
    others.into_iter().map(|(host, _)| host.clone()).collect()
}

/// Every attempt for such a name that is known of, with its time.
fn tried<'a>(own: &[String], attempts: &'a Attempts) -> Vec<(&'a str, Timestamp)> {
    let asked = attempts.asked.iter().filter_map(|asked| {
        let [name] = asked.names.as_slice() else {
            return None;
        };
        Some((name.as_str(), asked.at))
    });
    let failed = attempts
        .failures
        .iter()
        .map(|(host, failure)| (host.as_str(), failure.at));
    asked
        .chain(failed)
        .filter(|(name, _)| !is_own(name, own))
        .collect()
}

fn is_own(host: &str, own: &[String]) -> bool {
    // Below a wildcard of the routes there may be domains of customers, too.
    own.iter().any(|name| name == host)
}

/// The registered domain of a name of the public DNS, by the public suffix list; `None`: no authority issues a certificate for
/// such a name, or nobody could have registered it.
pub(crate) fn registered(host: &str) -> Option<&str> {
    let good = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if host.len() > 253 || !host.split('.').all(good) || host.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    // In the list, and yet of no authority's (RFC 3172, RFC 7686).
    if host.ends_with(".arpa") || host.ends_with(".onion") {
        return None;
    }
    let domain = psl::domain_str(host)?;
    let known = psl::suffix(host.as_bytes())?.is_known();
    known.then_some(domain)
}

#[cfg(test)]
mod tests;
