//! What is in force: a router and the upstreams that it names. Replaced as a whole.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use stead_model::messages::EdgeEvent;
use stead_model::routing::{InstanceId, RoutingTable};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::Settings;
use crate::entrance::Entrance;
use crate::metrics::Metrics;
use crate::router::Router;
use crate::upstream::Upstream;

/// How long visitors wait for the first table.
const FIRST_TABLE: Duration = Duration::from_secs(5);

/// A table in force.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) router: Router,
    /// In the order of their names, which is how the router numbers them.
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    /// What holds for connections that are opened now.
    pub(crate) entrance: Arc<Entrance>,
}

/// Upstreams by name.
#[derive(Debug, Default)]
struct Named {
    current: BTreeMap<String, Arc<Upstream>>,
    /// No table names them any more, but they have requests yet. One that comes back goes on with its
    /// counts: its instances are not drained when a request from before ends.
    retired: BTreeMap<String, Weak<Upstream>>,
    /// Former tables. They are freed by whoever replaces tables, never by a request that is the last one to use
    /// them: for ten thousand hosts that takes a while.
    former: Vec<Arc<Table>>,
    /// No upstream keeps idle connections.
    frugal: bool,
}

impl Named {
    /// All that may have requests.
    fn all(&self) -> impl Iterator<Item = Arc<Upstream>> {
        let retired = self.retired.values().filter_map(Weak::upgrade);
        self.current.values().cloned().chain(retired)
    }
}

/// The place where tables are replaced.
#[derive(Debug)]
pub(crate) struct Tables {
    current: ArcSwap<Table>,
    /// Every upstream that the current table names. The lock is held while a table is replaced, and
    /// by nothing that serves visitors.
    by_name: Mutex<Named>,
    events: UnboundedSender<EdgeEvent>,
    metrics: Arc<Metrics>,
    /// A table was put in force.
    is_there: AtomicBool,
    arrived: Notify,
    began: Instant,
    /// What holds where a table says nothing.
    settings: Settings,
}

impl Tables {
    /// An empty table: every request waits for the first one (see [`Tables::first`]), and is answered 421 when none comes.
    pub(crate) fn new(
        settings: &Settings,
        events: UnboundedSender<EdgeEvent>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, String> {
        let empty = RoutingTable::default();
        let router = Router::new(&empty)?;
        Ok(Self {
            current: ArcSwap::from_pointee(Table {
                router,
                upstreams: Vec::new(),
                entrance: Arc::new(Entrance::new(settings, &empty.edge)),
            }),
            by_name: Mutex::default(),
            events,
            metrics,
            is_there: AtomicBool::new(false),
            arrived: Notify::new(),
            began: Instant::now(),
            settings: settings.clone(),
        })
    }

    /// A table was put in force.
    pub(crate) fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Acquire)
    }

    /// Wait for the first table, for as long as it may take from the edge's start. Who comes while the edge begins is not
    /// told that nothing is served here; who comes later is, at once.
    pub(crate) async fn first(&self) {
        let arrived = self.arrived.notified();
        if !self.is_there() {
            let _ = tokio::time::timeout_at(self.began + FIRST_TABLE, arrived).await;
        }
    }

    /// The table for one request.
    pub(crate) fn current(&self) -> Arc<Table> {
        self.current.load_full()
    }

    /// Validate a table as a whole and put it in force. On an error nothing has changed. To be called where no
    /// visitor waits: the time that it takes grows with the table. `ready` gets it just before it is in force.
    pub(crate) fn replace(
        &self,
        table: &RoutingTable,
        ready: impl FnOnce(&Router),
    ) -> Result<(), String> {
        let router = Router::new(table)?;
        router.inherit(&self.current.load().router);
        ready(&router);
        let mut named = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let Named {
            current: by_name,
            retired,
            former,
            frugal,
        } = &mut *named;
        former.retain(|table| Arc::strong_count(table) > 1);
        let before = std::mem::take(by_name);
        retired.retain(|_, upstream| upstream.strong_count() > 0);
        for (name, spec) in &table.upstreams {
            let known = before.get(name).cloned();
            let known = known.or_else(|| retired.remove(name)?.upgrade());
            let upstream = match known {
                Some(upstream) => {
                    upstream.update(spec);
                    upstream
                }
                None => {
                    let upstream =
                        Upstream::new(spec, self.events.clone(), Arc::clone(&self.metrics));
                    if *frugal {
                        upstream.share(&HashMap::new(), true);
                    }
                    upstream
                }
            };
            by_name.insert(name.clone(), upstream);
        }
        let upstreams = by_name.values().cloned().collect();
        let entrance = Arc::new(Entrance::new(&self.settings, &table.edge));
        former.push(self.current.swap(Arc::new(Table {
            router,
            upstreams,
            entrance,
        })));
        self.is_there.store(true, Ordering::Release);
        self.arrived.notify_waiters();
        // After the swap, so that no new request can still choose one of these.
        for (name, upstream) in before {
            if !by_name.contains_key(&name) {
                upstream.retire();
                retired.insert(name, Arc::downgrade(&upstream));
            }
        }
        let limits = table.routes.iter().filter_map(|route| route.limit.as_ref());
        let limits: HashSet<&str> = limits.map(|limit| limit.name.as_str()).collect();
        self.metrics.keep_limited(|name| limits.contains(name));
        self.metrics
            .keep(|name| by_name.contains_key(name) || retired.contains_key(name));
        Ok(())
    }

    /// Every upstream that has requests or may get some.
    pub(crate) fn upstreams(&self) -> Vec<Arc<Upstream>> {
        let named = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let retired = named.retired.values().filter_map(Weak::upgrade);
        named.current.values().cloned().chain(retired).collect()
    }

    /// Free the former tables that no request uses any more.
    pub(crate) fn forget_former(&self) {
        let mut named = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        named.former.retain(|table| Arc::strong_count(table) > 1);
    }

    /// See [`crate::Edge::share`].
    pub(crate) fn share(&self, elsewhere: &HashMap<InstanceId, u32>, frugal: bool) {
        let mut named = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        named.frugal = frugal;
        for upstream in named.all() {
            upstream.share(elsewhere, frugal);
        }
    }

    /// Requests in flight at each instance that has any.
    pub(crate) fn busy(&self) -> Vec<(InstanceId, u32)> {
        let named = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let mut busy = Vec::new();
        for upstream in named.all() {
            upstream.busy(&mut busy);
        }
        busy
    }
}

#[cfg(test)]
mod tests;
