//! The state of an upstream: its instances, their connections, the queue. No waiting and no clock
//! in here; the callers bring both.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use stead_model::release::Protocol;
use stead_model::routing::{self, Address, InstanceId};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::health::Outcome;
use super::slot::{Running, Slot};
use super::{
    COOL_DOWN, IDLE_LIMIT, InstanceSituation, MESSAGE_LIMIT, Mailbox, PATIENCE, Settings,
    Situation, Stream, Unavailable,
};
use crate::buffer::Scratch;

mod choosing;
mod watching;

/// Names a request in flight; never used twice.
pub(super) type Ticket = u64;

#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: Arc<Settings>,
    slots: Vec<Slot>,
    /// Instances that left the table and still have requests.
    leaving: Vec<Slot>,
    pub(super) waiting: VecDeque<Waiter>,
    /// A task looks at the queue every now and then.
    pub(super) watched: bool,
    /// A task closes connections that nobody wants.
    pub(super) trimmed: bool,
    /// Bodies that are passed on while they come.
    pub(super) streaming: u32,
    /// A task asks the instances how they are.
    pub(super) checked: bool,
    /// The ticket before the next.
    last_ticket: Ticket,
    /// Idle connections are not kept: each holds a thread that another edge may want.
    frugal: bool,
    /// How long the youngest request of an instance runs before another thread of it is used.
    pub(super) patience: Duration,
    /// While the processors are busy so many instances at work are enough.
    pub(super) processors: usize,
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) sender: oneshot::Sender<Result<Picked, Unavailable>>,
    /// For a mailbox; empty: not to be sent before its turn.
    pub(super) frame: Scratch,
    pub(super) wish: Wish,
    pub(super) since: Instant,
}

/// An instance and where it is.
pub(super) type Place = (InstanceId, Arc<Address>);

/// Which instance a request would like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    /// Not this one, if there is another: it has just failed the request.
    pub(crate) not: Option<InstanceId>,
    /// The same as every other request with this number.
    pub(crate) sticky: Option<u64>,
    /// The request was read without the runtime, which may not know yet what idle connections have said meanwhile.
    pub(crate) unheard: bool,
}

/// An instance and, if there was an idle one, a connection to it.
#[derive(Debug)]
pub(super) struct Picked {
    pub(super) id: InstanceId,
    pub(super) ticket: Ticket,
    pub(super) address: Arc<Address>,
    pub(super) settings: Arc<Settings>,
    pub(super) stream: Option<Stream>,
    pub(super) frame: Scratch,
    pub(super) sent: bool,
}

/// What the end of a request meant for its instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Serving,
    /// It had left the table, and this was its last request.
    Drained,
}

impl Picked {
    /// Put the request into the thread's mailbox, if it can go there now; else whoever gets this does.
    fn put(&mut self) {
        let length = self.frame.0.len();
        if let Some(mailbox) = self.stream.as_ref().and_then(Stream::mailbox)
            && (1..=MESSAGE_LIMIT).contains(&length)
        {
            self.sent = mailbox.put(&self.frame.0).is_ok();
        }
    }

    /// The connection, unless its thread has begun with the request: that answer is for nobody.
    fn unput(self) -> Option<Stream> {
        let stream = self.stream?;
        match stream.mailbox() {
            Some(mailbox) if self.sent && !mailbox.take_back(&self.frame.0) => None,
            _ => Some(stream),
        }
    }
}

impl State {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings,
            slots: Vec::new(),
            leaving: Vec::new(),
            waiting: VecDeque::new(),
            watched: false,
            trimmed: false,
            streaming: 0,
            checked: false,
            last_ticket: 0,
            frugal: false,
            patience: PATIENCE,
            processors: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// Requests wait, here or in mailboxes.
    pub(super) fn is_pending(&self) -> bool {
        !self.waiting.is_empty()
            || self
                .slots
                .iter()
                .chain(&self.leaving)
                .any(|slot| slot.parked > 0)
    }

    /// An instance has more idle connections than it keeps for long.
    pub(super) fn has_surplus(&self) -> bool {
        self.settings.protocol == Protocol::Http
            && self.slots.iter().any(|slot| slot.idle.len() > IDLE_LIMIT)
    }

    /// Of those, the ones that nobody has used lately.
    pub(super) fn take_surplus(&mut self) -> Vec<Stream> {
        let slots = self.slots.iter_mut();
        slots.flat_map(Slot::take_surplus).collect()
    }

    /// One more body may be passed on while it comes: at most half of all threads wait for visitors, however these
    /// go on, and none that would keep others waiting now. How many threads another server has, nobody knows.
    pub(super) fn may_stream(&self) -> bool {
        let threads: u32 = self.slots.iter().map(|slot| slot.capacity).sum();
        self.settings.protocol == Protocol::Frames
            && self.streaming < threads / 2
            && self.waiting.is_empty()
            && self.slots.iter().any(|slot| slot.busy < slot.capacity)
    }

    /// How things are, for the metrics.
    pub(super) fn situation(&self, now: Instant) -> Situation {
        let serving = self.slots.iter().map(|slot| (slot, slot.state(now)));
        let leaving = self.leaving.iter().map(|slot| (slot, "draining"));
        let instances = serving
            .chain(leaving)
            .map(|(slot, state)| InstanceSituation {
                id: slot.id,
                release: slot.release,
                in_flight: slot.busy,
                state,
            });
        Situation {
            series: Arc::clone(&self.settings.series),
            waiting: self.waiting.len() as u64,
            instances: instances.collect(),
        }
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.slots.iter().map(|slot| slot.idle.len()).sum()
    }

    #[cfg(test)]
    pub(super) fn in_flight(&self) -> u32 {
        self.slots
            .iter()
            .chain(&self.leaving)
            .map(|slot| slot.busy)
            .sum()
    }

    /// From now on these are the instances. Returns those that are not needed any more at once.
    pub(super) fn replace_instances(&mut self, instances: &[routing::Instance]) -> Vec<InstanceId> {
        let release = self.settings.series.release;
        let mut before = std::mem::take(&mut self.slots);
        let joins = before
            .iter()
            .any(|slot| instances.iter().any(|i| i.id == slot.id));
        before.append(&mut self.leaving);
        for instance in instances {
            let known = before.iter().position(|slot| slot.id == instance.id);
            self.slots
                .push(match known.map(|at| before.swap_remove(at)) {
                    Some(slot) => Slot {
                        release,
                        capacity: instance.capacity,
                        ..slot
                    },
                    None => Slot::new(instance, release, joins),
                });
        }
        let mut drained = Vec::new();
        for mut slot in before {
            slot.idle.clear();
            for waiter in slot.take_back(|_| true) {
                self.waiting.push_front(waiter);
            }
            if slot.busy == 0 {
                drained.push(slot.id);
            } else {
                self.leaving.push(slot);
            }
        }
        drained
    }

    /// A thread of a worker begins with a request on a new connection.
    pub(super) fn opened(
        &mut self,
        id: InstanceId,
        ticket: Ticket,
        mailbox: &Arc<Mailbox>,
        now: Instant,
    ) {
        if let Some(slot) = self
            .slots
            .iter_mut()
            .chain(&mut self.leaving)
            .find(|slot| slot.id == id)
        {
            slot.running.push(Running {
                ticket,
                mailbox: Arc::clone(mailbox),
                began: now,
                next: None,
                deaf: false,
            });
        }
    }

    /// A request ended; `stream` can take another one, and has the one in its mailbox.
    pub(super) fn end(
        &mut self,
        id: InstanceId,
        ticket: Ticket,
        stream: Option<Stream>,
        now: Instant,
    ) -> Ended {
        let (settings, last_ticket) = (&self.settings, &mut self.last_ticket);
        let mut back = None;
        let ended = if let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == id) {
            back = slot.end(ticket, stream, settings, last_ticket, now);
            Ended::Serving
        } else if let Some(at) = self.leaving.iter().position(|slot| slot.id == id) {
            let slot = &mut self.leaving[at];
            back = slot.end(ticket, stream, settings, last_ticket, now);
            slot.idle.clear();
            if slot.busy == 0 {
                self.leaving.swap_remove(at);
                Ended::Drained
            } else {
                Ended::Serving
            }
        } else {
            Ended::Serving
        };
        if let Some(waiter) = back {
            self.waiting.push_front(waiter);
        }
        if self.waiting.is_empty() && !self.are_enough_at_work(now, Duration::ZERO) {
            self.steal_for_idle(id);
        }
        if !self.waiting.is_empty() {
            self.dispatch(now);
        }
        if self.frugal
            && let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == id)
        {
            slot.idle.clear();
        }
        ended
    }

    /// What another edge has at these instances.
    pub(super) fn share(&mut self, elsewhere: &HashMap<InstanceId, u32>, frugal: bool) {
        self.frugal = frugal;
        for slot in &mut self.slots {
            slot.elsewhere = elsewhere.get(&slot.id).copied().unwrap_or(0);
            if frugal {
                slot.idle.clear();
            }
        }
    }

    /// Requests in flight at each instance that has any.
    pub(super) fn busy(&self, busy: &mut Vec<(InstanceId, u32)>) {
        let slots = self.slots.iter().chain(&self.leaving);
        busy.extend(
            slots
                .filter(|slot| slot.busy > 0)
                .map(|slot| (slot.id, slot.busy)),
        );
    }
}
