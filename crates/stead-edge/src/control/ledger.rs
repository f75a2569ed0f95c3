//! Which edges may still have requests at which instances. An instance is drained when it has left the
//! table and no edge holds it: the one that serves, or one that was replaced and finishes what it has.

use std::collections::{BTreeMap, BTreeSet};

use stead_model::routing::{InstanceId, RoutingTable};

/// An edge: its process id.
pub(super) type Party = u32;

/// Who holds what.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Instances of the table in force.
    table: BTreeSet<InstanceId>,
    holders: BTreeMap<Party, Holder>,
}

#[derive(Debug, Default)]
struct Holder {
    instances: BTreeSet<InstanceId>,
    /// It did not take a table: what it says of an instance may be about an older one. It holds all of
    /// its instances until it has ended.
    pinned: bool,
}

impl Ledger {
    /// A table is in force. The instances that left it and that nobody holds: an edge may say that one is
    /// drained before it says that the table is in force.
    pub(super) fn table(&mut self, table: &RoutingTable) -> Vec<InstanceId> {
        let mut left = std::mem::replace(&mut self.table, instances(table).collect());
        left.retain(|instance| self.is_drained(*instance));
        left.into_iter().collect()
    }

    /// `party` may send requests to all of these.
    pub(super) fn hold(&mut self, party: Party, held: impl IntoIterator<Item = InstanceId>) {
        let holder = self.holders.entry(party).or_default();
        holder.instances.extend(held);
    }

    /// `party` did not take a table.
    pub(super) fn pin(&mut self, party: Party) {
        self.holders.entry(party).or_default().pinned = true;
    }

    /// Whether `party` did not take a table.
    pub(super) fn is_pinned(&self, party: Party) -> bool {
        self.holders.get(&party).is_some_and(|holder| holder.pinned)
    }

    /// `party` says that an instance is drained. Whether nobody holds it any more.
    pub(super) fn drained(&mut self, party: Party, instance: InstanceId) -> bool {
        let Some(holder) = self.holders.get_mut(&party) else {
            return false;
        };
        !holder.pinned && holder.instances.remove(&instance) && self.is_drained(instance)
    }

    /// `party` has ended. The instances that nobody holds any more.
    pub(super) fn gone(&mut self, party: Party) -> Vec<InstanceId> {
        let Some(holder) = self.holders.remove(&party) else {
            return Vec::new();
        };
        let mut freed: Vec<_> = holder.instances.into_iter().collect();
        freed.retain(|instance| self.is_drained(*instance));
        freed
    }

    /// What `party` holds.
    pub(super) fn held(&self, party: Party) -> Vec<InstanceId> {
        let holder = self.holders.get(&party);
        holder.map_or_else(Vec::new, |holder| {
            holder.instances.iter().copied().collect()
        })
    }

    /// Instances that left the table and may have requests yet.
    pub(super) fn leaving(&self) -> Vec<InstanceId> {
        let held = self.holders.values().flat_map(|holder| &holder.instances);
        let leaving: BTreeSet<_> = held.filter(|held| !self.table.contains(held)).collect();
        leaving.into_iter().copied().collect()
    }

    fn is_drained(&self, instance: InstanceId) -> bool {
        let mut holders = self.holders.values();
        !self.table.contains(&instance)
            && !holders.any(|holder| holder.instances.contains(&instance))
    }
}

/// Every instance of a table.
pub(super) fn instances(table: &RoutingTable) -> impl Iterator<Item = InstanceId> {
    let upstreams = table.upstreams.values();
    upstreams.flat_map(|upstream| upstream.instances.iter().map(|instance| instance.id))
}

#[cfg(test)]
mod tests;
