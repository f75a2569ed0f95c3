//! Visitors who ask for a host that no route names, and for which there may be a certificate in a moment: they are waited
//! for, for a bounded time and in a bounded number, while the agent finds out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use stead_model::manifest::Rate;
use stead_model::routing::RateLimit;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::rates::{Limit, Rates};

/// So long a handshake waits for a certificate. An order takes some seconds; whoever comes later finds it.
const PATIENCE: Duration = Duration::from_secs(15);
/// So many handshakes wait at the same time. More are refused at once.
const MOST_WAITING: usize = 256;
/// So many names are known as wanted or refused. While there are as many, no further one is asked for.
const MOST_NAMES: usize = 4096;
/// The agent is told of a name again after this time, if nothing came of it: it may have been replaced.
const AGAIN: Duration = Duration::from_secs(60);
/// A refusal holds no longer than this.
const LONGEST: Duration = Duration::from_secs(3600);
/// So many handshakes of one address may wait, in the long run and at once.
const RATE: Rate = Rate {
    count: 30,
    per: Duration::from_secs(60),
};

/// Names that visitors wait for.
#[derive(Debug)]
pub(crate) struct Demand {
    names: Mutex<HashMap<Box<str>, Name>>,
    waiting: AtomicUsize,
    /// Certificates were replaced, or a name refused.
    changed: Notify,
    limit: Limit,
}

#[derive(Clone, Copy, Debug)]
struct Name {
    refused: bool,
    /// Then it is forgotten.
    until: Instant,
}

/// What to do for a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// Tell the agent, and wait.
    New,
    /// It has been told.
    Known,
    Refused,
}

impl Demand {
    /// The error is for a person.
    pub(crate) fn new() -> Result<Self, String> {
        Ok(Self {
            names: Mutex::default(),
            waiting: AtomicUsize::new(0),
            changed: Notify::new(),
            limit: Limit::new(&RateLimit {
                name: "acme.on-demand".to_owned(),
                rate: RATE,
                burst: RATE.count,
            })?,
        })
    }

    /// Wait until there is a certificate for `host`, in lower case. `tell` has the agent get one. `false`: there is none.
    pub(crate) async fn wait(
        &self,
        host: &str,
        (rates, address): (&Rates, IpAddr),
        tell: impl Fn(),
        is_there: impl Fn() -> bool,
    ) -> bool {
        if !is_plausible(host) || rates.take(&self.limit, address).is_err() {
            return false;
        }
        let Some(_place) = self.enter() else {
            return false;
        };
        let end = Instant::now() + PATIENCE;
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if is_there() {
                return true;
            }
            match self.want(host, Instant::now()) {
                Wish::New => tell(),
                Wish::Known => {}
                Wish::Refused => return false,
            }
            if tokio::time::timeout_at(end, changed).await.is_err() {
                return false;
            }
        }
    }

    /// There will be none for this host at present.
    pub(crate) fn refuse(&self, host: &str, within: Duration) {
        let until = Instant::now() + within.min(LONGEST);
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = names.get_mut(host) {
            *name = Name {
                refused: true,
                until,
            };
        } else if names.len() < MOST_NAMES {
            let name = Name {
                refused: true,
                until,
            };
            names.insert(host.into(), name);
        }
        drop(names);
        self.changed.notify_waiters();
    }

    /// Certificates were replaced.
    pub(crate) fn look(&self, is_there: impl Fn(&str) -> bool) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|host, _| !is_there(host));
        drop(names);
        self.changed.notify_waiters();
    }

    fn want(&self, host: &str, now: Instant) -> Wish {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        match names.get(host) {
            Some(name) if name.until > now => {
                return match name.refused {
                    true => Wish::Refused,
                    false => Wish::Known,
                };
            }
            Some(_) => {}
            None if names.len() >= MOST_NAMES => {
                names.retain(|_, name| name.until > now);
                if names.len() >= MOST_NAMES {
                    return Wish::Refused;
                }
            }
            None => {}
        }
        let name = Name {
            refused: false,
            until: now + AGAIN,
        };
        names.insert(host.into(), name);
        Wish::New
    }

    fn enter(&self) -> Option<Place<'_>> {
        let place = Place(&self.waiting);
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        (before < MOST_WAITING).then_some(place)
    }
}

/// One of the handshakes that wait; given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A name of the DNS with more than one label. Which of them may have a certificate, the agent knows.
fn is_plausible(host: &str) -> bool {
    let label = |label: &str| (1..=63).contains(&label.len());
    host.len() <= 253 && host.contains('.') && host.split('.').all(label)
}

#[cfg(test)]
mod tests;
