//! Which route answers a request: host first, then path.
//!
//! Built from a whole [`RoutingTable`], or refused as a whole. Among the routes that match, an
//! exact host wins over a wildcard, a wildcard over "every host", and then the longest path wins. So
//! a route for `/api` of one host does not hide a route for `/` of every host.
//! A look-up hashes the host and allocates nothing; its cost does not grow with the number of hosts.

mod host;
mod hosts;
mod validate;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stead_model::routing::{Moved, RouteTimeouts, RoutingTable};

use crate::folder::Folder;
use crate::rates::Limit;
use crate::rules::Rules;
use crate::rules::users::Users;
use crate::tls::{Greeting, Policy};
pub(crate) use host::{LONGEST as LONGEST_HOST, clean as clean_host};
use hosts::Hosts;
pub(crate) use validate::path as check_path;

/// What a route's target is, with names resolved.
#[derive(Debug)]
pub(crate) enum Target {
    /// Position in the order of [`RoutingTable::upstreams`], that is by name.
    Upstream(usize),
    /// Static files; `fallback` is the upstream that answers when there is none.
    Folder {
        /// Where they are. In a box, as is whatever else is large and rare: entries lie densely.
        folder: Box<Folder>,
        /// Position as in [`Target::Upstream`].
        fallback: Option<usize>,
    },
    /// To this host, perhaps with a port, with the request's path and query as they were sent; and the status.
    Redirect(Box<str>, u16),
    /// To this path or URL, with what follows the route's own path, and the query.
    Moved(Box<Moved>),
}

/// One route.
#[derive(Debug)]
pub(crate) struct RouteEntry {
    /// What answers.
    pub(crate) target: Target,
    /// Largest request body, bytes.
    pub(crate) body_limit: u64,
    /// In place of the upstream's; `None`: none of them.
    pub(crate) timeouts: Option<Box<RouteTimeouts>>,
    /// Bytes of the *clean* path that are the route's own; a folder's file is named by what
    /// follows them, which is nothing or begins with a slash. 0 for the route `/`.
    pub(crate) prefix_length: usize,
    /// What else it asks; `None`, for most: nothing.
    pub(crate) rules: Option<Arc<Rules>>,
    /// How many requests one address may send.
    pub(crate) limit: Option<Box<Limit>>,
    /// What it asks of TLS; `None`: what is usual.
    pub(crate) tls: Option<Arc<Policy>>,
}

/// A routing table, made ready for look-ups.
#[derive(Debug)]
pub(crate) struct Router {
    entries: Vec<RouteEntry>,
    exact: Hosts,
    /// By what follows the star and the dot of `*.example.com`.
    wildcards: Hosts,
    any: Paths,
    /// Certificates are got for hosts that no route names.
    on_demand: bool,
}

impl Router {
    /// Validate the whole table and make it ready. The error is for a person.
    pub(crate) fn new(table: &RoutingTable) -> Result<Router, String> {
        let positions = validate::upstreams(table)?;
        let mut router = Router {
            entries: Vec::with_capacity(table.routes.len()),
            exact: Hosts::default(),
            wildcards: Hosts::default(),
            any: Paths::default(),
            on_demand: false,
        };
        let mut exact: HashMap<String, Paths> = HashMap::new();
        let mut wildcards: HashMap<String, Paths> = HashMap::new();
        for route in &table.routes {
            let path = validate::path(&route.path)?;
            let hosts = validate::hosts(route)?;
            let index = router.entries.len();
            let target = validate::target(route, &hosts, &positions)?;
            let rules = route.rules.as_deref().map(Rules::new).transpose()?;
            router.on_demand |= route.tls.as_ref().is_some_and(|tls| tls.on_demand);
            let tls = route.tls.as_deref().map(|tls| Arc::new(Policy::from(tls)));
            let greeting = tls.as_deref().map(|policy| policy.greeting.clone());
            let greeting = greeting.unwrap_or_default();
            let differ = |host: &str| {
                format!("the routes of `{host}` ask for certificates of different authorities")
            };
            let limit = route.limit.as_ref().map(Limit::new);
            router.entries.push(RouteEntry {
                target,
                rules: rules.map(Arc::new),
                body_limit: route.body_limit,
                timeouts: (route.timeouts != RouteTimeouts::default())
                    .then(|| Box::new(route.timeouts)),
                prefix_length: path.len(),
                limit: limit.transpose()?.map(Box::new),
                tls,
            });
            if hosts.is_empty() && !router.any.greet(&greeting) {
                return Err(differ("every host"));
            }
            if hosts.is_empty() && !router.any.insert(path, index) {
                return Err(format!(
                    "two routes have the path `{}` for every host",
                    route.path
                ));
            }
            for host in &hosts {
                let paths = match host.strip_prefix("*.") {
                    Some(parent) => wildcards.entry(parent.to_owned()),
                    None => exact.entry(host.clone()),
                };
                let paths = paths.or_default();
                if !paths.greet(&greeting) {
                    return Err(differ(host));
                }
                if !paths.insert(path, index) {
                    return Err(format!(
                        "two routes have the host `{host}` and the path `{}`",
                        route.path
                    ));
                }
            }
        }
        router.exact = Hosts::new(exact)?;
        router.wildcards = Hosts::new(wildcards)?;
        router.any.finish();
        Ok(router)
    }

    /// Find the route of a request. `host` is as in the Host header: perhaps with a port, upper case
    /// or a trailing dot; empty if there was none. `path` is [`crate::path::CleanPath`]'s. `None`:
    /// nothing answers here, or the host is malformed (see [`clean_host`] to tell which).
    pub(crate) fn find(&self, host: &[u8], path: &[u8]) -> Option<&RouteEntry> {
        let mut buffer = [0; LONGEST_HOST];
        let host = clean_host(host, &mut buffer)?;
        let parent = memchr::memchr(b'.', host).map(|dot| &host[dot + 1..]);
        let exact = self.exact.find(host, path);
        let index = exact
            .or_else(|| self.wildcards.find(parent?, path))
            .or_else(|| self.any.find(path))?;
        self.entries.get(index)
    }

    /// What a host, in lower case and without a port, asks of a handshake; `None`: what whoever names no host is
    /// asked.
    pub(crate) fn greeting(&self, host: Option<&str>) -> &Greeting {
        let named = host.and_then(|host| {
            let parent = host.split_once('.').map(|(_, parent)| parent.as_bytes());
            let exact = self.exact.greeting(host.as_bytes());
            exact.or_else(|| self.wildcards.greeting(parent?))
        });
        named.unwrap_or(&self.any.greeting)
    }

    /// No route names this host, in lower case and without a port, but one serves it, and a certificate may be got for it.
    pub(crate) fn takes_unknown(&self, host: &str) -> bool {
        let parent = host.split_once('.').map(|(_, parent)| parent.as_bytes());
        let serves =
            !self.any.is_empty() || parent.is_some_and(|parent| self.wildcards.contains(parent));
        self.on_demand && serves && !self.exact.contains(host.as_bytes())
    }

    /// Every file that names the authorities of visitors.
    pub(crate) fn client_authorities(&self) -> impl Iterator<Item = &Arc<Path>> {
        let policies = self.entries.iter().filter_map(|entry| entry.tls.as_deref());
        policies.filter_map(|policy| policy.greeting.client_ca.as_ref())
    }

    /// The users of every route that has some.
    pub(crate) fn users(&self) -> impl Iterator<Item = &Users> {
        let rules = self
            .entries
            .iter()
            .filter_map(|entry| entry.rules.as_deref());
        rules.filter_map(|rules| rules.users.as_ref())
    }

    /// Users of files that were never whole since this table came, and were whole under the one before.
    pub(crate) fn inherit(&self, before: &Self) {
        let mut unread = self
            .users()
            .filter(|users| users.unread_file().is_some())
            .peekable();
        if unread.peek().is_none() {
            return;
        }
        let known = before.users().filter(|users| users.unread_file().is_none());
        let known = known.filter_map(|users| Some((users.complaint()?.0.to_owned(), users)));
        let known: HashMap<PathBuf, &Users> = known.collect();
        for users in unread {
            if let Some(before) = users.unread_file().and_then(|file| known.get(file)) {
                users.inherit(before);
            }
        }
    }

    /// Whether any route is for this host, so that 404 (wrong path) can be told from 421 (wrong host).
    pub(crate) fn knows_host(&self, host: &[u8]) -> bool {
        let mut buffer = [0; LONGEST_HOST];
        let Some(host) = clean_host(host, &mut buffer) else {
            return false;
        };
        let parent = memchr::memchr(b'.', host).map(|dot| &host[dot + 1..]);
        !self.any.is_empty()
            || self.exact.contains(host)
            || parent.is_some_and(|parent| self.wildcards.contains(parent))
    }

    #[cfg(test)]
    /// All routes, in the table's order.
    pub(crate) fn entries(&self) -> &[RouteEntry] {
        &self.entries
    }
}

/// Up to this many paths of one host are compared one after the other.
const FEW: usize = 8;

/// The path prefixes of one host.
#[derive(Debug, Default)]
struct Paths {
    /// What all of them ask of a handshake.
    greeting: Greeting,
    /// Longest first once finished.
    list: Vec<(Box<[u8]>, usize)>,
    /// Filled when the list is long.
    by_path: HashMap<Box<[u8]>, usize>,
}

impl Paths {
    /// A route asks this of a handshake, before its path is inserted. False if another asks for what it cannot have
    /// as well.
    fn greet(&mut self, greeting: &Greeting) -> bool {
        let is_first = self.is_empty();
        self.greeting.join(greeting, is_first)
    }

    /// False if the path is there already.
    fn insert(&mut self, path: &str, index: usize) -> bool {
        let path: Box<[u8]> = path.as_bytes().into();
        if self.by_path.insert(path.clone(), index).is_some() {
            return false;
        }
        self.list.push((path, index));
        true
    }

    fn finish(&mut self) {
        self.list
            .sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        self.list.shrink_to_fit();
        if self.list.len() <= FEW {
            self.by_path = HashMap::new();
        }
    }

    fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The only route, if it is for every path.
    fn whole(&self) -> Option<usize> {
        match self.list.as_slice() {
            [(path, index)] if path.is_empty() => Some(*index),
            _ => None,
        }
    }

    fn find(&self, path: &[u8]) -> Option<usize> {
        if self.list.len() <= FEW {
            let found = self.list.iter().find(|(prefix, _)| {
                #[cfg(test)]
                tests::count_step();
                covers(prefix, path)
            });
            return found.map(|(_, index)| *index);
        }
        // Prefixes of whole segments, longest first, none longer than the longest route: what a
        // visitor sends does not set the cost.
        let longest = self.list.first().map_or(0, |(prefix, _)| prefix.len());
        let mut end = path.len();
        if end > longest {
            let after = path.get(..=longest)?;
            end = match after.last() {
                Some(b'/') => longest,
                _ => memchr::memrchr(b'/', after)?,
            };
        }
        loop {
            let prefix = path.get(..end)?;
            #[cfg(test)]
            tests::count_step();
            if let Some(index) = self.by_path.get(prefix) {
                return Some(*index);
            }
            end = memchr::memrchr(b'/', prefix)?;
        }
    }
}

/// Whether a prefix without a slash at its end covers whole segments of a path.
fn covers(prefix: &[u8], path: &[u8]) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
}

#[cfg(test)]
mod tests;
