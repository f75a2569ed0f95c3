//! One instance in an upstream: its connections, its requests, and those in the mailboxes of its threads.

use std::sync::Arc;

use stead_model::release::Protocol;
use stead_model::routing::{self, Address, InstanceId};
use tokio::time::Instant;

use super::health::{self, Health};
use super::state::{Picked, Ticket, Waiter};
use super::{IDLE_LIMIT, IDLE_MOST, Mailbox, Settings, Stream, Unavailable};

/// One instance.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: InstanceId,
    /// What it ran while it was in a table.
    pub(super) release: u64,
    pub(super) address: Arc<Address>,
    pub(super) capacity: u32,
    /// Connections without a request. The last one used is used first: its thread is warm.
    pub(super) idle: Vec<Stream>,
    /// The fewest that there were of them since somebody looked for a surplus.
    pub(super) least_idle: usize,
    /// Requests in flight, upgraded connections and those in mailboxes included.
    pub(super) busy: u32,
    /// Of these, requests in mailboxes.
    pub(super) parked: u32,
    /// Requests that another edge has here.
    pub(super) elsewhere: u32,
    /// When the youngest request in flight began.
    pub(super) youngest: Instant,
    /// Not before then, after a failed connection.
    pub(super) not_before: Option<Instant>,
    pub(super) health: Health,
    /// Threads of a worker that have a request.
    pub(super) running: Vec<Running>,
}

/// A thread of a worker that has a request.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) ticket: Ticket,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) began: Instant,
    /// Whose request is in the mailbox, after the one that runs.
    pub(super) next: Option<Waiter>,
    /// It takes nothing more: its worker is ending.
    pub(super) deaf: bool,
}

impl Slot {
    /// In one word.
    pub(super) fn state(&self, now: Instant) -> &'static str {
        match self.not_before {
            Some(time) if time > now => "unreachable",
            _ => self.health.word(now),
        }
    }

    /// Requests in flight with one more, in view of its share.
    pub(super) fn load(&self, now: Instant) -> u32 {
        (self.busy + self.elsewhere + 1) * health::FULL / self.health.weight(now)
    }

    pub(super) fn new(instance: &routing::Instance, release: u64, joins: bool) -> Self {
        let now = Instant::now();
        Self {
            id: instance.id,
            release,
            address: Arc::new(instance.address.clone()),
            capacity: instance.capacity,
            idle: Vec::new(),
            least_idle: 0,
            busy: 0,
            parked: 0,
            youngest: now,
            elsewhere: 0,
            not_before: None,
            health: Health::new(now, joins),
            running: Vec::new(),
        }
    }

    /// The next idle connection that is open. `unheard`: the runtime may not know yet what has happened to it.
    pub(super) fn take_idle(&mut self, unheard: bool) -> Option<Stream> {
        let stream = loop {
            match self.idle.pop() {
                Some(stream) if stream.is_closed() || unheard && stream.is_spoilt() => {}
                other => break other,
            }
        };
        self.least_idle = self.least_idle.min(self.idle.len());
        stream
    }

    /// The idle connections beyond the limit that nobody used since this was asked last: those at the
    /// bottom, since the last one used is used first.
    pub(super) fn take_surplus(&mut self) -> Vec<Stream> {
        let unused = self.least_idle.saturating_sub(IDLE_LIMIT);
        let surplus = self.idle.drain(..unused.min(self.idle.len())).collect();
        self.least_idle = self.idle.len();
        surplus
    }

    /// Take back what the worker has not read, from the mailboxes that `wanted` names.
    pub(super) fn take_back(&mut self, mut wanted: impl FnMut(&Running) -> bool) -> Vec<Waiter> {
        if self.parked == 0 {
            return Vec::new();
        }
        let mut back = Vec::new();
        for running in &mut self.running {
            if let Some(next) = &running.next
                && wanted(running)
                && running.mailbox.take_back(&next.frame.0)
            {
                back.extend(running.next.take());
                self.parked -= 1;
                self.busy -= 1;
            }
        }
        back
    }

    /// A request ended. Whoever was next in the mailbox has its turn, or comes back.
    pub(super) fn end(
        &mut self,
        ticket: Ticket,
        stream: Option<Stream>,
        settings: &Arc<Settings>,
        last_ticket: &mut Ticket,
        now: Instant,
    ) -> Option<Waiter> {
        self.busy -= 1;
        let running = self
            .running
            .iter()
            .position(|running| running.ticket == ticket);
        let running = running.map(|at| self.running.swap_remove(at));
        let Some((waiter, mailbox)) =
            running.and_then(|running| Some((running.next?, running.mailbox)))
        else {
            let limit = if settings.protocol == Protocol::Frames {
                usize::MAX
            } else {
                IDLE_MOST
            };
            // Bytes that answer no request: the connection cannot be trusted.
            if let Some(stream) = stream.filter(|stream| stream.unread.is_empty())
                && self.idle.len() < limit
            {
                self.idle.push(stream);
            }
            return None;
        };
        self.parked -= 1;
        let Some(stream) = stream else {
            self.busy -= 1;
            if mailbox.take_back_all(&waiter.frame.0) {
                return Some(waiter);
            }
            let _ = waiter.sender.send(Err(Unavailable::Lost));
            return None;
        };
        *last_ticket += 1;
        let picked = Picked {
            id: self.id,
            ticket: *last_ticket,
            address: Arc::clone(&self.address),
            settings: Arc::clone(settings),
            stream: Some(stream),
            frame: waiter.frame,
            sent: true,
        };
        match waiter.sender.send(Ok(picked)) {
            Ok(()) => {
                self.youngest = now;
                self.running.push(Running {
                    ticket: *last_ticket,
                    mailbox,
                    began: now,
                    next: None,
                    deaf: false,
                });
            }
            // The visitor has left. If the worker has begun, its answer is for nobody: the connection goes.
            Err(picked) => {
                self.busy -= 1;
                let picked = picked
                    .ok()
                    .filter(|picked| mailbox.take_back(&picked.frame.0));
                self.idle.extend(picked.and_then(|picked| picked.stream));
            }
        }
        None
    }
}
