//! Is an instance ready? It is asked over HTTP, since an open port means little: gunicorn opens its
//! port before its workers have imported anything.

use std::net::SocketAddr;
use std::time::Duration;

use stead_model::messages::{EdgeCommand, Probe};
use stead_model::plan::Phase;
use stead_model::routing::{Address, InstanceId};

use super::{Event, Runtime};
use crate::table::{health_host, protocol};
use crate::{machine, processes};

/// Between two probes, at first and after [`EAGER`].
const SOON: Duration = Duration::from_millis(20);
const LATER: Duration = Duration::from_millis(100);
const EAGER: Duration = Duration::from_secs(3);
/// One probe: an app's first answer may take many seconds, and asking again would not help it.
const LONGEST: Duration = Duration::from_secs(15);
/// How long the port that an instance was given may stay closed before another is looked for, and how
/// often.
const LOOK_ELSEWHERE: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Node's and Python's debuggers listen there, and answer.
const DEBUGGERS: [u16; 3] = [9229, 9230, 5678];

/// What was found out about an instance whose port stays closed.
#[derive(Debug)]
pub(crate) struct Listening {
    instance: InstanceId,
    addresses: Vec<SocketAddr>,
    /// Processor time that its processes have used so far.
    cpu: Duration,
}

impl Runtime {
    /// When the next probe is due.
    pub(crate) fn next_probe_due(&self) -> Option<Duration> {
        self.live.values().filter_map(|live| live.probing.due).min()
    }

    /// Send the probes that are due.
    pub(crate) fn probe_those_due(&mut self) {
        self.mind_the_edge();
        let now = self.epoch.elapsed();
        let due: Vec<InstanceId> = self
            .live
            .iter()
            .filter(|(_, live)| live.probing.due.is_some_and(|due| due <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.probe(id, now);
        }
    }

    fn probe(&mut self, id: InstanceId, now: Duration) {
        let starting = self
            .instance(id)
            .filter(|i| i.phase == Phase::Starting)
            .map(|i| (i.release, i.process.clone(), i.since + i.within));
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        live.probing.due = None;
        let Some((release, process, until)) = starting else {
            return;
        };
        let Some(generation) = self.generations.get(&release) else {
            return;
        };
        let Some(spec) = generation.spec(&process) else {
            return;
        };
        let (Some(listen), Some(own)) = (spec.listen, live.address.clone()) else {
            return;
        };
        let host = health_host(&generation.release, spec);
        // In turn: where it was told to listen, then wherever else it does.
        let turn = live.probing.turn % (live.probing.elsewhere.len() + 1);
        live.probing.turn += 1;
        let address = match turn
            .checked_sub(1)
            .and_then(|i| live.probing.elsewhere.get(i))
        {
            Some(elsewhere) => Address::Tcp(*elsewhere),
            None => own,
        };
        let probe = Probe {
            id: self.next_probe,
            address: address.clone(),
            protocol: protocol(listen),
            path: spec.health.path.clone(),
            host,
            timeout: until.saturating_sub(now).clamp(SOON, LONGEST),
        };
        live.probing.address = Some(address);
        self.probes.insert(self.next_probe, id);
        self.next_probe += 1;
        let sent = self
            .edge
            .as_ref()
            .is_some_and(|edge| edge.send(EdgeCommand::Probe(probe)).is_ok());
        if !sent {
            self.edge_ended();
        }
    }

    /// A probe's result.
    pub(crate) fn probed(&mut self, probe: u64, outcome: Result<u16, String>) {
        let Some(id) = self.probes.remove(&probe) else {
            return;
        };
        let now = self.epoch.elapsed();
        let Some(instance) = self.instance(id).filter(|i| i.phase == Phase::Starting) else {
            return;
        };
        let (release, process) = (instance.release, instance.process.clone());
        let range = self
            .generations
            .get(&release)
            .and_then(|g| g.spec(&process))
            .map_or((100, 499), |spec| spec.health.status);
        let insists = self.insisting.contains_key(&process);
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        let good = matches!(outcome, Ok(status) if (range.0..=range.1).contains(&status));
        live.probing.last = Some(outcome);
        if good {
            live.probing.due = None;
            let elsewhere = live.probing.address.take();
            self.pace_after_first(id);
            self.set_phase(id, Phase::Healthy);
            self.settle_address(id, &process, release, elsewhere);
            self.size_after_first(id, release, &process);
            return;
        }
        let age = now.saturating_sub(live.started);
        live.probing.due = Some(now + if age < EAGER { SOON } else { LATER });
        let refused = matches!(live.probing.last, Some(Err(_)));
        let patience = if insists {
            Duration::ZERO
        } else {
            LOOK_ELSEWHERE
        };
        if refused && live.port.is_some() && age >= patience {
            self.look_elsewhere(id, now);
        }
    }

    /// Find out, beside the loop, what the processes of an instance listen on.
    fn look_elsewhere(&mut self, id: InstanceId, now: Duration) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        if now < live.probing.looked + LOOK_AGAIN {
            return;
        }
        live.probing.looked = now;
        let (pid, events) = (live.pid, self.events.clone());
        tokio::task::spawn_blocking(move || {
            let tree = processes::tree(&processes::all(), pid);
            let _ = events.send(Event::Listening(Listening {
                instance: id,
                addresses: machine::listening(&tree),
                cpu: machine::cpu_time_of(&tree),
            }));
        });
    }

    /// What an instance that is starting listens on.
    pub(crate) fn listening(&mut self, found: Listening) {
        let now = self.epoch.elapsed();
        let known = self
            .instance(found.instance)
            .and_then(|i| self.insisting.get(&i.process).copied());
        let Some(live) = self.live.get_mut(&found.instance) else {
            return;
        };
        let before = live.probing.cpu.replace((now, found.cpu));
        let same_port = found.addresses.iter().find(|a| Some(a.port()) == live.port);
        if let Some(address) = same_port {
            // The port that it was given, perhaps of the other family.
            live.address = Some(Address::Tcp(*address));
            live.probing.elsewhere.clear();
            return;
        }
        // A program that is busy may still be on its way to the right port: what it has opened so far may be
        // for metrics.
        let idle = before
            .is_some_and(|(at, cpu)| found.cpu.saturating_sub(cpu) < now.saturating_sub(at) / 5);
        let mut addresses = found.addresses;
        addresses.retain(|a| !DEBUGGERS.contains(&a.port()));
        addresses.retain(|a| idle || Some(a.port()) == known);
        live.probing.elsewhere = addresses;
    }

    /// An instance became healthy at this address. When that is not where it was told to listen, its
    /// process insists on a port: there can be only one instance of it.
    fn settle_address(
        &mut self,
        id: InstanceId,
        process: &str,
        release: u64,
        address: Option<Address>,
    ) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        let (Some(Address::Tcp(found)), Some(given)) = (&address, live.port) else {
            return;
        };
        let found = found.port();
        let name = live.name.clone();
        live.address = address;
        if found == given {
            if self.insisting.remove(process).is_some() {
                self.release_from_one(release, process);
            }
            return;
        }
        let known = self.insisting.insert(process.to_owned(), found);
        if known != Some(found) {
            self.note(
            name,
            true,
            format!(
                "it listens on port {found}, not on the one in `PORT`; it is used, but only one instance can run, \
                 and visitors wait while it is replaced"
            ),
        );
        }
        self.want_process(release, process, |wanted| {
            wanted.count = wanted.count.map(|n| n.min(1)).or(Some(1));
            wanted.ceiling = 1;
        });
        self.reason(release, process, format!("it insists on port {found}"));
    }
}
