//! A place for a stream: its request is answered by a future that lives as long as the place and takes one
//! request after the other, so that a stream costs neither a task nor an allocation.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::Instant;

use super::Pipe;
use crate::Shared;
use crate::answer::{self, Next};
use crate::connection;
use crate::deadline::Deadline;
use crate::frames;
use crate::head::Head;
use crate::transport::Transport;
use crate::visitor::Visitor;
use crate::visitor::reading::STEP;

/// A place for a stream.
pub(super) struct Slot {
    pub(super) pipe: Pipe,
    pub(super) work: Pin<Box<dyn Future<Output = ()> + Send>>,
    pub(super) waker: Waker,
    wake: Arc<SlotWake>,
    /// A request is being answered; also after the stream was reset.
    pub(super) busy: bool,
    /// The visitor sends nothing more.
    pub(super) remote_ended: bool,
    /// The response's end was sent.
    pub(super) local_ended: bool,
    /// Bytes that may be sent; below 0 when the visitor has made its windows smaller.
    pub(super) send_window: i64,
    /// Bytes that the visitor may send.
    pub(super) receive_window: i64,
    /// Bytes that were used up and that the visitor was not told of.
    pub(super) credit: usize,
    /// Bytes of the body that must still come, when its length was declared.
    pub(super) expected: Option<u64>,
    /// In the queue of those who send.
    pub(super) queued: bool,
    /// Something is to be sent; since then less than [`STEP`] of it was.
    pub(super) waits_since: Option<Instant>,
    pub(super) taken: usize,
}

impl Slot {
    pub(super) fn new(
        shared: &Arc<Shared>,
        connection: &Arc<frames::Connection>,
        ready: &Arc<Ready>,
        index: usize,
    ) -> Self {
        let pipe = Pipe::default();
        let wake = Arc::new(SlotWake {
            ready: Arc::clone(ready),
            index,
            queued: AtomicBool::new(false),
        });
        let work = answer_all(Arc::clone(shared), Arc::clone(connection), pipe.clone());
        Self {
            pipe,
            work: Box::pin(work),
            waker: Waker::from(Arc::clone(&wake)),
            wake,
            busy: false,
            remote_ended: false,
            local_ended: false,
            send_window: 0,
            receive_window: 0,
            credit: 0,
            expected: None,
            queued: false,
            waits_since: None,
            taken: 0,
        }
    }

    /// It is to be polled in this round.
    pub(super) fn mark(&self) {
        self.wake.queue();
    }

    /// So many bytes of what is to be sent were, and there is more. A window that is opened byte by byte is as good as
    /// one that stays shut.
    pub(super) fn advance(&mut self, length: usize, now: Instant) {
        self.taken += length;
        if self.waits_since.is_none() || self.taken >= STEP {
            (self.waits_since, self.taken) = (Some(now), 0);
        }
    }

    /// It is polled now; what happens from here on marks it again.
    pub(super) fn unmark(&self) {
        self.wake.queued.store(false, Ordering::Release);
    }
}

/// Slots that are to be polled.
#[derive(Debug, Default)]
pub(super) struct Ready {
    slots: Mutex<Vec<usize>>,
    task: Mutex<Option<Waker>>,
}

impl Ready {
    /// Exchange the list for an empty one.
    pub(super) fn take(&self, list: &mut Vec<usize>) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *slots, list);
    }

    /// The connection's task, to be woken for any of them.
    pub(super) fn register(&self, waker: &Waker) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *task = Some(waker.clone());
        }
    }
}

struct SlotWake {
    ready: Arc<Ready>,
    index: usize,
    queued: AtomicBool,
}

impl SlotWake {
    fn queue(&self) -> bool {
        let new = !self.queued.swap(true, Ordering::AcqRel);
        if new {
            let slots = &self.ready.slots;
            slots
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(self.index);
        }
        new
    }
}

impl Wake for SlotWake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queue() {
            let task = &self.ready.task;
            let task = task.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(task) = task {
                task.wake();
            }
        }
    }
}

/// Answer one request of the pipe after the other.
async fn answer_all(shared: Arc<Shared>, connection: Arc<frames::Connection>, pipe: Pipe) {
    let stall = connection.entrance.stall_timeout;
    let mut visitor = Visitor::new(Transport::Stream(pipe.clone()));
    let mut head = Head::default();
    let mut deadline = Deadline::after(stall);
    loop {
        let refusal = std::future::poll_fn(|_| pipe.poll_request(&mut head)).await;
        visitor.ended = false;
        // Who resets a stream in the same breath costs no instance anything.
        let reset = pipe.state().reset;
        let mut next = match refusal {
            _ if reset => Next::Cut,
            Some(refusal) => answer::refusal(&shared, &connection, &mut visitor, &head, refusal),
            None => answer::request(&shared, &connection, &mut visitor, &head, &mut deadline).await,
        };
        if next != Next::Cut {
            deadline.set(stall);
            if connection::flush(&mut visitor, &mut deadline, stall)
                .await
                .is_err()
            {
                next = Next::Cut;
            }
        }
        visitor.output.clear();
        visitor.input.consume(visitor.input.data().len());
        visitor.input.rest();
        head.rest();
        pipe.state().answered = Some(next);
    }
}
