//! Which instance takes which request, and which mailbox.

use std::sync::Arc;
use std::time::Duration;

use stead_model::release::Protocol;
use stead_model::routing::InstanceId;
use tokio::time::Instant;

use super::{MESSAGE_LIMIT, PATIENCE, Picked, Running, Slot, State, Stream, Ticket, Wish};
use crate::buffer::Scratch;

impl State {
    /// Serve the queue as far as instances are free, then fill the mailboxes.
    pub(in crate::upstream) fn dispatch(&mut self, now: Instant) {
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
    pub(in crate::upstream) fn forget_departed(&mut self) {
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
    pub(in crate::upstream) fn pick(
        &mut self,
        now: Instant,
        wish: Wish,
        waited: Duration,
    ) -> Option<Picked> {
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
    pub(super) fn are_enough_at_work(&self, now: Instant, waited: Duration) -> bool {
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
    pub(in crate::upstream) fn pick_idle(
        &mut self,
        id: InstanceId,
        now: Instant,
    ) -> Option<Picked> {
        let at = self
            .slots
            .iter()
            .position(|slot| slot.id == id && slot.busy + slot.elsewhere == 0)?;
        self.take(at, now, false)
    }

    pub(super) fn take(&mut self, at: usize, now: Instant, unheard: bool) -> Option<Picked> {
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

    pub(super) fn unpick(&mut self, picked: Picked) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == picked.id) {
            slot.busy -= 1;
            slot.running
                .retain(|running| running.ticket != picked.ticket);
            slot.idle.extend(picked.unput());
        }
    }

    /// Put the requests that wait longest into the mailboxes of threads that have been busy longest, one for each
    /// instance: two of its threads that always have a next one would want Python's lock in turn for ever.
    pub(super) fn park(&mut self, now: Instant) {
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
    pub(in crate::upstream) fn take_back_late(&mut self, now: Instant) {
        let patience = self.patience;
        for slot in &mut self.slots {
            for waiter in slot.take_back(|running| now.duration_since(running.began) >= patience) {
                self.waiting.push_front(waiter);
            }
        }
    }

    /// The request that a thread has is for nobody any more. Whether the thread has begun with the one in its mailbox;
    /// if it has not, that one waits for another thread from now on.
    pub(in crate::upstream) fn next_has_begun(&mut self, id: InstanceId, ticket: Ticket) -> bool {
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

    /// An instance has nothing to do while a request waits in another's mailbox: take that one back.
    pub(super) fn steal_for_idle(&mut self, id: InstanceId) {
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
