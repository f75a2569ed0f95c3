//! One timer for a whole connection, however often its deadline moves.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline that is cheap to move: the timer underneath is set anew only when it fires or when the
/// deadline comes closer.
#[derive(Debug)]
pub(crate) struct Deadline {
    at: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    pub(crate) fn after(duration: Duration) -> Self {
        let at = Instant::now() + duration;
        Self {
            at,
            sleep: Box::pin(sleep_until(at)),
        }
    }

    /// Move the deadline.
    pub(crate) fn set(&mut self, duration: Duration) {
        self.set_at(Instant::now() + duration);
    }

    /// Move the deadline to that instant.
    pub(crate) fn set_at(&mut self, at: Instant) {
        self.at = at;
        if self.at < self.sleep.deadline() {
            self.sleep.as_mut().reset(self.at);
        }
    }

    /// Ready when the deadline has passed.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.sleep.as_mut().poll(context).is_ready() {
            if Instant::now() >= self.at {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.at);
        }
        Poll::Pending
    }
}

use std::future::Future as _;
