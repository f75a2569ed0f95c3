//! Upstreams: which instance takes the next request, and who waits.
//!
//! A connection to an instance of Stead's own worker *is* a thread of it: a free connection is a
//! free thread. Requests that find none wait here, in order, never behind a slow request inside
//! an instance. The state of an upstream outlives routing tables, so that a request that waits
//! when a table is replaced is served by the new instances.
//!
//! While requests wait, the next one is put into the mailbox of a busy thread, so that the thread need
//! not sleep between two short requests. It is taken back as soon as the request before it
//! turns out not to be short; see [`stream::Mailbox`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stead_model::messages::EdgeEvent;
use stead_model::release::Protocol;
use stead_model::routing::{self, Address, Check, InstanceId, Timeouts};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::buffer::Scratch;
use crate::exchange::Rest;
use crate::metrics::{Metrics, Series};
use processors::Processors;
use state::{Ended, Picked, State, Ticket, Waiter};

mod check;
mod health;
mod processors;
mod slot;
mod state;
mod stream;

pub(crate) use health::Outcome;
pub(crate) use state::Wish;
pub(crate) use stream::{Ancillary, MESSAGE_LIMIT, Mailbox, Stream, Unread};

/// How long the youngest request of an instance runs before another thread of it is used, and how long
/// the request before one in a mailbox may run.
///
/// Short requests keep one thread of each instance busy and queue here, because two threads that
/// want Python's lock cost more than one. A request that runs longer than this mostly waits
/// for something else than Python's lock, so the next one need not wait for it.
const PATIENCE: Duration = Duration::from_millis(1);

/// The same while all processors are busy: then a request that takes long mostly waits for its turn on
/// a processor, and a further thread would only be one more that wants it. Long enough for each of a
/// dozen programs to have had its turn, short enough for those who do wait for something.
const PATIENCE_WHEN_BUSY: Duration = Duration::from_millis(10);

/// How long an instance that could not be reached gets no request.
const COOL_DOWN: Duration = Duration::from_millis(500);

/// How long the end of a response that was sent already may take to arrive.
const SKIP_TIME: Duration = Duration::from_secs(5);

/// Idle connections kept for an instance that speaks HTTP, for as long as it likes.
const IDLE_LIMIT: usize = 64;

/// And with those beyond that, which were in use a moment ago: many streams of HTTP/2 come and go together, and to open
/// a connection for each costs more than the request. A server that accepts fewer waits no longer than [`SURPLUS_TIME`] for them.
const IDLE_MOST: usize = 1024;

/// Of the connections beyond [`IDLE_LIMIT`] those that nobody used for this time are closed.
const SURPLUS_TIME: Duration = Duration::from_millis(100);

/// One upstream, for as long as any table names it.
#[derive(Debug)]
pub(crate) struct Upstream {
    events: UnboundedSender<EdgeEvent>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    processors: Mutex<Processors>,
}

/// What a table says of an upstream, without its instances.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where requests of this release are counted; knows its names, too.
    pub(crate) series: Arc<Series>,
    pub(crate) protocol: Protocol,
    /// Until an instance begins to answer.
    pub(crate) timeout: Duration,
    pub(crate) timeouts: Timeouts,
    pub(crate) sticky: bool,
    check: Option<Check>,
    queue_limit: usize,
    queue_timeout: Duration,
}

/// The right to send one request to an instance. Given back when dropped; its connection is kept
/// only by [`Lease::finish`].
#[derive(Debug)]
pub(crate) struct Lease {
    upstream: Arc<Upstream>,
    id: InstanceId,
    ticket: Ticket,
    pub(crate) address: Arc<Address>,
    pub(crate) settings: Arc<Settings>,
    /// An idle connection; `None`: open one.
    pub(crate) stream: Option<Stream>,
    /// The request as it was given to [`Upstream::acquire`].
    pub(crate) frame: Scratch,
    /// The frame has gone to the instance already.
    pub(crate) sent: bool,
    /// How the request went, for the choice of instances.
    pub(crate) outcome: Outcome,
    finished: bool,
}

/// The right to pass a body on while it comes. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Streaming(Arc<Upstream>);

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0.lock().streaming -= 1;
    }
}

/// An upstream at one moment, for the metrics.
#[derive(Debug)]
pub(crate) struct Situation {
    pub(crate) series: Arc<Series>,
    /// Requests in the queue.
    pub(crate) waiting: u64,
    pub(crate) instances: Vec<InstanceSituation>,
}

/// An instance at one moment.
#[derive(Debug)]
pub(crate) struct InstanceSituation {
    pub(crate) id: InstanceId,
    /// Its own: an instance that is draining has another than the upstream.
    pub(crate) release: u64,
    /// Requests, upgraded connections included.
    pub(crate) in_flight: u32,
    /// One word.
    pub(crate) state: &'static str,
}

/// Why no instance takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// Too many requests wait already.
    QueueFull,
    /// It waited as long as a request may.
    TimedOut,
    /// It was with an instance that died; whether it was begun, nobody knows.
    Lost,
}

impl Upstream {
    /// An upstream as a table describes it.
    pub(crate) fn new(
        spec: &routing::Upstream,
        events: UnboundedSender<EdgeEvent>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let state = Mutex::new(State::new(Arc::new(Settings::new(spec, &metrics))));
        let upstream = Arc::new(Self {
            events,
            metrics,
            state,
            processors: Mutex::default(),
        });
        upstream.update(spec);
        upstream
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics while it holds the lock; a poisoned state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the table says of it at the moment.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.lock().settings)
    }

    /// Take over what a new table says. Instances that it names keep their connections and counts.
    pub(crate) fn update(self: &Arc<Self>, spec: &routing::Upstream) {
        let settings = Arc::new(Settings::new(spec, &self.metrics));
        let mut state = self.lock();
        state.settings = settings;
        let drained = state.replace_instances(&spec.instances);
        state.dispatch(Instant::now());
        self.look_after(&mut state);
        self.begin_checks(&mut state);
        drop(state);
        self.tell_drained(drained);
    }

    /// No table names this upstream any more.
    pub(crate) fn retire(&self) {
        let mut state = self.lock();
        let drained = state.replace_instances(&[]);
        state.waiting.clear();
        drop(state);
        self.tell_drained(drained);
    }

    /// Another edge has so many requests at these instances; see [`crate::Edge::share`].
    pub(crate) fn share(self: &Arc<Self>, elsewhere: &HashMap<InstanceId, u32>, frugal: bool) {
        let mut state = self.lock();
        state.share(elsewhere, frugal);
        state.dispatch(Instant::now());
        self.look_after(&mut state);
    }

    /// Requests in flight at each instance that has any.
    pub(crate) fn busy(&self, busy: &mut Vec<(InstanceId, u32)>) {
        self.lock().busy(busy);
    }

    /// An instance for one more request, at once or when one is free. `frame` is the request for a
    /// worker's mailbox; empty if it is not to be sent before its turn.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        frame: Scratch,
        wish: Wish,
    ) -> Result<Lease, Unavailable> {
        let (receiver, timeout) = {
            let mut state = self.lock();
            let now = Instant::now();
            if state.waiting.is_empty()
                && let Some(picked) = state.pick(now, wish, Duration::ZERO)
            {
                return Ok(self.lease(Picked { frame, ..picked }));
            }
            if state.waiting.len() >= state.settings.queue_limit {
                // Those whose visitor left do not count.
                state.waiting.retain(|waiter| !waiter.sender.is_closed());
                if state.waiting.len() >= state.settings.queue_limit {
                    return Err(Unavailable::QueueFull);
                }
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting.push_back(Waiter {
                sender,
                frame,
                wish,
                since: now,
            });
            state.dispatch(now);
            self.look_after(&mut state);
            (receiver, state.settings.queue_timeout)
        };
        let mut place = Place {
            upstream: self,
            receiver,
        };
        match tokio::time::timeout(timeout, &mut place.receiver).await {
            Ok(Ok(Ok(picked))) => Ok(self.lease(picked)),
            Ok(Ok(Err(why))) => Err(why),
            Ok(Err(_)) | Err(_) => Err(Unavailable::TimedOut),
        }
    }

    /// A thread may wait for a visitor who sends fast; `None`: too many do already, or there is none to spare.
    pub(crate) fn begin_stream(self: &Arc<Self>) -> Option<Streaming> {
        let mut state = self.lock();
        if !state.may_stream() {
            return None;
        }
        state.streaming += 1;
        drop(state);
        Some(Streaming(Arc::clone(self)))
    }

    /// Have somebody look at the queue and the mailboxes for as long as there is anything in them:
    /// time alone can make an instance take another request.
    fn look_after(self: &Arc<Self>, state: &mut State) {
        if !state.watched && state.is_pending() {
            state.watched = true;
            tokio::spawn(Arc::clone(self).watch());
        }
    }

    async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PATIENCE).await;
            let now = Instant::now();
            let patience = self.patience(now);
            let mut state = self.lock();
            state.patience = patience;
            state.take_back_late(now);
            state.dispatch(now);
            state.forget_departed();
            if !state.is_pending() {
                state.watched = false;
                return;
            }
        }
    }

    fn patience(&self, now: Instant) -> Duration {
        let processors = self.processors.lock();
        let mut processors = processors.unwrap_or_else(PoisonError::into_inner);
        if processors.are_busy(now) {
            PATIENCE_WHEN_BUSY
        } else {
            PATIENCE
        }
    }

    fn lease(self: &Arc<Self>, picked: Picked) -> Lease {
        let Picked {
            id,
            ticket,
            address,
            settings,
            stream,
            frame,
            sent,
        } = picked;
        let upstream = Arc::clone(self);
        Lease {
            upstream,
            id,
            ticket,
            address,
            settings,
            stream,
            frame,
            sent,
            outcome: Outcome::Unknown,
            finished: false,
        }
    }

    /// Have somebody close the connections that nobody wants, for as long as there are any.
    fn trim_surplus(self: &Arc<Self>, state: &mut State) {
        if state.trimmed || !state.has_surplus() {
            return;
        }
        // None when the edge ends, and its connections with it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        state.trimmed = true;
        let upstream = Arc::clone(self);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(SURPLUS_TIME).await;
                let mut state = upstream.lock();
                let surplus = state.take_surplus();
                state.trimmed = state.has_surplus();
                let goes_on = state.trimmed;
                drop(state);
                // Closed without the lock.
                drop(surplus);
                if !goes_on {
                    return;
                }
            }
        });
    }

    /// A request of an instance ended; `stream` can take another one.
    fn give_back(
        self: &Arc<Self>,
        id: InstanceId,
        ticket: Ticket,
        stream: Option<Stream>,
        outcome: Outcome,
    ) {
        let mut state = self.lock();
        let now = Instant::now();
        let complaint = state.observe(id, outcome, now);
        let ended = state.end(id, ticket, stream, now);
        self.trim_surplus(&mut state);
        drop(state);
        if let Some((why, replace)) = complaint {
            let instance = id;
            self.send(if replace {
                EdgeEvent::InstanceUnhealthy { instance, why }
            } else {
                let why = format!("{why}; it gets no requests for a while");
                EdgeEvent::InstanceFailed { instance, why }
            });
        }
        if ended == Ended::Drained {
            self.tell_drained(vec![id]);
        }
    }

    /// How it is at this moment.
    pub(crate) fn situation(&self) -> Situation {
        self.lock().situation(Instant::now())
    }

    #[cfg(test)]
    fn in_flight(&self) -> u32 {
        self.lock().in_flight()
    }

    fn tell_drained(&self, instances: Vec<InstanceId>) {
        for instance in instances {
            self.send(EdgeEvent::Drained { instance });
        }
    }

    fn send(&self, event: EdgeEvent) {
        // Nobody listens while Stead stops.
        let _ = self.events.send(event);
    }
}

impl Settings {
    fn new(spec: &routing::Upstream, metrics: &Metrics) -> Self {
        Self {
            series: metrics.series(&spec.app, &spec.process, spec.release),
            protocol: spec.protocol,
            timeout: spec.timeout,
            timeouts: spec.timeouts,
            sticky: spec.sticky && spec.protocol != Protocol::Frames,
            check: spec.check.clone(),
            queue_limit: spec.queue_limit as usize,
            queue_timeout: spec.queue_timeout,
        }
    }
}

/// A place in the queue. An instance that was picked for a waiter who is just leaving goes back.
struct Place<'a> {
    upstream: &'a Arc<Upstream>,
    receiver: oneshot::Receiver<Result<Picked, Unavailable>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.receiver.close();
        if let Ok(Ok(picked)) = self.receiver.try_recv() {
            let mut lease = self.upstream.lease(picked);
            match lease.stream.take() {
                // What was sent already will be answered; nobody may read that answer as another's.
                Some(mut stream) if lease.sent => {
                    let received = std::mem::take(&mut stream.unread);
                    lease.abandon(stream, Box::new(Rest::unread(received)));
                }
                Some(stream) => lease.finish(stream),
                None => {}
            }
        }
    }
}

impl Lease {
    /// Which instance.
    pub(crate) fn instance(&self) -> InstanceId {
        self.id
    }

    /// A connection was opened for this request.
    pub(crate) fn opened(&self, stream: &Stream) {
        if let Some(mailbox) = stream.mailbox() {
            self.upstream
                .lock()
                .opened(self.id, self.ticket, mailbox, Instant::now());
        }
    }

    /// The request has ended, and the connection can take another one.
    pub(crate) fn finish(mut self, stream: Stream) {
        self.finished = true;
        self.upstream
            .give_back(self.id, self.ticket, Some(stream), self.outcome);
    }

    /// Nobody waits for the response any more. The connection ends with it, which is how the app learns of that; but
    /// when its thread has begun with the next request, this response is over and that one's comes behind it.
    pub(crate) fn abandon(self, mut stream: Stream, rest: Box<Rest>) {
        let begun = self.upstream.lock().next_has_begun(self.id, self.ticket);
        // Without a runtime the edge has ended, and everything with it.
        if begun && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let skipped = tokio::time::timeout(SKIP_TIME, rest.skip(&mut stream)).await;
                if skipped == Ok(true) {
                    self.finish(stream);
                }
            });
        }
    }

    /// The instance could not be reached or broke the protocol.
    pub(crate) fn failed(&mut self, outcome: Outcome, why: String) {
        self.outcome = outcome;
        if self.settings.protocol == Protocol::Frames {
            self.upstream.lock().cool_down(self.id, Instant::now());
        }
        self.upstream.send(EdgeEvent::InstanceFailed {
            instance: self.id,
            why,
        });
    }

    /// It broke the protocol, or its app did not complete an answer. A worker is as well as before: it is the next
    /// one's at once.
    pub(crate) fn broke_off(&mut self, why: String) {
        match self.settings.protocol {
            Protocol::Frames => {
                self.outcome = Outcome::Failed;
                self.upstream.send(EdgeEvent::InstanceFailed {
                    instance: self.id,
                    why,
                });
            }
            _ => self.failed(Outcome::Failed, why),
        }
    }

    /// A request took too long; the visitor got 504.
    pub(crate) fn timed_out(&mut self, request: String, after: Duration) {
        self.outcome = Outcome::Failed;
        self.upstream.send(EdgeEvent::RequestTimedOut {
            instance: self.id,
            request,
            after,
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.finished {
            self.upstream
                .give_back(self.id, self.ticket, None, self.outcome);
        }
    }
}

#[cfg(test)]
mod tests;
