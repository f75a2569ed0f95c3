//! Edges that were replaced and finish what they have, as the one that serves sees them.

use std::collections::BTreeMap;
use std::io;
use std::task::Poll;

use stead_model::control::Draining;
use stead_model::handover::{FromNew, FromOld, Predecessor, Report};
use stead_model::routing::InstanceId;

use super::ledger::{Ledger, Party};
use super::wire::Wire;

/// One of them.
#[derive(Debug)]
pub(super) struct Old {
    pub(super) pid: Party,
    pub(super) version: String,
    pub(super) wire: Wire,
    pub(super) report: Report,
    /// What it was told last of the requests that others have.
    told: Vec<(InstanceId, u32)>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Predecessors(pub(super) Vec<Old>);

impl Old {
    /// One that an estate names, and the connection to it.
    pub(super) fn new(left: Predecessor, wire: Wire) -> Self {
        Self {
            pid: left.pid,
            version: left.version,
            wire,
            report: left.report,
            told: Vec::new(),
        }
    }

    /// As it is left to the next edge.
    pub(super) fn left(&self, ledger: &Ledger) -> Predecessor {
        Predecessor {
            pid: self.pid,
            version: self.version.clone(),
            holds: ledger.held(self.pid),
            pinned: ledger.is_pinned(self.pid),
            report: self.report.clone(),
            pending: self.wire.pending(),
        }
    }
}

impl Predecessors {
    /// What one of them says next; `None`: it has gone, and is none any more. Writes what waits to be
    /// written meanwhile.
    pub(super) async fn next(&mut self) -> (Party, Option<FromOld>) {
        std::future::poll_fn(|context| {
            for at in 0..self.0.len() {
                let old = &mut self.0[at];
                let broken = matches!(old.wire.poll_flush(context), Poll::Ready(Err(_)));
                let line = match old.wire.poll_line(context) {
                    Poll::Pending if !broken => continue,
                    Poll::Pending => Ok(None),
                    Poll::Ready(line) => line,
                };
                let pid = old.pid;
                let said = match line {
                    Ok(Some(line)) => serde_json::from_slice(&line).map_err(io::Error::from),
                    Ok(None) | Err(_) => Err(io::ErrorKind::UnexpectedEof.into()),
                };
                if said.is_err() {
                    self.0.remove(at);
                }
                return Poll::Ready((pid, said.ok()));
            }
            Poll::Pending
        })
        .await
    }

    /// Requests that they have at each instance.
    pub(super) fn busy(&self) -> Vec<(InstanceId, u32)> {
        sum(self.0.iter().flat_map(|old| &old.report.busy))
    }

    /// One of them may yet send a further request to an instance.
    pub(super) fn is_any_unsettled(&self) -> bool {
        self.0.iter().any(|old| !old.report.settled)
    }

    /// Tell each of them what the others have, as far as it has changed.
    pub(super) fn tell_elsewhere(&mut self, own: &[(InstanceId, u32)]) {
        for at in 0..self.0.len() {
            let others = self.0.iter().enumerate().filter(|(other, _)| *other != at);
            let others = others.flat_map(|(_, old)| &old.report.busy);
            let elsewhere = sum(own.iter().chain(others));
            let old = &mut self.0[at];
            if old.told != elsewhere && old.wire.send(&FromNew::Elsewhere(elsewhere.clone())) {
                old.told = elsewhere;
            }
        }
    }

    /// For a person.
    pub(super) fn shown(&self) -> Vec<Draining> {
        let shown = |old: &Old| Draining {
            pid: old.pid,
            version: old.version.clone(),
            connections: old.report.connections,
        };
        self.0.iter().map(shown).collect()
    }
}

fn sum<'a>(counts: impl Iterator<Item = &'a (InstanceId, u32)>) -> Vec<(InstanceId, u32)> {
    let mut sums: BTreeMap<InstanceId, u32> = BTreeMap::new();
    for (instance, count) in counts {
        *sums.entry(*instance).or_default() += count;
    }
    sums.into_iter().collect()
}
