//! One HTTP/2 connection: all its streams are served by one task, in rounds. In each round frames are read,
//! requests that something happened to are answered on, responses get their turns, and what came
//! together is written at once.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::futures::Notified;

use super::budget::Budget;
use super::frame::{self, Code, kind, setting};
use super::hpack::Decoder;
use super::slot::{Ready, Slot};
use super::{
    ANSWERS, CONNECTION_WINDOW, MAX_STREAMS, OUTPUT_LIMIT, RESETS, STREAM_WINDOW, TRIFLES,
};
use crate::Shared;
use crate::buffer::SIZE;
use crate::deadline::Deadline;
use crate::frames;
use crate::head::HEAD_LIMIT;
use crate::visitor::Visitor;

mod receive;
mod send;

/// Slots that an idle connection keeps for the next streams.
const KEPT_SLOTS: usize = 4;
/// Streams that have ended lately and are remembered, since a late frame for one means different things.
const RECENT: usize = 64;
/// After this time a visitor knows that the edge is going, whether it said so or not.
const GOING: Duration = Duration::from_secs(1);
/// What the PING says whose answer shows that the visitor has read the GOAWAY before it.
const PING: [u8; 8] = *b"draining";

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The visitor is gone.
    Gone,
    /// The visitor is told why.
    GoAway(Code),
}

/// What a frame brought about, other than what it was meant to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Connection(Code),
    Stream(u32, Code),
}

/// A header list that is not complete.
#[derive(Debug)]
struct Block {
    stream: u32,
    ended: bool,
    /// Depends on itself (RFC 7540 section 5.3.1).
    circular: bool,
    bytes: Vec<u8>,
    frames: usize,
    since: Instant,
}

/// Whether new streams are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Going {
    No,
    /// The visitor was told, but may not know yet.
    Announced(Instant),
    /// Streams beyond this one are not served.
    After(u32),
}

pub(super) struct Session<'a> {
    shared: &'a Arc<Shared>,
    connection: Arc<frames::Connection>,
    pub(super) visitor: &'a mut Visitor,
    decoder: Decoder,
    block: Option<Block>,
    settings_seen: bool,
    /// The stream of each slot; 0: none.
    ids: Vec<u32>,
    slots: Vec<Slot>,
    /// How many of `ids` are not 0.
    open: usize,
    ready: Arc<Ready>,
    polled: Vec<usize>,
    /// Those who have something to send and room in their window, in turn.
    sending: VecDeque<usize>,
    /// The highest stream of the visitor's.
    pub(super) last: u32,
    /// Streams that have ended, and whether the edge has reset them.
    recent: VecDeque<(u32, bool)>,
    /// For new streams.
    initial_window: i64,
    send_window: i64,
    receive_window: i64,
    /// Bytes that were used up and that the visitor was not told of.
    credit: usize,
    /// So many small openings of windows are fair: two for each DATA frame that no window made small.
    acknowledged: u32,
    resets: Budget,
    answers: Budget,
    trifles: Budget,
    going: Going,
    /// The visitor opens no further streams.
    peer_going: bool,
    now: Instant,
    idle_since: Instant,
    wrote_at: Instant,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        shared: &'a Arc<Shared>,
        connection: Arc<frames::Connection>,
        visitor: &'a mut Visitor,
    ) -> Self {
        let now = Instant::now();
        visitor.output.write_with(|out| {
            frame::append_settings(
                out,
                &[
                    (setting::MAX_CONCURRENT_STREAMS, MAX_STREAMS as u32),
                    (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW as u32),
                    (setting::MAX_HEADER_LIST_SIZE, HEAD_LIMIT as u32),
                    (setting::ENABLE_CONNECT_PROTOCOL, 1),
                ],
            );
            let more = CONNECTION_WINDOW - DEFAULT_WINDOW;
            frame::append_number(out, kind::WINDOW_UPDATE, 0, more as u32);
        });
        Self {
            shared,
            connection,
            visitor,
            decoder: Decoder::default(),
            block: None,
            settings_seen: false,
            ids: Vec::new(),
            slots: Vec::new(),
            open: 0,
            ready: Arc::default(),
            polled: Vec::new(),
            sending: VecDeque::new(),
            last: 0,
            recent: VecDeque::new(),
            initial_window: DEFAULT_WINDOW as i64,
            send_window: DEFAULT_WINDOW as i64,
            receive_window: CONNECTION_WINDOW as i64,
            credit: 0,
            acknowledged: 0,
            resets: Budget::new(RESETS.0, RESETS.1, now),
            answers: Budget::new(ANSWERS.0, ANSWERS.1, now),
            trifles: Budget::new(TRIFLES.0, TRIFLES.1, now),
            going: Going::No,
            peer_going: false,
            now,
            idle_since: now,
            wrote_at: now,
        }
    }

    /// Serve until the connection ends.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        closing: Pin<&mut Notified<'_>>,
        deadline: &mut Deadline,
    ) -> Poll<io::Result<Ending>> {
        self.ready.register(context.waker());
        if self.going == Going::No
            && (Future::poll(closing, context).is_ready()
                || self.shared.draining.load(Ordering::Relaxed))
        {
            self.announce(deadline);
        }
        loop {
            self.now = Instant::now();
            let mut progress = false;
            if self.visitor.output.is_empty() {
                self.wrote_at = self.now;
            }
            if self.visitor.output.held() < OUTPUT_LIMIT {
                match self.visitor.poll_fill(context, SIZE) {
                    Poll::Ready(Ok(length)) => progress |= length > 0,
                    Poll::Ready(Err(error)) => {
                        self.abandon();
                        return Poll::Ready(Err(error));
                    }
                    Poll::Pending => {}
                }
                if let Err(code) = self.receive(&mut progress) {
                    self.abandon();
                    return Poll::Ready(Ok(Ending::GoAway(code)));
                }
            }
            if self.visitor.ended {
                self.abandon();
                return Poll::Ready(Ok(Ending::Gone));
            }
            if let Err(code) = self.answer(&mut progress) {
                self.abandon();
                return Poll::Ready(Ok(Ending::GoAway(code)));
            }
            progress |= self.fill();
            let mut written = self.visitor.output.is_empty();
            if !written {
                match self.visitor.poll_flush(context, &mut written) {
                    Poll::Ready(Err(error)) => {
                        self.abandon();
                        return Poll::Ready(Err(error));
                    }
                    _ => progress |= written,
                }
            }
            if written {
                self.wrote_at = self.now;
            }
            let last = matches!(self.going, Going::After(_)) || self.peer_going;
            if last && self.open == 0 && self.visitor.output.is_empty() {
                return Poll::Ready(Ok(Ending::GoAway(Code::NoError)));
            }
            if !progress {
                break;
            }
        }
        self.trim();
        while deadline.poll(context).is_ready() {
            self.now = Instant::now();
            if let Some(ending) = self.overdue() {
                self.abandon();
                return Poll::Ready(ending);
            }
            deadline.set_at(self.due().into());
        }
        Poll::Pending
    }

    /// The edge drains: first the visitor is told to open no further streams, then, when it must have heard
    /// that, which was the last one (RFC 9113 section 6.8).
    fn announce(&mut self, deadline: &mut Deadline) {
        self.going = Going::Announced(self.now);
        self.visitor.output.write_with(|out| {
            frame::append_goaway(out, frame::MAX_31, Code::NoError);
            frame::append_header(out, PING.len(), kind::PING, 0, 0);
            out.extend_from_slice(&PING);
        });
        deadline.set(GOING);
    }

    fn go(&mut self) {
        let last = self.last;
        self.going = Going::After(last);
        let output = &mut self.visitor.output;
        output.write_with(|out| frame::append_goaway(out, last, Code::NoError));
    }

    /// Poll the requests that something has happened to.
    fn answer(&mut self, progress: &mut bool) -> Result<(), Code> {
        loop {
            let mut polled = std::mem::take(&mut self.polled);
            self.ready.take(&mut polled);
            if polled.is_empty() {
                self.polled = polled;
                return Ok(());
            }
            *progress = true;
            for index in polled.drain(..) {
                let Some(slot) = self.slots.get_mut(index) else {
                    continue;
                };
                slot.unmark();
                let mut context = Context::from_waker(&slot.waker);
                // It never ends by itself.
                let _ = slot.work.as_mut().poll(&mut context);
                self.look_after(index)?;
            }
            self.polled = polled;
            if self.visitor.output.held() >= OUTPUT_LIMIT {
                return Ok(());
            }
        }
    }

    /// The visitor is gone, or is not talked to any more: the requests under way hear of it.
    fn abandon(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.busy) {
            slot.pipe.state().reset = true;
            let mut context = Context::from_waker(&slot.waker);
            let _ = slot.work.as_mut().poll(&mut context);
        }
        self.slots.clear();
        self.ids.clear();
    }

    /// An idle connection keeps little.
    fn trim(&mut self) {
        if self.open > 0 {
            return;
        }
        while self.slots.len() > KEPT_SLOTS && self.slots.last().is_some_and(|slot| !slot.busy) {
            self.slots.pop();
            self.ids.pop();
        }
    }

    /// What has taken too long.
    fn overdue(&mut self) -> Option<io::Result<Ending>> {
        let entrance = &self.connection.entrance;
        let (stall, now) = (entrance.stall_timeout, self.now);
        if !self.visitor.output.is_empty() && now >= self.wrote_at + stall {
            return Some(Err(io::ErrorKind::TimedOut.into()));
        }
        let late = |since: Instant| now >= since + entrance.header_timeout;
        if self.block.as_ref().is_some_and(|block| late(block.since)) {
            return Some(Ok(Ending::GoAway(Code::EnhanceYourCalm)));
        }
        if self.open == 0 && now >= self.idle_since + self.idle() {
            return Some(Ok(Ending::GoAway(Code::NoError)));
        }
        if matches!(self.going, Going::Announced(at) if now >= at + GOING) {
            self.go();
        }
        for index in 0..self.slots.len() {
            let late = |since: Instant| now >= since + stall;
            if self.ids[index] != 0 && self.slots[index].waits_since.is_some_and(late) {
                // A visitor who does not read.
                if self.reset(self.ids[index], Code::Cancel).is_err() {
                    return Some(Ok(Ending::GoAway(Code::EnhanceYourCalm)));
                }
            }
        }
        None
    }

    /// Before a connection was used at all, it is not waited for as long as between two requests.
    fn idle(&self) -> Duration {
        let entrance = &self.connection.entrance;
        if self.last == 0 {
            entrance.header_timeout
        } else {
            entrance.idle_timeout
        }
    }

    /// When to look again: no later than the first thing that may take too long. What begins after this was
    /// asked has at least the shortest of all times.
    fn due(&self) -> Instant {
        let entrance = &self.connection.entrance;
        let stall = entrance.stall_timeout;
        let shortest = stall
            .min(entrance.idle_timeout)
            .min(entrance.header_timeout);
        let mut due = self.now + shortest;
        let mut sooner = |at: Instant| due = due.min(at);
        if !self.visitor.output.is_empty() {
            sooner(self.wrote_at + stall);
        }
        if let Some(block) = &self.block {
            sooner(block.since + entrance.header_timeout);
        }
        if self.open == 0 {
            sooner(self.idle_since + self.idle());
        }
        if let Going::Announced(at) = self.going {
            sooner(at + GOING);
        }
        for slot in &self.slots {
            if let Some(since) = slot.waits_since {
                sooner(since + stall);
            }
        }
        // Something that is due at this very moment is looked at in the next one.
        due.max(self.now + Duration::from_millis(1))
    }
}

/// Of a connection and its streams, until something else is said (RFC 9113 section 6.9.2).
const DEFAULT_WINDOW: usize = 65_535;
