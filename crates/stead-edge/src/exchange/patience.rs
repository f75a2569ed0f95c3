//! How long whoever is waited for may take.

use std::time::Duration;

use stead_model::routing::RouteTimeouts;
use tokio::time::Instant;

use super::{BODY_STEP, Exchange};
use crate::upstream::Settings;

/// How long an instance may take for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Without a sign of life, until the answer begins.
    pub(super) first: Duration,
    /// The same within the answer; `None`: as `first`, and none for an answer of unknown length.
    pub(super) idle: Option<Duration>,
    /// For all of it.
    pub(super) until: Option<Instant>,
}

impl Patience {
    /// From now on, as the route says or else the upstream.
    pub(crate) fn new(upstream: &Settings, route: &RouteTimeouts) -> Self {
        let total = route.total.or(upstream.timeouts.total);
        Self {
            first: route.first.unwrap_or(upstream.timeout),
            idle: route.idle.or(upstream.timeouts.idle),
            until: total.map(|total| Instant::now() + total),
        }
    }

    /// The longest time without a sign of life, before or after the answer has begun.
    pub(crate) fn limit(&self, has_begun: bool) -> Duration {
        match self.idle {
            Some(idle) if has_begun => idle,
            _ => self.first,
        }
    }
}

impl Exchange<'_, '_> {
    /// Move the deadline, but not beyond the end of everything.
    pub(super) fn wait_at_most(&mut self, time: Duration) {
        self.wait_until(Instant::now() + time);
    }

    pub(super) fn wait_until(&mut self, at: Instant) {
        let until = self.patience.until.unwrap_or(at);
        let due = at.min(until);
        self.state.due = Some(due);
        let look_at = self.state.look_at.unwrap_or(due);
        self.deadline.set_at(due.min(look_at));
    }

    /// Whoever is waited for has its own time. For a body that is a minimum of speed: one that comes
    /// byte by byte would hold a worker's thread for as long as the visitor likes.
    pub(super) fn move_deadline(&mut self) {
        if !self.visitor.output.is_empty() {
            let until = self.visitor.reading.until(Instant::now(), self.stall);
            self.wait_until(until);
        } else if self.wants_body() {
            let state = &mut self.state;
            let until = match state.body_until {
                Some(until) if state.body_seen < BODY_STEP => until,
                _ => {
                    state.body_seen = 0;
                    Instant::now() + self.pace
                }
            };
            state.body_until = Some(until);
            self.wait_until(until);
        } else {
            self.wait_at_most(self.patience.limit(self.response.has_begun()));
        }
    }

    /// The instance has all of the body that came, and more is to come.
    pub(super) fn wants_body(&self) -> bool {
        !self.state.body_ended && self.request.is_empty() && self.spooled.is_none()
    }
}
