//! How many requests each address sends to routes that have a limit.
//!
//! The generic cell rate algorithm (ITU-T I.371, annex A): of each address the edge remembers one moment, when its
//! allowance is whole again. A request moves it on by its share of the rate; when it would lie further ahead than a burst
//! takes, the request is held up.
//!
//! The moments lie in a table of a fixed size, so that no number of visitors makes it grow. An address has one of
//! [`WAYS`] places. When all of them are taken, the one with the most left of its allowance goes: those who are held up
//! stay remembered, and who is forgotten has a new allowance.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use stead_model::routing::RateLimit;

use crate::entrance::crowd;

/// Sets of places. A power of two.
const SETS: usize = 8192;
/// Places in a set: 65,536 altogether, in 1.1 MB.
const WAYS: usize = 8;

/// A route's limit, made ready.
#[derive(Debug)]
pub(crate) struct Limit {
    name: Box<str>,
    /// Of one request, nanoseconds.
    share: u64,
    /// Of a burst, nanoseconds.
    burst: u64,
}

/// What each address has left.
#[derive(Debug)]
pub(crate) struct Rates {
    /// Made with the first request to a route that has a limit.
    sets: OnceLock<Box<[Mutex<Set>]>>,
    /// Nobody can choose addresses that share a set.
    random: RandomState,
    epoch: Instant,
}

type Set = [Place; WAYS];

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Of route and address.
    key: u64,
    /// When the allowance is whole again: nanoseconds since the epoch. In the past: the place is free.
    whole: u64,
}

impl Limit {
    /// Which, for the metrics.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The error is for a person.
    pub(crate) fn new(limit: &RateLimit) -> Result<Self, String> {
        let share = u64::try_from(limit.rate.per.as_nanos()).unwrap_or(u64::MAX);
        let share = share.checked_div(u64::from(limit.rate.count)).unwrap_or(0);
        let burst = share.checked_mul(u64::from(limit.burst));
        match burst {
            Some(burst @ 1..) if burst < u64::MAX / 2 => Ok(Self {
                name: limit.name.as_str().into(),
                share,
                burst,
            }),
            _ => Err(format!("the rate of `{}` is none", limit.name)),
        }
    }
}

impl Rates {
    /// One more request from `address`. An error: it is one too many, and how long until one would not be.
    pub(crate) fn take(&self, limit: &Limit, address: IpAddr) -> Result<(), Duration> {
        let now = u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX / 2);
        self.take_at(now, limit, address)
    }

    fn take_at(&self, now: u64, limit: &Limit, address: IpAddr) -> Result<(), Duration> {
        let key = self
            .random
            .hash_one((&limit.name, limit.share, crowd::visitor(address)));
        let sets = self
            .sets
            .get_or_init(|| (0..SETS).map(|_| Mutex::default()).collect());
        let set = &sets[key as usize & (SETS - 1)];
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        let known = set.iter_mut().position(|place| place.key == key);
        let whole = known.map_or(0, |at| set[at].whole).max(now) + limit.share;
        let ahead = whole - now;
        if ahead > limit.burst {
            return Err(Duration::from_nanos(ahead - limit.burst));
        }
        let at = known.unwrap_or_else(|| {
            let places = set.iter().enumerate();
            let least = places.min_by_key(|(_, place)| place.whole);
            least.map_or(0, |(at, _)| at)
        });
        set[at] = Place { key, whole };
        Ok(())
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            sets: OnceLock::new(),
            random: RandomState::new(),
            epoch: Instant::now(),
        }
    }
}

#[cfg(test)]
mod tests;
