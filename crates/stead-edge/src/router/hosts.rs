//! Hosts, and the routes that each has.
//!
//! Among ten thousand hosts each request finds the memory of another one cold, so a look-up touches few lines of it:
//! a place, whose tag tells all other hosts; the host; its name, among all the names. A host with one route
//! for every path, as most have, needs nothing more.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use super::Paths;
use crate::tls::Greeting;

/// Hosts by name.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// Nobody can choose names that share a place: some are customers'.
    random: RandomState,
    /// A power of two, at most half of them taken; none where there are no hosts.
    places: Box<[Place]>,
    hosts: Box<[Host]>,
    /// Of all hosts, one after the other.
    names: Box<[u8]>,
    /// In the order of `hosts`; needed for handshakes alone.
    greetings: Box<[Greeting]>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// The lower half of the name's hash.
    tag: u32,
    /// Position in [`Hosts::hosts`], or [`FREE`].
    host: u32,
}

const FREE: u32 = u32::MAX;

#[derive(Debug)]
struct Host {
    /// Where its name begins among all names, and how long it is.
    name: u32,
    length: u32,
    routes: Routes,
}

/// The routes of a host.
#[derive(Debug)]
enum Routes {
    /// One, for every path: its position.
    Whole(u32),
    ByPath(Box<Paths>),
}

impl Hosts {
    /// What each host has, ready for look-ups. The error is for a person.
    pub(super) fn new(all: HashMap<String, Paths>) -> Result<Self, String> {
        if all.is_empty() {
            return Ok(Self::default());
        }
        let many = || "the table has too many hosts".to_owned();
        // A table of four billion hosts would not fit into a message.
        let count = u32::try_from(all.len()).map_err(|_| many())?;
        let size = (all.len() * 2).next_power_of_two();
        let free = Place { tag: 0, host: FREE };
        let random = RandomState::new();
        let mut places = vec![free; size].into_boxed_slice();
        let mut hosts = Vec::with_capacity(all.len());
        let mut names = Vec::with_capacity(all.keys().map(String::len).sum());
        let mut greetings = Vec::with_capacity(all.len());
        for (host, (name, mut paths)) in (0..count).zip(all) {
            let hash = hash(&random, name.as_bytes());
            let mut at = at(hash, size);
            while places[at].host != FREE {
                at = (at + 1) % size;
            }
            places[at] = Place {
                tag: hash as u32,
                host,
            };
            paths.finish();
            greetings.push(std::mem::take(&mut paths.greeting));
            hosts.push(Host {
                name: u32::try_from(names.len()).map_err(|_| many())?,
                length: u32::try_from(name.len()).map_err(|_| many())?,
                routes: match paths.whole().map(u32::try_from) {
                    Some(Ok(index)) => Routes::Whole(index),
                    _ => Routes::ByPath(Box::new(paths)),
                },
            });
            names.extend_from_slice(name.as_bytes());
        }
        Ok(Self {
            random,
            places,
            hosts: hosts.into(),
            names: names.into(),
            greetings: greetings.into(),
        })
    }

    /// The position of the route that answers a path of a host.
    pub(super) fn find(&self, host: &[u8], path: &[u8]) -> Option<usize> {
        #[cfg(test)]
        super::tests::count_step();
        match &self.hosts[self.position(host)?].routes {
            Routes::Whole(index) => Some(*index as usize),
            Routes::ByPath(paths) => paths.find(path),
        }
    }

    /// Whether any route is for this host.
    pub(super) fn contains(&self, host: &[u8]) -> bool {
        self.position(host).is_some()
    }

    /// What a host asks of a handshake.
    pub(super) fn greeting(&self, host: &[u8]) -> Option<&Greeting> {
        self.greetings.get(self.position(host)?)
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        if self.places.is_empty() {
            return None;
        }
        let hash = hash(&self.random, name);
        let mut at = at(hash, self.places.len());
        loop {
            let place = self.places[at];
            if place.host == FREE {
                return None;
            }
            if place.tag == hash as u32 && self.name(&self.hosts[place.host as usize]) == name {
                return Some(place.host as usize);
            }
            at = (at + 1) % self.places.len();
        }
    }

    fn name(&self, host: &Host) -> &[u8] {
        let begin = host.name as usize;
        &self.names[begin..begin + host.length as usize]
    }
}

fn hash(random: &RandomState, name: &[u8]) -> u64 {
    let mut hasher = random.build_hasher();
    hasher.write(name);
    hasher.finish()
}

/// Where a name's place is, of so many, unless another has it. By other bits than the tag.
fn at(hash: u64, places: usize) -> usize {
    (hash >> 32) as usize & (places - 1)
}

#[cfg(test)]
mod tests;
