//! Upstreams: which instance takes the next request, and who waits.
//!
//! A connection to an instance of Stead's own worker *is* a thread of it: a free connection is a
//! free thread. Requests that find none wait here, in order, never behind a slow request inside
//! an instance. The state of an upstream outlives routing tables, so that a request that waits
//! when a table is replaced is served by the new instances.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stead_model::messages::EdgeEvent;
use stead_model::release::Protocol;
use stead_model::routing::{self, Address, InstanceId};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::Instant;

mod stream;

pub(crate) use stream::Stream;

/// How long the youngest request of an instance runs before another thread of it is used.
///
/// Short requests keep one thread of each instance busy and queue here, because two threads that
/// want Python's lock cost more than one. A request that runs longer than this mostly waits
/// for something else than Python's lock, so the next one need not wait for it.
const PATIENCE: Duration = Duration::from_micros(1000);

/// How long an instance that could not be reached gets no request.
const COOL_DOWN: Duration = Duration::from_millis(500);

/// Idle connections kept for an instance that speaks HTTP.
const IDLE_LIMIT: usize = 64;

/// One upstream, for as long as any table names it.
#[derive(Debug)]
pub(crate) struct Upstream {
    events: UnboundedSender<EdgeEvent>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    settings: Settings,
    slots: Vec<Slot>,
    /// Instances that left the table and still have requests.
    leaving: Vec<Slot>,
    waiting: VecDeque<oneshot::Sender<Picked>>,
    /// A task looks at the queue every now and then.
    watched: bool,
}

/// What a table says of an upstream, without its instances.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `app.process`, for the access log.
    pub(crate) name: Arc<str>,
    pub(crate) release: u64,
    pub(crate) protocol: Protocol,
    pub(crate) timeout: Duration,
    queue_limit: usize,
    queue_timeout: Duration,
}

/// One instance.
#[derive(Debug)]
struct Slot {
    id: InstanceId,
    address: Arc<Address>,
    capacity: u32,
    /// Connections without a request. The last one used is used first: its thread is warm.
    idle: Vec<Stream>,
    /// Requests in flight, upgraded connections included.
    busy: u32,
    /// When the youngest request in flight began.
    youngest: Instant,
    /// Not before then, after a failed connection.
    not_before: Option<Instant>,
}

/// An instance and, if there was an idle one, a connection to it.
#[derive(Debug)]
struct Picked {
    id: InstanceId,
    address: Arc<Address>,
    settings: Settings,
    stream: Option<Stream>,
}

/// The right to send one request to an instance. Given back when dropped; its connection is kept
/// only by [`Lease::finish`].
#[derive(Debug)]
pub(crate) struct Lease {
    upstream: Arc<Upstream>,
    id: InstanceId,
    pub(crate) address: Arc<Address>,
    pub(crate) settings: Settings,
    /// An idle connection; `None`: open one.
    pub(crate) stream: Option<Stream>,
    finished: bool,
}

/// Why no instance takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// Too many requests wait already.
    QueueFull,
    /// It waited as long as a request may.
    TimedOut,
}

impl Upstream {
    /// An upstream as a table describes it.
    pub(crate) fn new(spec: &routing::Upstream, events: UnboundedSender<EdgeEvent>) -> Arc<Self> {
        let upstream = Arc::new(Self {
            events,
            state: Mutex::new(State {
                settings: Settings::from(spec),
                slots: Vec::new(),
                leaving: Vec::new(),
                waiting: VecDeque::new(),
                watched: false,
            }),
        });
        upstream.update(spec);
        upstream
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics while it holds the lock; a poisoned state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Take over what a new table says. Instances that it names keep their connections and counts.
    pub(crate) fn update(&self, spec: &routing::Upstream) {
        let mut state = self.lock();
        state.settings = Settings::from(spec);
        let mut before = std::mem::take(&mut state.slots);
        for instance in &spec.instances {
            let known = before
                .iter()
                .position(|slot| slot.id == instance.id)
                .map(|at| before.swap_remove(at));
            let known = known.or_else(|| {
                let at = state
                    .leaving
                    .iter()
                    .position(|slot| slot.id == instance.id)?;
                Some(state.leaving.swap_remove(at))
            });
            state.slots.push(match known {
                Some(slot) => Slot {
                    capacity: instance.capacity,
                    ..slot
                },
                None => Slot {
                    id: instance.id,
                    address: Arc::new(instance.address.clone()),
                    capacity: instance.capacity,
                    idle: Vec::new(),
                    busy: 0,
                    youngest: Instant::now(),
                    not_before: None,
                },
            });
        }
        for mut slot in before {
            slot.idle.clear();
            if slot.busy == 0 {
                self.send(EdgeEvent::Drained { instance: slot.id });
            } else {
                state.leaving.push(slot);
            }
        }
        state.dispatch(Instant::now());
    }

    /// No table names this upstream any more.
    pub(crate) fn retire(&self) {
        let mut state = self.lock();
        let slots = std::mem::take(&mut state.slots);
        for mut slot in slots {
            slot.idle.clear();
            if slot.busy == 0 {
                self.send(EdgeEvent::Drained { instance: slot.id });
            } else {
                state.leaving.push(slot);
            }
        }
        state.waiting.clear();
    }

    /// An instance for one more request, at once or when one is free.
    pub(crate) async fn acquire(self: &Arc<Self>) -> Result<Lease, Unavailable> {
        let (receiver, timeout) = {
            let mut state = self.lock();
            if state.waiting.is_empty()
                && let Some(picked) = state.pick(Instant::now())
            {
                return Ok(self.lease(picked));
            }
            if state.waiting.len() >= state.settings.queue_limit {
                // Those whose visitor left do not count.
                state.waiting.retain(|waiter| !waiter.is_closed());
                if state.waiting.len() >= state.settings.queue_limit {
                    return Err(Unavailable::QueueFull);
                }
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting.push_back(sender);
            if !state.watched {
                state.watched = true;
                tokio::spawn(Arc::clone(self).watch());
            }
            (receiver, state.settings.queue_timeout)
        };
        let mut waiter = Waiter {
            upstream: self,
            receiver,
        };
        match tokio::time::timeout(timeout, &mut waiter.receiver).await {
            Ok(Ok(picked)) => Ok(self.lease(picked)),
            Ok(Err(_)) | Err(_) => Err(Unavailable::TimedOut),
        }
    }

    /// Look at the queue until it is empty: time alone can make an instance take another request.
    async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PATIENCE).await;
            let mut state = self.lock();
            state.dispatch(Instant::now());
            // Whoever gave up is no reason to stay awake, even when no instance ever comes.
            while state
                .waiting
                .front()
                .is_some_and(oneshot::Sender::is_closed)
            {
                state.waiting.pop_front();
            }
            if state.waiting.is_empty() {
                state.watched = false;
                return;
            }
        }
    }

    fn lease(self: &Arc<Self>, picked: Picked) -> Lease {
        let Picked {
            id,
            address,
            settings,
            stream,
        } = picked;
        Lease {
            upstream: Arc::clone(self),
            id,
            address,
            settings,
            stream,
            finished: false,
        }
    }

    /// A request of that instance ended; `stream` can take another one.
    fn give_back(&self, id: InstanceId, stream: Option<Stream>) {
        let mut state = self.lock();
        let protocol = state.settings.protocol;
        if let Some(slot) = state.slots.iter_mut().find(|slot| slot.id == id) {
            slot.busy -= 1;
            let limit = if protocol == Protocol::Frames {
                usize::MAX
            } else {
                IDLE_LIMIT
            };
            if let Some(stream) = stream
                && slot.idle.len() < limit
            {
                slot.idle.push(stream);
            }
            if !state.waiting.is_empty() {
                state.dispatch(Instant::now());
            }
        } else if let Some(at) = state.leaving.iter().position(|slot| slot.id == id) {
            state.leaving[at].busy -= 1;
            if state.leaving[at].busy == 0 {
                state.leaving.swap_remove(at);
                self.send(EdgeEvent::Drained { instance: id });
            }
        }
    }

    fn cool_down(&self, id: InstanceId) {
        let mut state = self.lock();
        if let Some(slot) = state.slots.iter_mut().find(|slot| slot.id == id) {
            slot.not_before = Some(Instant::now() + COOL_DOWN);
        }
    }

    fn send(&self, event: EdgeEvent) {
        // Nobody listens while Stead stops.
        let _ = self.events.send(event);
    }

    /// Instances that left the table and still have requests, and requests in flight altogether.
    #[cfg(test)]
    pub(crate) fn in_flight(&self) -> u32 {
        let state = self.lock();
        state
            .slots
            .iter()
            .chain(&state.leaving)
            .map(|slot| slot.busy)
            .sum()
    }
}

impl State {
    /// Serve the queue as far as instances are free.
    fn dispatch(&mut self, now: Instant) {
        while !self.waiting.is_empty() {
            let Some(mut picked) = self.pick(now) else {
                return;
            };
            // Whoever gave up waiting is passed over.
            loop {
                let Some(waiter) = self.waiting.pop_front() else {
                    return self.unpick(picked);
                };
                match waiter.send(picked) {
                    Ok(()) => break,
                    Err(back) => picked = back,
                }
            }
        }
    }

    /// The instance for the next request. An instance without any comes first, in the table's order,
    /// so that a lightly loaded app keeps few instances warm; else the one with the fewest.
    fn pick(&mut self, now: Instant) -> Option<Picked> {
        let patience = if self.settings.protocol == Protocol::Frames {
            PATIENCE
        } else {
            Duration::ZERO
        };
        let slot = self
            .slots
            .iter_mut()
            .filter(|slot| {
                (slot.busy == 0
                    || slot.busy < slot.capacity && now.duration_since(slot.youngest) >= patience)
                    && slot.not_before.is_none_or(|time| time <= now)
            })
            .min_by_key(|slot| slot.busy)?;
        slot.busy += 1;
        slot.youngest = now;
        slot.not_before = None;
        let stream = loop {
            match slot.idle.pop() {
                Some(stream) if stream.is_closed() => {}
                other => break other,
            }
        };
        Some(Picked {
            id: slot.id,
            address: Arc::clone(&slot.address),
            settings: self.settings.clone(),
            stream,
        })
    }

    fn unpick(&mut self, picked: Picked) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == picked.id) {
            slot.busy -= 1;
            slot.idle.extend(picked.stream);
        }
    }
}

impl From<&routing::Upstream> for Settings {
    fn from(spec: &routing::Upstream) -> Self {
        Self {
            name: format!("{}.{}", spec.app, spec.process).into(),
            release: spec.release,
            protocol: spec.protocol,
            timeout: spec.timeout,
            queue_limit: spec.queue_limit as usize,
            queue_timeout: spec.queue_timeout,
        }
    }
}

/// A place in the queue. An instance that was picked for a waiter who is just leaving goes back.
struct Waiter<'a> {
    upstream: &'a Arc<Upstream>,
    receiver: oneshot::Receiver<Picked>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.receiver.close();
        if let Ok(picked) = self.receiver.try_recv() {
            self.upstream.give_back(picked.id, picked.stream);
        }
    }
}

impl Lease {
    /// Which instance.
    pub(crate) fn instance(&self) -> InstanceId {
        self.id
    }

    /// The request has ended, and the connection can take another one.
    pub(crate) fn finish(mut self, stream: Stream) {
        self.finished = true;
        self.upstream.give_back(self.id, Some(stream));
    }

    /// The instance could not be reached or broke the protocol.
    pub(crate) fn failed(&self, why: String) {
        self.upstream.cool_down(self.id);
        self.upstream.send(EdgeEvent::InstanceFailed {
            instance: self.id,
            why,
        });
    }

    /// A request took too long; the visitor got 504.
    pub(crate) fn timed_out(&self, request: String) {
        self.upstream.send(EdgeEvent::RequestTimedOut {
            instance: self.id,
            request,
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.finished {
            self.upstream.give_back(self.id, None);
        }
    }
}

#[cfg(test)]
mod tests;
