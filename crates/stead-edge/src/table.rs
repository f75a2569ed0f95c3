//! What is in force: a router and the upstreams that it names. Replaced as a whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;
use stead_model::messages::EdgeEvent;
use stead_model::routing::RoutingTable;
use tokio::sync::mpsc::UnboundedSender;

use crate::router::Router;
use crate::upstream::Upstream;

/// A table in force.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) router: Router,
    /// In the order of their names, which is how the router numbers them.
    pub(crate) upstreams: Vec<Arc<Upstream>>,
}

/// Upstreams by name.
#[derive(Debug, Default)]
struct Named {
    current: BTreeMap<String, Arc<Upstream>>,
    /// No table names them any more, but they have requests yet. One that comes back goes on with its
    /// counts: its instances are not drained when a request from before ends.
    retired: BTreeMap<String, Weak<Upstream>>,
}

/// The place where tables are replaced.
#[derive(Debug)]
pub(crate) struct Tables {
    current: ArcSwap<Table>,
    /// Every upstream that the current table names. The lock is held while a table is replaced, and
    /// by nothing that serves visitors.
    by_name: Mutex<Named>,
    events: UnboundedSender<EdgeEvent>,
}

impl Tables {
    /// An empty table: every request is answered 404.
    pub(crate) fn new(events: UnboundedSender<EdgeEvent>) -> Result<Self, String> {
        let router = Router::new(&RoutingTable::default())?;
        Ok(Self {
            current: ArcSwap::from_pointee(Table {
                router,
                upstreams: Vec::new(),
            }),
            by_name: Mutex::default(),
            events,
        })
    }

    /// The table for one request.
    pub(crate) fn current(&self) -> Arc<Table> {
        self.current.load_full()
    }

    /// Validate a table as a whole and put it in force. On an error nothing has changed.
    pub(crate) fn replace(&self, table: &RoutingTable) -> Result<(), String> {
        let router = Router::new(table)?;
        let mut named = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let Named {
            current: by_name,
            retired,
        } = &mut *named;
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
                None => Upstream::new(spec, self.events.clone()),
            };
            by_name.insert(name.clone(), upstream);
        }
        let upstreams = by_name.values().cloned().collect();
        self.current.store(Arc::new(Table { router, upstreams }));
        // After the swap, so that no new request can still choose one of these.
        for (name, upstream) in before {
            if !by_name.contains_key(&name) {
                upstream.retire();
                retired.insert(name, Arc::downgrade(&upstream));
            }
        }
        Ok(())
    }
}
