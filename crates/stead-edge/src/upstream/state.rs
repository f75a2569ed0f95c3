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
                        capacity: instance.capacity,
                        ..slot
                    },
                    None => Slot::new(instance, joins),
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

    /// Serve the queue as far as instances are free, then fill the mailboxes.
    pub(super) fn dispatch(&mut self, now: Instant) {
        loop {
            // Whoever gave up waiting is passed over.
            self.forget_departed();
            let front = self.waiting.front();
            let Some((wish, since)) = front.map(|waiter| (waiter.wish, waiter.since)) else {
                break;
            };
            let Some(mut picked) = self.pick(now, wish, now.duration_since(since)) else {
                break;
            };
            let Some(waiter) = self.waiting.pop_front() else {
                return self.unpick(picked);
            };
            picked.frame = waiter.frame;
            picked.put();
            if let Err(Ok(back)) = waiter.sender.send(Ok(picked)) {
                self.unpick(back);
            }
        }
        if self.settings.protocol == Protocol::Frames {
            self.park(now);
        }
    }

    /// Whoever gave up is no reason to stay awake, even when no instance ever comes.
    pub(super) fn forget_departed(&mut self) {
        while self
            .waiting
            .front()
            .is_some_and(|waiter| waiter.sender.is_closed())
        {
            self.waiting.pop_front();
        }
    }

    /// The instance for the next request. An instance without any comes first, in the table's order,
    /// so that a lightly loaded app keeps few instances warm; else the one with the fewest.
    pub(super) fn pick(&mut self, now: Instant, wish: Wish, waited: Duration) -> Option<Picked> {
        let enough = self.are_enough_at_work(now, waited);
        let frames = self.settings.protocol == Protocol::Frames;
        // All of them cannot be left out: then the fault is elsewhere.
        let all_out = self.slots.iter().all(|slot| slot.health.is_out(now));
        let free = self.slots.iter().enumerate().filter(|(_, slot)| {
            let patient = frames && now.duration_since(slot.youngest) < self.patience;
            let threads = slot.busy - slot.parked + slot.elsewhere;
            let idle = slot.busy + slot.elsewhere == 0;
            (idle && !enough || !idle && threads < slot.capacity && !patient)
                && slot.not_before.is_none_or(|time| time <= now)
                && (all_out || !slot.health.is_out(now))
        });
        let (at, _) = match wish.sticky {
            Some(number) => {
                free.max_by_key(|(_, slot)| (Some(slot.id) != wish.not, affinity(number, slot.id)))
            }
            None => free.min_by_key(|(_, slot)| {
                let load = match frames {
                    true => slot.busy + slot.elsewhere,
                    false => slot.load(now),
                };
                (Some(slot.id) == wish.not, load)
            }),
        }?;
        self.take(at, now, wish.unheard)
    }

    /// One more instance at work would only be one more that wants a processor: all of these are busy, and each has an
    /// instance whose request is a short one as far as anybody knows. Who has waited long already is not held back.
    fn are_enough_at_work(&self, now: Instant, waited: Duration) -> bool {
        self.settings.protocol == Protocol::Frames
            && self.patience > PATIENCE
            && waited < self.patience
            && self.processors <= {
                let at_work = self.slots.iter().filter(|slot| {
                    slot.busy > 0 && now.duration_since(slot.youngest) < self.patience
                });
                at_work.count()
            }
    }

    /// This instance, if it has nothing to do: for a check over a connection of its own.
    pub(super) fn pick_idle(&mut self, id: InstanceId, now: Instant) -> Option<Picked> {
        let at = self
            .slots
            .iter()
            .position(|slot| slot.id == id && slot.busy + slot.elsewhere == 0)?;
        self.take(at, now, false)
    }

    fn take(&mut self, at: usize, now: Instant, unheard: bool) -> Option<Picked> {
        let slot = self.slots.get_mut(at)?;
        slot.busy += 1;
        slot.youngest = now;
        slot.not_before = None;
        let stream = slot.take_idle(unheard);
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        if let Some(mailbox) = stream.as_ref().and_then(Stream::mailbox) {
            let mailbox = Arc::clone(mailbox);
            mailbox.reserve();
            slot.running.push(Running {
                ticket,
                mailbox,
                began: now,
                next: None,
                deaf: false,
            });
        }
        let (address, settings) = (Arc::clone(&slot.address), Arc::clone(&self.settings));
        Some(Picked {
            id: slot.id,
            ticket,
            address,
            settings,
            stream,
            frame: Scratch::default(),
            sent: false,
        })
    }

    fn unpick(&mut self, picked: Picked) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == picked.id) {
            slot.busy -= 1;
            slot.running
                .retain(|running| running.ticket != picked.ticket);
            slot.idle.extend(picked.unput());
        }
    }

    /// Put the requests that wait longest into the mailboxes of threads that have been busy longest, one for each
    /// instance: two of its threads that always have a next one would want Python's lock in turn for ever.
    fn park(&mut self, now: Instant) {
        let patience = self.patience;
        while let Some(waiter) = self.waiting.front() {
            if waiter.sender.is_closed() {
                self.waiting.pop_front();
                continue;
            }
            let length = waiter.frame.0.len();
            if length == 0 || length > MESSAGE_LIMIT {
                return;
            }
            let fed = self.slots.iter_mut().filter(|slot| slot.parked == 0);
            let free = fed.flat_map(|slot| {
                let Slot {
                    running,
                    busy,
                    parked,
                    ..
                } = slot;
                let free = running.iter_mut().filter(|thread| {
                    thread.next.is_none()
                        && !thread.deaf
                        && thread.mailbox.has_begun()
                        && now.duration_since(thread.began) < patience
                });
                free.map(move |thread| (thread.began, thread))
                    .min_by_key(|(began, _)| *began)
                    .map(|(_, thread)| (thread, busy, parked))
            });
            let Some((thread, busy, parked)) = free.min_by_key(|(thread, ..)| thread.began) else {
                return;
            };
            if thread.mailbox.put(&waiter.frame.0).is_err() {
                thread.deaf = true;
                continue;
            }
            *busy += 1;
            *parked += 1;
            thread.next = self.waiting.pop_front();
        }
    }

    /// Take back what waits in a mailbox behind a request that is not short.
    pub(super) fn take_back_late(&mut self, now: Instant) {
        let patience = self.patience;
        for slot in &mut self.slots {
            for waiter in slot.take_back(|running| now.duration_since(running.began) >= patience) {
                self.waiting.push_front(waiter);
            }
        }
    }

    /// The request that a thread has is for nobody any more. Whether the thread has begun with the one in its mailbox;
    /// if it has not, that one waits for another thread from now on.
    pub(super) fn next_has_begun(&mut self, id: InstanceId, ticket: Ticket) -> bool {
        let mut slots = self.slots.iter_mut().chain(&mut self.leaving);
        let Some(slot) = slots.find(|slot| slot.id == id) else {
            return false;
        };
        let mut running = slot.running.iter_mut();
        let Some(running) = running.find(|running| running.ticket == ticket) else {
            return false;
        };
        let Some(next) = running.next.take() else {
            return false;
        };
        if !running.mailbox.take_back_all(&next.frame.0) {
            running.next = Some(next);
            return true;
        }
        slot.parked -= 1;
        slot.busy -= 1;
        self.waiting.push_front(next);
        false
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

    /// Nothing for this instance for a while.
    pub(super) fn cool_down(&mut self, id: InstanceId, now: Instant) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == id) {
            slot.not_before = Some(now + COOL_DOWN);
        }
    }

    /// How a request went for its instance, which may then be left out for a while. The sentence is for a person;
    /// `true` with it: the instance should be replaced.
    pub(super) fn observe(
        &mut self,
        id: InstanceId,
        outcome: Outcome,
        now: Instant,
    ) -> Option<(String, bool)> {
        if self.settings.protocol == Protocol::Frames {
            return None;
        }
        let at = self.slots.iter().position(|slot| slot.id == id)?;
        self.slots[at].health.observe(outcome, now);
        let others = || self.slots.iter().filter(|slot| slot.id != id);
        let usable = |slot: &&Slot| {
            !slot.health.is_out(now) && slot.not_before.is_none_or(|time| time <= now)
        };
        if outcome == Outcome::Unreachable && !others().any(|slot| usable(&slot)) {
            self.slots[at].not_before = Some(now + COOL_DOWN);
            return None;
        }
        if !matches!(outcome, Outcome::Failed | Outcome::Unreachable) {
            return None;
        }
        let complaint = self.slots[at].health.complaint()?;
        // At most half of them, and only when another one does better: else it is the app's fault.
        let out = others().filter(|slot| slot.health.is_out(now)).count();
        let better = others().any(|slot| usable(&slot) && slot.health.does_better());
        if self.slots[at].health.is_out(now) || (out + 1) * 2 > self.slots.len() || !better {
            return None;
        }
        let proven = others().any(|slot| usable(&slot) && slot.health.is_proven());
        let replace = self.slots[at].health.pause(now) && proven;
        Some((complaint, replace))
    }

    /// The instances that can be checked now, and how. `None`: none are to be.
    pub(super) fn checks(&self) -> Option<(Arc<Settings>, Vec<Place>)> {
        self.settings.check.as_ref()?;
        let frames = self.settings.protocol == Protocol::Frames;
        // One that has all the requests that it takes would not answer another one; how it answers those
        // tells as much.
        let free = self
            .slots
            .iter()
            .filter(|slot| slot.busy < if frames { 1 } else { slot.capacity });
        let free = free.map(|slot| (slot.id, Arc::clone(&slot.address)));
        Some((Arc::clone(&self.settings), free.collect()))
    }

    /// A check of an instance went like this. `true`: from now on it counts as failing.
    pub(super) fn checked(&mut self, id: InstanceId, good: bool) -> bool {
        let slot = self.slots.iter_mut().find(|slot| slot.id == id);
        slot.is_some_and(|slot| slot.health.checked(good))
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

    /// An instance has nothing to do while a request waits in another's mailbox: take that one back.
    fn steal_for_idle(&mut self, id: InstanceId) {
        if self
            .slots
            .iter()
            .any(|slot| slot.id == id && slot.busy == 0)
            && let Some(slot) = self.slots.iter_mut().find(|slot| slot.parked > 0)
        {
            let mut one = true;
            let stolen = slot.take_back(|_| std::mem::take(&mut one));
            self.waiting.extend(stolen);
        }
    }
}

/// How much a sticky number wants an instance: each number has its own order of all instances, so that only those
/// whose instance goes are sent elsewhere.
fn affinity(number: u64, id: InstanceId) -> u64 {
    // The end of SplitMix64.
    let z = number ^ id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
