//! Routing tables: from the planner's to the edge's, and what the edge says about them.

use std::time::Duration;

use stead_model::messages::EdgeCommand;
use stead_model::plan::Table;
use stead_model::routing::{InstanceId, RoutingTable};

use super::endings::seconds;
use super::{Control, Runtime};
use crate::{Report, table};

/// How long the edge may take to confirm a table before it is said that it does not.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// So many different failures of one instance are said within [`PATIENCE`].
const FAILURES_NOTED: usize = 5;

impl Runtime {
    /// Send a table to the edge.
    pub(crate) fn publish(&mut self, table: Table) {
        let generation = self.next_table;
        self.next_table += 1;
        for id in &table.instances {
            if let Some(i) = self.instance_mut(*id) {
                i.listed = true;
                // An instance that comes back into the table has to drain again.
                i.drained = false;
            }
        }
        let routing = self.routing_table(generation, &table);
        self.unanswered.insert(generation, table.clone());
        self.observed.sent = table;
        self.unconfirmed_since.get_or_insert(self.epoch.elapsed());
        let sent = self
            .edge
            .as_ref()
            .is_some_and(|edge| edge.send(EdgeCommand::Publish(routing)).is_ok());
        if !sent {
            self.edge_ended();
        }
    }

    fn routing_table(&self, generation: u64, table: &Table) -> RoutingTable {
        let Some(key) = table.release else {
            return RoutingTable {
                generation,
                ..RoutingTable::default()
            };
        };
        let Some(of) = self.generations.get(&key) else {
            return RoutingTable::default();
        };
        let mut routing = table::of_release(&of.release, &|process| {
            self.observed
                .instances
                .iter()
                .filter(|i| i.process == process && table.instances.contains(&i.id))
                .filter_map(|i| Some((i.id, self.live.get(&i.id)?.address.clone()?)))
                .collect()
        });
        routing.generation = generation;
        routing
    }

    /// Every new request uses this table from now on.
    pub(crate) fn published(&mut self, generation: u64) {
        let Some(table) = self.unanswered.remove(&generation) else {
            return;
        };
        // Those before it were answered by this, too.
        self.unanswered.retain(|g, _| *g > generation);
        self.unconfirmed_since = (!self.unanswered.is_empty()).then(|| self.epoch.elapsed());
        self.observed.confirmed = table.clone();
        let Some(key) = table.release else { return };
        if self.unanswered.is_empty() && !self.stopping {
            self.desired.serving = self.generations.get(&key).map(|g| g.wanted.clone());
        }
        if let Some(of) = self.generations.get_mut(&key)
            && !of.reported_answering
        {
            of.reported_answering = true;
            let number = of.release.number;
            let _ = self.reports.send(Report::Answering { number });
        }
    }

    /// The table is not valid; the one before still serves.
    pub(crate) fn refused(&mut self, generation: u64, why: String) {
        let Some(table) = self.unanswered.remove(&generation) else {
            return;
        };
        self.note(
            "edge",
            true,
            format!("the edge refused a routing table: {why}"),
        );
        self.refusal = why;
        // No visitor was ever sent to those that are in no other table.
        for instance in &mut self.observed.instances {
            let elsewhere = self.observed.confirmed.instances.contains(&instance.id)
                || self
                    .unanswered
                    .values()
                    .any(|t| t.instances.contains(&instance.id));
            if table.instances.contains(&instance.id) && !elsewhere {
                instance.listed = false;
            }
        }
        self.observed.refused = Some(table);
        if generation + 1 == self.next_table {
            self.observed.sent = self.observed.confirmed.clone();
        }
        if self.unanswered.is_empty() {
            self.unconfirmed_since = None;
            let confirmed = self.observed.confirmed.release.filter(|_| !self.stopping);
            let confirmed = confirmed.and_then(|key| self.generations.get(&key));
            self.desired.serving = confirmed.map(|g| g.wanted.clone());
        }
    }

    /// The edge is gone, and with it every request.
    pub(crate) fn edge_ended(&mut self) {
        if self.edge.take().is_some() && !self.stopping {
            self.note("edge", true, "the edge has ended; everything is stopped");
            self.wish(Control::Stop);
        }
        self.without_edge();
    }

    fn without_edge(&mut self) {
        self.observed.confirmed = self.observed.sent.clone();
        self.unanswered.clear();
        self.unconfirmed_since = None;
        for instance in &mut self.observed.instances {
            instance.drained = true;
        }
    }

    /// Say that the edge does not confirm a table; when everything stops, do not wait for it.
    pub(crate) fn mind_the_edge(&mut self) {
        let now = self.epoch.elapsed();
        let late = self
            .unconfirmed_since
            .is_some_and(|since| now >= since + PATIENCE);
        if !late {
            return;
        }
        if self.stopping {
            self.edge = None;
            self.without_edge();
        } else {
            self.unconfirmed_since = Some(now);
            self.note(
                "edge",
                true,
                "the edge has not confirmed the routing table for 5 s",
            );
        }
    }

    /// A thread of the instance is lost: replace it.
    pub(crate) fn request_timed_out(&mut self, id: InstanceId, request: &str, after: Duration) {
        let Some(name) = self.live.get(&id).map(|live| live.name.clone()) else {
            return;
        };
        self.note(
            name,
            true,
            format!(
                "`{request}` took longer than {}; the visitor got 504, the instance is replaced",
                seconds(after)
            ),
        );
        if let Some(instance) = self.instance_mut(id) {
            instance.recycle = true;
        }
    }

    /// An instance cannot do its work any more, by its checks or by its answers: replace it.
    pub(crate) fn instance_unhealthy(&mut self, id: InstanceId, why: &str) {
        let Some(instance) = self.instance_mut(id).filter(|i| !i.recycle) else {
            return;
        };
        if instance.phase != stead_model::plan::Phase::Healthy {
            return;
        }
        instance.recycle = true;
        if let Some(name) = self.live.get(&id).map(|live| live.name.clone()) {
            self.note(name, true, format!("{why}; the instance is replaced"));
        }
    }

    /// The edge could not talk to an instance. If it has ended, that is seen at once.
    pub(crate) fn instance_failed(&mut self, id: InstanceId, why: &str) {
        self.bury_children();
        let serves = self
            .instance(id)
            .is_some_and(|i| i.phase == stead_model::plan::Phase::Healthy);
        let now = self.epoch.elapsed();
        let Some(live) = self.live.get_mut(&id).filter(|_| serves) else {
            return;
        };
        // Each reason once in a while: every visitor may run into it.
        let reason = why.rsplit_once("`: ").map_or(why, |(_, reason)| reason);
        let noted = &mut live.failures_noted;
        noted.retain(|(at, _)| now < *at + PATIENCE);
        if noted.len() < FAILURES_NOTED && noted.iter().all(|(_, other)| other != reason) {
            noted.push((now, reason.to_owned()));
            let name = live.name.clone();
            self.note(name, true, why);
        }
    }
}
