//! How much of what costs the edge something, and the visitor nothing, a connection may do.

use std::time::Instant;

/// A store that fills again with time. Empty, it ends the connection with ENHANCE_YOUR_CALM.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u32,
    capacity: u32,
    /// So many come back in a second.
    rate: u32,
    at: Instant,
}

impl Budget {
    pub(crate) fn new(capacity: u32, rate: u32, now: Instant) -> Self {
        Self {
            left: capacity,
            capacity,
            rate,
            at: now,
        }
    }

    /// Take one. `false`: there is none left.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if self.left < self.capacity {
            let millis = now.duration_since(self.at).as_millis().min(60_000) as u32;
            let back = millis * self.rate / 1000;
            if back > 0 {
                self.left = self.left.saturating_add(back).min(self.capacity);
                self.at = now;
            }
        } else {
            self.at = now;
        }
        let enough = self.left > 0;
        self.left = self.left.saturating_sub(1);
        enough
    }
}
